package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// benchUsers is how many users the lists are measured with.
const benchUsers = 100_000

// BenchmarkUsers measures pages of All users and searches in them with 100,000
// users, on each engine.
func BenchmarkUsers(b *testing.B) {
	for name, open := range map[string]func(testing.TB) storetest.Database{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) { benchmarkUsers(b, open(b)) })
	}
}

func benchmarkUsers(b *testing.B, d storetest.Database) {
	s := d.Store
	w := storetest.Workspace(b, s)
	storetest.ManyUsers(b, s, w, benchUsers)
	if _, err := d.SQL.ExecContext(b.Context(), "ANALYZE"); err != nil { // as PostgreSQL does by itself within minutes
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		text string
		page page.Request
	}{
		{"first page", "", page.Request{WithTotal: true}},
		{"last page", "", page.Request{Descending: true}},
		{"by e-mail address", "", page.Request{Sort: directory.SortEmail}},
		{"a user id", "", page.Request{}},
		{"a rare word", "e-050505", page.Request{}},
		{"one letter", "b", page.Request{}},
		{"one letter, by creation", "z", page.Request{Sort: directory.SortCreated, Descending: true}},
		{"two frequent words that never meet", "north south", page.Request{}},
		{"two words of 1 in 100 that never meet", "babaca babafo", page.Request{}},
		{"two frequent words that meet", "north b", page.Request{}},
		{"three words", "north b d", page.Request{}},
		{"a word nobody has", "qqqq", page.Request{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			q := directory.Query{Words: directory.Words(c.text), Page: c.page.Bounded()}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				storetest.Read(b, s, func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.ListUsers(ctx, w, q)
					return err
				})
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
