package statefile

import (
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// States of formats 1 to 3 are judged as Terraform's upgrade to format 4 judges them. The
// upgrade makes legacy providers: Terraform 0.13 looks up their namespaces, and later
// releases do not.

// A legacyEntry is what is kept of an entry of a module's "resources" until the module's
// path is known.
type legacyEntry struct {
	raw      uint64 // hash of its key
	resource uint64 // hash of the resource, without the module
	object   uint64 // hash of the instance, without the module
	dropped  bool   // Terraform would drop the resource
	current  bool   // it has a primary object
	deposed  bool   // it has deposed objects, which the upgrade numbers from 1
	refusal  string // why Terraform rejects it
}

func newLegacyEntry(d *document, raw uint64, mode, kind, name, index, refusal string, r *legacyResource) legacyEntry {
	// The key has the type; "type" is not read.
	e := legacyEntry{raw: raw, current: r.current, deposed: r.deposed > 0, refusal: refusal}
	e.resource = d.hashOf([]byte(mode), []byte(kind), []byte(name))
	e.object = d.hashOf([]byte(mode), []byte(kind), []byte(name), []byte(index))
	if e.refusal == "" {
		var legacy string
		if legacy, e.dropped, e.refusal = judgeLegacyProvider(r.noted, kind); legacy != "" {
			d.legacy.flaws.add(FlawLegacyProvider, legacy)
		}
	}
	return e
}

// judgeLegacyProvider returns the type of the legacy provider that the upgrade records
// for a resource, or reports that Terraform drops or rejects the resource.
func judgeLegacyProvider(noted, kind string) (legacy string, dropped bool, refusal string) {
	const notAnAddress = `a resource's "provider" is not a provider address`
	switch {
	case strings.Contains(noted, "provider."):
		v := verdictOn([]byte(noted))
		if v.flaw != "" && v.flaw != FlawLegacyProvider {
			return "", false, notAnAddress
		}
		return v.kind, false, ""
	case noted != "":
		traversal, ok := parseTraversal([]byte(noted))
		if !ok || len(traversal) > 2 {
			return "", false, notAnAddress
		}
		if len(traversal) == 2 {
			if _, alias := traversal[1].(hcl.TraverseAttr); !alias {
				return "", false, notAnAddress
			}
		}
		return verdictOn([]byte("provider." + traversal.RootName())).kind, false, ""
	}
	implied, _, _ := strings.Cut(kind, "_")
	v := verdictOn([]byte("provider." + implied))
	return v.kind, v.flaw != "" && v.flaw != FlawLegacyProvider, ""
}

// legacyIndex returns the index in an address such as aws_instance.web.0, or why
// Terraform rejects the address.
func legacyIndex(address string) (index, refusal string) {
	const notAnAddress = `a key in "resources" is not a resource address`
	parts := strings.Split(address, ".")
	if len(parts) < 2 || len(parts) > 4 {
		return "", notAnAddress
	}
	if len(parts) > 2 && parts[0] == "data" {
		parts = parts[1:]
	}
	if len(parts) > 3 {
		return "", notAnAddress
	}
	if len(parts) == 3 {
		n, err := strconv.ParseInt(parts[2], 0, 0)
		if err != nil {
			return "", notAnAddress
		}
		return strconv.FormatInt(n, 10), ""
	}
	return "", ""
}

// firstDeposed distinguishes an instance's first deposed object from its primary one.
const firstDeposed = 1

// judge checks a module the way Terraform's upgrade does.
func (m *legacyModule) judge() {
	d := m.document
	switch {
	case m.depth == 0:
		// Format 1 treats it as the root.
		d.refuseType(formats23, d.refuse(KindRefusedContent, `a module has no "path"`, m.at))
	case !m.root, m.badStep:
		d.refuseType(formats123, d.refuse(KindRefusedContent, `a module's "path" does not consist of "root" and names`, m.at))
	}
	address := d.hashOf([]byte(m.address))
	for _, e := range m.entries {
		if e.refusal != "" {
			d.refuseType(formats123, d.refuse(KindRefusedContent, e.refusal, m.at))
			continue
		}
		if e.dropped {
			if d.legacyDropped.add(combine(address, e.resource)) {
				d.legacy.flaws.add(FlawInvalidProvider, "")
			}
			continue
		}
		// If an object has the same key twice, the last one counts.
		if !d.legacyKeys.add(combine(uint64(m.at), e.raw)) {
			continue
		}
		object := combine(address, e.object)
		if e.current && !d.legacy.objects.add(object) || e.deposed && !d.legacy.objects.add(combine(firstDeposed, object)) {
			d.refuseType(formats123, d.refuse(KindDuplicate, "", m.at))
		}
	}
}
