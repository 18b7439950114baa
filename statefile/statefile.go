// Package statefile reads state files. It returns a file's format, serial, lineage,
// digest, size and contents or, if the file is not a state that can be moved, what it is
// instead.
//
// It reads JSON exactly as Terraform does, in one pass and in memory that does not grow
// with the file. It does not know where files come from or go: it takes an [io.Reader]
// and returns values. No value or error contains content of the file beyond the header,
// addresses and counts.
package statefile

import (
	"io"
	"math"
)

// MaxSerial is the highest accepted serial: 2^53. JSON readers that keep numbers as
// float64, such as HCP Terraform's API client, corrupt higher ones.
const MaxSerial = 1 << 53

// A Snapshot describes the content of one state file.
type Snapshot struct {
	// Format is the version of the state file format, 1 to 4. After an error it is what
	// the file claims, which may be 0 or more than 4.
	Format int

	// TerraformVersion is the version that wrote the state, empty in format 1.
	TerraformVersion string

	// Serial counts the versions of a state. A file without one has 0, as in Terraform.
	Serial int64

	// Lineage identifies the state across its versions. It is empty for format 1, and for
	// files without one.
	Lineage string

	// MD5 is the digest of all bytes in lowercase hex. It is empty for a refused file
	// that was not read to its end.
	MD5 string

	// Size is the number of bytes. It is 0 if MD5 is empty.
	Size int64

	// Contents counts what the state holds.
	Contents Contents

	// Flaws are the reasons why Terraform cannot use the state although it reads it
	// without an error; see [Snapshot.Unusable].
	Flaws []Flaw

	openTofu []string // see OpenTofuProviders
	legacy   *Flaw    // see LegacyProviders

	// serialAt and serialLen locate the literal of the effective serial. serialLen is 0
	// if there is none.
	serialAt  int64
	serialLen int
}

// Contents counts what a state holds. If a key occurs twice, the last one counts, as in
// Terraform.
type Contents struct {
	// Managed and Data count resources. A resource with count or for_each is one.
	Managed, Data int

	// Other counts resources of other modes, which Terraform 1.x rejects.
	Other int

	// Instances counts the current objects of those resources, which "terraform state
	// list" prints. It does not include deposed objects.
	Instances int

	// Deposed counts objects that were replaced and are not yet destroyed.
	Deposed int

	// Tainted counts objects marked to be replaced.
	Tainted int

	// Modules counts the module instances, other than the root, that hold resources. It
	// is not exact above 65,536.
	Modules int

	// Providers lists the resources' providers by address.
	Providers []Provider

	// Outputs counts the root module's outputs, including sensitive ones.
	Outputs          int
	SensitiveOutputs int

	// SensitiveAttributes counts the paths that Terraform marked as sensitive.
	SensitiveAttributes int

	// Checks counts the resources, outputs, variables and check blocks with recorded
	// results of their conditions, and FailedChecks those that did not pass ("fail" and
	// "error").
	Checks, FailedChecks int
}

// A Provider is a provider's address and its number of resources.
type Provider struct {
	// Address is the source address, such as "registry.terraform.io/hashicorp/aws", or a
	// local name, such as "aws", if an older Terraform recorded only that.
	Address string

	// Resources counts the provider's managed and data resources, over all its
	// configurations (aliases).
	Resources int
}

// Resources returns the number of all resources.
func (c *Contents) Resources() int { return c.Managed + c.Data + c.Other }

// Empty reports whether there is neither a resource nor an output.
func (c *Contents) Empty() bool { return c.Resources()+c.Instances+c.Deposed+c.Outputs == 0 }

// Read reads a state file to its end.
//
// If the file is not a state that can be moved, Read returns an [*Error]. The Snapshot is
// not nil then: it has serial, lineage and the claimed format as far as they could be
// read. It also has MD5 and Size, unless more than 4 MiB follow the position of the
// error, which are not read. Any other error comes from r; MD5 and Size then cover the
// bytes read before it.
//
// Read makes one pass in flat memory: some hundred kilobytes, plus 9 to 14 bytes per
// instance to find duplicates (twice that while the table grows, and 8 more for the
// instances of one resource). Read is safe for concurrent use.
func Read(r io.Reader) (*Snapshot, error) {
	return Inspect(r, nil)
}

// ReadWhole is [Read] that also reads refused files to their end, so that MD5 and Size
// are always known.
func ReadWhole(r io.Reader) (*Snapshot, error) {
	return inspect(r, nil, math.MaxInt64)
}

// Empty reports whether the state has neither resources nor outputs. Such a state is
// valid. On some backends "terraform workspace new" creates one.
func (s *Snapshot) Empty() bool { return s.Contents.Empty() }
