package door_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/door"
)

var errPower = errors.New("the power is off")

// memDisk is a disk in memory whose power can be cut in the middle of any change.
type memDisk struct {
	mu    sync.Mutex
	files map[string][]byte
	// cutAt counts changes down: at 0 the change is done by part of it and everything
	// after fails. Negative is never.
	cutAt int
	part  float64 // how much of the change still arrives, 0 to 1
	off   bool
	fails bool // changes fail, reads work
	half  bool // when they fail, part of an append arrives
	wrote int  // changes so far
}

func newDisk() *memDisk { return &memDisk{files: map[string][]byte{}, cutAt: -1} }

// again returns the disk as it is after the power is back.
func (d *memDisk) again() *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	return &memDisk{files: maps.Clone(d.files), cutAt: -1}
}

func (d *memDisk) change(whole func(), part func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.off:
		return errPower
	case d.fails:
		if d.half {
			part()
		}
		return errors.New("the disk is full")
	case d.cutAt == 0:
		d.off = true
		part()
		return errPower
	}
	d.cutAt--
	d.wrote++
	whole()
	return nil
}

func (d *memDisk) Read(name string) ([]byte, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	data, found := d.files[name]
	return bytes.Clone(data), found, nil
}

func (d *memDisk) Write(name string, data []byte) error {
	set := func() { d.files[name] = bytes.Clone(data) }
	return d.change(set, func() {
		if d.part >= .5 {
			set()
		}
	})
}

func (d *memDisk) Append(name string, data []byte) error {
	add := func(n int) { d.files[name] = append(bytes.Clone(d.files[name]), data[:n]...) }
	return d.change(func() { add(len(data)) }, func() { add(int(float64(len(data)) * d.part)) })
}

func (d *memDisk) Remove(name string) error {
	return d.change(func() { delete(d.files, name) }, func() {
		if d.part >= .5 {
			delete(d.files, name)
		}
	})
}

func (d *memDisk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.files)), nil
}

// fakeClock stands still until it is moved.
type fakeClock struct {
	mu      sync.Mutex
	wall    time.Time
	elapsed time.Duration
}

func (c *fakeClock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *fakeClock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed
}

// pass lets time pass.
func (c *fakeClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.elapsed = c.wall.Add(d), c.elapsed+d
}

// set moves the date only.
func (c *fakeClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = t
}

// fakeBolt counts openings. before is called at each.
type fakeBolt struct {
	opened []time.Duration
	err    error
	before func()
}

func (b *fakeBolt) Open(d time.Duration) error {
	if b.before != nil {
		b.before()
	}
	if b.err == nil {
		b.opened = append(b.opened, d)
	}
	return b.err
}

// rig is a door with its server's keys.
type rig struct {
	t       *testing.T
	disk    *memDisk
	clock   *fakeClock
	bolt    *fakeBolt
	engine  *door.Engine
	battery bool
	epoch   uint64

	lock    id.Lock
	secret  secret.Bytes
	key     ed25519.PrivateKey
	signing ed25519.PrivateKey
	nonce   []byte
	hello   grant.Hello
}

// public returns the key's public half: the last 32 bytes (RFC 8032).
func public(key ed25519.PrivateKey) ed25519.PublicKey { return ed25519.PublicKey(key[32:]) }

// noon is when the tests begin.
func noon() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }

func newRig(t *testing.T) *rig {
	t.Helper()
	lock, _ := id.FromBytes[id.KindLock](bytes.Repeat([]byte{5}, 16)) // the same for each rig: fuzz seeds are signed for it
	r := &rig{
		t: t, disk: newDisk(), clock: &fakeClock{wall: noon()}, bolt: &fakeBolt{}, epoch: 1,
		lock: lock, secret: secret.New(bytes.Repeat([]byte{7}, grant.SecretSize)),
		key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), signing: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)),
	}
	r.start()
	return r
}

func (r *rig) config() door.Config {
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	return door.Config{
		Lock: r.lock, Secret: r.secret, Key: r.key, Epoch: r.epoch,
		SigningKeys: []ed25519.PublicKey{public(r.signing), public(other)},
		Disk:        r.disk, Output: r.bolt, Clock: r.clock, BatteryClock: r.battery, Software: "keyhold-lock test",
	}
}

func (r *rig) start() {
	r.t.Helper()
	e, err := door.Open(r.config())
	if err != nil {
		r.t.Fatalf("Open() = %v", err)
	}
	r.engine = e
}

// reboot cuts the power and starts anew.
func (r *rig) reboot() {
	r.t.Helper()
	r.disk = r.disk.again()
	r.start()
}

// connect opens a link and reads the hello.
func (r *rig) connect() {
	r.t.Helper()
	r.read(r.engine.Connected())
}

// read takes what the door says; it remembers the last hello.
func (r *rig) read(frames [][]byte) []grant.Frame {
	r.t.Helper()
	var out []grant.Frame
	for _, raw := range frames {
		f, err := grant.Decode(raw, grant.MaxUp)
		if err != nil {
			r.t.Fatalf("the door said what is no frame: %v", err)
		}
		if f.Type == grant.TypeHello {
			r.hello = grant.Hello{}
			if err := grant.Read(f.Body, &r.hello); err != nil {
				r.t.Fatalf("the door's hello: %v", err)
			}
			r.nonce = r.hello.Nonce
		}
		out = append(out, f)
	}
	return out
}

// send gives the door a frame and returns its answer.
func (r *rig) send(frame []byte) []grant.Frame {
	r.t.Helper()
	out, err := r.engine.Receive(frame)
	if err != nil {
		r.t.Fatalf("Receive() = %v", err)
	}
	return r.read(out)
}

func (r *rig) sign(t grant.Type, body any) []byte {
	r.t.Helper()
	frame, err := grant.Sign(t, string(r.lock), body, r.signing)
	if err != nil {
		r.t.Fatalf("Sign() = %v", err)
	}
	return frame
}

func (r *rig) snapshot(version uint64, lease time.Time, grants ...grant.Grant) []byte {
	return r.sign(grant.TypeSnapshot, grant.Snapshot{
		Type: grant.TypeSnapshot, Lock: string(r.lock), Epoch: r.epoch, Version: version, LeaseUntil: lease.Unix(), OpenSeconds: 7, Grants: grants,
	})
}

func (r *rig) delta(from, to uint64, lease time.Time, ops ...grant.Op) []byte {
	return r.sign(grant.TypeDelta, grant.Delta{
		Type: grant.TypeDelta, Lock: string(r.lock), Epoch: r.epoch, From: from, To: to, LeaseUntil: lease.Unix(), OpenSeconds: 7, Ops: ops,
	})
}

func (r *rig) beacon(now, lease time.Time) []byte { return r.beaconFor(r.nonce, now, lease) }

func (r *rig) beaconFor(nonce []byte, now, lease time.Time) []byte {
	s := r.engine.Status()
	return r.sign(grant.TypeBeacon, grant.Beacon{
		Type: grant.TypeBeacon, Lock: string(r.lock), Now: now.UnixMilli(), Epoch: s.Epoch, Version: s.Version, LeaseUntil: lease.Unix(), Nonce: nonce,
	})
}

func (r *rig) command(n byte, op string, g *grant.ID, notAfter time.Time) []byte {
	return r.sign(grant.TypeCommand, grant.Command{
		Type: grant.TypeCommand, Lock: string(r.lock), ID: grant.CommandID{n}, Op: op, Grant: g, NotAfter: notAfter.UnixMilli(),
	})
}

// settled brings the door online at the present time with the grants and a lease of a day.
func (r *rig) settled(grants ...grant.Grant) {
	r.t.Helper()
	r.connect()
	s := r.engine.Status()
	lease := r.clock.Wall().Add(24 * time.Hour)
	r.send(r.snapshot(s.Version+1, lease, grants...))
	r.send(r.beacon(r.clock.Wall(), lease))
}

// grantFor returns a grant for an hour around noon, by app and by the PIN and the card, if
// they are not empty.
func (r *rig) grantFor(n byte, pin string, uid ...byte) grant.Grant {
	g := grant.Grant{ID: grant.ID{n}, NotBefore: noon().Add(-time.Hour).Unix(), NotAfter: noon().Add(time.Hour).Unix(), Kinds: grant.ByApp}
	if pin != "" {
		tag := grant.PINTag(r.secret, secret.FromString(pin))
		g.Kinds, g.PIN = g.Kinds|grant.ByPIN, &tag
	}
	if len(uid) > 0 {
		tag := grant.CardTag(r.secret, uid)
		g.Kinds, g.Card = g.Kinds|grant.ByCard, &tag
	}
	return g
}

// enter presses a PIN and asserts what becomes of it.
func (r *rig) enter(pin, reason string) {
	r.t.Helper()
	r.verdict("Enter("+pin+")", r.engine.Enter(pin), reason)
}

func (r *rig) tap(reason string, uid ...byte) {
	r.t.Helper()
	r.verdict("Tap()", r.engine.Tap(uid), reason)
}

func (r *rig) verdict(what string, got door.Verdict, reason string) {
	r.t.Helper()
	if want := (door.Verdict{Opened: reason == "", Reason: reason}); got != want {
		r.t.Errorf("%s = %+v, want %+v", what, got, want)
	}
}

// last asserts the newest event's reason and outcome, and returns it.
func (r *rig) last(outcome grant.Outcome, reason string) grant.Event {
	r.t.Helper()
	e := r.engine.Status().Events[0]
	if e.Outcome != outcome || e.Reason != reason {
		r.t.Errorf("the newest event is %s %q, want %s %q", e.Outcome, e.Reason, outcome, reason)
	}
	return e
}

// result reads the one result among frames.
func (r *rig) result(frames []grant.Frame) grant.Result {
	r.t.Helper()
	var out grant.Result
	n := 0
	for _, f := range frames {
		if f.Type == grant.TypeResult {
			n++
			if err := grant.Read(f.Body, &out); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if n != 1 {
		r.t.Errorf("%d results, want 1", n)
	}
	return out
}

func types(frames []grant.Frame) []grant.Type {
	out := []grant.Type{}
	for _, f := range frames {
		out = append(out, f.Type)
	}
	return out
}

// events reads the one batch among frames.
func (r *rig) events(frames []grant.Frame) []grant.Event {
	r.t.Helper()
	for _, f := range frames {
		if f.Type == grant.TypeEvents {
			var out grant.Events
			if err := grant.ReadSigned(f.Body, grant.TypeEvents, string(r.lock), &out, public(r.key)); err != nil {
				r.t.Fatalf("the batch: %v", err)
			}
			return out.Events
		}
	}
	return nil
}
