package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"tfhaul/plainwords"
)

// atMost is how many of n are shown: all, if not more than one were left out otherwise.
func atMost(n, most int) int {
	if n > most+1 {
		return most
	}
	return n
}

// Where the rest of a list is.
const (
	inJSON = "; --json has them all"
	inAll  = "; --all shows them, --json has them"
)

// andMore says below a list how many are left out, if any, and where they are.
func andMore(w io.Writer, n int, where string) {
	if n > 0 {
		fmt.Fprintf(w, "  … and %d more%s\n", n, where)
	}
}

// dotted joins the facts that there are to a line.
func dotted(facts ...string) string {
	return strings.Join(slices.DeleteFunc(facts, func(fact string) bool { return fact == "" }), " · ")
}

// labelled puts a label before a text, unless the text is "".
func labelled(label, text string) string {
	if text == "" {
		return ""
	}
	return label + text
}

// cost says what something took.
func cost(calls int, seconds float64) string {
	return plainwords.Counted(calls, "API call") + " in " + Seconds(seconds)
}

// tally says how many there are of which kind: "12 moves: 9 moved, 3 refused".
func tally[K comparable](noun string, order []K, counts map[K]int, word func(K) string) string {
	total := 0
	for _, n := range counts {
		total += n
	}
	return plainwords.Counted(total, noun) + labelled(": ", numbers(order, counts, word))
}

// numbers counts kinds: "9 moved, 3 refused".
func numbers[K comparable](order []K, counts map[K]int, word func(K) string) string {
	var parts []string
	for _, kind := range order {
		if n := counts[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word(kind)))
		}
	}
	return strings.Join(parts, ", ")
}

// A group is what has a key in common.
type group[K comparable, T any] struct {
	key K
	of  []T
}

// groupBy groups a list by a key, in the order in which the keys first occur.
func groupBy[K comparable, T any](list []T, key func(T) K) []group[K, T] {
	var groups []group[K, T]
	number := map[K]int{}
	for _, item := range list {
		k := key(item)
		n, known := number[k]
		if !known {
			n = len(groups)
			number[k] = n
			groups = append(groups, group[K, T]{key: k})
		}
		groups[n].of = append(groups[n].of, item)
	}
	return groups
}
