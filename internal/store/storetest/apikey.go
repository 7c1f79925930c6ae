package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store"
)

func apikeyCases() []testCase {
	return []testCase{
		{name: "API keys are filtered and sorted", run: filterAPIKeys},
		{name: "a changed API key comes back as it went", run: changedAPIKey},
		{name: "of two who change an API key one waits", run: lockedAPIKey},
		{name: "descendants of an API key are found", run: descendants},
		{name: "a limit moves the ends of API keys", run: limitAPIKeys},
		{name: "due warnings are taken once", run: dueWarnings, alone: true},
		{name: "uses of API keys are added up", run: addUses},
		{name: "uses are written at once", run: addUsesAtOnce},
		{name: "usage is trimmed", run: trimUsage, alone: true},
		{name: "hashes are replaced and counted", run: rehash, alone: true},
		{name: "who is told of API keys", run: keyWatchers},
	}
}

// newKey returns a key that is not written yet.
func newKey(w id.Workspace, name string) apikey.Key {
	k := apikey.Key{
		ID: id.New[id.KindAPIKey](Start()), Workspace: w, Name: name, Type: apikey.Clients, TokenHash: []byte("hash of " + name), Pepper: 1,
		CreatedAt: Start(), IssuedAt: Start(), EndsAt: apikey.Never(), WarnAt: apikey.Never(), Revision: 1,
	}
	k.TokenID = string(k.ID)[len(k.ID)-12:]
	return k
}

func insertKeys(t *testing.T, d Database, keys ...apikey.Key) {
	t.Helper()
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, k := range keys {
			if err := tx.InsertAPIKey(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
}

// findKey returns a key and whether it is there.
func findKey(t *testing.T, d Database, k apikey.Key) (got apikey.Key, found bool) {
	t.Helper()
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
		got, found, err = tx.FindAPIKey(ctx, k.Workspace, k.ID)
		return err
	})
	return got, found
}

// keyring makes keys that differ in all by which a list is filtered, and returns them
// as they are read back.
func keyring(t *testing.T, d Database, w id.Workspace) (keys []apikey.Key, present id.User, maker id.APIKey) {
	t.Helper()
	here, away := Administrator(t, d.Store, w, "here"), Administrator(t, d.Store, w, "away")
	plain := User(t, d.Store, w, "plain")
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.SuspendUser(ctx, w, away.User, Start()) })
	roots := []id.User{here.User, away.User, plain.ID, "user_gone", ""}
	var made apikey.Key
	for i := range 48 {
		k := newKey(w, []string{"Robot", "röbot", "Zeta", "alpha", "Rob"}[i%5])
		k.Type, k.Root = apikey.Types()[i%3], roots[i%5]
		k.CreatedAt = Start().Add(time.Duration(i%4) * time.Second)
		k.CreatedBy = activity.Party{Type: "administrator", ID: string(k.Root)}
		if i%4 == 1 {
			k.EndsAt = Start().Add(time.Duration(i%6-3) * time.Hour)
		}
		if i > 40 {
			k.CreatedBy = activity.Party{Type: "api_key", ID: string(made.ID)}
		}
		insertKeys(t, d, k)
		if i == 0 {
			made = k
		}
		if i%7 == 2 {
			k.DisabledAt = Start()
			Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, k) })
		}
		if i%3 == 0 {
			use := apikey.Used{Workspace: w, Key: k.ID, Day: 1, N: 1, Last: apikey.Use{At: Start().Add(-time.Duration(i%5) * time.Hour), IP: "192.0.2.1", Agent: "a"}}
			Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.AddAPIKeyUses(ctx, []apikey.Used{use}) })
		}
		got, _ := findKey(t, d, k)
		keys = append(keys, got)
	}
	return keys, here.User, made.ID
}

func filterAPIKeys(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	keyring(t, d, Workspace(t, d.Store)) // of another workspace
	keys, present, maker := keyring(t, d, w)
	now := Start()
	value := map[string]func(k apikey.Key) string{
		apikey.SortName: func(k apikey.Key) string { return directory.Fold(k.Name) }, "": func(k apikey.Key) string { return directory.Fold(k.Name) },
		apikey.SortCreated: func(k apikey.Key) string { return k.CreatedAt.Format(time.RFC3339) },
		apikey.SortExpires: func(k apikey.Key) string { return k.EndsAt.Format(time.RFC3339) },
		apikey.SortLastUse: func(k apikey.Key) string { return k.LastUse.At.Format(time.RFC3339) },
	}
	for _, c := range []struct {
		q    apikey.Query
		keep func(k apikey.Key) bool
	}{
		{apikey.Query{}, func(apikey.Key) bool { return true }},
		{apikey.Query{Begins: "RÖB"}, func(k apikey.Key) bool { return strings.HasPrefix(directory.Fold(k.Name), "rob") }},
		{apikey.Query{Begins: keys[3].TokenID}, func(k apikey.Key) bool { return k.ID == keys[3].ID }},
		{apikey.Query{Begins: "%"}, func(apikey.Key) bool { return false }},
		{apikey.Query{Type: apikey.SharedMobile}, func(k apikey.Key) bool { return k.Type == apikey.SharedMobile }},
		{apikey.Query{Status: apikey.Active}, func(k apikey.Key) bool { return k.Status(now) == apikey.Active }},
		{apikey.Query{Status: apikey.Expired}, func(k apikey.Key) bool { return k.Status(now) == apikey.Expired }},
		{apikey.Query{Status: apikey.Disabled}, func(k apikey.Key) bool { return k.Status(now) == apikey.Disabled }},
		{apikey.Query{ExpiresBefore: now}, func(k apikey.Key) bool { return k.EndsAt.Before(now) }},
		{apikey.Query{ExpiresBefore: now.Add(2 * time.Hour)}, func(k apikey.Key) bool { return k.EndsAt.Before(now.Add(2 * time.Hour)) }},
		{apikey.Query{UnusedSince: now.Add(-2 * time.Hour)}, func(k apikey.Key) bool { return k.LastUse.At.Before(now.Add(-2 * time.Hour)) }},
		{apikey.Query{NeverUsed: true}, func(k apikey.Key) bool { return k.LastUse.At.IsZero() }},
		{apikey.Query{CreatorLeft: true}, func(k apikey.Key) bool { return k.Root != "" && k.Root != present }},
		{apikey.Query{CreatedBy: maker}, func(k apikey.Key) bool { return k.CreatedBy.ID == string(maker) }},
		{
			apikey.Query{Type: apikey.Admin, Status: apikey.Active, NeverUsed: true, CreatorLeft: true, Begins: "r"},
			func(k apikey.Key) bool {
				return k.Type == apikey.Admin && k.Status(now) == apikey.Active && k.LastUse.At.IsZero() && k.Root != "" && k.Root != present && directory.Fold(k.Name)[0] == 'r'
			},
		},
	} {
		c.q.Now = now
		list := func(r page.Request) (p page.Page[apikey.Key], err error) {
			q := c.q
			q.Page = r
			err = runner(d.Store).Read(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				p, err = tx.ListAPIKeys(ctx, w, q)
				return err
			})
			return p, err
		}
		for sort, of := range value {
			want := map[string]string{}
			for _, k := range keys {
				if c.keep(k) {
					want[string(k.ID)] = of(k)
				}
			}
			bothWays(t, sort, want, list, func(k apikey.Key) string { return string(k.ID) })
			p, err := list(page.Request{Sort: sort, Limit: 1, WithTotal: true})
			if err != nil || p.Total != len(want) {
				t.Errorf("%+v by %q: total %d (%v), want %d", c.q, sort, p.Total, err, len(want))
			}
		}
	}
}

func changedAPIKey(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	k, other := newKey(w, "Robot"), newKey(w, "Other")
	insertKeys(t, d, k, other)
	k.TokenID, k.TokenHash, k.Pepper, k.Name = "newtokenid00", allBytes(), 3, "Zeta ✓"
	k.IssuedAt, k.ExpiresAt, k.EndsAt, k.WarnAt = Start().Add(time.Hour), Start().Add(3*time.Hour), Start().Add(2*time.Hour), Start().Add(time.Minute)
	k.DisabledAt, k.LeakedAt, k.AllowedIPs, k.Revision = Start().Add(time.Second), Start().Add(2*time.Second), apikey.ParseAllowedIPs("192.0.2.0/24 ::/0"), 9
	k.Retiring = apikey.Retiring{TokenID: "oldtokenid00", TokenHash: allBytes(), Pepper: 2, EndsAt: Start().Add(90 * time.Minute)}
	change := func(k apikey.Key) error {
		return write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, k) })
	}
	if err := change(k); err != nil {
		t.Fatal(err)
	}
	got, _ := findKey(t, d, k)
	same(t, "the changed key", got, k)
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, token := range []string{"newtokenid00", "oldtokenid00", other.TokenID, "", "nosuchtoken0"} {
			found, place, ok, err := tx.FindAPIKeyByTokenID(ctx, token)
			if err != nil {
				return err
			}
			want := map[string]id.APIKey{"newtokenid00": k.ID, "oldtokenid00": k.ID, other.TokenID: other.ID}[token]
			if found.ID != want || ok != (want != "") || ok && (place != apikey.Place{ID: w, Name: "Harbour"}) {
				t.Errorf("the token %q leads to %q in %+v, want %q", token, found.ID, place, want)
			}
		}
		return nil
	})
	twice := other
	twice.Retiring = apikey.Retiring{TokenID: "oldtokenid00", TokenHash: []byte{1}, EndsAt: Start()}
	if err := change(twice); err == nil {
		t.Error("UpdateAPIKey() with the retiring token of another key = nil, want an error")
	}
	k.Retiring, k.DisabledAt, k.LeakedAt, k.AllowedIPs = apikey.Retiring{}, time.Time{}, time.Time{}, nil
	if err := change(k); err != nil {
		t.Fatal(err)
	}
	got, _ = findKey(t, d, k)
	same(t, "the key without a retiring token", got, k)
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAPIKey(ctx, w, k.ID, Start()) })
	if _, there := findKey(t, d, k); there {
		t.Error("a deleted key is there")
	}
	for what, err := range map[string]error{
		"UpdateAPIKey": change(k),
		"DeleteAPIKey": write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAPIKey(ctx, w, k.ID, Start()) }),
	} {
		if err == nil {
			t.Errorf("%s() of a key that is not there = nil, want an error", what)
		}
	}
}

func lockedAPIKey(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	k := newKey(w, "Robot")
	insertKeys(t, d, k)
	var all sync.WaitGroup
	const writers = 20
	for range writers { // each reads, adds one, and writes: none may be lost
		all.Go(func() {
			err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
				got, found, err := tx.LockAPIKey(ctx, w, k.ID)
				if err != nil || !found {
					return errors.Join(err, errors.New("the key is not found"))
				}
				got.Revision++
				return tx.UpdateAPIKey(ctx, got)
			})
			if err != nil {
				t.Errorf("Write() = %v, want nil", err)
			}
		})
	}
	all.Wait()
	if got, _ := findKey(t, d, k); got.Revision != 1+writers {
		t.Errorf("the key was changed %d times, want %d", got.Revision-1, writers)
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, c := range []struct {
			w id.Workspace
			k id.APIKey
		}{{w, "key_none"}, {"ws_none", k.ID}} {
			if _, found, err := tx.LockAPIKey(ctx, c.w, c.k); err != nil || found {
				t.Errorf("LockAPIKey(%s, %s) = %v (%v), want nothing", c.w, c.k, found, err)
			}
		}
		return nil
	})
}

func descendants(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	ada := User(t, d.Store, w, "ada")
	issue := func(w id.Workspace, name string, by apikey.Key) apikey.Key {
		k := newKey(w, name)
		k.Root, k.CreatedBy = ada.ID, activity.Party{Type: "api_key", ID: string(by.ID)}
		if by.ID == "" {
			k.CreatedBy = activity.Party{Type: "administrator", ID: string(ada.ID)}
		}
		insertKeys(t, d, k)
		return k
	}
	root := issue(w, "root", apikey.Key{})
	b, a := issue(w, "b", root), issue(w, "a", root)
	deep := issue(w, "deep", b)
	issue(w, "deeper", deep)
	issue(other, "elsewhere", root)
	names := func(keys []apikey.Key) string {
		var out []string
		for _, k := range keys {
			out = append(out, k.Name)
		}
		return strings.Join(out, " ")
	}
	lists := func(what, want string, list func(ctx context.Context, tx *store.Tx) ([]apikey.Key, error)) {
		t.Helper()
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			keys, err := list(ctx, tx)
			if got := names(keys); err != nil || got != want {
				t.Errorf("%s = %q (%v), want %q", what, got, err, want)
			}
			return nil
		})
	}
	lists("descendants", "a b deep deeper", func(ctx context.Context, tx *store.Tx) ([]apikey.Key, error) {
		return tx.ListDescendants(ctx, w, root.ID, 10)
	})
	lists("descendants, two of them", "a b", func(ctx context.Context, tx *store.Tx) ([]apikey.Key, error) {
		return tx.ListDescendants(ctx, w, root.ID, 2)
	})
	lists("descendants of a leaf", "", func(ctx context.Context, tx *store.Tx) ([]apikey.Key, error) {
		return tx.ListDescendants(ctx, w, a.ID, 10)
	})
	// A key that was made with a key that is gone still goes back to the person.
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAPIKey(ctx, w, b.ID, Start()) })
	lists("keys of Ada", "a deep deeper root", func(ctx context.Context, tx *store.Tx) ([]apikey.Key, error) {
		return tx.ListCreatedAPIKeys(ctx, w, ada.ID, Start(), 10)
	})
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		if n, err := tx.CountCreatedAPIKeys(ctx, w, ada.ID, Start()); err != nil || n != 4 {
			t.Errorf("CountCreatedAPIKeys() = %d (%v), want 4", n, err)
		}
		return nil
	})
}

func limitAPIKeys(t *testing.T, d Database) {
	w, other := Workspace(t, d.Store), Workspace(t, d.Store)
	const day = 24 * time.Hour
	issued := func(name string, ago, expires time.Duration) apikey.Key {
		k := newKey(w, name)
		k.IssuedAt = Start().Add(-ago)
		if expires != 0 {
			k.ExpiresAt, k.EndsAt = Start().Add(expires), Start().Add(expires)
			k.WarnAt = Start().Add(expires - 7*day)
		}
		return k
	}
	never, old, soon, late := issued("never", 0, 0), issued("old", 100*day, 0), issued("soon", 0, 5*day), issued("late", 0, 500*day)
	elsewhere := newKey(other, "elsewhere")
	insertKeys(t, d, never, old, soon, late, elsewhere)
	limit := func(days int) {
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.LimitAPIKeys(ctx, w, days) })
	}
	want := func(k apikey.Key, ends, warn time.Time, revision int64) {
		t.Helper()
		k.EndsAt, k.WarnAt, k.Revision = ends, warn, revision
		got, _ := findKey(t, d, k)
		same(t, k.Name, got, k)
	}
	end := func(d time.Duration) time.Time { return Start().Add(d) }
	limit(90)
	want(never, end(90*day), end(60*day), 2)
	want(old, end(-10*day), end(-40*day), 2)
	want(soon, soon.EndsAt, soon.WarnAt, 1)
	want(late, end(90*day), end(60*day), 2)
	want(elsewhere, apikey.Never(), apikey.Never(), 1)
	limit(90)
	want(never, end(90*day), end(60*day), 2)
	limit(1000)
	want(never, end(1000*day), end(970*day), 3)
	want(late, end(500*day), end(470*day), 3)
	limit(0)
	want(never, apikey.Never(), apikey.Never(), 4)
	want(old, apikey.Never(), apikey.Never(), 4)
	want(late, end(500*day), end(470*day), 3)
}

func dueWarnings(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	var keys []apikey.Key
	for i := range 6 {
		k := newKey(w, fmt.Sprint("k", i))
		k.WarnAt = Start().Add(time.Duration(5-i) * time.Minute)
		keys = append(keys, k)
	}
	keys = append(keys, newKey(w, "never"))
	insertKeys(t, d, keys...)
	due := func(now time.Time, limit int) (names []string) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			list, err := tx.ListDueAPIKeys(ctx, now, limit)
			for _, k := range list {
				names = append(names, k.Name)
			}
			return err
		})
		return names
	}
	for _, c := range []struct {
		now   time.Time
		limit int
		want  string
	}{
		{Start().Add(-1), 10, ""},
		{Start(), 10, "k5"},
		{Start().Add(2 * time.Minute), 10, "k5 k4 k3"},
		{Start().Add(2*time.Minute - time.Millisecond), 10, "k5 k4"},
		{apikey.Never(), 10, "k5 k4 k3 k2 k1 k0"},
		{apikey.Never(), 2, "k5 k4"},
	} {
		if got := strings.Join(due(c.now, c.limit), " "); got != c.want {
			t.Errorf("due at %v, at most %d: %q, want %q", c.now, c.limit, got, c.want)
		}
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	took := 0
	for range 8 { // one of many has it
		all.Go(func() {
			err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
				mine, err := tx.PostponeWarning(ctx, w, keys[5].ID, keys[5].WarnAt, Start().Add(time.Hour))
				if mine {
					mu.Lock()
					defer mu.Unlock()
					took++
				}
				return err
			})
			if err != nil {
				t.Errorf("Write() = %v, want nil", err)
			}
		})
	}
	all.Wait()
	if took != 1 || slices.Contains(due(Start().Add(time.Minute), 10), "k5") {
		t.Errorf("%d took the warning, want 1, and it is not due any more", took)
	}
}

func keyWatchers(t *testing.T, d Database) {
	w := Workspace(t, d.Store)
	owner := Administrator(t, d.Store, w, "owner")
	writer := Administrator(t, d.Store, w, "writer", auth.APIKeysWrite)
	reader := Administrator(t, d.Store, w, "reader", auth.APIKeysRead, auth.UsersWrite)
	plain := User(t, d.Store, w, "plain")
	away := Administrator(t, d.Store, w, "away")
	Administrator(t, d.Store, Workspace(t, d.Store), "elsewhere")
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.SuspendUser(ctx, w, away.User, Start()) })
	Exec(t, d, `UPDATE directory_user SET language = 'de', timezone = 'Europe/Berlin' WHERE id = $1`, string(owner.User))
	emails := func(list []outbox.Recipient) string {
		var out []string
		for _, r := range list {
			out = append(out, strings.TrimSuffix(r.Email, "@example.org"))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for and, want := range map[id.User][2]string{
			"":            {"owner writer", "away owner"},
			owner.User:    {"owner writer", "away owner"},
			writer.User:   {"owner writer", "away owner writer"},
			reader.User:   {"owner reader writer", "away owner reader"},
			plain.ID:      {"owner writer", "away owner"}, // no administrator
			away.User:     {"owner writer", "away owner"},
			"user_absent": {"owner writer", "away owner"},
		} {
			watchers, name, err := tx.ListKeyWatchers(ctx, w, and)
			if err != nil || name != "Harbour" || emails(watchers) != want[0] {
				t.Errorf("ListKeyWatchers(%s) = %q of %q (%v), want %q", and, emails(watchers), name, err, want[0])
			}
			owners, name, err := tx.ListKeyOwners(ctx, w, and)
			if err != nil || name != "Harbour" || emails(owners) != want[1] {
				t.Errorf("ListKeyOwners(%s) = %q of %q (%v), want %q", and, emails(owners), name, err, want[1])
			}
		}
		owners, _, err := tx.ListOwners(ctx, w)
		if err != nil || emails(owners) != "away owner" {
			t.Errorf("ListOwners() = %q (%v), want all owners", emails(owners), err)
		}
		watchers, _, err := tx.ListKeyWatchers(ctx, w, "")
		if want := (outbox.Recipient{Email: "owner@example.org", Name: "owner Example", Language: "de", Timezone: "Europe/Berlin"}); err != nil || !slices.Contains(watchers, want) {
			t.Errorf("ListKeyWatchers() = %+v (%v), want among them %+v", watchers, err, want)
		}
		return nil
	})
}
