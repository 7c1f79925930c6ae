package activity_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

func gateOf(d storetest.Database) (activity.Gate[activity.GateTx], *clock.Manual) {
	c := clock.NewManual(storetest.Start())
	return activity.Gate[activity.GateTx]{Store: store.For[activity.GateTx](d.Store), Clock: c}, c
}

func TestGate_strangers(t *testing.T) {
	d := storetest.SQLite(t)
	w := storetest.Workspace(t, d.Store)
	gate, _ := gateOf(d)
	for _, need := range []auth.Permission{auth.UsersWrite, auth.Signed} {
		storetest.Strangers(t, d, w, storetest.Stranger{Action: "thing.change" + string(need), Need: need, Call: func(by auth.Caller) error {
			return gate.Write(t.Context(), by, activity.Attempt{Action: "thing.change" + string(need), Need: need},
				func(context.Context, activity.GateTx, auth.Standing, time.Time) (*fault.Error, error) {
					t.Errorf("the work was done for %s", by.Name)
					return nil, nil
				})
		}})
		storetest.Strangers(t, d, w, storetest.Stranger{Action: "thing.look" + string(need), Need: need, Call: func(by auth.Caller) error {
			return gate.Read(t.Context(), by, activity.Attempt{Action: "thing.look" + string(need), Need: need},
				func(context.Context, activity.GateTx, auth.Standing, time.Time) error {
					t.Errorf("the thing was shown to %s", by.Name)
					return nil
				})
		}})
	}
}

// What only the work can know to be forbidden is recorded as well.
func TestGate_recordsWhatALookForbids(t *testing.T) {
	d := storetest.SQLite(t)
	w := storetest.Workspace(t, d.Store)
	gate, _ := gateOf(d)
	by := storetest.APIKey(t, d.Store, w, auth.UsersRead)
	for _, answer := range []*fault.Error{fault.Forbidden("person_only", "No."), fault.NotFound("thing_not_found", "No.")} {
		err := gate.Read(t.Context(), by, activity.Attempt{Action: "thing.look", Need: auth.UsersRead},
			func(context.Context, activity.GateTx, auth.Standing, time.Time) error { return answer })
		storetest.Refused(t, err, answer.Code)
	}
	if line := storetest.Activity(t, d.Store, w, "thing.look"); line.Outcome != activity.Refused || line.Reason != "person_only" || line.Actor.ID != string(by.APIKey) {
		t.Errorf("the line = %+v, want the refusal person_only of the key", line)
	}
}

func TestGate_letsIn(t *testing.T) {
	d := storetest.SQLite(t)
	w := storetest.Workspace(t, d.Store)
	gate, c := gateOf(d)
	c.Advance(time.Second)
	by := storetest.APIKey(t, d.Store, w, auth.UsersRead)
	cause := errors.New("the roof fell in")
	err := gate.Read(t.Context(), by, activity.Attempt{Action: "user.find", Need: auth.UsersRead},
		func(_ context.Context, _ activity.GateTx, standing auth.Standing, now time.Time) error {
			if !standing.Active || !standing.Permissions.Has(auth.UsersRead) || !now.Equal(c.Now()) {
				t.Errorf("standing %+v at %v, want active with users.read at %v", standing, now, c.Now())
			}
			return cause
		})
	if !errors.Is(err, cause) {
		t.Errorf("Read() = %v, want %v", err, cause)
	}
	answer := fault.Conflict("no", "No.")
	err = gate.Write(t.Context(), by, activity.Attempt{Action: "user.find", Need: auth.UsersRead},
		func(context.Context, activity.GateTx, auth.Standing, time.Time) (*fault.Error, error) {
			return answer, nil
		})
	if f, ok := fault.As(err); !ok || f != answer {
		t.Errorf("Write() = %v, want %v", err, answer)
	}
	if lines := storetest.Activities(t, d.Store, w, "user.find"); len(lines) != 0 {
		t.Errorf("the gate wrote %+v for who may, want nothing", lines)
	}
}

func TestRefuse_isOneLineAMinute(t *testing.T) {
	d := storetest.SQLite(t)
	w := storetest.Workspace(t, d.Store)
	gate, c := gateOf(d)
	by := storetest.APIKey(t, d.Store, w)
	attempt := activity.Attempt{Action: "user.create", Need: auth.UsersWrite, Target: activity.Party{Type: "user", ID: "user_1", Name: "Ada"}}
	for _, pause := range []time.Duration{0, time.Second, time.Second, time.Minute} {
		c.Advance(pause)
		err := gate.Write(t.Context(), by, attempt, nil)
		storetest.Refused(t, err, "missing_permission")
	}
	want := activity.Event{
		Workspace: w, At: storetest.Start(), Action: "user.create", Outcome: activity.Refused, Reason: "missing_permission", Count: 1,
		Actor: activity.Party{Type: "api_key", ID: string(by.APIKey), Name: by.Name}, Target: attempt.Target,
		IP: by.IP, Agent: by.Agent, RequestID: by.RequestID,
	}
	next := want
	next.At, next.Count = c.Now(), 3
	got := storetest.Activities(t, d.Store, w, "user.create")
	if diff := cmp.Diff([]activity.Event{want, next}, got, cmpopts.IgnoreFields(activity.Event{}, "ID")); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestAppend_clipsForeignText(t *testing.T) {
	d := storetest.SQLite(t)
	w := storetest.Workspace(t, d.Store)
	by := auth.Job(w, "test")
	by.Agent = strings.Repeat("a", 399) + "é and more"
	storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		return activity.Append(ctx, tx, by, activity.Event{Action: "user.create"}, storetest.Start())
	})
	agent := storetest.Activity(t, d.Store, w, "user.create").Agent
	if len(agent) != 399 || !utf8.ValidString(agent) {
		t.Errorf("agent has %d bytes, valid %v, want 399 at a letter's border", len(agent), utf8.ValidString(agent))
	}
}

func TestRecord_strangers(t *testing.T) {
	d := storetest.SQLite(t)
	c := newChain(t, d, 4)
	c.seal(t)
	storetest.Strangers(t, d, c.w, storetest.Stranger{Action: "activity.list", Need: auth.ActivitiesRead, Call: func(by auth.Caller) error {
		p, err := c.record.List(t.Context(), by, activity.Query{})
		if len(p.Items) != 0 {
			t.Errorf("List() shows %d lines to %s", len(p.Items), by.Name)
		}
		return err
	}})
	storetest.Strangers(t, d, c.w, storetest.Stranger{Action: "activity.verify", Need: auth.ActivitiesRead, Call: func(by auth.Caller) error {
		v, err := c.record.Verify(t.Context(), by)
		if v.Through != 0 {
			t.Errorf("Verify() = %+v for %s", v, by.Name)
		}
		return err
	}})
	other := newChain(t, d, 1)
	by := storetest.APIKey(t, d.Store, other.w, auth.ActivitiesRead)
	p, err := c.record.List(t.Context(), by, activity.Query{Page: page.Request{WithTotal: true}})
	if err != nil || p.Total != 1 || len(p.Items) != 1 || p.Items[0].Workspace != other.w {
		t.Errorf("List() = %+v (%v) for another workspace's key, want its own line", p, err)
	}
	v, err := c.record.Verify(t.Context(), by)
	if err != nil || v.Workspace != other.w || v.Through != 0 || v.Unsealed != 1 {
		t.Errorf("Verify() = %+v (%v) for another workspace's key, want its own record", v, err)
	}
}
