package command

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/pairing"
)

func TestCodeOfResults(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	result := func(o migrate.Outcome, c migrate.Code) migrate.Result { return migrate.Result{Outcome: o, Code: c} }
	var (
		moved       = result(migrate.Moved, "")
		there       = result(migrate.AlreadyThere, "")
		planned     = result(migrate.WouldMove, "")
		skipped     = result(migrate.Skipped, migrate.CodeEmpty)
		refused     = result(migrate.Refused, migrate.CodeStale)
		failed      = result(migrate.Failed, migrate.CodeUnproven)
		interrupted = result(migrate.Failed, migrate.CodeInterrupted)
	)
	for name, test := range map[string]struct {
		results  []migrate.Result
		detailed bool
		ended    bool
		want     int
	}{
		"nothing":                            {want: 0},
		"all is well":                        {results: []migrate.Result{moved, there, skipped}, want: 0},
		"planned":                            {results: []migrate.Result{planned}, want: 0},
		"planned in detail":                  {results: []migrate.Result{there, planned}, detailed: true, want: 2},
		"nothing planned in detail":          {results: []migrate.Result{there}, detailed: true, want: 0},
		"refused before planned":             {results: []migrate.Result{planned, refused}, detailed: true, want: 3},
		"refused":                            {results: []migrate.Result{moved, refused}, want: 3},
		"failed before refused":              {results: []migrate.Result{moved, refused, failed}, want: 1},
		"interrupted before failed":          {results: []migrate.Result{failed, interrupted}, ended: true, want: 130},
		"interrupted in an earlier run":      {results: []migrate.Result{moved, interrupted}, want: 1},
		"failed at an interrupt":             {results: []migrate.Result{failed}, ended: true, want: 130},
		"brought to its end in spite of one": {results: []migrate.Result{moved}, ended: true, want: 0},
	} {
		ctx := t.Context()
		if test.ended {
			ctx = ended
		}
		if got := codeOfResults(ctx, test.results, test.detailed); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

// TestFailedEarly tells failures, of which there is a result, from mistakes.
func TestFailedEarly(t *testing.T) {
	t.Parallel()
	to := destination{kind: tfe.Kind(backend.Connection{}), container: "tfe.example.com/acme", name: "net"}
	for code, err := range map[migrate.Code]error{
		migrate.CodeUnreachable: &unreachableError{errors.New("no answer")},
		migrate.CodeUnreadable:  fmt.Errorf("searching: %w", &backend.Error{Code: backend.Unreachable, Message: "no answer"}),
		"":                      &usageError{"no such file"},
	} {
		r, failed := failedEarly("s3://b/k", to, err)
		if r.Code != code || failed != (code != "") || r.Outcome != migrate.Failed || r.Target != "tfe.example.com/acme/net" || r.Source != "s3://b/k" || r.Message == "" {
			t.Errorf("%v: %+v, %v", err, r, failed)
		}
	}
	for code, want := range map[backend.Code]bool{
		backend.NoContainer: false, backend.NoState: false, backend.NoCredentials: false, backend.ExpiredCredentials: false,
		backend.Unreachable: true, backend.AccessDenied: true, backend.Failed: true,
	} {
		if got := pairing.ServerToBlame(&backend.Error{Code: code}); got != want {
			t.Errorf("%s: %v, want %v", code, got, want)
		}
	}
	if pairing.ServerToBlame(errors.New("no such file")) || pairing.ServerToBlame(nil) {
		t.Error("a local file has a server")
	}
}
