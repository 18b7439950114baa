package audit

import (
	"cmp"
	"fmt"
	"slices"
)

// identity is what copies of one state have in common: its lineage, or all of its bytes
// where it has none.
func (f *file) identity() string {
	if f.Lineage == "" {
		return "md5 " + f.MD5
	}
	return f.Lineage
}

// copies finds states that share a lineage, and says how they stand to one another.
func (j *judge) copies() {
	sharing := map[string][]*file{}
	for _, f := range j.files {
		if f.role == roleState && f.IsState() && (f.Lineage != "" || f.Resources+f.Outputs > 0) {
			sharing[f.identity()] = append(sharing[f.identity()], f)
		}
	}
	for _, files := range sharing {
		if len(files) > 1 {
			j.copiesOf(files)
		}
	}
}

// copiesOf tells of the files of one lineage.
func (j *judge) copiesOf(files []*file) {
	slices.SortStableFunc(files, func(a, b *file) int {
		return cmp.Or(cmp.Compare(b.Serial, a.Serial), cmp.Compare(a.Source, b.Source))
	})
	newest := files[0]
	what := "lineage " + brief(newest.Lineage)
	if newest.Lineage == "" {
		what = "it has no lineage, and they are the same byte for byte"
	}
	f := Finding{Code: CodeSharedLineage, Severity: SeverityWarning}
	count := map[string]int{}
	for i, file := range files {
		c := Copy{Source: file.Source, Serial: file.Serial, MD5: file.MD5, Relation: CopyOlder}
		switch {
		case i == 0:
			c.Relation = CopyNewest
		case file.MD5 == newest.MD5:
			c.Relation = CopyIdentical
		case file.Serial == newest.Serial:
			c.Relation = CopyDiverged
		}
		count[c.Relation]++
		f.Copies = append(f.Copies, c)
		f.Sources = append(f.Sources, file.Source)
	}
	others := ""
	if n := count[CopyIdentical]; n > 0 {
		others += fmt.Sprintf(", %d identical to it", n)
	}
	if n := count[CopyOlder]; n > 0 {
		others += fmt.Sprintf(", %d older", n)
		if serial, forked := fork(files); forked {
			others += fmt.Sprintf(" (of them serial %d stands for different contents: what one of these holds may have been lost)", serial)
		}
	}
	if n := count[CopyDiverged]; n > 0 {
		f.Code, f.Severity = CodeDiverged, SeverityError
		f.Message = fmt.Sprintf("%d files are one state (%s) that was changed in two places: serial %d stands for %d different contents%s. No order tells which is right.",
			len(files), what, newest.Serial, n+1, others)
		f.Advice = "Compare them with what really exists, keep the right one, and remove the others, or give each a state of its own."
	} else {
		f.Message = fmt.Sprintf("%d files are copies of one state (%s). The newest has serial %d%s.", len(files), what, newest.Serial, others)
		f.Advice = "Move the newest alone: two workspaces would manage the same resources. Leave the others out with --exclude, or remove them."
	}
	j.add(f)
}

// fork finds the highest serial below the newest of which there are different contents:
// somebody went on from an older copy.
func fork(files []*file) (serial int64, forked bool) {
	for i, f := range files[1:] {
		if before := files[i]; f.Serial < files[0].Serial && f.Serial == before.Serial && f.MD5 != before.MD5 {
			return f.Serial, true
		}
	}
	return 0, false
}
