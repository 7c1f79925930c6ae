// Package leave is how people are suspended, come back and go for good: one act
// over the directory, the sign-in, the API keys and the digital keys, in one transaction. It decides
// who may do that to whom and tells what is left of them afterwards.
package leave

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// Tx is the storage of the rooms that this flow joins.
type Tx interface {
	directory.Tx
	signin.Tx
	digitalkey.Tx
	// AnotherOwner tells whether somebody else than u is an owner and not suspended.
	AnotherOwner(ctx context.Context, w id.Workspace, u id.User) (bool, error)
	// SuspendUser sets the flag, ActivateUser takes it back. Both count as a change.
	SuspendUser(ctx context.Context, w id.Workspace, u id.User, now time.Time) error
	ActivateUser(ctx context.Context, w id.Workspace, u id.User) error
	// DeleteUser removes the user and all that is theirs, but no activity.
	DeleteUser(ctx context.Context, w id.Workspace, u id.User, now time.Time) error
	// EndSessionsOf ends all sessions of the user.
	EndSessionsOf(ctx context.Context, w id.Workspace, u id.User, now time.Time) error
	// CountSecurityKeysOf counts the user's security keys, suspended ones too.
	CountSecurityKeysOf(ctx context.Context, w id.Workspace, u id.User) (int, error)
	// CountOpenDigitalKeysOf counts the user's digital keys that are upcoming or active.
	CountOpenDigitalKeysOf(ctx context.Context, w id.Workspace, u id.User, now time.Time) (int, error)
	CountSessionsOf(ctx context.Context, w id.Workspace, u id.User, now time.Time) (int, error)
	// ListCreatedAPIKeys lists at most limit keys that work and that the user
	// created, or that a key of theirs created; CountCreatedAPIKeys counts them.
	ListCreatedAPIKeys(ctx context.Context, w id.Workspace, u id.User, now time.Time, limit int) ([]apikey.Key, error)
	CountCreatedAPIKeys(ctx context.Context, w id.Workspace, u id.User, now time.Time) (int, error)
	// StopAPIKey disables a key. It returns false if it was disabled before.
	StopAPIKey(ctx context.Context, w id.Workspace, k id.APIKey, now time.Time) (bool, error)
}

// Options say what else a suspension does.
type Options struct {
	// DisableCreatedAPIKeys also disables the keys that the user created, and those
	// that such keys created. It needs api_keys.write.
	DisableCreatedAPIKeys bool
}

// Outcome is a user after the act. Websites keep sessions of their own, of which
// Keyhold knows nothing: they are left in any case.
type Outcome struct {
	User directory.User
	Left Left
	// Disabled is how many API keys the act disabled.
	Disabled int
	// DigitalKeys is how many upcoming and active digital keys the act ended, for good.
	DigitalKeys int
}

// Left is what goes on working of a user.
type Left struct {
	// APIKeys are keys that the user created, at most 200 of them; empty for a
	// caller without api_keys.read. Count counts them all.
	APIKeys []apikey.Key
	Count   int
	// Unconfirmed are the doors that have not confirmed that they forget the digital keys
	// which the act ended: each may open until AtLatest. By name, each once.
	Unconfirmed []digitalkey.Receipt
}

// Ties is what hangs on a user: what a suspension ends or leaves, and what a
// deletion takes along.
type Ties struct {
	User          directory.User
	Administrator bool
	Owner         bool
	Sessions      int // open ones
	Passkeys      int
	SecurityKeys  int
	DigitalKeys   int // upcoming and active ones: a suspension ends them for good
	Left          Left
}

// leftCap bounds how many API keys are listed by name.
const leftCap = 200

// Service is the flow's door. Use New.
type Service struct{ gate activity.Gate[Tx] }

// New returns the flow over its storage.
func New(store tx.Runner[Tx], c clock.Clock) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: store, Clock: c}}
}

// The actions of this flow.
const (
	actSuspend  = "user.suspend"
	actActivate = "user.activate"
	actDelete   = "user.delete"
)

func attempt(action string, user id.User) activity.Attempt {
	return activity.Attempt{Action: action, Need: auth.UsersWrite, Target: activity.Party{Type: "user", ID: string(user)}}
}

// Suspend takes a user's access away until Activate: from the commit on nothing of
// theirs is accepted, and their sessions are over. Their digital keys end for good; doors
// that have not heard of it are in the outcome. The caller needs users.write,
// all permissions that the user holds and, if the user is an administrator, a
// fresh passkey. Nobody suspends themselves or the last owner (Conflict). To
// suspend somebody who is suspended changes nothing, but still disables API keys
// if that is asked for.
func (s *Service) Suspend(ctx context.Context, by auth.Caller, user id.User, o Options) (Outcome, error) {
	return s.one(ctx, by, actSuspend, user, func(ctx context.Context, p *pass, u directory.User) (Outcome, *fault.Error, error) {
		return p.suspend(ctx, u, o)
	})
}

// Activate gives a suspended user back what was there, but for digital keys. They sign in
// anew. The
// caller needs users.write and all permissions that the user holds. To activate
// somebody who is not suspended changes nothing.
func (s *Service) Activate(ctx context.Context, by auth.Caller, user id.User) (Outcome, error) {
	return s.one(ctx, by, actActivate, user, func(ctx context.Context, p *pass, u directory.User) (Outcome, *fault.Error, error) {
		return p.activate(ctx, u)
	})
}

// Delete removes a user for good, with sessions, passkeys, security keys, digital keys,
// memberships and rights; their activities stay. The caller needs what Suspend needs and, if the user is
// an administrator, all permissions. ifRevision 0 accepts any revision; another one
// than the user's answers a Precondition fault.
func (s *Service) Delete(ctx context.Context, by auth.Caller, user id.User, ifRevision int64) error {
	_, err := s.one(ctx, by, actDelete, user, func(ctx context.Context, p *pass, u directory.User) (Outcome, *fault.Error, error) {
		if ifRevision != 0 && ifRevision != u.Revision {
			return Outcome{}, fault.Precondition(), nil
		}
		return p.remove(ctx, u)
	})
	return err
}

// FindTies returns what hangs on a user. The caller needs users.read; the API keys
// are named to those who have api_keys.read.
func (s *Service) FindTies(ctx context.Context, by auth.Caller, user id.User) (Ties, error) {
	var ties Ties
	a := activity.Attempt{Action: "user.find", Need: auth.UsersRead, Target: activity.Party{Type: "user", ID: string(user)}}
	err := s.gate.Read(ctx, by, a, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) error {
		u, found, err := t.FindUser(ctx, by.Workspace, user)
		if err != nil {
			return err
		}
		if !found {
			return directory.UnknownUser()
		}
		ties = Ties{User: u}
		admin, isAdmin, err := t.FindAdministrator(ctx, by.Workspace, user)
		if err != nil {
			return err
		}
		ties.Administrator, ties.Owner = isAdmin, admin.Owner
		if ties.Sessions, err = t.CountSessionsOf(ctx, by.Workspace, user, now); err != nil {
			return err
		}
		passkeys, err := t.ListPasskeys(ctx, by.Workspace, user)
		if err != nil {
			return err
		}
		ties.Passkeys = len(passkeys)
		if ties.SecurityKeys, err = t.CountSecurityKeysOf(ctx, by.Workspace, user); err != nil {
			return err
		}
		if ties.DigitalKeys, err = t.CountOpenDigitalKeysOf(ctx, by.Workspace, user, now); err != nil {
			return err
		}
		ties.Left, err = leftOf(ctx, t, by, standing, user, now)
		return err
	})
	return ties, err
}

// one runs an act on one user.
func (s *Service) one(ctx context.Context, by auth.Caller, action string, user id.User,
	do func(ctx context.Context, p *pass, u directory.User) (Outcome, *fault.Error, error),
) (Outcome, error) {
	var out Outcome
	err := s.gate.Write(ctx, by, attempt(action, user), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		p, f, err := begin(ctx, t, by, attempt(action, user), now)
		if f != nil || err != nil {
			return f, err
		}
		u, found, err := t.FindUser(ctx, by.Workspace, user)
		if err != nil {
			return nil, err
		}
		if !found {
			return directory.UnknownUser(), nil
		}
		once.Note(ctx, string(user))
		out, f, err = do(ctx, p, u)
		return f, err
	})
	return out, err
}

// pass is one transaction of this flow.
type pass struct {
	t        Tx
	by       auth.Caller
	standing auth.Standing
	now      time.Time
}

// begin takes the latch under which owners come and go. Whoever waited for it may
// have been suspended meanwhile, so the caller's standing is read anew behind it.
func begin(ctx context.Context, t Tx, by auth.Caller, a activity.Attempt, now time.Time) (*pass, *fault.Error, error) {
	if err := t.Latch(ctx, string(by.Workspace)+"/owners"); err != nil {
		return nil, nil, err
	}
	standing, err := t.CallerStanding(ctx, by, now)
	if err != nil {
		return nil, nil, err
	}
	if f := auth.Check(by, standing, a.Need); f != nil {
		return nil, f, activity.Refuse(ctx, t, by, a, f.Code, now)
	}
	return &pass{t: t, by: by, standing: standing, now: now}, nil, nil
}

// check is who may do the act to whom; a no is recorded.
func (p *pass) check(ctx context.Context, action string, u directory.User) (*fault.Error, error) {
	f, err := p.rule(ctx, action, u)
	if f == nil || err != nil {
		return nil, err
	}
	a := attempt(action, u.ID)
	a.Target.Name = u.Name()
	return f, activity.Refuse(ctx, p.t, p.by, a, f.Code, p.now)
}

func (p *pass) rule(ctx context.Context, action string, u directory.User) (*fault.Error, error) {
	if p.by.User == u.ID && action != actActivate {
		return fault.Conflict("not_yourself", "Nobody suspends or deletes themselves: ask another administrator."), nil
	}
	admin, isAdmin, err := p.t.FindAdministrator(ctx, u.Workspace, u.ID)
	if err != nil || !isAdmin {
		return nil, err
	}
	held := admin.Permissions
	if admin.Owner {
		held = auth.All()
	}
	if !p.standing.Permissions.Covers(held) {
		return fault.Forbidden("beyond_your_permissions", "This user holds permissions that you lack, so this is not yours to do."), nil
	}
	if action == actActivate {
		return nil, nil
	}
	if action == actDelete && !p.standing.Permissions.Covers(auth.All()) {
		return fault.Forbidden("beyond_your_permissions", "Deleting an administrator needs all permissions."), nil
	}
	if admin.Owner {
		another, err := p.t.AnotherOwner(ctx, u.Workspace, u.ID)
		if err != nil {
			return nil, err
		}
		if !another {
			return fault.Conflict("last_owner", "This is the last owner who is not suspended: a workspace keeps one."), nil
		}
	}
	return auth.CheckStepUp(p.by, p.now), nil
}

func (p *pass) suspend(ctx context.Context, u directory.User, o Options) (Outcome, *fault.Error, error) {
	if f, err := p.check(ctx, actSuspend, u); f != nil || err != nil {
		return Outcome{}, f, err
	}
	if o.DisableCreatedAPIKeys && !p.standing.Permissions.Has(auth.APIKeysWrite) {
		f := fault.Forbidden("missing_permission", "Disabling API keys needs the permission "+string(auth.APIKeysWrite)+".")
		return Outcome{}, f, activity.Refuse(ctx, p.t, p.by, attempt(actSuspend, u.ID), f.Code, p.now)
	}
	out := Outcome{User: u}
	var unconfirmed []digitalkey.Receipt
	fresh := u.SuspendedAt.IsZero()
	if fresh {
		out.User.SuspendedAt = p.now
		out.User.Revision++
		var err error
		if out.DigitalKeys, unconfirmed, err = p.endDigitalKeys(ctx, u, digitalkey.EndKeysOf); err != nil {
			return out, nil, err
		}
		if err := p.t.SuspendUser(ctx, u.Workspace, u.ID, p.now); err != nil {
			return out, nil, err
		}
		if err := p.closeDoors(ctx, u); err != nil {
			return out, nil, err
		}
	}
	var err error
	if o.DisableCreatedAPIKeys {
		if out.Disabled, err = p.disableKeys(ctx, u); err != nil {
			return out, nil, err
		}
	}
	if fresh {
		detail := ""
		if out.Disabled > 0 {
			detail = "api_keys disabled: " + text(out.Disabled)
		}
		if err := p.append(ctx, actSuspend, detail, u); err != nil {
			return out, nil, err
		}
	}
	out.Left, err = leftOf(ctx, p.t, p.by, p.standing, u.ID, p.now)
	out.Left.Unconfirmed = unconfirmed
	return out, nil, err
}

// endDigitalKeys ends the user's digital keys, and returns how many and the doors that have
// not heard of it. It comes before the user's row is written: keys are made under the latch
// first and the user's row afterwards.
func (p *pass) endDigitalKeys(ctx context.Context, u directory.User, end func(context.Context, digitalkey.Tx, auth.Caller, id.Workspace, id.User, time.Time) (int, error)) (int, []digitalkey.Receipt, error) {
	if err := p.t.Latch(ctx, string(u.Workspace)+"/pins"); err != nil {
		return 0, nil, err
	}
	keys, err := p.t.ListOpenDigitalKeys(ctx, u.Workspace, u.ID, p.now)
	if err != nil {
		return 0, nil, err
	}
	n, err := end(ctx, p.t, p.by, u.Workspace, u.ID, p.now)
	if err != nil {
		return 0, nil, err
	}
	latest := map[id.Lock]digitalkey.Receipt{}
	for _, k := range keys {
		receipts, err := p.t.ListReceipts(ctx, u.Workspace, k, p.now)
		if err != nil {
			return 0, nil, err
		}
		for _, r := range receipts {
			if r.Unsafe(p.now) && r.AtLatest.After(latest[r.Lock].AtLatest) {
				latest[r.Lock] = r
			}
		}
	}
	return n, slices.SortedFunc(maps.Values(latest), func(a, b digitalkey.Receipt) int {
		return cmp.Or(cmp.Compare(a.LockName, b.LockName), cmp.Compare(a.Lock, b.Lock))
	}), nil
}

// closeDoors ends what would otherwise wait for the user's return: sessions, and
// passes and links with which a passkey could be registered meanwhile.
func (p *pass) closeDoors(ctx context.Context, u directory.User) error {
	if err := p.t.EndSessionsOf(ctx, u.Workspace, u.ID, p.now); err != nil {
		return err
	}
	if err := p.t.EndAccessPasses(ctx, u.Workspace, u.ID, signin.PassWithdrawn, p.now); err != nil {
		return err
	}
	return p.t.WithdrawSetupLinks(ctx, u.Workspace, u.ID, p.now)
}

func (p *pass) disableKeys(ctx context.Context, u directory.User) (int, error) {
	n := 0
	var subjects []string
	for {
		keys, err := p.t.ListCreatedAPIKeys(ctx, u.Workspace, u.ID, p.now, leftCap)
		if err != nil {
			return n, err
		}
		if len(keys) == 0 {
			return n, p.t.Withdraw(ctx, subjects...)
		}
		for _, k := range keys {
			subjects = append(subjects, k.Subjects()...)
			if _, err := p.t.StopAPIKey(ctx, u.Workspace, k.ID, p.now); err != nil {
				return n, err
			}
			n++
			if err := activity.Append(ctx, p.t, p.by, activity.Event{
				Action: "api_key.disable", Target: activity.Party{Type: "api_key", ID: string(k.ID), Name: k.Name}, User: u.ID,
			}, p.now); err != nil {
				return n, err
			}
		}
	}
}

func (p *pass) activate(ctx context.Context, u directory.User) (Outcome, *fault.Error, error) {
	if f, err := p.check(ctx, actActivate, u); f != nil || err != nil {
		return Outcome{}, f, err
	}
	out := Outcome{User: u}
	if u.SuspendedAt.IsZero() {
		return out, nil, nil
	}
	out.User.SuspendedAt = time.Time{}
	out.User.Revision++
	if err := p.t.ActivateUser(ctx, u.Workspace, u.ID); err != nil {
		return out, nil, err
	}
	// A session that was being opened while the suspension was written is not to
	// come to life now.
	if err := p.closeDoors(ctx, u); err != nil {
		return out, nil, err
	}
	return out, nil, p.append(ctx, actActivate, "", u)
}

func (p *pass) remove(ctx context.Context, u directory.User) (Outcome, *fault.Error, error) {
	if f, err := p.check(ctx, actDelete, u); f != nil || err != nil {
		return Outcome{}, f, err
	}
	out := Outcome{User: u}
	var err error
	if out.DigitalKeys, out.Left.Unconfirmed, err = p.endDigitalKeys(ctx, u, digitalkey.RemoveKeysOf); err != nil {
		return Outcome{}, nil, err
	}
	if err := p.t.DeleteUser(ctx, u.Workspace, u.ID, p.now); err != nil {
		return Outcome{}, nil, err
	}
	return out, nil, p.append(ctx, actDelete, "", u)
}

func (p *pass) append(ctx context.Context, action, detail string, u directory.User) error {
	return activity.Append(ctx, p.t, p.by, activity.Event{
		Action: action, Detail: detail, Target: activity.Party{Type: "user", ID: string(u.ID), Name: u.Name()}, User: u.ID,
	}, p.now)
}

func leftOf(ctx context.Context, t Tx, by auth.Caller, standing auth.Standing, u id.User, now time.Time) (Left, error) {
	var left Left
	var err error
	if left.Count, err = t.CountCreatedAPIKeys(ctx, by.Workspace, u, now); err != nil || left.Count == 0 || !standing.Permissions.Has(auth.APIKeysRead) {
		return left, err
	}
	left.APIKeys, err = t.ListCreatedAPIKeys(ctx, by.Workspace, u, now, leftCap)
	return left, err
}
