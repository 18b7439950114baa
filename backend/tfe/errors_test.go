package tfe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tfhaul/backend"
)

// object returns an error body as the API sends it.
func object(status any, title, detail string) string {
	b, err := json.Marshal(map[string]any{"errors": []any{map[string]any{"status": status, "title": title, "detail": detail}}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Texts as sent by the API.
const (
	textNotLocked = "This workspace is not locked and will only accept state uploads when locked"
	textLockedBy  = "This workspace is locked by %s and will only accept state uploads from them while locked."
	textMD5       = "The MD5 hash of the state provided does not match what is currently known for the same serial number"
	textLineage   = "The lineage provided in the state file does not match the value currently known by %s. This means that the provided state is most likely not related to the target workspace. Check that the backend configuration is correct and try again."
	textSerial    = "The serial provided in the state file is not greater than the serial currently known remotely. This means that there may be an update performed since your version of that state. Update to the latest state to resolve conflicts and try again"
	textContent   = "The MD5 parameter passed does not match the MD5 of the provided state"
	textParam     = "param is missing or the value is empty: state"
	textUnlock    = "Unable to unlock workspace. The workspace is locked by %s and may not be unlocked except by them."
	textPending   = "Unable to unlock workspace. The latest state version is still pending."
)

func TestEveryAnswerHasItsMeaning(t *testing.T) {
	operations := map[string]func(context.Context, *Client) error{
		"create": func(ctx context.Context, c *Client) error {
			_, err := c.CreateInline(ctx, acme, Attributes{Serial: 1, MD5: "x"}, bodyOf("state"))
			return err
		},
		"announce": func(ctx context.Context, c *Client) error {
			_, err := c.Announce(ctx, acme, Attributes{Serial: 1, MD5: "x"})
			return err
		},
		"lock":   func(ctx context.Context, c *Client) error { _, err := c.Lock(ctx, acme, "r"); return err },
		"unlock": func(ctx context.Context, c *Client) error { _, err := c.Unlock(ctx, acme); return err },
		"read":   func(ctx context.Context, c *Client) error { _, err := c.Workspace(ctx, "acme", "network"); return err },
		"whose":  func(ctx context.Context, c *Client) error { _, err := c.Identity(ctx); return err },
		"upload": func(ctx context.Context, c *Client) error {
			return c.Upload(ctx, &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: "/blob"}, bodyOf("state"))
		},
		"download": func(ctx context.Context, c *Client) error {
			_, err := c.Open(ctx, &StateVersion{Version: backend.Version{ID: "sv-1"}, download: "/blob"})
			return err
		},
		"history": func(ctx context.Context, c *Client) error {
			for _, err := range c.History(ctx, "acme", "network") {
				return err
			}
			return nil
		},
	}
	const html = "<html><body><h1>502 Bad Gateway</h1></body></html>"
	const plainType = "text/html"
	cases := []struct {
		op, name, kind string // content type of the body; "" is JSON:API
		status         int
		body           string
		want           Code
		text           string // of the error, without the operation
	}{
		{"create", "a bad token", "", 401, object("401", "unauthorized", ""), backend.Unauthorized,
			"the server rejects the token (401): it is wrong, has expired or was revoked"},
		{"create", "missing", "", 404, object("404", "not found", ""), backend.ForbiddenOrMissing,
			"the server answered 404: this token does not have the permission, or what the request names no longer exists"},
		{"create", "forbidden", "", 403, "", backend.ForbiddenOrMissing, ""},
		{"create", "not locked", "", 409, object("409", "conflict", textNotLocked), backend.NotLocked, "the server answered 409: " + textNotLocked},
		{"create", "locked by a run", "", 409, object("409", "conflict", fmt.Sprintf(textLockedBy, "Run run-1")), backend.LockedByOther, ""},
		{"create", "locked by a user", "", 409, object("409", "conflict", fmt.Sprintf(textLockedBy, "User alice")), backend.LockedByOther, ""},
		{"create", "locked by a team", "", 409, object("409", "conflict", fmt.Sprintf(textLockedBy, "Team ops")), backend.LockedByOther, ""},
		{"create", "same serial, other bytes", "", 409, object("409", "conflict", textMD5), backend.Diverged, "the server answered 409: " + textMD5},
		{"create", "another lineage", "", 409, object("409", "conflict", fmt.Sprintf(textLineage, "Terraform Cloud")), backend.Unrelated, ""},
		{"create", "another lineage on TFE", "", 409, object("409", "conflict", fmt.Sprintf(textLineage, "Terraform\nEnterprise")), backend.Unrelated, ""},
		{"create", "a lower serial", "", 412, object("412", "Precondition Failed", textSerial), backend.Stale, ""},
		{"create", "a lower serial without a text", "", 412, "", backend.Stale, ""},
		{"create", "corrupted on the way", "", 400, object("400", "bad request", textContent), MD5Mismatch, ""},
		{"create", "corrupted on the way, unprocessable", "", 422, object("422", "unprocessable content", textContent), MD5Mismatch, ""},
		{"announce", "an old server", "", 422, object("422", "unprocessable entity", textParam), NoSignedUpload, ""},
		{"create", "malformed", "", 422, object("422", "unprocessable content", "Serial is not a number"), backend.Malformed, "the server answered 422: Serial is not a number"},
		{"create", "too large", plainType, 413, "<h1>413 Request Entity Too Large</h1>", TooLarge, "the server answered 413 Request Entity Too Large"},
		{"create", "a conflict without JSON", plainType, 409, html, backend.Ambiguous, "the server answered 409 Conflict"},
		{"create", "a conflict without a body", "", 409, "", backend.Ambiguous, ""},
		{"create", "a gateway's page", plainType, 502, html, backend.Ambiguous, "the server answered 502 Bad Gateway"},
		{"create", "a server error", "", 500, "", backend.Ambiguous, ""},
		{"create", "an unknown status", "", 599, "", backend.Ambiguous, "the server answered 599"},
		{"create", "an unknown client error", "", 418, "", Rejected, ""},
		{"create", "a timeout", "", 408, "", backend.Ambiguous, ""},
		{"create", "errors of the original API", "application/json", 409, `{"errors":["` + textMD5 + `"]}`, backend.Diverged, ""},
		{"create", "differences in case and line breaks", "", 409, object(409, "", "this workspace IS not\n  locked and will\tonly accept state uploads when locked"), backend.NotLocked, ""},
		{"create", "only a title", "", 422, object("422", textParam, ""), NoSignedUpload, ""},
		{"create", "the second error matters", "", 409, `{"errors":[{"detail":"Something"},{"title":3,"detail":"` + textMD5 + `"}]}`, backend.Diverged, ""},

		// Responses of a lax server.
		{"create", "lax: a lower serial", "application/json", 500, `{"errors":["` + textSerial + `"]}`, backend.Stale, ""},
		{"create", "lax: same serial, other bytes", "text/plain; charset=utf-8", 500, object("500", "", textMD5), backend.Diverged, ""},
		{"create", "lax: a wrong MD5", "", 500, "", backend.Ambiguous, ""},
		{"lock", "lax: locked", "", 409, "", backend.LockedByOther, ""},
		{"lock", "lax: locked, as an error", "", 500, object("500", "workspace already locked", ""), backend.LockedByOther, ""},
		{"unlock", "lax: not locked", "", 500, object("500", "workspace already unlocked", ""), backend.NotLocked, ""},

		{"lock", "held", "", 409, object("409", "conflict", "Unable to lock workspace. The workspace is already locked."), backend.LockedByOther, ""},
		{"lock", "missing", "", 404, object("404", "not found", ""), backend.ForbiddenOrMissing, ""},
		{"lock", "a gateway timeout", plainType, 504, html, backend.Ambiguous, ""},
		{"lock", "an unexpected successful response", "", 200, `[]`, backend.Ambiguous, ""},
		{"lock", "a successful response without a body", "", 204, "", backend.Ambiguous, ""},
		{"unlock", "locked by a team", "", 409, object("409", "conflict", fmt.Sprintf(textUnlock, "Team team-1")), backend.LockedByOther, ""},
		{"unlock", "locked by a run", "", 409, object("409", "conflict", fmt.Sprintf(textUnlock, "Run run-1")), backend.LockedByOther, ""},
		{"unlock", "locked by a user", "", 409, object("409", "conflict", fmt.Sprintf(textUnlock, "User user-1")), backend.LockedByOther, ""},
		{"unlock", "not locked", "", 409, object("409", "conflict", "Unable to unlock workspace. The workspace is not locked."), backend.NotLocked, ""},
		{"unlock", "not locked, without a text", "", 409, "", backend.NotLocked, ""},
		{"unlock", "pending", "", 503, object("503", "service unavailable", textPending), backend.StillPending, ""},
		{"unlock", "pending, on older servers", "", 400, object("400", "bad request", textPending), backend.StillPending, ""},
		{"unlock", "unavailable for another reason", plainType, 503, html, backend.Ambiguous, ""},

		{"read", "missing", "", 404, "", backend.ForbiddenOrMissing, ""},
		{"read", "HTML instead of a document", plainType, 200, html, backend.Ambiguous, ""},
		{"history", "missing", "", 404, "", backend.ForbiddenOrMissing, ""},
		{"whose", "an expired token", "", 401, object("401", "unauthorized", ""), backend.Unauthorized, ""},
		{"upload", "a used URL", "text/xml", 403, "<Error/>", Rejected, "the host of the signed URL answered 403: the URL has expired or was already used"},
		{"upload", "a precondition of the blob store", "", 412, "", Rejected, ""},
		{"upload", "too large", "", 413, "", TooLarge, ""},
		{"upload", "unavailable", "", 503, "", backend.Ambiguous, ""},
		{"upload", "corrupted on the way", "", 422, object("422", "", textContent), MD5Mismatch, ""},
		{"download", "missing on the API's own host", "", 404, "", backend.ForbiddenOrMissing, ""},
		{"download", "unavailable", "", 503, "", backend.Ambiguous, ""},
		{"download", "a part", "", 206, "", Rejected, ""},
		{"download", "nothing", "", 204, "", Rejected, ""},
	}
	for _, c := range cases {
		t.Run(c.op+"/"+c.name, func(t *testing.T) {
			kind := c.kind
			if kind == "" {
				kind = jsonAPI
			}
			client := serve(t, answer(c.status, kind, c.body))
			err := operations[c.op](t.Context(), client)
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if e.Code != c.want || e.Status != c.status || backend.CodeOf(fmt.Errorf("wrapped: %w", err)) != c.want {
				t.Errorf("code %q of status %d, want %q of %d: %v", e.Code, e.Status, c.want, c.status, err)
			}
			if c.text != "" && err.Error() != e.Op+": "+c.text {
				t.Errorf("the text is %q, want %q", err, c.text)
			}
			if e.Op == "" || strings.Contains(err.Error(), "<h1") {
				t.Errorf("the text is %q", err)
			}
		})
	}
}

func TestA429WithANumberForStatus(t *testing.T) {
	body := []byte(`{"errors":[{"detail":"You have exceeded the API's rate limit.","status":429,"title":"Too many requests"}]}`)
	if got, _ := refusalIn(detailsOf(body, "")); got != backend.RateLimited {
		t.Errorf("got %s", got)
	}
}

func TestOperationsAreNamed(t *testing.T) {
	c := serve(t, answer(http.StatusTeapot, jsonAPI, ""))
	_, lock := c.Lock(t.Context(), acme, "r")
	_, read := c.Workspace(t.Context(), "acme", "network")
	_, byID := c.WorkspaceByID(t.Context(), "acme", "ws-1")
	_, current := c.Current(t.Context(), acme)
	_, version := c.StateVersion(t.Context(), "sv-1")
	_, create := c.CreateInline(t.Context(), acme, Attributes{}, bodyOf("x"))
	_, unlock := c.Unlock(t.Context(), acme)
	_, made := createWorkspace(t.Context(), c, "network", backend.CreateOptions{Project: "Core"})
	for want, err := range map[string]error{
		"lock workspace acme/network: the server answered 418 I'm a teapot":                    lock,
		"unlock workspace acme/network: the server answered 418 I'm a teapot":                  unlock,
		"read workspace acme/network: the server answered 418 I'm a teapot":                    read,
		"read workspace ws-1: the server answered 418 I'm a teapot":                            byID,
		"read the current state version of acme/network: the server answered 418 I'm a teapot": current,
		"read state version sv-1: the server answered 418 I'm a teapot":                        version,
		"create a state version in acme/network: the server answered 418 I'm a teapot":         create,
		`find project "Core" of acme: the server answered 418 I'm a teapot`:                    made,
	} {
		if err == nil || err.Error() != want {
			t.Errorf("the text is %q, want %q", err, want)
		}
	}
}

func TestTextsOfServersAreTamed(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[31mred\x1b[0m\a":          "[31mred[0m",
		"a\u009b31mb":                   "a31mb",
		"right\u202eleft\u2066x\u200b.": "rightleftx.",
		"two\r\nlines\tand a tab":       "two  lines and a tab",
		"Straße – 東京":                   "Straße – 東京",
		strings.Repeat("é", 300):        strings.Repeat("é", 250) + "…",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	c := serve(t, answer(422, jsonAPI, object("422", "", "\u001b]0;owned\u0007bad \u001b[2Jthing")))
	_, err := c.Lock(t.Context(), acme, "r")
	if strings.ContainsAny(err.Error(), "\x1b\a") {
		t.Errorf("%q", err)
	}
	many := `{"errors":[` + strings.Repeat(`"x",`, 1000) + `"x"]}`
	if n := len(detailsOf([]byte(many), "")); n != maxDetails {
		t.Errorf("%d texts are kept", n)
	}
}

func TestHostileErrorBodies(t *testing.T) {
	for _, body := range []string{"", "null", "[]", "{}", `{"errors":null}`, `{"errors":"x"}`, `{"errors":{}}`, `{"errors":[null,1,true,[],{}]}`,
		`{"errors":[{"detail":[1]},{"title":{}}]}`, "{", "\xff\xfe", strings.Repeat("[", 20000), `{"errors":[{"detail":"` + strings.Repeat("\x00", 10) + `"}]}`} {
		if got := detailsOf([]byte(body), ""); len(got) != 0 {
			t.Errorf("%.40q: %q", body, got)
		}
	}
}
