package overview

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Dashboard is what a person sees first: of each number only what they may read,
// nil for the rest.
type Dashboard struct {
	People    *People
	Logins    *LoginTrend
	Keys      *SecurityKeys // without days
	Attention Attention
}

// People is who there is and how that changed.
type People struct {
	Total        int64
	ByStatus     UsersByStatus
	Change       int64 // of the total, in the last seven days with today
	Groups       int64
	GroupsChange int64 // groups created in the last seven days with today
}

// LoginTrend is how people signed in.
type LoginTrend struct {
	Week   int64       // sign-ins in the last seven days with today
	Before int64       // in the seven days before those
	Days   []LoginsDay // the last thirty days
}

// Attention is what somebody should look at.
type Attention struct {
	ExpiringAPIKeys  []Expiring // within ExpiringWithin; needs api_keys.read
	WaitingPasskeys  []Person   // administrators with unconfirmed passkeys; needs administrators.read
	SuspendedCreator []Person   // suspended, but API keys they created work; needs users.read and api_keys.read
	DeadMessages     int64      // mails given up in the last seven days, DeadLimit at the most; needs workspace.read
	LeakedAPIKeys    []Leaked   // reported as leaked and not enabled since; needs api_keys.read
	// CreatorLeft is how many API keys still work of people who were deleted or are no
	// administrators any more, CreatorLeftLimit at the most; of suspended ones says
	// SuspendedCreator. It needs api_keys.read.
	CreatorLeft int64
	// KeysToConfirm is how many security keys wait for an administrator, ToConfirmLimit
	// at the most, and LockedPINs cards that nobody can use until their PIN is reset;
	// both need security_keys.read.
	KeysToConfirm int64
	LockedPINs    []LockedPIN
}

// LockedPIN is a card whose PIN was guessed wrong too often.
type LockedPIN struct {
	ID     id.SecurityKey
	Name   string
	Holder string
}

// Expiring is an API key that ends soon.
type Expiring struct {
	ID        id.APIKey
	Name      string
	ExpiresAt time.Time
}

// Leaked is an API key that was reported as leaked.
type Leaked struct {
	ID   id.APIKey
	Name string
}

// Person is a user who is in a list with a number.
type Person struct {
	ID   id.User
	Name string
	N    int64
}

// ExpiringWithin is how long before its end an API key needs attention.
const ExpiringWithin = 30 * 24 * time.Hour

// AttentionLimit, DeadLimit, CreatorLeftLimit and ToConfirmLimit bound what is listed and counted.
const (
	AttentionLimit   = 5
	DeadLimit        = 100
	CreatorLeftLimit = 100
	ToConfirmLimit   = 100
)

const (
	week         = 7
	loginDays    = 30
	messagesBack = week * 24 * time.Hour
)

// Dashboard returns what the caller may see of it, with days of the zone. Being
// signed in is enough: each number has a permission of its own.
func (s *Service) Dashboard(ctx context.Context, by auth.Caller, zone *time.Location) (Dashboard, error) {
	var out Dashboard
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "dashboard.find", Need: auth.Signed}, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) error {
		out = Dashboard{}
		can := standing.Permissions.Has
		w := by.Workspace
		var err error
		if can(auth.UsersRead) {
			if out.People, err = people(ctx, t, w, LastDays(week, now, zone)); err != nil {
				return err
			}
		}
		if can(auth.ActivitiesRead) {
			if out.Logins, err = loginTrend(ctx, t, w, LastDays(loginDays, now, zone)); err != nil {
				return err
			}
		}
		if can(auth.SecurityKeysRead) {
			keys, err := countKeys(ctx, t, w)
			if err != nil {
				return err
			}
			out.Keys = &keys
		}
		out.Attention, err = attention(ctx, t, w, can, now)
		return err
	})
	return out, err
}

func people(ctx context.Context, t Tx, w id.Workspace, last Range) (*People, error) {
	users, err := countUsers(ctx, t, w)
	if err != nil {
		return nil, err
	}
	out := &People{Total: users.Total, ByStatus: users.ByStatus}
	if out.Groups, err = t.FindTally(ctx, w, tallyGroups); err != nil {
		return nil, err
	}
	for name, add := range map[string]func(int64){
		tickUserCreate:  func(n int64) { out.Change += n },
		tickUserDelete:  func(n int64) { out.Change -= n },
		tickGroupCreate: func(n int64) { out.GroupsChange += n },
	} {
		by, err := days(ctx, t, w, name, last)
		if err != nil {
			return nil, err
		}
		for _, d := range last.Days() {
			add(by[d])
		}
	}
	return out, nil
}

func loginTrend(ctx context.Context, t Tx, w id.Workspace, last Range) (*LoginTrend, error) {
	logins, err := countLogins(ctx, t, w, last)
	if err != nil {
		return nil, err
	}
	out := &LoginTrend{Days: logins.Days}
	for i, d := range logins.Days {
		switch ago := len(logins.Days) - 1 - i; {
		case ago < week:
			out.Week += d.Success
		case ago < 2*week:
			out.Before += d.Success
		}
	}
	return out, nil
}

func attention(ctx context.Context, t Tx, w id.Workspace, can func(auth.Permission) bool, now time.Time) (out Attention, err error) {
	if can(auth.APIKeysRead) {
		if out.ExpiringAPIKeys, err = t.ListExpiringAPIKeys(ctx, w, now, now.Add(ExpiringWithin), AttentionLimit); err != nil {
			return Attention{}, err
		}
		if out.LeakedAPIKeys, err = t.ListLeakedAPIKeys(ctx, w, AttentionLimit); err != nil {
			return Attention{}, err
		}
		if out.CreatorLeft, err = t.CountAPIKeysLeftBehind(ctx, w, now, CreatorLeftLimit); err != nil {
			return Attention{}, err
		}
	}
	if can(auth.AdministratorsRead) {
		if out.WaitingPasskeys, err = t.ListUnconfirmedAdministrators(ctx, w, AttentionLimit); err != nil {
			return Attention{}, err
		}
	}
	if can(auth.UsersRead) && can(auth.APIKeysRead) {
		if out.SuspendedCreator, err = t.ListSuspendedCreators(ctx, w, now, AttentionLimit); err != nil {
			return Attention{}, err
		}
	}
	if can(auth.SecurityKeysRead) {
		if out.KeysToConfirm, err = t.CountKeysToConfirm(ctx, w, ToConfirmLimit); err != nil {
			return Attention{}, err
		}
		if out.LockedPINs, err = t.ListLockedPINs(ctx, w, AttentionLimit); err != nil {
			return Attention{}, err
		}
	}
	if can(auth.WorkspaceRead) {
		if out.DeadMessages, err = t.CountDeadMessages(ctx, w, now.Add(-messagesBack), DeadLimit); err != nil {
			return Attention{}, err
		}
	}
	return out, nil
}
