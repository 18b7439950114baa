package migrate_test

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/s3"
	"tfhaul/fixtures/testenv"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

var versionedLayouts = []s3Layout{
	{name: "versioned", versioned: true, lockFile: true},
	{name: "versioned, with a table", versioned: true, table: true, lockFile: true},
}

// wantObject fails unless an object has exactly these versions, oldest first.
func wantObject(t *testing.T, b *s3Bucket, key string, want [][]byte) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	have := b.objects[key]
	if len(have) != len(want) {
		t.Errorf("%s has %d versions, want %d", key, len(have), len(want))
		return
	}
	for i, o := range have {
		if digest(o.text) != digest(want[i]) {
			t.Errorf("version %d has other bytes", i)
		}
	}
}

const historyKey = "live/network/terraform.tfstate"

// historyInBucket returns a bench whose moves take older versions into a bucket.
func historyInBucket(t *testing.T, server *s3Server, l s3Layout) (*storeBench, *s3Bucket, migrate.Move, *pastSource) {
	b, bucket := newS3Bench(t, server, l, nil)
	b.engine.History = backend.AllVersions
	source := past("network", 4)
	return b, bucket, migrate.Move{Object: source, Workspace: b.key}, source
}

// Older versions go into a bucket that keeps them, and where none are.
func TestHistoryIntoABucket(t *testing.T) {
	server := startS3(t)
	for _, l := range versionedLayouts {
		t.Run(l.name, func(t *testing.T) {
			b, bucket, m, source := historyInBucket(t, server, l)
			r := b.engine.Move(t.Context(), m)
			want(t, r, migrate.Moved, migrate.Fresh, "")
			wantObject(t, bucket, historyKey, source.versions)
			if r.History == nil || r.History.Moved != 3 || r.History.Carried[0].Author == "" {
				t.Errorf("the result has %+v", r.History)
			}
		})
	}
	refused := map[string]struct {
		layout  s3Layout
		prepare func(*s3Bucket)
		says    string
	}{
		"without versioning": {s3Layout{lockFile: true}, func(*s3Bucket) {}, "does not keep older versions"},
		"a deleted object": {versionedLayouts[0], func(b *s3Bucket) {
			b.put(historyKey, state(1, lineage, 9))
			b.put(historyKey, nil)
		}, "was deleted and still has older versions"},
		"a state": {versionedLayouts[0], func(b *s3Bucket) { b.put(historyKey, state(1, lineage, 9)) }, "already holds a state"},
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			b, bucket, m, _ := historyInBucket(t, server, c.layout)
			c.prepare(bucket)
			before := bucket.written
			r := b.engine.Move(t.Context(), m)
			if r.Outcome != migrate.Refused || r.Code != migrate.CodeNoHistory || !strings.Contains(r.Message, c.says) {
				t.Errorf("got %s/%s: %s", r.Outcome, r.Code, r.Message)
			}
			if bucket.written != before {
				t.Error("something was written")
			}
		})
	}
}

// Another writer between two versions, whose bytes have no serial that a listing shows.
func TestHistoryIntoABucketStopsAtForeignWrites(t *testing.T) {
	server := startS3(t)
	for after := 1; after <= 3; after++ {
		t.Run(fmt.Sprintf("after version %d", after), func(t *testing.T) {
			b, bucket, m, source := historyInBucket(t, server, versionedLayouts[0])
			foreign := state(6, lineage, 77)
			carried := 0
			b.engine.Observe = func(e migrate.Event) {
				if e.Event == migrate.EventCarried {
					if carried++; carried == after {
						bucket.put(historyKey, foreign)
					}
				}
			}
			r := b.engine.Move(t.Context(), m)
			if r.Outcome != migrate.Refused || r.Code != migrate.CodeTargetChanged {
				t.Errorf("got %s/%s: %s", r.Outcome, r.Code, r.Message)
			}
			wantObject(t, bucket, historyKey, append(append([][]byte{}, source.versions[:after]...), foreign))
			if b.locked() {
				t.Error("the object is locked")
			}
		})
	}
}

// A process that dies before any event of its journal is continued: every version is there once.
func TestHistoryIntoABucketResumes(t *testing.T) {
	server := startS3(t)
	for _, l := range versionedLayouts {
		for dieAt, died := 1, true; died; dieAt++ {
			if !testenv.Full() && dieAt%5 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/event %d", l.name, dieAt), func(t *testing.T) {
				store, bucket, m, source := historyInBucket(t, server, l)
				path := filepath.Join(t.TempDir(), "haul.jsonl")
				b := &bench{t: t, engine: store.engine}
				b.withJournal(path, migrate.UploadAuto)
				died = b.dieAt(dieAt, m)
				for range 2 {
					b.engine.Target = store.open()
					b.withJournal(path, migrate.UploadAuto)
					if r := b.engine.Move(t.Context(), m); !r.Arrived() {
						t.Errorf("the next run ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
					}
					if err := b.engine.Journal.Close(); err != nil {
						t.Fatal(err)
					}
					wantObject(t, bucket, historyKey, source.versions)
				}
			})
		}
	}
}

// Every fault at every request of a move with older versions into a bucket.
func TestHistoryIntoABucketSurvivesFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("sweeps all requests of a move with older versions into a bucket")
	}
	server := startS3(t)
	ran, of := 0, 0
	t.Run("sweep", func(t *testing.T) {
		for _, l := range versionedLayouts {
			b, _, m, _ := historyInBucket(t, server, l)
			if r := b.engine.Move(t.Context(), m); !r.Arrived() {
				t.Fatal(r.Message)
			}
			for k := 1; k <= b.faults.n; k++ {
				for _, f := range s3Faults {
					if of++; f == "rival" || !testenv.Full() && of%101 != 0 {
						continue
					}
					ran++
					t.Run(fmt.Sprintf("%s/%s at request %d", l.name, f, k), func(t *testing.T) {
						t.Parallel()
						faultyHistory(t, server, l, k, f)
					})
				}
			}
		}
	})
	t.Logf("%d of %d faults were swept", ran, of)
}

func faultyHistory(t *testing.T, server *s3Server, l s3Layout, k int, fault string) {
	store, bucket, m, source := historyInBucket(t, server, l)
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	b := &bench{t: t, engine: store.engine}
	b.withJournal(path, migrate.UploadAuto)
	store.faults.at, store.faults.fault = k, fault
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	store.faults.interrupt = cancel
	died := make(chan struct{})
	store.faults.died = func() { close(died) }
	ended := make(chan migrate.Result, 1)
	go func() { ended <- b.engine.Move(ctx, m) }()
	var r migrate.Result
	select {
	case r = <-ended:
	case <-died:
	}
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	store.faults.revive()
	if store.faults.rival != nil {
		return
	}
	b.engine = &migrate.Engine{Target: store.open(), Options: b.engine.Options}
	b.withJournal(path, migrate.UploadAuto)
	again := b.engine.Move(t.Context(), m)
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	if !again.Arrived() {
		t.Errorf("the next run ended in %s/%s: %s\nthe first: %s/%s: %s", again.Outcome, again.Code, again.Message, r.Outcome, r.Code, r.Message)
	}
	wantObject(t, bucket, historyKey, source.versions)
	if store.locked() {
		t.Error("the object is locked")
	}
}

// The older versions of an object go into a workspace, and into a directory.
func TestHistoryFromABucket(t *testing.T) {
	server := startS3(t)
	bucket := server.bucket(true, &faults{})
	source := past("network", 5)
	for _, raw := range source.versions {
		bucket.put("network.tfstate", raw)
	}
	address := "s3://" + bucket.name + "/network.tfstate?" + url.Values{"endpoint": {server.URL}, "path-style": {"true"}}.Encode()
	find := func(address string) backend.State {
		t.Helper()
		listing, err := backend.Kinds{s3.Kind(backend.Connection{})}.Find(t.Context(), address, backend.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		return listing.States[0]
	}
	for _, personality := range bothServers {
		t.Run(personality.String(), func(t *testing.T) {
			b := newBench(t, tfesim.Options{Personality: personality})
			b.engine.History = backend.AllVersions
			plan, err := b.haul().Plan(t.Context(), []migrate.Move{{Object: find(address), Workspace: workspace}})
			if err != nil {
				t.Fatal(err)
			}
			results, err := b.haul().Run(t.Context(), plan)
			if err != nil || results[0].Outcome != migrate.Moved || results[0].History.Carried[0].Created.IsZero() {
				t.Errorf("ended in %+v, %v", results[0], err)
			}
			b.wantHistory(workspace, source.versions)
		})
	}
	t.Run("a directory", func(t *testing.T) {
		dir := t.TempDir()
		e := fileEngine(t, dir)
		r := e.Move(t.Context(), migrate.Move{Object: find(address), Workspace: "network/terraform.tfstate"})
		want(t, r, migrate.Moved, migrate.Fresh, "")
		files, err := filepath.Glob(filepath.Join(dir, "network", "*-*.tfstate"))
		if err != nil || len(files) != 4 {
			t.Errorf("the older versions are %v (%v)", files, err)
		}
	})
	t.Run("a version in the address", func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		b.engine.History = backend.AllVersions
		bucket.mu.Lock()
		version := bucket.objects["network.tfstate"][2].version
		bucket.mu.Unlock()
		r := b.engine.Move(t.Context(), migrate.Move{Object: find(address + "&versionId=" + version), Workspace: workspace})
		want(t, r, migrate.Moved, migrate.Fresh, "")
		b.wantHistory(workspace, source.versions[:3])
	})
}
