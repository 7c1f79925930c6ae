package panel

import (
	"context"

	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// heldRow is a key that a user has or had.
type heldRow struct {
	Name      string
	Path      string // "" if the key is gone
	Kind      string
	Model     string
	Created   moment
	Activated moment
	Ended     moment
	EndedAs   string
}

// fillKeys shows the user's keys, and all that they ever had.
func (p *Panel) fillKeys(ctx context.Context, v visit, u directory.User, view *userView) error {
	found, err := p.c.SecurityKeys.List(ctx, v.caller, "", securitykey.Query{User: u.ID, Page: page.Request{Sort: securitykey.SortCreated, Limit: page.MaxLimit}})
	if err != nil {
		return err
	}
	for _, k := range found.Items {
		view.Keys = append(view.Keys, v.securityKeyRow(k))
	}
	held, err := p.c.SecurityKeys.History(ctx, v.caller, u.ID)
	if err != nil {
		return err
	}
	for _, b := range held {
		row := heldRow{
			Name: b.Name, Path: securityKeyPath(b.Key), Kind: kindWords(b.Kind).Name, Model: b.Model, Created: v.moment(b.CreatedAt), Activated: v.moment(b.ActivatedAt),
			Ended: v.moment(b.EndedAt), EndedAs: endedAsText(b.EndedAs),
		}
		if !b.EndedAt.IsZero() {
			row.Path = ""
		}
		view.Held = append(view.Held, row)
	}
	view.Empty = empty{Icon: "key", Title: textUserKeysNone, Text: userKeysNoneText(u.Name())}
	if view.AddDevice != "" {
		view.Empty.Action, view.Empty.Path = textAddDevice, view.AddDevice
	}
	return nil
}
