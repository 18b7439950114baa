package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/statefile"
)

// An outputSet holds outputs with names as in modules for AWS, Azure, GCP, Kubernetes,
// databases and SaaS providers, and made-up values. Both groups were written before the
// rules were tuned.
type outputSet struct {
	Secret   map[string]any `json:"secret"`
	Innocent map[string]any `json:"innocent"`
}

func readOutputSet(t *testing.T, name string) (s outputSet) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// reported returns the names of the outputs that the audit reports.
func reported(t *testing.T, values map[string]any) map[string]bool {
	t.Helper()
	type output struct {
		Value any `json:"value"`
		Type  any `json:"type"`
	}
	outputs := map[string]output{}
	for name, value := range values {
		outputs[name] = output{value, ctyType(value)}
	}
	text, err := json.MarshalIndent(map[string]any{
		"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "outputs": outputs, "resources": []any{},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	f := &file{}
	if _, err := statefile.Inspect(strings.NewReader(string(text)), f.visitor(nil)); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, p := range f.plainSecrets {
		names[p.name] = true
	}
	return names
}

// ctyType returns a value's type as Terraform writes it.
func ctyType(value any) any {
	switch value := value.(type) {
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "bool"
	case []any:
		types := []any{}
		for _, element := range value {
			types = append(types, ctyType(element))
		}
		return []any{"tuple", types}
	case map[string]any:
		types := map[string]any{}
		for name, member := range value {
			types[name] = ctyType(member)
		}
		return []any{"object", types}
	}
	return "dynamic"
}

// TestSecretsAreFoundAmongRealisticOutputs measures the set that the rules were tuned on,
// where at least 95 % of the secrets must be found and at most 2 % of the others
// reported, and a set that was held out until the rules were done.
func TestSecretsAreFoundAmongRealisticOutputs(t *testing.T) {
	for _, test := range []struct {
		set           string
		atLeast       int // minimum number of secrets and of innocent outputs in the set
		found, falsey float64
	}{
		{"outputs.json", 100, 0.95, 0.02},
		{"outputs-held-out.json", 50, 0.95, 0.02},
	} {
		t.Run(test.set, func(t *testing.T) {
			set := readOutputSet(t, test.set)
			if len(set.Secret) < test.atLeast || len(set.Innocent) < test.atLeast {
				t.Fatalf("the set holds %d secrets and %d innocent outputs", len(set.Secret), len(set.Innocent))
			}
			missed := slices.Sorted(maps.Keys(set.Secret))
			found := reported(t, set.Secret)
			missed = slices.DeleteFunc(missed, func(name string) bool { return found[name] })
			wrong := slices.Sorted(maps.Keys(reported(t, set.Innocent)))

			measured := fmt.Sprintf("%d of %d secrets found, %d of %d innocent outputs reported",
				len(set.Secret)-len(missed), len(set.Secret), len(wrong), len(set.Innocent))
			t.Log(measured)
			if float64(len(missed)) > (1-test.found)*float64(len(set.Secret)) || float64(len(wrong)) > test.falsey*float64(len(set.Innocent)) {
				t.Errorf("%s\nmissed: %s\nfalse: %s", measured, strings.Join(missed, " "), strings.Join(wrong, " "))
			}
		})
	}
}
