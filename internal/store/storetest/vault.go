package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/vault"
	"github.com/keyhold/keyhold/internal/store"
)

func vaultCases() []testCase {
	return []testCase{
		{name: "credentials come back as they were written", run: credentialsComeBack},
		{name: "credentials are listed by user and by relying party", run: credentialsAreListed},
		{name: "credentials go with their user", run: credentialsGo},
	}
}

func newCredential(u directory.User, rpID string, at time.Time) vault.Credential {
	c := id.New[id.KindCredential](at)
	return vault.Credential{
		ID: c, Workspace: u.Workspace, User: u.ID, RPID: rpID, RPName: "Shop", UserHandle: []byte{0, 255, 1}, UserName: "ada", DisplayName: "Ada Lovelace",
		Algorithm: ctap.ES256, RawID: []byte(c), PublicKey: []byte{1, 2}, Sealed: []byte{3, 4}, Discoverable: true, Protection: ctap.Required, HMACSecret: true,
		CreatedAt: at, CreatedKey: "sk_1", CreatedBy: "Ada", Client: "cli_1",
	}
}

func insertCredentials(t *testing.T, d Database, all ...vault.Credential) {
	t.Helper()
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, c := range all {
			if err := tx.InsertCredential(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

func credentialsComeBack(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	ada := User(t, d.Store, w, "ada")
	k := newSecurityKey(ada, "Badge")
	insertSecurityKeys(t, d, k)
	c := newCredential(ada, "shop.example", Start())
	insertCredentials(t, d, c)
	use := func(w id.Workspace) (there bool) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			there, err = tx.UseCredential(ctx, w, c.ID, k.ID, Start().Add(time.Hour))
			return err
		})
		return there
	}
	if use(other) || !use(w) {
		t.Error("UseCredential() counts in another workspace, or not in its own")
	}
	c.LastUsedAt, c.LastKey, c.Uses = Start().Add(time.Hour), k.ID, 1
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		plain, err := tx.ListPartyCredentials(ctx, w, ada.ID, "shop.example")
		if same(t, "the list of credentials", plain, []vault.Credential{c}); err != nil {
			t.Errorf("ListPartyCredentials(): %v", err)
		}
		got, found, err := tx.FindCredential(ctx, w, c.ID)
		c.Holder, c.LastKeyName = vault.Holder{Name: ada.Name(), Email: ada.Email}, "Badge"
		if same(t, "the credential", got, c); !found || err != nil {
			t.Errorf("FindCredential() = %v, %v", found, err)
		}
		if _, found, err := tx.FindCredential(ctx, other, c.ID); found || err != nil {
			t.Errorf("another workspace finds the credential: %v", err)
		}
		return nil
	})
	for _, want := range []bool{true, false} {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			if gone, err := tx.DeleteCredential(ctx, other, c.ID); gone || err != nil {
				t.Errorf("another workspace deletes the credential: %v", err)
			}
			gone, err := tx.DeleteCredential(ctx, w, c.ID)
			if gone != want {
				t.Errorf("DeleteCredential() = %v, want %v", gone, want)
			}
			return err
		})
	}
	if use(w) {
		t.Error("a credential that is gone is used")
	}
}

func credentialsAreListed(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada, bob := User(t, d.Store, w, "ada"), User(t, d.Store, w, "bob")
	var shop []vault.Credential
	for i := range 3 {
		shop = append(shop, newCredential(ada, "shop.example", Start().Add(time.Duration(i)*time.Minute)))
	}
	bank := newCredential(ada, "bank.example", Start().Add(time.Hour))
	insertCredentials(t, d, append(shop, bank, newCredential(bob, "shop.example", Start()))...)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.UseCredential(ctx, w, shop[0].ID, "sk_2", Start().Add(time.Hour))
		return err
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ListPartyCredentials(ctx, w, ada.ID, "shop.example")
		if err != nil || len(all) != 3 || all[0].ID != shop[0].ID || all[1].ID != shop[2].ID || all[2].ID != shop[1].ID {
			t.Errorf("ListPartyCredentials() = %d, want the one used last first, then the newest", len(all))
		}
		n, err := tx.CountCredentials(ctx, w, ada.ID)
		if n != 4 || err != nil {
			t.Errorf("CountCredentials() = %d, %v, want 4", n, err)
		}
		var got []id.Credential
		for p := (page.Request{Limit: 3, Descending: true}); ; {
			list, err := tx.ListCredentials(ctx, w, ada.ID, p)
			if err != nil {
				return err
			}
			for _, c := range list.Items {
				got = append(got, c.ID)
			}
			if list.Next.IsZero() {
				break
			}
			p.After = list.Next
		}
		if want := []id.Credential{bank.ID, shop[2].ID, shop[1].ID, shop[0].ID}; !slices.Equal(got, want) {
			t.Errorf("ListCredentials() = %v, want %v", got, want)
		}
		for u, want := range map[id.User]bool{ada.ID: true, "user_0": false} {
			if there, err := tx.UserThere(ctx, w, u); there != want || err != nil {
				t.Errorf("UserThere(%s) = %v, %v", u, there, err)
			}
		}
		if h, err := tx.FindTapHolder(ctx, w, ada.ID); h.Revision != ada.Revision || h.Auditable != ada.Auditable || !h.SeenAt.Equal(ada.LastActivityAt) || err != nil {
			t.Errorf("FindTapHolder() = %+v, %v, want that of %+v", h, err, ada)
		}
		return nil
	})
}

func credentialsGo(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada, bob := User(t, d.Store, w, "ada"), User(t, d.Store, w, "bob")
	insertCredentials(t, d, newCredential(ada, "shop.example", Start()), newCredential(bob, "shop.example", Start()))
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, w, ada.ID, Start()) })
	if n := Count(t, d, `SELECT COUNT(*) FROM vault_credential WHERE workspace = $1 AND user_id = $2`, string(w), string(bob.ID)); n != 1 {
		t.Errorf("%d credentials of somebody else are left, want 1", n)
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM vault_credential WHERE workspace = $1`, string(w)); n != 1 {
		t.Errorf("%d credentials are left, want none of the user who went", n-1)
	}
}
