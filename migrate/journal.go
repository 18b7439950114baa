package migrate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/prove"
)

// JournalFormat is written into the first event of every journal.
const JournalFormat = "tfhaul-journal/1"

// What an Event announces or records.
const (
	EventHaul            = "haul"              // a process started to work on the haul
	EventPlanned         = "planned"           // the moves of this run are about to begin
	EventIntent          = "intent"            // a move was decided and will be carried out
	EventCreating        = "creating"          // the workspace is about to be created; its settings wait for the state
	EventCreated         = "created"           // the workspace was created
	EventLocking         = "locking"           // the lock request is about to be sent
	EventWaiting         = "waiting"           // another user holds the lock (not journaled)
	EventLocked          = "locked"            // the lock is ours
	EventLockRequestLost = "lock-request-lost" // the response to a lock request was lost; it may take effect later
	EventBackup          = "backup"            // the state to be replaced was saved to a file
	EventSending         = "sending"           // the state is about to be sent
	EventSent            = "sent"              // the server acknowledged a state version
	EventVerified        = "verified"          // the state version was read back and matches
	EventUnlocking       = "unlocking"         // the lock is about to be released
	EventUnlocked        = "unlocked"          // the lock is no longer ours
	EventCarried         = "carried"           // an older version is stored and was read back
	EventDeleting        = "deleting"          // a rollback is about to delete what the haul created
	EventDeleted         = "deleted"           // it is gone
	EventConfiguring     = "configuring"       // the settings that wait for the state are about to be applied
	EventConfigured      = "configured"        // all of them are applied
	EventLockKept        = "lock-kept"         // the lock stays, because the state could not be verified
	EventSourceLocked    = "source-locked"     // the source's own lock is ours
	EventSourceFreed     = "source-freed"      // the source's own lock was released
	EventProof           = "proof"             // the workspace was checked; Proof has the verdict
	EventOutcome         = "outcome"           // the move ended; Result has the outcome
	EventSourcesChecked  = "sources-checked"   // the sources of the run's moves did not change, unless a later outcome says so
)

// An Event is a line of the journal, and what an observer receives about a move. It
// holds identities, serials, MD5s and ids: no state content, token or signed URL.
type Event struct {
	Time   time.Time `json:"time"`
	Event  string    `json:"event"`
	Format string    `json:"format,omitempty"` // of the first event: JournalFormat
	Haul   string    `json:"haul,omitempty"`

	// Dir is the working directory of the process that began the journal: relative names of
	// sources are below it.
	Dir string `json:"dir,omitempty"`
	// Moves is how many moves were planned.
	Moves int `json:"moves,omitempty"`
	// Command is the command that continues the haul.
	Command string `json:"command,omitempty"`

	Source string `json:"source,omitempty"`
	Target string `json:"target,omitempty"`

	WorkspaceID string `json:"workspace_id,omitempty"`
	// LockReason is the reason on the lock, which identifies it as ours.
	LockReason string `json:"lock_reason,omitempty"`
	// Version is the version of the source that was read.
	Version        *backend.Version `json:"version,omitempty"`
	Relation       Relation         `json:"relation,omitempty"`
	Snapshot       *Snapshot        `json:"snapshot,omitempty"`
	StateVersionID string           `json:"state_version_id,omitempty"`
	// Was is, when a state is about to be sent, what the target holds; nil for nothing.
	Was    *backend.Version `json:"was,omitempty"`
	Backup string           `json:"backup,omitempty"`
	// SourceLockID is the id of the source's own lock.
	SourceLockID string  `json:"source_lock_id,omitempty"`
	Result       *Result `json:"result,omitempty"`
	// Proof is the verdict on the workspace. It holds no values of the state.
	Proof *prove.Result `json:"proof,omitempty"`

	// Older is the ID, at the source, of the older version that the event is about; "" for
	// the current one. Carried is one that arrived, the Index-th of its state.
	Older   string   `json:"older,omitempty"`
	Carried *Carried `json:"carried,omitempty"`
	Index   int      `json:"index,omitempty"`

	// Holder is who holds the lock that the move waits for. It is not journaled.
	Holder string `json:"-"`
}

// A Journal records a haul in a file, one JSON object per line. It is safe for concurrent use.
// Only one process at a time can write to a journal.
type Journal struct {
	file   *os.File
	haul   string
	writer *lineWriter

	// tolerate, if not nil, is called once when an event cannot be written. The moves
	// continue, and nothing more is recorded.
	tolerate  func(error)
	tolerated sync.Once
}

// ErrJournalInUse is returned when another process is writing to the journal.
var ErrJournalInUse = errors.New("another process is using it")

// OpenJournal opens the journal at path and returns it with what it has recorded so
// far. A journal that does not exist is created, readable by its owner only, with a new
// haul ID. OpenJournal drops a last line that a crash cut off; it fails on anything else
// that is not an event. A panic while writing reaches the handler of ctx.
func OpenJournal(ctx context.Context, path string) (*Journal, *Ledger, error) {
	// Opening a pipe would block, and a device cannot store a journal.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, nil, fmt.Errorf("cannot open the journal %q: it is not a regular file", path)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the journal %q: %w", path, plainwords.WithoutPath(err))
	}
	past, end, err := readPast(file)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cannot use the journal %q: %w", path, err), file.Close())
	}
	if past.Events() > 0 {
		return startJournal(ctx, file, past.Haul(), end), past, nil
	}
	j := startJournal(ctx, file, NewHaulID(), 0)
	if err := j.begin(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cannot use the journal %q: %w", path, err), j.Close())
	}
	return j, past, nil
}

// CreateJournal creates a journal at path, readable by its owner only, for a haul whose ID
// is known. It fails if the file exists. tolerate, if not nil, is called once if an event
// cannot be written later: the journal then records nothing more, and Append returns nil.
func CreateJournal(ctx context.Context, path, haul string, tolerate func(error)) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot create the journal %q: %w", path, plainwords.WithoutPath(err))
	}
	unusable := func(err error, closed error) error {
		// We created the file, and it is empty.
		return errors.Join(fmt.Errorf("cannot write the journal %q: %w", path, err), closed, os.Remove(path))
	}
	if err := claim(file); err != nil {
		return nil, unusable(err, file.Close())
	}
	j := startJournal(ctx, file, haul, 0)
	if err := j.begin(); err != nil {
		return nil, unusable(err, j.Close())
	}
	j.tolerate = tolerate
	return j, nil
}

// startJournal returns a journal that appends to a claimed file from end on.
func startJournal(ctx context.Context, file *os.File, haul string, end int64) *Journal {
	return &Journal{file: file, haul: haul, writer: startWriter(ctx, file, end)}
}

// begin writes the first event of a new journal.
func (j *Journal) begin() error {
	dir, _ := os.Getwd() // the journal is usable without it
	return j.Append(Event{Event: EventHaul, Format: JournalFormat, Haul: j.haul, Dir: dir})
}

// JournalInUse reports whether a process is writing to the journal at path. It changes nothing.
func JournalInUse(path string) (bool, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false, err // opening a pipe would block
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	err = claim(file)
	if errors.Is(err, ErrJournalInUse) {
		return true, file.Close()
	}
	if err == nil {
		err = disclaim(file)
	}
	return false, errors.Join(err, file.Close())
}

// readPast claims the file for this process, reads its events, and returns the offset of the
// next line.
func readPast(file *os.File) (*Ledger, int64, error) {
	if err := claim(file); err != nil {
		return nil, 0, err
	}
	past := NewLedger(nil)
	end, err := readEvents(file, past.Add)
	if err != nil {
		return nil, 0, err
	}
	return past, end, dropCutLine(file, end, past.Events() == 0)
}

// Every line of a journal begins with lineStart, and the first one is shorter than
// maxFirstLine bytes.
const (
	lineStart    = `{"time":"`
	maxFirstLine = 32 << 10
)

// dropCutLine truncates the file after the complete lines if a crash cut off the last event.
// Anything else is another program's file, named by mistake, and stays unchanged. If not even
// the first line is complete, only the format's name in it proves that the file is ours.
func dropCutLine(file *os.File, whole int64, first bool) error {
	tail, err := io.ReadAll(io.NewSectionReader(file, whole, maxLine))
	if err != nil {
		return err
	}
	n := min(len(tail), len(lineStart))
	ours := string(tail[:n]) == lineStart[:n]
	// A crash can also extend the file with zeros.
	blank := len(bytes.Trim(tail, "\x00")) == 0
	if first {
		blank = len(tail) == 0
		ours = ours && len(tail) <= maxFirstLine && bytes.Contains(tail, []byte(`"event":"haul","format":"`+JournalFormat+`"`))
	}
	if !ours && !blank {
		return errors.New("its last line is not a journal event; check that this is a tfhaul journal")
	}
	return file.Truncate(whole)
}

// maxLine is the longest line of a journal that is read, in bytes; ours have a few KB.
const maxLine = 1 << 20

// readEvents passes each event to take, up to the first incomplete line, and returns the size of
// the complete lines.
func readEvents(r io.Reader, take func(Event)) (whole int64, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	lines.Split(completeLines)
	haul, n := "", 1
	for ; lines.Scan(); n++ {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Event == "" {
			return 0, notAnEvent(n, haul)
		}
		if n == 1 {
			if e.Format != JournalFormat {
				return 0, fmt.Errorf("its format is %q, but this version of tfhaul reads %q; use the version that wrote it", e.Format, JournalFormat)
			}
			haul = e.Haul
		}
		if e.Version == nil {
			e.Version = versionOfPin(lines.Bytes())
		}
		whole += int64(len(lines.Bytes())) + 1
		take(e)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return 0, notAnEvent(n, haul)
	} else if err != nil {
		return 0, err
	}
	return whole, nil
}

// notAnEvent returns the error for a line that is not an event, with advice for a damaged
// journal. haul is the ID in its first line.
func notAnEvent(line int, haul string) error {
	if line == 1 {
		return errors.New("line 1 is not a journal event; check that this is a tfhaul journal")
	}
	return fmt.Errorf("line %d is damaged, so what happened after it is unknown. Check the workspaces. To unlock one that haul %s left locked: tfhaul unlock [HOST/]ORG/WORKSPACE --haul %[2]s",
		line, haul)
}

// completeLines splits at newlines and drops what follows the last one.
func completeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF {
		return len(data), nil, nil
	}
	return 0, nil, nil
}

// Haul returns the ID of the haul that the journal records.
func (j *Journal) Haul() string { return j.haul }

// followed reports whether the event needs no sync of its own: it announces no step, and
// another event of the same move follows, which is synced. If the machine fails in between, a
// later run finds the move as if it had ended one event earlier.
func (e *Event) followed() bool {
	switch e.Event {
	case EventIntent, EventLocked, EventSent, EventVerified, EventUnlocked:
		return true
	}
	return false
}

// Append writes an event and returns when it is on the disk, with all before it. It does not
// wait for events that are followed by others. After the first failure it writes nothing more:
// every later call that waits, and Close, return the same error.
func (j *Journal) Append(e Event) error {
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	line, err := json.Marshal(&e)
	write := j.writer.append
	if e.followed() {
		write = j.writer.follow
	}
	if err == nil {
		err = write(append(line, '\n'))
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("cannot write the journal: %w", err)
	if j.tolerate == nil {
		return err
	}
	j.tolerated.Do(func() { j.tolerate(err) })
	return nil
}

// Close waits until all events are on the disk and closes the file, so that another process can
// resume the haul.
func (j *Journal) Close() error {
	return errors.Join(j.writer.close(), disclaim(j.file), j.file.Close())
}

// NewHaulID returns a new ID for a haul: the time, for people, and a random part that makes it
// unique.
func NewHaulID() string {
	var random [6]byte
	rand.Read(random[:]) // never fails
	return time.Now().UTC().Format("20060102-150405-") + hex.EncodeToString(random[:])
}
