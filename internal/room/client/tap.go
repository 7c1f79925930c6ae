package client

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// Operation is what a tap is for.
type Operation string

// The operations.
const (
	Create    Operation = "create"
	Get       Operation = "get"
	PINChange Operation = "pin_change"
)

// Needs is what a tap still needs before it is good for a signature.
type Needs string

// The needs.
const (
	NeedsPIN  Needs = "pin"
	NeedsNone Needs = "none"
)

// How long a tap lives, and how long a verification: in all, and without being used.
const (
	TapLife          = time.Minute
	VerificationLife = 10 * time.Minute
	VerificationIdle = time.Minute
)

// Tap is a card that was tapped at a client for one operation.
type Tap struct {
	ID          id.Touch
	Workspace   id.Workspace
	Client      id.Client
	SecurityKey id.SecurityKey // empty for a card that nobody here has
	User        id.User
	CardDigest  string
	Operation   Operation
	Origin      string // as the browser told it, as all that follows
	TopOrigin   string
	CrossOrigin bool
	RPID        string // checked
	OptionsHash string
	Needs       Needs
	Stamp       Stamp
	CreatedAt   time.Time
	ExpiresAt   time.Time
	SpentAt     time.Time // zero while it is good
}

// Stamp are the revisions of whom a tap or a verification depends on. It is void once one of
// them moved: by a suspension, a new PIN, a revocation, whatever happened since.
type Stamp struct{ Key, User, Client int64 }

// Ticket is a tap with what is true now of whom it depends on.
type Ticket struct {
	Tap
	Now      Stamp
	Active   bool // the key is active, and neither its holder nor their workspace is suspended
	KeyName  string
	UserName string
	// Auditable says that the holder's sign-ins are recorded.
	Auditable bool
	// CardSealed is the number of the card as it is sealed to its key and holder.
	CardSealed []byte
	// When a use was last noted of the key and its holder.
	KeySeen, UserSeen time.Time
}

// Good says whether the tap is good at now for an operation at a client.
func (t Ticket) Good(c id.Client, o Operation, now time.Time) bool {
	return t.Client == c && t.Operation == o && t.SpentAt.IsZero() && now.Before(t.ExpiresAt)
}

// Stands says whether all is still as it was when the card was tapped.
func (t Ticket) Stands() bool { return t.Active && t.Stamp == t.Now }

// Verification is what a right PIN gives.
type Verification struct {
	Digest      string // of the token
	Workspace   id.Workspace
	Client      id.Client
	SecurityKey id.SecurityKey
	RPID        string
	Stamp       Stamp
	ExpiresAt   time.Time
	IdleUntil   time.Time
}

// NewVerification returns the verification of a ticket's holder and its token, which is
// shown once. key is a secret of the workspace.
func NewVerification(key secret.Bytes, t Ticket, now time.Time) (Verification, secret.Bytes) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never returns an error
	token := secret.FromString("uv_" + base64.RawURLEncoding.EncodeToString(raw[:]))
	return Verification{
		Digest: VerificationDigest(key, t, token), Workspace: t.Workspace, Client: t.Client, SecurityKey: t.SecurityKey, RPID: t.RPID, Stamp: t.Now,
		ExpiresAt: now.Add(VerificationLife), IdleUntil: now.Add(VerificationIdle),
	}, token
}

// VerificationDigest returns what is stored of a token for a ticket's client, key and relying
// party: a keyed hash, so that nobody writes one into the database for a PIN that was never
// typed.
func VerificationDigest(key secret.Bytes, t Ticket, token secret.Bytes) string {
	mac := hmac.New(sha256.New, key.Expose())
	mac.Write([]byte("keyhold/verification/v1\x00" + string(t.Workspace) + "\x00" + string(t.Client) + "\x00" + string(t.SecurityKey) + "\x00" + t.RPID + "\x00"))
	mac.Write(token.Expose())
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Use is what a ticket is used with. Empty fields ask for nothing.
type Use struct {
	Verification string        // the digest of its token
	Credential   id.Credential // which is there
}

// TapHolder is what a tap keeps of its holder.
type TapHolder struct {
	Revision  int64
	Auditable bool
	SeenAt    time.Time
}

// TapTx is the storage of taps and verifications.
type TapTx interface {
	InsertTap(ctx context.Context, t Tap) error
	FindTicket(ctx context.Context, w id.Workspace, t id.Touch) (Ticket, bool, error)
	// SpendTicket marks the tap of a ticket that was found good as used. It returns false if it
	// was used before, is over, or the ticket does not stand any more; and if what it is used
	// with is not there or not good.
	SpendTicket(ctx context.Context, k Ticket, with Use, now time.Time) (bool, error)
	InsertVerification(ctx context.Context, v Verification) error
	// UseVerification begins the idle time of a verification anew; false if there is none that
	// is good at now for the ticket: one of another client, key or relying party is not, nor one
	// from before something changed.
	UseVerification(ctx context.Context, k Ticket, digest string, now time.Time) (bool, error)
	// TouchClient notes that a client was seen, once a minute.
	TouchClient(ctx context.Context, w id.Workspace, c id.Client, ip, agent string, now time.Time) error
	// CountSecurityKeyUse counts a use of a key whose last one is not long ago.
	CountSecurityKeyUse(ctx context.Context, w id.Workspace, k id.SecurityKey) error
	// MarkSecurityKeySeen notes a use of a key that is counted elsewhere.
	MarkSecurityKeySeen(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) error
	// FindTapHolder returns what a tap keeps of its holder, the zero value if there is none.
	FindTapHolder(ctx context.Context, w id.Workspace, u id.User) (TapHolder, error)
	// MarkUserSeen notes that a user did something now: whoever was invited is active then.
	MarkUserSeen(ctx context.Context, w id.Workspace, u id.User, now time.Time) error
	// CountLogin counts a sign-in of an outcome, for statistics.
	CountLogin(ctx context.Context, w id.Workspace, outcome string, now time.Time) error
	// AddRate counts by more under the name, which may be 0, and returns how many there are
	// since the window began.
	AddRate(ctx context.Context, name string, by int, now time.Time, window time.Duration) (n int64, since time.Time, err error)
}

// NoTap is the fault of a tap that is not good for what is asked: it is unknown, over, used,
// of another client, or void because something changed since.
func NoTap() *fault.Error {
	return fault.Conflict("tap_not_good", "Tap the card again: this tap is over, or was used.")
}
