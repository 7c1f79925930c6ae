package smartlock

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// The bounds of enrolling and renewing. Tokens that work are not counted: a house may
// enrol all its doors in an hour.
const (
	enrolTries  = 20
	renewals    = 20
	rateWindow  = time.Hour
	actEnrol    = "lock.enrol"
	actLink     = "lock.link"
	actRenew    = "lock.renew"
	actEnrolFor = "lock.issue_enrolment"
)

// enrolmentRefused is the one answer to a token that does not enrol, whatever the reason.
func enrolmentRefused() *fault.Error {
	return fault.Forbidden("enrolment_refused", "This token does not enrol a controller, or not any more: make a new one.")
}

// IssueEnrolment returns a token with which a controller enrols within EnrolmentLife, once;
// a former token is void. The caller needs locks.write and a fresh step-up.
func (s *Service) IssueEnrolment(ctx context.Context, by auth.Caller, lock id.Lock) (Enrolling, error) {
	var out Enrolling
	a, err := s.authorityOf(ctx, by.Workspace)
	if err != nil {
		return out, err
	}
	err = s.change(ctx, by, actEnrolFor, lock, true, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		made := token.NewEnrolment(lock, grant.RootDigest(publicOf(a.Root)))
		l.Controller.TokenDigest, l.Controller.TokenExpiresAt = made.Digest(), now.Add(EnrolmentLife)
		once.Note(ctx, string(lock))
		if err := t.UpdateLockLink(ctx, l, now); err != nil {
			return nil, err
		}
		tell(t, l, false)
		out = Enrolling{Lock: l, Token: made.Secret(), ExpiresAt: l.Controller.TokenExpiresAt}
		return nil, activity.Append(ctx, t, by, activity.Event{Action: actEnrolFor, Target: l.party()}, now)
	})
	if err != nil {
		return Enrolling{}, err
	}
	return out, nil
}

// authorityOf reads the authority of a caller's workspace; the zero one for a caller
// without: the gate refuses them.
func (s *Service) authorityOf(ctx context.Context, w id.Workspace) (Authority, error) {
	if w == "" {
		return Authority{Root: make(ed25519.PrivateKey, ed25519.PrivateKeySize)}, nil
	}
	return s.authorities.AuthorityOf(ctx, w)
}

// enrols says whether the token enrols the lock's controller now.
func (l Lock) enrols(e token.Enrolment, now time.Time) bool {
	digest := l.Controller.TokenDigest
	return len(digest) > 0 && subtle.ConstantTimeCompare(digest, e.Digest()) == 1 && now.Before(l.Controller.TokenExpiresAt)
}

// Enrol makes whoever shows the token and signs csr (PKCS #10, PEM or DER, Ed25519) the
// lock's controller, and returns the answer that the controller can verify by its token
// (grant.ReadEnrolment). The former controller's certificate is void. Anybody may call it;
// whatever is wrong with the token, or its workspace suspended, has one answer.
func (s *Service) Enrol(ctx context.Context, by auth.Caller, text string, csr []byte) ([]byte, error) {
	public, f := publicKeyOf(csr)
	if f != nil {
		return nil, f
	}
	e, ok := token.ParseEnrolment(text)
	if !ok {
		return nil, s.refuseEnrolment(ctx, by, Lock{})
	}
	now := s.gate.Clock.Now()
	var l Lock
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
		if l, ok, err = t.FindLockAnywhere(ctx, e.Lock); err == nil && ok {
			ok, err = t.WorkspaceStands(ctx, l.Workspace)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if !ok || !l.enrols(e, now) {
		return nil, s.refuseEnrolment(ctx, by, l)
	}
	a, err := s.authorities.AuthorityOf(ctx, l.Workspace)
	if err != nil {
		return nil, err
	}
	sealing, err := s.sealing.SealingOf(ctx, l.Workspace)
	if err != nil {
		return nil, err
	}
	secret, err := sealing.Open(l.SecretSealed, grant.SecretIdentity(string(l.Workspace), string(l.ID)))
	if err != nil {
		return nil, err
	}
	serial := newSerial()
	certificate, ends, err := a.controllerCertificate(l.ID, serial, public, now)
	if err != nil {
		return nil, err
	}
	c := Controller{Serial: serialText(serial), PublicKey: public, CertificateEnds: ends}
	if l, err = s.enrol(ctx, by, e, c); err != nil {
		if f, is := fault.As(err); is && f.Code == enrolmentRefused().Code {
			return nil, s.refuseEnrolment(ctx, by, l)
		}
		return nil, err
	}
	return grant.SignEnrolment(grant.Enrolment{
		Lock: string(l.ID), Name: l.Name, Root: publicOf(a.Root), CA: a.CA.Raw, Certificate: certificate,
		SigningKeys: [][]byte{publicOf(a.Signing), publicOf(a.NextSigning)}, Secret: secret.Expose(), Epoch: uint64(l.Sync.Epoch),
		Link: s.linkURL(), ServerName: ServerName(l.Workspace), LeaseSeconds: uint32(l.LeaseSeconds),
	}, a.Root)
}

// enrol writes the controller anew if the token is still good: the row's lock makes a
// second use of it wait and fail.
func (s *Service) enrol(ctx context.Context, by auth.Caller, e token.Enrolment, c Controller) (Lock, error) {
	var out Lock
	err := s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		l, found, err := t.FindLockAnywhere(ctx, e.Lock)
		if err != nil {
			return nil, err
		}
		if found {
			l, found, err = t.LockLock(ctx, l.Workspace, l.ID)
		}
		if err == nil && found {
			found, err = t.WorkspaceStands(ctx, l.Workspace)
		}
		if out = l; err != nil {
			return nil, err
		}
		now := s.gate.Clock.Now()
		if !found || !l.enrols(e, now) {
			return enrolmentRefused(), nil
		}
		c.EnrolledAt, c.Era = now, l.Controller.Era+1
		l.Controller = c
		// Seconds keep it growing should the row ever come from a backup.
		l.Sync.Epoch = max(l.Sync.Epoch+1, now.Unix())
		l.Sync.AppliedEpoch, l.Sync.AppliedVersion = 0, 0
		l.State = State{Battery: -1}
		if err := t.UpdateLockLink(ctx, l, now); err != nil {
			return nil, err
		}
		if err := t.UnconfirmGrants(ctx, l.Workspace, l.ID); err != nil {
			return nil, err
		}
		out = l
		tell(t, l, true)
		return nil, activity.Append(ctx, t, asController(by, l), activity.Event{Action: actEnrol, Target: l.party()}, now)
	})
	return out, err
}

// asController is the caller that a lock's controller is.
func asController(by auth.Caller, l Lock) auth.Caller {
	return auth.Caller{
		Kind: auth.Lock, Workspace: l.Workspace, Lock: l.ID, Token: l.Controller.Serial, Name: l.Name, IP: by.IP, Agent: by.Agent, RequestID: by.RequestID,
	}
}

// refuseEnrolment counts a try and returns what to answer. A lock that the token named
// has it in its workspace's record.
func (s *Service) refuseEnrolment(ctx context.Context, by auth.Caller, l Lock) error {
	return s.gate.Store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		now := s.gate.Clock.Now()
		n, since, err := t.CountRate(ctx, "lock_enrol/"+auth.Network(by.IP), now, rateWindow)
		if err != nil {
			return nil, err
		}
		if n > enrolTries {
			return fault.TooMany("too_many_tries", "Too many tokens were tried from this network.", since.Add(rateWindow).Sub(now)), nil
		}
		if l.ID == "" {
			return enrolmentRefused(), nil
		}
		by.Workspace = l.Workspace
		attempt := attemptOn(actEnrol, auth.Signed, l.ID)
		attempt.Target = l.party()
		return enrolmentRefused(), activity.Refuse(ctx, t, by, attempt, enrolmentRefused().Code, now)
	})
}

// Verify returns the caller who shows a certificate of the lock's controller with that
// number. Whoever calls it has verified the certificate. The answer to everybody else is
// Unauthenticated.
func (s *Service) Verify(ctx context.Context, by auth.Caller, lock id.Lock, serial string) (auth.Caller, error) {
	var out auth.Caller
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		l, found, err := t.FindLockAnywhere(ctx, lock)
		if err != nil {
			return err
		}
		if !found {
			return fault.Unauthenticated()
		}
		out = asController(by, l)
		out.Token = serial
		standing, err := t.CallerStanding(ctx, out, s.gate.Clock.Now())
		if err == nil && !standing.Active {
			return fault.Unauthenticated()
		}
		return err
	})
	if err != nil {
		return auth.Caller{}, err
	}
	return out, nil
}

// Renew returns another certificate (X.509 in DER) for the controller's key, for which csr
// (PKCS #10) asks. The present one stays good until the other is used.
func (s *Service) Renew(ctx context.Context, by auth.Caller, link string, csr []byte) ([]byte, error) {
	public, f := publicKeyOf(csr)
	if f != nil {
		return nil, f
	}
	a, err := s.authorityOfLock(ctx, by)
	if err != nil {
		return nil, err
	}
	serial := newSerial()
	certificate, ends, err := a.controllerCertificate(by.Lock, serial, public, s.gate.Clock.Now())
	if err != nil {
		return nil, err
	}
	err = s.onLink(ctx, by, link, func(ctx context.Context, t Tx, l Lock, now time.Time) (*fault.Error, error) {
		if !public.Equal(ed25519.PublicKey(l.Controller.PublicKey)) {
			return fault.Invalid("invalid_csr", "This request is for another key than the controller's."), nil
		}
		n, since, err := t.CountRate(ctx, "lock_renew/"+string(l.ID), now, rateWindow)
		if err != nil {
			return nil, err
		}
		if n > renewals {
			return fault.TooMany("too_many_renewals", "This controller renews its certificate too often.", since.Add(rateWindow).Sub(now)), nil
		}
		l.Controller.NextSerial, l.Controller.CertificateEnds = serialText(serial), ends
		if err := t.UpdateLockLink(ctx, l, time.Time{}); err != nil {
			return nil, err
		}
		return nil, activity.Append(ctx, t, by, activity.Event{Action: actRenew, Target: l.party()}, now)
	})
	if err != nil {
		return nil, err
	}
	return certificate, nil
}
