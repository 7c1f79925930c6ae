package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// server is a whole Keyhold on SQLite, with two workspaces.
type server struct {
	t     *testing.T
	app   *app.App
	h     http.Handler
	token string // Admin key of the first workspace, all permissions
	other string // the same of the second
	here  auth.Caller
	data  string // its folder
}

func newServer(t *testing.T) *server {
	t.Helper()
	return newServerWith(t, app.Options{})
}

func newServerWith(t *testing.T, o app.Options) *server {
	t.Helper()
	return newServerOf(t, app.Settings{}, o, slog.DiscardHandler)
}

// newServerOf is newServer with settings and a log.
func newServerOf(t *testing.T, settings app.Settings, o app.Options, log slog.Handler) *server {
	t.Helper()
	settings.Data, settings.Listen, settings.LogFormat = t.TempDir(), "localhost:8080", "json"
	c, err := settings.Parse()
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), c, o, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &server{t: t, app: a, data: settings.Data}
	s.here, s.token = s.workspace("Here")
	_, s.other = s.workspace("Elsewhere")
	if s.h, err = a.Handler("test"); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) workspace(name string) (auth.Caller, string) {
	s.t.Helper()
	w, err := s.app.Join.CreateWorkspace(s.t.Context(), auth.Job("", "test"), name)
	if err != nil {
		s.t.Fatal(err)
	}
	by := auth.Job(w.Workspace.ID, "test")
	return by, s.key(by, apikey.NewKey{Name: "all", Type: apikey.Admin})
}

func (s *server) key(by auth.Caller, n apikey.NewKey) string {
	s.t.Helper()
	_, t, err := s.app.APIKeys.Create(s.t.Context(), by, n)
	if err != nil {
		s.t.Fatal(err)
	}
	return t.Secret().ExposeString()
}

// answer is what came back, its JSON read into body.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (s *server) send(token, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, "http://localhost:8080"+path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	s.h.ServeHTTP(rec, r)
	return rec
}

func (s *server) call(token, method, path, body string, headers ...string) answer {
	s.t.Helper()
	rec := s.send(token, method, path, body, headers...)
	text, err := io.ReadAll(rec.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{status: rec.Code, header: rec.Header(), text: string(text)}
	if err := json.Unmarshal(text, &a.body); err != nil {
		s.t.Fatalf("%s %s answered %d with no JSON object: %s", method, path, a.status, text)
	}
	return a
}

// callEmpty is call for what answers nothing when it succeeds.
func (s *server) callEmpty(method, path string, headers ...string) answer {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, "http://localhost:8080"+path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	s.h.ServeHTTP(rec, r)
	return answer{status: rec.Code, header: rec.Header(), text: rec.Body.String()}
}

// withoutID returns an answer's text without what differs each time.
func withoutID(text string) string {
	return regexp.MustCompile(`"request_id":"[^"]*"`).ReplaceAllString(text, "")
}

func (s *server) want(a answer, status int, code string) {
	s.t.Helper()
	got, _ := a.body["code"].(string)
	if a.status != status || got != code {
		s.t.Errorf("answer = %d %q, want %d %q: %s", a.status, got, status, code, a.text)
	}
	if status >= 400 && a.header.Get("Content-Type") != "application/problem+json" {
		s.t.Errorf("Content-Type = %q, want application/problem+json", a.header.Get("Content-Type"))
	}
}

func (a answer) data() []map[string]any {
	var rows []map[string]any
	list, _ := a.body["data"].([]any)
	for _, row := range list {
		m, _ := row.(map[string]any)
		rows = append(rows, m)
	}
	return rows
}

func (a answer) fields() []string {
	var names []string
	list, _ := a.body["errors"].([]any)
	for _, row := range list {
		m, _ := row.(map[string]any)
		names = append(names, fmt.Sprint(m["field"]))
	}
	slices.Sort(names)
	return names
}

func TestEveryOperation_refusesNobody(t *testing.T) {
	s := newServer(t)
	doc := s.call("", "GET", "/api/v1/openapi.json", "")
	if doc.status != http.StatusOK || doc.body["openapi"] != "3.1.0" {
		t.Fatalf("openapi.json = %d, version %v, want 200, 3.1.0", doc.status, doc.body["openapi"])
	}
	paths, _ := doc.body["paths"].(map[string]any)
	count := 0
	for path, item := range paths {
		methods, _ := item.(map[string]any)
		for method, described := range methods {
			count++
			if o, _ := described.(map[string]any); fmt.Sprint(o["security"]) == "[]" {
				continue // it says itself that it refuses nobody
			}
			for _, token := range []string{"", "kh_admin_x", "nonsense", strings.Repeat("a", 4000)} {
				a := s.call(token, strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "user_x"), "{}")
				s.want(a, http.StatusUnauthorized, "unauthenticated")
			}
		}
	}
	if count < 8 {
		t.Errorf("the document has %d operations, want at least 8", count)
	}
}

func TestAuthorization_twoHeadersAndWrongSchemesAreRefused(t *testing.T) {
	s := newServer(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8080/api/v1/me", nil)
	r.Header.Add("Authorization", "Bearer "+s.token)
	r.Header.Add("Authorization", "Bearer "+s.token)
	rec := httptest.NewRecorder()
	s.h.ServeHTTP(rec, r)
	if rec.Code != http.StatusUnauthorized {
		t.Errorf("two Authorization headers = %d, want 401", rec.Code)
	}
	for value, want := range map[string]int{s.token: 200, "bearer " + s.token: 200, "Basic " + s.token: 401, "Bearer  " + s.token: 200, "Bearer": 401} {
		if a := s.call("", "GET", "/api/v1/me", "", "Authorization", value); a.status != want {
			t.Errorf("Authorization %.12q… = %d, want %d", value, a.status, want)
		}
	}
	if a := s.call("", "GET", "/api/v1/me?token="+s.token, ""); a.status != http.StatusUnauthorized {
		t.Errorf("a token in the query = %d, want 401", a.status)
	}
}

func TestMe_tellsWorkspaceCallerPermissionsAndKey(t *testing.T) {
	s := newServer(t)
	token := s.key(s.here, apikey.NewKey{Name: "narrow", Type: apikey.Admin, Permissions: []string{"users.read"}})
	a := s.call(token, "GET", "/api/v1/me", "")
	if a.status != http.StatusOK || !strings.Contains(a.text, `"name":"Here"`) || !strings.Contains(a.text, `"permissions":["users.read"]`) ||
		!strings.Contains(a.text, `"key":{"id":"key_`) || strings.Contains(a.text, token) {
		t.Errorf("GET /me = %d %s", a.status, a.text)
	}
}

func TestUsers_createReadPatchList(t *testing.T) {
	s := newServer(t)
	a := s.call(s.token, "POST", "/api/v1/users", `{"email":"ann@example.com","first_name":"Ann","last_name":"Lee","employee_id":"E-7"}`)
	s.want(a, http.StatusCreated, "")
	id, _ := a.body["id"].(string)
	if a.header.Get("ETag") != `"1"` || a.header.Get("Location") != "/api/v1/users/"+id || a.body["user_id"] != "ann@example.com" {
		t.Errorf("created = %v %s", a.header, a.text)
	}
	s.want(s.call(s.token, "PATCH", "/api/v1/users/"+id, `{"last_name":"Long","phone":null}`, "If-Match", `"1"`), http.StatusOK, "")
	s.want(s.call(s.token, "PATCH", "/api/v1/users/"+id, `{"last_name":"Late"}`, "If-Match", `"1"`), http.StatusPreconditionFailed, "revision_changed")
	s.want(s.call(s.token, "PATCH", "/api/v1/users/"+id, `{"last_name":"Odd"}`, "If-Match", `W/"2"`), http.StatusPreconditionFailed, "revision_changed")
	a = s.call(s.token, "GET", "/api/v1/users/"+id, "")
	if a.body["last_name"] != "Long" || a.header.Get("ETag") != `"2"` {
		t.Errorf("after the patch = %s %s", a.header.Get("ETag"), a.text)
	}
	for q, want := range map[string]int{"ann": 1, "LON": 1, "e-7": 1, "7": 1, "ann lo": 1, "ann xyz": 0, "%25": 0} {
		if got := len(s.call(s.token, "GET", "/api/v1/users?q="+strings.ReplaceAll(q, " ", "+"), "").data()); got != want {
			t.Errorf("search %q found %d, want %d", q, got, want)
		}
	}
	lines := s.call(s.token, "GET", "/api/v1/activities?user="+id, "").data()
	var actions []string
	for _, l := range lines {
		actions = append(actions, fmt.Sprint(l["action"]))
		actor, _ := l["actor"].(map[string]any)
		if actor["type"] != "api_key" || actor["name"] != "all" {
			t.Errorf("actor = %v, want the API key all", actor)
		}
	}
	if want := []string{"user.update", "user.create"}; !slices.Equal(actions, want) {
		t.Errorf("activities = %v, want %v", actions, want)
	}
}

func TestUsers_badInputNamesTheField(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		body   string
		status int
		code   string
		fields []string
	}{
		{`{`, 400, "bad_request", []string{"body"}},
		{`{"first_name":"x"}`, 422, "invalid_fields", []string{"email"}},
		{`{"email":"x","bogus":1}`, 422, "invalid_fields", []string{"bogus"}},
		{`{"email":"nobody"}`, 422, "invalid_fields", []string{"email", "first_name"}},
		{`{"email":"a@b.example","first_name":"x","timezone":"Mars/Olympus","language":"!"}`, 422, "invalid_fields", []string{"language", "timezone"}},
		{`{"email":"a@b.example","first_name":"x","groups":["grp_x"]}`, 422, "invalid_fields", []string{"groups"}},
		{`{"email":"a@b.example","first_name":"a\u0000b"}`, 422, "invalid_fields", []string{"first_name"}},
		{`{"email":7,"first_name":"x"}`, 422, "invalid_fields", []string{"email"}},
		{`{"email":"` + strings.Repeat("a", 70000) + `"}`, 413, "body_too_large", nil},
	} {
		a := s.call(s.token, "POST", "/api/v1/users", c.body)
		s.want(a, c.status, c.code)
		if got := a.fields(); c.fields != nil && !slices.Equal(got, c.fields) {
			t.Errorf("%.60s: fields = %v, want %v", c.body, got, c.fields)
		}
	}
	s.want(s.call(s.token, "POST", "/api/v1/users", `email=x`, "Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported_media_type")
	for _, path := range []string{"/api/v1/users?limit=0", "/api/v1/users?limit=201", "/api/v1/users?limit=x", "/api/v1/users?bogus=1", "/api/v1/activities?from=yesterday"} {
		s.want(s.call(s.token, "GET", path, ""), 422, "invalid_fields")
	}
	s.want(s.call(s.token, "GET", "/api/v1/users?sort=password,ascend", ""), 422, "invalid_sort")
	s.want(s.call(s.token, "GET", "/api/v1/nothing", ""), 404, "not_found")
}

func TestLists_pageWithoutLossAndKeepCursorsToTheirList(t *testing.T) {
	s := newServer(t)
	for i := range 7 {
		a := s.call(s.token, "POST", "/api/v1/users", fmt.Sprintf(`{"email":"u%d@example.com","first_name":"Same"}`, i))
		s.want(a, http.StatusCreated, "")
	}
	var seen []string
	cursor, first := "", ""
	for range 10 {
		a := s.call(s.token, "GET", "/api/v1/users?limit=3&sort=name,descend&total=true&cursor="+cursor, "")
		for _, u := range a.data() {
			seen = append(seen, fmt.Sprint(u["id"]))
		}
		if a.body["total"] != float64(7) {
			t.Errorf("total = %v, want 7", a.body["total"])
		}
		next, more := a.body["next_cursor"].(string)
		if !more {
			break
		}
		cursor = next
		if first == "" {
			first = next
		}
	}
	slices.Sort(seen)
	if len(seen) != 7 || len(slices.Compact(seen)) != 7 {
		t.Errorf("paging saw %d rows, %d different, want 7 and 7", len(seen), len(slices.Compact(seen)))
	}
	changed := first[:len(first)-2] + "AA"
	for what, a := range map[string]answer{
		"another sort":      s.call(s.token, "GET", "/api/v1/users?limit=3&sort=email,ascend&cursor="+first, ""),
		"another list":      s.call(s.token, "GET", "/api/v1/activities?cursor="+first, ""),
		"another workspace": s.call(s.other, "GET", "/api/v1/users?limit=3&sort=name,descend&cursor="+first, ""),
		"a changed cursor":  s.call(s.token, "GET", "/api/v1/users?limit=3&sort=name,descend&cursor="+changed, ""),
		"nonsense":          s.call(s.token, "GET", "/api/v1/users?sort=name,descend&cursor=abc", ""),
	} {
		if a.status != 422 || a.body["code"] != "invalid_cursor" {
			t.Errorf("a cursor with %s = %d %v, want 422 invalid_cursor", what, a.status, a.body["code"])
		}
	}
}

func TestStrangers_seeNothing(t *testing.T) {
	s := newServer(t)
	a := s.call(s.token, "POST", "/api/v1/users", `{"email":"ann@example.com","first_name":"Ann"}`)
	id, _ := a.body["id"].(string)
	missing := "user_01jd3v9b8eexav2f6hqdr3wzkt"
	for _, method := range []string{"GET", "PATCH"} {
		theirs := s.call(s.other, method, "/api/v1/users/"+id, "{}")
		none := s.call(s.other, method, "/api/v1/users/"+missing, "{}")
		malformed := s.call(s.other, method, "/api/v1/users/7", "{}")
		s.want(theirs, http.StatusNotFound, "user_not_found")
		for what, other := range map[string]answer{"missing": none, "malformed": malformed} {
			if withoutID(theirs.text) != withoutID(other.text) {
				t.Errorf("%s of another workspace's user differs from a %s id:\n%s\n%s", method, what, theirs.text, other.text)
			}
		}
	}
	if rows := s.call(s.other, "GET", "/api/v1/users?q=ann", "").data(); len(rows) != 0 {
		t.Errorf("the other workspace finds %d users, want 0", len(rows))
	}
	if a := s.call(s.other, "GET", "/api/v1/activities?user="+id, ""); len(a.data()) != 0 {
		t.Errorf("the other workspace sees activities: %s", a.text)
	}
}

func TestPermissions_areNamedAndRefusalsAreRecordedOnceAMinute(t *testing.T) {
	s := newServer(t)
	narrow := s.key(s.here, apikey.NewKey{Name: "narrow", Type: apikey.Admin, Permissions: []string{"users.read"}})
	for range 5 {
		a := s.call(narrow, "POST", "/api/v1/users", `{"email":"x@example.com","first_name":"X"}`)
		s.want(a, http.StatusForbidden, "missing_permission")
		if !strings.Contains(a.text, "users.write") {
			t.Errorf("the refusal names no permission: %s", a.text)
		}
	}
	lines := s.call(s.token, "GET", "/api/v1/activities?outcome=refused", "").data()
	if len(lines) != 1 || lines[0]["reason"] != "missing_permission" || lines[0]["action"] != "user.create" {
		t.Errorf("refusals recorded = %v, want one line of user.create", lines)
	}
	clients := s.key(s.here, apikey.NewKey{Name: "clients", Type: apikey.Clients})
	s.want(s.call(clients, "GET", "/api/v1/me", ""), http.StatusForbidden, "wrong_key_type")
	s.want(s.call(narrow, "POST", "/api/v1/api-keys", `{"name":"more","type":"admin"}`), http.StatusForbidden, "missing_permission")
	some := s.key(s.here, apikey.NewKey{Name: "some", Type: apikey.Admin, Permissions: []string{"api_keys.write"}})
	s.want(s.call(some, "POST", "/api/v1/api-keys", `{"name":"more","type":"admin"}`), http.StatusForbidden, "beyond_your_permissions")
}

func TestAPIKeys_tokenIsShownOnceAndWorks(t *testing.T) {
	s := newServer(t)
	a := s.call(s.token, "POST", "/api/v1/api-keys", `{"name":"backup","type":"admin","permissions":["users.read"],"expires_at":"2999-01-01T00:00:00Z"}`)
	s.want(a, http.StatusCreated, "")
	token, _ := a.body["token"].(string)
	if a.header.Get("Cache-Control") != "no-store" || !regexp.MustCompile(`^kh_admin_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$`).MatchString(token) {
		t.Errorf("created = %s", a.text)
	}
	s.want(s.call(token, "GET", "/api/v1/users", ""), http.StatusOK, "")
	list := s.call(s.token, "GET", "/api/v1/api-keys?sort=created_at,descend", "")
	if strings.Contains(list.text, token) || len(list.data()) != 2 || list.data()[0]["name"] != "backup" || list.data()[0]["token_id"] != token[9:21] {
		t.Errorf("the list = %s", list.text)
	}
	s.want(s.call(s.token, "POST", "/api/v1/api-keys", `{"name":" ","type":"admin","permissions":["fly"],"expires_at":"2001-01-01T00:00:00Z"}`), 422, "invalid_fields")
}

func TestDocs_areAPageWithoutForeignHosts(t *testing.T) {
	s := newServer(t)
	rec := httptest.NewRecorder()
	s.h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8080/api/docs", nil))
	body := rec.Body.String()
	if rec.Code != http.StatusOK || !strings.Contains(body, "/api/v1/users/{id}") || strings.Contains(body, "https://") || strings.Contains(body, "<script") {
		t.Errorf("GET /api/docs = %d, %d bytes; want the operations, no script and no foreign host", rec.Code, len(body))
	}
}
