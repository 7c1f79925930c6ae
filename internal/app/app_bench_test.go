package app

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
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
	log, _ := NewLog(io.Discard)
	a, err := Open(b.Context(), c, Options{}, log)
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
	background, stop := context.WithCancel(b.Context())
	var owned sync.WaitGroup
	owned.Go(func() { a.waker.Run(background) })
	b.Cleanup(func() {
		stop()
		owned.Wait()
	})
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://localhost:8080/api/v1/me", nil)
	r.Header.Set("Authorization", "Bearer "+token.Secret().ExposeString())
	b.ReportAllocs()
	for b.Loop() {
		rec := &answered{header: http.Header{}}
		h.ServeHTTP(rec, r)
		if rec.status != http.StatusOK {
			b.Fatalf("GET /me = %d, want 200", rec.status)
		}
	}
}

// answered is what is left of an answer that nobody reads.
type answered struct {
	header http.Header
	status int
}

func (a *answered) Header() http.Header { return a.header }

func (a *answered) WriteHeader(status int) { a.status = status }

func (a *answered) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return len(b), nil
}
