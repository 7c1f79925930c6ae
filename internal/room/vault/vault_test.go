package vault_test

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/vault"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func made(t *testing.T, a ctap.Algorithm) ctap.Credential {
	t.Helper()
	rk := true
	c, _, err := ctap.MakeCredential(ctap.MakeCredentialRequest{
		ClientDataHash: make([]byte, 32), RP: ctap.RP{ID: "shop.example", Name: "Shop"}, User: ctap.User{ID: []byte("ada-1"), Name: "ada", DisplayName: "Ada"},
		Algorithms: []ctap.Algorithm{a}, Resident: &rk,
	}, false, true)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rowOf(c ctap.Credential, u directory.User) vault.Credential {
	return vault.Credential{
		ID: id.New[id.KindCredential](storetest.Start()), Workspace: u.Workspace, User: u.ID, RPID: c.RPID, RPName: "Shop",
		UserHandle: c.User.ID, UserName: c.User.Name, DisplayName: c.User.DisplayName, Algorithm: c.Algorithm, RawID: c.ID, PublicKey: c.Public,
		Discoverable: c.Discoverable, Protection: c.Protect, HMACSecret: c.HMACSecret, CreatedAt: storetest.Start(), CreatedBy: "Ada",
	}
}

func TestSeal_opensOnlyInItsOwnRow(t *testing.T) {
	keys, others := storetest.KeySecrets(t), storetest.KeySecrets(t)
	s := storetest.Open(t)
	w := storetest.Workspace(t, s)
	ada, bob := storetest.User(t, s, w, "ada"), storetest.User(t, s, w, "bob")
	for _, a := range ctap.Algorithms() {
		c := made(t, a)
		row := rowOf(c, ada)
		if err := row.Seal(keys.Sealing, c); err != nil {
			t.Fatal(err)
		}
		got, err := row.Open(keys.Sealing)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256([]byte("client data"))
		one, err := ctap.GetAssertion(ctap.GetAssertionRequest{RPID: "shop.example", ClientDataHash: hash[:]}, got, true)
		if err != nil || len(one.Signature) == 0 {
			t.Errorf("%s: what was opened does not sign: %v", a, err)
		}
		if !got.Secret.Equal(c.Secret) || got.RPID != c.RPID || string(got.User.ID) != "ada-1" || !got.Discoverable {
			t.Errorf("%s: it opens as another credential", a)
		}
		for name, change := range map[string]func(*vault.Credential){
			"another user":          func(r *vault.Credential) { r.User = bob.ID },
			"another relying party": func(r *vault.Credential) { r.RPID = "bank.example" },
			"another credential":    func(r *vault.Credential) { r.ID = id.New[id.KindCredential](storetest.Start()) },
			"another workspace":     func(r *vault.Credential) { r.Workspace = storetest.Workspace(t, s) },
			"a changed byte":        func(r *vault.Credential) { r.Sealed = append([]byte(nil), r.Sealed...); r.Sealed[len(r.Sealed)-1] ^= 1 },
			"a cut end":             func(r *vault.Credential) { r.Sealed = r.Sealed[:len(r.Sealed)-1] },
			"nothing":               func(r *vault.Credential) { r.Sealed = nil },
		} {
			r := row
			change(&r)
			if _, err := r.Open(keys.Sealing); err == nil {
				t.Errorf("%s: it opens in a row of %s", a, name)
			}
		}
		if _, err := row.Open(others.Sealing); err == nil {
			t.Errorf("%s: it opens with another workspace's key", a)
		}
		r := row
		r.Algorithm = ctap.EdDSA + ctap.ES256 - a
		if _, err := r.Open(keys.Sealing); err == nil {
			t.Errorf("%s: it opens as %s", a, r.Algorithm)
		}
	}
}

// safe is a vault with one credential.
type safe struct {
	*vault.Service
	storetest.Database
	w   id.Workspace
	by  auth.Caller
	ada directory.User
	row vault.Credential
}

func newSafe(t *testing.T) *safe {
	t.Helper()
	s := &safe{Database: storetest.SQLite(t)}
	s.Service = vault.NewService(vault.Config{Store: store.For[vault.Tx](s.Store), Clock: clock.NewManual(storetest.Start())})
	s.w = storetest.Workspace(t, s.Store)
	s.by, s.ada = storetest.Administrator(t, s.Store, s.w, "root"), storetest.User(t, s.Store, s.w, "ada")
	s.row = rowOf(made(t, ctap.ES256), s.ada)
	s.row.Sealed = []byte("sealed")
	storetest.Write(t, s.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertCredential(ctx, s.row) })
	return s
}

func TestDelete_isFinal(t *testing.T) {
	s := newSafe(t)
	if got, err := s.Find(t.Context(), s.by, s.row.ID); err != nil || got.Label() != "ada at shop.example" || got.Holder.Email != s.ada.Email {
		t.Errorf("Find() = %+v, %v", got, err)
	}
	if p, err := s.List(t.Context(), s.by, s.ada.ID, page.Request{}); err != nil || len(p.Items) != 1 {
		t.Errorf("List() = %+v, %v", p, err)
	}
	if err := s.Delete(t.Context(), s.by, s.row.ID); err != nil {
		t.Fatal(err)
	}
	line := storetest.Activity(t, s.Store, s.w, "credential.delete")
	if line.Outcome != activity.Success || line.User != s.ada.ID || line.RPID != "shop.example" || line.Target != (activity.Party{Type: "credential", ID: string(s.row.ID), Name: "ada at shop.example"}) {
		t.Errorf("the line is %+v", line)
	}
	_, err := s.Find(t.Context(), s.by, s.row.ID)
	storetest.Refused(t, err, "credential_not_found")
	storetest.Refused(t, s.Delete(t.Context(), s.by, s.row.ID), "credential_not_found")
	_, err = s.List(t.Context(), s.by, id.New[id.KindUser](time.Time{}), page.Request{})
	storetest.Refused(t, err, "user_not_found")
}

func TestDelete_takesThePermissionsOfTheHolder(t *testing.T) {
	s := newSafe(t)
	storetest.Exec(t, s.Database, `INSERT INTO signin_administrator (id, workspace, user_id, owner, permissions, created_at)
		VALUES ('adm_1', $1, $2, FALSE, 'locks.write', 1)`, string(s.w), string(s.ada.ID))
	lesser := storetest.Administrator(t, s.Store, s.w, "lesser", auth.SecurityKeysRead, auth.SecurityKeysWrite)
	storetest.Refused(t, s.Delete(t.Context(), lesser, s.row.ID), "beyond_your_permissions")
	if line := storetest.Activity(t, s.Store, s.w, "credential.delete"); line.Outcome != activity.Refused || line.Reason != "beyond_your_permissions" || line.User != s.ada.ID {
		t.Errorf("the line is %+v", line)
	}
	if err := s.Delete(t.Context(), s.by, s.row.ID); err != nil {
		t.Errorf("an owner: %v", err)
	}
}

func TestStrangers(t *testing.T) {
	s := newSafe(t)
	other := storetest.Administrator(t, s.Store, storetest.Workspace(t, s.Store), "eve")
	for _, c := range []struct {
		storetest.Stranger
		code string
	}{
		{storetest.Stranger{Action: "credential.list", Need: auth.SecurityKeysRead, Call: func(by auth.Caller) error { _, err := s.List(t.Context(), by, s.ada.ID, page.Request{}); return err }}, "user_not_found"},
		{storetest.Stranger{Action: "credential.find", Need: auth.SecurityKeysRead, Call: func(by auth.Caller) error { _, err := s.Find(t.Context(), by, s.row.ID); return err }}, "credential_not_found"},
		{storetest.Stranger{Action: "credential.delete", Need: auth.SecurityKeysWrite, Call: func(by auth.Caller) error { return s.Delete(t.Context(), by, s.row.ID) }}, "credential_not_found"},
	} {
		storetest.Strangers(t, s.Database, s.w, c.Stranger)
		storetest.Refused(t, c.Call(other), c.code)
	}
	if _, err := s.Find(t.Context(), s.by, s.row.ID); err != nil {
		t.Errorf("after all strangers it is gone: %v", err)
	}
}
