package migrate_test

import (
	"net/http"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A dry run ends as the real run does, whatever the server has against the move, and writes
// nothing.
func TestADryRunPromisesOnlyWhatTheServerAllows(t *testing.T) {
	list := []string{"1.11.4"}
	for _, test := range []struct {
		name    string
		who     tfesim.Identity
		exists  bool
		change  func(*migrate.Engine)
		code    migrate.Code
		outcome migrate.Outcome
		says    string
	}{
		{name: "a token that may only read", who: tfesim.ReadOnly, exists: true, code: migrate.CodeForbiddenOrMissing, outcome: migrate.Failed, says: "cannot lock it"},
		{name: "a token that may not create workspaces", who: tfesim.SecondUser, code: migrate.CodeForbiddenOrMissing, outcome: migrate.Failed},
		{name: "an organization's token", who: tfesim.Organization, code: migrate.CodeForbiddenOrMissing, outcome: migrate.Failed, says: "cannot write states"},
		{name: "a project that does not exist", change: func(e *migrate.Engine) { e.CreateOptions.Project = "nope" },
			code: migrate.CodeForbiddenOrMissing, outcome: migrate.Failed, says: "no project has this name"},
		{name: "agent mode without a pool", change: func(e *migrate.Engine) { e.CreateOptions.ExecutionMode = "agent" },
			code: migrate.CodeNotCreatable, outcome: migrate.Refused, says: "--agent-pool"},
		{name: "an agent pool that does not exist", change: func(e *migrate.Engine) {
			e.CreateOptions.ExecutionMode, e.CreateOptions.AgentPool = "agent", "nope"
		}, code: migrate.CodeForbiddenOrMissing, outcome: migrate.Failed, says: "no agent pool"},
		{name: "a version that is not offered", who: tfesim.SiteAdmin, change: func(e *migrate.Engine) { e.CreateOptions.TerraformVersion = "1.12.0-dev" },
			code: migrate.CodeNotCreatable, outcome: migrate.Refused, says: "--terraform-version latest"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, tfesim.Options{OfferedTerraform: list})
			b.snapshot(state(7, lineage, 1))
			if test.who == "" {
				test.who = tfesim.Owner
			}
			b.engine.Target.(*tfe.Target).Close()
			b.engine = b.newEngine(b.sim.Token(test.who))
			b.engine.Create = true
			if test.change != nil {
				test.change(b.engine)
			}
			into := func(m *migrate.Move) {
				if !test.exists {
					m.Workspace = "new"
				}
			}
			check := func(kind string, r migrate.Result) {
				t.Helper()
				if r.Outcome != test.outcome || r.Code != test.code || !strings.Contains(r.Message, test.says) {
					t.Errorf("%s: %s %s: %s", kind, r.Outcome, r.Code, r.Message)
				}
			}
			b.sim.ResetRequests()
			b.engine.DryRun = true
			check("the dry run", b.run(into))
			m := b.move()
			into(&m)
			plan, err := b.haul().Plan(t.Context(), []migrate.Move{m})
			if err != nil {
				t.Fatal(err)
			}
			check("the plan", plan.Moves[0].Result)
			for _, q := range b.sim.Requests() {
				if q.Method != http.MethodGet {
					t.Errorf("the dry run made the request %s", q.Endpoint)
				}
			}
			b.engine.DryRun = false
			check("the move", b.run(into))
			if names := b.sim.Workspaces(org); len(names) != 1 {
				t.Errorf("the workspaces are %v", names)
			}
		})
	}
}

// Where the server's list cannot be seen, a dry run says so; the real run names the way out.
func TestATerraformVersionThatCannotBeLookedUp(t *testing.T) {
	b := newBench(t, tfesim.Options{OfferedTerraform: []string{"1.11.4"}})
	b.snapshot(state(7, lineage, 1))
	b.engine.Create, b.engine.CreateOptions.TerraformVersion = true, "1.12.0-dev"
	into := func(m *migrate.Move) { m.Workspace = "new" }
	b.engine.DryRun = true
	if r := b.run(into); r.Outcome != migrate.WouldMove || !strings.Contains(strings.Join(r.Notes, " "), "cannot see which Terraform versions") {
		t.Errorf("the dry run: %s, notes %q", r.Outcome, r.Notes)
	}
	b.engine.DryRun = false
	if r := b.run(into); r.Code != migrate.CodeNotCreatable || !strings.Contains(r.Message, "--terraform-version latest") {
		t.Errorf("the move: %s: %s", r.Code, r.Message)
	}
	b.engine.CreateOptions.TerraformVersion = backend.LatestTerraform
	if r := b.run(into); r.Outcome != migrate.Moved {
		t.Errorf("with the way out: %s: %s", r.Outcome, r.Message)
	}
}

// What describes new workspaces is not dropped silently for one that exists.
func TestOptionsOfNewWorkspacesAreNotDroppedSilently(t *testing.T) {
	b := newBench(t, tfesim.Options{})
	b.snapshot(state(7, lineage, 1))
	b.engine.Create = true
	b.engine.CreateOptions.Project, b.engine.CreateOptions.Tags, b.engine.CreateOptions.ExecutionMode = "Default Project", []string{"env=prod"}, "local"
	for _, dry := range []bool{true, false} {
		b.engine.DryRun = dry
		if r := b.run(); !strings.Contains(strings.Join(r.Notes, " "), "do not apply: project, tags, execution mode") {
			t.Errorf("dry run %v: notes %q", dry, r.Notes)
		}
	}
}

// A reply to the creation that is lost is looked after; nothing is claimed of it.
func TestLostReplyToTheCreation(t *testing.T) {
	for _, test := range []struct {
		effect  bool
		outcome migrate.Outcome
		code    migrate.Code
	}{{true, migrate.Moved, ""}, {false, migrate.Failed, migrate.CodeUnreachable}} {
		b := newBenchOver(t, tfesim.Options{}, func(next http.RoundTripper) http.RoundTripper {
			return &losesCreation{next, test.effect}
		})
		b.snapshot(state(7, lineage, 1))
		b.engine.Create = true
		r := b.run(func(m *migrate.Move) { m.Workspace = "new" })
		if r.Outcome != test.outcome || r.Code != test.code {
			t.Errorf("got outcome %q, code %q: %s", r.Outcome, r.Code, r.Message)
		}
		if strings.Contains(r.Message, "Nothing was stored") || !test.effect && !strings.Contains(r.Message, "may have been created") {
			t.Errorf("it says: %s", r.Message)
		}
	}
}

// A losesCreation loses the reply to the creation of a workspace, or the request.
type losesCreation struct {
	next   http.RoundTripper
	effect bool
}

func (l *losesCreation) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/workspaces") {
		return l.next.RoundTrip(r)
	}
	if l.effect {
		resp, err := l.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		_ = resp.Body.Close()
	}
	return &http.Response{StatusCode: 502, Header: http.Header{}, Body: http.NoBody, Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
}

// Terraform reads what a newer release wrote since 0.14; older releases do not.
func TestTerraformVersionFinding(t *testing.T) {
	for runs, warned := range map[string]bool{"1.0.0": false, "0.14.0": false, "0.13.7": true, "0.11.14": true, "~> 0.13.0": false} {
		b := newBench(t, tfesim.Options{})
		b.snapshot(state(7, lineage, 1))
		if err := b.sim.SetTerraformVersion(org, workspace, runs); err != nil {
			t.Fatal(err)
		}
		plan, err := b.haul().Plan(t.Context(), []migrate.Move{b.move()})
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, f := range plan.Findings {
			got = got || f.Code == migrate.FindingTerraformVersion
		}
		if got != warned {
			t.Errorf("a workspace of Terraform %s: warned is %v, want %v", runs, got, warned)
		}
	}
}
