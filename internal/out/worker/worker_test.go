package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// row is a message as the outbox of the tests keeps it.
type row struct {
	outbox.Message
	state  string // waiting, done, dead
	due    time.Time
	holder string
	until  time.Time
	reason string
}

// store is an outbox in memory.
type store struct {
	mu   sync.Mutex
	rows []*row // guarded by mu
	// fail, if set, is asked before each transaction. Guarded by mu.
	fail func() error
}

var _ tx.Runner[outbox.WorkTx] = (*store)(nil)

func (s *store) Write(ctx context.Context, fn tx.Func[outbox.WorkTx]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return err
		}
	}
	f, err := fn(ctx, work{s})
	if f != nil {
		return f
	}
	return err
}

func (s *store) Read(context.Context, func(context.Context, outbox.WorkTx) error) error {
	return errors.New("nothing is read")
}

// put adds a message that expires after the given time and returns its id.
func (s *store) put(expires time.Duration) id.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := clock.System{}.Now()
	r := &row{
		Message: outbox.Message{ID: id.New[id.KindJob](now), Workspace: "ws_1", Kind: "mail.x", CreatedAt: now, ExpiresAt: now.Add(expires)},
		state:   "waiting", due: now,
	}
	s.rows = append(s.rows, r)
	return r.ID
}

// find returns a copy of a row.
func (s *store) find(t *testing.T, m id.Job) row {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if r.ID == m {
			return *r
		}
	}
	t.Fatalf("the outbox has no message %s", m)
	return row{}
}

func (s *store) setFail(fail func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// work is one transaction: whoever has it holds the store's lock.
type work struct{ s *store }

func (w work) LeaseOutboxMessages(_ context.Context, holder string, now, until time.Time, limit int) ([]outbox.Message, error) {
	var out []outbox.Message
	for _, r := range w.s.rows {
		if r.state != "waiting" || now.Before(r.due) || now.Before(r.until) || len(out) == limit {
			continue
		}
		r.Attempts++
		r.holder, r.until = holder, until
		out = append(out, r.Message)
	}
	return out, nil
}

func (w work) FinishOutboxMessage(_ context.Context, m id.Job, holder string, _ time.Time) (bool, error) {
	return w.change(m, holder, func(r *row) { r.state = "done" })
}

func (w work) PostponeOutboxMessage(_ context.Context, m id.Job, holder string, due time.Time, reason string) (bool, error) {
	return w.change(m, holder, func(r *row) { r.due, r.reason = due, reason })
}

func (w work) GiveUpOutboxMessage(_ context.Context, m id.Job, holder string, _ time.Time, reason string) (bool, error) {
	return w.change(m, holder, func(r *row) { r.state, r.reason = "dead", reason })
}

func (w work) change(m id.Job, holder string, fn func(*row)) (bool, error) {
	for _, r := range w.s.rows {
		if r.ID == m && r.state == "waiting" && r.holder == holder {
			r.holder, r.until = "", time.Time{}
			fn(r)
			return true, nil
		}
	}
	return false, nil
}

// carrier is a Deliverer that notes what it is given and answers by deliver.
type carrier struct {
	deliver func(ctx context.Context, m outbox.Message) error

	mu    sync.Mutex
	begun []time.Duration // since start; guarded by mu
	now   int             // travelling at this moment; guarded by mu
	most  int             // travelling at once; guarded by mu
	start clock.Stopwatch
}

func newCarrier(deliver func(ctx context.Context, m outbox.Message) error) *carrier {
	return &carrier{deliver: deliver, start: clock.StartStopwatch()}
}

func (c *carrier) Deliver(ctx context.Context, m outbox.Message) error {
	c.mu.Lock()
	c.begun = append(c.begun, c.start.Elapsed())
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	}()
	return c.deliver(ctx, m)
}

func (c *carrier) tries() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Duration(nil), c.begun...)
}

func arrives(context.Context, outbox.Message) error { return nil }

// takes returns a delivery that lasts d, or until its context ends.
func takes(d time.Duration) func(context.Context, outbox.Message) error {
	return func(ctx context.Context, _ outbox.Message) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
}

type permanentError struct{}

func (permanentError) Error() string   { return "550 no such person" }
func (permanentError) Permanent() bool { return true }

// running is a worker that runs in the bubble of a test.
type running struct {
	*Worker
	stop    context.CancelFunc
	stopped chan struct{}
}

func run(t *testing.T, c Config) running {
	t.Helper()
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Holder == "" {
		c.Holder = "one"
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := running{Worker: New(c), stop: cancel, stopped: make(chan struct{})}
	go func() {
		defer close(r.stopped)
		r.Run(ctx)
	}()
	t.Cleanup(r.end)
	synctest.Wait()
	return r
}

// end stops the worker and waits until it has returned.
func (r running) end() {
	r.stop()
	<-r.stopped
}

// pass lets the bubble's time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func wantState(t *testing.T, s *store, m id.Job, state string, attempts int) row {
	t.Helper()
	r := s.find(t, m)
	if r.state != state || r.Attempts != attempts {
		t.Errorf("message: want %s after %d attempt(s), got %s after %d (%s)", state, attempts, r.state, r.Attempts, r.reason)
	}
	return r
}

func wantTries(t *testing.T, c *carrier, want ...time.Duration) {
	t.Helper()
	if diff := cmp.Diff(want, c.tries()); diff != "" {
		t.Errorf("deliveries begun (-want +got):\n%s", diff)
	}
}

func TestRun_deliversOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &store{}, newCarrier(arrives)
		m := s.put(time.Hour)
		run(t, Config{Store: s, Deliver: c})
		pass(10 * time.Minute)
		wantState(t, s, m, "done", 1)
		wantTries(t, c, 0)
	})
}

func TestRun_looksEachSecondAndWhenWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &store{}, newCarrier(arrives)
		w := run(t, Config{Store: s, Deliver: c})
		pass(300 * time.Millisecond)
		s.put(time.Hour)
		pass(time.Second)
		s.put(time.Hour)
		w.Wake()
		w.Wake()
		synctest.Wait()
		wantTries(t, c, time.Second, 1300*time.Millisecond)
	})
}

func TestRun_triesAgainWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		c := newCarrier(func(_ context.Context, m outbox.Message) error {
			if m.Attempts < 4 {
				return fmt.Errorf("try %d:\r\n the server is\x00 busy", m.Attempts)
			}
			return nil
		})
		m := s.put(time.Hour)
		run(t, Config{Store: s, Deliver: c})
		if r := wantState(t, s, m, "waiting", 1); r.reason != "try 1: the server is busy" || r.holder != "" {
			t.Errorf("postponed message: want its reason on one line and no holder, got %q, holder %q", r.reason, r.holder)
		}
		pass(10 * time.Minute)
		wantState(t, s, m, "done", 4)
		wantTries(t, c, 0, 10*time.Second, 30*time.Second, 70*time.Second)
	})
}

func TestRun_givesUpWhatCannotArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		c := newCarrier(func(context.Context, outbox.Message) error { return fmt.Errorf("sending: %w", permanentError{}) })
		m := s.put(time.Hour)
		run(t, Config{Store: s, Deliver: c})
		pass(10 * time.Minute)
		if r := wantState(t, s, m, "dead", 1); r.reason != "sending: 550 no such person" {
			t.Errorf("reason: want that of the delivery, got %q", r.reason)
		}
		wantTries(t, c, 0)
	})
}

func TestRun_givesUpWhatExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		c := newCarrier(func(context.Context, outbox.Message) error { return errors.New("busy") })
		late := s.put(0)           // at the very moment of its end
		soon := s.put(time.Minute) // tries at 0, 10 and 30 s; the next would be at 70 s
		run(t, Config{Store: s, Deliver: c})
		if r := wantState(t, s, late, "dead", 1); !strings.Contains(r.reason, "expired") {
			t.Errorf("reason of an expired message: want that it expired, got %q", r.reason)
		}
		pass(10 * time.Minute)
		if r := wantState(t, s, soon, "dead", 3); r.reason != "busy" {
			t.Errorf("reason of a message whose time is over: want the last failure, got %q", r.reason)
		}
		wantTries(t, c, 0, 10*time.Second, 30*time.Second)
	})
}

func TestRun_boundsWhatTravelsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &store{}, newCarrier(takes(100*time.Millisecond))
		for range 20 {
			s.put(time.Hour)
		}
		run(t, Config{Store: s, Deliver: c})
		leased := 0
		s.mu.Lock()
		for _, r := range s.rows {
			if r.holder != "" {
				leased++
			}
		}
		s.mu.Unlock()
		if leased != parallel {
			t.Errorf("messages leased while %d travel: want %d, got %d", parallel, parallel, leased)
		}
		pass(450 * time.Millisecond) // without waiting for a tick
		if got := len(c.tries()); got != 20 {
			t.Errorf("deliveries begun after 450 ms: want 20, got %d", got)
		}
		pass(time.Second)
		if c.most != parallel {
			t.Errorf("travelling at once: want at most %d, got %d", parallel, c.most)
		}
	})
}

func TestRun_slowDeliveryDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		slow := s.put(time.Hour)
		c := newCarrier(func(ctx context.Context, m outbox.Message) error {
			if m.ID == slow {
				return takes(30*time.Second)(ctx, m)
			}
			return nil
		})
		w := run(t, Config{Store: s, Deliver: c})
		quick := s.put(time.Hour)
		w.Wake()
		synctest.Wait()
		wantState(t, s, quick, "done", 1)
		wantState(t, s, slow, "waiting", 1)
		pass(30 * time.Second)
		wantState(t, s, slow, "done", 1)
	})
}

func TestRun_cutsADeliveryBeforeItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &store{}, newCarrier(takes(time.Hour))
		m := s.put(time.Hour)
		run(t, Config{Store: s, Deliver: c, Lease: 40 * time.Second})
		pass(29 * time.Second)
		if r := wantState(t, s, m, "waiting", 1); r.holder != "one" {
			t.Errorf("holder while it travels: want one, got %q", r.holder)
		}
		pass(2 * time.Second)
		if r := wantState(t, s, m, "waiting", 1); r.holder != "" || !strings.Contains(r.reason, "deadline") {
			t.Errorf("message after three quarters of the lease: want it postponed, got holder %q, reason %q", r.holder, r.reason)
		}
	})
}

func TestRun_neverTwoHoldersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		var mu sync.Mutex
		travelling := map[id.Job]int{}
		c := newCarrier(func(ctx context.Context, m outbox.Message) error {
			mu.Lock()
			if travelling[m.ID]++; travelling[m.ID] > 1 {
				t.Errorf("%s travels %d times at once", m.ID, travelling[m.ID])
			}
			mu.Unlock()
			defer func() {
				mu.Lock()
				travelling[m.ID]--
				mu.Unlock()
			}()
			if m.Attempts == 1 {
				return takes(time.Hour)(ctx, m) // hangs until it is cut
			}
			return takes(time.Second)(ctx, m)
		})
		var all []id.Job
		for range 12 {
			all = append(all, s.put(24*time.Hour))
		}
		for i := range 3 {
			run(t, Config{Store: s, Deliver: c, Holder: fmt.Sprint("holder ", i)})
		}
		pass(time.Hour)
		for _, m := range all {
			wantState(t, s, m, "done", 2)
		}
	})
}

func TestRun_movedClockSendsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &store{}, newCarrier(takes(20*time.Second))
		shifted := &clock.Shifted{}
		m := s.put(100 * time.Hour)
		run(t, Config{Store: s, Deliver: c, Clock: shifted})
		shifted.Advance(time.Hour) // by the clock the lease is over
		pass(time.Minute)
		wantTries(t, c, 0)
		if r := s.find(t, m); r.state != "done" {
			t.Errorf("message: want done, got %s (%s)", r.state, r.reason)
		}
	})
}

func TestRun_endingLetsDeliveriesArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &store{}, newCarrier(takes(5*time.Second))
		var first []id.Job
		for range parallel {
			first = append(first, s.put(time.Hour))
		}
		next := s.put(time.Hour)
		w := run(t, Config{Store: s, Deliver: c})
		watch := clock.StartStopwatch()
		w.end()
		if got := watch.Elapsed(); got != 5*time.Second {
			t.Errorf("Run() returned after: want 5s, got %v", got)
		}
		for _, m := range first {
			wantState(t, s, m, "done", 1)
		}
		wantState(t, s, next, "waiting", 0)

		// A clean restart sends nothing twice.
		again := newCarrier(arrives)
		run(t, Config{Store: s, Deliver: again, Holder: "two"})
		pass(time.Hour)
		wantTries(t, again, 0)
		wantState(t, s, next, "done", 1)
	})
}

func TestRun_endingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &store{}, newCarrier(takes(time.Hour))
		m := s.put(time.Hour)
		w := run(t, Config{Store: s, Deliver: c})
		watch := clock.StartStopwatch()
		w.end()
		if got := watch.Elapsed(); got != grace {
			t.Errorf("Run() returned after: want %v, got %v", grace, got)
		}
		if r := wantState(t, s, m, "waiting", 1); r.holder != "" {
			t.Errorf("holder of a message that was cut: want none, got %q", r.holder)
		}
	})
}

func TestRun_killedHolderKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		m := s.put(time.Hour)
		now := clock.System{}.Now()
		if _, err := (work{s}).LeaseOutboxMessages(t.Context(), "killed", now, now.Add(time.Minute), 1); err != nil {
			t.Fatal(err)
		}
		c := newCarrier(arrives)
		run(t, Config{Store: s, Deliver: c, Holder: "killed"})
		pass(59 * time.Second)
		wantTries(t, c)
		pass(2 * time.Second)
		wantTries(t, c, time.Minute)
		wantState(t, s, m, "done", 2)
	})
}

func TestRun_lostLeaseIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		var log bytes.Buffer
		c := newCarrier(takes(5 * time.Second))
		m := s.put(time.Hour)
		run(t, Config{Store: s, Deliver: c, Log: slog.New(slog.NewTextHandler(&log, nil))})
		s.mu.Lock()
		s.rows[0].holder, s.rows[0].until = "two", clock.System{}.Now().Add(time.Hour)
		s.mu.Unlock()
		pass(10 * time.Second)
		if r := wantState(t, s, m, "waiting", 1); r.holder != "two" {
			t.Errorf("holder: want two, got %q", r.holder)
		}
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), string(m)) {
			t.Errorf("log: want a warning that names %s, got %s", m, &log)
		}
		other := s.put(time.Hour)
		pass(10 * time.Second)
		wantState(t, s, other, "done", 1)
	})
}

func TestRun_outlivesAStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &store{}, newCarrier(takes(500*time.Millisecond))
		var log bytes.Buffer
		down := errors.New("the disk is full")
		s.setFail(func() error { return down })
		m := s.put(time.Hour)
		run(t, Config{Store: s, Deliver: c, Log: slog.New(slog.NewTextHandler(&log, nil))})
		pass(3500 * time.Millisecond)
		wantTries(t, c)
		s.setFail(nil)
		pass(600 * time.Millisecond) // it travels
		s.setFail(func() error { return down })
		pass(4 * time.Second) // it has arrived, and that cannot be written
		s.setFail(nil)
		pass(10 * time.Minute)
		wantState(t, s, m, "done", 1)
		wantTries(t, c, 4*time.Second)
		if !strings.Contains(log.String(), "the disk is full") {
			t.Errorf("log: want the store's error, got %s", &log)
		}
	})
}

func TestRun_withoutDeliverLeavesMessagesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		m := s.put(time.Hour)
		w := run(t, Config{Store: s})
		w.Wake()
		pass(time.Minute)
		wantState(t, s, m, "waiting", 0)
		w.end()
	})
}

func TestClean_bounds(t *testing.T) {
	got := clean(strings.Repeat("ü", 400) + "\n")
	if len(got) > maxReason+len("…") || !strings.HasSuffix(got, "ü…") {
		t.Errorf("clean() of 800 bytes: want at most %d, cut at a rune, got %d: %s", maxReason, len(got), got)
	}
	if got := clean("a\xff\tb"); got != "a\ufffd b" {
		t.Errorf("clean(): want %q, got %q", "a\ufffd b", got)
	}
}
