package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfhaul/tfesim"
)

// A source that another file of the same size and modification time has replaced is not
// called the same.
func TestVerifyNoticesAReplacedSource(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"net/terraform.tfstate": state(1, 10)})
	path := filepath.Join(dir, "net", "terraform.tfstate")
	written := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	if err := os.Chtimes(path, written, written); err != nil {
		t.Fatal(err)
	}
	journal := journalIn(t)
	h.tfhaul(t, "migrate", dir, "--target", org, "--create", "--yes", "--json", "--journal", journal).want(t, 0, "1 moved")
	h.tfhaul(t, "verify", journal, "--json").want(t, 0, "1 already-there")
	other := bytes.Replace(state(1, 10), []byte(`"serial":`), []byte(`"SERIAL":`), 1)
	if bytes.Equal(other, state(1, 10)) {
		t.Fatal("the replacement is the same, so this test shows nothing")
	}
	writeFile(t, path+".next", other)
	if err := os.Chtimes(path+".next", written, written); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
	if r := h.tfhaul(t, "verify", journal); !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), "changed") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
