package apikey

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
)

// UsageInterval is how often what was used is written (see FlushSome).
const UsageInterval = 30 * time.Second

// UsageDays is for how many days the usage of a key is kept.
const UsageDays = 90

// UsageTx is the storage of how keys are used.
type UsageTx interface {
	// AddAPIKeyUses writes uses of keys: the last one of each, and the day's number.
	// Each pair of key and day comes once.
	AddAPIKeyUses(ctx context.Context, uses []Used) error
	// RehashToken replaces a token's hash, if it is still the old one.
	RehashToken(ctx context.Context, w id.Workspace, tokenID string, old, hash []byte, pepper int) error
	// ListAPIKeyUsage lists the days from first on, oldest first, without those on
	// which the key was not used.
	ListAPIKeyUsage(ctx context.Context, w id.Workspace, k id.APIKey, first int64) ([]DayUsage, error)
	// TrimAPIKeyUsage removes what is kept of days before first, and of keys that were
	// deleted before gone: at most limit rows of the former, and that many keys.
	TrimAPIKeyUsage(ctx context.Context, first int64, gone time.Time, limit int) error
	// CountHashes counts the tokens, and the retiring ones that are good at now, whose
	// hash is under another pepper than these.
	CountHashes(ctx context.Context, except []int, now time.Time) (int64, error)
}

// Used is how a key was used on one day since the last flush.
type Used struct {
	Workspace id.Workspace
	Key       id.APIKey
	Day       int64 // of UTC, counted from 1970-01-01
	N         int64
	Last      Use
}

// DayUsage is how often a key was used on a day of UTC.
type DayUsage struct {
	Day time.Time // its beginning
	N   int64
}

// from is where a key was used from.
type from struct{ ip, agent string }

// agentMost bounds a program's name, in bytes.
const agentMost = 400

const dayMillis = 24 * 60 * 60 * 1000

// rehashed is a token whose hash is to be written under the current pepper.
type rehashed struct {
	workspace id.Workspace
	old       []byte
	next      stored
}

func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// fromNumber returns the number of where a key was used from. The shard is locked.
func (s *shard) fromNumber(ip, agent string) uint32 {
	f := from{ip, cut(agent, agentMost)}
	if n := len(s.froms) - 1; n >= 0 && s.froms[n] == f { // the same as the last one
		return uint32(n)
	}
	return number(&s.froms, s.fromOf, f, f)
}

// loosen takes what was used of an entry off it, to be written by itself. The shard is
// locked.
func (s *shard) loosen(t *shared, e *entry) {
	if e.used == 0 {
		return
	}
	t.mu.RLock()
	w := t.places[e.place].ID
	t.mu.RUnlock()
	f := s.froms[e.from]
	s.loose = append(s.loose, Used{
		Workspace: w, Key: idOf[id.KindAPIKey](e.uuid), Day: e.usedAt / dayMillis, N: int64(e.used), Last: Use{At: at(e.usedAt), IP: f.ip, Agent: f.agent},
	})
	e.used = 0
}

func (c *Cache) rehash(w id.Workspace, tokenID string, old []byte, next stored) {
	l := labelOf(tokenID)
	s := c.shardOf(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.again[l] = rehashed{workspace: w, old: old, next: next}
}

// takeUses returns what is to be written of one shard, and gives it up.
func (s *shard) takeUses(t *shared) ([]Used, map[label]rehashed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.dirty {
		s.loosen(t, s.at(i))
	}
	uses, again := s.loose, s.again
	s.dirty, s.loose, s.again = s.dirty[:0], nil, map[label]rehashed{}
	s.froms, s.fromOf = nil, map[from]uint32{}
	return uses, again
}

// giveBack keeps again what could not be written.
func (c *Cache) giveBack(uses []Used, hashes []pendingHash) {
	s := &c.shards[0] // any of them will do
	s.mu.Lock()
	s.loose = append(s.loose, uses...)
	s.mu.Unlock()
	for _, p := range hashes {
		s := c.shardOf(p.token)
		s.mu.Lock()
		if _, ok := s.again[p.token]; !ok { // what came meanwhile is newer
			s.again[p.token] = p.rehashed
		}
		s.mu.Unlock()
	}
}

// usesBatch is how many keys' uses one transaction writes.
const usesBatch = 2000

// FlushUsage writes what was used since the last time, and hashes that are to be
// under the current pepper. What could not be written is kept for the next time. Only
// the system's own jobs may call it.
func (s *Service) FlushUsage(ctx context.Context, by auth.Caller) error {
	if by.Kind != auth.System {
		return systemOnly()
	}
	if s.c.Cache == nil {
		return nil
	}
	for first := 0; first < shardCount; first += flushGroup {
		if _, err := s.flushShards(ctx, s.c.Cache.shards[first:first+flushGroup]); err != nil {
			return err
		}
	}
	return nil
}

// flushMost is about how many keys' uses FlushSome writes.
const flushMost = 10_000

// FlushSome is FlushUsage that stops after some 10,000 keys and goes on there the next
// time: where more keys than that are in use within UsageInterval, their uses are
// written later, instead of taking the time of requests. Only the system's own jobs may
// call it, one at a time.
func (s *Service) FlushSome(ctx context.Context, by auth.Caller) error {
	if by.Kind != auth.System {
		return systemOnly()
	}
	if s.c.Cache == nil {
		return nil
	}
	for n, shards := 0, 0; n < flushMost && shards < shardCount; shards++ {
		next := int(s.flushed.Add(1)-1) % shardCount
		written, err := s.flushShards(ctx, s.c.Cache.shards[next:next+1])
		if err != nil {
			return err
		}
		n += written
	}
	return nil
}

// flushGroup is how many shards are written together: more hold more in memory, fewer
// write what lies side by side more often.
const flushGroup = 8

// flushShards writes what was used of some shards, and returns of how many keys.
func (s *Service) flushShards(ctx context.Context, shards []shard) (int, error) {
	var uses []Used
	var hashes []pendingHash
	for i := range shards {
		used, again := shards[i].takeUses(&s.c.Cache.shared)
		uses = append(uses, used...)
		for l, r := range again {
			hashes = append(hashes, pendingHash{token: l, rehashed: r})
		}
	}
	uses = merged(uses)
	written := len(uses)
	uses, err := flush(ctx, s, uses, usesBatch, func(ctx context.Context, t Tx, batch []Used) error { return t.AddAPIKeyUses(ctx, batch) })
	if err == nil {
		// One at a time: who is held up in the middle holds the row of one key, whose
		// withdrawal waits for that, and not of hundreds.
		hashes, err = flush(ctx, s, hashes, 1, func(ctx context.Context, t Tx, one []pendingHash) error {
			return t.RehashToken(ctx, one[0].workspace, string(one[0].token[:]), one[0].old, one[0].next.hash, one[0].next.pepper)
		})
	}
	s.c.Cache.giveBack(uses, hashes)
	return written - len(uses), err
}

// flush writes all in transactions of so many at the most, and returns what is left
// after the first that failed.
func flush[T any](ctx context.Context, s *Service, all []T, most int, write func(ctx context.Context, t Tx, batch []T) error) ([]T, error) {
	for len(all) > 0 {
		batch := all[:min(most, len(all))]
		err := s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) { return nil, write(ctx, t, batch) })
		if err != nil {
			return all, err
		}
		all = all[len(batch):]
	}
	return nil, nil
}

// pendingHash is a hash that is to be written under the current pepper.
type pendingHash struct {
	token label
	rehashed
}

// merged returns the uses in the order of key and day, each pair once: what lies side
// by side is written together, and by all servers in one order.
func merged(all []Used) []Used {
	slices.SortFunc(all, func(a, b Used) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Day, b.Day))
	})
	out := all[:0]
	for _, u := range all {
		last := len(out) - 1
		if last < 0 || out[last].Key != u.Key || out[last].Day != u.Day {
			out = append(out, u)
			continue
		}
		n := out[last].N + u.N
		if u.Last.At.After(out[last].Last.At) {
			out[last] = u
		}
		out[last].N = n
	}
	return out
}

// Usage returns how often a key was used in the last UsageDays days, today included,
// oldest first, each day once. The caller needs api_keys.read.
func (s *Service) Usage(ctx context.Context, by auth.Caller, key id.APIKey) ([]DayUsage, error) {
	var out []DayUsage
	today := dayOf(s.gate.Clock.Now())
	err := s.look(ctx, by, "api_key.usage", key, func(ctx context.Context, t Tx, k Key) error {
		first := today - UsageDays + 1
		used, err := t.ListAPIKeyUsage(ctx, k.Workspace, k.ID, first)
		if err != nil {
			return err
		}
		out = make([]DayUsage, UsageDays)
		for i := range out {
			out[i].Day = time.Unix((first+int64(i))*24*60*60, 0).UTC()
		}
		for _, u := range used {
			if i := dayOf(u.Day) - first; i >= 0 && i < UsageDays {
				out[i].N = u.N
			}
		}
		return nil
	})
	return out, err
}

func systemOnly() *fault.Error {
	return fault.Forbidden("system_only", "This is a job of the server itself.")
}

// Sweep removes what is kept of usage no longer. Only the system's own jobs may call
// it; it does a bounded part and is called again and again.
func (s *Service) Sweep(ctx context.Context, by auth.Caller) error {
	if by.Kind != auth.System {
		return systemOnly()
	}
	return s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.gate.Clock.Now()
		return nil, t.TrimAPIKeyUsage(ctx, dayOf(now)-UsageDays+1, now.Add(-4*UsageInterval), 1000)
	})
}

// Repepper makes the room compute new hashes under other peppers; old ones are
// replaced as their tokens are used. Only the system's own jobs may call it.
func (s *Service) Repepper(_ context.Context, by auth.Caller, p Peppers) error {
	if by.Kind != auth.System {
		return systemOnly()
	}
	s.hashes.use(p)
	if s.c.Cache != nil {
		s.c.Cache.Forget(true, nil) // so that tokens are read, and hashed anew, as they are used
	}
	return nil
}

// CountStale counts the tokens, retiring ones that are still good among them, whose
// hashes are under other peppers than these. Hashes of which nobody knows the pepper
// are counted. Only the system's own jobs may call it.
func (s *Service) CountStale(ctx context.Context, by auth.Caller, except []int) (int64, error) {
	if by.Kind != auth.System {
		return 0, systemOnly()
	}
	var n int64
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		n, err = t.CountHashes(ctx, except, s.gate.Clock.Now())
		return err
	})
	return n, err
}
