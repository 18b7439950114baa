package tfesim_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// announce creates a version without its bytes in a locked workspace.
func (s *sim) announce(t *testing.T, raw []byte) *tfe.StateVersion {
	t.Helper()
	id, err := s.AddWorkspace("demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Lock("demo", "net", tfesim.Owner, ""); err != nil {
		t.Fatal(err)
	}
	v, err := s.As(t, tfesim.Owner).StateVersions.Create(t.Context(), id, createOptions(1, raw))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestUploadURLWorksOnce(t *testing.T) {
	s := start(t, tfesim.Options{})
	raw := state(1, lineage)
	v := s.announce(t, raw)
	if v.Status != tfe.StateVersionPending || v.DownloadURL != "" || v.UploadURL == "" || v.JSONUploadURL == "" {
		t.Fatalf("announced as %q", v.Status)
	}
	if _, _, ok := s.Current("demo", "net"); ok {
		t.Error("a version without bytes is current")
	}
	if status, _, _ := s.Send(t, "", "PUT", v.UploadURL, string(raw)); status != 200 {
		t.Fatalf("the upload: %d", status)
	}
	if status, _, _ := s.Send(t, "", "PUT", v.UploadURL, string(raw)); status != 403 {
		t.Errorf("the second upload: %d", status)
	}
	if got, _, ok := s.Current("demo", "net"); !ok || !bytes.Equal(got, raw) {
		t.Error("the bytes are missing")
	}
	v, err := s.As(t, tfesim.Owner).StateVersions.Read(t.Context(), v.ID)
	if err != nil {
		t.Fatal(err)
	}
	if v.UploadURL != "" || v.DownloadURL == "" || v.Size != int64(len(raw)) || v.Status != tfe.StateVersionFinalized {
		t.Errorf("after the upload it is %q, %d bytes", v.Status, v.Size)
	}
}

func TestUploadThatFailsCanBeRepeated(t *testing.T) {
	s := start(t, tfesim.Options{})
	raw := state(1, lineage)
	v := s.announce(t, raw)
	status, _, body := s.Send(t, "", "PUT", v.UploadURL, string(raw)+" ")
	if status != 400 || errorsOf(t, body).Errors[0].Detail != "The MD5 parameter passed does not match the MD5 of the provided state" {
		t.Errorf("bytes with another MD5: %d", status)
	}
	// A body that ends early.
	r := httptest.NewRequest("PUT", v.UploadURL, io.MultiReader(bytes.NewReader(raw[:10]), &failing{}))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("an incomplete body: %d", w.Code)
	}
	if _, _, ok := s.Current("demo", "net"); ok {
		t.Error("an incomplete upload is current")
	}
	if status, _, _ := s.Send(t, "", "PUT", v.UploadURL, string(raw)); status != 200 {
		t.Errorf("the repeated upload: %d", status)
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestBlobAddressesCannotBeMade(t *testing.T) {
	s := start(t, tfesim.Options{})
	raw := state(1, lineage)
	v := s.announce(t, raw)
	forged := []byte(v.UploadURL)
	forged[len(forged)-30] ^= 1
	for name, address := range map[string]string{
		"altered":    string(forged),
		"empty":      s.Running.URL() + "/_archivist/v1/object/",
		"short":      s.Running.URL() + "/_archivist/v1/object/AAAA",
		"not base64": s.Running.URL() + "/_archivist/v1/object/" + strings.Repeat("!", 80),
	} {
		if status, _, _ := s.Send(t, "", "PUT", address, string(raw)); status != 403 && status != 404 {
			t.Errorf("%s: PUT %d", name, status)
		}
		if status, _, _ := s.Send(t, tfesim.Owner, "GET", address, ""); status != 403 && status != 404 {
			t.Errorf("%s: GET %d", name, status)
		}
	}
	if status, _, _ := s.Send(t, "", "GET", v.UploadURL, ""); status != 403 {
		t.Errorf("an upload URL was readable: %d", status)
	}
}

func TestUploadAddressIsOnlyForWriters(t *testing.T) {
	s := start(t, tfesim.Options{})
	v := s.announce(t, state(1, lineage))
	seen, err := s.As(t, tfesim.ReadOnly).StateVersions.Read(t.Context(), v.ID)
	if err != nil {
		t.Fatal(err)
	}
	if seen.UploadURL != "" {
		t.Error("a reader gets the upload URL")
	}
}

func TestDownloadFromALaxServerNeedsTheToken(t *testing.T) {
	s := start(t, tfesim.Options{Personality: tfesim.Lax})
	raw := state(1, lineage)
	id, err := s.Seed("demo", "net", raw)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.As(t, tfesim.Owner).StateVersions.Read(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(v.DownloadURL, "/api/v2/") {
		t.Fatal("the URL is not relative")
	}
	for identity, want := range map[tfesim.Identity]int{"": 401, tfesim.Expired: 401, tfesim.Outsider: 404, tfesim.ReadOnly: 200} {
		status, _, body := s.Send(t, identity, "GET", s.Running.URL()+v.DownloadURL, "")
		if status != want || (status == 200) != (body == string(raw)) {
			t.Errorf("%q: %d, want %d", identity, status, want)
		}
	}
}

func TestJSONStateIsKeptBesideTheState(t *testing.T) {
	s := start(t, tfesim.Options{})
	id, err := s.AddWorkspace("demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Lock("demo", "net", tfesim.Owner, ""); err != nil {
		t.Fatal(err)
	}
	c, ctx := s.As(t, tfesim.Owner), t.Context()
	raw, shown := state(1, lineage), []byte(`{"format_version":"1.0"}`)
	v, err := c.StateVersions.Upload(ctx, id, tfe.StateVersionUploadOptions{StateVersionCreateOptions: createOptions(1, raw), RawState: raw, RawJSONState: shown})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.StateVersions.Download(ctx, v.JSONDownloadURL)
	if err != nil || !bytes.Equal(got, shown) {
		t.Errorf("the JSON state came back as %d bytes, %v", len(got), err)
	}
}
