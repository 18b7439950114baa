package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// A judge derives findings from what was read.
type judge struct {
	*taking
	findings []Finding
	byName   map[string]*file
	backups  map[string][]*file // by the name of the state
	versions map[string]*version.Version
}

func newJudge(t *taking) *judge {
	j := &judge{taking: t, byName: map[string]*file{}, backups: map[string][]*file{}, versions: map[string]*version.Version{}}
	for _, f := range t.files {
		j.byName[f.Source] = f
		if f.role == roleBackup {
			j.backups[backedUp(f.Source)] = append(j.backups[backedUp(f.Source)], f)
		}
	}
	return j
}

// all makes all findings.
func (j *judge) all(ctx context.Context) {
	for _, f := range j.files {
		j.one(f)
	}
	j.copies()
	j.sharedResources()
	j.terraformVersions()
	j.orphanedLocks(ctx)
	for _, skip := range j.noteworthy {
		severity := SeverityWarning
		if skip.Code == backend.SkipUnreadable {
			severity = SeverityError
		}
		j.add(Finding{Code: CodeUnreadable, Severity: severity, Sources: []string{skip.Name},
			Message: plainwords.Sentence("this " + strings.TrimPrefix(skip.Reason, "this ")), Advice: "Make it readable, or leave it out with --exclude."})
	}
}

// add takes a finding.
func (j *judge) add(f Finding) { j.findings = append(j.findings, f) }

// one judges a file by itself and by the files next to it.
func (j *judge) one(f *file) {
	if f.role == roleBackup {
		j.backup(f)
		return
	}
	switch {
	case f.unreadable != nil:
		j.about(f, CodeUnreadable, SeverityError, plainwords.Sentence("the file could not be read: "+cause(f.unreadable)),
			"Without it this audit is incomplete: make it readable, or leave it out with --exclude.")
	case f.refusal != nil:
		j.refused(f)
	case f.role == roleErrored:
		j.errored(f)
		j.contents(f)
	default:
		j.contents(f)
	}
	j.lock(f)
	j.digestOf(f)
	if f.changed != nil {
		j.about(f, CodeChanged, SeverityWarning, "The state changed while it was being read.", "It is in use. Run the audit again later.")
	}
}

// about adds a finding about one file.
func (j *judge) about(f *file, code Code, severity Severity, message, advice string) {
	j.add(Finding{Code: code, Severity: severity, Message: message, Advice: advice, Sources: []string{f.Source}})
}

// refused reports a file that is not a state that can be moved.
func (j *judge) refused(f *file) {
	// An Error's text consists of the description and the advice.
	what, advice, _ := strings.Cut(f.refusal.Error(), "; ")
	code, severity := CodeInvalid, SeverityError
	switch f.refusal.Code() {
	case "encrypted":
		code = CodeEncrypted
	case "too-new-format":
		code = CodeTooNewFormat
	case "not-state":
		code, severity = CodeNotState, SeverityWarning
	case "empty":
		code, severity = CodeEmpty, SeverityWarning
	}
	advice = plainwords.Sentence(advice)
	if b := j.newestBackup(f, false); b != nil {
		switch code {
		case CodeInvalid:
			advice += fmt.Sprintf(" The backup next to it (%s) has serial %d.", baseName(b.Source), b.Serial)
		case CodeEmpty:
			advice += fmt.Sprintf(` "terraform init -migrate-state" leaves such files. If it was not run, state was lost: the backup next to it (%s) has serial %d.`, baseName(b.Source), b.Serial)
		}
	}
	j.about(f, code, severity, plainwords.Sentence(what), advice)
}

// contents reports problems of a readable state.
func (j *judge) contents(f *file) {
	if f.holdsNothing() {
		j.about(f, CodeEmpty, SeverityInfo, "The state is empty: it has no resources and no outputs.", j.emptyAdvice(f))
	}
	if f.Format < 4 {
		j.about(f, CodeLegacyFormat, SeverityWarning, fmt.Sprintf("The state has format %d, from a Terraform older than 0.12.", f.Format),
			"The server may reject it. To convert it to format 4, apply a change with a newer Terraform before the move.")
	} else if f.Lineage == "" {
		j.about(f, CodeNoLineage, SeverityInfo, "The state has no lineage: nothing distinguishes it from another state with the same serial.",
			"Let Terraform write it again before you move it; otherwise only the serial and the bytes are compared.")
	}
	j.terraformVersionOf(f)
	j.providersOf(f)
	j.secretsOf(f)
	if f.Size >= j.Large {
		j.about(f, CodeVeryLarge, SeverityWarning, fmt.Sprintf("The state is very large: %.0f MiB, %d resources. Every plan and apply reads all of it.", float64(f.Size)/(1<<20), f.Resources),
			"Split the configuration, so that resources that change together share a state.")
	}
	if f.Deposed > 0 {
		j.about(f, CodeDeposed, SeverityWarning, fmt.Sprintf("The state holds %s, which were replaced but not destroyed because an apply was interrupted.", plainwords.Counted(f.Deposed, "deposed object")),
			"They still exist and cost money. The next apply destroys them.")
	}
	if f.Tainted > 0 {
		j.about(f, CodeTainted, SeverityInfo, fmt.Sprintf("The state holds %s, which the next apply replaces.", plainwords.Counted(f.Tainted, "tainted object")),
			`Apply before the move, or run "terraform untaint" for those to keep.`)
	}
	if f.FailedChecks > 0 {
		j.about(f, CodeFailedChecks, SeverityInfo, fmt.Sprintf("Of %s, %d did not pass when the state was written.", plainwords.Counted(f.Checks, "check"), f.FailedChecks),
			`Run "terraform plan" to see them.`)
	}
}

// longHeld is the age from which a lock was probably left behind.
const longHeld = 24 * time.Hour

// lock reports the source's own lock.
func (j *judge) lock(f *file) {
	if f.lockErr != nil {
		j.about(f, CodeUnreadable, SeverityWarning, plainwords.Sentence(cause(f.lockErr)), "Find out who uses the state before you move it.")
	}
	l := f.Lock
	if l == nil {
		return
	}
	if target, haul, ours := l.Move(); ours {
		j.frozen(f, target, haul)
		return
	}
	who := "The state is locked at its source"
	if l.Who != "" {
		who += " by " + plainwords.Brief(l.Who)
	}
	if l.Operation != "" {
		who += " (" + plainwords.Brief(l.Operation) + ")"
	}
	if !l.Created.IsZero() {
		who += " since " + l.Created.UTC().Format(time.RFC3339)
	}
	held := !l.Created.IsZero() && j.Now.Sub(l.Created) >= longHeld
	if held {
		who += ", which is " + days(j.Now.Sub(l.Created))
	}
	free := lift(l) + "."
	if l.ID != "" {
		who += "; the lock's ID is " + plainwords.Brief(l.ID)
	}
	if held {
		j.about(f, CodeStaleLock, SeverityWarning, who+".", "Terraform was probably killed there. If nobody uses the state: "+free)
		return
	}
	j.about(f, CodeLocked, SeverityWarning, who+".", "Wait until it is released. If nobody uses the state: "+free)
}

// lift returns how to remove a lock. Only a file's name, which other users cannot choose,
// is given in full.
func lift(l *backend.Lock) string {
	if l.IsFile {
		return l.Lift()
	}
	return plainwords.Brief(l.Lift())
}

// frozen reports a lock that a haul holds or has left to freeze the source.
func (j *judge) frozen(f *file, target, haul string) {
	since := ""
	if !f.Lock.Created.IsZero() {
		since = " since " + f.Lock.Created.UTC().Format(time.RFC3339)
	}
	j.about(f, CodeLocked, SeverityInfo,
		fmt.Sprintf("The source has been frozen by tfhaul%s: haul %s moved this state to %s, or is moving it now.", since, plainwords.Brief(haul), plainwords.Brief(target)),
		"Use that workspace. If the haul was interrupted, resume it. To use the source again, remove the lock: "+lift(f.Lock)+".")
}

// digestOf compares the digest that the backend recorded with the state's.
func (j *judge) digestOf(f *file) {
	switch {
	case f.digestErr != nil:
		j.about(f, CodeUnreadable, SeverityWarning, plainwords.Sentence("the digest that the backend keeps could not be read: "+cause(f.digestErr)),
			"Terraform could not read the state either: repair the item in the table, or grant permission to read it.")
	case f.digest != "" && f.unreadable == nil && f.changed == nil && f.MD5 != "" && f.digest != f.MD5:
		j.about(f, CodeStaleDigest, SeverityError, fmt.Sprintf("The DynamoDB table has digest %s, but the state's digest is %s: Terraform refuses to read it.", f.digest, f.MD5),
			"One was written without the other. Find out which is right: restore the object's earlier version, or set the table's item to the state's digest.")
	}
}

// orphanedLocks finds locks without a state.
func (j *judge) orphanedLocks(ctx context.Context) {
	for _, skip := range j.locks {
		if ctx.Err() != nil {
			return
		}
		if !slices.ContainsFunc(lockedBy(skip.Name), func(name string) bool { return j.exists(ctx, name) }) {
			j.add(Finding{Code: CodeOrphanedLock, Severity: SeverityWarning, Sources: []string{skip.Name},
				Message: "This lock has no state next to it: the state was moved or deleted while locked, or its first apply never finished.",
				Advice:  "If nobody uses this place, remove the lock: it would block the next Terraform that does."})
		}
	}
}

// lockedBy returns the possible names of the state that a lock file locks.
func lockedBy(lock string) []string {
	if state, ok := strings.CutSuffix(lock, ".tflock"); ok {
		return []string{state}
	}
	// Also for URLs with a query, and on Windows.
	end := strings.LastIndex(lock, ".tflock?")
	if end >= 0 {
		return []string{lock[:end] + lock[end+len(".tflock"):]}
	}
	state := strings.TrimSuffix(lock, ".lock.info")
	cut := strings.LastIndexAny(state, `/\`) + 1
	dir, base := state[:cut], state[cut:]
	// Terraform adds no second dot to a name that starts with one.
	return []string{dir + strings.TrimPrefix(base, "."), dir + base}
}

// exists reports whether a file with this name exists, or may exist.
func (j *judge) exists(ctx context.Context, name string) bool {
	if j.byName[name] != nil {
		return true
	}
	listing, err := j.Kinds.Find(ctx, name, j.Filter)
	if err != nil || len(listing.States) != 1 {
		return false
	}
	// Opening an object is the first request to the bucket.
	body, _, err := listing.States[0].Open(ctx, nil)
	if err == nil {
		_ = body.Close() // nothing was read
	}
	var server *backend.Error
	if errors.As(err, &server) {
		return server.Code != backend.NoState // a file that cannot be accessed may exist
	}
	return err == nil || ctx.Err() != nil
}
