package statefile

import (
	"hash/maphash"
	"slices"
	"strings"
)

// A tally counts what a state holds.
type tally struct {
	Contents  // without modules and providers
	modules   distinct
	providers map[string]*int

	flaws         flaws          // why Terraform cannot use the state
	unseen        map[string]int // dropped resources by provider
	objects       hashSet        // hashes of what was read, to find duplicates
	refusal       *Error         // the first reason in resources for which Terraform rejects the state
	outputRefusal *Error         // the same in outputs
	checkRefusal  *Error         // the same in check results
}

// refuse records why Terraform rejects the state, unless refusal is nil or a reason is
// known.
func (t *tally) refuse(refusal *Error) {
	if t.refusal == nil {
		t.refusal = refusal
	}
}

// forgetResources starts over when another "resources" replaces an earlier one.
func (t *tally) forgetResources() {
	kept := Contents{Outputs: t.Outputs, SensitiveOutputs: t.SensitiveOutputs, Checks: t.Checks, FailedChecks: t.FailedChecks}
	*t = tally{Contents: kept, outputRefusal: t.outputRefusal, checkRefusal: t.checkRefusal}
}

// drop counts a resource that Terraform drops.
func (t *tally) drop(provider []byte) {
	if t.unseen == nil {
		t.unseen = make(map[string]int)
	}
	if _, known := t.unseen[string(provider)]; known || len(t.unseen) < maxProviders {
		t.unseen[string(provider)]++
	}
}

// maxProviders limits the memory that a hostile file can make a tally use.
const maxProviders = 4096

// provider counts one resource for the provider at this address.
func (t *tally) provider(address []byte) {
	n := t.providers[string(address)]
	if n == nil {
		if len(t.providers) == maxProviders {
			return
		}
		if t.providers == nil {
			t.providers = make(map[string]*int)
		}
		n = new(int)
		t.providers[string(address)] = n
	}
	*n++
}

// contents returns the tally as Contents.
func (t *tally) contents() Contents {
	c := t.Contents
	c.Modules = t.modules.count
	for address, n := range t.providers {
		c.Providers = append(c.Providers, Provider{Address: address, Resources: *n})
	}
	slices.SortFunc(c.Providers, func(a, b Provider) int { return strings.Compare(a.Address, b.Address) })
	return c
}

// A distinct counts distinct texts. It is not exact above maxDistinct.
type distinct struct {
	count int
	seen  map[uint64]struct{}
}

const maxDistinct = 1 << 16

var distinctSeed = maphash.MakeSeed()

// add counts the text if it is new, and reports whether it is.
func (d *distinct) add(text []byte) bool {
	h := maphash.Bytes(distinctSeed, text)
	if _, ok := d.seen[h]; ok {
		return false
	}
	d.count++
	if d.seen == nil {
		d.seen = make(map[uint64]struct{})
	}
	if len(d.seen) < maxDistinct {
		d.seen[h] = struct{}{}
	}
	return true
}
