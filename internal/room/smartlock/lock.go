package smartlock

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// lock returns the lock as it is made, without id and secret.
func (n NewLock) lock() (Lock, *fault.Error) {
	var c checker
	l := Lock{
		Name: c.text("name", n.Name), Place: c.text("place", n.Place), Timezone: c.timezone(n.Timezone), Capabilities: n.Capabilities,
		OpenSeconds:  c.seconds("open_seconds", cmp.Or(n.OpenSeconds, DefaultOpenSeconds), MinOpenSeconds, MaxOpenSeconds),
		LeaseSeconds: c.seconds("lease_seconds", cmp.Or(n.LeaseSeconds, DefaultLeaseSeconds), MinLeaseSeconds, MaxLeaseSeconds),
		State:        State{Battery: -1}, Revision: 1,
	}
	c.wrong(l.Name == "", "name", "is needed")
	if len(l.Capabilities) == 0 {
		l.Capabilities = Capabilities()
	}
	l.Capabilities = c.capabilities(l.Capabilities)
	return l, c.fault()
}

// Create makes a lock, to which no controller belongs yet. The caller needs locks.write.
func (s *Service) Create(ctx context.Context, by auth.Caller, n NewLock) (Lock, error) {
	l, wrong := n.lock()
	l.ID, l.Workspace = id.New[id.KindLock](s.gate.Clock.Now()), by.Workspace
	if wrong == nil && by.Workspace != "" {
		sealing, err := s.sealing.SealingOf(ctx, by.Workspace)
		if err != nil {
			return Lock{}, err
		}
		raw := make([]byte, grant.SecretSize)
		_, _ = rand.Read(raw) // crypto/rand.Read never returns an error
		if l.SecretSealed, err = sealing.Seal(secret.New(raw), grant.SecretIdentity(string(l.Workspace), string(l.ID))); err != nil {
			return Lock{}, err
		}
	}
	err := s.gate.Write(ctx, by, activity.Attempt{Action: "lock.create", Need: auth.LocksWrite}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		if wrong != nil {
			return wrong, nil
		}
		l.CreatedAt, l.Pulse = now, now
		once.Note(ctx, string(l.ID))
		if err := t.InsertLock(ctx, l); err != nil {
			return nil, err
		}
		tell(t, l, false)
		return nil, activity.Append(ctx, t, by, activity.Event{Action: "lock.create", Target: l.party()}, now)
	})
	if err != nil {
		return Lock{}, err
	}
	return l, nil
}

// Change changes the settings of a lock. Another open duration is told to the controller;
// another lease begins with the next time that it is told one that ends later. The caller
// needs locks.write. ifRevision 0 accepts any revision; another one than the lock's
// answers a Precondition fault.
func (s *Service) Change(ctx context.Context, by auth.Caller, lock id.Lock, c Change, ifRevision int64) (Lock, error) {
	var out Lock
	err := s.change(ctx, by, "lock.update", lock, false, func(ctx context.Context, t Tx, old Lock, now time.Time) (*fault.Error, error) {
		if ifRevision != 0 && ifRevision != old.Revision {
			return fault.Precondition(), nil
		}
		next, changed, f := c.apply(old)
		if f != nil {
			return f, nil
		}
		if out = next; len(changed) == 0 {
			return nil, nil
		}
		next.Revision++
		if err := t.UpdateLock(ctx, next, now); err != nil {
			return nil, err
		}
		opens := next.OpenSeconds != old.OpenSeconds
		if opens {
			version, err := t.BumpLock(ctx, next.Workspace, next.ID, now)
			if err != nil {
				return nil, err
			}
			next.Sync.Version = version
		}
		next.Pulse, out = now, next
		tell(t, next, opens)
		return nil, activity.Append(ctx, t, by, activity.Event{Action: "lock.update", Detail: strings.Join(changed, ", "), Target: next.party()}, now)
	})
	if err != nil {
		return Lock{}, err
	}
	return out, nil
}

// apply returns the lock as changed and the public names of the fields that differ.
func (c Change) apply(l Lock) (Lock, []string, *fault.Error) {
	var check checker
	var changed []string
	text := func(name string, field, to *string) {
		if *to != *field {
			*field, changed = *to, append(changed, name)
		}
	}
	if c.Name != nil {
		name := check.text("name", *c.Name)
		check.wrong(name == "", "name", "is needed")
		text("name", &l.Name, &name)
	}
	if c.Place != nil {
		place := check.text("place", *c.Place)
		text("place", &l.Place, &place)
	}
	if c.Timezone != nil {
		zone := check.timezone(*c.Timezone)
		text("timezone", &l.Timezone, &zone)
	}
	if c.Capabilities != nil {
		if list := check.capabilities(*c.Capabilities); !slices.Equal(list, l.Capabilities) {
			l.Capabilities, changed = list, append(changed, "capabilities")
		}
	}
	if c.OpenSeconds != nil && *c.OpenSeconds != l.OpenSeconds {
		l.OpenSeconds, changed = check.seconds("open_seconds", *c.OpenSeconds, MinOpenSeconds, MaxOpenSeconds), append(changed, "open_seconds")
	}
	if c.LeaseSeconds != nil && *c.LeaseSeconds != l.LeaseSeconds {
		l.LeaseSeconds, changed = check.seconds("lease_seconds", *c.LeaseSeconds, MinLeaseSeconds, MaxLeaseSeconds), append(changed, "lease_seconds")
	}
	return l, changed, check.fault()
}

// Delete removes a lock: its controller's certificate is refused at once, its events stay.
// It is a Conflict while digital keys on it are upcoming or active, or its controller may
// still open with one that was taken away. The caller needs locks.write. ifRevision is as
// in Change.
func (s *Service) Delete(ctx context.Context, by auth.Caller, lock id.Lock, ifRevision int64) error {
	return s.change(ctx, by, "lock.delete", lock, false, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		if ifRevision != 0 && ifRevision != l.Revision {
			return fault.Precondition(), nil
		}
		keys, err := t.CountOpenKeys(ctx, l.Workspace, l.ID, now)
		if err != nil {
			return nil, err
		}
		unsafe, err := t.CountUnsafe(ctx, l.Workspace, l.ID, now)
		if err != nil {
			return nil, err
		}
		switch {
		case keys > 0:
			return fault.Conflict("lock_in_use", "Digital keys for this lock are upcoming or active: cancel them first ("+strconv.FormatInt(keys, 10)+")."), nil
		case unsafe > 0:
			return fault.Conflict("lock_in_use", "The lock has not confirmed that cancelled digital keys open it no more."), nil
		}
		if err := t.DeleteLock(ctx, l.Workspace, l.ID); err != nil {
			return nil, err
		}
		tell(t, l, true)
		return nil, activity.Append(ctx, t, by, activity.Event{Action: "lock.delete", Target: l.party()}, now)
	})
}

// Find returns a lock. The caller needs locks.read.
func (s *Service) Find(ctx context.Context, by auth.Caller, lock id.Lock) (Lock, error) {
	var out Lock
	err := s.look(ctx, by, attemptOn("lock.find", "", lock), func(ctx context.Context, t Tx, _ time.Time) error {
		l, found, err := t.FindLock(ctx, by.Workspace, lock)
		if err == nil && !found {
			return Unknown()
		}
		out = l
		return err
	})
	return out, err
}

// List returns one page of the workspace's locks, by name. The caller needs locks.read.
func (s *Service) List(ctx context.Context, by auth.Caller, q Query) (page.Page[Lock], error) {
	var out page.Page[Lock]
	q.Page = q.Page.Bounded()
	err := s.look(ctx, by, activity.Attempt{Action: "lock.list"}, func(ctx context.Context, t Tx, now time.Time) (err error) {
		q.Now = now
		out, err = t.ListLocks(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// Counts returns how many locks the workspace has. The caller needs locks.read.
func (s *Service) Counts(ctx context.Context, by auth.Caller) (Counts, error) {
	var out Counts
	err := s.look(ctx, by, activity.Attempt{Action: "lock.count"}, func(ctx context.Context, t Tx, now time.Time) (err error) {
		out, err = t.CountLocks(ctx, by.Workspace, now)
		return err
	})
	return out, err
}

// doorsShown is how many locks Doors names.
const doorsShown = 10

// Doors returns the locks in few words. The caller needs locks.read.
func (s *Service) Doors(ctx context.Context, by auth.Caller) (Doors, error) {
	var out Doors
	err := s.look(ctx, by, activity.Attempt{Action: "lock.doors"}, func(ctx context.Context, t Tx, now time.Time) error {
		counts, err := t.CountLocks(ctx, by.Workspace, now)
		if err != nil {
			return err
		}
		out = Doors{Counts: counts}
		for _, problem := range []bool{true, false} {
			if len(out.Locks) >= doorsShown {
				return nil
			}
			some, err := t.ListLocks(ctx, by.Workspace, Query{Problem: problem, Now: now, Page: page.Request{Limit: doorsShown}})
			if err != nil {
				return err
			}
			for _, l := range some.Items {
				if len(out.Locks) < doorsShown && !slices.ContainsFunc(out.Locks, func(o Lock) bool { return o.ID == l.ID }) {
					out.Locks = append(out.Locks, l)
				}
			}
		}
		return nil
	})
	return out, err
}

// Pulse returns a text that is another one whenever anything about the workspace's locks
// changed: what was made, settings, states at the doors, events. The caller needs
// locks.read.
func (s *Service) Pulse(ctx context.Context, by auth.Caller) (string, error) {
	out := ""
	err := s.look(ctx, by, activity.Attempt{Action: "lock.list"}, func(ctx context.Context, t Tx, now time.Time) error {
		pulse, online, err := t.LocksPulse(ctx, by.Workspace, now)
		out = strconv.FormatInt(pulse, 36) + "." + strconv.FormatInt(online, 36)
		return err
	})
	return out, err
}

// unsafeShown is how many removals ListUnsafe names.
const unsafeShown = 500

// ListUnsafe returns the removals that controllers have not confirmed and that are not
// safe by time, those that stay longest first, at most 500. The caller needs locks.read.
func (s *Service) ListUnsafe(ctx context.Context, by auth.Caller) ([]Unsafe, error) {
	var out []Unsafe
	err := s.look(ctx, by, activity.Attempt{Action: "lock.unsafe"}, func(ctx context.Context, t Tx, now time.Time) (err error) {
		out, err = t.ListUnsafe(ctx, by.Workspace, now, unsafeShown)
		return err
	})
	return out, err
}

// ListEvents returns one page of what doors did, the newest first. The caller needs
// locks.read.
func (s *Service) ListEvents(ctx context.Context, by auth.Caller, q EventQuery) (page.Page[Event], error) {
	var out page.Page[Event]
	q.Page = q.Page.Bounded()
	q.Page.Descending = true
	attempt := activity.Attempt{Action: "lock.events"}
	if q.Lock != "" {
		attempt = attemptOn("lock.events", "", q.Lock)
	}
	err := s.look(ctx, by, attempt, func(ctx context.Context, t Tx, _ time.Time) (err error) {
		out, err = t.ListLockEvents(ctx, by.Workspace, q)
		return err
	})
	return out, err
}
