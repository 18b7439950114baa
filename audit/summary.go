package audit

import "tfhaul/backend"

// A Summary counts the contents of an inventory.
type Summary struct {
	// Snapshots counts all files, and States those that are valid states.
	Snapshots int `json:"snapshots"`
	States    int `json:"states"`
	// Unreadable counts files and directories that could not be read. If there are any,
	// the audit is incomplete.
	Unreadable int `json:"unreadable"`
	// Locked counts snapshots that are locked at their source.
	Locked int `json:"locked"`
	// Bytes is their total size.
	Bytes int64 `json:"bytes"`

	Resources int `json:"resources"`
	Managed   int `json:"managed"`
	Data      int `json:"data"`
	// Billable is that of the Bill: of copies of one state, only the newest counts.
	Billable            int `json:"billable"`
	Instances           int `json:"instances"`
	Outputs             int `json:"outputs"`
	SensitiveOutputs    int `json:"sensitive_outputs"`
	SensitiveAttributes int `json:"sensitive_attributes"`

	// Findings counts findings by severity, Codes by code.
	Findings map[Severity]int `json:"findings"`
	Codes    map[Code]int     `json:"codes"`
	// New counts the findings that are in no baseline, by severity; nil without a baseline.
	New map[Severity]int `json:"new,omitempty"`
	// TerraformVersions and Formats count states; Providers counts resources.
	TerraformVersions map[string]int `json:"terraform_versions"`
	Formats           map[int]int    `json:"formats"`
	Providers         map[string]int `json:"providers"`
	// Relations counts snapshots by Target.Standing, if a target was named.
	Relations map[string]int `json:"relations,omitempty"`
	// Skipped counts files that were not audited, by reason.
	Skipped map[string]int `json:"skipped"`
}

// Summary returns the counts.
func (i *Inventory) Summary() Summary {
	s := Summary{
		Snapshots: len(i.Snapshots), Findings: map[Severity]int{}, Codes: map[Code]int{},
		TerraformVersions: map[string]int{}, Formats: map[int]int{}, Providers: map[string]int{}, Skipped: i.Skipped,
	}
	s.Unreadable = i.Skipped[backend.SkipUnreadable]
	for _, severity := range Severities {
		s.Findings[severity] = 0
	}
	for _, f := range i.Findings {
		s.Findings[f.Severity]++
		s.Codes[f.Code]++
	}
	if i.Baseline != nil {
		s.New = map[Severity]int{}
		for _, severity := range Severities {
			s.New[severity] = 0
		}
		for _, f := range i.New() {
			s.New[f.Severity]++
		}
	}
	for k := range i.Snapshots {
		sn := &i.Snapshots[k]
		s.Bytes += sn.Size
		if sn.Kind == KindUnreadable {
			s.Unreadable++
		}
		if sn.Lock != nil {
			s.Locked++
		}
		if sn.Target != nil {
			if s.Relations == nil {
				s.Relations = map[string]int{}
			}
			s.Relations[sn.Target.Standing()]++
		}
		if !sn.IsState() {
			continue
		}
		s.States++
		s.Resources += sn.Resources
		s.Managed += sn.Managed
		s.Data += sn.Data
		s.Instances += sn.Instances
		s.Outputs += sn.Outputs
		s.SensitiveOutputs += sn.SensitiveOutputs
		s.SensitiveAttributes += sn.SensitiveAttributes
		s.TerraformVersions[sn.TerraformVersion]++
		s.Formats[sn.Format]++
		for _, p := range sn.Providers {
			s.Providers[p.Address] += p.Resources
		}
	}
	s.Billable = i.Bill().Billable
	if s.Skipped == nil {
		s.Skipped = map[string]int{}
	}
	return s
}
