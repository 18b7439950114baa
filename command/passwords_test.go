package command

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestPasswordsAreCutOutOfArguments(t *testing.T) {
	p := newProcess(strings.NewReader(""), io.Discard, io.Discard, []string{"TFHAUL_TARGET=postgres://tf:secret@db/infra", "PG_CONN_STR=postgres://tf:secret@db/infra"})
	got := p.cutPasswords([]string{"tfhaul", "migrate", "postgres://ci:se%2Fcret@db/infra?schema=net", "--target=postgresql://tf:secret@other/infra", "s3://acme/a?b=c", "./a:b@c", "--map", "x=y://z"})
	want := []string{"tfhaul", "migrate", "postgres://ci@db/infra?schema=net", "--target=postgresql://tf@other/infra", "s3://acme/a?b=c", "./a:b@c", "--map", "x=y://z"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if p.passwords["postgres://ci@db/infra?schema=net"] != "se/cret" || p.passwords["postgresql://tf@other/infra"] != "secret" || p.passwords["postgres://tf@db/infra"] != "secret" {
		t.Errorf("passwords are lost: %d are known", len(p.passwords))
	}
	if p.environ[0] != "TFHAUL_TARGET=postgres://tf@db/infra" || !strings.Contains(p.environ[1], "secret") {
		t.Error("the variables are not as expected")
	}
}
