package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// benchUsers is how many users the lists are measured with.
const benchUsers = 100_000

// benchUser returns the i-th user: one of 100 first and 1,000 last names, an
// address at one of two sites.
func benchUser(w id.Workspace, random *rand.Rand, i int) directory.User {
	const consonants, vowels = "bcdfghjklmnprstvwz", "aeiou"
	name := func(n, syllables int) string {
		var b strings.Builder
		for range syllables {
			b.WriteByte(consonants[n%len(consonants)])
			n /= len(consonants)
			b.WriteByte(vowels[n%len(vowels)])
			n /= len(vowels)
		}
		return strings.ToUpper(b.String()[:1]) + b.String()[1:]
	}
	u := storetest.NewUser(w, "")
	u.FirstName, u.LastName = name(random.IntN(100)*37, 3), name(random.IntN(1000)*53, 4)
	u.UserID = fmt.Sprintf("%s.%s.%d", strings.ToLower(u.FirstName), strings.ToLower(u.LastName), i)
	u.Email = u.UserID + "@" + []string{"north", "south"}[i%2] + ".example"
	u.EmployeeID = fmt.Sprintf("E-%06d", i)
	u.CreatedAt = storetest.Start().Add(time.Duration(i) * time.Second)
	return u
}

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
	random := rand.New(rand.NewPCG(1, 2))
	for from := 0; from < benchUsers; from += 1000 {
		batch := make([]directory.User, 1000)
		for i := range batch {
			batch[i] = benchUser(w, random, from+i)
		}
		storetest.Write(b, s, func(ctx context.Context, tx *store.Tx) error {
			for _, u := range batch {
				if err := tx.InsertUser(ctx, u); err != nil {
					return err
				}
			}
			return nil
		})
	}
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
