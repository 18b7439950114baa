package tfesim_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// clientTrusting returns a client that trusts one authority.
func clientTrusting(ca []byte) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
}

// 64 concurrent clients: each moves a state into a workspace of its own; all of them
// compete for one lock, list workspaces, and examine the server's data.
func TestSixtyFourClientsAtOnce(t *testing.T) {
	for name, o := range map[string]tfesim.Options{
		"in memory": {RateLimit: -1},
		"on disk":   {RateLimit: -1, Personality: tfesim.HCP, Data: t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, o)
			shared, err := s.AddWorkspace("demo", "shared")
			if err != nil {
				t.Fatal(err)
			}
			httpClient := s.Running.Client()
			defer httpClient.CloseIdleConnections()
			identities := []tfesim.Identity{tfesim.Owner, tfesim.Team, tfesim.SiteAdmin}
			var wg sync.WaitGroup
			wins := make(chan int, 64)
			for i := range 64 {
				wg.Go(func() {
					c, err := tfe.NewClient(&tfe.Config{Address: s.Running.URL(), Token: s.Token(identities[i%len(identities)]), HTTPClient: httpClient})
					if err != nil {
						t.Error(err)
						return
					}
					if err := moveAndFight(t, c, i, shared, wins); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			close(wins)
			if len(wins) != 1 {
				t.Errorf("%d clients got the one lock", len(wins))
			}
			for i := range 64 {
				raw, serial, ok := s.Current("demo", fmt.Sprintf("ws-%d", i))
				if !ok || serial != int64(i) || !bytes.Equal(raw, state(int64(i), lineage)) {
					t.Errorf("workspace %d has serial %d, %v", i, serial, ok)
				}
			}
			if got := s.Locked("demo"); len(got) != 1 {
				t.Errorf("locked: %v", got)
			}
		})
	}
}

func moveAndFight(t *testing.T, c *tfe.Client, i int, shared string, wins chan<- int) error {
	ctx := t.Context()
	w, err := c.Workspaces.Create(ctx, "demo", tfe.WorkspaceCreateOptions{Name: tfe.String(fmt.Sprintf("ws-%d", i))})
	if err != nil {
		return err
	}
	if _, err := c.Workspaces.Lock(ctx, w.ID, tfe.WorkspaceLockOptions{}); err != nil {
		return err
	}
	raw := state(int64(i), lineage)
	if _, err := c.StateVersions.Upload(ctx, w.ID, tfe.StateVersionUploadOptions{StateVersionCreateOptions: createOptions(int64(i), raw), RawState: raw}); err != nil {
		return err
	}
	if _, err := c.Workspaces.Unlock(ctx, w.ID); err != nil {
		return err
	}
	if _, err := c.Workspaces.List(ctx, "demo", &tfe.WorkspaceListOptions{Include: []tfe.WSIncludeOpt{tfe.WSLockedBy, tfe.WSCurrentStateVer}}); err != nil {
		return err
	}
	switch _, err := c.Workspaces.Lock(ctx, shared, tfe.WorkspaceLockOptions{}); err {
	case nil:
		wins <- i
	case tfe.ErrWorkspaceLocked:
	default:
		return err
	}
	return nil
}
