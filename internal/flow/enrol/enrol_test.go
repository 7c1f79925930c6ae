package enrol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/flow/enrol"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/lease"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// office is a workspace with an owner who makes enrolment codes, and no API key.
type office struct {
	storetest.Database
	*enrol.Service
	clients *client.Service
	keys    *apikey.Service
	clock   *clock.Manual
	w       id.Workspace
	by      auth.Caller // the owner
}

func newOffice(t *testing.T) *office {
	t.Helper()
	d := storetest.SQLite(t)
	c, w := clock.NewManual(storetest.Start()), storetest.Workspace(t, d.Store)
	o := &office{Database: d, clock: c, w: w, by: storetest.Administrator(t, d.Store, w, "ada")}
	o.clients = client.NewService(client.Config{Store: store.For[client.Tx](d.Store), Clock: c, CodeKey: secret.FromString("code key")})
	o.keys = apikey.New(apikey.Config{Store: store.For[apikey.Tx](d.Store), Clock: c, Peppers: apikey.Peppers{Current: 1, Known: map[int]secret.Bytes{1: secret.FromString("pepper")}}})
	o.Service = enrol.NewService(enrol.Config{Store: store.For[enrol.Tx](d.Store), Clock: c, Clients: o.clients, Keys: o.keys})
	return o
}

// code makes a code by an administrator's hand.
func (o *office) code(t *testing.T, by auth.Caller, uses int) (client.Code, string) {
	t.Helper()
	c, text, err := o.clients.IssueCode(t.Context(), by, client.NewEnrolmentCode{Uses: uses})
	if err != nil {
		t.Fatal(err)
	}
	return c, text.ExposeString()
}

// left returns how often a code may still be used.
func (o *office) left(t *testing.T, c client.Code) int {
	t.Helper()
	return storetest.Count(t, o.Database, `SELECT uses_left FROM client_code WHERE id = $1`, string(c.ID))
}

const enrolURL = "https://keys.example.com/authenticator/v1/clients"

// program is a workstation's program.
type program struct{ key *ecdsa.PrivateKey }

func newProgram(t testing.TB) program {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return program{key}
}

// shows is what a request of the program shows that has no token.
func (p program) shows(t testing.TB, o *office, change func(*dpop.Claims)) client.Shown {
	t.Helper()
	body := []byte(`{"a":1}`)
	claims := dpop.Claims{
		Method: "POST", URL: enrolURL, IssuedAt: o.clock.Now(), ID: rand.Text(), Nonce: o.clients.Nonce(t.Context(), nobody()), TokenHash: dpop.TokenHash(""), BodyHash: dpop.BodyHash(body),
	}
	if change != nil {
		change(&claims)
	}
	proof, err := dpop.Sign(p.key, claims)
	if err != nil {
		t.Fatal(err)
	}
	return client.Shown{Proof: proof, Method: "POST", URL: enrolURL, Body: body}
}

func (p program) says(name, code string) client.Enrolment {
	return client.Enrolment{Name: name, Kind: client.Extension, JWK: dpop.JWK(&p.key.PublicKey), Code: code}
}

func (p program) enrols(t testing.TB, o *office, name, code string) (enrol.Enrolled, error) {
	t.Helper()
	return o.ByCode(t.Context(), nobody(), p.shows(t, o, nil), p.says(name, code))
}

func nobody() auth.Caller { return auth.Nobody("192.0.2.7", "extension/1", "req_1") }

// verified returns the client behind a token and a proof by the program.
func (p program) verified(t testing.TB, o *office, token secret.Bytes) (auth.Caller, error) {
	t.Helper()
	by, err := o.keys.Verify(t.Context(), nobody(), token.ExposeString(), apikey.Clients)
	if err != nil {
		return by, err
	}
	sh := p.shows(t, o, func(c *dpop.Claims) { c.TokenHash = dpop.TokenHash(token.ExposeString()) })
	sh.Token = token.ExposeString()
	return o.clients.Verify(t.Context(), by, sh)
}

// nothing fails the test if there is a client, a key or a line of one that succeeded.
func (o *office) nothing(t *testing.T, what string, but int) {
	t.Helper()
	for _, table := range []string{`SELECT COUNT(*) FROM client`, `SELECT COUNT(*) FROM apikey`, `SELECT COUNT(*) FROM activity WHERE action IN ('client.enrol', 'api_key.create') AND outcome = 'success'`} {
		want := but
		if strings.Contains(table, "activity") {
			want = 2 * but
		}
		if n := storetest.Count(t, o.Database, table); n != want {
			t.Errorf("%s: %s is %d, want %d", what, table, n, want)
		}
	}
}

func TestByCode_makesAClientWithAKeyOfItsOwn(t *testing.T) {
	o := newOffice(t)
	code, text := o.code(t, o.by, 2)
	p := newProgram(t)
	got, err := p.enrols(t, o, "Front desk", " "+strings.ToLower(text)+" ")
	if err != nil {
		t.Fatal(err)
	}
	c := got.Client
	if c.State != client.Approved || c.Workspace != o.w || c.ApprovedBy != o.by.Name || !c.ApprovedAt.Equal(o.clock.Now()) || c.Thumbprint != dpop.Thumbprint(&p.key.PublicKey) || c.CreatedIP != "192.0.2.7" {
		t.Errorf("the client is %+v", c)
	}
	if n := o.left(t, code); n != 1 {
		t.Errorf("%d uses are left, want 1", n)
	}
	k, err := o.keys.Find(t.Context(), o.by, c.APIKey)
	if err != nil || k.Type != apikey.Clients || k.Name != "Workstation Front desk" || k.CreatedBy != (activity.Party{Type: "client", ID: string(c.ID), Name: c.Name}) || k.Root != "" || !k.EndsAt.Equal(apikey.Never()) {
		t.Errorf("the key is %+v, %v", k, err)
	}
	by, err := p.verified(t, o, got.Token)
	if err != nil || by.Kind != auth.Client || by.Client != c.ID || by.APIKey != k.ID {
		t.Fatalf("the token and the key give %+v, %v", by, err)
	}
	if _, err := o.clients.Touch(t.Context(), by); err != nil {
		t.Error(err)
	}
	if line := storetest.Activity(t, o.Store, o.w, "client.enrol"); line.Outcome != activity.Success || line.Client != c.ID || line.Actor.ID != string(c.ID) || line.Target.ID != string(c.ID) || line.Detail != "approved by an enrolment code" || line.IP != "192.0.2.7" {
		t.Errorf("the line is %+v", line)
	}
	if line := storetest.Activity(t, o.Store, o.w, "api_key.create"); line.Outcome != activity.Success || line.Client != c.ID || line.Target.ID != string(k.ID) || line.Detail != "clients" {
		t.Errorf("the line is %+v", line)
	}
	dump := storetest.Dump(t, o.Database)
	for what, secret := range map[string]string{"token": got.Token.ExposeString(), "code": text, "code as it is read": strings.ReplaceAll(text, "-", "")} {
		if strings.Contains(dump, secret) {
			t.Errorf("the %s is in the database", what)
		}
	}
}

func TestByCode_refusesCodes(t *testing.T) {
	o := newOffice(t)
	elsewhere := storetest.Workspace(t, o.Store)
	boss := storetest.Administrator(t, o.Store, elsewhere, "bob")
	_, suspended := o.code(t, boss, 1)
	storetest.Exec(t, o.Database, `UPDATE workspace SET suspended_at = 1 WHERE id = $1`, string(elsewhere))
	_, spent := o.code(t, o.by, 1)
	if _, err := newProgram(t).enrols(t, o, "First", spent); err != nil {
		t.Fatal(err)
	}
	withdrawn, gone := o.code(t, o.by, 1)
	if err := o.clients.WithdrawCode(t.Context(), o.by, withdrawn.ID); err != nil {
		t.Fatal(err)
	}
	_, old := o.code(t, o.by, 1)
	storetest.Exec(t, o.Database, `UPDATE client_code SET expires_at = $1 WHERE created_by = $2 AND uses_left > 0`, o.clock.Now().UnixMilli(), o.by.Name)
	var answers []string
	for name, code := range map[string]string{"unknown": "AAAA-BBBB-CCCC-DDDD", "no code at all": "?", "spent": spent, "withdrawn": gone, "too old": old, "of a suspended workspace": suspended} {
		_, err := newProgram(t).enrols(t, o, "Second", code)
		f := storetest.Fault(t, err, "enrolment_code_invalid")
		answers = append(answers, f.Public)
		if f.Kind != fault.KindInvalid || f.Public != answers[0] {
			t.Errorf("a code that is %s: %+v, want the one answer", name, f)
		}
		o.nothing(t, name, 1)
	}
	_, err := newProgram(t).enrols(t, o, "Second", " ")
	storetest.Refused(t, err, "unauthenticated")
}

func TestByCode_refusesProofs(t *testing.T) {
	o := newOffice(t)
	code, text := o.code(t, o.by, 5)
	p, other := newProgram(t), newProgram(t)
	for name, c := range map[string]struct {
		shown client.Shown
		code  string
	}{
		"none":             {client.Shown{Method: "POST", URL: enrolURL, Body: []byte(`{"a":1}`)}, "invalid_dpop_proof"},
		"without a nonce":  {p.shows(t, o, func(c *dpop.Claims) { c.Nonce = "" }), "use_dpop_nonce"},
		"of another body":  {p.shows(t, o, func(c *dpop.Claims) { c.BodyHash = dpop.BodyHash(nil) }), "invalid_dpop_proof"},
		"of another URL":   {p.shows(t, o, func(c *dpop.Claims) { c.URL += "/x" }), "invalid_dpop_proof"},
		"of a token":       {p.shows(t, o, func(c *dpop.Claims) { c.TokenHash = dpop.TokenHash("kh_client_x") }), "invalid_dpop_proof"},
		"by another's key": {other.shows(t, o, nil), "invalid_fields"},
	} {
		_, err := o.ByCode(t.Context(), nobody(), c.shown, p.says("Front desk", text))
		storetest.Refused(t, err, c.code)
		o.nothing(t, "a proof "+name, 0)
	}
	sh := p.shows(t, o, nil)
	first, err := o.ByCode(t.Context(), nobody(), sh, p.says("Front desk", text))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // to revoke, and to remove it: then nothing else is in the way of the copy
		if err := o.clients.Revoke(t.Context(), o.by, first.Client.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, err = o.ByCode(t.Context(), nobody(), sh, p.says("Front desk", text))
	storetest.Refused(t, err, "invalid_dpop_proof")
	if n := o.left(t, code); n != 4 {
		t.Errorf("%d uses are left, want a copied proof to spend none", n)
	}
	if all := storetest.Activities(t, o.Store, o.w, "client.enrol"); len(all) != 2 || all[0].Reason != "proof_replayed" && all[1].Reason != "proof_replayed" {
		t.Errorf("the lines are %+v, want the copy's", all)
	}
	if _, err := p.enrols(t, o, "Front desk", text); err != nil {
		t.Errorf("a fresh proof: %v", err)
	}
}

func TestByCode_refusesWhoIsThere(t *testing.T) {
	o := newOffice(t)
	code, text := o.code(t, o.by, 5)
	p := newProgram(t)
	there, err := p.enrols(t, o, "Front desk", text)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(p program, name, code string) {
		t.Helper()
		_, err := p.enrols(t, o, name, text)
		storetest.Refused(t, err, code)
		line := storetest.Activities(t, o.Store, o.w, "client.enrol")
		found := false
		for _, l := range line {
			found = found || l.Outcome == activity.Refused && l.Reason == code && l.Target.Name == name && l.Actor.Type == "anonymous"
		}
		if !found {
			t.Errorf("there is no line of %s in %+v", code, line)
		}
	}
	refused(p, "Another name", "client_known")
	refused(newProgram(t), "FRONT desk", "name_taken")
	o.nothing(t, "who is there", 1)
	if err := o.clients.Revoke(t.Context(), o.by, there.Client.ID, 0); err != nil {
		t.Fatal(err)
	}
	refused(p, "Front desk again", "client_revoked")
	if n := o.left(t, code); n != 4 {
		t.Errorf("%d uses are left, want refusals to spend none", n)
	}
	// The name is free in another workspace, and the key of the program as well.
	boss := storetest.Administrator(t, o.Store, storetest.Workspace(t, o.Store), "bob")
	_, elsewhere := o.code(t, boss, 1)
	got, err := p.enrols(t, o, "Front desk", elsewhere)
	if err != nil || got.Client.Workspace != boss.Workspace {
		t.Errorf("in another workspace: %+v, %v", got.Client, err)
	}
}

func TestByCode_checksFields(t *testing.T) {
	o := newOffice(t)
	code, text := o.code(t, o.by, 1)
	p := newProgram(t)
	for field, change := range map[string]func(*client.Enrolment){
		"name": func(e *client.Enrolment) { e.Name = "" },
		"kind": func(e *client.Enrolment) { e.Kind = client.SharedMobile },
		"jwk":  func(e *client.Enrolment) { e.JWK = nil },
	} {
		e := p.says("Front desk", text)
		change(&e)
		_, err := o.ByCode(t.Context(), nobody(), p.shows(t, o, nil), e)
		if f := storetest.Fault(t, err, "invalid_fields"); len(f.Fields) != 1 || f.Fields[0].Name != field {
			t.Errorf("%+v, want the field %s", f.Fields, field)
		}
	}
	if n := o.left(t, code); n != 1 {
		t.Errorf("%d uses are left, want 1", n)
	}
	if _, err := p.enrols(t, o, strings.Repeat("ü", 100), text); err != nil {
		t.Errorf("the longest name: %v", err)
	}
}

func TestByCode_countsTriesByNetwork(t *testing.T) {
	o := newOffice(t)
	code, text := o.code(t, o.by, 2)
	if _, err := newProgram(t).enrols(t, o, "First", text); err != nil {
		t.Fatal(err)
	}
	// The one that enrolled does not count: a hundred others may be wrong.
	for range 100 {
		_, err := newProgram(t).enrols(t, o, "Second", "AAAA-BBBB-CCCC-DDDD")
		storetest.Refused(t, err, "enrolment_code_invalid")
	}
	_, err := newProgram(t).enrols(t, o, "Second", text)
	if f := storetest.Fault(t, err, "too_many_tries"); f.RetryAfter != 10*time.Minute {
		t.Errorf("wait %v, want until the window ends", f.RetryAfter)
	}
	if n := o.left(t, code); n != 1 {
		t.Errorf("%d uses are left, want a code that is not compared not to be spent", n)
	}
	p := newProgram(t)
	by := nobody()
	by.IP = "198.51.100.7"
	if _, err := o.ByCode(t.Context(), by, p.shows(t, o, nil), p.says("Elsewhere", text)); err != nil {
		t.Errorf("from another network: %v", err)
	}
}

func TestByCode_oneOfTwoAtOnceWins(t *testing.T) {
	o := newOffice(t)
	_, text := o.code(t, o.by, 1)
	var errs [2]error
	var both sync.WaitGroup
	for i, name := range []string{"One", "Two"} {
		p := newProgram(t)
		sh := p.shows(t, o, nil)
		both.Go(func() { _, errs[i] = o.ByCode(t.Context(), nobody(), sh, p.says(name, text)) })
	}
	both.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Fatalf("the two got %v and %v, want one in", errs[0], errs[1])
	}
	for _, err := range errs {
		if err != nil {
			storetest.Refused(t, err, "enrolment_code_invalid")
		}
	}
	o.nothing(t, "two at once", 1)
}

func TestByCode_theWorkspacesLimitHolds(t *testing.T) {
	o := newOffice(t)
	storetest.Exec(t, o.Database, `UPDATE workspace SET api_key_max_days = 30 WHERE id = $1`, string(o.w))
	_, text := o.code(t, o.by, 1)
	got, err := newProgram(t).enrols(t, o, "Front desk", text)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := o.keys.Find(t.Context(), o.by, got.Client.APIKey); err != nil || !k.EndsAt.Equal(o.clock.Now().AddDate(0, 0, 30)) {
		t.Errorf("the key ends at %v, %v, want it after 30 days", k.EndsAt, err)
	}
}

func TestByCode_theKeyIsForThatClientOnly(t *testing.T) {
	o := newOffice(t)
	_, text := o.code(t, o.by, 2)
	p := newProgram(t)
	got, err := p.enrols(t, o, "Front desk", text)
	if err != nil {
		t.Fatal(err)
	}
	by, err := o.keys.Verify(t.Context(), nobody(), got.Token.ExposeString(), apikey.Clients)
	if err != nil {
		t.Fatal(err)
	}
	guest := newProgram(t)
	sh := guest.shows(t, o, func(c *dpop.Claims) { c.TokenHash = dpop.TokenHash(got.Token.ExposeString()) })
	sh.Token = got.Token.ExposeString()
	_, err = o.clients.Enrol(t.Context(), by, sh, guest.says("Guest", ""))
	storetest.Refused(t, err, "key_enrols_nobody")

	neighbour, err := newProgram(t).enrols(t, o, "Back office", text)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.clients.Revoke(t.Context(), o.by, got.Client.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, err = p.verified(t, o, got.Token)
	storetest.Refused(t, err, "unauthenticated")
	if n := storetest.Count(t, o.Database, `SELECT COUNT(*) FROM revocation WHERE subject = $1`, lease.Token(by.Token)); n != 1 {
		t.Errorf("%d withdrawals of the token, want other servers to forget it", n)
	}
	if line := storetest.Activity(t, o.Store, o.w, "api_key.disable"); line.Target.ID != string(got.Client.APIKey) || line.Client != got.Client.ID || line.Actor.ID != string(o.by.User) {
		t.Errorf("the line is %+v", line)
	}
	if _, err := o.keys.Verify(t.Context(), nobody(), neighbour.Token.ExposeString(), apikey.Clients); err != nil {
		t.Errorf("another's key went with it: %v", err)
	}
}
