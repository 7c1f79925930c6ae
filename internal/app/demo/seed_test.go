package demo

import (
	"log/slog"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
)

// The demo's keys are of each type, and each shows what it is there for.
func TestSeed_apiKeys(t *testing.T) {
	const origin = "http://localhost:8080"
	config, err := app.Settings{Data: t.TempDir(), Listen: "localhost:8080", PublicURL: origin, LogFormat: "text"}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	now := &clock.Shifted{}
	a, err := app.Open(t.Context(), config, app.Options{Clock: now, LinksSignIn: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }() // nothing hangs on it
	w, _, err := seed(t.Context(), a, now, origin)
	if err != nil {
		t.Fatal(err)
	}
	job := auth.Job(w, "test")
	list := func(q apikey.Query) map[string]apikey.Key {
		t.Helper()
		p, err := a.APIKeys.List(t.Context(), job, q)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]apikey.Key{}
		for _, k := range p.Items {
			out[k.Name] = k
		}
		return out
	}
	keys := list(apikey.Query{Status: apikey.Active})
	for name, want := range map[string]struct {
		kind apikey.Type
		used bool
	}{
		"Personnel system": {apikey.Admin, true}, "Payroll export": {apikey.Admin, true}, "Front desk workstations": {apikey.Clients, true},
		"Key cabinet": {apikey.Clients, true}, "Housekeeping tablets": {apikey.SharedMobile, false},
	} {
		k := keys[name]
		recent := now.Now().Sub(k.LastUse.At) < 4*24*time.Hour
		if k.Type != want.kind || want.used != recent {
			t.Errorf("%s is a key of type %q, last used %v; want %s, used in these days: %v", name, k.Type, k.LastUse.At, want.kind, want.used)
		}
		days, err := a.APIKeys.Usage(t.Context(), job, k.ID)
		busy := 0
		for _, d := range days {
			if d.N > 0 {
				busy++
			}
		}
		if err != nil || want.used != (busy > 10) {
			t.Errorf("%s was used on %d days (%v), want more than ten: %v", name, busy, err, want.used)
		}
	}
	if left := list(apikey.Query{CreatorLeft: true}); len(left) != 1 || left["Key cabinet"].ID == "" {
		t.Errorf("keys of who left are %v, want the one", left)
	}
	if warned, err := a.APIKeys.WarnExpiring(t.Context(), auth.Job("", "test")); err != nil || warned != 0 {
		t.Errorf("WarnExpiring() = %d (%v) at the present, want nothing to warn of", warned, err)
	}
	doorKeysAreSeeded(t, a, w, now.Now())
	now.Advance(payrollEnds - 30*24*time.Hour + time.Minute)
	if warned, err := a.APIKeys.WarnExpiring(t.Context(), auth.Job("", "test")); err != nil || warned != 1 {
		t.Errorf("WarnExpiring() = %d (%v) after the clock was moved, want the one key", warned, err)
	}
}

// doorKeysAreSeeded asserts that the demo's digital keys are of each status, and that each
// kind of key is there.
func doorKeysAreSeeded(t *testing.T, a *app.App, w id.Workspace, now time.Time) {
	t.Helper()
	p, err := a.DigitalKeys.List(t.Context(), auth.Job(w, "test"), digitalkey.Query{})
	if err != nil {
		t.Fatal(err)
	}
	status := map[digitalkey.Status]int{}
	weekly, survivors, cards := 0, 0, 0
	for _, k := range p.Items {
		status[k.Status(now)]++
		if len(k.Weekly) > 0 {
			weekly++
		}
		if k.SurvivesLease {
			survivors++
		}
		if k.Has(digitalkey.Keycard) {
			cards++
		}
	}
	for _, s := range digitalkey.Statuses() {
		if status[s] == 0 {
			t.Errorf("no digital key is %s", s)
		}
	}
	if weekly == 0 || survivors == 0 || cards == 0 {
		t.Errorf("%d digital keys with hours, %d that survive the lease, %d with a card; want each", weekly, survivors, cards)
	}
}
