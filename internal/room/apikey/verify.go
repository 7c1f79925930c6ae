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
	// Key is the record, as far as it is shown; its hashes, ExpiresAt, Root, WarnAt and Revision may
	// be missing, and its last use is the one that was made just now.
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
	var i Identity
	if err := s.IdentifyInto(ctx, by, text, want, &i); err != nil {
		return auth.Caller{}, err
	}
	return i.Caller, nil
}

// Identify is Verify that returns all that is known of the caller: it is answered
// from memory while this server's lease holds (package lease), so that nothing that
// was withdrawn is accepted.
func (s *Service) Identify(ctx context.Context, by auth.Caller, text string, want Type) (Identity, error) {
	var i Identity
	if err := s.IdentifyInto(ctx, by, text, want, &i); err != nil {
		return Identity{}, err
	}
	return i, nil
}

// IdentifyInto is Identify for who has the place already: it is large, and this the
// way of every request. With an error what is in it says nothing.
func (s *Service) IdentifyInto(ctx context.Context, by auth.Caller, text string, want Type, i *Identity) error {
	presented, ok := token.Parse(text)
	if !ok {
		return fault.Unauthenticated()
	}
	now := s.gate.Clock.Now()
	i.Caller = by
	good, known := s.fromMemory(i, &presented, now)
	if !known {
		*i = Identity{Caller: by}
		var err error
		if good, err = s.fromStore(ctx, i, &presented, now); err != nil {
			return err
		}
	}
	if !good {
		return fault.Unauthenticated()
	}
	if !i.Key.Allows(by.IP) {
		f := fault.Unauthenticated()
		return s.refuseUse(ctx, i.Caller, f, "ip_not_allowed")
	}
	if i.Key.Type != want {
		f := fault.Forbidden("wrong_key_type", "This needs an API key of the type "+string(want)+".")
		return s.refuseUse(ctx, i.Caller, f, f.Code)
	}
	if s.c.Cache != nil {
		if wait := s.c.Cache.spend(presented.ID, i, now); wait > 0 {
			return fault.TooMany("rate_limited", "This API key is used too often. Slow down.", wait)
		}
	}
	return nil
}

// fromMemory fills in what is kept of a token; known is false if that must not be
// answered from. The lease is asked after everything else was read.
func (s *Service) fromMemory(i *Identity, t *token.Token, now time.Time) (good, known bool) {
	if s.c.Cache == nil || s.c.Leases == nil {
		return false, false
	}
	var k kept
	if !s.c.Cache.find(t.ID, &k) {
		return false, false
	}
	if good = s.hashes.fit(t, k.hash[:], int(k.pepper)); good {
		k.fill(&i.Key, t.ID)
		i.Place = k.place
		good = i.complete(t.ID, now)
	}
	return good, s.c.Leases.Live()
}

// fromStore asks the database, and keeps what it said.
func (s *Service) fromStore(ctx context.Context, i *Identity, t *token.Token, now time.Time) (bool, error) {
	var epoch uint64
	if s.c.Cache != nil {
		epoch = s.c.Cache.epoch.Load() // before anything is read
	}
	found, tokenID := false, t.ID
	var key Key
	var place Place
	err := s.gate.Store.Read(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		key, place, found, err = tx.FindAPIKeyByTokenID(ctx, tokenID)
		return err
	})
	if err != nil || !found {
		return false, err
	}
	i.Key, i.Place = key, place
	k := &i.Key
	hash, pepper := k.TokenHash, k.Pepper
	if t.ID == k.Retiring.TokenID {
		hash, pepper = k.Retiring.TokenHash, k.Retiring.Pepper
	}
	if !s.hashes.fit(t, hash, pepper) {
		return false, nil
	}
	if s.c.Cache != nil {
		s.c.Cache.put(epoch, t.ID, hash, pepper, *k, i.Place)
		// Only upwards: a server on which a newer pepper is not current yet leaves alone
		// what another one wrote under it.
		if pepper < s.hashes.current() {
			s.c.Cache.rehash(k.Workspace, t.ID, hash, s.hashes.make(*t))
		}
	}
	return i.complete(t.ID, now), nil
}

// complete fills in who comes with the token, and returns false if it is not good at
// now.
func (i *Identity) complete(tokenID string, now time.Time) bool {
	i.Standing = i.Key.Standing(tokenID, now)
	if !i.Standing.Active || i.Place.Suspended {
		return false
	}
	c := &i.Caller
	c.Kind, c.Workspace, c.APIKey, c.Name, c.Token = auth.APIKey, i.Key.Workspace, i.Key.ID, i.Key.Name, tokenID
	i.Key.LastUse = Use{At: now, IP: c.IP, Agent: c.Agent}
	return true
}

// refusalsPerMinute is how many refusals of one key are written in a minute: whoever has
// its token could keep the writer from everybody else.
const refusalsPerMinute = 1200

// refuseUse records that a good token was refused, as often as refusalsPerMinute says.
// Who is not good any more by now leaves no line.
func (s *Service) refuseUse(ctx context.Context, c auth.Caller, f *fault.Error, reason string) error {
	if s.refusals.take(string(c.APIKey), s.gate.Clock.Now()) > 0 {
		return f
	}
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

// hasher computes a hash, in a place of its own.
type hasher struct {
	mac hash.Hash
	sum []byte
}

func (h *hashes) use(p Peppers) {
	next := &peppered{current: p.Current, hashers: map[int]*sync.Pool{}}
	for n, pepper := range p.Known {
		next.hashers[n] = &sync.Pool{New: func() any {
			return &hasher{mac: hmac.New(sha256.New, pepper.Expose()), sum: make([]byte, 0, sha256.Size)}
		}}
	}
	h.p.Store(next)
}

func (h *hashes) current() int { return h.p.Load().current }

// make returns the hash of a token under the current pepper.
func (h *hashes) make(t token.Token) stored {
	p := h.p.Load()
	out := stored{pepper: p.current}
	p.with(p.current, &t, func(sum []byte) { out.hash = append([]byte(nil), sum...) })
	return out
}

// fit says whether the hash is the token's under the pepper; 0 stands for any.
func (h *hashes) fit(t *token.Token, hash []byte, pepper int) bool {
	p := h.p.Load()
	fits := false
	compare := func(sum []byte) { fits = fits || subtle.ConstantTimeCompare(sum, hash) == 1 }
	if pepper != 0 {
		p.with(pepper, t, compare)
		return fits
	}
	for n := range p.hashers {
		p.with(n, t, compare)
	}
	return fits
}

// with calls fn with the hash of a token, which is good until fn returns. If the pepper
// is not known, fn is not called.
func (p *peppered) with(pepper int, t *token.Token, fn func(sum []byte)) {
	pool, ok := p.hashers[pepper]
	if !ok {
		return
	}
	h, ok := pool.Get().(*hasher)
	if !ok {
		return
	}
	h.mac.Reset()
	h.mac.Write(t.Secret().Expose())
	h.sum = h.mac.Sum(h.sum[:0])
	fn(h.sum)
	pool.Put(h)
}
