package command_test

import (
	"strings"
)

// badManifests are manifests that are none, or say what cannot be.
func badManifests(h *host) []badInput {
	snapshot := string(state(1, 10))
	target := "target {\n  hostname     = \"" + h.running.Host() + "\"\n  organization = \"acme\"\n}\n"
	const move = "move \"terraform.tfstate\" {\n  workspace = \"net\"\n}\n"
	manifest := func(name, text string, exit int, flags ...string) badInput {
		return badInput{name: name, args: append([]string{"migrate", "haul.hcl", "--yes", "--journal", "haul.jsonl"}, flags...),
			files: map[string]string{good: snapshot, "haul.hcl": text}, exit: exit}
	}
	return []badInput{
		{name: "no such manifest", args: []string{"migrate", "haul.hcl", "--yes"}, exit: 4},
		{name: "a directory for a manifest", args: []string{"migrate", "dir.hcl", "--yes"}, files: map[string]string{"dir.hcl/x": ""}, exit: 4},
		{name: "two manifests", args: []string{"migrate", "a.hcl", "b.hcl", "--yes"}, exit: 4},
		{name: "a manifest and nobody to ask", args: []string{"migrate", "haul.hcl"}, files: map[string]string{good: snapshot, "haul.hcl": target + move}, exit: 4},
		manifest("an empty manifest", "", 4),
		manifest("a manifest without moves", target, 4),
		manifest("a manifest without a target", move, 4),
		manifest("two targets", target+target+move, 4),
		manifest("a manifest cut in the middle", target+"move \"terraform.tfstate\" {\n  workspace = \"n", 4),
		manifest("a block that is not closed", target+"move \"terraform.tfstate\" {\n  workspace = \"net\"\n", 4),
		manifest("a state for a manifest", snapshot, 4),
		manifest("bytes that are no text", "\x00\xff\xfe\x1b[2J", 4),
		manifest("an attribute misspelt", target+strings.Replace(move, "workspace", "worksapce", 1), 4),
		manifest("a block misspelt", target+strings.Replace(move, "move", "mvoe", 1), 4),
		manifest("a serial in words", target+"move \"terraform.tfstate\" {\n  workspace = \"net\"\n  serial    = \"ten\"\n  md5       = \"x\"\n}\n", 4),
		manifest("a serial without its MD5", target+"move \"terraform.tfstate\" {\n  workspace = \"net\"\n  serial    = 10\n}\n", 4),
		manifest("a variable", target+"move \"terraform.tfstate\" {\n  workspace = var.name\n}\n", 4),
		manifest("a workspace that can be none", target+strings.Replace(move, `"net"`, `"../../etc"`, 1), 4),
		manifest("a workspace that would steer a terminal", target+strings.Replace(move, `"net"`, `"\u001b[2Jnet"`, 1), 4),
		manifest("a host without encryption", strings.Replace(target+move, h.running.Host(), "http://tfe.example.com", 1), 4),
		manifest("a host that is none", strings.Replace(target+move, h.running.Host(), "my host", 1), 4),
		manifest("an organization that is none", strings.Replace(target+move, "acme", "ac me", 1), 4),
		manifest("one state twice", target+move+strings.Replace(move, `"net"`, `"full"`, 1), 4),
		{name: "a source that is a directory of several", args: []string{"migrate", "haul.hcl", "--yes", "--journal", "haul.jsonl"}, exit: 4,
			files: map[string]string{"haul.hcl": target + strings.Replace(move, "terraform.tfstate", ".", 1), "a.tfstate": snapshot, "b.tfstate": snapshot}},
		manifest("a source of a kind that there is not", target+strings.Replace(move, "terraform.tfstate", "gs://b/k", 1), 4),
		manifest("a state other than planned", target+"move \"terraform.tfstate\" {\n  workspace = \"net\"\n  serial    = 9\n  md5       = \"9e107d9d372bb6826bd81d3542a419d6\"\n}\n", 3, "--dry-run"),
		manifest("a source that is not there", target+strings.Replace(move, "terraform.tfstate", "gone.tfstate", 1), 1, "--dry-run"),
		manifest("a flag that a manifest leaves nothing to say for", target+move, 4, "--target=acme"),
		manifest("permission for a workspace that no move goes into", target+move, 4, "--replace=nte"),
		manifest("no moves at a time", target+move, 4, "--parallelism=0"),
	}
}

// badMaps are maps and templates that give no workspace its name, and what else a
// haul of many can get wrong.
func badMaps() []badInput {
	snapshot := string(state(1, 10))
	mapped := func(name, text string, flags ...string) badInput {
		return badInput{name: name, args: append([]string{"plan", ".", "--target", "acme", "--map", "map.csv"}, flags...),
			files: map[string]string{good: snapshot, "map.csv": text}, exit: 4}
	}
	named := func(name, template string) badInput {
		return badInput{name: name, args: []string{"plan", ".", "--target", "acme", "--workspace-name", template},
			files: map[string]string{"network/terraform.tfstate": snapshot}, exit: 4}
	}
	return []badInput{
		{name: "no source", args: []string{"plan", "--target", "acme"}, exit: 4},
		{name: "no target", args: []string{"plan", "."}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "a workspace for a target", args: []string{"plan", ".", "--target", "acme/net"}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "nothing to plan", args: []string{"plan", ".", "--target", "acme"}, exit: 4},
		{name: "an organization that there is not", args: []string{"plan", good, "--target", "acne", "--workspace-name", "net"}, files: map[string]string{good: snapshot}, exit: 1},
		{name: "a manifest that is there already", args: []string{"plan", good, "--target", "acme", "--out", "haul.hcl"}, files: map[string]string{good: snapshot, "haul.hcl": "x"}, exit: 4},
		{name: "a manifest in the place of the state", args: []string{"plan", good, "--target", "acme", "--out", good}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "two states of one name", args: []string{"plan", ".", "--target", "acme", "--workspace-name", "net"}, files: map[string]string{"a/terraform.tfstate": snapshot, "b/terraform.tfstate": string(state(2, 1))}, exit: 3},
		{name: "a haul of what is no state", args: []string{"plan", ".", "--target", "acme"}, files: map[string]string{"net/terraform.tfstate": "hello"}, exit: 3},
		{name: "a journal that is none", args: []string{"plan", good, "--target", "acme", "--workspace-name", "net", "--journal", good}, files: map[string]string{good: snapshot}, exit: 4},
		named("a template that is not closed", "{{ .Dir"),
		named("a template with a field that there is not", "{{ .Directory }}"),
		named("a template with a function that there is not", "{{ .Dir | camel }}"),
		named("a template that gives nothing", "{{ .Bucket }}"),
		named("a template that gives too much", "{{ .Dir }}"+strings.Repeat("x", 260)),
		named("a template that fails", `{{ index .Dir 99 }}`),
		{name: "no such map", args: []string{"plan", ".", "--target", "acme", "--map", "map.csv"}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "a directory for a map", args: []string{"plan", ".", "--target", "acme", "--map", "."}, files: map[string]string{good: snapshot}, exit: 4},
		mapped("an empty map", ""),
		mapped("a map of its header alone", "source,workspace\n"),
		mapped("a line of one field", "source,workspace\nterraform.tfstate\n"),
		mapped("a line of three fields", "terraform.tfstate,net,prod\n"),
		mapped("a field that is empty", "terraform.tfstate,\n"),
		mapped("a quote that is not closed", "terraform.tfstate,\"net\n"),
		mapped("a quote inside", "terraform.tfstate,ne\"t\n"),
		mapped("a source that there is not", "terrafrom.tfstate,net\n"),
		mapped("a workspace that can be none", "terraform.tfstate,my net\n"),
		mapped("a workspace that would steer a terminal", "terraform.tfstate,\x1b[2Jnet\n"),
		mapped("one state twice", "terraform.tfstate,net\n./terraform.tfstate,full\n"),
		mapped("a state for a map", snapshot),
		mapped("a spreadsheet's file for a map", "PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\n"),
		mapped("a map in UTF-16", "\xff\xfes\x00o\x00u\x00r\x00c\x00e\x00\n\x00"),
		{name: "a report of no journal", args: []string{"report", "haul.jsonl"}, exit: 4},
		{name: "a report of a state", args: []string{"report", good}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "a report of an empty file", args: []string{"report", "haul.jsonl"}, files: map[string]string{"haul.jsonl": ""}, exit: 4},
		{name: "a report in the place of a state", args: []string{"report", "haul.jsonl", "--html", good}, files: map[string]string{good: snapshot,
			"haul.jsonl": `{"time":"2026-03-01T10:00:00Z","event":"haul","format":"tfhaul-journal/1","haul":"20260301-100000-0123456789ab"}` + "\n"}, exit: 4},
		{name: "an audit's page in the place of a state", args: []string{"audit", good, "--html", good}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "a page in no directory", args: []string{"audit", good, "--html", "none/audit.html"}, files: map[string]string{good: snapshot}, exit: 4},
	}
}
