package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store"
)

func smartlockCases() []testCase {
	return []testCase{
		{name: "a lock comes back as it went", run: lockAsItWent},
		{name: "locks are filtered, counted and paged", run: filterLocks},
		{name: "a deleted lock leaves its events and nothing else", run: deletedLock},
		{name: "a certificate stands as long as it is good", run: lockStandings},
		{name: "what a lock should hold is told whole and by changes", run: lockGrants},
		{name: "a confirmed removal frees its PIN", run: confirmedRemoval},
		{name: "locks whose lease ends are found once each", run: leaseEnding, alone: true},
		{name: "old grants and commands are forgotten in pieces", run: prunedGrants, alone: true},
		{name: "an event is kept once", run: lockEventOnce},
		{name: "an event's hash is found", run: lockEventHash},
		{name: "events are filtered and paged", run: filterLockEvents},
		{name: "who is told of doors", run: lockWatchers},
		{name: "of two who enrol with one token one wins", run: enrolTwice},
		{name: "no lease is extended while a change waits", run: leaseAgainstChange},
		{name: "two links deliver one record once", run: deliverTwice},
		{name: "of two results of a command the first counts", run: resultTwice},
	}
}

// newLock returns a lock that is not written yet.
func newLock(w id.Workspace, name string) smartlock.Lock {
	return smartlock.Lock{
		ID: id.New[id.KindLock](Start()), Workspace: w, Name: name, Place: "Pier 4", Timezone: "Europe/Berlin", Capabilities: smartlock.Capabilities(),
		OpenSeconds: 5, LeaseSeconds: 86400, CreatedAt: Start(), Revision: 1, Pulse: Start(), SecretSealed: []byte("sealed"), State: smartlock.State{Battery: -1},
	}
}

// enrolledLock returns one with a controller that is online and knows all.
func enrolledLock(w id.Workspace, name string) smartlock.Lock {
	l := newLock(w, name)
	l.Controller = smartlock.Controller{
		EnrolledAt: Start(), Era: 2, Serial: "serial-" + string(l.ID), NextSerial: "next-" + string(l.ID), CertificateEnds: Start().Add(time.Hour), PublicKey: []byte("public"), Software: "test/1",
		Clock: grant.Trusted, TokenDigest: []byte("digest"), TokenExpiresAt: Start().Add(time.Minute), EventThrough: 7, EventHash: []byte("hash"), LeaseWarnedHours: 4,
	}
	l.Sync = smartlock.Sync{Epoch: 3, Version: 4, AppliedEpoch: 3, AppliedVersion: 4, LeaseUntil: Start().Add(6 * time.Hour).Truncate(time.Second)}
	l.State = smartlock.State{Bolt: "locked", Door: "open", Battery: 15, Link: "link", OnlineUntil: Start().Add(time.Minute), LastSeenAt: Start()}
	return l
}

func insertLocks(t *testing.T, d Database, locks ...smartlock.Lock) {
	t.Helper()
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, l := range locks {
			if err := tx.InsertLock(ctx, l); err != nil {
				return err
			}
		}
		return nil
	})
}

func findLock(t *testing.T, d Database, w id.Workspace, l id.Lock) (out smartlock.Lock, found bool) {
	t.Helper()
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		out, found, err = tx.FindLock(ctx, w, l)
		return err
	})
	return out, found
}

func lockAsItWent(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	for _, l := range []smartlock.Lock{newLock(w, "Attic"), enrolledLock(w, "Front door")} {
		insertLocks(t, d, l)
		got, found := findLock(t, d, w, l.ID)
		if !reflect.DeepEqual(l, got) || !found {
			t.Errorf("the lock comes back as %+v, want %+v", got, l)
		}
		if _, found := findLock(t, d, other, l.ID); found {
			t.Error("another workspace finds the lock")
		}
		l.Name, l.Place, l.Capabilities, l.OpenSeconds, l.LeaseSeconds, l.Revision = "Gate", "", []smartlock.Capability{smartlock.PIN}, 9, 60, 2
		l.Controller.Serial, l.Sync.Version, l.State.Door = "other", 9, "closed"
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			if _, found, err := tx.LockLock(ctx, w, l.ID); err != nil || !found {
				t.Errorf("LockLock() = %v (%v)", found, err)
			}
			if err := tx.UpdateLock(ctx, l, Start().Add(time.Second)); err != nil {
				return err
			}
			return tx.UpdateLockLink(ctx, l, time.Time{})
		})
		l.Pulse = Start().Add(time.Second)
		got, _ = findLock(t, d, w, l.ID)
		if !reflect.DeepEqual(l, got) {
			t.Errorf("the changed lock comes back as %+v, want %+v", got, l)
		}
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			version, err := tx.BumpLock(ctx, w, l.ID, Start())
			if version != 10 {
				t.Errorf("BumpLock() = %d, want 10", version)
			}
			return err
		})
		if got, _ = findLock(t, d, w, l.ID); !got.Pulse.After(l.Pulse) {
			t.Error("the pulse stands still in one moment")
		}
	}
}

func filterLocks(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	for i := range 5 {
		l := newLock(w, fmt.Sprintf("Door %d", i))
		if i > 0 {
			l = enrolledLock(w, l.Name)
		}
		if i > 1 {
			l.State.Battery, l.State.Door = 90, "closed"
		}
		if i > 2 {
			l.State.OnlineUntil = Start()
		}
		insertLocks(t, d, l)
	}
	list := func(q smartlock.Query) (names []string, total int) {
		q.Now, q.Page.Limit, q.Page.WithTotal = Start(), 2, true
		for {
			var p page.Page[smartlock.Lock]
			Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
				p, err = tx.ListLocks(ctx, w, q)
				return err
			})
			for _, l := range p.Items {
				names = append(names, l.Name[5:])
			}
			if q.Page.After = p.Next; p.Next.IsZero() {
				return names, p.Total
			}
		}
	}
	yes, no := true, false
	for name, c := range map[string]struct {
		q    smartlock.Query
		want []string
	}{
		"all": {smartlock.Query{}, []string{"0", "1", "2", "3", "4"}}, "online": {smartlock.Query{Online: &yes}, []string{"1", "2"}},
		"offline": {smartlock.Query{Online: &no}, []string{"0", "3", "4"}}, "problem": {smartlock.Query{Problem: true}, []string{"0", "1", "3", "4"}},
		"words": {smartlock.Query{Words: []string{"door", "3"}}, []string{"3"}},
	} {
		if got, total := list(c.q); !slices.Equal(got, c.want) || total != len(c.want) {
			t.Errorf("%s: %v of %d, want %v", name, got, total, c.want)
		}
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.CountLocks(ctx, w, Start())
		if want := (smartlock.Counts{Total: 5, Online: 2, Offline: 2, Open: 1, LowBattery: 1, NotEnrolled: 1}); n != want {
			t.Errorf("CountLocks() = %+v, want %+v", n, want)
		}
		return err
	})
}

func deletedLock(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada, l, other := User(t, d.Store, w, "ada"), enrolledLock(w, "Front door"), enrolledLock(w, "Back door")
	insertLocks(t, d, l, other)
	for _, some := range []smartlock.Lock{l, other} {
		k := LockKey(t, d, ada, some.ID, Start(), Start().Add(time.Hour))
		PutLockGrant(t, d, w, some.ID, k, Start(), Start().Add(time.Hour))
		lockTag(t, d, w, some.ID, k, Start().Add(time.Hour))
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.InsertLockEvent(ctx, lockEvent(some, 1)); err != nil {
				return err
			}
			return tx.InsertLockCommand(ctx, lockCommand(some))
		})
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteLock(ctx, w, l.ID) })
	for table, want := range map[string]int{"smartlock_event": 1, "smartlock_grant": 0, "smartlock_command": 0, "digitalkey_tag": 0, "digitalkey_lock": 0} {
		if n := Count(t, d, `SELECT COUNT(*) FROM `+table+` WHERE lock_id = $1`, string(l.ID)); n != want {
			t.Errorf("%d rows of the lock are left in %s, want %d", n, table, want)
		}
		if n := Count(t, d, `SELECT COUNT(*) FROM `+table+` WHERE lock_id = $1`, string(other.ID)); n != 1 {
			t.Errorf("%d rows of the other lock are left in %s, want 1", n, table)
		}
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM term WHERE kind = 'lock' AND id = $1`, string(l.ID)); n != 0 {
		t.Errorf("%d words of the lock are left, want 0", n)
	}
}

// lockTag reserves a PIN of a key at a lock.
func lockTag(t *testing.T, d Database, w id.Workspace, l id.Lock, k id.DigitalKey, until time.Time) {
	t.Helper()
	Exec(t, d, `
		INSERT INTO digitalkey_tag (lock_id, kind, tag, key_id, workspace, user_id, digits, from_at, until_at) VALUES ($1, 'pin', $2, $3, $4, 'user_ada', 4, $5, $6)`,
		string(l), "tag "+string(k), string(k), string(w), Start().UnixMilli(), until.UnixMilli())
}

func lockCommand(l smartlock.Lock) smartlock.Command {
	return smartlock.Command{
		ID: id.New[id.KindLockCommand](Start()), Workspace: l.Workspace, Lock: l.ID, Op: grant.OpOpen, AskedKind: "administrator", AskedBy: "user_ada", AskedName: "Ada", CreatedAt: Start(),
		NotAfter: Start().Add(10 * time.Second),
	}
}

func lockEvent(l smartlock.Lock, seq int64) smartlock.Event {
	return smartlock.Event{
		ID: id.New[id.KindLockEvent](Start()), Workspace: l.Workspace, Lock: l.ID, LockName: l.Name, Era: 1, Seq: seq, UntilSeq: seq, At: Start().Add(time.Duration(seq) * time.Second),
		ReceivedAt: Start(), Boot: 1, Clock: grant.Trusted, Medium: grant.PIN, Outcome: grant.Opened, Epoch: 3, Version: 4, Count: 1, Hash: []byte("hash"),
	}
}

func lockStandings(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	l := enrolledLock(w, "Front door")
	insertLocks(t, d, l)
	good := auth.Caller{Kind: auth.Lock, Workspace: w, Lock: l.ID, Token: l.Controller.Serial}
	active := func(name string, by auth.Caller, at time.Time, want bool) {
		t.Helper()
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			s, err := tx.CallerStanding(ctx, by, at)
			if s.Active != want || len(s.Permissions) > 0 || s.Owner {
				t.Errorf("%s: the standing is %+v, want active %v and no permission", name, s, want)
			}
			return err
		})
	}
	next, wrong, empty, elsewhere, gone := good, good, good, good, good
	next.Token, wrong.Token, empty.Token, elsewhere.Workspace, gone.Lock = l.Controller.NextSerial, "x", "", other, "lock_x"
	active("good", good, Start(), true)
	active("the next", next, Start(), true)
	active("another", wrong, Start(), false)
	active("none", empty, Start(), false)
	active("another workspace", elsewhere, Start(), false)
	active("another lock", gone, Start(), false)
	active("its last moment", good, l.Controller.CertificateEnds.Add(-time.Millisecond), true)
	active("over", good, l.Controller.CertificateEnds, false)
	never := newLock(w, "Attic")
	insertLocks(t, d, never)
	empty.Lock = never.ID
	active("never enrolled", empty, time.Time{}, false)
	Exec(t, d, `UPDATE workspace SET suspended_at = 1 WHERE id = $1`, string(w))
	active("suspended", good, Start(), false)
}

func lockGrants(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada, l, other := User(t, d.Store, w, "ada"), newLock(w, "Front door"), newLock(w, "Back door")
	insertLocks(t, d, l, other)
	var keys []id.DigitalKey
	for i := range 3 {
		k := LockKey(t, d, ada, l.ID, Start(), Start().Add(time.Hour))
		PutLockGrant(t, d, w, l.ID, k, Start(), Start().Add(time.Duration(i)*time.Hour+time.Hour))
		keys = append(keys, k)
	}
	PutLockGrant(t, d, w, other.ID, keys[0], Start(), Start().Add(time.Hour))
	RemoveLockGrant(t, d, w, l.ID, keys[1], Start(), Start().Add(time.Hour))
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ListGrants(ctx, w, l.ID, Start())
		if err != nil || len(all) != 2 {
			t.Errorf("ListGrants() = %+v (%v), want 2", all, err)
		}
		if all, err = tx.ListGrants(ctx, w, l.ID, Start().Add(time.Hour)); err != nil || len(all) != 1 || all[0].ID != grant.ID(keys[2].Bytes()) {
			t.Errorf("ListGrants() = %+v (%v) when the first is over, want the third", all, err)
		}
		for after, want := range map[int64][2]int{0: {2, 1}, 1: {1, 1}, 3: {0, 1}, 4: {0, 0}} {
			put, removed, err := tx.ListGrantChanges(ctx, w, l.ID, after)
			if err != nil || len(put) != want[0] || len(removed) != want[1] {
				t.Errorf("after %d changed %d and %d went (%v), want %v", after, len(put), len(removed), err, want)
			}
		}
		put, _, err := tx.ListGrantChanges(ctx, w, l.ID, 2)
		if err != nil || len(put) != 1 || put[0].NotAfter != Start().Add(3*time.Hour).Unix() {
			t.Errorf("the change is %+v (%v)", put, err)
		}
		return nil
	})
}

func confirmedRemoval(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada, l := User(t, d.Store, w, "ada"), newLock(w, "Front door")
	insertLocks(t, d, l)
	late := Start().Add(1000 * time.Hour)
	var keys []id.DigitalKey
	for range 3 {
		k := LockKey(t, d, ada, l.ID, Start(), late)
		PutLockGrant(t, d, w, l.ID, k, Start(), late)
		lockTag(t, d, w, l.ID, k, late)
		keys = append(keys, k)
	}
	RemoveLockGrant(t, d, w, l.ID, keys[0], Start(), late)
	RemoveLockGrant(t, d, w, l.ID, keys[1], Start(), late) // version 5
	now, free := Start().Add(time.Minute), Start().Add(24*time.Hour)
	confirm := func(version, want int64) {
		t.Helper()
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.ConfirmGrants(ctx, w, l.ID, version, now, free)
			if n != want {
				t.Errorf("ConfirmGrants(%d) = %d, want %d", version, n, want)
			}
			return err
		})
	}
	unsafe := func(at time.Time, want ...id.DigitalKey) {
		t.Helper()
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			list, err := tx.ListUnsafe(ctx, w, at, 10)
			n, err2 := tx.CountUnsafe(ctx, w, l.ID, at)
			var got []id.DigitalKey
			for _, u := range list {
				got = append(got, u.DigitalKey)
			}
			slices.Sort(got)
			slices.Sort(want)
			if err != nil || err2 != nil || !slices.Equal(got, want) || int(n) != len(want) {
				t.Errorf("unsafe are %v (%v), counted %d (%v), want %v", got, err, n, err2, want)
			}
			return nil
		})
	}
	unsafe(Start(), keys[0], keys[1])
	unsafe(late)
	confirm(4, 2) // the third's, and the first removal
	unsafe(Start(), keys[1])
	for i, want := range []time.Time{free, late, late} {
		if n := Count(t, d, `SELECT until_at FROM digitalkey_tag WHERE key_id = $1`, string(keys[i])); int64(n) != want.UnixMilli() {
			t.Errorf("the PIN of key %d is reserved until %v, want %v", i, time.UnixMilli(int64(n)).UTC(), want)
		}
	}
	free = Start().Add(48 * time.Hour)
	confirm(4, 0) // a repeat frees nothing later
	confirm(5, 1)
	unsafe(Start())
	if n := Count(t, d, `SELECT until_at FROM digitalkey_tag WHERE key_id = $1`, string(keys[0])); int64(n) != Start().Add(24*time.Hour).UnixMilli() {
		t.Error("a repeated receipt reserves the PIN for longer")
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UnconfirmGrants(ctx, w, l.ID) })
	if n := Count(t, d, `SELECT COUNT(*) FROM smartlock_grant WHERE lock_id = $1 AND applied_at = 0`, string(l.ID)); n != 1 {
		t.Errorf("%d grants are not applied, want the one that is not removed", n)
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.CountOpenKeys(ctx, w, l.ID, Start())
		if n != 3 {
			t.Errorf("CountOpenKeys() = %d, want 3", n)
		}
		if n, err2 := tx.CountOpenKeys(ctx, w, l.ID, late); n != 0 || err2 != nil {
			t.Errorf("CountOpenKeys() at their end = %d (%v), want 0", n, err2)
		}
		h, found, err3 := tx.FindGrantHolder(ctx, w, keys[0])
		if !found || h.User != ada.ID || h.Name != ada.Name() || !h.CancelledAt.IsZero() || err3 != nil {
			t.Errorf("FindGrantHolder() = %+v (%v)", h, err3)
		}
		return err
	})
}

func leaseEnding(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	var want []id.Lock
	for i := range 5 {
		l := enrolledLock(w, "Door")
		l.State.OnlineUntil = Start()
		switch i {
		case 0:
			l.State.OnlineUntil = Start().Add(time.Millisecond)
		case 1:
			l.Sync.LeaseUntil = Start().Truncate(time.Second)
		default:
			want = append(want, l.ID)
		}
		insertLocks(t, d, l)
	}
	slices.Sort(want)
	var got []id.Lock
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for after := id.Lock(""); ; {
			some, err := tx.ListLeaseEnding(ctx, Start(), Start().Add(6*time.Hour), after, 2)
			if err != nil || len(some) == 0 {
				return err
			}
			for _, l := range some {
				got, after = append(got, l.ID), l.ID
			}
		}
	})
	if !slices.Equal(got, want) {
		t.Errorf("the locks are %v, want %v", got, want)
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		some, err := tx.ListLeaseEnding(ctx, Start(), Start().Add(6*time.Hour-time.Second), "", 9)
		if len(some) != 0 {
			t.Errorf("%d locks whose lease ends later", len(some))
		}
		return err
	})
}

func prunedGrants(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada, l := User(t, d.Store, w, "ada"), newLock(w, "Front door")
	insertLocks(t, d, l)
	for i := range 5 {
		ends := Start().Add(time.Duration(i+1) * time.Hour)
		PutLockGrant(t, d, w, l.ID, LockKey(t, d, ada, l.ID, Start(), ends), Start(), ends)
		c := lockCommand(l)
		c.CreatedAt = ends
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertLockCommand(ctx, c) })
	}
	Exec(t, d, `UPDATE smartlock_grant SET safe_at = $1 WHERE not_after = $2`, Start().Add(5*time.Hour).UnixMilli(), Start().Add(time.Hour).UnixMilli())
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, want := range []int64{2, 0, 0} {
			n, err := tx.PruneGrants(ctx, Start().Add(4*time.Hour), Start().Add(4*time.Hour), 2)
			if n != want || err != nil {
				t.Errorf("PruneGrants() before one is safe = %d (%v), want %d", n, err, want)
			}
		}
		for _, want := range []int64{1, 0} {
			n, err := tx.PruneGrants(ctx, Start().Add(4*time.Hour), Start().Add(5*time.Hour), 2)
			if n != want || err != nil {
				t.Errorf("PruneGrants() once it is safe = %d (%v), want %d", n, err, want)
			}
		}
		for _, want := range []int64{2, 1, 0} {
			if n, err := tx.PruneCommands(ctx, Start().Add(4*time.Hour), 2); n != want || err != nil {
				t.Errorf("PruneCommands() = %d (%v), want %d", n, err, want)
			}
		}
		return nil
	})
}

func lockWatchers(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	Administrator(t, d.Store, w, "owner")
	Administrator(t, d.Store, w, "writes", auth.LocksRead, auth.LocksWrite)
	Administrator(t, d.Store, w, "reads", auth.LocksRead)
	gone := Administrator(t, d.Store, w, "gone", auth.LocksWrite)
	Exec(t, d, `UPDATE directory_user SET suspended_at = 1 WHERE id = $1`, string(gone.User))
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		watchers, err := tx.ListLockWatchers(ctx, w)
		var got []string
		for _, r := range watchers {
			got = append(got, r.Email)
		}
		slices.Sort(got)
		if !slices.Equal(got, []string{"owner@example.org", "writes@example.org"}) {
			t.Errorf("ListLockWatchers() = %q", got)
		}
		name, err2 := tx.FindWorkspaceName(ctx, w)
		if name != "Harbour" || err2 != nil {
			t.Errorf("FindWorkspaceName() = %q (%v)", name, err2)
		}
		return err
	})
}
