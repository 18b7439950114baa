package migrate_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// deepState holds a bit of everything that --deep compares.
const deepState = `{"version": 4, "terraform_version": "1.11.4", "serial": 7, "lineage": "` + lineage + `",
	"outputs": {"url": {"value": "a", "type": "string"}, "key": {"value": "b", "type": "string", "sensitive": true}},
	"resources": [
		{"mode": "data", "type": "aws_ami", "name": "base", "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]", "instances": [{"attributes": {"id": "ami-1"}}]},
		{"module": "module.web[\"eu\"]", "mode": "managed", "type": "aws_instance", "name": "this", "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
			"instances": [{"index_key": 0, "attributes": {"id": "i-1"}}, {"index_key": 1, "status": "tainted", "attributes": {"id": "i-2"}}, {"index_key": 1, "deposed": "01234567", "attributes": {"id": "i-0"}}]}
	]}`

// deepJSON is the same as terraform show -json would write it.
const deepJSON = `{"format_version": "1.0", "terraform_version": "1.11.4", "values": {
	"outputs": {"url": {"sensitive": false, "value": "a", "type": "string"}, "key": {"sensitive": true, "value": "b", "type": "string"}},
	"root_module": {
		"resources": [{"address": "data.aws_ami.base", "mode": "data", "type": "aws_ami", "name": "base", "provider_name": "registry.terraform.io/hashicorp/aws", "values": {"id": "ami-1"}}],
		"child_modules": [{"address": "module.web[\"eu\"]", "resources": [
			{"address": "module.web[\"eu\"].aws_instance.this[0]", "mode": "managed", "type": "aws_instance", "name": "this", "index": 0, "values": {"id": "i-1"}},
			{"address": "module.web[\"eu\"].aws_instance.this[1]", "mode": "managed", "type": "aws_instance", "name": "this", "index": 1, "tainted": true, "values": {"id": "i-2"}},
			{"address": "module.web[\"eu\"].aws_instance.this[1]", "mode": "managed", "type": "aws_instance", "name": "this", "index": 1, "deposed_key": "01234567", "values": {"id": "i-0"}}
		]}]
	}}}`

// holdsJSON seeds the workspace with a state and its JSON, as a run does.
func (b *bench) holdsJSON(raw, asJSON string) {
	b.t.Helper()
	api := func(method, path string, body any) map[string]any {
		b.t.Helper()
		var sent bytes.Buffer
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			b.t.Fatal(err)
		}
		r := httptest.NewRequest(method, "http://localhost/api/v2/"+path, &sent)
		r.Header.Set("Authorization", "Bearer "+b.sim.Token(tfesim.Owner))
		r.Header.Set("Content-Type", "application/vnd.api+json")
		w := httptest.NewRecorder()
		b.sim.ServeHTTP(w, r)
		if w.Code >= 300 {
			b.t.Fatalf("%s %s: %d", method, path, w.Code)
		}
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			b.t.Fatal(err)
		}
		return answer
	}
	id := api(http.MethodGet, "organizations/"+org+"/workspaces/"+workspace, nil)["data"].(map[string]any)["id"].(string)
	api(http.MethodPost, "workspaces/"+id+"/actions/lock", map[string]any{})
	sum := md5.Sum([]byte(raw))
	api(http.MethodPost, "workspaces/"+id+"/state-versions", map[string]any{"data": map[string]any{"type": "state-versions", "attributes": map[string]any{
		"serial": 7, "lineage": lineage, "md5": hex.EncodeToString(sum[:]),
		"state": base64.StdEncoding.EncodeToString([]byte(raw)), "json-state": base64.StdEncoding.EncodeToString([]byte(asJSON)),
	}}})
	api(http.MethodPost, "workspaces/"+id+"/actions/unlock", map[string]any{})
}

func TestVerifyDeep(t *testing.T) {
	without := func(text string) string { return strings.Replace(deepJSON, text, "", 1) }
	tests := []struct {
		name, json string
		outcome    migrate.Outcome
		code       migrate.Code
		says       string
	}{
		{"the same resources", deepJSON, migrate.AlreadyThere, "", "2 resources and 2 outputs"},
		{"an object less", without(`{"address": "module.web[\"eu\"].aws_instance.this[0]", "mode": "managed", "type": "aws_instance", "name": "this", "index": 0, "values": {"id": "i-1"}},`),
			migrate.Refused, migrate.CodeResourcesDiffer, `module.web["eu"].aws_instance.this has 2 and 1 deposed, 1 tainted objects in the state and 1 and 1 deposed, 1 tainted on the server`},
		{"not tainted", without(`"tainted": true, `), migrate.Refused, migrate.CodeResourcesDiffer, "aws_instance.this"},
		{"an output less", without(`, "key": {"sensitive": true, "value": "b", "type": "string"}`), migrate.Refused, migrate.CodeResourcesDiffer, "output key is missing on the server"},
		{"an output that is not sensitive there", strings.Replace(deepJSON, `"sensitive": true`, `"sensitive": false`, 1), migrate.Refused, migrate.CodeResourcesDiffer, "output key is sensitive on one side only"},
		{"nothing", `{"format_version": "1.0"}`, migrate.Refused, migrate.CodeResourcesDiffer, "data.aws_ami.base"},
		{"something else", `{"hello": "world"}`, migrate.Failed, migrate.CodeUnproven, "is not in Terraform's format"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, tfesim.Options{RateLimit: -1})
			b.snapshot([]byte(deepState))
			b.holdsJSON(deepState, test.json)
			r := b.engine.VerifyDeep(t.Context(), b.move())
			want(t, r, test.outcome, migrate.Identical, test.code)
			if all := r.Message + strings.Join(r.Notes, " "); !strings.Contains(all, test.says) {
				t.Errorf("does not say %q: %s", test.says, all)
			}
		})
	}
}

func TestVerifyDeepWithoutJSONSaysSo(t *testing.T) {
	b := newBench(t, tfesim.Options{RateLimit: -1})
	raw := state(7, lineage, 1)
	b.snapshot(raw)
	b.holds(raw)
	r := b.engine.VerifyDeep(t.Context(), b.move())
	want(t, r, migrate.AlreadyThere, migrate.Identical, "")
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "only the bytes were compared") }) {
		t.Errorf("notes: %q", r.Notes)
	}
}

func TestVerifyDeepStopsWhereTheBytesDiffer(t *testing.T) {
	b := newBench(t, tfesim.Options{RateLimit: -1})
	b.snapshot(state(8, lineage, 1))
	b.holds(state(7, lineage, 1))
	want(t, b.engine.VerifyDeep(t.Context(), b.move()), migrate.Refused, migrate.Newer, migrate.CodeOutdated)
}
