package panel

import (
	"net/http"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// searchView is what a search over everything found; the command palette shows the
// same.
type searchView struct {
	Shell    shell
	Query    string
	Sections []foundSection
	Empty    empty
	Status   string // how many were found, for who cannot see it
}

// foundSection is what was found of one kind.
type foundSection struct {
	Title string
	Items []foundItem
}

type foundItem struct {
	Name   string
	Detail string
	Path   string
	Icon   string
}

// foundLimit is how many of one kind are shown.
const foundLimit = 6

func (p *Panel) search(w http.ResponseWriter, r *http.Request, v visit) error {
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	view := searchView{
		Shell: p.shell(v, textSearchTitle), Query: query,
		Empty: empty{Icon: "search-off", Title: textUsersFoundNone, Text: textSearchNone},
	}
	add := func(title string, items []foundItem) {
		if len(items) > 0 {
			view.Sections = append(view.Sections, foundSection{Title: title, Items: items})
		}
	}
	if query != "" {
		users, err := p.foundUsers(r, v, query)
		if err != nil {
			return err
		}
		groups, err := p.foundGroups(r, v, query)
		if err != nil {
			return err
		}
		add(textNavUsers, users)
		keys, err := p.foundAPIKeys(r, v, query)
		if err != nil {
			return err
		}
		add(textUserGroups, groups)
		cards, err := p.foundSecurityKeys(r, v, query)
		if err != nil {
			return err
		}
		add(textNavSecurityKeys, cards)
		doors, err := p.searchDigitalKeys(r, v, query)
		if err != nil {
			return err
		}
		add(textNavDigitalKeys, doors)
		locks, err := p.searchLocks(r, v, query)
		if err != nil {
			return err
		}
		add(textLocksTitle, locks)
		programs, err := p.foundClients(r, v, query)
		if err != nil {
			return err
		}
		add(textClientsTitle, programs)
		credentials, err := p.foundCredential(r, v, query)
		if err != nil {
			return err
		}
		add(textUserTabCredentials, credentials)
		add(textSearchAPIKeys, keys)
	}
	add(textSearchActs, matching(acts(v), query))
	add(textSearchPages, matching(pagesOf(view.Shell.Sections), query))
	n := 0
	for _, s := range view.Sections {
		n += len(s.Items)
	}
	view.Status = count(n, "result")
	return p.show(w, r, http.StatusOK, searchTemplate(view))
}

// foundUsers returns the users with the words, or the one with the id.
func (p *Panel) foundUsers(r *http.Request, v visit, query string) ([]foundItem, error) {
	if !v.can(auth.UsersRead) {
		return nil, nil
	}
	item := func(u directory.User) foundItem {
		return foundItem{Name: u.Name(), Detail: u.Email, Path: userPath(u.ID), Icon: "user"}
	}
	if user, ok := id.Parse[id.KindUser](query); ok {
		u, _, err := p.c.Directory.Find(r.Context(), v.caller, user)
		if isNotFound(err) {
			return nil, nil
		}
		return []foundItem{item(u)}, err
	}
	found, err := p.c.Directory.List(r.Context(), v.caller, query, directory.Query{Page: page.Request{Limit: foundLimit}})
	var out []foundItem
	for _, u := range found.Items {
		out = append(out, item(u))
	}
	return out, err
}

// foundGroups returns the groups with the words, or the one with the id.
func (p *Panel) foundGroups(r *http.Request, v visit, query string) ([]foundItem, error) {
	if !v.can(auth.UsersRead) {
		return nil, nil
	}
	item := func(g directory.Group) foundItem {
		return foundItem{Name: g.Name, Detail: g.Description, Path: "/groups/" + string(g.ID), Icon: "users-group"}
	}
	if group, ok := id.Parse[id.KindGroup](query); ok {
		g, err := p.c.Directory.FindGroup(r.Context(), v.caller, group)
		if isNotFound(err) {
			return nil, nil
		}
		return []foundItem{item(g)}, err
	}
	found, err := p.c.Directory.ListGroups(r.Context(), v.caller, query, directory.GroupQuery{Page: page.Request{Limit: foundLimit}})
	var out []foundItem
	for _, g := range found.Items {
		out = append(out, item(g))
	}
	return out, err
}

// foundAPIKeys returns the API keys whose name begins so, or the one with the id or
// the token id.
func (p *Panel) foundAPIKeys(r *http.Request, v visit, query string) ([]foundItem, error) {
	if !v.can(auth.APIKeysRead) {
		return nil, nil
	}
	item := func(k apikey.Key) foundItem {
		return foundItem{Name: k.Name, Detail: k.TokenID, Path: apiKeyPath(k.ID), Icon: "key"}
	}
	if key, ok := id.Parse[id.KindAPIKey](query); ok {
		k, err := p.c.APIKeys.Find(r.Context(), v.caller, key)
		if isNotFound(err) {
			return nil, nil
		}
		return []foundItem{item(k)}, err
	}
	found, err := p.c.APIKeys.List(r.Context(), v.caller, apikey.Query{Begins: query, Page: page.Request{Limit: foundLimit}})
	var out []foundItem
	for _, k := range found.Items {
		out = append(out, item(k))
	}
	return out, err
}

// foundSecurityKeys returns the keys whose name, model or holder has the words, or the
// one with the id or the card's number.
func (p *Panel) foundSecurityKeys(r *http.Request, v visit, query string) ([]foundItem, error) {
	if !v.can(auth.SecurityKeysRead) {
		return nil, nil
	}
	item := func(k securitykey.SecurityKey) foundItem {
		return foundItem{Name: k.Name, Detail: k.Holder.Name, Path: securityKeyPath(k.ID), Icon: kindWords(k.Kind).Icon}
	}
	if key, ok := id.Parse[id.KindSecurityKey](query); ok {
		found, err := p.c.SecurityKeys.Find(r.Context(), v.caller, key)
		if isNotFound(err) {
			return nil, nil
		}
		return []foundItem{item(found.Key)}, err
	}
	found, err := p.c.SecurityKeys.List(r.Context(), v.caller, query, securitykey.Query{Page: page.Request{Limit: foundLimit}})
	var out []foundItem
	for _, k := range found.Items {
		out = append(out, item(k))
	}
	return out, err
}

func isNotFound(err error) bool {
	f, ok := fault.As(err)
	return ok && f.Kind == fault.KindNotFound
}

// acts are what the person may begin from anywhere.
func acts(v visit) []foundItem {
	var out []foundItem
	if v.can(auth.UsersWrite) {
		out = append(out, foundItem{Name: textUsersNew, Path: "/users/new", Icon: "user-plus"}, foundItem{Name: textSearchNewGroup, Path: "/groups/new", Icon: "users-plus"})
	}
	if v.canAddSecurityKey() {
		out = append(out, foundItem{Name: textSecurityKeysAdd, Path: securityKeysPath + "/new", Icon: "device-usb"})
	}
	if v.canAddDigitalKey() {
		out = append(out, foundItem{Name: textDigitalKeysNew, Path: digitalKeysPath + "/new", Icon: "circle-plus"})
	}
	if v.can(auth.LocksWrite) {
		out = append(out, foundItem{Name: textLocksNew, Path: locksPath + "/new", Icon: "lock"})
	}
	if v.can(auth.APIKeysWrite) {
		out = append(out, foundItem{Name: textAPIKeysNew, Path: apiKeysPath + "/new", Icon: "key"})
	}
	if v.can(auth.ClientsWrite) && v.can(auth.ClientsRead) {
		out = append(out, foundItem{Name: textCodeIssueOne, Path: codesPath, Icon: "ticket"})
	}
	if v.canAppoint() {
		out = append(out, foundItem{Name: textAddAdministrator, Path: administratorsPath + "/new", Icon: "user-shield"})
	}
	return append(out, foundItem{Name: textAccountTitle, Path: "/account", Icon: "user-circle"})
}

// pagesOf are the pages of the sidebar.
func pagesOf(sections []navSection) []foundItem {
	var out []foundItem
	for _, s := range sections {
		for _, l := range s.Links {
			out = append(out, foundItem{Name: l.Name, Detail: s.Title, Path: l.Path, Icon: l.Icon})
		}
	}
	return out
}

// matching returns the items in whose name each word of the query begins a word;
// an act or page whose id was given is none.
func matching(items []foundItem, query string) []foundItem {
	var out []foundItem
	for _, item := range items {
		words := strings.Fields(directory.Fold(item.Name))
		fits := true
		for word := range strings.FieldsSeq(directory.Fold(query)) {
			begins := false
			for _, w := range words {
				begins = begins || strings.HasPrefix(w, word)
			}
			fits = fits && begins
		}
		if fits {
			out = append(out, item)
		}
	}
	return out
}
