package directory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// house is a workspace with an owner, who calls.
type house struct {
	storetest.Database
	*directory.Service
	clock *clock.Manual
	w     id.Workspace
	by    auth.Caller
}

func newHouse(t testing.TB) house {
	t.Helper()
	d := storetest.SQLite(t)
	w := storetest.Workspace(t, d.Store)
	c := clock.NewManual(storetest.Start())
	return house{d, directory.New(store.For[directory.Tx](d.Store), c), c, w, storetest.Administrator(t, d.Store, w, "owner")}
}

// create makes a user and fails the test if that is refused.
func (h house) create(t testing.TB, n directory.NewUser) directory.User {
	t.Helper()
	u, err := h.Create(t.Context(), h.by, n)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// ada returns a valid user to be made.
func ada() directory.NewUser {
	return directory.NewUser{UserID: "ada", Email: "ada@example.org", FirstName: "Ada", LastName: "Lovelace"}
}

func (h house) find(t testing.TB, u id.User) directory.User {
	t.Helper()
	got, _, err := h.Find(t.Context(), h.by, u)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCreate_keepsWhatWasGiven(t *testing.T) {
	h := newHouse(t)
	n := directory.NewUser{
		UserID: " Ada.L ", Email: "Ada@Example.org", FirstName: "A\u0301da", LastName: "Lovelace", Phone: "+44 (20) 7946-0000", EmployeeID: "E-1",
		Language: "de-ch", Timezone: "Europe/London", Auditable: new(false),
	}
	u := h.create(t, n)
	want := directory.User{
		ID: u.ID, Workspace: h.w, UserID: "Ada.L", Email: "Ada@Example.org", FirstName: "Áda", LastName: "Lovelace", Phone: n.Phone, EmployeeID: "E-1",
		Language: "de-CH", Timezone: "Europe/London", Status: directory.NotInvited, Revision: 1, CreatedAt: storetest.Start(),
	}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Errorf("Create() (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, h.find(t, u.ID)); diff != "" {
		t.Errorf("Find() (-want +got):\n%s", diff)
	}
	if _, ok := id.Parse[id.KindUser](string(u.ID)); !ok {
		t.Errorf("the id is %q, want a user's", u.ID)
	}
	line := activity.Event{
		Workspace: h.w, At: storetest.Start(), Action: "user.create", Outcome: activity.Success, Count: 1, User: u.ID,
		Actor:  activity.Party{Type: "administrator", ID: string(h.by.User), Name: h.by.Name},
		Target: activity.Party{Type: "user", ID: string(u.ID), Name: "Áda Lovelace"},
		IP:     h.by.IP, Agent: h.by.Agent, RequestID: h.by.RequestID,
	}
	if diff := cmp.Diff(line, storetest.Activity(t, h.Store, h.w, "user.create"), cmpopts.IgnoreFields(activity.Event{}, "ID")); diff != "" {
		t.Errorf("the line (-want +got):\n%s", diff)
	}
}

func TestCreate_fillsInWhatIsMissing(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, directory.NewUser{Email: "bob@example.org", LastName: "B"})
	if u.UserID != "bob@example.org" || !u.Auditable || u.Name() != "B" {
		t.Errorf("Create() = %+v, want the address as user id, auditable", u)
	}
}

func TestCreate_fields(t *testing.T) {
	h := newHouse(t)
	long := strings.Repeat("ä", 101)
	for _, c := range []struct {
		field string
		set   func(n *directory.NewUser, s string)
		good  []string
		bad   []string
	}{
		{
			"email", func(n *directory.NewUser, s string) { n.Email = s },
			[]string{"a@b", "a.b+c@sub.example.org", "ünï@exämple.org", " spaced@example.org ", strings.Repeat("a", 64) + "@example.org"},
			[]string{"", " ", "a", "a@", "@b", "a b@c", "Ada <ada@example.org>", "a@b, c@d", "a@b\x00", "a@b\nBcc: x@y", strings.Repeat("a", 250) + "@b.cd", "\xff@b", "a@b\u202e"},
		},
		{
			"user_id", func(n *directory.NewUser, s string) { n.UserID = s },
			[]string{"x", "李", "a b", strings.Repeat("ß", 254)},
			[]string{strings.Repeat("ß", 255), "a\x00b", "a\tb", "a\u2066b", "\xff"},
		},
		{
			"first_name", func(n *directory.NewUser, s string) { n.FirstName = s },
			[]string{"", "X", "O'Neil", "Jean-Luc", "李", long[:200], "\U0001f511"},
			[]string{long, "a\x1bb", "a\u0085b", "\xc3\x28"},
		},
		{
			"last_name", func(n *directory.NewUser, s string) { n.LastName = s },
			[]string{"", "X", long[:200]},
			[]string{long, "a\x7fb"},
		},
		{
			"phone", func(n *directory.NewUser, s string) { n.Phone = s },
			[]string{"", "110", "+1 (555) 123-4567", "030/123.45", "123456789012345"},
			[]string{"12", "1234567890123456", "call me", "+49 30 12x", "٣٣٣", strings.Repeat(" ", 20) + strings.Repeat("-", 41)},
		},
		{
			"employee_id", func(n *directory.NewUser, s string) { n.EmployeeID = s },
			[]string{"", "E-1", long[:200]},
			[]string{long, "a\x00"},
		},
		{
			"language", func(n *directory.NewUser, s string) { n.Language = s },
			[]string{"", "en", "de-CH", "zh-Hant-TW"},
			[]string{"e", "english please", "xx-", "12", strings.Repeat("en-", 20)},
		},
		{
			"timezone", func(n *directory.NewUser, s string) { n.Timezone = s },
			[]string{"", "UTC", "Europe/Berlin"},
			[]string{"Local", "Europe/Atlantis", "../../etc/passwd", "/etc/localtime", "CEST"},
		},
	} {
		for i, s := range c.good {
			n := directory.NewUser{UserID: fmt.Sprint(c.field, i), Email: fmt.Sprintf("%s%d@example.org", c.field, i), FirstName: "X", LastName: "Y"}
			c.set(&n, s)
			if _, err := h.Create(t.Context(), h.by, n); err != nil {
				t.Errorf("%s %q: %v, want it accepted", c.field, s, err)
			}
		}
		for _, s := range c.bad {
			n := ada()
			c.set(&n, s)
			_, err := h.Create(t.Context(), h.by, n)
			f, ok := fault.As(err)
			if !ok || f.Kind != fault.KindInvalid || f.Code != "invalid_fields" || !slices.Contains(storetest.FieldNames(f), c.field) {
				t.Errorf("%s %q: %v, want an invalid field %s", c.field, s, err, c.field)
			}
		}
	}
	n := ada()
	n.FirstName, n.LastName = " ", ""
	_, err := h.Create(t.Context(), h.by, n)
	if names := storetest.FieldNames(storetest.Fault(t, err, "invalid_fields")); !slices.Equal(names, []string{"first_name"}) {
		t.Errorf("without a name: fields %v, want first_name", names)
	}
}

func TestCreate_namesEveryFieldAtFault(t *testing.T) {
	h := newHouse(t)
	_, err := h.Create(t.Context(), h.by, directory.NewUser{UserID: "a\x00", Email: "x", Phone: "x", EmployeeID: "\x01", Language: "?", Timezone: "?"})
	want := []string{"user_id", "email", "first_name", "phone", "employee_id", "language", "timezone"}
	if diff := cmp.Diff(want, storetest.FieldNames(storetest.Fault(t, err, "invalid_fields"))); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM directory_user`); n != 1 {
		t.Errorf("%d users, want the owner alone", n)
	}
}

func TestCreate_conflicts(t *testing.T) {
	h := newHouse(t)
	h.create(t, ada())
	for _, c := range []struct {
		userID, email string
		want          []string
	}{
		{"ADA", "new@example.org", []string{"user_id"}},
		{"new", "ADA@example.ORG", []string{"email"}},
		{"new", "adá@example.org", []string{"email"}},
		{"ada", "ada@example.org", []string{"user_id", "email"}},
	} {
		_, err := h.Create(t.Context(), h.by, directory.NewUser{UserID: c.userID, Email: c.email, FirstName: "X"})
		f := storetest.Fault(t, err, "user_exists")
		if f.Kind != fault.KindConflict || !slices.Equal(storetest.FieldNames(f), c.want) {
			t.Errorf("Create(%q, %q): kind %d, fields %v, want a conflict over %v", c.userID, c.email, f.Kind, storetest.FieldNames(f), c.want)
		}
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM directory_user`); n != 2 {
		t.Errorf("%d users, want the owner and Ada", n)
	}
	other := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "other")
	if _, err := h.Create(t.Context(), other, ada()); err != nil {
		t.Errorf("Create() = %v for the same person in another workspace, want nil", err)
	}
}

func (h house) group(t testing.TB, name string) directory.Group {
	t.Helper()
	g, err := h.CreateGroup(t.Context(), h.by, directory.NewGroup{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestCreate_groups(t *testing.T) {
	h := newHouse(t)
	night, day := h.group(t, "Night"), h.group(t, "Day")
	found, err := h.ListGroups(t.Context(), h.by, "", directory.GroupQuery{})
	if all := found.Items; err != nil || len(all) != 3 || all[0].ID != day.ID || !all[1].Builtin || all[2].ID != night.ID {
		t.Fatalf("ListGroups() = %+v (%v), want Day, Everyone, Night", all, err)
	}
	everyone := found.Items[1].ID
	n := ada()
	n.Groups = []id.Group{night.ID, everyone, night.ID}
	u := h.create(t, n)
	_, groups, err := h.Find(t.Context(), h.by, u.ID)
	if err != nil || len(groups) != 2 || groups[0].ID != everyone || groups[1].ID != night.ID {
		t.Errorf("groups of the user = %+v (%v), want Everyone and Night once", groups, err)
	}
	w := storetest.Workspace(t, h.Store)
	foreign, err := h.CreateGroup(t.Context(), auth.Job(w, "test"), directory.NewGroup{Name: "Foreign"})
	if err != nil {
		t.Fatal(err)
	}
	for what, g := range map[string]id.Group{"a group that is not": id.New[id.KindGroup](storetest.Start()), "another workspace's group": foreign.ID} {
		n := directory.NewUser{Email: "bob@example.org", FirstName: "Bob", Groups: []id.Group{night.ID, g}}
		_, err := h.Create(t.Context(), h.by, n)
		f := storetest.Fault(t, err, "invalid_user")
		if !slices.Equal(storetest.FieldNames(f), []string{"groups"}) {
			t.Errorf("%s: fields %v, want groups", what, storetest.FieldNames(f))
		}
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM directory_user WHERE email = 'bob@example.org'`); n != 0 {
		t.Errorf("%d users who were refused, want 0", n)
	}
}

func TestCreateGroup_rules(t *testing.T) {
	h := newHouse(t)
	g, err := h.CreateGroup(t.Context(), h.by, directory.NewGroup{Name: " Night ", Description: " Those who work at night. "})
	want := directory.Group{ID: g.ID, Workspace: h.w, Name: "Night", Description: "Those who work at night.", Revision: 1, CreatedAt: storetest.Start()}
	if diff := cmp.Diff(want, g); err != nil || diff != "" {
		t.Errorf("CreateGroup() error %v (-want +got):\n%s", err, diff)
	}
	line := storetest.Activity(t, h.Store, h.w, "group.create")
	if line.Outcome != activity.Success || line.Target != (activity.Party{Type: "group", ID: string(g.ID), Name: "Night"}) || line.Actor.ID != string(h.by.User) {
		t.Errorf("the line is %+v, want the group by the owner", line)
	}
	for _, name := range []string{"night", "NÍGHT", "everyone"} {
		_, err := h.CreateGroup(t.Context(), h.by, directory.NewGroup{Name: name})
		if f := storetest.Fault(t, err, "group_name_taken"); f.Kind != fault.KindConflict || !slices.Equal(storetest.FieldNames(f), []string{"name"}) {
			t.Errorf("CreateGroup(%q) = %v, want a conflict over name", name, err)
		}
	}
	_, err = h.CreateGroup(t.Context(), h.by, directory.NewGroup{Description: strings.Repeat("x", 401)})
	if names := storetest.FieldNames(storetest.Fault(t, err, "invalid_fields")); !slices.Equal(names, []string{"name", "description"}) {
		t.Errorf("fields %v, want name and description", names)
	}
}

func TestUpdate_changesWhatIsGiven(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, ada())
	h.clock.Advance(time.Minute)
	want := u
	want.LastName, want.Phone, want.Auditable, want.Revision = "King", "110", false, 2
	got, err := h.Update(t.Context(), h.by, u.ID, directory.Change{
		FirstName: new(" Ada "), LastName: new("King"), Phone: new("110"), Auditable: new(false),
	}, 0)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Update() error %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(want, h.find(t, u.ID)); diff != "" {
		t.Errorf("Find() (-want +got):\n%s", diff)
	}
	line := storetest.Activity(t, h.Store, h.w, "user.update")
	if line.Detail != "last_name, phone" || line.Outcome != activity.Success || line.User != u.ID || line.Target.Name != "Ada King" {
		t.Errorf("the line is %+v, want the two names that changed", line)
	}
	if strings.Contains(line.Detail, "110") {
		t.Errorf("the line %q holds a value, want names of fields only", line.Detail)
	}
	got, err = h.Update(t.Context(), h.by, u.ID, directory.Change{LastName: new("King")}, 0)
	if err != nil || got.Revision != 2 {
		t.Errorf("Update() = revision %d (%v) for no change, want 2", got.Revision, err)
	}
	storetest.Activity(t, h.Store, h.w, "user.update") // still one
}

func TestUpdate_everyField(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, ada())
	for field, change := range map[string]directory.Change{
		"user_id": {UserID: new("x")}, "email": {Email: new("x@example.org")}, "first_name": {FirstName: new("X")}, "last_name": {LastName: new("X")},
		"phone": {Phone: new("112")}, "employee_id": {EmployeeID: new("X")}, "language": {Language: new("fr")}, "timezone": {Timezone: new("UTC")},
	} {
		h.clock.Advance(time.Second)
		if _, err := h.Update(t.Context(), h.by, u.ID, change, 0); err != nil {
			t.Errorf("changing %s: %v, want nil", field, err)
		}
		lines := storetest.Activities(t, h.Store, h.w, "user.update")
		if last := lines[len(lines)-1]; last.Detail != field {
			t.Errorf("the line names %q, want %q", last.Detail, field)
		}
	}
	want := directory.User{
		ID: u.ID, Workspace: h.w, UserID: "x", Email: "x@example.org", FirstName: "X", LastName: "X", Phone: "112", EmployeeID: "X", Language: "fr",
		Timezone: "UTC", Auditable: true, Status: directory.NotInvited, Revision: 9, CreatedAt: u.CreatedAt,
	}
	if diff := cmp.Diff(want, h.find(t, u.ID)); diff != "" {
		t.Errorf("after all changes (-want +got):\n%s", diff)
	}
}

func TestUpdate_auditableHasALineOfItsOwn(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, ada())
	if _, err := h.Update(t.Context(), h.by, u.ID, directory.Change{Auditable: new(false)}, 0); err != nil {
		t.Fatal(err)
	}
	line := storetest.Activity(t, h.Store, h.w, "user.auditable")
	if line.Detail != "off" || line.User != u.ID || line.Target.Name != u.Name() {
		t.Errorf("the line is %+v, want auditable off for Ada", line)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "user.update")); n != 0 {
		t.Errorf("%d lines user.update, want none: nothing else changed", n)
	}
	h.clock.Advance(time.Second)
	got, err := h.Update(t.Context(), h.by, u.ID, directory.Change{Auditable: new(true), Phone: new("110")}, 0)
	lines := storetest.Activities(t, h.Store, h.w, "user.auditable")
	if err != nil || !got.Auditable || len(lines) != 2 || lines[1].Detail != "on" || storetest.Activity(t, h.Store, h.w, "user.update").Detail != "phone" {
		t.Errorf("Update() = %+v (%v), lines %+v, want on, and the phone apart", got, err, lines)
	}
}

func TestUpdate_refuses(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, ada())
	h.create(t, directory.NewUser{UserID: "bob", Email: "bob@example.org", FirstName: "Bob"})
	foreign := storetest.User(t, h.Store, storetest.Workspace(t, h.Store), "foreign")
	for name, c := range map[string]struct {
		user     id.User
		change   directory.Change
		revision int64
		code     string
		fields   []string
	}{
		"an old revision":       {u.ID, directory.Change{LastName: new("X")}, 7, "revision_changed", nil},
		"a taken user id":       {u.ID, directory.Change{UserID: new("BOB")}, 0, "user_exists", []string{"user_id"}},
		"a taken address":       {u.ID, directory.Change{Email: new("Bob@example.org")}, 0, "user_exists", []string{"email"}},
		"no name":               {u.ID, directory.Change{FirstName: new(""), LastName: new("")}, 0, "invalid_fields", []string{"first_name"}},
		"no user id":            {u.ID, directory.Change{UserID: new(" ")}, 0, "invalid_fields", []string{"user_id"}},
		"two wrong fields":      {u.ID, directory.Change{Phone: new("x"), Email: new("x")}, 0, "invalid_fields", []string{"email", "phone"}},
		"nobody":                {id.New[id.KindUser](storetest.Start()), directory.Change{LastName: new("X")}, 0, "user_not_found", nil},
		"another workspace's":   {foreign.ID, directory.Change{LastName: new("X")}, 0, "user_not_found", nil},
		"another's, with a rev": {foreign.ID, directory.Change{LastName: new("X")}, 9, "user_not_found", nil},
	} {
		_, err := h.Update(t.Context(), h.by, c.user, c.change, c.revision)
		if f := storetest.Fault(t, err, c.code); !slices.Equal(storetest.FieldNames(f), c.fields) {
			t.Errorf("%s: fields %v, want %v", name, storetest.FieldNames(f), c.fields)
		}
	}
	if diff := cmp.Diff(u, h.find(t, u.ID)); diff != "" {
		t.Errorf("the user changed (-want +got):\n%s", diff)
	}
	if got, err := h.Update(t.Context(), h.by, u.ID, directory.Change{UserID: new("ADA")}, 1); err != nil || got.UserID != "ADA" {
		t.Errorf("Update() = %+v (%v) of the right revision to one's own name, want ADA", got, err)
	}
}

// mails returns the messages of a kind in the outbox, by address.
func (h house) mails(t testing.TB, kind string) map[string]outbox.EmailChanged {
	t.Helper()
	out := map[string]outbox.EmailChanged{}
	for _, m := range storetest.Messages(t, h.Store) {
		if m.Kind != kind {
			continue
		}
		var mail outbox.EmailChanged
		if err := json.Unmarshal(m.Payload, &mail); err != nil {
			t.Fatal(err)
		}
		out[mail.To.Email] = mail
	}
	return out
}

func TestUpdate_tellsBothAddresses(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, ada())
	if _, err := h.Update(t.Context(), h.by, u.ID, directory.Change{Email: new("ADA@example.org")}, 0); err != nil {
		t.Fatal(err)
	}
	if got := h.mails(t, "mail.email_changed"); len(got) != 0 {
		t.Errorf("mails %+v for the same address in capitals, want none", got)
	}
	if _, err := h.Update(t.Context(), h.by, u.ID, directory.Change{Email: new("king@example.org"), Language: new("de")}, 0); err != nil {
		t.Fatal(err)
	}
	mail := outbox.EmailChanged{
		To:        outbox.Recipient{Email: "ADA@example.org", Name: "Ada Lovelace", Language: "de"},
		Workspace: "Harbour", Old: "ADA@example.org", New: "king@example.org", By: h.by.Name, At: storetest.Start().UnixMilli(),
	}
	second := mail
	second.To.Email = "king@example.org"
	if diff := cmp.Diff(map[string]outbox.EmailChanged{mail.To.Email: mail, second.To.Email: second}, h.mails(t, "mail.email_changed")); diff != "" {
		t.Errorf("mails (-want +got):\n%s", diff)
	}
}

// Whoever can change an owner's address can let themselves be sent the owner's
// sign-in link: it takes all that the owner may.
func TestUpdate_addressBeyondYourPermissions(t *testing.T) {
	h := newHouse(t)
	helper := storetest.Administrator(t, h.Store, h.w, "helper", auth.UsersRead, auth.UsersWrite)
	robot := storetest.APIKey(t, h.Store, h.w, auth.UsersRead, auth.UsersWrite)
	strong := storetest.APIKey(t, h.Store, h.w, auth.All()...)
	plain := storetest.User(t, h.Store, h.w, "plain").ID
	for i, c := range []struct {
		name    string
		by      auth.Caller
		of      id.User
		allowed bool
	}{
		{"a weak key, an owner's", robot, h.by.User, false},
		{"a weak administrator, an owner's", helper, h.by.User, false},
		{"a weak key, an equal's", robot, helper.User, true},
		{"a weak key, a plain user's", robot, plain, true},
		{"a weak administrator, their own", helper, helper.User, true},
		{"a key with all permissions, an owner's", strong, h.by.User, true},
		{"an owner, a helper's", h.by, helper.User, true},
		{"a job of the house, an owner's", auth.Job(h.w, "test"), h.by.User, true},
	} {
		before := h.find(t, c.of)
		address := fmt.Sprintf("new%d@example.org", i)
		_, err := h.Update(t.Context(), c.by, c.of, directory.Change{Email: &address}, 0)
		if c.allowed {
			if err != nil {
				t.Errorf("%s: %v, want it allowed", c.name, err)
			}
			continue
		}
		if f := storetest.Fault(t, err, "beyond_your_permissions"); f.Kind != fault.KindForbidden {
			t.Errorf("%s: kind %d, want forbidden", c.name, f.Kind)
		}
		if diff := cmp.Diff(before, h.find(t, c.of)); diff != "" {
			t.Errorf("%s changed it (-want +got):\n%s", c.name, diff)
		}
		if got := h.mails(t, "mail.email_changed"); len(got) != 0 {
			t.Errorf("%s: mails %+v, want none", c.name, got)
		}
		if _, err := h.Update(t.Context(), c.by, c.of, directory.Change{FirstName: &address}, 0); err != nil {
			t.Errorf("%s: %v for the first name, want it allowed", c.name, err)
		}
	}
	var refused []string
	for _, e := range storetest.Activities(t, h.Store, h.w, "user.update") {
		if e.Outcome == activity.Refused {
			refused = append(refused, e.Reason+" "+e.Actor.Type+" "+e.Target.ID)
		}
	}
	slices.Sort(refused)
	owner := string(h.by.User)
	if diff := cmp.Diff([]string{"beyond_your_permissions administrator " + owner, "beyond_your_permissions api_key " + owner}, refused); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
}

func TestList_searchesAndSorts(t *testing.T) {
	h := newHouse(t)
	h.create(t, directory.NewUser{Email: "zoe@example.org", FirstName: "Zoë", LastName: "Ångström", EmployeeID: "E-7"})
	h.create(t, directory.NewUser{Email: "adam@example.org", FirstName: "Adam", LastName: "Zoller"})
	h.create(t, ada())
	for _, c := range []struct {
		text string
		q    directory.Query
		want string
	}{
		{"", directory.Query{}, "Ada Adam owner Zoë"},
		{"", directory.Query{Page: page.Request{Descending: true}}, "Zoë owner Adam Ada"},
		{"zo", directory.Query{}, "Adam Zoë"},
		{"ÅNG zoe", directory.Query{}, "Zoë"},
		{"ada lov", directory.Query{}, "Ada"},
		{"e-7", directory.Query{}, "Zoë"},
		{"nobody", directory.Query{}, ""},
		{"ada", directory.Query{Status: directory.Active}, ""},
		{"", directory.Query{Words: []string{"zoe"}}, "Ada Adam owner Zoë"}, // words come from the text alone
		{"", directory.Query{Page: page.Request{Limit: 2}}, "Ada Adam"},
		{"", directory.Query{Page: page.Request{Limit: 100000}}, "Ada Adam owner Zoë"},
		{"", directory.Query{Page: page.Request{Sort: directory.SortEmail}}, "Ada Adam owner Zoë"},
	} {
		p, err := h.List(t.Context(), h.by, c.text, c.q)
		var got []string
		for _, u := range p.Items {
			got = append(got, u.FirstName)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("List(%q, %+v) = %q (%v), want %q", c.text, c.q, got, err, c.want)
		}
	}
}

func TestMe(t *testing.T) {
	h := newHouse(t)
	by := storetest.APIKey(t, h.Store, h.w, auth.UsersRead)
	me, err := h.Me(t.Context(), by)
	if err != nil || me.Workspace.ID != h.w || me.Workspace.Name != "Harbour" || !slices.Equal(me.Standing.Permissions, auth.Permissions{auth.UsersRead}) {
		t.Errorf("Me() = %+v (%v), want Harbour with users.read", me, err)
	}
	by = auth.Job(id.New[id.KindWorkspace](storetest.Start()), "test")
	if _, err := h.Me(t.Context(), by); err == nil {
		t.Error("Me() = nil for a workspace that is not, want a fault")
	}
}

func TestService_strangers(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, ada())
	g := h.group(t, "Night")
	for _, s := range []storetest.Stranger{
		{Action: "user.create", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			_, err := h.Create(t.Context(), by, directory.NewUser{Email: "new@example.org", FirstName: "New"})
			return err
		}},
		{Action: "user.update", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			_, err := h.Update(t.Context(), by, u.ID, directory.Change{FirstName: new("X")}, 0)
			return err
		}},
		{Action: "user.find", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			got, groups, err := h.Find(t.Context(), by, u.ID)
			if got.ID != "" || len(groups) != 0 {
				t.Errorf("Find() shows %+v in %+v", got, groups)
			}
			return err
		}},
		{Action: "user.list", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			p, err := h.List(t.Context(), by, "", directory.Query{})
			if len(p.Items) != 0 {
				t.Errorf("List() shows %+v", p.Items)
			}
			return err
		}},
		{Action: "group.create", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			_, err := h.CreateGroup(t.Context(), by, directory.NewGroup{Name: "New"})
			return err
		}},
		{Action: "group.list", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			groups, err := h.ListGroups(t.Context(), by, "", directory.GroupQuery{})
			if len(groups.Items) != 0 {
				t.Errorf("ListGroups() shows %+v", groups)
			}
			return err
		}},
		{Action: "user.find_many", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			users, err := h.FindUsers(t.Context(), by, []id.User{u.ID})
			if len(users) != 0 {
				t.Errorf("FindUsers() shows %+v", users)
			}
			return err
		}},
		{Action: "user.count", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			n, err := h.Counts(t.Context(), by)
			if n != (directory.Counts{}) {
				t.Errorf("Counts() shows %+v", n)
			}
			return err
		}},
		{Action: "user.invite", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			_, err := h.Invite(t.Context(), by, u.ID)
			return err
		}},
		{Action: "group.find", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			got, err := h.FindGroup(t.Context(), by, g.ID)
			if got.ID != "" {
				t.Errorf("FindGroup() shows %+v", got)
			}
			return err
		}},
		{Action: "group.update", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			_, err := h.UpdateGroup(t.Context(), by, g.ID, directory.GroupChange{Name: new("X")}, 0)
			return err
		}},
		{Action: "group.delete", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			return h.DeleteGroup(t.Context(), by, g.ID, 0)
		}},
		{Action: "group.add_member", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			return h.AddMember(t.Context(), by, g.ID, u.ID)
		}},
		{Action: "group.remove_member", Need: auth.UsersWrite, Call: func(by auth.Caller) error {
			return h.RemoveMember(t.Context(), by, g.ID, u.ID)
		}},
		{Action: "group.list_members", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			got, members, err := h.Members(t.Context(), by, g.ID, "", directory.Query{})
			if got.ID != "" || len(members.Items) != 0 {
				t.Errorf("Members() shows %+v", members)
			}
			return err
		}},
		{Action: "me.find", Need: auth.Signed, Call: func(by auth.Caller) error {
			me, err := h.Me(t.Context(), by)
			if me.Workspace.ID != "" {
				t.Errorf("Me() shows %+v", me)
			}
			return err
		}},
	} {
		t.Run(s.Action, func(t *testing.T) { storetest.Strangers(t, h.Database, h.w, s) })
	}
	if diff := cmp.Diff(u, h.find(t, u.ID)); diff != "" {
		t.Errorf("a stranger changed the user (-want +got):\n%s", diff)
	}
	if got, err := h.FindGroup(t.Context(), h.by, g.ID); err != nil || cmp.Diff(g, got) != "" {
		t.Errorf("a stranger changed the group: %+v (%v), want %+v", got, err, g)
	}
}

// Another workspace's user and one who never was get the same answer.
func TestService_otherWorkspaceIsAbsent(t *testing.T) {
	h := newHouse(t)
	u := h.create(t, ada())
	other := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "other")
	for name, call := range map[string]func(id.User) error{
		"Find": func(u id.User) error { _, _, err := h.Find(t.Context(), other, u); return err },
		"Update": func(u id.User) error {
			_, err := h.Update(t.Context(), other, u, directory.Change{FirstName: new("X")}, 0)
			return err
		},
		"Invite": func(u id.User) error { _, err := h.Invite(t.Context(), other, u); return err },
	} {
		foreign, missing := call(u.ID), call(id.New[id.KindUser](storetest.Start()))
		if diff := cmp.Diff(storetest.Fault(t, missing, "user_not_found"), storetest.Fault(t, foreign, "user_not_found"), cmpopts.IgnoreUnexported(fault.Error{})); diff != "" {
			t.Errorf("%s tells another workspace's user from a missing one (-missing +foreign):\n%s", name, diff)
		}
	}
	if users, err := h.FindUsers(t.Context(), other, []id.User{u.ID, other.User, other.User, "user_none"}); err != nil || len(users) != 1 || users[0].ID != other.User {
		t.Errorf("FindUsers() = %+v (%v), want the caller's own workspace's, once", users, err)
	}
	p, err := h.List(t.Context(), other, "ada", directory.Query{})
	if err != nil || len(p.Items) != 0 {
		t.Errorf("List() shows %+v (%v) of another workspace", p.Items, err)
	}
}

func TestFound_makesEveryone(t *testing.T) {
	d := storetest.SQLite(t)
	w := storetest.Workspace(t, d.Store)
	line := storetest.Activity(t, d.Store, w, "workspace.create")
	if line.Target.Name != "Harbour" || line.Actor.Type != "system" {
		t.Errorf("the line is %+v, want Harbour by the system", line)
	}
	storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		bad := directory.Workspace{ID: id.New[id.KindWorkspace](storetest.Start()), Name: " ", SealingKey: []byte{}, CursorSecret: []byte{}}
		f, err := directory.Found(ctx, tx, auth.Job(bad.ID, "test"), bad, storetest.Start())
		if f == nil || !slices.Equal(storetest.FieldNames(f), []string{"workspace"}) {
			t.Errorf("Found() = %v without a name, want the field workspace", f)
		}
		return err
	})
}
