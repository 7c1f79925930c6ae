package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
)

func concurrencyCases() []testCase {
	return []testCase{
		{name: "neighbours in a group do not share their fate", run: neighbours},
		{name: "a failed commit of a group is every function's second try", run: failedGroup},
		{name: "who leaves the queue is not run", run: leavesQueue},
		{name: "a thousand writers", run: thousandWriters},
		{name: "crossing latches both succeed", run: crossingLatches},
	}
}

// hold keeps all writers busy until release is called, so that what is written
// meanwhile queues up and, where the engine commits in groups, makes one group.
func hold(t *testing.T, d Database) (release func()) {
	t.Helper()
	held, gate := make(chan struct{}), make(chan struct{})
	var ended sync.WaitGroup
	for range d.Writers {
		ended.Go(func() {
			err := write(t.Context(), d.Store, func(context.Context, *store.Tx) error {
				held <- struct{}{}
				<-gate
				return nil
			})
			if err != nil {
				t.Errorf("Write() = %v for a function that only waits, want nil", err)
			}
		})
	}
	for range d.Writers {
		<-held
	}
	return sync.OnceFunc(func() {
		close(gate)
		ended.Wait()
	})
}

// awaitQueued waits until n writers queue up, where that can be seen: where the
// engine does not commit in groups, it does not matter.
func awaitQueued(d Database, n int) {
	for d.Queued != nil && d.Queued() < n {
		runtime.Gosched()
	}
}

func neighbours(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	const each = 8
	kinds := []string{"kept", "fault", "error", "panic"}
	users := map[string][]directory.User{}
	release := hold(t, d)
	var all sync.WaitGroup
	for i := range each {
		for _, kind := range kinds {
			u := NewUser(w, fmt.Sprintf("%s%d", kind, i))
			users[kind] = append(users[kind], u)
			all.Go(func() { neighbour(t, d, kind, u) })
		}
	}
	awaitQueued(d, each*len(kinds))
	release()
	all.Wait()
	for kind, some := range users {
		for _, u := range some {
			if want, got := kind == "kept" || kind == "fault", userThere(t, d, u); got != want {
				t.Errorf("%s: there %v, want %v", u.UserID, got, want)
			}
		}
	}
}

func neighbour(t *testing.T, d Database, kind string, u directory.User) {
	answer, cause := fault.Conflict("no", "No."), errors.New("the roof fell in")
	defer func() {
		if p := recover(); (p != nil) != (kind == "panic") {
			t.Errorf("%s panicked with %v", u.UserID, p)
		}
	}()
	err := runner(d.Store).Write(t.Context(), func(ctx context.Context, tx *store.Tx) (*fault.Error, error) {
		if err := tx.InsertUser(ctx, u); err != nil {
			return nil, err
		}
		switch kind {
		case "fault":
			return answer, nil
		case "error":
			return nil, cause
		case "panic":
			panic("no such luck")
		}
		return nil, nil
	})
	want := map[string]error{"kept": nil, "fault": answer, "error": cause}[kind]
	if !errors.Is(err, want) {
		t.Errorf("Write() = %v for %s, want %v", err, u.UserID, want)
	}
}

func failedGroup(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	g := everyone(t, d, w)
	const good = 10
	var users []directory.User
	for i := range good {
		users = append(users, User(t, d.Store, w, fmt.Sprintf("good%d", i)))
	}
	wantRuns := int32(1)
	if d.Engine() == "sqlite" {
		wantRuns = 2 // once in the group whose commit failed, once alone
	}
	release := hold(t, d)
	var all sync.WaitGroup
	member := func(u id.User, wantError bool) {
		var runs atomic.Int32
		err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
			runs.Add(1)
			_, err := tx.InsertMembership(ctx, w, g, u, Start())
			return err
		})
		if (err != nil) != wantError {
			t.Errorf("Write() = %v, want an error: %v", err, wantError)
		}
		// A good one that was acknowledged before its second try would show fewer.
		if n := runs.Load(); n != wantRuns {
			t.Errorf("the function ran %d times before it was acknowledged, want %d", n, wantRuns)
		}
	}
	for i, u := range users {
		all.Go(func() { member(u.ID, false) })
		if i == good/2 {
			all.Go(func() { member(id.New[id.KindUser](Start()), true) })
		}
	}
	awaitQueued(d, good+1)
	release()
	all.Wait()
	if n := memberships(t, d, w); n != good {
		t.Errorf("%d memberships, want %d: each good one once", n, good)
	}
}

func leavesQueue(t *testing.T, d Database) {
	u := NewUser(Workspace(t, d.Store), "ada")
	release := hold(t, d)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var ran atomic.Bool
	go func() {
		ended <- write(ctx, d.Store, func(ctx context.Context, tx *store.Tx) error {
			ran.Store(true)
			return tx.InsertUser(ctx, u)
		})
	}()
	awaitQueued(d, 1)
	cancel()
	// The writers are held: the answer comes now or the test hangs to its end.
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Write() = %v for who left the queue, want canceled", err)
	}
	release()
	Write(t, d.Store, func(context.Context, *store.Tx) error { return nil }) // all before it is over
	if ran.Load() || userThere(t, d, u) {
		t.Errorf("ran %v, there %v for who left the queue, want neither", ran.Load(), userThere(t, d, u))
	}
}

func thousandWriters(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	const writers = 1000
	var before int64
	if d.Commits != nil {
		before = d.Commits()
	}
	var all sync.WaitGroup
	var acknowledged atomic.Int64
	begin := make(chan struct{})
	for i := range writers {
		all.Go(func() {
			<-begin
			m := outbox.Message{ID: id.New[id.KindJob](Start()), Workspace: w, Kind: "mail.test", Payload: fmt.Appendf(nil, `%d`, i), CreatedAt: Start(), ExpiresAt: Start()}
			err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertOutboxMessage(ctx, m) })
			if err != nil {
				t.Errorf("writer %d: %v, want nil", i, err)
				return
			}
			acknowledged.Add(1)
		})
	}
	close(begin)
	all.Wait()
	if n := acknowledged.Load(); n != writers {
		t.Errorf("%d writers acknowledged, want %d", n, writers)
	}
	rows := Count(t, d, `SELECT COUNT(*) FROM outbox WHERE workspace = $1`, w)
	kinds := Count(t, d, `SELECT COUNT(DISTINCT payload) FROM outbox WHERE workspace = $1`, w)
	if rows != writers || kinds != writers {
		t.Errorf("%d rows of %d writers, want %d of %d", rows, kinds, writers, writers)
	}
	if d.Commits != nil {
		if n := d.Commits() - before; n >= writers/2 {
			t.Errorf("%d commits for %d writers, want groups", n, writers)
		}
	}
}

func crossingLatches(t *testing.T, d Database) {
	if d.Writers < 2 {
		t.Skip("writers are one after the other on this engine")
	}
	w := string(Workspace(t, d.Store))
	var runs atomic.Int32
	var met sync.WaitGroup // until both hold their first latch
	met.Add(2)
	cross := func(first, second string) error {
		meet := sync.OnceFunc(func() {
			met.Done()
			met.Wait()
		})
		return write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
			runs.Add(1)
			if err := tx.Latch(ctx, w+first); err != nil {
				return err
			}
			meet()
			return tx.Latch(ctx, w+second)
		})
	}
	var all sync.WaitGroup
	for _, names := range [][2]string{{"/a", "/b"}, {"/b", "/a"}} {
		all.Go(func() {
			if err := cross(names[0], names[1]); err != nil {
				t.Errorf("Write() = %v for latches %v, want nil after a second try", err, names)
			}
		})
	}
	all.Wait()
	if n := runs.Load(); n < 3 {
		t.Errorf("the functions ran %d times, want at least 3: this was no deadlock", n)
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM latch WHERE name IN ($1, $2) AND n = 2`, w+"/a", w+"/b"); n != 2 {
		t.Errorf("%d latches were taken twice, want 2", n)
	}
}
