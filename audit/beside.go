package audit

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"tfhaul/statefile"
)

// errored compares what an apply could not store with the newest state of its lineage. The
// finding is about errored.tfstate alone, so that its advice is not taken for the states'.
func (j *judge) errored(f *file) {
	const left = "Terraform left this because it could not store the result of an apply"
	finding := Finding{Code: CodeErrored, Severity: SeverityError, Sources: []string{f.Source}}
	push := fmt.Sprintf("push %s there first (%s), then remove it.", f.Source, `"terraform state push errored.tfstate"`)
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
		finding.Message = left + ", and no state of its lineage was found here: it is likely newer than what its backend holds."
		finding.Advice = "If it is, " + push
	case f.Serial > newest.Serial:
		finding.Message = fmt.Sprintf("%s: its serial is %d, and the stored state's %d. What was applied since is known nowhere else.", left, f.Serial, newest.Serial)
		finding.Advice = "Before anything is moved, " + push
	case f.Serial == newest.Serial && j.sameContent(f, newest):
		finding.Severity = SeverityInfo
		finding.Message = left + ", and the same bytes have been stored since."
		if d, _ := j.difference(f, newest); f.MD5 != newest.MD5 {
			finding.Message = fmt.Sprintf("%s. The stored state has its serial, %d, and %s.", left, f.Serial, d.Says())
		}
		finding.Advice = f.Source + " can be removed."
	default:
		finding.Message = fmt.Sprintf("%s: its serial is %d, and the stored state has reached %d without it.", left, f.Serial, newest.Serial)
		finding.Advice = fmt.Sprintf("Another user applied in between. Look for objects that %s knows and the state does not, import them, then remove it.", f.Source)
	}
	j.add(finding)
}

// timestamp is what "terraform state" commands put before .backup.
var timestamp = regexp.MustCompile(`\.\d{9,}$`)

// backup compares a backup with its state.
func (j *judge) backup(f *file) {
	cut := f.refusal != nil && f.refusal.Kind == statefile.KindTruncated
	if f.refusal != nil && !cut || f.unreadable != nil {
		return // a backup that is of no use is nobody's trouble until it is needed
	}
	state := j.byName[backedUp(f.Source)]
	if state == nil || !state.IsState() || state.Lineage == "" || state.Lineage != f.Lineage || f.Serial <= state.Serial {
		return
	}
	j.add(Finding{Code: CodeBackupNewer, Severity: SeverityError, Sources: []string{state.Source, f.Source},
		Message: fmt.Sprintf("The backup has serial %d, which is newer than the state's, %d: somebody put an older state in its place.", f.Serial, state.Serial),
		Advice:  fmt.Sprintf("Find out what happened. If the backup (%s) is the right one, restore it before the state is moved.", baseName(f.Source))})
}

// backedUp is the name of the state that a backup is of.
func backedUp(backup string) string {
	name, query := cutQuery(backup)
	return timestamp.ReplaceAllString(strings.TrimSuffix(name, ".backup"), "") + query
}

// cutQuery parts what a URL asks from the name of what it asks for.
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

// newestBackup is the backup with the highest serial beside a state; nil if there is
// none of which the serial is known.
func (j *judge) newestBackup(of *file) *file {
	var newest *file
	for _, f := range j.backups[of.Source] {
		if f.unreadable == nil && f.Known() && (newest == nil || f.Serial > newest.Serial) {
			newest = f
		}
	}
	return newest
}

// holdsNothing reports whether a state has neither resources nor outputs.
func (f *file) holdsNothing() bool { return f.Resources+f.Instances+f.Deposed+f.Outputs == 0 }

// fullBackup is the backup with the highest serial beside a state that holds resources or
// outputs; nil if there is none.
func (j *judge) fullBackup(of *file) *file {
	var newest *file
	for _, f := range j.backups[of.Source] {
		// Of a large backup only the beginning was read: an empty state fits into that.
		holds := !f.holdsNothing() || f.Size >= headerRoom
		if f.unreadable == nil && f.Known() && holds && (newest == nil || f.Serial > newest.Serial) {
			newest = f
		}
	}
	return newest
}

// emptyAdvice says what to do with an empty state.
func (j *judge) emptyAdvice(f *file) string {
	b := j.fullBackup(f)
	if b == nil {
		return `There is nothing to move. If nobody uses the workspace, delete it with "terraform workspace delete".`
	}
	return fmt.Sprintf(`The backup beside it (%s) has serial %d and is not empty. "terraform destroy" and "terraform init -migrate-state" leave such a pair. If neither was run, something was lost: restore the backup. Keep both files until you know.`,
		baseName(b.Source), b.Serial)
}
