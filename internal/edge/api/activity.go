package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// partyBody is who acted or what was acted on.
type partyBody struct {
	Type string `json:"type" example:"administrator"`
	ID   string `json:"id"`
	Name string `json:"name" doc:"As it was at that moment; empty if it was erased."`
}

func renderParty(p activity.Party) partyBody { return partyBody(p) }

// activityBody is one line of the record.
type activityBody struct {
	ID      string    `json:"id" example:"act_01jd3v9b8eexav2f6hqdr3wzkt"`
	Index   *int64    `json:"index" doc:"Place in the chain; null until it is sealed, within a second or so."`
	At      time.Time `json:"at"`
	Action  string    `json:"action" example:"user.create"`
	Outcome string    `json:"outcome" enum:"success,refused,failed"`
	Reason  string    `json:"reason" doc:"A stable code; empty for success."`
	Detail  string    `json:"detail" doc:"What changed, in names of fields."`
	Count   int       `json:"count" doc:"How many like refusals the line stands for."`
	Actor   partyBody `json:"actor"`
	Target  partyBody `json:"target"`
	User    *string   `json:"user" doc:"The user whom it concerns."`
	Key     *string   `json:"security_key" doc:"The security key with which it was done, or that it was done to."`
	Lock    *string   `json:"lock" doc:"The smart lock that it was done to."`
	Client  *string   `json:"client" doc:"The workstation's program through which it was done, or that it was done to: cli_…"`
	// Credential is the target, if it is one.
	Credential *string `json:"credential" doc:"The passkey at a website that was registered, used or deleted: cred_…"`
	RPID       string  `json:"rp_id" doc:"The relying party of a sign-in."`
	IP         string  `json:"ip"`
	Agent      string  `json:"agent" doc:"The program that the request came from, as it called itself."`
	Request    string  `json:"request_id"`
}

func renderActivity(e activity.Event) activityBody {
	b := activityBody{
		ID: string(e.ID), At: e.At, Action: e.Action, Outcome: string(e.Outcome), Reason: e.Reason, Detail: e.Detail, Count: e.Count,
		Actor: renderParty(e.Actor), Target: renderParty(e.Target), RPID: e.RPID, IP: e.IP, Agent: e.Agent, Request: e.RequestID,
	}
	if e.Index > 0 {
		b.Index = &e.Index
	}
	if e.User != "" {
		user := string(e.User)
		b.User = &user
	}
	if e.SecurityKey != "" {
		key := string(e.SecurityKey)
		b.Key = &key
	}
	if e.Target.Type == "lock" {
		b.Lock = optionalText(e.Target.ID)
	}
	if e.Target.Type == "credential" {
		b.Credential = optionalText(e.Target.ID)
	}
	b.Client = optionalText(string(e.Client))
	return b
}

// ActivityFilters are what lists and exports of activities take. It is exported for
// huma, as ListInput is.
type ActivityFilters struct {
	User    string    `query:"user" doc:"Only lines that concern this user: user_…"`
	Actor   string    `query:"actor" maxLength:"64" doc:"Only lines of acts by this one: the id of a user, of an API key or of a client."`
	Target  string    `query:"target" maxLength:"64" doc:"Only lines of acts on this one: the id of a user, a group, an API key, a credential, …"`
	Action  string    `query:"action" maxLength:"64" doc:"Only this action: user.create"`
	Outcome string    `query:"outcome" enum:"success,refused,failed" doc:"Only this outcome."`
	Key     string    `query:"security_key" doc:"Only lines of acts with or on this security key: sk_…"`
	Lock    string    `query:"lock" doc:"Only lines of acts on this smart lock, its openings among them: lock_…"`
	RP      string    `query:"rp" maxLength:"253" doc:"Only lines about this relying party: example.org"`
	From    time.Time `query:"from" doc:"Only lines at this moment or later."`
	To      time.Time `query:"to" doc:"Only lines before this moment."`
}

func (f ActivityFilters) query() (activity.Query, error) {
	q := activity.Query{
		Actor: f.Actor, Target: f.Target, Action: f.Action, Outcome: activity.Outcome(f.Outcome), RPID: f.RP, From: f.From, To: f.To,
	}
	if f.User != "" {
		u, ok := id.Parse[id.KindUser](f.User)
		if !ok {
			return q, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "user", Message: "is no user's id"})
		}
		q.User = u
	}
	if f.Key != "" {
		k, ok := id.Parse[id.KindSecurityKey](f.Key)
		if !ok {
			return q, fieldFault("security_key", "is no security key's id")
		}
		q.SecurityKey = k
	}
	if f.Lock != "" {
		l, ok := id.Parse[id.KindLock](f.Lock)
		switch {
		case !ok:
			return q, fieldFault("lock", "is no lock's id")
		case f.Target != "" && f.Target != string(l):
			return q, fieldFault("lock", "and target name two things: leave one of them out")
		}
		q.Target = string(l)
	}
	return q, nil
}

type listActivitiesInput struct {
	ListInput
	ActivityFilters
	Sort string `query:"sort" doc:"at,ascend or at,descend; the newest first if it is left out."`
}

type listUserActivitiesInput struct {
	UserPath
	ListInput
	Action  string    `query:"action" maxLength:"64" doc:"Only this action: credential.use"`
	Outcome string    `query:"outcome" enum:"success,refused,failed" doc:"Only this outcome."`
	From    time.Time `query:"from" doc:"Only lines at this moment or later."`
	To      time.Time `query:"to" doc:"Only lines before this moment."`
	Sort    string    `query:"sort" doc:"at,ascend or at,descend; the newest first if it is left out."`
}

type activityOutput struct{ Body activityBody }

type activityInput struct {
	ID string `path:"id" doc:"The activity's id: act_…"`
}

func (a *restAPI) registerActivities() {
	register(a, operation("list-activities", http.MethodGet, "/activities", "List activities", "Needs the permission activities.read."), a.listActivities)
	register(a, operation("list-user-activities", http.MethodGet, "/users/{id}/activities", "List a user's activities",
		"What concerns the user, newest first: sign-ins at websites, keys, doors and what administrators did. Of a user who is gone, it is what the record still has. Needs the permission activities.read.",
		http.StatusNotFound), a.listUserActivities)
	register(a, operation("get-activity", http.MethodGet, "/activities/{id}", "Get an activity", "Needs the permission activities.read.", http.StatusNotFound), a.getActivity)
	a.registerActivityRecord()
}

func (a *restAPI) listActivities(ctx context.Context, by auth.Caller, in *listActivitiesInput) (*listOutput[activityBody], error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	sort := in.Sort
	if sort == "" {
		sort = "at,descend"
	}
	name := queryName("activities", in.User, in.Actor, in.Target, in.Action, in.Outcome, in.Key, in.Lock, in.RP, in.From.Format(time.RFC3339Nano), in.To.Format(time.RFC3339Nano), sort)
	if q.Page, err = a.pageOf(ctx, by, in.ListInput, sort, name, []string{"at"}); err != nil {
		return nil, err
	}
	p, err := a.c.Record.List(ctx, by, q)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, renderActivity)
}

// nobodysID is an id of a user that none has.
const nobodysID id.User = "user_none"

func (a *restAPI) listUserActivities(ctx context.Context, by auth.Caller, in *listUserActivitiesInput) (*listOutput[activityBody], error) {
	u := in.user()
	q := activity.Query{User: cmp.Or(u, nobodysID), Action: in.Action, Outcome: activity.Outcome(in.Outcome), From: in.From, To: in.To}
	name := queryName("user-activities", string(q.User), in.Action, in.Outcome, in.From.Format(time.RFC3339Nano), in.To.Format(time.RFC3339Nano), in.Sort)
	var err error
	if q.Page, err = a.pageOf(ctx, by, in.ListInput, cmp.Or(in.Sort, "at,descend"), name, []string{"at"}); err != nil {
		return nil, err
	}
	p, err := a.c.Record.List(ctx, by, q)
	if err != nil {
		return nil, err
	}
	if len(p.Items) == 0 {
		// Whether there is such a user is the house's to ask: activities.read alone may.
		if _, _, err := a.c.Directory.Find(ctx, auth.Job(by.Workspace, "activities"), u); err != nil {
			return nil, err
		}
	}
	return listAnswer(ctx, a, by, p, name, renderActivity)
}

func (a *restAPI) getActivity(ctx context.Context, by auth.Caller, in *activityInput) (*activityOutput, error) {
	line, _ := id.Parse[id.KindActivity](in.ID) // what is none is not found
	e, err := a.c.Record.Find(ctx, by, line)
	if err != nil {
		return nil, err
	}
	return &activityOutput{Body: renderActivity(e)}, nil
}
