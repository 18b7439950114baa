package audit

import (
	"fmt"
	"net"
	"strings"
)

// providersOf reports providers that the target cannot install.
func (j *judge) providersOf(f *file) {
	var unusable []string
	for _, p := range f.Providers {
		host, _, full := strings.Cut(p.Address, "/")
		switch {
		case !full: // only a name, up to Terraform 0.12
		case strings.Count(p.Address, "/") > 2: // not an address
		case host == "registry.opentofu.org":
		case localHost(host) && host != "terraform.io":
			unusable = append(unusable, p.Address)
		}
	}
	if len(unusable) > 0 {
		advice := `Publish them in the target's private registry or use the public ones, and change the address with "terraform state replace-provider".`
		if f.drops {
			advice += ` First repair the resources that Terraform does not see: the command would lose them.`
		}
		j.add(Finding{Code: CodeUnusableProvider, Severity: SeverityError, Sources: []string{f.Source}, Resources: unusable, Advice: advice,
			Message: fmt.Sprintf("The state uses providers of a local mirror, which the target cannot install: %s.", listed(unusable))})
	}
	if f.legacy[0] != "" {
		j.about(f, CodeLegacyProvider, SeverityWarning, f.legacy[0], f.legacy[1])
	}
	if f.openTofu[0] != "" {
		j.about(f, CodeOpenTofuProvider, SeverityWarning, f.openTofu[0], f.openTofu[1])
	}
	if f.unusable[0] != "" {
		j.about(f, CodeUnusable, SeverityError, f.unusable[0], f.unusable[1])
	}
}

// localHost reports whether a provider's host cannot be a registry for others: it has no
// domain, a domain that exists nowhere, or is an IP address.
func localHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if net.ParseIP(name) != nil || !strings.Contains(name, ".") {
		return true
	}
	for _, domain := range []string{".local", ".localhost", ".localdomain", ".test", ".invalid", ".example"} {
		if strings.HasSuffix(name, domain) {
			return true
		}
	}
	return name == "example.com" || strings.HasSuffix(name, ".example.com")
}
