package tfesim

import (
	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// moveBackingData answers POST /state-versions/:id/actions/…_backing_data.
func moveBackingData(from, to string) handler {
	return func(c *call) (*jsonapi.Answer, error) {
		if p := c.s.options.Personality; p == HCP || p == Lax {
			return nil, jsonapi.NotFound()
		}
		v, err := c.version(accessAdmin)
		if err != nil {
			return nil, err
		}
		if c.s.current(c.s.workspaces[v.Workspace], c.now) == v {
			return nil, jsonapi.Unprocessable("the backing data of the current state version cannot be deleted")
		}
		if v.BackingData != from {
			return nil, jsonapi.Unprocessable("transition not allowed")
		}
		v.BackingData = to
		if to == blobs.DataDeleted {
			c.s.discard(v.State, v.JSON, v.Outputs)
			v.State, v.JSON, v.Outputs = nil, nil, nil
		}
		c.s.put(v)
		return &jsonapi.Answer{Status: 202}, nil
	}
}
