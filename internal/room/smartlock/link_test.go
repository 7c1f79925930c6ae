package smartlock_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestEnrol_givesWhatTheTokenVouchesFor(t *testing.T) {
	h := newHouse(t)
	d := h.enrol(t, h.lock.ID)
	l, a := h.find(t, h.lock.ID), h.authority(t)
	if d.answer.Link != linkURL || d.answer.ServerName != smartlock.ServerName(h.w) || d.answer.Epoch != uint64(l.Sync.Epoch) || d.answer.LeaseSeconds != smartlock.DefaultLeaseSeconds || d.answer.Name != "Front door" {
		t.Errorf("the answer is %+v", d.answer)
	}
	secret, err := h.secrets.Sealing.Open(l.SecretSealed, grant.SecretIdentity(string(h.w), string(l.ID)))
	if err != nil || string(secret.Expose()) != string(d.answer.Secret) || len(d.answer.Secret) != grant.SecretSize {
		t.Errorf("the secret is not the lock's (%v)", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.CA)
	leaf, err := x509.ParseCertificate(d.answer.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: h.clock.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the certificate is not the CA's: %v", err)
	}
	if leaf.NotBefore.Before(a.CA.NotBefore) {
		t.Errorf("the certificate begins at %v, before its CA does", leaf.NotBefore)
	}
	if !l.Enrolled() || l.Controller.Era != 1 || l.Controller.TokenDigest != nil || !leaf.NotAfter.Equal(l.Controller.CertificateEnds.Truncate(time.Second)) {
		t.Errorf("the lock is %+v", l)
	}
	line := h.line(t, "lock.enrol", activity.Success, "", d.by)
	if line.Target.ID != string(l.ID) {
		t.Errorf("the line is %+v", line)
	}
}

func TestEnrol_refusesAllOtherTokensAlike(t *testing.T) {
	h := newHouse(t)
	csr := request(t, newKey(t))
	try := func(text string) {
		t.Helper()
		_, err := h.Enrol(t.Context(), nobody(), text, csr)
		refused(t, err, "enrolment_refused")
	}
	try("")
	try("khe_nonsense")
	first := h.token(t, h.lock.ID)
	second := h.token(t, h.lock.ID)
	try(first) // a new token voids the former
	e, _ := token.ParseEnrolment(second)
	try(token.NewEnrolment(h.lock.ID, e.Root).Secret().ExposeString())
	try(token.NewEnrolment("lock_"+h.lock.ID[5:30]+"0", e.Root).Secret().ExposeString())
	if _, err := h.Enrol(t.Context(), nobody(), second, csr); err != nil {
		t.Fatal(err)
	}
	try(second) // it is spent
	late := h.token(t, h.lock.ID)
	h.clock.Advance(smartlock.EnrolmentLife)
	try(late)
	h.line(t, "lock.enrol", activity.Refused, "enrolment_refused", nobody())
}

func TestEnrol_suspendedWorkspaceIsRefusedAlike(t *testing.T) {
	h := newHouse(t)
	text, csr := h.token(t, h.lock.ID), request(t, newKey(t))
	suspend := func(at int64) {
		t.Helper()
		storetest.Exec(t, h.Database, `UPDATE workspace SET suspended_at = $1 WHERE id = $2`, at, string(h.w))
	}
	suspend(1)
	_, err := h.Enrol(t.Context(), nobody(), text, csr)
	if refused(t, err, "enrolment_refused"); h.find(t, h.lock.ID).Enrolled() {
		t.Error("the lock has a controller")
	}
	suspend(0)
	if _, err := h.Enrol(t.Context(), nobody(), text, csr); err != nil {
		t.Errorf("Enrol() = %v afterwards, want the token to be good still", err)
	}
}

func TestWaits_forUpdatesAndCommands(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	at := func() grant.Applied {
		l := h.find(t, h.lock.ID)
		return grant.Applied{Epoch: uint64(l.Sync.Epoch), Version: uint64(l.Sync.Version)}
	}
	wants := func(what string, sent grant.Applied, want bool) {
		t.Helper()
		if got, err := d.Waits(t.Context(), d.by, d.link, sent); err != nil || got != want {
			t.Errorf("Waits() %s = %v (%v), want %v", what, got, err, want)
		}
	}
	before := at()
	wants("with nothing to send", before, false)
	storetest.PutLockGrant(t, h.Database, h.w, h.lock.ID, storetest.LockKey(t, h.Database, h.ada, h.lock.ID, h.clock.Now(), h.clock.Now().Add(time.Hour)), h.clock.Now(), h.clock.Now().Add(time.Hour))
	wants("with a new grant", before, true)
	wants("after it was sent", at(), false)
	wants("of another epoch", grant.Applied{Epoch: before.Epoch + 1, Version: at().Version}, true)
	if _, err := h.Open(t.Context(), h.by, h.lock.ID); err != nil {
		t.Fatal(err)
	}
	wants("with a command", at(), true)
	h.clock.Advance(grant.CommandLife * time.Second)
	wants("after its time", at(), false)
	_, err := d.Waits(t.Context(), d.by, "another", at())
	refused(t, err, "link_replaced")
	_, err = d.Waits(t.Context(), h.by, d.link, at())
	refused(t, err, "lock_only")
	_, err = d.Waits(t.Context(), nobody(), d.link, at())
	refused(t, err, "unauthenticated")
}

func TestSeen_movesNoPulse(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	pulse := func() string {
		t.Helper()
		p, err := h.Pulse(t.Context(), auth.Job(h.w, "test"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := pulse()
	h.clock.Advance(10 * time.Second)
	if err := d.Seen(t.Context(), d.by, d.link); err != nil || pulse() != before {
		t.Errorf("Seen() = %v, and the pulse goes from %s to %s, want it to stay", err, before, pulse())
	}
	h.clock.Advance(smartlock.SeenFor)
	away := pulse()
	if err := d.Seen(t.Context(), d.by, d.link); err != nil || away == before || pulse() == away {
		t.Errorf("Seen() = %v: the pulses are %s, %s offline and %s, want it to move twice", err, before, away, pulse())
	}
}

func TestEnrol_countsTries(t *testing.T) {
	h := newHouse(t)
	csr := request(t, newKey(t))
	for range 20 {
		_, err := h.Enrol(t.Context(), nobody(), "khe_nonsense", csr)
		refused(t, err, "enrolment_refused")
	}
	_, err := h.Enrol(t.Context(), nobody(), "khe_nonsense", csr)
	refused(t, err, "too_many_tries")
	_, err = h.Enrol(t.Context(), auth.Nobody("198.51.100.1", "", ""), "khe_nonsense", csr)
	refused(t, err, "enrolment_refused")
	if _, err = h.Enrol(t.Context(), nobody(), h.token(t, h.lock.ID), csr); err != nil {
		t.Errorf("Enrol() = %v with a token that works, want nil", err)
	}
}

func TestEnrol_refusesOtherRequests(t *testing.T) {
	h := newHouse(t)
	text := h.token(t, h.lock.ID)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, newKey(t))
	broken := append([]byte(nil), good...)
	broken[len(broken)-1] ^= 1
	for name, csr := range map[string][]byte{"nothing": nil, "another algorithm": request(t, other), "a broken signature": broken, "no request": []byte("no request")} {
		_, err := h.Enrol(t.Context(), nobody(), text, csr)
		t.Run(name, func(t *testing.T) { refused(t, err, "invalid_csr") })
	}
	if _, err := h.Enrol(t.Context(), nobody(), text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: good})); err != nil {
		t.Errorf("Enrol() = %v in PEM and with the token unspent, want nil", err)
	}
}

func TestEnrol_againVoidsTheFormerController(t *testing.T) {
	h := newHouse(t)
	k := storetest.LockKey(t, h.Database, h.ada, h.lock.ID, h.clock.Now(), h.clock.Now().Add(time.Hour))
	storetest.PutLockGrant(t, h.Database, h.w, h.lock.ID, k, h.clock.Now(), h.clock.Now().Add(time.Hour))
	first := h.online(t)
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM smartlock_grant WHERE applied_at > 0`); n != 1 {
		t.Fatalf("%d grants are applied, want 1", n)
	}
	before := h.find(t, h.lock.ID)
	second := h.enrol(t, h.lock.ID)
	l := h.find(t, h.lock.ID)
	if l.Sync.Epoch <= before.Sync.Epoch || l.Controller.Era != before.Controller.Era+1 || l.Settled() || l.Online(h.clock.Now()) {
		t.Errorf("the lock is %+v", l)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM smartlock_grant WHERE applied_at > 0`); n != 0 {
		t.Errorf("%d grants are applied, want 0", n)
	}
	refused(t, first.Seen(t.Context(), first.by, first.link), "unauthenticated")
	_, err := h.Verify(t.Context(), nobody(), h.lock.ID, first.by.Token)
	refused(t, err, "unauthenticated")
	second.connect(t, grant.Applied{Epoch: second.answer.Epoch})
}

func TestPull_sendsWhatIsMissing(t *testing.T) {
	h := newHouse(t)
	now := h.clock.Now()
	k := storetest.LockKey(t, h.Database, h.ada, h.lock.ID, now, now.Add(time.Hour))
	g := storetest.PutLockGrant(t, h.Database, h.w, h.lock.ID, k, now, now.Add(time.Hour))
	d := h.enrol(t, h.lock.ID)
	d.connect(t, grant.Applied{})
	pull := func(at grant.Applied) (smartlock.Update, bool) {
		t.Helper()
		u, more, err := d.Pull(t.Context(), d.by, d.link, at)
		if err != nil {
			t.Fatal(err)
		}
		return u, more
	}
	u, _ := pull(grant.Applied{})
	var s grant.Snapshot
	d.read(t, u.Frame, grant.TypeSnapshot, &s)
	if s.Epoch != d.answer.Epoch || s.Version != 1 || len(s.Grants) != 1 || s.Grants[0].ID != g.ID || s.OpenSeconds != smartlock.DefaultOpenSeconds || s.LeaseUntil != 0 || u.To != 1 {
		t.Errorf("the snapshot is %+v", s)
	}
	at := grant.Applied{Epoch: s.Epoch, Version: s.Version}
	if _, more := pull(at); more {
		t.Error("Pull() has more after all was sent")
	}
	storetest.RemoveLockGrant(t, h.Database, h.w, h.lock.ID, k, now, now.Add(time.Hour))
	for range 2 { // also before the first is applied
		u, _ = pull(at)
		var delta grant.Delta
		d.read(t, u.Frame, grant.TypeDelta, &delta)
		if delta.From != 1 || delta.To != 2 || len(delta.Ops) != 1 || delta.Ops[0].Remove == nil || *delta.Ops[0].Remove != g.ID {
			t.Errorf("the delta is %+v", delta)
		}
	}
	d.settle(t)
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM smartlock_grant WHERE applied_at > 0 AND removed = TRUE`); n != 1 {
		t.Errorf("%d removals are confirmed, want 1", n)
	}
	u, _ = pull(grant.Applied{Epoch: s.Epoch}) // it holds less than it once said
	d.read(t, u.Frame, grant.TypeSnapshot, &s)
	if len(s.Grants) != 0 || s.Version != 2 {
		t.Errorf("the snapshot is %+v", s)
	}
}

func TestConnect_afterARestoreBeginsANewEpoch(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	l := h.find(t, h.lock.ID)
	for _, at := range []grant.Applied{{Epoch: uint64(l.Sync.Epoch), Version: uint64(l.Sync.Version) + 1}, {Epoch: uint64(l.Sync.Epoch) + 5}} {
		d.connect(t, at)
		if got := h.find(t, h.lock.ID); got.Sync.Epoch != int64(at.Epoch)+1 || got.Settled() {
			t.Errorf("after hello %+v it is %+v", at, got.Sync)
		}
	}
	d.settle(t)
	d.connect(t, grant.Applied{Epoch: 1}) // the door was restored
	if got := h.find(t, h.lock.ID); got.Settled() {
		t.Errorf("it is settled though the controller holds less: %+v", got.Sync)
	}
	_, err := d.Connect(t.Context(), d.by, "x", grant.Hello{Epoch: 1 << 50, EventFirst: 1})
	refused(t, err, "malformed_frame")
}

func TestBeacon_extendsTheLeaseOnlyWhileSettled(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	lease := time.Duration(smartlock.DefaultLeaseSeconds) * time.Second
	b := d.beacon(t)
	want := h.clock.Now().Add(lease)
	if b.LeaseUntil != want.Unix() || b.Now != h.clock.Now().UnixMilli() || string(b.Nonce) != string(nonce()) {
		t.Errorf("the beacon is %+v, want a lease until %d", b, want.Unix())
	}
	if l := h.find(t, h.lock.ID); !l.Sync.LeaseUntil.Equal(want) {
		t.Errorf("the lease that is kept ends %v, want %v", l.Sync.LeaseUntil, want)
	}
	h.clock.Advance(time.Minute)
	h.wake(t)
	seconds := 9
	if _, err := h.Change(t.Context(), h.by, h.lock.ID, smartlock.Change{OpenSeconds: &seconds}, 0); err != nil {
		t.Fatal(err)
	}
	if b = d.beacon(t); b.LeaseUntil != want.Unix() || b.Version != 1 {
		t.Errorf("while a change waits the beacon is %+v, want the lease as it was", b)
	}
	d.settle(t)
	if b = d.beacon(t); b.LeaseUntil != h.clock.Now().Add(lease).Unix() {
		t.Errorf("after it is applied the beacon is %+v, want the lease extended", b)
	}
}

func TestLink_theNewestWins(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	old := d.link
	d.connect(t, grant.Applied{})
	ctx := t.Context()
	calls := map[string]func() error{
		"pull":     func() error { _, _, err := d.Pull(ctx, d.by, old, grant.Applied{}); return err },
		"beacon":   func() error { _, err := d.Beacon(ctx, d.by, old, nonce()); return err },
		"seen":     func() error { return d.Seen(ctx, d.by, old) },
		"applied":  func() error { return d.Applied(ctx, d.by, old, grant.Applied{}) },
		"deliver":  func() error { _, err := d.Deliver(ctx, d.by, old, nil); return err },
		"commands": func() error { _, err := d.Commands(ctx, d.by, old); return err },
		"result":   func() error { return d.Result(ctx, d.by, old, grant.Result{}) },
		"report":   func() error { return d.Report(ctx, d.by, old, grant.State{}) },
		"renew":    func() error { _, err := d.Renew(ctx, d.by, old, request(t, d.key)); return err },
		"leave":    func() error { return d.Leave(ctx, d.by, old) },
	}
	for name, call := range calls {
		err := call()
		t.Run(name, func(t *testing.T) { refused(t, err, "link_replaced") })
	}
	if !h.find(t, h.lock.ID).Online(h.clock.Now()) {
		t.Error("the lock is offline though its newest link is open")
	}
	// Strangers: an administrator, nobody, and the controller of a lock that is gone.
	storetest.Exec(t, h.Database, `UPDATE smartlock SET cert_serial = 'other'`)
	for who, code := range map[string]string{"owner": "lock_only", "nobody": "unauthenticated", "gone": "unauthenticated"} {
		was := d.by
		switch who {
		case "owner":
			d.by = h.by
		case "nobody":
			d.by = nobody()
		}
		for name, call := range calls {
			err := call()
			t.Run(who+" "+name, func(t *testing.T) { refused(t, err, code) })
		}
		d.by = was
	}
}

func TestOnline_endsWithoutNews(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	first := pulse(t, h)
	if err := d.Seen(t.Context(), d.by, d.link); err != nil {
		t.Fatal(err)
	}
	if pulse(t, h) != first {
		t.Error("the pulse moves though nothing is to be seen")
	}
	h.clock.Advance(smartlock.SeenFor)
	if h.find(t, h.lock.ID).Online(h.clock.Now()) || pulse(t, h) == first {
		t.Error("the lock is online without news, or nobody hears of it")
	}
	if err := d.Seen(t.Context(), d.by, d.link); err != nil || !h.find(t, h.lock.ID).Online(h.clock.Now()) {
		t.Errorf("Seen() = %v, want the lock online", err)
	}
	if err := d.Leave(t.Context(), d.by, d.link); err != nil || h.find(t, h.lock.ID).Online(h.clock.Now()) {
		t.Errorf("Leave() = %v, want the lock offline", err)
	}
}

func pulse(t *testing.T, h *house) string {
	t.Helper()
	p, err := h.Pulse(t.Context(), auth.Job(h.w, "test"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBeacon_makesTheDoorsClockTrusted(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	if _, err := d.Connect(t.Context(), d.by, d.link, grant.Hello{EventFirst: 1, Quality: grant.Untrusted, Nonce: nonce(), Software: "test/1"}); err != nil {
		t.Fatal(err)
	}
	if got := h.find(t, h.lock.ID).Controller.Clock; got != grant.Untrusted {
		t.Errorf("after the hello the clock is %q, want untrusted", got)
	}
	d.beacon(t)
	if got := h.find(t, h.lock.ID).Controller.Clock; got != grant.Trusted {
		t.Errorf("after the beacon the clock is %q, want trusted", got)
	}
}
