package panel

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

const (
	payroll = id.APIKey("key_01h455vb4pex5vsknk084sn02t")
	tablets = id.APIKey("key_01h455vb4pex5vsknk084sn02v")
	doors   = id.APIKey("key_01h455vb4pex5vsknk084sn02w")
)

// keyRoom is what the API keys' double holds, and what it was asked for.
type keyRoom struct {
	made     []apikey.Key
	usage    []apikey.DayUsage
	maxDays  int
	askedKey apikey.Query
	newKey   apikey.NewKey
	change   apikey.Change
	renewal  apikey.Renewal
	keyDid   string
	onceSeen map[string]bool
}

func (w keyWorld) Create(ctx context.Context, _ auth.Caller, n apikey.NewKey) (apikey.Key, token.Token, error) {
	t, _ := token.Parse(demoToken)
	if err := w.do(ctx, "create"); err != nil {
		return apikey.Key{}, token.Token{}, err
	}
	w.newKey = n
	return apikey.Key{ID: payroll, TokenID: t.ID, Name: n.Name, Type: n.Type, CreatedAt: now(), IssuedAt: now(), ExpiresAt: n.ExpiresAt, EndsAt: apikey.End(n.ExpiresAt, now(), w.maxDays)}, t, nil
}

// do answers the fault, and a repeat as the gate does: only what was done counts.
func (w keyWorld) do(ctx context.Context, what string) error {
	if w.fault != nil {
		return w.fault
	}
	if r, ok := once.From(ctx); ok {
		if w.onceSeen[r.Digest] {
			return &once.Repeated{Note: string(payroll)}
		}
		if w.onceSeen == nil {
			w.onceSeen = map[string]bool{}
		}
		w.onceSeen[r.Digest] = true
	}
	w.keyDid = what
	return nil
}

func (w keyWorld) List(_ context.Context, _ auth.Caller, q apikey.Query) (page.Page[apikey.Key], error) {
	w.askedKey = q
	return page.Page[apikey.Key]{Items: w.keys, Next: w.next, Total: -1}, nil
}

func (w keyWorld) Find(_ context.Context, _ auth.Caller, key id.APIKey) (apikey.Key, error) {
	for _, k := range w.keys {
		if k.ID == key {
			return k, nil
		}
	}
	return apikey.Key{}, fault.NotFound("api_key_not_found", "This API key does not exist.")
}

func (w keyWorld) Descendants(context.Context, auth.Caller, id.APIKey) ([]apikey.Key, error) {
	return w.made, nil
}

func (w keyWorld) Usage(context.Context, auth.Caller, id.APIKey) ([]apikey.DayUsage, error) {
	return w.usage, nil
}

func (w keyWorld) MaxDays(context.Context, auth.Caller) (int, error) { return w.maxDays, nil }

func (w keyWorld) Update(ctx context.Context, _ auth.Caller, _ id.APIKey, c apikey.Change, ifRevision int64) (apikey.Key, error) {
	w.change = c
	return w.keys[0], w.do(ctx, fmt.Sprint("update ", ifRevision))
}

func (w keyWorld) Reset(ctx context.Context, _ auth.Caller, key id.APIKey, r apikey.Renewal) (apikey.Key, token.Token, error) {
	w.renewal = r
	t, _ := token.Parse(demoToken)
	k, _ := w.Find(ctx, auth.Caller{}, key)
	k.EndsAt = apikey.End(k.ExpiresAt, now(), w.maxDays)
	if r.Overlap > 0 {
		k.Retiring = apikey.Retiring{TokenID: k.TokenID, EndsAt: now().Add(r.Overlap)}
	}
	k.TokenID = t.ID
	return k, t, w.do(ctx, "reset")
}

func (w keyWorld) EndOverlap(ctx context.Context, _ auth.Caller, _ id.APIKey) (apikey.Key, error) {
	return apikey.Key{}, w.do(ctx, "end overlap")
}

func (w keyWorld) Disable(ctx context.Context, _ auth.Caller, _ id.APIKey, descendants bool) (apikey.Key, int, error) {
	return apikey.Key{}, 0, w.do(ctx, fmt.Sprint("disable ", descendants))
}

func (w keyWorld) Enable(ctx context.Context, _ auth.Caller, _ id.APIKey) (apikey.Key, error) {
	return apikey.Key{}, w.do(ctx, "enable")
}

func (w keyWorld) Delete(ctx context.Context, _ auth.Caller, _ id.APIKey, descendants bool, ifRevision int64) (int, error) {
	return 0, w.do(ctx, fmt.Sprint("delete ", descendants, " ", ifRevision))
}

// keys3 are a key of each type in states of their own.
func (w *world) keys3() {
	person := activity.Party{Type: "administrator", ID: string(ada), Name: "Ada Lovelace"}
	never := apikey.Never()
	w.keys = []apikey.Key{
		{
			ID: payroll, Name: "Payroll <sync>", TokenID: "0123456789ab", Type: apikey.Admin, Permissions: auth.Permissions{auth.UsersRead, auth.UsersWrite}, Revision: 4,
			CreatedAt: now().AddDate(0, 0, -80), IssuedAt: now().AddDate(0, 0, -1), ExpiresAt: now().AddDate(0, 0, 29), EndsAt: now().AddDate(0, 0, 29), CreatedBy: person, Root: ada,
			AllowedIPs: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")},
			LastUse:    apikey.Use{At: now().Add(-3 * time.Minute), IP: "192.0.2.7", Agent: "curl/8 <b>"},
			Retiring:   apikey.Retiring{TokenID: "zz23456789ab", EndsAt: now().Add(time.Hour)},
		},
		{
			ID: tablets, Name: "Old tablets", TokenID: "ba9876543210", Type: apikey.SharedMobile, Revision: 1, CreatedAt: now().AddDate(-1, 0, 0), IssuedAt: now().AddDate(-1, 0, 0),
			ExpiresAt: never, EndsAt: now().Add(-time.Hour), CreatedBy: activity.Party{Type: "api_key", ID: string(payroll), Name: "Payroll <sync>"},
		},
		{
			ID: doors, Name: "Workstations", TokenID: "cc9876543210", Type: apikey.Clients, Revision: 2, CreatedAt: now().AddDate(0, -2, 0), IssuedAt: now().AddDate(0, -2, 0),
			EndsAt: never, LeakedAt: now().Add(-time.Hour), CreatedBy: activity.Party{Type: "system", ID: "demo"},
		},
	}
}

func (w *world) used() {
	w.keys3()
	w.usage = make([]apikey.DayUsage, apikey.UsageDays)
	for i := range w.usage {
		w.usage[i].Day = now().Truncate(24*time.Hour).AddDate(0, 0, i-apikey.UsageDays+1)
	}
	w.usage[3].N, w.usage[88].N, w.usage[89].N = 7, 1234, 1
}

func (w *world) descends() {
	w.keys3()
	disabled := w.keys[2]
	disabled.ID, disabled.Name, disabled.DisabledAt = "key_01h455vb4pex5vsknk084sn02x", "Kiosk", now()
	w.made = []apikey.Key{disabled, w.keys[1], w.keys[2]} // and one that expired
}

func TestAPIKeyPages(t *testing.T) {
	stepUp := func(w *world) {
		w.keys3()
		w.fault = fault.Forbidden("step_up_required", "Confirm with your passkey first.")
	}
	refused := func(f *fault.Error) func(*world) {
		return func(w *world) {
			w.descends()
			w.fault = f
		}
	}
	as := func(permissions ...auth.Permission) func(*world) {
		return func(w *world) {
			w.keys3()
			w.standing = permissions
		}
	}
	limited := func(days int) func(*world) {
		return func(w *world) {
			w.keys3()
			w.maxDays = days
		}
	}
	one := "/api-keys/" + string(payroll)
	admin := url.Values{"name": {"Payroll"}, "type": {"admin"}, "permissions": {"users.read"}, "expiry": {"30"}}
	edit := url.Values{"revision": {"4"}, "name": {"Pay"}, "expiry": {"keep"}, "allowed_ips": {"192.0.2.7"}}
	for _, tt := range []struct {
		name   string
		path   string
		form   url.Values
		world  func(*world)
		status int
	}{
		{"api_keys", "/api-keys?sort=-last_used", nil, (*world).keys3, http.StatusOK},
		{"api_keys_reader", "/api-keys", nil, as(auth.APIKeysRead), http.StatusOK},
		{"api_keys_none", "/api-keys", nil, nil, http.StatusOK},
		{"api_keys_filtered", "/api-keys?q=pay&type=admin&status=active&ends=before&before=2026-12-31&used=90&creator=left", nil, nil, http.StatusOK},
		{"api_key_new", "/api-keys/new", nil, nil, http.StatusOK},
		{"api_key_new_limited", "/api-keys/new", nil, limited(60), http.StatusOK},
		{"api_key_new_writer", "/api-keys/new", nil, as(auth.APIKeysRead, auth.APIKeysWrite), http.StatusOK},
		{"api_key_new_wrong", "/api-keys", url.Values{"once": {"ABC"}, "type": {"admin"}, "expiry": {"custom"}, "expires_on": {"soon"}}, nil, http.StatusUnprocessableEntity},
		{"api_key_new_wrong_ips", "/api-keys", url.Values{"once": {"ABC"}, "type": {"clients"}, "expiry": {"never"}, "allowed_ips": {"here\r\nthere"}}, refused(fault.Invalid("invalid_fields", "Some fields need your attention.",
			fault.Field{Name: "allowed_ips", Message: "holds \"here\", which is no address"})), http.StatusUnprocessableEntity},
		{"api_key_confirm", "/api-keys", admin, stepUp, http.StatusForbidden},
		{"api_key_created", "/api-keys", admin, nil, http.StatusOK},
		{"api_key_created_clients", "/api-keys", url.Values{"name": {"Workstations"}, "type": {"clients"}, "expiry": {"never"}}, nil, http.StatusOK},
		{"api_key", one, nil, (*world).keys3, http.StatusOK},
		{"api_key_reader", one, nil, as(auth.APIKeysRead), http.StatusOK},
		{"api_key_limited", "/api-keys/" + string(tablets), nil, (*world).keys3, http.StatusOK},
		{"api_key_leaked", "/api-keys/" + string(doors), nil, (*world).keys3, http.StatusOK},
		{"api_key_leaked_admin", one, nil, func(w *world) {
			w.keys3()
			w.keys[0].LeakedAt, w.keys[0].DisabledAt = now(), now()
		}, http.StatusOK},
		{"api_key_usage", one + "?tab=usage", nil, (*world).used, http.StatusOK},
		{"api_key_usage_none", one + "?tab=usage", nil, (*world).keys3, http.StatusOK},
		{"api_key_made", one + "?tab=made", nil, (*world).descends, http.StatusOK},
		{"api_key_made_none", one + "?tab=made", nil, (*world).keys3, http.StatusOK},
		{"api_key_activities", one + "?tab=activities", nil, func(w *world) {
			w.keys3()
			w.keyEvents()
		}, http.StatusOK},
		{"api_key_activities_by", one + "?tab=activities&of=by", nil, (*world).keys3, http.StatusOK},
		{"api_key_unknown", "/api-keys/nonsense", nil, (*world).keys3, http.StatusNotFound},
		{"api_key_edit", one + "/edit", nil, (*world).keys3, http.StatusOK},
		{"api_key_edit_changed", one + "/edit", url.Values{"revision": {"3"}, "name": {"Pay"}, "expiry": {"never"}, "allowed_ips": {""}}, refused(fault.Precondition()), http.StatusUnprocessableEntity},
		{"api_key_edit_wrong", one + "/edit", url.Values{"revision": {"4"}, "name": {""}, "expiry": {"365"}}, refused(fault.Invalid("invalid_fields", "Some fields need your attention.",
			fault.Field{Name: "name", Message: "is needed"}, fault.Field{Name: "expires_at", Message: "is too late"})), http.StatusUnprocessableEntity},
		{"api_key_edit_confirm", one + "/edit", edit, stepUp, http.StatusForbidden},
		{"api_key_disable", one + "/disable", nil, (*world).descends, http.StatusOK},
		{"api_key_disable_alone", "/api-keys/" + string(tablets) + "/disable", nil, (*world).keys3, http.StatusOK},
		{"api_key_enable", "/api-keys/" + string(doors) + "/enable", nil, (*world).keys3, http.StatusOK},
		{"api_key_enable_confirm", one + "/enable", url.Values{}, stepUp, http.StatusForbidden},
		{"api_key_delete", one + "/delete", nil, (*world).descends, http.StatusOK},
		{"api_key_delete_wrong", one + "/delete", url.Values{"revision": {"4"}, "confirm": {"Payroll"}, "descendants": {"on"}}, (*world).descends, http.StatusUnprocessableEntity},
		{"api_key_delete_changed", one + "/delete", url.Values{"revision": {"3"}, "confirm": {"payroll <sync>"}}, refused(fault.Precondition()), http.StatusUnprocessableEntity},
		{"api_key_reset", one + "/reset", nil, (*world).keys3, http.StatusOK},
		{"api_key_reset_limited", one + "/reset", nil, limited(7), http.StatusOK},
		{"api_key_reset_other", "/api-keys/" + string(doors) + "/reset", nil, (*world).keys3, http.StatusOK},
		{"api_key_reset_other_sent", "/api-keys/" + string(doors) + "/reset", url.Values{"overlap": {"0"}, "expiry": {"keep"}}, refused(fault.Conflict("reset_admin_only", "Only Admin keys can be reset: because.")), http.StatusUnprocessableEntity},
		{"api_key_reset_wrong", one + "/reset", url.Values{"once": {"ABC"}, "overlap": {"custom"}, "minutes": {"1441"}, "expiry": {"keep"}}, (*world).keys3, http.StatusUnprocessableEntity},
		{"api_key_reset_confirm", one + "/reset", url.Values{"once": {"ABC"}, "overlap": {"60"}, "expiry": {"keep"}}, stepUp, http.StatusForbidden},
		{"api_key_reset_done", one + "/reset", url.Values{"overlap": {"0"}, "expiry": {"never"}}, (*world).keys3, http.StatusOK},
		{"api_key_reset_overlap", one + "/reset", url.Values{"overlap": {"custom"}, "minutes": {"90"}, "expiry": {"keep"}}, (*world).keys3, http.StatusOK},
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

// keyEvents are lines of all that happens to a key.
func (w *world) keyEvents() {
	admin := activity.Party{Type: "administrator", ID: string(ada), Name: "Ada Lovelace"}
	key := activity.Party{Type: "api_key", ID: string(payroll), Name: "Payroll <sync>"}
	w.events = nil
	for _, e := range []activity.Event{
		{Action: "api_key.create", Detail: "admin", Actor: admin},
		{Action: "api_key.update", Detail: "name expires_at allowed_ips", Actor: admin},
		{Action: "api_key.reset", Detail: "overlap 1h30m0s", Actor: admin},
		{Action: "api_key.end_overlap", Actor: admin},
		{Action: "api_key.disable", Detail: "descendants disabled: 2", Actor: admin},
		{Action: "api_key.enable", Actor: admin, Outcome: activity.Refused, Reason: "step_up_required"},
		{Action: "api_key.report_leaked", Detail: outbox.LeakedDisabled, Actor: activity.Party{Type: "anonymous"}},
		{Action: "api_key.expiring", Detail: now().AddDate(0, 0, 7).Format(time.RFC3339), Actor: activity.Party{Type: "system", ID: "expiry"}},
		{Action: "api_key.delete", Actor: activity.Party{Type: "api_key", ID: string(doors), Name: "Doors"}},
	} {
		e.At, e.Target, e.Count = now().Add(-time.Minute), key, 1
		if e.Outcome == "" {
			e.Outcome = activity.Success
		}
		w.events = append(w.events, e)
	}
}

func TestAPIKeys_asksForWhatTheURLSays(t *testing.T) {
	berlin := time.Date(2026, 12, 30, 23, 0, 0, 0, time.UTC) // 31 December begins there
	for _, tt := range []struct {
		query string
		want  apikey.Query
	}{
		{"", apikey.Query{}},
		{"q=+pay+&type=clients&status=disabled&sort=-expires_at", apikey.Query{Begins: "pay", Type: apikey.Clients, Status: apikey.Disabled, Page: page.Request{Sort: "expires_at", Descending: true}}},
		{"ends=30", apikey.Query{Status: apikey.Active, ExpiresBefore: now().AddDate(0, 0, 30)}},
		{"ends=30&status=expired", apikey.Query{Status: apikey.Expired, ExpiresBefore: now().AddDate(0, 0, 30)}},
		{"ends=before&before=2026-12-31", apikey.Query{ExpiresBefore: berlin}},
		{"ends=before&before=soon", apikey.Query{}},
		{"ends=31&before=2026-12-31", apikey.Query{}},
		{"used=never", apikey.Query{NeverUsed: true}},
		{"used=90", apikey.Query{UnusedSince: now().AddDate(0, 0, -90)}},
		{"used=since&since=2026-12-31", apikey.Query{UnusedSince: berlin}},
		{"creator=left", apikey.Query{CreatorLeft: true}},
		{"creator=x&type=x&status=x&used=x&ends=x", apikey.Query{}},
	} {
		w := newWorld()
		w.keys3()
		w.ask(t, "/api-keys?"+tt.query, nil)
		if diff := cmp.Diff(tt.want, w.askedKey); diff != "" {
			t.Errorf("%q: List() (-want +got):\n%s", tt.query, diff)
		}
	}
}

func TestCreateAPIKey_expiry(t *testing.T) {
	tests := []struct {
		expiry, date string
		want         time.Time
	}{
		{"30", "", now().AddDate(0, 0, 30)},
		{"never", "", time.Time{}},
		// The last day ends at midnight in Berlin, which is 23:00 UTC in winter.
		{"custom", "2026-12-31", time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)},
	}
	for _, tt := range tests {
		w := newWorld()
		w.ask(t, "/api-keys", url.Values{"name": {"x"}, "type": {"admin"}, "expiry": {tt.expiry}, "expires_on": {tt.date}})
		if w.keyDid != "create" || !w.newKey.ExpiresAt.Equal(tt.want) {
			t.Errorf("expiry %q: did %q, ExpiresAt = %v, want %v", tt.expiry, w.keyDid, w.newKey.ExpiresAt, tt.want)
		}
		if w.newKey.Permissions == nil {
			t.Error("no permission ticked: Permissions = nil, which means all")
		}
	}
	for _, expiry := range []string{"keep", "31", ""} {
		w := newWorld()
		if rec := w.ask(t, "/api-keys", url.Values{"name": {"x"}, "type": {"admin"}, "expiry": {expiry}}); rec.Code != http.StatusUnprocessableEntity || w.keyDid != "" {
			t.Errorf("expiry %q: status = %d, did %q, want 422 and nothing", expiry, rec.Code, w.keyDid)
		}
	}
}

// Without a script the permissions stand there for all types, ticked.
func TestCreateAPIKey_otherTypesHaveNoPermissions(t *testing.T) {
	w := newWorld()
	w.ask(t, "/api-keys", url.Values{"name": {"x"}, "type": {"clients"}, "permissions": {"users.read"}, "expiry": {"never"}, "allowed_ips": {"192.0.2.7\r\n\r\n2001:db8::/32, 192.0.2.8"}})
	want := apikey.NewKey{Name: "x", Type: apikey.Clients, AllowedIPs: []string{"192.0.2.7", "2001:db8::/32", "192.0.2.8"}}
	if diff := cmp.Diff(want, w.newKey); diff != "" {
		t.Errorf("Create() (-want +got):\n%s", diff)
	}
}

func TestOnce_aReloadMakesNothing(t *testing.T) {
	for _, tt := range []struct {
		path, did string
		form      url.Values
	}{
		{"/api-keys", "create", url.Values{"name": {"x"}, "type": {"clients"}, "expiry": {"never"}}},
		{"/api-keys/" + string(payroll) + "/reset", "reset", url.Values{"overlap": {"0"}, "expiry": {"keep"}}},
	} {
		w := newWorld()
		w.keys3()
		form := w.ask(t, strings.Replace(tt.path+"/new", "/reset/new", "/reset", 1), nil).Body.String()
		name := regexp.MustCompile(`name="once" value="([^"]+)"`).FindStringSubmatch(form)
		if name == nil {
			t.Fatalf("%s: the form has no name", tt.path)
		}
		tt.form.Set("once", name[1])
		w.fault = fault.Forbidden("step_up_required", "Confirm with your passkey first.")
		w.ask(t, tt.path, tt.form) // refused: the form may be sent again
		w.fault = nil
		if body := w.ask(t, tt.path, tt.form).Body.String(); w.keyDid != tt.did || !strings.Contains(body, demoToken) {
			t.Fatalf("%s: did %q, want %q and its token", tt.path, w.keyDid, tt.did)
		}
		w.keyDid = ""
		tt.form.Set("name", "changed meanwhile")
		rec := w.ask(t, tt.path, tt.form)
		body := rec.Body.String()
		if w.keyDid != "" || rec.Code != http.StatusOK || strings.Contains(body, demoToken) || !strings.Contains(body, `href="/api-keys/`+string(payroll)+`"`) {
			t.Errorf("%s again: did %q, status %d, want nothing and a way to the key", tt.path, w.keyDid, rec.Code)
		}
		golden(t, "api_key_again_"+tt.did, body)
	}
}

func TestAPIKey_acts(t *testing.T) {
	one := "/api-keys/" + string(payroll)
	for _, tt := range []struct {
		path string
		form url.Values
		did  string
		to   string
	}{
		{one + "/edit", url.Values{"revision": {"4"}, "name": {"Pay"}, "expiry": {"keep"}}, "update 4", one},
		{one + "/disable", url.Values{}, "disable false", one},
		{one + "/disable", url.Values{"descendants": {"on"}}, "disable true", one},
		{one + "/enable", url.Values{}, "enable", one},
		{one + "/end-overlap", url.Values{}, "end overlap", one},
		{one + "/delete", url.Values{"revision": {"4"}, "confirm": {" payroll <SYNC>"}, "descendants": {"on"}}, "delete true 4", "/api-keys"},
		{one + "/delete", url.Values{"revision": {"4"}, "confirm": {"Payroll"}}, "", ""},
		{one + "/delete", url.Values{"confirm": {"Payroll <sync>"}}, "", ""},
	} {
		w := newWorld()
		w.keys3()
		rec := w.ask(t, tt.path, tt.form)
		if got := rec.Header().Get("Location"); w.keyDid != tt.did || got != tt.to {
			t.Errorf("POST %s %v: did %q, then %q, want %q, %q", tt.path, tt.form, w.keyDid, got, tt.did, tt.to)
		}
	}
}

func TestUpdateAPIKey_sendsWhatWasEntered(t *testing.T) {
	w := newWorld()
	w.keys3()
	w.ask(t, "/api-keys/"+string(payroll)+"/edit", url.Values{"revision": {"4"}, "name": {"Pay"}, "expiry": {"keep"}, "allowed_ips": {""}})
	if *w.change.Name != "Pay" || w.change.ExpiresAt != nil || len(*w.change.AllowedIPs) != 0 {
		t.Errorf("Update(%+v), want the name, the end kept and no addresses", w.change)
	}
	w.ask(t, "/api-keys/"+string(payroll)+"/edit", url.Values{"revision": {"4"}, "name": {"Pay"}, "expiry": {"never"}})
	if w.change.ExpiresAt == nil || !w.change.ExpiresAt.IsZero() {
		t.Errorf("Update(%+v), want no end", w.change)
	}
}

func TestResetAPIKey_sendsWhatWasChosen(t *testing.T) {
	for _, tt := range []struct {
		overlap, minutes, expiry string
		want                     apikey.Renewal
	}{
		{"0", "", "keep", apikey.Renewal{}},
		{"1440", "", "30", apikey.Renewal{Overlap: 24 * time.Hour, ExpiresAt: new(now().AddDate(0, 0, 30))}},
		{"custom", "5", "never", apikey.Renewal{Overlap: 5 * time.Minute, ExpiresAt: new(time.Time)}},
	} {
		w := newWorld()
		w.keys3()
		w.ask(t, "/api-keys/"+string(payroll)+"/reset", url.Values{"overlap": {tt.overlap}, "minutes": {tt.minutes}, "expiry": {tt.expiry}})
		if diff := cmp.Diff(tt.want, w.renewal); diff != "" || w.keyDid != "reset" {
			t.Errorf("Reset() did %q (-want +got):\n%s", w.keyDid, diff)
		}
	}
	for _, minutes := range []string{"", "0", "-1", "1441", "x", "99999999999999999999"} {
		w := newWorld()
		w.keys3()
		if rec := w.ask(t, "/api-keys/"+string(payroll)+"/reset", url.Values{"overlap": {"custom"}, "minutes": {minutes}, "expiry": {"keep"}}); rec.Code != http.StatusUnprocessableEntity || w.keyDid != "" {
			t.Errorf("minutes %q: status = %d, did %q, want 422 and nothing", minutes, rec.Code, w.keyDid)
		}
	}
}
