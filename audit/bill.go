package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// HoursPerMonth is the average number of hours in a month, with which prices per hour are
// shown per month.
const HoursPerMonth = 730

// notBilled are the types of managed resources that HCP Terraform does not count
// (https://developer.hashicorp.com/terraform/cloud-docs/overview/estimate-hcp-terraform-cost).
var notBilled = []string{"null_resource", "terraform_data"}

// billable returns how many managed resources HCP Terraform counts in a resource: one for
// each instance of mode "managed", except of some types. Deposed objects are not counted
// here; HashiCorp does not document whether they are.
func billable(r statefile.Resource) (n int) {
	if r.Mode != "managed" || slices.Contains(notBilled, r.Type) {
		return 0
	}
	for _, i := range r.Instances {
		if !i.Deposed {
			n++
		}
	}
	return n
}

// A Bill is what HCP Terraform would count as managed resources, if all audited states were
// in its workspaces. Of copies of one state, only the newest counts.
type Bill struct {
	Billable int `json:"billable"`
	// Cap is the highest number that is wanted, and Over how many more there are; 0 for none.
	Cap  int `json:"cap,omitempty"`
	Over int `json:"over,omitempty"`
	// PricePerHour is the price of a resource for an hour, in any currency, and PerMonth that
	// of all for HoursPerMonth.
	PricePerHour float64 `json:"price_per_resource_hour,omitempty"`
	PerMonth     float64 `json:"per_month,omitempty"`
	// Directories has the sums of the directories, the largest first.
	Directories []BilledDirectory `json:"directories"`
}

// A BilledDirectory is the part of a bill for a directory, see Directories.
type BilledDirectory struct {
	Directory string `json:"directory"`
	States    int    `json:"states"`
	Billable  int    `json:"billable"`
}

// Bill returns the bill.
func (i *Inventory) Bill() Bill {
	newest := map[string]int{} // by lineage
	var counted []int
	var names []string
	for k := range i.Snapshots {
		sn := &i.Snapshots[k]
		if sn.Kind != string(statefile.KindState) {
			continue
		}
		names = append(names, sn.Source)
		n, met := newest[sn.Lineage]
		switch {
		case !met || sn.Lineage == "":
			newest[sn.Lineage] = len(counted)
			counted = append(counted, k)
		case sn.Serial > i.Snapshots[counted[n]].Serial:
			counted[n] = k
		}
	}
	b := Bill{Cap: i.ResourceCap, PricePerHour: i.ResourcePrice, Directories: []BilledDirectory{}}
	directories, byName := NewDirectories(names), map[string]int{}
	for _, k := range counted {
		sn := &i.Snapshots[k]
		b.Billable += sn.Billable
		name := directories.Of(sn.Source)
		n, met := byName[name]
		if !met {
			n = len(b.Directories)
			byName[name] = n
			b.Directories = append(b.Directories, BilledDirectory{Directory: name})
		}
		b.Directories[n].States++
		b.Directories[n].Billable += sn.Billable
	}
	slices.SortFunc(b.Directories, func(a, b BilledDirectory) int {
		return cmp.Or(cmp.Compare(b.Billable, a.Billable), cmp.Compare(a.Directory, b.Directory))
	})
	if b.Cap > 0 {
		b.Over = max(0, b.Billable-b.Cap)
	}
	b.PerMonth = float64(b.Billable) * b.PricePerHour * HoursPerMonth
	return b
}

// overCap returns the finding that the bill is over its cap, if it is.
func (i *Inventory) overCap() []Finding {
	b := i.Bill()
	if b.Over == 0 {
		return nil
	}
	return []Finding{{Code: CodeResourceCap, Severity: SeverityWarning, Sources: []string{},
		Message: fmt.Sprintf("The states hold %s that HCP Terraform counts, %s more than the cap of %s.", plainwords.Counted(b.Billable, "managed resource"), plainwords.Grouped(b.Over), plainwords.Grouped(b.Cap)),
		Advice:  "Leave states out with --exclude, keep them in another backend, or agree on a higher cap."}}
}

// Directories are what teams usually share states by: the first part of the addresses that
// is not the same in all of them.
type Directories struct {
	depth int // how many parts all addresses share
}

// NewDirectories finds what all addresses share.
func NewDirectories(addresses []string) Directories {
	if len(addresses) == 0 {
		return Directories{}
	}
	shared := splitAddress(addresses[0])
	shared = shared[:len(shared)-1] // the file
	for _, address := range addresses[1:] {
		parts := splitAddress(address)
		n := 0
		for n < min(len(shared), len(parts)-1) && shared[n] == parts[n] {
			n++
		}
		shared = shared[:n]
	}
	return Directories{len(shared)}
}

// Of returns the directory of an address.
func (d Directories) Of(address string) string {
	if parts := splitAddress(address); len(parts) > d.depth+1 {
		return parts[d.depth]
	}
	return "(top level)"
}

// splitAddress cuts an address into its parts. A scheme and its bucket are one part.
func splitAddress(address string) []string {
	parts := strings.Split(address, "/")
	if len(parts) > 2 && strings.HasSuffix(parts[0], ":") && parts[1] == "" {
		parts = append([]string{strings.Join(parts[:3], "/")}, parts[3:]...)
	}
	return parts
}
