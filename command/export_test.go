package command

import (
	"context"
	"io"

	"tfhaul/backend"
)

// RunWith is Run with another kind of backend.
func RunWith(ctx context.Context, extra backend.Kind, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	p := newProcess(stdin, stdout, stderr, environ)
	p.backends = func(c backend.Connection) backend.Kinds { return append(kinds(c), extra) }
	return p.guard(ctx, nil, args)
}

// The documents of commands whose types are not exported.
type (
	BackendList   = backendList
	HaulEvent     = haulEvent
	SchemaList    = schemaList
	SettingsShown = settingsShown
	SimAddress    = simAddress
)
