package panel

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// logins2 are two credentials of Grace's: one in use, one bare.
func (w *world) logins2() {
	holder := vault.Holder{Name: "Grace Hopper <script>", Email: "grace@example.com"}
	w.logins = []vault.Credential{
		{
			ID: shopLogin, User: grace, RPID: "shop.example", RPName: "The Shop <b>", UserName: "grace@example.com", DisplayName: "Grace H.", CreatedAt: now().AddDate(0, -1, 0),
			CreatedBy: "Grace Hopper", Client: frontDesk, LastUsedAt: now().Add(-time.Hour), LastKey: badgeKey, LastKeyName: "Badge <1>", Uses: 1204, Holder: holder,
		},
		{ID: bareLogin, User: grace, RPID: "wiki.example", CreatedAt: now().AddDate(-1, 0, 0), CreatedBy: "Grace Hopper", LastUsedAt: now().AddDate(0, -6, 0), LastKey: spareKey, Uses: 1, Holder: holder},
	}
}

// usedEvents is a world in which Grace signed in at websites, and was refused.
func usedEvents(w *world) {
	w.cards4()
	w.desks3()
	w.logins2()
	hopper := activity.Party{Type: "user", ID: string(grace), Name: "Grace Hopper <script>"}
	shop := activity.Party{Type: "credential", ID: string(shopLogin), Name: "grace@example.com at shop.example"}
	desk := activity.Party{Type: "client", ID: string(frontDesk), Name: "Front desk <1>"}
	admin := activity.Party{Type: "administrator", ID: string(ada), Name: "Ada Lovelace"}
	w.events = []activity.Event{
		{ID: line, Action: "credential.use", Outcome: activity.Success, At: now().Add(-time.Minute), Actor: hopper, Target: shop, User: grace, SecurityKey: badgeKey, RPID: "shop.example", Client: frontDesk, IP: "192.0.2.9"},
		{Action: "credential.register", Outcome: activity.Success, At: now().Add(-2 * time.Minute), Actor: hopper, Target: shop, User: grace, SecurityKey: spareKey, RPID: "shop.example", Client: "cli_01h455vb4pex5vsknk084sn0zz", IP: "192.0.2.9"},
		{Action: "security_key.pin_try", Outcome: activity.Refused, Reason: "pin_invalid", Count: 3, At: now().Add(-3 * time.Minute), Actor: desk, Target: activity.Party{Type: "security_key", ID: string(badgeKey), Name: "Badge <1>"}, User: grace, SecurityKey: badgeKey, RPID: "shop.example", Client: frontDesk, IP: "192.0.2.9"},
		{Action: "credential.use", Outcome: activity.Refused, Reason: "key_suspended", At: now().Add(-4 * time.Minute), Actor: desk, Target: activity.Party{Type: "security_key"}, User: grace, SecurityKey: phoneKey, RPID: "shop.example", Client: frontDesk, IP: "192.0.2.9"},
		{Action: "credential.delete", Outcome: activity.Success, At: now().Add(-5 * time.Minute), Actor: admin, Target: activity.Party{Type: "credential", ID: string(bareLogin), Name: "wiki.example"}, User: grace, RPID: "wiki.example", IP: "192.0.2.7"},
		{Action: "client.change", Detail: "name, pinless_allowed, reader_format", Outcome: activity.Success, At: now().Add(-6 * time.Minute), Actor: admin, Target: desk, Client: frontDesk, IP: "192.0.2.7"},
		{Action: "client.use", Outcome: activity.Refused, Reason: "client_revoked", Count: 40, At: now().Add(-7 * time.Minute), Actor: activity.Party{Type: "client", ID: string(oldDesk), Name: "Old desk"}, Target: activity.Party{Type: "client", ID: string(oldDesk), Name: "Old desk"}, Client: oldDesk},
	}
}

func TestCredentialPages(t *testing.T) {
	tab := credentialsPath(grace)
	gone := userPath(grace) + "/credentials/" + string(shopLogin) + "/delete"
	lacks := fault.Forbidden("beyond_your_permissions", "This user holds permissions that you lack, so this is not yours to do.")
	typed := url.Values{"confirm": {"Shop.Example"}}
	goldenPages(t, []goldenPage{
		{"user_credentials_some", tab, nil, (*world).logins2, http.StatusOK},
		{"user_credentials_reader", tab, nil, func(w *world) { w.logins2(); w.standing = auth.Permissions{auth.UsersRead, auth.SecurityKeysRead} }, http.StatusOK},
		{"credential_delete", gone, nil, (*world).logins2, http.StatusOK},
		{"credential_delete_untyped", gone, url.Values{"confirm": {"shop"}}, (*world).logins2, http.StatusUnprocessableEntity},
		{"credential_delete_beyond", gone, typed, func(w *world) { w.logins2(); w.deskFault = lacks }, http.StatusForbidden},
		{"credential_unknown", userPath(ada) + "/credentials/" + string(shopLogin) + "/delete", nil, (*world).logins2, http.StatusNotFound},
		{"user_websites", userPath(grace) + "?tab=activities", nil, usedEvents, http.StatusOK},
		{"user_websites_reader", userPath(grace) + "?tab=activities", nil, func(w *world) { usedEvents(w); w.standing = auth.Permissions{auth.UsersRead, auth.ActivitiesRead} }, http.StatusOK},
		{"activities_websites", "/activities?target=" + string(shopLogin), nil, usedEvents, http.StatusOK},
		{"activities_client", "/activities?actor=" + string(frontDesk), nil, usedEvents, http.StatusOK},
		{"activity_website", "/activities/" + string(line), nil, usedEvents, http.StatusOK},
	})
}

func TestDeleteCredential_goesBackToTheOthers(t *testing.T) {
	w := newWorld()
	w.logins2()
	rec := w.ask(t, userPath(grace)+"/credentials/"+string(shopLogin)+"/delete", url.Values{"confirm": {" shop.example "}})
	if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != credentialsPath(grace) || strings.Join(w.deskDid, "") != "delete "+string(shopLogin) {
		t.Errorf("POST = %d to %q, did %q", rec.Code, rec.Header().Get("Location"), w.deskDid)
	}
}

func TestCredentials_pagesKeepTheTab(t *testing.T) {
	w := newWorld()
	w.logins2()
	w.next = page.Position{Value: "1", ID: string(bareLogin)}
	body := w.ask(t, credentialsPath(grace), nil).Body.String()
	_, next, found := strings.Cut(body, `href="/users/`+string(grace)+`?cursor=`)
	if !found || !w.askedLogins.Descending {
		t.Fatalf("the tab has no next page, or not the newest first: %+v", w.askedLogins)
	}
	next, _, _ = strings.Cut(next, `"`)
	w.next = page.Position{}
	w.ask(t, userPath(grace)+"?cursor="+strings.ReplaceAll(next, "&amp;", "&"), nil)
	if w.askedLogins.After.ID != string(bareLogin) {
		t.Errorf("the next page is after %+v", w.askedLogins.After)
	}
	rec := w.ask(t, credentialsPath(grace)+"&cursor=nonsense", nil)
	if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != credentialsPath(grace) {
		t.Errorf("a wrong cursor = %d to %q, want the tab again", rec.Code, rec.Header().Get("Location"))
	}
}

func TestReasons_haveWords(t *testing.T) {
	for _, code := range []string{
		"key_suspended", "key_not_active", "tap_not_good", "options_changed", "uv_token_not_good", "pin_needed", "pin_invalid", "pin_paused", "pin_locked", "pin_must_change", "too_many_tries",
		"not_allowed_error", "invalid_state_error", "security_error", "type_error", "not_supported_error", "constraint_error", "client_pending", "client_revoked", "proof_replayed",
		"enrolment_code_invalid", "key_enrols_nobody", "client_known", "vault_full",
	} {
		if got := reasonText(code); got == "" || got == strings.ReplaceAll(code, "_", " ") {
			t.Errorf("the reason %s has no words of its own: %q", code, got)
		}
	}
}
