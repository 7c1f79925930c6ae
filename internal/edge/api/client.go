package api

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/room/client"
)

// ClientBody is a client as the API shows it. It is exported for huma, as ListInput is.
type ClientBody struct {
	ID             string     `json:"id" example:"cli_01jd3v9b8eexav2f6hqdr3wzkt"`
	Name           string     `json:"name"`
	Kind           string     `json:"kind" enum:"extension,agent,ctap_transport,shared_mobile"`
	State          string     `json:"state" enum:"pending,approved,revoked" doc:"pending: it waits for an administrator. revoked is final."`
	PinlessAllowed bool       `json:"pinless_allowed" doc:"Security keys that need no PIN work here."`
	ReaderFormat   string     `json:"reader_format" enum:"hex,hex_reversed,decimal,decimal_reversed" doc:"How the readers there write a card's number."`
	Thumbprint     string     `json:"thumbprint" doc:"Of the program's key (RFC 7638)."`
	APIKey         string     `json:"api_key" doc:"The id of the Clients key with which it enrolled, or of its own that it got by an enrolment code."`
	CreatedAt      time.Time  `json:"created_at"`
	CreatedIP      string     `json:"created_ip"`
	ApprovedAt     *time.Time `json:"approved_at"`
	ApprovedBy     string     `json:"approved_by" doc:"The name of who approved it, or made its enrolment code; empty if nobody did."`
	RevokedAt      *time.Time `json:"revoked_at"`
	LastSeenAt     *time.Time `json:"last_seen_at" doc:"To the minute; null if it never asked for anything."`
	LastIP         string     `json:"last_ip"`
	Agent          string     `json:"agent" doc:"What the program calls itself."`
}

func renderClient(c client.Client) ClientBody {
	return ClientBody{
		ID: string(c.ID), Name: c.Name, Kind: string(c.Kind), State: string(c.State), PinlessAllowed: c.PinlessAllowed, ReaderFormat: string(c.ReaderFormat),
		Thumbprint: c.Thumbprint, APIKey: string(c.APIKey), CreatedAt: c.CreatedAt, CreatedIP: c.CreatedIP, ApprovedAt: optionalTime(c.ApprovedAt),
		ApprovedBy: c.ApprovedBy, RevokedAt: optionalTime(c.RevokedAt), LastSeenAt: optionalTime(c.LastSeenAt), LastIP: c.LastIP, Agent: c.Agent,
	}
}

// clientOutput is the answer with one client.
type clientOutput struct {
	ETag string `header:"ETag" doc:"The client's revision, for If-Match."`
	Body ClientBody
}

func clientAnswer(c client.Client) *clientOutput {
	return &clientOutput{ETag: etag(c.Revision), Body: renderClient(c)}
}

// ClientPath names one client. It is exported for huma, as ListInput is.
type ClientPath struct {
	ID string `path:"id" doc:"The client's id: cli_…"`
}

// client returns the id, or the zero id if it cannot be one: see KeyPath.
func (p ClientPath) client() id.Client {
	c, _ := id.Parse[id.KindClient](p.ID)
	return c
}

type listClientsInput struct {
	ListInput
	Q     string `query:"q" maxLength:"400" doc:"Beginnings of words in the name."`
	State string `query:"state" enum:"pending,approved,revoked" doc:"Only clients in this state."`
	Sort  string `query:"sort" doc:"name, created_at or last_seen, followed by ,ascend or ,descend."`
}

type patchClientInput struct {
	ClientPath
	IfMatch string `header:"If-Match" doc:"Change the client only if this is its ETag."`
	Body    struct {
		Name           patchText `json:"name,omitempty"`
		PinlessAllowed *bool     `json:"pinless_allowed,omitempty" doc:"Security keys that need no PIN work here: whoever holds such a card may sign in."`
		ReaderFormat   *string   `json:"reader_format,omitempty" enum:"hex,hex_reversed,decimal,decimal_reversed"`
	}
}

type deleteClientInput struct {
	ClientPath
	IfMatch string `header:"If-Match" doc:"Do it only if this is the client's ETag."`
}

// registerClients is the route registration of the operations of clients.
func (a *restAPI) registerClients() {
	const read, write = "Needs the permission clients.read.", "Needs the permission clients.write."
	register(a, operation("list-clients", http.MethodGet, "/clients", "List clients",
		"The programs at workstations that ask for operations with security keys; revoked ones too. "+read), a.listClients)
	register(a, operation("get-client", http.MethodGet, "/clients/{id}", "Get a client", read, http.StatusNotFound), a.getClient)
	register(a, operation("patch-client", http.MethodPatch, "/clients/{id}", "Change a client",
		"A merge patch (RFC 7396). Cards that were tapped there must be tapped again. "+write, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed), a.patchClient)
	register(a, operation("delete-client", http.MethodDelete, "/clients/{id}", "Revoke or remove a client",
		"Revokes it for good: whatever it asks for afterwards is refused. Of a client that was revoked before, it removes the row. "+write,
		http.StatusNotFound, http.StatusPreconditionFailed), a.deleteClient)
	registerPost(a, operation("approve-client", http.MethodPost, "/clients/{id}/approve", "Approve a client",
		"It may ask for operations from now on; one that is approved stays as it is. "+write, http.StatusNotFound, http.StatusConflict), a.approveClient, a.repeatClient)
	a.registerEnrolmentCodes()
}

func (a *restAPI) listClients(ctx context.Context, by auth.Caller, in *listClientsInput) (*listOutput[ClientBody], error) {
	name := queryName("clients", in.Q, in.State, in.Sort)
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, client.Sorts())
	if err != nil {
		return nil, err
	}
	p, err := a.c.Clients.List(ctx, by, client.Query{State: client.State(in.State), Words: search.Words(in.Q), Page: r})
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, renderClient)
}

func (a *restAPI) getClient(ctx context.Context, by auth.Caller, in *ClientPath) (*clientOutput, error) {
	c, err := a.c.Clients.Find(ctx, by, in.client())
	if err != nil {
		return nil, err
	}
	return clientAnswer(c), nil
}

func (a *restAPI) patchClient(ctx context.Context, by auth.Caller, in *patchClientInput) (*clientOutput, error) {
	c, err := a.c.Clients.Change(ctx, by, in.client(), client.Change{
		Name: in.Body.Name.value, PinlessAllowed: in.Body.PinlessAllowed, ReaderFormat: (*client.ReaderFormat)(in.Body.ReaderFormat),
	}, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return clientAnswer(c), nil
}

func (a *restAPI) deleteClient(ctx context.Context, by auth.Caller, in *deleteClientInput) (*struct{}, error) {
	return nil, a.c.Clients.Revoke(ctx, by, in.client(), revisionOf(in.IfMatch))
}

func (a *restAPI) approveClient(ctx context.Context, by auth.Caller, in *ClientPath) (*clientOutput, error) {
	c, err := a.c.Clients.Approve(ctx, by, in.client())
	if err != nil {
		return nil, err
	}
	return clientAnswer(c), nil
}

func (a *restAPI) repeatClient(ctx context.Context, as auth.Caller, _ *ClientPath, note string) (*clientOutput, error) {
	return a.getClient(ctx, as, &ClientPath{ID: note})
}
