package command

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSettingsFileIsFoundUpwards(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	deep := filepath.Join(top, "home", "repository", "network", "eu")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(parts ...string) string {
		path := filepath.Join(append([]string{top}, parts...)...)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	home := filepath.Join(top, "home")
	find := func(want, why string) {
		t.Helper()
		if got := findSettings(deep, home); got != want {
			t.Errorf("%s: found %q, not %q", why, got, want)
		}
	}
	put(settingsName)
	find("", "a file above the home directory")
	atHome := put("home", settingsName)
	find(atHome, "a file in the home directory")
	put("home", "repository", ".git")
	find("", "a file above the repository")
	inRepository := put("home", "repository", settingsName)
	find(inRepository, "a file in the repository's root")
	nearest := put("home", "repository", "network", "eu", settingsName)
	find(nearest, "a file in the current directory")
}
