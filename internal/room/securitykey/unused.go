package securitykey

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

// unusedBatch is how many keys one transaction looks after, and how many a dry run
// names.
const unusedBatch = 200

// Unused is what looking after unused keys would do now: whose holders would be told,
// and which keys would be suspended, the longest unused first and at most 200 of each.
type Unused struct {
	ToTell, ToSuspend           []SecurityKey
	ToTellCount, ToSuspendCount int
}

func day(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// Unused returns what would happen now if the workspace looked for keys that are unused
// for so many days, and suspended them so many days after telling the holder. With other
// days than the settings' all holders would be told anew. Nothing is done. The caller
// needs security_keys.read.
func (s *Service) Unused(ctx context.Context, by auth.Caller, days, grace int) (Unused, error) {
	var out Unused
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "security_key.unused", Need: auth.SecurityKeysRead}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
		var c checker
		c.wrong(days < 1 || days > MaxUnusedDays, "unused_days", "must be between 1 and "+strconv.Itoa(MaxUnusedDays))
		c.wrong(grace < 1 || grace > MaxGraceDays, "grace_days", "must be between 1 and "+strconv.Itoa(MaxGraceDays))
		if f := c.fault(); f != nil {
			return f
		}
		settings, err := settingsOf(ctx, t, by.Workspace)
		if err != nil {
			return err
		}
		out, err = unusedOf(ctx, t, by.Workspace, days, grace, days == settings.UnusedDays && grace == settings.GraceDays, now)
		return err
	})
	return out, err
}

// unusedOf is Unused; told says whether those count who were told before.
func unusedOf(ctx context.Context, t Tx, w id.Workspace, days, grace int, told bool, now time.Time) (Unused, error) {
	var out Unused
	look := func(q UnusedQuery) ([]SecurityKey, int, error) {
		q.UsedBy, q.Limit = now.Add(-day(days)), unusedBatch
		keys, err := t.ListUnusedSecurityKeys(ctx, w, q)
		if err != nil {
			return nil, 0, err
		}
		n, err := t.CountUnusedSecurityKeys(ctx, w, q)
		return keys, int(n), err
	}
	var err error
	if !told {
		out.ToTell, out.ToTellCount, err = look(UnusedQuery{})
		return out, err
	}
	if out.ToTell, out.ToTellCount, err = look(UnusedQuery{Told: ToldNever}); err != nil {
		return out, err
	}
	out.ToSuspend, out.ToSuspendCount, err = look(UnusedQuery{Told: ToldBefore, ToldBy: now.Add(-day(grace))})
	return out, err
}

// LookAfterUnused tells the holders of keys that nobody uses, and suspends those whose
// holders were told long enough ago, in all workspaces that decided so. It returns how
// many keys it told of or suspended. Several servers may do it at once. Only the system's
// own jobs may call it.
func (s *Service) LookAfterUnused(ctx context.Context, by auth.Caller) (int, error) {
	if by.Kind != auth.System {
		return 0, fault.Forbidden("system_only", "Only Keyhold itself does this.")
	}
	done := 0
	for after := id.Workspace(""); ; {
		var rules []UnusedRule
		err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
			rules, err = t.ListUnusedRules(ctx, after, unusedBatch)
			return err
		})
		if err != nil || len(rules) == 0 {
			return done, err
		}
		for _, rule := range rules {
			n, err := s.lookAfter(ctx, auth.Job(rule.Workspace, by.Job), rule)
			if done += n; err != nil {
				return done, err
			}
			after = rule.Workspace
		}
	}
}

// lookAfter is LookAfterUnused for one workspace.
func (s *Service) lookAfter(ctx context.Context, by auth.Caller, rule UnusedRule) (int, error) {
	now := s.gate.Clock.Now()
	usedBy, toldBy := now.Add(-day(rule.Days)), now.Add(-day(rule.Grace))
	told, err := s.inBatches(ctx, by.Workspace, UnusedQuery{UsedBy: usedBy, Told: ToldNever}, func(ctx context.Context, t Tx, k SecurityKey) (bool, error) {
		return tellUnused(ctx, t, by, k, usedBy, now, now.Add(day(rule.Grace)))
	})
	if err != nil {
		return told, err
	}
	q := UnusedQuery{UsedBy: usedBy, Told: ToldBefore, ToldBy: toldBy}
	suspended, err := s.inBatches(ctx, by.Workspace, q, func(ctx context.Context, t Tx, k SecurityKey) (bool, error) {
		return suspendUnused(ctx, t, by, k, q, now)
	})
	return told + suspended, err
}

// inBatches runs do for all unused keys of a kind, a batch in each transaction, and
// returns for how many it did something.
func (s *Service) inBatches(ctx context.Context, w id.Workspace, q UnusedQuery, do func(ctx context.Context, t Tx, k SecurityKey) (bool, error)) (int, error) {
	done := 0
	for q.Limit = unusedBatch; ; {
		n, batch := 0, []SecurityKey(nil)
		err := s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
			var err error
			n = 0
			if batch, err = t.ListUnusedSecurityKeys(ctx, w, q); err != nil {
				return nil, err
			}
			for _, k := range batch {
				did, err := do(ctx, t, k)
				if err != nil {
					return nil, err
				}
				if did {
					n++
				}
			}
			return nil, nil
		})
		if done += n; err != nil || len(batch) < unusedBatch {
			return done, err
		}
		last := batch[len(batch)-1]
		q.After = Place{UsedAt: last.UsedAt(), ID: last.ID}
	}
}

// tellUnused tells the holder of an unused key until when they have to use it.
func tellUnused(ctx context.Context, t Tx, by auth.Caller, k SecurityKey, usedBy, now, until time.Time) (bool, error) {
	mine, err := t.NoteUnusedNotice(ctx, k.Workspace, k.ID, usedBy, now)
	if err != nil || !mine {
		return false, err
	}
	o, _, err := t.FindKeyOwner(ctx, k.Workspace, k.User)
	if err != nil {
		return false, err
	}
	n := outbox.SecurityKeyNotice{Did: outbox.KeyUnused, Until: until.UnixMilli()}
	if err := notify(ctx, t, by, o, []outbox.Recipient{o.To}, n, k, now); err != nil {
		return false, err
	}
	return true, appendLine(ctx, t, by, "security_key.notice", "unused", k, now)
}

// suspendUnused suspends a key that was still not used after its holder was told.
func suspendUnused(ctx context.Context, t Tx, by auth.Caller, k SecurityKey, q UnusedQuery, now time.Time) (bool, error) {
	a, f, err := beginKey(ctx, t, by, attemptOn("security_key.suspend", k.ID), auth.Standing{}, k.ID, false, now)
	if f != nil || err != nil {
		return false, err // gone meanwhile
	}
	if a.old.Shown() != Active || a.old.NoticedAt.IsZero() || a.old.NoticedAt.After(q.ToldBy) || a.old.UsedAt().After(q.UsedBy) {
		return false, nil
	}
	if k, err = a.suspend(ctx, "unused"); err != nil {
		return false, err
	}
	return true, a.tell(ctx, outbox.KeySuspended, k)
}
