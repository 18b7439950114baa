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

// terraform runs terraform in a folder. Its errors go to the log.
func (s *Service) terraform(x *execution, f *folder, stdout io.Writer, args ...string) (code int, err error) {
	ctx, cancel := context.WithTimeout(x.ctx, longestRun)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.executor.terraform, args...)
	cmd.Dir, cmd.Env = f.work, f.env
	cmd.Stdout, cmd.Stderr = stdout, &x.log
	if runtime.GOOS != "windows" {
		// Terraform exits cleanly on an interrupt. If it does not, it is killed after WaitDelay.
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

// A planned is the result of a plan.
type planned struct {
	json       *blobs.Blob
	redacted   *blobs.Blob
	hasChanges bool
	counts
}

// errFailed is returned when terraform exits with an error, which is in the log.
var errFailed = errors.New("terraform ended with an error")

// executePlan runs init and plan, and stores the plan as JSON.
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
	return planned{json: shown, redacted: redacted, hasChanges: code == 2, counts: about}, nil
}

func failed(code int) error {
	if code == 0 {
		return nil
	}
	return errFailed
}

// greet starts the log as the real server does. It says so when the workspace asks for another
// version of Terraform.
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
		return errors.New("the terraform on PATH does not report its version")
	}
	fmt.Fprintf(&x.log, "Terraform v%s\non %s\n", about.Version, about.Platform)
	if asked := j.run.Version; asked != about.Version && regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(asked) {
		fmt.Fprintf(&x.log, "(The workspace asks for Terraform %s. This server executes the run with %s, the version it has.)\n", asked, about.Version)
	}
	return nil
}

// showPlan stores the plan's JSON.
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

// countChanges counts a plan's changes the way the API does.
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
		return counts{}, errors.New("cannot read terraform's JSON of the plan")
	}
	var n counts
	for _, r := range plan.ResourceChanges {
		if r.Mode != "managed" {
			continue
		}
		if len(r.Change.Importing) > 0 && string(r.Change.Importing) != "null" {
			n.Imports++
		}
		for _, action := range r.Change.Actions {
			switch action {
			case "create":
				n.Additions++
			case "update":
				n.Changes++
			case "delete":
				n.Destructions++
			}
		}
	}
	return n, nil
}

// planFolder returns the folder in which a run was planned, for its apply.
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

// appliedLine matches the last line of an apply.
var appliedLine = regexp.MustCompile(`Resources: (?:(\d+) imported, )?(\d+) added, (\d+) changed, (\d+) destroyed`)

// executeApply applies the plan.
func (s *Service) executeApply(x *execution, f *folder) (counts, error) {
	code, err := s.terraform(x, f, &x.log, "apply", "-input=false", "-no-color", f.path(planName))
	var did counts
	if m := appliedLine.FindSubmatch(x.log.part(0, 0)); m != nil {
		for i, into := range []*int{&did.Imports, &did.Additions, &did.Changes, &did.Destructions} {
			// The match is digits or empty.
			*into, _ = strconv.Atoi(string(m[i+1]))
		}
	}
	return did, errors.Join(err, failed(code))
}

// serialLine matches the serial in the header of a state that terraform wrote.
var serialLine = regexp.MustCompile(`(?m)^  "serial": \d+,$`)

// takeState stores the state that terraform left, or returns nil when it did not change. Terraform
// keeps the serial of a state that it only upgrades to a newer format or version. Such a state gets
// the next serial, because a new state version needs one.
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
		return nil, errors.New("cannot read the state that terraform wrote")
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

// same reports whether a blob holds these bytes.
func (s *Service) same(b *blobs.Blob, raw []byte) bool {
	content, err := s.options.Blobs.Open(b.ID)
	if err != nil {
		return false
	}
	defer content.Close()
	held, err := io.ReadAll(content)
	return err == nil && string(held) == string(raw)
}
