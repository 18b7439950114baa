package audit

import (
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// A Baseline lists the findings that a team knows and accepts for now.
type Baseline struct {
	// File is where it was read.
	File    string
	Entries []*Accepted `hcl:"finding,block"`
}

// Accepted is an entry of a baseline. It covers a finding that has its code and either its
// fingerprint, or sources and resources that all match. Both an entry's other attributes and
// its fingerprint are there for the file that is moved, and for the state that is created
// again at the same place.
type Accepted struct {
	Code string `hcl:"code,label" json:"code"`
	// Fingerprint is Finding.Fingerprint; "" for none.
	Fingerprint string `hcl:"fingerprint,optional" json:"fingerprint,omitempty"`
	// Severity is the highest severity that is covered; "" means any.
	Severity Severity `hcl:"severity,optional" json:"severity,omitempty"`
	// Sources and Resources are globs. Every source and every resource of the finding must
	// match one of them. Without Resources, the finding may be about any.
	Sources   []string `hcl:"sources,optional" json:"sources,omitempty"`
	Resources []string `hcl:"resources,optional" json:"resources,omitempty"`
	// Reason is why the finding is accepted.
	Reason string `hcl:"reason" json:"reason"`
	// Expires is the last day on which the entry counts, as 2006-01-02 in UTC; "" for never.
	Expires string `hcl:"expires,optional" json:"expires,omitempty"`
}

// dayForm is the form of Accepted.Expires.
const dayForm = "2006-01-02"

// Expired reports whether the entry no longer counts.
func (a *Accepted) Expired(now time.Time) bool {
	last, err := time.Parse(dayForm, a.Expires)
	return err == nil && !now.Before(last.AddDate(0, 0, 1))
}

// Covers reports whether the entry is about a finding.
func (a *Accepted) Covers(f *Finding) bool {
	switch {
	case a.Code != string(f.Code):
		return false
	case a.Fingerprint != "" && a.Fingerprint == f.Fingerprint:
		return true
	case a.Severity != "" && !a.Severity.AtLeast(f.Severity):
		return false
	case len(a.Sources) == 0:
		return a.Fingerprint == "" && a.coversResources(f)
	}
	return len(f.Sources) > 0 && allMatch(a.Sources, f.Sources) && a.coversResources(f)
}

func (a *Accepted) coversResources(f *Finding) bool {
	return len(a.Resources) == 0 || len(f.Resources) > 0 && allMatch(a.Resources, f.Resources)
}

// allMatch reports whether every name is one of the globs or matches it.
func allMatch(globs, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		path := strings.ReplaceAll(name, `\`, "/")
		return !slices.ContainsFunc(globs, func(glob string) bool {
			return glob == name || doublestar.MatchUnvalidated(glob, path)
		})
	})
}

// Known is why a finding is not new.
type Known struct {
	Reason  string `json:"reason"`
	Expires string `json:"expires,omitempty"`
}

// Applied is what a baseline did to an audit.
type Applied struct {
	File string `json:"file"`
	// Known counts the findings that are in the baseline.
	Known int `json:"known"`
	// Expired are entries that would cover a finding but no longer count. Unused are entries
	// that cover none: the problem was solved, or the entry has a mistake.
	Expired []Accepted `json:"expired"`
	Unused  []Accepted `json:"unused"`
}

// Apply marks the findings that a baseline covers. Call it after the last Add.
func (i *Inventory) Apply(b *Baseline) {
	applied := &Applied{File: b.File, Expired: []Accepted{}, Unused: []Accepted{}}
	used := make([]bool, len(b.Entries))
	for k := range i.Findings {
		f := &i.Findings[k]
		for n, entry := range b.Entries {
			if !entry.Covers(f) {
				continue
			}
			used[n] = true
			if f.Known == nil && !entry.Expired(i.Taken) {
				f.Known = &Known{Reason: entry.Reason, Expires: entry.Expires}
				applied.Known++
			}
		}
	}
	for n, entry := range b.Entries {
		switch {
		case !used[n]:
			applied.Unused = append(applied.Unused, *entry)
		case entry.Expired(i.Taken):
			applied.Expired = append(applied.Expired, *entry)
		}
	}
	i.Baseline = applied
}

// NewBaseline returns a baseline of all findings of an audit. Findings that are known keep
// their reason and expiry.
func NewBaseline(i *Inventory) *Baseline {
	b := &Baseline{}
	for _, f := range i.Findings {
		entry := &Accepted{Code: string(f.Code), Fingerprint: f.Fingerprint, Severity: f.Severity, Reason: "Known on " + i.Taken.UTC().Format(dayForm) + "."}
		for _, source := range f.Sources {
			entry.Sources = append(entry.Sources, literal(source))
		}
		for _, resource := range f.Resources {
			entry.Resources = append(entry.Resources, literal(resource))
		}
		if f.Known != nil {
			entry.Reason, entry.Expires = f.Known.Reason, f.Known.Expires
		}
		b.Entries = append(b.Entries, entry)
	}
	return b
}

// literal returns a glob that matches only a name.
func literal(name string) string {
	if !strings.ContainsAny(name, `*?[]{}\`) {
		return name
	}
	var glob strings.Builder
	for _, r := range strings.ReplaceAll(name, `\`, "/") {
		if strings.ContainsRune(`*?[]{}`, r) {
			glob.WriteByte('\\')
		}
		glob.WriteRune(r)
	}
	return glob.String()
}
