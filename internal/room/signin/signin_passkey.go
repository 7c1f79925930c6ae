package signin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// Challenge is what the browser is asked: the options for navigator.credentials
// in the JSON form of WebAuthn L3 §5.1.8-9, and the ceremony to answer it with.
type Challenge struct {
	Ceremony id.Ceremony
	Options  json.RawMessage
}

// maxResponse bounds an answer of an authenticator.
const maxResponse = 64 << 10

// account is a person as the relying-party library wants them.
type account struct {
	person      Person
	credentials []webauthn.Credential
}

func (a account) WebAuthnID() []byte                         { return a.person.User.Bytes() }
func (a account) WebAuthnName() string                       { return a.person.Email }
func (a account) WebAuthnDisplayName() string                { return a.person.Name }
func (a account) WebAuthnCredentials() []webauthn.Credential { return a.credentials }

// ceremonyData is what a ceremony remembers between question and answer.
type ceremonyData struct {
	Session webauthn.SessionData
	Context json.RawMessage `json:",omitempty"`
}

// rejected is the one answer to every passkey that does not fit.
func rejected(cause error) *fault.Error {
	return fault.Invalid("passkey_rejected", "This passkey was not accepted. Try again.").Because(cause)
}

// over is the answer to a ceremony that is unknown, spent or too old.
func over() *fault.Error {
	return fault.Conflict("ceremony_over", "This took too long or was used before. Start again.")
}

// Holding is what sort of thing is asked to hold a new passkey.
type Holding string

// The sorts. The zero Holding asks for any.
const (
	HeldByAny         Holding = ""
	HeldByPhone       Holding = "phone"        // the device that shows the page; no attestation
	HeldByHardwareKey Holding = "hardware_key" // a key of its own, with its maker's attestation
)

// options returns what is asked of the browser for the sort.
func (h Holding) options() []webauthn.RegistrationOption {
	selection := protocol.AuthenticatorSelection{
		ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: new(true),
		UserVerification: protocol.VerificationRequired,
	}
	switch h {
	case HeldByPhone:
		selection.AuthenticatorAttachment = protocol.Platform
		return []webauthn.RegistrationOption{webauthn.WithAuthenticatorSelection(selection)}
	case HeldByHardwareKey:
		selection.AuthenticatorAttachment = protocol.CrossPlatform
		return []webauthn.RegistrationOption{
			webauthn.WithAuthenticatorSelection(selection), webauthn.WithConveyancePreference(protocol.PreferDirectAttestation),
		}
	}
	return nil
}

// NewRegistration makes the challenge for a new passkey of the person, who need
// not exist yet, and the ceremony to store. note comes back from CheckRegistration.
// It is for the flows that decide who may register.
func (r *RelyingParty) NewRegistration(p Person, existing []Passkey, note any, now time.Time) (Challenge, Ceremony, error) {
	return r.NewRegistrationOn(HeldByAny, p, existing, note, now)
}

// NewRegistrationOn is NewRegistration for a passkey that is held by something of
// that sort.
func (r *RelyingParty) NewRegistrationOn(h Holding, p Person, existing []Passkey, note any, now time.Time) (Challenge, Ceremony, error) {
	a := account{person: p}
	var exclude []protocol.CredentialDescriptor
	for _, k := range existing {
		exclude = append(exclude, protocol.CredentialDescriptor{Type: protocol.PublicKeyCredentialType, CredentialID: k.CredentialID})
	}
	creation, session, err := r.party.BeginRegistration(a, append(h.options(), webauthn.WithExclusions(exclude))...)
	if err != nil {
		return Challenge{}, Ceremony{}, fmt.Errorf("beginning a registration: %w", err)
	}
	return newChallenge(Ceremony{Workspace: p.Workspace, User: p.User, Purpose: PurposeRegister}, creation.Response, session, note, now)
}

func newChallenge(c Ceremony, options any, session *webauthn.SessionData, note any, now time.Time) (Challenge, Ceremony, error) {
	remembered, err := json.Marshal(note)
	if err != nil {
		return Challenge{}, Ceremony{}, fmt.Errorf("writing a ceremony's note: %w", err)
	}
	data, err := json.Marshal(ceremonyData{Session: *session, Context: remembered})
	if err != nil {
		return Challenge{}, Ceremony{}, fmt.Errorf("writing a ceremony: %w", err)
	}
	text, err := json.Marshal(options)
	if err != nil {
		return Challenge{}, Ceremony{}, fmt.Errorf("writing a challenge: %w", err)
	}
	c.ID, c.Data, c.ExpiresAt = id.New[id.KindCeremony](now), data, now.Add(CeremonyLifetime)
	return Challenge{Ceremony: c.ID, Options: text}, c, nil
}

// CheckRegistration judges an authenticator's answer to a registration and
// returns the new passkey; note is filled with what NewRegistration was given.
// Nothing is written and the ceremony is not spent.
func (r *RelyingParty) CheckRegistration(c Ceremony, p Person, response []byte, note any, now time.Time) (Passkey, error) {
	if c.Purpose != PurposeRegister || !now.Before(c.ExpiresAt) {
		return Passkey{}, over()
	}
	var data ceremonyData
	if err := json.Unmarshal(c.Data, &data); err != nil {
		return Passkey{}, fmt.Errorf("reading ceremony %s: %w", c.ID, err)
	}
	if err := json.Unmarshal(data.Context, note); err != nil {
		return Passkey{}, fmt.Errorf("reading the note of ceremony %s: %w", c.ID, err)
	}
	if len(response) > maxResponse {
		return Passkey{}, rejected(errors.New("the response is too large"))
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Passkey{}, rejected(err)
	}
	credential, err := r.party.CreateCredential(account{person: Person{User: c.User, Email: p.Email, Name: p.Name}}, data.Session, parsed)
	if err != nil {
		return Passkey{}, rejected(err)
	}
	record, err := json.Marshal(credential)
	if err != nil {
		return Passkey{}, fmt.Errorf("writing a passkey's record: %w", err)
	}
	return Passkey{
		ID: id.New[id.KindPasskey](now), Workspace: c.Workspace, User: c.User, CredentialID: credential.ID,
		Record: record, Name: "Passkey of " + now.Format("2 January 2006"), CreatedAt: now,
	}, nil
}

// Make is what an authenticator told of itself when it registered a passkey.
type Make struct {
	AAGUID      string // of its model: a UUID in lower case; empty if it tells none
	Attestation string // the format of its attestation: "none", "packed", …
}

// Make returns what the passkey's authenticator told of itself. Only an attestation
// other than "none" proves any of it.
func (p Passkey) Make() (Make, error) {
	var c webauthn.Credential
	if err := json.Unmarshal(p.Record, &c); err != nil {
		return Make{}, fmt.Errorf("reading passkey %s: %w", p.ID, err)
	}
	m := Make{Attestation: c.AttestationFormat}
	if u := c.Authenticator.AAGUID; len(u) == 16 && !bytes.Equal(u, make([]byte, 16)) {
		m.AAGUID = fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	}
	return m, nil
}

// AddPasskey writes a checked passkey and its line into the caller's transaction, and
// the mail to the person, unless it belongs to a security key: who binds that tells of
// it. It is for the flows that decide who may register.
func AddPasskey(ctx context.Context, t Tx, by auth.Caller, p Person, k Passkey, now time.Time) (*fault.Error, error) {
	if _, known, err := t.FindPasskey(ctx, k.CredentialID); err != nil || known {
		return rejected(errors.New("the credential id is registered already")), err
	}
	if err := t.InsertPasskey(ctx, k); err != nil {
		return nil, err
	}
	if k.SecurityKey == "" {
		mail := outbox.PasskeyRegistered{
			To:        recipient(p),
			Workspace: p.WorkspaceName, Passkey: k.Name, At: now.UnixMilli(), IP: by.IP, Agent: by.Agent,
		}
		if err := outbox.Put(ctx, t, p.Workspace, mail, now); err != nil {
			return nil, err
		}
	}
	return nil, activity.Append(ctx, t, by, activity.Event{
		Workspace: p.Workspace, Action: "passkey.register", Actor: registrar(by, p, k),
		Target: activity.Party{Type: "passkey", ID: string(k.ID), Name: k.Name}, User: p.User, SecurityKey: k.SecurityKey,
	}, now)
}

// registrar returns who registers the passkey: its owner, but for one of a security
// key, which somebody else may register at a desk.
func registrar(by auth.Caller, p Person, k Passkey) activity.Party {
	if k.SecurityKey != "" && by.Kind != auth.Anonymous && by.User != p.User {
		return activity.Party{Type: string(by.Kind), ID: by.Identity(), Name: by.Name}
	}
	return userParty(p)
}

// BeginSignIn asks for any passkey of this relying party. Anybody may call it; a
// network that asks too often is answered a TooMany fault.
func (s *Service) BeginSignIn(ctx context.Context, by auth.Caller) (Challenge, error) {
	return s.beginAssertion(ctx, Ceremony{Purpose: PurposeSignIn}, func(ctx context.Context, t Tx, now time.Time) (*fault.Error, error) {
		return slow(ctx, t, "sign_in_network/"+auth.Network(by.IP), signInsPerNet, networkWindow, now)
	})
}

// BeginStepUp asks the signed-in person for a passkey of theirs again.
func (s *Service) BeginStepUp(ctx context.Context, by auth.Caller) (Challenge, error) {
	if by.Kind != auth.Administrator {
		return Challenge{}, fault.Unauthenticated()
	}
	return s.beginAssertion(ctx, Ceremony{Purpose: PurposeStepUp, Workspace: by.Workspace, User: by.User},
		func(context.Context, Tx, time.Time) (*fault.Error, error) { return nil, nil })
}

// beginAssertion asks for a passkey unless bound answers a fault.
func (s *Service) beginAssertion(ctx context.Context, c Ceremony, bound func(context.Context, Tx, time.Time) (*fault.Error, error)) (Challenge, error) {
	assertion, session, err := s.rp.party.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Challenge{}, fmt.Errorf("beginning a sign-in: %w", err)
	}
	now := s.clock.Now()
	challenge, c, err := newChallenge(c, assertion.Response, session, nil, now)
	if err != nil {
		return Challenge{}, err
	}
	err = s.store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		if f, err := bound(ctx, t, now); f != nil || err != nil {
			return f, err
		}
		return nil, t.InsertCeremony(ctx, c, now)
	})
	if err != nil {
		return Challenge{}, err
	}
	return challenge, nil
}

// FinishSignIn opens a session for the holder of the passkey that answered the
// ceremony: of the panel for an administrator whose passkey is confirmed, else of
// the app. Anybody may call it; a passkey that is unknown, of somebody who is
// suspended, or does not verify the user gets the same answer.
func (s *Service) FinishSignIn(ctx context.Context, by auth.Caller, ceremony id.Ceremony, response []byte) (Opened, error) {
	proof, err := s.prove(ctx, ceremony, PurposeSignIn, response)
	if err != nil {
		return Opened{}, s.refuseProof(ctx, by, "session.open", ceremony, proof, err)
	}
	var opened Opened
	err = s.store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.clock.Now()
		f, err := spend(ctx, t, ceremony, proof, now)
		if f != nil || err != nil {
			return f, err
		}
		// Read again: the proof was judged before this transaction began.
		p, found, err := t.FindPerson(ctx, proof.person.Workspace, proof.person.User)
		if err != nil {
			return nil, err
		}
		k, kept, err := t.FindPasskey(ctx, proof.passkey.CredentialID)
		switch {
		case err != nil:
			return nil, err
		case !found || !kept:
			return rejected(errors.New("the passkey or its holder is gone")), nil
		case p.Suspended:
			return rejected(errors.New("the holder or the workspace is suspended")), refuseSession(ctx, t, by, p, "suspended", now)
		}
		opened, err = s.rp.OpenSession(ctx, t, by, p, OpenedByPasskey, k, now)
		return nil, err
	})
	return opened, err
}

// FinishStepUp notes in the caller's session that they proved presence now.
func (s *Service) FinishStepUp(ctx context.Context, by auth.Caller, ceremony id.Ceremony, response []byte) error {
	proof, err := s.prove(ctx, ceremony, PurposeStepUp, response)
	if err == nil && (proof.passkey.User != by.User || proof.passkey.Workspace != by.Workspace) {
		err = rejected(errors.New("the passkey is somebody else's"))
	}
	if err == nil && proof.passkey.ConfirmedAt.IsZero() {
		err = rejected(errors.New("the passkey does not open the panel yet"))
	}
	if err != nil {
		return s.refuseProof(ctx, by, "session.step_up", ceremony, proof, err)
	}
	return s.gate.Write(ctx, by, activity.Attempt{Action: "session.step_up", Need: auth.Signed},
		func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
			if f, err := spend(ctx, t, ceremony, proof, now); f != nil || err != nil {
				return f, err
			}
			if err := t.StepUpSession(ctx, by.Workspace, by.Session, now); err != nil {
				return nil, err
			}
			return nil, activity.Append(ctx, t, by, activity.Event{
				Action: "session.step_up", Target: userParty(proof.person), User: by.User, SecurityKey: proof.passkey.SecurityKey, RPID: s.rp.id,
			}, now)
		})
}

// proof is a passkey that answered a challenge rightly.
type proof struct {
	passkey Passkey // with the record as it is after the use
	person  Person
	reason  string // of the refusal's line, if it is another than the fault's code
}

// prove judges an assertion outside any writing transaction. The ceremony is not
// spent. The proof holds the passkey and person as far as they are known, also
// beside a fault.
func (s *Service) prove(ctx context.Context, ceremony id.Ceremony, purpose Purpose, response []byte) (proof, error) {
	if len(response) > maxResponse {
		return proof{}, rejected(errors.New("the response is too large"))
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return proof{}, rejected(err)
	}
	var out proof
	var c Ceremony
	err = s.store.Read(ctx, func(ctx context.Context, t Tx) error {
		var found bool
		if c, found, err = t.FindCeremony(ctx, ceremony); err != nil {
			return err
		}
		if !found || c.Purpose != purpose || !s.clock.Now().Before(c.ExpiresAt) {
			return over()
		}
		if out.passkey, found, err = t.FindPasskey(ctx, parsed.RawID); err != nil {
			return err
		}
		if !found {
			return rejected(errors.New("the passkey is unknown"))
		}
		out.person, found, err = t.FindPerson(ctx, out.passkey.Workspace, out.passkey.User)
		if err == nil && !found {
			return rejected(errors.New("the passkey's holder is gone"))
		}
		return err
	})
	if err != nil {
		return out, err
	}
	var data ceremonyData
	if err := json.Unmarshal(c.Data, &data); err != nil {
		return out, fmt.Errorf("reading ceremony %s: %w", c.ID, err)
	}
	var known webauthn.Credential
	if err := json.Unmarshal(out.passkey.Record, &known); err != nil {
		return out, fmt.Errorf("reading passkey %s: %w", out.passkey.ID, err)
	}
	holder := account{person: out.person, credentials: []webauthn.Credential{known}}
	used, err := s.rp.party.ValidateDiscoverableLogin(func(_, _ []byte) (webauthn.User, error) { return holder, nil }, data.Session, parsed)
	if err != nil {
		return out, rejected(err)
	}
	if used.Authenticator.CloneWarning {
		// WebAuthn L3 §7.2 step 22: a counter that does not grow means a copy exists.
		return out, rejected(errors.New("the signature counter did not grow"))
	}
	if out.passkey.KeySuspended {
		out.reason = "security_key_suspended"
		return out, rejected(errors.New("the security key is suspended"))
	}
	if out.passkey.Record, err = json.Marshal(used); err != nil {
		return out, fmt.Errorf("writing passkey %s: %w", out.passkey.ID, err)
	}
	return out, nil
}

// spend takes the ceremony, so that one answer counts once, and notes the
// passkey's use.
func spend(ctx context.Context, t Tx, ceremony id.Ceremony, p proof, now time.Time) (*fault.Error, error) {
	taken, err := t.TakeCeremony(ctx, ceremony, now)
	if err != nil {
		return nil, err
	}
	if !taken {
		return over(), nil
	}
	p.passkey.LastUsedAt = now
	used, err := t.UpdatePasskeyUse(ctx, p.passkey)
	if err == nil && !used {
		return rejected(errors.New("the passkey was removed, or its security key suspended, meanwhile")), nil
	}
	return nil, err
}

// refuseProof spends the ceremony of a refused answer and records the refusal in
// the workspace of the passkey, if it is a known one. It returns the fault.
func (s *Service) refuseProof(ctx context.Context, by auth.Caller, action string, ceremony id.Ceremony, p proof, cause error) error {
	f, ok := fault.As(cause)
	if !ok {
		return cause
	}
	return s.store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.clock.Now()
		if _, err := t.TakeCeremony(ctx, ceremony, now); err != nil {
			return nil, err
		}
		if by.Workspace == "" {
			by.Workspace, by.User = p.person.Workspace, p.person.User
		}
		if action == "session.open" && by.Workspace != "" {
			if err := t.CountLogin(ctx, by.Workspace, loginRefused, now); err != nil {
				return nil, err
			}
		}
		reason := f.Code
		if p.reason != "" {
			reason = p.reason
		}
		return f, activity.Refuse(ctx, t, by, activity.Attempt{
			Action: action, Target: userParty(p.person), SecurityKey: p.passkey.SecurityKey,
		}, reason, now)
	})
}
