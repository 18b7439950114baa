package tfesim_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/tfesim"
)

const lockEndpoint = "POST /workspaces/:workspace_id/actions/lock"

// Every fault over HTTP/1, HTTP/2 and in-memory connections: what the client sees, and
// whether the request took effect.
func TestFaults(t *testing.T) {
	answered := func(status int, body string) func(*testing.T, *http.Response, []byte, error) {
		return func(t *testing.T, r *http.Response, b []byte, err error) {
			if err != nil || r.StatusCode != status || !strings.Contains(string(b), body) {
				t.Errorf("answered %v, %v", r, err)
			}
		}
	}
	failed := func(t *testing.T, r *http.Response, _ []byte, err error) {
		if err == nil {
			t.Errorf("answered %d", r.StatusCode)
		}
	}
	tests := []struct {
		name        string
		fault       tfesim.Fault
		takesEffect bool
		want        func(*testing.T, *http.Response, []byte, error)
	}{
		{"reset before", tfesim.Fault{Kind: tfesim.FaultReset}, false, failed},
		{"reset after", tfesim.Fault{Kind: tfesim.FaultReset, After: true}, true, failed},
		{"close before", tfesim.Fault{Kind: tfesim.FaultClose}, false, failed},
		{"close after", tfesim.Fault{Kind: tfesim.FaultClose, After: true}, true, failed},
		{"cut", tfesim.Fault{Kind: tfesim.FaultCut}, true, func(t *testing.T, r *http.Response, b []byte, err error) {
			if r == nil || r.StatusCode != 200 || err == nil || len(b) == 0 {
				t.Errorf("%v, %d bytes, %v", r, len(b), err)
			}
		}},
		{"502 with HTML", tfesim.AnswerHTML(502), false, answered(502, "<html>")},
		{"503 after", func() tfesim.Fault { f := tfesim.AnswerError(503, "x", "y"); f.After = true; return f }(), true, answered(503, `"detail":"y"`)},
		{"429 with an absurd reset", tfesim.AnswerRateLimited("soon"), false, func(t *testing.T, r *http.Response, _ []byte, err error) {
			if err != nil || r.StatusCode != 429 || r.Header.Get("X-RateLimit-Reset") != "soon" {
				t.Errorf("%v, %v", r, err)
			}
		}},
		{"429 without a reset", tfesim.AnswerRateLimited(""), false, func(t *testing.T, r *http.Response, _ []byte, err error) {
			if err != nil || r.StatusCode != 429 || r.Header.Get("X-RateLimit-Reset") != "" {
				t.Errorf("%v, %v", r, err)
			}
		}},
		{"redirect", tfesim.AnswerRedirect("https://elsewhere.test/"), false, func(t *testing.T, r *http.Response, _ []byte, err error) {
			if err != nil || r.StatusCode != 307 || r.Header.Get("Location") != "https://elsewhere.test/" {
				t.Errorf("%v, %v", r, err)
			}
		}},
		{"wrong shape", tfesim.AnswerShape(), true, answered(200, `"attributes":"none"`)},
		{"empty body", tfesim.AnswerEmpty(), true, func(t *testing.T, r *http.Response, b []byte, err error) {
			if err != nil || r.StatusCode != 200 || len(b) != 0 {
				t.Errorf("%v, %d bytes, %v", r, len(b), err)
			}
		}},
	}
	check := func(t *testing.T, s *tfesim.Server, client *http.Client, origin string, f tfesim.Fault, takesEffect bool, want func(*testing.T, *http.Response, []byte, error)) {
		t.Helper()
		id, err := s.AddWorkspace("demo", "net")
		if err != nil {
			t.Fatal(err)
		}
		f.Endpoint = lockEndpoint
		s.Inject(f)
		lock := func() (*http.Response, []byte, error) {
			req, err := http.NewRequestWithContext(t.Context(), "POST", origin+"/api/v2/workspaces/"+id+"/actions/lock", strings.NewReader(`{"reason":"r"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+s.Token(tfesim.Owner))
			resp, err := client.Do(req)
			if err != nil {
				return nil, nil, err
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			return resp, b, err
		}
		r, b, err := lock()
		want(t, r, b, err)
		if _, locked := s.LockHolder("demo", "net"); locked != takesEffect {
			t.Errorf("took effect: %v", locked)
		}
		// The fault affects one request.
		wantStatus := map[bool]int{true: 409, false: 200}[takesEffect]
		if r, _, err := lock(); err != nil || r.StatusCode != wantStatus {
			t.Errorf("the next request: %v, %v", r, err)
		}
		if got := s.Count(lockEndpoint); got != 2 {
			t.Errorf("%d requests were counted", got)
		}
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, test := range tests {
		t.Run(test.name+" over HTTP/1", func(t *testing.T) {
			s := start(t, tfesim.Options{})
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(s.Running.CAPEM())
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, CheckRedirect: noRedirect}
			defer client.CloseIdleConnections()
			check(t, s.Server, client, s.Running.URL(), test.fault, test.takesEffect, test.want)
		})
		t.Run(test.name+" over HTTP/2", func(t *testing.T) {
			s := start(t, tfesim.Options{})
			client := s.Running.Client()
			client.CheckRedirect = noRedirect
			defer client.CloseIdleConnections()
			check(t, s.Server, client, s.Running.URL(), test.fault, test.takesEffect, test.want)
		})
		t.Run(test.name+" in memory", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, tfesim.Options{})
				client, stop := inMemory(t, s)
				defer stop()
				client.CheckRedirect = noRedirect
				check(t, s, client, "http://sim.test", test.fault, test.takesEffect, test.want)
			})
		})
	}
}

func TestResetIsATCPReset(t *testing.T) {
	s := start(t, tfesim.Options{})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.Running.CAPEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	s.Inject(tfesim.Fault{Kind: tfesim.FaultReset})
	_, err := client.Post(s.Running.URL()+"/api/v2/organizations", "application/vnd.api+json", strings.NewReader("{}"))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v", err)
	}
}

func TestHangLastsUntilTheClientGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tfesim.Options{})
		client, stop := inMemory(t, s)
		defer stop()
		s.Inject(tfesim.Fault{Kind: tfesim.FaultHang})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", "http://sim.test/api/v2/organizations", bytes.NewReader([]byte("{}")))
		if err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		if _, err := client.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the client saw %v", err)
		}
		if took := time.Since(from); took != time.Hour {
			t.Errorf("it hung for %v", took)
		}
	})
}

func TestCloseLetsHangingRequestsGo(t *testing.T) {
	s, err := tfesim.New(tfesim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Start("")
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{})
	s.OnRequest(func(tfesim.Request) { close(arrived) })
	s.Inject(tfesim.Fault{Kind: tfesim.FaultHang})
	ended := make(chan error, 1)
	client := r.Client()
	defer client.CloseIdleConnections()
	go func() {
		_, err := client.Get(r.URL() + "/api/v2/ping")
		ended <- err
	}()
	<-arrived
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if <-ended == nil {
		t.Error("the hanging request was answered")
	}
}

func TestFaultsAreChosenByEndpointAndCount(t *testing.T) {
	s := start(t, tfesim.Options{})
	s.Inject(tfesim.Fault{Endpoint: "GET /organizations*", Nth: 2, Times: 2, Status: 599})
	s.Inject(tfesim.Fault{Endpoint: "GET /organizations/:organization", Nth: 1, Times: -1, Status: 598})
	var got []int
	for _, path := range []string{"/organizations", "/ping", "/organizations", "/organizations/demo", "/organizations", "/organizations"} {
		status, _, _ := s.Send(t, tfesim.Owner, "GET", path, "")
		got = append(got, status)
	}
	want := []int{200, 204, 599, 598, 599, 200}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("answered %v, want %v", got, want)
		}
	}
	s.ClearFaults()
	if status, _, _ := s.Send(t, tfesim.Owner, "GET", "/organizations/demo", ""); status != 200 {
		t.Errorf("after ClearFaults: %d", status)
	}
}

func TestRequestsAreRecordedWithoutSecrets(t *testing.T) {
	s := start(t, tfesim.Options{})
	id, err := s.Seed("demo", "net", state(1, lineage))
	if err != nil {
		t.Fatal(err)
	}
	c := s.As(t, tfesim.Team)
	s.ResetRequests()
	v, err := c.StateVersions.Read(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.StateVersions.Download(t.Context(), v.DownloadURL); err != nil {
		t.Fatal(err)
	}
	got := s.Requests()
	if len(got) != 2 {
		t.Fatalf("%d requests were recorded", len(got))
	}
	if q := got[0]; q.Endpoint != "GET /state-versions/:state_version_id" || q.Status != 200 || q.Identity != tfesim.Team || !q.Authorization || q.Path != "/api/v2/state-versions/"+id {
		t.Errorf("the first is %+v", q)
	}
	// go-tfe sends its token to the blob host, too; Request.Authorization records that.
	if q := got[1]; q.Endpoint != "GET /_archivist/v1/object/:token" || !q.Authorization || q.Path != "/_archivist/v1/object/" {
		t.Errorf("the second is %+v", q)
	}
}
