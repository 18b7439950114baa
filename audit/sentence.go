package audit

import (
	"regexp"
	"time"

	"tfhaul/plainwords"
)

// whatFailed matches the start of an error that names the operation and the file.
var whatFailed = regexp.MustCompile(`cannot [a-z ]+ "(?:[^"\\]|\\.)*": `)

// cause returns an error's text without the file. The finding names the file, so that
// files with the same cause can be grouped.
func cause(err error) string { return whatFailed.ReplaceAllString(err.Error(), "") }

// days formats a duration in days.
func days(d time.Duration) string { return plainwords.Counted(int(d/(24*time.Hour)), "day") }
