package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// standing is a server whose clock stands still until it is moved.
func standing(t *testing.T) (*server, *clock.Manual) {
	t.Helper()
	c := clock.NewManual(storetest.Start())
	return newServerWith(t, app.Options{Clock: c}), c
}

// made creates a key by the API and returns its id and its token.
func (s *server) made(by, body string) (key, token string) {
	s.t.Helper()
	a := s.call(by, "POST", "/api/v1/api-keys", body)
	s.want(a, http.StatusCreated, "")
	return fmt.Sprint(a.body["id"]), fmt.Sprint(a.body["token"])
}

// path is the address of a key.
func path(key string) string { return "/api/v1/api-keys/" + key }

func TestAPIKeys_areChangedByMergePatchAndDeleted(t *testing.T) {
	s, _ := standing(t)
	a := s.call(s.token, "POST", "/api/v1/api-keys", `{"name":"Till","type":"clients","expires_at":"2999-01-01T00:00:00Z","allowed_ips":["192.0.2.7","2001:db8::/32"]}`)
	s.want(a, http.StatusCreated, "")
	key := fmt.Sprint(a.body["id"])
	if a.header.Get("ETag") != `"1"` || a.header.Get("Location") != path(key) || fmt.Sprint(a.body["allowed_ips"]) != "[192.0.2.7 2001:db8::/32]" {
		t.Errorf("created = %v %s, want ETag 1, Location and both addresses", a.header, a.text)
	}
	for _, name := range []string{"last_used", "retiring", "reported_leaked_at", "disabled_at"} {
		if v, there := a.body[name]; !there || v != nil {
			t.Errorf("%s of a new key = %v (there: %v), want null", name, v, there)
		}
	}
	for _, c := range []struct {
		body, ifMatch string
		status        int
		code, want    string // want is a piece of the answer
	}{
		{`{"name":"Till 2"}`, `"1"`, 200, "", `"name":"Till 2"`},
		{`{"name":"Till 3"}`, `"1"`, 412, "revision_changed", ""},
		{`{"name":null}`, "", 422, "invalid_fields", `"field":"name"`},
		{`{"owner":"x"}`, "", 422, "invalid_fields", `"field":"owner"`},
		{`{"permissions":["users.read"]}`, "", 422, "invalid_fields", `"field":"permissions"`},
		{`{"expires_at":"yesterday"}`, "", 422, "invalid_fields", `"field":"expires_at"`},
		{`{"expires_at":"2001-01-01T00:00:00Z"}`, "", 422, "invalid_fields", `"field":"expires_at"`},
		{`{"expires_at":"0001-01-01T00:00:00Z"}`, "", 422, "invalid_fields", `"field":"expires_at"`},
		{`{"allowed_ips":["nowhere"]}`, "", 422, "invalid_fields", `"field":"allowed_ips"`},
		{`{}`, `"2"`, 200, "", `"expires_at":"2999-01-01T00:00:00Z"`},
		{`{"expires_at":null}`, `"2"`, 200, "", `"expires_at":null`},
		{`{"expires_at":"2998-01-01T01:00:00+01:00"}`, "*", 200, "", `"expires_at":"2998-01-01T00:00:00Z"`},
		{`{"allowed_ips":null}`, "", 200, "", `"allowed_ips":[]`},
		{`{"allowed_ips":["2001:db8::7","10.1.2.3/8"]}`, "", 200, "", `"allowed_ips":["10.0.0.0/8","2001:db8::7"]`},
		{`{"allowed_ips":[]}`, "", 200, "", `"allowed_ips":[]`},
	} {
		a = s.call(s.token, "PATCH", path(key), c.body, "If-Match", c.ifMatch)
		if s.want(a, c.status, c.code); !strings.Contains(a.text, c.want) {
			t.Errorf("PATCH %s = %s, want %s in it", c.body, a.text, c.want)
		}
	}
	a = s.call(s.token, "GET", path(key), "")
	if a.header.Get("ETag") != `"7"` || a.body["name"] != "Till 2" || strings.Contains(a.text, "token\"") {
		t.Errorf("GET = %s %s, want the seventh revision, and no token", a.header.Get("ETag"), a.text)
	}
	s.want(s.call(s.token, "DELETE", path(key), "", "If-Match", `"1"`), http.StatusPreconditionFailed, "revision_changed")
	if a := s.callEmpty("DELETE", path(key), "Authorization", s.token, "If-Match", `"7"`); a.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s, want 204", a.status, a.text)
	}
	s.want(s.call(s.token, "GET", path(key), ""), http.StatusNotFound, "api_key_not_found")
}

func TestAPIKeys_areFiltered(t *testing.T) {
	s, c := standing(t)
	maker, makerToken := s.made(s.token, `{"name":"Maker","type":"admin"}`)
	_, clients := s.made(makerToken, `{"name":"Maker's own","type":"clients","expires_at":"2030-01-01T00:00:00Z"}`)
	off, _ := s.made(s.token, `{"name":"Off","type":"shared_mobile"}`)
	s.want(s.call(s.token, "POST", path(off)+"/disable", ""), http.StatusOK, "")
	s.made(s.token, `{"name":"Short","type":"clients","expires_at":"`+c.Now().Add(time.Hour).Format(time.RFC3339)+`"}`)
	c.Advance(2 * time.Hour)
	if a := s.call(clients, "GET", "/authenticator/v1/whoami", ""); a.status != http.StatusOK {
		t.Fatalf("whoami = %d %s", a.status, a.text)
	}
	if err := s.app.APIKeys.FlushUsage(t.Context(), auth.Job("", "test")); err != nil {
		t.Fatal(err)
	}
	a := s.call(s.token, "GET", "/api/v1/api-keys?q=maker%27s", "")
	if used, _ := a.data()[0]["last_used"].(map[string]any); used["at"] != c.Now().Format(time.RFC3339) || used["ip"] != "192.0.2.1" {
		t.Errorf("last_used = %v, want now, from 192.0.2.1", a.data()[0]["last_used"])
	}
	for query, want := range map[string]string{
		"":                                    "all Maker Maker's own Off Short",
		"type=clients":                        "Maker's own Short",
		"status=active":                       "all Maker Maker's own",
		"status=expired":                      "Short",
		"status=disabled":                     "Off",
		"expires_before=2030-01-01T00:00:01Z": "Maker's own Short",
		"expires_before=2030-01-01T00:00:00Z": "Short",
		"never_used=true":                     "Off Short",
		"unused_since=" + c.Now().Format(time.RFC3339):                "all Maker Off Short",
		"unused_since=" + c.Now().Add(time.Hour).Format(time.RFC3339): "all Maker Maker's own Off Short",
		"creator_left=true":                         "",
		"created_by=" + maker:                       "Maker's own",
		"q=ma":                                      "Maker Maker's own",
		"q=" + strings.Split(clients, "_")[2]:       "Maker's own",
		"q=ma&type=admin":                           "Maker",
		"sort=name,descend":                         "Short Off Maker's own Maker all",
		"sort=expires_at,ascend&type=clients":       "Short Maker's own",
		"created_by=key_01jd3v9b8eexav2f6hqdr3wzkt": "",
	} {
		a = s.call(s.token, "GET", "/api/v1/api-keys?"+query, "")
		var names []string
		for _, row := range a.data() {
			names = append(names, fmt.Sprint(row["name"]))
		}
		if got := strings.Join(names, " "); got != want || a.status != http.StatusOK {
			t.Errorf("GET /api-keys?%s = %d %q, want %q", query, a.status, got, want)
		}
	}
	for query, field := range map[string]string{
		"created_by=user_01jd3v9b8eexav2f6hqdr3wzkt": "created_by", "status=odd": "status", "type=odd": "type", "expires_before=soon": "expires_before", "never_used=maybe": "never_used",
	} {
		a = s.call(s.token, "GET", "/api/v1/api-keys?"+query, "")
		if s.want(a, http.StatusUnprocessableEntity, "invalid_fields"); !slices.Equal(a.fields(), []string{field}) {
			t.Errorf("GET /api-keys?%s names %v, want %s", query, a.fields(), field)
		}
	}
	cursor := fmt.Sprint(s.call(s.token, "GET", "/api/v1/api-keys?limit=1&never_used=true", "").body["next_cursor"])
	for _, query := range []string{"", "&never_used=true&type=clients", "&never_used=true&q=s", "&never_used=true&creator_left=true", "&never_used=true&expires_before=2030-01-01T00:00:00Z"} {
		s.want(s.call(s.token, "GET", "/api/v1/api-keys?limit=1&cursor="+cursor+query, ""), http.StatusUnprocessableEntity, "invalid_cursor")
	}
	a = s.call(s.token, "GET", "/api/v1/api-keys?limit=1&never_used=true&cursor="+cursor, "")
	if rows := a.data(); len(rows) != 1 || rows[0]["name"] != "Short" || a.body["next_cursor"] != nil {
		t.Errorf("the second page = %s, want Short alone", a.text)
	}
}

func TestAPIKeys_resetLeavesTheOldTokenGoodForTheOverlap(t *testing.T) {
	s, c := standing(t)
	key, old := s.made(s.token, `{"name":"Payroll","type":"admin","expires_at":"2030-01-01T00:00:00Z"}`)
	s.want(s.call(s.token, "POST", path(key)+"/reset", `{"overlap_minutes":1441}`), http.StatusUnprocessableEntity, "invalid_fields")
	first := s.call(s.token, "POST", path(key)+"/reset", `{"overlap_minutes":60}`, "Idempotency-Key", "rotate")
	s.want(first, http.StatusOK, "")
	next, _ := first.body["token"].(string)
	retiring, _ := first.body["retiring"].(map[string]any)
	if retiring["token_id"] != old[9:21] || retiring["ends_at"] != c.Now().Add(time.Hour).Format(time.RFC3339) || first.body["id"] != key ||
		first.body["token_id"] != next[9:21] || first.body["expires_at"] != "2030-01-01T00:00:00Z" || first.header.Get("Cache-Control") != "no-store" {
		t.Errorf("reset = %s, want the same key with a new token, and the old one retiring", first.text)
	}
	repeat := s.call(s.token, "POST", path(key)+"/reset", `{"overlap_minutes":60}`, "Idempotency-Key", "rotate")
	if s.want(repeat, http.StatusOK, ""); repeat.body["secret_already_shown"] != true || repeat.body["token"] != nil || repeat.body["token_id"] != first.body["token_id"] {
		t.Errorf("the repeat = %s, want the same token's id without the token", repeat.text)
	}
	for _, token := range []string{old, next} {
		s.want(s.call(token, "GET", "/api/v1/users", ""), http.StatusOK, "")
		s.want(s.call(token, "GET", "/api/v1/api-keys", ""), http.StatusOK, "")
	}
	for _, act := range []string{"/reset", "/end-overlap", "/disable"} {
		s.want(s.call(old, "POST", path(key)+act, ""), http.StatusForbidden, "missing_permission")
	}
	s.want(s.call(old, "POST", "/api/v1/api-keys", `{"name":"x","type":"clients"}`), http.StatusForbidden, "missing_permission")

	a := s.call(next, "POST", path(key)+"/end-overlap", "")
	if s.want(a, http.StatusOK, ""); a.body["retiring"] != nil {
		t.Errorf("after the overlap retiring = %v, want null", a.body["retiring"])
	}
	s.want(s.call(old, "GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	s.want(s.call(next, "GET", "/api/v1/me", ""), http.StatusOK, "")

	// An overlap ends by itself; a reset without a body leaves none; null is never.
	a = s.call(s.token, "POST", path(key)+"/reset", `{"overlap_minutes":1,"expires_at":null}`)
	third := fmt.Sprint(a.body["token"])
	if a.body["expires_at"] != nil {
		t.Errorf("expires_at = %v, want null", a.body["expires_at"])
	}
	c.Advance(time.Minute)
	s.want(s.call(next, "GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	if a := s.call(s.token, "GET", path(key), ""); a.body["retiring"] != nil {
		t.Errorf("retiring = %v once its time is over, want null", a.body["retiring"])
	}
	fourth := s.call(third, "POST", path(key)+"/reset", "")
	s.want(fourth, http.StatusOK, "")
	s.want(s.call(third, "GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	s.want(s.call(fmt.Sprint(fourth.body["token"]), "GET", "/api/v1/me", ""), http.StatusOK, "")
}

func TestAPIKeys_resetIsForAdminKeysOnly(t *testing.T) {
	s := newServer(t)
	for typ, title := range map[string]string{"clients": "Clients", "shared_mobile": "Shared Mobile"} {
		key, _ := s.made(s.token, `{"name":"Devices","type":"`+typ+`"}`)
		a := s.call(s.token, "POST", path(key)+"/reset", `{}`)
		s.want(a, http.StatusConflict, "reset_admin_only")
		if detail := fmt.Sprint(a.body["detail"]); !strings.Contains(detail, "devices are enrolled under a "+title+" key") || !strings.Contains(detail, "Create a second key") {
			t.Errorf("detail = %q, want the reason and what to do instead", detail)
		}
	}
}

func TestAPIKeys_disableTakesDescendantsAlong(t *testing.T) {
	s := newServer(t)
	key, parent := s.made(s.token, `{"name":"Parent","type":"admin"}`)
	childKey, child := s.made(parent, `{"name":"Child","type":"admin"}`)
	_, grandchild := s.made(child, `{"name":"Grandchild","type":"clients"}`)
	a := s.call(s.token, "GET", path(key)+"/descendants", "")
	if rows := a.data(); len(rows) != 2 || rows[0]["name"] != "Child" || rows[1]["name"] != "Grandchild" {
		t.Errorf("descendants = %s, want Child and Grandchild", a.text)
	}
	if next, there := a.body["next_cursor"]; !there || next != nil {
		t.Errorf("next_cursor = %v, want null", next)
	}
	a = s.call(s.token, "POST", path(key)+"/disable", "")
	if s.want(a, http.StatusOK, ""); a.body["descendants_disabled"] != 0.0 || a.body["status"] != "disabled" || a.body["disabled_at"] == nil {
		t.Errorf("disable = %s, want the key disabled and no other", a.text)
	}
	s.want(s.call(parent, "GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	s.want(s.call(child, "GET", "/api/v1/me", ""), http.StatusOK, "")
	a = s.call(s.token, "POST", path(key)+"/disable", `{"descendants":true}`, "Idempotency-Key", "stop")
	if s.want(a, http.StatusOK, ""); a.body["descendants_disabled"] != 2.0 {
		t.Errorf("disable = %s, want two descendants disabled", a.text)
	}
	a = s.call(s.token, "POST", path(key)+"/disable", `{"descendants":true}`, "Idempotency-Key", "stop")
	if _, there := a.body["descendants_disabled"]; there || a.body["id"] != key {
		t.Errorf("the repeat = %s, want the key, and no count", a.text)
	}
	s.want(s.call(child, "GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	s.want(s.call(grandchild, "GET", "/authenticator/v1/whoami", ""), http.StatusUnauthorized, "unauthenticated")
	a = s.call(s.token, "POST", path(key)+"/enable", "")
	if s.want(a, http.StatusOK, ""); a.body["status"] != "active" {
		t.Errorf("enable = %s, want the key active", a.text)
	}
	s.want(s.call(parent, "GET", "/api/v1/me", ""), http.StatusOK, "")
	s.want(s.call(child, "GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	s.want(s.call(s.token, "POST", path(childKey)+"/enable", ""), http.StatusOK, "")
	if a := s.callEmpty("DELETE", path(key)+"?descendants=true", "Authorization", s.token); a.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s, want 204", a.status, a.text)
	}
	s.want(s.call(child, "GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	if a := s.call(s.token, "GET", path(childKey), ""); a.body["status"] != "disabled" {
		t.Errorf("the child = %s, want it disabled and still there", a.text)
	}
}

func TestAPIKeys_usageHasEachOfNinetyDays(t *testing.T) {
	s, c := standing(t)
	key, token := s.made(s.token, `{"name":"Meter","type":"admin"}`)
	for range 3 {
		s.want(s.call(token, "GET", "/api/v1/me", ""), http.StatusOK, "")
	}
	c.Advance(24 * time.Hour)
	s.want(s.call(token, "GET", "/api/v1/me", ""), http.StatusOK, "")
	if err := s.app.APIKeys.FlushUsage(t.Context(), auth.Job("", "test")); err != nil {
		t.Fatal(err)
	}
	a := s.call(s.token, "GET", path(key)+"/usage", "")
	rows := a.data()
	if len(rows) != 90 {
		t.Fatalf("usage has %d days, want 90: %s", len(rows), a.text)
	}
	for i, want := range map[int]float64{87: 0, 88: 3, 89: 1} {
		day := c.Now().AddDate(0, 0, i-89).Format(time.DateOnly)
		if rows[i]["date"] != day || rows[i]["count"] != want {
			t.Errorf("day %d = %v, want %s with %v", i, rows[i], day, want)
		}
	}
}

func TestWorkspace_limitOfAPIKeysBindsThoseThatAreThere(t *testing.T) {
	s, c := standing(t)
	key, token := s.made(s.token, `{"name":"Old","type":"admin"}`)
	a := s.call(s.token, "PATCH", "/api/v1/workspace", `{"api_key_max_days":30}`)
	if s.want(a, http.StatusOK, ""); a.body["api_key_max_days"] != 30.0 {
		t.Errorf("PATCH = %s, want 30 days", a.text)
	}
	if got, want := s.call(s.token, "GET", path(key), "").body["expires_at"], c.Now().AddDate(0, 0, 30).Format(time.RFC3339); got != want {
		t.Errorf("expires_at = %v, want %s, 30 days after the token was issued", got, want)
	}
	for _, bad := range []string{"-1", "3651", "1.5", `"7"`} {
		a = s.call(s.token, "PATCH", "/api/v1/workspace", `{"api_key_max_days":`+bad+`}`)
		if a.status != http.StatusUnprocessableEntity || !slices.Equal(a.fields(), []string{"api_key_max_days"}) {
			t.Errorf("PATCH %s = %d %s, want 422 that names the field", bad, a.status, a.text)
		}
	}
	a = s.call(s.token, "PATCH", "/api/v1/workspace", `{"api_key_max_days":null}`)
	if s.want(a, http.StatusOK, ""); a.body["api_key_max_days"] != 0.0 || s.call(s.token, "GET", path(key), "").body["expires_at"] != nil {
		t.Errorf("PATCH null = %s, want no limit", a.text)
	}
	s.want(s.call(token, "GET", "/api/v1/me", ""), http.StatusOK, "")
}
