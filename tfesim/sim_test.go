package tfesim_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// A sim is a running server with clients that know nothing of it.
type sim struct {
	*tfesim.Server
	running *tfesim.Running
}

// start runs a server for the test. Workspaces are local unless the options say otherwise.
func start(t testing.TB, o tfesim.Options) *sim {
	t.Helper()
	s, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return &sim{s, r}
}

// as is a go-tfe client of an identity.
func (s *sim) as(t testing.TB, id tfesim.Identity) *tfe.Client {
	t.Helper()
	return s.withToken(t, s.Token(id))
}

func (s *sim) withToken(t testing.TB, token string) *tfe.Client {
	t.Helper()
	client := s.running.Client()
	t.Cleanup(client.CloseIdleConnections)
	c, err := tfe.NewClient(&tfe.Config{Address: s.running.URL(), Token: token, HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// send makes a raw request and returns the status, the headers and the body.
func (s *sim) send(t testing.TB, id tfesim.Identity, method, path, body string) (int, http.Header, string) {
	t.Helper()
	address := path
	if !strings.HasPrefix(path, "https://") {
		address = s.running.URL() + "/api/v2" + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token(id))
	}
	req.Header.Set("Content-Type", "application/vnd.api+json")
	client := s.running.Client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// state makes a small state.
func state(serial int64, lineage string) []byte {
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.4","serial":%d,"lineage":%q,"outputs":{},"resources":[]}`, serial, lineage)
}

func md5Of(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// versionDocument is the body of a create; an empty lineage or nil state is left out.
func versionDocument(serial int64, md5, lineage string, raw []byte, more string) string {
	attributes := fmt.Sprintf(`"serial":%d,"md5":%q`, serial, md5)
	if lineage != "" {
		attributes += fmt.Sprintf(`,"lineage":%q`, lineage)
	}
	if raw != nil {
		attributes += fmt.Sprintf(`,"state":%q`, base64.StdEncoding.EncodeToString(raw))
	}
	return `{"data":{"type":"state-versions","attributes":{` + attributes + more + `}}}`
}

const lineage = "871d1b4a-e579-fb7c-ffdb-f0c858a647a7"

func createOptions(serial int64, raw []byte) tfe.StateVersionCreateOptions {
	return tfe.StateVersionCreateOptions{Serial: tfe.Int64(serial), MD5: tfe.String(md5Of(raw)), Lineage: tfe.String(lineage)}
}
