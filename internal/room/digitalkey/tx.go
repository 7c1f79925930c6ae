package digitalkey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/ledger/signal"
)

// Tx is the storage that this room needs.
type Tx interface {
	activity.GateTx
	outbox.Tx
	tx.Latches
	signal.Tx
	KeyTx
	TagTx
	DoorTx
	// LockUser makes all transactions that lock the same user run one after the other, from
	// here to their end. It returns false if there is no such user.
	LockUser(ctx context.Context, w id.Workspace, u id.User) (bool, error)
	// FindDigitalKeyUser returns who is to hold a key; false if there is no such user.
	FindDigitalKeyUser(ctx context.Context, w id.Workspace, u id.User) (User, bool, error)
	// MarkUserInvited makes a user pending who was not invited.
	MarkUserInvited(ctx context.Context, w id.Workspace, u id.User) error
	// CountRate counts one more under the name and returns how many there were since the
	// window began, which a count after its end begins anew. ReadRate returns how many there
	// are without counting, 0 after the window's end.
	CountRate(ctx context.Context, name string, now time.Time, window time.Duration) (n int64, since time.Time, err error)
	ReadRate(ctx context.Context, name string, now time.Time, window time.Duration) (n int64, err error)
}

// User is what this room asks of the directory about who is to hold a key.
type User struct {
	User      id.User
	To        outbox.Recipient
	Workspace string // its name
	Suspended bool   // they are, or their workspace is
}

// KeyTx is the storage of the keys.
type KeyTx interface {
	// InsertDigitalKey writes the key, its locks and its search terms, and counts it.
	InsertDigitalKey(ctx context.Context, k DigitalKey) error
	// UpdateDigitalKey writes all that can change of a key, its locks and its search terms.
	// Lock the key first.
	UpdateDigitalKey(ctx context.Context, k DigitalKey) error
	// DeleteDigitalKey removes the key. What doors are told of it is not touched.
	DeleteDigitalKey(ctx context.Context, w id.Workspace, k id.DigitalKey) error
	// LockDigitalKey keeps others from changing the key until the transaction ends, and
	// returns it.
	LockDigitalKey(ctx context.Context, w id.Workspace, k id.DigitalKey) (DigitalKey, bool, error)
	FindDigitalKey(ctx context.Context, w id.Workspace, k id.DigitalKey) (DigitalKey, bool, error)
	ListDigitalKeys(ctx context.Context, w id.Workspace, q Query) (page.Page[DigitalKey], error)
	CountDigitalKeys(ctx context.Context, w id.Workspace, now time.Time) (Counts, error)
	// ListUserDigitalKeys lists the user's keys that are not over at now, and at most
	// `ended` of those that are, the latest end first.
	ListUserDigitalKeys(ctx context.Context, w id.Workspace, u id.User, now time.Time, ended int) ([]DigitalKey, error)
	// ListOpenDigitalKeys lists the ids of the user's keys that are upcoming or active.
	ListOpenDigitalKeys(ctx context.Context, w id.Workspace, u id.User, now time.Time) ([]id.DigitalKey, error)
	// ListAllDigitalKeys lists the ids of all keys of the user.
	ListAllDigitalKeys(ctx context.Context, w id.Workspace, u id.User) ([]id.DigitalKey, error)
	// ListDueDigitalKeys lists keys with weekly hours that are not over at now and which
	// doors know until before `until`, over all workspaces.
	ListDueDigitalKeys(ctx context.Context, now, until time.Time, limit int) ([]DigitalKey, error)
	// CountSurvivors counts the keys of the lock that survive its lease and are not over,
	// but for one.
	CountSurvivors(ctx context.Context, w id.Workspace, l id.Lock, now time.Time, except id.DigitalKey) (int64, error)
}

// TagTx is the storage of whose a PIN or card is.
type TagTx interface {
	// FindTag finds a tag of another key at the lock whose time overlaps; of a card, one of
	// another user.
	FindTag(ctx context.Context, t Tag) (Tag, bool, error)
	// InsertTag writes a tag, in the place of one of the same lock, kind, value and key.
	InsertTag(ctx context.Context, t Tag) error
	// EndTags makes the key's tags at the lock end at the moment, if they end later.
	EndTags(ctx context.Context, w id.Workspace, l id.Lock, k id.DigitalKey, at time.Time) error
	// CountTags counts the PINs of that many digits at the lock in a time.
	CountTags(ctx context.Context, w id.Workspace, l id.Lock, digits int, from, until time.Time) (int64, error)
	// PruneTags removes at most limit tags that ended before the moment.
	PruneTags(ctx context.Context, before time.Time, limit int) (int64, error)
}

// DoorTx is the storage of what doors are told, which package smartlock keeps.
type DoorTx interface {
	FindKeyLock(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (Lock, bool, error)
	// LockKeyLock is FindKeyLock for who is about to write: it keeps others from changing
	// the lock's row until the transaction ends, so that its lease does not grow meanwhile.
	LockKeyLock(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (Lock, bool, error)
	// CountLockGrants counts what the lock's controller should hold at now.
	CountLockGrants(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (int64, error)
	// PutGrant writes what the lock's controller should hold of the key, and raises the
	// lock's version. It keeps until when the lock may open by what it was told before. It locks the lock's row: call it in the order of the locks' ids.
	PutGrant(ctx context.Context, w id.Workspace, l id.Lock, k id.DigitalKey, g grant.Grant, now time.Time) error
	// RemoveGrant marks the key as to be removed from the lock's controller, which is safe
	// at safeAt in any case, and raises the lock's version; where no controller was enrolled
	// it counts as applied. It locks the lock's row: call it in the order of the locks' ids.
	RemoveGrant(ctx context.Context, w id.Workspace, l id.Lock, k id.DigitalKey, now, safeAt time.Time) error
	// ListReceipts lists how far the key's last changes have come, by the locks' names.
	ListReceipts(ctx context.Context, w id.Workspace, k id.DigitalKey, now time.Time) ([]Receipt, error)
}
