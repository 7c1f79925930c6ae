package panel

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// eventful is a world whose doors did all sorts of things.
func eventful(w *world) {
	w.doors3()
	w.happened = append(
		w.happened,
		smartlock.Event{Lock: frontDoor, LockName: "Front door <1>", At: now().Add(-time.Minute), DigitalKey: guestKey, User: grace, UserName: "Grace Hopper <script>", Medium: grant.PIN, Outcome: grant.Opened, Offline: true},
		smartlock.Event{Lock: frontDoor, LockName: "Front door <1>", At: now().Add(-2 * time.Minute), Medium: grant.PIN, Outcome: grant.Refused, Reason: grant.ReasonKeypadPaused, Count: 5},
		smartlock.Event{Lock: frontDoor, LockName: "Front door <1>", At: now().Add(-3 * time.Minute), Medium: grant.Keycard, Outcome: grant.Refused, Reason: grant.ReasonUnknownCard, Count: 4, Clock: grant.Untrusted},
		smartlock.Event{Lock: gateLock, LockName: "Gate", At: now().Add(-4 * time.Minute), Outcome: grant.Notice, Reason: smartlock.ReasonGap},
	)
}

// withLock is a world whose front door is changed.
func withLock(change func(*smartlock.Lock)) func(*world) {
	return func(w *world) {
		w.doors3()
		change(&w.locks[0])
	}
}

func lockForm(pairs ...string) url.Values {
	form := url.Values{"name": {"Cellar <2>"}, "timezone": {"Europe/Berlin"}, "open_seconds": {"5"}, "lease_hours": {"12"}, "capabilities": {"pin", "app"}, "revision": {"1"}, "once": {"X"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		if form.Del(pairs[i]); pairs[i+1] != "" {
			form.Set(pairs[i], pairs[i+1])
		}
	}
	return form
}

func TestLockPages(t *testing.T) {
	one, gate := lockPath(frontDoor), lockPath(gateLock)
	typed := url.Values{"confirm": {"Front door <1>"}, "revision": {"1"}}
	inUse := fault.Conflict("lock_in_use", "Digital keys are on this lock that are not over: cancel them first.")
	wrongLease := fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "lease_seconds", Message: "must be between 60 and 604800"}, fault.Field{Name: "timezone", Message: "is no time zone"})
	goldenPages(t, []goldenPage{
		{"locks", "/locks", nil, (*world).doors3, http.StatusOK},
		{"locks_none", "/locks", nil, nil, http.StatusOK},
		{"locks_reader", "/locks?state=attention&q=fr", nil, doorsReading(auth.LocksRead), http.StatusOK},
		{"lock", one, nil, (*world).doors3, http.StatusOK},
		{"lock_reader", one, nil, doorsReading(auth.LocksRead), http.StatusOK},
		{"lock_offline", gate, nil, (*world).doors3, http.StatusOK},
		{"lock_bare", one, nil, withLock(func(l *smartlock.Lock) { l.Controller, l.State = smartlock.Controller{}, smartlock.State{Battery: -1} }), http.StatusOK},
		{"lock_behind", one, nil, withLock(func(l *smartlock.Lock) { l.Sync.Version, l.Controller.Clock, l.State.Door = 7, grant.Untrusted, "open" }), http.StatusOK},
		{"lock_unknown", "/locks/nonsense", nil, (*world).doors3, http.StatusNotFound},
		{"lock_events", one + "?tab=events", nil, eventful, http.StatusOK},
		{"lock_events_all", "/lock-events?alarming=yes&medium=pin&outcome=refused&lock=" + string(frontDoor), nil, eventful, http.StatusOK},
		{"lock_events_none", "/lock-events", nil, nil, http.StatusOK},
		{"lock_new", "/locks/new", nil, nil, http.StatusOK},
		{"lock_new_wrong", "/locks/new", lockForm("capabilities", ""), nil, http.StatusUnprocessableEntity},
		{"lock_new_refused", "/locks/new", lockForm("lease_hours", "a while"), doorsRefusing(wrongLease), http.StatusUnprocessableEntity},
		{"lock_edit", one + "/edit", nil, (*world).doors3, http.StatusOK},
		{"lock_edit_changed", one + "/edit", lockForm(), doorsRefusing(fault.Precondition()), http.StatusUnprocessableEntity},
		{"lock_enrol", one + "/enrol", nil, (*world).doors3, http.StatusOK},
		{"lock_enrol_step_up", one + "/enrol", url.Values{}, doorsRefusing(errStepUp), http.StatusForbidden},
		{"lock_enrol_done", one + "/enrol", url.Values{}, (*world).doors3, http.StatusOK},
		{"lock_open", one + "/open", nil, (*world).doors3, http.StatusOK},
		{"lock_open_done", one + "/open", url.Values{}, (*world).doors3, http.StatusOK},
		{"lock_open_away", gate + "/open", url.Values{}, doorsRefusing(fault.Conflict("lock_unreachable", "This lock is out of reach.")), http.StatusUnprocessableEntity},
		{"lock_teach", one + "/teach", nil, (*world).doors3, http.StatusOK},
		{"lock_teach_away", one + "/teach", url.Values{}, doorsRefusing(fault.Conflict("lock_unreachable", "This lock is out of reach.")), http.StatusUnprocessableEntity},
		{"lock_delete", one + "/delete", nil, (*world).doors3, http.StatusOK},
		{"lock_delete_untyped", one + "/delete", url.Values{"confirm": {"front"}, "revision": {"1"}}, (*world).doors3, http.StatusUnprocessableEntity},
		{"lock_delete_in_use", one + "/delete", typed, doorsRefusing(inUse), http.StatusUnprocessableEntity},
	})
}

func TestLockForms_goOn(t *testing.T) {
	for path, want := range map[string]struct {
		form url.Values
		to   string
	}{
		"/locks/new":                    {lockForm(), lockPath(frontDoor)},
		lockPath(frontDoor) + "/edit":   {lockForm(), lockPath(frontDoor)},
		lockPath(frontDoor) + "/delete": {url.Values{"confirm": {"Front door <1>"}, "revision": {"1"}}, locksPath},
		lockPath(frontDoor) + "/teach":  {url.Values{}, lockPath(frontDoor) + "/teach/" + string(taught)},
	} {
		w := newWorld()
		w.doors3()
		rec := w.ask(t, path, want.form)
		if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != want.to {
			t.Errorf("POST %s = %d to %q, want 303 to %q", path, rec.Code, rec.Header().Get("Location"), want.to)
		}
	}
}

func TestEnrol_theTokenIsInOneAnswerOnly(t *testing.T) {
	w := newWorld()
	w.doors3()
	rec := w.ask(t, lockPath(frontDoor)+"/enrol", url.Values{})
	if !strings.Contains(rec.Body.String(), "kh_enrol_x") || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the answer has no token, or may be kept: %q", rec.Header().Get("Cache-Control"))
	}
}
