package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// measureStart measures how long a trivial command takes, and what the binary consists of.
func measureStart(ctx context.Context, s *site, w io.Writer) error {
	rounds := 21
	if s.quick {
		rounds = 3
	}
	least, err := s.buildLeast(ctx)
	if err != nil {
		return err
	}
	say(w, `What every tfhaul command costs before it does any work: the time and memory of tfhaul version, compared with a Go program that
prints a line and with terraform version. The table shows medians of %d runs.`, rounds)
	t := &table{head: []string{"program", "wall time", "CPU", "peak memory", "size of the binary"}}
	for _, c := range []struct {
		what string
		args []string
	}{
		{"a Go program that prints a line", []string{least}},
		{"tfhaul version", []string{s.tfhaul, "version"}},
		{"terraform version", []string{"terraform", "version"}},
	} {
		path, err := exec.LookPath(c.args[0])
		if err != nil {
			continue
		}
		var runs []usage
		for range rounds {
			u, _, err := s.measure(ctx, task{args: c.args})
			if err != nil {
				return err
			}
			runs = append(runs, u)
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		wall := median(runs, func(u usage) int64 { return int64(u.Wall) })
		cpu := median(runs, func(u usage) int64 { return int64(u.CPU) })
		peak := median(runs, func(u usage) int64 { return u.Peak })
		t.add(c.what, ms(wall.Wall), ms(cpu.CPU), mb(peak.Peak), fmt.Sprintf("%.1f MB", float64(info.Size())/1e6))
	}
	t.print(w)
	if err := s.slowestInits(ctx, w); err != nil {
		return err
	}
	return s.weigh(ctx, w)
}

// buildLeast builds the program that prints one line.
func (s *site) buildLeast(ctx context.Context) (string, error) {
	dir := filepath.Join(s.dir, "least")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"least\") }\n"), 0o600); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "least"+exeSuffix)
	return binary, build(ctx, binary, source, "-ldflags=-s -w")
}

// slowestInits lists the packages that take longest to initialize.
func (s *site) slowestInits(ctx context.Context, w io.Writer) error {
	cmd := exec.CommandContext(ctx, s.tfhaul, "version")
	cmd.Env = environment([]string{"GODEBUG=inittrace=1"})
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		return err
	}
	type initialised struct {
		pkg string
		ms  float64
	}
	var all []initialised
	total := 0.0
	for _, m := range regexp.MustCompile(`(?m)^init (\S+) @.*?, ([\d.]+) ms clock`).FindAllStringSubmatch(trace.String(), -1) {
		took, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return err
		}
		all = append(all, initialised{m[1], took})
		total += took
	}
	slices.SortFunc(all, func(a, b initialised) int { return cmp.Compare(b.ms, a.ms) })
	var slowest []string
	for _, i := range all[:min(5, len(all))] {
		slowest = append(slowest, fmt.Sprintf("%s %.2f ms", i.pkg, i.ms))
	}
	say(w, "Package initialization takes %.1f ms in total; the slowest packages are %s.", total, strings.Join(slowest, ", "))
	return nil
}

// weigh lists what the largest modules add to the binary.
func (s *site) weigh(ctx context.Context, w io.Writer) error {
	whole := filepath.Join(s.dir, "tfhaul-with-symbols"+exeSuffix)
	if err := build(ctx, whole, "tfhaul"); err != nil {
		return err
	}
	modules, err := modulesOf(ctx)
	if err != nil {
		return err
	}
	symbols, err := exec.CommandContext(ctx, "go", "tool", "nm", "-size", "-type", whole).Output()
	if err != nil {
		return fmt.Errorf("go tool nm: %w", err)
	}
	sizes, total := map[string]int64{}, int64(0)
	lines := bufio.NewScanner(bytes.NewReader(symbols))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		size, kind, name, ok := parseSymbol(lines.Text())
		if !ok || !strings.ContainsAny(kind, "tTrR") {
			continue // variables initialized at start take no space in the file
		}
		sizes[modules.owner(name)] += size
		total += size
	}
	if err := lines.Err(); err != nil {
		return err
	}
	say(w, `The contents of the binary: code and constants (%.1f MB) by module, according to go tool nm. The rest of the file consists of tables
for the runtime (line numbers, types, garbage collection), which grow with the code.`, float64(total)/1e6)
	t := &table{head: []string{"module", "size", "share"}}
	byWeight := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int { return cmp.Compare(sizes[b], sizes[a]) })
	const maxShown = 12
	rest := int64(0)
	for i, m := range byWeight {
		if i >= maxShown {
			rest += sizes[m]
			continue
		}
		t.add(m, fmt.Sprintf("%.2f MB", float64(sizes[m])/1e6), fmt.Sprintf("%.1f %%", 100*float64(sizes[m])/float64(total)))
	}
	t.add(fmt.Sprintf("%d others", max(0, len(byWeight)-maxShown)), fmt.Sprintf("%.2f MB", float64(rest)/1e6), fmt.Sprintf("%.1f %%", 100*float64(rest)/float64(total)))
	t.print(w)
	return nil
}

// parseSymbol parses a line of go tool nm -size -type: address, size, type, name.
func parseSymbol(line string) (size int64, kind, name string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 {
		return 0, "", "", false
	}
	size, err := strconv.ParseInt(fields[1], 10, 64)
	return size, fields[2], fields[3], err == nil
}

// packageModules maps packages to their modules.
type packageModules map[string]string

// modulesOf lists the modules in the binary.
func modulesOf(ctx context.Context) (packageModules, error) {
	list, err := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}", "tfhaul").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	modules := packageModules{}
	for line := range strings.Lines(string(list)) {
		pkg, module, _ := strings.Cut(strings.TrimSpace(line), " ")
		modules[pkg] = cmp.Or(family(module), "the Go standard library")
	}
	return modules, nil
}

// family groups the modules of one project.
func family(module string) string {
	for _, prefix := range []string{"github.com/aws/", "golang.org/x/"} {
		if strings.HasPrefix(module, prefix) {
			return prefix + "…"
		}
	}
	return module
}

// owner finds the module of a symbol by the longest package path before a dot.
// Compiler-generated types, strings and the like have none.
func (p packageModules) owner(symbol string) string {
	symbol = strings.ReplaceAll(symbol, "%2e", ".")
	symbol = strings.TrimPrefix(strings.TrimPrefix(symbol, "go:itab.*"), "go:itab.")
	symbol = strings.TrimPrefix(strings.TrimPrefix(symbol, "type:*"), "type:")
	path := strings.LastIndexByte(before(symbol, "(["), '/') + 1
	for i, c := range symbol {
		if i >= path && c == '.' {
			if module, ok := p[symbol[:i]]; ok {
				return module
			}
		}
	}
	if strings.HasPrefix(symbol, "main.") {
		return p["tfhaul"]
	}
	return "tables and constants without a module"
}

// before returns the text before the first of the characters.
func before(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}
