package http

import (
	"strings"
	"testing"

	"tfhaul/backend"
)

func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ address, want string }{
		{"http+https://State.Example.com:443/live/net", "http+https://state.example.com/live/net"},
		{"HTTP+HTTPS://h.example/a%2Fb", "http+https://h.example/a%2Fb"},
		{"http+http://127.0.0.1:80/a", "http+http://127.0.0.1/a"},
		{"http+https://h.example/a?env=prod&lock-address=a/lock&lock-method=LOCK", "http+https://h.example/a?env=prod&lock-address=a/lock"},
		{"http+https://h.example/a?lock-address={name}&unlock-address={name}&lock-method=PUT", "http+https://h.example/a?lock-address={name}&lock-method=PUT"},
		{"gitlab://GitLab.com/acme/infra", "gitlab://gitlab.com/acme/infra/"},
		{"gitlab://gitlab.com/acme/infra/", "gitlab://gitlab.com/acme/infra/"},
		{"gitlab://gitlab.com/acme/infra/net.prod", "gitlab://gitlab.com/acme/infra/net.prod"},
		{"gitlab://gitlab.com/acme/sub/infra/net%2Fprod", "gitlab://gitlab.com/acme/sub/infra/net%2Fprod"},
		{"gitlab://gitlab.com/42", "gitlab://gitlab.com/42/"},
		{"gitlab://gitlab.com/42/net", "gitlab://gitlab.com/42/net"},
		{"gitlab+http://localhost:8080/acme/infra/", "gitlab+http://localhost:8080/acme/infra/"},
	} {
		if got := kinds().Canonical(tt.address); got != tt.want {
			t.Errorf("%s is %s, want %s", tt.address, got, tt.want)
		}
		if again := kinds().Canonical(tt.want); again != tt.want {
			t.Errorf("%s is %s, which should not change", tt.want, again)
		}
	}
}

func TestWhatAnAddressMeans(t *testing.T) {
	for _, tt := range []struct{ address, path, name string }{
		{"gitlab://h/a/b", "a/b", ""},
		{"gitlab://h/a/b/", "a/b", ""},
		{"gitlab://h/a/b/c", "a/b", "c"},
		{"gitlab://h/a/b/c/", "a/b/c", ""},
		{"gitlab://h/a/b/c%2Fd", "a/b", "c/d"},
		{"gitlab://h/7/c", "7", "c"},
		{"gitlab://h/7/c/", "7/c", ""},
		{"gitlab://h/7", "7", ""},
	} {
		s := &servers{getenv: backend.Getenv(nil)}
		if _, path, name, err := s.parseProject(tt.address); err != nil || path != tt.path || name != tt.name {
			t.Errorf("%s: project %q, state %q, %v", tt.address, path, name, err)
		}
	}
}

// hunter2 stands for a secret, which no message repeats.
func TestUnusableAddresses(t *testing.T) {
	for _, tt := range []struct{ address, want string }{
		{"http+https://ann:hunter2@h.example/a", "TF_HTTP_USERNAME and TF_HTTP_PASSWORD"},
		{"http+https://h.example/a?access_token=hunter2", `the parameter "access_token"`},
		{"http+https://h.example/a?sig=hunter2", `the parameter "sig"`},
		{"gitlab://glpat-hunter2@gitlab.com/acme/infra", "set GITLAB_TOKEN"},
		{"http+http://h.example/a", "allowed only for loopback addresses: write http+https://"},
		{"gitlab+http://h.example/a/b", "allowed only for loopback addresses: write gitlab://"},
		{"http+https:///a", "must be followed by a host"},
		{"http+https://h.example/a/", "cannot list states"},
		{"http+https://h.example/a#b", "%23"},
		{"http+https://h.example/100%", "percent sign as %25"},
		{"http+https://h.example/a?lock-address=", "has no value"},
		{"http+https://h.example/a?lock-address=b&lock-address=c", "appears twice"},
		{"http+https://h.example/a?lock-address=https://other.example/a", "must be on the same server"},
		{"http+https://h.example/a?lock-address=https://x:hunter2@h.example/a", "must not contain credentials"},
		{"http+https://h.example/a?lock-address=b?token=hunter2", "must not contain credentials"},
		{"http+https://h.example/a?update-method=p%20t", "an HTTP method"},
		{"gitlab://gitlab.com/acme", "names a project"},
		{"gitlab://gitlab.com/", "names a project"},
		{"gitlab://gitlab.com/acme//infra/", "names a project"},
		{"gitlab://gitlab.com/acme/infra/?x=1", "have no parameters"},
		{"gitlab://gitlab.com/acme/infra/" + strings.Repeat("x", 256), "at most 255"},
	} {
		_, err := kinds().Find(t.Context(), tt.address, backend.Filter{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v\nwant %s", tt.address, err, tt.want)
		}
	}
}

// The program cuts secrets out of its arguments before anything repeats them. The address is
// still refused.
func TestSecretsAreCutOutOfAddresses(t *testing.T) {
	for _, tt := range []struct{ address, without string }{
		{"http+https://ann:hunter2@h.example/a?x=1", "http+https://h.example/a?x=1"},
		{"http+https://hunter2@h.example", "http+https://h.example"},
		{"http+https://h.example/a?token=hunter2", "http+https://h.example/a?token="},
		{"http+https://ann:hun/ter2@h.example/a", "http+https://unreadable/address"},
		{"gitlab://token:hunter2@gitlab.com/acme/infra/", "gitlab://gitlab.com/acme/infra/"},
		{"http+https://h.example/a@b", "http+https://h.example/a@b"},
		{"http+https://[::1]:8080/a@b", "http+https://[::1]:8080/a@b"},
	} {
		without, password := cutPassword(tt.address)
		if without != tt.without || (password != "") != (without != tt.address) {
			t.Errorf("%s is cut to %s, with a password: %t", tt.address, without, password != "")
		}
		if password == "" {
			continue
		}
		other, gitLab := Kinds(backend.Connection{Environ: environ(), Passwords: map[string]string{without: password}})
		if _, err := (backend.Kinds{other, gitLab}).Find(t.Context(), without, backend.Filter{}); err == nil || !strings.Contains(err.Error(), "must not contain credentials") {
			t.Errorf("%s: %v", tt.address, err)
		}
	}
}

// Without a lock, others could write at the same time.
func TestATargetNeedsALock(t *testing.T) {
	other, _ := Kinds(backend.Connection{Environ: environ()})
	role := other.Target
	_, _, err := role.SplitState("http+https://h.example/a/net")
	if err == nil || !strings.Contains(err.Error(), "has no lock-address") {
		t.Errorf("a state: %v", err)
	}
	for address, want := range map[string]string{
		"http+https://h.example/a/":                   "has no lock-address",
		"http+https://h.example/a/?lock-address=lock": "is the same for all states",
		"http+https://h.example/a?lock-address=a":     "names one state",
	} {
		if err := role.CheckContainer(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
	// The advice works as printed.
	for _, query := range []string{"?lock-address={name}", "?lock-address={name}/lock&lock-method=POST&unlock-method=DELETE"} {
		if !strings.Contains(err.Error(), query) {
			t.Errorf("%v\ndoes not recommend %s", err, query)
		}
		if _, _, err := role.SplitState("http+https://h.example/a/net" + query); err != nil {
			t.Error(err)
		}
	}
}

// Terraform's variables complete an address. Those of one state are not used for another.
func TestTerraformsVariables(t *testing.T) {
	environ := []string{
		"TF_HTTP_ADDRESS=https://h.example/live/net", "TF_HTTP_LOCK_ADDRESS=https://h.example/live/net/lock", "TF_HTTP_UNLOCK_ADDRESS=https://h.example/live/net/lock",
		"TF_HTTP_LOCK_METHOD=POST", "TF_HTTP_UNLOCK_METHOD=DELETE", "TF_HTTP_UPDATE_METHOD=PUT",
	}
	kind, _ := Kinds(backend.Connection{Environ: environ})
	container, name, err := kind.Target.SplitState("http+https://h.example/live/net")
	const want = "http+https://h.example/live/?lock-address=https://h.example/live/net/lock&lock-method=POST&unlock-method=DELETE&update-method=PUT"
	if err != nil || container != want || name != "net" {
		t.Errorf("%s, %s, %v\nwant %s", container, name, err, want)
	}
	if _, _, err := kind.Target.SplitState("http+https://h.example/live/app"); err == nil || !strings.Contains(err.Error(), "has no lock-address") {
		t.Errorf("another state: %v", err)
	}
	kind, _ = Kinds(backend.Connection{Environ: append(environ, "TF_HTTP_LOCK_ADDRESS=https://ann:hunter2@h.example/live/net/lock")})
	if _, _, err := kind.Target.SplitState("http+https://h.example/live/net"); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "TF_HTTP_LOCK_ADDRESS must not contain credentials") {
		t.Errorf("a secret: %v", err)
	}
}

// The block leads Terraform to the same state.
func TestBlocks(t *testing.T) {
	for _, tt := range []struct {
		container, name string
		environ         []string
		want            string
		note            string
	}{
		{"gitlab://gitlab.com/acme/infra/", "net/prod", []string{"GITLAB_TOKEN=x"}, `terraform {
  backend "http" {
    address        = "https://gitlab.com/api/v4/projects/acme%2Finfra/terraform/state/net%2Fprod"
    lock_address   = "https://gitlab.com/api/v4/projects/acme%2Finfra/terraform/state/net%2Fprod/lock"
    lock_method    = "POST"
    unlock_address = "https://gitlab.com/api/v4/projects/acme%2Finfra/terraform/state/net%2Fprod/lock"
    unlock_method  = "DELETE"
  }
}
`, "the token of GITLAB_TOKEN in TF_HTTP_PASSWORD"},
		{"http+https://h.example/live/?env=prod&lock-address={name}", "net", environ(), `terraform {
  backend "http" {
    address        = "https://h.example/live/net?env=prod"
    lock_address   = "https://h.example/live/net"
    unlock_address = "https://h.example/live/net"
  }
}
`, "come from TF_HTTP_USERNAME and TF_HTTP_PASSWORD"},
	} {
		other, gitLab := Kinds(backend.Connection{Environ: tt.environ})
		kind, err := backend.Kinds{other, gitLab}.Target(tt.container)
		if err != nil {
			t.Fatal(err)
		}
		block, err := kind.Target.Block(t.Context(), tt.container, tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := block.HCL(); got != tt.want {
			t.Errorf("%s", got)
		}
		if len(block.Notes) != 1 || !strings.Contains(block.Notes[0], tt.note) {
			t.Errorf("notes %q", block.Notes)
		}
	}
}

func TestNamesOfMovedStates(t *testing.T) {
	for _, tt := range []struct{ path, workspace, want string }{
		{"terraform.tfstate", "", "default"},
		{"network/terraform.tfstate", "", "network"},
		{"live/network/vpc.tfstate", "prod", "live-network-vpc-prod"},
	} {
		if got := flatLayout("", tt.path, tt.workspace); got != tt.want {
			t.Errorf("%s, workspace %q: %s, want %s", tt.path, tt.workspace, got, tt.want)
		}
	}
}
