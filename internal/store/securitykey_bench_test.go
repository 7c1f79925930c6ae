package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// benchKeys is how many keys the lists are measured with.
const benchKeys = 20_000

// BenchmarkSecurityKeys measures pages of All security keys and what finds them with
// 20,000 users who hold a card each, on each engine.
func BenchmarkSecurityKeys(b *testing.B) {
	for name, open := range map[string]func(testing.TB) storetest.Database{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) { benchmarkSecurityKeys(b, open(b)) })
	}
}

// cardOf is the i-th of many cards: nine in ten are active, the rest pending, new or
// suspended, and each is used a minute after the one before.
func cardOf(u directory.User, i int) securitykey.SecurityKey {
	at := storetest.Start().Add(time.Duration(i) * time.Minute)
	k := securitykey.SecurityKey{
		ID: id.New[id.KindSecurityKey](at), Workspace: u.Workspace, User: u.ID, Kind: securitykey.ContactlessCard, Name: "Staff badge", Life: securitykey.Active,
		Verification: securitykey.ByPIN, Card: securitykey.Card{Type: "uid", Digest: fmt.Sprintf("%064x", i), Named: true},
		CreatedAt: at, ActivatedAt: at, LastActivityAt: at, Revision: 1, Holder: securitykey.Holder{Name: u.Name(), Email: u.Email},
	}
	switch i % 30 {
	case 0:
		k.Life, k.ActivatedAt, k.LastActivityAt = securitykey.Pending, time.Time{}, time.Time{}
	case 1:
		k.Life, k.ActivatedAt, k.LastActivityAt = securitykey.New, time.Time{}, time.Time{}
	case 2:
		k.SuspendedAt = at
	}
	return k
}

func benchmarkSecurityKeys(b *testing.B, d storetest.Database) {
	s := d.Store
	w := storetest.Workspace(b, s)
	storetest.ManyUsers(b, s, w, benchKeys)
	q := directory.Query{Page: page.Request{Sort: directory.SortCreated, Limit: page.MaxLimit}}
	for i := 0; i < benchKeys; {
		var users page.Page[directory.User]
		storetest.Read(b, s, func(ctx context.Context, tx *store.Tx) (err error) {
			users, err = tx.ListUsers(ctx, w, q)
			return err
		})
		storetest.Write(b, s, func(ctx context.Context, tx *store.Tx) error {
			for _, u := range users.Items {
				if err := tx.InsertSecurityKey(ctx, cardOf(u, i)); err != nil {
					return err
				}
				i++
			}
			return nil
		})
		q.Page.After = users.Next
	}
	if _, err := d.SQL.ExecContext(b.Context(), "ANALYZE"); err != nil { // as PostgreSQL does by itself within minutes
		b.Fatal(err)
	}
	for name, q := range map[string]securitykey.Query{
		"first page":       {Page: page.Request{WithTotal: true}},
		"by last activity": {Page: page.Request{Sort: securitykey.SortLastActivity, Descending: true}},
		"suspended":        {Status: securitykey.Suspended, Page: page.Request{WithTotal: true}},
		"unused since":     {UnusedSince: storetest.Start().Add(benchKeys / 2 * time.Minute), Status: securitykey.Active},
		"one card":         {CardDigest: fmt.Sprintf("%064x", 4711)},
		"two words":        {Words: []string{"sta", "bib"}},
	} {
		q.Page = q.Page.Bounded()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				storetest.Read(b, s, func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.ListSecurityKeys(ctx, w, q)
					return err
				})
			}
		})
	}
}
