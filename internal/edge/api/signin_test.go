package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// member is somebody with a passkey, and the cookie of their last session.
type member struct {
	s          *server
	party      virtualwebauthn.RelyingParty
	device     virtualwebauthn.Authenticator
	credential virtualwebauthn.Credential
	cookie     string
}

func newCredential() virtualwebauthn.Credential {
	const publicKeyLength = 77 // CBOR of an EC2 key with two coordinates of 32 bytes
	for {
		c := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		if len(c.Key.AttestationData()) == publicKeyLength {
			return c
		}
	}
}

// owner makes an owner of the first workspace who is signed in at the panel.
func (s *server) owner(name string) *member {
	s.t.Helper()
	ctx, nobody := s.t.Context(), auth.Nobody("192.0.2.1", "browser", "req")
	email := name + "@example.com"
	if _, err := s.app.Join.Appoint(ctx, s.here, directory.NewUser{Email: email, FirstName: name}); err != nil {
		s.t.Fatal(err)
	}
	link, _, err := s.app.SignIn.IssueSetupLink(ctx, s.here, email)
	if err != nil {
		s.t.Fatal(err)
	}
	m := &member{
		s: s, device: virtualwebauthn.NewAuthenticator(), credential: newCredential(),
		party: virtualwebauthn.RelyingParty{ID: "localhost", Name: "Keyhold", Origin: "http://localhost:8080"},
	}
	c, err := s.app.Join.BeginPasskey(ctx, nobody, link, join.Owner{})
	if err != nil {
		s.t.Fatal(err)
	}
	opened, err := s.app.Join.FinishPasskey(ctx, nobody, link, c.Ceremony, m.register(c))
	if err != nil {
		s.t.Fatal(err)
	}
	m.cookie = opened.Token.ExposeString()
	return m
}

// register answers a registration's challenge.
func (m *member) register(c signin.Challenge) []byte {
	m.s.t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		m.s.t.Fatal(err)
	}
	m.device.Options.UserHandle = []byte(options.UserID)
	return []byte(virtualwebauthn.CreateAttestationResponse(m.party, m.device, m.credential, *options))
}

// enter signs in with the passkey and returns the caller.
func (m *member) enter() auth.Caller {
	m.s.t.Helper()
	ctx, nobody := m.s.t.Context(), auth.Nobody("192.0.2.1", "browser", "req")
	c, err := m.s.app.SignIn.BeginSignIn(ctx, nobody)
	if err != nil {
		m.s.t.Fatal(err)
	}
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	if err != nil {
		m.s.t.Fatal(err)
	}
	response := virtualwebauthn.CreateAssertionResponse(m.party, m.device, m.credential, *options)
	opened, err := m.s.app.SignIn.FinishSignIn(ctx, nobody, c.Ceremony, []byte(response))
	if err != nil {
		m.s.t.Fatal(err)
	}
	m.cookie = opened.Token.ExposeString()
	return opened.Caller
}

// caller returns who the member's session is.
func (m *member) caller() auth.Caller {
	m.s.t.Helper()
	by, err := m.s.app.SignIn.VerifySession(m.s.t.Context(), auth.Nobody("192.0.2.1", "browser", "req"), secret.FromString(m.cookie))
	if err != nil {
		m.s.t.Fatal(err)
	}
	return by
}

// call sends a request with the member's cookie.
func (m *member) call(method, path, body string, headers ...string) answer {
	m.s.t.Helper()
	if method == http.MethodDelete {
		return m.s.callEmpty(method, path, append(headers, "Cookie", "keyhold_session="+m.cookie)...)
	}
	return m.s.call("", method, path, body, append(headers, "Cookie", "keyhold_session="+m.cookie)...)
}

func TestAdministrators_whole(t *testing.T) {
	s := newServer(t)
	ada := s.owner("ada")
	user := s.call(s.token, "POST", "/api/v1/users", `{"email":"bob@example.com","first_name":"Bob"}`)
	body := fmt.Sprintf(`{"user":%q,"preset":"key_administrator"}`, user.body["id"])
	a := ada.call("POST", "/api/v1/administrators", body, "Idempotency-Key", "one")
	s.want(a, http.StatusCreated, "")
	bob, _ := a.body["id"].(string)
	about, _ := a.body["user"].(map[string]any)
	if a.header.Get("ETag") != `"1"` || a.header.Get("Location") != "/api/v1/administrators/"+bob || a.body["preset"] != "key_administrator" ||
		about["email"] != "bob@example.com" || a.body["owner"] != false || !strings.Contains(a.text, `"permissions":["activities.read","clients.read","clients.write","security_keys.read","security_keys.write","users.read","users.write"]`) {
		t.Errorf("created = %v %s", a.header, a.text)
	}
	if again := ada.call("POST", "/api/v1/administrators", body, "Idempotency-Key", "one"); again.status != http.StatusCreated || again.text != a.text {
		t.Errorf("the repeat = %d %s, want the same answer", again.status, again.text)
	}
	s.want(s.call(s.token, "POST", "/api/v1/administrators", body), http.StatusConflict, "administrator_exists")
	path := "/api/v1/administrators/" + bob
	a = s.call(s.token, "PATCH", path, `{"permissions":["users.read"]}`, "If-Match", `"1"`)
	s.want(a, http.StatusOK, "")
	if a.header.Get("ETag") != `"2"` || a.body["preset"] != nil {
		t.Errorf("patched = %s %s", a.header.Get("ETag"), a.text)
	}
	s.want(s.call(s.token, "PATCH", path, `{"preset":"auditor"}`, "If-Match", `"1"`), http.StatusPreconditionFailed, "revision_changed")
	s.want(s.call(s.token, "PATCH", path, `{"preset":"auditor"}`, "If-Match", `x`), http.StatusPreconditionFailed, "revision_changed")
	a = s.call(s.token, "PATCH", path, `{"permissions":null}`)
	if rights, _ := a.body["permissions"].([]any); a.status != http.StatusOK || len(rights) != 0 {
		t.Errorf("permissions removed = %d %s, want none left", a.status, a.text)
	}
	for _, c := range []struct {
		body, code string
		status     int
		fields     []string
	}{
		{`{"permissions":["fly"]}`, "invalid_fields", 422, []string{"permissions"}},
		{`{"preset":"king"}`, "invalid_fields", 422, []string{"preset"}},
		{`{"king":true}`, "invalid_fields", 422, []string{"king"}},
		{`{"owner":true}`, "owners_only", 403, nil},
	} {
		a := s.call(s.token, "PATCH", path, c.body)
		s.want(a, c.status, c.code)
		if !slices.Equal(a.fields(), c.fields) {
			t.Errorf("%s: fields %v, want %v", c.body, a.fields(), c.fields)
		}
	}
	s.want(ada.call("PATCH", path, `{"owner":true}`), http.StatusOK, "")
	list := s.call(s.token, "GET", "/api/v1/administrators?sort=name,descend&total=true&limit=1", "")
	if list.body["total"] != float64(2) || len(list.data()) != 1 || list.data()[0]["id"] != bob {
		t.Errorf("the list = %s, want Bob first of two", list.text)
	}
	next, _ := list.body["next_cursor"].(string)
	list = s.call(s.token, "GET", "/api/v1/administrators?sort=name,descend&limit=1&cursor="+next, "")
	if len(list.data()) != 1 || list.data()[0]["id"] == bob || list.body["next_cursor"] != nil {
		t.Errorf("the second page = %s, want Ada", list.text)
	}
	removed := ada.s.call("", "DELETE", path, "", "Cookie", "keyhold_session="+ada.cookie)
	if removed.status != http.StatusOK || !strings.Contains(removed.text, `"left":{"api_keys":[]}`) {
		t.Errorf("removed = %d %s", removed.status, removed.text)
	}
	s.want(s.call(s.token, "GET", path, ""), http.StatusNotFound, "administrator_not_found")
	own := string(ada.caller().Administrator)
	s.want(ada.s.call("", "DELETE", "/api/v1/administrators/"+own, "", "Cookie", "keyhold_session="+ada.cookie), http.StatusConflict, "not_yourself")
	s.want(ada.call("PATCH", "/api/v1/administrators/"+own, `{"owner":false}`), http.StatusConflict, "last_owner")
}

func TestAdministrators_passkeysAndSessions(t *testing.T) {
	s := newServer(t)
	ada, bob := s.owner("ada"), s.owner("bob")
	path := "/api/v1/administrators/" + string(bob.caller().Administrator)
	keys := s.call(s.token, "GET", path+"/passkeys", "")
	if len(keys.data()) != 1 || keys.data()[0]["confirmed"] != true || keys.data()[0]["confirmed_by"] != nil {
		t.Errorf("passkeys = %s, want one that is confirmed", keys.text)
	}
	key := fmt.Sprint(keys.data()[0]["id"])
	s.want(s.call(s.token, "POST", path+"/passkeys/"+key+"/confirm", ""), http.StatusForbidden, "person_only")
	s.want(ada.call("POST", path+"/passkeys/"+key+"/confirm", ""), http.StatusConflict, "passkey_confirmed")
	s.want(bob.call("POST", path+"/passkeys/"+key+"/confirm", ""), http.StatusForbidden, "not_yourself")
	s.want(s.call(s.token, "DELETE", path+"/passkeys/"+key, ""), http.StatusForbidden, "person_only")
	sessions := s.call(s.token, "GET", path+"/sessions", "")
	if len(sessions.data()) != 1 || sessions.data()[0]["scope"] != "panel" || sessions.data()[0]["current"] != false || sessions.data()[0]["passkey"] != key {
		t.Errorf("sessions = %s, want Bob's by that passkey", sessions.text)
	}
	session := fmt.Sprint(sessions.data()[0]["id"])
	s.want(s.call(s.token, "DELETE", path+"/sessions/"+session, ""), http.StatusForbidden, "beyond_your_permissions")
	if a := ada.call("DELETE", path+"/sessions/"+session, ""); a.status != http.StatusNoContent {
		t.Errorf("ending a session = %d, want 204", a.status)
	}
	s.want(bob.call("GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	bob.enter()
	if a := ada.call("DELETE", path+"/passkeys/"+key, ""); a.status != http.StatusNoContent {
		t.Errorf("removing a passkey = %d, want 204", a.status)
	}
	s.want(bob.call("GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	s.want(ada.s.call("", "DELETE", path+"/passkeys/"+key, "", "Cookie", "keyhold_session="+ada.cookie), http.StatusNotFound, "passkey_not_found")
}

func TestMe_accountOfAPerson(t *testing.T) {
	s := newServer(t)
	ada, bob := s.owner("ada"), s.owner("bob")
	keys := ada.call("GET", "/api/v1/me/passkeys", "")
	if len(keys.data()) != 1 {
		t.Fatalf("my passkeys = %s, want one", keys.text)
	}
	key := "/api/v1/me/passkeys/" + fmt.Sprint(keys.data()[0]["id"])
	if a := ada.call("PATCH", key, `{"name":"Phone"}`); a.status != http.StatusOK || a.body["name"] != "Phone" {
		t.Errorf("renamed = %d %s", a.status, a.text)
	}
	if a := ada.call("PATCH", key, `{}`); a.status != http.StatusOK || a.body["name"] != "Phone" {
		t.Errorf("an empty patch = %d %s", a.status, a.text)
	}
	a := ada.call("PATCH", key, `{"name":null}`)
	if s.want(a, 422, "invalid_fields"); !slices.Equal(a.fields(), []string{"name"}) {
		t.Errorf("fields %v, want name", a.fields())
	}
	for _, body := range []string{`{}`, `{"name":"Mine"}`} {
		s.want(bob.call("PATCH", key, body), http.StatusNotFound, "passkey_not_found")
		s.want(bob.call("PATCH", "/api/v1/me/passkeys/7", body), http.StatusNotFound, "passkey_not_found")
	}
	cookie := []string{"Cookie", "keyhold_session=" + ada.cookie}
	s.want(s.call("", "DELETE", key, "", cookie...), http.StatusConflict, "last_passkey")
	s.want(s.call("", "DELETE", "/api/v1/me/sessions/7", "", cookie...), http.StatusNotFound, "session_not_found")
	s.want(s.call(s.token, "GET", "/api/v1/me/passkeys", ""), http.StatusForbidden, "person_only")
	s.want(s.call(s.token, "GET", "/api/v1/me/sessions", ""), http.StatusForbidden, "person_only")
	sessions := ada.call("GET", "/api/v1/me/sessions", "")
	if len(sessions.data()) != 1 || sessions.data()[0]["current"] != true {
		t.Fatalf("my sessions = %s, want the one that asks", sessions.text)
	}
	if a := ada.call("DELETE", "/api/v1/me/sessions/"+fmt.Sprint(sessions.data()[0]["id"]), ""); a.status != http.StatusNoContent {
		t.Errorf("ending my session = %d, want 204", a.status)
	}
	s.want(ada.call("GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
}

// A session of the app reads who it is, and nothing of the workspace.
func TestMe_ofAUser(t *testing.T) {
	s := newServer(t)
	ada, bob := s.owner("ada"), s.owner("bob")
	s.want(ada.s.call("", "DELETE", "/api/v1/administrators/"+string(bob.caller().Administrator), "", "Cookie", "keyhold_session="+ada.cookie), http.StatusOK, "")
	s.want(bob.call("GET", "/api/v1/me", ""), http.StatusUnauthorized, "unauthenticated")
	by := bob.enter()
	if by.Kind != auth.User {
		t.Fatalf("a session of kind %s, want the app's", by.Kind)
	}
	a := bob.call("GET", "/api/v1/me", "")
	about, _ := a.body["caller"].(map[string]any)
	if a.status != http.StatusOK || about["type"] != "user" || about["id"] != string(by.User) || !strings.Contains(a.text, `"permissions":[]`) || a.body["key"] != nil {
		t.Errorf("GET /me = %d %s", a.status, a.text)
	}
	for _, path := range []string{"/users", "/administrators", "/activities", "/api-keys"} {
		s.want(bob.call("GET", "/api/v1"+path, ""), http.StatusForbidden, "missing_permission")
	}
	if a := bob.call("GET", "/api/v1/me/passkeys", ""); len(a.data()) != 1 || a.data()[0]["confirmed"] != false {
		t.Errorf("my passkeys = %s, want the one, which waits now", a.text)
	}
}

func TestAdministrators_strangers(t *testing.T) {
	s := newServer(t)
	ada := s.owner("ada")
	theirs := "/api/v1/administrators/" + string(ada.caller().Administrator)
	missing := "/api/v1/administrators/adm_01jd3v9b8eexav2f6hqdr3wzkt"
	malformed := "/api/v1/administrators/7"
	narrow := s.key(s.here, apikey.NewKey{Name: "narrow", Type: apikey.Admin, Permissions: []string{"users.read"}})
	for _, c := range []struct{ method, path, body string }{
		{"GET", "", ""},
		{"PATCH", "", `{"preset":"auditor"}`},
		{"DELETE", "", ""},
		{"GET", "/passkeys", ""},
		{"POST", "/passkeys/psk_01jd3v9b8eexav2f6hqdr3wzkt/confirm", ""},
		{"DELETE", "/passkeys/psk_01jd3v9b8eexav2f6hqdr3wzkt", ""},
		{"GET", "/sessions", ""},
		{"DELETE", "/sessions/ses_01jd3v9b8eexav2f6hqdr3wzkt", ""},
	} {
		want := s.call(s.other, c.method, missing+c.path, c.body)
		s.want(want, http.StatusNotFound, "administrator_not_found")
		for what, path := range map[string]string{"another workspace's": theirs, "a malformed": malformed} {
			got := s.call(s.other, c.method, path+c.path, c.body)
			if withoutID(got.text) != withoutID(want.text) || got.status != want.status {
				t.Errorf("%s %s with %s id = %s, want %s", c.method, c.path, what, got.text, want.text)
			}
		}
		s.want(s.call(narrow, c.method, theirs+c.path, c.body), http.StatusForbidden, "missing_permission")
	}
}
