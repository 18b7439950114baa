package s3_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/pairing"
)

// configuration is a directory in which the real terraform uses the s3 backend.
type configuration struct {
	t         *testing.T
	dir       string
	terraform string
}

// newConfiguration writes and initializes a configuration whose backend keeps its state in
// b at key. settings are further lines of the backend block.
func newConfiguration(t *testing.T, b *bucket, key, resources string, settings ...string) *configuration {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("NOT TESTED against the real terraform, which is not on PATH")
	}
	c := &configuration{t: t, dir: t.TempDir(), terraform: terraform}
	c.write(fmt.Sprintf(`
terraform {
  backend "s3" {
    bucket                      = %q
    key                         = %q
    region                      = "us-east-1"
    endpoints                   = { s3 = %q }
    use_path_style              = true
    skip_credentials_validation = true
    skip_requesting_account_id  = true
    skip_region_validation      = true
    skip_metadata_api_check     = true
    %s
  }
}
variable "note" { default = "first" }
resource "terraform_data" "one" { input = var.note }
output "note" { value = terraform_data.one.output }
%s
`, b.name, key, b.server.url(), strings.Join(settings, "\n    "), resources))
	c.must("init", "-input=false")
	return c
}

func (c *configuration) write(hcl string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "main.tf"), []byte(hcl), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *configuration) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), c.terraform, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(),
		"HOME="+c.dir, "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1")
	return cmd
}

// run runs terraform and returns its output.
func (c *configuration) run(args ...string) (string, error) {
	out, err := c.command(append(args, "-no-color")...).CombinedOutput()
	return string(out), err
}

func (c *configuration) must(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply runs terraform apply and returns its output.
func (c *configuration) apply(note string) (string, error) {
	return c.run("apply", "-auto-approve", "-input=false", "-var=note="+note)
}

func TestFindsTerraformsStates(t *testing.T) {
	b := gateway.bucket(t)
	network := newConfiguration(t, b, "network/terraform.tfstate", "", "use_lockfile = true")
	if out, err := network.apply("default"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	network.must("workspace", "new", "prod")
	if out, err := network.apply("prod"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	app := newConfiguration(t, b, "terraform.tfstate", "", "use_lockfile = true", `workspace_key_prefix = "app"`)
	app.must("workspace", "new", "prod")
	if out, err := app.apply("prod"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	listing, err := kinds().Find(t.Context(), b.ref("", "workspace-key-prefix", "app"), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	namer, err := pairing.ParseNamer("")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range listing.States {
		name, err := namer.Name(o.Place())
		if err != nil {
			t.Error(err)
		}
		names = append(names, name)
		if lock, err := o.Holder(t.Context()); lock != nil || err != nil {
			t.Errorf("%s: Holder = %+v, %v; terraform has ended", o.Address(), lock, err)
		}
	}
	// app/prod/…, env:/prod/network/…, network/…
	if want := []string{"app-prod", "network-prod", "network"}; !slices.Equal(names, want) {
		t.Errorf("workspaces are called %q, want %q", names, want)
	}
	// We read what terraform pulls.
	pulled := network.must("state", "pull")
	read, _ := readAll(t, listing.States[1])
	if strings.TrimSpace(pulled) != strings.TrimSpace(string(read)) {
		t.Error("terraform state pull returns a different state from the source")
	}
}

func TestOurLockStopsTerraform(t *testing.T) {
	b := gateway.bucket(t)
	c := newConfiguration(t, b, "network/terraform.tfstate", "", "use_lockfile = true")
	if out, err := c.apply("first"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := findOne(t, b.ref("network/terraform.tfstate"))

	lease := takeLock(t, o)
	out, err := c.apply("second")
	if err == nil {
		t.Fatalf("terraform applied although the source is locked:\n%s", out)
	}
	for _, said := range []string{"Error acquiring the state lock", lease.Lock().ID, "haul h-7", "OperationTypeMigrate"} {
		if !strings.Contains(out, said) {
			t.Errorf("terraform does not show %q:\n%s", said, out)
		}
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := c.apply("third"); err != nil {
		t.Errorf("terraform cannot apply after the release: %v\n%s", err, out)
	}
}

func TestAFrozenSourceStaysFrozenUntilLifted(t *testing.T) {
	b := gateway.bucket(t)
	c := newConfiguration(t, b, "network/terraform.tfstate", "", "use_lockfile = true")
	if out, err := c.apply("first"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := findOne(t, b.ref("network/terraform.tfstate"))
	lease := takeLock(t, o)
	how := lease.Leave()
	if !strings.Contains(how, "terraform force-unlock "+lease.Lock().ID) || !strings.Contains(how, "aws s3 rm s3://"+b.name+"/network/terraform.tfstate.tflock") {
		t.Errorf("the sentence does not say how to remove it: %s", how)
	}
	if out, err := c.apply("second"); err == nil {
		t.Fatalf("terraform applied although the source is frozen:\n%s", out)
	}
	c.must("force-unlock", "-force", lease.Lock().ID)
	if out, err := c.apply("third"); err != nil {
		t.Errorf("terraform cannot apply after the lock was removed: %v\n%s", err, out)
	}
	if err := lease.Release(t.Context()); !isLost(err) {
		t.Errorf("Release of a removed lock: %v, want a *LockLostError", err)
	}
}
