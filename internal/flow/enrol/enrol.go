// Package enrol is how a workstation's program becomes a client by an enrolment code alone:
// the code is spent, the client begins and an API key is made for it, in one transaction over
// the rooms of the clients and of the API keys. The code is the administrator's word for all
// of that; what a code is worth, the room of the clients decides.
package enrol

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
)

// Tx is the storage of the rooms that this flow joins.
type Tx interface {
	client.Tx
	apikey.Tx
}

// Config is what the flow is made from. All fields are required.
type Config struct {
	Store   tx.Runner[Tx]
	Clock   clock.Clock
	Clients *client.Service
	Keys    *apikey.Service
}

// Service is the flow's door. Use NewService.
type Service struct{ c Config }

// NewService returns the flow.
func NewService(c Config) *Service { return &Service{c} }

// Enrolled is a client that was enrolled by a code alone. Token is that of its own API key:
// nobody can read it again.
type Enrolled struct {
	Client client.Client
	Token  secret.Bytes
}

// ByCode makes the program that shows an enrolment code and a proof, but no API key, an
// approved client, and issues a Clients key for it alone. by is the anonymous caller of the
// request: the code is what allows it. A code that is unknown, spent, too old or of a
// suspended workspace is one and the same Invalid fault. The other faults are those of
// client.Service.Apply and client.Applicant.Enrol.
func (s *Service) ByCode(ctx context.Context, by auth.Caller, sh client.Shown, e client.Enrolment) (Enrolled, error) {
	applicant, err := s.c.Clients.Apply(ctx, by, sh, e)
	if err != nil {
		return Enrolled{}, err
	}
	var w id.Workspace
	err = s.c.Store.Read(ctx, func(ctx context.Context, t Tx) (err error) {
		w, err = applicant.FindWorkspace(ctx, t, s.c.Clock.Now())
		return err
	})
	if err != nil {
		return Enrolled{}, err
	}
	key := s.c.Keys.DraftOwn(ctx, by)
	out := Enrolled{Token: key.Token().Secret()}
	err = s.c.Store.Write(ctx, func(ctx context.Context, t Tx) (f *fault.Error, err error) {
		now := s.c.Clock.Now()
		out.Client, f, err = applicant.Enrol(ctx, t, by, w, now, issue(t, key, now))
		return f, err
	})
	if err != nil {
		return Enrolled{}, err
	}
	return out, nil
}

// issue makes the key of the client that is the caller.
func issue(t Tx, d apikey.Draft, now time.Time) func(ctx context.Context, by auth.Caller) (id.APIKey, error) {
	return func(ctx context.Context, by auth.Caller) (id.APIKey, error) {
		k, err := d.Insert(ctx, t, by, now)
		return k.ID, err
	}
}
