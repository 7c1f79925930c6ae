package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
)

func accessPassCases() []testCase {
	return []testCase{
		{name: "an access pass comes back as it went", run: passRoundTrip},
		{name: "a one-time access pass is used once", run: passOnce},
		{name: "an access pass is used while it is valid", run: passInTime},
		{name: "an access pass ends once, with its sessions", run: passEnds},
		{name: "counted tries are given back", run: uncount},
		{name: "standings of sessions for keys and of mailboxes", run: weakStandings},
		{name: "a passkey of a security key", run: keyPasskey},
		{name: "who has an active security key", run: activeKey},
		{name: "the creator of an API key", run: keyCreator},
	}
}

func accessPass(t *testing.T, d Database, w id.Workspace, u id.User, oneTime bool) signin.AccessPass {
	t.Helper()
	p := signin.AccessPass{
		ID: id.New[id.KindAccessPass](Start()), Workspace: w, User: u, Digest: allBytes(), StartsAt: Start().Add(time.Minute), ExpiresAt: Start().Add(time.Hour),
		OneTime: oneTime, CreatedAt: Start(), CreatedBy: "desk",
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertAccessPass(ctx, p) })
	return p
}

func passesOf(t *testing.T, d Database, w id.Workspace, u id.User, limit int) (out []signin.AccessPass) {
	t.Helper()
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		out, err = tx.ListAccessPasses(ctx, w, u, limit)
		return err
	})
	return out
}

func passRoundTrip(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada")
	old := accessPass(t, d, w, u.ID, true)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		return tx.EndAccessPasses(ctx, w, u.ID, signin.PassReplaced, Start().Add(time.Second))
	})
	old.EndedAt, old.EndedAs = Start().Add(time.Second), signin.PassReplaced
	p := accessPass(t, d, w, u.ID, false)
	same(t, "the passes, the last first", passesOf(t, d, w, u.ID, 10), []signin.AccessPass{p, old})
	same(t, "the last", passesOf(t, d, w, u.ID, 1), []signin.AccessPass{p})
	same(t, "those of another workspace", len(passesOf(t, d, other, u.ID, 10)), 0)
}

func passOnce(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada")
	at := Start().Add(2 * time.Minute)
	for oneTime, want := range map[bool]int64{true: 1, false: 50} {
		p := accessPass(t, d, w, u.ID, oneTime)
		n := winners(t, d, func(ctx context.Context, tx *store.Tx) (bool, error) { return tx.UseAccessPass(ctx, w, p.ID, at) })
		if n != want {
			t.Errorf("%d of 50 used the pass (one-time: %v), want %d", n, oneTime, want)
		}
	}
}

func passInTime(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada")
	p := accessPass(t, d, w, u.ID, false)
	for what, c := range map[string]struct {
		w    id.Workspace
		at   time.Time
		want bool
	}{
		"just before its start": {w, p.StartsAt.Add(-time.Millisecond), false},
		"at its start":          {w, p.StartsAt, true},
		"just before its end":   {w, p.ExpiresAt.Add(-time.Millisecond), true},
		"at its end":            {w, p.ExpiresAt, false},
		"from elsewhere":        {other, p.StartsAt, false},
	} {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			used, err := tx.UseAccessPass(ctx, c.w, p.ID, c.at)
			if used != c.want {
				t.Errorf("%s: used %v, want %v", what, used, c.want)
			}
			return err
		})
	}
}

// session writes a session of the app and returns its caller.
func session(t *testing.T, d Database, u id.User, w id.Workspace, change func(s *signin.Session)) auth.Caller {
	t.Helper()
	s := signin.Session{
		ID: id.New[id.KindSession](Start()), Workspace: w, User: u, OpenedBy: signin.OpenedByPasskey, Scope: signin.ScopeApp,
		CreatedAt: Start(), ExpiresAt: Start().Add(time.Hour), LastSeenAt: Start(),
	}
	s.Digest = []byte(s.ID)
	change(&s)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertSession(ctx, s) })
	var got signin.Session
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		got, _, err = tx.FindSession(ctx, s.Digest)
		return err
	})
	same(t, "the session", got, s)
	return auth.Caller{Kind: auth.User, Workspace: w, User: u, Session: s.ID}
}

func standingOf(t *testing.T, d Database, by auth.Caller) (s auth.Standing) {
	t.Helper()
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		s, err = tx.CallerStanding(ctx, by, Start())
		return err
	})
	return s
}

func passEnds(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	u, v := User(t, d.Store, w, "ada"), User(t, d.Store, w, "bob")
	p, q := accessPass(t, d, w, u.ID, true), accessPass(t, d, w, v.ID, true)
	used := accessPass(t, d, w, u.ID, true)
	at := Start().Add(2 * time.Minute)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.UseAccessPass(ctx, w, used.ID, at)
		return err
	})
	byPass := session(t, d, u.ID, w, func(s *signin.Session) { s.OpenedBy, s.Pass = signin.OpenedByAccessPass, p.ID })
	byPasskey := session(t, d, u.ID, w, func(*signin.Session) {})
	his := session(t, d, v.ID, w, func(s *signin.Session) { s.OpenedBy, s.Pass = signin.OpenedByAccessPass, q.ID })
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if ended, err := tx.EndAccessPass(ctx, other, p.ID, signin.PassWithdrawn, at); ended || err != nil {
			t.Errorf("ending from elsewhere = %v (%v), want false", ended, err)
		}
		if err := tx.EndAccessPasses(ctx, w, u.ID, signin.PassWithdrawn, at); err != nil {
			return err
		}
		return tx.EndPassSessions(ctx, w, u.ID, at)
	})
	states := map[id.AccessPass]signin.AccessPassState{}
	for _, one := range append(passesOf(t, d, w, u.ID, 9), passesOf(t, d, w, v.ID, 9)...) {
		states[one.ID] = one.State(at)
	}
	same(t, "the states", states, map[id.AccessPass]signin.AccessPassState{p.ID: signin.PassWithdrawn, used.ID: signin.PassUsed, q.ID: signin.PassValid})
	if standingOf(t, d, byPass).Active || !standingOf(t, d, byPasskey).Active || !standingOf(t, d, his).Active {
		t.Error("want the session of the pass over, no other")
	}
	n := winners(t, d, func(ctx context.Context, tx *store.Tx) (bool, error) {
		return tx.EndAccessPass(ctx, w, q.ID, signin.PassWithdrawn, at)
	})
	if n != 1 {
		t.Errorf("%d of 50 ended the pass, want 1", n)
	}
}

func uncount(t *testing.T, d Database) {
	name := string(id.New[id.KindCode](Start()))
	var n int64
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for range 3 {
			if _, _, err := tx.CountRate(ctx, name, Start(), time.Minute); err != nil {
				return err
			}
		}
		for range 5 {
			if err := tx.UncountRate(ctx, name); err != nil {
				return err
			}
		}
		if err := tx.UncountRate(ctx, name+" unknown"); err != nil {
			return err
		}
		var err error
		n, _, err = tx.CountRate(ctx, name, Start(), time.Minute)
		return err
	})
	if n != 1 {
		t.Errorf("the count is %d after all was given back, want 1", n)
	}
}

func weakStandings(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada")
	passkey := func(mailbox bool, confirmed time.Time) id.Passkey {
		p := signin.Passkey{
			ID: id.New[id.KindPasskey](Start()), Workspace: w, User: u.ID, Record: []byte{}, Name: "Passkey", CreatedAt: Start(), ByMailbox: mailbox, ConfirmedAt: confirmed,
		}
		p.CredentialID = []byte(p.ID)
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertPasskey(ctx, p) })
		return p.ID
	}
	weak, strong, confirmed := passkey(true, time.Time{}), passkey(false, time.Time{}), passkey(true, Start())
	for what, c := range map[string]struct {
		change func(s *signin.Session)
		want   auth.Standing
	}{
		"a passkey":             {func(s *signin.Session) { s.Passkey = strong }, auth.Standing{Active: true}},
		"one of the mailbox":    {func(s *signin.Session) { s.Passkey = weak }, auth.Standing{Active: true, ByMailbox: true}},
		"one that is confirmed": {func(s *signin.Session) { s.Passkey = confirmed }, auth.Standing{Active: true}},
		"one that is gone":      {func(s *signin.Session) { s.Passkey = "psk_gone" }, auth.Standing{Active: true}},
		"a code":                {func(s *signin.Session) { s.OpenedBy = signin.OpenedByCode }, auth.Standing{Active: true, ByMailbox: true}},
		"a pass":                {func(s *signin.Session) { s.OpenedBy = signin.OpenedByAccessPass }, auth.Standing{Active: true}},
		"a one-time pass": {
			func(s *signin.Session) { s.OpenedBy, s.Scope = signin.OpenedByAccessPass, signin.ScopeKeys },
			auth.Standing{Active: true, KeysOnly: true},
		},
	} {
		same(t, what, standingOf(t, d, session(t, d, u.ID, w, c.change)), c.want)
	}
}

func keyPasskey(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada")
	k := KeyOf(t, d, w, u.ID, "fido2", "active")
	p := signin.Passkey{
		ID: id.New[id.KindPasskey](Start()), Workspace: w, User: u.ID, Record: []byte{1}, Name: "Passkey", CreatedAt: Start(), SecurityKey: k,
	}
	p.CredentialID = []byte(p.ID)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertPasskey(ctx, p) })
	p.LastUsedAt = Start().Add(time.Minute)
	use := func(p signin.Passkey) (used bool) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			used, err = tx.UpdatePasskeyUse(ctx, p)
			return err
		})
		return used
	}
	find := func() (got signin.Passkey) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			got, _, err = tx.FindPasskey(ctx, p.CredentialID)
			return err
		})
		return got
	}
	elsewhere := p
	elsewhere.Workspace = other
	if use(elsewhere) || !use(p) {
		t.Error("want a use in the key's own workspace only")
	}
	same(t, "the passkey", find(), p)
	at := p.LastUsedAt.UnixMilli()
	if n := Count(t, d, `SELECT COUNT(*) FROM securitykey WHERE id = $1 AND total = 1 AND last_activity_at = $2 AND used_at = $2 AND noticed_at = 0`, string(k), at); n != 1 {
		t.Error("the use was not noted in the security key")
	}
	Exec(t, d, `UPDATE securitykey SET suspended_at = 1 WHERE id = $1`, string(k))
	if use(p) {
		t.Error("UpdatePasskeyUse() = true while the security key is suspended")
	}
	p.KeySuspended = true
	same(t, "the passkey of a suspended key", find(), p)
}

func activeKey(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	ada, bob, eve := User(t, d.Store, w, "ada"), User(t, d.Store, w, "bob"), User(t, d.Store, w, "eve")
	KeyOf(t, d, w, bob.ID, "fido2", "pending")
	Exec(t, d, `UPDATE securitykey SET suspended_at = 1, shown = 'suspended' WHERE id = $1`, string(KeyOf(t, d, w, eve.ID, "fido2", "active")))
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for u, want := range map[id.User]int{ada.ID: 0, bob.ID: 1, eve.ID: 1} {
			has, err := tx.HasActiveSecurityKey(ctx, w, u)
			if err != nil || has != (u == eve.ID) {
				t.Errorf("%s has an active key: %v (%v)", u, has, err)
			}
			n, err := tx.CountSecurityKeysOf(ctx, w, u)
			if err != nil || n != want {
				t.Errorf("%s has %d keys (%v), want %d", u, n, err, want)
			}
		}
		has, err := tx.HasActiveSecurityKey(ctx, other, eve.ID)
		if has {
			t.Error("a key counts elsewhere")
		}
		return err
	})
}

func keyCreator(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	k := APIKey(t, d.Store, w, auth.UsersRead)
	Exec(t, d, `UPDATE apikey SET creator_user = 'user_a' WHERE id = $1`, string(k.APIKey))
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for ws, want := range map[id.Workspace]id.User{w: "user_a", other: ""} {
			if u, err := tx.APIKeyCreator(ctx, ws, k.APIKey); u != want || err != nil {
				t.Errorf("APIKeyCreator() = %s (%v), want %q", u, err, want)
			}
		}
		return nil
	})
}
