package app

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/agent"
	apage "github.com/keyhold/keyhold/internal/base/page"
)

// TestAuthenticator_movedCards changes the rows of cards behind the server's back: a card opens
// the vault of whom it was sealed for, and of nobody else.
func TestAuthenticator_movedCards(t *testing.T) {
	const number, pin = "04:00:00:00:00:00:02", "660142"
	for name, statement := range map[string]string{
		"to another holder":        `UPDATE securitykey SET user_id = $2 WHERE user_id = $1`,
		"the number of another":    "", // in two steps
		"the seal of another card": `UPDATE securitykey SET card_sealed = (SELECT o.card_sealed FROM securitykey o WHERE o.user_id = $2) WHERE user_id = $1`,
		"nothing":                  `UPDATE securitykey SET total = 7 WHERE user_id IN ($1, $2)`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			eve := d.person("eve@example.org")
			d.card(eve.ID, number, pin)
			shop := newSite(t, "shop.example", "https://www.shop.example")
			if err := d.register(shop, deskCard, deskPIN, isDiscoverable()); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "the number") {
				// The digest is unique: the holder's own card goes first.
				d.tamper(`UPDATE securitykey SET card_digest = card_digest || 'x' WHERE user_id = $1`, string(d.holder.ID))
				d.tamper(`UPDATE securitykey SET card_digest = (SELECT substr(o.card_digest, 1, length(o.card_digest) - 1) FROM securitykey o WHERE o.user_id = $1), user_id = $1 WHERE user_id = $2`, string(d.holder.ID), string(eve.ID))
			} else {
				d.tamper(statement, string(eve.ID), string(d.holder.ID))
			}
			tries := []struct{ number, pin string }{{number, pin}, {deskCard, pin}, {deskCard, deskPIN}}
			for i, c := range tries {
				err := d.signIn(shop, c.number, c.pin)
				if opens := name != "the number of another" && i == 2; (err == nil) != opens {
					t.Errorf("the card %s with the PIN %s: %v, want it to sign in: %v", c.number, c.pin, err, opens)
				}
			}
		})
	}
}

// TestAuthenticator_optionsAreForTheTapsSite hands in options that say another relying party than
// the tap was for, with their right hash.
func TestAuthenticator_optionsAreForTheTapsSite(t *testing.T) {
	d, shop, _ := newShop(t)
	for asked, want := range map[string]string{"other.example": "security_error", "www.shop.example": "security_error", "": "security_error", "shop.example": ""} {
		o := map[string]any{}
		if err := json.Unmarshal(shop.loginOptions(), &o); err != nil {
			t.Fatal(err)
		}
		delete(o, "rpId")
		if asked != "" {
			o["rpId"] = asked
		}
		raw := options(t, o)
		tap, uv, err := d.tap(shop, agent.Get, deskCard, deskPIN, raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.program.GetAssertion(t.Context(), tap, uv, raw, ""); codeOf(t, err) != want {
			t.Errorf("options for %q with a tap for shop.example: %v, want %q", asked, err, want)
		}
	}
}

// TestAuthenticator_forgedVerification writes a verification into the database for a PIN that
// nobody typed: its digest takes a key that is not there.
func TestAuthenticator_forgedVerification(t *testing.T) {
	d, shop, _ := newShop(t)
	o := shop.loginOptions()
	tap, _, err := d.tap(shop, agent.Get, deskCard, "", o)
	if err != nil {
		t.Fatal(err)
	}
	const forged = "uv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	sum := sha256.Sum256([]byte(forged))
	d.tamper(`INSERT INTO client_uv (digest, workspace, client_id, security_key, rp_id, key_revision, user_revision, client_revision, expires_at, idle_until)
		SELECT $1, workspace, client_id, security_key, rp_id, key_revision, user_revision, client_revision, 253402300799999, 253402300799999 FROM client_tap WHERE id = $2`,
		base64.RawURLEncoding.EncodeToString(sum[:]), tap)
	if _, err := d.program.GetAssertion(t.Context(), tap, forged, o, ""); codeOf(t, err) != "uv_token_not_good" {
		t.Errorf("a verification that was written into the database: %v, want uv_token_not_good", err)
	}
}

// TestAuthenticator_deletedMeanwhile deletes a credential that this server remembers from the
// sign-in before, and then the card between tap and signature.
func TestAuthenticator_deletedMeanwhile(t *testing.T) {
	d, shop, seen := newShop(t)
	if err := d.signIn(shop, deskCard, deskPIN); err != nil {
		t.Fatal(err)
	}
	all, err := d.a.Vault.List(t.Context(), d.job, d.holder.ID, apage.Request{})
	if err != nil || len(all.Items) != 1 {
		t.Fatalf("%d credentials, %v, want one", len(all.Items), err)
	}
	s := d.begin(shop, deskCard, deskPIN)
	if err := d.a.Vault.Delete(t.Context(), d.job, all.Items[0].ID); err != nil {
		t.Fatal(err)
	}
	d.lines(seen)
	if got := d.end(s); got != "not_allowed_error" {
		t.Errorf("a credential that is gone: %q, want not_allowed_error", got)
	}
	if got, want := d.lines(seen), (line{"credential.use", "not_allowed_error", d.holder.ID, d.key.ID, "shop.example", d.client}); !slices.Equal(got, []line{want}) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	s = d.begin(shop, deskCard, deskPIN)
	if err := d.a.SecurityKeys.Delete(t.Context(), d.job, d.key.ID, 0); err != nil {
		t.Fatal(err)
	}
	if got := d.end(s); got != "tap_not_good" {
		t.Errorf("a card that is gone: %q, want tap_not_good", got)
	}
}
