package command_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tfhaul/command"
	"tfhaul/fixtures"
	"tfhaul/fixtures/testenv"
	"tfhaul/tfesim"
)

// A careless server is the embedded one behind something that, at one request,
// answers with all that it was sent: the address, the headers, the body.
type careless struct {
	*tfesim.Server
	nth  int64 // which request, counted from 1; 0 for none
	echo func(w http.ResponseWriter, r *http.Request, body string)
	seen atomic.Int64
}

func (c *careless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.seen.Add(1) != c.nth {
		c.Server.ServeHTTP(w, r)
		return
	}
	// A body that breaks off is as good as one that does not.
	body, _ := io.ReadAll(r.Body)
	if r.Method == http.MethodPut {
		// The bytes are stored all the same: for lost ones, we would wait a minute.
		stored := r.Clone(r.Context())
		stored.Body = io.NopCloser(bytes.NewReader(body))
		c.Server.ServeHTTP(httptest.NewRecorder(), stored)
	}
	c.echo(w, r, string(body))
}

// everything returns all that a server received.
func everything(r *http.Request, body string) string {
	return fmt.Sprintf("%s https://%s%s failed with Authorization: %s and %s", r.Method, r.Host, r.URL, r.Header.Get("Authorization"), body)
}

// echoes are the careless answers.
var echoes = map[string]func(w http.ResponseWriter, r *http.Request, body string){
	"an error with all of it": func(w http.ResponseWriter, r *http.Request, body string) {
		answering{500, "application/vnd.api+json", fmt.Sprintf(`{"errors":[{"title":"internal error","detail":%q}]}`, everything(r, body))}.ServeHTTP(w, r)
	},
	"an error with the body first": func(w http.ResponseWriter, r *http.Request, body string) {
		answering{422, "application/vnd.api+json", fmt.Sprintf(`{"errors":[%q]}`, body+everything(r, body))}.ServeHTTP(w, r)
	},
	"a conflict with the headers": func(w http.ResponseWriter, r *http.Request, _ string) {
		answering{409, "application/vnd.api+json", fmt.Sprintf(`{"errors":[{"detail":%q}]}`, fmt.Sprint("The lineage provided in the state file does not match ", r.Header, r.URL))}.ServeHTTP(w, r)
	},
	"a page with all of it": func(w http.ResponseWriter, r *http.Request, body string) {
		answering{502, "text/html", "<html><body><pre>" + html.EscapeString(everything(r, body)) + "</pre></body></html>"}.ServeHTTP(w, r)
	},
	"a redirect with the token": func(w http.ResponseWriter, r *http.Request, _ string) {
		http.Redirect(w, r, "https://127.0.0.1:1/elsewhere?token="+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+"&from="+url.QueryEscape(r.URL.String()), http.StatusTemporaryRedirect)
	},
	"a success of another shape": func(w http.ResponseWriter, r *http.Request, body string) {
		answering{200, "application/vnd.api+json", fmt.Sprintf(`{"data":{"type":"echo","id":%q}}`, everything(r, body))}.ServeHTTP(w, r)
	},
	"a header with all of it": func(w http.ResponseWriter, r *http.Request, _ string) {
		w.Header().Set("Content-Encoding", strings.TrimSpace(r.Header.Get("Authorization")+" "+r.URL.String()))
		answering{200, "text/plain", "x"}.ServeHTTP(w, r)
	},
}

// serve puts the careless server on loopback, and returns the environment for it.
func (c *careless) serve(t *testing.T) *host {
	t.Helper()
	front := httptest.NewTLSServer(c)
	t.Cleanup(front.Close)
	ca := write(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	return &host{Server: c.Server, environ: []string{
		"HOME=" + t.TempDir(), "TFE_ADDRESS=" + front.URL, "TFE_TOKEN=" + c.Token(tfesim.Owner), "TFHAUL_CA_FILE=" + ca, "TFHAUL_LOG_LEVEL=debug",
	}}
}

func newCareless(t *testing.T) *careless {
	t.Helper()
	sim, err := tfesim.New(tfesim.Options{Organizations: []string{org}, RateLimit: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() }) // in memory
	return &careless{Server: sim}
}

// hiding returns the forms in which a secret could appear: in plain text, and in the
// encodings on its way.
func hiding(secret string) []string {
	forms := []string{secret, url.QueryEscape(secret), html.EscapeString(secret)}
	for shift := range 3 {
		// The letters of base64 that hold nothing but bytes of the secret.
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
		inner := text[(shift*8+5)/6 : (shift+len(secret))*8/6]
		forms = append(forms, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// secretsOf are all that nothing may show.
func secretsOf(s *tfesim.Server, more ...string) []string {
	secrets := slices.Concat(fixtures.PlantedSecrets(), more, []string{s.TeamToken(org), s.OrganizationToken(org)})
	for _, id := range []tfesim.Identity{tfesim.Owner, tfesim.SecondUser, tfesim.ReadOnly, tfesim.Expired, tfesim.Outsider} {
		secrets = append(secrets, s.Token(id))
	}
	return secrets
}

// signedAddress is how the server signs: behind this path stands what opens a state.
var signedAddress = regexp.MustCompile(`_archivist/v1/[a-z]+/[A-Za-z0-9_%-]{16,}`)

// mustHide fails where a text tells a secret, without repeating it.
func mustHide(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	if signedAddress.MatchString(text) {
		t.Errorf("%s: a signed address is told", where)
	}
	for i, secret := range secrets {
		for k, form := range hiding(secret) {
			if at := strings.Index(text, form); at >= 0 {
				before := text[max(0, at-60):at]
				t.Errorf("%s: secret number %d is told in form %d, behind …%q", where, i, k, before)
			}
		}
	}
}

// mustHideInFiles looks at every file below a directory: none but backups, which
// have to, hold a secret, and those are for their owner only.
func mustHideInFiles(t *testing.T, dir string, secrets []string, allowed ...string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative := filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator)))
		if slices.ContainsFunc(allowed, func(prefix string) bool { return strings.HasPrefix(relative, prefix) }) {
			if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("%s holds a state, and its mode is %v", relative, info.Mode())
			}
			return nil
		}
		mustHide(t, relative, string(content), secrets)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCarelessServersMakeUsTellNoSecret has every request of a move answered with
// all that was sent, in every careless way, at the most talkative level.
func TestCarelessServersMakeUsTellNoSecret(t *testing.T) {
	t.Parallel()
	type attempt struct {
		name string
		careless
		upload string
		host   *host
		dir    string
		ended  run
	}
	var attempts []*attempt
	for _, upload := range []string{"inline", "signed"} {
		for name, echo := range echoes {
			for nth := int64(1); nth <= 9; nth++ {
				if !testenv.Full() && nth%3 != 0 {
					continue
				}
				a := &attempt{name: fmt.Sprintf("request %d, %s, %s", nth, upload, name), upload: upload, dir: t.TempDir()}
				a.Server, a.nth, a.echo = newCareless(t).Server, nth, echo
				a.host = a.serve(t)
				a.host.seed(t, "net", state(1, 9))
				writeTo(t, filepath.Join(a.dir, "state", "terraform.tfstate"), state(1, 10))
				attempts = append(attempts, a)
			}
		}
	}
	// All at once: most of their time is waiting before they ask again.
	var all sync.WaitGroup
	for _, a := range attempts {
		all.Go(func() {
			var stdout, stderr bytes.Buffer
			args := []string{"tfhaul", "move", filepath.Join(a.dir, "state", "terraform.tfstate"), org + "/net", "--upload", a.upload, "--json",
				"--journal", filepath.Join(a.dir, "haul.jsonl"), "--backup-dir", filepath.Join(a.dir, "backup")}
			code := command.Run(t.Context(), nil, args, nil, &stdout, &stderr, a.host.environ)
			a.ended = run{code, stdout.String(), stderr.String()}
		})
	}
	all.Wait()
	failed := 0
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			secrets := secretsOf(a.Server)
			mustHide(t, "stdout", a.ended.stdout, secrets)
			mustHide(t, "stderr", a.ended.stderr, secrets)
			mustHideInFiles(t, a.dir, secrets, "state/", "backup/")
			if !strings.Contains(a.ended.stderr, "level=DEBUG") || a.ended.stdout == "" {
				t.Errorf("too little was said to look at: %s%s", a.ended.stdout, a.ended.stderr)
			}
		})
		if a.ended.code != 0 {
			failed++
		}
	}
	t.Logf("%d runs, %d of which failed", len(attempts), failed)
	if failed == 0 {
		t.Error("no answer made a move fail")
	}
}

// States on their way out of a workspace, too: every request of a move to a file, with its
// lock, and of a backup of all versions and variables, is answered with all that was sent.
func TestCarelessSourcesMakeUsTellNoSecret(t *testing.T) {
	t.Parallel()
	type attempt struct {
		name string
		careless
		dir   string
		ended run
	}
	var (
		all      sync.WaitGroup
		attempts []*attempt
	)
	for _, args := range [][]string{{"move", "tfe://" + org + "/net", "net.tfstate", "--lock-source"}, {"backup", "tfe://" + org, "copies", "--history", "all", "--with-variables"}} {
		for name, echo := range echoes {
			for nth := int64(1); nth <= 9; nth++ {
				if !testenv.Full() && nth%3 != 0 {
					continue
				}
				a := &attempt{name: fmt.Sprintf("%s, request %d, %s", args[0], nth, name), dir: t.TempDir()}
				a.Server, a.nth, a.echo = newCareless(t).Server, nth, echo
				host := a.serve(t)
				for serial := range int64(2) {
					host.seed(t, "net", state(1, 9+serial))
				}
				line := slices.Concat([]string{"tfhaul"}, args, []string{"--json"})
				line[3] = filepath.Join(a.dir, args[2])
				if args[0] == "move" {
					line = append(line, "--journal", filepath.Join(a.dir, "haul.jsonl"))
				}
				attempts = append(attempts, a)
				all.Go(func() {
					var stdout, stderr bytes.Buffer
					code := command.Run(t.Context(), nil, line, nil, &stdout, &stderr, host.environ)
					a.ended = run{code, stdout.String(), stderr.String()}
				})
			}
		}
	}
	all.Wait()
	failed := 0
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			secrets := secretsOf(a.Server)
			mustHide(t, "stdout", a.ended.stdout, secrets)
			mustHide(t, "stderr", a.ended.stderr, secrets)
			mustHideInFiles(t, a.dir, secrets, "net.tfstate", "copies/net/")
			if !strings.Contains(a.ended.stderr, "level=DEBUG") {
				t.Errorf("too little was said to look at: %s%s", a.ended.stdout, a.ended.stderr)
			}
		})
		if a.ended.code != 0 {
			failed++
		}
	}
	t.Logf("%d runs, %d of which failed", len(attempts), failed)
	if failed == 0 {
		t.Error("no answer made a run fail")
	}
}

func writeTo(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
