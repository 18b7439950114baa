package command

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVersionOfAToolchainBuild(t *testing.T) {
	t.Parallel()
	platform := runtime.GOOS + "/" + runtime.GOARCH
	setting := func(pairs ...string) []debug.BuildSetting {
		var settings []debug.BuildSetting
		for i := 0; i < len(pairs); i += 2 {
			settings = append(settings, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return settings
	}
	for _, test := range []struct {
		name string
		info debug.BuildInfo
		want Version
		text string
	}{
		{
			name: "outside of a checkout",
			info: debug.BuildInfo{Main: debug.Module{Version: "(devel)"}},
			want: Version{Version: "devel"},
			text: "tfhaul devel, ",
		},
		{
			name: "at a tag",
			info: debug.BuildInfo{
				Main:     debug.Module{Version: "v1.2.3"},
				Settings: setting("vcs.revision", "0123abc", "vcs.time", "2026-03-01T07:15:00Z", "vcs.modified", "false"),
			},
			want: Version{Version: "v1.2.3", Commit: "0123abc", Date: "2026-03-01T07:15:00Z"},
			text: "tfhaul v1.2.3 (commit 0123abc, 2026-03-01T07:15:00Z), ",
		},
		{
			name: "with changes",
			info: debug.BuildInfo{
				Main:     debug.Module{Version: "v1.2.4-0.20260301071500-0123abc+dirty"},
				Settings: setting("vcs.revision", "0123abc", "vcs.time", "2026-03-01T07:15:00Z", "vcs.modified", "true"),
			},
			want: Version{Version: "v1.2.4-0.20260301071500-0123abc+dirty", Commit: "0123abc", Date: "2026-03-01T07:15:00Z", Modified: true},
			text: "tfhaul v1.2.4-0.20260301071500-0123abc+dirty (commit 0123abc, 2026-03-01T07:15:00Z, modified), ",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.want.Go, test.want.Platform = runtime.Version(), platform
			v := toolchainVersion(&test.info)
			if diff := cmp.Diff(test.want, v); diff != "" {
				t.Errorf("version (-want +got):\n%s", diff)
			}
			if want := test.text + runtime.Version() + ", " + platform; v.String() != want {
				t.Errorf("as text: %s\nwant:    %s", v, want)
			}
		})
	}
}

// TestVersionOfARelease changes what the linker sets, so it does not run in parallel.
func TestVersionOfARelease(t *testing.T) {
	was := []string{releaseVersion, releaseCommit, releaseDate, releaseModified}
	t.Cleanup(func() { releaseVersion, releaseCommit, releaseDate, releaseModified = was[0], was[1], was[2], was[3] })
	releaseVersion, releaseCommit, releaseDate, releaseModified = "v1.2.3", "0123abc", "2026-03-01T07:15:00Z", "false"
	want := Version{
		Version: "v1.2.3", Commit: "0123abc", Date: "2026-03-01T07:15:00Z",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if diff := cmp.Diff(want, buildVersion()); diff != "" {
		t.Errorf("version (-want +got):\n%s", diff)
	}
	if agent := userAgent(); agent != "tfhaul/v1.2.3" {
		t.Errorf("the user agent is %s", agent)
	}
}
