package api_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/vault"
	"github.com/keyhold/keyhold/internal/store"
)

// website gives a user a passkey at a website and returns its id.
func (s *server) website(user, account string, change func(*vault.Credential)) string {
	s.t.Helper()
	c := websitePasskey(s.here.Workspace, id.User(user), account)
	if change != nil {
		change(&c)
	}
	s.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertCredential(ctx, c) })
	return string(c.ID)
}

func TestCredentials_areListedShownAndDeleted(t *testing.T) {
	s, c := standing(t)
	ada := s.person("ada")
	badge := fmt.Sprint(s.gives(ada, `{"kind":"contactless_card","name":"Badge","activation":"now","card":{"number":"04A1B2C3"},"pin_delivery":"response"}`).body["id"])
	used := c.Now().Add(-time.Hour)
	first := s.website(ada, "ada", func(c *vault.Credential) { c.LastUsedAt, c.LastKey, c.Uses = used, id.SecurityKey(badge), 7 })
	second := s.website(ada, "lovelace", func(c *vault.Credential) { c.CreatedAt = c.CreatedAt.Add(time.Minute); c.Discoverable = false })
	list := "/api/v1/users/" + ada + "/credentials"
	all := s.call(s.token, "GET", list+"?total=true", "")
	if s.want(all, http.StatusOK, ""); len(all.data()) != 2 || all.data()[0]["id"] != second || all.data()[1]["id"] != first || all.body["total"] != float64(2) {
		t.Errorf("the credentials = %s, want both, the newest first", all.text)
	}
	if sorted := s.call(s.token, "GET", list+"?sort=created_at,ascend&limit=1", ""); len(sorted.data()) != 1 || sorted.data()[0]["id"] != first || sorted.body["next_cursor"] == nil {
		t.Errorf("the oldest = %s", sorted.text)
	}
	a := s.call(s.token, "GET", "/api/v1/credentials/"+first, "")
	s.want(a, http.StatusOK, "")
	for field, want := range map[string]any{
		"rp_id": "shop.example", "rp_name": "Shop", "user_name": "ada", "display_name": "Ada at the shop", "algorithm": "ES256", "created_at": c.Now().Format(time.RFC3339),
		"created_by": "Ada", "last_used_at": used.Format(time.RFC3339), "uses": float64(7), "discoverable": true,
	} {
		if got, there := a.body[field]; !there || got != want {
			t.Errorf("%s = %v (there: %v), want %v", field, got, there, want)
		}
	}
	if got := fmt.Sprint(a.body["user"], a.body["last_security_key"]); got != "map[email:ada@example.org id:"+ada+" name:ada Example] map[id:"+badge+" name:Badge]" {
		t.Errorf("user and key = %s", got)
	}
	for _, secret := range []string{"sealed", "private", "public_key", "user_handle"} {
		if _, there := a.body[secret]; there {
			t.Errorf("the answer has %s", secret)
		}
	}
	if never := s.call(s.token, "GET", "/api/v1/credentials/"+second, ""); never.body["last_security_key"] != nil || never.body["last_used_at"] != nil || never.body["discoverable"] != false {
		t.Errorf("one that was never used = %s", never.text)
	}
	foreign := s.call(s.other, "GET", "/api/v1/credentials/"+first, "")
	s.want(s.call(s.other, "GET", list, ""), http.StatusNotFound, "user_not_found")
	if got := s.status("DELETE", "/api/v1/credentials/"+first, ""); got != http.StatusNoContent {
		t.Errorf("DELETE = %d, want 204", got)
	}
	gone := s.call(s.token, "GET", "/api/v1/credentials/"+first, "")
	if s.want(gone, http.StatusNotFound, "credential_not_found"); withoutID(gone.text) != withoutID(foreign.text) {
		t.Errorf("another workspace's credential is told from one that is gone: %s", foreign.text)
	}
	if got := s.status("DELETE", "/api/v1/credentials/"+first, ""); got != http.StatusNotFound {
		t.Errorf("the second DELETE = %d, want 404", got)
	}
	lines := s.call(s.token, "GET", "/api/v1/activities?target="+first, "").data()
	if len(lines) != 1 || lines[0]["action"] != "credential.delete" || lines[0]["credential"] != first || lines[0]["user"] != ada {
		t.Errorf("the record = %v, want the deletion", lines)
	}
}
