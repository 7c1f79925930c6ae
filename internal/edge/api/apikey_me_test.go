package api

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// TestAppendMe compares what the plain handler writes with what the document
// describes.
func TestAppendMe(t *testing.T) {
	now := time.Date(2026, time.March, 2, 9, 30, 0, 123_000_000, time.UTC)
	plain := apikey.Identity{
		Caller: auth.Caller{Kind: auth.APIKey, APIKey: "key_1", Name: "Robot"}, Place: apikey.Place{ID: "ws_1", Name: "Harbour"},
		Standing: auth.Standing{Active: true, Permissions: auth.All()},
		Key: apikey.Key{
			ID: "key_1", TokenID: "0123456789ab", Name: "Robot", Type: apikey.Admin, Permissions: auth.All(), CreatedAt: now, IssuedAt: now, EndsAt: apikey.Never(),
			CreatedBy: activity.Party{Type: "administrator", ID: "user_1", Name: "Ada"}, LastUse: apikey.Use{At: now, IP: "192.0.2.1", Agent: "curl/8"},
		},
	}
	rich := plain
	rich.Place.Name, rich.Key.Name, rich.Key.CreatedBy.Name = "Hafen <\u2028> \"Süd\"", "Röbot & \\ \x01 Söhne \U0001f511", "</script>"
	rich.Caller.Name, rich.Key.LastUse.Agent = rich.Key.Name, "agent\t\xff\"1"
	rich.Key.Permissions, rich.Standing.Permissions = auth.Permissions{auth.UsersRead}, nil
	rich.Key.EndsAt, rich.Key.ExpiresAt = now.Add(time.Hour), now.Add(time.Hour)
	rich.Key.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")}
	rich.Key.Retiring = apikey.Retiring{TokenID: "ba9876543210", EndsAt: now.Add(time.Minute)}
	over := rich
	over.Key.Retiring.EndsAt = now
	for name, i := range map[string]apikey.Identity{"plain": plain, "rich": rich, "its overlap is over": over} {
		want := meBody{Permissions: i.Standing.Permissions.Strings()}
		want.Workspace.ID, want.Workspace.Name = string(i.Place.ID), i.Place.Name
		want.Caller.Type, want.Caller.ID, want.Caller.Name = string(i.Caller.Kind), string(i.Caller.APIKey), i.Caller.Name
		key := renderAPIKey(i.Key, now)
		want.Key = &key
		described, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(described)+"\n", string(appendMe(nil, &i))); diff != "" {
			t.Errorf("%s (-described +written):\n%s", name, diff)
		}
	}
}
