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

// A judge turns what was read into findings.
type judge struct {
	*taking
	findings []Finding
	byName   map[string]*file
	backups  map[string][]*file // by the name of their state
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

// all finds all there is to find.
func (j *judge) all(ctx context.Context) {
	for _, f := range j.files {
		j.one(f)
	}
	j.copies()
	j.sharedResources()
	j.terraformVersions()
	j.orphanedLocks(ctx)
	for _, skip := range j.odd {
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

// one judges a file by itself, or by the files next to it.
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
		j.about(f, CodeChanged, SeverityWarning, "The state was written while it was read.", "Somebody works with it: audit it again when they are done.")
	}
}

// about adds a finding about one file.
func (j *judge) about(f *file, code Code, severity Severity, message, advice string) {
	j.add(Finding{Code: code, Severity: severity, Message: message, Advice: advice, Sources: []string{f.Source}})
}

// refused reports a file that cannot be moved as a state.
func (j *judge) refused(f *file) {
	// An Error's text is what it is, and what to do.
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
	if b := j.newestBackup(f); b != nil {
		switch code {
		case CodeInvalid:
			advice += fmt.Sprintf(" The backup beside it (%s) has serial %d.", baseName(b.Source), b.Serial)
		case CodeEmpty:
			advice += fmt.Sprintf(` "terraform init -migrate-state" leaves such files. If it did not, something was lost: the backup beside it (%s) has serial %d.`, baseName(b.Source), b.Serial)
		}
	}
	j.about(f, code, severity, plainwords.Sentence(what), advice)
}

// contents reports problems of a readable state.
func (j *judge) contents(f *file) {
	if f.holdsNothing() {
		j.about(f, CodeEmpty, SeverityInfo, "The state is empty: it holds neither resources nor outputs.", j.emptyAdvice(f))
	}
	if f.Format < 4 {
		j.about(f, CodeLegacyFormat, SeverityWarning, fmt.Sprintf("The state has format %d, of a Terraform older than 0.12.", f.Format),
			"Current releases of Terraform read it and write format 4 with the next change. Make one before the move, because it is unproven what today's servers make of older formats.")
	} else if f.Lineage == "" {
		j.about(f, CodeNoLineage, SeverityInfo, "The state has no lineage: nothing tells it from another state of the same serial.",
			"Let Terraform write it anew before it is moved; until then serial and bytes alone decide.")
	}
	j.terraformVersionOf(f)
	j.providersOf(f)
	j.secretsOf(f)
	if f.Size >= j.Large {
		j.about(f, CodeVeryLarge, SeverityWarning, fmt.Sprintf("The state is very large: %.0f MiB, %d resources. Every plan and apply reads all of it.", float64(f.Size)/(1<<20), f.Resources),
			"Split the configuration, so that what changes together stands together.")
	}
	if f.Deposed > 0 {
		j.about(f, CodeDeposed, SeverityWarning, fmt.Sprintf("The state holds %s, replaced and not destroyed, because an apply broke off.", plainwords.Counted(f.Deposed, "deposed object")),
			"They still exist, and still cost: the next apply destroys them.")
	}
	if f.Tainted > 0 {
		j.about(f, CodeTainted, SeverityInfo, fmt.Sprintf("The state holds %s, which the next apply replaces.", plainwords.Counted(f.Tainted, "tainted object")),
			`Apply before the move, or "terraform untaint" what is to stay.`)
	}
	if f.FailedChecks > 0 {
		j.about(f, CodeFailedChecks, SeverityInfo, fmt.Sprintf("Of %s, %d did not pass when the state was written.", plainwords.Counted(f.Checks, "check"), f.FailedChecks),
			`See what "terraform plan" says of them.`)
	}
}

// longHeld is the age from which a lock is taken for one that was left behind.
const longHeld = 24 * time.Hour

// lock reports the source's own lock.
func (j *judge) lock(f *file) {
	if f.lockErr != nil {
		j.about(f, CodeUnreadable, SeverityWarning, plainwords.Sentence(cause(f.lockErr)), "Find out who works with the state before it is moved.")
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
		j.about(f, CodeStaleLock, SeverityWarning, who+".", "Most likely a Terraform was killed there. If nobody works with it any more: "+free)
		return
	}
	j.about(f, CodeLocked, SeverityWarning, who+".", "Wait for that to end. If nobody works there any more: "+free)
}

// lift says how to remove a lock. Only a file's name, which others did not choose, is given whole.
func lift(l *backend.Lock) string {
	if l.IsFile {
		return l.Lift()
	}
	return plainwords.Brief(l.Lift())
}

// frozen reports a lock that a haul holds, or has left to freeze the source.
func (j *judge) frozen(f *file, target, haul string) {
	since := ""
	if !f.Lock.Created.IsZero() {
		since = " since " + f.Lock.Created.UTC().Format(time.RFC3339)
	}
	j.about(f, CodeLocked, SeverityInfo,
		fmt.Sprintf("The source has been frozen by tfhaul%s: haul %s moved this state to %s, or is moving it now.", since, plainwords.Brief(haul), plainwords.Brief(target)),
		"Work with that workspace. If the haul was cut off, resume it. To use the source again, lift the lock: "+lift(f.Lock)+".")
}

// digestOf compares what the backend noted with what is there.
func (j *judge) digestOf(f *file) {
	switch {
	case f.digestErr != nil:
		j.about(f, CodeUnreadable, SeverityWarning, plainwords.Sentence("the digest that the backend keeps could not be read: "+cause(f.digestErr)),
			"Terraform would not read the state either: mend the table's item, or give us the right to read it.")
	case f.digest != "" && f.unreadable == nil && f.changed == nil && f.MD5 != "" && f.digest != f.MD5:
		j.about(f, CodeStaleDigest, SeverityError, fmt.Sprintf("The DynamoDB table holds the digest %s, and the state's is %s: Terraform refuses to read it.", f.digest, f.MD5),
			"Someone wrote one without the other. Find out which is the right one: restore the object's earlier version, or set the table's item to the state's digest.")
	}
}

// orphanedLocks finds locks beside which no state lies.
func (j *judge) orphanedLocks(ctx context.Context) {
	for _, skip := range j.locks {
		if ctx.Err() != nil {
			return
		}
		if !slices.ContainsFunc(lockedBy(skip.Name), func(name string) bool { return j.exists(ctx, name) }) {
			j.add(Finding{Code: CodeOrphanedLock, Severity: SeverityWarning, Sources: []string{skip.Name},
				Message: "This lock has no state beside it: the state was moved or deleted under it, or its first apply never ended.",
				Advice:  "If nobody works there any more, remove it: it would stop the next Terraform that uses this place."})
		}
	}
}

// lockedBy are the names that the state may have that a file locks.
func lockedBy(lock string) []string {
	if state, ok := strings.CutSuffix(lock, ".tflock"); ok {
		return []string{state}
	}
	// Of a URL with a query, and of Windows, too.
	end := strings.LastIndex(lock, ".tflock?")
	if end >= 0 {
		return []string{lock[:end] + lock[end+len(".tflock"):]}
	}
	state := strings.TrimSuffix(lock, ".lock.info")
	cut := strings.LastIndexAny(state, `/\`) + 1
	dir, base := state[:cut], state[cut:]
	// Terraform writes no second dot before a name that begins with one.
	return []string{dir + strings.TrimPrefix(base, "."), dir + base}
}

// exists reports whether there is a file of this name, for all that is known.
func (j *judge) exists(ctx context.Context, name string) bool {
	if j.byName[name] != nil {
		return true
	}
	listing, err := j.Kinds.Find(ctx, name, j.Filter)
	if err != nil || len(listing.States) != 1 {
		return false
	}
	// A bucket is not asked before the object is opened.
	body, _, err := listing.States[0].Open(ctx, nil)
	if err == nil {
		_ = body.Close() // it was not read
	}
	var server *backend.Error
	if errors.As(err, &server) {
		return server.Code != backend.NoState // what cannot be looked at may be there
	}
	return err == nil || ctx.Err() != nil
}
