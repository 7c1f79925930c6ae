// Package storetest opens databases for tests and holds what every engine of the
// store must do alike. It decides nothing for the service: only tests import it.
package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/keyhold/keyhold/internal/store"
)

// PostgresEnv names the variable that holds the URL of a database on a server
// where tests may create databases of their own.
const PostgresEnv = "KEYHOLD_TEST_POSTGRES"

// Database is a store of its own for one test.
type Database struct {
	*store.Store
	// SQL goes past the store, for tests that tamper with rows or look at them.
	SQL *sql.DB
	// Another opens one more store on the same database, as another server would.
	Another func(t testing.TB) *store.Store

	// Writers is how many writing functions may run at once.
	Writers int

	// What only tests of the store's package see, of SQLite; nil elsewhere.
	Queued  func() int   // how many writers wait for their turn
	Commits func() int64 // how many transactions were committed
}

// Opener returns a fresh, migrated database that is gone after the test.
type Opener func(t testing.TB) Database

// Open returns a fresh, migrated store on SQLite.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return SQLite(t).Store
}

// OpenPostgres returns a fresh, migrated store on PostgreSQL. It skips the test
// if there is no server to test with.
func OpenPostgres(t testing.TB) *store.Store {
	t.Helper()
	return Postgres(t).Store
}

// SQLite returns a fresh, migrated database in a temporary folder.
func SQLite(t testing.TB) Database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyhold.db")
	another := func(t testing.TB) *store.Store {
		t.Helper()
		return keep(t)(store.OpenSQLite(t.Context(), path))
	}
	d := Database{Store: another(t), Another: another, Writers: 1}
	migrate(t, d.Store)
	d.SQL = direct(t, "sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	return d
}

// Postgres returns a fresh, migrated database on the server for tests, or skips
// the test.
func Postgres(t testing.TB) Database {
	t.Helper()
	d := EmptyPostgres(t)
	migrate(t, d.Store)
	return d
}

// EmptyPostgres is Postgres without the migration.
func EmptyPostgres(t testing.TB) Database {
	t.Helper()
	address := PostgresURL(t)
	another := func(t testing.TB) *store.Store {
		t.Helper()
		return keep(t)(store.OpenPostgres(t.Context(), address))
	}
	return Database{Store: another(t), SQL: direct(t, "pgx", address), Another: another, Writers: 16}
}

// PostgresURL makes an empty database on the server for tests and returns its
// URL. The database is dropped when the test ends. Its own collation is English,
// as many servers' is, so that a column that forgets COLLATE "C" is noticed.
func PostgresURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv(PostgresEnv)
	if server == "" {
		t.Skipf("no PostgreSQL to test with: set %s to the URL of a database whose user may create databases", PostgresEnv)
	}
	address, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s is not a URL", PostgresEnv)
	}
	admin, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() }) // nothing hangs on it
	var random [8]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never returns an error
	name := "keyhold_test_" + hex.EncodeToString(random[:])
	_, err = admin.ExecContext(t.Context(), `CREATE DATABASE `+name+` TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en'`)
	if err != nil {
		t.Logf("no database with an English collation, trying the server's own: %v", err)
		_, err = admin.ExecContext(t.Context(), `CREATE DATABASE `+name)
	}
	if err != nil {
		t.Fatalf("making a database to test with: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Errorf("dropping %s: %v", name, err)
		}
	})
	address.Path = "/" + name
	return address.String()
}

// keep closes what was opened when the test ends.
func keep(t testing.TB) func(*store.Store, error) *store.Store {
	return func(s *store.Store, err error) *store.Store {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("closing the store: %v", err)
			}
		})
		return s
	}
}

func migrate(t testing.TB, s *store.Store) {
	t.Helper()
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func direct(t testing.TB, driver, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing hangs on it
	return db
}

// Run runs all that an engine must do over the databases that open opens.
func Run(t *testing.T, open Opener) {
	d := open(t)
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			if c.alone {
				c.run(t, open(t))
				return
			}
			c.run(t, d)
		})
	}
}

// testCase is one thing that an engine must do. Alone means that it needs a
// database of its own; the others keep to a workspace of their own.
type testCase struct {
	name  string
	run   func(t *testing.T, d Database)
	alone bool
}

func cases() []testCase {
	all := digitalkeyCases()
	for _, some := range [][]testCase{
		transactionCases(), concurrencyCases(), listCases(), valueCases(), ledgerCases(), signinCases(), accessPassCases(), directoryCases(), apikeyCases(),
		securitykeyCases(), clientCases(), vaultCases(), smartlockCases(), digitalkeyCases(), leaseCases(),
	} {
		all = append(all, some...)
	}
	return all
}
