package runs

import (
	"context"
	"os"
	"os/exec"
	"sync"
)

// An executor executes runs with the real terraform, each in its own folder and goroutine.
type executor struct {
	terraform string // the path of the program, or ""
	mirror    string
	slots     chan struct{}
	running   sync.WaitGroup
	ctx       context.Context
	end       context.CancelFunc

	mu      sync.Mutex
	current map[string]*execution // by run
	folders map[string]string     // by run; of plans that may be applied
	closed  bool
}

// defaultRuns is the default of Options.Parallel.
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
	// Without the program, runs end errored, and their logs say why.
	if path, err := exec.LookPath(name); err == nil && name != NoTerraform {
		x.terraform = path
	}
	return x
}

// An execution is a plan or an apply in progress.
type execution struct {
	run    string
	ctx    context.Context
	cancel context.CancelFunc
	log    liveLog
}

// begin executes a phase of a run as soon as a slot is free. It is called with the host locked.
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

// ended forgets an execution, unless the run has started another one by then.
func (x *executor) ended(e *execution) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.current[e.run] == e {
		delete(x.current, e.run)
	}
}

// stop cancels the execution of a run and reports whether there was one.
func (x *executor) stop(run string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.current[run]
	if e != nil {
		e.cancel()
	}
	return e != nil
}

// closing reports whether close was called. Executions that it cuts off must not change their runs.
func (x *executor) closing() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.closed
}

// liveLogOf returns the log of a run that is being executed.
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

// folder returns the folder of a plan, or "".
func (x *executor) folder(run string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.folders[run]
}

// discard removes the folder of a run that has ended.
func (x *executor) discard(run string) {
	x.mu.Lock()
	folder := x.folders[run]
	delete(x.folders, run)
	x.mu.Unlock()
	if folder != "" {
		// What cannot be removed stays in the system's temporary folder, mode 0700.
		_ = os.RemoveAll(folder)
	}
}

// close cancels all executions, waits for them, and removes their folders.
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

// A liveLog is a log that can be read while it is being written.
type liveLog struct {
	mu   sync.Mutex
	text []byte
	cut  bool
}

// maxLog is the maximum size of a log in bytes. The real server truncates logs, too.
const maxLog = 8 << 20

const (
	startOfText = "\x02" // the markers around a log
	endOfText   = "\x03"
)

// Write implements io.Writer. It drops what exceeds maxLog.
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
		l.text = append(append(l.text, p[:room]...), "\n(the log is truncated here)\n"...)
	}
	return len(p), nil
}

// part returns a part of what has been written so far.
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
