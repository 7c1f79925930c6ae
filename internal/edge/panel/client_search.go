package panel

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/room/client"
)

// foundClients returns the clients whose name has the words, or the one with the id.
func (p *Panel) foundClients(r *http.Request, v visit, query string) ([]foundItem, error) {
	if !v.can(auth.ClientsRead) {
		return nil, nil
	}
	item := func(c client.Client) foundItem {
		return foundItem{Name: c.Name, Detail: clientBadge(c.State).Word, Path: clientPath(c.ID), Icon: clientKind(c.Kind).Icon}
	}
	if c, ok := id.Parse[id.KindClient](query); ok {
		found, err := p.c.Clients.Find(r.Context(), v.caller, c)
		if isNotFound(err) {
			return nil, nil
		}
		return []foundItem{item(found)}, err
	}
	found, err := p.c.Clients.List(r.Context(), v.caller, client.Query{Words: search.Words(query), Page: page.Request{Limit: foundLimit}})
	var out []foundItem
	for _, c := range found.Items {
		out = append(out, item(c))
	}
	return out, err
}

// foundCredential returns the credential with the id, on its holder's page.
func (p *Panel) foundCredential(r *http.Request, v visit, query string) ([]foundItem, error) {
	c, ok := id.Parse[id.KindCredential](query)
	if !ok || !v.can(auth.SecurityKeysRead) || !v.can(auth.UsersRead) {
		return nil, nil
	}
	found, err := p.c.Vault.Find(r.Context(), v.caller, c)
	if isNotFound(err) {
		return nil, nil
	}
	return []foundItem{{Name: found.Label(), Detail: found.Holder.Name, Path: credentialsPath(found.User), Icon: "fingerprint"}}, err
}
