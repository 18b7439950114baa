package audit

import (
	"cmp"
	"fmt"
	"slices"

	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// identity returns what all copies of a state have in common: the lineage or, without
// one, the bytes.
func (f *file) identity() string {
	if f.Lineage == "" {
		return "md5 " + f.MD5
	}
	return f.Lineage
}

// copies finds states that share a lineage, and compares them.
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

// copiesOf reports the files of one lineage.
func (j *judge) copiesOf(files []*file) {
	slices.SortStableFunc(files, func(a, b *file) int {
		return cmp.Or(cmp.Compare(b.Serial, a.Serial), cmp.Compare(a.Source, b.Source))
	})
	newest := files[0]
	what := "lineage " + plainwords.Brief(newest.Lineage)
	if newest.Lineage == "" {
		what = "without a lineage, and identical byte for byte"
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
		if serial, forked := j.fork(files); forked {
			others += fmt.Sprintf(" (of which serial %d exists with different content: the changes in one of them may be lost)", serial)
		}
	}
	if count[CopyDiverged] > 0 {
		j.divergedCopies(&f, files, what, others)
	} else {
		f.Message = fmt.Sprintf("%d files are copies of one state (%s). The newest has serial %d%s.", len(files), what, newest.Serial, others)
		f.Advice = "Move only the newest; otherwise two workspaces would manage the same resources. Leave the others out with --exclude, or remove them."
	}
	j.add(f)
}

// divergedCopies completes the finding for files of one lineage of which several have the
// newest serial but different bytes.
func (j *judge) divergedCopies(f *Finding, files []*file, what, others string) {
	newest := files[0]
	var differ statefile.Difference
	var failed error
	distinct := map[string]bool{}
	var contents []*file // one file for each
	for _, c := range files {
		if c.Serial != newest.Serial {
			continue
		}
		distinct[c.MD5] = true
		d, err := j.difference(newest, c)
		differ, failed = differ.Or(d), cmp.Or(failed, err)
		if !slices.ContainsFunc(contents, func(met *file) bool { return j.sameContent(met, c) }) {
			contents = append(contents, c)
		}
	}
	f.Code, f.Severity = CodeDiverged, SeverityError
	f.Advice = "Compare them with the real infrastructure, keep the right one, and remove the others or turn them into separate states."
	switch {
	case differ.State:
		f.Message = fmt.Sprintf("%d files are one state (%s) that was changed independently in several places: serial %d has %d different contents%s. The files do not show which is right.",
			len(files), what, newest.Serial, len(contents), others)
	case failed != nil:
		f.Message = fmt.Sprintf("%d files are one state (%s): serial %d has %d different files%s. Their content could not be compared: %s",
			len(files), what, newest.Serial, len(distinct), others, plainwords.Sentence(failed.Error()))
	default:
		f.Severity = SeverityWarning
		f.Message = fmt.Sprintf("%d files are copies of one state (%s): the %d different files of serial %d have %s%s. No resource or output differs.",
			len(files), what, len(distinct), newest.Serial, differ.Says(), others)
		f.Advice = "Move one of them. Leave the others out with --exclude, or remove them: moving one to a workspace that holds another is refused."
	}
}

// fork returns the highest serial below the newest that exists with different content:
// another user continued from an older copy.
func (j *judge) fork(files []*file) (serial int64, forked bool) {
	for i, f := range files[1:] {
		if before := files[i]; f.Serial < files[0].Serial && f.Serial == before.Serial && f.MD5 != before.MD5 && !j.sameContent(f, before) {
			return f.Serial, true
		}
	}
	return 0, false
}
