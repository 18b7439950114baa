package pg

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/lib/pq"

	"tfhaul/backend"
)

// withoutTable returns the error for a target without Terraform's table.
func (t *target) withoutTable(err error) error {
	why := fmt.Sprintf("the schema %s has no table states: create it with --create or terraform init, or check ?%s=NAME", t.at.schema, paramSchema)
	return &backend.Error{Address: t.at.String(), Code: backend.ForbiddenOrMissing, Answer: why, Message: fmt.Sprintf("cannot use %q: %s", t.at, why), Err: err}
}

// CanCreate implements backend.Creator.
func (t *target) CanCreate(ctx context.Context, _ backend.CreateRequest) (note string, err error) {
	var schema, may bool
	err = t.database.reading(ctx, func(tx *sql.Tx) error {
		const query = `SELECT e.there, CASE WHEN e.there THEN has_schema_privilege($1::text, 'CREATE') ELSE has_database_privilege(current_database(), 'CREATE') END
FROM (SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $2::text) AS there) e`
		return tx.QueryRowContext(ctx, query, pq.QuoteIdentifier(t.at.schema), t.at.schema).Scan(&schema, &may)
	})
	switch {
	case err != nil:
		return "", t.database.explain(ctx, "inspect", t.at, err)
	case !may && schema:
		return "", t.notCreatable("the schema " + t.at.schema)
	case !may:
		return "", t.notCreatable("the database " + t.at.database)
	}
	return fmt.Sprintf("The schema %s and its table states would be created, as terraform init does.", t.at.schema), nil
}

func (t *target) notCreatable(in string) error {
	why := fmt.Sprintf("the user %s lacks the privilege CREATE on %s", t.database.user, in)
	return &backend.Error{Address: t.at.String(), Code: backend.NotCreatable, Answer: why, Message: fmt.Sprintf("cannot create the table states in %q: %s", t.at, why)}
}

// statements create what Terraform's pg backend creates in terraform init, each only if it is
// missing. A schema that exists needs no privilege to create one.
func (l *location) statements() []string {
	return []string{
		"CREATE SCHEMA IF NOT EXISTS " + pq.QuoteIdentifier(l.schema),
		"CREATE SEQUENCE IF NOT EXISTS public.global_states_id_seq AS bigint",
		"CREATE TABLE IF NOT EXISTS " + l.table() + " (id bigint NOT NULL DEFAULT nextval('public.global_states_id_seq') PRIMARY KEY, name text UNIQUE, data text)",
		"CREATE UNIQUE INDEX IF NOT EXISTS states_by_name ON " + l.table() + " (name)",
	}
}

// Create implements backend.Creator: it creates the schema and the table, but not the state's
// row, which the write does. Only one move at a time creates.
func (t *target) Create(ctx context.Context, r backend.CreateRequest) (*backend.Standing, bool, error) {
	if err := t.database.startCreating(ctx, t.at); err != nil {
		return nil, false, err
	}
	err := t.createTable(ctx)
	t.database.endCreating()
	t.database.observe(ctx, err)
	if err != nil {
		return nil, false, t.database.explain(ctx, "create the table in", t.at, err)
	}
	s, err := t.Look(ctx, r.Name)
	return s, false, err // the state itself was not created
}

// createTable creates what is missing. It tries once more if another program has just created
// the same, which PostgreSQL reports as a duplicate.
func (t *target) createTable(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		err := t.createOnce(ctx)
		if attempt == 2 || !slices.Contains([]state{duplicateKey, duplicateObject, duplicateSchema}, sqlState(err)) {
			return err
		}
	}
}

func (t *target) createOnce(ctx context.Context) error {
	backend.CountRequest(ctx)
	var exists bool
	if err := t.database.pool.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", t.at.schema).Scan(&exists); err != nil {
		return err
	}
	statements := t.at.statements()
	if exists {
		statements = statements[1:]
	}
	tx, err := t.database.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			_ = tx.Rollback() // err says why
			return err
		}
	}
	return tx.Commit()
}
