package smartlock_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func opened(k grant.ID) grant.Event {
	return grant.Event{Grant: &k, Medium: grant.App, Outcome: grant.Opened, Version: 1}
}

func unknownPIN() grant.Event {
	return grant.Event{Medium: grant.PIN, Outcome: grant.Refused, Reason: grant.ReasonUnknownPIN, Count: 3, Offline: true}
}

func TestDeliver_keepsEachEventOnce(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	now := h.clock.Now()
	k := storetest.LockKey(t, h.Database, h.ada, h.lock.ID, now, now.Add(time.Hour))
	d.did(grant.Event{Outcome: grant.Notice, Reason: grant.ReasonBoot})
	d.did(opened(grant.ID(k.Bytes())))
	d.did(unknownPIN())
	for range 2 {
		if got := d.deliver(t, d.events...); got != 3 {
			t.Errorf("Deliver() = %d, want 3", got)
		}
	}
	d.did(unknownPIN())
	if got := d.deliver(t, d.events[1:]...); got != 4 {
		t.Errorf("Deliver() = %d, want 4", got)
	}
	all := h.eventsOf(t, smartlock.EventQuery{})
	if len(all) != 4 {
		t.Fatalf("%d events are kept, want 4: %+v", len(all), all)
	}
	mine := h.eventsOf(t, smartlock.EventQuery{User: h.ada.ID})
	if len(mine) != 1 || mine[0].DigitalKey != k || mine[0].UserName != h.ada.Name() || mine[0].Medium != grant.App || mine[0].Outcome != grant.Opened ||
		mine[0].Seq != 2 || mine[0].Era != 1 || !mine[0].At.Equal(now) || mine[0].LockName != "Front door" || mine[0].AfterCancel || len(mine[0].Hash) != 32 {
		t.Errorf("Ada's events are %+v", mine)
	}
	line := h.line(t, "lock.open", activity.Success, "", d.by)
	if line.User != h.ada.ID || line.Detail != "app" || line.Target.ID != string(h.lock.ID) {
		t.Errorf("the line is %+v", line)
	}
	if line = h.line(t, "lock.open", activity.Refused, grant.ReasonUnknownPIN, d.by); line.Count != 3 || line.Detail != "pin" {
		t.Errorf("the line is %+v", line)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "lock.open")); n != 3 {
		t.Errorf("%d lines, want 3", n)
	}
	if g := d.connect(t, grant.Applied{}); g.Through != 4 {
		t.Errorf("Connect() = %+v, want through 4", g)
	}
}

func TestDeliver_waitsForWhatLiesBetween(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	for range 4 {
		d.did(unknownPIN())
	}
	if got := d.deliver(t, d.events[2:]...); got != 0 {
		t.Errorf("Deliver() = %d of events that begin too late, want 0", got)
	}
	if n := len(h.eventsOf(t, smartlock.EventQuery{})); n != 0 {
		t.Errorf("%d events are kept, want 0", n)
	}
	if got := d.deliver(t, d.events...); got != 4 {
		t.Errorf("Deliver() = %d, want 4", got)
	}
}

func TestDeliver_refusesWhatTheControllerDidNotSign(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	d.did(unknownPIN())
	good := d.batch(t, d.events...)
	mine := d.key
	d.key = newKey(t)
	forged := d.batch(t, d.events...)
	d.key = mine
	other := *d
	other.lock = h.create(t, "Back door").ID
	for name, body := range map[string][]byte{"nothing": nil, "another key": forged, "another lock": other.batch(t, d.events...), "too long": make([]byte, grant.MaxUp+1)} {
		_, err := d.Deliver(t.Context(), d.by, d.link, body)
		t.Run(name, func(t *testing.T) { refused(t, err, "malformed_frame") })
	}
	if through, err := d.Deliver(t.Context(), d.by, d.link, good); err != nil || through != 1 {
		t.Errorf("Deliver() = %d (%v), want 1", through, err)
	}
}

func TestDeliver_aBrokenChainIsSaidOnce(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	d.did(unknownPIN())
	d.deliver(t, d.events...)
	d.events[0].Count = 9 // its record is another one
	d.did(unknownPIN())
	d.did(unknownPIN())
	for range 2 {
		if got := d.deliver(t, d.events[1:]...); got != 3 {
			t.Errorf("Deliver() = %d, want 3", got)
		}
	}
	alarming := h.eventsOf(t, smartlock.EventQuery{Alarming: true})
	if len(alarming) != 1 || alarming[0].Reason != smartlock.ReasonBroken || alarming[0].UntilSeq != 2 {
		t.Errorf("the alarming events are %+v, want one broken chain", alarming)
	}
	if n := len(h.eventsOf(t, smartlock.EventQuery{})); n != 4 {
		t.Errorf("%d events are kept, want 4", n)
	}
	h.line(t, "lock.record", activity.Failed, smartlock.ReasonBroken, d.by)
	if got := mails[outbox.LockAlarm](t, h); len(got) != 1 || got[0].What != outbox.AlarmRecordLost || got[0].To.Email != "owner@example.org" || got[0].Workspace != "Harbour" {
		t.Errorf("the mails are %+v", got)
	}
}

func TestConnect_saysWhatOfTheRecordIsLost(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	for range 6 {
		d.did(unknownPIN())
	}
	d.deliver(t, d.events[:2]...)
	d.events = d.events[4:] // the ring was too short
	for range 2 {
		if g := d.connect(t, grant.Applied{}); g.Through != 4 {
			t.Fatalf("Connect() = %+v, want through 4", g)
		}
	}
	gaps := h.eventsOf(t, smartlock.EventQuery{Alarming: true})
	if len(gaps) != 1 || gaps[0].Reason != smartlock.ReasonGap || gaps[0].Seq != 3 || gaps[0].UntilSeq != 4 {
		t.Fatalf("the gaps are %+v", gaps)
	}
	if got := d.deliver(t, d.events...); got != 6 {
		t.Errorf("Deliver() = %d, want 6", got)
	}
	d.events = nil
	d.did(grant.Event{Outcome: grant.Notice, Reason: grant.ReasonBoot})
	if g := d.connect(t, grant.Applied{}); g.Through != 1 {
		t.Fatalf("Connect() = %+v with a record that was lost, want through 1", g)
	}
	d.did(unknownPIN())
	if got := d.deliver(t, d.events...); got != 2 {
		t.Errorf("Deliver() = %d, want 2", got)
	}
	lost := h.eventsOf(t, smartlock.EventQuery{Alarming: true})
	if !slices.ContainsFunc(lost, func(e smartlock.Event) bool { return e.Reason == smartlock.ReasonRecordLost && e.Era == 2 }) || len(lost) != 2 {
		t.Errorf("the alarming events are %+v", lost)
	}
	if e := h.find(t, h.lock.ID); e.Controller.Era != 2 {
		t.Errorf("the era is %d, want 2", e.Controller.Era)
	}
}

// A hello that came late, and a controller that is enrolled anew and keeps its disk.
func TestDeliver_aRecordThatGoesOnIsNotKeptTwice(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	for range 4 {
		d.did(unknownPIN())
	}
	d.deliver(t, d.events...)
	whole := d.events
	for range 3 {
		d.events = whole[:2]
		d.connect(t, grant.Applied{})
		d.events = whole
		if g := d.connect(t, grant.Applied{}); g.Through != 2 {
			t.Fatalf("Connect() = %+v, want through 2", g)
		}
		if got := d.deliver(t, whole[2:]...); got != int64(len(whole)) {
			t.Errorf("Deliver() = %d, want %d", got, len(whole))
		}
		h.clock.Advance(time.Second)
	}
	again := h.enrol(t, h.lock.ID)
	again.events = whole
	again.did(unknownPIN())
	again.connect(t, grant.Applied{})
	if got := again.deliver(t, again.events...); got != 5 {
		t.Errorf("Deliver() = %d, want 5", got)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM smartlock_event WHERE seq > 0`); n != 5 {
		t.Errorf("%d events are kept, want 5", n)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "lock.open")); n != 5 {
		t.Errorf("%d lines, want 5", n)
	}
	if n := len(h.eventsOf(t, smartlock.EventQuery{Alarming: true})); n != 3 {
		t.Errorf("%d lost records, want 3", n)
	}
}

func TestDeliver_alarms(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	now := h.clock.Now()
	k := storetest.LockKey(t, h.Database, h.ada, h.lock.ID, now, now.Add(time.Hour))
	storetest.Exec(t, h.Database, `UPDATE digitalkey SET cancelled_at = $1 WHERE id = $2`, now.UnixMilli(), string(k))
	early := opened(grant.ID(k.Bytes()))
	d.clock.Advance(-time.Millisecond)
	d.did(early)
	d.clock.Advance(time.Millisecond)
	d.deliver(t, d.events...)
	if got := h.eventsOf(t, smartlock.EventQuery{Alarming: true}); len(got) != 0 {
		t.Errorf("before the cancel: %+v, want no alarm", got)
	}
	d.did(early) // at the cancel's moment
	d.did(early)
	d.did(grant.Event{Medium: grant.PIN, Outcome: grant.Refused, Reason: grant.ReasonKeypadPaused, Count: 5})
	d.deliver(t, d.events...)
	if got := h.eventsOf(t, smartlock.EventQuery{Alarming: true}); len(got) != 3 || !slices.ContainsFunc(got, func(e smartlock.Event) bool { return e.AfterCancel }) {
		t.Errorf("the alarming events are %+v, want 3", got)
	}
	kinds := func() (out []string) {
		for _, m := range mails[outbox.LockAlarm](t, h) {
			out = append(out, m.What)
		}
		slices.Sort(out)
		return out
	}
	if got := kinds(); !slices.Equal(got, []string{outbox.AlarmKeypadPaused, outbox.AlarmOpenedAfterCancel}) {
		t.Errorf("the mails are %q", got)
	}
	h.clock.Advance(10 * time.Minute)
	d.did(grant.Event{Medium: grant.PIN, Outcome: grant.Refused, Reason: grant.ReasonKeypadPaused, Count: 6})
	d.deliver(t, d.events...)
	if got := kinds(); len(got) != 3 {
		t.Errorf("ten minutes later the mails are %q, want one more", got)
	}
}

func TestListEvents_filters(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	d.did(unknownPIN())
	h.clock.Advance(time.Minute)
	d.did(grant.Event{Medium: grant.Keycard, Outcome: grant.Opened})
	d.deliver(t, d.events...)
	now := h.clock.Now()
	for name, c := range map[string]struct {
		q    smartlock.EventQuery
		want int
	}{
		"all": {smartlock.EventQuery{}, 2}, "the lock": {smartlock.EventQuery{Lock: h.lock.ID}, 2}, "another lock": {smartlock.EventQuery{Lock: "lock_x"}, 0},
		"outcome": {smartlock.EventQuery{Outcome: grant.Opened}, 1}, "medium": {smartlock.EventQuery{Medium: grant.PIN}, 1}, "key": {smartlock.EventQuery{DigitalKey: "dk_x"}, 0},
		"from": {smartlock.EventQuery{From: now}, 1}, "to": {smartlock.EventQuery{To: now}, 1}, "between": {smartlock.EventQuery{From: now.Add(-time.Minute), To: now}, 1},
	} {
		if got := len(h.eventsOf(t, c.q)); got != c.want {
			t.Errorf("%s: %d events, want %d", name, got, c.want)
		}
	}
	q := smartlock.EventQuery{}
	q.Page.Limit = 1
	first, err := h.ListEvents(t.Context(), h.by, q)
	if err != nil || len(first.Items) != 1 || first.Items[0].Seq != 2 {
		t.Fatalf("the first page is %+v (%v)", first, err)
	}
	q.Page.After = first.Next
	if second, err := h.ListEvents(t.Context(), h.by, q); err != nil || len(second.Items) != 1 || second.Items[0].Seq != 1 || !second.Next.IsZero() {
		t.Errorf("the second page is %+v (%v)", second, err)
	}
}

// Whatever a controller sends as its record, the answer is a fault or how far the record
// is kept, and no event is kept twice.
func FuzzDeliver(f *testing.F) {
	h := newHouse(f)
	d := h.online(f)
	d.did(unknownPIN())
	d.did(grant.Event{Medium: grant.Keycard, Outcome: grant.Opened})
	good := d.batch(f, d.events...)
	f.Add(good, false)
	f.Add([]byte{}, true)
	f.Add(good[:len(good)/2], false)
	f.Add(bytes.Repeat([]byte{0x9f}, 40), true)
	payload, _ := grant.Decode(grant.Encode(grant.TypeEvents, grant.Events{Type: grant.TypeEvents, Lock: string(d.lock), Events: d.events}), grant.MaxUp)
	f.Add(payload.Body, true)
	f.Fuzz(func(t *testing.T, body []byte, sign bool) {
		if sign {
			body = d.sealed(t, body)
		}
		before := h.find(t, d.lock).Controller.EventThrough
		through, err := d.Deliver(t.Context(), d.by, d.link, body)
		if err != nil {
			refused(t, err, "malformed_frame")
			through = before
		}
		if l := h.find(t, d.lock); l.Controller.EventThrough != through || through < before {
			t.Fatalf("it is kept through %d, answered %d after %d", l.Controller.EventThrough, through, before)
		}
		if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM smartlock_event WHERE seq > 0`); int64(n) != through {
			t.Fatalf("%d events are kept through %d", n, through)
		}
	})
}
