package fault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
)

func TestAs(t *testing.T) {
	f := fault.NotFound("user_not_found", "This user does not exist.")
	for what, err := range map[string]error{"itself": f, "wrapped": fmt.Errorf("finding: %w", f), "joined": errors.Join(errors.New("x"), f), "with a cause": f.Because(errors.New("x"))} {
		if got, ok := fault.As(err); !ok || got.Code != f.Code {
			t.Errorf("As() of a fault %s = %v, %v, want it", what, got, ok)
		}
	}
	for what, err := range map[string]error{"nil": nil, "an error of the house": errors.New("x")} {
		if got, ok := fault.As(err); ok || got != nil {
			t.Errorf("As() of %s = %v, %v, want nothing", what, got, ok)
		}
	}
}

func TestBecause_isPrivate(t *testing.T) {
	cause := errors.New("no such table")
	f := fault.Conflict("taken", "It is taken.", fault.Field{Name: "name", Message: "is taken"})
	g := f.Because(cause)
	if errors.Is(f, cause) || f.Unwrap() != nil {
		t.Error("Because() changed the fault itself, want a copy")
	}
	if !errors.Is(g, cause) || !strings.Contains(g.Error(), "no such table") || strings.Contains(g.Public, "table") || len(g.Fields) != 1 {
		t.Errorf("Because() = %v, public %q, want the cause in the log alone", g, g.Public)
	}
}

func TestConstructors(t *testing.T) {
	for kind, f := range map[fault.Kind]*fault.Error{
		fault.KindInvalid: fault.Invalid("c", "P."), fault.KindUnauthenticated: fault.Unauthenticated(), fault.KindForbidden: fault.Forbidden("c", "P."),
		fault.KindNotFound: fault.NotFound("c", "P."), fault.KindConflict: fault.Conflict("c", "P."), fault.KindPrecondition: fault.Precondition(),
		fault.KindTooMany: fault.TooMany("c", "P.", time.Second), fault.KindUnavailable: fault.Unavailable("c", "P.", time.Second),
	} {
		if f.Kind != kind || f.Code == "" || !strings.HasSuffix(f.Public, ".") || f.Error() == "" {
			t.Errorf("%+v, want kind %d with a code and a sentence", f, kind)
		}
		if limit := kind == fault.KindTooMany || kind == fault.KindUnavailable; (f.RetryAfter > 0) != limit {
			t.Errorf("%s says to come back after %v", f.Code, f.RetryAfter)
		}
	}
}
