//go:build unix

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents are the README, the documents beside it, and those in docs/.
func documents(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	return paths
}

var (
	fences   = regexp.MustCompile("(?ms)^```.*?^```$")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)|\bsrc="([^"]+)"`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	external = regexp.MustCompile(`^[a-z]+:`)
)

// anchors are the fragments that GitHub gives to the headings of a document.
func anchors(text string) []string {
	var list []string
	for _, m := range heading.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
		list = append(list, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return list
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(fences.ReplaceAllString(string(text), ""), -1) {
			address := m[1] + m[2]
			if external.MatchString(address) {
				continue
			}
			file, fragment, _ := strings.Cut(address, "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", path, address, err)
				continue
			}
			if fragment == "" {
				continue
			}
			there, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(anchors(string(there)), fragment) {
				t.Errorf("%s links to %s, which has no such heading", path, address)
			}
		}
	}
}

// Every document can be found from the index.
func TestIndexListsEveryDocument(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(repository, "docs", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range documents(t) {
		if name := filepath.Base(path); filepath.Base(filepath.Dir(path)) == "docs" && name != "README.md" && !strings.Contains(string(index), "("+name+")") {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}
