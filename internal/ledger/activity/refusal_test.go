package activity

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
)

// lines is a Tx that keeps what is appended.
type lines struct {
	rows []Row
	err  error
}

func (l *lines) InsertActivity(_ context.Context, row Row) error {
	l.rows = append(l.rows, row)
	return l.err
}

func TestWriteOverdue_writesOneLine(t *testing.T) {
	now := time.Date(2026, 12, 4, 14, 0, 0, 0, time.UTC)
	refusal := func(caller string) OverdueRefusal {
		return OverdueRefusal{
			Refusal: Refusal{Workspace: "ws_1", Caller: caller, Action: "user.create", Reason: "missing_permission"},
			Since:   now.Add(-time.Minute), Count: 7,
		}
	}
	line := func(actor Party) Event {
		return Event{
			Workspace: "ws_1", At: now, Action: "user.create", Outcome: Refused, Reason: "missing_permission", Count: 7, Actor: actor,
		}
	}
	administrator := line(Party{Type: "administrator", ID: "user_1"})
	administrator.User = "user_1"
	client := line(Party{Type: "client", ID: "cli_1"})
	client.Client = "cli_1"
	card := client
	card.SecurityKey = id.New[id.KindSecurityKey](now)
	for caller, want := range map[string]Event{
		// What Refuse makes of each kind of caller.
		string(auth.Administrator) + " user_1":                     administrator,
		string(auth.APIKey) + " key_1":                             line(Party{Type: "api_key", ID: "key_1"}),
		string(auth.System) + " a command line":                    line(Party{Type: "system", ID: "a command line"}),
		string(auth.Client) + " cli_1":                             client,
		string(auth.Client) + " cli_1 " + string(card.SecurityKey): card,
		string(auth.Client) + " cli_1 0badcafe":                    client, // of a card that nobody has
		string(auth.Anonymous) + " ":                               line(Party{Type: "anonymous"}),
	} {
		var l lines
		if err := WriteOverdue(context.Background(), &l, refusal(caller), now); err != nil {
			t.Fatalf("WriteOverdue() for %q: error = %v", caller, err)
		}
		if len(l.rows) != 1 {
			t.Fatalf("lines for %q: want 1, got %d", caller, len(l.rows))
		}
		if diff := cmp.Diff(want, l.rows[0].Event, cmpopts.IgnoreFields(Event{}, "ID")); diff != "" {
			t.Errorf("line for %q (-want +got):\n%s", caller, diff)
		}
		if l.rows[0].ID == "" || len(l.rows[0].ActorDigest) == 0 {
			t.Errorf("line for %q: want an id and digests, got %+v", caller, l.rows[0])
		}
	}
}

func TestWriteOverdue_uncountedIsNoLine(t *testing.T) {
	var l lines
	if err := WriteOverdue(context.Background(), &l, OverdueRefusal{Refusal: Refusal{Workspace: "ws_1", Caller: "api_key key_1"}}, time.Time{}); err != nil || len(l.rows) != 0 {
		t.Errorf("WriteOverdue() with a count of 0: want no line, got %d, error %v", len(l.rows), err)
	}
}

func TestWriteOverdue_passesTheErrorOn(t *testing.T) {
	l := lines{err: errors.New("full")}
	if err := WriteOverdue(context.Background(), &l, OverdueRefusal{Count: 1}, time.Time{}); !errors.Is(err, l.err) {
		t.Errorf("WriteOverdue(): want the storage's error, got %v", err)
	}
}
