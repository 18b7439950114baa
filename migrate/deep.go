package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// VerifyDeep is like Verify. If the states are identical, it also compares the resources and
// outputs in the server's JSON of the state version with those of the source. If the server
// has no JSON, it adds a note. Unlike everything else here, it holds the download in memory.
func (e *Engine) VerifyDeep(ctx context.Context, m Move) Result {
	return e.verify(ctx, m, func(x *execution, ctx context.Context) error {
		if err := x.check(ctx); err != nil {
			return err
		}
		return x.compareResources(ctx)
	})
}

// compareResources compares the resources in the server's JSON with those of the source.
func (x *execution) compareResources(ctx context.Context) error {
	version := x.held.version
	theirs, err := backend.Retry(ctx, x.Target.Down, func() (*contents, error) { return x.serverContents(ctx, version) })
	if err != nil {
		return err
	}
	if theirs == nil {
		x.note("The server has no JSON for this state version, so only the bytes were compared. It produces JSON only for states that its own runs write.")
		return nil
	}
	ours, err := x.sourceContents(ctx)
	if err != nil {
		return err
	}
	if differences := ours.differences(theirs); len(differences) > 0 {
		return x.stopf(CodeResourcesDiffer, "The workspace holds the identical state, but the server's JSON of it differs: %s. "+
			"Compare %s with the source. Its JSON may have been uploaded separately.", firstFew(differences), version.ID)
	}
	x.note("The server's JSON lists the same %d resources and %d outputs.", len(ours.resources), len(ours.outputs))
	return nil
}

// firstFew joins the first few texts.
func firstFew(texts []string) string {
	const shown = 5
	if len(texts) <= shown {
		return strings.Join(texts, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(texts[:shown], "; "), len(texts)-shown)
}

// contents lists the resources and outputs of a state, without values.
type contents struct {
	resources map[string]objects // by address without instance keys
	outputs   map[string]bool    // whether each is sensitive
}

// objects counts the objects of a resource.
type objects struct{ current, deposed, tainted int }

func (o objects) String() string {
	s := fmt.Sprintf("%d", o.current)
	if o.deposed > 0 {
		s += fmt.Sprintf(" and %d deposed", o.deposed)
	}
	if o.tainted > 0 {
		s += fmt.Sprintf(", %d tainted", o.tainted)
	}
	return s
}

func newContents() *contents {
	return &contents{resources: map[string]objects{}, outputs: map[string]bool{}}
}

// add counts objects of a resource.
func (c *contents) add(module, mode, kind, name string, o objects) {
	address := kind + "." + name
	if mode == "data" {
		address = "data." + address
	}
	if module != "" {
		address = module + "." + address
	}
	sum := c.resources[address]
	sum.current += o.current
	sum.deposed += o.deposed
	sum.tainted += o.tainted
	c.resources[address] = sum
}

// differences describes each difference in a clause.
func (c *contents) differences(server *contents) []string {
	var all []string
	for _, address := range slices.Sorted(maps.Keys(union(c.resources, server.resources))) {
		if ours, theirs := c.resources[address], server.resources[address]; ours != theirs {
			all = append(all, fmt.Sprintf("%s has %s objects in the state and %s on the server", address, ours, theirs))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(union(c.outputs, server.outputs))) {
		ours, here := c.outputs[name]
		theirs, there := server.outputs[name]
		switch {
		case !there:
			all = append(all, fmt.Sprintf("output %s is missing on the server", name))
		case !here:
			all = append(all, fmt.Sprintf("output %s exists only on the server", name))
		case ours != theirs:
			all = append(all, fmt.Sprintf("output %s is sensitive on one side only", name))
		}
	}
	return all
}

func union[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// sourceContents reads the source again, for its resources and outputs.
func (x *execution) sourceContents(ctx context.Context) (*contents, error) {
	body, err := x.payload.open(ctx)
	var changed *backend.ChangedError
	switch {
	case errors.As(err, &changed):
		return nil, &stop{code: CodeSourceChanged, message: plainwords.Sentence(err.Error())}
	case err != nil:
		return nil, unreadable(err)
	}
	c := newContents()
	_, err = statefile.Inspect(body, &statefile.Visitor{
		Resource: func(r statefile.Resource) {
			var o objects
			for _, i := range r.Instances {
				if i.Deposed {
					o.deposed++
				} else {
					o.current++
				}
				if i.Tainted {
					o.tainted++
				}
			}
			c.add(r.Module, r.Mode, r.Type, r.Name, o)
		},
		Output: func(o statefile.Output) { c.outputs[o.Name] = o.Sensitive },
	})
	if closed := body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, unreadable(err)
	}
	return c, nil
}

// serverContents downloads and reads the JSON of a state version. It returns nil if the server
// offers no JSON.
func (x *execution) serverContents(ctx context.Context, version *backend.Version) (*contents, error) {
	decoder, ok := x.Target.(backend.Decoder)
	if !ok {
		return nil, nil
	}
	body, err := decoder.ReadJSON(ctx, version)
	if err != nil || body == nil {
		return nil, err
	}
	text, err := io.ReadAll(body)
	if closed := body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	var state tfjson.State
	if err := state.UnmarshalJSON(text); err != nil {
		// The error may quote state content.
		return nil, x.stopf(CodeUnproven, "The workspace holds the identical state, but the server's JSON of %s is not in Terraform's format, so the resources could not be compared.", version.ID)
	}
	c := newContents()
	if state.Values == nil {
		return c, nil
	}
	for name, output := range state.Values.Outputs {
		c.outputs[name] = output != nil && output.Sensitive
	}
	c.addModule(state.Values.RootModule)
	return c, nil
}

// addModule counts the resources of a module and its children.
func (c *contents) addModule(m *tfjson.StateModule) {
	if m == nil {
		return
	}
	for _, r := range m.Resources {
		o := objects{current: 1}
		if r.DeposedKey != "" {
			o = objects{deposed: 1}
		}
		if r.Tainted {
			o.tainted = 1
		}
		c.add(m.Address, string(r.Mode), r.Type, r.Name, o)
	}
	for _, child := range m.ChildModules {
		c.addModule(child)
	}
}
