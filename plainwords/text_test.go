package plainwords

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSentencesEndOnce(t *testing.T) {
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
