package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"image/png"
	"io"
	"mime"
	netmail "net/mail"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/jhillyerd/enmime/v2"

	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func public(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func noon() time.Time { return time.Date(2026, 12, 4, 11, 0, 0, 0, time.UTC) }

func newMailer(t *testing.T, smtpURL string) *Mailer {
	t.Helper()
	s, err := New(Config{URL: smtpURL, PublicURL: public(t, "https://keys.example.com"), Clock: clock.NewManual(noon()), CodeKey: secret.FromString("key of codes"), Sealing: sealing})
	if err != nil {
		t.Fatalf("New(%q) error = %v", smtpURL, err)
	}
	return s
}

// message returns an outbox message as outbox.Put writes it.
func message(t *testing.T, p outbox.Payload) outbox.Message {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Message{ID: "job_01jt0000000000000000000000", Workspace: "ws_1", Kind: p.MessageKind(), Payload: raw}
}

func ada() outbox.Recipient {
	return outbox.Recipient{Email: "ada@example.com", Name: "Ada Lovelace", Timezone: "Europe/Berlin"}
}

func leaked(kind, did string, at int64) outbox.APIKeyLeaked {
	return outbox.APIKeyLeaked{
		To: ada(), Workspace: "Example & Sons", APIKey: "Payroll", KeyID: "key_01jt0000000000000000000000", TokenID: "4fR9sKq2LmX0", Type: kind, Did: did,
		IP: "192.0.2.77", At: at,
	}
}

func activate(kind, name string, at int64) outbox.SecurityKeyActivation {
	return outbox.SecurityKeyActivation{
		To: ada(), Workspace: "Example & Sons", Kind: kind, Key: name, Link: "acn_01jt0000000000000000000000", ExpiresAt: at + (72 * time.Hour).Milliseconds(),
		By: "Grace Hopper", At: at,
	}
}

func notice(did, kind string, at int64) outbox.SecurityKeyNotice {
	n := outbox.SecurityKeyNotice{
		To: ada(), Workspace: "Example & Sons", Did: did, KeyID: "sk_01jt0000000000000000000000", Kind: kind, Key: "Badge <7>", Holder: "Ada Lovelace",
		By: "Grace Hopper", IP: "192.0.2.77", Agent: "Firefox/140", At: at,
	}
	if did == outbox.KeyUnused {
		n.By, n.IP, n.Agent, n.Until = "", "", "", at+(14*24*time.Hour).Milliseconds()
	}
	return n
}

// notices are all that a notice may tell of.
func notices() []string {
	return []string{
		outbox.KeyActivated, outbox.KeySuspended, outbox.KeyResumed, outbox.KeyDeleted, outbox.KeyPINSet, outbox.KeyPINChange, outbox.KeyPINLocked, outbox.KeyUnused,
		outbox.KeyLost, outbox.KeyWaits, outbox.KeyPinless,
	}
}

// sealingKey is the one of all workspaces here.
var sealingKey = sync.OnceValue(func() seal.Key {
	k, _, err := seal.NewKey(context.Background(), openKeeper{}, "ws_1")
	if err != nil {
		panic(err)
	}
	return k
})

func sealing(context.Context, string) (seal.Key, error) { return sealingKey(), nil }

// openKeeper keeps nothing secret.
type openKeeper struct{}

func (openKeeper) Wrap(_ context.Context, plain secret.Bytes, _ []byte) ([]byte, error) {
	return plain.Expose(), nil
}

func (openKeeper) Unwrap(_ context.Context, wrapped, _ []byte) (secret.Bytes, error) {
	return secret.New(wrapped), nil
}

func sealedPIN(pin string, reset, change bool, at int64) outbox.SecurityKeyPIN {
	p := outbox.SecurityKeyPIN{
		To: ada(), Workspace: "Example & Sons", WorkspaceID: "ws_1", KeyID: "sk_01jt0000000000000000000000", Key: "Badge <7>", Seal: "random", MustChange: change,
		Reset: reset, By: "Grace Hopper", At: at,
	}
	var err error
	if p.Sealed, err = sealingKey().Seal(secret.FromString(pin), p.Identity()); err != nil {
		panic(err)
	}
	return p
}

func samples() map[string]outbox.Payload {
	all, at := letters(), noon().UnixMilli()
	for i, did := range notices() {
		all["security_key_notice_"+did] = notice(did, []string{"contactless_card", "smartphone", "fido2"}[i%3], at)
	}
	return all
}

func letters() map[string]outbox.Payload {
	at := time.Date(2026, 7, 4, 22, 30, 0, 0, time.UTC).UnixMilli()
	return map[string]outbox.Payload{
		"passkey_registered": outbox.PasskeyRegistered{
			To: ada(), Workspace: "Example & Sons", Passkey: "Ada’s phone", At: at, IP: "2001:db8::7",
			Agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		},
		"api_key_created": outbox.APIKeyCreated{
			To: outbox.Recipient{Email: "zoe@example.com", Name: "Zoë Müller-Lüdenscheidt"}, Workspace: "Bäckerei Süß", APIKey: "Nightly <import>",
			TokenID: "4fR9sKq2LmX0", Type: "admin", By: "Ada Lovelace", At: at,
		},
		"api_key_reset": outbox.APIKeyReset{
			To: ada(), Workspace: "Example & Sons", APIKey: "Payroll", KeyID: "key_01jt0000000000000000000000", TokenID: "4fR9sKq2LmX0", OldTokenID: "Zz8aB1cD2eF3",
			By: "Grace Hopper", IP: "2001:db8::7", At: at,
		},
		"api_key_reset_overlap": outbox.APIKeyReset{
			To: ada(), Workspace: "Example & Sons", APIKey: "Payroll", KeyID: "key_01jt0000000000000000000000", TokenID: "4fR9sKq2LmX0", OldTokenID: "Zz8aB1cD2eF3",
			OverlapEndsAt: at + (2 * time.Hour).Milliseconds(), By: "command line", At: at,
		},
		"api_key_expiring": outbox.APIKeyExpiring{
			To: ada(), Workspace: "Example & Sons", APIKey: "Payroll", KeyID: "key_01jt0000000000000000000000", TokenID: "4fR9sKq2LmX0", Type: "admin",
			EndsAt: at + (7 * 24 * time.Hour).Milliseconds(), At: at + 4000,
		},
		"api_key_expiring_clients": outbox.APIKeyExpiring{
			To: outbox.Recipient{Email: "zoe@example.com", Name: "Zoë Müller-Lüdenscheidt"}, Workspace: "Bäckerei Süß", APIKey: "Tills <3>", KeyID: "key_01jt0000000000000000000000",
			TokenID: "4fR9sKq2LmX0", Type: "clients", EndsAt: at + (24 * time.Hour).Milliseconds(), At: at,
		},
		"api_key_leaked_disabled":     leaked("admin", outbox.LeakedDisabled, at),
		"api_key_leaked_no_enrolment": leaked("clients", outbox.LeakedNoEnrolment, at),
		"api_key_leaked_retiring":     leaked("admin", outbox.LeakedRetiring, at),
		"activity_checkpoint": outbox.ActivityCheckpoint{
			To: outbox.Recipient{Email: "auditor@example.com", Timezone: "Europe/Berlin"}, Workspace: "Example & Sons", Index: 4711, At: at,
			Checkpoint: `{"version":"keyhold/checkpoint/v1","workspace":"ws_01jd3v9b8eexav2f6hqdr3wzkt","index":4711,"hash":"` + strings.Repeat("ab", 32) +
				`","at":"2026-07-04T22:30:00.000Z","public_key":"` + strings.Repeat("A", 43) + `=","signature":"` + strings.Repeat("B", 86) + `=="}`,
		},
		"email_changed": outbox.EmailChanged{
			To: outbox.Recipient{Email: "ada@old.example", Timezone: "America/New_York"}, Workspace: "Example & Sons",
			Old: "ada@old.example", New: "ada@new.example", By: "Grace Hopper", At: at,
		},
		"passkey_waits": outbox.PasskeyWaits{
			To: ada(), Workspace: "Example & Sons", Administrator: "adm_01jt0000000000000000000000", Holder: "Grace Hopper", HolderEmail: "grace@example.com",
			Passkey: "Passkey of 5 July 2026", At: at, IP: "192.0.2.3", Agent: "Firefox/140",
		},
		"administrator_added": outbox.AdministratorAdded{To: ada(), Workspace: "Example & Sons", By: "Grace Hopper", At: at},
		"invitation": outbox.Invitation{
			To: outbox.Recipient{Email: "zoe@example.com", Name: "Zoë Müller-Lüdenscheidt", Timezone: "Europe/Berlin"}, Workspace: "Bäckerei Süß", By: "Ada Lovelace", At: at,
		},
		"security_key_activation_card":  activate("contactless_card", "Badge <7>", at),
		"security_key_activation_phone": activate("smartphone", "Ada’s phone", at),
		"security_key_activation_fido2": activate("fido2", "YubiKey 5C NFC", at),
		"security_key_pin":              sealedPIN("839 105 & \"27", false, false, at),
		"security_key_pin_reset":        sealedPIN("4815162342", true, true, at),
		"access_pass_issued": outbox.AccessPassIssued{
			To: ada(), Workspace: "Example & Sons", StartsAt: at, ExpiresAt: at + time.Hour.Milliseconds(), By: "Grace Hopper", At: at,
		},
		"access_pass_issued_one_time": outbox.AccessPassIssued{
			To: ada(), Workspace: "Example & Sons", OneTime: true, StartsAt: at + time.Hour.Milliseconds(), ExpiresAt: at + 2*time.Hour.Milliseconds(), By: "Grace Hopper", At: at,
		},
		"sign_in_code": outbox.SignInCode{
			To: ada(), Code: "code_01jt0000000000000000000000", ExpiresAt: at, IP: "192.0.2.3", Agent: "Firefox/140",
		},
	}
}

// composed returns the whole mail, and as parsed by somebody else's code.
func composed(t *testing.T, s *Mailer, p outbox.Payload) ([]byte, *enmime.Envelope) {
	t.Helper()
	m := message(t, p)
	to, l, err := s.read(t.Context(), m)
	if err != nil {
		t.Fatalf("read() error = %v", err)
	}
	msg, err := s.compose(t.Context(), m.ID, to, l)
	if err != nil {
		t.Fatalf("compose() error = %v", err)
	}
	var raw bytes.Buffer
	if _, err := msg.WriteTo(&raw); err != nil {
		t.Fatal(err)
	}
	return raw.Bytes(), parsed(t, raw.Bytes())
}

func parsed(t *testing.T, raw []byte) *enmime.Envelope {
	t.Helper()
	e, err := enmime.ReadEnvelope(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range e.Errors {
		t.Errorf("the mail as parsed: %v", problem)
	}
	return e
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got = strings.ReplaceAll(got, "\r\n", "\n")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestCompose_golden(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	for name, p := range samples() {
		raw, e := composed(t, s, p)
		golden(t, name+".eml", string(raw))
		golden(t, name+".txt", e.Text)
		golden(t, name+".html", e.HTML)
		again, _ := composed(t, s, p)
		if !bytes.Equal(raw, again) {
			t.Errorf("%s composed twice: want the same bytes, got different ones", name)
		}
		for i, l := range bytes.Split(raw, []byte("\r\n")) {
			if len(l) > 998 || bytes.ContainsAny(l, "\r\n") || !isASCII(l) {
				t.Errorf("%s, line %d: want at most 998 bytes of ASCII ended by CRLF, got %q", name, i+1, l)
			}
		}
	}
}

func isASCII(b []byte) bool { return utf8.RuneCount(b) == len(b) }

func TestCompose_headers(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold%2Bmail@example.com")
	_, e := composed(t, s, samples()["api_key_created"])
	for name, want := range map[string]string{
		"From":           `"Keyhold" <keyhold+mail@example.com>`,
		"Subject":        "An API key was created in Bäckerei Süß",
		"Message-Id":     "<job_01jt0000000000000000000000@keys.example.com>",
		"Date":           "Fri, 04 Dec 2026 11:00:00 +0000",
		"Auto-Submitted": "auto-generated",
		"Mime-Version":   "1.0",
		"User-Agent":     "",
		"X-Mailer":       "",
	} {
		if got := e.GetHeader(name); got != want {
			t.Errorf("header %s: want %q, got %q", name, want, got)
		}
	}
	to, err := e.AddressList("To")
	if want := []*netmail.Address{{Name: "Zoë Müller-Lüdenscheidt", Address: "zoe@example.com"}}; err != nil || !cmp.Equal(want, to) {
		t.Errorf("To: want %v, got %v, error %v", want, to, err)
	}
	if kind, _, _ := mime.ParseMediaType(e.Root.Header.Get("Content-Type")); kind != "multipart/alternative" {
		t.Errorf("Content-Type: want multipart/alternative, got %s", kind)
	}
}

func TestCompose_namesCannotInjectHeaders(t *testing.T) {
	const evil = "Eve\r\nBcc: victim@example.com\r\n\r\nbody\u202etxt.exe\x00"
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	to := outbox.Recipient{Email: "ada@example.com", Name: evil, Timezone: evil, Language: evil}
	for _, p := range []outbox.Payload{
		outbox.PasskeyRegistered{To: to, Workspace: evil, Passkey: evil, IP: evil, Agent: evil},
		outbox.APIKeyCreated{To: to, Workspace: evil, APIKey: evil, TokenID: evil, Type: evil, By: evil},
		outbox.APIKeyReset{To: to, Workspace: evil, APIKey: evil, KeyID: evil, TokenID: evil, OldTokenID: evil, By: evil, IP: evil},
		outbox.APIKeyExpiring{To: to, Workspace: evil, APIKey: evil, KeyID: evil, TokenID: evil, Type: evil},
		outbox.APIKeyLeaked{To: to, Workspace: evil, APIKey: evil, KeyID: evil, TokenID: evil, Type: evil, Did: evil, IP: evil},
		outbox.EmailChanged{To: to, Workspace: evil, Old: evil, New: evil, By: evil},
		outbox.Invitation{To: to, Workspace: evil, By: evil},
		outbox.SignInCode{To: to, Code: evil, IP: evil, Agent: evil},
		outbox.ActivityCheckpoint{To: to, Workspace: evil, Checkpoint: evil},
		outbox.PasskeyWaits{To: to, Workspace: evil, Administrator: evil, Holder: evil, HolderEmail: evil, Passkey: evil, IP: evil, Agent: evil},
		outbox.AdministratorAdded{To: to, Workspace: evil, By: evil},
		outbox.SecurityKeyActivation{To: to, Workspace: evil, Kind: evil, Key: evil, Link: evil, By: evil},
		outbox.SecurityKeyNotice{To: to, Workspace: evil, Did: outbox.KeyLost, KeyID: evil, Kind: evil, Key: evil, Holder: evil, By: evil, IP: evil, Agent: evil},
		outbox.AccessPassIssued{To: to, Workspace: evil, By: evil},
	} {
		raw, e := composed(t, s, p)
		head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
		for l := range strings.SplitSeq(string(head), "\r\n") {
			if name, _, _ := strings.Cut(l, ":"); strings.EqualFold(name, "bcc") {
				t.Errorf("%T: want no Bcc header, got %q", p, l)
			}
		}
		var names []string
		for _, name := range e.GetHeaderKeys() {
			if !strings.HasPrefix(name, "Content-") {
				names = append(names, name)
			}
		}
		if len(names) != 7 {
			t.Errorf("%T: want 7 headers, got %v", p, names)
		}
		for what, text := range map[string]string{"subject": e.GetHeader("Subject"), "text": e.Text, "HTML": e.HTML} {
			if strings.ContainsAny(text, "\x00\u202e") {
				t.Errorf("%T: want no controls in the %s, got %q", p, what, text)
			}
		}
		_, l, err := s.read(t.Context(), message(t, p))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{l.Subject, l.Greeting, l.Lead, l.Advice, l.Footer, l.Facts[0].Value, l.Block} {
			if strings.ContainsAny(text, "\r\n") {
				t.Errorf("%T: want single lines, got %q", p, text)
			}
		}
	}
}

func TestCompose_escapesHTML(t *testing.T) {
	const evil = `<script>alert(1)</script><img src="https://evil.example/x.png">`
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	for _, p := range []outbox.Payload{
		outbox.APIKeyCreated{To: ada(), Workspace: evil, APIKey: evil, By: evil},
		outbox.APIKeyReset{To: ada(), Workspace: evil, APIKey: evil, KeyID: evil, TokenID: evil, OldTokenID: evil, By: evil, IP: evil},
		outbox.APIKeyExpiring{To: ada(), Workspace: evil, APIKey: evil, KeyID: evil, TokenID: evil, Type: evil},
		outbox.APIKeyLeaked{To: ada(), Workspace: evil, APIKey: evil, KeyID: evil, TokenID: evil, Type: evil, Did: evil, IP: evil},
	} {
		_, e := composed(t, s, p)
		if strings.Contains(e.HTML, "<script") || strings.Contains(e.HTML, "<img") {
			t.Errorf("%T, HTML: want names escaped, got %s", p, e.HTML)
		}
		for attribute := range strings.SplitSeq(e.HTML, `"`) {
			if strings.HasPrefix(attribute, "http") && attribute != "https://keys.example.com" && !strings.HasPrefix(attribute, "https://keys.example.com/") {
				t.Errorf("%T, HTML: want no address but the public one, got %s", p, attribute)
			}
		}
	}
}

// The link is the one that the room knows, in all forms and in the picture's place.
func TestCompose_activationLink(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	raw, e := composed(t, s, samples()["security_key_activation_phone"])
	link := token.Link(secret.FromString("key of codes"), "acn_01jt0000000000000000000000").ExposeString()
	want := "https://keys.example.com/app/activate?link=" + link
	if !slices.Contains(strings.Fields(e.Text), want) || !strings.Contains(e.HTML, `href="`+want+`"`) {
		t.Errorf("want the link %s in both forms, got %s", want, e.Text)
	}
	if kind, _, _ := mime.ParseMediaType(e.Root.Header.Get("Content-Type")); kind != "multipart/related" {
		t.Errorf("Content-Type: want multipart/related, got %s", kind)
	}
	if len(e.Inlines) != 1 || e.Inlines[0].ContentType != "image/png" || !strings.Contains(e.HTML, `src="cid:`+e.Inlines[0].ContentID+`"`) {
		t.Fatalf("want one picture that the HTML shows, got %+v in %s", e.Inlines, raw)
	}
	picture, err := png.Decode(bytes.NewReader(e.Inlines[0].Content))
	if err != nil || picture.Bounds().Dx() < 200 || picture.Bounds().Dx() != picture.Bounds().Dy() {
		t.Errorf("the picture: want a square one, got %v (%v)", picture, err)
	}
}

// A PIN stands in the body and nowhere else, and opens only in its own message.
func TestDeliver_pins(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	p := sealedPIN("  7 <b>&9", false, false, 1)
	_, e := composed(t, s, p)
	if !strings.Contains(strings.ReplaceAll(e.Text, "\r\n", "\n"), "\n      7 <b>&9\n") || !strings.Contains(e.HTML, ">  7 &lt;b&gt;&amp;9</p>") || strings.Contains(e.GetHeader("Subject"), "7") {
		t.Errorf("want the PIN as it stands in both forms, got %s\n%s", e.Text, e.HTML)
	}
	for what, change := range map[string]func(p *outbox.SecurityKeyPIN){
		"another key's":       func(p *outbox.SecurityKeyPIN) { p.KeyID = "sk_2" },
		"another message's":   func(p *outbox.SecurityKeyPIN) { p.Seal = "other" },
		"another workspace's": func(p *outbox.SecurityKeyPIN) { p.WorkspaceID = "ws_2" },
		"nothing":             func(p *outbox.SecurityKeyPIN) { p.Sealed = nil },
	} {
		q := p
		change(&q)
		err := s.Deliver(t.Context(), message(t, q))
		wantPermanent(t, "Deliver() of "+what, err, true)
		if err != nil && strings.Contains(err.Error(), "7 <b>") {
			t.Errorf("%s: the PIN is in the error", what)
		}
	}
	m := message(t, p)
	m.Payload = json.RawMessage(`{"to":7}`)
	wantPermanent(t, "Deliver() of a payload that is none", s.Deliver(t.Context(), m), true)
	s.keyOf = func(context.Context, string) (seal.Key, error) { return seal.Key{}, errors.New("no answer") }
	wantPermanent(t, "Deliver() while the keeper is away", s.Deliver(t.Context(), message(t, p)), false)
}

// The subject says how long is left, as the warning's moment has it.
func TestAPIKeyExpiring_days(t *testing.T) {
	const day = 24 * time.Hour
	for left, days := range map[time.Duration]string{
		30 * day: "30 days", 30*day - 5*time.Second: "30 days", 7 * day: "7 days", 7*day - time.Minute: "7 days", 12*day + time.Hour: "13 days",
		day + time.Millisecond: "2 days", day: "1 day", day - time.Second: "1 day", time.Millisecond: "1 day", 0: "1 day", -day: "1 day",
	} {
		at := noon().UnixMilli()
		l := apiKeyExpiring(outbox.APIKeyExpiring{APIKey: "Payroll", At: at, EndsAt: at + left.Milliseconds()})
		if want := "API key “Payroll” expires in " + days; l.Subject != want {
			t.Errorf("%v before the end: want the subject %q, got %q", left, want, l.Subject)
		}
	}
	long := apiKeyExpiring(outbox.APIKeyExpiring{APIKey: strings.Repeat("ä", 200)})
	if n := utf8.RuneCountInString(long.Subject); n > 150 {
		t.Errorf("a long name makes a subject of %d characters: want at most 150", n)
	}
}

func TestCompose_linksToTheKey(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	for _, name := range []string{"api_key_reset", "api_key_expiring", "api_key_leaked_disabled"} {
		_, e := composed(t, s, samples()[name])
		const want = "https://keys.example.com/api-keys/key_01jt0000000000000000000000"
		if !strings.Contains(e.Text, want) || !strings.Contains(e.HTML, `href="`+want+`"`) {
			t.Errorf("%s: want the link %s in both forms, got %s", name, want, e.Text)
		}
	}
	_, e := composed(t, s, outbox.APIKeyReset{To: ada(), APIKey: "Written by an earlier server"})
	if !slices.Contains(strings.Fields(e.Text), "https://keys.example.com/api-keys") {
		t.Errorf("without the key's id: want a link to all keys, got %s", e.Text)
	}
}

func TestCompose_refusesAddressesThatAreNone(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	for _, address := range []string{
		"", "ada", "Ada <ada@example.com>", "ada@example.com, eve@example.com", "ada@example.com\r\nRCPT TO:<eve@example.com>", " ada@example.com", "<ada@example.com>",
	} {
		err := s.Deliver(t.Context(), message(t, outbox.PasskeyRegistered{To: outbox.Recipient{Email: address}}))
		wantPermanent(t, "Deliver() to "+address, err, true)
	}
}

func wantPermanent(t *testing.T, what string, err error, want bool) {
	t.Helper()
	var p interface{ Permanent() bool }
	switch {
	case err == nil:
		t.Errorf("%s: want an error, got none", what)
	case errors.As(err, &p) && p.Permanent() != want, !errors.As(err, &p) && want:
		t.Errorf("%s: want permanent = %v, got %v", what, want, err)
	}
}

func TestDeliver_unknownIsPermanent(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	m := message(t, outbox.PasskeyRegistered{To: ada()})
	m.Kind = "mail.love_letter"
	wantPermanent(t, "Deliver() of an unknown kind", s.Deliver(t.Context(), m), true)
	m = message(t, outbox.PasskeyRegistered{To: ada()})
	m.Payload = json.RawMessage(`{"to":7}`)
	wantPermanent(t, "Deliver() of a payload that is none", s.Deliver(t.Context(), m), true)
}

func TestMoment_inTheRecipientsZone(t *testing.T) {
	at := time.Date(2026, 7, 4, 22, 30, 0, 0, time.UTC).UnixMilli()
	for zone, want := range map[string]string{
		"":                 "Saturday, 4 July 2026, 22:30 UTC",
		"UTC":              "Saturday, 4 July 2026, 22:30 UTC",
		"Local":            "Saturday, 4 July 2026, 22:30 UTC",
		"Mars/Olympus":     "Saturday, 4 July 2026, 22:30 UTC",
		"Europe/Berlin":    "Sunday, 5 July 2026, 00:30 (Europe/Berlin, UTC+02:00)",
		"America/New_York": "Saturday, 4 July 2026, 18:30 (America/New_York, UTC-04:00)",
		"Asia/Kathmandu":   "Sunday, 5 July 2026, 04:15 (Asia/Kathmandu, UTC+05:45)",
		"MST":              "Saturday, 4 July 2026, 15:30 (MST, UTC-07:00)", // a word of Go's layouts
	} {
		if got := moment(at, zone); got != want {
			t.Errorf("moment() in %q: want %q, got %q", zone, want, got)
		}
	}
}

func TestLine_bounds(t *testing.T) {
	if got := line(strings.Repeat("ü", 1000)); utf8.RuneCountInString(got) != maxLine+1 {
		t.Errorf("line() of 1000 runes: want %d and an ellipsis, got %d", maxLine, utf8.RuneCountInString(got))
	}
	if got := line("  a\t\u2028b\xff "); got != "a b\ufffd" {
		t.Errorf("line(): want %q, got %q", "a b\ufffd", got)
	}
}

func TestWrap(t *testing.T) {
	text := "Hello " + strings.Repeat("word ", 40) + strings.Repeat("x", 90) + " end"
	got := wrap(text)
	for l := range strings.SplitSeq(got, "\n") {
		if len(l) > 72 && strings.Contains(l, " ") {
			t.Errorf("wrap(): want lines of at most 72, got %q", l)
		}
	}
	if want := strings.Join(strings.Fields(text), " "); strings.Join(strings.Fields(got), " ") != want {
		t.Errorf("wrap(): want all words kept, got %q", got)
	}
}

func FuzzCompose(f *testing.F) {
	f.Add("ada@example.com", "Ada", "Example", "x")
	f.Add("ada@example.com", "A\r\nBcc: e@example.com", "=?utf-8?q?x?=", "\xff\x00")
	u, err := url.Parse("https://keys.example.com")
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(Config{URL: "smtp://localhost?from=k@example.com", PublicURL: u, Clock: clock.NewManual(noon())})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, address, name, workspace, by string) {
		l := apiKeyCreated(outbox.APIKeyCreated{To: outbox.Recipient{Email: address, Name: name}, Workspace: workspace, By: by, APIKey: by})
		msg, err := s.compose(context.Background(), id.Job("job_1"), outbox.Recipient{Email: address, Name: name}, l)
		if err != nil {
			return
		}
		var raw bytes.Buffer
		if _, err := msg.WriteTo(&raw); err != nil {
			t.Fatal(err)
		}
		got, err := netmail.ReadMessage(&raw)
		if err != nil {
			t.Fatalf("the mail does not parse: %v", err)
		}
		if len(got.Header) != 8 {
			t.Errorf("headers: want 8, got %v", got.Header)
		}
		if to, err := got.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != address {
			t.Errorf("To: want %q, got %v, error %v", address, to, err)
		}
		if _, err := io.Copy(io.Discard, got.Body); err != nil {
			t.Error(err)
		}
	})
}
