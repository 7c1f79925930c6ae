package smartlock

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
	LockTx
	LinkTx
	CommandTx
	EventTx
	// CountRate counts one more under the name and returns how many there were since the
	// window began, which a count after its end begins anew.
	CountRate(ctx context.Context, name string, now time.Time, window time.Duration) (n int64, since time.Time, err error)
	// ListLockWatchers returns who is told of what doors do: owners and administrators
	// with locks.write who are not suspended.
	ListLockWatchers(ctx context.Context, w id.Workspace) ([]outbox.Recipient, error)
	// FindWorkspaceName returns the workspace's name.
	FindWorkspaceName(ctx context.Context, w id.Workspace) (string, error)
	// WorkspaceStands says whether the workspace is there and not suspended.
	WorkspaceStands(ctx context.Context, w id.Workspace) (bool, error)
}

// LockTx is the storage of the locks.
type LockTx interface {
	// InsertLock writes the lock and its search terms, and counts it.
	InsertLock(ctx context.Context, l Lock) error
	// UpdateLock writes the settings of a lock (name, place, time zone, capabilities,
	// seconds, revision), its search terms and its pulse. Lock it first.
	UpdateLock(ctx context.Context, l Lock, now time.Time) error
	// DeleteLock removes a lock on which no digital key is any more, with its grants,
	// commands and tags. Its events stay.
	DeleteLock(ctx context.Context, w id.Workspace, l id.Lock) error
	// LockLock keeps others from changing the lock's row until the transaction ends, and
	// returns it.
	LockLock(ctx context.Context, w id.Workspace, l id.Lock) (Lock, bool, error)
	FindLock(ctx context.Context, w id.Workspace, l id.Lock) (Lock, bool, error)
	// FindLockAnywhere finds over all workspaces, for who shows a token or a certificate.
	FindLockAnywhere(ctx context.Context, l id.Lock) (Lock, bool, error)
	ListLocks(ctx context.Context, w id.Workspace, q Query) (page.Page[Lock], error)
	CountLocks(ctx context.Context, w id.Workspace, now time.Time) (Counts, error)
	// CountOpenKeys counts the digital keys on the lock that are upcoming or active.
	CountOpenKeys(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (int64, error)
	// CountUnsafe counts the lock's removals that are neither confirmed nor safe at now.
	CountUnsafe(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (int64, error)
	// LocksPulse returns a number that is another one whenever a lock of the workspace was
	// made, changed or deleted, and how many are online at now.
	LocksPulse(ctx context.Context, w id.Workspace, now time.Time) (pulse, online int64, err error)
}

// LinkTx is the storage of what a controller should know.
type LinkTx interface {
	// UpdateLockLink writes Controller, Sync and State of a lock. Its pulse becomes now, or
	// grows a little if now is not later; it stays if now is zero. Lock it first.
	UpdateLockLink(ctx context.Context, l Lock, now time.Time) error
	// BumpLock raises the version that the lock's controller should know, and returns it.
	BumpLock(ctx context.Context, w id.Workspace, l id.Lock, now time.Time) (version int64, err error)
	// ListGrants lists what the controller should hold: not removed, not ended before
	// `ended`.
	ListGrants(ctx context.Context, w id.Workspace, l id.Lock, ended time.Time) ([]grant.Grant, error)
	// ListGrantChanges lists what changed after the version: grants that are there, and
	// the ids of those that were removed.
	ListGrantChanges(ctx context.Context, w id.Workspace, l id.Lock, after int64) (put []grant.Grant, removed []grant.ID, err error)
	// ConfirmGrants marks all changes up to the version as applied. The tags of removed
	// grants are reserved until `free` at the latest from then on.
	ConfirmGrants(ctx context.Context, w id.Workspace, l id.Lock, version int64, now, free time.Time) (confirmed int64, err error)
	// UnconfirmGrants marks the lock's grants that are not removed as not applied: another
	// controller is to hold them.
	UnconfirmGrants(ctx context.Context, w id.Workspace, l id.Lock) error
	// ListUnsafe lists removals that are neither confirmed nor safe at now, those that stay
	// longest first.
	ListUnsafe(ctx context.Context, w id.Workspace, now time.Time, limit int) ([]Unsafe, error)
	// ListLeaseEnding lists enrolled locks over all workspaces that are offline at now and
	// whose lease ends in (now, before], by their ids, those after one.
	ListLeaseEnding(ctx context.Context, now, before time.Time, after id.Lock, limit int) ([]Lock, error)
	// PruneGrants removes at most limit grants, removed ones too, that ended before `ended`,
	// over all workspaces, but none that is neither confirmed nor safe at now: by what its
	// controller was told before, the door may still open. PruneCommands removes commands
	// made before.
	PruneGrants(ctx context.Context, ended, now time.Time, limit int) (int64, error)
	PruneCommands(ctx context.Context, before time.Time, limit int) (int64, error)
}

// CommandTx is the storage of commands.
type CommandTx interface {
	InsertLockCommand(ctx context.Context, c Command) error
	FindLockCommand(ctx context.Context, w id.Workspace, c id.LockCommand) (Command, bool, error)
	// ListWaitingCommands lists the lock's commands that are not done and may still be,
	// oldest first.
	ListWaitingCommands(ctx context.Context, w id.Workspace, l id.Lock, now time.Time, limit int) ([]Command, error)
	// FinishLockCommand writes what became of a command; false if that was known before.
	FinishLockCommand(ctx context.Context, c Command) (bool, error)
}

// EventTx is the storage of what doors did.
type EventTx interface {
	// InsertLockEvent writes an event; false if that (lock, era, seq) is there already.
	InsertLockEvent(ctx context.Context, e Event) (bool, error)
	// FindLockEventHash returns the hash of an event that is kept, false if it is not.
	FindLockEventHash(ctx context.Context, w id.Workspace, l id.Lock, era, seq int64) ([]byte, bool, error)
	ListLockEvents(ctx context.Context, w id.Workspace, q EventQuery) (page.Page[Event], error)
	// FindGrantHolder returns whose digital key a grant is, and when it was cancelled (zero
	// if it was not); false if there is no such key any more.
	FindGrantHolder(ctx context.Context, w id.Workspace, k id.DigitalKey) (Holder, bool, error)
}

// Holder is what this room asks about a digital key.
type Holder struct {
	User        id.User
	Name        string
	Description string
	CancelledAt time.Time
}
