package securitykey_test

import (
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestKeysOf(t *testing.T) {
	h := newHouse(t)
	first := h.create(t, now(number)).Key
	h.clock.Advance(time.Second)
	second := h.create(t, byEmail(securitykey.FIDO2)).Key
	bob := storetest.User(t, h.Store, h.w, "bob")
	got, err := h.KeysOf(t.Context(), h.by, h.ada.ID)
	if err != nil || len(got) != 2 || got[0].ID != first.ID || got[1].ID != second.ID {
		t.Errorf("KeysOf() = %+v (%v), want Ada's two", got, err)
	}
	if got, err := h.KeysOf(t.Context(), h.by, bob.ID); err != nil || len(got) != 0 {
		t.Errorf("KeysOf() = %+v (%v) of somebody without, want none", got, err)
	}
	_, err = h.KeysOf(t.Context(), h.by, "user_none")
	refused(t, err, "user_not_found")
	elsewhere := storetest.Administrator(t, h.Store, storetest.Workspace(t, h.Store), "elsewhere")
	_, err = h.KeysOf(t.Context(), elsewhere, h.ada.ID)
	refused(t, err, "user_not_found")
	storetest.Strangers(t, h.Database, h.w, storetest.Stranger{
		Action: "security_key.list", Need: auth.SecurityKeysRead, Call: func(by auth.Caller) error { _, err := h.KeysOf(t.Context(), by, h.ada.ID); return err },
	})
}
