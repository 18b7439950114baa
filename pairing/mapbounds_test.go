package pairing

import (
	"fmt"
	"strings"
	"testing"
)

// endlessText repeats a text forever and counts how much is read.
type endlessText struct {
	text string
	read int
}

func (e *endlessText) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[(e.read+i)%len(e.text)]
	}
	e.read += len(p)
	return len(p), nil
}

func TestEndlessMapsAreNotHeld(t *testing.T) {
	const slack = 64 << 10
	for name, c := range map[string]struct {
		text, want string
		most       int
	}{
		"one field":             {"a", "a line is longer than 2 MB", maxMapLine},
		"fields":                {"a,", "a line is longer than 2 MB", maxMapLine},
		"fields of empty lines": {"\"\n\",", "a line is longer than 2 MB", maxMapLine},
		"comments":              {"#\n", "a line is longer than 2 MB", maxMapLine},
		"lines":                 {"a,b\n", "more than 200000 lines: split it", maxMapLines * 4},
	} {
		t.Run(name, func(t *testing.T) {
			in := &endlessText{text: c.text}
			_, err := parseMap(in, "names.csv")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%.200v", err)
			}
			if in.read > c.most+slack {
				t.Errorf("read %d bytes, more than %d", in.read, c.most+slack)
			}
		})
	}
}

func TestMapsOf100000LinesAreRead(t *testing.T) {
	var b strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&b, "s3://%s/%d,workspace-%[2]d\n", strings.Repeat("name/", 20), i)
	}
	lines, err := parseMap(strings.NewReader(b.String()), "names.csv")
	if err != nil || len(lines) != 100_000 {
		t.Errorf("%d lines: %v", len(lines), err)
	}
}
