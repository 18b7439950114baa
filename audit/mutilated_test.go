package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tfhaul/audit"
)

// TestDamagedStatesShowNoValues damages states everywhere. Findings about a damaged file
// must not contain any of its values, nor a key that a user chose.
func TestDamagedStatesShowNoValues(t *testing.T) {
	const secret = "pLaNtEd"
	states := []string{`{
 "version": 4, "terraform_version": "1.9.5", "serial": 3, "lineage": "11111111-2222-3333-4444-555555555555",
 "outputs": {"a": {"value": "SECRET", "type": "string"}, "b": {"value": {"SECRET": ["SECRET", 1e400, null]}, "type": ["object", {"SECRET": "string"}]}},
 "resources": [{"module": "module.x[\"SECRET\"]", "mode": "managed", "type": "aws_x", "name": "n", "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
  "instances": [{"index_key": "SECRET", "schema_version": 0, "attributes": {"id": "SECRET", "SECRET": "SECRET", "n": {"SECRET": {"x": 1}}}, "private": "SECRET",
   "sensitive_attributes": [[{"type": "get_attr", "value": "SECRET"}]], "dependencies": ["SECRET"]}]}],
 "check_results": [{"object_kind": "resource", "config_addr": "SECRET", "status": "fail", "objects": [{"object_addr": "SECRET", "status": "fail", "failure_messages": ["SECRET"]}]}]
}`, `{"version": 3, "terraform_version": "0.11.14", "serial": 3, "lineage": "x", "modules": [{"path": ["root", "SECRET"],
 "outputs": {"a": {"sensitive": false, "type": "map", "value": {"SECRET": "SECRET"}}},
 "resources": {"aws_x.a": {"type": "aws_x", "depends_on": ["SECRET"], "primary": {"id": "SECRET", "attributes": {"id": "SECRET", "SECRET": "SECRET"}, "meta": {"SECRET": 1}}}}}]}`}
	intruders := []string{`"`, "{", "}", "[", "]", ",", ":", "\x00", `\`, "//", "\n", "1", "true", "\xff", "<<<<<<< HEAD\n", `\u12`}
	random := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	const each = 400
	for n := range each * len(states) {
		data := []byte(strings.ReplaceAll(states[n/each], "SECRET", secret))
		at := random.IntN(len(data))
		switch n % 4 {
		case 0:
			data = data[:at]
		case 1:
			data = append(data[:at], data[min(len(data), at+1+random.IntN(3)):]...)
		case 2:
			data = append(append(bytes.Clone(data[:at]), intruders[random.IntN(len(intruders))]...), data[at:]...)
		case 3:
			data = bytes.Replace(data, []byte(`"`+secret+`"`), []byte(intruders[random.IntN(len(intruders))]), 1+random.IntN(4))
		}
		write(t, dir, fmt.Sprintf("%04d.tfstate", n), string(data))
	}
	i := take(t, audit.Options{}, dir)
	if n := i.Summary().Codes[audit.CodeInvalid]; n < each {
		t.Errorf("%d of %d were found invalid", n, each*len(states))
	}
	text, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	if at := bytes.Index(text, []byte(secret[:5])); at >= 0 {
		t.Errorf("the inventory contains %s", text[max(0, at-200):min(len(text), at+50)])
	}
}
