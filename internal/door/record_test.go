package door_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/door"
)

// deliver takes all batches that the door sends, each answered at once.
func (r *rig) deliver(through uint64) []grant.Event {
	r.t.Helper()
	var all []grant.Event
	for {
		r.send(grant.Encode(grant.TypeEventAck, grant.EventAck{Through: through}))
		batch := r.events(r.read(r.engine.Outgoing()))
		if len(batch) == 0 {
			return all
		}
		if again := r.events(r.read(r.engine.Outgoing())); len(again) > 0 {
			r.t.Fatal("a second batch is sent while the first is under way")
		}
		all = append(all, batch...)
		through = batch[len(batch)-1].Seq
	}
}

// chained asserts that the events follow one another.
func chained(t *testing.T, events []grant.Event) {
	t.Helper()
	for i, e := range events[1:] {
		if e.Seq != events[i].Seq+1 || e.Prev != events[i].Hash() {
			t.Fatalf("event %d does not follow %d", e.Seq, events[i].Seq)
		}
	}
}

func TestEvents_areDeliveredOnceTheServerAsked(t *testing.T) {
	r := newRig(t)
	for range 450 {
		r.clock.pass(time.Minute)
		r.tap(grant.ReasonUnknownCard, 9, 9, 9, 9)
	}
	r.connect()
	if got := types(r.read(r.engine.Outgoing())); slices.Contains(got, grant.TypeEvents) {
		t.Error("events are sent before the server said which it has")
	}
	all := r.deliver(0)
	if len(all) != 451 || all[0].Seq != 1 {
		t.Fatalf("%d events from %d, want 451 from 1", len(all), all[0].Seq)
	}
	chained(t, all)
	if all[5].Offline != true {
		t.Error("an event of the time without a link does not say so")
	}
	// From where the server says, also back.
	if got := r.deliver(440); len(got) != 11 || got[0].Seq != 441 {
		t.Errorf("%d events, want 11 from 441", len(got))
	}
	// What is under way is sent again if nobody confirms it.
	r.tap(grant.ReasonUnknownCard, 9, 9, 9, 9)
	if got := r.events(r.read(r.engine.Outgoing())); len(got) != 1 {
		t.Fatalf("%d events, want 1", len(got))
	}
	r.engine.Disconnected()
	r.connect()
	if got := r.deliver(451); len(got) != 1 || got[0].Seq != 452 {
		t.Errorf("%d events, want number 452 again", len(got))
	}
}

func TestEvents_ringKeepsTheNewest(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "", 1, 2, 3, 4))
	r.engine.Disconnected()
	for range grant.MaxRing + door.SegmentEvents + 500 {
		if v := r.engine.Tap([]byte{1, 2, 3, 4}); !v.Opened {
			t.Fatalf("Tap() = %+v", v)
		}
	}
	check := func() {
		t.Helper()
		s := r.engine.Status()
		if s.Last-s.First+1 != grant.MaxRing {
			t.Errorf("%d events are kept, want %d", s.Last-s.First+1, grant.MaxRing)
		}
		if n := len(r.disk.files); n > 3+grant.MaxRing/door.SegmentEvents+1 {
			t.Errorf("%d files, want no more than the ring needs", n)
		}
	}
	check()
	r.reboot()
	check()
	r.connect()
	if r.hello.EventFirst != r.hello.EventLast-grant.MaxRing+1 {
		t.Errorf("the hello says %d to %d", r.hello.EventFirst, r.hello.EventLast)
	}
	all := r.deliver(3) // the server has three; those after it are gone
	if len(all) != grant.MaxRing || all[0].Seq != r.hello.EventFirst {
		t.Errorf("%d events from %d, want the whole ring", len(all), all[0].Seq)
	}
	chained(t, all)
}

// Whenever the power goes, every event that was acted upon is there, once, and the chain
// goes on.
func TestEvents_outliveEveryPowerCut(t *testing.T) {
	for _, part := range []float64{0, .3, .9, 1} {
		r := newRig(t)
		r.settled(r.grantFor(1, "", 1, 2, 3, 4))
		r.bolt.opened = nil
		for cut := range 12 {
			r.disk.cutAt, r.disk.part = cut%3, part
			for range 4 {
				r.engine.Tap([]byte{1, 2, 3, 4})
			}
			r.reboot()
			r.settledKeep(r.clock.Wall().Add(time.Hour))
		}
		r.connect()
		all := r.deliver(0)
		chained(t, all)
		opened := 0
		for _, e := range all {
			if e.Outcome == grant.Opened {
				opened++
			}
		}
		// An event may be on disk though the power went before the bolt moved.
		if n := len(r.bolt.opened); n == 0 || opened < n || part < 1 && opened != n {
			t.Errorf("part %v: %d openings are recorded, and the bolt moved %d times", part, opened, n)
		}
	}
}

func TestEvents_damageLosesNoNumberThatTheServerHas(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "", 1, 2, 3, 4))
	for range 20 {
		r.tap("", 1, 2, 3, 4)
	}
	all := r.deliver(0)
	r.clock.pass(time.Minute)
	r.engine.Tick()
	for name, data := range r.disk.files {
		if events, _ := door.ReadSegment(data); len(events) > 10 {
			data = bytes.Clone(data)
			data[len(data)/2] ^= 1
			r.disk.files[name] = data
		}
	}
	r.reboot()
	if s := r.engine.Status(); s.Last <= all[len(all)-1].Seq {
		t.Errorf("the newest event has number %d, which the server has already", s.Last)
	}
	r.reboot() // and what is left can be read again
	if s := r.engine.Status(); s.Last-s.First != 1 {
		t.Errorf("events %d to %d are kept, want the two starts", s.First, s.Last)
	}
}

func TestOpen_damagedFilesOpenNothing(t *testing.T) {
	for _, name := range []string{"grants", "clock", "keypad"} {
		r := newRig(t)
		r.settled(r.grantFor(1, "1111"))
		r.enter("9999", grant.ReasonUnknownPIN)
		data := bytes.Clone(r.disk.files[name])
		data[len(data)-1] ^= 1
		r.disk.files[name] = data
		r.reboot()
		if v := r.engine.Enter("1111"); v.Opened {
			t.Errorf("with a damaged file %s the door opens", name)
		}
		if name == "keypad" && r.engine.Status().PausedFor == 0 {
			t.Error("a damaged count of wrong PINs begins without a pause")
		}
		r.connect()
		if name == "grants" && r.hello.Version != 0 {
			t.Errorf("the hello says version %d, want 0", r.hello.Version)
		}
	}
}

func TestOpen_countsStarts(t *testing.T) {
	r := newRig(t)
	for want := uint64(2); want < 5; want++ {
		r.reboot()
		if e := r.last(grant.Notice, grant.ReasonBoot); e.Boot != want {
			t.Errorf("the start has number %d, want %d", e.Boot, want)
		}
	}
}

func FuzzReceive(f *testing.F) {
	r := newRig(&testing.T{})
	r.settled(r.grantFor(1, "1111", 1, 2, 3, 4))
	three := r.grantFor(3, "3333")
	for _, seed := range [][]byte{
		r.snapshot(7, noon(), r.grantFor(1, "1111"), r.grantFor(2, "", 1, 2, 3, 4)), r.delta(1, 2, noon(), grant.Op{Put: &three}, grant.Op{Remove: &grant.ID{1}}),
		r.beaconFor(make([]byte, grant.NonceSize), noon(), noon()), r.command(1, grant.OpOpen, nil, noon().Add(time.Second)),
		r.command(2, grant.OpTeachCard, nil, noon().Add(time.Second)), grant.Encode(grant.TypeEventAck, grant.EventAck{Through: 1}), nil,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := newRig(t)
		r.settled(r.grantFor(1, "1111"))
		before := r.engine.Status()
		out, err := r.engine.Receive(frame)
		after := r.engine.Status()
		if err != nil && (len(out) > 0 || after.Version != before.Version || after.Last != before.Last || after.Confirmed != before.Confirmed || !after.Now.Equal(before.Now)) {
			t.Errorf("a frame that is refused changed something: %+v", after)
		}
		if len(r.bolt.opened) > 0 && !bytes.Contains(frame, []byte("command")) {
			t.Error("the bolt was opened by what is no command")
		}
		r.read(out)
		r.read(r.engine.Outgoing())
		r.engine.Tick()
		r.reboot()
	})
}

func FuzzEventLog(f *testing.F) {
	r := newRig(&testing.T{})
	r.engine.Tap([]byte{1, 2, 3, 4})
	for _, data := range r.disk.files {
		if events, _ := door.ReadSegment(data); len(events) > 0 {
			f.Add(data)
			f.Add(data[:len(data)-3])
		}
	}
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		events, torn := door.ReadSegment(data)
		var again []byte
		for _, e := range events {
			piece, err := door.Pack(e)
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, piece...)
		}
		if read, half := door.ReadSegment(again); half || len(read) != len(events) || !torn && len(events) == 0 && len(data) > 0 {
			t.Errorf("%d events are %d when they are written and read again", len(events), len(read))
		}
		r := newRig(t)
		r.disk.files["events-00000000000000000001"] = data
		r.reboot()
		r.engine.Tap([]byte{1, 2, 3, 4})
		s := r.engine.Status()
		slices.Reverse(s.Events)
		chained(t, s.Events)
	})
}

func TestPeek_changesNothing(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	r.enter("9999", grant.ReasonUnknownPIN)
	before := r.disk.wrote
	s, err := door.Peek(r.config())
	if want := r.engine.Status(); err != nil || s.Version != want.Version || s.Last != want.Last || s.Wrong != want.Wrong || s.Boot != want.Boot || !s.Lease.Equal(want.Lease) {
		t.Errorf("Peek() = %+v, %v, want %+v", s, err, want)
	}
	if r.disk.wrote != before {
		t.Error("Peek() wrote")
	}
}
