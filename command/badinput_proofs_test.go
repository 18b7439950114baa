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
		bad("a file for a directory", 4, "prove", good, "acme/net"),
		bad("a run and a directory", 4, "prove", "--run", "run-1", "network", "acme/net"),
		bad("a run that is none", 1, "prove", "--run", "../../x", "acme/full"),
		bad("an upgrade of a run", 4, "prove", "--run", "run-1", "--upgrade-state", "acme/net"),
		bad("a run here", 4, "prove", "--run", "run-1", "--local", "acme/net"),
		bad("a negative wait", 4, "prove", "--run-timeout=-1s", "network", "acme/net"),
		bad("a run that there is not", 1, "prove", "--run", "run-abcdefgh12345678", "acme/full"),
		bad("a workspace that there is not", 1, "prove", "network", "acme/nte"),
		bad("no word after config", 4, "config"),
		bad("a word that config has not", 4, "config", "lsit", "acme/net"),
		bad("a list of no workspace", 4, "config", "list"),
		bad("a list of a workspace that there is not", 1, "config", "list", "acme/nte"),
		bad("a version of no workspace", 4, "config", "show", "cv-1"),
		bad("a version that there is not", 1, "config", "show", "cv-abcdefgh12345678", "acme/net"),
		bad("a push of no directory", 4, "config", "push", "netwrok", "acme/net"),
		bad("an API that there is not", 4, "config", "push", "--api", "tfe-v3", "network", "acme/net"),
		bad("a variable for another API", 4, "config", "push", "--var", "a=b", "network", "acme/net"),
		bad("a variable without a value", 4, "config", "push", "--api", "atlas-v1", "--var", "a", "network", "acme/net"),
		bad("nothing to rehearse", 4, "rehearse"),
		bad("a rehearsal of what is not there", 4, "rehearse", "nowhere"),
		bad("a rehearsal of what is no manifest", 4, "rehearse", "haul.hcl"),
	}
}
