package report_test

import (
	"bytes"
	"testing"

	"tfhaul/report"
)

// TestMessagesWrap has commands, which are to be copied.
func TestMessagesWrap(t *testing.T) {
	for text, want := range map[string]string{
		"no workspace is named: use --create, or create it first":                          "tfhaul: no workspace is named: use\n--create, or create it first\n",
		"the lock stays. To unlock it: tfhaul unlock acme/net --haul 1. Then run it again": "tfhaul: the lock stays. To unlock it:\ntfhaul unlock acme/net --haul 1. Then\nrun it again\n",
		"run tfhaul unlock 'a b/j.jsonl', which unlocks it":                                "tfhaul: run tfhaul unlock 'a b/j.jsonl',\nwhich unlocks it\n",
		"two are locked:\n  acme/net\nTo unlock them":                                      "tfhaul: two are locked:\n  acme/net\nTo unlock them\n",
		"it is \x1b[31mred": "tfhaul: it is \ufffd[31mred\n",
	} {
		var b bytes.Buffer
		if (report.Style{Width: 40}).Message(&b, "\x1b[31mtfhaul:\x1b[0m ", text); b.String() != "\x1b[31mtfhaul:\x1b[0m "+want[len("tfhaul: "):] {
			t.Errorf("got %q", b.String())
		}
	}
	var b bytes.Buffer
	long := "a text without a width is not wrapped, because a program or a file receives it"
	if (report.Style{}).Message(&b, "", long); b.String() != long+"\n" {
		t.Errorf("got %q", b.String())
	}
}

// TestOneStyleOfNumbers has sizes, times and counts as all commands print them.
func TestOneStyleOfNumbers(t *testing.T) {
	for got, want := range map[string]string{
		report.Size(734): "734 B", report.Size(48213): "47.1 KiB", report.Size(200 << 20): "200 MiB",
		report.Seconds(0.412): "0.41 s", report.Seconds(15): "15 s", report.Seconds(59.999): "1 min 0 s", report.Seconds(75.2): "1 min 15 s",
		report.Seconds(3599.7): "1 h 0 min", report.Seconds(7500): "2 h 5 min",
		report.Summary{"moved": 1234}.String(): "1,234 moves: 1,234 moved",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
