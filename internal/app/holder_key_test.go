package app

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// another is another browser in front of the same server.
func (p *phone) another() *phone {
	return &phone{t: p.t, a: p.a, h: p.h, clock: p.clock, cookies: map[string]*http.Cookie{}}
}

// give makes a key for somebody.
func (p *phone) give(job auth.Caller, u id.User, n securitykey.NewKey) securitykey.Issued {
	p.t.Helper()
	out, err := p.a.SecurityKeys.Create(p.t.Context(), job, u, n)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// link returns the path of the activation page in the last mail that brings one.
func (p *phone) link() string {
	p.t.Helper()
	path := ""
	for _, m := range storetest.Messages(p.t, p.a.store) {
		var mail outbox.SecurityKeyActivation
		if m.Kind != mail.MessageKind() {
			continue
		}
		if err := json.Unmarshal(m.Payload, &mail); err != nil {
			p.t.Fatal(err)
		}
		path = "/app/activate?" + url.Values{"link": {p.a.ActivationLink(id.Activation(mail.Link)).ExposeString()}}.Encode()
	}
	return path
}

// activate sends the form of an activation page.
func (p *phone) activate(path string, form url.Values) page {
	u, err := url.Parse(path)
	if err != nil {
		p.t.Fatal(err)
	}
	form = maps.Clone(form)
	form.Set("link", u.Query().Get("link"))
	form.Set("asks", "1")
	return p.ask("POST", "/app/activate", form)
}

func (p *phone) status(job auth.Caller, k id.SecurityKey) securitykey.Status {
	p.t.Helper()
	d, err := p.a.SecurityKeys.Find(p.t.Context(), job, k)
	if err != nil {
		p.t.Fatal(err)
	}
	return d.Key.Shown()
}

// signInByPass makes a pass for somebody and signs in with it.
func (p *phone) signInByPass(job auth.Caller, u id.User, email string, n signin.NewAccessPass) {
	p.t.Helper()
	_, code, err := p.a.SignIn.IssueAccessPass(p.t.Context(), job, u, n)
	if err != nil {
		p.t.Fatal(err)
	}
	p.want("a sign-in with a pass", p.ask("POST", "/app/pass", url.Values{"email": {email}, "code": {strings.ToLower(code.ExposeString())}}), http.StatusSeeOther, "/app", "")
}

func (p *phone) signInByCode(email string) {
	p.t.Helper()
	p.ask("POST", "/app/sign-in", url.Values{"email": {email}})
	p.want("a sign-in with a code", p.ask("POST", "/app/code", url.Values{"code": {p.code()}}), http.StatusSeeOther, "/app", "")
}

func TestHolder_activatesANamedCardByLink(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	k := p.give(job, ada.ID, securitykey.NewKey{Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateEmail, CardNumber: "04A1B2C3D4E580"}).Key
	link := p.link()
	p.want("the page", p.ask("GET", link, nil), http.StatusOK, "", "Activate your card")
	p.want("the page again: it spends nothing", p.ask("GET", link, nil), http.StatusOK, "", "with a digit among them")
	right := url.Values{"card_number": {"04:a1:b2:c3:d4:e5:80"}, "pin": {"471108"}, "again": {"471108"}}
	for what, c := range map[string]struct {
		form url.Values
		says string
	}{
		"no PIN":       {url.Values{"card_number": right["card_number"]}, "choose one, or have one made"},
		"typed twice":  {url.Values{"card_number": right["card_number"], "pin": {"471108"}, "again": {"471109"}}, "is not the same"},
		"trivial":      {url.Values{"card_number": right["card_number"], "pin": {"123456"}, "again": {"123456"}}, "easy to guess"},
		"another card": {url.Values{"card_number": {"04FFFFFFFFFF80"}, "pin": {"471108"}, "again": {"471108"}}, "not the card that your administrator chose"},
		"no number":    {url.Values{"card_number": {"badge 7"}, "pin": {"471108"}, "again": {"471108"}}, "Card number"},
	} {
		got := p.activate(link, c.form)
		p.want(what, got, http.StatusUnprocessableEntity, "", c.says)
		if strings.Contains(got.text, `value="471108"`) {
			t.Errorf("%s: the page holds the PIN", what)
		}
	}
	p.want("the right card", p.activate(link, right), http.StatusSeeOther, "/app/activated?kind=contactless_card", "")
	p.want("what it says then", p.ask("GET", "/app/activated?kind=contactless_card", nil), http.StatusOK, "", "Your card works")
	p.want("the link once more", p.activate(link, right), http.StatusNotFound, "", "does not work any more")
	if s := p.status(job, k.ID); s != securitykey.Active {
		t.Errorf("the card is %s, want active", s)
	}
}

func TestHolder_cardOfNobodyWaits(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	k := p.give(job, ada.ID, securitykey.NewKey{Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateEmail}).Key
	got := p.activate(p.link(), url.Values{"card_number": {"04A1B2C3D4E580"}, "skip": {"1"}})
	p.want("a card that nobody named", got, http.StatusSeeOther, "/app/activated?kind=contactless_card&pin=mailed&waits=1", "")
	p.want("what it says then", p.ask("GET", got.location, nil), http.StatusOK, "", "waits for an administrator")
	if s := p.status(job, k.ID); s != securitykey.Pending {
		t.Errorf("the card is %s, want pending", s)
	}
	if _, err := p.a.SecurityKeys.Confirm(t.Context(), job, k.ID); err != nil {
		t.Fatal(err)
	}
	p.signInByCode("ada@example.org")
	p.want("my keys", p.ask("GET", "/app", nil), http.StatusOK, "", "Change PIN")
}

// A mailbox alone opens no vault: neither the link nor a session by e-mail code makes a
// second card work.
func TestHolder_secondCardNeedsMoreThanTheMailbox(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	p.give(job, ada.ID, securitykey.NewKey{Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateNow, CardNumber: "04A1B2C3D4E580"})
	form := url.Values{"pin": {"471108"}, "again": {"471108"}}
	second := func(number string) (id.SecurityKey, string) {
		t.Helper()
		form.Set("card_number", number)
		k := p.give(job, ada.ID, securitykey.NewKey{Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateEmail, CardNumber: number}).Key
		return k.ID, p.link()
	}
	thief, mailbox, holder := p.another(), p.another(), p.another()
	k, link := second("04A1B2C3D4E581")
	thief.want("the page", thief.ask("GET", link, nil), http.StatusOK, "", "an administrator has to confirm")
	thief.want("the link alone", thief.activate(link, form), http.StatusSeeOther, "/app/activated?kind=contactless_card&waits=1", "")
	if s := p.status(job, k); s != securitykey.Pending {
		t.Errorf("by the link alone the card is %s, want pending", s)
	}
	k, link = second("04A1B2C3D4E582")
	mailbox.signInByCode("ada@example.org")
	mailbox.want("an e-mail code", mailbox.activate(link, form), http.StatusSeeOther, "/app/activated?kind=contactless_card&waits=1", "")
	mailbox.want("adding a passkey", mailbox.ask("GET", "/app", nil), http.StatusOK, "", "You signed in with a code by e-mail and hold keys")
	if s := p.status(job, k); s != securitykey.Pending {
		t.Errorf("by an e-mail code the card is %s, want pending", s)
	}
	k, link = second("04A1B2C3D4E583")
	holder.signInByPass(job, ada.ID, "ada@example.org", signin.NewAccessPass{OneTime: true})
	holder.want("a one-time pass", holder.activate(link, form), http.StatusSeeOther, "/app/activated?kind=contactless_card", "")
	if s := p.status(job, k); s != securitykey.Active {
		t.Errorf("by a pass the card is %s, want active", s)
	}
	// The link is dead in the session of somebody else.
	bea := p.another()
	_, link = second("04A1B2C3D4E584")
	u, err := p.a.Directory.Create(t.Context(), job, directory.NewUser{Email: "bea@example.org", FirstName: "Bea"})
	if err != nil {
		t.Fatal(err)
	}
	bea.signInByPass(job, u.ID, "bea@example.org", signin.NewAccessPass{})
	bea.want("somebody else", bea.ask("GET", link, nil), http.StatusNotFound, "", "does not work any more")
}

func TestHolder_oneTimePassOpensKeysOnly(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	p.signInByPass(job, ada.ID, "ada@example.org", signin.NewAccessPass{OneTime: true})
	home := p.ask("GET", "/app", nil)
	p.want("my keys", home, http.StatusOK, "", "You signed in with a one-time pass.")
	if strings.Contains(home.text, "Where I am signed in") || strings.Contains(home.text, "My activity") {
		t.Error("the page offers what the session may not do")
	}
	p.want("my activity", p.ask("GET", "/app/activity", nil), http.StatusForbidden, "", "nothing else")
	p.want("the API", p.ask("GET", "/api/v1/me", nil), http.StatusForbidden, "", "keys_only")
	p.clock.Advance(10*time.Minute - time.Millisecond)
	p.want("before its end", p.ask("GET", "/app", nil), http.StatusOK, "", "My security keys")
	p.clock.Advance(time.Millisecond)
	p.want("at its end", p.ask("GET", "/app", nil), http.StatusSeeOther, "/app/sign-in", "")
}

func TestHolder_changesThePINAndReportsTheLoss(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	k := p.give(job, ada.ID, securitykey.NewKey{
		Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateNow, CardNumber: "04A1B2C3D4E580", PIN: secret.FromString("471108"), MustChange: true,
	}).Key
	pin, lost := "/app/keys/"+string(k.ID)+"/pin", "/app/keys/"+string(k.ID)+"/lost"
	p.signInByPass(job, ada.ID, "ada@example.org", signin.NewAccessPass{})
	p.want("my keys", p.ask("GET", "/app", nil), http.StatusOK, "", "Choose a PIN of your own")
	p.want("the form", p.ask("GET", pin, nil), http.StatusOK, "", "Present PIN")
	change := func(old, next, again string) page {
		return p.ask("POST", pin, url.Values{"old": {old}, "pin": {next}, "again": {again}})
	}
	p.want("typed twice", change("471108", "908172", "908173"), http.StatusUnprocessableEntity, "", "is not the same")
	for _, left := range []string{"7 tries are left", "6 tries are left", "5 tries are left"} {
		p.want("a wrong PIN", change("471109", "908172", "908172"), http.StatusUnprocessableEntity, "", left)
	}
	p.want("while it pauses", change("471108", "908172", "908172"), http.StatusTooManyRequests, "", "Too many wrong PINs")
	p.clock.Advance(time.Minute)
	p.want("the right PIN", change("471108", "908172", "908172"), http.StatusSeeOther, "/app", "")
	if home := p.ask("GET", "/app", nil); strings.Contains(home.text, "Choose a PIN of your own") {
		t.Error("the page still asks for another PIN")
	}
	p.want("the question", p.ask("GET", lost, nil), http.StatusOK, "", "suspended at once")
	p.want("the report", p.ask("POST", lost, url.Values{}), http.StatusSeeOther, "/app", "")
	if s := p.status(job, k.ID); s != securitykey.Suspended {
		t.Errorf("the lost card is %s, want suspended", s)
	}
	home := p.ask("GET", "/app", nil)
	p.want("my keys afterwards", home, http.StatusOK, "", "It is suspended and opens nothing")
	if strings.Contains(home.text, pin) || strings.Contains(home.text, lost) {
		t.Error("the page offers to change or report a key that is suspended")
	}
	p.want("somebody else's key", p.ask("GET", "/app/keys/"+string(id.New[id.KindSecurityKey](p.clock.Now()))+"/pin", nil), http.StatusNotFound, "", "no page")
	var lines []string
	for _, e := range storetest.Activities(t, p.a.store, job.Workspace, "security_key.report_lost") {
		lines = append(lines, string(e.User)+" "+e.Actor.ID)
	}
	if want := []string{string(ada.ID) + " " + string(ada.ID)}; !slices.Equal(lines, want) {
		t.Errorf("the reports in the record are %v, want %v", lines, want)
	}
}

func TestHolder_activatesFromTheList(t *testing.T) {
	p := newPhone(t)
	job, ada := p.user("Harbour", "ada@example.org")
	k := p.give(job, ada.ID, securitykey.NewKey{Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateEmail, CardNumber: "04A1B2C3D4E580"}).Key
	p.signInByCode("ada@example.org")
	p.want("my keys", p.ask("GET", "/app", nil), http.StatusOK, "", "It waits for you")
	p.want("activate", p.ask("POST", "/app/keys/"+string(k.ID)+"/activate", url.Values{}), http.StatusSeeOther, p.link(), "")
	p.clock.Advance(securitykey.LinkLifetime)
	p.signInByCode("ada@example.org")
	p.want("the link is over", p.ask("GET", "/app", nil), http.StatusOK, "", "Its activation is over")
}

func TestHolder_isInstallable(t *testing.T) {
	p := newPhone(t)
	var manifest struct {
		Name     string `json:"name"`
		StartURL string `json:"start_url"`
		Icons    []struct{ Src, Sizes string }
	}
	if err := json.Unmarshal([]byte(p.ask("GET", "/app/manifest.webmanifest", nil).text), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Name != "Keyhold" || manifest.StartURL != "/app" || len(manifest.Icons) != 3 {
		t.Errorf("the manifest is %+v, want a name, a start and three icons", manifest)
	}
	p.want("the service worker", p.ask("GET", "/app/worker.js", nil), http.StatusOK, "", `const files = ["/app/offline"`)
	p.want("the page without a network", p.ask("GET", "/app/offline", nil), http.StatusOK, "", "You are offline")
}
