package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// person makes a user by the API and returns their id.
func (s *server) person(name string) string {
	s.t.Helper()
	a := s.call(s.token, "POST", "/api/v1/users", `{"email":"`+name+`@example.org","first_name":"`+name+`","last_name":"Example"}`)
	s.want(a, http.StatusCreated, "")
	return fmt.Sprint(a.body["id"])
}

// gives makes a security key of a user by the API.
func (s *server) gives(user, body string, headers ...string) answer {
	s.t.Helper()
	a := s.call(s.token, "POST", "/api/v1/users/"+user+"/security-keys", body, headers...)
	s.want(a, http.StatusCreated, "")
	return a
}

// keyPath is the address of a security key.
func keyPath(a answer) string { return "/api/v1/security-keys/" + fmt.Sprint(a.body["id"]) }

// called returns the names of a list's rows, in their order.
func called(a answer) []string {
	out := []string{}
	for _, row := range a.data() {
		out = append(out, fmt.Sprint(row["name"]))
	}
	return out
}

func TestSecurityKeys_cardNowShowsItsPINOnce(t *testing.T) {
	s, c := standing(t)
	ada := s.person("ada")
	const body = `{"kind":"contactless_card","name":"Badge","activation":"now","card":{"type":"uid","number":"04:a1-b2 c3"},"pin_delivery":"response","must_change":true}`
	first := s.gives(ada, body, "Idempotency-Key", "one")
	pin, _ := first.body["pin"].(string)
	now := c.Now().Format(time.RFC3339)
	user, _ := first.body["user"].(map[string]any)
	for field, want := range map[string]any{
		"kind": "contactless_card", "name": "Badge", "model": "", "aaguid": "", "status": "active", "suspended": false, "to_confirm": false, "verification": "pin",
		"proximity": false, "device_access": "single", "created_at": now, "activated_at": now, "last_activity_at": nil, "total_activities": float64(0),
		"activation_expires_at": nil,
	} {
		if got, there := first.body[field]; !there || got != want {
			t.Errorf("%s = %v (there: %v), want %v", field, got, there, want)
		}
	}
	state, _ := first.body["pin_state"].(map[string]any)
	if len(pin) < 6 || user["id"] != ada || user["name"] != "ada Example" || user["email"] != "ada@example.org" || state["set_at"] != now || state["must_change"] != true ||
		state["locked"] != false || first.header.Get("ETag") != `"1"` || first.header.Get("Location") != keyPath(first) || first.header.Get("Cache-Control") != "no-store" {
		t.Errorf("created = %v %s, want Ada's card with its PIN", first.header, first.text)
	}
	if _, there := first.body["offline_login"]; there {
		t.Error("offline_login is told, which is not built")
	}
	repeat := s.gives(ada, body, "Idempotency-Key", "one")
	if repeat.body["id"] != first.body["id"] || repeat.body["pin"] != nil || repeat.body["secret_already_shown"] != true || strings.Contains(repeat.text, pin) {
		t.Errorf("the repeat = %s, want the same key without its PIN", repeat.text)
	}
	got := s.call(s.token, "GET", keyPath(first), "")
	card, _ := got.body["card"].(map[string]any)
	if s.want(got, http.StatusOK, ""); card["type"] != "uid" || card["number"] != "04A1B2C3" || got.body["pin"] != nil || got.header.Get("ETag") != `"1"` {
		t.Errorf("GET = %s, want the card's number and no PIN", got.text)
	}
	for _, list := range []string{"/api/v1/security-keys", "/api/v1/users/" + ada + "/security-keys"} {
		a := s.call(s.token, "GET", list, "")
		if s.want(a, http.StatusOK, ""); len(a.data()) != 1 || strings.Contains(a.text, "04A1B2C3") || strings.Contains(a.text, pin) {
			t.Errorf("GET %s = %s, want the key without number and PIN", list, a.text)
		}
	}
	// The card is somebody's.
	again := s.call(s.token, "POST", "/api/v1/users/"+s.person("bob")+"/security-keys", strings.Replace(body, "04:a1-b2 c3", "04A1B2C3", 1))
	s.want(again, http.StatusConflict, "card_registered")
	// A PIN that is mailed is in no answer, and none was shown before.
	mailed := strings.NewReplacer(`"pin_delivery":"response"`, `"pin_delivery":"email"`, "04:a1-b2 c3", "04FFFFFF").Replace(body)
	for _, a := range []answer{s.gives(ada, mailed, "Idempotency-Key", "two"), s.gives(ada, mailed, "Idempotency-Key", "two")} {
		if a.body["pin"] != nil || a.body["secret_already_shown"] != nil || a.body["pin_state"] == nil {
			t.Errorf("created = %s, want no word of the PIN but its state", a.text)
		}
	}
}

func TestSecurityKeys_fieldsAreChecked(t *testing.T) {
	s, _ := standing(t)
	ada := s.person("ada")
	for body, fields := range map[string][]string{
		`{"kind":"teapot"}`: {"kind"},
		`{"name":"x"}`:      {"kind"},
		`{"kind":"contactless_card","activation":"now"}`:                                                              {"card.number"},
		`{"kind":"contactless_card","card":{"type":"uid","number":"xyz"}}`:                                            {"card.number"},
		`{"kind":"contactless_card","card":{"number":""}}`:                                                            {"card.number"},
		`{"kind":"contactless_card","card":{"type":"mifare","number":"04A1B2C3"}}`:                                    {"card.type"},
		`{"kind":"smartphone","card":{"number":"04A1B2C3"}}`:                                                          {"card.number"},
		`{"kind":"smartphone","activation":"now"}`:                                                                    {"activation"},
		`{"kind":"contactless_card","verification":"pinless"}`:                                                        {"verification"},
		`{"kind":"fido2","proximity":true}`:                                                                           {"proximity"},
		`{"kind":"contactless_card","activation":"now","card":{"number":"04A1B2C3"},"pin":"1"}`:                       {"pin"},
		`{"kind":"contactless_card","activation":"now","card":{"number":"04A1B2C3"},"pin_delivery":"carrier pigeon"}`: {"pin_delivery"},
		`{"kind":"fido2","offline_login":true}`:                                                                       {"offline_login"},
	} {
		a := s.call(s.token, "POST", "/api/v1/users/"+ada+"/security-keys", body)
		s.want(a, http.StatusUnprocessableEntity, "invalid_fields")
		got := slices.Compact(slices.Sorted(slices.Values(a.fields())))
		if !slices.Equal(got, fields) {
			t.Errorf("%s: fields %v, want %v: %s", body, got, fields, a.text)
		}
	}
	if a := s.call(s.token, "GET", "/api/v1/security-keys?total=true", ""); a.body["total"] != float64(0) {
		t.Errorf("%v keys after refusals, want none", a.body["total"])
	}
}

// A key's life, each step by the API.
func TestSecurityKeys_life(t *testing.T) {
	s, c := standing(t)
	ada := s.person("ada")
	k := s.gives(ada, `{"kind":"contactless_card","activation":"email"}`)
	if k.body["status"] != "pending" || k.body["name"] != "Card" || k.body["card"] != nil || k.body["pin_state"] != nil ||
		k.body["activation_expires_at"] != c.Now().Add(72*time.Hour).Format(time.RFC3339) {
		t.Errorf("created = %s, want a pending card", k.text)
	}
	step := func(method, path, body string, status int, code string) answer {
		t.Helper()
		c.Advance(time.Second)
		a := s.call(s.token, method, keyPath(k)+path, body)
		s.want(a, status, code)
		return a
	}
	step("POST", "/confirm", "", http.StatusConflict, "nothing_to_confirm")
	step("POST", "/reset-pin", "", http.StatusConflict, "key_not_active")
	if a := step("POST", "/resend-activation", "", http.StatusOK, ""); a.body["activation_expires_at"] != c.Now().Add(72*time.Hour).Format(time.RFC3339) {
		t.Errorf("resend = %s, want a fresh link", a.text)
	}
	if a := step("POST", "/suspend", "", http.StatusOK, ""); a.body["status"] != "suspended" || a.body["suspended"] != true {
		t.Errorf("suspend = %s", a.text)
	}
	step("POST", "/resend-activation", "", http.StatusConflict, "key_suspended")
	if a := step("POST", "/activate", "", http.StatusOK, ""); a.body["status"] != "pending" || a.body["suspended"] != false {
		t.Errorf("activate = %s, want it as it was", a.text)
	}
	now := s.gives(ada, `{"kind":"contactless_card","activation":"now","card":{"number":"04A1B2C3D4E5F6"},"pin":"73914682"}`)
	k = now
	if a := step("POST", "/reset-pin", `{"pin":"111111"}`, http.StatusUnprocessableEntity, "invalid_fields"); !slices.Contains(a.fields(), "pin") {
		t.Errorf("reset-pin = %s, want the field pin", a.text)
	}
	reset := step("POST", "/reset-pin", `{"pin_delivery":"response"}`, http.StatusOK, "")
	if pin, _ := reset.body["pin"].(string); len(pin) < 6 || reset.header.Get("Cache-Control") != "no-store" {
		t.Errorf("reset-pin = %s, want a PIN", reset.text)
	}
	if a := step("POST", "/reset-pin", `{"pin":"5820917364","must_change":true}`, http.StatusOK, ""); strings.Contains(a.text, "5820917364") {
		t.Errorf("reset-pin = %s, want the mailed PIN not told", a.text)
	}
	tag := step("GET", "", "", http.StatusOK, "").header.Get("ETag")
	if a := s.call(s.token, "PATCH", keyPath(k), `{"name":"Blue badge","model":"MIFARE"}`, "If-Match", tag); a.body["name"] != "Blue badge" || a.body["model"] != "MIFARE" {
		t.Errorf("PATCH = %d %s", a.status, a.text)
	}
	s.want(s.call(s.token, "PATCH", keyPath(k), `{"name":"Red badge"}`, "If-Match", tag), http.StatusPreconditionFailed, "revision_changed")
	s.want(s.call(s.token, "PATCH", keyPath(k), `{"name":null}`), http.StatusUnprocessableEntity, "invalid_fields")
	s.want(s.call(s.token, "PATCH", keyPath(k), `{"status":"active"}`), http.StatusUnprocessableEntity, "invalid_fields")
	c.Advance(time.Second)
	s.want(s.call(s.token, "DELETE", keyPath(k), "", "If-Match", tag), http.StatusPreconditionFailed, "revision_changed")
	if a := s.callEmpty("DELETE", keyPath(k), "Authorization", s.token); a.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s, want 204", a.status, a.text)
	}
	s.want(s.call(s.token, "GET", keyPath(k), ""), http.StatusNotFound, "security_key_not_found")
	record := s.call(s.token, "GET", "/api/v1/users/"+ada+"/security-key-record", "").data()
	if len(record) != 2 || record[0]["security_key"] != k.body["id"] || record[0]["ended_as"] != "deleted" || record[0]["ended_at"] == nil || record[0]["activated_at"] == nil ||
		record[0]["name"] != "Blue badge" || record[1]["ended_at"] != nil || record[1]["activated_at"] != nil {
		t.Errorf("the record = %v, want both keys, the deleted one first", record)
	}
	lines := s.call(s.token, "GET", "/api/v1/activities?sort=at,ascend&security_key="+fmt.Sprint(k.body["id"]), "").data()
	var acts []string
	for _, line := range lines {
		if line["security_key"] != k.body["id"] || line["user"] != ada {
			t.Errorf("the line %v is of another key or user", line)
		}
		acts = append(acts, fmt.Sprint(line["action"]))
	}
	want := []string{"security_key.create", "security_key.pin_reset", "security_key.pin_reset", "security_key.update", "security_key.delete"}
	if got := slices.DeleteFunc(acts, func(a string) bool { return a == "security_key.activate" }); !slices.Equal(got, want) {
		t.Errorf("activities %v, want %v", got, want)
	}
	export := s.send(s.token, "GET", "/api/v1/activities/export?format=csv&security_key="+fmt.Sprint(k.body["id"]), "").Body.String()
	if rows := strings.Count(export, fmt.Sprint(k.body["id"])); rows < len(want) || !strings.HasPrefix(export, "id,") || !strings.Contains(export, ",security_key,client,credential\r\n") {
		t.Errorf("the export has %d rows with the key: %s", rows, export)
	}
	s.want(s.call(s.token, "GET", "/api/v1/activities?security_key=7", ""), http.StatusUnprocessableEntity, "invalid_fields")
}

func TestSecurityKeys_areFiltered(t *testing.T) {
	s, c := standing(t)
	ada, bob, eve := s.person("ada"), s.person("bob"), s.person("eve")
	s.gives(ada, `{"kind":"contactless_card","name":"Badge","activation":"now","card":{"number":"04A1B2C3"}}`)
	c.Advance(time.Hour)
	s.gives(ada, `{"kind":"smartphone","name":"Phone","activation":"email"}`)
	off := s.gives(bob, `{"kind":"fido2","name":"Stick","model":"YubiKey 5"}`)
	s.want(s.call(s.token, "POST", keyPath(off)+"/suspend", ""), http.StatusOK, "")
	s.gives(bob, `{"kind":"contactless_card","name":"Spare"}`)
	for query, want := range map[string][]string{
		"":                            {"Badge", "Phone", "Spare", "Stick"},
		"?sort=name,descend":          {"Stick", "Spare", "Phone", "Badge"},
		"?sort=created_at&limit=1":    {"Badge"},
		"?status=active":              {"Badge"},
		"?status=pending":             {"Phone"},
		"?status=suspended":           {"Stick"},
		"?status=new":                 {"Spare"},
		"?kind=contactless_card":      {"Badge", "Spare"},
		"?owner=" + ada:               {"Badge", "Phone"},
		"?owner=" + eve:               {},
		"?to_confirm=true":            {},
		"?q=bob":                      {"Spare", "Stick"},
		"?q=yubi":                     {"Stick"},
		"?q=04-A1-B2-C3":              {"Badge"},
		"?q=04A1B2C4":                 {},
		"?q=ada&kind=smartphone":      {"Phone"},
		"?sort=last_activity,descend": nil,
		"?unused_since=" + url.QueryEscape(c.Now().Add(-30*time.Minute).Format(time.RFC3339)): {"Badge"},
	} {
		a := s.call(s.token, "GET", "/api/v1/security-keys"+query, "")
		if s.want(a, http.StatusOK, ""); want != nil && !slices.Equal(called(a), want) {
			t.Errorf("%s: %v, want %v", query, called(a), want)
		}
	}
	for query, field := range map[string]string{
		"?status=lost": "status", "?kind=ring": "kind", "?owner=7": "owner", "?sort=colour": "sort", "?unused_since=once": "unused_since", "?colour=red": "colour",
	} {
		if a := s.call(s.token, "GET", "/api/v1/security-keys"+query, ""); a.status != http.StatusUnprocessableEntity || !slices.Equal(a.fields(), []string{field}) {
			t.Errorf("%s = %d %v, want the field %s", query, a.status, a.fields(), field)
		}
	}
	// A cursor goes on where its own list was.
	first := s.call(s.token, "GET", "/api/v1/security-keys?limit=2&total=true", "")
	cursor := url.QueryEscape(fmt.Sprint(first.body["next_cursor"]))
	if next := s.call(s.token, "GET", "/api/v1/security-keys?limit=2&cursor="+cursor, ""); !slices.Equal(called(next), []string{"Spare", "Stick"}) || first.body["total"] != float64(4) {
		t.Errorf("the second page = %v of %v, want the rest of 4", called(next), first.body["total"])
	}
	s.want(s.call(s.token, "GET", "/api/v1/security-keys?limit=2&kind=fido2&cursor="+cursor, ""), http.StatusUnprocessableEntity, "invalid_cursor")
	users := s.call(s.token, "GET", "/api/v1/users?without_key=true&total=true", "")
	if len(users.data()) != 1 || users.data()[0]["id"] != eve || users.body["total"] != float64(1) {
		t.Errorf("users without a key = %s, want Eve", users.text)
	}
	// Another workspace has none of it.
	if a := s.call(s.other, "GET", "/api/v1/security-keys?q=04A1B2C3", ""); len(a.data()) != 0 {
		t.Errorf("elsewhere: %s", a.text)
	}
	s.want(s.call(s.other, "GET", "/api/v1/users/"+ada+"/security-keys", ""), http.StatusNotFound, "user_not_found")
	s.want(s.call(s.other, "GET", "/api/v1/users/"+ada+"/security-key-record", ""), http.StatusNotFound, "user_not_found")
}

func TestSecurityKeys_many(t *testing.T) {
	s, _ := standing(t)
	ada := s.person("ada")
	a, b := s.gives(ada, `{"kind":"fido2"}`), s.gives(ada, `{"kind":"fido2"}`)
	const none = "sk_01jd3v9b8eexav2f6hqdr3wzkt"
	body := fmt.Sprintf(`{"ids":[%q,%q,%q,"7"]}`, a.body["id"], b.body["id"], none)
	for _, act := range []string{"suspend", "activate", "delete"} {
		got := s.call(s.token, "POST", "/api/v1/security-keys/"+act, body, "Idempotency-Key", act)
		rows := got.data()
		if s.want(got, http.StatusOK, ""); len(rows) != 4 || rows[0]["outcome"] != "success" || rows[1]["outcome"] != "success" || rows[2]["code"] != "security_key_not_found" ||
			rows[3]["code"] != "security_key_not_found" || rows[3]["id"] != "7" {
			t.Errorf("%s = %s, want two done and two not found", act, got.text)
		}
		if repeat := s.call(s.token, "POST", "/api/v1/security-keys/"+act, body, "Idempotency-Key", act); repeat.text != got.text {
			t.Errorf("%s again = %s, want %s", act, repeat.text, got.text)
		}
	}
	if all := s.call(s.token, "GET", "/api/v1/security-keys", ""); len(all.data()) != 0 {
		t.Errorf("left: %s", all.text)
	}
	s.want(s.call(s.token, "POST", "/api/v1/security-keys/delete", `{"ids":[]}`), http.StatusUnprocessableEntity, "invalid_fields")
}

func TestSecurityKeySettings(t *testing.T) {
	s, c := standing(t)
	const path = "/api/v1/workspace/security-keys"
	a := s.call(s.token, "GET", path, "")
	want := `{"pin_min":6,"pin_max":32,"pin_digit":true,"pin_lower":false,"pin_upper":false,"pin_special":false,"pinless":false,"models_allowed":[],"models_blocked":[],"unused_days":0,"grace_days":14}`
	if s.want(a, http.StatusOK, ""); strings.TrimSpace(a.text) != want || a.header.Get("ETag") != `"1"` {
		t.Errorf("GET = %s %s, want the defaults at the first revision", a.header.Get("ETag"), a.text)
	}
	change := `{"pin_min":8,"pinless":true,"models_blocked":["EE882879-721C-4913-9775-3DFCCE97072A"],"unused_days":90}`
	a = s.call(s.token, "PATCH", path, change, "If-Match", `"1"`)
	if s.want(a, http.StatusOK, ""); a.body["pin_min"] != float64(8) || a.body["pinless"] != true || fmt.Sprint(a.body["models_blocked"]) != "[ee882879-721c-4913-9775-3dfcce97072a]" ||
		a.header.Get("ETag") != `"2"` {
		t.Errorf("PATCH = %s %s", a.header.Get("ETag"), a.text)
	}
	s.want(s.call(s.token, "PATCH", path, change, "If-Match", `"1"`), http.StatusPreconditionFailed, "revision_changed")
	if a = s.call(s.token, "PATCH", path, `{"models_blocked":null}`); fmt.Sprint(a.body["models_blocked"]) != "[]" {
		t.Errorf("PATCH = %s, want no model blocked", a.text)
	}
	for body, field := range map[string]string{
		`{"pin_min":3}`: "pin_min", `{"pin_max":64}`: "pin_max", `{"models_allowed":["x"]}`: "models_allowed", `{"unused_days":-1}`: "unused_days",
		`{"grace_days":0}`: "grace_days", `{"colour":1}`: "colour",
	} {
		bad := s.call(s.token, "PATCH", path, body)
		if s.want(bad, http.StatusUnprocessableEntity, "invalid_fields"); !slices.Contains(bad.fields(), field) {
			t.Errorf("%s: fields %v, want %s", body, bad.fields(), field)
		}
	}
	// What looking for unused keys would do.
	ada := s.person("ada")
	s.gives(ada, `{"kind":"contactless_card","name":"Old","activation":"now","card":{"number":"04A1B2C3"}}`)
	c.Advance(50 * 24 * time.Hour)
	s.token = s.key(s.here, apikey.NewKey{Name: "later", Type: apikey.Admin})
	a = s.call(s.token, "GET", "/api/v1/security-keys/unused?unused_days=50&grace_days=7", "")
	if s.want(a, http.StatusOK, ""); a.body["to_tell_count"] != float64(1) || a.body["to_suspend_count"] != float64(0) {
		t.Errorf("unused = %s, want one to tell", a.text)
	}
	s.want(s.call(s.token, "GET", "/api/v1/security-keys/unused?unused_days=0&grace_days=7", ""), http.StatusUnprocessableEntity, "invalid_fields")
}

func TestSecurityKeyStatistics(t *testing.T) {
	s, c := standing(t)
	ada := s.person("ada")
	s.gives(ada, `{"kind":"contactless_card","activation":"now","card":{"number":"04A1B2C3"}}`)
	s.gives(ada, `{"kind":"smartphone","activation":"email"}`)
	k := s.gives(ada, `{"kind":"fido2"}`)
	s.want(s.call(s.token, "POST", keyPath(k)+"/suspend", ""), http.StatusOK, "")
	gone := s.gives(ada, `{"kind":"fido2"}`)
	if a := s.callEmpty("DELETE", keyPath(gone), "Authorization", s.token); a.status != http.StatusNoContent {
		t.Fatalf("DELETE = %d %s", a.status, a.text)
	}
	today := c.Now().Format(time.DateOnly)
	a := s.call(s.token, "GET", "/api/v1/statistics/security-keys?from="+today+"&to="+today, "")
	want := `"total":3,"by_kind":{"contactless_card":1,"smartphone":1,"fido2":1},"by_status":{"new":0,"pending":1,"active":1,"suspended":1},` +
		`"days":[{"date":"` + today + `","created":4,"activated":1,"deleted":1}]`
	if s.want(a, http.StatusOK, ""); !strings.Contains(a.text, want) {
		t.Errorf("statistics = %s, want %s", a.text, want)
	}
	s.want(s.call(s.token, "GET", "/api/v1/statistics/security-keys?timezone=Mars/Olympus", ""), http.StatusUnprocessableEntity, "invalid_fields")
}

func TestTemporaryAccessPass(t *testing.T) {
	s, c := standing(t)
	ada := s.person("ada")
	path := "/api/v1/users/" + ada + "/temporary-access-pass"
	s.want(s.call(s.token, "GET", path, ""), http.StatusNotFound, "access_pass_not_found")
	s.want(s.call(s.token, "DELETE", path, ""), http.StatusNotFound, "access_pass_not_found")
	first := s.call(s.token, "POST", path, "", "Idempotency-Key", "one")
	code, _ := first.body["code"].(string)
	if first.status != http.StatusCreated || len(code) != 8 || first.body["state"] != "valid" || first.body["one_time"] != false ||
		first.body["expires_at"] != c.Now().Add(time.Hour).Format(time.RFC3339) || first.header.Get("Cache-Control") != "no-store" || first.body["created_by"] != "all" {
		t.Errorf("created = %s, want a pass for an hour", first.text)
	}
	got := s.call(s.token, "GET", path, "")
	if s.want(got, http.StatusOK, ""); got.body["id"] != first.body["id"] || strings.Contains(got.text, code) || got.body["code"] != nil {
		t.Errorf("GET = %s, want the pass without its code", got.text)
	}
	c.Advance(time.Second)
	starts := c.Now().Add(24 * time.Hour)
	second := s.call(s.token, "POST", path, `{"lifetime_minutes":10,"length":48,"starts_at":"`+starts.Format(time.RFC3339)+`","one_time":true}`)
	if second.status != http.StatusCreated || len(fmt.Sprint(second.body["code"])) != 48 || second.body["state"] != "scheduled" || second.body["one_time"] != true ||
		second.body["starts_at"] != starts.Format(time.RFC3339) || second.body["expires_at"] != starts.Add(10*time.Minute).Format(time.RFC3339) {
		t.Errorf("created = %s, want a scheduled one-time pass", second.text)
	}
	repeat := s.call(s.token, "POST", path, "", "Idempotency-Key", "one")
	if s.want(repeat, http.StatusCreated, ""); repeat.body["id"] != first.body["id"] || repeat.body["state"] != "replaced" || repeat.body["secret_already_shown"] != true ||
		strings.Contains(repeat.text, code) {
		t.Errorf("the repeat = %s, want the first pass, replaced, without its code", repeat.text)
	}
	_, err := s.app.SignIn.OpenByAccessPass(t.Context(), auth.Nobody("192.0.2.3", "", ""), "ada@example.org", secret.FromString(code))
	storetest.Refused(t, err, "pass_rejected")
	if a := s.callEmpty("DELETE", path, "Authorization", s.token); a.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s, want 204", a.status, a.text)
	}
	s.want(s.call(s.token, "DELETE", path, ""), http.StatusConflict, "access_pass_over")
	for body, field := range map[string]string{
		`{"lifetime_minutes":9}`: "lifetime_minutes", `{"lifetime_minutes":43201}`: "lifetime_minutes", `{"lifetime_minutes":0}`: "lifetime_minutes", `{"length":7}`: "length",
		`{"length":49}`: "length", `{"starts_at":"2001-01-01T00:00:00Z"}`: "starts_at", `{"starts_at":"soon"}`: "starts_at", `{"code":"ABCDEFGH"}`: "code",
	} {
		a := s.call(s.token, "POST", path, body)
		if s.want(a, http.StatusUnprocessableEntity, "invalid_fields"); !slices.Equal(a.fields(), []string{field}) {
			t.Errorf("%s: fields %v, want %s", body, a.fields(), field)
		}
	}
	s.want(s.call(s.token, "POST", "/api/v1/users/"+ada+"/suspend", ""), http.StatusOK, "")
	s.want(s.call(s.token, "POST", path, ""), http.StatusConflict, "user_suspended")
}

// The document says what is shown once.
func TestSecurityKeys_document(t *testing.T) {
	s := newServer(t)
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(s.call("", "GET", "/api/v1/openapi.json", "").text), &doc); err != nil {
		t.Fatal(err)
	}
	for schema, fields := range map[string][]string{
		"SecurityKeyBody": {"id", "user", "kind", "name", "model", "status", "suspended", "verification", "proximity", "device_access", "created_at", "last_activity_at", "total_activities"},
		"AccessPassBody":  {"starts_at", "expires_at", "one_time", "state"},
	} {
		for _, field := range fields {
			if doc.Components.Schemas[schema].Properties[field] == nil {
				t.Errorf("the document's %s has no %s", schema, field)
			}
		}
		for _, secret := range []string{"pin", "code"} {
			if doc.Components.Schemas[schema].Properties[secret] != nil {
				t.Errorf("the document's %s has %s", schema, secret)
			}
		}
	}
}
