// Package securitykey keeps the keys that people sign in with: contactless cards,
// phones and FIDO2 hardware keys. It decides how a key's life goes, whose card a
// number is, what a PIN must look like and how often it may be guessed. It refuses
// to know which websites a key opens and how a passkey is proved.
package securitykey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// Kind is what sort of thing a key is.
type Kind string

// The kinds.
const (
	ContactlessCard Kind = "contactless_card" // a badge: its number names it, a PIN unlocks it
	Smartphone      Kind = "smartphone"       // unlocked by the phone's own passkey
	FIDO2           Kind = "fido2"            // a hardware key that holds its own credential
)

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{ContactlessCard, Smartphone, FIDO2} }

// Status is how far a key has come. A key's Life is one of the first three.
type Status string

// The statuses.
const (
	New       Status = "new"       // assigned, nobody was told
	Pending   Status = "pending"   // the activation was sent
	Active    Status = "active"    // it works
	Suspended Status = "suspended" // shown instead of the life while the flag is set
)

// Statuses lists all statuses as people see them.
func Statuses() []Status { return []Status{New, Pending, Active, Suspended} }

// Verification is how the holder proves to be the holder.
type Verification string

// The verifications.
const (
	ByPIN   Verification = "pin" // of the card, or of the hardware key itself
	Pinless Verification = "pinless"
	ByPhone Verification = "phone"
)

// Secrets are a workspace's secrets that this room works with.
type Secrets struct {
	CardKey secret.Bytes // key of the hash by which a card's number is looked up
	PINKey  secret.Bytes // key of the PIN verifiers
	Sealing seal.Key
}

// SecretsReader reads the secrets of a workspace. It may go over a network: nobody
// calls it inside a transaction.
type SecretsReader interface {
	SecretsOf(ctx context.Context, w id.Workspace) (Secrets, error)
}

// CardIdentity names the row to which a card's sealed number is bound.
func CardIdentity(w id.Workspace, u id.User, k id.SecurityKey) seal.Identity {
	return seal.Identity{Workspace: string(w), Owner: string(u), Kind: "card_number", ID: string(k)}
}

// SecurityKey is a key that a user of the workspace holds. The zero times say never.
type SecurityKey struct {
	ID           id.SecurityKey
	Workspace    id.Workspace
	User         id.User
	Kind         Kind
	Name         string
	Model        string // what people call the make; may be empty
	AAGUID       string // of a FIDO2 key: a UUID in lower case; empty if it tells none
	Life         Status // never Suspended; see Shown
	SuspendedAt  time.Time
	Verification Verification
	Proximity    bool // the phone must be near the computer
	Card         Card
	// ToConfirm is a pending key whose holder has done their part and waits for an
	// administrator.
	ToConfirm bool
	Link      Link
	PIN       PIN
	Total     int64 // activities with the key
	CreatedAt time.Time
	// ActivatedAt is when it last became active.
	ActivatedAt    time.Time
	LastActivityAt time.Time
	NoticedAt      time.Time // when the holder was told that it is unused
	Revision       int64     // counts changes, from 1
	Holder         Holder    // read with the key, never written with it
}

// Holder is what this room asks of the directory about a key's user.
type Holder struct {
	Name      string
	Email     string
	Suspended bool // they are, or their workspace is
}

// Card is a contactless card's number as it is stored. The zero Card is none.
type Card struct {
	Type   string // card.UID
	Digest string // keyed hash of the number, in hex, for looking it up
	Sealed []byte // the number, to be shown to administrators
	Named  bool   // an administrator named the number, not the holder
}

// Link is the e-mail link that activates the key. The zero Link is none.
type Link struct {
	ID        id.Activation
	ExpiresAt time.Time
}

// PIN is a card's PIN as it is stored. Without a verifier there is none.
type PIN struct {
	Verifier    []byte
	Wrong       int       // wrong tries since the last right one; PINTries locks it
	PausedUntil time.Time // no try is taken before
	MustChange  bool      // the holder is to choose another one
	SetAt       time.Time
}

// PINTries is how many wrong tries in a row lock a PIN until it is reset.
const PINTries = 8

// Locked says whether no try is taken until the PIN is reset.
func (p PIN) Locked() bool { return p.Wrong >= PINTries }

// Shown returns the status that people see: Suspended if the flag is set, else the
// life.
func (k SecurityKey) Shown() Status {
	if !k.SuspendedAt.IsZero() {
		return Suspended
	}
	return k.Life
}

// UsedAt is when the key was last used; before its first use, when it was activated;
// before that, when it was made. What is unused is counted from there.
func (k SecurityKey) UsedAt() time.Time {
	at := k.CreatedAt
	for _, later := range []time.Time{k.ActivatedAt, k.LastActivityAt} {
		if later.After(at) {
			at = later
		}
	}
	return at
}

// Query says which keys are wanted. Zero fields do not filter.
type Query struct {
	User        id.User
	Status      Status // as it is shown
	Kind        Kind
	ToConfirm   bool
	UnusedSince time.Time // not used since then
	Words       []string  // folded beginnings of words of the key's name, model and holder
	CardDigest  string    // the key of that card's number
	Page        page.Request
}

// The names by which keys are sorted. The default is SortName.
const (
	SortName         = "name"
	SortCreated      = "created_at"
	SortLastActivity = "last_activity"
)

// Sorts lists the names by which keys are sorted.
func Sorts() []string { return []string{SortName, SortCreated, SortLastActivity} }

// Counts are how many keys there are, by shown status.
type Counts struct{ Total, New, Pending, Active, Suspended int }

// Activation is what happens to a new key at once.
type Activation string

// The activations. Assigned leaves the key new.
const (
	Assigned      Activation = ""
	ActivateNow   Activation = "now"   // cards only: the administrator has the card
	ActivateEmail Activation = "email" // the holder gets a link
)

// Delivery is where a PIN goes that was set or generated.
type Delivery string

// The deliveries. The zero Delivery is DeliverEmail.
const (
	DeliverEmail    Delivery = "email"    // to the holder
	DeliverResponse Delivery = "response" // to the caller, once
)

// NewKey is what a key is made from.
type NewKey struct {
	Kind         Kind
	Name         string // empty for the kind's name
	Model        string
	Activation   Activation
	CardType     string // empty for card.UID, if there is a number
	CardNumber   string // as it was typed or read; empty for none
	Verification Verification
	Proximity    bool
	PIN          secret.Bytes // empty to generate one, where one is needed
	Delivery     Delivery
	MustChange   bool // the holder is to choose another PIN
}

// Change is a change of a key. Nil fields stay.
type Change struct {
	Name         *string
	Model        *string
	Proximity    *bool
	Verification *Verification
}

// Issued is a key after an act that may have given it a PIN.
type Issued struct {
	Key SecurityKey
	PIN secret.Bytes // with DeliverResponse only
}

// Reset is how a PIN is reset.
type Reset struct {
	PIN        secret.Bytes // empty to generate one
	Delivery   Delivery
	MustChange bool
}

// Detail is one key as its page shows it.
type Detail struct {
	Key        SecurityKey
	CardNumber string // empty if there is no card
}

// Binding is one line of the record of all keys that a user ever had (NIST SP
// 800-63B-4 §4.1).
type Binding struct {
	Key         id.SecurityKey
	Workspace   id.Workspace
	User        id.User
	Kind        Kind
	Name        string
	Model       string
	CreatedAt   time.Time
	ActivatedAt time.Time // zero if it never was
	EndedAt     time.Time // zero while the key is there
	EndedAs     string    // "deleted" or "user_deleted"; empty while the key is there
}

// PINRules say what a PIN must look like, from when they were set on.
type PINRules struct {
	Min, Max                     int // code points
	Digit, Lower, Upper, Special bool
}

// Settings are what a workspace decided about its security keys.
type Settings struct {
	PIN           PINRules
	Pinless       bool     // keys may be set to need no PIN
	ModelsAllowed []string // AAGUIDs; if there is any, no other FIDO2 key is registered
	ModelsBlocked []string // AAGUIDs that are not registered
	// UnusedDays is after how many days without use the holder is told, 0 for never;
	// GraceDays how many days later the key is suspended.
	UnusedDays, GraceDays int
	Revision              int64 // counts changes, from 1 as long as nobody changed them
}

// SettingsChange is a change of Settings. Nil fields stay.
type SettingsChange struct {
	PINMin, PINMax                           *int
	PINDigit, PINLower, PINUpper, PINSpecial *bool
	Pinless                                  *bool
	ModelsAllowed, ModelsBlocked             *[]string
	UnusedDays, GraceDays                    *int
}

// Invitation is what the holder of an activation link is told.
type Invitation struct {
	Key       SecurityKey
	Workspace string // its name
	Rules     PINRules
	CardNamed bool // the card is one that the administrator named
	// NeedsProof says that the caller has shown no more than a mailbox and the holder
	// has keys: the activation of a card waits for an administrator, that of another
	// kind is refused.
	NeedsProof bool
}

// CardActivation is what the holder gives to activate a card.
type CardActivation struct {
	Number string       // as it was typed or read
	PIN    secret.Bytes // empty to have one generated and mailed
}

// Outcome is what became of one key of a bulk act. Fault is nil for success.
type Outcome struct {
	ID    id.SecurityKey
	Fault error
}
