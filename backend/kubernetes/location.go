package kubernetes

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tfhaul/backend"
)

// The parameters of an address. context is a context of the kubeconfig (config_context), and
// labels are those that Terraform's backend adds to its Secrets and selects them by (labels).
const (
	paramContext = "context"
	paramLabels  = "labels"
)

var parameterNames = []string{paramContext, paramLabels}

// location is a parsed address: a namespace, the states of one suffix in it, or one of them.
type location struct {
	namespace, suffix, workspace string
	params                       url.Values
	labels                       map[string]string // of the parameter
}

// parseLocation parses kubernetes://NAMESPACE[/SUFFIX[/WORKSPACE]][?context=NAME][&labels=KEY=VALUE,…].
func parseLocation(address string) (*location, error) {
	_, rest, _ := strings.Cut(address, "://")
	where, query, _ := strings.Cut(rest, "?")
	if strings.Contains(where, "@") {
		return nil, fmt.Errorf("a kubernetes:// URL must not contain credentials, because URLs are shown and logged: they come from the kubeconfig in %s", pathVariable)
	}
	parts := strings.Split(strings.TrimSuffix(where, "/"), "/")
	l := &location{namespace: parts[0]}
	if !isDNSLabel(l.namespace) {
		return nil, fmt.Errorf("%q is not the name of a namespace: write %s/SUFFIX/WORKSPACE, and for all workspaces leave out the last parts", l.namespace, containerForm)
	}
	if len(parts) > 1 {
		l.suffix = parts[1]
	}
	if len(parts) > 2 {
		l.workspace = parts[2]
	}
	switch {
	case len(parts) > 3:
		return nil, fmt.Errorf("%q has too many parts: write %s", where, stateForm)
	case len(parts) > 1:
		if err := checkParts(l.suffix, l.workspace); err != nil {
			return nil, fmt.Errorf("the kubernetes:// URL %w", err)
		}
	}
	var err error
	if l.params, err = backend.Parameters(Scheme, query, parameterNames); err != nil {
		return nil, err
	}
	l.labels, err = parseLabels(l.params.Get(paramLabels))
	return l, err
}

// parseLabels parses KEY=VALUE,….
func parseLabels(text string) (map[string]string, error) {
	labels := map[string]string{}
	if text == "" {
		return labels, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(pair, "=")
		prefix, name, prefixed := strings.Cut(key, "/")
		if !prefixed {
			prefix, name = "", key
		}
		switch {
		case !ok || !isLabelValue(name) || prefixed && !isSubdomain(prefix) || value != "" && !isLabelValue(value):
			return nil, fmt.Errorf("%q is not a label of Kubernetes: write labels=KEY=VALUE,KEY=VALUE as in labels of Terraform's backend", pair)
		case slices.Contains([]string{labelState, labelSuffix, labelWorkspace}, key):
			return nil, fmt.Errorf("the label %s is set by Terraform itself: leave it out of labels", key)
		}
		labels[key] = value
	}
	return labels, nil
}

// The rules of names: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
var (
	dnsLabel   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	subdomain  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	labelValue = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
)

// The limits on the lengths of names, in bytes.
const (
	maxLabel     = 63
	maxSubdomain = 253
)

func isDNSLabel(s string) bool   { return len(s) <= maxLabel && dnsLabel.MatchString(s) }
func isSubdomain(s string) bool  { return len(s) <= maxSubdomain && subdomain.MatchString(s) }
func isLabelValue(s string) bool { return len(s) <= maxLabel && labelValue.MatchString(s) }

// checkParts checks a suffix and a workspace, which may be "". They are values of labels and, in
// lower case, parts of the names of Secrets. Its error continues a sentence.
func checkParts(suffix, workspace string) error {
	for _, part := range []struct{ what, name string }{{"suffix", suffix}, {"workspace", workspace}} {
		switch {
		case part.name == "" && part.what == "workspace":
		case len(part.name) > maxLabel:
			return fmt.Errorf("names the %s %q with %d characters: use at most %d, because it is the value of a label", part.what, part.name, len(part.name), maxLabel)
		case !isLabelValue(part.name) || !isSubdomain("tfstate-"+part.name):
			return fmt.Errorf("names the %s %q: use lower-case letters, digits, - and ., with a letter or digit at both ends, because it is part of the name of a Secret", part.what, part.name)
		}
	}
	if !isSubdomain("tfstate-default-"+suffix) || workspace != "" && !isSubdomain("lock-"+secretName(suffix, workspace, 0)) {
		return fmt.Errorf("names the workspace %q of the suffix %q, which make no valid name of a Secret", workspace, suffix)
	}
	return nil
}

// endsInNumber reports whether Terraform takes the end of a Secret's name for the number of a
// part. Terraform 1.10 and later refuse such a suffix, and 1.6 to 1.9 crash.
func endsInNumber(suffix string) bool {
	_, err := strconv.Atoi(suffix[strings.LastIndexByte(suffix, '-')+1:])
	return err == nil
}

// in returns the location of a state in the same namespace.
func (l *location) in(suffix, workspace string) *location {
	at := *l
	at.suffix, at.workspace = suffix, workspace
	return &at
}

// name returns what identifies a state in its namespace.
func (l *location) name() string { return l.suffix + "/" + l.workspace }

// path returns the address without parameters.
func (l *location) path() string {
	path := Scheme + "://" + l.namespace
	for _, part := range []string{l.suffix, l.workspace} {
		if part != "" {
			path += "/" + part
		}
	}
	return path
}

// String returns the address. Nothing in it is secret.
func (l *location) String() string {
	var b strings.Builder
	b.WriteString(l.path())
	separator := byte('?')
	for _, param := range parameterNames {
		if value := l.params.Get(param); value != "" {
			b.WriteByte(separator)
			b.WriteString(param + "=")
			backend.EscapeURL(&b, value, "-_.~:/@=,")
			separator = '&'
		}
	}
	return b.String()
}

// canonical implements backend.Kind, for sources and targets.
func canonical(address string) string {
	l, err := parseLocation(address)
	if err != nil {
		return address
	}
	if len(l.labels) > 0 {
		var pairs []string
		for _, key := range slices.Sorted(maps.Keys(l.labels)) {
			pairs = append(pairs, key+"="+l.labels[key])
		}
		l.params.Set(paramLabels, strings.Join(pairs, ","))
	}
	return l.String()
}

// splitState returns the namespace of a state, and the state's name there.
func splitState(address string) (container, name string, err error) {
	l, err := parseLocation(address)
	switch {
	case err != nil:
		return "", "", err
	case l.suffix == "":
		return "", "", fmt.Errorf("%q names a namespace, not a workspace: add /SUFFIX/WORKSPACE, such as /network/%s", l, backend.DefaultWorkspace)
	case l.workspace == "":
		return "", "", fmt.Errorf("%q names a suffix, not a workspace: add /%s, or the name of another one", l, backend.DefaultWorkspace)
	}
	return l.in("", "").String(), l.name(), nil
}

func checkContainer(address string) error {
	l, err := parseLocation(address)
	if err == nil && l.suffix != "" {
		err = fmt.Errorf("%q names a suffix: write %s, and choose the suffixes with --key-name 'SUFFIX/{{ .Workspace }}'", l, l.in("", ""))
	}
	return err
}

// addressIn returns the address of the state with this name in a namespace, or that of the
// namespace itself.
func addressIn(container, name string) string {
	l, err := parseLocation(container)
	if err != nil {
		return container + name
	}
	suffix, workspace, _ := strings.Cut(name, "/")
	return l.in(suffix, workspace).String()
}

// checkName checks the name of a state as a target: SUFFIX/WORKSPACE. Its error continues a
// sentence.
func checkName(name string) error {
	suffix, workspace, ok := strings.Cut(name, "/")
	switch {
	case !ok || suffix == "" || workspace == "" || strings.Contains(workspace, "/"):
		return fmt.Errorf("names %q: use SUFFIX/WORKSPACE, such as network/%s", name, backend.DefaultWorkspace)
	case endsInNumber(suffix):
		return fmt.Errorf("names the suffix %q: use one that does not end in a number, because Terraform takes that for the number of a part and refuses it", suffix)
	}
	return checkParts(suffix, workspace)
}

// rootSuffix is the suffix of a state without a directory and a file name of its own. It is the
// one in Terraform's documentation.
const rootSuffix = "state"

// layout returns the name of a state: the suffix is made of the path of its configuration.
func layout(_, path, workspace string) string {
	parts := strings.Split(strings.TrimSuffix(path, backend.StateExt), "/")
	if last := len(parts) - 1; parts[last] == "terraform" || parts[last] == "" {
		parts = parts[:last]
	}
	if len(parts) == 0 {
		parts = []string{rootSuffix}
	}
	if workspace == "" {
		workspace = backend.DefaultWorkspace
	}
	return strings.Join(parts, "-") + "/" + workspace
}
