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

// inventoryColumns are the columns of an audit's CSV. Scripts depend on the names; new
// columns go to the end.
var inventoryColumns = []string{
	"source", "workspace", "kind", "code", "format", "terraform_version", "serial", "lineage", "md5", "size", "modified", "age_seconds",
	"resources", "managed", "data", "instances", "deposed", "tainted", "modules", "outputs", "sensitive_outputs", "sensitive_attributes",
	"checks", "failed_checks", "providers", "locked_by", "locked_since", "severity", "findings", "target", "relation", "outcome", "billable",
}

// InventoryCSV writes an audit as CSV: a header, and one row per snapshot. Lists in a
// cell are separated by spaces. Cells that a spreadsheet would take for a formula start
// with an apostrophe.
func InventoryCSV(w io.Writer, i *audit.Inventory) error {
	out := csv.NewWriter(w)
	// Error below returns errors of the writer.
	_ = out.Write(inventoryColumns)
	heaviest := i.Severities()
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
		target.Workspace, target.Relation, target.Outcome, n(sn.Billable),
	}
}

// cellText makes a text safe for spreadsheets and terminals.
func cellText(text string) string {
	text = PlainLine(text)
	// The full-width signs count in Japanese and Chinese.
	if strings.IndexAny(text, "=+-@|%＝＋－＠") == 0 {
		return "'" + text
	}
	return text
}
