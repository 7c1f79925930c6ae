// Package apikey keeps the secrets with which programs call the workspace's own
// API. It decides who may issue one, what it opens and whether a token is still
// good; it refuses to know what programs do with it.
package apikey

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Type says what a key opens.
type Type string

// The types.
const (
	Admin        Type = "admin"         // the REST API
	SharedMobile Type = "shared_mobile" // shared-mobile endpoints only
	Clients      Type = "clients"       // authenticator operations only
)

// Types lists the types.
func Types() []Type { return []Type{Admin, SharedMobile, Clients} }

// kind is the type's part of the token, and false for an unknown type.
func (t Type) kind() (token.Kind, bool) {
	switch t {
	case Admin:
		return token.KindAdmin, true
	case SharedMobile:
		return token.KindMobile, true
	case Clients:
		return token.KindClient, true
	}
	return "", false
}

// Status is computed from the clock, never stored.
type Status string

// The statuses.
const (
	Active   Status = "active"
	Expired  Status = "expired"
	Disabled Status = "disabled"
)

// Key is the record of an API key. Its secret half, the token, is shown once and
// stored as a keyed hash.
type Key struct {
	ID          id.APIKey
	Workspace   id.Workspace
	TokenID     string // public part of the token
	TokenHash   []byte
	Name        string
	Type        Type
	Permissions auth.Permissions // for Admin keys; empty for the other types
	CreatedAt   time.Time
	ExpiresAt   time.Time // zero for never
	DisabledAt  time.Time // zero unless it is disabled
	CreatedBy   activity.Party
}

// Status returns the key's status at now.
func (k Key) Status(now time.Time) Status {
	if !k.DisabledAt.IsZero() {
		return Disabled
	}
	if !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) {
		return Expired
	}
	return Active
}

// NewKey is what a key is made from. Name and Type are required. Permissions nil
// means all that the creator has; it must be empty for types other than Admin.
type NewKey struct {
	Name        string
	Type        Type
	Permissions []string
	ExpiresAt   time.Time // zero for never
}

// Query says which keys are wanted.
type Query struct {
	Type Type
	Page page.Request
}

// The names by which keys are sorted. The default is SortName.
const (
	SortName    = "name"
	SortCreated = "created_at"
)

// Sorts lists the names by which keys are sorted.
func Sorts() []string { return []string{SortName, SortCreated} }

// Tx is the storage that this room needs.
type Tx interface {
	activity.GateTx
	outbox.Tx
	InsertAPIKey(ctx context.Context, k Key) error
	FindAPIKey(ctx context.Context, w id.Workspace, k id.APIKey) (Key, bool, error)
	// FindAPIKeyByTokenID finds over all workspaces: a token says by itself where
	// it belongs.
	FindAPIKeyByTokenID(ctx context.Context, tokenID string) (Key, bool, error)
	ListAPIKeys(ctx context.Context, w id.Workspace, q Query) (page.Page[Key], error)
	// ListOwners returns the addresses of the workspace's owners and its name.
	ListOwners(ctx context.Context, w id.Workspace) ([]outbox.Recipient, string, error)
}

// Config is what the room is made from. Pepper is the key of the stored hashes;
// it is kept outside the database.
type Config struct {
	Store  tx.Runner[Tx]
	Clock  clock.Clock
	Pepper secret.Bytes
}

// Service is the room's door. Use New.
type Service struct {
	gate   activity.Gate[Tx]
	pepper secret.Bytes
}

// New returns the room.
func New(c Config) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}, pepper: c.Pepper}
}

// Create issues a key and returns its token, which nobody can read again. The
// caller needs api_keys.write; an Admin key needs all permissions and, from a
// person, a fresh passkey, and no key gets a permission that its creator lacks.
// The workspace's owners are told by e-mail.
func (s *Service) Create(ctx context.Context, by auth.Caller, n NewKey) (Key, token.Token, error) {
	var k Key
	var t token.Token
	kind, known := n.Type.kind()
	if known {
		t = token.Issue(kind)
	}
	attempt := activity.Attempt{Action: "api_key.create", Need: auth.APIKeysWrite}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, tx Tx, standing auth.Standing, now time.Time) (*fault.Error, error) {
		var f *fault.Error
		if k, f = n.key(standing, now); f != nil {
			return f, nil
		}
		if f := mayIssue(by, k, standing, now); f != nil {
			return f, activity.Refuse(ctx, tx, by, attempt, f.Code, now)
		}
		k.Workspace, k.TokenID, k.TokenHash = by.Workspace, t.ID, t.Hash(s.pepper)
		k.CreatedBy = activity.Party{Type: string(by.Kind), ID: by.Identity(), Name: by.Name}
		if err := tx.InsertAPIKey(ctx, k); err != nil {
			return nil, err
		}
		if err := tellOwners(ctx, tx, by, k, now); err != nil {
			return nil, err
		}
		once.Note(ctx, string(k.ID))
		return nil, activity.Append(ctx, tx, by, activity.Event{
			Action: "api_key.create", Detail: string(k.Type), Target: activity.Party{Type: "api_key", ID: string(k.ID), Name: k.Name}, User: by.User,
		}, now)
	})
	if err != nil {
		return Key{}, token.Token{}, err
	}
	return k, t, nil
}

// mayIssue is the rule of PRODUCT 1 for keys: nobody rises by a key.
func mayIssue(by auth.Caller, k Key, standing auth.Standing, now time.Time) *fault.Error {
	if k.Type != Admin {
		return nil
	}
	if !standing.Permissions.Covers(auth.All()) {
		return fault.Forbidden("beyond_your_permissions", "Creating an Admin key needs all permissions.")
	}
	return auth.CheckStepUp(by, now)
}

// key checks the fields and returns the key without token and creator.
func (n NewKey) key(standing auth.Standing, now time.Time) (Key, *fault.Error) {
	k := Key{ID: id.New[id.KindAPIKey](now), Name: strings.TrimSpace(norm.NFC.String(n.Name)), Type: n.Type, CreatedAt: now, ExpiresAt: n.ExpiresAt}
	var fields []fault.Field
	wrong := func(name, message string) { fields = append(fields, fault.Field{Name: name, Message: message}) }
	switch count := utf8.RuneCountInString(k.Name); {
	case count == 0:
		wrong("name", "is needed")
	case count > 100:
		wrong("name", "is too long: at most 100 characters")
	case !utf8.ValidString(k.Name) || strings.ContainsFunc(k.Name, unicode.IsControl):
		wrong("name", "holds a character that is not allowed")
	}
	if _, known := n.Type.kind(); !known {
		wrong("type", "must be admin, shared_mobile or clients")
	}
	if !n.ExpiresAt.IsZero() && !now.Before(n.ExpiresAt) {
		wrong("expires_at", "is in the past")
	}
	switch set, unknown, ok := auth.ParsePermissions(n.Permissions); {
	case !ok:
		wrong("permissions", "holds an unknown permission: "+unknown)
	case n.Type != Admin && len(set) > 0:
		wrong("permissions", "belong to Admin keys only")
	case n.Type == Admin && n.Permissions == nil:
		k.Permissions = standing.Permissions
	case n.Type == Admin && len(set) == 0:
		wrong("permissions", "must hold at least one permission")
	default:
		k.Permissions = set
	}
	if len(fields) > 0 {
		return Key{}, fault.Invalid("invalid_fields", "Some fields need your attention.", fields...)
	}
	return k, nil
}

func tellOwners(ctx context.Context, t Tx, by auth.Caller, k Key, now time.Time) error {
	owners, workspace, err := t.ListOwners(ctx, k.Workspace)
	if err != nil {
		return err
	}
	for _, owner := range owners {
		mail := outbox.APIKeyCreated{
			To: owner, Workspace: workspace, APIKey: k.Name, TokenID: k.TokenID, Type: string(k.Type), By: by.Name, At: now.UnixMilli(),
		}
		if err := outbox.Put(ctx, t, k.Workspace, mail, now); err != nil {
			return err
		}
	}
	return nil
}

// List returns one page of the workspace's keys. The caller needs api_keys.read.
func (s *Service) List(ctx context.Context, by auth.Caller, q Query) (page.Page[Key], error) {
	q.Page = q.Page.Bounded()
	var out page.Page[Key]
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "api_key.list", Need: auth.APIKeysRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		out, err = t.ListAPIKeys(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// unknownKey is the answer for a key that is not there or not to be known.
func unknownKey() *fault.Error {
	return fault.NotFound("api_key_not_found", "This API key does not exist.")
}

// Find returns a key. The caller needs api_keys.read.
func (s *Service) Find(ctx context.Context, by auth.Caller, key id.APIKey) (Key, error) {
	var k Key
	attempt := activity.Attempt{Action: "api_key.find", Need: auth.APIKeysRead, Target: activity.Party{Type: "api_key", ID: string(key)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var found bool
		var err error
		k, found, err = t.FindAPIKey(ctx, by.Workspace, key)
		if err == nil && !found {
			return unknownKey()
		}
		return err
	})
	return k, err
}

// Own returns the key that the caller is. Only API keys may ask.
func (s *Service) Own(ctx context.Context, by auth.Caller) (Key, error) {
	var k Key
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "me.find", Need: auth.Signed}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var found bool
		var err error
		k, found, err = t.FindAPIKey(ctx, by.Workspace, by.APIKey)
		if err == nil && !found {
			return fault.Unauthenticated()
		}
		return err
	})
	return k, err
}

// Verify returns the caller behind a token that is to open what keys of type want
// open; by is the anonymous caller of the same request. Unknown, malformed, wrong
// and expired tokens get one and the same Unauthenticated fault; a good token of
// another type is told which type is needed, unless its workspace is suspended, and
// that is recorded.
func (s *Service) Verify(ctx context.Context, by auth.Caller, text string, want Type) (auth.Caller, error) {
	presented, ok := token.Parse(text)
	if !ok {
		return auth.Caller{}, fault.Unauthenticated()
	}
	var k Key
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var found bool
		var err error
		k, found, err = t.FindAPIKeyByTokenID(ctx, presented.ID)
		if err == nil && !found {
			return fault.Unauthenticated()
		}
		return err
	})
	if err != nil {
		return auth.Caller{}, err
	}
	now := s.gate.Clock.Now()
	if !secret.New(k.TokenHash).Equal(secret.New(presented.Hash(s.pepper))) || k.Status(now) != Active {
		return auth.Caller{}, fault.Unauthenticated()
	}
	c := by
	c.Kind, c.Workspace, c.APIKey, c.Name = auth.APIKey, k.Workspace, k.ID, k.Name
	if k.Type == want {
		return c, nil
	}
	return auth.Caller{}, s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		standing, err := t.CallerStanding(ctx, c, now)
		if err != nil {
			return nil, err
		}
		if !standing.Active { // its workspace is suspended
			return fault.Unauthenticated(), nil
		}
		f := fault.Forbidden("wrong_key_type", "This needs an API key of the type "+string(want)+".")
		return f, activity.Refuse(ctx, t, c, activity.Attempt{Action: "api_key.use", Target: activity.Party{Type: "api_key", ID: string(k.ID), Name: k.Name}}, f.Code, now)
	})
}
