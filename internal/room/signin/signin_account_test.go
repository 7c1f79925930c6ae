package signin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func newDevice() *device {
	return &device{
		authenticator: virtualwebauthn.NewAuthenticator(), credential: newCredential(),
		party: virtualwebauthn.RelyingParty{ID: host, Name: "Keyhold", Origin: origin},
	}
}

// create makes a passkey for a registration's challenge.
func (d *device) create(t testing.TB, c signin.Challenge) []byte {
	t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	d.authenticator.Options.UserHandle = []byte(options.UserID)
	return []byte(virtualwebauthn.CreateAttestationResponse(d.party, d.authenticator, d.credential, *options))
}

// register adds a passkey in the session of by.
func (h house) register(t testing.TB, by auth.Caller, d *device) signin.Passkey {
	t.Helper()
	c, err := h.BeginPasskey(t.Context(), by)
	if err != nil {
		t.Fatal(err)
	}
	k, err := h.FinishPasskey(t.Context(), by, c.Ceremony, d.create(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// enterApp signs in by a code and returns the caller.
func (h house) enterApp(t testing.TB, email string) auth.Caller {
	t.Helper()
	browser, code := h.ask(t, email)
	if _, err := h.ProveCode(t.Context(), h.by, browser, code); err != nil {
		t.Fatal(err)
	}
	opened, err := h.OpenByCode(t.Context(), h.by, browser, h.w)
	if err != nil {
		t.Fatal(err)
	}
	return opened.Caller
}

// mails returns the kinds of the mails that wait, with their recipients.
func (h house) mails(t testing.TB) (out []string) {
	t.Helper()
	for _, m := range storetest.Messages(t, h.Store) {
		var p struct {
			To outbox.Recipient `json:"to"`
		}
		if err := json.Unmarshal(m.Payload, &p); err != nil {
			t.Fatal(err)
		}
		out = append(out, m.Kind+" "+p.To.Email)
	}
	return out
}

func TestPasskey_inThePanel(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	by := h.enter(t, ada).Caller
	h.clock.Advance(time.Second)
	second := newDevice()
	k := h.register(t, by, second)
	if !k.ConfirmedAt.Equal(h.clock.Now()) {
		t.Errorf("the passkey is confirmed at %v, want now", k.ConfirmedAt)
	}
	if line := h.last(t, "passkey.register"); line.User != ada.user || line.Target.ID != string(k.ID) || line.Outcome != activity.Success {
		t.Errorf("the line is %+v, want Ada's", line)
	}
	if opened := h.enter(t, person{ada.user, second}); opened.Caller.Kind != auth.Administrator {
		t.Errorf("the new passkey opens a session of kind %s, want the panel's", opened.Caller.Kind)
	}
	all, err := h.OwnPasskeys(t.Context(), by)
	if err != nil || len(all) != 2 {
		t.Errorf("OwnPasskeys() = %+v (%v), want two", all, err)
	}
	h.clock.Advance(auth.StepUpAge)
	_, err = h.BeginPasskey(t.Context(), by)
	storetest.Refused(t, err, "step_up_required")
	if line := h.last(t, "passkey.register"); line.Outcome != activity.Refused || line.Reason != "step_up_required" {
		t.Errorf("the line is %+v, want the refusal", line)
	}
}

// Who reads the mailbox of an administrator gets into the app and no further.
func TestPasskey_inTheApp(t *testing.T) {
	h := newHouse(t, false)
	ada, _ := h.person(t, "ada"), h.person(t, "bob")
	by := h.enterApp(t, "ada@example.org")
	before := len(h.mails(t))
	mine := newDevice()
	k := h.register(t, by, mine)
	if !k.ConfirmedAt.IsZero() {
		t.Errorf("the passkey is confirmed at %v, want not yet", k.ConfirmedAt)
	}
	if got, want := h.mails(t)[before:], []string{"mail.passkey_registered ada@example.org", "mail.passkey_waits bob@example.org"}; !slices.Equal(got, want) {
		t.Errorf("mails %v, want %v", got, want)
	}
	if opened := h.enter(t, person{ada.user, mine}); opened.Caller.Kind != auth.User {
		t.Errorf("the new passkey opens a session of kind %s, want the app's", opened.Caller.Kind)
	}
	// Nor does it count as a fresh passkey in Ada's own session.
	panel := h.enter(t, ada).Caller
	c, err := h.BeginStepUp(t.Context(), panel)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Refused(t, h.FinishStepUp(t.Context(), panel, c.Ceremony, mine.answer(t, c)), "passkey_rejected")
}

func TestPasskey_ceremoniesAreBound(t *testing.T) {
	h := newHouse(t, false)
	ada, bob := h.person(t, "ada"), h.person(t, "bob")
	by, other, app := h.enter(t, ada).Caller, h.enter(t, bob).Caller, h.enterApp(t, "ada@example.org")
	c, err := h.BeginPasskey(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	response := newDevice().create(t, c)
	for who, by := range map[string]auth.Caller{"the same person in the panel": by, "somebody else": other} {
		_, err := h.FinishPasskey(t.Context(), by, c.Ceremony, response)
		if storetest.Refused(t, err, "ceremony_over"); t.Failed() {
			t.Error(who)
		}
	}
	// A setup link's ceremony is no signed-in person's, and the other way round.
	link := h.issue(t, "ada@example.org")
	byLink, err := h.join.BeginPasskey(t.Context(), h.by, link, join.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.FinishPasskey(t.Context(), by, byLink.Ceremony, newDevice().create(t, byLink))
	storetest.Refused(t, err, "ceremony_over")
	_, err = h.join.FinishPasskey(t.Context(), h.by, link, c.Ceremony, response)
	storetest.Refused(t, err, "ceremony_over")
	if _, err := h.FinishPasskey(t.Context(), app, c.Ceremony, response); err != nil {
		t.Errorf("FinishPasskey() = %v in the session that began, want nil", err)
	}
	_, err = h.FinishPasskey(t.Context(), app, c.Ceremony, response)
	storetest.Refused(t, err, "ceremony_over")
	for _, by := range []auth.Caller{storetest.APIKey(t, h.Store, h.w, auth.All()...), auth.Job(h.w, "test")} {
		_, err := h.BeginPasskey(t.Context(), by)
		storetest.Refused(t, err, "person_only")
		_, err = h.FinishPasskey(t.Context(), by, c.Ceremony, response)
		storetest.Refused(t, err, "ceremony_over")
	}
}

func TestPasskey_atMost(t *testing.T) {
	h := newHouse(t, false)
	by := h.enter(t, h.person(t, "ada")).Caller
	for range signin.MaxPasskeys - 1 {
		h.register(t, by, newDevice())
	}
	_, err := h.BeginPasskey(t.Context(), by)
	storetest.Refused(t, err, "too_many_passkeys")
}

func TestRenamePasskey(t *testing.T) {
	h := newHouse(t, false)
	ada, bob := h.person(t, "ada"), h.person(t, "bob")
	by := h.enter(t, ada).Caller
	keys, err := h.OwnPasskeys(t.Context(), by)
	if err != nil {
		t.Fatal(err)
	}
	k, err := h.RenamePasskey(t.Context(), by, keys[0].ID, "  Ada’s phone ")
	if err != nil || k.Name != "Ada’s phone" {
		t.Errorf("RenamePasskey() = %q (%v), want it trimmed", k.Name, err)
	}
	if line := storetest.Activity(t, h.Store, h.w, "passkey.rename"); line.Target.Name != "Ada’s phone" || line.User != ada.user {
		t.Errorf("the line is %+v", line)
	}
	if _, err := h.RenamePasskey(t.Context(), by, keys[0].ID, "Ada’s phone"); err != nil || len(storetest.Activities(t, h.Store, h.w, "passkey.rename")) != 1 {
		t.Errorf("the same name: %v, want nothing to happen", err)
	}
	for _, name := range []string{"", "  ", "a\x00", strings.Repeat("x", 101)} {
		_, err := h.RenamePasskey(t.Context(), by, keys[0].ID, name)
		storetest.Refused(t, err, "invalid_fields")
	}
	for _, k := range []id.Passkey{h.passkeyOf(t, bob), "psk_none", ""} {
		_, err := h.RenamePasskey(t.Context(), by, k, "Mine")
		storetest.Refused(t, err, "passkey_not_found")
	}
}

// passkeyOf returns a person's oldest passkey.
func (h house) passkeyOf(t testing.TB, p person) (k id.Passkey) {
	t.Helper()
	storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ListPasskeys(ctx, h.w, p.user)
		if err == nil {
			k = all[0].ID
		}
		return err
	})
	return k
}

func TestDeletePasskey(t *testing.T) {
	h := newHouse(t, false)
	ada, bob := h.person(t, "ada"), h.person(t, "bob")
	first := h.enter(t, ada)
	storetest.Refused(t, h.DeletePasskey(t.Context(), first.Caller, h.passkeyOf(t, ada)), "last_passkey")
	mine := newDevice()
	k := h.register(t, first.Caller, mine)
	second := h.enter(t, person{ada.user, mine})
	app := h.enterApp(t, "ada@example.org")
	// Who has only the mailbox takes nothing from an administrator.
	storetest.Refused(t, h.DeletePasskey(t.Context(), app, k.ID), "panel_only")
	if line := h.last(t, "passkey.delete"); line.Outcome != activity.Refused || line.Reason != "panel_only" {
		t.Errorf("the line is %+v, want the refusal", line)
	}
	for _, other := range []id.Passkey{h.passkeyOf(t, bob), "psk_none"} {
		storetest.Refused(t, h.DeletePasskey(t.Context(), first.Caller, other), "passkey_not_found")
	}
	if err := h.DeletePasskey(t.Context(), first.Caller, k.ID); err != nil {
		t.Fatal(err)
	}
	_, err := h.VerifySession(t.Context(), h.by, second.Token)
	refused(t, "a session that the removed passkey opened", err)
	if _, err := h.VerifySession(t.Context(), h.by, first.Token); err != nil {
		t.Errorf("VerifySession() = %v for the other passkey's session, want nil", err)
	}
	c := h.begin(t)
	_, err = h.FinishSignIn(t.Context(), h.by, c.Ceremony, mine.answer(t, c))
	storetest.Refused(t, err, "passkey_rejected")
	// One that waits is no second one: it opens nothing.
	h.clock.Advance(time.Second)
	waiting := h.register(t, app, newDevice())
	storetest.Refused(t, h.DeletePasskey(t.Context(), first.Caller, h.passkeyOf(t, ada)), "last_passkey")
	if err := h.DeletePasskey(t.Context(), app, waiting.ID); err != nil {
		t.Errorf("DeletePasskey() = %v in the app, of one that was registered there, want nil", err)
	}
	h.clock.Advance(auth.StepUpAge)
	storetest.Refused(t, h.DeletePasskey(t.Context(), first.Caller, h.passkeyOf(t, ada)), "step_up_required")
}

// Somebody who is no administrator has only the app, and their passkeys there.
func TestDeletePasskey_ofAUser(t *testing.T) {
	h := newHouse(t, false)
	storetest.User(t, h.Store, h.w, "eve")
	by := h.enterApp(t, "eve@example.org")
	mine := newDevice()
	k := h.register(t, by, mine)
	if got := h.mails(t); !slices.Contains(got, "mail.passkey_registered eve@example.org") || len(got) != 2 {
		t.Errorf("mails %v, want the code and the passkey's", got)
	}
	opened := h.enter(t, person{by.User, mine})
	if opened.Caller.Kind != auth.User {
		t.Errorf("a session of kind %s, want the app's", opened.Caller.Kind)
	}
	// Who has only the mailbox takes nothing away that proves more.
	storetest.Refused(t, h.DeletePasskey(t.Context(), by, k.ID), "stronger_proof")
	if line := h.last(t, "passkey.delete"); line.Outcome != activity.Refused || line.Reason != "stronger_proof" {
		t.Errorf("the line is %+v, want the refusal", line)
	}
	if err := h.DeletePasskey(t.Context(), opened.Caller, k.ID); err != nil {
		t.Fatal(err)
	}
	_, err := h.VerifySession(t.Context(), h.by, opened.Token)
	refused(t, "a session of the removed passkey", err)
}

func TestOwnSessions(t *testing.T) {
	h := newHouse(t, false)
	ada, bob := h.person(t, "ada"), h.person(t, "bob")
	h.clock.Advance(12 * time.Hour) // the setup links' sessions are over
	first := h.enter(t, ada)
	h.clock.Advance(time.Minute)
	second, others := h.enter(t, ada), h.enter(t, bob)
	h.clock.Advance(time.Minute)
	app := h.enterApp(t, "ada@example.org")
	all, err := h.OwnSessions(t.Context(), second.Caller)
	var ids []id.Session
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	if err != nil || !slices.Equal(ids, []id.Session{app.Session, second.Caller.Session, first.Caller.Session}) {
		t.Fatalf("OwnSessions() = %v (%v), want Ada's three, the latest first", ids, err)
	}
	storetest.Refused(t, h.EndOwnSession(t.Context(), second.Caller, others.Caller.Session), "session_not_found")
	storetest.Refused(t, h.EndOwnSession(t.Context(), second.Caller, "ses_none"), "session_not_found")
	if err := h.EndOwnSession(t.Context(), second.Caller, first.Caller.Session); err != nil {
		t.Fatal(err)
	}
	_, err = h.VerifySession(t.Context(), h.by, first.Token)
	refused(t, "a session that was ended", err)
	storetest.Refused(t, h.EndOwnSession(t.Context(), second.Caller, first.Caller.Session), "session_not_found")
	h.clock.Advance(time.Second)
	if n, err := h.EndOwnSessions(t.Context(), second.Caller); n != 1 || err != nil {
		t.Errorf("EndOwnSessions() = %d (%v), want the app's", n, err)
	}
	if line := h.last(t, "session.end"); line.Detail != "all" || line.User != ada.user {
		t.Errorf("the line is %+v, want one about all", line)
	}
	if n, err := h.EndOwnSessions(t.Context(), second.Caller); n != 0 || err != nil {
		t.Errorf("EndOwnSessions() = %d (%v) again, want none", n, err)
	}
	if _, err := h.VerifySession(t.Context(), h.by, others.Token); err != nil {
		t.Errorf("VerifySession() = %v for Bob, want nil", err)
	}
	if err := h.EndOwnSession(t.Context(), second.Caller, second.Caller.Session); err != nil {
		t.Errorf("EndOwnSession() = %v for the one called by, want nil", err)
	}
	refused(t, "a caller whose session ended", h.EndOwnSession(t.Context(), second.Caller, second.Caller.Session))
}

func TestOwn_strangers(t *testing.T) {
	h := newHouse(t, false)
	for action, calls := range map[string][]func(by auth.Caller) error{
		"passkey.register": {func(by auth.Caller) error { _, err := h.BeginPasskey(t.Context(), by); return err }},
		"passkey.list":     {func(by auth.Caller) error { _, err := h.OwnPasskeys(t.Context(), by); return err }},
		"passkey.rename":   {func(by auth.Caller) error { _, err := h.RenamePasskey(t.Context(), by, "psk_1", "x"); return err }},
		"passkey.delete":   {func(by auth.Caller) error { return h.DeletePasskey(t.Context(), by, "psk_1") }},
		"session.list":     {func(by auth.Caller) error { _, err := h.OwnSessions(t.Context(), by); return err }},
		"session.end":      {func(by auth.Caller) error { return h.EndOwnSession(t.Context(), by, "ses_1") }, func(by auth.Caller) error { _, err := h.EndOwnSessions(t.Context(), by); return err }},
	} {
		for i, call := range calls {
			fresh := newHouse(t, false)
			h.Database, h.Service, h.w, h.clock = fresh.Database, fresh.Service, fresh.w, fresh.clock
			t.Run(fmt.Sprint(action, i), func(t *testing.T) {
				storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: action, Call: call})
			})
			for _, by := range []auth.Caller{storetest.APIKey(t, h.Store, h.w, auth.All()...), auth.Job(h.w, "test")} {
				storetest.Refused(t, call(by), "person_only")
			}
		}
	}
	_, err := h.FinishPasskey(t.Context(), h.by, "cer_1", nil)
	refused(t, "nobody", err)
}

func TestAsk(t *testing.T) {
	h := newHouse(t, false)
	by := storetest.Administrator(t, h.Store, h.w, "reader", auth.UsersRead)
	if err := h.Ask(t.Context(), by, auth.UsersRead); err != nil {
		t.Errorf("Ask() = %v for a permission that is held, want nil", err)
	}
	storetest.Strangers(t, h.Database, h.w, storetest.Stranger{
		Action: "form.open", Need: auth.UsersWrite, Call: func(by auth.Caller) error { return h.Ask(t.Context(), by, auth.UsersWrite) },
	})
}
