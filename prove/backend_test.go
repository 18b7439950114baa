package prove_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/prove"
)

// inFile is a request for the proof of a state in a file at path.
func inFile(t *testing.T, path, main string) prove.BackendRequest {
	t.Helper()
	role := file.Kind(backend.Connection{}).Target
	container, name, err := role.SplitState(path)
	if err != nil {
		t.Fatal(err)
	}
	target, err := role.Open(t.Context(), container)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return prove.BackendRequest{Target: target, Name: name, Dir: folder(t, "main.tf", main),
		Block: func(ctx context.Context) (*backend.Block, error) { return role.Block(ctx, container, name) }}
}

// stored writes a state into a file.
func stored(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "network.tfstate")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A state that changes during the plan is not proven, and neither is a version that was
// replaced before.
func TestBackendProofOfAStateThatChanges(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	path := stored(t, state(t))
	other := []byte(strings.Replace(string(state(t)), `"serial": `, `"serial": 1`, 1))
	p := &prove.Prover{Observe: func(e prove.Event) {
		if e.Stage == prove.StageJudging {
			if err := os.WriteFile(path, other, 0o600); err != nil {
				t.Error(err)
			}
		}
	}}
	q := inFile(t, path, configuration)
	r := p.ProveBackend(t.Context(), q, prove.Local{Environ: clean(os.Environ())})
	want(t, r, prove.Unproven, prove.CodeStateChanged, "during the plan")
	q.Version = r.StateVersionID
	want(t, p.ProveBackend(t.Context(), q, prove.Local{Environ: clean(os.Environ())}), prove.Unproven, prove.CodeStateChanged, "no longer")
}

// terraformThat is a program that reports a version of Terraform, and does what the shell
// command says when it is run for anything else.
func terraformThat(t *testing.T, version, does string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "terraform")
	script := "#!/bin/sh\nif [ \"$1\" = version ]; then echo '{\"terraform_version\": \"" + version + "\"}'; else " + does + "; fi\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// A terraform that is too old for the backend block is not run.
func TestBackendProofWithAnOldTerraform(t *testing.T) {
	t.Parallel()
	q := inFile(t, stored(t, oneInstance), configuration)
	q.Block = func(context.Context) (*backend.Block, error) {
		return &backend.Block{Type: "s3", Arguments: []backend.Argument{{Name: "use_lockfile", Value: true}}, Terraform: "1.10.0", Newest: "use_lockfile"}, nil
	}
	for version, says := range map[string]string{"1.9.8": "is 1.9.8, but use_lockfile in the backend block needs 1.10.0 or newer", "1.10.0-beta1": "The plan failed", "": "does not report its version"} {
		marker := filepath.Join(t.TempDir(), "ran")
		r := (&prove.Prover{}).ProveBackend(t.Context(), q, prove.Local{Terraform: terraformThat(t, version, "echo > '"+marker+"'; exit 1"), Environ: os.Environ()})
		code := prove.CodeNoTerraform
		if says == "The plan failed" {
			code = prove.CodeRunErrored
		}
		want(t, r, prove.Unproven, code, says)
		if _, err := os.Stat(marker); (err == nil) != (code == prove.CodeRunErrored) {
			t.Errorf("Terraform %q: it was run for a plan: %v", version, err == nil)
		}
	}
}

// A state that Terraform's backend cannot name is not planned.
func TestBackendProofWithoutABlock(t *testing.T) {
	t.Parallel()
	q := inFile(t, stored(t, oneInstance), configuration)
	q.Block = func(context.Context) (*backend.Block, error) { return nil, errors.New("there is no such key") }
	r := (&prove.Prover{}).ProveBackend(t.Context(), q, prove.Local{Terraform: terraformThat(t, "1.11.4", "exit 1")})
	want(t, r, prove.Unproven, prove.CodeConfiguration, "There is no such key.")
}

// A terraform that does not finish in time is stopped.
func TestBackendProofIsLimited(t *testing.T) {
	t.Parallel()
	q := inFile(t, stored(t, oneInstance), configuration)
	p := &prove.Prover{Timeout: 100 * time.Millisecond}
	r := p.ProveBackend(t.Context(), q, prove.Local{Terraform: terraformThat(t, "1.11.4", "exec sleep 60"), Environ: os.Environ()})
	want(t, r, prove.Unproven, prove.CodeTimeout, "--run-timeout")
}

// oneInstance is a state that no terraform has to read.
var oneInstance = []byte(`{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"11111111-2222-3333-4444-555555555555","outputs":{},"resources":[
{"mode":"managed","type":"terraform_data","name":"a","provider":"provider[\"terraform.io/builtin/terraform\"]","instances":[{"schema_version":0,"attributes":{"id":"x"}}]}],"check_results":null}
`)

// Modules outside of the configuration's directory are copied with the repository, or with as
// much as the paths need. The files of variables are read where they are.
func TestBackendProofWithModulesElsewhere(t *testing.T) {
	needTerraform(t)
	t.Parallel()
	const main = "module \"b\" {\n  source = \"../../modules/b\"\n}\nvariable \"unset\" {}\n" + configuration
	files := []string{"live/net/main.tf", main, "modules/b/main.tf", "module \"c\" {\n  source = \"../c\"\n}\n", "modules/c/main.tf", "", "net.tfvars", "unset = 1\n"}
	for name, extra := range map[string][]string{"in a repository": {".git/HEAD", "x"}, "in no repository": nil} {
		root := folder(t, append(extra, files...)...)
		q := inFile(t, stored(t, state(t)), "")
		q.Dir = filepath.Join(root, "live", "net")
		o := prove.Local{Environ: clean(os.Environ())}
		want(t, (&prove.Prover{}).ProveBackend(t.Context(), q, o), prove.Unproven, prove.CodeMissingVariable, "TF_VAR_unset")
		o.VarFiles = []string{filepath.Join(root, "net.tfvars")}
		if r := (&prove.Prover{}).ProveBackend(t.Context(), q, o); r.Verdict != prove.Proven {
			t.Errorf("%s: %s: %s", name, r.Code, r.Message)
		}
	}
}
