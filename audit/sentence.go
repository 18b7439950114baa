package audit

import (
	"regexp"
	"time"

	"tfhaul/plainwords"
)

// whatFailed is how errors name what could not be done to what.
var whatFailed = regexp.MustCompile(`cannot [a-z ]+ "(?:[^"\\]|\\.)*": `)

// cause is an error's text without the file that it is about: the finding names the
// file, and a failure of many files is reported once.
func cause(err error) string { return whatFailed.ReplaceAllString(err.Error(), "") }

// days writes how long something takes.
func days(d time.Duration) string { return plainwords.Counted(int(d/(24*time.Hour)), "day") }
