package apikey_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// warnings are the mails so far that a key ends, in the order of their recipients.
func (h house) warnings(t testing.TB) []outbox.APIKeyExpiring {
	t.Helper()
	var out []outbox.APIKeyExpiring
	for _, m := range storetest.Messages(t, h.Store) {
		var mail outbox.APIKeyExpiring
		if m.Kind != mail.MessageKind() {
			continue
		}
		if err := json.Unmarshal(m.Payload, &mail); err != nil {
			t.Fatal(err)
		}
		if want := time.UnixMilli(min(mail.EndsAt, mail.At+outbox.Lifetime.Milliseconds())).UTC(); !m.ExpiresAt.Equal(want) {
			t.Errorf("the warning is given up at %v, want %v", m.ExpiresAt, want)
		}
		out = append(out, mail)
	}
	slices.SortFunc(out, func(a, b outbox.APIKeyExpiring) int { return strings.Compare(a.To.Email, b.To.Email) })
	return out
}

func (h house) warn(t testing.TB) int {
	t.Helper()
	n, err := h.WarnExpiring(t.Context(), server())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWarnExpiring(t *testing.T) {
	h := newHouse(t)
	ends := storetest.Start().Add(40 * day)
	k, _ := h.issue(t, apikey.NewKey{Name: "Payroll", Type: apikey.Clients, ExpiresAt: ends})
	warned := 0
	for _, step := range []struct {
		before time.Duration // of the end
		want   int           // warnings in all
	}{
		{40 * day, 0}, {30*day + time.Millisecond, 0}, {30 * day, 1}, {29 * day, 1}, {7*day + time.Millisecond, 1}, {7 * day, 2}, {2 * day, 2}, {day, 3}, {time.Hour, 3}, {0, 3}, {-day, 3},
	} {
		h.clock.Advance(ends.Add(-step.before).Sub(h.clock.Now()))
		h.warn(t)
		if n := h.warn(t); n != 0 {
			t.Errorf("%v before the end %d keys are due at once again, want none", step.before, n)
		}
		got := h.warnings(t)
		if len(got) != step.want {
			t.Fatalf("%v before the end: %d warnings, want %d", step.before, len(got), step.want)
		}
		if step.want == warned {
			continue
		}
		warned = step.want
		want := outbox.APIKeyExpiring{
			To: outbox.Recipient{Email: "owner@example.org", Name: h.by.Name}, Workspace: "Harbour", APIKey: "Payroll", KeyID: string(k.ID), TokenID: k.TokenID,
			Type: "clients", EndsAt: ends.UnixMilli(), At: h.clock.Now().UnixMilli(),
		}
		if !slices.Contains(got, want) {
			t.Errorf("the warnings are %+v, want among them %+v", got, want)
		}
		line := activity.Event{
			Workspace: h.w, At: h.clock.Now(), Action: "api_key.expiring", Outcome: activity.Success, Detail: ends.Format(time.RFC3339), Count: 1,
			Actor: activity.Party{Type: "system", ID: "server", Name: "server"}, Target: activity.Party{Type: "api_key", ID: string(k.ID), Name: "Payroll"},
		}
		if diff := cmp.Diff(line, h.last(t, "api_key.expiring"), cmpopts.IgnoreFields(activity.Event{}, "ID")); diff != "" {
			t.Errorf("the line (-want +got):\n%s", diff)
		}
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "api_key.expiring")); n != 3 {
		t.Errorf("%d lines, want 3", n)
	}
}

// If warnings were missed, one stands for all that are over.
func TestWarnExpiring_clockJumps(t *testing.T) {
	for jump, want := range map[time.Duration]int{35 * day: 1, 39*day + time.Hour: 1, 40 * day: 0, 100 * day: 0} {
		h := newHouse(t)
		h.issue(t, apikey.NewKey{Name: "P", Type: apikey.Clients, ExpiresAt: storetest.Start().Add(40 * day)})
		h.clock.Advance(jump)
		for range 3 {
			h.warn(t)
		}
		if got := h.warnings(t); len(got) != want {
			t.Errorf("%d warnings after a jump of %v, want %d", len(got), jump, want)
		}
	}
	h := newHouse(t) // after a jump over the first, the second comes at its time
	h.issue(t, apikey.NewKey{Name: "P", Type: apikey.Clients, ExpiresAt: storetest.Start().Add(40 * day)})
	h.clock.Advance(32 * day)
	h.warn(t)
	h.clock.Advance(day)
	h.warn(t)
	if got := h.warnings(t); len(got) != 2 {
		t.Errorf("%d warnings, want the late first and the second", len(got))
	}
}

func TestWarnExpiring_recipients(t *testing.T) {
	h := newHouse(t)
	storetest.Administrator(t, h.Store, h.w, "second")
	storetest.Administrator(t, h.Store, h.w, "writer", auth.APIKeysWrite, auth.APIKeysRead)
	storetest.Administrator(t, h.Store, h.w, "reader", auth.APIKeysRead)
	creator := storetest.Administrator(t, h.Store, h.w, "creator", auth.All()...)
	lesser := storetest.Administrator(t, h.Store, h.w, "lesser", auth.APIKeysWrite)
	gone := storetest.Administrator(t, h.Store, h.w, "gone")
	h.elsewhere(t)
	issue := func(by auth.Caller, name string) apikey.Key {
		k, _, err := h.Create(t.Context(), by, apikey.NewKey{Name: name, Type: apikey.Clients, ExpiresAt: storetest.Start().Add(40 * day)})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	issue(creator, "of a creator with all")
	made := issue(lesser, "of who may write no keys any more")
	issue(gone, "of who was suspended")
	storetest.Exec(t, h.Database, `UPDATE signin_administrator SET permissions = 'users.read' WHERE id = $1`, string(lesser.Administrator))
	flow := leave.New(store.For[leave.Tx](h.Store), h.clock)
	if _, err := flow.Suspend(t.Context(), h.by, gone.User, leave.Options{}); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(10 * day)
	h.warn(t)
	told := map[string][]string{}
	for _, w := range h.warnings(t) {
		told[w.APIKey] = append(told[w.APIKey], strings.TrimSuffix(w.To.Email, "@example.org"))
	}
	want := map[string][]string{
		"of a creator with all":             {"creator", "owner", "second", "writer"},
		"of who may write no keys any more": {"creator", "lesser", "owner", "second", "writer"},
		"of who was suspended":              {"creator", "owner", "second", "writer"},
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("who is told, each once (-want +got):\n%s", diff)
	}
	if made.Root != lesser.User {
		t.Errorf("the root is %s, want the creator", made.Root)
	}
}

func TestWarnExpiring_notOfWhatIsOver(t *testing.T) {
	h := newHouse(t)
	issue := func(name string) apikey.Key {
		k, _ := h.issue(t, apikey.NewKey{Name: name, Type: apikey.Clients, ExpiresAt: storetest.Start().Add(40 * day)})
		return k
	}
	disabled, deleted, extended := issue("disabled"), issue("deleted"), issue("extended")
	h.issue(t, apikey.NewKey{Name: "never", Type: apikey.Clients})
	h.issue(t, apikey.NewKey{Name: "short", Type: apikey.Clients, ExpiresAt: storetest.Start().Add(time.Hour)}) // less than any warning's time
	later := storetest.Start().Add(400 * day)
	_, _, err1 := h.Disable(t.Context(), h.by, disabled.ID, false)
	_, err2 := h.Delete(t.Context(), h.by, deleted.ID, false, 0)
	_, err3 := h.Update(t.Context(), h.by, extended.ID, apikey.Change{ExpiresAt: &later}, 0)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	h.clock.Advance(20 * day)
	h.warn(t)
	if got := h.warnings(t); len(got) != 0 {
		t.Errorf("warnings %+v of keys that are disabled, deleted, extended or do not end, want none", got)
	}
	if _, err := h.Enable(t.Context(), h.fresh(t), disabled.ID); err != nil { // the next warning comes
		t.Fatal(err)
	}
	h.clock.Advance(13 * day)
	h.warn(t)
	if got := h.warnings(t); len(got) != 1 || got[0].APIKey != "disabled" {
		t.Errorf("warnings %+v, want the second of the key that was enabled again", got)
	}
	h.clock.Advance(later.Add(-30 * day).Sub(h.clock.Now()))
	h.warn(t)
	if got := h.warnings(t); len(got) != 2 {
		t.Errorf("%d warnings, want one of the key's new end too", len(got))
	}
}

// A limit that makes a key end sooner warns of it, at once if it has to.
func TestWarnExpiring_afterALimit(t *testing.T) {
	h := newHouse(t)
	k, _ := h.issue(t, apikey.NewKey{Name: "P", Type: apikey.Clients})
	h.clock.Advance(70 * day)
	h.limit(t, 80)
	h.warn(t)
	got := h.warnings(t)
	if want := storetest.Start().Add(80 * day).UnixMilli(); len(got) != 1 || got[0].EndsAt != want {
		t.Fatalf("warnings %+v, want one, ten days before the end", got)
	}
	if now := h.find(t, k.ID); now.WarnAt != storetest.Start().Add(73*day) {
		t.Errorf("the next warning is due at %v, want seven days before the end", now.WarnAt)
	}
	h.limit(t, 60) // it ended ten days ago
	if n := h.warn(t); n != 1 || len(h.warnings(t)) != 1 {
		t.Errorf("%d keys were due and there are %d warnings, want 1: of an ended key nobody is warned", n, len(h.warnings(t)))
	}
}

// However many servers look at once, each warning is one.
func TestWarnExpiring_serversAtOnce(t *testing.T) {
	h := newHouse(t)
	const keys = 20
	for range keys {
		h.issue(t, apikey.NewKey{Name: "P", Type: apikey.Clients, ExpiresAt: storetest.Start().Add(40 * day)})
	}
	h.clock.Advance(10 * day)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		room := apikey.New(apikey.Config{Store: store.For[apikey.Tx](h.Store), Clock: h.clock, Peppers: peppers(1)})
		all.Go(func() {
			<-begin
			if _, err := room.WarnExpiring(t.Context(), server()); err != nil {
				t.Errorf("WarnExpiring() = %v, want nil", err)
			}
		})
	}
	close(begin)
	all.Wait()
	if n := len(h.warnings(t)); n != keys {
		t.Errorf("%d warnings of %d keys by four servers at once, want one each", n, keys)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "api_key.expiring")); n != keys {
		t.Errorf("%d lines, want %d", n, keys)
	}
}

// between runs something before each writing transaction.
type between struct {
	rerouted
	do func()
}

func (b between) Write(ctx context.Context, fn tx.Func[apikey.Tx]) error {
	b.do()
	return b.rerouted.Write(ctx, fn)
}

// Who is disabled while the warning is on its way is not warned of.
func TestWarnExpiring_looksAgain(t *testing.T) {
	h := newHouse(t)
	k, _ := h.issue(t, apikey.NewKey{Name: "P", Type: apikey.Clients, ExpiresAt: storetest.Start().Add(40 * day)})
	h.clock.Advance(10 * day)
	disable := func() {
		storetest.Exec(t, h.Database, `UPDATE apikey SET disabled_at = 1 WHERE id = $1`, string(k.ID))
	}
	room := apikey.New(apikey.Config{Store: between{rerouted{&h.Store}, disable}, Clock: h.clock, Peppers: peppers(1)})
	if n, err := room.WarnExpiring(t.Context(), server()); err != nil || n != 1 {
		t.Fatalf("WarnExpiring() = %d (%v), want 1", n, err)
	}
	if got := h.warnings(t); len(got) != 0 {
		t.Errorf("warnings %+v of a key that was disabled meanwhile, want none", got)
	}
}

func TestNextWarning(t *testing.T) {
	ends := storetest.Start()
	for before, want := range map[time.Duration]time.Duration{ // of the end
		400 * day: 30 * day, 30*day + 1: 30 * day, 30 * day: 7 * day, 7*day + 1: 7 * day, 7 * day: day, day + 1: day,
	} {
		if got := apikey.NextWarning(ends, ends.Add(-before)); !got.Equal(ends.Add(-want)) {
			t.Errorf("NextWarning() %v before the end = %v, want %v before it", before, got, want)
		}
	}
	for what, got := range map[string]time.Time{
		"a day before": apikey.NextWarning(ends, ends.Add(-day)), "at the end": apikey.NextWarning(ends, ends), "never": apikey.NextWarning(apikey.Never(), ends),
	} {
		if !got.Equal(apikey.Never()) {
			t.Errorf("NextWarning() %s = %v, want never", what, got)
		}
	}
}
