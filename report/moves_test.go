package report

import "testing"

// The parameters of a database's URL name the state, and those of a bucket's only say how to
// access it.
func TestSourcesInTablesAreDistinct(t *testing.T) {
	for name, want := range map[string]string{
		"postgres://ci@db/infra?schema=net&workspace=prod&sslmode=disable": "postgres://ci@db/infra?schema=net&workspace=prod",
		"s3://acme/net.tfstate?region=eu-west-1&workspace-key-prefix=ws":   "s3://acme/net.tfstate",
		"./a?workspace=b": "./a?workspace=b",
	} {
		if got := withoutParameters(name); got != want {
			t.Errorf("%s is shown as %s, want %s", name, got, want)
		}
	}
}
