package panel

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/client"
)

// Clients is what the panel asks of the room of the programs at workstations.
type Clients interface {
	List(ctx context.Context, by auth.Caller, q client.Query) (page.Page[client.Client], error)
	Count(ctx context.Context, by auth.Caller) (client.Counts, error)
	Find(ctx context.Context, by auth.Caller, c id.Client) (client.Client, error)
	Change(ctx context.Context, by auth.Caller, c id.Client, in client.Change, ifRevision int64) (client.Client, error)
	Approve(ctx context.Context, by auth.Caller, c id.Client) (client.Client, error)
	Revoke(ctx context.Context, by auth.Caller, c id.Client, ifRevision int64) error
	IssueCode(ctx context.Context, by auth.Caller, n client.NewEnrolmentCode) (client.Code, secret.Bytes, error)
	Codes(ctx context.Context, by auth.Caller) ([]client.Code, error)
	WithdrawCode(ctx context.Context, by auth.Caller, c id.EnrolmentCode) error
}

// clientsView is the page of all clients.
type clientsView struct {
	Shell    shell
	Searches bool // there is something to look for
	Count    string
	Counters []statusCounter
	Query    string
	State    string // what the search's form keeps, as Sort
	Sort     string
	Columns  []column
	Rows     []clientRow
	Empty    empty
	Pages    pager
}

// clientRow is a client in a list.
type clientRow struct {
	Name    string
	Path    string
	Kind    string
	Icon    string
	State   badge
	Seen    moment
	IP      string
	Pinless string
	Created moment
}

const (
	clientsPath = "/clients"
	codesPath   = clientsPath + "/codes"
)

func clientPath(c id.Client) string { return clientsPath + "/" + string(c) }

// clientID returns the client that the address names, as userID does.
func clientID(r *http.Request) id.Client {
	c, _ := id.Parse[id.KindClient](r.PathValue("id"))
	return c
}

func (v visit) clientRow(c client.Client) clientRow {
	words := clientKind(c.Kind)
	return clientRow{
		Name: c.Name, Path: clientPath(c.ID), Kind: words.Name, Icon: words.Icon, State: clientBadge(c.State), Seen: v.moment(c.LastSeenAt), IP: c.LastIP,
		Pinless: yesNo(c.PinlessAllowed), Created: v.moment(c.CreatedAt),
	}
}

func (p *Panel) clients(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.readList(r, v, client.Sorts(), "q", "state")
	if err != nil {
		return restart(w, r, l, err)
	}
	q := client.Query{Words: search.Words(l.params.Get("q")), Page: l.page}
	for _, state := range client.States() {
		if l.params.Get("state") == string(state) {
			q.State = state
		}
	}
	if q.State == "" {
		l.params.Del("state")
	}
	counts, err := p.c.Clients.Count(r.Context(), v.caller)
	if err != nil {
		return err
	}
	found, err := p.c.Clients.List(r.Context(), v.caller, q)
	if err != nil {
		return err
	}
	view := p.clientsView(v, l, counts)
	for _, c := range found.Items {
		view.Rows = append(view.Rows, v.clientRow(c))
	}
	if view.Pages, err = p.pager(r.Context(), v, l, found.Next); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, clientsTemplate(view))
}

func (p *Panel) clientsView(v visit, l list, n client.Counts) clientsView {
	state, all := l.params.Get("state"), n.Pending+n.Approved+n.Revoked
	view := clientsView{
		Shell: p.shell(v, textClientsTitle, crumb{Name: textNavIntegrations}), Searches: all > 0, Query: l.params.Get("q"), State: state, Sort: l.params.Get("sort"),
		Count: count(n.Pending+n.Approved, "client"),
		Columns: []column{
			l.column(textColumnName, client.SortName, ""),
			{Name: textColumnKind, Class: "kh-wide"},
			{Name: textColumnStatus},
			l.timeColumn(textClientSeen, client.SortLastSeen, "kh-middle"),
			{Name: textColumnIP, Class: "kh-wide"},
			{Name: textClientPinless, Class: "kh-widest"},
			l.timeColumn(textColumnCreated, client.SortCreated, "kh-middle"),
		},
		Empty: empty{Icon: "search-off", Title: textUsersFoundNone, Text: textClientsFoundHelp, Action: textAPIKeysClear, Path: clientsPath},
	}
	for _, c := range []struct {
		state client.State
		n     int
	}{{"", all}, {client.Pending, n.Pending}, {client.Approved, n.Approved}, {client.Revoked, n.Revoked}} {
		b := badge{Word: textNavKeysAll}
		if c.state != "" {
			b = clientBadge(c.state)
		}
		view.Counters = append(view.Counters, statusCounter{Name: b.Word, Count: thousands(c.n), Tone: b.Tone, Path: l.url("state", string(c.state)), Current: state == string(c.state)})
	}
	if all == 0 {
		view.Empty = empty{Icon: "device-desktop", Title: textClientsNone, Text: textClientsNoneText}
		if v.can(auth.ClientsWrite) {
			view.Empty.Action, view.Empty.Path, view.Empty.Way = textCodesTitle, codesPath, wayPrimary
		}
	}
	return view
}

// clientView is a client's page.
type clientView struct {
	Shell      shell
	Row        clientRow
	Refresh    string
	Acts       clientActs
	Hint       keyHint // shown if it has a title
	Details    []detail
	Activities []activityRow
	Columns    []column
	Recorded   bool   // the person may see activities
	On         string // where all that was done to it is listed
	By         string // where all that it was refused is
	Empty      empty
}

// clientActs are what the person may do with a client.
type clientActs struct {
	Path                          string
	Approve, Edit, Revoke, Remove bool
}

func (v visit) clientActs(c client.Client) clientActs {
	may, over := v.can(auth.ClientsWrite), c.State == client.Revoked
	return clientActs{Path: clientPath(c.ID), Approve: may && c.State == client.Pending, Edit: may && !over, Revoke: may && !over, Remove: may && over}
}

// clientShell is the shell of a page about a client, or of the client's own page.
func (p *Panel) clientShell(v visit, c client.Client, title string) shell {
	trail := []crumb{{Name: textNavIntegrations}, {Name: textClientsTitle, Path: clientsPath}}
	if title != "" {
		return p.shell(v, title, append(trail, crumb{Name: c.Name, Path: clientPath(c.ID)})...)
	}
	return p.shell(v, c.Name, trail...)
}

func (p *Panel) findClient(r *http.Request, v visit) (client.Client, error) {
	return p.c.Clients.Find(r.Context(), v.caller, clientID(r))
}

// recentLines is how many activities a client's page shows.
const recentLines = 10

func (p *Panel) client(w http.ResponseWriter, r *http.Request, v visit) error {
	c, err := p.findClient(r, v)
	if err != nil {
		return err
	}
	view := clientView{
		Shell: p.clientShell(v, c, ""), Row: v.clientRow(c), Refresh: v.path, Acts: v.clientActs(c), Hint: v.clientHint(c), Recorded: v.can(auth.ActivitiesRead),
		On: "/activities?" + url.Values{"target": {string(c.ID)}}.Encode(), By: "/activities?" + url.Values{"actor": {string(c.ID)}}.Encode(),
		Columns: activityColumns(false), Empty: empty{Icon: "history", Title: textActivitiesNone, Text: textClientActivitiesNone},
	}
	if view.Details, err = p.clientDetails(r.Context(), v, c); err != nil {
		return err
	}
	if view.Recorded {
		if view.Activities, err = p.recentOn(r.Context(), v, string(c.ID)); err != nil {
			return err
		}
	}
	return p.show(w, r, http.StatusOK, clientTemplate(view))
}

// clientHint says what a client waits for, or that it is over.
func (v visit) clientHint(c client.Client) keyHint {
	switch c.State {
	case client.Revoked:
		return keyHint{Tone: "danger", Icon: "ban", Title: textClientRevoked, Text: textClientRevokedText}
	case client.Pending:
		h := keyHint{Tone: "info", Icon: "hourglass", Title: textClientWaits, Text: textClientWaitsText}
		if v.can(auth.ClientsWrite) {
			h.Action, h.Path = textClientApprove, clientPath(c.ID)+"/approve"
		}
		return h
	case client.Approved:
	}
	return keyHint{}
}

// clientDetails are what is known of a client.
func (p *Panel) clientDetails(ctx context.Context, v visit, c client.Client) ([]detail, error) {
	key := detail{Label: textClientEnrolledWith, Value: string(c.APIKey)}
	if v.can(auth.APIKeysRead) {
		k, err := p.c.APIKeys.Find(ctx, v.caller, c.APIKey)
		switch {
		case err == nil:
			key.Value, key.Path = k.Name, apiKeyPath(k.ID)
		case !isNotFound(err): // one that is gone has no name any more
			return nil, err
		}
	}
	format := readerFormat(c.ReaderFormat)
	out := []detail{
		{Label: textColumnKind, Value: clientKind(c.Kind).Name, Help: clientKind(c.Kind).Help},
		{Label: textClientPinless, Value: v.clientRow(c).Pinless},
		{Label: textClientFormat, Value: format.Label, Help: format.Help},
		key,
		{Label: textClientEnrolled, Time: v.moment(c.CreatedAt), Help: fromText(c.CreatedIP)},
		{Label: textClientApprovedAt, Time: v.moment(c.ApprovedAt), Value: textNever, Help: byText(c.ApprovedBy)},
		{Label: textClientSeen, Time: v.moment(c.LastSeenAt), Value: textNever, Help: fromText(c.LastIP)},
	}
	if !c.RevokedAt.IsZero() {
		out = append(out, detail{Label: textClientRevokedAt, Time: v.moment(c.RevokedAt)})
	}
	return append(
		out,
		detail{Label: textActivityAgent, Value: c.Agent, Wide: true},
		detail{Label: textClientThumbprint, Value: c.Thumbprint, Help: textClientThumbprintHelp, Code: true, Wide: true},
		detail{Label: textAPIKeyID, Value: string(c.ID), Code: true, Wide: true},
	), nil
}

// registerClients is the route registration of the clients' pages.
func (p *Panel) registerClients(mux *http.ServeMux) {
	write := auth.ClientsWrite
	mux.Handle("GET /clients", p.signed(p.clients))
	mux.Handle("GET /clients/codes", p.signed(p.codes))
	mux.Handle("POST /clients/codes", p.signed(p.issueCode))
	mux.Handle("GET /clients/codes/{code}/withdraw", p.form(write, p.withdrawCode))
	mux.Handle("POST /clients/codes/{code}/withdraw", p.signed(p.withdrawCode))
	mux.Handle("GET /clients/{id}", p.signed(p.client))
	mux.Handle("GET /clients/{id}/edit", p.form(write, p.editClient))
	mux.Handle("POST /clients/{id}/edit", p.signed(p.updateClient))
	mux.Handle("GET /clients/{id}/approve", p.form(write, p.approveClient))
	mux.Handle("POST /clients/{id}/approve", p.signed(p.approveClient))
	mux.Handle("GET /clients/{id}/revoke", p.form(write, p.revokeClient))
	mux.Handle("POST /clients/{id}/revoke", p.signed(p.revokeClient))
	mux.Handle("GET /clients/{id}/remove", p.form(write, p.removeClient))
	mux.Handle("POST /clients/{id}/remove", p.signed(p.removeClient))
}

// revisionText is a revision in a form.
func revisionText(n int64) string { return strconv.FormatInt(n, 10) }
