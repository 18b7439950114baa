package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// blobPlanRedacted is the kind of the address of a plan's redacted JSON.
const blobPlanRedacted blobs.Kind = 'r'

// getRedactedPlan answers GET /plans/:id/json-output-redacted, for everyone who may read the run:
// with 204 before the plan has finished, then with a redirect. Terraform and OpenTofu render remote
// plans from it.
func getRedactedPlan(c *call, r *run) (*jsonapi.Answer, error) {
	if r.Plan.Redacted == nil {
		return jsonapi.NoContent(), nil
	}
	return c.redirect(blobs.Ticket{Kind: blobPlanRedacted, ID: r.ID}), nil
}

// redactPlan stores the redacted form of a plan: its changes without sensitive values, and the
// schemas that a client needs to render them.
func (s *Service) redactPlan(x *execution, f *folder, plan *blobs.Blob) (*blobs.Blob, error) {
	var schemas bytes.Buffer
	if code, err := s.terraform(x, f, &schemas, "providers", "schema", "-json"); err != nil || code != 0 {
		return nil, errors.Join(err, failed(code))
	}
	content, err := s.options.Blobs.Open(plan.ID)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	var shown, provided map[string]any
	if err := errors.Join(decodeNumbers(content, &shown), decodeNumbers(&schemas, &provided)); err != nil {
		return nil, errors.New("cannot read terraform's JSON of the plan")
	}
	document, err := json.Marshal(redacted(shown, provided))
	if err != nil {
		return nil, err
	}
	return blobs.Keep(s.options.Blobs, bytes.NewReader(document))
}

func decodeNumbers(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	d.UseNumber()
	return d.Decode(into)
}

// redacted returns the document that clients read. It leaves out all values outside of changes:
// variables, planned values, the prior state and the configuration.
func redacted(plan, schemas map[string]any) map[string]any {
	out := map[string]any{
		"plan_format_version":     plan["format_version"],
		"provider_format_version": schemas["format_version"],
		"provider_schemas":        schemas["provider_schemas"],
		"relevant_attributes":     plan["relevant_attributes"],
	}
	for _, list := range []string{"resource_changes", "resource_drift"} {
		resources, _ := plan[list].([]any)
		for _, r := range resources {
			if resource, isObject := r.(map[string]any); isObject {
				redactChange(resource["change"])
			}
		}
		out[list] = resources
	}
	outputs, _ := plan["output_changes"].(map[string]any)
	for _, change := range outputs {
		redactChange(change)
	}
	out["output_changes"] = outputs
	return out
}

// redactChange redacts the values of a change in place.
func redactChange(change any) {
	c, isObject := change.(map[string]any)
	if !isObject {
		return
	}
	before, after := c["before"], c["after"]
	c["before"] = redact(before, c["before_sensitive"], nil, redactedText)
	c["after"] = redact(after, c["after_sensitive"], before, redactedChange)
	// Generated configuration may contain any value.
	delete(c, "generated_config")
}

const (
	redactedText   = "REDACTED"
	redactedChange = "REDACTED (changed)" // clients must still see a change
)

// redact replaces the values that mask marks as sensitive. A mask is true for a whole value, or has
// the value's shape. Values keep their types, because clients decode them with the schema. A string
// becomes text, or redactedText when it equals was.
func redact(value, mask, was any, text string) any {
	all, _ := mask.(bool)
	switch v := value.(type) {
	case map[string]any:
		marks, _ := mask.(map[string]any)
		wasMap, _ := was.(map[string]any)
		out := map[string]any{}
		for key, member := range v {
			var mark any = all
			if !all {
				mark = marks[key]
			}
			out[key] = redact(member, mark, wasMap[key], text)
		}
		return out
	case []any:
		marks, _ := mask.([]any)
		wasList, _ := was.([]any)
		out := make([]any, len(v))
		for i, member := range v {
			var mark, before any = all, nil
			if !all && i < len(marks) {
				mark = marks[i]
			}
			if i < len(wasList) {
				before = wasList[i]
			}
			out[i] = redact(member, mark, before, text)
		}
		return out
	}
	if !all {
		return value
	}
	switch value.(type) {
	case string:
		if reflect.DeepEqual(value, was) {
			return redactedText
		}
		return text
	case json.Number:
		return json.Number("0")
	case bool:
		return false
	}
	return nil
}
