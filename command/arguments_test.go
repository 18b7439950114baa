package command

import (
	"slices"
	"strings"
	"testing"
)

// TestArrange shows what urfave/cli is given for what the user typed.
func TestArrange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, typed string
		environ     []string
		want        string // an error without "tfhaul " in front
	}{
		{"flags after arguments", "move a acme/net --create --lock-timeout 5m", nil, "tfhaul move --create --lock-timeout=5m -- a acme/net"},
		{"a flag of the program before the command", "--log-level debug version", nil, "tfhaul version --log-level=debug --"},
		{"arguments that look like flags", "move --json -- -a --json", nil, "tfhaul move --json -- -a --json"},
		{"standard input", "move - acme/net", nil, "tfhaul move -- - acme/net"},
		{"a value that looks like a flag", "audit --include -a", nil, "tfhaul audit --include=-a --"},
		{"help instead of anything else", "move a --lock-timeout=5m --help", nil, "tfhaul help --brief move"},
		{"all help instead of anything else", "unlock --all --help", nil, "tfhaul help unlock"},
		{"help for a command", "help move", nil, "tfhaul help -- move"},
		{"the version", "-v", nil, "tfhaul version"},
		{"a variable", "audit .", []string{"TFHAUL_JSON=true"}, "tfhaul audit --json=true -- ."},
		{"a flag before its variable", "move a b --upload=inline", []string{"TFHAUL_UPLOAD=signed"}, "tfhaul move --upload=inline -- a b"},
		{"a value for each line of a variable", "audit", []string{"TFHAUL_INCLUDE=a,b\nc"}, "tfhaul audit --include=a,b --include=c --"},
		{"the default of a choice", "move a b --execution-mode=", nil, "tfhaul move --execution-mode= -- a b"},
		{"no choice", "move a b --upload=", nil, `--upload cannot be "": use auto, inline or signed`},
		{"a wrong variable", "move a b", []string{"TFHAUL_TIMEOUT=-1s"}, "TFHAUL_TIMEOUT cannot be negative"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := &process{environ: test.environ}
			arranged, err := p.arrange(p.app(), append([]string{"tfhaul"}, strings.Fields(test.typed)...))
			got := strings.Join(arranged, " ")
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestUsualSpellingsAreSuggested keeps suggestions to what is near.
func TestUsualSpellingsAreSuggested(t *testing.T) {
	t.Parallel()
	names := []string{"move", "migrate", "--dry-run", "--json"}
	for given, want := range map[string]string{"mvoe": "move", "migr": "migrate", "apply": "", "--dryrun": "--dry-run", "--password": ""} {
		if got := closest(given, slices.Clone(names)); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}
