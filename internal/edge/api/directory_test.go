package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/room/apikey"
)

const (
	missingUser  = "user_01jd3v9b8eexav2f6hqdr3wzkt"
	missingGroup = "grp_01jd3v9b8eexav2f6hqdr3wzkt"
)

// user makes a user and returns their id.
func (s *server) user(name string) string {
	s.t.Helper()
	a := s.call(s.token, "POST", "/api/v1/users", fmt.Sprintf(`{"email":"%s@example.com","first_name":%q}`, name, name))
	s.want(a, http.StatusCreated, "")
	return fmt.Sprint(a.body["id"])
}

// group makes a group and returns its id.
func (s *server) group(name string, members ...string) string {
	s.t.Helper()
	quoted := make([]string, len(members))
	for i, m := range members {
		quoted[i] = strconv.Quote(m)
	}
	a := s.call(s.token, "POST", "/api/v1/groups", fmt.Sprintf(`{"name":%q,"members":[%s]}`, name, strings.Join(quoted, ",")))
	s.want(a, http.StatusCreated, "")
	return fmt.Sprint(a.body["id"])
}

func names(rows []map[string]any, field string) string {
	var out []string
	for _, row := range rows {
		out = append(out, fmt.Sprint(row[field]))
	}
	return strings.Join(out, " ")
}

func TestUsers_suspendAndActivate(t *testing.T) {
	s := newServer(t)
	ann := s.user("ann")
	a := s.call(s.token, "POST", "/api/v1/users/"+ann+"/suspend", `{"disable_created_api_keys":true}`)
	s.want(a, http.StatusOK, "")
	left, _ := a.body["left"].(map[string]any)
	if a.body["status"] != "suspended" || a.body["id"] != ann || a.header.Get("ETag") != `"2"` || left["api_key_count"] != float64(0) || left["api_keys"] == nil {
		t.Errorf("suspend = %s", a.text)
	}
	if rows := s.call(s.token, "GET", "/api/v1/users?status=suspended", "").data(); names(rows, "id") != ann {
		t.Errorf("suspended users = %v, want Ann", rows)
	}
	s.want(s.call(s.token, "POST", "/api/v1/users/"+ann+"/suspend", ""), http.StatusOK, "")
	a = s.call(s.token, "POST", "/api/v1/users/"+ann+"/activate", "")
	if s.want(a, http.StatusOK, ""); a.body["status"] != "not_invited" || a.header.Get("ETag") != `"3"` {
		t.Errorf("activate = %s", a.text)
	}
	a = s.call(s.token, "POST", "/api/v1/users/"+ann+"/invite", "")
	if s.want(a, http.StatusOK, ""); a.body["status"] != "pending" {
		t.Errorf("invite = %s", a.text)
	}
	a = s.call(s.token, "POST", "/api/v1/users/"+ann+"/invite", "")
	if s.want(a, http.StatusTooManyRequests, "invited_just_now"); a.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After = %q, want 60", a.header.Get("Retry-After"))
	}
	a = s.call(s.token, "POST", "/api/v1/users", `{"email":"bea@example.com","first_name":"Bea","invite":true}`)
	if s.want(a, http.StatusCreated, ""); a.body["status"] != "pending" {
		t.Errorf("created with an invitation = %s", a.text)
	}
}

func TestUsers_delete(t *testing.T) {
	s := newServer(t)
	ann, bob := s.user("ann"), s.user("bob")
	s.want(s.call(s.token, "DELETE", "/api/v1/users/"+ann, "", "If-Match", `"7"`), http.StatusPreconditionFailed, "revision_changed")
	s.want(s.call(s.token, "DELETE", "/api/v1/users/"+ann, "", "If-Match", `nonsense`), http.StatusPreconditionFailed, "revision_changed")
	if status := s.status("DELETE", "/api/v1/users/"+ann, `"1"`); status != http.StatusNoContent {
		t.Errorf("DELETE = %d, want 204", status)
	}
	s.want(s.call(s.token, "GET", "/api/v1/users/"+ann, ""), http.StatusNotFound, "user_not_found")
	a := s.call(s.token, "POST", "/api/v1/users/delete", fmt.Sprintf(`{"ids":[%q,%q,"7",%q]}`, ann, bob, bob))
	s.want(a, http.StatusOK, "")
	if got, want := names(a.data(), "code"), "user_not_found  user_not_found user_not_found"; got != want || names(a.data(), "id") != ann+" "+bob+" 7 "+bob {
		t.Errorf("outcomes = %q, want %q: %s", got, want, a.text)
	}
	for _, body := range []string{`{"ids":[]}`, `{}`, `{"ids":["` + strings.Repeat(`x","`, 200) + `x"]}`} {
		s.want(s.call(s.token, "POST", "/api/v1/users/delete", body), 422, "invalid_fields")
	}
}

// status is call for answers without a body.
func (s *server) status(method, path, ifMatch string) int {
	s.t.Helper()
	return s.send(s.token, method, path, "", "If-Match", ifMatch).Code
}

func TestUsers_repeatsAreAnsweredAlike(t *testing.T) {
	s := newServer(t)
	ann, bob := s.user("ann"), s.user("bob")
	for path, body := range map[string]string{
		"/api/v1/users/" + ann + "/suspend":  `{}`,
		"/api/v1/users/" + ann + "/activate": "",
		"/api/v1/users/" + ann + "/invite":   "",
		"/api/v1/users/delete":               fmt.Sprintf(`{"ids":[%q,"7"]}`, bob),
		"/api/v1/groups":                     `{"name":"Night"}`,
		"/api/v1/users":                      `{"email":"cem@example.com","first_name":"Cem"}`,
	} {
		first := s.call(s.token, "POST", path, body, "Idempotency-Key", "k")
		again := s.call(s.token, "POST", path, body, "Idempotency-Key", "k")
		if first.status >= 300 || again.status != first.status || first.body["id"] != again.body["id"] || names(first.data(), "outcome") != names(again.data(), "outcome") {
			t.Errorf("POST %s = %d %s, again %d %s", path, first.status, first.text, again.status, again.text)
		}
	}
	if rows := s.call(s.token, "GET", "/api/v1/activities?action=user.invite", "").data(); len(rows) != 1 {
		t.Errorf("%d invitations, want 1", len(rows))
	}
}

func TestGroups_whole(t *testing.T) {
	s := newServer(t)
	ann, bob := s.user("ann"), s.user("bob")
	night := s.group("Night", ann)
	a := s.call(s.token, "GET", "/api/v1/groups/"+night, "")
	if s.want(a, http.StatusOK, ""); a.header.Get("ETag") != `"1"` || a.body["member_count"] != float64(1) || a.body["builtin"] != false {
		t.Errorf("GET = %s", a.text)
	}
	a = s.call(s.token, "PATCH", "/api/v1/groups/"+night, `{"name":"Late","description":"After ten."}`, "If-Match", `"1"`)
	if s.want(a, http.StatusOK, ""); a.body["name"] != "Late" || a.header.Get("ETag") != `"2"` {
		t.Errorf("PATCH = %s", a.text)
	}
	s.want(s.call(s.token, "PATCH", "/api/v1/groups/"+night, `{"name":"X"}`, "If-Match", `"1"`), http.StatusPreconditionFailed, "revision_changed")
	for _, method := range []string{"PUT", "PUT", "DELETE", "DELETE", "PUT"} {
		if code := s.send(s.token, method, "/api/v1/groups/"+night+"/members/"+bob, "").Code; code != http.StatusNoContent {
			t.Errorf("%s a member = %d, want 204", method, code)
		}
	}
	a = s.call(s.token, "GET", "/api/v1/groups/"+night+"/members?total=true&q=b", "")
	if names(a.data(), "id") != bob || a.body["total"] != float64(1) {
		t.Errorf("members = %s, want Bob", a.text)
	}
	if got := names(s.call(s.token, "GET", "/api/v1/users?sort=email&group="+night, "").data(), "id"); got != ann+" "+bob {
		t.Errorf("users of the group = %q, want both", got)
	}
	s.want(s.call(s.token, "GET", "/api/v1/users?group=7", ""), 422, "invalid_fields")
	if got := names(s.call(s.token, "GET", "/api/v1/users/"+bob+"/groups", "").data(), "name"); got != "Everyone Late" {
		t.Errorf("groups of Bob = %q, want Everyone and Late", got)
	}
	list := s.call(s.token, "GET", "/api/v1/groups?total=true", "")
	if names(list.data(), "name") != "Everyone Late" || list.body["total"] != float64(2) {
		t.Errorf("groups = %s", list.text)
	}
	everyone := fmt.Sprint(list.data()[0]["id"])
	if list.data()[0]["builtin"] != true || list.data()[0]["member_count"] != float64(2) {
		t.Errorf("Everyone = %v, want builtin with both", list.data()[0])
	}
	for _, a := range []answer{
		s.call(s.token, "PATCH", "/api/v1/groups/"+everyone, `{"name":"X"}`),
		s.call(s.token, "DELETE", "/api/v1/groups/"+everyone, ""),
		s.call(s.token, "DELETE", "/api/v1/groups/"+everyone+"/members/"+bob, ""),
	} {
		s.want(a, http.StatusConflict, "builtin_group")
	}
	s.want(s.call(s.token, "POST", "/api/v1/groups", `{"name":"LATE"}`), http.StatusConflict, "group_name_taken")
	s.want(s.call(s.token, "POST", "/api/v1/groups", `{"name":" ","members":[]}`), 422, "invalid_fields")
	s.want(s.call(s.token, "POST", "/api/v1/groups", `{"name":"Day","members":["7"]}`), 422, "invalid_fields")
	if code := s.status("DELETE", "/api/v1/groups/"+night, `"2"`); code != http.StatusNoContent {
		t.Errorf("DELETE = %d, want 204", code)
	}
	s.want(s.call(s.token, "GET", "/api/v1/groups/"+night+"/members", ""), http.StatusNotFound, "group_not_found")
}

// What is another workspace's is answered as what is not there and what cannot be.
func TestDirectory_othersAreAbsent(t *testing.T) {
	s := newServer(t)
	ann := s.user("ann")
	night := s.group("Night", ann)
	for _, c := range []struct{ method, path, body, code string }{
		{"DELETE", "/api/v1/users/%s", "", "user_not_found"},
		{"POST", "/api/v1/users/%s/suspend", "{}", "user_not_found"},
		{"POST", "/api/v1/users/%s/activate", "", "user_not_found"},
		{"POST", "/api/v1/users/%s/invite", "", "user_not_found"},
		{"GET", "/api/v1/users/%s/groups", "", "user_not_found"},
		{"GET", "/api/v1/groups/%s", "", "group_not_found"},
		{"PATCH", "/api/v1/groups/%s", "{}", "group_not_found"},
		{"DELETE", "/api/v1/groups/%s", "", "group_not_found"},
		{"GET", "/api/v1/groups/%s/members", "", "group_not_found"},
		{"PUT", "/api/v1/groups/%s/members/" + ann, "", "group_not_found"},
		{"DELETE", "/api/v1/groups/%s/members/" + ann, "", "group_not_found"},
	} {
		theirs, missing := ann, missingUser
		if c.code == "group_not_found" {
			theirs, missing = night, missingGroup
		}
		narrow := s.key(s.here, apikey.NewKey{Name: "narrow", Type: apikey.Admin, Permissions: []string{"workspace.read"}})
		for _, row := range []string{theirs, missing, "7", "user_%00"} {
			s.want(s.call(s.other, c.method, fmt.Sprintf(c.path, row), c.body), http.StatusNotFound, c.code)
			s.want(s.call(narrow, c.method, fmt.Sprintf(c.path, row), c.body), http.StatusForbidden, "missing_permission")
		}
	}
	own := fmt.Sprint(s.call(s.other, "POST", "/api/v1/groups", `{"name":"Mine"}`).body["id"])
	for _, row := range []string{ann, missingUser, "7"} {
		s.want(s.call(s.other, "PUT", "/api/v1/groups/"+own+"/members/"+row, ""), http.StatusNotFound, "user_not_found")
	}
	if rows := s.call(s.other, "GET", "/api/v1/users?group="+night, "").data(); len(rows) != 0 {
		t.Errorf("another workspace's group shows %v", rows)
	}
	a := s.call(s.other, "POST", "/api/v1/users/delete", fmt.Sprintf(`{"ids":[%q,%q]}`, ann, missingUser))
	if got := names(a.data(), "code"); got != "user_not_found user_not_found" || !slices.Contains([]int{200}, a.status) {
		t.Errorf("bulk = %d %q, want nobody found", a.status, got)
	}
	s.want(s.call(s.token, "GET", "/api/v1/users/"+ann, ""), http.StatusOK, "")
}
