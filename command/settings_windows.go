package command

// ownedByUser reports whether a file belongs to this user. On Windows, the permissions of
// the directories above the current one decide who can place a file there.
func ownedByUser(string) bool { return true }
