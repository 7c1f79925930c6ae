package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// earlier returns databases of both engines at an earlier step.
func earlier(t *testing.T, step int64) map[string]storetest.Database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyhold.db")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the file goes with the test
	all := map[string]storetest.Database{"sqlite": {SQL: db}}
	if os.Getenv(storetest.PostgresEnv) != "" {
		all["postgres"] = storetest.EmptyPostgres(t)
	}
	for engine, d := range all {
		if err := store.MigrateTo(t.Context(), engine, d.SQL, step); err != nil {
			t.Fatal(err)
		}
	}
	lite := all["sqlite"]
	if lite.Store, err = store.OpenSQLite(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lite.Close() }) // it was only read from at the end
	all["sqlite"] = lite
	return all
}

// Keys of before get their ends, their warnings, the person at their root and a row of
// their use.
func TestMigrate_apiKeysOfBefore(t *testing.T) {
	for engine, d := range earlier(t, 9) {
		t.Run(engine, func(t *testing.T) { migrateAPIKeys(t, d) })
	}
}

func migrateAPIKeys(t *testing.T, d storetest.Database) {
	w := id.New[id.KindWorkspace](storetest.Start())
	storetest.Exec(t, d, `INSERT INTO workspace (id, name, sealing_key, cursor_secret, created_at) VALUES ($1, 'Harbour', $2, $2, 1)`, string(w), []byte{1})
	ends := storetest.Start().Add(100 * 24 * time.Hour)
	type old struct {
		name, kind, creator string
		expires             time.Time
	}
	ids := map[string]id.APIKey{}
	keys := []old{
		{"by a person", "administrator", "user_ada", ends},
		{"by the command line", "system", "command line", time.Time{}},
		{"by a key", "api_key", "by a person", time.Time{}},
		{"by a key of a key", "api_key", "by a key", ends},
		{"by a key of the command line", "api_key", "by the command line", time.Time{}},
		{"by a key that is gone", "api_key", "key_gone", time.Time{}},
		{"over", "administrator", "user_bob", storetest.Start().Add(-time.Hour)},
	}
	for i, k := range keys {
		ids[k.name] = id.New[id.KindAPIKey](storetest.Start().Add(time.Duration(i) * time.Second))
		creator := k.creator
		if of, ok := ids[creator]; ok {
			creator = string(of)
		}
		expires := int64(0)
		if !k.expires.IsZero() {
			expires = k.expires.UnixMilli()
		}
		storetest.Exec(t, d, `
			INSERT INTO apikey (id, workspace, token_id, token_hash, name, name_fold, type, permissions, created_at, expires_at, created_by_type, created_by_id, created_by_name)
			VALUES ($1, $2, $3, $4, $5, $5, 'admin', 'users.read', $6, $7, $8, $9, 'Maker')`,
			string(ids[k.name]), string(w), fmt.Sprintf("token%07d", i), []byte("hash"), k.name, storetest.Start().UnixMilli(), expires, k.kind, creator)
	}
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	roots := map[string]id.User{"by a person": "user_ada", "by a key": "user_ada", "by a key of a key": "user_ada", "over": "user_bob"}
	for i, k := range keys {
		want := apikey.Key{
			ID: ids[k.name], Workspace: w, TokenID: fmt.Sprintf("token%07d", i), TokenHash: []byte("hash"), Name: k.name, Type: apikey.Admin,
			Permissions: auth.Permissions{auth.UsersRead}, CreatedAt: storetest.Start(), IssuedAt: storetest.Start(), ExpiresAt: k.expires,
			EndsAt: apikey.End(k.expires, storetest.Start(), 0), WarnAt: apikey.Never(), Root: roots[k.name], Revision: 1,
			CreatedBy: activity.Party{Type: k.kind, ID: k.creator, Name: "Maker"},
		}
		if of, ok := ids[k.creator]; ok {
			want.CreatedBy.ID = string(of)
		}
		if !k.expires.IsZero() {
			want.WarnAt = k.expires.AddDate(0, 0, -30)
		}
		storetest.Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
			got, _, err := tx.FindAPIKey(ctx, w, ids[k.name])
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s after the migration, %v (-want +got):\n%s", k.name, err, diff)
			}
			return nil
		})
	}
	storetest.Read(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		p, err := tx.ListAPIKeys(ctx, w, apikey.Query{NeverUsed: true, Page: page.Request{Sort: apikey.SortLastUse, Limit: 50}})
		if err != nil || len(p.Items) != len(keys) {
			t.Errorf("%d keys by their last use (%v), want %d: each has a row", len(p.Items), err, len(keys))
		}
		head, err := tx.LastWithdrawal(ctx)
		if err != nil || head != 0 {
			t.Errorf("the head of what was withdrawn is %d (%v), want 0", head, err)
		}
		return nil
	})
}
