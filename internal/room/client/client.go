// Package client is the room of the programs at workstations that relay what a website asks
// a security key for. It decides which of them may, and how each proves itself: a key pair of
// its own, enrolled once and approved by an administrator or by an enrolment code. It refuses
// to know what they relay.
package client

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/lease"
)

// Kind says what sort of program it is.
type Kind string

// The kinds.
const (
	Extension     Kind = "extension" // of a browser
	Agent         Kind = "agent"     // beside a browser, or on its own
	CTAPTransport Kind = "ctap_transport"
	SharedMobile  Kind = "shared_mobile"
)

// Enrols says whether programs of the kind enrol at this server as clients.
func (k Kind) Enrols() bool { return k == Extension || k == Agent }

// State says whether a client is accepted.
type State string

// The states. Pending is that of a client that waits for an administrator; Revoked is final.
const (
	Pending  State = "pending"
	Approved State = "approved"
	Revoked  State = "revoked"
)

// States lists the states as they are shown.
func States() []State { return []State{Pending, Approved, Revoked} }

// Client is a program at a workstation.
type Client struct {
	ID         id.Client
	Workspace  id.Workspace
	Name       string // unique among those that are not revoked, case-folded
	Kind       Kind
	State      State
	Thumbprint string // of its key (RFC 7638)
	PublicKey  string // its key, a JWK
	// PinlessAllowed says that security keys that need no PIN work here.
	PinlessAllowed bool
	ReaderFormat   ReaderFormat
	APIKey         id.APIKey // with which it enrolled
	CreatedAt      time.Time
	CreatedIP      string
	ApprovedAt     time.Time // zero if it never was
	ApprovedBy     string    // the name of who approved it, or made its enrolment code
	RevokedAt      time.Time
	LastSeenAt     time.Time // zero if it never asked for anything; to the minute
	LastIP         string
	Agent          string // what it calls itself
	Revision       int64
}

// Query says which clients are listed. Zero fields do not filter.
type Query struct {
	State State
	Words []string // folded beginnings of words of the name
	Page  page.Request
}

// The names by which clients are sorted. The default is SortName.
const (
	SortName     = "name"
	SortCreated  = "created_at"
	SortLastSeen = "last_seen"
)

// Sorts lists the names by which clients are sorted.
func Sorts() []string { return []string{SortName, SortCreated, SortLastSeen} }

// Counts are how many clients there are, by state. Total leaves out revoked ones.
type Counts struct{ Total, Pending, Approved, Revoked int }

// Change is a change of a client. Nil fields stay.
type Change struct {
	Name           *string
	PinlessAllowed *bool
	ReaderFormat   *ReaderFormat
}

// Code is an enrolment code without the code itself.
type Code struct {
	ID        id.EnrolmentCode
	Workspace id.Workspace
	Digest    []byte // the keyed hash of the code
	Uses      int    // how many clients it approves
	Left      int
	CreatedBy string // a name
	CreatedAt time.Time
	ExpiresAt time.Time
}

// The bounds of enrolment.
const (
	// MaxPending is how many clients wait for approval in a workspace at the most.
	MaxPending = 200
	// MaxCodes is how many codes are good in a workspace at the most.
	MaxCodes = 50
	// MaxUses is how many clients one code approves at the most.
	MaxUses = 1000
	// The life of a code: at least, at most and if nothing is said.
	MinCodeLife     = 10 * time.Minute
	MaxCodeLife     = 30 * 24 * time.Hour
	DefaultCodeLife = time.Hour
	// codeTries is how many codes are tried from one API key in codeWindow.
	codeTries  = 20
	codeWindow = 10 * time.Minute
	// networkTries is how many codes are tried without an API key from one network in
	// codeWindow; those that enrol somebody do not count. 80 bits are not guessed: it bounds
	// the work, and lets a floor of workstations enrol behind one address.
	networkTries = 100
	// codesCompared is how many codes one that is shown alone is compared with.
	codesCompared = 10_000
	// maxName bounds a client's name, in characters.
	maxName = 100
)

// Config is what the room is made from.
type Config struct {
	Store tx.Runner[Tx]
	Clock clock.Clock
	// CodeKey is the key of the codes' hashes, and that from which nonces are made. All
	// servers on one database have the same.
	CodeKey secret.Bytes
}

// Service is the room's door. Use NewService.
type Service struct {
	gate    activity.Gate[Tx]
	codeKey secret.Bytes
	nonces  dpop.Nonces
	known   *known
}

// NewService returns the room.
func NewService(c Config) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}, codeKey: c.CodeKey, nonces: dpop.NewNonces(c.CodeKey), known: newKnown()}
}

// Tx is the storage that this room needs.
type Tx interface {
	activity.GateTx
	lease.Tx
	tx.Latches
	ProgramTx
	CodeTx
	// CountRate counts one more under the name and returns how many there were since the
	// window began, which a count after its end begins anew.
	CountRate(ctx context.Context, name string, now time.Time, window time.Duration) (n int64, since time.Time, err error)
	// UncountRate takes back one that was counted under the name.
	UncountRate(ctx context.Context, name string) error
	// ForgetProofs removes proofs, taps and verifications that are over, some of each, and
	// returns whether there may be more.
	ForgetProofs(ctx context.Context, now time.Time) (more bool, err error)
	// APIKeyEnrols says whether clients may enrol with the key: it was not reported as leaked,
	// and is not that of one client alone.
	APIKeyEnrols(ctx context.Context, w id.Workspace, k id.APIKey) (bool, error)
	// StopOwnAPIKey disables the API key with which a client enrolled, if it was made for it
	// alone; false if not, or if it does not work any more. What depends on the key is to be
	// withdrawn.
	StopOwnAPIKey(ctx context.Context, w id.Workspace, c id.Client, k id.APIKey, now time.Time) (OwnKey, bool, error)
}

// OwnKey is an API key that was made for one client alone, as its end is told.
type OwnKey struct {
	ID       id.APIKey
	Name     string
	Subjects []string // what depends on it: see package lease
}

// ProgramTx is the storage of the clients: of the programs at workstations.
type ProgramTx interface {
	// InsertClient writes the client and its search terms, and counts it.
	InsertClient(ctx context.Context, c Client) error
	// UpdateClient writes all that can change of a client but when it was last seen. Lock it
	// first.
	UpdateClient(ctx context.Context, c Client) error
	// DeleteClient removes a client that was revoked.
	DeleteClient(ctx context.Context, w id.Workspace, c id.Client) error
	// LockClient keeps others from changing the client until the transaction ends, and
	// returns it.
	LockClient(ctx context.Context, w id.Workspace, c id.Client) (Client, bool, error)
	FindClient(ctx context.Context, w id.Workspace, c id.Client) (Client, bool, error)
	FindClientByKey(ctx context.Context, w id.Workspace, thumbprint string) (Client, bool, error)
	// ClientNameTaken says whether another client than except, that is not revoked, has the
	// name, case-folded.
	ClientNameTaken(ctx context.Context, w id.Workspace, name string, except id.Client) (bool, error)
	ListClients(ctx context.Context, w id.Workspace, q Query) (page.Page[Client], error)
	CountClients(ctx context.Context, w id.Workspace) (Counts, error)
}

// CodeTx is the storage of the enrolment codes.
type CodeTx interface {
	InsertEnrolmentCode(ctx context.Context, c Code) error
	// SpendEnrolmentCode takes one use of the code and returns it; false if there is none
	// left at now.
	SpendEnrolmentCode(ctx context.Context, w id.Workspace, digest []byte, now time.Time) (Code, bool, error)
	// ListEnrolmentCodes lists the codes that are good at now, newest first.
	ListEnrolmentCodes(ctx context.Context, w id.Workspace, now time.Time, limit int) ([]Code, error)
	DeleteEnrolmentCode(ctx context.Context, w id.Workspace, c id.EnrolmentCode) (Code, bool, error)
	// ListAllEnrolmentCodes lists the codes that are good at now of all workspaces that are
	// not suspended, those that expire first at the beginning: who shows a code alone does
	// not say where it belongs.
	ListAllEnrolmentCodes(ctx context.Context, now time.Time, limit int) ([]Code, error)
	// WorkspaceStands says whether the workspace is there and not suspended.
	WorkspaceStands(ctx context.Context, w id.Workspace) (bool, error)
}

// party is the client as activities name it.
func (c Client) party() activity.Party {
	return activity.Party{Type: "client", ID: string(c.ID), Name: c.Name}
}

// caller returns the client as a caller: by is the caller of the API key that it showed.
func (c Client) caller(by auth.Caller, p auth.Proof) auth.Caller {
	by.Kind, by.Client, by.Name, by.Proof = auth.Client, c.ID, c.Name, p
	return by
}
