package audit

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"tfhaul/statefile"
)

// errored compares errored.tfstate with the newest state of its lineage. The finding
// lists only errored.tfstate as its source, so that the advice is not taken to be about
// the states.
func (j *judge) errored(f *file) {
	const left = "Terraform wrote this file because it could not save the result of an apply"
	finding := Finding{Code: CodeErrored, Severity: SeverityError, Sources: []string{f.Source}}
	push := fmt.Sprintf("push %s to its backend (%s), then remove the file.", f.Source, `"terraform state push errored.tfstate"`)
	var newest *file
	for _, s := range j.files {
		if s.role != roleState || !s.IsState() || s.Lineage == "" || s.Lineage != f.Lineage {
			continue
		}
		finding.ComparedWith = append(finding.ComparedWith, s.Source)
		if newest == nil || s.Serial > newest.Serial || s.Serial == newest.Serial && s.MD5 == f.MD5 {
			newest = s
		}
	}
	switch {
	case newest == nil:
		finding.Message = left + ", and no state with its lineage was found: it is probably newer than the state in its backend."
		finding.Advice = "If it is, " + push
	case f.Serial > newest.Serial:
		finding.Message = fmt.Sprintf("%s: its serial is %d, and the stored state's serial is %d. What was applied after that is recorded only here.", left, f.Serial, newest.Serial)
		finding.Advice = "Before you move anything, " + push
	case f.Serial == newest.Serial && j.sameContent(f, newest):
		finding.Severity = SeverityInfo
		finding.Message = left + ", and the same bytes have been stored since then."
		if d, _ := j.difference(f, newest); f.MD5 != newest.MD5 {
			finding.Message = fmt.Sprintf("%s. The stored state has the same serial, %d, and %s.", left, f.Serial, d.Says())
		}
		finding.Advice = f.Source + " can be removed."
	default:
		finding.Message = fmt.Sprintf("%s: its serial is %d, but the stored state has reached serial %d without it.", left, f.Serial, newest.Serial)
		finding.Advice = fmt.Sprintf("Another user applied in between. Import objects that are in %s but not in the state, then remove the file.", f.Source)
	}
	j.add(finding)
}

// timestamp is what "terraform state" commands insert before .backup.
var timestamp = regexp.MustCompile(`\.\d{9,}$`)

// backup compares a backup with its state.
func (j *judge) backup(f *file) {
	cut := f.refusal != nil && f.refusal.Kind == statefile.KindTruncated
	if f.refusal != nil && !cut || f.unreadable != nil {
		return // an unusable backup is only a problem once it is needed
	}
	state := j.byName[backedUp(f.Source)]
	if state == nil || !state.IsState() || state.Lineage == "" || state.Lineage != f.Lineage || f.Serial <= state.Serial {
		return
	}
	j.add(Finding{Code: CodeBackupNewer, Severity: SeverityError, Sources: []string{state.Source, f.Source},
		Message: fmt.Sprintf("The backup has serial %d, newer than the state's serial %d: the state was replaced with an older one.", f.Serial, state.Serial),
		Advice:  fmt.Sprintf("Find out what happened. If the backup (%s) is the right one, restore it before you move the state.", baseName(f.Source))})
}

// backedUp returns the name of the state that a backup was made from.
func backedUp(backup string) string {
	name, query := cutQuery(backup)
	return timestamp.ReplaceAllString(strings.TrimSuffix(name, ".backup"), "") + query
}

// cutQuery splits a URL's query from the source.
func cutQuery(source string) (name, query string) {
	if i := strings.IndexByte(source, '?'); i >= 0 && strings.Contains(source, "://") {
		return source[:i], source[i:]
	}
	return source, ""
}

func baseName(source string) string {
	name, _ := cutQuery(source)
	return path.Base(strings.ReplaceAll(name, `\`, "/"))
}

// newestBackup returns the state's backup with the highest serial, or nil if no backup
// has a known serial. Full ones hold resources or outputs.
func (j *judge) newestBackup(of *file, full bool) *file {
	var newest *file
	for _, f := range j.backups[of.Source] {
		// Only the beginning of a large backup was read, but an empty state fits into
		// that.
		empty := f.holdsNothing() && f.Size < headerRoom
		if f.unreadable == nil && f.Known() && !(full && empty) && (newest == nil || f.Serial > newest.Serial) {
			newest = f
		}
	}
	return newest
}

// holdsNothing reports whether a state has neither resources nor outputs.
func (f *file) holdsNothing() bool { return f.Resources+f.Instances+f.Deposed+f.Outputs == 0 }

// emptyAdvice returns what to do with an empty state.
func (j *judge) emptyAdvice(f *file) string {
	b := j.newestBackup(f, true)
	if b == nil {
		return `There is nothing to move. If nobody uses the workspace, delete it with "terraform workspace delete".`
	}
	return fmt.Sprintf(`The backup next to it (%s) has serial %d and is not empty. "terraform destroy" and "terraform init -migrate-state" leave such a pair. If neither was run, state was lost: restore the backup. Keep both files until you know.`,
		baseName(b.Source), b.Serial)
}
