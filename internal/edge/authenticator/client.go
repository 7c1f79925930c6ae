package authenticator

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/client"
)

// whoami answers what a token and, if it proves itself, a client are.
func (e *edge) whoami(w http.ResponseWriter, r *http.Request) {
	q, ok := e.open(w, r)
	if !ok {
		return
	}
	me := whoami(q.id.Place, q.id.Key)
	if r.Header.Get("DPoP") != "" {
		c, found, err := e.c.Clients.Whoami(r.Context(), q.by, e.shown(q))
		if err != nil {
			q.refuse(r.Context(), err)
			return
		}
		if found {
			me.Client = renderClient(c)
		}
	}
	kit.WriteJSON(w, http.StatusOK, "application/json", me)
}

func whoami(p apikey.Place, k apikey.Key) kit.Whoami {
	me := kit.Whoami{
		Workspace: kit.WhoamiWorkspace{ID: string(p.ID), Name: p.Name},
		Key:       kit.WhoamiKey{ID: string(k.ID), TokenID: k.TokenID, Name: k.Name, Type: string(k.Type)},
	}
	if k.EndsAt.Before(apikey.Never()) {
		me.Key.ExpiresAt = &k.EndsAt
	}
	return me
}

// nonceBody is a fresh nonce.
type nonceBody struct {
	Nonce string `json:"nonce"`
}

func (e *edge) nonce(w http.ResponseWriter, r *http.Request) {
	q, ok := e.open(w, r)
	if !ok {
		return
	}
	n := e.c.Clients.Nonce(r.Context(), q.by)
	w.Header().Set("DPoP-Nonce", n)
	kit.WriteJSON(w, http.StatusOK, "application/json", nonceBody{Nonce: n})
}

// enrolment is the body of POST /clients.
type enrolment struct {
	Name string          `json:"name"`
	JWK  json.RawMessage `json:"jwk"`
	Kind string          `json:"kind"`
	Code hidden          `json:"enrolment_code"`
}

func renderClient(c client.Client) *kit.WhoamiClient {
	return &kit.WhoamiClient{
		ID: string(c.ID), Name: c.Name, Kind: string(c.Kind), State: string(c.State), PinlessAllowed: c.PinlessAllowed, ReaderFormat: string(c.ReaderFormat), CreatedAt: c.CreatedAt.UTC().Truncate(time.Millisecond),
	}
}

func (in enrolment) said() client.Enrolment {
	return client.Enrolment{Name: in.Name, Kind: client.Kind(in.Kind), JWK: in.JWK, Code: in.Code.ExposeString()}
}

// enrolled is a client that enrolled by a code alone. Its token is shown this once.
type enrolled struct {
	*kit.WhoamiClient
	Token string `json:"token"`
}

// enrolAlone answers who shows an enrolment code and no token.
func (e *edge) enrolAlone(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	ctx := r.Context()
	q := &request{w: w, r: r, by: kit.Nobody(ctx)}
	if !q.readBody(ctx, maxAlone) {
		return
	}
	in, err := read[enrolment](q)
	if err != nil || in.Code.IsEmpty() { // who shows nothing is told nothing else
		q.refuse(ctx, fault.Unauthenticated().Because(err))
		return
	}
	done, err := e.c.Enrol.ByCode(ctx, q.by, e.shown(q), in.said())
	if err != nil {
		q.refuseWithNonce(ctx, e, err)
		return
	}
	kit.WriteJSON(w, http.StatusCreated, "application/json", enrolled{renderClient(done.Client), done.Token.ExposeString()})
}

func (e *edge) enrol(w http.ResponseWriter, r *http.Request) {
	if _, present, ok := kit.Bearer(r); ok && !present {
		e.enrolAlone(w, r)
		return
	}
	q, ok := e.open(w, r)
	if !ok {
		return
	}
	in, err := read[enrolment](q)
	if err != nil {
		q.refuse(r.Context(), err)
		return
	}
	c, err := e.c.Clients.Enrol(r.Context(), q.by, e.shown(q), in.said())
	if err != nil {
		q.refuseWithNonce(r.Context(), e, err)
		return
	}
	kit.WriteJSON(w, http.StatusCreated, "application/json", renderClient(c))
}

// info answers authenticatorGetInfo.
func (e *edge) info(ctx context.Context, q *request) (any, error) {
	c, err := e.c.Clients.Touch(ctx, q.by)
	return ctap.GetInfo(ctap.InfoOptions{PINSet: true, PINLess: c.PinlessAllowed, MinPINLength: leastPIN}), err
}

// leastPIN is how many code points any PIN has at least (CTAP 2.1 §6.5.1).
const leastPIN = 4
