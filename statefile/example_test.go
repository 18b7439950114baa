package statefile_test

import (
	"errors"
	"fmt"
	"strings"

	"tfhaul/statefile"
)

const network = `{
  "version": 4,
  "terraform_version": "1.11.4",
  "serial": 41,
  "lineage": "4b7e3a52-4d4e-4f0b-9b62-6d5f6b1c2a10",
  "outputs": {"vpc_id": {"value": "vpc-0a1b2c", "type": "string"}},
  "resources": [{
    "mode": "managed", "type": "terraform_data", "name": "vpc",
    "provider": "provider[\"terraform.io/builtin/terraform\"]",
    "instances": [{"schema_version": 0, "attributes": {"id": "5d1c", "input": null, "output": null, "triggers_replace": null}}]
  }]
}
`

func ExampleRead() {
	s, err := statefile.Read(strings.NewReader(network))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("format %d, written by Terraform %s\n", s.Format, s.TerraformVersion)
	fmt.Printf("serial %d, lineage %s\n", s.Serial, s.Lineage)
	fmt.Printf("%d bytes, MD5 %s\n", s.Size, s.MD5)
	// Output:
	// format 4, written by Terraform 1.11.4
	// serial 41, lineage 4b7e3a52-4d4e-4f0b-9b62-6d5f6b1c2a10
	// 469 bytes, MD5 195a67aba79d74166d1ed245aa71401e
}

// What is not a state is refused, with what it is instead.
func ExampleRead_refused() {
	_, err := statefile.Read(strings.NewReader(`{"format_version": "1.0", "planned_values": {}}`))
	var refused *statefile.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Kind)
		fmt.Println(refused.Code())
	}
	// Output:
	// show-json
	// not-state
}

// Inspect passes on what the state contains, in the order of the file. It keeps nothing in
// memory, and no values.
func ExampleInspect() {
	_, err := statefile.Inspect(strings.NewReader(network), &statefile.Visitor{
		Resource: func(r statefile.Resource) { fmt.Println(r.Mode, r.Type, r.Name) },
		Output:   func(o statefile.Output) { fmt.Println("output", o.Name, "sensitive:", o.Sensitive) },
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// output vpc_id sensitive: false
	// managed terraform_data vpc
}
