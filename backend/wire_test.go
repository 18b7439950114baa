package backend

import (
	"context"
	"errors"
	"testing"
)

// Sources have no wire.
func TestNoWireDoesNothing(t *testing.T) {
	var w *Wire
	w.Observe(t.Context(), errors.New("no response"))
	refuse := WithSending(t.Context(), func(context.Context) error { return errors.New("withheld") })
	if err := w.Sending(refuse); err != nil || w.Down() {
		t.Errorf("Sending: %v, Down: %t", err, w.Down())
	}
}
