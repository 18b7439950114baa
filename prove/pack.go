package prove

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	slug "github.com/hashicorp/go-slug"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/crash"
	"tfhaul/plainwords"
)

// A Package is a directory of configuration, packed as Terraform packs it for the
// target.
type Package struct {
	tfe.Body
	// Files is how many entries it has.
	Files int
	// configured are the directories that hold files of Terraform's.
	configured map[string]bool
	// LeftOut are the state files, with slashes, that the directory holds and the
	// package does not: the target refuses a configuration with a state in it, and a
	// state is nobody's business who may read configurations.
	LeftOut []string
}

// Pack packs a directory, by the rules of its .terraformignore. A symbolic link
// that leads out of the directory is an error: what it leads to was not asked to be
// sent. Nothing is written anywhere: the directory is packed once to know the
// package's size and digest, and again whenever its Body is opened. If it changed
// meanwhile, the upload fails.
func Pack(ctx context.Context, dir string) (*Package, error) {
	root, err := configurationDir(dir)
	if err != nil {
		return nil, err
	}
	p := &Package{}
	sum := &summer{hash: md5.New()}
	packed, err := pack(ctx, root, sum)
	if err != nil {
		return nil, fmt.Errorf("the configuration in %q cannot be packed: %w", dir, err)
	}
	p.Files, p.LeftOut, p.configured = packed.files, packed.leftOut, packed.configured
	p.Size, p.MD5 = sum.size, hex.EncodeToString(sum.hash.Sum(nil))
	p.Open = func(ctx context.Context) (io.ReadCloser, error) { return openPackage(ctx, root), nil }
	return p, nil
}

// configurationDir finds a directory. Links on the way to it are followed: they are
// the user's own words.
func configurationDir(dir string) (string, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("the configuration %q cannot be found: %w", dir, withoutPath(err))
	}
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return "", fmt.Errorf("the configuration %q cannot be used: %w", dir, withoutPath(err))
	}
	return root, nil
}

// withoutPath takes the path off an error of the file system.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// A summer sums up what is written.
type summer struct {
	hash hash.Hash
	size int64
}

func (s *summer) Write(b []byte) (int, error) {
	s.size += int64(len(b))
	return s.hash.Write(b)
}

// openPackage packs a directory into what is read. Close ends the packing.
func openPackage(ctx context.Context, root string) io.ReadCloser {
	r, w := io.Pipe()
	done := make(chan struct{})
	crash.Go(ctx, func() {
		_, err := pack(ctx, root, w)
		w.CloseWithError(err)
		close(done)
	})
	return &packing{r, done}
}

type packing struct {
	*io.PipeReader
	done chan struct{}
}

func (p *packing) Close() error {
	err := p.PipeReader.Close()
	<-p.done
	return err
}

// pack writes the tar.gz of a directory: what go-slug packs of it, without states.
func pack(ctx context.Context, root string, to io.Writer) (contents, error) {
	packer, err := slug.NewPacker(slug.ApplyTerraformIgnore())
	if err != nil {
		return contents{}, err
	}
	r, w := io.Pipe()
	done := make(chan struct{})
	crash.Go(ctx, func() {
		_, err := packer.Pack(root, w)
		w.CloseWithError(err)
		close(done)
	})
	defer func() {
		_ = r.Close() // which ends the packing, if it has not
		<-done
	}()
	return withoutStates(ctx, r, to)
}

// contents is what a package holds.
type contents struct {
	files      int
	leftOut    []string
	configured map[string]bool // directories with files of Terraform's
}

// withoutStates copies a tar.gz and leaves the states out.
func withoutStates(ctx context.Context, from io.Reader, to io.Writer) (contents, error) {
	c := contents{configured: map[string]bool{}}
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return c, err
	}
	in := tar.NewReader(unzipped)
	zipped := gzip.NewWriter(to)
	out := tar.NewWriter(zipped)
	for {
		header, err := in.Next()
		if err == io.EOF {
			break
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return c, err
		}
		name := path.Clean(header.Name)
		if isState(name) {
			if header.Typeflag != tar.TypeDir {
				c.leftOut = append(c.leftOut, header.Name)
			}
			continue
		}
		if header.Typeflag != tar.TypeDir && (strings.HasSuffix(name, ".tf") || strings.HasSuffix(name, ".tf.json")) {
			c.configured[path.Dir(name)] = true
		}
		if err := out.WriteHeader(header); err != nil {
			return c, err
		}
		if _, err := io.Copy(out, in); err != nil {
			return c, err
		}
		c.files++
	}
	return c, errors.Join(out.Close(), zipped.Close())
}

// isState says whether a file is, by its name, a state, a backup of one, or the
// description of a lock.
func isState(name string) bool {
	name = path.Clean(name)
	for part := range strings.SplitSeq(name, "/") {
		if part == "terraform.tfstate.d" {
			return true
		}
	}
	base := path.Base(name)
	return strings.HasSuffix(base, ".tfstate") || strings.Contains(base, ".tfstate.") && (strings.HasSuffix(base, ".backup") || strings.HasSuffix(base, ".lock.info"))
}

// CheckConfiguration refuses a package without a configuration in the working directory of the
// workspace: a run of it would plan to destroy everything. The dir is named in the error.
func (p *Package) CheckConfiguration(dir, working string) error {
	if p.configured[path.Clean(filepath.ToSlash(working))] {
		return nil
	}
	if working != "" {
		return stopf(CodeConfiguration, "There is no configuration in %q below %q, and that is the workspace's working directory: name the directory that it is relative to.", working, dir)
	}
	return stopf(CodeConfiguration, "There is no configuration in %q: no file there ends in .tf or .tf.json, except for what .terraformignore leaves out.", dir)
}

// upload packs the directory and sends it as a new configuration version, and waits
// until runs can use it.
func (x *proof) upload(ctx context.Context) (*tfe.ConfigurationVersion, error) {
	x.tell(Event{Stage: StageUploading})
	packed, err := x.pack(ctx)
	if err != nil {
		return nil, err
	}
	// What is to be applied must not be speculative; provisional, it becomes the
	// workspace's configuration only by that.
	options := tfe.ConfigurationOptions{Speculative: !x.UpgradeState, Provisional: x.UpgradeState}
	v, err := x.Target.CreateConfigurationVersion(ctx, x.workspace, options)
	if err != nil {
		return nil, err
	}
	if err := x.Target.UploadConfiguration(ctx, v, packed.Body); err != nil {
		if _, changed := errors.AsType[*backend.SourceError](err); changed {
			return nil, stopf(CodeConfiguration, "The configuration in %q changed while it was being sent. Prove it again.", x.Dir)
		}
		return nil, err
	}
	return AwaitUploaded(ctx, x.Target, v.ID)
}

// pack packs the directory, if there is anything in it that the workspace's runs
// would use.
func (x *proof) pack(ctx context.Context) (*Package, error) {
	packed, err := Pack(ctx, x.Dir)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, stopf(CodeConfiguration, "%s", plainwords.Sentence(err.Error()))
	}
	if err := packed.CheckConfiguration(x.Dir, x.workspace.WorkingDirectory); err != nil {
		return nil, err
	}
	if n := len(packed.LeftOut); n > 0 {
		x.note("Not sent with the configuration: " + plainwords.Counted(n, "state file") + " that lie in its directory.")
	}
	return packed, nil
}

// AwaitUploaded waits until runs can use a configuration version. An error of the
// server's says why they never will.
func AwaitUploaded(ctx context.Context, client *tfe.Client, id string) (*tfe.ConfigurationVersion, error) {
	for wait := newPacing(); ; {
		v, err := client.ConfigurationVersion(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case v.Uploaded():
			return v, nil
		case v.Errored():
			return v, stopf(CodeConfiguration, "The server cannot use the configuration version %s (%s): %s", v.ID, v.Status, plainwords.Sentence(strings.TrimSpace(v.Error+" "+v.ErrorMessage)))
		case wait.spent > uploadPatience:
			return v, stopf(CodeTimeout, "The server has not taken the configuration version %s into use %s after it was sent.", v.ID, uploadPatience)
		}
		if err := wait.pause(ctx); err != nil {
			return nil, err
		}
	}
}

// uploadPatience is how long a server may take to unpack a configuration.
const uploadPatience = 5 * mostPatience
