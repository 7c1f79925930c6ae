package client

import (
	"sync"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
)

// known remembers for a moment whose keys are whose: who a client is, never what it may. That
// is asked in the transaction of whatever it calls for (auth.StandingReader), so that a
// client which was revoked since is refused in any case.
type known struct {
	mu  sync.Mutex
	all map[identity]memory // guarded by mu
}

// identity is a program's key in a workspace.
type identity struct {
	workspace  id.Workspace
	thumbprint string
}

type memory struct {
	c     Client
	until time.Time
}

// knownLife is how long a client is remembered, and knownMost how many are.
const (
	knownLife = 10 * time.Second
	knownMost = 10_000
)

func newKnown() *known { return &known{all: map[identity]memory{}} }

func (k *known) find(who identity, now time.Time) (Client, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m, ok := k.all[who]
	return m.c, ok && now.Before(m.until)
}

func (k *known) keep(who identity, c Client, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.all) >= knownMost {
		clear(k.all)
	}
	k.all[who] = memory{c, now.Add(knownLife)}
}

func (k *known) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.all)
}
