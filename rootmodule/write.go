package rootmodule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"tfhaul/plainwords"
)

// Write changes the files, after keeping their former content below backups, and then renames
// what is to be set aside. A file that changed meanwhile is not touched. It stops at the first
// error; running it again continues.
func (r *Rewriting) Write(backups string) error {
	for _, c := range r.Changes {
		if err := c.write(backups); err != nil {
			return fmt.Errorf("cannot change %s: %w", filepath.ToSlash(c.Path), plainwords.WithoutPath(err))
		}
	}
	for _, a := range r.Aside {
		if _, err := os.Lstat(a.To); err == nil {
			return fmt.Errorf("cannot rename %s: %s exists", a.From, a.To)
		}
		if err := os.Rename(a.From, a.To); err != nil {
			return fmt.Errorf("cannot rename %s: %w", a.From, plainwords.WithoutPath(err))
		}
	}
	return nil
}

// write replaces a file in one step, with its mode.
func (c *Change) write(backups string) error {
	path := c.Path
	if c.Before != nil {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		path = real
		now, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(now, c.Before) {
			return errors.New("it changed meanwhile; run the command again")
		}
		if err := keep(filepath.Join(backups, withoutRoot(absolute(path))+backupExt), c.Before); err != nil {
			return err
		}
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".tfhaul-*")
	if err != nil {
		return err
	}
	_, err = file.Write(c.After)
	err = errors.Join(err, file.Chmod(c.Mode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // ours
	}
	return err
}

// backupExt is added to the names of copies, so that no search takes them for configurations.
const backupExt = ".before"

// withoutRoot makes an absolute path relative.
func withoutRoot(path string) string {
	return strings.TrimLeft(strings.TrimPrefix(path, filepath.VolumeName(path)), `/\`)
}

// keep writes a copy that only the user can read.
func keep(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// A Branch is a commit on a new branch of a repository.
type Branch struct {
	Repository string `json:"repository"`
	Name       string `json:"name"`
	Commit     string `json:"commit"`
}

// Commit commits the changes to a new branch of each Git repository, on top of what is checked
// out there. It changes neither the working tree nor the index, and pushes nothing. A file
// with changes that are not committed is an error, and nothing is committed in any repository.
func (r *Rewriting) Commit(ctx context.Context, branch, message string) ([]Branch, error) {
	byRepository := map[string][]*Change{}
	var order []string
	for i := range r.Changes {
		at := r.Changes[i].Repository
		if !slices.Contains(order, at) {
			order = append(order, at)
		}
		byRepository[at] = append(byRepository[at], &r.Changes[i])
	}
	for _, at := range order {
		g := git{dir: at}
		if _, err := g.run(ctx, nil, "rev-parse", "--verify", "HEAD"); err != nil {
			return nil, fmt.Errorf("%s is not a Git repository with a commit: use --write", filepath.ToSlash(at))
		}
		if _, err := g.run(ctx, nil, "rev-parse", "--verify", "refs/heads/"+branch); err == nil {
			return nil, fmt.Errorf("%s already has the branch %s: use another name", filepath.ToSlash(at), branch)
		}
		if _, err := g.run(ctx, nil, "check-ref-format", "--branch", branch); err != nil {
			return nil, fmt.Errorf("%q is not a name for a branch", branch)
		}
		for _, c := range byRepository[at] {
			changed, err := g.run(ctx, nil, "status", "--porcelain", "--", absolute(c.Path))
			if err != nil {
				return nil, err
			}
			if changed != "" {
				return nil, fmt.Errorf("%s has changes that are not committed: commit them first, or use --write", filepath.ToSlash(c.Path))
			}
		}
	}
	var branches []Branch
	for _, at := range order {
		commit, err := git{dir: at}.commit(ctx, branch, message, byRepository[at])
		if err != nil {
			return branches, fmt.Errorf("%s: %w", filepath.ToSlash(at), err)
		}
		branches = append(branches, Branch{at, branch, commit})
	}
	return branches, nil
}

// git runs Git in a repository.
type git struct {
	dir   string
	index string // "" for the repository's own
}

func (g git) run(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Stdin = g.dir, bytes.NewReader(stdin)
	// Git's hooks have variables that name another repository or index.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"}, name)
	})
	if g.index != "" {
		cmd.Env = append(cmd.Env, "GIT_INDEX_FILE="+g.index)
	}
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("git %s failed: %s", args[0], firstLine(strings.TrimSpace(problem.String()), err.Error()))
	}
	return strings.TrimSpace(out.String()), nil
}

// firstLine returns the first line of a text, or another text if it is empty.
func firstLine(text, other string) string {
	if line, _, _ := strings.Cut(text, "\n"); line != "" {
		return line
	}
	return other
}

// commit makes a commit with its own index.
func (g git) commit(ctx context.Context, branch, message string, changes []*Change) (string, error) {
	dir, err := os.MkdirTemp("", "tfhaul-index-*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // only the index is in it
	g.index = filepath.Join(dir, "index")
	if _, err := g.run(ctx, nil, "read-tree", "HEAD"); err != nil {
		return "", err
	}
	top, err := g.run(ctx, nil, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	for _, c := range changes {
		real, err := filepath.EvalSymlinks(filepath.Dir(absolute(c.Path)))
		if err != nil {
			return "", err
		}
		path := below(top, filepath.Join(real, filepath.Base(c.Path)))
		object, err := g.run(ctx, c.After, "hash-object", "-w", "--stdin", "--path", path)
		if err != nil {
			return "", err
		}
		mode := "100644"
		if c.Mode&0o100 != 0 {
			mode = "100755"
		}
		if _, err := g.run(ctx, nil, "update-index", "--add", "--cacheinfo", mode+","+object+","+path); err != nil {
			return "", err
		}
	}
	tree, err := g.run(ctx, nil, "write-tree")
	if err != nil {
		return "", err
	}
	commit, err := g.run(ctx, []byte(message+"\n"), "commit-tree", tree, "-p", "HEAD")
	if err != nil {
		return "", err
	}
	_, err = g.run(ctx, nil, "update-ref", "-m", "tfhaul rewrite", "refs/heads/"+branch, commit, strings.Repeat("0", len(commit)))
	return commit, err
}
