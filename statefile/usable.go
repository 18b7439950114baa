package statefile

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// A FlawKind is a reason why Terraform cannot use a state that it reads without an error.
type FlawKind string

// The kinds of flaws. For the first four, Terraform silently drops the resources when it
// reads the state.
const (
	FlawInstanceProvider FlawKind = "instance-provider"        // OpenTofu recorded the provider on each instance
	FlawOpenTofuLegacy   FlawKind = "opentofu-legacy-provider" // registry.opentofu.org/-/aws
	FlawNoProvider       FlawKind = "no-provider"              // no provider is recorded
	FlawInvalidProvider  FlawKind = "invalid-provider"         // the provider is not a valid address
	FlawLegacyProvider   FlawKind = "legacy-provider"          // provider.aws, registry.terraform.io/-/aws: init fails
)

// A Flaw is a FlawKind with the resources that it affects.
type Flaw struct {
	Kind FlawKind

	// Resources counts the affected resources. A resource with count or for_each is one.
	Resources int

	// Types lists the types of the legacy providers, such as "aws": at most maxFlawTypes.
	Types []string
}

// maxFlawTypes limits the provider types that a flaw lists.
const maxFlawTypes = 5

// dropped reports whether Terraform drops the resources.
func (k FlawKind) dropped() bool { return k != FlawLegacyProvider }

// flawOrder is the order in which flaws are reported.
var flawOrder = []FlawKind{FlawInstanceProvider, FlawOpenTofuLegacy, FlawNoProvider, FlawInvalidProvider, FlawLegacyProvider}

// Unusable returns, in sentences, why Terraform cannot use the state and what to do about
// it. It reports false if Terraform can use it.
func (s *Snapshot) Unusable() (reason, advice string, unusable bool) {
	var reasons, advices []string
	for _, f := range s.Flaws {
		reasons = append(reasons, f.reason(s.Contents.Resources()))
		if a := f.advice(); !slices.Contains(advices, a) {
			advices = append(advices, a)
		}
	}
	if s.irreparable() {
		advices = []string{irreparableAdvice}
	}
	return strings.Join(reasons, " "), strings.Join(advices, " "), len(s.Flaws) > 0
}

// Drops reports whether Terraform drops resources when it reads the state. Any Terraform
// command that writes the state would lose them.
func (s *Snapshot) Drops() bool {
	return slices.ContainsFunc(s.Flaws, func(f Flaw) bool { return f.Kind.dropped() })
}

// irreparable reports whether no command can repair the state: neither Terraform nor
// OpenTofu sees all of its resources, and a command that writes the state loses the
// others.
func (s *Snapshot) irreparable() bool {
	has := func(kinds ...FlawKind) bool {
		return slices.ContainsFunc(s.Flaws, func(f Flaw) bool { return slices.Contains(kinds, f.Kind) })
	}
	return has(FlawNoProvider, FlawInvalidProvider) || s.Drops() && (s.legacy != nil || has(FlawLegacyProvider))
}

const irreparableAdvice = `"terraform state replace-provider" cannot repair this, because Terraform does not see these resources; any command that writes the state would lose them. ` +
	`Restore the state from an earlier version in its backend, or add the provider to a copy of the file and move the copy.`

// LegacyProviders returns a sentence if the state was written by Terraform 0.13 or older
// and newer releases cannot use it, and advice how to repair it. Otherwise both are
// empty.
func (s *Snapshot) LegacyProviders() (reason, advice string) {
	if s.legacy == nil || s.Drops() { // Unusable has the advice
		return "", ""
	}
	return s.legacy.reason(0), s.legacy.advice()
}

// LooksUpProviders reports whether this Terraform release looks up the namespaces of
// legacy providers. An invalid version counts as the latest release.
func LooksUpProviders(terraform string) bool {
	v, err := version.NewVersion(terraform)
	return err == nil && v.Core().LessThan(noLegacyProviders)
}

// reason returns what Terraform does with the state, which has all resources in total.
func (f Flaw) reason(all int) string {
	if f.Kind == FlawLegacyProvider {
		provider := "provider"
		if len(f.Types) > 1 {
			provider = "providers"
		}
		return fmt.Sprintf(`Terraform 0.14 and later fail to initialize with this state ("Invalid legacy provider address"): it names the %s %s without a namespace.`,
			provider, strings.Join(f.Types, ", "))
	}
	why := map[FlawKind]string{
		FlawInstanceProvider: "OpenTofu recorded the provider on each instance (for_each in a provider block), and Terraform reads it from the resource only",
		FlawOpenTofuLegacy:   "Terraform cannot parse the provider address registry.opentofu.org/-/" + strings.Join(f.Types, ", registry.opentofu.org/-/"),
		FlawNoProvider:       "the state records no provider for " + pronoun(f.Resources),
		FlawInvalidProvider:  "Terraform cannot parse the address of " + pronounOwn(f.Resources) + " provider",
	}[f.Kind]
	return fmt.Sprintf("Terraform would silently drop %s and plan to create %s again: %s.", resourcesOf(f.Resources, all), pronoun(f.Resources), why)
}

func pronoun(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

func pronounOwn(n int) string {
	if n == 1 {
		return "its"
	}
	return "their"
}

// resourcesOf returns how many of all resources are affected.
func resourcesOf(n, all int) string {
	switch {
	case all == 1:
		return "the only resource"
	case n == all:
		return fmt.Sprintf("all %d resources", all)
	}
	return fmt.Sprintf("%d of %d resources", n, all)
}

// advice returns how to repair the state at its source.
func (f Flaw) advice() string {
	switch f.Kind {
	case FlawInstanceProvider:
		return `Keep this state in OpenTofu, or remove for_each from the provider block and run "tofu apply". OpenTofu then records the provider on the resource.`
	case FlawOpenTofuLegacy:
		return "Repair it at the source with OpenTofu, because Terraform does not see these resources: " + replaceProviders("tofu", "registry.opentofu.org", f.Types)
	case FlawLegacyProvider:
		return `Repair it at the source with the release of Terraform that will use it next (0.13 or later): run "terraform init", which connects to the backend before it fails, then ` +
			replaceProviders("terraform", "registry.terraform.io", f.Types)
	}
	return irreparableAdvice
}

// replaceProviders returns the commands that give legacy providers a namespace.
func replaceProviders(program, host string, types []string) string {
	commands := make([]string, len(types))
	for i, t := range types {
		commands[i] = fmt.Sprintf(`"%s state replace-provider %s/-/%s registry.terraform.io/hashicorp/%s"`, program, host, t, t)
	}
	return strings.Join(commands, ", ") + ". If another namespace publishes the provider, name that one."
}

// openTofuHost is OpenTofu's registry.
const openTofuHost = "registry.opentofu.org/"

// OpenTofuProviders returns a sentence if providers have addresses in OpenTofu's
// registry, which Terraform treats as different providers, and advice what to do.
// Otherwise both are empty.
func (s *Snapshot) OpenTofuProviders() (reason, advice string) {
	if len(s.openTofu) == 0 {
		return "", ""
	}
	const most = 3
	named, more := s.openTofu, ""
	if len(named) > most {
		named, more = named[:most], fmt.Sprintf(" and %d more", len(named)-most)
	}
	reason = "OpenTofu wrote this state. Terraform treats its providers as different ones, because their addresses name OpenTofu's registry: " + strings.Join(named, ", ") + more + "."
	if s.Drops() {
		return reason, `Do not rename them with "terraform state replace-provider" before the other resources are repaired: Terraform does not see those, and would lose them.`
	}
	commands := make([]string, len(named))
	for i, address := range named {
		commands[i] = fmt.Sprintf(`"terraform state replace-provider %s registry.terraform.io/%s"`, address, strings.TrimPrefix(address, openTofuHost))
	}
	return reason, "Before the first run, rename them: " + strings.Join(commands, ", ") + "."
}

// openTofuProviders returns the providers in OpenTofu's registry of which Terraform sees
// a resource. Terraform cannot change the addresses of others.
func openTofuProviders(providers []Provider, unseen map[string]int) (addresses []string) {
	for _, p := range providers {
		if rest, is := strings.CutPrefix(p.Address, openTofuHost); is && !strings.HasPrefix(rest, "-/") && unseen[p.Address] < p.Resources {
			addresses = append(addresses, p.Address)
		}
	}
	return addresses
}

// flaws collects a state's flaws.
type flaws map[FlawKind]*Flaw

func (f *flaws) add(kind FlawKind, kindOfProvider string) {
	if *f == nil {
		*f = flaws{}
	}
	flaw := (*f)[kind]
	if flaw == nil {
		flaw = &Flaw{Kind: kind}
		(*f)[kind] = flaw
	}
	flaw.Resources++
	if kindOfProvider != "" && len(flaw.Types) < maxFlawTypes && !slices.Contains(flaw.Types, kindOfProvider) {
		flaw.Types = append(flaw.Types, kindOfProvider)
		slices.Sort(flaw.Types)
	}
}

// of returns the flaws of a state written by this Terraform version. Before 0.14 legacy
// addresses were valid, or repaired by the next init: they are a flaw only if a newer
// release is to use the state.
func (f flaws) of(wrote string) (all []Flaw, legacy *Flaw) {
	for _, kind := range flawOrder {
		switch flaw := f[kind]; {
		case flaw == nil:
		case kind == FlawLegacyProvider && !writtenSince(wrote, noLegacyProviders):
			legacy = flaw
		default:
			all = append(all, *flaw)
		}
	}
	return all, legacy
}

// noLegacyProviders is the first version of Terraform that does not look up the
// namespaces of legacy providers.
var noLegacyProviders = version.Must(version.NewVersion("0.14.0"))

func writtenSince(wrote string, since *version.Version) bool {
	v, err := version.NewVersion(wrote)
	return err == nil && v.Core().GreaterThanOrEqual(since)
}

// isVersion reports whether Terraform can parse text as the version that wrote a state.
func isVersion(text []byte) bool {
	_, err := version.NewVersion(string(text))
	return len(text) == 0 || err == nil
}

// A providerVerdict is how Terraform treats a resource's provider.
type providerVerdict struct {
	flaw FlawKind // "" if there is none
	kind string   // type of a legacy provider
}

// verdictOn returns how Terraform treats the "provider" of a format 4 resource.
func verdictOn(configuration []byte) providerVerdict {
	if len(configuration) == 0 {
		return providerVerdict{flaw: FlawNoProvider}
	}
	invalid := providerVerdict{flaw: FlawInvalidProvider}
	traversal, ok := parseTraversal(configuration)
	if !ok {
		return invalid
	}
	keyed, rest, ok := cutModules(traversal)
	if !ok || keyed || len(rest) < 2 || len(rest) > 3 || rest.IsRelative() || rest.RootName() != "provider" {
		return invalid
	}
	if len(rest) == 3 {
		if _, alias := rest[2].(hcl.TraverseAttr); !alias {
			return invalid
		}
	}
	switch step := rest[1].(type) {
	case hcl.TraverseAttr: // provider.aws, up to Terraform 0.12
		if step.Name == "terraform" {
			return providerVerdict{}
		}
		return providerVerdict{flaw: FlawLegacyProvider, kind: step.Name}
	case hcl.TraverseIndex:
		if step.Key.Type() != cty.String {
			return invalid
		}
		source := step.Key.AsString()
		if kind, is := strings.CutPrefix(source, "registry.opentofu.org/-/"); is {
			if _, ok := providerPart(kind); ok {
				return providerVerdict{flaw: FlawOpenTofuLegacy, kind: kind}
			}
		}
		switch ok, legacy := isProviderSource(source); {
		case !ok:
			return invalid
		case legacy != "":
			return providerVerdict{flaw: FlawLegacyProvider, kind: legacy}
		}
		return providerVerdict{}
	}
	return invalid
}

// judgeResource treats a format 4 resource as Terraform does when it loads a state: it
// rejects it, drops it, or keeps it with its objects.
func (d *document) judgeResource() {
	r, t := &d.resource, &d.current
	switch string(r.mode.bytes) {
	case "managed", "data":
	case "":
		t.refuse(d.refuse(KindRefusedContent, `a resource has no "mode"`, r.at))
		return
	default:
		t.refuse(d.refuse(KindRefusedContent, `a resource's "mode" is neither "managed" nor "data"`, r.at))
		return
	}
	module := r.module.identity()
	if len(module) > 0 && !r.module.long { // long texts are not parsed
		module = d.parsed.modules.of(module, canonicalModule)
		if module == nil {
			t.refuse(d.refuse(KindRefusedContent, `a resource's "module" is not a module address`, r.at))
			return
		}
	}
	verdict := providerVerdict{}
	if !r.provider.long {
		verdict = d.parsed.verdicts.of(r.provider.bytes, verdictOn)
	}
	if verdict.flaw == FlawNoProvider && r.instanceProviders > 0 {
		verdict.flaw = FlawInstanceProvider
	}
	if verdict.flaw != "" && (verdict.flaw == FlawLegacyProvider || len(r.objects) > 0) {
		t.flaws.add(verdict.flaw, verdict.kind)
	}
	if verdict.flaw != "" && verdict.flaw.dropped() {
		r.dropped = true
		return
	}
	t.refuse(r.refusal)
	if len(r.objects) == 0 {
		return
	}
	address := d.addressOf(r, module)
	t.objects.reserve(len(r.objects))
	for _, object := range r.objects {
		if !t.objects.add(combine(address, object)) {
			t.refuse(d.refuse(KindDuplicate, "", r.at))
			return
		}
	}
}

// addressOf hashes what identifies a resource to Terraform: the module's address, and the
// text formed by the mode, the type and the name.
func (d *document) addressOf(r *resource, module []byte) uint64 {
	d.scratch = appendLong(d.scratch[:0], module)
	if string(r.mode.bytes) == "data" {
		d.scratch = append(d.scratch, "data."...)
	}
	d.scratch = append(append(append(d.scratch, r.kind.identity()...), '.'), r.name.identity()...)
	return maphash.Bytes(distinctSeed, d.scratch)
}

// judgeInstance records why Terraform would reject an element of "instances", and what
// identifies the element.
func (d *document) judgeInstance(at int64) {
	i, r := &d.instance, &d.resource
	detail := ""
	switch {
	case i.keyKind != noKey && i.keyKind != stringKey && i.keyKind != numberKey:
		detail = `an "index_key" is neither a string nor a number`
	case i.badPath:
		detail = `"sensitive_attributes" is not a list of paths`
	case len(i.status.bytes) > 0 && string(i.status.bytes) != "tainted":
		detail = `a "status" is not "tainted"`
	case i.badDependency:
		detail = `"dependencies" contains an invalid resource address`
	case len(i.deposed.bytes) > 0 && len(i.deposed.bytes) != deposedKeyLength:
		detail = `a "deposed" key is not 8 characters long`
	}
	if detail != "" && r.refusal == nil {
		r.refusal = d.refuse(KindRefusedContent, detail, at)
	}
	if len(i.provider.bytes) > 0 {
		r.instanceProviders++
		if len(r.instanceProvider) == 0 {
			r.instanceProvider = append(r.instanceProvider, i.provider.bytes...)
		}
	}
	r.objects = append(r.objects, d.hashOf([]byte{i.keyKind}, i.key.identity(), i.deposed.bytes))
}

// deposedKeyLength is the length of a deposed object's key.
const deposedKeyLength = 8
