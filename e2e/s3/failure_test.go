package s3_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/backend"
)

func wantS3Error(t *testing.T, err error, code backend.Code) {
	t.Helper()
	var e *backend.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error %v\nwant an *S3Error with the code %s", err, code)
	}
}

// everyWay tries all operations on one object, and a search, and returns the errors.
func everyWay(t *testing.T, ref func(key string) string) map[string]error {
	t.Helper()
	errs := map[string]error{}
	_, errs["search"] = kinds().Find(t.Context(), ref(""), backend.Filter{})
	o := findOne(t, ref("a.tfstate"))
	in, pin, err := o.Open(t.Context(), nil)
	if err == nil {
		_ = in.Close() // only read
	}
	errs["Open"] = err
	if pin.ID == "" { // not read, and any version will do
		pin.ID = "size=2"
	}
	errs["Check"] = o.Check(t.Context(), pin)
	_, errs["Lock"] = o.Holder(t.Context())
	lease, err := o.(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{})
	if err == nil {
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
	errs["TakeLock"] = err
	return errs
}

func TestFailuresAreSentences(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", []byte("{}"))
	refused, err := freeAddress() // nothing listens there
	if err != nil {
		t.Fatal(err)
	}
	const wrongSecret = "hunter2-which-must-not-be-shown"
	for _, tt := range []struct {
		does  string
		env   map[string]string
		ref   func(key string) string
		code  backend.Code
		said  string
		every bool
	}{
		{
			"an access key that the server does not know", map[string]string{"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN000000000"},
			func(key string) string { return b.ref(key) }, backend.BadCredentials, "does not know this access key", true,
		},
		{
			"a wrong secret key", map[string]string{"AWS_SECRET_ACCESS_KEY": wrongSecret},
			func(key string) string { return b.ref(key) }, backend.BadCredentials, "rejects the signature", true,
		},
		{
			"no credentials", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
			func(key string) string { return b.ref(key) }, backend.NoCredentials, "no AWS credentials found", true,
		},
		{
			"a bucket that does not exist", nil,
			func(key string) string { return (&bucket{server: gateway, name: "no-such-bucket-here"}).ref(key) },
			backend.NoContainer, `the bucket "no-such-bucket-here" does not exist`, true,
		},
		{
			"nobody listening", map[string]string{"AWS_MAX_ATTEMPTS": "1"},
			func(key string) string {
				return "s3://" + b.name + "/" + key + "?path-style=true&endpoint=http://" + refused
			},
			backend.Unreachable, "connection refused", false,
		},
	} {
		t.Run(tt.does, func(t *testing.T) {
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			for way, err := range everyWay(t, tt.ref) {
				wantS3Error(t, err, tt.code)
				if err == nil {
					continue
				}
				if text := err.Error(); !strings.Contains(text, tt.said) || strings.Contains(text, "\n") || strings.Contains(text, "https response error") {
					t.Errorf("%s: not the expected sentence: %s", way, text)
				}
				if strings.Contains(err.Error(), wrongSecret) || strings.Contains(err.Error(), "Signature=") {
					t.Errorf("%s: the error reveals a secret", way)
				}
				if e := new(backend.Error); errors.As(err, &e) && e.Everywhere() != tt.every {
					t.Errorf("%s: Everywhere is %v", way, e.Everywhere())
				}
			}
		})
	}
}

func TestAnObjectThatDoesNotExist(t *testing.T) {
	b := gateway.bucket(t)
	_, _, err := findOne(t, b.ref("network")).Open(t.Context(), nil)
	wantS3Error(t, err, backend.NoState)
	if err != nil && !strings.Contains(err.Error(), `end it in "/"`) {
		t.Errorf("the error does not say how to search: %v", err)
	}
	_, err = kinds().Find(t.Context(), b.ref("network/"), backend.Filter{})
	var none *backend.NoMatchError
	if !errors.As(err, &none) {
		t.Errorf("an empty prefix: %v, want a *NoMatchError", err)
	}
}

// A user of the bucket with exactly these permissions.
func TestAMissingPermissionIsNamed(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", []byte("{}"))
	key, secret := gateway.account(t)
	t.Setenv("AWS_ACCESS_KEY_ID", key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	for _, tt := range []struct {
		does    string
		actions []string
		missing map[string]string // what is refused, and the permission in the error
	}{
		{"may only list", []string{"s3:ListBucket"}, map[string]string{"Open": "s3:GetObject", "Check": "s3:GetObject", "Lock": "s3:GetObject", "TakeLock": "s3:GetObject"}},
		{"may only read", []string{"s3:GetObject"}, map[string]string{"search": "s3:ListBucket", "TakeLock": "s3:PutObject"}},
		{"may read and write but not delete", []string{"s3:GetObject", "s3:PutObject", "s3:ListBucket"}, nil},
	} {
		t.Run(tt.does, func(t *testing.T) {
			b.allow(key, tt.actions...)
			defer b.remove("a.tfstate.tflock")
			if tt.missing == nil {
				lease, err := findOne(t, b.ref("a.tfstate")).(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{})
				if err != nil {
					t.Fatal(err)
				}
				err = lease.Release(t.Context())
				var left *backend.LockLeftError
				if !errors.As(err, &left) || !strings.Contains(err.Error(), "s3:DeleteObject") || !strings.Contains(err.Error(), "aws s3 rm") {
					t.Errorf("Release: %v\nwant a *LockLeftError that names s3:DeleteObject and the command", err)
				}
				return
			}
			for way, err := range everyWay(t, func(key string) string { return b.ref(key) }) {
				missing, refused := tt.missing[way]
				if !refused {
					if err != nil {
						t.Errorf("%s: %v", way, err)
					}
					continue
				}
				wantS3Error(t, err, backend.AccessDenied)
				if err != nil && !strings.Contains(err.Error(), missing) {
					t.Errorf("%s: %v\ndoes not name %s", way, err, missing)
				}
			}
		})
	}
}

func TestTheRegionIsTheBuckets(t *testing.T) {
	elsewhere, err := startServer(t.TempDir(), "eu-west-3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(elsewhere.stop)
	b := elsewhere.bucket(t)
	b.put("a.tfstate", []byte("{}"))
	t.Setenv("AWS_REGION", "us-east-1")
	for way, err := range everyWay(t, func(key string) string { return b.ref(key) }) {
		if err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func TestAProfileIsPreferredToTheEnvironment(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", []byte("{}"))
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, fmt.Appendf(nil, "[team]\naws_access_key_id = %s\naws_secret_access_key = %s\n", ownerKey, ownerSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000")
	if data, _ := readAll(t, findOne(t, b.ref("a.tfstate", "profile", "team"))); string(data) != "{}" {
		t.Error("other bytes were read")
	}
}

// A download cut in the middle must never pass for a shorter state.
func TestABodyThatIsCutIsAnError(t *testing.T) {
	b := gateway.bucket(t)
	const size = 1 << 20
	b.put("a.tfstate", make([]byte, size))
	proxy := startCuttingProxy(t, gateway.address, size/2)
	o := findOne(t, "s3://"+b.name+"/a.tfstate?path-style=true&endpoint=http://"+proxy)
	in, pin, err := o.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if pin.Size != size {
		t.Errorf("the announced size is %d, want %d", pin.Size, size)
	}
	n, err := io.Copy(io.Discard, in)
	if err == nil || n >= size {
		t.Fatalf("read %d bytes and %v, want an error", n, err)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("broke off after %d of %d bytes", n, size)) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("not the expected error: %v", err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

// startCuttingProxy forwards to a server and closes each connection after most bytes of a
// response.
func startCuttingProxy(t *testing.T, to string, most int64) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = client.Close() }()
				server, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer func() { _ = server.Close() }()
				wg.Go(func() { _, _ = io.Copy(server, client) }) // ends with either connection
				_, _ = io.Copy(client, io.LimitReader(server, most))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends Accept
		wg.Wait()
	})
	return l.Addr().String()
}

func TestAnEndedContextEndsARead(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", make([]byte, 8<<20))
	ctx, cancel := context.WithCancel(t.Context())
	in, _, err := findOne(t, b.ref("a.tfstate")).Open(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, in); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on: %v, want context.Canceled", err)
	}
	_ = in.Close() // it was closed
}

// account creates an account without permissions.
func (s *server) account(t *testing.T) (key, secret string) {
	t.Helper()
	key, secret = "AKIATFHAULE2EUSER000", "user-secret-of-the-e2e-tests-only"
	accounts, err := json.Marshal(map[string]any{"accessAccounts": map[string]any{
		key: map[string]any{"access": key, "secret": secret, "role": "user"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.iam, "users.json"), accounts, 0o600); err != nil {
		t.Fatal(err)
	}
	return key, secret
}

// allow gives the account exactly these permissions in the bucket.
func (b *bucket) allow(account string, actions ...string) {
	b.t.Helper()
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]any{"AWS": []string{account}}, "Action": actions,
		"Resource": resourcesOf(b.name, actions),
	}}})
	if err != nil {
		b.t.Fatal(err)
	}
	_, err = b.server.client.PutBucketPolicy(b.t.Context(), &s3.PutBucketPolicyInput{Bucket: &b.name, Policy: aws.String(string(policy))})
	if err != nil {
		b.t.Fatal(err)
	}
}

// resourcesOf returns the bucket, its objects or both, as the actions require.
func resourcesOf(name string, actions []string) []string {
	needs := map[string]bool{}
	for _, a := range actions {
		if a == "s3:ListBucket" {
			needs["arn:aws:s3:::"+name] = true
		} else {
			needs["arn:aws:s3:::"+name+"/*"] = true
		}
	}
	var list []string
	for r := range needs {
		list = append(list, r)
	}
	return list
}
