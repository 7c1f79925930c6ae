package digitalkey_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func (h house) change(t testing.TB, k id.DigitalKey, c digitalkey.Change) digitalkey.Issued {
	t.Helper()
	issued, err := h.Change(t.Context(), h.by, k, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// confirm marks what the gate was told as applied.
func (h house) confirm(t testing.TB) {
	t.Helper()
	storetest.Exec(t, h.Database, `UPDATE smartlock_grant SET applied_at = $1 WHERE lock_id = $2 AND applied_at = 0`, h.clock.Now().UnixMilli(), string(h.gate))
}

func until(n digitalkey.NewKey, end time.Time) digitalkey.Change {
	return digitalkey.Change{Span: &digitalkey.Span{StartsAt: n.Span.StartsAt, ExpiresAt: end}}
}

func TestChange_tellsTheDoorsWhatTheyMustKnow(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	first := h.create(t, n)
	h.confirm(t)
	got := h.change(t, first.Key.ID, digitalkey.Change{Description: new(" Room 8 "), Role: new(digitalkey.RoleAdmin)})
	if told := h.told(t, h.gate, first.Key.ID); told.Version != 1 || told.Applied == 0 || got.Key.Description != "Room 8" || got.Key.Revision != 2 || !got.PIN.IsEmpty() {
		t.Errorf("Change() = %+v, the door is told %+v; want that it hears nothing of a description", got.Key, told)
	}
	end := n.Span.ExpiresAt.Add(time.Hour)
	got = h.change(t, first.Key.ID, until(n, end))
	told := h.told(t, h.gate, first.Key.ID)
	if told.Version != 2 || told.Applied != 0 || told.Grant.NotAfter != end.Unix() || *told.Grant.PIN != grant.PINTag(h.secretOf(t, h.gate), first.PIN) || !got.PIN.IsEmpty() {
		t.Errorf("the door is told %+v, want a later end and the PIN of before", told)
	}
	line := storetest.Activities(t, h.Store, h.w, "digital_key.update")
	details := []string{line[0].Detail, line[1].Detail}
	if slices.Sort(details); !slices.Equal(details, []string{"description, role", "expires_at"}) || line[0].User != h.ada.ID {
		t.Errorf("the lines tell of %q, want the names of the fields", details)
	}
	again := h.change(t, first.Key.ID, digitalkey.Change{Role: new(digitalkey.RoleAdmin)})
	if again.Key.Revision != 3 || len(storetest.Activities(t, h.Store, h.w, "digital_key.update")) != 2 {
		t.Errorf("Change() to what is = %+v, want nothing done", again.Key)
	}
}

func TestChange_anotherPIN(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Notify = digitalkey.Notify{Email: true, ShowPIN: true}
	first := h.create(t, n)
	got := h.change(t, first.Key.ID, digitalkey.Change{PIN: new(secret.Bytes{})})
	if got.PIN.IsEmpty() || got.PIN.Equal(first.PIN) || *h.told(t, h.gate, first.Key.ID).Grant.PIN != grant.PINTag(h.secretOf(t, h.gate), got.PIN) {
		t.Error("the door is not told the new PIN")
	}
	var p outbox.DigitalKeyChanged
	for _, m := range storetest.Messages(t, h.Store) {
		if m.Kind == p.MessageKind() {
			storetest.Payload(t, m, &p)
		}
	}
	if !p.NewPIN || p.PIN == nil {
		t.Fatalf("the mail is %+v, want the new PIN", p)
	}
	if pin, err := h.secrets.Sealing.Open(p.PIN.Sealed, p.PIN.Identity()); err != nil || !pin.Equal(got.PIN) {
		t.Errorf("the mail's PIN is another one (%v)", err)
	}
	// The old one is still somebody's until the lease has ended.
	bob := h.forADay()
	bob.User = storetest.User(t, h.Store, h.w, "bob").ID
	if f := h.refused(t, pinned(bob, first.PIN.ExposeString())); f.Code != "pin_unavailable" {
		t.Errorf("the PIN of before: %v, want pin_unavailable", f)
	}
	chosen := h.change(t, first.Key.ID, digitalkey.Change{PIN: new(secret.FromString("8352"))})
	if chosen.PIN.ExposeString() != "8352" || chosen.Key.PINLength != 4 {
		t.Error("the chosen PIN is not the one that was chosen")
	}
	_, err := h.Change(t.Context(), h.by, first.Key.ID, digitalkey.Change{PIN: new(secret.FromString("1234"))}, 0)
	storetest.Refused(t, err, "pin_unavailable")
}

func TestChange_aWiderSpanAsksForThePINAgain(t *testing.T) {
	h := newHouse(t)
	n := pinned(h.forADay(), "835296")
	k := h.create(t, n).Key
	later := n
	later.Span.StartsAt = n.Span.ExpiresAt.Add(digitalkey.PINRest)
	later.Span.ExpiresAt = later.Span.StartsAt.Add(time.Hour)
	other := h.create(t, later).Key
	_, err := h.Change(t.Context(), h.by, k.ID, until(n, n.Span.ExpiresAt.Add(time.Hour)), 0)
	storetest.Refused(t, err, "pin_unavailable")
	h.change(t, k.ID, until(n, n.Span.ExpiresAt.Add(-time.Hour)))
	if _, err := h.Cancel(t.Context(), h.by, other.ID); err != nil {
		t.Fatal(err)
	}
	h.wait(t, time.Hour)
	h.change(t, k.ID, until(n, n.Span.ExpiresAt))
}

func TestChange_types(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, h.forADay()).Key
	got := h.change(t, k.ID, digitalkey.Change{Types: &[]digitalkey.Type{digitalkey.Keycard}, CardNumber: new("04A1B2C3")})
	if g := h.told(t, h.gate, k.ID).Grant; g.Kinds != grant.ByCard || g.PIN != nil || g.Card == nil || len(got.Key.PINSealed) != 0 || got.Key.PINLength != 0 {
		t.Errorf("the door is told %+v, want a card and no PIN", g)
	}
	got = h.change(t, k.ID, digitalkey.Change{CardNumber: new("")})
	if g := h.told(t, h.gate, k.ID).Grant; g.Card != nil || len(got.Key.CardSealed) != 0 || got.Key.CardType != "" {
		t.Errorf("the door is told %+v, want no card", g)
	}
	got = h.change(t, k.ID, digitalkey.Change{Types: &[]digitalkey.Type{digitalkey.PIN}})
	if len(got.PIN.Expose()) != digitalkey.DefaultDigits || *h.told(t, h.gate, k.ID).Grant.PIN != grant.PINTag(h.secretOf(t, h.gate), got.PIN) {
		t.Error("a key that is to open by PIN got none")
	}
	storetest.Exec(t, h.Database, `UPDATE smartlock SET capabilities = 'pin' WHERE id = $1`, string(h.gate))
	for what, c := range map[string]digitalkey.Change{
		"types":                   {Types: &[]digitalkey.Type{digitalkey.App}},
		"keycard":                 {CardNumber: new("04A1B2C3")},
		"description":             {Description: new("a\x00b")},
		"role":                    {Role: new(digitalkey.Role("x"))},
		"starts_at expires_at":    {Span: &digitalkey.Span{}},
		"expires_at":              {Span: &digitalkey.Span{StartsAt: h.clock.Now(), ExpiresAt: h.clock.Now()}},
		"weekly_hours":            {Weekly: &[]digitalkey.Hours{{From: 1}}},
		"notify":                  {Notify: &digitalkey.Notify{ShowPIN: true}},
		"pin":                     {PIN: new(secret.FromString("123"))},
		"types weekly_hours role": {Types: &[]digitalkey.Type{}, Weekly: &[]digitalkey.Hours{{From: 1}}, Role: new(digitalkey.Role("x"))},
	} {
		_, err := h.Change(t.Context(), h.by, k.ID, c, 0)
		got := storetest.FieldNames(storetest.Fault(t, err, "invalid_fields"))
		slices.Sort(got)
		want := strings.Fields(what)
		if slices.Sort(want); !slices.Equal(slices.Compact(got), want) {
			t.Errorf("the fields are %q, want %q", got, want)
		}
	}
}

func TestChange_revisionsAndEnds(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, h.forADay()).Key
	_, err := h.Change(t.Context(), h.by, k.ID, digitalkey.Change{Description: new("x")}, 7)
	if f, ok := fault.As(err); !ok || f.Kind != fault.KindPrecondition {
		t.Errorf("Change() = %v, want a precondition", err)
	}
	h.wait(t, 24*time.Hour)
	_, err = h.Change(t.Context(), h.by, k.ID, digitalkey.Change{Description: new("x")}, 1)
	storetest.Refused(t, err, "digital_key_over")
	_, err = h.Cancel(t.Context(), h.by, k.ID)
	storetest.Refused(t, err, "digital_key_over")
	next := h.create(t, h.forADay()).Key
	if _, err := h.Cancel(t.Context(), h.by, next.ID); err != nil {
		t.Fatal(err)
	}
	_, err = h.Change(t.Context(), h.by, next.ID, digitalkey.Change{Description: new("x")}, 0)
	storetest.Refused(t, err, "digital_key_over")
}

// The door of a key that is over may be gone.
func TestChange_withoutADoor(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, h.forADay()).Key
	if _, err := h.Cancel(t.Context(), h.by, k.ID); err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, h.Database, `DELETE FROM digitalkey_lock WHERE key_id = $1`, string(k.ID))
	_, err := h.Change(t.Context(), h.by, k.ID, digitalkey.Change{Description: new("x"), PIN: new(secret.FromString("8352"))}, 0)
	storetest.Refused(t, err, "digital_key_over")
	if got, err := h.Find(t.Context(), h.by, k.ID); err != nil || len(got.Key.Locks) != 0 {
		t.Errorf("Find() = %+v (%v), want it without a lock", got, err)
	}
}

// A door that has not heard of a shorter end may open as before: a cancel says so.
func TestCancel_reckonsWithWhatTheDoorKnew(t *testing.T) {
	for _, survives := range []bool{false, true} {
		h := newHouse(t)
		n := h.forADay()
		n.SurvivesLease, n.Span.ExpiresAt = survives, n.Span.StartsAt.Add(72*time.Hour)
		k := h.create(t, n).Key
		h.confirm(t)
		h.change(t, k.ID, until(n, n.Span.StartsAt.Add(2*time.Hour)))
		want := storetest.Start().Add(24 * time.Hour)
		if survives {
			want = n.Span.ExpiresAt
			h.change(t, k.ID, digitalkey.Change{SurvivesLease: new(false)})
		}
		got, err := h.Cancel(t.Context(), h.by, k.ID)
		if err != nil || !got.Receipts[0].AtLatest.Equal(want) {
			t.Errorf("survives %v: Cancel() = %+v (%v), want it safe at %v", survives, got.Receipts, err, want)
		}
		if n := storetest.Count(t, h.Database, `SELECT until_at FROM digitalkey_tag`); int64(n) != want.Add(digitalkey.PINRest).UnixMilli() {
			t.Errorf("survives %v: the PIN is reserved until %v, want a day after that", survives, time.UnixMilli(int64(n)).UTC())
		}
	}
}

// Once it has heard, the shorter end holds.
func TestCancel_afterAConfirmedChange(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Span.ExpiresAt = n.Span.StartsAt.Add(72 * time.Hour)
	k := h.create(t, n).Key
	h.change(t, k.ID, until(n, n.Span.StartsAt.Add(2*time.Hour)))
	h.confirm(t)
	got, err := h.Cancel(t.Context(), h.by, k.ID)
	if want := n.Span.StartsAt.Add(2 * time.Hour); err != nil || !got.Receipts[0].AtLatest.Equal(want) {
		t.Errorf("Cancel() = %+v (%v), want it safe at %v", got.Receipts, err, want)
	}
}

func TestCancel_twiceChangesNothing(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Notify.Email = true
	k := h.create(t, n).Key
	first, err := h.Cancel(t.Context(), h.by, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.wait(t, time.Minute)
	again, err := h.Cancel(t.Context(), h.by, k.ID)
	if err != nil || again.Key.Revision != first.Key.Revision || !again.Key.CancelledAt.Equal(first.Key.CancelledAt) || again.Receipts[0] != first.Receipts[0] {
		t.Errorf("Cancel() again = %+v (%v), want %+v", again, err, first)
	}
	storetest.Activity(t, h.Store, h.w, "digital_key.cancel") // one
	if m := storetest.Messages(t, h.Store); len(m) != 2 || m[1].Kind != "mail.digital_key_cancelled" && m[0].Kind != "mail.digital_key_cancelled" {
		t.Errorf("the messages are %+v, want one that it was cancelled", m)
	}
	if c, err := h.Counts(t.Context(), h.by); err != nil || c != (digitalkey.Counts{Total: 1, Cancelled: 1}) {
		t.Errorf("Counts() = %+v (%v), want one cancelled", c, err)
	}
}

func TestCancelMany_answersEach(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Span.ExpiresAt = n.Span.StartsAt.Add(time.Minute)
	over, open, missing := h.create(t, n).Key.ID, h.create(t, h.forADay()).Key.ID, id.New[id.KindDigitalKey](h.clock.Now())
	h.wait(t, time.Minute)
	got, err := h.CancelMany(t.Context(), h.by, []id.DigitalKey{over, missing, open})
	if err != nil || len(got) != 3 || got[2].Fault != nil || got[2].ID != open {
		t.Fatalf("CancelMany() = %+v (%v), want the last one cancelled", got, err)
	}
	storetest.Refused(t, got[0].Fault, "digital_key_over")
	storetest.Refused(t, got[1].Fault, "digital_key_not_found")
	_, err = h.CancelMany(t.Context(), h.by, make([]id.DigitalKey, digitalkey.MaxMany+1))
	storetest.Refused(t, err, "invalid_fields")
	if d := digitalkey.FromNote([]id.DigitalKey{open, over}, `{"`+string(over)+`":{"c":"digital_key_over","p":"It is."}}`); d[0].Fault != nil || d[1].Fault == nil {
		t.Errorf("FromNote() = %+v, want what was noted", d)
	}
}

func TestDelete_waitsUntilItIsSafe(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, h.forADay()).Key
	storetest.Refused(t, h.Delete(t.Context(), h.by, k.ID, 0), "digital_key_not_over")
	if _, err := h.Cancel(t.Context(), h.by, k.ID); err != nil {
		t.Fatal(err)
	}
	storetest.Refused(t, h.Delete(t.Context(), h.by, k.ID, 0), "digital_key_unsafe")
	storetest.Refused(t, h.Delete(t.Context(), h.by, k.ID, 1), "revision_changed")
	h.confirm(t)
	if err := h.Delete(t.Context(), h.by, k.ID, 2); err != nil {
		t.Fatal(err)
	}
	storetest.Refused(t, h.Delete(t.Context(), h.by, k.ID, 0), "digital_key_not_found")
	if line := storetest.Activities(t, h.Store, h.w, "digital_key.delete"); line[len(line)-1].User != h.ada.ID {
		t.Errorf("the lines are %+v, want Ada's key", line)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM smartlock_grant WHERE removed = TRUE`); n != 1 {
		t.Errorf("%d removals are known, want the one", n)
	}
	expired := h.create(t, h.forADay()).Key
	h.wait(t, 24*time.Hour)
	if err := h.Delete(t.Context(), h.by, expired.ID, 0); err != nil {
		t.Errorf("Delete() of an expired key = %v, want nil", err)
	}
	if c, err := h.Counts(t.Context(), h.by); err != nil || c != (digitalkey.Counts{}) {
		t.Errorf("Counts() = %+v (%v), want none", c, err)
	}
}

func TestOwn_activeFirst(t *testing.T) {
	h := newHouse(t)
	now := h.clock.Now()
	span := func(from, to time.Duration) id.DigitalKey {
		n := h.forADay()
		n.Span = digitalkey.Span{StartsAt: now.Add(from), ExpiresAt: now.Add(to)}
		return h.create(t, n).Key.ID
	}
	late, soon, active, over := span(3*time.Hour, 4*time.Hour), span(2*time.Hour, 4*time.Hour), span(0, time.Hour), span(0, time.Minute)
	cancelled := span(0, time.Hour)
	if _, err := h.Cancel(t.Context(), h.by, cancelled); err != nil {
		t.Fatal(err)
	}
	h.wait(t, time.Minute)
	h.confirm(t)
	other := h.forADay()
	other.User = storetest.User(t, h.Store, h.w, "bob").ID
	h.create(t, other)
	by := h.session(t)
	got, err := h.Own(t.Context(), by)
	if err != nil {
		t.Fatal(err)
	}
	var ids []id.DigitalKey
	for _, o := range got {
		ids = append(ids, o.Key.ID)
	}
	if want := []id.DigitalKey{active, soon, late, over, cancelled}; !slices.Equal(ids, want) {
		t.Errorf("Own() = %v, want %v", ids, want)
	}
	if want := (digitalkey.OwnLock{ID: h.gate, Name: "Gate", Place: "Cellar", Online: true, Applied: true}); got[0].Status != digitalkey.Active || got[0].Locks[0] != want {
		t.Errorf("the first is %+v, want it active at %+v", got[0], want)
	}
	_, err = h.Own(t.Context(), storetest.APIKey(t, h.Store, h.w, auth.All()...))
	storetest.Refused(t, err, "person_only")
}

func TestOwnPIN_isTheHolders(t *testing.T) {
	h := newHouse(t)
	issued := h.create(t, h.forADay())
	by := h.session(t)
	if pin, err := h.OwnPIN(t.Context(), by, issued.Key.ID); err != nil || !pin.Equal(issued.PIN) {
		t.Errorf("OwnPIN() = %v, want the PIN", err)
	}
	if line := storetest.Activity(t, h.Store, h.w, "digital_key.show_pin"); line.User != h.ada.ID || line.Target.ID != string(issued.Key.ID) {
		t.Errorf("the line is %+v, want Ada's key", line)
	}
	bob := storetest.AppSession(t, h.Store, storetest.User(t, h.Store, h.w, "bob"), signin.OpenedByCode, h.clock.Now())
	eve := storetest.AppSession(t, h.Store, storetest.User(t, h.Store, storetest.Workspace(t, h.Store), "eve"), signin.OpenedByCode, h.clock.Now())
	for who, caller := range map[string]auth.Caller{"Bob": bob, "Eve": eve, "an owner": h.by, "a program": storetest.APIKey(t, h.Store, h.w, auth.All()...)} {
		if _, err := h.OwnPIN(t.Context(), caller, issued.Key.ID); storetest.Fault(t, err, "digital_key_not_found").Kind != fault.KindNotFound {
			t.Errorf("OwnPIN() as %s: %v, want not found", who, err)
		}
	}
	n := h.forADay()
	n.Types = []digitalkey.Type{digitalkey.App}
	_, err := h.OwnPIN(t.Context(), by, h.create(t, n).Key.ID)
	storetest.Refused(t, err, "no_pin")
	if _, err := h.Cancel(t.Context(), h.by, issued.Key.ID); err != nil {
		t.Fatal(err)
	}
	_, err = h.OwnPIN(t.Context(), by, issued.Key.ID)
	storetest.Refused(t, err, "digital_key_over")
}

func TestRefreshHours_tellsThemAnew(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Span.ExpiresAt = n.Span.StartsAt.AddDate(0, 0, 50)
	n.Weekly = []digitalkey.Hours{{Days: []time.Weekday{1}, From: 8 * 60, To: 18 * 60}}
	issued := h.create(t, n)
	k, job := issued.Key.ID, auth.Job("", "server")
	if did, err := h.RefreshHours(t.Context(), job); did != 0 || err != nil {
		t.Errorf("RefreshHours() = %d (%v), want none due", did, err)
	}
	now := h.wait(t, digitalkey.Horizon-digitalkey.Refresh+time.Minute)
	if did, err := h.RefreshHours(t.Context(), job); did != 1 || err != nil {
		t.Fatalf("RefreshHours() = %d (%v), want one", did, err)
	}
	got, err := h.Find(t.Context(), h.by, k)
	if err != nil || !got.Key.ExpandedUntil.Equal(now.Add(digitalkey.Horizon)) || got.Key.Revision != 1 {
		t.Errorf("the key is told until %v (%v), want a horizon from now and the revision of before", got.Key.ExpandedUntil, err)
	}
	if told := h.told(t, h.gate, k); told.Version != 2 || *told.Grant.PIN != grant.PINTag(h.secretOf(t, h.gate), issued.PIN) || told.Grant.Windows[len(told.Grant.Windows)-1].To < now.AddDate(0, 0, 28).Unix() {
		t.Errorf("the door is told %+v, want the hours to come", told)
	}
	h.wait(t, 10*24*time.Hour)
	if did, err := h.RefreshHours(t.Context(), job); did != 1 || err != nil {
		t.Errorf("RefreshHours() = %d (%v), want the rest", did, err)
	}
	h.wait(t, 30*24*time.Hour)
	if did, err := h.RefreshHours(t.Context(), job); did != 0 || err != nil {
		t.Errorf("RefreshHours() = %d (%v), want none: they are known to the end", did, err)
	}
	_, err = h.RefreshHours(t.Context(), h.by)
	storetest.Refused(t, err, "system_only")
}

func TestPrune_forgetsWhatRested(t *testing.T) {
	h := newHouse(t)
	n := pinned(h.forADay(), "835296")
	h.create(t, n)
	h.wait(t, 48*time.Hour)
	if err := h.Prune(t.Context(), auth.Job("", "server")); err != nil || storetest.Count(t, h.Database, `SELECT COUNT(*) FROM digitalkey_tag`) != 1 {
		t.Errorf("Prune() = %v, want the PIN kept to the last moment", err)
	}
	h.wait(t, time.Millisecond)
	if err := h.Prune(t.Context(), auth.Job("", "server")); err != nil || storetest.Count(t, h.Database, `SELECT COUNT(*) FROM digitalkey_tag`) != 0 {
		t.Errorf("Prune() = %v, want the PIN forgotten", err)
	}
	storetest.Refused(t, h.Prune(t.Context(), h.by), "system_only")
}

func TestStrangers(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, h.forADay()).Key.ID
	other := storetest.Workspace(t, h.Store)
	eve := storetest.Administrator(t, h.Store, other, "eve")
	missing := id.New[id.KindDigitalKey](h.clock.Now())
	for _, c := range []struct {
		action string
		need   auth.Permission
		call   func(by auth.Caller, k id.DigitalKey) error
	}{
		{"digital_key.find", auth.DigitalKeysRead, func(by auth.Caller, k id.DigitalKey) error {
			_, err := h.Find(t.Context(), by, k)
			return err
		}},
		{"digital_key.receipts", auth.DigitalKeysRead, func(by auth.Caller, k id.DigitalKey) error {
			_, err := h.Receipts(t.Context(), by, k)
			return err
		}},
		{"digital_key.update", auth.DigitalKeysWrite, func(by auth.Caller, k id.DigitalKey) error {
			_, err := h.Change(t.Context(), by, k, digitalkey.Change{Description: new("x")}, 0)
			return err
		}},
		{"digital_key.cancel", auth.DigitalKeysWrite, func(by auth.Caller, k id.DigitalKey) error {
			_, err := h.Cancel(t.Context(), by, k)
			return err
		}},
		{"digital_key.delete", auth.DigitalKeysWrite, func(by auth.Caller, k id.DigitalKey) error { return h.Delete(t.Context(), by, k, 0) }},
		{"digital_key.show_pin", auth.Signed, func(by auth.Caller, k id.DigitalKey) error {
			_, err := h.OwnPIN(t.Context(), by, k)
			return err
		}},
	} {
		storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: c.action, Need: c.need, Call: func(by auth.Caller) error { return c.call(by, k) }})
		away, absent := c.call(eve, k), c.call(h.by, missing)
		if away == nil || absent == nil || away.Error() != absent.Error() {
			t.Errorf("%s: another workspace's is %v, a missing one %v; want the same", c.action, away, absent)
		}
		storetest.Refused(t, absent, "digital_key_not_found")
	}
	for action, c := range map[string]struct {
		need auth.Permission
		call func(by auth.Caller) error
	}{
		"digital_key.create": {auth.DigitalKeysWrite, func(by auth.Caller) error {
			_, err := h.Create(t.Context(), by, h.forADay())
			return err
		}},
		"digital_key.list": {auth.DigitalKeysRead, func(by auth.Caller) error {
			_, err := h.List(t.Context(), by, digitalkey.Query{})
			return err
		}},
		"digital_key.count": {auth.DigitalKeysRead, func(by auth.Caller) error {
			_, err := h.Counts(t.Context(), by)
			return err
		}},
		"digital_key.own": {auth.Signed, func(by auth.Caller) error {
			_, err := h.Own(t.Context(), by)
			return err
		}},
	} {
		w := storetest.Workspace(t, h.Store)
		storetest.Strangers(t, h.Database, w, storetest.Stranger{Action: action, Need: c.need, Call: c.call})
	}
	storetest.Strangers(t, h.Database, other, storetest.Stranger{Action: "digital_key.cancel", Need: auth.DigitalKeysWrite, Call: func(by auth.Caller) error {
		_, err := h.CancelMany(t.Context(), by, []id.DigitalKey{k})
		return err
	}})
	if out, err := h.CancelMany(t.Context(), eve, []id.DigitalKey{k}); err != nil || out[0].Fault == nil {
		t.Errorf("CancelMany() of another workspace = %+v (%v), want its fault", out, err)
	}
	if p, err := h.List(t.Context(), eve, digitalkey.Query{}); err != nil || len(p.Items) != 0 {
		t.Errorf("List() of another workspace = %+v (%v), want none", p, err)
	}
}

func TestList_byStatusFollowsTheClock(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Span = digitalkey.Span{StartsAt: h.clock.Now().Add(time.Minute), ExpiresAt: h.clock.Now().Add(2 * time.Minute)}
	h.create(t, n)
	for _, want := range []digitalkey.Status{digitalkey.Upcoming, digitalkey.Active, digitalkey.Expired} {
		for _, s := range digitalkey.Statuses() {
			p, err := h.List(t.Context(), h.by, digitalkey.Query{Status: s, Words: search.Words("GUEST äda"), Page: page.Request{WithTotal: true}})
			if err != nil || (len(p.Items) == 1) != (s == want) || p.Total != len(p.Items) {
				t.Errorf("List(%s) = %d keys of %d (%v) while it is %s", s, len(p.Items), p.Total, err, want)
			}
		}
		h.wait(t, time.Minute)
	}
	if c, err := h.Counts(t.Context(), h.by); err != nil || c != (digitalkey.Counts{Total: 1, Expired: 1}) {
		t.Errorf("Counts() = %+v (%v), want one expired", c, err)
	}
}
