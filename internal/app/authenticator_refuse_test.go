package app

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/flow/authenticate"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// signing is a sign-in whose card was tapped and whose PIN was typed.
type signing struct {
	by      *agent.Client
	tap, uv string
	options json.RawMessage
}

// loginOptions are what the site asks for when the account's credentials are named.
func (s *site) loginOptions() json.RawMessage {
	s.t.Helper()
	assertion, _, err := s.BeginLogin(s.account)
	if err != nil {
		s.t.Fatal(err)
	}
	return options(s.t, assertion.Response)
}

// begin taps a card for a sign-in and shows its PIN.
func (d *desk) begin(s *site, number, pin string) signing {
	d.t.Helper()
	o := s.loginOptions()
	tap, uv, err := d.tap(s, agent.Get, number, pin, o)
	if err != nil {
		d.t.Fatal(err)
	}
	return signing{d.program, tap, uv, o}
}

// end asks for the signature and returns the refusal's code, "" for none.
func (d *desk) end(s signing) string {
	d.t.Helper()
	_, err := s.by.GetAssertion(d.t.Context(), s.tap, s.uv, s.options, "")
	return codeOf(d.t, err)
}

// newShop returns a desk whose holder is registered at a site, and the moment's record.
func newShop(t *testing.T) (*desk, *site, map[id.Activity]bool) {
	t.Helper()
	d, seen := newDesk(t), map[id.Activity]bool{}
	shop := newSite(t, "shop.example", "https://www.shop.example")
	if err := d.register(shop, deskCard, deskPIN); err != nil {
		t.Fatal(err)
	}
	d.lines(seen)
	return d, shop, seen
}

// TestAuthenticator_voidsAtOnce does something between the PIN and the signature. The tap is
// void then, and so is the token with a tap that comes after.
func TestAuthenticator_voidsAtOnce(t *testing.T) {
	const (
		over  = "tap_not_good"
		again = "uv_token_not_good"
	)
	pin := deskPIN
	for name, c := range map[string]struct {
		do       func(d *desk) error
		tap      string // what the tap is refused with that was there before
		fresh    string // what one is refused with that comes after
		uv       string // what the token is refused with at that one
		nameless bool   // the record says no key
	}{
		"nothing":          {do: func(*desk) error { return nil }},
		"a suspended card": {do: func(d *desk) error { _, err := d.a.SecurityKeys.Suspend(d.t.Context(), d.job, d.key.ID); return err }, tap: "key_suspended", fresh: "key_suspended"},
		"a card that was suspended": {do: func(d *desk) error {
			if _, err := d.a.SecurityKeys.Suspend(d.t.Context(), d.job, d.key.ID); err != nil {
				return err
			}
			_, err := d.a.SecurityKeys.Activate(d.t.Context(), d.job, d.key.ID)
			return err
		}, tap: over, uv: again},
		"a suspended user": {do: func(d *desk) error {
			_, err := d.a.Leave.Suspend(d.t.Context(), d.job, d.holder.ID, leave.Options{})
			return err
		}, tap: "key_suspended", fresh: "key_suspended"},
		"a user who was suspended": {do: func(d *desk) error {
			if _, err := d.a.Leave.Suspend(d.t.Context(), d.job, d.holder.ID, leave.Options{}); err != nil {
				return err
			}
			_, err := d.a.Leave.Activate(d.t.Context(), d.job, d.holder.ID)
			return err
		}, tap: over, uv: again},
		"a PIN that was reset": {do: func(d *desk) error {
			_, err := d.a.SecurityKeys.ResetPIN(d.t.Context(), d.job, d.key.ID, securitykey.Reset{PIN: secret.FromString(pin), Delivery: securitykey.DeliverResponse})
			return err
		}, tap: over, uv: again},
		"a PIN that was changed": {do: func(d *desk) error { return d.changePIN(deskCard, pin, "330918") }, tap: over, uv: again},
		"another name of the client": {do: func(d *desk) error {
			name := "Reception"
			_, err := d.a.Clients.Change(d.t.Context(), d.job, d.client, client.Change{Name: &name}, 0)
			return err
		}, tap: over, uv: again},
		"a revoked client": {do: func(d *desk) error { return d.a.Clients.Revoke(d.t.Context(), d.job, d.client, 0) }, tap: "client_revoked", fresh: "client_revoked", nameless: true},
	} {
		t.Run(name, func(t *testing.T) {
			d, shop, seen := newShop(t)
			s := d.begin(shop, deskCard, pin)
			if err := c.do(d); err != nil {
				t.Fatal(err)
			}
			d.lines(seen)
			if got := d.end(s); got != c.tap {
				t.Errorf("the tap: %q, want %q", got, c.tap)
			}
			want := line{"credential.use", c.tap, d.holder.ID, d.key.ID, "shop.example", d.client}
			if c.nameless {
				want = line{"client.use", c.tap, "", "", "", d.client}
			}
			if got := d.lines(seen); !slices.Equal(got, []line{want}) {
				t.Errorf("the record says %+v, want %+v", got, want)
			}
			d.clock.Advance(59 * time.Second)
			tap, _, err := d.tap(shop, agent.Get, deskCard, "", s.options)
			if got := codeOf(t, err); got != c.fresh {
				t.Fatalf("a tap afterwards: %q, want %q", got, c.fresh)
			}
			if c.fresh != "" {
				return
			}
			s.tap = tap
			if got := d.end(s); got != c.uv {
				t.Errorf("the token with a tap afterwards: %q, want %q", got, c.uv)
			}
			want.reason = c.uv
			if got := d.lines(seen); !slices.Equal(got, []line{want}) {
				t.Errorf("the record says %+v, want %+v", got, want)
			}
		})
	}
}

// changePIN changes a card's PIN at the desk.
func (d *desk) changePIN(number, old, next string) error {
	tapped, err := d.program.Tap(d.t.Context(), agent.Tap{CardNumber: secret.FromString(number), Source: agent.Reader, Operation: agent.PINChange})
	if err != nil {
		return err
	}
	return d.program.ChangePIN(d.t.Context(), tapped.Tap, secret.FromString(old), secret.FromString(next))
}

// TestAuthenticator_bindsTheToken tries a good token where it is not good, with good taps.
func TestAuthenticator_bindsTheToken(t *testing.T) {
	d, shop, seen := newShop(t)
	bank := newSite(t, "bank.example", "https://bank.example")
	if err := d.register(bank, deskCard, deskPIN); err != nil {
		t.Fatal(err)
	}
	second := d.card(d.holder.ID, "04:00:00:00:00:00:01", "771203")
	gate := d.terminal("Gate")
	d.lines(seen)
	here := d.begin(shop, deskCard, deskPIN)
	for _, c := range []struct {
		name string
		make func() signing // a good tap, and the token of another one
		want string
		line line
	}{
		{"another client's", func() signing {
			s := gate.begin(shop, deskCard, deskPIN)
			s.uv = here.uv
			return s
		}, "uv_token_not_good", line{"credential.use", "uv_token_not_good", d.holder.ID, d.key.ID, "shop.example", gate.me}},
		{"another card's", func() signing {
			s := d.begin(shop, "04:00:00:00:00:00:01", "771203")
			s.uv = here.uv
			return s
		}, "uv_token_not_good", line{"credential.use", "uv_token_not_good", d.holder.ID, second.ID, "shop.example", d.client}},
		{"another site's", func() signing {
			s := d.begin(bank, deskCard, deskPIN)
			s.uv = here.uv
			return s
		}, "uv_token_not_good", line{"credential.use", "uv_token_not_good", d.holder.ID, d.key.ID, "bank.example", d.client}},
		{"nobody's", func() signing {
			s := d.begin(shop, deskCard, deskPIN)
			s.uv = "uv_" + s.uv[4:] + "A"
			return s
		}, "uv_token_not_good", line{"credential.use", "uv_token_not_good", d.holder.ID, d.key.ID, "shop.example", d.client}},
		{"none", func() signing {
			s := d.begin(shop, deskCard, deskPIN)
			s.uv = ""
			return s
		}, "pin_needed", line{"credential.use", "pin_needed", d.holder.ID, d.key.ID, "shop.example", d.client}},
		{"its own, for other options", func() signing {
			s := d.begin(shop, deskCard, deskPIN)
			s.options = shop.loginOptions()
			return s
		}, "options_changed", line{"credential.use", "options_changed", d.holder.ID, d.key.ID, "shop.example", d.client}},
		{"another client's, with the tap of that client", func() signing {
			s := gate.begin(shop, deskCard, deskPIN)
			s.by = d.program
			return s
		}, "tap_not_good", line{"credential.use", "tap_not_good", "", "", "", d.client}},
	} {
		d.clock.Advance(time.Second)
		if got := d.end(c.make()); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		d.clock.Advance(authenticate.Window) // the next refusal has a line of its own, and its taps are free
		if got := d.lines(seen); !slices.Equal(got, []line{c.line}) {
			t.Errorf("%s: the record says %+v, want %+v", c.name, got, c.line)
		}
		here = d.begin(shop, deskCard, deskPIN)
	}
	if got := d.end(here); got != "" {
		t.Errorf("the token where it is good: %q", got)
	}
	// A tap is for its operation.
	s := d.begin(shop, deskCard, deskPIN)
	if _, err := s.by.MakeCredential(t.Context(), s.tap, s.uv, s.options); codeOf(t, err) != "type_error" {
		t.Errorf("options of a sign-in at a registration: %v, want type_error", err)
	}
	creation, _, err := shop.BeginRegistration(shop.account)
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, creation.Response)
	if tap, uv, err := d.tap(shop, agent.Get, deskCard, deskPIN, o); err != nil {
		t.Fatal(err)
	} else if _, err := d.program.MakeCredential(t.Context(), tap, uv, o); codeOf(t, err) != "tap_not_good" {
		t.Errorf("a registration with the tap of a sign-in: %v, want tap_not_good", err)
	}
}

func TestAuthenticator_aTapIsSpent(t *testing.T) {
	d, shop, seen := newShop(t)
	s := d.begin(shop, deskCard, deskPIN)
	if got := d.end(s); got != "" {
		t.Fatalf("the first time: %q", got)
	}
	success := line{"credential.use", "", d.holder.ID, d.key.ID, "shop.example", d.client}
	refused := line{"credential.use", "tap_not_good", d.holder.ID, d.key.ID, "shop.example", d.client}
	if got := d.lines(seen); !slices.Equal(got, []line{success}) {
		t.Errorf("the record says %+v, want %+v", got, success)
	}
	if got := d.end(s); got != "tap_not_good" {
		t.Errorf("again: %q, want tap_not_good", got)
	}
	if got := d.lines(seen); !slices.Equal(got, []line{refused}) {
		t.Errorf("the record says %+v, want %+v", got, refused)
	}
	// At once it gives one signature.
	for range 10 {
		s := d.begin(shop, deskCard, deskPIN)
		var all sync.WaitGroup
		var signed, not atomic.Int64
		for range 4 {
			all.Go(func() {
				switch d.end(s) {
				case "":
					signed.Add(1)
				case "tap_not_good":
					not.Add(1)
				}
			})
		}
		all.Wait()
		if signed.Load() != 1 || not.Load() != 3 {
			t.Fatalf("four at once: %d signatures and %d refusals, want one and three", signed.Load(), not.Load())
		}
		if got := d.lines(seen); !slices.Contains(got, success) || slices.Index(got[1:], success) >= 0 {
			t.Fatalf("the record says %+v, want one success", got)
		}
	}
	creation, _, err := shop.BeginRegistration(shop.account)
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, creation.Response)
	tap, uv, err := d.tap(shop, agent.Create, deskCard, deskPIN, o)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var made atomic.Int64
	for range 4 {
		all.Go(func() {
			if _, err := d.program.MakeCredential(t.Context(), tap, uv, o); err == nil {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("four registrations with one tap: %d were made, want one", made.Load())
	}
}

func TestAuthenticator_tapsAndTokensEnd(t *testing.T) {
	d, shop, seen := newShop(t)
	s := d.begin(shop, deskCard, deskPIN)
	d.clock.Advance(client.TapLife - time.Millisecond)
	if got := d.end(s); got != "" {
		t.Errorf("just before a tap ends: %q", got)
	}
	s = d.begin(shop, deskCard, deskPIN)
	d.clock.Advance(client.TapLife)
	d.lines(seen)
	if got := d.end(s); got != "tap_not_good" {
		t.Errorf("once a tap is over: %q, want tap_not_good", got)
	}
	if got, want := d.lines(seen), (line{"credential.use", "tap_not_good", d.holder.ID, d.key.ID, "shop.example", d.client}); !slices.Equal(got, []line{want}) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	s = d.begin(shop, deskCard, deskPIN)
	d.clock.Advance(client.TapLife)
	if _, err := d.program.Verify(t.Context(), s.tap, secret.FromString(deskPIN)); codeOf(t, err) != "tap_not_good" {
		t.Errorf("the PIN of a tap that is over: %v, want tap_not_good", err)
	}
	// A token is good for more taps of its card, while it is used.
	tapAgain := func() string {
		s.tap, _, _ = d.tap(shop, agent.Get, deskCard, "", s.options)
		return d.end(s)
	}
	if got := tapAgain(); got != "uv_token_not_good" {
		t.Errorf("a token that rested for a minute: %q, want uv_token_not_good", got)
	}
	s = d.begin(shop, deskCard, deskPIN)
	for used := time.Duration(0); used < client.VerificationLife; used += 50 * time.Second {
		if used > 0 {
			d.clock.Advance(50 * time.Second)
		}
		if got := tapAgain(); got != "" {
			t.Fatalf("a token that is used, after %v: %q", used, got)
		}
	}
	d.clock.Advance(50 * time.Second)
	if got := tapAgain(); got != "uv_token_not_good" {
		t.Errorf("a token after ten minutes: %q, want uv_token_not_good", got)
	}
}

// TestAuthenticator_needsAnotherPIN signs in with a PIN that its holder is to change first.
func TestAuthenticator_needsAnotherPIN(t *testing.T) {
	d, shop, seen := newShop(t)
	if _, err := d.a.SecurityKeys.ResetPIN(t.Context(), d.job, d.key.ID, securitykey.Reset{PIN: secret.FromString("552871"), Delivery: securitykey.DeliverResponse, MustChange: true}); err != nil {
		t.Fatal(err)
	}
	if got := codeOf(t, d.signIn(shop, deskCard, "552871")); got != "pin_must_change" {
		t.Errorf("a PIN that must change: %q, want pin_must_change", got)
	}
	if got, want := d.lines(seen), (line{"credential.use", "pin_must_change", d.holder.ID, d.key.ID, "shop.example", d.client}); !slices.Equal(got, []line{want}) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	if got := codeOf(t, d.changePIN(deskCard, "552872", "330918")); got != "pin_invalid" {
		t.Errorf("a change with a wrong PIN: %q, want pin_invalid", got)
	}
	if err := d.changePIN(deskCard, "552871", "330918"); err != nil {
		t.Fatal(err)
	}
	if err := d.signIn(shop, deskCard, "330918"); err != nil {
		t.Error(err)
	}
	want := []line{
		{"credential.use", "", d.holder.ID, d.key.ID, "shop.example", d.client},
		{"security_key.pin_change", "", d.holder.ID, d.key.ID, "", d.client},
		{"security_key.pin_try", "pin_invalid", d.holder.ID, d.key.ID, "", d.client},
	}
	if got := d.lines(seen); !slices.Equal(got, want) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
}

// TestAuthenticator_pinless uses a card without a PIN where that is allowed, and elsewhere.
func TestAuthenticator_pinless(t *testing.T) {
	d, shop, _ := newShop(t)
	yes := true
	if _, err := d.a.SecurityKeys.UpdateSettings(t.Context(), d.job, securitykey.SettingsChange{Pinless: &yes}, 0); err != nil {
		t.Fatal(err)
	}
	const number = "04:00:00:00:00:00:02"
	k, err := d.a.SecurityKeys.Create(t.Context(), d.job, d.holder.ID, securitykey.NewKey{
		Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateNow, CardNumber: number, Verification: securitykey.Pinless,
	})
	if err != nil {
		t.Fatal(err)
	}
	needs := func() (agent.Tapped, json.RawMessage) {
		o := shop.loginOptions()
		tapped, err := d.program.Tap(t.Context(), agent.Tap{CardNumber: secret.FromString(number), Source: agent.Reader, Operation: agent.Get, Origin: shop.origin, RPID: shop.rpID, Options: o})
		if err != nil {
			t.Fatal(err)
		}
		return tapped, o
	}
	tapped, o := needs()
	if tapped.Needs != agent.NeedsPIN {
		t.Errorf("where it is not allowed it needs %q, want pin", tapped.Needs)
	}
	if got := d.end(signing{d.program, tapped.Tap, "", o}); got != "pin_needed" {
		t.Errorf("a signature where it is not allowed: %q, want pin_needed", got)
	}
	for _, pin := range []string{"", "0000", deskPIN} {
		if _, err := d.program.Verify(t.Context(), tapped.Tap, secret.FromString(pin)); codeOf(t, err) != "pin_invalid" {
			t.Errorf("the PIN %q of a card that has none: %v, want pin_invalid", pin, err)
		}
	}
	if _, err := d.a.Clients.Change(t.Context(), d.job, d.client, client.Change{PinlessAllowed: &yes}, 0); err != nil {
		t.Fatal(err)
	}
	seen := map[id.Activity]bool{}
	d.lines(seen)
	if got := d.end(signing{d.program, tapped.Tap, "", o}); got != "tap_not_good" {
		t.Errorf("a tap from before it was allowed: %q, want tap_not_good", got)
	}
	d.lines(seen)
	tapped, o = needs()
	if tapped.Needs != agent.NeedsNone {
		t.Fatalf("where it is allowed it needs %q, want none", tapped.Needs)
	}
	got, err := d.program.GetAssertion(t.Context(), tapped.Tap, "", o, "")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := protocol.ParseCredentialRequestResponseBytes(got.Response)
	if err != nil {
		t.Fatal(err)
	}
	if f := answer.Response.AuthenticatorData.Flags; !f.UserPresent() || f.UserVerified() {
		t.Errorf("the flags are %08b, want present and not verified", f)
	}
	if got, want := d.lines(seen), (line{"credential.use", "", d.holder.ID, k.Key.ID, "shop.example", d.client}); !slices.Equal(got, []line{want}) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	// A website that wants to know who it is does not get less.
	shop.Config.AuthenticatorSelection.UserVerification = protocol.VerificationRequired
	tapped, o = needs()
	if got := d.end(signing{d.program, tapped.Tap, "", o}); got != "not_allowed_error" {
		t.Errorf("a sign-in that requires verification: %q, want not_allowed_error", got)
	}
	if got := codeOf(t, d.register(newStrict(t), number, "")); got != "constraint_error" {
		t.Errorf("a registration that requires verification: %q, want constraint_error", got)
	}
}

// newStrict is a site that requires verification.
func newStrict(t *testing.T) *site {
	t.Helper()
	s := newSite(t, "strict.example", "https://strict.example")
	s.Config.AuthenticatorSelection.UserVerification = protocol.VerificationRequired
	return s
}
