package runs

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"tfhaul/tfesim/blobs"
)

// A job is all that executing a run takes, read while Server.mu was held.
type job struct {
	run       run
	workspace string
	org       string
	directory string // of the configuration, in which terraform runs
	archive   *blobs.Blob
	state     *blobs.Blob // nil for none
	known     int64       // the serial of the newest state version, -1 for none
	variables []variable
}

// longestRun is after how long an execution is ended.
const longestRun = 2 * time.Hour

// jobOf reads what a run needs. The error says why it cannot be executed.
func (s *Service) jobOf(r *run) (*job, error) {
	w, there := s.host.Workspace(r.Workspace)
	v := s.configurations[r.Configuration]
	if !there || v == nil || v.Archive == nil {
		return nil, errors.New("the configuration version of this run is gone")
	}
	j := &job{run: *r, workspace: w.Name, org: w.Org, archive: v.Archive, directory: w.WorkingDirectory}
	j.state, j.known = s.host.CurrentState(w.ID)
	for _, v := range s.variablesOf(w.ID) {
		j.variables = append(j.variables, *v)
	}
	return j, nil
}

// plan executes a run's plan.
func (s *Service) plan(x *execution) {
	if !s.takeTurn(x) {
		return
	}
	j := s.startPhase(x, runPlanning, func(r *run) *phase { return &r.Plan })
	if j == nil {
		return
	}
	var outcome planned
	f, err := s.prepare(x, j)
	if err == nil {
		outcome, err = s.executePlan(x, f, j)
	}
	if f != nil && (err != nil || j.run.PlanOnly) {
		f.remove()
	} else if f != nil {
		s.executor.keep(x.run, f.dir)
	}
	s.endPhase(x, err, func(r *run) *phase { return &r.Plan }, func(r *run) {
		r.Plan.JSON, r.Plan.Redacted = outcome.json, outcome.redacted
		r.Plan.HasChanges = outcome.hasChanges
		r.Plan.Additions, r.Plan.Changes, r.Plan.Destructions, r.Plan.Imports = outcome.counts()
		s.planned(r)
	}, outcome.json, outcome.redacted)
}

// takeTurn locks the workspace for a run that may change it. When somebody else has locked it
// meanwhile, the run waits again.
func (s *Service) takeTurn(x *execution) bool {
	mine := true
	err := s.host.Do(func() {
		r := s.runs[x.run]
		if r == nil || x.ctx.Err() != nil || s.plansAside(r) {
			return
		}
		w, _ := s.host.Workspace(r.Workspace)
		if mine = w.LockedBy == nil; mine {
			s.host.Lock(w.ID, r.ID)
		} else {
			s.executor.ended(x)
			s.setStatus(r, runPending)
		}
	})
	return err == nil && mine
}

// planned decides how a run goes on whose plan is finished.
func (s *Service) planned(r *run) {
	switch {
	case s.speculative(r), !r.Plan.HasChanges && !r.EmptyApply:
		s.finish(r, runPlannedAndFinished)
	case r.SavePlan && !r.AutoApply:
		s.setStatus(r, runPlannedAndSaved)
	case r.AutoApply:
		s.setStatus(r, runPlanned)
		s.queueApply(r)
	default:
		s.setStatus(r, runPlanned)
	}
}

// apply executes a run's apply.
func (s *Service) apply(x *execution) {
	j := s.startPhase(x, runApplying, func(r *run) *phase { return &r.Apply })
	if j == nil {
		return
	}
	var made *State
	var did counts
	f, err := s.planFolder(x, j)
	if err == nil {
		did, err = s.executeApply(x, f)
		// Whatever terraform said, what it wrote is the state now.
		var lost error
		if made, lost = s.takeState(f, j); lost != nil {
			err = errors.Join(err, lost)
		}
	}
	if made != nil {
		err = errors.Join(err, s.host.AddState(j.run.Workspace, *made))
	}
	s.endPhase(x, err, func(r *run) *phase { return &r.Apply }, func(r *run) {
		r.Apply.Additions, r.Apply.Changes, r.Apply.Destructions, r.Apply.Imports = did.added, did.changed, did.destroyed, did.imported
		s.finish(r, runApplied)
	})
}

// startPhase moves a run to its next status; nil when there is nothing to be executed any more.
func (s *Service) startPhase(x *execution, status string, part func(*run) *phase) *job {
	var j *job
	// A server that cannot write answers nothing any more.
	_ = s.host.Do(func() {
		r := s.runs[x.run]
		switch {
		case r == nil || s.executor.closing():
			s.executor.ended(x)
		case x.ctx.Err() != nil:
			s.executor.ended(x)
			s.cancel(r, runCanceled)
		default:
			var err error
			if j, err = s.jobOf(r); err != nil {
				s.executor.ended(x)
				s.fail(r, "Error: "+err.Error())
				return
			}
			part(r).set(phaseRunning)
			s.setStatus(r, status)
		}
	})
	return j
}

// endPhase records how a phase ended: finished, canceled or errored. The leftovers are dropped
// when the run is gone.
func (s *Service) endPhase(x *execution, err error, part func(*run) *phase, finished func(*run), leftovers ...*blobs.Blob) {
	if err != nil && x.ctx.Err() == nil {
		fmt.Fprintf(&x.log, "\nError: %v\n", err)
	}
	log := s.keepLog(x.log.part(0, 0))
	// As in startPhase.
	_ = s.host.Do(func() {
		r := s.runs[x.run]
		s.executor.ended(x)
		if r == nil || s.executor.closing() {
			// What was being done is lost; the next start finds it so.
			s.host.Discard(append(leftovers, log)...)
			return
		}
		p := part(r)
		p.Log = log
		switch {
		case x.ctx.Err() != nil && err != nil:
			p.set(phaseCanceled)
			s.finish(r, runCanceled)
		case err != nil:
			p.set(phaseErrored)
			s.finish(r, runErrored)
		default:
			p.set(phaseFinished)
			finished(r)
		}
		s.put(r)
	})
}

// A folder is where a run is executed: 0700, and removed afterwards.
type folder struct {
	dir string // absolute
	// work is where terraform runs.
	work string
	env  []string
}

func (f *folder) remove() {
	// What cannot be removed lies in the system's folder for such things, 0700.
	_ = os.RemoveAll(f.dir)
}

// state is where the local backend keeps the state of a workspace; terraform.workspace is the
// workspace's name in a run.
func (f *folder) state(workspace string) string {
	return filepath.Join(f.dir, "states", workspace, stateName)
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// The files of a folder beside the configuration.
const (
	stateName     = "terraform.tfstate"
	planName      = "plan.bin"
	variablesName = "workspace.tfvars"
	runVarsName   = "run.tfvars"
	rcName        = "terraform.rc"
	workName      = "work" // names the folder in which terraform runs
	// overrideName sorts behind every override file that a configuration may have.
	overrideName = "zzzz_tfesim_backend_override.tf"
)

// prepare makes the folder of a run: the configuration, the state, the variables.
func (s *Service) prepare(x *execution, j *job) (*folder, error) {
	if s.options.NoRuns != "" {
		return nil, errors.New(s.options.NoRuns)
	}
	if s.executor.terraform == "" {
		return nil, errors.New("this server executes runs by the terraform on its PATH, and there is none: nothing was planned")
	}
	dir, err := os.MkdirTemp("", "tfesim-run-*") // 0700
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir}
	err = errors.Join(os.Mkdir(f.path("configuration"), 0o700), os.MkdirAll(filepath.Dir(f.state(j.workspace)), 0o700), os.Mkdir(f.path("home"), 0o700), os.Mkdir(f.path("tmp"), 0o700))
	if err == nil {
		err = s.unpack(j.archive, f.path("configuration"))
	}
	if err == nil {
		err = f.choose(j.directory)
	}
	if err == nil && j.state != nil {
		err = s.copyBlob(j.state, f.state(j.workspace))
	}
	if err == nil {
		err = s.writeSettings(f, j)
	}
	if err != nil {
		f.remove()
		return nil, err
	}
	f.env = s.environment(f, j)
	return f, nil
}

// unpack writes the files of an archive. os.Root keeps every one of them inside.
func (s *Service) unpack(archive *blobs.Blob, into string) error {
	content, err := s.options.Blobs.Open(archive.ID)
	if err != nil {
		return err
	}
	defer content.Close()
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer root.Close()
	if problem := eachEntry(content, func(h *tar.Header, r io.Reader) error { return unpackEntry(root, h, r) }); problem != nil {
		return problem
	}
	return nil
}

func unpackEntry(root *os.Root, h *tar.Header, r io.Reader) error {
	name := filepath.FromSlash(path.Clean(h.Name))
	if h.Typeflag == tar.TypeXGlobalHeader || name == "." {
		return nil
	}
	if h.Typeflag == tar.TypeDir {
		return root.MkdirAll(name, 0o700)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeSymlink {
		return root.Symlink(filepath.FromSlash(h.Linkname), name)
	}
	mode := os.FileMode(0o600)
	if h.Mode&0o100 != 0 {
		mode = 0o700
	}
	file, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, r)
	return errors.Join(err, file.Close())
}

// choose finds the folder of the configuration in which terraform runs, and leaves nothing
// there of a backend that it was initialised for.
func (f *folder) choose(directory string) error {
	if path.IsAbs(directory) || leaves(directory) {
		return fmt.Errorf("the workspace's working directory %q leads out of the configuration", directory)
	}
	f.work = filepath.Join(f.path("configuration"), filepath.FromSlash(directory))
	info, err := os.Stat(f.work)
	if err != nil || !info.IsDir() {
		return fmt.Errorf("the configuration has no directory %q, which is the workspace's working directory", directory)
	}
	if _, err := os.Lstat(filepath.Join(f.work, stateName)); err == nil {
		return errors.New("setup failed: Terraform Enterprise detected a terraform.tfstate file in your working directory: it must not be part of the configuration")
	}
	if !hasConfiguration(f.work) {
		// terraform would take the file with the backend for a configuration of nothing.
		return errors.New("no configuration files: the configuration version holds no .tf file in the workspace's working directory")
	}
	for _, left := range []string{stateName, "environment"} {
		if err := os.Remove(filepath.Join(f.work, ".terraform", left)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.WriteFile(f.path(workName), []byte(directory), 0o600)
}

// hasConfiguration says whether a folder holds a file of Terraform's.
func hasConfiguration(dir string) bool {
	for _, pattern := range []string{"*.tf", "*.tf.json"} {
		// The pattern is well-formed.
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
			return true
		}
	}
	return false
}

func (s *Service) copyBlob(b *blobs.Blob, to string) error {
	content, err := s.options.Blobs.Open(b.ID)
	if err != nil {
		return err
	}
	defer content.Close()
	file, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// writeSettings writes what terraform is told: its backend, where providers are, and the
// variables.
func (s *Service) writeSettings(f *folder, j *job) error {
	backend := "terraform {\n  backend \"local\" {\n    path = " + quoteHCL(f.state(j.workspace)) +
		"\n    workspace_dir = " + quoteHCL(f.path("states")) + "\n  }\n}\n"
	// Without a mirror there is no way to install a provider: nothing is fetched.
	rc := "provider_installation {\n}\n"
	if s.executor.mirror != "" {
		mirror, err := filepath.Abs(s.executor.mirror)
		if err != nil {
			return err
		}
		rc = "provider_installation {\n  filesystem_mirror {\n    path = " + quoteHCL(mirror) + "\n  }\n}\n"
	}
	var workspace, forRun strings.Builder
	for _, v := range j.variables {
		if v.Category != categoryTerraform {
			continue
		}
		value := quoteHCL(v.Value)
		if v.hcl() {
			value = v.Value
		}
		fmt.Fprintf(&workspace, "%s = %s\n", v.Key, value)
	}
	for _, v := range j.run.Variables {
		fmt.Fprintf(&forRun, "%s = %s\n", v.Key, v.Value)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(f.work, overrideName), []byte(backend), 0o600),
		os.WriteFile(f.path(rcName), []byte(rc), 0o600),
		os.WriteFile(f.path(variablesName), []byte(workspace.String()), 0o600),
		os.WriteFile(f.path(runVarsName), []byte(forRun.String()), 0o600),
	)
}

// quoteHCL is a text as a string of HCL without templates.
func quoteHCL(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always marshals
	}
	quoted := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b))
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(quoted)
}

// inherited are the variables of this process that terraform needs to run at all; no other
// reaches a run.
var inherited = []string{"PATH", "LANG", "LC_ALL", "TZ", "SystemRoot", "SYSTEMROOT", "ComSpec", "PATHEXT"}

// environment is that of a run: nothing of this process's own but what is needed to run, then
// the workspace's variables, then what keeps the run in its folder.
func (s *Service) environment(f *folder, j *job) []string {
	var env []string
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for _, v := range j.variables {
		if v.Category == categoryEnv {
			env = append(env, v.Key+"="+v.Value)
		}
	}
	home, tmp := f.path("home"), f.path("tmp")
	return append(env,
		"HOME="+home, "USERPROFILE="+home, "APPDATA="+home, "TMPDIR="+tmp, "TMP="+tmp, "TEMP="+tmp,
		"TF_CLI_CONFIG_FILE="+f.path(rcName), "TF_WORKSPACE="+j.workspace, "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1",
		"TFC_RUN_ID="+j.run.ID, "TFC_WORKSPACE_NAME="+j.workspace, "TFC_CONFIGURATION_VERSION_GIT_BRANCH=",
		"TFE_RUN_ID="+j.run.ID,
	)
}

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
