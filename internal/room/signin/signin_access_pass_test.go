package signin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// pass issues a pass and fails the test if that is refused.
func (h house) pass(t testing.TB, by auth.Caller, u id.User, n signin.NewAccessPass) (signin.AccessPass, secret.Bytes) {
	t.Helper()
	p, code, err := h.IssueAccessPass(t.Context(), by, u, n)
	if err != nil {
		t.Fatal(err)
	}
	return p, code
}

// try opens a session by a pass of Ada's.
func (h house) try(t testing.TB, code secret.Bytes) (signin.Opened, error) {
	t.Helper()
	return h.OpenByAccessPass(t.Context(), h.by, "ada@example.org", code)
}

// desk makes Ada, a user, and a key administrator.
func (h house) desk(t testing.TB) (ada id.User, by auth.Caller) {
	t.Helper()
	return storetest.User(t, h.Store, h.w, "ada").ID,
		storetest.Administrator(t, h.Store, h.w, "desk", auth.SecurityKeysRead, auth.SecurityKeysWrite)
}

// state returns what Ada's last pass is worth.
func (h house) state(t testing.TB, by auth.Caller, u id.User) signin.AccessPassState {
	t.Helper()
	p, err := h.FindAccessPass(t.Context(), by, u)
	if err != nil {
		t.Fatal(err)
	}
	return p.State(h.clock.Now())
}

func TestIssueAccessPass(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	_, err := h.FindAccessPass(t.Context(), by, ada)
	storetest.Refused(t, err, "access_pass_not_found")
	p, code := h.pass(t, by, ada, signin.NewAccessPass{})
	now := h.clock.Now()
	want := signin.AccessPass{
		ID: p.ID, Workspace: h.w, User: ada, Digest: p.Digest, StartsAt: now, ExpiresAt: now.Add(time.Hour), CreatedAt: now, CreatedBy: by.Name,
	}
	if diff := cmp.Diff(want, p); diff != "" || p.State(now) != signin.PassValid {
		t.Errorf("the pass (-want +got):\n%s", diff)
	}
	found, err := h.FindAccessPass(t.Context(), by, ada)
	if diff := cmp.Diff(p, found); err != nil || diff != "" {
		t.Errorf("FindAccessPass() error %v (-want +got):\n%s", err, diff)
	}
	text := code.ExposeString()
	if len(text) != 8 || strings.Trim(text, "ABCDEFGHJKLMNPQRSTUVWXYZ23456789") != "" {
		t.Errorf("the code is %q, want eight letters and digits without 0 O 1 I", text)
	}
	line := storetest.Activity(t, h.Store, h.w, "access_pass.issue")
	if line.User != ada || line.Actor.ID != string(by.User) || line.Detail != "reusable" || line.Target.ID != string(ada) {
		t.Errorf("the line is %+v, want Ada's by the desk", line)
	}
	var mail outbox.AccessPassIssued
	for _, m := range storetest.Messages(t, h.Store) {
		if err := json.Unmarshal(m.Payload, &mail); err != nil || m.Kind != "mail.access_pass_issued" {
			t.Errorf("the message is %s (%v)", m.Kind, err)
		}
	}
	if mail.To.Email != "ada@example.org" || mail.By != by.Name || mail.ExpiresAt != p.ExpiresAt.UnixMilli() || mail.StartsAt != now.UnixMilli() || mail.OneTime {
		t.Errorf("the mail is %+v, want one to Ada", mail)
	}
	opened, err := h.try(t, secret.FromString(" "+strings.ToLower(text[:4])+"-"+text[4:]))
	if err != nil {
		t.Fatal(err)
	}
	storetest.Activity(t, h.Store, h.w, "access_pass.use")
	dump := storetest.Dump(t, h.Database)
	for what, canary := range map[string]string{"code": text, "session's token": opened.Token.ExposeString()} {
		if strings.Contains(strings.ToUpper(dump), strings.ToUpper(canary)) {
			t.Errorf("the %s stands in the database", what)
		}
	}
}

func TestIssueAccessPass_fields(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	now := h.clock.Now()
	for what, c := range map[string]struct {
		n      signin.NewAccessPass
		fields []string
		starts time.Time
		length int
	}{
		"the shortest":            {signin.NewAccessPass{Lifetime: 10 * time.Minute, Length: 8}, nil, now, 8},
		"the longest":             {signin.NewAccessPass{Lifetime: 43_200 * time.Minute, Length: 48, StartsAt: now.AddDate(0, 0, 365)}, nil, now.AddDate(0, 0, 365), 48},
		"a start just past":       {signin.NewAccessPass{StartsAt: now.Add(-time.Minute)}, nil, now, 8},
		"too short":               {signin.NewAccessPass{Lifetime: 9 * time.Minute, Length: 7}, []string{"lifetime_minutes", "length"}, now, 0},
		"too long":                {signin.NewAccessPass{Lifetime: 43_201 * time.Minute, Length: 49}, []string{"lifetime_minutes", "length"}, now, 0},
		"less than nothing":       {signin.NewAccessPass{Lifetime: -time.Hour, Length: -8}, []string{"lifetime_minutes", "length"}, now, 0},
		"a start in the past":     {signin.NewAccessPass{StartsAt: now.Add(-time.Minute - time.Millisecond)}, []string{"starts_at"}, now, 0},
		"a start beyond the year": {signin.NewAccessPass{StartsAt: now.AddDate(0, 0, 365).Add(time.Second)}, []string{"starts_at"}, now, 0},
		"half a minute":           {signin.NewAccessPass{Lifetime: 10*time.Minute + 30*time.Second}, []string{"lifetime_minutes"}, now, 0},
	} {
		p, code, err := h.IssueAccessPass(t.Context(), by, ada, c.n)
		if c.fields != nil {
			if got := storetest.FieldNames(storetest.Fault(t, err, "invalid_fields")); !slices.Equal(got, c.fields) || !code.IsEmpty() {
				t.Errorf("%s: fields %v, want %v", what, got, c.fields)
			}
			continue
		}
		if err != nil || !p.StartsAt.Equal(c.starts) || len(code.Expose()) != c.length {
			t.Errorf("%s: %+v (%v) with %d characters, want a start at %v and %d", what, p, err, len(code.Expose()), c.starts, c.length)
		}
	}
	_, _, err := h.IssueAccessPass(t.Context(), by, "user_none", signin.NewAccessPass{})
	storetest.Refused(t, err, "user_not_found")
	other := storetest.Workspace(t, h.Store)
	_, _, err = h.IssueAccessPass(t.Context(), by, storetest.User(t, h.Store, other, "ada").ID, signin.NewAccessPass{})
	storetest.Refused(t, err, "user_not_found")
}

// PRODUCT 1: nobody rises through somebody else's account.
func TestIssueAccessPass_nobodyRises(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	owner := storetest.Administrator(t, h.Store, h.w, "owner")
	equal := storetest.Administrator(t, h.Store, h.w, "equal", auth.SecurityKeysWrite)
	more := storetest.Administrator(t, h.Store, h.w, "more", auth.SecurityKeysWrite, auth.UsersWrite)
	key, full := storetest.APIKey(t, h.Store, h.w, auth.SecurityKeysWrite), storetest.APIKey(t, h.Store, h.w, auth.All()...)
	mine := storetest.APIKey(t, h.Store, h.w, auth.All()...)
	storetest.Exec(t, h.Database, `UPDATE apikey SET creator_user = $1 WHERE id = $2`, string(ada), string(mine.APIKey))
	for what, c := range map[string]struct {
		by   auth.Caller
		of   id.User
		code string // empty if it is allowed
	}{
		"for an owner":                        {by, owner.User, "beyond_your_permissions"},
		"for one who may more":                {by, more.User, "beyond_your_permissions"},
		"for one who may as much":             {by, equal.User, ""},
		"by an owner":                         {owner, more.User, ""},
		"by a key for an owner":               {key, owner.User, "beyond_your_permissions"},
		"by a key for a user":                 {key, ada, ""},
		"by a key with all for an owner":      {full, owner.User, ""},
		"for oneself":                         {owner, owner.User, "not_yourself"},
		"by a key that goes back to the user": {mine, ada, "not_yourself"},
		"by the key for another":              {mine, more.User, ""},
		"by the system":                       {auth.Job(h.w, "command line"), owner.User, ""},
	} {
		h.clock.Advance(2 * time.Minute)
		_, code, err := h.IssueAccessPass(t.Context(), c.by, c.of, signin.NewAccessPass{})
		if c.code == "" {
			if err != nil || code.IsEmpty() {
				t.Errorf("%s: %v, want a pass", what, err)
			}
			continue
		}
		if storetest.Refused(t, err, c.code); !code.IsEmpty() {
			t.Errorf("%s: a code came with the refusal", what)
		}
		if line := h.last(t, "access_pass.issue"); line.Outcome != activity.Refused || line.Reason != c.code || line.Target.ID != string(c.of) {
			t.Errorf("%s: the line is %+v, want the refusal", what, line)
		}
	}
}

func TestAccessPass_strangers(t *testing.T) {
	for action, c := range map[string]struct {
		need auth.Permission
		call func(h house, by auth.Caller, u id.User) error
	}{
		"access_pass.issue": {auth.SecurityKeysWrite, func(h house, by auth.Caller, u id.User) error {
			_, _, err := h.IssueAccessPass(t.Context(), by, u, signin.NewAccessPass{})
			return err
		}},
		"access_pass.find": {auth.SecurityKeysRead, func(h house, by auth.Caller, u id.User) error {
			_, err := h.FindAccessPass(t.Context(), by, u)
			return err
		}},
		"access_pass.withdraw": {auth.SecurityKeysWrite, func(h house, by auth.Caller, u id.User) error {
			_, err := h.WithdrawAccessPass(t.Context(), by, u)
			return err
		}},
	} {
		h := newHouse(t, false)
		ada, by := h.desk(t)
		if action != "access_pass.issue" {
			h.pass(t, by, ada, signin.NewAccessPass{})
		}
		storetest.Strangers(t, h.Database, h.w, storetest.Stranger{Action: action, Need: c.need, Call: func(by auth.Caller) error { return c.call(h, by, ada) }})
		other := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "other")
		storetest.Refused(t, c.call(h, other, ada), "user_not_found")
	}
}

func TestIssueAccessPass_suspended(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	_, code := h.pass(t, by, ada, signin.NewAccessPass{})
	storetest.Exec(t, h.Database, `UPDATE directory_user SET suspended_at = 1 WHERE id = $1`, string(ada))
	_, _, err := h.IssueAccessPass(t.Context(), by, ada, signin.NewAccessPass{})
	storetest.Refused(t, err, "user_suspended")
	_, err = h.try(t, code)
	storetest.Refused(t, err, "pass_rejected")
	if line := h.last(t, "session.open"); line.Reason != "suspended" || line.User != ada {
		t.Errorf("the line is %+v, want the true reason", line)
	}
}

// A pass is good from its start until just before its end, to the millisecond.
func TestAccessPass_livesAsLongAsItSaid(t *testing.T) {
	for _, c := range []struct {
		after    time.Duration // from now to its start
		lifetime time.Duration
	}{{0, 10 * time.Minute}, {0, time.Hour}, {24 * time.Hour, 43_200 * time.Minute}, {365 * 24 * time.Hour, 11 * time.Minute}} {
		h := newHouse(t, false)
		ada, by := storetest.User(t, h.Store, h.w, "ada").ID, auth.Job(h.w, "test")
		start := h.clock.Now().Add(c.after)
		p, code := h.pass(t, by, ada, signin.NewAccessPass{StartsAt: start, Lifetime: c.lifetime})
		if !p.StartsAt.Equal(start) || !p.ExpiresAt.Equal(start.Add(c.lifetime)) {
			t.Errorf("the pass says %v to %v, want %v and %v", p.StartsAt, p.ExpiresAt, start, c.lifetime)
		}
		for _, moment := range []struct {
			at     time.Time
			state  signin.AccessPassState
			reason string // empty if it opens
		}{
			{p.StartsAt.Add(-time.Millisecond), signin.PassScheduled, "access_pass_scheduled"},
			{p.StartsAt, signin.PassValid, ""},
			{p.ExpiresAt.Add(-time.Millisecond), signin.PassValid, ""},
			{p.ExpiresAt, signin.PassExpired, "access_pass_expired"},
			{p.ExpiresAt.AddDate(0, 0, 1), signin.PassExpired, "access_pass_expired"},
		} {
			if moment.at.Before(h.clock.Now()) {
				continue
			}
			h.clock.Advance(moment.at.Sub(h.clock.Now()))
			if got := h.state(t, by, ada); got != moment.state {
				t.Errorf("at %v it is %s, want %s", moment.at, got, moment.state)
			}
			opened, err := h.try(t, code)
			if moment.reason == "" {
				if err != nil {
					t.Errorf("at %v: %v, want a session", moment.at, err)
				}
				if want := min(p.ExpiresAt.Sub(moment.at), signin.SessionLifetime); !opened.ExpiresAt.Equal(moment.at.Add(want)) {
					t.Errorf("the session ends at %v, want after %v", opened.ExpiresAt, want)
				}
				continue
			}
			storetest.Refused(t, err, "pass_rejected")
			if line := h.last(t, "session.open"); line.Reason != moment.reason || line.Outcome != activity.Refused {
				t.Errorf("at %v: the line is %+v, want %s", moment.at, line, moment.reason)
			}
		}
		_, err := h.WithdrawAccessPass(t.Context(), by, ada)
		storetest.Refused(t, err, "access_pass_over")
	}
}

// Its session ends when the pass does.
func TestAccessPass_sessionEnds(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	_, code := h.pass(t, by, ada, signin.NewAccessPass{Lifetime: 30 * time.Minute})
	opened, err := h.try(t, code)
	if err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(30*time.Minute - time.Millisecond)
	if _, err := h.VerifySession(t.Context(), h.by, opened.Token); err != nil {
		t.Errorf("VerifySession() = %v just before the pass ends, want nil", err)
	}
	h.clock.Advance(time.Millisecond)
	_, err = h.VerifySession(t.Context(), h.by, opened.Token)
	refused(t, "the session of a pass that expired", err)
	_, err = h.OwnPasskeys(t.Context(), opened.Caller)
	refused(t, "its caller", err)
}

func TestAccessPass_replaced(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	_, first := h.pass(t, by, ada, signin.NewAccessPass{})
	opened, err := h.try(t, first)
	if err != nil {
		t.Fatal(err)
	}
	second, code := h.pass(t, by, ada, signin.NewAccessPass{}) // within the same millisecond
	_, err = h.VerifySession(t.Context(), h.by, opened.Token)
	refused(t, "the session of a replaced pass", err)
	h.clock.Advance(time.Second)
	_, err = h.try(t, first)
	storetest.Refused(t, err, "pass_rejected")
	if line := h.last(t, "session.open"); line.Reason != "access_pass_replaced" {
		t.Errorf("the line is %+v, want that the pass was replaced", line)
	}
	if found, err := h.FindAccessPass(t.Context(), by, ada); err != nil || found.ID != second.ID {
		t.Errorf("FindAccessPass() = %+v (%v), want the second", found, err)
	}
	if _, err = h.try(t, code); err != nil {
		t.Errorf("the second pass: %v, want a session", err)
	}
	// One that has not begun is replaced too.
	h.clock.Advance(time.Second)
	_, later := h.pass(t, by, ada, signin.NewAccessPass{StartsAt: h.clock.Now().Add(time.Hour)})
	h.clock.Advance(time.Second)
	h.pass(t, by, ada, signin.NewAccessPass{})
	h.clock.Advance(2 * time.Hour)
	_, err = h.try(t, later)
	storetest.Refused(t, err, "pass_rejected")
}

func TestWithdrawAccessPass(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	_, err := h.WithdrawAccessPass(t.Context(), by, ada)
	storetest.Refused(t, err, "access_pass_not_found")
	for _, oneTime := range []bool{false, true} {
		h.clock.Advance(time.Minute)
		_, code := h.pass(t, by, ada, signin.NewAccessPass{OneTime: oneTime})
		opened, err := h.try(t, code)
		if err != nil {
			t.Fatal(err)
		}
		p, err := h.WithdrawAccessPass(t.Context(), by, ada)
		if err != nil || p.State(h.clock.Now()) != signin.PassWithdrawn || h.state(t, by, ada) != signin.PassWithdrawn {
			t.Errorf("WithdrawAccessPass() = %+v (%v), want it withdrawn", p, err)
		}
		_, err = h.VerifySession(t.Context(), h.by, opened.Token)
		refused(t, "the session of a withdrawn pass", err)
		h.clock.Advance(time.Second)
		_, err = h.try(t, code)
		storetest.Refused(t, err, "pass_rejected")
		if line := h.last(t, "session.open"); line.Reason != "access_pass_withdrawn" {
			t.Errorf("the line is %+v, want that the pass was withdrawn", line)
		}
		if line := h.last(t, "access_pass.withdraw"); line.User != ada || line.Actor.ID != string(by.User) || line.Outcome != activity.Success {
			t.Errorf("the line is %+v, want the withdrawal", line)
		}
		_, err = h.WithdrawAccessPass(t.Context(), by, ada)
		storetest.Refused(t, err, "access_pass_over")
	}
}

// A one-time pass opens one session, for keys only and for ten minutes.
func TestAccessPass_oneTime(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	_, code := h.pass(t, by, ada, signin.NewAccessPass{OneTime: true})
	var opened []signin.Opened
	var guard sync.Mutex
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			o, err := h.try(t, code)
			guard.Lock()
			defer guard.Unlock()
			if err == nil {
				opened = append(opened, o)
			} else if f, ok := fault.As(err); !ok || f.Code != "pass_rejected" && f.Code != "too_many_tries" {
				t.Errorf("another answer: %v", err)
			}
		})
	}
	group.Wait()
	if len(opened) != 1 {
		t.Fatalf("%d sessions of 50 tries at once, want 1", len(opened))
	}
	if h.state(t, by, ada) != signin.PassUsed {
		t.Errorf("the pass is %s, want used", h.state(t, by, ada))
	}
	h.clock.Advance(time.Hour)
	_, err := h.try(t, code)
	storetest.Refused(t, err, "pass_rejected")
	if line := h.last(t, "session.open"); line.Reason != "access_pass_expired" && line.Reason != "access_pass_used" {
		t.Errorf("the line is %+v, want that the pass was used", line)
	}
	_, err = h.VerifySession(t.Context(), h.by, opened[0].Token)
	refused(t, "a session of more than ten minutes", err)

	_, code = h.pass(t, auth.Job(h.w, "test"), ada, signin.NewAccessPass{OneTime: true})
	one, err := h.try(t, code)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := h.VerifySession(t.Context(), h.by, one.Token)
	if err != nil || caller.Kind != auth.User || caller != one.Caller || !caller.StepUpAt.IsZero() {
		t.Errorf("VerifySession() = %+v (%v), want Ada in the app", caller, err)
	}
	account, err := h.Account(t.Context(), caller)
	if err != nil || !account.Standing.KeysOnly || account.Standing.ByMailbox {
		t.Errorf("Account() = %+v (%v), want one for keys only", account.Standing, err)
	}
	k := h.register(t, caller, newDevice())
	if k.ByMailbox {
		t.Error("the passkey counts as one of the mailbox, want more")
	}
	h.clock.Advance(signin.KeysLifetime - time.Millisecond)
	if _, err := h.OwnPasskeys(t.Context(), caller); err != nil {
		t.Errorf("OwnPasskeys() = %v just before ten minutes, want nil", err)
	}
	h.clock.Advance(time.Millisecond)
	_, err = h.OwnPasskeys(t.Context(), caller)
	refused(t, "the session after ten minutes", err)
}

// A session for keys only may do nothing else.
func TestAccessPass_keysOnly(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	_, code := h.pass(t, by, ada, signin.NewAccessPass{OneTime: true})
	opened, err := h.try(t, code)
	if err != nil {
		t.Fatal(err)
	}
	c, ctx := opened.Caller, t.Context()
	for what, call := range map[string]func() error{
		"ask for a form":     func() error { return h.Ask(ctx, c, auth.Signed) },
		"list sessions":      func() error { _, err := h.OwnSessions(ctx, c); return err },
		"end a session":      func() error { return h.EndOwnSession(ctx, c, c.Session) },
		"end all sessions":   func() error { _, err := h.EndOwnSessions(ctx, c); return err },
		"rename a passkey":   func() error { _, err := h.RenamePasskey(ctx, c, "psk_1", "x"); return err },
		"delete a passkey":   func() error { return h.DeletePasskey(ctx, c, "psk_1") },
		"issue a pass":       func() error { _, _, err := h.IssueAccessPass(ctx, c, by.User, signin.NewAccessPass{}); return err },
		"find a pass":        func() error { _, err := h.FindAccessPass(ctx, c, ada); return err },
		"withdraw a pass":    func() error { _, err := h.WithdrawAccessPass(ctx, c, ada); return err },
		"add administrators": func() error { _, err := h.AddAdministrator(ctx, c, signin.NewAdministrator{User: ada}); return err },
	} {
		if f, ok := fault.As(call()); !ok || f.Code != "keys_only" || f.Kind != fault.KindForbidden {
			t.Errorf("%s: %v, want keys_only", what, f)
		}
	}
	if err := h.SignOut(ctx, c); err != nil {
		t.Errorf("SignOut() = %v, want nil", err)
	}
}

// A pass opens the app also for an administrator, and what they register there waits.
func TestAccessPass_neverThePanel(t *testing.T) {
	h := newHouse(t, false)
	owner, bob := storetest.Administrator(t, h.Store, h.w, "owner"), h.person(t, "bob")
	_, code := h.pass(t, owner, bob.user, signin.NewAccessPass{})
	opened, err := h.OpenByAccessPass(t.Context(), h.by, "bob@example.org", code)
	if err != nil || opened.Caller.Kind != auth.User || opened.Caller.Administrator != "" {
		t.Fatalf("OpenByAccessPass() = %+v (%v), want the app", opened.Caller, err)
	}
	if by, err := h.VerifySession(t.Context(), h.by, opened.Token); err != nil || by.Kind != auth.User {
		t.Errorf("VerifySession() = %+v (%v), want a user", by, err)
	}
	d := newDevice()
	if k := h.register(t, opened.Caller, d); !k.ConfirmedAt.IsZero() {
		t.Error("the passkey opens the panel, want it to wait")
	}
	if again := h.enter(t, person{bob.user, d}); again.Caller.Kind != auth.User {
		t.Error("the passkey opened the panel")
	}
}

// A thousand wrong codes at once are no more guesses than one after the other, and void
// nothing.
func TestOpenByAccessPass_tries(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	_, code := h.pass(t, by, ada, signin.NewAccessPass{Lifetime: 3 * time.Hour})
	for _, email := range []string{"ada@example.org", "nobody@example.org"} {
		var compared, counted atomic.Int64
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				from := auth.Nobody(fmt.Sprintf("10.%d.%d.1", i/250, i%250), "", "") // networks of their own
				_, err := h.OpenByAccessPass(t.Context(), from, email, secret.FromString("WRONGONE"))
				f, ok := fault.As(err)
				switch {
				case ok && f.Code == "pass_rejected":
					compared.Add(1)
				case ok && f.Code == "too_many_tries" && f.RetryAfter == time.Hour:
					counted.Add(1)
				default:
					t.Errorf("another answer: %v", err)
				}
			})
		}
		group.Wait()
		if compared.Load() != signin.AccessPassTries || counted.Load() != 1000-signin.AccessPassTries {
			t.Errorf("%s: %d compared and %d not, want 5 and 995", email, compared.Load(), counted.Load())
		}
	}
	_, err := h.try(t, code)
	storetest.Refused(t, err, "too_many_tries")
	h.clock.Advance(time.Hour)
	for range 30 { // right ones do not count
		if _, err := h.try(t, code); err != nil {
			t.Fatalf("the right code after an hour: %v, want a session", err)
		}
	}
}

func TestOpenByAccessPass_network(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	_, code := h.pass(t, by, ada, signin.NewAccessPass{})
	for i := range signin.AccessPassNetTries {
		_, err := h.OpenByAccessPass(t.Context(), h.by, fmt.Sprintf("user%d@example.org", i), code)
		storetest.Refused(t, err, "pass_rejected")
	}
	_, err := h.try(t, code)
	storetest.Refused(t, err, "too_many_tries")
	if _, err := h.OpenByAccessPass(t.Context(), auth.Nobody("198.51.100.1", "", ""), "ada@example.org", code); err != nil {
		t.Errorf("from another network: %v, want a session", err)
	}
}

// Whatever is wrong, the answer is the same.
func TestOpenByAccessPass_answersAlike(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	p, code := h.pass(t, by, ada, signin.NewAccessPass{Lifetime: 24 * time.Hour})
	storetest.User(t, h.Store, h.w, "passless")
	want := fault.Invalid("pass_rejected", "This temporary access pass is not right, or it is not valid now.")
	for what, c := range map[string]struct{ email, code string }{
		"a wrong code":          {"ada@example.org", "AAAAAAAA"},
		"no code":               {"ada@example.org", ""},
		"a long one":            {"ada@example.org", strings.Repeat("A", 1<<20)},
		"more than the code":    {"ada@example.org", code.ExposeString() + "A"},
		"the pass's id":         {"ada@example.org", string(p.ID)},
		"an unknown address":    {"nobody@example.org", code.ExposeString()},
		"somebody without":      {"passless@example.org", code.ExposeString()},
		"no address":            {"", code.ExposeString()},
		"what is no address":    {"ada", code.ExposeString()},
		"nothing for a nobody":  {"nobody@example.org", ""},
		"a code for a passless": {"passless@example.org", ""},
	} {
		h.clock.Advance(time.Second)
		opened, err := h.OpenByAccessPass(t.Context(), h.by, c.email, secret.FromString(c.code))
		if diff := cmp.Diff(want, storetest.Fault(t, err, "pass_rejected"), cmp.AllowUnexported(fault.Error{})); diff != "" || !opened.Token.IsEmpty() {
			t.Errorf("%s: another answer (-want +got):\n%s", what, diff)
		}
	}
	h.clock.Advance(time.Hour)
	if _, err := h.try(t, code); err != nil {
		t.Errorf("then the right one: %v, want a session", err)
	}
}

// An address in several workspaces: the pass says which.
func TestOpenByAccessPass_workspaces(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	other := storetest.Workspace(t, h.Store)
	there := storetest.User(t, h.Store, other, "ada")
	_, here := h.pass(t, by, ada, signin.NewAccessPass{})
	_, elsewhere := h.pass(t, auth.Job(other, "test"), there.ID, signin.NewAccessPass{})
	for w, code := range map[id.Workspace]secret.Bytes{h.w: here, other: elsewhere} {
		if opened, err := h.try(t, code); err != nil || opened.Caller.Workspace != w {
			t.Errorf("a session of %s (%v), want of %s", opened.Caller.Workspace, err, w)
		}
	}
	_, err := h.try(t, secret.FromString("AAAAAAAA"))
	storetest.Refused(t, err, "pass_rejected")
	for _, w := range []id.Workspace{h.w, other} {
		lines := storetest.Activities(t, h.Store, w, "session.open")
		if line := lines[len(lines)-1]; !slices.ContainsFunc(lines, func(e activity.Event) bool { return e.Outcome == activity.Refused && e.Reason == "pass_rejected" }) {
			t.Errorf("the last line is %+v, want the refusal among them", line)
		}
	}
}

// Two administrators at once leave one valid pass.
func TestIssueAccessPass_oneIsValid(t *testing.T) {
	h := newHouse(t, false)
	ada, by := h.desk(t)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, _, err := h.IssueAccessPass(context.WithoutCancel(t.Context()), by, ada, signin.NewAccessPass{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_access_pass WHERE ended_as = ''`); n != 1 {
		t.Errorf("%d valid passes, want 1", n)
	}
}
