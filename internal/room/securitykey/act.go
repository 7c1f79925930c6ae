package securitykey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Unknown is the answer for a key that is not there or not to be known.
func Unknown() *fault.Error {
	return fault.NotFound("security_key_not_found", "This security key does not exist.")
}

func unknownUser() *fault.Error {
	return fault.NotFound("user_not_found", "This user does not exist.")
}

func userSuspended() *fault.Error {
	return fault.Conflict("user_suspended", "This user is suspended: activate them first.")
}

func notACard() *fault.Error {
	return fault.Conflict("not_a_card", "Only contactless cards have a PIN that Keyhold keeps.")
}

// party is the key in the record.
func (k SecurityKey) party() activity.Party {
	return activity.Party{Type: "security_key", ID: string(k.ID), Name: k.Name}
}

// act is one act on one key, in its transaction.
type act struct {
	t        Tx
	by       auth.Caller
	attempt  activity.Attempt
	standing auth.Standing
	now      time.Time
	owner    Owner
	old      SecurityKey
}

// MayGive is the rule that nobody rises: whoever gives u a key or a pass holds every
// permission that u holds. It takes the latch under which administrators come and go;
// standing is the caller's. Whoever is told no records it.
func MayGive(ctx context.Context, t Tx, by auth.Caller, standing auth.Standing, u id.User) (*fault.Error, error) {
	if err := t.Latch(ctx, string(by.Workspace)+"/owners"); err != nil {
		return nil, err
	}
	held, err := t.HeldPermissions(ctx, by.Workspace, u)
	if err != nil || standing.Permissions.Covers(held) {
		return nil, err
	}
	return fault.Forbidden("beyond_your_permissions", "This user holds permissions that you lack, so this is not yours to do."), nil
}

// MayTake is the rule that a mailbox alone opens no vault: whoever activates k for
// themselves, and shows no more than a link or an e-mail code, has no other active key.
// It locks the holder: no key becomes active meanwhile. Whoever is told no records it.
func MayTake(ctx context.Context, t Tx, by auth.Caller, standing auth.Standing, k SecurityKey) (*fault.Error, error) {
	if _, err := t.LockUser(ctx, k.Workspace, k.User); err != nil {
		return nil, err
	}
	if isProved(by, standing, k.User) {
		return nil, nil
	}
	active, err := t.CountActiveSecurityKeys(ctx, k.Workspace, k.User, k.ID)
	if err != nil || active == 0 {
		return nil, err
	}
	return mailboxOnly(), nil
}

func mailboxOnly() *fault.Error {
	return fault.Forbidden("mailbox_only", "You have security keys, so an e-mail is not enough for this: sign in with a passkey or a temporary access pass.")
}

// isProved says whether the caller is the user and has shown more than a mailbox.
func isProved(by auth.Caller, standing auth.Standing, u id.User) bool {
	return (by.Kind == auth.User || by.Kind == auth.Administrator) && by.User == u && standing.Active && !standing.ByMailbox
}

// gives says whether an act gives a user something: then nobody does it who holds
// less than that user.
type gives bool

// begin holds the user until the transaction ends. For an act that gives it takes the
// latch first; whoever waited for it may have lost their rights meanwhile, so the
// caller's standing is read anew behind it.
func begin(ctx context.Context, t Tx, by auth.Caller, attempt activity.Attempt, standing auth.Standing, u id.User, g gives, now time.Time) (*act, *fault.Error, error) {
	a := &act{t: t, by: by, attempt: attempt, standing: standing, now: now}
	var beyond *fault.Error
	if g {
		err := t.Latch(ctx, string(by.Workspace)+"/owners")
		if err != nil {
			return nil, nil, err
		}
		if a.standing, err = t.CallerStanding(ctx, by, now); err != nil {
			return nil, nil, err
		}
		if f := auth.Check(by, a.standing, attempt.Need); f != nil {
			return nil, f, a.record(ctx, f.Code)
		}
		if beyond, err = MayGive(ctx, t, by, a.standing, u); err != nil {
			return nil, nil, err
		}
	}
	found, err := t.LockUser(ctx, by.Workspace, u)
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, unknownUser(), nil
	}
	if a.owner, _, err = t.FindKeyOwner(ctx, by.Workspace, u); err != nil {
		return nil, nil, err
	}
	if beyond != nil {
		return nil, beyond, a.record(ctx, beyond.Code)
	}
	return a, nil, nil
}

// beginKey is begin for an act on one key, which it holds too.
func beginKey(ctx context.Context, t Tx, by auth.Caller, attempt activity.Attempt, standing auth.Standing, k id.SecurityKey, g gives, now time.Time) (*act, *fault.Error, error) {
	old, found, err := t.FindSecurityKey(ctx, by.Workspace, k)
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, Unknown(), nil
	}
	attempt.Target, attempt.SecurityKey = old.party(), k
	a, f, err := begin(ctx, t, by, attempt, standing, old.User, g, now)
	if f != nil || err != nil {
		return nil, f, err
	}
	if a.old, found, err = t.LockSecurityKey(ctx, by.Workspace, k); err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, Unknown(), nil
	}
	return a, nil, nil
}

// work is an act on one key. It returns the key as it is afterwards.
type work func(ctx context.Context, a *act) (SecurityKey, *fault.Error, error)

// change runs an act on one key for whoever has security_keys.write.
func (s *Service) change(ctx context.Context, by auth.Caller, action string, k id.SecurityKey, g gives, do work) (SecurityKey, error) {
	var out SecurityKey
	attempt := attemptOn(action, k)
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		a, f, err := beginKey(ctx, t, by, attempt, standing, k, g, now)
		if f != nil || err != nil {
			return f, err
		}
		once.Note(ctx, string(k))
		out, f, err = do(ctx, a)
		return f, err
	})
	if err != nil {
		return SecurityKey{}, err
	}
	return out, nil
}

func attemptOn(action string, k id.SecurityKey) activity.Attempt {
	return activity.Attempt{Action: action, Need: auth.SecurityKeysWrite, Target: activity.Party{Type: "security_key", ID: string(k)}, SecurityKey: k}
}

// record writes that the act was refused.
func (a *act) record(ctx context.Context, reason string) error {
	return activity.Refuse(ctx, a.t, a.by, a.attempt, reason, a.now)
}

// refuse records the fault and returns it.
func (a *act) refuse(ctx context.Context, f *fault.Error) (SecurityKey, *fault.Error, error) {
	return SecurityKey{}, f, a.record(ctx, f.Code)
}

// write stores the key as changed, with the activity's line.
func (a *act) write(ctx context.Context, k SecurityKey, detail string) error {
	if err := a.t.UpdateSecurityKey(ctx, k); err != nil {
		return err
	}
	return a.append(ctx, detail, k)
}

func (a *act) append(ctx context.Context, detail string, k SecurityKey) error {
	return appendLine(ctx, a.t, a.by, a.attempt.Action, detail, k, a.now)
}

func appendLine(ctx context.Context, t Tx, by auth.Caller, action, detail string, k SecurityKey, now time.Time) error {
	return activity.Append(ctx, t, by, activity.Event{
		Workspace: k.Workspace, Action: action, Detail: detail, Target: k.party(), User: k.User, SecurityKey: k.ID,
	}, now)
}

// tell mails the holder what happened to the key.
func (a *act) tell(ctx context.Context, did string, k SecurityKey) error {
	return notify(ctx, a.t, a.by, a.owner, []outbox.Recipient{a.owner.To}, outbox.SecurityKeyNotice{Did: did}, k, a.now)
}

// notify mails a notice of the key to all who are named. Did, By and Until are the
// notice's own.
func notify(ctx context.Context, t Tx, by auth.Caller, o Owner, to []outbox.Recipient, n outbox.SecurityKeyNotice, k SecurityKey, now time.Time) error {
	n.Workspace, n.KeyID, n.Kind, n.Key, n.Holder, n.At = o.Workspace, string(k.ID), string(k.Kind), k.Name, o.To.Name, now.UnixMilli()
	if by.Kind != auth.System {
		n.By, n.IP, n.Agent = by.Name, by.IP, by.Agent
	}
	for _, r := range to {
		n.To = r
		if err := outbox.Put(ctx, t, k.Workspace, n, now); err != nil {
			return err
		}
	}
	return nil
}

// takes returns where a step leads that gives the holder something, or why the key
// does not take it.
func (a *act) takes(does step) (standing, *fault.Error) {
	next, ok := standing{a.old.Life, !a.old.SuspendedAt.IsZero()}.after(does)
	switch {
	case a.owner.Suspended:
		return next, userSuspended()
	case !ok && !a.old.SuspendedAt.IsZero():
		return next, fault.Conflict("key_suspended", "This security key is suspended: activate it first.")
	case !ok:
		return next, fault.Conflict("key_active", "This security key is active already.")
	}
	return next, nil
}
