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

// A Package is a configuration directory, packed the way Terraform packs it for the
// target.
type Package struct {
	tfe.Body
	// Files is its number of entries.
	Files int
	// configured holds the directories that contain Terraform files.
	configured map[string]bool
	// LeftOut lists the state files in the directory, with slashes. They are left out of
	// the package: the target rejects a configuration that contains a state, and not
	// everyone who can read configurations may read states.
	LeftOut []string
}

// Pack packs a directory following its .terraformignore. It returns an error for a
// symbolic link that leads out of the directory, because the user did not ask to send its
// target. It writes nothing to disk: it packs the directory once to compute the size and
// digest, and again each time Body is opened. If the directory changed in between, the
// upload fails.
func Pack(ctx context.Context, dir string) (*Package, error) {
	root, err := configurationDir(dir)
	if err != nil {
		return nil, err
	}
	p := &Package{}
	sum := &summer{hash: md5.New()}
	packed, err := pack(ctx, root, sum)
	if err != nil {
		return nil, fmt.Errorf("cannot pack the configuration in %q: %w", dir, err)
	}
	p.Files, p.LeftOut, p.configured = packed.files, packed.leftOut, packed.configured
	p.Size, p.MD5 = sum.size, hex.EncodeToString(sum.hash.Sum(nil))
	p.Open = func(ctx context.Context) (io.ReadCloser, error) { return openPackage(ctx, root), nil }
	return p, nil
}

// configurationDir resolves a directory. It follows links, because the user typed the
// path.
func configurationDir(dir string) (string, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("cannot find the configuration directory %q: %w", dir, plainwords.WithoutPath(err))
	}
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return "", fmt.Errorf("cannot use the configuration directory %q: %w", dir, plainwords.WithoutPath(err))
	}
	return root, nil
}

// A summer computes the size and digest of what is written.
type summer struct {
	hash hash.Hash
	size int64
}

func (s *summer) Write(b []byte) (int, error) {
	s.size += int64(len(b))
	return s.hash.Write(b)
}

// openPackage returns a reader of the packed directory. Close ends the packing.
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

// pack writes the tar.gz of a directory: what go-slug packs, without states.
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
		_ = r.Close() // ends the packing if it is still running
		<-done
	}()
	return withoutStates(ctx, r, to)
}

// contents describes a package.
type contents struct {
	files      int
	leftOut    []string
	configured map[string]bool // directories with Terraform files
}

// withoutStates copies a tar.gz without its states.
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

// isState reports whether a file's name is that of a state, a backup or a lock file.
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

// CheckConfiguration returns an error if the workspace's working directory contains no
// configuration in the package: a run would plan to destroy everything. dir is for the
// error message.
func (p *Package) CheckConfiguration(dir, working string) error {
	if p.configured[path.Clean(filepath.ToSlash(working))] {
		return nil
	}
	if working != "" {
		return stopf(CodeConfiguration, "There is no configuration in %q below %q, the workspace's working directory: pass the directory that the working directory is relative to.", working, dir)
	}
	return stopf(CodeConfiguration, "There is no configuration in %q: no file there ends in .tf or .tf.json, not counting those excluded by .terraformignore.", dir)
}

// upload packs the directory, sends it as a new configuration version, and waits until
// runs can use it.
func (x *proof) upload(ctx context.Context) (*tfe.ConfigurationVersion, error) {
	x.report(Event{Stage: StageUploading})
	packed, err := x.pack(ctx, x.workspace.WorkingDirectory)
	if err != nil {
		return nil, err
	}
	// A configuration to be applied must not be speculative. A provisional one becomes
	// the workspace's configuration only when it is applied.
	options := tfe.ConfigurationOptions{Speculative: !x.UpgradeState, Provisional: x.UpgradeState}
	v, err := x.Target.CreateConfigurationVersion(ctx, x.workspace, options)
	if err != nil {
		return nil, err
	}
	if err := x.Target.UploadConfiguration(ctx, v, packed.Body); err != nil {
		if _, changed := errors.AsType[*backend.SourceError](err); changed {
			return nil, stopf(CodeConfiguration, "The configuration in %q changed during the upload. Prove it again.", x.Dir)
		}
		return nil, err
	}
	return AwaitUploaded(ctx, x.Target, v.ID)
}

// pack packs the directory, if it has a configuration in its directory working.
func (x *proof) pack(ctx context.Context, working string) (*Package, error) {
	packed, err := Pack(ctx, x.Dir)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, stopf(CodeConfiguration, "%s", plainwords.Sentence(err.Error()))
	}
	if err := packed.CheckConfiguration(x.Dir, working); err != nil {
		return nil, err
	}
	if n := len(packed.LeftOut); n > 0 && !x.result.Local {
		x.note("Not sent with the configuration: " + plainwords.Counted(n, "state file") + " in its directory.")
	}
	return packed, nil
}

// AwaitUploaded waits until runs can use a configuration version. If they never will, it
// returns the server's reason.
func AwaitUploaded(ctx context.Context, client *tfe.Client, id string) (*tfe.ConfigurationVersion, error) {
	for wait := newPacing(); ; {
		v, err := client.ConfigurationVersion(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case v.Uploaded():
			return v, nil
		case v.Errored():
			return v, stopf(CodeConfiguration, "The server cannot use configuration version %s (%s): %s", v.ID, v.Status, plainwords.Sentence(strings.TrimSpace(v.Error+" "+v.ErrorMessage)))
		case wait.spent > uploadPatience:
			return v, stopf(CodeTimeout, "The server had not processed configuration version %s %s after it was sent.", v.ID, uploadPatience)
		}
		if err := wait.pause(ctx); err != nil {
			return nil, err
		}
	}
}

// uploadPatience is how long a server may take to unpack a configuration.
const uploadPatience = 5 * maxPatience
