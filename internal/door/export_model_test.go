package door

import (
	"slices"

	"github.com/keyhold/keyhold/internal/base/grant"
)

// Record returns all events that the engine keeps, in their order.
func Record(e *Engine) []grant.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.record.events)
}

// Held returns what the engine decides by, and of which version it is.
func Held(e *Engine) (grants map[grant.ID]grant.Grant, epoch, version uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	grants = map[grant.ID]grant.Grant{}
	for _, g := range e.held.Grants {
		grants[g.ID] = g
	}
	return grants, e.held.Epoch, e.held.Version
}
