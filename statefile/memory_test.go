package statefile_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/fixtures/testenv"
	"tfhaul/statefile"
)

// A heapWatch records the largest heap while data is read through it.
type heapWatch struct {
	r     io.Reader
	until int64 // bytes until the next measurement
	peak  uint64
}

func (h *heapWatch) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if h.until -= int64(n); h.until <= 0 {
		h.until = 8 << 20
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		h.peak = max(h.peak, m.HeapInuse)
	}
	return n, err
}

// raceDetector reports whether the tests run under it. It makes pools drop items at
// random.
var raceDetector bool

func TestReadBumpAndReadContentUseFlatMemory(t *testing.T) {
	size := int64(20 << 20)
	if testenv.Full() {
		size = 200 << 20
	}
	text := func(head, body, tail string) func() io.Reader {
		return func() io.Reader {
			return io.MultiReader(strings.NewReader(head), io.LimitReader(cycle(body), size-size%int64(len(body))), strings.NewReader(tail))
		}
	}
	spec := fixtures.Spec{Serial: 3, MinSize: size, Outputs: 9}
	for name, state := range map[string]func() io.Reader{
		"many resources":   spec.Reader,
		"one large string": text(`{"version":4,"serial":3,"outputs":{"a":{"type":"string","value":"`, "QUJDREVGR0g=\\n", `"}}}`),
		"many outputs":     text(`{"version":4,"serial":3,"outputs":{"a":{"type":"string","value":null}`, `,"a":{"type":["list","string"],"value":["c","b"],"sensitive":true}`, `}}`),
		"one resource":     func() io.Reader { return oneResource(size) },
	} {
		t.Run(name, func(t *testing.T) {
			generating := allocatedBy(t, state())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			watch := &heapWatch{r: state()}
			s, err := statefile.Read(watch)
			if err != nil {
				t.Fatal(err)
			}
			watch.r = s.Bump(state(), 12)
			n, err := io.Copy(io.Discard, struct{ io.Reader }{watch})
			if err != nil {
				t.Fatal(err)
			}
			watch.r = state()
			if c, err := statefile.ReadContent(watch); err != nil || c.MD5 != s.MD5 {
				t.Fatalf("%v, content of %v", err, c)
			}
			runtime.ReadMemStats(&after)
			if s.Size < size/2 || n != s.Size+1 {
				t.Fatalf("%d bytes read, %d bytes bumped", s.Size, n)
			}
			// Identifying the instances takes up to 40 bytes each while a table grows,
			// and no more than the previous tables afterwards.
			instances := int64(s.Contents.Instances)
			most, mostAllocated := int64(3<<20)+40*instances, int64(3<<20)+120*instances
			if grown := int64(watch.peak) - int64(before.HeapInuse); grown > most {
				t.Errorf("the heap grew by %d KB", grown>>10)
			}
			allocated := int64(after.TotalAlloc-before.TotalAlloc) - 3*generating
			if allocated > mostAllocated && !raceDetector {
				t.Errorf("%d KB were allocated", allocated>>10)
			}
			t.Logf("heap grew by %d KB, %d KB allocated", (int64(watch.peak)-int64(before.HeapInuse))>>10, allocated>>10)
		})
	}
}

// allocatedBy returns how many bytes a reader allocates for what it returns.
func allocatedBy(t *testing.T, r io.Reader) int64 {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func TestSmallStatesTakeFewAllocations(t *testing.T) {
	data := fixtures.Spec{MinSize: 40_000, Outputs: 3}.Bytes()
	r := bytes.NewReader(data)
	allocations := testing.AllocsPerRun(200, func() {
		r.Reset(data)
		if _, err := statefile.Read(r); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > 40 && !raceDetector {
		t.Errorf("%v allocations for a state of %d bytes", allocations, len(data))
	}
	t.Logf("%v allocations", allocations)
}

// cycle repeats text forever.
func cycle(text string) io.Reader { return &cycleReader{text: text} }

type cycleReader struct {
	text string
	at   int
}

func (c *cycleReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		k := copy(p[n:], c.text[c.at:])
		c.at = (c.at + k) % len(c.text)
		n += k
	}
	return n, nil
}

// oneResource returns a state of about this size, with all instances in one resource.
func oneResource(size int64) io.Reader {
	head := strings.NewReader(`{"version":4,"serial":3,"resources":[{"mode":"managed","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[{}`)
	return io.MultiReader(head, &numbered{left: size}, strings.NewReader(`]}]}`))
}

// numbered makes instances with consecutive indexes.
type numbered struct {
	left      int64
	n         int
	buf, rest []byte
}

func (r *numbered) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.left <= 0 {
			return 0, io.EOF
		}
		r.buf = r.buf[:0]
		for len(r.buf) < 32<<10 {
			r.buf = fmt.Appendf(r.buf, `,{"index_key":%d,"schema_version":0,"attributes":{"id":"a","text":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},"sensitive_attributes":[[]]}`, r.n)
			r.n++
		}
		r.rest = r.buf
		r.left -= int64(len(r.rest))
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
