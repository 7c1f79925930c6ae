package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/room/apikey"
)

func TestStatistics(t *testing.T) {
	s := newServer(t)
	for _, email := range []string{"ann@example.com", "bob@example.com"} {
		s.want(s.call(s.token, "POST", "/api/v1/users", `{"email":"`+email+`","first_name":"x"}`), http.StatusCreated, "")
	}
	a := s.call(s.token, "GET", "/api/v1/statistics/users", "")
	days, _ := a.body["days"].([]any)
	if a.status != http.StatusOK || a.body["total"] != float64(2) || a.body["timezone"] != "UTC" || len(days) != 30 || !strings.Contains(a.text, `"by_status":{"not_invited":2,"pending":0,"active":0,"suspended":0}`) {
		t.Fatalf("users = %d %s", a.status, a.text)
	}
	// Both were created on one of the last two days, if midnight has just gone by.
	if n := strings.Count(a.text, `"created":2`) + strings.Count(a.text, `"created":1`); n == 0 || n > 2 {
		t.Errorf("no day on which the two were created: %s", a.text)
	}
	a = s.call(s.token, "GET", "/api/v1/statistics/logins?timezone=Asia/Kolkata&from=2026-01-30&to=2026-02-02", "")
	if want := `"timezone":"Asia/Kolkata","from":"2026-01-30","to":"2026-02-02","total":{"success":0,"refused":0,"failed":0},"days":[{"date":"2026-01-30","success":0,"refused":0,"failed":0},`; !strings.Contains(a.text, want) {
		t.Errorf("logins = %s, want %s", a.text, want)
	}
	if a = s.call(s.token, "GET", "/api/v1/statistics/groups?from=2026-01-30&to=2026-01-30", ""); !strings.Contains(a.text, `"days":[{"date":"2026-01-30","created":0}]`) {
		t.Errorf("groups = %s", a.text)
	}
	for query, fields := range map[string][]string{
		"?timezone=Mars/Olympus": {"timezone"}, "?from=x&to=2026-02-30": {"from", "to"}, "?from=2026-02-02&to=2026-02-01": {"to"},
		"?from=2020-01-01&to=2026-02-01": {"from"}, "?days=3": {"days"},
	} {
		for _, what := range []string{"users", "groups", "logins"} {
			a := s.call(s.token, "GET", "/api/v1/statistics/"+what+query, "")
			s.want(a, 422, "invalid_fields")
			if got := a.fields(); !slices.Equal(got, fields) {
				t.Errorf("%s%s: fields = %v, want %v", what, query, got, fields)
			}
		}
	}
	reader := s.key(s.here, apikey.NewKey{Name: "reader", Type: apikey.Admin, Permissions: []string{"users.read"}})
	s.want(s.call(reader, "GET", "/api/v1/statistics/users", ""), http.StatusOK, "")
	s.want(s.call(reader, "GET", "/api/v1/statistics/groups", ""), http.StatusOK, "")
	s.want(s.call(reader, "GET", "/api/v1/statistics/logins", ""), http.StatusForbidden, "missing_permission")
	auditor := s.key(s.here, apikey.NewKey{Name: "auditor", Type: apikey.Admin, Permissions: []string{"activities.read"}})
	s.want(s.call(auditor, "GET", "/api/v1/statistics/logins", ""), http.StatusOK, "")
	s.want(s.call(auditor, "GET", "/api/v1/statistics/users", ""), http.StatusForbidden, "missing_permission")
	doc := s.call("", "GET", "/api/v1/openapi.json", "")
	for _, field := range []string{`"UserStatistics":{"additionalProperties":false,"properties":{"by_status"`, `"LoginsDay":{"additionalProperties":false,"properties":{"date":{"examples":["2026-12-04"],"type":"string"},"failed"`} {
		if !strings.Contains(doc.text, field) {
			t.Errorf("the document lacks %s", field)
		}
	}
}
