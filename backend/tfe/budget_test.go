package tfe

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// The budgets below count allocations, which unlike times are exact. They are upper bounds:
// lower them whenever the code improves.

func wantAllocations(t *testing.T, what string, most float64, f func()) {
	t.Helper()
	if raceDetector {
		t.Skip("under the race detector, pools drop items at random")
	}
	if got := testing.AllocsPerRun(20, f); got > most {
		t.Errorf("%s: %.0f allocations, want at most %.0f", what, got, most)
	}
}

// A state version's document lists all resources of the state. Decoding it takes the same
// memory for any number of them.
func TestReadingAStateVersionSkipsItsResources(t *testing.T) {
	read := stateVersionOf("", "")
	for _, resources := range []int{0, 10, 1000} {
		list := strings.TrimSuffix(strings.Repeat(`{"name":"a","type":"aws_instance","count":1,"module":"root","provider":"registry.terraform.io/hashicorp/aws"},`, resources), ",")
		raw := []byte(`{"data":{"id":"sv-1","type":"state-versions","attributes":{"serial":7,"size":1,"status":"finalized","terraform-version":"1.11.4",` +
			`"created-at":"2025-04-01T09:30:00Z","hosted-state-download-url":"https://archivist.example.com/1","resources":[` + list + `],"modules":{"root":{}}},` +
			`"relationships":{"run":{"data":{"id":"run-1","type":"runs"}}}}}`)
		wantAllocations(t, fmt.Sprintf("%d resources", resources), 7, func() {
			if _, err := read(raw); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A workspace's document contains far more than we use.
func TestReadingAWorkspaceAllocatesOnlyWhatIsUsed(t *testing.T) {
	raw := []byte(workspaceDocument(`,"locked":true,"locked-reason":"r","vcs-repo":{"a":[1,2,3]},"actions":{"x":true},"tag-names":["a","b"]`,
		`"current-state-version":{"data":{"id":"sv-1","type":"state-versions"}},"locked-by":{"data":{"id":"user-1","type":"users"}}`))
	read := workspaceIs("acme", "network", "ws-1", nil)
	wantAllocations(t, "a locked workspace", 15, func() {
		if _, err := read(raw); err != nil {
			t.Fatal(err)
		}
	})
}

// Sending a state takes the same buffers, whatever its size.
func TestSendingTakesTheSameBuffersForAnySize(t *testing.T) {
	small, large := bodyOf(strings.Repeat("x", 1<<10)), bodyOf(strings.Repeat("x", 1<<20))
	for name, c := range map[string]struct {
		most float64
		read func(Body) io.ReadCloser
	}{
		"signed": {12, func(b Body) io.ReadCloser { return b.reader(t.Context()) }},
		"inline": {19, func(b Body) io.ReadCloser { return inline{head: "{", tail: "}", body: b}.reader(t.Context()) }},
	} {
		for _, body := range []Body{small, large} {
			buffer := make([]byte, 32<<10)
			wantAllocations(t, fmt.Sprintf("%s, %d bytes", name, body.Size), c.most, func() {
				r := c.read(body)
				if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buffer); err != nil {
					t.Fatal(err)
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
