package backend

import "testing"

func TestMoveOfATfhaulLock(t *testing.T) {
	lock := Lock{Info: MoveInfo("app.terraform.io/acme/net", "h-1")}
	if target, haul, ours := lock.Move(); target != "app.terraform.io/acme/net" || haul != "h-1" || !ours {
		t.Errorf("Move() = %q, %q, %v", target, haul, ours)
	}
	for _, info := range []string{"", "apply", "tfhaul moves this state to x", "x tfhaul moves this state to x (haul h)", "tfhaul moves this state to x (haul h)\nmore"} {
		if _, _, ours := (&Lock{Info: info}).Move(); ours {
			t.Errorf("a lock with the info %q is recognized as ours", info)
		}
	}
}
