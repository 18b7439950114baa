package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"
)

// manyReleases is from how many minor releases on a spread is worth a finding.
const manyReleases = 4

// terraformVersionOf tells of a state that was written by a Terraform that the target
// does not run any more.
func (j *judge) terraformVersionOf(f *file) {
	wrote, err := version.NewVersion(f.TerraformVersion)
	if err != nil {
		return // format 1 has none
	}
	oldest, err := version.NewVersion(j.OldestTerraform)
	if err != nil || !wrote.Core().LessThan(oldest) {
		return
	}
	advice := fmt.Sprintf("Upgrade the configuration to Terraform %s or later, and apply, before the move.", oldest)
	if wrote.Core().LessThan(version.Must(version.NewVersion("0.13.0"))) {
		advice = "Upgrade the configuration to Terraform 0.13, apply, then to 0.14, apply, and on from there: no release after 0.13 reads what 0.12 wrote in full."
	}
	j.about(f, CodeOldTerraform, SeverityWarning, fmt.Sprintf("The state was written by Terraform %s; the oldest that counts as supported is %s.", brief(wrote.String()), oldest), advice)
}

// terraformVersions tells when states were written by many releases.
func (j *judge) terraformVersions() {
	releases := map[string]int{}
	var lowest, highest *version.Version
	for _, f := range j.files {
		if f.role != roleState || !f.IsState() {
			continue
		}
		v, err := version.NewVersion(f.TerraformVersion)
		if err != nil {
			continue
		}
		s := v.Segments()
		releases[fmt.Sprintf("%d.%d", s[0], s[1])]++
		if lowest == nil || v.LessThan(lowest) {
			lowest = v
		}
		if highest == nil || v.GreaterThan(highest) {
			highest = v
		}
	}
	if len(releases) < manyReleases {
		return
	}
	names := make([]string, 0, len(releases))
	for name := range releases {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return version.Must(version.NewVersion(a)).Compare(version.Must(version.NewVersion(b)))
	})
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%s (%d)", name, releases[name])
	}
	j.add(Finding{Code: CodeTerraformVersions, Severity: SeverityInfo, Sources: []string{},
		Message: fmt.Sprintf("The states were written by %d releases of Terraform, from %s to %s: %s.", len(names), brief(lowest.String()), brief(highest.String()), strings.Join(parts, ", ")),
		Advice:  "Give each workspace the version that wrote its state (--terraform-version from-state), and bring them together afterwards."})
}
