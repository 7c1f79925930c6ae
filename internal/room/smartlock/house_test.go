package smartlock_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/cose"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// house is a workspace with an owner, a user Ada, and a lock.
type house struct {
	storetest.Database
	*smartlock.Service
	clock       *clock.Manual
	authorities storetest.LockAuthorities
	secrets     storetest.FixedSecrets
	hub         *signal.Hub
	w           id.Workspace
	by          auth.Caller
	ada         directory.User
	lock        smartlock.Lock
}

const linkURL = "wss://locks.example.org:8443/locks/v1/link"

func newHouse(t testing.TB) *house {
	t.Helper()
	d := storetest.SQLite(t)
	h := &house{Database: d, clock: clock.NewManual(storetest.Start()), secrets: storetest.KeySecrets(t), hub: signal.NewHub()}
	d.TellSignalsTo(h.hub)
	h.w = storetest.Workspace(t, d.Store)
	h.by, h.ada = storetest.Administrator(t, d.Store, h.w, "owner"), storetest.User(t, d.Store, h.w, "ada")
	h.Service = smartlock.NewService(smartlock.Config{
		Store: store.For[smartlock.Tx](d.Store), Clock: h.clock, Authorities: h.authorities, Sealing: storetest.LockSealing{FixedSecrets: h.secrets}, LinkURL: func() string { return linkURL },
	})
	h.lock = h.create(t, "Front door")
	return h
}

func (h *house) create(t testing.TB, name string) smartlock.Lock {
	t.Helper()
	l, err := h.Create(t.Context(), h.by, smartlock.NewLock{Name: name, Place: "Pier 4", Timezone: "Europe/Berlin"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (h *house) authority(t testing.TB) smartlock.Authority {
	t.Helper()
	a, err := h.authorities.AuthorityOf(t.Context(), h.w)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (h *house) find(t testing.TB, l id.Lock) smartlock.Lock {
	t.Helper()
	out, err := h.Find(t.Context(), auth.Job(h.w, "test"), l)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func nobody() auth.Caller { return auth.Nobody("192.0.2.1", "keyhold-lock/1", "req_door") }

// door is a controller: its key, its certificate's caller, and its record of events.
type door struct {
	*house
	key    ed25519.PrivateKey
	answer grant.Enrolment
	by     auth.Caller
	lock   id.Lock
	link   string
	events []grant.Event
}

// request is a certificate request of a key.
func request(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "door"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// token issues an enrolment's token.
func (h *house) token(t testing.TB, l id.Lock) string {
	t.Helper()
	e, err := h.IssueEnrolment(t.Context(), h.by, l)
	if err != nil {
		t.Fatal(err)
	}
	return e.Token.ExposeString()
}

// enrol enrols a controller for the lock.
func (h *house) enrol(t testing.TB, l id.Lock) *door {
	t.Helper()
	d := &door{house: h, key: newKey(t), lock: l}
	text := h.token(t, l)
	answer, err := h.Enrol(t.Context(), nobody(), text, request(t, d.key))
	if err != nil {
		t.Fatal(err)
	}
	e, ok := token.ParseEnrolment(text)
	if !ok {
		t.Fatalf("%q is no token", text)
	}
	if d.answer, err = grant.ReadEnrolment(answer, string(l), e.Root); err != nil {
		t.Fatal(err)
	}
	d.by = d.verify(t, d.answer.Certificate)
	return d
}

// verify is the caller that a certificate shows.
func (d *door) verify(t testing.TB, der []byte) auth.Caller {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	l, serial, ok := smartlock.CertificateOf(c)
	if !ok || l != d.lock {
		t.Fatalf("the certificate is of %q", c.Subject.CommonName)
	}
	by, err := d.Verify(t.Context(), nobody(), l, serial)
	if err != nil {
		t.Fatal(err)
	}
	return by
}

func nonce() []byte { return bytes.Repeat([]byte{7}, grant.NonceSize) }

// hello is what a controller with its record says that holds a version.
func (d *door) hello(at grant.Applied) grant.Hello {
	first, last := uint64(1), uint64(0)
	if n := len(d.events); n > 0 {
		first, last = d.events[0].Seq, d.events[n-1].Seq
	}
	return grant.Hello{Epoch: at.Epoch, Version: at.Version, EventFirst: first, EventLast: last, Quality: grant.Trusted, Nonce: nonce(), Software: "test/1"}
}

// connect opens a link.
func (d *door) connect(t testing.TB, at grant.Applied) smartlock.Greeting {
	t.Helper()
	d.link = "link-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	g, err := d.Connect(t.Context(), d.by, d.link, d.hello(at))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// online enrols a controller for the lock that is connected and knows all that it should.
func (h *house) online(t testing.TB) *door {
	t.Helper()
	d := h.enrol(t, h.lock.ID)
	d.connect(t, grant.Applied{Epoch: d.answer.Epoch})
	d.settle(t)
	return d
}

// settle takes what there is to be taken.
func (d *door) settle(t testing.TB) {
	t.Helper()
	l := d.find(t, d.lock)
	at := grant.Applied{Epoch: uint64(l.Sync.Epoch), Version: uint64(l.Sync.Version)}
	if err := d.Applied(t.Context(), d.by, d.link, at); err != nil {
		t.Fatal(err)
	}
	if l = d.find(t, d.lock); !l.Settled() {
		t.Fatalf("the lock is not settled: %+v", l.Sync)
	}
}

// beacon is the next beacon.
func (d *door) beacon(t testing.TB) grant.Beacon {
	t.Helper()
	raw, err := d.Beacon(t.Context(), d.by, d.link, nonce())
	if err != nil {
		t.Fatal(err)
	}
	var b grant.Beacon
	d.read(t, raw, grant.TypeBeacon, &b)
	return b
}

// read reads a signed frame from the server.
func (d *door) read(t testing.TB, raw []byte, want grant.Type, v any) {
	t.Helper()
	f, err := grant.Decode(raw, grant.MaxDown)
	if err != nil || f.Type != want {
		t.Fatalf("the frame is %s (%v), want %s", f.Type, err, want)
	}
	if err := grant.ReadSigned(f.Body, want, string(d.lock), v, d.answer.SigningKeys[0]); err != nil {
		t.Fatal(err)
	}
}

// did adds an event to the record.
func (d *door) did(e grant.Event) {
	e.Seq, e.Boot, e.Clock, e.At = 1, 1, grant.Trusted, d.clock.Now().UnixMilli()
	if e.Count == 0 {
		e.Count = 1
	}
	if n := len(d.events); n > 0 {
		e.Seq, e.Prev = d.events[n-1].Seq+1, d.events[n-1].Hash()
	}
	d.events = append(d.events, e)
}

// batch is a signed frame of events.
func (d *door) batch(t testing.TB, events ...grant.Event) []byte {
	t.Helper()
	raw, err := grant.Sign(grant.TypeEvents, string(d.lock), grant.Events{Type: grant.TypeEvents, Lock: string(d.lock), Events: events}, d.key)
	if err != nil {
		t.Fatal(err)
	}
	f, err := grant.Decode(raw, grant.MaxUp)
	if err != nil {
		t.Fatal(err)
	}
	return f.Body
}

func (d *door) deliver(t testing.TB, events ...grant.Event) int64 {
	t.Helper()
	through, err := d.Deliver(t.Context(), d.by, d.link, d.batch(t, events...))
	if err != nil {
		t.Fatal(err)
	}
	return through
}

func (h *house) eventsOf(t testing.TB, q smartlock.EventQuery) []smartlock.Event {
	t.Helper()
	p, err := h.ListEvents(t.Context(), auth.Job(h.w, "test"), q)
	if err != nil {
		t.Fatal(err)
	}
	return p.Items
}

// mails are the waiting mails of a type.
func mails[T outbox.Payload](t testing.TB, h *house) (out []T) {
	t.Helper()
	for _, m := range storetest.Messages(t, h.Store) {
		var p T
		if m.Kind != p.MessageKind() {
			continue
		}
		if err := json.Unmarshal(m.Payload, &p); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func refused(t testing.TB, err error, code string) {
	t.Helper()
	if f, ok := fault.As(err); !ok || f.Code != code {
		t.Errorf("the error is %v, want %s", err, code)
	}
}

// line asks for a line of an action.
func (h *house) line(t testing.TB, action string, outcome activity.Outcome, reason string, by auth.Caller) activity.Event {
	t.Helper()
	all := storetest.Activities(t, h.Store, h.w, action)
	i := slices.IndexFunc(all, func(e activity.Event) bool {
		return e.Outcome == outcome && e.Reason == reason && e.Actor.ID == by.Identity() && e.Actor.Type == string(by.Kind)
	})
	if i < 0 {
		t.Fatalf("no line %s %s %q by %s: %+v", action, outcome, reason, by.Identity(), all)
	}
	return all[i]
}

// wake keeps the owner's session open and fresh at the present moment.
func (h *house) wake(t testing.TB) {
	t.Helper()
	storetest.Exec(t, h.Database, `UPDATE signin_session SET expires_at = $1, last_seen_at = $2 WHERE id = $3`,
		h.clock.Now().Add(time.Hour).UnixMilli(), h.clock.Now().UnixMilli(), string(h.by.Session))
	h.by.StepUpAt = h.clock.Now()
}

// tx runs fn in a writing transaction.
func (h *house) tx(t testing.TB, fn func(ctx context.Context, tx smartlock.Tx) error) {
	t.Helper()
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error { return fn(ctx, tx) })
}

// sealed is a payload signed as the controller signs, whatever it is.
func (d *door) sealed(t testing.TB, payload []byte) []byte {
	t.Helper()
	raw, err := cose.Sign(d.key, payload, grant.External(string(d.lock)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
