package apikey

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Change is what is to be changed of a key: nil fields stay.
type Change struct {
	Name       *string
	ExpiresAt  *time.Time // zero for never, or as long as the workspace allows
	AllowedIPs *[]string  // empty for everywhere
}

// MaxOverlap is how long a reset may leave the old token good.
const MaxOverlap = 24 * time.Hour

// Renewal says how a key is reset.
type Renewal struct {
	// Overlap is how long the old token stays good, at most MaxOverlap.
	Overlap time.Duration
	// ExpiresAt is when the new token expires; nil for when the key did, zero for
	// never, or as long as the workspace allows.
	ExpiresAt *time.Time
}

// act is one act on one key, in its transaction.
type act struct {
	t        Tx
	by       auth.Caller
	attempt  activity.Attempt
	standing auth.Standing
	now      time.Time
	old      Key
}

// change runs an act on one key for whom has api_keys.write. fn returns the key as
// it shall be; what depends on it is forgotten everywhere before change returns.
func (s *Service) change(ctx context.Context, by auth.Caller, action string, key id.APIKey, fn func(ctx context.Context, a *act) (Key, *fault.Error, error)) (Key, error) {
	var k Key
	attempt := activity.Attempt{Action: action, Need: auth.APIKeysWrite, Target: activity.Party{Type: "api_key", ID: string(key)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		standing, f, err := s.behindLatch(ctx, t, by, attempt, now)
		if f != nil || err != nil {
			return f, err
		}
		old, found, err := t.LockAPIKey(ctx, by.Workspace, key)
		if err != nil {
			return nil, err
		}
		if !found {
			return unknownKey(), nil
		}
		a := &act{t: t, by: by, attempt: attempt, standing: standing, now: now, old: old}
		a.attempt.Target.Name = old.Name
		once.Note(ctx, string(key))
		k, f, err = fn(ctx, a)
		return f, err
	})
	if err != nil {
		return Key{}, err
	}
	return k, nil
}

// refuse records the refusal and returns it.
func (a *act) refuse(ctx context.Context, f *fault.Error) (Key, *fault.Error, error) {
	return Key{}, f, activity.Refuse(ctx, a.t, a.by, a.attempt, f.Code, a.now)
}

// mayGrant is the rule for acts that give a key more than it has: nobody gives what
// they lack, and an Admin key takes a fresh passkey.
func (a *act) mayGrant() *fault.Error {
	if a.old.Type != Admin {
		return nil
	}
	if !a.standing.Permissions.Covers(a.old.Permissions) {
		return fault.Forbidden("beyond_your_permissions", "This key holds permissions that you lack, so this is not yours to do.")
	}
	return auth.CheckStepUp(a.by, a.now)
}

// write stores the key as changed, with the activity's line.
func (a *act) write(ctx context.Context, k Key, detail string) (Key, *fault.Error, error) {
	if !k.EndsAt.Equal(a.old.EndsAt) {
		k.Retiring.EndsAt = earlier(k.Retiring.EndsAt, k.EndsAt)
		k.WarnAt = NextWarning(k.EndsAt, a.now)
	}
	k.Revision++
	if err := a.t.UpdateAPIKey(ctx, k); err != nil {
		return Key{}, nil, err
	}
	if err := a.append(ctx, a.attempt.Action, detail, k); err != nil {
		return Key{}, nil, err
	}
	return k, nil, a.t.Withdraw(ctx, a.old.Subjects()...)
}

func (a *act) append(ctx context.Context, action, detail string, k Key) error {
	return activity.Append(ctx, a.t, a.by, activity.Event{Action: action, Detail: detail, Target: k.party(), User: a.by.User}, a.now)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Update changes a key's name, end or allowed addresses; from the moment it returns
// the change holds on every server. The caller needs api_keys.write, and for another
// end or other addresses of an Admin key its permissions and, if a person, a fresh
// passkey. ifRevision 0 accepts any revision; another one than the key's answers a
// Precondition fault.
func (s *Service) Update(ctx context.Context, by auth.Caller, key id.APIKey, c Change, ifRevision int64) (Key, error) {
	return s.change(ctx, by, "api_key.update", key, func(ctx context.Context, a *act) (Key, *fault.Error, error) {
		if ifRevision != 0 && ifRevision != a.old.Revision {
			return Key{}, fault.Precondition(), nil
		}
		maxDays, err := a.t.APIKeyMaxDays(ctx, by.Workspace)
		if err != nil {
			return Key{}, nil, err
		}
		k, changed, f := c.apply(a.old, maxDays, a.now)
		if f != nil {
			return Key{}, f, nil
		}
		if len(changed) == 0 {
			return a.old, nil, nil
		}
		if len(changed) > 1 || changed[0] != "name" {
			if f := a.mayGrant(); f != nil {
				return a.refuse(ctx, f)
			}
		}
		return a.write(ctx, k, strings.Join(changed, " "))
	})
}

// apply returns the key as changed and the public names of the fields that differ.
func (c Change) apply(k Key, maxDays int, now time.Time) (Key, []string, *fault.Error) {
	var check checker
	var changed []string
	if c.Name != nil {
		if name := check.name(*c.Name); name != k.Name {
			k.Name = name
			changed = append(changed, "name")
		}
	}
	if c.ExpiresAt != nil && !c.ExpiresAt.Equal(k.ExpiresAt) {
		k.ExpiresAt = *c.ExpiresAt
		check.expiry(k, maxDays, now)
		k.EndsAt = End(k.ExpiresAt, k.IssuedAt, maxDays)
		changed = append(changed, "expires_at")
	}
	if c.AllowedIPs != nil {
		list := check.allowedIPs(*c.AllowedIPs)
		if AllowedIPsText(list) != AllowedIPsText(k.AllowedIPs) {
			k.AllowedIPs = list
			changed = append(changed, "allowed_ips")
		}
	}
	return k, changed, check.fault()
}

// Disable refuses the key from the moment it returns, on every server, until
// Enable; with descendants also all keys that were made with it. It returns how many
// of those it disabled. The caller needs api_keys.write. To disable a disabled key
// changes nothing, but still waits until it is refused everywhere.
func (s *Service) Disable(ctx context.Context, by auth.Caller, key id.APIKey, descendants bool) (Key, int, error) {
	stopped := 0
	k, err := s.change(ctx, by, "api_key.disable", key, func(ctx context.Context, a *act) (Key, *fault.Error, error) {
		stopped = 0
		subjects := a.old.Subjects()
		if descendants {
			n, more, err := a.stopDescendants(ctx)
			if err != nil {
				return Key{}, nil, err
			}
			stopped, subjects = n, append(subjects, more...)
		}
		k := a.old
		if !k.DisabledAt.IsZero() {
			return k, nil, a.t.Withdraw(ctx, subjects...)
		}
		k.DisabledAt = a.now
		k.Revision++
		if err := a.t.UpdateAPIKey(ctx, k); err != nil {
			return Key{}, nil, err
		}
		if err := a.append(ctx, "api_key.disable", stoppedDetail(stopped), k); err != nil {
			return Key{}, nil, err
		}
		return k, nil, a.t.Withdraw(ctx, subjects...)
	})
	return k, stopped, err
}

func stoppedDetail(n int) string {
	if n == 0 {
		return ""
	}
	return "descendants disabled: " + strconv.Itoa(n)
}

// stopDescendants disables all keys that were made with the key and still work.
func (a *act) stopDescendants(ctx context.Context) (int, []string, error) {
	const all = 100_000 // more than anybody makes; what is above stays, and is listed
	made, err := a.t.ListDescendants(ctx, a.old.Workspace, a.old.ID, all)
	if err != nil {
		return 0, nil, err
	}
	n, subjects := 0, []string(nil)
	for _, m := range made {
		if !m.DisabledAt.IsZero() {
			continue
		}
		k, found, err := a.t.LockAPIKey(ctx, m.Workspace, m.ID)
		if err != nil {
			return 0, nil, err
		}
		if !found {
			continue
		}
		k.DisabledAt = a.now
		k.Revision++
		if err := a.t.UpdateAPIKey(ctx, k); err != nil {
			return 0, nil, err
		}
		if err := a.append(ctx, "api_key.disable", "made with "+a.old.Name, k); err != nil {
			return 0, nil, err
		}
		n++
		subjects = append(subjects, k.Subjects()...)
	}
	return n, subjects, nil
}

// Enable lets a disabled key in again, and takes back that a key was reported as
// leaked. The caller needs api_keys.write, and for an Admin key its permissions and,
// if a person, a fresh passkey. To enable a key that is neither changes nothing.
func (s *Service) Enable(ctx context.Context, by auth.Caller, key id.APIKey) (Key, error) {
	return s.change(ctx, by, "api_key.enable", key, func(ctx context.Context, a *act) (Key, *fault.Error, error) {
		if a.old.DisabledAt.IsZero() && a.old.LeakedAt.IsZero() {
			return a.old, nil, nil
		}
		if f := a.mayGrant(); f != nil {
			return a.refuse(ctx, f)
		}
		k := a.old
		k.DisabledAt, k.LeakedAt = time.Time{}, time.Time{}
		return a.write(ctx, k, "")
	})
}

// Delete removes a key for good: it is refused everywhere from the moment Delete
// returns. Its activities stay. descendants also disables the keys that were made
// with it. The caller needs api_keys.write. ifRevision is as Update's.
func (s *Service) Delete(ctx context.Context, by auth.Caller, key id.APIKey, descendants bool, ifRevision int64) (int, error) {
	stopped := 0
	_, err := s.change(ctx, by, "api_key.delete", key, func(ctx context.Context, a *act) (Key, *fault.Error, error) {
		stopped = 0
		if ifRevision != 0 && ifRevision != a.old.Revision {
			return Key{}, fault.Precondition(), nil
		}
		subjects := a.old.Subjects()
		if descendants {
			n, more, err := a.stopDescendants(ctx)
			if err != nil {
				return Key{}, nil, err
			}
			stopped, subjects = n, append(subjects, more...)
		}
		if err := a.t.DeleteAPIKey(ctx, a.old.Workspace, a.old.ID, a.now); err != nil {
			return Key{}, nil, err
		}
		if err := a.append(ctx, "api_key.delete", stoppedDetail(stopped), a.old); err != nil {
			return Key{}, nil, err
		}
		return a.old, nil, a.t.Withdraw(ctx, subjects...)
	})
	return stopped, err
}

// Reset gives an Admin key a new token, which is shown this once; the old one is
// refused everywhere from the moment Reset returns or, with an overlap, when that
// ends, and may not manage API keys meanwhile. A second reset ends the overlap of the
// first. A disabled key stays disabled, has no overlap, and counts as leaked no more:
// reset a leaked key, then enable it. Keys of other types answer a Conflict: their clients are enrolled under the
// token. The caller needs all permissions and, if a person, a fresh passkey. Owners
// and the key's creator are told by e-mail.
func (s *Service) Reset(ctx context.Context, by auth.Caller, key id.APIKey, r Renewal) (Key, token.Token, error) {
	t := token.Issue(token.KindAdmin)
	hash := s.hashes.make(t)
	k, err := s.change(ctx, by, "api_key.reset", key, func(ctx context.Context, a *act) (Key, *fault.Error, error) {
		if a.old.Type != Admin {
			return a.refuse(ctx, fault.Conflict("reset_admin_only", "Only Admin keys can be reset: devices are enrolled under a "+a.old.Type.Title()+" key, and a new secret would cut all of them off. Create a second key, enrol them anew, then delete this one."))
		}
		if f := mayIssue(by, Admin, a.standing, a.now); f != nil {
			return a.refuse(ctx, f)
		}
		maxDays, err := a.t.APIKeyMaxDays(ctx, by.Workspace)
		if err != nil {
			return Key{}, nil, err
		}
		k, f := r.apply(a.old, maxDays, a.now)
		if f != nil {
			return Key{}, f, nil
		}
		k.TokenID, k.TokenHash, k.Pepper = t.ID, hash.hash, hash.pepper
		if err := a.tellReset(ctx, k); err != nil {
			return Key{}, nil, err
		}
		detail := ""
		if k.Retiring.TokenID != "" {
			detail = "overlap " + k.Retiring.EndsAt.Sub(a.now).String()
		}
		return a.write(ctx, k, detail)
	})
	if err != nil {
		return Key{}, token.Token{}, err
	}
	return k, t, nil
}

// apply returns the key as it is with a new token, which is not in it yet.
func (r Renewal) apply(old Key, maxDays int, now time.Time) (Key, *fault.Error) {
	var c checker
	k := old
	k.IssuedAt = now
	k.LeakedAt = time.Time{}
	if r.Overlap > 0 && !old.DisabledAt.IsZero() {
		c.wrong("overlap_minutes", "must be 0: the key is disabled, and so is its old token")
	}
	if r.Overlap < 0 || r.Overlap > MaxOverlap {
		c.wrong("overlap_minutes", "must be between 0 and "+strconv.Itoa(int(MaxOverlap/time.Minute)))
	}
	limit := 0 // what was asked for before the limit came is no mistake of this caller: it is cut
	if r.ExpiresAt != nil {
		k.ExpiresAt, limit = *r.ExpiresAt, maxDays
	}
	c.expiry(k, limit, now)
	k.EndsAt = End(k.ExpiresAt, now, maxDays)
	k.Retiring = Retiring{}
	if end := earlier(now.Add(r.Overlap), old.EndsAt); end.After(now) {
		k.Retiring = Retiring{TokenID: old.TokenID, TokenHash: old.TokenHash, Pepper: old.Pepper, EndsAt: end}
	}
	return k, c.fault()
}

// tellReset tells the key's creator and the owners.
func (a *act) tellReset(ctx context.Context, k Key) error {
	owners, workspace, err := a.t.ListKeyOwners(ctx, k.Workspace, k.Root)
	if err != nil {
		return err
	}
	for _, owner := range owners {
		mail := outbox.APIKeyReset{
			To: owner, Workspace: workspace, APIKey: k.Name, KeyID: string(k.ID), TokenID: k.TokenID, OldTokenID: a.old.TokenID, By: a.by.Name, IP: a.by.IP, At: a.now.UnixMilli(),
		}
		if k.Retiring.TokenID != "" {
			mail.OverlapEndsAt = k.Retiring.EndsAt.UnixMilli()
		}
		if err := outbox.Put(ctx, a.t, k.Workspace, mail, a.now); err != nil {
			return err
		}
	}
	return nil
}

// EndOverlap ends a reset's overlap now: the old token is refused everywhere from
// the moment it returns. The caller needs api_keys.write. Without an overlap it
// changes nothing.
func (s *Service) EndOverlap(ctx context.Context, by auth.Caller, key id.APIKey) (Key, error) {
	return s.change(ctx, by, "api_key.end_overlap", key, func(ctx context.Context, a *act) (Key, *fault.Error, error) {
		if !a.old.Retiring.Active(a.now) {
			a.t.AwaitWithdrawals()
			return a.old, nil, nil
		}
		k := a.old
		k.Retiring = Retiring{}
		return a.write(ctx, k, "")
	})
}

// Title returns the type's name for people.
func (t Type) Title() string {
	switch t {
	case Admin:
		return "Admin"
	case SharedMobile:
		return "Shared Mobile"
	case Clients:
		return "Clients"
	}
	return string(t)
}
