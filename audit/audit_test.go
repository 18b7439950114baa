package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfhaul/audit"
	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/fixtures"
	"tfhaul/statefile"
)

var kinds = backend.Kinds{file.Kind(backend.Connection{})}

// atWork is the time at which the lock that fixtures calls held is one hour old.
func atWork(t testing.TB) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, fixtures.ProblemsLockedAt)
	if err != nil {
		t.Fatal(err)
	}
	return at.Add(time.Hour)
}

func take(t testing.TB, o audit.Options, sources ...string) *audit.Inventory {
	t.Helper()
	o.Kinds = kinds
	i, err := audit.Take(t.Context(), sources, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestEveryPlantedProblemIsFound audits a landscape of TFHAUL_LANDSCAPE states; the
// default is 400, or fewer with -short. The goal is 10,000.
func TestEveryPlantedProblemIsFound(t *testing.T) {
	n := 400
	if testing.Short() {
		n = 50
	}
	if given := os.Getenv("TFHAUL_LANDSCAPE"); given != "" {
		var err error
		if n, err = strconv.Atoi(given); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	planted, err := fixtures.Landscape(dir, n, 7, fixtures.WithProblems(), fixtures.WithLocks(0))
	if err != nil {
		t.Fatal(err)
	}
	i := take(t, audit.Options{Now: atWork(t)}, dir)

	problems := map[string]string{} // by path
	states := 0
	for _, p := range planted {
		if p.Kind == "state" {
			states++
		}
		problems[p.Path] = p.Problem
	}
	found := map[string]map[audit.Code]bool{}
	for _, f := range i.Findings {
		expected := len(f.Sources) == 0
		for _, name := range f.Sources {
			path, err := filepath.Rel(dir, name)
			if err != nil {
				t.Fatal(err)
			}
			path = filepath.ToSlash(path)
			if found[path] == nil {
				found[path] = map[audit.Code]bool{}
			}
			found[path][f.Code] = true
			expected = expected || problems[path] == string(f.Code)
		}
		if f.Severity == audit.SeverityError && !expected {
			t.Errorf("unexpected error: %s: %s %v", f.Code, f.Message, f.Sources)
		}
		if f.Message == "" || f.Advice == "" {
			t.Errorf("%s has message %q and advice %q", f.Code, f.Message, f.Advice)
		}
	}
	for path, problem := range problems {
		if problem != "" && !found[path][audit.Code(problem)] {
			t.Errorf("%s: planted %s, found %v", path, problem, found[path])
		}
	}
	summary := i.Summary()
	if summary.States < n || summary.States != countKinds(i, "state", "errored") {
		t.Errorf("planted %d states, found %d", states, summary.States)
	}
	if summary.Codes[audit.CodeTerraformVersions] != 1 {
		t.Error("the spread over many Terraform releases was not found")
	}
	t.Logf("%d states, %d files with a problem, %d findings including %d errors: %v", summary.States, countProblems(problems), len(i.Findings), summary.Findings[audit.SeverityError], summary.Codes)
}

func countProblems(problems map[string]string) (n int) {
	for _, p := range problems {
		if p != "" {
			n++
		}
	}
	return n
}

func countKinds(i *audit.Inventory, kinds ...string) (n int) {
	for _, s := range i.Snapshots {
		if slices.Contains(kinds, s.Kind) {
			n++
		}
	}
	return n
}

func TestSnapshotsMatchWhatWasPlanted(t *testing.T) {
	dir := t.TempDir()
	planted, err := fixtures.Landscape(dir, 40, 3, fixtures.WithOddities())
	if err != nil {
		t.Fatal(err)
	}
	i := take(t, audit.Options{}, dir)
	byPath := map[string]audit.Snapshot{}
	for _, s := range i.Snapshots {
		path, _ := filepath.Rel(dir, s.Source)
		byPath[filepath.ToSlash(path)] = s
	}
	for _, p := range planted {
		if !strings.HasSuffix(p.Path, ".tfstate") || strings.Contains(p.Path, ".terraform/") {
			continue
		}
		s, ok := byPath[p.Path]
		if !ok {
			t.Errorf("%s was not found", p.Path)
			continue
		}
		if s.Kind != p.Kind || s.MD5 != p.MD5 || s.Size != p.Size || s.Lineage != p.Lineage || s.Serial != p.Serial {
			t.Errorf("%s: %+v, planted %+v", p.Path, s, p)
		}
		if p.Locked != (s.Lock != nil) {
			t.Errorf("%s: locked %v, lock %v", p.Path, p.Locked, s.Lock)
		}
		if s.Modified.IsZero() {
			t.Errorf("%s has no age", p.Path)
		}
	}
}

// An audit's result contains no value of any state.
func TestInventoryHoldsNoSecret(t *testing.T) {
	dir := t.TempDir()
	if _, err := fixtures.Landscape(dir, 30, 5, fixtures.WithProblems(), fixtures.WithOddities()); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(take(t, audit.Options{}, dir))
	if err != nil {
		t.Fatal(err)
	}
	for n, secret := range fixtures.PlantedSecrets() {
		if strings.Contains(string(text), secret) {
			t.Errorf("the inventory contains planted secret number %d", n)
		}
	}
}

func TestInventoryDoesNotDependOnTheOrderOfReading(t *testing.T) {
	dir := t.TempDir()
	if _, err := fixtures.Landscape(dir, 60, 11, fixtures.WithProblems()); err != nil {
		t.Fatal(err)
	}
	o := audit.Options{Now: atWork(t), Parallelism: 1}
	first := take(t, o, dir)
	for _, parallelism := range []int{2, 16} {
		o.Parallelism = parallelism
		if diff := cmp.Diff(first, take(t, o, dir)); diff != "" {
			t.Errorf("with parallelism %d:\n%s", parallelism, diff)
		}
	}
}

func TestOverlappingSourcesAreReadOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/terraform.tfstate", state(spec{lineage: "l-a"}))
	i := take(t, audit.Options{}, dir, dir, filepath.Join(dir, "a", "terraform.tfstate"))
	if len(i.Snapshots) != 1 || i.Summary().Codes[audit.CodeSharedLineage] != 0 {
		t.Errorf("%d snapshots, findings %v", len(i.Snapshots), i.Findings)
	}
}

func TestEmptySource(t *testing.T) {
	dir := t.TempDir()
	var none *backend.NoMatchError
	if _, err := audit.Take(t.Context(), []string{dir}, audit.Options{Kinds: kinds}); !errors.As(err, &none) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := audit.Take(t.Context(), []string{filepath.Join(dir, "absent")}, audit.Options{Kinds: kinds}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
	write(t, dir, "errored.tfstate", state(spec{lineage: "l"}))
	if i := take(t, audit.Options{}, dir); i.Summary().Codes[audit.CodeErrored] != 1 {
		t.Errorf("only errored.tfstate: %v", i.Findings)
	}
}

func TestCanceledAuditEnds(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "terraform.tfstate", state(spec{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := audit.Take(ctx, []string{dir}, audit.Options{Kinds: kinds}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestUnreadableFileIsAFinding(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("this user can read everything")
	}
	dir := t.TempDir()
	write(t, dir, "a.tfstate", state(spec{}))
	write(t, dir, "b.tfstate", state(spec{}))
	if err := os.Chmod(filepath.Join(dir, "a.tfstate"), 0); err != nil {
		t.Fatal(err)
	}
	i := take(t, audit.Options{}, dir)
	if i.Summary().Unreadable != 1 || i.Summary().States != 1 {
		t.Errorf("%+v", i.Summary())
	}
}

func TestBrokenLinkIsAFinding(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.tfstate", state(spec{}))
	if err := os.Symlink("absent.tfstate", filepath.Join(dir, "b.tfstate")); err != nil {
		t.Skip(err)
	}
	i := take(t, audit.Options{}, dir)
	if i.Summary().Codes[audit.CodeUnreadable] != 1 {
		t.Errorf("%v", i.Findings)
	}
}

// Memory is limited by the number of files, not by their size.
func TestMemoryDoesNotGrowWithTheSizeOfStates(t *testing.T) {
	dir := t.TempDir()
	for n := range 4 {
		name := filepath.Join(dir, strconv.Itoa(n)+".tfstate")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (fixtures.Spec{Seed: uint64(n), MinSize: 24 << 20}).WriteTo(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	peak := uint64(0)
	o := audit.Options{Parallelism: 1, Progress: func(int, int) { peak = max(peak, heap()) }}
	take(t, o, dir)
	// 4 files of about 9,000 objects at 20 bytes each, in maps that double.
	if most := uint64(12 << 20); peak > before+most {
		t.Errorf("the heap grew by %d bytes", peak-before)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A spec is a small state.
type spec struct {
	version, lineage, outputs, resources string
	serial                               int
	empty                                bool
}

func state(s spec) string {
	if s.version == "" {
		s.version = "1.11.4"
	}
	if s.resources == "" && !s.empty {
		s.resources = `{"mode": "managed", "type": "terraform_data", "name": "x", "provider": "provider[\"terraform.io/builtin/terraform\"]", "instances": [{"attributes": {"id": "x"}}]}`
	}
	return `{"version": 4, "terraform_version": "` + s.version + `", "serial": ` + strconv.Itoa(s.serial) + `, "lineage": "` + s.lineage + `", "outputs": {` + s.outputs + `}, "resources": [` + s.resources + `]}`
}

func write(t testing.TB, dir, path, text string) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKindsMatchStatefile(t *testing.T) {
	dir := t.TempDir()
	for _, s := range fixtures.Samples() {
		write(t, dir, s.Name+"/x.tfstate", string(s.Bytes()))
	}
	i := take(t, audit.Options{}, dir)
	for _, sn := range i.Snapshots {
		s := fixtures.SampleNamed(filepath.Base(filepath.Dir(sn.Source)))
		if sn.Kind != s.Kind && !(s.Kind == "" && sn.Kind == string(statefile.KindState)) {
			t.Errorf("%s is %q, not %q", s.Name, sn.Kind, s.Kind)
		}
		if s.Kind != "state" && sn.Code != s.Code {
			t.Errorf("%s has code %q, want %q", s.Name, sn.Code, s.Code)
		}
	}
}
