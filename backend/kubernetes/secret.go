package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What Terraform's backend writes: labels of Secrets and Leases, the key of the state in a
// Secret, and annotations (internal/backend/remote-state/kubernetes, client.go).
const (
	labelState     = "tfstate"
	labelSuffix    = "tfstateSecretSuffix"
	labelWorkspace = "tfstateWorkspace"
	labelManager   = "app.kubernetes.io/managed-by"

	stateKey           = "tfstate"
	encodingAnnotation = "encoding"
	lockAnnotation     = "app.terraform.io/lock-info"
)

// partSize is where Terraform cuts a compressed state: the limit on the content of a Secret. Tests
// make it smaller.
var partSize = 1 << 20

// maxParts limits how many Secrets a state has here. Their content is in memory while it is read
// or written, and a cluster's database usually holds 2 GiB altogether.
const maxParts = 64

// secretName returns the name of a part of a state (RemoteClient.createSecretName). The parts after
// the first exist since Terraform 1.6.
func secretName(suffix, workspace string, number int) string {
	name := "tfstate-" + workspace + "-" + suffix
	if number > 0 {
		name += "-part-" + strconv.Itoa(number)
	}
	return name
}

// metadata is what identifies an object and a version of it.
type metadata struct {
	Name            string            `json:"name"`
	UID             string            `json:"uid"`
	ResourceVersion string            `json:"resourceVersion"`
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	Created         time.Time         `json:"creationTimestamp"`
	ManagedFields   []struct {
		Time time.Time `json:"time"`
	} `json:"managedFields"`
}

// pin identifies the version of the object. Neither part has a separator of a version's ID.
func (m *metadata) pin() string { return m.UID + "." + m.ResourceVersion }

// written returns when the object was written last, as far as the server reveals it.
func (m *metadata) written() time.Time {
	last := m.Created
	for _, f := range m.ManagedFields {
		if f.Time.After(last) {
			last = f.Time
		}
	}
	return last
}

// state returns the suffix and the workspace in the labels.
func (m *metadata) state() (suffix, workspace string) {
	return m.Labels[labelSuffix], m.Labels[labelWorkspace]
}

// number returns which part of the state in its labels an object is by its name.
func (m *metadata) number() (number int, ok bool) {
	first := secretName(m.Labels[labelSuffix], m.Labels[labelWorkspace], 0)
	rest, ok := strings.CutPrefix(m.Name, first)
	if !ok || rest == "" {
		return 0, ok
	}
	number, err := strconv.Atoi(strings.TrimPrefix(rest, "-part-"))
	return number, err == nil && number > 0 && rest == "-part-"+strconv.Itoa(number)
}

// A secret is a Secret. data is nil without a state in it, or if it was not asked for.
type secret struct {
	Metadata metadata
	data     []byte
	raw      json.RawMessage
}

// decode reads a whole Secret.
func (s *secret) decode(raw json.RawMessage) error {
	var document struct {
		Metadata metadata          `json:"metadata"`
		Data     map[string][]byte `json:"data"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return err
	}
	s.Metadata, s.data, s.raw = document.Metadata, document.Data[stateKey], raw
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *secret) UnmarshalJSON(raw []byte) error { return s.decode(bytes.Clone(raw)) }

// with returns the Secret with another state in it, or without one if data is nil, and everything
// else as it is.
func (s *secret) with(data []byte) (any, error) {
	document, err := editable(s.raw, "Secret", "v1")
	if err != nil {
		return nil, err
	}
	content, _ := document["data"].(map[string]any)
	if content == nil {
		content = map[string]any{}
	}
	if delete(content, stateKey); data != nil {
		content[stateKey] = data
	}
	document["data"] = content
	return document, nil
}

// editable decodes an object for changing some of it. Numbers stay as they are written.
func editable(raw json.RawMessage, kind, version string) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	document := map[string]any{}
	if err := d.Decode(&document); err != nil {
		return nil, err
	}
	document["kind"], document["apiVersion"] = kind, version
	return document, nil
}

// newSecret returns a Secret as Terraform creates it; without a state if data is nil.
func newSecret(l *location, number int, data []byte) any {
	document := map[string]any{
		"kind": "Secret", "apiVersion": "v1",
		"metadata": map[string]any{
			"name": secretName(l.suffix, l.workspace, number), "namespace": l.namespace, "labels": l.allLabels(),
			"annotations": map[string]string{encodingAnnotation: "gzip"},
		},
	}
	if data != nil {
		document["data"] = map[string]any{stateKey: data}
	}
	return document
}

// allLabels returns the labels of what Terraform creates for a state.
func (l *location) allLabels() map[string]string {
	labels := map[string]string{labelState: "true", labelSuffix: l.suffix, labelWorkspace: l.workspace, labelManager: "terraform"}
	maps.Copy(labels, l.labels)
	return labels
}

// selector selects the Secrets of a location. Terraform also selects by managed-by, unless the
// labels of its configuration have another value.
func (l *location) selector() string {
	pairs := []string{labelState + "=true"}
	if l.suffix != "" {
		pairs = append(pairs, labelSuffix+"="+l.suffix)
	}
	if l.workspace != "" {
		pairs = append(pairs, labelWorkspace+"="+l.workspace)
	}
	for _, key := range slices.Sorted(maps.Keys(l.labels)) {
		pairs = append(pairs, key+"="+l.labels[key])
	}
	return strings.Join(pairs, ",")
}

// parts are the Secrets of a state by their number, without gaps only if all are there.
type parts map[int]*secret

// sortParts returns the Secrets of a state. why says what is wrong with them, as the end of a
// sentence.
func sortParts(l *location, found []*secret) (all parts, why string) {
	all = parts{}
	for _, s := range found {
		suffix, workspace := s.Metadata.state()
		number, ok := s.Metadata.number()
		switch {
		case suffix != l.suffix || workspace != l.workspace:
			return nil, fmt.Sprintf("the server sent the Secret %q of the workspace %q of the suffix %q, which was not asked for", s.Metadata.Name, workspace, suffix)
		case !ok:
			return nil, fmt.Sprintf("the Secret %q has its labels, but not a name that Terraform gives it, so Terraform would take it for a part: correct its labels", s.Metadata.Name)
		case !isVersion(s.Metadata.UID) || !isVersion(s.Metadata.ResourceVersion) || all[number] != nil:
			return nil, fmt.Sprintf("the server does not report the version of the Secret %q", s.Metadata.Name)
		case number >= maxParts:
			return nil, fmt.Sprintf("it has a part %d, and tfhaul reads at most %d", number, maxParts)
		}
		all[number] = s
	}
	return all, ""
}

// isVersion reports whether a uid or a resourceVersion can be a part of a version's ID.
func isVersion(s string) bool {
	return s != "" && len(s) <= maxLabel && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// numbers returns the numbers of the parts in order.
func (p parts) numbers() []int { return slices.Sorted(maps.Keys(p)) }

// pins returns the pins of the parts by their number.
func (p parts) pins() map[int]string {
	pins := map[int]string{}
	for number, s := range p {
		pins[number] = s.Metadata.pin()
	}
	return pins
}

// id returns the ID of the version of a state that consists of these parts. It lists the numbers
// of the parts with their uid and resourceVersion, because every part has a version of its own.
func (p parts) id(l *location) string { return versionID(l, p.pins()) }

func versionID(l *location, pins map[int]string) string {
	var all []string
	for _, number := range slices.Sorted(maps.Keys(pins)) {
		all = append(all, strconv.Itoa(number)+":"+pins[number])
	}
	return l.name() + "@" + strings.Join(all, ",")
}

// parseVersionID parses the ID of a version.
func parseVersionID(id string) (name string, pins map[int]string, err error) {
	name, rest, ok := strings.Cut(id, "@")
	suffix, workspace, named := strings.Cut(name, "/")
	if !ok || !named || workspace == "" || checkParts(suffix, workspace) != nil {
		return "", nil, fmt.Errorf("not a version of a state in Kubernetes: %q", id)
	}
	pins = map[int]string{}
	for part := range strings.SplitSeq(rest, ",") {
		number, pin, ok := strings.Cut(part, ":")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || pin == "" {
			return "", nil, fmt.Errorf("not a version of a state in Kubernetes: %q", id)
		}
		pins[n] = pin
	}
	return name, pins, nil
}
