package storetest

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
)

// Start returns the moment at which fixtures are made.
func Start() time.Time { return time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC) }

// Write runs fn in a writing transaction and fails the test if it fails.
func Write(t testing.TB, s *store.Store, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := write(t.Context(), s, fn); err != nil {
		t.Fatal(err)
	}
}

// write runs fn, which answers no faults, in a writing transaction.
func write(ctx context.Context, s *store.Store, fn func(ctx context.Context, tx *store.Tx) error) error {
	return runner(s).Write(ctx, func(ctx context.Context, tx *store.Tx) (*fault.Error, error) { return nil, fn(ctx, tx) })
}

// Read runs fn over a snapshot and fails the test if it fails.
func Read(t testing.TB, s *store.Store, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := runner(s).Read(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func runner(s *store.Store) tx.Runner[*store.Tx] { return store.For[*store.Tx](s) }

// Workspace makes a workspace with its builtin group.
func Workspace(t testing.TB, s *store.Store) id.Workspace {
	t.Helper()
	w := directory.Workspace{ID: id.New[id.KindWorkspace](Start()), Name: "Harbour", SealingKey: []byte("wrapped"), CursorSecret: []byte("sealed")}
	Write(t, s, func(ctx context.Context, tx *store.Tx) error {
		f, err := directory.Found(ctx, tx, auth.Job(w.ID, "test"), w, Start())
		return either(f, err)
	})
	return w.ID
}

// NewUser returns a user of the workspace who is not written yet. name makes them
// unlike others.
func NewUser(w id.Workspace, name string) directory.User {
	return directory.User{
		ID: id.New[id.KindUser](Start()), Workspace: w, UserID: name, Email: name + "@example.org", FirstName: name, LastName: "Example",
		Auditable: true, Status: directory.NotInvited, Revision: 1, CreatedAt: Start(),
	}
}

// User makes a user of the workspace.
func User(t testing.TB, s *store.Store, w id.Workspace, name string) directory.User {
	t.Helper()
	u := NewUser(w, name)
	Write(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.InsertUser(ctx, u) })
	return u
}

// APIKey makes an Admin key with the permissions, good for a day, and returns it
// as a caller.
func APIKey(t testing.TB, s *store.Store, w id.Workspace, permissions ...auth.Permission) auth.Caller {
	t.Helper()
	k := apikey.Key{
		EndsAt: apikey.Never(), WarnAt: apikey.Never(), ID: id.New[id.KindAPIKey](Start()), Workspace: w, Name: "Robot", Type: apikey.Admin, Permissions: permissions,
		TokenHash: []byte("hash"), CreatedAt: Start(), ExpiresAt: Start().Add(24 * time.Hour),
	}
	k.TokenID = string(k.ID)
	Write(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.InsertAPIKey(ctx, k) })
	return auth.Caller{Kind: auth.APIKey, Workspace: w, APIKey: k.ID, Name: k.Name, IP: "192.0.2.7", Agent: "robot/1", RequestID: "req_robot"}
}

// Administrator makes a user who may do what is given, signed in with a fresh
// passkey, and returns them as a caller. Without permissions they are an owner.
func Administrator(t testing.TB, s *store.Store, w id.Workspace, name string, permissions ...auth.Permission) auth.Caller {
	t.Helper()
	u := User(t, s, w, name)
	a := signin.Administrator{ID: id.New[id.KindAdministrator](Start()), Workspace: w, User: u.ID, Owner: len(permissions) == 0, Permissions: permissions, CreatedAt: Start()}
	session := signin.Session{
		ID: id.New[id.KindSession](Start()), Workspace: w, User: u.ID, OpenedBy: signin.OpenedByPasskey, Scope: signin.ScopePanel, IP: "192.0.2.8", Agent: "browser/1",
		CreatedAt: Start(), ExpiresAt: Start().Add(signin.SessionLifetime), LastSeenAt: Start(), StepUpAt: Start(),
	}
	session.Digest = []byte(session.ID)
	Write(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.InsertAdministrator(ctx, a), tx.InsertSession(ctx, session))
	})
	return auth.Caller{
		Kind: auth.Administrator, Workspace: w, User: u.ID, Administrator: a.ID, Session: session.ID, Name: u.Name(),
		IP: session.IP, Agent: session.Agent, RequestID: "req_" + name, StepUpAt: Start(),
	}
}

// KeyOf writes a security key of a user past the room that makes them: for tests that
// only need one to be there.
func KeyOf(t testing.TB, d Database, w id.Workspace, u id.User, kind, life string) id.SecurityKey {
	t.Helper()
	k := id.New[id.KindSecurityKey](Start())
	Exec(t, d, `
		INSERT INTO securitykey (id, workspace, user_id, kind, name, name_fold, model, aaguid, life, shown, suspended_at, verification, proximity, card_type,
			card_digest, card_sealed, card_named, to_confirm, link_id, link_expires_at, pin_verifier, pin_wrong, pin_paused_until, pin_must_change,
			pin_set_at, total, created_at, activated_at, last_activity_at, used_at, noticed_at, revision)
		VALUES ($1, $2, $3, $4, 'Key', 'key', '', '', $5, $6, 0, 'pin', FALSE, '', '', $7, FALSE, FALSE, '', 0, $8, 0, 0, FALSE, 0, 0, 1, 0, 0, 1, 7, 1)`,
		string(k), string(w), string(u), kind, life, life, []byte{}, []byte{})
	return k
}

// Revoke ends an administrator's session or an API key.
func Revoke(t testing.TB, d Database, by auth.Caller) {
	t.Helper()
	query, key := `UPDATE signin_session SET ended_at = 1 WHERE id = $1`, string(by.Session)
	if by.Kind == auth.APIKey {
		query, key = `UPDATE apikey SET expires_at = 1, ends_at = 1 WHERE id = $1`, string(by.APIKey)
	}
	Exec(t, d, query, key)
}

// Exec changes rows past the store.
func Exec(t testing.TB, d Database, query string, args ...any) {
	t.Helper()
	res, err := d.SQL.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s touched %d rows (%v), want some", query, n, err)
	}
}

// Count answers a query of one number past the store.
func Count(t testing.TB, d Database, query string, args ...any) int {
	t.Helper()
	var n int
	if err := d.SQL.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Dump returns all values of all tables, for tests that look for a secret.
func Dump(t testing.TB, d Database) string {
	t.Helper()
	list := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if d.Engine() == "postgres" {
		list = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`
	}
	var out strings.Builder
	for _, table := range rowsOf(t, d, list) {
		for _, row := range rowsOf(t, d, `SELECT * FROM `+table[0]) {
			out.WriteString(strings.Join(row, "\n") + "\n")
		}
	}
	return out.String()
}

// rowsOf returns the rows of a query, in text.
func rowsOf(t testing.TB, d Database, query string) (out [][]string) {
	t.Helper()
	rows, err := d.SQL.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }() // read to its end below
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, places := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = string(v)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Activities returns the workspace's lines of one action in the order of their
// time, all of them if action is empty.
func Activities(t testing.TB, s *store.Store, w id.Workspace, action string) []activity.Event {
	t.Helper()
	q := activity.Query{Action: action, Page: page.Request{Limit: page.MaxLimit}}
	var out []activity.Event
	for {
		var p page.Page[activity.Event]
		Read(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			p, err = tx.ListActivities(ctx, w, q)
			return err
		})
		out = append(out, p.Items...)
		if q.Page.After = p.Next; p.Next.IsZero() {
			return out
		}
	}
}

// Activity returns the workspace's one line of an action, and fails the test
// unless there is exactly one.
func Activity(t testing.TB, s *store.Store, w id.Workspace, action string) activity.Event {
	t.Helper()
	all := Activities(t, s, w, action)
	if len(all) != 1 {
		t.Fatalf("%d activities %s, want 1: %+v", len(all), action, all)
	}
	return all[0]
}

// Messages returns the messages that wait in the outbox, without taking them.
func Messages(t testing.TB, s *store.Store) []outbox.Message {
	t.Helper()
	var out []outbox.Message
	undo := errors.New("undo")
	err := write(t.Context(), s, func(ctx context.Context, tx *store.Tx) (err error) {
		far := Start().Add(100_000 * time.Hour)
		if out, err = tx.LeaseOutboxMessages(ctx, "test", far, far.Add(time.Hour), 1000); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	return out
}

// either returns the fault or the error.
func either(f *fault.Error, err error) error {
	if err != nil || f == nil {
		return err
	}
	return f
}
