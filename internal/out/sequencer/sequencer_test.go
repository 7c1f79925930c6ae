package sequencer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// state is all that the sequencer's storage holds.
type state struct {
	rows     []activity.Row
	heads    map[id.Workspace]activity.Head
	counted  map[id.Workspace]int
	refusals []activity.OverdueRefusal
	holder   string
	until    time.Time
}

func (s state) clone() state {
	s.rows, s.heads, s.counted, s.refusals = slices.Clone(s.rows), maps.Clone(s.heads), maps.Clone(s.counted), slices.Clone(s.refusals)
	return s
}

// store is a storage in memory whose transactions roll back.
type store struct {
	mu     sync.Mutex
	state  state // guarded by mu
	writes int   // guarded by mu
	// meddle, if set, is called within each writing transaction, before its work.
	// Guarded by mu.
	meddle func(*state) error
	// failing names a workspace whose head cannot be moved. Guarded by mu.
	failing id.Workspace
	// seen hears of each call that seals. Guarded by mu.
	seen func(w id.Workspace)
}

var _ tx.Runner[Tx] = (*store)(nil)

func newStore() *store {
	return &store{state: state{heads: map[id.Workspace]activity.Head{}, counted: map[id.Workspace]int{}}}
}

func (s *store) Write(ctx context.Context, fn tx.Func[Tx]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	before := s.state.clone()
	if s.meddle != nil {
		if err := s.meddle(&s.state); err != nil {
			s.state = before
			return err
		}
	}
	f, err := fn(ctx, &work{store: s, state: &s.state})
	if err != nil {
		s.state = before
		return err
	}
	if f != nil {
		return f
	}
	return nil
}

func (s *store) Read(ctx context.Context, fn func(ctx context.Context, t Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := s.state.clone()
	return fn(ctx, &work{store: s, state: &snapshot})
}

// change changes the stored state, as other servers do.
func (s *store) change(fn func(*state)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.state)
}

// look returns a copy of the stored state.
func (s *store) look() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.clone()
}

// act appends n lines to a workspace's record.
func (s *store) act(t *testing.T, w id.Workspace, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	by := auth.Job(w, "test")
	for range n {
		if err := activity.Append(t.Context(), &work{store: s, state: &s.state}, by, activity.Event{Action: "user.create"}, clock.System{}.Now()); err != nil {
			t.Fatal(err)
		}
	}
}

// verify returns what verifying a workspace's record finds.
func (s *store) verify(w id.Workspace) activity.Verdict {
	st := s.look()
	v := activity.NewVerifier(w)
	var unsealed int64
	rows := slices.DeleteFunc(st.rows, func(r activity.Row) bool { return r.Workspace != w })
	slices.SortFunc(rows, func(a, b activity.Row) int { return cmp.Compare(a.Index, b.Index) })
	for _, r := range rows {
		if r.Index == 0 {
			unsealed++
			continue
		}
		v.Add(r)
	}
	return v.Done(st.heads[w], unsealed)
}

func wantSealed(t *testing.T, s *store, w id.Workspace, through, unsealed int64) {
	t.Helper()
	v := s.verify(w)
	counted := s.look().counted[w]
	if v.Through != through || v.Unsealed != unsealed || len(v.Damages) > 0 || int64(counted) != through {
		t.Errorf("record of %s: want sealed through %d and as many counted, %d unsealed, no damage, got %+v, %d counted", w, through, unsealed, v, counted)
	}
}

// work is one transaction: whoever has it holds the store's lock.
type work struct {
	store *store
	state *state
}

func (w *work) InsertActivity(_ context.Context, row activity.Row) error {
	w.state.rows = append(w.state.rows, row)
	return nil
}

func (w *work) UnsealedWorkspaces(_ context.Context, after id.Workspace, limit int) ([]id.Workspace, error) {
	found := map[id.Workspace]bool{}
	for _, r := range w.state.rows {
		if r.Index == 0 && r.Workspace > after {
			found[r.Workspace] = true
		}
	}
	all := slices.Sorted(maps.Keys(found))
	return all[:min(limit, len(all))], nil
}

func (w *work) ActivityHead(_ context.Context, ws id.Workspace) (activity.Head, error) {
	return w.state.heads[ws], nil
}

func (w *work) UnsealedActivities(_ context.Context, ws id.Workspace, limit int) ([]activity.Row, error) {
	if w.store.seen != nil {
		w.store.seen(ws)
	}
	var out []activity.Row
	for _, r := range w.state.rows {
		if r.Workspace == ws && r.Index == 0 && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, nil
}

func (w *work) SealActivity(_ context.Context, row activity.Row) error {
	for i := range w.state.rows {
		if w.state.rows[i].ID == row.ID {
			w.state.rows[i] = row
			return nil
		}
	}
	return fmt.Errorf("no row %s", row.ID)
}

func (w *work) CountSealed(_ context.Context, ws id.Workspace, sealed []activity.Row) error {
	w.state.counted[ws] += len(sealed)
	return nil
}

func (w *work) MoveActivityHead(_ context.Context, ws id.Workspace, from, to activity.Head) (bool, error) {
	if ws == w.store.failing {
		return false, errors.New("the disk is full")
	}
	if at := w.state.heads[ws]; at.Index != from.Index || !bytes.Equal(at.Hash, from.Hash) {
		return false, nil
	}
	w.state.heads[ws] = to
	return true, nil
}

func (w *work) TakeLease(_ context.Context, name, holder string, now, until time.Time) (bool, error) {
	if name != "sequencer" {
		return false, fmt.Errorf("unknown lease %s", name)
	}
	if w.state.holder != holder && now.Before(w.state.until) {
		return false, nil
	}
	w.state.holder, w.state.until = holder, until
	return true, nil
}

func (w *work) TakeOverdueRefusals(_ context.Context, now time.Time, window time.Duration, limit int) ([]activity.OverdueRefusal, error) {
	var taken, left []activity.OverdueRefusal
	for _, r := range w.state.refusals {
		if !now.Before(r.Since.Add(window)) && len(taken) < limit {
			taken = append(taken, r)
		} else {
			left = append(left, r)
		}
	}
	w.state.refusals = left
	return taken, nil
}

// run runs a sequencer in the bubble of a test and returns what ends it and waits.
func run(t *testing.T, s *store, holder string, log *slog.Logger) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	q := New(Config{Store: s, Clock: clock.System{}, Holder: holder, Log: log})
	go func() {
		defer close(stopped)
		q.Run(ctx)
	}()
	end = func() {
		cancel()
		<-stopped
	}
	t.Cleanup(end)
	synctest.Wait()
	return end
}

// pass lets the bubble's time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestRun_sealsEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.act(t, "ws_a", 3)
		run(t, s, "one", nil)
		wantSealed(t, s, "ws_a", 3, 0)
		s.act(t, "ws_a", 2)
		s.act(t, "ws_b", 1)
		wantSealed(t, s, "ws_a", 3, 2)
		pass(time.Second)
		wantSealed(t, s, "ws_a", 5, 0)
		wantSealed(t, s, "ws_b", 1, 0)
	})
}

func TestRun_sealsABacklogAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.act(t, "ws_a", 2*activity.SealBatch+1)
		for i := range 2*workspacesPage + 1 {
			s.act(t, id.Workspace(fmt.Sprintf("ws_b%03d", i)), 1)
		}
		run(t, s, "one", nil)
		wantSealed(t, s, "ws_a", 2*activity.SealBatch+1, 0)
		for _, r := range s.look().rows {
			if r.Index == 0 {
				t.Fatalf("row of %s: want it sealed, got it unsealed", r.Workspace)
			}
		}
	})
}

func TestRun_oneOfTwoSeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var holders []string
		s.seen = func(id.Workspace) { holders = append(holders, s.state.holder) } // called with mu held
		endOne := run(t, s, "one", nil)
		run(t, s, "two", nil)
		for range 20 {
			s.act(t, "ws_a", 1)
			pass(time.Second)
		}
		wantSealed(t, s, "ws_a", 20, 0)
		s.change(func(*state) {
			if i := slices.Index(holders, "two"); i >= 0 {
				t.Errorf("sealing number %d: want by one, who holds the lease, got by two", i)
			}
		})
		endOne() // gives the lease back
		s.act(t, "ws_a", 1)
		pass(time.Second)
		wantSealed(t, s, "ws_a", 21, 0)
		if st := s.look(); st.holder != "two" {
			t.Errorf("holder after one has ended: want two, got %s", st.holder)
		}
	})
}

func TestRun_takesTheLeaseOfAKilledServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.state.holder, s.state.until = "killed", clock.System{}.Now().Add(leaseTime)
		s.act(t, "ws_a", 1)
		run(t, s, "one", nil)
		pass(leaseTime - time.Second)
		wantSealed(t, s, "ws_a", 0, 1)
		pass(time.Second)
		wantSealed(t, s, "ws_a", 1, 0)
	})
}

func TestRun_stopsWhenTheLeaseIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		run(t, s, "one", nil)
		// As after a long pause: by the clock the lease was over, and two took it.
		s.change(func(st *state) { st.holder, st.until = "two", clock.System{}.Now().Add(time.Minute) })
		pass(leaseTime)
		s.act(t, "ws_a", 1)
		pass(10 * time.Second)
		wantSealed(t, s, "ws_a", 0, 1)
		pass(time.Minute)
		wantSealed(t, s, "ws_a", 1, 0)
	})
}

func TestRun_fencedWorkIsRolledBackAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var log bytes.Buffer
		s.act(t, "ws_a", 3)
		s.act(t, "ws_b", 1)
		// Once, the head is another after it was read; rolling back undoes that.
		s.seen = func(w id.Workspace) {
			if w == "ws_a" {
				s.seen = nil
				s.state.heads[w] = activity.Head{Index: 9, Hash: []byte("another")}
			}
		}
		run(t, s, "one", slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		wantSealed(t, s, "ws_a", 0, 3)
		wantSealed(t, s, "ws_b", 1, 0)
		pass(time.Second)
		wantSealed(t, s, "ws_a", 3, 0)
		if got := log.String(); !strings.Contains(got, "level=DEBUG") || strings.Contains(got, "level=ERROR") {
			t.Errorf("log: want the lost race at debug only, got %s", got)
		}
	})
}

func TestRun_oneFailingWorkspaceDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var log bytes.Buffer
		s.failing = "ws_a"
		s.act(t, "ws_a", 2)
		s.act(t, "ws_b", 2)
		run(t, s, "one", slog.New(slog.NewTextHandler(&log, nil)))
		wantSealed(t, s, "ws_a", 0, 2)
		wantSealed(t, s, "ws_b", 2, 0)
		if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "ws_a") {
			t.Errorf("log: want an error that names ws_a, got %s", got)
		}
		s.change(func(*state) { s.failing = "" })
		pass(time.Second)
		wantSealed(t, s, "ws_a", 2, 0)
	})
}

func TestRun_outlivesAStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.act(t, "ws_a", 1)
		s.meddle = func(*state) error { return errors.New("no connection") }
		run(t, s, "one", nil)
		pass(10 * time.Second)
		wantSealed(t, s, "ws_a", 0, 1)
		s.change(func(*state) { s.meddle = nil })
		pass(time.Second)
		wantSealed(t, s, "ws_a", 1, 0)
	})
}

func TestRun_writesCountedRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		now := clock.System{}.Now()
		refusal := func(caller string, count int) activity.OverdueRefusal {
			return activity.OverdueRefusal{
				Refusal: activity.Refusal{Workspace: "ws_a", Caller: caller, Action: "user.list", Reason: "missing_permission"}, Since: now, Count: count,
			}
		}
		s.state.refusals = []activity.OverdueRefusal{refusal("administrator user_1", 12), refusal("api_key key_1", 0)}
		run(t, s, "one", nil)
		pass(activity.RefusalWindow - time.Second)
		if st := s.look(); len(st.rows) != 0 || len(st.refusals) != 2 {
			t.Errorf("in the window: want no line and 2 windows, got %d and %d", len(st.rows), len(st.refusals))
		}
		pass(time.Second)
		st := s.look()
		if len(st.rows) != 1 || len(st.refusals) != 0 {
			t.Fatalf("after the window: want 1 line and no window, got %d and %d", len(st.rows), len(st.refusals))
		}
		if r := st.rows[0]; r.Count != 12 || r.Actor != (activity.Party{Type: "administrator", ID: "user_1"}) || r.Outcome != activity.Refused || r.At.Sub(now) != activity.RefusalWindow {
			t.Errorf("line: want 12 refusals of administrator user_1 after a window, got %+v", r.Event)
		}
		wantSealed(t, s, "ws_a", 1, 0)
	})
}

func TestRun_writesManyCountedRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		since := clock.System{}.Now().Add(-time.Hour)
		const n = 2*refusalsPage + 1
		for i := range n {
			s.state.refusals = append(s.state.refusals, activity.OverdueRefusal{
				Refusal: activity.Refusal{Workspace: "ws_a", Caller: fmt.Sprint("api_key key_", i), Action: "user.list", Reason: "missing_permission"}, Since: since, Count: 1,
			})
		}
		run(t, s, "one", nil)
		wantSealed(t, s, "ws_a", n, 0)
	})
}

func TestRun_writesLittleWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		run(t, s, "one", nil)
		before := s.writesSoFar()
		pass(60 * time.Second)
		// One look for refusals each second, and a renewal of the lease every third.
		if got := s.writesSoFar() - before; got > 80 {
			t.Errorf("writing transactions in an idle minute: want at most 80, got %d", got)
		}
	})
}

func (s *store) writesSoFar() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}
