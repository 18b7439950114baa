package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"tfhaul/crash"
	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// tellEvery is the interval between progress reports without a terminal.
const tellEvery = 10 * time.Second

// redrawEvery is how often a terminal is drawn on.
const redrawEvery = 150 * time.Millisecond

// A haulProgress tells on stderr how far a haul is: bars on a terminal, a line now
// and then elsewhere, and with --json JSON lines. It is safe for use by many
// goroutines.
type haulProgress struct {
	*process
	doing string // reading, moving or comparing

	mu      sync.Mutex
	total   int
	count   map[migrate.Outcome]int
	done    int
	unsure  int               // of done, those whose sources are checked after the last move
	waiting map[string]string // who holds the lock, by target
	start   time.Time

	bars    *mpb.Progress
	bar     *mpb.Bar
	ticking sync.WaitGroup
	stop    chan struct{}
}

// startProgress starts to report the progress of total moves. The caller must end it.
func (p *process) startProgress(ctx context.Context, doing string, total int) *haulProgress {
	g := &haulProgress{
		process: p, doing: doing, total: total,
		count: map[migrate.Outcome]int{}, waiting: map[string]string{}, start: time.Now(), stop: make(chan struct{}),
	}
	switch {
	case p.quiet:
	case p.stderr.interactive && !p.json:
		g.draw(ctx, redrawEvery)
	default:
		g.ticking.Go(func() {
			defer crash.Catch(ctx)
			g.tick()
		})
	}
	return g
}

// end tells no more.
func (g *haulProgress) end() {
	close(g.stop)
	g.ticking.Wait()
	if g.bars != nil {
		g.bar.Abort(true)
		g.bars.Wait()
		g.stderr.direct()
	}
}

// observe receives every event of the haul.
func (g *haulProgress) observe(e migrate.Event) {
	g.held.observe(e)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch e.Event {
	case migrate.EventWaiting:
		before := g.waiting[e.Target]
		g.waiting[e.Target] = e.Holder
		if before != e.Holder && g.bars == nil {
			g.tellWaiting(e)
		}
	case migrate.EventLocked, migrate.EventOutcome:
		delete(g.waiting, e.Target)
	}
}

// tellWaiting reports the holder that a move waits for, if it is a new one.
func (g *haulProgress) tellWaiting(e migrate.Event) {
	if g.json {
		g.line(haulEvent{Event: "waiting", Target: e.Target, Holder: e.Holder})
		return
	}
	g.process.tellWaiting(e)
}

// ended receives each move when it ends or is decided.
func (g *haulProgress) ended(r migrate.Result) {
	done := g.counted(r)
	if g.bar != nil {
		// The bar asks us for its text, so that nothing may be held here.
		g.bar.SetCurrent(int64(done))
	}
}

// revised receives a move that has ended and then turned out to have a source that changed.
func (g *haulProgress) revised(before, after migrate.Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count[before.Outcome]--
	g.count[after.Outcome]++
	if g.json {
		g.line(haulEvent{Event: "revised", Source: after.Source, Target: after.Target, Outcome: after.Outcome, Code: string(after.Code)})
	}
}

// counted counts a move, and returns how many have ended. A move that was not attempted or
// given up, because the haul ends, is not among them.
func (g *haulProgress) counted(r migrate.Result) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Code != migrate.CodeNotAttempted && r.Code != migrate.CodeInterrupted {
		g.done++
		g.count[r.Outcome]++
	}
	if r.SourceUnchecked {
		g.unsure++
	}
	delete(g.waiting, r.Target)
	if g.json && g.doing == moving {
		g.line(haulEvent{Event: "ended", Source: r.Source, Target: r.Target, Outcome: r.Outcome, Code: string(r.Code), SourceUnchecked: r.SourceUnchecked})
	}
	return g.done
}

// proven receives each verdict.
func (g *haulProgress) proven(r migrate.Result) {
	g.mu.Lock()
	g.done++
	done := g.done
	g.mu.Unlock()
	if g.bar != nil {
		g.bar.SetCurrent(int64(done)) // as in ended
	}
	if g.json {
		g.line(haulEvent{Event: "proven", Source: r.Source, Target: r.Target, Verdict: string(r.Proof.Verdict), Code: string(r.Proof.Code)})
	}
}

// The activities that a progress report names.
const (
	reading   = "reading"
	moving    = "moving"
	comparing = "comparing"
	proving   = "proving"
)

// A haulEvent is a line of --json on stderr.
type haulEvent struct {
	Format string    `json:"format"`
	Time   time.Time `json:"time"`
	// Event is "progress", "ended" (a move), "revised" (a move that has ended: its source changed
	// meanwhile), "proven" (a verdict) or "waiting" (for a lock).
	Event   string          `json:"event"`
	Doing   string          `json:"doing,omitempty"`
	Source  string          `json:"source,omitempty"`
	Target  string          `json:"target,omitempty"`
	Holder  string          `json:"holder,omitempty"`
	Outcome migrate.Outcome `json:"outcome,omitempty"`
	// Code is the reason of the outcome or of the verdict.
	Code    string `json:"code,omitempty"`
	Verdict string `json:"verdict,omitempty"`
	// SourceUnchecked: see migrate.Result.
	SourceUnchecked bool `json:"source_unchecked,omitempty"`

	Done    int                     `json:"done,omitempty"`
	Total   int                     `json:"total,omitempty"`
	Summary map[migrate.Outcome]int `json:"summary,omitempty"`
	Seconds float64                 `json:"seconds,omitempty"`
	// SecondsLeft is an estimate, absent until there is one.
	SecondsLeft float64 `json:"seconds_left,omitempty"`
	Waiting     int     `json:"waiting,omitempty"`
}

func (g *haulProgress) line(e haulEvent) {
	if g.quiet {
		return
	}
	e.Format, e.Time = report.Format, time.Now().UTC()
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // it consists of strings and numbers
	}
	fmt.Fprintf(g.stderr, "%s\n", text)
}

// tick tells now and then.
func (g *haulProgress) tick() {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.tell()
		case <-g.stop:
			return
		}
	}
}

func (g *haulProgress) tell() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.json {
		g.line(haulEvent{Event: "progress", Doing: g.doing, Done: g.done, Total: g.total, Summary: g.count,
			Seconds: time.Since(g.start).Seconds(), SecondsLeft: g.left().Seconds(), Waiting: len(g.waiting)})
		return
	}
	fmt.Fprintf(g.stderr, "%s %s\n", g.rate(), g.detail())
}

// left estimates how long the rest takes; 0 while that is unknown.
func (g *haulProgress) left() time.Duration {
	if g.done == 0 {
		return 0
	}
	return time.Duration(float64(time.Since(g.start)) / float64(g.done) * float64(g.total-g.done))
}

// rate returns, for example, "moving 312/800, 7.4/s, 1 min 6 s left".
func (g *haulProgress) rate() string {
	text := fmt.Sprintf("%s %s/%s", g.doing, plainwords.Grouped(g.done), plainwords.Grouped(g.total))
	if took := time.Since(g.start).Seconds(); g.done > 0 && took > 0 {
		text += fmt.Sprintf(", %.1f/s", float64(g.done)/took)
	}
	if left := g.left().Round(time.Second); left > 0 {
		text += ", " + report.Seconds(left.Seconds()) + " left"
	}
	return text
}

// detail is "300 moved, 12 failed; sources will be checked at the end; waiting for 2 locks: network (user jo), …".
func (g *haulProgress) detail() string {
	var parts []string
	for _, o := range migrate.Outcomes {
		if g.count[o] > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", plainwords.Grouped(g.count[o]), strings.ReplaceAll(string(o), "-", " ")))
		}
	}
	text := strings.Join(parts, ", ")
	switch {
	case g.unsure == 0:
	case g.done == g.total:
		text += "; checking that the sources did not change"
	default:
		text += "; sources will be checked at the end"
	}
	if len(g.waiting) == 0 {
		return text
	}
	var who []string
	for _, place := range slices.Sorted(maps.Keys(g.waiting)) {
		who = append(who, fmt.Sprintf("%s (%s)", place[strings.LastIndexByte(place, '/')+1:], g.waiting[place]))
	}
	const told = 3
	if len(who) > told {
		who = append(who[:told], "…")
	}
	if text != "" {
		text += "; "
	}
	locks := "a lock"
	if len(g.waiting) > 1 {
		locks = fmt.Sprintf("%d locks", len(g.waiting))
	}
	return text + "waiting for " + locks + ": " + report.Plain(strings.Join(who, ", "))
}

// draw draws a bar that lines of the log go above.
func (g *haulProgress) draw(ctx context.Context, every time.Duration) {
	g.bars = mpb.New(mpb.WithOutput(g.stderr.w), mpb.WithWidth(40), mpb.WithAutoRefresh(), mpb.WithRefreshRate(every))
	locked := func(text func() string) decor.DecorFunc {
		return func(decor.Statistics) string {
			defer crash.Catch(ctx) // goroutines of the bar's call this
			g.mu.Lock()
			defer g.mu.Unlock()
			return text()
		}
	}
	g.bar = g.bars.New(int64(g.total), mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.AppendDecorators(decor.Any(locked(func() string { return " " + g.rate() }))),
		mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
			defer crash.Catch(ctx)
			g.mu.Lock()
			defer g.mu.Unlock()
			_, err := fmt.Fprintln(w, runewidth.Truncate(g.detail(), max(s.AvailableWidth, 20), "…"))
			return err
		}), false),
	)
	g.stderr.through(g.bars)
}
