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

	"tfhaul/plainwords"
)

// credentialsHelper is a program that stores tokens
// (https://developer.hashicorp.com/terraform/internals/credentials-helpers).
type credentialsHelper struct {
	name string // its name in the CLI configuration
	path string
	args []string
}

func (h *credentialsHelper) String() string {
	return fmt.Sprintf("the credentials helper %q", h.name)
}

// findHelper looks for a helper where Terraform does: in the plugin directories below
// configDir, as terraform-credentials-NAME, optionally followed by _vVERSION and .exe. It
// prefers the newest version, and among equal versions the first directory.
func findHelper(name string, args []string, configDir string) (*credentialsHelper, error) {
	missing := fmt.Errorf("the credentials helper %q (no terraform-credentials-%s in %s)", name, name, filepath.Join(configDir, "plugins"))
	if configDir == "" {
		return nil, missing
	}
	plugins := filepath.Join(configDir, "plugins")
	var newest *version.Version
	found := &credentialsHelper{name: name, args: args}
	for _, dir := range []string{plugins, filepath.Join(plugins, runtime.GOOS+"_"+runtime.GOARCH)} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // usually only one exists
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
	path, err := filepath.Abs(found.path) // never look it up in PATH
	if err != nil {
		return nil, missing
	}
	found.path = path
	return found, nil
}

// helperVersion reports whether a file is the helper of this name, and its version.
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
	text, _, _ = strings.Cut(text, "_x") // the version of the plugin protocol
	v, err := version.NewVersion(text)
	return v, err == nil
}

// maxHelperOutput limits how much of a helper's output is kept, in bytes.
const maxHelperOutput = 64 << 10

// get asks the helper for the token of a host, and returns "" without a token. The helper
// and its children are killed when ctx ends or after timeout.
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
		return "", fmt.Errorf("%s (%s) cannot be run: %w", h, h.path, plainwords.WithoutPath(err))
	}
	var answer struct {
		Token string `json:"token"`
	}
	if stdout.cut || json.Unmarshal(stdout.kept.Bytes(), &answer) != nil {
		return "", fmt.Errorf(`%s (%s) answered for %s with something other than {"token": "…"}`, h, h.path, displayHost(host))
	}
	return answer.Token, nil
}

// bounded keeps the first maxHelperOutput bytes written to it and discards the rest.
type bounded struct {
	kept bytes.Buffer // not embedded: io.Copy would use its unlimited ReadFrom
	cut  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	fits := p[:min(len(p), maxHelperOutput-b.kept.Len())]
	b.cut = b.cut || len(fits) < len(p)
	b.kept.Write(fits)
	return len(p), nil
}

var (
	// secretVariable matches names of variables with secret values.
	secretVariable = regexp.MustCompile(`(?i)TOKEN|SECRET|PASS|KEY|CREDENTIAL|AUTH`)
	// secretText matches what looks like a secret: a Terraform API token, the text after a
	// word that announces a secret, and any run too long to be a word or part of a path.
	secretText = regexp.MustCompile(`\S*\.atlasv1\.\S*|(?i:\b(?:bearer|basic)\s+)\S+|(?i:\b(?:token|secret|password|passwd|api[_-]?key)["']?\s*[:=]\s*)\S+|[A-Za-z0-9_=+.-]{32,}`)
)

// withoutSecrets returns a helper's stderr in one line, without recognizable secrets and
// terminal control characters.
func withoutSecrets(text string, environ []string) string {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if len(value) >= 6 && secretVariable.MatchString(name) {
			text = strings.ReplaceAll(text, value, "[hidden]")
		}
	}
	return strings.TrimSpace(clean(secretText.ReplaceAllString(userinfo.ReplaceAllString(text, "//[hidden]@"), "[hidden]")))
}
