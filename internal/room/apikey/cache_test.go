package apikey_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/ledger/lease"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// watched is a store of which it is counted how often it is read, and after whose
// reads something may be done before whoever asked hears of them.
type watched struct {
	rerouted
	reads *atomic.Int64
	after *func()
}

func (w watched) Read(ctx context.Context, fn func(ctx context.Context, t apikey.Tx) error) error {
	w.reads.Add(1)
	err := w.rerouted.Read(ctx, fn)
	if do := *w.after; do != nil {
		*w.after = nil
		do()
	}
	return err
}

// memory is a house of which it is known whether it asks the database.
type memory struct {
	house
	reads *atomic.Int64
	after *func()
	held  *atomic.Bool // the lease
	lease *lease.Holder
}

// newMemory returns a house that keeps keys in memory as the only server does, with
// a lease that ends when it is told to.
func newMemory(t testing.TB) memory {
	t.Helper()
	m := memory{reads: &atomic.Int64{}, after: new(func()), held: &atomic.Bool{}}
	m.house = newHouseWith(t, func(d storetest.Database, c *apikey.Config) {
		cache := apikey.NewCache()
		m.lease = lease.New(lease.Config{
			Store: store.For[lease.ReplicaTx](d.Store), Forget: cache.Forget, Start: func() lease.Watch { return told{m.held} },
			Pause: func(context.Context, time.Duration) error { return nil }, Signal: d.Signal,
		})
		d.SettleBy(m.lease.Settle)
		m.held.Store(true)
		if err := m.lease.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Store, c.Cache, c.Leases = watched{rerouted{&d.Store}, m.reads, m.after}, cache, m.lease
	})
	return m
}

// told is a watch that is over when it is told so.
type told struct{ held *atomic.Bool }

func (told) Elapsed() time.Duration      { return 0 }
func (w told) Within(time.Duration) bool { return w.held.Load() }

// asked says how often the database was asked for a token, and whether it is good.
func (m memory) asked(t testing.TB, text string, want apikey.Type) (reads int64, works bool) {
	t.Helper()
	before := m.reads.Load()
	works = m.works(t, text, want)
	return m.reads.Load() - before, works
}

func TestCache_answersFromMemory(t *testing.T) {
	m := newMemory(t)
	k, text := m.issue(t, apikey.NewKey{Name: "Rö", Type: apikey.Admin, Permissions: []string{"users.read"}, ExpiresAt: storetest.Start().Add(day), AllowedIPs: []string{"192.0.2.0/24"}})
	for i, want := range []int64{1, 0, 0} {
		if n, works := m.asked(t, text, apikey.Admin); n != want || !works {
			t.Errorf("use %d: the database was asked %d times and the token works = %v, want %d and true", i, n, works, want)
		}
	}
	cold, err1 := apikey.New(apikey.Config{Store: store.For[apikey.Tx](m.Store), Clock: m.clock, Peppers: peppers(1)}).Identify(t.Context(), nobody(), text, apikey.Admin)
	warm, err2 := m.Identify(t.Context(), nobody(), text, apikey.Admin)
	if diff := cmp.Diff(cold, warm, shownOnly()); err1 != nil || err2 != nil || diff != "" {
		t.Errorf("Identify() from the database and from memory (%v, %v) (-cold +warm):\n%s", err1, err2, diff)
	}
	if _, err := m.Verify(t.Context(), auth.Nobody("2001:db8::1", "", ""), text, apikey.Admin); err == nil {
		t.Error("a token from memory is accepted from an address that is not allowed")
	}
	forged := text[:len(text)-7] + "x"
	if text[len(text)-7] == 'x' {
		forged = text[:len(text)-7] + "y"
	}
	if m.works(t, forged+sum(forged), apikey.Admin) {
		t.Error("a wrong secret is accepted from memory")
	}
	m.clock.Advance(day)
	if n, works := m.asked(t, text, apikey.Admin); works || n != 0 {
		t.Errorf("at its end the token from memory works = %v (%d reads), want it refused by the clock alone", works, n)
	}
	if k.Status(m.clock.Now()) != apikey.Expired {
		t.Error("the key is not expired")
	}
}

// Without a lease every token is looked up.
func TestCache_withoutALease(t *testing.T) {
	m := newMemory(t)
	_, text := m.issue(t, admin())
	m.works(t, text, apikey.Admin)
	m.held.Store(false)
	for range 3 {
		if n, works := m.asked(t, text, apikey.Admin); n != 1 || !works {
			t.Errorf("without a lease the database was asked %d times (works %v), want once for each use", n, works)
		}
	}
	m.held.Store(true)
	if n, _ := m.asked(t, text, apikey.Admin); n != 0 {
		t.Errorf("with the lease back the database was asked %d times, want none", n)
	}
}

// withdrawals are all acts after which a token is refused.
func withdrawals() map[string]func(t *testing.T, m memory, k apikey.Key) error {
	job := func(m memory) auth.Caller { return auth.Job(m.w, "command line") }
	return map[string]func(t *testing.T, m memory, k apikey.Key) error{
		"Disable": func(t *testing.T, m memory, k apikey.Key) error {
			_, _, err := m.Disable(t.Context(), m.by, k.ID, false)
			return err
		},
		"Disable of its maker": func(t *testing.T, m memory, k apikey.Key) error {
			_, _, err := m.Disable(t.Context(), m.by, id.APIKey(k.CreatedBy.ID), true)
			return err
		},
		"Delete": func(t *testing.T, m memory, k apikey.Key) error {
			_, err := m.Delete(t.Context(), m.by, k.ID, false, 0)
			return err
		},
		"Delete of its maker": func(t *testing.T, m memory, k apikey.Key) error {
			_, err := m.Delete(t.Context(), m.by, id.APIKey(k.CreatedBy.ID), true, 0)
			return err
		},
		"Reset": func(t *testing.T, m memory, k apikey.Key) error {
			_, _, err := m.Reset(t.Context(), m.by, k.ID, apikey.Renewal{})
			return err
		},
		"EndOverlap": func(t *testing.T, m memory, k apikey.Key) error {
			m.reset(t, k, apikey.Renewal{Overlap: time.Hour})
			_, err := m.EndOverlap(t.Context(), m.by, k.ID)
			return err
		},
		"Update of the addresses": func(t *testing.T, m memory, k apikey.Key) error {
			ips := []string{"2001:db8::/32"}
			_, err := m.Update(t.Context(), m.by, k.ID, apikey.Change{AllowedIPs: &ips}, 0)
			return err
		},
		"Update of the end": func(t *testing.T, m memory, k apikey.Key) error {
			soon := m.clock.Now().Add(time.Millisecond)
			_, err := m.Update(t.Context(), m.by, k.ID, apikey.Change{ExpiresAt: &soon}, 0)
			m.clock.Advance(time.Millisecond)
			return err
		},
		"a limit": func(t *testing.T, m memory, _ apikey.Key) error {
			m.clock.Advance(2 * day)
			m.limit(t, 1)
			return nil
		},
		"the workspace's suspension": func(t *testing.T, m memory, _ apikey.Key) error {
			_, err := directory.New(store.For[directory.Tx](m.Store), m.clock).SuspendWorkspace(t.Context(), job(m))
			return err
		},
		"the creator's suspension": func(t *testing.T, m memory, k apikey.Key) error {
			_, err := leave.New(store.For[leave.Tx](m.Store), m.clock).Suspend(t.Context(), job(m), k.Root, leave.Options{DisableCreatedAPIKeys: true})
			return err
		},
	}
}

// chained makes a key with a key of an administrator who is not the last owner.
func (m memory) chained(t *testing.T) (apikey.Key, string) {
	t.Helper()
	creator := storetest.Administrator(t, m.Store, m.w, "creator")
	_, maker, err := m.Create(t.Context(), creator, apikey.NewKey{Name: "Maker", Type: apikey.Admin})
	if err != nil {
		t.Fatal(err)
	}
	k, secret, err := m.Create(t.Context(), m.caller(t, maker.Secret().ExposeString()), apikey.NewKey{Name: "Made", Type: apikey.Admin})
	if err != nil {
		t.Fatal(err)
	}
	return k, secret.Secret().ExposeString()
}

// What is kept is refused by the very next use after an act that withdraws it.
func TestCache_withdrawnIsRefused(t *testing.T) {
	for what, withdraw := range withdrawals() {
		m := newMemory(t)
		k, text := m.chained(t)
		_, bystander := m.issue(t, apikey.NewKey{Name: "Bystander", Type: apikey.Clients})
		for _, used := range []string{text, text} {
			if !m.works(t, used, apikey.Admin) {
				t.Fatalf("%s: the token does not work before", what)
			}
		}
		m.works(t, bystander, apikey.Clients)
		if err := withdraw(t, m, k); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if m.works(t, text, apikey.Admin) {
			t.Errorf("after %s the token is accepted", what)
		}
		if what == "a limit" || what == "the workspace's suspension" {
			continue // of all keys
		}
		if n, works := m.asked(t, bystander, apikey.Clients); n != 0 || !works {
			t.Errorf("after %s another key is looked up (%d reads, works %v), want it kept", what, n, works)
		}
	}
}

// A token that is looked up while it is withdrawn is not kept: what was read may be
// from before.
func TestCache_loadRacesWithWithdrawal(t *testing.T) {
	for what, withdraw := range withdrawals() {
		m := newMemory(t)
		k, text := m.chained(t)
		began := false
		*m.after = func() {
			began = true
			if err := withdraw(t, m, k); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, _ = m.Verify(t.Context(), nobody(), text, apikey.Admin) // before or after: both are right
		if !began {
			t.Fatalf("%s was not done while the token was looked up", what)
		}
		if m.works(t, text, apikey.Admin) {
			t.Errorf("a token that was looked up while %s was done is accepted afterwards", what)
		}
	}
}

func TestCache_leakedIsRefused(t *testing.T) {
	m := newMemory(t)
	_, text := m.issue(t, admin())
	m.works(t, text, apikey.Admin)
	m.report(t, text)
	if m.works(t, text, apikey.Admin) {
		t.Error("a leaked token is accepted from memory")
	}
}

// What is given back is accepted at once too, and shown as it is.
func TestCache_givenBack(t *testing.T) {
	m := newMemory(t)
	k, text := m.issue(t, admin())
	m.works(t, text, apikey.Admin)
	_, _, _ = m.Disable(t.Context(), m.by, k.ID, false)
	m.works(t, text, apikey.Admin) // now it is kept that it is disabled
	if n, works := m.asked(t, text, apikey.Admin); n != 0 || works {
		t.Errorf("a disabled key is looked up %d times (works %v), want it refused from memory", n, works)
	}
	if _, err := m.Enable(t.Context(), m.by, k.ID); err != nil || !m.works(t, text, apikey.Admin) {
		t.Errorf("after Enable() (%v) the token is refused", err)
	}
	name := "Renamed"
	if _, err := m.Update(t.Context(), m.by, k.ID, apikey.Change{Name: &name}, 0); err != nil {
		t.Fatal(err)
	}
	if c := m.caller(t, text); c.Name != name {
		t.Errorf("after it was renamed the caller is called %q, want %q", c.Name, name)
	}
}

// shownOnly compares what is shown of an identity: memory keeps no hashes, no last
// use, and of a moment since when only that there is one.
func shownOnly() cmp.Option {
	return cmp.Options{
		cmpopts.IgnoreFields(apikey.Key{}, "ExpiresAt", "Root", "TokenHash", "Pepper", "WarnAt", "LastUse", "Revision", "DisabledAt", "LeakedAt", "AllowedIPs"),
		cmpopts.IgnoreFields(apikey.Retiring{}, "TokenHash", "Pepper"),
		cmpopts.EquateEmpty(),
	}
}

// model is a workspace that is changed at random, seen by a room that keeps keys in
// memory and by one that does not.
type model struct {
	memory
	cold  *apikey.Service
	room  *directory.Service
	by    auth.Caller
	keys  []id.APIKey
	texts []string
	lost  bool
}

// same compares the answers of both rooms for every token.
func (m *model) same(t *testing.T, r *rapid.T, after string) {
	for i, text := range m.texts {
		for _, want := range []apikey.Type{apikey.Admin, apikey.Clients} {
			by := auth.Nobody([]string{"192.0.2.4", "2001:db8::1"}[i%2], "robot/3", "req")
			warm, err := m.Identify(t.Context(), by, text, want)
			cold, coldErr := m.cold.Identify(t.Context(), by, text, want)
			f, _ := fault.As(err)
			coldFault, _ := fault.As(coldErr)
			if (err == nil) != (coldErr == nil) || f != nil && (coldFault == nil || f.Code != coldFault.Code) {
				r.Fatalf("after %s, token %d as %s: %v from memory, %v from the database", after, i, want, err, coldErr)
			}
			leaked, ips := warm.Key.LeakedAt.IsZero(), apikey.AllowedIPsText(warm.Key.AllowedIPs)
			if diff := cmp.Diff(cold, warm, shownOnly()); diff != "" || leaked != cold.Key.LeakedAt.IsZero() || ips != apikey.AllowedIPsText(cold.Key.AllowedIPs) {
				r.Fatalf("after %s, token %d as %s (-database +memory):\n%s", after, i, want, diff)
			}
		}
	}
}

// acts are what may happen. A refusal of an act is an outcome like any other.
func (m *model) acts(t *testing.T, r *rapid.T) map[string]func() {
	one := func() id.APIKey { return rapid.SampledFrom(m.keys).Draw(r, "key") }
	note := func(err error) {
		if _, ok := fault.As(err); err != nil && !ok {
			r.Fatal(err)
		}
	}
	issue := func(by auth.Caller) {
		n := apikey.NewKey{Name: fmt.Sprint("Key ", len(m.keys)), Type: rapid.SampledFrom([]apikey.Type{apikey.Admin, apikey.Admin, apikey.Clients}).Draw(r, "type")}
		if rapid.Bool().Draw(r, "ends") {
			n.ExpiresAt = m.clock.Now().Add(time.Duration(rapid.IntRange(1, 72).Draw(r, "hours")) * time.Hour)
		}
		k, secret, err := m.Create(t.Context(), by, n)
		if note(err); err == nil {
			m.keys, m.texts = append(m.keys, k.ID), append(m.texts, secret.Secret().ExposeString())
		}
	}
	return map[string]func(){
		"issue": func() { issue(m.by) },
		"issue with a key": func() {
			c, err := m.Verify(t.Context(), nobody(), rapid.SampledFrom(m.texts).Draw(r, "token"), apikey.Admin)
			if err == nil {
				issue(c)
			}
		},
		"disable": func() {
			_, _, err := m.Disable(t.Context(), m.by, one(), rapid.Bool().Draw(r, "descendants"))
			note(err)
		},
		"enable": func() { _, err := m.Enable(t.Context(), m.by, one()); note(err) },
		"delete": func() {
			_, err := m.Delete(t.Context(), m.by, one(), rapid.Bool().Draw(r, "descendants"), 0)
			note(err)
		},
		"reset": func() {
			_, secret, err := m.Reset(t.Context(), m.by, one(), apikey.Renewal{Overlap: time.Duration(rapid.IntRange(0, 24).Draw(r, "overlap")) * time.Hour})
			if note(err); err == nil {
				m.texts = append(m.texts, secret.Secret().ExposeString())
			}
		},
		"end overlap": func() { _, err := m.EndOverlap(t.Context(), m.by, one()); note(err) },
		"rename and bind": func() {
			name, ips := fmt.Sprint("Renamed ", rapid.IntRange(0, 99).Draw(r, "name")), rapid.SampledFrom([][]string{nil, {"192.0.2.0/24"}, {"::/0"}}).Draw(r, "ips")
			_, err := m.Update(t.Context(), m.by, one(), apikey.Change{Name: &name, AllowedIPs: &ips}, 0)
			note(err)
		},
		"report": func() { note(m.ReportLeaked(t.Context(), finder(), rapid.SampledFrom(m.texts).Draw(r, "token"))) },
		"limit": func() {
			days, name := rapid.IntRange(0, 3).Draw(r, "days"), fmt.Sprint("Harbour ", rapid.IntRange(0, 9).Draw(r, "workspace"))
			_, err := m.room.UpdateWorkspace(t.Context(), m.by, directory.Settings{APIKeyMaxDays: &days, Name: &name}, 0)
			note(err)
		},
		"suspend":  func() { _, err := m.room.SuspendWorkspace(t.Context(), m.by); note(err) },
		"activate": func() { _, err := m.room.ActivateWorkspace(t.Context(), m.by); note(err) },
		"clock":    func() { m.clock.Advance(time.Duration(rapid.IntRange(1, 40).Draw(r, "hours")) * time.Hour) },
		"lose the lease": func() {
			m.held.Store(false)
			m.lost = true
		},
		"win the lease": func() {
			m.held.Store(true)
			if err := m.lease.Renew(t.Context()); err != nil {
				r.Fatal(err)
			}
			m.lost = false
		},
		"leave": func() {
			if err := m.lease.Leave(t.Context()); err != nil {
				r.Fatal(err)
			}
			m.lost = true
		},
		"new peppers": func() {
			n := rapid.IntRange(1, 3).Draw(r, "pepper")
			p := peppers(1, 2, 3)
			p.Current = n
			note(m.Repepper(t.Context(), server(), p))
		},
		"flush": func() { note(m.FlushUsage(t.Context(), server())) },
	}
}

// Whatever is done in whatever order: a room that keeps keys in memory answers as
// one that asks the database each time.
func TestCache_anySequence(t *testing.T) {
	shared, most := newMemory(t), 25
	if testing.Short() {
		most = 8
	}
	rapid.Check(t, func(r *rapid.T) {
		m := &model{memory: shared}
		m.held.Store(true)
		if err := m.lease.Renew(t.Context()); err != nil {
			r.Fatal(err)
		}
		m.w = storetest.Workspace(t, m.Store)
		m.by = auth.Job(m.w, "command line")
		m.cold = apikey.New(apikey.Config{Store: store.For[apikey.Tx](m.Store), Clock: m.clock, Peppers: peppers(1, 2, 3)})
		if err := m.Repepper(t.Context(), server(), peppers(1, 2, 3)); err != nil {
			r.Fatal(err)
		}
		m.room = directory.New(store.For[directory.Tx](m.Store), m.clock)
		acts := m.acts(t, r)
		acts["issue"]()
		names := slices.Sorted(maps.Keys(acts))
		for range rapid.IntRange(1, most).Draw(r, "steps") {
			name := rapid.SampledFrom(names).Draw(r, "act")
			acts[name]()
			m.same(t, r, name)
		}
	})
}

// However many look a token up at once, it is refused once Disable has returned.
func TestCache_manyAtOnce(t *testing.T) {
	m := newMemory(t)
	k, text := m.issue(t, apikey.NewKey{Name: "C", Type: apikey.Clients})
	over := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					_, _ = m.Verify(t.Context(), nobody(), text, apikey.Clients) // either answer is right while it changes
				}
			}
		})
	}
	rounds := 200
	if testing.Short() {
		rounds = 40
	}
	for range rounds {
		if _, _, err := m.Disable(t.Context(), m.by, k.ID, false); err != nil {
			t.Fatal(err)
		}
		if m.works(t, text, apikey.Clients) {
			t.Error("a token is accepted after Disable() returned")
		}
		if _, err := m.Enable(t.Context(), m.by, k.ID); err != nil {
			t.Fatal(err)
		}
	}
	close(over)
	all.Wait()
}
