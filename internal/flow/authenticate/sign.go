package authenticate

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/webauthn"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// Signing is what a client sends for a signature.
type Signing struct {
	Tap          id.Touch
	Verification secret.Bytes // the token of Verify; empty for none
	Options      []byte       // JSON, as the website gave them to its browser
	Account      []byte       // of an assertion: the id of the credential that was chosen; nil for none
}

// admit returns the ticket of a tap that is good for the operation with these options, and
// whether its holder was verified; spend says that the tap is used up by it. Whatever is in
// the way is recorded if spend is so, and returned.
func (p *pass) admit(ctx context.Context, in Signing, hash string, spend bool) (k client.Ticket, uv bool, f *fault.Error, err error) {
	k, found, err := p.t.FindTicket(ctx, p.by.Workspace, in.Tap)
	if err != nil {
		return k, false, nil, err
	}
	if found && k.Client == p.by.Client {
		p.about(k.SecurityKey, k.KeyName, k.User, k.CardDigest, k.RPID)
	}
	if uv, f, err = p.isGood(ctx, in, k, found, hash, spend); f != nil && err == nil && spend {
		f, err = p.reject(ctx, f)
	}
	if f != nil || err != nil {
		return k, false, f, err
	}
	q := Question{User: k.User, SecurityKey: k.SecurityKey, Kind: securitykey.ContactlessCard, RPID: k.RPID, Client: p.by.Client, IP: p.by.IP, Now: p.now}
	reason, err := p.s.policy(ctx, p.t, q)
	if err != nil || reason == "" {
		return k, uv, nil, err
	}
	if spend {
		f, err = p.refuse(ctx, NotAllowed(), reason)
		return k, false, f, err
	}
	return k, false, NotAllowed(), nil
}

func (p *pass) isGood(ctx context.Context, in Signing, k client.Ticket, found bool, hash string, spend bool) (uv bool, f *fault.Error, err error) {
	switch {
	case !found || !k.Good(p.by.Client, p.op, p.now):
		return false, client.NoTap(), nil
	case k.OptionsHash != hash:
		return false, fault.Conflict("options_changed", "These are not the options that the card was tapped for."), nil
	case k.SecurityKey != "" && !k.Active:
		return false, p.stands(true, true), nil
	case k.SecurityKey != "" && !k.Stands():
		return false, client.NoTap(), nil
	}
	if !in.Verification.IsEmpty() {
		look := p.t.FindVerification
		if spend {
			look = p.t.UseVerification
		}
		v, good, err := look(ctx, p.by.Workspace, client.VerificationDigest(in.Verification.ExposeString()), p.now)
		if err != nil {
			return false, nil, err
		}
		if !good || !v.Fits(k) {
			return false, fault.Forbidden("uv_token_not_good", "Type the PIN again: this verification is over, or of something else."), nil
		}
		return true, nil, nil
	}
	if k.Needs != client.NeedsNone || k.SecurityKey == "" {
		return false, fault.Forbidden("pin_needed", "This security key needs its PIN."), nil
	}
	return false, nil, nil
}

// turnDown answers and records what the options are refused for, before anything was read.
func (s *Service) turnDown(ctx context.Context, by auth.Caller, op client.Operation, in Signing, why error) error {
	f, err := faultOf(why)
	if err != nil {
		return err
	}
	return s.reject(ctx, by, op, in, f)
}

// reject answers f and records it of the tap, in a transaction of its own.
func (s *Service) reject(ctx context.Context, by auth.Caller, op client.Operation, in Signing, f *fault.Error) error {
	return s.gate.Write(ctx, by, attemptOf(op), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		p := s.begin(t, by, op, now)
		k, found, err := t.FindTicket(ctx, by.Workspace, in.Tap)
		if err != nil {
			return nil, err
		}
		if found && k.Client == by.Client {
			p.about(k.SecurityKey, k.KeyName, k.User, k.CardDigest, k.RPID)
		}
		return p.reject(ctx, f)
	})
}

// look reads what an operation depends on without changing anything.
func (s *Service) look(ctx context.Context, by auth.Caller, op client.Operation, in Signing, hash string) (k client.Ticket, uv bool, all []vault.Credential, f *fault.Error, err error) {
	err = s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		k, uv, f, err = s.begin(t, by, op, s.gate.Clock.Now()).admit(ctx, in, hash, false)
		if f != nil || err != nil {
			return err
		}
		all, err = t.ListPartyCredentials(ctx, by.Workspace, k.User, k.RPID)
		return err
	})
	return k, uv, all, f, err
}

// GetAssertion signs a user in at a website (authenticatorGetAssertion, CTAP 2.1 §6.2): it
// answers with the signature, or with the accounts of which the holder is to choose one; then
// the tap stays good. The signature is answered only after the sign-in is in the record, and
// spends the tap. The caller is the tap's client.
func (s *Service) GetAssertion(ctx context.Context, by auth.Caller, in Signing) (webauthn.AuthenticationResponse, []vault.Credential, error) {
	var none webauthn.AuthenticationResponse
	options, hash, err := parse(in.Options, webauthn.ParseRequest)
	if err != nil {
		return none, nil, s.turnDown(ctx, by, client.Get, in, err)
	}
	k, uv, all, f, err := s.look(ctx, by, client.Get, in, hash)
	if err != nil {
		return none, nil, err
	}
	var chosen vault.Credential
	var fitting []vault.Credential
	var made ctap.GetAssertionResponse
	var opened ctap.Credential
	data := webauthn.ClientData(webauthn.Get, options.Challenge, originOf(k))
	if f == nil {
		sum := sha256.Sum256(data)
		request := options.Request(k.RPID, sum[:])
		if chosen, fitting, err = choose(request, options, all, uv, in.Account); err == nil && chosen.ID != "" {
			opened, made, err = s.sign(ctx, chosen, request, uv)
		}
		if err != nil {
			if f, err = faultOf(err); err != nil {
				return none, nil, err
			}
		}
	}
	err = s.gate.Write(ctx, by, attemptOf(client.Get), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		p := s.begin(t, by, client.Get, now)
		k, verified, no, err := p.admit(ctx, in, hash, true)
		switch {
		case no != nil || err != nil:
			return no, err
		case f != nil: // by what was there when it was looked at
			return p.reject(ctx, f)
		case uv != verified:
			return p.reject(ctx, client.NoTap())
		case chosen.ID == "":
			return nil, nil // the holder chooses
		}
		return p.used(ctx, k, chosen)
	})
	if errors.Is(err, errTapTaken) {
		err = s.reject(ctx, by, client.Get, in, client.NoTap())
	}
	if err != nil {
		return none, nil, err
	}
	if chosen.ID == "" {
		return none, fitting, nil
	}
	return webauthn.NewAuthentication(options, opened, made, data, uv), nil, nil
}

// choose returns the credential that answers, or those of which the holder is to choose one.
// If the website names credentials, the one that was used last answers.
func choose(r ctap.GetAssertionRequest, o webauthn.RequestOptions, all []vault.Credential, uv bool, account []byte) (vault.Credential, []vault.Credential, error) {
	if o.Verification == webauthn.VerificationRequired && !uv {
		return vault.Credential{}, nil, ctap.Refuse(ctap.UnsupportedOption, "it wants verification, and this key works without")
	}
	var fit []vault.Credential
	for _, c := range all {
		if ctap.Fits(r, c.Public(), uv) && (account == nil || string(account) == string(c.RawID)) {
			fit = append(fit, c)
		}
	}
	switch {
	case len(fit) == 0:
		return vault.Credential{}, nil, ctap.Refuse(ctap.NoCredentials, "no credential fits")
	case len(fit) == 1 || len(r.Allow) > 0:
		return fit[0], nil, nil
	}
	return vault.Credential{}, fit, nil
}

// sign opens the credential and signs.
func (s *Service) sign(ctx context.Context, c vault.Credential, r ctap.GetAssertionRequest, uv bool) (ctap.Credential, ctap.GetAssertionResponse, error) {
	keys, err := s.secrets.SecretsOf(ctx, c.Workspace)
	if err != nil {
		return ctap.Credential{}, ctap.GetAssertionResponse{}, err
	}
	opened, err := c.Open(keys.Sealing)
	if err != nil {
		return ctap.Credential{}, ctap.GetAssertionResponse{}, errors.Join(errors.New("a credential does not open"), err)
	}
	made, err := ctap.GetAssertion(r, opened, uv)
	return opened, made, err
}

// used writes what a signature leaves behind.
func (p *pass) used(ctx context.Context, k client.Ticket, c vault.Credential) (*fault.Error, error) {
	there, err := p.t.UseCredential(ctx, p.by.Workspace, c.ID, k.SecurityKey, p.now)
	if err != nil {
		return nil, err
	}
	if !there { // deleted since it was looked at
		return p.reject(ctx, NotAllowed())
	}
	if err := p.spend(ctx, k); err != nil {
		return nil, err
	}
	if err := p.t.CountLogin(ctx, p.by.Workspace, loginSuccess, p.now); err != nil {
		return nil, err
	}
	if !k.Auditable {
		return nil, nil
	}
	return nil, p.append(ctx, k, c)
}

// seenAgain is how long a user counts as seen after a use.
const seenAgain = time.Minute

// errTapTaken undoes an operation whose tap another one used at the same moment.
var errTapTaken = errors.New("the tap was used at the same moment")

// spend uses up the tap, and notes that key and holder did something.
func (p *pass) spend(ctx context.Context, k client.Ticket) error {
	spent, err := p.t.SpendTap(ctx, p.by.Workspace, k.ID, p.now)
	if err != nil {
		return err
	}
	if !spent {
		return errTapTaken
	}
	if p.now.Sub(k.UserSeen) >= seenAgain {
		if err := p.t.TouchUser(ctx, p.by.Workspace, k.User, p.now); err != nil {
			return err
		}
	}
	return p.t.TouchSecurityKey(ctx, p.by.Workspace, k.SecurityKey, p.now)
}

// append writes the line of what was done, in the name of who holds the card.
func (p *pass) append(ctx context.Context, k client.Ticket, c vault.Credential) error {
	return activity.Append(ctx, p.t, p.by, activity.Event{
		Action: actionOf(p.op), Actor: activity.Party{Type: "user", ID: string(k.User), Name: k.UserName}, Target: c.Party(),
		User: k.User, SecurityKey: k.SecurityKey, RPID: k.RPID,
	}, p.now)
}

func originOf(k client.Ticket) webauthn.Origin {
	return webauthn.Origin{Origin: k.Origin, TopOrigin: k.TopOrigin, CrossOrigin: k.CrossOrigin}
}

// parse reads options and hashes them.
func parse[T any](raw []byte, read func([]byte) (T, error)) (options T, hash string, err error) {
	if hash, err = webauthn.OptionsHash(raw); err != nil {
		return options, "", err
	}
	options, err = read(raw)
	return options, hash, err
}

// MakeCredential registers a user at a website (authenticatorMakeCredential, CTAP 2.1 §6.1):
// the credential is the holder's and not the card's. One that the website excludes is
// invalid_state_error; a discoverable one of the same account is replaced. It is answered
// only after it and its activity are written, and spends the tap. The caller is the tap's
// client.
func (s *Service) MakeCredential(ctx context.Context, by auth.Caller, in Signing) (webauthn.RegistrationResponse, error) {
	var none webauthn.RegistrationResponse
	options, hash, err := parse(in.Options, webauthn.ParseCreation)
	if err != nil {
		return none, s.turnDown(ctx, by, client.Create, in, err)
	}
	k, uv, all, f, err := s.look(ctx, by, client.Create, in, hash)
	if err != nil {
		return none, err
	}
	var row vault.Credential
	var made ctap.MakeCredentialResponse
	var fresh ctap.Credential
	data := webauthn.ClientData(webauthn.Create, options.Challenge, originOf(k))
	sum := sha256.Sum256(data)
	request := options.Request(k.RPID, sum[:])
	if f == nil {
		if err = mayMake(request, options, all, uv); err == nil {
			if fresh, made, err = ctap.MakeCredential(request, options.Attest(), uv); err == nil {
				row, err = s.rowOf(ctx, by, k, options, fresh)
			}
		}
		if err != nil {
			if f, err = faultOf(err); err != nil {
				return none, err
			}
		}
	}
	err = s.gate.Write(ctx, by, attemptOf(client.Create), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		p := s.begin(t, by, client.Create, now)
		k, verified, no, err := p.admit(ctx, in, hash, true)
		switch {
		case no != nil || err != nil:
			return no, err
		case f != nil:
			return p.reject(ctx, f)
		case uv != verified:
			return p.reject(ctx, client.NoTap())
		}
		return p.keep(ctx, k, row, func(all []vault.Credential) error { return mayMake(request, options, all, uv) })
	})
	if errors.Is(err, errTapTaken) {
		err = s.reject(ctx, by, client.Create, in, client.NoTap())
	}
	if err != nil {
		return none, err
	}
	return webauthn.NewRegistration(options, fresh, made, data, uv)
}

// mayMake answers what is in the way of a new credential.
func mayMake(r ctap.MakeCredentialRequest, o webauthn.CreationOptions, all []vault.Credential, uv bool) error {
	if o.Verification == webauthn.VerificationRequired && !uv {
		return ctap.Refuse(ctap.UnsupportedOption, "it wants verification, and this key works without")
	}
	known := make([]ctap.Credential, len(all))
	for i, c := range all {
		known[i] = c.Public()
	}
	if ctap.Excluded(r, known, uv) {
		return ctap.Refuse(ctap.CredentialExcluded, "it is registered already")
	}
	return nil
}

// rowOf returns the sealed credential as it is kept.
func (s *Service) rowOf(ctx context.Context, by auth.Caller, k client.Ticket, o webauthn.CreationOptions, c ctap.Credential) (vault.Credential, error) {
	keys, err := s.secrets.SecretsOf(ctx, by.Workspace)
	if err != nil {
		return vault.Credential{}, err
	}
	now := s.gate.Clock.Now()
	row := vault.Credential{
		ID: id.New[id.KindCredential](now), Workspace: by.Workspace, User: k.User, RPID: k.RPID, RPName: o.RPName,
		UserHandle: c.User.ID, UserName: c.User.Name, DisplayName: c.User.DisplayName, Algorithm: c.Algorithm, RawID: c.ID, PublicKey: c.Public,
		Discoverable: c.Discoverable, Protection: c.Protect, HMACSecret: c.HMACSecret,
		CreatedAt: now, CreatedKey: k.SecurityKey, CreatedBy: k.UserName, Client: by.Client, LastKey: k.SecurityKey,
	}
	err = row.Seal(keys.Sealing, c)
	return row, err
}

// keep writes the new credential in the place of what it replaces, if it still may be made
// beside all that are there.
func (p *pass) keep(ctx context.Context, k client.Ticket, row vault.Credential, may func(all []vault.Credential) error) (*fault.Error, error) {
	// Two registrations of one user at once are one after the other.
	if there, err := p.t.LockUser(ctx, p.by.Workspace, k.User); err != nil || !there {
		return client.NoTap(), err
	}
	all, err := p.t.ListPartyCredentials(ctx, p.by.Workspace, k.User, k.RPID)
	if err != nil {
		return nil, err
	}
	if err := may(all); err != nil {
		f, err := faultOf(err)
		if err != nil {
			return nil, err
		}
		return p.reject(ctx, f)
	}
	n, err := p.t.CountCredentials(ctx, p.by.Workspace, k.User)
	if err != nil {
		return nil, err
	}
	same := slices.IndexFunc(all, func(c vault.Credential) bool {
		return row.Discoverable && c.Discoverable && string(c.UserHandle) == string(row.UserHandle)
	})
	switch {
	case same >= 0: // CTAP 2.1 §6.1.2 step 17: overwrite that credential
		if _, err := p.t.DeleteCredential(ctx, p.by.Workspace, all[same].ID); err != nil {
			return nil, err
		}
		if err := activity.Append(ctx, p.t, p.by, activity.Event{
			Action: "credential.delete", Detail: "replaced", Target: all[same].Party(), User: k.User, SecurityKey: k.SecurityKey, RPID: k.RPID,
		}, p.now); err != nil {
			return nil, err
		}
	case len(all) >= vault.MaxPerParty || n >= vault.MaxPerUser:
		return p.refuse(ctx, fault.Conflict("vault_full", "You have too many accounts here. Ask your administrator to remove some."), "vault_full")
	}
	if err := p.t.InsertCredential(ctx, row); err != nil {
		return nil, err
	}
	if err := p.spend(ctx, k); err != nil {
		return nil, err
	}
	return nil, p.append(ctx, k, row)
}
