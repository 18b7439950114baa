package command_test

import (
	"strings"
)

// badManifests are files that are not manifests, and manifests that cannot be run.
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
		{name: "a directory as a manifest", args: []string{"migrate", "dir.hcl", "--yes"}, files: map[string]string{"dir.hcl/x": ""}, exit: 4},
		{name: "two manifests", args: []string{"migrate", "a.hcl", "b.hcl", "--yes"}, exit: 4},
		{name: "a manifest without a terminal", args: []string{"migrate", "haul.hcl"}, files: map[string]string{good: snapshot, "haul.hcl": target + move}, exit: 4},
		manifest("an empty manifest", "", 4),
		manifest("a manifest without moves", target, 4),
		manifest("a manifest without a target", move, 4),
		manifest("two targets", target+target+move, 4),
		manifest("a manifest cut in the middle", target+"move \"terraform.tfstate\" {\n  workspace = \"n", 4),
		manifest("an unclosed block", target+"move \"terraform.tfstate\" {\n  workspace = \"net\"\n", 4),
		manifest("a state as a manifest", snapshot, 4),
		manifest("bytes that are not text", "\x00\xff\xfe\x1b[2J", 4),
		manifest("a misspelled attribute", target+strings.Replace(move, "workspace", "worksapce", 1), 4),
		manifest("a misspelled block", target+strings.Replace(move, "move", "mvoe", 1), 4),
		manifest("a serial in words", target+"move \"terraform.tfstate\" {\n  workspace = \"net\"\n  serial    = \"ten\"\n  md5       = \"x\"\n}\n", 4),
		manifest("a serial without its MD5", target+"move \"terraform.tfstate\" {\n  workspace = \"net\"\n  serial    = 10\n}\n", 4),
		manifest("a variable", target+"move \"terraform.tfstate\" {\n  workspace = var.name\n}\n", 4),
		manifest("an invalid workspace name", target+strings.Replace(move, `"net"`, `"../../etc"`, 1), 4),
		manifest("a workspace that would control a terminal", target+strings.Replace(move, `"net"`, `"\u001b[2Jnet"`, 1), 4),
		manifest("an unencrypted host", strings.Replace(target+move, h.running.Host(), "http://tfe.example.com", 1), 4),
		manifest("an invalid host", strings.Replace(target+move, h.running.Host(), "my host", 1), 4),
		manifest("an invalid organization", strings.Replace(target+move, "acme", "ac me", 1), 4),
		manifest("the same state twice", target+move+strings.Replace(move, `"net"`, `"full"`, 1), 4),
		{name: "a directory with several states as a source", args: []string{"migrate", "haul.hcl", "--yes", "--journal", "haul.jsonl"}, exit: 4,
			files: map[string]string{"haul.hcl": target + strings.Replace(move, "terraform.tfstate", ".", 1), "a.tfstate": snapshot, "b.tfstate": snapshot}},
		manifest("a source of an unknown kind", target+strings.Replace(move, "terraform.tfstate", "terraform://b/k", 1), 4),
		manifest("a state that is not the planned one", target+"move \"terraform.tfstate\" {\n  workspace = \"net\"\n  serial    = 9\n  md5       = \"9e107d9d372bb6826bd81d3542a419d6\"\n}\n", 3, "--dry-run"),
		manifest("a missing source", target+strings.Replace(move, "terraform.tfstate", "gone.tfstate", 1), 1, "--dry-run"),
		manifest("a flag that cannot be combined with a manifest", target+move, 4, "--target=acme"),
		manifest("permission for a workspace outside the haul", target+move, 4, "--replace=nte"),
		manifest("a parallelism of zero", target+move, 4, "--parallelism=0"),
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
		{name: "a workspace as a target", args: []string{"plan", ".", "--target", "acme/net"}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "nothing to plan", args: []string{"plan", ".", "--target", "acme"}, exit: 4},
		{name: "an unknown organization", args: []string{"plan", good, "--target", "acne", "--workspace-name", "net"}, files: map[string]string{good: snapshot}, exit: 1},
		{name: "an existing manifest", args: []string{"plan", good, "--target", "acme", "--out", "haul.hcl"}, files: map[string]string{good: snapshot, "haul.hcl": "x"}, exit: 4},
		{name: "a manifest over a state", args: []string{"plan", good, "--target", "acme", "--out", good}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "two states with one workspace name", args: []string{"plan", ".", "--target", "acme", "--workspace-name", "net"}, files: map[string]string{"a/terraform.tfstate": snapshot, "b/terraform.tfstate": string(state(2, 1))}, exit: 3},
		{name: "a haul of a file that is not a state", args: []string{"plan", ".", "--target", "acme"}, files: map[string]string{"net/terraform.tfstate": "hello"}, exit: 3},
		{name: "an invalid journal", args: []string{"plan", good, "--target", "acme", "--workspace-name", "net", "--journal", good}, files: map[string]string{good: snapshot}, exit: 4},
		named("an unclosed template", "{{ .Dir"),
		named("a template with an unknown field", "{{ .Directory }}"),
		named("a template with an unknown function", "{{ .Dir | camel }}"),
		named("a template with an empty result", "{{ .Bucket }}"),
		named("a template with a result that is too long", "{{ .Dir }}"+strings.Repeat("x", 260)),
		named("a template that fails", `{{ index .Dir 99 }}`),
		{name: "no such map", args: []string{"plan", ".", "--target", "acme", "--map", "map.csv"}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "a directory as a map", args: []string{"plan", ".", "--target", "acme", "--map", "."}, files: map[string]string{good: snapshot}, exit: 4},
		mapped("an empty map", ""),
		mapped("a map with only a header", "source,workspace\n"),
		mapped("a line of one field", "source,workspace\nterraform.tfstate\n"),
		mapped("a line of three fields", "terraform.tfstate,net,prod\n"),
		mapped("an empty field", "terraform.tfstate,\n"),
		mapped("an unclosed quote", "terraform.tfstate,\"net\n"),
		mapped("a quote inside", "terraform.tfstate,ne\"t\n"),
		mapped("a source that does not exist", "terrafrom.tfstate,net\n"),
		mapped("an invalid workspace name", "terraform.tfstate,my net\n"),
		mapped("a workspace that would control a terminal", "terraform.tfstate,\x1b[2Jnet\n"),
		mapped("the same state twice", "terraform.tfstate,net\n./terraform.tfstate,full\n"),
		mapped("a state as a map", snapshot),
		mapped("a spreadsheet as a map", "PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\n"),
		mapped("a map in UTF-16", "\xff\xfes\x00o\x00u\x00r\x00c\x00e\x00\n\x00"),
		{name: "a report of a missing journal", args: []string{"report", "haul.jsonl"}, exit: 4},
		{name: "a report of a state", args: []string{"report", good}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "a report of an empty file", args: []string{"report", "haul.jsonl"}, files: map[string]string{"haul.jsonl": ""}, exit: 4},
		{name: "a report over a state", args: []string{"report", "haul.jsonl", "--html", good}, files: map[string]string{good: snapshot,
			"haul.jsonl": `{"time":"2026-03-01T10:00:00Z","event":"haul","format":"tfhaul-journal/1","haul":"20260301-100000-0123456789ab"}` + "\n"}, exit: 4},
		{name: "an audit's page over a state", args: []string{"audit", good, "--html", good}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "a page in a missing directory", args: []string{"audit", good, "--html", "none/audit.html"}, files: map[string]string{good: snapshot}, exit: 4},
	}
}
