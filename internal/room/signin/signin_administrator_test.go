package signin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// all returns every permission, for an administrator who is no owner.
func all() []auth.Permission { return auth.All() }

// seat returns an administrator as the owner sees them.
func (h house) seat(t testing.TB, owner auth.Caller, a id.Administrator) signin.Seat {
	t.Helper()
	s, err := h.FindAdministrator(t.Context(), owner, a)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAddAdministrator(t *testing.T) {
	h := newHouse(t, false)
	owner, lesser := storetest.Administrator(t, h.Store, h.w, "owner"), storetest.Administrator(t, h.Store, h.w, "lesser", all()...)
	key := storetest.APIKey(t, h.Store, h.w, all()...)
	for i, c := range []struct {
		by          auth.Caller
		n           signin.NewAdministrator
		permissions auth.Permissions
		detail      string
	}{
		{owner, signin.NewAdministrator{}, nil, "nothing"},
		{lesser, signin.NewAdministrator{Permissions: []string{"users.write", "users.read", "users.read"}}, auth.Permissions{auth.UsersRead, auth.UsersWrite}, "users.read, users.write"},
		{
			key,
			signin.NewAdministrator{Preset: "account_manager"},
			auth.Permissions{auth.DigitalKeysRead, auth.DigitalKeysWrite, auth.LocksRead, auth.LocksWrite, auth.UsersRead, auth.UsersWrite},
			"digital_keys.read, digital_keys.write, locks.read, locks.write, users.read, users.write",
		},
		{owner, signin.NewAdministrator{Owner: true}, nil, "owner"},
	} {
		h.clock.Advance(time.Second)
		name := fmt.Sprint("new", i)
		c.n.User = storetest.User(t, h.Store, h.w, name).ID
		got, err := h.AddAdministrator(t.Context(), c.by, c.n)
		if err != nil {
			t.Fatal(err)
		}
		if got.User != c.n.User || !slices.Equal(got.Permissions, c.permissions) || got.Owner != c.n.Owner || got.Revision != 1 || got.Person.Name != name+" Example" {
			t.Errorf("AddAdministrator(%+v) = %+v", c.n, got)
		}
		if diff := cmp.Diff(got, h.seat(t, owner, got.ID)); diff != "" {
			t.Errorf("FindAdministrator() differs (-added +found):\n%s", diff)
		}
		if line := h.last(t, "administrator.create"); line.User != c.n.User || line.Detail != c.detail || line.Actor.ID != c.by.Identity() || line.Outcome != activity.Success {
			t.Errorf("the line is %+v, want %s by %s", line, c.detail, c.by.Name)
		}
	}
	if got := h.mails(t); len(got) != 4 || got[0] != "mail.administrator_added new0@example.org" {
		t.Errorf("mails %v, want one for each", got)
	}
}

func TestAddAdministrator_refusals(t *testing.T) {
	h := newHouse(t, false)
	owner, lesser := storetest.Administrator(t, h.Store, h.w, "owner"), storetest.Administrator(t, h.Store, h.w, "lesser", all()...)
	writer := storetest.Administrator(t, h.Store, h.w, "writer", auth.AdministratorsRead, auth.AdministratorsWrite)
	key := storetest.APIKey(t, h.Store, h.w, all()...)
	stale := owner
	stale.StepUpAt = h.clock.Now().Add(-auth.StepUpAge)
	u := storetest.User(t, h.Store, h.w, "new").ID
	foreign := storetest.User(t, h.Store, storetest.Workspace(t, h.Store), "foreign").ID
	for name, c := range map[string]struct {
		by     auth.Caller
		n      signin.NewAdministrator
		code   string
		fields []string
		line   bool
	}{
		"not all permissions":       {writer, signin.NewAdministrator{User: u}, "beyond_your_permissions", nil, true},
		"a narrow key":              {storetest.APIKey(t, h.Store, h.w, auth.AdministratorsWrite), signin.NewAdministrator{User: u}, "beyond_your_permissions", nil, true},
		"no fresh passkey":          {stale, signin.NewAdministrator{User: u}, "step_up_required", nil, true},
		"an owner, by none":         {lesser, signin.NewAdministrator{User: u, Owner: true}, "owners_only", nil, true},
		"an owner, by a key":        {key, signin.NewAdministrator{User: u, Owner: true}, "owners_only", nil, true},
		"an unknown permission":     {owner, signin.NewAdministrator{User: u, Permissions: []string{"users.eat"}}, "invalid_fields", []string{"permissions"}, false},
		"an unknown preset":         {owner, signin.NewAdministrator{User: u, Preset: "king"}, "invalid_fields", []string{"preset"}, false},
		"preset and permissions":    {owner, signin.NewAdministrator{User: u, Preset: "auditor", Permissions: []string{"users.read"}}, "invalid_fields", []string{"preset"}, false},
		"another workspace's user":  {owner, signin.NewAdministrator{User: foreign}, "invalid_fields", []string{"user"}, false},
		"an unknown user":           {owner, signin.NewAdministrator{User: "user_none", Preset: "king"}, "invalid_fields", []string{"user", "preset"}, false},
		"one who is one already":    {owner, signin.NewAdministrator{User: writer.User}, "administrator_exists", []string{"user"}, false},
		"an owner, one more as key": {key, signin.NewAdministrator{User: owner.User}, "administrator_exists", []string{"user"}, false},
	} {
		h.clock.Advance(time.Second)
		before := len(storetest.Activities(t, h.Store, h.w, ""))
		_, err := h.AddAdministrator(t.Context(), c.by, c.n)
		f := storetest.Fault(t, err, c.code)
		if !slices.Equal(storetest.FieldNames(f), c.fields) {
			t.Errorf("%s: fields %v, want %v", name, storetest.FieldNames(f), c.fields)
		}
		lines := storetest.Activities(t, h.Store, h.w, "")[before:]
		if c.line && (len(lines) != 1 || lines[0].Reason != c.code || lines[0].Action != "administrator.create") || !c.line && len(lines) > 0 {
			t.Errorf("%s: lines %+v, want one %v", name, lines, c.line)
		}
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_administrator`); n != 3 {
		t.Errorf("%d administrators, want the 3 of before", n)
	}
}

func TestChangeAdministrator(t *testing.T) {
	h := newHouse(t, false)
	owner := storetest.Administrator(t, h.Store, h.w, "owner")
	other := storetest.Administrator(t, h.Store, h.w, "other", auth.UsersRead, auth.UsersWrite)
	room := directory.New(store.For[directory.Tx](h.Store), h.clock)
	if _, _, err := room.Find(t.Context(), other, owner.User); err != nil {
		t.Fatal(err)
	}
	names := []string{"activities.read"}
	got, err := h.ChangeAdministrator(t.Context(), owner, other.Administrator, signin.AdministratorChange{Permissions: &names}, 1)
	if err != nil || got.Revision != 2 || !slices.Equal(got.Permissions, auth.Permissions{auth.ActivitiesRead}) {
		t.Errorf("ChangeAdministrator() = %+v (%v)", got, err)
	}
	// What was taken is gone at once, in the session that is open.
	_, _, err = room.Find(t.Context(), other, owner.User)
	storetest.Refused(t, err, "missing_permission")
	if line := h.last(t, "administrator.update"); line.Detail != "permissions" || line.User != other.User {
		t.Errorf("the line is %+v, want one about permissions", line)
	}
	_, err = h.ChangeAdministrator(t.Context(), owner, other.Administrator, signin.AdministratorChange{Preset: "auditor"}, 1)
	storetest.Refused(t, err, "revision_changed")
	if got, err = h.ChangeAdministrator(t.Context(), owner, other.Administrator, signin.AdministratorChange{Preset: "auditor"}, 2); err != nil || signin.PresetOf(got.Permissions) != "auditor" {
		t.Errorf("ChangeAdministrator() = %+v (%v), want the preset", got, err)
	}
	if got, err = h.ChangeAdministrator(t.Context(), owner, other.Administrator, signin.AdministratorChange{Preset: "auditor"}, 0); err != nil || got.Revision != 3 {
		t.Errorf("the same again: %+v (%v), want nothing to happen", got, err)
	}
	if got, err = h.ChangeAdministrator(t.Context(), owner, other.Administrator, signin.AdministratorChange{Owner: new(true)}, 0); err != nil || !got.Owner {
		t.Errorf("ChangeAdministrator() = %+v (%v), want an owner", got, err)
	}
	if diff := cmp.Diff(got, h.seat(t, owner, other.Administrator)); diff != "" {
		t.Errorf("FindAdministrator() differs (-changed +found):\n%s", diff)
	}
	none := []string{}
	if got, err = h.ChangeAdministrator(t.Context(), owner, other.Administrator, signin.AdministratorChange{Owner: new(false), Permissions: &none}, 0); err != nil || got.Owner || len(got.May()) != 0 {
		t.Errorf("ChangeAdministrator() = %+v (%v), want one who may nothing", got, err)
	}
	_, err = h.ChangeAdministrator(t.Context(), owner, owner.Administrator, signin.AdministratorChange{Owner: new(false)}, 0)
	storetest.Refused(t, err, "last_owner")
	bad := []string{"x"}
	_, err = h.ChangeAdministrator(t.Context(), owner, other.Administrator, signin.AdministratorChange{Permissions: &bad}, 0)
	storetest.Refused(t, err, "invalid_fields")
}

// An owner who is suspended does not count: somebody must be able to get in.
func TestLastOwner(t *testing.T) {
	h := newHouse(t, false)
	owner, second := storetest.Administrator(t, h.Store, h.w, "owner"), storetest.Administrator(t, h.Store, h.w, "second")
	job := auth.Job(h.w, "test")
	storetest.Exec(t, h.Database, `UPDATE directory_user SET suspended_at = 1 WHERE id = $1`, second.User)
	_, err := h.RemoveAdministrator(t.Context(), job, owner.Administrator)
	storetest.Refused(t, err, "last_owner")
	_, err = h.ChangeAdministrator(t.Context(), owner, owner.Administrator, signin.AdministratorChange{Owner: new(false)}, 0)
	storetest.Refused(t, err, "last_owner")
	if _, err := h.RemoveAdministrator(t.Context(), owner, second.Administrator); err != nil {
		t.Errorf("RemoveAdministrator() = %v for a suspended owner, want nil", err)
	}
}

func TestRemoveAdministrator(t *testing.T) {
	h := newHouse(t, false)
	ada, bob := h.person(t, "ada"), h.person(t, "bob")
	owner, other := h.enter(t, ada).Caller, h.enter(t, bob)
	app := h.enterApp(t, "bob@example.org")
	link := h.issue(t, "bob@example.org")
	keys := apikey.New(apikey.Config{Store: store.For[apikey.Tx](h.Store), Clock: h.clock, Peppers: apikey.Peppers{Current: 1, Known: map[int]secret.Bytes{1: secret.FromString("pepper")}}})
	k, _, err := keys.Create(t.Context(), other.Caller, apikey.NewKey{Name: "Bob's robot", Type: apikey.Admin})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.RemoveAdministrator(t.Context(), owner, owner.Administrator)
	storetest.Refused(t, err, "not_yourself")
	left, err := h.RemoveAdministrator(t.Context(), owner, other.Caller.Administrator)
	if diff := cmp.Diff([]signin.LeftKey{{ID: k.ID, Name: "Bob's robot", Type: "admin"}}, left); err != nil || diff != "" {
		t.Fatalf("RemoveAdministrator() error %v, left (-want +got):\n%s", err, diff)
	}
	_, err = h.VerifySession(t.Context(), h.by, other.Token)
	refused(t, "a panel session of one who was removed", err)
	if _, err := h.OwnSessions(t.Context(), app); err != nil {
		t.Errorf("in the app: %v, want it open: the user stays", err)
	}
	_, err = h.FindSetupLink(t.Context(), h.by, link)
	storetest.Refused(t, err, "setup_link_not_found")
	if line := h.last(t, "administrator.delete"); line.User != bob.user || line.Detail != "owner" {
		t.Errorf("the line is %+v, want one about Bob, who was an owner", line)
	}
	_, err = h.RemoveAdministrator(t.Context(), owner, other.Caller.Administrator)
	storetest.Refused(t, err, "administrator_not_found")
	// Made an administrator again, his old passkey waits.
	if _, err := h.AddAdministrator(t.Context(), owner, signin.NewAdministrator{User: bob.user, Permissions: auth.All().Strings()}); err != nil {
		t.Fatal(err)
	}
	if opened := h.enter(t, bob); opened.Caller.Kind != auth.User {
		t.Errorf("his old passkey opens a session of kind %s, want the app's", opened.Caller.Kind)
	}
}

func TestAdministrators(t *testing.T) {
	h := newHouse(t, false)
	owner := storetest.Administrator(t, h.Store, h.w, "mia")
	storetest.Administrator(t, h.Store, h.w, "zoe", auth.UsersRead)
	storetest.Administrator(t, h.Store, h.w, "ada", auth.UsersRead)
	storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "eve")
	storetest.User(t, h.Store, h.w, "plain")
	var names []string
	r := page.Request{Limit: 2, WithTotal: true}
	for {
		p, err := h.Administrators(t.Context(), owner, r)
		if err != nil || p.Total != 3 {
			t.Fatalf("Administrators() = %+v (%v), want 3 in all", p, err)
		}
		for _, s := range p.Items {
			names = append(names, s.Person.Name)
		}
		if r.After = p.Next; p.Next.IsZero() {
			break
		}
	}
	if want := []string{"ada Example", "mia Example", "zoe Example"}; !slices.Equal(names, want) {
		t.Errorf("names %v, want %v", names, want)
	}
	for _, sort := range signin.Sorts() {
		p, err := h.Administrators(t.Context(), owner, page.Request{Sort: sort, Descending: true, Limit: 1})
		if err != nil || len(p.Items) != 1 || p.Next.IsZero() {
			t.Errorf("by %s: %+v (%v), want one and more to come", sort, p, err)
		}
		p, err = h.Administrators(t.Context(), owner, page.Request{Sort: sort, Descending: true, Limit: 2, After: p.Next})
		if err != nil || len(p.Items) != 2 || !p.Next.IsZero() {
			t.Errorf("by %s, the next: %+v (%v), want the last two", sort, p, err)
		}
	}
}

func TestConfirmPasskey(t *testing.T) {
	h := newHouse(t, false)
	ada, bob := h.person(t, "ada"), h.person(t, "bob")
	owner, other := h.enter(t, ada).Caller, h.enter(t, bob).Caller
	mine := newDevice()
	k := h.register(t, h.enterApp(t, "bob@example.org"), mine)
	if s := h.seat(t, owner, other.Administrator); s.Passkeys != 2 || s.Unconfirmed != 1 {
		t.Errorf("the list shows %d passkeys, %d waiting, want 2 and 1", s.Passkeys, s.Unconfirmed)
	}
	waiting := h.enter(t, person{bob.user, mine})
	_, err := h.ConfirmPasskey(t.Context(), other, other.Administrator, k.ID)
	storetest.Refused(t, err, "not_yourself")
	if line := h.last(t, "passkey.confirm"); line.Outcome != activity.Refused || line.Reason != "not_yourself" {
		t.Errorf("the line is %+v, want the refusal", line)
	}
	stale := owner
	stale.StepUpAt = h.clock.Now().Add(-auth.StepUpAge)
	_, err = h.ConfirmPasskey(t.Context(), stale, other.Administrator, k.ID)
	storetest.Refused(t, err, "step_up_required")
	for _, by := range []auth.Caller{storetest.APIKey(t, h.Store, h.w, all()...), auth.Job(h.w, "test")} {
		_, err := h.ConfirmPasskey(t.Context(), by, other.Administrator, k.ID)
		storetest.Refused(t, err, "person_only")
		storetest.Refused(t, h.RemovePasskey(t.Context(), by, other.Administrator, k.ID), "person_only")
	}
	for _, unknown := range []id.Passkey{"psk_none", h.passkeyOf(t, ada)} {
		_, err := h.ConfirmPasskey(t.Context(), owner, other.Administrator, unknown)
		storetest.Refused(t, err, "passkey_not_found")
		storetest.Refused(t, h.RemovePasskey(t.Context(), owner, other.Administrator, unknown), "passkey_not_found")
	}
	h.clock.Advance(time.Minute)
	got, err := h.ConfirmPasskey(t.Context(), owner, other.Administrator, k.ID)
	if err != nil || !got.ConfirmedAt.Equal(h.clock.Now()) || got.ConfirmedBy != ada.user {
		t.Fatalf("ConfirmPasskey() = %+v (%v), want Ada's confirmation", got, err)
	}
	all, err := h.Passkeys(t.Context(), owner, other.Administrator)
	if i := slices.IndexFunc(all, func(p signin.Passkey) bool { return p.ID == k.ID }); err != nil || len(all) != 2 || cmp.Diff(got, all[i], cmp.FilterPath(func(p cmp.Path) bool {
		return slices.Contains([]string{"LastUsedAt", "Record"}, p.Last().String()[1:])
	}, cmp.Ignore())) != "" {
		t.Errorf("Passkeys() = %+v (%v), want the confirmed one among two", all, err)
	}
	if line := h.last(t, "passkey.confirm"); line.Outcome != activity.Success || line.User != bob.user || line.Actor.ID != string(ada.user) || line.Target.ID != string(k.ID) {
		t.Errorf("the line is %+v, want Ada's about Bob's", line)
	}
	_, err = h.ConfirmPasskey(t.Context(), owner, other.Administrator, k.ID)
	storetest.Refused(t, err, "passkey_confirmed")
	// What it opened before stays the app's; from now on it opens the panel.
	if by, err := h.VerifySession(t.Context(), h.by, waiting.Token); err != nil || by.Kind != auth.User {
		t.Errorf("the session from before: %+v (%v), want the app's", by.Kind, err)
	}
	opened := h.enter(t, person{bob.user, mine})
	if opened.Caller.Kind != auth.Administrator {
		t.Errorf("a session of kind %s, want the panel's", opened.Caller.Kind)
	}
	if err := h.RemovePasskey(t.Context(), owner, other.Administrator, k.ID); err != nil {
		t.Fatal(err)
	}
	_, err = h.VerifySession(t.Context(), h.by, opened.Token)
	refused(t, "a session of a passkey that was removed", err)
	if line := h.last(t, "passkey.delete"); line.User != bob.user || line.Actor.ID != string(ada.user) {
		t.Errorf("the line is %+v", line)
	}
	k = h.register(t, h.enterApp(t, "bob@example.org"), newDevice())
	if err := h.RemovePasskey(t.Context(), owner, other.Administrator, k.ID); err != nil {
		t.Fatal(err)
	}
	storetest.Activity(t, h.Store, h.w, "passkey.reject")
	storetest.Refused(t, h.RemovePasskey(t.Context(), owner, owner.Administrator, h.passkeyOf(t, ada)), "not_yourself")
}

func TestEndSession_ofAnother(t *testing.T) {
	h := newHouse(t, false)
	ada, bob := h.person(t, "ada"), h.person(t, "bob")
	h.clock.Advance(12 * time.Hour) // the setup links' sessions are over
	owner, other := h.enter(t, ada).Caller, h.enter(t, bob)
	h.enterApp(t, "bob@example.org")
	open, err := h.Sessions(t.Context(), owner, other.Caller.Administrator)
	if err != nil || len(open) != 2 {
		t.Fatalf("Sessions() = %+v (%v), want two", open, err)
	}
	for _, unknown := range []id.Session{"ses_none", owner.Session} {
		storetest.Refused(t, h.EndSession(t.Context(), owner, other.Caller.Administrator, unknown), "session_not_found")
	}
	if err := h.EndSession(t.Context(), owner, other.Caller.Administrator, other.Caller.Session); err != nil {
		t.Fatal(err)
	}
	_, err = h.VerifySession(t.Context(), h.by, other.Token)
	refused(t, "a session that somebody ended", err)
	if line := h.last(t, "session.end"); line.User != bob.user || line.Actor.ID != string(ada.user) || line.Target.ID != string(bob.user) {
		t.Errorf("the line is %+v, want Ada's about Bob", line)
	}
	if n, err := h.EndSessions(t.Context(), owner, other.Caller.Administrator); n != 1 || err != nil {
		t.Errorf("EndSessions() = %d (%v), want the app's", n, err)
	}
	if n, err := h.EndSessions(t.Context(), owner, owner.Administrator); n != 0 || err != nil {
		t.Errorf("EndSessions() = %d (%v) of one's own, want all but the one called by", n, err)
	}
}

// Who looks after administrators does so for those who may no more than themselves.
func TestReview_needsThePermissionsOfTheHolder(t *testing.T) {
	h := newHouse(t, false)
	owner := storetest.Administrator(t, h.Store, h.w, "owner")
	grand := storetest.Administrator(t, h.Store, h.w, "grand", all()...)
	helper := storetest.Administrator(t, h.Store, h.w, "helper", auth.AdministratorsRead, auth.AdministratorsWrite, auth.UsersRead)
	reader := storetest.Administrator(t, h.Store, h.w, "reader", auth.UsersRead)
	writer := storetest.Administrator(t, h.Store, h.w, "writer", auth.UsersRead, auth.UsersWrite)
	key := storetest.APIKey(t, h.Store, h.w, all()...)
	for _, c := range []struct {
		name      string
		by, about auth.Caller
		code      string
	}{
		{"helper about reader", helper, reader, "session_not_found"},
		{"helper about writer", helper, writer, "beyond_your_permissions"},
		{"helper about grand", helper, grand, "beyond_your_permissions"},
		{"helper about owner", helper, owner, "beyond_your_permissions"},
		{"grand about writer", grand, writer, "session_not_found"},
		{"grand about owner", grand, owner, "beyond_your_permissions"},
		{"key about grand", key, grand, "session_not_found"},
		{"key about owner", key, owner, "beyond_your_permissions"},
		{"owner about grand", owner, grand, "session_not_found"},
	} {
		err := h.EndSession(t.Context(), c.by, c.about.Administrator, "ses_none")
		if f, ok := fault.As(err); !ok || f.Code != c.code {
			t.Errorf("%s: ending a session: %v, want %s", c.name, err, c.code)
		}
		if c.by.Kind == auth.APIKey {
			continue
		}
		want := c.code
		if want == "session_not_found" {
			want = "passkey_not_found"
		}
		_, err = h.ConfirmPasskey(t.Context(), c.by, c.about.Administrator, "psk_none")
		for what, err := range map[string]error{"confirming": err, "removing": h.RemovePasskey(t.Context(), c.by, c.about.Administrator, "psk_none")} {
			if f, ok := fault.As(err); !ok || f.Code != want {
				t.Errorf("%s: %s a passkey: %v, want %s", c.name, what, err, want)
			}
		}
	}
}

func TestAdministrators_strangers(t *testing.T) {
	type call struct {
		action string
		need   auth.Permission
		do     func(h house, by auth.Caller, a id.Administrator) error
	}
	for i, c := range []call{
		{"administrator.list", auth.AdministratorsRead, func(h house, by auth.Caller, _ id.Administrator) error {
			_, err := h.Administrators(t.Context(), by, page.Request{})
			return err
		}},
		{"administrator.find", auth.AdministratorsRead, func(h house, by auth.Caller, a id.Administrator) error {
			_, err := h.FindAdministrator(t.Context(), by, a)
			return err
		}},
		{"administrator.create", auth.AdministratorsWrite, func(h house, by auth.Caller, _ id.Administrator) error {
			_, err := h.AddAdministrator(t.Context(), by, signin.NewAdministrator{})
			return err
		}},
		{"administrator.update", auth.AdministratorsWrite, func(h house, by auth.Caller, a id.Administrator) error {
			_, err := h.ChangeAdministrator(t.Context(), by, a, signin.AdministratorChange{Preset: "auditor"}, 0)
			return err
		}},
		{"administrator.delete", auth.AdministratorsWrite, func(h house, by auth.Caller, a id.Administrator) error {
			_, err := h.RemoveAdministrator(t.Context(), by, a)
			return err
		}},
		{"passkey.list", auth.AdministratorsRead, func(h house, by auth.Caller, a id.Administrator) error {
			_, err := h.Passkeys(t.Context(), by, a)
			return err
		}},
		{"passkey.confirm", auth.AdministratorsWrite, func(h house, by auth.Caller, a id.Administrator) error {
			_, err := h.ConfirmPasskey(t.Context(), by, a, "psk_none")
			return err
		}},
		{"passkey.delete", auth.AdministratorsWrite, func(h house, by auth.Caller, a id.Administrator) error {
			return h.RemovePasskey(t.Context(), by, a, "psk_none")
		}},
		{"session.list", auth.AdministratorsRead, func(h house, by auth.Caller, a id.Administrator) error {
			_, err := h.Sessions(t.Context(), by, a)
			return err
		}},
		{"session.end", auth.AdministratorsWrite, func(h house, by auth.Caller, a id.Administrator) error {
			return h.EndSession(t.Context(), by, a, "ses_none")
		}},
		{"session.end", auth.AdministratorsWrite, func(h house, by auth.Caller, a id.Administrator) error {
			_, err := h.EndSessions(t.Context(), by, a)
			return err
		}},
	} {
		t.Run(fmt.Sprint(c.action, i), func(t *testing.T) {
			h := newHouse(t, false)
			owner := storetest.Administrator(t, h.Store, h.w, "owner")
			storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: c.action, Need: c.need, Call: func(by auth.Caller) error { return c.do(h, by, owner.Administrator) }})
			// What is another workspace's is not there.
			foreign := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "foreign")
			if c.action == "administrator.list" || c.action == "administrator.create" {
				return
			}
			for _, a := range []id.Administrator{foreign.Administrator, "adm_none", ""} {
				storetest.Refused(t, c.do(h, owner, a), "administrator_not_found")
			}
		})
	}
}

// Nobody rises through somebody else's account (PRODUCT 1): everything that the
// weaker ones might try to become an owner, or to act as one.
func TestNobodyRises(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada") // the owner
	owner := h.enter(t, ada).Caller
	keyAdministrator := storetest.Administrator(t, h.Store, h.w, "key", auth.UsersRead, auth.UsersWrite)
	room := directory.New(store.For[directory.Tx](h.Store), h.clock)
	keys := apikey.New(apikey.Config{Store: store.For[apikey.Tx](h.Store), Clock: h.clock, Peppers: apikey.Peppers{Current: 1, Known: map[int]secret.Bytes{1: secret.FromString("pepper")}}})
	robot := storetest.APIKey(t, h.Store, h.w, all()...)
	narrow := storetest.APIKey(t, h.Store, h.w, auth.AdministratorsRead, auth.AdministratorsWrite, auth.UsersRead, auth.UsersWrite, auth.APIKeysWrite)
	grand := storetest.Administrator(t, h.Store, h.w, "grand", all()...)
	everything := auth.All().Strings()
	plain := storetest.User(t, h.Store, h.w, "plain").ID
	evil := "evil@example.org"
	adaKey := h.passkeyOf(t, ada)
	// The weak ones' own passkeys, registered in the app, wait.
	own := h.register(t, h.enterApp(t, "key@example.org"), newDevice())
	grandOwn := h.register(t, h.enterApp(t, "grand@example.org"), newDevice())

	for who, by := range map[string]auth.Caller{"a key administrator": keyAdministrator, "a wide API key": robot, "a narrow API key": narrow, "one with all permissions": grand} {
		mine := own.ID
		if by == grand {
			mine = grandOwn.ID
		}
		for what, try := range map[string]func() error{
			"make a user an owner": func() error {
				_, err := h.AddAdministrator(t.Context(), by, signin.NewAdministrator{User: plain, Owner: true})
				return err
			},
			"make themselves an owner": func() error {
				_, err := h.ChangeAdministrator(t.Context(), by, keyAdministrator.Administrator, signin.AdministratorChange{Owner: new(true)}, 0)
				return err
			},
			"make grand an owner": func() error {
				_, err := h.ChangeAdministrator(t.Context(), by, grand.Administrator, signin.AdministratorChange{Owner: new(true)}, 0)
				return err
			},
			"take the owner's rights": func() error {
				_, err := h.ChangeAdministrator(t.Context(), by, owner.Administrator, signin.AdministratorChange{Owner: new(false), Permissions: &everything}, 0)
				return err
			},
			"remove the owner": func() error {
				_, err := h.RemoveAdministrator(t.Context(), by, owner.Administrator)
				return err
			},
			"confirm their own passkey": func() error {
				a := keyAdministrator.Administrator
				if by == grand {
					a = grand.Administrator
				}
				_, err := h.ConfirmPasskey(t.Context(), by, a, mine)
				return err
			},
			"remove the owner's passkey": func() error { return h.RemovePasskey(t.Context(), by, owner.Administrator, adaKey) },
			"rename the owner's passkey": func() error { _, err := h.RenamePasskey(t.Context(), by, adaKey, "mine"); return err },
			"delete the owner's passkey": func() error { return h.DeletePasskey(t.Context(), by, adaKey) },
			"end the owner's session":    func() error { return h.EndSession(t.Context(), by, owner.Administrator, owner.Session) },
			"end the owner's sessions":   func() error { _, err := h.EndSessions(t.Context(), by, owner.Administrator); return err },
			"issue a setup link":         func() error { _, _, err := h.IssueSetupLink(t.Context(), by, "ada@example.org"); return err },
		} {
			if err := try(); err == nil {
				t.Errorf("%s could %s", who, what)
			} else if _, ok := fault.As(err); !ok {
				t.Errorf("%s, to %s: %v, want a refusal", who, what, err)
			}
		}
	}
	for who, by := range map[string]auth.Caller{"a key administrator": keyAdministrator, "a narrow API key": narrow} {
		for what, try := range map[string]func() error{
			"make an administrator": func() error {
				_, err := h.AddAdministrator(t.Context(), by, signin.NewAdministrator{User: plain, Permissions: everything})
				return err
			},
			"take more permissions": func() error {
				_, err := h.ChangeAdministrator(t.Context(), by, keyAdministrator.Administrator, signin.AdministratorChange{Permissions: &everything}, 0)
				return err
			},
			"make an Admin key": func() error {
				_, _, err := keys.Create(t.Context(), by, apikey.NewKey{Name: "x", Type: apikey.Admin})
				return err
			},
			"change the owner's address": func() error {
				_, err := room.Update(t.Context(), by, ada.user, directory.Change{Email: &evil}, 0)
				return err
			},
			"change grand's address": func() error {
				_, err := room.Update(t.Context(), by, grand.User, directory.Change{Email: &evil}, 0)
				return err
			},
		} {
			if err := try(); err == nil {
				t.Errorf("%s could %s", who, what)
			}
		}
	}

	// With the owner's mailbox one gets into the app, and a passkey from there too.
	app := h.enterApp(t, "ada@example.org")
	stolen := newDevice()
	waiting := h.register(t, app, stolen)
	again := h.enter(t, person{ada.user, stolen})
	for what, by := range map[string]auth.Caller{"by code": app, "by a passkey of the app": again.Caller} {
		account, err := h.Account(t.Context(), by)
		if err != nil || by.Kind != auth.User || account.Standing.Owner || len(account.Standing.Permissions) != 0 {
			t.Errorf("%s: %+v (%v), want the app without a permission", what, account.Standing, err)
		}
		if _, _, err := room.Find(t.Context(), by, plain); err == nil {
			t.Errorf("%s one reads users", what)
		}
		_, err = h.ConfirmPasskey(t.Context(), by, owner.Administrator, waiting.ID)
		storetest.Refused(t, err, "missing_permission")
		_, err = h.AddAdministrator(t.Context(), by, signin.NewAdministrator{User: plain, Owner: true})
		storetest.Refused(t, err, "missing_permission")
		storetest.Refused(t, h.DeletePasskey(t.Context(), by, adaKey), "panel_only")
		as := by // a caller who claims to be of the panel in that session
		as.Kind, as.Administrator, as.StepUpAt = auth.Administrator, owner.Administrator, h.clock.Now()
		_, err = h.Administrators(t.Context(), as, page.Request{})
		refused(t, "an app session in the panel", err)
	}
	if _, err := h.ConfirmPasskey(t.Context(), grand, owner.Administrator, waiting.ID); err == nil {
		t.Error("one who is no owner could confirm an owner's passkey")
	}

	var owners []id.User
	storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		p, err := tx.ListAdministrators(ctx, h.w, page.Request{Limit: 100})
		for _, s := range p.Items {
			if s.Owner {
				owners = append(owners, s.User)
			}
		}
		return err
	})
	if !slices.Equal(owners, []id.User{ada.user}) {
		t.Errorf("the owners are %v, want Ada alone", owners)
	}
	if _, err := h.OwnPasskeys(t.Context(), owner); err != nil {
		t.Errorf("Ada's session: %v, want it untouched", err)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_passkey WHERE confirmed_at > 0`); n != 1 {
		t.Errorf("%d passkeys open the panel, want Ada's first alone", n)
	}
}
