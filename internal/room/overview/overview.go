// Package overview counts what the other rooms keep: statistics for days of a time
// zone, and what the dashboard shows. It decides what is counted and who may see
// which number; it changes nothing and keeps nothing of its own.
package overview

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Tick is how often something happened in a quarter of an hour.
type Tick struct {
	Quarter time.Time // its beginning
	N       int64
}

// Tx is the storage that this room needs. It only reads.
type Tx interface {
	activity.GateTx
	// FindTally returns a counter, 0 if it never moved.
	FindTally(ctx context.Context, w id.Workspace, name string) (int64, error)
	// ListTicks lists the quarters from and before two moments in which something
	// of that name happened.
	ListTicks(ctx context.Context, w id.Workspace, name string, from, before time.Time) ([]Tick, error)
	// ListExpiringAPIKeys lists at most limit keys that work and end before a
	// moment, the next to end first.
	ListExpiringAPIKeys(ctx context.Context, w id.Workspace, now, before time.Time, limit int) ([]Expiring, error)
	// ListUnconfirmedAdministrators lists at most limit administrators with a
	// passkey that waits for confirmation, with how many wait.
	ListUnconfirmedAdministrators(ctx context.Context, w id.Workspace, limit int) ([]Person, error)
	// ListLeakedAPIKeys lists at most limit keys that were reported as leaked and not
	// enabled since, the last reported first.
	ListLeakedAPIKeys(ctx context.Context, w id.Workspace, limit int) ([]Leaked, error)
	// CountAPIKeysLeftBehind counts keys that still work of people who were deleted or
	// are no administrators any more, limit at the most; not of suspended ones.
	CountAPIKeysLeftBehind(ctx context.Context, w id.Workspace, now time.Time, limit int) (int64, error)
	// ListSuspendedCreators lists at most limit suspended users who created API keys
	// that still work, themselves or with keys of theirs, with how many do.
	ListSuspendedCreators(ctx context.Context, w id.Workspace, now time.Time, limit int) ([]Person, error)
	// CountDeadMessages counts the messages that were given up since a moment, limit
	// at the most.
	CountDeadMessages(ctx context.Context, w id.Workspace, since time.Time, limit int) (int64, error)
	// CountKeysToConfirm counts the security keys that wait for an administrator, limit
	// at the most.
	CountKeysToConfirm(ctx context.Context, w id.Workspace, limit int) (int64, error)
	// CountDigitalKeysByStatus counts the digital keys as they stand at now.
	CountDigitalKeysByStatus(ctx context.Context, w id.Workspace, now time.Time) (DigitalKeysByStatus, error)
	// ListLockedPINs lists at most limit cards whose PIN is locked.
	ListLockedPINs(ctx context.Context, w id.Workspace, limit int) ([]LockedPIN, error)
}

// Service answers for the overview. Use New.
type Service struct{ gate activity.Gate[Tx] }

// New returns the overview over a storage.
func New(store tx.Runner[Tx], c clock.Clock) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: store, Clock: c}}
}

// UsersByStatus counts users by the status that people see.
type UsersByStatus struct{ NotInvited, Pending, Active, Suspended int64 }

// Users are the statistics of users: how many there are now, and on each day of
// the range how many were created and deleted.
type Users struct {
	Total    int64
	ByStatus UsersByStatus
	Days     []UsersDay
}

// UsersDay is one day of Users.
type UsersDay struct {
	Date             Date
	Created, Deleted int64
}

// Groups are the statistics of groups: how many there are now, Everyone included,
// and on each day of the range how many were created.
type Groups struct {
	Total int64
	Days  []GroupsDay
}

// GroupsDay is one day of Groups.
type GroupsDay struct {
	Date    Date
	Created int64
}

// Outcomes counts sign-ins by their outcome.
type Outcomes struct{ Success, Refused, Failed int64 }

// Logins are the statistics of sign-ins in the range.
type Logins struct {
	Total Outcomes
	Days  []LoginsDay
}

// LoginsDay is one day of Logins.
type LoginsDay struct {
	Date Date
	Outcomes
}

// SecurityKeys are the statistics of security keys: how many there are now, and on
// each day of the range how many were created, became active and were deleted.
type SecurityKeys struct {
	Total    int64
	ByKind   KeysByKind
	ByStatus KeysByStatus
	Days     []SecurityKeysDay
}

// KeysByKind counts security keys by their kind.
type KeysByKind struct{ ContactlessCard, Smartphone, FIDO2 int64 }

// KeysByStatus counts security keys by the status that people see.
type KeysByStatus struct{ New, Pending, Active, Suspended int64 }

// SecurityKeysDay is one day of SecurityKeys.
type SecurityKeysDay struct {
	Date                        Date
	Created, Activated, Deleted int64
}

// DigitalKeys are the statistics of digital keys: how many there are now, and on each day of
// the range how many were created and cancelled.
type DigitalKeys struct {
	Total    int64
	ByStatus DigitalKeysByStatus
	Days     []DigitalKeysDay
}

// DigitalKeysByStatus counts digital keys by how they stand.
type DigitalKeysByStatus struct{ Upcoming, Active, Expired, Cancelled int64 }

// DigitalKeysDay is one day of DigitalKeys.
type DigitalKeysDay struct {
	Date               Date
	Created, Cancelled int64
}

// The names under which other rooms count.
const (
	tallyKeys         = "security_keys"
	tickKeyCreate     = "security_key.create"
	tickKeyActivate   = "security_key.activate"
	tickKeyDelete     = "security_key.delete"
	tickDoorCreate    = "digital_key.create"
	tickDoorCancel    = "digital_key.cancel"
	tallyUsers        = "users"
	tallyGroups       = "groups"
	tickUserCreate    = "user.create"
	tickUserDelete    = "user.delete"
	tickGroupCreate   = "group.create"
	tickLoginSuccess  = "login.success"
	tickLoginRefused  = "login.refused"
	tickLoginFailed   = "login.failed"
	statisticsAttempt = "statistics.find"
)

// Users returns the statistics of users. The caller needs users.read.
func (s *Service) Users(ctx context.Context, by auth.Caller, r Range) (Users, error) {
	var out Users
	err := s.gate.Read(ctx, by, activity.Attempt{Action: statisticsAttempt, Need: auth.UsersRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		if out, err = countUsers(ctx, t, by.Workspace); err != nil {
			return err
		}
		created, err := days(ctx, t, by.Workspace, tickUserCreate, r)
		if err != nil {
			return err
		}
		deleted, err := days(ctx, t, by.Workspace, tickUserDelete, r)
		if err != nil {
			return err
		}
		for _, d := range r.Days() {
			out.Days = append(out.Days, UsersDay{Date: d, Created: created[d], Deleted: deleted[d]})
		}
		return nil
	})
	return out, err
}

func countUsers(ctx context.Context, t Tx, w id.Workspace) (Users, error) {
	var out Users
	for name, n := range map[string]*int64{
		tallyUsers: &out.Total, tallyUsers + "/not_invited": &out.ByStatus.NotInvited, tallyUsers + "/pending": &out.ByStatus.Pending,
		tallyUsers + "/active": &out.ByStatus.Active, tallyUsers + "/suspended": &out.ByStatus.Suspended,
	} {
		var err error
		if *n, err = t.FindTally(ctx, w, name); err != nil {
			return Users{}, err
		}
	}
	return out, nil
}

// Groups returns the statistics of groups. The caller needs users.read.
func (s *Service) Groups(ctx context.Context, by auth.Caller, r Range) (Groups, error) {
	var out Groups
	err := s.gate.Read(ctx, by, activity.Attempt{Action: statisticsAttempt, Need: auth.UsersRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		out = Groups{}
		var err error
		if out.Total, err = t.FindTally(ctx, by.Workspace, tallyGroups); err != nil {
			return err
		}
		created, err := days(ctx, t, by.Workspace, tickGroupCreate, r)
		if err != nil {
			return err
		}
		for _, d := range r.Days() {
			out.Days = append(out.Days, GroupsDay{Date: d, Created: created[d]})
		}
		return nil
	})
	return out, err
}

// SecurityKeys returns the statistics of security keys. The caller needs
// security_keys.read.
func (s *Service) SecurityKeys(ctx context.Context, by auth.Caller, r Range) (SecurityKeys, error) {
	var out SecurityKeys
	err := s.gate.Read(ctx, by, activity.Attempt{Action: statisticsAttempt, Need: auth.SecurityKeysRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		if out, err = countKeys(ctx, t, by.Workspace); err != nil {
			return err
		}
		var on [3]map[Date]int64
		for i, name := range []string{tickKeyCreate, tickKeyActivate, tickKeyDelete} {
			if on[i], err = days(ctx, t, by.Workspace, name, r); err != nil {
				return err
			}
		}
		for _, d := range r.Days() {
			out.Days = append(out.Days, SecurityKeysDay{Date: d, Created: on[0][d], Activated: on[1][d], Deleted: on[2][d]})
		}
		return nil
	})
	return out, err
}

func countKeys(ctx context.Context, t Tx, w id.Workspace) (SecurityKeys, error) {
	var out SecurityKeys
	var err error
	if out.Total, err = t.FindTally(ctx, w, tallyKeys); err != nil {
		return SecurityKeys{}, err
	}
	for kind, ofKind := range map[string]*int64{
		"contactless_card": &out.ByKind.ContactlessCard, "smartphone": &out.ByKind.Smartphone, "fido2": &out.ByKind.FIDO2,
	} {
		for status, ofStatus := range map[string]*int64{
			"new": &out.ByStatus.New, "pending": &out.ByStatus.Pending, "active": &out.ByStatus.Active, "suspended": &out.ByStatus.Suspended,
		} {
			n, err := t.FindTally(ctx, w, tallyKeys+"/"+kind+"/"+status)
			if err != nil {
				return SecurityKeys{}, err
			}
			*ofKind += n
			*ofStatus += n
		}
	}
	return out, nil
}

// DigitalKeys returns the statistics of digital keys. The caller needs digital_keys.read.
func (s *Service) DigitalKeys(ctx context.Context, by auth.Caller, r Range) (DigitalKeys, error) {
	var out DigitalKeys
	err := s.gate.Read(ctx, by, activity.Attempt{Action: statisticsAttempt, Need: auth.DigitalKeysRead}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error {
		out = DigitalKeys{}
		n, err := t.CountDigitalKeysByStatus(ctx, by.Workspace, now)
		if err != nil {
			return err
		}
		out.Total, out.ByStatus = n.Upcoming+n.Active+n.Expired+n.Cancelled, n
		created, err := days(ctx, t, by.Workspace, tickDoorCreate, r)
		if err != nil {
			return err
		}
		cancelled, err := days(ctx, t, by.Workspace, tickDoorCancel, r)
		if err != nil {
			return err
		}
		for _, d := range r.Days() {
			out.Days = append(out.Days, DigitalKeysDay{Date: d, Created: created[d], Cancelled: cancelled[d]})
		}
		return nil
	})
	return out, err
}

// Logins returns the statistics of sign-ins. The caller needs activities.read.
func (s *Service) Logins(ctx context.Context, by auth.Caller, r Range) (Logins, error) {
	var out Logins
	err := s.gate.Read(ctx, by, activity.Attempt{Action: statisticsAttempt, Need: auth.ActivitiesRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		out, err = countLogins(ctx, t, by.Workspace, r)
		return err
	})
	return out, err
}

func countLogins(ctx context.Context, t Tx, w id.Workspace, r Range) (Logins, error) {
	var by [3]map[Date]int64
	for i, name := range []string{tickLoginSuccess, tickLoginRefused, tickLoginFailed} {
		var err error
		if by[i], err = days(ctx, t, w, name, r); err != nil {
			return Logins{}, err
		}
	}
	var out Logins
	for _, d := range r.Days() {
		o := Outcomes{Success: by[0][d], Refused: by[1][d], Failed: by[2][d]}
		out.Days = append(out.Days, LoginsDay{Date: d, Outcomes: o})
		out.Total.Success += o.Success
		out.Total.Refused += o.Refused
		out.Total.Failed += o.Failed
	}
	return out, nil
}

// days adds up the quarters of each day of the range. A quarter belongs to the day
// in which it begins: every zone's days begin at a quarter's border, on the days on
// which clocks are changed too.
func days(ctx context.Context, t Tx, w id.Workspace, name string, r Range) (map[Date]int64, error) {
	from, before := r.reach()
	ticks, err := t.ListTicks(ctx, w, name, from, before)
	if err != nil {
		return nil, err
	}
	out := map[Date]int64{}
	for _, tick := range ticks {
		out[DateOf(tick.Quarter, r.Zone)] += tick.N
	}
	return out, nil
}
