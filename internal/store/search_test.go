package store_test

import (
	"context"
	"fmt"
	"testing"

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
