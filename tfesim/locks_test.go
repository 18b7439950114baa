package tfesim_test

import (
	"errors"
	"strings"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// Who may unlock and force-unlock whose lock.
func TestUnlockIsForTheHolder(t *testing.T) {
	type holder = tfesim.Identity
	const run holder = "run"
	for _, test := range []struct {
		holder, asker holder
		action        string
		want          int
		text          string
	}{
		{tfesim.Owner, tfesim.Owner, "unlock", 200, ""},
		{tfesim.Owner, tfesim.Owner, "lock", 409, "Unable to lock workspace. The workspace is already locked."},
		{tfesim.Owner, tfesim.Team, "lock", 409, "already locked"},
		{tfesim.Team, tfesim.Team, "unlock", 200, ""},
		{tfesim.SecondUser, tfesim.Owner, "unlock", 409, "Unable to unlock workspace. The workspace is locked by User walter and may not be unlocked except by them."},
		{tfesim.Team, tfesim.Owner, "unlock", 409, "The workspace is locked by Team "},
		{run, tfesim.Owner, "unlock", 409, "The workspace is locked by Run run-"},
		{tfesim.Owner, tfesim.ReadOnly, "unlock", 404, ""},
		{tfesim.SecondUser, tfesim.Owner, "force-unlock", 200, ""},
		{run, tfesim.Team, "force-unlock", 200, ""},
		{tfesim.Owner, tfesim.SecondUser, "force-unlock", 404, ""},
		{tfesim.Owner, tfesim.ReadOnly, "force-unlock", 404, ""},
		{tfesim.Owner, tfesim.Outsider, "force-unlock", 404, ""},
		{tfesim.Owner, tfesim.SiteAdmin, "force-unlock", 200, ""},
		{tfesim.Owner, tfesim.Expired, "unlock", 401, ""},
		{"", tfesim.Owner, "unlock", 409, "already unlocked"},
		{"", tfesim.Owner, "force-unlock", 409, "already unlocked"},
		{"", tfesim.SecondUser, "lock", 200, ""},
		{"", tfesim.ReadOnly, "lock", 404, ""},
		{"", tfesim.Organization, "lock", 200, ""},
	} {
		t.Run(string(test.asker)+" "+test.action+"s a lock of "+string(test.holder), func(t *testing.T) {
			s := start(t, tfesim.Options{})
			id, err := s.AddWorkspace("demo", "net")
			if err != nil {
				t.Fatal(err)
			}
			switch test.holder {
			case "":
			case run:
				_, err = s.LockByRun("demo", "net")
			default:
				err = s.Lock("demo", "net", test.holder, "")
			}
			if err != nil {
				t.Fatal(err)
			}
			status, _, body := s.Send(t, test.asker, "POST", "/workspaces/"+id+"/actions/"+test.action, "")
			if status != test.want {
				t.Fatalf("answered %d, want %d", status, test.want)
			}
			if test.text != "" && !strings.Contains(errorsOf(t, body).Errors[0].Detail, test.text) {
				t.Errorf("detail %q", errorsOf(t, body).Errors[0].Detail)
			}
			_, locked := s.LockHolder("demo", "net")
			freed := status == 200 && test.action != "lock"
			want := (test.holder != "" && !freed) || (status == 200 && test.action == "lock")
			if locked != want {
				t.Errorf("locked: %v", locked)
			}
		})
	}
}

func TestLockAnswersNameHolderReasonAndCurrentVersion(t *testing.T) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
		t.Run(p.String(), func(t *testing.T) {
			s := start(t, tfesim.Options{Personality: p})
			version, err := s.Seed("demo", "net", state(3, lineage))
			if err != nil {
				t.Fatal(err)
			}
			c, ctx := s.As(t, tfesim.Owner), t.Context()
			w, err := c.Workspaces.Read(ctx, "demo", "net")
			if err != nil {
				t.Fatal(err)
			}
			if w, err = c.Workspaces.Lock(ctx, w.ID, tfe.WorkspaceLockOptions{Reason: tfe.String("haul 7")}); err != nil {
				t.Fatal(err)
			}
			if p == tfesim.Lax {
				if w.LockedBy != nil || w.CurrentStateVersion != nil {
					t.Error("the lax server names the holder or the current version")
				}
				return
			}
			me, err := c.Users.ReadCurrent(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if w.LockedBy == nil || w.LockedBy.User == nil || w.LockedBy.User.ID != me.ID {
				t.Error("the holder is not the one who locked")
			}
			if w.CurrentStateVersion == nil || w.CurrentStateVersion.ID != version {
				t.Error("the current state version is not named")
			}
			if h, _ := s.LockHolder("demo", "net"); h.Reason != "haul 7" || h.Identity != tfesim.Owner {
				t.Errorf("the server has a lock of %q for %q", h.Identity, h.Reason)
			}
			w, err = c.Workspaces.ReadByIDWithOptions(ctx, w.ID, &tfe.WorkspaceReadOptions{Include: []tfe.WSIncludeOpt{tfe.WSLockedBy}})
			if err != nil {
				t.Fatal(err)
			}
			if w.LockedBy.User.Username != "olivia" {
				t.Errorf("include=locked_by names %q", w.LockedBy.User.Username)
			}
		})
	}
}

// The reason may be sent as documented, or as go-tfe sends it.
func TestLockReasonInBothForms(t *testing.T) {
	for _, body := range []string{`{"reason":"because"}`, `{"data":{"attributes":{"reason":"because"}}}`} {
		s := start(t, tfesim.Options{})
		id, err := s.AddWorkspace("demo", "net")
		if err != nil {
			t.Fatal(err)
		}
		if status, _, _ := s.Send(t, tfesim.Owner, "POST", "/workspaces/"+id+"/actions/lock", body); status != 200 {
			t.Fatalf("answered %d", status)
		}
		if h, _ := s.LockHolder("demo", "net"); h.Reason != "because" {
			t.Errorf("the reason is %q", h.Reason)
		}
	}
}

// A version that was announced but never uploaded prevents the unlock until its bytes
// arrive, another version supersedes it, or an admin forces the unlock.
func TestPendingVersionBlocksUnlock(t *testing.T) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		t.Run(p.String(), func(t *testing.T) {
			s := start(t, tfesim.Options{Personality: p})
			c, ctx := s.As(t, tfesim.Owner), t.Context()
			id, err := s.AddWorkspace("demo", "net")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Workspaces.Lock(ctx, id, tfe.WorkspaceLockOptions{}); err != nil {
				t.Fatal(err)
			}
			raw := state(1, lineage)
			v, err := c.StateVersions.Create(ctx, id, createOptions(1, raw))
			if err != nil {
				t.Fatal(err)
			}
			status, _, body := s.Send(t, tfesim.Owner, "POST", "/workspaces/"+id+"/actions/unlock", "")
			if status != 503 || !strings.Contains(errorsOf(t, body).Errors[0].Detail, "latest state version is still pending") {
				t.Fatalf("unlock while pending: %d", status)
			}
			if _, err := c.Workspaces.Unlock(ctx, id); !errors.Is(err, tfe.ErrWorkspaceLockedStateVersionStillPending) {
				t.Errorf("go-tfe does not recognize it: %v", err)
			}
			if status, _, _ := s.Send(t, "", "PUT", v.UploadURL, string(raw)); status != 200 {
				t.Fatalf("upload: %d", status)
			}
			if _, err := c.Workspaces.Unlock(ctx, id); err != nil {
				t.Error(err)
			}
			if _, serial, ok := s.Current("demo", "net"); !ok || serial != 1 {
				t.Error("the version is not current")
			}
		})
	}
}

func TestForcedUnlockLeavesPendingVersionToBeSuperseded(t *testing.T) {
	s := start(t, tfesim.Options{})
	c, ctx := s.As(t, tfesim.Owner), t.Context()
	id, err := s.AddWorkspace("demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Workspaces.Lock(ctx, id, tfe.WorkspaceLockOptions{}); err != nil {
		t.Fatal(err)
	}
	abandoned, err := c.StateVersions.Create(ctx, id, createOptions(9, state(9, lineage)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Workspaces.ForceUnlock(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Workspaces.Lock(ctx, id, tfe.WorkspaceLockOptions{}); err != nil {
		t.Fatal(err)
	}
	raw := state(1, lineage)
	if _, err := c.StateVersions.Upload(ctx, id, tfe.StateVersionUploadOptions{StateVersionCreateOptions: createOptions(1, raw), RawState: raw}); err != nil {
		t.Fatal(err)
	}
	v, err := c.StateVersions.Read(ctx, abandoned.ID)
	if err != nil || v.Status != tfe.StateVersionDiscarded {
		t.Errorf("the abandoned version is %q, %v", v.Status, err)
	}
	if status, _, _ := s.Send(t, "", "PUT", abandoned.UploadURL, string(state(9, lineage))); status != 403 {
		t.Errorf("the upload to a discarded version: %d", status)
	}
	if _, err := c.Workspaces.Unlock(ctx, id); err != nil {
		t.Error(err)
	}
}

// On HCP only the newest version made under a lock becomes current, when the lock is
// released.
func TestIntermediateVersionsOnHCP(t *testing.T) {
	for name, o := range map[string]tfesim.Options{
		"hcp":                      {Personality: tfesim.HCP},
		"tfe with PromoteAtUnlock": {PromoteAtUnlock: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, o)
			if _, err := s.Seed("demo", "net", state(1, lineage)); err != nil {
				t.Fatal(err)
			}
			c, ctx := s.As(t, tfesim.Owner), t.Context()
			w, err := c.Workspaces.Read(ctx, "demo", "net")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Workspaces.Lock(ctx, w.ID, tfe.WorkspaceLockOptions{}); err != nil {
				t.Fatal(err)
			}
			for serial := int64(2); serial <= 4; serial++ {
				raw := state(serial, lineage)
				if _, err := c.StateVersions.Upload(ctx, w.ID, tfe.StateVersionUploadOptions{StateVersionCreateOptions: createOptions(serial, raw), RawState: raw}); err != nil {
					t.Fatal(err)
				}
			}
			if v, err := c.StateVersions.ReadCurrent(ctx, w.ID); err != nil || v.Serial != 1 {
				t.Errorf("current before the unlock: %v", err)
			}
			// A lower serial than an intermediate version's is stale, too.
			raw := state(3, lineage)
			if status, _, _ := s.Send(t, tfesim.Owner, "POST", "/workspaces/"+w.ID+"/state-versions", versionDocument(3, md5Of(raw), lineage, raw, "")); status != 412 {
				t.Errorf("a serial lower than the intermediate one: %d", status)
			}
			if _, err := c.Workspaces.Unlock(ctx, w.ID); err != nil {
				t.Fatal(err)
			}
			if v, err := c.StateVersions.ReadCurrent(ctx, w.ID); err != nil || v.Serial != 4 {
				t.Errorf("current after the unlock: %v", err)
			}
			if got := s.Versions("demo", "net"); len(got) != 2 || got[0].Serial != 1 || got[1].Serial != 4 {
				t.Errorf("%d versions are kept", len(got))
			}
		})
	}
}
