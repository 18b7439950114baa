// Package pg_test tests postgres:// sources and targets against a real PostgreSQL server
// (Debian's package postgresql, started by the tests on loopback), and with the real terraform if
// it is on PATH. It is a module of its own, so that none of this is in the main go.mod. Run it
// with
//
//	cd e2e/pg && go test ./...
package pg_test

import (
	"context"
	"fmt"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/backend/pg"
)

// kinds returns the kind for the user of a database.
func (d *testDatabase) kinds() backend.Kinds {
	return backend.Kinds{pg.Kind(backend.Connection{})}
}

// target opens the schema as a target.
func (d *testDatabase) target(kinds backend.Kinds) backend.Target {
	d.t.Helper()
	target, err := kinds[0].Target.Open(context.Background(), d.address(""))
	if err != nil {
		d.t.Fatal(err)
	}
	return target
}

func TestPostgreSQLIsATarget(t *testing.T) {
	t.Parallel()
	for _, exists := range []bool{true, false} {
		name := "a new row"
		if exists {
			name = "beside other rows"
		}
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t)
			schemas := 0
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				schemas++
				fresh := *d
				fresh.schema = fmt.Sprintf("fresh%d", schemas)
				fresh.createTable()
				if exists {
					fresh.put("default", []byte("{}"))
				}
				target := fresh.target(fresh.kinds())
				t.Cleanup(target.Close)
				return target, "prod"
			})
		})
	}
}

func TestPostgreSQLIsABackend(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	schemas := 0
	backendtest.Named(t, d.kinds()[0], func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
		schemas++
		fresh := *d
		fresh.schema = fmt.Sprintf("source%d", schemas)
		fresh.createTable()
		for name, data := range files {
			fresh.put(name, data)
		}
		return fresh.address(""), fresh.put
	})
}
