package tfesim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// An errorDocument is a JSON:API error as clients read it.
type errorDocument struct {
	Errors []struct {
		Status any    `json:"status"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	} `json:"errors"`
}

func errorsOf(t *testing.T, body string) errorDocument {
	t.Helper()
	var d errorDocument
	if err := json.Unmarshal([]byte(body), &d); err != nil || len(d.Errors) == 0 {
		t.Fatalf("the body is not a JSON:API error document (%d bytes)", len(body))
	}
	return d
}

const otherLineage = "11111111-2222-3333-4444-555555555555"

// Every row of the answers table: what is sent to a workspace with serial 5, the response,
// and what the server stores afterwards.
func TestCreateStateVersionAnswers(t *testing.T) {
	held := state(5, lineage)
	newer, same, older := state(6, lineage), held, state(4, lineage)
	const (
		serialText = "The serial provided in the state file is not greater than the serial currently known remotely. This means that there may be an update performed since your version of that state. Update to the latest state to resolve conflicts and try again"
		md5Text    = "The MD5 hash of the state provided does not match what is currently known for the same serial number"
	)
	lineageText := func(product string) string {
		return "The lineage provided in the state file does not match the value currently known by " + product + ". This means that the provided state is most likely not related to the target workspace. Check that the backend configuration is correct and try again."
	}
	lockedByOwner := func(s *sim) error { return s.Lock("demo", "net", tfesim.Owner, "") }
	tests := []struct {
		name        string
		personality tfesim.Personality
		identity    tfesim.Identity // default Owner
		workspace   string          // default "net"
		prepare     func(*sim) error
		body        string
		status      int
		detail      string // "*" means any
		arrives     bool
	}{
		{name: "a higher serial", body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 201, arrives: true},
		{name: "the same serial with the same MD5", body: versionDocument(5, md5Of(same), lineage, same, ""), status: 201, arrives: true},
		{name: "no lineage", body: versionDocument(6, md5Of(newer), "", newer, ""), status: 201, arrives: true},
		{name: "attributes that disagree with the file", body: versionDocument(9, md5Of(newer), lineage, newer, ""), status: 201, arrives: true},
		{name: "MD5 in upper case", body: versionDocument(6, strings.ToUpper(md5Of(newer)), lineage, newer, ""), status: 201, arrives: true},
		{name: "a lower serial", body: versionDocument(4, md5Of(older), lineage, older, ""), status: 412, detail: serialText},
		{name: "the same serial with another MD5", body: versionDocument(5, md5Of(newer), lineage, newer, ""), status: 409, detail: md5Text},
		{name: "another lineage on TFE", body: versionDocument(6, md5Of(newer), otherLineage, newer, ""), status: 409, detail: lineageText("Terraform Enterprise")},
		{name: "another lineage on HCP", personality: tfesim.HCP, body: versionDocument(6, md5Of(newer), otherLineage, newer, ""), status: 409, detail: lineageText("Terraform Cloud")},
		{name: "force and another lineage", body: versionDocument(6, md5Of(newer), otherLineage, newer, `,"force":true`), status: 201, arrives: true},
		{name: "force and a lower serial", body: versionDocument(4, md5Of(older), lineage, older, `,"force":true`), status: 201, arrives: true},
		{name: "not locked", prepare: func(*sim) error { return nil }, body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 409,
			detail: "This workspace is not locked and will only accept state uploads when locked"},
		{name: "locked by another user", prepare: func(s *sim) error { return s.Lock("demo", "net", tfesim.SecondUser, "") },
			body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 409,
			detail: "This workspace is locked by User walter and will only accept state uploads from them while locked."},
		{name: "locked by a team", prepare: func(s *sim) error { return s.Lock("demo", "net", tfesim.Team, "") },
			body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 409, detail: "*"},
		{name: "locked by a run", prepare: func(s *sim) error { _, err := s.LockByRun("demo", "net"); return err },
			body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 409, detail: "*"},
		{name: "content that does not match the MD5", body: versionDocument(6, md5Of(older), lineage, newer, ""), status: 400,
			detail: "The MD5 parameter passed does not match the MD5 of the provided state"},
		{name: "a missing workspace", workspace: "missing", body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 404},
		{name: "an organization token", identity: tfesim.Organization, body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 404},
		{name: "a read-only user", identity: tfesim.ReadOnly, body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 404},
		{name: "a user outside the organization", identity: tfesim.Outsider, body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 404},
		{name: "an expired token", identity: tfesim.Expired, body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 401},
		{name: "no serial", body: `{"data":{"type":"state-versions","attributes":{"md5":"` + md5Of(newer) + `"}}}`, status: 422, detail: "param is missing or the value is empty: serial"},
		{name: "no MD5", body: `{"data":{"type":"state-versions","attributes":{"serial":6}}}`, status: 422, detail: "param is missing or the value is empty: md5"},
		{name: "a serial that is text", body: `{"data":{"type":"state-versions","attributes":{"serial":"6","md5":"` + md5Of(newer) + `"}}}`, status: 422, detail: "*"},
		{name: "a serial that is not an integer", body: `{"data":{"type":"state-versions","attributes":{"serial":6.0,"md5":"` + md5Of(newer) + `"}}}`, status: 422, detail: "*"},
		{name: "invalid base64", body: `{"data":{"type":"state-versions","attributes":{"serial":6,"md5":"` + md5Of(newer) + `","state":"%%%"}}}`, status: 422, detail: "*"},
		{name: "a state that is not a string", body: `{"data":{"type":"state-versions","attributes":{"serial":6,"md5":"` + md5Of(newer) + `","state":{}}}}`, status: 422, detail: "*"},
		{name: "an old TFE without the state", personality: tfesim.OldTFE, body: versionDocument(6, md5Of(newer), lineage, nil, ""), status: 422,
			detail: "param is missing or the value is empty: state"},
		{name: "an old TFE with the state", personality: tfesim.OldTFE, body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 201, arrives: true},

		{name: "a lax server that is not locked", personality: tfesim.Lax, prepare: func(*sim) error { return nil },
			body: versionDocument(6, md5Of(newer), otherLineage, newer, ""), status: 201, arrives: true},
		{name: "a lax server locked by another user", personality: tfesim.Lax, prepare: func(s *sim) error { return s.Lock("demo", "net", tfesim.SecondUser, "") },
			body: versionDocument(6, md5Of(newer), lineage, newer, ""), status: 201, arrives: true},
		{name: "a lax server and a lower serial", personality: tfesim.Lax, body: versionDocument(4, md5Of(older), lineage, older, ""), status: 500, detail: serialText},
		{name: "a lax server and another MD5", personality: tfesim.Lax, body: versionDocument(5, md5Of(newer), lineage, newer, ""), status: 500, detail: md5Text},
		{name: "a lax server and content that does not match the MD5", personality: tfesim.Lax, body: versionDocument(6, md5Of(older), lineage, newer, ""), status: 500},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, tfesim.Options{Personality: test.personality})
			if _, err := s.Seed("demo", "net", held); err != nil {
				t.Fatal(err)
			}
			id, err := s.AddWorkspace("demo", "net")
			if err != nil {
				t.Fatal(err)
			}
			if test.workspace != "" {
				id = "ws-0000000000000000"
			}
			if test.prepare == nil {
				test.prepare = lockedByOwner
			}
			if err := test.prepare(s); err != nil {
				t.Fatal(err)
			}
			if test.identity == "" {
				test.identity = tfesim.Owner
			}
			before := len(s.Versions("demo", "net"))
			status, header, body := s.Send(t, test.identity, "POST", "/workspaces/"+id+"/state-versions", test.body)
			if status != test.status {
				t.Fatalf("answered %d, want %d", status, test.status)
			}
			if arrived := len(s.Versions("demo", "net")) - before; arrived != map[bool]int{true: 1, false: 0}[test.arrives] {
				t.Errorf("%d versions arrived", arrived)
			}
			if !test.arrives {
				if raw, serial, _ := s.Current("demo", "net"); serial != 5 || string(raw) != string(held) {
					t.Error("the state of the workspace has changed")
				}
			}
			if status < 400 {
				return
			}
			if test.personality == tfesim.Lax && test.detail == "" {
				if body != "" {
					t.Error("the lax server sent a body")
				}
				return
			}
			if got := header.Get("Content-Type"); !strings.HasPrefix(got, "application/vnd.api+json") {
				t.Errorf("Content-Type %q", got)
			}
			e := errorsOf(t, body).Errors[0]
			if e.Status != fmt.Sprint(test.status) {
				t.Errorf("status member %v", e.Status)
			}
			if test.detail != "*" && e.Detail != test.detail {
				t.Errorf("detail %q, want %q", e.Detail, test.detail)
			}
			if test.status == 412 && e.Title != "Precondition Failed" {
				t.Errorf("title %q", e.Title)
			}
		})
	}
}

// The response to a create shows nothing write-only, and everything that a current server
// shows.
func TestStateVersionHasNoWriteOnlyAttributes(t *testing.T) {
	s := start(t, tfesim.Options{})
	id, err := s.AddWorkspace("demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Lock("demo", "net", tfesim.Owner, ""); err != nil {
		t.Fatal(err)
	}
	raw := state(1, lineage)
	_, _, body := s.Send(t, tfesim.Owner, "POST", "/workspaces/"+id+"/state-versions", versionDocument(1, md5Of(raw), lineage, raw, ""))
	var d struct {
		Data struct {
			Attributes map[string]any `json:"attributes"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"md5", "lineage", "state", "json-state", "json-state-outputs", "force"} {
		if _, there := d.Data.Attributes[name]; there {
			t.Errorf("the response contains %s", name)
		}
	}
	for _, name := range []string{"serial", "size", "status", "created-at", "hosted-state-download-url", "hosted-state-upload-url", "resources-processed", "vcs-commit-sha"} {
		if _, there := d.Data.Attributes[name]; !there {
			t.Errorf("the response lacks %s", name)
		}
	}
}

func TestAnswersSayWhatServerThisIs(t *testing.T) {
	for _, test := range []struct {
		personality               tfesim.Personality
		api, app, enterpriseBuild bool
	}{
		{tfesim.HCP, true, true, false},
		{tfesim.TFE, true, true, true},
		{tfesim.OldTFE, true, false, true},
		{tfesim.Lax, true, false, false},
	} {
		t.Run(test.personality.String(), func(t *testing.T) {
			s := start(t, tfesim.Options{Personality: test.personality})
			status, h, _ := s.Send(t, "", "GET", "/ping", "")
			if status != http.StatusNoContent {
				t.Errorf("ping: %d", status)
			}
			for name, want := range map[string]bool{"TFP-API-Version": test.api, "TFP-AppName": test.app, "X-TFE-Version": test.enterpriseBuild, "X-RateLimit-Limit": true} {
				if got := h.Get(name) != ""; got != want {
					t.Errorf("%s: %v, want %v", name, got, want)
				}
			}
			c := s.As(t, tfesim.Owner)
			if c.IsCloud() != (test.personality == tfesim.HCP) {
				t.Errorf("go-tfe treats it as a cloud: %v", c.IsCloud())
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	s := start(t, tfesim.Options{})
	status, _, body := s.Send(t, "", "GET", s.Running.URL()+"/.well-known/terraform.json", "")
	var services map[string]string
	if err := json.Unmarshal([]byte(body), &services); status != 200 || err != nil {
		t.Fatalf("%d, %v", status, err)
	}
	for _, name := range []string{"tfe.v2", "tfe.v2.1", "tfe.v2.2", "state.v2"} {
		if services[name] != "/api/v2/" {
			t.Errorf("%s: %q", name, services[name])
		}
	}
}
