package audit

import (
	"fmt"
	"slices"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// A plainSecret is an output that is not sensitive but looks like a secret.
type plainSecret struct {
	name   string
	shape  string // what its value looks like; "" if only a name implies it
	within bool   // the name is that of a member of the value
}

// visitor returns the visitor that inspects a state's content while it is read.
func (f *file) visitor(resource func(statefile.Resource)) *statefile.Visitor {
	counted := func(r statefile.Resource) {
		f.billable += billable(r)
		resource(r)
	}
	return &statefile.Visitor{Resource: counted, Output: f.output, NameOfSecret: nameKind}
}

// output inspects an output.
func (f *file) output(o statefile.Output) {
	if o.Sensitive || o.Empty {
		return
	}
	if o.SecretShape != "" || o.NamedSecret {
		f.plainSecrets = append(f.plainSecrets, plainSecret{o.Name, o.SecretShape, o.NamedWithin})
	}
}

// secretsOf reports a state's outputs that look like secrets: first those whose value has
// the shape of a credential, then those whose name alone implies it.
func (j *judge) secretsOf(f *file) {
	var shaped, named, shapes, shapedOutputs, namedOutputs []string
	for _, p := range f.plainSecrets {
		if p.shape == "" {
			name := plainwords.Brief(p.name)
			if p.within {
				name += " (a member of its value)"
			}
			named, namedOutputs = append(named, name), append(namedOutputs, outputName(p.name))
			continue
		}
		shaped, shapedOutputs = append(shaped, plainwords.Brief(p.name)), append(shapedOutputs, outputName(p.name))
		if !slices.Contains(shapes, p.shape) {
			shapes = append(shapes, p.shape)
		}
	}
	const advice = `Mark them "sensitive = true" in the configuration and apply. Rotate the values, because anyone who could read the state or the logs may know them.`
	if len(shaped) > 0 {
		j.add(Finding{Code: CodePlainSecret, Severity: SeverityError, Sources: []string{f.Source}, Resources: shapedOutputs, Advice: advice,
			Message: fmt.Sprintf("%s not marked sensitive and %s the shape of a secret (%s): %s. Terraform prints such values in every log.",
				plainwords.Are(len(shaped), "output"), has(len(shaped)), strings.Join(shapes, ", "), listed(shaped))})
	}
	if len(named) > 0 {
		j.add(Finding{Code: CodePlainSecret, Severity: SeverityWarning, Sources: []string{f.Source}, Resources: namedOutputs, Advice: advice,
			Message: fmt.Sprintf("%s named like a secret and not marked sensitive: %s. Terraform prints such values in every log.", plainwords.Are(len(named), "output"), listed(named))})
	}
}

// outputName returns an output's name in Finding.Resources.
func outputName(name string) string { return "output." + plainwords.Brief(backend.Printable(name)) }

func has(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// listed returns the first few names.
func listed(names []string) string {
	const most = 5
	var parts []string
	for _, name := range names[:min(most, len(names))] {
		parts = append(parts, plainwords.Brief(name))
	}
	if len(names) <= most {
		return strings.Join(parts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(parts, ", "), len(names)-most)
}
