package storetest

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
)

func valueCases() []testCase {
	return []testCase{
		{name: "a user comes back as they went", run: userRoundTrip},
		{name: "an API key comes back as it went", run: apiKeyRoundTrip},
		{name: "a passkey comes back as it went", run: passkeyRoundTrip},
		{name: "an activity comes back as it went", run: activityRoundTrip},
		{name: "empty bytes are bytes", run: emptyBytes},
		{name: "truth comes back as it went", run: truths},
		{name: "what is not there is not found", run: absent},
	}
}

// same compares what came back with what went.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s came back\n got %+v\nwant %+v", what, got, want)
	}
}

// allBytes holds every byte once.
func allBytes() []byte {
	out := make([]byte, 256)
	for i := range out {
		out[i] = byte(i)
	}
	return out
}

func userRoundTrip(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u := directory.User{
		ID: id.New[id.KindUser](Start()), Workspace: w, UserID: "Ada.L", Email: "Ada@Example.org", FirstName: "Ádá", LastName: "李 \U0001f511",
		Phone: "+44 20", EmployeeID: "E-1", Language: "en-GB", Timezone: "Europe/London", Auditable: true, Status: directory.Pending, Revision: 7,
		CreatedAt: Start().Add(time.Millisecond), LastActivityAt: Start().Add(time.Hour),
	}
	find := func() (got directory.User) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			got, _, err = tx.FindUser(ctx, w, u.ID)
			return err
		})
		return got
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertUser(ctx, u) })
	same(t, "the user", find(), u)
	u.UserID, u.Email, u.FirstName, u.LastName, u.Phone, u.EmployeeID, u.Language, u.Timezone = "b", "b@example.org", "", "B", "", "", "", ""
	u.Auditable, u.Revision = false, 8
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, u) })
	same(t, "the changed user", find(), u)
	u.Status, u.LastActivityAt = directory.Active, Start().Add(2*time.Hour)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.MarkUserSeen(ctx, w, u.ID, u.LastActivityAt) })
	same(t, "the user who was seen", find(), u)
	var name, email bool
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		if name, err = tx.UserNameTaken(ctx, w, "b", ""); err != nil {
			return err
		}
		email, err = tx.UserEmailTaken(ctx, w, "b@example.org", u.ID)
		return err
	})
	if !name || email {
		t.Errorf("name taken %v, e-mail taken by another %v, want true and false", name, email)
	}
}

func apiKeyRoundTrip(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	for _, k := range []apikey.Key{
		{
			Type: apikey.Admin, Permissions: auth.All(), ExpiresAt: Start().Add(time.Hour), EndsAt: Start().Add(time.Minute), WarnAt: Start(), TokenHash: allBytes(),
			Pepper: 7, Root: "user_x", IssuedAt: Start(), AllowedIPs: apikey.ParseAllowedIPs("192.0.2.0/24 2001:db8::/32"), Revision: 3,
			CreatedBy: activity.Party{Type: "administrator", ID: "user_x", Name: "Ada"},
		},
		{Type: apikey.Clients, TokenHash: []byte{0}, EndsAt: apikey.Never(), WarnAt: apikey.Never(), IssuedAt: Start()},
	} {
		k.ID, k.Workspace, k.Name, k.CreatedAt = id.New[id.KindAPIKey](Start()), w, "Röbot", Start()
		k.TokenID = string(k.ID)
		var byID, byToken apikey.Key
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertAPIKey(ctx, k) })
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			if byID, _, err = tx.FindAPIKey(ctx, w, k.ID); err != nil {
				return err
			}
			byToken, _, _, err = tx.FindAPIKeyByTokenID(ctx, k.TokenID)
			return err
		})
		same(t, "the key, by id", byID, k)
		same(t, "the key, by token", byToken, k)
	}
}

func passkeyRoundTrip(t *testing.T, d Database) {
	u := User(t, d.Store, Workspace(t, d.Store), "ada")
	p := signin.Passkey{
		ID: id.New[id.KindPasskey](Start()), Workspace: u.Workspace, User: u.ID, CredentialID: append(allBytes(), u.ID...), Record: allBytes(),
		Name: "Passkey", CreatedAt: Start(),
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertPasskey(ctx, p) })
	p.Record, p.LastUsedAt = bytes.Repeat(allBytes(), 20), Start().Add(time.Minute)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		used, err := tx.UpdatePasskeyUse(ctx, p)
		if !used {
			t.Error("UpdatePasskeyUse() = false for a passkey that is there")
		}
		return err
	})
	var got signin.Passkey
	var all []signin.Passkey
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		if got, _, err = tx.FindPasskey(ctx, p.CredentialID); err != nil {
			return err
		}
		all, err = tx.ListPasskeys(ctx, u.Workspace, u.ID)
		return err
	})
	same(t, "the passkey", got, p)
	same(t, "the list of passkeys", all, []signin.Passkey{p})
}

func activityRoundTrip(t *testing.T, d Database) {
	w := bareWorkspace(t, d)
	r := activity.Row{
		Event: activity.Event{
			ID: id.New[id.KindActivity](Start()), Workspace: w, At: Start(), Action: "user.create", Outcome: activity.Refused, Reason: "r",
			Detail: "d", Count: 3, Actor: activity.Party{Type: "user", ID: "a", Name: "Ada"}, Target: activity.Party{Type: "user", ID: "b", Name: "Bob"},
			User: "user_b", RPID: "example.org", SecurityKey: "sk_b", Client: "cli_b", IP: "192.0.2.1", Agent: "browser", RequestID: "req",
		},
		ActorSalt: []byte{1}, ActorDigest: allBytes(), TargetSalt: []byte{2}, TargetDigest: []byte{3},
	}
	var unsealed, sealed []activity.Row
	var head activity.Head
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		if err := tx.InsertActivity(ctx, r); err != nil {
			return err
		}
		unsealed, err = tx.UnsealedActivities(ctx, w, 10)
		return err
	})
	bare := r // of what enters the chain
	bare.Actor.Name, bare.Target.Name, bare.IP, bare.Agent, bare.ActorSalt, bare.TargetSalt = "", "", "", "", nil, nil
	same(t, "the unsealed row", unsealed, []activity.Row{bare})
	r.Index, r.Hash = 1, allBytes()
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.SealActivity(ctx, r); err != nil {
			return err
		}
		moved, err := tx.MoveActivityHead(ctx, w, activity.Head{}, activity.Head{Index: 1, Hash: r.Hash})
		if !moved {
			t.Error("the head did not move from where it was")
		}
		return err
	})
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.SealActivity(ctx, r); err == nil {
			t.Error("sealing a row twice = nil, want an error")
		}
		return nil
	})
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		moved, err := tx.MoveActivityHead(ctx, w, activity.Head{}, activity.Head{Index: 2, Hash: []byte{9}})
		if moved {
			t.Error("the head moved from where it was no more")
		}
		return err
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		if sealed, err = tx.SealedActivities(ctx, w, 0, 10); err != nil {
			return err
		}
		head, err = tx.ActivityHead(ctx, w)
		return err
	})
	same(t, "the sealed row", sealed, []activity.Row{r})
	same(t, "the head", head, activity.Head{Index: 1, Hash: r.Hash})
}

func emptyBytes(t *testing.T, d Database) {
	w := bareWorkspace(t, d) // its two secrets are empty
	var got directory.Workspace
	var head activity.Head
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		if got, _, err = tx.FindWorkspace(ctx, w); err != nil {
			return err
		}
		head, err = tx.ActivityHead(ctx, w)
		return err
	})
	if got.ID != w || len(got.SealingKey) != 0 || len(head.Hash) != 0 {
		t.Errorf("workspace %s, sealing key %v, head's hash %v, want %s and empty ones", got.ID, got.SealingKey, head.Hash, w)
	}
	n := Count(t, d, `SELECT COUNT(*) FROM workspace WHERE id = $1 AND sealing_key IS NOT NULL AND length(sealing_key) = 0`, w)
	if n != 1 {
		t.Errorf("%d rows hold empty bytes, want 1", n)
	}
}

func truths(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	owner, helper := Administrator(t, d.Store, w, "ada"), Administrator(t, d.Store, w, "bob", auth.UsersRead)
	for _, c := range []struct {
		by   auth.Caller
		want bool
	}{{owner, true}, {helper, false}} {
		var a signin.Administrator
		var standing auth.Standing
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			if a, _, err = tx.FindAdministrator(ctx, w, c.by.User); err != nil {
				return err
			}
			standing, err = tx.CallerStanding(ctx, c.by, Start())
			return err
		})
		if a.Owner != c.want || standing.Owner != c.want {
			t.Errorf("%s: owner %v, standing %v, want %v", c.by.Name, a.Owner, standing.Owner, c.want)
		}
	}
	for _, want := range []bool{true, false} {
		l, value := signin.NewSetupLink(w, owner.User, want, Start())
		if value.IsEmpty() {
			t.Error("a link's secret is empty")
		}
		var got signin.SetupLink
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertSetupLink(ctx, l) })
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			got, _, err = tx.FindSetupLink(ctx, l.Digest)
			return err
		})
		same(t, "the link", got, l)
	}
	var groups page.Page[directory.Group]
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertGroup(ctx, directory.Group{ID: id.New[id.KindGroup](Start()), Workspace: w, Name: "A", CreatedAt: Start()})
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		groups, err = tx.ListGroups(ctx, w, directory.GroupQuery{Page: page.Request{Limit: 5, WithTotal: true}})
		return err
	})
	if all := groups.Items; groups.Total != 2 || len(all) != 2 || all[0].Builtin || !all[1].Builtin {
		t.Errorf("groups %+v, want the new one, then the builtin one", groups)
	}
}

func absent(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	u, k := User(t, d.Store, w, "ada"), APIKey(t, d.Store, w)
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for what, find := range map[string]func() (bool, error){
			"another workspace's user":          func() (bool, error) { _, found, err := tx.FindUser(ctx, other, u.ID); return found, err },
			"another workspace's person":        func() (bool, error) { _, found, err := tx.FindPerson(ctx, other, u.ID); return found, err },
			"another workspace's address":       func() (bool, error) { _, found, err := tx.FindPersonByEmail(ctx, other, u.Email); return found, err },
			"another workspace's key":           func() (bool, error) { _, found, err := tx.FindAPIKey(ctx, other, k.APIKey); return found, err },
			"another workspace's administrator": func() (bool, error) { _, found, err := tx.FindAdministrator(ctx, other, u.ID); return found, err },
			"another workspace's user id":       func() (bool, error) { return tx.UserNameTaken(ctx, other, "ada", "") },
			"another workspace's e-mail":        func() (bool, error) { return tx.UserEmailTaken(ctx, other, "ada@example.org", "") },
			"a workspace":                       func() (bool, error) { _, found, err := tx.FindWorkspace(ctx, "ws_none"); return found, err },
			"a token":                           func() (bool, error) { _, _, found, err := tx.FindAPIKeyByTokenID(ctx, "none"); return found, err },
			"a passkey":                         func() (bool, error) { _, found, err := tx.FindPasskey(ctx, []byte("none")); return found, err },
			"a session":                         func() (bool, error) { _, found, err := tx.FindSession(ctx, []byte("none")); return found, err },
			"a link":                            func() (bool, error) { _, found, err := tx.FindSetupLink(ctx, []byte("none")); return found, err },
			"a ceremony":                        func() (bool, error) { _, found, err := tx.FindCeremony(ctx, "cer_none"); return found, err },
		} {
			if found, err := find(); found || err != nil {
				t.Errorf("%s: found %v (%v), want false", what, found, err)
			}
		}
		p, found, err := tx.FindPerson(ctx, w, "")
		if err != nil || found || p.WorkspaceName != "Harbour" {
			t.Errorf("FindPerson() of nobody = %+v, %v (%v), want the workspace's part", p, found, err)
		}
		return nil
	})
}
