// Package smartlock keeps the locks at doors: their controllers' enrolment, what a
// controller should know and what it said that it knows, commands, and what doors did. It
// decides which changes a controller is sent, how long it may decide by itself, and that
// each event is kept once. It refuses to know who may open a door and why: that is package
// digitalkey's.
package smartlock

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// Capability is a way in which a lock can be opened.
type Capability string

// The capabilities.
const (
	PIN     Capability = "pin"
	App     Capability = "app"
	Keycard Capability = "keycard"
)

// Capabilities lists all capabilities.
func Capabilities() []Capability { return []Capability{PIN, App, Keycard} }

// Limits of a lock's settings.
const (
	MinOpenSeconds      = 1
	MaxOpenSeconds      = 120
	DefaultOpenSeconds  = 5
	MinLeaseSeconds     = 60
	MaxLeaseSeconds     = 7 * 86400
	DefaultLeaseSeconds = 86400
)

// Times of the link.
const (
	// EnrolmentLife is how long an enrolment's token is good.
	EnrolmentLife = time.Hour
	// SeenFor is how long a lock counts as online after it was heard.
	SeenFor = 25 * time.Second
	// BeaconEvery is how often a controller is told the time.
	BeaconEvery = time.Minute
	// CertificateLife is how long a controller's certificate is good; it is renewed when
	// a third of that is left.
	CertificateLife = 90 * 24 * time.Hour
)

// Lock is a smart lock. The zero times say never.
type Lock struct {
	ID           id.Lock
	Workspace    id.Workspace
	Name         string
	Place        string // where it is, for people; may be empty
	Timezone     string // IANA name
	Capabilities []Capability
	OpenSeconds  int // how long the door stays open
	LeaseSeconds int // how long the controller decides without the server
	Controller   Controller
	Sync         Sync
	State        State
	CreatedAt    time.Time
	Revision     int64 // counts changes of the settings, from 1
	// Pulse is when anything about the lock changed last, its state at the door too.
	Pulse time.Time
	// SecretSealed is the secret of its tags, bound to grant.SecretIdentity.
	SecretSealed []byte
}

// Controller is what is known of the program at the door. The zero Controller is none.
type Controller struct {
	EnrolledAt       time.Time
	Era              int64 // counts enrolments and lost records
	Serial           string
	NextSerial       string // of a renewed certificate that was not used yet
	CertificateEnds  time.Time
	PublicKey        []byte // Ed25519
	Software         string
	Clock            grant.Quality
	TokenDigest      []byte // of the enrolment's token that waits to be used
	TokenExpiresAt   time.Time
	EventThrough     int64  // the last event that is kept, of this era
	EventHash        []byte // its hash; empty if any may follow
	LeaseWarnedHours int    // the least hours of lease of which was warned; 0 for none
}

// Sync is how far a controller has come.
type Sync struct {
	Epoch, Version               int64 // what it should know
	AppliedEpoch, AppliedVersion int64 // what it said that it knows
	// LeaseUntil is the latest end of the lease that the controller was ever told.
	LeaseUntil time.Time
}

// State is what is known of the door.
type State struct {
	Bolt        string // "locked", "unlocked" or "" for unknown
	Door        string // "closed", "open" or "" for unknown
	Battery     int    // percent; -1 if there is none
	Link        string // names the link that is open
	OnlineUntil time.Time
	LastSeenAt  time.Time
}

// Enrolled says whether the lock has a controller.
func (l Lock) Enrolled() bool { return !l.Controller.EnrolledAt.IsZero() }

// Online says whether the lock's link is open.
func (l Lock) Online(now time.Time) bool { return now.Before(l.State.OnlineUntil) }

// Settled says whether the controller knows all that it should.
func (l Lock) Settled() bool {
	return l.Sync.Epoch == l.Sync.AppliedEpoch && l.Sync.Version == l.Sync.AppliedVersion
}

// Has says whether the lock can be opened that way.
func (l Lock) Has(c Capability) bool {
	for _, have := range l.Capabilities {
		if have == c {
			return true
		}
	}
	return false
}

// Query says which locks are wanted. Zero fields do not filter.
type Query struct {
	Words   []string // folded beginnings of words of name and place
	Online  *bool
	Now     time.Time // for Online; the service sets it
	Page    page.Request
	Problem bool // offline though enrolled, never enrolled, or battery at 20 % or less
}

// SortName is the one order of locks, and the default.
const SortName = "name"

// Counts are how many locks there are.
type Counts struct{ Total, Online, Offline, Open, LowBattery, NotEnrolled int }

// NewLock is what a lock is made from. Zero numbers and an empty Capabilities are the
// defaults: all capabilities.
type NewLock struct {
	Name, Place, Timezone     string
	Capabilities              []Capability
	OpenSeconds, LeaseSeconds int
}

// Change is a change of a lock. Nil fields stay.
type Change struct {
	Name, Place, Timezone     *string
	Capabilities              *[]Capability
	OpenSeconds, LeaseSeconds *int
}

// Enrolling is a lock whose controller may enrol.
type Enrolling struct {
	Lock      Lock
	Token     secret.Bytes // shown once
	ExpiresAt time.Time
}

// Over says whether nothing will come of a command any more: it is done, or its time is
// over and a door's last word would have been heard.
func (c Command) Over(now time.Time) bool {
	patience := time.Duration(0)
	if c.Op == grant.OpTeachCard {
		patience = grant.TeachSeconds * time.Second
	}
	return c.Outcome != "" || !now.Before(c.NotAfter.Add(patience+time.Second))
}

// TaughtIdentity names the row to which the number of a taught card is bound.
func TaughtIdentity(w id.Workspace, c id.LockCommand) seal.Identity {
	return seal.Identity{Workspace: string(w), Owner: string(w), Kind: "taught_card", ID: string(c)}
}

// Command is something that a controller is to do at once.
type Command struct {
	ID        id.LockCommand
	Workspace id.Workspace
	Lock      id.Lock
	Op        string // grant.OpOpen, grant.OpTeachCard
	// DigitalKey is whose right it is; empty for an administrator's.
	DigitalKey id.DigitalKey
	AskedKind  string // auth.Kind of who asked
	AskedBy    string // their id
	AskedName  string
	CreatedAt  time.Time
	NotAfter   time.Time // it is never done later
	DoneAt     time.Time
	Outcome    grant.Outcome // empty while it waits
	Reason     string
	Sealed     []byte // the number of a card that was taught, bound to TaughtIdentity
}

// Event is one thing that a door did, as it is kept.
type Event struct {
	ID         id.LockEvent
	Workspace  id.Workspace
	Lock       id.Lock
	LockName   string
	Era        int64
	Seq        int64
	UntilSeq   int64     // as Seq, but for a gap: its last
	At         time.Time // by the door's clock
	ReceivedAt time.Time
	Boot       int64
	Clock      grant.Quality
	DigitalKey id.DigitalKey // empty if no key was meant
	User       id.User
	UserName   string // as it was then
	Command    id.LockCommand
	Medium     grant.Medium
	Outcome    grant.Outcome
	Reason     string
	Epoch      int64
	Version    int64
	Count      int
	Offline    bool
	// AfterCancel: it opened with a key that was cancelled; the lock had not heard.
	AfterCancel bool
	Hash        []byte
}

// The reasons of events that the server itself writes.
const (
	ReasonGap        = "gap"         // events that the controller no longer has
	ReasonRecordLost = "record_lost" // the controller begins its record anew
	ReasonBroken     = "chain_broken"
)

// EventQuery says which events are wanted. Zero fields do not filter. The newest come
// first.
type EventQuery struct {
	Lock       id.Lock
	User       id.User
	DigitalKey id.DigitalKey
	Outcome    grant.Outcome
	Medium     grant.Medium
	// Alarming are openings after a cancel, pauses of keypads and lost records.
	Alarming bool
	From, To time.Time
	Page     page.Request
}

// Unsafe is a removal that a controller has not confirmed: until SafeAt the door may open.
type Unsafe struct {
	Lock       id.Lock
	LockName   string
	DigitalKey id.DigitalKey // which may be gone
	ChangedAt  time.Time
	SafeAt     time.Time
	Online     bool
}

// Update is what a controller is sent so that it knows what it should: a snapshot or a
// delta, signed.
type Update struct {
	Frame []byte
	Epoch int64
	To    int64
}

// CommandFrame is a command as its controller is sent it, signed.
type CommandFrame struct {
	ID    id.LockCommand
	Frame []byte
}

// Greeting is the answer to a hello.
type Greeting struct {
	Through int64 // the last event that is kept
}

// Doors are the locks in few words, for the dashboard.
type Doors struct {
	Counts Counts
	// Locks are at most ten, those with problems first.
	Locks []Lock
}

// Authority is what a workspace signs with towards its locks. See NewAuthority.
type Authority struct {
	Workspace   id.Workspace
	Root        ed25519.PrivateKey // signs answers to enrolments
	CAKey       ed25519.PrivateKey
	CA          *x509.Certificate // signs the certificates of controllers and of the link
	Signing     ed25519.PrivateKey
	NextSigning ed25519.PrivateKey
}

// AuthorityReader reads a workspace's authority. It may go over a network: nobody calls it
// inside a transaction.
type AuthorityReader interface {
	AuthorityOf(ctx context.Context, w id.Workspace) (Authority, error)
}

// SealingReader returns a workspace's sealing key. It may go over a network: nobody calls
// it inside a transaction.
type SealingReader interface {
	SealingOf(ctx context.Context, w id.Workspace) (seal.Key, error)
}
