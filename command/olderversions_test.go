package command_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// seedHistory adds versions with rising serials to a workspace, and returns their MD5s.
func (h *host) seedHistory(t *testing.T, name string, seed uint64, versions int) (sums []string) {
	t.Helper()
	for i := range versions {
		h.seed(t, name, state(seed, int64(2*i+1)))
	}
	return h.sums(org, name)
}

// sums returns the MD5s of a workspace's versions, oldest first.
func (h *host) sums(organization, name string) (sums []string) {
	for _, v := range h.Versions(organization, name) {
		sums = append(sums, v.MD5)
	}
	return sums
}

func mustBeSums(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s has %d versions %v, want %d: %v", what, len(got), got, len(want), want)
	}
}

// A haul with older versions, from the plan to the rollback.
func TestHaulWithOlderVersions(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, h *host) {
		want := map[string][]string{}
		for i := range 5 {
			name := fmt.Sprintf("ws-%d", i)
			want[name] = h.seedHistory(t, name, uint64(i+1), 2+i)
		}
		dir := t.TempDir()
		manifest, journal := filepath.Join(dir, "haul.hcl"), filepath.Join(dir, "haul.jsonl")
		h.tfhaul(t, "plan", "tfe://"+org, "--target", "other", "--create", "--history", "all", "--out", manifest).
			says(t, 0, "Older versions: 15 to move first (5 states), each in a lock cycle")
		if text, err := os.ReadFile(manifest); err != nil || !strings.Contains(string(text), `history = "all"`) {
			t.Errorf("the manifest does not ask for older versions (%v):\n%s", err, text)
		}
		told := struct {
			Moves []struct {
				History struct {
					Versions int `json:"versions"`
					APICalls int `json:"api_calls"`
				} `json:"history"`
			} `json:"moves"`
		}{}
		r := h.tfhaul(t, "migrate", manifest, "--dry-run", "--json")
		if err := json.Unmarshal([]byte(r.stdout), &told); err != nil {
			t.Fatal(err)
		}
		calls := 0
		for _, m := range told.Moves {
			calls += m.History.APICalls
		}
		// With 15 older versions: four calls each, a listing of the source and one of the target
		// for each state.
		if calls != 15*4+2*5 {
			t.Errorf("the plan predicts %d calls, want 70", calls)
		}
		h.tfhaul(t, "rehearse", manifest, "--rate", "0", "--latency", "0").says(t, 0, "Older versions: 15 moved")
		h.tfhaul(t, "migrate", manifest, "--journal", journal, "--yes").says(t, 0, "Older versions: 15 moved and read back")
		for name := range want {
			mustBeSums(t, name, h.sums("other", name), want[name])
		}
		if locked := slices.Concat(h.Locked(org), h.Locked("other")); len(locked) != 0 {
			t.Errorf("locked after the haul: %v", locked)
		}
		h.tfhaul(t, "migrate", manifest, "--journal", journal, "--yes").says(t, 0, "5 moved")
		h.tfhaul(t, "verify", journal).says(t, 0, "5 identical")
		h.tfhaul(t, "report", journal).says(t, 0, "Older versions: 15 moved")
		r = h.tfhaul(t, "report", journal, "--json")
		if first := h.Versions(org, "ws-0")[0]; !strings.Contains(r.stdout, first.ID) || !strings.Contains(r.stdout, `"created_at"`) {
			t.Errorf("the report does not record what could not be recreated: %s", r.stdout)
		}
		page := filepath.Join(dir, "report.html")
		h.tfhaul(t, "report", journal, "--html", page).says(t, 0, "")
		if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "Older versions") || !strings.Contains(string(text), h.Versions(org, "ws-0")[0].ID) {
			t.Errorf("the page has no older versions (%v)", err)
		}
		h.tfhaul(t, "rollback", journal, "--delete-created", "--backup-dir", filepath.Join(dir, "backup"), "--yes").says(t, 0, "5 moved")
		if left := h.Workspaces("other"); len(left) != 0 {
			t.Errorf("the rollback left %v", left)
		}
	})
}

func TestMoveWithOlderVersions(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, h *host) {
		want := h.seedHistory(t, "network", 1, 6)
		journal := journalIn(t)
		h.tfhaul(t, "move", "tfe://"+org+"/network", "other/net", "--create", "--history", "3", "--journal", journal).
			says(t, 0, "2 older versions")
		mustBeSums(t, "other/net", h.sums("other", "net"), want[3:])
		h.tfhaul(t, "verify", journal).says(t, 0, "Older versions: 2 compared")
		record, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		other := bytes.ReplaceAll(record, []byte(want[3]), []byte(want[0]))
		if err := os.WriteFile(journal, other, 0o600); err != nil {
			t.Fatal(err)
		}
		h.tfhaul(t, "verify", journal).says(t, 3, "no longer has the bytes that were moved")
		h.tfhaul(t, "move", "tfe://"+org+"/network", "other/net", "--history", "all").says(t, 0, "Older versions were not moved")
	})
}

// Leaving for a directory, each older version gets a file of its own.
func TestOlderVersionsIntoADirectory(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, h *host) {
		dir, work := t.TempDir(), t.TempDir()
		journal := filepath.Join(work, "haul.jsonl")
		for i := range 3 {
			h.seedHistory(t, fmt.Sprintf("ws-%d", i), uint64(i+1), 4)
		}
		check := func(dir string) {
			t.Helper()
			for i := range 3 {
				name := fmt.Sprintf("ws-%d", i)
				for k, v := range h.Versions(org, name) {
					file := fmt.Sprintf("%d-%s.tfstate", v.Serial, v.ID)
					if k == 3 {
						file = "terraform.tfstate"
					}
					mustHoldFile(t, filepath.Join(dir, name, file), state(uint64(i+1), v.Serial))
				}
			}
		}
		args := []string{"migrate", "tfe://" + org, "--target", dir + "/", "--history", "all", "--journal", journal, "--yes"}
		h.tfhaul(t, "plan", "tfe://"+org, "--target", dir+"/", "--history", "all").says(t, 0, "Older versions: 9 to move first (3 states)")
		h.tfhaul(t, args...).says(t, 0, "Older versions: 9 moved and read back")
		check(dir)
		h.tfhaul(t, args...).says(t, 0, "3 moved by an earlier run")
		h.tfhaul(t, "verify", journal).says(t, 0, "Older versions: 9 compared")
		lost := filepath.Join(dir, "ws-1", "1-"+h.Versions(org, "ws-1")[0].ID+".tfstate")
		if err := os.Remove(lost); err != nil {
			t.Fatal(err)
		}
		h.tfhaul(t, "verify", journal).says(t, 3, "no longer the older version with serial 1")
		args[len(args)-2] = filepath.Join(work, "again.jsonl")
		h.tfhaul(t, args...).says(t, 0, "1 moved, 2 already there")
		check(dir)
		h.tfhaul(t, "rollback", journal, "--delete-created", "--backup-dir", filepath.Join(work, "backup"), "--yes").says(t, 0, "12 moved")
		h.tfhaul(t, "move", "tfe://"+org+"/ws-0", filepath.Join(dir, "net.tfstate"), "--history", "2", "--journal", filepath.Join(work, "one.jsonl")).says(t, 0, "1 older version")
		v := h.Versions(org, "ws-0")[2]
		mustHoldFile(t, filepath.Join(dir, "net", fmt.Sprintf("%d-%s.tfstate", v.Serial, v.ID)), state(1, v.Serial))
	})
}

func TestOlderVersionsNeedKindsThatHaveThem(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.seedHistory(t, "network", 1, 2)
	dir := tree(t, map[string][]byte{"a/terraform.tfstate": state(1, 3)})
	file := filepath.Join(dir, "a", "terraform.tfstate")
	for says, args := range map[string][]string{
		"no older versions":     {"move", file, org + "/new", "--create", "--history", "all"},
		"has no older versions": {"plan", dir, "--target", org, "--history", "2"},
		"1 or more, or all":     {"move", "tfe://" + org + "/network", "other/net", "--history", "0"},
		"--history cannot be":   {"move", "tfe://" + org + "/network", "other/net", "--history", "some"},
	} {
		h.tfhaul(t, args...).says(t, 4, says)
	}
}
