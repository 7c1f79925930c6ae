// Package authenticate is how a card at a workstation registers at a website and signs in:
// Keyhold is the security key that the website meets (CTAP 2.1, WebAuthn Level 3). It joins
// the client's proof, the card, its holder, the PIN and the vault in one transaction, in a
// fixed order: client, holder and key, policy, PIN budget, PIN, credential, signature,
// activity. It decides nothing that one of their rooms decides.
package authenticate

import (
	"context"
	"errors"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// Tx is the storage of the rooms that this flow joins.
type Tx interface {
	securitykey.Tx
	vault.CredentialTx
	client.TapTx
	FindClient(ctx context.Context, w id.Workspace, c id.Client) (client.Client, bool, error)
}

// Question is what a policy decides: may this user use this key at this website now?
type Question struct {
	User        id.User
	SecurityKey id.SecurityKey
	Kind        securitykey.Kind
	RPID        string
	Client      id.Client
	IP          string
	Now         time.Time
}

// Policy answers a Question: nil for yes, or the reason why not, for the record. It may read
// by t and nothing else.
type Policy func(ctx context.Context, t Tx, q Question) (reason string, err error)

// Config is what the flow is made from.
type Config struct {
	Store   tx.Runner[Tx]
	Clock   clock.Clock
	Secrets securitykey.SecretsReader
	// RPID is Keyhold's own relying party, which the authenticator refuses.
	RPID string
	// Policy decides; nil allows everything.
	Policy Policy
}

// Service is the flow's door. Use NewService.
type Service struct {
	gate    activity.Gate[Tx]
	secrets securitykey.SecretsReader
	rpID    string
	policy  Policy
	recent  *recent
}

// NewService returns the flow.
func NewService(c Config) *Service {
	if c.Policy == nil {
		c.Policy = func(context.Context, Tx, Question) (string, error) { return "", nil }
	}
	return &Service{gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}, secrets: c.Secrets, rpID: c.RPID, policy: c.Policy, recent: newRecent()}
}

// The bounds of what no single card's counter sees.
const (
	// MaxUnknown is how many taps of cards that nobody has a client may send in Window, and
	// MaxUnknownNetwork how many its network: then all taps there are refused for the rest of
	// it. Were only unknown ones refused, each further tap would tell whether a card is known.
	MaxUnknown        = 10
	MaxUnknownNetwork = 100
	// MaxWrong and MaxWrongNetwork are the same for wrong PINs, over all cards.
	MaxWrong        = 40
	MaxWrongNetwork = 400
	Window          = 10 * time.Minute
)

// actionOf returns how the record calls an operation.
func actionOf(o client.Operation) string {
	switch o {
	case client.Create:
		return "credential.register"
	case client.Get:
		return vault.UseAction
	case client.PINChange:
	}
	return "security_key.pin_change"
}

// The outcomes of sign-ins, as statistics count them.
const (
	loginSuccess = "success"
	loginRefused = "refused"
)

// pass is one operation in one transaction.
type pass struct {
	s   *Service
	t   Tx
	by  auth.Caller
	op  client.Operation
	now time.Time

	attempt activity.Attempt
	renewed string // the digest of the verification whose idle time begins anew; empty for none
}

func (s *Service) begin(t Tx, by auth.Caller, op client.Operation, now time.Time) *pass {
	return &pass{s: s, t: t, by: by, op: op, now: now, attempt: attemptOf(op)}
}

func attemptOf(op client.Operation) activity.Attempt {
	return activity.Attempt{Action: actionOf(op), Need: auth.Authenticate, Target: activity.Party{Type: "security_key"}}
}

// about notes whom the operation concerns, for the record. digest is the card's.
func (p *pass) about(k id.SecurityKey, name string, u id.User, digest, rpID string) {
	p.attempt.Target = activity.Party{Type: "security_key", ID: string(k), Name: name}
	p.attempt.SecurityKey, p.attempt.User, p.attempt.RPID, p.attempt.Card = k, u, rpID, digest
}

// refuse records that the operation was refused for a reason, and answers f.
func (p *pass) refuse(ctx context.Context, f *fault.Error, reason string) (*fault.Error, error) {
	if p.op == client.Get {
		if err := p.t.CountLogin(ctx, p.by.Workspace, loginRefused, p.now); err != nil {
			return nil, err
		}
	}
	return f, activity.Refuse(ctx, p.t, p.by, p.attempt, reason, p.now)
}

// reject is refuse with the fault's own code as the reason.
func (p *pass) reject(ctx context.Context, f *fault.Error) (*fault.Error, error) {
	return p.refuse(ctx, f, f.Code)
}

// NotAllowed is what every website is told alike: no credential fits, a policy said no.
func NotAllowed() *fault.Error {
	return fault.Forbidden("not_allowed_error", "This is not possible here with this security key.")
}

// faultOf returns the answer for what an authenticator, or a browser before it, refuses. Its
// code is the error's name in WebAuthn, in snake_case.
func faultOf(err error) (*fault.Error, error) {
	var e *ctap.Error
	if !errors.As(err, &e) {
		return nil, err
	}
	if e.Code == ctap.KeyStoreFull {
		return fault.Conflict("vault_full", "You have too many accounts here. Ask your administrator to remove some."), nil
	}
	text := "The website asked for something that a security key refuses: " + e.Reason + "."
	switch e.Name {
	case ctap.InvalidStateError:
		return fault.Conflict("invalid_state_error", "This security key is registered at this website already.").Because(e), nil
	case ctap.NotSupportedError:
		return fault.Invalid("not_supported_error", text).Because(e), nil
	case ctap.ConstraintError:
		return fault.Invalid("constraint_error", text).Because(e), nil
	case ctap.TypeError:
		return fault.Invalid("type_error", text).Because(e), nil
	case ctap.SyntaxError:
		return fault.Invalid("syntax_error", text).Because(e), nil
	case ctap.SecurityError:
		return fault.Forbidden("security_error", text).Because(e), nil
	case ctap.NotAllowedError:
		return NotAllowed().Because(e), nil
	}
	return fault.Invalid("unknown_error", text).Because(e), nil
}

func suspended() *fault.Error {
	return fault.Forbidden("key_suspended", "This security key is suspended. Ask your administrator.")
}

// moved answers what changed of a ticket's key and holder since the tap; nil for a card that
// nobody has.
func moved(k client.Ticket) *fault.Error {
	switch {
	case k.SecurityKey == "" || k.Stands():
		return nil
	case k.Now.Key != 0 && !k.Active:
		return suspended()
	}
	return client.NoTap() // the key is gone, or not what it was
}

// decide asks the policy: "" for yes, or the reason why not.
func (p *pass) decide(ctx context.Context, q Question) (reason string, err error) {
	q.Client, q.IP, q.Now = p.by.Client, p.by.IP, p.now
	return p.s.policy(ctx, p.t, q)
}

// ask is decide with a no recorded. Websites are told no more than NotAllowed.
func (p *pass) ask(ctx context.Context, q Question) (*fault.Error, error) {
	if p.op == client.PINChange {
		return nil, nil
	}
	reason, err := p.decide(ctx, q)
	if err != nil || reason == "" {
		return nil, err
	}
	return p.refuse(ctx, NotAllowed(), reason)
}

// budget is what no single card's counter sees: how often something happens at a client, and
// in its network, within Window.
type budget struct {
	name            string
	client, network int64
}

// constant: two budgets.
var (
	unknownCards = budget{"unknown_card", MaxUnknown, MaxUnknownNetwork}
	wrongPINs    = budget{"wrong_pin", MaxWrong, MaxWrongNetwork}
)

// count adds to a budget, which may be 0: the same rows are written in any case. It returns
// the fault of one that is spent, by an addition of one or without any.
func (p *pass) count(ctx context.Context, b budget, by int) (*fault.Error, error) {
	n, since, err := p.t.AddRate(ctx, b.name+"/"+string(p.by.Client), by, p.now, Window)
	if err != nil {
		return nil, err
	}
	network, sinceNetwork, err := p.t.AddRate(ctx, b.name+"/"+string(p.by.Workspace)+"/"+auth.Network(p.by.IP), by, p.now, Window)
	if err != nil {
		return nil, err
	}
	text := "Too many cards or PINs were tried here that nobody has. Try again in a few minutes."
	switch rest := int64(1 - by); {
	case n+rest > b.client:
		return fault.TooMany("too_many_tries", text, since.Add(Window).Sub(p.now)), nil
	case network+rest > b.network:
		return fault.TooMany("too_many_tries", text, sinceNetwork.Add(Window).Sub(p.now)), nil
	}
	return nil, nil
}

// pressure is count, with the refusal recorded.
func (p *pass) pressure(ctx context.Context, b budget, by int) (*fault.Error, error) {
	f, err := p.count(ctx, b, by)
	if f == nil || err != nil {
		return nil, err
	}
	p.attempt.Card = "" // it is the client's: a line for each card would tell by its work which are known
	return p.reject(ctx, f)
}
