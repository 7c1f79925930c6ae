// Package store keeps every room's rows in SQL, on SQLite and on PostgreSQL,
// with one text for both. It decides how transactions run (see tx.Runner) and
// which index answers which question; it refuses to know any rule.
package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/signal"
)

// Store is an open database. It is safe for use by several goroutines.
type Store struct {
	e      engine
	settle func(context.Context) error // nil where nobody keeps answers in memory
	hub    *signal.Hub                 // nil where nobody listens
}

// SettleBy sets what every writing transaction that withdraws something waits for
// after its commit (lease.Holder.Settle). Set it before the store is used.
func (s *Store) SettleBy(settle func(context.Context) error) { s.settle = settle }

// TellSignalsTo sets who hears the signals of writing transactions in this process. Set it
// before the store is used.
func (s *Store) TellSignalsTo(hub *signal.Hub) { s.hub = hub }

// engine runs transactions: sqlite or postgres.
type engine interface {
	write(ctx context.Context, fn tx.Func[*Tx]) error
	read(ctx context.Context, fn func(context.Context, *Tx) error) error
	migrate(ctx context.Context) ([]string, error)
	pending(ctx context.Context) (bool, error)
	ping(ctx context.Context) error
	close() error
	name() string
	signal(ctx context.Context) error
	// notify sends topics to the other servers on the same database, soon.
	notify(topics []signal.Topic)
	listen(ctx context.Context, heard func()) error
	// hear calls told for topics that other servers sent, and missed whenever some may
	// have been lost.
	hear(ctx context.Context, told func(signal.Topic), missed func()) error
}

// ErrClosed is returned for work that reaches the store after Close.
var ErrClosed = errors.New("the store is closed")

// OpenSQLite opens or makes the database file at path.
func OpenSQLite(ctx context.Context, path string) (*Store, error) {
	e, err := openSQLite(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return &Store{e: e}, nil
}

// OpenPostgres connects to the database at url (postgres://…). The url may hold
// a password: errors do not repeat it.
func OpenPostgres(ctx context.Context, url string) (*Store, error) {
	e, err := openPostgres(ctx, url)
	if err != nil {
		return nil, err
	}
	return &Store{e: e}, nil
}

// Migrate brings the schema up to this version and returns the names of the
// steps that it took. Several servers on one PostgreSQL may call it at once: one
// works, the others wait. A file of SQLite has one server.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	steps, err := s.e.migrate(ctx)
	if err != nil || !slices.ContainsFunc(steps, func(step string) bool { return strings.Contains(step, postingStep) }) {
		return steps, err
	}
	return steps, s.postTerms(ctx)
}

// postingStep is the step that makes the postings, which only this code can fill.
const postingStep = "0008_create_posting"

// postTerms writes the postings of all rows that were there before.
func (s *Store) postTerms(ctx context.Context) error {
	for left := true; left; {
		err := s.e.write(ctx, func(ctx context.Context, t *Tx) (*fault.Error, error) {
			n, err := t.postTerms(ctx, postBatch)
			left = n == postBatch
			return nil, err
		})
		if err != nil {
			return fmt.Errorf("making the search's postings: %w", err)
		}
	}
	return nil
}

// postBatch is how many rows one transaction posts.
const postBatch = 500

// Pending says whether Migrate has anything to do.
func (s *Store) Pending(ctx context.Context) (bool, error) { return s.e.pending(ctx) }

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.e.ping(ctx) }

// Shared says whether several servers may use the database at once.
func (s *Store) Shared() bool { return s.e.name() == "postgres" }

// Signal tells all who Listen on the same database that something was withdrawn.
// Where one server alone may use it, it does nothing.
func (s *Store) Signal(ctx context.Context) error { return s.e.signal(ctx) }

// Listen calls heard for each signal, in a goroutine of its own choice, until ctx
// ends or the connection fails: then it returns the error, and signals are lost until
// it is called again.
func (s *Store) Listen(ctx context.Context, heard func()) error { return s.e.listen(ctx, heard) }

// Hear hands the signals of other servers on the same database to the hub until ctx ends
// or the connection fails: then it returns the error, and signals are lost until it is
// called again. Where one server alone may use the database, it waits for ctx.
func (s *Store) Hear(ctx context.Context) error {
	return s.e.hear(ctx, func(t signal.Topic) { s.hub.Publish(t) }, s.hub.PublishAll)
}

// Engine returns the engine's name: "sqlite" or "postgres".
func (s *Store) Engine() string { return s.e.name() }

// Close waits for the transactions under way and closes the database.
func (s *Store) Close() error { return s.e.close() }

// For returns the store as the runner of a room's own storage interface T, which
// *Tx must satisfy: otherwise For panics, at wiring time. (store_test.go holds the
// list, checked by the compiler.)
func For[T any](s *Store) tx.Runner[T] {
	as[T](nil)
	return runner[T]{s: s}
}

type runner[T any] struct{ s *Store }

// as views the transaction as the room's interface.
func as[T any](t *Tx) T {
	view, ok := any(t).(T)
	if !ok {
		panic(fmt.Sprintf("store.Tx does not satisfy %v", reflect.TypeFor[T]()))
	}
	return view
}

func (r runner[T]) Write(ctx context.Context, fn tx.Func[T]) error {
	withdrew := false
	var signals []signal.Topic
	err := r.s.e.write(ctx, func(ctx context.Context, t *Tx) (*fault.Error, error) {
		f, err := fn(ctx, as[T](t))
		withdrew, signals = t.withdrew, t.signals
		return f, err
	})
	if _, committed := fault.As(err); len(signals) > 0 && r.s.hub != nil && (err == nil || committed) {
		r.s.hub.Publish(signals...)
		r.s.e.notify(signals)
	}
	if withdrew && r.s.settle != nil {
		if end := r.s.settle(ctx); end != nil && err == nil {
			err = fmt.Errorf("%w: it is done, but was not waited for: %w", tx.ErrUnavailable, end)
		}
	}
	return told(err)
}

func (r runner[T]) Read(ctx context.Context, fn func(ctx context.Context, t T) error) error {
	return told(r.s.e.read(ctx, func(ctx context.Context, t *Tx) error { return fn(ctx, as[T](t)) }))
}

// outcome turns what a transaction's function returned into what Write returns:
// a nil *fault.Error must not become a non-nil error.
func outcome(f *fault.Error) error {
	if f == nil {
		return nil
	}
	return f
}

// millis is a time as the store keeps it: UTC Unix milliseconds, 0 for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// moment is the inverse of millis.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
