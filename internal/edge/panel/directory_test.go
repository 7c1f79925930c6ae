package panel

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// The flow is what the panel asks for.
var _ Leave = (*leave.Service)(nil)

const everyone = id.Group("grp_01h455vb4pex5vsknk084sn02e")

func (w *world) Counts(context.Context, auth.Caller) (directory.Counts, error) {
	return directory.Counts{Total: 12345, NotInvited: 300, Pending: 40, Active: 12000, Suspended: 5}, nil
}

func (w *world) FindUsers(_ context.Context, _ auth.Caller, users []id.User) ([]directory.User, error) {
	var out []directory.User
	for _, u := range w.users {
		if slices.Contains(users, u.ID) {
			out = append(out, u)
		}
	}
	return out, nil
}

func (w *world) Invite(_ context.Context, _ auth.Caller, user id.User) (directory.User, error) {
	w.acts = append(w.acts, "invite "+string(user))
	return w.users[1], w.fault
}

func (w *world) FindGroup(_ context.Context, _ auth.Caller, group id.Group) (directory.Group, error) {
	for _, g := range w.groups() {
		if g.ID == group {
			return g, nil
		}
	}
	return directory.Group{}, directory.UnknownGroup()
}

func (w *world) groups() []directory.Group {
	return []directory.Group{
		{ID: everyone, Name: "Everyone", Builtin: true, Members: 12345, Revision: 1, CreatedAt: now().AddDate(-1, 0, 0)},
		{ID: staff, Name: "Staff <i>", Description: "Who works here.", Members: 2, Revision: 4, CreatedAt: now().AddDate(0, 0, -3)},
	}
}

func (w *world) CreateGroup(_ context.Context, _ auth.Caller, n directory.NewGroup) (directory.Group, error) {
	w.acts = append(w.acts, "create "+n.Name+": "+n.Description)
	return w.groups()[1], w.fault
}

func (w *world) UpdateGroup(_ context.Context, _ auth.Caller, g id.Group, c directory.GroupChange, ifRevision int64) (directory.Group, error) {
	w.acts = append(w.acts, "update "+string(g)+" "+*c.Name+" at "+strconv.FormatInt(ifRevision, 10))
	return w.groups()[1], w.fault
}

func (w *world) DeleteGroup(_ context.Context, _ auth.Caller, g id.Group, ifRevision int64) error {
	w.acts = append(w.acts, "delete "+string(g)+" at "+strconv.FormatInt(ifRevision, 10))
	return w.fault
}

func (w *world) Members(ctx context.Context, by auth.Caller, group id.Group, _ string, q directory.Query) (directory.Group, page.Page[directory.User], error) {
	w.asked = q
	g, err := w.FindGroup(ctx, by, group)
	return g, page.Page[directory.User]{Items: w.users, Next: w.next}, err
}

func (w *world) AddMember(_ context.Context, _ auth.Caller, g id.Group, u id.User) error {
	w.acts = append(w.acts, "add "+string(u)+" to "+string(g))
	return w.fault
}

func (w *world) AddMembers(_ context.Context, _ auth.Caller, g id.Group, users []id.User) ([]directory.MemberOutcome, error) {
	var out []directory.MemberOutcome
	for _, u := range users {
		w.acts = append(w.acts, "add "+string(u)+" to "+string(g))
		out = append(out, directory.MemberOutcome{User: u, Name: "Somebody"})
	}
	return out, w.fault
}

func (w *world) RemoveMember(_ context.Context, _ auth.Caller, g id.Group, u id.User) error {
	w.acts = append(w.acts, "remove "+string(u)+" from "+string(g))
	return w.fault
}

// leaveWorld is the flow's double.
type leaveWorld struct{ *world }

func (w leaveWorld) FindTies(ctx context.Context, by auth.Caller, user id.User) (leave.Ties, error) {
	u, _, err := w.Find(ctx, by, user)
	return leave.Ties{User: u, Administrator: user == ada, Sessions: 2, SecurityKeys: 2, DigitalKeys: w.ended, Left: leave.Left{
		Count: 3, APIKeys: []apikey.Key{{Name: "Payroll <sync>", Type: apikey.Admin}, {Name: "Doors", Type: apikey.Clients}},
	}}, err
}

func (w leaveWorld) Suspend(_ context.Context, _ auth.Caller, u id.User, o leave.Options) (leave.Outcome, error) {
	w.acts = append(w.acts, "suspend "+string(u)+" keys "+strconv.FormatBool(o.DisableCreatedAPIKeys))
	out := leave.Outcome{DigitalKeys: w.ended}
	if w.ended > 0 {
		out.User = w.users[1]
		out.Left.Unconfirmed = []digitalkey.Receipt{
			{Lock: frontDoor, LockName: "Front door", AtLatest: now()}, {Lock: gateLock, LockName: "Gate", AtLatest: now().Add(3 * time.Hour)},
		}
	}
	return out, w.fault
}

func (w leaveWorld) Activate(_ context.Context, _ auth.Caller, u id.User) (leave.Outcome, error) {
	w.acts = append(w.acts, "activate "+string(u))
	return leave.Outcome{}, w.fault
}

func (w leaveWorld) Delete(_ context.Context, _ auth.Caller, u id.User, ifRevision int64) error {
	w.acts = append(w.acts, "delete "+string(u)+" at "+strconv.FormatInt(ifRevision, 10))
	return w.fault
}

func (w leaveWorld) many(users []id.User) ([]leave.RowOutcome, error) {
	var out []leave.RowOutcome
	for _, u := range users {
		row := leave.RowOutcome{User: u, Name: "Grace Hopper"}
		if u == ada {
			row.Name, row.Fault = "Ada Lovelace", w.rowFault
		}
		out = append(out, row)
	}
	return out, w.fault
}

func (w leaveWorld) SuspendMany(_ context.Context, _ auth.Caller, users []id.User, o leave.Options) ([]leave.RowOutcome, error) {
	w.acts = append(w.acts, "suspend many keys "+strconv.FormatBool(o.DisableCreatedAPIKeys))
	return w.many(users)
}

func (w leaveWorld) ActivateMany(_ context.Context, _ auth.Caller, users []id.User) ([]leave.RowOutcome, error) {
	w.acts = append(w.acts, "activate many")
	return w.many(users)
}

func (w leaveWorld) DeleteMany(_ context.Context, _ auth.Caller, users []id.User) ([]leave.RowOutcome, error) {
	w.acts = append(w.acts, "delete many")
	return w.many(users)
}

// suspended lets Grace be suspended.
func (w *world) suspended() { w.users[1].SuspendedAt = now().AddDate(0, 0, -2) }

func TestDirectoryPages(t *testing.T) {
	refused := func(f *fault.Error) func(*world) { return func(w *world) { w.fault = f } }
	stepUp := fault.Forbidden("step_up_required", "Confirm with your passkey first.")
	lastOwner := fault.Conflict("last_owner", "This is the last owner who is not suspended: a workspace keeps one.")
	info := url.Values{"first_name": {"Grace"}, "last_name": {"<b>Hopper</b>"}, "email": {"grace@example.com"}, "auditable": {"on"}, "timezone": {"Europe/Berlin"}}
	step := func(to string, more url.Values) url.Values {
		form := url.Values{"to": {to}}
		for _, some := range []url.Values{info, more} {
			for name, values := range some {
				form[name] = values
			}
		}
		return form
	}
	both := url.Values{"ids": {string(ada), string(grace), "nonsense"}}
	act := func(act string, more url.Values) url.Values {
		return url.Values{"act": {act}, "ids": both["ids"], "confirm": more["confirm"], "group": more["group"]}
	}
	a, g := "/users/"+string(ada), "/users/"+string(grace)
	some := "/groups/" + string(staff)
	for _, tt := range []struct {
		name   string
		path   string
		form   url.Values
		world  func(*world)
		status int
	}{
		{"user_new_groups", "/users/new", step("groups", url.Values{"invite": {"on"}, "groups": {string(staff)}}), nil, http.StatusOK},
		{"user_new_groups_find", "/users/new", step("groups", url.Values{"find": {"st"}}), nil, http.StatusOK},
		{"user_new_review", "/users/new", step("review", url.Values{"groups": {string(staff), string(staff), "grp_x"}}), nil, http.StatusOK},
		{"user_new_back", "/users/new", step("info", url.Values{"groups": {string(staff)}, "invite": {"on"}}), nil, http.StatusOK},
		{"user_new_group_gone", "/users/new", step("create", url.Values{"groups": {string(staff)}}), refused(fault.Invalid("invalid_user", "The user was not saved.",
			fault.Field{Name: "groups", Message: "names a group that does not exist"})), http.StatusUnprocessableEntity},
		{"user_groups", a + "?tab=groups", nil, nil, http.StatusOK},
		{"user_groups_reader", a + "?tab=groups", nil, func(w *world) { w.standing = auth.Permissions{auth.UsersRead} }, http.StatusOK},
		{"user_suspended", g, nil, (*world).suspended, http.StatusOK},
		{"user_suspend", g + "/suspend", nil, nil, http.StatusOK},
		{"user_suspend_no_keys", g + "/suspend", nil, func(w *world) { w.standing = auth.Permissions{auth.UsersRead, auth.UsersWrite} }, http.StatusOK},
		{"user_suspend_refused", a + "/suspend", url.Values{"disable_created_api_keys": {"on"}}, refused(lastOwner), http.StatusUnprocessableEntity},
		{"user_suspend_confirm", a + "/suspend", url.Values{"disable_created_api_keys": {"on"}}, refused(stepUp), http.StatusForbidden},
		{"user_delete", a + "/delete", nil, nil, http.StatusOK},
		{"user_delete_wrong", a + "/delete", url.Values{"revision": {"3"}, "confirm": {"Ada"}}, nil, http.StatusUnprocessableEntity},
		{"user_delete_confirm", a + "/delete", url.Values{"revision": {"3"}, "confirm": {"ada lovelace"}}, refused(stepUp), http.StatusForbidden},
		{"user_delete_changed", a + "/delete", url.Values{"revision": {"2"}, "confirm": {"Ada Lovelace"}}, refused(fault.Precondition()), http.StatusUnprocessableEntity},
		{"users_bulk_suspend", "/users/bulk?" + act("suspend", nil).Encode(), nil, nil, http.StatusOK},
		{"users_bulk_activate", "/users/bulk?" + act("activate", nil).Encode(), nil, nil, http.StatusOK},
		{"users_bulk_delete", "/users/bulk?" + act("delete", nil).Encode(), nil, nil, http.StatusOK},
		{"users_bulk_group", "/users/bulk?" + act("group", nil).Encode(), nil, nil, http.StatusOK},
		{"users_bulk_nobody", "/users/bulk?act=delete&ids=nonsense", nil, nil, http.StatusOK},
		{"users_bulk_delete_wrong", "/users/bulk", act("delete", url.Values{"confirm": {"3"}}), nil, http.StatusUnprocessableEntity},
		{"users_bulk_group_none", "/users/bulk", act("group", nil), nil, http.StatusUnprocessableEntity},
		{"users_bulk_result", "/users/bulk", act("delete", url.Values{"confirm": {"2"}}), func(w *world) { w.rowFault = lastOwner }, http.StatusOK},
		{"users_bulk_result_confirm", "/users/bulk", act("delete", url.Values{"confirm": {"2"}}), func(w *world) { w.rowFault = stepUp }, http.StatusOK},
		{"groups", "/groups?q=s&sort=-created_at", nil, func(w *world) { w.next = page.Position{Value: "1", ID: string(staff)} }, http.StatusOK},
		{"groups_reader", "/groups", nil, func(w *world) { w.standing = auth.Permissions{auth.UsersRead} }, http.StatusOK},
		{"group", some + "?q=a", nil, func(w *world) { w.next = page.Position{Value: "1", ID: string(grace)} }, http.StatusOK},
		{"group_add", some + "?add=a", nil, nil, http.StatusOK},
		{"group_add_none", some + "?add=zzz", nil, func(w *world) { w.users = nil }, http.StatusOK},
		{"group_everyone", "/groups/" + string(everyone), nil, nil, http.StatusOK},
		{"group_unknown", "/groups/something", nil, nil, http.StatusNotFound},
		{"group_new", "/groups/new", nil, nil, http.StatusOK},
		{"group_new_wrong", "/groups", url.Values{"name": {"Staff"}, "description": {"<b>"}}, refused(fault.Conflict("group_name_taken", "A group of this name exists already.",
			fault.Field{Name: "name", Message: "is taken"})), http.StatusUnprocessableEntity},
		{"group_edit", some + "/edit", nil, nil, http.StatusOK},
		{"group_edit_changed", some + "/edit", url.Values{"revision": {"3"}, "name": {"Mine"}, "description": {""}}, refused(fault.Precondition()), http.StatusUnprocessableEntity},
		{"group_delete", some + "/delete", nil, nil, http.StatusOK},
		{"group_delete_wrong", some + "/delete", url.Values{"revision": {"4"}, "confirm": {"Stuff"}}, nil, http.StatusUnprocessableEntity},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.world != nil {
				tt.world(w)
			}
			rec := w.ask(t, tt.path, tt.form)
			if rec.Code != tt.status {
				t.Errorf("status = %d, want %d", rec.Code, tt.status)
			}
			golden(t, tt.name, rec.Body.String())
		})
	}
}

// hidden returns the values of a page's hidden fields.
func hidden(body string) url.Values {
	out := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if m[1] != "next" {
			out.Add(m[1], m[2])
		}
	}
	return out
}

// Whatever was entered on one step is there on every other.
func TestWizard_losesNothing(t *testing.T) {
	w := newWorld()
	form := url.Values{
		"to": {"groups"}, "first_name": {"Grace"}, "last_name": {"Hopper"}, "email": {"grace@example.com"}, "user_id": {"gh"}, "phone": {"110"}, "employee_id": {"7"},
		"language": {"en"}, "timezone": {"UTC"}, "auditable": {"on"},
	}
	form = hidden(w.ask(t, "/users/new", form).Body.String())
	form.Add("groups", string(staff))
	form.Set("to", "review")
	form = hidden(w.ask(t, "/users/new", form).Body.String())
	form.Set("invite", "on")
	form.Set("to", "groups")
	form = hidden(w.ask(t, "/users/new", form).Body.String())
	form.Add("groups", string(staff))
	form.Set("to", "create")
	w.ask(t, "/users/new", form)
	want := directory.NewUser{
		FirstName: "Grace", LastName: "Hopper", Email: "grace@example.com", UserID: "gh", Phone: "110", EmployeeID: "7", Language: "en", Timezone: "UTC",
		Auditable: new(true), Invite: true, Groups: []id.Group{staff},
	}
	if diff := cmp.Diff(want, w.created); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
}

func TestWizard_stopsAtWhatIsWrong(t *testing.T) {
	for _, to := range []string{"groups", "review", "create"} {
		w := newWorld()
		rec := w.ask(t, "/users/new", url.Values{"to": {to}, "email": {"nobody"}})
		if rec.Code != http.StatusUnprocessableEntity || w.created.Email != "" || !strings.Contains(rec.Body.String(), `aria-invalid="true"`) {
			t.Errorf("to %s = %d, created %q, want 422 with the fields and nobody", to, rec.Code, w.created.Email)
		}
	}
	if rec := newWorld().ask(t, "/users/new", url.Values{"to": {"nowhere"}}); rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("to nowhere = %d, want 422", rec.Code)
	}
}

func TestDirectoryForms(t *testing.T) {
	a, some := "/users/"+string(ada), "/groups/"+string(staff)
	for _, tt := range []struct {
		path string
		form url.Values
		did  string
		to   string
	}{
		{a + "/suspend", url.Values{}, "suspend " + string(ada) + " keys false", a},
		{a + "/suspend", url.Values{"disable_created_api_keys": {"on"}}, "suspend " + string(ada) + " keys true", a},
		{a + "/activate", url.Values{}, "activate " + string(ada), a},
		{a + "/delete", url.Values{"revision": {"3"}, "confirm": {" ADA  lovelace"}}, "delete " + string(ada) + " at 3", "/users"},
		{a + "/groups", url.Values{"group": {string(staff)}}, "add " + string(ada) + " to " + string(staff), a + "?tab=groups"},
		{a + "/groups", url.Values{"group": {""}}, "", a + "?tab=groups"},
		{a + "/groups/remove", url.Values{"group": {string(staff)}}, "remove " + string(ada) + " from " + string(staff), a + "?tab=groups"},
		{"/users/" + string(grace) + "/invite", url.Values{}, "invite " + string(grace), "/users/" + string(grace)},
		{"/groups", url.Values{"name": {"Night"}, "description": {"x"}}, "create Night: x", some},
		{some + "/edit", url.Values{"revision": {"4"}, "name": {"Night"}}, "update " + string(staff) + " Night at 4", some},
		{some + "/delete", url.Values{"revision": {"4"}, "confirm": {"staff <i>"}}, "delete " + string(staff) + " at 4", "/groups"},
		{some + "/members", url.Values{"user": {string(grace)}}, "add " + string(grace) + " to " + string(staff), some},
		{some + "/members/remove", url.Values{"user": {string(grace)}}, "remove " + string(grace) + " from " + string(staff), some},
	} {
		w := newWorld()
		rec := w.ask(t, tt.path, tt.form)
		if got := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || got != tt.to {
			t.Errorf("POST %s = %d to %q, want 303 to %q", tt.path, rec.Code, got, tt.to)
		}
		if got := strings.Join(w.acts, ", "); got != tt.did {
			t.Errorf("POST %s did %q, want %q", tt.path, got, tt.did)
		}
		stranger := newWorld()
		stranger.signedIn = false
		if rec := stranger.ask(t, tt.path, tt.form); rec.Code != http.StatusUnauthorized || len(stranger.acts) != 0 {
			t.Errorf("POST %s signed out = %d, did %v, want 401 and nothing", tt.path, rec.Code, stranger.acts)
		}
	}
}

func TestDelete_needsTheName(t *testing.T) {
	for _, typed := range []string{"", "Ada", "Ada Lovelace2"} {
		w := newWorld()
		w.ask(t, "/users/"+string(ada)+"/delete", url.Values{"revision": {"3"}, "confirm": {typed}})
		w.ask(t, "/groups/"+string(staff)+"/delete", url.Values{"revision": {"3"}, "confirm": {typed}})
		w.ask(t, "/users/bulk", url.Values{"act": {"delete"}, "ids": {string(ada)}, "confirm": {typed}})
		if len(w.acts) != 0 {
			t.Errorf("typing %q did %v, want nothing", typed, w.acts)
		}
	}
}

func TestMany_addsToAGroup(t *testing.T) {
	w := newWorld()
	rec := w.ask(t, "/users/bulk", url.Values{"act": {"group"}, "ids": {string(ada), string(grace)}, "group": {string(staff)}})
	if rec.Code != http.StatusOK || len(w.acts) != 2 {
		t.Errorf("= %d, did %v, want both in the group", rec.Code, w.acts)
	}
	for _, form := range []url.Values{{"act": {"explode"}, "ids": {string(ada)}}, {"ids": {string(ada)}}} {
		if rec := newWorld().ask(t, "/users/bulk", form); rec.Code != http.StatusNotFound {
			t.Errorf("%v = %d, want 404", form, rec.Code)
		}
	}
}

func TestUsers_unknownStatusIsDropped(t *testing.T) {
	rec := newWorld().ask(t, "/users?q=a&status=gone%00", nil)
	if got := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || got != "/users?q=a" {
		t.Errorf("= %d to %q, want 303 to /users?q=a", rec.Code, got)
	}
}

func TestDirectory_strangersComeBackAfterSignIn(t *testing.T) {
	for _, path := range []string{"/groups?q=a", "/groups/new", "/users/" + string(ada) + "/suspend", "/users/bulk?act=delete"} {
		w := newWorld()
		w.signedIn = false
		rec := w.ask(t, path, nil)
		if want := "/sign-in?next=" + url.QueryEscape(path); rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != want {
			t.Errorf("GET %s = %d to %q, want 303 to %q", path, rec.Code, rec.Header().Get("Location"), want)
		}
	}
}
