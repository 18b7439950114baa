package tfe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
)

// credentialsHelper is a program that keeps tokens
// (https://developer.hashicorp.com/terraform/internals/credentials-helpers).
type credentialsHelper struct {
	name string // as the CLI configuration calls it
	path string
	args []string
}

func (h *credentialsHelper) String() string {
	return fmt.Sprintf("the credentials helper %q", h.name)
}

// findHelper finds the program of a helper where Terraform looks: in the plugin directories below
// configDir, named terraform-credentials-NAME, maybe with _vVERSION and .exe behind. The newest version
// counts, and of one version that in the first directory.
func findHelper(name string, args []string, configDir string) (*credentialsHelper, error) {
	missing := fmt.Errorf("the credentials helper %q (there is no terraform-credentials-%s in %s)", name, name, filepath.Join(configDir, "plugins"))
	if configDir == "" {
		return nil, missing
	}
	plugins := filepath.Join(configDir, "plugins")
	var newest *version.Version
	found := &credentialsHelper{name: name, args: args}
	for _, dir := range []string{plugins, filepath.Join(plugins, runtime.GOOS+"_"+runtime.GOARCH)} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // one of them is usual
		}
		for _, entry := range entries {
			v, ok := helperVersion(entry.Name(), name)
			path := filepath.Join(dir, entry.Name())
			if info, err := os.Stat(path); !ok || err != nil || info.IsDir() {
				continue
			}
			if newest == nil || v.GreaterThan(newest) {
				newest, found.path = v, path
			}
		}
	}
	if newest == nil {
		return nil, missing
	}
	path, err := filepath.Abs(found.path) // so that it is never looked for on PATH
	if err != nil {
		return nil, missing
	}
	found.path = path
	return found, nil
}

// helperVersion says whether a file name is that of the helper called name, and its version.
func helperVersion(file, name string) (*version.Version, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(strings.ToLower(file), ".exe"), "terraform-credentials-"+strings.ToLower(name))
	if !ok {
		return nil, false
	}
	if rest == "" {
		rest = "_v0.0.0"
	}
	text, ok := strings.CutPrefix(rest, "_v")
	if !ok {
		return nil, false
	}
	text, _, _ = strings.Cut(text, "_x") // the plugin protocol's version
	v, err := version.NewVersion(text)
	return v, err == nil
}

// mostHelperOutput bounds what is kept of what a helper writes, in bytes.
const mostHelperOutput = 64 << 10

// get asks the helper for the token of a host; empty when it has none. The helper and its children are
// killed when ctx ends, and when there is no answer within timeout.
func (h *credentialsHelper) get(ctx context.Context, host string, environ []string, timeout time.Duration) (string, error) {
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	late := fmt.Errorf("%s (%s) did not answer within %s (--timeout): run it by hand, or set TFE_TOKEN", h, h.path, timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, late)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.path, append(append([]string{}, h.args...), "get", host)...)
	cmd.Env = environ
	endWithChildren(cmd)
	cmd.WaitDelay = time.Second // for children that keep its output open
	stdout, stderr := &bounded{}, &bounded{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	switch {
	case context.Cause(ctx) == late:
		return "", late
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s did not answer: %w", h, ctx.Err())
	}
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		said := withoutSecrets(stderr.kept.String(), environ)
		if said == "" {
			said = err.Error()
		}
		return "", fmt.Errorf("%s (%s) failed for %s: %s", h, h.path, displayHost(host), said)
	}
	if err != nil {
		return "", fmt.Errorf("%s (%s) cannot be run: %w", h, h.path, reasonOf(err))
	}
	var answer struct {
		Token string `json:"token"`
	}
	if stdout.cut || json.Unmarshal(stdout.kept.Bytes(), &answer) != nil {
		return "", fmt.Errorf(`%s (%s) gave an answer for %s that is not {"token": "…"}`, h, h.path, displayHost(host))
	}
	return answer.Token, nil
}

// bounded keeps the first mostHelperOutput bytes of what is written to it, and takes the rest.
type bounded struct {
	kept bytes.Buffer // not embedded: io.Copy would find its ReadFrom, which has no bound
	cut  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	fits := p[:min(len(p), mostHelperOutput-b.kept.Len())]
	b.cut = b.cut || len(fits) < len(p)
	b.kept.Write(fits)
	return len(p), nil
}

var (
	// secretVariable is the name of a variable whose value is not for showing.
	secretVariable = regexp.MustCompile(`(?i)TOKEN|SECRET|PASS|KEY|CREDENTIAL|AUTH`)
	// secretText is what looks like a secret: an API token of Terraform's, what follows a word that
	// announces one, and any run too long to be a word or a path's part.
	secretText = regexp.MustCompile(`\S*\.atlasv1\.\S*|(?i:\b(?:bearer|basic)\s+)\S+|(?i:\b(?:token|secret|password|passwd|api[_-]?key)["']?\s*[:=]\s*)\S+|[A-Za-z0-9_=+.-]{32,}`)
)

// withoutSecrets is what a helper wrote to stderr, fit to be shown: no secret that can be told from other
// text, nothing that a terminal would obey, one line.
func withoutSecrets(text string, environ []string) string {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if len(value) >= 6 && secretVariable.MatchString(name) {
			text = strings.ReplaceAll(text, value, "[hidden]")
		}
	}
	return strings.TrimSpace(clean(secretText.ReplaceAllString(userinfo.ReplaceAllString(text, "//[hidden]@"), "[hidden]")))
}
