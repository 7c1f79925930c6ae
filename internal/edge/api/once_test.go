package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/room/apikey"
)

func TestIdempotencyKey_repeatMakesNothingAndShowsNoSecret(t *testing.T) {
	s := newServer(t)
	const body = `{"name":"Payroll","type":"admin"}`
	first := s.call(s.token, "POST", "/api/v1/api-keys", body, "Idempotency-Key", "one")
	s.want(first, http.StatusCreated, "")
	repeat := s.call(s.token, "POST", "/api/v1/api-keys", body, "Idempotency-Key", "one")
	s.want(repeat, http.StatusCreated, "")
	if repeat.body["id"] != first.body["id"] || repeat.body["secret_already_shown"] != true || repeat.body["token"] != nil {
		t.Errorf("the repeat = %s, want the same key without its token", repeat.text)
	}
	if token, _ := first.body["token"].(string); token == "" || strings.Contains(repeat.text, token) {
		t.Error("the first answer has no token, or the repeat has it too")
	}
	s.want(s.call(s.token, "POST", "/api/v1/api-keys", `{"name":"Other","type":"admin"}`, "Idempotency-Key", "one"), http.StatusUnprocessableEntity, "idempotency_key_reused")
	s.want(s.call(s.token, "POST", "/api/v1/api-keys", body, "Idempotency-Key", strings.Repeat("k", 201)), http.StatusUnprocessableEntity, "invalid_fields")
	// Another caller's key of the same name is another key.
	another := s.call(s.key(s.here, apikey.NewKey{Name: "another", Type: apikey.Admin}), "POST", "/api/v1/api-keys", body, "Idempotency-Key", "one")
	s.want(another, http.StatusCreated, "")
	if another.body["id"] == first.body["id"] {
		t.Error("another caller got the first one's answer")
	}
	// What was refused was not done, and may be sent again.
	bad := s.call(s.token, "POST", "/api/v1/api-keys", `{"name":"","type":"admin"}`, "Idempotency-Key", "two")
	s.want(bad, http.StatusUnprocessableEntity, "invalid_fields")
	s.want(s.call(s.token, "POST", "/api/v1/api-keys", `{"name":"Good","type":"admin"}`, "Idempotency-Key", "two"), http.StatusCreated, "")
	if rows := s.call(s.token, "GET", "/api/v1/api-keys?total=true", ""); rows.body["total"] != float64(5) {
		t.Errorf("%v keys, want 5: the workspace's, another, Payroll twice, Good", rows.body["total"])
	}
}

func TestIdempotencyKey_atOnceIsDoneOnce(t *testing.T) {
	s := newServer(t)
	const callers = 8
	var group sync.WaitGroup
	ids := make([]any, callers)
	for i := range callers {
		group.Go(func() {
			a := s.call(s.token, "POST", "/api/v1/api-keys", `{"name":"Once","type":"clients"}`, "Idempotency-Key", "k")
			ids[i] = a.body["id"]
		})
	}
	group.Wait()
	for _, got := range ids {
		if got == nil || got != ids[0] {
			t.Fatalf("ids = %v, want one and the same", ids)
		}
	}
	if rows := s.call(s.token, "GET", "/api/v1/api-keys?type=clients", "").data(); len(rows) != 1 {
		t.Errorf("%d keys were made, want 1", len(rows))
	}
}
