package store_test

import (
	"context"
	"os"
	"testing"

	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// sqlite adds to the database what only tests of this package see.
func sqlite(t testing.TB) storetest.Database {
	d := storetest.SQLite(t)
	d.Queued = func() int { return store.Queued(d.Store) }
	d.Commits = func() int64 { return store.Commits(d.Store) }
	return d
}

// onEach runs a test over both engines, PostgreSQL only if there is a server.
func onEach(t *testing.T, run func(t *testing.T, open storetest.Opener)) {
	t.Run("sqlite", func(t *testing.T) { run(t, sqlite) })
	t.Run("postgres", func(t *testing.T) {
		if os.Getenv(storetest.PostgresEnv) == "" {
			t.Skipf("no PostgreSQL to test with: set %s", storetest.PostgresEnv)
		}
		run(t, storetest.Postgres)
	})
}

func TestConformance(t *testing.T) { onEach(t, storetest.Run) }

func TestPlaceholders_bindByNumber(t *testing.T) {
	onEach(t, func(t *testing.T, open storetest.Opener) {
		storetest.Read(t, open(t).Store, func(ctx context.Context, tx *store.Tx) error {
			for _, c := range []struct{ query, want string }{
				{`SELECT CAST($2 AS TEXT) || CAST($1 AS TEXT)`, "ba"},
				{`SELECT CAST($2 AS TEXT) || CAST($1 AS TEXT) || CAST($2 AS TEXT)`, "bab"},
				{`SELECT CAST($1 AS TEXT) || CAST($2 AS TEXT)`, "ab"},
			} {
				if got, err := tx.Text(ctx, c.query, "a", "b"); got != c.want || err != nil {
					t.Errorf("%s = %q (%v), want %q", c.query, got, err, c.want)
				}
			}
			args := make([]any, 12)
			for i := range args {
				args[i] = string(rune('a' + i))
			}
			query := `SELECT CAST($12 AS TEXT) || CAST($1 AS TEXT) || CAST($11 AS TEXT) || CAST($2 AS TEXT) || CAST($10 AS TEXT) || CAST($3 AS TEXT)
				|| CAST($9 AS TEXT) || CAST($4 AS TEXT) || CAST($8 AS TEXT) || CAST($5 AS TEXT) || CAST($7 AS TEXT) || CAST($6 AS TEXT)`
			if got, err := tx.Text(ctx, query, args...); got != "lakbjcidhegf" || err != nil {
				t.Errorf("twelve placeholders = %q (%v), want %q", got, err, "lakbjcidhegf")
			}
			return nil
		})
	})
}

func TestMigrate_atOnceOnPostgres(t *testing.T) {
	d := storetest.EmptyPostgres(t)
	migrateAtOnce(t, d.Store, d.Another(t), d.Another(t))
}

func TestMigrate_twice(t *testing.T) {
	s := storetest.Open(t) // migrated
	if steps, err := s.Migrate(t.Context()); err != nil || len(steps) != 0 {
		t.Errorf("Migrate() = %v (%v) the second time, want no steps", steps, err)
	}
}

// migrateAtOnce migrates one database through several stores together: one of them
// works, all find it done.
func migrateAtOnce(t *testing.T, stores ...*store.Store) {
	t.Helper()
	if pending, err := stores[0].Pending(t.Context()); err != nil || !pending {
		t.Errorf("Pending() = %v (%v) for an empty database, want true", pending, err)
	}
	type result struct {
		steps []string
		err   error
	}
	results := make(chan result)
	for _, s := range stores {
		go func() {
			steps, err := s.Migrate(t.Context())
			results <- result{steps, err}
		}()
	}
	workers := 0
	for range stores {
		r := <-results
		if r.err != nil {
			t.Errorf("Migrate() = %v, want nil", r.err)
		}
		if len(r.steps) > 0 {
			workers++
		}
	}
	if workers != 1 {
		t.Errorf("%d stores took steps, want 1", workers)
	}
	for _, s := range stores {
		if pending, err := s.Pending(t.Context()); err != nil || pending {
			t.Errorf("Pending() = %v (%v) after the migration, want false", pending, err)
		}
		storetest.Workspace(t, s)
	}
}
