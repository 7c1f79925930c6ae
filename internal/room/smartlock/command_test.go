package smartlock_test

import (
	"context"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/smartlock"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func heard(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func commandID(c id.LockCommand) grant.CommandID { return grant.CommandID(c.Bytes()) }

func TestOpen_goesThereAndBack(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	waits, stop := h.hub.Subscribe(signal.Of(h.w, signal.Lock, string(h.lock.ID)))
	defer stop()
	c, err := h.Open(t.Context(), h.by, h.lock.ID)
	if err != nil || !heard(waits) {
		t.Fatalf("Open() = %v, want nil and a signal", err)
	}
	h.line(t, "lock.open_now", activity.Success, "", h.by)
	frames, err := d.Commands(t.Context(), d.by, d.link)
	if err != nil || len(frames) != 1 || frames[0].ID != c.ID {
		t.Fatalf("Commands() = %+v (%v), want the one", frames, err)
	}
	var got grant.Command
	d.read(t, frames[0].Frame, grant.TypeCommand, &got)
	if got.ID != commandID(c.ID) || got.Op != grant.OpOpen || got.Grant != nil || got.NotAfter != h.clock.Now().Add(10*time.Second).UnixMilli() {
		t.Errorf("the command is %+v", got)
	}
	done, stop2 := h.hub.Subscribe(signal.Of(h.w, signal.Command, string(c.ID)))
	defer stop2()
	for _, r := range []grant.Result{{ID: got.ID, Outcome: grant.Opened}, {ID: got.ID, Outcome: grant.Refused, Reason: grant.ReasonRepeated}} {
		if err := d.Result(t.Context(), d.by, d.link, r); err != nil {
			t.Fatal(err)
		}
	}
	found, err := h.FindCommand(t.Context(), h.by, c.ID)
	if err != nil || found.Outcome != grant.Opened || !found.DoneAt.Equal(h.clock.Now()) || !heard(done) {
		t.Errorf("FindCommand() = %+v (%v), want the first word", found, err)
	}
	if frames, err = d.Commands(t.Context(), d.by, d.link); err != nil || len(frames) != 0 {
		t.Errorf("Commands() = %d (%v) after the result, want 0", len(frames), err)
	}
	id := got.ID
	d.did(grant.Event{Command: &id, Medium: grant.Panel, Outcome: grant.Opened})
	d.deliver(t, d.events...)
	if e := h.eventsOf(t, smartlock.EventQuery{User: h.by.User}); len(e) != 1 || e[0].UserName != h.by.Name || e[0].Command != c.ID {
		t.Errorf("the administrator's events are %+v", e)
	}
}

func TestOpen_itsEventIsAResultToo(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	c, err := h.Open(t.Context(), h.by, h.lock.ID)
	if err != nil {
		t.Fatal(err)
	}
	raw := commandID(c.ID)
	d.did(grant.Event{Command: &raw, Medium: grant.Panel, Outcome: grant.Refused, Reason: grant.ReasonDoorFailed})
	d.deliver(t, d.events...)
	if c, err = h.FindCommand(t.Context(), h.by, c.ID); err != nil || c.Outcome != grant.Refused || c.Reason != grant.ReasonDoorFailed {
		t.Errorf("FindCommand() = %+v (%v)", c, err)
	}
}

func TestOpen_needsALockThatHears(t *testing.T) {
	h := newHouse(t)
	_, err := h.Open(t.Context(), h.by, h.lock.ID)
	refused(t, err, "lock_not_enrolled")
	d := h.online(t)
	if err := d.Leave(t.Context(), d.by, d.link); err != nil {
		t.Fatal(err)
	}
	_, err = h.Open(t.Context(), h.by, h.lock.ID)
	refused(t, err, "lock_unreachable")
	d.connect(t, grant.Applied{})
	stale := h.by
	stale.StepUpAt = time.Time{}
	_, err = h.Open(t.Context(), stale, h.lock.ID)
	refused(t, err, "step_up_required")
	h.line(t, "lock.open_now", activity.Refused, "step_up_required", stale)
	_, err = h.IssueEnrolment(t.Context(), stale, h.lock.ID)
	refused(t, err, "step_up_required")
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM smartlock_command`); n != 0 {
		t.Errorf("%d commands, want 0", n)
	}
}

func TestCommands_endByTime(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	if _, err := h.Open(t.Context(), h.by, h.lock.ID); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(grant.CommandLife * time.Second)
	if frames, err := d.Commands(t.Context(), d.by, d.link); err != nil || len(frames) != 0 {
		t.Errorf("Commands() = %d (%v) when they are over, want 0", len(frames), err)
	}
}

func TestTeach_tellsTheCard(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	c, err := h.Teach(t.Context(), h.by, h.lock.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.line(t, "lock.teach", activity.Success, "", h.by)
	if _, number, err := h.TaughtCard(t.Context(), h.by, c.ID); err != nil || !number.IsEmpty() {
		t.Errorf("TaughtCard() before = a number of %d (%v), want none", len(number.Expose()), err)
	}
	r := grant.Result{ID: commandID(c.ID), Outcome: grant.Notice, Reason: grant.ReasonCardTaught, Card: []byte{4, 0xa1, 0xb2, 0xc3}}
	if err := d.Result(t.Context(), d.by, d.link, r); err != nil {
		t.Fatal(err)
	}
	found, number, err := h.TaughtCard(t.Context(), h.by, c.ID)
	if err != nil || number.ExposeString() != "04A1B2C3" || found.Outcome != grant.Notice {
		t.Errorf("TaughtCard() = %+v (%v)", found, err)
	}
	h.line(t, "lock.card_taught", activity.Success, "", d.by)
	if c, err = h.Teach(t.Context(), h.by, h.lock.ID); err != nil {
		t.Fatal(err)
	}
	if err := d.Result(t.Context(), d.by, d.link, grant.Result{ID: commandID(c.ID), Outcome: grant.Refused, Reason: grant.ReasonNoCard}); err != nil {
		t.Fatal(err)
	}
	h.line(t, "lock.card_taught", activity.Failed, grant.ReasonNoCard, d.by)
	only := []smartlock.Capability{smartlock.PIN}
	if _, err := h.Change(t.Context(), h.by, h.lock.ID, smartlock.Change{Capabilities: &only}, 0); err != nil {
		t.Fatal(err)
	}
	_, err = h.Teach(t.Context(), h.by, h.lock.ID)
	refused(t, err, "no_card_reader")
}

func TestResult_ofAnotherLockChangesNothing(t *testing.T) {
	h := newHouse(t)
	h.online(t)
	c, err := h.Open(t.Context(), h.by, h.lock.ID)
	if err != nil {
		t.Fatal(err)
	}
	other := h.enrol(t, h.create(t, "Back door").ID)
	other.connect(t, grant.Applied{})
	for _, name := range []grant.CommandID{commandID(c.ID), {1}} {
		if err := other.Result(t.Context(), other.by, other.link, grant.Result{ID: name, Outcome: grant.Opened}); err != nil {
			t.Errorf("Result() = %v, want nil", err)
		}
	}
	other.did(grant.Event{Command: (*grant.CommandID)(c.ID.Bytes()), Medium: grant.Panel, Outcome: grant.Opened})
	other.deliver(t, other.events...)
	if c, err = h.FindCommand(t.Context(), h.by, c.ID); err != nil || c.Outcome != "" {
		t.Errorf("FindCommand() = %+v (%v), want it waiting", c, err)
	}
	if frames, err := other.Commands(t.Context(), other.by, other.link); err != nil || len(frames) != 0 {
		t.Errorf("another lock gets %d commands (%v)", len(frames), err)
	}
}

func TestAsk_namesTheKey(t *testing.T) {
	h := newHouse(t)
	d := h.online(t)
	k := storetest.LockKey(t, h.Database, h.ada, h.lock.ID, h.clock.Now(), h.clock.Now().Add(time.Hour))
	h.tx(t, func(ctx context.Context, tx smartlock.Tx) error {
		_, _, err := smartlock.Ask(ctx, tx, auth.Job(h.w, "test"), h.find(t, h.lock.ID), grant.OpOpen, k, h.clock.Now())
		return err
	})
	frames, err := d.Commands(t.Context(), d.by, d.link)
	if err != nil || len(frames) != 1 {
		t.Fatalf("Commands() = %d (%v), want 1", len(frames), err)
	}
	var got grant.Command
	if d.read(t, frames[0].Frame, grant.TypeCommand, &got); got.Grant == nil || *got.Grant != grant.ID(k.Bytes()) {
		t.Errorf("the command is %+v", got)
	}
}
