package store

import (
	"context"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

const lockEventColumns = `e.id, e.workspace, e.lock_id, e.lock_name, e.era, e.seq, e.until_seq, e.at, e.received_at, e.boot, e.clock, e.grant_id, e.user_id, e.user_name,
	e.command_id, e.medium, e.outcome, e.reason, e.epoch, e.version, e.count, e.offline, e.after_cancel, e.hash`

func scanLockEvent(row scanner) (e smartlock.Event, err error) {
	var at, received int64
	err = row.Scan(&e.ID, &e.Workspace, &e.Lock, &e.LockName, &e.Era, &e.Seq, &e.UntilSeq, &at, &received, &e.Boot, &e.Clock, &e.DigitalKey, &e.User, &e.UserName,
		&e.Command, &e.Medium, &e.Outcome, &e.Reason, &e.Epoch, &e.Version, &e.Count, &e.Offline, &e.AfterCancel, &e.Hash)
	e.At, e.ReceivedAt = moment(at), moment(received)
	if len(e.Hash) == 0 {
		e.Hash = nil
	}
	return e, err
}

// InsertLockEvent satisfies smartlock.EventTx.
func (t *Tx) InsertLockEvent(ctx context.Context, e smartlock.Event) (bool, error) {
	return t.one(ctx, `
		INSERT INTO smartlock_event (id, workspace, lock_id, lock_name, era, seq, until_seq, at, received_at, boot, clock, grant_id, user_id, user_name,
			command_id, medium, outcome, reason, epoch, version, count, offline, after_cancel, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
		ON CONFLICT (lock_id, era, seq) DO NOTHING`,
		e.ID, e.Workspace, e.Lock, e.LockName, e.Era, e.Seq, e.UntilSeq, millis(e.At), millis(e.ReceivedAt), e.Boot, string(e.Clock), e.DigitalKey, e.User, e.UserName,
		e.Command, string(e.Medium), string(e.Outcome), e.Reason, e.Epoch, e.Version, e.Count, e.Offline, e.AfterCancel, bytes(e.Hash))
}

// FindLockEventHash satisfies smartlock.EventTx.
func (t *Tx) FindLockEventHash(ctx context.Context, w id.Workspace, l id.Lock, era, seq int64) ([]byte, bool, error) {
	return find(ctx, t, value[[]byte], `SELECT hash FROM smartlock_event WHERE lock_id = $2 AND era = $3 AND seq = $4 AND workspace = $1`, w, l, era, seq)
}

// ListLockEvents satisfies smartlock.EventTx.
func (t *Tx) ListLockEvents(ctx context.Context, w id.Workspace, q smartlock.EventQuery) (page.Page[smartlock.Event], error) {
	l := &listQuery{from: "smartlock_event e"}
	l.filter("e.workspace = ?", w)
	if q.Lock != "" {
		l.filter("e.lock_id = ?", q.Lock)
	}
	if q.User != "" {
		l.where = append(l.where, "e.user_id <> ''") // the index holds these only
		l.filter("e.user_id = ?", q.User)
	}
	if q.DigitalKey != "" {
		l.where = append(l.where, "e.grant_id <> ''")
		l.filter("e.grant_id = ?", q.DigitalKey)
	}
	if q.Outcome != "" {
		l.filter("e.outcome = ?", string(q.Outcome))
	}
	if q.Medium != "" {
		l.filter("e.medium = ?", string(q.Medium))
	}
	if q.Alarming {
		l.where = append(l.where, "(e.after_cancel = TRUE OR e.reason IN ('keypad_paused', 'record_lost', 'chain_broken', 'gap'))")
	}
	if !q.From.IsZero() {
		l.filter("e.at >= ?", millis(q.From))
	}
	if !q.To.IsZero() {
		l.filter("e.at < ?", millis(q.To))
	}
	return list(ctx, t, l, lockEventColumns, ordering{column: "e.at", number: true}, "e.id", q.Page, scanLockEvent, func(e smartlock.Event) page.Position {
		return page.Position{Value: number(e.At), ID: string(e.ID)}
	})
}

// FindGrantHolder satisfies smartlock.EventTx.
func (t *Tx) FindGrantHolder(ctx context.Context, w id.Workspace, k id.DigitalKey) (smartlock.Holder, bool, error) {
	return find(ctx, t, func(row scanner) (h smartlock.Holder, err error) {
		var first, last, email string
		var cancelled int64
		err = row.Scan(&h.User, &first, &last, &email, &h.Description, &cancelled)
		h.Name, h.CancelledAt = personName(first, last, email), moment(cancelled)
		return h, err
	}, `
		SELECT u.id, u.first_name, u.last_name, u.email, k.description, k.cancelled_at
		FROM digitalkey k JOIN directory_user u ON u.workspace = k.workspace AND u.id = k.user_id WHERE k.workspace = $1 AND k.id = $2`, w, k)
}
