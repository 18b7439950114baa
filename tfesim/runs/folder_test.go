package runs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim/blobs"
)

// Each link stays inside the configuration when it is read by itself. Together, "up" leads
// to the folder that holds all runs.
var climb = [][2]string{
	{"main.tf", "locals {}\n"}, {"d/f", ""}, {"d/top", "->.."}, {"parent", "->d/top/.."}, {"up", "->parent/.."},
}

func TestPrepareChangesNothingOutsideTheFolder(t *testing.T) {
	for _, tt := range []struct {
		name, directory string
		link            [2]string
	}{
		{"working directory", "outside", [2]string{"outside", "->up/victim"}},
		{"backend override", "", [2]string{overrideName, "->up/victim/main.tf"}},
		{"traces of an earlier init", "", [2]string{".terraform", "->up/victim"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, variable := range []string{"TMPDIR", "TMP", "TEMP"} {
				t.Setenv(variable, dir)
			}
			before := map[string]string{"main.tf": "locals {}\n", "environment": "e"}
			victim := filepath.Join(dir, "victim")
			if err := os.Mkdir(victim, 0o700); err != nil {
				t.Fatal(err)
			}
			for name, content := range before {
				if err := os.WriteFile(filepath.Join(victim, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			store := blobs.InMemory()
			s := &Service{options: Options{Blobs: store}, executor: &executor{terraform: "terraform"}}
			f, err := s.prepare(nil, &job{workspace: "net", directory: tt.directory, archive: storeArchive(t, store, append(climb, tt.link))})
			if err == nil {
				f.remove()
				t.Error("the run was prepared")
			} else if !strings.Contains(err.Error(), "outside the configuration") {
				t.Errorf("the error does not name the cause: %v", err)
			}
			entries, err := os.ReadDir(victim)
			if err != nil {
				t.Fatal(err)
			}
			after := map[string]string{}
			for _, e := range entries {
				content, err := os.ReadFile(filepath.Join(victim, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				after[e.Name()] = string(content)
			}
			if len(after) != len(before) || after["main.tf"] != before["main.tf"] || after["environment"] != before["environment"] {
				t.Errorf("the folder outside has changed: %q", after)
			}
		})
	}
}

func TestPrepareKeepsLinksInsideTheConfiguration(t *testing.T) {
	store := blobs.InMemory()
	s := &Service{options: Options{Blobs: store}, executor: &executor{terraform: "terraform"}}
	files := [][2]string{{"net/main.tf", "locals {}\n"}, {"current", "->net"}, {"later", "->not-there"}}
	f, err := s.prepare(nil, &job{workspace: "net", directory: "current", archive: storeArchive(t, store, files)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.remove()
	if _, err := os.Stat(filepath.Join(f.path("configuration"), "net", overrideName)); err != nil {
		t.Errorf("the backend override is not in the linked directory: %v", err)
	}
}

// storeArchive stores a tar.gz of files; content that begins with "->" is the target of a
// symbolic link.
func storeArchive(t *testing.T, store blobs.Store, files [][2]string) *blobs.Blob {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for _, file := range files {
		h := &tar.Header{Name: file[0], Mode: 0o600, Size: int64(len(file[1])), Typeflag: tar.TypeReg}
		content := file[1]
		if target, ok := strings.CutPrefix(content, "->"); ok {
			h.Typeflag, h.Linkname, h.Size, content = tar.TypeSymlink, target, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	into, err := store.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := into.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	blob, err := into.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return blob
}
