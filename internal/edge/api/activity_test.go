package api_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/room/apikey"
)

// text sends a request whose answer is no JSON object.
func (s *server) textOf(token, path string) (int, http.Header, string) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://localhost:8080"+path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder()
	s.h.ServeHTTP(rec, r)
	text, err := io.ReadAll(rec.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return rec.Code, rec.Header(), string(text)
}

func TestActivities_filtersAndOne(t *testing.T) {
	s := newServer(t)
	a := s.call(s.token, "POST", "/api/v1/users", `{"email":"ann@example.com","first_name":"Ann"}`)
	s.want(a, http.StatusCreated, "")
	user := fmt.Sprint(a.body["id"])
	me := s.call(s.token, "GET", "/api/v1/me", "")
	key, _ := me.body["key"].(map[string]any)
	for path, want := range map[string]int{
		"?target=" + user: 1, "?actor=" + fmt.Sprint(key["id"]): 1, "?actor=" + user: 0, "?action=user.create&user=" + user: 1, "?rp=example.org": 0,
		"?outcome=failed": 0, "?action=user.create&outcome=success": 1,
	} {
		if rows := s.call(s.token, "GET", "/api/v1/activities"+path, "").data(); len(rows) != want {
			t.Errorf("%s finds %d lines, want %d: %v", path, len(rows), want, rows)
		}
	}
	row := s.call(s.token, "GET", "/api/v1/activities?target="+user, "").data()[0]
	line := fmt.Sprint(row["id"])
	one := s.call(s.token, "GET", "/api/v1/activities/"+line, "")
	if diff := cmp.Diff(row, one.body); one.status != http.StatusOK || diff != "" {
		t.Errorf("GET one = %d (-list +one):\n%s", one.status, diff)
	}
	theirs, missing, malformed := s.call(s.other, "GET", "/api/v1/activities/"+line, ""), s.call(s.token, "GET", "/api/v1/activities/act_01jd3v9b8eexav2f6hqdr3wzkt", ""), s.call(s.token, "GET", "/api/v1/activities/7", "")
	for _, a := range []answer{theirs, missing, malformed} {
		s.want(a, http.StatusNotFound, "activity_not_found")
		if a.body["detail"] != theirs.body["detail"] {
			t.Errorf("detail = %v, want %v", a.body["detail"], theirs.body["detail"])
		}
	}
	s.want(s.call(s.token, "GET", "/api/v1/activities?user=ann", ""), 422, "invalid_fields")
}

func TestActivities_export(t *testing.T) {
	s := newServer(t)
	s.want(s.call(s.token, "POST", "/api/v1/users", `{"email":"ann@example.com","first_name":"=1+1","last_name":"x"}`), http.StatusCreated, "")
	status, header, text := s.textOf(s.token, "/api/v1/activities/export?format=jsonl")
	if status != http.StatusOK || header.Get("Content-Type") != "application/jsonl; charset=utf-8" || !strings.HasPrefix(header.Get("Content-Disposition"), `attachment; filename="activities-`) {
		t.Errorf("export = %d %v", status, header)
	}
	var lines []map[string]any
	for l := range strings.Lines(text) {
		var row map[string]any
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		lines = append(lines, row)
	}
	// The lines are the API's, the export's own among them.
	rows := s.call(s.token, "GET", "/api/v1/activities?sort=at,ascend", "").data()
	for _, all := range [][]map[string]any{rows, lines} {
		for _, row := range all {
			delete(row, "index") // sealing goes on meanwhile
		}
	}
	if diff := cmp.Diff(rows, lines); diff != "" {
		t.Errorf("the export (-list +export):\n%s", diff)
	}
	if n := strings.Count(text, `"action":"activity.export","outcome":"success","reason":"","detail":"jsonl"`); n != 1 {
		t.Errorf("the export has its own line %d times, want once", n)
	}

	status, header, text = s.textOf(s.token, "/api/v1/activities/export?format=csv&action=user.create")
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/csv") || len(records) != 2 {
		t.Fatalf("export = %d %v, %v: %s", status, header, err, text)
	}
	column := func(name string) string { return records[1][slices.Index(records[0], name)] }
	if column("action") != "user.create" || column("target_name") != "'=1+1 x" || column("actor_name") != "all" {
		t.Errorf("the row = %v", records[1])
	}
	s.want(s.call(s.token, "GET", "/api/v1/activities/export?format=xml", ""), 422, "invalid_fields")
	s.want(s.call(s.token, "GET", "/api/v1/activities/export", ""), 422, "invalid_fields")
	narrow := s.key(s.here, apikey.NewKey{Name: "narrow", Type: apikey.Admin, Permissions: []string{"users.read"}})
	s.want(s.call(narrow, "GET", "/api/v1/activities/export?format=csv", ""), http.StatusForbidden, "missing_permission")
	if _, _, text := s.textOf(s.other, "/api/v1/activities/export?format=csv"); strings.Contains(text, "1+1") {
		t.Error("the other workspace's export has our line")
	}
}

func TestActivities_checkpointAndVerify(t *testing.T) {
	s := newServer(t)
	// Nothing runs that seals.
	s.want(s.call(s.token, "GET", "/api/v1/activities/checkpoint", ""), http.StatusConflict, "nothing_sealed")
	for _, body := range []string{"", "{}", `{"checkpoint":null}`} {
		a := s.call(s.token, "POST", "/api/v1/activities/verify", body)
		s.want(a, http.StatusOK, "")
		if a.body["whole"] != true || a.body["sealed_through"] != float64(0) || a.body["not_yet_sealed"] == float64(0) || a.body["checkpoint"] != nil {
			t.Errorf("verify %s = %s", body, a.text)
		}
	}
	checkpoint := `{"checkpoint":{"version":"keyhold/checkpoint/v1","workspace":"` + string(s.here.Workspace) + `","index":1,"hash":"` + strings.Repeat("ab", 32) +
		`","at":"2026-12-04T14:00:00.000Z","public_key":"` + strings.Repeat("A", 43) + `=","signature":"` + strings.Repeat("A", 86) + `=="}}`
	s.want(s.call(s.token, "POST", "/api/v1/activities/verify", checkpoint), 422, "checkpoint_not_ours")
	s.want(s.call(s.other, "POST", "/api/v1/activities/verify", checkpoint), 422, "checkpoint_of_another_workspace")
	s.want(s.call(s.token, "POST", "/api/v1/activities/verify", strings.Replace(checkpoint, "abab", "", 1)), 422, "invalid_fields")
	s.want(s.call(s.token, "POST", "/api/v1/activities/verify", `{"checkpoint":{}}`), 422, "invalid_fields")
	narrow := s.key(s.here, apikey.NewKey{Name: "narrow", Type: apikey.Admin, Permissions: []string{"users.read"}})
	s.want(s.call(narrow, "POST", "/api/v1/activities/verify", "{}"), http.StatusForbidden, "missing_permission")
	s.want(s.call(narrow, "GET", "/api/v1/activities/checkpoint", ""), http.StatusForbidden, "missing_permission")
}
