package digitalkey_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestResolve_overClockChanges(t *testing.T) {
	for _, c := range []struct {
		zone, starts, ends   string
		wantStarts, wantEnds string // UTC
		notes                string
	}{
		{"Europe/Berlin", "2026-12-04", "2026-12-05", "2026-12-04T13:00:00Z", "2026-12-05T09:00:00Z", ""},
		{"Europe/Berlin", "2026-07-04T14:30", "2026-07-04T14:31:30", "2026-07-04T12:30:00Z", "2026-07-04T12:31:30Z", ""},
		// 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
		{"Europe/Berlin", "2026-03-28T14:00", "2026-03-30T10:00", "2026-03-28T13:00:00Z", "2026-03-30T08:00:00Z", "dst_inside"},
		{"Europe/Berlin", "2026-03-29T02:30", "2026-03-29T12:00", "2026-03-29T01:00:00Z", "2026-03-29T10:00:00Z", "start_in_gap"},
		{"Europe/Berlin", "2026-03-28T12:00", "2026-03-29T02:00", "2026-03-28T11:00:00Z", "2026-03-29T01:00:00Z", "end_in_gap"},
		{"Europe/Berlin", "2026-03-29T01:59", "2026-03-29T03:00", "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z", ""},
		// 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
		{"Europe/Berlin", "2026-10-25T02:30", "2026-10-25T12:00", "2026-10-25T00:30:00Z", "2026-10-25T11:00:00Z", "start_in_fold dst_inside"},
		{"Europe/Berlin", "2026-10-24T12:00", "2026-10-25T02:30", "2026-10-24T10:00:00Z", "2026-10-25T01:30:00Z", "end_in_fold dst_inside"},
		{"Europe/Berlin", "2026-10-25T02:00", "2026-10-25T02:59", "2026-10-25T00:00:00Z", "2026-10-25T01:59:00Z", "start_in_fold end_in_fold dst_inside"},
		{"Europe/Berlin", "2026-10-25T03:00", "2026-10-25T04:00", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z", ""},
		// 8 March 2026: 02:00 becomes 03:00 at 07:00 UTC; 1 November: 02:00 becomes 01:00 at 06:00 UTC.
		{"America/New_York", "2026-03-08T02:15", "2026-03-08T09:00", "2026-03-08T07:00:00Z", "2026-03-08T13:00:00Z", "start_in_gap"},
		{"America/New_York", "2026-11-01T01:15", "2026-11-01T01:15", "2026-11-01T05:15:00Z", "2026-11-01T06:15:00Z", "start_in_fold end_in_fold dst_inside"},
		// Half an hour: 4 October 2026, 02:00 becomes 02:30 at 15:30 UTC the day before; 5 April, 02:00 becomes 01:30 at 15:00 UTC the day before.
		{"Australia/Lord_Howe", "2026-10-04T02:10", "2026-10-04T02:29", "2026-10-03T15:30:00Z", "2026-10-03T15:30:00Z", "start_in_gap end_in_gap"},
		{"Australia/Lord_Howe", "2026-10-04T01:59", "2026-10-04T02:30", "2026-10-03T15:29:00Z", "2026-10-03T15:30:00Z", ""},
		{"Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-05T01:45", "2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "start_in_fold end_in_fold dst_inside"},
		{"Asia/Kolkata", "2026-03-29T02:30", "2026-10-25", "2026-03-28T21:00:00Z", "2026-10-25T04:30:00Z", ""},
		{"", "2026-12-04", "2026-12-05", "2026-12-04T14:00:00Z", "2026-12-05T10:00:00Z", ""},
	} {
		got, f := digitalkey.Resolve(digitalkey.Span{LocalStarts: c.starts, LocalExpires: c.ends}, c.zone)
		if f != nil {
			t.Errorf("%s %s: %v", c.zone, c.starts, f)
			continue
		}
		if s, e := got.StartsAt.Format(time.RFC3339), got.ExpiresAt.Format(time.RFC3339); s != c.wantStarts || e != c.wantEnds || strings.Join(got.Notes, " ") != c.notes {
			t.Errorf("%s: %s to %s = %s to %s %v, want %s to %s [%s]", c.zone, c.starts, c.ends, s, e, got.Notes, c.wantStarts, c.wantEnds, c.notes)
		}
	}
}

func TestResolve_instantsCountAndZonesAreTheSpans(t *testing.T) {
	now := storetest.Start()
	got, f := digitalkey.Resolve(digitalkey.Span{StartsAt: now.Add(1500 * time.Millisecond), ExpiresAt: now.AddDate(0, 3, 0), Timezone: "Europe/Berlin"}, "Asia/Kolkata")
	want := digitalkey.Resolved{StartsAt: now.Add(time.Second), ExpiresAt: now.AddDate(0, 3, 0), Timezone: "Europe/Berlin", Notes: []string{digitalkey.NoteDSTInside}}
	if diff := cmp.Diff(want, got); f != nil || diff != "" {
		t.Errorf("Resolve() (%v) (-want +got):\n%s", f, diff)
	}
	for what, s := range map[string]digitalkey.Span{
		"starts_at expires_at": {}, "starts_at": {LocalStarts: "4.12.2026", LocalExpires: "2026-12-05"}, "expires_at": {LocalStarts: "2026-12-04", ExpiresAt: now},
		"starts_at ": {LocalStarts: "2026-12-04", LocalExpires: "2026-12-05", Timezone: "Mars/Olympus"}, "starts_at  ": {LocalStarts: "2026-12-04", LocalExpires: "2026-12-05", Timezone: "Local"},
	} {
		_, f := digitalkey.Resolve(s, "UTC")
		if f == nil || strings.Join(storetest.FieldNames(f), " ") != strings.TrimSpace(what) {
			t.Errorf("%+v: %v, want faults of %s", s, f, what)
		}
	}
}

// spans are windows in the zone's own time, in words.
func spans(all []grant.Window, zone *time.Location) []string {
	var out []string
	for _, w := range all {
		out = append(out, time.Unix(w.From, 0).In(zone).Format("02 15:04 -0700")+" – "+time.Unix(w.To, 0).In(zone).Format("02 15:04 -0700"))
	}
	return out
}

func TestExpand_overClockChanges(t *testing.T) {
	every := []time.Weekday{0, 1, 2, 3, 4, 5, 6}
	hours := func(from, to int) []digitalkey.Hours {
		return []digitalkey.Hours{{Days: every, From: from, To: to}}
	}
	for _, c := range []struct {
		what, zone  string
		from, until string // local days
		weekly      []digitalkey.Hours
		want        []string
	}{
		{"day hours in spring", "Europe/Berlin", "2026-03-28", "2026-03-30", hours(8*60, 18*60), []string{"28 08:00 +0100 – 28 18:00 +0100", "29 08:00 +0200 – 29 18:00 +0200"}},
		{"a night in spring", "Europe/Berlin", "2026-03-28", "2026-03-30", hours(22*60, 6*60), []string{
			"28 00:00 +0100 – 28 06:00 +0100", "28 22:00 +0100 – 29 06:00 +0200", "29 22:00 +0200 – 30 00:00 +0200",
		}},
		{"hours that the clocks skip", "Europe/Berlin", "2026-03-29", "2026-03-30", hours(2*60+15, 2*60+45), nil},
		{"hours that begin where clocks skip", "Europe/Berlin", "2026-03-29", "2026-03-30", hours(2*60+15, 4*60), []string{"29 03:00 +0200 – 29 04:00 +0200"}},
		{"hours that come twice", "Europe/Berlin", "2026-10-25", "2026-10-26", hours(2*60, 2*60+30), []string{"25 02:00 +0200 – 25 02:30 +0100"}},
		{"hours that end when it comes again", "Europe/Berlin", "2026-10-25", "2026-10-26", hours(0, 2*60+30), []string{"25 00:00 +0200 – 25 02:30 +0100"}},
		{"New York in spring", "America/New_York", "2026-03-08", "2026-03-09", hours(60, 3*60), []string{"08 01:00 -0500 – 08 03:00 -0400"}},
		{"New York in autumn", "America/New_York", "2026-11-01", "2026-11-02", hours(60+30, 3*60), []string{"01 01:30 -0400 – 01 03:00 -0500"}},
		{"half an hour in Lord Howe's spring", "Australia/Lord_Howe", "2026-10-04", "2026-10-05", hours(60, 2*60+15), []string{"04 01:00 +1030 – 04 02:30 +1100"}},
		{"half an hour in Lord Howe's autumn", "Australia/Lord_Howe", "2026-04-05", "2026-04-06", hours(60+45, 3*60), []string{"05 01:45 +1100 – 05 03:00 +1030"}},
		{"Kolkata, which never changes", "Asia/Kolkata", "2026-03-29", "2026-03-30", hours(2*60+15, 2*60+45), []string{"29 02:15 +0530 – 29 02:45 +0530"}},
		{"to midnight and on from it is one", "Europe/Berlin", "2026-06-01", "2026-06-03", []digitalkey.Hours{
			{Days: []time.Weekday{1}, From: 20 * 60, To: 24 * 60}, {Days: []time.Weekday{2}, From: 0, To: 60},
		}, []string{"01 20:00 +0200 – 02 01:00 +0200"}},
		{"what overlaps is one", "Europe/Berlin", "2026-06-01", "2026-06-02", []digitalkey.Hours{
			{Days: []time.Weekday{1}, From: 8 * 60, To: 12 * 60}, {Days: []time.Weekday{1}, From: 600, To: 14 * 60}, {Days: []time.Weekday{2}, From: 0, To: 60},
		}, []string{"01 08:00 +0200 – 01 14:00 +0200"}},
		{"the whole day", "Europe/Berlin", "2026-06-01", "2026-06-03", hours(600, 600), []string{"01 00:00 +0200 – 03 00:00 +0200"}},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		at := func(day string) time.Time {
			out, err := time.ParseInLocation(time.DateOnly, day, zone)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		got := spans(digitalkey.Expand(c.weekly, zone, at(c.from), at(c.until)), zone)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// All hours that may be told fit into a grant, sorted and apart.
func TestExpand_fitsAGrant(t *testing.T) {
	var weekly []digitalkey.Hours
	for i := range digitalkey.MaxHours {
		weekly = append(weekly, digitalkey.Hours{Days: []time.Weekday{0, 1, 2, 3, 4, 5, 6}, From: i * 120, To: i*120 + 60})
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	from := storetest.Start()
	g := grant.Grant{NotBefore: from.Unix(), NotAfter: from.Add(digitalkey.Horizon).Unix(), Kinds: grant.ByApp, Weekly: true, Windows: digitalkey.Expand(weekly, zone, from, from.Add(digitalkey.Horizon))}
	if !g.Valid() || len(g.Windows) < 10*35-10 {
		t.Errorf("%d windows, valid %v; want about 350 that are", len(g.Windows), g.Valid())
	}
}

func ExampleResolve() {
	got, _ := digitalkey.Resolve(digitalkey.Span{LocalStarts: "2026-10-24", LocalExpires: "2026-10-26"}, "Europe/Berlin")
	fmt.Println(got.StartsAt.Format(time.RFC3339), got.ExpiresAt.Format(time.RFC3339), got.Notes)
	// Output: 2026-10-24T12:00:00Z 2026-10-26T09:00:00Z [dst_inside]
}
