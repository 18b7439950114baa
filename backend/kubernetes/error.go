package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// An answer is a response that is not a success: a Status of the API, or something else on the way
// (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/).
type answer struct {
	status int
	// reason and said are the server's words, and kind what they are about; "" if it does not
	// explain itself.
	reason, said, kind string
	wait               time.Duration // that the server asks for
	token              string        // that was sent
}

func (a *answer) Error() string { return fmt.Sprintf("status %d %s", a.status, a.reason) }

// maxRefusal limits how much is read of a response that is not a success.
const maxRefusal = 64 << 10

func readAnswer(resp *http.Response) *answer {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what arrived is enough
	var status struct {
		Kind    string `json:"kind"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
		Details struct {
			Kind string `json:"kind"`
		} `json:"details"`
	}
	a := &answer{status: resp.StatusCode}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		a.wait = time.Duration(min(seconds, 3600)) * time.Second
	}
	if json.Unmarshal(text, &status) == nil && status.Kind == "Status" {
		a.reason, a.said, a.kind = status.Reason, strings.TrimSpace(status.Message), status.Details.Kind
	}
	return a
}

// The reasons of answers that decide something.
const (
	reasonExists   = "AlreadyExists"
	reasonConflict = "Conflict"
)

// statusOf returns the status of the response behind err, or 0.
func statusOf(err error) int {
	if a, ok := errors.AsType[*answer](err); ok {
		return a.status
	}
	return 0
}

// errorToken returns the token that the request had.
func errorToken(err error) string {
	if a, ok := errors.AsType[*answer](err); ok {
		return a.token
	}
	return ""
}

func retryAfter(err error) time.Duration {
	if a, ok := errors.AsType[*answer](err); ok {
		return a.wait
	}
	return 0
}

// isThrottled reports whether the server refused a request only because of its load.
func isThrottled(err error) bool { return backend.CodeOf(err) == backend.RateLimited }

// isUnmet reports whether the object is not the one that the request was about: it changed, was
// deleted, or exists already.
func isUnmet(err error) bool {
	a, ok := errors.AsType[*answer](err)
	return ok && (a.reason == reasonExists || a.reason == reasonConflict) || backend.CodeOf(err) == backend.NoState
}

// mayHaveHappened reports whether a failed request may have taken effect: the server did not
// clearly refuse it, and it was not stopped on this side.
func mayHaveHappened(err error) bool {
	e, known := errors.AsType[*backend.Error](err)
	_, withheld := errors.AsType[*backend.UnsentError](err)
	if err == nil || withheld || known && e.Everywhere() || isThrottled(err) {
		return false
	}
	status := statusOf(err)
	return status < 300 || status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented
}

// explain turns the error of a request into a sentence.
func (c *cluster) explain(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("cannot %s %q: %w", r.doing, r.address, context.Cause(ctx))
	}
	code, why := c.reason(r, err)
	return &backend.Error{Address: r.address, Code: code, Answer: why, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.address, why), Err: err}
}

// reason returns the code of err, and the part of the sentence that says why and what to do.
func (c *cluster) reason(r request, err error) (backend.Code, string) {
	if a, ok := errors.AsType[*answer](err); ok {
		return c.reasonOfAnswer(r, a)
	}
	if e, ok := errors.AsType[*credentialsError](err); ok {
		return e.code, e.why
	}
	if u, ok := errors.AsType[*unreadableAnswer](err); ok {
		return backend.Failed, u.why
	}
	return backend.Unreachable, plainwords.Describe(plainwords.WithoutURL(err))
}

func (c *cluster) reasonOfAnswer(r request, a *answer) (backend.Code, string) {
	said := plainwords.Quoted(a.said, credentialText)
	switch {
	case a.status == http.StatusTooManyRequests:
		return backend.RateLimited, "the server still asks to slow down after several attempts: try again with a lower --parallelism"
	case a.status == http.StatusUnauthorized:
		return c.unauthorized(said)
	case a.status == http.StatusForbidden && strings.Contains(a.said, "because it is being terminated"):
		return backend.NoContainer, fmt.Sprintf("the namespace %s is being deleted", r.namespace)
	case a.status == http.StatusForbidden && strings.Contains(a.said, "exceeded quota"):
		return backend.AccessDenied, "a quota of the namespace does not allow more Secrets" + said
	case a.status == http.StatusForbidden:
		return backend.AccessDenied, c.forbidden(r, said)
	case a.status == http.StatusNotFound && (a.kind == "namespaces" || strings.HasPrefix(a.said, "namespaces ")):
		return backend.NoContainer, fmt.Sprintf("the namespace %s does not exist: check its name, or create it with: %s create namespace %[1]s", r.namespace, c.kubectl)
	case a.status == http.StatusNotFound && a.reason != "" && a.kind != "":
		return backend.NoState, "it does not exist"
	case a.reason == reasonConflict, a.reason == reasonExists:
		return backend.Failed, "it changed meanwhile"
	case a.status == http.StatusRequestEntityTooLarge, a.status == http.StatusUnprocessableEntity && strings.Contains(a.said, "Too long"):
		return backend.Malformed, "it is too large for a Secret, which holds 1 MiB: does it have other data?" + said
	case a.status == http.StatusUnprocessableEntity, a.status == http.StatusBadRequest && a.said != "":
		return backend.Malformed, "the server rejects it" + said
	case a.status >= 300 && a.status < 400:
		return backend.Failed, fmt.Sprintf("the server answered %d and redirects to another address, which tfhaul does not follow because it would send the credentials there: check the server in the kubeconfig", a.status)
	case a.said != "":
		return backend.Failed, fmt.Sprintf("the server answered %d%s", a.status, said)
	}
	return backend.Failed, fmt.Sprintf("the server answered %d without a readable reason: is it the API server of a cluster?", a.status)
}

// unauthorized explains credentials that were rejected or missing.
func (c *cluster) unauthorized(said string) (backend.Code, string) {
	cr := c.credentials
	switch {
	case cr.exec != nil:
		return backend.ExpiredCredentials, fmt.Sprintf("the server rejects what the exec plugin %s of the kubeconfig printed: %s%s", cr.exec.name(), cr.exec.login(), said)
	case cr.from == "" && !cr.certificate && cr.username == "":
		return backend.NoCredentials, fmt.Sprintf("the server requires credentials, and neither the kubeconfig nor %s has any%s", tokenVariable, said)
	case cr.from == tokenVariable:
		return backend.ExpiredCredentials, fmt.Sprintf("the server rejects the token in %s: set it to a valid one, such as the output of: %s create token SERVICEACCOUNT%s", tokenVariable, c.kubectl, said)
	}
	from := cr.from
	if from == "" {
		from = "the environment"
	}
	return backend.BadCredentials, fmt.Sprintf("the server rejects the credentials of %s: they have expired or belong to another cluster. Log in again as for kubectl, until this works: %s get secrets%s", from, c.kubectl, said)
}

// forbidden explains what the credentials may not do, and how to check that.
func (c *cluster) forbidden(r request, said string) string {
	resource := r.resource
	if resource == leases {
		resource = "leases.coordination.k8s.io"
	}
	return fmt.Sprintf("access denied: the credentials need the verb %s on %s in the namespace %s. To check: %s auth can-i %[1]s %[5]s --namespace %[3]s%[6]s", r.verb, r.resource, r.namespace, c.kubectl, resource, said)
}
