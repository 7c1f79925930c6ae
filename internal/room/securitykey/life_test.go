package securitykey_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// modelKey is what a key should be.
type modelKey struct {
	id        id.SecurityKey
	card      bool
	named     string // the number that the administrator named
	number    string // the number that it has
	life      securitykey.Status
	suspended bool
	toConfirm bool
	link      id.Activation
	linkEnds  time.Time
	links     int // wrong cards that were shown with the link
	pin       string
	wrong     int
	rests     time.Time
	created   time.Time
	activated bool // it ever was active
}

func (m *modelKey) shown() securitykey.Status {
	if m.suspended {
		return securitykey.Suspended
	}
	return m.life
}

func (m *modelKey) linkWorks(now time.Time) bool {
	return m.link != "" && m.shown() == securitykey.Pending && now.Before(m.linkEnds)
}

// cards are the numbers that there are.
var cards = []string{"AABBCC01", "AABBCC02", "AABBCC03"}

// life is a workspace beside its model.
type life struct {
	house
	tb     testing.TB
	holder auth.Caller
	keys   []*modelKey
	gone   []*modelKey
	pins   int
}

// answered asks that an act was answered with the code, "" for done.
func (l *life) answered(t *rapid.T, act string, err error, want string) bool {
	t.Helper()
	f, ok := fault.As(err)
	if err != nil && !ok {
		t.Fatalf("%s: %v", act, err)
	}
	got := ""
	if ok {
		got = f.Code
	}
	if got != want {
		t.Fatalf("%s is answered with %q, want %q", act, got, want)
	}
	return want == ""
}

// taken says whether some key has the card.
func (l *life) taken(number string) bool {
	return slices.ContainsFunc(l.keys, func(m *modelKey) bool { return m.number == number })
}

func (l *life) pick(t *rapid.T) *modelKey {
	if len(l.keys) == 0 {
		t.Skip("there is no key")
	}
	return l.keys[rapid.IntRange(0, len(l.keys)-1).Draw(t, "key")]
}

// pin returns a PIN that no other act used.
func (l *life) pin() string {
	l.pins++
	return fmt.Sprintf("pin-%d-x", l.pins)
}

func (l *life) create(t *rapid.T) {
	if len(l.keys) >= 6 {
		t.Skip("there are enough")
	}
	n := securitykey.NewKey{Kind: rapid.SampledFrom(securitykey.Kinds()).Draw(t, "kind"), Delivery: securitykey.DeliverResponse}
	n.Activation = rapid.SampledFrom([]securitykey.Activation{securitykey.Assigned, securitykey.ActivateNow, securitykey.ActivateEmail}).Draw(t, "activation")
	m := &modelKey{card: n.Kind == securitykey.ContactlessCard, created: l.clock.Now(), life: securitykey.New}
	if m.card && (n.Activation == securitykey.ActivateNow || rapid.Bool().Draw(t, "named")) {
		n.CardNumber = rapid.SampledFrom(cards).Draw(t, "card")
	}
	want := ""
	switch {
	case !m.card && n.Activation == securitykey.ActivateNow:
		want = "invalid_fields"
	case l.taken(n.CardNumber) && n.CardNumber != "":
		want = "card_registered"
	}
	if n.Activation == securitykey.ActivateNow && m.card {
		m.pin = l.pin()
		n.PIN = secret.FromString(m.pin)
	}
	issued, err := l.Create(context.Background(), l.by, l.ada.ID, n)
	if !l.answered(t, "create", err, want) {
		return
	}
	m.id, m.named, m.number = issued.Key.ID, n.CardNumber, n.CardNumber
	switch n.Activation {
	case securitykey.ActivateNow:
		m.life, m.activated = securitykey.Active, true
	case securitykey.ActivateEmail:
		m.life, m.link, m.linkEnds = securitykey.Pending, issued.Key.Link.ID, l.clock.Now().Add(securitykey.LinkLifetime)
	}
	l.keys = append(l.keys, m)
}

func (l *life) send(t *rapid.T) {
	m := l.pick(t)
	want := ""
	switch {
	case m.suspended:
		want = "key_suspended"
	case m.life == securitykey.Active:
		want = "key_active"
	}
	k, err := l.ResendActivation(context.Background(), l.by, m.id)
	if !l.answered(t, "send", err, want) {
		return
	}
	m.life, m.toConfirm, m.pin, m.number, m.links = securitykey.Pending, false, "", m.named, 0
	m.link, m.linkEnds = k.Link.ID, l.clock.Now().Add(securitykey.LinkLifetime)
}

// activeBeside says whether another key's life is active.
func (l *life) activeBeside(m *modelKey) bool {
	return slices.ContainsFunc(l.keys, func(o *modelKey) bool { return o != m && o.life == securitykey.Active })
}

func (l *life) activateCard(t *rapid.T) {
	m := l.pick(t)
	number, proved := rapid.SampledFrom(cards).Draw(t, "card"), rapid.Bool().Draw(t, "session")
	by, pin := nobody(), l.pin()
	if proved {
		by = l.holder
	}
	want := ""
	switch {
	case !m.linkWorks(l.clock.Now()):
		want = "activation_not_found"
	case !m.card:
		want = "not_a_card"
	case m.named != "" && m.named != number:
		want = "card_mismatch"
	case m.named == "" && l.taken(number):
		want = "card_registered"
	}
	by.IP = fmt.Sprintf("10.%d.%d.1", l.pins/250, l.pins%250) // networks of their own: nobody is slowed down
	_, err := l.ActivateCard(context.Background(), by, token.Link(linkKey, string(m.link)), securitykey.CardActivation{Number: number, PIN: secret.FromString(pin)})
	done := l.answered(t, "activate a card", err, want)
	if want == "card_mismatch" || want == "card_registered" {
		if m.links++; m.links == 5 {
			m.link = ""
		}
	}
	if !done {
		return
	}
	m.number, m.pin, m.link = number, pin, ""
	if m.named == "" || !proved && l.activeBeside(m) {
		m.toConfirm = true
	} else {
		m.life, m.activated = securitykey.Active, true
	}
}

func (l *life) bindPasskey(t *rapid.T) {
	m := l.pick(t)
	want := ""
	switch {
	case m.card:
		want = "a_card"
	case m.suspended:
		want = "key_suspended"
	case m.life == securitykey.Active:
		want = "key_active"
	}
	k := l.find(l.tb, m.id)
	if _, err := l.bind(l.tb, l.by, k, securitykey.Bound{}); l.answered(t, "bind", err, want) {
		m.life, m.activated, m.link = securitykey.Active, true, ""
	}
}

func (l *life) suspend(t *rapid.T) {
	m := l.pick(t)
	_, err := l.Suspend(context.Background(), l.by, m.id)
	l.answered(t, "suspend", err, "")
	m.suspended = true
}

func (l *life) resume(t *rapid.T) {
	m := l.pick(t)
	_, err := l.Activate(context.Background(), l.by, m.id)
	l.answered(t, "resume", err, "")
	m.suspended = false
}

func (l *life) confirm(t *rapid.T) {
	m := l.pick(t)
	want := ""
	switch {
	case !m.toConfirm:
		want = "nothing_to_confirm"
	case m.suspended:
		want = "key_suspended"
	}
	_, err := l.Confirm(context.Background(), l.by, m.id)
	if l.answered(t, "confirm", err, want) {
		m.life, m.toConfirm, m.activated = securitykey.Active, false, true
	}
}

func (l *life) reset(t *rapid.T) {
	m, pin, want := l.pick(t), l.pin(), ""
	switch {
	case !m.card:
		want = "not_a_card"
	case m.life != securitykey.Active:
		want = "key_not_active"
	}
	_, err := l.ResetPIN(context.Background(), l.by, m.id, securitykey.Reset{PIN: secret.FromString(pin)})
	if l.answered(t, "reset", err, want) {
		m.pin, m.wrong, m.rests = pin, 0, time.Time{}
	}
}

func (l *life) reportLost(t *rapid.T) {
	m := l.pick(t)
	_, err := l.ReportLost(context.Background(), l.holder, m.id)
	l.answered(t, "report lost", err, "")
	m.suspended = true
}

func (l *life) remove(t *rapid.T) {
	m := l.pick(t)
	l.answered(t, "delete", l.Delete(context.Background(), l.by, m.id, 0), "")
	l.keys = slices.DeleteFunc(l.keys, func(o *modelKey) bool { return o == m })
	l.gone = append(l.gone, m)
}

// tryPIN tries the right PIN or a wrong one, and changes it if it is right.
func (l *life) tryPIN(t *rapid.T) {
	m, right, next := l.pick(t), rapid.Bool().Draw(t, "right"), l.pin()
	now, want, typed := l.clock.Now(), "", "wrong-9"
	if right && m.pin != "" {
		typed = m.pin
	}
	compares := false
	switch {
	case !m.card:
		want = "not_a_card"
	case m.shown() != securitykey.Active:
		want = "key_not_active"
	case m.wrong >= 8:
		want = "pin_locked"
	case now.Before(m.rests):
		want = "pin_paused"
	case typed == m.pin:
		compares = true
	case m.wrong == 7:
		want, compares = "pin_locked", true
	default:
		want, compares = "pin_invalid", true
	}
	err := l.ChangePIN(context.Background(), l.holder, m.id, secret.FromString(typed), secret.FromString(next))
	done := l.answered(t, "change the PIN", err, want)
	switch {
	case done:
		m.pin, m.wrong, m.rests = next, 0, time.Time{}
	case compares:
		m.wrong++
		m.rests = time.Time{}
		switch m.wrong {
		case 3:
			m.rests = now.Add(time.Minute)
		case 6:
			m.rests = now.Add(5 * time.Minute)
		}
	}
}

func (l *life) wait(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Minute - time.Millisecond, time.Minute, 5 * time.Minute, 24 * time.Hour, 72 * time.Hour}).Draw(t, "wait")
	l.clock.Advance(d)
	l.open()
}

// open keeps the sessions open at the present moment.
func (l *life) open() {
	storetest.Exec(l.tb, l.Database, `UPDATE signin_session SET expires_at = $1, last_seen_at = $2 WHERE id = $3`,
		l.clock.Now().Add(time.Hour).UnixMilli(), l.clock.Now().UnixMilli(), string(l.holder.Session))
}

// check asks that everything is as the model says.
func (l *life) check(t *rapid.T) {
	now := l.clock.Now()
	want := securitykey.Counts{Total: len(l.keys)}
	storetest.Read(l.tb, l.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, m := range l.keys {
			k, found, err := tx.FindSecurityKey(ctx, l.w, m.id)
			if err != nil || !found {
				t.Fatalf("the key %s is not there (%v)", m.id, err)
			}
			l.checkKey(t, m, k, now)
			switch m.shown() {
			case securitykey.New:
				want.New++
			case securitykey.Pending:
				want.Pending++
			case securitykey.Active:
				want.Active++
			case securitykey.Suspended:
				want.Suspended++
			}
		}
		got, err := tx.CountSecurityKeys(ctx, l.w)
		if err != nil || got != want {
			t.Fatalf("counts %+v (%v), want %+v", got, err, want)
		}
		owner, _, err := tx.FindKeyOwner(ctx, l.w, l.ada.ID)
		if err != nil || owner.Keys != len(l.keys) {
			t.Fatalf("the user has %d keys (%v), want %d", owner.Keys, err, len(l.keys))
		}
		l.checkBindings(ctx, t, tx)
		return nil
	})
}

func (l *life) checkKey(t *rapid.T, m *modelKey, k securitykey.SecurityKey, now time.Time) {
	if k.Shown() != m.shown() || k.Life != m.life || k.ToConfirm != m.toConfirm || k.Link.ID != m.link || (k.Card.Digest != "") != (m.number != "") {
		t.Fatalf("the key is %+v, want %+v", k, m)
	}
	if k.PIN.Wrong != m.wrong || !k.PIN.PausedUntil.Equal(m.rests) || (len(k.PIN.Verifier) > 0) != (m.pin != "") || k.PIN.Locked() != (m.wrong >= 8) {
		t.Fatalf("the PIN is %+v, want %+v", k.PIN, m)
	}
	if (m.life == securitykey.Active) == k.ActivatedAt.IsZero() {
		t.Fatalf("the key is %s, and active since %v", k.Life, k.ActivatedAt)
	}
	if m.linkWorks(now) && (k.Shown() != securitykey.Pending || k.ToConfirm) {
		t.Fatalf("a link works of the key %+v", k)
	}
}

func (l *life) checkBindings(ctx context.Context, t *rapid.T, tx *store.Tx) {
	bindings, err := tx.ListBindings(ctx, l.w, l.ada.ID)
	if err != nil || len(bindings) != len(l.keys)+len(l.gone) {
		t.Fatalf("the record has %d keys (%v), want %d", len(bindings), err, len(l.keys)+len(l.gone))
	}
	record := map[id.SecurityKey]securitykey.Binding{}
	for _, b := range bindings {
		record[b.Key] = b
	}
	for there, all := range map[bool][]*modelKey{true: l.keys, false: l.gone} {
		for _, m := range all {
			if b := record[m.id]; b.EndedAt.IsZero() != there || (b.EndedAs == "") != there || b.ActivatedAt.IsZero() == m.activated || !b.CreatedAt.Equal(m.created) {
				t.Fatalf("the record of %+v is %+v", m, b)
			}
		}
	}
}

// steps is how many steps the test below takes in all: KEYHOLD_LIFE_STEPS, else 100,000,
// or 500 in a short run.
func steps(t *testing.T) int {
	if text := os.Getenv("KEYHOLD_LIFE_STEPS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 500
	}
	return 100_000
}

// Whatever is done to a user's keys, in whatever order, they are what a small model
// says: their status, which PIN and which link is accepted, what is counted and what
// is recorded.
func TestLife_isAsTheModelSays(t *testing.T) {
	total, taken, shared := steps(t), 0, newHouse(t)
	long := flag.Lookup("rapid.steps") // on average, of one sequence
	usual := long.Value.String()
	t.Cleanup(func() { _ = long.Value.Set(usual) })
	if err := long.Value.Set("100"); err != nil {
		t.Fatal(err)
	}
	for taken < total {
		rapid.Check(t, func(r *rapid.T) {
			if taken >= total {
				return
			}
			l := &life{house: shared, tb: t}
			l.w = storetest.Workspace(t, l.Store)
			l.by, l.ada = auth.Job(l.w, "test"), storetest.User(t, l.Store, l.w, "ada")
			l.holder = l.session(t)
			acts := map[string]func(*rapid.T){
				"create": l.create, "send": l.send, "activate card": l.activateCard, "bind": l.bindPasskey, "suspend": l.suspend, "resume": l.resume, "confirm": l.confirm,
				"reset": l.reset, "report lost": l.reportLost, "delete": l.remove, "try PIN": l.tryPIN, "wait": l.wait,
			}
			for name, act := range acts {
				acts[name] = func(r *rapid.T) {
					act(r)
					taken++
				}
			}
			acts[""] = l.check
			r.Repeat(acts)
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d steps", taken)
}
