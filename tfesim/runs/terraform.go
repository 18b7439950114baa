package runs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"tfhaul/tfesim/blobs"
)

// terraform runs the program in the folder; its output goes to the log, or to stdout.
func (s *Service) terraform(x *execution, f *folder, stdout io.Writer, args ...string) (code int, err error) {
	ctx, cancel := context.WithTimeout(x.ctx, longestRun)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.executor.terraform, args...)
	cmd.Dir, cmd.Env = f.work, f.env
	cmd.Stdout, cmd.Stderr = stdout, &x.log
	if runtime.GOOS != "windows" {
		// terraform ends cleanly when it is interrupted, and is killed when it does not.
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	}
	cmd.WaitDelay = 20 * time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return -1, ctx.Err()
	case errors.As(err, &exit):
		return exit.ExitCode(), nil
	}
	return 0, err
}

// A counts is how many resources a plan or an apply is about.
type counts struct{ added, changed, destroyed, imported int }

// A planned is what a plan came to.
type planned struct {
	json       *blobs.Blob
	redacted   *blobs.Blob
	hasChanges bool
	about      counts
}

func (p planned) counts() (added, changed, destroyed, imported int) {
	return p.about.added, p.about.changed, p.about.destroyed, p.about.imported
}

// errFailed is that terraform said itself what went wrong.
var errFailed = errors.New("terraform ended with an error")

// executePlan initialises, plans, and shows the plan as JSON.
func (s *Service) executePlan(x *execution, f *folder, j *job) (planned, error) {
	if err := s.greet(x, f, j); err != nil {
		return planned{}, err
	}
	fmt.Fprintln(&x.log, "Initializing plugins and modules...")
	if code, err := s.terraform(x, f, &x.log, "init", "-input=false", "-no-color", "-reconfigure"); err != nil || code != 0 {
		return planned{}, errors.Join(err, failed(code))
	}
	args := []string{"plan", "-input=false", "-no-color", "-detailed-exitcode", "-out=" + f.path(planName),
		"-var-file=" + f.path(variablesName), "-var-file=" + f.path(runVarsName)}
	for flag, wanted := range map[string]bool{"-destroy": j.run.Destroy, "-refresh=false": j.run.NoRefresh, "-refresh-only": j.run.RefreshOnly} {
		if wanted {
			args = append(args, flag)
		}
	}
	for _, address := range j.run.Targets {
		args = append(args, "-target="+address)
	}
	for _, address := range j.run.Replaces {
		args = append(args, "-replace="+address)
	}
	code, err := s.terraform(x, f, &x.log, args...)
	if err != nil || code != 0 && code != 2 {
		return planned{}, errors.Join(err, failed(code))
	}
	shown, err := s.showPlan(x, f)
	if err != nil {
		return planned{}, err
	}
	about, err := s.countChanges(shown)
	if err != nil {
		s.discard(shown)
		return planned{}, err
	}
	redacted, err := s.redactPlan(x, f, shown)
	if err != nil {
		s.discard(shown)
		return planned{}, err
	}
	return planned{json: shown, redacted: redacted, hasChanges: code == 2, about: about}, nil
}

func failed(code int) error {
	if code == 0 {
		return nil
	}
	return errFailed
}

// greet begins the log as the real one begins, and says so when the workspace asks for another
// Terraform than there is.
func (s *Service) greet(x *execution, f *folder, j *job) error {
	var out strings.Builder
	if code, err := s.terraform(x, f, &out, "version", "-json"); err != nil || code != 0 {
		return errors.Join(err, failed(code))
	}
	var about struct {
		Version  string `json:"terraform_version"`
		Platform string `json:"platform"`
	}
	if err := json.Unmarshal([]byte(out.String()), &about); err != nil {
		return errors.New("the terraform on PATH does not tell its version")
	}
	fmt.Fprintf(&x.log, "Terraform v%s\non %s\n", about.Version, about.Platform)
	if asked := j.run.Version; asked != about.Version && regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(asked) {
		fmt.Fprintf(&x.log, "(The workspace asks for Terraform %s; this server has %s and executes the run by that.)\n", asked, about.Version)
	}
	return nil
}

// showPlan writes the plan's JSON into a blob.
func (s *Service) showPlan(x *execution, f *folder) (*blobs.Blob, error) {
	writer, err := s.options.Blobs.Create()
	if err != nil {
		return nil, err
	}
	code, err := s.terraform(x, f, writer, "show", "-json", f.path(planName))
	if err = errors.Join(err, failed(code)); err == nil {
		var b *blobs.Blob
		if b, err = writer.Finish(); err == nil {
			return b, nil
		}
	}
	return nil, errors.Join(err, writer.Abort())
}

// countChanges counts a plan's changes as the API tells them.
func (s *Service) countChanges(b *blobs.Blob) (counts, error) {
	content, err := s.options.Blobs.Open(b.ID)
	if err != nil {
		return counts{}, err
	}
	defer content.Close()
	var plan struct {
		ResourceChanges []struct {
			Mode   string `json:"mode"`
			Change struct {
				Actions   []string        `json:"actions"`
				Importing json.RawMessage `json:"importing"`
			} `json:"change"`
		} `json:"resource_changes"`
	}
	if err := json.NewDecoder(content).Decode(&plan); err != nil {
		return counts{}, errors.New("terraform's JSON of the plan could not be read")
	}
	var n counts
	for _, r := range plan.ResourceChanges {
		if r.Mode != "managed" {
			continue
		}
		if len(r.Change.Importing) > 0 && string(r.Change.Importing) != "null" {
			n.imported++
		}
		for _, action := range r.Change.Actions {
			switch action {
			case "create":
				n.added++
			case "update":
				n.changed++
			case "delete":
				n.destroyed++
			}
		}
	}
	return n, nil
}

// planFolder is the folder of a run's plan, found again for its apply.
func (s *Service) planFolder(x *execution, j *job) (*folder, error) {
	dir := s.executor.folder(x.run)
	if dir == "" {
		return nil, errors.New("the plan of this run is gone")
	}
	f := &folder{dir: dir}
	directory, err := os.ReadFile(f.path(workName))
	if err != nil {
		return nil, err
	}
	f.work = filepath.Join(f.path("configuration"), filepath.FromSlash(string(directory)))
	f.env = s.environment(f, j)
	return f, nil
}

// appliedLine is what terraform says at the end of an apply.
var appliedLine = regexp.MustCompile(`Resources: (?:(\d+) imported, )?(\d+) added, (\d+) changed, (\d+) destroyed`)

// executeApply applies the plan.
func (s *Service) executeApply(x *execution, f *folder) (counts, error) {
	code, err := s.terraform(x, f, &x.log, "apply", "-input=false", "-no-color", f.path(planName))
	var did counts
	if m := appliedLine.FindSubmatch(x.log.part(0, 0)); m != nil {
		for i, into := range []*int{&did.imported, &did.added, &did.changed, &did.destroyed} {
			// Digits, or nothing.
			*into, _ = strconv.Atoi(string(m[i+1]))
		}
	}
	return did, errors.Join(err, failed(code))
}

// serialLine is the serial in the header of a state as terraform writes it.
var serialLine = regexp.MustCompile(`(?m)^  "serial": \d+,$`)

// takeState reads the state that terraform left; nil when it is the one that was there. A
// state that was only rewritten, in a newer format or by a newer version, keeps its serial:
// that becomes the next one, as a version of its own must have.
func (s *Service) takeState(f *folder, j *job) (*State, error) {
	raw, err := os.ReadFile(f.state(j.workspace))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var header struct {
		Serial  int64  `json:"serial"`
		Lineage string `json:"lineage"`
	}
	if err := json.Unmarshal(raw, &header); err != nil {
		return nil, errors.New("the state that terraform wrote could not be read")
	}
	if j.state != nil && header.Serial <= j.known && !s.same(j.state, raw) {
		header.Serial = j.known + 1
		first := true
		raw = serialLine.ReplaceAllFunc(raw, func(line []byte) []byte {
			if !first {
				return line
			}
			first = false
			return fmt.Appendf(nil, `  "serial": %d,`, header.Serial)
		})
	}
	b, err := blobs.Keep(s.options.Blobs, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if j.state != nil && b.MD5 == j.state.MD5 {
		s.discard(b)
		return nil, nil
	}
	return &State{Blob: b, Serial: header.Serial, Lineage: header.Lineage, Run: j.run.ID, CreatedBy: j.run.CreatedBy}, nil
}

// discard deletes blobs that no record refers to.
func (s *Service) discard(gone ...*blobs.Blob) {
	// What cannot be deleted now is deleted at the next start.
	_ = s.host.Do(func() { s.host.Discard(gone...) })
}

// same says whether a blob holds these bytes.
func (s *Service) same(b *blobs.Blob, raw []byte) bool {
	content, err := s.options.Blobs.Open(b.ID)
	if err != nil {
		return false
	}
	defer content.Close()
	held, err := io.ReadAll(content)
	return err == nil && string(held) == string(raw)
}
