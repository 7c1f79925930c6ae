package panel

import (
	"context"
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

// DigitalKeys is what the panel asks of the room of digital keys.
type DigitalKeys interface {
	Create(ctx context.Context, by auth.Caller, n digitalkey.NewKey) (digitalkey.Issued, error)
	Preview(ctx context.Context, by auth.Caller, n digitalkey.NewKey) (digitalkey.Outlook, error)
	Change(ctx context.Context, by auth.Caller, k id.DigitalKey, c digitalkey.Change, ifRevision int64) (digitalkey.Issued, error)
	Cancel(ctx context.Context, by auth.Caller, k id.DigitalKey) (digitalkey.Detail, error)
	CancelMany(ctx context.Context, by auth.Caller, ks []id.DigitalKey) ([]digitalkey.Outcome, error)
	Delete(ctx context.Context, by auth.Caller, k id.DigitalKey, ifRevision int64) error
	Find(ctx context.Context, by auth.Caller, k id.DigitalKey) (digitalkey.Detail, error)
	List(ctx context.Context, by auth.Caller, q digitalkey.Query) (page.Page[digitalkey.DigitalKey], error)
	Counts(ctx context.Context, by auth.Caller) (digitalkey.Counts, error)
}

const digitalKeysPath = "/digital-keys"

func digitalKeyPath(k id.DigitalKey) string { return digitalKeysPath + "/" + string(k) }

// canAddDigitalKey says whether making a key is offered: its lock and its holder have to be
// found.
func (v visit) canAddDigitalKey() bool {
	return v.can(auth.DigitalKeysWrite) && v.can(auth.UsersRead) && v.can(auth.LocksRead)
}

const textDigitalKeysNew = "New digital key"

// keysForCard are the keys of a lock that can have a card.
func (p *Panel) keysForCard(r *http.Request, v visit, l id.Lock, number string) ([]keyLink, error) {
	return nil, nil
}

// registerDigitalKeys is the route registration of the digital keys' pages.
func (p *Panel) registerDigitalKeys(mux *http.ServeMux) {
}
