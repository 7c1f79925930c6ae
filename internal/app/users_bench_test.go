package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// BenchmarkUsers opens pages of the panel and lists of the API through the whole
// server, without the network, in a workspace of 100,000 users.
func BenchmarkUsers(b *testing.B) {
	engines := map[string]string{"sqlite": ""}
	if os.Getenv("KEYHOLD_TEST_POSTGRES") != "" {
		engines["postgres"] = storetest.PostgresURL(b)
	}
	for name, url := range engines {
		b.Run(name, func(b *testing.B) { benchmarkUsers(b, url) })
	}
}

func benchmarkUsers(b *testing.B, databaseURL string) {
	c, err := Settings{Data: b.TempDir(), Listen: "localhost:8080", LogFormat: "json", DatabaseURL: databaseURL}.Parse()
	if err != nil {
		b.Fatal(err)
	}
	a, err := Open(b.Context(), c, Options{LinksSignIn: true}, slog.New(slog.DiscardHandler))
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
	job := auth.Job(w.Workspace.ID, "bench")
	owner, err := a.Join.Appoint(b.Context(), job, directory.NewUser{Email: "owner@example.com", FirstName: "Owner"})
	if err != nil {
		b.Fatal(err)
	}
	link, _, err := a.SignIn.IssueSetupLink(b.Context(), job, owner.Email)
	if err != nil {
		b.Fatal(err)
	}
	opened, err := a.SignIn.SignInByLink(b.Context(), auth.Nobody("192.0.2.1", "bench", "req_bench"), link)
	if err != nil {
		b.Fatal(err)
	}
	_, token, err := a.APIKeys.Create(b.Context(), job, apikey.NewKey{Name: "bench", Type: apikey.Admin})
	if err != nil {
		b.Fatal(err)
	}
	storetest.ManyUsers(b, a.store, w.Workspace.ID, 100_000)
	h, err := a.Handler("bench")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range []string{
		"/users", "/users?q=b", "/users?q=north+south", "/users?q=e-050505", "/users?sort=-created_at", "/users?status=active", "/dashboard", "/activities", "/administrators", "/administrators/new?q=b", "/groups", "/search?q=b",
		"/api/v1/users?total=true", "/api/v1/users?q=north+south", "/api/v1/users?sort=name,descend", "/api/v1/users?q=z&sort=created_at,descend",
	} {
		b.Run(path, func(b *testing.B) {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://localhost:8080"+path, nil)
			if path[:4] == "/api" {
				r.Header.Set("Authorization", "Bearer "+token.Secret().ExposeString())
			} else {
				r.AddCookie(&http.Cookie{Name: "keyhold_session", Value: opened.Token.ExposeString()})
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				took = append(took, time.Since(began))
				if rec.Code != http.StatusOK {
					b.Fatalf("GET %s = %d, want 200: %s", path, rec.Code, rec.Body)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
