package s3_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tfhaul/backend"
)

// lockTable is a DynamoDB table as Terraform's s3 backend expects it, on a server of its
// own.
type lockTable struct {
	t        *testing.T
	name     string
	endpoint string
	client   *dynamodb.Client
}

// newLockTable starts dynalite and directs this process's SDK to it for DynamoDB.
func newLockTable(t *testing.T) *lockTable {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("NOT TESTED with DynamoDB: there is no node on PATH")
	}
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(node, filepath.Join(installDynalite(t), "node_modules", "dynalite", "cli.js"), "--host", host, "--port", port, "--createTableMs", "0")
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // it is empty
		_ = server.Wait()         // its exit code means nothing
	})
	table := &lockTable{t: t, name: "terraform-locks", endpoint: "http://" + address}
	table.client = dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &table.endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(ownerKey, ownerSecret, ""),
	})
	if err := waitUntilListening(address); err != nil {
		t.Fatalf("dynalite did not start: %v\n%s", err, said.String())
	}
	table.create()
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", table.endpoint)
	return table
}

func (l *lockTable) create() {
	l.t.Helper()
	_, err := l.client.CreateTable(l.t.Context(), &dynamodb.CreateTableInput{
		TableName: &l.name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("LockID"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("LockID"), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	wait := dynamodb.NewTableExistsWaiter(l.client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = 10 * time.Millisecond })
	if err := wait.Wait(l.t.Context(), &dynamodb.DescribeTableInput{TableName: &l.name}, 30*time.Second); err != nil {
		l.t.Fatal(err)
	}
}

// put writes an item with two strings.
func (l *lockTable) put(id, attribute, value string) {
	l.t.Helper()
	_, err := l.client.PutItem(l.t.Context(), &dynamodb.PutItemInput{TableName: &l.name, Item: map[string]types.AttributeValue{
		"LockID": &types.AttributeValueMemberS{Value: id}, attribute: &types.AttributeValueMemberS{Value: value},
	}})
	if err != nil {
		l.t.Fatal(err)
	}
}

// holds reports whether an item exists.
func (l *lockTable) holds(id string) bool {
	l.t.Helper()
	out, err := l.client.GetItem(l.t.Context(), &dynamodb.GetItemInput{TableName: &l.name, Key: map[string]types.AttributeValue{
		"LockID": &types.AttributeValueMemberS{Value: id},
	}})
	if err != nil {
		l.t.Fatal(err)
	}
	return len(out.Item) > 0
}

// installDynalite installs the versions pinned in dynalite/package-lock.json, once, into
// the user's cache, and returns the directory.
func installDynalite(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("NOT TESTED with DynamoDB: there is no npm on PATH")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "tfhaul-e2e", "dynalite-4.0.0")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err == nil { // written last by npm
		return dir
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("dynalite", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED with DynamoDB: dynalite cannot be installed: %v\n%s", err, out)
	}
	return dir
}

// waitUntilListening dials until a connection succeeds.
func waitUntilListening(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func TestLocksAndDigestsInDynamoDB(t *testing.T) {
	table := newLockTable(t)
	b := gateway.bucket(t)
	b.put("net/a.tfstate", []byte("{}"))
	b.put("net/b.tfstate", []byte("{}"))
	id := b.name + "/net/a.tfstate"
	o := findOne(t, b.ref("net/a.tfstate", "lock-table", table.name))
	none := func(what string) {
		t.Helper()
		if lock, err := o.Holder(t.Context()); lock != nil || err != nil {
			t.Errorf("%s: Lock = %+v, %v; want none", what, lock, err)
		}
	}
	none("an empty table")
	if digest, err := o.(backend.Digested).Digest(t.Context()); digest != "" || err != nil {
		t.Errorf("Digest = %q, %v; want none", digest, err)
	}

	t.Run("a digest is read, and a broken one is an error", func(t *testing.T) {
		const md5 = "99914b932bd37a50b983c5e7c90ae93b"
		table.put(id+"-md5", "Digest", md5)
		if digest, err := o.(backend.Digested).Digest(t.Context()); digest != md5 || err != nil {
			t.Errorf("Digest = %q, %v; want %s", digest, err, md5)
		}
		none("a digest is not a lock")
		table.put(id+"-md5", "Digest", "nonsense")
		if digest, err := o.(backend.Digested).Digest(t.Context()); err == nil {
			t.Errorf("Digest = %q; want an error", digest)
		}
	})
	t.Run("a lock is seen, also in a search", func(t *testing.T) {
		table.put(id, "Info", `{"ID":"77","Who":"ann@laptop","Operation":"OperationTypePlan","Created":"2025-03-04T05:06:07Z"}`)
		lock, err := o.Holder(t.Context())
		if err != nil || lock == nil || lock.ID != "77" || lock.Who != "ann@laptop" || lock.Path != "dynamodb://"+table.name+"/"+id {
			t.Errorf("Lock = %+v, %v", lock, err)
		}
		listing, err := kinds().Find(t.Context(), b.ref("", "lock-table", table.name), backend.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for i, locked := range []bool{true, false} {
			if lock, err := listing.States[i].Holder(t.Context()); err != nil || (lock != nil) != locked {
				t.Errorf("%s: Lock = %+v, %v", listing.States[i].Address(), lock, err)
			}
		}
	})
	t.Run("a lock in the table prevents taking either lock", func(t *testing.T) {
		_, err := o.(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{})
		var held *backend.LockedError
		if !errors.As(err, &held) || held.Lock.ID != "77" {
			t.Errorf("TakeLock: %v, want a *LockedError with 77", err)
		}
		if b.get("net/a.tfstate.tflock") != nil {
			t.Error("the lock object was left")
		}
		if !table.holds(id) {
			t.Error("another's lock was removed")
		}
	})
	t.Run("our lock is in both places and is removed from both", func(t *testing.T) {
		b := findOne(t, b.ref("net/b.tfstate", "lock-table", table.name))
		lease := takeLock(t, b)
		if !table.holds(id[:len(id)-len("a.tfstate")] + "b.tfstate") {
			t.Error("there is no lock in the table")
		}
		if how := lease.Leave(); !strings.Contains(how, "aws dynamodb delete-item --table-name "+table.name) || !strings.Contains(how, "aws s3 rm") {
			t.Errorf("the sentence does not say how to remove both: %s", how)
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if lock, err := b.Holder(t.Context()); lock != nil || err != nil {
			t.Errorf("Lock = %+v, %v; want none", lock, err)
		}
	})
	t.Run("a missing table", func(t *testing.T) {
		_, err := findOne(t, b.ref("net/a.tfstate", "lock-table", "no-such-table")).Holder(t.Context())
		wantS3Error(t, err, backend.Failed)
		if err != nil && !strings.Contains(err.Error(), "the table does not exist") {
			t.Errorf("error %v", err)
		}
	})
}

func TestTerraformWithATable(t *testing.T) {
	table := newLockTable(t)
	b := gateway.bucket(t)
	c := newConfiguration(t, b, "network/terraform.tfstate", "",
		`dynamodb_table = "`+table.name+`"`, `dynamodb_endpoint = "`+table.endpoint+`"`)
	if out, err := c.apply("first"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := findOne(t, b.ref("network/terraform.tfstate", "lock-table", table.name))
	_, pin := readAll(t, o)
	if digest, err := o.(backend.Digested).Digest(t.Context()); err != nil || digest != pin.MD5 {
		t.Errorf("Digest = %q, %v; terraform wrote %s", digest, err, pin.MD5)
	}

	lease := takeLock(t, o)
	out, err := c.apply("second")
	if err == nil || !strings.Contains(out, "Error acquiring the state lock") || !strings.Contains(out, lease.Lock().ID) {
		t.Errorf("terraform is not stopped by our lock (%v):\n%s", err, out)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := c.apply("third"); err != nil {
		t.Errorf("terraform cannot apply after the release: %v\n%s", err, out)
	}

	// A state written without the backend: Terraform refuses it, because the digest does
	// not match.
	b.put("network/terraform.tfstate", append(b.get("network/terraform.tfstate"), '\n'))
	_, pin = readAll(t, o)
	if digest, err := o.(backend.Digested).Digest(t.Context()); err != nil || digest == pin.MD5 {
		t.Errorf("Digest = %q, %v; it should be stale", digest, err)
	}
}
