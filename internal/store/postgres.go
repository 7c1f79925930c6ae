package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/store/migrations"
)

const (
	postgresConnections = 16
	// postgresPatience bounds a writing transaction that no caller waits for any
	// more, and one whose server does not answer.
	postgresPatience = 30 * time.Second
	// serializationTries is how often a transaction is run that the engine ends
	// for the sake of others (40001, 40P01).
	serializationTries = 10
)

type postgresEngine struct {
	db     *sql.DB
	config *pgx.ConnConfig
	// slots holds one token for each transaction under way: as many as there are
	// connections, so that the queue is here and a caller who leaves it is let go.
	slots  chan struct{}
	ending sync.Once
	ended  chan struct{} // closed when the store begins to close
	// signals are topics that wait to be sent; sending is whoever sends them.
	signals chan signal.Topic
	sending sync.WaitGroup
}

func openPostgres(ctx context.Context, url string) (*postgresEngine, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// pgx repeats the URL in its error, password and all.
		return nil, errors.New("the database URL is not one: it looks like postgres://user:password@host:5432/name?sslmode=…")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "keyhold"
	}
	// Each statement is planned with its values: a plan that is kept for all values
	// walks 100,000 users for the one who has a rare status. An URL that names a mode
	// of its own (default_query_exec_mode) keeps it.
	if config.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	// A server that is frozen in the middle of a transaction holds others up no longer
	// than that. It is no parameter of the connection: some poolers refuse those.
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "SET idle_in_transaction_session_timeout = 10000")
		return err
	}))
	db.SetMaxOpenConns(postgresConnections)
	db.SetMaxIdleConns(postgresConnections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to PostgreSQL at %s: %w", config.Host, err), db.Close())
	}
	e := &postgresEngine{
		db: db, config: config, slots: make(chan struct{}, postgresConnections), ended: make(chan struct{}), signals: make(chan signal.Topic, signalQueue),
	}
	e.sending.Go(e.sendSignals)
	return e, nil
}

// enter waits for the right to run one transaction; who got it calls leave.
func (e *postgresEngine) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.ended:
		return ErrClosed
	}
	select {
	case <-e.ended:
		e.leave()
		return ErrClosed
	default:
		return nil
	}
}

func (e *postgresEngine) leave() { <-e.slots }

// sqlTx runs statements in a transaction of database/sql.
type sqlTx struct{ tx *sql.Tx }

func (t sqlTx) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(ctx, query, args...)
}

func (t sqlTx) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, query, args...)
}

func (e *postgresEngine) write(ctx context.Context, fn tx.Func[*Tx]) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.leave()
	// Once begun, the outcome is waited for: a caller who leaves does not undo.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresPatience)
	defer cancel()
	for try := 1; ; try++ {
		f, err := e.attempt(ctx, fn)
		if err == nil {
			return outcome(f)
		}
		if try == serializationTries || !mayRetry(err) {
			return err
		}
		if err := pause(ctx, time.Duration(1+rand.IntN(4<<min(try, 6)))*time.Millisecond); err != nil { //nolint:gosec // jitter is no secret
			return err
		}
	}
}

func (e *postgresEngine) attempt(ctx context.Context, fn tx.Func[*Tx]) (f *fault.Error, err error) {
	t, err := e.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	committed := false
	defer func() {
		if !committed {
			_ = t.Rollback() // after a failed commit there is nothing to roll back
		}
	}()
	f, err = fn(ctx, &Tx{s: sqlTx{t}, postgres: true})
	if err != nil {
		return nil, err
	}
	if err := t.Commit(); err != nil {
		return nil, fmt.Errorf("committing: %w", err)
	}
	committed = true
	return f, nil
}

// mayRetry says whether the engine ended the transaction for the sake of others:
// serialization failure, deadlock.
func mayRetry(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *postgresEngine) read(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.leave()
	t, err := e.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("beginning a snapshot: %w", err)
	}
	defer func() { _ = t.Rollback() }() // nothing was written
	return fn(ctx, &Tx{s: sqlTx{t}, postgres: true})
}

func (e *postgresEngine) migrate(ctx context.Context) ([]string, error) {
	return migrateUp(ctx, postgresDialect, e.db, migrations.Postgres)
}

func (e *postgresEngine) pending(ctx context.Context) (bool, error) {
	return hasPending(ctx, postgresDialect, e.db, migrations.Postgres)
}

func (e *postgresEngine) ping(ctx context.Context) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.leave()
	return e.db.PingContext(ctx)
}

// channel is the name under which signals are sent.
const channel = "keyhold_withdrawn"

func (e *postgresEngine) signal(ctx context.Context) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.leave()
	_, err := e.db.ExecContext(ctx, "SELECT pg_notify($1, '')", channel)
	return err
}

func (e *postgresEngine) listen(ctx context.Context, heard func()) error {
	return e.await(ctx, channel, heard, func(string) { heard() })
}

func (e *postgresEngine) name() string { return "postgres" }

func (e *postgresEngine) close() error {
	var err error
	e.ending.Do(func() {
		close(e.ended)
		e.sending.Wait()
		for range cap(e.slots) {
			e.slots <- struct{}{} // whoever was under way leaves first
		}
		err = e.db.Close()
	})
	return err
}
