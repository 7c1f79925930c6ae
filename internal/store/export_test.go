package store

import (
	"context"
	"database/sql"

	"github.com/keyhold/keyhold/internal/store/migrations"
)

// Queued says how many writers wait for their turn on SQLite.
func Queued(s *Store) int { return len(lite(s).queue) }

// Commits says how many transactions SQLite has committed.
func Commits(s *Store) int64 { return lite(s).commits.Load() }

func lite(s *Store) *sqliteEngine {
	e, ok := s.e.(*sqliteEngine)
	if !ok {
		panic("asked of SQLite only")
	}
	return e
}

// Text answers a query of one text.
func (t *Tx) Text(ctx context.Context, query string, args ...any) (string, error) {
	s, _, err := find(ctx, t, value[string], query, args...)
	return s, err
}

// Must runs a statement that has to touch exactly one row.
func (t *Tx) Must(ctx context.Context, query string, args ...any) error {
	return t.must(ctx, query, args...)
}

// PostTerms writes the postings that are missing, as the step that brings them does.
func PostTerms(ctx context.Context, s *Store) error { return s.postTerms(ctx) }

// MigrateTo takes the steps up to one of them over db, which is of the engine.
func MigrateTo(ctx context.Context, engine string, db *sql.DB, step int64) error {
	dialect, steps := sqliteDialect, migrations.SQLite
	if engine == "postgres" {
		dialect, steps = postgresDialect, migrations.Postgres
	}
	p, err := provider(dialect, db, steps)
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, step)
	return err
}
