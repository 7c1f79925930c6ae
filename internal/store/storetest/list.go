package storetest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
)

func listCases() []testCase {
	return []testCase{
		{name: "users are paged in every order", run: pageUsers},
		{name: "users who come while others are read disturb nobody", run: pageWhileWriting},
		{name: "API keys are paged in every order", run: pageAPIKeys},
		{name: "activities are paged both ways", run: pageActivities},
		{name: "activities are filtered", run: filterActivities},
		{name: "text is ordered by its bytes", run: bytewise},
		{name: "search", run: search},
		{name: "a changed user is found under the new words only", run: searchAfterChange},
		{name: "the tally is the count", run: tally},
	}
}

// walk reads all pages of a list and returns the ids in the order in which they
// came. between is called after each page.
func walk[T any](t *testing.T, r page.Request, list func(page.Request) (page.Page[T], error), name func(T) string, between func()) []string {
	t.Helper()
	var out []string
	for range 1000 {
		p, err := list(r)
		if err != nil {
			t.Fatalf("page after %v: %v", r.After, err)
		}
		if len(p.Items) > r.Limit {
			t.Fatalf("a page has %d rows, want at most %d", len(p.Items), r.Limit)
		}
		for _, item := range p.Items {
			out = append(out, name(item))
		}
		if p.Next.IsZero() {
			return out
		}
		r.After = p.Next
		between()
	}
	t.Fatal("the list has no end")
	return nil
}

func nothing() {}

// inOrder returns the names in the order of their values, then of the names.
func inOrder(values map[string]string, descending bool) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(strings.Compare(values[a], values[b]), strings.Compare(a, b)) })
	if descending {
		slices.Reverse(names)
	}
	return names
}

// bothWays walks a list in pieces of several lengths, both ways, and compares
// what comes with the order of the values.
func bothWays[T any](t *testing.T, sort string, values map[string]string, list func(page.Request) (page.Page[T], error), name func(T) string) {
	t.Helper()
	for _, descending := range []bool{false, true} {
		want := inOrder(values, descending)
		for _, limit := range []int{1, 7, len(values), page.MaxLimit} {
			got := walk(t, page.Request{Sort: sort, Descending: descending, Limit: limit}, list, name, nothing)
			if !slices.Equal(got, want) {
				t.Errorf("sort %q, descending %v, limit %d:\n got %q\nwant %q", sort, descending, limit, got, want)
			}
		}
	}
}

func userName(u directory.User) string { return string(u.ID) }

// crowd makes users of whom many share a name and a moment. It returns, for each
// sort, the value by which each user is sorted.
func crowd(t *testing.T, d Database, w id.Workspace, size int) map[string]map[string]string {
	t.Helper()
	values := map[string]map[string]string{}
	for _, sort := range directory.Sorts() {
		values[sort] = map[string]string{}
	}
	first := []string{"Zoë", "zoe", "Ada", "ada b", "_", "Ægir", "O'Neil", "李"}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for i := range size {
			u := NewUser(w, fmt.Sprintf("User%d", size-i))
			u.FirstName, u.LastName = first[i%len(first)], "Same"
			u.CreatedAt = Start().Add(time.Duration(i%3) * time.Hour)
			if i%2 == 0 {
				u.LastActivityAt = Start().Add(time.Duration(i%5) * time.Minute)
			}
			if err := tx.InsertUser(ctx, u); err != nil {
				return err
			}
			values[directory.SortName][userName(u)] = directory.Fold(u.Name())
			values[directory.SortEmail][userName(u)] = directory.Fold(u.Email)
			values[directory.SortUserID][userName(u)] = directory.Fold(u.UserID)
			values[directory.SortCreated][userName(u)] = u.CreatedAt.Format(time.RFC3339)
			values[directory.SortLastActivity][userName(u)] = u.LastActivityAt.Format(time.RFC3339)
		}
		return nil
	})
	return values
}

// userLister lists users of a workspace; every page is a snapshot of its own.
func userLister(t *testing.T, d Database, w id.Workspace, q directory.Query) func(page.Request) (page.Page[directory.User], error) {
	return func(r page.Request) (p page.Page[directory.User], err error) {
		q.Page = r
		err = runner(d.Store).Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			p, err = tx.ListUsers(ctx, w, q)
			return err
		})
		return p, err
	}
}

func pageUsers(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	User(t, d.Store, Workspace(t, d.Store), "stranger") // of another workspace
	for sort, values := range crowd(t, d, w, 40) {
		bothWays(t, sort, values, userLister(t, d, w, directory.Query{}), userName)
	}
	values := crowd(t, d, Workspace(t, d.Store), 0)[directory.SortName]
	bothWays(t, "", values, userLister(t, d, Workspace(t, d.Store), directory.Query{}), userName)
}

func pageWhileWriting(t *testing.T, d Database) {
	for _, sort := range directory.Sorts() {
		w := Workspace(t, d.Store)
		before := crowd(t, d, w, 30)[sort]
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		n := 0
		got := walk(t, page.Request{Sort: sort, Limit: 4}, userLister(t, d, w, directory.Query{}), userName, func() {
			n++
			u := NewUser(w, fmt.Sprintf("late%d_%d", random.IntN(1000), n))
			u.CreatedAt = Start().Add(time.Duration(random.IntN(200)) * time.Minute)
			Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertUser(ctx, u) })
		})
		got = slices.DeleteFunc(got, func(name string) bool { _, old := before[name]; return !old })
		if want := inOrder(before, false); !slices.Equal(got, want) {
			t.Errorf("sort %q, seed %d: of those who were there before\n got %q\nwant %q", sort, seed, got, want)
		}
	}
}

func pageAPIKeys(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	names, moments := map[string]string{}, map[string]string{}
	for i := range 25 {
		k := apikey.Key{
			EndsAt: apikey.Never(), WarnAt: apikey.Never(), ID: id.New[id.KindAPIKey](Start()), Workspace: w, TokenHash: []byte{1}, Type: apikey.Types()[i%3],
			Name: []string{"Robot", "röbot", "Zeta", "alpha"}[i%4], CreatedAt: Start().Add(time.Duration(i%3) * time.Second),
		}
		k.TokenID = string(k.ID)
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertAPIKey(ctx, k) })
		names[string(k.ID)], moments[string(k.ID)] = directory.Fold(k.Name), k.CreatedAt.Format(time.RFC3339)
	}
	lister := func(kind apikey.Type) func(page.Request) (page.Page[apikey.Key], error) {
		return func(r page.Request) (p page.Page[apikey.Key], err error) {
			err = runner(d.Store).Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				p, err = tx.ListAPIKeys(ctx, w, apikey.Query{Type: kind, Page: r})
				return err
			})
			return p, err
		}
	}
	keyName := func(k apikey.Key) string { return string(k.ID) }
	bothWays(t, apikey.SortName, names, lister(""), keyName)
	bothWays(t, apikey.SortCreated, moments, lister(""), keyName)
	p, err := lister(apikey.Clients)(page.Request{Limit: 3, WithTotal: true})
	if err != nil || len(p.Items) != 3 || p.Total != 8 {
		t.Errorf("%d keys of %d for clients (%v), want 3 of 8", len(p.Items), p.Total, err)
	}
}

// lines writes activities of which many share a moment and returns when each was.
func lines(t *testing.T, d Database, w id.Workspace, size int) map[string]string {
	t.Helper()
	moments := map[string]string{}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for i := range size {
			r := activity.Row{
				Event: activity.Event{
					ID: id.New[id.KindActivity](Start()), Workspace: w, At: Start().Add(time.Duration(i%4) * time.Second), Count: 1,
					Action: []string{"user.create", "user.update"}[i%2], Outcome: []activity.Outcome{activity.Success, activity.Refused}[i%2],
					User: id.User(fmt.Sprintf("user_%d", i%3)),
				},
				ActorSalt: []byte{1}, ActorDigest: []byte{2}, TargetSalt: []byte{3}, TargetDigest: []byte{4},
			}
			if err := tx.InsertActivity(ctx, r); err != nil {
				return err
			}
			moments[string(r.ID)] = r.At.Format(time.RFC3339)
		}
		return nil
	})
	return moments
}

// bareWorkspace makes a workspace without a line in its record.
func bareWorkspace(t *testing.T, d Database) id.Workspace {
	t.Helper()
	w := directory.Workspace{ID: id.New[id.KindWorkspace](Start()), Name: "Bare", SealingKey: []byte{}, CursorSecret: []byte{}, CreatedAt: Start()}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertWorkspace(ctx, w) })
	return w.ID
}

func activityLister(t *testing.T, d Database, w id.Workspace, q activity.Query) func(page.Request) (page.Page[activity.Event], error) {
	return func(r page.Request) (p page.Page[activity.Event], err error) {
		q.Page = r
		err = runner(d.Store).Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			p, err = tx.ListActivities(ctx, w, q)
			return err
		})
		return p, err
	}
}

func eventName(e activity.Event) string { return string(e.ID) }

func pageActivities(t *testing.T, d Database) {
	w := bareWorkspace(t, d)
	bothWays(t, "", lines(t, d, w, 25), activityLister(t, d, w, activity.Query{}), eventName)
}

func filterActivities(t *testing.T, d Database) {
	w := bareWorkspace(t, d)
	lines(t, d, w, 24)
	for _, c := range []struct {
		q    activity.Query
		want int
	}{
		{activity.Query{}, 24},
		{activity.Query{User: "user_1"}, 8},
		{activity.Query{Action: "user.update"}, 12},
		{activity.Query{Outcome: activity.Refused}, 12},
		{activity.Query{Action: "user.create", Outcome: activity.Refused}, 0},
		{activity.Query{User: "user_2", Action: "user.create"}, 4},
		{activity.Query{From: Start().Add(time.Second)}, 18},
		{activity.Query{To: Start().Add(time.Second)}, 6},
		{activity.Query{From: Start().Add(time.Second), To: Start().Add(2 * time.Second)}, 6},
	} {
		p, err := activityLister(t, d, w, c.q)(page.Request{Limit: 100, WithTotal: true})
		if err != nil || len(p.Items) != c.want || p.Total != c.want {
			t.Errorf("%+v: %d lines, total %d (%v), want %d", c.q, len(p.Items), p.Total, err, c.want)
		}
	}
}

func bytewise(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	// A dictionary's order is another one: it passes over signs and cases.
	names := []string{"-", "_x", "a b", "a-b", "ab", "a~", "b", "{", "ß", "ø", "я", "中"}
	values := map[string]string{}
	for i, name := range names {
		u := NewUser(w, fmt.Sprintf("u%d", i))
		u.FirstName, u.LastName = name, ""
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertUser(ctx, u) })
		values[userName(u)] = directory.Fold(name)
	}
	bothWays(t, directory.SortName, values, userLister(t, d, w, directory.Query{}), userName)
}

func search(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	for _, u := range []directory.User{
		{UserID: "ada", FirstName: "Ada", LastName: "Lovelace", EmployeeID: "E-100"},
		{UserID: "adam", FirstName: "Adam", LastName: "Ångström", EmployeeID: "E-101"},
		{UserID: "zoe", FirstName: "Zoë", LastName: "van der Berg", EmployeeID: "100%_sure"},
		{UserID: "cafe", FirstName: "Cafe\u0301", LastName: "O'Brien-Smith"},
		{UserID: "ivan", FirstName: "Иван", LastName: "李"},
	} {
		u.ID, u.Workspace, u.Email, u.Status, u.Revision, u.CreatedAt = id.New[id.KindUser](Start()), w, u.UserID+"@mail.example", directory.Pending, 1, Start()
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertUser(ctx, u) })
	}
	User(t, d.Store, Workspace(t, d.Store), "adaline") // of another workspace
	for text, want := range map[string]string{
		"":           "ada adam cafe ivan zoe",
		"ada":        "ada adam",
		"ADA":        "ada adam",
		"ada love":   "ada",
		"love ada":   "ada",
		"ada ang":    "adam",
		"lovelacex":  "",
		"ada berg":   "", // words that never meet
		"ovelace":    "", // no beginning
		"zoe":        "zoe",
		"zoë":        "zoe",
		"café":       "cafe",
		"angstrom":   "adam",
		"brien":      "cafe",
		"o'br":       "cafe",
		"smith":      "cafe",
		"%":          "",
		"100%":       "zoe",
		"100":        "ada zoe",
		"100_":       "",
		"_":          "",
		`\`:          "",
		"ada@mail":   "ada",
		"mail":       "ada adam cafe ivan zoe",
		"ив":         "ivan",
		"李":          "ivan",
		"der van b":  "zoe",
		"ada ada":    "ada adam",
		"' OR 1=1--": "",
		"a\x00b":     "",
		"ada\x00":    "ada adam",
		"\xffada":    "ada adam",
	} {
		q := directory.Query{Words: directory.Words(text)}
		p, err := userLister(t, d, w, q)(page.Request{Sort: directory.SortUserID, Limit: 50, WithTotal: true})
		var got []string
		for _, u := range p.Items {
			got = append(got, u.UserID)
		}
		if err != nil || strings.Join(got, " ") != want || p.Total != len(got) {
			t.Errorf("search %q = %q, total %d (%v), want %q", text, got, p.Total, err, want)
		}
	}
}

func searchAfterChange(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	u := User(t, d.Store, w, "ada")
	u.FirstName, u.Email, u.UserID = "Grace", "grace@example.org", "grace"
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, u) })
	for word, want := range map[string]int{"ada": 0, "grace": 1} {
		p, err := userLister(t, d, w, directory.Query{Words: []string{word}})(page.Request{Limit: 5})
		if err != nil || len(p.Items) != want {
			t.Errorf("search %q finds %d users (%v), want %d", word, len(p.Items), err, want)
		}
	}
}

func tally(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	lists := func(want int) {
		t.Helper()
		p, err := userLister(t, d, w, directory.Query{})(page.Request{Limit: 1, WithTotal: true})
		if rows := Count(t, d, `SELECT COUNT(*) FROM directory_user WHERE workspace = $1`, w); err != nil || p.Total != want || rows != want {
			t.Errorf("total %d, %d rows (%v), want %d", p.Total, rows, err, want)
		}
	}
	lists(0)
	u := User(t, d.Store, w, "ada")
	User(t, d.Store, w, "bob")
	lists(2)
	again := u // the same id once more: all of it is undone, the tally too
	if err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertUser(ctx, again) }); err == nil {
		t.Error("inserting a user twice = nil, want an error")
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, u) })
	lists(2)
}
