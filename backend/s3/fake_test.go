package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend"
)

// The real S3 server is in e2e/s3. These tests need responses that it never gives:
// misbehaving servers, connections that break at a chosen moment, and encryption that needs
// AWS.

// awsEnvironment isolates the SDK from this machine's configuration.
func awsEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAFAKE", "AWS_SECRET_ACCESS_KEY": "secret-of-the-fake", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "", "AWS_CA_BUNDLE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", customerKeyVariable: "",
	} {
		t.Setenv(name, value)
	}
}

// atServer returns the object at key on a server with this handler.
func atServer(t *testing.T, key string, handler http.HandlerFunc) *object {
	t.Helper()
	awsEnvironment(t)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return objectAt(t, server, key)
}

// findWith finds a state with connections of its own.
func findWith(t *testing.T, c backend.Connection, address string, f backend.Filter) (*backend.Listing, error) {
	return backend.Kinds{Kind(c)}.Find(t.Context(), address, f)
}

func objectAt(t *testing.T, server *httptest.Server, key string) *object {
	t.Helper()
	listing, err := findWith(t, backend.Connection{}, "s3://acme/"+key+"?path-style=true&endpoint="+server.URL, backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return listing.States[0].(*object)
}

// refuse answers with an S3 error document.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message>`+
		`<StringToSign>hunter2-signed</StringToSign><SignatureProvided>hunter2-signature</SignatureProvided><RequestId>1</RequestId></Error>`, code, message)
}

func TestS3RefusalsAreExplained(t *testing.T) {
	for _, tt := range []struct {
		status              int
		code, message, want string
		wantCode            backend.Code
	}{
		{400, "ExpiredToken", "The provided token has expired.", "the AWS session has expired: log in again", backend.ExpiredCredentials},
		{403, "SignatureDoesNotMatch", "The request signature we calculated does not match", "the secret key is wrong", backend.BadCredentials},
		{403, "RequestTimeTooSkewed", "The difference is too large.", "set the clock", backend.BadCredentials},
		{403, "AccessDenied", "User: arn:aws:iam::1:user/ann is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-west-1:1:key/2", "kms:Decrypt is missing", backend.KeyDenied},
		{400, "KMS.DisabledException", "arn:aws:kms:eu-west-1:1:key/2 is disabled.", `its KMS key cannot be used ("arn:aws:kms:eu-west-1:1:key/2 is disabled.")`, backend.KeyDenied},
		{400, "InvalidRequest", "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.", "set AWS_SSE_CUSTOMER_KEY to the key that Terraform uses", backend.KeyDenied},
		{403, "InvalidObjectState", "The operation is not valid for the object's storage class", "it is archived (Glacier): restore it first", backend.Archived},
		{403, "AccessDenied", "Access Denied", `the credentials need s3:GetObject for it (or it does not exist, which S3 reveals only with s3:ListBucket) ("Access Denied")`, backend.AccessDenied},
		{301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint.", "name it with ?region=NAME", backend.WrongRegion},
		{418, "Teapot", "short and stout", `the server said Teapot ("short and stout")`, backend.Failed},
	} {
		t.Run(tt.code+" "+string(tt.wantCode), func(t *testing.T) {
			o := atServer(t, "a.tfstate", func(w http.ResponseWriter, r *http.Request) { refuse(w, tt.status, tt.code, tt.message) })
			_, _, opened := o.Open(t.Context(), nil)
			checked := o.Check(t.Context(), pin{}.asVersion()) // a response to HEAD has no text
			for _, err := range []error{opened, checked} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !hasCode(err, tt.wantCode) {
					t.Errorf("error %v\nwant  %s", err, tt.want)
				}
				if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "AKIAFAKE")) {
					t.Error("the error reveals a credential")
				}
			}
		})
	}
}

func TestAProxysPageIsNotPrinted(t *testing.T) {
	o := atServer(t, "a.tfstate", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotAcceptable)
		fmt.Fprint(w, "<html>hunter2</html>")
	})
	_, _, err := o.Open(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "the server answered 406") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

func TestABucketElsewhereIsFollowed(t *testing.T) {
	var asked []string
	o := atServer(t, "a.tfstate", func(w http.ResponseWriter, r *http.Request) {
		region := strings.Split(r.Header.Get("Authorization"), "/")[2]
		asked = append(asked, r.Method+" "+region)
		if region != "eu-west-3" {
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-3")
			refuse(w, http.StatusMovedPermanently, "PermanentRedirect", "elsewhere")
			return
		}
		answer(w, "{}", `"1"`)
	})
	for range 2 {
		in, _, err := o.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = in.Close() // not read
	}
	if want := "GET us-east-1, GET eu-west-3, GET eu-west-3"; strings.Join(asked, ", ") != want {
		t.Errorf("asked %s\nwant  %s", asked, want)
	}
}

func TestARedirectToAnotherHostIsNotFollowed(t *testing.T) {
	asked := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = true
		answer(w, "{}", `"1"`)
	}))
	defer elsewhere.Close()
	for _, status := range []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusFound} {
		o := atServer(t, "a.tfstate", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", elsewhere.URL+r.URL.Path)
			refuse(w, status, "TemporaryRedirect", "go there")
		})
		if _, _, err := o.Open(t.Context(), nil); !hasCode(err, backend.WrongRegion) || asked {
			t.Errorf("%d: error %v, followed the redirect: %v", status, err, asked)
		}
	}
}

// answer sends an object.
func answer(w http.ResponseWriter, data, etag string) {
	w.Header().Set("ETag", etag)
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.Header().Set("Last-Modified", "Tue, 04 Mar 2025 05:06:07 GMT")
	_, _ = io.WriteString(w, data) // the client may have disconnected
}

func TestIgnoredConditionsAreNoticed(t *testing.T) {
	etag := `"1"`
	o := atServer(t, "a.tfstate", func(w http.ResponseWriter, r *http.Request) { answer(w, "{}", etag) })
	in, pin, err := o.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = in.Close() // not read
	etag = `"2"`
	_, _, err = o.Open(t.Context(), &pin)
	var changed *backend.ChangedError
	if !errors.As(err, &changed) {
		t.Errorf("error %v, want a *ChangedError", err)
	}
}

func TestAnObjectOfUnknownLengthIsRefused(t *testing.T) {
	o := atServer(t, "a.tfstate", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		_, _ = io.WriteString(w, "{") // the client may have disconnected
		w.(http.Flusher).Flush()      // chunked from here on
	})
	if _, _, err := o.Open(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "does not report its length") {
		t.Errorf("error %v", err)
	}
}

func TestABodyThatStallsIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		in := backend.NewIncoming(ctx, cancel, io.NopCloser(stalled{ctx}), backend.IncomingOptions{Address: "s3://acme/a", Size: 10, Stall: time.Minute})
		started := time.Now()
		_, err := io.ReadAll(in)
		if !errors.As(err, new(*backend.StallError)) || !strings.Contains(err.Error(), "broke off after 0 of 10 bytes: nothing arrived for 1m0s") {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(started); waited != time.Minute {
			t.Errorf("waited %s, want a minute", waited)
		}
	})
}

// stalled is a body that sends nothing until its request is canceled.
type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func TestUnreliableListingIsAnError(t *testing.T) {
	for _, tt := range []struct{ does, page, want string }{
		{"a truncated page without a continuation", `<IsTruncated>true</IsTruncated>`, "reports more keys, but not where they begin"},
		{"the same page forever", `<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>`, "reports more keys, but not where they begin"},
		{"malformed key encoding", `<EncodingType>url</EncodingType><Contents><Key>a%zz</Key></Contents>`, "encodes a key incorrectly"},
	} {
		t.Run(tt.does, func(t *testing.T) {
			awsEnvironment(t)
			server := httptest.NewServer(listing(tt.page))
			defer server.Close()
			_, err := findWith(t, backend.Connection{}, "s3://acme/?path-style=true&endpoint="+server.URL, backend.Filter{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func listing(page string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>%s</ListBucketResult>`, page)
	}
}

func TestKeysAreDecodedWhereTheServerEncodesThem(t *testing.T) {
	awsEnvironment(t)
	server := httptest.NewServer(listing(`<EncodingType>url</EncodingType>` +
		`<Contents><Key>a%2Bb+c%01/%E6%97%A5.tfstate</Key></Contents><Contents><Key>directory/</Key></Contents><Contents><Key>elsewhere/a.tfstate</Key></Contents>`))
	defer server.Close()
	found, err := findWith(t, backend.Connection{}, "s3://acme/a%2B?path-style=true&endpoint="+server.URL, backend.Filter{})
	if err != nil || len(found.States) != 1 || found.States[0].Place().Key != "a+" {
		t.Errorf("one key: %+v, %v", found, err)
	}
	found, err = findWith(t, backend.Connection{}, "s3://acme/?path-style=true&endpoint="+server.URL, backend.Filter{Exclude: []string{"elsewhere"}})
	if err != nil || len(found.States) != 1 || found.States[0].Place().Key != "a+b c\x01/日.tfstate" {
		t.Errorf("a search: %+v, %v", found, err)
	}
	if found != nil && !strings.Contains(found.States[0].Address(), "a+b%20c%01/日.tfstate") {
		t.Errorf("its address is %s", found.States[0].Address())
	}
}

func TestPlainHTTPIsOnlyForThisMachine(t *testing.T) {
	awsEnvironment(t)
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://s3.example.com")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	_, err := findWith(t, backend.Connection{}, "s3://acme/", backend.Filter{})
	if err == nil || !strings.Contains(err.Error(), "over plain http") {
		t.Errorf("error %v", err)
	}
}

func TestAProfileThatDoesNotExist(t *testing.T) {
	awsEnvironment(t)
	_, err := findWith(t, backend.Connection{}, "s3://acme/a.tfstate?profile=nobody", backend.Filter{})
	if !hasCode(err, backend.NoCredentials) || !strings.Contains(err.Error(), `have no profile "nobody"`) {
		t.Errorf("error %v", err)
	}
}

func TestConnectionsAreShared(t *testing.T) {
	awsEnvironment(t)
	kinds := backend.Kinds{Kind(backend.Connection{})}
	find := func(ref string) *bucket {
		t.Helper()
		listing, err := kinds.Find(t.Context(), ref, backend.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		return listing.States[0].(*object).bucket
	}
	first := find("s3://acme/a.tfstate?region=eu-west-1")
	if find("s3://acme/b.tfstate?region=eu-west-1&versionId=7") != first {
		t.Error("two objects in one bucket do not share a connection")
	}
	if find("s3://acme/a.tfstate?region=eu-west-2") == first || find("s3://other/a.tfstate?region=eu-west-1") == first {
		t.Error("different settings share a connection")
	}
}

func TestOldListingIsNotUsedForLocks(t *testing.T) {
	asked := 0
	o := atServer(t, "a.tfstate", func(w http.ResponseWriter, r *http.Request) {
		asked++
		answer(w, `{"ID":"7"}`, `"1"`)
	})
	o.listed = time.Now()
	if lock, err := o.Holder(t.Context()); lock != nil || err != nil || asked != 0 {
		t.Errorf("just listed: %+v, %v, %d requests", lock, err, asked)
	}
	o.listed = time.Now().Add(-2 * listedLockFresh)
	if lock, err := o.Holder(t.Context()); err != nil || lock == nil || lock.ID != "7" || asked != 1 {
		t.Errorf("listed long ago: %+v, %v, %d requests", lock, err, asked)
	}
}

// oneObject is a server that holds objects in memory and can be made to fail.
type oneObject struct {
	mu      sync.Mutex
	objects map[string]string
	headers map[string]http.Header // of the last PUT of each key
	fail    func(w http.ResponseWriter, r *http.Request, then func()) bool
}

func (s *oneObject) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client may have disconnected
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	do := func() { s.serve(w, r, string(body)) }
	if s.fail == nil || !s.fail(w, r, func() { s.serve(httptest.NewRecorder(), r, string(body)) }) {
		do()
	}
}

// recover ends the failures.
func (s *oneObject) recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = nil
}

// object returns what is stored at a path.
func (s *oneObject) object(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[path]
}

func (s *oneObject) serve(w http.ResponseWriter, r *http.Request, body string) {
	data, there := s.objects[r.URL.Path]
	sum := md5.Sum([]byte(data))
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	if r.URL.Query().Has("versioning") {
		_, _ = io.WriteString(w, "<VersioningConfiguration/>") // the client may have disconnected
		return
	}
	switch r.Method {
	case http.MethodPut:
		if there && r.Header.Get("If-None-Match") == "*" {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "the lock exists")
			return
		}
		if seen := r.Header.Get("If-Match"); seen != "" && (!there || seen != etag) {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "the object is another one")
			return
		}
		sum := md5.Sum([]byte(body))
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
		s.objects[r.URL.Path], s.headers[r.URL.Path] = body, r.Header.Clone()
	case http.MethodDelete:
		delete(s.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		if !there {
			refuse(w, http.StatusNotFound, "NoSuchKey", "the lock does not exist")
			return
		}
		answer(w, data, etag)
	}
}

func newOneObject() *oneObject {
	return &oneObject{objects: map[string]string{"/acme/a.tfstate": "{}"}, headers: map[string]http.Header{}}
}

// hangUp closes the connection without a response.
func hangUp(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.Close() // its only use
	}
}

const lockPath = "/acme/a.tfstate.tflock"

func TestLockWithALostResponseIsOurs(t *testing.T) {
	server, puts := newOneObject(), 0
	server.fail = func(w http.ResponseWriter, r *http.Request, then func()) bool {
		if r.Method != http.MethodPut {
			return false
		}
		if puts++; puts > 1 {
			return false
		}
		then()
		hangUp(w)
		return true
	}
	o := atServer(t, "a.tfstate", server.ServeHTTP)
	lease, err := o.TakeLock(t.Context(), backend.LockRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if puts != 2 {
		t.Errorf("%d writes, want 2: the SDK repeats the first", puts)
	}
	if err := lease.Release(t.Context()); err != nil || server.objects[lockPath] != "" {
		t.Errorf("Release: %v", err)
	}
}

func TestUncertainLockIsRemovedOrReported(t *testing.T) {
	for _, tt := range []struct {
		does   string
		reads  bool // whether the lock can be read afterwards
		effect bool // whether the write took effect
	}{
		{"written and removed", true, true},
		{"not written", true, false},
		{"written but unreadable", false, true},
	} {
		t.Run(tt.does, func(t *testing.T) {
			server, wrote := newOneObject(), false
			server.fail = func(w http.ResponseWriter, r *http.Request, then func()) bool {
				switch {
				case r.Method == http.MethodPut:
					if tt.effect {
						then()
					}
					wrote = true
					hangUp(w)
					return true
				case wrote && !tt.reads && r.URL.Path == lockPath:
					refuse(w, http.StatusForbidden, "AccessDenied", "no")
					return true
				}
				return false
			}
			o := atServer(t, "a.tfstate", server.ServeHTTP)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			o = reopened(t, o)
			_, err := o.TakeLock(t.Context(), backend.LockRequest{})
			var left *backend.LockLeftError
			if errors.As(err, &left) == tt.reads {
				t.Errorf("TakeLock: %v", err)
			}
			if _, there := server.objects[lockPath]; there == tt.reads {
				t.Errorf("the lock exists: %v", there)
			}
			if !tt.reads && (left == nil || !strings.Contains(err.Error(), "aws s3 rm s3://acme/a.tfstate.tflock --endpoint-url http://127.0.0.1:")) {
				t.Errorf("the error does not say how to remove the lock: %v", err)
			}
		})
	}
}

// reopened returns the same object, opened with the present environment.
func reopened(t *testing.T, o *object) *object {
	t.Helper()
	listing, err := findWith(t, backend.Connection{}, o.Address(), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return listing.States[0].(*object)
}

func TestInterruptedLockIsRemoved(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := newOneObject()
	server.fail = func(w http.ResponseWriter, r *http.Request, then func()) bool {
		if r.Method == http.MethodPut {
			then()
			cancel()
			hangUp(w)
			return true
		}
		return false
	}
	_, err := atServer(t, "a.tfstate", server.ServeHTTP).TakeLock(ctx, backend.LockRequest{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("TakeLock: %v, want context.Canceled", err)
	}
	if _, there := server.objects[lockPath]; there {
		t.Error("the lock still exists")
	}
}

func TestAServerWithoutConditionalDeletes(t *testing.T) {
	server := newOneObject()
	server.fail = func(w http.ResponseWriter, r *http.Request, then func()) bool {
		if r.Method == http.MethodDelete && r.Header.Get("If-Match") != "" {
			refuse(w, http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented")
			return true
		}
		return false
	}
	lease, err := atServer(t, "a.tfstate", server.ServeHTTP).TakeLock(t.Context(), backend.LockRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil || server.objects[lockPath] != "" {
		t.Errorf("Release: %v", err)
	}
}

func TestTheLockIsEncryptedLikeTheState(t *testing.T) {
	server := newOneObject()
	server.fail = func(w http.ResponseWriter, r *http.Request, then func()) bool {
		w.Header().Set("X-Amz-Server-Side-Encryption", "aws:kms")
		w.Header().Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "arn:aws:kms:eu-west-1:1:key/2")
		return false
	}
	if _, err := atServer(t, "a.tfstate", server.ServeHTTP).TakeLock(t.Context(), backend.LockRequest{}); err != nil {
		t.Fatal(err)
	}
	h := server.headers[lockPath]
	if h.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "arn:aws:kms:eu-west-1:1:key/2" {
		t.Errorf("the lock was written with %q", h)
	}
}

func TestTheCustomersKey(t *testing.T) {
	key := bytes.Repeat([]byte("k"), 32)
	encoded := base64.StdEncoding.EncodeToString(key)
	sum := md5.Sum(key)
	server := newOneObject()
	server.objects["/acme/plain.tfstate"] = "{}"
	server.fail = func(w http.ResponseWriter, r *http.Request, then func()) bool {
		h, has := r.Header, r.Header.Get("X-Amz-Server-Side-Encryption-Customer-Key") != ""
		plain := r.URL.Path == "/acme/plain.tfstate"
		if has && (h.Get("X-Amz-Server-Side-Encryption-Customer-Key") != encoded ||
			h.Get("X-Amz-Server-Side-Encryption-Customer-Key-Md5") != base64.StdEncoding.EncodeToString(sum[:]) ||
			h.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != "AES256") {
			t.Error("the three headers do not match")
		}
		if has == plain && r.Method != http.MethodDelete {
			refuse(w, http.StatusBadRequest, "InvalidRequest", "The encryption parameters are not applicable to this object.")
			return true
		}
		return false
	}
	awsEnvironment(t)
	over := httptest.NewTLSServer(server)
	defer over.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: over.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	t.Setenv(customerKeyVariable, encoded)
	for _, name := range []string{"a.tfstate", "plain.tfstate"} {
		o := objectAt(t, over, name)
		in, pin, err := o.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(in); err != nil || string(data) != "{}" {
			t.Errorf("%s: read %d bytes, %v", name, len(data), err)
		}
		_ = in.Close() // only read
		if err := o.Check(t.Context(), pin); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	lease, err := objectAt(t, over, "a.tfstate").TakeLock(t.Context(), backend.LockRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if server.headers[lockPath].Get("X-Amz-Server-Side-Encryption-Customer-Key") != encoded {
		t.Error("the lock was not written with Terraform's key")
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"hunter2", base64.StdEncoding.EncodeToString(key[1:])} {
		t.Setenv(customerKeyVariable, wrong)
		if _, err := findWith(t, backend.Connection{}, "s3://acme/a.tfstate", backend.Filter{}); err == nil || strings.Contains(err.Error(), wrong) {
			t.Errorf("a wrong key: %v", err)
		}
	}
}
