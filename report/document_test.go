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

// A document that is written piece by piece is laid out as one that package json
// writes in one piece.
func TestDocumentLayout(t *testing.T) {
	full := weekend()
	full.Results = slices.Concat(full.Results, hauled().Results)
	full.Results[0].Proof = &prove.Result{Verdict: prove.Proven}
	full.Results[1].Message = "<b> & \u2028 \"quoted\"\n\x00"
	full.Journal, full.Continue, full.HeldLocks, full.Rehearsal = "haul.jsonl", "tfhaul migrate", hauled().HeldLocks, &report.Rehearsal{APICalls: 1}
	for name, write := range map[string]func(io.Writer) error{
		"a haul":                 func(w io.Writer) error { return report.HaulJSON(w, full) },
		"a haul of nothing":      func(w io.Writer) error { return report.HaulJSON(w, report.Haul{}) },
		"many moves":             func(w io.Writer) error { return report.MovesJSON(w, full.Results) },
		"a move among no others": func(w io.Writer) error { return report.MovesJSON(w, full.Results[:1]) },
		"no moves":               func(w io.Writer) error { return report.MovesJSON(w, nil) },
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
			t.Errorf("%s is laid out otherwise:\n%s", name, &got)
		}
	}
}

// The document of a haul takes the memory of one move, and not of all.
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
	held(1) // what package json learns of the types, once
	few, _ := held(100)
	many, written := held(2_000)
	t.Logf("%d KiB are held for 100 moves, %d KiB for 2,000, which are %d KiB", few>>10, many>>10, written>>10)
	if many > few+written/8 {
		t.Errorf("%d KiB are held for 100 moves, and %d KiB for 2,000: it grows with them", few>>10, many>>10)
	}
}

// A heapWatch takes what is written, and notes how much memory is held at the most meanwhile.
type heapWatch struct{ written, peak int64 }

func (h *heapWatch) Write(b []byte) (int, error) {
	h.written += int64(len(b))
	h.peak = max(h.peak, heapHeld())
	return len(b), nil
}

// heapHeld is how many bytes of memory are in use, and no garbage.
func heapHeld() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What cannot be written any more is an error, wherever it begins.
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

// A full takes no more than there is room for.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.room)
	f.room -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}
