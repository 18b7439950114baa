package s3_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tfhaul/audit"
	"tfhaul/fixtures"
)

// TestAuditOfABucket creates problems that only a bucket can have, and some that a
// directory can have, too.
func TestAuditOfABucket(t *testing.T) {
	table := newLockTable(t)
	b := gateway.bucket(t)
	state := func(seed uint64, serial int64) []byte {
		return fixtures.Spec{Serial: serial, Seed: seed, Resources: 3}.Bytes()
	}
	digestOf := func(raw []byte) string {
		sum := md5.Sum(raw)
		return hex.EncodeToString(sum[:])
	}
	const lock = `{"ID":"lock-1","Who":"ann@laptop","Operation":"OperationTypeApply","Created":"2025-01-02T03:04:05Z"}`
	sound, stale, locked := state(1, 5), state(2, 5), state(3, 5)
	b.put("sound/terraform.tfstate", sound)
	table.put(b.name+"/sound/terraform.tfstate-md5", "Digest", digestOf(sound))
	b.put("stale/terraform.tfstate", stale)
	table.put(b.name+"/stale/terraform.tfstate-md5", "Digest", digestOf(state(2, 4)))
	b.put("locked/terraform.tfstate", locked)
	b.put("locked/terraform.tfstate.tflock", []byte(lock))
	b.put("table/terraform.tfstate", state(4, 5))
	table.put(b.name+"/table/terraform.tfstate", "Info", lock)
	b.put("gone/terraform.tfstate.tflock", []byte(lock))
	b.put("errored/terraform.tfstate", state(6, 5))
	b.put("errored/errored.tfstate", fixtures.Spec{Serial: 6, Seed: 60, Lineage: fixtures.Spec{Seed: 6}.LineageOf(), Resources: 3}.Bytes())
	b.put("backup/terraform.tfstate", state(7, 5))
	b.put("backup/terraform.tfstate.backup", fixtures.Spec{Serial: 9, Seed: 70, Lineage: fixtures.Spec{Seed: 7}.LineageOf(), Resources: 3}.Bytes())

	i, err := audit.Take(t.Context(), []string{b.ref("", "lock-table", table.name)}, audit.Options{Kinds: kinds()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range i.Findings {
		for k, name := range f.Sources {
			name, _, _ = strings.Cut(strings.TrimPrefix(name, "s3://"+b.name+"/"), "?")
			f.Sources[k] = name
		}
		got = append(got, fmt.Sprintf("%s %s %s", f.Severity, f.Code, strings.Join(f.Sources, " ")))
	}
	want := []string{
		"error backup-newer backup/terraform.tfstate backup/terraform.tfstate.backup",
		"error errored errored/errored.tfstate",
		"error stale-digest stale/terraform.tfstate",
		"warning orphaned-lock gone/terraform.tfstate.tflock",
		"warning stale-lock locked/terraform.tfstate",
		"warning stale-lock table/terraform.tfstate",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q\nwant  %q", got, want)
	}
	for _, s := range i.Snapshots {
		if s.Modified.IsZero() || s.MD5 == "" {
			t.Errorf("%s has no age, or no digest", s.Source)
		}
	}
}

// TestAuditEndsWithoutUsableCredentials uses credentials that cannot read anything.
func TestAuditEndsWithoutUsableCredentials(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", []byte("{}"))
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
	_, err := audit.Take(t.Context(), []string{b.ref("")}, audit.Options{Kinds: kinds()})
	if err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("got %v", err)
	}
}
