package tfesim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// prepared returns a server without a network, with a workspace locked by the owner.
func prepared(t testing.TB, o tfesim.Options) (s *tfesim.Server, workspaceID string) {
	t.Helper()
	s, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	id, err := s.AddWorkspace("demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Lock("demo", "net", tfesim.Owner, ""); err != nil {
		t.Fatal(err)
	}
	return s, id
}

// direct sends a request as the owner, without a network.
func direct(s *tfesim.Server, method, path string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/api/v2"+path, body)
	r.Header.Set("Authorization", "Bearer "+s.Token(tfesim.Owner))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// At every endpoint with a body, a body of any shape is accepted or gets a JSON:API error.
// Nothing panics, and no internals are revealed.
func TestBodiesOfAnyShape(t *testing.T) {
	bodies := map[string]string{
		"empty":                     "",
		"blank":                     " \n",
		"null":                      "null",
		"number":                    "7",
		"text":                      `"text"`,
		"list":                      "[]",
		"half":                      `{"data":{"type":"state-versions","attributes":{"serial":1,"md5":"`,
		"half a state":              `{"data":{"attributes":{"serial":1,"state":"e30`,
		"html":                      "<html>",
		"zeros":                     "\x00\x00\x00",
		"BOM":                       "\xef\xbb\xbf{}",
		"not UTF-8":                 "{\"data\":{\"attributes\":{\"name\":\"\xff\xfe\"}}}",
		"two documents":             "{}{}",
		"data null":                 `{"data":null}`,
		"data text":                 `{"data":"x"}`,
		"data list of numbers":      `{"data":[1,2]}`,
		"attributes list":           `{"data":{"attributes":[]}}`,
		"attributes null":           `{"data":{"attributes":null}}`,
		"all wrong types":           `{"data":{"type":7,"id":[],"attributes":{"serial":[],"md5":{},"lineage":1,"force":"yes","name":1,"email":{},"reason":[],"access":3}}}`,
		"wrong values":              `{"data":{"attributes":{"serial":-1,"md5":"zz","name":"a/b","email":"x","execution-mode":"moon","setting-overwrites":7,"terraform-version":"x"}}}`,
		"huge serial":               `{"data":{"attributes":{"serial":99999999999999999999999,"md5":"d41d8cd98f00b204e9800998ecf8427e"}}}`,
		"relationships text":        `{"data":{"attributes":{"serial":1,"md5":"d41d8cd98f00b204e9800998ecf8427e"},"relationships":"x"}}`,
		"a run that is a list":      `{"data":{"attributes":{"serial":1,"md5":"d41d8cd98f00b204e9800998ecf8427e"},"relationships":{"run":{"data":[1]}}}}`,
		"a run that does not exist": `{"data":{"attributes":{"serial":1,"md5":"d41d8cd98f00b204e9800998ecf8427e"},"relationships":{"run":{"data":{"type":"runs","id":"run-x"}}}}}`,
		"state twice":               `{"data":{"attributes":{"serial":1,"md5":"d41d8cd98f00b204e9800998ecf8427e","state":"e30=","state":"e30="}}}`,
		"state of escapes":          `{"data":{"attributes":{"serial":1,"md5":"99914b932bd37a50b983c5e7c90ae93b","state":"e3\u0030\u003d"}}}`,
		"state and more":            `{"data":{"attributes":{"serial":1,"md5":"99914b932bd37a50b983c5e7c90ae93b","state":"e30=AAAA"}}}`,
		"deep":                      strings.Repeat(`{"data":`, 5000),
		"deep lists":                strings.Repeat("[", 100_000),
		"closing only":              strings.Repeat("}", 1000),
		"a large name":              `{"data":{"attributes":{"name":"` + strings.Repeat("a", 2<<20) + `"}}}`,
		"many attributes":           `{"data":{"attributes":{` + strings.TrimSuffix(strings.Repeat(`"x":1,`, 300_000), ",") + `}}}`,
	}
	endpoints := []string{
		"POST /workspaces/%s/state-versions", "PATCH /workspaces/%s", "POST /workspaces/%s/actions/lock",
		"POST /workspaces/%s/relationships/tags", "PATCH /workspaces/%s/tag-bindings", "PATCH /workspaces/%s/relationships/ssh-key",
		"POST /workspaces/%s/relationships/remote-state-consumers",
		"POST /organizations", "PATCH /organizations/demo", "POST /organizations/demo/workspaces", "POST /organizations/demo/projects",
		"POST /organizations/demo/teams", "POST /organizations/demo/agent-pools", "POST /team-workspaces", "POST /no/such/path",
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			s, id := prepared(t, tfesim.Options{})
			for _, e := range endpoints {
				if strings.Contains(e, "%s") {
					e = fmt.Sprintf(e, id)
				}
				method, path, _ := strings.Cut(e, " ")
				w := direct(s, method, path, strings.NewReader(body))
				if w.Code >= 500 || w.Code < 200 {
					t.Errorf("%s: %d", e, w.Code)
				}
				if w.Code < 400 {
					continue
				}
				var d errorDocument
				if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || len(d.Errors) != 1 || d.Errors[0].Status != fmt.Sprint(w.Code) || d.Errors[0].Title == "" {
					t.Errorf("%s: %d without a JSON:API error", e, w.Code)
				}
				if w.Body.Len() > 1000 {
					t.Errorf("%s: an error of %d bytes", e, w.Body.Len())
				}
			}
			for _, v := range s.Versions("demo", "net") {
				if v.Serial != 1 {
					t.Errorf("a version with serial %d was accepted", v.Serial)
				}
			}
		})
	}
}

func TestHostilePathsAndQueries(t *testing.T) {
	s, id := prepared(t, tfesim.Options{})
	for _, path := range []string{
		"/organizations/demo/workspaces?page[number]=-1", "/organizations/demo/workspaces?page[size]=x",
		"/organizations/demo/workspaces?page[number]=99999999999999999999", "/organizations/demo/workspaces?page[number]=9223372036854775807",
		"/organizations/demo/workspaces?sort=%00", "/organizations/demo/workspaces?include=everything", "/organizations/demo/workspaces?%zz=1;;&&",
		"/workspaces/%2e%2e%2f%2e%2e%2fetc", "/workspaces/" + id + "/../" + id, "/state-versions/" + strings.Repeat("a", 9000),
		"/state-versions", "/state-versions?filter[organization][name]=demo", "/organizations/demo%00/workspaces", "//workspaces//" + id,
	} {
		r := httptest.NewRequest("GET", "/api/v2/ping", nil)
		address, query, _ := strings.Cut(path, "?")
		r.URL.Path, r.URL.RawQuery = "/api/v2"+address, query
		r.Header.Set("Authorization", "Bearer "+s.Token(tfesim.Owner))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Basic eDp5", "bearer x y", strings.Repeat("B", 70_000), "Bearer \x00"} {
		r := httptest.NewRequest("GET", "/api/v2/account/details", nil)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 401 {
			t.Errorf("authorization of %d bytes: %d", len(authorization), w.Code)
		}
	}
}

func TestBodyLimitOfAProxy(t *testing.T) {
	s, id := prepared(t, tfesim.Options{MaxBody: 1000})
	raw := []byte(`{"serial":1,"padding":"` + strings.Repeat("x", 2000) + `"}`)
	body := versionDocument(1, md5Of(raw), lineage, raw, "")
	// With and without an announced length.
	for _, r := range []io.Reader{strings.NewReader(body), io.MultiReader(strings.NewReader(body))} {
		w := direct(s, "POST", "/workspaces/"+id+"/state-versions", r)
		if w.Code != 413 {
			t.Errorf("answered %d", w.Code)
		}
	}
	if len(s.Versions("demo", "net")) != 0 {
		t.Error("a version was accepted")
	}
	w := direct(s, "POST", "/workspaces/"+id+"/state-versions", strings.NewReader(versionDocument(1, md5Of(raw), lineage, nil, "")))
	if w.Code != 201 {
		t.Fatalf("without the state: %d", w.Code)
	}
	var d struct {
		Data struct {
			Attributes struct {
				URL string `json:"hosted-state-upload-url"`
			} `json:"attributes"`
		} `json:"data"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	put := httptest.NewRecorder()
	s.ServeHTTP(put, httptest.NewRequest("PUT", d.Data.Attributes.URL, strings.NewReader(string(raw))))
	if put.Code != 200 {
		t.Errorf("the signed upload has a limit, too: %d", put.Code)
	}
}

// A repeating reader generates a large state without holding it.
type repeating struct {
	head, unit, tail string
	left             int
	current          *strings.Reader
	stage            int
}

func (r *repeating) Read(p []byte) (int, error) {
	for {
		if r.current != nil {
			if n, err := r.current.Read(p); err != io.EOF {
				return n, err
			}
		}
		switch {
		case r.stage == 0:
			r.stage, r.current = 1, strings.NewReader(r.head)
		case r.left > 0:
			r.left--
			r.current = strings.NewReader(r.unit)
		case r.stage == 1:
			r.stage, r.current = 2, strings.NewReader(r.tail)
		default:
			return 0, io.EOF
		}
	}
}

// largeState returns a reader of a state of about n megabytes.
func largeState(n int) *repeating {
	instance := `{"index_key":0,"attributes":{"text":"` + strings.Repeat("0123456789abcdef", 4096-4) + `"}},`
	return &repeating{
		head: `{"version":4,"serial":1,"lineage":"` + lineage + `","resources":[{"mode":"managed","type":"x","name":"y","instances":[`,
		unit: instance, left: n * 16, tail: `{}]}]}`,
	}
}

// With a data folder, a large state is not held in memory, whether it is sent inline or
// signed.
func TestLargeStatesAreStreamed(t *testing.T) {
	const megabytes, budget = 64, 12 << 20
	sum := md5OfReader(t, largeState(megabytes))
	for _, inline := range []bool{true, false} {
		t.Run(map[bool]string{true: "inline", false: "signed"}[inline], func(t *testing.T) {
			folder := t.TempDir()
			s, id := prepared(t, tfesim.Options{Data: folder})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if inline {
				w := direct(s, "POST", "/workspaces/"+id+"/state-versions", inlineBody(t, sum, largeState(megabytes)))
				if w.Code != 201 {
					t.Fatalf("answered %d", w.Code)
				}
			} else {
				w := direct(s, "POST", "/workspaces/"+id+"/state-versions", strings.NewReader(versionDocument(1, sum, lineage, nil, "")))
				var d struct {
					Data struct {
						Attributes struct {
							URL string `json:"hosted-state-upload-url"`
						} `json:"attributes"`
					} `json:"data"`
				}
				if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
					t.Fatal(err)
				}
				put := httptest.NewRecorder()
				s.ServeHTTP(put, httptest.NewRequest("PUT", d.Data.Attributes.URL, largeState(megabytes)))
				if put.Code != 200 {
					t.Fatalf("answered %d", put.Code)
				}
			}
			runtime.ReadMemStats(&after)
			// Total allocations, so that no peak is missed.
			if used := after.TotalAlloc - before.TotalAlloc; used > budget {
				t.Errorf("%d MB of state took %d MB of memory in all", megabytes, used>>20)
			}
			if v := s.Versions("demo", "net")[0]; v.MD5 != sum || v.Size < megabytes*1_000_000 || v.Status != "finalized" {
				t.Errorf("the server has %d bytes, %s", v.Size, v.Status)
			}
			if files, err := os.ReadDir(filepath.Join(folder, "blobs")); err != nil || len(files) != 1 {
				t.Errorf("%d files are there, %v", len(files), err)
			}
		})
	}
}

func inlineBody(t *testing.T, sum string, raw io.Reader) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	go func() {
		_, err := fmt.Fprintf(w, `{"data":{"type":"state-versions","attributes":{"serial":1,"md5":%q,"lineage":%q,"state":"`, sum, lineage)
		if err == nil {
			encoder := base64.NewEncoder(base64.StdEncoding, w)
			if _, err = io.Copy(encoder, raw); err == nil {
				err = encoder.Close()
			}
		}
		if err == nil {
			_, err = io.WriteString(w, `"}}}`)
		}
		w.CloseWithError(err)
	}()
	return r
}

func FuzzCreateStateVersion(f *testing.F) {
	raw := state(1, lineage)
	f.Add([]byte(versionDocument(1, md5Of(raw), lineage, raw, "")))
	f.Add([]byte(versionDocument(1, md5Of(raw), "", nil, `,"force":true`)))
	f.Add([]byte(`{"data":{"attributes":{"state":"e3\u0030="}}}`))
	f.Add([]byte(`[[{"data":"\""}]]`))
	s, id := prepared(f, tfesim.Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		w := direct(s, "POST", "/workspaces/"+id+"/state-versions", strings.NewReader(string(body)))
		if w.Code >= 500 {
			t.Errorf("answered %d", w.Code)
		}
		if w.Code >= 400 {
			var d errorDocument
			if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || len(d.Errors) == 0 {
				t.Errorf("%d without a JSON:API error", w.Code)
			}
		}
	})
}

func TestMain(m *testing.M) {
	if folder := os.Getenv("TFESIM_TEST_SERVE"); folder != "" {
		serveUntilKilled(folder)
	}
	os.Exit(m.Run())
}
