package tfesim

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Running is a Server that listens on a loopback address with TLS.
type Running struct {
	server   *Server
	http     *http.Server
	listener net.Listener
	caPEM    []byte
	written  []writtenFile // files of WriteEnvFile
	stop     context.CancelFunc
	ended    chan error
	close    func() error
}

// Start serves with TLS and HTTP/2 on a loopback address such as "127.0.0.1:8443"; "" means
// a free port on 127.0.0.1. The authority and the certificate (ECDSA; for localhost,
// 127.0.0.1 and ::1) are made for this run, and the authority's key is discarded
// immediately.
func (s *Server) Start(addr string) (*Running, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("the address to listen on, %q, is not HOST:PORT: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("the address to listen on, %q, is not a loopback address: use 127.0.0.1:PORT", addr)
	}
	certificate, caPEM, err := newCertificate(time.Now())
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Running{
		server:   s,
		listener: listener,
		caPEM:    caPEM,
		stop:     stop,
		ended:    make(chan error, 1),
		http: &http.Server{
			Handler:           s,
			TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
			ReadHeaderTimeout: 30 * time.Second,
			MaxHeaderBytes:    64 << 10,
			BaseContext:       func(net.Listener) context.Context { return ctx },
			ErrorLog:          log.New(logWriter{s}, "", 0),
		},
	}
	r.close = sync.OnceValue(r.shutdown)
	go func() { r.ended <- r.http.ServeTLS(listener, "", "") }()
	return r, nil
}

// logWriter logs net/http's messages, such as failed handshakes with clients that do not
// trust the authority.
type logWriter struct{ s *Server }

// Write implements io.Writer.
func (l logWriter) Write(p []byte) (int, error) {
	l.s.options.Logger.Debug("http", "message", string(bytes.TrimSpace(p)))
	return len(p), nil
}

// Host returns "127.0.0.1:PORT", as hostnames are written in Terraform's configuration.
func (r *Running) Host() string { return r.listener.Addr().String() }

// URL returns the address with its scheme, without a path.
func (r *Running) URL() string { return "https://" + r.Host() }

// CAPEM returns the authority's certificate, for clients to trust.
func (r *Running) CAPEM() []byte { return bytes.Clone(r.caPEM) }

// Client returns a new HTTP client that trusts only this authority.
func (r *Running) Client() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.caPEM)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
	}}
}

// Close stops listening, ends running requests, waits for them, closes the Server and
// removes the files from WriteEnvFile. Further calls return the same result.
func (r *Running) Close() error { return r.close() }

func (r *Running) shutdown() error {
	r.server.doneOnce.Do(func() { close(r.server.done) })
	r.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := r.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		// A client that keeps a request open is disconnected.
		err = r.http.Close()
	}
	if ended := <-r.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return errors.Join(err, r.removeFiles(), r.server.Close())
}

// newCertificate returns an authority and a certificate signed by it, valid for a year.
func newCertificate(now time.Time) (tls.Certificate, []byte, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "tfesim authority"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		MaxPathLenZero:        true,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1),
		Subject:      pkix.Name{CommonName: "tfesim"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}, caPEM, nil
}
