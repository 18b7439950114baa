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
		move("a workspace name that is too long", "acme/"+strings.Repeat("n", 261), 4),
		move("an organization with a dot", "acme.example.com/net", 4),
		move("a host without a dot", "tfe/acme/net", 4),
		move("the URL of a web page", "https://app.terraform.io/app/acme/workspaces/net", 4),
		move("half the URL of a web page", "https://app.terraform.io/app/acme", 4),
		move("the API's address", "https://app.terraform.io/api/v2/acme/net", 4),
		move("a URL's query", "https://app.terraform.io/acme/net?tab=states", 4),
		move("a token in the address", "https://user:pLaNtEd-pa55word-7Qx2vK9@tfe.example.com/acme/net", 4),
		move("plain http", "http://tfe.example.com/acme/net", 4),
		move("a lock object in S3", "s3://acme-tfstate/network/terraform.tfstate.tflock", 4),
		move("a lock object in Google Cloud Storage", "gs://acme-tfstate/network/default.tflock", 4),
		move("a lock file", "./.terraform.tfstate.lock.info", 4),
		move("another scheme", "ssh://tfe.example.com/acme/net", 4),
		move("an invalid port", "tfe.example.com:https/acme/net", 4),
		move("a port that is too large", "tfe.example.com:99999/acme/net", 4),
		move("an IPv6 address without brackets", "::1/acme/net", 4),
		move("empty brackets", "[]/acme/net", 4),
		move("a host with an underscore", "my_tfe.example.com/acme/net", 4),
		move("a host with blanks", "tfe example.com/acme/net", 4),
		move("TFE_ADDRESS with a path", "acme/net", 4, "TFE_ADDRESS=https://tfe.example.com/api/v2"),
		move("an unencrypted TFE_ADDRESS", "acme/net", 4, "TFE_ADDRESS=http://tfe.example.com"),
		move("TFE_ADDRESS with a password", "acme/net", 4, "TFE_ADDRESS=https://user:pLaNtEd-pa55word-7Qx2vK9@tfe.example.com"),
		move("an invalid TFE_ADDRESS", "acme/net", 4, "TFE_ADDRESS=https://"),
		move("an invalid TFE_HOSTNAME", "acme/net", 4, "TFE_ADDRESS=", "TFE_HOSTNAME=my host"),
		move("no such workspace", "acme/nte", 3),
		move("no such organization", "acne/net", 3),
		{name: "a history without a workspace", args: []string{"history", "acme/nte"}, exit: 1},
		{name: "a verification without a workspace", args: []string{"verify", good, "acme/nte"}, files: files, exit: 3},
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
		{name: "a misspelled command", args: []string{"mvoe", good, "acme/net"}, exit: 4},
		{name: "a Terraform command", args: []string{"apply"}, exit: 4},
		{name: "a command with an escape sequence", args: []string{"\x1b[2Jmove"}, exit: 4},
		{name: "an empty command", args: []string{""}, exit: 4},
		{name: "a flag before its command", args: []string{"--dry-run", "move", good, "acme/net"}, files: files, exit: 4},
		{name: "an unknown flag", args: []string{"--frobnicate", "move"}, exit: 4},
		{name: "arguments for a command that takes none", args: []string{"version", "please"}, exit: 4},
		{name: "an unknown shell", args: []string{"completion", "tcsh"}, exit: 4},
		{name: "no shell", args: []string{"completion"}, exit: 4},
		{name: "an extra argument", args: []string{"move", good, "acme/net", "acme/other"}, files: files, exit: 4},
		{name: "a source without a target", args: []string{"move", good}, files: files, exit: 4},
		{name: "no source", args: []string{"move"}, exit: 4},
		move("a misspelled flag", "--dryrun"),
		move("a misspelled flag with one dash", "-jsn"),
		move("a secret as the value of an unknown flag", "--password=pLaNtEd-pa55word-7Qx2vK9"),
		move("a token on the command line", "--token=pLaNtEd-pa55word-7Qx2vK9"),
		move("a flag without its value", "--backup-dir"),
		move("a flag as a value", "--backup-dir", "--json"),
		move("an invalid boolean", "--dry-run=perhaps"),
		move("a duration in words", "--lock-timeout", "5 minutes"),
		move("a duration without a unit", "--lock-timeout=300"),
		move("a negative duration", "--lock-timeout=-5s"),
		move("a duration that is too long", "--lock-timeout=99999999999h"),
		move("a rate in words", "--rate", "fast"),
		move("a negative rate", "--rate=-1"),
		move("a rate below one request a second", "--rate=0.5"),
		move("a rate that is not a number", "--rate=NaN"),
		move("an infinite rate", "--rate=Inf"),
		move("an invalid timeout", "--timeout=x"),
		move("an unknown policy", "--on-failure=maybe"),
		move("an unknown upload method", "--upload=ftp"),
		move("an unknown mode", "--create", "--execution-mode=cloud"),
		move("a project without --create", "--project=p"),
		move("a detailed exit code without a dry run", "--detailed-exitcode"),
		move("permission for another workspace", "--replace=full"),
		move("a serial raised for another workspace", "--bump-serial=full"),
		move("an unknown log level", "--log-level=loud"),
		{name: "a number of versions in words", args: []string{"history", "acme/full", "--limit", "many"}, exit: 4},
		{name: "a negative number of versions", args: []string{"history", "acme/full", "--limit=-1"}, exit: 4},
		{name: "a fractional number of versions", args: []string{"history", "acme/full", "--limit=1.5"}, exit: 4},
		{name: "a number of versions that is too large", args: []string{"history", "acme/full", "--limit=99999999999999999999"}, exit: 4},
		{name: "an unknown severity", args: []string{"audit", ".", "--fail-on=fatal"}, files: files, exit: 4},
		{name: "a server that is not on loopback", args: []string{"sim", "--listen", "0.0.0.0:8443"}, exit: 4},
		{name: "a server without a port", args: []string{"sim", "--listen", "127.0.0.1"}, exit: 4},
		{name: "a server at a port that is too large", args: []string{"sim", "--listen", "127.0.0.1:99999"}, exit: 4},
		{name: "a server with an invalid organization", args: []string{"sim", "--org", "a/b"}, exit: 4},
		{name: "a server with an unknown personality", args: []string{"sim", "--personality", "kind"}, exit: 4},
		{name: "a file as the data directory", args: []string{"sim", "--data", good}, files: files, exit: 4},
		variable("a boolean in the environment", "TFHAUL_DRY_RUN=oui"),
		variable("a duration in the environment", "TFHAUL_LOCK_TIMEOUT=soon"),
		variable("a rate in the environment", "TFHAUL_RATE=fast"),
		variable("a policy in the environment", "TFHAUL_ON_FAILURE=maybe"),
		variable("a log level in the environment", "TFHAUL_LOG_LEVEL=loud"),
		variable("a workspace in the environment", "TFHAUL_REPLACE=full"),
		variable("an escape sequence in the environment", "TFHAUL_UPLOAD=\x1b[31mred"),
	}
}
