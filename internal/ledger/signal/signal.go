// Package signal is how a transaction says "something changed", so that whoever waits
// need not look all the time. Signals are lossy, state is not: who hears one reads the
// state again, and looks now and then without one. It decides nothing.
package signal

import (
	"sync"

	"github.com/keyhold/keyhold/internal/base/id"
)

// Topic names what changed: one thing of a workspace.
type Topic string

// The kinds of things that topics name.
const (
	Lock    = "lock"    // what its controller should know, or waits for it
	User    = "user"    // what is shown to a user of their own
	Command = "command" // what became of a lock's command
	Locks   = "locks"   // any lock of the workspace; its thing is the workspace
)

// Of returns the topic of a thing of a workspace.
func Of(w id.Workspace, kind, thing string) Topic { return Topic(string(w) + "/" + kind + "/" + thing) }

// Tx is what a room needs of a transaction to send signals: they go out after the
// commit, and not at all if there is none.
type Tx interface {
	Signal(topics ...Topic)
}

// Hub hands signals to who waits for them in this process. Use NewHub. It is safe for use
// by several goroutines.
type Hub struct {
	mu      sync.Mutex
	waiting map[Topic]map[chan struct{}]bool // guarded by mu
}

// NewHub returns a hub nobody listens to.
func NewHub() *Hub { return &Hub{waiting: map[Topic]map[chan struct{}]bool{}} }

// Subscribe returns a channel that gets a value soon after the topic was published; several
// may be one. Call cancel when done.
func (h *Hub) Subscribe(topic Topic) (heard <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting[topic] == nil {
		h.waiting[topic] = map[chan struct{}]bool{}
	}
	h.waiting[topic][c] = true
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if delete(h.waiting[topic], c); len(h.waiting[topic]) == 0 {
			delete(h.waiting, topic)
		}
	}
}

// Publish wakes all who subscribed to one of the topics. It never waits.
func (h *Hub) Publish(topics ...Topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, topic := range topics {
		for c := range h.waiting[topic] {
			select {
			case c <- struct{}{}:
			default: // they have not looked since the last
			}
		}
	}
}

// PublishAll wakes everybody: signals may have been missed.
func (h *Hub) PublishAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, all := range h.waiting {
		for c := range all {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}
