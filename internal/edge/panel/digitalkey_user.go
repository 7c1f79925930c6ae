package panel

import (
	"context"

	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// fillDoors shows the user's digital keys, those that start last first.
func (p *Panel) fillDoors(ctx context.Context, v visit, u directory.User, view *userView) error {
	found, err := p.c.DigitalKeys.List(ctx, v.caller, digitalkey.Query{User: u.ID, Page: page.Request{Sort: digitalkey.SortStarts, Descending: true, Limit: page.MaxLimit}})
	if err != nil {
		return err
	}
	for _, k := range found.Items {
		row := v.digitalKeyRow(k)
		row.HolderPath = "" // it is this one
		view.Doors = append(view.Doors, row)
	}
	view.DoorHeads = digitalKeyColumns(nil)
	view.Empty = empty{Icon: "door", Title: textUserDoorsNone, Text: userDoorsNoneText(u.Name())}
	if v.canAddDigitalKey() && !view.Suspended {
		view.NewKey = digitalKeysPath + "/new?" + lockQuery("user", string(u.ID))
	}
	return nil
}

// unconfirmedTexts say which doors may still open with keys that ended.
func unconfirmedTexts(v visit, l leave.Left) []string {
	var out []string
	for _, r := range l.Unconfirmed {
		if v.now.Before(r.AtLatest) {
			out = append(out, unconfirmedText(r, v))
		}
	}
	return out
}
