package signin_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/descope/virtualwebauthn"
	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

const (
	host   = "keys.example.org"
	origin = "https://keys.example.org"
)

// house is a workspace in which people have passkeys.
type house struct {
	storetest.Database
	*signin.Service
	join  *join.Service
	clock *clock.Manual
	w     id.Workspace
	by    auth.Caller // the anonymous caller of a request
}

// newHouse returns a house whose links open sessions if links says so.
func newHouse(t testing.TB, links bool) house {
	t.Helper()
	d := storetest.SQLite(t)
	c := clock.NewManual(storetest.Start())
	party, err := signin.NewRelyingParty(host, origin)
	if err != nil {
		t.Fatal(err)
	}
	return house{
		Database: d, clock: c, w: storetest.Workspace(t, d.Store), by: auth.Nobody("192.0.2.3", "browser/1", "req_signin"),
		Service: signin.New(signin.Config{Store: store.For[signin.Tx](d.Store), Clock: c, Party: party, LinksSignIn: links, CodeKey: codeKey()}),
		join:    join.New(join.Config{Store: store.For[join.Tx](d.Store), Clock: c, Party: party}),
	}
}

func codeKey() secret.Bytes { return secret.FromString("key of codes") }

// person is an owner with an authenticator of their own.
type person struct {
	user   id.User
	device *device
}

// device is an authenticator with one passkey, and the browser around it.
type device struct {
	authenticator virtualwebauthn.Authenticator
	credential    virtualwebauthn.Credential
	party         virtualwebauthn.RelyingParty // as the browser sees it
}

// person makes an owner with a passkey.
func (h house) person(t testing.TB, name string) person {
	t.Helper()
	u := storetest.User(t, h.Store, h.w, name)
	owner := signin.Administrator{ID: id.New[id.KindAdministrator](storetest.Start()), Workspace: h.w, User: u.ID, Owner: true, CreatedAt: storetest.Start()}
	link, value := signin.NewSetupLink(h.w, u.ID, false, h.clock.Now())
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertAdministrator(ctx, owner); err != nil {
			return err
		}
		return tx.InsertSetupLink(ctx, link)
	})
	d := &device{
		authenticator: virtualwebauthn.NewAuthenticator(), credential: newCredential(),
		party: virtualwebauthn.RelyingParty{ID: host, Name: "Keyhold", Origin: origin},
	}
	c, err := h.join.BeginPasskey(t.Context(), h.by, value, join.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	d.authenticator.Options.UserHandle = []byte(options.UserID)
	response := virtualwebauthn.CreateAttestationResponse(d.party, d.authenticator, d.credential, *options)
	if _, err := h.join.FinishPasskey(t.Context(), h.by, value, c.Ceremony, []byte(response)); err != nil {
		t.Fatal(err)
	}
	return person{u.ID, d}
}

// newCredential returns a new passkey. The library writes a coordinate of the
// public key that begins with a zero a byte too short (RFC 9053 §7.1.1): those keys
// are thrown away.
func newCredential() virtualwebauthn.Credential {
	const publicKeyLength = 77 // CBOR of an EC2 key with two coordinates of 32 bytes
	for {
		c := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		if len(c.Key.AttestationData()) == publicKeyLength {
			return c
		}
	}
}

// answer uses the passkey for a challenge.
func (d *device) answer(t testing.TB, c signin.Challenge) []byte {
	t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtualwebauthn.CreateAssertionResponse(d.party, d.authenticator, d.credential, *options))
}

func (h house) begin(t testing.TB) signin.Challenge {
	t.Helper()
	c, err := h.BeginSignIn(t.Context(), h.by)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// enter signs a person in and fails the test if that is refused.
func (h house) enter(t testing.TB, p person) signin.Opened {
	t.Helper()
	c := h.begin(t)
	opened, err := h.FinishSignIn(t.Context(), h.by, c.Ceremony, p.device.answer(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// refused asks for Unauthenticated, which is the same whatever the reason.
func refused(t testing.TB, what string, err error) {
	t.Helper()
	if diff := cmp.Diff(fault.Unauthenticated(), storetest.Fault(t, err, "unauthenticated"), cmp.AllowUnexported(fault.Error{})); diff != "" {
		t.Errorf("%s: another answer (-want +got):\n%s", what, diff)
	}
}

// last returns the latest line of an action: the clock moved since the one before.
func (h house) last(t testing.TB, action string) activity.Event {
	t.Helper()
	all := storetest.Activities(t, h.Store, h.w, action)
	if len(all) == 0 {
		t.Fatalf("no activity %s", action)
	}
	return all[len(all)-1]
}

func TestSignIn(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	h.clock.Advance(time.Hour)
	opened := h.enter(t, ada)
	if want := h.clock.Now().Add(signin.SessionLifetime); !opened.ExpiresAt.Equal(want) {
		t.Errorf("the session ends at %v, want %v", opened.ExpiresAt, want)
	}
	by, err := h.VerifySession(t.Context(), h.by, opened.Token)
	want := auth.Caller{
		Kind: auth.Administrator, Workspace: h.w, User: ada.user, Administrator: by.Administrator, Session: by.Session, Name: "ada Example",
		IP: h.by.IP, Agent: h.by.Agent, RequestID: h.by.RequestID, StepUpAt: h.clock.Now(),
	}
	if diff := cmp.Diff(want, by); err != nil || diff != "" || by.Session == "" || by.Administrator == "" {
		t.Errorf("VerifySession() error %v (-want +got):\n%s", err, diff)
	}
	line := h.last(t, "session.open")
	if line.Outcome != activity.Success || line.Detail != "passkey" || line.User != ada.user || line.Actor.ID != string(ada.user) || line.RPID != host || line.IP != h.by.IP {
		t.Errorf("the line is %+v, want Ada's by passkey", line)
	}
	account, err := h.Account(t.Context(), by)
	if err != nil || account.Person.User != ada.user || !account.Standing.Owner || len(account.Passkeys) != 1 || !account.Passkeys[0].LastUsedAt.Equal(h.clock.Now()) {
		t.Errorf("Account() = %+v (%v), want Ada's, whose passkey was just used", account, err)
	}
	if strings.Contains(storetest.Dump(t, h.Database), opened.Token.ExposeString()) {
		t.Error("the session's token stands in the database")
	}
}

func TestSignIn_refusals(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	stranger := *ada.device
	stranger.credential = newCredential()
	forger := *ada.device // the right name of the key, another key
	forger.credential = newCredential()
	forger.credential.ID = ada.device.credential.ID
	for name, c := range map[string]struct {
		change func(d *device)
		answer func(c signin.Challenge, response []byte) (id.Ceremony, []byte)
		code   string
		known  bool // the passkey is known: the refusal has a line
	}{
		"no user verification": {func(d *device) { d.authenticator.Options.UserNotVerified = true }, nil, "passkey_rejected", true},
		"no user present":      {func(d *device) { d.authenticator.Options.UserNotPresent = true }, nil, "passkey_rejected", true},
		"another origin":       {func(d *device) { d.party.Origin = "https://keys.example.net" }, nil, "passkey_rejected", true},
		"a subdomain's origin": {func(d *device) { d.party.Origin = "https://evil.keys.example.org" }, nil, "passkey_rejected", true},
		"another party":        {func(d *device) { d.party.ID = "example.org" }, nil, "passkey_rejected", true},
		"an unknown passkey":   {func(d *device) { *d = stranger }, nil, "passkey_rejected", false},
		"a forged signature":   {func(d *device) { *d = forger }, nil, "passkey_rejected", true},
		"another user's name":  {func(d *device) { d.authenticator.Options.UserHandle = []byte("somebody else 16") }, nil, "passkey_rejected", true},
		"another challenge":    {nil, func(_ signin.Challenge, r []byte) (id.Ceremony, []byte) { return h.begin(t).Ceremony, r }, "passkey_rejected", true},
		"no ceremony":          {nil, func(_ signin.Challenge, r []byte) (id.Ceremony, []byte) { return "cer_none", r }, "ceremony_over", false},
		"no answer":            {nil, func(c signin.Challenge, _ []byte) (id.Ceremony, []byte) { return c.Ceremony, nil }, "passkey_rejected", false},
		"no JSON":              {nil, func(c signin.Challenge, _ []byte) (id.Ceremony, []byte) { return c.Ceremony, []byte("[") }, "passkey_rejected", false},
		"too much": {nil, func(c signin.Challenge, r []byte) (id.Ceremony, []byte) {
			return c.Ceremony, append(r, make([]byte, 64<<10)...)
		}, "passkey_rejected", false},
	} {
		h.clock.Advance(2 * time.Minute) // a new line for each
		before := len(storetest.Activities(t, h.Store, h.w, "session.open"))
		d := *ada.device
		if c.change != nil {
			c.change(&d)
		}
		challenge := h.begin(t)
		ceremony, response := challenge.Ceremony, d.answer(t, challenge)
		if c.answer != nil {
			ceremony, response = c.answer(challenge, response)
		}
		opened, err := h.FinishSignIn(t.Context(), h.by, ceremony, response)
		if f, ok := fault.As(err); !ok || f.Code != c.code || !opened.Token.IsEmpty() {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
		lines := storetest.Activities(t, h.Store, h.w, "session.open")[before:]
		if c.known && (len(lines) != 1 || lines[0].Outcome != activity.Refused || lines[0].Reason != c.code || lines[0].Target.ID != string(ada.user)) {
			t.Errorf("%s: lines %+v, want one refusal about Ada", name, lines)
		}
		if !c.known && len(lines) != 0 {
			t.Errorf("%s: lines %+v, want none: no workspace is known", name, lines)
		}
		// A refused answer spends the challenge.
		_, err = h.FinishSignIn(t.Context(), h.by, ceremony, ada.device.answer(t, challenge))
		if f, ok := fault.As(err); !ok || f.Code != "ceremony_over" && ceremony == challenge.Ceremony {
			t.Errorf("%s, then the right answer: %v, want ceremony_over", name, err)
		}
	}
	h.enter(t, ada)
}

func TestSignIn_challengeIsUsedOnce(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	c := h.begin(t)
	response := ada.device.answer(t, c)
	if _, err := h.FinishSignIn(t.Context(), h.by, c.Ceremony, response); err != nil {
		t.Fatal(err)
	}
	_, err := h.FinishSignIn(t.Context(), h.by, c.Ceremony, response)
	storetest.Refused(t, err, "ceremony_over")
	c = h.begin(t)
	response = ada.device.answer(t, c)
	h.clock.Advance(signin.CeremonyLifetime)
	_, err = h.FinishSignIn(t.Context(), h.by, c.Ceremony, response)
	storetest.Refused(t, err, "ceremony_over")
}

func TestSignIn_ceremoniesKeepToTheirPurpose(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	by := h.enter(t, ada).Caller
	c, err := h.BeginStepUp(t.Context(), by)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.FinishSignIn(t.Context(), h.by, c.Ceremony, ada.device.answer(t, c))
	storetest.Refused(t, err, "ceremony_over")
	c = h.begin(t)
	storetest.Refused(t, h.FinishStepUp(t.Context(), by, c.Ceremony, ada.device.answer(t, c)), "ceremony_over")
}

// WebAuthn L3 §7.2 step 22: a counter that does not grow means a copy exists.
func TestSignIn_copiedAuthenticator(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	for _, c := range []struct {
		counter uint32
		good    bool
	}{{5, true}, {6, true}, {6, false}, {3, false}, {0, false}, {7, true}} {
		ada.device.credential.Counter = c.counter
		challenge := h.begin(t)
		_, err := h.FinishSignIn(t.Context(), h.by, challenge.Ceremony, ada.device.answer(t, challenge))
		if c.good && err != nil {
			t.Errorf("counter %d: %v, want nil", c.counter, err)
		}
		if !c.good {
			storetest.Refused(t, err, "passkey_rejected")
		}
	}
}

// A passkey alone opens the app; the panel needs an administrator and a confirmed one.
func TestSignIn_scope(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   auth.Kind
	}{
		"an administrator":                   {"", auth.Administrator},
		"one who is none":                    {`DELETE FROM signin_administrator WHERE user_id = $1`, auth.User},
		"an administrator's waiting passkey": {`UPDATE signin_passkey SET confirmed_at = 0 WHERE user_id = $1`, auth.User},
	} {
		h := newHouse(t, false)
		ada := h.person(t, "ada")
		if c.change != "" {
			storetest.Exec(t, h.Database, c.change, ada.user)
		}
		opened := h.enter(t, ada)
		by, err := h.VerifySession(t.Context(), h.by, opened.Token)
		if err != nil || by != opened.Caller || by.Kind != c.want || (by.Administrator != "") != (c.want == auth.Administrator) || by.User != ada.user {
			t.Errorf("%s: %+v (%v), want a caller of kind %s", name, by, err, c.want)
		}
		account, err := h.Account(t.Context(), by)
		if err != nil || account.Standing.Owner != (c.want == auth.Administrator) || account.Person.User != ada.user {
			t.Errorf("%s: Account() = %+v (%v), want rights in the panel only", name, account, err)
		}
	}
}

// A panel session of one who is an administrator no more opens the app.
func TestVerifySession_administratorNoMore(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	opened := h.enter(t, ada)
	storetest.Exec(t, h.Database, `DELETE FROM signin_administrator WHERE user_id = $1`, ada.user)
	by, err := h.VerifySession(t.Context(), h.by, opened.Token)
	if err != nil || by.Kind != auth.User || by.Administrator != "" {
		t.Errorf("VerifySession() = %+v (%v), want a user", by, err)
	}
	storetest.Refused(t, h.FinishStepUp(t.Context(), by, "cer_none", nil), "passkey_rejected")
	_, err = h.BeginStepUp(t.Context(), by)
	refused(t, "one who is an administrator no more", err)
}

func TestSignIn_suspended(t *testing.T) {
	for what, c := range map[string]struct{ suspend, activate string }{
		"the user":      {`UPDATE directory_user SET suspended_at = 1`, `UPDATE directory_user SET suspended_at = 0`},
		"the workspace": {`UPDATE workspace SET suspended_at = 1`, `UPDATE workspace SET suspended_at = 0`},
	} {
		h := newHouse(t, false)
		ada := h.person(t, "ada")
		link := h.issue(t, "ada@example.org")
		opened := h.enter(t, ada)
		storetest.Exec(t, h.Database, c.suspend)
		_, err := h.VerifySession(t.Context(), h.by, opened.Token)
		refused(t, what, err)
		h.clock.Advance(2 * time.Minute)
		challenge := h.begin(t)
		_, err = h.FinishSignIn(t.Context(), h.by, challenge.Ceremony, ada.device.answer(t, challenge))
		storetest.Refused(t, err, "passkey_rejected")
		if line := h.last(t, "session.open"); line.Outcome != activity.Refused || line.Reason != "suspended" || line.User != ada.user {
			t.Errorf("%s: the line is %+v, want the refusal and its true reason", what, line)
		}
		_, err = h.FindSetupLink(t.Context(), h.by, link)
		storetest.Refused(t, err, "setup_link_not_found")
		if n := h.logins(t, "refused"); n != 1 {
			t.Errorf("%s: %d refused logins were counted, want 1", what, n)
		}
		storetest.Exec(t, h.Database, c.activate)
		h.enter(t, ada)
		if n := h.logins(t, "success"); n != 3 { // the setup link's among them
			t.Errorf("%s: %d logins were counted, want 3", what, n)
		}
	}
}

// logins returns how many logins of an outcome were counted.
func (h house) logins(t testing.TB, outcome string) int {
	t.Helper()
	return storetest.Count(t, h.Database, `SELECT COALESCE(SUM(n), 0) FROM tick WHERE name = $1`, "login."+outcome)
}

// Who is not auditable signs in and out without a line; a refusal has one.
func TestSession_notAuditable(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	storetest.Exec(t, h.Database, `UPDATE directory_user SET auditable = FALSE WHERE id = $1`, ada.user)
	before := len(storetest.Activities(t, h.Store, h.w, ""))
	opened := h.enter(t, ada)
	if err := h.SignOut(t.Context(), opened.Caller); err != nil {
		t.Fatal(err)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "")); n != before {
		t.Errorf("%d lines of signing in and out, want none", n-before)
	}
	refused(t, "one who signed out", h.SignOut(t.Context(), opened.Caller))
	if n := len(storetest.Activities(t, h.Store, h.w, "")); n != before+1 {
		t.Errorf("%d lines after a refusal, want one", n-before)
	}
}

func TestBeginSignIn_bounded(t *testing.T) {
	h := newHouse(t, false)
	for range 600 {
		h.begin(t)
	}
	_, err := h.BeginSignIn(t.Context(), auth.Nobody("192.0.2.200", "", "")) // the same network
	if f := storetest.Fault(t, err, "too_many_tries"); f.RetryAfter != 10*time.Minute {
		t.Errorf("try again after %v, want ten minutes", f.RetryAfter)
	}
	if _, err := h.BeginSignIn(t.Context(), auth.Nobody("192.0.3.3", "", "")); err != nil {
		t.Errorf("BeginSignIn() = %v from another network, want nil", err)
	}
	h.clock.Advance(10 * time.Minute)
	h.begin(t)
}

func TestSession_ends(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	for name, c := range map[string]struct {
		steps []time.Duration // the session is used after each
		over  time.Duration   // after which it is over
	}{
		"idle":               {nil, signin.SessionIdle},
		"idle after use":     {[]time.Duration{signin.SessionIdle - time.Millisecond}, signin.SessionIdle},
		"its lifetime":       {slices.Repeat([]time.Duration{30 * time.Minute}, 23), 30 * time.Minute},
		"used each second":   {slices.Repeat([]time.Duration{time.Second}, 90), signin.SessionIdle},
		"idle after seconds": {[]time.Duration{time.Second, time.Second}, signin.SessionIdle - time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			opened := h.enter(t, ada)
			for i, step := range c.steps {
				h.clock.Advance(step)
				if _, err := h.VerifySession(t.Context(), h.by, opened.Token); err != nil {
					t.Fatalf("step %d: %v, want it alive", i, err)
				}
			}
			h.clock.Advance(c.over)
			_, err := h.VerifySession(t.Context(), h.by, opened.Token)
			refused(t, "a session that is over", err)
			if err := h.SignOut(t.Context(), opened.Caller); err == nil {
				t.Error("SignOut() = nil by a session that is over, want refused")
			}
		})
	}
}

func TestVerifySession_refuses(t *testing.T) {
	h := newHouse(t, false)
	opened := h.enter(t, h.person(t, "ada"))
	token := opened.Token.ExposeString()
	for what, text := range map[string]string{
		"nothing": "", "another": strings.Repeat("x", 43), "less": token[:42], "more": token + "x", "its other case": strings.ToUpper(token[:1]) + strings.ToLower(token[1:]),
		"the session's id": string(opened.Caller.Session), "not UTF-8": "\xff\x00",
	} {
		_, err := h.VerifySession(t.Context(), h.by, secret.FromString(text))
		refused(t, what, err)
	}
}

func TestSignOut(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	opened, other := h.enter(t, ada), h.enter(t, ada)
	if err := h.SignOut(t.Context(), opened.Caller); err != nil {
		t.Fatal(err)
	}
	_, err := h.VerifySession(t.Context(), h.by, opened.Token)
	refused(t, "a session that was signed out", err)
	refused(t, "a caller who signed out", h.SignOut(t.Context(), opened.Caller))
	if _, err := h.VerifySession(t.Context(), h.by, other.Token); err != nil {
		t.Errorf("VerifySession() = %v for the person's other session, want nil", err)
	}
	var ends []activity.Outcome
	for _, e := range storetest.Activities(t, h.Store, h.w, "session.end") {
		ends = append(ends, e.Outcome)
	}
	if slices.Sort(ends); !slices.Equal(ends, []activity.Outcome{activity.Refused, activity.Success}) {
		t.Errorf("outcomes %v, want one success and the refusal after it", ends)
	}
	key := storetest.APIKey(t, h.Store, h.w)
	if err := h.SignOut(t.Context(), key); err != nil {
		t.Errorf("SignOut() = %v for a key, which has no session, want nil", err)
	}
}

func TestStepUp(t *testing.T) {
	h := newHouse(t, false)
	ada, bob := h.person(t, "ada"), h.person(t, "bob")
	opened := h.enter(t, ada)
	h.clock.Advance(auth.StepUpAge)
	by, err := h.VerifySession(t.Context(), h.by, opened.Token)
	if err != nil || auth.CheckStepUp(by, h.clock.Now()) == nil {
		t.Fatalf("a session of ten minutes: %v, want it to need a step-up", err)
	}
	c, err := h.BeginStepUp(t.Context(), by)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Refused(t, h.FinishStepUp(t.Context(), by, c.Ceremony, bob.device.answer(t, c)), "passkey_rejected")
	if line := h.last(t, "session.step_up"); line.Outcome != activity.Refused || line.Actor.ID != string(ada.user) {
		t.Errorf("the line is %+v, want Ada's refusal", line)
	}
	storetest.Refused(t, h.FinishStepUp(t.Context(), by, c.Ceremony, ada.device.answer(t, c)), "ceremony_over") // it was spent
	h.clock.Advance(time.Minute)
	if c, err = h.BeginStepUp(t.Context(), by); err != nil {
		t.Fatal(err)
	}
	response := ada.device.answer(t, c)
	if err := h.FinishStepUp(t.Context(), by, c.Ceremony, response); err != nil {
		t.Fatal(err)
	}
	if line := h.last(t, "session.step_up"); line.Outcome != activity.Success || line.User != ada.user || line.RPID != host {
		t.Errorf("the line is %+v, want Ada's success", line)
	}
	by, err = h.VerifySession(t.Context(), h.by, opened.Token)
	if err != nil || !by.StepUpAt.Equal(h.clock.Now()) || auth.CheckStepUp(by, h.clock.Now()) != nil {
		t.Errorf("after the step-up: %+v (%v), want it fresh", by.StepUpAt, err)
	}
	storetest.Refused(t, h.FinishStepUp(t.Context(), by, c.Ceremony, response), "ceremony_over")
}

func TestStepUp_strangers(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	opened := h.enter(t, ada)
	for who, by := range map[string]auth.Caller{"nobody": h.by, "a key": storetest.APIKey(t, h.Store, h.w), "a job": auth.Job(h.w, "test")} {
		_, err := h.BeginStepUp(t.Context(), by)
		refused(t, who, err)
	}
	c, err := h.BeginStepUp(t.Context(), opened.Caller)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.SignOut(t.Context(), opened.Caller); err != nil {
		t.Fatal(err)
	}
	refused(t, "one who signed out", h.FinishStepUp(t.Context(), opened.Caller, c.Ceremony, ada.device.answer(t, c)))
}

func TestService_strangers(t *testing.T) {
	h := newHouse(t, false)
	storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: "account.find", Call: func(by auth.Caller) error {
		a, err := h.Account(t.Context(), by)
		if a.Person.User != "" {
			t.Errorf("Account() shows %+v", a)
		}
		return err
	}})
	storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: "session.end", Call: func(by auth.Caller) error { return h.SignOut(t.Context(), by) }})
	_, err := h.Account(t.Context(), storetest.APIKey(t, h.Store, h.w, auth.All()...))
	refused(t, "a key, which is nobody", err)
	other := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "other")
	other.Workspace = h.w
	_, err = h.Account(t.Context(), other)
	refused(t, "an administrator of another workspace", err)
}

func TestSession_keepsTheAgentWhole(t *testing.T) {
	h := newHouse(t, false)
	h.by.Agent = strings.Repeat("a", 399) + "é and more"
	opened := h.enter(t, h.person(t, "ada"))
	var agent string
	if err := h.SQL.QueryRowContext(t.Context(), `SELECT agent FROM signin_session WHERE id = $1`, opened.Caller.Session).Scan(&agent); err != nil {
		t.Fatal(err)
	}
	if !utf8.ValidString(agent) || len(agent) > 400 {
		t.Errorf("agent has %d bytes, valid %v, want at most 400 of text: PostgreSQL takes nothing else", len(agent), utf8.ValidString(agent))
	}
}

// issue makes a setup link for an address and fails the test if that is refused.
func (h house) issue(t testing.TB, email string) secret.Bytes {
	t.Helper()
	value, _, err := h.IssueSetupLink(t.Context(), auth.Job(h.w, "command line"), email)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestIssueSetupLink(t *testing.T) {
	h := newHouse(t, false)
	firstOwners := h.issue(t, "")
	ada := h.person(t, "ada")
	first, second := h.issue(t, "ada@example.org"), h.issue(t, "ada@example.org")
	_, err := h.FindSetupLink(t.Context(), h.by, first)
	storetest.Refused(t, err, "setup_link_not_found") // the later one replaces it
	link, err := h.FindSetupLink(t.Context(), h.by, second)
	if err != nil || link.Person.User != ada.user || link.Person.WorkspaceName != "Harbour" || link.SetupLink.SignsIn {
		t.Errorf("FindSetupLink() = %+v (%v), want Ada's, which does not sign in", link, err)
	}
	link, err = h.FindSetupLink(t.Context(), h.by, firstOwners)
	if err != nil || link.Person.User != "" || link.Person.WorkspaceName != "Harbour" {
		t.Errorf("FindSetupLink() = %+v (%v), want the first owner's, with the workspace", link, err)
	}
	if strings.Contains(storetest.Dump(t, h.Database), second.ExposeString()) {
		t.Error("the link's secret stands in the database")
	}
	h.clock.Advance(signin.SetupLinkLife)
	_, err = h.FindSetupLink(t.Context(), h.by, second)
	storetest.Refused(t, err, "setup_link_not_found")
	for email, code := range map[string]string{"": "owner_exists", "nobody@example.org": "administrator_not_found"} {
		_, _, err := h.IssueSetupLink(t.Context(), auth.Job(h.w, "command line"), email)
		storetest.Refused(t, err, code)
	}
	storetest.User(t, h.Store, h.w, "plain")
	_, _, err = h.IssueSetupLink(t.Context(), auth.Job(h.w, "command line"), "plain@example.org")
	storetest.Refused(t, err, "administrator_not_found")
	for who, by := range map[string]auth.Caller{"an owner": storetest.Administrator(t, h.Store, h.w, "owner"), "a key": storetest.APIKey(t, h.Store, h.w, auth.All()...), "nobody": h.by} {
		value, _, err := h.IssueSetupLink(t.Context(), by, "ada@example.org")
		if storetest.Refused(t, err, "system_only"); !value.IsEmpty() {
			t.Errorf("IssueSetupLink() gives %s a link", who)
		}
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "setup_link.issue")); n != 3 {
		t.Errorf("%d lines of links, want one for each of the 3", n)
	}
}

func TestSignInByLink(t *testing.T) {
	demo := newHouse(t, true)
	ada := demo.person(t, "ada")
	link := demo.issue(t, "ada@example.org")
	opened, err := demo.SignInByLink(t.Context(), demo.by, link)
	if err != nil || opened.Caller.User != ada.user {
		t.Fatalf("SignInByLink() = %+v (%v), want Ada in", opened.Caller, err)
	}
	if _, err := demo.VerifySession(t.Context(), demo.by, opened.Token); err != nil {
		t.Errorf("VerifySession() = %v, want nil", err)
	}
	if n := storetest.Count(t, demo.Database, `SELECT COUNT(*) FROM activity WHERE action = 'session.open' AND detail = 'link'`); n != 1 {
		t.Errorf("%d lines of a session by link, want 1", n)
	}
	_, err = demo.SignInByLink(t.Context(), demo.by, link)
	storetest.Refused(t, err, "setup_link_not_found") // spent
	late := demo.issue(t, "ada@example.org")
	demo.clock.Advance(signin.SetupLinkLife)
	_, err = demo.SignInByLink(t.Context(), demo.by, late)
	storetest.Refused(t, err, "setup_link_not_found")
	_, err = demo.SignInByLink(t.Context(), demo.by, secret.FromString("none"))
	storetest.Refused(t, err, "setup_link_not_found")
}

func TestSignInByLink_onlyInADemo(t *testing.T) {
	for name, c := range map[string]struct{ links, signsIn, firstOwner bool }{
		"a link of a demo, elsewhere": {false, true, false},
		"a plain link, in a demo":     {true, false, false},
		"the first owner's, a demo":   {true, true, true},
		"a plain link, elsewhere":     {false, false, false},
	} {
		h := newHouse(t, c.links)
		ada := h.person(t, "ada")
		if c.firstOwner {
			ada.user = ""
		}
		link, value := signin.NewSetupLink(h.w, ada.user, c.signsIn, h.clock.Now())
		storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertSetupLink(ctx, link) })
		opened, err := h.SignInByLink(t.Context(), h.by, value)
		if f, ok := fault.As(err); !ok || f.Code != "setup_link_not_found" || !opened.Token.IsEmpty() {
			t.Errorf("%s: %v, want setup_link_not_found", name, err)
		}
		if _, err := h.FindSetupLink(t.Context(), h.by, value); err != nil {
			t.Errorf("%s: %v, want the link unspent", name, err)
		}
	}
}

func TestNewRelyingParty_refuses(t *testing.T) {
	for _, rpID := range []string{"https://keys.example.org", "keys.example.org "} {
		if _, err := signin.NewRelyingParty(rpID, origin); err == nil {
			t.Errorf("NewRelyingParty(%q) = nil, want an error", rpID)
		}
	}
}
