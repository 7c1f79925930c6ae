package app

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/flow/authenticate"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
)

// refusal returns the error as the server told it.
func refusal(t *testing.T, err error) *agent.Error {
	t.Helper()
	var e *agent.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v, want a refusal", err)
	}
	return e
}

// isDiscoverable has the site ask for a credential that is found by itself.
func isDiscoverable() webauthn.RegistrationOption {
	return webauthn.WithResidentKeyRequirement(protocol.ResidentKeyRequirementRequired)
}

// openly signs in without the site naming anybody. An account is the id of a credential,
// empty to be asked.
func (d *desk) openly(s *site, number, pin, account string) (agent.Assertion, *webauthn.SessionData, error) {
	d.t.Helper()
	assertion, session, err := s.BeginDiscoverableLogin()
	if err != nil {
		d.t.Fatal(err)
	}
	o := options(d.t, assertion.Response)
	tap, uv, err := d.tap(s, agent.Get, number, pin, o)
	if err != nil {
		return agent.Assertion{}, nil, err
	}
	got, err := d.program.GetAssertion(d.t.Context(), tap, uv, o, "")
	if err == nil && len(got.Choose) > 0 && account != "" {
		got, err = d.program.GetAssertion(d.t.Context(), tap, uv, o, account) // the same tap: it is not spent
	}
	return got, session, err
}

// who lets the site say whose sign-in it is.
func (s *site) who(got agent.Assertion, session *webauthn.SessionData, all ...*account) string {
	s.t.Helper()
	parsed, err := protocol.ParseCredentialRequestResponseBytes(got.Response)
	if err != nil {
		s.t.Fatalf("%v: %s", err, got.Response)
	}
	u, _, err := s.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		for _, a := range all {
			if string(a.id) == string(handle) {
				return a, nil
			}
		}
		return nil, errors.New("nobody")
	}, *session, parsed)
	if err != nil {
		s.t.Fatalf("the site refuses the sign-in: %+v", err)
	}
	return u.WebAuthnName()
}

// TestAuthenticator_refusesRPIDs sends some of base/webauthn's table through a whole server.
func TestAuthenticator_refusesRPIDs(t *testing.T) {
	d := newDesk(t)
	seen := map[id.Activity]bool{}
	d.lines(seen)
	for _, c := range []struct{ name, origin, rpID, want string }{
		{"its host", "https://www.shop.example", "www.shop.example", ""},
		{"a suffix of it", "https://www.shop.example", "shop.example", ""},
		{"none said", "https://www.shop.example", "", ""},
		{"another site", "https://www.shop.example", "bank.example", "security_error"},
		{"a bare string suffix", "https://evilshop.example", "shop.example", "security_error"},
		{"a public suffix", "https://shop.co.uk", "co.uk", "security_error"},
		{"a private public suffix", "https://me.github.io", "github.io", "security_error"},
		{"a name below it", "https://shop.example", "www.shop.example", "security_error"},
		{"a dot at the end", "https://shop.example.", "shop.example.", "security_error"},
		{"a dot in front", "https://www.shop.example", ".shop.example", "security_error"},
		{"a port", "https://shop.example:8443", "shop.example:8443", "security_error"},
		{"capitals", "https://shop.example", "Shop.example", "security_error"},
		{"an IP address", "https://192.0.2.7", "192.0.2.7", "security_error"},
		{"not https", "http://shop.example", "shop.example", "security_error"},
		{"an IDN that is not in A-labels", "https://bücher.example", "bücher.example", "security_error"},
		{"Keyhold's own", "http://localhost:8080", "localhost", "security_error"},
		{"Keyhold's own, not said", "http://localhost:8080", "", "security_error"},
	} {
		d.clock.Advance(time.Minute)
		_, err := d.program.Tap(t.Context(), agent.Tap{CardNumber: secret.FromString(deskCard), Source: agent.Reader, Operation: agent.Get, Origin: c.origin, RPID: c.rpID, Options: json.RawMessage("{}")})
		if got := codeOf(t, err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
			continue
		}
		if c.want == "" {
			continue
		}
		if e := refusal(t, err); e.Name != "SecurityError" || e.Status != http.StatusForbidden {
			t.Errorf("%s: %d %s, want 403 SecurityError", c.name, e.Status, e.Name)
		}
		if got, want := d.lines(seen), (line{"credential.use", c.want, "", "", "", d.client}); !slices.Equal(got, []line{want}) {
			t.Errorf("%s: the record says %+v, want %+v", c.name, got, want)
		}
	}
}

func TestAuthenticator_excludes(t *testing.T) {
	d, shop, seen := newShop(t)
	all := webauthn.WithExclusions(webauthn.Credentials(shop.account.credentials).CredentialDescriptors())
	err := d.register(shop, deskCard, deskPIN, all)
	if e := refusal(t, err); e.Code != "invalid_state_error" || e.Name != "InvalidStateError" {
		t.Errorf("a registration again: %q %q, want invalid_state_error", e.Code, e.Name)
	}
	if got, want := d.lines(seen), (line{"credential.register", "invalid_state_error", d.holder.ID, d.key.ID, "shop.example", d.client}); !slices.Equal(got, []line{want}) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	// It is the holder who is registered, whatever card they have; another one is not.
	d.card(d.holder.ID, "04:00:00:00:00:00:01", "771203")
	if got := codeOf(t, d.register(shop, "04:00:00:00:00:00:01", "771203", all)); got != "invalid_state_error" {
		t.Errorf("with another card of theirs: %q, want invalid_state_error", got)
	}
	eve := d.person("eve@example.org")
	d.card(eve.ID, "04:00:00:00:00:00:02", "660142")
	if err := d.register(shop, "04:00:00:00:00:00:02", "660142", all); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}

// person makes one more user.
func (d *desk) person(email string) directory.User {
	d.t.Helper()
	u, err := d.a.Directory.Create(d.t.Context(), d.job, directory.NewUser{Email: email, FirstName: "Eve", LastName: "Moneypenny"})
	if err != nil {
		d.t.Fatal(err)
	}
	return u
}

// TestAuthenticator_refusesAlike compares what a client is told of a policy's no with what it
// is told when there is no credential.
func TestAuthenticator_refusesAlike(t *testing.T) {
	d, shop, seen := newShop(t)
	var blocked atomic.Bool
	d.a.Authenticate = authenticate.NewService(authenticate.Config{
		Store: store.For[authenticate.Tx](d.a.store), Clock: d.clock, Secrets: d.a.secrets, RPID: "localhost",
		Policy: func(_ context.Context, _ authenticate.Tx, q authenticate.Question) (string, error) {
			if q.User != d.holder.ID || q.Client == "" || q.RPID == "" || q.SecurityKey == "" || q.Now.IsZero() {
				t.Errorf("the policy is asked %+v, want it to know who, where and when", q)
			}
			if blocked.Load() {
				return "policy_pol_1", nil
			}
			return "", nil
		},
	})
	d.a.metrics = prometheus.NewRegistry()
	var err error
	if d.h, err = d.a.Handler("test"); err != nil {
		t.Fatal(err)
	}
	c := d.terminal("Back desk")
	ask := func(s *site, operation, path string, begin func() json.RawMessage, block bool) told {
		t.Helper()
		blocked.Store(false)
		o := begin()
		tap, uv, err := c.tap(s, operation, deskCard, deskPIN, o)
		if err != nil {
			t.Fatal(err)
		}
		blocked.Store(block)
		body, err := json.Marshal(map[string]any{"tap": tap, "uv_token": uv, "options": o})
		if err != nil {
			t.Fatal(err)
		}
		request := shot{method: http.MethodPost, path: path, body: string(body), token: d.token}
		request.proofs = []string{c.proof(request, nil)}
		return c.fire(request)
	}
	stranger := newSite(t, "shop.example", "https://www.shop.example") // of another account there
	stranger.account.credentials = []webauthn.Credential{{ID: make([]byte, 32)}}
	d.lines(seen)
	missing := ask(shop, agent.Get, "/get-assertion", stranger.loginOptions, false)
	if missing.Code != "not_allowed_error" || missing.Name != "NotAllowedError" || missing.status != http.StatusForbidden {
		t.Errorf("no credential: %d %s, want 403 NotAllowedError", missing.status, missing.text)
	}
	about := line{"credential.use", "not_allowed_error", d.holder.ID, d.key.ID, "shop.example", c.me}
	if got := d.lines(seen); !slices.Equal(got, []line{about}) {
		t.Errorf("no credential: the record says %+v, want %+v", got, about)
	}
	refused := ask(shop, agent.Get, "/get-assertion", shop.loginOptions, true)
	if !sameBut(missing, refused) {
		t.Errorf("no credential: %s, a policy's no: %s, want them alike", missing.text, refused.text)
	}
	about.reason = "policy_pol_1"
	if got := d.lines(seen); !slices.Equal(got, []line{about}) {
		t.Errorf("a policy's no: the record says %+v, want %+v", got, about)
	}
	if got := ask(shop, agent.Create, "/make-credential", func() json.RawMessage {
		creation, _, err := shop.BeginRegistration(shop.account)
		if err != nil {
			t.Fatal(err)
		}
		return options(t, creation.Response)
	}, true); !sameBut(missing, got) {
		t.Errorf("a registration and a policy's no: %s, want %s", got.text, missing.text)
	}
	about.action = "credential.register"
	if got := d.lines(seen); !slices.Equal(got, []line{about}) {
		t.Errorf("a registration and a policy's no: the record says %+v, want %+v", got, about)
	}
	// It says no at the tap and at the PIN too, with the same words.
	tapping := c.tapShot()
	tapping.proofs = []string{c.proof(tapping, nil)}
	if got := c.fire(tapping); !sameBut(missing, got) {
		t.Errorf("a tap and a policy's no: %s, want %s", got.text, missing.text)
	}
	blocked.Store(false)
	s := c.begin(shop, deskCard, deskPIN)
	blocked.Store(true)
	verify := shot{method: http.MethodPost, path: "/taps/" + s.tap + "/verify", body: `{"pin":"` + deskPIN + `"}`, token: d.token}
	verify.proofs = []string{c.proof(verify, nil)}
	if got := c.fire(verify); !sameBut(missing, got) {
		t.Errorf("a PIN and a policy's no: %s, want %s", got.text, missing.text)
	}
}

func TestAuthenticator_chooses(t *testing.T) {
	d, seen := newDesk(t), map[id.Activity]bool{}
	shop := newSite(t, "shop.example", "https://www.shop.example")
	work, home := &account{id: []byte("work"), name: "ada at work"}, &account{id: []byte("home"), name: "ada at home"}
	for _, a := range []*account{work, home} {
		shop.account = a
		if err := d.register(shop, deskCard, deskPIN, isDiscoverable()); err != nil {
			t.Fatal(err)
		}
	}
	d.lines(seen)
	got, _, err := d.openly(shop, deskCard, deskPIN, "")
	if err != nil || len(got.Choose) != 2 {
		t.Fatalf("two accounts: %+v, %v, want both to choose from", got, err)
	}
	for _, want := range []*account{work, home} {
		i := slices.IndexFunc(got.Choose, func(c agent.Account) bool { return c.UserName == want.name })
		if i < 0 {
			t.Fatalf("the accounts are %+v, want %q among them", got.Choose, want.name)
		}
		signed, session, err := d.openly(shop, deskCard, deskPIN, got.Choose[i].CredentialID)
		if err != nil {
			t.Fatal(err)
		}
		if who := shop.who(signed, session, work, home); who != want.name {
			t.Errorf("the site sees %q, want %q", who, want.name)
		}
	}
	success := line{"credential.use", "", d.holder.ID, d.key.ID, "shop.example", d.client}
	if lines := d.lines(seen); !slices.Equal(lines, []line{success, success}) {
		t.Errorf("the record says %+v, want two sign-ins and nothing of the choice", lines)
	}
	if _, _, err := d.openly(shop, deskCard, deskPIN, "AAAA"); codeOf(t, err) != "not_allowed_error" {
		t.Errorf("an account that is not there: %v, want not_allowed_error", err)
	}
}

// TestAuthenticator_replaces registers an account twice: the first credential is gone.
func TestAuthenticator_replaces(t *testing.T) {
	d, seen := newDesk(t), map[id.Activity]bool{}
	shop := newSite(t, "shop.example", "https://www.shop.example")
	for range 2 {
		if err := d.register(shop, deskCard, deskPIN, isDiscoverable()); err != nil {
			t.Fatal(err)
		}
	}
	want := []line{
		{"credential.delete", "", d.holder.ID, d.key.ID, "shop.example", d.client},
		{"credential.register", "", d.holder.ID, d.key.ID, "shop.example", d.client},
		{"credential.register", "", d.holder.ID, d.key.ID, "shop.example", d.client},
	}
	if got := slices.DeleteFunc(d.lines(seen), func(l line) bool { return l.action == "client.enrol" }); !slices.Equal(got, want) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	both := shop.account.credentials
	shop.account.credentials = both[:1]
	if got := codeOf(t, d.signIn(shop, deskCard, deskPIN)); got != "not_allowed_error" {
		t.Errorf("a sign-in with what was replaced: %q, want not_allowed_error", got)
	}
	shop.account.credentials = both[1:]
	if err := d.signIn(shop, deskCard, deskPIN); err != nil {
		t.Error(err)
	}
}

// TestAuthenticator_keepsPeopleApart has two people with accounts at one site and one reader.
func TestAuthenticator_keepsPeopleApart(t *testing.T) {
	d, seen := newDesk(t), map[id.Activity]bool{}
	shop := newSite(t, "shop.example", "https://www.shop.example")
	ada, eve := shop.account, &account{id: []byte("eve-1"), name: "eve"}
	other := d.person("eve@example.org")
	const number, pin = "04:00:00:00:00:00:02", "660142"
	k := d.card(other.ID, number, pin)
	if err := d.register(shop, deskCard, deskPIN, isDiscoverable()); err != nil {
		t.Fatal(err)
	}
	shop.account = eve
	if err := d.register(shop, number, pin, isDiscoverable()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ number, pin, want string }{{deskCard, deskPIN, "ada"}, {number, pin, "eve"}} {
		got, session, err := d.openly(shop, c.number, c.pin, "")
		if err != nil {
			t.Fatal(err)
		}
		if who := shop.who(got, session, ada, eve); who != c.want {
			t.Errorf("the site sees %q, want %q", who, c.want)
		}
	}
	d.lines(seen)
	shop.account = ada
	if got := codeOf(t, d.signIn(shop, number, pin)); got != "not_allowed_error" {
		t.Errorf("ada's account with eve's card: %q, want not_allowed_error", got)
	}
	if got, want := d.lines(seen), (line{"credential.use", "not_allowed_error", other.ID, k.ID, "shop.example", d.client}); !slices.Equal(got, []line{want}) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
}

// TestAuthenticator_notAuditable signs in as somebody whose sign-ins are not recorded: what
// was refused is.
func TestAuthenticator_notAuditable(t *testing.T) {
	d, shop, seen := newShop(t)
	no := false
	if _, err := d.a.Directory.Update(t.Context(), d.job, d.holder.ID, directory.Change{Auditable: &no}, 0); err != nil {
		t.Fatal(err)
	}
	s := d.begin(shop, deskCard, deskPIN)
	if got := d.end(s); got != "" {
		t.Fatal(got)
	}
	if got := d.lines(seen); len(got) > 0 {
		t.Errorf("the record says %+v of a sign-in, want nothing", got)
	}
	if got := d.end(s); got != "tap_not_good" {
		t.Errorf("the tap again: %q, want tap_not_good", got)
	}
	if got, want := d.lines(seen), (line{"credential.use", "tap_not_good", d.holder.ID, d.key.ID, "shop.example", d.client}); !slices.Equal(got, []line{want}) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	if err := d.register(newSite(t, "bank.example", "https://bank.example"), deskCard, deskPIN); err != nil {
		t.Fatal(err)
	}
	if got, want := d.lines(seen), (line{"credential.register", "", d.holder.ID, d.key.ID, "bank.example", d.client}); !slices.Equal(got, []line{want}) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
}

// TestAuthenticator_swappedRows changes credentials behind the server's back: what does not
// stand where it was sealed signs nothing.
func TestAuthenticator_swappedRows(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		ada, eve  bool // whether the site of this name still opens to them
		bank      bool // and the bank to ada
	}{
		"nothing":                            {`UPDATE vault_credential SET uses = 7 WHERE user_id = $1`, true, true, true},
		"keys of two people":                 {`UPDATE vault_credential SET sealed = o.sealed FROM (SELECT * FROM vault_credential) AS o WHERE o.id <> vault_credential.id AND o.rp_id = 'shop.example' AND vault_credential.rp_id = 'shop.example' AND $1 <> ''`, false, false, true},
		"keys of two sites":                  {`UPDATE vault_credential SET sealed = o.sealed FROM (SELECT * FROM vault_credential) AS o WHERE o.id <> vault_credential.id AND o.user_id = $1 AND vault_credential.user_id = $1`, false, true, false},
		"all that is somebody's to somebody": {`UPDATE vault_credential SET user_id = o.user_id FROM (SELECT * FROM vault_credential) AS o WHERE o.id <> vault_credential.id AND o.rp_id = 'shop.example' AND vault_credential.rp_id = 'shop.example' AND $1 <> ''`, false, false, true},
		"one site for another":               {`UPDATE vault_credential SET rp_id = CASE rp_id WHEN 'shop.example' THEN 'bank.example' ELSE 'shop.example' END WHERE user_id = $1`, false, true, false},
		"another id":                         {`UPDATE vault_credential SET id = substr(id, 1, length(id) - 4) || substr(rp_id, 1, 4) WHERE user_id = $1`, false, true, false},
		"a bit":                              {`UPDATE vault_credential SET sealed = CAST(substr(sealed, 1, length(sealed) - 4) || x'00000000' AS BLOB) WHERE user_id = $1 AND rp_id = 'shop.example'`, false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			other := d.person("eve@example.org")
			const number, pin = "04:00:00:00:00:00:02", "660142"
			d.card(other.ID, number, pin)
			shop, bank, eves := newSite(t, "shop.example", "https://www.shop.example"), newSite(t, "bank.example", "https://bank.example"), newSite(t, "shop.example", "https://www.shop.example")
			for _, r := range []struct {
				s           *site
				number, pin string
			}{{shop, deskCard, deskPIN}, {bank, deskCard, deskPIN}, {eves, number, pin}} {
				if err := d.register(r.s, r.number, r.pin, isDiscoverable()); err != nil {
					t.Fatal(err)
				}
			}
			d.tamper(c.statement, string(d.holder.ID))
			seen := map[id.Activity]bool{}
			for _, a := range []struct {
				name, number, pin string
				s                 *site
				opens             bool
			}{{"ada's shop", deskCard, deskPIN, shop, c.ada}, {"ada's bank", deskCard, deskPIN, bank, c.bank}, {"eve's shop", number, pin, eves, c.eve}} {
				d.lines(seen)
				assertion, _, err := a.s.BeginDiscoverableLogin() // whatever is there may answer
				if err != nil {
					t.Fatal(err)
				}
				o := options(t, assertion.Response)
				tap, uv, err := d.tap(a.s, agent.Get, a.number, a.pin, o)
				if err != nil {
					t.Fatal(err)
				}
				got, err := d.program.GetAssertion(t.Context(), tap, uv, o, "")
				if (err == nil) != a.opens || a.opens == (got.Response == nil) {
					t.Errorf("%s: %s, %v, want it to open: %v", a.name, got.Response, err, a.opens)
				}
				signed := slices.ContainsFunc(d.lines(seen), func(l line) bool { return l.reason == "" })
				if signed != a.opens {
					t.Errorf("%s: the record says that somebody signed in: %v, want %v", a.name, signed, a.opens)
				}
			}
		})
	}
}

// tamper changes rows behind the server's back.
func (d *desk) tamper(statement string, args ...any) {
	d.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(d.a.config.Data, databaseFile)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // what was to be done is done
	res, err := db.ExecContext(d.t.Context(), statement, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		d.t.Fatalf("%d rows were changed, %v, want some", n, err)
	}
}

// TestAuthenticator_rowOfAnotherWorkspace copies a credential to another workspace, where the
// same person has a card.
func TestAuthenticator_rowOfAnotherWorkspace(t *testing.T) {
	d := newDesk(t)
	shop := newSite(t, "shop.example", "https://www.shop.example")
	if err := d.register(shop, deskCard, deskPIN, isDiscoverable()); err != nil {
		t.Fatal(err)
	}
	there := d.elsewhere("Lighthouse")
	d.tamper(`INSERT INTO vault_credential (id, workspace, user_id, rp_id, rp_name, user_handle, user_name, display_name, algorithm, raw_id, public_key, sealed,
			discoverable, protection, hmac_secret, created_at, created_key, created_by, client_id, last_used_at, last_key, uses)
		SELECT substr(id, 1, length(id) - 4) || 'zzzz', $1, $2, rp_id, rp_name, user_handle, user_name, display_name, algorithm, raw_id, public_key, sealed,
			discoverable, protection, hmac_secret, created_at, created_key, created_by, client_id, last_used_at, last_key, uses FROM vault_credential`,
		string(there.job.Workspace), string(there.holder.ID))
	if got, _, err := there.openly(shop, deskCard, deskPIN, ""); err == nil || got.Response != nil {
		t.Errorf("a copied row: %s, want no signature", got.Response)
	}
	if err := d.signIn(shop, deskCard, deskPIN); err != nil {
		t.Errorf("where it was copied from: %v", err)
	}
}

// elsewhere is a desk in another workspace of the same server.
func (d *desk) elsewhere(name string) *desk {
	d.t.Helper()
	out := &desk{phone: d.phone}
	out.job, out.holder = d.user(name, "ada@example.org")
	_, token, err := d.a.APIKeys.Create(d.t.Context(), out.job, apikey.NewKey{Name: "Workstations", Type: apikey.Clients})
	if err != nil {
		d.t.Fatal(err)
	}
	out.token = token.Secret().ExposeString()
	out.key = out.card(out.holder.ID, deskCard, deskPIN)
	out.program = out.newProgram()
	out.client = out.enrol(out.program, "Front desk")
	return out
}
