package digitalkey

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/outbox"
	"github.com/keyhold/keyhold/internal/ledger/signal"
)

// Config is what the room is made from.
type Config struct {
	Store   tx.Runner[Tx]
	Clock   clock.Clock
	Sealing SealingReader
}

// Service is the room's door. Use NewService.
type Service struct {
	gate    activity.Gate[Tx]
	sealing SealingReader
}

// NewService returns the room.
func NewService(c Config) *Service {
	return &Service{gate: activity.Gate[Tx]{Store: c.Store, Clock: c.Clock}, sealing: c.Sealing}
}

// Unknown is the answer for a key that is not there or not to be known.
func Unknown() *fault.Error {
	return fault.NotFound("digital_key_not_found", "This digital key does not exist.")
}

func isOver(s Status) *fault.Error {
	if s == Cancelled {
		return fault.Conflict("digital_key_over", "This digital key was cancelled.")
	}
	return fault.Conflict("digital_key_over", "This digital key has expired.")
}

func userSuspended() *fault.Error {
	return fault.Conflict("user_suspended", "This user is suspended: activate them first.", fault.Field{Name: "user", Message: "is suspended"})
}

// draft is what an act knows before its transaction: what it needs to seal something and
// to say what doors are told.
type draft struct {
	workspace id.Workspace
	sealing   seal.Key
	key       DigitalKey // zero if there is none, or none was asked for
	locks     []Lock     // those that are there
	secrets   map[id.Lock]secret.Bytes
}

// draftOf reads the draft for locks, or for a key and its locks if one is named. Who may
// not act learns nothing of it: the gate comes afterwards.
func (s *Service) draftOf(ctx context.Context, w id.Workspace, locks []id.Lock, k id.DigitalKey) (draft, error) {
	d := draft{workspace: w}
	if w == "" {
		return d, nil
	}
	err := s.gate.Store.Read(ctx, func(ctx context.Context, t Tx) error {
		d.key, d.locks = DigitalKey{}, nil
		if k != "" {
			key, found, err := t.FindDigitalKey(ctx, w, k)
			if err != nil || !found {
				return err
			}
			d.key, locks = key, key.lockIDs()
		}
		for _, l := range locks {
			lock, found, err := t.FindKeyLock(ctx, w, l, s.gate.Clock.Now())
			if err != nil {
				return err
			}
			if found {
				d.locks = append(d.locks, lock)
			}
		}
		return nil
	})
	if err != nil || len(d.locks) == 0 {
		return d, err
	}
	if d.sealing, err = s.sealing.SealingOf(ctx, w); err != nil {
		return d, err
	}
	d.secrets = map[id.Lock]secret.Bytes{}
	for _, l := range d.locks {
		if d.secrets[l.ID], err = d.sealing.Open(l.SecretSealed, grant.SecretIdentity(string(w), string(l.ID))); err != nil {
			return d, err
		}
	}
	return d, nil
}

// kept returns the marks of the key that the draft is of, as they stand.
func (d draft) kept() (pin, card mark, err error) {
	k := d.key
	if len(k.PINSealed) > 0 {
		text, err := d.sealing.Open(k.PINSealed, PINIdentity(k.Workspace, k.User, k.ID))
		if err != nil {
			return pin, card, err
		}
		pin = mark{text: text, tags: d.tags(text, grant.PINTag), sealed: k.PINSealed}
	}
	if len(k.CardSealed) > 0 {
		text, err := d.sealing.Open(k.CardSealed, CardIdentity(k.Workspace, k.User, k.ID))
		if err != nil {
			return pin, card, err
		}
		if card, err = d.cardMark(k.User, k.ID, text); err != nil {
			return pin, card, err
		}
		card.sealed = k.CardSealed
	}
	return pin, card, nil
}

// isStale says whether the key has another PIN or card than when the draft was made.
func (d draft) isStale(k DigitalKey) bool {
	return !bytes.Equal(d.key.PINSealed, k.PINSealed) || !bytes.Equal(d.key.CardSealed, k.CardSealed) || d.key.Revision != k.Revision
}

// errStale undoes a transaction whose draft is of another revision than the key.
var errStale = errors.New("the key was changed while the act was prepared")

// staleTries is how often an act is prepared anew.
const staleTries = 5

// again runs an act that may find its draft stale.
func again(do func() error) error {
	for range staleTries - 1 {
		if err := do(); !errors.Is(err, errStale) {
			return err
		}
	}
	if err := do(); !errors.Is(err, errStale) {
		return err
	}
	return fault.Precondition()
}

// lockIDs returns the ids of the key's locks in the order in which they are locked.
func (k DigitalKey) lockIDs() []id.Lock {
	out := make([]id.Lock, 0, len(k.Locks))
	for _, l := range k.Locks {
		out = append(out, l.ID)
	}
	slices.Sort(out)
	return out
}

// party is the key in the record.
func (k DigitalKey) party() activity.Party {
	name := k.Description
	if name == "" && len(k.Locks) > 0 {
		name = k.Locks[0].Name
	}
	return activity.Party{Type: "digital_key", ID: string(k.ID), Name: name}
}

// grantAt is what the lock's controller is told of the key. Weekly hours are told until
// k.ExpandedUntil.
func (k DigitalKey) grantAt(l id.Lock, pin, card mark, now time.Time) grant.Grant {
	g := grant.Grant{ID: grant.ID(k.ID.Bytes()), NotBefore: k.StartsAt.Unix(), NotAfter: k.ExpiresAt.Unix()}
	if k.Has(PIN) {
		tag := pin.tags[l]
		g.Kinds, g.PIN = g.Kinds|grant.ByPIN, &tag
	}
	if k.Has(App) {
		g.Kinds |= grant.ByApp
	}
	if k.Has(Keycard) {
		g.Kinds |= grant.ByCard
		if tag, known := card.tags[l]; known {
			g.Card = &tag
		}
	}
	if k.SurvivesLease {
		g.Flags |= grant.SurvivesLease
	}
	if len(k.Weekly) > 0 {
		zone, _ := zoneOf(k.Timezone) // it was looked up when the key was made
		g.Weekly, g.Windows = true, Expand(k.Weekly, zone, latest(k.StartsAt, now), k.ExpandedUntil)
	}
	return g
}

// expandedUntil is until when a door is told the key's weekly hours, if it is told now.
func (k DigitalKey) expandedUntil(now time.Time) time.Time {
	if len(k.Weekly) == 0 {
		return time.Time{}
	}
	return earliest(k.ExpiresAt, now.Add(Horizon).Truncate(time.Second))
}

// act is one act in its transaction.
type act struct {
	t        Tx
	by       auth.Caller
	attempt  activity.Attempt
	standing auth.Standing
	now      time.Time
	user     User
	old      DigitalKey
}

func attemptOn(action string, need auth.Permission, k id.DigitalKey) activity.Attempt {
	return activity.Attempt{Action: action, Need: need, Target: activity.Party{Type: "digital_key", ID: string(k)}}
}

// begin takes the latch under which whose PIN and card is whose is decided, and what doors
// are told. Whoever waited for it may have lost their rights meanwhile, so the caller's
// standing is read anew behind it.
func begin(ctx context.Context, t Tx, by auth.Caller, attempt activity.Attempt, now time.Time) (*act, *fault.Error, error) {
	a := &act{t: t, by: by, attempt: attempt, now: now}
	err := t.Latch(ctx, string(by.Workspace)+"/pins")
	if err != nil {
		return nil, nil, err
	}
	if a.standing, err = t.CallerStanding(ctx, by, now); err != nil {
		return nil, nil, err
	}
	if f := auth.Check(by, a.standing, attempt.Need); f != nil {
		return nil, f, a.record(ctx, f.Code)
	}
	return a, nil, nil
}

// beginKey is begin for an act on one key, which it holds.
func beginKey(ctx context.Context, t Tx, by auth.Caller, attempt activity.Attempt, k id.DigitalKey, now time.Time) (*act, *fault.Error, error) {
	a, f, err := begin(ctx, t, by, attempt, now)
	if f != nil || err != nil {
		return nil, f, err
	}
	f, err = a.hold(ctx, k)
	return a, f, err
}

// hold locks the key and makes it what the act is on.
func (a *act) hold(ctx context.Context, k id.DigitalKey) (*fault.Error, error) {
	old, found, err := a.t.LockDigitalKey(ctx, a.by.Workspace, k)
	if err != nil {
		return nil, err
	}
	if !found {
		return Unknown(), nil
	}
	a.old, a.attempt.Target = old, old.party()
	a.user, _, err = a.t.FindDigitalKeyUser(ctx, a.by.Workspace, old.User)
	return nil, err
}

// record writes that the act was refused.
func (a *act) record(ctx context.Context, reason string) error {
	return activity.Refuse(ctx, a.t, a.by, a.attempt, reason, a.now)
}

func (a *act) append(ctx context.Context, action, detail string, k DigitalKey) error {
	return activity.Append(ctx, a.t, a.by, activity.Event{Workspace: k.Workspace, Action: action, Detail: detail, Target: k.party(), User: k.User}, a.now)
}

// findLocks returns those of the locks that are there.
func (a *act) findLocks(ctx context.Context, ids []id.Lock) ([]Lock, error) {
	return eachLock(ctx, a.by.Workspace, ids, a.now, a.t.FindKeyLock)
}

// holdLocks holds the rows of locks until the transaction ends, in the one order, and
// returns those that are there.
func (a *act) holdLocks(ctx context.Context, ids []id.Lock) ([]Lock, error) {
	return eachLock(ctx, a.by.Workspace, ids, a.now, a.t.LockKeyLock)
}

func eachLock(ctx context.Context, w id.Workspace, ids []id.Lock, now time.Time, read func(context.Context, id.Workspace, id.Lock, time.Time) (Lock, bool, error)) ([]Lock, error) {
	var out []Lock
	for _, l := range slices.Sorted(slices.Values(ids)) {
		lock, found, err := read(ctx, w, l, now)
		if err != nil {
			return nil, err
		}
		if found {
			out = append(out, lock)
		}
	}
	return out, nil
}

// tellDoors writes what the doors of the key should know of it.
func (a *act) tellDoors(ctx context.Context, k DigitalKey, pin, card mark) error {
	for _, l := range k.lockIDs() {
		if err := a.t.PutGrant(ctx, k.Workspace, l, k.ID, k.grantAt(l, pin, card, a.now), a.now); err != nil {
			return err
		}
	}
	a.signal(k)
	return nil
}

// signal wakes who waits for news of the key.
func (a *act) signal(k DigitalKey) {
	topics := []signal.Topic{signal.Of(k.Workspace, signal.User, string(k.User))}
	for _, l := range k.lockIDs() {
		topics = append(topics, signal.Of(k.Workspace, signal.Lock, string(l)))
	}
	a.t.Signal(topics...)
}

// reserve says until when what a lock knew before is still to be reckoned with, and since
// when. The zero reserve is for what it knew nothing of.
type reserve map[id.Lock]time.Time

// keepTags writes whose the mark is at the key's locks.
func (a *act) keepTags(ctx context.Context, k DigitalKey, m mark, kind Type, before reserve) error {
	for _, l := range k.lockIDs() {
		tag := m.tagOf(k, l, kind)
		if until, held := before[l]; held {
			tag.From, tag.Until = earliest(tag.From, a.old.StartsAt), latest(tag.Until, until)
		}
		if err := a.t.InsertTag(ctx, tag); err != nil {
			return err
		}
	}
	return nil
}

// safeAt is when each of the locks opens no more in any case by what it may know of the key:
// as it stands, or as it was before a change that the lock has not confirmed.
func (a *act) safeAt(ctx context.Context, k DigitalKey, locks []Lock) (map[id.Lock]time.Time, error) {
	receipts, err := a.t.ListReceipts(ctx, k.Workspace, k.ID, a.now)
	if err != nil {
		return nil, err
	}
	out := map[id.Lock]time.Time{}
	for _, l := range locks {
		safe := k.ExpiresAt
		switch {
		case !l.Enrolled:
			safe = a.now
		case !k.SurvivesLease:
			safe = earliest(safe, l.LeaseUntil)
		}
		for _, r := range receipts {
			if r.Lock == l.ID && r.AppliedAt.IsZero() && l.Enrolled {
				safe = latest(safe, r.AtLatest)
			}
		}
		out[l.ID] = latest(safe, a.now)
	}
	return out, nil
}

// survivors answers a Conflict if one of the locks has as many keys that survive its lease
// as it may have.
func (a *act) survivors(ctx context.Context, k DigitalKey) (*fault.Error, error) {
	if !k.SurvivesLease {
		return nil, nil
	}
	for _, l := range k.Locks {
		n, err := a.t.CountSurvivors(ctx, k.Workspace, l.ID, a.now, k.ID)
		if err != nil {
			return nil, err
		}
		if n >= MaxSurvivors {
			return fault.Conflict("too_many_survivors", "The lock “"+l.Name+"” has as many keys that survive its lease as it may have."), nil
		}
	}
	return nil, nil
}

// byName sorts locks as a key shows them.
func byName(all []Lock) []LockName {
	out := make([]LockName, 0, len(all))
	for _, l := range all {
		out = append(out, LockName{ID: l.ID, Name: l.Name, Timezone: l.Timezone})
	}
	slices.SortFunc(out, func(x, y LockName) int {
		return cmp.Or(cmp.Compare(fold(x.Name), fold(y.Name)), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// letter is what mails tell of the key.
func letter(k DigitalKey, locks []Lock) outbox.DigitalKey {
	out := outbox.DigitalKey{
		ID: string(k.ID), Description: k.Description, Timezone: k.Timezone, StartsAt: k.StartsAt.UnixMilli(), ExpiresAt: k.ExpiresAt.UnixMilli(),
	}
	places := map[id.Lock]string{}
	for _, l := range locks {
		places[l.ID] = l.Place
	}
	for _, l := range k.Locks {
		out.Doors = append(out.Doors, outbox.DigitalKeyDoor{Name: l.Name, Place: places[l.ID], Timezone: l.Timezone})
	}
	for _, h := range k.Weekly {
		hours := outbox.DigitalKeyHours{From: h.From, To: h.To}
		for _, d := range h.Days {
			hours.Days = append(hours.Days, int(d))
		}
		out.Hours = append(out.Hours, hours)
	}
	for _, t := range k.Types {
		out.Types = append(out.Types, string(t))
	}
	return out
}

// mail sends the holder a mail, of no use after the key's end.
func (a *act) mail(ctx context.Context, k DigitalKey, p outbox.Payload) error {
	if err := a.t.MarkUserInvited(ctx, k.Workspace, k.User); err != nil {
		return err
	}
	return outbox.PutUntil(ctx, a.t, k.Workspace, p, a.now, earliest(k.ExpiresAt, a.now.Add(outbox.Lifetime)))
}

// mailedPIN is the PIN for a mail, nil if the mail is not to say it.
func (m mark) mailedPIN(k DigitalKey) *outbox.DigitalKeyPIN {
	if !k.Notify.ShowPIN || len(m.mailed) == 0 {
		return nil
	}
	return &outbox.DigitalKeyPIN{WorkspaceID: string(k.Workspace), KeyID: string(k.ID), Seal: m.seal, Sealed: m.mailed}
}
