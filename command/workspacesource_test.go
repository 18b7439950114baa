package command_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/plainwords"
	"tfhaul/tfesim"
)

// eachServer runs a test against a server of each product.
func eachServer(t *testing.T, test func(t *testing.T, h *host)) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			test(t, start(t, tfesim.Options{Personality: p}))
		})
	}
}

// mustHoldElsewhere is mustHold for another organization.
func (h *host) mustHoldElsewhere(t *testing.T, organization, workspace string, want []byte) {
	t.Helper()
	if got, serial, ok := h.Current(organization, workspace); !ok || !bytes.Equal(got, want) {
		t.Errorf("%s/%s holds %d bytes (serial %d), want %d", organization, workspace, len(got), serial, len(want))
	}
}

func mustHoldFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes (%v), want %d", path, len(got), err, len(want))
	}
}

// apiCalls counts the requests that the rate limit counts.
func (h *host) apiCalls() int {
	n := 0
	for _, q := range h.Requests() {
		if !strings.Contains(q.Endpoint, "/_") && !strings.Contains(q.Endpoint, "well-known") {
			n++
		}
	}
	return n
}

func TestAuditOfAnOrganization(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, h *host) {
		h.seed(t, "app", state(1, 4))
		h.seed(t, "network", state(2, 7))
		h.addWorkspace(t, "empty")
		if err := h.Lock(org, "app", tfesim.SecondUser, "maintenance"); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			args []string
			exit int
			want string
		}{
			{[]string{"tfe://" + org}, 0, "2 states"},
			{[]string{"tfe://" + org}, 0, "locked"},
			{[]string{"tfe://" + org}, 0, "Next: tfhaul plan tfe://" + org + " --target s3://BUCKET/ --out haul.hcl"},
			{[]string{"tfe://" + org + "/network"}, 0, "1 state,"},
			{[]string{"tfe://" + org, "--include", "net*"}, 0, "1 state,"},
			{[]string{"tfe://" + org, "--exclude", "app"}, 0, "1 state,"},
			{[]string{"tfe://" + org, "--include", "none-*"}, 4, "no state found"},
			{[]string{"tfe://" + org + "/empty"}, 4, "has no state"},
			{[]string{"tfe://" + org + "/missing"}, 4, "does not exist, or this token cannot see it"},
			{[]string{"tfe://nowhere"}, 4, "does not exist, or this token cannot see it"},
			{[]string{"tfe://"}, 4, "tfe://[HOST/]ORG[/WORKSPACE]"},
			{[]string{"tfe://" + org + "/a/b/c"}, 4, "tfe://[HOST/]ORG[/WORKSPACE]"},
		} {
			h.tfhaul(t, append([]string{"audit"}, c.args...)...).says(t, c.exit, c.want)
		}
		if locked := h.Locked(org); len(locked) != 1 {
			t.Errorf("locked after an audit: %v", locked)
		}
	})
}

func TestMovesFromWorkspaces(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, h *host) {
		want := state(1, 41)
		h.seed(t, "network", want)
		file := filepath.Join(t.TempDir(), "network.tfstate")
		h.tfhaul(t, "move", "tfe://"+org+"/network", file).says(t, 0, "moved")
		mustHoldFile(t, file, want)
		h.tfhaul(t, "verify", "tfe://"+org+"/network", file).says(t, 0, "identical")
		h.tfhaul(t, "verify", file, org+"/network").says(t, 0, "identical")

		h.tfhaul(t, "move", "tfe://"+org+"/network", "other/net", "--create").says(t, 0, "moved")
		h.mustHoldElsewhere(t, "other", "net", want)
		h.tfhaul(t, "move", "tfe://"+org+"/network", "tfe://other/net").says(t, 0, "already holds")
		h.tfhaul(t, "verify", "tfe://other/net", org+"/network").says(t, 0, "identical")
		h.tfhaul(t, "move", "tfe://"+org+"/network", org+"/network").says(t, 4, "the same")
		h.mustBeFree(t, "network")
	})
}

// seedMany makes n workspaces with a state each.
func (h *host) seedMany(t *testing.T, n int) map[string][]byte {
	t.Helper()
	states := map[string][]byte{}
	for i := range n {
		name := fmt.Sprintf("ws-%04d", i)
		states[name] = state(uint64(i+1), 3)
		h.seed(t, name, states[name])
	}
	return states
}

func TestHaulsOutOfAnOrganization(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, h *host) {
		want := h.seedMany(t, 120) // two pages
		h.addWorkspace(t, "empty")
		dir := t.TempDir()
		journal := journalIn(t)
		h.ResetRequests()
		h.tfhaul(t, "plan", "tfe://"+org, "--target", dir+"/").says(t, 0, "120 moves: 120 planned")
		if calls := h.apiCalls(); calls != 2 {
			t.Errorf("planning 120 moves took %d API calls, want 2", calls)
		}
		h.ResetRequests()
		h.tfhaul(t, "migrate", "tfe://"+org, "--target", dir+"/", "--journal", journal, "--yes").says(t, 0, "120 moved")
		// A second listing shows that no source changed.
		if calls := h.apiCalls(); calls != 2+2 {
			t.Errorf("120 moves took %d API calls, want two listings of 2 pages", calls)
		}
		for name, raw := range want {
			mustHoldFile(t, filepath.Join(dir, name, "terraform.tfstate"), raw)
		}
		h.tfhaul(t, "verify", journal).says(t, 0, "120 identical")

		h.tfhaul(t, "migrate", "tfe://"+org, "--include", "ws-000*", "--target", "other", "--create", "--lock-source", "--journal", journalIn(t), "--yes").says(t, 0, "10 moved")
		for i := range 10 {
			name := fmt.Sprintf("ws-%04d", i)
			h.mustHoldElsewhere(t, "other", name, want[name])
		}
		if locked := slices.Concat(h.Locked(org), h.Locked("other")); len(locked) != 0 {
			t.Errorf("locked after the hauls: %v", locked)
		}
	})
}

// Leaving costs two listings, and with locks two calls for each workspace.
func TestCostOfLeaving(t *testing.T) {
	t.Parallel()
	n := 300
	if os.Getenv("TFHAUL_TESTS") == "full" {
		n = 1000
	}
	h := start(t, tfesim.Options{RateLimit: -1})
	want := h.seedMany(t, n)
	for _, c := range []struct {
		name string
		each int // calls
		args []string
	}{
		{"without locks", 0, nil},
		{"with locks", 2, []string{"--lock-source"}},
		{"frozen", 2, []string{"--freeze-source"}}, // the last, because the locks stay
	} {
		dir := t.TempDir()
		h.ResetRequests()
		h.tfhaul(t, append([]string{"migrate", "tfe://" + org, "--target", dir + "/", "--journal", journalIn(t), "--yes"}, c.args...)...).
			says(t, 0, plainwords.Grouped(n)+" moved")
		calls := h.apiCalls()
		downloads := len(h.Requests()) - calls
		pages := n / 100
		if most := 2*pages + c.each*n; calls > most {
			t.Errorf("%s: %d API calls, want at most %d", c.name, calls, most)
		}
		// One to plan, one to move.
		if most := 2*n + 1; downloads > most {
			t.Errorf("%s: %d downloads and discoveries, want at most %d", c.name, downloads, most)
		}
		t.Logf("%s, %d workspaces: %d API calls, %d downloads", c.name, n, calls, downloads)
		for name, raw := range want {
			mustHoldFile(t, filepath.Join(dir, name, "terraform.tfstate"), raw)
		}
	}
}

// A manifest names workspaces one by one. From the eleventh on, listings serve them.
func TestCostOfLeavingByManifest(t *testing.T) {
	t.Parallel()
	const n = 130
	h := start(t, tfesim.Options{RateLimit: -1})
	want := h.seedMany(t, n)
	dir := t.TempDir()
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	journal := journalIn(t)
	h.tfhaul(t, "plan", "tfe://"+org, "--target", dir+"/", "--out", manifest).says(t, 0, "130 planned")
	h.ResetRequests()
	h.tfhaul(t, "migrate", manifest, "--journal", journal, "--yes").says(t, 0, "130 moved")
	// 10 workspaces are read alone. They are also checked alone, twice.
	if calls, most := h.apiCalls(), 3*10+2*2; calls > most {
		t.Errorf("%d moves took %d API calls, want at most %d", n, calls, most)
	}
	for name, raw := range want {
		mustHoldFile(t, filepath.Join(dir, name, "terraform.tfstate"), raw)
	}
	h.ResetRequests()
	h.tfhaul(t, "verify", journal).says(t, 0, "130 identical")
	if calls, most := h.apiCalls(), n+10+2; calls > most {
		t.Errorf("verifying %d moves took %d API calls, want at most %d", n, calls, most)
	}
}

// A workspace that changes while the haul runs is reported when all are listed again.
func TestAWorkspaceThatChangesDuringAHaulIsReported(t *testing.T) {
	t.Parallel()
	for _, locked := range []bool{false, true} {
		t.Run(fmt.Sprintf("locked %v", locked), func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			h.seedMany(t, 8)
			dir := t.TempDir()
			journal := journalIn(t)
			seen := 0
			h.OnRequest(func(q tfesim.Request) {
				if !strings.Contains(q.Endpoint, "/_archivist") {
					return
				}
				if seen++; seen == 8+4 { // all are planned, and some are moved
					if _, err := h.Seed(org, "ws-0000", state(1, 9)); err != nil {
						t.Error(err)
					}
				}
			})
			args := []string{"migrate", "tfe://" + org, "--target", dir + "/", "--journal", journal, "--yes", "--parallelism", "1"}
			if locked {
				// The change comes after the lock was released, so it does not affect the move.
				h.tfhaul(t, append(args, "--lock-source")...).says(t, 0, "8 moved")
				return
			}
			r := h.tfhaul(t, args...)
			for _, text := range []string{"source-changed", "The state (serial 3) arrived, but", "7 moved", "1 refused"} {
				r.says(t, 3, text)
			}
			h.tfhaul(t, "report", journal).says(t, 0, "source-changed")
			h.tfhaul(t, "verify", journal).says(t, 3, "source-changed")
		})
	}
}

func TestFrozenWorkspaceNamesItsNewHome(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, h *host) {
		want := state(1, 41)
		h.seed(t, "network", want)
		file := filepath.Join(t.TempDir(), "network.tfstate")
		frozen := h.tfhaul(t, "move", "tfe://"+org+"/network", file, "--freeze-source")
		frozen.says(t, 0, "To unlock it: tfhaul unlock ")
		mustHoldFile(t, file, want)
		if holder, ok := h.LockHolder(org, "network"); !ok || !strings.Contains(holder.Reason, file) {
			t.Errorf("the lock %+v does not name %s", holder, file)
		}
		h.tfhaul(t, "move", "tfe://"+org+"/network", "other/net", "--create").says(t, 3, "froze the source")
		h.tfhaul(t, "audit", "tfe://"+org).says(t, 0, "moved this state to")

		h.tfhaul(t, "unlock", org+"/network", "--haul", "20260102-150405-0123456789ab").says(t, 3, "tfhaul unlock ")
		_, command, _ := strings.Cut(frozen.stdout, "To unlock it: tfhaul ")
		command, _, _ = strings.Cut(command, "\n")
		h.tfhaul(t, strings.Fields(command)...).says(t, 0, "unlocked")
		if holder, ok := h.LockHolder(org, "network"); ok {
			t.Errorf("the printed command left the lock %+v", holder)
		}
		h.tfhaul(t, "move", "tfe://"+org+"/network", "other/net", "--create").says(t, 0, "moved")
	})
}

func TestWorkspacesInUseAreNotMoved(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, h *host) {
		h.seed(t, "locked", state(1, 1))
		h.seed(t, "running", state(2, 1))
		if err := h.Lock(org, "locked", tfesim.SecondUser, "maintenance"); err != nil {
			t.Fatal(err)
		}
		run, err := h.LockByRun(org, "running")
		if err != nil {
			t.Fatal(err)
		}
		for name, reason := range map[string]string{"locked": "locked by user", "running": run} {
			file := filepath.Join(t.TempDir(), "a.tfstate")
			r := h.tfhaul(t, "move", "tfe://"+org+"/"+name, file, "--json")
			r.says(t, 3, reason)
			if code := r.document(t)["code"]; code != "source-locked" {
				t.Errorf("%s: code %v, want source-locked", name, code)
			}
			if _, err := os.Stat(file); err == nil {
				t.Errorf("%s was moved", name)
			}
		}
	})
}

// A token that is not stored for a host is a secret of one host, and is sent to neither.
func TestTokensStayOnTheirHosts(t *testing.T) {
	t.Parallel()
	from, to := start(t, tfesim.Options{}), start(t, tfesim.Options{Personality: tfesim.HCP})
	want := state(1, 4)
	from.seed(t, "network", want)
	to.addWorkspace(t, "network")
	address := func(h *host) string { return strings.TrimPrefix(h.running.URL(), "https://") }
	var both []byte
	for _, h := range []*host{from, to} {
		authority, err := os.ReadFile(h.caFile(t))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, authority...)
	}
	authorities := write(t, "both.pem", both)
	home := "HOME=" + t.TempDir()
	one, other := "tfe://"+address(from)+"/"+org, "tfe://"+address(to)+"/"+org
	journal, places := journalIn(t), t.TempDir()
	args := []string{"move", one + "/network", address(to) + "/" + org + "/network", "--ca-file", authorities, "--journal", journal}
	refused := func(args ...string) {
		t.Helper()
		from.ResetRequests()
		to.ResetRequests()
		r := from.tfhaulIn(t, t.Context(), []string{home, "TFE_TOKEN=" + from.Token(tfesim.Owner)}, nil, append(args, "--ca-file", authorities)...)
		if code := r.code; code == 0 || !strings.Contains(r.stdout+r.stderr, "on different hosts") {
			t.Errorf("%q: exit code %d\n%s%s", args, code, r.stdout, r.stderr)
		}
		if n := from.apiCalls() + to.apiCalls(); n != 0 {
			t.Errorf("%q: %d requests with a token that may belong to the other host", args, n)
		}
	}
	refused(args[:3]...)
	refused("plan", one, other, "--target", places+"/")
	refused("audit", one, other)
	refused("plan", "--map", write(t, "map.csv", []byte(one+"/network,a\n"+other+"/network,b\n")), "--target", places+"/")
	manifest := fmt.Sprintf("target {\n  address = %q\n}\nmove %q {\n  key = \"a\"\n}\nmove %q {\n  key = \"b\"\n}\n", places+"/", one+"/network", other+"/network")
	refused("migrate", write(t, "haul.hcl", []byte(manifest)), "--dry-run")
	config := write(t, "terraform.tfrc", fmt.Appendf(nil, "credentials %q {\n  token = %q\n}\ncredentials %q {\n  token = %q\n}\n",
		address(from), from.Token(tfesim.Owner), address(to), to.Token(tfesim.Owner)))
	r := from.tfhaulIn(t, t.Context(), []string{home, "TF_CLI_CONFIG_FILE=" + config, "TFE_TOKEN=wrong"}, nil, args...)
	r.says(t, 0, "moved")
	to.mustHoldElsewhere(t, org, "network", want)
	refused("verify", journal)
}

func TestMissingWorkspacesAndOrganizationsAreUsageErrors(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := t.TempDir()
	for _, source := range []string{"tfe://" + org + "/missing", "tfe://missing"} {
		for _, args := range [][]string{
			{"audit", source}, {"plan", source, "--target", dir}, {"migrate", source, "--target", dir, "--yes"}, {"backup", source, dir},
		} {
			h.tfhaul(t, args...).says(t, 4, "does not exist, or this token cannot see it")
		}
	}
	h.tfhaul(t, "plan", write(t, "a.tfstate", state(1, 1)), "--target", org, "--out", "-").says(t, 4, "name a file")
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("usage errors left %v, %v", files, err)
	}
}

// If the last listing fails, each workspace is asked.
func TestTheLastListingFails(t *testing.T) {
	t.Parallel()
	const list = "GET /organizations/:organization/workspaces"
	for _, c := range []struct {
		name  string
		fault tfesim.Fault
		calls int // to read single workspaces
	}{
		{"refused", tfesim.AnswerError(404, "not found", ""), 12},
		{"lost once", tfesim.Fault{Kind: tfesim.FaultReset}, 0},
		{"lost", tfesim.Fault{Kind: tfesim.FaultReset, Times: -1}, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			h.seedMany(t, 12)
			c.fault.Endpoint, c.fault.Nth = list, 2
			h.Inject(c.fault)
			h.ResetRequests()
			r := h.tfhaul(t, "migrate", "tfe://"+org, "--target", t.TempDir()+"/", "--journal", journalIn(t), "--yes")
			r.says(t, 0, "12 moved")
			if strings.Contains(r.stdout, "Cannot check") {
				t.Errorf("the sources were not checked:\n%s", r.stdout)
			}
			single := 0
			for _, q := range h.Requests() {
				if strings.HasPrefix(q.Endpoint, list+"/") {
					single++
				}
			}
			if single != c.calls {
				t.Errorf("%d workspaces were read one by one, want %d", single, c.calls)
			}
		})
	}
}

// The journal of a haul that was killed before it checked its sources says so, until the haul
// was continued.
func TestAJournalWithoutTheLastCheck(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seedMany(t, 4)
	dir := t.TempDir()
	journal := journalIn(t)
	args := []string{"migrate", "tfe://" + org, "--target", dir + "/", "--journal", journal, "--yes"}
	h.tfhaul(t, args...).says(t, 0, "4 moved")
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	last := len(lines) - 2 // the text ends in a newline
	if !bytes.Contains(lines[last], []byte(`"event":"sources-checked"`)) {
		t.Fatalf("the last event is %s", lines[last])
	}
	if err := os.WriteFile(journal, bytes.Join(lines[:last], nil), 0o600); err != nil {
		t.Fatal(err)
	}
	page, junit := filepath.Join(t.TempDir(), "haul.html"), filepath.Join(t.TempDir(), "haul.xml")
	h.tfhaul(t, "report", journal).says(t, 0, "sources not checked: 4")
	h.tfhaul(t, "report", journal, "--json").says(t, 0, `"sources_unchecked": 4`)
	h.tfhaul(t, "report", journal, "--html", page, "--junit", junit).says(t, 0, page)
	for file, want := range map[string]string{page: "before it checked the sources of 4 moves", junit: "sources not checked: 4 moves"} {
		if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s does not say %q: %v", file, want, err)
		}
	}
	h.tfhaul(t, "verify", journal).says(t, 0, "sources not checked: 4")

	h.tfhaul(t, args...).says(t, 0, "4 moved")
	if r := h.tfhaul(t, "report", journal); r.code != 0 || strings.Contains(r.stdout, "not checked") {
		t.Errorf("after the haul was continued: exit %d\n%s", r.code, r.stdout)
	}
}

// Some clients announce another serial than that of the state they send. The bytes count.
func TestOtherAnnouncedSerialIsReported(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	raw := state(1, 4)
	h.addWorkspace(t, "network")
	if _, err := h.SeedVersion(org, "network", raw, 9, ""); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "network.tfstate")
	h.tfhaul(t, "move", "tfe://"+org+"/network", file).says(t, 0, "announces serial 9 for this state, but the state itself has serial 4")
	mustHoldFile(t, file, raw)
}
