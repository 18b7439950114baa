package audit

import (
	"errors"
	"testing"
)

func TestCauseNamesNoFile(t *testing.T) {
	for text, want := range map[string]string{
		`cannot read "repos/a \"b\"/terraform.tfstate": permission denied`:                                               "permission denied",
		`cannot tell whether the state is locked: cannot read "dynamodb://locks/acme/a.tfstate": there is no such table`: "cannot tell whether the state is locked: there is no such table",
		`the digest item "acme/a.tfstate-md5" in the table "locks" holds no MD5`:                                         `the digest item "acme/a.tfstate-md5" in the table "locks" holds no MD5`,
	} {
		if got := cause(errors.New(text)); got != want {
			t.Errorf("the cause of %s is %s, want %s", text, got, want)
		}
	}
}
