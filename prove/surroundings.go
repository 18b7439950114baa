package prove

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"tfhaul/plainwords"
)

// surroundings returns the directory to copy with a configuration, and where the
// configuration is in it. A configuration that names files outside of its directory, such as
// the module ../modules/vpc, is copied with its repository. Outside of a repository, it is
// copied with the topmost directory that its paths reach.
func surroundings(dir string) (root, working string, err error) {
	at, err := configurationDir(dir)
	if err == nil {
		at, err = filepath.Abs(at)
	}
	if err != nil {
		return "", "", stopf(CodeConfiguration, "%s", plainwords.Sentence(err.Error()))
	}
	up, err := reach(at)
	if err != nil {
		return "", "", stopf(CodeConfiguration, "%s", plainwords.Sentence("cannot read the configuration: "+plainwords.WithoutPath(err).Error()))
	}
	if up == 0 {
		return dir, "", nil
	}
	root = repositoryOf(at)
	if root == "" {
		for root = at; up > 0; up-- {
			root = filepath.Dir(root)
		}
	}
	if root == filepath.Dir(root) {
		return "", "", stopf(CodeConfiguration, "The configuration in %q names files outside of its directory and is not in a Git repository, so tfhaul would have to copy the whole file system. Put it and its modules into a Git repository.", dir)
	}
	working, err = filepath.Rel(root, at)
	return root, filepath.ToSlash(working), err
}

// above matches a text in a configuration that begins a path above its directory.
var above = regexp.MustCompile(`["}/]((?:\.\./)+)`)

// reach returns how many directories up the paths in a configuration lead.
func reach(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	most := 0
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".tf") && !strings.HasSuffix(e.Name(), ".tf.json") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return 0, err
		}
		for _, path := range above.FindAllSubmatch(text, -1) {
			most = max(most, len(path[1])/len("../"))
		}
	}
	return most, nil
}

// repositoryOf returns the nearest directory above dir that is the root of a repository; "" if
// there is none.
func repositoryOf(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return ""
		}
	}
}
