// Command bench measures tfhaul against the tools that people use instead, and against
// the minimum set by the server's limit or the machine. Each comparison is made in one
// run and reported as a ratio, and the results are written as a Markdown page:
//
//	go run ./bench                  everything, to docs/performance.md: 20 minutes
//	go run ./bench -quick           small sizes, to standard output: a minute or two
//	go run ./bench -only calls,cpu  only some sections
//
// The server is the embedded one, in a separate process, over TLS. The measured program
// is the real tfhaul binary, built from the module in the current directory. Comparisons
// with programs that are not installed are left out, and the page says so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// measurements lists all measurements in the order of the page.
var measurements = []measurement{
	{"calls", "API calls", measureCalls},
	{"haul", "A haul of many states", measureHauls},
	{"leave", "Leaving with all states", measureLeaving},
	{"growth", "Growth with the number of workspaces", measureGrowth},
	{"cpu", "CPU time without limit and latency", measureCPU},
	{"large", "Large states", measureLarge},
	{"audit", "An audit of many states", measureAudit},
	{"start", "Start-up and size", measureStart},
}

// A measurement is one section of the page.
type measurement struct {
	name, title string
	// take measures, and writes the section without its heading.
	take func(context.Context, *site, io.Writer) error
}

// A site is what measurements need: the binary, a folder, and how much to measure.
type site struct {
	tfhaul string // the binary
	dir    string // for temporary files; on a disk, like users' files
	quick  bool
	log    io.Writer // progress messages
}

// Roles in which the program starts itself; see process.go, serve.go and floor.go.
var roles = map[string]func(arguments []string) error{
	"spawn": spawn,
	"serve": serve,
	"floor": floor,
}

func main() {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench", os.Args[1]+":", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	var (
		only  = flag.String("only", "", "measure only `NAMES`, separated by commas: "+strings.Join(names(), ", "))
		quick = flag.Bool("quick", false, "small sizes, to check that it works; do not quote the results")
		out   = flag.String("out", "", "write the page to `FILE`, keeping sections that are not measured now (default docs/performance.md, with -quick standard output)")
		dir   = flag.String("dir", "", "make temporary files in `DIR`, which needs about 10 GB (default: the system's)")
	)
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: there are only flags", flag.Args())
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(*dir, "tfhaul-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	s := &site{dir: temporary, quick: *quick, log: os.Stderr}
	if s.tfhaul, err = buildTfhaul(ctx, temporary); err != nil {
		return err
	}
	p := &page{machine: describeMachine(), quick: *quick}
	if *out == "" && !*quick {
		*out = filepath.Join("docs", "performance.md")
	}
	if *out != "" {
		if err := p.read(*out); err != nil {
			return err
		}
	}
	for _, m := range chosen {
		fmt.Fprintf(s.log, "%s …\n", m.name)
		start := time.Now()
		var section strings.Builder
		if err := m.take(ctx, s, &section); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(s.log, "%s: %s\n", m.name, time.Since(start).Round(time.Second))
		p.put(m.title, section.String())
		// Keep what was measured, even if the rest fails.
		if err := p.write(*out); err != nil {
			return err
		}
	}
	if *out == "" {
		return p.print(os.Stdout)
	}
	return nil
}

func names() []string {
	var all []string
	for _, m := range measurements {
		all = append(all, m.name)
	}
	return all
}

func choose(only string) ([]measurement, error) {
	if only == "" {
		return measurements, nil
	}
	var chosen []measurement
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(measurements, func(m measurement) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown measurement %q: use %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, measurements[i])
	}
	return chosen, nil
}

// buildTfhaul builds the binary like a release.
func buildTfhaul(ctx context.Context, dir string) (string, error) {
	name := filepath.Join(dir, "tfhaul"+exeSuffix)
	return name, build(ctx, name, "tfhaul", "-ldflags=-s -w")
}

// build builds a package of this module without paths of this machine.
func build(ctx context.Context, name, pkg string, flags ...string) error {
	arguments := append([]string{"build", "-trimpath", "-o", name}, flags...)
	output, err := exec.CommandContext(ctx, "go", append(arguments, pkg)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, output)
	}
	return nil
}
