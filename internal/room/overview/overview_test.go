package overview_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/overview"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

type room struct {
	storetest.Database
	*overview.Service
	clock *clock.Manual
	w     id.Workspace
	by    auth.Caller
}

// both runs a test on each engine that there is.
func both(t *testing.T, run func(t *testing.T, d storetest.Database)) {
	t.Run("sqlite", func(t *testing.T) { run(t, storetest.SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { run(t, storetest.Postgres(t)) })
}

func newRoom(t *testing.T, d storetest.Database) room {
	t.Helper()
	c := clock.NewManual(storetest.Start())
	w := storetest.Workspace(t, d.Store)
	return room{Database: d, Service: overview.New(store.For[overview.Tx](d.Store), c), clock: c, w: w, by: auth.Job(w, "test")}
}

// tick counts n things at a moment.
func (r room) tick(t *testing.T, name, at string, n int) {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, at)
	if err != nil {
		t.Fatal(err)
	}
	quarter := moment.UTC().Truncate(15 * time.Minute).UnixMilli()
	if _, err := r.SQL.ExecContext(t.Context(), `INSERT INTO tick (workspace, name, quarter, n) VALUES ($1, $2, $3, $4)`, string(r.w), name, quarter, n); err != nil {
		t.Fatal(err)
	}
}

func span(t *testing.T, from, to, zone string) overview.Range {
	t.Helper()
	r, f := overview.ParseRange(from, to, zone, storetest.Start())
	if f != nil {
		t.Fatal(f)
	}
	return r
}

// TestLogins_daysOfTheZone puts sign-ins into the quarters on both sides of the
// midnights of each zone.
func TestLogins_daysOfTheZone(t *testing.T) {
	both(t, func(t *testing.T, d storetest.Database) {
		for _, c := range []struct {
			zone, from, to string
			at             []string // in UTC; the k-th counts 10^k
			want           []int64
		}{
			{"UTC", "2026-03-01", "2026-03-02", []string{"2026-02-28T23:45:00Z", "2026-03-01T00:00:00Z", "2026-03-01T23:45:00Z", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"}, []int64{110, 1000}},
			// Half an hour past the full hour.
			{"Asia/Kolkata", "2026-03-01", "2026-03-02", []string{"2026-02-28T18:15:00Z", "2026-02-28T18:30:00Z", "2026-03-01T18:15:00Z", "2026-03-01T18:30:00Z", "2026-03-02T18:30:00Z"}, []int64{110, 1000}},
			// The 29th has 23 hours: its clocks go from 2 to 3.
			{"Europe/Berlin", "2026-03-28", "2026-03-30", []string{"2026-03-27T23:00:00Z", "2026-03-28T22:45:00Z", "2026-03-28T23:00:00Z", "2026-03-29T21:45:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"}, []int64{11, 1100, 10000}},
			// The 25th has 25 hours.
			{"Europe/Berlin", "2026-10-24", "2026-10-26", []string{"2026-10-24T21:45:00Z", "2026-10-24T22:00:00Z", "2026-10-25T22:45:00Z", "2026-10-25T23:00:00Z"}, []int64{1, 110, 1000}},
			// Half hours and a change of clocks.
			{"America/St_Johns", "2026-03-07", "2026-03-09", []string{"2026-03-07T03:30:00Z", "2026-03-08T03:15:00Z", "2026-03-08T03:30:00Z", "2026-03-09T02:15:00Z", "2026-03-09T02:30:00Z", "2026-03-10T02:30:00Z"}, []int64{11, 1100, 10000}},
			// A quarter to the full hour, and the farthest from UTC on both sides.
			{"Asia/Kathmandu", "2026-03-01", "2026-03-01", []string{"2026-02-28T18:00:00Z", "2026-02-28T18:15:00Z", "2026-03-01T18:00:00Z", "2026-03-01T18:15:00Z"}, []int64{110}},
			{"Pacific/Kiritimati", "2026-03-01", "2026-03-01", []string{"2026-02-28T09:45:00Z", "2026-02-28T10:00:00Z", "2026-03-01T09:45:00Z", "2026-03-01T10:00:00Z"}, []int64{110}},
			{"Etc/GMT+12", "2026-03-01", "2026-03-01", []string{"2026-03-01T11:45:00Z", "2026-03-01T12:00:00Z", "2026-03-02T11:45:00Z", "2026-03-02T12:00:00Z"}, []int64{110}},
		} {
			t.Run(c.zone+c.from, func(t *testing.T) {
				r := newRoom(t, d)
				n := 1
				for _, at := range c.at {
					r.tick(t, "login.success", at, n)
					n *= 10
				}
				out, err := r.Logins(t.Context(), r.by, span(t, c.from, c.to, c.zone))
				if err != nil {
					t.Fatal(err)
				}
				var got []int64
				for _, day := range out.Days {
					got = append(got, day.Success)
				}
				if !slices.Equal(got, c.want) || out.Days[0].Date.String() != c.from || out.Days[len(out.Days)-1].Date.String() != c.to {
					t.Errorf("days %v = %v, want %v", out.Days, got, c.want)
				}
			})
		}
	})
}

func TestStatistics_countWhatThereIs(t *testing.T) {
	both(t, func(t *testing.T, d storetest.Database) {
		r := newRoom(t, d)
		other := newRoom(t, d)
		other.tick(t, "user.create", "2026-03-01T00:00:00Z", 1000)
		for i := range 3 {
			storetest.User(t, d.Store, r.w, fmt.Sprint("u", i))
		}
		r.tick(t, "user.delete", "2026-03-01T00:00:00Z", 2)
		r.tick(t, "group.create", "2026-03-01T00:00:00Z", 4)
		r.tick(t, "login.refused", "2026-03-01T00:00:00Z", 8)
		r.tick(t, "login.failed", "2026-03-02T00:00:00Z", 16)
		r.tick(t, "login.success", "2026-02-01T00:00:00Z", 32) // outside
		both := span(t, "2026-03-01", "2026-03-02", "")
		first, second := overview.Date{Year: 2026, Month: 3, Day: 1}, overview.Date{Year: 2026, Month: 3, Day: 2}
		users, err := r.Users(t.Context(), r.by, both)
		want := overview.Users{Total: 3, ByStatus: overview.UsersByStatus{NotInvited: 3}, Days: []overview.UsersDay{{Date: first, Deleted: 2}, {Date: second, Created: 3}}}
		if diff := cmp.Diff(want, users); err != nil || diff != "" {
			t.Errorf("Users() error %v (-want +got):\n%s", err, diff)
		}
		groups, err := r.Groups(t.Context(), r.by, both)
		if err != nil || len(groups.Days) != 2 || groups.Days[0].Created != 4 {
			t.Errorf("Groups() = %+v, %v, want 4 on the first of two days", groups, err)
		}
		logins, err := r.Logins(t.Context(), r.by, both)
		wantLogins := overview.Logins{Total: overview.Outcomes{Refused: 8, Failed: 16}, Days: []overview.LoginsDay{
			{Date: first, Outcomes: overview.Outcomes{Refused: 8}}, {Date: second, Outcomes: overview.Outcomes{Failed: 16}},
		}}
		if diff := cmp.Diff(wantLogins, logins); err != nil || diff != "" {
			t.Errorf("Logins() error %v (-want +got):\n%s", err, diff)
		}
	})
}

func TestParseRange(t *testing.T) {
	now := time.Date(2026, 3, 2, 23, 30, 0, 0, time.UTC) // the 3rd already in Berlin
	for in, want := range map[[3]string][2]string{
		{"", "", ""}:                        {"2026-02-01", "2026-03-02"},
		{"", "", "Europe/Berlin"}:           {"2026-02-02", "2026-03-03"},
		{"2026-01-01", "", ""}:              {"2026-01-01", "2026-01-30"},
		{"2026-02-20", "", ""}:              {"2026-02-20", "2026-03-02"},
		{"2027-01-01", "", ""}:              {"2027-01-01", "2027-01-30"},
		{"", "2026-01-30", ""}:              {"2026-01-01", "2026-01-30"},
		{"2026-03-01", "2026-03-01", ""}:    {"2026-03-01", "2026-03-01"},
		{"2025-01-01", "2026-02-04", "UTC"}: {"2025-01-01", "2026-02-04"}, // 400 days
	} {
		r, f := overview.ParseRange(in[0], in[1], in[2], now)
		if f != nil || r.First.String() != want[0] || r.Last.String() != want[1] {
			t.Errorf("ParseRange(%q) = %v to %v, %v, want %q", in, r.First, r.Last, f, want)
		}
		if days := r.Days(); f == nil && (days[0] != r.First || days[len(days)-1] != r.Last) {
			t.Errorf("Days() of %q = %v to %v", in, days[0], days[len(days)-1])
		}
	}
	for in, field := range map[[3]string][]string{
		{"", "", "Mars/Olympus"}:         {"timezone"},
		{"", "", "Local"}:                {"timezone"},
		{"yesterday", "2026-13-01", "x"}: {"timezone", "to", "from"},
		{"2026-03-02", "2026-03-01", ""}: {"to"},
		{"2025-01-01", "2026-02-05", ""}: {"from"}, // 401 days
		{"0001-01-01", "9999-12-31", ""}: {"from"},
	} {
		_, f := overview.ParseRange(in[0], in[1], in[2], now)
		if f == nil || !slices.Equal(storetest.FieldNames(f), field) {
			t.Errorf("ParseRange(%q) = %v, want a fault over %v", in, f, field)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("2026-03-01", "2026-03-29", "Europe/Berlin")
	f.Add("", "", "America/St_Johns")
	f.Add("9999-12-31", "", "../../etc/passwd")
	f.Fuzz(func(t *testing.T, from, to, zone string) {
		r, fault := overview.ParseRange(from, to, zone, storetest.Start())
		if fault != nil {
			return
		}
		if n := len(r.Days()); n < 1 || n > overview.MaxDays || r.Zone == nil {
			t.Errorf("ParseRange(%q, %q, %q) has %d days", from, to, zone, n)
		}
	})
}

func TestService_strangers(t *testing.T) {
	d := storetest.SQLite(t)
	r := newRoom(t, d)
	all := span(t, "", "", "")
	for name, s := range map[string]storetest.Stranger{
		"users": {Action: "statistics.find", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			_, err := r.Users(t.Context(), by, all)
			return err
		}},
		"groups": {Action: "statistics.find", Need: auth.UsersRead, Call: func(by auth.Caller) error {
			_, err := r.Groups(t.Context(), by, all)
			return err
		}},
		"logins": {Action: "statistics.find", Need: auth.ActivitiesRead, Call: func(by auth.Caller) error {
			_, err := r.Logins(t.Context(), by, all)
			return err
		}},
		"digital keys": {Action: "statistics.find", Need: auth.DigitalKeysRead, Call: func(by auth.Caller) error {
			_, err := r.DigitalKeys(t.Context(), by, all)
			return err
		}},
		"dashboard": {Action: "dashboard.find", Need: auth.Signed, Call: func(by auth.Caller) error {
			_, err := r.Dashboard(t.Context(), by, time.UTC)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := storetest.Workspace(t, d.Store)
			storetest.Strangers(t, d, w, s)
		})
	}
}

func (r room) dashboard(t *testing.T, by auth.Caller) overview.Dashboard {
	t.Helper()
	out, err := r.Dashboard(t.Context(), by, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDashboard_numbers(t *testing.T) {
	both(t, func(t *testing.T, d storetest.Database) {
		r := newRoom(t, d)
		r.tick(t, "user.create", "2026-03-02T00:00:00Z", 5)
		r.tick(t, "user.create", "2026-02-23T23:45:00Z", 100) // eight days ago
		r.tick(t, "user.delete", "2026-02-24T00:00:00Z", 2)
		r.tick(t, "group.create", "2026-03-01T00:00:00Z", 1)
		r.tick(t, "login.success", "2026-03-02T00:00:00Z", 7)
		r.tick(t, "login.success", "2026-02-24T00:00:00Z", 1)
		r.tick(t, "login.success", "2026-02-23T23:45:00Z", 20)
		r.tick(t, "login.success", "2026-02-17T00:00:00Z", 4)
		r.tick(t, "login.success", "2026-02-16T23:45:00Z", 50)
		r.tick(t, "login.failed", "2026-02-01T00:00:00Z", 3)
		got := r.dashboard(t, r.by)
		if got.People.Change != 3 || got.People.GroupsChange != 1 {
			t.Errorf("People = %+v, want a change of 3 and 1 group more", got.People)
		}
		if got.Logins.Week != 8 || got.Logins.Before != 24 || len(got.Logins.Days) != 30 || got.Logins.Days[0].Failed != 3 {
			t.Errorf("Logins = %+v, want 8, 24 before, 30 days from the 1st of February", got.Logins)
		}
	})
}

func TestDashboard_attention(t *testing.T) {
	both(t, func(t *testing.T, d storetest.Database) {
		r := newRoom(t, d)
		now := r.clock.Now()
		owner := storetest.Administrator(t, d.Store, r.w, "owner")
		if got := r.dashboard(t, owner).Attention; !cmp.Equal(got, overview.Attention{}) {
			t.Errorf("Attention = %+v, want nothing yet", got)
		}
		key := func(name string, expires int64, creator id.User) {
			k := storetest.APIKey(t, d.Store, r.w, auth.UsersRead)
			ends := expires
			if expires == 0 {
				ends = apikey.Never().UnixMilli()
			}
			storetest.Exec(t, d, `UPDATE apikey SET name = $2, expires_at = $3, ends_at = $5, created_by_id = $4, creator_user = $4 WHERE id = $1`, string(k.APIKey), name, expires, string(creator), ends)
		}
		gone, quiet := storetest.User(t, d.Store, r.w, "gone"), storetest.User(t, d.Store, r.w, "quiet")
		storetest.Exec(t, d, `UPDATE directory_user SET suspended_at = 1 WHERE id IN ($1, $2)`, string(gone.ID), string(quiet.ID))
		soon := now.Add(overview.ExpiringWithin)
		key("now over", now.UnixMilli(), gone.ID)
		key("next", now.UnixMilli()+1, owner.User)
		key("last", soon.UnixMilli(), gone.ID)
		key("later", soon.UnixMilli()+1, gone.ID)
		key("never", 0, gone.ID)
		key("disabled", now.UnixMilli()+1000, quiet.ID)
		storetest.Exec(t, d, `UPDATE apikey SET disabled_at = 1 WHERE name = 'disabled' AND workspace = $1`, string(r.w))
		// Reported as leaked, one of them and more than are shown; and left behind.
		for i := range overview.AttentionLimit + 1 {
			name := fmt.Sprint("leaked ", i)
			key(name, now.UnixMilli(), owner.User)
			storetest.Exec(t, d, `UPDATE apikey SET leaked_at = $3, disabled_at = 1 WHERE name = $2 AND workspace = $1`, string(r.w), name, 1000+i)
		}
		former := storetest.User(t, d.Store, r.w, "former") // no administrator
		for _, creator := range []id.User{"user_deleted", "user_deleted", former.ID} {
			key("left behind", 0, creator)
		}
		key("over", now.UnixMilli(), "user_deleted")
		key("of the system", 0, "")
		for i, u := range []id.User{owner.User, owner.User, gone.ID} { // gone is no administrator
			storetest.Exec(t, d, `INSERT INTO signin_passkey (id, workspace, user_id, credential_id, record, name, created_at, last_used_at)
				VALUES ($1, $2, $3, $4, $5, '', 1, 0)`, fmt.Sprint("psk_", i, r.w), string(r.w), string(u), []byte(fmt.Sprint(i, r.w)), []byte("x"))
		}
		// One was given up just seven days ago, one longer; one waits.
		for age, state := range map[time.Duration]string{7 * 24 * time.Hour: "dead", 7*24*time.Hour + time.Millisecond: "dead", time.Hour: "waiting"} {
			m := id.New[id.KindJob](now.Add(-age - outbox.Lifetime))
			storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
				return tx.InsertOutboxMessage(ctx, outbox.Message{ID: m, Workspace: r.w, Kind: "mail.test", Payload: []byte("{}")})
			})
			storetest.Exec(t, d, `UPDATE outbox SET state = $2, ended_at = $3 WHERE id = $1`, string(m), state, now.Add(-age).UnixMilli())
		}
		got := r.dashboard(t, owner).Attention
		var names []string
		for _, k := range got.ExpiringAPIKeys {
			names = append(names, k.Name)
		}
		if !slices.Equal(names, []string{"next", "last"}) || !got.ExpiringAPIKeys[1].ExpiresAt.Equal(soon) {
			t.Errorf("ExpiringAPIKeys = %+v, want next and last", got.ExpiringAPIKeys)
		}
		if want := []overview.Person{{ID: owner.User, Name: "owner Example", N: 2}}; !cmp.Equal(got.WaitingPasskeys, want) {
			t.Errorf("WaitingPasskeys = %+v, want %+v", got.WaitingPasskeys, want)
		}
		if want := []overview.Person{{ID: gone.ID, Name: "gone Example", N: 3}}; !cmp.Equal(got.SuspendedCreator, want) {
			t.Errorf("SuspendedCreator = %+v, want %+v", got.SuspendedCreator, want)
		}
		var leaked []string
		for _, k := range got.LeakedAPIKeys {
			if leaked = append(leaked, k.Name); k.ID == "" {
				t.Errorf("%s has no id", k.Name)
			}
		}
		if !slices.Equal(leaked, []string{"leaked 5", "leaked 4", "leaked 3", "leaked 2", "leaked 1"}) {
			t.Errorf("LeakedAPIKeys = %q, want the five reported last, the last first", leaked)
		}
		if got.CreatorLeft != 3 {
			t.Errorf("CreatorLeft = %d, want 3: of who was deleted or is no administrator, not of who is suspended", got.CreatorLeft)
		}
		if got.DeadMessages != 1 {
			t.Errorf("DeadMessages = %d, want 1", got.DeadMessages)
		}
		// Each number needs its permission.
		for _, p := range auth.All() {
			one := r.dashboard(t, storetest.Administrator(t, d.Store, r.w, string(p), p))
			a := one.Attention
			has := []bool{one.People != nil, one.Logins != nil, len(a.ExpiringAPIKeys) > 0, len(a.WaitingPasskeys) > 0, len(a.SuspendedCreator) > 0, a.DeadMessages > 0, len(a.LeakedAPIKeys) > 0, a.CreatorLeft > 0}
			want := []bool{p == auth.UsersRead, p == auth.ActivitiesRead, p == auth.APIKeysRead, p == auth.AdministratorsRead, false, p == auth.WorkspaceRead, p == auth.APIKeysRead, p == auth.APIKeysRead}
			if !slices.Equal(has, want) {
				t.Errorf("with %s: %v, want %v", p, has, want)
			}
		}
		// Another workspace has none of it.
		other := newRoom(t, d)
		if got := other.dashboard(t, other.by).Attention; !cmp.Equal(got, overview.Attention{}) {
			t.Errorf("another workspace's Attention = %+v, want nothing", got)
		}
	})
}
