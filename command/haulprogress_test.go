package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/migrate"
)

// quietProcess is a process whose stderr is a buffer.
func quietProcess() (*process, *bytes.Buffer) {
	stderr := new(bytes.Buffer)
	p := &process{stderr: &terminal{w: stderr}, held: &heldLocks{}}
	p.log = slog.New(slog.NewTextHandler(p.stderr, nil))
	return p, stderr
}

// Without a terminal, a haul reports its progress at intervals, and the remaining time.
func TestHaulTellsNowAndThen(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		t.Run(fmt.Sprintf("json %v", asJSON), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, stderr := quietProcess()
				p.json = asJSON
				g := p.startProgress(t.Context(), moving, 100)
				for i := range 40 {
					g.ended(migrate.Result{Source: "s", Target: fmt.Sprintf("h/o/w%d", i), Outcome: migrate.Moved})
				}
				for _, holder := range []string{"user jo", "user jo", "user \x1b[2Jal"} {
					g.observe(migrate.Event{Event: migrate.EventWaiting, Target: "h/o/late", Holder: holder, Time: time.Now()})
				}
				time.Sleep(tellEvery + time.Second) // in virtual time
				synctest.Wait()
				g.observe(migrate.Event{Event: migrate.EventLocked, Target: "h/o/late"})
				time.Sleep(tellEvery)
				synctest.Wait()
				g.end()
				if asJSON {
					wantEvents(t, stderr.String())
					return
				}
				text := stderr.String()
				for _, want := range []string{
					"moving 40/100, 4.0/s, 15 s left 40 moved; waiting for a lock: late (user \ufffd[2Jal)\n",
					"moving 40/100, 2.0/s, 30 s left 40 moved\n",
				} {
					if !strings.Contains(text, want) {
						t.Errorf("it does not say %q:\n%s", want, text)
					}
				}
				if n := strings.Count(text, "Waiting for the lock on h/o/late, held by user "); n != 2 {
					t.Errorf("it warns of %d holders, want 2:\n%s", n, text)
				}
			})
		})
	}
}

// wantEvents has every line a JSON object, of the kinds that are documented.
func wantEvents(t *testing.T, text string) {
	t.Helper()
	count := map[string]int{}
	for line := range strings.Lines(text) {
		var e haulEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Format != "tfhaul/1" {
			t.Errorf("no event: %q (%v)", line, err)
		}
		count[e.Event]++
		if e.Event == "progress" && (e.Done != 40 || e.Total != 100 || e.SecondsLeft <= 0) {
			t.Errorf("%+v", e)
		}
	}
	if count["ended"] != 40 || count["waiting"] != 2 || count["progress"] != 2 {
		t.Errorf("got %v", count)
	}
}

// The bar asks for texts while moves end: neither may block the other.
func TestBarsDoNotBlock(t *testing.T) {
	t.Parallel()
	p, stderr := quietProcess()
	g := p.startProgress(t.Context(), moving, 4000)
	g.draw(t.Context(), 100*time.Microsecond)
	var moves sync.WaitGroup
	for i := range 8 {
		moves.Go(func() {
			for k := range 500 {
				target := fmt.Sprintf("h/o/w-%d-%d", i, k)
				g.observe(migrate.Event{Event: migrate.EventWaiting, Target: target, Holder: "user jo"})
				g.ended(migrate.Result{Target: target, Outcome: migrate.Moved})
			}
		})
	}
	moves.Wait()
	g.end()
	if !strings.Contains(stderr.String(), "moving ") {
		t.Error("nothing was drawn")
	}
	if p.stderr.via != nil {
		t.Error("what comes after still goes above the bars")
	}
}

func TestOnlyYesIsYes(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"yes\n": true, " yes \n": true, "y\n": false, "YES\n": false, "no\n": false, "": false, "yes": true, "\n": false} {
		p, _ := quietProcess()
		p.stdin = strings.NewReader(answer)
		if got, err := p.ask(t.Context(), "Shall it be done?"); got != want || err != nil {
			t.Errorf("%q: %v, %v", answer, got, err)
		}
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	p, _ := quietProcess()
	p.stdin = blocked{t.Context()}
	if _, err := p.ask(ctx, "Shall it be done?"); err == nil {
		t.Error("an interrupt is no answer")
	}
}

// blocked is an input that nobody types on.
type blocked struct{ until context.Context }

func (b blocked) Read([]byte) (int, error) {
	<-b.until.Done()
	return 0, b.until.Err()
}

// How to continue is said in words that a shell takes.
func TestHowToContinue(t *testing.T) {
	t.Parallel()
	p, _ := quietProcess()
	p.args = []string{"/usr/bin/tfhaul", "migrate", "a b", "s3://x/?endpoint=y", "--target", "acme", "--workspace-name", "{{ .Dir }}-it's"}
	h := &hauling{connector: connector{process: p}}
	const want = `tfhaul migrate 'a b' 's3://x/?endpoint=y' --target acme --workspace-name '{{ .Dir }}-it'\''s' --journal j.jsonl`
	if got := h.again("j.jsonl"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	p.args, p.typed = []string{"tfhaul", "migrate", "h.hcl", "--journal", "j.jsonl"}, map[string]bool{"journal": true}
	if got := h.again("j.jsonl"); got != "tfhaul migrate h.hcl --journal j.jsonl" {
		t.Errorf("got %s", got)
	}
}
