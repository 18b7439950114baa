package tfe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfhaul/backend"
)

// included are the users, teams and runs of the documents below.
const included = `,"included":[
	{"id":"user-1","type":"users","attributes":{"username":"alice"}},
	{"id":"team-1","type":"teams","attributes":{"name":"ops"}},
	{"id":"run-1","type":"runs","attributes":{"status":"planning"}}]`

func workspaceDocument(attributes, relationships string) string {
	return `{"data":{"id":"ws-1","type":"workspaces","attributes":{"name":"network","terraform-version":"1.11.4","execution-mode":"remote"` +
		attributes + `},"relationships":{` + relationships + `}}` + included + `}`
}

func TestWorkspaceDocuments(t *testing.T) {
	base := Workspace{Organization: "acme", Standing: backend.Standing{ID: "ws-1", Name: "network",
		Terraform: "1.11.4", ExecutionMode: "remote", CanRead: true, CanWrite: true, CanLock: true}}
	lockedBy := func(kind, id string) string {
		return fmt.Sprintf(`"locked-by":{"data":{"id":%q,"type":%q}}`, id, kind)
	}
	cases := []struct {
		name, attributes, relationships string
		want                            func(*Workspace)
		holder                          string
	}{
		{name: "not locked, and nothing else reported"},
		{name: "no state version", relationships: `"current-state-version":{"data":null}`,
			want: func(w *Workspace) { w.Current = backend.Ref{Known: true} }},
		{name: "a state version", relationships: `"current-state-version":{"data":{"id":"sv-1","type":"state-versions"},"links":{"related":"/x"}}`,
			want: func(w *Workspace) { w.Current = backend.Ref{Known: true, ID: "sv-1"} }},
		{name: "a relation without data", relationships: `"current-state-version":{"links":{"related":"/x"}}`},
		{name: "locked by a user", attributes: `,"locked":true,"locked-reason":"apply by hand"`, relationships: lockedBy("users", "user-1"),
			want: func(w *Workspace) {
				w.Locked, w.Holder = true, backend.Holder{Kind: "user", ID: "user-1", Name: "alice", Reason: "apply by hand", ReasonKnown: true}
			}, holder: "user alice"},
		{name: "locked by a team without a reason", attributes: `,"locked":true,"locked-reason":""`, relationships: lockedBy("teams", "team-1"),
			want: func(w *Workspace) {
				w.Locked, w.Holder = true, backend.Holder{Kind: "team", ID: "team-1", Name: "ops", ReasonKnown: true}
			}, holder: "team ops"},
		{name: "locked by a run", attributes: `,"locked":true`, relationships: lockedBy("runs", "run-1"),
			want:   func(w *Workspace) { w.Locked, w.Holder = true, backend.Holder{Kind: "run", ID: "run-1"} },
			holder: "run run-1"},
		{name: "locked by a user who is not included", attributes: `,"locked":true,"locked-reason":null`, relationships: lockedBy("users", "user-7"),
			want:   func(w *Workspace) { w.Locked, w.Holder = true, backend.Holder{Kind: "user", ID: "user-7"} },
			holder: "user user-7"},
		{name: "locked by an unnamed holder", attributes: `,"locked":true`,
			want:   func(w *Workspace) { w.Locked = true },
			holder: "another user whom the server does not name"},
		{name: "an old reason of an unlocked workspace", attributes: `,"locked":false,"locked-reason":"old"`},
		{name: "all permissions", attributes: `,"permissions":{"can-read-state-versions":true,"can-lock":true,"can-unlock":true}`},
		{name: "no permissions", attributes: `,"permissions":{"can-read-state-versions":false,"can-lock":false,"can-unlock":false}`,
			want: func(w *Workspace) { w.CanRead, w.CanLock = false, false }},
		{name: "some permissions are missing", attributes: `,"permissions":{"can-lock":false}`,
			want: func(w *Workspace) { w.CanLock = false }},
		{name: "permissions null", attributes: `,"permissions":null`},
		{name: "a current run", relationships: `"current-run":{"data":{"id":"run-1","type":"runs"}}`,
			want: func(w *Workspace) {
				w.Run, w.RunsKnown, w.LatestRun = &backend.Run{ID: "run-1", Status: "planning"}, true, &backend.Run{ID: "run-1"}
			}},
		{name: "a run that waits", relationships: `"latest-run":{"data":{"id":"run-2","type":"runs"}}`,
			want: func(w *Workspace) { w.RunsKnown, w.LatestRun = true, &backend.Run{ID: "run-2"} }},
		{name: "automatic apply", attributes: `,"auto-apply":true`, want: func(w *Workspace) { w.Automatic = backend.AutoApply }},
		{name: "escapes in names", attributes: `,"locked":true,"locked-reason":"\u001b[2Jx"`,
			want:   func(w *Workspace) { w.Locked, w.Holder = true, backend.Holder{Reason: "[2Jx", ReasonKnown: true} },
			holder: "another user whom the server does not name"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			client := serve(t, answer(200, jsonAPI, workspaceDocument(c.attributes, c.relationships)))
			want := base
			if c.want != nil {
				c.want(&want)
			}
			got, err := client.Workspace(t.Context(), "acme", "network")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got, unexported); diff != "" {
				t.Errorf("read by name (-want +got):\n%s", diff)
			}
			if c.holder != "" && got.Holder.String() != c.holder {
				t.Errorf("the holder is %q, want %q", got.Holder, c.holder)
			}
			if !want.Locked && strings.Contains(c.attributes, `"locked":false`) {
				// No genuine response to a lock request says this.
			} else if locked, err := client.Lock(t.Context(), acme, "r"); err != nil || cmp.Diff(&want, locked, unexported) != "" {
				t.Errorf("the response to a lock request: %v\n%s", err, cmp.Diff(&want, locked, unexported))
			}
			if byID, err := client.WorkspaceByID(t.Context(), "acme", "ws-1"); err != nil || cmp.Diff(&want, byID, unexported) != "" {
				t.Errorf("read by id: %v\n%s", err, cmp.Diff(&want, byID, unexported))
			}
		})
	}
}

// hostileDocuments are responses with status 200 and wrong shapes.
var hostileDocuments = []string{
	``, `null`, `[]`, `{}`, `"x"`, `1`, `{`, `{"data":null}`, `{"data":[]}`, `{"data":1}`, `{"data":{}}`, `{"data":[null]}`,
	`{"data":{"id":5,"type":"workspaces"}}`, `{"data":{"id":"","type":"workspaces","attributes":{}}}`,
	`{"data":{"id":"ws-1","type":"runs"}}`,
	`{"data":{"id":"ws-1","type":"workspaces","attributes":[]}}`,
	`{"data":{"id":"ws-1","type":"workspaces","attributes":{"locked":"yes"}}}`,
	`{"data":{"id":"ws-1","type":"workspaces","attributes":{"permissions":"all"}}}`,
	`{"data":{"id":"ws-1","type":"workspaces","attributes":{"locked-reason":[]}}}`,
	`{"data":{"id":"ws-1","type":"workspaces","relationships":[]}}`,
	`{"data":{"id":"ws-1","type":"workspaces","relationships":{"locked-by":1}}}`,
	`{"data":{"id":"ws-1","type":"workspaces","relationships":{"locked-by":{"data":{"id":"x","type":"moons"}}}}}`,
	`{"data":{"id":"ws-1","type":"workspaces","relationships":{"current-state-version":{"data":[1]}}}}`,
	`{"data":{"id":"ws-1","type":"workspaces"},"included":5}`,
	`{"data":{"id":"ws-1","type":"workspaces"},"included":[null]}`,
	`{"data":{"id":"sv-1","type":"state-versions","attributes":{"serial":"x"}}}`,
	`{"data":{"id":"sv-1","type":"state-versions","attributes":{"created-at":7}}}`,
	`{"data":{"id":"sv-1","type":"state-versions","attributes":{"hosted-state-download-url":{}}}}`,
	`{"data":[{"id":"ws-1","type":"workspaces"},null,7]}`,
	`{"data":[{"id":"ws-1","type":"workspaces"}],"meta":{"pagination":[]}}`,
	`{"data":[{"type":"workspaces"}],"meta":{"pagination":{"next-page":"two"}}}`,
	strings.Repeat(`{"data":`, 11000),
}

func TestHostileDocumentsGiveAnError(t *testing.T) {
	for i, document := range hostileDocuments {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			c := serve(t, answer(200, jsonAPI, document))
			calls := map[string]func() error{
				"Workspace":    func() error { _, err := c.Workspace(t.Context(), "acme", "network"); return err },
				"Lock":         func() error { _, err := c.Lock(t.Context(), acme, "r"); return err },
				"Unlock":       func() error { _, err := c.Unlock(t.Context(), acme); return err },
				"Current":      func() error { _, err := c.Current(t.Context(), acme); return err },
				"StateVersion": func() error { _, err := c.StateVersion(t.Context(), "sv-1"); return err },
				"Identity":     func() error { _, err := c.Identity(t.Context()); return err },
				"Announce":     func() error { _, err := c.Announce(t.Context(), acme, Attributes{}); return err },
				"CreateWorkspace": func() error {
					_, err := createWorkspace(t.Context(), c, "n", backend.CreateOptions{Project: "p"})
					return err
				},
				"Workspaces": func() error {
					for _, err := range c.Workspaces(t.Context(), "acme") {
						if err != nil {
							return err
						}
					}
					return nil
				},
				"History": func() error {
					for _, err := range c.History(t.Context(), "acme", "n") {
						if err != nil {
							return err
						}
					}
					return nil
				},
			}
			for name, call := range calls {
				if err := call(); err != nil {
					if _, ok := errors.AsType[*Error](err); !ok {
						t.Errorf("%s: %T %v", name, err, err)
					}
				}
			}
			// A completely wrong document yields an error.
			if i < 14 {
				for _, name := range []string{"Workspace", "Lock", "Current", "StateVersion", "Announce", "Identity"} {
					if calls[name]() == nil {
						t.Errorf("%s accepts %.60s", name, document)
					}
				}
			}
		})
	}
}

// listing serves pages of workspaces as a function of the page's number.
func listing(page func(n int) (items []string, next any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("page[number]"))
		items, next := page(n)
		data := []any{}
		for _, id := range items {
			data = append(data, map[string]any{"id": id, "type": "workspaces", "attributes": map[string]any{"name": "name-of-" + id}})
		}
		w.Header().Set("Content-Type", jsonAPI)
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data, "meta": map[string]any{"pagination": map[string]any{"current-page": n, "next-page": next}}})
	}
}

func TestListings(t *testing.T) {
	hundred := func(n int) (ids []string) {
		for i := range 100 {
			ids = append(ids, fmt.Sprintf("ws-%d-%d", n, i))
		}
		return ids
	}
	cases := []struct {
		name  string
		page  func(int) ([]string, any)
		items int
		fails string
	}{
		{"three pages", func(n int) ([]string, any) {
			if n == 3 {
				return []string{"ws-last"}, nil
			}
			return hundred(n), n + 1
		}, 201, ""},
		{"none", func(int) ([]string, any) { return nil, nil }, 0, ""},
		{"the same page forever", func(int) ([]string, any) { return hundred(1), 2 }, 200, "listing does not end: page 2 is followed by page 2"},
		{"backwards", func(n int) ([]string, any) { return hundred(n), n - 1 }, 100, ""},
		{"an empty page followed by another", func(n int) ([]string, any) {
			if n == 2 {
				return nil, 3
			}
			return hundred(n), n + 1
		}, 100, "listing does not end"},
		{"endless pages", func(n int) ([]string, any) { return []string{"ws-" + strconv.Itoa(n)}, n + 1000 }, 10, "listing does not end"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			client := serve(t, listing(c.page))
			n, last := 0, error(nil)
			for ws, err := range client.Workspaces(t.Context(), "acme") {
				if err != nil {
					last = err
					continue
				}
				if !strings.HasPrefix(ws.Name, "name-of-ws-") || ws.Organization != "acme" {
					t.Fatalf("got %+v", ws)
				}
				n++
			}
			if n != c.items {
				t.Errorf("%d workspaces, want %d", n, c.items)
			}
			if (last != nil) != (c.fails != "") || last != nil && !strings.Contains(last.Error(), c.fails) {
				t.Errorf("ended with %v", last)
			}
		})
	}
	t.Run("a listing that is not read to the end fetches no more pages", func(t *testing.T) {
		asked := 0
		client := serve(t, listing(func(n int) ([]string, any) { asked++; return hundred(n), n + 1 }))
		for range client.Workspaces(t.Context(), "acme") {
			break
		}
		if asked != 1 {
			t.Errorf("%d pages were fetched", asked)
		}
	})
}

func TestProjectIsFoundOnAnyPage(t *testing.T) {
	var created string
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			var doc struct {
				Data struct {
					Relationships struct {
						Project struct{ Data struct{ ID string } }
					}
				}
			}
			_ = json.NewDecoder(r.Body).Decode(&doc)
			created = doc.Data.Relationships.Project.Data.ID
			answer(201, jsonAPI, workspaceDocument("", ""))(w, r)
			return
		}
		if r.URL.Query().Get("page[number]") == "2" {
			answer(200, jsonAPI, `{"data":[{"id":"prj-2","type":"projects","attributes":{"name":"Core"}}]}`)(w, r)
			return
		}
		answer(200, jsonAPI, `{"data":[{"id":"prj-1","type":"projects","attributes":{"name":"Core services"}}],"meta":{"pagination":{"next-page":2}}}`)(w, r)
	}))
	if _, err := createWorkspace(t.Context(), c, "network", backend.CreateOptions{Project: "Core"}); err != nil || created != "prj-2" {
		t.Errorf("created in %q: %v", created, err)
	}
	_, err := createWorkspace(t.Context(), c, "network", backend.CreateOptions{Project: "Cor"})
	if want := `find project "Cor" of acme: no project has this name, or this token cannot see it`; err == nil || err.Error() != want || backend.CodeOf(err) != backend.ForbiddenOrMissing {
		t.Errorf("got %v", err)
	}
}

func TestCurrentStateVersion(t *testing.T) {
	const document = `{"data":{"id":"sv-1","type":"state-versions","attributes":{"serial":41,"size":123,"status":"finalized",
		"created-at":"2026-01-02T03:04:05Z","terraform-version":"1.11.4","hosted-state-download-url":"https://x/y"},
		"relationships":{"run":{"data":{"id":"run-1","type":"runs"}}}}}`
	blind, has := *acme, *acme
	blind.CanRead = false
	has.Current = backend.Ref{Known: true, ID: "sv-1"}
	cases := []struct {
		name   string
		ws     *Workspace
		status int
		body   string
		id     string // "" means none
		code   Code
	}{
		{"one", acme, 200, document, "sv-1", ""},
		{"none, in the API's words", acme, 404, object("404", "not found", ""), "", ""},
		{"none, according to a proxy", acme, 404, "<h1>404</h1>", "", backend.ForbiddenOrMissing},
		{"none, without a text", acme, 404, "", "", backend.ForbiddenOrMissing},
		{"none, without the permission to read", &blind, 404, object("404", "not found", ""), "", backend.ForbiddenOrMissing},
		{"none, for a workspace that has one", &has, 404, object("404", "not found", ""), "", backend.ForbiddenOrMissing},
		{"forbidden", acme, 403, object("403", "forbidden", ""), "", backend.ForbiddenOrMissing},
		{"an error", acme, 500, "", "", backend.Ambiguous},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sv, err := serve(t, answer(c.status, jsonAPI, c.body)).Current(t.Context(), c.ws)
			if backend.CodeOf(err) != c.code || (err == nil) != (c.code == "") {
				t.Fatalf("got %v", err)
			}
			if (sv != nil) != (c.id != "") || sv != nil && (sv.ID != c.id || sv.Serial != 41 || sv.Size != 123 || sv.Run != "run-1" || sv.Pending || sv.Discarded() || sv.Announced) {
				t.Errorf("got %+v", sv)
			}
		})
	}
}

func TestHistoryIsOfTheWorkspace(t *testing.T) {
	var query url.Values
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.Query()
		answer(200, jsonAPI, `{"data":[{"id":"sv-2","type":"state-versions","attributes":{"serial":2}},{"id":"sv-1","type":"state-versions","attributes":{"serial":1}}]}`)(w, r)
	}))
	var serials []int64
	for sv, err := range c.History(t.Context(), "acme", "network") {
		if err != nil {
			t.Fatal(err)
		}
		serials = append(serials, sv.Serial)
	}
	if fmt.Sprint(serials) != "[2 1]" || query.Get("filter[organization][name]") != "acme" || query.Get("filter[workspace][name]") != "network" || query.Get("page[size]") != "100" {
		t.Errorf("got %v, requested %v", serials, query)
	}
}

// createWorkspace creates a workspace of acme, with the project and the agent pool that the
// options name.
func createWorkspace(ctx context.Context, c *Client, name string, o backend.CreateOptions) (*Workspace, error) {
	prepared, err := c.PrepareCreation(ctx, "acme", o, false)
	if err != nil {
		return nil, err
	}
	return c.Create(ctx, "acme", name, o, prepared)
}

var unexported = cmp.AllowUnexported(Workspace{})
