package statefile_test

import (
	"io"
	"strings"
	"testing"

	"tfhaul/statefile"
)

func TestBumpReplacesOnlyTheDigits(t *testing.T) {
	const state = `{"version": 4, "x": {"serial": 7}, "serial": 9, "resources": [], "lineage": "a"}`
	s, err := statefile.Read(strings.NewReader(state))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(s.Bump(strings.NewReader(state), 100))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(state, "9", "100", 1); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
