package panel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

const line = id.Activity("act_01h455vb4pex5vsknk084sn02q")

func (w recordWorld) Find(_ context.Context, _ auth.Caller, a id.Activity) (activity.Event, error) {
	for _, e := range w.events {
		if e.ID == a {
			return e, nil
		}
	}
	return activity.Event{}, fault.NotFound("activity_not_found", "This activity does not exist.")
}

func (w recordWorld) Export(ctx context.Context, _ auth.Caller, q activity.Query, f activity.Format) (*activity.Export, error) {
	w.askedFor = q
	if w.record == nil {
		return nil, w.fault
	}
	return w.record.Export(ctx, w.by, q, f)
}

func (w recordWorld) Checkpoint(context.Context, auth.Caller) (activity.SignedCheckpoint, error) {
	return signedCheckpoint(), w.fault
}

func (w recordWorld) Verify(_ context.Context, _ auth.Caller, checkpoints ...activity.SignedCheckpoint) (activity.Verdict, error) {
	w.verified = checkpoints
	return w.verdict, w.fault
}

type testSigner struct{ key ed25519.PrivateKey }

func (s testSigner) PublicKey() ed25519.PublicKey     { return ed25519.PublicKey(s.key[32:]) }
func (s testSigner) Knows(key ed25519.PublicKey) bool { return s.PublicKey().Equal(key) }
func (s testSigner) Sign(message []byte) []byte       { return ed25519.Sign(s.key, message) }

func signedCheckpoint() activity.SignedCheckpoint {
	w, _ := id.Parse[id.KindWorkspace]("ws_01jd3v9b8eexav2f6hqdr3wzkt")
	return activity.SignCheckpoint(w, activity.Head{Index: 4711, Hash: bytes.Repeat([]byte{0xab}, 32)}, now(), testSigner{ed25519.NewKeyFromSeed(make([]byte, 32))})
}

func TestActivityPages(t *testing.T) {
	pasted, err := json.Marshal(signedCheckpoint())
	if err != nil {
		t.Fatal(err)
	}
	damaged := activity.Verdict{Through: 4711, Damages: []activity.Damage{
		{Index: 1200, ID: line, What: "the target's name was changed"}, {Index: 4712, What: "the end was cut: the checkpoint of 2026-12-04T14:03:00.000Z tells of 3 row(s) more"},
	}}
	for _, tt := range []struct {
		name   string
		path   string
		form   url.Values
		world  func(*world)
		status int
	}{
		{"activities", "/activities", nil, func(w *world) { w.events3(); w.next = page.Position{Value: "1", ID: string(line)} }, http.StatusOK},
		{"activities_filtered", "/activities?action=user.create&outcome=refused&user=" + string(grace) + "&actor=key_1&from=2026-11-28&to=2026-12-04&live=1", nil, (*world).events3, http.StatusOK},
		{"activities_who", "/activities?person=a", nil, (*world).events3, http.StatusOK},
		{"activities_none", "/activities?action=user.delete", nil, nil, http.StatusOK},
		{"activities_wrong", "/activities?from=yesterday&to=2026-02-30", nil, nil, http.StatusUnprocessableEntity},
		{"activities_reader", "/activities?person=a&user=" + string(grace), nil, func(w *world) { w.events3(); w.standing = auth.Permissions{auth.ActivitiesRead} }, http.StatusOK},
		{"activities_whole", "/activities/verify?outcome=refused", url.Values{"checkpoint": {""}}, func(w *world) { w.verdict = activity.Verdict{Through: 4711, Unsealed: 2} }, http.StatusOK},
		{"activities_damaged", "/activities/verify", url.Values{"checkpoint": {string(pasted)}}, func(w *world) { w.verdict = damaged }, http.StatusOK},
		{"activities_checkpoint_wrong", "/activities/verify", url.Values{"checkpoint": {"<b>hello"}}, nil, http.StatusUnprocessableEntity},
		{"activity", "/activities/" + string(line), nil, (*world).events3, http.StatusOK},
		{"activity_unknown", "/activities/7", nil, nil, http.StatusNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.world != nil {
				tt.world(w)
			}
			rec := w.ask(t, tt.path, tt.form)
			if rec.Code != tt.status {
				t.Errorf("status = %d, want %d", rec.Code, tt.status)
			}
			golden(t, tt.name, rec.Body.String())
		})
	}
}

func TestActivities_asksForWhatTheURLSays(t *testing.T) {
	w := newWorld()
	w.next = page.Position{Value: "1", ID: string(line)}
	w.ask(t, "/activities?user="+string(grace)+"&actor=key_1&target=grp_1&rp=example.org&action=user.create&outcome=failed&from=2026-10-25&to=2026-10-25", nil)
	// That day has 25 hours in Berlin.
	want := activity.Query{
		User: grace, Actor: "key_1", Target: "grp_1", RPID: "example.org", Action: "user.create", Outcome: activity.Failed,
		From: time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC), To: time.Date(2026, 10, 25, 23, 0, 0, 0, time.UTC), Page: page.Request{Descending: true},
	}
	if diff := cmp.Diff(want, w.askedFor, cmp.Transformer("UTC", time.Time.UTC)); diff != "" {
		t.Errorf("List() (-want +got):\n%s", diff)
	}
}

func TestActivities_theOnlyPersonIsTaken(t *testing.T) {
	w := newWorld()
	w.users = w.users[1:]
	rec := w.ask(t, "/activities?person=grace&outcome=refused", nil)
	if want := "/activities?outcome=refused&user=" + string(grace); rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != want {
		t.Errorf("= %d to %q, want 303 to %q", rec.Code, rec.Header().Get("Location"), want)
	}
}

func TestVerifyRecord_passesCheckpointsOn(t *testing.T) {
	w := newWorld()
	text, err := json.Marshal(signedCheckpoint())
	if err != nil {
		t.Fatal(err)
	}
	w.ask(t, "/activities/verify", url.Values{"checkpoint": {string(text) + "\r\n" + string(text)}})
	if len(w.verified) != 2 || w.verified[0].Index != 4711 {
		t.Errorf("verified with %+v, want the checkpoint twice", w.verified)
	}
	w.fault = fault.Invalid("checkpoint_not_ours", "This checkpoint was not signed by this server.")
	rec := w.ask(t, "/activities/verify", url.Values{"checkpoint": {string(text)}})
	if rec.Code != http.StatusUnprocessableEntity || !strings.Contains(rec.Body.String(), "was not signed by this server") || !strings.Contains(rec.Body.String(), "keyhold/checkpoint/v1") {
		t.Errorf("a checkpoint of elsewhere = %d, want 422 with the reason and what was pasted", rec.Code)
	}
}

func TestCheckpoint_isDownloaded(t *testing.T) {
	rec := newWorld().ask(t, "/activities/checkpoint", nil)
	got, err := activity.ParseCheckpoint(rec.Body.Bytes())
	if err != nil || got.Index != 4711 || rec.Header().Get("Content-Disposition") != `attachment; filename="checkpoint-20261204-140300.json"` {
		t.Errorf("= %+v, %v, %v", got, err, rec.Header())
	}
	w := newWorld()
	w.fault = fault.Conflict("nothing_sealed", "Nothing of the record is sealed yet.")
	if rec := w.ask(t, "/activities/checkpoint", nil); rec.Code != http.StatusConflict {
		t.Errorf("with nothing sealed = %d, want 409", rec.Code)
	}
}

func TestExportActivities(t *testing.T) {
	d := storetest.SQLite(t)
	here := storetest.Workspace(t, d.Store)
	w := newWorld()
	w.record = activity.NewRecord(activity.Gate[activity.RecordTx]{Store: store.For[activity.RecordTx](d.Store), Clock: clock.NewManual(storetest.Start().Add(time.Second))}, nil)
	w.by = auth.Job(here, "test")
	rec := w.ask(t, "/activities/export?format=csv&to=2026-12-04", nil)
	records, err := csv.NewReader(rec.Body).ReadAll()
	var actions []string
	for _, record := range records {
		actions = append(actions, record[3])
	}
	slices.Sort(actions) // both lines are of one moment
	if err != nil || rec.Code != http.StatusOK || !slices.Equal(actions, []string{"action", "activity.export", "workspace.create"}) {
		t.Errorf("= %d, %v, %v, want the header, the workspace's line and the export's", rec.Code, err, records)
	}
	if got := rec.Header().Get("Content-Disposition"); got != `attachment; filename="activities-20260302-093001.csv"` {
		t.Errorf("Content-Disposition = %s", got)
	}
	if want := time.Date(2026, 12, 4, 23, 0, 0, 0, time.UTC); !w.askedFor.To.Equal(want) {
		t.Errorf("asked for lines before %v, want the end of the day in Berlin, %v", w.askedFor.To, want)
	}
	if rec := w.ask(t, "/activities/export?format=xml", nil); rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("another format = %d, want 422", rec.Code)
	}
	if rec := w.ask(t, "/activities/export?format=csv&from=soon", nil); rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("a day that is none = %d, want 422", rec.Code)
	}
	w.record = nil
	w.fault = fault.Forbidden("missing_permission", "This needs the permission activities.read.")
	if rec := w.ask(t, "/activities/export?format=csv", nil); rec.Code != http.StatusForbidden || rec.Header().Get("Content-Disposition") != "" {
		t.Errorf("refused = %d %v, want a page", rec.Code, rec.Header())
	}
}
