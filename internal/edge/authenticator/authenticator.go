// Package authenticator answers the programs of workstations, which hold
// Clients keys: it tells them who they are. It knows no other key and no session.
package authenticator

import (
	"context"
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// Prefix is where the paths of this edge begin.
const Prefix = "/authenticator"

// Register mounts the edge on mux.
func Register(mux *http.ServeMux, keys *apikey.Service) {
	mux.HandleFunc("GET "+Prefix+"/v1/whoami", func(w http.ResponseWriter, r *http.Request) {
		kit.AnswerWhoami(w, r, func(ctx context.Context, by auth.Caller, text string) (auth.Caller, kit.Whoami, error) {
			i, err := keys.Identify(ctx, by, text, apikey.Clients)
			if err != nil {
				return auth.Caller{}, kit.Whoami{}, err
			}
			return i.Caller, whoami(i.Place, i.Key), nil
		})
	})
	mux.HandleFunc(Prefix+"/", kit.RefuseUnknown)
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
