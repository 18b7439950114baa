package pairing

import (
	"testing"

	"tfhaul/backend"
)

type placed struct {
	backend.State
	place backend.Place
}

func (p placed) Place() backend.Place { return p.place }

// The directory that workspaces have in a bucket, such as live/, is no source of its own.
func TestNamesBeginWithWhatWasSearched(t *testing.T) {
	const def = backend.DefaultWorkspace
	bucket := []backend.State{
		placed{place: backend.Place{Dir: "app", Base: "terraform", Workspace: def, Root: "acme", Searched: "acme"}},
		placed{place: backend.Place{Dir: "app", Base: "terraform", Workspace: "staging", Root: "live", Searched: "acme"}},
	}
	if (&Finder{}).manyRoots(bucket) {
		t.Error("one bucket counts as several sources")
	}
	directory := placed{place: backend.Place{Dir: "app", Base: "terraform", Workspace: def, Root: "repos", Searched: "repos"}}
	states := append(bucket, directory)
	if !(&Finder{}).manyRoots(states) {
		t.Error("a bucket and a directory count as one source")
	}
	namer, err := ParseNamer("")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"acme-app", "acme-app-staging", "repos-app"} {
		if naming, err := namer.rooted().Naming(states[i].Place()); err != nil || naming.Name != want {
			t.Errorf("%q, %v; want %q", naming.Name, err, want)
		}
	}
}
