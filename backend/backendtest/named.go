package backendtest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tfhaul/backend"
)

// Named tests one kind of backend as a source whose states have names instead of paths, and may
// refuse what is not a state. The names are lower-case letters.
func Named(t *testing.T, kind backend.Kind, open opener) {
	kinds := backend.Kinds{kind}
	t.Run("lists every state, sorted by name", func(t *testing.T) {
		ref, _ := open(t, map[string][]byte{"prod": small(1, "p"), "default": small(1, "d"), "stage": small(1, "s")})
		names := func(l *backend.Listing) (all []string) {
			for _, s := range l.States {
				all = append(all, s.Place().Key)
			}
			return all
		}
		for does, tt := range map[string]struct {
			filter backend.Filter
			want   string
		}{
			"all":     {backend.Filter{}, "default prod stage"},
			"include": {backend.Filter{Include: []string{"p*", "stage"}}, "prod stage"},
			"exclude": {backend.Filter{Include: []string{"*"}, Exclude: []string{"p*"}}, "default stage"},
		} {
			if got := strings.Join(names(find(t, kinds, ref, tt.filter)), " "); got != tt.want {
				t.Errorf("%s finds %q, want %q", does, got, tt.want)
			}
		}
		var none *backend.NoMatchError
		if _, err := kinds.Find(t.Context(), ref, backend.Filter{Include: []string{"nowhere"}}); !errors.As(err, &none) || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("including nothing: %v, want a *NoMatchError that lists the pattern", err)
		}
	})

	t.Run("reads exactly the bytes stored", func(t *testing.T) {
		files := map[string][]byte{"small": small(1, "ünï <&>\u2028"), "large": small(3, strings.Repeat("0123456789abcdef", 150_000))} // 2.4 MB
		ref, _ := open(t, files)
		for _, s := range find(t, kinds, ref, backend.Filter{}).States {
			got, version := read(t, s, nil)
			if want := files[s.Place().Key]; !bytes.Equal(got, want) || version.Size != 0 && version.Size != int64(len(want)) {
				t.Errorf("%s: read %d bytes of version %+v, stored are %d others", s.Address(), len(got), version, len(want))
			}
		}
	})

	testStates(t, kinds, open, contents{
		names: [2]string{"one", "two"},
		first: small(1, "as it was"), sameSize: small(2, "AS IT WAS"), other: small(3, "longer than it was"),
		large: small(1, strings.Repeat("0123456789abcdef", 2000)),
	})
}

// small returns a state with one output.
func small(serial int64, value string) []byte {
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.4","serial":%d,"lineage":"6f8b2b1c-0000-4000-8000-000000000018","outputs":{"o":{"value":%q,"type":"string"}},"resources":[]}`, serial, value)
}
