package runs

import (
	"context"
	"os"
	"os/exec"
	"sync"
)

// An executor executes runs by the real terraform, each in a folder of its own. It owns a
// goroutine for each run that is being executed.
type executor struct {
	terraform string // the program; "" when there is none
	mirror    string
	slots     chan struct{}
	running   sync.WaitGroup
	ctx       context.Context
	end       context.CancelFunc

	mu      sync.Mutex
	current map[string]*execution // by run
	folders map[string]string     // of planned runs that may be applied, by run
	closed  bool
}

// defaultRuns is how many runs are executed at a time.
const defaultRuns = 2

func newExecutor(o Options) *executor {
	x := &executor{mirror: o.ProviderMirror, current: map[string]*execution{}, folders: map[string]string{}}
	x.ctx, x.end = context.WithCancel(context.Background())
	slots := o.Parallel
	if slots <= 0 {
		slots = defaultRuns
	}
	x.slots = make(chan struct{}, slots)
	name := o.Terraform
	if name == "" {
		name = "terraform"
	}
	// Without one, runs end errored and say so.
	if path, err := exec.LookPath(name); err == nil && name != NoTerraform {
		x.terraform = path
	}
	return x
}

// An execution is a plan or an apply while it is being executed.
type execution struct {
	run    string
	ctx    context.Context
	cancel context.CancelFunc
	log    liveLog
}

// begin executes a part of a run as soon as a slot is free. It is called with Server.mu held.
func (x *executor) begin(run string, do func(*execution)) {
	e := &execution{run: run}
	e.ctx, e.cancel = context.WithCancel(x.ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		e.cancel()
		return
	}
	x.current[run] = e
	x.running.Go(func() {
		defer e.cancel()
		select {
		case x.slots <- struct{}{}:
			defer func() { <-x.slots }()
		case <-e.ctx.Done():
		}
		do(e)
	})
}

// ended forgets an execution. A run that goes on at once has another by then.
func (x *executor) ended(e *execution) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.current[e.run] == e {
		delete(x.current, e.run)
	}
}

// stop ends what is being executed of a run; false when nothing is.
func (x *executor) stop(run string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.current[run]
	if e != nil {
		e.cancel()
	}
	return e != nil
}

// closing says that the server ends, so that an execution that was cut off says nothing of
// its run.
func (x *executor) closing() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.closed
}

// liveLogOf is the log of what is being executed of a run.
func (x *executor) liveLogOf(run string) (*liveLog, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.current[run]; e != nil {
		return &e.log, true
	}
	return nil, false
}

// keep remembers the folder of a plan that may be applied.
func (x *executor) keep(run, folder string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.folders[run] = folder
}

// folder is that of a plan; "" when there is none (any more).
func (x *executor) folder(run string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.folders[run]
}

// discard removes the folder of a run that is over.
func (x *executor) discard(run string) {
	x.mu.Lock()
	folder := x.folders[run]
	delete(x.folders, run)
	x.mu.Unlock()
	if folder != "" {
		// What cannot be removed lies in the system's folder for such things, 0700.
		_ = os.RemoveAll(folder)
	}
}

// close ends all executions, waits for them, and removes what they left.
func (x *executor) close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.end()
	x.running.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	for run, folder := range x.folders {
		delete(x.folders, run)
		_ = os.RemoveAll(folder) // as in discard
	}
}

// A liveLog is a log that is being written, and read meanwhile.
type liveLog struct {
	mu   sync.Mutex
	text []byte
	cut  bool
}

// maxLog bounds a log; the real server's are cut, too.
const maxLog = 8 << 20

const (
	startOfText = "\x02" // how a log begins and ends
	endOfText   = "\x03"
)

// Write implements io.Writer. What is beyond the bound is dropped.
func (l *liveLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.text) == 0 {
		l.text = append(l.text, startOfText...)
	}
	room := maxLog - len(l.text)
	switch {
	case room >= len(p):
		l.text = append(l.text, p...)
	case !l.cut:
		l.cut = true
		l.text = append(append(l.text, p[:room]...), "\n(the log is cut here)\n"...)
	}
	return len(p), nil
}

// part is a piece of the log as it is now.
func (l *liveLog) part(offset, limit int64) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]byte(nil), slicePart(l.text, offset, limit)...)
}

func slicePart(text []byte, offset, limit int64) []byte {
	from := min(max(offset, 0), int64(len(text)))
	to := int64(len(text))
	if limit > 0 {
		to = min(to, from+limit)
	}
	return text[from:to]
}
