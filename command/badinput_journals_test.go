package command_test

import (
	"strings"
)

// badJournals are files that are not journals, and incomplete journals.
func badJournals(h *host) []badInput {
	const (
		first = `{"time":"2026-03-01T10:00:00Z","event":"haul","format":"tfhaul-journal/1","haul":"20260301-100000-0123456789ab"}` + "\n"
		cut   = `{"time":"2026-03-01T10:00:01Z","event":"locking","haul":"20260301-100000-0123456789ab","sou`
	)
	locking := `{"time":"2026-03-01T10:00:01Z","event":"locking","haul":"20260301-100000-0123456789ab","source":"a.tfstate","target":"` + h.running.Host() + `/acme/net"}` + "\n"
	unlock := func(name, journal string, exit int) badInput {
		return badInput{name: name, args: []string{"unlock", "haul.jsonl"}, files: map[string]string{"haul.jsonl": journal}, exit: exit}
	}
	record := func(name, journal string) badInput {
		return badInput{name: name, args: []string{"move", good, "acme/net", "--journal", "haul.jsonl"},
			files: map[string]string{good: string(state(1, 10)), "haul.jsonl": journal}, exit: 4}
	}
	return []badInput{
		{name: "no such journal", args: []string{"unlock", "haul.jsonl"}, exit: 4},
		{name: "a directory", args: []string{"unlock", "."}, exit: 4},
		unlock("an empty file", "", 4),
		unlock("a state", string(state(1, 10)), 4),
		unlock("a state on one line", `{"version":4,"serial":1,"lineage":"x","outputs":{},"resources":[]}`, 4),
		unlock("a manifest", "target {\n  hostname = \"app.terraform.io\"\n}\n", 4),
		unlock("bytes that are not text", "\x00\xff\xfe\n\x1b[2J\n", 4),
		unlock("a line without an end", strings.Repeat("x", 2<<20), 4),
		unlock("another program's log", `{"time":"2026-03-01T10:00:00Z","level":"INFO","msg":"hello"}`+"\n", 4),
		unlock("a journal from the future", strings.Replace(first, "journal/1", "journal/2", 1), 4),
		unlock("a line damaged in the middle", first+cut+"\n"+locking, 4),
		unlock("a value of the wrong type", first+strings.Replace(locking, `"a.tfstate"`, "7", 1), 4),
		unlock("NUL bytes in the middle", first+"\x00\x00\x00\n"+locking, 4),
		unlock("an invalid target", first+strings.Replace(locking, "/acme/net", "/acme", 1), 4),
		unlock("a target on an unencrypted host", first+strings.Replace(locking, h.running.Host(), "http://tfe.example.com", 1), 4),
		{name: "a workspace without a haul", args: []string{"unlock", "acme/net"}, exit: 4},
		{name: "a haul without a workspace", args: []string{"unlock", "acme", "--haul", "20260301-100000-0123456789ab"}, exit: 4},
		{name: "an unknown workspace", args: []string{"unlock", "acme/nte", "--haul", "20260301-100000-0123456789ab"}, exit: 1},
		record("a state as a journal", string(state(1, 10))),
		record("a state on one line as a journal", `{"version":4,"serial":1}`),
		record("continuing a journal from the future", strings.Replace(first, "journal/1", "journal/2", 1)),
		{name: "a journal in a missing directory", args: []string{"move", good, "acme/net", "--journal", "none/haul.jsonl"}, files: map[string]string{good: string(state(1, 10))}, exit: 4},
	}
}

// badCredentials are invalid tokens, and files without a valid one.
func badCredentials() []badInput {
	snapshot := string(state(1, 10))
	token := func(name, file, content string, exit int) badInput {
		return badInput{name: name, args: []string{"move", good, "acme/net", "--token-file", file},
			files: map[string]string{good: snapshot, "token": content}, exit: exit}
	}
	config := func(name, content string) badInput {
		return badInput{name: name, args: []string{"move", good, "acme/net"}, files: map[string]string{good: snapshot, "tf.rc": content},
			environ: []string{"TFE_TOKEN=", "TF_CLI_CONFIG_FILE=tf.rc"}, exit: 4}
	}
	variable := func(name string, exit int, environ ...string) badInput {
		return badInput{name: name, args: []string{"move", good, "acme/net"}, files: map[string]string{good: snapshot}, environ: environ, exit: exit}
	}
	const secret = "pLaNtEd-pa55word-7Qx2vK9"
	return []badInput{
		variable("no token", 4, "TFE_TOKEN=", "TF_CLI_CONFIG_FILE="),
		variable("an unknown token", 1, "TFE_TOKEN=abcdefghijklmn.atlasv1."+strings.Repeat("0", 67)),
		variable("a token with a line break inside", 4, "TFE_TOKEN="+secret+"\n"+secret),
		variable("a token with its variable name", 4, "TFE_TOKEN=Bearer "+secret),
		variable("a token in quotes", 4, `TFE_TOKEN="`+secret+`"`),
		variable("a binary token", 4, "TFE_TOKEN="+secret+"\xff"),
		token("a missing token file", "none", "", 4),
		token("a directory as a token file", ".", "", 4),
		token("an empty token file", "token", "", 4),
		token("a blank token file", "token", " \n\n", 4),
		token("a token file with two tokens", "token", secret+"\n"+secret+"\n", 4),
		token("a token file in JSON", "token", `{"token":"`+secret+`"}`, 4),
		token("a token file in UTF-16", "token", "\xff\xfep\x00L\x00a\x00", 4),
		token("a token file that is a state", "token", snapshot, 4),
		config("an empty CLI configuration", ""),
		config("a CLI configuration cut in the middle", "credentials \"app.terraform.io\" {\n  token = \""+secret),
		config("a CLI configuration with invalid JSON", `{"credentials":{"app.terraform.io":{"token":"`+secret+`"}`),
		config("a CLI configuration in another form", `credentials = ["`+secret+`"]`),
		config("a CLI configuration for another host", "credentials \"tfe.example.com\" {\n  token = \""+secret+"\"\n}\n"),
		config("a binary CLI configuration", "\x00\xff\xfe\x1b[2J"),
		config("a CLI configuration that is too large", strings.Repeat("# "+secret+"\n", 60_000)),
		config("a missing credentials helper", "credentials_helper \"vault\" {\n  args = []\n}\n"),
		variable("a missing CLI configuration", 4, "TFE_TOKEN=", "TF_CLI_CONFIG_FILE=none.rc"),
		variable("a directory as a CLI configuration", 4, "TFE_TOKEN=", "TF_CLI_CONFIG_FILE=."),
	}
}
