package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keyhold/keyhold/internal/edge/kit"
)

// Problem is every answer that says no (RFC 9457).
type Problem struct {
	Type      string         `json:"type" doc:"A URI that names the kind of problem."`
	Title     string         `json:"title" doc:"The status in words."`
	Status    int            `json:"status" doc:"The HTTP status."`
	Detail    string         `json:"detail" doc:"What went wrong, for people."`
	Code      string         `json:"code" doc:"What went wrong, for programs: stable, snake_case."`
	Errors    []ProblemField `json:"errors,omitempty" doc:"The fields at fault."`
	RequestID string         `json:"request_id" doc:"Name this when you ask for help."`

	headers http.Header
}

// ProblemField is one field at fault.
type ProblemField struct {
	Field   string `json:"field" doc:"The field's name."`
	Message string `json:"message" doc:"What is wrong with it."`
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus satisfies huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders satisfies huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType satisfies huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problemOf renders an error of a room and notes its cause in the request's event.
func problemOf(ctx context.Context, err error) *Problem {
	f := kit.NoteError(ctx, err)
	p := blank(ctx, kit.Status(f), f.Code, f.Public)
	for _, field := range f.Fields {
		p.Errors = append(p.Errors, ProblemField{Field: field.Name, Message: field.Message})
	}
	kit.RetryAfter(p.headers, f)
	if p.Status == http.StatusUnauthorized {
		p.headers.Set("WWW-Authenticate", `Bearer realm="keyhold"`)
	}
	return p
}

func blank(ctx context.Context, status int, code, detail string) *Problem {
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code,
		RequestID: kit.RequestID(ctx), headers: http.Header{},
	}
}

// writeProblem answers outside of huma's handlers.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(r.Context(), err)
	for name := range p.headers {
		w.Header().Set(name, p.headers.Get(name))
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the reader has gone: nothing to do about it
}

// newProblem makes the errors that huma itself finds: in parsing and validating.
func newProblem(hc huma.Context, status int, message string, errs ...error) huma.StatusError {
	ctx := context.Background()
	if hc != nil {
		ctx = hc.Context()
	}
	if status >= http.StatusInternalServerError {
		return problemOf(ctx, errors.Join(append([]error{errors.New(message)}, errs...)...))
	}
	code := codeOf(status)
	if hc != nil {
		kit.NoteFault(ctx, code)
	}
	if status == http.StatusUnprocessableEntity {
		message = "Some fields need your attention."
	}
	if status == http.StatusUnsupportedMediaType {
		message, errs = "Send the body as JSON, with Content-Type: application/json.", nil
	}
	p := blank(ctx, status, code, sentence(message))
	for _, err := range errs {
		if err == nil {
			continue
		}
		field := ProblemField{Message: err.Error()}
		var detailed huma.ErrorDetailer
		if errors.As(err, &detailed) {
			d := detailed.ErrorDetail()
			field = ProblemField{Field: fieldName(d.Location), Message: d.Message}
			field.moveName()
		}
		p.Errors = append(p.Errors, field)
	}
	return p
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnprocessableEntity:
		return "invalid_fields"
	case http.StatusRequestEntityTooLarge:
		return "body_too_large"
	case http.StatusUnsupportedMediaType:
		return "unsupported_media_type"
	}
	return "bad_request"
}

// fieldName turns huma's place ("body.email", "query.limit") into the public name.
func fieldName(location string) string {
	for _, part := range []string{"body.", "query.", "path.", "header."} {
		if name, ok := strings.CutPrefix(location, part); ok {
			return name
		}
	}
	return location
}

// namedProperty finds the property that huma's message is about: it reports
// missing and unknown properties at the object that should hold them.
var namedProperty = regexp.MustCompile(`^expected required property (\S+) to be present$`)

func (f *ProblemField) moveName() {
	if m := namedProperty.FindStringSubmatch(f.Message); m != nil {
		f.Message = "is needed"
		if f.Field == "body" || f.Field == "" {
			f.Field = m[1]
			return
		}
		f.Field += "." + m[1]
	}
	if f.Message == "unexpected property" {
		f.Message = "is not a field of this resource"
	}
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
