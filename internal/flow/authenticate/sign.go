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

	rpID string       // as the options say
	key  secret.Bytes // of verifications
}

// with returns the request with what it is held against: the RP ID that the options say, and
// the workspace's key of verifications.
func (s *Service) with(ctx context.Context, by auth.Caller, in Signing, rpID string) (Signing, error) {
	keys, err := s.secrets.SecretsOf(ctx, by.Workspace)
	in.rpID, in.key = rpID, keys.PINKey
	return in, err
}

// admit returns the ticket of a tap that is good for the operation with these options.
// Without use nothing is changed: what is in the way is returned, and that a verification is
// good is taken for granted, to be asked by take. With it whatever is in the way is recorded
// as well.
func (p *pass) admit(ctx context.Context, in Signing, hash string, use bool) (k client.Ticket, f *fault.Error, err error) {
	k, found, err := p.t.FindTicket(ctx, p.by.Workspace, in.Tap)
	if err != nil {
		return k, nil, err
	}
	if found && k.Client == p.by.Client {
		p.about(k.SecurityKey, k.KeyName, k.User, k.CardDigest, k.RPID)
	}
	if f = p.inTheWay(in, k, found, hash); f == nil && use {
		f, err = p.verified(ctx, in, k)
	}
	if f == nil && err == nil {
		var reason string
		if reason, err = p.s.policy(ctx, p.t, p.question(k)); reason != "" && err == nil {
			if f = NotAllowed(); use {
				f, err = p.refuse(ctx, f, reason)
			}
			return k, f, err
		}
	}
	if f != nil && err == nil && use {
		f, err = p.reject(ctx, f)
	}
	return k, f, err
}

func (p *pass) question(k client.Ticket) Question {
	return Question{User: k.User, SecurityKey: k.SecurityKey, Kind: securitykey.ContactlessCard, RPID: k.RPID, Client: p.by.Client, IP: p.by.IP, Now: p.now}
}

// inTheWay answers what is in the way of a ticket's use.
func (p *pass) inTheWay(in Signing, k client.Ticket, found bool, hash string) *fault.Error {
	switch {
	case !found || !k.Good(p.by.Client, p.op, p.now):
		return client.NoTap()
	case k.OptionsHash != hash:
		return fault.Conflict("options_changed", "These are not the options that the card was tapped for.")
	case k.SecurityKey != "" && !k.Active:
		return p.stands(true, true)
	case k.SecurityKey != "" && !k.Stands():
		return client.NoTap()
	case p.asks(in, k):
		return fault.Forbidden("security_error", "The website asked for another relying party than the card was tapped for.")
	case in.Verification.IsEmpty() && (k.Needs != client.NeedsNone || k.SecurityKey == ""):
		return fault.Forbidden("pin_needed", "This security key needs its PIN.")
	}
	return nil
}

// asks says whether the options are for another relying party than the tap: the hash alone
// binds them to what the client said at the tap, not to what they say themselves.
func (p *pass) asks(in Signing, k client.Ticket) bool {
	rpID, err := webauthn.RPIDFor(originOf(k), in.rpID, p.s.rpID)
	return err != nil || rpID != k.RPID
}

// verified uses the verification that the client showed, if it showed one.
func (p *pass) verified(ctx context.Context, in Signing, k client.Ticket) (*fault.Error, error) {
	if in.Verification.IsEmpty() {
		return nil, nil
	}
	good, err := p.t.UseVerification(ctx, k, client.VerificationDigest(in.key, k, in.Verification), p.now)
	if err != nil || good {
		return nil, err
	}
	return fault.Forbidden("uv_token_not_good", "Type the PIN again: this verification is over, or of something else."), nil
}

// errTapTaken undoes an operation whose tap another one used at the same moment.
var errTapTaken = errors.New("the tap was used at the same moment")

// take spends a ticket that was found good before, if it and the verification still are:
// what is in the way now is recorded and returned.
func (p *pass) take(ctx context.Context, in Signing, k client.Ticket, hash string) (*fault.Error, error) {
	p.about(k.SecurityKey, k.KeyName, k.User, k.CardDigest, k.RPID)
	f, err := p.verified(ctx, in, k)
	if err != nil {
		return nil, err
	}
	if f == nil {
		if f, err := p.ask(ctx, p.question(k)); f != nil || err != nil {
			return f, err
		}
		if spent, err := p.t.SpendTicket(ctx, k, p.now); spent || err != nil {
			return nil, err
		}
	}
	// Something moved since: what it was is asked in the order of the protocol.
	if _, f, err = p.admit(ctx, in, hash, true); f != nil || err != nil {
		return f, err
	}
	return nil, errTapTaken
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

// turnDown records what an operation was turned down for when it was looked at: by what is in
// the way now, or else by f, which may be nil for nothing.
func (p *pass) turnDown(ctx context.Context, in Signing, hash string, f *fault.Error) (*fault.Error, error) {
	_, now, err := p.admit(ctx, in, hash, true)
	if now != nil || err != nil || f == nil {
		return now, err
	}
	return p.reject(ctx, f)
}

// look reads what an operation depends on without changing anything.
func (s *Service) look(ctx context.Context, by auth.Caller, op client.Operation, in Signing, hash string) (k client.Ticket, all []vault.Credential, f *fault.Error, err error) {
	now := s.gate.Clock.Now()
	err = s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		var err error
		k, f, err = s.begin(t, by, op, now).admit(ctx, in, hash, false)
		if f != nil || err != nil {
			return err
		}
		all, err = t.ListPartyCredentials(ctx, by.Workspace, k.User, k.RPID)
		return err
	})
	if f == nil && err == nil {
		s.recent.keepCredentials(ownerOf(k), all, now)
	}
	return k, all, f, err
}

// remembered returns what look would, if this server remembers it and nothing in it is in the
// way.
func (s *Service) remembered(by auth.Caller, op client.Operation, in Signing, hash string) (k client.Ticket, all []vault.Credential, ok bool) {
	k, ok = s.recent.ticket(in.Tap)
	if !ok || k.Workspace != by.Workspace || s.begin(nil, by, op, s.gate.Clock.Now()).inTheWay(in, k, true, hash) != nil {
		return client.Ticket{}, nil, false
	}
	all, ok = s.recent.credentialsOf(ownerOf(k), s.gate.Clock.Now())
	return k, all, ok
}

// GetAssertion signs a user in at a website (authenticatorGetAssertion, CTAP 2.1 §6.2): it
// answers with the signature, or with the accounts of which the holder is to choose one; then
// the tap stays good. The signature is answered only after the sign-in is in the record, and
// spends the tap. The caller is the tap's client.
func (s *Service) GetAssertion(ctx context.Context, by auth.Caller, in Signing) (webauthn.AuthenticationResponse, []vault.Credential, error) {
	options, err := webauthn.ParseRequest(in.Options)
	if err != nil {
		return webauthn.AuthenticationResponse{}, nil, s.turnDown(ctx, by, client.Get, in, err)
	}
	if in, err = s.with(ctx, by, in, options.RPID); err != nil {
		return webauthn.AuthenticationResponse{}, nil, err
	}
	a := assertion{s: s, by: by, in: in, options: options}
	var done bool
	if a.k, a.all, done = s.remembered(by, client.Get, in, options.Hash); done {
		if done, err = a.prepare(ctx); done && err == nil {
			done, err = a.write(ctx)
		}
	}
	if !done && err == nil {
		if a.k, a.all, a.f, err = s.look(ctx, by, client.Get, in, options.Hash); err == nil {
			if _, err = a.prepare(ctx); err == nil {
				done, err = a.write(ctx)
			}
		}
		if !done && err == nil { // deleted between the two
			err = s.reject(ctx, by, client.Get, in, NotAllowed())
		}
	}
	if errors.Is(err, errTapTaken) {
		err = s.reject(ctx, by, client.Get, in, client.NoTap())
	}
	switch {
	case err != nil:
		return webauthn.AuthenticationResponse{}, nil, err
	case a.chosen.ID == "":
		return webauthn.AuthenticationResponse{}, a.fitting, nil
	}
	return webauthn.NewAuthentication(options, a.opened, a.made, a.data, a.uv()), nil, nil
}

// assertion is one call of GetAssertion: what it depends on, as it was looked at or
// remembered, and what was made of it.
type assertion struct {
	s       *Service
	by      auth.Caller
	in      Signing
	options webauthn.RequestOptions

	k   client.Ticket
	all []vault.Credential
	f   *fault.Error // what was in the way

	chosen  vault.Credential
	fitting []vault.Credential // of which the holder is to choose one
	data    []byte
	opened  ctap.Credential
	made    ctap.GetAssertionResponse
}

func (a *assertion) uv() bool { return !a.in.Verification.IsEmpty() }

// prepare signs, outside any transaction. It returns false if there is nothing to be signed.
func (a *assertion) prepare(ctx context.Context) (bool, error) {
	if a.f != nil {
		return false, nil //nolint:nilerr // the fault is for write to answer
	}
	a.data = webauthn.ClientData(webauthn.Get, a.options.Challenge, originOf(a.k))
	sum := sha256.Sum256(a.data)
	request := a.options.Request(a.k.RPID, sum[:])
	var err error
	if a.chosen, a.fitting, err = choose(request, a.options, a.all, a.uv(), a.in.Account); err == nil && a.chosen.ID != "" {
		a.opened, a.made, err = a.s.sign(ctx, a.k, a.chosen, request, a.uv())
	}
	if err != nil {
		a.f, err = faultOf(err)
	}
	return a.f == nil && a.chosen.ID != "", err
}

// write spends the tap, if all still is as it was, and writes what a signature leaves behind.
// It returns false, with nothing done, if the credential is gone.
func (a *assertion) write(ctx context.Context) (bool, error) {
	err := a.s.gate.Write(ctx, a.by, attemptOf(client.Get), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		p := a.s.begin(t, a.by, client.Get, now)
		if a.f != nil || a.chosen.ID == "" { // nothing is signed: the holder chooses, if nothing is in the way
			return p.turnDown(ctx, a.in, a.options.Hash, a.f)
		}
		if no, err := p.take(ctx, a.in, a.k, a.options.Hash); no != nil || err != nil {
			return no, err
		}
		return nil, p.used(ctx, a.k, a.chosen)
	})
	a.s.recent.spent(a.in.Tap)
	if errors.Is(err, errGone) {
		a.s.recent.forget(a.k)
		return false, nil
	}
	return true, err
}

// choose returns the credential that answers, or those of which the holder is to choose one.
// If the website names credentials, the one that was used last answers.
func choose(r ctap.GetAssertionRequest, o webauthn.RequestOptions, all []vault.Credential, uv bool, account []byte) (vault.Credential, []vault.Credential, error) {
	if o.Verification == webauthn.VerificationRequired && !uv {
		return vault.Credential{}, nil, ctap.RefuseAs(ctap.NotAllowedError, ctap.UnsupportedOption, "it wants verification, and this key works without")
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

// holds returns the workspace's secrets if the tapped card is its holder's, by what is sealed
// and not by what a row says: a card that was moved to somebody else in the database opens
// nothing.
func (s *Service) holds(ctx context.Context, k client.Ticket) (securitykey.Secrets, error) {
	keys, err := s.secrets.SecretsOf(ctx, k.Workspace)
	if err != nil {
		return securitykey.Secrets{}, err
	}
	if s.recent.holds(k) {
		return keys, nil
	}
	number, err := keys.Sealing.Open(k.CardSealed, securitykey.CardIdentity(k.Workspace, k.User, k.SecurityKey))
	if err != nil {
		return securitykey.Secrets{}, errors.Join(errors.New("a card is not its holder's"), err)
	}
	if securitykey.CardDigest(keys.CardKey, number) != k.CardDigest {
		return securitykey.Secrets{}, errors.New("a card has another number than it was tapped with")
	}
	s.recent.keepHolding(k)
	return keys, nil
}

// sign opens the credential and signs.
func (s *Service) sign(ctx context.Context, k client.Ticket, c vault.Credential, r ctap.GetAssertionRequest, uv bool) (ctap.Credential, ctap.GetAssertionResponse, error) {
	keys, err := s.holds(ctx, k)
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

// errGone undoes an assertion whose credential was deleted since it was looked at.
var errGone = errors.New("the credential is gone")

// used writes what a signature leaves behind.
func (p *pass) used(ctx context.Context, k client.Ticket, c vault.Credential) error {
	there, err := p.t.UseCredential(ctx, p.by.Workspace, c.ID, k.SecurityKey, p.now)
	if err != nil {
		return err
	}
	if !there {
		return errGone
	}
	if err := p.touch(ctx, k); err != nil {
		return err
	}
	if err := p.t.CountLogin(ctx, p.by.Workspace, loginSuccess, p.now); err != nil || !k.Auditable {
		return err
	}
	return p.append(ctx, k, c)
}

// seenAgain is how long a user and a key count as seen after a use.
const seenAgain = time.Minute

// touch notes that key and holder did something.
func (p *pass) touch(ctx context.Context, k client.Ticket) error {
	if p.now.Sub(k.UserSeen) >= seenAgain {
		if err := p.t.MarkUserSeen(ctx, p.by.Workspace, k.User, p.now); err != nil {
			return err
		}
	}
	if p.now.Sub(k.KeySeen) < seenAgain {
		return p.t.CountSecurityKeyUse(ctx, p.by.Workspace, k.SecurityKey)
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

// MakeCredential registers a user at a website (authenticatorMakeCredential, CTAP 2.1 §6.1):
// the credential is the holder's and not the card's. One that the website excludes is
// invalid_state_error; a discoverable one of the same account is replaced. It is answered
// only after it and its activity are written, and spends the tap. The caller is the tap's
// client.
func (s *Service) MakeCredential(ctx context.Context, by auth.Caller, in Signing) (webauthn.RegistrationResponse, error) {
	var none webauthn.RegistrationResponse
	options, err := webauthn.ParseCreation(in.Options)
	if err != nil {
		return none, s.turnDown(ctx, by, client.Create, in, err)
	}
	if in, err = s.with(ctx, by, in, options.RPID); err != nil {
		return none, err
	}
	k, all, f, err := s.look(ctx, by, client.Create, in, options.Hash)
	if err != nil {
		return none, err
	}
	uv := !in.Verification.IsEmpty()
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
		if f != nil {
			return p.turnDown(ctx, in, options.Hash, f)
		}
		return p.keep(ctx, in, k, row, func(all []vault.Credential) error { return mayMake(request, options, all, uv) })
	})
	s.recent.forget(k)
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
	keys, err := s.holds(ctx, k)
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
func (p *pass) keep(ctx context.Context, in Signing, k client.Ticket, row vault.Credential, may func(all []vault.Credential) error) (*fault.Error, error) {
	// Two registrations of one user at once are one after the other.
	if there, err := p.t.LockUser(ctx, p.by.Workspace, k.User); err != nil || !there {
		return client.NoTap(), err
	}
	all, err := p.t.ListPartyCredentials(ctx, p.by.Workspace, k.User, k.RPID)
	if err != nil {
		return nil, err
	}
	n, err := p.t.CountCredentials(ctx, p.by.Workspace, k.User)
	if err != nil {
		return nil, err
	}
	same := slices.IndexFunc(all, func(c vault.Credential) bool {
		return row.Discoverable && c.Discoverable && string(c.UserHandle) == string(row.UserHandle)
	})
	err = may(all)
	if err == nil && same < 0 && (len(all) >= vault.MaxPerParty || n >= vault.MaxPerUser) {
		err = ctap.Refuse(ctap.KeyStoreFull, "there are too many accounts already")
	}
	if err != nil {
		f, err := faultOf(err)
		if err != nil {
			return nil, err
		}
		return p.reject(ctx, f)
	}
	if f, err := p.take(ctx, in, k, k.OptionsHash); f != nil || err != nil {
		return f, err
	}
	if same >= 0 { // CTAP 2.1 §6.1.2 step 17: overwrite that credential
		if _, err := p.t.DeleteCredential(ctx, p.by.Workspace, all[same].ID); err != nil {
			return nil, err
		}
		if err := activity.Append(ctx, p.t, p.by, activity.Event{
			Action: "credential.delete", Detail: "replaced", Target: all[same].Party(), User: k.User, SecurityKey: k.SecurityKey, RPID: k.RPID,
		}, p.now); err != nil {
			return nil, err
		}
	}
	if err := p.t.InsertCredential(ctx, row); err != nil {
		return nil, err
	}
	if err := p.touch(ctx, k); err != nil {
		return nil, err
	}
	return nil, p.append(ctx, k, row)
}
