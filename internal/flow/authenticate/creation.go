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
	"github.com/keyhold/keyhold/internal/base/webauthn"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/vault"
)

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
	if f, err := p.take(ctx, in, k, "", k.OptionsHash); f != nil || err != nil {
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
