package tfesim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/tfesim"
)

func newServer(t *testing.T, o tfesim.Options) *tfesim.Server {
	t.Helper()
	s, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRateLimitIsPerUserAndSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tfesim.Options{RateLimit: 5})
		client, stop := inMemory(t, s)
		defer stop()
		owner, team := s.Token(tfesim.Owner), s.Token(tfesim.Team)
		for i := range 5 {
			resp, err := ask(t, client, owner, "GET", "/account/details")
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("request %d: %v", i, err)
			}
			if got := resp.Header.Get("X-RateLimit-Remaining"); got != strconv.Itoa(4-i) {
				t.Errorf("remaining after request %d: %s", i, got)
			}
		}
		resp, err := ask(t, client, owner, "GET", "/account/details")
		if err != nil || resp.StatusCode != 429 {
			t.Fatalf("the sixth request: %v, %v", resp.StatusCode, err)
		}
		if resp, err := ask(t, client, team, "GET", "/account/details"); err != nil || resp.StatusCode != 200 {
			t.Errorf("another user: %v, %v", resp.StatusCode, err)
		}
		reset, err := strconv.ParseFloat(resp.Header.Get("X-RateLimit-Reset"), 64)
		if err != nil || reset <= 0 || reset > 1 {
			t.Fatalf("X-RateLimit-Reset: %v, %v", reset, err)
		}
		time.Sleep(time.Duration(reset * float64(time.Second)))
		if resp, err := ask(t, client, owner, "GET", "/account/details"); err != nil || resp.StatusCode != 200 {
			t.Errorf("after the reset: %v, %v", resp.StatusCode, err)
		}
	})
}

func TestRateLimitBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tfesim.Options{RateLimit: 1})
		client, stop := inMemory(t, s)
		defer stop()
		var resp *http.Response
		for range 2 {
			var err error
			if resp, err = client.Get("http://sim.test/api/v2/ping"); err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		e := errorsOf(t, string(b)).Errors[0]
		if _, isNumber := e.Status.(float64); !isNumber || e.Detail != "You have exceeded the API's rate limit." {
			t.Errorf("status %v, detail %q", e.Status, e.Detail)
		}
	})
}

// A version goes from pending to finalized to processed as time passes, without any
// background work.
func TestProcessingTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tfesim.Options{ProcessingDelay: time.Minute})
		client, stop := inMemory(t, s)
		defer stop()
		id, err := s.AddWorkspace("demo", "net")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Lock("demo", "net", tfesim.Owner, ""); err != nil {
			t.Fatal(err)
		}
		raw := state(1, lineage)
		post := func(path, body string) (int, map[string]any) {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://sim.test/api/v2"+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+s.Token(tfesim.Owner))
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var d struct {
				Data struct {
					Attributes map[string]any `json:"attributes"`
				} `json:"data"`
			}
			if err := json.NewDecoder(resp.Body).Decode(&d); err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, d.Data.Attributes
		}
		status, attributes := post("/workspaces/"+id+"/state-versions", versionDocument(1, md5Of(raw), lineage, raw, ""))
		if status != 201 || attributes["status"] != "pending" || attributes["hosted-state-download-url"] != nil {
			t.Fatalf("just created: %d, %v", status, attributes["status"])
		}
		if resp, err := ask(t, client, s.Token(tfesim.Owner), "GET", "/workspaces/"+id+"/current-state-version"); err != nil || resp.StatusCode != 404 {
			t.Errorf("current while pending: %v, %v", resp.StatusCode, err)
		}
		if status, _ := post("/workspaces/"+id+"/actions/unlock", ""); status != 503 {
			t.Errorf("unlock while pending: %d", status)
		}
		time.Sleep(time.Minute)
		if got := s.Versions("demo", "net")[0]; got.Status != "finalized" || !got.Current {
			t.Errorf("after a minute: %s", got.Status)
		}
		if resp, err := ask(t, client, s.Token(tfesim.Owner), "GET", "/workspaces/"+id+"/current-state-version-outputs"); err != nil || resp.StatusCode != 503 {
			t.Errorf("outputs before they are processed: %v, %v", resp.StatusCode, err)
		}
		time.Sleep(time.Minute)
		if resp, err := ask(t, client, s.Token(tfesim.Owner), "GET", "/workspaces/"+id+"/current-state-version-outputs"); err != nil || resp.StatusCode != 200 {
			t.Errorf("outputs: %v, %v", resp.StatusCode, err)
		}
		if status, _ := post("/workspaces/"+id+"/actions/unlock", ""); status != 200 {
			t.Errorf("unlock: %d", status)
		}
	})
}

func TestLatencyDelaysEveryRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tfesim.Options{Latency: 40 * time.Millisecond})
		client, stop := inMemory(t, s)
		defer stop()
		from := time.Now()
		for range 3 {
			if _, err := ask(t, client, "", "GET", "/ping"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(from); took != 120*time.Millisecond {
			t.Errorf("three requests took %v", took)
		}
	})
}

func TestDownloadAddressesLastADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tfesim.Options{})
		client, stop := inMemory(t, s)
		defer stop()
		id, err := s.Seed("demo", "net", state(1, lineage))
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://sim.test/api/v2/state-versions/"+id, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.Token(tfesim.ReadOnly))
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var d struct {
			Data struct {
				Attributes struct {
					URL string `json:"hosted-state-download-url"`
				} `json:"attributes"`
			} `json:"data"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&d); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			after  time.Duration
			status int
		}{{0, 200}, {23 * time.Hour, 200}, {2 * time.Hour, 403}} {
			time.Sleep(step.after)
			resp, err := client.Get(d.Data.Attributes.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != step.status {
				t.Errorf("after %v more: %d, want %d", step.after, resp.StatusCode, step.status)
			}
			if resp.Header.Get("X-RateLimit-Limit") != "" {
				t.Error("the blob host announces a rate limit")
			}
		}
	})
}
