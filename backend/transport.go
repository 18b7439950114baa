package backend

import "net/http"

// connectionsPerHost is how many idle connections are kept: more than any useful
// --parallelism.
const connectionsPerHost = 128

// Transport returns a transport with the user's certificates, timeouts and proxies. It does
// not decompress: digests are those of the bytes as stored.
func (c Connection) Transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns = 0 // limited only by the next field
	t.MaxIdleConnsPerHost = connectionsPerHost
	t.ResponseHeaderTimeout = c.Timeout
	t.TLSHandshakeTimeout = min(t.TLSHandshakeTimeout, c.Timeout)
	t.DisableCompression = true
	if c.TLS != nil {
		t.TLSClientConfig = c.TLS.Clone()
	}
	return t
}

// NoRedirects makes an http.Client follow no redirects: another host must not get the
// credentials of a request.
func NoRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
