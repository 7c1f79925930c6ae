package lease_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/ledger/lease"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// model is three servers that renew, keep, withdraw, stand still in the middle of
// what they do and go on, in any order.
type model struct {
	*world
	t testing.TB
	// draw returns a number below n.
	draw func(what string, n int) int
	// budget is how many acts are left, depth how many are under way within others.
	budget, depth int

	withdrawn map[string]bool // from its commit
	over      map[string]bool // once Settle has returned
	subjects  []string
	loads     []load
	wrong     string // what is wrong, "" for nothing
}

// load is a look-up in the database that is under way on a server: what it read, and
// after how much was forgotten there.
type load struct {
	n       *node
	subject string
	epoch   int
	good    bool
}

// run plays until the budget is spent and says what is wrong, "" for nothing.
func (m *model) run() string {
	m.withdrawn, m.over = map[string]bool{}, map[string]bool{}
	m.wrong, m.paused = "", 0
	for _, n := range m.nodes {
		n.hook = func() {
			m.now += time.Duration(m.draw("µs", 3000)) * time.Microsecond
			m.others(6)
		}
	}
	m.meanwhile = func() { m.others(8) }
	for m.budget > 0 && m.wrong == "" {
		m.act()
	}
	return m.wrong
}

// others lets something else happen while one server is in the middle of an act: in
// one of so many cases.
func (m *model) others(one int) {
	m.check()
	if m.depth >= 3 || m.draw("others", one) > 0 {
		return
	}
	for range 1 + m.draw("how many", 4) {
		m.act()
	}
}

// act does one thing on a server that is not busy, or lets time pass.
func (m *model) act() {
	if m.budget <= 0 || m.wrong != "" {
		return
	}
	m.budget--
	m.depth++
	defer func() { m.depth-- }()
	n := m.nodes[m.draw("server", len(m.nodes))]
	switch what := m.draw("act", 12); {
	case what < 2:
		m.now += time.Duration(1+m.draw("ms", 700)) * time.Millisecond
	case what < 3:
		m.now += time.Duration(1+m.draw("long ms", 4000)) * time.Millisecond
	case what < 6:
		m.renew(n)
	case what < 9:
		m.begin(n)
	case what < 10:
		m.end()
	case what < 11:
		m.withdraw(n)
	default:
		m.leave(n)
	}
	m.check()
}

// busily does something on a server that does one thing at a time.
func (m *model) busily(n *node, do func()) {
	if n.busy {
		return
	}
	n.busy = true
	do()
	n.busy = false
}

func (m *model) renew(n *node) {
	m.busily(n, func() {
		if err := n.holder.Renew(m.t.Context()); err != nil {
			m.wrong = err.Error()
		}
	})
}

func (m *model) leave(n *node) {
	if m.draw("leave", 3) > 0 {
		return
	}
	m.busily(n, func() {
		if err := n.holder.Leave(m.t.Context()); err != nil {
			m.wrong = err.Error()
		}
	})
}

// begin looks a subject up: a new one, or one that may be withdrawn.
func (m *model) begin(n *node) {
	if len(m.subjects) == 0 || m.draw("new", 3) == 0 {
		m.subjects = append(m.subjects, fmt.Sprint("token/", len(m.subjects)))
	}
	s := m.subjects[m.draw("subject", len(m.subjects))]
	m.loads = append(m.loads, load{n: n, subject: s, epoch: n.epoch, good: !m.withdrawn[s]})
	if m.draw("at once", 3) > 0 {
		m.end()
	}
}

// end keeps what was read, unless something was forgotten since.
func (m *model) end() {
	if len(m.loads) == 0 {
		return
	}
	l := m.loads[len(m.loads)-1]
	m.loads = m.loads[:len(m.loads)-1]
	if l.good && l.epoch == l.n.epoch {
		l.n.kept[l.subject] = true
	}
}

func (m *model) withdraw(n *node) {
	if len(m.subjects) == 0 {
		return
	}
	s := m.subjects[m.draw("subject", len(m.subjects))]
	m.busily(n, func() {
		err := store.For[lease.Tx](m.Store).Write(m.t.Context(), func(ctx context.Context, t lease.Tx) (*fault.Error, error) {
			return nil, t.Withdraw(ctx, s)
		})
		if err != nil {
			m.wrong = err.Error()
			return
		}
		m.withdrawn[s] = true
		m.others(2)
		if err := n.holder.Settle(m.t.Context()); err != nil {
			m.wrong = err.Error()
			return
		}
		m.over[s] = true
	})
}

// check asks for the rule: what was withdrawn is answered yes from memory nowhere,
// once its settling has returned. A server that stands still is asked as it would
// answer if it went on right now.
func (m *model) check() {
	for _, n := range m.nodes {
		for s := range m.over {
			if n.accepts(s) {
				m.wrong = fmt.Sprintf("%s answers yes for %s, which was withdrawn, after %v", n.name, s, m.now)
			}
		}
	}
}

// play runs a model over a database that others were played over.
func play(t testing.TB, w *world, p plant, budget int, draw func(what string, n int) int) string {
	w.plant, w.now, w.meanwhile = p, 0, nil
	for _, table := range []string{`DELETE FROM replica`, `DELETE FROM revocation`} {
		if _, err := w.SQL.ExecContext(t.Context(), table); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Exec(t, w.Database, `UPDATE revocation_head SET n = 0`)
	w.settle(t, "a", "b", "c")
	return (&model{world: w, t: t, draw: draw, budget: budget}).run()
}

func TestHolder_anyInterleaving(t *testing.T) {
	w, budget := newWorld(t), 60
	if testing.Short() {
		budget = 25
	}
	rapid.Check(t, func(r *rapid.T) {
		wrong := play(t, w, plant{}, budget, func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(r, what) })
		if wrong != "" {
			r.Fatal(wrong)
		}
	})
}

// dice draws from a seed.
func dice(seed uint64) func(string, int) int {
	random := rand.New(rand.NewPCG(seed, 0))
	return func(_ string, n int) int { return random.IntN(n) }
}

// Each rule is needed: without it the test above finds what is wrong.
func TestHolder_rulesAreNeeded(t *testing.T) {
	if testing.Short() {
		t.Skip("searches long")
	}
	w := newWorld(t)
	for name, p := range map[string]plant{
		"the lease counts from after the look":       {lateStart: true},
		"Settle waits half a second less":            {hasty: true},
		"a server is removed although it beats":      {beatsIgnored: true},
		"(none: the same search finds nothing then)": {},
	} {
		const rounds = 2000
		found := ""
		for seed := uint64(0); seed < rounds && found == ""; seed++ {
			if found = play(t, w, p, 60, dice(seed)); found != "" {
				t.Logf("%s: seed %d: %s", name, seed, found)
			}
			if p == (plant{}) && seed > 200 {
				break
			}
		}
		if (found != "") != (p != plant{}) {
			t.Errorf("%s: found %q in %d rounds", name, found, rounds)
		}
	}
}
