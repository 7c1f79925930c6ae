package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/store/migrations"
)

const (
	readers = 4
	// batchMax bounds how many functions share one commit.
	batchMax = 256
)

// sqliteEngine has one writing connection, owned by one goroutine that commits in
// groups, and a few reading ones.
type sqliteEngine struct {
	path    string
	writer  *sql.DB
	writing *connection // the writer's only one, used by the writing goroutine
	reader  *sql.DB
	queue   chan *job
	done    chan struct{} // closed when the writing goroutine has ended
	idle    chan *connection
	mu      sync.RWMutex
	closed  bool // guarded by mu
	commits atomic.Int64
}

func openSQLite(ctx context.Context, path string) (_ *sqliteEngine, err error) {
	e := &sqliteEngine{path: path, queue: make(chan *job, 4*batchMax), done: make(chan struct{}), idle: make(chan *connection, readers)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.closePools())
		}
	}()
	e.writer, err = sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(10000)", "cache_size(-65536)", "temp_store(MEMORY)"))
	if err != nil {
		return nil, err
	}
	e.writer.SetMaxOpenConns(1)
	if e.writing, err = connect(ctx, e.writer); err != nil {
		return nil, err
	}
	e.reader, err = sql.Open("sqlite", dsn(path, "query_only(1)", "busy_timeout(10000)", "cache_size(-8192)", "temp_store(MEMORY)"))
	if err != nil {
		return nil, err
	}
	e.reader.SetMaxOpenConns(readers)
	for range readers {
		c, err := connect(ctx, e.reader)
		if err != nil {
			return nil, err
		}
		e.idle <- c
	}
	go e.work(e.writing)
	return e, nil
}

func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// connection is one connection with its prepared statements.
type connection struct {
	c        *sql.Conn
	prepared map[string]*sql.Stmt
}

func connect(ctx context.Context, db *sql.DB) (*connection, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{c: c, prepared: map[string]*sql.Stmt{}}, nil
}

// maxPrepared bounds the statements kept: list filters make several texts.
const maxPrepared = 256

func (c *connection) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	s, err := c.c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if len(c.prepared) >= maxPrepared {
		for text, old := range c.prepared {
			_ = old.Close() // a cached statement holds nothing that could be lost
			delete(c.prepared, text)
			break
		}
	}
	c.prepared[query] = s
	return s, nil
}

func (c *connection) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.prepare(ctx, query) //nolint:sqlclosecheck // the connection keeps it and closes it
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (c *connection) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.prepare(ctx, query) //nolint:sqlclosecheck // the connection keeps it and closes it
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (c *connection) close() error {
	var errs []error
	for _, s := range c.prepared {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.c.Close())...)
}

// control runs BEGIN, SAVEPOINT and their like, on no caller's context.
func (c *connection) control(query string) error {
	_, err := c.exec(context.Background(), query)
	return err
}

// uninterrupted keeps a caller's context from interrupting a statement: SQLite
// would end the whole shared transaction.
type uninterrupted struct{ c *connection }

func (u uninterrupted) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return u.c.exec(context.WithoutCancel(ctx), query, args...)
}

func (u uninterrupted) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return u.c.query(context.WithoutCancel(ctx), query, args...)
}

// The states of a job: whoever moves it out of waiting owns it.
const (
	waiting int32 = iota
	running
	abandoned
)

// job is one function in the writer's queue. Its results are the writer's until
// ended is closed, the caller's after.
type job struct {
	ctx   context.Context
	fn    tx.Func[*Tx]
	state atomic.Int32
	ended chan struct{}

	fault    *fault.Error
	err      error
	panicked any
}

func (e *sqliteEngine) write(ctx context.Context, fn tx.Func[*Tx]) error {
	j := &job{ctx: ctx, fn: fn, ended: make(chan struct{})}
	if err := e.enqueue(ctx, j); err != nil {
		return err
	}
	select {
	case <-j.ended:
	case <-ctx.Done():
		if j.state.CompareAndSwap(waiting, abandoned) {
			return ctx.Err()
		}
		<-j.ended
	}
	if j.panicked != nil {
		panic(j.panicked)
	}
	if j.err != nil {
		return j.err
	}
	return outcome(j.fault)
}

func (e *sqliteEngine) enqueue(ctx context.Context, j *job) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return ErrClosed
	}
	select {
	case e.queue <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work is the writing goroutine: it drains the queue into shared transactions
// until the queue is closed. Before it does, it lets whatever runs go on for a turn: where
// many ask at once, twice as many share a commit.
func (e *sqliteEngine) work(c *connection) {
	defer close(e.done)
	for first := range e.queue {
		batch := claim(nil, first)
		runtime.Gosched()
	drain:
		for len(batch) < batchMax {
			select {
			case next, open := <-e.queue:
				if !open {
					break drain
				}
				batch = claim(batch, next)
			default:
				break drain
			}
		}
		if len(batch) > 0 {
			e.commitGroup(c, batch)
		}
	}
}

// claim adds the job to the batch unless its caller has left.
func claim(batch []*job, j *job) []*job {
	if j.state.CompareAndSwap(waiting, running) {
		return append(batch, j)
	}
	return batch
}

// commitGroup runs the jobs in one transaction and acknowledges them after its
// commit. If the whole transaction fails, nobody is acknowledged and each job is
// tried once more alone.
func (e *sqliteEngine) commitGroup(c *connection, batch []*job) {
	if e.attempt(c, batch) != nil {
		for _, j := range batch {
			if err := e.attempt(c, []*job{j}); err != nil {
				j.fault, j.panicked, j.err = nil, nil, err
			}
		}
	}
	for _, j := range batch {
		close(j.ended)
	}
}

// attempt runs the jobs in one transaction, each inside a savepoint. It returns
// an error, and leaves nothing behind, if the transaction as a whole failed.
func (e *sqliteEngine) attempt(c *connection, jobs []*job) error {
	if err := c.control("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	for _, j := range jobs {
		if err := runJob(c, j); err != nil {
			_ = c.control("ROLLBACK") // SQLite may have ended it already
			return err
		}
	}
	if err := c.control("COMMIT"); err != nil {
		_ = c.control("ROLLBACK") // as above
		return fmt.Errorf("committing: %w", err)
	}
	e.commits.Add(1)
	return nil
}

// runJob runs one job inside a savepoint. It returns an error only if the whole
// transaction is lost; the job's own error stays with the job.
func runJob(c *connection, j *job) error {
	if err := c.control("SAVEPOINT act"); err != nil {
		return fmt.Errorf("setting a savepoint: %w", err)
	}
	j.fault, j.err, j.panicked = nil, nil, nil
	func() {
		defer func() {
			if p := recover(); p != nil {
				j.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		j.fault, j.err = j.fn(context.WithoutCancel(j.ctx), &Tx{s: uninterrupted{c}})
	}()
	if j.err != nil || j.panicked != nil {
		if err := c.control("ROLLBACK TO act"); err != nil {
			// No such savepoint: SQLite itself ended the transaction (FULL, IOERR, NOMEM, INTERRUPT).
			return fmt.Errorf("the transaction was ended: %w", errors.Join(err, j.err))
		}
	}
	if err := c.control("RELEASE act"); err != nil {
		return fmt.Errorf("releasing a savepoint: %w", errors.Join(err, j.err))
	}
	return nil
}

func (e *sqliteEngine) read(ctx context.Context, fn func(context.Context, *Tx) error) (err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return ErrClosed
	}
	var c *connection
	select {
	case c = <-e.idle:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { e.idle <- c }()
	if err := c.control("BEGIN"); err != nil {
		return fmt.Errorf("beginning a snapshot: %w", err)
	}
	defer func() {
		if end := c.control("ROLLBACK"); end != nil && err == nil {
			err = fmt.Errorf("ending a snapshot: %w", end)
		}
	}()
	return fn(ctx, &Tx{s: c})
}

func (e *sqliteEngine) migrate(ctx context.Context) ([]string, error) {
	db, err := e.migrationPool()
	if err != nil {
		return nil, err
	}
	names, err := migrateUp(ctx, sqliteDialect, db, migrations.SQLite)
	return names, errors.Join(err, db.Close())
}

func (e *sqliteEngine) pending(ctx context.Context) (bool, error) {
	db, err := e.migrationPool()
	if err != nil {
		return false, err
	}
	has, err := hasPending(ctx, sqliteDialect, db, migrations.SQLite)
	return has, errors.Join(err, db.Close())
}

// migrationPool returns a pool of its own: the writer's one connection is never
// handed out.
func (e *sqliteEngine) migrationPool() (*sql.DB, error) {
	return sql.Open("sqlite", dsn(e.path, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(10000)"))
}

func (e *sqliteEngine) ping(ctx context.Context) error {
	return e.read(ctx, func(ctx context.Context, t *Tx) error {
		_, err := t.number(ctx, `SELECT 1`)
		return err
	})
}

func (*sqliteEngine) signal(context.Context) error { return nil }

func (*sqliteEngine) notify([]signal.Topic) {}

func (*sqliteEngine) hear(ctx context.Context, _ func(signal.Topic), _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (*sqliteEngine) listen(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (e *sqliteEngine) name() string { return "sqlite" }

func (e *sqliteEngine) close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	close(e.queue)
	e.mu.Unlock()
	<-e.done
	return e.closePools()
}

func (e *sqliteEngine) closePools() error {
	var errs []error
	for len(e.idle) > 0 {
		errs = append(errs, (<-e.idle).close())
	}
	if e.writing != nil {
		errs = append(errs, e.writing.close()) // last: it is the one that may clear the WAL away
	}
	for _, db := range []*sql.DB{e.reader, e.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
