package audit

import (
	"fmt"
	"slices"
	"strings"

	"tfhaul/statefile"
)

// A plainSecret is an output that is not sensitive and looks as if it should be.
type plainSecret struct {
	name  string
	shape string // what its value looks like; "" where only the name tells
}

// output looks at an output while its file is read.
func (f *file) output(o statefile.Output) {
	if o.Sensitive || o.Empty {
		return
	}
	if o.SecretShape != "" || secretName(o) {
		f.plainSecrets = append(f.plainSecrets, plainSecret{o.Name, o.SecretShape})
	}
}

// secretName reports whether an output of this name and type is likely a secret.
func secretName(o statefile.Output) bool {
	switch o.Type {
	case "number", "bool":
		return false
	}
	return namesSecret(o.Name)
}

// secretsOf tells of a state's outputs that look like secrets: of those whose value has
// the shape of a credential, and of those of which the name alone says so.
func (j *judge) secretsOf(f *file) {
	var shaped, named, shapes []string
	for _, p := range f.plainSecrets {
		if p.shape == "" {
			named = append(named, p.name)
			continue
		}
		shaped = append(shaped, p.name)
		if !slices.Contains(shapes, p.shape) {
			shapes = append(shapes, p.shape)
		}
	}
	const advice = `Mark them "sensitive = true" in the configuration and apply. Whoever could read the state or the logs may know the values: change them.`
	if len(shaped) > 0 {
		j.add(Finding{Code: CodePlainSecret, Severity: SeverityError, Sources: []string{f.Source}, Advice: advice,
			Message: fmt.Sprintf("%s not marked sensitive and %s the shape of a secret (%s): %s. Terraform prints such values in every log.",
				outputsAre(len(shaped)), has(len(shaped)), strings.Join(shapes, ", "), listed(shaped))})
	}
	if len(named) > 0 {
		j.add(Finding{Code: CodePlainSecret, Severity: SeverityWarning, Sources: []string{f.Source}, Advice: advice,
			Message: fmt.Sprintf("%s named like a secret and not marked sensitive: %s. Terraform prints such values in every log.", outputsAre(len(named)), listed(named))})
	}
}

func outputsAre(n int) string {
	if n == 1 {
		return "1 output is"
	}
	return fmt.Sprintf("%d outputs are", n)
}

func has(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// listed names a few of many.
func listed(names []string) string {
	const most = 5
	var parts []string
	for _, name := range names[:min(most, len(names))] {
		parts = append(parts, brief(name))
	}
	if len(names) <= most {
		return strings.Join(parts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(parts, ", "), len(names)-most)
}
