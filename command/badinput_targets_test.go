package command_test

import "strings"

// badTargets are targets that name no workspace, or none that is there.
func badTargets() []badInput {
	files := map[string]string{good: string(state(1, 10))}
	move := func(name, target string, exit int, environ ...string) badInput {
		return badInput{name: name, args: []string{"move", good, target}, files: files, environ: environ, exit: exit}
	}
	return []badInput{
		move("nothing", "", 4),
		move("a workspace alone", "net", 4),
		move("too many parts", "a.example.com/acme/net/prod", 4),
		move("a slash too many", "acme//net", 4),
		move("blanks", "acme/my net", 4),
		move("a dot in the workspace", "acme/net.prod", 4),
		move("a path that climbs", "acme/../../etc", 4),
		move("not ASCII", "acme/größe", 4),
		move("an escape sequence", "acme/\x1b[31mnet", 4),
		move("a workspace's name too long", "acme/"+strings.Repeat("n", 261), 4),
		move("an organization with a dot", "acme.example.com/net", 4),
		move("a host without a dot", "tfe/acme/net", 4),
		move("a page of the browser's", "https://app.terraform.io/app/acme/workspaces/net", 4),
		move("a page of the browser's, half", "https://app.terraform.io/app/acme", 4),
		move("the API's address", "https://app.terraform.io/api/v2/acme/net", 4),
		move("a URL's query", "https://app.terraform.io/acme/net?tab=states", 4),
		move("a token in the address", "https://user:pLaNtEd-pa55word-7Qx2vK9@tfe.example.com/acme/net", 4),
		move("no encryption", "http://tfe.example.com/acme/net", 4),
		move("another scheme", "ssh://tfe.example.com/acme/net", 4),
		move("a port that is none", "tfe.example.com:https/acme/net", 4),
		move("a port too large", "tfe.example.com:99999/acme/net", 4),
		move("an IPv6 address without brackets", "::1/acme/net", 4),
		move("brackets around nothing", "[]/acme/net", 4),
		move("a host with an underscore", "my_tfe.example.com/acme/net", 4),
		move("a host with blanks", "tfe example.com/acme/net", 4),
		move("TFE_ADDRESS with a path", "acme/net", 4, "TFE_ADDRESS=https://tfe.example.com/api/v2"),
		move("TFE_ADDRESS without encryption", "acme/net", 4, "TFE_ADDRESS=http://tfe.example.com"),
		move("TFE_ADDRESS with a password", "acme/net", 4, "TFE_ADDRESS=https://user:pLaNtEd-pa55word-7Qx2vK9@tfe.example.com"),
		move("TFE_ADDRESS that is no address", "acme/net", 4, "TFE_ADDRESS=https://"),
		move("TFE_HOSTNAME that is no host", "acme/net", 4, "TFE_ADDRESS=", "TFE_HOSTNAME=my host"),
		move("no such workspace", "acme/nte", 3),
		move("no such organization", "acne/net", 3),
		{name: "a history of no workspace", args: []string{"history", "acme/nte"}, exit: 1},
		{name: "a verification of no workspace", args: []string{"verify", good, "acme/nte"}, files: files, exit: 3},
		{name: "a verification of an empty workspace", args: []string{"verify", good, "acme/net"}, files: files, exit: 3},
	}
}

// badFlags are flags that are not there, or have values that they cannot have, on
// the command line and in the environment.
func badFlags() []badInput {
	files := map[string]string{good: string(state(1, 10))}
	move := func(name string, flags ...string) badInput {
		return badInput{name: name, args: append([]string{"move", good, "acme/net"}, flags...), files: files, exit: 4}
	}
	variable := func(name, variable string) badInput {
		return badInput{name: name, args: []string{"move", good, "acme/net"}, files: files, environ: []string{variable}, exit: 4}
	}
	return []badInput{
		{name: "no command", exit: 4},
		{name: "a command misspelt", args: []string{"mvoe", good, "acme/net"}, exit: 4},
		{name: "a command of Terraform's", args: []string{"apply"}, exit: 4},
		{name: "a command with an escape sequence", args: []string{"\x1b[2Jmove"}, exit: 4},
		{name: "an empty command", args: []string{""}, exit: 4},
		{name: "a flag before its command", args: []string{"--dry-run", "move", good, "acme/net"}, files: files, exit: 4},
		{name: "a flag that no command has", args: []string{"--frobnicate", "move"}, exit: 4},
		{name: "arguments for none", args: []string{"version", "please"}, exit: 4},
		{name: "a shell that there is not", args: []string{"completion", "tcsh"}, exit: 4},
		{name: "no shell", args: []string{"completion"}, exit: 4},
		{name: "an argument too many", args: []string{"move", good, "acme/net", "acme/other"}, files: files, exit: 4},
		{name: "a source and no target", args: []string{"move", good}, files: files, exit: 4},
		{name: "no source", args: []string{"move"}, exit: 4},
		move("a flag misspelt", "--dryrun"),
		move("a flag of one dash misspelt", "-jsn"),
		move("a flag with a secret for a value", "--password=pLaNtEd-pa55word-7Qx2vK9"),
		move("a token on the command line", "--token=pLaNtEd-pa55word-7Qx2vK9"),
		move("a flag without its value", "--backup-dir"),
		move("a flag for a value", "--backup-dir", "--json"),
		move("a boolean that is none", "--dry-run=perhaps"),
		move("a duration in words", "--lock-timeout", "5 minutes"),
		move("a duration without a unit", "--lock-timeout=300"),
		move("a negative duration", "--lock-timeout=-5s"),
		move("a duration beyond all bounds", "--lock-timeout=99999999999h"),
		move("a rate in words", "--rate", "fast"),
		move("a negative rate", "--rate=-1"),
		move("a rate below one request a second", "--rate=0.5"),
		move("a rate that is no number", "--rate=NaN"),
		move("an infinite rate", "--rate=Inf"),
		move("a timeout of nothing", "--timeout=x"),
		move("a policy that there is not", "--on-failure=maybe"),
		move("a way of sending that there is not", "--upload=ftp"),
		move("a mode that there is not", "--create", "--execution-mode=cloud"),
		move("a project, and nothing to create", "--project=p"),
		move("a detailed exit code of no dry run", "--detailed-exitcode"),
		move("permission for another workspace", "--replace=full"),
		move("a raise for another workspace", "--bump-serial=full"),
		move("a level of logging that there is not", "--log-level=loud"),
		{name: "a number of versions in words", args: []string{"history", "acme/full", "--limit", "many"}, exit: 4},
		{name: "a negative number of versions", args: []string{"history", "acme/full", "--limit=-1"}, exit: 4},
		{name: "a fraction of versions", args: []string{"history", "acme/full", "--limit=1.5"}, exit: 4},
		{name: "more versions than numbers hold", args: []string{"history", "acme/full", "--limit=99999999999999999999"}, exit: 4},
		{name: "a severity that there is not", args: []string{"audit", ".", "--fail-on=fatal"}, files: files, exit: 4},
		{name: "a server for everybody", args: []string{"sim", "--listen", "0.0.0.0:8443"}, exit: 4},
		{name: "a server at no port", args: []string{"sim", "--listen", "127.0.0.1"}, exit: 4},
		{name: "a server at a port beyond all", args: []string{"sim", "--listen", "127.0.0.1:99999"}, exit: 4},
		{name: "a server with an odd organization", args: []string{"sim", "--org", "a/b"}, exit: 4},
		{name: "a server with an odd personality", args: []string{"sim", "--personality", "kind"}, exit: 4},
		{name: "a server that keeps its data in a file", args: []string{"sim", "--data", good}, files: files, exit: 4},
		variable("a boolean in the environment", "TFHAUL_DRY_RUN=oui"),
		variable("a duration in the environment", "TFHAUL_LOCK_TIMEOUT=soon"),
		variable("a rate in the environment", "TFHAUL_RATE=fast"),
		variable("a policy in the environment", "TFHAUL_ON_FAILURE=maybe"),
		variable("a level of logging in the environment", "TFHAUL_LOG_LEVEL=loud"),
		variable("a workspace in the environment", "TFHAUL_REPLACE=full"),
		variable("an escape sequence in the environment", "TFHAUL_UPLOAD=\x1b[31mred"),
	}
}
