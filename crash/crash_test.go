package crash_test

import (
	"context"
	"strings"
	"testing"

	"tfhaul/crash"
)

func TestCatchHidesThePanicValue(t *testing.T) {
	for name, c := range map[string]struct {
		do   func()
		want string
	}{
		"from the runtime": {func() { _ = []int{}[len(name())] }, "index out of range"},
		"our own":          {func() { panic("a value from a state") }, "a panic with a string"},
	} {
		t.Run(name, func(t *testing.T) {
			caught := make(chan crash.Panic, 1)
			ctx := crash.Handle(t.Context(), func(p crash.Panic) { caught <- p })
			returned := make(chan struct{})
			go func() {
				defer close(returned)
				defer crash.Catch(ctx)
				c.do()
			}()
			p := <-caught
			if !strings.Contains(p.Reason, c.want) || strings.Contains(p.Reason, "a value from") {
				t.Errorf("got reason %q, want %q", p.Reason, c.want)
			}
			if len(p.Frames) == 0 || !strings.Contains(p.Frames[0], "crash_test") {
				t.Errorf("the first frame is not the function that panicked: %q", p.Frames)
			}
			select {
			case <-returned:
				t.Error("the goroutine returned as if its work were done")
			default:
			}
		})
	}
}

func name() string { return "xy" }

func TestCatchWithoutHandlerContinuesThePanic(t *testing.T) {
	defer func() {
		if v := recover(); v != "ours" {
			t.Errorf("recovered %v, want the panic's own value", v)
		}
	}()
	defer crash.Catch(context.Background())
	panic("ours")
}
