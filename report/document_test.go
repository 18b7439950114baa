package report_test

import (
	"bytes"
	"encoding/json"
	"io"
	"runtime"
	"slices"
	"testing"

	"tfhaul/migrate"
	"tfhaul/prove"
	"tfhaul/report"
)

// A document written piece by piece has the same layout as one written by package json.
func TestDocumentLayout(t *testing.T) {
	full := weekend()
	full.Results = slices.Concat(full.Results, hauled().Results)
	full.Results[0].Proof = &prove.Result{Verdict: prove.Proven}
	full.Results[1].Message = "<b> & \u2028 \"quoted\"\n\x00"
	full.Journal, full.Continue, full.HeldLocks, full.Rehearsal = "haul.jsonl", "tfhaul migrate", hauled().HeldLocks, &report.Rehearsal{APICalls: 1}
	for name, write := range map[string]func(io.Writer) error{
		"a haul":            func(w io.Writer) error { return report.HaulJSON(w, full) },
		"a haul of nothing": func(w io.Writer) error { return report.HaulJSON(w, report.Haul{}) },
		"many moves":        func(w io.Writer) error { return report.MovesJSON(w, full.Results) },
		"a single move":     func(w io.Writer) error { return report.MovesJSON(w, full.Results[:1]) },
		"no moves":          func(w io.Writer) error { return report.MovesJSON(w, nil) },
	} {
		var got, compact, want bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		if err := json.Compact(&compact, got.Bytes()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := json.Indent(&want, compact.Bytes(), "", "  "); err != nil {
			t.Fatal(err)
		}
		if want.WriteByte('\n'); !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s has a different layout:\n%s", name, &got)
		}
	}
}

// Writing a haul's document takes the memory of one move, not of all.
func TestDocumentMemory(t *testing.T) {
	result := weekend().Results[0]
	held := func(moves int) (held, written int64) {
		h := report.Haul{Results: slices.Repeat([]migrate.Result{result}, moves)}
		before := heapHeld()
		w := heapWatch{}
		if err := report.HaulJSON(&w, h); err != nil {
			t.Fatal(err)
		}
		runtime.KeepAlive(h)
		return w.peak - before, w.written
	}
	held(1) // package json caches types, once
	few, _ := held(100)
	many, written := held(2_000)
	t.Logf("%d KiB are held for 100 moves, %d KiB for 2,000, which are %d KiB", few>>10, many>>10, written>>10)
	if many > few+written/8 {
		t.Errorf("%d KiB are held for 100 moves, and %d KiB for 2,000: memory grows with the moves", few>>10, many>>10)
	}
}

// A heapWatch discards what is written, and records the peak of the heap.
type heapWatch struct{ written, peak int64 }

func (h *heapWatch) Write(b []byte) (int, error) {
	h.written += int64(len(b))
	h.peak = max(h.peak, heapHeld())
	return len(b), nil
}

// heapHeld returns the number of bytes in use after a garbage collection.
func heapHeld() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A full disk is an error, wherever it occurs.
func TestDocumentOnAFullDisk(t *testing.T) {
	h := weekend()
	for room := range 3 {
		if err := report.HaulJSON(&full{room: room * 50_000}, h); err != errFull {
			t.Errorf("with room for %d bytes: %v", room*50_000, err)
		}
	}
	if err := report.MovesJSON(&full{}, []migrate.Result{}); err != errFull {
		t.Errorf("without room: %v", err)
	}
}

var errFull = io.ErrShortWrite

// A full accepts only as many bytes as there is room for.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.room)
	f.room -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}
