package door_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/cose"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/door"
)

func TestEnter_opensWithAHeldGrant(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "246813"))
	r.bolt.before = func() {
		// The engine's lock is held: look at the disk.
		var events []grant.Event
		for name, data := range r.disk.files {
			if name != "grants" && name != "clock" && name != "keypad" {
				events, _ = door.ReadSegment(data)
			}
		}
		if e := events[len(events)-1]; e.Outcome != grant.Opened {
			t.Errorf("as the bolt moved, the newest event on disk was %s %s, want the opening", e.Outcome, e.Reason)
		}
	}
	r.enter("246813", "")
	if want := []time.Duration{7 * time.Second}; !slices.Equal(r.bolt.opened, want) {
		t.Errorf("the bolt was opened for %v, want %v", r.bolt.opened, want)
	}
	e := r.last(grant.Opened, "")
	if e.Medium != grant.PIN || e.Grant == nil || *e.Grant != (grant.ID{1}) || e.Clock != grant.Trusted || e.Offline || e.Version != 1 {
		t.Errorf("the event is %+v", e)
	}
}

func TestEnter_refusesWithItsReason(t *testing.T) {
	r := newRig(t)
	early, late, hours := r.grantFor(1, "1111"), r.grantFor(2, "2222"), r.grantFor(3, "3333")
	early.NotBefore = noon().Add(time.Second).Unix()
	late.NotAfter = noon().Unix()
	hours.Weekly, hours.Windows = true, []grant.Window{{From: noon().Unix() - 60, To: noon().Unix()}}
	r.settled(early, late, hours)
	r.enter("1111", grant.ReasonNotYet)
	r.last(grant.Refused, grant.ReasonNotYet)
	r.enter("2222", grant.ReasonExpired)
	r.enter("3333", grant.ReasonOutsideHours)
	r.enter("4444", grant.ReasonUnknownPIN)
	r.last(grant.Refused, grant.ReasonUnknownPIN)
	if len(r.bolt.opened) > 0 {
		t.Error("the bolt was opened")
	}
	if got := r.engine.Status().Wrong; got != 1 {
		t.Errorf("%d wrong tries are counted, want 1: a PIN that is known does not count", got)
	}
	r.clock.pass(time.Second)
	r.enter("1111", "")
}

func TestTap_ofSeveralGrantsAnyOpens(t *testing.T) {
	r := newRig(t)
	uid := []byte{4, 1, 2, 3}
	early, ended, good := r.grantFor(1, "", uid...), r.grantFor(2, "", uid...), r.grantFor(3, "", uid...)
	early.NotBefore = noon().Add(30 * time.Minute).Unix()
	ended.NotAfter = noon().Add(-10 * time.Minute).Unix()
	r.settled(early, ended)
	r.tap(grant.ReasonExpired, uid...) // ten minutes are nearer than thirty
	r.clock.pass(25 * time.Minute)
	r.tap(grant.ReasonNotYet, uid...)
	r.settled(early, ended, good)
	r.tap("", uid...)
	r.tap(grant.ReasonUnknownCard, 9, 9, 9, 9)
}

func TestLease_endsWhatDoesNotSurviveIt(t *testing.T) {
	r := newRig(t)
	long, safe := r.grantFor(1, "1111"), r.grantFor(2, "2222")
	long.NotAfter, safe.NotAfter = noon().Add(96*time.Hour).Unix(), noon().Add(96*time.Hour).Unix()
	safe.Flags = grant.SurvivesLease
	r.settled(long, safe)
	r.engine.Disconnected()
	r.clock.pass(24*time.Hour - time.Second)
	r.enter("1111", "")
	if e := r.last(grant.Opened, ""); !e.Offline {
		t.Error("the event does not say that the link was down")
	}
	r.clock.pass(time.Second)
	r.enter("1111", grant.ReasonLeaseEnded)
	r.enter("2222", "")
	notices := 0
	r.reboot()
	r.engine.Tick()
	for _, e := range r.engine.Status().Events {
		if e.Outcome == grant.Notice && e.Reason == grant.ReasonLeaseEnded {
			notices++
		}
	}
	if notices != 1 {
		t.Errorf("%d events say that the lease ended, want 1", notices)
	}
}

func TestOpen_failingBoltIsRecorded(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	r.bolt.err = errors.New("the motor is stuck")
	r.enter("1111", grant.ReasonDoorFailed)
	r.last(grant.Refused, grant.ReasonDoorFailed)
	got := r.result(r.send(r.command(1, grant.OpOpen, &grant.ID{1}, noon().Add(time.Second))))
	if got.Outcome != grant.Refused || got.Reason != grant.ReasonDoorFailed {
		t.Errorf("the command's result is %+v", got)
	}
}

func TestOpen_nothingMovesWithoutItsLine(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111", 1, 2, 3, 4))
	r.disk.fails, r.disk.half, r.disk.part = true, true, .5
	r.tap(grant.ReasonDoorFailed, 1, 2, 3, 4)
	r.enter("1111", grant.ReasonDoorFailed)
	if len(r.bolt.opened) > 0 {
		t.Error("the bolt was opened without a line on disk")
	}
	r.disk.fails = false
	r.tap("", 1, 2, 3, 4)
	r.reboot()
	r.last(grant.Notice, grant.ReasonBoot)
	if got := r.engine.Status().Events[1]; got.Outcome != grant.Opened {
		t.Errorf("after a disk that failed the record holds %+v, want the opening", got)
	}
}

func TestEnter_fiveWrongPauseTheKeypad(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111", 1, 2, 3, 4))
	for range 4 {
		r.enter("9999", grant.ReasonUnknownPIN)
		r.enter("1111", "") // lowers nothing
	}
	r.enter("9999", grant.ReasonUnknownPIN)
	if e := r.last(grant.Refused, grant.ReasonKeypadPaused); e.Count != 5 || e.Medium != grant.PIN {
		t.Errorf("the pause's event is %+v, want a count of 5", e)
	}
	before := r.engine.Status().Last
	r.enter("1111", grant.ReasonKeypadPaused)
	r.enter("9999", grant.ReasonKeypadPaused)
	if got := r.engine.Status(); got.Wrong != 5 || got.Last != before {
		t.Errorf("entries in the pause count: %d wrong, %d events; want 5, %d", got.Wrong, got.Last, before)
	}
	r.tap("", 1, 2, 3, 4) // cards go on
	for _, pause := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour} {
		if got := r.engine.Status().PausedFor; got != pause {
			t.Errorf("the keypad pauses for %s, want %s", got, pause)
		}
		r.clock.pass(pause - time.Millisecond)
		r.enter("9999", grant.ReasonKeypadPaused)
		r.clock.pass(time.Millisecond)
		r.enter("9999", grant.ReasonUnknownPIN)
	}
	if got := r.engine.Status().PausedFor; got != time.Hour {
		t.Errorf("the keypad pauses for %s, want an hour at most", got)
	}
}

func TestEnter_quietHoursLowerTheCount(t *testing.T) {
	r := newRig(t)
	r.settled()
	for range 3 {
		r.enter("9999", grant.ReasonUnknownPIN)
	}
	r.clock.pass(time.Hour - time.Millisecond)
	r.engine.Tick()
	if got := r.engine.Status().Wrong; got != 3 {
		t.Errorf("after less than an hour %d are counted, want 3", got)
	}
	r.clock.pass(time.Millisecond)
	r.engine.Tick()
	if got := r.engine.Status().Wrong; got != 2 {
		t.Errorf("after an hour %d are counted, want 2", got)
	}
	r.reboot()
	if got := r.engine.Status().Wrong; got != 2 {
		t.Errorf("after a power cut %d are counted, want 2", got)
	}
}

func TestEnter_pauseOutlivesAPowerCut(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	for range 5 {
		r.enter("9999", grant.ReasonUnknownPIN)
	}
	r.clock.pass(29 * time.Second)
	r.reboot()
	if got := r.engine.Status().PausedFor; got != 30*time.Second {
		t.Errorf("after a power cut the pause is %s, want 30s anew", got)
	}
	r.enter("9999", grant.ReasonKeypadPaused)
	r.clock.pass(30 * time.Second)
	r.engine.Tick()
	r.reboot()
	if got := r.engine.Status(); got.PausedFor != 0 || got.Wrong != 5 {
		t.Errorf("a pause that was over is %s with %d wrong, want none and 5", got.PausedFor, got.Wrong)
	}
}

// Whoever cuts the power at each moment of an entry gets no entry for nothing.
func TestEnter_powerCutsGiveNoTries(t *testing.T) {
	for cut := range 4 {
		for _, part := range []float64{0, .5, 1} {
			r := newRig(t)
			r.settled(r.grantFor(1, "1111"))
			compared := 0
			for range 40 {
				r.disk.cutAt, r.disk.part = cut, part
				if v := r.engine.Enter("9999"); v.Reason == grant.ReasonUnknownPIN {
					compared++
				}
				r.reboot()
			}
			if compared > 5 {
				t.Errorf("cut at change %d: %d entries were compared, want at most 5", cut, compared)
			}
		}
	}
}

func TestEnter_parallelGuessesGetNoMoreTries(t *testing.T) {
	r := newRig(t)
	r.settled(r.grantFor(1, "1111"))
	var mu sync.Mutex
	compared := 0
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if r.engine.Enter("9999").Reason == grant.ReasonUnknownPIN {
				mu.Lock()
				defer mu.Unlock()
				compared++
			}
		})
	}
	all.Wait()
	if compared != 5 {
		t.Errorf("%d of 1,000 parallel entries were compared, want 5", compared)
	}
}

func TestEnter_whatIsNoPINIsNotCounted(t *testing.T) {
	r := newRig(t)
	before := r.engine.Status().Last
	for _, pin := range []string{"", "123", "1234567", "12a4", "１２３４"} {
		r.enter(pin, grant.ReasonUnknownPIN)
	}
	if s := r.engine.Status(); s.Wrong != 0 || s.Last != before {
		t.Errorf("%d wrong and %d events, want 0 and %d", s.Wrong, s.Last, before)
	}
}

func TestTap_unknownCardsDoNotFillTheRecord(t *testing.T) {
	r := newRig(t)
	before := r.engine.Status().Last
	for range 100 {
		r.tap(grant.ReasonUnknownCard, 9, 9, 9, 9)
	}
	if got := r.engine.Status().Last - before; got != 5 {
		t.Errorf("%d events for 100 cards, want 5", got)
	}
	r.clock.pass(time.Minute)
	r.tap(grant.ReasonUnknownCard, 9, 9, 9, 9)
	if e := r.last(grant.Refused, grant.ReasonUnknownCard); e.Count != 96 {
		t.Errorf("the next event stands for %d cards, want 96", e.Count)
	}
	for range 10 {
		r.tap(grant.ReasonUnknownCard, 9, 9, 9, 9)
	}
	r.clock.pass(time.Minute)
	r.engine.Tick()
	if e := r.last(grant.Refused, grant.ReasonUnknownCard); e.Count != 6 {
		t.Errorf("the last event stands for %d cards, want 6", e.Count)
	}
}

func TestReceive_refusesWhatIsNotSignedForThisDoor(t *testing.T) {
	r := newRig(t)
	r.connect()
	good := r.snapshot(1, noon().Add(time.Hour), r.grantFor(1, "1111"))
	other := *r
	other.signing = r.key
	elsewhere := *r
	elsewhere.lock = "lock_00000000000000000000000000"
	foreign := elsewhere.snapshot(1, noon().Add(time.Hour), r.grantFor(1, "1111"))
	for name, frame := range map[string][]byte{"another key": other.snapshot(1, noon().Add(time.Hour)), "another lock": foreign} {
		if _, err := r.engine.Receive(frame); !errors.Is(err, cose.ErrNotSigned) {
			t.Errorf("%s: Receive() = %v, want cose.ErrNotSigned", name, err)
		}
	}
	for name, frame := range map[string][]byte{"nothing": nil, "half": good[:len(good)/2], "a frame that goes up": grant.Encode(grant.TypeApplied, grant.Applied{Epoch: 9, Version: 9})} {
		if _, err := r.engine.Receive(frame); !errors.Is(err, grant.ErrMalformed) {
			t.Errorf("%s: Receive() = %v, want grant.ErrMalformed", name, err)
		}
	}
	if s := r.engine.Status(); s.Version != 0 || s.Grants != 0 {
		t.Errorf("the door took version %d with %d grants", s.Version, s.Grants)
	}
	r.send(good)
	if s := r.engine.Status(); s.Version != 1 || s.Grants != 1 {
		t.Errorf("the door has version %d with %d grants, want 1 and 1", s.Version, s.Grants)
	}
}
