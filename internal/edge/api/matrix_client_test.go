package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/vault"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// waitingClient returns a client that waits.
func waitingClient(w id.Workspace, name string) client.Client {
	now := storetest.Start()
	c := client.Client{
		ID: id.New[id.KindClient](now), Workspace: w, Name: name, Kind: client.Agent, State: client.Pending, PublicKey: "{}", ReaderFormat: client.Hex,
		APIKey: id.New[id.KindAPIKey](now), CreatedAt: now, CreatedIP: "192.0.2.9", LastSeenAt: now, LastIP: "192.0.2.9", Agent: "keyhold-agent/1", Revision: 1,
	}
	c.Thumbprint = "print-" + string(c.ID)
	return c
}

// websitePasskey returns a passkey of a user at shop.example that was never used.
func websitePasskey(w id.Workspace, u id.User, name string) vault.Credential {
	now := storetest.Start()
	c := vault.Credential{
		ID: id.New[id.KindCredential](now), Workspace: w, User: u, RPID: "shop.example", RPName: "Shop", UserHandle: []byte("1"), UserName: name, DisplayName: "Ada at the shop",
		Algorithm: ctap.ES256, PublicKey: []byte{0xa0}, Sealed: []byte{1}, Discoverable: true, CreatedAt: now, CreatedBy: "Ada",
	}
	c.RawID = []byte(c.ID)
	return c
}

// authenticator makes what belongs to signing in at websites.
func (b *bench) authenticator(w *world, kind string) string {
	b.t.Helper()
	switch kind {
	case "enrolment_code":
		defer b.open(w)()
		c, _, err := b.app.Clients.IssueCode(b.t.Context(), w.by, client.NewEnrolmentCode{})
		if err != nil {
			b.t.Fatal(err)
		}
		return string(c.ID)
	case "credential", "holder_credential":
		u := b.user(w)
		if kind == "holder_credential" {
			b.administrator(w, u, false, holds())
		}
		c := websitePasskey(w.id, u, b.next(w))
		b.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertCredential(ctx, c) })
		return string(c.ID)
	}
	c := waitingClient(w.id, b.next(w))
	if kind == "revoked_client" {
		c.State, c.RevokedAt = client.Revoked, storetest.Start()
	}
	b.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertClient(ctx, c) })
	return string(c.ID)
}

// TestMatrix_clientsRoutesAskForAProof sends each request of the authenticator as every
// caller: none of them has a client's key, so none gets further than a nonce.
func TestMatrix_clientsRoutesAskForAProof(t *testing.T) {
	p, b := readPolicy(t), newBench(t)
	for _, route := range p.Proven {
		method, path, _ := strings.Cut(route, " ")
		path = strings.ReplaceAll(path, "{tap}", "tap_01jd3v9b8eexav2f6hqdr3wzkt")
		for _, c := range b.callers {
			_ = b.changes()
			a := b.send(c, method, path, "{}")
			want := http.StatusUnauthorized
			switch {
			case !c.accepted, c.kind != auth.APIKey:
			case c.keyType != apikey.Clients:
				want = http.StatusForbidden
			case strings.HasSuffix(path, "/nonce"):
				want = http.StatusOK
			}
			if a.status != want {
				t.Errorf("%s as %s = %d %s, want %d", route, c.name, a.status, a.text, want)
			}
			for _, one := range b.changes() {
				if one.workspace != "" && one.workspace != string(c.at.id) || want != http.StatusForbidden && one.table != "refusal" && one.table != "activity" && one.table != "latch" {
					t.Errorf("%s as %s wrote a row: %v", route, c.name, one)
				}
			}
		}
	}
}
