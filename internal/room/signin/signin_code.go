package signin

import (
	"context"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// The bounds of signing in by a code that is sent by e-mail.
const (
	// CodeLifetime is how long a code may be typed, and how long after that a
	// workspace may be chosen.
	CodeLifetime = 10 * time.Minute
	CodeTries    = 5

	codesPerAddress = 10
	addressWindow   = time.Hour
	codesPerNetwork = 30
	networkWindow   = 10 * time.Minute
	signInsPerNet   = 600
)

// Code is a code that was asked for. It stands in no table: it is computed from
// the id when it is sent and when it is compared.
type Code struct {
	ID        id.Code
	Browser   []byte // digest of the secret in the browser that asked
	Email     string // folded, whether or not somebody has it
	TriesLeft int
	CreatedAt time.Time
	ExpiresAt time.Time
	ProvedAt  time.Time // zero until it was typed rightly
	UsedAt    time.Time // zero until a session was opened with it
}

// Entry is a workspace that a proved address may enter.
type Entry struct {
	Workspace id.Workspace
	Name      string
}

// codeRejected is the one answer to a code that does not work, whatever the reason.
func codeRejected() *fault.Error {
	return fault.Invalid("code_rejected", "This code is not right, or it is too old.")
}

// BeginCode sends a sign-in code to an address, folded as the directory folds it,
// if it is that of somebody who may sign in, and returns the secret that the browser
// keeps: the code is good in no other. The answer tells nothing of the address. It is
// a TooMany fault for a network that asks too often. Anybody may call it.
func (s *Service) BeginCode(ctx context.Context, by auth.Caller, email string) (browser secret.Bytes, expiresAt time.Time, err error) {
	if !mayBeAddress(email) {
		return secret.Bytes{}, time.Time{}, fault.Invalid("invalid_fields", "Some fields need your attention.",
			fault.Field{Name: "email", Message: "is not an e-mail address"})
	}
	value := token.NewOneTime()
	var c Code
	err = s.store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.clock.Now()
		if f, err := slow(ctx, t, "code_network/"+auth.Network(by.IP), codesPerNetwork, networkWindow, now); f != nil || err != nil {
			return f, err
		}
		asked, _, err := t.CountRate(ctx, "code_address/"+email, now, addressWindow)
		if err != nil {
			return nil, err
		}
		c = Code{
			ID: id.New[id.KindCode](now), Browser: token.Digest(value), Email: email, TriesLeft: CodeTries,
			CreatedAt: now, ExpiresAt: now.Add(CodeLifetime),
		}
		if asked > codesPerAddress {
			c.TriesLeft = 0 // who cannot have got a mail gets no guesses either
		}
		people, err := peopleOf(ctx, t, email)
		if err != nil {
			return nil, err
		}
		if err := t.InsertCode(ctx, c, now); err != nil {
			return nil, err
		}
		if len(people) == 0 || c.TriesLeft == 0 {
			return nil, nil
		}
		p := people[0]
		return nil, outbox.PutUntil(ctx, t, p.Workspace, outbox.SignInCode{
			To: recipient(p), Code: string(c.ID), ExpiresAt: c.ExpiresAt.UnixMilli(), IP: by.IP, Agent: by.Agent,
		}, now, c.ExpiresAt)
	})
	if err != nil {
		return secret.Bytes{}, time.Time{}, err
	}
	return value, c.ExpiresAt, nil
}

// ProveCode compares a code that was typed in the browser of that secret and
// returns the workspaces in which its address may sign in, by name. A try is spent
// first. Whatever is wrong, the answer is the same fault. Anybody may call it.
func (s *Service) ProveCode(ctx context.Context, by auth.Caller, browser secret.Bytes, code string) ([]Entry, error) {
	typed := secret.FromString(digits(code))
	var out []Entry
	err := s.store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.clock.Now()
		out = nil
		digest := token.Digest(browser)
		c, spent, err := t.SpendCodeTry(ctx, digest, now)
		if err != nil {
			return nil, err
		}
		if !spent || !typed.Equal(secret.FromString(token.EmailCode(s.codeKey, string(c.ID)))) {
			return s.refuseCode(ctx, t, by, digest, now)
		}
		if err := t.MarkCodeProved(ctx, c.ID, now); err != nil {
			return nil, err
		}
		people, err := peopleOf(ctx, t, c.Email)
		for _, p := range people {
			out = append(out, Entry{Workspace: p.Workspace, Name: p.WorkspaceName})
		}
		return nil, err
	})
	return out, err
}

// refuseCode answers a code that does not work and records that in the workspaces
// of its address.
func (s *Service) refuseCode(ctx context.Context, t Tx, by auth.Caller, digest []byte, now time.Time) (*fault.Error, error) {
	f := codeRejected()
	c, found, err := t.FindCode(ctx, digest)
	if err != nil || !found {
		return f, err
	}
	people, err := t.FindPeopleByEmail(ctx, c.Email)
	if err != nil {
		return nil, err
	}
	for _, p := range people {
		if err := refuseSession(ctx, t, by, p, f.Code, now); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// OpenByCode opens a session of the app in one of the workspaces that ProveCode
// returned, once, within CodeLifetime after the proof; a user's first sign-in makes
// them active. Else it answers as ProveCode does. Anybody may call it.
func (s *Service) OpenByCode(ctx context.Context, by auth.Caller, browser secret.Bytes, w id.Workspace) (Opened, error) {
	var opened Opened
	err := s.store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.clock.Now()
		c, found, err := t.FindCode(ctx, token.Digest(browser))
		if err != nil {
			return nil, err
		}
		if !found || c.ProvedAt.IsZero() {
			return codeRejected(), nil
		}
		p, found, err := t.FindPersonByEmail(ctx, w, c.Email)
		if err != nil {
			return nil, err
		}
		if !found {
			return codeRejected(), nil
		}
		if p.Suspended {
			return codeRejected(), refuseSession(ctx, t, by, p, "suspended", now)
		}
		used, err := t.UseCode(ctx, c.ID, now, now.Add(-CodeLifetime))
		if err != nil {
			return nil, err
		}
		if !used {
			return codeRejected(), refuseSession(ctx, t, by, p, codeRejected().Code, now)
		}
		opened, err = s.rp.OpenSession(ctx, t, by, p, OpenedByCode, Passkey{}, now)
		return nil, err
	})
	return opened, err
}

// peopleOf returns those of an address who may sign in, by workspace id.
func peopleOf(ctx context.Context, t Tx, email string) ([]Person, error) {
	all, err := t.FindPeopleByEmail(ctx, email)
	var out []Person
	for _, p := range all {
		if !p.Suspended {
			out = append(out, p)
		}
	}
	return out, err
}

// refuseSession records, in the person's workspace, that they were not signed in.
func refuseSession(ctx context.Context, t Tx, by auth.Caller, p Person, reason string, now time.Time) error {
	by.Workspace, by.User = p.Workspace, p.User
	if err := t.CountLogin(ctx, p.Workspace, loginRefused, now); err != nil {
		return err
	}
	return activity.Refuse(ctx, t, by, activity.Attempt{Action: "session.open", Target: userParty(p)}, reason, now)
}

// The outcomes of logins, as statistics count them.
const (
	loginSuccess = "success"
	loginRefused = "refused"
)

// slow counts one try under the name and answers a TooMany fault once there were
// more than limit in the window.
func slow(ctx context.Context, t Tx, name string, limit int64, window time.Duration, now time.Time) (*fault.Error, error) {
	n, since, err := t.CountRate(ctx, name, now, window)
	if err != nil || n <= limit {
		return nil, err
	}
	return fault.TooMany("too_many_tries", "Too many people of your network are signing in at once. Try again in a few minutes.", since.Add(window).Sub(now)), nil
}

// maxAddress bounds an e-mail address, in bytes (RFC 5321 §4.5.3.1.3).
const maxAddress = 254

// mayBeAddress refuses what can be nobody's address.
func mayBeAddress(email string) bool {
	local, domain, found := strings.Cut(email, "@")
	return found && local != "" && domain != "" && len(email) <= maxAddress && strings.ToValidUTF8(email, "") == email &&
		!strings.ContainsFunc(email, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// digits leaves out what people put between the digits of a code.
func digits(code string) string {
	const maxTyped = 40 // more is no code, however it is written
	if len(code) > maxTyped {
		return ""
	}
	return strings.NewReplacer(" ", "", "-", "", "\u00a0", "", "\t", "").Replace(code)
}

func recipient(p Person) outbox.Recipient {
	return outbox.Recipient{Email: p.Email, Name: p.Name, Language: p.Language, Timezone: p.Timezone}
}
