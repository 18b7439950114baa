package file_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/backend/file"
)

var kinds = backend.Kinds{file.Kind(backend.Connection{})}

func TestFilesAreABackend(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the suite's file names are not valid here")
	}
	backendtest.Suite(t, file.Kind(backend.Connection{}), func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
		root := t.TempDir()
		write(t, root, files)
		return root, func(name string, data []byte) {
			path := filepath.Join(root, filepath.FromSlash(name))
			if data == nil {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err := os.WriteFile(path, data, 0o600); err != nil { // in place, as Terraform does
				t.Fatal(err)
			}
		}
	})
}

func TestPlacesOfTerraformsLocalBackend(t *testing.T) {
	base := filepath.Join(t.TempDir(), "infra")
	write(t, base, files(
		"terraform.tfstate",
		"terraform.tfstate.d/prod/terraform.tfstate",
		"network/terraform.tfstate",
		"network/terraform.tfstate.d/dev/terraform.tfstate",
		"network/terraform.tfstate.d/dev/other.tfstate",
		"network/extra/vpc.tfstate",
	))
	t.Chdir(base)
	type place = backend.Place
	const def = backend.DefaultWorkspace
	for _, tt := range []struct {
		ref  string
		want []place
	}{
		{".", []place{
			{Key: "network/extra/vpc.tfstate", Dir: "network/extra", Base: "vpc", Workspace: def, Root: "infra"},
			{Key: "network/terraform.tfstate", Dir: "network", Base: "terraform", Workspace: def, Root: "infra"},
			{Key: "network/terraform.tfstate.d/dev/other.tfstate", Dir: "network/terraform.tfstate.d/dev", Base: "other", Workspace: def, Root: "infra"},
			{Key: "network/terraform.tfstate.d/dev/terraform.tfstate", Dir: "network", Base: "terraform", Workspace: "dev", Root: "infra"},
			{Key: "terraform.tfstate", Base: "terraform", Workspace: def, Root: "infra"},
			{Key: "terraform.tfstate.d/prod/terraform.tfstate", Base: "terraform", Workspace: "prod", Root: "infra"},
		}},
		{"network/extra", []place{{Key: "vpc.tfstate", Base: "vpc", Workspace: def, Root: "extra"}}},
		{"terraform.tfstate", []place{{Key: "terraform.tfstate", Base: "terraform", Workspace: def, Root: "infra"}}},
		{"network/terraform.tfstate", []place{{Key: "network/terraform.tfstate", Dir: "network", Base: "terraform", Workspace: def, Root: "infra"}}},
		{"./network//terraform.tfstate", []place{{Key: "network/terraform.tfstate", Dir: "network", Base: "terraform", Workspace: def, Root: "infra"}}},
		{"../infra/network/terraform.tfstate", []place{{Key: "infra/network/terraform.tfstate", Dir: "infra/network", Base: "terraform", Workspace: def, Root: filepath.Base(filepath.Dir(base))}}},
		{filepath.Join(base, "network", "terraform.tfstate"), []place{{Key: "terraform.tfstate", Base: "terraform", Workspace: def, Root: "network"}}},
		// The workspace and its directory do not depend on where the search begins.
		{"terraform.tfstate.d", []place{{Key: "prod/terraform.tfstate", Base: "terraform", Workspace: "prod", Root: "infra"}}},
		{"terraform.tfstate.d/prod", []place{{Key: "terraform.tfstate", Base: "terraform", Workspace: "prod", Root: "infra"}}},
		{"terraform.tfstate.d/prod/terraform.tfstate", []place{{Key: "terraform.tfstate.d/prod/terraform.tfstate", Base: "terraform", Workspace: "prod", Root: "infra"}}},
		{filepath.Join(base, "terraform.tfstate.d", "prod", "terraform.tfstate"), []place{{Key: "terraform.tfstate", Base: "terraform", Workspace: "prod", Root: "infra"}}},
	} {
		t.Run(strings.ReplaceAll(tt.ref, base, "BASE"), func(t *testing.T) {
			listing, err := kinds.Find(t.Context(), tt.ref, backend.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			var got []place
			for _, o := range listing.States {
				got = append(got, o.Place())
			}
			for i := range tt.want {
				tt.want[i].Searched = tt.want[i].Root // paths have no prefixes of workspaces
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("places (-want +got):\n%s", d)
			}
		})
	}
}

func TestSearchFollowsLinksOnce(t *testing.T) {
	base := t.TempDir()
	root, outside := filepath.Join(base, "root"), filepath.Join(base, "outside")
	write(t, root, files("real/terraform.tfstate", "z/terraform.tfstate"))
	write(t, outside, files("tree/terraform.tfstate", "one.tfstate"))
	link := func(to, at string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(root, at)); err != nil {
			t.Skipf("cannot create symbolic links: %v", err)
		}
	}
	link(root, "real/loop")                                          // to an ancestor
	link("self.tfstate", "self.tfstate")                             // to itself
	link(filepath.Join(base, "nowhere"), "broken.tfstate")           // to nothing
	link(filepath.Join(base, "nowhere"), "broken-but-no-state")      // not selected
	link("real", "alias")                                            // a directory found by its own name
	link(filepath.Join("real", "terraform.tfstate"), "twin.tfstate") // a file found by its own name
	link(filepath.Join(outside, "tree"), "linked-tree")              // a directory elsewhere
	link(filepath.Join(outside, "tree"), "linked-tree-2")            // the same again
	link(filepath.Join(outside, "one.tfstate"), "linked.tfstate")    // a file elsewhere
	if err := os.Symlink(root, filepath.Join(outside, "tree", "back")); err != nil {
		t.Fatal(err)
	}

	listing, err := kinds.Find(t.Context(), root, backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, root, listing, "linked-tree/terraform.tfstate", "linked.tfstate", "real/terraform.tfstate", "z/terraform.tfstate")
	wantSkips(t, root, listing, map[string]string{
		"alias/":            backend.SkipDuplicate,
		"broken.tfstate":    backend.SkipBrokenLink,
		"linked-tree-2/":    backend.SkipDuplicate,
		"linked-tree/back/": backend.SkipDuplicate,
		"real/loop/":        backend.SkipDuplicate,
		"self.tfstate":      backend.SkipBrokenLink,
		"twin.tfstate":      backend.SkipDuplicate,
	})

	t.Run("a named link is followed", func(t *testing.T) {
		for _, ref := range []string{"alias", "linked.tfstate"} {
			listing, err := kinds.Find(t.Context(), filepath.Join(root, ref), backend.Filter{Exclude: []string{"loop"}})
			if err != nil || len(listing.States) != 1 {
				t.Errorf("Find(%q): %+v, %v; want one state", ref, listing, err)
			}
		}
	})
}

func TestLockBesideALinkedStateAndItsTarget(t *testing.T) {
	base := t.TempDir()
	write(t, base, files("store/net.tfstate", "conf/main.tf"))
	path := filepath.Join(base, "conf", "terraform.tfstate")
	if err := os.Symlink(filepath.Join(base, "store", "net.tfstate"), path); err != nil {
		t.Skipf("cannot create symbolic links: %v", err)
	}
	o := one(t, path)
	for _, at := range []string{"conf/.terraform.tfstate.lock.info", "store/.net.tfstate.lock.info"} {
		write(t, base, files(at))
		if lock, err := o.Holder(t.Context()); err != nil || lock == nil {
			t.Errorf("with %s: Holder = %+v, %v; want a lock", at, lock, err)
		}
		if err := os.Remove(filepath.Join(base, filepath.FromSlash(at))); err != nil {
			t.Fatal(err)
		}
	}
	if lock, err := o.Holder(t.Context()); err != nil || lock != nil {
		t.Errorf("without either: Holder = %+v, %v; want none", lock, err)
	}
}

// The ".." after a linked directory is the parent of the link's target.
func TestLockBehindALinkedDirectory(t *testing.T) {
	base := t.TempDir()
	write(t, base, files("store/net.tfstate", "store/deep/main.tf", "conf/main.tf"))
	if err := os.Symlink(filepath.Join(base, "store", "deep"), filepath.Join(base, "conf", "link")); err != nil {
		t.Skipf("cannot create symbolic links: %v", err)
	}
	write(t, base, files("store/.net.tfstate.lock.info"))
	for _, path := range []string{"conf/link/../net.tfstate", "store/net.tfstate"} {
		o := one(t, base+string(filepath.Separator)+filepath.FromSlash(path))
		if lock, err := o.Holder(t.Context()); err != nil || lock == nil {
			t.Errorf("%s: Holder = %+v, %v; want a lock", path, lock, err)
		}
	}
}

func TestLockWithAnUnusableDescription(t *testing.T) {
	for _, tt := range []struct {
		does, text string
		want       backend.Lock
	}{
		{"empty", "", backend.Lock{Info: "its description is not in the JSON format that Terraform writes"}},
		{"cut short", `{"ID":"6d3f","Who":"an`, backend.Lock{Info: "its description is not in the JSON format that Terraform writes"}},
		{"not an object", `"locked"`, backend.Lock{Info: "its description is not in the JSON format that Terraform writes"}},
		{"one malformed field", `{"ID":"6d3f","Who":7,"Created":"yesterday"}`, backend.Lock{ID: "6d3f"}},
		{"endless", `{"ID":"` + strings.Repeat("x", 1<<20) + `"}`, backend.Lock{Info: "its description is not in the JSON format that Terraform writes"}},
	} {
		t.Run(tt.does, func(t *testing.T) {
			root := t.TempDir()
			lockPath := filepath.Join(root, ".state.tfstate.lock.info")
			// As in Terraform, a leading dot in the state's name is not doubled.
			write(t, root, map[string][]byte{".state.tfstate": nil, ".state.tfstate.lock.info": []byte(tt.text)})
			lock, err := one(t, filepath.Join(root, ".state.tfstate")).Holder(t.Context())
			if err != nil || lock == nil {
				t.Fatalf("Holder = %+v, %v; want a lock", lock, err)
			}
			tt.want.Path, tt.want.IsFile = lockPath, true
			if d := cmp.Diff(tt.want, *lock); d != "" {
				t.Errorf("lock (-want +got):\n%s", d)
			}
		})
	}
	t.Run("a directory instead of a file", func(t *testing.T) {
		root := t.TempDir()
		write(t, root, files("a.tfstate", ".a.tfstate.lock.info/x"))
		if lock, err := one(t, filepath.Join(root, "a.tfstate")).Holder(t.Context()); err != nil || lock == nil {
			t.Errorf("Holder = %+v, %v; want a lock", lock, err)
		}
	})
}

func TestUnreadableDirectoryIsSkipped(t *testing.T) {
	root := t.TempDir()
	write(t, root, files("a/terraform.tfstate", "shut/terraform.tfstate", "z/terraform.tfstate"))
	shut := filepath.Join(root, "shut")
	if err := os.Chmod(shut, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(shut, 0o700) }) // so that cleanup can remove the directory
	if _, err := os.ReadDir(shut); err == nil {
		t.Skip("this user can read everything")
	}
	listing, err := kinds.Find(t.Context(), root, backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, root, listing, "a/terraform.tfstate", "z/terraform.tfstate")
	wantSkips(t, root, listing, map[string]string{"shut/": backend.SkipUnreadable})
	if _, err := kinds.Find(t.Context(), shut, backend.Filter{}); err == nil || !strings.Contains(err.Error(), "cannot search") {
		t.Errorf("searching it alone: %v; want an error about that", err)
	}
}

func TestContentDecidesWhenStampsAreInconclusive(t *testing.T) {
	old := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "a.tfstate")
	set := func(content string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	pinned := func() (backend.State, backend.Version) {
		o := one(t, path)
		_, pin := readPinned(t, o)
		return o, pin
	}
	var changed *backend.ChangedError

	t.Run("touched", func(t *testing.T) {
		set("same", old)
		o, pin := pinned()
		set("same", old.Add(time.Hour))
		if err := o.Check(t.Context(), pin); err != nil {
			t.Errorf("Check: %v", err)
		}
		if in, _, err := o.Open(t.Context(), &pin); err != nil {
			t.Errorf("Open: %v", err)
		} else if got, err := io.ReadAll(in); string(got) != "same" || err != nil {
			t.Errorf("Open returns %d bytes, %v; want all of them", len(got), err)
		}
	})
	t.Run("touched, with unknown MD5", func(t *testing.T) {
		set("same", old)
		o, pin := pinned()
		pin.MD5 = ""
		set("same", old.Add(time.Hour))
		if err := o.Check(t.Context(), pin); !errors.As(err, &changed) {
			t.Errorf("Check: %v, want a *ChangedError", err)
		}
	})
	t.Run("rewritten within one tick of the clock", func(t *testing.T) {
		now := time.Now()
		set("same", now)
		o, pin := pinned()
		set("SAME", now)
		if err := o.Check(t.Context(), pin); !errors.As(err, &changed) {
			t.Errorf("Check: %v, want a *ChangedError", err)
		}
	})
	t.Run("old stamps are enough: the content is not read again", func(t *testing.T) {
		set("same", old)
		o, pin := pinned()
		pin = shifted(t, pin, opened, time.Hour)     // written long before
		pin.MD5 = "00000000000000000000000000000000" // a second read would notice
		if err := o.Check(t.Context(), pin); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
	t.Run("replaced by a directory", func(t *testing.T) {
		set("same", old)
		o, pin := pinned()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := o.Check(t.Context(), pin); err == nil || errors.As(err, &changed) {
			t.Errorf("Check: %v, want an error that says it is a directory", err)
		}
	})
}

func TestFindErrors(t *testing.T) {
	root := t.TempDir()
	for _, tt := range []struct {
		does, ref string
		o         backend.Filter
		want      string
	}{
		{"no source", "", backend.Filter{}, `the source is empty: name a file, a directory, "-" (standard input)`},
		{"no such path", filepath.Join(root, "none"), backend.Filter{}, fmt.Sprintf("cannot find %q: %v", filepath.Join(root, "none"), syscall.ENOENT)},
		{"settings of PostgreSQL, without repeating the password", "host=db.example user=ci password=hunter2", backend.Filter{}, "a list of connection settings with a password is not a source: write postgres://USER@HOST/DATABASE?schema=NAME, and set PGPASSWORD"},
		{"an unsupported scheme, without repeating secrets", "azblob://user:hunter2@account/container?sig=hunter3", backend.Filter{}, `cannot read state from azblob:// URLs; a source is a file, a directory, "-" (standard input)`},
		{"an unclosed glob", root, backend.Filter{Include: []string{"[a"}}, `"[a" is not a valid glob: use "*" for any part of a name and "**" for any directories, and close every "[ab]" and "{a,b}"`},
		{"an empty directory", root, backend.Filter{Include: []string{"*.a", "*.b"}, Exclude: []string{"x"}}, fmt.Sprintf(`no state found in %q: nothing matches "*.a", "*.b" (excluding "x"); globs match paths relative to it, so use "**/" to search subdirectories`, root)},
	} {
		t.Run(tt.does, func(t *testing.T) {
			if _, err := kinds.Find(t.Context(), tt.ref, tt.o); err == nil || err.Error() != tt.want {
				t.Errorf("error %v\nwant  %s", err, tt.want)
			}
		})
	}
	if _, err := kinds.Find(t.Context(), filepath.Join(root, "none"), backend.Filter{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing path does not wrap fs.ErrNotExist: %v", err)
	}
	var unsupported *backend.UnsupportedError
	if _, err := kinds.Find(t.Context(), "GCS+x://bucket", backend.Filter{}); !errors.As(err, &unsupported) || unsupported.Scheme != "gcs+x" {
		t.Errorf("an unsupported scheme is not an *UnsupportedError that names it: %v", err)
	}
}

func TestAddressesCanBeTyped(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these file names are not valid here")
	}
	root := t.TempDir()
	write(t, root, files("-", "-x.tfstate", "line\nbreak.tfstate", "not\xfftext.tfstate", "s3:/x.tfstate", "back\\slash.tfstate"))
	t.Chdir(root)
	listing, err := kinds.Find(t.Context(), ".", backend.Filter{Include: []string{"**"}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range listing.States {
		names = append(names, o.Address())
		if again := one(t, o.Address()); again.Address() != o.Address() {
			t.Errorf("typing %q finds %q", o.Address(), again.Address())
		}
	}
	want := []string{"./-", "./-x.tfstate", "back\\slash.tfstate", "line\nbreak.tfstate", "not\xfftext.tfstate", "s3:/x.tfstate"}
	if !slices.Equal(names, want) {
		t.Errorf("names %q\nwant  %q", names, want)
	}
}

func TestCanceledSearchEnds(t *testing.T) {
	root := t.TempDir()
	write(t, root, files("a/terraform.tfstate"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := kinds.Find(ctx, root, backend.Filter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// files returns a state file "{}" for each slash-separated key.
func files(keys ...string) map[string][]byte {
	m := map[string][]byte{}
	for _, k := range keys {
		m[k] = []byte("{}")
	}
	return m
}

// write creates files, named by slash-separated keys, below root.
func write(t *testing.T, root string, files map[string][]byte) {
	t.Helper()
	for key, data := range files {
		path := filepath.Join(root, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// one returns the only state that ref names.
func one(t *testing.T, ref string) backend.State {
	t.Helper()
	listing, err := kinds.Find(t.Context(), ref, backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(listing.States) != 1 {
		t.Fatalf("%q names %d states, want 1", ref, len(listing.States))
	}
	return listing.States[0]
}

func wantNames(t *testing.T, root string, listing *backend.Listing, want ...string) {
	t.Helper()
	var got []string
	for _, o := range listing.States {
		got = append(got, relative(t, root, o.Address()))
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q\nwant  %q", got, want)
	}
}

func wantSkips(t *testing.T, root string, listing *backend.Listing, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, s := range listing.Skipped {
		got[relative(t, root, s.Name)] = s.Code
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("skipped (-want +got):\n%s", d)
	}
}

func relative(t *testing.T, root, name string) string {
	t.Helper()
	rel, ok := strings.CutPrefix(name, root+string(filepath.Separator))
	if !ok {
		t.Fatalf("%q is not in the searched directory", name)
	}
	return filepath.ToSlash(rel)
}
