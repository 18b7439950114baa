package audit_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfhaul/audit"
)

// resources returns a resource of a type with n objects, and one that is deposed.
func resourcesOf(mode, kind string, n int) string {
	objects := []string{`{"deposed": "0a1b2c3d", "attributes": {}}`}
	for k := range n {
		objects = append(objects, `{"index_key": "`+strings.Repeat("k", k+1)+`", "attributes": {}}`)
	}
	return `{"mode": "` + mode + `", "type": "` + kind + `", "name": "` + mode + `", "each": "map", "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]", "instances": [` + strings.Join(objects, ",") + `]}`
}

// HCP Terraform counts instances of managed resources, but not all types.
func TestBillCountsWhatHCPTerraformCounts(t *testing.T) {
	all := strings.Join([]string{
		resourcesOf("managed", "aws_instance", 3), resourcesOf("managed", "aws_vpc", 1), resourcesOf("data", "aws_ami", 5),
		resourcesOf("managed", "null_resource", 7), resourcesOf("managed", "terraform_data", 9),
	}, ",")
	files := map[string]string{
		"net/a.tfstate":       state(spec{lineage: "a", serial: 2, resources: all}),
		"net/a-old.tfstate":   state(spec{lineage: "a", serial: 1, resources: resourcesOf("managed", "aws_vpc", 9)}),
		"app/b.tfstate":       state(spec{lineage: "b", resources: resourcesOf("managed", "aws_vpc", 10)}),
		"app/c.tfstate":       state(spec{resources: resourcesOf("managed", "aws_vpc", 1)}),
		"app/d.tfstate":       state(spec{resources: resourcesOf("managed", "aws_vpc", 2)}),
		"app/errored.tfstate": state(spec{lineage: "b", resources: resourcesOf("managed", "aws_vpc", 10)}),
		"bad/e.tfstate":       state(spec{lineage: "e", resources: all})[:900],
		"legacy/f.tfstate":    legacyState,
	}
	i, price := taken(t, files), 0.001
	want := audit.Bill{Billable: 18, Cap: 17, Over: 1, PricePerHour: price, PerMonth: float64(18) * price * audit.HoursPerMonth,
		Directories: []audit.BilledDirectory{{Directory: "app", States: 3, Billable: 13}, {Directory: "net", States: 1, Billable: 4}, {Directory: "legacy", States: 1, Billable: 1}}}
	i.ResourceCap, i.ResourcePrice = 17, price
	if diff := cmp.Diff(want, i.Bill()); diff != "" {
		t.Error(diff)
	}
	if n := i.Summary().Billable; n != 18 {
		t.Errorf("the summary has %d", n)
	}
}

func TestResourceCap(t *testing.T) {
	vpcs := state(spec{lineage: "a", resources: resourcesOf("managed", "aws_vpc", 3)})
	for resourceCap, want := range map[int]int{0: 0, 2: 1, 3: 0, 4: 0} {
		i := taken(t, map[string]string{"a.tfstate": vpcs})
		j := take(t, audit.Options{ResourceCap: resourceCap}, i.Sources...)
		if got := j.Summary().Codes[audit.CodeResourceCap]; got != want {
			t.Errorf("with a cap of %d: %d findings", resourceCap, got)
		}
	}
}
