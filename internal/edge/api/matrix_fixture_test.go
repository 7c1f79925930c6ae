package api_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// bench is a whole server whose rows are watched, and what the matrix is tried on.
// Its clock stands still.
type bench struct {
	*server
	mux      *http.ServeMux
	store    *store.Store
	db       *sql.DB
	lastSeq  int64
	n        int // for names that differ
	requests atomic.Int64
	worlds   []*world
	callers  []*caller
	// userOf is whose an administrator is.
	userOf map[string]id.User
}

// world is a workspace. Its name stands in all texts of what is in it.
type world struct {
	name  string
	id    id.Workspace
	by    auth.Caller
	stand map[string]string // things to try on whose denied calls leave alone, by place and kind
}

// caller is somebody who calls.
type caller struct {
	name     string
	at       *world
	headers  []string
	accepted bool
	kind     auth.Kind
	keyType  apikey.Type // of an API key
	user     id.User
	// permissions are those that hold; owner and fresh are of people at the panel.
	permissions auth.Permissions
	owner       bool
	fresh       bool // their passkey was used just now
	// elsewhereAdministrator is an administrator who is in the app only.
	elsewhereAdministrator bool
	// keysOnly is somebody who signed in with a one-time pass.
	keysOnly bool
}

func newBench(t *testing.T) *bench {
	t.Helper()
	folder := t.TempDir()
	c, err := app.Settings{Data: folder, Listen: "localhost:8080", LogFormat: "json"}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{server: &server{t: t}, userOf: map[string]id.User{}}
	o := app.Options{Clock: clock.NewManual(storetest.Start()), Mount: func(mux *http.ServeMux) { b.mux = mux }}
	if b.app, err = app.Open(t.Context(), c, o, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.app.Close(); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(folder, "keyhold.db")
	if b.store, err = store.OpenSQLite(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
	if b.db, err = sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.db.Close() }) // nothing hangs on it
	if b.h, err = b.app.Handler("test"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"harbour", "orchard", "quarry"} {
		b.worlds = append(b.worlds, b.newWorld(name))
	}
	b.doors()
	b.people()
	b.programs()
	b.strangers()
	b.watch()
	return b
}

func (b *bench) write(fn func(ctx context.Context, tx *store.Tx) error) {
	b.t.Helper()
	storetest.Write(b.t, b.store, fn)
}

// exec changes rows past the store.
func (b *bench) exec(query string, args ...any) {
	b.t.Helper()
	if _, err := b.db.ExecContext(b.t.Context(), query, args...); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
}

// next returns a name that nothing else has.
func (b *bench) next(w *world) string {
	b.n++
	return fmt.Sprintf("%s%d", w.name, b.n)
}

func (b *bench) newWorld(name string) *world {
	b.t.Helper()
	found, err := b.app.Join.CreateWorkspace(b.t.Context(), auth.Job("", "test"), name)
	if err != nil {
		b.t.Fatal(err)
	}
	w := &world{name: name, id: found.Workspace.ID, by: auth.Job(found.Workspace.ID, "test"), stand: map[string]string{}}
	u, err := b.app.Directory.Create(b.t.Context(), w.by, directory.NewUser{Email: b.next(w) + "@example.org", FirstName: name})
	if err != nil {
		b.t.Fatal(err)
	}
	lines, err := b.app.Record.List(b.t.Context(), w.by, activity.Query{})
	if err != nil {
		b.t.Fatal(err)
	}
	// The secrets of its cards are made when they are asked for first.
	if _, err := b.app.SecurityKeys.List(b.t.Context(), w.by, "04A1B2C3", securitykey.Query{}); err != nil {
		b.t.Fatal(err)
	}
	// So are those of its doors.
	door := b.lock(w, "lock")
	if _, err := b.app.Locks.IssueEnrolment(b.t.Context(), w.by, id.Lock(door)); err != nil {
		b.t.Fatal(err)
	}
	w.stand["activity"], w.stand["id/user"] = string(lines.Items[0].ID), string(u.ID)
	b.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := activity.SealNext(ctx, tx, w.id) // there is no checkpoint of nothing
		return err
	})
	return w
}

// session opens a session of the user and returns the headers that carry it.
func (b *bench) session(w *world, u id.User, scope signin.Scope, change func(s *signin.Session)) []string {
	b.t.Helper()
	now, value := storetest.Start(), token.NewOneTime()
	s := signin.Session{
		ID: id.New[id.KindSession](now), Workspace: w.id, User: u, Digest: token.Digest(value), OpenedBy: signin.OpenedByPasskey, Scope: scope,
		IP: "192.0.2.8", Agent: w.name, CreatedAt: now, ExpiresAt: now.Add(signin.SessionLifetime), LastSeenAt: now, StepUpAt: now,
	}
	if change != nil {
		change(&s)
	}
	b.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertSession(ctx, s) })
	return []string{"Cookie", "keyhold_session=" + value.ExposeString()}
}

// passkey gives a user a passkey, confirmed or not.
func (b *bench) passkey(w *world, u id.User, confirmed bool) string {
	b.t.Helper()
	now := storetest.Start()
	k := signin.Passkey{ID: id.New[id.KindPasskey](now), Workspace: w.id, User: u, Record: []byte("{}"), Name: b.next(w), CreatedAt: now}
	k.CredentialID = []byte(k.ID)
	if confirmed {
		k.ConfirmedAt = now
	}
	b.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertPasskey(ctx, k) })
	return string(k.ID)
}

// administrator makes a user an administrator; without permissions an owner.
func (b *bench) administrator(w *world, u id.User, owner bool, permissions auth.Permissions) id.Administrator {
	b.t.Helper()
	now := storetest.Start()
	a := signin.Administrator{ID: id.New[id.KindAdministrator](now), Workspace: w.id, User: u, Owner: owner, Permissions: permissions, CreatedAt: now}
	b.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertAdministrator(ctx, a) })
	b.userOf[string(a.ID)] = u
	return a.ID
}

func (b *bench) user(w *world) id.User {
	b.t.Helper()
	return storetest.User(b.t, b.store, w.id, b.next(w)).ID
}

// holds is what a holder and an administrator to try on may do. No operation on
// people needs it.
func holds() auth.Permissions { return auth.Permissions{auth.WorkspaceWrite} }

// thing makes something new of the kind. of is what the path names before it, if
// anything, and c the caller.
func (b *bench) thing(w *world, kind, of string, c *caller) string {
	b.t.Helper()
	switch kind {
	case "user":
		return string(b.user(w))
	case "suspended_user", "suspended_holder":
		u := b.user(w)
		if kind == "suspended_holder" {
			b.administrator(w, u, false, holds())
		}
		b.write(func(ctx context.Context, tx *store.Tx) error { return tx.SuspendUser(ctx, w.id, u, storetest.Start()) })
		return string(u)
	case "holder":
		u := b.user(w)
		b.administrator(w, u, false, holds())
		return string(u)
	case "owner_user":
		u := b.user(w)
		b.administrator(w, u, true, nil)
		return string(u)
	case "member":
		u := b.user(w)
		b.write(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.InsertMembership(ctx, w.id, id.Group(of), u, storetest.Start())
			return err
		})
		return string(u)
	case "group":
		g := directory.Group{ID: id.New[id.KindGroup](storetest.Start()), Workspace: w.id, Name: b.next(w), Revision: 1, CreatedAt: storetest.Start()}
		b.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertGroup(ctx, g) })
		return string(g.ID)
	case "administrator":
		return string(b.administrator(w, b.user(w), false, holds()))
	case "owner":
		return string(b.administrator(w, b.user(w), true, nil))
	case "passkey":
		return b.passkey(w, b.userOf[of], false)
	case "my_passkey":
		return b.passkey(w, c.user, true)
	case "session":
		return b.sessionID(w, b.userOf[of])
	case "my_session":
		return b.sessionID(w, c.user)
	case "activity":
		return w.stand["activity"]
	case "passed_user":
		defer b.open(w)()
		u := b.user(w)
		if _, _, err := b.app.SignIn.IssueAccessPass(b.t.Context(), w.by, u, signin.NewAccessPass{}); err != nil {
			b.t.Fatal(err)
		}
		return string(u)
	case "api_key", "disabled_api_key", "leaked_api_key", "admin_key", "disabled_admin_key", "overlapping_admin_key":
		return b.apiKey(w, kind)
	case "lock", "online_lock", "lock_command":
		return b.lock(w, kind)
	case "client", "revoked_client", "enrolment_code", "credential", "holder_credential":
		return b.authenticator(w, kind)
	case "digital_key", "cancelled_digital_key":
		return b.digitalKey(w, kind)
	}
	if strings.HasSuffix(kind, "security_key") {
		return b.securityKey(w, kind)
	}
	b.t.Fatalf("no fixture of the kind %s", kind)
	return ""
}

// open takes a workspace's suspension back until what it returns is called: nobody
// gets a key or a pass in a suspended one.
func (b *bench) open(w *world) (again func()) {
	b.t.Helper()
	if len(b.worlds) < 3 || w != b.worlds[2] {
		return func() {}
	}
	b.exec(`UPDATE workspace SET suspended_at = 0 WHERE id = $1`, w.id)
	return func() { b.exec(`UPDATE workspace SET suspended_at = 1 WHERE id = $1`, w.id) }
}

// securityKey makes a card: active with a PIN, or pending, of a user or of a holder.
func (b *bench) securityKey(w *world, kind string) string {
	b.t.Helper()
	defer b.open(w)()
	ctx, u := b.t.Context(), b.user(w)
	if strings.Contains(kind, "holder") {
		b.administrator(w, u, false, holds())
	}
	b.n++
	n := securitykey.NewKey{
		Kind: securitykey.ContactlessCard, Name: b.next(w), Activation: securitykey.ActivateNow, CardNumber: fmt.Sprintf("04%012X", b.n),
	}
	state := strings.Split(kind, "_")[0]
	if state == "pending" || state == "waiting" {
		n.Activation = securitykey.ActivateEmail
	}
	k, err := b.app.SecurityKeys.Create(ctx, w.by, u, n)
	if err != nil {
		b.t.Fatal(err)
	}
	switch state {
	case "suspended":
		_, err = b.app.SecurityKeys.Suspend(ctx, w.by, k.Key.ID)
	case "waiting":
		b.exec(`UPDATE securitykey SET to_confirm = 1 WHERE id = $1`, string(k.Key.ID))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(k.Key.ID)
}

// apiKey makes an API key: a Clients key, or an Admin key with all permissions.
func (b *bench) apiKey(w *world, kind string) string {
	b.t.Helper()
	ctx, keys := b.t.Context(), b.app.APIKeys
	n := apikey.NewKey{Name: b.next(w), Type: apikey.Clients}
	if strings.Contains(kind, "admin") {
		n.Type = apikey.Admin
	}
	k, secret, err := keys.Create(ctx, w.by, n)
	if err != nil {
		b.t.Fatal(err)
	}
	switch strings.Split(kind, "_")[0] {
	case "disabled":
		_, _, err = keys.Disable(ctx, w.by, k.ID, false)
	case "leaked":
		err = keys.ReportLeaked(ctx, auth.Nobody("", "", ""), secret.Secret().ExposeString())
	case "overlapping":
		_, _, err = keys.Reset(ctx, w.by, k.ID, apikey.Renewal{Overlap: time.Hour})
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(k.ID)
}

// sessionID opens a session of the user and returns its id.
func (b *bench) sessionID(w *world, u id.User) string {
	b.t.Helper()
	var made id.Session
	b.session(w, u, signin.ScopePanel, func(s *signin.Session) { made = s.ID })
	return string(made)
}

// standing returns a thing of the kind that is there for all calls that leave it
// alone. What is the caller's own is somebody's whom nobody calls as.
func (b *bench) standing(w *world, place, kind, of string) string {
	b.t.Helper()
	key := place + "/" + kind + "/" + of
	if w.stand[key] == "" {
		w.stand[key] = b.thing(w, kind, of, &caller{user: id.User(w.stand["id/user"])})
	}
	return w.stand[key]
}

// missing is an id of the kind that nothing has.
func missing(kind string) string {
	prefix := map[string]string{
		"group": "grp", "administrator": "adm", "owner": "adm", "passkey": "psk", "my_passkey": "psk", "session": "ses", "my_session": "ses", "activity": "act",
		"lock": "lock", "online_lock": "lock", "lock_command": "cmd", "client": "cli", "revoked_client": "cli", "enrolment_code": "enr", "credential": "cred", "holder_credential": "cred",
	}[kind]
	switch {
	case strings.HasSuffix(kind, "security_key"):
		prefix = "sk"
	case strings.HasSuffix(kind, "digital_key"):
		prefix = "dk"
	case strings.HasSuffix(kind, "_key"):
		prefix = "key"
	}
	if prefix == "" {
		prefix = "user"
	}
	return prefix + "_01jd3v9b8eexav2f6hqdr3wzkt"
}

// people makes the callers with sessions.
func (b *bench) people() {
	here := b.worlds[0]
	b.add(&caller{name: "user", at: here, kind: auth.User, user: b.user(here), accepted: true})
	b.add(&caller{name: "user with a one-time pass", at: here, kind: auth.User, user: b.user(here), accepted: true, keysOnly: true})
	b.seat(here, "administrator without permissions", false, nil)
	for _, p := range auth.All() {
		b.seat(here, "administrator with "+string(p), false, auth.Permissions{p})
	}
	for _, p := range auth.Presets() {
		b.seat(here, "administrator by the preset "+p.Name, false, p.Permissions)
	}
	b.seat(here, "administrator with all permissions", false, auth.All())
	b.seat(here, "owner", true, auth.All())
	b.seat(here, "owner without a fresh passkey", true, auth.All()).fresh = false
	away := b.seat(here, "owner in the app", true, nil)
	away.kind, away.owner, away.elsewhereAdministrator = auth.User, false, true
	b.seat(b.worlds[1], "owner of another workspace", true, auth.All())
	for _, c := range b.callers {
		c.headers = b.session(c.at, c.user, map[bool]signin.Scope{true: signin.ScopePanel, false: signin.ScopeApp}[c.kind == auth.Administrator], func(s *signin.Session) {
			if c.keysOnly {
				s.Scope, s.OpenedBy = signin.ScopeKeys, signin.OpenedByAccessPass
			}
			if !c.fresh {
				s.StepUpAt = s.StepUpAt.Add(-auth.StepUpAge)
			}
		})
		b.passkey(c.at, c.user, true) // the last one is not given away
	}
}

func (b *bench) add(c *caller) *caller {
	b.callers = append(b.callers, c)
	return c
}

// seat adds an administrator who is accepted.
func (b *bench) seat(w *world, name string, owner bool, p auth.Permissions) *caller {
	u := b.user(w)
	b.administrator(w, u, owner, p)
	return b.add(&caller{name: name, at: w, kind: auth.Administrator, user: u, accepted: true, permissions: p, owner: owner, fresh: true})
}

// programs makes the callers with API keys that are accepted, or good for
// something else.
func (b *bench) programs() {
	here := b.worlds[0]
	key := func(w *world, name string, typ apikey.Type, p auth.Permissions) *caller {
		return b.add(&caller{name: name, at: w, kind: auth.APIKey, accepted: true, keyType: typ, permissions: p, headers: b.bearer(w, typ, p)})
	}
	key(here, "Admin key with all permissions", apikey.Admin, auth.All())
	for _, p := range auth.All() {
		key(here, "Admin key with "+string(p), apikey.Admin, auth.Permissions{p})
	}
	key(here, "Clients key", apikey.Clients, nil)
	key(here, "Shared Mobile key", apikey.SharedMobile, nil)
	key(b.worlds[1], "Admin key of another workspace", apikey.Admin, auth.All())
	retiring := key(here, "retiring Admin key", apikey.Admin, auth.All())
	retiring.permissions = auth.All().Without(auth.APIKeysWrite)
	page, err := b.app.APIKeys.List(b.t.Context(), here.by, apikey.Query{Begins: strings.Split(retiring.headers[1], "_")[2]})
	if err != nil || len(page.Items) != 1 {
		b.t.Fatalf("found %d keys by their token id, want 1: %v", len(page.Items), err)
	}
	if _, _, err := b.app.APIKeys.Reset(b.t.Context(), here.by, page.Items[0].ID, apikey.Renewal{Overlap: time.Hour}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) bearer(w *world, typ apikey.Type, p auth.Permissions) []string {
	b.t.Helper()
	n := apikey.NewKey{Name: b.next(w), Type: typ}
	if typ == apikey.Admin {
		n.Permissions = p.Strings()
	}
	return []string{"Authorization", "Bearer " + b.key(w.by, n)}
}

// strangers makes the callers who are not accepted.
func (b *bench) strangers() {
	here, closed := b.worlds[0], b.worlds[2]
	now := storetest.Start()
	gone := func(name string, w *world, headers []string) {
		b.add(&caller{name: name, at: w, headers: headers})
	}
	person := func(name string, w *world, owner bool, change func(s *signin.Session)) id.User {
		u, scope := b.user(w), signin.ScopeApp
		if owner {
			b.administrator(w, u, true, nil)
			scope = signin.ScopePanel
		}
		gone(name, w, b.session(w, u, scope, change))
		return u
	}
	gone("nobody", here, nil)
	gone("unknown session", here, []string{"Cookie", "keyhold_session=" + token.NewOneTime().ExposeString()})
	gone("unknown key", here, []string{"Authorization", "Bearer " + token.Issue(token.KindAdmin).Secret().ExposeString()})
	gone("nonsense", here, []string{"Authorization", "Basic eDp4"})
	person("owner whose session expired", here, true, func(s *signin.Session) { s.ExpiresAt = now })
	person("owner whose session was idle", here, true, func(s *signin.Session) { s.LastSeenAt = now.Add(-signin.SessionIdle) })
	person("owner who signed out", here, true, func(s *signin.Session) { s.EndedAt = now })
	for name, owner := range map[string]bool{"suspended owner": true, "suspended user": false} {
		b.exec(`UPDATE directory_user SET suspended_at = 1, shown = 'suspended' WHERE id = $1`, person(name, here, owner, nil))
	}
	b.leavers(gone)
	key := func(name string, w *world, typ apikey.Type, change string) []string {
		headers := b.bearer(w, typ, auth.All())
		if change != "" {
			b.exec(change+` WHERE token_id = $1`, strings.Split(headers[1], "_")[2])
		}
		gone(name, w, headers)
		return headers
	}
	key("disabled key", here, apikey.Admin, `UPDATE apikey SET disabled_at = 1`)
	key("disabled Clients key", here, apikey.Clients, `UPDATE apikey SET disabled_at = 1`)
	key("deleted key", here, apikey.Admin, `DELETE FROM apikey`)
	key("expired Shared Mobile key", here, apikey.SharedMobile, `UPDATE apikey SET expires_at = 1, ends_at = 1`)
	expired := key("expired key", here, apikey.Admin, `UPDATE apikey SET expires_at = 1, ends_at = 1`)
	gone("owner's session with an expired key", here, append(expired, b.named("owner").headers...))
	person("owner of a suspended workspace", closed, true, nil)
	key("Admin key of a suspended workspace", closed, apikey.Admin, "")
	key("Clients key of a suspended workspace", closed, apikey.Clients, "")
	b.exec(`UPDATE workspace SET suspended_at = 1 WHERE id = $1`, closed.id)
}

// leavers makes administrators whom an owner has thrown out by the API.
func (b *bench) leavers(gone func(name string, w *world, headers []string)) {
	here, owner := b.worlds[0], b.named("owner")
	for name, act := range map[string]func(a id.Administrator, u id.User) answer{
		"removed administrator": func(a id.Administrator, _ id.User) answer {
			return b.send(owner, http.MethodDelete, "/api/v1/administrators/"+string(a), "")
		},
		"administrator who was suspended": func(_ id.Administrator, u id.User) answer {
			return b.send(owner, http.MethodPost, "/api/v1/users/"+string(u)+"/suspend", "")
		},
		"deleted administrator": func(_ id.Administrator, u id.User) answer {
			return b.send(owner, http.MethodDelete, "/api/v1/users/"+string(u), "")
		},
	} {
		u := b.user(here)
		a := b.administrator(here, u, false, auth.All())
		b.passkey(here, u, true)
		gone(name, here, b.session(here, u, signin.ScopePanel, nil))
		if got := act(a, u); got.status >= 300 {
			b.t.Fatalf("%s: %d %s", name, got.status, got.text)
		}
	}
}

func (b *bench) named(name string) *caller {
	b.t.Helper()
	for _, c := range b.callers {
		if c.name == name {
			return c
		}
	}
	b.t.Fatalf("there is no caller %s", name)
	return nil
}

// change is one row that was written, of a workspace if it has one.
type change struct{ table, what, workspace string }

// watch has every table tell of each row that is inserted, changed or deleted.
func (b *bench) watch() {
	b.t.Helper()
	b.exec(`CREATE TABLE matrix_change (seq INTEGER PRIMARY KEY, tab TEXT NOT NULL, what TEXT NOT NULL, workspace TEXT NOT NULL)`)
	tables := b.texts(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'matrix_change'`)
	if len(tables) < 15 {
		b.t.Fatalf("found the tables %v, want all", tables)
	}
	for _, table := range tables {
		column, differs := "", []string{}
		for _, c := range b.texts(`SELECT name FROM pragma_table_info('` + table + `')`) {
			differs = append(differs, "OLD."+c+" IS NOT NEW."+c)
			if c == "workspace" {
				column = c
			}
		}
		if table == "workspace" {
			column = "id"
		}
		for what, side := range map[string]string{"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"} {
			workspace := "''"
			if column != "" {
				workspace = side + "." + column
			}
			when := ""
			if what == "UPDATE" { // a row that is written as it was, to lock it, is not changed
				when = ` WHEN ` + strings.Join(differs, ` OR `)
			}
			b.exec(`CREATE TRIGGER matrix_` + table + `_` + what + ` AFTER ` + what + ` ON ` + table + when +
				` BEGIN INSERT INTO matrix_change (tab, what, workspace) VALUES ('` + table + `', '` + what + `', ` + workspace + `); END`)
		}
	}
}

func (b *bench) texts(query string) []string {
	b.t.Helper()
	rows, err := b.db.QueryContext(b.t.Context(), query)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // read to its end below
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			b.t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	return out
}

// changes returns the rows that were written since it was asked last.
func (b *bench) changes() []change {
	b.t.Helper()
	rows, err := b.db.QueryContext(b.t.Context(), `SELECT seq, tab, what, workspace FROM matrix_change WHERE seq > $1 ORDER BY seq`, b.lastSeq)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // read to its end below
	var out []change
	for rows.Next() {
		var c change
		if err := rows.Scan(&b.lastSeq, &c.table, &c.what, &c.workspace); err != nil {
			b.t.Fatal(err)
		}
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	return out
}
