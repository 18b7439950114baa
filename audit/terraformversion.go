package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"tfhaul/plainwords"
)

// manyReleases is the number of minor releases from which the spread is reported.
const manyReleases = 4

// version parses a version, or returns nil if it is invalid. Results are cached because
// most states have one of a few versions.
func (j *judge) version(text string) *version.Version {
	v, known := j.versions[text]
	if !known {
		v, _ = version.NewVersion(text)
		j.versions[text] = v
	}
	return v
}

// terraformVersionOf reports a state written by a Terraform that the target no longer
// supports.
func (j *judge) terraformVersionOf(f *file) {
	wrote, oldest := j.version(f.TerraformVersion), j.version(j.OldestTerraform)
	if wrote == nil || oldest == nil || !wrote.Core().LessThan(oldest) {
		return // format 1 has no version
	}
	advice := fmt.Sprintf("Upgrade the configuration to Terraform %s or later, and apply, before the move.", oldest)
	if f.legacy[0] != "" {
		advice = fmt.Sprintf("First repair the addresses of its providers (%s), because no newer release initializes with them. ", CodeLegacyProvider) + advice
	}
	j.about(f, CodeOldTerraform, SeverityWarning, fmt.Sprintf("The state was written by Terraform %s, which is older than %s, the oldest supported version.", plainwords.Brief(wrote.String()), oldest), advice)
}

// terraformVersions reports states written by many releases.
func (j *judge) terraformVersions() {
	releases := map[string]int{}
	var lowest, highest *version.Version
	for _, f := range j.files {
		if f.role != roleState || !f.IsState() {
			continue
		}
		v := j.version(f.TerraformVersion)
		if v == nil {
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
	names := NewestFirst(releases)
	slices.Reverse(names)
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%s (%d)", name, releases[name])
	}
	j.add(Finding{Code: CodeTerraformVersions, Severity: SeverityInfo, Sources: []string{},
		Message: fmt.Sprintf("The states were written by %d releases of Terraform, from %s to %s: %s.", len(names), plainwords.Brief(lowest.String()), plainwords.Brief(highest.String()), strings.Join(parts, ", ")),
		Advice:  "Set each workspace to the version that wrote its state (--terraform-version from-state), and upgrade them to one version later."})
}

// NewestFirst orders versions, newest first, with invalid versions last.
func NewestFirst(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		va, errA := version.NewVersion(a)
		vb, errB := version.NewVersion(b)
		switch {
		case errA != nil && errB != nil:
			return cmp.Compare(a, b)
		case errA != nil:
			return 1
		case errB != nil:
			return -1
		}
		return vb.Compare(va)
	})
}
