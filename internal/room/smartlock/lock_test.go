package smartlock_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestCreate_hasDefaults(t *testing.T) {
	h := newHouse(t)
	l := h.find(t, h.lock.ID)
	if l.OpenSeconds != smartlock.DefaultOpenSeconds || l.LeaseSeconds != smartlock.DefaultLeaseSeconds || !slices.Equal(l.Capabilities, smartlock.Capabilities()) ||
		l.State.Battery != -1 || l.Enrolled() || l.Online(h.clock.Now()) || l.Revision != 1 || l.Place != "Pier 4" {
		t.Errorf("the lock is %+v", l)
	}
	secret, err := h.secrets.Sealing.Open(l.SecretSealed, grant.SecretIdentity(string(h.w), string(l.ID)))
	if err != nil || len(secret.Expose()) != grant.SecretSize {
		t.Errorf("the secret has %d bytes (%v)", len(secret.Expose()), err)
	}
	h.line(t, "lock.create", activity.Success, "", h.by)
}

func TestCreate_refuses(t *testing.T) {
	h := newHouse(t)
	good := smartlock.NewLock{Name: "Door", Timezone: "Europe/Berlin"}
	for field, change := range map[string]func(*smartlock.NewLock){
		"name": func(n *smartlock.NewLock) { n.Name = " " }, "place": func(n *smartlock.NewLock) { n.Place = strings.Repeat("x", 101) },
		"timezone": func(n *smartlock.NewLock) { n.Timezone = "Mars/Olympus" }, "capabilities": func(n *smartlock.NewLock) { n.Capabilities = []smartlock.Capability{"voice"} },
		"open_seconds": func(n *smartlock.NewLock) { n.OpenSeconds = 121 }, "lease_seconds": func(n *smartlock.NewLock) { n.LeaseSeconds = 59 },
	} {
		n := good
		change(&n)
		_, err := h.Create(t.Context(), h.by, n)
		t.Run(field, func(t *testing.T) {
			refused(t, err, "invalid_fields")
			if err == nil || !strings.Contains(err.Error(), "invalid_fields") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	for _, zone := range []string{"", "Local"} {
		good.Timezone = zone
		_, err := h.Create(t.Context(), h.by, good)
		refused(t, err, "invalid_fields")
	}
}

func TestChange_tellsTheControllerOfTheDuration(t *testing.T) {
	h := newHouse(t)
	name, zone, seconds := "Gate", "America/New_York", 9
	l, err := h.Change(t.Context(), h.by, h.lock.ID, smartlock.Change{Name: &name, Timezone: &zone}, 1)
	if err != nil || l.Name != name || l.Timezone != zone || l.Revision != 2 || l.Sync.Version != 0 {
		t.Fatalf("Change() = %+v (%v)", l, err)
	}
	if line := h.line(t, "lock.update", activity.Success, "", h.by); line.Detail != "name, timezone" {
		t.Errorf("the line is %+v", line)
	}
	if l, err = h.Change(t.Context(), h.by, h.lock.ID, smartlock.Change{OpenSeconds: &seconds}, 0); err != nil || l.Sync.Version != 1 {
		t.Errorf("Change() = %+v (%v), want another version", l, err)
	}
	if got := h.find(t, l.ID); got.OpenSeconds != 9 || got.Sync.Version != 1 || got.Name != name {
		t.Errorf("it is kept as %+v", got)
	}
	_, err = h.Change(t.Context(), h.by, h.lock.ID, smartlock.Change{Name: &name}, 1)
	refused(t, err, "revision_changed")
	n := len(storetest.Activities(t, h.Store, h.w, "lock.update"))
	if again, err := h.Change(t.Context(), h.by, h.lock.ID, smartlock.Change{Name: &name}, 0); err != nil || again.Revision != 3 || len(storetest.Activities(t, h.Store, h.w, "lock.update")) != n {
		t.Errorf("Change() to what it is = %+v (%v), want nothing done", again, err)
	}
	if p, err := h.List(t.Context(), h.by, smartlock.Query{Words: []string{"gat"}}); err != nil || len(p.Items) != 1 {
		t.Errorf("it is found %d times by its new name (%v)", len(p.Items), err)
	}
}

func TestDelete_waitsForKeys(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	now := h.clock.Now()
	k := storetest.LockKey(t, h.Database, h.ada, h.lock.ID, now, now.Add(time.Hour))
	storetest.PutLockGrant(t, h.Database, h.w, h.lock.ID, k, now, now.Add(time.Hour))
	refused(t, h.Delete(t.Context(), h.by, h.lock.ID, 0), "lock_in_use")
	storetest.Exec(t, h.Database, `UPDATE digitalkey SET cancelled_at = 1`)
	storetest.RemoveLockGrant(t, h.Database, h.w, h.lock.ID, k, now, now.Add(time.Hour))
	refused(t, h.Delete(t.Context(), h.by, h.lock.ID, 0), "lock_in_use")
	unsafe, err := h.ListUnsafe(t.Context(), h.by)
	if err != nil || len(unsafe) != 1 || unsafe[0].DigitalKey != k || unsafe[0].LockName != "Front door" || !unsafe[0].SafeAt.Equal(now.Add(time.Hour)) || !unsafe[0].Online {
		t.Errorf("ListUnsafe() = %+v (%v)", unsafe, err)
	}
	d.did(grant.Event{Outcome: grant.Notice, Reason: grant.ReasonBoot})
	d.deliver(t, d.events...)
	d.settle(t)
	refused(t, h.Delete(t.Context(), h.by, h.lock.ID, 7), "revision_changed")
	if err := h.Delete(t.Context(), h.by, h.lock.ID, 1); err != nil {
		t.Fatal(err)
	}
	h.line(t, "lock.delete", activity.Success, "", h.by)
	refused(t, d.Seen(t.Context(), d.by, d.link), "unauthenticated")
	_, err = h.Verify(t.Context(), nobody(), h.lock.ID, d.by.Token)
	refused(t, err, "unauthenticated")
	if n := len(h.eventsOf(t, smartlock.EventQuery{Lock: h.lock.ID})); n != 1 {
		t.Errorf("%d events are left, want 1", n)
	}
	h.line(t, "lock.link", activity.Refused, "unauthenticated", d.by)
}

func TestList_filtersAndCounts(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	never, weak := h.create(t, "Attic"), h.create(t, "Cellar")
	w := h.enrol(t, weak.ID)
	w.connect(t, grant.Applied{})
	low := uint8(20)
	if err := w.Report(t.Context(), w.by, w.link, grant.State{Lock: "unlocked", Door: "open", Battery: &low}); err != nil {
		t.Fatal(err)
	}
	list := func(q smartlock.Query) (out []string) {
		t.Helper()
		p, err := h.List(t.Context(), h.by, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range p.Items {
			out = append(out, l.Name)
		}
		return out
	}
	yes, no := true, false
	for name, c := range map[string]struct {
		q    smartlock.Query
		want []string
	}{
		"all": {smartlock.Query{}, []string{"Attic", "Cellar", "Front door"}}, "online": {smartlock.Query{Online: &yes}, []string{"Cellar", "Front door"}},
		"offline": {smartlock.Query{Online: &no}, []string{"Attic"}}, "problem": {smartlock.Query{Problem: true}, []string{"Attic", "Cellar"}},
		"words": {smartlock.Query{Words: []string{"pier", "cel"}}, []string{"Cellar"}}, "none": {smartlock.Query{Words: []string{"qqq"}}, nil},
	} {
		if got := list(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	want := smartlock.Counts{Total: 3, Online: 2, Open: 1, LowBattery: 1, NotEnrolled: 1}
	if got, err := h.Counts(t.Context(), h.by); err != nil || got != want {
		t.Errorf("Counts() = %+v (%v), want %+v", got, err, want)
	}
	doors, err := h.Doors(t.Context(), h.by)
	if err != nil || doors.Counts != want || len(doors.Locks) != 3 || doors.Locks[0].ID != never.ID || doors.Locks[2].ID != d.lock {
		t.Errorf("Doors() = %+v (%v)", doors, err)
	}
}

func TestPulse_movesWithEveryChange(t *testing.T) {
	h := newHouse(t)
	seen := map[string]string{}
	step := func(name string) {
		t.Helper()
		p := pulse(t, h)
		if before, known := seen[p]; known {
			t.Errorf("the pulse after %q is that after %q", name, before)
		}
		seen[p] = name
	}
	step("nothing")
	other := h.create(t, "Attic")
	step("create")
	d := h.online(t)
	step("connect")
	place := "Pier 5"
	if _, err := h.Change(t.Context(), h.by, other.ID, smartlock.Change{Place: &place}, 0); err != nil {
		t.Fatal(err)
	}
	step("change")
	if err := d.Report(t.Context(), d.by, d.link, grant.State{Door: "open"}); err != nil {
		t.Fatal(err)
	}
	step("report")
	d.did(unknownPIN())
	d.deliver(t, d.events...)
	step("event")
	if err := h.Delete(t.Context(), h.by, other.ID, 0); err != nil {
		t.Fatal(err)
	}
	step("delete")
	if err := d.Leave(t.Context(), d.by, d.link); err != nil {
		t.Fatal(err)
	}
	step("leave")
}

// Strangers: nobody, a caller without the right, another workspace's owner, and a lock.
func TestService_refusesStrangers(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	command, err := h.Open(t.Context(), h.by, h.lock.ID)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := storetest.Workspace(t, h.Store)
	bob := storetest.Administrator(t, h.Store, elsewhere, "bob")
	reads := storetest.APIKey(t, h.Store, h.w, auth.LocksRead)
	none := storetest.APIKey(t, h.Store, h.w, auth.UsersRead)
	c, name := t.Context(), "x"
	type call func(by auth.Caller, l id.Lock, k id.LockCommand) error
	writes := map[string]call{
		"change": func(by auth.Caller, l id.Lock, _ id.LockCommand) error {
			_, err := h.Change(c, by, l, smartlock.Change{Name: &name}, 0)
			return err
		},
		"delete": func(by auth.Caller, l id.Lock, _ id.LockCommand) error { return h.Delete(c, by, l, 0) },
		"issue": func(by auth.Caller, l id.Lock, _ id.LockCommand) error {
			_, err := h.IssueEnrolment(c, by, l)
			return err
		},
		"open":  func(by auth.Caller, l id.Lock, _ id.LockCommand) error { _, err := h.Open(c, by, l); return err },
		"teach": func(by auth.Caller, l id.Lock, _ id.LockCommand) error { _, err := h.Teach(c, by, l); return err },
		"taught": func(by auth.Caller, _ id.Lock, k id.LockCommand) error {
			_, _, err := h.TaughtCard(c, by, k)
			return err
		},
		"command": func(by auth.Caller, _ id.Lock, k id.LockCommand) error { _, err := h.FindCommand(c, by, k); return err },
	}
	looks := map[string]call{
		"find": func(by auth.Caller, l id.Lock, _ id.LockCommand) error { _, err := h.Find(c, by, l); return err },
	}
	lists := map[string]call{
		"list": func(by auth.Caller, _ id.Lock, _ id.LockCommand) error {
			_, err := h.List(c, by, smartlock.Query{})
			return err
		},
		"counts": func(by auth.Caller, _ id.Lock, _ id.LockCommand) error { _, err := h.Counts(c, by); return err },
		"doors":  func(by auth.Caller, _ id.Lock, _ id.LockCommand) error { _, err := h.Doors(c, by); return err },
		"pulse":  func(by auth.Caller, _ id.Lock, _ id.LockCommand) error { _, err := h.Pulse(c, by); return err },
		"unsafe": func(by auth.Caller, _ id.Lock, _ id.LockCommand) error { _, err := h.ListUnsafe(c, by); return err },
		"events": func(by auth.Caller, _ id.Lock, _ id.LockCommand) error {
			_, err := h.ListEvents(c, by, smartlock.EventQuery{})
			return err
		},
	}
	creates := map[string]call{"create": func(by auth.Caller, _ id.Lock, _ id.LockCommand) error {
		_, err := h.Create(c, by, smartlock.NewLock{Name: "x", Timezone: "UTC"})
		return err
	}}
	for _, group := range []struct {
		calls        map[string]call
		names, reads bool
	}{{writes, true, false}, {looks, true, true}, {lists, false, true}, {creates, false, false}} {
		for name, do := range group.calls {
			t.Run(name, func(t *testing.T) {
				refused(t, do(nobody(), h.lock.ID, command.ID), "unauthenticated")
				refused(t, do(none, h.lock.ID, command.ID), "missing_permission")
				refused(t, do(d.by, h.lock.ID, command.ID), "lock_only")
				if !group.reads {
					refused(t, do(reads, h.lock.ID, command.ID), "missing_permission")
				}
				if !group.names {
					return
				}
				foreign, missing := do(bob, h.lock.ID, command.ID), do(bob, id.New[id.KindLock](h.clock.Now()), id.New[id.KindLockCommand](h.clock.Now()))
				if foreign == nil || missing == nil || foreign.Error() != missing.Error() {
					t.Errorf("another workspace's answers %v, a missing one %v", foreign, missing)
				}
			})
		}
	}
	if p, err := h.List(c, bob, smartlock.Query{}); err != nil || len(p.Items) != 0 {
		t.Errorf("another workspace lists %d locks (%v)", len(p.Items), err)
	}
}

func TestWarnLeases_onceEach(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	d.beacon(t)
	job := auth.Job("", "test")
	warn := func(want int, hours ...int) {
		t.Helper()
		for i := range 2 {
			n, err := h.WarnLeases(t.Context(), job)
			if err != nil || i == 0 && n != want || i == 1 && n != 0 {
				t.Errorf("WarnLeases() = %d (%v), want %d and then none", n, err, want)
			}
		}
		var got []int
		for _, m := range mails[outbox.LockLease](t, h) {
			got = append(got, m.Hours)
		}
		slices.Sort(got)
		if !slices.Equal(got, hours) {
			t.Errorf("the mails say %v hours, want %v", got, hours)
		}
	}
	warn(0)
	h.clock.Advance(12*time.Hour - time.Second)
	warn(0)
	h.clock.Advance(time.Second)
	warn(1, 12)
	h.clock.Advance(11*time.Hour + time.Minute) // it was not looked at for long
	warn(1, 1, 12)
	if n := len(storetest.Activities(t, h.Store, h.w, "lock.lease_warning")); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
	d.connect(t, grant.Applied{Epoch: d.answer.Epoch})
	d.beacon(t)
	h.clock.Advance(12 * time.Hour)
	warn(1, 1, 12, 12)
	h.clock.Advance(12 * time.Hour)
	warn(0, 1, 12, 12) // it is over
	_, err := h.WarnLeases(t.Context(), h.by)
	refused(t, err, "system_only")
	refused(t, h.Prune(t.Context(), h.by), "system_only")
}

func TestPrune_forgetsWhatIsLongOver(t *testing.T) {
	h := newHouse(t)
	now := h.clock.Now()
	h.online(t)
	for _, ends := range []time.Time{now.Add(time.Hour), now.Add(48 * time.Hour)} {
		k := storetest.LockKey(t, h.Database, h.ada, h.lock.ID, now, ends)
		storetest.PutLockGrant(t, h.Database, h.w, h.lock.ID, k, now, ends)
	}
	if _, err := h.Open(t.Context(), h.by, h.lock.ID); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(30*24*time.Hour + 2*time.Hour)
	if err := h.Prune(t.Context(), auth.Job("", "test")); err != nil {
		t.Fatal(err)
	}
	grants, commands := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM smartlock_grant`), storetest.Count(t, h.Database, `SELECT COUNT(*) FROM smartlock_command`)
	if grants != 1 || commands != 0 {
		t.Errorf("%d grants and %d commands are left, want 1 and 0", grants, commands)
	}
}

func TestRenew_theOldOneIsGoodUntilTheNewIsUsed(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	_, err := d.Renew(t.Context(), d.by, d.link, request(t, newKey(t)))
	refused(t, err, "invalid_csr")
	h.clock.Advance(time.Hour)
	der, err := d.Renew(t.Context(), d.by, d.link, request(t, d.key))
	if err != nil {
		t.Fatal(err)
	}
	h.line(t, "lock.renew", activity.Success, "", d.by)
	old := d.by
	next := d.verify(t, der)
	if next.Token == old.Token {
		t.Fatal("the renewed certificate has the former's number")
	}
	if err := d.Seen(t.Context(), old, d.link); err != nil {
		t.Errorf("Seen() = %v by the former certificate, want nil", err)
	}
	d.by = next
	d.connect(t, grant.Applied{})
	refused(t, d.Seen(t.Context(), old, d.link), "unauthenticated")
	if err := d.Seen(t.Context(), next, d.link); err != nil {
		t.Errorf("Seen() = %v, want nil", err)
	}
	h.clock.Advance(smartlock.CertificateLife)
	refused(t, d.Seen(t.Context(), next, d.link), "unauthenticated")
}

func TestAuthority_isTheSameEachTime(t *testing.T) {
	h := newHouse(t)
	a, b := h.authority(t), h.authority(t)
	if !slices.Equal(a.CA.Raw, b.CA.Raw) || !a.CA.NotBefore.Equal(storetest.Start().Truncate(time.Second)) || a.CA.SerialNumber.Int64() != 1 {
		t.Error("the CA's certificate is another one")
	}
	if w, ok := smartlock.WorkspaceOfServerName(smartlock.ServerName(h.w)); !ok || w != h.w {
		t.Errorf("WorkspaceOfServerName() = %s (%v), want %s", w, ok, h.w)
	}
	for _, name := range []string{"", "locks.keyhold.internal", "ws-x.locks.keyhold.internal", "example.org"} {
		if _, ok := smartlock.WorkspaceOfServerName(name); ok {
			t.Errorf("WorkspaceOfServerName(%q) is one", name)
		}
	}
	c, err := a.ServerCertificate()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.CA)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: smartlock.ServerName(h.w), CurrentTime: h.clock.Now()}); err != nil {
		t.Errorf("the link's certificate is not the CA's: %v", err)
	}
	if _, err := smartlock.NewAuthority("ws_x", [4][]byte{}); err == nil {
		t.Error("NewAuthority() of no workspace is one")
	}
	if _, err := smartlock.NewAuthority(h.w, [4][]byte{{1}}); err == nil {
		t.Error("NewAuthority() with a short seed is one")
	}
}
