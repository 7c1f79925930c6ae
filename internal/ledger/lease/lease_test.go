package lease_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/lease"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// world is one database, the servers on it, and the time that passes for them all:
// only when somebody pauses, or a test says so.
type world struct {
	storetest.Database
	now    time.Duration
	nodes  []*node
	paused int // how often somebody paused
	// meanwhile runs while somebody pauses, and may be nil.
	meanwhile func()
	plant     plant
}

// plant is a mistake that is made on purpose: a rule of the package that is broken.
type plant struct {
	lateStart    bool // the lease counts from after what was withdrawn was read
	hasty        bool // Settle waits half a second less than a lease lasts
	beatsIgnored bool // who was seen long ago is removed, however it beats
}

// node is a server: what it keeps in memory, and its lease.
type node struct {
	w      *world
	name   string
	holder *lease.Holder
	kept   map[string]bool
	epoch  int // counts what was forgotten
	all    int // counts how often that was everything
	broken error
	// hook runs between two of its transactions, and may be nil.
	hook func()
	busy bool
	late *watch // see plant.lateStart
	// endless counts questions to the database that may wait for ever.
	endless int
}

func newWorld(t testing.TB, names ...string) *world {
	t.Helper()
	w := &world{Database: storetest.SQLite(t)}
	w.settle(t, names...)
	return w
}

// settle replaces the servers by new ones.
func (w *world) settle(t testing.TB, names ...string) {
	t.Helper()
	w.nodes = nil
	for _, name := range names {
		n := &node{w: w, name: name, kept: map[string]bool{}}
		n.holder = lease.New(lease.Config{
			Store: nodeStore{n}, Replica: name, Forget: n.forget,
			Start: func() lease.Watch { return w.start(n) }, Pause: w.pause, Signal: func(context.Context) error { return nil },
		})
		w.nodes = append(w.nodes, n)
	}
}

func (w *world) pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.paused++
	w.now += d
	if w.meanwhile != nil {
		w.meanwhile()
	}
	return ctx.Err()
}

// watch runs with the world's time.
type watch struct {
	w     *world
	begin *time.Duration // nil: it was not begun yet (see plant.lateStart)
}

func (w *world) start(n *node) lease.Watch {
	out := &watch{w: w}
	if w.plant.lateStart && n.busy {
		n.late = out
		return out
	}
	begin := w.now
	out.begin = &begin
	return out
}

// run begins the watch if it was not begun yet.
func (w *watch) run() {
	if w.begin == nil {
		begin := w.w.now
		w.begin = &begin
	}
}

func (w *watch) Elapsed() time.Duration {
	w.run()
	passed := w.w.now - *w.begin
	if w.w.plant.hasty {
		passed += lease.Margin + 500*time.Millisecond
	}
	return passed
}

func (w *watch) Within(d time.Duration) bool {
	w.run()
	return w.w.now-*w.begin < d
}

func (n *node) forget(everything bool, subjects []string) {
	n.epoch++
	if everything {
		n.all++
		clear(n.kept)
	}
	for _, s := range subjects {
		delete(n.kept, s)
	}
}

// accepts says whether the server answers yes for the subject from memory.
func (n *node) accepts(subject string) bool { return n.kept[subject] && n.holder.Live() }

// nodeStore is a server's way to the database: it may be cut, and the server may be
// frozen between two transactions.
type nodeStore struct{ n *node }

func (s nodeStore) between() error {
	if s.n.hook != nil {
		s.n.hook()
	}
	return s.n.broken
}

func (s nodeStore) Write(ctx context.Context, fn tx.Func[lease.ReplicaTx]) error {
	if err := s.between(); err != nil {
		return err
	}
	err := store.For[lease.ReplicaTx](s.n.w.Store).Write(ctx, func(ctx context.Context, t lease.ReplicaTx) (*fault.Error, error) {
		return fn(ctx, s.planted(t))
	})
	return errors.Join(err, s.between())
}

func (s nodeStore) Read(ctx context.Context, fn func(ctx context.Context, t lease.ReplicaTx) error) error {
	if _, ends := ctx.Deadline(); !ends {
		s.n.endless++
	}
	if err := s.between(); err != nil {
		return err
	}
	err := store.For[lease.ReplicaTx](s.n.w.Store).Read(ctx, func(ctx context.Context, t lease.ReplicaTx) error { return fn(ctx, s.planted(t)) })
	err = errors.Join(err, s.between())
	if s.n.late != nil {
		s.n.late.run()
		s.n.late = nil
	}
	return err
}

func (s nodeStore) planted(t lease.ReplicaTx) lease.ReplicaTx {
	if s.n.w.plant.beatsIgnored {
		return beatless{t}
	}
	return t
}

// beatless shows no beat and removes whatever the beat is.
type beatless struct{ lease.ReplicaTx }

func (b beatless) ListReplicas(ctx context.Context) ([]lease.Replica, error) {
	list, err := b.ReplicaTx.ListReplicas(ctx)
	for i := range list {
		list[i].Beat = 0
	}
	return list, err
}

func (b beatless) DeleteReplica(ctx context.Context, replica string, _ int64) (bool, error) {
	list, err := b.ReplicaTx.ListReplicas(ctx)
	for _, r := range list {
		if r.ID == replica {
			return b.ReplicaTx.DeleteReplica(ctx, replica, r.Beat)
		}
	}
	return false, err
}

// withdraw writes subjects, as an act does, and waits for nobody.
func (w *world) withdraw(t testing.TB, subjects ...string) {
	t.Helper()
	err := store.For[lease.Tx](w.Store).Write(t.Context(), func(ctx context.Context, t lease.Tx) (*fault.Error, error) {
		return nil, t.Withdraw(ctx, subjects...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) renew(t testing.TB) {
	t.Helper()
	n.busy = true
	defer func() { n.busy = false }()
	if err := n.holder.Renew(t.Context()); err != nil {
		t.Fatalf("Renew() of %s = %v, want nil", n.name, err)
	}
}

// settled runs Settle on a server and returns how long it took.
func (n *node) settled(t testing.TB) time.Duration {
	t.Helper()
	before := n.w.now
	if err := n.holder.Settle(t.Context()); err != nil {
		t.Fatalf("Settle() on %s = %v, want nil", n.name, err)
	}
	return n.w.now - before
}

// replicas are the names of the servers for which others wait.
func (w *world) replicas(t testing.TB) string {
	t.Helper()
	var names []string
	storetest.Read(t, w.Store, func(ctx context.Context, tx *store.Tx) error {
		list, err := tx.ListReplicas(ctx)
		for _, r := range list {
			names = append(names, r.ID)
		}
		return err
	})
	return strings.Join(names, " ")
}

// two are servers with a lease, both of which keep a subject that is to be withdrawn.
func two(t testing.TB) (w *world, a, b *node) {
	t.Helper()
	w = newWorld(t, "a", "b")
	a, b = w.nodes[0], w.nodes[1]
	for _, n := range w.nodes {
		n.renew(t)
		n.kept["token/x"], n.kept["token/y"] = true, true
	}
	if !a.accepts("token/x") || !b.accepts("token/x") {
		t.Fatal("a server with a lease answers nothing from memory")
	}
	return w, a, b
}

func TestSettle_othersHaveSeen(t *testing.T) {
	w, a, b := two(t)
	w.withdraw(t, "token/x")
	b.renew(t)
	if took := a.settled(t); took != 0 || w.paused != 0 {
		t.Errorf("Settle() paused %d times, %v in all, want not at all: the other has seen it", w.paused, took)
	}
	for _, n := range w.nodes {
		if n.accepts("token/x") || !n.accepts("token/y") {
			t.Errorf("%s keeps %v, want the other subject alone", n.name, slices.Collect(maps.Keys(n.kept)))
		}
	}
}

// Who looks at once is waited for no longer than that takes.
func TestSettle_waitsForALook(t *testing.T) {
	w, a, b := two(t)
	w.withdraw(t, "token/x")
	w.meanwhile = func() {
		if w.paused == 3 {
			b.renew(t)
		}
	}
	if took := a.settled(t); took > 20*time.Millisecond || w.paused != 3 || b.accepts("token/x") {
		t.Errorf("Settle() took %v in %d pauses and %s answers yes: %v; want it over with the other's look", took, w.paused, b.name, b.accepts("token/x"))
	}
}

func TestSettle_signals(t *testing.T) {
	w := newWorld(t, "a", "b")
	a, b := w.nodes[0], w.nodes[1]
	signalled := lease.New(lease.Config{
		Store: nodeStore{a}, Replica: "a", Forget: a.forget, Start: func() lease.Watch { return w.start(a) }, Pause: w.pause,
		Signal: func(context.Context) error {
			b.renew(t)
			return errors.New("it may be lost")
		},
	})
	a.holder = signalled
	a.renew(t)
	b.renew(t)
	w.withdraw(t, "token/x")
	if took := a.settled(t); took != 0 {
		t.Errorf("Settle() took %v with a signal that is heard, want no time", took)
	}
}

// Who shows nothing is waited for as long as its lease can last, and no longer.
func TestSettle_waitsForASilentOne(t *testing.T) {
	w, a, b := two(t)
	w.withdraw(t, "token/x")
	w.meanwhile = func() {
		if left := lease.Time + lease.Margin - w.now; left > lease.Margin && !b.accepts("token/x") {
			t.Errorf("%v before the end of the wait the silent one's lease is over already", left)
		}
	}
	if took := a.settled(t); took != lease.Time+lease.Margin {
		t.Errorf("Settle() took %v, want %v", took, lease.Time+lease.Margin)
	}
	if b.accepts("token/x") || b.holder.Live() {
		t.Error("the silent one has a lease after Settle() returned")
	}
	b.renew(t)
	if b.accepts("token/x") || !b.accepts("token/y") {
		t.Errorf("after it came back it keeps %v, want what was not withdrawn", slices.Collect(maps.Keys(b.kept)))
	}
}

// A server that is frozen in the midst of a renewal has no lease when it goes on.
func TestRenew_frozen(t *testing.T) {
	for step := range 6 { // before and after each of its transactions
		w, a, b := two(t)
		at := 0
		b.hook = func() {
			if at++; at-1 != step {
				return
			}
			w.withdraw(t, "token/x")
			if took := a.settled(t); step < 3 && took != lease.Time+lease.Margin {
				t.Errorf("frozen at step %d: Settle() took %v, want %v", step, took, lease.Time+lease.Margin)
			}
			if b.accepts("token/x") {
				t.Errorf("frozen at step %d it answers yes after Settle() returned", step)
			}
		}
		b.renew(t)
		if b.accepts("token/x") {
			t.Errorf("frozen at step %d it answers yes when it goes on", step)
		}
		if at <= step {
			t.Errorf("a renewal has %d steps, want more than %d", at, step)
		}
		b.hook = nil
		b.renew(t)
		if !b.holder.Live() || b.kept["token/x"] {
			t.Errorf("frozen at step %d: after its next renewal live %v, keeps %v", step, b.holder.Live(), b.kept["token/x"])
		}
	}
}

// Who is gone too long is waited for no more; when it is back, it begins anew.
func TestRenew_reaped(t *testing.T) {
	w, a, b := two(t)
	a.renew(t) // sees the other's beat
	w.now += 3 * time.Second
	a.renew(t)
	if got := w.replicas(t); got != "a b" {
		t.Errorf("after three seconds the servers are %q, want both", got)
	}
	w.now++
	a.renew(t)
	if got := w.replicas(t); got != "a" {
		t.Errorf("after more than three seconds the servers are %q, want the silent one gone", got)
	}
	w.withdraw(t, "token/x")
	if took := a.settled(t); took != 0 {
		t.Errorf("Settle() took %v, want no time: nobody else is there", took)
	}
	all := b.all
	b.renew(t)
	if b.holder.Live() {
		t.Error("the one that was taken for gone has a lease at once")
	}
	b.renew(t)
	if b.all != all+1 || len(b.kept) != 0 || !b.holder.Live() || w.replicas(t) != "a b" {
		t.Errorf("the one that came back forgot everything %d times, keeps %v, live %v", b.all-all, b.kept, b.holder.Live())
	}
}

// Who beats is not taken for gone, however long ago it was seen first.
func TestRenew_beatsKeepAlive(t *testing.T) {
	w, a, b := two(t)
	for range 10 {
		w.now += time.Second
		b.renew(t)
		a.renew(t)
		if got := w.replicas(t); got != "a b" {
			t.Fatalf("the servers are %q after %v, want both", got, w.now)
		}
	}
}

// Who is further behind than withdrawals are kept forgets everything.
func TestRenew_gap(t *testing.T) {
	w, _, b := two(t)
	all := b.all
	subjects := make([]string, lease.Keep)
	for i := range subjects {
		subjects[i] = fmt.Sprint("token/", i)
	}
	w.withdraw(t, "token/x")
	w.withdraw(t, subjects...) // token/x is not kept any more
	b.renew(t)
	if b.all == all || b.kept["token/x"] || !b.holder.Live() {
		t.Errorf("after a gap it forgot everything %d times and keeps %v, want once and nothing", b.all-all, slices.Collect(maps.Keys(b.kept)))
	}
	all = b.all
	w.withdraw(t, subjects[1:]...) // as many as are kept: no gap
	b.renew(t)
	if b.all != all {
		t.Error("without a gap everything was forgotten")
	}
}

// A database that was put back to an earlier state knows less than was seen.
func TestRenew_databasePutBack(t *testing.T) {
	w, a, _ := two(t)
	w.withdraw(t, "token/y", "token/z")
	a.renew(t)
	all := a.all
	storetest.Exec(t, w.Database, `DELETE FROM revocation WHERE n > 1`)
	storetest.Exec(t, w.Database, `UPDATE revocation_head SET n = 1`)
	a.renew(t)
	if a.all != all+1 || a.kept["token/x"] {
		t.Errorf("after the database was put back everything was forgotten %d times, want once", a.all-all)
	}
	a.kept["token/x"] = true
	w.withdraw(t, "token/x") // number 2 for the second time
	a.renew(t)
	if a.kept["token/x"] {
		t.Error("what was withdrawn after the database was put back is kept")
	}
}

func TestLeave(t *testing.T) {
	w, a, b := two(t)
	if err := b.holder.Leave(t.Context()); err != nil || b.holder.Live() || w.replicas(t) != "a" {
		t.Errorf("Leave() = %v, live %v, the servers are %q; want it gone", err, b.holder.Live(), w.replicas(t))
	}
	w.withdraw(t, "token/x")
	if took := a.settled(t); took != 0 {
		t.Errorf("Settle() took %v after the other left, want no time", took)
	}
	if err := b.holder.Leave(t.Context()); err != nil {
		t.Errorf("Leave() = %v the second time, want nil", err)
	}
	b.renew(t)
	if !b.holder.Live() || len(b.kept) != 0 {
		t.Errorf("who comes back keeps %v, want nothing", b.kept)
	}
	if err := newWorld(t, "never joined").nodes[0].holder.Leave(t.Context()); err != nil {
		t.Errorf("Leave() = %v of who never joined, want nil", err)
	}
}

func TestRenew_failingStore(t *testing.T) {
	w, _, b := two(t)
	cause := errors.New("the network is down")
	b.broken = cause
	for range 3 {
		if err := b.holder.Renew(t.Context()); !errors.Is(err, cause) {
			t.Errorf("Renew() = %v without a database, want its error", err)
		}
		w.now += lease.Time / 4
	}
	if !b.accepts("token/x") {
		t.Error("a lease ends with the first renewal that fails, want it to run out")
	}
	w.now += lease.Time / 4
	if b.holder.Live() {
		t.Error("a lease that was not renewed lasts longer than it may")
	}
	b.broken = nil
	b.renew(t)
	if !b.accepts("token/x") {
		t.Error("after the database is back nothing is answered from memory")
	}
}

// Who cannot read what was withdrawn forgets everything, and waits as long as any
// lease lasts.
func TestSettle_failingStore(t *testing.T) {
	w, a, b := two(t)
	w.withdraw(t, "token/x")
	a.broken = errors.New("the network is down")
	if took := a.settled(t); took != lease.Time+lease.Margin {
		t.Errorf("Settle() took %v without a database, want %v", took, lease.Time+lease.Margin)
	}
	if a.holder.Live() || len(a.kept) != 0 {
		t.Errorf("without a database it keeps %v and is live: %v", a.kept, a.holder.Live())
	}
	if b.accepts("token/x") {
		t.Error("the other answers yes after Settle() returned")
	}
	a.broken = nil
	a.renew(t)
	if !a.holder.Live() {
		t.Error("with the database back there is no lease")
	}
}

// A connection that hangs holds nobody up: neither a question of Settle's own, nor a
// renewal that has begun before and does not end.
func TestSettle_hangingDatabase(t *testing.T) {
	w, a, b := two(t)
	hanging, release, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	var hangs atomic.Bool
	a.hook = func() {
		if hangs.CompareAndSwap(false, true) {
			close(hanging)
			<-release
		}
	}
	go func() { ended <- a.holder.Renew(context.WithoutCancel(t.Context())) }()
	<-hanging
	w.withdraw(t, "token/x")
	b.renew(t)
	a.endless = 0
	if took := a.settled(t); took > lease.Margin {
		t.Errorf("Settle() took %v while a renewal hangs and the other has seen it, want no more than %v", took, lease.Margin)
	}
	if len(a.kept) != 0 {
		t.Errorf("it keeps %v although it could not look, want nothing", slices.Collect(maps.Keys(a.kept)))
	}
	if a.endless != 0 {
		t.Errorf("Settle() asked %d times without an end, want never", a.endless)
	}
	a.hook = nil
	close(release)
	if err := <-ended; err != nil || a.accepts("token/x") {
		t.Errorf("the renewal ends with %v and accepts what was withdrawn: %v", err, a.accepts("token/x"))
	}
}

func TestSettle_cancelled(t *testing.T) {
	w, a, _ := two(t)
	w.withdraw(t, "token/x")
	ctx, cancel := context.WithCancel(t.Context())
	w.meanwhile = cancel
	if err := a.holder.Settle(ctx); !errors.Is(err, context.Canceled) || w.paused != 1 {
		t.Errorf("Settle() = %v after %d pauses with a cancelled context, want its error after one", err, w.paused)
	}
	if a.accepts("token/x") {
		t.Error("the server itself answers yes although it has looked")
	}
}

// The only server waits for nobody and has no row.
func TestHolder_alone(t *testing.T) {
	w := newWorld(t, "")
	n := w.nodes[0]
	if n.holder.Live() {
		t.Error("there is a lease before the first renewal")
	}
	if took := n.settled(t); took != 0 {
		t.Errorf("Settle() took %v before the first renewal, want no time", took)
	}
	n.renew(t)
	n.kept["token/x"] = true
	w.withdraw(t, "token/x")
	if took := n.settled(t); took != 0 || n.accepts("token/x") || !n.holder.Live() {
		t.Errorf("Settle() took %v; answers yes %v, live %v; want no time, no and live", took, n.accepts("token/x"), n.holder.Live())
	}
	if got := w.replicas(t); got != "" {
		t.Errorf("the servers are %q, want none", got)
	}
	w.now += lease.Time
	if n.holder.Live() {
		t.Error("the lease lasts longer than it may")
	}
	if err := n.holder.Leave(t.Context()); err != nil {
		t.Errorf("Leave() = %v, want nil", err)
	}
}

// A command that runs beside the servers waits for all of them.
func TestSettle_ofWhoNeverJoined(t *testing.T) {
	w := newWorld(t, "a", "command")
	a, command := w.nodes[0], w.nodes[1]
	a.renew(t)
	a.kept["token/x"] = true
	w.withdraw(t, "token/x")
	if took := command.settled(t); took != lease.Time+lease.Margin || a.accepts("token/x") {
		t.Errorf("Settle() took %v, the server answers yes: %v; want %v and no", took, a.accepts("token/x"), lease.Time+lease.Margin)
	}
	if got := w.replicas(t); got != "a" {
		t.Errorf("the servers are %q, want the one", got)
	}
}

func TestSubjects(t *testing.T) {
	if got := lease.Token("abc"); got != "token/abc" {
		t.Errorf("Token() = %q", got)
	}
	if got := lease.Workspace("ws_1"); got != "workspace/ws_1" {
		t.Errorf("Workspace() = %q", got)
	}
}
