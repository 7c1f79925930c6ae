package apikey_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// house is a workspace with an owner who has just used a passkey.
type house struct {
	storetest.Database
	*apikey.Service
	clock *clock.Manual
	w     id.Workspace
	by    auth.Caller
}

func newHouse(t testing.TB) house {
	t.Helper()
	return newHouseWith(t, func(storetest.Database, *apikey.Config) {})
}

// peppers are the keys of the hashes in a test: of those numbers, the first is the
// current one.
func peppers(numbers ...int) apikey.Peppers {
	p := apikey.Peppers{Current: numbers[0], Known: map[int]secret.Bytes{}}
	for _, n := range numbers {
		p.Known[n] = secret.FromString(fmt.Sprint("pepper ", n))
	}
	return p
}

// newHouseWith returns a house whose room is made from another configuration.
func newHouseWith(t testing.TB, set func(d storetest.Database, c *apikey.Config)) house {
	t.Helper()
	d := storetest.SQLite(t)
	c := clock.NewManual(storetest.Start())
	w := storetest.Workspace(t, d.Store)
	config := apikey.Config{Store: store.For[apikey.Tx](d.Store), Clock: c, Peppers: peppers(1)}
	set(d, &config)
	return house{d, apikey.New(config), c, w, storetest.Administrator(t, d.Store, w, "owner")}
}

// works asks whether a token is accepted for its type; it may be refused only as
// every token is.
func (h house) works(t testing.TB, text string, want apikey.Type) bool {
	t.Helper()
	c, err := h.Verify(t.Context(), nobody(), text, want)
	if err != nil {
		refused(t, "a token", c, err)
	}
	return err == nil
}

// fresh is the owner after another touch of their passkey; sessions do not end in
// these tests.
func (h house) fresh(t testing.TB) auth.Caller {
	t.Helper()
	by := h.by
	by.StepUpAt = h.clock.Now()
	storetest.Exec(t, h.Database, `UPDATE signin_session SET expires_at = $1, last_seen_at = $2 WHERE id = $3`,
		h.clock.Now().Add(time.Hour).UnixMilli(), h.clock.Now().UnixMilli(), string(by.Session))
	return by
}

// tired is the owner whose passkey was touched too long ago.
func (h house) tired() auth.Caller {
	by := h.by
	by.StepUpAt = h.clock.Now().Add(-auth.StepUpAge)
	return by
}

// last returns the newest line of an action.
func (h house) last(t testing.TB, action string) activity.Event {
	t.Helper()
	all := storetest.Activities(t, h.Store, h.w, action)
	if len(all) == 0 {
		t.Fatalf("no line %s", action)
	}
	return all[len(all)-1]
}

// line asks for the newest line of an action: who did it, to which key, and its
// detail.
func (h house) line(t testing.TB, action, detail string, by auth.Caller, k apikey.Key) {
	t.Helper()
	want := activity.Event{
		Workspace: h.w, At: h.clock.Now(), Action: action, Outcome: activity.Success, Detail: detail, Count: 1, User: by.User,
		Actor:  activity.Party{Type: string(by.Kind), ID: by.Identity(), Name: by.Name},
		Target: activity.Party{Type: "api_key", ID: string(k.ID), Name: k.Name}, IP: by.IP, Agent: by.Agent, RequestID: by.RequestID,
	}
	if diff := cmp.Diff(want, h.last(t, action), cmpopts.IgnoreFields(activity.Event{}, "ID")); diff != "" {
		t.Errorf("the line (-want +got):\n%s", diff)
	}
}

// refusedLine asks that the newest line of an action is a refusal with the reason.
func (h house) refusedLine(t testing.TB, action, reason string) {
	t.Helper()
	if e := h.last(t, action); e.Outcome != activity.Refused || e.Reason != reason {
		t.Errorf("the newest line of %s is %s %q, want a refusal for %s", action, e.Outcome, e.Reason, reason)
	}
}

// mails returns the waiting messages of one kind, by recipient; twice the same
// recipient fails the test.
func mails[P outbox.Payload](t testing.TB, h house, to func(P) outbox.Recipient) map[string]P {
	t.Helper()
	out := map[string]P{}
	for _, m := range storetest.Messages(t, h.Store) {
		var p P
		if m.Kind != p.MessageKind() {
			continue
		}
		if err := json.Unmarshal(m.Payload, &p); err != nil {
			t.Fatal(err)
		}
		if _, twice := out[to(p).Email]; twice {
			t.Errorf("two mails %s to %s", m.Kind, to(p).Email)
		}
		out[to(p).Email] = p
	}
	return out
}

// names are the keys of a map, sorted, in one text.
func names[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), " ")
}

// elsewhere is an owner of another workspace.
func (h house) elsewhere(t testing.TB) auth.Caller {
	t.Helper()
	return storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "other")
}

// issue makes a key and fails the test if that is refused.
func (h house) issue(t testing.TB, n apikey.NewKey) (apikey.Key, string) {
	t.Helper()
	k, secret, err := h.Create(t.Context(), h.by, n)
	if err != nil {
		t.Fatal(err)
	}
	return k, secret.Secret().ExposeString()
}

func admin(permissions ...string) apikey.NewKey {
	return apikey.NewKey{Name: "Robot", Type: apikey.Admin, Permissions: permissions}
}

// nobody is the anonymous caller of a request.
func nobody() auth.Caller { return auth.Nobody("192.0.2.4", "robot/2", "req_use") }

// refused asks for Unauthenticated, which is the same whatever the reason.
func refused(t testing.TB, what string, c auth.Caller, err error) {
	t.Helper()
	if diff := cmp.Diff(fault.Unauthenticated(), storetest.Fault(t, err, "unauthenticated"), cmp.AllowUnexported(fault.Error{})); diff != "" {
		t.Errorf("%s: another answer (-want +got):\n%s", what, diff)
	}
	if c != (auth.Caller{}) {
		t.Errorf("%s is %+v, want nobody", what, c)
	}
}

func TestCreate(t *testing.T) {
	h := newHouse(t)
	second := storetest.Administrator(t, h.Store, h.w, "second")
	storetest.Administrator(t, h.Store, h.w, "helper", auth.UsersRead)
	ends := storetest.Start().Add(time.Hour)
	k, text := h.issue(t, apikey.NewKey{Name: " Röbot ", Type: apikey.Admin, Permissions: []string{"users.write", "users.read", "users.read"}, ExpiresAt: ends})
	want := apikey.Key{
		ID: k.ID, Workspace: h.w, TokenID: k.TokenID, TokenHash: k.TokenHash, Pepper: 1, Name: "Röbot", Type: apikey.Admin,
		Permissions: auth.Permissions{auth.UsersRead, auth.UsersWrite}, CreatedAt: storetest.Start(), IssuedAt: storetest.Start(),
		ExpiresAt: ends, EndsAt: ends, WarnAt: apikey.Never(), Root: h.by.User, Revision: 1,
		CreatedBy: activity.Party{Type: "administrator", ID: string(h.by.User), Name: h.by.Name},
	}
	if diff := cmp.Diff(want, k); diff != "" {
		t.Errorf("Create() (-want +got):\n%s", diff)
	}
	c, err := h.Verify(t.Context(), nobody(), text, apikey.Admin)
	caller := auth.Caller{Kind: auth.APIKey, Workspace: h.w, APIKey: k.ID, Token: k.TokenID, Name: "Röbot", IP: "192.0.2.4", Agent: "robot/2", RequestID: "req_use"}
	if diff := cmp.Diff(caller, c); err != nil || diff != "" {
		t.Errorf("Verify() error %v (-want +got):\n%s", err, diff)
	}
	own, err := h.Own(t.Context(), c)
	if diff := cmp.Diff(want, own); err != nil || diff != "" {
		t.Errorf("Own() error %v (-want +got):\n%s", err, diff)
	}
	line := activity.Event{
		Workspace: h.w, At: storetest.Start(), Action: "api_key.create", Outcome: activity.Success, Detail: "admin", Count: 1, User: h.by.User,
		Actor:  activity.Party{Type: "administrator", ID: string(h.by.User), Name: h.by.Name},
		Target: activity.Party{Type: "api_key", ID: string(k.ID), Name: "Röbot"}, IP: h.by.IP, Agent: h.by.Agent, RequestID: h.by.RequestID,
	}
	if diff := cmp.Diff(line, storetest.Activity(t, h.Store, h.w, "api_key.create"), cmpopts.IgnoreFields(activity.Event{}, "ID")); diff != "" {
		t.Errorf("the line (-want +got):\n%s", diff)
	}
	told := map[string]outbox.APIKeyCreated{}
	for _, m := range storetest.Messages(t, h.Store) {
		var mail outbox.APIKeyCreated
		if err := json.Unmarshal(m.Payload, &mail); err != nil || m.Kind != "mail.api_key_created" {
			t.Fatalf("message %+v (%v), want a mail about the key", m, err)
		}
		told[mail.To.Email] = mail
	}
	mail := outbox.APIKeyCreated{
		To: outbox.Recipient{Email: "owner@example.org", Name: h.by.Name}, Workspace: "Harbour", APIKey: "Röbot", TokenID: k.TokenID,
		Type: "admin", By: h.by.Name, At: storetest.Start().UnixMilli(),
	}
	other := mail
	other.To = outbox.Recipient{Email: "second@example.org", Name: second.Name}
	if diff := cmp.Diff(map[string]outbox.APIKeyCreated{mail.To.Email: mail, other.To.Email: other}, told); diff != "" {
		t.Errorf("mails (-want +got):\n%s", diff)
	}
}

// The token is shown once: neither it nor its secret part stands anywhere.
func TestCreate_tokenIsNowhere(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, admin())
	dump := storetest.Dump(t, h.Database)
	if !strings.Contains(dump, k.TokenID) {
		t.Fatal("the dump is none: it does not hold the token's public part")
	}
	hidden := text[strings.LastIndex(text, "_")+1:]
	for what, canary := range map[string]string{"token": text, "secret": hidden, "secret without its sum": hidden[:32], "half of the secret": hidden[:16]} {
		if strings.Contains(dump, canary) {
			t.Errorf("the %s stands in the database", what)
		}
	}
}

func TestCreate_fields(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct {
		n    apikey.NewKey
		want []string // fields at fault, nil for none
	}{
		"a full name":                 {apikey.NewKey{Name: strings.Repeat("ä", 100), Type: apikey.Clients}, nil},
		"no name":                     {apikey.NewKey{Name: " ", Type: apikey.Clients}, []string{"name"}},
		"a long name":                 {apikey.NewKey{Name: strings.Repeat("ä", 101), Type: apikey.Clients}, []string{"name"}},
		"a name with a NUL":           {apikey.NewKey{Name: "a\x00b", Type: apikey.Clients}, []string{"name"}},
		"a name that is no text":      {apikey.NewKey{Name: "a\xffb", Type: apikey.Clients}, []string{"name"}},
		"no type":                     {apikey.NewKey{Name: "X"}, []string{"type"}},
		"an unknown type":             {apikey.NewKey{Name: "X", Type: "mobile"}, []string{"type"}},
		"an end in the past":          {apikey.NewKey{Name: "X", Type: apikey.Clients, ExpiresAt: storetest.Start().Add(-time.Hour)}, []string{"expires_at"}},
		"an end now":                  {apikey.NewKey{Name: "X", Type: apikey.Clients, ExpiresAt: storetest.Start()}, []string{"expires_at"}},
		"an end in a moment":          {apikey.NewKey{Name: "X", Type: apikey.Clients, ExpiresAt: storetest.Start().Add(time.Millisecond)}, nil},
		"an unknown permission":       {admin("users.read", "users.eat"), []string{"permissions"}},
		"no permission":               {admin(), nil}, // nil: all that the creator has
		"an empty list":               {apikey.NewKey{Name: "X", Type: apikey.Admin, Permissions: []string{}}, []string{"permissions"}},
		"permissions without a use":   {apikey.NewKey{Name: "X", Type: apikey.SharedMobile, Permissions: []string{"users.read"}}, []string{"permissions"}},
		"an empty list without a use": {apikey.NewKey{Name: "X", Type: apikey.SharedMobile, Permissions: []string{}}, nil},
		"all wrong": {
			apikey.NewKey{Type: "x", Permissions: []string{"x"}, ExpiresAt: storetest.Start()}, []string{"name", "type", "expires_at", "permissions"},
		},
	} {
		_, _, err := h.Create(t.Context(), h.by, c.n)
		if c.want == nil {
			if err != nil {
				t.Errorf("%s: %v, want nil", name, err)
			}
			continue
		}
		if got := storetest.FieldNames(storetest.Fault(t, err, "invalid_fields")); !slices.Equal(got, c.want) {
			t.Errorf("%s: fields %v, want %v", name, got, c.want)
		}
	}
	k, _ := h.issue(t, admin())
	if !slices.Equal(k.Permissions, auth.All()) {
		t.Errorf("permissions %v without a list, want all of the creator's", k.Permissions)
	}
}

// Nobody rises by a key.
func TestCreate_whoMay(t *testing.T) {
	h := newHouse(t)
	helper := storetest.Administrator(t, h.Store, h.w, "helper", auth.APIKeysWrite, auth.UsersRead)
	full := storetest.Administrator(t, h.Store, h.w, "full", auth.All()...)
	robot := storetest.APIKey(t, h.Store, h.w, auth.APIKeysWrite)
	strong := storetest.APIKey(t, h.Store, h.w, auth.All()...)
	tired := h.by
	tired.StepUpAt = storetest.Start().Add(-auth.StepUpAge)
	clients := apikey.NewKey{Name: "C", Type: apikey.Clients}
	for name, c := range map[string]struct {
		by   auth.Caller
		n    apikey.NewKey
		code string
	}{
		"an owner, Admin":                               {h.by, admin(), ""},
		"an administrator with all, Admin":              {full, admin("users.read"), ""},
		"a key with all, Admin":                         {strong, admin(), ""},
		"a job, Admin":                                  {auth.Job(h.w, "command line"), admin(), ""},
		"a lesser administrator, Admin":                 {helper, admin(), "beyond_your_permissions"},
		"a lesser administrator, Admin of what they do": {helper, admin("users.read"), "beyond_your_permissions"},
		"a lesser administrator, clients":               {helper, clients, ""},
		"a lesser key, Admin":                           {robot, admin("api_keys.write"), "beyond_your_permissions"},
		"a lesser key, clients":                         {robot, clients, ""},
		"an owner without a fresh passkey, Admin":       {tired, admin(), "step_up_required"},
		"an owner without a fresh passkey, clients":     {tired, clients, ""},
	} {
		k, secret, err := h.Create(t.Context(), c.by, c.n)
		if c.code == "" {
			if err != nil || k.ID == "" {
				t.Errorf("%s: %v, want a key", name, err)
			}
			continue
		}
		if f := storetest.Fault(t, err, c.code); f.Kind != fault.KindForbidden || k.ID != "" || !secret.Secret().IsEmpty() {
			t.Errorf("%s: kind %d, key %q, want forbidden and no key", name, f.Kind, k.ID)
		}
	}
	var reasons []string
	for _, e := range storetest.Activities(t, h.Store, h.w, "api_key.create") {
		if e.Outcome == activity.Refused {
			reasons = append(reasons, e.Actor.Type+" "+e.Reason)
		}
	}
	slices.Sort(reasons)
	want := []string{"administrator beyond_your_permissions", "administrator step_up_required", "api_key beyond_your_permissions"}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
}

// sum is the checksum of a token, as its published format says.
func sum(head string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	out, v := make([]byte, 6), crc32.ChecksumIEEE([]byte(head))
	for i := range out {
		out[5-i] = digits[v%62]
		v /= 62
	}
	return string(out)
}

func TestVerify_refuses(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, admin())
	head := text[:len(text)-6]
	if head+sum(head) != text {
		t.Fatalf("the checksum of a token is %q, want %q", text[len(head):], sum(head))
	}
	other := "x"
	if head[len(head)-1] == 'x' {
		other = "y"
	}
	forged := head[:len(head)-1] + other
	unknown := token.Issue(token.KindAdmin).Secret().ExposeString()
	renamed := strings.Replace(head, "kh_admin_", "kh_client_", 1)
	bad := map[string]string{
		"nothing": "", "a word": "token", "an unknown token": unknown, "the public part": "kh_admin_" + k.TokenID, "cut": text[:len(text)-1],
		"extended": text + "0", "with a space": text + " ", "with a prefix": "Bearer " + text, "without its sum": head,
		"another secret, wrong sum": forged + text[len(head):], "another secret, right sum": forged + sum(forged),
		"another kind": strings.Replace(text, "admin", "client", 1), "another kind, right sum": renamed + sum(renamed),
		"another secret's": unknown[:len("kh_admin_")] + k.TokenID + unknown[len("kh_admin_")+12:], "very long": strings.Repeat(text, 100),
		"in capitals": strings.ToUpper(text), "twice": text + text, "a NUL": text[:20] + "\x00" + text[21:],
	}
	for i := range text { // each letter, changed by one bit
		flipped := []byte(text)
		flipped[i] ^= 1
		bad["letter "+string(rune('A'+i%26))+" "+string(flipped)] = string(flipped)
	}
	for what, s := range bad {
		c, err := h.Verify(t.Context(), nobody(), s, apikey.Admin)
		refused(t, what, c, err)
	}
	elsewhere := apikey.New(apikey.Config{Store: store.For[apikey.Tx](h.Store), Clock: h.clock, Peppers: apikey.Peppers{Current: 1, Known: map[int]secret.Bytes{1: secret.FromString("another pepper")}}})
	c, err := elsewhere.Verify(t.Context(), nobody(), text, apikey.Admin)
	refused(t, "a token under another pepper", c, err)
	if _, err := h.Verify(t.Context(), nobody(), text, apikey.Admin); err != nil {
		t.Errorf("Verify() = %v for the token itself, want nil", err)
	}
	if n := len(storetest.Activities(t, h.Store, h.w, "api_key.use")); n != 0 {
		t.Errorf("%d lines of unknown tokens, want none", n)
	}
}

func TestVerify_expiry(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, apikey.NewKey{Name: "X", Type: apikey.Clients, ExpiresAt: storetest.Start().Add(time.Hour)})
	h.clock.Advance(time.Hour - time.Millisecond)
	c, err := h.Verify(t.Context(), nobody(), text, apikey.Clients)
	if err != nil || k.Status(h.clock.Now()) != apikey.Active {
		t.Errorf("Verify() = %v, status %s just before the end, want nil and active", err, k.Status(h.clock.Now()))
	}
	h.clock.Advance(time.Millisecond)
	if k.Status(h.clock.Now()) != apikey.Expired {
		t.Errorf("status %s at the end, want expired", k.Status(h.clock.Now()))
	}
	_, err = h.Own(t.Context(), c) // who was let in before is not let in any more
	storetest.Refused(t, err, "unauthenticated")
	c, err = h.Verify(t.Context(), nobody(), text, apikey.Clients)
	refused(t, "a token at its end", c, err)
	c, err = h.Verify(t.Context(), nobody(), text, apikey.Admin)
	refused(t, "a token of another type at its end", c, err)
}

// Whose workspace is suspended is not told what their key opens.
func TestVerify_suspendedWorkspace(t *testing.T) {
	h := newHouse(t)
	_, text := h.issue(t, apikey.NewKey{Name: "X", Type: apikey.Clients})
	storetest.Write(t, h.Store, func(ctx context.Context, tx *store.Tx) error { return tx.SuspendWorkspace(ctx, h.w, h.clock.Now()) })
	c, err := h.Verify(t.Context(), nobody(), text, apikey.Admin)
	refused(t, "a token of another type in a suspended workspace", c, err)
}

func TestVerify_tellsTheWrongType(t *testing.T) {
	h := newHouse(t)
	for _, have := range apikey.Types() {
		k, text := h.issue(t, apikey.NewKey{Name: string(have), Type: have})
		for _, want := range apikey.Types() {
			c, err := h.Verify(t.Context(), nobody(), text, want)
			if want == have {
				if err != nil || c.APIKey != k.ID {
					t.Errorf("Verify() = %+v (%v) for a key of type %s, want it", c, err, have)
				}
				continue
			}
			f := storetest.Fault(t, err, "wrong_key_type")
			if f.Kind != fault.KindForbidden || !strings.Contains(f.Public, string(want)) || c != (auth.Caller{}) {
				t.Errorf("%s for %s: kind %d, %q, %+v, want forbidden, the type that is needed, and nobody", have, want, f.Kind, f.Public, c)
			}
		}
		var lines []activity.Event
		for _, e := range storetest.Activities(t, h.Store, h.w, "api_key.use") {
			if e.Actor.ID == string(k.ID) {
				lines = append(lines, e)
			}
		}
		// The two refusals are like: one line, the second is only counted.
		if len(lines) != 1 || lines[0].Outcome != activity.Refused || lines[0].Reason != "wrong_key_type" || lines[0].Target.ID != string(k.ID) || lines[0].IP != "192.0.2.4" {
			t.Errorf("lines %+v of a key of type %s, want one refusal", lines, have)
		}
	}
}

func TestList(t *testing.T) {
	h := newHouse(t)
	for _, n := range []apikey.NewKey{{Name: "b", Type: apikey.Clients}, {Name: "Ä", Type: apikey.Admin}, {Name: "c", Type: apikey.Clients}} {
		h.clock.Advance(time.Second)
		h.issue(t, n)
	}
	for _, c := range []struct {
		q    apikey.Query
		want string
	}{
		{apikey.Query{}, "Ä b c"},
		{apikey.Query{Type: apikey.Clients}, "b c"},
		{apikey.Query{Page: page.Request{Sort: apikey.SortCreated, Descending: true}}, "c Ä b"},
		{apikey.Query{Page: page.Request{Limit: 1}}, "Ä"},
	} {
		p, err := h.List(t.Context(), h.by, c.q)
		var names []string
		for _, k := range p.Items {
			names = append(names, k.Name)
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("List(%+v) = %q (%v), want %q", c.q, names, err, c.want)
		}
	}
	other := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "other")
	if p, err := h.List(t.Context(), other, apikey.Query{}); err != nil || len(p.Items) != 0 {
		t.Errorf("List() shows %+v (%v) of another workspace", p.Items, err)
	}
}

func TestService_strangers(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, admin())
	for _, s := range []storetest.Stranger{
		{Action: "api_key.create", Need: auth.APIKeysWrite, Call: func(by auth.Caller) error {
			made, secret, err := h.Create(t.Context(), by, apikey.NewKey{Name: "X", Type: apikey.Clients})
			if made.ID != "" || !secret.Secret().IsEmpty() {
				t.Errorf("Create() gives %s to %s", made.ID, by.Name)
			}
			return err
		}},
		{Action: "api_key.list", Need: auth.APIKeysRead, Call: func(by auth.Caller) error {
			p, err := h.List(t.Context(), by, apikey.Query{})
			if len(p.Items) != 0 {
				t.Errorf("List() shows %+v to %s", p.Items, by.Name)
			}
			return err
		}},
		{Action: "api_key.find", Need: auth.APIKeysRead, Call: func(by auth.Caller) error { return shown(t, by)(h.Find(t.Context(), by, k.ID)) }},
		{Action: "api_key.descendants", Need: auth.APIKeysRead, Call: func(by auth.Caller) error {
			made, err := h.Descendants(t.Context(), by, k.ID)
			if len(made) != 0 {
				t.Errorf("Descendants() shows %+v to %s", made, by.Name)
			}
			return err
		}},
		{Action: "api_key.usage", Need: auth.APIKeysRead, Call: func(by auth.Caller) error {
			days, err := h.Usage(t.Context(), by, k.ID)
			if len(days) != 0 {
				t.Errorf("Usage() shows %+v to %s", days, by.Name)
			}
			return err
		}},
		{Action: "api_key.update", Need: auth.APIKeysWrite, Call: func(by auth.Caller) error {
			name := "X"
			return shown(t, by)(h.Update(t.Context(), by, k.ID, apikey.Change{Name: &name}, 0))
		}},
		{Action: "api_key.disable", Need: auth.APIKeysWrite, Call: func(by auth.Caller) error {
			found, _, err := h.Disable(t.Context(), by, k.ID, true)
			return shown(t, by)(found, err)
		}},
		{Action: "api_key.enable", Need: auth.APIKeysWrite, Call: func(by auth.Caller) error { return shown(t, by)(h.Enable(t.Context(), by, k.ID)) }},
		{Action: "api_key.end_overlap", Need: auth.APIKeysWrite, Call: func(by auth.Caller) error { return shown(t, by)(h.EndOverlap(t.Context(), by, k.ID)) }},
		{Action: "api_key.delete", Need: auth.APIKeysWrite, Call: func(by auth.Caller) error {
			_, err := h.Delete(t.Context(), by, k.ID, true, 0)
			return err
		}},
		{Action: "api_key.reset", Need: auth.APIKeysWrite, Call: func(by auth.Caller) error {
			found, secret, err := h.Reset(t.Context(), by, k.ID, apikey.Renewal{})
			if !secret.Secret().IsEmpty() {
				t.Errorf("Reset() gives a token to %s", by.Name)
			}
			return shown(t, by)(found, err)
		}},
		{Action: "me.find", Need: auth.Signed, Call: func(by auth.Caller) error {
			return shown(t, by)(h.Own(t.Context(), by))
		}},
	} {
		t.Run(s.Action, func(t *testing.T) { storetest.Strangers(t, h.Database, h.w, s) })
	}
	own, err := h.Own(t.Context(), h.by)
	if storetest.Refused(t, err, "unauthenticated"); own.ID != "" {
		t.Errorf("Own() shows %s to a person", own.ID)
	}
	if now, err := h.Find(t.Context(), h.by, k.ID); err != nil || !h.works(t, text, apikey.Admin) {
		t.Errorf("the key is %+v (%v) after strangers, want it as it was", now, err)
	} else if diff := cmp.Diff(k, now); diff != "" {
		t.Errorf("strangers changed the key (-before +after):\n%s", diff)
	}
	if n := storetest.Count(t, h.Database, `SELECT COUNT(*) FROM apikey WHERE name = 'X'`); n != 0 {
		t.Errorf("%d keys of strangers, want none", n)
	}
}

// shown fails the test if a stranger is shown a key.
func shown(t testing.TB, by auth.Caller) func(apikey.Key, error) error {
	return func(k apikey.Key, err error) error {
		t.Helper()
		if k.ID != "" || k.Name != "" {
			t.Errorf("%s is shown to %s", k.Name, by.Name)
		}
		return err
	}
}

// Whose id it is in another workspace, or nobody's, is not found, word for word.
func TestService_otherWorkspace(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, admin())
	other, name := h.elsewhere(t), "X"
	missing := id.New[id.KindAPIKey](storetest.Start())
	for what, call := range map[string]func(by auth.Caller, key id.APIKey) error{
		"Find":        func(by auth.Caller, key id.APIKey) error { return shown(t, by)(h.Find(t.Context(), by, key)) },
		"Descendants": func(by auth.Caller, key id.APIKey) error { _, err := h.Descendants(t.Context(), by, key); return err },
		"Usage":       func(by auth.Caller, key id.APIKey) error { _, err := h.Usage(t.Context(), by, key); return err },
		"Update": func(by auth.Caller, key id.APIKey) error {
			return shown(t, by)(h.Update(t.Context(), by, key, apikey.Change{Name: &name}, 7))
		},
		"Disable": func(by auth.Caller, key id.APIKey) error {
			_, _, err := h.Disable(t.Context(), by, key, true)
			return err
		},
		"Enable":     func(by auth.Caller, key id.APIKey) error { return shown(t, by)(h.Enable(t.Context(), by, key)) },
		"EndOverlap": func(by auth.Caller, key id.APIKey) error { return shown(t, by)(h.EndOverlap(t.Context(), by, key)) },
		"Reset": func(by auth.Caller, key id.APIKey) error {
			found, secret, err := h.Reset(t.Context(), by, key, apikey.Renewal{Overlap: -1})
			if !secret.Secret().IsEmpty() {
				t.Error("Reset() gives a token of another workspace's key")
			}
			return shown(t, by)(found, err)
		},
		"Delete": func(by auth.Caller, key id.APIKey) error {
			_, err := h.Delete(t.Context(), by, key, true, 7)
			return err
		},
	} {
		none := storetest.Fault(t, call(other, missing), "api_key_not_found")
		if diff := cmp.Diff(none, storetest.Fault(t, call(other, k.ID), "api_key_not_found"), cmp.AllowUnexported(fault.Error{})); diff != "" {
			t.Errorf("%s() of another workspace's key differs from a missing one's (-missing +other):\n%s", what, diff)
		}
		if e := call(h.by, "nonsense"); e == nil {
			t.Errorf("%s() of nonsense = nil, want not found", what)
		}
	}
	if now, err := h.Find(t.Context(), h.by, k.ID); err != nil || !cmp.Equal(k, now) || !h.works(t, text, apikey.Admin) {
		t.Errorf("the key is %+v (%v) after others tried, want it as it was", now, err)
	}
	for _, e := range storetest.Activities(t, h.Store, other.Workspace, "") {
		if e.Target.ID == string(k.ID) || e.Target.Name == k.Name {
			t.Errorf("the other workspace's record tells of the key: %+v", e)
		}
	}
}

// Whatever is done with a key and whoever is told, no token stands in a row: not in a
// mail that waits, not in the record, not in what is kept of uses and withdrawals.
func TestTokens_areNowhere(t *testing.T) {
	h := cached(t)
	k, first := h.issue(t, apikey.NewKey{Name: "R", Type: apikey.Admin, ExpiresAt: storetest.Start().Add(40 * day)})
	_, second := h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	_, third := h.reset(t, k, apikey.Renewal{Overlap: time.Hour})
	_, client := h.issue(t, apikey.NewKey{Name: "C", Type: apikey.Clients, AllowedIPs: []string{"192.0.2.0/24"}})
	texts := []string{first, second, third, client}
	for _, text := range texts {
		_, _ = h.Verify(t.Context(), nobody(), text, apikey.Admin)                                     // used, over, or of the wrong type
		_, _ = h.Verify(t.Context(), auth.Nobody("2001:db8::1", "robot", "req"), text, apikey.Clients) // from elsewhere
	}
	if err := h.Repepper(t.Context(), server(), peppers(2, 1)); err != nil {
		t.Fatal(err)
	}
	h.works(t, third, apikey.Admin)
	h.flush(t)
	h.clock.Advance(10 * day)
	h.warn(t)
	for _, text := range texts {
		h.report(t, text)
	}
	kinds := map[string]bool{}
	for _, m := range storetest.Messages(t, h.Store) {
		kinds[m.Kind] = true
	}
	if got := names(kinds); got != "mail.api_key_created mail.api_key_expiring mail.api_key_leaked mail.api_key_reset" {
		t.Errorf("mails wait of the kinds %s, want all that there are of API keys", got)
	}
	dump := storetest.Dump(t, h.Database)
	for i, text := range texts {
		hidden := text[strings.LastIndex(text, "_")+1:]
		for what, canary := range map[string]string{"token": text, "secret": hidden, "secret without its sum": hidden[:32], "half of the secret": hidden[:16]} {
			if strings.Contains(dump, canary) {
				t.Errorf("the %s of token %d stands in the database", what, i)
			}
		}
	}
}
