// Package lease makes a yes that is kept in memory safe. Who withdraws something
// writes it, numbered, in the transaction of the act; every server that keeps
// answers in memory forgets them in that order, and renews a short lease only after
// it did. It decides how long a withdrawal is waited for; it refuses to know what
// is kept and where the waiting is done.
//
// The rule, and why it holds. A server answers from memory only within Time of a
// moment before it began to read what was withdrawn. So whatever it has not read is
// younger than that moment, and Settle, which starts after the commit, waits until
// the server says that it has read on, or until Time and Margin are over.
package lease

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
)

// Time is how long a lease is, counted from before its renewal was begun; Margin is
// what Settle waits on top of it, for clocks that do not run alike.
const (
	Time   = 2 * time.Second
	Margin = 250 * time.Millisecond
)

// Keep is how many withdrawals are kept for servers that have not read them. A
// server that is further behind forgets everything.
const Keep = 10_000

// Token is the subject of what depends on the API key token of that public id.
func Token(tokenID string) string { return "token/" + tokenID }

// Workspace is the subject of all that depends on the workspace.
func Workspace(w id.Workspace) string { return "workspace/" + string(w) }

// Tx is what an act needs that withdraws something.
type Tx interface {
	// Withdraw writes the subjects into the caller's transaction. The runner's Write
	// does not return before Settle has, whatever the outcome is. Call it after
	// all rows are locked that the act locks: withdrawals are one after the other.
	Withdraw(ctx context.Context, subjects ...string) error
	// AwaitWithdrawals makes the runner's Write wait for what others withdrew before,
	// for an answer that says that it is over.
	AwaitWithdrawals()
}

// Withdrawal is one subject with its number: numbers have no gaps, and a lower one
// was committed before.
type Withdrawal struct {
	N       int64
	Subject string
}

// Replica is a server that answers from memory.
type Replica struct {
	ID   string
	Beat int64 // counts renewals
	Seen int64 // the last withdrawal that it forgot
}

// ReplicaTx is the storage that a Holder needs.
type ReplicaTx interface {
	// LastWithdrawal returns the highest number, 0 if there is none.
	LastWithdrawal(ctx context.Context) (int64, error)
	// ListWithdrawals lists in order what was withdrawn after a number: at most limit.
	ListWithdrawals(ctx context.Context, after int64, limit int) ([]Withdrawal, error)
	InsertReplica(ctx context.Context, r Replica) error
	// BeatReplica counts a renewal and writes what was seen. It returns false if the
	// replica is not there any more.
	BeatReplica(ctx context.Context, replica string, seen int64) (bool, error)
	ListReplicas(ctx context.Context) ([]Replica, error)
	// DeleteReplica removes a replica if its beat is still the same.
	DeleteReplica(ctx context.Context, replica string, beat int64) (bool, error)
}

// Watch tells how much time has passed since it was started, on a clock that nobody
// sets.
type Watch interface {
	Elapsed() time.Duration
	// Within says whether less than d has passed; if in doubt, it says no.
	Within(d time.Duration) bool
}

// Config is what a Holder is made from.
type Config struct {
	Store tx.Runner[ReplicaTx]
	// Replica names this server among all that share the store; empty if it is the
	// only one: then nobody waits for it but itself.
	Replica string
	// Forget drops what depends on the subjects; all of it if everything is true.
	Forget func(everything bool, subjects []string)
	// Start returns a running watch.
	Start func() Watch
	// Pause waits, or returns the error of a context that ends before.
	Pause func(ctx context.Context, d time.Duration) error
	// Signal tells the other servers to look now. It may do nothing, and be lost.
	Signal func(ctx context.Context) error
}

// Holder is this server's part: it holds the lease, and settles withdrawals. It is
// safe for use by several goroutines. Use New.
type Holder struct {
	c     Config
	lease atomic.Pointer[Watch] // nil for none

	mu     sync.Mutex
	joined bool              // guarded by mu: the first renewal was begun
	seen   int64             // guarded by mu
	others map[string]beaten // guarded by mu
}

// beaten is when another replica's renewal was first seen.
type beaten struct {
	beat  int64
	since Watch
}

// reapAfter is how long a replica shows no renewal before it counts as gone: longer
// than any lease of its last renewal can be.
const reapAfter = Time + 4*Margin

// New returns a holder without a lease: call Renew, and go on calling it.
func New(c Config) *Holder { return &Holder{c: c, others: map[string]beaten{}} }

// Live says whether what is kept in memory may be answered from. Ask it right before
// the answer is accepted.
func (h *Holder) Live() bool {
	l := h.lease.Load()
	return l != nil && (*l).Within(Time)
}

// Renew forgets what was withdrawn since the last time, and renews the lease. Call
// it several times in Time, and when Signal is heard.
func (h *Holder) Renew(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.renew(ctx)
}

func (h *Holder) renew(ctx context.Context) error {
	if err := h.join(ctx); err != nil {
		return err
	}
	watch := h.c.Start() // before anything is read
	if err := h.look(ctx); err != nil {
		return err
	}
	if h.c.Replica != "" {
		there, err := h.beat(ctx)
		if err != nil {
			return err
		}
		if !there {
			// Others took it for gone. What was withdrawn since then nobody waited for.
			h.lease.Store(nil)
			h.joined = false
			return nil
		}
		if err := h.reap(ctx); err != nil {
			return err
		}
	}
	h.lease.Store(&watch)
	return nil
}

// join makes the replica known to who withdraws, before it has a lease.
func (h *Holder) join(ctx context.Context) error {
	if h.joined {
		return nil
	}
	var head int64
	last := func(ctx context.Context, t ReplicaTx) (err error) {
		head, err = t.LastWithdrawal(ctx)
		return err
	}
	var err error
	if h.c.Replica == "" {
		err = h.c.Store.Read(ctx, last)
	} else {
		err = h.c.Store.Write(ctx, func(ctx context.Context, t ReplicaTx) (*fault.Error, error) {
			if err := last(ctx, t); err != nil {
				return nil, err
			}
			return nil, t.InsertReplica(ctx, Replica{ID: h.c.Replica, Seen: head})
		})
	}
	if err != nil {
		return fmt.Errorf("joining the servers that answer from memory: %w", err)
	}
	h.seen, h.joined = head, true
	h.c.Forget(true, nil)
	return nil
}

// lookPage is how many withdrawals are read at once.
const lookPage = 1000

// look forgets what was withdrawn since the last look.
func (h *Holder) look(ctx context.Context) error {
	for {
		var list []Withdrawal
		head := h.seen
		err := h.c.Store.Read(ctx, func(ctx context.Context, t ReplicaTx) error {
			var err error
			if list, err = t.ListWithdrawals(ctx, h.seen, lookPage); err != nil || len(list) > 0 {
				return err
			}
			head, err = t.LastWithdrawal(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("reading what was withdrawn: %w", err)
		}
		if len(list) == 0 {
			if head != h.seen { // the database was put back to an earlier state
				h.c.Forget(true, nil)
				h.seen = head
			}
			return nil
		}
		subjects := make([]string, len(list))
		for i, w := range list {
			subjects[i] = w.Subject
		}
		h.c.Forget(list[0].N != h.seen+1, subjects)
		h.seen = list[len(list)-1].N
		if len(list) < lookPage {
			return nil
		}
	}
}

func (h *Holder) beat(ctx context.Context) (bool, error) {
	var there bool
	err := h.c.Store.Write(ctx, func(ctx context.Context, t ReplicaTx) (*fault.Error, error) {
		var err error
		there, err = t.BeatReplica(ctx, h.c.Replica, h.seen)
		return nil, err
	})
	if err != nil {
		return false, fmt.Errorf("renewing the lease: %w", err)
	}
	return there, nil
}

// reap removes replicas that have shown no renewal for longer than a lease lasts:
// nobody has to wait for them any more.
func (h *Holder) reap(ctx context.Context) error {
	list, err := h.replicas(ctx)
	if err != nil {
		return err
	}
	still := map[string]beaten{}
	for _, r := range list {
		known, ok := h.others[r.ID]
		switch {
		case r.ID == h.c.Replica:
			continue
		case !ok || known.beat != r.Beat:
			known = beaten{beat: r.Beat, since: h.c.Start()}
		case known.since.Elapsed() > reapAfter:
			if err := h.remove(ctx, r.ID, r.Beat); err != nil {
				return err
			}
			continue
		}
		still[r.ID] = known
	}
	h.others = still
	return nil
}

func (h *Holder) remove(ctx context.Context, replica string, beat int64) error {
	return h.c.Store.Write(ctx, func(ctx context.Context, t ReplicaTx) (*fault.Error, error) {
		_, err := t.DeleteReplica(ctx, replica, beat)
		return nil, err
	})
}

func (h *Holder) replicas(ctx context.Context) ([]Replica, error) {
	var list []Replica
	err := h.c.Store.Read(ctx, func(ctx context.Context, t ReplicaTx) error {
		var err error
		list, err = t.ListReplicas(ctx)
		return err
	})
	return list, err
}

// Leave gives the lease up, so that nobody waits for this server. Nothing is
// answered from memory afterwards.
func (h *Holder) Leave(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease.Store(nil)
	if !h.joined || h.c.Replica == "" {
		return nil
	}
	h.joined = false
	list, err := h.replicas(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.ID == h.c.Replica {
			return h.remove(ctx, r.ID, r.Beat)
		}
	}
	return nil
}

// Settle returns once nothing that was withdrawn before the call is accepted on any
// server: after each has forgotten it, or after its lease has run out. It takes at
// most Time and Margin, also if the database does not answer meanwhile. The only error
// is that of ctx.
func (h *Holder) Settle(ctx context.Context) error {
	watch := h.c.Start()
	asking, cancel := context.WithTimeout(ctx, Time+Margin)
	defer cancel()
	_ = h.c.Signal(asking) // the others look by themselves soon
	h.forgetHere(asking)
	var head int64
	known := false
	for pause := firstPause; ; pause = nextPause(pause, watch.Elapsed()) {
		waiting, err := h.waiting(asking, &head, &known)
		if err == nil && !waiting {
			return nil
		}
		left := Time + Margin - watch.Elapsed()
		if left <= 0 {
			return nil
		}
		if err := h.c.Pause(ctx, min(pause, left)); err != nil {
			return err
		}
	}
}

// How long Settle waits between two looks at the others: briefly while it is likely
// that all are well, longer afterwards.
const (
	firstPause = time.Millisecond
	soonPause  = 4 * time.Millisecond
	lastPause  = 25 * time.Millisecond
	soon       = 100 * time.Millisecond
)

func nextPause(last, waited time.Duration) time.Duration {
	if waited < soon {
		return min(2*last, soonPause)
	}
	return min(2*last, lastPause)
}

// forgetHere forgets on this server. If what was withdrawn cannot be read, it
// forgets everything and answers nothing from memory until it could.
func (h *Holder) forgetHere(ctx context.Context) {
	if !h.lockSoon(ctx) {
		// A renewal hangs. What it read is older than this; what is read from now on
		// is not, so that the lease which it may bring home does no harm.
		h.c.Forget(true, nil)
		return
	}
	defer h.mu.Unlock()
	if !h.joined {
		return // nothing is kept yet
	}
	if err := h.look(ctx); err != nil {
		h.lease.Store(nil)
		h.c.Forget(true, nil)
	}
}

// lockSoon takes the lock, unless somebody holds it for longer than a renewal takes.
func (h *Holder) lockSoon(ctx context.Context) bool {
	for waited := time.Duration(0); !h.mu.TryLock(); waited += soonPause {
		if waited >= soon || h.c.Pause(ctx, soonPause) != nil {
			return false
		}
	}
	return true
}

// waiting says whether another server has not said yet that it forgot all up to the
// head, which is read once.
func (h *Holder) waiting(ctx context.Context, head *int64, known *bool) (bool, error) {
	waiting := false
	err := h.c.Store.Read(ctx, func(ctx context.Context, t ReplicaTx) error {
		waiting = false
		if !*known {
			n, err := t.LastWithdrawal(ctx)
			if err != nil {
				return err
			}
			*head, *known = n, true
		}
		list, err := t.ListReplicas(ctx)
		if err != nil {
			return err
		}
		for _, r := range list {
			waiting = waiting || r.ID != h.c.Replica && r.Seen < *head
		}
		return nil
	})
	return waiting, err
}
