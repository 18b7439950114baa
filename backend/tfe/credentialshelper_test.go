package tfe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// init turns this test binary into a credentials helper if it has the name of one: a real
// program on every system.
func init() {
	if !strings.HasPrefix(filepath.Base(os.Args[0]), "terraform-credentials-") {
		return
	}
	args := strings.Join(os.Args[1:], " ")
	switch os.Getenv("HELPER") {
	case "answers":
		fmt.Printf(`{"token":%q,"later":"fields"}`, "token-for:"+strings.ReplaceAll(args, " ", ","))
	case "prints its file name":
		fmt.Printf(`{"token":%q}`, strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"))
	case "has no token":
		fmt.Print(`{}`)
	case "answers null":
		fmt.Print(`null`)
	case "answers with a line break":
		fmt.Print(`{"token":"hunter2\nX-Evil: 1"}`)
	case "answers nonsense":
		fmt.Print(`hunter2`)
	case "answers endlessly":
		fmt.Printf(`{"token":"%s"}`, strings.Repeat("x", 1<<20))
	case "fails":
		fmt.Fprintf(os.Stderr, "cannot log in:\n\x1b[31mpassword=hunter2 at https://ann:hunter2@vault.example with %s, bearer hunter2, AbCdEfGhIjKlMn.atlasv1.hunter2, 0123456789abcdef0123456789abcdef\n", os.Getenv("VAULT_TOKEN"))
		os.Exit(1)
	case "fails silently":
		os.Exit(7)
	case "hangs in a child":
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "HELPER=hangs")
		_ = child.Run() // until it is killed
	case "hangs":
		conn, err := net.Dial("tcp", os.Getenv("HELPER_STARTED"))
		if err == nil {
			_, _ = io.Copy(io.Discard, conn) // blocks until it is killed
		}
	}
	os.Exit(0)
}

// helperEnviron makes the helper behave in this way. The race detector would delay each
// exit by a second.
func helperEnviron(behaviour string, more ...string) []string {
	return append([]string{"HELPER=" + behaviour, "GORACE=atexit_sleep_ms=0"}, more...)
}

// helperHome creates a home directory whose configuration names the helper "keys", with
// programs of these names.
func helperHome(t *testing.T, programs ...string) string {
	t.Helper()
	dir := home(t, map[string]string{
		".terraformrc": `credentials_helper "keys" { args = ["--store", "main vault"] }` + "\n" + block("configured.example", "configured"),
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	plugins := filepath.Join(configPlaceIn(dir, runtime.GOOS).dir, "plugins")
	for _, name := range programs {
		if runtime.GOOS == "windows" {
			name += ".exe"
		}
		path := filepath.Join(plugins, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if os.Symlink(self, path) == nil {
			continue
		}
		program, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, program, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCredentialsHelperIsAsked(t *testing.T) {
	dir := helperHome(t, "terraform-credentials-keys")
	environ := helperEnviron("answers")
	for host, want := range map[string]string{
		"app.terraform.io":    "token-for:--store,main,vault,get,app.terraform.io",
		"TFE.example.com:443": "token-for:--store,main,vault,get,tfe.example.com",
		"localhost:8443":      "token-for:--store,main,vault,get,localhost:8443",
		"café.fr":             "token-for:--store,main,vault,get,xn--caf-dma.fr",
		"configured.example":  "configured", // without running it
	} {
		token, err := FindToken(t.Context(), host, CredentialOptions{Environ: inHome(dir, environ...)})
		if err != nil || token.Secret() != want {
			t.Errorf("%s: %v, %v; want %s", host, token, err, want)
		}
	}
}

func TestCredentialsHelperIsFoundWhereTerraformLooks(t *testing.T) {
	machine := runtime.GOOS + "_" + runtime.GOARCH
	for _, tt := range []struct {
		does     string
		programs []string
		want     string // empty means none
	}{
		{"without a version", []string{"terraform-credentials-keys"}, "terraform-credentials-keys"},
		{"in the system directory", []string{machine + "/terraform-credentials-keys_v1.0.0"}, "terraform-credentials-keys_v1.0.0"},
		{"the newest version", []string{"terraform-credentials-keys_v1.9.0", "terraform-credentials-keys_v1.10.0", "terraform-credentials-keys"}, "terraform-credentials-keys_v1.10.0"},
		{"a protocol version is not a version", []string{"terraform-credentials-keys_v1.0.0_x5"}, "terraform-credentials-keys_v1.0.0_x5"},
		{"a longer name is another helper", []string{"terraform-credentials-keys-other", "terraform-credentials-keysmith"}, ""},
		{"a directory is not a helper", []string{"terraform-credentials-keys/x"}, ""},
	} {
		t.Run(tt.does, func(t *testing.T) {
			token, err := FindToken(t.Context(), hcp, CredentialOptions{
				Environ: inHome(helperHome(t, tt.programs...), helperEnviron("prints its file name")...),
			})
			if _, none := errors.AsType[*NoTokenError](err); token.Secret() != tt.want || none != (tt.want == "") {
				t.Errorf("%v, %v; want %q", token, err, tt.want)
			}
		})
	}
}

func TestCredentialsHelperWithoutAToken(t *testing.T) {
	dir := helperHome(t, "terraform-credentials-keys")
	for _, tt := range []struct {
		helper string
		want   string // part of the error
		none   bool   // a *NoTokenError
	}{
		{"has no token", `the credentials helper "keys"; run`, true},
		{"answers null", `the credentials helper "keys"; run`, true},
		{"answers with a line break", `the credentials helper "keys" does not contain a valid token`, false},
		{"answers nonsense", `answered for app.terraform.io with something other than {"token": "…"}`, false},
		{"answers endlessly", `answered for app.terraform.io with something other than {"token": "…"}`, false},
		{"fails silently", "failed for app.terraform.io: exit status 7", false},
		{"fails", "failed for app.terraform.io: cannot log in: [31mpassword=[hidden] at https://[hidden]@vault.example with [hidden], [hidden] [hidden] [hidden]", false},
	} {
		t.Run(tt.helper, func(t *testing.T) {
			token, err := FindToken(t.Context(), hcp, CredentialOptions{
				Environ: inHome(dir, helperEnviron(tt.helper, "VAULT_TOKEN=hunter2")...),
			})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, %v\nwant error with %s", token, err, tt.want)
			}
			if _, none := errors.AsType[*NoTokenError](err); none != tt.none {
				t.Errorf("a %T: %v", err, err)
			}
			for _, shown := range []string{"hunter2", "\x1b", "\n"} {
				if strings.Contains(err.Error(), shown) {
					t.Errorf("the error reveals %q", shown)
				}
			}
		})
	}
}

func TestCredentialsHelperEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	helper, err := findHelper("keys", nil, configPlaceIn(helperHome(t, "terraform-credentials-keys"), runtime.GOOS).dir)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() }) // already closed unless the test failed
	done := make(chan error, 1)
	go func() {
		_, err := helper.get(ctx, hcp, helperEnviron("hangs", "HELPER_STARTED="+listener.Addr().String()), 0)
		done <- err
	}()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("waiting for the helper to end: %v", err) // open as long as the helper lives
	}
	if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("%v, want context.Canceled", err)
	}
}

// TestCredentialsHelperThatHangsIsNamed runs a helper that never answers.
func TestCredentialsHelperThatHangsIsNamed(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := helperHome(t, "terraform-credentials-keys")
	_, err = FindToken(t.Context(), hcp, CredentialOptions{
		Environ: inHome(dir, helperEnviron("hangs", "HELPER_STARTED="+listener.Addr().String())...), Timeout: 50 * time.Millisecond,
	})
	if err == nil || !strings.Contains(err.Error(), `the credentials helper "keys" (`) || !strings.Contains(err.Error(), "did not answer within 50ms (--timeout)") {
		t.Errorf("%v; want an error that names the helper and --timeout", err)
	}
}

// TestCredentialsHelpersChildrenEndWithIt runs a helper that waits for another program.
func TestCredentialsHelpersChildrenEndWithIt(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := helperHome(t, "terraform-credentials-keys")
	done := make(chan error, 1)
	go func() {
		_, err := FindToken(ctx, hcp, CredentialOptions{Environ: inHome(dir, helperEnviron("hangs in a child", "HELPER_STARTED="+listener.Addr().String())...)})
		done <- err
	}()
	child, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, child); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("waiting for the child to end: %v", err) // open as long as the child lives
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestCredentialsHelperThatCannotBeRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("any .exe can be run on Windows")
	}
	dir := home(t, map[string]string{".terraformrc": `credentials_helper "keys" {}`, ".terraform.d/plugins/terraform-credentials-keys": "not a program"})
	_, err := FindToken(t.Context(), hcp, CredentialOptions{Environ: inHome(dir)})
	if err == nil || !strings.Contains(err.Error(), `the credentials helper "keys" (`) || !strings.Contains(err.Error(), "cannot be run") {
		t.Errorf("%v; want an error that names the helper", err)
	}
}
