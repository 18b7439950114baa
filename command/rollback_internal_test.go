package command

import (
	"testing"

	"tfhaul/migrate"
)

// The question before a rollback names the number of deletions.
func TestTheQuestionNamesDeletions(t *testing.T) {
	back := migrate.Result{Outcome: migrate.WouldMove}
	deleted := migrate.Result{Outcome: migrate.WouldMove, Deleted: true}
	done := migrate.Result{Outcome: migrate.AlreadyThere, Deleted: true}
	for want, results := range map[string][]migrate.Result{
		"":                         {done},
		"Put back 1 former state?": {back, done},
		"Delete 2 targets that the haul created?":                             {deleted, deleted, done},
		"Put back 2 former states and delete 1 target that the haul created?": {back, deleted, back},
	} {
		if got := questionOf(results); got != want {
			t.Errorf("the question is %q, want %q", got, want)
		}
	}
}
