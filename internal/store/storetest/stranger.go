package storetest

import (
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Stranger is a service method that is tried by those who may not.
type Stranger struct {
	Action string          // of the refusal's line
	Need   auth.Permission // what the method needs
	Call   func(by auth.Caller) error
}

// Strangers tries the method as nobody, as a key and an administrator without the
// permission, and as callers whose session or key is over. It asks for the right
// fault and for the refusal's line.
func Strangers(t *testing.T, d Database, w id.Workspace, s Stranger) {
	t.Helper()
	var others auth.Permissions
	for _, p := range auth.All() {
		if p != s.Need {
			others = append(others, p)
		}
	}
	gone, dead := Administrator(t, d.Store, w, "gone"+s.Action), APIKey(t, d.Store, w, auth.All()...)
	Revoke(t, d, gone)
	Revoke(t, d, dead)
	refused := map[string]auth.Caller{"a signed-out owner": gone, "a key that is over": dead}
	if s.Need != auth.Signed {
		refused["a key without the permission"] = APIKey(t, d.Store, w, others...)
		refused["an administrator without the permission"] = Administrator(t, d.Store, w, "lesser"+s.Action, others...)
	}
	before := len(Activities(t, d.Store, w, ""))
	for _, nobody := range []auth.Caller{auth.Nobody("192.0.2.9", "browser/1", "req_nobody"), {}} {
		wantKind(t, "nobody", s.Call(nobody), fault.KindUnauthenticated)
	}
	if n := len(Activities(t, d.Store, w, "")); n != before {
		t.Errorf("%s as nobody wrote %d lines, want none: no workspace is known", s.Action, n-before)
	}
	for who, by := range refused {
		want, reason := fault.KindUnauthenticated, "unauthenticated"
		if by.Kind == auth.APIKey && by != dead || by.Kind == auth.Administrator && by != gone {
			want, reason = fault.KindForbidden, "missing_permission"
		}
		wantKind(t, who, s.Call(by), want)
		line := lineOf(t, d, w, s.Action, by)
		got := activity.Event{Action: line.Action, Outcome: line.Outcome, Reason: line.Reason, Count: line.Count, Actor: line.Actor, IP: line.IP, Agent: line.Agent, RequestID: line.RequestID}
		same(t, "the refusal's line of "+who, got, activity.Event{
			Action: s.Action, Outcome: activity.Refused, Reason: reason, Count: 1,
			Actor: activity.Party{Type: string(by.Kind), ID: by.Identity(), Name: by.Name}, IP: by.IP, Agent: by.Agent, RequestID: by.RequestID,
		})
	}
	if n := len(Activities(t, d.Store, w, "")); n != before+len(refused) {
		t.Errorf("%d refusals wrote %d lines, want one each", len(refused), n-before)
	}
}

// lineOf returns the caller's one line of an action.
func lineOf(t *testing.T, d Database, w id.Workspace, action string, by auth.Caller) (line activity.Event) {
	t.Helper()
	n := 0
	for _, e := range Activities(t, d.Store, w, action) {
		if e.Actor.ID == by.Identity() {
			line, n = e, n+1
		}
	}
	if n != 1 {
		t.Errorf("%d lines %s of %s %s, want 1", n, action, by.Kind, by.Name)
	}
	return line
}

// wantKind asks for a fault of the kind.
func wantKind(t *testing.T, who string, err error, want fault.Kind) {
	t.Helper()
	if f, ok := fault.As(err); !ok || f.Kind != want {
		t.Errorf("as %s: %v, want a fault of kind %d", who, err, want)
	}
}

// Fault returns the fault in err and fails the test unless it has the code.
func Fault(t testing.TB, err error, code string) *fault.Error {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Code != code {
		t.Fatalf("error = %v, want the fault %s", err, code)
	}
	return f
}

// Refused fails the test unless err is the fault of that code.
func Refused(t testing.TB, err error, code string) {
	t.Helper()
	_ = Fault(t, err, code) // it has failed the test if it is another
}

// FieldNames returns the names of the fields that a fault names, in its order.
func FieldNames(f *fault.Error) []string {
	var names []string
	for _, field := range f.Fields {
		names = append(names, field.Name)
	}
	return names
}
