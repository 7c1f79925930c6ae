package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// BenchmarkMe is GET /api/v1/me with an Admin key through the whole server, without
// the network.
func BenchmarkMe(b *testing.B) {
	c, err := Settings{Data: b.TempDir(), Listen: "localhost:8080", LogFormat: "json"}.Parse()
	if err != nil {
		b.Fatal(err)
	}
	a, err := Open(b.Context(), c, Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := a.Close(); err != nil {
			b.Error(err)
		}
	})
	w, err := a.Join.CreateWorkspace(b.Context(), auth.Job("", "bench"), "Bench")
	if err != nil {
		b.Fatal(err)
	}
	_, token, err := a.APIKeys.Create(b.Context(), auth.Job(w.Workspace.ID, "bench"), apikey.NewKey{Name: "bench", Type: apikey.Admin})
	if err != nil {
		b.Fatal(err)
	}
	h, err := a.Handler("bench")
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://localhost:8080/api/v1/me", nil)
	r.Header.Set("Authorization", "Bearer "+token.Secret().ExposeString())
	b.ReportAllocs()
	for b.Loop() {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			b.Fatalf("GET /me = %d, want 200: %s", rec.Code, rec.Body)
		}
	}
}
