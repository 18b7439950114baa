package command_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tfhaul/tfesim"
)

// Secrets in the program's environment, which must appear nowhere.
const (
	proxyPassword = "pLaNtEd-pr0xy-pa55word"
	awsKeyID      = "AKIAENVIR0NMENT000XY"
	awsKey        = "pLaNtEd/env1ronment+key/0000000000000000"
	awsSession    = "pLaNtEd//////////session0token0which0is0long=="
)

// A guarded is the built program in an environment full of secrets: its server is
// reached through a proxy with a password, its sources lie in a bucket.
type guarded struct {
	*tfesim.Server
	dir, temp string // where it works, and where temporary files belong
	environ   []string
	bucket    *httptest.Server
	secrets   []string
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{Server: newCareless(t).Server, dir: t.TempDir(), temp: t.TempDir()}
	trusted := newAuthority(t)
	front := serveTLS(t, g.Server, trusted.certificate(t, "tfe.example.test", time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
	proxy := httptest.NewServer(tunnel(front))
	t.Cleanup(proxy.Close)
	g.bucket = httptest.NewServer(http.HandlerFunc(carelessBucket))
	t.Cleanup(g.bucket.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeTo(t, ca, trusted.pem)
	none := filepath.Join(g.temp, "..", "none")
	withPassword := strings.Replace(proxy.URL, "://", "://haul:"+proxyPassword+"@", 1)
	g.environ = []string{
		"PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "HOME=" + g.dir, "TMPDIR=" + g.temp, "TMP=" + g.temp,
		"HTTPS_PROXY=" + withPassword, "TFE_HOSTNAME=tfe.example.test", "TFE_TOKEN=" + g.Token(tfesim.Owner), "TFHAUL_CA_FILE=" + ca,
		"TFHAUL_LOG_LEVEL=debug", "AWS_ACCESS_KEY_ID=" + awsKeyID, "AWS_SECRET_ACCESS_KEY=" + awsKey, "AWS_SESSION_TOKEN=" + awsSession,
		"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none,
	}
	g.secrets = secretsOf(g.Server, proxyPassword, awsKeyID, awsKey, awsSession)
	return g
}

// tunnel is a proxy that leads every CONNECT to one address, if it comes with the
// password.
func tunnel(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			fmt.Fprintf(w, "%s %s %v", r.Method, r.URL, r.Header)
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		in, read, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = out.Close() // nothing was sent
			return
		}
		// Either end may close first; the other is closed then.
		pipe := func(to io.Writer, from io.Reader) {
			_, _ = io.Copy(to, from)
			_ = in.Close()
			_ = out.Close()
		}
		go pipe(out, read)
		pipe(in, out)
	}
}

// carelessBucket gives one state, and refuses all else by repeating the request.
func carelessBucket(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, ".tflock"):
		w.WriteHeader(http.StatusNotFound)
	case strings.HasSuffix(r.URL.Path, "/good/terraform.tfstate"):
		w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
		http.ServeContent(w, r, "", time.Unix(1_700_000_000, 0), bytes.NewReader(state(3, 10)))
	default:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>%s %s</Message></Error>`,
			r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token"))
	}
}

// tfhaul runs the program, and looks at what it says and what it leaves.
func (g *guarded) tfhaul(t *testing.T, exit int, environ []string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Dir, cmd.Env = g.dir, append(g.environ[:len(g.environ):len(g.environ)], environ...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// An exit code is no failure here.
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != exit {
		t.Errorf("%q: exit code %d, want %d\n%s%s", args, got, exit, &stdout, &stderr)
	}
	mustHide(t, args[0]+": stdout", stdout.String(), g.secrets)
	mustHide(t, args[0]+": stderr", stderr.String(), g.secrets)
	left, err := os.ReadDir(g.temp)
	if err != nil || len(left) > 0 {
		t.Errorf("%q leaves temporary files: %v %v", args, left, err)
	}
}

// TestNoSecretIsToldByAnyCommand runs the commands one after the other as a person
// would, through a proxy and from a bucket, and then everything that goes wrong
// there.
func TestNoSecretIsToldByAnyCommand(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("temporary files are elsewhere on Windows")
	}
	g := newGuarded(t)
	for _, workspace := range []string{"net", "db", "store"} {
		if _, err := g.AddWorkspace(org, workspace); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Seed(org, "db", state(9, 3)); err != nil {
		t.Fatal(err)
	}
	writeTo(t, filepath.Join(g.dir, "states", "net", "terraform.tfstate"), state(1, 10))
	writeTo(t, filepath.Join(g.dir, "states", "db", "terraform.tfstate"), state(2, 10))
	bucket := "s3://acme-tfstate/good/terraform.tfstate?path-style=true&endpoint=" + g.bucket.URL
	denied := strings.Replace(bucket, "/good/", "/denied/", 1)
	for _, step := range []struct {
		exit    int
		args    []string
		environ []string
	}{
		{exit: 0, args: []string{"audit", "states", "--html", "audit.html"}},
		{exit: 0, args: []string{"audit", "states", "--csv"}},
		{exit: 0, args: []string{"audit", "states", "--json"}},
		{exit: 3, args: []string{"plan", "states", "--target", org, "--out", "haul.hcl"}},
		{exit: 0, args: []string{"migrate", "haul.hcl", "--yes", "--journal", "haul.jsonl"}},
		{exit: 0, args: []string{"migrate", "states", "--target", org, "--yes", "--json", "--journal", "second.jsonl", "--replace", "db", "--backup-dir", "backup"}},
		{exit: 0, args: []string{"report", "second.jsonl", "--html", "haul.html", "--junit", "haul.xml"}},
		{exit: 0, args: []string{"move", bucket, org + "/store"}},
		{exit: 0, args: []string{"verify", "second.jsonl"}},
		{exit: 0, args: []string{"verify", "states/net", org + "/net"}},
		{exit: 0, args: []string{"history", org + "/db"}},
		{exit: 0, args: []string{"unlock", "second.jsonl"}},
		{exit: 0, args: []string{"demo"}},

		{exit: 1, args: []string{"move", denied, org + "/store"}},
		{exit: 1, args: []string{"audit", denied}},
		{exit: 1, args: []string{"history", org + "/db"}, environ: []string{"HTTPS_PROXY=http://haul:" + proxyPassword + "@127.0.0.1:1"}},
		{exit: 1, args: []string{"history", org + "/db"}, environ: []string{"HTTPS_PROXY=http://haul:" + proxyPassword + "%zz@[::1"}},
		{exit: 1, args: []string{"history", org + "/db"}, environ: []string{"HTTPS_PROXY=socks5://haul:" + proxyPassword + "@127.0.0.1:1"}},
		{exit: 1, args: []string{"history", org + "/db"}, environ: []string{"HTTPS_PROXY=ftp://haul:" + proxyPassword + "@127.0.0.1:1"}},
		{exit: 1, args: []string{"move", "states/net", org + "/net", "--json"}, environ: []string{"HTTPS_PROXY=http://haul:" + proxyPassword + "@127.0.0.1:1"}},
		{exit: 1, args: []string{"move", "states/net", org + "/net"}, environ: []string{"TFE_TOKEN=" + g.Token(tfesim.Expired)}},
		{exit: 4, args: []string{"move", "states/net", org + "/net"}, environ: []string{"TFE_TOKEN=" + g.Token(tfesim.Owner) + "\n" + awsKey}},
		{exit: 4, args: []string{"move", "s3://" + awsKeyID + ":" + awsKey + "@bucket/key", org + "/net"}},
		{exit: 4, args: []string{"move", "states/net", "https://x:" + g.Token(tfesim.Owner) + "@tfe.example.test/" + org + "/net"}},
	} {
		g.tfhaul(t, step.exit, step.environ, step.args...)
	}
	mustHideInFiles(t, g.dir, g.secrets, "states/", "backup/")
	mustBePrivate(t, g.dir, "haul.jsonl", "second.jsonl", "backup")
}

// TestTheStandardLoggerIsClosed runs a move over HTTP/2 with everything that Go's
// standard library can be made to log.
func TestTheStandardLoggerIsClosed(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	if _, err := g.AddWorkspace(org, "net"); err != nil {
		t.Fatal(err)
	}
	trusted := newAuthority(t)
	certificate := trusted.certificate(t, "localhost", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	server := httptest.NewUnstartedServer(g.Server)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeTo(t, ca, trusted.pem)
	writeTo(t, filepath.Join(g.dir, "terraform.tfstate"), state(1, 10))
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, upload := range []string{"inline", "signed"} {
		g.tfhaul(t, 0, []string{"GODEBUG=http2debug=2", "HTTPS_PROXY=", "TFHAUL_CA_FILE=" + ca, "TFE_HOSTNAME="},
			"move", "--upload", upload, "terraform.tfstate", "https://localhost:"+port+"/"+org+"/net")
	}
}

// TestCAFileHoldsForSources reads from a bucket whose certificate only --ca-file makes
// trusted, and refuses endpoints with credentials without repeating them.
func TestCAFileHoldsForSources(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	trusted := newAuthority(t)
	certificate := trusted.certificate(t, "localhost", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	_, port, err := net.SplitHostPort(serveTLS(t, http.HandlerFunc(carelessBucket), certificate))
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeTo(t, ca, trusted.pem)
	ref := "s3://acme-tfstate/good/terraform.tfstate?path-style=true&endpoint=https://localhost:" + port
	direct := "HTTPS_PROXY="
	g.tfhaul(t, 0, []string{direct}, "audit", ref, "--ca-file", ca)
	g.tfhaul(t, 1, []string{direct}, "audit", ref)
	withSecret := "https://user:" + proxyPassword + "@localhost:" + port
	g.tfhaul(t, 4, []string{direct, "AWS_ENDPOINT_URL=" + withSecret}, "move", "s3://acme-tfstate/good/terraform.tfstate", org+"/net")
	g.tfhaul(t, 4, []string{direct, "AWS_ENDPOINT_URL_S3=https://localhost/?X-Amz-Signature=" + proxyPassword}, "move", "s3://acme-tfstate/good/terraform.tfstate", org+"/net")
	g.tfhaul(t, 4, []string{direct, "ATLAS_TOKEN=x"}, "move", "atlas://acme/net?endpoint="+withSecret, org+"/net")
}

// mustBePrivate fails unless these files, and all below these directories, are for
// their owner only.
func mustBePrivate(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		err := filepath.Walk(filepath.Join(dir, name), func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s can be read by others: %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
