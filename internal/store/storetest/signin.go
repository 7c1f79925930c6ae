package storetest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
)

func signinCases() []testCase {
	return []testCase{
		{name: "a ceremony is taken once", run: ceremonyOnce},
		{name: "a ceremony ends in time", run: ceremonyEnds},
		{name: "a setup link is spent once", run: linkOnce},
		{name: "setup links end and are withdrawn", run: linkEnds},
		{name: "a session ends once", run: sessionOnce},
		{name: "a caller's standing", run: standings},
		{name: "a code has five tries", run: codeTries},
		{name: "administrators", run: administrators},
		{name: "administrators are counted and changed", run: administratorChanges},
		{name: "a passkey is confirmed once", run: passkeyOnce},
		{name: "passkeys keep to their workspace and person", run: passkeyScopes},
		{name: "sessions of a person", run: sessionsOf},
		{name: "a code is used once", run: codeOnce},
		{name: "tries at once are all counted", run: rates},
	}
}

func ceremony(t *testing.T, d Database) signin.Ceremony {
	t.Helper()
	c := signin.Ceremony{ID: id.New[id.KindCeremony](Start()), Purpose: signin.PurposeSignIn, Data: []byte(`{}`), ExpiresAt: Start().Add(time.Minute)}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertCeremony(ctx, c, Start()) })
	return c
}

// winners counts how many of 50 at once are told true.
func winners(t *testing.T, d Database, fn func(ctx context.Context, tx *store.Tx) (bool, error)) int64 {
	t.Helper()
	var n atomic.Int64
	atOnce(t, 50, func(int) error {
		var won bool
		err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			won, err = fn(ctx, tx)
			return err
		})
		if won {
			n.Add(1)
		}
		return err
	})
	return n.Load()
}

func ceremonyOnce(t *testing.T, d Database) {
	c := ceremony(t, d)
	n := winners(t, d, func(ctx context.Context, tx *store.Tx) (bool, error) { return tx.TakeCeremony(ctx, c.ID, Start()) })
	if n != 1 {
		t.Errorf("%d of 50 took the ceremony, want 1", n)
	}
}

func ceremonyEnds(t *testing.T, d Database) {
	c := ceremony(t, d)
	var got signin.Ceremony
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		got, _, err = tx.FindCeremony(ctx, c.ID)
		return err
	})
	same(t, "the ceremony", got, c)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if taken, err := tx.TakeCeremony(ctx, c.ID, c.ExpiresAt); taken || err != nil {
			t.Errorf("TakeCeremony() at its end = %v (%v), want false", taken, err)
		}
		taken, err := tx.TakeCeremony(ctx, c.ID, c.ExpiresAt.Add(-time.Millisecond))
		if !taken {
			t.Error("TakeCeremony() just before its end = false, want true")
		}
		return err
	})
	dead := ceremony(t, d)
	next := signin.Ceremony{ID: id.New[id.KindCeremony](Start()), Purpose: signin.PurposeRegister, Data: []byte{}, ExpiresAt: dead.ExpiresAt.Add(time.Hour)}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertCeremony(ctx, next, dead.ExpiresAt) })
	if n := Count(t, d, `SELECT COUNT(*) FROM signin_ceremony WHERE id = $1`, dead.ID); n != 0 {
		t.Errorf("%d dead ceremonies after a new one came, want 0", n)
	}
}

func code(t *testing.T, d Database) signin.Code {
	t.Helper()
	key := id.New[id.KindCode](Start())
	c := signin.Code{
		ID: key, Browser: []byte(key), Email: string(key) + "@example.org", TriesLeft: signin.CodeTries,
		CreatedAt: Start(), ExpiresAt: Start().Add(signin.CodeLifetime),
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertCode(ctx, c, Start()) })
	return c
}

func codeTries(t *testing.T, d Database) {
	c := code(t, d)
	var n atomic.Int64
	atOnce(t, 1000, func(int) error {
		return write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
			_, spent, err := tx.SpendCodeTry(ctx, c.Browser, Start())
			if spent {
				n.Add(1)
			}
			return err
		})
	})
	if n.Load() != signin.CodeTries {
		t.Errorf("%d of 1000 guesses at once are compared, want %d", n.Load(), signin.CodeTries)
	}
	late, proved := code(t, d), code(t, d)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.MarkCodeProved(ctx, proved.ID, Start()) })
	for what, c := range map[string]struct {
		c    signin.Code
		at   time.Time
		want bool
	}{
		"just before its end": {late, late.ExpiresAt.Add(-time.Millisecond), true},
		"at its end":          {late, late.ExpiresAt, false},
		"after it was proved": {proved, Start(), false},
		"of another browser":  {signin.Code{Browser: []byte("none")}, Start(), false},
	} {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			_, spent, err := tx.SpendCodeTry(ctx, c.c.Browser, c.at)
			if spent != c.want {
				t.Errorf("a try %s = %v, want %v", what, spent, c.want)
			}
			return err
		})
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		got, _, err := tx.FindCode(ctx, proved.Browser)
		proved.ProvedAt = Start()
		same(t, "the code", got, proved)
		return err
	})
}

func codeOnce(t *testing.T, d Database) {
	c := code(t, d)
	since := Start().Add(-signin.CodeLifetime)
	use := func(ctx context.Context, tx *store.Tx) (bool, error) { return tx.UseCode(ctx, c.ID, Start(), since) }
	if n := winners(t, d, use); n != 0 {
		t.Errorf("%d of 50 used the code before it was proved, want 0", n)
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.MarkCodeProved(ctx, c.ID, Start()) })
	if n := winners(t, d, func(ctx context.Context, tx *store.Tx) (bool, error) { return tx.UseCode(ctx, c.ID, Start(), Start()) }); n != 0 {
		t.Errorf("%d of 50 used a code that was proved too early, want 0", n)
	}
	if n := winners(t, d, use); n != 1 {
		t.Errorf("%d of 50 used the code, want 1", n)
	}
}

func rates(t *testing.T, d Database) {
	name := string(id.New[id.KindCode](Start()))
	count := func(at time.Time) (n int64, since time.Time, err error) {
		err = write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			n, since, err = tx.CountRate(ctx, name, at, time.Minute)
			return err
		})
		return n, since, err
	}
	var sum atomic.Int64
	atOnce(t, 100, func(int) error {
		n, _, err := count(Start())
		sum.Add(n)
		return err
	})
	if sum.Load() != 100*101/2 {
		t.Errorf("100 tries at once were told numbers that add up to %d, want each from 1 to 100 once", sum.Load())
	}
	for _, c := range []struct {
		after time.Duration
		n     int64
		since time.Duration
	}{{time.Minute - time.Millisecond, 101, 0}, {time.Minute, 1, time.Minute}, {time.Minute, 2, time.Minute}} {
		n, since, err := count(Start().Add(c.after))
		if err != nil || n != c.n || !since.Equal(Start().Add(c.since)) {
			t.Errorf("after %v: %d since %v (%v), want %d since %v later", c.after, n, since, err, c.n, c.since)
		}
	}
}

func link(t *testing.T, d Database, w id.Workspace, u id.User) signin.SetupLink {
	t.Helper()
	l, _ := signin.NewSetupLink(w, u, false, Start())
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertSetupLink(ctx, l) })
	return l
}

func linkOnce(t *testing.T, d Database) {
	l := link(t, d, Workspace(t, d.Store), "")
	n := winners(t, d, func(ctx context.Context, tx *store.Tx) (bool, error) {
		return tx.SpendSetupLink(ctx, l.Workspace, l.ID, Start().Add(time.Second))
	})
	if n != 1 {
		t.Errorf("%d of 50 spent the link, want 1", n)
	}
}

func linkEnds(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada")
	owners, hers, late, foreign := link(t, d, w, ""), link(t, d, w, u.ID), link(t, d, w, "user_late"), link(t, d, other, "")
	now := Start().Add(time.Second)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.WithdrawSetupLinks(ctx, w, "", now) })
	for what, c := range map[string]struct {
		w    id.Workspace
		l    signin.SetupLink
		at   time.Time
		want bool
	}{
		"a withdrawn link":                        {w, owners, now, false},
		"a link in another workspace's name":      {other, hers, now, false},
		"somebody else's link":                    {w, hers, now, true},
		"another workspace's link":                {other, foreign, now, true},
		"a link at its end":                       {w, late, late.ExpiresAt, false},
		"a link of nobody that was never written": {w, signin.SetupLink{ID: id.New[id.KindSetupLink](now)}, now, false},
	} {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			spent, err := tx.SpendSetupLink(ctx, c.w, c.l.ID, c.at)
			if spent != c.want {
				t.Errorf("spending %s = %v, want %v", what, spent, c.want)
			}
			return err
		})
	}
}

func sessionOnce(t *testing.T, d Database) {
	by := Administrator(t, d.Store, Workspace(t, d.Store), "ada")
	later := Start().Add(10 * time.Minute)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.SeeSession(ctx, by.Workspace, by.Session, later); err != nil {
			return err
		}
		if err := tx.SeeSession(ctx, by.Workspace, by.Session, Start()); err != nil { // an older one changes nothing
			return err
		}
		return tx.StepUpSession(ctx, by.Workspace, by.Session, later.Add(time.Second))
	})
	n := winners(t, d, func(ctx context.Context, tx *store.Tx) (bool, error) {
		return tx.EndSession(ctx, by.Workspace, by.Session, later)
	})
	if n != 1 {
		t.Errorf("%d of 50 ended the session, want 1", n)
	}
	var s signin.Session
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		s, _, err = tx.FindSession(ctx, []byte(by.Session))
		return err
	})
	if !s.LastSeenAt.Equal(later) || !s.StepUpAt.Equal(later.Add(time.Second)) || !s.EndedAt.Equal(later) {
		t.Errorf("session %+v, want it seen and ended at %v, stepped up a second after", s, later)
	}
}

func standings(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	owner, helper := Administrator(t, d.Store, w, "ada"), Administrator(t, d.Store, w, "bob", auth.UsersRead)
	out, dismissed := Administrator(t, d.Store, w, "eve"), Administrator(t, d.Store, w, "dan")
	key, dead := APIKey(t, d.Store, w, auth.ActivitiesRead), APIKey(t, d.Store, w, auth.ActivitiesRead)
	Revoke(t, d, out)
	Revoke(t, d, dead)
	Exec(t, d, `DELETE FROM signin_administrator WHERE id = $1`, dismissed.Administrator)
	elsewhere := func(by auth.Caller) auth.Caller {
		by.Workspace = other
		return by
	}
	swapped := helper
	swapped.Session = owner.Session
	all := auth.All()
	for what, c := range map[string]struct {
		by          auth.Caller
		after       time.Duration
		active      bool
		permissions auth.Permissions
	}{
		"the owner":                         {owner, 0, true, all},
		"the owner, before idle":            {owner, signin.SessionIdle - time.Millisecond, true, all},
		"the owner, idle":                   {owner, signin.SessionIdle, false, nil},
		"an administrator":                  {helper, 0, true, auth.Permissions{auth.UsersRead}},
		"an administrator, signed out":      {out, 0, false, nil},
		"an administrator no more":          {dismissed, 0, false, nil},
		"somebody with another's session":   {swapped, 0, false, nil},
		"an administrator of elsewhere":     {elsewhere(owner), 0, false, nil},
		"a key":                             {key, 0, true, auth.Permissions{auth.ActivitiesRead}},
		"a key, just before its end":        {key, 24*time.Hour - time.Millisecond, true, auth.Permissions{auth.ActivitiesRead}},
		"a key, at its end":                 {key, 24 * time.Hour, false, nil},
		"a key, revoked":                    {dead, 0, false, nil},
		"a key of elsewhere":                {elsewhere(key), 0, false, nil},
		"the system":                        {auth.Job(w, "test"), 0, true, all},
		"nobody":                            {auth.Nobody("192.0.2.1", "", ""), 0, false, nil},
		"the zero caller":                   {auth.Caller{}, 0, false, nil},
		"a caller of a kind that is not":    {auth.Caller{Kind: "client", Workspace: w}, 0, false, nil},
		"nobody in the workspace":           {auth.Caller{Kind: auth.Anonymous, Workspace: w}, 0, false, nil},
		"a key without an id":               {auth.Caller{Kind: auth.APIKey, Workspace: w}, 0, false, nil},
		"an administrator without session":  {auth.Caller{Kind: auth.Administrator, Workspace: w, User: owner.User}, 0, false, nil},
		"an administrator without a person": {auth.Caller{Kind: auth.Administrator, Workspace: w, Session: owner.Session}, 0, false, nil},
	} {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			s, err := tx.CallerStanding(ctx, c.by, Start().Add(c.after))
			if s.Active != c.active || !s.Permissions.Covers(c.permissions) || !c.permissions.Covers(s.Permissions) {
				t.Errorf("%s: %+v, want active %v with %v", what, s, c.active, c.permissions)
			}
			return err
		})
	}
	// A session that is used goes on until its lifetime is over.
	end := Start().Add(signin.SessionLifetime)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		return tx.SeeSession(ctx, w, owner.Session, end.Add(-time.Minute))
	})
	for at, want := range map[time.Time]bool{end.Add(-time.Millisecond): true, end: false} {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			s, err := tx.CallerStanding(ctx, owner, at)
			if s.Active != want {
				t.Errorf("a busy session at %v: active %v, want %v", at, s.Active, want)
			}
			return err
		})
	}
}
