package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// A server that waits for another one's migration asks again every second, for ten
// minutes at most.
const (
	lockEverySecond = 1
	lockTries       = 600
)

const (
	sqliteDialect   = goose.DialectSQLite3
	postgresDialect = goose.DialectPostgres
)

func provider(dialect goose.Dialect, db *sql.DB, steps fs.FS) (*goose.Provider, error) {
	folder := "sqlite"
	options := []goose.ProviderOption{goose.WithVerbose(false)}
	if dialect == postgresDialect {
		folder = "postgres"
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockEverySecond, lockTries))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	dir, err := fs.Sub(steps, folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, db, dir, options...)
}

// migrateUp takes all steps that were not taken yet and returns their names.
func migrateUp(ctx context.Context, dialect goose.Dialect, db *sql.DB, steps fs.FS) ([]string, error) {
	p, err := provider(dialect, db, steps)
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	results, err := p.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrating the database: %w", err)
	}
	var names []string
	for _, r := range results {
		names = append(names, r.Source.Path)
	}
	return names, nil
}

func hasPending(ctx context.Context, dialect goose.Dialect, db *sql.DB, steps fs.FS) (bool, error) {
	p, err := provider(dialect, db, steps)
	if err != nil {
		return false, fmt.Errorf("reading the migrations: %w", err)
	}
	return p.HasPending(ctx)
}
