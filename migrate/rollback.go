package migrate

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"tfhaul/backend"
)

// A Written is a target that a haul wrote to, and what that replaced.
type Written struct {
	// Target is the state's address.
	Target      string
	WorkspaceID string
	// Sent is what the haul wrote last, and StateVersionID its version; "" if the journal
	// does not prove that it arrived.
	Sent           Snapshot
	StateVersionID string
	// Was is what the target held before the haul; nil for nothing. Backup is the file that
	// keeps it; "" for none.
	Was    *backend.Version
	Backup string

	createdID string          // the workspace that the haul created; "" for none
	versions  map[string]bool // the IDs of all versions that the haul wrote
	recorded  bool            // Was is known: the journal is of a version of tfhaul that records it
	sending   *Snapshot       // sent, and not acknowledged so far
}

// ReadWritten returns what the haul of a journal wrote, in the order in which it did. Moves
// that wrote nothing are left out.
func ReadWritten(r io.Reader) ([]*Written, error) {
	byTarget, dir := map[string]*Written{}, ""
	var all []*Written
	_, err := readEvents(r, func(e Event) {
		dir = cmp.Or(dir, e.Dir)
		if e.Target == "" {
			return
		}
		w := byTarget[foldTarget(e.Target)]
		if w == nil {
			w = &Written{Target: e.Target}
			byTarget[foldTarget(e.Target)] = w
		}
		if e.Event == EventSending && w.Sent.MD5 == "" && w.sending == nil {
			all = append(all, w)
		}
		if e.Backup != "" && !filepath.IsAbs(e.Backup) {
			e.Backup = filepath.Join(dir, e.Backup)
		}
		w.add(e)
	})
	return all, err
}

// add adds an event.
func (w *Written) add(e Event) {
	w.WorkspaceID = cmp.Or(e.WorkspaceID, w.WorkspaceID)
	switch e.Event {
	case EventCreated:
		w.createdID = e.WorkspaceID
	case EventBackup:
		if !w.wrote() { // what the haul itself wrote is not what was there
			w.Backup = e.Backup
		}
	case EventSending:
		if e.Snapshot == nil {
			return
		}
		if !w.holds(e.Was) {
			w.Was, w.recorded = e.Was, e.Was != nil || e.Relation == Fresh
		}
		w.sending = e.Snapshot
	case EventSent:
		w.wroteVersion(e.StateVersionID)
		w.arrived(e.StateVersionID)
	case EventOutcome:
		if r := e.Result; r != nil && (r.Outcome == Moved || r.Outcome == AlreadyThere) {
			if r.Outcome == Moved || w.sending != nil {
				w.wroteVersion(r.StateVersionID)
			}
			w.arrived(r.StateVersionID)
		}
	}
}

// wrote reports whether something of the haul may be stored.
func (w *Written) wrote() bool { return w.sending != nil || w.StateVersionID != "" }

// holds reports whether a version is what the haul wrote before.
func (w *Written) holds(v *backend.Version) bool {
	if v == nil || !w.wrote() {
		return false
	}
	return v.ID == w.StateVersionID || w.sending != nil && v.MD5 == w.sending.MD5 && v.Size == w.sending.Size
}

// wroteVersion records a version of the haul.
func (w *Written) wroteVersion(id string) {
	if w.versions == nil {
		w.versions = map[string]bool{}
	}
	w.versions[id] = true
}

// arrived records that what was sent is stored.
func (w *Written) arrived(id string) {
	if id == "" {
		return
	}
	if w.sending != nil {
		w.Sent, w.sending, w.StateVersionID = *w.sending, nil, id
	} else if w.StateVersionID != "" {
		w.StateVersionID = id
	}
}

// Move returns the move that puts back what was there. name is the state's name at the
// target. An engine with IncludeEmpty carries it out.
func (w *Written) Move(target backend.Target, name string) Move {
	return Move{Object: former{w, target}, Workspace: name, Undo: w, Replace: true, Allow: []Code{CodeUnusable}}
}

// A former is what a target held before a haul: the source of a rollback.
type former struct {
	written *Written
	target  backend.Target
}

// Address returns the ID of the version.
func (f former) Address() string {
	if f.written.Was == nil {
		return "nothing"
	}
	return f.written.Was.ID
}

func (f former) Place() backend.Place                          { return backend.Place{} }
func (f former) Traits() backend.Traits                        { return f.target.Traits() }
func (f former) Holder(context.Context) (*backend.Lock, error) { return nil, nil }
func (f former) Check(context.Context, backend.Version) error  { return nil }

// Open reads the backup, or without one the version that the target keeps.
func (f former) Open(ctx context.Context, _ *backend.Version) (io.ReadCloser, backend.Version, error) {
	was := *f.written.Was
	if f.written.Backup != "" {
		if file, err := openBackup(f.written.Backup, was); err == nil {
			return file, was, nil
		}
	}
	body, err := backend.Retry(ctx, f.target.Down, func() (io.ReadCloser, error) {
		v, err := f.target.Version(ctx, was.ID)
		if err != nil {
			return nil, err
		}
		return f.target.Read(ctx, v)
	})
	return body, was, err
}

// openBackup opens a backup that holds the bytes of a version.
func openBackup(path string, v backend.Version) (io.ReadCloser, error) {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, errors.New("not a regular file")) // opening a pipe would block
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	sum := md5.New()
	size, err := io.Copy(sum, file)
	if err == nil && (size != v.Size || hex.EncodeToString(sum.Sum(nil)) != v.MD5) {
		err = errors.New("the file was changed")
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// checkUndo refuses a rollback for which there is nothing to put back.
func (x *execution) checkUndo(context.Context) error {
	w := x.Undo
	switch {
	case w == nil:
		return nil
	case w.StateVersionID == "" || w.sending != nil:
		return x.stopf(CodeNoFormer, "The haul was interrupted while it sent this state, so the journal does not record whether it arrived. Continue the haul first, then roll it back.")
	case !w.recorded:
		return x.stopf(CodeNoFormer, "The journal does not record what the workspace held before: an older version of tfhaul wrote it. Look for it in the history: %s", x.historyCommand())
	case w.Was != nil, x.deletes():
		return nil
	case x.removable():
		return x.stopf(CodeNothingBefore, "The haul created the workspace, so there is nothing to put back. To delete it, after a backup, use --delete-created.")
	case w.createdID != "":
		return x.stopf(CodeNothingBefore, "The haul created the workspace, so there is nothing to put back. If it is not needed, delete it yourself.")
	case !x.Target.Traits().Workspaces:
		return x.stopf(CodeNothingBefore, "The workspace did not exist before the haul, so there is nothing to put back. If it is not needed, delete it yourself.")
	}
	return x.stopf(CodeNothingBefore, "The workspace held no state before the haul, so there is nothing to put back. A workspace cannot be made empty again without losing its history.")
}

// decideUndo decides a rollback: the target must hold exactly what the haul wrote.
func (x *execution) decideUndo(ctx context.Context) error {
	w, was := x.Undo, x.Undo.Was
	if s := x.read.snapshot; s.MD5 != was.MD5 || s.Size != was.Size {
		return x.stopf(CodeNoFormer, "The bytes of the former state, %s, differ from those that the haul recorded, so they were not put back.", was.ID)
	}
	if w.WorkspaceID != "" && x.workspace.ID != w.WorkspaceID {
		return x.stopf(CodeAdvanced, "The workspace is not the one that the haul wrote to: it was deleted and created again, or another one has its name now.")
	}
	if x.held == nil {
		return x.stopf(CodeAdvanced, "The workspace holds no state now, but the haul wrote serial %d. Someone removed it since.", w.Sent.Serial)
	}
	if there, err := x.putBackBefore(ctx); there || err != nil {
		return err
	}
	held := x.held
	changed := held.snapshot.MD5 != w.Sent.MD5 || held.snapshot.Size != w.Sent.Size
	if changed || x.Target.Traits().Workspaces && held.version.ID != w.StateVersionID {
		return x.stopf(CodeAdvanced, "The workspace has advanced since the haul: it holds %s, but the haul wrote serial %d (%s). Putting back the former state would lose that. Nothing was written.",
			x.holds(), w.Sent.Serial, w.StateVersionID)
	}
	if !x.DryRun {
		return nil
	}
	if err := x.plan(); err != nil {
		return err
	}
	x.result.Message = x.sayf("Serial %d (%s), which the haul replaced, would be put back in place of serial %d (%s).", was.Serial, was.ID, held.serial(), held.version.ID)
	return nil
}

// putBackBefore prepares what to send, and reports whether the target holds it already.
func (x *execution) putBackBefore(ctx context.Context) (bool, error) {
	h := x.held
	if x.payload.is(h.snapshot.Size, h.snapshot.MD5) {
		x.alreadyThere()
		return true, nil
	}
	if !x.rises() || x.payload.serial > h.serial() {
		return false, nil
	}
	// What an interrupted run sent had this serial.
	if sent := x.past().sent; sent != nil && sent.MD5 == h.snapshot.MD5 && sent.Size == h.snapshot.Size {
		x.alreadyThere()
		x.result.BumpedTo = h.snapshot.Serial
		return true, nil
	}
	raised, err := x.raise(ctx)
	if err != nil {
		return false, err
	}
	x.raised = &raised
	return false, nil
}

// useRaised makes the state with the raised serial what is sent.
func (x *execution) useRaised() {
	x.payload, x.result.BumpedTo = *x.raised, x.raised.serial
}

// RollbackJournal returns where the rollback of a journal is recorded: beside it.
func RollbackJournal(journal string) string {
	ext := filepath.Ext(journal)
	return journal[:len(journal)-len(ext)] + ".rollback" + cmp.Or(ext, ".jsonl")
}
