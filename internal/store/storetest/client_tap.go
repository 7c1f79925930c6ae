package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/store"
)

// newTap is a tap of a card at a client.
func newTap(by auth.Caller, k securitykey.SecurityKey) client.Tap {
	return client.Tap{
		ID: id.New[id.KindTouch](Start()), Workspace: by.Workspace, Client: by.Client, SecurityKey: k.ID, User: k.User, CardDigest: "digest", Operation: client.Get,
		Origin: "https://shop.example", TopOrigin: "https://top.example", CrossOrigin: true, RPID: "shop.example", OptionsHash: "hash", Needs: client.NeedsPIN,
		Stamp: client.Stamp{Key: 1, User: 1, Client: 1}, CreatedAt: Start(), ExpiresAt: Start().Add(client.TapLife),
	}
}

func insertTap(t *testing.T, d Database, p client.Tap) {
	t.Helper()
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertTap(ctx, p) })
}

func findTicket(t *testing.T, d Database, w id.Workspace, p id.Touch) (k client.Ticket, found bool) {
	t.Helper()
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		k, found, err = tx.FindTicket(ctx, w, p)
		return err
	})
	return k, found
}

func tickets(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	by, ada := Client(t, d, w, "Front desk"), User(t, d.Store, w, "ada")
	k := newSecurityKey(ada, "Badge")
	insertSecurityKeys(t, d, k)
	p := newTap(by, k)
	insertTap(t, d, p)
	got, found := findTicket(t, d, w, p.ID)
	want := client.Ticket{Tap: p, Now: client.Stamp{Key: 1, User: ada.Revision, Client: 1}, Active: true, KeyName: "Badge", UserName: ada.Name(), Auditable: ada.Auditable, CardSealed: k.Card.Sealed, KeySeen: k.LastActivityAt, UserSeen: ada.LastActivityAt}
	if same(t, "the ticket", got, want); !found {
		t.Error("the tap is not found")
	}
	if _, found := findTicket(t, d, other, p.ID); found {
		t.Error("another workspace finds the tap")
	}
	for _, c := range []struct{ name, change, back, of string }{
		{"its key is suspended", `UPDATE securitykey SET shown = 'suspended' WHERE id = $1`, `UPDATE securitykey SET shown = 'active' WHERE id = $1`, string(k.ID)},
		{"its key waits", `UPDATE securitykey SET shown = 'pending' WHERE id = $1`, `UPDATE securitykey SET shown = 'active' WHERE id = $1`, string(k.ID)},
		{"its holder is suspended", `UPDATE directory_user SET suspended_at = 1 WHERE id = $1`, `UPDATE directory_user SET suspended_at = 0 WHERE id = $1`, string(ada.ID)},
		{"its workspace is suspended", `UPDATE workspace SET suspended_at = 1 WHERE id = $1`, `UPDATE workspace SET suspended_at = 0 WHERE id = $1`, string(w)},
	} {
		Exec(t, d, c.change, c.of)
		if got, _ := findTicket(t, d, w, p.ID); got.Active || got.Stands() {
			t.Errorf("the ticket is active while %s", c.name)
		}
		Exec(t, d, c.back, c.of)
	}
	for name, change := range map[string]string{
		"the key":    `UPDATE securitykey SET revision = revision + 1 WHERE workspace = $1`,
		"the holder": `UPDATE directory_user SET revision = revision + 1 WHERE workspace = $1`,
		"the client": `UPDATE client SET revision = revision + 1 WHERE workspace = $1`,
	} {
		fresh := newTap(by, k)
		before, _ := findTicket(t, d, w, p.ID)
		fresh.Stamp = before.Now
		insertTap(t, d, fresh)
		if got, _ := findTicket(t, d, w, fresh.ID); !got.Stands() {
			t.Errorf("a fresh tap does not stand: %+v", got)
		}
		Exec(t, d, change, string(w))
		if got, _ := findTicket(t, d, w, fresh.ID); got.Stands() || !got.Active {
			t.Errorf("the tap stands after a change of %s", name)
		}
	}
	fresh := newTap(by, k)
	before, _ := findTicket(t, d, w, p.ID)
	fresh.Stamp = before.Now
	insertTap(t, d, fresh)
	ticket, _ := findTicket(t, d, w, fresh.ID)
	ticketsOnce(t, d, ticket)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.CountSecurityKeyUse(ctx, w, k.ID) })
	if n := Count(t, d, `SELECT total FROM securitykey WHERE id = $1`, string(k.ID)); n != 1 {
		t.Errorf("%d uses of the key, want 1", n)
	}
	unknown := newTap(by, securitykey.SecurityKey{})
	insertTap(t, d, unknown)
	if got, found := findTicket(t, d, w, unknown.ID); !found || got.Active || got.Now.Key != 0 || got.CardDigest != "digest" {
		t.Errorf("the ticket of a card that nobody has is %+v, %v", got, found)
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSecurityKey(ctx, w, k.ID, Start()) })
	if got, found := findTicket(t, d, w, p.ID); !found || got.Active {
		t.Errorf("the ticket of a key that is gone is %+v, %v", got, found)
	}
}

// ticketsOnce spends a ticket that stands: only while it does, and once.
func ticketsOnce(t *testing.T, d Database, ticket client.Ticket) {
	t.Helper()
	spend := func(k client.Ticket, at time.Time) (ok bool) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			ok, err = tx.SpendTicket(ctx, k, client.Use{}, at)
			return err
		})
		return ok
	}
	for _, c := range []struct{ name, change, back string }{
		{"its key is suspended", `UPDATE securitykey SET shown = 'suspended' WHERE workspace = $1`, `UPDATE securitykey SET shown = 'active' WHERE workspace = $1`},
		{"its key moved", `UPDATE securitykey SET revision = revision + 1 WHERE workspace = $1`, `UPDATE securitykey SET revision = revision - 1 WHERE workspace = $1`},
		{"its holder is suspended", `UPDATE directory_user SET suspended_at = 1 WHERE workspace = $1`, `UPDATE directory_user SET suspended_at = 0 WHERE workspace = $1`},
		{"its holder moved", `UPDATE directory_user SET revision = revision + 1 WHERE workspace = $1`, `UPDATE directory_user SET revision = revision - 1 WHERE workspace = $1`},
		{"its client moved", `UPDATE client SET revision = revision + 1 WHERE workspace = $1`, `UPDATE client SET revision = revision - 1 WHERE workspace = $1`},
	} {
		Exec(t, d, c.change, string(ticket.Workspace))
		if spend(ticket, Start()) {
			t.Errorf("the ticket is spent though %s", c.name)
		}
		Exec(t, d, c.back, string(ticket.Workspace))
	}
	if spend(ticket, ticket.ExpiresAt) || !spend(ticket, Start()) || spend(ticket, Start()) {
		t.Error("a ticket is not spent once, in its time")
	}
}

func tapsOnce(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	by, ada := Client(t, d, w, "Front desk"), User(t, d.Store, w, "ada")
	key := newSecurityKey(ada, "Badge")
	insertSecurityKeys(t, d, key)
	p := newTap(by, key)
	insertTap(t, d, p)
	now, _ := findTicket(t, d, w, p.ID)
	p = newTap(by, key)
	p.Stamp = now.Now
	insertTap(t, d, p)
	spend := func(w id.Workspace, p client.Tap, at time.Time) (ok bool) {
		p.Workspace = w
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			ok, err = tx.SpendTicket(ctx, client.Ticket{Tap: p}, client.Use{}, at)
			return err
		})
		return ok
	}
	if spend(other, p, Start()) || spend(w, p, p.ExpiresAt) {
		t.Error("a tap is spent by another workspace, or after its time")
	}
	var ok [2]bool
	meet(func() { ok[0] = spend(w, p, Start()) }, func() { ok[1] = spend(w, p, Start()) })
	if ok[0] == ok[1] {
		t.Errorf("two at once spend a tap: %v, want one", ok)
	}
	if got, _ := findTicket(t, d, w, p.ID); !got.SpentAt.Equal(Start()) || spend(w, p, Start()) {
		t.Errorf("the tap is %+v, want it spent", got)
	}
}

func verifications(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	by := Client(t, d, w, "Front desk")
	ticket := client.Ticket{Tap: newTap(by, securitykey.SecurityKey{ID: "sk_1"}), Now: client.Stamp{Key: 1, User: 2, Client: 3}}
	v, token := client.NewVerification(secret.FromString("key"), ticket, Start())
	if v.Digest != client.VerificationDigest(secret.FromString("key"), ticket, token) || v.Digest == client.VerificationDigest(secret.FromString("another"), ticket, token) {
		t.Error("the digest is not that of the token")
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertVerification(ctx, v) })
	use := func(k client.Ticket, at time.Time) (ok bool) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			ok, err = tx.UseVerification(ctx, k, v.Digest, at)
			return err
		})
		return ok
	}
	for name, change := range map[string]func(*client.Ticket){
		"another workspace":     func(k *client.Ticket) { k.Workspace = other },
		"another client":        func(k *client.Ticket) { k.Client = "cli_2" },
		"another key":           func(k *client.Ticket) { k.SecurityKey = "sk_2" },
		"another relying party": func(k *client.Ticket) { k.RPID = "bank.example" },
		"a key that moved":      func(k *client.Ticket) { k.Now.Key++ },
		"a holder who moved":    func(k *client.Ticket) { k.Now.User++ },
		"a client that moved":   func(k *client.Ticket) { k.Now.Client++ },
	} {
		k := ticket
		change(&k)
		if use(k, Start()) {
			t.Errorf("the verification is good for %s", name)
		}
	}
	if use(ticket, v.IdleUntil) {
		t.Error("a verification is good that nobody used for a minute")
	}
	at := Start()
	for at = at.Add(50 * time.Second); at.Before(v.ExpiresAt); at = at.Add(50 * time.Second) {
		if !use(ticket, at) {
			t.Fatalf("after %v the verification is over, though it was used", at.Sub(Start()))
		}
	}
	if use(ticket, v.ExpiresAt) {
		t.Error("a verification outlives its time because it was used")
	}
}

// A ticket is spent with a verification and a credential that are good for it, and else not.
func ticketsWith(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	by := Client(t, d, w, "Front desk")
	ada, bea := User(t, d.Store, w, "ada.spends"), User(t, d.Store, w, "bea.spends")
	key := newSecurityKey(ada, "Badge that is spent")
	insertSecurityKeys(t, d, key)
	first := newTap(by, key)
	insertTap(t, d, first)
	now, _ := findTicket(t, d, w, first.ID)
	hers, theirs := newCredential(ada, "shop.example", Start()), newCredential(bea, "shop.example", Start())
	elsewhere := newCredential(User(t, d.Store, other, "ada.spends"), "shop.example", Start())
	insertCredentials(t, d, hers, theirs, elsewhere)
	good, _ := client.NewVerification(secret.FromString("key"), now, Start())
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertVerification(ctx, good) })
	spend := func(with client.Use, at time.Time, change func(*client.Ticket)) (ok bool) {
		p := newTap(by, key)
		p.Stamp, p.ExpiresAt = now.Now, Start().Add(time.Hour)
		insertTap(t, d, p)
		k, _ := findTicket(t, d, w, p.ID)
		if change != nil {
			change(&k)
		}
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			ok, err = tx.SpendTicket(ctx, k, with, at)
			return err
		})
		return ok
	}
	verified := client.Use{Verification: good.Digest}
	for _, c := range []struct {
		name string
		with client.Use
		at   time.Time
		is   bool
	}{
		{"nothing", client.Use{}, Start(), true},
		{"a verification", verified, Start(), true},
		{"a verification that was spent once", verified, Start(), true},
		{"one that nobody used for a minute", verified, good.IdleUntil, false},
		{"one that is not there", client.Use{Verification: "nothing"}, Start(), false},
		{"her credential", client.Use{Credential: hers.ID}, Start(), true},
		{"both", client.Use{Verification: good.Digest, Credential: hers.ID}, Start(), true},
		{"somebody else's credential", client.Use{Credential: theirs.ID}, Start(), false},
		{"another workspace's credential", client.Use{Credential: elsewhere.ID}, Start(), false},
		{"a credential that is not there", client.Use{Verification: good.Digest, Credential: "cred_nothing"}, Start(), false},
	} {
		if spend(c.with, c.at, nil) != c.is {
			t.Errorf("a ticket is spent with %s: %v", c.name, !c.is)
		}
	}
	if spend(verified, Start(), func(k *client.Ticket) { k.RPID = "bank.example" }) {
		t.Error("a verification is good for another relying party")
	}
	for name, change := range map[string]string{
		"another workspace's":   `UPDATE client_uv SET workspace = '` + string(other) + `' WHERE workspace = $1`,
		"another client's":      `UPDATE client_uv SET client_id = 'cli_2' WHERE workspace = $1`,
		"another key's":         `UPDATE client_uv SET security_key = 'sk_2' WHERE workspace = $1`,
		"before the key moved":  `UPDATE client_uv SET key_revision = key_revision - 1 WHERE workspace = $1`,
		"before the user moved": `UPDATE client_uv SET user_revision = user_revision - 1 WHERE workspace = $1`,
		"before the client was": `UPDATE client_uv SET client_revision = client_revision - 1 WHERE workspace = $1`,
		"over":                  `UPDATE client_uv SET expires_at = 1 WHERE workspace = $1`,
	} {
		if !spend(verified, Start(), nil) {
			t.Fatal("the verification is not good")
		}
		Exec(t, d, change, string(w))
		if spend(verified, Start(), nil) {
			t.Errorf("a ticket is spent with a verification that is %s", name)
		}
		Exec(t, d, `DELETE FROM client_uv WHERE digest = $1`, good.Digest)
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertVerification(ctx, good) })
	}
}

func proofsForgotten(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	by := Client(t, d, w, "Front desk")
	old, fresh := newTap(by, securitykey.SecurityKey{}), newTap(by, securitykey.SecurityKey{})
	fresh.ExpiresAt = Start().Add(24 * time.Hour)
	v, _ := client.NewVerification(secret.FromString("key"), client.Ticket{Tap: old}, Start())
	later, _ := client.NewVerification(secret.FromString("key"), client.Ticket{Tap: old}, Start().Add(24*time.Hour))
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, p := range []auth.Proof{{Key: "k", ID: "old", Until: Start().Add(time.Minute)}, {Key: "k", ID: "fresh", Until: Start().Add(24 * time.Hour)}} {
			by := auth.Job(w, "test")
			by.Proof = p
			if _, _, err := tx.AdmitProof(ctx, by, Start()); err != nil {
				return err
			}
		}
		for _, p := range []client.Tap{old, fresh} {
			if err := tx.InsertTap(ctx, p); err != nil {
				return err
			}
		}
		for _, v := range []client.Verification{v, later} {
			if err := tx.InsertVerification(ctx, v); err != nil {
				return err
			}
		}
		if _, _, err := tx.SpendShadowTry(ctx, w, "old", Start().Add(-91*24*time.Hour)); err != nil {
			return err
		}
		_, _, err := tx.SpendShadowTry(ctx, w, "fresh", Start())
		return err
	})
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		more, err := tx.ForgetProofs(ctx, Start().Add(time.Hour))
		if more {
			t.Error("ForgetProofs() says that there is more, after a few rows")
		}
		return err
	})
	for _, table := range []string{
		`SELECT COUNT(*) FROM client_proof WHERE workspace = $1`, `SELECT COUNT(*) FROM client_tap WHERE workspace = $1`,
		`SELECT COUNT(*) FROM client_uv WHERE workspace = $1`, `SELECT COUNT(*) FROM securitykey_shadow WHERE workspace = $1`,
	} {
		if n := Count(t, d, table, string(w)); n != 1 {
			t.Errorf("%s: %d, want the fresh one", table, n)
		}
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM client_proof WHERE workspace = $1 AND proof = 'fresh'`, string(w)); n != 1 {
		t.Error("the fresh proof is forgotten")
	}
}

func ratesAdd(t *testing.T, d Database) {
	name := "test/" + string(id.New[id.KindTouch](Start()))
	for i, c := range []struct {
		by   int
		at   time.Duration
		want int64
	}{{0, 0, 0}, {1, 0, 1}, {1, time.Minute, 2}, {0, time.Minute, 2}, {0, 10 * time.Minute, 0}, {1, 10 * time.Minute, 1}} {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			n, _, err := tx.AddRate(ctx, name, c.by, Start().Add(c.at), 10*time.Minute)
			if n != c.want {
				t.Errorf("%d: AddRate() = %d, want %d", i, n, c.want)
			}
			return err
		})
	}
}

// A card that nobody has rests and locks as one that somebody has.
func shadowTries(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	ada := User(t, d.Store, w, "ada")
	k := newSecurityKey(ada, "Badge")
	insertSecurityKeys(t, d, k)
	at := Start()
	for i := range 60 {
		at = at.Add(17 * time.Second)
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			known, taken, err := tx.SpendPINTry(ctx, w, k.ID, at)
			if err != nil {
				return err
			}
			shadow, took, err := tx.SpendShadowTry(ctx, w, "digest", at)
			if err != nil {
				return err
			}
			card, _, err := tx.FindSecurityKey(ctx, w, k.ID)
			if err != nil {
				return err
			}
			pin, err := tx.FindShadow(ctx, w, "digest")
			if known != shadow || taken != took || card.PIN.Wrong != pin.Wrong || !card.PIN.PausedUntil.Equal(pin.PausedUntil) {
				t.Errorf("try %d: a known card %d %v %+v, an unknown one %d %v %+v", i, known, taken, card.PIN, shadow, took, pin)
			}
			return err
		})
	}
	if n := Count(t, d, `SELECT pin_wrong FROM securitykey_shadow WHERE workspace = $1`, string(w)); n != securitykey.PINTries {
		t.Errorf("%d wrong tries in the end, want it locked", n)
	}
}
