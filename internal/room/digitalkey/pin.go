package digitalkey

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// common are PINs that are tried first, but for those that other rules know.
//
// constant: a list.
var common = []string{
	"1122", "1221", "2112", "1001", "1004", "2580", "0852", "1342", "1397", "1470", "1590", "1236", "1478", "4321", "5683", "7410", "8520", "9630", "1472", "1598",
	"12321", "12344", "11223", "12312", "24680", "13579", "98765", "15951", "75357", "01470", "10203",
	"112233", "221133", "332211", "102030", "123321", "321123", "147258", "159357", "159753", "258456", "741852", "852456", "963852", "789456", "456123", "123654", "135790", "246810", "101010", "110110", "520520", "112211",
}

// isTrivial says whether a PIN is among the first that anybody would try.
func isTrivial(pin string) bool {
	if isRepeated(pin) || isRun(pin, 1) || isRun(pin, 9) || slices.Contains(common, pin) {
		return true
	}
	return len(pin) == 4 && (pin[:2] == "19" || pin[:2] == "20") // a year
}

// isRepeated says whether the PIN is one block over and over, the last cut off or not:
// 7777, 1212, 12121, 123123.
func isRepeated(pin string) bool {
	for block := 1; block <= len(pin)/2; block++ {
		if pin[block:] == pin[:len(pin)-block] {
			return true
		}
	}
	return false
}

// isRun says whether each digit is the one before and a step: 4567, 7890, by 9 4321.
func isRun(pin string, step byte) bool {
	for i := 1; i < len(pin); i++ {
		if (pin[i-1]-'0'+step)%10 != pin[i]-'0' {
			return false
		}
	}
	return true
}

// generate returns a PIN of so many digits: all that are not trivial are equally likely.
func generate(digits int) secret.Bytes {
	const limit = 250 // what lies above would favour some digits
	for {
		out := make([]byte, 0, digits)
		var buf [16]byte
		for len(out) < digits {
			_, _ = rand.Read(buf[:]) // crypto/rand.Read never returns an error
			for _, b := range buf {
				if b < limit && len(out) < digits {
					out = append(out, '0'+b%10)
				}
			}
		}
		if !isTrivial(string(out)) {
			return secret.New(out)
		}
	}
}

// mark is a PIN or a card's number, prepared outside the transaction: what the doors are
// told of it, and how it is kept.
type mark struct {
	text   secret.Bytes
	tags   map[id.Lock]grant.Tag
	sealed []byte // as the key's row keeps it
	seal   string // names the mail's copy
	mailed []byte // of a PIN, for the mail
}

// candidates is how many generated PINs are prepared, of which the first free one is taken.
const candidates = 20

// pinMark prepares a PIN of a key.
func (d draft) pinMark(u id.User, k id.DigitalKey, pin secret.Bytes) (m mark, err error) {
	m = mark{text: pin, tags: d.tags(pin, grant.PINTag), seal: rand.Text()}
	if m.sealed, err = d.sealing.Seal(pin, PINIdentity(d.workspace, u, k)); err != nil {
		return m, err
	}
	m.mailed, err = d.sealing.Seal(pin, outbox.DigitalKeyPIN{WorkspaceID: string(d.workspace), KeyID: string(k), Seal: m.seal}.Identity())
	return m, err
}

// pinMarks prepares a chosen PIN, or several generated ones of so many digits.
func (d draft) pinMarks(u id.User, k id.DigitalKey, chosen secret.Bytes, digits int) ([]mark, error) {
	pins := []secret.Bytes{chosen}
	if chosen.IsEmpty() {
		pins = nil
		for range candidates {
			pins = append(pins, generate(digits))
		}
	}
	var out []mark
	for _, pin := range pins {
		m, err := d.pinMark(u, k, pin)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// cardMark prepares a card's number.
func (d draft) cardMark(u id.User, k id.DigitalKey, number secret.Bytes) (m mark, err error) {
	m = mark{text: number, tags: d.tags(secret.New(card.Raw(number)), func(lock, uid secret.Bytes) grant.Tag { return grant.CardTag(lock, uid.Expose()) })}
	m.sealed, err = d.sealing.Seal(number, CardIdentity(d.workspace, u, k))
	return m, err
}

func (d draft) tags(value secret.Bytes, tag func(lock, value secret.Bytes) grant.Tag) map[id.Lock]grant.Tag {
	out := map[id.Lock]grant.Tag{}
	for l, key := range d.secrets {
		out[l] = tag(key, value)
	}
	return out
}

// tagOf is the mark at a lock as long as it is a key's.
func (m mark) tagOf(k DigitalKey, l id.Lock, kind Type) Tag {
	t := Tag{Workspace: k.Workspace, Lock: l, Kind: kind, Tag: m.tags[l], Key: k.ID, User: k.User, From: k.StartsAt, Until: k.ExpiresAt.Add(PINRest)}
	if kind == PIN {
		t.Digits = k.PINLength
	}
	return t
}

// isFree says whether nobody else has the mark at any of the key's locks while it is the
// key's.
func (a *act) isFree(ctx context.Context, k DigitalKey, m mark, kind Type) (bool, error) {
	for _, l := range k.Locks {
		_, taken, err := a.t.FindTag(ctx, m.tagOf(k, l.ID, kind))
		if err != nil || taken {
			return false, err
		}
	}
	return true, nil
}

func unavailablePIN() *fault.Error {
	return fault.Conflict("pin_unavailable", "This PIN cannot be used. Choose another one, or have one generated.", fault.Field{Name: "pin", Message: "cannot be used"})
}

// takenWindow is how long answers about chosen PINs are counted.
const takenWindow = time.Hour

func takenRate(w id.Workspace, l id.Lock) string { return string(w) + "/pin_taken/" + string(l) }

// choosePIN answers whether the key may have a PIN that somebody knows. Taken, reserved and
// trivial are one answer, which says little but something: each is counted at all locks of
// the key, and after some of them none is given any more.
func (a *act) choosePIN(ctx context.Context, k DigitalKey, m mark) (*fault.Error, error) {
	for _, l := range k.Locks {
		n, err := a.t.ReadRate(ctx, takenRate(k.Workspace, l.ID), a.now, takenWindow)
		if err != nil {
			return nil, err
		}
		if n >= PINTakenAnswers {
			return fault.Conflict("pin_generate_only", "Too many chosen PINs could not be used here. For an hour only generated ones are given.", fault.Field{Name: "pin", Message: "is to be generated"}), nil
		}
	}
	free, err := a.isFree(ctx, k, m, PIN)
	if err != nil || free && !isTrivial(m.text.ExposeString()) {
		return nil, err
	}
	for _, l := range k.Locks {
		if _, _, err := a.t.CountRate(ctx, takenRate(k.Workspace, l.ID), a.now, takenWindow); err != nil {
			return nil, err
		}
	}
	return unavailablePIN(), a.record(ctx, "pin_unavailable")
}

// takePIN returns the PIN that the key gets: the chosen one, or the first generated one
// that is free.
func (a *act) takePIN(ctx context.Context, k DigitalKey, marks []mark, chosen bool) (mark, *fault.Error, error) {
	if chosen {
		f, err := a.choosePIN(ctx, k, marks[0])
		return marks[0], f, err
	}
	for _, m := range marks {
		free, err := a.isFree(ctx, k, m, PIN)
		if err != nil || free {
			return m, nil, err
		}
	}
	return mark{}, fault.Conflict("pins_used_up", "No PIN of this length was free at these locks. Take a longer one.", fault.Field{Name: "pin", Message: "needs more digits"}), nil
}

// takeCard answers a Conflict if the card is somebody else's at one of the locks meanwhile.
func (a *act) takeCard(ctx context.Context, k DigitalKey, m mark) (*fault.Error, error) {
	free, err := a.isFree(ctx, k, m, Keycard)
	if err != nil || free {
		return nil, err
	}
	return fault.Conflict("card_taken", "This card belongs to somebody else at one of these locks.", fault.Field{Name: "keycard", Message: "belongs to somebody else"}), nil
}
