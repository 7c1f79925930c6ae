package kit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyhold/keyhold/internal/base/clock"
)

func TestStream_aFailureIsSeenByTheReader(t *testing.T) {
	var log bytes.Buffer
	k := New(Config{
		PublicURL: &url.URL{Scheme: "http", Host: "localhost"}, Clock: clock.System{}, Metrics: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	server := httptest.NewServer(k.Observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Stream(w, r, "things.csv", "text/csv", func(_ context.Context, w io.Writer, flush func() error) error {
			if _, err := io.WriteString(w, "first\n"); err != nil {
				return err
			}
			if err := flush(); err != nil {
				return err
			}
			if r.URL.Path == "/whole" {
				return nil
			}
			return errors.New("the roof fell in")
		})
	})))
	for path, whole := range map[string]bool{"/whole": true, "/broken": false} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close() // it was read
		if string(text) != "first\n" || (err == nil) != whole {
			t.Errorf("%s: read %q, error %v, want it whole: %v", path, text, err, whole)
		}
		if got := res.Header.Get("Content-Disposition"); got != `attachment; filename="things.csv"` {
			t.Errorf("Content-Disposition = %s", got)
		}
	}
	server.Close() // waits for the handlers, and so for the log
	if got := log.String(); strings.Count(got, "msg=request") != 2 || !strings.Contains(got, "the roof fell in") {
		t.Errorf("the log = %s, want both requests and the cause", got)
	}
}
