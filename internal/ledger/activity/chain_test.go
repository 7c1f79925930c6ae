package activity_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// chain is a workspace with a record of its own.
type chain struct {
	storetest.Database
	w      id.Workspace
	record *activity.Record
}

// newChain returns a chain of n lines that are not sealed yet.
func newChain(t testing.TB, d storetest.Database, n int) chain {
	t.Helper()
	c := chain{Database: d, w: storetest.Workspace(t, d.Store)} // a line itself
	gate := activity.Gate[activity.RecordTx]{Store: store.For[activity.RecordTx](d.Store), Clock: clock.NewManual(storetest.Start())}
	c.record = activity.NewRecord(gate, newSigner(1))
	for i := range n - 1 {
		c.add(t, time.Duration(i+1)*time.Second, activity.Event{
			Action: "user.update", Outcome: activity.Refused, Reason: "reason", Detail: "email", Count: 2, User: "user_1", RPID: "example.org",
			Target: activity.Party{Type: "user", ID: "user_1", Name: fmt.Sprint("Target ", i)},
		})
	}
	return c
}

func (c chain) add(t testing.TB, after time.Duration, e activity.Event) {
	t.Helper()
	by := auth.Caller{Kind: auth.APIKey, Workspace: c.w, APIKey: "key_1", Name: "Robot", IP: "192.0.2.1", Agent: "robot/1", RequestID: "req_1"}
	storetest.Write(t, c.Store, func(ctx context.Context, tx *store.Tx) error {
		return activity.Append(ctx, tx, by, e, storetest.Start().Add(after))
	})
}

func (c chain) seal(t testing.TB) (n int) {
	t.Helper()
	storetest.Write(t, c.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		n, err = activity.SealNext(ctx, tx, c.w)
		return err
	})
	return n
}

func (c chain) verify(t testing.TB) activity.Verdict {
	t.Helper()
	v, err := c.record.Verify(t.Context(), auth.Job(c.w, "test"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c chain) rowAt(t testing.TB, index int) (row string) {
	t.Helper()
	if err := c.SQL.QueryRowContext(t.Context(), `SELECT id FROM activity WHERE workspace = $1 AND idx = $2`, c.w, index).Scan(&row); err != nil {
		t.Fatal(err)
	}
	return row
}

func TestVerify_wholeRecord(t *testing.T) {
	c := newChain(t, storetest.SQLite(t), 7)
	want := activity.Verdict{Workspace: c.w, Unsealed: 7}
	if diff := cmp.Diff(want, c.verify(t)); diff != "" {
		t.Errorf("Verify() before sealing (-want +got):\n%s", diff)
	}
	if n := c.seal(t); n != 7 {
		t.Errorf("SealNext() = %d, want 7", n)
	}
	if n := c.seal(t); n != 0 {
		t.Errorf("SealNext() = %d with nothing to seal, want 0", n)
	}
	c.add(t, time.Minute, activity.Event{Action: "user.create"})
	want = activity.Verdict{Workspace: c.w, Through: 7, Unsealed: 1}
	if diff := cmp.Diff(want, c.verify(t)); diff != "" {
		t.Errorf("Verify() (-want +got):\n%s", diff)
	}
}

func TestSealNext_takesBatches(t *testing.T) {
	c := newChain(t, storetest.SQLite(t), 1)
	const more = activity.SealBatch + 3
	storetest.Write(t, c.Store, func(ctx context.Context, tx *store.Tx) error {
		for range more {
			if err := activity.Append(ctx, tx, auth.Job(c.w, "test"), activity.Event{Action: "user.create"}, storetest.Start()); err != nil {
				return err
			}
		}
		return nil
	})
	if first, second := c.seal(t), c.seal(t); first != activity.SealBatch || second != 4 {
		t.Errorf("SealNext() = %d, then %d, want %d, then 4", first, second, activity.SealBatch)
	}
	if v := c.verify(t); len(v.Damages) != 0 || v.Through != more+1 {
		t.Errorf("Verify() = %+v, want whole through %d", v, more+1)
	}
}

// tampers says, for each column, how row 5 of 9 is changed in it.
func tampers() map[string]string {
	blob := func(column string) string { return column + ` = x'00'` }
	return map[string]string{
		"id":            `id = 'act_forged'`,
		"workspace":     `workspace = (SELECT o.id FROM workspace o WHERE NOT EXISTS (SELECT 1 FROM activity a WHERE a.workspace = o.id AND a.idx = 5) LIMIT 1)`,
		"idx":           `idx = 500`,
		"at":            `at = at + 1`,
		"action":        `action = 'user.create'`,
		"outcome":       `outcome = 'success'`,
		"reason":        `reason = ''`,
		"detail":        `detail = 'phone'`,
		"count":         `count = count + 1`,
		"actor_type":    `actor_type = 'system'`,
		"actor_id":      `actor_id = 'key_2'`,
		"actor_name":    `actor_name = 'Somebody else'`,
		"ip":            `ip = '192.0.2.2'`,
		"agent":         `agent = ''`,
		"actor_salt":    blob("actor_salt"),
		"actor_digest":  blob("actor_digest"),
		"target_type":   `target_type = 'group'`,
		"target_id":     `target_id = 'user_2'`,
		"target_name":   `target_name = target_name || '!'`,
		"target_salt":   blob("target_salt"),
		"target_digest": blob("target_digest"),
		"user_id":       `user_id = ''`,
		"rp_id":         `rp_id = 'example.com'`,
		"security_key":  `security_key = 'sk_2'`,
		"client":        `client = 'cli_2'`,
		"request_id":    `request_id = 'req_2'`,
		"hash":          blob("hash"),
	}
}

func TestVerify_namesTheChangedRow(t *testing.T) {
	d := storetest.SQLite(t)
	storetest.Workspace(t, d.Store) // for rows to be moved to
	rows, err := d.SQL.QueryContext(t.Context(), `SELECT name FROM pragma_table_info('activity')`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // read to its end below
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			t.Fatal(err)
		}
		change, known := tampers()[column]
		if !known {
			t.Errorf("the column %s is tampered with by no test", column)
			continue
		}
		t.Run(column, func(t *testing.T) {
			c := newChain(t, d, 9)
			c.seal(t)
			storetest.Exec(t, d, `UPDATE activity SET `+change+` WHERE workspace = $1 AND idx = 5`, c.w)
			v := c.verify(t)
			if len(v.Damages) == 0 || v.Damages[0].Index != 5 {
				t.Errorf("Verify() after %s names %+v, want row 5 first", change, v.Damages)
			}
		})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestVerify_namesWhatWasDone(t *testing.T) {
	d := storetest.SQLite(t)
	const swap = `
		UPDATE activity SET at = o.at, action = o.action, detail = o.detail, target_name = o.target_name, target_salt = o.target_salt,
			target_digest = o.target_digest, hash = o.hash
		FROM activity o WHERE o.workspace = activity.workspace AND o.idx = 8 - activity.idx AND activity.workspace = $1 AND activity.idx IN (3, 5)`
	for name, c := range map[string]struct {
		do   []string
		want []string // the indexes named, and a part of what is said
	}{
		"a row in the middle is gone": {[]string{`DELETE FROM activity WHERE workspace = $1 AND idx = 4`}, []string{"4 missing"}},
		"three rows are gone":         {[]string{`DELETE FROM activity WHERE workspace = $1 AND idx BETWEEN 4 AND 6`}, []string{"4 3 row(s)"}},
		"the first row is gone":       {[]string{`DELETE FROM activity WHERE workspace = $1 AND idx = 1`}, []string{"1 missing"}},
		"the tail is gone":            {[]string{`DELETE FROM activity WHERE workspace = $1 AND idx > 7`}, []string{"8 2 row(s) at the end"}},
		"all rows are gone":           {[]string{`DELETE FROM activity WHERE workspace = $1`}, []string{"1 9 row(s) at the end"}},
		"two rows changed places": {[]string{
			`UPDATE activity SET idx = -1 WHERE workspace = $1 AND idx = 3`, `UPDATE activity SET idx = 3 WHERE workspace = $1 AND idx = 5`,
			`UPDATE activity SET idx = 5 WHERE workspace = $1 AND idx = -1`,
		}, []string{"3 another stood", "4 changed", "5 another stood", "6 changed"}},
		"two rows changed their contents": {[]string{swap}, []string{"3 changed", "4 changed", "5 changed", "6 changed"}},
		"the head's hash was changed":     {[]string{`UPDATE activity_head SET hash = x'00' WHERE workspace = $1`}, []string{"9 not the last row's hash"}},
		"the head was set back":           {[]string{`UPDATE activity_head SET idx = 8 WHERE workspace = $1`}, []string{"8 older"}},
		"the head was set ahead":          {[]string{`UPDATE activity_head SET idx = 12 WHERE workspace = $1`}, []string{"10 3 row(s) at the end"}},
		"the head is gone":                {[]string{`DELETE FROM activity_head WHERE workspace = $1`}, []string{"0 older"}},
		"a row is not sealed any more":    {[]string{`UPDATE activity SET idx = NULL, hash = NULL WHERE workspace = $1 AND idx = 4`}, []string{"4 missing"}},
		"a row has an index below the chain": {
			[]string{`UPDATE activity SET idx = -2 WHERE workspace = $1 AND idx = 9`}, []string{"-2 stands twice", "-1 missing", "9 at the end"},
		},
		"a row was forged at the end": {[]string{
			`UPDATE activity SET idx = 10, id = 'act_forged' WHERE workspace = $1 AND idx = 9`,
		}, []string{"9 missing", "9 older"}},
	} {
		t.Run(name, func(t *testing.T) {
			made := newChain(t, d, 9)
			made.seal(t)
			for _, query := range c.do {
				storetest.Exec(t, d, query, made.w)
			}
			damages := made.verify(t).Damages
			for i, want := range c.want {
				index, what, _ := strings.Cut(want, " ")
				if i >= len(damages) || fmt.Sprint(damages[i].Index) != index || !strings.Contains(damages[i].What, what) {
					t.Errorf("damage %d is not %q: %+v", i, want, damages)
				}
			}
			if len(damages) != len(c.want) {
				t.Errorf("Verify() names %+v, want %d damages", damages, len(c.want))
			}
		})
	}
}

const (
	eraseActor  = `UPDATE activity SET actor_salt = NULL, actor_name = '', ip = '', agent = '' WHERE workspace = $1 AND idx = 3`
	eraseTarget = `UPDATE activity SET target_salt = NULL, target_name = '' WHERE workspace = $1 AND idx = 5`
)

func TestVerify_erasedIsWhole(t *testing.T) {
	c := newChain(t, storetest.SQLite(t), 9)
	c.seal(t)
	storetest.Exec(t, c.Database, eraseActor, c.w)
	storetest.Exec(t, c.Database, eraseTarget, c.w)
	if diff := cmp.Diff(activity.Verdict{Workspace: c.w, Through: 9, Erased: 2}, c.verify(t)); diff != "" {
		t.Errorf("Verify() (-want +got):\n%s", diff)
	}
	events := storetest.Activities(t, c.Store, c.w, "user.update")
	erased := 0
	for _, e := range events {
		if e.ActorErased || e.TargetErased {
			erased++
		}
	}
	if erased != 2 {
		t.Errorf("%d lines say that they were erased, want 2", erased)
	}
}

func TestVerify_erasingIsNoCover(t *testing.T) {
	d := storetest.SQLite(t)
	for name, do := range map[string][]string{
		"a name was written into an erased actor":  {eraseActor, `UPDATE activity SET actor_name = 'X' WHERE workspace = $1 AND idx = 3`},
		"an IP was written into an erased actor":   {eraseActor, `UPDATE activity SET ip = 'X' WHERE workspace = $1 AND idx = 3`},
		"an agent was written into an erased one":  {eraseActor, `UPDATE activity SET agent = 'X' WHERE workspace = $1 AND idx = 3`},
		"a name was written into an erased target": {`UPDATE activity SET target_salt = NULL, target_name = 'X' WHERE workspace = $1 AND idx = 3`},
		"only the salt was erased":                 {`UPDATE activity SET actor_salt = NULL WHERE workspace = $1 AND idx = 3`},
		"the act was changed too":                  {eraseActor, `UPDATE activity SET action = 'X' WHERE workspace = $1 AND idx = 3`},
		"the digest was changed too":               {eraseActor, `UPDATE activity SET actor_digest = x'00' WHERE workspace = $1 AND idx = 3`},
		"a new salt and name for the erased":       {eraseActor, `UPDATE activity SET actor_salt = x'01', actor_name = 'X' WHERE workspace = $1 AND idx = 3`},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChain(t, d, 6)
			c.seal(t)
			row := c.rowAt(t, 3)
			for _, query := range do {
				storetest.Exec(t, d, query, c.w)
			}
			v := c.verify(t)
			if len(v.Damages) == 0 || v.Damages[0].Index != 3 || string(v.Damages[0].ID) != row {
				t.Errorf("Verify() names %+v, want row 3, %s", v.Damages, row)
			}
		})
	}
}

// An empty salt must not read as an erased one on one engine only.
func TestVerify_emptySaltIsErased(t *testing.T) {
	for engine, open := range map[string]storetest.Opener{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			c := newChain(t, open(t), 4)
			c.seal(t)
			storetest.Exec(t, c.Database, `UPDATE activity SET actor_salt = $2, actor_name = '', ip = '', agent = '' WHERE workspace = $1 AND idx = 3`, c.w, []byte{})
			if v := c.verify(t); len(v.Damages) != 0 || v.Erased != 1 {
				t.Errorf("Verify() = %+v, want whole with 1 erased", v)
			}
		})
	}
}

// fields draws text as people and programs send it.
func fields() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom(nil, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs), 0, 12, -1)
}

func drawEvent(t *rapid.T) activity.Event {
	party := func() activity.Party {
		return activity.Party{Type: fields().Draw(t, "type"), ID: fields().Draw(t, "id"), Name: fields().Draw(t, "name")}
	}
	return activity.Event{
		Action: fields().Draw(t, "action"), Outcome: rapid.SampledFrom([]activity.Outcome{activity.Success, activity.Refused, activity.Failed}).Draw(t, "outcome"),
		Reason: fields().Draw(t, "reason"), Detail: fields().Draw(t, "detail"), Count: rapid.IntRange(1, 1<<40).Draw(t, "count"),
		Actor: party(), Target: party(), User: id.User(fields().Draw(t, "user")), RPID: fields().Draw(t, "rp"),
	}
}

// Whatever was written, in whatever pieces it was sealed and whoever was erased,
// the record is whole; and one change of one field is named.
func TestVerify_anySequence(t *testing.T) {
	d := storetest.SQLite(t)
	rapid.Check(t, func(r *rapid.T) {
		c := newChain(t, d, 1)
		size := rapid.IntRange(1, 12).Draw(r, "size")
		for range size {
			by := auth.Caller{
				Kind: auth.Administrator, Workspace: c.w, User: "user_1", Name: fields().Draw(r, "caller"), IP: fields().Draw(r, "ip"),
				Agent: strings.Repeat(fields().Draw(r, "agent"), 40), RequestID: fields().Draw(r, "request"),
			}
			e, at := drawEvent(r), storetest.Start().Add(time.Duration(rapid.IntRange(0, 5000).Draw(r, "ms"))*time.Millisecond)
			storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return activity.Append(ctx, tx, by, e, at) })
			if rapid.Bool().Draw(r, "seal") {
				c.seal(t)
			}
		}
		c.seal(t)
		erased := rapid.SliceOfDistinct(rapid.IntRange(1, size+1), rapid.ID[int]).Draw(r, "erased")
		for _, index := range erased {
			storetest.Exec(t, d, `UPDATE activity SET actor_salt = NULL, actor_name = '', ip = '', agent = '' WHERE workspace = $1 AND idx = $2`, c.w, index)
		}
		want := activity.Verdict{Workspace: c.w, Through: int64(size) + 1, Erased: int64(len(erased))}
		if diff := cmp.Diff(want, c.verify(t)); diff != "" {
			r.Fatalf("Verify() (-want +got):\n%s", diff)
		}
		columns := []string{"action", "reason", "detail", "actor_type", "actor_id", "actor_name", "target_id", "target_name", "rp_id", "ip", "agent"}
		column := rapid.SampledFrom(columns).Draw(r, "column")
		index := rapid.IntRange(1, size+1).Draw(r, "index")
		storetest.Exec(t, d, `UPDATE activity SET `+column+` = `+column+` || '.' WHERE workspace = $1 AND idx = $2`, c.w, index)
		named := c.verify(t).Damages
		if !slices.ContainsFunc(named, func(d activity.Damage) bool { return d.Index == int64(index) }) {
			r.Fatalf("Verify() after a change of %s in row %d names %+v, want that row", column, index, named)
		}
	})
}
