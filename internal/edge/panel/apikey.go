package panel

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// apiKeysView is the page API Key Management.
type apiKeysView struct {
	Shell     shell
	OffersNew bool // beside the title; an empty list offers it itself
	Columns   []column
	Rows      []apiKeyRow
	Empty     empty
	Pages     pager
}

// apiKeyRow is an API key in the list.
type apiKeyRow struct {
	Name      string
	TokenID   string
	Type      string
	Status    badge
	CreatedBy string
	Created   moment
	Expires   moment
}

// canCreateAPIKey says whether the form for a new key is offered: the only type
// that there is as yet, Admin, needs all permissions.
func (v visit) canCreateAPIKey() bool { return v.account.Standing.Permissions.Covers(auth.All()) }

func (p *Panel) apiKeys(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, apikey.Sorts())
	if err != nil {
		return restart(w, r, l, err)
	}
	found, err := p.c.APIKeys.List(r.Context(), v.caller, apikey.Query{Page: l.page})
	if err != nil {
		return err
	}
	view := apiKeysView{
		Shell: p.shell(v, textAPIKeysTitle, crumb{Name: textNavIntegrations}, crumb{Name: textNavAuthentication}), OffersNew: v.canCreateAPIKey() && len(found.Items) > 0,
		Columns: []column{
			l.column(textColumnName, apikey.SortName, ""),
			{Name: textColumnType, Class: "kh-wide"},
			{Name: textColumnStatus},
			{Name: textColumnCreatedBy, Class: "kh-middle"},
			l.timeColumn(textColumnCreated, apikey.SortCreated, "kh-wide"),
			{Name: textColumnExpires, Class: "kh-middle"},
		},
		Empty: empty{Icon: "key", Title: textAPIKeysNoneTitle, Text: textAPIKeysNoneText},
	}
	if v.canCreateAPIKey() {
		view.Empty.Action, view.Empty.Path, view.Empty.Way = textAPIKeysNew, "/api-keys/new", wayPrimary
	}
	for _, k := range found.Items {
		view.Rows = append(view.Rows, apiKeyRow{
			Name: k.Name, TokenID: k.TokenID, Type: apiKeyType(k.Type), Status: apiKeyBadge(k.Status(v.now)), CreatedBy: k.CreatedBy.Name,
			Created: v.moment(k.CreatedAt), Expires: v.moment(k.ExpiresAt),
		})
	}
	if view.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, apiKeysTemplate(view))
}

// registerAPIKeys is the route registration of the API keys' pages.
func (p *Panel) registerAPIKeys(mux *http.ServeMux) {
	mux.Handle("GET /api-keys", p.signed(p.apiKeys))
	mux.Handle("GET /api-keys/new", p.form(auth.APIKeysWrite, p.newAPIKey))
	mux.Handle("POST /api-keys", p.signed(p.createAPIKey))
}
