package command_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestBackendsAreListed checks that every kind is listed with an address that its scheme
// begins, and that the forms in help come from the same list.
func TestBackendsAreListed(t *testing.T) {
	t.Parallel()
	var listed struct {
		Backends []struct {
			Name, Source, Environment string
			ReadOnly                  string `json:"read_only"`
			Target                    *struct{ State string }
		}
	}
	if err := json.Unmarshal([]byte(tfhaul(t, "backends", "--json").stdout), &listed); err != nil {
		t.Fatal(err)
	}
	text, help := tfhaul(t, "backends").stdout, strings.Join(strings.Fields(tfhaul(t, "help", "move").stdout), " ")
	man := tfhaul(t, "man").stdout
	for _, b := range listed.Backends {
		if b.Name == "" || b.Source == "" || (b.Target == nil) == (b.ReadOnly == "") {
			t.Errorf("%+v: a field is missing", b)
		}
		if !strings.Contains(text, "\n"+b.Name+"\n") && !strings.HasPrefix(text, b.Name+"\n") || !strings.Contains(text, b.Source) {
			t.Errorf("the text does not list %s", b.Name)
		}
		if scheme, _, ok := strings.Cut(b.Source, "://"); ok && !strings.Contains(help, scheme+"://") {
			t.Errorf("the help of move does not name %s://", scheme)
		}
		if !strings.Contains(man, strings.ReplaceAll(b.Environment, "…", `\[u2026]`)) {
			t.Errorf("the manual page does not name %s", b.Environment)
		}
	}
	if len(listed.Backends) < 6 {
		t.Errorf("only %d kinds are listed", len(listed.Backends))
	}
}
