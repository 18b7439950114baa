package command_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// A lock that a killed haul has left would be waited for in vain. Every command that meets
// it says which haul it was, and the command that it prints releases the lock.
func TestLockOfADeadHaulNamesTheCommandThatFreesIt(t *testing.T) {
	t.Parallel()
	const reason = "tfhaul moves a state here (haul 20261128-150154-db0832cdf01d)"
	path := write(t, "terraform.tfstate", state(1, 10))
	for name, args := range map[string][]string{
		"move":              {"move", path, org + "/net"},
		"move --dry-run":    {"move", path, org + "/net", "--dry-run"},
		"unlock, by a haul": {"unlock", org + "/net", "--haul", "20260101-000000-000000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			h.addWorkspace(t, "net")
			if err := h.Lock(org, "net", tfesim.Owner, reason); err != nil {
				t.Fatal(err)
			}
			r := h.tfhaul(t, args...)
			command := regexp.MustCompile(`tfhaul (unlock \S+ --haul 20261128-150154-db0832cdf01d)`).FindStringSubmatch(strings.Join(strings.Fields(r.stdout+r.stderr), " "))
			if r.code == 0 || command == nil {
				t.Fatalf("exit code %d, want a command that frees the lock: %s%s", r.code, r.stdout, r.stderr)
			}
			if freed := h.tfhaul(t, strings.Fields(command[1])...); freed.code != 0 {
				t.Errorf("exit code %d: %s", freed.code, freed.stderr)
			}
			h.mustBeFree(t, "net")
		})
	}
}

// A pipe whose command failed gives no bytes: that is not an empty state.
func TestEmptyStandardInputIsRefused(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	r := h.tfhaulIn(t, t.Context(), h.environ, []byte{}, "move", "-", org+"/net")
	if r.code != 3 || !strings.Contains(r.stdout, "Check whether the command before the pipe failed.") {
		t.Errorf("exit code %d, want 3: %s%s", r.code, r.stdout, r.stderr)
	}
}

// A manifest that is not there is said before anything is asked.
func TestMissingManifestIsNamedBeforeAnyQuestion(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	missing := t.TempDir() + string(os.PathSeparator) + "haul.hcl"
	if r := h.tfhaul(t, "migrate", missing); r.code != 4 || !strings.Contains(r.stderr, "no such file") {
		t.Errorf("exit code %d, want 4: %s", r.code, r.stderr)
	}
}

// The command that a refusal prints permits what it says, also where the name was written in
// another case: the workspace is looked up before any advice.
func TestAdviceNamesTheWorkspaceAsTheServerDoes(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "tofu")
	path := write(t, "terraform.tfstate", []byte(craftedState("providers on the instances")))
	args := []string{"move", path, org + "/TOFU"}
	r := h.tfhaul(t, args...)
	allow := regexp.MustCompile(`--allow tofu=unusable`).FindString(strings.Join(strings.Fields(r.stdout), " "))
	if r.code != 3 || allow == "" {
		t.Fatalf("exit code %d, want --allow tofu=unusable: %s", r.code, r.stdout)
	}
	for _, want := range []string{"moved", "already-there"} {
		r := h.tfhaul(t, append(args, "--json", "--allow", "tofu=unusable")...)
		m := r.document(t)
		if r.code != 0 || m["outcome"] != want || (want == "already-there") == strings.Contains(notesOf(m), "move is allowed by") {
			t.Errorf("exit code %d, want %s: %s", r.code, want, r.stdout)
		}
	}
}
