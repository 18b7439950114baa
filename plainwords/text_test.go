package plainwords

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSentence(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"it is empty":     "It is empty.",
		"it is empty.":    "It is empty.",
		"is it an error?": "Is it an error?",
		"é":               "É.",
	} {
		if got := Sentence(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestBriefCutsBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{strings.Repeat("x", 100), "network"} {
		if got := Brief(name); got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
	got := Brief(strings.Repeat("京", 1000))
	if !utf8.ValidString(got) || !strings.HasSuffix(got, "京…") || len(got) > 110 {
		t.Errorf("got %q", got)
	}
}

func TestFirstNeverLeavesOutJustOne(t *testing.T) {
	t.Parallel()
	counts := map[string]int{"a": 9, "b": 7, "c": 7, "d": 1}
	names := MostFrequent(counts)
	if strings.Join(names, "") != "abcd" {
		t.Errorf("got order %q", names)
	}
	if first, others := First(names, counts, 3); len(first) != 4 || others != 0 {
		t.Errorf("%q and %d others", first, others)
	}
	if first, others := First(names, counts, 2); len(first) != 2 || others != 8 {
		t.Errorf("%q and %d others", first, others)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		Counted(0, "file"): "0 files", Counted(1, "file"): "1 file", Are(1, "file"): "1 file is", Are(2, "file"): "2 files are", Counted(1234, "file"): "1,234 files", Counted(1234567, "state"): "1,234,567 states",
		Grouped(999): "999", Grouped(-1000): "-1,000",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
