package store

import (
	"context"

	"github.com/keyhold/keyhold/internal/ledger/lease"
)

// Withdraw satisfies lease.Tx. The head's row is held to the end of the transaction:
// so numbers are in the order of the commits.
func (t *Tx) Withdraw(ctx context.Context, subjects ...string) error {
	t.withdrew = true
	if len(subjects) == 0 {
		return nil
	}
	if err := t.must(ctx, `UPDATE revocation_head SET n = n + $1 WHERE name = 'all'`, len(subjects)); err != nil {
		return err
	}
	head, err := t.LastWithdrawal(ctx)
	if err != nil {
		return err
	}
	for i, s := range subjects {
		if err := t.must(ctx, `INSERT INTO revocation (n, subject) VALUES ($1, $2)`, head-int64(len(subjects))+1+int64(i), s); err != nil {
			return err
		}
	}
	_, err = t.exec(ctx, `DELETE FROM revocation WHERE n <= $1`, head-lease.Keep)
	return err
}

// AwaitWithdrawals satisfies lease.Tx.
func (t *Tx) AwaitWithdrawals() { t.withdrew = true }

// LastWithdrawal satisfies lease.ReplicaTx.
func (t *Tx) LastWithdrawal(ctx context.Context) (int64, error) {
	return t.number(ctx, `SELECT n FROM revocation_head WHERE name = 'all'`)
}

// ListWithdrawals satisfies lease.ReplicaTx.
func (t *Tx) ListWithdrawals(ctx context.Context, after int64, limit int) ([]lease.Withdrawal, error) {
	return collect(ctx, t, func(row scanner) (w lease.Withdrawal, err error) {
		err = row.Scan(&w.N, &w.Subject)
		return w, err
	}, `SELECT n, subject FROM revocation WHERE n > $1 ORDER BY n LIMIT $2`, after, limit)
}

// InsertReplica satisfies lease.ReplicaTx.
func (t *Tx) InsertReplica(ctx context.Context, r lease.Replica) error {
	return t.must(ctx, `
		INSERT INTO replica (id, beat, seen) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET beat = replica.beat + 1, seen = excluded.seen`, r.ID, r.Beat, r.Seen)
}

// BeatReplica satisfies lease.ReplicaTx.
func (t *Tx) BeatReplica(ctx context.Context, replica string, seen int64) (bool, error) {
	return t.one(ctx, `UPDATE replica SET beat = beat + 1, seen = $2 WHERE id = $1`, replica, seen)
}

// ListReplicas satisfies lease.ReplicaTx.
func (t *Tx) ListReplicas(ctx context.Context) ([]lease.Replica, error) {
	return collect(ctx, t, func(row scanner) (r lease.Replica, err error) {
		err = row.Scan(&r.ID, &r.Beat, &r.Seen)
		return r, err
	}, `SELECT id, beat, seen FROM replica ORDER BY id LIMIT 1000`)
}

// DeleteReplica satisfies lease.ReplicaTx.
func (t *Tx) DeleteReplica(ctx context.Context, replica string, beat int64) (bool, error) {
	return t.one(ctx, `DELETE FROM replica WHERE id = $1 AND beat = $2`, replica, beat)
}
