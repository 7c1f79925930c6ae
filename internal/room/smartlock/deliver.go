package smartlock

import (
	"context"
	"crypto/ed25519"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/signal"
)

const actOpen = "lock.open"

// Deliver takes a frame of events, signed by the controller's key, keeps each of them
// once, and returns through which the record is kept. Events that do not follow on those
// that are kept are not taken: the answer says where to go on.
func (s *Service) Deliver(ctx context.Context, by auth.Caller, link string, body []byte) (int64, error) {
	var public ed25519.PublicKey
	err := s.lookOnLink(ctx, by, link, func(_ context.Context, _ Tx, l Lock, _ time.Time) error {
		public = l.Controller.PublicKey
		return nil
	})
	if err != nil {
		return 0, err
	}
	var batch grant.Events
	if len(body) > grant.MaxUp {
		return 0, Malformed()
	}
	if err := grant.ReadSigned(body, grant.TypeEvents, string(by.Lock), &batch, public); err != nil {
		return 0, Malformed().Because(err)
	}
	through := int64(0)
	err = s.onLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		through = l.Controller.EventThrough
		if !public.Equal(ed25519.PublicKey(l.Controller.PublicKey)) {
			return fault.Unauthenticated(), nil // it was enrolled anew meanwhile
		}
		r := record{t: t, by: by, l: &l, now: now}
		if err := r.take(ctx, batch.Events); err != nil {
			return nil, err
		}
		if l.Controller.EventThrough == through {
			return nil, nil
		}
		through = l.Controller.EventThrough
		tell(t, l, false)
		return nil, t.UpdateLockLink(ctx, l, now)
	})
	if err != nil {
		return 0, err
	}
	return through, nil
}

// record writes what a door did, in one transaction.
type record struct {
	t       Tx
	by      auth.Caller
	l       *Lock
	now     time.Time
	holders map[id.DigitalKey]holder
}

// holder is whose key it is; found is false if the key is gone.
type holder struct {
	Holder
	found bool
}

// recordHello compares the record that the controller says to have with what is kept.
func recordHello(ctx context.Context, t Tx, by auth.Caller, l *Lock, first, last int64, now time.Time) error {
	r := record{t: t, by: by, l: l, now: now}
	c := &l.Controller
	switch {
	case last < c.EventThrough:
		c.Era++
		c.EventThrough, c.EventHash = last, nil
		return r.note(ctx, ReasonRecordLost, -now.UnixMilli(), last) // no event of a door has that number, should the era come back
	case first > c.EventThrough+1:
		from := c.EventThrough + 1
		c.EventThrough, c.EventHash = first-1, nil
		return r.note(ctx, ReasonGap, from, first-1)
	}
	return nil
}

// note writes an event of the server's own, with the alarm that goes with it.
func (r *record) note(ctx context.Context, reason string, seq, until int64) error {
	e := Event{
		ID: id.New[id.KindLockEvent](r.now), Workspace: r.l.Workspace, Lock: r.l.ID, LockName: r.l.Name, Era: r.l.Controller.Era, Seq: seq, UntilSeq: until,
		At: r.now, ReceivedAt: r.now, Clock: grant.Trusted, Outcome: grant.Notice, Reason: reason, Epoch: r.l.Sync.Epoch, Version: r.l.Sync.Version, Count: 1,
	}
	fresh, err := r.t.InsertLockEvent(ctx, e)
	if err != nil || !fresh {
		return err
	}
	event := activity.Event{Action: "lock.record", Outcome: activity.Failed, Reason: reason, Target: r.l.party()}
	if err := activity.Append(ctx, r.t, r.by, event, r.now); err != nil {
		return err
	}
	return r.alarm(ctx, alarmRecordLost, e)
}

// take keeps the events that follow on those that are kept.
func (r *record) take(ctx context.Context, all []grant.Event) error {
	c := &r.l.Controller
	for _, e := range all {
		seq := int64(e.Seq)
		if e.Seq > maxCount || seq > c.EventThrough+1 {
			return nil // what lies between must come first
		}
		if seq <= c.EventThrough {
			continue
		}
		if len(c.EventHash) > 0 && string(c.EventHash) != string(e.Prev[:]) {
			// A number of its own, which no event of a door has.
			if err := r.note(ctx, ReasonBroken, -seq, seq); err != nil {
				return err
			}
		}
		hash := e.Hash()
		if err := r.resume(ctx, seq, hash[:]); err != nil {
			return err
		}
		c.EventThrough, c.EventHash = seq, hash[:]
		if err := r.keep(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// resume goes back to the former era if its record goes on after all: a hello that came
// late said less than the controller has, or it was enrolled anew and kept its record.
func (r *record) resume(ctx context.Context, seq int64, hash []byte) error {
	c := &r.l.Controller
	if len(c.EventHash) > 0 || c.Era < 2 {
		return nil
	}
	before, found, err := r.t.FindLockEventHash(ctx, r.l.Workspace, r.l.ID, c.Era-1, seq)
	if err == nil && found && string(before) == string(hash) {
		c.Era--
	}
	return err
}

// keep writes one event of the door, with its line in the record of activities.
func (r *record) keep(ctx context.Context, in grant.Event) error {
	hash := in.Hash()
	e := Event{
		ID: id.New[id.KindLockEvent](r.now), Workspace: r.l.Workspace, Lock: r.l.ID, LockName: r.l.Name, Era: r.l.Controller.Era, Seq: int64(in.Seq), UntilSeq: int64(in.Seq),
		At: time.UnixMilli(min(in.At, maxCount)).UTC(), ReceivedAt: r.now, Boot: int64(min(in.Boot, maxCount)), Clock: in.Clock, Medium: in.Medium, Outcome: in.Outcome, Reason: in.Reason,
		Epoch: int64(min(in.Epoch, maxCount)), Version: int64(min(in.Version, maxCount)), Count: int(in.Count), Offline: in.Offline, Hash: hash[:],
	}
	if in.Grant != nil {
		e.DigitalKey = keyOf(*in.Grant)
		h, err := r.holderOf(ctx, e.DigitalKey)
		if err != nil {
			return err
		}
		e.User, e.UserName = h.User, h.Name
		e.AfterCancel = h.found && e.Outcome == grant.Opened && !h.CancelledAt.IsZero() && !e.At.Before(h.CancelledAt)
	}
	if in.Command != nil {
		if err := r.ofCommand(ctx, *in.Command, &e); err != nil {
			return err
		}
	}
	fresh, err := r.t.InsertLockEvent(ctx, e)
	if err != nil || !fresh {
		return err
	}
	if e.Outcome != grant.Notice {
		if err := activity.Append(ctx, r.t, r.by, e.line(r.l.party()), r.now); err != nil {
			return err
		}
	}
	switch {
	case e.AfterCancel:
		return r.alarm(ctx, alarmAfterCancel, e)
	case e.Reason == grant.ReasonKeypadPaused:
		return r.alarm(ctx, alarmKeypad, e)
	}
	return nil
}

// line is an opening or a refusal in the record of activities.
func (e Event) line(lock activity.Party) activity.Event {
	outcome := activity.Refused
	if e.Outcome == grant.Opened {
		outcome = activity.Success
	}
	return activity.Event{
		Action: actOpen, Outcome: outcome, Reason: e.Reason, Detail: string(e.Medium), Count: e.Count, Target: lock, User: e.User,
	}
}

// holderOf returns whose key it is.
func (r *record) holderOf(ctx context.Context, k id.DigitalKey) (holder, error) {
	if h, known := r.holders[k]; known {
		return h, nil
	}
	found, ok, err := r.t.FindGrantHolder(ctx, r.l.Workspace, k)
	if err != nil {
		return holder{}, err
	}
	if r.holders == nil {
		r.holders = map[id.DigitalKey]holder{}
	}
	r.holders[k] = holder{Holder: found, found: ok}
	return r.holders[k], nil
}

// ofCommand says of an event which command it was and who asked for it, and of a command
// whose result was not heard what became of it.
func (r *record) ofCommand(ctx context.Context, raw grant.CommandID, e *Event) error {
	e.Command = commandOf(raw)
	c, found, err := r.t.FindLockCommand(ctx, r.l.Workspace, e.Command)
	if err != nil || !found || c.Lock != r.l.ID {
		return err
	}
	if e.DigitalKey == "" && e.User == "" {
		e.UserName = c.AskedName
		if c.AskedKind == string(auth.Administrator) {
			e.User = id.User(c.AskedBy)
		}
	}
	if c.Op != grant.OpOpen {
		return nil // its result brings the card's number
	}
	c.DoneAt, c.Outcome, c.Reason = r.now, e.Outcome, e.Reason
	fresh, err := r.t.FinishLockCommand(ctx, c)
	if fresh && err == nil {
		r.t.Signal(signal.Of(c.Workspace, signal.Command, string(c.ID)))
	}
	return err
}

// commandOf returns the id of a command as the door knows it.
func commandOf(raw grant.CommandID) id.LockCommand {
	c, _ := id.FromBytes[id.KindLockCommand](raw[:]) // it is 16 bytes long
	return c
}
