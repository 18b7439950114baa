package command_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// TestARefusedTokenIsNamed has a token that the server does not know from every place that
// tokens come from, for every command that sends one.
func TestARefusedTokenIsNamed(t *testing.T) {
	t.Parallel()
	const wrong = "abcdefghijklmn.atlasv1.wrong"
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("net.tfstate", string(state(1, 10)), 0o600)
	token := write("token", wrong, 0o600)
	configured := write("tf.rc", fmt.Sprintf("credentials %q {\n  token = %q\n}\n", h.running.Host(), wrong), 0o600)
	helped := write("helper.rc", `credentials_helper "keys" { args = [] }`, 0o600)
	write(".terraform.d/plugins/terraform-credentials-keys", "#!/bin/sh\necho '{\"token\":\""+wrong+"\"}'\n", 0o700)
	origins := map[string]struct {
		environ, args []string
		want          string
	}{
		"variable":          {[]string{"TFE_TOKEN=" + wrong}, nil, "the token from TFE_TOKEN (401)"},
		"token file":        {nil, []string{"--token-file", token}, "the token from " + token + " (401)"},
		"CLI configuration": {[]string{"TFE_TOKEN=", "TF_CLI_CONFIG_FILE=" + configured}, nil, "the token from " + configured + " (401)"},
		"helper":            {[]string{"TFE_TOKEN=", "TF_CLI_CONFIG_FILE=" + helped, "HOME=" + dir}, nil, `the token from the credentials helper "keys" (401)`},
	}
	for name, origin := range origins {
		if name == "helper" && runtime.GOOS == "windows" {
			continue // it is a script for sh
		}
		for _, args := range [][]string{
			{"move", file, "acme/net"},
			{"plan", dir, "--target", "acme"},
			{"migrate", dir, "--target", "acme", "--yes", "--journal", filepath.Join(t.TempDir(), "haul.jsonl")},
			{"verify", file, "acme/net"},
			{"audit", dir, "--target", "acme"},
			{"history", "acme/net"},
			{"prove", dir, "acme/net"},
		} {
			t.Run(name+"/"+args[0], func(t *testing.T) {
				t.Parallel()
				r := h.tfhaulIn(t, t.Context(), h.with(origin.environ...), nil, append(args, origin.args...)...)
				said := strings.Join(strings.Fields(r.stdout+r.stderr), " ")
				if r.code == 0 || !strings.Contains(said, origin.want) {
					t.Errorf("exit %d, want %q in\n%s", r.code, origin.want, said)
				}
				if strings.Contains(said, wrong) {
					t.Error("the token is shown")
				}
			})
		}
	}
}
