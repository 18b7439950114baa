package report_test

import (
	"bytes"
	"testing"

	"tfhaul/diff"
	"tfhaul/report"
)

func TestDiffGolden(t *testing.T) {
	a := diff.Side{Name: "network/terraform.tfstate", Format: 4, TerraformVersion: "1.11.4", Serial: 41, Lineage: "23a82f3f-9e45-4315-88f0-4632797cd39b", Size: 48213}
	b := a
	b.Name, b.Version, b.Serial, b.Size = "tfe://acme/network", "sv-1", 42, 48300
	result := &diff.Result{A: a, B: b, Kind: diff.Content, Metadata: []string{"serial"}, AddedCount: 1, RemovedCount: 2, ChangedCount: 3,
		Added: []string{"aws_vpc.b"}, Removed: []string{"aws_vpc.c", hostile[0]},
		Changed: []diff.Change{
			{Address: `module.a["x"].aws_instance.web[0]`, Attributes: []diff.Attribute{{Name: "(provider)"}, {Name: "ami"}, {Name: "tags"}}},
			{Address: "aws_db_instance.main", Attributes: []diff.Attribute{{Name: "engine", Before: `"13"`, After: `"14"`}, {Name: "password", Hidden: true}, {Name: "tags"}, {Name: "zone", After: "null"}}},
		}}
	for name, test := range map[string]struct {
		style  report.Style
		result *diff.Result
	}{
		"diff-80.txt":         {report.Style{Width: 80}, result},
		"diff-colour.txt":     {report.Style{Width: 120, Colour: true}, result},
		"diff-formatting.txt": {report.Style{}, &diff.Result{A: a, B: a, Kind: diff.Formatting}},
		"diff-metadata.txt":   {report.Style{}, &diff.Result{A: a, B: b, Kind: diff.Metadata, Metadata: []string{"serial"}}},
	} {
		var out bytes.Buffer
		if err := report.Diff(&out, test.style, test.result, false); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.Bytes())
	}
	var out bytes.Buffer
	if err := report.JSON(&out, result); err != nil {
		t.Fatal(err)
	}
	golden(t, "diff.json", out.Bytes())
}
