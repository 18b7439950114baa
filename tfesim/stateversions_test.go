package tfesim_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

func TestStateVersionArrivesInlineAndBySignedUpload(t *testing.T) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.OldTFE, tfesim.Lax} {
		for _, inline := range []bool{true, false} {
			if p == tfesim.OldTFE && !inline {
				continue
			}
			t.Run(p.String()+map[bool]string{true: " inline", false: " signed"}[inline], func(t *testing.T) {
				s := start(t, tfesim.Options{Personality: p})
				c, ctx := s.As(t, tfesim.Owner), t.Context()
				w, err := c.Workspaces.Create(ctx, "demo", tfe.WorkspaceCreateOptions{Name: tfe.String("net")})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Workspaces.Lock(ctx, w.ID, tfe.WorkspaceLockOptions{Reason: tfe.String("moving")}); err != nil {
					t.Fatal(err)
				}
				raw := state(7, lineage)
				options := createOptions(7, raw)
				if inline {
					options.State = tfe.String(base64.StdEncoding.EncodeToString(raw))
					_, err = c.StateVersions.Create(ctx, w.ID, options)
				} else {
					_, err = c.StateVersions.Upload(ctx, w.ID, tfe.StateVersionUploadOptions{StateVersionCreateOptions: options, RawState: raw})
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, _, ok := s.Current("demo", "net"); ok == (p == tfesim.HCP) {
					t.Errorf("current before the unlock: %v", ok)
				}
				if _, err := c.Workspaces.Unlock(ctx, w.ID); err != nil {
					t.Fatal(err)
				}
				if got, serial, ok := s.Current("demo", "net"); !ok || serial != 7 || !bytes.Equal(got, raw) {
					t.Errorf("the server has serial %d, %d bytes, %v", serial, len(got), ok)
				}
				v, err := c.StateVersions.ReadCurrent(ctx, w.ID)
				if err != nil {
					t.Fatal(err)
				}
				got, err := c.StateVersions.Download(ctx, v.DownloadURL)
				if err != nil || !bytes.Equal(got, raw) {
					t.Errorf("downloaded %d bytes of %d: %v", len(got), len(raw), err)
				}
			})
		}
	}
}
