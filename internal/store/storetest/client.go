package storetest

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/store"
)

func clientCases() []testCase {
	return []testCase{
		{name: "clients come back as they were written", run: clientsComeBack},
		{name: "clients are listed, counted and found by name", run: clientsAreListed},
		{name: "a client's name is taken until it is revoked", run: clientNames},
		{name: "an enrolment code is spent as often as it says", run: enrolmentCodes},
		{name: "the good enrolment codes of all workspaces are listed", run: allEnrolmentCodes},
		{name: "a client's own API key is stopped, and no other", run: ownAPIKeys},
		{name: "a proof is spent once, whoever asks at once", run: proofsOnce},
		{name: "a client stands while all that it depends on does", run: clientStanding},
		{name: "a ticket tells what is true now", run: tickets},
		{name: "a ticket is spent with what is good for it", run: ticketsWith},
		{name: "a tap is spent once, by one of two at once", run: tapsOnce},
		{name: "a verification ends by age and by idleness", run: verifications},
		{name: "what is over is forgotten", run: proofsForgotten},
		{name: "an addition to a rate may be nothing", run: ratesAdd},
		{name: "tries of a card that nobody has rest and lock", run: shadowTries},
	}
}

func newClient(w id.Workspace, name string) client.Client {
	c := id.New[id.KindClient](Start())
	return client.Client{
		ID: c, Workspace: w, Name: name, Kind: client.Extension, State: client.Pending, Thumbprint: "print of " + string(c), PublicKey: `{"kty":"EC"}`,
		ReaderFormat: client.Hex, APIKey: "key_1", CreatedAt: Start(), CreatedIP: "192.0.2.1", LastSeenAt: Start(), LastIP: "192.0.2.1", Agent: "test/1", Revision: 1,
	}
}

// Client makes a client that is approved, as a caller by an API key of the type clients.
func Client(t testing.TB, d Database, w id.Workspace, name string) auth.Caller {
	t.Helper()
	c := newClient(w, name)
	c.State, c.ApprovedAt, c.ApprovedBy = client.Approved, Start(), "Ada"
	by := APIKey(t, d.Store, w)
	Exec(t, d, `UPDATE apikey SET type = 'clients' WHERE id = $1`, string(by.APIKey))
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertClient(ctx, c) })
	by.Kind, by.Client, by.Name = auth.Client, c.ID, name
	return by
}

func clientsComeBack(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	c := newClient(w, "Front desk")
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertClient(ctx, c) })
	c.Name, c.State, c.PinlessAllowed, c.ReaderFormat, c.Revision = "Reception", client.Revoked, true, client.DecimalReversed, 4
	c.ApprovedAt, c.ApprovedBy, c.RevokedAt = Start().Add(time.Minute), "Ada", Start().Add(time.Hour)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if got, there, err := tx.LockClient(ctx, w, c.ID); err != nil || !there || got.Name != "Front desk" {
			t.Errorf("LockClient() = %+v, %v, %v", got, there, err)
		}
		return tx.UpdateClient(ctx, c)
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		got, found, err := tx.FindClient(ctx, w, c.ID)
		if same(t, "the client", got, c); !found || err != nil {
			t.Errorf("FindClient() = %v, %v", found, err)
		}
		if got, found, err := tx.FindClientByKey(ctx, w, c.Thumbprint); got.ID != c.ID || !found || err != nil {
			t.Errorf("FindClientByKey() = %+v, %v, %v", got, found, err)
		}
		if _, found, err := tx.FindClient(ctx, other, c.ID); found || err != nil {
			t.Errorf("another workspace finds the client: %v", err)
		}
		if _, found, err := tx.FindClientByKey(ctx, other, c.Thumbprint); found || err != nil {
			t.Errorf("another workspace finds the client by its key: %v", err)
		}
		return nil
	})
	seen := Start().Add(30 * time.Second)
	touch := func(at time.Time) client.Client {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			return tx.TouchClient(ctx, w, c.ID, "192.0.2.9", "test/2", at)
		})
		var got client.Client
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			got, _, err = tx.FindClient(ctx, w, c.ID)
			return err
		})
		return got
	}
	if got := touch(seen); !got.LastSeenAt.Equal(Start()) {
		t.Errorf("seen at %v, want it noted once a minute", got.LastSeenAt)
	}
	if got := touch(Start().Add(time.Minute)); !got.LastSeenAt.Equal(Start().Add(time.Minute)) || got.LastIP != "192.0.2.9" || got.Agent != "test/2" {
		t.Errorf("seen %+v, want it noted", got)
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteClient(ctx, w, c.ID) })
	if n := Count(t, d, `SELECT COUNT(*) FROM client WHERE workspace = $1`, string(w)) + Count(t, d, `SELECT COUNT(*) FROM term WHERE workspace = $1 AND kind = 'client'`, string(w)); n != 0 {
		t.Errorf("%d rows are left of the client", n)
	}
}

func clientsAreListed(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	var want []id.Client
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for i, name := range []string{"Ärzte desk", "back office", "Front desk", "Workshop"} {
			c := newClient(w, name)
			c.CreatedAt, c.LastSeenAt = Start().Add(time.Duration(i)*time.Hour), Start().Add(-time.Duration(i)*time.Hour)
			if i == 1 {
				c.State = client.Approved
			}
			want = append(want, c.ID)
			if err := tx.InsertClient(ctx, c); err != nil {
				return err
			}
		}
		return tx.InsertClient(ctx, newClient(other, "Elsewhere"))
	})
	list := func(q client.Query) (out []id.Client) {
		t.Helper()
		for {
			var got page.Page[client.Client]
			Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
				got, err = tx.ListClients(ctx, w, q)
				return err
			})
			for _, c := range got.Items {
				out = append(out, c.ID)
			}
			if got.Next.IsZero() {
				return out
			}
			q.Page.After = got.Next
		}
	}
	backwards := slices.Clone(want)
	slices.Reverse(backwards)
	for name, c := range map[string]struct {
		q    client.Query
		want []id.Client
	}{
		"by name":    {client.Query{Page: page.Request{Limit: 1}}, want},
		"by age":     {client.Query{Page: page.Request{Limit: 3, Sort: client.SortCreated, Descending: true}}, backwards},
		"by seen":    {client.Query{Page: page.Request{Limit: 2, Sort: client.SortLastSeen}}, backwards},
		"pending":    {client.Query{State: client.Pending, Page: page.Request{Limit: 50}}, []id.Client{want[0], want[2], want[3]}},
		"word":       {client.Query{Words: []string{"desk"}, Page: page.Request{Limit: 50}}, []id.Client{want[0], want[2]}},
		"no word":    {client.Query{Words: []string{"nobody"}, Page: page.Request{Limit: 50}}, nil},
		"both words": {client.Query{Words: []string{"fr", "de"}, Page: page.Request{Limit: 50}}, []id.Client{want[2]}},
	} {
		if got := list(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.CountClients(ctx, w)
		if n != (client.Counts{Total: 4, Pending: 3, Approved: 1}) || err != nil {
			t.Errorf("CountClients() = %+v, %v", n, err)
		}
		return nil
	})
}

func clientNames(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	c := newClient(w, "Front Desk")
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertClient(ctx, c) })
	taken := func(w id.Workspace, name string, except id.Client) (is bool) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			is, err = tx.ClientNameTaken(ctx, w, name, except)
			return err
		})
		return is
	}
	if !taken(w, "FRONT desk", "") || taken(w, "Front desk", c.ID) || taken(other, "Front Desk", "") || taken(w, "Back", "") {
		t.Error("ClientNameTaken() is wrong about case, itself, another workspace or another name")
	}
	c.State = client.Revoked
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateClient(ctx, c) })
	if taken(w, "Front Desk", "") {
		t.Error("the name of a revoked client is taken")
	}
}

func enrolmentCodes(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	c := client.Code{
		ID: id.New[id.KindEnrolmentCode](Start()), Workspace: w, Digest: []byte("digest"), Uses: 2, Left: 2, CreatedBy: "Ada", CreatedAt: Start(), ExpiresAt: Start().Add(time.Hour),
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertEnrolmentCode(ctx, c) })
	spend := func(w id.Workspace, digest string, at time.Time) (ok bool) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			_, ok, err = tx.SpendEnrolmentCode(ctx, w, []byte(digest), at)
			return err
		})
		return ok
	}
	if spend(other, "digest", Start()) || spend(w, "another", Start()) || spend(w, "digest", c.ExpiresAt) {
		t.Error("a code is spent that is of another workspace, another one or over")
	}
	listed := func() (out []client.Code) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			out, err = tx.ListEnrolmentCodes(ctx, w, Start(), 10)
			return err
		})
		return out
	}
	same(t, "the list of enrolment codes", listed(), []client.Code{c})
	first, second, third := spend(w, "digest", Start()), spend(w, "digest", Start()), spend(w, "digest", Start())
	if !first || !second || third || len(listed()) != 0 {
		t.Error("a code of two uses is not spent twice")
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if _, found, err := tx.DeleteEnrolmentCode(ctx, other, c.ID); found || err != nil {
			t.Errorf("another workspace deletes the code: %v", err)
		}
		gone, found, err := tx.DeleteEnrolmentCode(ctx, w, c.ID)
		if !found || gone.ID != c.ID {
			t.Errorf("DeleteEnrolmentCode() = %+v, %v", gone, found)
		}
		return err
	})
}

func allEnrolmentCodes(t *testing.T, d Database) {
	w, other, suspended := Workspace(t, d.Store), Workspace(t, d.Store), Workspace(t, d.Store)
	code := func(w id.Workspace, left int, ends time.Duration) client.Code {
		c := client.Code{
			ID: id.New[id.KindEnrolmentCode](Start()), Workspace: w, Uses: 2, Left: left, CreatedBy: "Ada", CreatedAt: Start(), ExpiresAt: Start().Add(ends),
		}
		c.Digest = []byte("digest of " + string(c.ID))
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertEnrolmentCode(ctx, c) })
		return c
	}
	last, first := code(w, 2, 2*time.Hour), code(other, 1, time.Hour)
	code(w, 0, time.Hour)           // spent
	code(w, 2, time.Minute)         // over by then
	code(suspended, 2, 3*time.Hour) // of who may not
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.SuspendWorkspace(ctx, suspended, Start()) })
	listed := func(limit int) (out []client.Code) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			all, err := tx.ListAllEnrolmentCodes(ctx, Start().Add(time.Minute), limit)
			for _, c := range all { // other cases leave theirs
				if c.Workspace == w || c.Workspace == other || c.Workspace == suspended {
					out = append(out, c)
				}
			}
			return err
		})
		return out
	}
	same(t, "the list of all enrolment codes", listed(10_000), []client.Code{first, last})
	if n := len(listed(0)); n != 0 {
		t.Errorf("%d codes are listed, want the limit kept", n)
	}
}

func ownAPIKeys(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	c, shared := newClient(w, "Front desk"), Client(t, d, w, "Back office")
	own := APIKey(t, d.Store, w).APIKey
	Exec(t, d, `UPDATE apikey SET type = 'clients', created_by_type = 'client', created_by_id = $2 WHERE id = $1`, string(own), string(c.ID))
	// One that says that a client made it, but is of somebody else's doing.
	Exec(t, d, `UPDATE apikey SET created_by_id = $2 WHERE id = $1`, string(shared.APIKey), string(c.ID))
	stop := func(w id.Workspace, c id.Client, key id.APIKey) (k client.OwnKey, stopped bool) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			k, stopped, err = tx.StopOwnAPIKey(ctx, w, c, key, Start())
			return err
		})
		return k, stopped
	}
	enrols := func(k id.APIKey) (may bool) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			may, err = tx.APIKeyEnrols(ctx, w, k)
			return err
		})
		return may
	}
	if enrols(own) || !enrols(shared.APIKey) {
		t.Error("a client's own key enrols others, or a shared one does not")
	}
	if _, stopped := stop(other, c.ID, own); stopped {
		t.Error("another workspace stops the key")
	}
	if _, stopped := stop(w, shared.Client, own); stopped {
		t.Error("a key is stopped with a client that it is not of")
	}
	if _, stopped := stop(w, c.ID, shared.APIKey); stopped {
		t.Error("a key is stopped that was not made for a client")
	}
	k, stopped := stop(w, c.ID, own)
	if !stopped || k.ID != own || k.Name == "" || len(k.Subjects) != 1 {
		t.Errorf("StopOwnAPIKey() = %+v, %v", k, stopped)
	}
	if _, again := stop(w, c.ID, own); again {
		t.Error("the key is stopped twice")
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM apikey WHERE workspace = $1 AND disabled_at <> 0`, string(w)); n != 1 {
		t.Errorf("%d keys are disabled, want one", n)
	}
}

func proofsOnce(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	p := auth.Proof{Key: "thumbprint", ID: "jti", Until: Start().Add(time.Minute)}
	spend := func(w id.Workspace, p auth.Proof) (fresh bool) {
		by := auth.Job(w, "test")
		by.Proof = p
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			_, fresh, err = tx.AdmitProof(ctx, by, Start())
			return err
		})
		return fresh
	}
	var fresh [2]bool
	meet(func() { fresh[0] = spend(w, p) }, func() { fresh[1] = spend(w, p) })
	if fresh[0] == fresh[1] {
		t.Errorf("a proof that two bring at once is fresh to %v, want to one", fresh)
	}
	if spend(w, p) || !spend(other, p) || !spend(w, auth.Proof{Key: "thumbprint", ID: "JTI", Until: p.Until}) || !spend(w, auth.Proof{Key: "another", ID: "jti", Until: p.Until}) {
		t.Error("AdmitProof() is wrong about the same one, another workspace, another id or another key")
	}
}

func clientStanding(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	by := Client(t, d, w, "Front desk")
	n := 0
	stands := func(by auth.Caller, at time.Time) (is bool) {
		n++
		by.Proof = auth.Proof{Key: "thumbprint", ID: "proof " + strconv.Itoa(n), Until: Start().Add(time.Hour)}
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			s, err := tx.CallerStanding(ctx, by, at)
			if err != nil {
				return err
			}
			proved, fresh, err := tx.AdmitProof(ctx, by, at)
			if err != nil {
				return err
			}
			again, twice, err := tx.AdmitProof(ctx, by, at)
			if is = s.Active; is != proved.Active || !fresh || is != again.Active || twice {
				t.Errorf("%v: AdmitProof() says %v %v, then %v %v, CallerStanding() %v", by.Client, proved.Active, fresh, again.Active, twice, is)
			}
			if len(s.Permissions) > 0 || s.Owner || len(proved.Permissions) > 0 || proved.Owner {
				t.Errorf("a client has the standing %+v, %+v", s, proved)
			}
			return err
		})
		return is
	}
	if !stands(by, Start()) {
		t.Fatal("an approved client does not stand")
	}
	for name, change := range map[string]func(*auth.Caller){
		"another workspace": func(c *auth.Caller) { c.Workspace = other },
		"another key":       func(c *auth.Caller) { c.APIKey = "key_2" },
		"an Admin key":      func(c *auth.Caller) { c.APIKey = APIKey(t, d.Store, w).APIKey },
		"no client":         func(c *auth.Caller) { c.Client = "" },
	} {
		c := by
		change(&c)
		if stands(c, Start()) {
			t.Errorf("it stands with %s", name)
		}
	}
	for _, c := range []struct{ name, change, back string }{
		{"pending", `UPDATE client SET state = 'pending' WHERE id = $1`, `UPDATE client SET state = 'approved' WHERE id = $1`},
		{"revoked", `UPDATE client SET state = 'revoked' WHERE id = $1`, `UPDATE client SET state = 'approved' WHERE id = $1`},
	} {
		Exec(t, d, c.change, string(by.Client))
		if stands(by, Start()) {
			t.Errorf("it stands though it is %s", c.name)
		}
		Exec(t, d, c.back, string(by.Client))
	}
	Exec(t, d, `UPDATE apikey SET disabled_at = 1 WHERE id = $1`, string(by.APIKey))
	if stands(by, Start()) {
		t.Error("it stands with a disabled key")
	}
	Exec(t, d, `UPDATE apikey SET disabled_at = 0, ends_at = $2 WHERE id = $1`, string(by.APIKey), Start().UnixMilli())
	if stands(by, Start()) || !stands(by, Start().Add(-time.Second)) {
		t.Error("it does not stand exactly until its key expires")
	}
	Exec(t, d, `UPDATE apikey SET ends_at = 253402300799999 WHERE id = $1`, string(by.APIKey))
	Exec(t, d, `UPDATE workspace SET suspended_at = 1 WHERE id = $1`, string(w))
	if stands(by, Start()) {
		t.Error("it stands in a suspended workspace")
	}
}
