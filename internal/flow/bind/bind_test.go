package bind_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/flow/bind"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

const (
	host   = "keys.example.org"
	origin = "https://keys.example.org"
)

// constant: the key of the links, which the rooms and the flow share.
var linkKey = secret.FromString("a key of links")

// noSecrets are secrets for keys that have none to keep: phones and hardware keys.
type noSecrets struct{}

func (noSecrets) SecretsOf(context.Context, id.Workspace) (securitykey.Secrets, error) {
	return securitykey.Secrets{CardKey: secret.FromString("cards"), PINKey: secret.FromString("pins"), Sealing: seal.Key{}}, nil
}

// desk is a workspace with somebody who gives keys and somebody who gets them.
type desk struct {
	storetest.Database
	*bind.Service
	signin *signin.Service
	keys   *securitykey.Service
	clock  *clock.Manual
	w      id.Workspace
	owner  auth.Caller
	ada    directory.User
}

func newDesk(t *testing.T) desk {
	t.Helper()
	d := storetest.SQLite(t)
	c := clock.NewManual(storetest.Start())
	party, err := signin.NewRelyingParty(host, origin)
	if err != nil {
		t.Fatal(err)
	}
	w := storetest.Workspace(t, d.Store)
	return desk{
		Database: d, clock: c, w: w, owner: storetest.Administrator(t, d.Store, w, "owner"), ada: storetest.User(t, d.Store, w, "ada"),
		Service: bind.New(bind.Config{Store: store.For[bind.Tx](d.Store), Clock: c, Party: party, LinkKey: linkKey}),
		signin:  signin.New(signin.Config{Store: store.For[signin.Tx](d.Store), Clock: c, Party: party, CodeKey: linkKey}),
		keys:    securitykey.NewService(securitykey.Config{Store: store.For[securitykey.Tx](d.Store), Clock: c, Secrets: noSecrets{}, LinkKey: linkKey}),
	}
}

// give makes a key of the kind for somebody and returns it with its link.
func (d desk) give(t *testing.T, u id.User, kind securitykey.Kind) (securitykey.SecurityKey, secret.Bytes) {
	t.Helper()
	out, err := d.keys.Create(t.Context(), auth.Job(d.w, "test"), u, securitykey.NewKey{Kind: kind, Activation: securitykey.ActivateEmail})
	if err != nil {
		t.Fatal(err)
	}
	return out.Key, token.Link(linkKey, string(out.Key.Link.ID))
}

// byPass returns a session of somebody by a temporary access pass.
func (d desk) byPass(t *testing.T, u directory.User, oneTime bool) auth.Caller {
	t.Helper()
	_, code, err := d.signin.IssueAccessPass(t.Context(), auth.Job(d.w, "test"), u.ID, signin.NewAccessPass{OneTime: oneTime})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := d.signin.OpenByAccessPass(t.Context(), auth.Nobody("192.0.2.9", "phone/1", "req_pass"), directory.Fold(u.Email), code)
	if err != nil {
		t.Fatal(err)
	}
	return opened.Caller
}

// byCode returns a session of somebody by an e-mail code.
func (d desk) byCode(t *testing.T, u directory.User) auth.Caller {
	t.Helper()
	s := signin.Session{
		ID: id.New[id.KindSession](d.clock.Now()), Workspace: d.w, User: u.ID, OpenedBy: signin.OpenedByCode, Scope: signin.ScopeApp,
		CreatedAt: d.clock.Now(), ExpiresAt: d.clock.Now().Add(signin.SessionLifetime), LastSeenAt: d.clock.Now(),
	}
	s.Digest = []byte(s.ID)
	storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.InsertSession(ctx, s) })
	return auth.Caller{Kind: auth.User, Workspace: d.w, User: u.ID, Session: s.ID, Name: u.Name(), IP: "192.0.2.9"}
}

// device is an authenticator of a model, with one passkey.
type device struct {
	authenticator virtualwebauthn.Authenticator
	credential    virtualwebauthn.Credential
}

const model = "2fc0579f-8113-47ea-b116-bb5a8db9202a"

func newDevice() *device {
	d := &device{authenticator: virtualwebauthn.NewAuthenticator()}
	d.authenticator.Aaguid = [16]byte{0x2f, 0xc0, 0x57, 0x9f, 0x81, 0x13, 0x47, 0xea, 0xb1, 0x16, 0xbb, 0x5a, 0x8d, 0xb9, 0x20, 0x2a}
	const publicKeyLength = 77 // the library writes some coordinates a byte too short: those keys are thrown away
	for len(d.credential.ID) == 0 || len(d.credential.Key.AttestationData()) != publicKeyLength {
		d.credential = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return d
}

func (d *device) party() virtualwebauthn.RelyingParty {
	return virtualwebauthn.RelyingParty{ID: host, Name: "Keyhold", Origin: origin}
}

func (d *device) register(t *testing.T, c signin.Challenge) []byte {
	t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	d.authenticator.Options.UserHandle = []byte(options.UserID)
	return []byte(virtualwebauthn.CreateAttestationResponse(d.party(), d.authenticator, d.credential, *options))
}

// enter signs in with the device's passkey.
func (d desk) enter(t *testing.T, with *device) (signin.Opened, error) {
	t.Helper()
	by := auth.Nobody("192.0.2.9", "phone/1", "req_enter")
	c, err := d.signin.BeginSignIn(t.Context(), by)
	if err != nil {
		t.Fatal(err)
	}
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	with.credential.Counter++
	return d.signin.FinishSignIn(t.Context(), by, c.Ceremony, []byte(virtualwebauthn.CreateAssertionResponse(with.party(), with.authenticator, with.credential, *options)))
}

// bindByLink registers a device by a link, whole.
func (d desk) bindByLink(t *testing.T, by auth.Caller, link secret.Bytes, with *device) (securitykey.SecurityKey, error) {
	t.Helper()
	c, err := d.BeginByLink(t.Context(), by, link)
	if err != nil {
		return securitykey.SecurityKey{}, err
	}
	return d.FinishByLink(t.Context(), by, link, c.Ceremony, with.register(t, c))
}

func TestByLink_phone(t *testing.T) {
	d := newDesk(t)
	k, link := d.give(t, d.ada.ID, securitykey.Smartphone)
	by, phone := d.byPass(t, d.ada, true), newDevice()
	got, err := d.bindByLink(t, by, link, phone)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != k.ID || got.Life != securitykey.Active || got.AAGUID != model || got.Model == "" {
		t.Errorf("the phone is %+v, want it active and of its model", got)
	}
	line := storetest.Activity(t, d.Store, d.w, "security_key.activate")
	if line.SecurityKey != k.ID || line.User != d.ada.ID || line.Actor.ID != string(d.ada.ID) {
		t.Errorf("the line is %+v, want the holder's act on the key", line)
	}
	opened, err := d.enter(t, phone)
	if err != nil || opened.Caller.User != d.ada.ID || opened.Caller.Kind != auth.User {
		t.Fatalf("a sign-in with the phone = %+v, %v, want the holder in the app", opened.Caller, err)
	}
	used, err := d.keys.Find(t.Context(), d.owner, k.ID)
	if err != nil || used.Key.LastActivityAt.IsZero() || used.Key.Total == 0 {
		t.Errorf("after a sign-in the key is %+v, %v, want a use noted", used.Key, err)
	}
	_, err = d.bindByLink(t, by, link, newDevice())
	storetest.Refused(t, err, "activation_not_found")

	if _, err := d.keys.Suspend(t.Context(), d.owner, k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.signin.Account(t.Context(), opened.Caller); err == nil {
		t.Error("the session that the phone opened goes on after the suspension")
	}
	_, err = d.enter(t, phone)
	storetest.Refused(t, err, "passkey_rejected")
	if _, err := d.keys.Activate(t.Context(), d.owner, k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.enter(t, phone); err != nil {
		t.Errorf("a sign-in with the phone that was given back = %v", err)
	}
	if err := d.keys.Delete(t.Context(), d.owner, k.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, err = d.enter(t, phone)
	storetest.Refused(t, err, "passkey_rejected")
}

// A link is no more than a mailbox, and neither is a session by e-mail code: with them
// somebody binds a first key and no second one.
func TestByLink_mailbox(t *testing.T) {
	d := newDesk(t)
	_, first := d.give(t, d.ada.ID, securitykey.FIDO2)
	_, second := d.give(t, d.ada.ID, securitykey.Smartphone)
	mailbox := d.byCode(t, d.ada)
	begun, err := d.BeginByLink(t.Context(), mailbox, second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.bindByLink(t, mailbox, first, newDevice()); err != nil {
		t.Fatalf("a first key by the mailbox = %v", err)
	}
	_, err = d.BeginByLink(t.Context(), mailbox, second)
	storetest.Refused(t, err, "mailbox_only")
	_, err = d.FinishByLink(t.Context(), mailbox, second, begun.Ceremony, newDevice().register(t, begun))
	storetest.Refused(t, err, "mailbox_only")
	lines := storetest.Activities(t, d.Store, d.w, "security_key.activate")
	if i := slices.IndexFunc(lines, func(e activity.Event) bool { return e.Outcome == activity.Refused && e.Reason == "mailbox_only" }); i < 0 {
		t.Error("the refusal has no line")
	}
	if _, err := d.bindByLink(t, d.byPass(t, d.ada, false), second, newDevice()); err != nil {
		t.Errorf("a second key by a pass = %v", err)
	}
}

func TestByLink_strangers(t *testing.T) {
	d := newDesk(t)
	_, link := d.give(t, d.ada.ID, securitykey.Smartphone)
	bea := storetest.User(t, d.Store, d.w, "bea")
	elsewhere := storetest.Workspace(t, d.Store)
	for what, c := range map[string]struct {
		by   auth.Caller
		code string
	}{
		"nobody":            {auth.Nobody("192.0.2.1", "", "req"), "unauthenticated"},
		"somebody else":     {d.byPass(t, bea, false), "activation_not_found"},
		"another workspace": {storetest.Administrator(t, d.Store, elsewhere, "eve"), "activation_not_found"},
		"a program":         {storetest.APIKey(t, d.Store, d.w, auth.All()...), "person_only"},
	} {
		_, err := d.BeginByLink(t.Context(), c.by, link)
		if f, ok := fault.As(err); !ok || f.Code != c.code {
			t.Errorf("%s = %v, want %s", what, err, c.code)
		}
	}
	by := d.byPass(t, d.ada, false)
	_, err := d.BeginByLink(t.Context(), by, secret.FromString("acn_01.forged"))
	storetest.Refused(t, err, "activation_not_found")
	c, err := d.BeginByLink(t.Context(), by, link)
	if err != nil {
		t.Fatal(err)
	}
	_, other := d.give(t, d.ada.ID, securitykey.FIDO2)
	_, err = d.FinishByLink(t.Context(), by, other, c.Ceremony, newDevice().register(t, c))
	storetest.Refused(t, err, "ceremony_over")
	again := d.byPass(t, d.ada, false) // ends the first session, too
	_, err = d.FinishByLink(t.Context(), again, link, c.Ceremony, newDevice().register(t, c))
	storetest.Refused(t, err, "ceremony_over")
	d.clock.Advance(signin.CeremonyLifetime)
	c2, err := d.BeginByLink(t.Context(), again, link)
	if err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(signin.CeremonyLifetime)
	_, err = d.FinishByLink(t.Context(), again, link, c2.Ceremony, newDevice().register(t, c2))
	storetest.Refused(t, err, "ceremony_over")
}

func TestByLink_twoAtOnce(t *testing.T) {
	d := newDesk(t)
	_, link := d.give(t, d.ada.ID, securitykey.Smartphone)
	by := d.byPass(t, d.ada, false)
	var answers [8][]byte
	var ceremonies [8]id.Ceremony
	for i := range answers {
		c, err := d.BeginByLink(t.Context(), by, link)
		if err != nil {
			t.Fatal(err)
		}
		answers[i], ceremonies[i] = newDevice().register(t, c), c.Ceremony
	}
	var errs [8]error
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			_, errs[i] = d.FinishByLink(context.WithoutCancel(t.Context()), by, link, ceremonies[i], answers[i])
		})
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
			continue
		}
		storetest.Refused(t, err, "activation_not_found")
	}
	if n := storetest.Count(t, d.Database, `SELECT COUNT(*) FROM signin_passkey WHERE security_key <> ''`); done != 1 || n != 1 {
		t.Errorf("%d of 8 at once were bound, with %d passkeys, want one", done, n)
	}
}

func TestAtDesk(t *testing.T) {
	d := newDesk(t)
	k, _ := d.give(t, d.ada.ID, securitykey.FIDO2)
	c, err := d.BeginAtDesk(t.Context(), d.owner, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	key := newDevice()
	got, err := d.FinishAtDesk(t.Context(), d.owner, k.ID, c.Ceremony, key.register(t, c))
	if err != nil || got.Life != securitykey.Active {
		t.Fatalf("FinishAtDesk() = %+v, %v, want an active key", got, err)
	}
	line := storetest.Activity(t, d.Store, d.w, "security_key.activate")
	if line.Actor.ID != string(d.owner.User) || line.User != d.ada.ID || line.SecurityKey != k.ID {
		t.Errorf("the line is %+v, want the administrator's act for the holder", line)
	}
	if opened, err := d.enter(t, key); err != nil || opened.Caller.User != d.ada.ID {
		t.Errorf("a sign-in with the key = %+v, %v, want the holder", opened.Caller, err)
	}
	_, err = d.BeginAtDesk(t.Context(), d.owner, k.ID)
	storetest.Refused(t, err, "key_active")
}

func TestAtDesk_strangers(t *testing.T) {
	d := newDesk(t)
	k, _ := d.give(t, d.ada.ID, securitykey.FIDO2)
	phone, _ := d.give(t, d.ada.ID, securitykey.Smartphone)
	boss, _ := d.give(t, d.owner.User, securitykey.FIDO2)
	clerk := storetest.Administrator(t, d.Store, d.w, "clerk", auth.SecurityKeysRead, auth.SecurityKeysWrite, auth.UsersRead)
	reader := storetest.Administrator(t, d.Store, d.w, "reader", auth.SecurityKeysRead)
	eve := storetest.Administrator(t, d.Store, storetest.Workspace(t, d.Store), "eve")
	stale := clerk
	stale.StepUpAt = storetest.Start().Add(-auth.StepUpAge)
	for what, c := range map[string]struct {
		by   auth.Caller
		key  id.SecurityKey
		code string
	}{
		"no right":                  {reader, k.ID, "missing_permission"},
		"a program":                 {storetest.APIKey(t, d.Store, d.w, auth.All()...), k.ID, "person_only"},
		"no fresh passkey":          {stale, k.ID, "step_up_required"},
		"another workspace":         {eve, k.ID, "security_key_not_found"},
		"a phone":                   {clerk, phone.ID, "not_at_the_desk"},
		"somebody who may do more":  {clerk, boss.ID, "beyond_your_permissions"},
		"a key that does not exist": {clerk, id.New[id.KindSecurityKey](time.Now()), "security_key_not_found"},
	} {
		_, err := d.BeginAtDesk(t.Context(), c.by, c.key)
		if f, ok := fault.As(err); !ok || f.Code != c.code {
			t.Errorf("%s = %v, want %s", what, err, c.code)
		}
	}
	c, err := d.BeginAtDesk(t.Context(), clerk, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Revoke(t, d.Database, clerk)
	_, err = d.FinishAtDesk(t.Context(), clerk, k.ID, c.Ceremony, newDevice().register(t, c))
	storetest.Refused(t, err, "unauthenticated")
	if got, err := d.keys.Find(t.Context(), d.owner, k.ID); err != nil || got.Key.Life == securitykey.Active {
		t.Errorf("the key is %s, %v, want it untouched", got.Key.Life, err)
	}
}

// A model that the workspace blocks is refused and leaves nothing but the line.
func TestAtDesk_blockedModel(t *testing.T) {
	d := newDesk(t)
	if _, err := d.keys.UpdateSettings(t.Context(), d.owner, securitykey.SettingsChange{ModelsBlocked: &[]string{model}}, 0); err != nil {
		t.Fatal(err)
	}
	k, _ := d.give(t, d.ada.ID, securitykey.FIDO2)
	c, err := d.BeginAtDesk(t.Context(), d.owner, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.FinishAtDesk(t.Context(), d.owner, k.ID, c.Ceremony, newDevice().register(t, c))
	storetest.Refused(t, err, "model_not_allowed")
	if n := storetest.Count(t, d.Database, `SELECT COUNT(*) FROM signin_passkey`); n != 0 {
		t.Errorf("%d passkeys are kept of a model that is blocked, want none", n)
	}
	lines := storetest.Activities(t, d.Store, d.w, "security_key.activate")
	if len(lines) != 1 || lines[0].Reason != "model_not_allowed" {
		t.Errorf("the lines are %+v, want the refusal", lines)
	}
}
