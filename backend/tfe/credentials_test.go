package tfe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// inHome returns an environment with this home directory.
func inHome(dir string, environ ...string) []string {
	return append(slices.Clone(environ), "HOME="+dir, "APPDATA="+dir)
}

// home creates a home directory with these files, named by slash-separated paths.
func home(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if runtime.GOOS == "windows" {
			name = strings.NewReplacer(".terraformrc", "terraform.rc", ".terraform.d", "terraform.d").Replace(name)
		}
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

const hcp = DefaultHost

// block returns a credentials block for a host.
func block(host, token string) string {
	return fmt.Sprintf("credentials %q {\n  token = %q\n}\n", host, token)
}

func TestFindTokenPrecedence(t *testing.T) {
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		".terraformrc":                       block(hcp, "from-rc"),
		".terraform.d/credentials.tfrc.json": `{"credentials":{"app.terraform.io":{"token":"from-credentials"}}}`,
	}
	with := func(without ...string) map[string]string {
		kept := map[string]string{}
		for name, text := range files {
			kept[name] = text
		}
		for _, name := range without {
			delete(kept, name)
		}
		return kept
	}
	both := []string{"TFE_TOKEN=from-env", "TF_TOKEN_app_terraform_io=from-host-env"}
	for _, tt := range []struct {
		does  string
		o     CredentialOptions
		files map[string]string
		want  string
	}{
		{"the token file", CredentialOptions{TokenFile: tokenFile, Environ: both}, files, "from-file"},
		{"TFE_TOKEN", CredentialOptions{Environ: both}, files, "from-env"},
		{"TF_TOKEN_<host>", CredentialOptions{Environ: both[1:]}, files, "from-host-env"},
		{"the configuration directory before the configuration file", CredentialOptions{Environ: []string{}}, files, "from-credentials"},
		{"the configuration file", CredentialOptions{Environ: []string{}}, with(".terraform.d/credentials.tfrc.json"), "from-rc"},
		{"empty variables are ignored", CredentialOptions{Environ: []string{"TFE_TOKEN= ", "TF_TOKEN_app_terraform_io="}}, files, "from-credentials"},
	} {
		t.Run(tt.does, func(t *testing.T) {
			tt.o.Environ = inHome(home(t, tt.files), tt.o.Environ...)
			token, err := FindToken(t.Context(), hcp, tt.o)
			if err != nil || token.Secret() != tt.want {
				t.Errorf("the token is %s, %v; want %s", token.Origin(), err, tt.want)
			}
		})
	}
}

func TestTokenVariableForAHost(t *testing.T) {
	for _, tt := range []struct {
		does, host, variable string
		found                bool
	}{
		{"underscores for dots", "app.terraform.io", "TF_TOKEN_app_terraform_io", true},
		{"dots unchanged", "app.terraform.io", "TF_TOKEN_app.terraform.io", true},
		{"two underscores for a hyphen", "my-tfe.example.com", "TF_TOKEN_my__tfe_example_com", true},
		{"hyphens unchanged", "my-tfe.example.com", "TF_TOKEN_my-tfe_example_com", true},
		{"capitals", "app.terraform.io", "TF_TOKEN_App_Terraform_IO", true},
		{"punycode encoded", "café.fr", "TF_TOKEN_xn____caf__dma_fr", true},
		{"punycode", "café.fr", "TF_TOKEN_xn--caf-dma_fr", true},
		{"a non-ASCII name", "café.fr", "TF_TOKEN_café_fr", true},
		{"a host in punycode", "xn--caf-dma.fr", "TF_TOKEN_café_fr", true},
		{"the default port", "app.terraform.io:443", "TF_TOKEN_app_terraform_io", true},
		{"a port, set through env(1)", "localhost:8443", "TF_TOKEN_localhost:8443", true},
		{"another host", "app.terraform.io", "TF_TOKEN_app_terraform_com", false},
		{"another port", "localhost:8443", "TF_TOKEN_localhost", false},
		{"a prefix in lower case", "app.terraform.io", "tf_token_app_terraform_io", false},
		{"no host at all", "app.terraform.io", "TF_TOKEN_", false},
	} {
		t.Run(tt.does, func(t *testing.T) {
			token, err := FindToken(t.Context(), tt.host, CredentialOptions{
				Environ: inHome(t.TempDir(), "TF_TOKEN_other_example=other", tt.variable+"=secret-value"),
			})
			if found := err == nil && token.Secret() == "secret-value" && token.Origin() == tt.variable; found != tt.found {
				t.Errorf("found is %v, want %v: %v, %v", found, tt.found, token, err)
			}
		})
	}
}

// Terraform 1.11.4 was observed to send the same tokens for the HCL and JSON in this table,
// and to prefer the same file of two.
func TestCLIConfigurationIsReadAsTerraformReadsIt(t *testing.T) {
	for _, tt := range []struct {
		does  string
		host  string
		files map[string]string
		want  string // empty means none
	}{
		{"unrelated settings are ignored", hcp, map[string]string{".terraformrc": `
# a comment
plugin_cache_dir   = "$HOME/.terraform.d/plugin-cache"
disable_checkpoint = true
providers {
  aws = "/old/style"
}
provider_installation {
  dev_overrides {
    "hashicorp/null" = "/home/ann/null"
  }
  filesystem_mirror {
    path    = "/mirror"
    include = ["example.com/*/*"]
  }
  direct {}
}
host "tfe.example.com" {
  services = {
    "tfe.v2" = "https://tfe.example.com/api/v2/"
  }
}
credentials "app.terraform.io" {
  token = "hcl-token"
}
`}, "hcl-token"},
		{"quoted keys, as HCL 1 allows", hcp, map[string]string{".terraformrc": `"credentials" "app.terraform.io" { "token" = "quoted" }`}, "quoted"},
		{"nested objects, as HCL 1 allows", hcp, map[string]string{".terraformrc": `credentials { "app.terraform.io" = { token = "nested" } }`}, "nested"},
		{"the later of two blocks for a host", hcp, map[string]string{".terraformrc": block(hcp, "one") + block(hcp, "two")}, "two"},
		{"JSON", hcp, map[string]string{".terraform.d/credentials.tfrc.json": `{"credentials": {"app.terraform.io": {"token": "json-token"}}}`}, "json-token"},
		{"JSON with several hosts", "b.example", map[string]string{".terraform.d/credentials.tfrc.json": `{"credentials": {"a.example": {"token": "a"}, "b.example": {"token": "b"}}}`}, "b"},
		{"any .tfrc file in the directory", hcp, map[string]string{".terraform.d/mine.tfrc": block(hcp, "tfrc")}, "tfrc"},
		{"the later of two files by name", hcp, map[string]string{".terraform.d/a.tfrc": block(hcp, "a"), ".terraform.d/b.tfrc.json": `{"credentials":{"app.terraform.io":{"token":"b"}}}`}, "b"},
		{"files with other extensions are ignored", hcp, map[string]string{".terraform.d/credentials.json": `{"credentials":{"app.terraform.io":{"token":"x"}}}`}, ""},
		{"two blocks for two hosts", "b.example", map[string]string{".terraformrc": block("a.example", "a") + block("b.example", "b")}, "b"},
		{"capitals in the host", hcp, map[string]string{".terraformrc": block("App.Terraform.IO", "caps")}, "caps"},
		{"a port", "localhost:8443", map[string]string{".terraformrc": block("localhost:8443", "port") + block("localhost", "no-port")}, "port"},
		{"a non-ASCII host", "café.fr", map[string]string{".terraformrc": block("café.fr", "idn")}, "idn"},
		{"another host's token is not used", hcp, map[string]string{".terraformrc": block("tfe.example.com", "other")}, ""},
		{"a block without a token", hcp, map[string]string{".terraformrc": `credentials "app.terraform.io" {}`}, ""},
		{"a token that is not a string", hcp, map[string]string{".terraformrc": `credentials "app.terraform.io" { token = 7 }`}, ""},
		{"a broken file does not hide the others", hcp, map[string]string{".terraformrc": `credentials {`, ".terraform.d/credentials.tfrc.json": `{"credentials":{"app.terraform.io":{"token":"ok"}}}`}, "ok"},
		{"an empty file", hcp, map[string]string{".terraformrc": ""}, ""},
	} {
		t.Run(tt.does, func(t *testing.T) {
			token, err := FindToken(t.Context(), tt.host, CredentialOptions{Environ: inHome(home(t, tt.files))})
			if tt.want == "" {
				if _, ok := errors.AsType[*NoTokenError](err); !ok {
					t.Errorf("%v, %v; want a *NoTokenError", token, err)
				}
				return
			}
			if err != nil || token.Secret() != tt.want {
				t.Errorf("%v, %v; want %s", token, err, tt.want)
			}
		})
	}
}

// FuzzCLIConfig looks for files that crash the process instead of causing an error.
func FuzzCLIConfig(f *testing.F) {
	f.Add([]byte(block(hcp, "t") + `credentials_helper "x" { args = ["a"] }`))
	f.Add([]byte(`{"credentials":{"a":{"token":"t"}},"credentials_helper":{"x":{"args":["a"]}}}`))
	f.Add([]byte("credentials {"))
	f.Fuzz(func(t *testing.T, text []byte) {
		said, err := decodeCLIConfig(text)
		if (said == nil) == (err == nil) {
			t.Errorf("%v, %v", said != nil, err)
		}
	})
}

func TestCLIConfigFileReplacesTheUsualFiles(t *testing.T) {
	dir := home(t, map[string]string{
		".terraformrc": block("a.example", "usual"), ".terraform.d/credentials.tfrc.json": `{"credentials":{"a.example":{"token":"usual"}}}`,
		"mine.tfrc": block("b.example", "mine"), "old.tfrc": block("b.example", "old"),
	})
	mine, old := filepath.Join(dir, "mine.tfrc"), filepath.Join(dir, "old.tfrc")
	for _, tt := range []struct {
		does, host string
		environ    []string
		want       string // empty means none
	}{
		{"the variable's file is read", "b.example", []string{"TF_CLI_CONFIG_FILE=" + mine}, "mine"},
		{"and no other file", "a.example", []string{"TF_CLI_CONFIG_FILE=" + mine}, ""},
		{"the variable's old name", "b.example", []string{"TERRAFORM_CONFIG=" + old}, "old"},
		{"the new name wins", "b.example", []string{"TERRAFORM_CONFIG=" + old, "TF_CLI_CONFIG_FILE=" + mine}, "mine"},
		{"a file that does not exist", "a.example", []string{"TF_CLI_CONFIG_FILE=" + filepath.Join(dir, "none")}, ""},
	} {
		t.Run(tt.does, func(t *testing.T) {
			token, err := FindToken(t.Context(), tt.host, CredentialOptions{Environ: inHome(dir, tt.environ...)})
			if _, none := errors.AsType[*NoTokenError](err); token.Secret() != tt.want || none != (tt.want == "") {
				t.Errorf("%v, %v; want %q", token, err, tt.want)
			}
		})
	}
}

func TestMissingTokenErrorListsEveryPlace(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the files have other names on Windows")
	}
	dir := home(t, map[string]string{
		".terraformrc":                  "credentials \"x\" {\n  token = \"hunter2\n}\ncredentials_helper \"vault\" {}",
		".terraform.d/broken.tfrc.json": `{"credentials": {"x": {"token": "hunter2"`,
		".terraform.d/good.tfrc":        `credentials_helper "vault" {}`,
	})
	_, err := FindToken(t.Context(), "my-tfe.example.com", CredentialOptions{Environ: inHome(dir)})
	want := "no API token for my-tfe.example.com found; looked at: TFE_TOKEN, TF_TOKEN_my__tfe_example_com, " +
		"HOME/.terraformrc (is not valid at line 2), HOME/.terraform.d/broken.tfrc.json (is not valid JSON), HOME/.terraform.d/good.tfrc, " +
		"HOME/.terraform.d/credentials.tfrc.json (does not exist), " +
		`the credentials helper "vault" (no terraform-credentials-vault in HOME/.terraform.d/plugins); ` +
		"run `terraform login my-tfe.example.com`, or set TFE_TOKEN"
	if err == nil || err.Error() != strings.ReplaceAll(want, "HOME", dir) {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}

func TestTokenFile(t *testing.T) {
	for _, tt := range []struct {
		does, text, want string
		mode             os.FileMode
		advised          bool
		err              string // after the file's name
	}{
		{"one line", "the-token\n", "the-token", 0o600, false, ""},
		{"Windows line ending and byte order mark", "\ufeffthe-token\r\n", "the-token", 0o600, false, ""},
		{"readable by others", "the-token", "the-token", 0o644, true, ""},
		{"empty", "", "", 0o600, false, "is empty"},
		{"blank", " \n\n", "", 0o600, false, "is empty"},
		{"two lines", "the-token\nanother\n", "", 0o600, false, "does not contain a valid token"},
		{"a credentials file", `{"credentials":{}}`, "", 0o600, false, "does not contain a valid token"},
		{"UTF-16", "\xff\xfet\x00o\x00k\x00", "", 0o600, false, "does not contain a valid token"},
	} {
		t.Run(tt.does, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte(tt.text), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, tt.mode); err != nil { // regardless of the umask
				t.Fatal(err)
			}
			var advice []string
			token, err := FindToken(t.Context(), hcp, CredentialOptions{TokenFile: file, Advise: func(s string) { advice = append(advice, s) }})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "the-token") {
					t.Errorf("%v; want an error that says %q, and names the file but not its content", err, tt.err)
				}
				return
			}
			if err != nil || token.Secret() != tt.want {
				t.Errorf("%v, %v; want %s", token, err, tt.want)
			}
			if (len(advice) == 1) != (tt.advised && runtime.GOOS != "windows") {
				t.Errorf("advice %q", advice)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "none")
		if _, err := FindToken(t.Context(), hcp, CredentialOptions{TokenFile: file, Environ: []string{"TFE_TOKEN=x"}}); err == nil || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v; want an error, not a token from elsewhere", err)
		}
	})
}

func TestATokenPrintsAsItsOriginEverywhere(t *testing.T) {
	const secret = "hunter2secret"
	token := newToken(secret, "TFE_TOKEN")
	if token.Secret() != secret {
		t.Error("Secret does not return the token")
	}
	type exported struct{ Token Token }
	type hidden struct{ token Token }
	var out strings.Builder
	for _, v := range []any{token, &token, exported{token}, &exported{token}, hidden{token}, &hidden{token}, []Token{token}, map[string]Token{"t": token}, reflect.ValueOf(token)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
		}
		out.Write(text)
	}
	var logged bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&logged, nil)), slog.New(slog.NewJSONHandler(&logged, nil))} {
		log.Info("m", "token", token, "struct", exported{token}, "hidden", hidden{token})
	}
	out.WriteString(logged.String())
	out.WriteString(fmt.Errorf("with %w and %v", errors.New("x"), token).Error())
	for _, shown := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
		if strings.Contains(out.String(), shown) {
			t.Error("the secret is visible")
		}
	}
	if got := fmt.Sprint(token); got != "[token from TFE_TOKEN]" {
		t.Errorf("prints as %q", got)
	}
	if got := fmt.Sprint(Token{}); got != "[no token]" || (Token{}).Secret() != "" {
		t.Errorf("the zero Token prints as %q", got)
	}
}
