package migrate

import "fmt"

// FindingHYOK is the code of a finding about workspaces whose organization holds its own key.
const FindingHYOK = "hyok"

// noteHYOK adds a note about what cannot be verified in a workspace that uses HYOK.
func (x *execution) noteHYOK() {
	if x.workspace == nil || !x.workspace.HYOK || x.notedHYOK {
		return
	}
	x.notedHYOK = true
	x.note("This workspace uses HYOK (hold your own key), so the server may serve its states through the HYOK agent. "+
		"If this machine cannot reach the agent, the move ends as %s. The server provides no JSON of states and plans here, so prove the workspace with tfhaul prove --local.", CodeUnproven)
}

// hyok adds a finding for workspaces in which not everything can be verified.
func (p *Plan) hyok() {
	f := Finding{Code: FindingHYOK, Severity: SeverityWarning}
	for i := range p.Moves {
		m := &p.Moves[i]
		if m.Known == nil || !m.Known.HYOK || m.Result.Outcome != WouldMove {
			continue
		}
		f.Sources, f.Targets = append(f.Sources, m.Result.Source), append(f.Targets, m.Result.Target)
	}
	if n := len(f.Targets); n > 0 {
		f.Message = fmt.Sprintf("%d of the workspaces (%s) use HYOK (hold your own key), so the server may serve their states through the HYOK agent. "+
			"If this machine cannot reach the agent, these moves end as %s. Prove these workspaces with tfhaul prove --local.", n, several(f.Targets), CodeUnproven)
		p.Findings = append(p.Findings, f)
	}
}
