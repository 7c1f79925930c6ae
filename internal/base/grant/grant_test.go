package grant_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/cose"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/secret"
)

var update = flag.Bool("update", false, "rewrite testdata")

const lock = "lock_01kqs3g4hm000000000000000a"

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// public returns the key's public half: the last 32 bytes (RFC 8032).
func public(k ed25519.PrivateKey) ed25519.PublicKey { return ed25519.PublicKey(k[32:]) }

func nonce() []byte { return bytes.Repeat([]byte{7}, grant.NonceSize) }

func aGrant(n byte) grant.Grant {
	pin, card := grant.Tag{1, n}, grant.Tag{2, n}
	return grant.Grant{
		ID: grant.ID{n}, NotBefore: 1000, NotAfter: 2000, Weekly: true, Windows: []grant.Window{{From: 1000, To: 1100}, {From: 1500, To: 1600}},
		Kinds: grant.ByPIN | grant.ByApp | grant.ByCard, PIN: &pin, Card: &card, Flags: grant.SurvivesLease,
	}
}

func events() []grant.Event {
	id, command := grant.ID{9}, grant.CommandID{8}
	first := grant.Event{Seq: 41, Prev: [32]byte{1}, At: 1_700_000_000_123, Boot: 3, Clock: grant.Trusted, Grant: &id, Command: &command, Medium: grant.App, Outcome: grant.Opened, Epoch: 2, Version: 17, Count: 1}
	second := grant.Event{Seq: 42, Prev: first.Hash(), At: 1_700_000_001_123, Boot: 3, Clock: grant.Untrusted, Medium: grant.PIN, Outcome: grant.Refused, Reason: grant.ReasonUnknownPIN, Epoch: 2, Version: 17, Count: 4, Offline: true}
	return []grant.Event{first, second}
}

// frames is one good frame of each type.
func frames(t testing.TB) map[grant.Type][]byte {
	t.Helper()
	sign := func(kind grant.Type, body any, k ed25519.PrivateKey) []byte {
		out, err := grant.Sign(kind, lock, body, k)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	id, battery := grant.ID{1}, uint8(80)
	put := aGrant(2)
	return map[grant.Type][]byte{
		grant.TypeHello:       grant.Encode(grant.TypeHello, grant.Hello{Epoch: 1, Version: 2, EventFirst: 1, EventLast: 3, Clock: 1_700_000_000_000, Quality: grant.Untrusted, Boot: 1, Nonce: nonce(), Software: "keyhold-lock 1"}),
		grant.TypeState:       grant.Encode(grant.TypeState, grant.State{Lock: "locked", Door: "open", Battery: &battery}),
		grant.TypeApplied:     grant.Encode(grant.TypeApplied, grant.Applied{Epoch: 1, Version: 3}),
		grant.TypeEventAck:    grant.Encode(grant.TypeEventAck, grant.EventAck{Through: 42}),
		grant.TypeResult:      grant.Encode(grant.TypeResult, grant.Result{ID: grant.CommandID{5}, Outcome: grant.Opened}),
		grant.TypeRenew:       grant.Encode(grant.TypeRenew, grant.Renew{CSR: []byte{1}}),
		grant.TypeCertificate: grant.Encode(grant.TypeCertificate, grant.Certificate{Certificate: []byte{1}}),
		grant.TypeSnapshot:    sign(grant.TypeSnapshot, grant.Snapshot{Type: grant.TypeSnapshot, Lock: lock, Epoch: 1, Version: 2, Issued: 1_700_000_000, LeaseUntil: 1_700_086_400, OpenSeconds: 5, Grants: []grant.Grant{aGrant(1), aGrant(2)}}, key(1)),
		grant.TypeDelta:       sign(grant.TypeDelta, grant.Delta{Type: grant.TypeDelta, Lock: lock, Epoch: 1, From: 2, To: 4, Issued: 1_700_000_000, LeaseUntil: 1_700_086_400, OpenSeconds: 5, Ops: []grant.Op{{Remove: &id}, {Put: &put}}}, key(1)),
		grant.TypeBeacon:      sign(grant.TypeBeacon, grant.Beacon{Type: grant.TypeBeacon, Lock: lock, Now: 1_700_000_000_000, Epoch: 1, Version: 2, LeaseUntil: 1_700_086_400, Nonce: nonce()}, key(1)),
		grant.TypeCommand:     sign(grant.TypeCommand, grant.Command{Type: grant.TypeCommand, Lock: lock, ID: grant.CommandID{5}, Op: grant.OpOpen, Grant: &id, NotAfter: 1_700_000_010_000}, key(1)),
		grant.TypeEvents:      sign(grant.TypeEvents, grant.Events{Type: grant.TypeEvents, Lock: lock, Events: events()}, key(3)),
	}
}

// body returns an empty body of a type, and the key that signs it; nil if nobody does.
func body(kind grant.Type) (any, ed25519.PrivateKey) {
	switch kind {
	case grant.TypeHello:
		return &grant.Hello{}, nil
	case grant.TypeState:
		return &grant.State{}, nil
	case grant.TypeApplied:
		return &grant.Applied{}, nil
	case grant.TypeEventAck:
		return &grant.EventAck{}, nil
	case grant.TypeResult:
		return &grant.Result{}, nil
	case grant.TypeRenew:
		return &grant.Renew{}, nil
	case grant.TypeCertificate:
		return &grant.Certificate{}, nil
	case grant.TypeSnapshot:
		return &grant.Snapshot{}, key(1)
	case grant.TypeDelta:
		return &grant.Delta{}, key(1)
	case grant.TypeBeacon:
		return &grant.Beacon{}, key(1)
	case grant.TypeCommand:
		return &grant.Command{}, key(1)
	case grant.TypeEvents:
		return &grant.Events{}, key(3)
	}
	return nil, nil
}

// TestFrames holds the bytes on the wire still: other programs are written against them.
func TestFrames(t *testing.T) {
	for kind, raw := range frames(t) {
		path := filepath.Join("testdata", string(kind)+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(raw)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(raw) + "\n"; got != string(want) {
			t.Errorf("%s is %s, want %s", kind, got, want)
		}
		f, err := grant.Decode(raw, grant.MaxDown)
		if err != nil || f.Type != kind {
			t.Fatalf("Decode(%s) = %v, %v", kind, f.Type, err)
		}
		v, signer := body(kind)
		if signer == nil {
			if err := grant.Read(f.Body, v); err != nil {
				t.Errorf("Read(%s): %v", kind, err)
			}
			continue
		}
		if err := grant.ReadSigned(f.Body, kind, lock, v, public(signer)); err != nil {
			t.Errorf("ReadSigned(%s): %v", kind, err)
		}
		other, _ := body(kind)
		if err := grant.ReadSigned(f.Body, kind, "lock_other", other, public(signer)); !errors.Is(err, cose.ErrNotSigned) {
			t.Errorf("ReadSigned(%s) for another lock: %v, want ErrNotSigned", kind, err)
		}
		if err := grant.ReadSigned(f.Body, kind, lock, other, public(key(9))); !errors.Is(err, cose.ErrNotSigned) {
			t.Errorf("ReadSigned(%s) by another key: %v, want ErrNotSigned", kind, err)
		}
	}
}

func TestReadSigned_anotherTypeIsRefused(t *testing.T) {
	// The same fields under another name: a beacon that says it is a command.
	raw, err := grant.Sign(grant.TypeBeacon, lock, grant.Beacon{Type: grant.TypeCommand, Lock: lock, Now: 1, Nonce: nonce()}, key(1))
	if err != nil {
		t.Fatal(err)
	}
	f, err := grant.Decode(raw, grant.MaxDown)
	if err != nil {
		t.Fatal(err)
	}
	if err := grant.ReadSigned(f.Body, grant.TypeBeacon, lock, &grant.Beacon{}, public(key(1))); !errors.Is(err, grant.ErrMalformed) {
		t.Errorf("a beacon that says command: %v, want ErrMalformed", err)
	}
	// What names another lock inside, signed for this one.
	raw, err = grant.Sign(grant.TypeBeacon, lock, grant.Beacon{Type: grant.TypeBeacon, Lock: "lock_other", Now: 1, Nonce: nonce()}, key(1))
	if err != nil {
		t.Fatal(err)
	}
	if f, err = grant.Decode(raw, grant.MaxDown); err != nil {
		t.Fatal(err)
	}
	if err := grant.ReadSigned(f.Body, grant.TypeBeacon, lock, &grant.Beacon{}, public(key(1))); !errors.Is(err, grant.ErrMalformed) {
		t.Errorf("a beacon about another lock: %v, want ErrMalformed", err)
	}
}

func TestDecode_refuses(t *testing.T) {
	good := frames(t)[grant.TypeApplied]
	for name, raw := range map[string][]byte{
		"nothing":           nil,
		"more behind":       append(bytes.Clone(good), 0),
		"cut":               good[:len(good)-1],
		"an indefinite one": {0x9f, 0x61, 'a', 0x41, 0, 0xff},
		"a number":          {1},
	} {
		if _, err := grant.Decode(raw, grant.MaxDown); !errors.Is(err, grant.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
	if _, err := grant.Decode(good, len(good)-1); !errors.Is(err, grant.ErrMalformed) {
		t.Errorf("a frame over the limit: %v, want ErrMalformed", err)
	}
}

func TestRead_refuses(t *testing.T) {
	twice := []byte{0xa3, 0x65, 'e', 'p', 'o', 'c', 'h', 1, 0x65, 'e', 'p', 'o', 'c', 'h', 2, 0x67, 'v', 'e', 'r', 's', 'i', 'o', 'n', 3}
	if err := grant.Read(twice, &grant.Applied{}); !errors.Is(err, grant.ErrMalformed) {
		t.Errorf("a key twice: %v, want ErrMalformed", err)
	}
	more := []byte{0xa1, 0x61, 'x', 1}
	if err := grant.Read(more, &grant.Applied{}); !errors.Is(err, grant.ErrMalformed) {
		t.Errorf("an unknown field: %v, want ErrMalformed", err)
	}
	broken := events()
	broken[1].Prev = [32]byte{}
	gap := events()
	gap[1].Seq++
	bad := aGrant(1)
	bad.NotAfter = bad.NotBefore
	early := aGrant(1)
	early.Windows = []grant.Window{{From: 1500, To: 1600}, {From: 1000, To: 1100}}
	noPIN := aGrant(1)
	noPIN.PIN = nil
	for name, c := range map[string]struct {
		kind grant.Type
		body any
		into any
	}{
		"a broken chain":         {grant.TypeEvents, grant.Events{Type: grant.TypeEvents, Lock: lock, Events: broken}, &grant.Events{}},
		"a gap":                  {grant.TypeEvents, grant.Events{Type: grant.TypeEvents, Lock: lock, Events: gap}, &grant.Events{}},
		"no events":              {grant.TypeEvents, grant.Events{Type: grant.TypeEvents, Lock: lock}, &grant.Events{}},
		"a grant without time":   {grant.TypeSnapshot, grant.Snapshot{Type: grant.TypeSnapshot, Lock: lock, OpenSeconds: 1, Grants: []grant.Grant{bad}}, &grant.Snapshot{}},
		"windows out of order":   {grant.TypeSnapshot, grant.Snapshot{Type: grant.TypeSnapshot, Lock: lock, OpenSeconds: 1, Grants: []grant.Grant{early}}, &grant.Snapshot{}},
		"a PIN without a tag":    {grant.TypeSnapshot, grant.Snapshot{Type: grant.TypeSnapshot, Lock: lock, OpenSeconds: 1, Grants: []grant.Grant{noPIN}}, &grant.Snapshot{}},
		"one grant twice":        {grant.TypeSnapshot, grant.Snapshot{Type: grant.TypeSnapshot, Lock: lock, OpenSeconds: 1, Grants: []grant.Grant{aGrant(1), aGrant(1)}}, &grant.Snapshot{}},
		"no time to open":        {grant.TypeSnapshot, grant.Snapshot{Type: grant.TypeSnapshot, Lock: lock}, &grant.Snapshot{}},
		"a delta to itself":      {grant.TypeDelta, grant.Delta{Type: grant.TypeDelta, Lock: lock, From: 3, To: 3, OpenSeconds: 1}, &grant.Delta{}},
		"an op of nothing":       {grant.TypeDelta, grant.Delta{Type: grant.TypeDelta, Lock: lock, From: 3, To: 4, OpenSeconds: 1, Ops: []grant.Op{{}}}, &grant.Delta{}},
		"an unknown operation":   {grant.TypeCommand, grant.Command{Type: grant.TypeCommand, Lock: lock, Op: "explode"}, &grant.Command{}},
		"a beacon without nonce": {grant.TypeBeacon, grant.Beacon{Type: grant.TypeBeacon, Lock: lock, Now: 1}, &grant.Beacon{}},
	} {
		raw, err := grant.Sign(c.kind, lock, c.body, key(1))
		if err != nil {
			t.Fatal(err)
		}
		f, err := grant.Decode(raw, grant.MaxDown)
		if err != nil {
			t.Fatal(err)
		}
		if err := grant.ReadSigned(f.Body, c.kind, lock, c.into, public(key(1))); !errors.Is(err, grant.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

func TestGrant_At(t *testing.T) {
	g := aGrant(1)
	for now, want := range map[int64]string{
		999: grant.ReasonNotYet, 1000: "", 1099: "", 1100: grant.ReasonOutsideHours, 1499: grant.ReasonOutsideHours, 1500: "",
		1599: "", 1600: grant.ReasonOutsideHours, 1999: grant.ReasonOutsideHours, 2000: grant.ReasonExpired,
	} {
		if got := g.At(now); got != want {
			t.Errorf("At(%d) = %q, want %q", now, got, want)
		}
	}
	g.Weekly, g.Windows = false, nil
	for now, want := range map[int64]string{999: grant.ReasonNotYet, 1000: "", 1999: "", 2000: grant.ReasonExpired} {
		if got := g.At(now); got != want {
			t.Errorf("At(%d) without hours = %q, want %q", now, got, want)
		}
	}
	g.Weekly = true
	if got := g.At(1500); got != grant.ReasonOutsideHours {
		t.Errorf("At() with hours that never open = %q, want %q", got, grant.ReasonOutsideHours)
	}
}

func TestTags(t *testing.T) {
	// HMAC-SHA256 with a key of 32 bytes 05 over 04 31 32 33 34, by another implementation.
	lockSecret := secret.New(bytes.Repeat([]byte{5}, grant.SecretSize))
	got := grant.PINTag(lockSecret, secret.FromString("1234"))
	if hex.EncodeToString(got[:]) != "1ccba4f697522df70edc0977924007a7" {
		t.Errorf("PINTag() = %x", got)
	}
	seen := map[grant.Tag]string{}
	for _, pin := range []string{"1234", "01234", "12340", "123456"} {
		tag := grant.PINTag(lockSecret, secret.FromString(pin))
		if other := seen[tag]; other != "" {
			t.Errorf("%s and %s have one tag", pin, other)
		}
		seen[tag] = pin
	}
	for text, want := range map[string]bool{"1234": true, "123456": true, "123": false, "1234567": false, "12a4": false, "": false, "１２３４": false} {
		if got := grant.IsPIN(text); got != want {
			t.Errorf("IsPIN(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestEnrolment(t *testing.T) {
	e := grant.Enrolment{
		Lock: lock, Name: "Front door", Root: public(key(1)), CA: []byte{1}, Certificate: []byte{2}, SigningKeys: [][]byte{public(key(2)), public(key(3))},
		Secret: bytes.Repeat([]byte{5}, grant.SecretSize), Epoch: 4, Link: "wss://localhost:8443/locks/v1/link", ServerName: "ws.locks.keyhold.internal", LeaseSeconds: 86400,
	}
	answer, err := grant.SignEnrolment(e, key(1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := grant.ReadEnrolment(answer, lock, grant.RootDigest(public(key(1))))
	if err != nil {
		t.Fatal(err)
	}
	e.Type = "enrolment"
	if diff := cmp.Diff(e, got); diff != "" {
		t.Errorf("ReadEnrolment() differs (-want +got):\n%s", diff)
	}
	// Somebody in between who signs with a key of their own, and says so or not.
	forged := e
	forged.Root = public(key(9))
	own, err := grant.SignEnrolment(forged, key(9))
	if err != nil {
		t.Fatal(err)
	}
	posing, err := grant.SignEnrolment(e, key(9))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		answer []byte
		lock   string
	}{
		"a root of their own":  {own, lock},
		"the root's name only": {posing, lock},
		"another lock":         {answer, "lock_other"},
		"nothing":              {nil, lock},
	} {
		if _, err := grant.ReadEnrolment(c.answer, c.lock, grant.RootDigest(public(key(1)))); !errors.Is(err, cose.ErrNotSigned) {
			t.Errorf("%s: %v, want ErrNotSigned", name, err)
		}
	}
	short := e
	short.Secret = []byte{1}
	if answer, err = grant.SignEnrolment(short, key(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := grant.ReadEnrolment(answer, lock, grant.RootDigest(public(key(1)))); !errors.Is(err, grant.ErrMalformed) {
		t.Errorf("a secret of one byte: %v, want ErrMalformed", err)
	}
}

func FuzzFrames(f *testing.F) {
	for _, raw := range frames(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := grant.Decode(raw, grant.MaxUp)
		if err != nil {
			return
		}
		v, signer := body(frame.Type)
		switch {
		case v == nil:
		case signer == nil:
			_ = grant.Read(frame.Body, v)
		default:
			if grant.ReadSigned(frame.Body, frame.Type, lock, v, public(signer)) == nil {
				// What is accepted is written again as it came.
				again, err := grant.Sign(frame.Type, lock, v, signer)
				if err != nil || !bytes.Equal(again, raw) {
					t.Errorf("%x was accepted and is written as %x, %v", raw, again, err)
				}
			}
			// Also what is inside, as if it had been signed.
			if payload, err := cose.Claimed(frame.Body); err == nil {
				_ = grant.Read(payload, v)
			}
		}
		_, _ = grant.ReadEnrolment(raw, lock, [32]byte{})
	})
}
