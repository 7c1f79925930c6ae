package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// meBody says who calls.
type meBody struct {
	Workspace struct {
		ID   string `json:"id" example:"ws_01jd3v9b8eexav2f6hqdr3wzkt"`
		Name string `json:"name"`
	} `json:"workspace"`
	Caller struct {
		Type string `json:"type" enum:"administrator,user,api_key"`
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"caller"`
	Permissions []string `json:"permissions" nullable:"false"`
	Key         *KeyBody `json:"key" doc:"The API key that calls; null for a person who is signed in. Its last use is this one."`
}

type meOutput struct{ Body meBody }

// registerMe mounts GET /me twice: as the operation that the document describes, and
// in front of it a plain handler for what programs send, which costs a fraction. It
// steps aside for everything else, a session's cookie, a query, two headers.
func (a *restAPI) registerMe(mux *http.ServeMux, config huma.Config) {
	behind := http.NewServeMux()
	described := &restAPI{c: a.c, huma: humago.New(behind, config)} // writes into the same document
	described.huma.UseMiddleware(described.authenticate)
	register(described, operation("get-me", http.MethodGet, "/me", "Who am I?", "Any accepted caller may ask."), described.me)
	mux.HandleFunc("GET "+Prefix+"/me", func(w http.ResponseWriter, r *http.Request) {
		values := r.Header["Authorization"]
		if len(values) != 1 || r.URL.RawQuery != "" || r.Method != http.MethodGet {
			behind.ServeHTTP(w, r)
			return
		}
		text, _, _ := kit.Bearer(r) // one header, and no query
		a.ownKey(w, r, text)
	})
}

// ownKey answers GET /me for an API key's token, from what verifying it told.
func (a *restAPI) ownKey(w http.ResponseWriter, r *http.Request, text string) {
	ctx := r.Context()
	var i apikey.Identity
	if err := a.c.APIKeys.IdentifyInto(ctx, kit.Nobody(ctx), text, apikey.Admin, &i); err != nil {
		kit.Refuse(w, r, err)
		return
	}
	kit.NoteCaller(ctx, i.Caller)
	buffer, ok := buffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	*buffer = appendMe((*buffer)[:0], &i)
	h := w.Header()
	h["Content-Type"] = jsonContent
	_, _ = w.Write(*buffer) // the reader has gone: nothing to do about it
	buffers.Put(buffer)
}

// jsonContent is the header's value. constant: nobody writes to it, and a slice of one's
// own would be made for each answer.
var jsonContent = []string{"application/json"}

// buffers holds what answers are written into. constant: the pool itself is never
// replaced.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// appendMe writes the body of GET /me: what meBody describes (a test compares them).
func appendMe(b []byte, i *apikey.Identity) []byte {
	k := &i.Key
	b = append(b, `{"workspace":{"id":"`...)
	b = append(b, i.Place.ID...)
	b = append(b, `","name":`...)
	b = kit.AppendJSONString(b, i.Place.Name)
	b = append(b, `},"caller":{"type":"api_key","id":"`...)
	b = append(b, k.ID...)
	b = append(b, `","name":`...)
	b = kit.AppendJSONString(b, k.Name)
	b = append(b, `},"permissions":`...)
	b = appendPermissions(b, i.Standing.Permissions)
	b = append(b, `,"key":`...)
	b = appendKey(b, k)
	return append(b, "}\n"...)
}

// appendKey writes a good key: what KeyBody describes.
func appendKey(b []byte, k *apikey.Key) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, k.ID...)
	b = append(b, `","token_id":"`...)
	b = append(b, k.TokenID...)
	b = append(b, `","name":`...)
	b = kit.AppendJSONString(b, k.Name)
	b = append(b, `,"type":"`...)
	b = append(b, k.Type...)
	b = append(b, `","status":"active","permissions":`...)
	b = appendPermissions(b, k.Permissions)
	b = append(b, `,"expires_at":`...)
	if k.EndsAt.Equal(apikey.Never()) {
		b = append(b, "null"...)
	} else {
		b = appendMoment(b, k.EndsAt)
	}
	b = append(b, `,"allowed_ips":[`...)
	for i, p := range k.AllowedIPs {
		if i > 0 {
			b = append(b, ',')
		}
		b = kit.AppendJSONString(b, addressText(p))
	}
	b = append(b, `],"created_at":`...)
	b = appendMoment(b, k.CreatedAt)
	b = append(b, `,"created_by":{"type":`...)
	b = kit.AppendJSONString(b, k.CreatedBy.Type)
	b = append(b, `,"id":`...)
	b = kit.AppendJSONString(b, k.CreatedBy.ID)
	b = append(b, `,"name":`...)
	b = kit.AppendJSONString(b, k.CreatedBy.Name)
	b = append(b, `},"issued_at":`...)
	b = appendMoment(b, k.IssuedAt)
	b = append(b, `,"last_used":{"at":`...)
	b = appendMoment(b, k.LastUse.At)
	b = append(b, `,"ip":`...)
	b = kit.AppendJSONString(b, k.LastUse.IP)
	b = append(b, `,"agent":`...)
	b = kit.AppendJSONString(b, k.LastUse.Agent)
	b = append(b, `},"retiring":`...)
	if k.Retiring.Active(k.LastUse.At) {
		b = append(b, `{"token_id":"`...)
		b = append(b, k.Retiring.TokenID...)
		b = append(b, `","ends_at":`...)
		b = appendMoment(b, k.Retiring.EndsAt)
		b = append(b, '}')
	} else {
		b = append(b, "null"...)
	}
	return append(b, `,"disabled_at":null,"reported_leaked_at":null}`...)
}

func appendPermissions(b []byte, set auth.Permissions) []byte {
	b = append(b, '[')
	for i, p := range set {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, p...)
		b = append(b, '"')
	}
	return append(b, ']')
}

// appendMoment writes a moment as encoding/json does.
func appendMoment(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

func (a *restAPI) me(ctx context.Context, by auth.Caller, _ *struct{}) (*meOutput, error) {
	me, err := a.c.Directory.Me(ctx, by)
	if err != nil {
		return nil, err
	}
	out := &meOutput{}
	out.Body.Workspace.ID, out.Body.Workspace.Name = string(me.Workspace.ID), me.Workspace.Name
	out.Body.Caller.Type, out.Body.Caller.ID, out.Body.Caller.Name = string(by.Kind), by.Identity(), by.Name
	out.Body.Permissions = me.Standing.Permissions.Strings()
	if by.Kind == auth.APIKey {
		k, err := a.c.APIKeys.Own(ctx, by)
		if err != nil {
			return nil, err
		}
		key := renderAPIKey(k, a.c.Kit.Clock().Now())
		out.Body.Key = &key
	}
	return out, nil
}
