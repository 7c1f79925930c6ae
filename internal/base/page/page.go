// Package page says how a list is asked for and answered: a limit, a sort, a
// position to go on from. Lists are keyset-paged: the position is the last row's
// sort value and id, never an offset.
package page

// MaxLimit and DefaultLimit bound a page's length.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// Position is where a page ended: the last row's sort value (as the store's
// column holds it, in text) and its id. The zero value means the beginning.
type Position struct {
	Value string
	ID    string
}

// IsZero says whether p means the beginning.
func (p Position) IsZero() bool { return p == Position{} }

// Request asks for one page. Limit is bounded by Bounded; Sort is one of the
// names that the list declares, "" for its default.
type Request struct {
	Limit      int
	Sort       string
	Descending bool
	After      Position
	WithTotal  bool
}

// Bounded returns r with its limit inside 1..MaxLimit, DefaultLimit for 0.
func (r Request) Bounded() Request {
	switch {
	case r.Limit <= 0:
		r.Limit = DefaultLimit
	case r.Limit > MaxLimit:
		r.Limit = MaxLimit
	}
	return r
}

// Page is one page of a list. Next is zero on the last page. Total is -1 unless
// it was asked for.
type Page[T any] struct {
	Items []T
	Next  Position
	Total int
}
