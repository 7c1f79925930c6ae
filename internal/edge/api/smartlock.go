package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/search"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// LockBody is a smart lock as the API shows it. It is exported for huma, as ListInput is.
type LockBody struct {
	ID             string     `json:"id" example:"lock_01jd3v9b8eexav2f6hqdr3wzkt"`
	Name           string     `json:"name"`
	Place          string     `json:"place"`
	Timezone       string     `json:"timezone" doc:"IANA name: in it the times of its digital keys are entered and shown."`
	Capabilities   []string   `json:"capabilities" nullable:"false" enum:"pin,app,keycard"`
	OpenSeconds    int        `json:"open_seconds" doc:"How long the door stays open."`
	LeaseSeconds   int        `json:"lease_seconds" doc:"How long the controller decides without the server."`
	State          string     `json:"state" enum:"locked,unlocked,unknown"`
	Door           string     `json:"door" enum:"closed,open,unknown"`
	Online         bool       `json:"online"`
	LastSeenAt     *time.Time `json:"last_seen_at"`
	Battery        *int       `json:"battery" doc:"Percent; null if there is none."`
	Version        int64      `json:"version" doc:"What the controller should know. It grows with each change."`
	AppliedVersion int64      `json:"applied_version" doc:"What it said that it knows."`
	Settled        bool       `json:"settled" doc:"The controller knows all that it should."`
	LeaseUntil     *time.Time `json:"lease_until" doc:"Until when the controller decides without the server at the most."`
	Clock          string     `json:"clock" doc:"How far the controller trusts its clock: trusted, battery or untrusted; empty if nobody knows."`
	Software       string     `json:"software" doc:"The controller's program."`
	EnrolledAt     *time.Time `json:"enrolled_at" doc:"When its controller was enrolled; null if it has none."`
	CreatedAt      time.Time  `json:"created_at"`
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

func (a *restAPI) renderLock(l smartlock.Lock) LockBody {
	b := LockBody{
		ID: string(l.ID), Name: l.Name, Place: l.Place, Timezone: l.Timezone, Capabilities: make([]string, 0, len(l.Capabilities)), OpenSeconds: l.OpenSeconds,
		LeaseSeconds: l.LeaseSeconds, State: orUnknown(l.State.Bolt), Door: orUnknown(l.State.Door), Online: l.Online(a.c.Kit.Clock().Now()),
		LastSeenAt: optionalTime(l.State.LastSeenAt), Version: l.Sync.Version, AppliedVersion: l.Sync.AppliedVersion, Settled: l.Settled(),
		LeaseUntil: optionalTime(l.Sync.LeaseUntil), Clock: string(l.Controller.Clock), Software: l.Controller.Software,
		EnrolledAt: optionalTime(l.Controller.EnrolledAt), CreatedAt: l.CreatedAt,
	}
	for _, c := range l.Capabilities {
		b.Capabilities = append(b.Capabilities, string(c))
	}
	if l.State.Battery >= 0 {
		b.Battery = &l.State.Battery
	}
	return b
}

// lockOutput is the answer with one lock.
type lockOutput struct {
	ETag string `header:"ETag" doc:"The lock's revision, for If-Match."`
	Body LockBody
}

func (a *restAPI) lockAnswer(l smartlock.Lock) *lockOutput {
	return &lockOutput{ETag: etag(l.Revision), Body: a.renderLock(l)}
}

type createdLockOutput struct {
	ETag     string `header:"ETag" doc:"The lock's revision, for If-Match."`
	Location string `header:"Location"`
	Body     LockBody
}

func (a *restAPI) createdLock(l smartlock.Lock) *createdLockOutput {
	return &createdLockOutput{ETag: etag(l.Revision), Location: Prefix + "/locks/" + string(l.ID), Body: a.renderLock(l)}
}

// LockPath names one lock. It is exported for huma, as ListInput is.
type LockPath struct {
	ID string `path:"id" doc:"The lock's id: lock_…"`
}

// lock returns the id, or the zero id if it cannot be one: see KeyPath.
func (p LockPath) lock() id.Lock {
	l, _ := id.Parse[id.KindLock](p.ID)
	return l
}

type listLocksInput struct {
	ListInput
	Q       string `query:"q" maxLength:"400" doc:"Beginnings of words in the name and the place."`
	Online  string `query:"online" enum:"true,false" doc:"Only locks that are online, or that are not."`
	Problem bool   `query:"problem" doc:"Only locks that want attention: offline, without a controller, or with 20 % of battery or less."`
	Sort    string `query:"sort" doc:"name, followed by ,ascend or ,descend."`
}

type createLockInput struct {
	Body struct {
		Name         string   `json:"name" maxLength:"400"`
		Place        string   `json:"place,omitempty" maxLength:"400" doc:"Where it is, for people."`
		Timezone     string   `json:"timezone" maxLength:"100" doc:"IANA name, such as Europe/Berlin."`
		Capabilities []string `json:"capabilities,omitempty" doc:"Of pin, app and keycard; all, if they are left out."`
		OpenSeconds  int      `json:"open_seconds,omitempty" doc:"1 to 120; 5 if it is left out."`
		LeaseSeconds int      `json:"lease_seconds,omitempty" doc:"60 to 604,800; 86,400 if it is left out."`
	}
}

type patchLockInput struct {
	LockPath
	IfMatch string `header:"If-Match" doc:"Change the lock only if this is its ETag."`
	Body    struct {
		Name         patchText `json:"name,omitempty"`
		Place        patchText `json:"place,omitempty"`
		Timezone     patchText `json:"timezone,omitempty"`
		Capabilities patchList `json:"capabilities,omitempty"`
		OpenSeconds  *int      `json:"open_seconds,omitempty"`
		LeaseSeconds *int      `json:"lease_seconds,omitempty"`
	}
}

type deleteLockInput struct {
	LockPath
	IfMatch string `header:"If-Match" doc:"Delete the lock only if this is its ETag."`
}

// enrollingOutput is a lock whose controller may enrol.
type enrollingOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Lock               LockBody  `json:"lock"`
		Token              string    `json:"token,omitempty" doc:"What the controller enrols with, once: keyhold-lock enrol. It is shown this once."`
		ExpiresAt          time.Time `json:"expires_at"`
		SecretAlreadyShown bool      `json:"secret_already_shown,omitempty" doc:"True in the answer to a repeat, which has no token."`
	}
}

// registerLocks is the route registration of the smart locks' operations.
func (a *restAPI) registerLocks() {
	const read, write = "Needs the permission locks.read.", "Needs the permission locks.write."
	register(a, operation("list-locks", http.MethodGet, "/locks", "List smart locks", read), a.listLocks)
	create := operation("create-lock", http.MethodPost, "/locks", "Register a smart lock", "Its controller is enrolled afterwards. "+write)
	create.DefaultStatus = http.StatusCreated
	registerPost(a, create, a.createLock, a.repeatCreateLock)
	register(a, operation("get-lock", http.MethodGet, "/locks/{id}", "Get a smart lock", read, http.StatusNotFound), a.getLock)
	register(a, operation("patch-lock", http.MethodPatch, "/locks/{id}", "Change a smart lock", "A merge patch (RFC 7396). "+write,
		http.StatusNotFound, http.StatusPreconditionFailed), a.patchLock)
	register(a, operation("delete-lock", http.MethodDelete, "/locks/{id}", "Delete a smart lock",
		"Its controller's certificate is refused at once; its events stay. It is a conflict while digital keys are on it that are not over. "+write,
		http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed), a.deleteLock)
	registerPost(a, operation("enrol-lock", http.MethodPost, "/locks/{id}/enrolment", "Issue a token with which a controller enrols",
		"It works once, for an hour; the one before is dead. From its use on the certificate of the former controller is refused. "+write,
		http.StatusNotFound, http.StatusConflict), a.enrolLock, a.repeatEnrolLock)
	a.registerLockActs()
}

func (a *restAPI) listLocks(ctx context.Context, by auth.Caller, in *listLocksInput) (*listOutput[LockBody], error) {
	name := queryName("locks", in.Q, in.Online, strconv.FormatBool(in.Problem), in.Sort)
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, []string{smartlock.SortName})
	if err != nil {
		return nil, err
	}
	q := smartlock.Query{Problem: in.Problem, Words: search.Words(in.Q), Page: r}
	if in.Online != "" {
		online := in.Online == "true"
		q.Online = &online
	}
	p, err := a.c.Locks.List(ctx, by, q)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, a.renderLock)
}

func capabilities(texts []string) []smartlock.Capability {
	out := make([]smartlock.Capability, len(texts))
	for i, text := range texts {
		out[i] = smartlock.Capability(text)
	}
	return out
}

func (a *restAPI) createLock(ctx context.Context, by auth.Caller, in *createLockInput) (*createdLockOutput, error) {
	b := in.Body
	l, err := a.c.Locks.Create(ctx, by, smartlock.NewLock{
		Name: b.Name, Place: b.Place, Timezone: b.Timezone, Capabilities: capabilities(b.Capabilities), OpenSeconds: b.OpenSeconds, LeaseSeconds: b.LeaseSeconds,
	})
	if err != nil {
		return nil, err
	}
	return a.createdLock(l), nil
}

func (a *restAPI) repeatCreateLock(ctx context.Context, as auth.Caller, _ *createLockInput, note string) (*createdLockOutput, error) {
	l, err := a.c.Locks.Find(ctx, as, LockPath{ID: note}.lock())
	if err != nil {
		return nil, err
	}
	return a.createdLock(l), nil
}

func (a *restAPI) getLock(ctx context.Context, by auth.Caller, in *LockPath) (*lockOutput, error) {
	l, err := a.c.Locks.Find(ctx, by, in.lock())
	if err != nil {
		return nil, err
	}
	return a.lockAnswer(l), nil
}

func (a *restAPI) patchLock(ctx context.Context, by auth.Caller, in *patchLockInput) (*lockOutput, error) {
	b := in.Body
	change := smartlock.Change{Name: b.Name.value, Place: b.Place.value, Timezone: b.Timezone.value, OpenSeconds: b.OpenSeconds, LeaseSeconds: b.LeaseSeconds}
	if b.Capabilities.value != nil {
		list := capabilities(*b.Capabilities.value)
		change.Capabilities = &list
	}
	l, err := a.c.Locks.Change(ctx, by, in.lock(), change, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return a.lockAnswer(l), nil
}

func (a *restAPI) deleteLock(ctx context.Context, by auth.Caller, in *deleteLockInput) (*struct{}, error) {
	return nil, a.c.Locks.Delete(ctx, by, in.lock(), revisionOf(in.IfMatch))
}

func (a *restAPI) enrollingAnswer(e smartlock.Enrolling, repeated bool) *enrollingOutput {
	out := &enrollingOutput{CacheControl: "no-store"}
	out.Body.Lock, out.Body.Token, out.Body.ExpiresAt, out.Body.SecretAlreadyShown = a.renderLock(e.Lock), e.Token.ExposeString(), e.ExpiresAt, repeated
	return out
}

func (a *restAPI) enrolLock(ctx context.Context, by auth.Caller, in *LockPath) (*enrollingOutput, error) {
	e, err := a.c.Locks.IssueEnrolment(ctx, by, in.lock())
	if err != nil {
		return nil, err
	}
	return a.enrollingAnswer(e, false), nil
}

func (a *restAPI) repeatEnrolLock(ctx context.Context, as auth.Caller, _ *LockPath, note string) (*enrollingOutput, error) {
	l, err := a.c.Locks.Find(ctx, as, LockPath{ID: note}.lock())
	if err != nil {
		return nil, err
	}
	return a.enrollingAnswer(smartlock.Enrolling{Lock: l, ExpiresAt: l.Controller.TokenExpiresAt}, true), nil
}
