package client

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/field"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Shown is what a request shows besides who holds its API key (RFC 9449 §4.3).
type Shown struct {
	Proof  string // the header DPoP
	Token  string // the API key's token, as it was sent
	Method string
	URL    string // at which the server was asked, by its public address
	Body   []byte
}

// Enrolment is what a program says of itself when it enrols.
type Enrolment struct {
	Name string
	Kind Kind
	JWK  []byte // its public key
	Code string // empty for none: then it waits for an administrator
}

// Nonce returns a nonce for proofs, good for dpop.NonceLife at every server.
func (s *Service) Nonce(context.Context, auth.Caller) string {
	return s.nonces.Issue(s.gate.Clock.Now())
}

// UseNonce is the fault of a proof without a nonce, or with one that is too old.
func UseNonce() *fault.Error {
	return &fault.Error{Kind: fault.KindUnauthenticated, Code: "use_dpop_nonce", Public: "Make the proof with the nonce of this answer."}
}

// prove reads a proof and compares it with its request; what is wrong with it is told to
// nobody but the log, that it is wrong to the record.
func (s *Service) prove(sh Shown) (dpop.Proof, auth.Proof, *fault.Error) {
	p, err := dpop.Parse(sh.Proof)
	if err != nil {
		return dpop.Proof{}, auth.Proof{}, fault.BadProof().Because(err)
	}
	now := s.gate.Clock.Now()
	switch reason := p.Check(dpop.Request{Method: sh.Method, URL: sh.URL, Token: sh.Token, Body: sh.Body, Now: now}, s.nonces); reason {
	case "":
	case dpop.ReasonNonce:
		return dpop.Proof{}, auth.Proof{}, UseNonce()
	default:
		return dpop.Proof{}, auth.Proof{}, fault.BadProof().Because(errors.New(string(reason)))
	}
	return p, auth.Proof{Key: p.Thumbprint, ID: p.ID, Until: s.nonces.Over(p.Nonce)}, nil
}

// Verify returns the client that made the proof; by is the caller of the Clients key that the
// request showed. Any proof that is not good is one and the same fault, but for UseNonce. A
// program that is not enrolled, waits for approval or was revoked is told so (Forbidden). All of
// it is recorded but UseNonce, which asks for the proof once more. The caller's proof is spent
// by the one act that it calls for.
func (s *Service) Verify(ctx context.Context, by auth.Caller, sh Shown) (auth.Caller, error) {
	p, proof, f := s.prove(sh)
	if f != nil {
		return auth.Caller{}, s.refuseProof(ctx, by, "client.use", f)
	}
	who := identity{by.Workspace, p.Thumbprint}
	if c, known := s.known.find(who, s.gate.Clock.Now()); known {
		return c.caller(by, proof), nil
	}
	var c Client
	var found bool
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
		c, found, err = t.FindClientByKey(ctx, by.Workspace, p.Thumbprint)
		return err
	})
	switch {
	case err != nil:
		return auth.Caller{}, err
	case !found:
		return auth.Caller{}, s.refuseProof(ctx, by, "client.use", fault.Forbidden("client_unknown", "This program is not enrolled here."))
	case c.State == Approved:
		s.known.keep(who, c, s.gate.Clock.Now())
		return c.caller(by, proof), nil
	}
	return auth.Caller{}, s.refuseUse(ctx, c.caller(by, proof), c)
}

// refuseProof records that somebody showed a Clients key, but not the key of a client: its
// token may have been copied.
func (s *Service) refuseProof(ctx context.Context, by auth.Caller, action string, f *fault.Error) error {
	if f.Code == UseNonce().Code {
		return f
	}
	return s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		return f, activity.Refuse(ctx, t, by, activity.Attempt{Action: action, Target: activity.Party{Type: "client"}}, f.Code, s.gate.Clock.Now())
	})
}

// WhyNot returns what Verify would say by now to a client that was refused as nobody: it may
// have been revoked at another server since this one remembered it. It is nil if the client
// stands.
func (s *Service) WhyNot(ctx context.Context, by auth.Caller) error {
	s.known.forget()
	var c Client
	var found bool
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
		c, found, err = t.FindClient(ctx, by.Workspace, by.Client)
		return err
	})
	switch {
	case err != nil:
		return err
	case !found:
		return fault.Forbidden("client_unknown", "This program is not enrolled here.")
	case c.State != Approved:
		return notApproved(c.State)
	}
	return nil
}

// refuseUse records that a client which is not approved asked for something.
func (s *Service) refuseUse(ctx context.Context, by auth.Caller, c Client) error {
	f := notApproved(c.State)
	return s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		_, fresh, err := t.AdmitProof(ctx, by, s.gate.Clock.Now())
		switch {
		case err != nil:
			return nil, err
		case !fresh:
			return fault.BadProof(), nil
		}
		return f, activity.Refuse(ctx, t, by, activity.Attempt{Action: "client.use", Target: c.party()}, f.Code, s.gate.Clock.Now())
	})
}

func notApproved(s State) *fault.Error {
	if s == Pending {
		return fault.Forbidden("client_pending", "This program waits for an administrator's approval.")
	}
	return fault.Forbidden("client_revoked", "This program was revoked. It must enrol anew, with a new key.")
}

// Whoami returns the client that made the proof, in whatever state it is; false if the proof
// is not good or its program is not enrolled. It spends nothing: it is for who waits.
func (s *Service) Whoami(ctx context.Context, by auth.Caller, sh Shown) (Client, bool, error) {
	p, _, f := s.prove(sh)
	if f != nil {
		return Client{}, false, nil //nolint:nilerr // who proves nothing is nobody, which is an answer here
	}
	var c Client
	var found bool
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
		c, found, err = t.FindClientByKey(ctx, by.Workspace, p.Thumbprint)
		return err
	})
	return c, found, err
}

// Touch is a call of a client that asks for nothing but what it is: its proof is spent.
func (s *Service) Touch(ctx context.Context, by auth.Caller) (Client, error) {
	var c Client
	err := s.gate.Write(ctx, by, activity.Attempt{Action: "client.touch", Need: auth.Authenticate}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) (_ *fault.Error, err error) {
		c, _, err = t.FindClient(ctx, by.Workspace, by.Client)
		return nil, err
	})
	return c, err
}

// Enrol makes the program that shows a Clients key, and a proof by the key that it enrols, a
// client of the workspace: pending, or approved by an enrolment code. A program that is there
// already gets what it is (its name stays); one that was revoked is refused. Names are unique
// (Conflict name_taken). A key that was reported as leaked enrols nobody, nor does that of a
// client that enrolled by a code alone.
func (s *Service) Enrol(ctx context.Context, by auth.Caller, sh Shown, e Enrolment) (Client, error) {
	p, proof, f := s.prove(sh)
	if f != nil {
		return Client{}, s.refuseProof(ctx, by, actEnrol, f)
	}
	by.Proof = proof
	said, wrong := readEnrolment(e, p)
	var out Client
	attempt := activity.Attempt{Action: actEnrol, Need: auth.Signed, Target: said.party()}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		if wrong != nil {
			return wrong, nil
		}
		out = said.begin(by, now)
		n := enrolment{t: t, by: by, attempt: attempt, now: now}
		f, err := n.enrol(ctx, &out, s.digest(by.Workspace, e.Code))
		return f, err
	})
	return out, err
}

const actEnrol = "client.enrol"

// readEnrolment reads what a program says of itself, which made the proof.
func readEnrolment(e Enrolment, p dpop.Proof) (Client, *fault.Error) {
	var check field.Checker
	c := Client{Name: check.Line("name", e.Name, 1, maxName), Kind: e.Kind, State: Pending, Thumbprint: p.Thumbprint, PublicKey: string(dpop.JWK(p.Key)), ReaderFormat: Hex, Revision: 1}
	if !e.Kind.Enrols() {
		check.Wrong("kind", "must be extension or agent")
	}
	key, err := dpop.ParseJWK(e.JWK)
	if err != nil || dpop.Thumbprint(key) != p.Thumbprint {
		check.Wrong("jwk", "must be the public P-256 key that signed the proof")
	}
	return c, check.Fault()
}

// begin returns the client as it begins, enrolled by the caller.
func (c Client) begin(by auth.Caller, now time.Time) Client {
	c.ID, c.Workspace, c.APIKey = id.New[id.KindClient](now), by.Workspace, by.APIKey
	c.CreatedAt, c.CreatedIP, c.LastSeenAt, c.LastIP, c.Agent = now, by.IP, now, by.IP, by.Agent
	return c
}

// enrolment is one enrolment in its transaction.
type enrolment struct {
	t       Tx
	by      auth.Caller
	attempt activity.Attempt
	now     time.Time
}

func (n enrolment) enrol(ctx context.Context, c *Client, code []byte) (*fault.Error, error) {
	known, found, f, err := n.findKnown(ctx, *c)
	if f != nil || err != nil {
		return f, err
	}
	if found {
		*c = known
		return nil, nil
	}
	enrols, err := n.t.APIKeyEnrols(ctx, c.Workspace, n.by.APIKey)
	if err != nil {
		return nil, err
	}
	if !enrols {
		return n.refuse(ctx, fault.Forbidden("key_enrols_nobody", "No program enrols with this API key: it was reported as leaked, or it was made for one workstation alone."))
	}
	taken, err := n.t.ClientNameTaken(ctx, c.Workspace, c.Name, "")
	if err != nil {
		return nil, err
	}
	if taken {
		return nameTaken(), nil
	}
	detail := "waits for approval"
	if code != nil {
		f, err := n.spendCode(ctx, c, code)
		if f != nil || err != nil {
			return f, err
		}
		detail = approvedByCode
	} else {
		counts, err := n.t.CountClients(ctx, c.Workspace)
		if err != nil {
			return nil, err
		}
		if counts.Pending >= MaxPending {
			return n.refuse(ctx, fault.Conflict("too_many_pending", "Too many programs wait for approval. An administrator must approve or remove some first."))
		}
	}
	if err := n.t.InsertClient(ctx, *c); err != nil {
		return nil, err
	}
	by := n.by
	by.Client = c.ID
	return nil, activity.Append(ctx, n.t, by, activity.Event{Action: actEnrol, Target: c.party(), Detail: detail}, n.now)
}

// findKnown returns the client that has c's key pair already, and keeps other enrolments out to
// the end of the transaction. One that was revoked is refused.
func (n enrolment) findKnown(ctx context.Context, c Client) (known Client, found bool, f *fault.Error, err error) {
	if err := n.t.Latch(ctx, string(c.Workspace)+"/clients"); err != nil {
		return Client{}, false, nil, err
	}
	known, found, err = n.t.FindClientByKey(ctx, c.Workspace, c.Thumbprint)
	if err == nil && found && known.State == Revoked {
		f, err = n.refuse(ctx, notApproved(Revoked))
	}
	return known, found, f, err
}

// spendCode takes a use of an enrolment code and approves the client. Tries are counted
// before any is compared.
func (n enrolment) spendCode(ctx context.Context, c *Client, digest []byte) (*fault.Error, error) {
	tries, since, err := n.t.CountRate(ctx, "client_code/"+string(n.by.APIKey), n.now, codeWindow)
	if err != nil {
		return nil, err
	}
	if tries > codeTries {
		return n.refuse(ctx, tooManyCodes(since.Add(codeWindow).Sub(n.now)))
	}
	code, ok, err := n.t.SpendEnrolmentCode(ctx, c.Workspace, digest, n.now)
	if err != nil {
		return nil, err
	}
	if !ok {
		return n.refuse(ctx, codeInvalid())
	}
	c.State, c.ApprovedAt, c.ApprovedBy = Approved, n.now, code.CreatedBy
	return nil, nil
}

// approvedByCode is what the record says of a client that an enrolment code approved.
const approvedByCode = "approved by an enrolment code"

func tooManyCodes(wait time.Duration) *fault.Error {
	return fault.TooMany("too_many_tries", "Too many enrolment codes were tried. Try again in a few minutes.", wait)
}

func codeInvalid() *fault.Error {
	return fault.Invalid("enrolment_code_invalid", "This enrolment code is not good, or not any more.", fault.Field{Name: "enrolment_code", Message: "is not good, or not any more"})
}

// refuse records a refusal.
func (n enrolment) refuse(ctx context.Context, f *fault.Error) (*fault.Error, error) {
	return f, activity.Refuse(ctx, n.t, n.by, n.attempt, f.Code, n.now)
}

func nameTaken() *fault.Error {
	return fault.Conflict("name_taken", "Another client has this name.", fault.Field{Name: "name", Message: "is taken by another client"})
}

// codeAlphabet has no characters that are taken for others.
const codeAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

// newCode returns a code: sixteen characters, 80 bits, in groups of four.
func newCode() secret.Bytes {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never returns an error
	var b strings.Builder
	for i, c := range raw {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(codeAlphabet[int(c)%len(codeAlphabet)]) // 32 characters: each is equally likely
	}
	return secret.FromString(b.String())
}

// digest returns the keyed hash of a code as it was typed, nil for none.
func (s *Service) digest(w id.Workspace, typed string) []byte {
	if strings.TrimSpace(typed) == "" {
		return nil
	}
	const maxTyped = 100
	if len(typed) > maxTyped {
		typed = typed[:maxTyped]
	}
	mac := hmac.New(sha256.New, s.codeKey.Expose())
	mac.Write([]byte("keyhold/enrolment-code/v1\x00" + string(w) + "\x00"))
	mac.Write([]byte(strings.Map(func(r rune) rune {
		if strings.ContainsRune(codeAlphabet, r) {
			return r
		}
		return -1
	}, strings.ToUpper(typed))))
	return mac.Sum(nil)
}

// NewEnrolmentCode is what an enrolment code is made from.
type NewEnrolmentCode struct {
	Life time.Duration // 0 for DefaultCodeLife
	Uses int           // 0 for one
}

// IssueCode makes an enrolment code, which is returned this once. The caller needs
// clients.write.
func (s *Service) IssueCode(ctx context.Context, by auth.Caller, n NewEnrolmentCode) (Code, secret.Bytes, error) {
	var check field.Checker
	if n.Life == 0 {
		n.Life = DefaultCodeLife
	}
	if n.Uses == 0 {
		n.Uses = 1
	}
	if n.Life < MinCodeLife || n.Life > MaxCodeLife {
		check.Wrong("minutes", "must be between 10 and 43200")
	}
	if n.Uses < 1 || n.Uses > MaxUses {
		check.Wrong("uses", "must be between 1 and 1000")
	}
	wrong := check.Fault()
	text := newCode()
	var out Code
	err := s.gate.Write(ctx, by, activity.Attempt{Action: "client.issue_code", Need: auth.ClientsWrite}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		if wrong != nil {
			return wrong, nil
		}
		if err := t.Latch(ctx, string(by.Workspace)+"/clients"); err != nil {
			return nil, err
		}
		good, err := t.ListEnrolmentCodes(ctx, by.Workspace, now, MaxCodes)
		if err != nil {
			return nil, err
		}
		if len(good) >= MaxCodes {
			return fault.Conflict("too_many_codes", "There are too many enrolment codes. Withdraw some that are not needed."), nil
		}
		out = Code{
			ID: id.New[id.KindEnrolmentCode](now), Workspace: by.Workspace, Digest: s.digest(by.Workspace, text.ExposeString()),
			Uses: n.Uses, Left: n.Uses, CreatedBy: by.Name, CreatedAt: now, ExpiresAt: now.Add(n.Life),
		}
		if err := t.InsertEnrolmentCode(ctx, out); err != nil {
			return nil, err
		}
		once.Note(ctx, string(out.ID))
		return nil, activity.Append(ctx, t, by, activity.Event{Action: "client.issue_code", Target: out.party()}, now)
	})
	if err != nil {
		return Code{}, secret.Bytes{}, err
	}
	return out, text, nil
}

func (c Code) party() activity.Party { return activity.Party{Type: "enrolment_code", ID: string(c.ID)} }

// Codes lists the enrolment codes that are good, newest first. The caller needs clients.read.
func (s *Service) Codes(ctx context.Context, by auth.Caller) ([]Code, error) {
	var out []Code
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "client.list_codes", Need: auth.ClientsRead}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (err error) {
		out, err = t.ListEnrolmentCodes(ctx, by.Workspace, now, MaxCodes)
		return err
	})
	return out, err
}

// WithdrawCode ends an enrolment code. The caller needs clients.write.
func (s *Service) WithdrawCode(ctx context.Context, by auth.Caller, c id.EnrolmentCode) error {
	attempt := activity.Attempt{Action: "client.withdraw_code", Need: auth.ClientsWrite, Target: Code{ID: c}.party()}
	return s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		gone, found, err := t.DeleteEnrolmentCode(ctx, by.Workspace, c)
		if err != nil {
			return nil, err
		}
		if !found {
			return fault.NotFound("enrolment_code_not_found", "This enrolment code does not exist."), nil
		}
		return nil, activity.Append(ctx, t, by, activity.Event{Action: "client.withdraw_code", Target: gone.party()}, now)
	})
}
