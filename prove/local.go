package prove

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	slug "github.com/hashicorp/go-slug"
	"github.com/hashicorp/go-version"

	"tfhaul/backend"
	"tfhaul/crash"
	"tfhaul/plainwords"
)

// Local configures how terraform runs on this machine.
type Local struct {
	// Terraform is the program; "" means the terraform on PATH.
	Terraform string
	// Environ is its environment, as NAME=VALUE, with the variables and credentials that
	// the configuration needs. Variables that would redirect it, such as TF_WORKSPACE or
	// TF_DATA_DIR, are left out.
	Environ []string
	// VarFiles are the paths of files with values of variables.
	VarFiles []string
}

// ProveLocal proves a workspace with the terraform on this machine, for targets that
// cannot plan. It copies the workspace's state and the configuration into a private
// temporary directory, plans there, and judges the same JSON. It neither locks nor
// changes the workspace, and removes the directory at the end. Variables set in the
// workspace are not available: Environ must provide them.
func (p *Prover) ProveLocal(ctx context.Context, q Request, o Local) Result {
	x := p.ofWorkspace(q)
	x.result.Local = true
	return x.prove(ctx, func(ctx context.Context) error { return x.runLocally(ctx, o) })
}

// runLocally runs the steps of the proof of a workspace on this machine.
func (x *proof) runLocally(ctx context.Context, o Local) error {
	program, err := o.program()
	if err != nil {
		return err
	}
	if err := x.readWorkspace(ctx); err != nil {
		return err
	}
	return x.onBench(ctx, program, func(b *bench) error {
		block, err := b.copyState(ctx)
		if err != nil {
			return err
		}
		if err := b.plan(ctx, o, block, x.workspace.WorkingDirectory); err != nil {
			return err
		}
		return x.checkSameState(ctx)
	})
}

// program returns the path of terraform.
func (o Local) program() (string, error) {
	name := o.Terraform
	if name == "" {
		name = "terraform"
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return "", stopf(CodeNoTerraform, "This proof needs terraform on this machine, but it is not on PATH: install it.")
	}
	return program, nil
}

// A bench is the temporary directory in which terraform plans.
type bench struct {
	*proof
	dir       string
	work      string // where terraform runs
	terraform string
	environ   []string
}

// Names in a bench. The override sorts after every file of a configuration.
const (
	statesDir    = "states"
	stateFile    = "terraform.tfstate"
	planFile     = "plan.bin"
	copyDir      = "configuration"
	overrideFile = "zzzz_tfhaul_backend_override.tf"
)

// onBench calls do with a new bench, which is removed afterwards.
func (x *proof) onBench(ctx context.Context, program string, do func(*bench) error) error {
	dir, err := os.MkdirTemp("", "tfhaul-proof-*") // mode 0700
	if err != nil {
		return err
	}
	if x.Temporary != nil {
		x.Temporary(dir, true)
		defer x.Temporary(dir, false)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			x.note("The temporary directory with the plan could not be removed: " + err.Error() + ".")
		}
	}()
	return do(&bench{proof: x, dir: dir, terraform: program})
}

// copyState copies the workspace's state to the bench, and returns how a configuration uses
// the copy. The workspace has the target's name.
func (b *bench) copyState(ctx context.Context) (*backend.Block, error) {
	states := filepath.Join(b.dir, statesDir)
	at := filepath.Join(states, b.workspace.Name)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(at, stateFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	err = b.readState(ctx, file)
	if err = errors.Join(err, file.Close()); err != nil {
		if s, ok := errors.AsType[*stop](err); ok {
			return nil, s
		}
		return nil, err
	}
	return &backend.Block{Type: "local", Workspace: b.workspace.Name, Arguments: []backend.Argument{
		{Name: "path", Value: filepath.ToSlash(filepath.Join(at, stateFile))},
		{Name: "workspace_dir", Value: filepath.ToSlash(states)},
	}}, nil
}

// plan copies the configuration to the bench, plans with the block in place of its own, and
// judges the plan. working is the directory in the configuration where terraform runs.
func (b *bench) plan(ctx context.Context, o Local, block *backend.Block, working string) error {
	limit := cmp.Or(b.Timeout, DefaultTimeout)
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := b.copyConfiguration(limited, working)
	if err == nil {
		err = b.runTerraform(limited, o, block)
	}
	if limited.Err() != nil && ctx.Err() == nil {
		return stopf(CodeTimeout, "Terraform did not finish its plan on this machine within %s and was stopped. Use a longer --run-timeout.", limit)
	}
	return err
}

// copyConfiguration copies the configuration to the bench, without states.
func (b *bench) copyConfiguration(ctx context.Context, working string) error {
	packed, err := b.pack(ctx, working)
	if err != nil {
		return err
	}
	body, err := packed.Open(ctx)
	if err != nil {
		return err
	}
	configuration := filepath.Join(b.dir, copyDir)
	if err := os.Mkdir(configuration, 0o700); err != nil {
		return err
	}
	err = slug.Unpack(body, configuration)
	if err = errors.Join(err, body.Close()); err != nil {
		return stopf(CodeConfiguration, "%s", plainwords.Sentence("the configuration cannot be copied: "+err.Error()))
	}
	b.work = filepath.Join(configuration, filepath.FromSlash(working))
	return nil
}

// runTerraform initializes, plans, and judges the result. The override makes the
// configuration use the block, whatever its backend is.
func (b *bench) runTerraform(ctx context.Context, o Local, block *backend.Block) error {
	if err := os.WriteFile(filepath.Join(b.work, overrideFile), []byte(block.HCL()), 0o600); err != nil {
		return err
	}
	b.environ = environment(o.Environ, block)
	if err := b.checkVersion(ctx, block); err != nil {
		return err
	}
	b.report(Event{Stage: StagePlanning})
	if err := b.initialize(ctx); err != nil {
		return err
	}
	out := filepath.Join(b.dir, planFile)
	args := []string{"plan", "-input=false", "-no-color", "-lock=false", "-out=" + out}
	for _, file := range o.VarFiles {
		path, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		args = append(args, "-var-file="+path)
	}
	said, err := b.run(ctx, nil, args...)
	if err != nil {
		return b.failed(ctx, said, err)
	}
	b.report(Event{Stage: StageJudging})
	return b.show(ctx, out)
}

// checkVersion refuses a terraform that does not know the block's arguments.
func (b *bench) checkVersion(ctx context.Context, block *backend.Block) error {
	if block.Terraform == "" {
		return nil
	}
	var answer bounded
	if said, err := b.run(ctx, &answer, "version", "-json"); err != nil {
		return b.failed(ctx, said, err)
	}
	var has struct {
		Version string `json:"terraform_version"`
	}
	err := json.Unmarshal(answer.Bytes(), &has)
	now, malformed := version.NewVersion(has.Version)
	if errors.Join(err, malformed) != nil {
		return stopf(CodeNoTerraform, "The terraform on this machine does not report its version, and %s in the backend block needs %s or newer.", block.Newest, block.Terraform)
	}
	since, err := version.NewVersion(block.Terraform)
	if err != nil {
		return err
	}
	if now.Core().LessThan(since) {
		return stopf(CodeNoTerraform, "The terraform on this machine is %s, but %s in the backend block needs %s or newer: use a newer one.", has.Version, block.Newest, block.Terraform)
	}
	return nil
}

// misleading are variables that would redirect terraform or make it write too much to
// disk.
var misleading = []string{"TF_WORKSPACE", "TF_DATA_DIR", "TF_LOG", "TF_LOG_CORE", "TF_LOG_PROVIDER", "TF_LOG_PATH", "TF_INPUT", "TF_IN_AUTOMATION",
	"TF_STATE_PERSIST_INTERVAL", "TF_REATTACH_PROVIDERS"}

// environment returns the variables with which terraform runs.
func environment(given []string, block *backend.Block) []string {
	var environ []string
	for _, variable := range given {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains(misleading, name) && !strings.HasPrefix(name, "TF_CLI_ARGS") {
			environ = append(environ, variable)
		}
	}
	workspace := backend.DefaultWorkspace
	if block.Named() {
		workspace = block.Workspace
	}
	return append(environ, "TF_WORKSPACE="+workspace, "TF_INPUT=0", "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
}

// initialize installs what the configuration needs. If that fails, it uses what an
// earlier init left in the configuration's directory.
func (b *bench) initialize(ctx context.Context) error {
	args := []string{"init", "-input=false", "-no-color"}
	said, err := b.run(ctx, nil, args...)
	if err == nil {
		return nil
	}
	working, below := filepath.Rel(filepath.Join(b.dir, copyDir), b.work)
	before, abs := filepath.Abs(filepath.Join(b.Dir, working, ".terraform", "providers"))
	if info, missing := os.Stat(before); abs == nil && errors.Join(missing, below) == nil && info.IsDir() && ctx.Err() == nil {
		if _, again := b.run(ctx, nil, append(args, "-plugin-dir="+before)...); again == nil {
			return nil
		}
	}
	return b.failed(ctx, said, err)
}

// failed returns why terraform failed.
func (b *bench) failed(ctx context.Context, said string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, exited := errors.AsType[*exec.ExitError](err); !exited {
		return stopf(CodeNoTerraform, "%s", plainwords.Sentence("terraform cannot be run: "+err.Error()))
	}
	return b.explainLog("", said)
}

// show judges the plan in Terraform's JSON, without writing it to disk.
func (b *bench) show(ctx context.Context, plan string) error {
	r, w := io.Pipe()
	shown := make(chan error, 1)
	crash.Go(ctx, func() {
		_, err := b.run(ctx, w, "show", "-json", plan)
		w.CloseWithError(err)
		shown <- err
	})
	err := b.result.judge(r, b.held.instances)
	_ = r.CloseWithError(err) // ends terraform if it is still running
	if failure := <-shown; failure != nil && err == nil {
		return b.failed(ctx, "", failure)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// run runs terraform on the bench and returns its output, at most maxLog bytes. out, if
// not nil, gets its standard output.
func (b *bench) run(ctx context.Context, out io.Writer, args ...string) (said string, err error) {
	cmd := exec.CommandContext(ctx, b.terraform, args...)
	cmd.Dir, cmd.Env = b.work, b.environ
	var log bounded
	var both io.Writer = &log
	if b.Logs != nil {
		both = io.MultiWriter(&log, b.Logs)
	}
	cmd.Stdout, cmd.Stderr = both, both
	if out != nil {
		cmd.Stdout = out
	}
	if runtime.GOOS != "windows" {
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	}
	cmd.WaitDelay = 20 * time.Second
	err = cmd.Run()
	return log.String(), err
}

// bounded keeps the first maxLog bytes written.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	room := max(0, maxLog-b.Len())
	b.Buffer.Write(p[:min(room, len(p))])
	return len(p), nil
}
