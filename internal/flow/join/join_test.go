package join_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

const (
	host   = "keys.example.org"
	origin = "https://keys.example.org"
)

// tray is a keeper that hides nothing but minds whose key it holds.
type tray struct{}

func (tray) Wrap(_ context.Context, plain secret.Bytes, associated []byte) ([]byte, error) {
	return append(append([]byte{}, associated...), plain.Expose()...), nil
}

func (tray) Unwrap(_ context.Context, wrapped, associated []byte) (secret.Bytes, error) {
	plain, ok := bytes.CutPrefix(wrapped, associated)
	if !ok {
		return secret.Bytes{}, errors.New("somebody else's key")
	}
	return secret.New(plain), nil
}

// house is a server without anybody in it yet.
type house struct {
	storetest.Database
	*join.Service
	signin *signin.Service
	clock  *clock.Manual
	by     auth.Caller // the anonymous caller of a request
}

func newHouse(t testing.TB) house {
	t.Helper()
	d := storetest.SQLite(t)
	c := clock.NewManual(storetest.Start())
	party, err := signin.NewRelyingParty(host, origin)
	if err != nil {
		t.Fatal(err)
	}
	return house{
		Database: d, clock: c, by: auth.Nobody("192.0.2.3", "browser/1", "req_join"),
		Service: join.New(join.Config{Store: store.For[join.Tx](d.Store), Clock: c, Keeper: tray{}, Party: party}),
		signin:  signin.New(signin.Config{Store: store.For[signin.Tx](d.Store), Clock: c, Party: party}),
	}
}

func job() auth.Caller { return auth.Job("", "command line") }

func (h house) found(t testing.TB) join.Founding {
	t.Helper()
	f, err := h.CreateWorkspace(t.Context(), job(), "New workspace")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// device is an authenticator with one passkey, and the browser around it.
type device struct {
	authenticator virtualwebauthn.Authenticator
	credential    virtualwebauthn.Credential
	party         virtualwebauthn.RelyingParty // as the browser sees it
}

func newDevice() *device {
	return &device{
		authenticator: virtualwebauthn.NewAuthenticator(), credential: newCredential(),
		party: virtualwebauthn.RelyingParty{ID: host, Name: "Keyhold", Origin: origin},
	}
}

// newCredential returns a new passkey. The library writes a coordinate of the
// public key that begins with a zero a byte too short (RFC 9053 §7.1.1): those keys
// are thrown away.
func newCredential() virtualwebauthn.Credential {
	const publicKeyLength = 77 // CBOR of an EC2 key with two coordinates of 32 bytes
	for {
		c := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		if len(c.Key.AttestationData()) == publicKeyLength {
			return c
		}
	}
}

// register answers a registration's challenge.
func (d *device) register(t testing.TB, c signin.Challenge) []byte {
	t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	d.authenticator.Options.UserHandle = []byte(options.UserID)
	return []byte(virtualwebauthn.CreateAttestationResponse(d.party, d.authenticator, d.credential, *options))
}

func ada() join.Owner {
	return join.Owner{Workspace: "Harbour", Email: "ada@example.org", FirstName: "Ada", LastName: "Lovelace"}
}

// begin asks for a passkey and fails the test if that is refused.
func (h house) begin(t testing.TB, link secret.Bytes, o join.Owner) signin.Challenge {
	t.Helper()
	c, err := h.BeginPasskey(t.Context(), h.by, link, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// enter registers a passkey by a link and fails the test if that is refused.
func (h house) enter(t testing.TB, link secret.Bytes, o join.Owner, d *device) signin.Opened {
	t.Helper()
	c := h.begin(t, link, o)
	opened, err := h.FinishPasskey(t.Context(), h.by, link, c.Ceremony, d.register(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// people counts the users of all workspaces.
func (h house) people(t testing.TB) int {
	t.Helper()
	return storetest.Count(t, h.Database, `SELECT COUNT(*) FROM directory_user`)
}

func TestFirstOwner(t *testing.T) {
	h := newHouse(t)
	f := h.found(t)
	if want := storetest.Start().Add(signin.SetupLinkLife); !f.ExpiresAt.Equal(want) {
		t.Errorf("the link ends at %v, want %v", f.ExpiresAt, want)
	}
	opened := h.enter(t, f.Link, ada(), newDevice())
	by, err := h.signin.VerifySession(t.Context(), h.by, opened.Token)
	if err != nil {
		t.Fatal(err)
	}
	if by.Kind != auth.Administrator || by.Workspace != f.Workspace.ID || by.Name != "Ada Lovelace" || by != opened.Caller {
		t.Errorf("the session is of %+v, opened for %+v, want Ada's in the new workspace", by, opened.Caller)
	}
	account, err := h.signin.Account(t.Context(), by)
	if err != nil || !account.Standing.Owner || len(account.Passkeys) != 1 || account.Person.WorkspaceName != "Harbour" {
		t.Errorf("Account() = %+v (%v), want an owner of Harbour with a passkey", account, err)
	}
	room := directory.New(store.For[directory.Tx](h.Store), h.clock)
	u, groups, err := room.Find(t.Context(), by, by.User)
	if err != nil || u.Status != directory.Active || u.Email != "ada@example.org" || !u.LastActivityAt.Equal(storetest.Start()) || len(groups) != 1 {
		t.Errorf("the user is %+v in %+v (%v), want an active one in Everyone", u, groups, err)
	}
	got := map[string]string{}
	for _, e := range storetest.Activities(t, h.Store, f.Workspace.ID, "") {
		got[e.Action] = string(e.Outcome) + " " + e.Actor.Type + " " + e.Actor.Name
	}
	want := map[string]string{
		"workspace.create":     "success system command line",
		"setup_link.issue":     "success system command line",
		"user.create":          "success system first-run setup",
		"administrator.create": "success system first-run setup",
		"passkey.register":     "success user Ada Lovelace",
		"session.open":         "success administrator Ada Lovelace",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the lines (-want +got):\n%s", diff)
	}
	messages := storetest.Messages(t, h.Store)
	var mail outbox.PasskeyRegistered
	if len(messages) != 1 || messages[0].Kind != "mail.passkey_registered" {
		t.Fatalf("messages %+v, want one about the passkey", messages)
	}
	if err := json.Unmarshal(messages[0].Payload, &mail); err != nil || mail.To.Email != "ada@example.org" || mail.Workspace != "Harbour" || mail.IP != h.by.IP {
		t.Errorf("the mail is %+v (%v), want one to Ada", mail, err)
	}
	dump := storetest.Dump(t, h.Database)
	for what, canary := range map[string]secret.Bytes{"link": f.Link, "session": opened.Token} {
		if strings.Contains(dump, canary.ExposeString()) {
			t.Errorf("the secret of the %s stands in the database", what)
		}
	}
	if !strings.Contains(dump, "ada@example.org") {
		t.Error("the dump is none: it holds no address")
	}
}

func TestFirstOwner_linkWorksOnce(t *testing.T) {
	h := newHouse(t)
	f := h.found(t)
	d, late := newDevice(), newDevice()
	c := h.begin(t, f.Link, join.Owner{Workspace: "B", Email: "bob@example.org", FirstName: "Bob"})
	h.enter(t, f.Link, ada(), d)
	_, err := h.FinishPasskey(t.Context(), h.by, f.Link, c.Ceremony, late.register(t, c))
	storetest.Refused(t, err, "setup_link_not_found")
	_, err = h.BeginPasskey(t.Context(), h.by, f.Link, ada())
	storetest.Refused(t, err, "setup_link_not_found")
	if n := h.people(t); n != 1 {
		t.Errorf("%d users, want Ada alone", n)
	}
}

func TestFirstOwner_manyAtOnce(t *testing.T) {
	h := newHouse(t)
	f := h.found(t)
	const callers = 8
	var challenges []signin.Challenge
	for i := range callers {
		challenges = append(challenges, h.begin(t, f.Link, join.Owner{Workspace: "W", Email: fmt.Sprintf("u%d@example.org", i), FirstName: "U"}))
	}
	var in atomic.Int64
	var all sync.WaitGroup
	for _, c := range challenges {
		response := newDevice().register(t, c)
		all.Go(func() {
			if _, err := h.FinishPasskey(t.Context(), h.by, f.Link, c.Ceremony, response); err == nil {
				in.Add(1)
			} else if _, ok := fault.As(err); !ok {
				t.Errorf("FinishPasskey() = %v, want a fault for who was late", err)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 || h.people(t) != 1 {
		t.Errorf("%d of %d came in, %d users, want 1", in.Load(), callers, h.people(t))
	}
}

func TestBeginPasskey_ownersFields(t *testing.T) {
	h := newHouse(t)
	f := h.found(t)
	for _, c := range []struct {
		o    join.Owner
		want []string
	}{
		{join.Owner{}, []string{"workspace", "email", "first_name"}},
		{join.Owner{Workspace: "W", Email: "x", FirstName: "X"}, []string{"email"}},
		{join.Owner{Workspace: "\x00", Email: "x@y", FirstName: "X"}, []string{"workspace"}},
		{join.Owner{Workspace: strings.Repeat("x", 101), Email: "x@y"}, []string{"workspace", "first_name"}},
	} {
		_, err := h.BeginPasskey(t.Context(), h.by, f.Link, c.o)
		if diff := cmp.Diff(c.want, storetest.FieldNames(storetest.Fault(t, err, "invalid_fields"))); diff != "" {
			t.Errorf("%+v: fields (-want +got):\n%s", c.o, diff)
		}
	}
}

func TestPasskey_refusals(t *testing.T) {
	h := newHouse(t)
	f, second := h.found(t), h.found(t)
	good := h.begin(t, f.Link, ada())
	for name, c := range map[string]struct {
		link   secret.Bytes
		device func(*device)
		answer func(c signin.Challenge, response []byte) (id.Ceremony, []byte)
		code   string
	}{
		"no user verification": {f.Link, func(d *device) { d.authenticator.Options.UserNotVerified = true }, nil, "passkey_rejected"},
		"no user present":      {f.Link, func(d *device) { d.authenticator.Options.UserNotPresent = true }, nil, "passkey_rejected"},
		"another origin":       {f.Link, func(d *device) { d.party.Origin = "https://keys.example.net" }, nil, "passkey_rejected"},
		"a subdomain's origin": {f.Link, func(d *device) { d.party.Origin = "https://evil.keys.example.org" }, nil, "passkey_rejected"},
		"the origin over http": {f.Link, func(d *device) { d.party.Origin = "http://keys.example.org" }, nil, "passkey_rejected"},
		"another party":        {f.Link, func(d *device) { d.party.ID = "example.org" }, nil, "passkey_rejected"},
		"another challenge":    {f.Link, nil, func(_ signin.Challenge, r []byte) (id.Ceremony, []byte) { return good.Ceremony, r }, "passkey_rejected"},
		"no ceremony":          {f.Link, nil, func(_ signin.Challenge, r []byte) (id.Ceremony, []byte) { return "cer_none", r }, "ceremony_over"},
		"no answer":            {f.Link, nil, func(c signin.Challenge, _ []byte) (id.Ceremony, []byte) { return c.Ceremony, nil }, "passkey_rejected"},
		"no JSON":              {f.Link, nil, func(c signin.Challenge, _ []byte) (id.Ceremony, []byte) { return c.Ceremony, []byte("{") }, "passkey_rejected"},
		"too much": {f.Link, nil, func(c signin.Challenge, r []byte) (id.Ceremony, []byte) {
			return c.Ceremony, append(r, make([]byte, 64<<10)...)
		}, "passkey_rejected"},
		"another link": {second.Link, nil, nil, "ceremony_over"},
		"no link":      {secret.FromString("none"), nil, nil, "setup_link_not_found"},
	} {
		d := newDevice()
		if c.device != nil {
			c.device(d)
		}
		challenge := h.begin(t, f.Link, ada())
		ceremony, response := challenge.Ceremony, d.register(t, challenge)
		if c.answer != nil {
			ceremony, response = c.answer(challenge, response)
		}
		_, err := h.FinishPasskey(t.Context(), h.by, c.link, ceremony, response)
		if f, ok := fault.As(err); !ok || f.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if n := h.people(t); n != 0 {
		t.Errorf("%d users after refusals only, want 0", n)
	}
	h.enter(t, f.Link, ada(), newDevice()) // the link still works
}

func TestPasskey_timesRunOut(t *testing.T) {
	h := newHouse(t)
	f := h.found(t)
	c := h.begin(t, f.Link, ada())
	response := newDevice().register(t, c)
	h.clock.Advance(signin.CeremonyLifetime)
	_, err := h.FinishPasskey(t.Context(), h.by, f.Link, c.Ceremony, response)
	storetest.Refused(t, err, "ceremony_over")

	h.clock.Advance(signin.SetupLinkLife - signin.CeremonyLifetime - time.Millisecond)
	c = h.begin(t, f.Link, ada())
	h.clock.Advance(time.Millisecond)
	_, err = h.FinishPasskey(t.Context(), h.by, f.Link, c.Ceremony, newDevice().register(t, c))
	storetest.Refused(t, err, "setup_link_not_found")
	if n := h.people(t); n != 0 {
		t.Errorf("%d users, want 0", n)
	}
}

// What the owner typed may turn out to be taken: then the link works again.
func TestFirstOwner_takenAddressKeepsTheLink(t *testing.T) {
	h := newHouse(t)
	f := h.found(t)
	storetest.User(t, h.Store, f.Workspace.ID, "ada") // ada@example.org
	c := h.begin(t, f.Link, ada())
	_, err := h.FinishPasskey(t.Context(), h.by, f.Link, c.Ceremony, newDevice().register(t, c))
	if names := storetest.FieldNames(storetest.Fault(t, err, "user_exists")); !slices.Contains(names, "email") {
		t.Errorf("fields %v, want email among them", names)
	}
	if w := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM workspace WHERE name = 'Harbour'`); w != 0 {
		t.Error("the workspace was renamed by an attempt that failed")
	}
	o := ada()
	o.Email = "countess@example.org"
	h.enter(t, f.Link, o, newDevice())
}

// A passkey that is somebody's already must not leave an owner without one.
func TestFirstOwner_knownPasskeyLeavesNothing(t *testing.T) {
	h := newHouse(t)
	first, second := h.found(t), h.found(t)
	d := newDevice()
	h.enter(t, first.Link, ada(), d)
	c := h.begin(t, second.Link, ada())
	_, err := h.FinishPasskey(t.Context(), h.by, second.Link, c.Ceremony, d.register(t, c))
	storetest.Refused(t, err, "passkey_rejected")
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM directory_user WHERE workspace = $1`, second.Workspace.ID); n != 0 {
		t.Errorf("%d users in the second workspace, want none: nobody came in", n)
	}
	h.enter(t, second.Link, ada(), newDevice())
}

func TestAppoint(t *testing.T) {
	h := newHouse(t)
	f := h.found(t)
	by := auth.Job(f.Workspace.ID, "command line")
	bob, err := h.Appoint(t.Context(), by, directory.NewUser{Email: "bob@example.org", FirstName: "Bob"})
	if err != nil {
		t.Fatal(err)
	}
	if line := storetest.Activity(t, h.Store, f.Workspace.ID, "administrator.create"); line.User != bob.ID || line.Outcome != activity.Success {
		t.Errorf("the line is %+v, want one about Bob", line)
	}
	firstOwners := h.begin(t, f.Link, ada())
	link, _, err := h.signin.IssueSetupLink(t.Context(), by, "bob@example.org")
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice()
	opened := h.enter(t, link, join.Owner{}, d)
	if opened.Caller.User != bob.ID || opened.Caller.Name != "Bob" {
		t.Errorf("the session is of %+v, want Bob's", opened.Caller)
	}
	// Somebody owns the workspace now: the first owner's link is too late, and nothing remains of it.
	_, err = h.FinishPasskey(t.Context(), h.by, f.Link, firstOwners.Ceremony, newDevice().register(t, firstOwners))
	storetest.Refused(t, err, "owner_exists")
	if n := h.people(t); n != 1 {
		t.Errorf("%d users, want Bob alone", n)
	}
	// His authenticator is asked not to make a second passkey.
	link, _, err = h.signin.IssueSetupLink(t.Context(), by, "bob@example.org")
	if err != nil {
		t.Fatal(err)
	}
	options, err := virtualwebauthn.ParseAttestationOptions(string(h.begin(t, link, join.Owner{}).Options))
	if err != nil || !d.credential.IsExcludedForAttestation(*options) {
		t.Errorf("the challenge excludes %v (%v), want Bob's passkey", options.ExcludeCredentials, err)
	}
	_, err = h.Appoint(t.Context(), by, directory.NewUser{Email: "bob@example.org", FirstName: "Bob"})
	storetest.Refused(t, err, "user_exists")
}

func TestService_systemOnly(t *testing.T) {
	h := newHouse(t)
	f := h.found(t)
	owner := storetest.Administrator(t, h.Store, f.Workspace.ID, "owner")
	key := storetest.APIKey(t, h.Store, f.Workspace.ID, auth.All()...)
	before := h.people(t)
	for who, by := range map[string]auth.Caller{"an owner": owner, "a key": key, "nobody": h.by, "the zero caller": {}} {
		if _, err := h.CreateWorkspace(t.Context(), by, "X"); err == nil {
			t.Errorf("CreateWorkspace() as %s = nil, want refused", who)
		} else {
			storetest.Refused(t, err, "system_only")
		}
		_, err := h.Appoint(t.Context(), by, directory.NewUser{Email: "x@example.org", FirstName: "X"})
		storetest.Refused(t, err, "system_only")
		all, err := h.Workspaces(t.Context(), by)
		if storetest.Refused(t, err, "system_only"); len(all) != 0 {
			t.Errorf("Workspaces() shows %+v to %s", all, who)
		}
	}
	all, err := h.Workspaces(t.Context(), job())
	if err != nil || len(all) != 1 || all[0].ID != f.Workspace.ID || h.people(t) != before {
		t.Errorf("Workspaces() = %+v (%v), %d people, want the one and %d", all, err, h.people(t), before)
	}
}

func TestCreateWorkspace(t *testing.T) {
	h := newHouse(t)
	f := h.found(t)
	all, err := h.Workspaces(t.Context(), job())
	if err != nil || len(all) != 1 {
		t.Fatalf("Workspaces() = %+v (%v), want one", all, err)
	}
	w := all[0]
	key, err := seal.OpenKey(t.Context(), tray{}, string(w.ID), w.SealingKey)
	if err != nil {
		t.Fatal(err)
	}
	cursor, err := key.Open(w.CursorSecret, join.CursorIdentity(w.ID))
	if err != nil || len(cursor.Expose()) != 32 {
		t.Errorf("the cursor secret has %d bytes (%v), want 32", len(cursor.Expose()), err)
	}
	if strings.Contains(storetest.Dump(t, h.Database), cursor.ExposeString()) {
		t.Error("the cursor secret stands in the database in the clear")
	}
	if _, err := h.BeginPasskey(t.Context(), h.by, f.Link, ada()); err != nil {
		t.Errorf("BeginPasskey() = %v by the new link, want nil", err)
	}
	for _, name := range []string{"", " ", "a\x00", strings.Repeat("x", 101)} {
		_, err := h.CreateWorkspace(t.Context(), job(), name)
		storetest.Refused(t, err, "invalid_fields")
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM workspace`); n != 1 {
		t.Errorf("%d workspaces, want 1", n)
	}
}
