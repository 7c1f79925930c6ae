package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

const locksPath = "/api/v1/locks"

// lock makes a lock by the API and returns its id.
func (s *server) lock(name string) string {
	s.t.Helper()
	a := s.call(s.token, "POST", locksPath, `{"name":"`+name+`","timezone":"Europe/Berlin"}`)
	s.want(a, http.StatusCreated, "")
	return fmt.Sprint(a.body["id"])
}

// controller enrols a controller for a lock by a token of the API.
func (s *server) controller(lock string) *storetest.Controller {
	s.t.Helper()
	a := s.call(s.token, "POST", locksPath+"/"+lock+"/enrolment", "")
	s.want(a, http.StatusOK, "")
	return storetest.EnrolController(s.t, s.app.Locks, fmt.Sprint(a.body["token"]))
}

func TestLocks_areCreatedChangedAndDeleted(t *testing.T) {
	s, c := standing(t)
	const body = `{"name":"Front door","timezone":"Europe/Berlin"}`
	a := s.call(s.token, "POST", locksPath, body, "Idempotency-Key", "one")
	s.want(a, http.StatusCreated, "")
	for field, want := range map[string]any{
		"name": "Front door", "place": "", "timezone": "Europe/Berlin", "open_seconds": float64(5), "lease_seconds": float64(86400), "state": "unknown", "door": "unknown",
		"online": false, "last_seen_at": nil, "battery": nil, "settled": true, "lease_until": nil, "clock": "", "software": "", "enrolled_at": nil,
		"created_at": c.Now().Format(time.RFC3339), "version": float64(0), "applied_version": float64(0),
	} {
		if got, there := a.body[field]; !there || got != want {
			t.Errorf("%s = %v (there: %v), want %v", field, got, there, want)
		}
	}
	path := locksPath + "/" + fmt.Sprint(a.body["id"])
	if fmt.Sprint(a.body["capabilities"]) != "[pin app keycard]" || a.header.Get("ETag") != `"1"` || a.header.Get("Location") != path {
		t.Errorf("created = %v %s", a.header, a.text)
	}
	if again := s.call(s.token, "POST", locksPath, body, "Idempotency-Key", "one"); again.status != http.StatusCreated || again.body["id"] != a.body["id"] {
		t.Errorf("the repeat = %d %s, want the same lock", again.status, again.text)
	}
	patch := `{"name":"Main door","place":"Pier 3","capabilities":["pin"],"open_seconds":9}`
	a = s.call(s.token, "PATCH", path, patch, "If-Match", `"1"`)
	if s.want(a, http.StatusOK, ""); a.body["name"] != "Main door" || a.body["place"] != "Pier 3" || fmt.Sprint(a.body["capabilities"]) != "[pin]" || a.body["open_seconds"] != float64(9) ||
		a.header.Get("ETag") != `"2"` {
		t.Errorf("patched = %s %s", a.header.Get("ETag"), a.text)
	}
	s.want(s.call(s.token, "PATCH", path, patch, "If-Match", `"1"`), http.StatusPreconditionFailed, "revision_changed")
	a = s.call(s.token, "PATCH", path, `{"place":null}`)
	if s.want(a, http.StatusOK, ""); a.body["place"] != "" || a.body["name"] != "Main door" {
		t.Errorf("patched = %s, want the place emptied alone", a.text)
	}
	for body, fields := range map[string][]string{
		`{"timezone":"Mars/Base"}`: {"timezone"}, `{"open_seconds":0}`: {"open_seconds"}, `{"lease_seconds":59}`: {"lease_seconds"}, `{"capabilities":["voice"]}`: {"capabilities"},
		`{"colour":"red"}`: {"colour"},
	} {
		if a := s.call(s.token, "PATCH", path, body); a.status != http.StatusUnprocessableEntity || !slices.Equal(a.fields(), fields) {
			t.Errorf("%s = %d %v, want %v", body, a.status, a.fields(), fields)
		}
	}
	if got := s.status("DELETE", path, `"1"`); got != http.StatusPreconditionFailed {
		t.Errorf("DELETE of another revision = %d, want 412", got)
	}
	if got := s.status("DELETE", path, ""); got != http.StatusNoContent {
		t.Errorf("DELETE = %d, want 204", got)
	}
	gone, foreign := s.call(s.token, "GET", path, ""), s.call(s.other, "GET", locksPath+"/"+s.lock("Shed"), "")
	if s.want(gone, http.StatusNotFound, "lock_not_found"); withoutID(gone.text) != withoutID(foreign.text) || foreign.status != http.StatusNotFound {
		t.Errorf("another workspace's lock is told from one that is gone: %s and %s", foreign.text, gone.text)
	}
}

func TestLocks_enrolByATokenThatIsShownOnce(t *testing.T) {
	s, c := standing(t)
	lock := s.lock("Front door")
	path := locksPath + "/" + lock
	a := s.call(s.token, "POST", path+"/enrolment", "", "Idempotency-Key", "one")
	text := fmt.Sprint(a.body["token"])
	if s.want(a, http.StatusOK, ""); !strings.HasPrefix(text, "khe_") || a.header.Get("Cache-Control") != "no-store" || a.body["expires_at"] != c.Now().Add(time.Hour).Format(time.RFC3339) {
		t.Errorf("the enrolment = %v %s", a.header, a.text)
	}
	repeat := s.call(s.token, "POST", path+"/enrolment", "", "Idempotency-Key", "one")
	if s.want(repeat, http.StatusOK, ""); repeat.body["secret_already_shown"] != true || strings.Contains(repeat.text, text) || repeat.body["expires_at"] != a.body["expires_at"] {
		t.Errorf("the repeat = %s, want the end and no token", repeat.text)
	}
	d := storetest.EnrolController(t, s.app.Locks, text)
	d.Pull(t)
	d.Confirm(t)
	got := s.call(s.token, "GET", path, "")
	if s.want(got, http.StatusOK, ""); got.body["online"] != true || got.body["settled"] != true || got.body["software"] != "test/1" || got.body["clock"] != "trusted" ||
		got.body["enrolled_at"] != c.Now().Format(time.RFC3339) || got.body["lease_until"] != c.Now().Add(24*time.Hour).Format(time.RFC3339) {
		t.Errorf("the lock = %s, want it online with a day's lease", got.text)
	}
	s.lock("Shed")
	for query, want := range map[string][]string{"?online=true": {"Front door"}, "?online=false": {"Shed"}, "?problem=true": {"Shed"}, "?q=fro": {"Front door"}, "?sort=name,descend": {"Shed", "Front door"}} {
		if all := s.call(s.token, "GET", locksPath+query, ""); !slices.Equal(called(all), want) {
			t.Errorf("%s = %v, want %v", query, called(all), want)
		}
	}
}

func TestLocks_openAnswersWhatTheDoorSaid(t *testing.T) {
	s, _ := standing(t)
	lock := s.lock("Front door")
	path := locksPath + "/" + lock
	s.want(s.call(s.token, "POST", path+"/open", ""), http.StatusConflict, "lock_not_enrolled")
	d := s.controller(lock)
	answered := make(chan answer, 1)
	go func() { answered <- s.call(s.token, "POST", path+"/open", "", "Idempotency-Key", "one") }()
	for n := 0; n == 0; {
		select {
		case a := <-answered:
			t.Fatalf("open = %d %s before the door said anything", a.status, a.text)
		default:
			n = d.Do(t, grant.Result{Outcome: grant.Refused, Reason: grant.ReasonDoorFailed})
		}
	}
	a := <-answered
	if s.want(a, http.StatusOK, ""); a.body["op"] != "open" || a.body["outcome"] != "refused" || a.body["reason"] != grant.ReasonDoorFailed || a.body["done_at"] == nil || a.body["card"] != nil ||
		a.body["lock"] != lock {
		t.Errorf("open = %s, want the door's refusal", a.text)
	}
	if again := s.call(s.token, "POST", path+"/open", "", "Idempotency-Key", "one"); again.body["id"] != a.body["id"] {
		t.Errorf("the repeat = %s, want the same command", again.text)
	}
	command := "/api/v1/lock-commands/" + fmt.Sprint(a.body["id"])
	if got := s.call(s.token, "GET", command, ""); got.body["outcome"] != "refused" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the command = %s", got.text)
	}
	foreign, none := s.call(s.other, "GET", command, ""), s.call(s.token, "GET", "/api/v1/lock-commands/7", "")
	if s.want(none, http.StatusNotFound, "lock_command_not_found"); withoutID(foreign.text) != withoutID(none.text) {
		t.Errorf("another workspace's command is told from none: %s", foreign.text)
	}
}

func TestLocks_teachTellsTheCardsNumber(t *testing.T) {
	s, c := standing(t)
	lock := s.lock("Front door")
	d := s.controller(lock)
	a := s.call(s.token, "POST", locksPath+"/"+lock+"/teach-card", "")
	if s.want(a, http.StatusOK, ""); a.body["outcome"] != "waiting" || a.body["op"] != "teach_card" {
		t.Errorf("teach = %s, want a command that waits", a.text)
	}
	if n := d.Do(t, grant.Result{Outcome: grant.Notice, Card: []byte{4, 0xa1, 0xb2, 0xc3}}); n != 1 {
		t.Errorf("the door was told %d commands, want 1", n)
	}
	got := s.call(s.token, "GET", "/api/v1/lock-commands/"+fmt.Sprint(a.body["id"]), "")
	if got.body["outcome"] != "notice" || fmt.Sprint(got.body["card"]) != "map[number:04A1B2C3 type:uid]" {
		t.Errorf("the command = %s, want the card's number", got.text)
	}
	late := s.call(s.token, "POST", locksPath+"/"+lock+"/teach-card", "")
	c.Advance(time.Minute)
	if got := s.call(s.token, "GET", "/api/v1/lock-commands/"+fmt.Sprint(late.body["id"]), ""); got.body["outcome"] != "unanswered" {
		t.Errorf("a minute later = %s, want unanswered", got.text)
	}
	s.want(s.call(s.token, "POST", locksPath+"/"+lock+"/teach-card", ""), http.StatusConflict, "lock_unreachable")
	s.want(s.call(s.token, "PATCH", locksPath+"/"+lock, `{"capabilities":["pin"]}`), http.StatusOK, "")
	d.Greet(t)
	s.want(s.call(s.token, "POST", locksPath+"/"+lock+"/teach-card", ""), http.StatusConflict, "no_card_reader")
}

func TestLockEvents_areListedAndFiltered(t *testing.T) {
	s, c := standing(t)
	ada, lock := s.person("ada"), s.lock("Front door")
	d := s.controller(lock)
	k := s.keyOf(ada, lock, `"types":["pin"]`)
	d.Pull(t)
	d.Confirm(t)
	key, _ := id.Parse[id.KindDigitalKey](fmt.Sprint(k.body["id"]))
	g := grant.ID(key.Bytes())
	first := c.Now()
	d.Did(t, grant.Event{Grant: &g, Medium: grant.PIN, Outcome: grant.Opened}, c.Now())
	c.Advance(time.Minute)
	d.Did(t, grant.Event{Medium: grant.PIN, Outcome: grant.Refused, Reason: grant.ReasonKeypadPaused, Count: 5}, c.Now())
	paths := []string{"/api/v1/lock-events?", locksPath + "/" + lock + "/events?"}
	reasons := func(a answer) (out []string) {
		for _, row := range a.data() {
			out = append(out, fmt.Sprint(row["outcome"]))
		}
		return out
	}
	for query, want := range map[string][]string{
		"": {"refused", "opened"}, "outcome=opened": {"opened"}, "user=" + ada: {"opened"}, "digital_key=" + string(key): {"opened"}, "medium=app": nil, "alarming=true": {"refused"},
		"to=" + url.QueryEscape(first.Add(time.Second).Format(time.RFC3339)): {"opened"}, "from=" + url.QueryEscape(first.Add(time.Second).Format(time.RFC3339)): {"refused"},
	} {
		for _, path := range paths {
			if a := s.call(s.token, "GET", path+query, ""); a.status != http.StatusOK || !slices.Equal(reasons(a), want) {
				t.Errorf("%s%s = %d %v, want %v", path, query, a.status, reasons(a), want)
			}
		}
	}
	row := s.call(s.token, "GET", paths[0]+"outcome=opened", "").data()[0]
	for field, want := range map[string]any{
		"lock": lock, "lock_name": "Front door", "seq": float64(1), "until_seq": float64(1), "at": first.Format(time.RFC3339), "clock": "trusted", "digital_key": string(key), "user": ada,
		"user_name": "ada Example", "medium": "pin", "reason": "", "offline": false, "count": float64(1), "after_cancel": false,
	} {
		if row[field] != want {
			t.Errorf("%s = %v, want %v", field, row[field], want)
		}
	}
	lines := s.call(s.token, "GET", "/api/v1/activities?lock="+lock+"&action=lock.open", "")
	if s.want(lines, http.StatusOK, ""); len(lines.data()) != 2 || lines.data()[0]["lock"] != lock || lines.data()[1]["user"] != ada {
		t.Errorf("the record = %s, want both of that lock", lines.text)
	}
	for _, query := range []string{"/api/v1/activities?lock=7", "/api/v1/activities?lock=" + lock + "&target=" + ada, "/api/v1/lock-events?lock=7", "/api/v1/lock-events?user=7", "/api/v1/lock-events?digital_key=7"} {
		s.want(s.call(s.token, "GET", query, ""), http.StatusUnprocessableEntity, "invalid_fields")
	}
	s.want(s.call(s.other, "GET", paths[1], ""), http.StatusNotFound, "lock_not_found")
	if all := s.call(s.other, "GET", paths[0], ""); len(all.data()) != 0 {
		t.Errorf("another workspace's events: %s", all.text)
	}
	s.want(s.call(s.token, "PATCH", locksPath+"/"+lock, `{"name":"Main door"}`), http.StatusOK, "")
	if got := s.call(s.token, "GET", paths[0]+"outcome=opened", "").data(); got[0]["lock_name"] != "Front door" {
		t.Errorf("the event names %v, want the lock as it was then", got[0]["lock_name"])
	}
	if got := s.status("DELETE", locksPath+"/"+lock, ""); got != http.StatusConflict {
		t.Errorf("DELETE of a lock with a key = %d, want 409", got)
	}
}
