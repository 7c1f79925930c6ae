package signal_test

import (
	"testing"

	"github.com/keyhold/keyhold/internal/ledger/signal"
)

func heard(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestHub(t *testing.T) {
	h := signal.NewHub()
	door, other := signal.Of("ws_1", signal.Lock, "lock_1"), signal.Of("ws_2", signal.Lock, "lock_1")
	a, cancelA := h.Subscribe(door)
	b, cancelB := h.Subscribe(door)
	c, cancelC := h.Subscribe(other)
	defer cancelC()
	h.Publish(door)
	h.Publish(door) // nobody waits for the slow
	if !heard(a) || !heard(b) || heard(c) {
		t.Error("Publish() woke not those who subscribed to the topic, or others")
	}
	if heard(a) {
		t.Error("two signals before a look are two looks, want one")
	}
	cancelA()
	h.Publish(door)
	if heard(a) || !heard(b) {
		t.Error("cancel() silenced the wrong one")
	}
	cancelB()
	h.PublishAll()
	if heard(b) || !heard(c) {
		t.Error("PublishAll() woke who left, or not who stayed")
	}
}
