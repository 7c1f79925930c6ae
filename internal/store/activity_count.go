package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// CountSealed satisfies activity.ChainTx. Of what is counted, sign-ins at websites are by far
// the most: theirs is one update for all of a credential's in the batch, not one for each.
func (t *Tx) CountSealed(ctx context.Context, w id.Workspace, sealed []activity.Row) error {
	type use struct {
		n    int64
		at   time.Time
		last id.SecurityKey
	}
	credentials, keys, quarters := map[string]use{}, map[id.SecurityKey]int64{}, map[int64]int64{}
	for _, r := range sealed {
		if r.Action != vault.UseAction || r.Outcome != activity.Success {
			continue
		}
		u := credentials[r.Target.ID]
		if u.n++; !r.At.Before(u.at) {
			u.at, u.last = r.At, r.SecurityKey
		}
		credentials[r.Target.ID] = u
		keys[r.SecurityKey]++
		quarters[millis(r.At.Truncate(quarter))]++
	}
	// In the order of the ids, as whoever locks several rows does.
	for _, c := range slices.Sorted(maps.Keys(credentials)) {
		u := credentials[c]
		if _, err := t.exec(ctx, `
			UPDATE vault_credential SET uses = uses + $3, last_key = CASE WHEN last_used_at > $4 THEN last_key ELSE $5 END,
				last_used_at = CASE WHEN last_used_at > $4 THEN last_used_at ELSE $4 END
			WHERE workspace = $1 AND id = $2`, w, c, u.n, millis(u.at), u.last); err != nil {
			return err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if _, err := t.exec(ctx, `UPDATE securitykey SET total = total + $3 WHERE workspace = $1 AND id = $2`, w, k, keys[k]); err != nil {
			return err
		}
	}
	for _, q := range slices.Sorted(maps.Keys(quarters)) {
		if err := t.addTicks(ctx, w, "login.success", q, quarters[q]); err != nil {
			return err
		}
	}
	return nil
}
