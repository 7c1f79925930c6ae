package securitykey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Owner is what this room asks of the directory about whoever is to hold a key.
type Owner struct {
	User       id.User
	UserID     string
	To         outbox.Recipient
	Workspace  string // its name
	Suspended  bool   // they are, or their workspace is
	NotInvited bool
	Keys       int // how many they have
}

// Tx is the storage that this room needs.
type Tx interface {
	activity.GateTx
	outbox.Tx
	tx.Latches
	// LockUser makes all transactions that lock the same user run one after the
	// other, from here to their end. It returns false if there is no such user.
	LockUser(ctx context.Context, w id.Workspace, u id.User) (bool, error)
	FindKeyOwner(ctx context.Context, w id.Workspace, u id.User) (Owner, bool, error)
	// MarkUserInvited makes a user pending who was not invited.
	MarkUserInvited(ctx context.Context, w id.Workspace, u id.User) error
	// HeldPermissions returns what the user may do as an administrator: all for an
	// owner, nothing for somebody who is none.
	HeldPermissions(ctx context.Context, w id.Workspace, u id.User) (auth.Permissions, error)
	// ListSecurityKeyWatchers returns who is told of what holders did: owners and
	// administrators with security_keys.write who are not suspended.
	ListSecurityKeyWatchers(ctx context.Context, w id.Workspace) ([]outbox.Recipient, error)
	// CountRate counts one more under the name and returns how many there were
	// since the window began, which a count after its end begins anew.
	CountRate(ctx context.Context, name string, now time.Time, window time.Duration) (n int64, since time.Time, err error)
	KeyTx
	PINTx
	SettingsTx
	UnusedTx
}

// KeyTx is the storage of the keys.
type KeyTx interface {
	// InsertSecurityKey writes the key and the record of its binding, and counts it.
	InsertSecurityKey(ctx context.Context, k SecurityKey) error
	// UpdateSecurityKey writes all that can change of a key, and what the record of its
	// binding tells of it. Lock the key first.
	UpdateSecurityKey(ctx context.Context, k SecurityKey) error
	// DeleteSecurityKey removes the key, its passkey and the sessions that this opened.
	// The record of its binding ends.
	DeleteSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) error
	// LockSecurityKey keeps others from changing the key until the transaction ends, and
	// returns it.
	LockSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey) (SecurityKey, bool, error)
	FindSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey) (SecurityKey, bool, error)
	// FindSecurityKeyByLink finds over all workspaces: a link says by itself where it
	// belongs.
	FindSecurityKeyByLink(ctx context.Context, link id.Activation) (SecurityKey, bool, error)
	FindSecurityKeyByCard(ctx context.Context, w id.Workspace, digest string) (SecurityKey, bool, error)
	// FindAnyCard returns a card of the workspace, if it has one: a row to read where a card
	// that nobody has is to take as much work as one that somebody has.
	FindAnyCard(ctx context.Context, w id.Workspace) (SecurityKey, bool, error)
	ListSecurityKeys(ctx context.Context, w id.Workspace, q Query) (page.Page[SecurityKey], error)
	// ListUserSecurityKeys lists all keys of a user, oldest first.
	ListUserSecurityKeys(ctx context.Context, w id.Workspace, u id.User) ([]SecurityKey, error)
	CountSecurityKeys(ctx context.Context, w id.Workspace) (Counts, error)
	// CountActiveSecurityKeys counts the user's keys whose life is active, suspended
	// or not, but for one.
	CountActiveSecurityKeys(ctx context.Context, w id.Workspace, u id.User, except id.SecurityKey) (int64, error)
	// EndSecurityKeySessions ends the sessions that the key's passkey opened.
	EndSecurityKeySessions(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) error
	// TouchSecurityKey counts a use of the key.
	TouchSecurityKey(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) error
	// ListBindings lists all keys that a user ever had, newest first.
	ListBindings(ctx context.Context, w id.Workspace, u id.User) ([]Binding, error)
}

// PINTx is the storage of the tries.
type PINTx interface {
	// SpendPINTry takes one try of the key's PIN before it is compared and returns how
	// many wrong ones in a row there are if this is one too; false if no try is taken.
	SpendPINTry(ctx context.Context, w id.Workspace, k id.SecurityKey, now time.Time) (wrong int, ok bool, err error)
	// SpendShadowTry does as SpendPINTry for a card that nobody has, and FindShadow returns
	// its tries.
	SpendShadowTry(ctx context.Context, w id.Workspace, digest string, now time.Time) (wrong int, ok bool, err error)
	FindShadow(ctx context.Context, w id.Workspace, digest string) (PIN, error)
	// ClearPINTries begins the tries anew after a right one.
	ClearPINTries(ctx context.Context, w id.Workspace, k id.SecurityKey) error
}

// SettingsTx is the storage of what a workspace decided about its keys.
type SettingsTx interface {
	FindSecurityKeySettings(ctx context.Context, w id.Workspace) (Settings, bool, error)
	// WriteSecurityKeySettings returns false if the settings there are not of the
	// revision before.
	WriteSecurityKeySettings(ctx context.Context, w id.Workspace, s Settings) (bool, error)
	// ClearUnusedNotices forgets whose holders were told that a key is unused.
	ClearUnusedNotices(ctx context.Context, w id.Workspace) error
}

// UnusedTx is the storage of looking for keys that nobody uses.
type UnusedTx interface {
	// ListUnusedRules lists the workspaces that look for unused keys, by their ids.
	ListUnusedRules(ctx context.Context, after id.Workspace, limit int) ([]UnusedRule, error)
	// ListUnusedSecurityKeys lists active keys that nobody uses, the longest unused first;
	// CountUnusedSecurityKeys counts them, whatever q.After and q.Limit say.
	ListUnusedSecurityKeys(ctx context.Context, w id.Workspace, q UnusedQuery) ([]SecurityKey, error)
	CountUnusedSecurityKeys(ctx context.Context, w id.Workspace, q UnusedQuery) (int64, error)
	// NoteUnusedNotice notes that a key's holder is told. It returns false if the key was
	// used meanwhile, is not active, or its holder was told.
	NoteUnusedNotice(ctx context.Context, w id.Workspace, k id.SecurityKey, usedBy, now time.Time) (bool, error)
}

// UnusedRule is a workspace's rule for unused keys.
type UnusedRule struct {
	Workspace   id.Workspace
	Days, Grace int
}

// Told says whether the holder of an unused key was told.
type Told string

// The answers. The zero Told asks not.
const (
	ToldNever  Told = "never"
	ToldBefore Told = "before" // by a moment
)

// UnusedQuery says which unused keys are wanted.
type UnusedQuery struct {
	UsedBy time.Time // not used after it
	Told   Told
	ToldBy time.Time // for ToldBefore
	After  Place
	Limit  int
}

// Place is a key's place among the unused ones.
type Place struct {
	UsedAt time.Time
	ID     id.SecurityKey
}

// Config is what the room is made from.
type Config struct {
	Store   tx.Runner[Tx]
	Clock   clock.Clock
	Secrets SecretsReader
	// LinkKey is the key of the links that activate; whoever sends them has the same.
	LinkKey secret.Bytes
}

// Service is the room's door. Use NewService: New is a status.
type Service struct {
	gate    activity.Gate[Tx]
	secrets SecretsReader
	linkKey secret.Bytes
}

// NewService returns the room.
func NewService(c Config) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}, secrets: c.Secrets, linkKey: c.LinkKey}
}

// The bounds of this room.
const (
	// LinkLifetime is how long an activation link is good.
	LinkLifetime = 72 * time.Hour
	// MaxKeys is how many keys a user may have.
	MaxKeys = 20
	// MaxMany bounds a bulk act.
	MaxMany = 200
)
