package signin

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// The bounds of temporary access passes.
const (
	AccessPassLength    = 8 // where none is asked for, and the shortest
	AccessPassMaxLength = 48

	AccessPassLifetime    = time.Hour // where none is asked for
	AccessPassMinLifetime = 10 * time.Minute
	AccessPassMaxLifetime = 43_200 * time.Minute
	// AccessPassReach is how late a pass may start, in days.
	AccessPassReach = 365

	// KeysLifetime is how long the session of a one-time pass lasts.
	KeysLifetime = 10 * time.Minute

	// AccessPassTries is how many wrong passes an address has in AccessPassWindow,
	// AccessPassNetTries how many a network has.
	AccessPassTries      = 5
	AccessPassNetTries   = 20
	AccessPassWindow     = time.Hour
	accessPassStartSlack = time.Minute
	// comparedPasses is how many passes of a person a typed code is compared with: the
	// valid one and those before it, so that the record can tell why they fail.
	comparedPasses = 4
	// findablePasses is how many of a person's passes are found by their ids.
	findablePasses = 100
)

// AccessPass is a temporary access pass: a code with which a user activates their
// keys or signs in to the app until ExpiresAt. The code itself is kept nowhere.
type AccessPass struct {
	ID        id.AccessPass
	Workspace id.Workspace
	User      id.User
	Digest    []byte // token.AccessPassDigest of the code
	StartsAt  time.Time
	ExpiresAt time.Time
	OneTime   bool
	CreatedAt time.Time
	CreatedBy string    // the name of who issued it
	UsedAt    time.Time // when it was last used; zero if it never was
	EndedAt   time.Time // zero unless it was replaced or withdrawn
	EndedAs   AccessPassState
}

// AccessPassState is what a pass is worth at a moment.
type AccessPassState string

// The states. Only a valid pass opens anything.
const (
	PassScheduled AccessPassState = "scheduled"
	PassValid     AccessPassState = "valid"
	PassUsed      AccessPassState = "used" // a one-time pass
	PassExpired   AccessPassState = "expired"
	PassReplaced  AccessPassState = "replaced"
	PassWithdrawn AccessPassState = "withdrawn"
)

// State returns what the pass is worth at now.
func (p AccessPass) State(now time.Time) AccessPassState {
	switch {
	case p.EndedAs != "":
		return p.EndedAs
	case p.OneTime && !p.UsedAt.IsZero():
		return PassUsed
	case !now.Before(p.ExpiresAt):
		return PassExpired
	case now.Before(p.StartsAt):
		return PassScheduled
	}
	return PassValid
}

// NewAccessPass is what a pass is made from. Zero fields stand for the defaults.
type NewAccessPass struct {
	Lifetime time.Duration
	Length   int
	StartsAt time.Time // zero for now
	OneTime  bool
}

// AccessPassTx is what passes need of a transaction.
type AccessPassTx interface {
	InsertAccessPass(ctx context.Context, p AccessPass) error
	// ListAccessPasses lists the user's passes, the last made first.
	ListAccessPasses(ctx context.Context, w id.Workspace, u id.User, limit int) ([]AccessPass, error)
	// EndAccessPasses ends the user's passes that are scheduled or valid at now.
	EndAccessPasses(ctx context.Context, w id.Workspace, u id.User, as AccessPassState, now time.Time) error
	// EndAccessPass ends one pass; false if it had ended before.
	EndAccessPass(ctx context.Context, w id.Workspace, p id.AccessPass, as AccessPassState, now time.Time) (bool, error)
	// UseAccessPass notes a use; false if the pass is not valid at now, be it that
	// somebody was faster.
	UseAccessPass(ctx context.Context, w id.Workspace, p id.AccessPass, now time.Time) (bool, error)
	// EndPassSessions ends the sessions that the user's passes opened.
	EndPassSessions(ctx context.Context, w id.Workspace, u id.User, now time.Time) error
	// HeldPermissions returns what the user may do as an administrator: all for an
	// owner, nothing for everybody else.
	HeldPermissions(ctx context.Context, w id.Workspace, u id.User) (auth.Permissions, error)
	// APIKeyCreator returns the person at the root of an API key, zero for the
	// system's.
	APIKeyCreator(ctx context.Context, w id.Workspace, k id.APIKey) (id.User, error)
}

// pass returns the pass that is asked for, without its digest.
func (n NewAccessPass) pass(by auth.Caller, u id.User, now time.Time) (AccessPass, int, *fault.Error) {
	now = now.Truncate(time.Millisecond) // as it is stored and shown
	var wrong []fault.Field
	if n.Lifetime == 0 {
		n.Lifetime = AccessPassLifetime
	}
	if n.Lifetime < AccessPassMinLifetime || n.Lifetime > AccessPassMaxLifetime || n.Lifetime%time.Minute != 0 {
		wrong = append(wrong, fault.Field{Name: "lifetime_minutes", Message: "must be a whole number from 10 to 43200"})
	}
	if n.Length == 0 {
		n.Length = AccessPassLength
	}
	if n.Length < AccessPassLength || n.Length > AccessPassMaxLength {
		wrong = append(wrong, fault.Field{Name: "length", Message: "must be from " + strconv.Itoa(AccessPassLength) + " to " + strconv.Itoa(AccessPassMaxLength)})
	}
	starts := n.StartsAt.UTC().Truncate(time.Millisecond)
	switch {
	case n.StartsAt.IsZero():
		starts = now
	case starts.Before(now.Add(-accessPassStartSlack)):
		wrong = append(wrong, fault.Field{Name: "starts_at", Message: "is in the past"})
	case starts.After(now.AddDate(0, 0, AccessPassReach)):
		wrong = append(wrong, fault.Field{Name: "starts_at", Message: "is more than a year ahead"})
	case starts.Before(now):
		starts = now // clocks differ: the holder has the whole lifetime
	}
	if len(wrong) > 0 {
		return AccessPass{}, 0, fault.Invalid("invalid_fields", "Some fields need your attention.", wrong...)
	}
	return AccessPass{
		ID: id.New[id.KindAccessPass](now), Workspace: by.Workspace, User: u, StartsAt: starts, ExpiresAt: starts.Add(n.Lifetime), OneTime: n.OneTime,
		CreatedAt: now, CreatedBy: by.Name,
	}, n.Length, nil
}

func passParty(p AccessPass) activity.Party {
	return activity.Party{Type: "access_pass", ID: string(p.ID)}
}

func unknownUser() *fault.Error {
	return fault.NotFound("user_not_found", "This user does not exist.")
}

// IssueAccessPass makes a pass for a user and returns its code, which nobody can read
// again. A pass that they had is replaced and the sessions that passes opened end; the
// user is told by e-mail. The caller needs security_keys.write and all permissions
// that the user holds. Nobody issues one to themselves, nor by an API key that goes
// back to them, nor to somebody who is suspended (Conflict).
func (s *Service) IssueAccessPass(ctx context.Context, by auth.Caller, u id.User, n NewAccessPass) (AccessPass, secret.Bytes, error) {
	var p AccessPass
	var code secret.Bytes
	attempt := activity.Attempt{Action: "access_pass.issue", Need: auth.SecurityKeysWrite, Target: activity.Party{Type: "user", ID: string(u)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		// Administrators come and go under this latch, and passes of one user are made
		// one after the other.
		if err := t.Latch(ctx, string(by.Workspace)+"/owners"); err != nil {
			return nil, err
		}
		standing, err := t.CallerStanding(ctx, by, now)
		if err != nil {
			return nil, err
		}
		if f := auth.Check(by, standing, attempt.Need); f != nil {
			return f, activity.Refuse(ctx, t, by, attempt, f.Code, now)
		}
		holder, found, err := t.FindPerson(ctx, by.Workspace, u)
		if err != nil {
			return nil, err
		}
		if !found {
			return unknownUser(), nil
		}
		attempt.Target = userParty(holder)
		f, err := mayPass(ctx, t, by, standing, holder)
		if err != nil {
			return nil, err
		}
		if f != nil {
			return f, activity.Refuse(ctx, t, by, attempt, f.Code, now)
		}
		var length int
		if p, length, f = n.pass(by, u, now); f != nil {
			return f, nil
		}
		code = token.NewAccessPass(length)
		p.Digest = token.AccessPassDigest(s.codeKey, string(p.ID), code)
		if err := t.EndAccessPasses(ctx, by.Workspace, u, PassReplaced, now); err != nil {
			return nil, err
		}
		if err := t.EndPassSessions(ctx, by.Workspace, u, now); err != nil {
			return nil, err
		}
		if err := t.InsertAccessPass(ctx, p); err != nil {
			return nil, err
		}
		once.Note(ctx, string(p.ID))
		return nil, tellPass(ctx, t, by, holder, p, now)
	})
	if err != nil {
		return AccessPass{}, secret.Bytes{}, err
	}
	return p, code, nil
}

// mayPass is who may make a pass for whom.
func mayPass(ctx context.Context, t Tx, by auth.Caller, standing auth.Standing, holder Person) (*fault.Error, error) {
	root := by.User
	if by.Kind == auth.APIKey {
		var err error
		if root, err = t.APIKeyCreator(ctx, by.Workspace, by.APIKey); err != nil {
			return nil, err
		}
	}
	if root == holder.User {
		return fault.Conflict("not_yourself", "Nobody makes a temporary access pass for themselves: ask another administrator."), nil
	}
	held, err := t.HeldPermissions(ctx, by.Workspace, holder.User)
	if err != nil {
		return nil, err
	}
	if !standing.Permissions.Covers(held) {
		return fault.Forbidden("beyond_your_permissions", "This user holds permissions that you lack, so you cannot make a temporary access pass for them."), nil
	}
	if holder.Suspended {
		return fault.Conflict("user_suspended", "This user is suspended. Activate them first."), nil
	}
	return nil, nil
}

// tellPass writes the line of a new pass and the mail to the holder.
func tellPass(ctx context.Context, t Tx, by auth.Caller, holder Person, p AccessPass, now time.Time) error {
	mail := outbox.AccessPassIssued{
		To: recipient(holder), Workspace: holder.WorkspaceName, OneTime: p.OneTime, StartsAt: p.StartsAt.UnixMilli(), ExpiresAt: p.ExpiresAt.UnixMilli(),
		By: by.Name, At: now.UnixMilli(),
	}
	if err := outbox.Put(ctx, t, p.Workspace, mail, now); err != nil {
		return err
	}
	detail := "reusable"
	if p.OneTime {
		detail = "one-time"
	}
	return activity.Append(ctx, t, by, activity.Event{Action: "access_pass.issue", Detail: detail, Target: userParty(holder), User: holder.User}, now)
}

func passNotFound() *fault.Error {
	return fault.NotFound("access_pass_not_found", "This user has no temporary access pass.")
}

// lastPass returns the last pass of a user of the caller's workspace, or the fault.
func lastPass(ctx context.Context, t Tx, by auth.Caller, u id.User) (Person, AccessPass, *fault.Error, error) {
	holder, found, err := t.FindPerson(ctx, by.Workspace, u)
	if err != nil {
		return holder, AccessPass{}, nil, err
	}
	if !found {
		return holder, AccessPass{}, unknownUser(), nil
	}
	all, err := t.ListAccessPasses(ctx, by.Workspace, u, 1)
	if err != nil {
		return holder, AccessPass{}, nil, err
	}
	if len(all) == 0 {
		return holder, AccessPass{}, passNotFound(), nil
	}
	return holder, all[0], nil, nil
}

// FindAccessPass returns the last pass of a user; AccessPass.State tells what it is
// worth. The caller needs security_keys.read.
func (s *Service) FindAccessPass(ctx context.Context, by auth.Caller, u id.User) (AccessPass, error) {
	var p AccessPass
	attempt := activity.Attempt{Action: "access_pass.find", Need: auth.SecurityKeysRead, Target: activity.Party{Type: "user", ID: string(u)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		_, found, f, err := lastPass(ctx, t, by, u)
		if f != nil {
			return f
		}
		p = found
		return err
	})
	return p, err
}

// FindIssuedPass returns one of the user's last passes by its id. The caller needs
// security_keys.read.
func (s *Service) FindIssuedPass(ctx context.Context, by auth.Caller, u id.User, p id.AccessPass) (AccessPass, error) {
	var out AccessPass
	attempt := activity.Attempt{Action: "access_pass.find", Need: auth.SecurityKeysRead, Target: activity.Party{Type: "user", ID: string(u)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		all, err := t.ListAccessPasses(ctx, by.Workspace, u, findablePasses)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(one AccessPass) bool { return one.ID == p })
		if i < 0 {
			return passNotFound()
		}
		out = all[i]
		return nil
	})
	return out, err
}

// WithdrawAccessPass ends the last pass of a user and the sessions that it opened: a
// one-time pass that was used, too. A pass that is over answers a Conflict. The caller
// needs security_keys.write.
func (s *Service) WithdrawAccessPass(ctx context.Context, by auth.Caller, u id.User) (AccessPass, error) {
	var p AccessPass
	attempt := activity.Attempt{Action: "access_pass.withdraw", Need: auth.SecurityKeysWrite, Target: activity.Party{Type: "user", ID: string(u)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		holder, last, f, err := lastPass(ctx, t, by, u)
		if f != nil || err != nil {
			return f, err
		}
		ended := false
		switch last.State(now) {
		case PassScheduled, PassValid, PassUsed:
			if ended, err = t.EndAccessPass(ctx, by.Workspace, last.ID, PassWithdrawn, now); err != nil {
				return nil, err
			}
		}
		if !ended {
			return fault.Conflict("access_pass_over", "This temporary access pass is over already."), nil
		}
		if err := t.EndPassSessions(ctx, by.Workspace, u, now); err != nil {
			return nil, err
		}
		p = last
		p.EndedAt, p.EndedAs = now, PassWithdrawn
		once.Note(ctx, string(p.ID))
		return nil, activity.Append(ctx, t, by, activity.Event{Action: attempt.Action, Target: userParty(holder), User: u}, now)
	})
	if err != nil {
		return AccessPass{}, err
	}
	return p, nil
}

// passRejected is the one answer to a pass that does not work, whatever the reason.
func passRejected() *fault.Error {
	return fault.Invalid("pass_rejected", "This temporary access pass is not right, or it is not valid now.")
}

// The names under which wrong passes are counted.
func passAddressRate(email string) string { return "access_pass_address/" + email }
func passNetworkRate(ip string) string    { return "access_pass_network/" + auth.Network(ip) }

// OpenByAccessPass opens a session for whoever has a pass of the address, which is
// folded as the directory folds it: for ten minutes and for keys only by a one-time
// pass, which is spent, else of the app until the pass ends. Never of the panel. A try
// is counted before the code is compared, AccessPassTries an address and hour, and
// given back for the right one; an address of nobody is counted alike. Whatever is
// wrong, the answer is the same fault; the record has the reason. Anybody may call it.
func (s *Service) OpenByAccessPass(ctx context.Context, by auth.Caller, email string, code secret.Bytes) (Opened, error) {
	var opened Opened
	if !mayBeAddress(email) {
		return Opened{}, passRejected()
	}
	err := s.store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.clock.Now()
		opened = Opened{}
		f, err := countPass(ctx, t, by, email, now)
		if err != nil {
			return nil, err
		}
		people, err := t.FindPeopleByEmail(ctx, email)
		if err != nil {
			return nil, err
		}
		if f != nil {
			return f, refuseAll(ctx, t, by, people, f.Code, now)
		}
		holder, p, found, err := s.comparePass(ctx, t, people, code)
		if err != nil {
			return nil, err
		}
		if !found {
			return passRejected(), refuseAll(ctx, t, by, people, passRejected().Code, now)
		}
		if reason := unfit(holder, p, now); reason != "" {
			return passRejected(), refuseSession(ctx, t, by, holder, reason, now)
		}
		used, err := t.UseAccessPass(ctx, p.Workspace, p.ID, now)
		if err != nil {
			return nil, err
		}
		if !used { // somebody was faster
			return passRejected(), refuseSession(ctx, t, by, holder, "access_pass_"+string(PassUsed), now)
		}
		if err := uncountPass(ctx, t, by, email); err != nil {
			return nil, err
		}
		opened, err = s.openByPass(ctx, t, by, holder, p, now)
		return nil, err
	})
	return opened, err
}

// countPass counts a try and answers a TooMany fault if none is left. A network that is
// out of tries takes none from the address.
func countPass(ctx context.Context, t Tx, by auth.Caller, email string, now time.Time) (*fault.Error, error) {
	for _, bound := range []struct {
		name  string
		limit int64
	}{{passNetworkRate(by.IP), AccessPassNetTries}, {passAddressRate(email), AccessPassTries}} {
		n, since, err := t.CountRate(ctx, bound.name, now, AccessPassWindow)
		if err != nil {
			return nil, err
		}
		if n > bound.limit {
			return fault.TooMany("too_many_tries", "There were too many wrong tries. Wait a while, or ask an administrator.", since.Add(AccessPassWindow).Sub(now)), nil
		}
	}
	return nil, nil
}

func uncountPass(ctx context.Context, t Tx, by auth.Caller, email string) error {
	if err := t.UncountRate(ctx, passNetworkRate(by.IP)); err != nil {
		return err
	}
	return t.UncountRate(ctx, passAddressRate(email))
}

// comparePass returns the pass of that code among those of the people. It does the
// same work for each of them, and for one if there are none.
func (s *Service) comparePass(ctx context.Context, t Tx, people []Person, code secret.Bytes) (holder Person, p AccessPass, found bool, err error) {
	asked := people
	if len(asked) == 0 {
		asked = []Person{{}}
	}
	for _, one := range asked {
		all, err := t.ListAccessPasses(ctx, one.Workspace, one.User, comparedPasses)
		if err != nil {
			return Person{}, AccessPass{}, false, err
		}
		for i := range comparedPasses {
			var candidate AccessPass
			if i < len(all) {
				candidate = all[i]
			}
			digest := secret.New(token.AccessPassDigest(s.codeKey, string(candidate.ID), code))
			if digest.Equal(secret.New(candidate.Digest)) {
				holder, p, found = one, candidate, true
			}
		}
	}
	return holder, p, found, nil
}

// unfit returns why a pass whose code was right opens nothing, for the record; empty
// if it does.
func unfit(holder Person, p AccessPass, now time.Time) string {
	if state := p.State(now); state != PassValid {
		return "access_pass_" + string(state)
	}
	if holder.Suspended {
		return "suspended"
	}
	return ""
}

// openByPass writes the session that a pass opens.
func (s *Service) openByPass(ctx context.Context, t Tx, by auth.Caller, holder Person, p AccessPass, now time.Time) (Opened, error) {
	session, opened := newSession(by, holder, OpenedByAccessPass, now)
	session.Pass = p.ID
	if p.OneTime {
		session.Scope, session.ExpiresAt = ScopeKeys, now.Add(KeysLifetime)
	} else if p.ExpiresAt.Before(session.ExpiresAt) {
		session.ExpiresAt = p.ExpiresAt
	}
	opened, err := s.rp.open(ctx, t, by, holder, Administrator{}, session, opened, "", now)
	if err != nil {
		return Opened{}, err
	}
	return opened, activity.Append(ctx, t, opened.Caller, activity.Event{Action: "access_pass.use", Target: passParty(p), User: holder.User}, now)
}

// refuseAll records a refused sign-in with each of the people.
func refuseAll(ctx context.Context, t Tx, by auth.Caller, people []Person, reason string, now time.Time) error {
	for _, p := range people {
		if err := refuseSession(ctx, t, by, p, reason, now); err != nil {
			return err
		}
	}
	return nil
}
