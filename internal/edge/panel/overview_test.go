package panel

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/overview"
)

var _ Overview = (*overview.Service)(nil)

type overviewWorld struct{ *world }

func (w overviewWorld) Dashboard(_ context.Context, _ auth.Caller, zone *time.Location) (overview.Dashboard, error) {
	if zone.String() != "Europe/Berlin" {
		panic("the dashboard's days are not the person's")
	}
	return w.dashboard, w.fault
}

// full is a dashboard with something of everything.
func (w *world) full() {
	logins := &overview.LoginTrend{Week: 12, Before: 15}
	first := overview.Date{Year: 2026, Month: 11, Day: 5}
	for i := range 30 {
		logins.Days = append(logins.Days, overview.LoginsDay{Date: first.Add(i), Outcomes: overview.Outcomes{Success: int64(i * 7 % 13), Refused: int64(i % 5 / 4), Failed: int64(i % 11 / 10)}})
	}
	w.dashboard = overview.Dashboard{
		People: &overview.People{Total: 1234, Change: 3, Groups: 6, ByStatus: overview.UsersByStatus{NotInvited: 200, Pending: 34, Active: 990, Suspended: 10}},
		Logins: logins,
		Keys: &overview.SecurityKeys{
			Total: 1100, ByKind: overview.KeysByKind{ContactlessCard: 1000, Smartphone: 99, FIDO2: 1}, ByStatus: overview.KeysByStatus{New: 20, Pending: 80, Active: 990, Suspended: 10},
		},
		Attention: overview.Attention{
			LeakedAPIKeys:    []overview.Leaked{{ID: "key_01h455vb4pex5vsknk084sn02w", Name: "Workstations"}},
			ExpiringAPIKeys:  []overview.Expiring{{ID: "key_1", Name: "Payroll <sync>", ExpiresAt: now().AddDate(0, 0, 12)}},
			WaitingPasskeys:  []overview.Person{{ID: grace, Name: "Grace Hopper", N: 1}, {ID: ada, Name: "Ada Lovelace", N: 2}},
			SuspendedCreator: []overview.Person{{ID: grace, Name: "Grace Hopper", N: 3}},
			DeadMessages:     100,
		},
	}
}

func TestDashboardPages(t *testing.T) {
	for _, tt := range []struct {
		name  string
		world func(*world)
	}{
		{"dashboard", (*world).full},
		{"dashboard_new", func(w *world) {
			w.dashboard = overview.Dashboard{People: &overview.People{Groups: 1}, Logins: &overview.LoginTrend{Days: make([]overview.LoginsDay, 30)}}
		}},
		{"dashboard_reader", func(w *world) {
			w.full()
			w.standing = auth.Permissions{auth.UsersRead}
			w.dashboard.Logins, w.dashboard.Keys, w.dashboard.Attention = nil, nil, overview.Attention{}
		}},
		{"dashboard_nothing", func(w *world) { w.standing = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			tt.world(w)
			rec := w.ask(t, "/dashboard", nil)
			if rec.Code != http.StatusOK {
				t.Errorf("status = %d, want 200", rec.Code)
			}
			if strings.Contains(rec.Body.String(), "style=") {
				t.Error("the page has a style attribute, which the policy forbids")
			}
			golden(t, tt.name, rec.Body.String())
		})
	}
}

// TestNewChart_pieces: the pieces of a day stand on each other, and on the ground.
func TestNewChart_pieces(t *testing.T) {
	c := newLoginChart([]overview.LoginsDay{
		{Date: overview.Date{Year: 2026, Month: 12, Day: 3}, Outcomes: overview.Outcomes{Success: 10, Refused: 4, Failed: 6}},
		{Date: overview.Date{Year: 2026, Month: 12, Day: 4}, Outcomes: overview.Outcomes{Failed: 1}},
	})
	want := []chartPiece{
		{Tone: "green", X: "7.50", Y: "50.00", Width: "35.00", Height: "50.00"},
		{Tone: "red", X: "7.50", Y: "30.00", Width: "35.00", Height: "20.00"},
		{Tone: "amber", X: "7.50", Y: "0.00", Width: "35.00", Height: "30.00"},
	}
	if len(c.Days[0].Pieces) != 3 || c.Days[0].Pieces[0] != want[0] || c.Days[0].Pieces[1] != want[1] || c.Days[0].Pieces[2] != want[2] {
		t.Errorf("pieces = %+v, want %+v", c.Days[0].Pieces, want)
	}
	if len(c.Days[1].Pieces) != 1 || c.Ticks[0] != "20" || c.Label != "21 sign-ins in 30 days, the most on 3 December 2026: 20." {
		t.Errorf("chart = %+v", c)
	}
	if empty := newLoginChart(make([]overview.LoginsDay, 30)); len(empty.Days) != 0 {
		t.Errorf("a chart of nothing has %d days", len(empty.Days))
	}
}

func TestScaleTop(t *testing.T) {
	for n, want := range map[int64]int64{1: 2, 2: 2, 3: 4, 5: 6, 7: 8, 11: 12, 13: 16, 17: 20, 61: 80, 110: 120, 12345: 16000} {
		if got := scaleTop(n); got != want {
			t.Errorf("scaleTop(%d) = %d, want %d", n, got, want)
		}
	}
}

// TestActions_haveWords: what the record can be searched for is told in words.
func TestActions_haveWords(t *testing.T) {
	code := regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)
	for _, a := range actionsOffered() {
		if done, tried := actionText(a); code.MatchString(done) || code.MatchString(tried) || !strings.HasPrefix(tried, "Tried ") {
			t.Errorf("%s = %q, %q, want words", a, done, tried)
		}
	}
}
