package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/store"
)

func ledgerCases() []testCase {
	return []testCase{
		{name: "like refusals are counted into one line a window", run: countRefusals},
		{name: "of refusals at once one is the first", run: countRefusalsAtOnce},
		{name: "windows that are over are taken once", run: overdueRefusals, alone: true},
		{name: "messages are leased", run: leaseMessages, alone: true},
		{name: "no message is leased twice", run: leaseAtOnce, alone: true},
		{name: "a lease of many messages keeps its limit", run: leaseLimit, alone: true},
		{name: "messages end", run: endMessages, alone: true},
		{name: "a sealed PIN does not outlive its mail", run: forgetPINs, alone: true},
		{name: "leases", run: leases},
		{name: "a lease has one holder", run: leaseAtOnceByName},
		{name: "sign-ins are counted from the record", run: countedFromRecord},
		{name: "sequencers race and the chain is whole", run: sequencers},
		{name: "workspaces with something to seal", run: unsealedWorkspaces, alone: true},
	}
}

func countRefusals(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	r := activity.Refusal{Workspace: w, Caller: "api_key key_1", Action: "user.create", Reason: "missing_permission"}
	count := func(r activity.Refusal, after time.Duration) (n int) {
		t.Helper()
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = tx.CountRefusal(ctx, r, Start().Add(after), time.Minute)
			return err
		})
		return n
	}
	for i, step := range []struct {
		after time.Duration
		want  int
	}{
		{0, 1},                              // the first has a line of its own
		{time.Second, 0},                    // counted
		{59 * time.Second, 0},               // counted
		{time.Minute - time.Millisecond, 0}, // counted
		{time.Minute, 4},                    // the window is over: those three and this one
		{time.Minute + time.Second, 0},      // a window began with the last line
		{2*time.Minute + time.Second, 2},    // that one and this one
		{5 * time.Minute, 1},                // nothing was counted meanwhile
	} {
		if n := count(r, step.after); n != step.want {
			t.Errorf("refusal %d after %v counts %d, want %d", i+1, step.after, n, step.want)
		}
	}
	for what, change := range map[string]func(*activity.Refusal){
		"workspace": func(r *activity.Refusal) { r.Workspace = Workspace(t, d.Store) },
		"caller":    func(r *activity.Refusal) { r.Caller = "api_key key_2" },
		"action":    func(r *activity.Refusal) { r.Action = "user.update" },
		"reason":    func(r *activity.Refusal) { r.Reason = "other" },
	} {
		other := r
		change(&other)
		if n := count(other, 5*time.Minute); n != 1 {
			t.Errorf("the first refusal of another %s counts %d, want 1", what, n)
		}
	}
}

func countRefusalsAtOnce(t *testing.T, d Database) {
	r := activity.Refusal{Workspace: Workspace(t, d.Store), Caller: "api_key key_1", Action: "user.create", Reason: "missing_permission"}
	var firsts, sum atomic.Int64
	atOnce(t, 40, func(int) error {
		var n int
		err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = tx.CountRefusal(ctx, r, Start(), time.Minute)
			return err
		})
		if n > 0 {
			firsts.Add(1)
		}
		sum.Add(int64(n))
		return err
	})
	if firsts.Load() != 1 || sum.Load() != 1 {
		t.Errorf("%d of 40 refusals at once have a line, for %d, want one for 1", firsts.Load(), sum.Load())
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.CountRefusal(ctx, r, Start().Add(time.Minute), time.Minute)
		if n != 40 {
			t.Errorf("the line of the next window stands for %d, want 40: the 39 and this one", n)
		}
		return err
	})
}

func overdueRefusals(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	count := func(caller string, after time.Duration) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CountRefusal(ctx, activity.Refusal{Workspace: w, Caller: caller, Action: "user.create", Reason: "r"}, Start().Add(after), time.Minute)
			return err
		})
	}
	take := func(after time.Duration, limit int) (out []string) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			some, err := tx.TakeOverdueRefusals(ctx, Start().Add(after), time.Minute, limit)
			for _, r := range some {
				if r.Workspace != w || r.Action != "user.create" || r.Reason != "r" || !r.Since.Equal(Start()) && r.Caller != "late" {
					t.Errorf("took %+v, want it as it was counted", r)
				}
				out = append(out, fmt.Sprint(r.Caller, " ", r.Count))
			}
			return err
		})
		slices.Sort(out)
		return out
	}
	for range 3 {
		count("often", 0)
	}
	count("once", 0)
	count("late", time.Second)
	for i, c := range []struct {
		after time.Duration
		limit int
		want  []string
	}{
		{time.Minute - time.Millisecond, 10, nil},
		{time.Minute, 10, []string{"often 2", "once 0"}}, // the first of each had a line of its own
		{time.Minute, 10, nil},
		{time.Hour, 10, []string{"late 0"}},
	} {
		if got := take(c.after, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("step %d: took %q, want %q", i+1, got, c.want)
		}
	}
	for i := range 5 {
		count("late", time.Duration(i)*time.Hour)
		count(fmt.Sprint("often", i), 0)
	}
	if got := take(10*time.Hour, 4); len(got) != 4 {
		t.Errorf("took %q, want the 4 asked for", got)
	}
	if got := take(10*time.Hour, 4); len(got) != 2 {
		t.Errorf("took %q, want the 2 that were left", got)
	}
}

// atOnce runs n functions that begin together and fails the test for an error.
func atOnce(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			if err := fn(i); err != nil {
				t.Errorf("number %d: %v", i, err)
			}
		})
	}
	close(begin)
	all.Wait()
}

func putMessages(t *testing.T, d Database, w id.Workspace, n int) {
	t.Helper()
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			at := Start().Add(time.Duration(i) * time.Millisecond)
			m := outbox.Message{ID: id.New[id.KindJob](at), Workspace: w, Kind: "mail.test", Payload: fmt.Appendf(nil, `{"n":%d}`, i), CreatedAt: at, ExpiresAt: at.Add(time.Hour)}
			if err := tx.InsertOutboxMessage(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func take(t *testing.T, d Database, holder string, after time.Duration, limit int) (out []outbox.Message) {
	t.Helper()
	now := Start().Add(after)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		out, err = tx.LeaseOutboxMessages(ctx, holder, now, now.Add(time.Minute), limit)
		return err
	})
	return out
}

func leaseMessages(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	putMessages(t, d, w, 5)
	if got := take(t, d, "a", -time.Second, 10); len(got) != 0 {
		t.Errorf("%d messages before they are due, want none", len(got))
	}
	got := take(t, d, "a", 2*time.Millisecond, 10)
	slices.SortFunc(got, func(a, b outbox.Message) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if len(got) != 3 {
		t.Fatalf("%d messages, want the 3 that are due", len(got))
	}
	m := got[1]
	if m.Workspace != w || m.Kind != "mail.test" || string(m.Payload) != `{"n":1}` || m.Attempts != 1 || !m.ExpiresAt.Equal(m.CreatedAt.Add(time.Hour)) {
		t.Errorf("message %+v, want it as it went, at its first attempt", m)
	}
	if again := take(t, d, "b", time.Minute-time.Millisecond, 10); len(again) != 2 {
		t.Errorf("%d messages for another holder, want the 2 that are not leased", len(again))
	}
	again := take(t, d, "b", time.Minute+2*time.Millisecond, 10)
	if len(again) != 3 || again[0].Attempts != 2 {
		t.Errorf("messages %+v after the lease, want 3 at their second attempt", again)
	}
}

func leaseAtOnce(t *testing.T, d Database) {
	putMessages(t, d, Workspace(t, d.Store), 60)
	var mu sync.Mutex
	taken := map[id.Job]int{}
	atOnce(t, 12, func(i int) error {
		var got []outbox.Message
		err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			now := Start().Add(time.Second)
			got, err = tx.LeaseOutboxMessages(ctx, fmt.Sprint("worker", i), now, now.Add(time.Minute), 7)
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		for _, m := range got {
			taken[m.ID]++
		}
		return err
	})
	for m, n := range taken {
		if n != 1 {
			t.Errorf("message %s was taken %d times, want once", m, n)
		}
	}
	if rest := len(take(t, d, "last", time.Second, 100)); len(taken)+rest != 60 {
		t.Errorf("%d messages taken and %d left, want 60 in all", len(taken), rest)
	}
}

func leaseLimit(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	putMessages(t, d, w, 1)
	if d.Engine() == "postgres" {
		// With these figures the planner joins the other way round and would ask an
		// inner query again for every row, which steps over what it has just locked.
		if _, err := d.SQL.ExecContext(t.Context(), `VACUUM ANALYZE outbox`); err != nil {
			t.Fatal(err)
		}
	}
	putMessages(t, d, w, 40)
	got := take(t, d, "a", time.Second, 3)
	if len(got) != 3 {
		t.Errorf("took %d messages of 41, want the 3 asked for", len(got))
	}
	for _, m := range got {
		if m.CreatedAt.After(Start().Add(time.Millisecond)) {
			t.Errorf("took a message of %v, want the oldest", m.CreatedAt)
		}
	}
}

func endMessages(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	putMessages(t, d, w, 3)
	got := take(t, d, "a", time.Second, 3)
	if len(got) != 3 {
		t.Fatalf("%d messages, want 3", len(got))
	}
	now := Start().Add(2 * time.Second)
	steps := func(ctx context.Context, tx *store.Tx, holder string) (ends [3]bool, err error) {
		if ends[0], err = tx.FinishOutboxMessage(ctx, got[0].ID, holder, now); err != nil {
			return ends, err
		}
		if ends[1], err = tx.PostponeOutboxMessage(ctx, got[1].ID, holder, now.Add(time.Minute), "no route"); err != nil {
			return ends, err
		}
		ends[2], err = tx.GiveUpOutboxMessage(ctx, got[2].ID, holder, now, "no such mailbox")
		return ends, err
	}
	for _, c := range []struct {
		holder string
		want   [3]bool
	}{{"b", [3]bool{}}, {"a", [3]bool{true, true, true}}, {"a", [3]bool{}}} {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			ends, err := steps(ctx, tx, c.holder)
			if ends != c.want {
				t.Errorf("finish, postpone, give up by %s = %v, want %v", c.holder, ends, c.want)
			}
			return err
		})
	}
	if early := take(t, d, "b", 61*time.Second, 10); len(early) != 0 {
		t.Errorf("%d messages before the postponed one is due, want none", len(early))
	}
	late := take(t, d, "b", 62*time.Second, 10)
	if len(late) != 1 || late[0].ID != got[1].ID || late[0].Attempts != 2 {
		t.Errorf("messages %+v, want the postponed one at its second attempt", late)
	}
	if n := Count(t, d, `SELECT COUNT(*) FROM outbox WHERE workspace = $1 AND state = 'dead' AND last_error = 'no such mailbox'`, w); n != 1 {
		t.Errorf("%d dead messages with their reason, want 1", n)
	}
}

// forgetPINs asks that no sealed PIN outlives its mail.
func forgetPINs(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	pin := outbox.SecurityKeyPIN{WorkspaceID: string(w), Sealed: []byte("sealed")}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, p := range []outbox.Payload{pin, pin, pin, outbox.AccessPassIssued{Workspace: "kept"}} {
			if err := outbox.Put(ctx, tx, w, p, Start()); err != nil {
				return err
			}
		}
		return nil
	})
	var pins []outbox.Message
	now := Start().Add(2 * time.Second)
	taken := take(t, d, "a", time.Second, 10)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		pins = nil
		for _, m := range taken {
			if m.Kind == pin.MessageKind() {
				pins = append(pins, m)
			} else if _, err := tx.FinishOutboxMessage(ctx, m.ID, "a", now); err != nil {
				return err
			}
		}
		return nil
	})
	if len(pins) != 3 {
		t.Fatalf("%d messages with a PIN, want 3", len(pins))
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.FinishOutboxMessage(ctx, pins[0].ID, "a", now); err != nil {
			return err
		}
		if _, err := tx.GiveUpOutboxMessage(ctx, pins[1].ID, "a", now, "no such mailbox"); err != nil {
			return err
		}
		_, err := tx.PostponeOutboxMessage(ctx, pins[2].ID, "a", now, "busy")
		return err
	})
	for state, want := range map[string][2]int{"done": {1, 1}, "dead": {1, 0}, "waiting": {0, 1}} {
		empty := Count(t, d, `SELECT COUNT(*) FROM outbox WHERE workspace = $1 AND state = $2 AND payload = $3`, w, state, []byte(`{}`))
		full := Count(t, d, `SELECT COUNT(*) FROM outbox WHERE workspace = $1 AND state = $2 AND payload <> $3`, w, state, []byte(`{}`))
		if got := [2]int{empty, full}; got != want {
			t.Errorf("%s: %v messages without and with their payload, want %v", state, got, want)
		}
	}
}

func leases(t *testing.T, d Database) {
	name := "sequencer " + string(id.New[id.KindJob](Start()))
	take := func(name, holder string, from, until time.Duration) (ok bool) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			ok, err = tx.TakeLease(ctx, name, holder, Start().Add(from), Start().Add(until))
			return err
		})
		return ok
	}
	for i, c := range []struct {
		holder      string
		from, until time.Duration
		want        bool
	}{
		{"a", 0, 10 * time.Second, true},
		{"b", 9 * time.Second, 19 * time.Second, false},
		{"a", 9 * time.Second, 19 * time.Second, true}, // renewed
		{"b", 10 * time.Second, 20 * time.Second, false},
		{"b", 19 * time.Second, 29 * time.Second, true}, // run out: at its end it is over
		{"a", 20 * time.Second, 30 * time.Second, false},
	} {
		if ok := take(name, c.holder, c.from, c.until); ok != c.want {
			t.Errorf("step %d: TakeLease() by %s = %v, want %v", i+1, c.holder, ok, c.want)
		}
	}
	if !take(name+" other", "c", 0, time.Second) {
		t.Error("TakeLease() of another name = false, want true")
	}
}

func leaseAtOnceByName(t *testing.T, d Database) {
	name := "sequencer " + string(id.New[id.KindJob](Start()))
	var holders atomic.Int64
	atOnce(t, 30, func(i int) error {
		return write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
			ok, err := tx.TakeLease(ctx, name, fmt.Sprint("replica", i), Start(), Start().Add(time.Minute))
			if ok {
				holders.Add(1)
			}
			return err
		})
	})
	if n := holders.Load(); n != 1 {
		t.Errorf("%d holders of one lease, want 1", n)
	}
}

func sequencers(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for i := range 120 {
			if err := activity.Append(ctx, tx, auth.Job(w, "test"), activity.Event{Action: "user.create"}, Start().Add(time.Duration(i%9)*time.Second)); err != nil {
				return err
			}
		}
		return nil
	})
	want := Count(t, d, `SELECT COUNT(*) FROM activity WHERE workspace = $1`, w)
	var sealed, lost atomic.Int64
	atOnce(t, 8, func(int) error {
		err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
			n, err := activity.SealNext(ctx, tx, w)
			if err == nil {
				sealed.Add(int64(n))
			}
			return err
		})
		if err != nil {
			lost.Add(1) // the fence: all of it is undone
		}
		return nil
	})
	t.Logf("%d of 8 sequencers lost the race", lost.Load())
	if n := sealed.Load(); n != int64(want) {
		t.Errorf("%d rows sealed by those who won, want %d", n, want)
	}
	gate := activity.Gate[activity.RecordTx]{Store: store.For[activity.RecordTx](d.Store), Clock: clock.NewManual(Start())}
	v, err := activity.NewRecord(gate, nil).Verify(t.Context(), auth.Job(w, "test"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the verdict", v, activity.Verdict{Workspace: w, Through: int64(want)})
}

func unsealedWorkspaces(t *testing.T, d Database) {
	var want []id.Workspace
	for range 5 {
		want = append(want, Workspace(t, d.Store))
	}
	slices.Sort(want)
	quiet := bareWorkspace(t, d)
	var got []id.Workspace
	for after := id.Workspace(""); ; {
		var some []id.Workspace
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			some, err = tx.UnsealedWorkspaces(ctx, after, 2)
			return err
		})
		if got = append(got, some...); len(some) < 2 {
			break
		}
		after = some[1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("workspaces %v, want %v without %s", got, want, quiet)
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		_, err := activity.SealNext(ctx, tx, want[0])
		return err
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.CountUnsealedActivities(ctx, want[0])
		if n != 0 {
			t.Errorf("%d rows unsealed after sealing, want 0", n)
		}
		return err
	})
}
