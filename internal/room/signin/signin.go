// Package signin decides who is at the panel and in the app: setup links, passkeys
// as a relying party with user verification, codes by e-mail, sessions,
// administrators and what they may. It refuses to know what they do once they are in.
package signin

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Lifetimes. Each is decided at use.
const (
	SessionLifetime  = 12 * time.Hour  // a session ends then, however busy
	SessionIdle      = 1 * time.Hour   // a session ends after so long without a request
	SetupLinkLife    = 24 * time.Hour  // a setup link that nobody used
	CeremonyLifetime = 5 * time.Minute // a passkey dialog that nobody answered
	// seenEvery is how fresh a session's last use is kept: not every read becomes
	// a write.
	seenEvery = time.Minute
)

// Administrator says what a user may do at the panel.
type Administrator struct {
	ID          id.Administrator
	Workspace   id.Workspace
	User        id.User
	Owner       bool // may everything, now and in later versions
	Permissions auth.Permissions
	Revision    int64 // counts changes, from 1
	CreatedAt   time.Time
}

// Person is what this room asks of the directory about a user.
type Person struct {
	User          id.User
	Workspace     id.Workspace
	WorkspaceName string
	Email         string
	Name          string
	Language      string
	Timezone      string
	Auditable     bool // their sign-ins stand in the record
	Suspended     bool // they are, or their workspace is
}

// Passkey is a credential of a person for Keyhold itself. Record is the
// relying-party library's own record of it; nothing in it is secret.
type Passkey struct {
	ID           id.Passkey
	Workspace    id.Workspace
	User         id.User
	CredentialID []byte
	Record       []byte
	Name         string
	CreatedAt    time.Time
	LastUsedAt   time.Time // zero if it never was
	// ConfirmedAt is when it began to open the panel: at once if it was registered
	// by a setup link or at the panel, else when another administrator confirms it.
	ConfirmedAt time.Time
	ConfirmedBy id.User // zero if nobody had to
	// SecurityKey is the phone or hardware key that holds it; zero for a passkey that
	// its owner added by themselves.
	SecurityKey id.SecurityKey
	// KeySuspended says that the security key is suspended: then the passkey signs
	// nobody in. It is read with the passkey, never written with it.
	KeySuspended bool
	// ByMailbox is a passkey that was registered with nothing but an e-mail code by
	// somebody who had a passkey before. It proves no more than the mailbox until it
	// is confirmed.
	ByMailbox bool
}

// OpenedBy says how a session was opened.
type OpenedBy string

// The ways to open a session.
const (
	OpenedByPasskey    OpenedBy = "passkey"
	OpenedByLink       OpenedBy = "link" // a demo's sign-in link only
	OpenedByCode       OpenedBy = "email_code"
	OpenedByAccessPass OpenedBy = "access_pass"
)

// Scope says what a session opens.
type Scope string

// The scopes.
const (
	ScopePanel Scope = "panel" // and the app
	ScopeApp   Scope = "app"
	ScopeKeys  Scope = "keys" // registering and activating the person's own keys, nothing else
)

// Session is one browser's being signed in. Only the digest of its token is kept.
type Session struct {
	ID         id.Session
	Workspace  id.Workspace
	User       id.User
	Digest     []byte
	OpenedBy   OpenedBy
	Scope      Scope
	Passkey    id.Passkey // which opened it, if one did
	Pass       id.AccessPass
	IP         string
	Agent      string
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastSeenAt time.Time
	StepUpAt   time.Time
	EndedAt    time.Time // zero while it is open
}

// live says whether the session is accepted at now.
func (s Session) live(now time.Time) bool {
	return s.EndedAt.IsZero() && now.Before(s.ExpiresAt) && now.Before(s.LastSeenAt.Add(SessionIdle))
}

// SetupLink lets one person register a passkey. User is zero in the link for a
// workspace's first owner, who names themselves.
type SetupLink struct {
	ID        id.SetupLink
	Workspace id.Workspace
	User      id.User
	Digest    []byte
	SignsIn   bool // may also open a session without a passkey: a demo's link only
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero until it is spent or withdrawn
}

// Purpose is what a ceremony is for.
type Purpose string

// The purposes.
const (
	PurposeRegister Purpose = "register"
	PurposeSignIn   Purpose = "sign_in"
	PurposeStepUp   Purpose = "step_up"
)

// Ceremony is an unanswered challenge of WebAuthn. It is spent by the first
// answer. Workspace and User are zero when anybody may answer.
type Ceremony struct {
	ID        id.Ceremony
	Workspace id.Workspace
	User      id.User
	Purpose   Purpose
	Data      []byte
	ExpiresAt time.Time
}

// Tx is the storage that this room needs.
type Tx interface {
	activity.GateTx
	outbox.Tx
	tx.Latches
	InsertAdministrator(ctx context.Context, a Administrator) error
	FindAdministrator(ctx context.Context, w id.Workspace, u id.User) (Administrator, bool, error)
	FindSeat(ctx context.Context, w id.Workspace, a id.Administrator) (Seat, bool, error)
	ListAdministrators(ctx context.Context, w id.Workspace, r page.Request) (page.Page[Seat], error)
	UpdateAdministrator(ctx context.Context, a Administrator) error
	DeleteAdministrator(ctx context.Context, w id.Workspace, a id.Administrator) error
	// CountOwners counts the owners who are not suspended, but for one.
	CountOwners(ctx context.Context, w id.Workspace, except id.Administrator) (int64, error)
	// ListOwners returns the addresses of the workspace's owners and its name.
	ListOwners(ctx context.Context, w id.Workspace) ([]outbox.Recipient, string, error)
	// ListAdministratorAPIKeys returns the keys that a user created and that work.
	ListAdministratorAPIKeys(ctx context.Context, w id.Workspace, u id.User) ([]LeftKey, error)
	// WorkspaceHasOwner tells whether an owner with a confirmed passkey exists.
	WorkspaceHasOwner(ctx context.Context, w id.Workspace) (bool, error)
	InsertPasskey(ctx context.Context, p Passkey) error
	// UpdatePasskeyUse notes a use of the passkey, and of the security key that holds
	// it. It returns false if the passkey is gone or that key is suspended.
	UpdatePasskeyUse(ctx context.Context, p Passkey) (bool, error)
	// FindPasskey finds by credential id over all workspaces: who answers a
	// sign-in challenge has not said where they belong.
	FindPasskey(ctx context.Context, credentialID []byte) (Passkey, bool, error)
	ListPasskeys(ctx context.Context, w id.Workspace, u id.User) ([]Passkey, error)
	FindUserPasskey(ctx context.Context, w id.Workspace, u id.User, p id.Passkey) (Passkey, bool, error)
	RenamePasskey(ctx context.Context, w id.Workspace, p id.Passkey, name string) error
	// ConfirmPasskey returns false if the passkey was confirmed before.
	ConfirmPasskey(ctx context.Context, p Passkey) (bool, error)
	UnconfirmPasskeys(ctx context.Context, w id.Workspace, u id.User) error
	DeletePasskey(ctx context.Context, w id.Workspace, p id.Passkey) error
	InsertSession(ctx context.Context, s Session) error
	FindSession(ctx context.Context, digest []byte) (Session, bool, error)
	SeeSession(ctx context.Context, w id.Workspace, s id.Session, now time.Time) error
	StepUpSession(ctx context.Context, w id.Workspace, s id.Session, now time.Time) error
	// EndSession returns false if the session had ended before.
	EndSession(ctx context.Context, w id.Workspace, s id.Session, now time.Time) (bool, error)
	// ListSessions lists the user's sessions that are open at now, the last used
	// first.
	ListSessions(ctx context.Context, w id.Workspace, u id.User, now time.Time) ([]Session, error)
	// EndUserSessions ends the user's sessions but for one, of every scope if scope
	// is "", and returns how many were open.
	EndUserSessions(ctx context.Context, w id.Workspace, u id.User, scope Scope, except id.Session, now time.Time) (int, error)
	// EndPasskeySessions ends the sessions that the passkey opened.
	EndPasskeySessions(ctx context.Context, w id.Workspace, p id.Passkey, now time.Time) error
	AccessPassTx
	InsertSetupLink(ctx context.Context, l SetupLink) error
	FindSetupLink(ctx context.Context, digest []byte) (SetupLink, bool, error)
	// SpendSetupLink returns false if the link was spent, withdrawn or over.
	SpendSetupLink(ctx context.Context, w id.Workspace, l id.SetupLink, now time.Time) (bool, error)
	// WithdrawSetupLinks ends the unspent links of a user, or of the first owner
	// if u is zero.
	WithdrawSetupLinks(ctx context.Context, w id.Workspace, u id.User, now time.Time) error
	InsertCeremony(ctx context.Context, c Ceremony, now time.Time) error
	FindCeremony(ctx context.Context, c id.Ceremony) (Ceremony, bool, error)
	// TakeCeremony removes the ceremony; false if it is gone or over.
	TakeCeremony(ctx context.Context, c id.Ceremony, now time.Time) (bool, error)
	// FindPerson fills the workspace's part also when the user is not there.
	FindPerson(ctx context.Context, w id.Workspace, u id.User) (Person, bool, error)
	FindPersonByEmail(ctx context.Context, w id.Workspace, folded string) (Person, bool, error)
	// FindPeopleByEmail finds over all workspaces, by their ids: who proves an
	// address has not said where they belong.
	FindPeopleByEmail(ctx context.Context, folded string) ([]Person, error)
	InsertCode(ctx context.Context, c Code, now time.Time) error
	FindCode(ctx context.Context, browser []byte) (Code, bool, error)
	// SpendCodeTry takes one try of a code; false if there is none left, or the
	// code is unknown, over or proved.
	SpendCodeTry(ctx context.Context, browser []byte, now time.Time) (Code, bool, error)
	MarkCodeProved(ctx context.Context, c id.Code, now time.Time) error
	// UseCode returns false if the code was used, or not proved after that moment.
	UseCode(ctx context.Context, c id.Code, now, provedAfter time.Time) (bool, error)
	// CountRate counts one more under the name and returns how many there were
	// since the window began, which a count after its end begins anew.
	CountRate(ctx context.Context, name string, now time.Time, window time.Duration) (n int64, since time.Time, err error)
	// UncountRate takes one count under the name back.
	UncountRate(ctx context.Context, name string) error
	// HasActiveSecurityKey tells whether the user has a security key that was
	// activated; a suspended one counts.
	HasActiveSecurityKey(ctx context.Context, w id.Workspace, u id.User) (bool, error)
	// CountLogin counts a login for statistics.
	CountLogin(ctx context.Context, w id.Workspace, outcome string, now time.Time) error
	// MarkUserSeen notes that the user signed in.
	MarkUserSeen(ctx context.Context, w id.Workspace, u id.User, now time.Time) error
}

// RelyingParty is Keyhold as the website that asks for passkeys. The room and the
// flows that register passkeys share one. Use NewRelyingParty.
type RelyingParty struct {
	party *webauthn.WebAuthn
	id    string
}

// NewRelyingParty returns the relying party of that id, the host of the public
// URL, and origin, its scheme, host and port. It fails if they cannot be one's.
func NewRelyingParty(rpID, origin string) (*RelyingParty, error) {
	if u, err := url.Parse(origin); err != nil || rpID == "" || u.Hostname() != rpID {
		return nil, fmt.Errorf("making the relying party %q: the origin %q is not of that host", rpID, origin)
	}
	party, err := webauthn.New(&webauthn.Config{
		RPID: rpID, RPDisplayName: "Keyhold", RPOrigins: []string{origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: new(true),
			UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the relying party %s: %w", rpID, err)
	}
	return &RelyingParty{party: party, id: rpID}, nil
}

// Config is what the room is made from.
type Config struct {
	Store tx.Runner[Tx]
	Clock clock.Clock
	Party *RelyingParty
	// LinksSignIn lets links open a session without a passkey. Demo only.
	LinksSignIn bool
	// CodeKey is the key of the codes that are sent by e-mail; whoever sends them
	// has the same.
	CodeKey secret.Bytes
}

// Service is the room's door. Use New.
type Service struct {
	gate  activity.Gate[Tx]
	store tx.Runner[Tx]
	clock clock.Clock
	rp    *RelyingParty
	links bool

	codeKey secret.Bytes
}

// New returns the room.
func New(c Config) *Service {
	return &Service{
		gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}, store: c.Store, clock: c.Clock, rp: c.Party, links: c.LinksSignIn,
		codeKey: c.CodeKey,
	}
}

// Account is what a signed-in person is told about themselves.
type Account struct {
	Person   Person
	Standing auth.Standing
	Passkeys []Passkey
	// IsAdministrator says whether the person is one, whatever the session opens.
	IsAdministrator bool
}

// Ask answers whether the caller has a permission, before they fill in what they
// would be refused afterwards: nil, or the fault, which is recorded. The act itself
// decides anew.
func (s *Service) Ask(ctx context.Context, by auth.Caller, need auth.Permission) error {
	return s.gate.Read(ctx, by, activity.Attempt{Action: "form.open", Need: need}, func(context.Context, Tx, auth.Standing, time.Time) error { return nil })
}

// Account returns the caller's own account. Callers are people who signed in, with a
// one-time pass too.
func (s *Service) Account(ctx context.Context, by auth.Caller) (Account, error) {
	var a Account
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "account.find", Need: auth.OwnKeys}, func(ctx context.Context, t Tx, standing auth.Standing, _ time.Time) error {
		var found bool
		var err error
		if a.Person, found, err = t.FindPerson(ctx, by.Workspace, by.User); err != nil {
			return err
		}
		if !found {
			return fault.Unauthenticated()
		}
		a.Standing = standing
		if _, a.IsAdministrator, err = t.FindAdministrator(ctx, by.Workspace, by.User); err != nil {
			return err
		}
		a.Passkeys, err = t.ListPasskeys(ctx, by.Workspace, by.User)
		return err
	})
	return a, err
}
