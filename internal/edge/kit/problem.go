package kit

import (
	"context"
	"net/http"
)

// Problem is every answer of an API that says no (RFC 9457).
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

// NewProblemField returns a field at fault. Tokens are blanked: what is told of a field
// may repeat what was sent, and ends up in the logs of whoever sent it.
func NewProblemField(field, message string) ProblemField {
	return ProblemField{Field: blankTokens(field), Message: blankTokens(message)}
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status. It is named, as the next two are, for the
// library that edge/api answers with.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders returns the headers that go with the problem.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType returns the media type of problems, whatever was asked for.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// NewProblem returns a problem without fields and headers.
func NewProblem(ctx context.Context, status int, code, detail string) *Problem {
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code,
		RequestID: RequestID(ctx), headers: http.Header{},
	}
}

// ProblemOf renders an error of a room and notes its cause in the request's event.
func ProblemOf(ctx context.Context, err error) *Problem {
	f := NoteError(ctx, err)
	p := NewProblem(ctx, Status(f), f.Code, f.Public)
	for _, field := range f.Fields {
		p.Errors = append(p.Errors, NewProblemField(field.Name, field.Message))
	}
	RetryAfter(p.headers, f)
	if p.Status == http.StatusUnauthorized {
		p.headers.Set("WWW-Authenticate", `Bearer realm="keyhold"`)
	}
	return p
}

// Refuse answers a program with the problem that an error is.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := ProblemOf(r.Context(), err)
	for name := range p.headers {
		w.Header().Set(name, p.headers.Get(name))
	}
	WriteJSON(w, p.Status, p.ContentType(""), p)
}
