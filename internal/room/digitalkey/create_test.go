package digitalkey_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// refused returns the fault that a new key is answered with.
func (h house) refused(t *testing.T, n digitalkey.NewKey) *fault.Error {
	t.Helper()
	_, err := h.Create(t.Context(), h.by, n)
	f, ok := fault.As(err)
	if !ok {
		t.Fatalf("Create() = %v, want a fault", err)
	}
	return f
}

func TestCreate_namesAllFieldsAtOnce(t *testing.T) {
	h := newHouse(t)
	f := h.refused(t, digitalkey.NewKey{
		Description: strings.Repeat("x", digitalkey.MaxDescription+1), Role: "boss", PIN: secret.FromString("12"), CardNumber: "no", Notify: digitalkey.Notify{ShowPIN: true},
		Weekly: []digitalkey.Hours{{From: 600, To: 700}},
	})
	want := []string{"description", "locks", "user", "starts_at", "expires_at", "weekly_hours", "role", "types", "pin", "pin", "keycard", "keycard", "notify"}
	if got := storetest.FieldNames(f); f.Kind != fault.KindInvalid || !slices.Equal(got, want) {
		t.Errorf("the fields are %q, want %q", got, want)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM digitalkey`); n != 0 {
		t.Errorf("%d keys, want none", n)
	}
}

func TestCreate_rules(t *testing.T) {
	h := newHouse(t)
	now := h.clock.Now()
	away := storetest.DoorOf(t, h.Database, storetest.Workspace(t, h.Store), "Away", h.secrets, true)
	cardless := storetest.DoorOf(t, h.Database, h.w, "No reader", h.secrets, true)
	storetest.Exec(t, h.Database, `UPDATE smartlock SET capabilities = 'pin app' WHERE id = $1`, string(cardless))
	eve := storetest.User(t, h.Store, storetest.Workspace(t, h.Store), "eve")
	gone := storetest.User(t, h.Store, h.w, "gone")
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error { return tx.SuspendUser(ctx, h.w, gone.ID, now) })
	for _, c := range []struct {
		what   string
		change func(n *digitalkey.NewKey)
		want   string // code and fields
	}{
		{"a missing lock", func(n *digitalkey.NewKey) { n.Locks = append(n.Locks, id.New[id.KindLock](now)) }, "invalid_fields locks"},
		{"another workspace's lock", func(n *digitalkey.NewKey) { n.Locks = []id.Lock{away} }, "invalid_fields locks"},
		{"a lock twice", func(n *digitalkey.NewKey) { n.Locks = []id.Lock{h.gate, h.gate} }, "invalid_fields locks"},
		{"too many locks", func(n *digitalkey.NewKey) { n.Locks = make([]id.Lock, digitalkey.MaxLocks+1) }, "invalid_fields locks locks"},
		{"a lock that reads no cards", func(n *digitalkey.NewKey) {
			n.Locks, n.Types = []id.Lock{h.gate, cardless}, []digitalkey.Type{digitalkey.Keycard}
		}, "invalid_fields types"},
		{"an unknown type", func(n *digitalkey.NewKey) { n.Types = []digitalkey.Type{digitalkey.App, "ring"} }, "invalid_fields types"},
		{"a missing user", func(n *digitalkey.NewKey) { n.User = id.New[id.KindUser](now) }, "invalid_fields user"},
		{"another workspace's user", func(n *digitalkey.NewKey) { n.User = eve.ID }, "invalid_fields user"},
		{"a suspended user", func(n *digitalkey.NewKey) { n.User = gone.ID }, "user_suspended user"},
		{"an end before the start", func(n *digitalkey.NewKey) { n.Span.ExpiresAt = n.Span.StartsAt }, "invalid_fields expires_at"},
		{"an end that is past", func(n *digitalkey.NewKey) { n.Span.StartsAt, n.Span.ExpiresAt = now.Add(-time.Hour), now }, "invalid_fields expires_at"},
		{"more than ten years", func(n *digitalkey.NewKey) { n.Span.ExpiresAt = now.Add(digitalkey.MaxSpan + time.Second) }, "invalid_fields expires_at"},
		{"hours that never come", func(n *digitalkey.NewKey) {
			n.Weekly = []digitalkey.Hours{{Days: []time.Weekday{now.AddDate(0, 0, 3).Weekday()}, From: 600, To: 700}}
		}, "invalid_fields weekly_hours"},
		{"an eighth day", func(n *digitalkey.NewKey) {
			n.Weekly = []digitalkey.Hours{{Days: []time.Weekday{7}, From: 600, To: 700}}
		}, "invalid_fields weekly_hours"},
		{"a PIN without the type", func(n *digitalkey.NewKey) {
			n.Types, n.PIN = []digitalkey.Type{digitalkey.App}, secret.FromString("835296")
		}, "invalid_fields pin"},
		{"seven digits", func(n *digitalkey.NewKey) { n.PINLength = 7 }, "invalid_fields pin"},
		{"letters", func(n *digitalkey.NewKey) { n.PIN = secret.FromString("83529a") }, "invalid_fields pin"},
		{"a card without the type", func(n *digitalkey.NewKey) { n.CardNumber = "04A1B2C3" }, "invalid_fields keycard"},
		{"a card of another type", func(n *digitalkey.NewKey) {
			n.Types, n.CardType, n.CardNumber = []digitalkey.Type{digitalkey.Keycard}, "magnetic", "04A1B2C3"
		}, "invalid_fields keycard"},
		{"a control in the description", func(n *digitalkey.NewKey) { n.Description = "a\u202eb" }, "invalid_fields description"},
	} {
		n := h.forADay()
		c.change(&n)
		f := h.refused(t, n)
		if got := strings.Join(append([]string{f.Code}, storetest.FieldNames(f)...), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestCreate_weeklyHoursAreToldForAWhile(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Span.ExpiresAt = n.Span.StartsAt.AddDate(1, 0, 0)
	n.Weekly = []digitalkey.Hours{{Days: []time.Weekday{5, 1, 1}, From: 8 * 60, To: 18 * 60}}
	k := h.create(t, n).Key
	if want := h.clock.Now().Add(digitalkey.Horizon); !k.ExpandedUntil.Equal(want) || !slices.Equal(k.Weekly[0].Days, []time.Weekday{1, 5}) {
		t.Errorf("the hours %v are told until %v, want %v", k.Weekly, k.ExpandedUntil, want)
	}
	g := h.told(t, h.gate, k.ID).Grant
	// Monday, 2 March 2026, 10:30 in Berlin: the first window has begun.
	if !g.Weekly || len(g.Windows) != 11 || g.Windows[0].From != n.Span.StartsAt.Unix() || g.At(n.Span.StartsAt.Unix()) != "" || g.At(n.Span.StartsAt.Add(8*time.Hour).Unix()) != grant.ReasonOutsideHours {
		t.Errorf("the door is told %+v, want eleven windows", g)
	}
}

func TestCreate_survivorsAreFew(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.SurvivesLease, n.Types = true, []digitalkey.Type{digitalkey.App}
	var first id.DigitalKey
	for range digitalkey.MaxSurvivors {
		first = h.create(t, n).Key.ID
	}
	if g := h.told(t, h.gate, first).Grant; g.Flags != grant.SurvivesLease {
		t.Errorf("the flags are %d, want that it survives", g.Flags)
	}
	if f := h.refused(t, n); f.Code != "too_many_survivors" || f.Kind != fault.KindConflict {
		t.Errorf("%v, want too_many_survivors", f)
	}
	got, err := h.Cancel(t.Context(), h.by, first)
	if err != nil || !got.Receipts[0].AtLatest.Equal(n.Span.ExpiresAt) {
		t.Errorf("Cancel() of one that survives = %+v (%v), want it safe at its end only", got.Receipts, err)
	}
	h.create(t, n)
}

func TestCreate_aLockHoldsSoManyKeys(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Types = []digitalkey.Type{digitalkey.App}
	first := h.create(t, n).Key.ID
	storetest.Exec(t, h.Database, `
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO smartlock_grant (lock_id, grant_id, workspace, body, version, removed, survives, not_after, changed_at, applied_at, safe_at)
		SELECT g.lock_id, 'dk_' || n.i, g.workspace, g.body, 1, FALSE, FALSE, g.not_after, g.changed_at, 0, 0 FROM smartlock_grant g, n WHERE g.grant_id = $2`,
		grant.MaxGrants-2, string(first))
	last := h.create(t, n).Key.ID
	if f := h.refused(t, n); f.Code != "lock_full" || f.Kind != fault.KindConflict {
		t.Errorf("%v, want lock_full", f)
	}
	if _, err := h.Cancel(t.Context(), h.by, last); err != nil {
		t.Fatal(err)
	}
	h.create(t, n)
}

func pinned(n digitalkey.NewKey, pin string) digitalkey.NewKey {
	n.PIN = secret.FromString(pin)
	return n
}

func TestCreate_trivialAndTakenPINsAreOneAnswer(t *testing.T) {
	h := newHouse(t)
	bob := storetest.User(t, h.Store, h.w, "bob")
	h.create(t, pinned(h.forADay(), "835296"))
	n := h.forADay()
	n.User = bob.ID
	taken := h.refused(t, pinned(n, "835296"))
	trivial := h.refused(t, pinned(n, "123456"))
	if taken.Code != "pin_unavailable" || taken.Kind != fault.KindConflict || taken.Error() != trivial.Error() || !slices.Equal(storetest.FieldNames(taken), []string{"pin"}) {
		t.Errorf("taken: %v, trivial: %v; want one answer", taken, trivial)
	}
	if got := h.create(t, pinned(n, "835269")); got.PIN.ExposeString() != "835269" || got.Key.PINLength != 6 {
		t.Error("another PIN is not given as it was chosen")
	}
	for _, line := range storetest.Activities(t, h.Store, h.w, "digital_key.create") {
		if line.Outcome != "success" && line.Reason != "pin_unavailable" {
			t.Errorf("the line is %+v, want that the PIN was refused", line)
		}
	}
}

func TestCreate_trivialPINs(t *testing.T) {
	h := newHouse(t)
	for i, pin := range []string{
		"0000", "777777", "1234", "3456", "7890", "4321", "0987", "21098", "1212", "12121", "123123", "373737", "1987", "2026", "1122", "2580", "112233", "147258",
	} {
		n := h.forADay()
		n.Locks = []id.Lock{storetest.DoorOf(t, h.Database, h.w, fmt.Sprint("Door ", i), h.secrets, true)}
		if f := h.refused(t, pinned(n, pin)); f.Code != "pin_unavailable" {
			t.Errorf("%s: %v, want pin_unavailable", pin, f)
		}
	}
	for _, pin := range []string{"8352", "1749", "83529", "198726", "202612"} {
		h.create(t, pinned(h.forADay(), pin))
	}
}

func TestCreate_fiveAnswersAboutChosenPINs(t *testing.T) {
	h := newHouse(t)
	h.create(t, pinned(h.forADay(), "835296"))
	for range digitalkey.PINTakenAnswers {
		if f := h.refused(t, pinned(h.forADay(), "835296")); f.Code != "pin_unavailable" {
			t.Fatalf("%v, want pin_unavailable", f)
		}
	}
	// A free one is not looked at any more, also with another lock beside it.
	both := h.forADay()
	both.Locks = []id.Lock{h.gate, h.shed}
	for _, n := range []digitalkey.NewKey{h.forADay(), both} {
		if f := h.refused(t, pinned(n, "618035")); f.Code != "pin_generate_only" {
			t.Errorf("%v, want pin_generate_only", f)
		}
	}
	shed := h.forADay()
	shed.Locks = []id.Lock{h.shed}
	h.create(t, pinned(shed, "618035"))
	h.create(t, h.forADay()) // a generated one
	h.wait(t, time.Hour)
	h.create(t, pinned(h.forADay(), "618035"))
}

func TestCreate_aPINIsReservedUntilADayAfter(t *testing.T) {
	h := newHouse(t)
	first := pinned(h.forADay(), "835296")
	end := first.Span.ExpiresAt
	h.create(t, first)
	later := func(from time.Time) digitalkey.NewKey {
		n := pinned(h.forADay(), "835296")
		n.Span = digitalkey.Span{StartsAt: from, ExpiresAt: from.Add(time.Hour)}
		return n
	}
	if f := h.refused(t, later(end.Add(digitalkey.PINRest-time.Second))); f.Code != "pin_unavailable" {
		t.Errorf("while it rests: %v, want pin_unavailable", f)
	}
	h.create(t, later(end.Add(digitalkey.PINRest)))
	// And one that is to come keeps those before away.
	n := later(h.clock.Now())
	n.Span.ExpiresAt = end.Add(digitalkey.PINRest)
	n.Locks = []id.Lock{h.gate, h.shed}
	if f := h.refused(t, n); f.Code != "pin_unavailable" {
		t.Errorf("before one that is to come: %v, want pin_unavailable", f)
	}
}

func TestCreate_aCancelledKeysPINRestsToo(t *testing.T) {
	h := newHouse(t)
	n := pinned(h.forADay(), "835296")
	n.Span.ExpiresAt = n.Span.StartsAt.Add(240 * time.Hour)
	k := h.create(t, n).Key
	if _, err := h.Cancel(t.Context(), h.by, k.ID); err != nil {
		t.Fatal(err)
	}
	lease := storetest.Start().Add(24 * time.Hour)
	again := n
	again.Span.StartsAt = lease.Add(digitalkey.PINRest - time.Second)
	if f := h.refused(t, again); f.Code != "pin_unavailable" {
		t.Errorf("before a day after the lease: %v, want pin_unavailable", f)
	}
	again.Span.StartsAt = lease.Add(digitalkey.PINRest)
	h.create(t, again)
}

// Of the short PINs at a door most are taken: a generated one is still free.
func TestCreate_generatedPINsAreFree(t *testing.T) {
	h := newHouse(t)
	seen := map[string]bool{}
	for range 200 {
		n := h.forADay()
		n.PINLength = 4
		pin := h.create(t, n).PIN.ExposeString()
		if len(pin) != 4 || seen[pin] {
			t.Fatalf("%q was given twice or has not four digits", pin)
		}
		seen[pin] = true
	}
}

func TestCreate_aCardIsOnePersons(t *testing.T) {
	h := newHouse(t)
	bob := storetest.User(t, h.Store, h.w, "bob")
	n := h.forADay()
	n.Types, n.CardNumber = []digitalkey.Type{digitalkey.Keycard}, "04:a1:b2:c3"
	k := h.create(t, n).Key
	if g := h.told(t, h.gate, k.ID).Grant; g.Kinds != grant.ByCard || *g.Card != grant.CardTag(h.secretOf(t, h.gate), []byte{0x04, 0xa1, 0xb2, 0xc3}) {
		t.Errorf("the door is told %+v, want the card", g)
	}
	got, err := h.Find(t.Context(), h.by, k.ID)
	if err != nil || got.CardNumber != "04A1B2C3" || got.Key.CardType != "uid" {
		t.Errorf("Find() = %+v (%v), want the card's number", got, err)
	}
	h.create(t, n) // a second key of the same person
	n.User = bob.ID
	if f := h.refused(t, n); f.Code != "card_taken" || f.Kind != fault.KindConflict {
		t.Errorf("for Bob: %v, want card_taken", f)
	}
	n.Locks = []id.Lock{h.shed}
	h.create(t, n)
	taught := h.forADay()
	taught.Types = []digitalkey.Type{digitalkey.Keycard}
	if g := h.told(t, h.gate, h.create(t, taught).Key.ID).Grant; g.Card != nil || g.Kinds != grant.ByCard {
		t.Errorf("the door is told %+v, want a key whose card is to come", g)
	}
}

func TestCreate_mailsTheHolder(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.Notify = digitalkey.Notify{Email: true, ShowPIN: true}
	issued := h.create(t, n)
	messages := storetest.Messages(t, h.Store)
	if len(messages) != 1 || messages[0].Kind != "mail.digital_key_issued" || !messages[0].ExpiresAt.Equal(n.Span.ExpiresAt) {
		t.Fatalf("the messages are %+v, want one that ends with the key", messages)
	}
	var p outbox.DigitalKeyIssued
	storetest.Payload(t, messages[0], &p)
	if p.To.Email != h.ada.Email || p.Key.Doors[0] != (outbox.DigitalKeyDoor{Name: "Gate", Place: "Cellar", Timezone: "Europe/Berlin"}) || p.Key.StartsAt != n.Span.StartsAt.UnixMilli() || p.PIN == nil {
		t.Fatalf("the mail is %+v, want Ada's key with its PIN", p)
	}
	if pin, err := h.secrets.Sealing.Open(p.PIN.Sealed, p.PIN.Identity()); err != nil || !pin.Equal(issued.PIN) {
		t.Errorf("the mail's PIN is another one (%v)", err)
	}
	var shown directory.Status
	storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		u, _, err := tx.FindUser(ctx, h.w, h.ada.ID)
		shown = u.Status
		return err
	})
	if shown != directory.Pending {
		t.Errorf("Ada is %s, want pending: she was mailed", shown)
	}
	n.Notify.ShowPIN = false
	h.create(t, n)
	p = outbox.DigitalKeyIssued{}
	storetest.Payload(t, storetest.Messages(t, h.Store)[1], &p)
	if p.PIN != nil {
		t.Error("the mail holds a PIN that it is not to say")
	}
}

// The PIN that was shown stands nowhere in the clear.
func TestPIN_isNowhere(t *testing.T) {
	h := newHouse(t)
	n := pinned(h.forADay(), "835296")
	n.Notify = digitalkey.Notify{Email: true, ShowPIN: true}
	k := h.create(t, n).Key
	_, err := h.Create(t.Context(), h.by, n)
	if err == nil || strings.Contains(err.Error(), "835296") {
		t.Errorf("the error is %v, want one without the PIN", err)
	}
	session := h.session(t)
	if pin, err := h.OwnPIN(t.Context(), session, k.ID); err != nil || pin.ExposeString() != "835296" {
		t.Fatalf("OwnPIN() = %v, want the PIN", err)
	}
	if _, err := h.Change(t.Context(), h.by, k.ID, digitalkey.Change{PIN: new(secret.FromString("618035"))}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Cancel(t.Context(), h.by, k.ID); err != nil {
		t.Fatal(err)
	}
	dump := storetest.Dump(t, h.Database)
	for _, pin := range []string{"835296", "618035"} {
		if strings.Contains(dump, pin) {
			t.Errorf("%s stands in the database", pin)
		}
	}
	if shown := fmt.Sprintf("%+v %#v", h.create(t, pinned(h.forADay(), "618053")), n); strings.Contains(shown, "618053") || strings.Contains(shown, "835296") {
		t.Errorf("a PIN is printed: %s", shown)
	}
}

func TestCreate_isDoneOnce(t *testing.T) {
	h := newHouse(t)
	ctx := once.With(t.Context(), once.New(h.by, "POST", "/digital-keys", "k", []byte("{}")))
	issued, err := h.Create(ctx, h.by, h.forADay())
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Create(once.With(t.Context(), once.New(h.by, "POST", "/digital-keys", "k", []byte("{}"))), h.by, h.forADay())
	if again, ok := err.(*once.Repeated); !ok || again.Note != string(issued.Key.ID) { //nolint:errorlint // it is not wrapped
		t.Errorf("Create() again = %v, want what the first made", err)
	}
}

func TestPreview(t *testing.T) {
	h := newHouse(t)
	n := h.forADay()
	n.PINLength = 4
	h.create(t, n)
	n.Span = digitalkey.Span{LocalStarts: "2026-03-02", LocalExpires: "2026-03-29T02:30"}
	n.Locks = []id.Lock{h.gate, id.New[id.KindLock](h.clock.Now()), h.shed}
	got, err := h.Preview(t.Context(), h.by, n)
	if err != nil || len(got.Locks) != 2 || !slices.Equal(got.Span.Notes, []string{digitalkey.NoteEndInGap}) || got.Span.Timezone != "Europe/Berlin" {
		t.Fatalf("Preview() = %+v (%v), want two locks and a note", got, err)
	}
	want := digitalkey.LockOutlook{
		Lock: digitalkey.LockName{ID: h.gate, Name: "Gate", Timezone: "Europe/Berlin"}, Lease: 24 * time.Hour, LeaseUntil: storetest.Start().Add(24 * time.Hour), Online: true, Enrolled: true,
		PINs: 2, Odds: 1000,
	}
	if got.Locks[0] != want || got.Locks[1].PINs != 1 || got.Locks[1].Odds != 2000 || got.Locks[1].Enrolled {
		t.Errorf("the locks are %+v, want %+v and the shed", got.Locks, want)
	}
	n.Span.LocalExpires = "2026-03-01"
	_, err = h.Preview(t.Context(), h.by, n)
	storetest.Refused(t, err, "invalid_fields")
	storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: "digital_key.preview", Need: auth.DigitalKeysWrite, Call: func(by auth.Caller) error {
		_, err := h.Preview(t.Context(), by, h.forADay())
		return err
	}})
}
