package signin_test

import (
	"encoding/json"
	"fmt"
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
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// ask begins a sign-in by code and returns the browser's secret with the code that
// was mailed, "" if none was.
func (h house) ask(t testing.TB, email string) (secret.Bytes, string) {
	t.Helper()
	before := h.codes(t)
	browser, expires, err := h.BeginCode(t.Context(), h.by, email)
	if err != nil {
		t.Fatal(err)
	}
	if want := h.clock.Now().Add(signin.CodeLifetime); !expires.Equal(want) {
		t.Errorf("the code ends at %v, want %v", expires, want)
	}
	after := h.codes(t)
	if len(after) == len(before) {
		return browser, ""
	}
	return browser, token.EmailCode(codeKey(), after[len(after)-1].Code)
}

// codes returns the mails with codes that wait, oldest first.
func (h house) codes(t testing.TB) (out []outbox.SignInCode) {
	t.Helper()
	for _, m := range storetest.Messages(t, h.Store) {
		if m.Kind != "mail.sign_in_code" {
			continue
		}
		var p outbox.SignInCode
		if err := json.Unmarshal(m.Payload, &p); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// wrongCode returns a code that is not the right one.
func wrongCode(right string) string {
	if right == "12345678" {
		return "12345679"
	}
	return "12345678"
}

func TestCode(t *testing.T) {
	h := newHouse(t, false)
	ada := storetest.User(t, h.Store, h.w, "ada")
	browser, code := h.ask(t, "ada@example.org")
	mail := h.codes(t)[0]
	if mail.To.Email != "ada@example.org" || mail.To.Name != "ada Example" || mail.IP != h.by.IP || len(code) != 8 {
		t.Errorf("the mail is %+v with the code %s, want one to Ada with eight digits", mail, code)
	}
	entries, err := h.ProveCode(t.Context(), h.by, browser, code[:4]+" "+code[4:])
	if diff := cmp.Diff([]signin.Entry{{Workspace: h.w, Name: "Harbour"}}, entries); err != nil || diff != "" {
		t.Fatalf("ProveCode() error %v (-want +got):\n%s", err, diff)
	}
	opened, err := h.OpenByCode(t.Context(), h.by, browser, h.w)
	if err != nil {
		t.Fatal(err)
	}
	by, err := h.VerifySession(t.Context(), h.by, opened.Token)
	want := auth.Caller{
		Kind: auth.User, Workspace: h.w, User: ada.ID, Session: by.Session, Name: "ada Example",
		IP: h.by.IP, Agent: h.by.Agent, RequestID: h.by.RequestID,
	}
	if diff := cmp.Diff(want, by); err != nil || diff != "" || by.Session == "" {
		t.Errorf("VerifySession() error %v (-want +got):\n%s", err, diff)
	}
	line := h.last(t, "session.open")
	if line.Outcome != activity.Success || line.Detail != "email_code" || line.User != ada.ID || line.Actor.Type != "user" {
		t.Errorf("the line is %+v, want Ada's by code", line)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM directory_user WHERE shown = 'active' AND status = 'active'`); n != 1 {
		t.Error("the first sign-in did not make Ada active")
	}
	dump := storetest.Dump(t, h.Database)
	for what, canary := range map[string]string{"code": code, "browser's secret": browser.ExposeString(), "session's token": opened.Token.ExposeString()} {
		if strings.Contains(dump, canary) {
			t.Errorf("the %s stands in the database", what)
		}
	}
	_, err = h.OpenByCode(t.Context(), h.by, browser, h.w)
	storetest.Refused(t, err, "code_rejected") // once
	_, err = h.ProveCode(t.Context(), h.by, browser, code)
	storetest.Refused(t, err, "code_rejected")
	if n := h.logins(t, "success"); n != 1 {
		t.Errorf("%d logins were counted, want 1", n)
	}
}

// Whatever is wrong, the answer is the same.
func TestProveCode_refusals(t *testing.T) {
	h := newHouse(t, false)
	storetest.User(t, h.Store, h.w, "ada")
	want := fault.Invalid("code_rejected", "This code is not right, or it is too old.")
	for name, c := range map[string]struct {
		email string
		code  func(right string) string
		other bool // in another browser
		later time.Duration
		known bool // a line is written
	}{
		"a wrong code":          {"ada@example.org", wrongCode, false, 0, true},
		"less":                  {"ada@example.org", func(c string) string { return c[:7] }, false, 0, true},
		"more":                  {"ada@example.org", func(c string) string { return c + "0" }, false, 0, true},
		"nothing":               {"ada@example.org", func(string) string { return "" }, false, 0, true},
		"very much":             {"ada@example.org", func(c string) string { return c + strings.Repeat(" ", 1<<20) }, false, 0, true},
		"another browser":       {"ada@example.org", strings.Clone, true, 0, false},
		"too late":              {"ada@example.org", strings.Clone, false, signin.CodeLifetime, true},
		"an unknown address":    {"eve@example.org", func(string) string { return "12345678" }, false, 0, false},
		"an unknown, too late":  {"eve@example.org", func(string) string { return "" }, false, signin.CodeLifetime, false},
		"an address with a dot": {"a.d.a@example.org", strings.Clone, false, 0, false},
	} {
		h.clock.Advance(time.Hour) // a new line, and new tries, for each
		before := len(storetest.Activities(t, h.Store, h.w, ""))
		browser, code := h.ask(t, c.email)
		if (code != "") != (c.email == "ada@example.org") {
			t.Errorf("%s: the code %q was mailed", name, code)
		}
		h.clock.Advance(c.later)
		if c.other {
			browser = token.NewOneTime()
		}
		entries, err := h.ProveCode(t.Context(), h.by, browser, c.code(code))
		if diff := cmp.Diff(want, storetest.Fault(t, err, "code_rejected"), cmp.AllowUnexported(fault.Error{})); diff != "" || entries != nil {
			t.Errorf("%s: another answer, %v (-want +got):\n%s", name, entries, diff)
		}
		lines := storetest.Activities(t, h.Store, h.w, "")[before:]
		if c.known && (len(lines) != 1 || lines[0].Action != "session.open" || lines[0].Reason != "code_rejected" || lines[0].Outcome != activity.Refused) {
			t.Errorf("%s: lines %+v, want one refusal", name, lines)
		}
		if !c.known && len(lines) != 0 {
			t.Errorf("%s: lines %+v, want none", name, lines)
		}
	}
}

func TestProveCode_fiveTries(t *testing.T) {
	h := newHouse(t, false)
	storetest.User(t, h.Store, h.w, "ada")
	browser, code := h.ask(t, "ada@example.org")
	for range signin.CodeTries - 1 {
		_, err := h.ProveCode(t.Context(), h.by, browser, wrongCode(code))
		storetest.Refused(t, err, "code_rejected")
	}
	if _, err := h.ProveCode(t.Context(), h.by, browser, code); err != nil {
		t.Errorf("the fifth try: %v, want nil", err)
	}
	browser, code = h.ask(t, "ada@example.org")
	for range signin.CodeTries {
		_, err := h.ProveCode(t.Context(), h.by, browser, wrongCode(code))
		storetest.Refused(t, err, "code_rejected")
	}
	_, err := h.ProveCode(t.Context(), h.by, browser, code)
	storetest.Refused(t, err, "code_rejected")
}

// Of many guesses at once no more are compared than there are tries.
func TestProveCode_guessesAtOnce(t *testing.T) {
	h := newHouse(t, false)
	storetest.User(t, h.Store, h.w, "ada")
	browser, code := h.ask(t, "ada@example.org")
	var all sync.WaitGroup
	var proved atomic.Int64
	for i := range 1000 {
		guess := fmt.Sprintf("%08d", i)
		if guess == code {
			continue
		}
		all.Go(func() {
			_, err := h.ProveCode(t.Context(), h.by, browser, guess)
			if f, ok := fault.As(err); !ok || f.Code != "code_rejected" {
				t.Errorf("guess %s: %v, want code_rejected", guess, err)
			}
		})
	}
	all.Wait()
	if n := storetest.Count(t, h.Database, `SELECT tries_left FROM signin_code`); n != 0 {
		t.Errorf("%d tries are left, want 0", n)
	}
	_, err := h.ProveCode(t.Context(), h.by, browser, code)
	storetest.Refused(t, err, "code_rejected")
	// The right code at once counts once.
	browser, code = h.ask(t, "ada@example.org")
	for range 50 {
		all.Go(func() {
			if _, err := h.ProveCode(t.Context(), h.by, browser, code); err == nil {
				proved.Add(1)
			}
		})
	}
	all.Wait()
	var opened atomic.Int64
	for range 50 {
		all.Go(func() {
			if _, err := h.OpenByCode(t.Context(), h.by, browser, h.w); err == nil {
				opened.Add(1)
			}
		})
	}
	all.Wait()
	if proved.Load() != 1 || opened.Load() != 1 {
		t.Errorf("the code was proved %d times and opened %d sessions, want 1 of each", proved.Load(), opened.Load())
	}
}

func TestOpenByCode_refusals(t *testing.T) {
	h := newHouse(t, false)
	other := storetest.Workspace(t, h.Store)
	storetest.User(t, h.Store, h.w, "ada")
	for name, c := range map[string]struct {
		unproved  bool
		workspace id.Workspace
		later     time.Duration
		change    string
	}{
		"before the proof":      {unproved: true, workspace: h.w},
		"another workspace":     {workspace: other},
		"no workspace":          {workspace: "ws_none"},
		"too late":              {workspace: h.w, later: signin.CodeLifetime},
		"a suspended user":      {workspace: h.w, change: `UPDATE directory_user SET suspended_at = $1`},
		"another address since": {workspace: h.w, change: `UPDATE directory_user SET email_fold = 'x' WHERE $1 > 0`},
		"a suspended workspace": {workspace: h.w, change: `UPDATE workspace SET suspended_at = $1`},
		"the empty workspace":   {workspace: ""},
	} {
		browser, code := h.ask(t, "ada@example.org")
		if !c.unproved {
			if _, err := h.ProveCode(t.Context(), h.by, browser, code); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		h.clock.Advance(c.later)
		if c.change != "" {
			storetest.Exec(t, h.Database, c.change, 1)
		}
		opened, err := h.OpenByCode(t.Context(), h.by, browser, c.workspace)
		storetest.Refused(t, err, "code_rejected")
		if !opened.Token.IsEmpty() {
			t.Errorf("%s: a session was opened", name)
		}
		if c.change != "" {
			storetest.Exec(t, h.Database, `UPDATE directory_user SET suspended_at = 0, email_fold = 'ada@example.org'`)
			storetest.Exec(t, h.Database, `UPDATE workspace SET suspended_at = 0`)
		}
		if !c.unproved && c.later == 0 {
			// A refusal did not use it up.
			if _, err := h.OpenByCode(t.Context(), h.by, browser, h.w); err != nil {
				t.Errorf("%s, then the right one: %v, want nil", name, err)
			}
		}
		h.clock.Advance(time.Hour)
	}
	_, err := h.OpenByCode(t.Context(), h.by, token.NewOneTime(), h.w)
	storetest.Refused(t, err, "code_rejected")
}

// One address in several workspaces gets one code, and the choice after it.
func TestCode_severalWorkspaces(t *testing.T) {
	h := newHouse(t, false)
	h.clock.Advance(time.Second)
	second, third, suspended := storetest.Workspace(t, h.Store), storetest.Workspace(t, h.Store), storetest.Workspace(t, h.Store)
	for _, w := range []id.Workspace{h.w, second, third, suspended} {
		storetest.User(t, h.Store, w, "ada")
	}
	storetest.Exec(t, h.Database, `UPDATE workspace SET suspended_at = 1 WHERE id = $1`, suspended)
	storetest.Exec(t, h.Database, `UPDATE directory_user SET suspended_at = 1 WHERE workspace = $1`, third)
	browser, code := h.ask(t, "ada@example.org")
	if n := len(h.codes(t)); n != 1 {
		t.Errorf("%d mails, want one", n)
	}
	entries, err := h.ProveCode(t.Context(), h.by, browser, code)
	if err != nil || len(entries) != 2 {
		t.Fatalf("ProveCode() = %+v (%v), want the two that are not suspended", entries, err)
	}
	for _, w := range []id.Workspace{third, suspended} {
		_, err := h.OpenByCode(t.Context(), h.by, browser, w)
		storetest.Refused(t, err, "code_rejected")
	}
	opened, err := h.OpenByCode(t.Context(), h.by, browser, second)
	if err != nil || opened.Caller.Workspace != second {
		t.Errorf("OpenByCode() = %+v (%v), want the second workspace", opened.Caller, err)
	}
}

func TestBeginCode_bounded(t *testing.T) {
	h := newHouse(t, false)
	storetest.User(t, h.Store, h.w, "ada")
	network := 0
	from := func() auth.Caller {
		network++
		return auth.Nobody(fmt.Sprintf("2001:db8:%x::1", network), "", "")
	}
	for range 10 {
		if _, _, err := h.BeginCode(t.Context(), from(), "ada@example.org"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.codes(t)); n != 10 {
		t.Fatalf("%d mails, want 10", n)
	}
	// Beyond that the answer is the same, without a mail and without guesses.
	browser, expires, err := h.BeginCode(t.Context(), from(), "ada@example.org")
	if err != nil || browser.IsEmpty() || !expires.Equal(h.clock.Now().Add(signin.CodeLifetime)) || len(h.codes(t)) != 10 {
		t.Errorf("the eleventh: %v (%v) and %d mails, want the same answer and 10", expires, err, len(h.codes(t)))
	}
	if n := storetest.Count(t, h.Database, `SELECT SUM(tries_left) FROM signin_code`); n != 10*signin.CodeTries {
		t.Errorf("%d tries in all, want none for the code that was not mailed", n)
	}
	_, err = h.ProveCode(t.Context(), h.by, browser, "12345678")
	storetest.Refused(t, err, "code_rejected")
	h.clock.Advance(time.Hour)
	if _, code := h.ask(t, "ada@example.org"); code == "" {
		t.Error("no mail after an hour, want one")
	}
}

func TestBeginCode_boundedByNetwork(t *testing.T) {
	h := newHouse(t, false)
	for i := range 30 {
		if _, _, err := h.BeginCode(t.Context(), auth.Nobody(fmt.Sprintf("192.0.2.%d", i), "", ""), fmt.Sprintf("u%d@example.org", i)); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.Advance(time.Minute)
	for _, ip := range []string{"192.0.2.99", "::ffff:192.0.2.1"} {
		browser, _, err := h.BeginCode(t.Context(), auth.Nobody(ip, "", ""), "x@example.org")
		if f := storetest.Fault(t, err, "too_many_tries"); f.RetryAfter != 9*time.Minute || !browser.IsEmpty() {
			t.Errorf("from %s: again after %v, want nine minutes", ip, f.RetryAfter)
		}
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_code`); n != 30 {
		t.Errorf("%d codes, want 30, one for each that was answered", n)
	}
	for _, ip := range []string{"192.0.3.1", "2001:db8::1", ""} {
		if _, _, err := h.BeginCode(t.Context(), auth.Nobody(ip, "", ""), "x@example.org"); err != nil {
			t.Errorf("from %q: %v, want nil", ip, err)
		}
	}
	h.clock.Advance(9 * time.Minute)
	if _, _, err := h.BeginCode(t.Context(), h.by, "x@example.org"); err != nil {
		t.Errorf("after the window: %v, want nil", err)
	}
}

func TestBeginCode_noAddress(t *testing.T) {
	h := newHouse(t, false)
	for _, email := range []string{"", "ada", "@example.org", "ada@", "ada @example.org", "a\x00@b", "a@b\xff", strings.Repeat("a", 250) + "@b.cd"} {
		_, _, err := h.BeginCode(t.Context(), h.by, email)
		if names := storetest.FieldNames(storetest.Fault(t, err, "invalid_fields")); len(names) != 1 || names[0] != "email" {
			t.Errorf("%q: fields %v, want email", email, names)
		}
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_code`); n != 0 {
		t.Errorf("%d codes, want none", n)
	}
}

// Known or not, an address leaves one row, and old rows go.
func TestBeginCode_rows(t *testing.T) {
	h := newHouse(t, false)
	storetest.User(t, h.Store, h.w, "ada")
	h.ask(t, "ada@example.org")
	h.ask(t, "nobody@example.org")
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_code`); n != 2 {
		t.Errorf("%d rows, want one each", n)
	}
	h.clock.Advance(48 * time.Hour)
	h.ask(t, "nobody@example.org")
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_code`); n != 1 {
		t.Errorf("%d codes two days later, want the new one", n)
	}
	h.clock.Advance(96 * time.Hour) // a count is kept as long as an activation link lives, and longer
	h.ask(t, "nobody@example.org")
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM signin_rate`); n != 2 {
		t.Errorf("%d counts six days later, want the two new ones", n)
	}
}

func TestCode_mailIsNotSentLate(t *testing.T) {
	h := newHouse(t, false)
	storetest.User(t, h.Store, h.w, "ada")
	h.ask(t, "ada@example.org")
	for _, m := range storetest.Messages(t, h.Store) {
		if !m.ExpiresAt.Equal(h.clock.Now().Add(signin.CodeLifetime)) {
			t.Errorf("the mail is tried until %v, want for as long as the code is good", m.ExpiresAt)
		}
	}
}
