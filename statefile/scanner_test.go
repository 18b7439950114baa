package statefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfhaul/fixtures"
)

// FuzzChunks reads in chunks of a few bytes, so that every token is cut somewhere, and
// checks that the result, the error's position and the contents are the same as in one
// piece.
func FuzzChunks(f *testing.F) {
	for _, s := range fixtures.Samples() {
		if data := s.Bytes(); len(data) < 20_000 {
			f.Add(data, uint8(1))
			f.Add(data, uint8(30))
		}
	}
	f.Add(fixtures.Spec{Resources: 3, Outputs: 4}.Bytes(), uint8(7))
	long := strings.Repeat(`\\\"\u00e9plain \\`, 20)
	for _, s := range []string{
		`{"version":4,"a":"` + long + `","serial":7}`,
		`{"version":4,"a":"` + long + `\x","serial":7}`,
		`{"version":4,"a":"` + long + `\u12g4","serial":7}`,
		`{"version":4,"a":"` + long + "\n" + `","serial":7}`,
		`{"version":4,"a":"` + long,
		`{"version":4,"a":"` + long + `\`,
		`{"version":4,"a":"` + long + `\u00`,
		`{"` + long + `":` + strings.Repeat(" ", 100) + `4,"version":4,"serial":9` + strings.Repeat("\n", 100) + `}` + strings.Repeat("\t", 100),
		`{"a":` + strings.Repeat("1", 100) + `,"b":-0.` + strings.Repeat("0", 100) + `e-` + strings.Repeat("9", 100) + `,"version":4}`,
		`{"a":0` + strings.Repeat("1", 100) + `,"version":4}`,
		`{"a":` + strings.Repeat("1", 100) + `x,"version":4}`,
		strings.Repeat(" ", 100) + `{` + strings.Repeat("\r\n", 100) + `"version":4}` + strings.Repeat(" ", 100) + "x",
		`{"version":4,"lineage"` + strings.Repeat(" ", 100) + `:"\ud83d\ude00é` + "\xff" + `","a":[1,` + strings.Repeat(" ", 100) + `]}`,
		"{\n<<<<<<< HEAD\n" + `"version":4}`,
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		if sniff(data) != nil {
			return // only looked for in the first chunk
		}
		want, errWant := inspectAll(data)
		defer func(was int) { chunkSize = was }(chunkSize)
		chunkSize = 1 + int(size)
		got, errGot := inspectAll(data)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(inspection{}, Snapshot{})); diff != "" {
			t.Errorf("(-one piece +chunks):\n%s", diff)
		}
		a, _ := errors.AsType[*Error](errWant)
		b, _ := errors.AsType[*Error](errGot)
		if (a == nil) != (b == nil) || a != nil && (a.Kind != b.Kind || a.Detail != b.Detail || a.Offset != b.Offset) {
			t.Errorf("one piece: %v, chunks: %v", errWant, errGot)
		}
		// A position too far back has no line.
		if b != nil && b.Line != 0 && (a.Line != b.Line || a.Column != b.Column) {
			t.Errorf("one piece: line %d, column %d, chunks: %d, %d", a.Line, a.Column, b.Line, b.Column)
		}
	})
}

// An inspection is everything that can be known of a file.
type inspection struct {
	snapshot  Snapshot
	resources []Resource
	outputs   []Output
}

func inspectAll(data []byte) (i inspection, err error) {
	snapshot, err := Inspect(bytes.NewReader(data), &Visitor{
		Resource: func(r Resource) {
			r.Instances = slices.Clone(r.Instances)
			i.resources = append(i.resources, r)
		},
		Output: func(o Output) { i.outputs = append(i.outputs, o) },
	})
	i.snapshot = *snapshot
	return i, err
}

// A repeated reader returns head, then body so many times, then tail.
func repeated(head, body string, times int, tail string) io.Reader {
	return io.MultiReader(strings.NewReader(head), &loop{body: body, left: int64(times) * int64(len(body))}, strings.NewReader(tail))
}

type loop struct {
	body string
	at   int
	left int64
}

func (l *loop) Read(p []byte) (n int, err error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	for n < len(p) && l.left > 0 {
		k := copy(p[n:min(int64(len(p)), int64(n)+l.left)], l.body[l.at:])
		l.at = (l.at + k) % len(l.body)
		l.left -= int64(k)
		n += k
	}
	return n, nil
}

func TestTokensOfAnyLength(t *testing.T) {
	const times = 50_000
	for name, c := range map[string]struct {
		head, body, tail string
		kind             Kind
		serial           int64
	}{
		"plain string":               {`{"version":4,"a":"`, "abcdefg", `","serial":7}`, "", 7},
		"string of escapes":          {`{"version":4,"a":"`, `\\\"\u00e9\n`, `","serial":7}`, "", 7},
		"string of backslashes":      {`{"version":4,"a":"`, `\\`, `","serial":7}`, "", 7},
		"string of non-ASCII":        {`{"version":4,"a":"`, "日本語", `","serial":7}`, "", 7},
		"key":                        {`{"version":4,"`, "abcdefg", `":5,"serial":7}`, "", 7},
		"whitespace before a value":  {`{"version":4,"serial":`, " \t\r\n", `7}`, "", 7},
		"whitespace after a value":   {`{"version":4,"serial":7`, " \t\r\n", `}`, "", 7},
		"whitespace after the end":   {`{"version":4,"serial":7}`, " \t\r\n", ``, "", 7},
		"whitespace at the start":    {``, " \t\r\n", `{"version":4,"serial":7}`, "", 7},
		"digits":                     {`{"version":4,"a":`, "1234567", `,"serial":7}`, "", 7},
		"fraction digits":            {`{"version":4,"a":0.`, "1234567", `e5,"serial":7}`, "", 7},
		"exponent digits":            {`{"version":4,"a":1e`, "1234567", `,"serial":7}`, "", 7},
		"serial digits":              {`{"version":4,"serial":`, "1234567", `}`, KindSerialOutOfRange, 0},
		"lineage":                    {`{"version":4,"lineage":"`, "abcdefg", `","serial":7}`, KindWrongType, 7},
		"resource's provider":        {`{"version":4,"resources":[{"mode":"data","provider":"`, "abcdefg", `"}],"serial":7}`, "", 7},
		"bad escape":                 {`{"version":4,"a":"`, "abcdefg", `\x","serial":7}`, KindNotJSON, 0},
		"escape with bad hex digits": {`{"version":4,"a":"`, "abcdefg", `\u12x4","serial":7}`, KindNotJSON, 0},
		"control character":          {`{"version":4,"a":"`, "abcdefg", "\x01\",\"serial\":7}", KindNotJSON, 0},
		"unterminated string":        {`{"version":4,"a":"`, "abcdefg", ``, KindTruncated, 0},
		"unterminated escape":        {`{"version":4,"a":"`, "abcdefg", `\`, KindTruncated, 0},
		"leading zero":               {`{"version":4,"a":0`, "1234567", `,"serial":7}`, KindNotJSON, 0},
		"digits and a letter":        {`{"version":4,"a":`, "1234567", `x,"serial":7}`, KindNotJSON, 0},
		"whitespace and garbage":     {`{"version":4,"serial":7}`, " \t\r\n", "x", KindTrailingGarbage, 7},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Read(repeated(c.head, c.body, times, c.tail))
			var kind Kind
			refusal, isRefusal := errors.AsType[*Error](err)
			if isRefusal {
				kind = refusal.Kind
			}
			if kind != c.kind || s.Serial != c.serial || err != nil && !isRefusal {
				t.Fatalf("kind %q, serial %d, error %v", kind, s.Serial, err)
			}
			length := int64(len(c.head)+len(c.tail)) + times*int64(len(c.body))
			if s.Size != length {
				t.Errorf("size %d, want %d", s.Size, length)
			}
			if err != nil {
				// The error must point at the tail or its start.
				if kind == KindNotJSON && name != "leading zero" && (refusal.Offset < length-int64(len(c.tail)) || refusal.Offset > length) {
					t.Errorf("the error is at offset %d of %d", refusal.Offset, length)
				}
				return
			}
			bumped, err := io.ReadAll(s.Bump(repeated(c.head, c.body, times, c.tail), 12345))
			if err != nil {
				t.Fatal(err)
			}
			var state struct{ Serial int64 }
			if err := json.Unmarshal(bumped, &state); err != nil || state.Serial != 12345 {
				t.Errorf("bumped to %d, error %v", state.Serial, err)
			}
		})
	}
}
