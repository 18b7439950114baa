package report

import (
	"cmp"
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"tfhaul/audit"
)

// inventoryColumns are the columns of an audit as CSV. Scripts may depend on their
// names; new ones come behind.
var inventoryColumns = []string{
	"source", "workspace", "kind", "code", "format", "terraform_version", "serial", "lineage", "md5", "size", "modified", "age_seconds",
	"resources", "managed", "data", "instances", "deposed", "tainted", "modules", "outputs", "sensitive_outputs", "sensitive_attributes",
	"checks", "failed_checks", "providers", "locked_by", "locked_since", "severity", "findings", "target", "relation", "outcome",
}

// InventoryCSV writes an audit as CSV: a header, and a row for each
// snapshot. Lists within a cell are separated by blanks. A spreadsheet takes no cell
// for a formula: those that would be one begin with an apostrophe.
func InventoryCSV(w io.Writer, i *audit.Inventory) error {
	out := csv.NewWriter(w)
	// What cannot be written is told by Error below.
	_ = out.Write(inventoryColumns)
	heaviest := map[string]audit.Severity{}
	for _, f := range i.Findings {
		for _, name := range f.Sources {
			if before, known := heaviest[name]; !known || f.Severity.AtLeast(before) {
				heaviest[name] = f.Severity
			}
		}
	}
	for k := range i.Snapshots {
		row := inventoryRow(&i.Snapshots[k], heaviest[i.Snapshots[k].Source])
		for n := range row {
			row[n] = cellText(row[n])
		}
		_ = out.Write(row)
	}
	out.Flush()
	return out.Error()
}

func inventoryRow(sn *audit.Snapshot, heaviest audit.Severity) []string {
	n := strconv.Itoa
	format, serial, modified, age := "", "", "", ""
	if sn.Known() {
		format, serial = n(sn.Format), strconv.FormatInt(sn.Serial, 10)
	}
	if !sn.Modified.IsZero() {
		modified, age = sn.Modified.UTC().Format(time.RFC3339), strconv.FormatInt(sn.AgeSeconds, 10)
	}
	providers := make([]string, len(sn.Providers))
	for k, p := range sn.Providers {
		providers[k] = p.Address
	}
	findings := make([]string, len(sn.Findings))
	for k, c := range sn.Findings {
		findings[k] = string(c)
	}
	lockedBy, lockedSince := "", ""
	if sn.Lock != nil {
		lockedBy = cmp.Or(sn.Lock.Who, "unknown")
		if !sn.Lock.Created.IsZero() {
			lockedSince = sn.Lock.Created.UTC().Format(time.RFC3339)
		}
	}
	target := audit.Target{}
	if sn.Target != nil {
		target = *sn.Target
	}
	return []string{
		sn.Source, sn.Workspace, sn.Kind, sn.Code, format, sn.TerraformVersion, serial, sn.Lineage, sn.MD5, strconv.FormatInt(sn.Size, 10), modified, age,
		n(sn.Resources), n(sn.Managed), n(sn.Data), n(sn.Instances), n(sn.Deposed), n(sn.Tainted), n(sn.Modules), n(sn.Outputs), n(sn.SensitiveOutputs), n(sn.SensitiveAttributes),
		n(sn.Checks), n(sn.FailedChecks), strings.Join(providers, " "), lockedBy, lockedSince, string(heaviest), strings.Join(findings, " "),
		target.Workspace, target.Relation, target.Outcome,
	}
}

// cellText makes a text harmless to a spreadsheet and to a terminal.
func cellText(text string) string {
	text = PlainLine(text)
	// The wide ones count where text is Japanese or Chinese.
	if strings.IndexAny(text, "=+-@|%＝＋－＠") == 0 {
		return "'" + text
	}
	return text
}
