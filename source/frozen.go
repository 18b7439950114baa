package source

import (
	"fmt"
	"regexp"
	"strings"
)

// MoveInfo is the Info of the lock that tfhaul holds on a source while a haul moves its
// state to target, and leaves there to freeze the source.
func MoveInfo(target, haul string) string {
	return fmt.Sprintf("tfhaul moves this state to %s (haul %s)", target, haul)
}

var moveInfo = regexp.MustCompile(`^tfhaul moves this state to (\S+) \(haul (\S+)\)$`)

// Move reports whether tfhaul holds the lock, where it moves the state, and by which haul.
// A lock does not say whether its haul is still running or has left it to freeze the source.
func (l *Lock) Move() (target, haul string, ours bool) {
	parts := moveInfo.FindStringSubmatch(l.Info)
	if parts == nil {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// Lift says how to remove the lock by hand.
func (l *Lock) Lift() string {
	// What others wrote may be anything, and stays on its line.
	if id := strings.Join(strings.Fields(l.ID), " "); id != "" {
		return "terraform force-unlock " + id + " in its configuration"
	}
	return "remove " + l.Path
}
