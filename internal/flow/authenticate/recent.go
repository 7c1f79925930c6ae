package authenticate

import (
	"sync"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// recent remembers what an operation is prepared from: the tickets of taps at this server, and
// the credentials that people have at a website. It saves reading them again and decides
// nothing: whatever is signed is spent in a transaction that asks whether all still is as it
// was, and whatever is refused is refused by what the database says. Credentials are sealed
// here as there.
type recent struct {
	mu          sync.Mutex
	tickets     map[id.Touch]client.Ticket // guarded by mu
	credentials map[owner]held             // guarded by mu
	cards       map[id.SecurityKey]holding // guarded by mu
	renewed     map[string]time.Time       // guarded by mu: when verifications were, by digest
}

// holding is what was found of a card: what is sealed is its number, and it is its holder's. As
// the seal says so of these very values, it stays true of them.
type holding struct {
	workspace      id.Workspace
	user           id.User
	digest, sealed string
}

// owner is somebody at a website.
type owner struct {
	workspace id.Workspace
	user      id.User
	rpID      string
}

type held struct {
	all   []vault.Credential
	until time.Time
}

// recentLife is how long credentials are remembered, and recentMost how many of each kind are.
//
// Within renewAgain of one use of a verification, another does not begin its idle time anew.
const (
	renewAgain = 2 * time.Second
	recentLife = 10 * time.Second
	recentMost = 4096
)

func newRecent() *recent {
	return &recent{tickets: map[id.Touch]client.Ticket{}, credentials: map[owner]held{}, cards: map[id.SecurityKey]holding{}, renewed: map[string]time.Time{}}
}

func (r *recent) keepTicket(k client.Ticket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tickets) >= recentMost {
		clear(r.tickets)
	}
	r.tickets[k.ID] = k
}

func (r *recent) ticket(t id.Touch) (client.Ticket, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.tickets[t]
	return k, ok
}

func (r *recent) keepCredentials(o owner, all []vault.Credential, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.credentials) >= recentMost {
		clear(r.credentials)
	}
	r.credentials[o] = held{all, now.Add(recentLife)}
}

func (r *recent) credentialsOf(o owner, now time.Time) ([]vault.Credential, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.credentials[o]
	return h.all, ok && now.Before(h.until)
}

func holdingOf(k client.Ticket) holding {
	return holding{k.Workspace, k.User, k.CardDigest, string(k.CardSealed)}
}

// holds says whether the card was found to be its holder's before, as it is in the ticket.
func (r *recent) holds(k client.Ticket) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.cards[k.SecurityKey]
	return ok && h == holdingOf(k)
}

func (r *recent) keepHolding(k client.Ticket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cards) >= recentMost {
		clear(r.cards)
	}
	r.cards[k.SecurityKey] = holdingOf(k)
}

// renews says whether a use at now begins the idle time of a verification anew: not if one
// did so just before. Most are used at once after the PIN, and then not again.
func (r *recent) renews(digest string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.renewed[digest]
	return !ok || now.Sub(last) >= renewAgain || now.Before(last)
}

// keepRenewed notes that the idle time of a verification, empty for none, began at now, once
// that is committed.
func (r *recent) keepRenewed(digest string, now time.Time) {
	if digest == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.renewed) >= recentMost {
		clear(r.renewed)
	}
	r.renewed[digest] = now
}

// forget drops what is remembered of a tap, and of whom it was for.
func (r *recent) forget(k client.Ticket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tickets, k.ID)
	delete(r.credentials, ownerOf(k))
}

// spent drops a tap.
func (r *recent) spent(t id.Touch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tickets, t)
}

func ownerOf(k client.Ticket) owner { return owner{k.Workspace, k.User, k.RPID} }
