package command_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// badHosts are hosts that do not run Terraform Enterprise or cannot prove their
// identity, and invalid certificate authorities.
func badHosts(t *testing.T) []badInput {
	files := map[string]string{good: string(state(1, 10))}
	const token = "TFE_TOKEN=abcdefghijklmn.atlasv1.0000000000000000000000000000000000000000000000000000000000000000000"
	var (
		day      = 24 * time.Hour
		now      = time.Now()
		answers  = func(status int, contentType, body string) http.Handler { return answering{status, contentType, body} }
		trusted  = newAuthority(t)
		stranger = newAuthority(t)
		valid    = trusted.certificate(t, "127.0.0.1", now.Add(-day), now.Add(day))
	)
	files["ca.pem"] = string(trusted.pem)
	discovered := func(name string, handler http.Handler, certificate tls.Certificate, exit int) badInput {
		return badInput{name: name, args: []string{"move", good, serveTLS(t, handler, certificate) + "/acme/net", "--ca-file", "ca.pem"}, files: files,
			environ: []string{token, "SSL_CERT_FILE="}, exit: exit}
	}
	direct := func(name string, handler http.Handler, exit int) badInput {
		// A history asks once; a move would ask again for a while.
		c := discovered(name, handler, valid, exit)
		c.args = append([]string{"history", "https://" + c.args[2]}, c.args[3:]...)
		return c
	}
	authority := func(name, file, content string) badInput {
		return badInput{name: name, args: []string{"move", good, "acme/net", "--ca-file", file}, files: map[string]string{good: files[good], "ca.pem": content}, exit: 4}
	}
	plain := httptest.NewServer(answers(200, "text/html", "<h1>Welcome</h1>"))
	t.Cleanup(plain.Close)
	const page = "<!DOCTYPE html><html><body><form>Log in: <input name=password></form></body></html>"
	return []badInput{
		{name: "a host where nothing listens", args: []string{"move", good, "127.0.0.1:1/acme/net"}, files: files, environ: []string{token}, exit: 1},
		{name: "a history where nothing listens", args: []string{"history", "https://127.0.0.1:1/acme/net"}, environ: []string{token}, exit: 1},
		{name: "a history where nothing listens, with discovery", args: []string{"history", "127.0.0.1:1/acme/net"}, environ: []string{token}, exit: 1},
		{name: "a host without TLS", args: []string{"move", good, strings.TrimPrefix(plain.URL, "http://") + "/acme/net"}, files: files, environ: []string{token}, exit: 1},
		{name: "an address without TLS", args: []string{"history", "https" + strings.TrimPrefix(plain.URL, "http") + "/acme/net"}, environ: []string{token}, exit: 1},
		discovered("a certificate from an unknown authority", answers(404, "", ""), stranger.certificate(t, "127.0.0.1", now.Add(-day), now.Add(day)), 1),
		discovered("an expired certificate", answers(404, "", ""), trusted.certificate(t, "127.0.0.1", now.Add(-2*day), now.Add(-day)), 1),
		discovered("a certificate for another host", answers(404, "", ""), trusted.certificate(t, "tfe.example.com", now.Add(-day), now.Add(day)), 1),
		discovered("a login page as the discovery document", answers(200, "text/html", page), valid, 1),
		discovered("a discovery document cut in the middle", answers(200, "application/json", `{"tfe.v2":"/api`), valid, 1),
		discovered("a discovery document without workspaces", answers(200, "application/json", `{"modules.v1":"/modules/","\u001b[31mx":1}`), valid, 1),
		discovered("a discovery document that leads to plain http", answers(200, "application/json", `{"tfe.v2":"http://tfe.example.com/api/v2/"}`), valid, 1),
		discovered("a discovery document that is too large", answers(200, "application/json", `{"x":"`+strings.Repeat("x", 2<<20)+`"}`), valid, 1),
		discovered("a failing discovery", answers(503, "text/html", page), valid, 1),
		discovered("a discovery redirect loop", http.RedirectHandler("/again", http.StatusFound), valid, 1),
		discovered("a discovery redirect to plain http", http.RedirectHandler("http://elsewhere.example.com/", http.StatusFound), valid, 1),
		discovered("no Terraform Enterprise at all", answers(404, "text/html", page), valid, 3),
		direct("a login page as an answer", answers(200, "text/html", page), 1),
		direct("an empty answer", answers(200, "application/vnd.api+json", ""), 1),
		direct("an answer cut in the middle", answers(200, "application/vnd.api+json", `{"data":{"id":"ws-1","type":"workspaces","attributes":{"na`), 1),
		direct("an answer in another form", answers(200, "application/vnd.api+json", `{"data":[{"type":7}]}`), 1),
		direct("an answer about another kind of object", answers(200, "application/vnd.api+json", `{"data":{"id":"run-1","type":"runs"}}`), 1),
		direct("a proxy's page", answers(502, "text/html", "<html><body>Bad gateway \x1b[31m https://example.com/?token=pLaNtEd-pa55word-7Qx2vK9</body></html>"), 1),
		direct("a refusal with an escape sequence", answers(422, "application/vnd.api+json", `{"errors":[{"title":"no","detail":"\u001b]0;owned\u0007 not\r\nso"}]}`), 1),
		direct("a proxy that requires a login", answers(407, "text/html", page), 1),
		direct("a redirect to another host", http.RedirectHandler("https://elsewhere.example.com/api/v2/?token=pLaNtEd-pa55word-7Qx2vK9", http.StatusFound), 1),
		direct("a redirect loop", http.RedirectHandler("/api/v2/again", http.StatusFound), 1),
		authority("a missing certificate authority file", "none.pem", ""),
		authority("a directory as a certificate authority file", ".", ""),
		authority("an empty file of authorities", "ca.pem", ""),
		authority("an invalid certificate authority file", "ca.pem", "hello"),
		authority("a key as a certificate authority", "ca.pem", "-----BEGIN PRIVATE KEY-----\nMIIPLANTEDSECRETPRIVATEKEY0000000000000000000000000000000000000000\n-----END PRIVATE KEY-----\n"),
		authority("a certificate cut in the middle", "ca.pem", string(trusted.pem[:len(trusted.pem)/2])),
	}
}

// answering gives one answer to everything.
type answering struct {
	status            int
	contentType, body string
}

func (a answering) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", a.contentType)
	w.WriteHeader(a.status)
	// A client that has heard enough is gone.
	_, _ = io.WriteString(w, a.body)
}

// serveTLS serves on loopback until the test ends, and returns host and port.
func serveTLS(t *testing.T, handler http.Handler, certificate tls.Certificate) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// An authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// certificate is one for a host, of this authority.
func (a *authority) certificate(t *testing.T, host string, from, to time.Time) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
