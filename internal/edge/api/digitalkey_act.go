package api

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

type listUserDigitalKeysInput struct {
	UserPath
	ListInput
}

func (a *restAPI) listUserDigitalKeys(ctx context.Context, by auth.Caller, in *listUserDigitalKeysInput) (*listOutput[DigitalKeyBody], error) {
	name := queryName("user-digital-keys", in.ID)
	r, err := a.pageOf(ctx, by, in.ListInput, "", name, nil)
	if err != nil {
		return nil, err
	}
	p, err := a.c.DigitalKeys.ListOf(ctx, by, in.user(), digitalkey.Query{Page: r})
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, a.renderDigitalKey)
}

func (a *restAPI) createDigitalKey(ctx context.Context, by auth.Caller, in *createDigitalKeyInput) (*issuedDigitalKeyOutput, error) {
	n, f := in.Body.newKey()
	if f != nil {
		return nil, f
	}
	issued, err := a.c.DigitalKeys.Create(ctx, by, n)
	if err != nil {
		return nil, err
	}
	return a.issuedDigitalKey(issued, false), nil
}

func (a *restAPI) repeatCreateDigitalKey(ctx context.Context, as auth.Caller, _ *createDigitalKeyInput, note string) (*issuedDigitalKeyOutput, error) {
	d, err := a.c.DigitalKeys.Find(ctx, as, DigitalKeyPath{ID: note}.digitalKey())
	if err != nil {
		return nil, err
	}
	return a.issuedDigitalKey(digitalkey.Issued{Key: d.Key}, d.Key.PINLength > 0), nil
}

// outlookBody is what a key would be.
type outlookBody struct {
	StartsAt  time.Time         `json:"starts_at"`
	ExpiresAt time.Time         `json:"expires_at"`
	Timezone  string            `json:"timezone"`
	Notes     []string          `json:"notes" nullable:"false" doc:"start_in_gap, start_in_fold, end_in_gap, end_in_fold, dst_inside: what the clocks do there."`
	Locks     []lockOutlookBody `json:"locks" nullable:"false"`
}

type lockOutlookBody struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Online       bool       `json:"online"`
	Enrolled     bool       `json:"enrolled"`
	LeaseSeconds int        `json:"lease_seconds"`
	LeaseUntil   *time.Time `json:"lease_until"`
	PINs         int        `json:"pins" doc:"How many PINs of that length open it in that time, this one included."`
	Odds         int        `json:"odds" doc:"A stranger's five free tries open it once in so many times; 0 without a PIN."`
}

type outlookOutput struct{ Body outlookBody }

func (a *restAPI) previewDigitalKey(ctx context.Context, by auth.Caller, in *createDigitalKeyInput) (*outlookOutput, error) {
	n, f := in.Body.newKey()
	if f != nil {
		return nil, f
	}
	o, err := a.c.DigitalKeys.Preview(ctx, by, n)
	if err != nil {
		return nil, err
	}
	out := &outlookOutput{Body: outlookBody{
		StartsAt: o.Span.StartsAt, ExpiresAt: o.Span.ExpiresAt, Timezone: o.Span.Timezone, Notes: append([]string{}, o.Span.Notes...), Locks: make([]lockOutlookBody, 0, len(o.Locks)),
	}}
	for _, l := range o.Locks {
		out.Body.Locks = append(out.Body.Locks, lockOutlookBody{
			ID: string(l.Lock.ID), Name: l.Lock.Name, Online: l.Online, Enrolled: l.Enrolled, LeaseSeconds: int(l.Lease / time.Second), LeaseUntil: optionalTime(l.LeaseUntil),
			PINs: l.PINs, Odds: l.Odds,
		})
	}
	return out, nil
}

// repeatPreview looks again: nothing was made.
func (a *restAPI) repeatPreview(ctx context.Context, as auth.Caller, in *createDigitalKeyInput, _ string) (*outlookOutput, error) {
	return a.previewDigitalKey(ctx, as, in)
}

func (a *restAPI) getDigitalKey(ctx context.Context, by auth.Caller, in *DigitalKeyPath) (*digitalKeyOutput, error) {
	d, err := a.c.DigitalKeys.Find(ctx, by, in.digitalKey())
	if err != nil {
		return nil, err
	}
	return a.digitalKeyAnswer(d), nil
}

type patchDigitalKeyInput struct {
	DigitalKeyPath
	IfMatch string `header:"If-Match" doc:"Change the key only if this is its ETag."`
	Body    struct {
		Description   patchText    `json:"description,omitempty"`
		StartsAt      *string      `json:"starts_at,omitempty" doc:"With expires_at."`
		ExpiresAt     *string      `json:"expires_at,omitempty" doc:"With starts_at."`
		Timezone      *string      `json:"timezone,omitempty" doc:"With starts_at and expires_at."`
		WeeklyHours   *[]HoursBody `json:"weekly_hours,omitempty"`
		Role          *string      `json:"role,omitempty" enum:"ROLE-USER,ROLE-ADMIN"`
		Types         *[]string    `json:"types,omitempty"`
		PIN           patchText    `json:"pin,omitempty" doc:"Another PIN; null or empty to have one generated."`
		Keycard       *string      `json:"keycard_number,omitempty" doc:"Another card's number; empty takes the card away."`
		SurvivesLease *bool        `json:"survives_lease,omitempty"`
		Notify        *notifyInput `json:"notify,omitempty"`
	}
}

func (in *patchDigitalKeyInput) change() (digitalkey.Change, *fault.Error) {
	b := in.Body
	c := digitalkey.Change{Description: b.Description.value, SurvivesLease: b.SurvivesLease, CardNumber: b.Keycard}
	if b.StartsAt != nil || b.ExpiresAt != nil || b.Timezone != nil {
		if b.StartsAt == nil || b.ExpiresAt == nil {
			return c, fieldFault("starts_at", "and expires_at are changed together")
		}
		zone := ""
		if b.Timezone != nil {
			zone = *b.Timezone
		}
		span, f := spanOf(*b.StartsAt, *b.ExpiresAt, zone)
		if f != nil {
			return c, f
		}
		c.Span = &span
	}
	if b.WeeklyHours != nil {
		hours, f := readHours(*b.WeeklyHours)
		if f != nil {
			return c, f
		}
		c.Weekly = &hours
	}
	if b.Role != nil {
		c.Role = new(digitalkey.Role(*b.Role))
	}
	if b.Types != nil {
		c.Types = new(keyTypes(*b.Types))
	}
	if b.PIN.value != nil {
		c.PIN = new(secret.FromString(*b.PIN.value))
	}
	if b.Notify != nil {
		c.Notify = new(digitalkey.Notify(*b.Notify))
	}
	return c, nil
}

func (a *restAPI) patchDigitalKey(ctx context.Context, by auth.Caller, in *patchDigitalKeyInput) (*issuedDigitalKeyOutput, error) {
	c, f := in.change()
	if f != nil {
		return nil, f
	}
	issued, err := a.c.DigitalKeys.Change(ctx, by, in.digitalKey(), c, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return a.issuedDigitalKey(issued, false), nil
}

func (a *restAPI) cancelDigitalKey(ctx context.Context, by auth.Caller, in *DigitalKeyPath) (*digitalKeyOutput, error) {
	d, err := a.c.DigitalKeys.Cancel(ctx, by, in.digitalKey())
	if err != nil {
		return nil, err
	}
	return a.digitalKeyAnswer(d), nil
}

func (a *restAPI) repeatCancel(ctx context.Context, as auth.Caller, _ *DigitalKeyPath, note string) (*digitalKeyOutput, error) {
	return a.getDigitalKey(ctx, as, &DigitalKeyPath{ID: note})
}

type manyDigitalKeysInput struct {
	Body struct {
		IDs []string `json:"ids" nullable:"false" minItems:"1" maxItems:"200" doc:"Ids of digital keys: dk_…"`
	}
}

func digitalKeyIDs(texts []string) []id.DigitalKey {
	out := make([]id.DigitalKey, len(texts))
	for i, text := range texts {
		out[i] = DigitalKeyPath{ID: text}.digitalKey()
	}
	return out
}

func digitalKeysAnswer(texts []string, rows []digitalkey.Outcome) *outcomesOutput {
	out := &outcomesOutput{}
	out.Body.Data = make([]outcomeBody, len(rows))
	for i, row := range rows {
		f, _ := fault.As(row.Fault)
		out.Body.Data[i] = renderOutcome(texts[i], f)
	}
	return out
}

func (a *restAPI) cancelDigitalKeys(ctx context.Context, by auth.Caller, in *manyDigitalKeysInput) (*outcomesOutput, error) {
	rows, err := a.c.DigitalKeys.CancelMany(ctx, by, digitalKeyIDs(in.Body.IDs))
	if err != nil {
		return nil, err
	}
	return digitalKeysAnswer(in.Body.IDs, rows), nil
}

func (a *restAPI) repeatCancelMany(_ context.Context, _ auth.Caller, in *manyDigitalKeysInput, note string) (*outcomesOutput, error) {
	return digitalKeysAnswer(in.Body.IDs, digitalkey.FromNote(digitalKeyIDs(in.Body.IDs), note)), nil
}

type deleteDigitalKeyInput struct {
	DigitalKeyPath
	IfMatch string `header:"If-Match" doc:"Delete the key only if this is its ETag."`
}

func (a *restAPI) deleteDigitalKey(ctx context.Context, by auth.Caller, in *deleteDigitalKeyInput) (*struct{}, error) {
	return nil, a.c.DigitalKeys.Delete(ctx, by, in.digitalKey(), revisionOf(in.IfMatch))
}

// ReceiptBody says whether a change is in force at a lock. It is exported for huma, as
// ListInput is.
type ReceiptBody struct {
	Lock      lockNameBody `json:"lock"`
	Version   int64        `json:"version" doc:"The lock's version with the change."`
	Removed   bool         `json:"removed" doc:"The change took the key away."`
	ChangedAt time.Time    `json:"changed_at"`
	AppliedAt *time.Time   `json:"applied_at" doc:"When the lock confirmed it; null as long as it has not."`
	AtLatest  *time.Time   `json:"at_latest" doc:"When the door refuses in any case; null for a change that gives something."`
	Online    bool         `json:"online"`
}

func (a *restAPI) listReceipts(ctx context.Context, by auth.Caller, in *DigitalKeyPath) (*listOutput[ReceiptBody], error) {
	all, err := a.c.DigitalKeys.Receipts(ctx, by, in.digitalKey())
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, whole(all), "", func(r digitalkey.Receipt) ReceiptBody {
		return ReceiptBody{
			Lock: lockNameBody{ID: string(r.Lock), Name: r.LockName}, Version: r.Version, Removed: r.Removed, ChangedAt: r.ChangedAt,
			AppliedAt: optionalTime(r.AppliedAt), AtLatest: optionalTime(r.AtLatest), Online: r.Online,
		}
	})
}

// unconfirmedBody is a removal that a lock has not confirmed.
type unconfirmedBody struct {
	Lock       lockNameBody `json:"lock"`
	DigitalKey string       `json:"digital_key" doc:"Which may be deleted."`
	ChangedAt  time.Time    `json:"changed_at"`
	AtLatest   time.Time    `json:"at_latest" doc:"Until then the door may open."`
	Online     bool         `json:"online"`
}

func (a *restAPI) listUnconfirmed(ctx context.Context, by auth.Caller, _ *struct{}) (*listOutput[unconfirmedBody], error) {
	all, err := a.c.Locks.ListUnsafe(ctx, by)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, page.Page[smartlock.Unsafe]{Items: all, Total: -1}, "", func(u smartlock.Unsafe) unconfirmedBody {
		return unconfirmedBody{Lock: lockNameBody{ID: string(u.Lock), Name: u.LockName}, DigitalKey: string(u.DigitalKey), ChangedAt: u.ChangedAt, AtLatest: u.SafeAt, Online: u.Online}
	})
}
