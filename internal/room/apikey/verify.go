package apikey

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Identity is what a good token says.
type Identity struct {
	Caller auth.Caller
	// Key is the record, as far as it is shown: without hashes and last use.
	Key      Key
	Place    Place
	Standing auth.Standing
}

// Verify returns the caller behind a token that is to open what keys of type want
// open; by is the anonymous caller of the same request. Unknown, malformed, wrong,
// expired and disabled tokens, and tokens from an address that the key does not
// allow, get one and the same Unauthenticated fault; a good token of another type is
// told which type is needed, unless its workspace is suspended. Both, the latter and
// the wrong address, are recorded. A key that is used too often gets a TooMany fault.
func (s *Service) Verify(ctx context.Context, by auth.Caller, text string, want Type) (auth.Caller, error) {
	i, err := s.Identify(ctx, by, text, want)
	return i.Caller, err
}

// Identify is Verify that returns all that is known of the caller: it is answered
// from memory while this server's lease holds (package lease), so that nothing that
// was withdrawn is accepted.
func (s *Service) Identify(ctx context.Context, by auth.Caller, text string, want Type) (Identity, error) {
	presented, ok := token.Parse(text)
	if !ok {
		return Identity{}, fault.Unauthenticated()
	}
	now := s.gate.Clock.Now()
	i, good, known := s.fromMemory(by, presented, now)
	if !known {
		var err error
		if i, good, err = s.fromStore(ctx, by, presented, now); err != nil {
			return Identity{}, err
		}
	}
	if !good {
		return Identity{}, fault.Unauthenticated()
	}
	if !i.Key.Allows(by.IP) {
		f := fault.Unauthenticated()
		return Identity{}, s.refuseUse(ctx, i.Caller, f, "ip_not_allowed")
	}
	if i.Key.Type != want {
		f := fault.Forbidden("wrong_key_type", "This needs an API key of the type "+string(want)+".")
		return Identity{}, s.refuseUse(ctx, i.Caller, f, f.Code)
	}
	if s.c.Cache != nil {
		if wait := s.c.Cache.spend(presented.ID, i, now); wait > 0 {
			return Identity{}, fault.TooMany("rate_limited", "This API key is used too often. Slow down.", wait)
		}
	}
	return i, nil
}

// fromMemory returns what is kept of a token; known is false if that must not be
// answered from. The lease is asked after everything else was read.
func (s *Service) fromMemory(by auth.Caller, t token.Token, now time.Time) (i Identity, good, known bool) {
	if s.c.Cache == nil || s.c.Leases == nil {
		return Identity{}, false, false
	}
	kept, found := s.c.Cache.find(t.ID)
	if !found {
		return Identity{}, false, false
	}
	good = s.hashes.fit(t, kept.hash[:], int(kept.pepper))
	if good {
		i, good = identity(by, kept.key(), kept.place, t.ID, now)
	}
	return i, good, s.c.Leases.Live()
}

// fromStore asks the database, and keeps what it said.
func (s *Service) fromStore(ctx context.Context, by auth.Caller, t token.Token, now time.Time) (Identity, bool, error) {
	var epoch uint64
	if s.c.Cache != nil {
		epoch = s.c.Cache.epoch.Load() // before anything is read
	}
	var k Key
	var p Place
	found := false
	err := s.gate.Store.Read(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		k, p, found, err = tx.FindAPIKeyByTokenID(ctx, t.ID)
		return err
	})
	if err != nil || !found {
		return Identity{}, false, err
	}
	hash, pepper := k.TokenHash, k.Pepper
	if t.ID == k.Retiring.TokenID {
		hash, pepper = k.Retiring.TokenHash, k.Retiring.Pepper
	}
	if !s.hashes.fit(t, hash, pepper) {
		return Identity{}, false, nil
	}
	if s.c.Cache != nil {
		s.c.Cache.put(epoch, t.ID, hash, pepper, k, p)
		// Only upwards: a server on which a newer pepper is not current yet leaves alone
		// what another one wrote under it.
		if pepper < s.hashes.current() {
			s.c.Cache.rehash(k.Workspace, t.ID, hash, s.hashes.make(t))
		}
	}
	i, good := identity(by, k, p, t.ID, now)
	return i, good, nil
}

// identity returns who comes with the token, and false if it is not good at now.
func identity(by auth.Caller, k Key, p Place, tokenID string, now time.Time) (Identity, bool) {
	standing := k.Standing(tokenID, now)
	if !standing.Active || p.Suspended {
		return Identity{}, false
	}
	c := by
	c.Kind, c.Workspace, c.APIKey, c.Name, c.Token = auth.APIKey, k.Workspace, k.ID, k.Name, tokenID
	return Identity{Caller: c, Key: k, Place: p, Standing: standing}, true
}

// refuseUse records that a good token was refused. Who is not good any more by now
// leaves no line.
func (s *Service) refuseUse(ctx context.Context, c auth.Caller, f *fault.Error, reason string) error {
	return s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.gate.Clock.Now()
		standing, err := t.CallerStanding(ctx, c, now)
		if err != nil {
			return nil, err
		}
		if !standing.Active {
			return fault.Unauthenticated(), nil
		}
		a := activity.Attempt{Action: "api_key.use", Target: activity.Party{Type: "api_key", ID: string(c.APIKey), Name: c.Name}}
		return f, activity.Refuse(ctx, t, c, a, reason, now)
	})
}

// stored is a token's hash as it is stored.
type stored struct {
	hash   []byte
	pepper int
}

// hashes computes and compares the hashes of tokens. It is safe for use by several
// goroutines.
type hashes struct{ p atomic.Pointer[peppered] }

// peppered is a set of peppers with hashers that are ready for use.
type peppered struct {
	current int
	hashers map[int]*sync.Pool
}

func (h *hashes) use(p Peppers) {
	next := &peppered{current: p.Current, hashers: map[int]*sync.Pool{}}
	for n, pepper := range p.Known {
		next.hashers[n] = &sync.Pool{New: func() any { return hmac.New(sha256.New, pepper.Expose()) }}
	}
	h.p.Store(next)
}

func (h *hashes) current() int { return h.p.Load().current }

// make returns the hash of a token under the current pepper.
func (h *hashes) make(t token.Token) stored {
	p := h.p.Load()
	var sum [sha256.Size]byte
	p.sum(p.current, t, &sum)
	return stored{hash: sum[:], pepper: p.current}
}

// fit says whether the hash is the token's under the pepper; 0 stands for any.
func (h *hashes) fit(t token.Token, hash []byte, pepper int) bool {
	p := h.p.Load()
	var sum [sha256.Size]byte
	if pepper != 0 {
		return p.sum(pepper, t, &sum) && subtle.ConstantTimeCompare(sum[:], hash) == 1
	}
	fits := false
	for n := range p.hashers {
		fits = p.sum(n, t, &sum) && subtle.ConstantTimeCompare(sum[:], hash) == 1 || fits
	}
	return fits
}

// sum computes the hash of a token; false if the pepper is not known.
func (p *peppered) sum(pepper int, t token.Token, out *[sha256.Size]byte) bool {
	pool, ok := p.hashers[pepper]
	if !ok {
		return false
	}
	mac, ok := pool.Get().(hash.Hash)
	if !ok {
		return false
	}
	mac.Reset()
	mac.Write(t.Secret().Expose())
	mac.Sum(out[:0])
	pool.Put(mac)
	return true
}
