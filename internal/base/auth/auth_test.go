package auth_test

import (
	"slices"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
)

func TestCheck(t *testing.T) {
	may := auth.Standing{Active: true, Permissions: auth.Permissions{auth.UsersRead}}
	for _, c := range []struct {
		name string
		kind auth.Kind
		s    auth.Standing
		need auth.Permission
		want fault.Kind // 0 for allowed
	}{
		{"may", auth.APIKey, may, auth.UsersRead, 0},
		{"signed in is enough", auth.APIKey, may, auth.Signed, 0},
		{"signed in is enough without permissions", auth.Administrator, auth.Standing{Active: true}, auth.Signed, 0},
		{"lacks it", auth.APIKey, may, auth.UsersWrite, fault.KindForbidden},
		{"is over", auth.APIKey, auth.Standing{Permissions: auth.All()}, auth.UsersRead, fault.KindUnauthenticated},
		{"is over, signed in is enough", auth.APIKey, auth.Standing{}, auth.Signed, fault.KindUnauthenticated},
		{"is nobody", auth.Anonymous, auth.Standing{Active: true, Permissions: auth.All()}, auth.Signed, fault.KindUnauthenticated},
		{"is the zero caller", "", auth.Standing{Active: true, Permissions: auth.All()}, auth.Signed, fault.KindUnauthenticated},
	} {
		f := auth.Check(auth.Caller{Kind: c.kind}, c.s, c.need)
		if c.want == 0 && f != nil || c.want != 0 && (f == nil || f.Kind != c.want) {
			t.Errorf("who %s: %v, want kind %d", c.name, f, c.want)
		}
	}
}

func TestPermissions(t *testing.T) {
	all := auth.All()
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("All() = %v, want it sorted, each once", all)
	}
	set, _, ok := auth.ParsePermissions([]string{"users.write", "users.read", "users.write"})
	if !ok || !slices.Equal(set, auth.Permissions{auth.UsersRead, auth.UsersWrite}) {
		t.Errorf("ParsePermissions() = %v, %v, want the two, sorted", set, ok)
	}
	if none, unknown, ok := auth.ParsePermissions([]string{"users.read", "users.eat", "x"}); ok || unknown != "users.eat" || none != nil {
		t.Errorf("ParsePermissions() = %v, %q, %v, want the first unknown one", none, unknown, ok)
	}
	if _, unknown, ok := auth.ParsePermissions([]string{""}); ok || unknown != "" {
		t.Error("ParsePermissions() accepts the empty permission, which everybody has")
	}
	for text, want := range map[string]int{"": 0, auth.All().Text(): len(all), "users.read users.eat": 1, "users.read  users.write ": 2} {
		if got := auth.PermissionsFromText(text); len(got) != want {
			t.Errorf("PermissionsFromText(%q) = %v, want %d known ones", text, got, want)
		}
	}
	if back := auth.PermissionsFromText(set.Text()); !slices.Equal(back, set) {
		t.Errorf("PermissionsFromText(%q) = %v, want %v", set.Text(), back, set)
	}
	if got := set.Strings(); !slices.Equal(got, []string{"users.read", "users.write"}) {
		t.Errorf("Strings() = %v", got)
	}
	if !all.Covers(set) || set.Covers(all) || !set.Covers(nil) || !auth.Permissions(nil).Covers(nil) || auth.Permissions(nil).Covers(set) {
		t.Error("Covers() is wrong about parts and wholes")
	}
	if !auth.Permissions(nil).Has(auth.Signed) || auth.Permissions(nil).Has(auth.UsersRead) {
		t.Error("Has() is wrong about an empty set")
	}
}

func TestCheckStepUp(t *testing.T) {
	now := time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		kind  auth.Kind
		age   time.Duration
		fresh bool
	}{
		{auth.Administrator, 0, true},
		{auth.Administrator, auth.StepUpAge - time.Millisecond, true},
		{auth.Administrator, auth.StepUpAge, false},
		{auth.APIKey, 1000 * time.Hour, true},
		{auth.System, 1000 * time.Hour, true},
	} {
		f := auth.CheckStepUp(auth.Caller{Kind: c.kind, StepUpAt: now.Add(-c.age)}, now)
		if (f == nil) != c.fresh || f != nil && f.Code != "step_up_required" {
			t.Errorf("a proof of %s, %v old: %v, want fresh %v", c.kind, c.age, f, c.fresh)
		}
	}
	if auth.CheckStepUp(auth.Caller{Kind: auth.Administrator}, now) == nil {
		t.Error("an administrator who never proved presence passes")
	}
}

func TestCaller(t *testing.T) {
	c := auth.Caller{User: "user_1", APIKey: "key_1", Job: "demo"}
	for kind, want := range map[auth.Kind]string{auth.Administrator: "user_1", auth.APIKey: "key_1", auth.System: "demo", auth.Anonymous: "", "": ""} {
		c.Kind = kind
		if got := c.Identity(); got != want {
			t.Errorf("Identity() of %q = %q, want %q", kind, got, want)
		}
	}
	if n := auth.Nobody("192.0.2.1", "browser", "req"); n.Kind != auth.Anonymous || n.Workspace != "" || n.IP != "192.0.2.1" || n.Agent != "browser" || n.RequestID != "req" {
		t.Errorf("Nobody() = %+v", n)
	}
	if j := auth.Job("ws_1", "demo"); j.Kind != auth.System || j.Workspace != "ws_1" || j.Identity() != "demo" || j.Name != "demo" {
		t.Errorf("Job() = %+v", j)
	}
}

func TestNetwork(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.77":                 "192.0.2.0/24",
		"::ffff:192.0.2.77":          "192.0.2.0/24",
		"2001:db8:1:2:3:4:5:6":       "2001:db8:1:2::/64",
		"fe80::1%eth0":               "fe80::/64",
		"":                           "unknown",
		"192.0.2.77, 198.51.100.1":   "unknown",
		"2001:db8:1:2:ffff::1/128":   "unknown",
		"2001:db8:1:2:8000:0:0:ffff": "2001:db8:1:2::/64",
	} {
		if got := auth.Network(ip); got != want {
			t.Errorf("Network(%q) = %q, want %q", ip, got, want)
		}
	}
}
