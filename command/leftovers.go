package command

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
)

// leftovers are the temporary directories that hold copies of states, as long as
// they are there. It is safe for use by many goroutines.
type leftovers struct {
	mu   sync.Mutex
	dirs map[string]bool
}

// observe is called when a directory is created and when it is removed.
func (l *leftovers) observe(dir string, exists bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dirs == nil {
		l.dirs = map[string]bool{}
	}
	if exists {
		l.dirs[dir] = true
	} else {
		delete(l.dirs, dir)
	}
}

// remove removes what is there when there is no time to wait for anything, and says
// what could not be removed.
func (l *leftovers) remove(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, dir := range slices.Sorted(maps.Keys(l.dirs)) {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintf(w, "tfhaul: a copy of a state is left in %s: remove it\n", dir)
		}
	}
}
