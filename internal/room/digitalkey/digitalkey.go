// Package digitalkey keeps digital keys: permissions for a user to open locks between two
// instants, by PIN, app or keycard. It decides what such a key may be, when it opens, whose
// PIN and card is whose, and what a door is told of it (package base/grant). It refuses to
// know how a door is reached.
package digitalkey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// Status is how a key stands, computed from the clock.
type Status string

// The statuses.
const (
	Upcoming  Status = "UPCOMING"
	Active    Status = "ACTIVE"
	Expired   Status = "EXPIRED"
	Cancelled Status = "CANCELLED"
)

// Statuses lists all statuses.
func Statuses() []Status { return []Status{Upcoming, Active, Expired, Cancelled} }

// Role is what the user's app offers beside opening.
type Role string

// The roles.
const (
	RoleUser  Role = "ROLE-USER"
	RoleAdmin Role = "ROLE-ADMIN"
)

// Type is a way in which a key opens.
type Type string

// The types.
const (
	PIN     Type = "pin"
	App     Type = "app"
	Keycard Type = "keycard"
)

// Types lists all types.
func Types() []Type { return []Type{PIN, App, Keycard} }

// Limits.
const (
	MaxLocks       = 20  // of one key
	MaxDescription = 200 // runes
	MaxHours       = 10  // spans of weekly hours, so that grant.MaxWindows are enough
	MaxMany        = 200 // keys of a bulk act
	DefaultDigits  = 6   // of a generated PIN
	// MaxSpan is how long a key lasts at most.
	MaxSpan = 10 * 366 * 24 * time.Hour
	// MaxSurvivors is how many keys of a lock may survive its lease.
	MaxSurvivors = 20
	// Horizon is for how long weekly hours are told to doors in advance; they are told
	// again when less than Refresh is left.
	Horizon = 35 * 24 * time.Hour
	Refresh = 28 * 24 * time.Hour
	// PINRest is how long a PIN stays reserved after no door opens with it any more.
	PINRest = 24 * time.Hour
	// PINTakenAnswers is how many chosen PINs a lock refuses in an hour before only
	// generated ones are given.
	PINTakenAnswers = 5
)

// The default times of a key that is given by days only.
const (
	DefaultStart = 14 * time.Hour // on the first day
	DefaultEnd   = 10 * time.Hour // on the last
)

// Hours are spans of the week inside which a key opens, in the key's time zone.
type Hours struct {
	Days []time.Weekday `json:"days"`
	// From and To are minutes of the day; To 1440 is midnight. To at or before From ends
	// on the next day.
	From int `json:"from"`
	To   int `json:"to"`
}

// DigitalKey is a key. The zero times say never.
type DigitalKey struct {
	ID          id.DigitalKey
	Workspace   id.Workspace
	User        id.User
	Description string
	Locks       []LockName // by name
	StartsAt    time.Time
	ExpiresAt   time.Time
	Timezone    string // in which it was entered; that of the first lock by default
	Weekly      []Hours
	Role        Role
	Types       []Type
	// SurvivesLease lets it open after a lock's lease has ended.
	SurvivesLease bool
	Notify        Notify
	PINSealed     []byte // bound to PINIdentity; nil without a PIN
	PINLength     int
	CardType      string // card.UID; empty without a card
	CardSealed    []byte // bound to CardIdentity
	// ExpandedUntil is until when the doors know the weekly hours; zero without any.
	ExpandedUntil time.Time
	CreatedAt     time.Time
	CreatedBy     string // the name of who made it
	CancelledAt   time.Time
	CancelledBy   string // a name
	CancelReason  CancelReason
	Revision      int64     // counts changes, from 1
	Holder        Holder    // read with the key, never written with it
	Receipts      Confirmed // read with the key
}

// CancelReason says why a key was cancelled.
type CancelReason string

// The reasons.
const (
	ByHand        CancelReason = "cancelled"
	UserSuspended CancelReason = "user_suspended"
)

// LockName is a lock of a key.
type LockName struct {
	ID       id.Lock
	Name     string
	Timezone string
}

// Notify says what the holder is told by e-mail.
type Notify struct {
	Email   bool
	ShowPIN bool // the mail holds the PIN
}

// Holder is what this room asks of the directory about a key's user.
type Holder struct {
	Name      string
	Email     string
	Suspended bool
}

// Confirmed says on how many of a key's locks the last change is in force.
type Confirmed struct{ Locks, Applied int }

// Status returns how the key stands at now.
func (k DigitalKey) Status(now time.Time) Status {
	switch {
	case !k.CancelledAt.IsZero():
		return Cancelled
	case !now.Before(k.ExpiresAt):
		return Expired
	case now.Before(k.StartsAt):
		return Upcoming
	}
	return Active
}

// Has says whether the key opens that way.
func (k DigitalKey) Has(t Type) bool {
	for _, have := range k.Types {
		if have == t {
			return true
		}
	}
	return false
}

// PINIdentity and CardIdentity name the row to which a key's sealed PIN and card number are
// bound.
func PINIdentity(w id.Workspace, u id.User, k id.DigitalKey) seal.Identity {
	return seal.Identity{Workspace: string(w), Owner: string(u), Kind: "digital_key_pin", ID: string(k)}
}

// CardIdentity is like PINIdentity for the card's number.
func CardIdentity(w id.Workspace, u id.User, k id.DigitalKey) seal.Identity {
	return seal.Identity{Workspace: string(w), Owner: string(u), Kind: "digital_key_card", ID: string(k)}
}

// SealingReader returns a workspace's sealing key. It may go over a network: nobody calls
// it inside a transaction.
type SealingReader interface {
	SealingOf(ctx context.Context, w id.Workspace) (seal.Key, error)
}

// Lock is what this room asks of the locks.
type Lock struct {
	ID           id.Lock
	Name         string
	Place        string
	Timezone     string
	Capabilities []Type
	SecretSealed []byte // bound to grant.SecretIdentity
	LeaseSeconds int
	LeaseUntil   time.Time // the latest end of the lease that its controller was told
	Enrolled     bool
	Online       bool
	Version      int64
}

// Tag says whose a PIN or card is at a lock, and when.
type Tag struct {
	Workspace id.Workspace
	Lock      id.Lock
	Kind      Type // PIN or Keycard
	Tag       grant.Tag
	Key       id.DigitalKey
	User      id.User
	Digits    int // of a PIN
	From      time.Time
	Until     time.Time
}

// Receipt says whether the last change of a key is in force at a lock.
type Receipt struct {
	Lock      id.Lock
	LockName  string
	Version   int64
	Removed   bool // the change took the key away
	ChangedAt time.Time
	AppliedAt time.Time // zero: the controller has not confirmed
	// AtLatest is when it is in force in any case: the lease has ended. Of a key that was
	// changed it is when the lock opens no more by what the key was before. Zero for a new
	// key, which has no such moment.
	AtLatest time.Time
	Online   bool
}

// Query says which keys are wanted. Zero fields do not filter.
type Query struct {
	Status    Status
	Lock      id.Lock
	User      id.User
	Type      Type
	Survivors bool      // that survive the lease and are not over
	Words     []string  // folded beginnings of words of the description and the holder
	Now       time.Time // for Status; the service sets it
	Page      page.Request
}

// The names by which keys are sorted. The default is SortStarts.
const (
	SortStarts  = "starts_at"
	SortExpires = "expires_at"
	SortCreated = "created_at"
)

// Sorts lists the names by which keys are sorted.
func Sorts() []string { return []string{SortStarts, SortExpires, SortCreated} }

// Counts are how many keys there are, by status.
type Counts struct{ Total, Upcoming, Active, Expired, Cancelled int }

// NewKey is what a key is made from.
type NewKey struct {
	Description   string
	Locks         []id.Lock
	User          id.User
	Span          Span
	Weekly        []Hours
	Role          Role // empty for RoleUser
	Types         []Type
	PIN           secret.Bytes // a chosen one; empty to generate one, where one is needed
	PINLength     int          // of a generated one; 0 for DefaultDigits
	CardType      string       // empty for card.UID, if there is a number
	CardNumber    string       // as it was typed or read; empty for none yet
	SurvivesLease bool
	Notify        Notify
}

// Span is a range as it was entered: instants, or local times ("2026-12-04T14:00", or
// "2026-12-04" for the default time of that day) in Timezone. Empty Timezone is that of the
// first lock.
type Span struct {
	StartsAt, ExpiresAt       time.Time // if both are set they count
	LocalStarts, LocalExpires string
	Timezone                  string
}

// Resolved is a span in instants. Notes are stable codes of what a person should see first:
// "start_in_gap", "start_in_fold", "end_in_gap", "end_in_fold", "dst_inside".
type Resolved struct {
	StartsAt, ExpiresAt time.Time
	Timezone            string
	Notes               []string
}

// Change is a change of a key that is not over. Nil fields stay.
type Change struct {
	Description   *string
	Span          *Span
	Weekly        *[]Hours
	Role          *Role
	Types         *[]Type
	PIN           *secret.Bytes // another PIN: chosen, or empty to generate one
	CardNumber    *string       // empty takes the card away
	SurvivesLease *bool
	Notify        *Notify // who is told of later changes; ShowPIN mails the PIN if it is new
}

// Issued is a key after an act that may have given it a PIN.
type Issued struct {
	Key DigitalKey
	PIN secret.Bytes // shown once to who made it; empty if there is no new one
}

// Detail is one key as its page shows it.
type Detail struct {
	Key        DigitalKey
	CardNumber string // empty if there is no card
	Receipts   []Receipt
}

// Own is a key as its holder sees it.
type Own struct {
	Key    DigitalKey
	Status Status
	Locks  []OwnLock
}

// OwnLock is a lock of a holder's key.
type OwnLock struct {
	ID     id.Lock
	Name   string
	Place  string
	Online bool
	// Applied says that the door knows the key as it stands.
	Applied bool
}

// Outlook is what a form shows before a key is made.
type Outlook struct {
	Span  Resolved
	Locks []LockOutlook
}

// LockOutlook is an Outlook's part about one lock.
type LockOutlook struct {
	Lock       LockName
	Lease      time.Duration
	LeaseUntil time.Time
	Online     bool
	Enrolled   bool
	// PINs is how many keys with a PIN of that length are at the lock in that span, the new
	// one included; Odds is the N of "one in N" for a stranger's five free tries.
	PINs int
	Odds int
}

// Outcome is what became of one key of a bulk act. Fault is nil for success.
type Outcome struct {
	ID    id.DigitalKey
	Fault error
}
