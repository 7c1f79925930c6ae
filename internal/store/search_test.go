package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// TestSearch_frequentWordsAndRareOnes looks for words on both sides of the border
// between the two ways in which a search is run.
func TestSearch_frequentWordsAndRareOnes(t *testing.T) {
	onEach(t, func(t *testing.T, open storetest.Opener) {
		const users, teams = 1100, 50
		d := open(t)
		s := d.Store
		w := storetest.Workspace(t, s)
		storetest.Write(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i := range users {
				u := storetest.NewUser(w, fmt.Sprint("u", i))
				u.FirstName, u.LastName = "Common", fmt.Sprintf("Team%02d", i%teams)
				if err := tx.InsertUser(ctx, u); err != nil {
					return err
				}
			}
			return nil
		})
		if _, err := d.SQL.ExecContext(t.Context(), "ANALYZE"); err != nil { // as PostgreSQL does by itself within minutes
			t.Fatal(err)
		}
		for text, want := range map[string]int{
			"common": users, "team": users, "common team": users, "team07": users / teams, "common team07": users / teams,
			"team07 u57": 1, "team07 u58": 0, "nobody": 0, "common nobody": 0,
		} {
			for _, descending := range []bool{false, true} {
				if got := searched(t, s, directory.Query{Words: directory.Words(text), Page: page.Request{Limit: 200, Descending: descending}}, w); got != want {
					t.Errorf("%q, descending %v, found %d, want %d", text, descending, got, want)
				}
			}
		}
	})
}

// searched pages through a search to its end and counts the users.
func searched(t *testing.T, s *store.Store, q directory.Query, w id.Workspace) int {
	t.Helper()
	seen := map[id.User]bool{}
	for {
		var p page.Page[directory.User]
		storetest.Read(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			p, err = tx.ListUsers(ctx, w, q)
			return err
		})
		for _, u := range p.Items {
			if seen[u.ID] {
				t.Errorf("%s came twice", u.ID)
			}
			seen[u.ID] = true
		}
		if q.Page.After = p.Next; p.Next.IsZero() {
			return len(seen)
		}
	}
}

// TestSearch_whereFrequentWordsMeet compares searches for frequent words with what
// the users are called, also after they were renamed.
func TestSearch_whereFrequentWordsMeet(t *testing.T) {
	onEach(t, func(t *testing.T, open storetest.Opener) {
		const users = 3600
		d := open(t)
		s := d.Store
		w := storetest.Workspace(t, s)
		random := rand.New(rand.NewPCG(5, 6))
		firsts, lasts := []string{"Anna", "Bo", "Carl"}, []string{"North", "South", "Northwest", "Ax"}
		var all []directory.User
		for i := range users {
			u := storetest.NewUser(w, fmt.Sprint("u", i))
			u.FirstName, u.LastName = firsts[random.IntN(3)], lasts[random.IntN(4)]
			if u.FirstName == "Carl" {
				u.LastName = "Ax" // so that some never meet, and some do seldom
			}
			all = append(all, u)
		}
		// Numbers over the border of a posting's piece.
		if _, err := d.SQL.ExecContext(t.Context(), `INSERT INTO tally (workspace, name, n) VALUES ($1, 'docs/user', 3000)`, string(w)); err != nil {
			t.Fatal(err)
		}
		for some := range slices.Chunk(all, 300) {
			storetest.Write(t, s, func(ctx context.Context, tx *store.Tx) error {
				for _, u := range some {
					if err := tx.InsertUser(ctx, u); err != nil {
						return err
					}
				}
				return nil
			})
		}
		check := func(when string) {
			t.Helper()
			for _, text := range []string{"anna north", "carl north", "carl south", "bo northw", "a n", "bo south example", "north south", "carl ax anna"} {
				words := directory.Words(text)
				want := 0
				for _, u := range all {
					terms := directory.Terms(u)
					if !slices.ContainsFunc(words, func(word string) bool {
						return !slices.ContainsFunc(terms, func(term string) bool { return strings.HasPrefix(term, word) })
					}) {
						want++
					}
				}
				if got := searched(t, s, directory.Query{Words: words, Page: page.Request{Limit: 200}}, w); got != want {
					t.Errorf("%s, %q found %d, want %d", when, text, got, want)
				}
			}
		}
		check("at first")
		storetest.Write(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i := 0; i < users; i += 100 {
				all[i].FirstName, all[i].LastName = "Carl", "North"
				if err := tx.UpdateUser(ctx, all[i]); err != nil {
					return err
				}
			}
			return nil
		})
		check("after some were renamed")
	})
}

// TestSearch_writersAtOnce writes users with the same words at once: none may be
// missing where the words meet.
func TestSearch_writersAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, open storetest.Opener) {
		d := open(t)
		s := d.Store
		w := storetest.Workspace(t, s)
		const writers, each = 8, 150
		var group sync.WaitGroup
		for n := range writers {
			group.Go(func() {
				for i := range each {
					u := storetest.NewUser(w, fmt.Sprintf("w%dx%d", n, i))
					u.FirstName, u.LastName = "Common", "Writer"
					err := store.For[*store.Tx](s).Write(t.Context(), func(ctx context.Context, tx *store.Tx) (*fault.Error, error) { return nil, tx.InsertUser(ctx, u) })
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if got := searched(t, s, directory.Query{Words: []string{"common", "writer"}, Page: page.Request{Limit: 200}}, w); got != writers*each {
			t.Errorf("found %d users, want %d", got, writers*each)
		}
	})
}

// TestPostTerms_fillsWhatWasThere makes the postings of users that are older than
// postings.
func TestPostTerms_fillsWhatWasThere(t *testing.T) {
	onEach(t, func(t *testing.T, open storetest.Opener) {
		d := open(t)
		s := d.Store
		w := storetest.Workspace(t, s)
		storetest.Write(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i := range 1100 {
				u := storetest.NewUser(w, fmt.Sprint("u", i))
				u.FirstName, u.LastName = "Common", []string{"North", "South"}[i%2]
				if err := tx.InsertUser(ctx, u); err != nil {
					return err
				}
			}
			return nil
		})
		storetest.Exec(t, d, `DELETE FROM posting`)
		storetest.Exec(t, d, `DELETE FROM term_doc`)
		storetest.Exec(t, d, `DELETE FROM tally WHERE name = 'docs/user'`)
		if got := storetest.Count(t, d, `SELECT COUNT(*) FROM posting`); got != 0 {
			t.Fatalf("%d postings, want none", got)
		}
		if err := store.PostTerms(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if got := searched(t, s, directory.Query{Words: []string{"common", "example"}, Page: page.Request{Limit: 200}}, w); got != 1100 {
			t.Errorf("found %d users, want all", got)
		}
		if got := storetest.Count(t, d, `SELECT COUNT(*) FROM term_doc WHERE kind = 'user'`); got != 1100 {
			t.Errorf("%d users are numbered, want all", got)
		}
	})
}
