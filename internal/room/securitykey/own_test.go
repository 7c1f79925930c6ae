package securitykey_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestChangePIN(t *testing.T) {
	h := newHouse(t)
	n := now(number)
	n.MustChange = true
	issued := h.create(t, n)
	k, old, by := issued.Key, issued.PIN, h.session(t)
	change := func(old secret.Bytes, next string) error {
		return h.ChangePIN(t.Context(), by, k.ID, old, secret.FromString(next))
	}
	fieldsAt(t, change(old, "1234567"), "pin")
	fieldsAt(t, change(old, ""), "pin")
	fieldsAt(t, change(old, old.ExposeString()), "pin")
	refused(t, change(secret.FromString("wrong 1"), "harbour7"), "pin_invalid")
	h.refusedLine(t, "security_key.pin_try", "pin_invalid", k.ID)
	if got := h.find(t, k.ID).PIN.Wrong; got != 1 {
		t.Errorf("%d wrong tries, want 1: what was refused before costs none", got)
	}
	h.clock.Advance(time.Minute)
	if err := change(old, "harbour7"); err != nil {
		t.Fatal(err)
	}
	h.line(t, "security_key.pin_change", "", by, k)
	h.told(t, "pin_change ada@example.org")
	got := h.find(t, k.ID)
	if got.PIN.MustChange || got.PIN.Wrong != 0 || got.Total != 1 || !got.LastActivityAt.Equal(h.clock.Now()) {
		t.Errorf("the card is %+v, want another PIN and one use", got)
	}
	h.tried(t, k.ID, "harbour7", "")
	h.tried(t, k.ID, old.ExposeString(), "pin_invalid")
}

func TestChangePIN_isTheHoldersOnly(t *testing.T) {
	h := newHouse(t)
	issued := h.create(t, now(number))
	bob := storetest.User(t, h.Store, h.w, "bob")
	for _, by := range []auth.Caller{
		storetest.AppSession(t, h.Store, bob, signin.OpenedByPasskey, h.clock.Now()), h.by, storetest.APIKey(t, h.Store, h.w, auth.All()...), auth.Job(h.w, "test"),
	} {
		refused(t, h.ChangePIN(t.Context(), by, issued.Key.ID, issued.PIN, secret.FromString("harbour7")), "security_key_not_found")
		_, err := h.ReportLost(t.Context(), by, issued.Key.ID)
		refused(t, err, "security_key_not_found")
	}
	by := h.session(t)
	phone := h.create(t, byEmail(securitykey.Smartphone)).Key
	refused(t, h.ChangePIN(t.Context(), by, phone.ID, issued.PIN, secret.FromString("harbour7")), "not_a_card")
	if _, err := h.Suspend(t.Context(), h.by, issued.Key.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, h.ChangePIN(t.Context(), by, issued.Key.ID, issued.PIN, secret.FromString("harbour7")), "key_not_active")
	if got := h.find(t, issued.Key.ID).PIN.Wrong; got != 0 {
		t.Errorf("%d wrong tries, want none", got)
	}
}

// An e-mail code is no more than a mailbox, and the card is an active key.
func TestChangePIN_takesMoreThanAMailbox(t *testing.T) {
	h := newHouse(t)
	issued := h.create(t, now(number))
	by := storetest.AppSession(t, h.Store, h.ada, signin.OpenedByCode, h.clock.Now())
	refused(t, h.ChangePIN(t.Context(), by, issued.Key.ID, issued.PIN, secret.FromString("harbour7")), "mailbox_only")
	h.refusedLine(t, "security_key.pin_change", "mailbox_only", issued.Key.ID)
	if got := h.find(t, issued.Key.ID).PIN.Wrong; got != 0 {
		t.Errorf("%d wrong tries, want none", got)
	}
	if _, err := h.ReportLost(t.Context(), by, issued.Key.ID); err != nil {
		t.Errorf("ReportLost() = %v, want that a mailbox is enough", err)
	}
}

func TestOwnLink(t *testing.T) {
	h := newHouse(t)
	k, by := h.create(t, byEmail(securitykey.FIDO2)).Key, h.session(t)
	link, err := h.OwnLink(t.Context(), by, k.ID)
	if err != nil || !link.Equal(h.link(t, k.ID)) {
		t.Errorf("OwnLink() = (%v), want what stands in the mail", err)
	}
	bob := storetest.User(t, h.Store, h.w, "bob")
	for _, other := range []auth.Caller{storetest.AppSession(t, h.Store, bob, signin.OpenedByPasskey, h.clock.Now()), h.by, storetest.APIKey(t, h.Store, h.w, auth.All()...)} {
		_, err := h.OwnLink(t.Context(), other, k.ID)
		refused(t, err, "security_key_not_found")
	}
	_, err = h.OwnLink(t.Context(), nobody(), k.ID)
	refused(t, err, "unauthenticated")
	_, err = h.OwnLink(t.Context(), by, h.create(t, securitykey.NewKey{Kind: securitykey.FIDO2}).Key.ID)
	refused(t, err, "nothing_to_activate")
	if _, err := h.Suspend(t.Context(), h.by, k.ID); err != nil {
		t.Fatal(err)
	}
	_, err = h.OwnLink(t.Context(), by, k.ID)
	refused(t, err, "nothing_to_activate")
}

// A PIN is compared in one form, however it was typed.
func TestPIN_isComposed(t *testing.T) {
	h := newHouse(t)
	n := now(number)
	n.PIN = secret.FromString("caf\u00e9-42") // one code point
	k := h.create(t, n).Key
	h.tried(t, k.ID, "cafe\u0301-42", "") // two
}

func TestReportLost(t *testing.T) {
	h := newHouse(t)
	storetest.Administrator(t, h.Store, h.w, "keys", auth.SecurityKeysWrite)
	storetest.Administrator(t, h.Store, h.w, "reader", auth.SecurityKeysRead, auth.UsersWrite)
	k, by := h.create(t, byEmail(securitykey.FIDO2)).Key, h.session(t)
	opened := h.passkeyOf(t, k)
	got, err := h.ReportLost(t.Context(), by, k.ID)
	if err != nil || got.Shown() != securitykey.Suspended {
		t.Fatalf("ReportLost() = %s (%v), want suspended", got.Shown(), err)
	}
	h.line(t, "security_key.report_lost", "", by, k)
	h.told(t, "suspended ada@example.org", "lost owner@example.org", "lost keys@example.org")
	_, err = h.OwnKeys(t.Context(), opened)
	refused(t, err, "unauthenticated")
	lines, told := h.lines(t), len(h.notices(t))
	if _, err := h.ReportLost(t.Context(), by, k.ID); err != nil || h.lines(t) != lines || len(h.notices(t)) != told {
		t.Errorf("ReportLost() again = %v, %d lines, %d mails more, want none", err, h.lines(t)-lines, len(h.notices(t))-told)
	}
	if _, err := h.Activate(t.Context(), h.by, k.ID); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(time.Second)
	if _, err := h.ReportLost(t.Context(), by, k.ID); err != nil {
		t.Fatal(err)
	}
	h.told(t, "suspended ada@example.org", "lost owner@example.org", "lost keys@example.org") // once more
}

func TestReportLost_ofASuspendedKeyIsTold(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, now(number)).Key
	if _, err := h.Suspend(t.Context(), h.by, k.ID); err != nil {
		t.Fatal(err)
	}
	by := h.session(t)
	if _, err := h.ReportLost(t.Context(), by, k.ID); err != nil {
		t.Fatal(err)
	}
	h.line(t, "security_key.report_lost", "suspended before", by, k)
	h.told(t, "lost owner@example.org")
}

func TestOwnKeys(t *testing.T) {
	h := newHouse(t)
	bob := storetest.User(t, h.Store, h.w, "bob")
	first := h.create(t, now(number)).Key
	h.clock.Advance(time.Second)
	second := h.create(t, byEmail(securitykey.FIDO2)).Key
	h.createFor(t, bob, byEmail(securitykey.FIDO2))
	got, err := h.OwnKeys(t.Context(), h.session(t))
	if err != nil || len(got) != 2 || got[0].ID != first.ID || got[1].ID != second.ID {
		t.Errorf("OwnKeys() = %+v (%v), want the two of Ada's, oldest first", got, err)
	}
	_, err = h.OwnKeys(t.Context(), storetest.APIKey(t, h.Store, h.w, auth.All()...))
	refused(t, err, "person_only")
}

func TestSettings(t *testing.T) {
	h := newHouse(t)
	got, err := h.Settings(t.Context(), h.by)
	if diff := cmp.Diff(securitykey.DefaultSettings(), got); diff != "" || err != nil {
		t.Errorf("Settings() (%v) (-want +got):\n%s", err, diff)
	}
	eight, ten, yes, models, days := 8, 10, true, []string{strings.ToUpper(yubikey), yubikey}, 90
	want := securitykey.Settings{
		PIN: securitykey.PINRules{Min: 8, Max: 10, Digit: true, Lower: true, Upper: true, Special: true}, Pinless: true, ModelsAllowed: []string{yubikey},
		ModelsBlocked: []string{yubikey}, UnusedDays: 90, GraceDays: 10, Revision: 2,
	}
	got, err = h.UpdateSettings(t.Context(), h.by, securitykey.SettingsChange{
		PINMin: &eight, PINMax: &ten, PINLower: &yes, PINUpper: &yes, PINSpecial: &yes, Pinless: &yes, ModelsAllowed: &models, ModelsBlocked: &models, UnusedDays: &days, GraceDays: &ten,
	}, 0)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("UpdateSettings() (%v) (-want +got):\n%s", err, diff)
	}
	line := storetest.Activity(t, h.Store, h.w, "workspace.security_keys")
	if line.Outcome != activity.Success || line.Detail != "pin_min, pin_max, pin_lower, pin_upper, pin_special, pinless, models_allowed, models_blocked, unused_days, grace_days" || line.Target.ID != string(h.w) {
		t.Errorf("the line is %+v", line)
	}
	if got, err = h.Settings(t.Context(), h.by); cmp.Diff(want, got) != "" || err != nil {
		t.Errorf("Settings() (%v) (-want +got):\n%s", err, cmp.Diff(want, got))
	}
	if again, err := h.UpdateSettings(t.Context(), h.by, securitykey.SettingsChange{PINMin: &eight}, 2); err != nil || again.Revision != 2 {
		t.Errorf("UpdateSettings() to what they are = revision %d (%v), want 2", again.Revision, err)
	}
	_, err = h.UpdateSettings(t.Context(), h.by, securitykey.SettingsChange{PINMin: &ten}, 7)
	refused(t, err, "revision_changed")
	if rules, err := h.Rules(t.Context(), h.session(t)); err != nil || rules != want.PIN {
		t.Errorf("Rules() = %+v (%v), want %+v", rules, err, want.PIN)
	}
}

func TestUpdateSettings_checksFields(t *testing.T) {
	h := newHouse(t)
	n, list := func(n int) *int { return &n }, func(s ...string) *[]string { return &s }
	for name, c := range map[string]struct {
		c    securitykey.SettingsChange
		want []string
	}{
		"too short":          {securitykey.SettingsChange{PINMin: n(3)}, []string{"pin_min"}},
		"too long":           {securitykey.SettingsChange{PINMax: n(64)}, []string{"pin_max"}},
		"crossed":            {securitykey.SettingsChange{PINMin: n(12), PINMax: n(8)}, []string{"pin_max"}},
		"no days":            {securitykey.SettingsChange{UnusedDays: n(-1)}, []string{"unused_days"}},
		"too many days":      {securitykey.SettingsChange{UnusedDays: n(3651)}, []string{"unused_days"}},
		"no grace":           {securitykey.SettingsChange{GraceDays: n(0)}, []string{"grace_days"}},
		"too much grace":     {securitykey.SettingsChange{GraceDays: n(366)}, []string{"grace_days"}},
		"no model":           {securitykey.SettingsChange{ModelsAllowed: list("yubikey")}, []string{"models_allowed"}},
		"the model of none":  {securitykey.SettingsChange{ModelsBlocked: list("00000000-0000-0000-0000-000000000000")}, []string{"models_blocked"}},
		"too many models":    {securitykey.SettingsChange{ModelsBlocked: list(make([]string, 201)...)}, []string{"models_blocked"}},
		"a model that would": {securitykey.SettingsChange{ModelsBlocked: list(yubikey + " " + yubikey)}, []string{"models_blocked"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.UpdateSettings(t.Context(), h.by, c.c, 0)
			fieldsAt(t, err, c.want...)
		})
	}
}

// unusedMails are the notices that keys are unused, with their Until.
func (h house) unusedMails(t testing.TB) (out []outbox.SecurityKeyNotice) {
	t.Helper()
	for _, m := range storetest.Messages(t, h.Store) {
		var p outbox.SecurityKeyNotice
		if m.Kind == p.MessageKind() {
			if err := json.Unmarshal(m.Payload, &p); err != nil {
				t.Fatal(err)
			}
			if p.Did == outbox.KeyUnused {
				out = append(out, p)
			}
		}
	}
	return out
}

func (h house) look(t testing.TB, want int) {
	t.Helper()
	if n, err := h.LookAfterUnused(t.Context(), auth.Job("", "server")); err != nil || n != want {
		t.Errorf("LookAfterUnused() = %d (%v), want %d", n, err, want)
	}
}

func (h house) touch(t testing.TB, k id.SecurityKey) {
	t.Helper()
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error { return tx.TouchSecurityKey(ctx, h.w, k, h.clock.Now()) })
}

const day = 24 * time.Hour

func TestUnused(t *testing.T) {
	h := newHouse(t)
	dead, used, asleep := h.create(t, now("AABBCC01")).Key, h.create(t, now("AABBCC02")).Key, h.create(t, now("AABBCC03")).Key
	h.create(t, byEmail(securitykey.FIDO2)) // never activated: not this job's
	if _, err := h.Suspend(t.Context(), h.by, asleep.ID); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(30*day - time.Millisecond)
	h.look(t, 0) // off by default
	thirty, seven := 30, 7
	job := auth.Job(h.w, "test")
	if _, err := h.UpdateSettings(t.Context(), job, securitykey.SettingsChange{UnusedDays: &thirty, GraceDays: &seven}, 0); err != nil {
		t.Fatal(err)
	}
	h.look(t, 0)
	h.touch(t, used.ID)
	h.clock.Advance(time.Millisecond)
	dry, err := h.Unused(t.Context(), job, 30, 7)
	if err != nil || dry.ToTellCount != 1 || dry.ToSuspendCount != 0 || len(dry.ToTell) != 1 || dry.ToTell[0].ID != dead.ID {
		t.Errorf("Unused() = %+v (%v), want the dead one to be told of", dry, err)
	}
	h.look(t, 1)
	h.line(t, "security_key.notice", "unused", auth.Job(h.w, "server"), dead)
	if mails := h.unusedMails(t); len(mails) != 1 || mails[0].KeyID != string(dead.ID) || mails[0].Until != h.clock.Now().Add(7*day).UnixMilli() || mails[0].By != "" {
		t.Errorf("the mails are %+v, want one with its end", mails)
	}
	h.look(t, 0) // once
	h.clock.Advance(7*day - time.Millisecond)
	h.look(t, 0)
	h.clock.Advance(time.Millisecond)
	if dry, err = h.Unused(t.Context(), job, 30, 7); err != nil || dry.ToTellCount != 0 || dry.ToSuspendCount != 1 || dry.ToSuspend[0].ID != dead.ID {
		t.Errorf("Unused() = %+v (%v), want the dead one to be suspended", dry, err)
	}
	if other, err := h.Unused(t.Context(), job, 20, 7); err != nil || other.ToTellCount != 1 || other.ToSuspendCount != 0 {
		t.Errorf("Unused() with other days = %+v (%v), want the dead one told anew and none suspended", other, err)
	}
	h.look(t, 1)
	h.line(t, "security_key.suspend", "unused", auth.Job(h.w, "server"), dead)
	h.told(t, "suspended ada@example.org")
	if h.find(t, dead.ID).Shown() != securitykey.Suspended || h.find(t, used.ID).Shown() != securitykey.Active {
		t.Error("the dead one is not suspended, or the used one is")
	}
	// Who resumes it gives it all the days anew.
	if _, err := h.Activate(t.Context(), job, dead.ID); err != nil {
		t.Fatal(err)
	}
	h.look(t, 0)
	_, err = h.Unused(t.Context(), job, 0, 0)
	fieldsAt(t, err, "unused_days", "grace_days")
}

func TestUnused_aUseInTime(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, now(number)).Key
	thirty, job := 30, auth.Job(h.w, "test")
	if _, err := h.UpdateSettings(t.Context(), job, securitykey.SettingsChange{UnusedDays: &thirty}, 0); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(30 * day)
	h.look(t, 1)
	h.touch(t, k.ID)
	h.clock.Advance(14 * day)
	h.look(t, 0)
	h.clock.Advance(16 * day)
	h.look(t, 1) // told again, not suspended
	if h.find(t, k.ID).Shown() != securitykey.Active {
		t.Error("the key is suspended, want that its holder is told anew")
	}
	twenty := 20
	if _, err := h.UpdateSettings(t.Context(), job, securitykey.SettingsChange{GraceDays: &twenty}, 0); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(20 * day)
	h.look(t, 1) // other days: told anew
	if h.find(t, k.ID).Shown() != securitykey.Active {
		t.Error("the key is suspended by a notice that named another day")
	}
}

// No PIN and no card's number stands anywhere in the database, nor in an error.
func TestCanaries(t *testing.T) {
	h := newHouse(t)
	n := now("DEADBEEFCAFE42")
	n.PIN = secret.FromString("canary-7-one")
	k, by := h.create(t, n).Key, h.session(t)
	change := func(old, next string) error {
		return h.ChangePIN(t.Context(), by, k.ID, secret.FromString(old), secret.FromString(next))
	}
	var errs []string
	note := func(err error) {
		if err != nil {
			errs = append(errs, err.Error())
		}
	}
	note(change("canary-7-wrong", "canary-7-two"))
	note(change("canary-7-one", "canary-7-one"))
	note(change("canary-7-one", "canary"))
	note(change("canary-7-one", "canary-7-two"))
	_, err := h.ResetPIN(t.Context(), h.by, k.ID, securitykey.Reset{PIN: secret.FromString("canary-7-three")})
	note(err)
	_, err = h.Create(t.Context(), h.by, h.ada.ID, n)
	note(err)
	bob := storetest.User(t, h.Store, h.w, "bob")
	card := byEmail(securitykey.ContactlessCard)
	card.CardNumber = "FEEDFACECAFE42"
	link := h.link(t, h.createFor(t, bob, card).Key.ID)
	_, err = h.ActivateCard(t.Context(), nobody(), link, securitykey.CardActivation{Number: "DEADBEEFCAFE42"})
	note(err)
	_, err = h.ActivateCard(t.Context(), nobody(), link, securitykey.CardActivation{Number: "FEEDFACECAFE42", PIN: secret.FromString("canary-7-four")})
	note(err)
	if len(errs) < 4 {
		t.Errorf("%d errors to look at, want some: %v", len(errs), errs)
	}
	all := strings.ToLower(storetest.Dump(t, h.Database) + strings.Join(errs, "\n"))
	for _, canary := range []string{"canary-7", "deadbeefcafe42", "feedfacecafe42", link.ExposeString()} {
		if strings.Contains(all, strings.ToLower(canary)) {
			t.Errorf("%q stands in the database or in an error", canary)
		}
	}
}
