package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
)

func transactionCases() []testCase {
	return []testCase{
		{name: "a fault keeps what was written", run: faultKeeps},
		{name: "an error leaves nothing", run: errorLeavesNothing},
		{name: "a fault handed out as an error leaves nothing", run: faultAsErrorLeavesNothing},
		{name: "a panic leaves nothing and reaches the caller", run: panicLeavesNothing},
		{name: "the caller's cancelled context does not reach the function", run: contextIsShielded},
		{name: "a failing commit is an error", run: failingCommit},
		{name: "a read is one snapshot", run: readIsSnapshot},
		{name: "a read writes nothing", run: readWritesNothing},
		{name: "an error of a read comes back", run: readErrorComesBack},
		{name: "after Close nothing is done", run: afterClose, alone: true},
	}
}

// userThere says whether the user was written.
func userThere(t testing.TB, d Database, u directory.User) bool {
	t.Helper()
	var found bool
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		_, found, err = tx.FindUser(ctx, u.Workspace, u.ID)
		return err
	})
	return found
}

func faultKeeps(t *testing.T, d Database) {
	u := NewUser(Workspace(t, d.Store), "ada")
	answer := fault.Conflict("no", "No.")
	err := runner(d.Store).Write(t.Context(), func(ctx context.Context, tx *store.Tx) (*fault.Error, error) {
		return answer, tx.InsertUser(ctx, u)
	})
	if f, ok := fault.As(err); !ok || f != answer {
		t.Errorf("Write() = %v, want the function's own fault", err)
	}
	if !userThere(t, d, u) {
		t.Error("what was written beside a fault is gone, want it kept")
	}
	err = runner(d.Store).Write(t.Context(), func(context.Context, *store.Tx) (*fault.Error, error) { return nil, nil })
	if err != nil {
		t.Errorf("Write() = %v, want nil for neither fault nor error", err)
	}
}

func errorLeavesNothing(t *testing.T, d Database) {
	u := NewUser(Workspace(t, d.Store), "ada")
	cause := errors.New("the roof fell in")
	err := runner(d.Store).Write(t.Context(), func(ctx context.Context, tx *store.Tx) (*fault.Error, error) {
		if err := tx.InsertUser(ctx, u); err != nil {
			return nil, err
		}
		return fault.Conflict("no", "No."), cause
	})
	if !errors.Is(err, cause) {
		t.Errorf("Write() = %v, want %v", err, cause)
	}
	if _, is := fault.As(err); is {
		t.Errorf("Write() = %v, want the error to win over the fault", err)
	}
	if userThere(t, d, u) {
		t.Error("what was written before an error is there, want it undone")
	}
}

func faultAsErrorLeavesNothing(t *testing.T, d Database) {
	u := NewUser(Workspace(t, d.Store), "ada")
	answer := fault.Conflict("no", "No.")
	err := runner(d.Store).Write(t.Context(), func(ctx context.Context, tx *store.Tx) (*fault.Error, error) {
		return nil, errors.Join(tx.InsertUser(ctx, u), answer)
	})
	if f, ok := fault.As(err); !ok || f != answer {
		t.Errorf("Write() = %v, want the function's own fault", err)
	}
	if userThere(t, d, u) {
		t.Error("what was written before an error is there, want it undone")
	}
}

func panicLeavesNothing(t *testing.T, d Database) {
	u := NewUser(Workspace(t, d.Store), "ada")
	func() {
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "no such luck") {
				t.Errorf("Write() panicked with %v, want the function's own panic", p)
			}
		}()
		_ = write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error { // it panics
			if err := tx.InsertUser(ctx, u); err != nil {
				return err
			}
			panic("no such luck")
		})
	}()
	if userThere(t, d, u) {
		t.Error("what was written before a panic is there, want it undone")
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertUser(ctx, u) })
}

func contextIsShielded(t *testing.T, d Database) {
	u := NewUser(Workspace(t, d.Store), "ada")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := write(ctx, d.Store, func(ctx context.Context, tx *store.Tx) error {
		cancel()
		return errors.Join(ctx.Err(), tx.InsertUser(ctx, u))
	})
	if err != nil || !userThere(t, d, u) {
		t.Errorf("Write() = %v for a caller who left while it ran, want nil and the row kept", err)
	}
	ran := false
	err = write(ctx, d.Store, func(context.Context, *store.Tx) error {
		ran = true
		return nil
	})
	// The function may be begun or not, but never both refused and done.
	done, refused := ran && err == nil, !ran && errors.Is(err, context.Canceled)
	if !done && !refused {
		t.Errorf("Write() = %v, ran %v, for a caller who had left before; want canceled and not run, or run and nil", err, ran)
	}
}

func failingCommit(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.InsertMembership(ctx, w, everyone(t, d, w), id.New[id.KindUser](Start()), Start())
		return err
	})
	if err == nil {
		t.Error("Write() = nil for a membership of nobody, want an error from the commit")
	}
	if n := memberships(t, d, w); n != 0 {
		t.Errorf("%d memberships, want 0", n)
	}
}

func everyone(t testing.TB, d Database, w id.Workspace) (g id.Group) {
	t.Helper()
	if err := d.SQL.QueryRowContext(t.Context(), `SELECT id FROM directory_group WHERE workspace = $1 AND builtin = TRUE`, w).Scan(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

func memberships(t testing.TB, d Database, w id.Workspace) int {
	t.Helper()
	return Count(t, d, `SELECT COUNT(*) FROM directory_membership WHERE workspace = $1`, w)
}

func readIsSnapshot(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	User(t, d.Store, w, "ada")
	q := directory.Query{Status: directory.NotInvited, Page: page.Request{Limit: 10, WithTotal: true}}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		before, err := tx.ListUsers(ctx, w, q)
		if err != nil {
			return err
		}
		User(t, d.Store, w, "bob") // as somebody else would, meanwhile
		after, err := tx.ListUsers(ctx, w, q)
		if err != nil {
			return err
		}
		if before.Total != 1 || after.Total != 1 || len(after.Items) != 1 {
			t.Errorf("one read saw %d users, then %d (%d in the list), want 1 each time", before.Total, after.Total, len(after.Items))
		}
		return nil
	})
}

func readWritesNothing(t *testing.T, d Database) {
	u := NewUser(Workspace(t, d.Store), "ada")
	err := runner(d.Store).Read(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.InsertUser(ctx, u) })
	if err == nil {
		t.Error("inserting within Read() = nil, want an error")
	}
	if userThere(t, d, u) {
		t.Error("a read wrote a row")
	}
	for range 10 { // no reader was left unusable
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ListUsers(ctx, u.Workspace, directory.Query{Page: page.Request{Limit: 1}})
			return err
		})
	}
}

func readErrorComesBack(t *testing.T, d Database) {
	cause := errors.New("the roof fell in")
	if err := runner(d.Store).Read(t.Context(), func(context.Context, *store.Tx) error { return cause }); !errors.Is(err, cause) {
		t.Errorf("Read() = %v, want %v", err, cause)
	}
	answer := fault.NotFound("no", "No.")
	err := runner(d.Store).Read(t.Context(), func(context.Context, *store.Tx) error { return answer })
	if f, ok := fault.As(err); !ok || f != answer {
		t.Errorf("Read() = %v, want the function's own fault", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = runner(d.Store).Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ListWorkspaces(ctx)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Read() = %v for a caller who left, want canceled", err)
	}
}

func afterClose(t *testing.T, d Database) {
	started, release := make(chan struct{}), make(chan struct{})
	u := NewUser(Workspace(t, d.Store), "ada")
	ended := make(chan error, 1)
	go func() {
		ended <- write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
			close(started)
			<-release
			return tx.InsertUser(ctx, u)
		})
	}()
	<-started
	closed := make(chan error, 1)
	go func() { closed <- d.Close() }()
	for !errors.Is(d.Ping(t.Context()), store.ErrClosed) {
		select {
		case err := <-closed:
			t.Fatalf("Close() = %v while a transaction was under way, want it to wait", err)
		default:
		}
		if t.Context().Err() != nil {
			t.Fatal("the store never closed")
		}
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("Write() = %v for what was under way before Close, want nil", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if err := write(t.Context(), d.Store, func(context.Context, *store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Write() = %v after Close, want %v", err, store.ErrClosed)
	}
	if err := runner(d.Store).Read(t.Context(), func(context.Context, *store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Read() = %v after Close, want %v", err, store.ErrClosed)
	}
	if err := d.Close(); err != nil {
		t.Errorf("Close() = %v the second time, want nil", err)
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM directory_user WHERE id = $1`, u.ID); n != 1 {
		t.Errorf("%d rows of what was under way before Close, want 1", n)
	}
}
