package command_test

// badProofs are what prove, config and rehearse can be given wrongly.
func badProofs() []badInput {
	snapshot := string(state(1, 10))
	files := map[string]string{"network/main.tf": "", good: snapshot}
	bad := func(name string, exit int, args ...string) badInput {
		return badInput{name: name, args: args, files: files, exit: exit}
	}
	return []badInput{
		bad("nothing to prove", 4, "prove"),
		bad("a directory and no workspace", 4, "prove", "network"),
		bad("no such directory", 4, "prove", "netwrok", "acme/net"),
		bad("a file as a directory", 4, "prove", good, "acme/net"),
		bad("a run and a directory", 4, "prove", "--run", "run-1", "network", "acme/net"),
		bad("an invalid run", 1, "prove", "--run", "../../x", "acme/full"),
		bad("an upgrade with a run", 4, "prove", "--run", "run-1", "--upgrade-state", "acme/net"),
		bad("a local run", 4, "prove", "--run", "run-1", "--local", "acme/net"),
		bad("a negative wait", 4, "prove", "--run-timeout=-1s", "network", "acme/net"),
		bad("an unknown run", 1, "prove", "--run", "run-abcdefgh12345678", "acme/full"),
		bad("an unknown workspace", 1, "prove", "network", "acme/nte"),
		bad("a file without --local", 4, "prove", "network", "./x.tfstate"),
		bad("a file without ./", 4, "prove", "--local", "network", "x.tfstate"),
		bad("a file in a directory without ./", 4, "prove", "--local", "network", "live/net/terraform.tfstate"),
		bad("a bucket without --local", 4, "prove", "network", "s3://states/a.tfstate"),
		bad("a run of a bucket", 4, "prove", "--run", "run-1", "s3://states/a.tfstate"),
		bad("a configuration version of a bucket", 4, "prove", "--configuration-version", "cv-1", "s3://states/a.tfstate"),
		bad("an upgrade in a file", 4, "prove", "--upgrade-state", "network", "./x.tfstate"),
		bad("a directory of states", 4, "prove", "--local", "network", "./states/"),
		bad("a prefix of states", 4, "prove", "--local", "network", "s3://states/net/"),
		bad("a place that is only read", 4, "prove", "--local", "network", "atlas://acme/net"),
		bad("variables for a run", 4, "prove", "--var-file", good, "network", "acme/net"),
		bad("a missing file of variables", 4, "prove", "--local", "--var-file", "net.tfvars", "network", "acme/net"),
		bad("config without a subcommand", 4, "config"),
		bad("an unknown word after config", 4, "config", "lsit", "acme/net"),
		bad("a list without a workspace", 4, "config", "list"),
		bad("a list of a missing workspace", 1, "config", "list", "acme/nte"),
		bad("a version without a workspace", 4, "config", "show", "cv-1"),
		bad("an unknown version", 1, "config", "show", "cv-abcdefgh12345678", "acme/net"),
		bad("a push without a directory", 4, "config", "push", "netwrok", "acme/net"),
		bad("an unknown API", 4, "config", "push", "--api", "tfe-v3", "network", "acme/net"),
		bad("a variable for another API", 4, "config", "push", "--var", "a=b", "network", "acme/net"),
		bad("a variable without a value", 4, "config", "push", "--api", "atlas-v1", "--var", "a", "network", "acme/net"),
		bad("nothing to rehearse", 4, "rehearse"),
		bad("a rehearsal of a missing file", 4, "rehearse", "nowhere"),
		bad("a rehearsal of an invalid manifest", 4, "rehearse", "haul.hcl"),
	}
}
