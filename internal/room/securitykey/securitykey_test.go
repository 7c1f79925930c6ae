package securitykey_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// house is a workspace with an owner and a user, Ada.
type house struct {
	storetest.Database
	*securitykey.Service
	clock   *clock.Manual
	secrets storetest.FixedSecrets
	w       id.Workspace
	by      auth.Caller
	ada     directory.User
}

var linkKey = secret.FromString("link key")

func newHouse(t testing.TB) house {
	t.Helper()
	d := storetest.SQLite(t)
	c := clock.NewManual(storetest.Start())
	w := storetest.Workspace(t, d.Store)
	h := house{Database: d, clock: c, secrets: storetest.KeySecrets(t), w: w, by: storetest.Administrator(t, d.Store, w, "owner"), ada: storetest.User(t, d.Store, w, "ada")}
	h.Service = securitykey.NewService(securitykey.Config{Store: store.For[securitykey.Tx](d.Store), Clock: c, Secrets: h.secrets, LinkKey: linkKey})
	return h
}

const number = "04:A1:B2:C3:D4:E5:F6"

// now is a card that is activated at once.
func now(number string) securitykey.NewKey {
	return securitykey.NewKey{Kind: securitykey.ContactlessCard, Activation: securitykey.ActivateNow, CardNumber: number, Delivery: securitykey.DeliverResponse}
}

// byEmail is a key of a kind whose holder gets a link.
func byEmail(kind securitykey.Kind) securitykey.NewKey {
	return securitykey.NewKey{Kind: kind, Activation: securitykey.ActivateEmail}
}

func (h house) create(t testing.TB, n securitykey.NewKey) securitykey.Issued {
	t.Helper()
	return h.createFor(t, h.ada, n)
}

func (h house) createFor(t testing.TB, u directory.User, n securitykey.NewKey) securitykey.Issued {
	t.Helper()
	issued, err := h.Create(t.Context(), h.by, u.ID, n)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// session is Ada signed in to the app by a passkey.
func (h house) session(t testing.TB) auth.Caller {
	t.Helper()
	return storetest.AppSession(t, h.Store, h.ada, signin.OpenedByPasskey, h.clock.Now())
}

// wake keeps the owner's session open at the present moment.
func (h house) wake(t testing.TB) {
	t.Helper()
	storetest.Exec(t, h.Database, `UPDATE signin_session SET expires_at = $1, last_seen_at = $2 WHERE id = $3`,
		h.clock.Now().Add(time.Hour).UnixMilli(), h.clock.Now().UnixMilli(), string(h.by.Session))
}

func (h house) find(t testing.TB, k id.SecurityKey) securitykey.SecurityKey {
	t.Helper()
	d, err := h.Find(t.Context(), auth.Job(h.w, "test"), k)
	if err != nil {
		t.Fatal(err)
	}
	return d.Key
}

// link is what stands in the mail of a key's present link.
func (h house) link(t testing.TB, k id.SecurityKey) secret.Bytes {
	t.Helper()
	return token.Link(linkKey, string(h.find(t, k).Link.ID))
}

// line asks for a line of an action at the present moment: lines of one moment have no
// order.
func (h house) line(t testing.TB, action, detail string, by auth.Caller, k securitykey.SecurityKey) {
	t.Helper()
	all := storetest.Activities(t, h.Store, h.w, action)
	if len(all) == 0 {
		t.Errorf("no line %s", action)
		return
	}
	want := activity.Event{
		Workspace: h.w, At: h.clock.Now(), Action: action, Outcome: activity.Success, Detail: detail, Count: 1, User: k.User, SecurityKey: k.ID,
		Actor:  activity.Party{Type: string(by.Kind), ID: by.Identity(), Name: by.Name},
		Target: activity.Party{Type: "security_key", ID: string(k.ID), Name: k.Name}, IP: by.IP, Agent: by.Agent, RequestID: by.RequestID,
	}
	ignore := cmpopts.IgnoreFields(activity.Event{}, "ID")
	if !slices.ContainsFunc(all, func(e activity.Event) bool { return cmp.Equal(want, e, ignore) }) {
		t.Errorf("no such line; the newest differs (-want +got):\n%s", cmp.Diff(want, all[len(all)-1], ignore))
	}
}

// refusedLine asks for a line of an action's refusal with the reason.
func (h house) refusedLine(t testing.TB, action, reason string, k id.SecurityKey) {
	t.Helper()
	all := storetest.Activities(t, h.Store, h.w, action)
	if !slices.ContainsFunc(all, func(e activity.Event) bool {
		return e.Outcome == activity.Refused && e.Reason == reason && e.SecurityKey == k
	}) {
		t.Errorf("no line of %s is a refusal for %s of the key %s: %+v", action, reason, k, all)
	}
}

// lines returns how many lines there are.
func (h house) lines(t testing.TB) int {
	t.Helper()
	return len(storetest.Activities(t, h.Store, h.w, ""))
}

// notices are the waiting notices, as "did to".
func (h house) notices(t testing.TB) []string {
	t.Helper()
	return h.noticesSince(t, time.Time{})
}

func (h house) noticesSince(t testing.TB, since time.Time) []string {
	t.Helper()
	var out []string
	for _, m := range storetest.Messages(t, h.Store) {
		var p outbox.SecurityKeyNotice
		if m.Kind == p.MessageKind() {
			if err := json.Unmarshal(m.Payload, &p); err != nil {
				t.Fatal(err)
			}
			if !time.UnixMilli(p.At).Before(since) {
				out = append(out, p.Did+" "+p.To.Email)
			}
		}
	}
	return out
}

// told asks that these are among the notices of the present moment.
func (h house) told(t testing.TB, want ...string) {
	t.Helper()
	got := h.noticesSince(t, h.clock.Now())
	for _, w := range want {
		i := slices.Index(got, w)
		if i < 0 {
			t.Errorf("the notices of now are %q, want %q among them", got, w)
			continue
		}
		got = slices.Delete(got, i, i+1)
	}
}

// mailedPIN opens the newest mail with a PIN.
func (h house) mailedPIN(t testing.TB) (string, outbox.SecurityKeyPIN) {
	t.Helper()
	var last outbox.SecurityKeyPIN
	for _, m := range storetest.Messages(t, h.Store) {
		var mail outbox.SecurityKeyPIN
		if m.Kind != mail.MessageKind() {
			continue
		}
		if err := json.Unmarshal(m.Payload, &mail); err != nil {
			t.Fatal(err)
		}
		if mail.At >= last.At {
			last = mail
		}
	}
	pin, err := h.secrets.Sealing.Open(last.Sealed, last.Identity())
	if err != nil {
		t.Fatal(err)
	}
	return pin.ExposeString(), last
}

// try tries a PIN as the authenticator does.
func (h house) try(t testing.TB, k id.SecurityKey, pin string) *fault.Error {
	t.Helper()
	err := store.For[securitykey.Tx](h.Store).Write(t.Context(), func(ctx context.Context, tx securitykey.Tx) (*fault.Error, error) {
		key, _, err := tx.FindSecurityKey(ctx, h.w, k)
		if err != nil {
			return nil, err
		}
		return securitykey.TryPIN(ctx, tx, auth.Caller{Kind: auth.User, Workspace: h.w, User: h.ada.ID, Name: h.ada.Name()}, h.secrets.Secrets, key, secret.FromString(pin), h.clock.Now())
	})
	f, ok := fault.As(err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	return f
}

// tried asks what a PIN is answered with, "" for right.
func (h house) tried(t testing.TB, k id.SecurityKey, pin, want string) {
	t.Helper()
	code := ""
	if f := h.try(t, k, pin); f != nil {
		code = f.Code
	}
	if code != want {
		t.Errorf("the PIN is answered with %q, want %q", code, want)
	}
}

func refused(t testing.TB, err error, code string) {
	t.Helper()
	storetest.Refused(t, err, code)
}

// fieldsAt asks which fields are at fault.
func fieldsAt(t testing.TB, err error, want ...string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Kind != fault.KindInvalid {
		t.Errorf("error = %v, want a fault of %v", err, want)
		return
	}
	if diff := cmp.Diff(want, storetest.FieldNames(f)); diff != "" {
		t.Errorf("the fields at fault (-want +got):\n%s", diff)
	}
}

func TestCreate_cardNow(t *testing.T) {
	h := newHouse(t)
	issued := h.create(t, now(number))
	k := issued.Key
	if got := h.find(t, k.ID); got.Shown() != securitykey.Active || got.Verification != securitykey.ByPIN || got.Name != "Card" || !got.ActivatedAt.Equal(h.clock.Now()) {
		t.Errorf("the card is %+v, want an active one with a PIN", got)
	}
	detail, err := h.Find(t.Context(), h.by, k.ID)
	if err != nil || detail.CardNumber != "04A1B2C3D4E5F6" {
		t.Errorf("Find() number %q (%v), want %q", detail.CardNumber, err, "04A1B2C3D4E5F6")
	}
	h.tried(t, k.ID, issued.PIN.ExposeString(), "")
	h.tried(t, k.ID, "nonsense", "pin_invalid")
	h.line(t, "security_key.create", "contactless_card", h.by, k)
	h.line(t, "security_key.activate", "", h.by, k)
	h.told(t, "activated ada@example.org")
}

func TestCreate_mailsThePIN(t *testing.T) {
	h := newHouse(t)
	n := now(number)
	n.Delivery, n.MustChange, n.PIN = "", true, secret.FromString("harbour7")
	issued := h.create(t, n)
	pin, mail := h.mailedPIN(t)
	if pin != "harbour7" || mail.To.Email != "ada@example.org" || !mail.MustChange || mail.Reset || !issued.PIN.IsEmpty() {
		t.Errorf("mailed %q with %+v and returned %d bytes, want the PIN in the mail only", pin, mail, len(issued.PIN.Expose()))
	}
	if !h.find(t, issued.Key.ID).PIN.MustChange {
		t.Error("the PIN is not to be changed, want that it is")
	}
	h.tried(t, issued.Key.ID, "harbour7", "")
}

func TestCreate_byEmailInvites(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, byEmail(securitykey.FIDO2)).Key
	if got := h.find(t, k.ID); got.Shown() != securitykey.Pending || got.Name != "Security key" || !got.Link.ExpiresAt.Equal(h.clock.Now().Add(72*time.Hour)) {
		t.Errorf("the key is %+v, want a pending one with a link of 72 hours", got)
	}
	var mail outbox.SecurityKeyActivation
	for _, m := range storetest.Messages(t, h.Store) {
		if m.Kind == mail.MessageKind() {
			if err := json.Unmarshal(m.Payload, &mail); err != nil {
				t.Fatal(err)
			}
		}
	}
	if mail.Link != string(k.Link.ID) || mail.To.Email != "ada@example.org" || mail.Kind != "fido2" {
		t.Errorf("the mail is %+v, want the link's id", mail)
	}
	var u directory.User
	storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		u, _, err = tx.FindUser(ctx, h.w, h.ada.ID)
		return err
	})
	if u.Status != directory.Pending {
		t.Errorf("the user is %s, want pending", u.Status)
	}
}

func TestCreate_checksFields(t *testing.T) {
	h := newHouse(t)
	card := func(change func(n *securitykey.NewKey)) securitykey.NewKey {
		n := now(number)
		change(&n)
		return n
	}
	for name, c := range map[string]struct {
		n    securitykey.NewKey
		want []string
	}{
		"no kind":                {securitykey.NewKey{}, []string{"kind"}},
		"a phone now":            {securitykey.NewKey{Kind: securitykey.Smartphone, Activation: securitykey.ActivateNow}, []string{"activation"}},
		"a card now, no number":  {card(func(n *securitykey.NewKey) { n.CardNumber = "" }), []string{"card_number"}},
		"a number of five bytes": {card(func(n *securitykey.NewKey) { n.CardNumber = "0102030405" }), []string{"card_number"}},
		"a decimal number":       {card(func(n *securitykey.NewKey) { n.CardNumber = "12345" }), []string{"card_number"}},
		"another type of number": {card(func(n *securitykey.NewKey) { n.CardType = "pacs" }), []string{"card_type"}},
		"a phone with a number":  {securitykey.NewKey{Kind: securitykey.Smartphone, CardNumber: number}, []string{"card_number"}},
		"pinless not allowed":    {card(func(n *securitykey.NewKey) { n.Verification = securitykey.Pinless }), []string{"verification"}},
		"a card by phone":        {card(func(n *securitykey.NewKey) { n.Verification = securitykey.ByPhone }), []string{"verification"}},
		"proximity of a card":    {card(func(n *securitykey.NewKey) { n.Proximity = true }), []string{"proximity"}},
		"a delivery by pigeon":   {card(func(n *securitykey.NewKey) { n.Delivery = "pigeon" }), []string{"pin_delivery"}},
		"a PIN too early":        {card(func(n *securitykey.NewKey) { n.Activation, n.PIN = "", secret.FromString("harbour7") }), []string{"pin"}},
		"a trivial short PIN":    {card(func(n *securitykey.NewKey) { n.PIN = secret.FromString("1234") }), []string{"pin", "pin"}},
		"a long name":            {card(func(n *securitykey.NewKey) { n.Name = strings.Repeat("x", 101) }), []string{"name"}},
		"a line in the name":     {card(func(n *securitykey.NewKey) { n.Name = "a\nb" }), []string{"name"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.Create(t.Context(), h.by, h.ada.ID, c.n)
			fieldsAt(t, err, c.want...)
		})
	}
	if got, err := h.OwnKeys(t.Context(), h.session(t)); err != nil || len(got) != 0 {
		t.Errorf("%d keys (%v), want none", len(got), err)
	}
}

func TestCreate_refusesACardOfSomebody(t *testing.T) {
	h := newHouse(t)
	h.create(t, now(number))
	bob := storetest.User(t, h.Store, h.w, "bob")
	for _, same := range []string{"04a1b2c3d4e5f6", "04-A1-B2-C3-D4-E5-F6", " 04 A1 B2 C3.D4.E5.F6 "} {
		_, err := h.Create(t.Context(), h.by, bob.ID, now(same))
		f := storetest.Fault(t, err, "card_registered")
		if !strings.Contains(f.Public, "ada Example") {
			t.Errorf("%q, want that the holder is named to who may read users", f.Public)
		}
	}
	_, err := h.Create(t.Context(), storetest.APIKey(t, h.Store, h.w, auth.SecurityKeysWrite), bob.ID, now(number))
	if f := storetest.Fault(t, err, "card_registered"); strings.Contains(f.Public, "ada") {
		t.Errorf("%q names the holder to who may not read users", f.Public)
	}
	other := newHouse(t)
	other.create(t, now(number)) // elsewhere it is free
}

func TestCreate_boundsKeys(t *testing.T) {
	h := newHouse(t)
	for range securitykey.MaxKeys {
		h.create(t, securitykey.NewKey{Kind: securitykey.FIDO2})
	}
	_, err := h.Create(t.Context(), h.by, h.ada.ID, securitykey.NewKey{Kind: securitykey.FIDO2})
	refused(t, err, "too_many_keys")
}

func TestCreate_refusesForTheSuspendedAndTheAbsent(t *testing.T) {
	h := newHouse(t)
	_, err := h.Create(t.Context(), h.by, id.New[id.KindUser](h.clock.Now()), now(number))
	refused(t, err, "user_not_found")
	elsewhere := newHouse(t)
	_, err = h.Create(t.Context(), h.by, elsewhere.ada.ID, now(number))
	refused(t, err, "user_not_found")
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		return tx.SuspendUser(ctx, h.w, h.ada.ID, h.clock.Now())
	})
	_, err = h.Create(t.Context(), h.by, h.ada.ID, now(number))
	refused(t, err, "user_suspended")
}

func TestGiving_nobodyRises(t *testing.T) {
	h := newHouse(t)
	boss := storetest.Administrator(t, h.Store, h.w, "boss", auth.SecurityKeysWrite, auth.APIKeysWrite)
	u := directory.User{ID: boss.User}
	waits := h.createFor(t, u, byEmail(securitykey.ContactlessCard)).Key
	if _, err := h.ActivateCard(t.Context(), nobody(), h.link(t, waits.ID), securitykey.CardActivation{Number: "11223344"}); err != nil {
		t.Fatal(err)
	}
	active := h.createFor(t, u, now(number)).Key
	asleep := h.createFor(t, u, byEmail(securitykey.FIDO2)).Key
	if _, err := h.Suspend(t.Context(), h.by, asleep.ID); err != nil {
		t.Fatal(err)
	}
	sent := h.createFor(t, u, byEmail(securitykey.FIDO2)).Key
	lesser := storetest.Administrator(t, h.Store, h.w, "lesser", auth.SecurityKeysWrite, auth.UsersWrite)
	pinless := securitykey.Pinless
	for action, call := range map[string]func(by auth.Caller) error{
		"security_key.create":          func(by auth.Caller) error { _, err := h.Create(t.Context(), by, u.ID, now("AABBCCDD")); return err },
		"security_key.resume":          func(by auth.Caller) error { _, err := h.Activate(t.Context(), by, asleep.ID); return err },
		"security_key.confirm":         func(by auth.Caller) error { _, err := h.Confirm(t.Context(), by, waits.ID); return err },
		"security_key.send_activation": func(by auth.Caller) error { _, err := h.ResendActivation(t.Context(), by, sent.ID); return err },
		"security_key.pin_reset": func(by auth.Caller) error {
			_, err := h.ResetPIN(t.Context(), by, active.ID, securitykey.Reset{})
			return err
		},
		"security_key.update": func(by auth.Caller) error {
			_, err := h.Update(t.Context(), by, active.ID, securitykey.Change{Verification: &pinless}, 0)
			return err
		},
	} {
		t.Run(action, func(t *testing.T) {
			refused(t, call(lesser), "beyond_your_permissions")
			all := storetest.Activities(t, h.Store, h.w, action)
			if !slices.ContainsFunc(all, func(e activity.Event) bool {
				return e.Outcome == activity.Refused && e.Reason == "beyond_your_permissions" && e.Actor.ID == string(lesser.User)
			}) {
				t.Errorf("the lines are %+v, want the refusal among them", all)
			}
		})
	}
	// Taking away is everybody's who may write keys.
	if _, err := h.Suspend(t.Context(), lesser, active.ID); err != nil {
		t.Errorf("Suspend() = %v, want nil", err)
	}
	if err := h.Delete(t.Context(), lesser, active.ID, 0); err != nil {
		t.Errorf("Delete() = %v, want nil", err)
	}
}

func nobody() auth.Caller { return auth.Nobody("203.0.113.5", "browser/2", "req_nobody") }

func TestSuspendAndActivate_giveBackWhatWas(t *testing.T) {
	h := newHouse(t)
	for _, n := range []securitykey.NewKey{{Kind: securitykey.FIDO2}, byEmail(securitykey.Smartphone), now(number)} {
		k := h.create(t, n).Key
		before := k.Shown()
		h.clock.Advance(time.Second)
		got, err := h.Suspend(t.Context(), h.by, k.ID)
		if err != nil || got.Shown() != securitykey.Suspended || got.Life != before {
			t.Fatalf("Suspend() = %s/%s (%v), want suspended/%s", got.Shown(), got.Life, err, before)
		}
		h.line(t, "security_key.suspend", "", h.by, k)
		h.told(t, "suspended ada@example.org")
		lines := h.lines(t)
		if _, err := h.Suspend(t.Context(), h.by, k.ID); err != nil || h.lines(t) != lines {
			t.Errorf("Suspend() twice = %v with %d more lines, want nothing", err, h.lines(t)-lines)
		}
		if got, err = h.Activate(t.Context(), h.by, k.ID); err != nil || got.Shown() != before {
			t.Errorf("Activate() = %s (%v), want %s", got.Shown(), err, before)
		}
		h.line(t, "security_key.resume", "", h.by, k)
		h.told(t, "resumed ada@example.org")
		lines = h.lines(t)
		if _, err := h.Activate(t.Context(), h.by, k.ID); err != nil || h.lines(t) != lines {
			t.Errorf("Activate() twice = %v with %d more lines, want nothing", err, h.lines(t)-lines)
		}
	}
}

// passkeyOf registers a passkey of a key and opens a session with it.
func (h house) passkeyOf(t testing.TB, k securitykey.SecurityKey) auth.Caller {
	t.Helper()
	by := h.session(t)
	p := signin.Passkey{ID: id.New[id.KindPasskey](h.clock.Now()), Workspace: h.w, User: k.User, Record: []byte("{}"), CreatedAt: h.clock.Now()}
	p.CredentialID = []byte(p.ID)
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertPasskey(ctx, p) })
	storetest.Exec(t, h.Database, `UPDATE signin_passkey SET security_key = $1 WHERE id = $2`, string(k.ID), string(p.ID))
	storetest.Exec(t, h.Database, `UPDATE signin_session SET passkey_id = $1 WHERE id = $2`, string(p.ID), string(by.Session))
	return by
}

func TestSuspend_endsTheKeysSessions(t *testing.T) {
	h := newHouse(t)
	k, other := h.create(t, byEmail(securitykey.FIDO2)).Key, h.session(t)
	by := h.passkeyOf(t, k)
	if _, err := h.Suspend(t.Context(), h.by, k.ID); err != nil {
		t.Fatal(err)
	}
	_, err := h.OwnKeys(t.Context(), by)
	refused(t, err, "unauthenticated")
	if _, err := h.OwnKeys(t.Context(), other); err != nil {
		t.Errorf("another session: %v, want that it goes on", err)
	}
}

func TestDelete_isFinal(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, byEmail(securitykey.FIDO2)).Key
	by := h.passkeyOf(t, k)
	refused(t, h.Delete(t.Context(), h.by, k.ID, k.Revision+1), "revision_changed")
	if err := h.Delete(t.Context(), h.by, k.ID, k.Revision); err != nil {
		t.Fatal(err)
	}
	h.line(t, "security_key.delete", "", h.by, k)
	h.told(t, "deleted ada@example.org")
	refused(t, h.Delete(t.Context(), h.by, k.ID, 0), "security_key_not_found")
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_passkey`); n != 0 {
		t.Errorf("%d passkeys are left, want none", n)
	}
	_, err := h.OwnKeys(t.Context(), by)
	refused(t, err, "unauthenticated")
	all, err := h.History(t.Context(), h.by, h.ada.ID)
	want := []securitykey.Binding{{
		Key: k.ID, Workspace: h.w, User: h.ada.ID, Kind: k.Kind, Name: k.Name, CreatedAt: k.CreatedAt, EndedAt: h.clock.Now(), EndedAs: "deleted",
	}}
	if diff := cmp.Diff(want, all); diff != "" || err != nil {
		t.Errorf("History() (%v) (-want +got):\n%s", err, diff)
	}
}

func TestUpdate(t *testing.T) {
	h := newHouse(t)
	phone := h.create(t, byEmail(securitykey.Smartphone)).Key
	name, model, near, empty := " Ada's phone ", "Pixel", true, ""
	got, err := h.Update(t.Context(), h.by, phone.ID, securitykey.Change{Name: &name, Model: &model, Proximity: &near}, phone.Revision)
	if err != nil || got.Name != "Ada's phone" || got.Model != "Pixel" || !got.Proximity || got.Revision != phone.Revision+1 {
		t.Errorf("Update() = %+v (%v), want it changed", got, err)
	}
	h.line(t, "security_key.update", "name, model, proximity", h.by, got)
	lines := h.lines(t)
	if again, err := h.Update(t.Context(), h.by, phone.ID, securitykey.Change{Name: &name}, 0); err != nil || again.Revision != got.Revision || h.lines(t) != lines {
		t.Errorf("Update() to what it is = revision %d (%v), want no change", again.Revision, err)
	}
	_, err = h.Update(t.Context(), h.by, phone.ID, securitykey.Change{Name: &name}, phone.Revision)
	refused(t, err, "revision_changed")
	_, err = h.Update(t.Context(), h.by, phone.ID, securitykey.Change{Name: &empty}, 0)
	fieldsAt(t, err, "name")
	if all, err := h.History(t.Context(), h.by, h.ada.ID); err != nil || all[0].Name != "Ada's phone" || all[0].Model != "Pixel" {
		t.Errorf("History() = %+v (%v), want the name and model of now", all, err)
	}
	card := h.create(t, now(number)).Key
	_, err = h.Update(t.Context(), h.by, card.ID, securitykey.Change{Proximity: &near}, 0)
	fieldsAt(t, err, "proximity")
}

func TestUpdate_verification(t *testing.T) {
	h := newHouse(t)
	card := h.create(t, now(number)).Key
	pinless, byPIN, yes := securitykey.Pinless, securitykey.ByPIN, true
	_, err := h.Update(t.Context(), h.by, card.ID, securitykey.Change{Verification: &pinless}, 0)
	fieldsAt(t, err, "verification")
	if _, err := h.UpdateSettings(t.Context(), h.by, securitykey.SettingsChange{Pinless: &yes}, 0); err != nil {
		t.Fatal(err)
	}
	got, err := h.Update(t.Context(), h.by, card.ID, securitykey.Change{Verification: &pinless}, 0)
	if err != nil || got.Verification != pinless || len(got.PIN.Verifier) != 0 {
		t.Errorf("Update() = %+v (%v), want no PIN any more", got, err)
	}
	h.told(t, "pinless ada@example.org")
	_, err = h.Update(t.Context(), h.by, card.ID, securitykey.Change{Verification: &byPIN}, 0)
	refused(t, err, "pin_needed")
	issued, err := h.ResetPIN(t.Context(), h.by, card.ID, securitykey.Reset{Delivery: securitykey.DeliverResponse})
	if err != nil || issued.Key.Verification != byPIN {
		t.Errorf("ResetPIN() = %+v (%v), want a card with a PIN", issued.Key, err)
	}
	h.tried(t, card.ID, issued.PIN.ExposeString(), "")
}

func TestResetPIN(t *testing.T) {
	h := newHouse(t)
	issued := h.create(t, now(number))
	k, old := issued.Key, issued.PIN.ExposeString()
	lock(t, h, k.ID)
	h.tried(t, k.ID, old, "pin_locked")
	h.wake(t)
	h.clock.Advance(time.Second)
	if _, err := h.ResetPIN(t.Context(), h.by, k.ID, securitykey.Reset{PIN: secret.FromString("harbour7"), MustChange: true}); err != nil {
		t.Fatal(err)
	}
	h.line(t, "security_key.pin_reset", "set", h.by, k)
	if pin, mail := h.mailedPIN(t); pin != "harbour7" || !mail.Reset || !mail.MustChange {
		t.Errorf("mailed %q with %+v, want the reset PIN", pin, mail)
	}
	h.tried(t, k.ID, old, "pin_invalid")
	h.tried(t, k.ID, "harbour7", "")
	h.clock.Advance(time.Second)
	again, err := h.ResetPIN(t.Context(), h.by, k.ID, securitykey.Reset{Delivery: securitykey.DeliverResponse})
	if err != nil {
		t.Fatal(err)
	}
	h.line(t, "security_key.pin_reset", "generated", h.by, k)
	h.told(t, "pin_set ada@example.org")
	h.tried(t, k.ID, again.PIN.ExposeString(), "")
	_, err = h.ResetPIN(t.Context(), h.by, k.ID, securitykey.Reset{PIN: secret.FromString("123456")})
	fieldsAt(t, err, "pin")
	phone := h.create(t, byEmail(securitykey.Smartphone)).Key
	_, err = h.ResetPIN(t.Context(), h.by, phone.ID, securitykey.Reset{})
	refused(t, err, "not_a_card")
	waits := h.create(t, byEmail(securitykey.ContactlessCard)).Key
	_, err = h.ResetPIN(t.Context(), h.by, waits.ID, securitykey.Reset{})
	refused(t, err, "key_not_active")
}

// lock tries wrong PINs until there is no try left.
func lock(t testing.TB, h house, k id.SecurityKey) {
	t.Helper()
	for try := 1; try <= securitykey.PINTries; try++ {
		want := "pin_invalid"
		if try == securitykey.PINTries {
			want = "pin_locked"
		}
		h.clock.Advance(time.Second)
		h.tried(t, k, "wrong 1", want)
		if try == 3 || try == 6 {
			h.tried(t, k, "wrong 1", "pin_paused")
			h.clock.Advance(map[int]time.Duration{3: time.Minute, 6: 5 * time.Minute}[try])
		}
	}
}

func TestTryPIN_pausesThenLocks(t *testing.T) {
	h := newHouse(t)
	issued := h.create(t, now(number))
	k, pin := issued.Key.ID, issued.PIN.ExposeString()
	for range 2 {
		h.tried(t, k, "wrong 1", "pin_invalid")
	}
	h.tried(t, k, pin, "") // begins anew
	for range 3 {
		h.tried(t, k, "wrong 1", "pin_invalid")
	}
	h.clock.Advance(time.Millisecond) // the newest line is the last
	f := h.try(t, k, pin)
	if f == nil || f.Code != "pin_paused" || f.RetryAfter != time.Minute-time.Millisecond {
		t.Errorf("the right PIN while it rests is answered with %v, want to come back in a minute", f)
	}
	h.refusedLine(t, "security_key.pin_try", "pin_paused", k)
	h.clock.Advance(time.Minute - 2*time.Millisecond)
	h.tried(t, k, pin, "pin_paused")
	h.clock.Advance(time.Millisecond)
	h.tried(t, k, pin, "")
	lock(t, h, k)
	h.refusedLine(t, "security_key.pin_try", "pin_locked", k)
	h.told(t, "pin_locked ada@example.org")
	h.clock.Advance(1000 * time.Hour)
	h.tried(t, k, pin, "pin_locked")
	if _, err := h.Suspend(t.Context(), auth.Job(h.w, "test"), k); err != nil {
		t.Fatal(err)
	}
	h.tried(t, k, pin, "key_not_active")
}

func TestFind_isScoped(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, now(number)).Key
	w := storetest.Workspace(t, h.Store)
	elsewhere := storetest.Administrator(t, h.Store, w, "elsewhere")
	_, err := h.Find(t.Context(), elsewhere, k.ID)
	refused(t, err, "security_key_not_found")
	_, err = h.Suspend(t.Context(), elsewhere, k.ID)
	refused(t, err, "security_key_not_found")
	refused(t, h.Delete(t.Context(), elsewhere, k.ID, 0), "security_key_not_found")
	_, err = h.ResetPIN(t.Context(), elsewhere, k.ID, securitykey.Reset{})
	refused(t, err, "security_key_not_found")
	if all, err := h.List(t.Context(), elsewhere, "", securitykey.Query{}); err != nil || len(all.Items) != 0 {
		t.Errorf("List() elsewhere = %d keys (%v), want none", len(all.Items), err)
	}
	_, err = h.History(t.Context(), elsewhere, h.ada.ID)
	refused(t, err, "user_not_found")
}

func TestList(t *testing.T) {
	h := newHouse(t)
	bob := storetest.User(t, h.Store, h.w, "bob")
	card := h.create(t, now(number)).Key
	h.clock.Advance(time.Second)
	phone := h.createFor(t, bob, byEmail(securitykey.Smartphone)).Key
	h.clock.Advance(time.Minute)
	usb := h.createFor(t, bob, securitykey.NewKey{Kind: securitykey.FIDO2, Name: "Ätna stick", Model: "YubiKey 5"}).Key
	ids := func(text string, q securitykey.Query) string {
		t.Helper()
		q.Page.WithTotal = true
		got, err := h.List(t.Context(), h.by, text, q)
		if err != nil {
			t.Fatal(err)
		}
		names := map[id.SecurityKey]string{card.ID: "card", phone.ID: "phone", usb.ID: "usb"}
		var out []string
		for _, k := range got.Items {
			out = append(out, names[k.ID])
		}
		if got.Total != len(out) {
			t.Errorf("%q %+v: total %d, want %d", text, q, got.Total, len(out))
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		text string
		q    securitykey.Query
		want string
	}{
		{"", securitykey.Query{}, "usb card phone"}, // Ätna, Card, Phone
		{"", securitykey.Query{User: bob.ID}, "usb phone"},
		{"", securitykey.Query{Status: securitykey.Active}, "card"},
		{"", securitykey.Query{Status: securitykey.Pending}, "phone"},
		{"", securitykey.Query{Kind: securitykey.FIDO2}, "usb"},
		{"", securitykey.Query{Kind: securitykey.FIDO2, Status: securitykey.Active}, ""},
		{"", securitykey.Query{Page: page.Request{Sort: securitykey.SortCreated, Descending: true}}, "usb phone card"},
		{"", securitykey.Query{UnusedSince: h.clock.Now(), Page: page.Request{Sort: securitykey.SortLastActivity}}, "card phone"},
		{"atna", securitykey.Query{}, "usb"},
		{"yubi", securitykey.Query{}, "usb"},
		{"bob@exa", securitykey.Query{}, "usb phone"},
		{"ada", securitykey.Query{}, "card"},
		{"04 a1 b2 c3 d4 e5 f6", securitykey.Query{}, "card"},
		{"deadbeef", securitykey.Query{}, ""},
		{"bob", securitykey.Query{Kind: securitykey.Smartphone}, "phone"},
	} {
		if got := ids(c.text, c.q); got != c.want {
			t.Errorf("List(%q, %+v) = %q, want %q", c.text, c.q, got, c.want)
		}
	}
	var seen []string
	q := securitykey.Query{Page: page.Request{Limit: 1}}
	for {
		p, err := h.List(t.Context(), h.by, "", q)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range p.Items {
			seen = append(seen, k.Name)
		}
		if q.Page.After = p.Next; p.Next.IsZero() {
			break
		}
	}
	if want := []string{"Ätna stick", "Card", "Phone"}; !slices.Equal(seen, want) {
		t.Errorf("by pages %v, want %v", seen, want)
	}
	if n, err := h.Counts(t.Context(), h.by); err != nil || n != (securitykey.Counts{Total: 3, New: 1, Pending: 1, Active: 1}) {
		t.Errorf("Counts() = %+v (%v)", n, err)
	}
}

func TestMany(t *testing.T) {
	h := newHouse(t)
	one, two := h.create(t, now(number)).Key, h.create(t, securitykey.NewKey{Kind: securitykey.FIDO2}).Key
	none := id.New[id.KindSecurityKey](h.clock.Now())
	want := []string{"", "security_key_not_found", ""}
	for name, many := range map[string]func(ctx context.Context, by auth.Caller, ks []id.SecurityKey) ([]securitykey.Outcome, error){
		"1 suspend": h.SuspendMany, "2 activate": h.ActivateMany,
	} {
		got, err := many(t.Context(), h.by, []id.SecurityKey{one.ID, none, two.ID})
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(want, codes(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	got, err := h.DeleteMany(t.Context(), h.by, []id.SecurityKey{one.ID, none, two.ID, one.ID})
	if diff := cmp.Diff(append(want, "security_key_not_found"), codes(got)); diff != "" || err != nil {
		t.Errorf("delete (%v) (-want +got):\n%s", err, diff)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "security_key.delete")); n != 2 {
		t.Errorf("%d lines of deletions, want 2", n)
	}
	_, err = h.SuspendMany(t.Context(), h.by, make([]id.SecurityKey, 201))
	fieldsAt(t, err, "ids")
}

func codes(all []securitykey.Outcome) []string {
	out := []string{}
	for _, o := range all {
		code := ""
		if f, ok := fault.As(o.Fault); ok {
			code = f.Code
		} else if o.Fault != nil {
			code = fmt.Sprint("no fault: ", o.Fault)
		}
		out = append(out, code)
	}
	return out
}

// The methods whose action is that of another one above.
func TestMethods_refuseStrangersAlike(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, now(number)).Key.ID
	for action, m := range map[string]struct {
		need auth.Permission
		call func(by auth.Caller) error
	}{
		"security_key.suspend": {auth.SecurityKeysWrite, func(by auth.Caller) error { _, err := h.Suspend(t.Context(), by, k); return err }},
		"security_key.resume": {auth.SecurityKeysWrite, func(by auth.Caller) error {
			_, err := h.ActivateMany(t.Context(), by, []id.SecurityKey{k})
			return err
		}},
		"security_key.delete": {auth.SecurityKeysWrite, func(by auth.Caller) error {
			_, err := h.DeleteMany(t.Context(), by, []id.SecurityKey{k})
			return err
		}},
		"workspace.security_keys": {auth.WorkspaceRead, func(by auth.Caller) error { _, err := h.Settings(t.Context(), by); return err }},
	} {
		t.Run(action, func(t *testing.T) {
			storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: action, Need: m.need, Call: m.call})
		})
	}
	if got := h.find(t, k); got.Shown() != securitykey.Active {
		t.Errorf("strangers made the card %s", got.Shown())
	}
}

func TestMethods_refuseStrangers(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, now(number)).Key.ID
	name := "x"
	reads, writes, ks := auth.SecurityKeysRead, auth.SecurityKeysWrite, []id.SecurityKey{k}
	type call = func(ctx context.Context, by auth.Caller) error
	for _, m := range []struct {
		action string
		need   auth.Permission
		call   call
	}{
		{"security_key.create", writes, func(ctx context.Context, by auth.Caller) error {
			_, err := h.Create(ctx, by, h.ada.ID, now("AABBCCDD"))
			return err
		}},
		{"security_key.find", reads, func(ctx context.Context, by auth.Caller) error { _, err := h.Find(ctx, by, k); return err }},
		{"security_key.list", reads, func(ctx context.Context, by auth.Caller) error {
			_, err := h.List(ctx, by, number, securitykey.Query{})
			return err
		}},
		{"security_key.count", reads, func(ctx context.Context, by auth.Caller) error { _, err := h.Counts(ctx, by); return err }},
		{"security_key.history", reads, func(ctx context.Context, by auth.Caller) error { _, err := h.History(ctx, by, h.ada.ID); return err }},
		{"security_key.unused", reads, func(ctx context.Context, by auth.Caller) error { _, err := h.Unused(ctx, by, 30, 14); return err }},
		{"security_key.update", writes, func(ctx context.Context, by auth.Caller) error {
			_, err := h.Update(ctx, by, k, securitykey.Change{Name: &name}, 0)
			return err
		}},
		{"security_key.confirm", writes, func(ctx context.Context, by auth.Caller) error { _, err := h.Confirm(ctx, by, k); return err }},
		{"security_key.pin_reset", writes, func(ctx context.Context, by auth.Caller) error {
			_, err := h.ResetPIN(ctx, by, k, securitykey.Reset{})
			return err
		}},
		{"security_key.send_activation", writes, func(ctx context.Context, by auth.Caller) error { _, err := h.ResendActivation(ctx, by, k); return err }},
		{"security_key.suspend", writes, func(ctx context.Context, by auth.Caller) error { _, err := h.SuspendMany(ctx, by, ks); return err }},
		{"security_key.resume", writes, func(ctx context.Context, by auth.Caller) error { _, err := h.Activate(ctx, by, k); return err }},
		{"security_key.delete", writes, func(ctx context.Context, by auth.Caller) error { return h.Delete(ctx, by, k, 0) }},
		{"workspace.security_keys", auth.WorkspaceWrite, func(ctx context.Context, by auth.Caller) error {
			_, err := h.UpdateSettings(ctx, by, securitykey.SettingsChange{}, 0)
			return err
		}},
		{"security_key.own", auth.Signed, func(ctx context.Context, by auth.Caller) error { _, err := h.OwnKeys(ctx, by); return err }},
		{"security_key.rules", auth.Signed, func(ctx context.Context, by auth.Caller) error { _, err := h.Rules(ctx, by); return err }},
		{"security_key.report_lost", auth.Signed, func(ctx context.Context, by auth.Caller) error { _, err := h.ReportLost(ctx, by, k); return err }},
		{"security_key.pin_change", auth.Signed, func(ctx context.Context, by auth.Caller) error {
			return h.ChangePIN(ctx, by, k, secret.FromString("a"), secret.FromString("b"))
		}},
	} {
		t.Run(m.action, func(t *testing.T) {
			storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: m.action, Need: m.need, Call: func(by auth.Caller) error { return m.call(t.Context(), by) }})
		})
	}
	if got := h.find(t, k); got.Shown() != securitykey.Active {
		t.Errorf("strangers made the card %s", got.Shown())
	}
	_, err := h.LookAfterUnused(t.Context(), h.by)
	refused(t, err, "system_only")
}
