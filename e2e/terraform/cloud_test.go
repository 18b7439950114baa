package terraform

import (
	"slices"
	"strings"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

const byName = `
  cloud {
    hostname     = "HOST"
    organization = "demo"
    workspaces { name = "net" }
  }`

const remoteByName = `
  backend "remote" {
    hostname     = "HOST"
    organization = "demo"
    workspaces { name = "net" }
  }`

// The whole life of a state with cloud {} and one workspace, on every personality.
func TestCloudByName(t *testing.T) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.OldTFE, tfesim.Lax} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := open(t, tfesim.Options{Personality: p})
			f := s.configure(t, byName)
			f.run("init", "-no-color")
			if got := s.Workspaces("demo"); !slices.Equal(got, []string{"net"}) {
				t.Fatalf("init created the workspaces %v", got)
			}
			if code, _, stderr := f.try("plan", "-no-color", "-detailed-exitcode"); code != 2 {
				t.Fatalf("the first plan: exit code %d\n%s", code, stderr)
			}
			f.run("apply", "-no-color", "-auto-approve")
			f.wantNoChanges()
			f.wantHeld("net")
			if got := f.run("output", "-raw", "plain"); got != "first 1" {
				t.Errorf("output plain: %q", got)
			}

			f.run("apply", "-no-color", "-auto-approve", "-var", "size=2")
			f.wantHeld("net")
			f.run("state", "mv", "terraform_data.a", "terraform_data.c")
			f.run("state", "rm", "terraform_data.c")
			if got := f.run("state", "list"); strings.TrimSpace(got) != "terraform_data.b" {
				t.Errorf("state list: %q", got)
			}
			f.wantHeld("net")
			s.wantUnlocked(t)
		})
	}
}

func TestCloudByTags(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{})
	f := s.configure(t, `
  cloud {
    hostname     = "HOST"
    organization = "demo"
    workspaces { tags = ["app", "core"] }
  }`)
	workspaceLife(t, f, func(name string) string { return name })
}

func TestCloudByProject(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{})
	c, err := tfe.NewClient(&tfe.Config{Address: s.running.URL(), Token: s.Token(tfesim.Owner), HTTPClient: s.running.Client()})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Projects.Create(t.Context(), "demo", tfe.ProjectCreateOptions{Name: "networking"})
	if err != nil {
		t.Fatal(err)
	}
	f := s.configure(t, `
  cloud {
    hostname     = "HOST"
    organization = "demo"
    workspaces {
      tags    = ["app"]
      project = "networking"
    }
  }`)
	workspaceLife(t, f, func(name string) string { return name })
	w, err := c.Workspaces.Read(t.Context(), "demo", "blue")
	if err != nil {
		t.Fatal(err)
	}
	if w.Project.ID != p.ID {
		t.Error("the workspace was not created in the project")
	}
}

func TestRemoteByName(t *testing.T) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.OldTFE, tfesim.Lax} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := open(t, tfesim.Options{Personality: p})
			f := s.configure(t, remoteByName)
			f.run("init", "-no-color")
			f.run("apply", "-no-color", "-auto-approve")
			f.wantNoChanges()
			f.wantHeld("net")
			f.run("state", "mv", "terraform_data.a", "terraform_data.c")
			f.run("state", "rm", "terraform_data.c")
			f.wantHeld("net")
			s.wantUnlocked(t)
		})
	}
}

func TestRemoteByPrefix(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{})
	f := s.configure(t, `
  backend "remote" {
    hostname     = "HOST"
    organization = "demo"
    workspaces { prefix = "app-" }
  }`)
	workspaceLife(t, f, func(name string) string { return "app-" + name })
}

// workspaceLife creates two workspaces, uses both, and deletes one.
func workspaceLife(t *testing.T, f *folder, remote func(string) string) {
	t.Helper()
	s := f.site
	// If there is no workspace yet, cloud {} asks for the name of the first one and creates
	// it; the remote backend requires "workspace new".
	f.typed = "blue\n"
	if code, _, stderr := f.try("init", "-no-color"); code != 0 && !strings.Contains(stderr, "No existing workspaces") {
		t.Fatalf("init: exit code %d\n%s", code, stderr)
	}
	f.typed = ""
	if len(s.Workspaces("demo")) == 0 {
		f.run("workspace", "new", "blue")
	}
	f.run("apply", "-no-color", "-auto-approve", "-var", "size=0")
	f.wantHeld(remote("blue"))
	f.run("workspace", "new", "green")
	f.run("apply", "-no-color", "-auto-approve", "-var", "size=1")
	f.wantHeld(remote("green"))
	want := []string{remote("blue"), remote("green")}
	if got := s.Workspaces("demo"); !slices.Equal(got, want) {
		t.Errorf("the server has the workspaces %v, want %v", got, want)
	}
	list := strings.Fields(strings.ReplaceAll(f.run("workspace", "list"), "*", ""))
	if !slices.Equal(list, []string{"blue", "green"}) {
		t.Errorf("workspace list: %v", list)
	}
	f.run("workspace", "select", "blue")
	f.wantHeld(remote("blue"))
	if code, _, _ := f.try("workspace", "delete", "-no-color", "green"); code == 0 {
		t.Error("a workspace that manages resources was deleted without -force")
	}
	f.run("workspace", "delete", "-no-color", "-force", "green")
	if got := s.Workspaces("demo"); !slices.Equal(got, want[:1]) {
		t.Errorf("after the deletion the server has %v", got)
	}
	s.wantUnlocked(t)
}
