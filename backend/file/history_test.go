package file

import "testing"

func TestOlderNames(t *testing.T) {
	for _, c := range []struct{ name, id, want string }{
		{"network/terraform.tfstate", "sv-8fBg", "network/41-sv-8fBg.tfstate"},
		{"terraform.tfstate", "sv-8fBg", "41-sv-8fBg.tfstate"},
		{"live/net.tfstate", "sv-8fBg", "live/net/41-sv-8fBg.tfstate"},
		{"net", "sv-8fBg", "net.versions/41-sv-8fBg.tfstate"},
		{".tfstate", "sv-8fBg", ".tfstate.versions/41-sv-8fBg.tfstate"},
		{"net.tfstate", "../../etc/passwd", "net/41-3754d6cb3a38e118.tfstate"},
	} {
		got, err := (&target{}).OlderName(c.name, 41, c.id)
		if err != nil || got != c.want {
			t.Errorf("%q with the ID %q becomes %q (%v), want %q", c.name, c.id, got, err, c.want)
		}
	}
}
