package command

import (
	"slices"
	"strings"

	"tfhaul/backend"
)

// cutPasswords cuts the passwords out of the addresses among the arguments and in the program's
// own variables, because messages, journals, reports and manifests repeat addresses. The kinds
// get them through the connection.
func (p *process) cutPasswords(args []string) []string {
	kinds := p.backends(backend.Connection{})
	p.passwords = map[string]string{}
	args, p.environ = slices.Clone(args), slices.Clone(p.environ)
	for i, arg := range args {
		args[i] = p.cutPassword(kinds, arg)
	}
	for i, variable := range p.environ {
		if strings.HasPrefix(variable, "TFHAUL_") {
			p.environ[i] = p.cutPassword(kinds, variable)
		}
	}
	return args
}

// cutPassword cuts the password out of an address, which may follow the name of a flag or a
// variable.
func (p *process) cutPassword(kinds backend.Kinds, word string) string {
	before, _, found := strings.Cut(word, "://")
	if !found {
		return word
	}
	name := before[:strings.LastIndexByte(before, '=')+1]
	address := word[len(name):]
	for _, kind := range kinds {
		if kind.CutPassword == nil || !kind.Names(backend.Scheme(address)) {
			continue
		}
		without, password := kind.CutPassword(address)
		if password != "" {
			p.passwords[without] = password
		}
		return name + without
	}
	return word
}
