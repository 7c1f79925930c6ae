package securitykey

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// PINChange is a PIN that is to take the place of a tapped card's, in three steps: what it
// depends on is read, it is checked and sealed outside any transaction, and written.
type PINChange struct {
	d     draft
	fresh newPIN
	// Fault is what the rules say against it; nil for nothing.
	Fault *fault.Error
}

// ReadPINChange returns a change for a card of the user, who may be nobody.
func ReadPINChange(ctx context.Context, t Tx, keys Secrets, w id.Workspace, u id.User) (PINChange, error) {
	c := PINChange{d: draft{workspace: w, secrets: keys}}
	var err error
	if c.d.settings, err = settingsOf(ctx, t, w); err != nil || u == "" {
		return c, err
	}
	c.d.owner, _, err = t.FindKeyOwner(ctx, w, u)
	return c, err
}

// Prepare checks and seals the new PIN.
func (c *PINChange) Prepare(k id.SecurityKey, old, next secret.Bytes) error {
	var err error
	c.fresh, c.Fault, err = c.d.changedPIN(k, old, next)
	return err
}

// Write gives the card the PIN and tells its holder. Whoever calls it has compared the
// present one in the same transaction, and Fault is nil.
func (c PINChange) Write(ctx context.Context, t Tx, by auth.Caller, k id.SecurityKey, now time.Time) error {
	card, _, err := t.LockSecurityKey(ctx, c.d.workspace, k)
	if err != nil {
		return err
	}
	card.PIN = c.fresh.pin(false, now)
	card.Revision++
	if err := t.UpdateSecurityKey(ctx, card); err != nil {
		return err
	}
	if err := t.TouchSecurityKey(ctx, card.Workspace, card.ID, now); err != nil {
		return err
	}
	if err := appendLine(ctx, t, by, "security_key.pin_change", "", card, now); err != nil {
		return err
	}
	return notify(ctx, t, by, c.d.owner, []outbox.Recipient{c.d.owner.To}, outbox.SecurityKeyNotice{Did: outbox.KeyPINChange}, card, now)
}
