package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const digitalKeysPath = "/api/v1/digital-keys"

// keyOf makes a digital key for two hours from now by the API, with further fields.
func (s *server) keyOf(user, lock, more string, headers ...string) answer {
	s.t.Helper()
	a := s.call(s.token, "POST", digitalKeysPath, keyBody(user, lock, more), headers...)
	s.want(a, http.StatusCreated, "")
	return a
}

// keyBody asks for a key from half past nine to half past eleven, see storetest.Start.
func keyBody(user, lock, more string) string {
	return fmt.Sprintf(`{"user":%q,"locks":[%q],"starts_at":"2026-03-02T09:30:00Z","expires_at":"2026-03-02T11:30:00Z",%s}`, user, lock, more)
}

func digitalKeyPath(a answer) string { return digitalKeysPath + "/" + fmt.Sprint(a.body["id"]) }

func TestDigitalKeys_showTheirPINOnce(t *testing.T) {
	s, c := standing(t)
	ada, lock := s.person("ada"), s.lock("Front door")
	const more = `"types":["pin","app","keycard"],"description":"Guest","keycard":{"type":"uid","number":"04:a1-b2 c3"},"notify":{"email":true},"role":"ROLE-ADMIN"`
	first := s.keyOf(ada, lock, more, "Idempotency-Key", "one")
	pin := fmt.Sprint(first.body["pin"])
	for field, want := range map[string]any{
		"description": "Guest", "starts_at": "2026-03-02T09:30:00Z", "expires_at": "2026-03-02T11:30:00Z", "timezone": "Europe/Berlin", "role": "ROLE-ADMIN", "status": "ACTIVE",
		"survives_lease": false, "pin_length": float64(6), "created_at": c.Now().Format(time.RFC3339), "cancelled_at": nil, "cancel_reason": "", "created_by": "all",
	} {
		if got, there := first.body[field]; !there || got != want {
			t.Errorf("%s = %v (there: %v), want %v", field, got, there, want)
		}
	}
	user, _ := first.body["user"].(map[string]any)
	if len(pin) != 6 || user["id"] != ada || user["email"] != "ada@example.org" || fmt.Sprint(first.body["types"]) != "[pin app keycard]" ||
		fmt.Sprint(first.body["locks"]) != "[map[id:"+lock+" name:Front door]]" || first.header.Get("ETag") != `"1"` || first.header.Get("Location") != digitalKeyPath(first) ||
		first.header.Get("Cache-Control") != "no-store" {
		t.Errorf("created = %v %s", first.header, first.text)
	}
	repeat := s.keyOf(ada, lock, more, "Idempotency-Key", "one")
	if repeat.body["id"] != first.body["id"] || repeat.body["pin"] != nil || repeat.body["secret_already_shown"] != true || strings.Contains(repeat.text, pin) {
		t.Errorf("the repeat = %s, want the same key without its PIN", repeat.text)
	}
	got := s.call(s.token, "GET", digitalKeyPath(first), "")
	if s.want(got, http.StatusOK, ""); fmt.Sprint(got.body["keycard"]) != "map[number:04A1B2C3 type:uid]" || strings.Contains(got.text, pin) || got.body["pin"] != nil {
		t.Errorf("GET = %s, want the card's number and no PIN", got.text)
	}
	for _, list := range []string{digitalKeysPath, "/api/v1/users/" + ada + "/digital-keys"} {
		a := s.call(s.token, "GET", list, "")
		if s.want(a, http.StatusOK, ""); len(a.data()) != 1 || strings.Contains(a.text, "04A1B2C3") || strings.Contains(a.text, pin) {
			t.Errorf("GET %s = %s, want the key without number and PIN", list, a.text)
		}
	}
	app := s.keyOf(ada, lock, `"types":["app"]`, "Idempotency-Key", "two")
	again := s.keyOf(ada, lock, `"types":["app"]`, "Idempotency-Key", "two")
	if app.body["pin"] != nil || app.body["pin_length"] != nil || again.body["secret_already_shown"] != nil {
		t.Errorf("a key by the app = %s, and again %s, want no word of a PIN", app.text, again.text)
	}
}

func TestDigitalKeys_aTakenPINHasOneAnswer(t *testing.T) {
	s, _ := standing(t)
	ada, bob, lock := s.person("ada"), s.person("bob"), s.lock("Front door")
	if a := s.keyOf(ada, lock, `"types":["pin"],"pin":"471108"`); a.body["pin"] != "471108" {
		t.Errorf("the chosen PIN = %v", a.body["pin"])
	}
	var told []string
	for _, pin := range []string{"471108", "123456"} { // taken, and trivial
		a := s.call(s.token, "POST", digitalKeysPath, keyBody(bob, lock, `"types":["pin"],"pin":"`+pin+`"`))
		s.want(a, http.StatusConflict, "pin_unavailable")
		told = append(told, withoutID(a.text))
	}
	if told[0] != told[1] {
		t.Errorf("a taken PIN is told from a trivial one: %s", told)
	}
	for body, field := range map[string]string{
		`"types":["pin"],"pin":"12"`: "pin", `"types":["pin"],"pin_length":9`: "pin", `"types":["voice"]`: "types", `"types":[]`: "types", `"types":["app"],"pin":"471108"`: "pin",
		`"types":["keycard"],"keycard":{"number":"xyz"}`: "keycard", `"types":["app"],"timezone":"Mars/Base"`: "starts_at", `"types":["app"],"colour":"red"`: "colour",
		`"types":["app"],"weekly_hours":[{"days":["noday"],"from":"08:00","to":"09:00"}]`: "weekly_hours",
		`"types":["app"],"weekly_hours":[{"days":["mon"],"from":"8","to":"09:00"}]`:       "weekly_hours[0].from",
	} {
		a := s.call(s.token, "POST", digitalKeysPath, keyBody(bob, lock, body))
		if got := slices.Compact(a.fields()); a.status != http.StatusUnprocessableEntity || !slices.Equal(got, []string{field}) {
			t.Errorf("%s = %d %v, want the field %s: %s", body, a.status, got, field, a.text)
		}
	}
	for what, body := range map[string]string{
		"user": keyBody("7", lock, `"types":["app"]`), "locks": keyBody(bob, "7", `"types":["app"]`),
	} {
		if a := s.call(s.token, "POST", digitalKeysPath, body); a.status != http.StatusUnprocessableEntity || !slices.Equal(a.fields(), []string{what}) {
			t.Errorf("%s = %d %v, want the field %s", body, a.status, a.fields(), what)
		}
	}
}

func TestDigitalKeys_takeLocalTimes(t *testing.T) {
	s, _ := standing(t)
	ada, lock := s.person("ada"), s.lock("Front door")
	give := func(span string) answer {
		return s.call(s.token, "POST", digitalKeysPath, fmt.Sprintf(`{"user":%q,"locks":[%q],"types":["app"],%s}`, ada, lock, span))
	}
	for span, want := range map[string]string{
		`"starts_at":"2026-12-04","expires_at":"2026-12-07"`:                                           "2026-12-04T13:00:00Z to 2026-12-07T09:00:00Z Europe/Berlin",
		`"starts_at":"2026-12-04T14:30","expires_at":"2026-12-04T15:00","timezone":"America/New_York"`: "2026-12-04T19:30:00Z to 2026-12-04T20:00:00Z America/New_York",
		`"starts_at":"2026-12-04T14:30:00+01:00","expires_at":"2026-12-04T15:00:00Z"`:                  "2026-12-04T13:30:00Z to 2026-12-04T15:00:00Z Europe/Berlin",
		`"starts_at":"2026-03-29T02:30","expires_at":"2026-10-25T02:30"`:                               "2026-03-29T01:00:00Z to 2026-10-25T01:30:00Z Europe/Berlin",
	} {
		a := give(span)
		if got := fmt.Sprintf("%v to %v %v", a.body["starts_at"], a.body["expires_at"], a.body["timezone"]); a.status != http.StatusCreated || got != want {
			t.Errorf("%s = %d %s, want %s", span, a.status, got, want)
		}
	}
	for span, field := range map[string]string{
		`"starts_at":"2026-12-04T14:30:00Z","expires_at":"2026-12-07"`: "expires_at", `"starts_at":"2026-12-04","expires_at":"2026-12-07T09:00:00Z"`: "starts_at",
		`"starts_at":"soon","expires_at":"2026-12-07"`: "starts_at", `"starts_at":"2026-12-07T12:00","expires_at":"2026-12-04T12:00"`: "expires_at",
	} {
		if a := give(span); a.status != http.StatusUnprocessableEntity || !slices.Contains(a.fields(), field) {
			t.Errorf("%s = %d %v, want the field %s", span, a.status, a.fields(), field)
		}
	}
	body := fmt.Sprintf(`{"user":%q,"locks":[%q],"types":["pin"],"starts_at":"2026-03-29T02:30","expires_at":"2026-10-25T02:30"}`, ada, lock)
	look := s.call(s.token, "POST", digitalKeysPath+"/preview", body)
	if s.want(look, http.StatusOK, ""); look.body["starts_at"] != "2026-03-29T01:00:00Z" || !strings.Contains(fmt.Sprint(look.body["notes"]), "start_in_gap") ||
		!strings.Contains(fmt.Sprint(look.body["notes"]), "end_in_fold") {
		t.Errorf("preview = %s, want what the clocks do", look.text)
	}
	locks, _ := look.body["locks"].([]any)
	if one, _ := locks[0].(map[string]any); one["id"] != lock || one["pins"] != float64(1) || one["odds"] != float64(200000) || one["lease_seconds"] != float64(86400) {
		t.Errorf("preview = %s, want one PIN and the odds", look.text)
	}
	if all := s.call(s.token, "GET", digitalKeysPath+"?total=true&type=pin", ""); all.body["total"] != float64(0) {
		t.Errorf("the preview made a key: %s", all.text)
	}
}

func TestDigitalKeys_areChangedByMergePatch(t *testing.T) {
	s, _ := standing(t)
	ada, lock := s.person("ada"), s.lock("Front door")
	const hours = `[{"days":["mon","fri"],"from":"08:00","to":"18:00"},{"days":["sat"],"from":"22:00","to":"24:00"}]`
	k := s.keyOf(ada, lock, `"types":["pin"],"description":"Guest","weekly_hours":`+hours)
	const want = "[map[days:[mon fri] from:08:00 to:18:00] map[days:[sat] from:22:00 to:24:00]]"
	path := digitalKeyPath(k)
	if got := s.call(s.token, "GET", path, ""); fmt.Sprint(got.body["weekly_hours"]) != want {
		t.Errorf("the hours = %v, want %s", got.body["weekly_hours"], want)
	}
	a := s.call(s.token, "PATCH", path, `{"description":null,"weekly_hours":[]}`, "If-Match", `"1"`)
	if s.want(a, http.StatusOK, ""); a.body["description"] != "" || fmt.Sprint(a.body["weekly_hours"]) != "[]" || a.body["pin"] != nil || a.header.Get("ETag") != `"2"` {
		t.Errorf("patched = %s %s", a.header.Get("ETag"), a.text)
	}
	s.want(s.call(s.token, "PATCH", path, `{"description":"x"}`, "If-Match", `"1"`), http.StatusPreconditionFailed, "revision_changed")
	a = s.call(s.token, "PATCH", path, `{"pin":null}`)
	if s.want(a, http.StatusOK, ""); len(fmt.Sprint(a.body["pin"])) != 6 || a.body["pin"] == k.body["pin"] || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("another PIN = %s", a.text)
	}
	a = s.call(s.token, "PATCH", path, `{"starts_at":"2026-03-02T12:00","expires_at":"2026-03-02T13:00","timezone":"Europe/Berlin","types":["app"]}`)
	if s.want(a, http.StatusOK, ""); a.body["starts_at"] != "2026-03-02T11:00:00Z" || a.body["status"] != "UPCOMING" || a.body["pin_length"] != nil {
		t.Errorf("patched = %s, want it to start at noon in Berlin, by the app alone", a.text)
	}
	if a := s.call(s.token, "PATCH", path, `{"starts_at":"2026-03-02T12:00"}`); a.status != http.StatusUnprocessableEntity || !slices.Equal(a.fields(), []string{"starts_at"}) {
		t.Errorf("half a range = %d %v", a.status, a.fields())
	}
	none := "dk_01jd3v9b8eexav2f6hqdr3wzkt"
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		foreign, missing := s.call(s.other, method, path, `{}`), s.call(s.other, method, digitalKeysPath+"/"+none, `{}`)
		if s.want(missing, http.StatusNotFound, "digital_key_not_found"); withoutID(foreign.text) != withoutID(missing.text) {
			t.Errorf("%s of another workspace's key is told from a missing one: %s", method, foreign.text)
		}
	}
}

func TestDigitalKeys_areCancelledAndConfirmed(t *testing.T) {
	s, c := standing(t)
	ada, lock := s.person("ada"), s.lock("Front door")
	d := s.controller(lock)
	k, other := s.keyOf(ada, lock, `"types":["pin"]`), s.keyOf(ada, lock, `"types":["app"]`)
	d.Pull(t)
	d.Confirm(t)
	receipt := func() map[string]any {
		t.Helper()
		a := s.call(s.token, "GET", digitalKeyPath(k)+"/receipts", "")
		if s.want(a, http.StatusOK, ""); len(a.data()) != 1 {
			t.Fatalf("the receipts = %s, want one", a.text)
		}
		return a.data()[0]
	}
	if r := receipt(); r["removed"] != false || r["applied_at"] == nil || r["at_latest"] != nil || r["online"] != true {
		t.Errorf("the receipt = %v, want it confirmed", r)
	}
	c.Advance(time.Minute)
	a := s.call(s.token, "POST", digitalKeyPath(k)+"/cancel", "", "Idempotency-Key", "one")
	if s.want(a, http.StatusOK, ""); a.body["status"] != "CANCELLED" || a.body["cancel_reason"] != "cancelled" || a.body["cancelled_at"] != c.Now().Format(time.RFC3339) {
		t.Errorf("cancelled = %s", a.text)
	}
	if r := receipt(); r["removed"] != true || r["applied_at"] != nil || r["at_latest"] != "2026-03-02T11:30:00Z" {
		t.Errorf("the receipt = %v, want a removal that waits until the key would have ended", r)
	}
	waiting := s.call(s.token, "GET", digitalKeysPath+"/unconfirmed", "")
	if rows := waiting.data(); len(rows) != 1 || rows[0]["digital_key"] != k.body["id"] || rows[0]["at_latest"] != "2026-03-02T11:30:00Z" || fmt.Sprint(rows[0]["lock"]) != "map[id:"+lock+" name:Front door]" {
		t.Errorf("unconfirmed = %s, want the key", waiting.text)
	}
	if got := s.call(s.token, "DELETE", digitalKeyPath(k), ""); got.status != http.StatusConflict || got.body["code"] != "digital_key_unsafe" {
		t.Errorf("DELETE = %d %s, want it unsafe", got.status, got.text)
	}
	if got := s.call(s.token, "DELETE", digitalKeyPath(other), ""); got.status != http.StatusConflict || got.body["code"] != "digital_key_not_over" {
		t.Errorf("DELETE of an active one = %d %s", got.status, got.text)
	}
	d.Pull(t)
	d.Confirm(t)
	if r := receipt(); r["applied_at"] != c.Now().Format(time.RFC3339) {
		t.Errorf("the receipt = %v, want it confirmed", r)
	}
	if rows := s.call(s.token, "GET", digitalKeysPath+"/unconfirmed", "").data(); len(rows) != 0 {
		t.Errorf("unconfirmed = %v, want none", rows)
	}
	body := fmt.Sprintf(`{"ids":[%q,%q,"dk_01jd3v9b8eexav2f6hqdr3wzkt","7"]}`, other.body["id"], k.body["id"])
	many := s.call(s.token, "POST", digitalKeysPath+"/cancel", body, "Idempotency-Key", "two")
	rows := many.data()
	if s.want(many, http.StatusOK, ""); len(rows) != 4 || rows[0]["outcome"] != "success" || rows[2]["code"] != "digital_key_not_found" || rows[3]["code"] != "digital_key_not_found" || rows[3]["id"] != "7" {
		t.Errorf("cancelling many = %s", many.text)
	}
	if repeat := s.call(s.token, "POST", digitalKeysPath+"/cancel", body, "Idempotency-Key", "two"); repeat.text != many.text {
		t.Errorf("again = %s, want %s", repeat.text, many.text)
	}
	if got := s.status("DELETE", digitalKeyPath(k), `"1"`); got != http.StatusPreconditionFailed {
		t.Errorf("DELETE of another revision = %d, want 412", got)
	}
	if got := s.status("DELETE", digitalKeyPath(k), ""); got != http.StatusNoContent {
		t.Errorf("DELETE = %d, want 204", got)
	}
}

func TestDigitalKeys_areFiltered(t *testing.T) {
	s, c := standing(t)
	ada, bob, gate, shed := s.person("ada"), s.person("bob"), s.lock("Gate"), s.lock("Shed")
	s.keyOf(ada, gate, `"types":["pin"],"description":"Guest"`)
	c.Advance(time.Second)
	s.keyOf(bob, shed, `"types":["app"],"description":"Plumber","survives_lease":true`)
	for query, want := range map[string][]string{
		"?sort=created_at": {"Guest", "Plumber"}, "?sort=created_at,descend": {"Plumber", "Guest"}, "?lock=" + gate: {"Guest"}, "?user=" + bob: {"Plumber"}, "?type=app": {"Plumber"},
		"?survives_lease=true": {"Plumber"}, "?q=plum": {"Plumber"}, "?q=ada": {"Guest"}, "?status=UPCOMING": {}, "?status=ACTIVE&type=pin": {"Guest"},
	} {
		a := s.call(s.token, "GET", digitalKeysPath+query, "")
		got := []string{}
		for _, row := range a.data() {
			got = append(got, fmt.Sprint(row["description"]))
		}
		if s.want(a, http.StatusOK, ""); !slices.Equal(got, want) {
			t.Errorf("%s = %v, want %v", query, got, want)
		}
	}
	for query, field := range map[string]string{"?status=LOST": "status", "?lock=7": "lock", "?user=7": "user", "?type=voice": "type", "?sort=colour": "sort"} {
		if a := s.call(s.token, "GET", digitalKeysPath+query, ""); a.status != http.StatusUnprocessableEntity || !slices.Equal(a.fields(), []string{field}) {
			t.Errorf("%s = %d %v, want the field %s", query, a.status, a.fields(), field)
		}
	}
	if all := s.call(s.other, "GET", digitalKeysPath, ""); len(all.data()) != 0 {
		t.Errorf("another workspace's keys: %s", all.text)
	}
	s.want(s.call(s.other, "GET", "/api/v1/users/"+ada+"/digital-keys", ""), http.StatusNotFound, "user_not_found")
}
