// Package vault is the room of the passkeys that people have at websites. It decides how
// their private keys are sealed, to whom they belong (the user, never the card) and who may
// delete them. It refuses to know how somebody proves who they are.
package vault

import (
	"context"
	"errors"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Credential is one passkey of a user: a key pair for one account at one relying party.
type Credential struct {
	ID           id.Credential
	Workspace    id.Workspace
	User         id.User
	RPID         string
	RPName       string
	UserHandle   []byte // the account's id at the website, 1 to 64 bytes
	UserName     string
	DisplayName  string
	Algorithm    ctap.Algorithm
	RawID        []byte // its id at the website, 32 random bytes
	PublicKey    []byte // a COSE_Key
	Sealed       []byte // private key and secrets: see Seal
	Discoverable bool   // it is found without the website naming it
	Protection   ctap.Protection
	HMACSecret   bool // the website asked for the extension
	CreatedAt    time.Time
	CreatedKey   id.SecurityKey // with which it was registered
	CreatedBy    string         // the name of who registered it
	Client       id.Client      // through which it was registered
	LastUsedAt   time.Time      // zero if it never was
	LastKey      id.SecurityKey
	Uses         int64
	Holder       Holder // of the row's user, when it is read
	LastKeyName  string // when it is read; empty if that key is gone
}

// Holder is who a credential belongs to, as it is shown.
type Holder struct{ Name, Email string }

// Label names the credential for people: the account and where it is.
func (c Credential) Label() string {
	if c.UserName == "" {
		return c.RPID
	}
	return c.UserName + " at " + c.RPID
}

// Party is the credential as activities name it.
func (c Credential) Party() activity.Party {
	return activity.Party{Type: "credential", ID: string(c.ID), Name: c.Label()}
}

// identity binds what is sealed to its row: to the workspace, the user, the relying party and
// the credential. None of them holds a space.
func (c Credential) identity() seal.Identity {
	return seal.Identity{Workspace: string(c.Workspace), Owner: string(c.User), Kind: "credential", ID: string(c.ID) + " " + c.RPID}
}

// Seal fills in the sealed private key and secrets of an authenticator's credential.
func (c *Credential) Seal(key seal.Key, from ctap.Credential) error {
	var err error
	c.Sealed, err = key.Seal(secret.New(append(append([]byte(nil), from.Secret.Expose()...), from.Private.Raw().Expose()...)), c.identity())
	return err
}

// secretSize is how many bytes of a sealed credential are its secrets; the private key
// follows.
const secretSize = 64

// Open returns the credential as an authenticator uses it. It fails if the row is not the one
// that was sealed.
func (c Credential) Open(key seal.Key) (ctap.Credential, error) {
	plain, err := key.Open(c.Sealed, c.identity())
	if err != nil {
		return ctap.Credential{}, err
	}
	raw := plain.Expose()
	if len(raw) < secretSize {
		return ctap.Credential{}, errors.New("a sealed credential is too short")
	}
	private, err := ctap.ParseKey(c.Algorithm, secret.New(raw[secretSize:]))
	if err != nil {
		return ctap.Credential{}, err
	}
	out := c.Public()
	out.Private, out.Secret = private, secret.New(raw[:secretSize])
	return out, nil
}

// Public returns the credential as an authenticator knows it, without what is secret.
func (c Credential) Public() ctap.Credential {
	return ctap.Credential{
		ID: c.RawID, RPID: c.RPID, User: ctap.User{ID: c.UserHandle, Name: c.UserName, DisplayName: c.DisplayName}, Algorithm: c.Algorithm,
		Public: c.PublicKey, Discoverable: c.Discoverable, Protect: c.Protection, HMACSecret: c.HMACSecret,
	}
}

// UseAction is how the record calls a sign-in. A credential's uses are counted from there.
const UseAction = "credential.use"

// MaxPerParty is how many credentials a user has at one relying party at the most, and
// MaxPerUser how many in all.
const (
	MaxPerParty = 100
	MaxPerUser  = 2000
)

// Tx is the storage that this room needs.
type Tx interface {
	activity.GateTx
	tx.Latches
	CredentialTx
	// HeldPermissions returns what the user may do as an administrator: all for an owner,
	// nothing for somebody who is none.
	HeldPermissions(ctx context.Context, w id.Workspace, u id.User) (auth.Permissions, error)
	// UserThere says whether there is such a user.
	UserThere(ctx context.Context, w id.Workspace, u id.User) (bool, error)
}

// CredentialTx is the storage of the credentials.
type CredentialTx interface {
	InsertCredential(ctx context.Context, c Credential) error
	// DeleteCredential removes a credential; false if it is not there.
	DeleteCredential(ctx context.Context, w id.Workspace, c id.Credential) (bool, error)
	FindCredential(ctx context.Context, w id.Workspace, c id.Credential) (Credential, bool, error)
	// ListPartyCredentials lists all credentials of a user at a relying party, the one last
	// used first.
	ListPartyCredentials(ctx context.Context, w id.Workspace, u id.User, rpID string) ([]Credential, error)
	CountCredentials(ctx context.Context, w id.Workspace, u id.User) (int, error)
	// UseCredential counts a use; false if it is not there any more.
	UseCredential(ctx context.Context, w id.Workspace, c id.Credential, k id.SecurityKey, now time.Time) (bool, error)
	// ListCredentials lists a user's credentials, newest first unless the page says otherwise.
	ListCredentials(ctx context.Context, w id.Workspace, u id.User, p page.Request) (page.Page[Credential], error)
}

// Config is what the room is made from.
type Config struct {
	Store tx.Runner[Tx]
	Clock clock.Clock
}

// Service is the room's door. Use NewService.
type Service struct{ gate activity.Gate[Tx] }

// NewService returns the room.
func NewService(c Config) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}}
}

// Unknown is the fault of a credential that is not there.
func Unknown() *fault.Error {
	return fault.NotFound("credential_not_found", "This credential does not exist.")
}

// List returns one page of a user's credentials. The caller needs security_keys.read.
func (s *Service) List(ctx context.Context, by auth.Caller, u id.User, p page.Request) (page.Page[Credential], error) {
	p = p.Bounded()
	var out page.Page[Credential]
	attempt := activity.Attempt{Action: "credential.list", Need: auth.SecurityKeysRead, Target: activity.Party{Type: "user", ID: string(u)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		there, err := t.UserThere(ctx, by.Workspace, u)
		if err != nil {
			return err
		}
		if !there {
			return fault.NotFound("user_not_found", "This user does not exist.")
		}
		out, err = t.ListCredentials(ctx, by.Workspace, u, p)
		return err
	})
	return out, err
}

// Find returns a credential. The caller needs security_keys.read.
func (s *Service) Find(ctx context.Context, by auth.Caller, c id.Credential) (Credential, error) {
	var out Credential
	attempt := activity.Attempt{Action: "credential.find", Need: auth.SecurityKeysRead, Target: activity.Party{Type: "credential", ID: string(c)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var found bool
		var err error
		if out, found, err = t.FindCredential(ctx, by.Workspace, c); err == nil && !found {
			return Unknown()
		}
		return err
	})
	return out, err
}

// Delete removes a credential for good: its holder signs in to that account with it no more,
// and the website is not told. The caller needs security_keys.write and all permissions that
// the holder has.
func (s *Service) Delete(ctx context.Context, by auth.Caller, c id.Credential) error {
	attempt := activity.Attempt{Action: "credential.delete", Need: auth.SecurityKeysWrite, Target: activity.Party{Type: "credential", ID: string(c)}}
	return s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		found, there, err := t.FindCredential(ctx, by.Workspace, c)
		if err != nil {
			return nil, err
		}
		if !there {
			return Unknown(), nil
		}
		attempt.Target, attempt.User, attempt.RPID = found.Party(), found.User, found.RPID
		if err := t.Latch(ctx, string(by.Workspace)+"/owners"); err != nil {
			return nil, err
		}
		held, err := t.HeldPermissions(ctx, by.Workspace, found.User)
		if err != nil {
			return nil, err
		}
		if !standing.Permissions.Covers(held) {
			f := fault.Forbidden("beyond_your_permissions", "This user holds permissions that you lack, so this is not yours to do.")
			return f, activity.Refuse(ctx, t, by, attempt, f.Code, now)
		}
		gone, err := t.DeleteCredential(ctx, by.Workspace, c)
		if err != nil {
			return nil, err
		}
		if !gone {
			return Unknown(), nil
		}
		once.Note(ctx, string(c))
		return nil, activity.Append(ctx, t, by, activity.Event{Action: "credential.delete", Target: found.Party(), User: found.User, RPID: found.RPID}, now)
	})
}
