package securitykey

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// The bounds of any PIN, whatever a workspace decides (CTAP 2.1 §6.5.1).
const (
	leastPIN = 4  // code points
	mostPIN  = 63 // bytes in UTF-8
)

// After so many wrong tries in a row a PIN rests for so long. PINTries locks it.
const (
	FirstRestAfter  = 3
	FirstRest       = time.Minute
	SecondRestAfter = 6
	SecondRest      = 5 * time.Minute
)

// composed returns a PIN in the form in which it is compared.
func composed(pin secret.Bytes) secret.Bytes { return secret.New(norm.NFC.Bytes(pin.Expose())) }

// verifier returns what is stored of a PIN: the same for one that was typed and for
// one that CTAP sends, which is LEFT(SHA-256(PIN), 16).
func verifier(key secret.Bytes, k id.SecurityKey, pin secret.Bytes) []byte {
	sum := sha256.Sum256(composed(pin).Expose())
	mac := hmac.New(sha256.New, key.Expose())
	mac.Write([]byte(k))
	mac.Write(sum[:16])
	return mac.Sum(nil)
}

// check returns what is wrong with a PIN for a person, rule by rule.
func (r PINRules) check(pin secret.Bytes, o Owner) []fault.Field {
	var fields []fault.Field
	wrong := func(is bool, message string) {
		if is {
			fields = append(fields, fault.Field{Name: "pin", Message: message})
		}
	}
	if !utf8.Valid(pin.Expose()) {
		wrong(true, "is not valid text")
		return fields
	}
	text := composed(pin).ExposeString()
	n := utf8.RuneCountInString(text)
	wrong(n < max(r.Min, leastPIN), "is too short: at least "+strconv.Itoa(max(r.Min, leastPIN))+" characters")
	wrong(n > r.Max, "is too long: at most "+strconv.Itoa(r.Max)+" characters")
	wrong(n <= r.Max && len(text) > mostPIN, "is too long: at most "+strconv.Itoa(mostPIN)+" bytes")
	wrong(strings.ContainsFunc(text, unicode.IsControl), "holds a control character")
	wrong(r.Digit && !strings.ContainsFunc(text, unicode.IsDigit), "needs a digit")
	wrong(r.Lower && !strings.ContainsFunc(text, unicode.IsLower), "needs a lower-case letter")
	wrong(r.Upper && !strings.ContainsFunc(text, unicode.IsUpper), "needs an upper-case letter")
	wrong(r.Special && !strings.ContainsFunc(text, isSpecial), "needs a special character")
	wrong(isTrivial(text, o), "is too easy to guess")
	return fields
}

// isSpecial says whether r is a special character: neither letter nor digit.
func isSpecial(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// The characters of generated PINs: none that is taken for another one.
const (
	genDigits  = "23456789"
	genLower   = "abcdefghijkmnpqrstuvwxyz"
	genUpper   = "ABCDEFGHJKLMNPQRSTUVWXYZ"
	genSpecial = "!#$%&*+-=?@"
)

// generate returns a PIN by the rules for a person: all that the rules allow of its
// length and characters are equally likely.
func (r PINRules) generate(o Owner) secret.Bytes {
	alphabet := ""
	for _, class := range []struct {
		is    bool
		chars string
	}{{r.Digit, genDigits}, {r.Lower, genLower}, {r.Upper, genUpper}, {r.Special, genSpecial}} {
		if class.is {
			alphabet += class.chars
		}
	}
	if alphabet == "" {
		alphabet = genDigits
	}
	length := min(max(r.Min, 6), r.Max)
	for {
		pin := secret.New(randomOf(alphabet, length))
		if len(r.check(pin, o)) == 0 {
			return pin
		}
	}
}

// randomOf returns n characters of an alphabet, each equally likely.
func randomOf(alphabet string, n int) []byte {
	limit := 256 / len(alphabet) * len(alphabet) // what lies above would favour some
	out := make([]byte, 0, n)
	var buf [64]byte
	for len(out) < n {
		_, _ = rand.Read(buf[:]) // crypto/rand.Read never returns an error
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return out
}

// newPIN is a PIN that is to be set, prepared outside the transaction. The zero value
// is none.
type newPIN struct {
	text      secret.Bytes
	generated bool
	verifier  []byte
	seal      string
	sealed    []byte // for the mail
}

// newPIN returns the PIN that was given, checked by the rules, or a generated one.
func (d draft) newPIN(k id.SecurityKey, given secret.Bytes) (newPIN, *fault.Error, error) {
	p := newPIN{text: composed(given), generated: given.IsEmpty()}
	if p.generated {
		p.text = d.settings.PIN.generate(d.owner)
	} else if fields := d.settings.PIN.check(p.text, d.owner); len(fields) > 0 {
		return newPIN{}, invalid(fields...), nil
	}
	p.verifier, p.seal = verifier(d.secrets.PINKey, k, p.text), rand.Text()
	var err error
	p.sealed, err = d.secrets.Sealing.Seal(p.text, outbox.SecurityKeyPIN{WorkspaceID: string(d.workspace), KeyID: string(k), Seal: p.seal}.Identity())
	return p, nil, err
}

// pin returns the PIN as it is stored.
func (p newPIN) pin(mustChange bool, now time.Time) PIN {
	return PIN{Verifier: p.verifier, MustChange: mustChange, SetAt: now}
}

// mailPIN sends the holder the PIN.
func (a *act) mailPIN(ctx context.Context, p newPIN, k SecurityKey, reset bool) error {
	return outbox.Put(ctx, a.t, k.Workspace, outbox.SecurityKeyPIN{
		To: a.owner.To, Workspace: a.owner.Workspace, WorkspaceID: string(k.Workspace), KeyID: string(k.ID), Key: k.Name, Seal: p.seal, Sealed: p.sealed,
		MustChange: k.PIN.MustChange, Reset: reset, By: a.by.Name, At: a.now.UnixMilli(),
	}, a.now)
}

// Try is what became of a try of a PIN.
type Try struct {
	Fault       *fault.Error // nil if the PIN is right
	Left        int          // how many tries are left, with pin_invalid
	PausedUntil time.Time    // zero unless no try is taken before
	Wrong       bool         // the PIN was compared, and is wrong
	locks       bool         // this try locked the PIN
}

// TryPIN spends a try of the card's PIN, then compares: nil if the PIN is right. A no
// is recorded in the caller's name, and the holder is told when it locks the PIN. k is
// a card of the caller's workspace.
func TryPIN(ctx context.Context, t Tx, by auth.Caller, keys Secrets, k SecurityKey, pin secret.Bytes, now time.Time) (*fault.Error, error) {
	try, err := TryPINFor(ctx, t, by, keys, k, pin, "", now)
	return try.Fault, err
}

// TryPINFor is TryPIN for a sign-in at a relying party, which tells more.
func TryPINFor(ctx context.Context, t Tx, by auth.Caller, keys Secrets, k SecurityKey, pin secret.Bytes, rpID string, now time.Time) (Try, error) {
	try, err := tryPIN(ctx, t, keys, k, pin, now)
	if try.Fault == nil || err != nil {
		return try, err
	}
	attempt := activity.Attempt{Action: "security_key.pin_try", Target: k.party(), SecurityKey: k.ID, User: k.User, RPID: rpID, Card: string(k.ID)}
	if err := activity.Refuse(ctx, t, by, attempt, try.Fault.Code, now); err != nil || !try.locks {
		return try, err
	}
	o, _, err := t.FindKeyOwner(ctx, k.Workspace, k.User)
	if err != nil {
		return Try{}, err
	}
	return try, notify(ctx, t, by, o, []outbox.Recipient{o.To}, outbox.SecurityKeyNotice{Did: outbox.KeyPINLocked}, k, now)
}

// tryPIN is TryPIN without what is told.
func tryPIN(ctx context.Context, t Tx, keys Secrets, k SecurityKey, pin secret.Bytes, now time.Time) (Try, error) {
	if f := usablePIN(k); f != nil {
		return Try{Fault: f}, nil //nolint:nilerr // the fault is the answer
	}
	wrong, ok, err := t.SpendPINTry(ctx, k.Workspace, k.ID, now)
	if err != nil {
		return Try{}, err
	}
	// The row is held now: what others did since it was read counts.
	if k, _, err = t.FindSecurityKey(ctx, k.Workspace, k.ID); err != nil {
		return Try{}, err
	}
	right := hmac.Equal(verifier(keys.PINKey, k.ID, pin), k.PIN.Verifier)
	switch {
	case !ok:
		return restingPIN(k, now), nil
	case right:
		return Try{}, t.ClearPINTries(ctx, k.Workspace, k.ID)
	}
	return wrongPIN(k, wrong, now), nil
}

// TryUnknown answers a try of the PIN of a card that has none, or that nobody has, as
// TryPINFor answers wrong ones: with the same tries and the same rests, for as long as a
// card's digest is the same.
func TryUnknown(ctx context.Context, t Tx, by auth.Caller, keys Secrets, digest string, pin secret.Bytes, rpID string, now time.Time) (Try, error) {
	wrong, ok, err := t.SpendShadowTry(ctx, by.Workspace, digest, now)
	if err != nil {
		return Try{}, err
	}
	k := SecurityKey{Workspace: by.Workspace, Kind: ContactlessCard, Verification: ByPIN, Life: Active}
	if k.PIN, err = t.FindShadow(ctx, by.Workspace, digest); err != nil {
		return Try{}, err
	}
	try := restingPIN(k, now)
	// The same work as for a card that is known.
	if _, _, err := t.FindAnyCard(ctx, by.Workspace); err != nil {
		return Try{}, err
	}
	_ = hmac.Equal(verifier(keys.PINKey, id.SecurityKey(digest), pin), k.PIN.Verifier)
	if ok {
		try = wrongPIN(k, wrong, now)
	}
	attempt := activity.Attempt{Action: "security_key.pin_try", Target: activity.Party{Type: "security_key"}, RPID: rpID, Card: digest}
	return try, activity.Refuse(ctx, t, by, attempt, try.Fault.Code, now)
}

// wrongPIN answers the try that was the wrong-th wrong one in a row.
func wrongPIN(k SecurityKey, wrong int, now time.Time) Try {
	left := PINTries - wrong
	switch {
	case left <= 0:
		return Try{Fault: lockedPIN(), Wrong: true, locks: true}
	case k.PIN.PausedUntil.After(now):
		return Try{
			Fault: fault.Invalid("pin_invalid", "This PIN is wrong. Try again in "+restText(k, now)+"; "+triesText(left)+"."),
			Left:  left, PausedUntil: k.PIN.PausedUntil, Wrong: true,
		}
	}
	return Try{Fault: fault.Invalid("pin_invalid", "This PIN is wrong: "+triesText(left)+"."), Left: left, Wrong: true}
}

// usablePIN answers why the key has no PIN to be tried, or nil.
func usablePIN(k SecurityKey) *fault.Error {
	switch {
	case k.Kind != ContactlessCard || k.Verification != ByPIN:
		return notACard()
	case k.Shown() != Active || k.Holder.Suspended:
		return fault.Conflict("key_not_active", "This security key is not active.")
	}
	return nil
}

// restingPIN answers why no try was taken.
func restingPIN(k SecurityKey, now time.Time) Try {
	if f := usablePIN(k); f != nil {
		return Try{Fault: f}
	}
	if k.PIN.Locked() {
		return Try{Fault: lockedPIN()}
	}
	f := fault.TooMany("pin_paused", "Too many wrong PINs. Try again in "+restText(k, now)+".", k.PIN.PausedUntil.Sub(now))
	return Try{Fault: f, PausedUntil: k.PIN.PausedUntil}
}

func lockedPIN() *fault.Error {
	return fault.Conflict("pin_locked", "This card's PIN is locked after too many wrong tries. Ask an administrator to reset it.")
}

func triesText(left int) string {
	if left == 1 {
		return "1 try is left"
	}
	return strconv.Itoa(left) + " tries are left"
}

func restText(k SecurityKey, now time.Time) string {
	if m := int((k.PIN.PausedUntil.Sub(now) + time.Minute - 1) / time.Minute); m > 1 {
		return strconv.Itoa(m) + " minutes"
	}
	return "a minute"
}
