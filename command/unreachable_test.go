package command

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
)

// goWords are what Go says of connections, which helps only those who know Go.
var goWords = regexp.MustCompile(`\b(?:dial|read|write) tcp|x509:|tls:|\bEOF\b|context deadline exceeded|context canceled|net/http|i/o timeout|StatusCode|RequestID|operation error`)

// TestUnreachableServersAreExplained asks every kind of server that tfhaul knows for
// something, where the connection fails in every way that it can.
func TestUnreachableServersAreExplained(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAFAKE", "AWS_SECRET_ACCESS_KEY": "secret-of-the-fake", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_REGION": "us-east-1", "AWS_CA_BUNDLE": "", "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_SSE_CUSTOMER_KEY": "", "ATLAS_TOKEN": "token-of-the-fake",
	} {
		t.Setenv(name, value)
	}
	day := 24 * time.Hour
	ours, stranger := newAuthority(t), newAuthority(t)
	trust := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	trust.RootCAs.AddCert(ours.cert)
	failures := map[string]struct{ at, want string }{
		"refused port":          {"http://" + refusedPort, "connection refused at 127.0.0.1:"},
		"unknown host":          {"https://tfhaul-test.invalid", `"tfhaul-test.invalid"`},
		"untrusted certificate": {serveTLS(t, stranger.certificate(t, "127.0.0.1", -day, day), nil), "pass its file with --ca-file"},
		"expired certificate":   {serveTLS(t, ours.certificate(t, "127.0.0.1", -2*day, -day), nil), "the server's certificate expired on"},
		"certificate not valid": {serveTLS(t, ours.certificate(t, "127.0.0.1", day, 2*day), nil), "the server's certificate is not valid before"},
		"wrong host name":       {serveTLS(t, ours.certificate(t, "s3.example.com", -day, day), nil), "the server's certificate is for s3.example.com, not for 127.0.0.1"},
		"client certificate":    {serveTLS(t, ours.certificate(t, "127.0.0.1", -day, day), func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }), "check whether the server requires a client certificate"},
		"http on an https port": {"https" + strings.TrimPrefix(plainHTTP(t), "http"), "the server does not speak TLS"},
		"not http":              {serve(t, sayHello), "the server does not speak HTTP"},
		"reset":                 {serve(t, reset), "the connection was reset"},
		"closed":                {serve(t, hangUp), "the connection was closed"},
		"hang":                  {serve(t, hang), "no response in time"},
	}
	for name, failure := range failures {
		for kind, ask := range askers {
			if kind == "target" && !strings.HasPrefix(failure.at, "https:") {
				continue // is asked for its discovery document, always with TLS
			}
			t.Run(name+"/"+kind, func(t *testing.T) {
				err := ask(t, failure.at, backend.Connection{TLS: trust, Timeout: 300 * time.Millisecond})
				if err == nil || !strings.Contains(err.Error(), failure.want) {
					t.Fatalf("error %v\nwant  %s", err, failure.want)
				}
				if raw := goWords.FindString(err.Error()); raw != "" {
					t.Errorf("the error says %q: %v", raw, err)
				}
			})
		}
	}
}

// askers ask the server at an address for something.
var askers = map[string]func(t *testing.T, at string, c backend.Connection) error{
	"s3": func(t *testing.T, at string, c backend.Connection) error {
		_, _, err := findAt(t, "s3://acme/a.tfstate?path-style=true&endpoint="+at, c).Open(t.Context(), nil)
		return err
	},
	"s3 search": func(t *testing.T, at string, c backend.Connection) error {
		_, err := kinds(c).Find(t.Context(), "s3://acme/live/?path-style=true&endpoint="+at, backend.Filter{})
		return err
	},
	"dynamodb": func(t *testing.T, at string, c backend.Connection) error {
		t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", at)
		_, err := findAt(t, "s3://acme/a.tfstate?lock-table=locks", c).(backend.Digested).Digest(t.Context())
		return err
	},
	"atlas": func(t *testing.T, at string, c backend.Connection) error {
		_, _, err := findAt(t, "atlas://acme/network?endpoint="+at, c).Open(t.Context(), nil)
		return err
	},
	"target": func(t *testing.T, at string, c backend.Connection) error {
		address, err := tfe.ParseWorkspace(strings.TrimPrefix(at, "https://")+"/acme/net", func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c.TLS.Clone()}}
		defer client.CloseIdleConnections()
		_, err = tfe.DiscoverAPI(t.Context(), client, address)
		return err
	},
}

func findAt(t *testing.T, ref string, c backend.Connection) backend.State {
	t.Helper()
	listing, err := kinds(c).Find(t.Context(), ref, backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return listing.States[0]
}

// TestBodiesThatBreakAreExplained has connections that end after the head of an answer.
func TestBodiesThatBreakAreExplained(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAFAKE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-fake")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("ATLAS_TOKEN", "token-of-the-fake")
	for name, want := range map[string]string{
		"closed": "the connection was closed",
		"reset":  "the connection was reset",
		"hang":   "for 300ms",
	} {
		for kind, ref := range map[string]string{"s3": "s3://acme/a.tfstate?path-style=true&endpoint=", "atlas": "atlas://acme/network?endpoint="} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				opened := make(chan struct{})
				at := serve(t, func(c net.Conn) {
					_, _ = c.Read(make([]byte, 4096)) // the request
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: \"1\"\r\n\r\n{")
					<-opened // a reset takes with it what was not read
					if name == "closed" {
						_ = c.Close()
						return
					}
					if name == "reset" {
						_ = c.(*net.TCPConn).SetLinger(0)
						_ = c.Close()
						return
					}
					hang(c)
				})
				in, _, err := findAt(t, ref+at, backend.Connection{Timeout: 300 * time.Millisecond}).Open(t.Context(), nil)
				close(opened)
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				_, err = io.ReadAll(in)
				if err == nil || !strings.Contains(err.Error(), want) || goWords.MatchString(err.Error()) {
					t.Errorf("error %v\nwant  %s", err, want)
				}
			})
		}
	}
}

// refusedPort is TCP port 1, where nothing listens. A port that was free a moment ago could
// be another process's by now.
const refusedPort = "127.0.0.1:1"

// serve treats every connection to a loopback port alike, until the test ends.
func serve(t *testing.T, treat func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go treat(c)
		}
	}()
	return "http://" + l.Addr().String()
}

// hangUp closes a connection on which a request came. What is closed with bytes unread is
// reset.
func hangUp(c net.Conn) {
	readRequest(c)
	_ = c.Close()
}

func readRequest(c net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

func reset(c net.Conn) {
	readRequest(c) // so that an answer is awaited
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

func hang(c net.Conn) {
	_, _ = io.Copy(io.Discard, c) // until the client has had enough
	_ = c.Close()
}

func sayHello(c net.Conn) {
	readRequest(c) // what comes before is not an answer
	_, _ = io.WriteString(c, "220 mail.example.com ESMTP\r\n")
	_, _ = io.Copy(io.Discard, c) // until the client has had enough
	_ = c.Close()
}

func plainHTTP(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server.URL
}

func serveTLS(t *testing.T, certificate tls.Certificate, change func(*tls.Config)) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if change != nil {
		change(server.TLS)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// An authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, key := a.sign(t, template)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.key = cert, key
	return a
}

// certificate makes one for a host, valid from and to so long from now.
func (a *authority) certificate(t *testing.T, host string, from, to time.Duration) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, key := a.sign(t, template)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// sign signs a certificate; an authority without a key yet signs its own.
func (a *authority) sign(t *testing.T, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if signer == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}
