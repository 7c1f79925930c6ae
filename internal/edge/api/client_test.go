package api_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

const (
	clientsPath = "/api/v1/clients"
	codesPath   = clientsPath + "/enrolment-codes"
)

// write changes the server's database past its rooms.
func (s *server) write(fn func(ctx context.Context, tx *store.Tx) error) {
	s.t.Helper()
	db, err := store.OpenSQLite(s.t.Context(), filepath.Join(s.data, "keyhold.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // what was written is committed
	storetest.Write(s.t, db, fn)
}

// desk makes a client that waits and returns its address.
func (s *server) desk(name string, change func(*client.Client)) string {
	s.t.Helper()
	c := waitingClient(s.here.Workspace, name)
	if change != nil {
		change(&c)
	}
	s.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertClient(ctx, c) })
	return clientsPath + "/" + string(c.ID)
}

func TestClients_areShownChangedApprovedAndRevoked(t *testing.T) {
	s, c := standing(t)
	path := s.desk("Front desk", nil)
	a := s.call(s.token, "GET", path, "")
	s.want(a, http.StatusOK, "")
	at := c.Now().Format(time.RFC3339)
	for field, want := range map[string]any{
		"id": strings.TrimPrefix(path, clientsPath+"/"), "name": "Front desk", "kind": "agent", "state": "pending", "pinless_allowed": false, "reader_format": "hex",
		"created_at": at, "created_ip": "192.0.2.9", "approved_at": nil, "approved_by": "", "revoked_at": nil, "last_seen_at": at, "last_ip": "192.0.2.9", "agent": "keyhold-agent/1",
	} {
		if got, there := a.body[field]; !there || got != want {
			t.Errorf("%s = %v (there: %v), want %v", field, got, there, want)
		}
	}
	if strings.Contains(a.text, "public_key") || a.header.Get("ETag") != `"1"` {
		t.Errorf("the client = %v %s", a.header, a.text)
	}
	a = s.call(s.token, "POST", path+"/approve", "", "Idempotency-Key", "one")
	if s.want(a, http.StatusOK, ""); a.body["state"] != "approved" || a.body["approved_by"] != "all" || a.body["approved_at"] != at || a.header.Get("ETag") != `"2"` {
		t.Errorf("approved = %s", a.text)
	}
	for _, headers := range [][]string{{"Idempotency-Key", "one"}, nil} {
		if again := s.call(s.token, "POST", path+"/approve", "", headers...); again.status != http.StatusOK || again.text != a.text {
			t.Errorf("approved again = %d %s, want it as it was", again.status, again.text)
		}
	}
	a = s.call(s.token, "PATCH", path, `{"name":"Reception","pinless_allowed":true,"reader_format":"decimal"}`, "If-Match", `"2"`)
	if s.want(a, http.StatusOK, ""); a.body["name"] != "Reception" || a.body["pinless_allowed"] != true || a.body["reader_format"] != "decimal" || a.header.Get("ETag") != `"3"` {
		t.Errorf("patched = %s", a.text)
	}
	if got := s.call(s.token, "PATCH", path, `{}`).body; got["name"] != "Reception" || got["pinless_allowed"] != true || got["reader_format"] != "decimal" {
		t.Errorf("patched with nothing = %v, want all as it was", got)
	}
	s.desk("Pier", nil)
	for body, want := range map[string]string{
		`{"name":null}`: "name", `{"reader_format":"octal"}`: "reader_format", `{"colour":"red"}`: "colour", `{"state":"approved"}`: "state", `{"reader_format":null,"name":""}`: "name",
	} {
		if a := s.call(s.token, "PATCH", path, body); a.status != http.StatusUnprocessableEntity || !slices.Contains(a.fields(), want) {
			t.Errorf("%s = %d %v, want 422 for %s", body, a.status, a.fields(), want)
		}
	}
	s.want(s.call(s.token, "PATCH", path, `{"name":"pier"}`), http.StatusConflict, "name_taken")
	s.want(s.call(s.token, "PATCH", path, `{"name":"Gate"}`, "If-Match", `"2"`), http.StatusPreconditionFailed, "revision_changed")
	if got := s.status("DELETE", path, `"2"`); got != http.StatusPreconditionFailed {
		t.Errorf("DELETE of another revision = %d, want 412", got)
	}
	if got := s.status("DELETE", path, ""); got != http.StatusNoContent {
		t.Errorf("DELETE = %d, want 204", got)
	}
	if got := s.call(s.token, "GET", path, ""); got.body["state"] != "revoked" || got.body["revoked_at"] != at {
		t.Errorf("after it = %s, want it revoked", got.text)
	}
	s.want(s.call(s.token, "POST", path+"/approve", ""), http.StatusConflict, "client_revoked")
	s.want(s.call(s.token, "PATCH", path, `{"name":"Gate"}`), http.StatusConflict, "client_revoked")
	foreign := s.call(s.other, "GET", path, "")
	if got := s.status("DELETE", path, ""); got != http.StatusNoContent {
		t.Errorf("the second DELETE = %d, want 204", got)
	}
	gone := s.call(s.token, "GET", path, "")
	if s.want(gone, http.StatusNotFound, "client_not_found"); withoutID(gone.text) != withoutID(foreign.text) {
		t.Errorf("another workspace's client is told from one that is gone: %s", foreign.text)
	}
	if got := s.status("DELETE", path, ""); got != http.StatusNotFound {
		t.Errorf("the third DELETE = %d, want 404", got)
	}
}

func TestClients_areListedFilteredAndSorted(t *testing.T) {
	s, _ := standing(t)
	s.desk("Pier", func(c *client.Client) { c.State, c.LastSeenAt = client.Approved, c.CreatedAt.Add(-time.Hour) })
	s.desk("Gate", func(c *client.Client) {
		c.State, c.CreatedAt, c.LastSeenAt = client.Revoked, c.CreatedAt.Add(-time.Minute), time.Time{}
	})
	s.desk("Front desk", func(c *client.Client) { c.CreatedAt = c.CreatedAt.Add(time.Minute) })
	for query, want := range map[string][]string{
		"": {"Front desk", "Gate", "Pier"}, "sort=name,descend": {"Pier", "Gate", "Front desk"}, "sort=created_at": {"Gate", "Pier", "Front desk"},
		"sort=last_seen,descend": {"Front desk", "Pier", "Gate"}, "state=pending": {"Front desk"}, "state=approved": {"Pier"}, "state=revoked": {"Gate"}, "q=des": {"Front desk"},
		"q=nothing": {},
	} {
		if all := s.call(s.token, "GET", clientsPath+"?"+query, ""); all.status != http.StatusOK || !slices.Equal(called(all), want) {
			t.Errorf("%s = %d %v, want %v", query, all.status, called(all), want)
		}
	}
	first := s.call(s.token, "GET", clientsPath+"?limit=2&total=true", "")
	rest := s.call(s.token, "GET", clientsPath+"?limit=2&cursor="+fmt.Sprint(first.body["next_cursor"]), "")
	if got := append(called(first), called(rest)...); !slices.Equal(got, []string{"Front desk", "Gate", "Pier"}) || first.body["total"] != float64(3) || rest.body["next_cursor"] != nil {
		t.Errorf("two pages = %v of %v", got, first.body["total"])
	}
	for _, query := range []string{"state=asleep", "sort=kind", "limit=0", "cursor=7", "colour=red"} {
		if a := s.call(s.token, "GET", clientsPath+"?"+query, ""); a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest {
			t.Errorf("%s = %d, want it refused", query, a.status)
		}
	}
	if all := s.call(s.other, "GET", clientsPath, ""); len(all.data()) != 0 {
		t.Errorf("another workspace's clients: %s", all.text)
	}
}

func TestEnrolmentCodes_areShownOnceAndWithdrawn(t *testing.T) {
	s, c := standing(t)
	a := s.call(s.token, "POST", codesPath, `{"minutes":90,"uses":3}`, "Idempotency-Key", "one")
	code := fmt.Sprint(a.body["code"])
	if a.status != http.StatusCreated || !regexp.MustCompile(`^([2-9A-Z]{4}-){3}[2-9A-Z]{4}$`).MatchString(code) || a.header.Get("Cache-Control") != "no-store" || a.body["secret_already_shown"] != nil {
		t.Errorf("issued = %v %s", a.header, a.text)
	}
	shown := map[string]any{
		"uses": float64(3), "uses_left": float64(3), "created_by": "all", "created_at": c.Now().Format(time.RFC3339), "expires_at": c.Now().Add(90 * time.Minute).Format(time.RFC3339),
	}
	rows := s.call(s.token, "GET", codesPath, "")
	if s.want(rows, http.StatusOK, ""); len(rows.data()) != 1 || strings.Contains(rows.text, code) {
		t.Fatalf("the codes = %s, want one without the code itself", rows.text)
	}
	for field, want := range shown {
		if a.body[field] != want || rows.data()[0][field] != want {
			t.Errorf("%s = %v, in the list %v, want %v", field, a.body[field], rows.data()[0][field], want)
		}
	}
	repeat := s.call(s.token, "POST", codesPath, `{"minutes":90,"uses":3}`, "Idempotency-Key", "one")
	if s.want(repeat, http.StatusCreated, ""); repeat.body["id"] != a.body["id"] || repeat.body["code"] != nil || repeat.body["secret_already_shown"] != true || strings.Contains(repeat.text, code) {
		t.Errorf("the repeat = %s, want the same code without its text", repeat.text)
	}
	s.want(s.call(s.token, "POST", codesPath, `{"minutes":91}`, "Idempotency-Key", "one"), http.StatusUnprocessableEntity, "idempotency_key_reused")
	plain := s.call(s.token, "POST", codesPath, "")
	if plain.status != http.StatusCreated || plain.body["uses"] != float64(1) || plain.body["expires_at"] != c.Now().Add(time.Hour).Format(time.RFC3339) {
		t.Errorf("without a body = %s, want one use within the hour", plain.text)
	}
	for body, want := range map[string]string{
		`{"minutes":9}`: "minutes", `{"minutes":-1}`: "minutes", `{"minutes":43201}`: "minutes", `{"minutes":9007199254741052}`: "minutes", `{"uses":1001}`: "uses", `{"uses":-1}`: "uses",
		`{"code":"AAAA"}`: "code",
	} {
		if no := s.call(s.token, "POST", codesPath, body); no.status != http.StatusUnprocessableEntity || !slices.Equal(no.fields(), []string{want}) {
			t.Errorf("%s = %d %v, want 422 for %s", body, no.status, no.fields(), want)
		}
	}
	path := codesPath + "/" + fmt.Sprint(a.body["id"])
	before := s.callEmpty("DELETE", path, "Authorization", "Bearer "+s.other)
	if got := s.status("DELETE", path, ""); got != http.StatusNoContent {
		t.Errorf("DELETE = %d, want 204", got)
	}
	after := s.callEmpty("DELETE", path, "Authorization", "Bearer "+s.token)
	if before.status != http.StatusNotFound || withoutID(before.text) != withoutID(after.text) {
		t.Errorf("another workspace's code is told from one that is gone: %s and %s", before.text, after.text)
	}
	if rows := s.call(s.token, "GET", codesPath, "").data(); len(rows) != 1 || rows[0]["id"] != plain.body["id"] {
		t.Errorf("the codes = %v, want the other one", rows)
	}
	s.want(s.call(s.token, "POST", codesPath, `{"minutes":90,"uses":3}`, "Idempotency-Key", "one"), http.StatusNotFound, "enrolment_code_not_found")
}

func TestActivities_nameClientAndCredential(t *testing.T) {
	s, _ := standing(t)
	ada := s.person("ada")
	u, through := id.User(ada), id.New[id.KindClient](storetest.Start())
	passkey := websitePasskey(s.here.Workspace, u, "ada")
	s.write(func(ctx context.Context, tx *store.Tx) error {
		e := activity.Event{
			Action: "credential.use", Actor: activity.Party{Type: "user", ID: ada, Name: "ada Example"}, Target: passkey.Party(), User: u, RPID: "shop.example", Client: through,
		}
		return activity.Append(ctx, tx, s.here, e, storetest.Start())
	})
	for _, path := range []string{"/api/v1/activities?action=credential.use", "/api/v1/users/" + ada + "/activities?action=credential.use", "/api/v1/activities?target=" + string(passkey.ID)} {
		a := s.call(s.token, "GET", path, "")
		if rows := a.data(); len(rows) != 1 || rows[0]["client"] != string(through) || rows[0]["credential"] != string(passkey.ID) || rows[0]["rp_id"] != "shop.example" {
			t.Errorf("%s = %d %s, want the one line with its client and credential", path, a.status, a.text)
		}
	}
	if all := s.call(s.token, "GET", "/api/v1/activities?action=user.create", "").data(); len(all) != 1 || all[0]["client"] != nil || all[0]["credential"] != nil {
		t.Errorf("another line = %v, want neither", all)
	}
	_, _, lines := s.textOf(s.token, "/api/v1/activities/export?format=jsonl&action=credential.use")
	_, _, sheet := s.textOf(s.token, "/api/v1/activities/export?format=csv&action=credential.use")
	if !strings.Contains(lines, `"client":"`+string(through)+`","credential":"`+string(passkey.ID)+`"`) {
		t.Errorf("the lines = %s", lines)
	}
	head, row, _ := strings.Cut(sheet, "\r\n")
	if !strings.HasSuffix(head, "security_key,client,credential") || !strings.HasSuffix(strings.TrimSpace(row), ","+string(through)+","+string(passkey.ID)) {
		t.Errorf("the sheet = %s", sheet)
	}
}

func TestUserActivities_areOfOneUser(t *testing.T) {
	s, _ := standing(t)
	ada, bob := s.person("ada"), s.person("bob")
	path := "/api/v1/users/" + ada + "/activities"
	a := s.call(s.token, "GET", path+"?total=true", "")
	if s.want(a, http.StatusOK, ""); len(a.data()) != 1 || a.data()[0]["user"] != ada || a.body["total"] != float64(1) {
		t.Errorf("activities = %s, want Ada's creation alone", a.text)
	}
	if none := s.call(s.token, "GET", path+"?outcome=failed", ""); none.status != http.StatusOK || len(none.data()) != 0 {
		t.Errorf("failed ones = %d %s, want none", none.status, none.text)
	}
	s.want(s.call(s.other, "GET", path, ""), http.StatusNotFound, "user_not_found")
	s.want(s.call(s.token, "GET", "/api/v1/users/7/activities", ""), http.StatusNotFound, "user_not_found")
	if got := s.status("DELETE", "/api/v1/users/"+bob, ""); got != http.StatusNoContent {
		t.Fatalf("DELETE = %d", got)
	}
	if left := s.call(s.token, "GET", "/api/v1/users/"+bob+"/activities", ""); left.status != http.StatusOK || len(left.data()) != 2 {
		t.Errorf("of one who is gone = %d %s, want creation and deletion", left.status, left.text)
	}
}
