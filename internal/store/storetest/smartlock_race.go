package storetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store"
)

func lockEventOnce(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	l := newLock(w, "Front door")
	insertLocks(t, d, l)
	for seq, want := range map[int64]int{1: 1, -1: 1, 0: 1} {
		var fresh [2]bool
		insert := func(i int) func() {
			return func() {
				if err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
					fresh[i], err = tx.InsertLockEvent(ctx, lockEvent(l, seq))
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		}
		meet(insert(0), insert(1))
		if n := Count(t, d, `SELECT COUNT(*) FROM smartlock_event WHERE lock_id = $1 AND seq = $2`, string(l.ID), seq); n != want || fresh[0] == fresh[1] {
			t.Errorf("%d events %d are kept, fresh %v, want one", n, seq, fresh)
		}
	}
}

func lockEventHash(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	l := newLock(w, "Front door")
	insertLocks(t, d, l)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.InsertLockEvent(ctx, lockEvent(l, 3))
		return err
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, c := range []struct {
			w        id.Workspace
			era, seq int64
			want     string
		}{{w, 1, 3, "hash"}, {w, 2, 3, ""}, {w, 1, 4, ""}, {other, 1, 3, ""}} {
			hash, found, err := tx.FindLockEventHash(ctx, c.w, l.ID, c.era, c.seq)
			if string(hash) != c.want || found != (c.want != "") || err != nil {
				t.Errorf("FindLockEventHash(%d, %d) = %q, %v (%v), want %q", c.era, c.seq, hash, found, err, c.want)
			}
		}
		return nil
	})
}

func filterLockEvents(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	l, other := newLock(w, "Front door"), newLock(w, "Back door")
	insertLocks(t, d, l, other)
	var all []smartlock.Event
	for i := range int64(6) {
		e := lockEvent(l, i+1)
		switch i {
		case 0:
			e.User, e.UserName, e.DigitalKey = "user_ada", "Ada", "dk_1"
		case 1:
			e.AfterCancel, e.Offline, e.Command = true, true, "cmd_1"
		case 2:
			e.Reason, e.Outcome, e.Count = grant.ReasonKeypadPaused, grant.Refused, 5
		case 3:
			e.Medium, e.At = grant.App, lockEvent(l, 3).At // two of one moment
		case 4:
			e.Lock = other.ID
		}
		all = append(all, e)
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, e := range all {
			if _, err := tx.InsertLockEvent(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	list := func(w id.Workspace, q smartlock.EventQuery) (seqs string) {
		q.Page = page.Request{Limit: 2, Descending: true}
		for {
			var p page.Page[smartlock.Event]
			Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
				p, err = tx.ListLockEvents(ctx, w, q)
				return err
			})
			for _, e := range p.Items {
				seqs += fmt.Sprint(e.Seq)
				if !slices.ContainsFunc(all, func(a smartlock.Event) bool { return fmt.Sprint(a) == fmt.Sprint(e) }) {
					t.Errorf("an event comes back otherwise: %+v", e)
				}
			}
			if q.Page.After = p.Next; p.Next.IsZero() {
				return seqs
			}
		}
	}
	// Of one moment the ids decide, which are random.
	inOrder := func(s string) string { return strings.ReplaceAll(s, "34", "43") }
	for name, c := range map[string]struct {
		q    smartlock.EventQuery
		want string
	}{
		"all": {smartlock.EventQuery{}, "654321"}, "lock": {smartlock.EventQuery{Lock: other.ID}, "5"}, "user": {smartlock.EventQuery{User: "user_ada"}, "1"},
		"key": {smartlock.EventQuery{DigitalKey: "dk_1"}, "1"}, "outcome": {smartlock.EventQuery{Outcome: grant.Refused}, "3"}, "medium": {smartlock.EventQuery{Medium: grant.App}, "4"},
		"alarming": {smartlock.EventQuery{Alarming: true}, "32"}, "from": {smartlock.EventQuery{From: all[4].At}, "65"}, "to": {smartlock.EventQuery{To: all[1].At}, "1"},
	} {
		if got := inOrder(list(w, c.q)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := list(Workspace(t, d.Store), smartlock.EventQuery{}); got != "" {
		t.Errorf("another workspace lists %s", got)
	}
}

// lockRace is a lock with a controller that two are after.
type lockRace struct {
	room  *smartlock.Service
	clock *clock.Manual
	by    auth.Caller // the house
	door  auth.Caller
	key   ed25519.PrivateKey
	lock  smartlock.Lock
}

func newLockRace(t *testing.T, d Database) *lockRace {
	t.Helper()
	w := Workspace(t, d.Store)
	r := &lockRace{clock: clock.NewManual(Start()), by: auth.Job(w, "race")}
	r.room = smartlock.NewService(smartlock.Config{
		Store: store.For[smartlock.Tx](d.Store), Clock: r.clock, Authorities: LockAuthorities{}, Sealing: LockSealing{KeySecrets(t)}, LinkURL: func() string { return "" },
	})
	var err error
	if r.lock, err = r.room.Create(t.Context(), r.by, smartlock.NewLock{Name: "Front door", Timezone: "UTC"}); err != nil {
		t.Fatal(err)
	}
	if _, r.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *lockRace) token(t *testing.T) string {
	t.Helper()
	e, err := r.room.IssueEnrolment(t.Context(), r.by, r.lock.ID)
	if err != nil {
		t.Fatal(err)
	}
	return e.Token.ExposeString()
}

func (r *lockRace) enrol(t *testing.T, token string) error {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, r.key)
	if err != nil {
		t.Error(err)
		return err
	}
	_, err = r.room.Enrol(t.Context(), auth.Nobody("192.0.2.1", "", ""), token, csr)
	return err
}

func (r *lockRace) row(t *testing.T) smartlock.Lock {
	t.Helper()
	l, err := r.room.Find(t.Context(), r.by, r.lock.ID)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// connect opens a link of the name, and knows all that there is to know.
func (r *lockRace) connect(t *testing.T, link string) {
	t.Helper()
	l := r.row(t)
	r.door = auth.Caller{Kind: auth.Lock, Workspace: l.Workspace, Lock: l.ID, Token: l.Controller.Serial, Name: l.Name}
	h := grant.Hello{Epoch: uint64(l.Sync.Epoch), Version: uint64(l.Sync.Version), EventFirst: 1, EventLast: uint64(l.Controller.EventThrough)}
	if _, err := r.room.Connect(t.Context(), r.door, link, h); err != nil {
		t.Fatal(err)
	}
}

func enrolTwice(t *testing.T, d Database) {
	for range raceRounds {
		r := newLockRace(t, d)
		token := r.token(t)
		var got [2]string
		use := func(i int) func() { return func() { got[i] = answer(t, r.enrol(t, token)) } }
		meet(use(0), use(1))
		if got != [2]string{"", "enrolment_refused"} && got != [2]string{"enrolment_refused", ""} {
			t.Fatalf("the two are answered with %q, want that one wins", got)
		}
		if l := r.row(t); l.Controller.Era != 1 {
			t.Fatalf("the era is %d, want 1", l.Controller.Era)
		}
	}
}

// A lease is extended before a change, or not before the change is applied.
func leaseAgainstChange(t *testing.T, d Database) {
	r := newLockRace(t, d)
	if err := r.enrol(t, r.token(t)); err != nil {
		t.Fatal(err)
	}
	for i := range 4 * raceRounds {
		r.connect(t, "link")
		r.clock.Advance(time.Minute)
		before, seconds := r.row(t), 1+i%2
		var frame []byte
		meet(func() {
			var err error
			if frame, err = r.room.Beacon(t.Context(), r.door, "link", make([]byte, grant.NonceSize)); err != nil {
				t.Error(err)
			}
		}, func() {
			if _, err := r.room.Change(t.Context(), r.by, r.lock.ID, smartlock.Change{OpenSeconds: &seconds}, 0); err != nil {
				t.Error(err)
			}
		})
		b := readBeacon(t, r, frame)
		l := r.row(t)
		extended := l.Sync.LeaseUntil.After(before.Sync.LeaseUntil)
		if l.Settled() || l.Sync.Version != before.Sync.Version+1 {
			t.Fatalf("after the change the lock is %+v", l.Sync)
		}
		if b.LeaseUntil != l.Sync.LeaseUntil.Unix() && l.Sync.LeaseUntil.Unix() > 0 && b.LeaseUntil != 0 {
			t.Fatalf("the controller was told a lease until %d, and %d is kept", b.LeaseUntil, l.Sync.LeaseUntil.Unix())
		}
		if extended != (b.Version == uint64(before.Sync.Version)) {
			t.Fatalf("the lease was extended: %v, by a beacon of version %d after %d", extended, b.Version, before.Sync.Version)
		}
	}
}

func readBeacon(t *testing.T, r *lockRace, frame []byte) grant.Beacon {
	t.Helper()
	a, err := LockAuthorities{}.AuthorityOf(t.Context(), r.lock.Workspace)
	if err != nil {
		t.Fatal(err)
	}
	f, err := grant.Decode(frame, grant.MaxDown)
	if err != nil {
		t.Fatal(err)
	}
	public, _ := a.Signing.Public().(ed25519.PublicKey)
	var b grant.Beacon
	if err := grant.ReadSigned(f.Body, grant.TypeBeacon, string(r.lock.ID), &b, public); err != nil {
		t.Fatal(err)
	}
	return b
}

// The former link hands over its batch while the next one does.
func deliverTwice(t *testing.T, d Database) {
	r := newLockRace(t, d)
	if err := r.enrol(t, r.token(t)); err != nil {
		t.Fatal(err)
	}
	var events []grant.Event
	for i := range 20 {
		e := grant.Event{Seq: uint64(i + 1), At: 1, Boot: 1, Clock: grant.Trusted, Medium: grant.PIN, Outcome: grant.Refused, Reason: grant.ReasonUnknownPIN, Count: 1}
		if i > 0 {
			e.Prev = events[i-1].Hash()
		}
		events = append(events, e)
	}
	for end := 5; end <= 20; end += 5 {
		raw, err := grant.Sign(grant.TypeEvents, string(r.lock.ID), grant.Events{Type: grant.TypeEvents, Lock: string(r.lock.ID), Events: events[:end]}, r.key)
		if err != nil {
			t.Fatal(err)
		}
		f, err := grant.Decode(raw, grant.MaxUp)
		if err != nil {
			t.Fatal(err)
		}
		r.connect(t, "one")
		deliver := func(link string) func() {
			return func() {
				through, err := r.room.Deliver(t.Context(), r.door, link, f.Body)
				if code := answer(t, err); code != "" && code != "link_replaced" || code == "" && through != int64(end) {
					t.Errorf("the link %s is answered %d %q", link, through, code)
				}
			}
		}
		meet(deliver("one"), deliver("one"), func() { r.connectAgain(t, "two") })
		deliver("two")()
		if l := r.row(t); l.Controller.EventThrough != int64(end) {
			t.Fatalf("the record is kept through %d, want %d", l.Controller.EventThrough, end)
		}
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM smartlock_event WHERE lock_id = $1`, string(r.lock.ID)); n != 20 {
		t.Errorf("%d events are kept, want 20", n)
	}
	if n := len(Activities(t, d.Store, r.lock.Workspace, "lock.open")); n != 20 {
		t.Errorf("%d activities, want 20", n)
	}
}

// connectAgain opens another link with a record that holds all.
func (r *lockRace) connectAgain(t *testing.T, link string) {
	t.Helper()
	if _, err := r.room.Connect(t.Context(), r.door, link, grant.Hello{EventFirst: 1, EventLast: 20}); err != nil {
		t.Error(err)
	}
}

func resultTwice(t *testing.T, d Database) {
	r := newLockRace(t, d)
	if err := r.enrol(t, r.token(t)); err != nil {
		t.Fatal(err)
	}
	r.connect(t, "link")
	for range raceRounds {
		c, err := r.room.Teach(t.Context(), r.by, r.lock.ID)
		if err != nil {
			t.Fatal(err)
		}
		before := len(Activities(t, d.Store, r.lock.Workspace, "lock.card_taught"))
		say := func(last byte) func() {
			return func() {
				if err := r.room.Result(t.Context(), r.door, "link", grant.Result{ID: grant.CommandID(c.ID.Bytes()), Outcome: grant.Notice, Card: []byte{1, 2, 3, last}}); err != nil {
					t.Error(err)
				}
			}
		}
		meet(say(1), say(2))
		_, number, err := r.room.TaughtCard(t.Context(), r.by, c.ID)
		if n := len(Activities(t, d.Store, r.lock.Workspace, "lock.card_taught")) - before; err != nil || len(number.Expose()) != 8 || n != 1 {
			t.Fatalf("a number of %d characters and %d lines (%v), want one", len(number.Expose()), n, err)
		}
	}
}
