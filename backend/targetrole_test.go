package backend_test

import (
	"strings"
	"testing"

	"tfhaul/backend"
)

func TestTheKindOfATarget(t *testing.T) {
	role := func(form string, claims func(string) bool) *backend.TargetRole {
		return &backend.TargetRole{State: form, Container: form, Claims: claims}
	}
	kinds := backend.Kinds{
		{Target: role("./FILE", func(a string) bool { return strings.HasPrefix(a, "./") })},
		{Scheme: "disk", Aliases: []string{"ssd"}, Target: role("disk://KEY", nil)},
		{Scheme: "tape", ReadOnly: "a tape is only read"},
		{Scheme: "host", Target: role("ORG/NAME", func(a string) bool { s := backend.Scheme(a); return s == "" || s == "https" })},
	}
	for address, want := range map[string]string{
		"./a": "./FILE", "disk://a": "disk://KEY", "DISK://a": "disk://KEY", "ssd://a": "disk://KEY", "acme/net": "ORG/NAME", "https://acme/net": "ORG/NAME",
	} {
		if kind, err := kinds.Target(address); err != nil || kind.Target.State != want {
			t.Errorf("%s: %+v, %v; want %s", address, kind, err, want)
		}
	}
	for address, want := range map[string]string{
		"tape://user:secret@host/a": "tape:// cannot be a target: a tape is only read",
		"ftp://user:secret@host/a":  "cannot write state to ftp:// URLs; a target is ./FILE, ORG/NAME or a URL that starts with disk://",
	} {
		if _, err := kinds.Target(address); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
}
