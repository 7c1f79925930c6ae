package apikey_test

import (
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func TestVerify_allowedIPs(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		list []string
		from map[string]bool
	}{
		{nil, map[string]bool{"192.0.2.4": true, "2001:db8::1": true, "": true, "nonsense": true}},
		{[]string{"192.0.2.0/24"}, map[string]bool{
			"192.0.2.0": true, "192.0.2.255": true, "::ffff:192.0.2.9": true, "192.0.3.0": false, "::ffff:192.0.3.9": false, "2001:db8::1": false,
			"::192.0.2.9": false, "": false, "nonsense": false,
		}},
		{[]string{"2001:db8::/32"}, map[string]bool{"2001:db8:ffff::1": true, "2001:db9::": false, "192.0.2.4": false, "::ffff:192.0.2.4": false}},
		{[]string{"192.0.2.4", "2001:db8::7"}, map[string]bool{"192.0.2.4": true, "192.0.2.5": false, "2001:db8::7": true, "2001:db8::8": false, "::ffff:192.0.2.4": true}},
		{[]string{"0.0.0.0/0"}, map[string]bool{"192.0.2.4": true, "::ffff:192.0.2.4": true, "2001:db8::1": false}},
		{[]string{"::/0"}, map[string]bool{"2001:db8::1": true, "192.0.2.4": false}},
		{[]string{"192.0.2.77/24"}, map[string]bool{"192.0.2.1": true, "192.0.1.1": false}}, // the network of the address
	} {
		k, text := h.issue(t, apikey.NewKey{Name: "IP", Type: apikey.Clients, AllowedIPs: c.list})
		for ip, want := range c.from {
			by, err := h.Verify(t.Context(), auth.Nobody(ip, "robot/2", "req_use"), text, apikey.Clients)
			if got := err == nil; got != want {
				t.Errorf("from %q with %v: accepted %v (%v), want %v", ip, c.list, got, err, want)
			}
			if err != nil {
				refused(t, "a token from "+ip, by, err)
			}
			if k.Allows(ip) != want {
				t.Errorf("Allows(%q) with %v = %v, want %v", ip, c.list, k.Allows(ip), want)
			}
		}
	}
}

// A refused address is one line a minute, in the key's name; nobody is told why.
func TestVerify_refusedAddressIsRecorded(t *testing.T) {
	h := newHouse(t)
	k, text := h.issue(t, apikey.NewKey{Name: "IP", Type: apikey.Clients, AllowedIPs: []string{"198.51.100.0/24"}})
	for range 3 {
		c, err := h.Verify(t.Context(), nobody(), text, apikey.Clients)
		refused(t, "a token from elsewhere", c, err)
	}
	c, err := h.Verify(t.Context(), nobody(), text, apikey.Admin) // the address goes before the type
	refused(t, "a token of another type from elsewhere", c, err)
	line := storetest.Activity(t, h.Store, h.w, "api_key.use")
	if line.Outcome != activity.Refused || line.Reason != "ip_not_allowed" || line.Count != 1 || line.IP != "192.0.2.4" || line.Agent != "robot/2" ||
		line.Actor.ID != string(k.ID) || line.Target.ID != string(k.ID) || line.Target.Name != "IP" {
		t.Errorf("the line is %+v, want one refusal of the key for ip_not_allowed", line)
	}
	h.clock.Advance(time.Hour)
	c, err = h.Verify(t.Context(), nobody(), text, apikey.Clients)
	refused(t, "a token from elsewhere, an hour later", c, err)
	if e := h.last(t, "api_key.use"); e.Count != 4 {
		t.Errorf("the next line counts %d, want 4: the three that were only counted, and this one", e.Count)
	}
}

func TestVerify_rate(t *testing.T) {
	const rate, burst = 60, 5 // one a second
	for name, leases := range map[string]apikey.Leases{"from the database": nil, "from memory": live{}} {
		t.Run(name, func(t *testing.T) { tryRate(t, leases, rate, burst) })
	}
}

// live is a lease that always holds: the world's clock of one server.
type live struct{}

func (live) Live() bool { return true }

func tryRate(t *testing.T, leases apikey.Leases, rate, burst int) {
	t.Helper()
	h := newHouseWith(t, func(_ storetest.Database, c *apikey.Config) {
		c.Cache, c.Leases, c.Rate, c.Burst = apikey.NewCache(), leases, rate, burst
	})
	_, text := h.issue(t, apikey.NewKey{Name: "R", Type: apikey.Clients})
	_, other := h.issue(t, apikey.NewKey{Name: "Other", Type: apikey.Clients})
	use := func(text string) time.Duration {
		t.Helper()
		_, err := h.Verify(t.Context(), nobody(), text, apikey.Clients)
		if err == nil {
			return 0
		}
		f := storetest.Fault(t, err, "rate_limited")
		if f.Kind != fault.KindTooMany || f.RetryAfter <= 0 || f.RetryAfter > time.Second {
			t.Errorf("the refusal says to come back after %v, want at most a second", f.RetryAfter)
		}
		return f.RetryAfter
	}
	spend := func(want int) {
		t.Helper()
		n := 0
		for use(text) == 0 {
			if n++; n > 10*burst {
				t.Fatal("the limit does not limit")
			}
		}
		if n != want {
			t.Errorf("%d uses at once, want %d", n, want)
		}
	}
	spend(burst)
	if use(other) != 0 {
		t.Error("another key is refused too: the limit is not the key's own")
	}
	wait := use(text)
	h.clock.Advance(wait)
	spend(1) // after as long as it said, one more
	h.clock.Advance(3 * time.Second)
	spend(3)
	h.clock.Advance(time.Hour)
	spend(burst)
	h.clock.Advance(-24 * time.Hour) // the clock was set back: nobody waits a day
	if wait := use(text); wait > time.Second {
		t.Errorf("after the clock was set back the key waits %v", wait)
	}
	h.clock.Advance(2 * time.Second)
	if use(text) != 0 {
		t.Error("after the clock was set back the key is refused for good")
	}
	c, err := h.Verify(t.Context(), nobody(), text, apikey.Admin)
	if f, ok := fault.As(err); !ok || f.Code != "wrong_key_type" {
		t.Errorf("Verify() for another type = %+v (%v), want wrong_key_type", c, err)
	}
}

// Whoever has a token that is refused where it comes from does not get a write for
// each try: the record would be kept from everybody else.
func TestVerify_refusalsAreBounded(t *testing.T) {
	h := newHouse(t)
	_, text := h.issue(t, apikey.NewKey{Name: "IP", Type: apikey.Clients, AllowedIPs: []string{"192.0.2.0/24"}})
	_, other := h.issue(t, apikey.NewKey{Name: "Other", Type: apikey.Clients, AllowedIPs: []string{"192.0.2.0/24"}})
	counted := func() int {
		return storetest.Count(t, h.Database, `SELECT COALESCE(SUM(n), 0) FROM refusal WHERE action = 'api_key.use'`)
	}
	abroad := auth.Nobody("198.51.100.7", "thief/1", "req_use")
	for range 2000 {
		c, err := h.Verify(t.Context(), abroad, text, apikey.Clients)
		refused(t, "a token from abroad", c, err)
	}
	first := counted()
	if first < 1000 || first > 1500 {
		t.Errorf("%d of 2000 refusals were written, want the first 1200", first)
	}
	for range 2 { // the first one is a line, the second is counted
		c, err := h.Verify(t.Context(), abroad, other, apikey.Clients)
		refused(t, "another key's token", c, err)
	}
	if n := counted(); n != first+1 {
		t.Errorf("%d refusals are written with another key's, want %d", n, first+1)
	}
	if _, err := h.Verify(t.Context(), nobody(), text, apikey.Clients); err != nil {
		t.Errorf("Verify() = %v from where the key may be used, want nil", err)
	}
	h.clock.Advance(time.Minute)
	if _, err := h.Verify(t.Context(), abroad, text, apikey.Admin); err == nil || counted() == first+1 {
		t.Errorf("%d refusals are written after a minute (%v), want the next line", counted(), err)
	}
}
