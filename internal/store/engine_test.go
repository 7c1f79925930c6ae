package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/tx"
)

func TestTold_marksWhatIsOutOfReach(t *testing.T) {
	gone := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"no error", nil, false},
		{"a refused connection", fmt.Errorf("beginning: %w", gone), true},
		{"a server that shuts down", &pgconn.PgError{Code: "57P01"}, true},
		{"too many connections", &pgconn.PgError{Code: "53300"}, true},
		{"a broken constraint", &pgconn.PgError{Code: "23503"}, false},
		{"a caller who left", context.Canceled, false},
		{"a room's fault about a network", fault.Invalid("x", "X.").Because(gone), false},
		{"any other", errors.New("bad SQL"), false},
	} {
		if got := errors.Is(told(c.err), tx.ErrUnavailable); got != c.want {
			t.Errorf("%s: unavailable = %v, want %v", c.name, got, c.want)
		}
	}
}
