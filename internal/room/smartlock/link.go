package smartlock

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// maxCount bounds the numbers that a controller tells of itself, so that what is counted
// on from them never overflows.
const maxCount = 1 << 48

// confirmedFor is how long a PIN stays reserved after its removal is confirmed.
const confirmedFor = 24 * time.Hour

// Malformed is the answer to a frame that is none, or that no controller sends.
func Malformed() *fault.Error {
	return fault.Invalid("malformed_frame", "This is no frame of the lock link.")
}

func linkReplaced() *fault.Error {
	return fault.Conflict("link_replaced", "The lock has a newer link.")
}

func attemptOfLink(by auth.Caller) activity.Attempt {
	a := attemptOn(actLink, auth.LockLink, by.Lock)
	a.Target.Name = by.Name
	return a
}

// asLock runs fn for a lock's controller on its row, which is held until the transaction
// ends.
func (s *Service) asLock(ctx context.Context, by auth.Caller, fn work) error {
	return s.gate.Write(ctx, by, attemptOfLink(by), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		l, found, err := t.LockLock(ctx, by.Workspace, by.Lock)
		if err != nil {
			return nil, err
		}
		if !found || by.Token != l.Controller.Serial && by.Token != l.Controller.NextSerial {
			return fault.Unauthenticated(), nil // meanwhile it was deleted or enrolled anew
		}
		return fn(ctx, t, l, now)
	})
}

// onLink is asLock for the link that is open now.
func (s *Service) onLink(ctx context.Context, by auth.Caller, link string, fn work) error {
	return s.asLock(ctx, by, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		if l.State.Link != link {
			return linkReplaced(), nil
		}
		return fn(ctx, t, l, now)
	})
}

// lookOnLink reads for the link that is open now.
func (s *Service) lookOnLink(ctx context.Context, by auth.Caller, link string, fn func(ctx context.Context, t Tx, l Lock, now time.Time) error) error {
	return s.gate.Read(ctx, by, attemptOfLink(by), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
		l, found, err := t.FindLock(ctx, by.Workspace, by.Lock)
		switch {
		case err != nil:
			return err
		case !found:
			return fault.Unauthenticated()
		case l.State.Link != link:
			return linkReplaced()
		}
		return fn(ctx, t, l, now)
	})
}

// authorityOfLock reads the authority of a controller's workspace. Whoever is none is
// refused before.
func (s *Service) authorityOfLock(ctx context.Context, by auth.Caller) (Authority, error) {
	if by.Kind != auth.Lock {
		return Authority{}, s.gate.Write(ctx, by, attemptOfLink(by), func(context.Context, Tx, auth.Standing, time.Time) (*fault.Error, error) {
			return fault.Unauthenticated(), nil // the gate said so before
		})
	}
	return s.authorities.AuthorityOf(ctx, by.Workspace)
}

// hears notes that the controller was heard, and says whether it was offline.
func (l *Lock) hears(now time.Time) (was bool) {
	was = !l.Online(now)
	l.State.OnlineUntil, l.State.LastSeenAt = now.Add(SeenFor), now
	return was
}

// Connect takes a hello: the link becomes the lock's one link, and what the controller
// says that it holds decides what it is sent (Pull) and from which event on its record is
// wanted. link names the link; the caller made it up at random.
func (s *Service) Connect(ctx context.Context, by auth.Caller, link string, h grant.Hello) (Greeting, error) {
	var out Greeting
	if max(h.Epoch, h.Version, h.EventLast) > maxCount {
		return out, Malformed()
	}
	err := s.asLock(ctx, by, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		if by.Token == l.Controller.NextSerial {
			l.Controller.Serial, l.Controller.NextSerial = l.Controller.NextSerial, ""
		}
		again := l.State.Link == link // it said hello before, and may have said this one earlier still
		l.State.Link, l.Controller.Software, l.Controller.Clock = link, h.Software, h.Quality
		_ = l.hears(now) // its pulse moves in any case
		if err := syncHello(ctx, t, &l, grant.Applied{Epoch: h.Epoch, Version: h.Version}, now); err != nil {
			return nil, err
		}
		if stale := again && int64(h.EventLast) < l.Controller.EventThrough; !stale {
			if err := recordHello(ctx, t, by, &l, int64(h.EventFirst), int64(h.EventLast), now); err != nil {
				return nil, err
			}
		}
		if err := t.UpdateLockLink(ctx, l, now); err != nil {
			return nil, err
		}
		tell(t, l, true) // a former link ends
		out = Greeting{Through: l.Controller.EventThrough}
		return nil, nil
	})
	return out, err
}

// syncHello compares what the controller says that it holds with what it should.
func syncHello(ctx context.Context, t Tx, l *Lock, said grant.Applied, now time.Time) error {
	epoch, version := int64(said.Epoch), int64(said.Version)
	switch {
	case epoch > l.Sync.Epoch || epoch == l.Sync.Epoch && version > l.Sync.Version:
		// This server was restored from a backup: what the controller holds is not known.
		l.Sync.Epoch = epoch + 1
		return nil
	case l.Sync.AppliedEpoch == l.Sync.Epoch && (epoch < l.Sync.Epoch || version < l.Sync.AppliedVersion):
		// It holds less than it once said: all is sent anew, and no lease is extended before.
		l.Sync.Epoch++
		return nil
	case epoch == l.Sync.Epoch:
		return l.apply(ctx, t, version, now)
	}
	return nil
}

// apply notes that the controller holds a version of the present epoch.
func (l *Lock) apply(ctx context.Context, t Tx, version int64, now time.Time) error {
	if version > l.Sync.Version || l.Sync.AppliedEpoch == l.Sync.Epoch && version <= l.Sync.AppliedVersion {
		return nil
	}
	l.Sync.AppliedEpoch, l.Sync.AppliedVersion = l.Sync.Epoch, version
	_, err := t.ConfirmGrants(ctx, l.Workspace, l.ID, version, now, now.Add(confirmedFor))
	return err
}

// Applied notes that what the controller was sent is in force at the door: the receipt of
// every change up to it.
func (s *Service) Applied(ctx context.Context, by auth.Caller, link string, a grant.Applied) error {
	return s.onLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		if int64(a.Epoch) != l.Sync.Epoch {
			return nil, nil // it was enrolled anew meanwhile, or said so before
		}
		before := l.Sync
		if err := l.apply(ctx, t, int64(a.Version), now); err != nil || l.Sync == before {
			return nil, err
		}
		_ = l.hears(now)
		tell(t, l, true)
		return nil, t.UpdateLockLink(ctx, l, now)
	})
}

// Pull returns what the controller is to be sent so that it knows what it should, if at is
// what it holds or was last sent; false if that is all.
func (s *Service) Pull(ctx context.Context, by auth.Caller, link string, at grant.Applied) (Update, bool, error) {
	var l Lock
	var put []grant.Grant
	var removed []grant.ID
	var now time.Time
	whole, current := false, false
	err := s.lookOnLink(ctx, by, link, func(ctx context.Context, t Tx, found Lock, moment time.Time) error {
		l, now, put, removed = found, moment, nil, nil
		same := int64(at.Epoch) == l.Sync.Epoch
		if current = same && int64(at.Version) == l.Sync.Version; current {
			return nil
		}
		// Removals may be forgotten that were confirmed.
		known := l.Sync.AppliedEpoch != l.Sync.Epoch || l.Sync.AppliedVersion <= int64(at.Version)
		whole = !same || !known || int64(at.Version) > l.Sync.Version
		var err error
		if !whole {
			put, removed, err = t.ListGrantChanges(ctx, l.Workspace, l.ID, int64(at.Version))
			whole = len(put)+len(removed) > grant.MaxGrants
		}
		if whole && err == nil {
			removed = nil
			put, err = t.ListGrants(ctx, l.Workspace, l.ID, now)
		}
		return err
	})
	if err != nil || current {
		return Update{}, false, err
	}
	a, err := s.authorities.AuthorityOf(ctx, l.Workspace)
	if err != nil {
		return Update{}, false, err
	}
	out := Update{Epoch: l.Sync.Epoch, To: l.Sync.Version}
	if whole {
		out.Frame, err = grant.Sign(grant.TypeSnapshot, string(l.ID), l.snapshot(put, now), a.Signing)
	} else {
		out.Frame, err = grant.Sign(grant.TypeDelta, string(l.ID), l.delta(at.Version, put, removed, now), a.Signing)
	}
	return out, err == nil, err
}

// Waits says whether there may be something to send the controller, which was last sent
// what at names: an update, or a command. It is one short read, for who looks again and
// again.
func (s *Service) Waits(ctx context.Context, by auth.Caller, link string, at grant.Applied) (bool, error) {
	some := false
	err := s.lookOnLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) error {
		if some = int64(at.Epoch) != l.Sync.Epoch || int64(at.Version) != l.Sync.Version; some {
			return nil
		}
		waiting, err := t.ListWaitingCommands(ctx, l.Workspace, l.ID, now, 1)
		some = len(waiting) > 0
		return err
	})
	return some, err
}

// snapshot is all that the controller should hold.
func (l Lock) snapshot(grants []grant.Grant, now time.Time) grant.Snapshot {
	if grants == nil {
		grants = []grant.Grant{}
	}
	return grant.Snapshot{
		Type: grant.TypeSnapshot, Lock: string(l.ID), Epoch: uint64(l.Sync.Epoch), Version: uint64(l.Sync.Version), Issued: now.Unix(),
		LeaseUntil: unix(l.Sync.LeaseUntil), OpenSeconds: uint16(l.OpenSeconds), Grants: grants,
	}
}

// delta is what changed since a version.
func (l Lock) delta(from uint64, put []grant.Grant, removed []grant.ID, now time.Time) grant.Delta {
	ops := make([]grant.Op, 0, len(put)+len(removed))
	for i := range removed {
		ops = append(ops, grant.Op{Remove: &removed[i]})
	}
	for i := range put {
		ops = append(ops, grant.Op{Put: &put[i]})
	}
	return grant.Delta{
		Type: grant.TypeDelta, Lock: string(l.ID), Epoch: uint64(l.Sync.Epoch), From: from, To: uint64(l.Sync.Version), Issued: now.Unix(),
		LeaseUntil: unix(l.Sync.LeaseUntil), OpenSeconds: uint16(l.OpenSeconds), Ops: ops,
	}
}

// unix is a time in seconds as the door is told it, 0 for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Beacon returns the frame that tells the time and the lease's end, for the hello with the
// nonce. The lease is extended only while the controller knows all that it should, and
// that is written before anybody is told.
func (s *Service) Beacon(ctx context.Context, by auth.Caller, link string, nonce []byte) ([]byte, error) {
	a, err := s.authorityOfLock(ctx, by)
	if err != nil {
		return nil, err
	}
	var b grant.Beacon
	err = s.onLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		pulse := time.Time{}
		if l.hears(now) || l.Controller.Clock != grant.Trusted {
			pulse = now
			tell(t, l, false)
		}
		l.Controller.Clock = grant.Trusted // that is what the beacon is for; its next hello says if not
		end := now.Add(time.Duration(l.LeaseSeconds) * time.Second).Truncate(time.Second)
		if l.Settled() && end.After(l.Sync.LeaseUntil) {
			l.Sync.LeaseUntil, l.Controller.LeaseWarnedHours = end, 0
		}
		b = grant.Beacon{
			Type: grant.TypeBeacon, Lock: string(l.ID), Now: now.UnixMilli(), Epoch: uint64(l.Sync.Epoch), Version: uint64(l.Sync.Version),
			LeaseUntil: unix(l.Sync.LeaseUntil), Nonce: nonce,
		}
		return nil, t.UpdateLockLink(ctx, l, pulse)
	})
	if err != nil {
		return nil, err
	}
	return grant.Sign(grant.TypeBeacon, string(by.Lock), b, a.Signing)
}

// Seen notes that the controller was heard. Call it at least every SeenFor.
func (s *Service) Seen(ctx context.Context, by auth.Caller, link string) error {
	return s.onLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		pulse := time.Time{}
		if l.hears(now) {
			pulse = now
			tell(t, l, false)
		}
		return nil, t.UpdateLockLink(ctx, l, pulse)
	})
}

// Report notes what the door says of itself.
func (s *Service) Report(ctx context.Context, by auth.Caller, link string, is grant.State) error {
	battery := -1
	if is.Battery != nil {
		battery = int(*is.Battery)
	}
	return s.onLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		pulse := time.Time{}
		if before := l.State; l.hears(now) || before.Bolt != is.Lock || before.Door != is.Door || before.Battery != battery {
			pulse = now
			tell(t, l, false)
		}
		l.State.Bolt, l.State.Door, l.State.Battery = is.Lock, is.Door, battery
		return nil, t.UpdateLockLink(ctx, l, pulse)
	})
}

// Leave notes that the link is down, if it is still the lock's link.
func (s *Service) Leave(ctx context.Context, by auth.Caller, link string) error {
	return s.onLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		l.State.Link, l.State.OnlineUntil = "", now
		tell(t, l, false)
		return nil, t.UpdateLockLink(ctx, l, now)
	})
}

// keyOf returns the id of the digital key that a grant is.
func keyOf(g grant.ID) id.DigitalKey {
	k, _ := id.FromBytes[id.KindDigitalKey](g[:]) // it is 16 bytes long
	return k
}
