package apikey_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// finder is who reports a token that they found.
func finder() auth.Caller { return auth.Nobody("198.51.100.7", "finder/1", "req_found") }

// report reports a text; the answer is the same for all.
func (h house) report(t testing.TB, text string) {
	t.Helper()
	if err := h.ReportLeaked(t.Context(), finder(), text); err != nil {
		t.Errorf("ReportLeaked() = %v, want nil whatever the text is", err)
	}
}

func leakedTo(m outbox.APIKeyLeaked) outbox.Recipient { return m.To }

func TestReportLeaked_admin(t *testing.T) {
	h := newHouse(t)
	storetest.Administrator(t, h.Store, h.w, "writer", auth.APIKeysWrite)
	storetest.Administrator(t, h.Store, h.w, "reader", auth.APIKeysRead)
	k, text := h.issue(t, admin())
	h.clock.Advance(time.Minute)
	h.report(t, text)
	want := k
	want.DisabledAt, want.LeakedAt, want.Revision = h.clock.Now(), h.clock.Now(), 2
	if diff := cmp.Diff(want, h.find(t, k.ID)); diff != "" || h.works(t, text, apikey.Admin) {
		t.Errorf("the key after the report (-want +got):\n%s", diff)
	}
	h.line(t, "api_key.report_leaked", "disabled", finder(), k)
	told := mails(t, h, leakedTo)
	if names(told) != "owner@example.org writer@example.org" {
		t.Errorf("told are %s, want the owner and who may write API keys", names(told))
	}
	mail := outbox.APIKeyLeaked{
		To: outbox.Recipient{Email: "owner@example.org", Name: h.by.Name}, Workspace: "Harbour", APIKey: "Robot", KeyID: string(k.ID), TokenID: k.TokenID,
		Type: "admin", Did: outbox.LeakedDisabled, IP: "198.51.100.7", At: h.clock.Now().UnixMilli(),
	}
	if diff := cmp.Diff(mail, told["owner@example.org"]); diff != "" {
		t.Errorf("the mail (-want +got):\n%s", diff)
	}
	h.report(t, text) // once more: nothing more is told or written
	mails(t, h, leakedTo)
	if n := len(storetest.Activities(t, h.Store, h.w, "api_key.report_leaked")); n != 1 || h.find(t, k.ID).Revision != 2 {
		t.Errorf("%d lines of two reports, want 1", n)
	}
}

// Devices that are enrolled go on with the other types' keys.
func TestReportLeaked_otherTypes(t *testing.T) {
	for _, kind := range []apikey.Type{apikey.Clients, apikey.SharedMobile} {
		h := newHouse(t)
		k, text := h.issue(t, apikey.NewKey{Name: "C", Type: kind})
		h.report(t, text)
		now := h.find(t, k.ID)
		if !now.DisabledAt.IsZero() || now.LeakedAt != h.clock.Now() || now.Revision != 2 || !h.works(t, text, kind) {
			t.Errorf("a leaked %s key is %+v, want it marked and at work", kind, now)
		}
		i, err := h.Identify(t.Context(), nobody(), text, kind)
		if err != nil || i.Key.LeakedAt.IsZero() {
			t.Errorf("who verifies the token is not told that it leaked: %+v (%v)", i.Key, err)
		}
		h.line(t, "api_key.report_leaked", "no_enrolment", finder(), k)
		if told := mails(t, h, leakedTo); told["owner@example.org"].Did != outbox.LeakedNoEnrolment || told["owner@example.org"].Type != string(kind) {
			t.Errorf("the mail is %+v", told)
		}
		h.report(t, text)
		if n := len(mails(t, h, leakedTo)); n != 1 {
			t.Errorf("%d mails after two reports, want 1", n)
		}
		got, err := h.Enable(t.Context(), h.by, k.ID) // an administrator looked into it
		if err != nil || !got.LeakedAt.IsZero() {
			t.Errorf("Enable() = %+v (%v), want it not leaked any more", got, err)
		}
	}
}

// Of a key that was reset the retiring token alone ends.
func TestReportLeaked_retiring(t *testing.T) {
	h := newHouse(t)
	k, old := h.issue(t, admin())
	r, text := h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	h.report(t, old)
	now := h.find(t, k.ID)
	if now.Retiring.TokenID != "" || !now.DisabledAt.IsZero() || !now.LeakedAt.IsZero() || h.works(t, old, apikey.Admin) || !h.works(t, text, apikey.Admin) {
		t.Errorf("after its retiring token leaked the key is %+v, want the new token to work alone", now)
	}
	h.line(t, "api_key.report_leaked", "retiring", finder(), k)
	if told := mails(t, h, leakedTo); told["owner@example.org"].Did != outbox.LeakedRetiring || told["owner@example.org"].TokenID != k.TokenID {
		t.Errorf("the mail is %+v, want it to name the retiring token, not %s", told, r.TokenID)
	}

	h = newHouse(t) // the new token leaked: both end
	k, old = h.issue(t, admin())
	_, text = h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	h.report(t, text)
	if h.works(t, old, apikey.Admin) || h.works(t, text, apikey.Admin) || h.find(t, k.ID).DisabledAt.IsZero() {
		t.Error("after its token leaked the key works")
	}

	h = newHouse(t) // the overlap is over: nothing is left to withdraw
	k, old = h.issue(t, admin())
	_, text = h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	h.clock.Advance(time.Hour)
	h.report(t, old)
	if n := len(mails(t, h, leakedTo)); n != 0 || !h.works(t, text, apikey.Admin) {
		t.Errorf("%d mails about a token that was over, want none", n)
	}
}

// What is no good token changes nothing and is told to nobody.
func TestReportLeaked_whatIsNoToken(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, admin())
	c, clientText := h.issue(t, apikey.NewKey{Name: "C", Type: apikey.Clients})
	head := text[:len("kh_admin_")+12+1]
	wrong := head + strings.Repeat("x", 32)
	renamed := "kh_client_" + text[len("kh_admin_"):len(text)-6]
	before := storetest.Dump(t, h.Database)
	for what, s := range map[string]string{
		"nothing": "", "a word": "token", "an unknown token": token.Issue(token.KindAdmin).Secret().ExposeString(),
		"the right id with a wrong secret": wrong + sum(wrong), "the token as of another type": renamed + sum(renamed), "the public part": head,
		"the token, cut": text[:len(text)-1], "very long": strings.Repeat(text, 1000), "bytes": "\xff\x00",
	} {
		h.report(t, s)
		if after := storetest.Dump(t, h.Database); before != after {
			t.Errorf("a report of %s changed the database", what)
		}
	}
	if _, _, err := h.Disable(t.Context(), h.by, k.ID, false); err != nil {
		t.Fatal(err)
	}
	lines := len(storetest.Activities(t, h.Store, h.w, ""))
	h.report(t, text) // disabled: it opens nothing
	if n := len(storetest.Activities(t, h.Store, h.w, "")); n != lines || len(mails(t, h, leakedTo)) != 0 || !h.find(t, k.ID).LeakedAt.IsZero() {
		t.Errorf("a report of a disabled Admin key wrote %d lines, want none", n-lines)
	}
	if _, err := h.Delete(t.Context(), h.by, c.ID, false, 0); err != nil {
		t.Fatal(err)
	}
	h.report(t, clientText)
	if n := len(mails(t, h, leakedTo)); n != 0 {
		t.Errorf("%d mails about a deleted key, want none", n)
	}
}

// A token under a pepper that this server does not have is none.
func TestReportLeaked_anotherPepper(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, admin())
	h.with(peppers(7)).report(t, text)
	if now := h.find(t, k.ID); !now.DisabledAt.IsZero() {
		t.Error("a server without the pepper disabled the key")
	}
}

func TestMayReport(t *testing.T) {
	h := newHouse(t)
	may := func(ip string) bool {
		t.Helper()
		err := h.MayReport(t.Context(), auth.Nobody(ip, "", ""))
		if err != nil {
			if f := storetest.Fault(t, err, "rate_limited"); f.Kind != fault.KindTooMany || f.RetryAfter <= 0 || f.RetryAfter > time.Minute {
				t.Errorf("the refusal says to come back after %v", f.RetryAfter)
			}
		}
		return err == nil
	}
	spend := func(ip func(i int) string) int {
		t.Helper()
		n := 0
		for n < 100 && may(ip(n)) {
			n++
		}
		return n
	}
	if n := spend(func(int) string { return "192.0.2.4" }); n != 10 {
		t.Errorf("%d reports at once from an address, want 10", n)
	}
	if may("::ffff:192.0.2.4") {
		t.Error("the same address in the form of IPv6 may report on")
	}
	if !may("192.0.2.5") {
		t.Error("the neighbour is refused too")
	}
	// A network of IPv6 has 2⁶⁴ addresses: it counts as one.
	if n := spend(func(i int) string { return fmt.Sprintf("2001:db8:1:2::%x", i+1) }); n != 10 {
		t.Errorf("%d reports at once from a /64, want 10", n)
	}
	if !may("2001:db8:1:3::1") {
		t.Error("the next /64 is refused too")
	}
	if n := spend(func(int) string { return "nonsense" }); n != 10 {
		t.Errorf("%d reports at once from an address that is none, want 10", n)
	}
	h.clock.Advance(6 * time.Second)
	if !may("192.0.2.4") || may("192.0.2.4") {
		t.Error("after six seconds one report may come, and one only")
	}
	h.clock.Advance(time.Hour)
	if n := spend(func(int) string { return "192.0.2.4" }); n != 10 {
		t.Errorf("%d reports an hour later, want 10", n)
	}
}

// However many networks report, the memory of them is bounded.
func TestMayReport_bounded(t *testing.T) {
	h := newHouse(t)
	refused := 0
	for i := range 12_000 {
		if h.MayReport(t.Context(), auth.Nobody(fmt.Sprintf("10.%d.%d.1", i/256, i%256), "", "")) != nil {
			refused++
		}
	}
	if refused == 0 || refused > 2_000 {
		t.Errorf("%d of 12,000 networks at once are refused, want those past the bound", refused)
	}
	h.clock.Advance(time.Minute)
	if err := h.MayReport(t.Context(), auth.Nobody("10.99.99.1", "", "")); err != nil {
		t.Errorf("MayReport() = %v a minute later, want nil", err)
	}
}
