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
)

// Opened is a session that was just opened. Token is the cookie's value, known
// only here and in the browser.
type Opened struct {
	Token     secret.Bytes
	ExpiresAt time.Time
	Caller    auth.Caller
}

// newSession returns a session for the person and its token. Nothing is written.
func newSession(by auth.Caller, p Person, how OpenedBy, now time.Time) (Session, Opened) {
	value := token.NewOneTime()
	s := Session{
		ID: id.New[id.KindSession](now), Workspace: p.Workspace, User: p.User, Digest: token.Digest(value),
		OpenedBy: how, Scope: ScopeApp, IP: by.IP, Agent: strings.ToValidUTF8(by.Agent[:min(len(by.Agent), 400)], ""), CreatedAt: now, ExpiresAt: now.Add(SessionLifetime),
		LastSeenAt: now,
	}
	if how == OpenedByPasskey || how == OpenedByLink {
		s.StepUpAt = now // who used a passkey just now proved presence by it
	}
	return s, Opened{Token: value}
}

// OpenSession writes a session, the person's last activity and the sign-in's line,
// unless the person is not auditable, into the caller's transaction. It is for
// whoever has just proved the person and that they are not suspended. The
// session opens the panel for an administrator who proved it by a confirmed
// passkey, or by a demo's link; else it opens the app. k is the passkey, zero for
// the other ways.
func (r *RelyingParty) OpenSession(ctx context.Context, t Tx, by auth.Caller, p Person, how OpenedBy, k Passkey, now time.Time) (Opened, error) {
	a, isAdministrator, err := t.FindAdministrator(ctx, p.Workspace, p.User)
	if err != nil {
		return Opened{}, err
	}
	session, opened := newSession(by, p, how, now)
	if isAdministrator && (how == OpenedByLink || how == OpenedByPasskey && !k.ConfirmedAt.IsZero()) {
		session.Scope = ScopePanel
	}
	session.Passkey = k.ID
	return r.open(ctx, t, by, p, a, session, opened, k.SecurityKey, now)
}

// open writes a session with what belongs to it: see OpenSession.
func (r *RelyingParty) open(ctx context.Context, t Tx, by auth.Caller, p Person, a Administrator, session Session, opened Opened,
	k id.SecurityKey, now time.Time,
) (Opened, error) {
	opened.ExpiresAt = session.ExpiresAt
	if err := t.InsertSession(ctx, session); err != nil {
		return Opened{}, err
	}
	if err := t.MarkUserSeen(ctx, p.Workspace, p.User, now); err != nil {
		return Opened{}, err
	}
	if err := t.CountLogin(ctx, p.Workspace, loginSuccess, now); err != nil {
		return Opened{}, err
	}
	opened.Caller = caller(by, session, p, a)
	if !p.Auditable {
		return opened, nil
	}
	return opened, activity.Append(ctx, t, opened.Caller, activity.Event{
		Action: "session.open", Detail: string(session.OpenedBy), Target: userParty(p), User: p.User, SecurityKey: k, RPID: r.id,
	}, now)
}

func caller(by auth.Caller, s Session, p Person, a Administrator) auth.Caller {
	kind := auth.Administrator
	if s.Scope != ScopePanel || a.ID == "" {
		kind, a.ID = auth.User, ""
	}
	return auth.Caller{
		Kind: kind, Workspace: s.Workspace, User: s.User, Administrator: a.ID, Session: s.ID,
		Name: p.Name, IP: by.IP, Agent: by.Agent, RequestID: by.RequestID, StepUpAt: s.StepUpAt,
	}
}

// VerifySession returns the caller behind a session's token, for whom by is the
// anonymous caller of the same request. It answers Unauthenticated for anything
// but a live session of somebody who is not suspended, in a workspace that is not.
// The caller is an Administrator if the session opens the panel, else a User.
func (s *Service) VerifySession(ctx context.Context, by auth.Caller, value secret.Bytes) (auth.Caller, error) {
	if value.IsEmpty() {
		return auth.Caller{}, fault.Unauthenticated()
	}
	digest := token.Digest(value)
	var out auth.Caller
	var stale bool
	now := s.clock.Now()
	err := s.store.Read(ctx, func(ctx context.Context, t Tx) error {
		session, found, err := t.FindSession(ctx, digest)
		if err != nil {
			return err
		}
		if !found || !session.live(now) {
			return fault.Unauthenticated()
		}
		p, found, err := t.FindPerson(ctx, session.Workspace, session.User)
		if err != nil {
			return err
		}
		if !found || p.Suspended {
			return fault.Unauthenticated()
		}
		a, _, err := t.FindAdministrator(ctx, session.Workspace, session.User)
		if err != nil {
			return err
		}
		out = caller(by, session, p, a)
		stale = now.Sub(session.LastSeenAt) >= seenEvery
		return nil
	})
	if err != nil || !stale {
		return out, err
	}
	return out, s.store.Write(ctx, func(ctx context.Context, t Tx) (*fault.Error, error) {
		return nil, t.SeeSession(ctx, out.Workspace, out.Session, now)
	})
}

// SignOut ends the caller's own session. Ending an ended one is no fault.
func (s *Service) SignOut(ctx context.Context, by auth.Caller) error {
	return s.gate.Write(ctx, by, activity.Attempt{Action: "session.end", Need: auth.OwnKeys},
		func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
			ended, err := t.EndSession(ctx, by.Workspace, by.Session, now)
			if err != nil || !ended {
				return nil, err
			}
			p, found, err := t.FindPerson(ctx, by.Workspace, by.User)
			if err != nil || found && !p.Auditable {
				return nil, err
			}
			return nil, activity.Append(ctx, t, by, activity.Event{
				Action: "session.end", Target: activity.Party{Type: "user", ID: string(by.User), Name: by.Name}, User: by.User,
			}, now)
		})
}

func userParty(p Person) activity.Party {
	return activity.Party{Type: "user", ID: string(p.User), Name: p.Name}
}
