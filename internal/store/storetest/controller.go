package storetest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// Controller is a lock's controller in a test: it tells the service what one at a door
// would, without a network.
type Controller struct {
	By     auth.Caller
	Link   string
	Lock   id.Lock
	At     grant.Applied // what it holds
	locks  *smartlock.Service
	key    ed25519.PrivateKey
	answer grant.Enrolment
	last   *grant.Event
}

// EnrolController enrols a controller by the token and opens its link. It holds nothing yet.
func EnrolController(t testing.TB, locks *smartlock.Service, text string) *Controller {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	e, ok := token.ParseEnrolment(text)
	if !ok {
		t.Fatal("this is no token of an enrolment")
	}
	raw, err := locks.Enrol(t.Context(), auth.Nobody("192.0.2.9", "door", "req_door"), text, csr)
	if err != nil {
		t.Fatal(err)
	}
	c := &Controller{locks: locks, key: key, Lock: e.Lock, Link: "link-" + string(e.Lock)}
	if c.answer, err = grant.ReadEnrolment(raw, string(e.Lock), e.Root); err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(c.answer.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	lock, serial, ok := smartlock.CertificateOf(certificate)
	if !ok || lock != c.Lock {
		t.Fatalf("the certificate is of %q", certificate.Subject.CommonName)
	}
	if c.By, err = locks.Verify(t.Context(), auth.Nobody("192.0.2.9", "door", "req_door"), lock, serial); err != nil {
		t.Fatal(err)
	}
	c.At.Epoch = c.answer.Epoch
	c.Greet(t)
	return c
}

// Secret is the secret of the lock's tags.
func (c *Controller) Secret() []byte { return bytes.Clone(c.answer.Secret) }

// Greet says hello, and makes the lock online.
func (c *Controller) Greet(t testing.TB) {
	t.Helper()
	h := grant.Hello{
		Epoch: c.At.Epoch, Version: c.At.Version, EventFirst: 1, Quality: grant.Trusted, Nonce: bytes.Repeat([]byte{7}, grant.NonceSize), Software: "test/1",
	}
	if c.last != nil {
		h.EventLast = c.last.Seq
	}
	if _, err := c.locks.Connect(t.Context(), c.By, c.Link, h); err != nil {
		t.Fatal(err)
	}
}

// Pull takes what there is to be known, and returns the ids of what is to be put and what
// is to be removed. It confirms nothing.
func (c *Controller) Pull(t testing.TB) (put, removed []grant.ID) {
	t.Helper()
	u, some, err := c.locks.Pull(t.Context(), c.By, c.Link, c.At)
	if err != nil {
		t.Fatal(err)
	}
	if !some {
		return nil, nil
	}
	f, err := grant.Decode(u.Frame, grant.MaxDown)
	if err != nil {
		t.Fatal(err)
	}
	var whole grant.Snapshot
	var part grant.Delta
	switch f.Type {
	case grant.TypeSnapshot:
		err = grant.ReadSigned(f.Body, f.Type, string(c.Lock), &whole, c.answer.SigningKeys[0])
	case grant.TypeDelta:
		err = grant.ReadSigned(f.Body, f.Type, string(c.Lock), &part, c.answer.SigningKeys[0])
	default:
		t.Fatalf("the update is a %s", f.Type)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range whole.Grants {
		put = append(put, g.ID)
	}
	for _, op := range part.Ops {
		if op.Put != nil {
			put = append(put, op.Put.ID)
		} else {
			removed = append(removed, *op.Remove)
		}
	}
	c.At = grant.Applied{Epoch: uint64(u.Epoch), Version: uint64(u.To)}
	return put, removed
}

// Confirm says that what was pulled is in force, and takes the lease that this gives.
func (c *Controller) Confirm(t testing.TB) {
	t.Helper()
	if err := c.locks.Applied(t.Context(), c.By, c.Link, c.At); err != nil {
		t.Fatal(err)
	}
	if _, err := c.locks.Beacon(t.Context(), c.By, c.Link, bytes.Repeat([]byte{7}, grant.NonceSize)); err != nil {
		t.Fatal(err)
	}
}

// Did delivers an event.
func (c *Controller) Did(t testing.TB, e grant.Event, at time.Time) {
	t.Helper()
	e.Seq, e.Boot, e.Clock, e.At, e.Count = 1, 1, grant.Trusted, at.UnixMilli(), max(e.Count, 1)
	e.Epoch, e.Version = c.At.Epoch, c.At.Version
	if c.last != nil {
		e.Seq, e.Prev = c.last.Seq+1, c.last.Hash()
	}
	c.last = &e
	raw, err := grant.Sign(grant.TypeEvents, string(c.Lock), grant.Events{Type: grant.TypeEvents, Lock: string(c.Lock), Events: []grant.Event{e}}, c.key)
	if err != nil {
		t.Fatal(err)
	}
	f, err := grant.Decode(raw, grant.MaxUp)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.locks.Deliver(t.Context(), c.By, c.Link, f.Body); err != nil {
		t.Fatal(err)
	}
}

// Do does what the controller is told to do at once, with that outcome, and returns how
// many commands there were.
func (c *Controller) Do(t testing.TB, r grant.Result) int {
	t.Helper()
	all, err := c.locks.Commands(t.Context(), c.By, c.Link)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range all {
		r.ID = grant.CommandID(command.ID.Bytes())
		if err := c.locks.Result(t.Context(), c.By, c.Link, r); err != nil {
			t.Fatal(err)
		}
	}
	return len(all)
}
