package smartlock

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/signal"
)

// Config is what a Service needs.
type Config struct {
	Store       tx.Runner[Tx]
	Clock       clock.Clock
	Authorities AuthorityReader
	Sealing     SealingReader
	// LinkURL tells a controller where its link is: wss://host:port/locks/v1/link.
	LinkURL func() string
}

// Service is the room. Use NewService. It is safe for use by several goroutines.
type Service struct {
	gate        activity.Gate[Tx]
	authorities AuthorityReader
	sealing     SealingReader
	linkURL     func() string
}

// NewService returns the room over its storage.
func NewService(c Config) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}, authorities: c.Authorities, sealing: c.Sealing, linkURL: c.LinkURL}
}

// Unknown is the answer for a lock that is not there or not to be known.
func Unknown() *fault.Error {
	return fault.NotFound("lock_not_found", "This lock does not exist.")
}

// party is the lock in the record.
func (l Lock) party() activity.Party {
	return activity.Party{Type: "lock", ID: string(l.ID), Name: l.Name}
}

func attemptOn(action string, need auth.Permission, l id.Lock) activity.Attempt {
	return activity.Attempt{Action: action, Need: need, Target: activity.Party{Type: "lock", ID: string(l)}}
}

// stepUp says whether an act needs a fresh passkey of a person.
type stepUp bool

// work is an act on one lock, which is held until the transaction ends.
type work func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error)

// change runs an act on one lock for whoever has locks.write.
func (s *Service) change(ctx context.Context, by auth.Caller, action string, lock id.Lock, fresh stepUp, do work) error {
	attempt := attemptOn(action, auth.LocksWrite, lock)
	return s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		l, found, err := t.LockLock(ctx, by.Workspace, lock)
		if err != nil {
			return nil, err
		}
		if !found {
			return Unknown(), nil
		}
		if f := auth.CheckStepUp(by, now); fresh && f != nil {
			attempt.Target = l.party()
			return f, activity.Refuse(ctx, t, by, attempt, f.Code, now)
		}
		return do(ctx, t, l, now)
	})
}

// look runs fn over a snapshot for whoever has locks.read.
func (s *Service) look(ctx context.Context, by auth.Caller, a activity.Attempt, fn func(ctx context.Context, t Tx, now time.Time) error) error {
	a.Need = auth.LocksRead
	return s.gate.Read(ctx, by, a, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) error { return fn(ctx, t, now) })
}

// tell sends the signals of what changed of a lock: changes of what its controller should
// know wake its link too.
func tell(t Tx, l Lock, link bool) {
	t.Signal(signal.Of(l.Workspace, signal.Locks, string(l.Workspace)))
	if link {
		t.Signal(signal.Of(l.Workspace, signal.Lock, string(l.ID)))
	}
}

// checker gathers what is wrong with the fields of a command.
type checker struct{ fields []fault.Field }

func (c *checker) wrong(is bool, name, message string) {
	if is {
		c.fields = append(c.fields, fault.Field{Name: name, Message: message})
	}
}

func (c *checker) fault() *fault.Error {
	if len(c.fields) == 0 {
		return nil
	}
	return fault.Invalid("invalid_fields", "Some fields need your attention.", c.fields...)
}

// maxText is how many characters a name or a place may have.
const maxText = 100

// text returns a line of text in its stored form.
func (c *checker) text(name, s string) string {
	valid := utf8.ValidString(s)
	s = strings.TrimSpace(norm.NFC.String(strings.ToValidUTF8(s, "")))
	c.wrong(!valid || strings.ContainsFunc(s, isForbidden), name, "holds a character that is not allowed")
	c.wrong(utf8.RuneCountInString(s) > maxText, name, "is too long: at most "+strconv.Itoa(maxText)+" characters")
	return s
}

// isForbidden says whether r may not stand in a line of text: controls, and the marks
// that turn the direction of what follows.
func isForbidden(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// timezone returns the IANA name of a zone.
func (c *checker) timezone(s string) string {
	_, err := time.LoadLocation(s)
	c.wrong(err != nil || s == "" || s == "Local", "timezone", "must be the name of a time zone, such as Europe/Berlin")
	return s
}

// capabilities returns each once, in their order.
func (c *checker) capabilities(list []Capability) []Capability {
	var out []Capability
	for _, is := range Capabilities() {
		if slices.Contains(list, is) {
			out = append(out, is)
		}
	}
	known := !slices.ContainsFunc(list, func(is Capability) bool { return !slices.Contains(Capabilities(), is) })
	c.wrong(!known || len(out) == 0, "capabilities", "must be one or more of pin, app and keycard")
	return out
}

func (c *checker) seconds(name string, n, least, most int) int {
	c.wrong(n < least || n > most, name, "must be between "+strconv.Itoa(least)+" and "+strconv.Itoa(most))
	return n
}
