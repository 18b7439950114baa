package prove

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	tfjson "github.com/hashicorp/terraform-json"
)

// facts are what matters to a proof in a plan's JSON.
type facts struct {
	format    string
	terraform string
	changes   []Change
	drift     []Change
	deferred  []Change
	seen      int // managed instances in the prior state
	vanished  int // deleted instances in the drift
	complete  bool
	errored   bool
	failing   int // failing checks
}

// readPlan reads a plan's JSON in memory that does not grow with the plan, except for its
// largest resource. It returns no values.
func readPlan(r io.Reader) (*facts, error) {
	f := &facts{complete: true}
	d := jsontext.NewDecoder(bufio.NewReaderSize(r, 64<<10), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.PeekKind() != '{' {
		return nil, errors.New("it is not a JSON object")
	}
	if err := members(d, func(name string) error { return f.member(d, name) }); err != nil {
		return nil, err
	}
	// The library knows which formats it supports.
	if err := (&tfjson.Plan{FormatVersion: f.format}).Validate(); err != nil {
		return nil, err
	}
	return f, nil
}

// member reads one member of the plan.
func (f *facts) member(d *jsontext.Decoder, name string) error {
	switch name {
	case "format_version":
		return decode(d, &f.format)
	case "terraform_version":
		return decode(d, &f.terraform)
	case "complete":
		return decode(d, &f.complete)
	case "errored":
		return decode(d, &f.errored)
	case "resource_changes":
		return elements(d, func() error {
			c, err := readChange(d)
			if err == nil && !harmless(c) {
				f.changes = append(f.changes, c.change())
			}
			return err
		})
	case "resource_drift":
		return elements(d, func() error {
			c, err := readChange(d)
			if err == nil && !harmless(c) {
				f.drift = append(f.drift, c.change())
				if c.Mode == tfjson.ManagedResourceMode && c.DeposedKey == "" && slices.Contains(c.Change.Actions, tfjson.ActionDelete) {
					f.vanished++
				}
			}
			return err
		})
	case "deferred_changes":
		return elements(d, func() error {
			var deferred tfjson.DeferredResourceChange
			if err := decode(d, &deferred); err != nil {
				return err
			}
			c := Change{Actions: []string{"deferred"}, Reason: deferred.Reason}
			if deferred.ResourceChange != nil {
				c.Address = deferred.ResourceChange.Address
			}
			f.deferred = append(f.deferred, c)
			return nil
		})
	case "output_changes":
		return members(d, func(name string) error {
			var change tfjson.Change
			if err := decode(d, &change); err != nil {
				return err
			}
			if !change.Actions.NoOp() {
				f.changes = append(f.changes, Change{Address: "output." + name, Actions: words(change.Actions)})
			}
			return nil
		})
	case "action_invocations":
		return elements(d, func() error {
			var invoked tfjson.ActionInvocation
			if err := decode(d, &invoked); err != nil {
				return err
			}
			f.changes = append(f.changes, Change{Address: invoked.Address, Actions: []string{"invoke"}})
			return nil
		})
	case "checks":
		return elements(d, func() error {
			var check tfjson.CheckResultStatic
			if err := decode(d, &check); err != nil {
				return err
			}
			if check.Status == tfjson.CheckStatusFail || check.Status == tfjson.CheckStatusError {
				f.failing++
			}
			return nil
		})
	case "prior_state":
		return members(d, func(name string) error {
			if name != "values" {
				return d.SkipValue()
			}
			return members(d, func(name string) error {
				if name != "root_module" {
					return d.SkipValue()
				}
				return f.module(d)
			})
		})
	}
	return d.SkipValue()
}

// module counts the managed instances in a module and its child modules.
func (f *facts) module(d *jsontext.Decoder) error {
	return members(d, func(name string) error {
		switch name {
		case "child_modules":
			return elements(d, func() error { return f.module(d) })
		case "resources":
			return elements(d, func() error {
				var r struct {
					Mode       tfjson.ResourceMode `json:"mode"`
					DeposedKey string              `json:"deposed_key"`
				}
				if err := decode(d, &r); err != nil {
					return err
				}
				if r.Mode == tfjson.ManagedResourceMode && r.DeposedKey == "" {
					f.seen++
				}
				return nil
			})
		}
		return d.SkipValue()
	})
}

// A resourceChange is one in the library's type.
type resourceChange struct{ tfjson.ResourceChange }

func readChange(d *jsontext.Decoder) (resourceChange, error) {
	var c resourceChange
	if err := decode(d, &c.ResourceChange); err != nil {
		return c, err
	}
	if c.Change == nil {
		return c, fmt.Errorf("a resource change has no type")
	}
	// Values are never needed.
	c.Change.Before, c.Change.After = nil, nil
	return c, nil
}

// harmless reports whether a change does nothing, or only reads.
func harmless(c resourceChange) bool {
	moved := c.PreviousAddress != "" && c.PreviousAddress != c.Address
	return (c.Change.Actions.NoOp() || c.Change.Actions.Read()) && !moved && c.Change.Importing == nil
}

// change returns the change without its values.
func (c resourceChange) change() Change {
	t := Change{Address: c.Address, Reason: string(c.ActionReason)}
	if c.DeposedKey != "" {
		t.Address += " (deposed " + c.DeposedKey + ")"
	}
	if c.PreviousAddress != "" && c.PreviousAddress != c.Address {
		t.PreviousAddress = c.PreviousAddress
		t.Actions = append(t.Actions, "move")
	}
	if c.Change.Importing != nil {
		t.Actions = append(t.Actions, "import")
	}
	if !c.Change.Actions.NoOp() {
		t.Actions = append(t.Actions, words(c.Change.Actions)...)
	}
	return t
}

func words(actions tfjson.Actions) []string {
	var out []string
	for _, a := range actions {
		out = append(out, string(a))
	}
	return out
}

// members walks an object; null has no members.
func members(d *jsontext.Decoder, visit func(name string) error) error {
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	if err := open(d, '{'); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		if err := visit(name.String()); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// elements walks an array; null has no elements.
func elements(d *jsontext.Decoder, visit func() error) error {
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	if err := open(d, '['); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if err := visit(); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

func open(d *jsontext.Decoder, kind jsontext.Kind) error {
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != kind {
		return errors.New("it does not have the structure of a Terraform plan")
	}
	return nil
}

// decode reads one value.
func decode(d *jsontext.Decoder, into any) error {
	raw, err := d.ReadValue()
	if err != nil {
		return err
	}
	if json.Unmarshal(raw, into) != nil {
		// The library's error would quote part of the value.
		return errors.New("it does not have the structure of a Terraform plan")
	}
	return nil
}
