package api

import (
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
	RPID    string    `json:"rp_id" doc:"The relying party of a sign-in."`
	IP      string    `json:"ip"`
}

func renderActivity(e activity.Event) activityBody {
	b := activityBody{
		ID: string(e.ID), At: e.At, Action: e.Action, Outcome: string(e.Outcome), Reason: e.Reason, Detail: e.Detail, Count: e.Count,
		Actor: renderParty(e.Actor), Target: renderParty(e.Target), RPID: e.RPID, IP: e.IP,
	}
	if e.Index > 0 {
		b.Index = &e.Index
	}
	if e.User != "" {
		user := string(e.User)
		b.User = &user
	}
	return b
}

type listActivitiesInput struct {
	ListInput
	User    string    `query:"user" doc:"Only lines that concern this user: user_…"`
	Action  string    `query:"action" maxLength:"64" doc:"Only this action: user.create"`
	Outcome string    `query:"outcome" enum:"success,refused,failed" doc:"Only this outcome."`
	From    time.Time `query:"from" doc:"Only lines at this moment or later."`
	To      time.Time `query:"to" doc:"Only lines before this moment."`
	Sort    string    `query:"sort" doc:"at,ascend or at,descend; the newest first if it is left out."`
}

func (a *restAPI) registerActivities() {
	register(a, operation("list-activities", http.MethodGet, "/activities", "List activities", "Needs the permission activities.read."), a.listActivities)
}

func (a *restAPI) listActivities(ctx context.Context, by auth.Caller, in *listActivitiesInput) (*listOutput[activityBody], error) {
	q := activity.Query{Action: in.Action, Outcome: activity.Outcome(in.Outcome), From: in.From, To: in.To}
	if in.User != "" {
		u, ok := id.Parse[id.KindUser](in.User)
		if !ok {
			return nil, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "user", Message: "is no user's id"})
		}
		q.User = u
	}
	sort := in.Sort
	if sort == "" {
		sort = "at,descend"
	}
	name := queryName("activities", in.User, in.Action, in.Outcome, in.From.Format(time.RFC3339Nano), in.To.Format(time.RFC3339Nano), sort)
	r, err := a.pageOf(ctx, by, in.ListInput, sort, name, []string{"at"})
	if err != nil {
		return nil, err
	}
	q.Page = r
	p, err := a.c.Record.List(ctx, by, q)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, renderActivity)
}
