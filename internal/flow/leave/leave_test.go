package leave_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// house is a workspace with an owner, who calls.
type house struct {
	storetest.Database
	*leave.Service
	clock *clock.Manual
	w     id.Workspace
	by    auth.Caller
}

func newHouse(t testing.TB) house {
	t.Helper()
	return houseOn(t, storetest.SQLite(t))
}

func houseOn(t testing.TB, d storetest.Database) house {
	t.Helper()
	w := storetest.Workspace(t, d.Store)
	c := clock.NewManual(storetest.Start())
	return house{d, leave.New(store.For[leave.Tx](d.Store), c), c, w, storetest.Administrator(t, d.Store, w, "owner")}
}

func (h house) user(t testing.TB, name string) directory.User {
	t.Helper()
	return storetest.User(t, h.Store, h.w, name)
}

func (h house) find(t testing.TB, u id.User) (got directory.User, found bool) {
	t.Helper()
	storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		got, found, err = tx.FindUser(ctx, h.w, u)
		return err
	})
	return got, found
}

// accepted says whether a caller would be let in now.
func (h house) accepted(t testing.TB, by auth.Caller) bool {
	t.Helper()
	var s auth.Standing
	storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		s, err = tx.CallerStanding(ctx, by, h.clock.Now())
		return err
	})
	return s.Active
}

// madeBy makes an API key that somebody created, as a caller.
func (h house) madeBy(t testing.TB, creator string) auth.Caller {
	t.Helper()
	k := storetest.APIKey(t, h.Store, h.w, auth.UsersRead)
	storetest.Exec(t, h.Database, `UPDATE apikey SET created_by_id = $1 WHERE id = $2`, creator, string(k.APIKey))
	return k
}

func TestSuspend_endsWhatIsTheirs(t *testing.T) {
	h := newHouse(t)
	bob := storetest.Administrator(t, h.Store, h.w, "bob", auth.UsersRead)
	key := h.madeBy(t, string(bob.User))
	out, err := h.Suspend(t.Context(), h.by, bob.User, leave.Options{})
	if err != nil || out.User.Shown() != directory.Suspended || out.User.Revision != 2 || out.Disabled != 0 {
		t.Fatalf("Suspend() = %+v (%v), want Bob suspended", out, err)
	}
	if out.Left.Count != 1 || len(out.Left.APIKeys) != 1 || out.Left.APIKeys[0].ID != key.APIKey {
		t.Errorf("left: %+v, want the key that Bob made", out.Left)
	}
	got, _ := h.find(t, bob.User)
	if diff := cmp.Diff(out.User, got); diff != "" {
		t.Errorf("the answer differs from what is stored (-answer +stored):\n%s", diff)
	}
	if h.accepted(t, bob) || !h.accepted(t, key) {
		t.Errorf("Bob is accepted: %v, his key: %v, want only the key", h.accepted(t, bob), h.accepted(t, key))
	}
	line := storetest.Activity(t, h.Store, h.w, "user.suspend")
	if line.User != bob.User || line.Target.Name != got.Name() || line.Detail != "" || line.Actor.ID != string(h.by.User) {
		t.Errorf("the line is %+v, want Bob by the owner", line)
	}
	h.clock.Advance(time.Minute)
	again, err := h.Suspend(t.Context(), h.by, bob.User, leave.Options{})
	if err != nil || !again.User.SuspendedAt.Equal(out.User.SuspendedAt) || again.User.Revision != 2 || again.Left.Count != 1 {
		t.Errorf("Suspend() again = %+v (%v), want no change", again, err)
	}
	storetest.Activity(t, h.Store, h.w, "user.suspend") // still one
}

// pass writes a temporary access pass of a user and a session that it opened.
func (h house) pass(t testing.TB, u id.User) auth.Caller {
	t.Helper()
	now := h.clock.Now()
	p := signin.AccessPass{
		ID: id.New[id.KindAccessPass](now), Workspace: h.w, User: u, Digest: []byte("digest"), StartsAt: now, ExpiresAt: now.Add(time.Hour), CreatedAt: now, CreatedBy: "desk",
	}
	s := signin.Session{
		ID: id.New[id.KindSession](now), Workspace: h.w, User: u, OpenedBy: signin.OpenedByAccessPass, Scope: signin.ScopeApp, Pass: p.ID,
		CreatedAt: now, ExpiresAt: now.Add(time.Hour), LastSeenAt: now,
	}
	s.Digest = []byte(s.ID)
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertAccessPass(ctx, p); err != nil {
			return err
		}
		return tx.InsertSession(ctx, s)
	})
	return auth.Caller{Kind: auth.User, Workspace: h.w, User: u, Session: s.ID}
}

// A pass that was made before does not wait for the user's return.
func TestSuspend_withdrawsPasses(t *testing.T) {
	h := newHouse(t)
	bob, eve := h.user(t, "bob"), h.user(t, "eve")
	his, hers := h.pass(t, bob.ID), h.pass(t, eve.ID)
	if _, err := h.Suspend(t.Context(), h.by, bob.ID, leave.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Activate(t.Context(), h.by, bob.ID); err != nil {
		t.Fatal(err)
	}
	for u, want := range map[id.User]signin.AccessPassState{bob.ID: signin.PassWithdrawn, eve.ID: signin.PassValid} {
		storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
			all, err := tx.ListAccessPasses(ctx, h.w, u, 2)
			if len(all) != 1 || all[0].State(h.clock.Now()) != want {
				t.Errorf("passes %+v, want one that is %s", all, want)
			}
			return err
		})
	}
	if h.accepted(t, his) || !h.accepted(t, hers) {
		t.Error("want the session of Bob's pass over, Eve's not")
	}
}

func TestFindTies_securityKeys(t *testing.T) {
	h := newHouse(t)
	bob := h.user(t, "bob")
	storetest.KeyOf(t, h.Database, h.w, bob.ID, "contactless_card", "active")
	storetest.KeyOf(t, h.Database, h.w, bob.ID, "fido2", "new")
	storetest.KeyOf(t, h.Database, h.w, h.user(t, "eve").ID, "fido2", "new")
	ties, err := h.FindTies(t.Context(), h.by, bob.ID)
	if err != nil || ties.SecurityKeys != 2 {
		t.Errorf("FindTies() = %d keys (%v), want Bob's two", ties.SecurityKeys, err)
	}
}

func TestSuspend_disablesCreatedKeys(t *testing.T) {
	h := newHouse(t)
	bob := h.user(t, "bob")
	first := h.madeBy(t, string(bob.ID))
	second := h.madeBy(t, string(first.APIKey))
	other := h.madeBy(t, string(h.by.User))
	out, err := h.Suspend(t.Context(), h.by, bob.ID, leave.Options{DisableCreatedAPIKeys: true})
	if err != nil || out.Disabled != 2 || out.Left.Count != 0 {
		t.Fatalf("Suspend() = %+v (%v), want 2 disabled and none left", out, err)
	}
	if h.accepted(t, first) || h.accepted(t, second) || !h.accepted(t, other) {
		t.Error("want the key of Bob and the key of that key refused, another's accepted")
	}
	if line := storetest.Activity(t, h.Store, h.w, "user.suspend"); line.Detail != "api_keys disabled: 2" {
		t.Errorf("detail = %q, want 2 keys", line.Detail)
	}
	lines := storetest.Activities(t, h.Store, h.w, "api_key.disable")
	if len(lines) != 2 || lines[0].User != bob.ID || lines[0].Target.Type != "api_key" {
		t.Errorf("lines %+v, want one for each key", lines)
	}
	// Keys that appear later are disabled by a second press.
	h.madeBy(t, string(bob.ID))
	if out, err = h.Suspend(t.Context(), h.by, bob.ID, leave.Options{DisableCreatedAPIKeys: true}); err != nil || out.Disabled != 1 {
		t.Errorf("Suspend() again = %d disabled (%v), want 1", out.Disabled, err)
	}
}

func TestSuspend_keysNeedTheirOwnPermission(t *testing.T) {
	h := newHouse(t)
	bob := h.user(t, "bob")
	key := h.madeBy(t, string(bob.ID))
	manager := storetest.Administrator(t, h.Store, h.w, "manager", auth.UsersRead, auth.UsersWrite)
	_, err := h.Suspend(t.Context(), manager, bob.ID, leave.Options{DisableCreatedAPIKeys: true})
	storetest.Refused(t, err, "missing_permission")
	if u, _ := h.find(t, bob.ID); u.Shown() == directory.Suspended || !h.accepted(t, key) {
		t.Error("a refused suspension did something")
	}
	out, err := h.Suspend(t.Context(), manager, bob.ID, leave.Options{})
	if err != nil || out.Left.Count != 1 || out.Left.APIKeys != nil {
		t.Errorf("Suspend() = %+v (%v), want the key counted and not named", out.Left, err)
	}
}

func TestActivate_givesBackWhatWasThere(t *testing.T) {
	h := newHouse(t)
	bob := storetest.Administrator(t, h.Store, h.w, "bob", auth.UsersRead)
	if out, err := h.Activate(t.Context(), h.by, bob.User); err != nil || out.User.Revision != 1 {
		t.Errorf("Activate() = %+v (%v) for who is not suspended, want no change", out, err)
	}
	if _, err := h.Suspend(t.Context(), h.by, bob.User, leave.Options{}); err != nil {
		t.Fatal(err)
	}
	out, err := h.Activate(t.Context(), h.by, bob.User)
	if err != nil || out.User.Shown() != directory.NotInvited || out.User.Revision != 3 {
		t.Errorf("Activate() = %+v (%v), want Bob as he was", out, err)
	}
	if h.accepted(t, bob) {
		t.Error("Bob's old session is accepted, want a new sign-in")
	}
	if line := storetest.Activity(t, h.Store, h.w, "user.activate"); line.User != bob.User {
		t.Errorf("the line is %+v, want Bob", line)
	}
}

func TestDelete(t *testing.T) {
	h := newHouse(t)
	bob := h.user(t, "bob")
	storetest.Refused(t, h.Delete(t.Context(), h.by, bob.ID, 7), "revision_changed")
	if err := h.Delete(t.Context(), h.by, bob.ID, 1); err != nil {
		t.Fatal(err)
	}
	if _, found := h.find(t, bob.ID); found {
		t.Error("Bob is there, want him gone")
	}
	if line := storetest.Activity(t, h.Store, h.w, "user.delete"); line.User != bob.ID || line.Target.Name != bob.Name() {
		t.Errorf("the line is %+v, want Bob", line)
	}
	storetest.Refused(t, h.Delete(t.Context(), h.by, bob.ID, 0), "user_not_found")
}

// acts are the three acts on one user.
func (h house) acts() map[string]func(by auth.Caller, u id.User) error {
	return map[string]func(by auth.Caller, u id.User) error{
		"user.suspend": func(by auth.Caller, u id.User) error {
			_, err := h.Suspend(context.Background(), by, u, leave.Options{})
			return err
		},
		"user.activate": func(by auth.Caller, u id.User) error { _, err := h.Activate(context.Background(), by, u); return err },
		"user.delete":   func(by auth.Caller, u id.User) error { return h.Delete(context.Background(), by, u, 0) },
	}
}

// lastRefusal returns why an act was refused last.
func (h house) lastRefusal(t testing.TB, action string) activity.Event {
	t.Helper()
	lines := storetest.Activities(t, h.Store, h.w, action)
	lines = slices.DeleteFunc(lines, func(e activity.Event) bool { return e.Outcome != activity.Refused })
	if len(lines) == 0 {
		return activity.Event{}
	}
	return lines[len(lines)-1]
}

func TestRules(t *testing.T) {
	stale := func(by auth.Caller) auth.Caller {
		by.StepUpAt = storetest.Start().Add(-auth.StepUpAge)
		return by
	}
	var but auth.Permissions
	for _, p := range auth.All() {
		if p != auth.WorkspaceWrite {
			but = append(but, p)
		}
	}
	for name, c := range map[string]struct {
		action string
		call   func(h house, act func(by auth.Caller, u id.User) error) error
		want   string // code, "" for success
	}{
		"suspending oneself": {"user.suspend", func(h house, act func(auth.Caller, id.User) error) error { return act(h.by, h.by.User) }, "not_yourself"},
		"deleting oneself":   {"user.delete", func(h house, act func(auth.Caller, id.User) error) error { return act(h.by, h.by.User) }, "not_yourself"},
		"suspending who may more": {"user.suspend", func(h house, act func(auth.Caller, id.User) error) error {
			return act(storetest.Administrator(t, h.Store, h.w, "lesser", auth.UsersWrite), h.by.User)
		}, "beyond_your_permissions"},
		"activating who may more": {"user.activate", func(h house, act func(auth.Caller, id.User) error) error {
			return act(storetest.Administrator(t, h.Store, h.w, "lesser", auth.UsersWrite), h.by.User)
		}, "beyond_your_permissions"},
		"deleting who may more": {"user.delete", func(h house, act func(auth.Caller, id.User) error) error {
			return act(storetest.APIKey(t, h.Store, h.w, but...), h.by.User)
		}, "beyond_your_permissions"},
		"deleting an administrator without all": {"user.delete", func(h house, act func(auth.Caller, id.User) error) error {
			bob := storetest.Administrator(t, h.Store, h.w, "bob", auth.UsersRead)
			return act(storetest.Administrator(t, h.Store, h.w, "most", but...), bob.User)
		}, "beyond_your_permissions"},
		"suspending an administrator who may less": {"user.suspend", func(h house, act func(auth.Caller, id.User) error) error {
			bob := storetest.Administrator(t, h.Store, h.w, "bob", auth.UsersRead)
			return act(storetest.Administrator(t, h.Store, h.w, "most", but...), bob.User)
		}, ""},
		"suspending an administrator without a fresh passkey": {"user.suspend", func(h house, act func(auth.Caller, id.User) error) error {
			return act(stale(h.by), storetest.Administrator(t, h.Store, h.w, "bob", auth.UsersRead).User)
		}, "step_up_required"},
		"deleting an administrator without a fresh passkey": {"user.delete", func(h house, act func(auth.Caller, id.User) error) error {
			return act(stale(h.by), storetest.Administrator(t, h.Store, h.w, "bob", auth.UsersRead).User)
		}, "step_up_required"},
		"suspending a user without a fresh passkey": {"user.suspend", func(h house, act func(auth.Caller, id.User) error) error {
			return act(stale(h.by), storetest.User(t, h.Store, h.w, "bob").ID)
		}, ""},
		"a program suspends the last owner": {"user.suspend", func(h house, act func(auth.Caller, id.User) error) error {
			return act(storetest.APIKey(t, h.Store, h.w, auth.All()...), h.by.User)
		}, "last_owner"},
		"a program deletes the last owner": {"user.delete", func(h house, act func(auth.Caller, id.User) error) error {
			return act(storetest.APIKey(t, h.Store, h.w, auth.All()...), h.by.User)
		}, "last_owner"},
		"the other owner is suspended": {"user.delete", func(h house, act func(auth.Caller, id.User) error) error {
			second := storetest.Administrator(t, h.Store, h.w, "second")
			if _, err := h.Suspend(t.Context(), h.by, second.User, leave.Options{}); err != nil {
				t.Error(err)
			}
			return act(storetest.APIKey(t, h.Store, h.w, auth.All()...), h.by.User)
		}, "last_owner"},
		"one of two owners": {"user.delete", func(h house, act func(auth.Caller, id.User) error) error {
			return act(h.by, storetest.Administrator(t, h.Store, h.w, "second").User)
		}, ""},
		"somebody's own API key deletes them": {"user.delete", func(h house, act func(auth.Caller, id.User) error) error {
			return act(storetest.APIKey(t, h.Store, h.w, auth.UsersWrite), storetest.User(t, h.Store, h.w, "bob").ID)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			before := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM directory_user WHERE suspended_at = 0`)
			err := c.call(h, h.acts()[c.action])
			if c.want == "" {
				if err != nil {
					t.Errorf("%v, want nil", err)
				}
				return
			}
			storetest.Refused(t, err, c.want)
			if line := h.lastRefusal(t, c.action); line.Reason != c.want || line.Target.Type != "user" {
				t.Errorf("the refusal's line is %+v, want the reason %s", line, c.want)
			}
			if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM directory_user WHERE suspended_at = 0`); n < before {
				t.Errorf("%d users are not suspended, want at least %d: it was refused", n, before)
			}
		})
	}
}

func TestMany_oneOutcomeForEach(t *testing.T) {
	h := newHouse(t)
	bob, eve := h.user(t, "bob"), h.user(t, "eve")
	foreign := storetest.User(t, h.Store, storetest.Workspace(t, h.Store), "foreign")
	users := []id.User{bob.ID, h.by.User, "user_none", foreign.ID, eve.ID, ""}
	codes := func(rows []leave.RowOutcome) string {
		var out []string
		for i, row := range rows {
			code := "success"
			if row.Fault != nil {
				code = row.Fault.Code
			}
			if row.User != users[i] {
				t.Errorf("outcome %d is of %q, want %q", i, row.User, users[i])
			}
			out = append(out, code)
		}
		return strings.Join(out, " ")
	}
	const want = "success not_yourself user_not_found user_not_found success user_not_found"
	rows, err := h.SuspendMany(t.Context(), h.by, users, leave.Options{})
	if err != nil || codes(rows) != want || rows[0].Name != bob.Name() {
		t.Errorf("SuspendMany() = %q (%v), want %q", codes(rows), err, want)
	}
	if rows, err = h.ActivateMany(t.Context(), h.by, users); err != nil || codes(rows) != strings.Replace(want, "not_yourself", "success", 1) {
		t.Errorf("ActivateMany() = %q (%v)", codes(rows), err)
	}
	if rows, err = h.DeleteMany(t.Context(), h.by, users); err != nil || codes(rows) != want {
		t.Errorf("DeleteMany() = %q (%v), want %q", codes(rows), err, want)
	}
	if _, found := h.find(t, eve.ID); found {
		t.Error("Eve is there, want her gone")
	}
	if line := h.lastRefusal(t, "user.delete"); line.Reason != "not_yourself" {
		t.Errorf("the refusal's line is %+v, want not_yourself", line)
	}
	_, err = h.DeleteMany(t.Context(), h.by, make([]id.User, leave.MaxMany+1))
	storetest.Refused(t, err, "invalid_fields")
}

func TestFromNote(t *testing.T) {
	rows := leave.FromNote([]id.User{"user_a", "user_b"}, `{"user_b":{"c":"last_owner","p":"No."}}`)
	if len(rows) != 2 || rows[0].Fault != nil || rows[1].Fault.Code != "last_owner" || rows[1].Fault.Public != "No." {
		t.Errorf("FromNote() = %+v, want one that failed", rows)
	}
}

func TestFindTies(t *testing.T) {
	h := newHouse(t)
	bob := storetest.Administrator(t, h.Store, h.w, "bob", auth.UsersRead)
	h.madeBy(t, string(bob.User))
	ties, err := h.FindTies(t.Context(), h.by, bob.User)
	if err != nil || !ties.Administrator || ties.Owner || ties.Sessions != 1 || ties.Passkeys != 0 || ties.Left.Count != 1 || len(ties.Left.APIKeys) != 1 {
		t.Errorf("FindTies() = %+v (%v), want an administrator with a session and a key", ties, err)
	}
	ties, err = h.FindTies(t.Context(), storetest.APIKey(t, h.Store, h.w, auth.UsersRead), bob.User)
	if err != nil || ties.Left.Count != 1 || ties.Left.APIKeys != nil {
		t.Errorf("FindTies() = %+v (%v) without api_keys.read, want the key not named", ties, err)
	}
}

func TestService_strangers(t *testing.T) {
	h := newHouse(t)
	u := h.user(t, "ada")
	for _, s := range []storetest.Stranger{
		{Action: "user.suspend", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			_, err := h.Suspend(t.Context(), by, u.ID, leave.Options{})
			return err
		}},
		{Action: "user.activate", Need: auth.UsersWrite, Call: func(by auth.Caller) error { _, err := h.Activate(t.Context(), by, u.ID); return err }},
		{Action: "user.delete", Need: auth.UsersWrite, Call: func(by auth.Caller) error { return h.Delete(t.Context(), by, u.ID, 0) }},
		{Action: "user.find", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			ties, err := h.FindTies(t.Context(), by, u.ID)
			if ties.User.ID != "" {
				t.Errorf("FindTies() shows %+v", ties)
			}
			return err
		}},
	} {
		t.Run(s.Action, func(t *testing.T) { storetest.Strangers(t, h.Database, h.w, s) })
	}
	if got, found := h.find(t, u.ID); !found || cmp.Diff(u, got) != "" {
		t.Errorf("a stranger changed the user: %+v", got)
	}
	many := newHouse(t)
	v := many.user(t, "ada")
	for _, s := range []storetest.Stranger{
		{Action: "user.suspend", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			_, err := many.SuspendMany(t.Context(), by, []id.User{v.ID}, leave.Options{})
			return err
		}},
		{Action: "user.activate", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			_, err := many.ActivateMany(t.Context(), by, []id.User{v.ID})
			return err
		}},
		{Action: "user.delete", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			_, err := many.DeleteMany(t.Context(), by, []id.User{v.ID})
			return err
		}},
	} {
		t.Run("many "+s.Action, func(t *testing.T) { storetest.Strangers(t, many.Database, many.w, s) })
	}
	if got, found := many.find(t, v.ID); !found || cmp.Diff(v, got) != "" {
		t.Errorf("a stranger changed the user: %+v", got)
	}
}

// Another workspace's user and one who never was get the same answer.
func TestService_otherWorkspaceIsAbsent(t *testing.T) {
	h := newHouse(t)
	u := h.user(t, "ada")
	other := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "other")
	calls := h.acts()
	calls["ties"] = func(by auth.Caller, u id.User) error { _, err := h.FindTies(t.Context(), by, u); return err }
	for name, call := range calls {
		foreign, missing := call(other, u.ID), call(other, id.New[id.KindUser](storetest.Start()))
		if diff := cmp.Diff(storetest.Fault(t, missing, "user_not_found"), storetest.Fault(t, foreign, "user_not_found"), cmpopts.IgnoreUnexported(fault.Error{})); diff != "" {
			t.Errorf("%s tells another workspace's user from a missing one (-missing +foreign):\n%s", name, diff)
		}
	}
}

// Two owners suspend each other at once: one stays.
func TestSuspend_ownersEachOther(t *testing.T) {
	for name, open := range map[string]storetest.Opener{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			for range 15 {
				h := houseOn(t, d)
				second := storetest.Administrator(t, h.Store, h.w, "second")
				var both sync.WaitGroup
				var errs [2]error
				both.Go(func() { _, errs[0] = h.Suspend(t.Context(), h.by, second.User, leave.Options{}) })
				both.Go(func() { _, errs[1] = h.Suspend(t.Context(), second, h.by.User, leave.Options{}) })
				both.Wait()
				if (errs[0] == nil) == (errs[1] == nil) {
					t.Fatalf("%v and %v, want one to be refused", errs[0], errs[1])
				}
				if n := storetest.Count(t, d, `SELECT COUNT(*) FROM directory_user WHERE suspended_at = 0 AND workspace = $1`, string(h.w)); n != 1 {
					t.Fatalf("%d owners are left, want 1", n)
				}
			}
		})
	}
}
