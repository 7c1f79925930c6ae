package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/signal"
)

// statements is where SQL runs: a connection of SQLite inside a transaction, or a
// transaction of PostgreSQL.
type statements interface {
	exec(ctx context.Context, query string, args ...any) (sql.Result, error)
	query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Tx is one transaction. It satisfies the storage interfaces of all rooms. It is
// valid until the function that got it returns, and not safe for use by several
// goroutines.
type Tx struct {
	s        statements
	postgres bool
	withdrew bool           // its Write waits until what is withdrawn is over
	signals  []signal.Topic // sent after the commit
}

// Signal satisfies signal.Tx.
func (t *Tx) Signal(topics ...signal.Topic) { t.signals = append(t.signals, topics...) }

// exec runs a statement and returns how many rows it touched.
func (t *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.s.exec(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// must runs a statement that has to touch exactly one row.
func (t *Tx) must(ctx context.Context, query string, args ...any) error {
	n, err := t.exec(ctx, query, args...)
	if err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("a statement touched %d rows instead of one", n)
	}
	return nil
}

// one says whether a statement touched a row.
func (t *Tx) one(ctx context.Context, query string, args ...any) (bool, error) {
	n, err := t.exec(ctx, query, args...)
	return n > 0, err
}

// scanner is the part of sql.Rows that a scan function needs.
type scanner interface{ Scan(dest ...any) error }

// collect runs a query to its end and returns all rows.
func collect[T any](ctx context.Context, t *Tx, scan func(scanner) (T, error), query string, args ...any) (out []T, err error) {
	rows, err := t.s.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// find returns the first row of a query, or false.
func find[T any](ctx context.Context, t *Tx, scan func(scanner) (T, error), query string, args ...any) (T, bool, error) {
	all, err := collect(ctx, t, scan, query, args...)
	if err != nil || len(all) == 0 {
		var zero T
		return zero, false, err
	}
	return all[0], true, nil
}

// value scans a row of one column.
func value[T any](row scanner) (v T, err error) {
	err = row.Scan(&v)
	return v, err
}

// exists says whether a query has a row.
func (t *Tx) exists(ctx context.Context, query string, args ...any) (bool, error) {
	_, found, err := find(ctx, t, value[int64], query, args...)
	return found, err
}

// number returns the one number that a query answers, 0 if it answers nothing.
func (t *Tx) number(ctx context.Context, query string, args ...any) (int64, error) {
	n, _, err := find(ctx, t, value[int64], query, args...)
	return n, err
}

// told marks an error that means that the database is out of reach or cannot write
// with tx.ErrUnavailable. A room's fault stays what it is.
func told(err error) error {
	if _, isFault := fault.As(err); err == nil || isFault || !isOutOfReach(err) {
		return err
	}
	return fmt.Errorf("%w: %w", tx.ErrUnavailable, err)
}

func isOutOfReach(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN:
			return true
		}
		return false
	}
	var postgres *pgconn.PgError
	if errors.As(err, &postgres) {
		// Connection exception, insufficient resources, operator intervention.
		class := postgres.Code[:min(2, len(postgres.Code))]
		return class == "08" || class == "53" || class == "57"
	}
	var network net.Error
	return errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Latch satisfies tx.Latches: the row's lock is held to the end of the
// transaction on PostgreSQL; on SQLite writers are one after the other anyway.
func (t *Tx) Latch(ctx context.Context, name string) error {
	return t.must(ctx, `
		INSERT INTO latch (name, n) VALUES ($1, 1)
		ON CONFLICT (name) DO UPDATE SET n = latch.n + 1`, name)
}
