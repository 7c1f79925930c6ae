package page_test

import (
	"testing"

	"github.com/keyhold/keyhold/internal/base/page"
)

func TestBounded(t *testing.T) {
	for limit, want := range map[int]int{-5: page.DefaultLimit, 0: page.DefaultLimit, 1: 1, page.MaxLimit: page.MaxLimit, page.MaxLimit + 1: page.MaxLimit, 1 << 40: page.MaxLimit} {
		r := page.Request{Limit: limit, Sort: "name", Descending: true, WithTotal: true, After: page.Position{ID: "x"}}
		got := r.Bounded()
		if r.Limit = want; got != r {
			t.Errorf("Bounded() of limit %d = %+v, want %+v", limit, got, r)
		}
	}
}

func TestPosition_isZero(t *testing.T) {
	for p, want := range map[page.Position]bool{{}: true, {ID: "x"}: false, {Value: "x"}: false} {
		if p.IsZero() != want {
			t.Errorf("IsZero() of %+v = %v, want %v", p, p.IsZero(), want)
		}
	}
}
