package panel

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

var (
	_ DigitalKeys = (*digitalkey.Service)(nil)
	_ Locks       = (*smartlock.Service)(nil)
)

const (
	frontDoor = id.Lock("lock_01h455vb4pex5vsknk084sn02a")
	gateLock  = id.Lock("lock_01h455vb4pex5vsknk084sn02b")
	guestKey  = id.DigitalKey("dk_01h455vb4pex5vsknk084sn02a")
	weekKey   = id.DigitalKey("dk_01h455vb4pex5vsknk084sn02b")
	goneKey   = id.DigitalKey("dk_01h455vb4pex5vsknk084sn02c")
)

// doorRoom is what the doubles of locks and digital keys hold, and what they were asked for.
type doorRoom struct {
	locks     []smartlock.Lock
	doors     []digitalkey.DigitalKey
	happened  []smartlock.Event
	unsafe    []smartlock.Unsafe
	askedKeys digitalkey.Query
	askedRow  smartlock.EventQuery
	newDoor   digitalkey.NewKey
	doorPlan  digitalkey.NewKey // of the preview
	doorMove  digitalkey.Change
	doorDid   []string
	doorOnce  map[string]string
	doorNote  string
	ended     int // digital keys that a suspension ends
	manyLocks int // counted beside those that are there
}

// doorWorld is the room of digital keys, lockWorld that of locks.
type (
	doorWorld struct{ *world }
	lockWorld struct{ *world }
)

func (w doorWorld) act(ctx context.Context, what, note string) error {
	if w.fault != nil {
		return w.fault
	}
	if r, ok := once.From(ctx); ok {
		if before, done := w.doorOnce[r.Digest]; done {
			return &once.Repeated{Note: before}
		}
		if w.doorOnce == nil {
			w.doorOnce = map[string]string{}
		}
		w.doorOnce[r.Digest] = note
	}
	w.doorDid = append(w.doorDid, what)
	return nil
}

func (w doorWorld) one(k id.DigitalKey) (digitalkey.DigitalKey, error) {
	for _, key := range w.doors {
		if key.ID == k {
			return key, nil
		}
	}
	return digitalkey.DigitalKey{}, digitalkey.Unknown()
}

func (w doorWorld) Create(ctx context.Context, _ auth.Caller, n digitalkey.NewKey) (digitalkey.Issued, error) {
	if err := w.act(ctx, "create", string(guestKey)); err != nil {
		return digitalkey.Issued{}, err
	}
	w.newDoor = n
	k, err := w.one(guestKey)
	out := digitalkey.Issued{Key: k}
	for _, t := range n.Types {
		if t == digitalkey.PIN {
			out.PIN = secret.FromString("739214")
		}
	}
	return out, err
}

func (w doorWorld) Preview(_ context.Context, _ auth.Caller, n digitalkey.NewKey) (digitalkey.Outlook, error) {
	w.doorPlan = n
	var out digitalkey.Outlook
	var f *fault.Error
	if out.Span, f = digitalkey.Resolve(n.Span, ""); f != nil {
		return out, f
	}
	for _, l := range w.locks {
		for _, asked := range n.Locks {
			if asked == l.ID {
				look := digitalkey.LockOutlook{
					Lock: digitalkey.LockName{ID: l.ID, Name: l.Name, Timezone: l.Timezone}, Lease: 24 * time.Hour, LeaseUntil: l.Sync.LeaseUntil, Online: l.Online(now()), Enrolled: l.Enrolled(),
				}
				for _, t := range n.Types {
					if t == digitalkey.PIN {
						look.PINs, look.Odds = 6, 33333
					}
				}
				out.Locks = append(out.Locks, look)
			}
		}
	}
	return out, nil
}

func (w doorWorld) Change(ctx context.Context, _ auth.Caller, k id.DigitalKey, c digitalkey.Change, ifRevision int64) (digitalkey.Issued, error) {
	w.doorMove = c
	if err := w.act(ctx, fmt.Sprint("change ", ifRevision), ""); err != nil {
		return digitalkey.Issued{}, err
	}
	key, err := w.one(k)
	out := digitalkey.Issued{Key: key}
	if c.PIN != nil {
		out.PIN = secret.FromString("518206")
	}
	return out, err
}

func (w doorWorld) Cancel(ctx context.Context, _ auth.Caller, k id.DigitalKey) (digitalkey.Detail, error) {
	return digitalkey.Detail{}, w.act(ctx, "cancel "+string(k), "")
}

func (w doorWorld) CancelMany(ctx context.Context, _ auth.Caller, ks []id.DigitalKey) ([]digitalkey.Outcome, error) {
	if err := w.act(ctx, fmt.Sprint("cancel ", len(ks)), w.doorNote); err != nil {
		return nil, err
	}
	var out []digitalkey.Outcome
	for _, k := range ks {
		o := digitalkey.Outcome{ID: k}
		if _, err := w.one(k); err != nil {
			o.Fault = err
		}
		out = append(out, o)
	}
	return out, nil
}

func (w doorWorld) Delete(ctx context.Context, _ auth.Caller, k id.DigitalKey, ifRevision int64) error {
	return w.act(ctx, fmt.Sprint("delete ", k, " ", ifRevision), "")
}

func (w doorWorld) Find(_ context.Context, _ auth.Caller, k id.DigitalKey) (digitalkey.Detail, error) {
	key, err := w.one(k)
	out := digitalkey.Detail{Key: key}
	if len(key.CardSealed) > 0 {
		out.CardNumber = someCard
	}
	for i, l := range key.Locks {
		r := digitalkey.Receipt{Lock: l.ID, LockName: l.Name, Version: 3, Removed: !key.CancelledAt.IsZero(), ChangedAt: now().Add(-time.Minute), Online: i == 0}
		if i == 0 {
			r.AppliedAt = now().Add(-57 * time.Second)
		} else if r.Removed {
			r.AtLatest = now().Add(3 * time.Hour)
		}
		out.Receipts = append(out.Receipts, r)
	}
	return out, err
}

func (w doorWorld) List(_ context.Context, _ auth.Caller, q digitalkey.Query) (page.Page[digitalkey.DigitalKey], error) {
	w.askedKeys = q
	out := page.Page[digitalkey.DigitalKey]{Next: w.next, Total: -1}
	for _, k := range w.doors {
		if q.Status == "" || k.Status(now()) == q.Status {
			out.Items = append(out.Items, k)
		}
	}
	return out, nil
}

func (w doorWorld) Counts(context.Context, auth.Caller) (digitalkey.Counts, error) {
	if len(w.doors) == 0 {
		return digitalkey.Counts{}, nil
	}
	return digitalkey.Counts{Total: 1234, Upcoming: 4, Active: 30, Expired: 1190, Cancelled: 10}, nil
}

func (w lockWorld) lock(l id.Lock) (smartlock.Lock, error) {
	for _, have := range w.locks {
		if have.ID == l {
			return have, nil
		}
	}
	return smartlock.Lock{}, fault.NotFound("lock_not_found", "This smart lock does not exist.")
}

func (w lockWorld) Create(context.Context, auth.Caller, smartlock.NewLock) (smartlock.Lock, error) {
	return smartlock.Lock{ID: frontDoor}, w.fault
}

func (w lockWorld) Change(context.Context, auth.Caller, id.Lock, smartlock.Change, int64) (smartlock.Lock, error) {
	return smartlock.Lock{ID: frontDoor}, w.fault
}

func (w lockWorld) Delete(context.Context, auth.Caller, id.Lock, int64) error { return w.fault }

func (w lockWorld) Find(_ context.Context, _ auth.Caller, l id.Lock) (smartlock.Lock, error) {
	return w.lock(l)
}

func (w lockWorld) List(context.Context, auth.Caller, smartlock.Query) (page.Page[smartlock.Lock], error) {
	return page.Page[smartlock.Lock]{Items: w.locks, Total: -1}, nil
}

func (w lockWorld) Counts(context.Context, auth.Caller) (smartlock.Counts, error) {
	n := len(w.locks)
	if n == 0 {
		return smartlock.Counts{}, nil
	}
	return smartlock.Counts{Total: n + w.manyLocks, Online: 1, Offline: n - 1}, nil
}

func (w lockWorld) IssueEnrolment(context.Context, auth.Caller, id.Lock) (smartlock.Enrolling, error) {
	return smartlock.Enrolling{Token: secret.FromString("kh_enrol_x"), ExpiresAt: now().Add(time.Hour)}, w.fault
}

func (w lockWorld) Open(context.Context, auth.Caller, id.Lock) (smartlock.Command, error) {
	return smartlock.Command{Outcome: grant.Opened}, w.fault
}

func (w lockWorld) Teach(context.Context, auth.Caller, id.Lock) (smartlock.Command, error) {
	return smartlock.Command{ID: taught}, w.fault
}

const taught = id.LockCommand("cmd_01h455vb4pex5vsknk084sn02a")

func (w lockWorld) FindCommand(context.Context, auth.Caller, id.LockCommand) (smartlock.Command, error) {
	return smartlock.Command{Outcome: grant.Opened}, w.fault
}

func (w lockWorld) TaughtCard(context.Context, auth.Caller, id.LockCommand) (smartlock.Command, secret.Bytes, error) {
	return smartlock.Command{ID: taught, Outcome: grant.Notice, CreatedAt: now()}, secret.FromString(someCard), nil
}

func (w lockWorld) ListEvents(_ context.Context, _ auth.Caller, q smartlock.EventQuery) (page.Page[smartlock.Event], error) {
	w.askedRow = q
	return page.Page[smartlock.Event]{Items: w.happened, Total: -1}, nil
}

func (w lockWorld) Doors(ctx context.Context, by auth.Caller) (smartlock.Doors, error) {
	n, err := w.Counts(ctx, by)
	return smartlock.Doors{Counts: n, Locks: w.locks}, err
}

func (w lockWorld) Pulse(context.Context, auth.Caller) (string, error) { return "1", nil }

func (w lockWorld) ListUnsafe(context.Context, auth.Caller) ([]smartlock.Unsafe, error) {
	return w.unsafe, nil
}

// doors3 are two locks, one of them offline and elsewhere, and a key of each status but one.
func (w *world) doors3() {
	all := smartlock.Capabilities()
	controller := smartlock.Controller{EnrolledAt: now().AddDate(0, -1, 0), CertificateEnds: now().AddDate(0, 2, 0), Clock: grant.Trusted}
	w.locks = []smartlock.Lock{
		{
			ID: frontDoor, Name: "Front door <1>", Place: "House 3", Timezone: "Europe/Berlin", Capabilities: all, OpenSeconds: 5, LeaseSeconds: 86400, Controller: controller,
			Sync: smartlock.Sync{LeaseUntil: now().Add(24 * time.Hour)}, State: smartlock.State{Bolt: "locked", Battery: -1, OnlineUntil: now().Add(20 * time.Second), LastSeenAt: now()},
		},
		{
			ID: gateLock, Name: "Gate", Timezone: "Asia/Tokyo", Capabilities: all[:2], OpenSeconds: 5, LeaseSeconds: 86400, Controller: controller,
			Sync: smartlock.Sync{LeaseUntil: now().Add(3 * time.Hour)}, State: smartlock.State{Battery: 15, LastSeenAt: now().Add(-time.Hour)},
		},
	}
	holder := digitalkey.Holder{Name: "Grace Hopper <script>", Email: "grace@example.com"}
	names := []digitalkey.LockName{{ID: frontDoor, Name: "Front door <1>", Timezone: "Europe/Berlin"}, {ID: gateLock, Name: "Gate", Timezone: "Asia/Tokyo"}}
	w.doors = []digitalkey.DigitalKey{
		{
			ID: guestKey, User: grace, Description: "Guests of room <12>, who come late and stay for longer than most", Locks: names, StartsAt: now().Add(-3 * time.Minute), ExpiresAt: now().Add(19 * time.Hour),
			Timezone: "Europe/Berlin", Role: digitalkey.RoleUser, Types: []digitalkey.Type{digitalkey.PIN, digitalkey.Keycard}, PINSealed: []byte{1}, PINLength: 6, CardSealed: []byte{1}, CardType: "uid",
			Notify: digitalkey.Notify{Email: true}, CreatedAt: now().Add(-time.Hour), CreatedBy: "Ada Lovelace", Revision: 4, Holder: holder, Receipts: digitalkey.Confirmed{Locks: 2, Applied: 1},
		},
		{
			ID: weekKey, User: ada, Locks: names[:1], StartsAt: now().AddDate(0, 0, 3), ExpiresAt: now().AddDate(0, 4, 0), Timezone: "Europe/Berlin", Role: digitalkey.RoleAdmin,
			Types: []digitalkey.Type{digitalkey.App}, Weekly: []digitalkey.Hours{{Days: []time.Weekday{time.Monday, time.Friday}, From: 480, To: 1440}}, SurvivesLease: true, Revision: 1,
			CreatedAt: now(), CreatedBy: "Ada Lovelace", Holder: digitalkey.Holder{Name: "Ada Lovelace"}, Receipts: digitalkey.Confirmed{Locks: 1, Applied: 1},
		},
		{
			ID: goneKey, User: grace, Locks: names, StartsAt: now().Add(-time.Hour), ExpiresAt: now().Add(time.Hour), Timezone: "Europe/Berlin", Role: digitalkey.RoleUser, Types: []digitalkey.Type{digitalkey.App},
			CancelledAt: now().Add(-time.Minute), CancelledBy: "Ada Lovelace", CancelReason: digitalkey.UserSuspended, Revision: 2, Holder: holder, Receipts: digitalkey.Confirmed{Locks: 2, Applied: 1},
		},
	}
	w.unsafe = []smartlock.Unsafe{{Lock: gateLock, LockName: "Gate", DigitalKey: goneKey, ChangedAt: now().Add(-time.Minute), SafeAt: now().Add(3 * time.Hour)}}
	w.happened = []smartlock.Event{
		{Lock: gateLock, LockName: "Gate", At: now().Add(-30 * time.Second), DigitalKey: goneKey, User: grace, UserName: "Grace Hopper", Medium: grant.App, Outcome: grant.Opened, AfterCancel: true},
	}
}

// doorsRefusing is a world of doors in which every writing act is refused.
func doorsRefusing(f error) func(*world) {
	return func(w *world) {
		w.doors3()
		w.fault = f
	}
}

func doorsReading(permissions ...auth.Permission) func(*world) {
	return func(w *world) {
		w.doors3()
		w.standing = permissions
	}
}

// endsKeys is a world in which who is suspended has two digital keys.
func endsKeys(w *world) { w.ended = 2 }

// keyForm is a form as it is sent, with some values changed; an empty one goes.
func keyForm(pairs ...string) url.Values {
	form := url.Values{
		"description": {"Room <12>"}, "locks": {string(frontDoor)}, "starts_at": {"2026-12-04T14:00"}, "expires_at": {"2026-12-05T10:00"}, "user": {string(grace)},
		"role": {"ROLE-USER"}, "types": {"pin", "app"}, "pin_source": {"generate"}, "pin_length": {"5"}, "notify_email": {"on"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if form.Del(pairs[i]); pairs[i+1] != "" {
			form.Set(pairs[i], pairs[i+1])
		}
	}
	return form
}

func TestDigitalKeyPages(t *testing.T) {
	one := digitalKeyPath(guestKey)
	taken := fault.Conflict("pin_unusable", "This PIN cannot be used.", fault.Field{Name: "pin", Message: "cannot be used: choose another or have one generated"})
	goldenPages(t, []goldenPage{
		{"digital_keys", "/digital-keys?sort=-created_at", nil, (*world).doors3, http.StatusOK},
		{"digital_keys_reader", "/digital-keys", nil, doorsReading(auth.DigitalKeysRead), http.StatusOK},
		{"digital_keys_none", "/digital-keys", nil, nil, http.StatusOK},
		{"digital_keys_filtered", "/digital-keys?q=gu&status=ACTIVE&type=pin&survives=yes&lock=" + string(gateLock) + "&user=" + string(grace), nil, (*world).doors3, http.StatusOK},
		{"digital_key", one, nil, (*world).doors3, http.StatusOK},
		{"digital_key_reader", one, nil, doorsReading(auth.DigitalKeysRead), http.StatusOK},
		{"digital_key_weekly", digitalKeyPath(weekKey), nil, (*world).doors3, http.StatusOK},
		{"digital_key_cancelled", digitalKeyPath(goneKey), nil, (*world).doors3, http.StatusOK},
		{"digital_key_receipts", digitalKeyPath(goneKey) + "?tab=receipts", nil, (*world).doors3, http.StatusOK},
		{"digital_key_events", digitalKeyPath(goneKey) + "?tab=events", nil, (*world).doors3, http.StatusOK},
		{"digital_key_activities", one + "?tab=activities", nil, (*world).doors3, http.StatusOK},
		{"digital_key_unknown", "/digital-keys/nonsense", nil, (*world).doors3, http.StatusNotFound},
		{"digital_key_new", "/digital-keys/new", nil, (*world).doors3, http.StatusOK},
		{"digital_key_new_chosen", "/digital-keys/new?lock=" + string(gateLock) + "&user=" + string(grace) + "&card=" + someCard, nil, func(w *world) {
			w.doors3()
			w.manyLocks = 20
		}, http.StatusOK},
		{"digital_key_new_nothing", "/digital-keys/new", nil, nil, http.StatusOK},
		{"digital_key_preview", "/digital-keys/preview", keyForm("to", "add-hours", "days_0", "1", "from_0", "08:00", "to_0", "18:00", "preset", "weekend", "once", "X"), (*world).doors3, http.StatusOK},
		{"digital_key_preview_wrong", "/digital-keys/preview", keyForm("starts_at", "", "once", "X"), (*world).doors3, http.StatusOK},
		{"digital_key_new_wrong", "/digital-keys/new", keyForm("pin_source", "typed", "pin", "1234", "survives_lease", "on"), doorsRefusing(taken), http.StatusUnprocessableEntity},
		{"digital_key_new_hours", "/digital-keys/new", keyForm("days_1", "1", "from_1", "08:00"), (*world).doors3, http.StatusUnprocessableEntity},
		{"digital_key_new_done", "/digital-keys/new", keyForm(), (*world).doors3, http.StatusOK},
		{"digital_key_edit", one + "/edit", nil, (*world).doors3, http.StatusOK},
		{"digital_key_edit_weekly", digitalKeyPath(weekKey) + "/edit?card=" + someCard, nil, (*world).doors3, http.StatusOK},
		{"digital_key_edit_changed", one + "/edit", keyForm("revision", "3"), doorsRefusing(fault.Precondition()), http.StatusUnprocessableEntity},
		{"digital_key_cancel", one + "/cancel", nil, (*world).doors3, http.StatusOK},
		{"digital_key_cancel_over", one + "/cancel", url.Values{}, doorsRefusing(fault.Conflict("digital_key_over", "This digital key has expired.")), http.StatusUnprocessableEntity},
		{"digital_key_delete", digitalKeyPath(goneKey) + "/delete", nil, (*world).doors3, http.StatusOK},
		{"digital_keys_many", "/digital-keys/bulk?ids=" + string(guestKey) + "&ids=" + string(weekKey) + "&ids=nonsense", nil, (*world).doors3, http.StatusOK},
		{"digital_keys_many_none", "/digital-keys/bulk", nil, (*world).doors3, http.StatusOK},
		{"digital_keys_many_done", "/digital-keys/bulk", url.Values{"ids": {string(guestKey), "dk_01h455vb4pex5vsknk084sn02z"}}, (*world).doors3, http.StatusOK},
		{"user_digital_keys", "/users/" + string(grace) + "?tab=digital-keys", nil, (*world).doors3, http.StatusOK},
		{"user_digital_keys_none", "/users/" + string(grace) + "?tab=digital-keys", nil, nil, http.StatusOK},
		{"user_suspend_doors", "/users/" + string(grace) + "/suspend", nil, endsKeys, http.StatusOK},
		{"user_suspended_doors", "/users/" + string(grace) + "/suspend", url.Values{}, endsKeys, http.StatusOK},
		{"user_delete_doors", "/users/" + string(grace) + "/delete", nil, endsKeys, http.StatusOK},
		{"lock_taught", lockPath(frontDoor) + "/teach/" + string(taught), nil, (*world).doors3, http.StatusOK},
		{"dashboard_doors", "/dashboard", nil, (*world).doors3, http.StatusOK},
		{"search_doors", "/search?q=gate", nil, (*world).doors3, http.StatusOK},
	})
}

var sameKey = []cmp.Option{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b secret.Bytes) bool { return a.ExposeString() == b.ExposeString() })}

func TestCreateDigitalKey_asksForWhatTheFormSays(t *testing.T) {
	w := newWorld()
	w.doors3()
	form := keyForm("pin_source", "typed", "pin", "7391", "card", someCard, "notify_pin", "on", "survives_lease", "on", "from_0", "22:00", "to_0", "06:00")
	form["types"] = []string{"pin", "keycard"}
	form["days_0"] = []string{"5", "1"}
	form["locks"] = []string{string(frontDoor), string(gateLock), string(frontDoor), "nonsense"}
	if rec := w.ask(t, "/digital-keys/new", form); rec.Code != http.StatusOK {
		t.Fatalf("status = %d", rec.Code)
	}
	want := digitalkey.NewKey{
		Description: "Room <12>", Locks: []id.Lock{frontDoor, gateLock}, User: grace, Span: digitalkey.Span{LocalStarts: "2026-12-04T14:00", LocalExpires: "2026-12-05T10:00"},
		Weekly: []digitalkey.Hours{{Days: []time.Weekday{time.Monday, time.Friday}, From: 22 * 60, To: 6 * 60}}, Role: digitalkey.RoleUser,
		Types: []digitalkey.Type{digitalkey.PIN, digitalkey.Keycard}, PIN: secret.FromString("7391"), CardNumber: someCard, SurvivesLease: true, Notify: digitalkey.Notify{Email: true, ShowPIN: true},
	}
	if diff := cmp.Diff(want, w.newDoor, sameKey...); diff != "" {
		t.Errorf("Create() (-want +got):\n%s", diff)
	}
}

func TestCreateDigitalKey_leavesOutWhatItsTypesDoNotHave(t *testing.T) {
	w := newWorld()
	w.doors3()
	form := keyForm("types", "app", "pin_source", "typed", "pin", "7391", "card", someCard, "notify_pin", "on")
	rec := w.ask(t, "/digital-keys/new", form)
	if got := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || got != digitalKeyPath(guestKey) {
		t.Errorf("= %d to %q, want 303 to the key", rec.Code, got)
	}
	if n := w.newDoor; !n.PIN.IsEmpty() || n.PINLength != 0 || n.CardNumber != "" || n.Notify.ShowPIN {
		t.Errorf("Create(%+v), want neither PIN nor card", n)
	}
}

func TestCreateDigitalKey_twiceMakesOne(t *testing.T) {
	w := newWorld()
	w.doors3()
	form := keyForm("once", "SAME")
	first, second := w.ask(t, "/digital-keys/new", form), w.ask(t, "/digital-keys/new", form)
	if !strings.Contains(first.Body.String(), "739214") || strings.Contains(second.Body.String(), "739214") || len(w.doorDid) != 1 {
		t.Errorf("made %v, the PIN was shown twice: %v", w.doorDid, strings.Contains(second.Body.String(), "739214"))
	}
	if !strings.Contains(second.Body.String(), digitalKeyPath(guestKey)) {
		t.Error("the second answer does not lead to the key")
	}
}

func TestEditDigitalKey_leavesAloneWhatWasNotTouched(t *testing.T) {
	w := newWorld()
	w.doors3()
	found, _ := doorWorld{w}.Find(t.Context(), auth.Caller{}, weekKey)
	rec := w.ask(t, digitalKeyPath(weekKey)+"/edit", url.Values(storedDigitalKeyForm(found)))
	if rec.Code != http.StatusSeeOther || w.doorMove.Span != nil || w.doorMove.Weekly != nil || w.doorMove.PIN != nil || w.doorMove.CardNumber != nil {
		t.Errorf("= %d, change %+v, want neither span, hours, PIN nor card", rec.Code, w.doorMove)
	}
	found, _ = doorWorld{w}.Find(t.Context(), auth.Caller{}, guestKey)
	form := url.Values(storedDigitalKeyForm(found))
	form.Set("pin_source", "generate")
	form.Set("card", "")
	form.Set("expires_at", "2026-12-06T10:00")
	rec = w.ask(t, digitalKeyPath(guestKey)+"/edit", form)
	c := w.doorMove
	if !strings.Contains(rec.Body.String(), "518206") || c.PIN == nil || !c.PIN.IsEmpty() || c.CardNumber == nil || *c.CardNumber != "" || c.Span == nil || c.Span.Timezone != "Europe/Berlin" {
		t.Errorf("= %d, change %+v, want another PIN, no card and a later end", rec.Code, c)
	}
	if w.doorDid[1] != "change 4" {
		t.Errorf("did %q, want the form's revision", w.doorDid)
	}
}

func TestDigitalKeys_asksForWhatTheURLSays(t *testing.T) {
	w := newWorld()
	w.doors3()
	w.ask(t, "/digital-keys?q=Gu&status=ACTIVE&type=pin&survives=yes&sort=-expires_at&lock="+string(gateLock)+"&user="+string(grace), nil)
	want := digitalkey.Query{
		Status: digitalkey.Active, Lock: gateLock, User: grace, Type: digitalkey.PIN, Survivors: true, Words: []string{"gu"}, Page: page.Request{Sort: digitalkey.SortExpires, Descending: true},
	}
	if diff := cmp.Diff(want, w.askedKeys); diff != "" {
		t.Errorf("List() (-want +got):\n%s", diff)
	}
	w.ask(t, "/digital-keys?status=WARM&type=wire&lock=nonsense&user=x", nil)
	if diff := cmp.Diff(digitalkey.Query{}, w.askedKeys, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("List() of unknown filters (-want +got):\n%s", diff)
	}
}

func TestCancelDigitalKey_leadsToTheReceipts(t *testing.T) {
	w := newWorld()
	w.doors3()
	rec := w.ask(t, digitalKeyPath(guestKey)+"/cancel", url.Values{})
	if got := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || got != digitalKeyPath(guestKey)+"?tab=receipts" || w.doorDid[0] != "cancel "+string(guestKey) {
		t.Errorf("= %d to %q, did %v", rec.Code, got, w.doorDid)
	}
}

func TestDeleteDigitalKey_wantsItsName(t *testing.T) {
	w := newWorld()
	w.doors3()
	path := digitalKeyPath(goneKey) + "/delete"
	if rec := w.ask(t, path, url.Values{"revision": {"2"}, "confirm": {"something"}}); rec.Code != http.StatusUnprocessableEntity || len(w.doorDid) > 0 {
		t.Errorf("with another name = %d, did %v, want 422 and nothing", rec.Code, w.doorDid)
	}
	if rec := w.ask(t, path, url.Values{"revision": {"2"}, "confirm": {"front door <1> and 1 more"}}); rec.Code != http.StatusSeeOther || w.doorDid[0] != "delete "+string(goneKey)+" 2" {
		t.Errorf("= %d, did %v", rec.Code, w.doorDid)
	}
}

func TestManyDigitalKeys_repeatAnswersTheSame(t *testing.T) {
	w := newWorld()
	w.doors3()
	form := url.Values{"ids": {string(guestKey), string(weekKey)}, "once": {"SAME"}}
	first, second := w.ask(t, "/digital-keys/bulk", form).Body.String(), w.ask(t, "/digital-keys/bulk", form).Body.String()
	if len(w.doorDid) != 1 || !strings.Contains(first, "2 digital keys cancelled.") || !strings.Contains(second, "2 digital keys cancelled.") {
		t.Errorf("did %v", w.doorDid)
	}
}

func TestGiveCard(t *testing.T) {
	w := newWorld()
	w.doors3()
	rec := w.ask(t, digitalKeyPath(guestKey)+"/card", url.Values{"card": {someCard}})
	if rec.Code != http.StatusSeeOther || w.doorMove.CardNumber == nil || *w.doorMove.CardNumber != someCard {
		t.Errorf("= %d, change %+v, want the card", rec.Code, w.doorMove)
	}
	if rec := w.ask(t, digitalKeyPath(guestKey)+"/card", url.Values{}); rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("without a number = %d, want 422", rec.Code)
	}
}

func TestDigitalKeyForms_askFirst(t *testing.T) {
	w := newWorld()
	w.doors3()
	w.standing = auth.Permissions{auth.DigitalKeysRead, auth.UsersRead, auth.LocksRead}
	for _, path := range []string{"/new", "/bulk", "/" + string(guestKey) + "/edit", "/" + string(guestKey) + "/cancel", "/" + string(guestKey) + "/delete"} {
		if rec := w.ask(t, digitalKeysPath+path, nil); rec.Code != http.StatusForbidden {
			t.Errorf("GET %s = %d, want 403", path, rec.Code)
		}
	}
}

func TestRangePresets(t *testing.T) {
	berlin, _ := time.LoadLocation("Europe/Berlin")
	for _, tt := range []struct {
		now  string
		want []string
	}{
		{"2026-12-04T14:03:00Z", []string{ // a Friday, 15:03 in Berlin
			"2026-12-04T14:00 2026-12-05T10:00", "2026-12-04T15:03 2026-12-04T15:13", "2026-12-04T15:03 2026-12-05T00:00", "2026-12-05T00:00 2026-12-07T00:00", "2026-12-07T00:00 2026-12-12T00:00",
		}},
		{"2026-12-05T23:30:00Z", []string{ // the Sunday in Berlin
			"2026-12-06T14:00 2026-12-07T10:00", "2026-12-06T00:30 2026-12-06T00:40", "2026-12-06T00:30 2026-12-07T00:00", "2026-12-05T00:00 2026-12-07T00:00", "2026-12-07T00:00 2026-12-12T00:00",
		}},
		{"2026-12-07T10:00:00Z", []string{ // a Monday
			"2026-12-07T14:00 2026-12-08T10:00", "2026-12-07T11:00 2026-12-07T11:10", "2026-12-07T11:00 2026-12-08T00:00", "2026-12-12T00:00 2026-12-14T00:00", "2026-12-14T00:00 2026-12-19T00:00",
		}},
	} {
		at, _ := time.Parse(time.RFC3339, tt.now)
		var got []string
		for _, s := range rangePresets(at, berlin) {
			got = append(got, s.Starts+" "+s.Ends)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("rangePresets(%s) (-want +got):\n%s", tt.now, diff)
		}
	}
}

func TestRangeText(t *testing.T) {
	v := visit{now: now(), zone: time.UTC}
	day := time.Date(2026, 12, 4, 13, 0, 0, 0, time.UTC)
	for want, ends := range map[string]time.Time{
		"Fri 4 Dec 14:00 to Sat 5 Dec 10:00, Berlin":           day.Add(20 * time.Hour),
		"Fri 4 Dec 14:00 to 14:10, Berlin":                     day.Add(10 * time.Minute),
		"Fri 4 Dec 2026 14:00 to Fri 1 Jan 2027 14:00, Berlin": day.AddDate(0, 0, 28),
	} {
		if got := v.rangeText(day, ends, "Europe/Berlin"); got != want {
			t.Errorf("rangeText() = %q, want %q", got, want)
		}
	}
}
