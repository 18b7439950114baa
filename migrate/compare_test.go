package migrate_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// Every one is refused, and the user is asked to decide only where the contents differ.
func TestDivergedSaysWhatDiffers(t *testing.T) {
	ours := state(7, lineage, 3)
	version := replaceVersion(t, ours, "1.0.0")
	const choice = "Decide which is correct."
	tests := []struct {
		name   string
		held   []byte
		says   string
		choice bool
	}{
		{"other resources", state(7, lineage, 4), "both have serial 7 but different contents", true},
		{"CRLF", bytes.ReplaceAll(ours, []byte("\n"), []byte("\r\n")), "serial 7 with the same content in different formatting.", false},
		{"another version of Terraform", version, "the same content; only terraform_version differs.", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.snapshot(ours)
				b.holds(test.held)
				for _, dry := range []bool{true, false} {
					b.engine.DryRun = dry
					r := b.run()
					if r.Code != migrate.CodeDiverged || !strings.Contains(r.Message, test.says) || strings.Contains(r.Message, choice) != test.choice || !strings.Contains(r.Message, "--bump-serial network") {
						t.Errorf("dry run %v: %s: %s", dry, r.Code, r.Message)
					}
				}
				b.wantHeld(test.held)
				b.wantUnlocked()
			})
		})
	}
}

// replaceVersion is the state as another version of Terraform would have written it.
func replaceVersion(t *testing.T, state []byte, version string) []byte {
	t.Helper()
	const key = `"terraform_version": "`
	before, rest, found := bytes.Cut(state, []byte(key))
	_, after, ended := bytes.Cut(rest, []byte(`"`))
	if !found || !ended {
		t.Fatal("the state has no terraform_version")
	}
	return bytes.Join([][]byte{before, []byte(key + version + `"`), after}, nil)
}
