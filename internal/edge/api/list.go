package api

import (
	"context"
	"slices"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/page"
)

// ListInput is what every list takes. It is exported for huma, which looks into
// exported embedded structs only.
type ListInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many rows at the most."`
	Cursor string `query:"cursor" maxLength:"2048" doc:"next_cursor of the page before."`
	Total  bool   `query:"total" doc:"Whether to count all rows of the list."`
}

// listBody is what every list answers.
type listBody[T any] struct {
	Data       []T     `json:"data" nullable:"false" doc:"The rows."`
	NextCursor *string `json:"next_cursor" doc:"Ask for the next page with it; null on the last page."`
	Total      *int    `json:"total,omitempty" doc:"How many rows the whole list has; only with ?total=true."`
}

// listOutput is the answer of a list operation.
type listOutput[T any] struct{ Body listBody[T] }

// pageOf turns a list's input into a page request. query names the list with its
// filters and sort, to which cursors are bound.
func (a *restAPI) pageOf(ctx context.Context, by auth.Caller, in ListInput, sort, query string, sorts []string) (page.Request, error) {
	r := page.Request{Limit: in.Limit, WithTotal: in.Total}
	field, direction, _ := strings.Cut(sort, ",")
	if field != "" {
		if !slices.Contains(sorts, field) || !slices.Contains([]string{"", "ascend", "descend"}, direction) {
			return r, fault.Invalid("invalid_sort", "This list cannot be sorted so.",
				fault.Field{Name: "sort", Message: "must be one of " + strings.Join(sorts, ", ") + ", followed by ,ascend or ,descend"})
		}
		r.Sort, r.Descending = field, direction == "descend"
	}
	after, err := a.c.Cursors.Decode(ctx, by.Workspace, query, in.Cursor)
	r.After = after
	return r, err
}

// listAnswer renders a page.
func listAnswer[T, R any](ctx context.Context, a *restAPI, by auth.Caller, p page.Page[T], query string, render func(T) R) (*listOutput[R], error) {
	out := &listOutput[R]{Body: listBody[R]{Data: make([]R, 0, len(p.Items))}}
	for _, item := range p.Items {
		out.Body.Data = append(out.Body.Data, render(item))
	}
	next, err := a.c.Cursors.Encode(ctx, by.Workspace, query, p.Next)
	if err != nil {
		return nil, err
	}
	if next != "" {
		out.Body.NextCursor = &next
	}
	if p.Total >= 0 {
		out.Body.Total = &p.Total
	}
	return out, nil
}

// queryName joins what a cursor is bound to, so that no two queries read alike.
func queryName(parts ...string) string { return strings.Join(parts, "\x00") }
