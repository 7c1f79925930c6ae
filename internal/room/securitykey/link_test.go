package securitykey_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// holder is who acts with a link without a session: Ada, from nobody's address.
func (h house) holder() auth.Caller {
	by := nobody()
	by.Kind, by.Workspace, by.User, by.Name = auth.User, h.w, h.ada.ID, h.ada.Name()
	return by
}

// named is a card that the administrator names, to be activated by e-mail.
func named() securitykey.NewKey {
	n := byEmail(securitykey.ContactlessCard)
	n.CardNumber = number
	return n
}

// mailbox asks the rule of a caller of that standing.
func mailbox(t testing.TB, h house, k securitykey.SecurityKey, by auth.Caller, byMailbox bool) *fault.Error {
	t.Helper()
	var f *fault.Error
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		f, err = securitykey.MayTake(ctx, tx, by, auth.Standing{Active: true, ByMailbox: byMailbox}, k)
		return err
	})
	return f
}

func TestActivateCard_named(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, named()).Key
	link := h.link(t, k.ID)
	in, err := h.OpenLink(t.Context(), nobody(), link)
	if err != nil || in.Key.ID != k.ID || in.Workspace != "Harbour" || !in.CardNamed || in.NeedsProof || in.Rules.Min != 6 {
		t.Errorf("OpenLink() = %+v (%v), want the named card's", in, err)
	}
	got, err := h.ActivateCard(t.Context(), nobody(), link, securitykey.CardActivation{Number: number, PIN: secret.FromString("harbour7")})
	if err != nil || got.Shown() != securitykey.Active || got.ToConfirm {
		t.Fatalf("ActivateCard() = %+v (%v), want an active card", got, err)
	}
	h.line(t, "security_key.activate", "", h.holder(), got)
	h.told(t, "activated ada@example.org")
	h.tried(t, k.ID, "harbour7", "")
	for range 2 { // it is spent
		_, err = h.OpenLink(t.Context(), nobody(), link)
		refused(t, err, "activation_not_found")
		_, err = h.ActivateCard(t.Context(), nobody(), link, securitykey.CardActivation{Number: number})
		refused(t, err, "activation_not_found")
	}
}

func TestActivateCard_unnamedWaits(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, byEmail(securitykey.ContactlessCard)).Key
	got, err := h.ActivateCard(t.Context(), nobody(), h.link(t, k.ID), securitykey.CardActivation{Number: number})
	if err != nil || got.Shown() != securitykey.Pending || !got.ToConfirm {
		t.Fatalf("ActivateCard() = %+v (%v), want that it waits", got, err)
	}
	h.line(t, "security_key.activate", "to confirm", h.holder(), got)
	h.told(t, "waits owner@example.org")
	pin, _ := h.mailedPIN(t)
	h.tried(t, k.ID, pin, "key_not_active")
	bob := storetest.User(t, h.Store, h.w, "bob")
	_, err = h.Create(t.Context(), h.by, bob.ID, now(number))
	refused(t, err, "card_registered") // also while it waits
	if page, err := h.List(t.Context(), h.by, "", securitykey.Query{ToConfirm: true}); err != nil || len(page.Items) != 1 {
		t.Errorf("List() of what waits = %d (%v), want 1", len(page.Items), err)
	}
	if got, err = h.Confirm(t.Context(), h.by, k.ID); err != nil || got.Shown() != securitykey.Active || got.ToConfirm {
		t.Errorf("Confirm() = %+v (%v), want it active", got, err)
	}
	h.line(t, "security_key.confirm", "", h.by, got)
	h.tried(t, k.ID, pin, "")
	_, err = h.Confirm(t.Context(), h.by, k.ID)
	refused(t, err, "nothing_to_confirm")
}

func TestActivateCard_mailboxAloneWaits(t *testing.T) {
	h := newHouse(t)
	first := h.create(t, now("AABBCCDD")).Key
	if _, err := h.Suspend(t.Context(), h.by, first.ID); err != nil { // counts all the same
		t.Fatal(err)
	}
	k := h.create(t, named()).Key
	link := h.link(t, k.ID)
	if in, err := h.OpenLink(t.Context(), nobody(), link); err != nil || !in.NeedsProof {
		t.Errorf("OpenLink() = %+v (%v), want that a proof is needed", in, err)
	}
	if in, err := h.OpenLink(t.Context(), h.session(t), link); err != nil || in.NeedsProof {
		t.Errorf("OpenLink() in a session = %+v (%v), want that none is", in, err)
	}
	got, err := h.ActivateCard(t.Context(), nobody(), link, securitykey.CardActivation{Number: number})
	if err != nil || got.Shown() != securitykey.Pending || !got.ToConfirm {
		t.Errorf("ActivateCard() = %+v (%v), want that it waits", got, err)
	}
	coded := named()
	coded.CardNumber = "55667788"
	k = h.create(t, coded).Key
	byCode := storetest.AppSession(t, h.Store, h.ada, signin.OpenedByCode, h.clock.Now())
	if got, err = h.ActivateCard(t.Context(), byCode, h.link(t, k.ID), securitykey.CardActivation{Number: "55667788"}); err != nil || !got.ToConfirm {
		t.Errorf("ActivateCard() in a session by an e-mail code = %+v (%v), want that it waits", got, err)
	}
	second := named()
	second.CardNumber = "11223344"
	k = h.create(t, second).Key
	got, err = h.ActivateCard(t.Context(), h.session(t), h.link(t, k.ID), securitykey.CardActivation{Number: "11223344"})
	if err != nil || got.Shown() != securitykey.Active {
		t.Errorf("ActivateCard() in a session = %+v (%v), want it active", got, err)
	}
}

func TestMayTake(t *testing.T) {
	h := newHouse(t)
	k, own, bob := h.create(t, byEmail(securitykey.FIDO2)).Key, h.session(t), h.session(t)
	bob.User = "user_bob"
	for _, by := range []auth.Caller{nobody(), own} {
		if f := mailbox(t, h, k, by, true); f != nil {
			t.Errorf("%s with a mailbox and no key: %v, want nil", by.Kind, f)
		}
	}
	other := h.create(t, now(number)).Key
	for name, c := range map[string]struct {
		by      auth.Caller
		mailbox bool
		want    string
	}{
		"nobody":            {nobody(), false, "mailbox_only"},
		"a mailbox session": {own, true, "mailbox_only"},
		"another's session": {bob, false, "mailbox_only"},
		"a better session":  {own, false, ""},
	} {
		got := ""
		if f := mailbox(t, h, k, c.by, c.mailbox); f != nil {
			got = f.Code
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if f := mailbox(t, h, other, nobody(), true); f != nil {
		t.Errorf("the key itself counts: %v", f)
	}
}

func TestLinks_areDead(t *testing.T) {
	h := newHouse(t)
	elsewhere := storetest.Workspace(t, h.Store)
	stranger := storetest.User(t, h.Store, h.w, "stranger")
	fresh := func() (securitykey.SecurityKey, secret.Bytes) {
		k := h.create(t, byEmail(securitykey.ContactlessCard)).Key
		t.Cleanup(func() { _ = h.Delete(context.Background(), auth.Job(h.w, "test"), k.ID, 0) })
		return k, h.link(t, k.ID)
	}
	dead := func(t *testing.T, by auth.Caller, link secret.Bytes) {
		t.Helper()
		_, err := h.OpenLink(t.Context(), by, link)
		refused(t, err, "activation_not_found")
		_, err = h.ActivateCard(t.Context(), by, link, securitykey.CardActivation{Number: number})
		refused(t, err, "activation_not_found")
	}
	t.Run("forged", func(t *testing.T) {
		k, link := fresh()
		dead(t, nobody(), secret.FromString(link.ExposeString()[:len(link.Expose())-1]+"!"))
		dead(t, nobody(), token.Link(secret.FromString("another key"), string(k.Link.ID)))
		dead(t, nobody(), token.Link(linkKey, string(k.ID)))
		dead(t, nobody(), secret.Bytes{})
	})
	t.Run("replaced", func(t *testing.T) {
		k, link := fresh()
		h.clock.Advance(time.Second)
		got, err := h.ResendActivation(t.Context(), h.by, k.ID)
		if err != nil {
			t.Fatal(err)
		}
		h.line(t, "security_key.send_activation", "", h.by, got)
		dead(t, nobody(), link)
		if _, err := h.OpenLink(t.Context(), nobody(), h.link(t, k.ID)); err != nil {
			t.Errorf("OpenLink() of the fresh one = %v", err)
		}
	})
	t.Run("suspended and back", func(t *testing.T) {
		k, link := fresh()
		if _, err := h.Suspend(t.Context(), h.by, k.ID); err != nil {
			t.Fatal(err)
		}
		dead(t, nobody(), link)
		_, err := h.ResendActivation(t.Context(), h.by, k.ID)
		refused(t, err, "key_suspended")
		if _, err := h.Activate(t.Context(), h.by, k.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := h.OpenLink(t.Context(), nobody(), link); err != nil {
			t.Errorf("OpenLink() after it came back = %v", err)
		}
	})
	t.Run("of a suspended holder", func(t *testing.T) {
		_, link := fresh()
		storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
			return tx.SuspendUser(ctx, h.w, h.ada.ID, h.clock.Now())
		})
		dead(t, nobody(), link)
		storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error { return tx.ActivateUser(ctx, h.w, h.ada.ID) })
	})
	t.Run("deleted", func(t *testing.T) {
		k, link := fresh()
		if err := h.Delete(t.Context(), h.by, k.ID, 0); err != nil {
			t.Fatal(err)
		}
		dead(t, nobody(), link)
	})
	t.Run("sent to another address", func(t *testing.T) {
		k, link := fresh()
		people := directory.New(store.For[directory.Tx](h.Store), h.clock)
		change := func(c directory.Change) {
			t.Helper()
			if _, err := people.Update(t.Context(), h.by, h.ada.ID, c, 0); err != nil {
				t.Fatal(err)
			}
		}
		name, email, old := "Ada", "new@example.org", h.ada.Email
		change(directory.Change{FirstName: &name})
		if _, err := h.OpenLink(t.Context(), nobody(), link); err != nil {
			t.Errorf("OpenLink() after another name = %v", err)
		}
		change(directory.Change{Email: &email})
		dead(t, nobody(), link)
		h.clock.Advance(time.Second)
		if _, err := h.ResendActivation(t.Context(), h.by, k.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := h.OpenLink(t.Context(), nobody(), h.link(t, k.ID)); err != nil {
			t.Errorf("OpenLink() of the one to the new address = %v", err)
		}
		change(directory.Change{Email: &old})
	})
	t.Run("in another's session", func(t *testing.T) {
		_, link := fresh()
		dead(t, storetest.AppSession(t, h.Store, stranger, signin.OpenedByPasskey, h.clock.Now()), link)
		dead(t, storetest.APIKey(t, h.Store, h.w, auth.All()...), link)
		dead(t, storetest.Administrator(t, h.Store, elsewhere, "boss"), link)
		dead(t, h.by, link)
	})
	t.Run("in a session that is over", func(t *testing.T) {
		_, link := fresh()
		by := h.session(t)
		storetest.Revoke(t, h.Database, by)
		_, err := h.OpenLink(t.Context(), by, link)
		refused(t, err, "unauthenticated")
	})
	t.Run("expired", func(t *testing.T) {
		_, link := fresh()
		h.clock.Advance(securitykey.LinkLifetime - time.Millisecond)
		if _, err := h.OpenLink(t.Context(), nobody(), link); err != nil {
			t.Errorf("OpenLink() just before = %v", err)
		}
		h.clock.Advance(time.Millisecond)
		dead(t, nobody(), link)
	})
}

func TestLinks_slowDownWhoGuesses(t *testing.T) {
	h := newHouse(t)
	link := h.link(t, h.create(t, named()).Key.ID)
	for range 30 {
		_, err := h.OpenLink(t.Context(), nobody(), secret.FromString("guess"))
		refused(t, err, "activation_not_found")
	}
	_, err := h.OpenLink(t.Context(), nobody(), secret.FromString("guess"))
	if f := storetest.Fault(t, err, "too_many_tries"); f.RetryAfter != 10*time.Minute {
		t.Errorf("come back after %v, want 10m", f.RetryAfter)
	}
	if _, err := h.OpenLink(t.Context(), nobody(), link); err != nil {
		t.Errorf("a link that works = %v, want that it works", err)
	}
}

// Wrong cards count as long as the link is good, however long somebody waits between.
func TestActivateCard_triesLastAsLongAsTheLink(t *testing.T) {
	h := newHouse(t)
	link := h.link(t, h.create(t, named()).Key.ID)
	for i := range 5 {
		if i > 0 {
			h.clock.Advance(securitykey.LinkLifetime/5 + time.Minute)
		}
		_, err := h.ActivateCard(t.Context(), nobody(), link, securitykey.CardActivation{Number: "AABBCCDD", PIN: secret.FromString("pin-1-x")})
		refused(t, err, "card_mismatch")
	}
	_, err := h.OpenLink(t.Context(), nobody(), link)
	refused(t, err, "activation_not_found")
}

func TestActivateCard_fewTries(t *testing.T) {
	h := newHouse(t)
	taken := h.create(t, now("AABBCCDD")).Key
	for _, n := range []securitykey.NewKey{named(), byEmail(securitykey.ContactlessCard)} {
		h.clock.Advance(time.Minute)
		k := h.create(t, n).Key
		link, want := h.link(t, k.ID), "card_mismatch"
		if n.CardNumber == "" {
			want = "card_registered"
		}
		_, err := h.ActivateCard(t.Context(), h.session(t), link, securitykey.CardActivation{Number: "zz"})
		fieldsAt(t, err, "card_number") // no card at all is no try
		for range 5 {
			_, err := h.ActivateCard(t.Context(), h.session(t), link, securitykey.CardActivation{Number: "AABBCCDD"})
			refused(t, err, want)
		}
		all := storetest.Activities(t, h.Store, h.w, "security_key.activate")
		for _, reason := range []string{want, "link_spent"} {
			if !slices.ContainsFunc(all, func(e activity.Event) bool { return e.Reason == reason && e.SecurityKey == k.ID }) {
				t.Errorf("no line of a refusal for %s", reason)
			}
		}
		_, err = h.ActivateCard(t.Context(), h.session(t), link, securitykey.CardActivation{Number: number})
		refused(t, err, "activation_not_found")
		if err := h.Delete(t.Context(), auth.Job(h.w, "test"), k.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	_ = taken
}

func TestActivateCard_checksWhatIsGiven(t *testing.T) {
	h := newHouse(t)
	link := h.link(t, h.create(t, named()).Key.ID)
	_, err := h.ActivateCard(t.Context(), nobody(), link, securitykey.CardActivation{Number: number, PIN: secret.FromString("111111")})
	fieldsAt(t, err, "pin")
	phone := h.link(t, h.create(t, byEmail(securitykey.Smartphone)).Key.ID)
	_, err = h.ActivateCard(t.Context(), nobody(), phone, securitykey.CardActivation{Number: number})
	refused(t, err, "not_a_card")
	yes := true
	if _, err := h.UpdateSettings(t.Context(), h.by, securitykey.SettingsChange{Pinless: &yes}, 0); err != nil {
		t.Fatal(err)
	}
	n := named()
	n.CardNumber, n.Verification = "11223344", securitykey.Pinless
	pinless := h.link(t, h.create(t, n).Key.ID)
	_, err = h.ActivateCard(t.Context(), nobody(), pinless, securitykey.CardActivation{Number: "11223344", PIN: secret.FromString("harbour7")})
	fieldsAt(t, err, "pin")
	got, err := h.ActivateCard(t.Context(), nobody(), pinless, securitykey.CardActivation{Number: "11223344"})
	if err != nil || got.Shown() != securitykey.Active || len(got.PIN.Verifier) != 0 {
		t.Errorf("ActivateCard() = %+v (%v), want an active card without a PIN", got, err)
	}
}

func TestResendActivation_dropsWhatWaited(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, byEmail(securitykey.ContactlessCard)).Key
	if _, err := h.ActivateCard(t.Context(), nobody(), h.link(t, k.ID), securitykey.CardActivation{Number: number}); err != nil {
		t.Fatal(err)
	}
	got, err := h.ResendActivation(t.Context(), h.by, k.ID)
	if err != nil || got.ToConfirm || got.Card.Digest != "" || len(got.PIN.Verifier) != 0 {
		t.Errorf("ResendActivation() = %+v (%v), want card and PIN forgotten", got, err)
	}
	_, err = h.Confirm(t.Context(), h.by, k.ID)
	refused(t, err, "nothing_to_confirm")
	h.create(t, now(number)) // the card is free again
	_, err = h.ResendActivation(t.Context(), h.by, h.create(t, now("11223344")).Key.ID)
	refused(t, err, "key_active")
}

// Of two who use one link at once, one wins.
func TestActivateCard_twiceAtOnce(t *testing.T) {
	h := newHouse(t)
	for round := range 10 {
		n := named()
		n.CardNumber = fmt.Sprintf("AABBCC%02X", round)
		k := h.create(t, n).Key
		link := h.link(t, k.ID)
		var both sync.WaitGroup
		errs := make([]error, 2)
		by := h.session(t)
		for i := range errs {
			both.Go(func() {
				_, errs[i] = h.ActivateCard(t.Context(), by, link, securitykey.CardActivation{Number: n.CardNumber})
			})
		}
		both.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if f, ok := fault.As(err); !ok || f.Code != "activation_not_found" && f.Code != "key_changed" {
				t.Errorf("the loser is told %v, want that the link is dead", err)
			}
		}
		if won != 1 {
			t.Errorf("%d won, want 1", won)
		}
		if err := h.Delete(t.Context(), h.by, k.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// bind binds a key's passkey as the flow does.
func (h house) bind(t testing.TB, by auth.Caller, k securitykey.SecurityKey, b securitykey.Bound) (securitykey.SecurityKey, error) {
	t.Helper()
	var out securitykey.SecurityKey
	err := store.For[securitykey.Tx](h.Store).Write(t.Context(), func(ctx context.Context, tx securitykey.Tx) (*fault.Error, error) {
		var f *fault.Error
		var err error
		out, f, err = securitykey.Bind(ctx, tx, by, activity.Party{Type: "user", ID: string(k.User), Name: "ada Example"}, k, b, h.clock.Now())
		return f, err
	})
	return out, err
}

const yubikey = "2fc0579f-8113-47ea-b116-bb5a8db9202a"

func TestBind(t *testing.T) {
	h := newHouse(t)
	k := h.create(t, byEmail(securitykey.FIDO2)).Key
	link := h.link(t, k.ID)
	got, err := h.bind(t, nobody(), k, securitykey.Bound{AAGUID: "2FC0579F-8113-47EA-B116-BB5A8DB9202A", Attestation: "packed"})
	if err != nil || got.Shown() != securitykey.Active || got.AAGUID != yubikey || got.Model != "YubiKey 5 Series with NFC" {
		t.Errorf("Bind() = %+v (%v), want an active YubiKey", got, err)
	}
	h.line(t, "security_key.activate", "attestation packed", h.holder(), got)
	h.told(t, "activated ada@example.org")
	_, err = h.OpenLink(t.Context(), nobody(), link)
	refused(t, err, "activation_not_found")
	_, err = h.bind(t, nobody(), k, securitykey.Bound{})
	refused(t, err, "activation_not_found") // its link is spent
	_, err = h.bind(t, nobody(), h.create(t, named()).Key, securitykey.Bound{})
	refused(t, err, "a_card")
}

func TestBind_models(t *testing.T) {
	h := newHouse(t)
	list, none, zero := []string{yubikey}, []string{}, "00000000-0000-0000-0000-000000000000"
	other := "42b4fb4a-2866-43b2-9bf7-6c6669c2e5d3"
	for _, c := range []struct {
		allowed, blocked []string
		aaguid           string
		want             bool
	}{
		{none, none, yubikey, true},
		{none, none, zero, true},
		{list, none, yubikey, true},
		{list, none, other, false},
		{list, none, zero, false},
		{none, list, yubikey, false},
		{none, list, other, true},
		{list, list, yubikey, false},
	} {
		if _, err := h.UpdateSettings(t.Context(), h.by, securitykey.SettingsChange{ModelsAllowed: &c.allowed, ModelsBlocked: &c.blocked}, 0); err != nil {
			t.Fatal(err)
		}
		k := h.create(t, byEmail(securitykey.FIDO2)).Key
		h.clock.Advance(2 * time.Minute)
		h.wake(t)
		_, err := h.bind(t, nobody(), k, securitykey.Bound{AAGUID: c.aaguid})
		if c.want {
			if err != nil {
				t.Errorf("%+v: %v, want that it is allowed", c, err)
			}
		} else {
			refused(t, err, "model_not_allowed")
			h.refusedLine(t, "security_key.activate", "model_not_allowed", k.ID)
			if h.find(t, k.ID).Shown() != securitykey.Pending {
				t.Error("the key is not pending any more")
			}
		}
		// A phone is of no such model.
		phone := h.create(t, byEmail(securitykey.Smartphone)).Key
		if _, err := h.bind(t, nobody(), phone, securitykey.Bound{AAGUID: c.aaguid}); err != nil {
			t.Errorf("a phone: %v", err)
		}
		for _, k := range []id.SecurityKey{k.ID, phone.ID} {
			if err := h.Delete(t.Context(), h.by, k, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}
