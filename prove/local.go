package prove

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
	"runtime"
	"slices"
	"strings"
	"time"

	slug "github.com/hashicorp/go-slug"

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
}

// ProveLocal proves a workspace with the terraform on this machine, for targets that
// cannot plan. It copies the workspace's state and the configuration into a private
// temporary directory, plans there, and judges the same JSON. It neither locks nor
// changes the workspace, and removes the directory at the end. Variables set in the
// workspace are not available: Environ must provide them.
func (p *Prover) ProveLocal(ctx context.Context, q Request, o Local) Result {
	return p.prove(ctx, q, func(x *proof, ctx context.Context) error {
		x.result.Local = true
		return x.runLocally(ctx, o)
	})
}

// runLocally runs the steps of a proof on this machine.
func (x *proof) runLocally(ctx context.Context, o Local) error {
	program := o.Terraform
	if program == "" {
		program = "terraform"
	}
	program, err := exec.LookPath(program)
	if err != nil {
		return stopf(CodeNoTerraform, "There is no terraform on this machine's PATH: install it, because --local needs it.")
	}
	if err := x.readWorkspace(ctx); err != nil {
		return err
	}
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
			x.note("The temporary copy of the state could not be removed: " + err.Error() + ".")
		}
	}()
	b := &bench{proof: x, dir: dir, terraform: program}
	if err := b.setUp(ctx); err != nil {
		return err
	}
	b.environ = b.environment(o.Environ)
	x.report(Event{Stage: StagePlanning})
	if err := b.plan(ctx); err != nil {
		return err
	}
	return x.checkSameState(ctx)
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
	overrideFile = "zzzz_tfhaul_backend_override.tf"
)

// setUp copies the state and the configuration to the bench.
func (b *bench) setUp(ctx context.Context) error {
	// The local backend keeps a workspace's state here. The workspace has the target's
	// name.
	at := filepath.Join(b.dir, statesDir, b.workspace.Name)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(at, stateFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = b.readState(ctx, file)
	if err = errors.Join(err, file.Close()); err != nil {
		if s, ok := errors.AsType[*stop](err); ok {
			return s
		}
		return err
	}
	packed, err := b.pack(ctx)
	if err != nil {
		return err
	}
	body, err := packed.Open(ctx)
	if err != nil {
		return err
	}
	configuration := filepath.Join(b.dir, "configuration")
	if err := os.Mkdir(configuration, 0o700); err != nil {
		return err
	}
	err = slug.Unpack(body, configuration)
	if err = errors.Join(err, body.Close()); err != nil {
		return stopf(CodeConfiguration, "%s", plainwords.Sentence("the configuration cannot be copied: "+err.Error()))
	}
	b.work = filepath.Join(configuration, filepath.FromSlash(b.workspace.WorkingDirectory))
	return b.redirect()
}

// redirect makes the configuration use the copy of the state, whatever its backend is.
func (b *bench) redirect() error {
	states, err := json.Marshal(filepath.ToSlash(filepath.Join(b.dir, statesDir)))
	if err != nil {
		return err
	}
	quoted := strings.NewReplacer("${", "$${", "%{", "%%{").Replace(string(states))
	path := strings.TrimSuffix(quoted, `"`) + "/" + b.workspace.Name + "/" + stateFile + `"`
	override := fmt.Sprintf("terraform {\n  backend \"local\" {\n    path          = %s\n    workspace_dir = %s\n  }\n}\n", path, quoted)
	return os.WriteFile(filepath.Join(b.work, overrideFile), []byte(override), 0o600)
}

// misleading are variables that would redirect terraform or make it write too much to
// disk.
var misleading = []string{"TF_WORKSPACE", "TF_DATA_DIR", "TF_LOG", "TF_LOG_CORE", "TF_LOG_PROVIDER", "TF_LOG_PATH", "TF_INPUT", "TF_IN_AUTOMATION",
	"TF_STATE_PERSIST_INTERVAL", "TF_REATTACH_PROVIDERS"}

func (b *bench) environment(given []string) []string {
	var environ []string
	for _, variable := range given {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains(misleading, name) && !strings.HasPrefix(name, "TF_CLI_ARGS") {
			environ = append(environ, variable)
		}
	}
	return append(environ, "TF_WORKSPACE="+b.workspace.Name, "TF_INPUT=0", "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
}

// plan runs init and plan, and judges the result.
func (b *bench) plan(ctx context.Context) error {
	if err := b.initialize(ctx); err != nil {
		return err
	}
	out := filepath.Join(b.dir, planFile)
	said, err := b.run(ctx, nil, "plan", "-input=false", "-no-color", "-lock=false", "-out="+out)
	if err != nil {
		return b.failed(ctx, said, err)
	}
	b.report(Event{Stage: StageJudging})
	return b.show(ctx, out)
}

// initialize installs what the configuration needs. If that fails, it uses what an
// earlier init left in the configuration's directory.
func (b *bench) initialize(ctx context.Context) error {
	args := []string{"init", "-input=false", "-no-color"}
	said, err := b.run(ctx, nil, args...)
	if err == nil {
		return nil
	}
	before, abs := filepath.Abs(filepath.Join(b.Dir, filepath.FromSlash(b.workspace.WorkingDirectory), ".terraform", "providers"))
	if info, missing := os.Stat(before); abs == nil && missing == nil && info.IsDir() && ctx.Err() == nil {
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
