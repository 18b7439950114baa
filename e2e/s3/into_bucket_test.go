package s3_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A locking is one way to lock states in a bucket: for Terraform's backend, and for tfhaul.
type locking struct {
	bucket   *bucket
	settings []string // of the backend block
	params   []string // of the address
	table    *lockTable
}

const (
	lockFile = "use_lockfile = true"
	someKey  = "network/terraform.tfstate"
)

func lockFileOnly(t *testing.T) *locking {
	return &locking{bucket: gateway.bucket(t), settings: []string{lockFile}}
}

// versitygw refuses to create a lock file again in a versioned bucket, so there the lock is
// in a table alone.
func tableOnly(t *testing.T) *locking {
	l := &locking{bucket: gateway.versionedBucket(t), table: newLockTable(t), params: []string{"lock-file", "false"}}
	l.useTable()
	return l
}

func lockFileAndTable(t *testing.T) *locking {
	l := &locking{bucket: gateway.bucket(t), table: newLockTable(t), settings: []string{lockFile}}
	l.useTable()
	return l
}

func (l *locking) useTable() {
	l.settings = append(l.settings, `dynamodb_table = "`+l.table.name+`"`, `dynamodb_endpoint = "`+l.table.endpoint+`"`)
	l.params = append(l.params, "lock-table", l.table.name)
}

// writer returns a writer for the state at a key.
func (l *locking) writer(t *testing.T, key string, o backend.WriterOptions) backend.Writer {
	t.Helper()
	target := openTarget(t, l.bucket.ref("", l.params...))
	s, err := target.Look(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	o.Reason = "tfhaul moves this state (haul h-7)"
	return target.Writer(s, o)
}

// digest returns what the table has of the state at a key.
func (l *locking) digest(key string) string {
	l.table.t.Helper()
	out, err := l.table.client.GetItem(l.table.t.Context(), &dynamodb.GetItemInput{
		TableName: &l.table.name, ConsistentRead: aws.Bool(true),
		Key: map[string]dynamotypes.AttributeValue{"LockID": &dynamotypes.AttributeValueMemberS{Value: l.bucket.name + "/" + key + "-md5"}},
	})
	if err != nil {
		l.table.t.Fatal(err)
	}
	digest, _ := out.Item["Digest"].(*dynamotypes.AttributeValueMemberS)
	if digest == nil {
		return ""
	}
	return digest.Value
}

func md5Of(text []byte) string {
	sum := md5.Sum(text)
	return hex.EncodeToString(sum[:])
}

// wantNoChanges fails unless terraform plans no changes.
func (c *configuration) wantNoChanges(note string) {
	c.t.Helper()
	if out, err := c.run("plan", "-detailed-exitcode", "-input=false", "-var=note="+note); err != nil {
		c.t.Errorf("terraform plans changes, or cannot plan: %v\n%s", err, out)
	}
}

// States go from bucket to bucket. The real terraform plans no changes there, applies the
// next change, and finds a newer state that replaces it.
func TestTerraformUsesWhatWasMovedToABucket(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *locking{
		"locked by a file": lockFileOnly, "versioned, locked in a table": tableOnly, "locked in both": lockFileAndTable,
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t)
			old := gateway.bucket(t)
			from := newConfiguration(t, old, someKey, "", lockFile)
			apply(t, from, "first")
			from.must("workspace", "new", "prod")
			apply(t, from, "prod")

			d := newDestination(t)
			haul := func() {
				t.Helper()
				exit, stdout, stderr := d.tfhaul(t, "migrate", old.ref(""), "--target", l.bucket.ref("", l.params...), "--yes",
					"--journal", t.TempDir()+"/haul.jsonl", "--backup-dir", t.TempDir())
				if exit != 0 {
					t.Fatalf("exit %d\n%s%s", exit, stdout, stderr)
				}
			}
			haul()
			for _, key := range []string{someKey, "env:/prod/" + someKey} {
				if !bytes.Equal(l.bucket.get(key), old.get(key)) {
					t.Errorf("%s has other bytes than at the source", key)
				}
			}
			to := newConfiguration(t, l.bucket, someKey, "", l.settings...)
			to.wantNoChanges("first")
			apply(t, to, "next")
			to.must("workspace", "select", "prod")
			to.wantNoChanges("prod")
			apply(t, to, "next")

			from.must("workspace", "select", "default")
			for _, note := range []string{"second", "third"} {
				apply(t, from, note)
			}
			exit, stdout, stderr := d.tfhaul(t, "move", old.ref(someKey), l.bucket.ref(someKey, l.params...), "--backup-dir", t.TempDir())
			if exit != 0 || !strings.Contains(stdout, "moved") {
				t.Fatalf("exit %d\n%s%s", exit, stdout, stderr)
			}
			to.must("workspace", "select", "default")
			to.wantNoChanges("third")
			apply(t, to, "fourth")
			if l.bucket.get(someKey+".tflock") != nil || l.table != nil && l.table.holds(l.bucket.name+"/"+someKey) {
				t.Error("a lock was left")
			}
		})
	}
}

func apply(t *testing.T, c *configuration, note string) {
	t.Helper()
	if out, err := c.apply(note); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// A move's lock stops terraform in every place where terraform looks, and terraform's lock
// stops a move.
func TestLocksOfMovesAndOfTerraform(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *locking{"a file": lockFileOnly, "a table": tableOnly, "both": lockFileAndTable} {
		t.Run(name, func(t *testing.T) {
			l := open(t)
			c := newConfiguration(t, l.bucket, someKey, "", l.settings...)
			lease, err := lockwait.Acquire(t.Context(), l.writer(t, someKey, backend.WriterOptions{}), lockwait.Options{})
			if err != nil {
				t.Fatal(err)
			}
			out, err := c.apply("first")
			if err == nil || !strings.Contains(out, "Error acquiring the state lock") || !strings.Contains(out, "haul h-7") {
				t.Errorf("terraform is not stopped by our lock (%v):\n%s", err, out)
			}
			if err := lease.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			apply(t, c, "first")

			theirs := `{"ID":"77","Operation":"OperationTypeApply","Info":"","Who":"ann@laptop","Version":"1.11.4","Created":"2025-03-04T05:06:07Z","Path":"x"}`
			if l.table != nil {
				l.table.put(l.bucket.name+"/"+someKey, "Info", theirs)
			} else {
				l.bucket.put(someKey+".tflock", []byte(theirs))
			}
			_, err = lockwait.Acquire(t.Context(), l.writer(t, someKey, backend.WriterOptions{}), lockwait.Options{})
			if !errors.Is(err, lockwait.ErrHeld) || !strings.Contains(err.Error(), "ann@laptop (OperationTypeApply)") {
				t.Errorf("error %v", err)
			}
			// In two places: what was taken in the first is given up.
			if l.table != nil && l.bucket.get(someKey+".tflock") != nil {
				t.Error("a lock was left")
			}
		})
	}
}

// A process that ends between the write and its digest leaves the lock. Terraform is stopped
// by the lock and, without it, by the digest. The lock is released only with the right digest.
func TestADigestIsRepairedBeforeTheRelease(t *testing.T) {
	l := lockFileAndTable(t)
	c := newConfiguration(t, l.bucket, someKey, "", l.settings...)
	apply(t, c, "first")
	before := l.bucket.get(someKey)
	if _, err := lockwait.Acquire(t.Context(), l.writer(t, someKey, backend.WriterOptions{}), lockwait.Options{}); err != nil {
		t.Fatal(err)
	}
	after := bytes.Replace(before, []byte(`"serial": `), []byte(`"serial": 1`), 1)
	l.bucket.put(someKey, after) // and the process ends
	if got := l.digest(someKey); got != md5Of(before) {
		t.Fatalf("the digest is %s", got)
	}
	if out, err := c.apply("second"); err == nil || !strings.Contains(out, "Error acquiring the state lock") {
		t.Errorf("terraform is not stopped by the lock (%v)\n%s", err, out)
	}
	if out, err := c.run("plan", "-lock=false", "-input=false"); err == nil || !strings.Contains(out, "does not have the expected content") {
		t.Errorf("terraform is not stopped by the digest (%v)\n%s", err, out)
	}

	heir := l.writer(t, someKey, backend.WriterOptions{Inherited: true})
	if err := lockwait.Resume(heir, nil, lockwait.Instant{}).Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.digest(someKey); got != md5Of(after) {
		t.Errorf("the digest is %s, want %s", got, md5Of(after))
	}
	c.wantNoChanges("first")
	apply(t, c, "second")
}

// Only a bucket that keeps every version counts as a backup.
func TestWhichBucketsKeepVersions(t *testing.T) {
	for status, want := range map[types.BucketVersioningStatus]bool{
		"": false, types.BucketVersioningStatusEnabled: true, types.BucketVersioningStatusSuspended: false,
	} {
		t.Run(string(status), func(t *testing.T) {
			b := gateway.bucket(t)
			if status != "" {
				b.enableVersioning()
				b.put(someKey, []byte("1")) // has a version of its own, also after a suspension
			}
			if status == types.BucketVersioningStatusSuspended {
				_, err := b.server.client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
					Bucket: &b.name, VersioningConfiguration: &types.VersioningConfiguration{Status: status},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if status == "" {
				b.put(someKey, []byte("1"))
			}
			target := openTarget(t, b.ref(""))
			s, err := target.Look(t.Context(), someKey)
			if err != nil {
				t.Fatal(err)
			}
			v, err := target.Current(t.Context(), s)
			if err != nil || v.Kept != want {
				t.Fatalf("%+v, %v; want Kept %t", v, err, want)
			}
			if !want {
				return
			}
			b.put(someKey, []byte("2"))
			body, err := target.Read(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(body); err != nil || string(text) != "1" {
				t.Errorf("the older version reads as %q, %v", text, err)
			}
			if err := body.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A bucket that does not exist, or may not be written, is reported before anything is sent.
func TestAMissingBucketAsATarget(t *testing.T) {
	b := gateway.bucket(t)
	missing := *b
	missing.name += "-missing"
	_, err := openTarget(t, missing.ref("")).Look(context.WithoutCancel(t.Context()), someKey)
	wantS3Error(t, err, backend.NoContainer)
}

// A manifest keeps the parameters of the target's address. Without the table, the digest there
// would be stale, and Terraform would refuse the state.
func TestAManifestKeepsTheLockTable(t *testing.T) {
	l, d := tableOnly(t), newDestination(t)
	source := filepath.Join(t.TempDir(), "network.tfstate")
	text := []byte(`{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l","outputs":{"a":{"value":"b","type":"string"}},"resources":[]}`)
	if err := os.WriteFile(source, text, 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	for _, args := range [][]string{
		{"plan", source, "--target", l.bucket.ref("", l.params...), "--key-name", "network.tfstate", "--out", manifest},
		{"migrate", manifest, "--yes", "--journal", filepath.Join(t.TempDir(), "haul.jsonl")},
	} {
		if exit, stdout, stderr := d.tfhaul(t, args...); exit != 0 {
			t.Fatalf("%v: exit code %d\n%s%s", args, exit, stdout, stderr)
		}
	}
	if got, want := l.digest("network.tfstate"), md5Of(text); got != want {
		t.Errorf("the digest in the table is %q, want %q", got, want)
	}
}
