package rootmodule

import (
	"cmp"
	"slices"

	"tfhaul/backend"
)

// A Discovery is what configurations and their backends say, as it is shown.
type Discovery struct {
	// Checked reports whether the backends were asked.
	Checked        bool
	Configurations []Described
	// WithoutCode are the addresses of states that no configuration uses.
	WithoutCode []string
	Unread      []Unread
}

// A Described is a module as it is shown.
type Described struct {
	Dir        string `json:"dir"`
	Repository string `json:"repository"`
	// Path is the module's path in the repository, and Variant what distinguishes the modules
	// of one directory.
	Path    string `json:"path"`
	Variant string `json:"variant,omitempty"`
	Origin  Origin `json:"origin"`
	// Backend is Terraform's name of the backend, or "cloud".
	Backend string `json:"backend,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	// Problem is why the state is not known; "" if it is.
	Problem string           `json:"problem,omitempty"`
	States  []DescribedState `json:"states"`
	Reads   []Read           `json:"reads"`
	Notes   []string         `json:"notes,omitempty"`
}

// A DescribedState is a state of a module.
type DescribedState struct {
	Workspace string `json:"workspace"`
	Address   string `json:"address"`
	// Exists is nil if the backend was not asked.
	Exists *bool `json:"exists,omitempty"`
	// SharedWith are the directories of other configurations that use the same state.
	SharedWith []string `json:"shared_with,omitempty"`
}

// A Read is a state that a module reads.
type Read struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Address is the state's; "" if Problem says why it is not known.
	Address string `json:"address,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// Describe shows a tree with its states.
func Describe(kinds backend.Kinds, t *Tree, c *Census, checked bool) *Discovery {
	d := &Discovery{Checked: checked, Unread: t.Unread}
	users := map[string][]string{}
	for i := range c.States {
		at := kinds.Canonical(c.States[i].Address)
		if dir := c.States[i].Module.Dir; !slices.Contains(users[at], dir) {
			users[at] = append(users[at], dir)
		}
	}
	for _, m := range t.Modules {
		one := Described{Dir: m.Dir, Repository: m.Repository, Path: m.Path, Variant: m.Variant, Origin: m.Origin, File: m.At.File, Line: m.At.Line,
			Problem: m.Problem, States: []DescribedState{}, Reads: []Read{}, Notes: m.Notes}
		if m.Settings != nil {
			one.Backend = m.Settings.Type
		}
		for i := range c.States {
			if c.States[i].Module == m {
				one.States = append(one.States, describe(kinds, &c.States[i], users))
			}
		}
		for _, r := range m.Reads {
			address, err := r.Address(kinds)
			read := Read{Name: r.Name, File: r.At.File, Line: r.At.Line, Address: address}
			if err != nil {
				read.Problem = err.Error()
			}
			one.Reads = append(one.Reads, read)
		}
		d.Configurations = append(d.Configurations, one)
	}
	for _, s := range c.Orphans {
		d.WithoutCode = append(d.WithoutCode, s.Address())
	}
	return d
}

func describe(kinds backend.Kinds, s *State, users map[string][]string) DescribedState {
	shown := DescribedState{Workspace: cmp.Or(s.Workspace, backend.DefaultWorkspace), Address: s.Address}
	if s.Listed {
		exists := s.Found != nil
		shown.Exists = &exists
	}
	for _, dir := range users[kinds.Canonical(s.Address)] {
		if dir != s.Module.Dir {
			shown.SharedWith = append(shown.SharedWith, dir)
		}
	}
	return shown
}

// Address returns the address of the state that is read.
func (r *Reference) Address(kinds backend.Kinds) (string, error) {
	if r.Settings == nil {
		return "", errorText(r.Problem)
	}
	at, err := kinds.Configured(r.Settings)
	switch {
	case err != nil:
		return "", err
	case at.State == nil:
		return "", errorText("its workspace is not named")
	}
	return at.State(r.Workspace), nil
}

// errorText is an error whose text is complete.
type errorText string

func (e errorText) Error() string { return string(e) }

// Summary counts what was discovered.
type Summary struct {
	Configurations int `json:"configurations"`
	States         int `json:"states"`
	// Unknown counts configurations whose state is not known.
	Unknown int `json:"unknown"`
	// Missing counts states that do not exist, and WithoutCode those that no code uses; both are
	// 0 unless the backends were asked.
	Missing     int `json:"missing"`
	WithoutCode int `json:"without_code"`
	// Shared counts states that several configurations use.
	Shared int `json:"shared"`
	// Reads counts references to the states of others, and Unresolved those whose state is not
	// known.
	Reads      int `json:"reads"`
	Unresolved int `json:"unresolved"`
	Unread     int `json:"unread"`
	// Backends counts the configurations by Terraform's name of their backend.
	Backends map[string]int `json:"backends"`
}

// Summary counts.
func (d *Discovery) Summary() Summary {
	s := Summary{Configurations: len(d.Configurations), WithoutCode: len(d.WithoutCode), Unread: len(d.Unread), Backends: map[string]int{}}
	shared := map[string]bool{}
	for _, c := range d.Configurations {
		if c.Problem != "" {
			s.Unknown++
		}
		if c.Backend != "" {
			s.Backends[c.Backend]++
		}
		for _, state := range c.States {
			s.States++
			if state.Exists != nil && !*state.Exists {
				s.Missing++
			}
			if len(state.SharedWith) > 0 {
				shared[state.Address] = true
			}
		}
		for _, r := range c.Reads {
			s.Reads++
			if r.Address == "" {
				s.Unresolved++
			}
		}
	}
	s.Shared = len(shared)
	return s
}
