package authenticate

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/webauthn"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/vault"
)

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
	var p *pass
	err := a.s.gate.Write(ctx, a.by, attemptOf(client.Get), func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		p = a.s.begin(t, a.by, client.Get, now)
		if a.f != nil || a.chosen.ID == "" { // nothing is signed: the holder chooses, if nothing is in the way
			return p.turnDown(ctx, a.in, a.options.Hash, a.f)
		}
		if no, err := p.take(ctx, a.in, a.k, a.chosen.ID, a.options.Hash); no != nil || err != nil {
			return no, err
		}
		return nil, p.used(ctx, a.k, a.chosen)
	})
	a.s.recent.spent(a.in.Tap)
	if err == nil {
		a.s.recent.keepRenewed(p.renewed, p.now)
	}
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

// used writes what a signature leaves behind. What is recorded is counted from the record
// (activity.ChainTx.CountSealed), a moment later; what is not is counted here.
func (p *pass) used(ctx context.Context, k client.Ticket, c vault.Credential) error {
	if k.Auditable {
		if err := p.seen(ctx, k); err != nil {
			return err
		}
		return p.append(ctx, k, c)
	}
	if _, err := p.t.UseCredential(ctx, p.by.Workspace, c.ID, k.SecurityKey, p.now); err != nil {
		return err
	}
	if err := p.touch(ctx, k); err != nil {
		return err
	}
	return p.t.CountLogin(ctx, p.by.Workspace, loginSuccess, p.now)
}
