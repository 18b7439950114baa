package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"tfhaul/plainwords"
)

// atMost returns how many of n items to show: most, or all if that would leave out only
// one.
func atMost(n, most int) int {
	if n > most+1 {
		return most
	}
	return n
}

// Where to find the rest of a list.
const (
	inJSON = "; --json has them all"
	inAll  = "; --all shows them, --json has them"
)

// andMore writes how many items of a list are left out, if any, and where to find them.
func andMore(w io.Writer, n int, where string) {
	if n > 0 {
		fmt.Fprintf(w, "  … and %s more%s\n", plainwords.Grouped(n), where)
	}
}

// dotted joins facts in a line, without the empty ones.
func dotted(facts ...string) string {
	return strings.Join(slices.DeleteFunc(facts, func(fact string) bool { return fact == "" }), " · ")
}

// labelled adds a label before a text, unless the text is "".
func labelled(label, text string) string {
	if text == "" {
		return ""
	}
	return label + text
}

// cost formats calls and time.
func cost(calls int, seconds float64) string {
	return plainwords.Counted(calls, "API call") + " in " + Seconds(seconds)
}

// tally counts by kind: "12 moves: 9 moved, 3 refused".
func tally[K comparable](noun string, order []K, counts map[K]int, word func(K) string) string {
	total := 0
	for _, n := range counts {
		total += n
	}
	return plainwords.Counted(total, noun) + labelled(": ", numbers(order, counts, word))
}

// numbers lists the counts of kinds: "9 moved, 3 refused".
func numbers[K comparable](order []K, counts map[K]int, word func(K) string) string {
	var parts []string
	for _, kind := range order {
		if n := counts[kind]; n > 0 {
			parts = append(parts, plainwords.Grouped(n)+" "+word(kind))
		}
	}
	return strings.Join(parts, ", ")
}

// A Group is the items of a list that have a key in common.
type Group[K comparable, T any] struct {
	Key K
	Of  []T
}

// GroupBy groups a list by a key, in the order in which keys first occur.
func GroupBy[K comparable, T any](list []T, key func(T) K) []Group[K, T] {
	var groups []Group[K, T]
	number := map[K]int{}
	for _, item := range list {
		k := key(item)
		n, known := number[k]
		if !known {
			n = len(groups)
			number[k] = n
			groups = append(groups, Group[K, T]{Key: k})
		}
		groups[n].Of = append(groups[n].Of, item)
	}
	return groups
}
