package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// mixed are states of which Terraform can use one, and the other only OpenTofu.
func mixed() map[string][]byte {
	return map[string][]byte{
		"net/terraform.tfstate":    []byte(craftedState("providers on the instances")),
		"legacy/terraform.tfstate": []byte(strings.Replace(craftedState("a legacy provider"), "5a1e0c7e", "5a1e0c7f", 1)),
		"plain/terraform.tfstate":  state(1, 10),
	}
}

func TestAllowPermitsTheNamedWorkspacesOnly(t *testing.T) {
	t.Parallel()
	states := mixed()
	for _, c := range []struct {
		name    string
		command []string
		flags   []string
		environ []string
		exit    int
		counts  string
		allowed []string
		arrives bool // what was allowed
	}{
		{"plan without it", []string{"plan"}, nil, nil, 3, "1 planned, 2 refused", nil, false},
		{"plan", []string{"plan"}, []string{"--allow", "net=unusable"}, nil, 3, "2 planned, 1 refused", []string{"net"}, false},
		{"rehearse", append([]string{"rehearse"}, quick...), []string{"--allow", "net=unusable", "--create"}, nil, 3, "2 planned, 1 refused", []string{"net"}, false},
		{"migrate", []string{"migrate", "--yes"}, []string{"--allow", "net=unusable"}, nil, 3, "2 moved, 1 refused", []string{"net"}, true},
		{"migrate with a dry run", []string{"migrate", "--dry-run"}, []string{"--allow", "net=unusable"}, nil, 3, "2 planned, 1 refused", []string{"net"}, false},
		{"migrate with two", []string{"migrate", "--yes"}, []string{"--allow", "net=unusable", "--allow=legacy=unusable"}, nil, 0, "3 moved", []string{"net", "legacy"}, true},
		{"migrate with the variable", []string{"migrate", "--yes"}, nil, []string{"TFHAUL_ALLOW=net=unusable\nlegacy=unusable"}, 0, "3 moved", []string{"net", "legacy"}, true},
		{"migrate with one given twice", []string{"migrate", "--yes"}, []string{"--allow=net=unusable", "--allow=net=unusable"}, nil, 3, "2 moved, 1 refused", []string{"net"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			for _, workspace := range []string{"net", "legacy", "plain"} {
				h.addWorkspace(t, workspace)
			}
			args := append(append([]string{}, c.command...), tree(t, states), "--target", org, "--json")
			if c.command[0] == "migrate" {
				args = append(args, "--journal", journalIn(t))
			}
			r := h.tfhaulIn(t, t.Context(), h.with(c.environ...), nil, append(args, c.flags...)...)
			r.want(t, c.exit, c.counts)
			for _, workspace := range []string{"net", "legacy"} {
				m := moveOf(t, r, workspace)
				said, _ := m["message"].(string)
				allowed := slices.Contains(c.allowed, workspace)
				switch {
				case allowed != (m["code"] == ""):
					t.Errorf("%s: code %v, allowed %v: %s", workspace, m["code"], allowed, said)
				case !allowed && (m["code"] != "unusable" || !strings.Contains(said, "--allow "+workspace+"=unusable")):
					t.Errorf("%s: code %v, and the message names no way out: %s", workspace, m["code"], said)
				case allowed && !strings.Contains(notesOf(m), "move is allowed by"):
					t.Errorf("%s: no note of what was allowed: %v", workspace, m["notes"])
				}
				var want []byte
				if allowed && c.arrives {
					want = states[workspace+"/terraform.tfstate"]
				}
				h.mustHold(t, workspace, want)
				h.mustBeFree(t, workspace)
			}
		})
	}
}

// A plan with --allow writes it into the manifest, which then is all that migrate needs.
func TestAllowIsKeptInTheManifest(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	states := mixed()
	dir := tree(t, states)
	for _, workspace := range []string{"net", "legacy", "plain", "byhand"} {
		h.addWorkspace(t, workspace)
	}
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	h.tfhaul(t, "plan", dir, "--target", org, "--allow", "net=unusable", "--out", manifest, "--json").want(t, 3, "2 planned, 1 refused")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte(`= ["unusable"]`)); n != 1 || bytes.Contains(text, []byte("\nmove \""+filepath.ToSlash(filepath.Join(dir, "legacy")))) || !bytes.Contains(text, []byte("\n#   workspace = \"legacy\"")) {
		t.Fatalf("the manifest allows %d moves, want 1, and what was refused only as a comment:\n%s", n, text)
	}
	h.tfhaul(t, "migrate", manifest, "--yes", "--json", "--journal", journalIn(t)).want(t, 0, "2 moved")
	h.mustHold(t, "net", states["net/terraform.tfstate"])
	h.mustHold(t, "plain", states["plain/terraform.tfstate"])
	h.mustHold(t, "legacy", nil)

	source := filepath.Join(dir, "legacy", "terraform.tfstate")
	head, _, _ := strings.Cut(string(text), "\n}\n")
	head += "\n}\n"
	byHand := func(allow string) string {
		return write(t, "haul.hcl", []byte(head+"\nmove \""+filepath.ToSlash(source)+"\" {\n  workspace = \"byhand\"\n"+allow+"}\n"))
	}
	refused := h.tfhaul(t, "migrate", byHand(""), "--yes", "--json", "--journal", journalIn(t))
	refused.want(t, 3, "1 refused")
	h.mustHold(t, "byhand", nil)
	for _, allow := range []string{`"everything"`, `"Unusable"`, `"invalid"`, `""`} {
		r := h.tfhaul(t, "migrate", byHand("  allow = ["+allow+"]\n"), "--yes", "--journal", journalIn(t))
		if r.code != 4 || !strings.Contains(r.stderr, "can be allowed") || !strings.Contains(r.stderr, "unusable") {
			t.Errorf("allow = [%s]: exit code %d: %s", allow, r.code, r.stderr)
		}
	}
	h.mustHold(t, "byhand", nil)
	h.tfhaul(t, "migrate", byHand("  allow = [\"unusable\"]\n"), "--yes", "--json", "--journal", journalIn(t)).want(t, 0, "1 moved")
	h.mustHold(t, "byhand", states["legacy/terraform.tfstate"])
}

// What --allow cannot mean is a mistake, which is found before anything is written.
func TestMisuseOfAllow(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": []byte(craftedState("providers on the instances"))})
	file := filepath.Join(dir, "net", "terraform.tfstate")
	for name, c := range map[string]struct{ allow, says string }{
		"an unknown code":                       {"net=everything", "can be allowed, not"},
		"a code that cannot be allowed":         {"net=invalid", "can be allowed"},
		"a code in capitals":                    {"net=UNUSABLE", "can be allowed"},
		"no code":                               {"net=", "can be allowed"},
		"a workspace alone":                     {"net", "write WORKSPACE=CODE"},
		"no workspace":                          {"=unusable", "write WORKSPACE=CODE"},
		"a workspace that no move goes into":    {"nit=unusable", `"nit"`},
		"an organization and a workspace":       {org + "/net=unusable", org + "/net"},
		"one that is right and one that is not": {"net=unusable\nnit=unusable", `"nit"`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{
				{"move", file, org + "/net"},
				{"plan", dir, "--target", org},
				{"migrate", dir, "--target", org, "--yes", "--journal", journalIn(t)},
				{"rehearse", dir, "--target", org, "--create", "--rate", "0", "--latency", "0"},
			} {
				for _, allow := range strings.Split(c.allow, "\n") {
					args = append(args, "--allow", allow)
				}
				r := h.tfhaul(t, args...)
				if r.code != 4 || !strings.Contains(r.stderr, c.says) || r.stdout != "" {
					t.Errorf("%s: exit code %d, want 4 and %q: %s%s", args[0], r.code, c.says, r.stdout, r.stderr)
				}
			}
		})
	}
	h.mustHold(t, "net", nil)
	h.mustBeFree(t, "net")
}

// Terraform takes the addresses of OpenTofu's registry for other providers: plan and move
// say so, and move the state.
func TestOpenTofuProvidersAreNoted(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	openTofu := []byte(craftedState("a provider of OpenTofu's registry"))
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": openTofu, "plain/terraform.tfstate": []byte(strings.Replace(craftedState("a plain state"), "5a1e0c7e", "5a1e0c7f", 1))})
	h.addWorkspace(t, "net")
	h.addWorkspace(t, "plain")
	const repair = `"terraform state replace-provider registry.opentofu.org/hashicorp/aws registry.terraform.io/hashicorp/aws"`
	for _, command := range [][]string{{"plan"}, {"migrate", "--yes"}} {
		args := append(command, dir, "--target", org, "--json")
		if command[0] == "migrate" {
			args = append(args, "--journal", journalIn(t))
		}
		r := h.tfhaul(t, args...)
		if said := notesOf(moveOf(t, r, "net")); !strings.Contains(said, "OpenTofu") || !strings.Contains(said, repair) {
			t.Errorf("%s says of OpenTofu's addresses: %q", command[0], said)
		}
		if said := notesOf(moveOf(t, r, "plain")); strings.Contains(said, "OpenTofu") {
			t.Errorf("%s says of a state of Terraform: %q", command[0], said)
		}
	}
	h.mustHold(t, "net", openTofu)
	h.addWorkspace(t, "one")
	r := h.tfhaul(t, "move", filepath.Join(dir, "net", "terraform.tfstate"), org+"/one", "--json")
	if document := r.document(t); document["outcome"] != "moved" || !strings.Contains(notesOf(document), repair) {
		t.Errorf("move: %v: %v", document["outcome"], document["notes"])
	}
	h.mustHold(t, "one", openTofu)
	h.addWorkspace(t, "text")
	if r := h.tfhaul(t, "move", filepath.Join(dir, "net", "terraform.tfstate"), org+"/text"); r.code != 0 || !strings.Contains(r.stdout, "replace-provider") {
		t.Errorf("the text of move does not say it: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	// Providers on the instances alone cannot be replaced: Terraform does not see them.
	h.addWorkspace(t, "instances")
	instances := write(t, "terraform.tfstate", []byte(craftedState("providers on the instances")))
	r = h.tfhaul(t, "move", instances, org+"/instances", "--json", "--allow", "instances=unusable")
	if said := notesOf(r.document(t)); r.code != 0 || strings.Contains(said, "replace-provider") {
		t.Errorf("exit code %d; it advises what cannot work: %s", r.code, said)
	}
}

// notesOf are the notes of a move in one text.
func notesOf(m map[string]any) string {
	notes, _ := m["notes"].([]any)
	var all []string
	for _, n := range notes {
		all = append(all, n.(string))
	}
	return strings.Join(all, "\n")
}

// What Terraform 0.13 and older wrote can name providers without a namespace. Newer releases fail
// in init, so the move depends on the release that runs in the workspace.
func TestLegacyProvidersDependOnTheWorkspace(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	old := strings.ReplaceAll(craftedState("a legacy provider"), "1.11.4", "0.13.5")
	const repair = `"terraform state replace-provider registry.terraform.io/-/aws registry.terraform.io/hashicorp/aws"`
	for _, format3 := range []bool{false, true} {
		source, suffix := []byte(old), "4"
		if format3 {
			source, suffix = []byte(craftedState("format 3")), "3"
		}
		path := write(t, "terraform.tfstate", source)
		for _, c := range []struct {
			name, runs, mode string
			flags            []string
			refused          bool
		}{
			{name: "runs-1-11", runs: "1.11.4", refused: true},
			{name: "runs-latest", runs: "latest", refused: true},
			{name: "runs-0-13", runs: "0.13.7"},
			{name: "runs-a-constraint", runs: "~> 1.11"},
			{name: "new", flags: []string{"--create"}}, // with the version that wrote the state
			{name: "new-latest", flags: []string{"--create", "--terraform-version", "latest"}, refused: true},
			{name: "new-1-11", flags: []string{"--create", "--terraform-version", "1.11.4"}, refused: true},
			{name: "new-local", flags: []string{"--create", "--execution-mode", "local"}},
			{name: "new-allowed", flags: []string{"--create", "--allow", "new-allowed-" + suffix + "=unusable"}},
		} {
			workspace := c.name + "-" + suffix
			if c.runs != "" {
				h.addWorkspace(t, workspace)
				if err := h.SetTerraformVersion(org, workspace, c.runs); err != nil {
					t.Fatal(err)
				}
			}
			for _, dry := range []bool{true, false} {
				args := append([]string{"move", path, org + "/" + workspace, "--json"}, c.flags...)
				if dry {
					args = append(args, "--dry-run")
				}
				r := h.tfhaul(t, args...)
				m := r.document(t)
				if c.refused {
					says, _ := m["message"].(string)
					if r.code != 3 || m["code"] != "unusable" || !strings.Contains(says, repair) || !strings.Contains(says, "Invalid legacy provider address") || !strings.Contains(says, "--allow "+workspace+"=unusable") {
						t.Errorf("%s, dry run %v: exit code %d: %s", workspace, dry, r.code, says)
					}
				} else if r.code != 0 || !strings.Contains(notesOf(m), repair) {
					t.Errorf("%s, dry run %v: exit code %d: %s %s", workspace, dry, r.code, m["message"], notesOf(m))
				}
			}
			switch {
			case !c.refused:
				h.mustHold(t, workspace, source)
			case c.runs != "":
				h.mustHold(t, workspace, nil)
			}
		}
		dir := tree(t, map[string][]byte{"planned-" + suffix + "/terraform.tfstate": source})
		if r := h.tfhaul(t, "plan", dir, "--target", org, "--create", "--terraform-version", "latest"); r.code != 3 || !strings.Contains(r.stdout, "unusable") || !strings.Contains(r.stdout, "replace-provider") {
			t.Errorf("plan: exit code %d: %s%s", r.code, r.stdout, r.stderr)
		}
	}
}
