package tfesim_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

func md5OfReader(t *testing.T, r io.Reader) string {
	t.Helper()
	h := md5.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// All data survives a restart, including tokens and signed URLs.
func TestDataSurvivesARestart(t *testing.T) {
	folder := t.TempDir()
	open := func() *sim { return start(t, tfesim.Options{Data: folder, Organizations: []string{"demo", "acme"}}) }
	s := open()
	c, ctx := s.As(t, tfesim.Owner), t.Context()
	w, err := c.Workspaces.Create(ctx, "acme", tfe.WorkspaceCreateOptions{Name: tfe.String("net"), Description: tfe.String("d"), Tags: []*tfe.Tag{{Name: "app"}}})
	if err != nil {
		t.Fatal(err)
	}
	for serial := int64(1); serial <= 3; serial++ {
		if _, err := s.Seed("acme", "net", state(serial, lineage)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Workspaces.Lock(ctx, w.ID, tfe.WorkspaceLockOptions{Reason: tfe.String("moving")}); err != nil {
		t.Fatal(err)
	}
	raw := state(4, lineage)
	pending, err := c.StateVersions.Create(ctx, w.ID, createOptions(4, raw))
	if err != nil {
		t.Fatal(err)
	}
	token, versions := s.Token(tfesim.Owner), s.Versions("acme", "net")
	if err := s.Running.Close(); err != nil {
		t.Fatal(err)
	}

	s = open()
	if s.Token(tfesim.Owner) != token {
		t.Error("the owner has another token")
	}
	if got := s.Versions("acme", "net"); fmt.Sprint(got) != fmt.Sprint(versions) {
		t.Errorf("the versions have changed: %d, %d", len(got), len(versions))
	}
	if h, ok := s.LockHolder("acme", "net"); !ok || h.Identity != tfesim.Owner || h.Reason != "moving" {
		t.Error("the lock is gone")
	}
	if got, _, ok := s.Current("acme", "net"); !ok || !bytes.Equal(got, state(3, lineage)) {
		t.Error("the current state is gone")
	}
	_, address, _ := strings.Cut(pending.UploadURL, "/_archivist/")
	if status, _, _ := s.Send(t, "", "PUT", s.Running.URL()+"/_archivist/"+address, string(raw)); status != 200 {
		t.Errorf("the upload announced before the restart: %d", status)
	}
	again, err := s.As(t, tfesim.Owner).Workspaces.Read(t.Context(), "acme", "net")
	if err != nil {
		t.Fatal(err)
	}
	if again.ID != w.ID || again.Description != "d" || len(again.TagNames) != 1 {
		t.Error("the workspace has changed")
	}
	if err := s.DeleteWorkspace("acme", "net"); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(folder, "blobs"))
	if err != nil || len(files) != 0 {
		t.Errorf("%d files are left after the deletion, %v", len(files), err)
	}
}

func TestDataFolderIsForOneServer(t *testing.T) {
	folder := t.TempDir()
	s := newServer(t, tfesim.Options{Data: folder})
	defer s.Close()
	if _, err := tfesim.New(tfesim.Options{Data: folder}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second server on the folder: %v", err)
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	folder := t.TempDir()
	s := newServer(t, tfesim.Options{Data: folder})
	if _, err := s.Seed("demo", "net", state(1, lineage)); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err := filepath.Walk(folder, func(name string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %o", filepath.Base(name), info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// serveUntilKilled is the process that TestKilledServerLosesNothingAcknowledged kills.
func serveUntilKilled(folder string) {
	s, err := tfesim.New(tfesim.Options{Data: folder})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r, err := s.Start("")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s %s %s\n", r.URL(), s.Token(tfesim.Owner), base64.StdEncoding.EncodeToString(r.CAPEM()))
	select {}
}

// A server killed while writing still has, after a restart, every state version that it
// acknowledged, with its bytes.
func TestKilledServerLosesNothingAcknowledged(t *testing.T) {
	folder := t.TempDir()
	serial := int64(0)
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "TFESIM_TEST_SERVE="+folder)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(line)
		serial = createUntil(t, fields, serial, serial+20, func() {
			// Kill immediately: the next create is running.
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		})
		if err := cmd.Wait(); err == nil {
			t.Error("the server was not killed")
		}

		s := newServer(t, tfesim.Options{Data: folder})
		versions := s.Versions("demo", "net")
		if int64(len(versions)) < serial {
			t.Fatalf("round %d: %d versions were acknowledged, %d exist", round, serial, len(versions))
		}
		raw, got, ok := s.Current("demo", "net")
		if !ok || got < serial || !bytes.Equal(raw, state(got, lineage)) {
			t.Errorf("round %d: the current state is not that of serial %d or later", round, serial)
		}
		for _, v := range versions {
			if v.Status != "finalized" || v.MD5 != md5Of(state(v.Serial, lineage)) {
				t.Errorf("round %d: the version of serial %d is %s", round, v.Serial, v.Status)
			}
		}
		serial = int64(len(versions))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// createUntil creates versions one after another, kills the server while the last one is
// running, and returns the last acknowledged serial.
func createUntil(t *testing.T, server []string, from, to int64, kill func()) int64 {
	t.Helper()
	ca, err := base64.StdEncoding.DecodeString(server[2])
	if err != nil {
		t.Fatal(err)
	}
	client := clientTrusting(ca)
	defer client.CloseIdleConnections()
	send := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, server[0]+"/api/v2"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+server[1])
		resp, err := client.Do(req)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return 0, ""
		}
		return resp.StatusCode, string(b)
	}
	send("POST", "/organizations/demo/workspaces", `{"data":{"type":"workspaces","attributes":{"name":"net"}}}`)
	_, body := send("GET", "/organizations/demo/workspaces/net", "")
	_, after, _ := strings.Cut(body, `"id":"ws-`)
	id, _, _ := strings.Cut(after, `"`)
	path := "/workspaces/ws-" + id
	send("POST", path+"/actions/lock", "")
	acknowledged := from
	for serial := from + 1; ; serial++ {
		if serial == to {
			go kill()
		}
		raw := state(serial, lineage)
		if status, _ := send("POST", path+"/state-versions", versionDocument(serial, md5Of(raw), lineage, raw, "")); status != 201 {
			if serial < to {
				t.Fatalf("serial %d: answered %d", serial, status)
			}
			return acknowledged
		}
		acknowledged = serial
	}
}
