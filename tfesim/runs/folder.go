package runs

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"tfhaul/tfesim/blobs"
)

// A folder is where a run is executed. It has mode 0700 and is removed afterwards.
type folder struct {
	dir string // absolute
	// work is where terraform runs.
	work string
	env  []string
}

func (f *folder) remove() {
	// What cannot be removed stays in the system's temporary folder, mode 0700.
	_ = os.RemoveAll(f.dir)
}

// state returns where the local backend keeps the state of a workspace. As in a real run,
// terraform.workspace is the workspace's name.
func (f *folder) state(workspace string) string {
	return filepath.Join(f.dir, "states", workspace, stateName)
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// The files in a folder next to the configuration.
const (
	stateName     = "terraform.tfstate"
	planName      = "plan.bin"
	variablesName = "workspace.tfvars"
	runVarsName   = "run.tfvars"
	rcName        = "terraform.rc"
	workName      = "work" // its content is the working directory
	// overrideName sorts after every override file that a configuration may have.
	overrideName = "zzzz_tfesim_backend_override.tf"
)

// prepare creates the folder of a run with the configuration, the state and the variables.
func (s *Service) prepare(x *execution, j *job) (*folder, error) {
	if s.options.NoRuns != "" {
		return nil, errors.New(s.options.NoRuns)
	}
	if s.executor.terraform == "" {
		return nil, errors.New("this server has no terraform to execute runs with: nothing was planned")
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

// unpack writes the files of an archive. os.Root keeps all of them inside the folder into.
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
	return checkLinks(root)
}

// checkLinks refuses symbolic links that lead outside root, so that neither this server nor
// terraform writes through them. Each link stays inside when it is read by itself, but a
// link may lead through others.
func checkLinks(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink == 0 {
			return err
		}
		if _, err := root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the symbolic link %q leads outside the configuration, or to itself", name)
		}
		return nil
	})
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

// choose finds the working directory in the configuration, and removes the traces of an earlier
// init there.
func (f *folder) choose(directory string) error {
	if path.IsAbs(directory) || leaves(directory) {
		return fmt.Errorf("the workspace's working directory %q is outside the configuration", directory)
	}
	f.work = filepath.Join(f.path("configuration"), filepath.FromSlash(directory))
	info, err := os.Stat(f.work)
	if err != nil || !info.IsDir() {
		return fmt.Errorf("the configuration does not have the workspace's working directory %q", directory)
	}
	if _, err := os.Lstat(filepath.Join(f.work, stateName)); err == nil {
		return errors.New("setup failed: Terraform Enterprise detected a terraform.tfstate file in your working directory: it must not be part of the configuration")
	}
	if !hasConfiguration(f.work) {
		// With the backend override in it, terraform would accept the folder and plan nothing.
		return errors.New("no configuration files: the configuration version has no .tf file in the workspace's working directory")
	}
	for _, left := range []string{stateName, "environment"} {
		if err := os.Remove(filepath.Join(f.work, ".terraform", left)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.WriteFile(f.path(workName), []byte(directory), 0o600)
}

// hasConfiguration reports whether a folder contains Terraform files.
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

// writeSettings writes the backend, the CLI configuration and the variables for terraform.
func (s *Service) writeSettings(f *folder, j *job) error {
	backend := "terraform {\n  backend \"local\" {\n    path = " + quoteHCL(f.state(j.workspace)) +
		"\n    workspace_dir = " + quoteHCL(f.path("states")) + "\n  }\n}\n"
	// Without a mirror, terraform can install no provider: a run never downloads anything.
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

// quoteHCL returns text as an HCL string without templates.
func quoteHCL(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always marshals
	}
	quoted := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b))
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(quoted)
}

// inherited are the environment variables of this process that terraform needs. A run gets no
// others.
var inherited = []string{"PATH", "LANG", "LC_ALL", "TZ", "SystemRoot", "SYSTEMROOT", "ComSpec", "PATHEXT"}

// environment returns the environment of a run: the inherited variables, then the workspace's
// variables, then those that keep the run in its folder.
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
