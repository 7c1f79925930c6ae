package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// weeklyText is weekly hours as their column holds them.
func weeklyText(all []digitalkey.Hours) (string, error) {
	if len(all) == 0 {
		return "", nil
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// typeText is types as their column holds them, with a space between.
func typeText(all []digitalkey.Type) string {
	words := make([]string, len(all))
	for i, t := range all {
		words[i] = string(t)
	}
	return strings.Join(words, " ")
}

// typesOf is the inverse of typeText.
func typesOf(text string) []digitalkey.Type {
	var out []digitalkey.Type
	for word := range strings.FieldsSeq(text) {
		out = append(out, digitalkey.Type(word))
	}
	return out
}

// InsertDigitalKey satisfies digitalkey.KeyTx.
func (t *Tx) InsertDigitalKey(ctx context.Context, k digitalkey.DigitalKey) error {
	weekly, err := weeklyText(k.Weekly)
	if err != nil {
		return err
	}
	if err := t.must(ctx, `
		INSERT INTO digitalkey (id, workspace, user_id, description, starts_at, expires_at, timezone, weekly, role, types, survives, notify_email, notify_pin,
			pin_sealed, pin_length, card_sealed, card_type, expanded_until, created_at, created_by, cancelled_at, cancelled_by, cancel_reason, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`,
		k.ID, k.Workspace, k.User, k.Description, millis(k.StartsAt), millis(k.ExpiresAt), k.Timezone, weekly, string(k.Role), typeText(k.Types), k.SurvivesLease,
		k.Notify.Email, k.Notify.ShowPIN, bytes(k.PINSealed), k.PINLength, bytes(k.CardSealed), k.CardType, millis(k.ExpandedUntil), millis(k.CreatedAt), k.CreatedBy,
		millis(k.CancelledAt), k.CancelledBy, string(k.CancelReason), k.Revision); err != nil {
		return err
	}
	if err := t.insertKeyLocks(ctx, k); err != nil {
		return err
	}
	if err := t.addTally(ctx, k.Workspace, "digital_keys", 1); err != nil {
		return err
	}
	if !k.CancelledAt.IsZero() {
		if err := t.addTally(ctx, k.Workspace, "digital_keys/cancelled", 1); err != nil {
			return err
		}
	}
	if err := t.addTick(ctx, k.Workspace, "digital_key.create", k.CreatedAt); err != nil {
		return err
	}
	return t.retermDigitalKey(ctx, k.Workspace, k.ID)
}

func (t *Tx) insertKeyLocks(ctx context.Context, k digitalkey.DigitalKey) error {
	for _, l := range k.Locks {
		if err := t.must(ctx, `INSERT INTO digitalkey_lock (key_id, lock_id, workspace) VALUES ($1, $2, $3)`, k.ID, l.ID, k.Workspace); err != nil {
			return err
		}
	}
	return nil
}

// UpdateDigitalKey satisfies digitalkey.KeyTx.
func (t *Tx) UpdateDigitalKey(ctx context.Context, k digitalkey.DigitalKey) error {
	was, _, err := find(ctx, t, value[int64], `SELECT cancelled_at FROM digitalkey WHERE workspace = $1 AND id = $2`, k.Workspace, k.ID)
	if err != nil {
		return err
	}
	weekly, err := weeklyText(k.Weekly)
	if err != nil {
		return err
	}
	if err := t.must(ctx, `
		UPDATE digitalkey SET description = $3, starts_at = $4, expires_at = $5, timezone = $6, weekly = $7, role = $8, types = $9, survives = $10,
			notify_email = $11, notify_pin = $12, pin_sealed = $13, pin_length = $14, card_sealed = $15, card_type = $16, expanded_until = $17,
			cancelled_at = $18, cancelled_by = $19, cancel_reason = $20, revision = $21
		WHERE workspace = $1 AND id = $2`,
		k.Workspace, k.ID, k.Description, millis(k.StartsAt), millis(k.ExpiresAt), k.Timezone, weekly, string(k.Role), typeText(k.Types), k.SurvivesLease,
		k.Notify.Email, k.Notify.ShowPIN, bytes(k.PINSealed), k.PINLength, bytes(k.CardSealed), k.CardType, millis(k.ExpandedUntil),
		millis(k.CancelledAt), k.CancelledBy, string(k.CancelReason), k.Revision); err != nil {
		return err
	}
	have, err := collect(ctx, t, value[id.Lock], `SELECT lock_id FROM digitalkey_lock WHERE workspace = $1 AND key_id = $2 ORDER BY lock_id`, k.Workspace, k.ID)
	if err != nil {
		return err
	}
	var want []id.Lock
	for _, l := range k.Locks {
		want = append(want, l.ID)
	}
	if slices.Sort(want); !slices.Equal(have, want) {
		if _, err := t.exec(ctx, `DELETE FROM digitalkey_lock WHERE workspace = $1 AND key_id = $2`, k.Workspace, k.ID); err != nil {
			return err
		}
		if err := t.insertKeyLocks(ctx, k); err != nil {
			return err
		}
	}
	if was == 0 && !k.CancelledAt.IsZero() {
		if err := t.addTally(ctx, k.Workspace, "digital_keys/cancelled", 1); err != nil {
			return err
		}
		if err := t.addTick(ctx, k.Workspace, "digital_key.cancel", k.CancelledAt); err != nil {
			return err
		}
	}
	return t.retermDigitalKey(ctx, k.Workspace, k.ID)
}

// DeleteDigitalKey satisfies digitalkey.KeyTx.
func (t *Tx) DeleteDigitalKey(ctx context.Context, w id.Workspace, k id.DigitalKey) error {
	cancelled, _, err := find(ctx, t, value[int64], `SELECT cancelled_at FROM digitalkey WHERE workspace = $1 AND id = $2`, w, k)
	if err != nil {
		return err
	}
	if err := t.removeTerms(ctx, w, "digital_key", string(k)); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM digitalkey_lock WHERE workspace = $1 AND key_id = $2`, w, k); err != nil {
		return err
	}
	if err := t.must(ctx, `DELETE FROM digitalkey WHERE workspace = $1 AND id = $2`, w, k); err != nil {
		return err
	}
	if cancelled != 0 {
		if err := t.addTally(ctx, w, "digital_keys/cancelled", -1); err != nil {
			return err
		}
	}
	return t.addTally(ctx, w, "digital_keys", -1)
}

// retermDigitalKey brings the words under which a key is found to what is written of it and
// of its holder.
func (t *Tx) retermDigitalKey(ctx context.Context, w id.Workspace, k id.DigitalKey) error {
	type row struct{ description, first, last, email string }
	r, found, err := find(ctx, t, func(row_ scanner) (r row, err error) {
		err = row_.Scan(&r.description, &r.first, &r.last, &r.email)
		return r, err
	}, `
		SELECT k.description, u.first_name, u.last_name, u.email
		FROM digitalkey k JOIN directory_user u ON u.workspace = k.workspace AND u.id = k.user_id WHERE k.workspace = $1 AND k.id = $2`, w, k)
	if err != nil || !found {
		return err
	}
	// Words of a key are cut as those of a user and of a group are.
	terms := directory.Terms(directory.User{FirstName: r.first, LastName: r.last, Email: r.email})
	terms = append(terms, directory.GroupTerms(directory.Group{Name: r.description})...)
	slices.Sort(terms)
	return t.replaceTerms(ctx, w, "digital_key", string(k), slices.Compact(terms))
}

// retermDigitalKeysOf does that for all keys of a user.
func (t *Tx) retermDigitalKeysOf(ctx context.Context, w id.Workspace, u id.User) error {
	keys, err := collect(ctx, t, value[id.DigitalKey], `SELECT id FROM digitalkey WHERE workspace = $1 AND user_id = $2 ORDER BY id`, w, u)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := t.retermDigitalKey(ctx, w, k); err != nil {
			return err
		}
	}
	return nil
}

// LockDigitalKey satisfies digitalkey.KeyTx.
func (t *Tx) LockDigitalKey(ctx context.Context, w id.Workspace, k id.DigitalKey) (digitalkey.DigitalKey, bool, error) {
	there, err := t.one(ctx, `UPDATE digitalkey SET revision = revision WHERE workspace = $1 AND id = $2`, w, k)
	if err != nil || !there {
		return digitalkey.DigitalKey{}, false, err
	}
	return t.FindDigitalKey(ctx, w, k)
}

// FindDigitalKeyUser satisfies digitalkey.Tx.
func (t *Tx) FindDigitalKeyUser(ctx context.Context, w id.Workspace, u id.User) (digitalkey.User, bool, error) {
	o, found, err := t.FindKeyOwner(ctx, w, u)
	if err != nil || !found {
		return digitalkey.User{}, false, err
	}
	return digitalkey.User{User: o.User, To: o.To, Workspace: o.Workspace, Suspended: o.Suspended}, true, nil
}

// keyIDs are ids as arguments of a query.
func keyIDs(keys []digitalkey.DigitalKey) []any {
	out := make([]any, len(keys))
	for i, k := range keys {
		out[i] = k.ID
	}
	return out
}

// withLocks reads the locks of keys, and on how many of them the last change is in force.
func (t *Tx) withLocks(ctx context.Context, w id.Workspace, keys []digitalkey.DigitalKey) error {
	const batch = 200
	at := map[id.DigitalKey]*digitalkey.DigitalKey{}
	for i := range keys {
		at[keys[i].ID] = &keys[i]
	}
	for some := range slices.Chunk(keys, batch) {
		type row struct {
			key     id.DigitalKey
			lock    digitalkey.LockName
			waiting bool
		}
		rows, err := collect(ctx, t, func(s scanner) (r row, err error) {
			err = s.Scan(&r.key, &r.lock.ID, &r.lock.Name, &r.lock.Timezone, &r.waiting)
			return r, err
		}, selectKeyLocks(len(some)), append([]any{w}, keyIDs(some)...)...)
		if err != nil {
			return err
		}
		for _, r := range rows {
			k, known := at[r.key]
			if !known {
				return fmt.Errorf("a lock of %s, which was not asked for", r.key)
			}
			k.Locks = append(k.Locks, r.lock)
			k.Receipts.Locks++
			if !r.waiting {
				k.Receipts.Applied++
			}
		}
	}
	return nil
}
