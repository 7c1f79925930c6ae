package client

import (
	"context"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/field"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Unknown is the fault of a client that is not there.
func Unknown() *fault.Error {
	return fault.NotFound("client_not_found", "This client does not exist.")
}

// List returns one page of the clients, revoked ones too. The caller needs clients.read.
func (s *Service) List(ctx context.Context, by auth.Caller, q Query) (page.Page[Client], error) {
	q.Page = q.Page.Bounded()
	var out page.Page[Client]
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "client.list", Need: auth.ClientsRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) (err error) {
		out, err = t.ListClients(ctx, by.Workspace, q)
		return err
	})
	return out, err
}

// Count returns how many clients there are. The caller needs clients.read.
func (s *Service) Count(ctx context.Context, by auth.Caller) (Counts, error) {
	var out Counts
	err := s.gate.Read(ctx, by, activity.Attempt{Action: "client.count", Need: auth.ClientsRead}, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) (err error) {
		out, err = t.CountClients(ctx, by.Workspace)
		return err
	})
	return out, err
}

// Find returns a client. The caller needs clients.read.
func (s *Service) Find(ctx context.Context, by auth.Caller, c id.Client) (Client, error) {
	var out Client
	attempt := activity.Attempt{Action: "client.find", Need: auth.ClientsRead, Target: activity.Party{Type: "client", ID: string(c)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var found bool
		var err error
		if out, found, err = t.FindClient(ctx, by.Workspace, c); err == nil && !found {
			return Unknown()
		}
		return err
	})
	return out, err
}

// act is a change of one client in its transaction: it changes c in place and says in detail
// what, "" for nothing that is to be recorded.
type act func(ctx context.Context, t Tx, c *Client, now time.Time) (detail string, f *fault.Error, err error)

// change runs an act. ifRevision 0 accepts any revision; another one than the client's
// answers a Precondition fault.
func (s *Service) change(ctx context.Context, by auth.Caller, action string, c id.Client, ifRevision int64, do act) (Client, error) {
	var out Client
	attempt := activity.Attempt{Action: action, Need: auth.ClientsWrite, Target: activity.Party{Type: "client", ID: string(c)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		found, there, err := t.LockClient(ctx, by.Workspace, c)
		switch {
		case err != nil:
			return nil, err
		case !there:
			return Unknown(), nil
		case ifRevision != 0 && ifRevision != found.Revision:
			return fault.Precondition(), nil
		}
		out = found
		once.Note(ctx, string(c))
		detail, f, err := do(ctx, t, &out, now)
		if f != nil || err != nil || out == found {
			return f, err
		}
		out.Revision++
		if err := t.UpdateClient(ctx, out); err != nil {
			return nil, err
		}
		return nil, activity.Append(ctx, t, by, activity.Event{Action: action, Target: out.party(), Client: c, Detail: detail}, now)
	})
	s.known.forget()
	return out, err
}

// Change changes a client's name, whether keys without a PIN work there, and how its readers
// write numbers. Names are unique (Conflict name_taken). Taps that wait there are void. The
// caller needs clients.write.
func (s *Service) Change(ctx context.Context, by auth.Caller, c id.Client, in Change, ifRevision int64) (Client, error) {
	var check field.Checker
	if in.Name != nil {
		name := check.Line("name", *in.Name, 1, maxName)
		in.Name = &name
	}
	if in.ReaderFormat != nil && !in.ReaderFormat.known() {
		check.Wrong("reader_format", "must be hex, hex_reversed, decimal or decimal_reversed")
	}
	wrong := check.Fault()
	return s.change(ctx, by, "client.change", c, ifRevision, func(ctx context.Context, t Tx, out *Client, _ time.Time) (string, *fault.Error, error) {
		if wrong != nil {
			return "", wrong, nil
		}
		if out.State == Revoked {
			return "", alreadyRevoked(), nil
		}
		detail := ""
		note := func(name string) {
			if detail != "" {
				detail += ", "
			}
			detail += name
		}
		if in.Name != nil && *in.Name != out.Name {
			if err := t.Latch(ctx, string(by.Workspace)+"/clients"); err != nil {
				return "", nil, err
			}
			taken, err := t.ClientNameTaken(ctx, by.Workspace, *in.Name, c)
			if err != nil {
				return "", nil, err
			}
			if taken {
				return "", nameTaken(), nil
			}
			out.Name = *in.Name
			note("name")
		}
		if in.PinlessAllowed != nil && *in.PinlessAllowed != out.PinlessAllowed {
			out.PinlessAllowed = *in.PinlessAllowed
			note("pinless_allowed")
		}
		if in.ReaderFormat != nil && *in.ReaderFormat != out.ReaderFormat {
			out.ReaderFormat = *in.ReaderFormat
			note("reader_format")
		}
		return detail, nil, nil
	})
}

func (f ReaderFormat) known() bool { return slices.Contains(ReaderFormats(), f) }

func alreadyRevoked() *fault.Error {
	return fault.Conflict("client_revoked", "This client was revoked, for good. Its program enrols anew with a new key.")
}

// Approve lets a client that waits ask for operations. To approve one that is approved
// changes nothing. The caller needs clients.write.
func (s *Service) Approve(ctx context.Context, by auth.Caller, c id.Client) (Client, error) {
	return s.change(ctx, by, "client.approve", c, 0, func(_ context.Context, _ Tx, out *Client, now time.Time) (string, *fault.Error, error) {
		switch out.State {
		case Approved:
			return "", nil, nil
		case Revoked:
			return "", alreadyRevoked(), nil
		case Pending:
		}
		out.State, out.ApprovedAt, out.ApprovedBy = Approved, now, by.Name
		return "", nil, nil
	})
}

// Revoke ends a client: whatever it asks for after the answer is refused, and the API key that
// was made for it alone is disabled. Its row stays,
// without its name being taken, until it is removed by a second call. The caller needs
// clients.write.
func (s *Service) Revoke(ctx context.Context, by auth.Caller, c id.Client, ifRevision int64) error {
	_, err := s.change(ctx, by, "client.revoke", c, ifRevision, func(ctx context.Context, t Tx, out *Client, now time.Time) (string, *fault.Error, error) {
		if out.State == Revoked {
			if err := t.DeleteClient(ctx, by.Workspace, c); err != nil {
				return "", nil, err
			}
			return "", nil, activity.Append(ctx, t, by, activity.Event{Action: "client.delete", Target: out.party(), Client: c}, now)
		}
		out.State, out.RevokedAt = Revoked, now
		return "", nil, stopOwnKey(ctx, t, by, *out, now)
	})
	return err
}

// stopOwnKey disables the API key that was made for the client alone, if there is one.
func stopOwnKey(ctx context.Context, t Tx, by auth.Caller, c Client, now time.Time) error {
	k, stopped, err := t.StopOwnAPIKey(ctx, c.Workspace, c.ID, c.APIKey, now)
	if err != nil || !stopped {
		return err
	}
	if err := activity.Append(ctx, t, by, activity.Event{Action: "api_key.disable", Target: activity.Party{Type: "api_key", ID: string(k.ID), Name: k.Name}, Client: c.ID}, now); err != nil {
		return err
	}
	return t.Withdraw(ctx, k.Subjects...)
}

// Prune removes proofs, taps and verifications that are over, some of each. It returns
// whether there may be more: it is then to be called again.
func (s *Service) Prune(ctx context.Context, by auth.Caller) (more bool, err error) {
	err = s.gate.Write(ctx, by, activity.Attempt{Action: "client.prune", Need: auth.Signed}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (_ *fault.Error, err error) {
		if by.Kind != auth.System {
			return fault.Forbidden("system_only", "Only the server itself does this."), nil
		}
		more, err = t.ForgetProofs(ctx, now)
		return nil, err
	})
	return more, err
}
