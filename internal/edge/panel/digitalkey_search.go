package panel

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// searchDigitalKeys returns the keys whose description or holder has the words, or the one
// with the id.
func (p *Panel) searchDigitalKeys(r *http.Request, v visit, query string) ([]foundItem, error) {
	if !v.can(auth.DigitalKeysRead) {
		return nil, nil
	}
	item := func(k digitalkey.DigitalKey) foundItem {
		return foundItem{Name: digitalKeyName(k), Detail: k.Holder.Name + ", " + v.rangeText(k.StartsAt, k.ExpiresAt, k.Timezone), Path: digitalKeyPath(k.ID), Icon: "door"}
	}
	if key, ok := id.Parse[id.KindDigitalKey](query); ok {
		found, err := p.c.DigitalKeys.Find(r.Context(), v.caller, key)
		if isNotFound(err) {
			return nil, nil
		}
		return []foundItem{item(found.Key)}, err
	}
	found, err := p.c.DigitalKeys.List(r.Context(), v.caller, digitalkey.Query{Words: search.Words(query), Page: page.Request{Limit: foundLimit}})
	var out []foundItem
	for _, k := range found.Items {
		out = append(out, item(k))
	}
	return out, err
}

// searchLocks returns the locks whose name or place has the words, or the one with the id.
func (p *Panel) searchLocks(r *http.Request, v visit, query string) ([]foundItem, error) {
	if !v.can(auth.LocksRead) {
		return nil, nil
	}
	item := func(l smartlock.Lock) foundItem {
		return foundItem{Name: l.Name, Detail: l.Place, Path: lockPath(l.ID), Icon: "lock"}
	}
	if lock, ok := id.Parse[id.KindLock](query); ok {
		l, err := p.c.Locks.Find(r.Context(), v.caller, lock)
		if isNotFound(err) {
			return nil, nil
		}
		return []foundItem{item(l)}, err
	}
	found, err := p.c.Locks.List(r.Context(), v.caller, smartlock.Query{Words: search.Words(query), Page: page.Request{Limit: foundLimit}})
	var out []foundItem
	for _, l := range found.Items {
		out = append(out, item(l))
	}
	return out, err
}
