package migrate

import (
	"path/filepath"
	"testing"
)

// TestBackupsStayInTheirDirectory has what a server could call a workspace's state
// version, a host or an organization.
func TestBackupsStayInTheirDirectory(t *testing.T) {
	for name, want := range map[string]string{
		"sv-abc": "sv-abc", "127.0.0.1:8443": "127.0.0.1_8443", "..": "_", ".": "_", "": "_", "../../etc/passwd": ".._.._etc_passwd",
		`..\..\boot.ini`: ".._.._boot.ini", "/etc/passwd": "_etc_passwd", "a\x00b": "a_b", "\x1b[2J": "__2J", "C:": "C_", "näme": "n_me", "a b": "a_b",
	} {
		got := pathElement(name)
		if got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
		if dir := filepath.Dir(filepath.Join("backup", got)); dir != "backup" {
			t.Errorf("%q leads to %q", name, dir)
		}
	}
}
