package api

import (
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keyhold/keyhold/internal/edge/kit"
)

// describeWhoami puts into the document what the edges of the other types of keys
// answer: one document tells all that the server answers to programs.
func (a *restAPI) describeWhoami() {
	for _, e := range []struct{ id, tag, path, scheme, types, prefix string }{
		{"get-authenticator-whoami", "authenticator", "/authenticator/v1/whoami", "clients_token", "Clients", "kh_client_…"},
		{"get-shared-mobile-whoami", "shared-mobile", "/shared-mobile/v1/whoami", "shared_mobile_token", "Shared Mobile", "kh_mobile_…"},
	} {
		doc := a.huma.OpenAPI()
		doc.Components.SecuritySchemes[e.scheme] = &huma.SecurityScheme{Type: "http", Scheme: "bearer", Description: "A " + e.types + " API key's token: " + e.prefix}
		op := &huma.Operation{
			OperationID: e.id, Method: http.MethodGet, Path: e.path, Tags: []string{e.tag}, Summary: "Which key is this?",
			Description: "For " + e.types + " keys only. Other keys answer 403 wrong_key_type, sessions are not looked at.",
			Security:    []map[string][]string{{e.scheme: {}}},
			Responses: map[string]*huma.Response{
				"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: a.schemaOf(reflect.TypeFor[kit.Whoami](), "Whoami")}}},
			},
		}
		problem := map[string]*huma.MediaType{"application/problem+json": {Schema: a.schemaOf(reflect.TypeFor[kit.Problem](), "Problem")}}
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
			op.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: problem}
		}
		doc.AddOperation(op)
	}
}

// schemaOf returns the schema of a type, by its place among the components.
func (a *restAPI) schemaOf(t reflect.Type, name string) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(t, true, name)
}
