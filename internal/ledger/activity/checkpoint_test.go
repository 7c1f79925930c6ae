package activity_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// signer signs with a key made of one number.
type signer struct{ key ed25519.PrivateKey }

func newSigner(n byte) signer {
	return signer{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))}
}

func (s signer) PublicKey() ed25519.PublicKey     { return ed25519.PublicKey(s.key[32:]) }
func (s signer) Knows(key ed25519.PublicKey) bool { return s.PublicKey().Equal(key) }
func (s signer) Sign(message []byte) []byte       { return ed25519.Sign(s.key, message) }

func (c chain) checkpoint(t testing.TB) activity.SignedCheckpoint {
	t.Helper()
	out, err := c.record.Checkpoint(t.Context(), auth.Job(c.w, "test"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c chain) verifyWith(t testing.TB, checkpoints ...activity.SignedCheckpoint) activity.Verdict {
	t.Helper()
	v, err := c.record.Verify(t.Context(), auth.Job(c.w, "test"), checkpoints...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// cut deletes the sealed rows after index and sets the head back, as somebody with
// access to the database would.
func (c chain) cut(t testing.TB, index int) {
	t.Helper()
	storetest.Exec(t, c.Database, `DELETE FROM activity WHERE workspace = $1 AND (idx IS NULL OR idx > $2)`, c.w, index)
	storetest.Exec(t, c.Database, `
		UPDATE activity_head SET idx = $2, hash = (SELECT hash FROM activity WHERE workspace = $1 AND idx = $2) WHERE workspace = $1`, c.w, index)
}

func TestCheckpoint_knowsACutEnd(t *testing.T) {
	c := newChain(t, storetest.SQLite(t), 7)
	_, err := c.record.Checkpoint(t.Context(), auth.Job(c.w, "test"))
	storetest.Refused(t, err, "nothing_sealed")
	c.seal(t)
	early := c.checkpoint(t)
	c.add(t, time.Minute, activity.Event{Action: "user.create"})
	c.add(t, 2*time.Minute, activity.Event{Action: "user.create"})
	c.seal(t)
	late := c.checkpoint(t)
	if early.Index != 7 || late.Index != 9 || !late.At.Equal(storetest.Start()) {
		t.Errorf("checkpoints at %d and %d of %v, want 7 and 9 of the start", early.Index, late.Index, late.At)
	}
	want := activity.Verdict{Workspace: c.w, Through: 9, Checkpoint: 9}
	if diff := cmp.Diff(want, c.verifyWith(t, late, early)); diff != "" {
		t.Errorf("Verify() of a whole record (-want +got):\n%s", diff)
	}

	c.cut(t, 7)
	if v := c.verify(t); len(v.Damages) != 0 || v.Through != 7 {
		t.Errorf("Verify() of a cut record without a checkpoint = %+v, want whole through 7", v)
	}
	if v := c.verifyWith(t, early); len(v.Damages) != 0 {
		t.Errorf("Verify() with a checkpoint of what is left = %+v, want whole", v)
	}
	want = activity.Verdict{Workspace: c.w, Through: 7, Checkpoint: 9, Damages: []activity.Damage{
		{Index: 8, What: "the end was cut: the checkpoint of 2026-03-02T09:30:00.000Z tells of 2 row(s) more"},
	}}
	if diff := cmp.Diff(want, c.verifyWith(t, late, early)); diff != "" {
		t.Errorf("Verify() of a cut record (-want +got):\n%s", diff)
	}
}

func TestCheckpoint_knowsARewrittenEnd(t *testing.T) {
	c := newChain(t, storetest.SQLite(t), 7)
	c.seal(t)
	checkpoint := c.checkpoint(t)
	c.cut(t, 5)
	for i := range 4 { // the sequencer chains on, past where the checkpoint was
		c.add(t, time.Duration(i)*time.Hour, activity.Event{Action: "user.create"})
	}
	c.seal(t)
	if v := c.verify(t); len(v.Damages) != 0 || v.Through != 9 {
		t.Errorf("Verify() without the checkpoint = %+v, want whole through 9", v)
	}
	v := c.verifyWith(t, checkpoint)
	if len(v.Damages) != 1 || v.Damages[0].Index != 7 || !strings.Contains(v.Damages[0].What, "was rewritten") {
		t.Errorf("Verify() = %+v, want one damage at 7: rewritten", v)
	}
}

func TestVerify_refusesCheckpointsThatSayNothing(t *testing.T) {
	d := storetest.SQLite(t)
	c, other := newChain(t, d, 3), newChain(t, d, 3)
	c.seal(t)
	other.seal(t)
	good := c.checkpoint(t)
	for code, checkpoint := range map[string]activity.SignedCheckpoint{
		"checkpoint_of_another_workspace": other.checkpoint(t),
		"checkpoint_not_ours":             activity.SignCheckpoint(c.w, activity.Head{Index: 3, Hash: good.Hash}, good.At, newSigner(2)),
		"checkpoint_changed":              {Checkpoint: activity.Checkpoint{Workspace: c.w, Index: 2, Hash: good.Hash, At: good.At}, PublicKey: good.PublicKey, Signature: good.Signature},
	} {
		v, err := c.record.Verify(t.Context(), auth.Job(c.w, "test"), good, checkpoint)
		f := storetest.Fault(t, err, code)
		if names := storetest.FieldNames(f); len(names) != 1 || names[0] != "checkpoint" || v.Through != 0 {
			t.Errorf("%s names %v and gives %+v, want checkpoint and nothing", code, names, v)
		}
	}
}

func TestCheckpoint_strangers(t *testing.T) {
	d := storetest.SQLite(t)
	c := newChain(t, d, 3)
	c.seal(t)
	storetest.Strangers(t, d, c.w, storetest.Stranger{Action: "activity.checkpoint", Need: auth.ActivitiesRead, Call: func(by auth.Caller) error {
		out, err := c.record.Checkpoint(t.Context(), by)
		if len(out.Signature) != 0 {
			t.Errorf("Checkpoint() = %+v for %s", out, by.Name)
		}
		return err
	}})
}

func sample() activity.SignedCheckpoint {
	w, _ := id.Parse[id.KindWorkspace]("ws_01jd3v9b8eexav2f6hqdr3wzkt")
	return activity.SignCheckpoint(w, activity.Head{Index: 4711, Hash: bytes.Repeat([]byte{0xab}, 32)}, time.Date(2026, 12, 4, 14, 0, 0, 0, time.UTC), newSigner(1))
}

// TestCheckpoint_text holds the form: others check signatures over it.
func TestCheckpoint_text(t *testing.T) {
	want := "keyhold/checkpoint/v1\nworkspace ws_01jd3v9b8eexav2f6hqdr3wzkt\nindex 4711\nhash " + strings.Repeat("ab", 32) + "\nat 2026-12-04T14:00:00.000Z\n"
	c := sample()
	if got := string(c.Text()); got != want {
		t.Errorf("Text() = %q, want %q", got, want)
	}
	if !ed25519.Verify(newSigner(1).PublicKey(), []byte(want), c.Signature) {
		t.Error("the signature is not one over the text")
	}
}

func marshal(t testing.TB, c activity.SignedCheckpoint) []byte {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestParseCheckpoint(t *testing.T) {
	raw := string(marshal(t, sample()))
	got, err := activity.ParseCheckpoint([]byte(raw))
	if diff := cmp.Diff(sample(), got); err != nil || diff != "" {
		t.Errorf("ParseCheckpoint() error %v (-want +got):\n%s", err, diff)
	}
	for what, change := range map[string]func(string) string{
		"not the JSON":       func(s string) string { return s[1:] },
		"something follows":  func(s string) string { return s + "{}" },
		"version":            func(s string) string { return strings.Replace(s, "/v1", "/v2", 1) },
		"workspace":          func(s string) string { return strings.Replace(s, "ws_", "user_", 1) },
		"index":              func(s string) string { return strings.Replace(s, "4711", "0", 1) },
		"time":               func(s string) string { return strings.Replace(s, ".000Z", "Z", 1) },
		"hash":               func(s string) string { return strings.Replace(s, "abab", "", 1) },
		"public key":         func(s string) string { return strings.Replace(s, `"public_key":"`, `"public_key":"AAAA`, 1) },
		"signature":          func(s string) string { return strings.Replace(s, `"signature":"`, `"signature":"!`, 1) },
		"longer than 4096":   func(s string) string { return s + strings.Repeat(" ", 4096) },
		"not the JSON of a ": func(s string) string { return strings.Replace(s, `{`, `{"more":1,`, 1) },
	} {
		if _, err := activity.ParseCheckpoint([]byte(change(raw))); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("ParseCheckpoint() = %v, want an error about %q", err, what)
		}
	}
}

func TestParseCheckpoints(t *testing.T) {
	raw := marshal(t, sample())
	var wide bytes.Buffer
	if err := json.Indent(&wide, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{string(raw): 1, string(raw) + "\n\n" + string(raw) + "\r\n": 2, wide.String(): 1} {
		got, err := activity.ParseCheckpoints([]byte(text))
		if err != nil || len(got) != want {
			t.Errorf("ParseCheckpoints(%q) = %d, %v, want %d", text, len(got), err, want)
		}
	}
	for text, want := range map[string]string{"": "no checkpoint", "\n\n": "no checkpoint", string(raw) + "\nx\n": "line 2: "} {
		if _, err := activity.ParseCheckpoints([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCheckpoints(%q) = %v, want an error with %q", text, err, want)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	raw := marshal(f, sample())
	f.Add(raw)
	f.Add([]byte(`{}`))
	f.Add([]byte(strings.Replace(string(raw), "4711", "9223372036854775807", 1)))
	f.Add([]byte(strings.Replace(string(raw), "2026", "0000", 1)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := activity.ParseCheckpoint(raw)
		if err != nil {
			return
		}
		again, err := activity.ParseCheckpoint(marshal(t, c))
		if err != nil || !bytes.Equal(c.Text(), again.Text()) || !bytes.Equal(c.Signature, again.Signature) || !bytes.Equal(c.PublicKey, again.PublicKey) {
			t.Errorf("read again: %v, %q, want %q", err, again.Text(), c.Text())
		}
		if lines := bytes.Count(c.Text(), []byte("\n")); lines != 5 {
			t.Errorf("Text() has %d lines, want 5: %q", lines, c.Text())
		}
	})
}

func TestExport_takesAllPagesAndSaysWho(t *testing.T) {
	c := newChain(t, storetest.SQLite(t), 450)
	by := storetest.APIKey(t, c.Store, c.w, auth.ActivitiesRead)
	x, err := c.record.Export(t.Context(), by, activity.Query{Action: "user.update"}, activity.JSONLines)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	flushes := 0
	if err := x.WriteTo(t.Context(), &out, func() error { flushes++; return nil }); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	// The chain's clock stands at the start: the line of that moment is in, later ones are not.
	if len(lines) != 0 && lines[0] != "" {
		t.Errorf("%d lines up to the start, want none: %s", len(lines), lines[0])
	}
	line := storetest.Activity(t, c.Store, c.w, "activity.export")
	if line.Detail != "jsonl" || line.Actor.ID != string(by.APIKey) || line.Outcome != activity.Success {
		t.Errorf("the export's line = %+v, want who took what", line)
	}
	if flushes != 1 {
		t.Errorf("flushed %d times, want once for one page", flushes)
	}
}

func TestExport_pages(t *testing.T) {
	c := newChain(t, storetest.SQLite(t), 1)
	by := storetest.Administrator(t, c.Store, c.w, "reader", auth.ActivitiesRead)
	for i := range 450 {
		c.add(t, -time.Duration(i)*time.Second, activity.Event{Action: "user.update", Target: activity.Party{Type: "user", ID: "user_1", Name: fmt.Sprint("=cmd|", i, `,"x"`)}})
	}
	for format, first := range map[activity.Format]string{activity.CSV: "id,index,at,", activity.JSONLines: `{"id":"act_`} {
		x, err := c.record.Export(t.Context(), by, activity.Query{Action: "user.update"}, format)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		flushes := 0
		if err := x.WriteTo(t.Context(), &out, func() error { flushes++; return nil }); err != nil {
			t.Fatal(err)
		}
		want := 450
		if format == activity.CSV {
			want++ // the header
			if got := out.String(); strings.Contains(got, ",\"=cmd") || !strings.Contains(got, `,"'=cmd|0,""x""",`) {
				t.Errorf("a name that begins with = is not made harmless: %.400s", got)
			}
		}
		if got := strings.Count(out.String(), "\n"); got != want || flushes != 3 || !strings.HasPrefix(out.String(), first) {
			t.Errorf("%s: %d lines in %d pages, want %d in 3, beginning with %s: %.80s", format, got, flushes, want, first, out.String())
		}
	}
	_, err := c.record.Export(t.Context(), by, activity.Query{}, "xml")
	storetest.Refused(t, err, "invalid_fields")
}

func TestExport_endsWithTheCallersStanding(t *testing.T) {
	d := storetest.SQLite(t)
	c := newChain(t, d, 1)
	for range 250 {
		c.add(t, -time.Second, activity.Event{Action: "user.update"})
	}
	by := storetest.Administrator(t, d.Store, c.w, "leaver", auth.ActivitiesRead)
	x, err := c.record.Export(t.Context(), by, activity.Query{}, activity.CSV)
	if err != nil {
		t.Fatal(err)
	}
	if events, err := x.Next(t.Context()); err != nil || len(events) != 200 {
		t.Fatalf("Next() = %d, %v, want 200", len(events), err)
	}
	storetest.Revoke(t, d, by)
	if events, err := x.Next(t.Context()); err == nil || len(events) != 0 {
		t.Errorf("Next() after the session ended = %d lines, %v, want a refusal", len(events), err)
	}
}

func TestRecordMore_strangers(t *testing.T) {
	d := storetest.SQLite(t)
	c := newChain(t, d, 1)
	line := storetest.Activities(t, d.Store, c.w, "")[0]
	storetest.Strangers(t, d, c.w, storetest.Stranger{Action: "activity.find", Need: auth.ActivitiesRead, Call: func(by auth.Caller) error {
		_, err := c.record.Find(t.Context(), by, line.ID)
		return err
	}})
	storetest.Strangers(t, d, c.w, storetest.Stranger{Action: "activity.export", Need: auth.ActivitiesRead, Call: func(by auth.Caller) error {
		_, err := c.record.Export(t.Context(), by, activity.Query{}, activity.CSV)
		return err
	}})
	storetest.Strangers(t, d, c.w, storetest.Stranger{Action: "activity.follow", Need: auth.Signed, Call: func(by auth.Caller) error {
		_, err := c.record.Changes(t.Context(), by, storetest.Start())
		return err
	}})
	got, err := c.record.Find(t.Context(), auth.Job(c.w, "test"), line.ID)
	if diff := cmp.Diff(line, got); err != nil || diff != "" {
		t.Errorf("Find() error %v (-want +got):\n%s", err, diff)
	}
	other := newChain(t, d, 1)
	for _, a := range []id.Activity{line.ID, id.New[id.KindActivity](storetest.Start())} {
		_, err := c.record.Find(t.Context(), auth.Job(other.w, "test"), a)
		storetest.Refused(t, err, "activity_not_found")
	}
}

func TestChanges(t *testing.T) {
	d := storetest.SQLite(t)
	c := newChain(t, d, 1)
	other := newChain(t, d, 1)
	other.add(t, 0, activity.Event{Action: "user.create"})
	ada := activity.Party{Type: "user", ID: "user_1", Name: "Ada"}
	for _, ago := range []int{11, 10, 5, 0} {
		c.add(t, -time.Duration(ago)*time.Second, activity.Event{Action: fmt.Sprint("user.", ago), Target: ada})
	}
	reader, lesser := storetest.Administrator(t, d.Store, c.w, "reader", auth.ActivitiesRead), storetest.Administrator(t, d.Store, c.w, "lesser", auth.UsersRead)
	changes := func(by auth.Caller, since time.Duration) (actions []string, all []activity.Change) {
		t.Helper()
		all, err := c.record.Changes(t.Context(), by, storetest.Start().Add(since))
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			if strings.HasPrefix(one.Action, "user.") {
				actions = append(actions, one.Action)
			}
		}
		return actions, all
	}
	for since, want := range map[time.Duration][]string{
		-time.Hour:       {"user.10", "user.5", "user.0"}, // not further back than the reach
		-5 * time.Second: {"user.5", "user.0"},
		0:                {"user.0"},
		time.Second:      nil,
	} {
		if got, _ := changes(reader, since); !cmp.Equal(want, got) {
			t.Errorf("Changes(%v) = %v, want %v", since, got, want)
		}
	}
	_, all := changes(reader, -10*time.Second)
	if got := all[0]; got.Target != ada || got.Actor.Name != "Robot" || got.Outcome != activity.Success || got.ID == "" || !got.At.Equal(storetest.Start().Add(-10*time.Second)) {
		t.Errorf("the first change = %+v, want it with its names", got)
	}
	if _, all = changes(lesser, -10*time.Second); all[0].Target.Name != "" || all[0].Actor.Name != "" || all[0].Target.ID != "user_1" {
		t.Errorf("the first change without activities.read = %+v, want it without names", all[0])
	}
	user := lesser
	user.Kind = auth.User
	if got, _ := changes(user, -10*time.Second); got != nil {
		t.Errorf("Changes() for a user = %v, want none", got)
	}
	storetest.Revoke(t, d, lesser)
	if _, err := c.record.Changes(t.Context(), user, storetest.Start()); err == nil {
		t.Error("Changes() for a user whose session ended: want a refusal, got none")
	}
	for range 205 {
		c.add(t, 0, activity.Event{Action: "user.many"})
	}
	if _, all = changes(reader, 0); len(all) != activity.ChangesLimit {
		t.Errorf("%d changes at once, want %d", len(all), activity.ChangesLimit)
	}
}

func TestList_filters(t *testing.T) {
	d := storetest.SQLite(t)
	c := newChain(t, d, 1)
	storetest.Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, e := range []activity.Event{
			{Action: "session.open", Actor: activity.Party{Type: "user", ID: "user_1"}, RPID: "example.org", Outcome: activity.Failed},
			{Action: "session.open", Actor: activity.Party{Type: "user", ID: "user_2"}, Target: activity.Party{Type: "user", ID: "user_1"}, Outcome: activity.Refused},
		} {
			if err := activity.Append(ctx, tx, auth.Job(c.w, "test"), e, storetest.Start()); err != nil {
				return err
			}
		}
		return nil
	})
	for want, q := range map[string]activity.Query{
		"user_1": {Actor: "user_1"},
		"user_2": {Target: "user_1"},
	} {
		p, err := c.record.List(t.Context(), auth.Job(c.w, "test"), q)
		if err != nil || len(p.Items) != 1 || p.Items[0].Actor.ID != want {
			t.Errorf("List(%+v) = %+v, %v, want the line of %s", q, p.Items, err, want)
		}
	}
	for _, q := range []activity.Query{{RPID: "example.org"}, {Outcome: activity.Failed}, {Outcome: activity.Refused}} {
		p, err := c.record.List(t.Context(), auth.Job(c.w, "test"), q)
		if err != nil || len(p.Items) != 1 {
			t.Errorf("List(%+v) = %d, %v, want one line", q, len(p.Items), err)
		}
	}
	p, err := c.record.List(t.Context(), auth.Job(c.w, "test"), activity.Query{Outcome: activity.Success})
	if err != nil || len(p.Items) != 1 || p.Items[0].Action != "workspace.create" {
		t.Errorf("List(success) = %+v, %v, want the workspace's line", p.Items, err)
	}
}
