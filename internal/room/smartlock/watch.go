package smartlock

import (
	"context"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// The alarms, as their mails say them.
const (
	alarmKeypad      = outbox.AlarmKeypadPaused
	alarmAfterCancel = outbox.AlarmOpenedAfterCancel
	alarmRecordLost  = outbox.AlarmRecordLost
	alarmQuiet       = 10 * time.Minute
)

// alarm mails an event to who watches the doors, at most one of a kind and lock in ten
// minutes.
func (r *record) alarm(ctx context.Context, what string, e Event) error {
	n, _, err := r.t.CountRate(ctx, "lock_alarm/"+string(e.Lock)+"/"+what, r.now, alarmQuiet)
	if err != nil || n > 1 {
		return err
	}
	mail := outbox.LockAlarm{
		Lock: string(e.Lock), LockName: e.LockName, What: what, At: e.At.UnixMilli(), Count: e.Count, DigitalKey: string(e.DigitalKey), User: e.UserName,
	}
	return toWatchers(ctx, r.t, e.Workspace, r.now, func(to outbox.Recipient, workspace string) outbox.Payload {
		mail.To, mail.Workspace = to, workspace
		return mail
	})
}

// toWatchers mails all who are told of what doors do.
func toWatchers(ctx context.Context, t Tx, w id.Workspace, now time.Time, mail func(to outbox.Recipient, workspace string) outbox.Payload) error {
	watchers, err := t.ListLockWatchers(ctx, w)
	if err != nil {
		return err
	}
	name, err := t.FindWorkspaceName(ctx, w)
	if err != nil {
		return err
	}
	for _, to := range watchers {
		if err := outbox.Put(ctx, t, w, mail(to, name), now); err != nil {
			return err
		}
	}
	return nil
}

// batch is how many rows one transaction looks after.
const batch = 200

// leaseWarnings are the hours of lease left of which people are warned, the least first.
//
// constant: a table.
var leaseWarnings = [...]int{1, 4, 12}

// warning returns the hours of which to warn now; 0 for none. A lease that is no longer
// than that is no warning when it begins.
func (l Lock) warning(now time.Time) int {
	if !l.Enrolled() || l.Online(now) || !now.Before(l.Sync.LeaseUntil) {
		return 0
	}
	left := l.Sync.LeaseUntil.Sub(now)
	for _, hours := range leaseWarnings {
		span := time.Duration(hours) * time.Hour
		if left > span || time.Duration(l.LeaseSeconds)*time.Second <= span {
			continue
		}
		if warned := l.Controller.LeaseWarnedHours; warned != 0 && warned <= hours {
			return 0
		}
		return hours
	}
	return 0
}

func systemOnly(by auth.Caller) error {
	if by.Kind != auth.System {
		return fault.Forbidden("system_only", "Only Keyhold itself does this.")
	}
	return nil
}

// WarnLeases warns of locks that are offline and whose lease ends soon: once each when 12,
// 4 and 1 hours are left. It returns of how many. Several servers may do it at once. Only
// the system's own jobs may call it.
func (s *Service) WarnLeases(ctx context.Context, by auth.Caller) (int, error) {
	if err := systemOnly(by); err != nil {
		return 0, err
	}
	warned := 0
	for after := id.Lock(""); ; {
		now := s.gate.Clock.Now()
		var locks []Lock
		err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
			locks, err = t.ListLeaseEnding(ctx, now, now.Add(12*time.Hour), after, batch)
			return err
		})
		if err != nil || len(locks) == 0 {
			return warned, err
		}
		for _, l := range locks {
			after = l.ID
			if l.warning(now) == 0 {
				continue
			}
			did, err := s.warn(ctx, auth.Job(l.Workspace, by.Job), l.ID)
			if err != nil {
				return warned, err
			}
			if did {
				warned++
			}
		}
	}
}

// warn is WarnLeases for one lock.
func (s *Service) warn(ctx context.Context, by auth.Caller, lock id.Lock) (bool, error) {
	did := false
	err := s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		did = false
		l, found, err := t.LockLock(ctx, by.Workspace, lock)
		now := s.gate.Clock.Now()
		hours := l.warning(now)
		if err != nil || !found || hours == 0 {
			return nil, err
		}
		l.Controller.LeaseWarnedHours, did = hours, true
		if err := t.UpdateLockLink(ctx, l, now); err != nil {
			return nil, err
		}
		tell(t, l, false)
		event := activity.Event{Action: "lock.lease_warning", Detail: strconv.Itoa(hours), Target: l.party()}
		if err := activity.Append(ctx, t, by, event, now); err != nil {
			return nil, err
		}
		mail := outbox.LockLease{Lock: string(l.ID), LockName: l.Name, Hours: hours, EndsAt: l.Sync.LeaseUntil.UnixMilli()}
		return nil, toWatchers(ctx, t, l.Workspace, now, func(to outbox.Recipient, workspace string) outbox.Payload {
			mail.To, mail.Workspace = to, workspace
			return mail
		})
	})
	return did && err == nil, err
}

// How long is kept what is over.
const (
	keepGrants   = 30 * 24 * time.Hour
	keepCommands = 24 * time.Hour
)

// Prune forgets grants that ended long ago and old commands. Only the system's own jobs
// may call it.
func (s *Service) Prune(ctx context.Context, by auth.Caller) error {
	if err := systemOnly(by); err != nil {
		return err
	}
	for _, some := range []func(ctx context.Context, t Tx, now time.Time) (int64, error){
		func(ctx context.Context, t Tx, now time.Time) (int64, error) {
			return t.PruneGrants(ctx, now.Add(-keepGrants), now, batch)
		},
		func(ctx context.Context, t Tx, now time.Time) (int64, error) {
			return t.PruneCommands(ctx, now.Add(-keepCommands), batch)
		},
	} {
		for left := true; left; {
			err := s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
				n, err := some(ctx, t, s.gate.Clock.Now())
				left = n == batch
				return nil, err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
