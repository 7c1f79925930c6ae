package apikey

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/lease"
)

// Cache keeps the keys that were used in memory, a million of them in some 200 MB,
// with what they may still spend and how often they were used since the last flush.
// It knows nothing of whether it may be answered from: that is the lease's. It is
// safe for use by several goroutines. Use NewCache.
type Cache struct {
	// epoch counts what was forgotten: what was read from the database before that
	// is not kept after it.
	epoch  atomic.Uint64
	shards [shardCount]shard
	shared shared

	rate rate // of each key
}

const (
	shardCount = 64
	chunkSize  = 256     // entries that are made at once
	textSize   = 1 << 14 // bytes of names that are made at once
	// shardMost bounds a shard: past it, it begins anew. Two million keys in all.
	shardMost = 32768
	// textWaste is how many bytes of names may lie unused before a shard begins anew.
	textWaste = 1 << 20
)

// label is the public id of a token, as a key of maps that hold no pointers.
type label [12]byte

// entry is a token as it is kept. It holds no pointer, so that the garbage collector
// has nothing to look for among a million of them.
type entry struct {
	hash     [32]byte
	uuid     [16]byte // of the key's id
	created  int64    // Unix milliseconds, as all moments here
	issued   int64
	ends     int64
	spent    int64 // Unix nanoseconds up to which the rate is spent
	usedAt   int64
	used     uint32 // since the last flush, on the day of usedAt
	from     uint32 // the number of the address and the program
	place    uint32
	age      uint32 // of the place, when the entry was made
	creator  uint32
	ips      uint32
	grants   uint32 // the number of the permissions
	name     uint32 // where it begins among the shard's texts
	nameLen  uint16
	pepper   uint16
	kind     uint8
	disabled bool
	leaked   bool
	overlaps bool // the shard has more of it
}

// kept is an entry with what it refers to.
type kept struct {
	entry
	title        string
	creatorParty activity.Party
	place        Place
	allowed      []netip.Prefix
	more         overlap
	granted      auth.Permissions
}

// overlap is what is kept besides of a key that has a retiring token.
type overlap struct {
	token    string // of the key
	retiring Retiring
}

type shard struct {
	mu     sync.Mutex
	index  map[label]uint32    // guarded by mu
	chunks []*[chunkSize]entry // guarded by mu
	free   []uint32            // guarded by mu
	next   uint32              // guarded by mu: the first entry that was never used
	texts  [][]byte            // guarded by mu
	waste  int                 // guarded by mu
	dirty  []uint32            // guarded by mu: entries with uses, each once or more
	froms  []from              // guarded by mu: since the last flush
	fromOf map[from]uint32     // guarded by mu
	loose  []Used              // guarded by mu: uses of entries that are gone, or of yesterday
	again  map[label]rehashed  // guarded by mu
	more   map[label]overlap   // guarded by mu
}

// shared is what many entries refer to by number.
type shared struct {
	mu      sync.RWMutex
	places  []keptPlace               // guarded by mu
	placeOf map[id.Workspace]uint32   // guarded by mu
	parties []activity.Party          // guarded by mu
	partyOf map[activity.Party]uint32 // guarded by mu
	ips     [][]netip.Prefix          // guarded by mu
	ipsOf   map[string]uint32         // guarded by mu
	granted []auth.Permissions        // guarded by mu; each is read-only
	grantOf map[string]uint32         // guarded by mu
}

type keptPlace struct {
	Place
	age uint32 // counts what was forgotten of it
}

// NewCache returns an empty cache.
func NewCache() *Cache {
	c := &Cache{shared: shared{placeOf: map[id.Workspace]uint32{}, partyOf: map[activity.Party]uint32{}, ipsOf: map[string]uint32{}, grantOf: map[string]uint32{}}}
	for i := range c.shards {
		c.shards[i].reset(nil)
		c.shards[i].again, c.shards[i].fromOf = map[label]rehashed{}, map[from]uint32{}
	}
	return c
}

func labelOf(tokenID string) (l label) {
	copy(l[:], tokenID)
	return l
}

func (c *Cache) shardOf(l label) *shard {
	// The id is random: its last characters spread as well as a hash.
	return &c.shards[(uint(l[11])*62+uint(l[10]))%shardCount]
}

// reset drops all entries; what was used of them stays.
func (s *shard) reset(t *shared) {
	for _, i := range s.dirty {
		s.loosen(t, s.at(i))
	}
	s.dirty = nil
	s.index, s.chunks, s.free, s.next, s.texts, s.waste = map[label]uint32{}, nil, nil, 0, nil, 0
	s.more = map[label]overlap{}
}

func (s *shard) at(i uint32) *entry { return &s.chunks[i/chunkSize][i%chunkSize] }

// find fills in what is kept of a token, and returns false if nothing is.
func (c *Cache) find(tokenID string, k *kept) bool {
	l := labelOf(tokenID)
	s := c.shardOf(l)
	s.mu.Lock()
	i, ok := s.index[l]
	if !ok {
		s.mu.Unlock()
		return false
	}
	k.entry = *s.at(i)
	k.title = s.text(k.name, k.nameLen)
	if k.overlaps {
		k.more = s.more[l]
	}
	s.mu.Unlock()

	c.shared.mu.RLock()
	defer c.shared.mu.RUnlock()
	p := &c.shared.places[k.entry.place]
	if p.age != k.age {
		return false
	}
	k.place, k.creatorParty, k.allowed = p.Place, c.shared.parties[k.creator], c.shared.ips[k.ips]
	k.granted = c.shared.granted[k.grants]
	return true
}

// fill fills in the record, as far as it is kept; tokenID is that of the entry.
func (k *kept) fill(out *Key, tokenID string) {
	out.TokenID = tokenID
	if k.overlaps {
		out.TokenID, out.Retiring = k.more.token, k.more.retiring
	}
	out.ID, out.Workspace, out.Name, out.Type = idOf[id.KindAPIKey](k.uuid), k.place.ID, k.title, typeOf(k.kind)
	out.Permissions, out.AllowedIPs, out.CreatedBy = k.granted, k.allowed, k.creatorParty
	out.CreatedAt, out.IssuedAt, out.EndsAt = at(k.created), at(k.issued), at(k.ends)
	if k.disabled {
		out.DisabledAt = out.CreatedAt // since when is not kept: only that it is
	}
	if k.leaked {
		out.LeakedAt = out.CreatedAt
	}
}

func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func idOf[K id.Kind](raw [16]byte) id.ID[K] {
	v, _ := id.FromBytes[K](raw[:]) // sixteen bytes always are one
	return v
}

func typeOf(n uint8) Type { return Types()[n] }

func kindOf(t Type) uint8 {
	for i, u := range Types() {
		if t == u {
			return uint8(i)
		}
	}
	return 0
}

// put keeps what was read of a token, unless something was forgotten since epoch.
func (c *Cache) put(epoch uint64, tokenID string, hash []byte, pepper int, k Key, p Place) {
	if len(hash) != 32 || len(k.Name) > 1<<16-1 {
		return
	}
	e := entry{
		created: k.CreatedAt.UnixMilli(), issued: k.IssuedAt.UnixMilli(), ends: k.EndsAt.UnixMilli(),
		pepper: uint16(pepper), kind: kindOf(k.Type), disabled: !k.DisabledAt.IsZero(), leaked: !k.LeakedAt.IsZero(), overlaps: k.Retiring.TokenID != "",
	}
	copy(e.hash[:], hash)
	copy(e.uuid[:], k.ID.Bytes())
	if !c.refer(epoch, &e, k, p) {
		return
	}
	l := labelOf(tokenID)
	s := c.shardOf(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.epoch.Load() != epoch {
		return
	}
	if i, ok := s.index[l]; ok {
		e.spent = s.at(i).spent
		s.drop(&c.shared, l)
	}
	if len(s.index) >= shardMost || s.waste > textWaste {
		s.reset(&c.shared)
	}
	e.name, e.nameLen = s.keepText(k.Name)
	if e.overlaps {
		s.more[l] = overlap{token: k.TokenID, retiring: Retiring{TokenID: k.Retiring.TokenID, EndsAt: k.Retiring.EndsAt}}
	}
	s.insert(l, e)
}

// refer notes what the entry shares with others.
func (c *Cache) refer(epoch uint64, e *entry, k Key, p Place) bool {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	if c.epoch.Load() != epoch {
		return false
	}
	t := &c.shared
	n, ok := t.placeOf[p.ID]
	if !ok {
		n = uint32(len(t.places))
		t.places = append(t.places, keptPlace{})
		t.placeOf[p.ID] = n
	}
	t.places[n].Place = p
	e.place, e.age = n, t.places[n].age
	e.creator = number(&t.parties, t.partyOf, k.CreatedBy, k.CreatedBy)
	e.grants = number(&t.granted, t.grantOf, k.Permissions.Text(), k.Permissions)
	e.ips = number(&t.ips, t.ipsOf, AllowedIPsText(k.AllowedIPs), k.AllowedIPs)
	return true
}

// number returns the number of a value in a table, new or known.
func number[K comparable, V any](table *[]V, numbers map[K]uint32, name K, v V) uint32 {
	n, ok := numbers[name]
	if !ok {
		n = uint32(len(*table))
		*table = append(*table, v)
		numbers[name] = n
	}
	return n
}

func (s *shard) insert(l label, e entry) {
	i := s.next
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		if i%chunkSize == 0 {
			s.chunks = append(s.chunks, new([chunkSize]entry))
		}
		s.next++
	}
	*s.at(i) = e
	s.index[l] = i
}

func (s *shard) drop(t *shared, l label) {
	if i, ok := s.index[l]; ok {
		s.loosen(t, s.at(i))
		s.waste += int(s.at(i).nameLen)
		s.free = append(s.free, i)
		delete(s.index, l)
		delete(s.more, l)
	}
}

// keepText stores a name and returns where it is.
func (s *shard) keepText(t string) (where uint32, n uint16) {
	last := len(s.texts) - 1
	if last < 0 || len(s.texts[last])+len(t) > textSize {
		s.texts = append(s.texts, make([]byte, 0, max(textSize, len(t))))
		last++
	}
	where = uint32(last*textSize + len(s.texts[last]))
	s.texts[last] = append(s.texts[last], t...)
	return where, uint16(len(t))
}

func (s *shard) text(where uint32, n uint16) string {
	if n == 0 {
		return ""
	}
	from := where % textSize
	return string(s.texts[where/textSize][from : from+uint32(n)])
}

// Forget drops what depends on the subjects (package lease), or everything. What
// was used and not yet written stays.
func (c *Cache) Forget(everything bool, subjects []string) {
	c.epoch.Add(1)
	if everything {
		for i := range c.shards {
			s := &c.shards[i]
			s.mu.Lock()
			s.reset(&c.shared)
			s.mu.Unlock()
		}
		c.shared.mu.Lock()
		for i := range c.shared.places {
			c.shared.places[i].age++
		}
		c.shared.mu.Unlock()
		return
	}
	for _, subject := range subjects {
		if tokenID, ok := strings.CutPrefix(subject, lease.Token("")); ok {
			l := labelOf(tokenID)
			s := c.shardOf(l)
			s.mu.Lock()
			s.drop(&c.shared, l)
			s.mu.Unlock()
		}
		if w, ok := strings.CutPrefix(subject, lease.Workspace("")); ok {
			c.shared.mu.Lock()
			if n, ok := c.shared.placeOf[id.Workspace(w)]; ok {
				c.shared.places[n].age++
			}
			c.shared.mu.Unlock()
		}
	}
}

// spend counts a use of the token and takes it from what the key may spend. It
// returns how long to wait if that is nothing: then it is not counted.
func (c *Cache) spend(tokenID string, i *Identity, now time.Time) time.Duration {
	l := labelOf(tokenID)
	s := c.shardOf(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.index[l]
	if !ok { // it was forgotten just now
		s.loose = append(s.loose, Used{
			Workspace: i.Place.ID, Key: i.Key.ID, Day: dayOf(now), N: 1, Last: Use{At: now, IP: i.Caller.IP, Agent: cut(i.Caller.Agent, agentMost)},
		})
		return 0
	}
	e := s.at(n)
	if wait := c.rate.take(&e.spent, now); wait > 0 {
		return wait
	}
	if e.used > 0 && e.usedAt/dayMillis != now.UnixMilli()/dayMillis {
		s.loosen(&c.shared, e)
	}
	if e.used == 0 {
		s.dirty = append(s.dirty, n)
	}
	e.used++
	e.usedAt, e.from = now.UnixMilli(), s.fromNumber(i.Caller.IP, i.Caller.Agent)
	return 0
}
