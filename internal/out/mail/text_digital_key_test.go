package mail

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// winterKey is a digital key over a change of the clocks, of three doors.
func winterKey(types ...string) outbox.DigitalKey {
	starts := time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)
	return outbox.DigitalKey{
		ID: "dk_01jt0000000000000000000000", Description: "Guest <7>",
		Doors: []outbox.DigitalKeyDoor{
			{Name: "Main gate", Place: "Harbour Street 1", Timezone: "Europe/Berlin"}, {Name: "Sauna & spa", Timezone: "Europe/Berlin"}, {Name: "Cabin", Place: "Hobart", Timezone: "Australia/Hobart"},
		},
		Timezone: "Europe/Berlin", StartsAt: starts.UnixMilli(), ExpiresAt: starts.Add(45 * time.Hour).UnixMilli(), Types: types,
		Hours: []outbox.DigitalKeyHours{{Days: []int{1, 2, 3, 4, 5}, From: 8 * 60, To: 18 * 60}, {Days: []int{0, 6}, From: 22 * 60, To: 90}},
	}
}

func mailedPIN(pin string) *outbox.DigitalKeyPIN {
	p := &outbox.DigitalKeyPIN{WorkspaceID: "ws_1", KeyID: "dk_01jt0000000000000000000000", Seal: "random"}
	var err error
	if p.Sealed, err = sealingKey().Seal(secret.FromString(pin), p.Identity()); err != nil {
		panic(err)
	}
	return p
}

func issuedKey() outbox.DigitalKeyIssued {
	return outbox.DigitalKeyIssued{To: ada(), Workspace: "Example & Sons", Key: winterKey("pin", "app"), PIN: mailedPIN("835296"), By: "Grace Hopper", At: noon().UnixMilli()}
}

func digitalKeySamples() map[string]outbox.Payload {
	at := noon().UnixMilli()
	one := winterKey("keycard")
	one.Doors, one.Hours, one.Description = one.Doors[:1], nil, ""
	issued := issuedKey()
	quiet, card := issued, issued
	quiet.PIN = nil
	card.PIN, card.Key = nil, one
	changed := outbox.DigitalKeyChanged{To: ada(), Workspace: "Example & Sons", Key: winterKey("pin", "keycard"), NewPIN: true, PIN: mailedPIN("4711"), By: "Grace Hopper", At: at}
	kept := changed
	kept.NewPIN, kept.PIN = false, nil
	return map[string]outbox.Payload{
		"digital_key_issued": issued, "digital_key_issued_no_pin": quiet, "digital_key_issued_card": card, "digital_key_changed": changed, "digital_key_changed_pin_kept": kept,
		"digital_key_cancelled": outbox.DigitalKeyCancelled{To: ada(), Workspace: "Example & Sons", Key: winterKey("app"), By: "Grace Hopper", At: at},
	}
}

func TestComposeDigitalKey_golden(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	for name, p := range digitalKeySamples() {
		raw, e := composed(t, s, p)
		golden(t, name+".eml", string(raw))
		golden(t, name+".txt", e.Text)
		golden(t, name+".html", e.HTML)
		if again, _ := composed(t, s, p); !bytes.Equal(raw, again) {
			t.Errorf("%s composed twice: want the same bytes, got different ones", name)
		}
	}
}

// Each time is told in the lock's zone, with its distance from UTC then.
func TestComposeDigitalKey_timesAreTheLocks(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	p := issuedKey()
	p.To.Timezone = "Asia/Tokyo"
	_, e := composed(t, s, p)
	for _, want := range []string{"Saturday, 24 October 2026, 14:00 (Europe/Berlin, UTC+02:00)", "Monday, 26 October 2026, 10:00 (Europe/Berlin, UTC+01:00)", "https://keys.example.com/app"} {
		if !strings.Contains(e.Text, want) || !strings.Contains(e.HTML, want) {
			t.Errorf("want %q in both forms, got %s", want, e.Text)
		}
	}
}

// The PIN stands in the body and nowhere else, and opens only in its own message.
func TestDeliverDigitalKey_pins(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	p := issuedKey()
	if m := message(t, p); bytes.Contains(m.Payload, []byte("835296")) {
		t.Error("the message holds the PIN in the clear")
	}
	_, e := composed(t, s, p)
	if !strings.Contains(e.Text, "835296") || !strings.Contains(e.HTML, ">835296</p>") || strings.Contains(e.GetHeader("Subject"), "835296") {
		t.Errorf("want the PIN in both forms and not in the subject, got %s", e.Text)
	}
	for what, change := range map[string]func(p *outbox.DigitalKeyPIN){
		"another key's":       func(p *outbox.DigitalKeyPIN) { p.KeyID = "dk_2" },
		"another message's":   func(p *outbox.DigitalKeyPIN) { p.Seal = "other" },
		"another workspace's": func(p *outbox.DigitalKeyPIN) { p.WorkspaceID = "ws_2" },
		"nothing":             func(p *outbox.DigitalKeyPIN) { p.Sealed = nil },
	} {
		pin := *p.PIN
		change(&pin)
		q := p
		q.PIN = &pin
		wantPermanent(t, "Deliver() of "+what, s.Deliver(t.Context(), message(t, q)), true)
	}
}

func TestComposeDigitalKey_namesCannotInjectHeaders(t *testing.T) {
	const evil = "Eve\r\nBcc: victim@example.com\r\n\r\n<script>\u202e\x00"
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	k := winterKey("pin", evil)
	k.Description, k.Timezone, k.Doors = evil, evil, []outbox.DigitalKeyDoor{{Name: evil, Place: evil, Timezone: evil + "x"}}
	to := outbox.Recipient{Email: "ada@example.com", Name: evil}
	for _, p := range []outbox.Payload{
		outbox.DigitalKeyIssued{To: to, Workspace: evil, Key: k, By: evil},
		outbox.DigitalKeyChanged{To: to, Workspace: evil, Key: k, By: evil},
		outbox.DigitalKeyCancelled{To: to, Workspace: evil, Key: k, By: evil},
	} {
		raw, e := composed(t, s, p)
		head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
		if strings.Contains(string(head), "\r\nBcc") || strings.Contains(e.HTML, "<script") || strings.ContainsAny(e.Text+e.HTML+e.GetHeader("Subject"), "\x00\u202e") {
			t.Errorf("%T: want names harmless, got %s", p, raw)
		}
	}
}
