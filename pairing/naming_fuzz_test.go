package pairing_test

import (
	"regexp"
	"testing"

	"tfhaul/backend"
	"tfhaul/pairing"
)

var workspaceName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,260}$`)

// FuzzNamer checks that every name is valid for a workspace, and always the same, for any
// template and place.
func FuzzNamer(f *testing.F) {
	for _, template := range []string{"", "{{ .Dir }}", `{{ .Dir | replace "/" "_" | lower }}`, `{{ join "-" .Bucket .Base .Workspace }}`, `{{ trimPrefix "a" .Key }}`, "{{ index .Dir 9 }}", "{{", "{{ .X }}"} {
		f.Add(template, "network/prod", "terraform", "network/prod/terraform.tfstate", "acme-tfstate", "default", "states")
		f.Add(template, "../../\x1b[2J", "größe", "\x00", "", "-", "..")
	}
	f.Fuzz(func(t *testing.T, template, dir, base, key, bucket, workspace, root string) {
		if len(template) > 200 {
			return // a template can loop for a long time
		}
		namer, err := pairing.ParseNamer(template)
		if err != nil {
			return
		}
		place := backend.Place{Dir: dir, Base: base, Key: key, Bucket: bucket, Workspace: workspace, Root: root}
		name, err := namer.Name(place)
		if err != nil {
			return
		}
		if !workspaceName.MatchString(name) {
			t.Fatalf("%q", name)
		}
		if again, err := namer.Name(place); again != name || err != nil {
			t.Fatalf("%q, and then %q: %v", name, again, err)
		}
	})
}
