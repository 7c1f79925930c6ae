package api

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keyhold/keyhold/internal/edge/kit"
)

// newProblem makes the errors that huma itself finds: in parsing and validating.
func newProblem(hc huma.Context, status int, message string, errs ...error) huma.StatusError {
	ctx := context.Background()
	if hc != nil {
		ctx = hc.Context()
	}
	if status >= http.StatusInternalServerError {
		return kit.ProblemOf(ctx, errors.Join(append([]error{errors.New(message)}, errs...)...))
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
	p := kit.NewProblem(ctx, status, code, sentence(message))
	for _, err := range errs {
		if err == nil {
			continue
		}
		field := kit.ProblemField{Message: err.Error()}
		var detailed huma.ErrorDetailer
		if errors.As(err, &detailed) {
			d := detailed.ErrorDetail()
			field = named(kit.ProblemField{Field: fieldName(d.Location), Message: d.Message})
		}
		p.Errors = append(p.Errors, kit.NewProblemField(field.Field, field.Message))
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

// named puts the property's name where it belongs.
func named(f kit.ProblemField) kit.ProblemField {
	if m := namedProperty.FindStringSubmatch(f.Message); m != nil {
		f.Message = "is needed"
		if f.Field == "body" || f.Field == "" {
			f.Field = m[1]
			return f
		}
		f.Field += "." + m[1]
	}
	if f.Message == "unexpected property" {
		f.Message = "is not a field of this resource"
	}
	return f
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
