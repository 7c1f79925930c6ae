package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
)

// addTerms writes the words under which a new row is found.
func (t *Tx) addTerms(ctx context.Context, w id.Workspace, kind, row string, terms []string) error {
	if len(terms) == 0 {
		return nil
	}
	// One statement: on PostgreSQL each would be a round trip under the latch.
	args := []any{w, kind, row}
	for _, term := range terms {
		args = append(args, term)
	}
	n, err := t.exec(ctx, insertTerms(len(terms)), args...)
	if err != nil {
		return err
	}
	if int(n) != len(terms) {
		return fmt.Errorf("wrote %d of %d terms", n, len(terms))
	}
	return t.post(ctx, w, kind, row, nil, terms)
}

// terms returns the words under which a row is found.
func (t *Tx) terms(ctx context.Context, w id.Workspace, kind, row string) ([]string, error) {
	return collect(ctx, t, value[string], `SELECT term FROM term WHERE workspace = $1 AND kind = $2 AND id = $3 ORDER BY term LIMIT 1000`, w, kind, row)
}

// replaceTerms writes the words of a row that changed.
func (t *Tx) replaceTerms(ctx context.Context, w id.Workspace, kind, row string, terms []string) error {
	old, err := t.terms(ctx, w, kind, row)
	if err != nil {
		return err
	}
	if slices.Equal(old, terms) {
		return nil
	}
	if err := t.post(ctx, w, kind, row, old, nil); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM term WHERE workspace = $1 AND kind = $2 AND id = $3`, w, kind, row); err != nil {
		return err
	}
	return t.addTerms(ctx, w, kind, row, terms)
}

// removeTerms takes a row that is deleted out of the search.
func (t *Tx) removeTerms(ctx context.Context, w id.Workspace, kind, row string) error {
	if err := t.replaceTerms(ctx, w, kind, row, nil); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM term_doc WHERE workspace = $1 AND kind = $2 AND id = $3`, w, kind, row)
	return err
}

// termCap bounds how far a word's frequency is counted.
const termCap = 1000

// rarestFirst sorts the words of a search by how many terms begin with them, so
// that the first condition leaves the fewest rows, and says whether the first is
// rare: begun by fewer than termCap terms. Frequencies above that count alike.
func (t *Tx) rarestFirst(ctx context.Context, w id.Workspace, kind string, words []string) (sorted []string, rare bool, err error) {
	if len(words) == 0 {
		return nil, false, nil
	}
	counts := map[string]int64{}
	for _, word := range words {
		n, err := t.number(ctx, `
			SELECT COUNT(*) FROM (
				SELECT 1 FROM term WHERE workspace = $1 AND kind = $2 AND term >= $3 AND term < $4 LIMIT $5) AS found`,
			w, kind, word, word+"\U0010ffff", termCap)
		if err != nil {
			return nil, false, err
		}
		counts[word] = n
	}
	out := slices.Clone(words)
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(counts[a], counts[b]) })
	return out, counts[out[0]] < termCap, nil
}

// addTally moves a counter that lists show without counting.
func (t *Tx) addTally(ctx context.Context, w id.Workspace, name string, by int64) error {
	return t.must(ctx, `
		INSERT INTO tally (workspace, name, n) VALUES ($1, $2, $3)
		ON CONFLICT (workspace, name) DO UPDATE SET n = tally.n + excluded.n`, w, name, by)
}

// moveTally moves one from a counter to another.
func (t *Tx) moveTally(ctx context.Context, w id.Workspace, from, to string) error {
	if from == to {
		return nil
	}
	if err := t.addTally(ctx, w, from, -1); err != nil {
		return err
	}
	return t.addTally(ctx, w, to, 1)
}

// tally returns a counter, 0 if it never moved.
func (t *Tx) tally(ctx context.Context, w id.Workspace, name string) (int64, error) {
	return t.number(ctx, `SELECT n FROM tally WHERE workspace = $1 AND name = $2`, w, name)
}

// quarter is the length of the pieces of time in which ticks are counted: every
// zone's days begin at one's border.
const quarter = 15 * time.Minute

// addTick counts something that happened now, for statistics.
func (t *Tx) addTick(ctx context.Context, w id.Workspace, name string, now time.Time) error {
	return t.addTicks(ctx, w, name, millis(now.Truncate(quarter)), 1)
}

// addTicks is addTick for n at once, in the quarter that begins at the time.
func (t *Tx) addTicks(ctx context.Context, w id.Workspace, name string, begin, n int64) error {
	return t.must(ctx, `
		INSERT INTO tick (workspace, name, quarter, n) VALUES ($1, $2, $3, $4)
		ON CONFLICT (workspace, name, quarter) DO UPDATE SET n = tick.n + excluded.n`, w, name, begin, n)
}
