package apikey_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// reset resets a key and fails the test if that is refused.
func (h house) reset(t testing.TB, k apikey.Key, r apikey.Renewal) (apikey.Key, string) {
	t.Helper()
	out, secret, err := h.Reset(t.Context(), h.fresh(t), k.ID, r)
	if err != nil {
		t.Fatal(err)
	}
	return out, secret.Secret().ExposeString()
}

func TestReset(t *testing.T) {
	h := newHouse(t)
	k, old := h.issue(t, apikey.NewKey{Name: "Robot", Type: apikey.Admin, Permissions: []string{"users.read"}, AllowedIPs: []string{"192.0.2.4"}, ExpiresAt: storetest.Start().Add(50 * day)})
	h.clock.Advance(time.Minute)
	got, secret, err := h.Reset(t.Context(), h.by, k.ID, apikey.Renewal{})
	want := k
	want.TokenID, want.TokenHash, want.IssuedAt, want.Revision = secret.ID, got.TokenHash, h.clock.Now(), 2
	if diff := cmp.Diff(want, got, cmp.Comparer(sameList)); err != nil || diff != "" || got.TokenID == k.TokenID || string(got.TokenHash) == string(k.TokenHash) {
		t.Errorf("Reset() error %v (-want +got):\n%s", err, diff)
	}
	if h.works(t, old, apikey.Admin) || !h.works(t, secret.Secret().ExposeString(), apikey.Admin) {
		t.Error("after Reset() the old token works, or the new one does not")
	}
	h.line(t, "api_key.reset", "", h.by, k)
	if dump := storetest.Dump(t, h.Database); strings.Contains(dump, secret.Secret().ExposeString()[len("kh_admin_")+13:]) {
		t.Error("the new token stands in the database")
	}
}

func TestReset_adminOnly(t *testing.T) {
	h := newHouse(t)
	for _, kind := range []apikey.Type{apikey.Clients, apikey.SharedMobile} {
		k, text := h.issue(t, apikey.NewKey{Name: string(kind), Type: kind})
		h.clock.Advance(time.Minute + time.Second) // like refusals of one minute are one line
		got, secret, err := h.Reset(t.Context(), h.by, k.ID, apikey.Renewal{Overlap: time.Hour})
		f := storetest.Fault(t, err, "reset_admin_only")
		if f.Kind != fault.KindConflict || !strings.Contains(f.Public, kind.Title()) || got.ID != "" || !secret.Secret().IsEmpty() {
			t.Errorf("Reset() of a %s key: kind %d, %q, key %q; want a conflict that names the type, and nothing", kind, f.Kind, f.Public, got.ID)
		}
		h.refusedLine(t, "api_key.reset", "reset_admin_only")
		if !h.works(t, text, kind) {
			t.Errorf("the %s token is refused after a refused reset", kind)
		}
	}
}

func TestReset_whoMay(t *testing.T) {
	tryAll := func(who, code string, by func(h house) auth.Caller) {
		h := newHouse(t)
		k, old := h.issue(t, admin("users.read"))
		h.clock.Advance(time.Second)
		c := by(h)
		_, secret, err := h.Reset(t.Context(), c, k.ID, apikey.Renewal{})
		if code == "" {
			if err != nil {
				t.Errorf("as %s: %v, want nil", who, err)
			}
			return
		}
		if f, ok := fault.As(err); !ok || f.Code != code || f.Kind != fault.KindForbidden || !secret.Secret().IsEmpty() || !h.works(t, old, apikey.Admin) {
			t.Errorf("as %s: %v, want %s and no token", who, err, code)
			return
		}
		h.refusedLine(t, "api_key.reset", code)
	}
	tryAll("an owner", "", func(h house) auth.Caller { return h.by })
	tryAll("a key with all", "", func(h house) auth.Caller { return storetest.APIKey(t, h.Store, h.w, auth.All()...) })
	tryAll("an owner without a fresh passkey", "step_up_required", func(h house) auth.Caller { return h.tired() })
	tryAll("who has what the key has, and not all", "beyond_your_permissions", func(h house) auth.Caller {
		return storetest.Administrator(t, h.Store, h.w, "helper", auth.APIKeysWrite, auth.UsersRead)
	})
	tryAll("a lesser key", "beyond_your_permissions", func(h house) auth.Caller {
		return storetest.APIKey(t, h.Store, h.w, auth.APIKeysWrite, auth.UsersRead)
	})
}

func TestReset_overlap(t *testing.T) {
	h := newHouse(t)
	k, old := h.issue(t, admin())
	r, text := h.reset(t, k, apikey.Renewal{Overlap: apikey.MaxOverlap})
	want := apikey.Retiring{TokenID: k.TokenID, TokenHash: k.TokenHash, Pepper: 1, EndsAt: storetest.Start().Add(24 * time.Hour)}
	if diff := cmp.Diff(want, r.Retiring); diff != "" {
		t.Errorf("the retiring token (-want +got):\n%s", diff)
	}
	h.line(t, "api_key.reset", "overlap 24h0m0s", h.by, k)
	retiring, current := h.caller(t, old), h.caller(t, text)
	if retiring.APIKey != k.ID || retiring.Token != k.TokenID || current.Token != r.TokenID {
		t.Errorf("the retiring token's caller is %+v, the new one's %+v", retiring, current)
	}
	h.clock.Advance(24*time.Hour - time.Millisecond)
	if !h.works(t, old, apikey.Admin) || !h.works(t, text, apikey.Admin) {
		t.Error("just before the overlap's end one of the tokens is refused")
	}
	h.clock.Advance(time.Millisecond)
	if h.works(t, old, apikey.Admin) || !h.works(t, text, apikey.Admin) {
		t.Error("at the overlap's end the old token works, or the new one does not")
	}
	_, err := h.Own(t.Context(), retiring) // who was let in before
	storetest.Refused(t, err, "unauthenticated")
	if _, err := h.Own(t.Context(), current); err != nil {
		t.Errorf("Own() = %v for the new token, want nil", err)
	}
}

// The retiring token may do all but manage API keys.
func TestReset_retiringTokenManagesNoKeys(t *testing.T) {
	h := newHouse(t)
	k, old := h.issue(t, admin())
	_, text := h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	by := h.caller(t, old)
	i, err := h.Identify(t.Context(), nobody(), old, apikey.Admin)
	if err != nil || i.Standing.Permissions.Has(auth.APIKeysWrite) || !i.Standing.Permissions.Has(auth.APIKeysRead) || !i.Standing.Permissions.Has(auth.UsersWrite) {
		t.Errorf("the retiring token may %v (%v), want all but api_keys.write", i.Standing.Permissions, err)
	}
	if _, err := h.List(t.Context(), by, apikey.Query{}); err != nil {
		t.Errorf("List() = %v with the retiring token, want nil", err)
	}
	name := "Mine"
	for what, call := range map[string]func(by auth.Caller) error{
		"Create": func(by auth.Caller) error { _, _, err := h.Create(t.Context(), by, admin()); return err },
		"Reset":  func(by auth.Caller) error { _, _, err := h.Reset(t.Context(), by, k.ID, apikey.Renewal{}); return err },
		"Update": func(by auth.Caller) error {
			_, err := h.Update(t.Context(), by, k.ID, apikey.Change{Name: &name}, 0)
			return err
		},
		"EndOverlap": func(by auth.Caller) error { _, err := h.EndOverlap(t.Context(), by, k.ID); return err },
		"Disable":    func(by auth.Caller) error { _, _, err := h.Disable(t.Context(), by, k.ID, true); return err },
		"Enable":     func(by auth.Caller) error { _, err := h.Enable(t.Context(), by, k.ID); return err },
		"Delete":     func(by auth.Caller) error { _, err := h.Delete(t.Context(), by, k.ID, true, 0); return err },
	} {
		if f, ok := fault.As(call(by)); !ok || f.Code != "missing_permission" {
			t.Errorf("%s() with the retiring token: %v, want missing_permission", what, f)
		}
	}
	if _, _, err := h.Create(t.Context(), h.caller(t, text), admin()); err != nil {
		t.Errorf("Create() = %v with the new token, want nil", err)
	}
}

// The retiring token ends at the earliest of the overlap's end and its own expiry.
func TestReset_overlapEndsWithTheOldKey(t *testing.T) {
	h := newHouse(t)
	k, old := h.issue(t, apikey.NewKey{Name: "R", Type: apikey.Admin, ExpiresAt: storetest.Start().Add(time.Hour)})
	later := storetest.Start().Add(30 * day)
	r, text := h.reset(t, k, apikey.Renewal{Overlap: 20 * time.Hour, ExpiresAt: &later})
	if want := storetest.Start().Add(time.Hour); r.Retiring.EndsAt != want || r.EndsAt != later {
		t.Errorf("the retiring token ends at %v and the key at %v, want %v and %v", r.Retiring.EndsAt, r.EndsAt, want, later)
	}
	h.clock.Advance(time.Hour)
	if h.works(t, old, apikey.Admin) || !h.works(t, text, apikey.Admin) {
		t.Error("the old token outlives its own expiry, or the new one does not work")
	}

	k, old = h.issue2(t, later)
	sooner := h.clock.Now().Add(time.Minute)
	r, _ = h.reset(t, k, apikey.Renewal{Overlap: 20 * time.Hour, ExpiresAt: &sooner})
	if r.Retiring.EndsAt.After(sooner) {
		t.Errorf("the retiring token ends at %v, after the key: %v", r.Retiring.EndsAt, sooner)
	}
	h.clock.Advance(time.Minute)
	if h.works(t, old, apikey.Admin) {
		t.Error("the retiring token outlives the key")
	}
}

// issue2 makes one more Admin key, with a fresh passkey.
func (h house) issue2(t testing.TB, ends time.Time) (apikey.Key, string) {
	t.Helper()
	k, secret, err := h.Create(t.Context(), h.fresh(t), apikey.NewKey{Name: "Another", Type: apikey.Admin, ExpiresAt: ends})
	if err != nil {
		t.Fatal(err)
	}
	return k, secret.Secret().ExposeString()
}

func TestReset_overlapBounds(t *testing.T) {
	h := newHouse(t)
	k, old := h.issue(t, admin())
	for _, overlap := range []time.Duration{-1, -time.Hour, apikey.MaxOverlap + 1, 1000 * time.Hour} {
		_, secret, err := h.Reset(t.Context(), h.by, k.ID, apikey.Renewal{Overlap: overlap})
		if got := storetest.FieldNames(storetest.Fault(t, err, "invalid_fields")); strings.Join(got, " ") != "overlap_minutes" || !secret.Secret().IsEmpty() {
			t.Errorf("Reset() with an overlap of %v: fields %v, want overlap_minutes", overlap, got)
		}
	}
	if !h.works(t, old, apikey.Admin) {
		t.Error("the token is refused after refused resets")
	}
}

func TestReset_secondEndsTheFirstOverlap(t *testing.T) {
	h := newHouse(t)
	k, first := h.issue(t, admin())
	_, second := h.reset(t, k, apikey.Renewal{Overlap: 10 * time.Hour})
	if !h.works(t, first, apikey.Admin) {
		t.Fatal("the first token is refused during its overlap")
	}
	_, third := h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	for text, want := range map[string]bool{first: false, second: true, third: true} {
		if got := h.works(t, text, apikey.Admin); got != want {
			t.Errorf("after two resets a token works = %v, want %v", got, want)
		}
	}
	_, fourth := h.reset(t, k, apikey.Renewal{})
	for text, want := range map[string]bool{first: false, second: false, third: false, fourth: true} {
		if got := h.works(t, text, apikey.Admin); got != want {
			t.Errorf("after three resets a token works = %v, want %v", got, want)
		}
	}
}

func TestEndOverlap(t *testing.T) {
	h := newHouse(t)
	k, old := h.issue(t, admin())
	if got, err := h.EndOverlap(t.Context(), h.by, k.ID); err != nil || got.Revision != 1 {
		t.Errorf("EndOverlap() = revision %d (%v) without one, want 1", got.Revision, err)
	}
	_, text := h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	by := storetest.Administrator(t, h.Store, h.w, "lesser", auth.APIKeysWrite)
	got, err := h.EndOverlap(t.Context(), by, k.ID)
	if err != nil || got.Retiring.TokenID != "" || got.Revision != 3 || h.works(t, old, apikey.Admin) || !h.works(t, text, apikey.Admin) {
		t.Errorf("EndOverlap() = %+v (%v), want the old token refused and the new one to work", got, err)
	}
	h.line(t, "api_key.end_overlap", "", by, k)
	if got, err := h.EndOverlap(t.Context(), by, k.ID); err != nil || got.Revision != 3 {
		t.Errorf("EndOverlap() = revision %d (%v) the second time, want 3", got.Revision, err)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "api_key.end_overlap")); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
}

func TestReset_expiry(t *testing.T) {
	at := func(d time.Duration) *time.Time { v := storetest.Start().Add(d); return &v }
	never := time.Time{}
	for what, c := range map[string]struct {
		expires *time.Time
		limit   int
		ends    time.Time // zero for a refusal
	}{
		"as before":                 {nil, 0, storetest.Start().Add(200 * day)},
		"as before, over the limit": {nil, 90, storetest.Start().Add(91 * day)}, // counted from the reset, a day later
		"as before, in the limit":   {nil, 300, storetest.Start().Add(200 * day)},
		"later":                     {at(400 * day), 0, storetest.Start().Add(400 * day)},
		"never":                     {&never, 0, apikey.Never()},
		"never, with a limit":       {&never, 90, storetest.Start().Add(91 * day)},
		"the limit":                 {at(91 * day), 90, storetest.Start().Add(91 * day)},
		"over the limit":            {at(91*day + time.Millisecond), 90, time.Time{}},
		"now":                       {at(day), 0, time.Time{}},
	} {
		h := newHouse(t)
		k, _ := h.issue(t, apikey.NewKey{Name: "R", Type: apikey.Admin, ExpiresAt: storetest.Start().Add(200 * day)})
		h.limit(t, c.limit)
		h.clock.Advance(day)
		got, _, err := h.Reset(t.Context(), h.fresh(t), k.ID, apikey.Renewal{ExpiresAt: c.expires})
		if c.ends.IsZero() {
			if f, ok := fault.As(err); !ok || strings.Join(storetest.FieldNames(f), " ") != "expires_at" {
				t.Errorf("%s: %v, want a fault of expires_at", what, err)
			}
			continue
		}
		if err != nil || !got.EndsAt.Equal(c.ends) || got.IssuedAt != h.clock.Now() {
			t.Errorf("%s: ends at %v (%v), want %v", what, got.EndsAt, err, c.ends)
		}
		if now := h.find(t, k.ID); !cmp.Equal(now, got, cmp.Comparer(sameList)) {
			t.Errorf("%s: the key is %+v, want %+v as Reset() said", what, now, got)
		}
	}
}

// A key that ended may be reset to a new life; the token that ended stays ended.
func TestReset_ofAnEndedKey(t *testing.T) {
	h := newHouse(t)
	k, old := h.issue(t, admin())
	h.limit(t, 10)
	h.clock.Advance(11 * day)
	r, text := h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	if r.Retiring.TokenID != "" || h.works(t, old, apikey.Admin) || !h.works(t, text, apikey.Admin) {
		t.Errorf("after the reset of an ended key its old token is good again: %+v", r.Retiring)
	}
	h.line(t, "api_key.reset", "", h.by, k) // there is no overlap to tell of
	gone := h.clock.Now().Add(-day)
	_, _, err := h.Reset(t.Context(), h.fresh(t), k.ID, apikey.Renewal{ExpiresAt: &gone})
	storetest.Refused(t, err, "invalid_fields")
}

func TestReset_ofADisabledKey(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, admin())
	if _, _, err := h.Disable(t.Context(), h.by, k.ID, false); err != nil {
		t.Fatal(err)
	}
	_, _, err := h.Reset(t.Context(), h.by, k.ID, apikey.Renewal{Overlap: time.Hour})
	storetest.Refused(t, err, "invalid_fields")
	if err := h.ReportLeaked(t.Context(), nobody(), text); err != nil {
		t.Fatal(err)
	}
	_, renewed := h.reset(t, k, apikey.Renewal{})
	if h.works(t, text, apikey.Admin) || h.works(t, renewed, apikey.Admin) {
		t.Error("a token of a disabled key works")
	}
	k, err = h.Enable(t.Context(), h.by, k.ID)
	if err != nil || h.works(t, text, apikey.Admin) || !h.works(t, renewed, apikey.Admin) || !k.LeakedAt.IsZero() || k.Retiring.TokenID != "" {
		t.Errorf("enabled after the reset (%v): want the new token alone to work, and nothing of a leak: %+v", err, k)
	}
}

func TestReset_mails(t *testing.T) {
	h := newHouse(t)
	storetest.Administrator(t, h.Store, h.w, "second")
	creator := storetest.Administrator(t, h.Store, h.w, "creator", auth.All()...)
	storetest.Administrator(t, h.Store, h.w, "helper", auth.APIKeysWrite)
	k, _, err := h.Create(t.Context(), creator, admin())
	if err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(time.Minute)
	r, _ := h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	to := func(m outbox.APIKeyReset) outbox.Recipient { return m.To }
	told := mails(t, h, to)
	if got := names(told); got != "creator@example.org owner@example.org second@example.org" {
		t.Errorf("told are %s, want the owners and the creator", got)
	}
	want := outbox.APIKeyReset{
		To: outbox.Recipient{Email: "creator@example.org", Name: creator.Name}, Workspace: "Harbour", APIKey: "Robot", KeyID: string(k.ID), TokenID: r.TokenID, OldTokenID: k.TokenID,
		OverlapEndsAt: h.clock.Now().Add(time.Hour).UnixMilli(), By: h.by.Name, IP: h.by.IP, At: h.clock.Now().UnixMilli(),
	}
	if diff := cmp.Diff(want, told["creator@example.org"]); diff != "" {
		t.Errorf("the creator's mail (-want +got):\n%s", diff)
	}
}

// Who made the key and is an owner is told once; who is no administrator any more is
// not told.
func TestReset_mailsOnce(t *testing.T) {
	h := newHouse(t)
	k, _ := h.issue(t, admin())
	h.reset(t, k, apikey.Renewal{})
	told := mails(t, h, func(m outbox.APIKeyReset) outbox.Recipient { return m.To })
	if names(told) != "owner@example.org" || told["owner@example.org"].OverlapEndsAt != 0 {
		t.Errorf("told are %+v, want the owner, of no overlap", told)
	}
}
