package apikey_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// find returns the key as it is now.
func (h house) find(t testing.TB, k id.APIKey) apikey.Key {
	t.Helper()
	out, err := h.Find(t.Context(), h.fresh(t), k)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// limit sets the workspace's limit of a key's life in days.
func (h house) limit(t testing.TB, days int) {
	t.Helper()
	room := directory.New(store.For[directory.Tx](h.Store), h.clock)
	if _, err := room.UpdateWorkspace(t.Context(), auth.Job(h.w, "command line"), directory.Settings{APIKeyMaxDays: &days}, 0); err != nil {
		t.Fatal(err)
	}
}

// caller is who comes with the token.
func (h house) caller(t testing.TB, text string) auth.Caller {
	t.Helper()
	c, err := h.Verify(t.Context(), nobody(), text, apikey.Admin)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const day = 24 * time.Hour

func TestUpdate(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, apikey.NewKey{Name: "Robot", Type: apikey.Admin, Permissions: []string{"users.read"}, ExpiresAt: storetest.Start().Add(100 * day)})
	h.clock.Advance(time.Minute)
	name, ends, ips := " Röbot 2", storetest.Start().Add(200*day), []string{"2001:db8::/32", "192.0.2.4", "192.0.2.4/32", "10.1.2.3/8"}
	want := k
	want.Name, want.ExpiresAt, want.EndsAt, want.WarnAt, want.Revision = "Röbot 2", ends, ends, ends.Add(-30*day), 2
	want.AllowedIPs = apikey.ParseAllowedIPs("10.0.0.0/8 192.0.2.4/32 2001:db8::/32")
	got, err := h.Update(t.Context(), h.by, k.ID, apikey.Change{Name: &name, ExpiresAt: &ends, AllowedIPs: &ips}, 1)
	if diff := cmp.Diff(want, got, cmp.Comparer(sameList)); err != nil || diff != "" {
		t.Errorf("Update() error %v (-want +got):\n%s", err, diff)
	}
	h.line(t, "api_key.update", "name expires_at allowed_ips", h.by, want)
	if diff := cmp.Diff(want, h.find(t, k.ID), cmp.Comparer(sameList)); diff != "" {
		t.Errorf("Find() after Update() (-want +got):\n%s", diff)
	}
	if !h.works(t, text, apikey.Admin) {
		t.Error("the token is refused after Update(), want it to work on")
	}
	lines := len(storetest.Activities(t, h.Store, h.w, "api_key.update"))
	got, err = h.Update(t.Context(), h.by, k.ID, apikey.Change{Name: &name, ExpiresAt: &ends, AllowedIPs: &ips}, 2)
	if err != nil || got.Revision != 2 {
		t.Errorf("Update() to the same = revision %d (%v), want 2: nothing is changed", got.Revision, err)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "api_key.update")); n != lines {
		t.Errorf("%d lines after a change of nothing, want %d", n, lines)
	}
	none, never := []string{}, time.Time{}
	got, err = h.Update(t.Context(), h.by, k.ID, apikey.Change{ExpiresAt: &never, AllowedIPs: &none}, 0)
	if err != nil || !got.ExpiresAt.IsZero() || got.EndsAt != apikey.Never() || got.WarnAt != apikey.Never() || len(got.AllowedIPs) != 0 || got.Name != "Röbot 2" {
		t.Errorf("Update() to never and everywhere = %+v (%v)", got, err)
	}
}

// sameList compares allowed addresses: an empty list and none are alike.
func sameList(a, b apikey.Key) bool {
	texts := apikey.AllowedIPsText(a.AllowedIPs) == apikey.AllowedIPsText(b.AllowedIPs)
	a.AllowedIPs, b.AllowedIPs = nil, nil
	return texts && cmp.Equal(a, b)
}

func TestUpdate_fields(t *testing.T) {
	h := newHouse(t)
	k, _ := h.issue(t, apikey.NewKey{Name: "C", Type: apikey.Clients})
	h.limit(t, 90)
	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprintf("192.0.2.%d", i))
	}
	name, at, list := func(s string) *string { return &s }, func(d time.Duration) *time.Time { v := storetest.Start().Add(d); return &v }, func(l ...string) *[]string { return &l }
	late := apikey.Never()
	for what, c := range map[string]struct {
		c    apikey.Change
		want string // fields at fault
	}{
		"no name":                 {apikey.Change{Name: name(" ")}, "name"},
		"a long name":             {apikey.Change{Name: name(strings.Repeat("x", 101))}, "name"},
		"the past":                {apikey.Change{ExpiresAt: at(0)}, "expires_at"},
		"the limit":               {apikey.Change{ExpiresAt: at(90 * day)}, ""},
		"past the limit":          {apikey.Change{ExpiresAt: at(90*day + time.Millisecond)}, "expires_at"},
		"later than never":        {apikey.Change{ExpiresAt: &late}, "expires_at"},
		"all addresses":           {apikey.Change{AllowedIPs: list("0.0.0.0/0", "::/0")}, ""},
		"a word":                  {apikey.Change{AllowedIPs: list("localhost")}, "allowed_ips"},
		"no address":              {apikey.Change{AllowedIPs: list("")}, "allowed_ips"},
		"an address of a zone":    {apikey.Change{AllowedIPs: list("fe80::1%eth0")}, "allowed_ips"},
		"IPv4 in IPv6":            {apikey.Change{AllowedIPs: list("::ffff:192.0.2.4")}, "allowed_ips"},
		"a network of IPv4 in 6":  {apikey.Change{AllowedIPs: list("::ffff:192.0.2.0/120")}, "allowed_ips"},
		"a long network":          {apikey.Change{AllowedIPs: list("192.0.2.0/33")}, "allowed_ips"},
		"a range":                 {apikey.Change{AllowedIPs: list("192.0.2.1-192.0.2.9")}, "allowed_ips"},
		"fifty":                   {apikey.Change{AllowedIPs: list(many[:50]...)}, ""},
		"more than fifty":         {apikey.Change{AllowedIPs: list(many...)}, "allowed_ips"},
		"several faults together": {apikey.Change{Name: name(""), ExpiresAt: at(-day), AllowedIPs: list("x")}, "name expires_at allowed_ips"},
	} {
		_, err := h.Update(t.Context(), h.by, k.ID, c.c, 0)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v, want nil", what, err)
			}
			continue
		}
		if got := strings.Join(storetest.FieldNames(storetest.Fault(t, err, "invalid_fields")), " "); got != c.want {
			t.Errorf("%s: fields %q, want %q", what, got, c.want)
		}
	}
}

func TestUpdate_revision(t *testing.T) {
	h := newHouse(t)
	k, _ := h.issue(t, admin())
	name := "Other"
	for _, revision := range []int64{2, -1} {
		_, err := h.Update(t.Context(), h.by, k.ID, apikey.Change{Name: &name}, revision)
		storetest.Refused(t, err, "revision_changed")
		_, err = h.Delete(t.Context(), h.by, k.ID, false, revision)
		storetest.Refused(t, err, "revision_changed")
	}
	if got := h.find(t, k.ID); got.Name != "Robot" || got.Revision != 1 {
		t.Errorf("the key is %s in revision %d, want it unchanged", got.Name, got.Revision)
	}
}

// whoMay tries an act on an Admin key with all permissions and on a Clients key.
type whoMay struct {
	who          string
	by           func(h house, t *testing.T) auth.Caller
	admin, other string // the codes of the refusals, "" for none
}

func lesser(h house, t *testing.T) auth.Caller {
	return storetest.Administrator(t, h.Store, h.w, "lesser", auth.APIKeysWrite, auth.APIKeysRead)
}

// granters are who tries to give a key more than it has.
func granters() []whoMay {
	return []whoMay{
		{"an owner", func(h house, t *testing.T) auth.Caller { return h.by }, "", ""},
		{"an owner without a fresh passkey", func(h house, t *testing.T) auth.Caller { return h.tired() }, "step_up_required", ""},
		{"a lesser administrator", lesser, "beyond_your_permissions", ""},
		{"a key with all", func(h house, t *testing.T) auth.Caller { return storetest.APIKey(t, h.Store, h.w, auth.All()...) }, "", ""},
		{"a lesser key", func(h house, t *testing.T) auth.Caller { return storetest.APIKey(t, h.Store, h.w, auth.APIKeysWrite) }, "beyond_your_permissions", ""},
		{"the command line", func(h house, t *testing.T) auth.Caller { return auth.Job(h.w, "command line") }, "", ""},
	}
}

// tryGrant lets each of the granters do an act on a key of each type.
func tryGrant(t *testing.T, action string, act func(h house, by auth.Caller, k apikey.Key) error) {
	t.Helper()
	for _, g := range granters() {
		h := newHouse(t)
		by := g.by(h, t)
		for kind, code := range map[apikey.Type]string{apikey.Admin: g.admin, apikey.Clients: g.other, apikey.SharedMobile: g.other} {
			k, _ := h.issue(t, apikey.NewKey{Name: "Key of " + g.who, Type: kind, ExpiresAt: storetest.Start().Add(50 * day)})
			h.clock.Advance(time.Second)
			err := act(h, by, k)
			if code == "" {
				if err != nil {
					t.Errorf("%s as %s, %s: %v, want nil", action, g.who, kind, err)
				}
				continue
			}
			if f, ok := fault.As(err); !ok || f.Code != code || f.Kind != fault.KindForbidden {
				t.Errorf("%s as %s, %s: %v, want %s", action, g.who, kind, err, code)
				continue
			}
			h.refusedLine(t, action, code)
			if e := h.last(t, action); e.Target.ID != string(k.ID) || e.Target.Name != k.Name || e.Actor.ID != by.Identity() {
				t.Errorf("the refusal's line of %s as %s is of %+v, want the key", action, g.who, e.Target)
			}
			if now := h.find(t, k.ID); now.EndsAt != k.EndsAt || len(now.AllowedIPs) != 0 {
				t.Errorf("%s as %s changed the key", action, g.who)
			}
		}
	}
}

func TestUpdate_whoMay(t *testing.T) {
	ends, ips, name := storetest.Start().Add(60*day), []string{"192.0.2.4"}, "Renamed"
	tryGrant(t, "api_key.update", func(h house, by auth.Caller, k apikey.Key) error {
		_, err := h.Update(t.Context(), by, k.ID, apikey.Change{ExpiresAt: &ends}, 0)
		return err
	})
	tryGrant(t, "api_key.update", func(h house, by auth.Caller, k apikey.Key) error {
		_, err := h.Update(t.Context(), by, k.ID, apikey.Change{Name: &name, AllowedIPs: &ips}, 0)
		return err
	})
	for _, g := range granters() { // a name gives nothing to anybody
		h := newHouse(t)
		k, _ := h.issue(t, admin())
		if got, err := h.Update(t.Context(), g.by(h, t), k.ID, apikey.Change{Name: &name}, 0); err != nil || got.Name != name {
			t.Errorf("renaming as %s: %q (%v), want %q", g.who, got.Name, err, name)
		}
	}
}

// Who has the key's permissions, but not all, may give it more time.
func TestUpdate_needsTheKeysPermissionsOnly(t *testing.T) {
	h := newHouse(t)
	k, _ := h.issue(t, admin("users.read"))
	by := storetest.Administrator(t, h.Store, h.w, "helper", auth.APIKeysWrite, auth.UsersRead)
	ends := storetest.Start().Add(day)
	if _, err := h.Update(t.Context(), by, k.ID, apikey.Change{ExpiresAt: &ends}, 0); err != nil {
		t.Errorf("Update() = %v for who has what the key has, want nil", err)
	}
}

func TestDisable(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, admin())
	h.clock.Advance(time.Minute)
	by := storetest.Administrator(t, h.Store, h.w, "lesser", auth.APIKeysWrite) // to take away needs nothing more
	got, n, err := h.Disable(t.Context(), by, k.ID, false)
	want := k
	want.DisabledAt, want.Revision = h.clock.Now(), 2
	if diff := cmp.Diff(want, got); err != nil || n != 0 || diff != "" {
		t.Errorf("Disable() = %d (%v) (-want +got):\n%s", n, err, diff)
	}
	h.line(t, "api_key.disable", "", by, k)
	if h.works(t, text, apikey.Admin) || got.Status(h.clock.Now()) != apikey.Disabled {
		t.Errorf("the key is %s after Disable() and its token works, want neither", got.Status(h.clock.Now()))
	}
	h.clock.Advance(time.Minute)
	again, _, err := h.Disable(t.Context(), by, k.ID, false)
	if diff := cmp.Diff(want, again); err != nil || diff != "" {
		t.Errorf("Disable() once more, %v (-want +got):\n%s", err, diff)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "api_key.disable")); n != 1 {
		t.Errorf("%d lines of two calls, want 1: the second changed nothing", n)
	}
}

// tree makes a key, two made with it, one made with the first of those, and one that
// has nothing to do with them. It returns them by name, with their tokens.
func (h house) tree(t testing.TB) (keys map[string]apikey.Key, texts map[string]string) {
	t.Helper()
	keys, texts = map[string]apikey.Key{}, map[string]string{}
	issue := func(name string, by auth.Caller) {
		k, secret, err := h.Create(t.Context(), by, apikey.NewKey{Name: name, Type: apikey.Admin})
		if err != nil {
			t.Fatal(err)
		}
		keys[name], texts[name] = k, secret.Secret().ExposeString()
	}
	issue("root", h.by)
	issue("child", h.caller(t, texts["root"]))
	issue("second child", h.caller(t, texts["root"]))
	issue("grandchild", h.caller(t, texts["child"]))
	issue("stranger", h.by)
	return keys, texts
}

// working names the keys whose tokens work.
func (h house) working(t testing.TB, texts map[string]string) string {
	t.Helper()
	var out []string
	for name, text := range texts {
		if h.works(t, text, apikey.Admin) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestDescendants(t *testing.T) {
	h := newHouse(t)
	keys, _ := h.tree(t)
	if _, _, err := h.Disable(t.Context(), h.by, keys["child"].ID, false); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"root": "child, grandchild, second child", "child": "grandchild", "grandchild": "", "stranger": ""} {
		made, err := h.Descendants(t.Context(), h.by, keys[name].ID)
		var got []string
		for _, k := range made {
			got = append(got, k.Name)
		}
		if err != nil || strings.Join(got, ", ") != want {
			t.Errorf("Descendants() of %s = %q (%v), want %q", name, got, err, want)
		}
	}
	for name, k := range keys {
		if k.Root != h.by.User {
			t.Errorf("the root of %s is %q, want the owner", name, k.Root)
		}
	}
}

func TestDisable_descendants(t *testing.T) {
	h := newHouse(t)
	keys, texts := h.tree(t)
	if _, n, err := h.Disable(t.Context(), h.by, keys["root"].ID, false); err != nil || n != 0 {
		t.Fatalf("Disable() = %d (%v) without descendants, want 0", n, err)
	}
	if got := h.working(t, texts); got != "child, grandchild, second child, stranger" {
		t.Errorf("%s work after the key alone was disabled", got)
	}
	if _, _, err := h.Disable(t.Context(), h.by, keys["second child"].ID, false); err != nil {
		t.Fatal(err)
	}
	_, n, err := h.Disable(t.Context(), h.by, keys["root"].ID, true)
	if err != nil || n != 2 || h.working(t, texts) != "stranger" {
		t.Errorf("Disable() of what the key made = %d (%v), %q work, want 2 more, and the stranger to work", n, err, h.working(t, texts))
	}
	details := map[string]string{}
	for _, e := range storetest.Activities(t, h.Store, h.w, "api_key.disable") {
		details[e.Target.Name] += "[" + e.Detail + "]"
	}
	want := map[string]string{"root": "[]", "second child": "[]", "child": "[made with root]", "grandchild": "[made with root]"}
	if diff := cmp.Diff(want, details); diff != "" {
		t.Errorf("the lines' details (-want +got):\n%s", diff)
	}
}

func TestDelete(t *testing.T) {
	h := newHouse(t)
	keys, texts := h.tree(t)
	by := storetest.Administrator(t, h.Store, h.w, "lesser", auth.APIKeysWrite)
	n, err := h.Delete(t.Context(), by, keys["child"].ID, false, 1)
	if err != nil || n != 0 || h.working(t, texts) != "grandchild, root, second child, stranger" {
		t.Errorf("Delete() = %d (%v), then %q work", n, err, h.working(t, texts))
	}
	h.line(t, "api_key.delete", "", by, keys["child"])
	_, err = h.Find(t.Context(), h.by, keys["child"].ID)
	storetest.Refused(t, err, "api_key_not_found")
	_, err = h.Delete(t.Context(), h.by, keys["child"].ID, false, 0)
	storetest.Refused(t, err, "api_key_not_found")
	if created := h.last(t, "api_key.create"); created.Target.Name == "" {
		t.Error("the activities of a deleted key lost its name")
	}

	h.clock.Advance(time.Second)
	n, err = h.Delete(t.Context(), h.by, keys["root"].ID, true, 0)
	if err != nil || n != 1 || h.working(t, texts) != "grandchild, stranger" {
		t.Errorf("Delete() with descendants = %d (%v), then %q work", n, err, h.working(t, texts))
	}
	h.line(t, "api_key.delete", "descendants disabled: 1", h.by, keys["root"])
	if k := h.find(t, keys["second child"].ID); k.DisabledAt.IsZero() {
		t.Error("what the deleted key made works on")
	}
}

func TestEnable(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, admin())
	if got, err := h.Enable(t.Context(), h.by, k.ID); err != nil || got.Revision != 1 {
		t.Errorf("Enable() = revision %d (%v) for a key that works, want 1", got.Revision, err)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "api_key.enable")); n != 0 {
		t.Errorf("%d lines for nothing, want none", n)
	}
	if err := h.ReportLeaked(t.Context(), nobody(), text); err != nil {
		t.Fatal(err)
	}
	if now := h.find(t, k.ID); now.LeakedAt.IsZero() || h.works(t, text, apikey.Admin) {
		t.Fatalf("a leaked Admin key is %+v and works", now)
	}
	got, err := h.Enable(t.Context(), h.by, k.ID)
	if err != nil || !got.DisabledAt.IsZero() || !got.LeakedAt.IsZero() || got.Revision != 3 || !h.works(t, text, apikey.Admin) {
		t.Errorf("Enable() = %+v (%v), want it to work and not leaked", got, err)
	}
	h.line(t, "api_key.enable", "", h.by, k)
}

func TestEnable_whoMay(t *testing.T) {
	tryGrant(t, "api_key.enable", func(h house, by auth.Caller, k apikey.Key) error {
		if _, _, err := h.Disable(t.Context(), h.by, k.ID, false); err != nil {
			t.Fatal(err)
		}
		_, err := h.Enable(t.Context(), by, k.ID)
		if err != nil && h.find(t, k.ID).DisabledAt.IsZero() {
			t.Error("a refused Enable() enabled the key")
		}
		return err
	})
}

// A key that ended is enabled without coming back to life.
func TestEnable_doesNotRevive(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, apikey.NewKey{Name: "C", Type: apikey.Clients, ExpiresAt: storetest.Start().Add(time.Minute)})
	if _, _, err := h.Disable(t.Context(), h.by, k.ID, false); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(time.Minute)
	got, err := h.Enable(t.Context(), h.by, k.ID)
	if err != nil || got.Status(h.clock.Now()) != apikey.Expired || h.works(t, text, apikey.Clients) {
		t.Errorf("Enable() = %s (%v), want expired", got.Status(h.clock.Now()), err)
	}
}

// The workspace's limit binds the keys that are there, and is lifted again.
func TestLimit_bindsExistingKeys(t *testing.T) {
	h := newHouse(t)
	start := storetest.Start()
	never, text := h.issue(t, apikey.NewKey{Name: "never", Type: apikey.Clients})
	soon, _ := h.issue(t, apikey.NewKey{Name: "soon", Type: apikey.Clients, ExpiresAt: start.Add(10 * day)})
	late, _ := h.issue(t, apikey.NewKey{Name: "late", Type: apikey.Clients, ExpiresAt: start.Add(1000 * day)})
	ends := func(what string, want map[id.APIKey]time.Time) {
		t.Helper()
		for k, end := range want {
			now := h.find(t, k)
			if !now.EndsAt.Equal(end) {
				t.Errorf("%s: %s ends at %v, want %v", what, now.Name, now.EndsAt, end)
			}
			if warn := now.WarnAt; end.Equal(apikey.Never()) != warn.Equal(apikey.Never()) || warn.Before(apikey.Never()) && warn.After(end) {
				t.Errorf("%s: %s warns at %v and ends at %v", what, now.Name, warn, end)
			}
		}
	}
	h.limit(t, 90)
	ends("with a limit", map[id.APIKey]time.Time{never.ID: start.Add(90 * day), soon.ID: start.Add(10 * day), late.ID: start.Add(90 * day)})
	if k := h.find(t, never.ID); !k.ExpiresAt.IsZero() || k.Revision != 2 || k.WarnAt != start.Add(60*day) {
		t.Errorf("the key that never expires is %+v, want its end moved, its wish kept", k)
	}
	if k := h.find(t, soon.ID); k.Revision != 1 {
		t.Errorf("the key that ends before the limit is in revision %d, want 1", k.Revision)
	}
	created, _ := h.issue(t, apikey.NewKey{Name: "new", Type: apikey.Clients})
	ends("a new key", map[id.APIKey]time.Time{created.ID: start.Add(90 * day)})
	_, _, err := h.Create(t.Context(), h.by, apikey.NewKey{Name: "X", Type: apikey.Clients, ExpiresAt: start.Add(91 * day)})
	storetest.Refused(t, err, "invalid_fields")

	h.clock.Advance(20 * day)
	h.limit(t, 15) // shorter than the keys are old
	if h.works(t, text, apikey.Clients) || h.find(t, never.ID).Status(h.clock.Now()) != apikey.Expired {
		t.Error("a key that is older than the new limit works")
	}
	h.limit(t, 0)
	ends("without a limit", map[id.APIKey]time.Time{never.ID: apikey.Never(), soon.ID: start.Add(10 * day), late.ID: start.Add(1000 * day), created.ID: apikey.Never()})
	if !h.works(t, text, apikey.Clients) {
		t.Error("the key is refused after the limit was lifted")
	}
}

// A name may be changed although the key is to expire later than the limit allows.
func TestLimit_leavesOtherChangesAlone(t *testing.T) {
	h := newHouse(t)
	k, _ := h.issue(t, apikey.NewKey{Name: "late", Type: apikey.Admin, ExpiresAt: storetest.Start().Add(1000 * day)})
	h.limit(t, 90)
	name := "Other"
	if got, err := h.Update(t.Context(), h.by, k.ID, apikey.Change{Name: &name, ExpiresAt: &k.ExpiresAt}, 0); err != nil || got.EndsAt != storetest.Start().Add(90*day) {
		t.Errorf("Update() of the name = ends %v (%v), want the limit kept", got.EndsAt, err)
	}
}
