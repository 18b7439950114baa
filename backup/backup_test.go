package backup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/backend"
	"tfhaul/backend/file"
	kind "tfhaul/backend/tfe"
	"tfhaul/backup"
	"tfhaul/tfesim"
)

// A fixture is an organization and a directory for its backup.
type fixture struct {
	*tfesim.Server
	url   string
	dir   string
	place backend.Objects
}

func prepare(t *testing.T, o tfesim.Options) *fixture {
	t.Helper()
	o.Organizations = []string{"acme"}
	sim, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		server.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	return &fixture{sim, server.URL, dir, directory(t, dir)}
}

func directory(t *testing.T, dir string) backend.Objects {
	t.Helper()
	target, err := file.Kind(backend.Connection{}).Target.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return target.(backend.Objects)
}

// seed stores a state in a workspace, which is created if necessary, and returns it.
func (f *fixture) seed(t *testing.T, name string, serial int, lineage string) []byte {
	t.Helper()
	raw := fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.4","serial":%d,"lineage":%q,"outputs":{"o":{"value":%d,"type":"number"}},"resources":[]}`, serial, lineage, serial)
	if _, err := f.Seed("acme", name, raw); err != nil {
		t.Fatal(err)
	}
	return raw
}

// options lists the organization.
func (f *fixture) options(t *testing.T) backup.Options {
	t.Helper()
	kinds := backend.Kinds{kind.Kind(backend.Connection{Environ: []string{"TFE_ADDRESS=" + f.url, "TFE_TOKEN=" + f.Token(tfesim.Owner)}})}
	listing, err := kinds.Find(t.Context(), "tfe://acme", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return backup.Options{Source: "tfe://acme", Listing: listing, Whole: true, Place: f.place, Parallelism: 4}
}

// run makes a backup that must succeed, checks the index, and returns the items by name.
func (f *fixture) run(t *testing.T, o backup.Options) map[string]backup.Item {
	t.Helper()
	items, err := backup.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	f.index(t)
	named := map[string]backup.Item{}
	for _, i := range items {
		named[i.Name] = i
	}
	return named
}

// index reads the index, and checks that everything it names is there with these bytes.
func (f *fixture) index(t *testing.T) *backup.Index {
	t.Helper()
	in, err := os.Open(filepath.Join(f.dir, backend.BackupIndex))
	if errors.Is(err, os.ErrNotExist) {
		return &backup.Index{}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	index, err := backup.ReadIndex(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range index.States {
		for _, v := range e.Versions {
			if v.File == "" {
				continue
			}
			_, stored, err := f.place.GetObject(t.Context(), v.File)
			if err != nil || stored.MD5 != v.MD5 || stored.Size != v.Size {
				t.Errorf("%s, which the index names: %+v, %v", v.File, stored, err)
			}
		}
	}
	return index
}

// entry returns the index's entry of a workspace.
func (f *fixture) entry(t *testing.T, name string) *backup.Entry {
	t.Helper()
	for _, e := range f.index(t).States {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("the index does not name %s", name)
	return nil
}

// newest returns the bytes of the newest copy of a workspace.
func (f *fixture) newest(t *testing.T, name string) []byte {
	t.Helper()
	v := f.entry(t, name).Newest()
	if v == nil {
		t.Fatalf("no version of %s is stored", name)
	}
	raw, err := os.ReadFile(filepath.Join(f.dir, filepath.FromSlash(v.File)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (f *fixture) calls() (api, downloads int) {
	for _, q := range f.Requests() {
		switch {
		case strings.Contains(q.Endpoint, "_archivist"):
			downloads++
		case !strings.Contains(q.Endpoint, "well-known"):
			api++
		}
	}
	return api, downloads
}

func TestSecondBackupCostsTheListing(t *testing.T) {
	workspaces, pages := 120, 2
	if os.Getenv("TFHAUL_TESTS") == "full" {
		workspaces, pages = 1000, 10
	}
	f := prepare(t, tfesim.Options{})
	want := map[string][]byte{}
	for i := range workspaces {
		name := fmt.Sprintf("ws-%04d", i)
		want[name] = f.seed(t, name, i+1, "of-"+name)
	}
	for name, item := range f.run(t, f.options(t)) {
		if item.Outcome != backup.Stored || !bytes.Equal(f.newest(t, name), want[name]) {
			t.Fatalf("%s: %+v", name, item)
		}
		if len(want) > 120 {
			break // comparing all of them reads the index each time
		}
	}
	f.ResetRequests()
	for name, item := range f.run(t, f.options(t)) {
		if item.Outcome != backup.Unchanged {
			t.Errorf("the second time, %s is %s", name, item.Outcome)
		}
	}
	if api, downloads := f.calls(); api != pages || downloads != 0 {
		t.Errorf("the second backup made %d API calls and %d downloads, want %d and none", api, downloads, pages)
	}

	newer := f.seed(t, "ws-0007", 5000, "of-ws-0007")
	f.ResetRequests()
	items := f.run(t, f.options(t))
	if items["ws-0007"].Outcome != backup.Stored || !bytes.Equal(f.newest(t, "ws-0007"), newer) {
		t.Errorf("the changed workspace: %+v", items["ws-0007"])
	}
	if n := len(f.entry(t, "ws-0007").Versions); n != 2 {
		t.Errorf("%d versions, want both", n)
	}
	if _, downloads := f.calls(); downloads != 2 {
		t.Errorf("%d downloads for one changed workspace, want 2 (to hash, and to send)", downloads)
	}
}

// An unreliable place fails at one request, before or after it took effect.
type unreliable struct {
	backend.Objects
	nth   int64
	after bool
	stop  context.CancelFunc // ends the backup instead of an answer; may be nil
	seen  atomic.Int64
}

var errLost = &backend.Error{Code: backend.Ambiguous, Message: "the response was lost"}

func (u *unreliable) PutObject(ctx context.Context, name string, o backend.Object) (*backend.Version, error) {
	if u.seen.Add(1) != u.nth {
		return u.Objects.PutObject(ctx, name, o)
	}
	if u.after {
		if _, err := u.Objects.PutObject(ctx, name, o); err != nil && u.stop == nil {
			return nil, err
		}
	}
	if u.stop != nil {
		u.stop()
		return nil, ctx.Err()
	}
	return nil, errLost
}

func (u *unreliable) GetObject(ctx context.Context, name string) (io.ReadCloser, *backend.Version, error) {
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	return u.Objects.GetObject(ctx, name)
}

func TestInterruptedBackupsContinue(t *testing.T) {
	cases := 0
	for _, after := range []bool{false, true} {
		for _, stopped := range []bool{false, true} {
			for nth := int64(1); ; nth++ {
				f := prepare(t, tfesim.Options{})
				want := map[string][]byte{}
				for _, name := range []string{"app", "db", "network"} {
					want[name] = f.seed(t, name, 3, "of-"+name)
				}
				ctx, cancel := context.WithCancel(t.Context())
				o := f.options(t)
				o.Parallelism = 1
				u := &unreliable{Objects: f.place, nth: nth, after: after}
				if stopped {
					u.stop = cancel
				}
				o.Place = u
				items, err := backup.Run(ctx, o)
				cancel()
				f.index(t)
				reached := u.seen.Load() >= nth
				if reached && stopped && err == nil && nth < u.seen.Load() {
					t.Errorf("stopped at %d, after %v: no error, %+v", nth, after, items)
				}
				for name, item := range f.run(t, f.options(t)) {
					if item.Outcome != backup.Stored && item.Outcome != backup.Unchanged || !bytes.Equal(f.newest(t, name), want[name]) {
						t.Errorf("request %d, after %v, stopped %v: then %s is %+v", nth, after, stopped, name, item)
					}
				}
				if !reached {
					break
				}
				cases++
			}
		}
	}
	if cases < 16 {
		t.Errorf("only %d cases", cases)
	}
}

func TestAllBytesAreCopied(t *testing.T) {
	source := t.TempDir()
	contents := map[string]string{
		"encrypted.tfstate":         `{"encrypted_data":"abc","encryption_version":"v0","meta":{}}`,
		"garbage.tfstate":           "\x00\xff not JSON",
		"nothing.tfstate":           `{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l","outputs":{},"resources":[]}`,
		"of a customer/net.tfstate": `{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l","outputs":{"o":{"value":1,"type":"number"}},"resources":[]}`,
	}
	for name, text := range contents {
		at := filepath.Join(source, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	listing, err := backend.Kinds{file.Kind(backend.Connection{})}.Find(t.Context(), source, backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := &fixture{dir: dir, place: directory(t, dir)}
	o := backup.Options{Source: source, Listing: listing, Place: f.place, Parallelism: 2}
	f.run(t, o)
	for name, text := range contents {
		if got := f.newest(t, name); string(got) != text {
			t.Errorf("%s: the copy has %d bytes, want %d", name, len(got), len(text))
		}
	}
	for name, mark := range map[string]string{"encrypted.tfstate": "encrypted", "garbage.tfstate": "invalid", "nothing.tfstate": "empty"} {
		if marks := f.entry(t, name).Newest().Marks; !slices.Contains(marks, mark) {
			t.Errorf("%s has the marks %v, want %s", name, marks, mark)
		}
	}
	for name, item := range f.run(t, o) {
		if item.Outcome != backup.Unchanged {
			t.Errorf("the second time, %s is %s", name, item.Outcome)
		}
	}
}

func TestUnreadableVersionIsAGap(t *testing.T) {
	f := prepare(t, tfesim.Options{})
	f.seed(t, "app", 1, "a")
	f.seed(t, "network", 1, "n")
	f.Inject(tfesim.Fault{Times: -1, Kind: tfesim.FaultChange, Change: func(body []byte) []byte {
		return bytes.ReplaceAll(body, []byte(`"hosted-state-download-url"`), []byte(`"no-download-url"`))
	}})
	items := f.run(t, f.options(t))
	if items["app"].Outcome != backup.Gap || items["app"].Message == "" {
		t.Errorf("%+v, want a gap", items["app"])
	}
	if v := f.entry(t, "app").Versions; len(v) != 1 || v[0].Gap == "" || v[0].File != "" {
		t.Errorf("the index has %+v, want a gap", v)
	}
	f.ClearFaults()
	if items := f.run(t, f.options(t)); items["app"].Outcome != backup.Stored || f.entry(t, "app").Newest() == nil {
		t.Errorf("the next time: %+v, want it stored", items["app"])
	}
}

// A historic state can no longer give one version.
type historic interface {
	backend.State
	backend.Historic
}

type forgetful struct {
	historic
	forgotten string
}

func (s forgetful) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	if v != nil && v.ID == s.forgotten {
		return nil, backend.Version{}, &backend.Error{Code: backend.Failed, Message: "its data was deleted"}
	}
	return s.historic.Open(ctx, v)
}

func TestAGapInTheHistoryDoesNotStopNewerVersions(t *testing.T) {
	f := prepare(t, tfesim.Options{})
	var want []byte
	for serial := range 4 {
		want = f.seed(t, "network", serial+1, "n")
	}
	options := func() backup.Options {
		o := f.options(t)
		o.History = backend.AllVersions
		state := o.Listing.States[0].(historic)
		for v, err := range state.Versions(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if v.Serial == 2 {
				o.Listing.States[0] = forgetful{state, v.ID}
			}
		}
		return o
	}
	for _, stored := range []int{3, 0} {
		if item := f.run(t, options())["network"]; item.Outcome != backup.Gap || len(item.Stored) != stored || !strings.Contains(item.Message, "deleted") {
			t.Errorf("%+v, want a gap and %d versions", item, stored)
		}
		if e := f.entry(t, "network"); len(e.Versions) != 4 || e.Versions[2].Gap == "" || !bytes.Equal(f.newest(t, "network"), want) {
			t.Errorf("the index has %+v, want 3 versions and a gap", e.Versions)
		}
	}
}

// A placed state has a key of its own.
type placed struct {
	backend.State
	key string
}

func (p placed) Place() backend.Place { return backend.Place{Key: p.key} }

func TestEveryKeyHasItsOwnName(t *testing.T) {
	keys := []string{"a/t.tfstate", "a//t.tfstate", "/a/t.tfstate", "../a/t.tfstate", "a/../a/t.tfstate", "A/T.tfstate", "a/t.tfstate/", "..", "/", "",
		"caf\xe9/t.tfstate", "caf\xe8/t.tfstate", "caf\u00e9/t.tfstate", "nul\x00/t.tfstate", "nul/t.tfstate", "line\nbreak/t.tfstate",
		strings.Repeat("l", 300) + "/t.tfstate", "d/" + strings.Repeat("l", 300), "d/" + strings.Repeat("l", 250),
		backend.BackupIndex, backend.BackupIndex + "/t.tfstate", "d/" + backend.BackupIndex + "/t.tfstate"}
	f := prepare(t, tfesim.Options{})
	want := map[string][]byte{}
	for i := range keys {
		lineage := fmt.Sprint(i)
		want[lineage] = f.seed(t, fmt.Sprintf("w%02d", i), 1, lineage)
	}
	for run := range 2 {
		o := f.options(t)
		for i := range keys {
			o.Listing.States[i] = placed{o.Listing.States[i], keys[i]}
		}
		for name, item := range f.run(t, o) {
			if run == 0 && item.Outcome != backup.Stored || run == 1 && item.Outcome != backup.Unchanged {
				t.Errorf("%q is %s in run %d: %s", name, item.Outcome, run, item.Message)
			}
		}
		index := f.index(t)
		if len(index.States) != len(keys) {
			t.Errorf("the index has %d states, want %d", len(index.States), len(keys))
		}
		for _, e := range index.States {
			v := e.Newest()
			if v == nil || len(e.Versions) != 1 || !e.Gone.IsZero() {
				t.Errorf("%q: %+v", e.Name, e)
			} else if !bytes.Equal(f.newest(t, e.Name), want[v.Lineage]) {
				t.Errorf("%q has other bytes", e.Name)
			}
		}
	}
}

func TestHistoryAndKeep(t *testing.T) {
	f := prepare(t, tfesim.Options{})
	var want [][]byte
	for serial := range 7 {
		want = append(want, f.seed(t, "network", serial+1, "n"))
	}
	o := f.options(t)
	o.History = 5
	if item := f.run(t, o)["network"]; len(item.Stored) != 5 || item.Stored[0].Serial != 3 || item.Stored[4].Serial != 7 {
		t.Errorf("--history 5 stored %+v, want serials 3 to 7", item.Stored)
	}
	o = f.options(t)
	o.History = backend.AllVersions
	if item := f.run(t, o)["network"]; len(item.Stored) != 2 {
		t.Errorf("--history all then stored %+v, want serials 1 and 2", item.Stored)
	}
	e := f.entry(t, "network")
	for i, v := range e.Versions {
		if int(v.Serial) != 7-i {
			t.Errorf("version %d has serial %d, want the newest first", i, v.Serial)
		}
	}
	if !bytes.Equal(f.newest(t, "network"), want[6]) {
		t.Error("the newest copy is not the current state")
	}
	o = f.options(t)
	o.Keep = 3
	if item := f.run(t, o)["network"]; item.Removed != 4 {
		t.Errorf("--keep 3 removed %d versions, want 4", item.Removed)
	}
	files, err := os.ReadDir(filepath.Join(f.dir, "network"))
	if err != nil || len(files) != 3 || len(f.entry(t, "network").Versions) != 3 {
		t.Errorf("%d files, %v; want 3", len(files), err)
	}
}

func TestRecreatedAndDeletedWorkspaces(t *testing.T) {
	f := prepare(t, tfesim.Options{})
	f.seed(t, "network", 9, "first")
	f.seed(t, "app", 1, "a")
	f.run(t, f.options(t))
	if err := errors.Join(f.DeleteWorkspace("acme", "network"), f.DeleteWorkspace("acme", "app")); err != nil {
		t.Fatal(err)
	}
	again := f.seed(t, "network", 1, "second")
	f.run(t, f.options(t))
	e := f.entry(t, "network")
	if len(e.Versions) != 2 || !bytes.Equal(f.newest(t, "network"), again) || !slices.Contains(e.Newest().Marks, "new-lineage") {
		t.Errorf("the recreated workspace: %+v", e.Versions)
	}
	if gone := f.entry(t, "app"); gone.Gone.IsZero() || gone.Newest() == nil {
		t.Errorf("the deleted workspace: %+v, want it marked and still stored", gone)
	}
}

func TestVariablesAreRecordedOnlyOnRequest(t *testing.T) {
	f := prepare(t, tfesim.Options{})
	f.seed(t, "network", 1, "n")
	client, err := tfe.NewClient(&tfe.Config{Address: f.url, Token: f.Token(tfesim.Owner)})
	if err != nil {
		t.Fatal(err)
	}
	ws, err := client.Workspaces.Read(t.Context(), "acme", "network")
	if err != nil {
		t.Fatal(err)
	}
	for key, sensitive := range map[string]bool{"region": false, "password": true} {
		if _, err := client.Variables.Create(t.Context(), ws.ID, tfe.VariableCreateOptions{Key: tfe.String(key), Value: tfe.String("value-of-" + key),
			Category: tfe.Category(tfe.CategoryTerraform), Sensitive: tfe.Bool(sensitive)}); err != nil {
			t.Fatal(err)
		}
	}
	f.run(t, f.options(t))
	text, err := os.ReadFile(filepath.Join(f.dir, backend.BackupIndex))
	if err != nil || bytes.Contains(text, []byte("region")) {
		t.Errorf("without the request the index names a variable (%v)", err)
	}
	o := f.options(t)
	o.Variables = true
	f.run(t, o)
	text, err = os.ReadFile(filepath.Join(f.dir, backend.BackupIndex))
	if err != nil || !bytes.Contains(text, []byte("value-of-region")) || !bytes.Contains(text, []byte(`"password"`)) || bytes.Contains(text, []byte("value-of-password")) {
		t.Errorf("the variables in the index are wrong (%v)", err)
	}
}

func TestOtherFilesAreNotTouched(t *testing.T) {
	f := prepare(t, tfesim.Options{})
	f.seed(t, "network", 1, "n")
	at := filepath.Join(f.dir, backend.BackupIndex)
	for _, text := range []string{"", "mine", `{"format":"tfhaul-backup/2"}`, `{"format":"tfhaul-backup/1","source":"tfe://other","states":[]}`,
		`{"format":"tfhaul-backup/1","states":[{"name":"x","versions":[{"id":"1","file":"../../etc/passwd.tfstate"}]}]}`} {
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Run(t.Context(), f.options(t)); err == nil {
			t.Errorf("%q was taken for an index", text)
		}
		if now, err := os.ReadFile(at); err != nil || string(now) != text {
			t.Errorf("%q was replaced by %q, %v", text, now, err)
		}
	}
}

// Two backups at a time: the one that loses says so, and what it copied is found by the next.
func TestSimultaneousBackupsAreNoticed(t *testing.T) {
	f := prepare(t, tfesim.Options{})
	f.seed(t, "network", 1, "n")
	o := f.options(t)
	o.Progress = func(backup.Item) {
		other := f.options(t)
		if _, err := backup.Run(t.Context(), other); err != nil {
			t.Error(err)
		}
	}
	if _, err := backup.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another backup") {
		t.Errorf("error %v, want that another backup wrote the index", err)
	}
	f.run(t, f.options(t))
}

// A place that ignores conditions could lose copies, and is refused.
type careless struct {
	backend.Objects
	knowsNew bool // it does not ignore the condition that nothing is stored
}

func (c careless) PutObject(ctx context.Context, name string, o backend.Object) (*backend.Version, error) {
	if o.Was != nil || !c.knowsNew {
		if err := c.RemoveObject(ctx, name); err != nil {
			return nil, err
		}
	}
	o.Was = nil
	return c.Objects.PutObject(ctx, name, o)
}

func TestPlacesWithoutConditionsAreRefused(t *testing.T) {
	for _, knowsNew := range []bool{false, true} {
		f := prepare(t, tfesim.Options{})
		f.seed(t, "network", 1, "n")
		o := f.options(t)
		o.Place = careless{f.place, knowsNew}
		if _, err := backup.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "ignores the conditions") {
			t.Errorf("error %v, want that the place ignores conditions", err)
		}
	}
}

func TestIndexIsJSONForScripts(t *testing.T) {
	f := prepare(t, tfesim.Options{})
	f.seed(t, "network", 4, "n")
	f.run(t, f.options(t))
	text, err := os.ReadFile(filepath.Join(f.dir, backend.BackupIndex))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Format, Source string
		States         []struct {
			Name      string
			Workspace struct {
				ID, Organization, Project string
				TerraformVersion          string `json:"terraform_version"`
				ExecutionMode             string `json:"execution_mode"`
			}
			Versions []struct {
				ID, MD5, Lineage, File string
				Serial, Size           int64
			}
		}
	}
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	if index.Format != "tfhaul-backup/1" || len(index.States) != 1 {
		t.Fatalf("%+v", index)
	}
	ws, v := index.States[0].Workspace, index.States[0].Versions[0]
	if ws.Organization != "acme" || ws.ID == "" || ws.Project != "Default Project" || ws.TerraformVersion != "1.11.4" || ws.ExecutionMode != "remote" {
		t.Errorf("workspace %+v", ws)
	}
	if v.Serial != 4 || v.Lineage != "n" || v.MD5 == "" || v.Size == 0 || v.File != "network/"+v.ID+".tfstate" {
		t.Errorf("version %+v", v)
	}
}
