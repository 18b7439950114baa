package azurerm

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tfhaul/backend"
	"tfhaul/fixtures/blobstorage"
)

// find returns the only state that an address names.
func find(t *testing.T, address string, more ...string) *blob {
	t.Helper()
	listing, err := backend.Kinds{kind(more...)}.Find(t.Context(), address, backend.Filter{})
	if err != nil || len(listing.States) != 1 {
		t.Fatalf("%s: %+v, %v", address, listing, err)
	}
	return listing.States[0].(*blob)
}

// read reads the current version.
func read(t *testing.T, o *blob) (string, backend.Version, error) {
	t.Helper()
	in, v, err := o.Open(t.Context(), nil)
	if err != nil {
		return "", v, err
	}
	defer func() { _ = in.Close() }() // only read
	text, err := io.ReadAll(in)
	return string(text), v, err
}

// atHandler returns the state a.tfstate on a server with this handler.
func atHandler(t *testing.T, h http.HandlerFunc, more ...string) *blob {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return find(t, acme+"a.tfstate?endpoint="+server.URL, more...)
}

func TestRefusalsAreExplained(t *testing.T) {
	const expired = sasVariable + "=?sv=2021-12-02&se=2020-01-01T00%3A00Z&sig=hunter2"
	const valid = sasVariable + "=?sv=2021-12-02&se=2999-01-01&sig=hunter2"
	for _, tt := range []struct {
		status            int
		code, message     string
		credentials, want string
		is                backend.Code
	}{
		{403, "AuthenticationFailed", "Server failed to authenticate the request.", "X=", "az storage account keys list --account-name account --query '[0].value' --output tsv", backend.BadCredentials},
		{403, "AuthenticationFailed", "Request date header too old: hunter2hunter2hunter2hunter2hunter2hunter2hunter2", "X=", "check this machine's clock", backend.BadCredentials},
		{403, "AuthenticationFailed", "Signature not valid in the specified time frame", expired, "has expired: create another one with: az storage container generate-sas --account-name account --name acme --permissions rcwdl", backend.ExpiredCredentials},
		{403, "AuthenticationFailed", "Signature did not match: sig=hunter2", valid, "rejects the SAS token in ARM_SAS_TOKEN: create another one with", backend.BadCredentials},
		{403, "AuthorizationPermissionMismatch", "This request is not authorized to perform this operation using this permission.", valid, "needs the permission read (r)", backend.AccessDenied},
		{403, "KeyBasedAuthenticationNotPermitted", "Key based authentication is not permitted on this storage account.", "X=", "log in with az login, and set ARM_USE_AZUREAD=true", backend.BadCredentials},
		{403, "AuthorizationFailure", "This request is not authorized to perform this operation.", "X=", "the storage account's firewall", backend.AccessDenied},
		{403, "AccountIsDisabled", "The specified account is disabled.", "X=", "is disabled", backend.AccessDenied},
		{404, "ContainerNotFound", "The specified container does not exist.", "X=", "the container acme does not exist in the account account", backend.NoContainer},
		{404, "BlobNotFound", "The specified blob does not exist.", "X=", "the blob does not exist", backend.NoState},
		{409, "BlobArchived", "This operation is not permitted on an archived blob.", "X=", "az storage blob set-tier --account-name account --container-name acme --name a.tfstate --tier Hot", backend.Archived},
		{409, "BlobUsesCustomerSpecifiedEncryption", "The blob is encrypted with customer specified encryption.", "X=", "a key that the customer sends", backend.KeyDenied},
		{418, "Teapot", "short and stout eyJhunter2", "X=", `the server answered 418 ("short and stout [hidden]")`, backend.Failed},
	} {
		t.Run(tt.code, func(t *testing.T) {
			environment := []string{tt.credentials}
			if strings.HasPrefix(tt.credentials, sasVariable) {
				environment = append(environment, keyVariable+"=")
			}
			o := atHandler(t, func(w http.ResponseWriter, _ *http.Request) { blobstorage.Refuse(w, tt.status, tt.code, tt.message) }, environment...)
			_, _, err := o.Open(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || backend.CodeOf(err) != tt.is || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), secretKey) {
				t.Errorf("error %v (%s)\nwant  %s", err, backend.CodeOf(err), tt.want)
			}
		})
	}
}

// A server that cannot be reached does not make the SAS token appear, which is in the URL.
func TestSASTokensAreNotShown(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	k := kind(keyVariable+"=", sasVariable+"=sv=1&sig=hunter2")
	synctest.Test(t, func(t *testing.T) {
		for _, run := range []func() error{
			func() error {
				_, err := backend.Kinds{k}.Find(t.Context(), acme+"?endpoint="+server.URL, backend.Filter{})
				return err
			},
		} {
			err := run()
			if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), "hunter2") || strings.Contains(fmt.Sprint(unwrapAll(err)), "hunter2") {
				t.Errorf("error %v", unwrapAll(err))
			}
		}
	})
}

// unwrapAll returns the texts of all errors that err wraps.
func unwrapAll(err error) (texts []string) {
	for err != nil {
		texts = append(texts, err.Error())
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	return texts
}

// A read is repeated while the server is overloaded or fails, a refusal is not.
func TestReadsAreRepeated(t *testing.T) {
	for status, want := range map[int]int{429: maxAttempts, 503: maxAttempts, 408: maxAttempts, 403: 1, 404: 1} {
		asked := 0
		synctest.Test(t, func(t *testing.T) {
			o := newBlob(connect(t, roundTripper(func(r *http.Request) (*http.Response, error) {
				asked++
				return refusal(status, "Reason").Result(), nil
			})).container, "a.tfstate")
			if _, _, err := o.Open(t.Context(), nil); statusOf(err) != status {
				t.Errorf("%d: %v", status, err)
			}
		})
		if asked != want {
			t.Errorf("%d: %d attempts, want %d", status, asked, want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestARedirectToAnotherHostIsNotFollowed(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 307, 308} {
		o := atHandler(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+r.URL.Path, status) })
		if _, _, err := o.Open(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "redirects to another address, which tfhaul does not follow") || followed {
			t.Errorf("%d: %v, followed: %t", status, err, followed)
		}
	}
}

// tfhaul notices content that a server or a proxy spoils.
func TestSpoiledContentIsNoticed(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(h http.Header, text []byte) []byte
		want  string
	}{
		"cut":          {func(_ http.Header, text []byte) []byte { return text[:5] }, "broke off after 5 of 9 bytes: the connection was closed"},
		"another byte": {func(_ http.Header, text []byte) []byte { return bytes.ToUpper(text) }, "does not match the MD5"},
		"no ETag":      {func(h http.Header, text []byte) []byte { h.Del("ETag"); return text }, "does not report its ETag"},
		"no length":    {func(h http.Header, text []byte) []byte { h.Del("Content-Length"); return text }, "does not report its length"},
		"encoded":      {func(h http.Header, text []byte) []byte { h.Set("Content-Encoding", "gzip"); return text }, "does a proxy change responses?"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &blobstorage.Server{}
			s.Intercept = func(w http.ResponseWriter, _ *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
				out := answer()
				text := tt.spoil(out.Header(), out.Body.Bytes())
				for name, values := range out.Header() {
					w.Header()[name] = values
				}
				w.WriteHeader(out.Code)
				_, _ = w.Write(text)
				w.(http.Flusher).Flush()
				if len(text) < out.Body.Len() {
					panic(http.ErrAbortHandler)
				}
			}
			endpoint := start(t, s, false)
			put(s, "a.tfstate", "as it was")
			if _, _, err := read(t, find(t, acme+"a.tfstate"+endpoint)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestUnreliableListingIsAnError(t *testing.T) {
	page := func(blobs, marker string) string {
		return "<EnumerationResults><Blobs>" + blobs + "</Blobs><NextMarker>" + marker + "</NextMarker></EnumerationResults>"
	}
	const item = "<Blob><Name>a/a.tfstate</Name><Properties><Etag>0x1</Etag><Content-Length>2</Content-Length></Properties></Blob>"
	for name, tt := range map[string]struct{ page, want string }{
		"the same page forever":      {page(item, "x"), "repeats blobs"},
		"empty pages forever":        {page("", "x"), "not where they begin"},
		"a blob without a name":      {page("<Blob></Blob>", ""), "repeats blobs"},
		"a page of a proxy":          {"<html>hunter2</html>", "is the endpoint the blob service"},
		"not XML":                    {"hunter2", "is the endpoint the blob service"},
		"a length that is no number": {page(strings.Replace(item, ">2<", ">x<", 1), ""), "is the endpoint the blob service"},
		"a name that is not encoded": {page(strings.Replace(item, "<Name>a", `<Name Encoded="true">%zz`, 1), ""), "repeats blobs"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.page) }))
			defer server.Close()
			_, err := backend.Kinds{kind()}.Find(t.Context(), acme+"?endpoint="+server.URL, backend.Filter{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// A server that sends a page of 5 GB, or any number of pages, does not fill the memory.
func TestEndlessResponsesAreNotHeld(t *testing.T) {
	piece := bytes.Repeat([]byte(" "), 1<<20)
	endless := func(w http.ResponseWriter) {
		for range 5 << 10 {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	for name, answer := range map[string]func(w http.ResponseWriter, n int64){
		"a page": func(w http.ResponseWriter, _ int64) { endless(w) },
		"empty pages": func(w http.ResponseWriter, n int64) {
			fmt.Fprintf(w, "<EnumerationResults><NextMarker>%d</NextMarker></EnumerationResults>", n)
		},
		"a refusal": func(w http.ResponseWriter, _ int64) { w.WriteHeader(http.StatusForbidden); endless(w) },
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, asked.Add(1)) }))
			defer server.Close()
			_, err := backend.Kinds{kind()}.Find(t.Context(), acme+"a/?endpoint="+server.URL, backend.Filter{})
			if err == nil || len(err.Error()) > 1000 {
				t.Errorf("error %v", err)
			}
			runtime.GC()
			var after runtime.MemStats
			runtime.ReadMemStats(&after)
			if after.HeapAlloc > 32<<20 {
				t.Errorf("%d MiB are held", after.HeapAlloc>>20)
			}
		})
	}
}

func TestNamesOfAllKinds(t *testing.T) {
	s := &blobstorage.Server{PageSize: 1}
	endpoint := start(t, s, false)
	names := []string{"a\nb/x y.tfstate", "a/100%25%.tfstate", "a/?x=1#y.tfstate", "a//x.tfstate", "a/\u202e.tfstate", "a/+&=;.tfstate", "a/<&>.tfstate"}
	for _, name := range names {
		put(s, name, name)
	}
	listing, err := backend.Kinds{kind()}.Find(t.Context(), acme+endpoint, backend.Filter{})
	if err != nil || len(listing.States) != len(names) {
		t.Fatalf("%+v, %v", listing, err)
	}
	for _, found := range listing.States {
		if strings.ContainsAny(found.Address(), "\n\x00\u202e ") {
			t.Errorf("the address %q has control characters", found.Address())
		}
		if text, _, err := read(t, find(t, found.Address())); err != nil || text != found.Place().Key {
			t.Errorf("%s reads as %q, %v", found.Address(), text, err)
		}
	}
}

// A lease that terraform force-unlock cannot release is reported with the command that can.
func TestLeasesWithoutTheirDescription(t *testing.T) {
	for name, description := range map[string]string{
		"none": "", "not JSON": "<html>", "of another lease": `{"ID":"11111111-2222-3333-4444-555566667777","Who":"ann"}`, "an ID that no lease has": `{"ID":"x","Who":"ann"}`,
		"too long": strings.Repeat("x", backend.MaxLockInfo+1),
	} {
		t.Run(name, func(t *testing.T) {
			s := &blobstorage.Server{}
			endpoint := start(t, s, false)
			put(s, "a.tfstate", "{}")
			lockLikeTerraform(s, "a.tfstate", terraformLease, description)
			lock, err := find(t, acme+"a.tfstate"+endpoint).Holder(t.Context())
			if err != nil || lock == nil || lock.ID != "" || !strings.Contains(lock.Info, "without a description") {
				t.Fatalf("%+v, %v", lock, err)
			}
			if want := "az storage blob lease break --account-name account --container-name acme --blob-name a.tfstate"; !strings.HasSuffix(lock.Lift(), want) {
				t.Errorf("to remove the lock: %s", lock.Lift())
			}
		})
	}
	t.Run("a description without a lease", func(t *testing.T) {
		s := &blobstorage.Server{}
		endpoint := start(t, s, false)
		put(s, "a.tfstate", "{}")
		lockLikeTerraform(s, "a.tfstate", "", `{"ID":"`+terraformLease+`"}`)
		if lock, err := find(t, acme+"a.tfstate"+endpoint).Holder(t.Context()); lock != nil || err != nil {
			t.Errorf("%+v, %v", lock, err)
		}
	})
}

// A missing container is reported before anything is sent.
func TestAMissingContainer(t *testing.T) {
	endpoint := start(t, &blobstorage.Server{}, false)
	const missing = "azurerm://account/missing/"
	if _, err := openTarget(t, missing+endpoint).Look(t.Context(), "a.tfstate"); backend.CodeOf(err) != backend.NoContainer {
		t.Errorf("as a target: %v", err)
	}
	if _, err := (backend.Kinds{kind()}).Find(t.Context(), missing+endpoint, backend.Filter{}); backend.CodeOf(err) != backend.NoContainer {
		t.Errorf("searched: %v", err)
	}
}
