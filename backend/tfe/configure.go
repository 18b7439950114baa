package tfe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	gotfe "github.com/hashicorp/go-tfe"
	"github.com/hashicorp/jsonapi"

	"tfhaul/backend"
)

// configureAttempts is how often to compare and change settings when responses are lost. Every
// change can be repeated.
const configureAttempts = 3

// Configure implements backend.Configurer.
func (t *Target) Configure(ctx context.Context, s *backend.Standing, r backend.SettingsRequest) (backend.SettingsApplied, error) {
	ws := t.workspaceOf(s)
	var done backend.SettingsApplied
	for attempt := 1; ; attempt++ {
		plan, err := t.settingsPlan(ctx, ws, r)
		if err == nil {
			done.Notes = plan.notes
			for _, c := range plan.changes {
				if !slices.ContainsFunc(done.Changed, func(other backend.SettingChange) bool { return other.Name == c.Name }) {
					done.Changed = append(done.Changed, c)
				}
			}
			done.Absent, err = t.apply(ctx, ws, plan)
		}
		code := backend.CodeOf(err)
		if code != backend.Ambiguous && code != backend.Unreachable || attempt == configureAttempts || ctx.Err() != nil || t.Down() {
			return done, err
		}
		r.New = false
	}
}

// apply changes what differs: first what starts no run.
func (t *Target) apply(ctx context.Context, ws *Workspace, p *settingsPlan) (absent []string, err error) {
	if len(p.tags) > 0 {
		if err := post(ctx, t.Client, "tag "+ws.String(), ws.path("/relationships/tags"), p.tags); err != nil {
			return nil, err
		}
	}
	if len(p.bindings) > 0 {
		document, err := marshal(p.bindings)
		if err != nil {
			return nil, err
		}
		if _, err := send(ctx, t.Client, "tag "+ws.String(), http.MethodPatch, ws.path("/tag-bindings"), document, nothing); err != nil {
			return nil, err
		}
	}
	for _, v := range p.variables {
		if err := t.setVariable(ctx, ws, v); err != nil {
			return nil, err
		}
	}
	if len(p.consumers) > 0 {
		if absent, err = t.addConsumers(ctx, ws, p.consumers); err != nil {
			return nil, err
		}
	}
	if p.updates {
		err = t.updateWorkspace(ctx, ws, p)
	}
	return absent, err
}

// nothing ignores the body of a response.
func nothing([]byte) (struct{}, error) { return struct{}{}, nil }

// marshal returns a JSON:API document.
func marshal(resource any) (*outgoing, error) {
	var document bytes.Buffer
	if err := jsonapi.MarshalPayloadWithoutIncluded(&document, resource); err != nil {
		return nil, err
	}
	return written(document.Bytes()), nil
}

// post sends resources to a relationship, which answers without a body.
func post[T any](ctx context.Context, c *Client, op, path string, resources []T) error {
	document, err := marshal(resources)
	if err != nil {
		return &Error{Op: op, Code: Rejected, Err: err}
	}
	_, err = send(ctx, c, op, http.MethodPost, path, document, nothing)
	return err
}

// setVariable creates or changes a variable. The error does not repeat its value.
func (t *Target) setVariable(ctx context.Context, ws *Workspace, v variableChange) error {
	op := fmt.Sprintf("set %s of %s", v.Label(), ws)
	category, text := gotfe.CategoryType(v.Category), v.Text()
	method, path := http.MethodPost, ws.path("/vars")
	var resource any = &gotfe.VariableCreateOptions{Key: &v.Key, Value: &text, Description: &v.Description, Category: &category, HCL: &v.HCL, Sensitive: &v.Sensitive}
	if v.id != "" {
		method, path = http.MethodPatch, path+"/"+url.PathEscape(v.id)
		resource = &gotfe.VariableUpdateOptions{Key: &v.Key, Value: &text, Description: &v.Description, Category: &category, HCL: &v.HCL, Sensitive: &v.Sensitive}
	}
	document, err := marshal(resource)
	if err != nil {
		return &Error{Op: op, Code: Rejected, Err: errors.New("its value cannot be sent as JSON")}
	}
	_, err = send(ctx, t.Client, op, method, path, document, func(raw []byte) (struct{}, error) {
		var doc resourceDocument
		return struct{}{}, errors.Join(understand(raw, &doc), doc.Data.check("vars"))
	})
	if e, ok := errors.AsType[*Error](err); ok {
		for i := range e.Details {
			if text != "" {
				e.Details[i] = strings.ReplaceAll(e.Details[i], text, "[hidden]")
			}
		}
	}
	return err
}

// resourceDocument is a document about one resource, of which only the ID matters.
type resourceDocument = document[resourceID]

// A workspaceRef names a workspace in a request.
type workspaceRef struct {
	ID string `jsonapi:"primary,workspaces"`
}

// addConsumers lets workspaces read a workspace's state, and returns those that do not exist.
func (t *Target) addConsumers(ctx context.Context, ws *Workspace, names []string) (absent []string, err error) {
	var found []*workspaceRef
	for _, name := range names {
		consumer, err := backend.Retry(ctx, t.Down, func() (*Workspace, error) { return t.Workspace(ctx, ws.Organization, name) })
		switch {
		case backend.CodeOf(err) == backend.ForbiddenOrMissing:
			absent = append(absent, name)
		case err != nil:
			return nil, err
		default:
			found = append(found, &workspaceRef{consumer.ID})
		}
	}
	if len(found) == 0 {
		return absent, nil
	}
	return absent, post(ctx, t.Client, "add remote-state consumers to "+ws.String(), ws.path("/relationships/remote-state-consumers"), found)
}

// updateWorkspace changes the attributes in one request, and checks in the response that what
// decides about runs was applied.
func (t *Target) updateWorkspace(ctx context.Context, ws *Workspace, p *settingsPlan) error {
	op := "change the settings of " + ws.String()
	document, err := marshal(&p.update)
	if err != nil {
		return &Error{Op: op, Code: Rejected, Err: err}
	}
	have, err := send(ctx, t.Client, op, http.MethodPatch, ws.path(""), document, settingsIs(ws.ID))
	if err != nil {
		return err
	}
	var lost []string
	if vcs := p.update.VCSRepo; vcs != nil && vcs.Identifier != nil && (have.Attributes.VCSRepo == nil || !strings.EqualFold(have.Attributes.VCSRepo.Identifier, *vcs.Identifier)) {
		lost = append(lost, "vcs_repository")
	}
	if auto := p.update.AutoApply; auto != nil && *auto != have.Attributes.AutoApply {
		lost = append(lost, "auto_apply")
	}
	if mode := p.update.ExecutionMode; mode != nil && *mode != have.Attributes.ExecutionMode {
		lost = append(lost, "execution_mode")
	}
	if len(lost) > 0 {
		return &Error{Op: op, Code: Rejected, Status: http.StatusOK, Err: errors.New("the server accepted the request, but did not change " + strings.Join(lost, ", "))}
	}
	return nil
}
