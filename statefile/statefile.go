// Package statefile says what a state file is: which format, serial, lineage,
// digest and size it has, what it contains, and, if it is not a state that may
// be moved, what it is instead.
//
// It reads JSON exactly as Terraform does, in one pass and in memory that does
// not grow with the file. It knows nothing of where a file comes from or where
// it goes: bytes come in through an [io.Reader] and values go out. No value it
// returns and no error it makes holds content of the file beyond the header,
// addresses and counts.
package statefile

import (
	"io"
	"math"
)

// MaxSerial is the highest serial that is accepted: 2^53. Above it a serial
// passes wrongly through every JSON reader that keeps numbers as float64,
// which the API client of HCP Terraform is one of.
const MaxSerial = 1 << 53

// A Snapshot is what one state file's bytes say about themselves.
type Snapshot struct {
	// Format is the version of the state file format, 1 to 4. After an error
	// it is what the file claims, which may be 0 or more than 4.
	Format int

	// TerraformVersion is what wrote the state. Format 1 has none.
	TerraformVersion string

	// Serial counts the versions of a state. A file without one has 0, as in
	// Terraform.
	Serial int64

	// Lineage is the identity of the state through its versions. It is empty
	// for format 1, which has none, and for files that hold none.
	Lineage string

	// MD5 is the digest of all the bytes, in lowercase hex. It is empty for a refused file
	// that was not read to its end.
	MD5 string

	// Size counts all the bytes. It is 0 where MD5 is empty.
	Size int64

	// Contents counts what the state holds.
	Contents Contents

	// Flaws are the reasons why Terraform cannot use the state, although it reads it without an
	// error; see [Snapshot.Unusable].
	Flaws []Flaw

	openTofu []string // see OpenTofuProviders
	legacy   *Flaw    // see LegacyProviders

	// serialAt and serialLen say where the effective serial's literal stands.
	// serialLen is 0 for a file without one.
	serialAt  int64
	serialLen int
}

// Contents counts what a state holds. Where a key of the file stands twice, the
// last one counts, as in Terraform.
type Contents struct {
	// Managed and Data count resources, a resource with count or for_each as one.
	Managed, Data int

	// Other counts resources of a mode that is neither, which Terraform 1.x refuses.
	Other int

	// Instances counts the current objects of those resources: what
	// "terraform state list" prints. Deposed objects are not among them.
	Instances int

	// Deposed counts objects that were replaced and are not yet destroyed.
	Deposed int

	// Tainted counts objects marked to be replaced.
	Tainted int

	// Modules counts the module instances other than the root that hold
	// resources. It stops being exact above 65,536.
	Modules int

	// Providers lists the providers of the resources by address.
	Providers []Provider

	// Outputs counts the root module's outputs, sensitive ones included.
	Outputs          int
	SensitiveOutputs int

	// SensitiveAttributes counts the paths that Terraform marked as sensitive.
	SensitiveAttributes int

	// Checks counts the checkable objects with recorded results (resources,
	// outputs, variables and check blocks with conditions), and
	// FailedChecks those that were not passed ("fail" and "error").
	Checks, FailedChecks int
}

// A Provider is a provider's address and the number of resources it manages.
type Provider struct {
	// Address is the source address, such as
	// "registry.terraform.io/hashicorp/aws", or the bare local name, such as
	// "aws", where older Terraform recorded no more than that.
	Address string

	// Resources counts the managed and data resources of this provider, over
	// all its configurations (aliases).
	Resources int
}

// Resources counts all resources together.
func (c *Contents) Resources() int { return c.Managed + c.Data + c.Other }

// Read reads a state file to its end and says what it is.
//
// A file that is no state, or none that may be moved, is an [*Error]. Then the
// Snapshot is not nil and holds what is known all the same: serial, lineage and the
// claimed format as far as they could be read, and MD5 and Size unless more than 4 MiB
// follow the place where it was refused, which are not read. Any other error comes from r, and MD5 and Size then cover the bytes that
// could be read before it.
//
// It is one pass in flat memory (some hundred kilobytes, whatever
// the sizes of the file and of the values in it, and 9 to 14 bytes an instance, by which duplicates
// are found; twice that while the table grows, and 8 more for those of one resource). Files larger than 4 MiB are hashed in a
// second goroutine, which has ended when Read returns. Read is safe for concurrent use.
func Read(r io.Reader) (*Snapshot, error) {
	return Inspect(r, nil)
}

// ReadWhole is [Read] that reads a refused file to its end, too, so that MD5 and Size are
// always known.
func ReadWhole(r io.Reader) (*Snapshot, error) {
	return inspect(r, nil, math.MaxInt64)
}

// Empty reports whether there is nothing to move: neither resources nor outputs.
// Such a state is valid. "terraform workspace new" leaves one behind at once on
// some backends.
func (s *Snapshot) Empty() bool {
	return s.Contents.Resources() == 0 && s.Contents.Instances == 0 && s.Contents.Deposed == 0 && s.Contents.Outputs == 0
}
