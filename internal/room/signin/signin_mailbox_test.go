package signin_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// securityKey writes a security key of a user.
func (h house) securityKey(t testing.TB, u id.User, kind, life string) id.SecurityKey {
	t.Helper()
	return storetest.KeyOf(t, h.Database, h.w, u, kind, life)
}

// A mailbox alone opens no vault: who holds an active security key needs more to add a
// passkey, whatever became of the key.
func TestPasskey_mailboxOfAKeyHolder(t *testing.T) {
	for what, c := range map[string]struct {
		life, change string
		refused      bool
	}{
		"an active key":    {"active", "", true},
		"a suspended one":  {"active", `UPDATE securitykey SET suspended_at = 1, shown = 'suspended' WHERE id = $1`, true},
		"a pending one":    {"pending", "", false},
		"one nobody knows": {"new", "", false},
	} {
		h := newHouse(t, false)
		eve := storetest.User(t, h.Store, h.w, "eve")
		by := h.enterApp(t, "eve@example.org")
		begun, err := h.BeginPasskey(t.Context(), by)
		if err != nil {
			t.Fatal(err)
		}
		k := h.securityKey(t, eve.ID, "contactless_card", c.life)
		if c.change != "" {
			storetest.Exec(t, h.Database, c.change, string(k))
		}
		h.clock.Advance(time.Second)
		_, again := h.BeginPasskey(t.Context(), by)
		_, finished := h.FinishPasskey(t.Context(), by, begun.Ceremony, newDevice().create(t, begun))
		if !c.refused {
			if again != nil || finished != nil {
				t.Errorf("%s: %v and %v, want a passkey", what, again, finished)
			}
			continue
		}
		storetest.Refused(t, again, "stronger_proof")
		storetest.Refused(t, finished, "stronger_proof")
		if line := h.last(t, "passkey.register"); line.Outcome != activity.Refused || line.Reason != "stronger_proof" || line.User != eve.ID || line.Count != 1 {
			t.Errorf("%s: the line is %+v, want the refusal", what, line)
		}
		// A pass is more than a mailbox.
		_, code := h.pass(t, auth.Job(h.w, "test"), eve.ID, signin.NewAccessPass{})
		opened, err := h.OpenByAccessPass(t.Context(), h.by, "eve@example.org", code)
		if err != nil {
			t.Fatal(err)
		}
		if k := h.register(t, opened.Caller, newDevice()); k.ByMailbox {
			t.Error("the passkey counts as one of the mailbox, want more")
		}
	}
}

// The first passkey of somebody without keys is a full one; the next one by the mailbox
// proves no more than that, until it is confirmed.
func TestPasskey_byMailbox(t *testing.T) {
	h := newHouse(t, false)
	eve := storetest.User(t, h.Store, h.w, "eve")
	by := h.enterApp(t, "eve@example.org")
	first, second, third := newDevice(), newDevice(), newDevice()
	if k := h.register(t, by, first); k.ByMailbox {
		t.Error("the first passkey counts as one of the mailbox")
	}
	h.clock.Advance(time.Second)
	weak := h.register(t, by, second)
	if !weak.ByMailbox {
		t.Error("the second passkey counts as more than the mailbox")
	}
	strong, mailbox := h.enter(t, person{eve.ID, first}).Caller, h.enter(t, person{eve.ID, second}).Caller
	for what, c := range map[string]struct {
		by   auth.Caller
		want bool
	}{"the code": {by, true}, "the first passkey": {strong, false}, "the second": {mailbox, true}} {
		account, err := h.Account(t.Context(), c.by)
		if err != nil || account.Standing.ByMailbox != c.want || account.Standing.KeysOnly {
			t.Errorf("%s: %+v (%v), want by mailbox %v", what, account.Standing, err, c.want)
		}
	}
	// What a weak one adds is weak, what a strong one adds is strong.
	if k := h.register(t, mailbox, third); !k.ByMailbox {
		t.Error("a passkey of the mailbox added a strong one")
	}
	if k := h.register(t, strong, newDevice()); k.ByMailbox {
		t.Error("a strong passkey added one of the mailbox")
	}
	storetest.Exec(t, h.Database, `UPDATE signin_passkey SET confirmed_at = 1 WHERE id = $1`, string(weak.ID))
	if account, err := h.Account(t.Context(), mailbox); err != nil || account.Standing.ByMailbox {
		t.Errorf("after the confirmation %+v (%v), want more than the mailbox", account.Standing, err)
	}
}

// Of two at once only one is the first.
func TestPasskey_firstByMailboxOnce(t *testing.T) {
	h := newHouse(t, false)
	storetest.User(t, h.Store, h.w, "eve")
	by := h.enterApp(t, "eve@example.org")
	var group sync.WaitGroup
	for range 10 {
		c, err := h.BeginPasskey(t.Context(), by)
		if err != nil {
			t.Fatal(err)
		}
		response := newDevice().create(t, c)
		group.Go(func() {
			if _, err := h.FinishPasskey(context.WithoutCancel(t.Context()), by, c.Ceremony, response); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_passkey WHERE by_mailbox = FALSE`); n != 1 {
		t.Errorf("%d passkeys count as more than the mailbox, want 1", n)
	}
}

// bound gives a person's only passkey to a security key.
func (h house) bound(t testing.TB, u id.User) id.SecurityKey {
	t.Helper()
	k := h.securityKey(t, u, "fido2", "active")
	storetest.Exec(t, h.Database, `UPDATE signin_passkey SET security_key = $1 WHERE user_id = $2`, string(k), string(u))
	return k
}

func TestSignIn_bySecurityKey(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	k := h.bound(t, ada.user)
	h.clock.Advance(time.Hour)
	by := h.enter(t, ada).Caller
	if line := h.last(t, "session.open"); line.SecurityKey != k || line.Outcome != activity.Success {
		t.Errorf("the line is %+v, want it to name the key", line)
	}
	at := h.clock.Now().UnixMilli()
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM securitykey WHERE total = 1 AND last_activity_at = $1 AND used_at = $1 AND noticed_at = 0 AND revision = 1`, at); n != 1 {
		t.Error("the use of the key was not noted")
	}
	storetest.Refused(t, h.DeletePasskey(t.Context(), by, h.passkeyOf(t, ada)), "belongs_to_security_key")
	h.clock.Advance(time.Minute)
	c, err := h.BeginStepUp(t.Context(), by)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.FinishStepUp(t.Context(), by, c.Ceremony, ada.device.answer(t, c)); err != nil {
		t.Fatal(err)
	}
	if line := h.last(t, "session.step_up"); line.SecurityKey != k {
		t.Errorf("the line is %+v, want it to name the key", line)
	}
}

func TestRemovePasskey_ofASecurityKey(t *testing.T) {
	h := newHouse(t, false)
	owner, ada := storetest.Administrator(t, h.Store, h.w, "owner"), h.person(t, "ada")
	h.bound(t, ada.user)
	by := h.enter(t, ada).Caller
	storetest.Refused(t, h.RemovePasskey(t.Context(), owner, by.Administrator, h.passkeyOf(t, ada)), "belongs_to_security_key")
}

// A suspended key's passkey is refused like an unknown one, and the record tells why.
func TestSignIn_bySuspendedSecurityKey(t *testing.T) {
	h := newHouse(t, false)
	ada := h.person(t, "ada")
	k := h.bound(t, ada.user)
	by := h.enter(t, ada).Caller
	storetest.Exec(t, h.Database, `UPDATE securitykey SET suspended_at = 1, shown = 'suspended' WHERE id = $1`, string(k))
	h.clock.Advance(time.Minute)
	c := h.begin(t)
	_, err := h.FinishSignIn(t.Context(), h.by, c.Ceremony, ada.device.answer(t, c))
	storetest.Refused(t, err, "passkey_rejected")
	if line := h.last(t, "session.open"); line.Outcome != activity.Refused || line.Reason != "security_key_suspended" || line.SecurityKey != k || line.User != ada.user {
		t.Errorf("the line is %+v, want the refusal with its true reason", line)
	}
	c, err = h.BeginStepUp(t.Context(), by)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Refused(t, h.FinishStepUp(t.Context(), by, c.Ceremony, ada.device.answer(t, c)), "passkey_rejected")
	if line := h.last(t, "session.step_up"); line.Outcome != activity.Refused || line.Reason != "security_key_suspended" || line.SecurityKey != k {
		t.Errorf("the line is %+v, want the refusal with its true reason", line)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM securitykey WHERE total = 1`); n != 1 {
		t.Error("a refused use of the key was counted")
	}
	storetest.Exec(t, h.Database, `UPDATE securitykey SET suspended_at = 0, shown = 'active' WHERE id = $1`, string(k))
	h.enter(t, ada)
}

// A phone is asked for its own passkey, a hardware key for its maker's attestation.
func TestNewRegistrationOn(t *testing.T) {
	party, err := signin.NewRelyingParty(host, origin)
	if err != nil {
		t.Fatal(err)
	}
	p := signin.Person{User: id.New[id.KindUser](storetest.Start()), Email: "ada@example.org", Name: "Ada"}
	for held, want := range map[signin.Holding][2]string{
		signin.HeldByAny: {"", "none"}, signin.HeldByPhone: {"platform", "none"}, signin.HeldByHardwareKey: {"cross-platform", "direct"},
	} {
		challenge, ceremony, err := party.NewRegistrationOn(held, p, nil, "note", storetest.Start())
		if err != nil {
			t.Fatal(err)
		}
		var options struct {
			Attestation            string `json:"attestation"`
			AuthenticatorSelection struct {
				AuthenticatorAttachment string `json:"authenticatorAttachment"`
				ResidentKey             string `json:"residentKey"`
				UserVerification        string `json:"userVerification"`
			} `json:"authenticatorSelection"`
		}
		if err := json.Unmarshal(challenge.Options, &options); err != nil {
			t.Fatal(err)
		}
		s := options.AuthenticatorSelection
		if s.AuthenticatorAttachment != want[0] || options.Attestation != want[1] || s.ResidentKey != "required" || s.UserVerification != "required" {
			t.Errorf("%q: asked for %+v, want %v, resident and with user verification", held, options, want)
		}
		d := newDevice()
		d.authenticator.Aaguid = [16]byte{0xee, 0x88, 0x28, 0x79, 0x72, 0x1c, 0x49, 0x13, 0x97, 0x75, 0x3d, 0xfc, 0xce, 0x97, 0x07, 0x2a}
		var note string
		k, err := party.CheckRegistration(ceremony, p, d.create(t, challenge), &note, storetest.Start())
		if err != nil || note != "note" {
			t.Fatal(note, err)
		}
		m, err := k.Make()
		if err != nil || m.AAGUID != "ee882879-721c-4913-9775-3dfcce97072a" || m.Attestation == "" {
			t.Errorf("%q: the make is %+v (%v)", held, m, err)
		}
	}
	if _, err := (signin.Passkey{}).Make(); err == nil {
		t.Error("Make() of nothing = nil, want an error")
	}
}

// A passkey of a security key is told of by who binds the key.
func TestAddPasskey_ofASecurityKey(t *testing.T) {
	h := newHouse(t, false)
	ada := storetest.User(t, h.Store, h.w, "ada")
	desk := storetest.Administrator(t, h.Store, h.w, "desk")
	k := h.securityKey(t, ada.ID, "fido2", "pending")
	now := h.clock.Now()
	key := signin.Passkey{
		ID: id.New[id.KindPasskey](now), Workspace: h.w, User: ada.ID, CredentialID: []byte("credential"), Record: []byte(`{}`), Name: "Key", CreatedAt: now, SecurityKey: k,
	}
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		p, _, err := tx.FindPerson(ctx, h.w, ada.ID)
		if err != nil {
			return err
		}
		f, err := signin.AddPasskey(ctx, tx, desk, p, key, now)
		if f != nil {
			return errors.New(f.Code)
		}
		return err
	})
	if got := h.mails(t); len(got) != 0 {
		t.Errorf("mails %v, want none", got)
	}
	line := storetest.Activity(t, h.Store, h.w, "passkey.register")
	if line.SecurityKey != k || line.User != ada.ID || line.Actor.ID != string(desk.User) {
		t.Errorf("the line is %+v, want the desk's with the key", line)
	}
	storetest.Read(t, h.Store, func(ctx context.Context, tx *store.Tx) error {
		got, _, err := tx.FindPasskey(ctx, []byte("credential"))
		if got.SecurityKey != k || got.KeySuspended || got.ByMailbox {
			t.Errorf("the passkey is %+v, want it of the key", got)
		}
		return err
	})
}
