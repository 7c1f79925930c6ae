package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// office is a workspace with an administrator and a Clients key.
type office struct {
	*client.Service
	storetest.Database
	w     id.Workspace
	by    auth.Caller // an owner
	key   auth.Caller // the Clients key
	clock *clock.Manual
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{Database: storetest.SQLite(t), clock: clock.NewManual(storetest.Start())}
	o.Service = client.NewService(client.Config{Store: store.For[client.Tx](o.Store), Clock: o.clock, CodeKey: secret.FromString("code key")})
	o.w = storetest.Workspace(t, o.Store)
	o.by = storetest.Administrator(t, o.Store, o.w, "ada")
	o.key = storetest.APIKey(t, o.Store, o.w)
	storetest.Exec(t, o.Database, `UPDATE apikey SET type = 'clients' WHERE id = $1`, string(o.key.APIKey))
	return o
}

// program is a workstation's program.
type program struct{ key *ecdsa.PrivateKey }

func newProgram(t *testing.T) program {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return program{key}
}

const (
	enrolURL = "https://keys.example.com/authenticator/v1/clients"
	token    = "kh_client_token"
)

// shows is what a request of the program shows.
func (p program) shows(t *testing.T, o *office, body string) client.Shown {
	t.Helper()
	return p.showsToken(t, o, body, token)
}

// showsToken is shows with another token.
func (p program) showsToken(t *testing.T, o *office, body, token string) client.Shown {
	t.Helper()
	proof, err := dpop.Sign(p.key, dpop.Claims{
		Method: "POST", URL: enrolURL, IssuedAt: o.clock.Now(), ID: rand.Text(), Nonce: o.Nonce(t.Context(), o.key), TokenHash: dpop.TokenHash(token), BodyHash: dpop.BodyHash([]byte(body)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client.Shown{Proof: proof, Token: token, Method: "POST", URL: enrolURL, Body: []byte(body)}
}

func (p program) enrols(t *testing.T, o *office, name, code string) (client.Client, error) {
	t.Helper()
	return o.Enrol(t.Context(), o.key, p.shows(t, o, name), client.Enrolment{Name: name, Kind: client.Agent, JWK: dpop.JWK(&p.key.PublicKey), Code: code})
}

func (o *office) enrolled(t *testing.T, name string) (program, client.Client) {
	t.Helper()
	p := newProgram(t)
	c, err := p.enrols(t, o, name, "")
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

// verified is how a call of the program is taken.
func (p program) verified(t *testing.T, o *office) (auth.Caller, error) {
	t.Helper()
	return o.Verify(t.Context(), o.key, p.shows(t, o, "{}"))
}

func TestEnrol_waitsForApproval(t *testing.T) {
	o := newOffice(t)
	p, c := o.enrolled(t, " Front  desk ")
	if c.State != client.Pending || c.Name != "Front  desk" || c.APIKey != o.key.APIKey || c.ReaderFormat != client.Hex || c.PinlessAllowed || c.Thumbprint != dpop.Thumbprint(&p.key.PublicKey) {
		t.Errorf("the client is %+v", c)
	}
	if line := storetest.Activity(t, o.Store, o.w, "client.enrol"); line.Outcome != activity.Success || line.Client != c.ID || line.Target.ID != string(c.ID) || line.Detail != "waits for approval" {
		t.Errorf("the line is %+v", line)
	}
	_, err := p.verified(t, o)
	storetest.Refused(t, err, "client_pending")
	if line := storetest.Activity(t, o.Store, o.w, "client.use"); line.Outcome != activity.Refused || line.Reason != "client_pending" || line.Client != c.ID {
		t.Errorf("the line is %+v", line)
	}
	again, err := p.enrols(t, o, "Another name", "")
	if err != nil || again.ID != c.ID || again.Name != c.Name {
		t.Errorf("enrolling again gives %+v, %v, want what is there", again, err)
	}
	approved, err := o.Approve(t.Context(), o.by, c.ID)
	if err != nil || approved.State != client.Approved || approved.ApprovedBy != o.by.Name || !approved.ApprovedAt.Equal(o.clock.Now()) {
		t.Fatalf("Approve() = %+v, %v", approved, err)
	}
	storetest.Activity(t, o.Store, o.w, "client.approve")
	by, err := p.verified(t, o)
	if err != nil || by.Kind != auth.Client || by.Client != c.ID || by.Workspace != o.w || by.APIKey != o.key.APIKey || by.Name != c.Name || by.Proof == (auth.Proof{}) {
		t.Fatalf("Verify() = %+v, %v", by, err)
	}
	touch := func(by auth.Caller) error {
		_, err := o.Touch(t.Context(), by)
		return err
	}
	if err := touch(by); err != nil {
		t.Error(err)
	}
	storetest.Refused(t, touch(by), "invalid_dpop_proof")
	if _, err := o.Approve(t.Context(), o.by, c.ID); err != nil {
		t.Errorf("approving again: %v, want nothing changed", err)
	}
	if n := len(storetest.Activities(t, o.Store, o.w, "client.approve")); n != 1 {
		t.Errorf("%d approvals are recorded, want 1", n)
	}
}

func TestEnrol_refuses(t *testing.T) {
	o := newOffice(t)
	_, there := o.enrolled(t, "Front desk")
	p, other := newProgram(t), newProgram(t)
	good := client.Enrolment{Name: "Back office", Kind: client.Extension, JWK: dpop.JWK(&p.key.PublicKey)}
	for name, c := range map[string]struct {
		change func(*client.Enrolment)
		code   string
		field  string
	}{
		"no name":             {func(e *client.Enrolment) { e.Name = " " }, "invalid_fields", "name"},
		"a long name":         {func(e *client.Enrolment) { e.Name = strings.Repeat("x", 101) }, "invalid_fields", "name"},
		"a name that turns":   {func(e *client.Enrolment) { e.Name = "Front\u202edesk" }, "invalid_fields", "name"},
		"a name that is had":  {func(e *client.Enrolment) { e.Name = "FRONT DESK" }, "name_taken", "name"},
		"another kind":        {func(e *client.Enrolment) { e.Kind = client.CTAPTransport }, "invalid_fields", "kind"},
		"a mobile":            {func(e *client.Enrolment) { e.Kind = client.SharedMobile }, "invalid_fields", "kind"},
		"no kind":             {func(e *client.Enrolment) { e.Kind = "" }, "invalid_fields", "kind"},
		"another's key":       {func(e *client.Enrolment) { e.JWK = dpop.JWK(&other.key.PublicKey) }, "invalid_fields", "jwk"},
		"no key":              {func(e *client.Enrolment) { e.JWK = nil }, "invalid_fields", "jwk"},
		"a code that is none": {func(e *client.Enrolment) { e.Code = "AAAA-BBBB-CCCC-DDDD" }, "enrolment_code_invalid", "enrolment_code"},
	} {
		e := good
		c.change(&e)
		_, err := o.Enrol(t.Context(), o.key, p.shows(t, o, name), e)
		if f := storetest.Fault(t, err, c.code); f != nil && (len(f.Fields) != 1 || f.Fields[0].Name != c.field) {
			t.Errorf("%s: %+v, want %s", name, f.Fields, c.field)
		}
	}
	if err := o.Revoke(t.Context(), o.by, there.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Enrol(t.Context(), o.key, p.shows(t, o, ""), client.Enrolment{Name: "Front desk", Kind: client.Agent, JWK: dpop.JWK(&p.key.PublicKey)}); err != nil {
		t.Errorf("a revoked client's name is taken: %v", err)
	}
}

func TestEnrol_ofALeakedKeyIsRefused(t *testing.T) {
	o := newOffice(t)
	p, c := o.enrolled(t, "Front desk")
	if _, err := o.Approve(t.Context(), o.by, c.ID); err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, o.Database, `UPDATE apikey SET leaked_at = 1 WHERE id = $1`, string(o.key.APIKey))
	_, err := newProgram(t).enrols(t, o, "Back office", "")
	storetest.Refused(t, err, "key_enrols_nobody")
	by, err := p.verified(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Touch(t.Context(), by); err != nil {
		t.Errorf("who is enrolled goes on: %v", err)
	}
}

func TestEnrol_boundsWhoWaits(t *testing.T) {
	o := newOffice(t)
	storetest.Exec(t, o.Database, `INSERT INTO tally (workspace, name, n) VALUES ($1, 'clients/pending', $2)`, string(o.w), client.MaxPending)
	_, err := newProgram(t).enrols(t, o, "One more", "")
	storetest.Refused(t, err, "too_many_pending")
}

func TestRevoke_isForGood(t *testing.T) {
	o := newOffice(t)
	p, c := o.enrolled(t, "Front desk")
	if _, err := o.Approve(t.Context(), o.by, c.ID); err != nil {
		t.Fatal(err)
	}
	by, err := p.verified(t, o)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Refused(t, o.Revoke(t.Context(), o.by, c.ID, 1), "revision_changed")
	if err := o.Revoke(t.Context(), o.by, c.ID, 2); err != nil {
		t.Fatal(err)
	}
	storetest.Activity(t, o.Store, o.w, "client.revoke")
	// It was verified before, and asks now.
	_, err = o.Touch(t.Context(), by)
	storetest.Refused(t, err, "unauthenticated")
	_, err = p.verified(t, o)
	storetest.Refused(t, err, "client_revoked")
	_, err = p.enrols(t, o, "Front desk", "")
	storetest.Refused(t, err, "client_revoked")
	_, err = o.Approve(t.Context(), o.by, c.ID)
	storetest.Refused(t, err, "client_revoked")
	name := "Again"
	_, err = o.Change(t.Context(), o.by, c.ID, client.Change{Name: &name}, 0)
	storetest.Refused(t, err, "client_revoked")
	if got, err := o.Find(t.Context(), o.by, c.ID); err != nil || got.State != client.Revoked || got.RevokedAt.IsZero() {
		t.Errorf("Find() = %+v, %v", got, err)
	}
	if err := o.Revoke(t.Context(), o.by, c.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, err = o.Find(t.Context(), o.by, c.ID)
	storetest.Refused(t, err, "client_not_found")
	if line := storetest.Activity(t, o.Store, o.w, "client.delete"); line.Target.Name != "Front desk" {
		t.Errorf("the line is %+v", line)
	}
	if n, err := o.Count(t.Context(), o.by); err != nil || n != (client.Counts{}) {
		t.Errorf("Count() = %+v, %v, want nothing left", n, err)
	}
}

func TestChange(t *testing.T) {
	o := newOffice(t)
	_, c := o.enrolled(t, "Front desk")
	_, other := o.enrolled(t, "Back office")
	name, pinless, format := "Reception", true, client.DecimalReversed
	got, err := o.Change(t.Context(), o.by, c.ID, client.Change{Name: &name, PinlessAllowed: &pinless, ReaderFormat: &format}, 1)
	if err != nil || got.Name != name || !got.PinlessAllowed || got.ReaderFormat != format || got.Revision != 2 {
		t.Fatalf("Change() = %+v, %v", got, err)
	}
	if line := storetest.Activity(t, o.Store, o.w, "client.change"); line.Detail != "name, pinless_allowed, reader_format" {
		t.Errorf("the line is %+v", line)
	}
	if again, err := o.Change(t.Context(), o.by, c.ID, client.Change{Name: &name}, 0); err != nil || again.Revision != 2 {
		t.Errorf("a change to what it is gives %+v, %v", again, err)
	}
	_, err = o.Change(t.Context(), o.by, c.ID, client.Change{Name: &other.Name}, 0)
	storetest.Refused(t, err, "name_taken")
	_, err = o.Change(t.Context(), o.by, c.ID, client.Change{Name: &name}, 1)
	storetest.Refused(t, err, "revision_changed")
	bad := client.ReaderFormat("octal")
	_, err = o.Change(t.Context(), o.by, c.ID, client.Change{ReaderFormat: &bad}, 0)
	storetest.Refused(t, err, "invalid_fields")
	upper := "RECEPTION"
	if got, err := o.Change(t.Context(), o.by, c.ID, client.Change{Name: &upper}, 0); err != nil || got.Name != upper {
		t.Errorf("its own name in capitals: %+v, %v", got, err)
	}
}

func TestCode_approvesAsOftenAsItSays(t *testing.T) {
	o := newOffice(t)
	code, text, err := o.IssueCode(t.Context(), o.by, client.NewEnrolmentCode{Uses: 2})
	if err != nil || code.Left != 2 || !code.ExpiresAt.Equal(o.clock.Now().Add(client.DefaultCodeLife)) || len(text.Expose()) != 19 {
		t.Fatalf("IssueCode() = %+v, %v", code, err)
	}
	typed := " " + strings.ToLower(strings.ReplaceAll(text.ExposeString(), "-", " "))
	p := newProgram(t)
	c, err := p.enrols(t, o, "Front desk", typed)
	if err != nil || c.State != client.Approved || c.ApprovedBy != o.by.Name {
		t.Fatalf("Enrol() with a code = %+v, %v", c, err)
	}
	if by, err := p.verified(t, o); err != nil || by.Client != c.ID {
		t.Errorf("Verify() = %+v, %v", by, err)
	}
	if c, err := newProgram(t).enrols(t, o, "Back office", text.ExposeString()); err != nil || c.State != client.Approved {
		t.Errorf("the second use: %+v, %v", c, err)
	}
	_, err = newProgram(t).enrols(t, o, "Workshop", text.ExposeString())
	storetest.Refused(t, err, "enrolment_code_invalid")
	if dump := storetest.Dump(t, o.Database); strings.Contains(dump, text.ExposeString()) || strings.Contains(dump, strings.ReplaceAll(text.ExposeString(), "-", "")) {
		t.Error("the code stands in the database")
	}
}

func TestCode_ends(t *testing.T) {
	o := newOffice(t)
	issue := func() (client.Code, string) {
		c, text, err := o.IssueCode(t.Context(), o.by, client.NewEnrolmentCode{Life: client.MinCodeLife})
		if err != nil {
			t.Fatal(err)
		}
		return c, text.ExposeString()
	}
	_, expired := issue()
	o.clock.Advance(client.MinCodeLife)
	_, err := newProgram(t).enrols(t, o, "Front desk", expired)
	storetest.Refused(t, err, "enrolment_code_invalid")
	c, withdrawn := issue()
	if all, err := o.Codes(t.Context(), o.by); err != nil || len(all) != 1 || all[0].ID != c.ID {
		t.Errorf("Codes() = %+v, %v, want the one that is good", all, err)
	}
	if err := o.WithdrawCode(t.Context(), o.by, c.ID); err != nil {
		t.Fatal(err)
	}
	storetest.Refused(t, o.WithdrawCode(t.Context(), o.by, c.ID), "enrolment_code_not_found")
	_, err = newProgram(t).enrols(t, o, "Front desk", withdrawn)
	storetest.Refused(t, err, "enrolment_code_invalid")
	for _, n := range []client.NewEnrolmentCode{{Life: time.Minute}, {Life: client.MaxCodeLife + time.Minute}, {Uses: -1}, {Uses: client.MaxUses + 1}} {
		_, _, err := o.IssueCode(t.Context(), o.by, n)
		storetest.Refused(t, err, "invalid_fields")
	}
	for range client.MaxCodes {
		issue()
	}
	_, _, err = o.IssueCode(t.Context(), o.by, client.NewEnrolmentCode{})
	storetest.Refused(t, err, "too_many_codes")
}

func TestCode_triesAreCounted(t *testing.T) {
	o := newOffice(t)
	_, text, err := o.IssueCode(t.Context(), o.by, client.NewEnrolmentCode{})
	if err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	for range 20 {
		_, err := p.enrols(t, o, "Front desk", "AAAA-BBBB-CCCC-DDDD")
		storetest.Refused(t, err, "enrolment_code_invalid")
	}
	_, err = p.enrols(t, o, "Front desk", text.ExposeString())
	storetest.Refused(t, err, "too_many_tries")
	o.clock.Advance(10 * time.Minute)
	if _, err := p.enrols(t, o, "Front desk", text.ExposeString()); err != nil {
		t.Errorf("ten minutes later: %v", err)
	}
}

func TestWhoami_tellsWhoWaits(t *testing.T) {
	o := newOffice(t)
	p, c := o.enrolled(t, "Front desk")
	if got, found, err := o.Whoami(t.Context(), o.key, p.shows(t, o, "")); err != nil || !found || got.ID != c.ID || got.State != client.Pending {
		t.Errorf("Whoami() = %+v, %v, %v", got, found, err)
	}
	if _, found, err := o.Whoami(t.Context(), o.key, newProgram(t).shows(t, o, "")); err != nil || found {
		t.Errorf("somebody else is %v, %v, want nobody", found, err)
	}
	sh := p.shows(t, o, "")
	sh.Body = []byte("another")
	if _, found, err := o.Whoami(t.Context(), o.key, sh); err != nil || found {
		t.Errorf("who proves nothing is %v, %v, want nobody", found, err)
	}
	_, err := newProgram(t).verified(t, o)
	storetest.Refused(t, err, "client_unknown")
}

func TestStrangers(t *testing.T) {
	o := newOffice(t)
	_, c := o.enrolled(t, "Front desk")
	code, _, err := o.IssueCode(t.Context(), o.by, client.NewEnrolmentCode{})
	if err != nil {
		t.Fatal(err)
	}
	name := "Mine now"
	for _, s := range []storetest.Stranger{
		{Action: "client.list", Need: auth.ClientsRead, Call: func(by auth.Caller) error { _, err := o.List(t.Context(), by, client.Query{}); return err }},
		{Action: "client.count", Need: auth.ClientsRead, Call: func(by auth.Caller) error { _, err := o.Count(t.Context(), by); return err }},
		{Action: "client.find", Need: auth.ClientsRead, Call: func(by auth.Caller) error { _, err := o.Find(t.Context(), by, c.ID); return err }},
		{Action: "client.list_codes", Need: auth.ClientsRead, Call: func(by auth.Caller) error { _, err := o.Codes(t.Context(), by); return err }},
		{Action: "client.change", Need: auth.ClientsWrite, Call: func(by auth.Caller) error {
			_, err := o.Change(t.Context(), by, c.ID, client.Change{Name: &name}, 0)
			return err
		}},
		{Action: "client.approve", Need: auth.ClientsWrite, Call: func(by auth.Caller) error { _, err := o.Approve(t.Context(), by, c.ID); return err }},
		{Action: "client.revoke", Need: auth.ClientsWrite, Call: func(by auth.Caller) error { return o.Revoke(t.Context(), by, c.ID, 0) }},
		{Action: "client.issue_code", Need: auth.ClientsWrite, Call: func(by auth.Caller) error {
			_, _, err := o.IssueCode(t.Context(), by, client.NewEnrolmentCode{})
			return err
		}},
		{Action: "client.withdraw_code", Need: auth.ClientsWrite, Call: func(by auth.Caller) error { return o.WithdrawCode(t.Context(), by, code.ID) }},
	} {
		storetest.Strangers(t, o.Database, o.w, s)
		other := storetest.Administrator(t, o.Store, storetest.Workspace(t, o.Store), "eve")
		if s.Action == "client.find" || s.Action == "client.change" || s.Action == "client.approve" || s.Action == "client.revoke" {
			storetest.Refused(t, s.Call(other), "client_not_found")
		}
		if s.Action == "client.withdraw_code" {
			storetest.Refused(t, s.Call(other), "enrolment_code_not_found")
		}
	}
	if got, err := o.Find(t.Context(), o.by, c.ID); err != nil || got.State != client.Pending || got.Name != "Front desk" {
		t.Errorf("after all strangers the client is %+v, %v", got, err)
	}
	// A client does nothing but what clients do, and nobody else does that.
	by := storetest.Client(t, o.Database, o.w, "Workshop")
	_, err = o.List(t.Context(), by, client.Query{})
	storetest.Refused(t, err, "client_only")
	for _, c := range []auth.Caller{o.by, o.key} {
		_, err = o.Touch(t.Context(), c)
		storetest.Refused(t, err, "client_only")
	}
	_, err = o.Prune(t.Context(), o.by)
	storetest.Refused(t, err, "system_only")
	if more, err := o.Prune(t.Context(), auth.Job("", "server")); err != nil || more {
		t.Errorf("Prune() = %v, %v, want nothing left", more, err)
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		format client.ReaderFormat
		typed  string
		want   string
	}{
		{client.Hex, "04:a1:b2:c3", "04A1B2C3"},
		{client.Hex, "04A1B2C3D4E580", "04A1B2C3D4E580"},
		{client.Hex, "77766339", "77766339"},
		{client.Hex, "0077766339", ""},
		{client.HexReversed, "C3B2A104", "04A1B2C3"},
		{client.Decimal, "0077705923", "04A1B2C3"},
		{client.Decimal, " 77705923\r\n", "04A1B2C3"},
		{client.DecimalReversed, "3283263748", "04A1B2C3"},
		{client.Decimal, "4294967296", "00000100000000"},
		{client.Decimal, "1303863571727744", "04A1DB65074580"},
		{client.Decimal, "72057594037927936", "00000100000000000000"},
		{client.Decimal, "1208925819614629174706175", "FFFFFFFFFFFFFFFFFFFF"},
		{client.Decimal, "1208925819614629174706176", ""},
		{client.Decimal, "04A1B2C3", ""},
		{client.Decimal, "-5", ""},
		{client.Decimal, "", ""},
		{client.Hex, "", ""},
		{client.Decimal, strings.Repeat("0", 26), ""},
	} {
		got, ok := c.format.Read(c.typed)
		if got.ExposeString() != c.want || ok != (c.want != "") {
			t.Errorf("%s: Read(%q) = %q, %v, want %q", c.format, c.typed, got.ExposeString(), ok, c.want)
		}
	}
}
