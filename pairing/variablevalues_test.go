package pairing_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/pairing"
)

// Values come from the environment and from files, whose last line break is left out. What cannot
// be read is named once.
func TestReadValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(file, []byte("of\nthe file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lookup := func(name string) (string, bool) {
		values := map[string]string{"SET": "of the environment", "EMPTY": ""}
		value, set := values[name]
		return value, set
	}
	variables := func(from ...string) migrate.Move {
		more := &backend.WorkspaceSettings{}
		for _, f := range from {
			more.Variables = append(more.Variables, backend.Variable{Key: "v", From: f})
		}
		return migrate.Move{Own: &migrate.Settings{CreateOptions: backend.CreateOptions{More: more}}}
	}
	moves := []migrate.Move{{}, variables("env:SET", "env:EMPTY", "file:"+file), variables("env:NONE", "env:NONE", "file:"+file+".none")}
	problems := pairing.ReadValues(moves, lookup)
	if len(problems) != 2 || !strings.Contains(fmt.Sprint(problems), "NONE is not set") || !strings.Contains(fmt.Sprint(problems), "cannot be read") {
		t.Errorf("the problems are %v", problems)
	}
	got := moves[1].Own.CreateOptions.More.Variables
	for i, want := range []string{"of the environment", "", "of\nthe file"} {
		if got[i].Text() != want {
			t.Errorf("value %d is %q, want %q", i, got[i].Text(), want)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", got, got, got, got[0].Secret); strings.Contains(shown, "of the environment") {
		t.Error("a value is shown")
	}
}
