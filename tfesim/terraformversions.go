package tfesim

import (
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"tfhaul/tfesim/jsonapi"
)

// offersTerraform reports whether a workspace may use this Terraform version: an offered
// version, a constraint that an offered version satisfies, or "latest".
func (s *Server) offersTerraform(wanted string) bool {
	if wanted == "latest" {
		return true
	}
	offered := s.options.OfferedTerraform
	if exact, err := version.NewSemver(wanted); err == nil {
		if offered == nil {
			return released(exact)
		}
		return slices.Contains(offered, wanted)
	}
	constraint, err := version.NewConstraint(wanted)
	if err != nil || !strings.ContainsAny(wanted, "~<>=!") {
		return false // "1.9" is neither a version nor a constraint there
	}
	return offered == nil || slices.ContainsFunc(offered, func(o string) bool {
		v, err := version.NewVersion(o)
		return err == nil && constraint.Check(v)
	})
}

// released reports whether a version may have been published: those that end in "-dev" are
// built from source.
func released(v *version.Version) bool {
	pre := v.Prerelease()
	return pre == "" || strings.HasPrefix(pre, "alpha") || strings.HasPrefix(pre, "beta") || strings.HasPrefix(pre, "rc")
}

// listTerraformVersions answers GET /admin/terraform-versions, for site administrators. It
// exists only if Options.OfferedTerraform is set.
func listTerraformVersions(c *call) (*jsonapi.Answer, error) {
	if c.who.user == nil || !c.who.user.Admin || c.s.options.OfferedTerraform == nil {
		return nil, jsonapi.NotFound()
	}
	q := c.r.URL.Query()
	exact, part := q.Get("filter[version]"), q.Get("search[version]")
	var all []string
	for _, v := range c.s.options.OfferedTerraform {
		if (exact == "" || v == exact) && strings.Contains(v, part) {
			all = append(all, v)
		}
	}
	return jsonapi.List(c.r, all, func(v string) jsonapi.Resource {
		return jsonapi.Resource{ID: "tool-" + tagID(v), Type: "terraform-versions", Attributes: map[string]any{
			"version": v, "enabled": true, "official": true, "beta": strings.Contains(v, "-"), "deprecated": false, "usage": 0,
		}}
	}, nil)
}
