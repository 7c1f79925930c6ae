package client

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Applicant is a program that proved itself and shows an enrolment code, but no API key. Its
// methods run in the transaction of who makes the key (flow enrol).
type Applicant struct {
	s      *Service
	said   Client // what it says of itself
	proof  auth.Proof
	code   secret.Bytes
	budget string // the name under which its try was counted
}

// Apply reads what a program shows that has an enrolment code alone: by is nobody, and the
// proof is made with an empty token. The try is counted, before anything is compared. A proof
// that is not good is refused as Enrol refuses it; without a code it is Unauthenticated.
// Nothing of it is recorded: nobody knows yet in which workspace.
func (s *Service) Apply(ctx context.Context, by auth.Caller, sh Shown, e Enrolment) (Applicant, error) {
	if strings.TrimSpace(e.Code) == "" {
		return Applicant{}, fault.Unauthenticated()
	}
	p, proof, f := s.prove(sh)
	if f != nil {
		return Applicant{}, f
	}
	said, wrong := readEnrolment(e, p)
	if wrong != nil {
		return Applicant{}, wrong
	}
	a := Applicant{s: s, said: said, proof: proof, code: secret.FromString(e.Code), budget: "client_code_alone/" + auth.Network(by.IP)}
	return a, s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.gate.Clock.Now()
		n, since, err := t.CountRate(ctx, a.budget, now, codeWindow)
		if err != nil || n <= networkTries {
			return nil, err
		}
		return tooManyCodes(since.Add(codeWindow).Sub(now)), nil
	})
}

// FindWorkspace returns the workspace whose code the applicant shows; a code that is not good
// is an Invalid fault, whyever. All good codes are compared, whether one fits or none.
func (a Applicant) FindWorkspace(ctx context.Context, t Tx, now time.Time) (id.Workspace, error) {
	codes, err := t.ListAllEnrolmentCodes(ctx, now, codesCompared)
	if err != nil {
		return "", err
	}
	digests := map[id.Workspace][]byte{}
	var found id.Workspace
	for _, c := range codes {
		if digests[c.Workspace] == nil {
			digests[c.Workspace] = a.s.digest(c.Workspace, a.code.ExposeString())
		}
		if subtle.ConstantTimeCompare(c.Digest, digests[c.Workspace]) == 1 {
			found = c.Workspace
		}
	}
	if found == "" {
		return "", codeInvalid()
	}
	return found, nil
}

// Enrol makes the applicant an approved client of the workspace that FindWorkspace returned,
// and spends a use of the code. issue makes the API key of the client, which is the caller
// that it is given. A program that is a client already is refused (Conflict client_known), a
// name that is had as well (Conflict name_taken), before the code is spent.
func (a Applicant) Enrol(ctx context.Context, t Tx, by auth.Caller, w id.Workspace, now time.Time, issue func(ctx context.Context, by auth.Caller) (id.APIKey, error)) (Client, *fault.Error, error) {
	by.Workspace, by.Proof = w, a.proof
	c := a.said.begin(by, now)
	n := enrolment{t: t, by: by, attempt: activity.Attempt{Action: actEnrol, Need: auth.Signed, Target: a.said.party()}, now: now}
	if f, err := a.mayEnrol(ctx, n, c); f != nil || err != nil {
		return Client{}, f, err
	}
	code, ok, err := t.SpendEnrolmentCode(ctx, w, a.s.digest(w, a.code.ExposeString()), now)
	if err != nil {
		return Client{}, nil, err
	}
	if !ok {
		f, err := n.refuse(ctx, codeInvalid())
		return Client{}, f, err
	}
	if err := t.UncountRate(ctx, a.budget); err != nil {
		return Client{}, nil, err
	}
	c.State, c.ApprovedAt, c.ApprovedBy = Approved, now, code.CreatedBy
	by = c.caller(by, a.proof)
	if c.APIKey, err = issue(ctx, by); err != nil {
		return Client{}, nil, err
	}
	if err := t.InsertClient(ctx, c); err != nil {
		return Client{}, nil, err
	}
	return c, nil, activity.Append(ctx, t, by, activity.Event{Action: actEnrol, Target: c.party(), Detail: approvedByCode}, now)
}

// mayEnrol decides all but whether the code is still good. What it refuses is recorded in the
// workspace: who is refused there had a code of it.
func (a Applicant) mayEnrol(ctx context.Context, n enrolment, c Client) (*fault.Error, error) {
	stands, err := n.t.WorkspaceStands(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	if !stands {
		return codeInvalid(), nil
	}
	_, fresh, err := n.t.AdmitProof(ctx, n.by, n.now)
	if err != nil {
		return nil, err
	}
	if !fresh {
		return fault.BadProof(), activity.Refuse(ctx, n.t, n.by, n.attempt, "proof_replayed", n.now)
	}
	_, found, f, err := n.findKnown(ctx, c)
	if f != nil || err != nil {
		return f, err
	}
	if found {
		return n.refuse(ctx, fault.Conflict("client_known", "This program is a client already, with the API key that it began with. To enrol anew it makes another key pair."))
	}
	taken, err := n.t.ClientNameTaken(ctx, c.Workspace, c.Name, "")
	if err != nil {
		return nil, err
	}
	if taken {
		return n.refuse(ctx, nameTaken())
	}
	return nil, nil
}
