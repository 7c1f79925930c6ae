package door_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/door"
)

func TestSnapshot_onlyIfItGrows(t *testing.T) {
	r := newRig(t)
	r.connect()
	lease := noon().Add(time.Hour)
	first := r.snapshot(2, lease, r.grantFor(1, "1111"))
	if got := types(r.send(first)); !slices.Equal(got, []grant.Type{grant.TypeApplied}) {
		t.Errorf("the answer to a snapshot is %v, want applied", got)
	}
	r.send(r.snapshot(3, lease))
	for name, frame := range map[string][]byte{"an older": first, "the same": r.snapshot(3, lease, r.grantFor(1, "1111"))} {
		nonce := r.nonce
		if got := types(r.send(frame)); !slices.Equal(got, []grant.Type{grant.TypeHello}) {
			t.Errorf("%s: the answer is %v, want hello", name, got)
		}
		if bytes.Equal(nonce, r.nonce) {
			t.Errorf("%s: the hello has the nonce of the one before", name)
		}
	}
	if s := r.engine.Status(); s.Version != 3 || s.Grants != 0 {
		t.Errorf("version %d with %d grants, want 3 and none", s.Version, s.Grants)
	}
	r.epoch = 2
	r.send(r.snapshot(1, lease, r.grantFor(1, "1111")))
	if s := r.engine.Status(); s.Epoch != 2 || s.Version != 1 || s.Grants != 1 {
		t.Errorf("epoch %d version %d with %d grants, want 2, 1 and 1", s.Epoch, s.Version, s.Grants)
	}
}

func TestDelta_onlyIfItFits(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"), r.grantFor(2, "2222"))
	lease := noon().Add(24 * time.Hour)
	three, changed := r.grantFor(3, "3333"), r.grantFor(2, "4444")
	for name, frame := range map[string][]byte{
		"from later":   r.delta(2, 3, lease, grant.Op{Put: &three}),
		"from earlier": r.delta(0, 3, lease, grant.Op{Put: &three}),
	} {
		if got := types(r.send(frame)); !slices.Equal(got, []grant.Type{grant.TypeHello}) {
			t.Errorf("%s: the answer is %v, want hello", name, got)
		}
	}
	r.epoch = 2
	if got := types(r.send(r.delta(1, 3, lease, grant.Op{Put: &three}))); !slices.Equal(got, []grant.Type{grant.TypeHello}) {
		t.Errorf("of another epoch: the answer is %v, want hello", got)
	}
	r.epoch = 1
	if got := r.engine.Status(); got.Version != 1 || got.Grants != 2 {
		t.Errorf("version %d with %d grants, want 1 and 2", got.Version, got.Grants)
	}
	r.send(r.delta(1, 5, lease, grant.Op{Put: &three}, grant.Op{Remove: &grant.ID{1}}, grant.Op{Put: &changed}, grant.Op{Remove: &grant.ID{9}}))
	r.reboot()
	r.settledKeep(lease)
	r.enter("1111", grant.ReasonUnknownPIN)
	r.enter("2222", grant.ReasonUnknownPIN)
	r.enter("3333", "")
	r.enter("4444", "")
	if got := r.engine.Status(); got.Version != 5 || got.Grants != 2 {
		t.Errorf("version %d with %d grants, want 5 and 2", got.Version, got.Grants)
	}
}

// settledKeep brings the door online at the present time with what it holds.
func (r *rig) settledKeep(lease time.Time) {
	r.t.Helper()
	r.connect()
	r.send(r.beacon(r.clock.Wall(), lease))
}

func TestDelta_isConfirmedOnceItIsOnDisk(t *testing.T) {
	for _, part := range []float64{0, 1} {
		r := newRig(t)
		r.settled(r.grantFor(1, "1111"))
		r.disk.cutAt, r.disk.part = 0, part
		out, err := r.engine.Receive(r.delta(1, 2, noon(), grant.Op{Remove: &grant.ID{1}}))
		if err == nil || len(out) > 0 {
			t.Errorf("without power the door answers %v, %v; want an error only", types(r.read(out)), err)
		}
		r.reboot()
		if s := r.engine.Status(); s.Version != 1 && part == 0 || s.Version != 2 && part == 1 {
			t.Errorf("version %d, part %v", s.Version, part)
		}
	}
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	door.Break(r.engine, door.Faults{AckBeforeWrite: true})
	r.send(r.delta(1, 2, noon(), grant.Op{Remove: &grant.ID{1}}))
	r.reboot()
	if s := r.engine.Status(); s.Version != 1 {
		t.Error("the broken engine kept what it did not write: this test proves nothing")
	}
}

func TestAccept_dropsWhatEndedLongAgo(t *testing.T) {
	r := newRig(t)
	old, fresh := r.grantFor(1, "1111"), r.grantFor(2, "2222")
	old.NotBefore, old.NotAfter = noon().Add(-60*time.Hour).Unix(), noon().Add(-49*time.Hour).Unix()
	fresh.NotBefore, fresh.NotAfter = noon().Add(-60*time.Hour).Unix(), noon().Add(-47*time.Hour).Unix()
	r.settled()
	lease := noon().Add(time.Hour)
	r.send(r.snapshot(2, lease, old, fresh))
	r.enter("1111", grant.ReasonUnknownPIN)
	r.enter("2222", grant.ReasonExpired)
}

func TestOpen_afterAnotherEnrolmentHoldsNothing(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	r.epoch = 2
	r.reboot()
	if s := r.engine.Status(); s.Epoch != 2 || s.Version != 0 || s.Grants != 0 || !s.Lease.IsZero() {
		t.Errorf("epoch %d, version %d, %d grants, lease %v; want 2, 0, none, none", s.Epoch, s.Version, s.Grants, s.Lease)
	}
	r.epoch = 1 // an older configuration does not bring anything back
	r.connect()
	r.send(r.beacon(noon(), noon().Add(time.Hour)))
	r.enter("1111", grant.ReasonUnknownPIN)
}

func TestBeacon_setsTheClockOnlyWithThisConnectionsNonce(t *testing.T) {
	r := newRig(t)
	r.connect()
	lease := noon().Add(24 * time.Hour)
	r.send(r.snapshot(1, lease, r.grantFor(1, "1111")))
	old := r.beacon(noon(), lease)
	r.engine.Disconnected()
	r.connect()
	r.send(old)
	if got := r.engine.Status().Clock; got != grant.Untrusted {
		t.Errorf("after another connection's beacon the clock is %s, want untrusted", got)
	}
	r.enter("1111", grant.ReasonNotYet) // the clock stands at the epoch of Unix
	r.send(r.beacon(noon(), lease))
	if got := r.engine.Status(); got.Clock != grant.Trusted || !got.Now.Equal(noon()) {
		t.Errorf("the clock is %s at %v, want trusted at %v", got.Clock, got.Now, noon())
	}
	r.enter("1111", "")
}

func TestClock_runsOnByElapsedTimeOnly(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	r.engine.Disconnected()
	r.clock.pass(time.Hour)
	r.clock.set(noon().Add(-24 * time.Hour))
	r.enter("1111", grant.ReasonExpired)
	r.clock.set(noon().Add(24 * time.Hour))
	if got := r.engine.Status().Now; !got.Equal(noon().Add(time.Hour)) {
		t.Errorf("the door's time is %v, want an hour after noon", got)
	}
}

func TestClock_expiredStaysExpiredOverAPowerCut(t *testing.T) {
	for _, battery := range []bool{false, true} {
		r := newRig(t)
		r.battery = battery
		r.reboot()
		g := r.grantFor(1, "1111")
		g.Flags = grant.SurvivesLease
		r.settled(g)
		r.engine.Disconnected()
		r.clock.pass(30 * time.Minute)
		r.enter("1111", "")
		r.clock.pass(30 * time.Minute)
		r.engine.Tick() // due, as the grant ends now
		r.clock.set(noon().Add(-24 * time.Hour))
		r.reboot()
		if got := r.engine.Status().Clock; got != grant.Untrusted {
			t.Errorf("battery %v: the clock is %s, want untrusted: the battery clock is behind", battery, got)
		}
		r.enter("1111", grant.ReasonExpired)
	}
}

// What ended stays ended after a power cut, though the time is written but once a minute.
func TestClock_isOnDiskWhenAGrantEnds(t *testing.T) {
	r := newRig(t)
	g := r.grantFor(1, "1111", 1, 2, 3, 4)
	g.NotAfter, g.Flags = noon().Add(10*time.Second).Unix(), grant.SurvivesLease
	r.settled(g)
	r.clock.pass(10 * time.Second)
	r.engine.Tick()
	r.reboot()
	r.enter("1111", grant.ReasonExpired)
}

func TestClock_isNeverBehindTheRecord(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "", 1, 2, 3, 4))
	r.clock.pass(20 * time.Second)
	r.tap("", 1, 2, 3, 4)
	r.reboot()
	if got := r.engine.Status().Now; !got.Equal(noon().Add(20 * time.Second)) {
		t.Errorf("after a power cut the time is %v, which the last event was past", got)
	}
}

func TestTick_isDueWhenAGrantEnds(t *testing.T) {
	r := newRig(t)
	g := r.grantFor(1, "1111")
	g.NotAfter = noon().Add(10 * time.Second).Unix()
	r.settled(g)
	r.engine.Tick()
	r.clock.pass(time.Second)
	if got := r.engine.Tick(); got != 9*time.Second {
		t.Errorf("Tick() = %v, want 9s: then the grant ends", got)
	}
}

func TestClock_withoutABeaconOnlyWhatSurvivesTheLeaseOpens(t *testing.T) {
	r := newRig(t)
	plain, safe := r.grantFor(1, "1111"), r.grantFor(2, "2222")
	safe.Flags = grant.SurvivesLease
	r.settled(plain, safe)
	r.clock.pass(time.Minute)
	r.engine.Tick()
	r.reboot()
	if got := r.engine.Status(); got.Clock != grant.Untrusted || !got.Now.Equal(noon().Add(time.Minute)) {
		t.Errorf("the clock is %s at %v, want untrusted at the last known time", got.Clock, got.Now)
	}
	r.enter("1111", grant.ReasonClockUntrusted)
	r.enter("2222", "")
	r.connect()
	got := r.result(r.send(r.command(1, grant.OpOpen, nil, noon().Add(time.Hour))))
	if got.Reason != grant.ReasonClockUntrusted {
		t.Errorf("a command without a clock: %+v", got)
	}
	r.battery = true
	r.reboot()
	if got := r.engine.Status().Clock; got != grant.Battery {
		t.Errorf("the clock is %s, want battery", got)
	}
	r.enter("1111", "")
}

func TestBeacon_setsAFastClockBack(t *testing.T) {
	r := newRig(t)
	r.battery = true
	r.clock.set(noon().Add(48 * time.Hour))
	r.reboot()
	r.connect()
	r.clock.pass(2 * time.Second)
	r.send(r.beacon(noon(), noon()))
	// Between the hello and the beacon two seconds passed: so much is not known.
	if got := r.engine.Status().Now; !got.Equal(noon().Add(2 * time.Second)) {
		t.Errorf("the time is %v, want noon and two seconds", got)
	}
	r.battery = false
	r.reboot()
	if got := r.engine.Status().Now; !got.Equal(noon().Add(2 * time.Second)) {
		t.Errorf("after a power cut the time is %v, want noon and two seconds", got)
	}
}

func TestBeacon_neverGoesBehindWhatWasHeard(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	r.clock.pass(time.Minute)
	r.send(r.beacon(noon().Add(time.Hour), noon().Add(24*time.Hour)))
	r.enter("1111", grant.ReasonExpired)
	r.reboot()
	r.connect()
	r.send(r.beacon(noon(), noon().Add(24*time.Hour)))
	if got := r.engine.Status().Now; got.Before(noon().Add(time.Hour)) {
		t.Errorf("the time is %v, which an earlier beacon was past", got)
	}
	r.enter("1111", grant.ReasonExpired)
}

// Frames that are held up or come twice do not make an expired key work.
func TestBeacon_heldUpSetsNothingBack(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	r.connect()
	late := r.beacon(noon(), noon().Add(24*time.Hour))
	r.clock.pass(time.Hour)
	r.send(late)
	r.send(late)
	r.enter("1111", grant.ReasonExpired)
}

func TestBeacon_ofALaterVersionAsksForIt(t *testing.T) {
	r := newRig(t)
	r.settled()
	frame := r.sign(grant.TypeBeacon, grant.Beacon{
		Type: grant.TypeBeacon, Lock: string(r.lock), Now: noon().UnixMilli(), Epoch: 1, Version: 2, LeaseUntil: noon().Add(time.Hour).Unix(), Nonce: r.nonce,
	})
	if got := types(r.send(frame)); !slices.Equal(got, []grant.Type{grant.TypeHello}) {
		t.Errorf("the answer is %v, want hello", got)
	}
}

func TestBeacon_leaseOutlivesAPowerCut(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	r.send(r.beacon(noon().Add(time.Second), noon().Add(30*time.Minute)))
	r.send(r.beaconFor(make([]byte, grant.NonceSize), noon().Add(2*time.Second), noon())) // not for this connection
	r.reboot()
	if got := r.engine.Status().Lease; !got.Equal(noon().Add(30 * time.Minute)) {
		t.Errorf("the lease ends %v, want as the beacon said", got)
	}
	r.connect()
	r.send(r.snapshot(2, noon().Add(40*time.Minute)))
	if got := r.engine.Status().Lease; !got.Equal(noon().Add(40 * time.Minute)) {
		t.Errorf("the lease ends %v, want as the snapshot says", got)
	}
	r.reboot()
	if got := r.engine.Status().Lease; !got.Equal(noon().Add(40 * time.Minute)) {
		t.Errorf("the lease ends %v, want as the snapshot said", got)
	}
}

func TestCommand_opensOnce(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	panel, app := r.command(1, grant.OpOpen, nil, noon().Add(10*time.Second)), r.command(2, grant.OpOpen, &grant.ID{1}, noon().Add(10*time.Second))
	for name, frame := range map[string][]byte{"panel": panel, "app": app} {
		if got := r.result(r.send(frame)); got.Outcome != grant.Opened || got.Reason != "" {
			t.Errorf("%s: %+v", name, got)
		}
		if e := r.last(grant.Opened, ""); e.Medium != grant.Medium(name) || e.Command == nil {
			t.Errorf("%s: the event is %+v", name, e)
		}
		if got := r.result(r.send(frame)); got.Outcome != grant.Refused || got.Reason != grant.ReasonRepeated {
			t.Errorf("%s again: %+v", name, got)
		}
	}
	r.reboot()
	r.settledKeep(noon().Add(time.Hour))
	for _, frame := range [][]byte{panel, app} {
		if got := r.result(r.send(frame)); got.Reason != grant.ReasonRepeated {
			t.Errorf("after a power cut: %+v", got)
		}
	}
	if len(r.bolt.opened) != 2 {
		t.Errorf("the bolt was opened %d times, want 2", len(r.bolt.opened))
	}
}

func TestCommand_isRefusedWithItsReason(t *testing.T) {
	r := newRig(t)
	pin := r.grantFor(1, "1111")
	pin.Kinds = grant.ByPIN
	over := r.grantFor(2, "")
	over.NotAfter = noon().Unix()
	r.settled(pin, over)
	for i, c := range []struct {
		grant  *grant.ID
		after  time.Time
		reason string
	}{
		{&grant.ID{9}, noon().Add(time.Second), grant.ReasonUnknownGrant},
		{&grant.ID{1}, noon().Add(time.Second), grant.ReasonWrongKind},
		{&grant.ID{2}, noon().Add(time.Second), grant.ReasonExpired},
		{nil, noon(), grant.ReasonLate},
	} {
		frame := r.command(byte(10+i), grant.OpOpen, c.grant, c.after)
		if got := r.result(r.send(frame)); got.Outcome != grant.Refused || got.Reason != c.reason {
			t.Errorf("%+v, want %s", got, c.reason)
		}
		r.last(grant.Refused, c.reason)
	}
	if len(r.bolt.opened) > 0 {
		t.Error("the bolt was opened")
	}
}

// The engine that is broken on purpose fails what the right one is held to.
func TestBreak_isNoticed(t *testing.T) {
	r := newRig(t)
	r.settled()
	door.Break(r.engine, door.Faults{ForgetCommands: true, IgnoreNotAfter: true, SkipFromCheck: true, ReuseSeq: true})
	c := r.command(1, grant.OpOpen, nil, noon().Add(-time.Second))
	r.send(c)
	last := r.engine.Status().Last
	r.send(c)
	r.send(r.delta(7, 9, noon()))
	if s := r.engine.Status(); len(r.bolt.opened) != 2 || s.Version != 9 || s.Last != last {
		t.Errorf("%d openings, version %d, last event %d; want 2, 9, %d", len(r.bolt.opened), s.Version, s.Last, last)
	}
}

func TestTeach_reportsTheNextCardAndDoesNotOpen(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "", 1, 2, 3, 4))
	teach := r.command(1, grant.OpTeachCard, nil, noon().Add(time.Second))
	if got := r.send(teach); len(got) > 0 {
		t.Errorf("the answer is %v, want none yet", types(got))
	}
	if got := r.result(r.send(teach)); got.Reason != grant.ReasonRepeated {
		t.Errorf("the same once more: %+v", got)
	}
	r.tap(grant.ReasonCardTaught, 1, 2, 3, 4)
	r.last(grant.Notice, grant.ReasonCardTaught)
	got := r.result(r.read(r.engine.Outgoing()))
	if got.ID != (grant.CommandID{1}) || got.Outcome != grant.Notice || got.Reason != grant.ReasonCardTaught || !bytes.Equal(got.Card, []byte{1, 2, 3, 4}) {
		t.Errorf("the result is %+v", got)
	}
	r.tap("", 1, 2, 3, 4)
	r.send(r.command(2, grant.OpTeachCard, nil, noon().Add(time.Second)))
	r.clock.pass(30 * time.Second)
	r.engine.Tick()
	if got := r.result(r.read(r.engine.Outgoing())); got.ID != (grant.CommandID{2}) || got.Outcome != grant.Refused || got.Reason != grant.ReasonNoCard {
		t.Errorf("without a card the result is %+v", got)
	}
	r.tap("", 1, 2, 3, 4)
}

func TestState_isToldWhenItChanges(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	state := func() grant.State {
		t.Helper()
		var s grant.State
		for _, f := range r.read(r.engine.Outgoing()) {
			if f.Type == grant.TypeState {
				if err := grant.Read(f.Body, &s); err != nil {
					t.Fatal(err)
				}
			}
		}
		return s
	}
	r.enter("1111", "")
	if got := state().Lock; got != "unlocked" {
		t.Errorf("the state is %q, want unlocked", got)
	}
	if got := state().Lock; got != "" {
		t.Errorf("the state is told again: %q", got)
	}
	if got := r.engine.Tick(); got != 7*time.Second {
		t.Errorf("Tick() = %v, want 7s: then it locks", got)
	}
	r.clock.pass(7 * time.Second)
	if got := state().Lock; got != "locked" {
		t.Errorf("the state is %q, want locked", got)
	}
	r.engine.ObserveDoor("open")
	r.engine.ObserveBattery(40)
	if got := state(); got.Door != "open" || got.Battery == nil || *got.Battery != 40 {
		t.Errorf("the state is %+v", got)
	}
}

func TestTick_saysHelloAgainIfNobodyAnswers(t *testing.T) {
	r := newRig(t)
	r.connect()
	for range 2 {
		r.engine.Tick()
		if got := types(r.read(r.engine.Outgoing())); len(got) > 0 {
			t.Errorf("too early: %v", got)
		}
		r.clock.pass(30 * time.Second)
		r.engine.Tick()
		if got := types(r.read(r.engine.Outgoing())); !slices.Equal(got, []grant.Type{grant.TypeHello}) {
			t.Errorf("after 30 s: %v, want hello", got)
		}
	}
}
