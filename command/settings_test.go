package command_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/tfesim"
)

// settingsFile writes a settings file and returns the variable that names it.
func settingsFile(t *testing.T, lines ...string) (variable string) {
	t.Helper()
	return "TFHAUL_CONFIG=" + write(t, ".tfhaul.hcl", []byte(strings.Join(lines, "\n")+"\n"))
}

func TestSettingsFileSetsTheDefaultsOfFlags(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := t.TempDir()
	for _, name := range []string{"kept/terraform.tfstate", "sandbox/terraform.tfstate"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, fixtures.Spec{Resources: 1}.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := settingsFile(t, `target = "acme"`, `exclude = ["**/sandbox/**"]`, `workspace_name = "{{ .Dir }}-x"`, `parallelism = 2`)
	names := func(r run) string {
		t.Helper()
		var all []string
		for _, move := range r.document(t)["moves"].([]any) {
			target := move.(map[string]any)["target"].(string)
			all = append(all, target[strings.Index(target, "/")+1:])
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct {
		name      string
		variables []string
		args      []string
		want      string
	}{
		{"file alone", nil, nil, "acme/kept-x"},
		{"a variable overrides it", []string{"TFHAUL_TARGET=other"}, nil, "other/kept-x"},
		{"a flag overrides both", []string{"TFHAUL_TARGET=other"}, []string{"--target", "acme", "--workspace-name", "{{ .Dir }}-y"}, "acme/kept-y"},
		{"a list replaces the file's list", nil, []string{"--exclude", "**/kept/**"}, "acme/sandbox-x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"plan", dir, "--create", "--json"}, c.args...)
			r := h.tfhaulIn(t, t.Context(), h.with(append(c.variables, file)...), nil, args...)
			if got := names(r); got != c.want || r.code != 0 {
				t.Errorf("exit code %d, planned %q, not %q\n%s", r.code, got, c.want, r.stderr)
			}
		})
	}
}

func TestSettingsFileWithMistakesIsRefused(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	for line, want := range map[string]string{
		`paralelism = 3`:                            `unknown setting "paralelism" (did you mean parallelism?)`,
		`token = "hunter2"`:                         "use TFE_TOKEN",
		`ca_file = "ca.pem"`:                        "it decides which servers get your token: use --ca-file",
		`token_file = "x"`:                          "does not choose the credentials",
		`create = true`:                             "--create",
		`replace = ["net"]`:                         "--replace",
		`yes = true`:                                "--yes",
		`parallelism = "many"`:                      `parallelism in`,
		`parallelism = [1, 2]`:                      "cannot be a list",
		`target = null`:                             "must be a string",
		`target = organization`:                     "Variables not allowed",
		`target = "${env.HOME}"`:                    "Variables not allowed",
		`target {}`:                                 "Blocks are not allowed",
		`target = `:                                 "Invalid expression",
		strings.Repeat("# padding\n", 3000):         "larger than 16 KB",
		`exclude = ` + strings.Repeat("[", 8000):    "Missing expression",
		`include = [for a in ["x"] : a]`:            "for is not supported",
		`include = ["%{for a in ["x"]}a%{endfor}"]`: "for is not supported",
		`exclude = ` + strings.Repeat(`[for a in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] : `, 12) + `"x"` + strings.Repeat("]", 12): "for is not supported",
		`rate = 0.5`:                           "rate in",
		"target = \"acme\"\ntarget = \"acme\"": "Attribute redefined",
	} {
		r := h.tfhaulIn(t, t.Context(), h.with(settingsFile(t, line)), nil, "plan", t.TempDir(), "--target", "acme")
		if r.code != 4 || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("%.40q: exit code %d, want 4 and %q:\n%.400s", line, r.code, want, r.stderr)
		}
	}
	r := h.tfhaulIn(t, t.Context(), h.with("TFHAUL_CONFIG="+filepath.Join(t.TempDir(), "missing.hcl")), nil, "plan", ".", "--target", "acme")
	if r.code != 4 || !strings.Contains(r.stderr, "missing.hcl") {
		t.Errorf("a missing file: exit code %d: %s", r.code, r.stderr)
	}
}

// A settings file may come with another user's repository, so it must not be able to choose
// where TFE_TOKEN is sent.
func TestSettingsFileDoesNotChooseWhoGetsTheToken(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			sent.Add(1)
		}
		http.NotFound(w, r)
	}))
	defer stranger.Close()
	state := write(t, "net.tfstate", fixtures.Spec{Resources: 1}.Bytes())
	tokenFile := write(t, "token", []byte("user-token"))
	file := settingsFile(t, fmt.Sprintf("target = \"%s/acme\"", stranger.URL))
	plan := func(variables []string, args ...string) run {
		environ := append([]string{"HOME=" + t.TempDir(), file}, variables...)
		h := &host{Server: start(t, tfesim.Options{}).Server, environ: environ}
		return h.tfhaulIn(t, t.Context(), environ, nil, append([]string{"plan", state}, args...)...)
	}
	for name, r := range map[string]run{
		"TFE_TOKEN":    plan([]string{"TFE_TOKEN=user-token"}),
		"--token-file": plan(nil, "--token-file", tokenFile),
	} {
		if r.code != 4 || sent.Load() > 0 || !strings.Contains(r.stderr, "Other tokens are not sent to") {
			t.Errorf("%s: exit code %d, sent %d times: %s", name, r.code, sent.Load(), r.stderr)
		}
	}
	if plan([]string{"TFE_TOKEN=user-token", "TFE_ADDRESS=" + stranger.URL}); sent.Load() == 0 {
		t.Error("the token is not sent to a host that the user names, too")
	}
}

func TestSettingsCommandShowsOrigins(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	file := settingsFile(t, "", `parallelism = 4`, `target = "acme"`, `backup_dir = "backups"`, `tags = ["a", "b"]`)
	environ := h.with(file, "TFHAUL_PARALLELISM=3", "TFHAUL_VAR=password=hunter2")
	r := h.tfhaulIn(t, t.Context(), environ, nil, "settings", "--json")
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	path := strings.TrimPrefix(file, "TFHAUL_CONFIG=")
	want := map[string]string{
		"parallelism": "3 TFHAUL_PARALLELISM",
		"target":      fmt.Sprintf("acme target in %s:3", path),
		"tag":         fmt.Sprintf("a,b tags in %s:5", path),
		"ca-file":     h.caFile(t) + " TFHAUL_CA_FILE",
		"backup-dir":  fmt.Sprintf("%s backup_dir in %s:4", filepath.Join(filepath.Dir(path), "backups"), path),
	}
	for _, s := range r.document(t)["settings"].([]any) {
		s := s.(map[string]any)
		var values []string
		for _, v := range s["values"].([]any) {
			values = append(values, v.(string))
		}
		flag := s["flag"].(string)
		if got := fmt.Sprint(strings.Join(values, ","), " ", s["origin"]); got != want[flag] {
			t.Errorf("--%s: %s, not %s", flag, got, want[flag])
		}
		delete(want, flag)
	}
	if len(want) > 0 {
		t.Errorf("not shown: %v", want)
	}
	r = h.tfhaulIn(t, t.Context(), environ, nil, "settings", "config")
	if r.code != 0 || strings.Contains(r.stdout, "hunter2") || !strings.Contains(r.stdout, "--var (not shown") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r = h.tfhaulIn(t, t.Context(), environ, nil, "settings", "audit"); strings.Contains(r.stdout, "--target") {
		t.Errorf("an audit would contact the target of the settings file: %s", r.stdout)
	}
	if r = h.tfhaulIn(t, t.Context(), environ, nil, "settings", "mgrate"); r.code != 4 || !strings.Contains(r.stderr, "did you mean migrate?") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// caFile returns the certificate authorities that the host's clients trust.
func (h *host) caFile(t *testing.T) string {
	t.Helper()
	for _, variable := range h.environ {
		if path, ok := strings.CutPrefix(variable, "TFHAUL_CA_FILE="); ok {
			return path
		}
	}
	t.Fatal("there is no TFHAUL_CA_FILE")
	return ""
}
