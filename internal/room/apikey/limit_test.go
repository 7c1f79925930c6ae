package apikey_test

import (
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestReset_keepsAnEndBeyondTheLimit(t *testing.T) {
	h := newHouse(t)
	ends := storetest.Start().AddDate(1, 0, 0)
	k, _ := h.issue(t, apikey.NewKey{Name: "Robot", Type: apikey.Admin, ExpiresAt: ends})
	h.limit(t, 30)
	k, _, err := h.Reset(t.Context(), h.by, k.ID, apikey.Renewal{})
	if err != nil {
		t.Fatalf("Reset() = %v, want a token that ends as the workspace allows", err)
	}
	if want := storetest.Start().AddDate(0, 0, 30); !k.ExpiresAt.Equal(ends) || !k.EndsAt.Equal(want) {
		t.Errorf("the key ends %v (asked %v), want %v (asked %v)", k.EndsAt, k.ExpiresAt, want, ends)
	}
	_, _, err = h.Reset(t.Context(), h.by, k.ID, apikey.Renewal{ExpiresAt: &ends})
	_ = storetest.Fault(t, err, "invalid_fields")
	short, _ := h.issue(t, apikey.NewKey{Name: "Short", Type: apikey.Admin, ExpiresAt: storetest.Start().Add(5 * time.Minute)})
	h.clock.Advance(6 * time.Minute)
	_, _, err = h.Reset(t.Context(), h.by, short.ID, apikey.Renewal{})
	_ = storetest.Fault(t, err, "invalid_fields") // its token would be expired from the first
}

func TestMaxDays(t *testing.T) {
	h := newHouse(t)
	if got, err := h.MaxDays(t.Context(), h.by); got != 0 || err != nil {
		t.Errorf("MaxDays() = %d, %v, want no limit", got, err)
	}
	h.limit(t, 90)
	writer := storetest.Administrator(t, h.Store, h.w, "writer", auth.APIKeysWrite)
	if got, err := h.MaxDays(t.Context(), writer); got != 90 || err != nil {
		t.Errorf("MaxDays() = %d, %v, want 90", got, err)
	}
	reader := storetest.Administrator(t, h.Store, h.w, "reader", auth.APIKeysRead)
	_, err := h.MaxDays(t.Context(), reader)
	if f := storetest.Fault(t, err, "missing_permission"); f.Kind != fault.KindForbidden {
		t.Errorf("MaxDays() = %v, want Forbidden", f)
	}
	other := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "other")
	if got, err := h.MaxDays(t.Context(), other); got != 0 || err != nil {
		t.Errorf("MaxDays() of another workspace = %d, %v, want its own: none", got, err)
	}
}
