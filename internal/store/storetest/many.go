package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
)

// ManyUsers fills a workspace with n users, the same at every call: of each site
// half, of each first name one in 100, of each last name one in 1,000.
func ManyUsers(t testing.TB, s *store.Store, w id.Workspace, n int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	const batch = 100 // a savepoint costs more the more was written in it
	for from := 0; from < n; from += batch {
		users := make([]directory.User, min(batch, n-from))
		for i := range users {
			users[i] = manyUser(w, random, from+i)
		}
		Write(t, s, func(ctx context.Context, tx *store.Tx) error {
			for _, u := range users {
				if err := tx.InsertUser(ctx, u); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// manyUser returns the i-th user: one of 100 first and 1,000 last names, an
// address at one of two sites.
func manyUser(w id.Workspace, random *rand.Rand, i int) directory.User {
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
	u := NewUser(w, "")
	u.FirstName, u.LastName = name(random.IntN(100)*37, 3), name(random.IntN(1000)*53, 4)
	u.UserID = fmt.Sprintf("%s.%s.%d", strings.ToLower(u.FirstName), strings.ToLower(u.LastName), i)
	u.Email = u.UserID + "@" + []string{"north", "south"}[i%2] + ".example"
	u.EmployeeID = fmt.Sprintf("E-%06d", i)
	u.CreatedAt = Start().Add(time.Duration(i) * time.Second)
	return u
}
