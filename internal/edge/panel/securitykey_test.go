package panel

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
)

const (
	badgeKey = id.SecurityKey("sk_01h455vb4pex5vsknk084sn02a")
	phoneKey = id.SecurityKey("sk_01h455vb4pex5vsknk084sn02b")
	usbKey   = id.SecurityKey("sk_01h455vb4pex5vsknk084sn02c")
	spareKey = id.SecurityKey("sk_01h455vb4pex5vsknk084sn02d")
	someCard = "04A224B1C86D80"
)

// cardRoom is what the security keys' double holds, and what it was asked for.
type cardRoom struct {
	cards      []securitykey.SecurityKey
	held       []securitykey.Binding
	cardRules  securitykey.Settings
	unused     securitykey.Unused
	pass       signin.AccessPass
	askedCards securitykey.Query
	askedWords string
	newCard    securitykey.NewKey
	cardChange securitykey.Change
	newRules   securitykey.SettingsChange
	reset      securitykey.Reset
	newPass    signin.NewAccessPass
	cardDid    string
	cardOnce   map[string]bool
	rowFaults  map[id.SecurityKey]error // of acts on many
}

// cardWorld gives the room its own List and Create.
type cardWorld struct{ *world }

func (w cardWorld) act(ctx context.Context, what string) error {
	if w.fault != nil {
		return w.fault
	}
	if r, ok := once.From(ctx); ok {
		if w.cardOnce[r.Digest] {
			return &once.Repeated{Note: string(badgeKey)}
		}
		if w.cardOnce == nil {
			w.cardOnce = map[string]bool{}
		}
		w.cardOnce[r.Digest] = true
	}
	w.cardDid = what
	return nil
}

func (w cardWorld) one(key id.SecurityKey) (securitykey.SecurityKey, error) {
	for _, k := range w.cards {
		if k.ID == key {
			return k, nil
		}
	}
	return securitykey.SecurityKey{}, fault.NotFound("security_key_not_found", "This security key does not exist.")
}

func (w cardWorld) Create(ctx context.Context, _ auth.Caller, owner id.User, n securitykey.NewKey) (securitykey.Issued, error) {
	if err := w.act(ctx, "create for "+string(owner)); err != nil {
		return securitykey.Issued{}, err
	}
	w.newCard = n
	out := securitykey.Issued{Key: securitykey.SecurityKey{ID: badgeKey, User: owner, Kind: n.Kind, Name: n.Name, Life: securitykey.New}}
	if out.Key.Name == "" {
		out.Key.Name = "Card"
	}
	if n.Delivery == securitykey.DeliverResponse {
		out.PIN = secret.FromString("739214")
	}
	return out, nil
}

func (w cardWorld) Find(_ context.Context, _ auth.Caller, key id.SecurityKey) (securitykey.Detail, error) {
	k, err := w.one(key)
	out := securitykey.Detail{Key: k}
	if k.Card.Digest != "" {
		out.CardNumber = someCard
	}
	return out, err
}

func (w cardWorld) List(_ context.Context, _ auth.Caller, text string, q securitykey.Query) (page.Page[securitykey.SecurityKey], error) {
	w.askedCards, w.askedWords = q, text
	return page.Page[securitykey.SecurityKey]{Items: w.cards, Next: w.next, Total: -1}, nil
}

func (w cardWorld) Counts(context.Context, auth.Caller) (securitykey.Counts, error) {
	if len(w.cards) == 0 {
		return securitykey.Counts{}, nil
	}
	return securitykey.Counts{Total: 1234, New: 4, Pending: 30, Active: 1190, Suspended: 10}, nil
}

func (w cardWorld) Update(ctx context.Context, _ auth.Caller, _ id.SecurityKey, c securitykey.Change, ifRevision int64) (securitykey.SecurityKey, error) {
	w.cardChange = c
	return securitykey.SecurityKey{}, w.act(ctx, fmt.Sprint("update ", ifRevision))
}

func (w cardWorld) Suspend(ctx context.Context, _ auth.Caller, key id.SecurityKey) (securitykey.SecurityKey, error) {
	return securitykey.SecurityKey{}, w.act(ctx, "suspend "+string(key))
}

func (w cardWorld) Activate(ctx context.Context, _ auth.Caller, key id.SecurityKey) (securitykey.SecurityKey, error) {
	return securitykey.SecurityKey{}, w.act(ctx, "activate "+string(key))
}

func (w cardWorld) Confirm(ctx context.Context, _ auth.Caller, key id.SecurityKey) (securitykey.SecurityKey, error) {
	return securitykey.SecurityKey{}, w.act(ctx, "confirm "+string(key))
}

func (w cardWorld) ResendActivation(ctx context.Context, _ auth.Caller, key id.SecurityKey) (securitykey.SecurityKey, error) {
	return securitykey.SecurityKey{}, w.act(ctx, "resend "+string(key))
}

func (w cardWorld) ResetPIN(ctx context.Context, _ auth.Caller, key id.SecurityKey, r securitykey.Reset) (securitykey.Issued, error) {
	if err := w.act(ctx, "reset "+string(key)); err != nil {
		return securitykey.Issued{}, err
	}
	w.reset = r
	k, err := w.one(key)
	k.PIN.MustChange = r.MustChange
	out := securitykey.Issued{Key: k}
	if r.Delivery == securitykey.DeliverResponse {
		out.PIN = secret.FromString("739214")
	}
	return out, err
}

func (w cardWorld) Delete(ctx context.Context, _ auth.Caller, key id.SecurityKey, ifRevision int64) error {
	return w.act(ctx, fmt.Sprint("delete ", key, " ", ifRevision))
}

func (w cardWorld) many(ctx context.Context, what string, keys []id.SecurityKey) ([]securitykey.Outcome, error) {
	var out []securitykey.Outcome
	for _, k := range keys {
		out = append(out, securitykey.Outcome{ID: k, Fault: w.rowFaults[k]})
	}
	return out, w.act(ctx, fmt.Sprint(what, " ", len(keys)))
}

func (w cardWorld) SuspendMany(ctx context.Context, _ auth.Caller, keys []id.SecurityKey) ([]securitykey.Outcome, error) {
	return w.many(ctx, "suspend", keys)
}

func (w cardWorld) ActivateMany(ctx context.Context, _ auth.Caller, keys []id.SecurityKey) ([]securitykey.Outcome, error) {
	return w.many(ctx, "activate", keys)
}

func (w cardWorld) DeleteMany(ctx context.Context, _ auth.Caller, keys []id.SecurityKey) ([]securitykey.Outcome, error) {
	return w.many(ctx, "delete", keys)
}

func (w cardWorld) Settings(context.Context, auth.Caller) (securitykey.Settings, error) {
	return w.cardRules, nil
}

func (w cardWorld) UpdateSettings(ctx context.Context, _ auth.Caller, c securitykey.SettingsChange, ifRevision int64) (securitykey.Settings, error) {
	w.newRules = c
	return securitykey.Settings{}, w.act(ctx, fmt.Sprint("settings ", ifRevision))
}

func (w cardWorld) Unused(ctx context.Context, _ auth.Caller, days, grace int) (securitykey.Unused, error) {
	return w.unused, w.act(ctx, fmt.Sprint("unused ", days, " ", grace))
}

func (w cardWorld) History(context.Context, auth.Caller, id.User) ([]securitykey.Binding, error) {
	return w.held, nil
}

func (w cardWorld) Rules(context.Context, auth.Caller) (securitykey.PINRules, error) {
	return w.cardRules.PIN, nil
}

func (w cardWorld) BeginAtDesk(context.Context, auth.Caller, id.SecurityKey) (signin.Challenge, error) {
	return signin.Challenge{Ceremony: "cer_01h455vb4pex5vsknk084sn02q", Options: json.RawMessage(`{"challenge":"AA"}`)}, w.fault
}

func (w cardWorld) FinishAtDesk(ctx context.Context, _ auth.Caller, key id.SecurityKey, _ id.Ceremony, _ []byte) (securitykey.SecurityKey, error) {
	return securitykey.SecurityKey{ID: key}, w.act(ctx, "register "+string(key))
}

func (w signinWorld) IssueAccessPass(ctx context.Context, _ auth.Caller, user id.User, n signin.NewAccessPass) (signin.AccessPass, secret.Bytes, error) {
	if err := cardWorld(w).act(ctx, "pass for "+string(user)); err != nil {
		return signin.AccessPass{}, secret.Bytes{}, err
	}
	w.newPass = n
	from := n.StartsAt
	if from.IsZero() {
		from = now()
	}
	return signin.AccessPass{StartsAt: from, ExpiresAt: from.Add(n.Lifetime), OneTime: n.OneTime, CreatedAt: now(), CreatedBy: "Ada Lovelace"}, secret.FromString("K7QW2MXR"), nil
}

func (w signinWorld) FindAccessPass(context.Context, auth.Caller, id.User) (signin.AccessPass, error) {
	if w.pass.ExpiresAt.IsZero() {
		return w.pass, fault.NotFound("access_pass_not_found", "This user has no temporary access pass.")
	}
	return w.pass, nil
}

func (w signinWorld) WithdrawAccessPass(ctx context.Context, _ auth.Caller, user id.User) (signin.AccessPass, error) {
	return w.pass, cardWorld(w).act(ctx, "withdraw "+string(user))
}

// cards4 are keys of each kind in states of their own.
func (w *world) cards4() {
	holder := securitykey.Holder{Name: "Grace Hopper <script>", Email: "grace@example.com"}
	w.cards = []securitykey.SecurityKey{
		{
			ID: badgeKey, User: grace, Kind: securitykey.ContactlessCard, Name: "Badge <1>", Model: "DESFire EV3", Life: securitykey.Active, Verification: securitykey.ByPIN, Revision: 4,
			Card: securitykey.Card{Type: "uid", Digest: "aa"}, PIN: securitykey.PIN{Verifier: []byte{1}, SetAt: now().AddDate(0, 0, -3), MustChange: true},
			Total: 1, CreatedAt: now().AddDate(0, 0, -80), ActivatedAt: now().AddDate(0, 0, -79), LastActivityAt: now().Add(-time.Hour), Holder: holder,
		},
		{
			ID: phoneKey, User: grace, Kind: securitykey.Smartphone, Name: "Phone", Life: securitykey.Pending, Verification: securitykey.ByPhone, Proximity: true, Revision: 1,
			Link: securitykey.Link{ID: "acn_01h455vb4pex5vsknk084sn02d", ExpiresAt: now().Add(48 * time.Hour)}, CreatedAt: now().Add(-time.Hour), Holder: holder,
		},
		{
			ID: usbKey, User: ada, Kind: securitykey.FIDO2, Name: "Security key", Model: "YubiKey 5 Series", AAGUID: "cb69481e-8ff7-4039-93ec-0a2729a154a8", Life: securitykey.New,
			Verification: securitykey.ByPIN, Revision: 1, CreatedAt: now().Add(-time.Minute), Holder: securitykey.Holder{Name: "Ada Lovelace", Email: "ada@example.com", Suspended: true},
		},
		{
			ID: spareKey, User: ada, Kind: securitykey.ContactlessCard, Name: "Spare", Life: securitykey.Pending, ToConfirm: true, Verification: securitykey.Pinless, Revision: 2,
			Card: securitykey.Card{Type: "uid", Digest: "bb", Named: true}, CreatedAt: now().Add(-time.Hour), Holder: securitykey.Holder{Name: "Ada Lovelace", Email: "ada@example.com"},
		},
	}
	w.cardRules = securitykey.Settings{
		PIN: securitykey.PINRules{Min: 6, Max: 32, Digit: true}, UnusedDays: 90, GraceDays: 14, Revision: 2,
		ModelsAllowed: []string{"cb69481e-8ff7-4039-93ec-0a2729a154a8"}, ModelsBlocked: []string{"00000000-0000-4000-8000-00000000beef"},
	}
}

// with changes one of the keys.
func with(key int, change func(*securitykey.SecurityKey)) func(*world) {
	return func(w *world) {
		w.cards4()
		change(&w.cards[key])
	}
}

// goldenPage is one page in one state.
type goldenPage struct {
	name   string
	path   string
	form   url.Values
	world  func(*world)
	status int
}

func goldenPages(t *testing.T, pages []goldenPage) {
	t.Helper()
	for _, tt := range pages {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.world != nil {
				tt.world(w)
			}
			rec := w.ask(t, tt.path, tt.form)
			if rec.Code != tt.status {
				t.Errorf("status = %d, want %d", rec.Code, tt.status)
			}
			if strings.Contains(rec.Body.String(), "style=") {
				t.Error("the page has a style attribute, which the policy forbids")
			}
			golden(t, tt.name, rec.Body.String())
		})
	}
}

// refusing is a world of keys in which every writing act is refused.
func refusing(f error) func(*world) {
	return func(w *world) {
		w.cards4()
		w.fault = f
	}
}

func reading(permissions ...auth.Permission) func(*world) {
	return func(w *world) {
		w.cards4()
		w.standing = permissions
	}
}

var (
	errStepUp = fault.Forbidden("step_up_required", "Confirm with your passkey first.")
	errBeyond = fault.Forbidden("beyond_your_permissions", "This user holds permissions that you lack.")
)

func TestSecurityKeyPages(t *testing.T) {
	one, spare := "/security-keys/"+string(badgeKey), "/security-keys/"+string(spareKey)
	goldenPages(t, []goldenPage{
		{"security_keys", "/security-keys?sort=-last_activity", nil, (*world).cards4, http.StatusOK},
		{"security_keys_reader", "/security-keys", nil, reading(auth.SecurityKeysRead), http.StatusOK},
		{"security_keys_none", "/security-keys", nil, nil, http.StatusOK},
		{"security_keys_filtered", "/security-keys?q=04A2&status=pending&kind=smartphone&to_confirm=yes&unused=since&since=2026-11-01", nil, (*world).cards4, http.StatusOK},
		{"security_key_card", one, nil, (*world).cards4, http.StatusOK},
		{"security_key_reader", one, nil, reading(auth.SecurityKeysRead), http.StatusOK},
		{"security_key_locked", one, nil, with(0, func(k *securitykey.SecurityKey) { k.PIN.Wrong = securitykey.PINTries }), http.StatusOK},
		{"security_key_paused", one, nil, with(0, func(k *securitykey.SecurityKey) {
			k.PIN.Wrong, k.PIN.PausedUntil, k.NoticedAt = 6, now().Add(5*time.Minute), now().AddDate(0, 0, -3)
		}), http.StatusOK},
		{"security_key_suspended", one, nil, with(0, func(k *securitykey.SecurityKey) { k.SuspendedAt = now().Add(-time.Hour) }), http.StatusOK},
		{"security_key_phone", "/security-keys/" + string(phoneKey), nil, (*world).cards4, http.StatusOK},
		{"security_key_phone_over", "/security-keys/" + string(phoneKey), nil, with(1, func(k *securitykey.SecurityKey) { k.Link.ExpiresAt = now() }), http.StatusOK},
		{"security_key_fido2", "/security-keys/" + string(usbKey), nil, (*world).cards4, http.StatusOK},
		{"security_key_waits", spare, nil, (*world).cards4, http.StatusOK},
		{"security_key_activities", one + "?tab=activities", nil, (*world).cardEvents, http.StatusOK},
		{"security_key_activities_none", one + "?tab=activities", nil, (*world).cards4, http.StatusOK},
		{"security_key_unknown", "/security-keys/nonsense", nil, (*world).cards4, http.StatusNotFound},
		{"security_key_edit", one + "/edit", nil, with(0, func(*securitykey.SecurityKey) {}), http.StatusOK},
		{"security_key_edit_pinless", spare + "/edit", nil, (*world).cards4, http.StatusOK},
		{"security_key_edit_phone", "/security-keys/" + string(phoneKey) + "/edit", nil, (*world).cards4, http.StatusOK},
		{"security_key_edit_changed", one + "/edit", url.Values{"revision": {"3"}, "name": {"Mine"}, "model": {""}, "verification": {"pin"}}, refusing(fault.Precondition()), http.StatusUnprocessableEntity},
		{"security_key_edit_wrong", one + "/edit", url.Values{"revision": {"4"}, "name": {"x"}, "verification": {"pinless"}}, refusing(fault.Invalid("invalid_fields", "Some fields need your attention.",
			fault.Field{Name: "verification", Message: "cannot be PINless in this workspace"})), http.StatusUnprocessableEntity},
		{"security_key_edit_confirm", one + "/edit", url.Values{"revision": {"4"}, "name": {"x"}, "verification": {"pin"}}, refusing(errStepUp), http.StatusForbidden},
		{"security_key_suspend", one + "/suspend", nil, (*world).cards4, http.StatusOK},
		{"security_key_activate_refused", one + "/activate", url.Values{}, refusing(errBeyond), http.StatusForbidden},
		{"security_key_confirm", spare + "/confirm", nil, (*world).cards4, http.StatusOK},
		{"security_key_confirm_refused", spare + "/confirm", url.Values{}, refusing(errBeyond), http.StatusUnprocessableEntity},
		{"security_key_delete", one + "/delete", nil, (*world).cards4, http.StatusOK},
		{"security_key_delete_wrong", one + "/delete", url.Values{"revision": {"4"}, "confirm": {"Badge"}}, (*world).cards4, http.StatusUnprocessableEntity},
		{"security_key_delete_changed", one + "/delete", url.Values{"revision": {"3"}, "confirm": {"badge <1>"}}, refusing(fault.Precondition()), http.StatusUnprocessableEntity},
		{"security_key_reset", one + "/reset-pin", nil, (*world).cards4, http.StatusOK},
		{"security_key_reset_other", "/security-keys/" + string(phoneKey) + "/reset-pin", nil, (*world).cards4, http.StatusOK},
		{"security_key_reset_wrong", one + "/reset-pin", url.Values{"once": {"ABC"}, "pin_source": {"typed"}, "pin": {"111111"}, "pin_delivery": {"email"}}, refusing(fault.Invalid("invalid_fields", "Some fields need your attention.",
			fault.Field{Name: "pin", Message: "is easily guessed"})), http.StatusUnprocessableEntity},
		{"security_key_reset_confirm", one + "/reset-pin", url.Values{"once": {"ABC"}, "pin_source": {"generate"}, "pin_delivery": {"response"}}, refusing(errStepUp), http.StatusForbidden},
		{"security_key_reset_done", one + "/reset-pin", url.Values{"pin_source": {"generate"}, "pin_delivery": {"response"}, "must_change": {"on"}}, (*world).cards4, http.StatusOK},
		{"security_key_register", "/security-keys/" + string(usbKey) + "/register", nil, (*world).cards4, http.StatusOK},
		{"security_key_register_stale", "/security-keys/" + string(usbKey) + "/register", nil, func(w *world) {
			w.cards4()
			w.stepUpAt = now().Add(-time.Hour)
		}, http.StatusOK},
		{"security_key_register_not", one + "/register", nil, (*world).cards4, http.StatusOK},
	})
}

func TestManySecurityKeysPages(t *testing.T) {
	both := url.Values{"ids": {string(badgeKey), string(phoneKey), "nonsense", "sk_01h455vb4pex5vsknk084sn02z"}}
	ask := func(act string) string {
		form := url.Values{"act": {act}, "ids": both["ids"]}
		return "/security-keys/bulk?" + form.Encode()
	}
	post := func(act, confirm string) url.Values {
		return url.Values{"act": {act}, "ids": both["ids"], "confirm": {confirm}}
	}
	goldenPages(t, []goldenPage{
		{"security_keys_many_suspend", ask("suspend"), nil, (*world).cards4, http.StatusOK},
		{"security_keys_many_activate", ask("activate"), nil, (*world).cards4, http.StatusOK},
		{"security_keys_many_delete", ask("delete"), nil, (*world).cards4, http.StatusOK},
		{"security_keys_many_none", "/security-keys/bulk?act=delete", nil, (*world).cards4, http.StatusOK},
		{"security_keys_many_wrong", "/security-keys/bulk", post("delete", "3"), (*world).cards4, http.StatusUnprocessableEntity},
		{"security_keys_many_done", "/security-keys/bulk", post("delete", "2"), func(w *world) {
			w.cards4()
			w.rowFaults = map[id.SecurityKey]error{phoneKey: errBeyond}
		}, http.StatusOK},
		{"security_keys_many_confirm", "/security-keys/bulk", post("activate", ""), func(w *world) {
			w.cards4()
			w.rowFaults = map[id.SecurityKey]error{phoneKey: errStepUp}
		}, http.StatusOK},
	})
}

// cardEvents are lines of what happens to a key, and of a sign-in with it.
func (w *world) cardEvents() {
	w.cards4()
	admin := activity.Party{Type: "administrator", ID: string(ada), Name: "Ada Lovelace"}
	holder := activity.Party{Type: "user", ID: string(grace), Name: "Grace Hopper <script>"}
	key := activity.Party{Type: "security_key", ID: string(badgeKey), Name: "Badge <1>"}
	w.events = []activity.Event{
		{Action: "session.open", Detail: "passkey", Outcome: activity.Success, At: now(), Actor: holder, Target: holder, User: grace, SecurityKey: badgeKey, Count: 1},
		{Action: "security_key.pin_try", Outcome: activity.Refused, Reason: "pin_locked", At: now().Add(-time.Hour), Actor: holder, Target: key, User: grace, SecurityKey: badgeKey, Count: 3},
		{Action: "security_key.update", Detail: "name, verification", Outcome: activity.Success, At: now().Add(-2 * time.Hour), Actor: admin, Target: key, User: grace, SecurityKey: badgeKey, Count: 1},
		{Action: "security_key.create", Outcome: activity.Success, At: now().AddDate(0, 0, -80), Actor: admin, Target: key, User: grace, SecurityKey: badgeKey, Count: 1},
	}
}

func TestUserPages_keys(t *testing.T) {
	path := "/users/" + string(grace)
	goldenPages(t, []goldenPage{
		{"user_keys", path, nil, func(w *world) {
			w.cards4()
			w.held = []securitykey.Binding{
				{Key: badgeKey, Kind: securitykey.ContactlessCard, Name: "Badge <1>", Model: "DESFire EV3", CreatedAt: now().AddDate(0, 0, -80), ActivatedAt: now().AddDate(0, 0, -79)},
				{Key: spareKey, Kind: securitykey.FIDO2, Name: "Old key", CreatedAt: now().AddDate(-1, 0, 0), EndedAt: now().AddDate(0, 0, -90), EndedAs: "deleted"},
			}
		}, http.StatusOK},
		{"user_keys_none", path, nil, nil, http.StatusOK},
		{"user_keys_reader", path, nil, reading(auth.UsersRead, auth.SecurityKeysRead), http.StatusOK},
		{"user_keys_writer", path, nil, reading(auth.UsersRead, auth.SecurityKeysRead, auth.SecurityKeysWrite), http.StatusOK},
		{"user_self", "/users/" + string(ada), nil, (*world).cards4, http.StatusOK},
		{"user_credentials", path + "?tab=credentials", nil, (*world).cards4, http.StatusOK},
		{"user_groups_first", path, nil, reading(auth.UsersRead), http.StatusOK},
	})
}

func TestUserPage_tabsInOrder(t *testing.T) {
	w := newWorld()
	body := w.ask(t, "/users/"+string(grace), nil).Body.String()
	names := func(after, before, pattern string) []string {
		_, part, _ := strings.Cut(body, after)
		part, _, _ = strings.Cut(part, before)
		var out []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(part, -1) {
			out = append(out, m[1])
		}
		return out
	}
	got := names(`class="kh-tabs"`, "</nav>", `</svg>\s*([A-Z][a-z ]+?)</a>`)
	if want := []string{"Security keys", "Groups", "Credentials", "Activities", "Digital keys"}; !slices.Equal(got, want) {
		t.Errorf("tabs = %q, want %q", got, want)
	}
	got = names(`class="kh-toolbar"`, "kh-tabs", `</svg>\s*([A-Z][A-Za-z ]+?)</(?:a|button)>`)
	if want := []string{"Refresh", "Edit", "Get Temporary Access Pass", "Delete", "Suspend", "Invite", "Add Device"}; !slices.Equal(got, want) {
		t.Errorf("toolbar = %q, want %q", got, want)
	}
}

// wizardForm is the wizard filled in for a card.
func wizardForm(to string, pairs ...string) url.Values {
	form := url.Values{"to": {to}, "once": {"ABC"}, "kind": {"contactless_card"}, "verification": {"pin"}, "pin_source": {"generate"}, "pin_delivery": {"email"}, "must_change": {"on"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

func TestKeyWizardPages(t *testing.T) {
	path := "/users/" + string(grace) + "/security-keys/new"
	invalid := func(name, message string) *fault.Error {
		return fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: name, Message: message})
	}
	goldenPages(t, []goldenPage{
		{"key_new_pick", "/security-keys/new", nil, nil, http.StatusOK},
		{"key_new_picked", "/security-keys/new?q=a", nil, nil, http.StatusOK},
		{"key_new_kind", path, nil, (*world).cards4, http.StatusOK},
		{"key_new_options", path, wizardForm("options"), func(w *world) {
			w.cards4()
			w.cardRules.Pinless = true
		}, http.StatusOK},
		{"key_new_options_phone", path, wizardForm("options", "kind", "smartphone"), (*world).cards4, http.StatusOK},
		{"key_new_activation", path, wizardForm("activation", "name", "Badge"), (*world).cards4, http.StatusOK},
		{"key_new_activation_fido2", path, wizardForm("activation", "kind", "fido2"), (*world).cards4, http.StatusOK},
		{"key_new_activation_wrong", path, wizardForm("review", "activation", "now"), (*world).cards4, http.StatusUnprocessableEntity},
		{"key_new_review", path, wizardForm("review", "activation", "now", "card_number", someCard), (*world).cards4, http.StatusOK},
		{"key_new_review_email", path, wizardForm("review", "activation", "email"), (*world).cards4, http.StatusOK},
		{"key_new_taken", path, wizardForm("create", "activation", "now", "card_number", someCard), refusing(fault.Conflict("card_registered", "This card is registered already: Ada Lovelace has it.")), http.StatusUnprocessableEntity},
		{"key_new_wrong_pin", path, wizardForm("create", "activation", "now", "card_number", someCard, "pin_source", "typed", "pin", "1234"), refusing(invalid("pin", "is too short")), http.StatusUnprocessableEntity},
		{"key_new_beyond", path, wizardForm("create", "activation", "email"), refusing(errBeyond), http.StatusForbidden},
		{"key_new_confirm", path, wizardForm("create", "activation", "email"), refusing(errStepUp), http.StatusForbidden},
		{"key_new_done", path, wizardForm("create", "activation", "email"), (*world).cards4, http.StatusOK},
		{"key_new_done_pin", path, wizardForm("create", "activation", "now", "card_number", someCard, "pin_delivery", "response"), (*world).cards4, http.StatusOK},
	})
}

func TestKeyWizard_asksForWhatWasChosen(t *testing.T) {
	path := "/users/" + string(grace) + "/security-keys/new"
	for _, tt := range []struct {
		name string
		form url.Values
		want securitykey.NewKey
	}{
		{
			"card now", wizardForm("create", "name", "Badge", "model", "EV3", "activation", "now", "card_number", " 04 A2 24 B1 "),
			securitykey.NewKey{Kind: "contactless_card", Name: "Badge", Model: "EV3", Activation: "now", CardNumber: "04 A2 24 B1", Verification: "pin", Delivery: "email", MustChange: true},
		},
		{
			"pinless card needs no PIN", wizardForm("create", "activation", "now", "card_number", "04A224B1", "verification", "pinless", "pin_source", "typed", "pin", "x"),
			securitykey.NewKey{Kind: "contactless_card", Activation: "now", CardNumber: "04A224B1", Verification: "pinless"},
		},
		{
			"assigned card has no number", wizardForm("create", "activation", "assign", "card_number", "04A224B1"),
			securitykey.NewKey{Kind: "contactless_card", Verification: "pin"},
		},
		{
			"phone", wizardForm("create", "kind", "smartphone", "activation", "now", "proximity", "on", "card_number", "04A224B1"),
			securitykey.NewKey{Kind: "smartphone", Activation: "email", Verification: "phone", Proximity: true},
		},
		{
			"hardware key", wizardForm("create", "kind", "fido2", "model", "x", "activation", "desk", "verification", "phone"),
			securitykey.NewKey{Kind: "fido2", Verification: "pin"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.cards4()
			rec := w.ask(t, path, tt.form)
			if w.cardDid != "create for "+string(grace) {
				t.Fatalf("status = %d, did %q", rec.Code, w.cardDid)
			}
			if diff := cmp.Diff(tt.want, w.newCard, cmpopts.IgnoreTypes(secret.Bytes{})); diff != "" {
				t.Errorf("Create() (-want +got):\n%s", diff)
			}
			if to := rec.Header().Get("Location"); (to != "") != (tt.form.Get("activation") == "desk") {
				t.Errorf("Location = %q", to)
			}
		})
	}
}

func TestKeyWizard_typedPINArrives(t *testing.T) {
	w := newWorld()
	w.cards4()
	w.ask(t, "/users/"+string(grace)+"/security-keys/new", wizardForm("create", "activation", "now", "card_number", someCard, "pin_source", "typed", "pin", "pa55word"))
	if got := w.newCard.PIN.ExposeString(); got != "pa55word" {
		t.Errorf("PIN = %q, want what was typed", got)
	}
}

// Back and forth: nothing that was entered is lost.
func TestKeyWizard_backLosesNothing(t *testing.T) {
	w := newWorld()
	w.cards4()
	form := wizardForm("review", "name", "Badge", "model", "EV3", "activation", "email", "card_number", someCard, "pin_source", "typed", "pin", "s3cret!")
	value := regexp.MustCompile(`<input[^>]*\bname="([a-z_]+)"[^>]*\bvalue="([^"]*)"([^>]*)>|<input[^>]*\bname="([a-z_]+)" type="text" value="([^"]*)"`)
	for _, to := range []string{"kind", "options", "activation", "review", "options", "review"} {
		form.Set("to", to)
		body := w.ask(t, "/users/"+string(grace)+"/security-keys/new", form).Body.String()
		next := url.Values{}
		for _, m := range value.FindAllStringSubmatch(body, -1) {
			if m[1] != "" && (strings.Contains(m[0], `type="radio"`) || strings.Contains(m[0], `type="checkbox"`)) && !strings.Contains(m[3], "checked") {
				continue
			}
			next.Add(m[1]+m[4], m[2]+m[5])
		}
		for name, want := range map[string]string{"kind": "contactless_card", "name": "Badge", "model": "EV3", "activation": "email", "card_number": someCard, "pin": "s3cret!", "must_change": "on", "once": "ABC"} {
			if got := next.Get(name); got != want {
				t.Errorf("after %s: %s = %q, want %q", to, name, got, want)
			}
		}
		form = next
	}
}

func TestSecurityKeys_asksForWhatTheURLSays(t *testing.T) {
	for _, tt := range []struct {
		query, words string
		want         securitykey.Query
	}{
		{"", "", securitykey.Query{}},
		{"q=+04A224B1+&status=pending&kind=fido2&sort=-created_at", "04A224B1", securitykey.Query{Status: "pending", Kind: "fido2", Page: page.Request{Sort: "created_at", Descending: true}}},
		{"to_confirm=yes&unused=90", "", securitykey.Query{ToConfirm: true, UnusedSince: now().AddDate(0, 0, -90)}},
		{"unused=since&since=2026-11-01", "", securitykey.Query{UnusedSince: time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC)}}, // midnight in Berlin
		{"status=x&kind=x&to_confirm=x&unused=31&since=2026-11-01", "", securitykey.Query{}},
	} {
		w := newWorld()
		w.cards4()
		w.ask(t, "/security-keys?"+tt.query, nil)
		if diff := cmp.Diff(tt.want, w.askedCards); diff != "" || w.askedWords != tt.words {
			t.Errorf("%q: List(%q) (-want +got):\n%s", tt.query, w.askedWords, diff)
		}
	}
}

func TestSecurityKeyActs(t *testing.T) {
	one := "/security-keys/" + string(badgeKey)
	for _, tt := range []struct {
		path string
		form url.Values
		did  string
		to   string
	}{
		{one + "/suspend", url.Values{}, "suspend " + string(badgeKey), one},
		{one + "/activate", url.Values{}, "activate " + string(badgeKey), one},
		{one + "/confirm", url.Values{}, "confirm " + string(badgeKey), one},
		{one + "/resend-activation", url.Values{}, "resend " + string(badgeKey), one},
		{one + "/reset-pin", url.Values{"pin_source": {"generate"}, "pin_delivery": {"email"}}, "reset " + string(badgeKey), one},
		{one + "/delete", url.Values{"revision": {"4"}, "confirm": {"BADGE <1>"}}, "delete " + string(badgeKey) + " 4", "/users/" + string(grace)},
		{one + "/edit", url.Values{"revision": {"4"}, "name": {"x"}, "model": {""}, "verification": {"pin"}}, "update 4", one},
		{"/security-keys/bulk", url.Values{"act": {"suspend"}, "ids": {string(badgeKey), string(phoneKey)}}, "suspend 2", ""},
		{"/users/" + string(grace) + "/access-pass/withdraw", url.Values{}, "withdraw " + string(grace), "/users/" + string(grace) + "/access-pass"},
	} {
		w := newWorld()
		w.cards4()
		rec := w.ask(t, tt.path, tt.form)
		if w.cardDid != tt.did || rec.Header().Get("Location") != tt.to {
			t.Errorf("POST %s: did %q, Location %q, want %q, %q", tt.path, w.cardDid, rec.Header().Get("Location"), tt.did, tt.to)
		}
	}
}

// The forms are closed to who may not do what they ask for.
func TestSecurityKeyForms_needThePermission(t *testing.T) {
	for _, path := range []string{
		"/security-keys/new", "/security-keys/bulk?act=delete", "/security-keys/" + string(badgeKey) + "/edit", "/security-keys/" + string(badgeKey) + "/suspend",
		"/security-keys/" + string(badgeKey) + "/confirm", "/security-keys/" + string(badgeKey) + "/reset-pin", "/security-keys/" + string(badgeKey) + "/delete",
		"/security-keys/" + string(usbKey) + "/register", "/users/" + string(grace) + "/security-keys/new", "/users/" + string(grace) + "/access-pass",
	} {
		w := newWorld()
		reading(auth.UsersRead, auth.SecurityKeysRead)(w)
		if rec := w.ask(t, path, nil); rec.Code != http.StatusForbidden {
			t.Errorf("GET %s = %d, want 403", path, rec.Code)
		}
	}
}

func TestOnce_aSecondSendMakesNothing(t *testing.T) {
	for path, form := range map[string]url.Values{
		"/users/" + string(grace) + "/security-keys/new":    wizardForm("create", "activation", "now", "card_number", someCard, "pin_delivery", "response"),
		"/security-keys/" + string(badgeKey) + "/reset-pin": {"once": {"ABC"}, "pin_source": {"generate"}, "pin_delivery": {"response"}},
		"/users/" + string(grace) + "/access-pass":          {"once": {"ABC"}, "lifetime": {"60"}, "length": {"8"}, "starts": {"now"}},
	} {
		w := newWorld()
		w.cards4()
		first := w.ask(t, path, form).Body.String()
		w.cardDid = ""
		second := w.ask(t, path, form).Body.String()
		if !strings.Contains(first, "will not be shown again") || w.cardDid != "" || !strings.Contains(second, "already") || strings.Contains(second, "739214") || strings.Contains(second, "K7QW2MXR") {
			t.Errorf("POST %s twice: did %q the second time", path, w.cardDid)
		}
	}
}

func TestRegisterAtDesk(t *testing.T) {
	ask := func(w *world, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.AddCookie(&http.Cookie{Name: "keyhold_session", Value: "session"})
		return send(t, w, r)
	}
	path := "/security-keys/" + string(usbKey) + "/register"
	w := newWorld()
	w.cards4()
	if got := ask(w, path+"/options", "{}").Body.String(); !strings.Contains(got, `"ceremony":"cer_`) {
		t.Errorf("options = %s", got)
	}
	got := ask(w, path, `{"ceremony":"cer_01h455vb4pex5vsknk084sn02q","response":{}}`).Body.String()
	if want := "{\"location\":\"/security-keys/" + string(usbKey) + "\"}\n"; got != want || w.cardDid != "register "+string(usbKey) {
		t.Errorf("register = %s, did %q", got, w.cardDid)
	}
	w.fault = errStepUp
	if rec := ask(w, path+"/options", "{}"); rec.Code != http.StatusForbidden {
		t.Errorf("without a fresh passkey = %d, want 403", rec.Code)
	}
	w.signedIn = false
	if rec := ask(w, path+"/options", "{}"); rec.Code != http.StatusUnauthorized {
		t.Errorf("by a stranger = %d, want 401", rec.Code)
	}
}

func TestAccessPassPages(t *testing.T) {
	path := "/users/" + string(grace) + "/access-pass"
	pass := func(p signin.AccessPass) func(*world) {
		return func(w *world) {
			p.CreatedAt, p.CreatedBy = now().Add(-time.Hour), "Ada Lovelace"
			w.pass = p
		}
	}
	form := func(pairs ...string) url.Values {
		f := url.Values{"once": {"ABC"}, "lifetime": {"60"}, "length": {"8"}, "starts": {"now"}}
		for i := 0; i+1 < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	goldenPages(t, []goldenPage{
		{"access_pass", path, nil, nil, http.StatusOK},
		{"access_pass_valid", path, nil, pass(signin.AccessPass{StartsAt: now().Add(-time.Hour), ExpiresAt: now().Add(time.Hour)}), http.StatusOK},
		{"access_pass_used", path, nil, pass(signin.AccessPass{StartsAt: now().Add(-time.Hour), ExpiresAt: now().Add(time.Hour), OneTime: true, UsedAt: now().Add(-time.Minute)}), http.StatusOK},
		{"access_pass_wrong", path, form("lifetime", "custom", "minutes", "9", "one_time", "on"), nil, http.StatusUnprocessableEntity},
		{"access_pass_wrong_start", path, form("starts", "custom", "starts_at", "2027-03-28T02:30"), nil, http.StatusUnprocessableEntity}, // it is put forward then in Berlin
		{"access_pass_beyond", path, form(), refusing(errBeyond), http.StatusForbidden},
		{"access_pass_confirm", path, form(), refusing(errStepUp), http.StatusForbidden},
		{"access_pass_done", path, form("lifetime", "480", "starts", "custom", "starts_at", "2026-12-05T08:00"), nil, http.StatusOK},
		{"access_pass_done_once", path, form("one_time", "on"), nil, http.StatusOK},
	})
}

func TestIssueAccessPass_asksForWhatWasChosen(t *testing.T) {
	w := newWorld()
	w.ask(t, "/users/"+string(grace)+"/access-pass", url.Values{"lifetime": {"custom"}, "minutes": {"90"}, "length": {"12"}, "one_time": {"on"}, "starts": {"custom"}, "starts_at": {"2026-12-05T08:00"}})
	want := signin.NewAccessPass{Lifetime: 90 * time.Minute, Length: 12, OneTime: true, StartsAt: time.Date(2026, 12, 5, 7, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, w.newPass); diff != "" {
		t.Errorf("IssueAccessPass() (-want +got):\n%s", diff)
	}
}

func TestKeySettingsPages(t *testing.T) {
	stored := url.Values{"revision": {"2"}, "pin_min": {"8"}, "pin_max": {"32"}, "unused_days": {"90"}, "grace_days": {"14"}, "models_allowed_more": {"x"}, "pinless": {"on"}}
	try := url.Values{"to": {"try"}}
	for name, values := range stored {
		try[name] = values
	}
	goldenPages(t, []goldenPage{
		{"key_settings", "/workspace/security-keys", nil, (*world).cards4, http.StatusOK},
		{"key_settings_reader", "/workspace/security-keys", nil, reading(auth.WorkspaceRead), http.StatusOK},
		{"key_settings_wrong", "/workspace/security-keys", stored, refusing(fault.Invalid("invalid_fields", "Some fields need your attention.",
			fault.Field{Name: "pin_min", Message: "must be at least 4"}, fault.Field{Name: "models_allowed", Message: "holds \"x\", which is no AAGUID"})), http.StatusUnprocessableEntity},
		{"key_settings_changed", "/workspace/security-keys", stored, refusing(fault.Precondition()), http.StatusUnprocessableEntity},
		{"key_settings_confirm", "/workspace/security-keys", stored, refusing(errStepUp), http.StatusForbidden},
		{"key_settings_tried", "/workspace/security-keys", try, func(w *world) {
			w.cards4()
			w.unused = securitykey.Unused{ToTell: w.cards[:1], ToTellCount: 301, ToSuspend: w.cards[2:3], ToSuspendCount: 1}
		}, http.StatusOK},
		{"key_settings_tried_none", "/workspace/security-keys", try, (*world).cards4, http.StatusOK},
	})
}

func TestSaveKeySettings_sendsTheForm(t *testing.T) {
	w := newWorld()
	w.cards4()
	rec := w.ask(t, "/workspace/security-keys", url.Values{
		"revision": {"2"}, "pin_min": {"8"}, "pin_max": {"20"}, "pin_digit": {"on"}, "unused_days": {"0"}, "grace_days": {"14"},
		"models_allowed": {"aa"}, "models_allowed_more": {"BB\r\naa"},
	})
	want := securitykey.SettingsChange{
		PINMin: new(8), PINMax: new(20), PINDigit: new(true), PINLower: new(false), PINUpper: new(false), PINSpecial: new(false), Pinless: new(false),
		ModelsAllowed: &[]string{"aa", "bb"}, ModelsBlocked: &[]string{}, UnusedDays: new(0), GraceDays: new(14),
	}
	if diff := cmp.Diff(want, w.newRules); diff != "" || w.cardDid != "settings 2" || rec.Code != http.StatusSeeOther {
		t.Errorf("= %d, did %q (-want +got):\n%s", rec.Code, w.cardDid, diff)
	}
}

func TestUsers_withoutKey(t *testing.T) {
	w := newWorld()
	rec := w.ask(t, "/users?without_key=1&q=a", nil)
	if want := (directory.Query{WithoutKey: true}); !cmp.Equal(want, w.asked) {
		t.Errorf("List(%+v), want %+v", w.asked, want)
	}
	golden(t, "users_keyless", rec.Body.String())
}

func TestActivities_ofAKey(t *testing.T) {
	w := newWorld()
	w.cardEvents()
	rec := w.ask(t, "/activities?security_key="+string(badgeKey), nil)
	if w.askedFor.SecurityKey != badgeKey {
		t.Errorf("asked for %+v", w.askedFor)
	}
	golden(t, "activities_key", rec.Body.String())
}

func TestSearch_findsSecurityKeys(t *testing.T) {
	w := newWorld()
	w.cards4()
	for _, query := range []string{"badge", string(badgeKey)} {
		if body := w.ask(t, "/search?q="+query, nil).Body.String(); !strings.Contains(body, `href="/security-keys/`+string(badgeKey)) {
			t.Errorf("%q does not find the key", query)
		}
	}
	w.standing = auth.Permissions{auth.UsersRead}
	if body := w.ask(t, "/search?q=badge", nil).Body.String(); strings.Contains(body, "Badge &lt;1&gt;") {
		t.Error("who may not read keys finds them")
	}
}

func TestDashboard_keysNeedAttention(t *testing.T) {
	w := newWorld()
	w.dashboard.Attention = overview.Attention{KeysToConfirm: 2, LockedPINs: []overview.LockedPIN{{ID: badgeKey, Name: "Badge <1>", Holder: "Grace Hopper"}}}
	golden(t, "dashboard_keys", w.ask(t, "/dashboard", nil).Body.String())
}
