package command_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tfhaul/fixtures/consul"
	"tfhaul/fixtures/gitlab"
	"tfhaul/tfesim"
)

// configurations writes files below a new directory, which is a Git repository.
func configurations(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "infra")
	if err := os.MkdirAll(filepath.Join(dir, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const s3Block = "terraform {\n  backend \"s3\" {\n    bucket = \"acme-tfstate\"\n    key    = \"KEY\"\n    region = \"eu-west-1\"\n  }\n}\n"

// What the code of each kind says, as an address.
func TestDiscover(t *testing.T) {
	t.Parallel()
	const password = "hunter2-of-the-test"
	pointer := `{"version":3,"backend":{"type":"s3","config":{"bucket":"acme-tfstate","key":"pointed/terraform.tfstate","region":"eu-west-1","secret_key":"` + password + `","encrypt":null},"hash":1}}`
	for _, test := range []struct {
		name    string
		files   map[string]string
		want    string // addresses, separated by spaces; DIR stands for the directory
		problem string
	}{
		{name: "s3", files: map[string]string{"main.tf": strings.ReplaceAll(s3Block, "KEY", "net/terraform.tfstate")},
			want: "s3://acme-tfstate/net/terraform.tfstate?region=eu-west-1"},
		{name: "s3 with another server", files: map[string]string{"main.tf": `terraform {
  backend "s3" {
    bucket               = "acme-tfstate"
    key                  = "net"
    use_path_style       = true
    dynamodb_table       = "locks"
    workspace_key_prefix = "ws"
    endpoints            = { s3 = "https://minio.example.com" }
    secret_key           = "` + password + `"
  }
}`}, want: "s3://acme-tfstate/net?endpoint=https://minio.example.com&lock-table=locks&path-style=true&workspace-key-prefix=ws"},
		{name: "gcs", files: map[string]string{"main.tf": "terraform {\n  backend \"gcs\" {\n    bucket = \"acme-tfstate\"\n    prefix = \"net/vpc\"\n  }\n}\n"},
			want: "gs://acme-tfstate/net/vpc/default.tfstate"},
		{name: "pg with a password", files: map[string]string{"main.tf": "terraform {\n  backend \"pg\" {\n    conn_str = \"postgres://jo:" + password + "@db.example.com/tf?sslmode=require\"\n    schema_name = \"net\"\n  }\n}\n"},
			want: "postgres://jo@db.example.com/tf?schema=net&workspace=default&sslmode=require"},
		{name: "azurerm", files: map[string]string{"main.tf": "terraform {\n  backend \"azurerm\" {\n    storage_account_name = \"acmestates\"\n    container_name = \"live\"\n    key = \"net.tfstate\"\n    access_key = \"" + password + "\"\n  }\n}\n", ".terraform/environment": "prod"},
			want: "azurerm://acmestates/live/net.tfstate azurerm://acmestates/live/net.tfstateenv:prod"},
		{name: "consul", files: map[string]string{"main.tf": "terraform {\n  backend \"consul\" {\n    address = \"consul.example.com\"\n    scheme = \"https\"\n    path = \"live/net\"\n    access_token = \"" + password + "\"\n  }\n}\n", ".terraform/environment": "prod"},
			want: "consul://consul.example.com/live/net consul://consul.example.com/live/net-env:prod"},
		{name: "kubernetes", files: map[string]string{"main.tf": "terraform {\n  backend \"kubernetes\" {\n    secret_suffix = \"net\"\n    token = \"" + password + "\"\n    labels = {\n      team = \"a\"\n    }\n  }\n}\n", ".terraform/environment": "prod"},
			want: "kubernetes://default/net/default?labels=team=a kubernetes://default/net/prod?labels=team=a"},
		{name: "http, with one state whatever the workspace", files: map[string]string{"main.tf": "terraform {\n  backend \"http\" {\n    address = \"https://jo:" + password + "@states.example.com/net\"\n    lock_address = \"https://jo:" + password + "@states.example.com/net\"\n  }\n}\n", ".terraform/environment": "prod"},
			want: "http+https://states.example.com/net?lock-address=https://states.example.com/net"},
		{name: "http in GitLab", files: map[string]string{"main.tf": "terraform {\n  backend \"http\" {\n    address = \"https://gitlab.com/api/v4/projects/acme%2Finfra/terraform/state/net\"\n    password = \"" + password + "\"\n  }\n}\n", ".terraform/environment": "prod"},
			want: "gitlab://gitlab.com/acme/infra/net"},
		{name: "local, elsewhere", files: map[string]string{"main.tf": "terraform {\n  backend \"local\" {\n    path = \"../x.tfstate\"\n  }\n}\n"}, want: "DIR/../x.tfstate"},
		{name: "no block, initialized", files: map[string]string{"main.tf": "", ".terraform.lock.hcl": ""}, want: "DIR/terraform.tfstate"},
		{name: "no block, a module", files: map[string]string{"main.tf": "variable \"x\" {}\n"}},
		{name: "cloud", files: map[string]string{"main.tf": "terraform {\n  cloud {\n    organization = \"acme\"\n    workspaces {\n      name = \"net\"\n    }\n  }\n}\n"},
			want: "tfe://app.terraform.io/acme/net"},
		{name: "remote with a prefix and a selected workspace", files: map[string]string{
			"main.tf":                "terraform {\n  backend \"remote\" {\n    hostname = \"tfe.example.com\"\n    organization = \"acme\"\n    workspaces {\n      prefix = \"net-\"\n    }\n  }\n}\n",
			".terraform/environment": "prod"}, want: "tfe://tfe.example.com/acme/net-default tfe://tfe.example.com/acme/net-prod"},
		{name: "JSON", files: map[string]string{"main.tf.json": `{"terraform":{"backend":{"s3":{"bucket":"acme-tfstate","key":"j"}}}}`}, want: "s3://acme-tfstate/j"},
		{name: "JSON with a list", files: map[string]string{"main.tf.json": `{"terraform":[{"backend":[{"s3":[{"bucket":"acme-tfstate","key":"j"}]}]}]}`}, want: "s3://acme-tfstate/j"},
		{name: "an override replaces the block", files: map[string]string{"main.tf": strings.ReplaceAll(s3Block, "KEY", "net"),
			"main_override.tf": "terraform {\n  backend \"gcs\" {\n    bucket = \"over\"\n  }\n}\n"}, want: "gs://over/default.tfstate"},
		{name: "OpenTofu hides Terraform's file and allows locals", files: map[string]string{"main.tf": strings.ReplaceAll(s3Block, "KEY", "net"),
			"main.tofu": "locals {\n  env = \"prod\"\n  key = \"${local.env}/net\"\n}\nterraform {\n  backend \"s3\" {\n    bucket = \"acme-tfstate\"\n    key = local.key\n  }\n}\n"},
			want: "s3://acme-tfstate/prod/net"},
		{name: "a variable", files: map[string]string{"main.tf": "variable \"key\" {}\nterraform {\n  backend \"s3\" {\n    bucket = \"acme-tfstate\"\n    key = var.key\n  }\n}\n"},
			problem: "line 5: key is not known: it depends on var.key"},
		{name: "partial, nothing completes it", files: map[string]string{"main.tf": "terraform {\n  backend \"s3\" {}\n}\n"}, problem: "bucket and key are not set"},
		{name: "partial, one file", files: map[string]string{"main.tf": "terraform {\n  backend \"s3\" {}\n}\n", "prod.tfbackend": "bucket = \"acme-tfstate\"\nkey = \"p\"\n"},
			want: "s3://acme-tfstate/p"},
		{name: "partial, a file for each environment", files: map[string]string{"main.tf": "terraform {\n  backend \"s3\" {\n    bucket = \"acme-tfstate\"\n  }\n}\n",
			"env/dev.tfbackend": "key = \"d\"\n", "env/prod.tfbackend": "key = \"p\"\n"}, want: "s3://acme-tfstate/d s3://acme-tfstate/p"},
		{name: "partial, a file above", files: map[string]string{"net/main.tf": "terraform {\n  backend \"s3\" {\n    key = \"net\"\n  }\n}\n", "backend.hcl": "bucket = \"acme-tfstate\"\n"},
			want: "s3://acme-tfstate/net"},
		{name: "partial, initialized", files: map[string]string{"main.tf": "terraform {\n  backend \"s3\" {}\n}\n", ".terraform/terraform.tfstate": pointer},
			want: "s3://acme-tfstate/pointed/terraform.tfstate?region=eu-west-1"},
		{name: "initialized differently", files: map[string]string{"main.tf": strings.ReplaceAll(s3Block, "KEY", "net"), ".terraform/terraform.tfstate": pointer},
			problem: "key differs between the block and the last init"},
		{name: "an unknown backend", files: map[string]string{"main.tf": "terraform {\n  backend \"swift\" {}\n}\n"}, problem: `tfhaul cannot read the backend "swift"`},
		{name: "a broken file", files: map[string]string{"main.tf": "terraform {\n  backend \"s3\" {\n    key = \"" + password + "\n"}, problem: "cannot be parsed"},
		{name: "Terragrunt", files: map[string]string{
			"root.hcl": `locals {
  bucket = "acme-tfstate"
}
remote_state {
  backend = "s3"
  generate = {
    path = "backend.tf"
    if_exists = "overwrite"
  }
  config = {
    bucket = "${local.bucket}-${get_env("STAGE", "prod")}"
    key    = "${path_relative_to_include()}/terraform.tfstate"
  }
}
`,
			"live/net/terragrunt.hcl": "include \"root\" {\n  path = find_in_parent_folders(\"root.hcl\")\n}\n",
			"live/app/terragrunt.hcl": "include {\n  path = find_in_parent_folders(\"root.hcl\")\n}\n",
		}, want: "s3://acme-tfstate-prod/live/app/terraform.tfstate s3://acme-tfstate-prod/live/net/terraform.tfstate"},
		{name: "Terragrunt generates the block", files: map[string]string{
			"live/terragrunt.hcl":     "generate \"backend\" {\n  path = \"backend.tf\"\n  if_exists = \"overwrite\"\n  contents = <<EOF\nterraform {\n  backend \"gcs\" {\n    bucket = \"b-acme\"\n    prefix = \"${path_relative_to_include()}\"\n  }\n}\nEOF\n}\n",
			"live/net/terragrunt.hcl": "include \"root\" {\n  path = find_in_parent_folders()\n}\n",
		}, want: "gs://b-acme/net/default.tfstate"},
		{name: "Terragrunt runs a command", files: map[string]string{
			"net/terragrunt.hcl": "remote_state {\n  backend = \"s3\"\n  config = {\n    bucket = run_cmd(\"touch\", \"/tmp/tfhaul-was-here\")\n  }\n}\ninclude {\n  path = \"../x.hcl\"\n}\n",
		}, problem: "line 3: config is not known: it calls the function run_cmd"},
		{name: "Terragrunt's cache is the truth", files: map[string]string{
			"net/terragrunt.hcl": "include {\n  path = run_cmd(\"x\")\n}\n", "net/.terragrunt-cache/a/b/.terraform/terraform.tfstate": pointer,
		}, want: "s3://acme-tfstate/pointed/terraform.tfstate?region=eu-west-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := &host{environ: []string{"HOME=" + t.TempDir()}, Server: newServer(t)}
			dir := configurations(t, test.files)
			r := h.tfhaul(t, "discover", dir, "--json")
			var document struct {
				Configurations []struct {
					Problem string
					States  []struct{ Address string }
				}
			}
			if err := json.Unmarshal([]byte(r.stdout), &document); err != nil {
				t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
			}
			var addresses, problems []string
			for _, c := range document.Configurations {
				if c.Problem != "" {
					problems = append(problems, c.Problem)
				}
				for _, s := range c.States {
					addresses = append(addresses, s.Address)
				}
			}
			want := strings.ReplaceAll(test.want, "DIR/../", filepath.Dir(dir)+"/")
			want = strings.ReplaceAll(want, "DIR", dir)
			if got := strings.Join(addresses, " "); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if got := strings.Join(problems, "\n"); !strings.Contains(got, test.problem) || test.problem == "" && got != "" {
				t.Errorf("got the problem %q, want %q", got, test.problem)
			}
			text := h.tfhaul(t, "discover", dir)
			for _, output := range []string{r.stdout, r.stderr, text.stdout, text.stderr} {
				if strings.Contains(output, password) {
					t.Error("a password is shown")
				}
			}
			if text.code != r.code {
				t.Errorf("exit code %d with --json and %d without", r.code, text.code)
			}
		})
	}
	if _, err := os.Lstat("/tmp/tfhaul-was-here"); err == nil {
		t.Error("a command of Terragrunt's was executed")
	}
}

// newServer returns a server that no one asks.
func newServer(t *testing.T) *tfesim.Server {
	t.Helper()
	s, err := tfesim.New(tfesim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The states that the code uses are moved to workspaces named after their configurations.
func TestStatesOfConfigurationsAreMoved(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "there")
	h.seed(t, "there", state(9, 1))
	cloud := "terraform {\n  cloud {\n    hostname = \"" + h.running.Host() + "\"\n    organization = \"" + org + "\"\n    workspaces {\n      name = \"NAME\"\n    }\n  }\n}\n"
	dir := configurations(t, map[string]string{
		"live/net/main.tf":           "terraform {\n  backend \"local\" {\n    path = \"../../states/n.state\"\n  }\n}\n",
		"states/n.state":             string(state(1, 5)),
		"states/orphan.tfstate":      string(state(7, 5)),
		"live/app/main.tf":           "",
		"live/app/terraform.tfstate": string(state(2, 5)),
		"live/app/terraform.tfstate.d/prod/terraform.tfstate": string(state(3, 5)),
		"live/new/main.tf":                    "terraform {\n  backend \"local\" {}\n}\n",
		"live/same/main.tf":                   "terraform {\n  backend \"local\" {\n    path = \"../../states/n.state\"\n  }\n}\n",
		"live/var/main.tf":                    "terraform {\n  backend \"local\" {\n    path = var.x\n  }\n}\n",
		"live/there/main.tf":                  strings.ReplaceAll(cloud, "NAME", "there"),
		"live/gone/main.tf":                   strings.ReplaceAll(cloud, "NAME", "gone"),
		"modules/vpc/main.tf":                 "variable \"x\" {}\n",
		"live/app/.terraform/modules/m/x.tf":  s3Block,
		"live/tg/.terragrunt-cache/a/main.tf": s3Block,
	})
	check := h.tfhaul(t, "discover", dir, "--check", "--json")
	var found struct {
		Summary struct{ Configurations, States, Missing, Unknown, Shared int }
		Without []string `json:"without_code"`
	}
	if err := json.Unmarshal([]byte(check.stdout), &found); err != nil || check.code != 0 {
		t.Fatalf("%v, exit code %d: %s", err, check.code, check.stderr)
	}
	if s := found.Summary; s.Configurations != 7 || s.Unknown != 1 || s.Missing != 2 || s.Shared != 1 || s.States != 7 {
		t.Errorf("got %+v", s)
	}
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	h.tfhaul(t, "plan", "config:"+dir, "--target", org, "--create", "--out", manifest).mustSay(t, 0, "live-net", "live-app", "live-app-prod", "live/var", "it depends on var.x", "2 no-state", "uses the same state as")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if want := "configuration = " + strconv.Quote(filepath.Join(dir, "live", "net")); !strings.Contains(string(text), want) {
		t.Errorf("the manifest lacks %s: %s", want, text)
	}
	h.tfhaul(t, "migrate", manifest, "--yes", "--json", "--journal", journalIn(t)).want(t, 0, "3 moved")
	h.mustHold(t, "live-net", state(1, 5))
	h.mustHold(t, "live-app", state(2, 5))
	h.mustHold(t, "live-app-prod", state(3, 5))
	h.mustHold(t, "there", state(9, 1))
	// Globs match the paths of configurations.
	h.tfhaul(t, "plan", "config:"+dir, "--target", org, "--include", "live/net", "--json").mustSay(t, 0, `"already-there": 1`)
	h.tfhaul(t, "audit", "config:"+dir, "--include", "live/*").mustSay(t, 0, "4 states")
}

// Several repositories may have configurations with the same path.
func TestConfigurationsOfSeveralRepositories(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	files := map[string]string{}
	for i, name := range []string{"one", "two"} {
		files[name+"/.git/HEAD"] = "ref: refs/heads/main\n"
		files[name+"/net/main.tf"] = ""
		files[name+"/net/terraform.tfstate"] = string(state(uint64(i+1), 5))
	}
	dir := filepath.Dir(configurations(t, map[string]string{"../repos/none": ""}))
	for name, text := range files {
		path := filepath.Join(dir, "repos", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.tfhaul(t, "plan", "config:"+filepath.Join(dir, "repos"), "--target", org, "--create").mustSay(t, 0, "one-net", "two-net")
}

// mustSay checks the exit code, and that the output has some texts.
func (r run) mustSay(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	said := strings.Join(strings.Fields(r.stdout+r.stderr), " ")
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Errorf("the output lacks %q: %s", text, said)
		}
	}
}

// Each kind of server is asked which states of the code it has.
func TestConfigurationsOfConsulGitLabAndHTTP(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	serve := func(server http.Handler) string {
		s := httptest.NewServer(server)
		t.Cleanup(s.Close)
		return s.URL
	}
	keys, lab, plain := &consul.Server{}, &gitlab.Server{}, &gitlab.Plain{}
	keys.Put("live/net", state(1, 5))
	keys.Put("live/net-env:prod", state(2, 5))
	keys.Put("live/orphan.tfstate", state(7, 5))
	lab.AddProject("acme/infra")
	lab.AddToken("glpat-of-the-test", gitlab.Token{User: "ann", Role: gitlab.Maintainer})
	lab.Put("acme/infra", "app", 5, state(3, 5))
	lab.Put("acme/infra", "orphan", 5, state(8, 5))
	plain.Put("/states/web", state(4, 5))
	inGitLab, elsewhere := serve(lab)+"/api/v4/projects/acme%2Finfra/terraform/state/", serve(plain)+"/states/"
	block := func(kind string, pairs ...string) string {
		text := "terraform {\n  backend \"" + kind + "\" {\n"
		for i := 0; i < len(pairs); i += 2 {
			text += "    " + pairs[i] + " = \"" + pairs[i+1] + "\"\n"
		}
		return text + "  }\n}\n"
	}
	dir := configurations(t, map[string]string{
		"live/net/main.tf":  block("consul", "address", serve(keys), "path", "live/net"),
		"live/app/main.tf":  block("http", "address", inGitLab+"app"),
		"live/gone/main.tf": block("http", "address", inGitLab+"gone"),
		"live/web/main.tf":  block("http", "address", elsewhere+"web"),
		"live/none/main.tf": block("http", "address", elsewhere+"none"),
	})
	h.environ = append(h.environ, "GITLAB_TOKEN=glpat-of-the-test")
	var found struct {
		Summary struct{ States, Missing, Unknown int }
		Without []string `json:"without_code"`
	}
	check := h.tfhaul(t, "discover", dir, "--check", "--json")
	if err := json.Unmarshal([]byte(check.stdout), &found); err != nil || check.code != 0 {
		t.Fatalf("%v, exit code %d: %s", err, check.code, check.stderr)
	}
	if s := found.Summary; s.States != 6 || s.Missing != 2 || s.Unknown != 0 || len(found.Without) != 2 {
		t.Errorf("got %+v, without code: %q\n%s", s, found.Without, check.stdout)
	}
	h.tfhaul(t, "migrate", "config:"+dir, "--target", org, "--create", "--yes", "--json", "--journal", journalIn(t)).want(t, 0, "4 moved")
	for name, want := range map[string][]byte{"live-net": state(1, 5), "live-net-prod": state(2, 5), "live-app": state(3, 5), "live-web": state(4, 5)} {
		h.mustHold(t, name, want)
	}
}
