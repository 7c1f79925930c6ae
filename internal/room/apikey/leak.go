package apikey

import (
	"context"
	"net/netip"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

// reportsPerMinute is how many tokens one network may report in a minute.
const reportsPerMinute = 10

// MayReport counts a report of a leaked token from the caller's network, and answers
// a TooMany fault if there were too many. Anybody may call it.
func (s *Service) MayReport(_ context.Context, by auth.Caller) error {
	if wait := s.reports.take(network(by.IP), s.gate.Clock.Now()); wait > 0 {
		return fault.TooMany("rate_limited", "Too many reports from your network. Try again later.", wait)
	}
	return nil
}

// network is what an address shares with its neighbours: a /64 of IPv6, else the
// address.
func network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	bits := 32
	if a = a.Unmap(); a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ip
	}
	return p.String()
}

// ReportLeaked withdraws what a token opens that somebody found where it should not
// be: whoever holds it may report it. An Admin key is disabled, and refused everywhere
// once ReportLeaked returns; of a key that was reset, the retiring token alone ends.
// A Clients or Shared Mobile key enrols nothing more; what is enrolled goes on until
// an administrator decides. Owners, administrators with api_keys.write and the key's
// creator are told. Whether the text is a token at all is not told to anybody: the
// answer is nil, unless the storage fails.
func (s *Service) ReportLeaked(ctx context.Context, by auth.Caller, text string) error {
	t, ok := token.Parse(text)
	if !ok {
		return nil
	}
	return s.gate.Store.Write(ctx, func(ctx context.Context, tx Tx) (*fault.Error, error) {
		now := s.gate.Clock.Now()
		k, _, found, err := tx.FindAPIKeyByTokenID(ctx, t.ID)
		if err != nil || !found {
			return nil, err
		}
		if k, found, err = tx.LockAPIKey(ctx, k.Workspace, k.ID); err != nil || !found {
			return nil, err
		}
		c := by
		c.Workspace = k.Workspace
		return nil, s.leak(ctx, tx, c, k, t, now)
	})
}

func (s *Service) leak(ctx context.Context, t Tx, by auth.Caller, k Key, leaked token.Token, now time.Time) error {
	next, did := k, ""
	switch leaked.ID {
	case k.TokenID:
		if !s.hashes.fit(&leaked, k.TokenHash, k.Pepper) {
			return nil
		}
		switch {
		case k.Type == Admin && k.DisabledAt.IsZero():
			next.DisabledAt, next.LeakedAt, did = now, now, outbox.LeakedDisabled
		case k.Type != Admin && k.LeakedAt.IsZero():
			next.LeakedAt, did = now, outbox.LeakedNoEnrolment
		}
	case k.Retiring.TokenID:
		if !s.hashes.fit(&leaked, k.Retiring.TokenHash, k.Retiring.Pepper) {
			return nil
		}
		if k.Retiring.Active(now) {
			next.Retiring, did = Retiring{}, outbox.LeakedRetiring
		}
	}
	if did == "" {
		return nil
	}
	next.Revision++
	if err := t.UpdateAPIKey(ctx, next); err != nil {
		return err
	}
	watchers, workspace, err := t.ListKeyWatchers(ctx, k.Workspace, k.Root)
	if err != nil {
		return err
	}
	for _, to := range watchers {
		mail := outbox.APIKeyLeaked{To: to, Workspace: workspace, APIKey: k.Name, KeyID: string(k.ID), TokenID: leaked.ID, Type: string(k.Type), Did: did, IP: by.IP, At: now.UnixMilli()}
		if err := outbox.Put(ctx, t, k.Workspace, mail, now); err != nil {
			return err
		}
	}
	if err := activity.Append(ctx, t, by, activity.Event{Action: "api_key.report_leaked", Detail: did, Target: k.party()}, now); err != nil {
		return err
	}
	return t.Withdraw(ctx, k.Subjects()...)
}
