package panel

import (
	"net/http"
	"net/url"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// activityView is the page of one line of the record.
type activityView struct {
	Shell   shell
	Heading string
	Outcome badge
	Reason  string
	When    moment
	Links   []navLink
	Details []activityDetail
}

// activityDetail is one field of a line.
type activityDetail struct {
	Label string
	Value string
	Path  string // "" for no link
	Code  bool   // the value is a name for programs
	Wide  bool
}

func activityPath(a id.Activity) string { return "/activities/" + string(a) }

func (p *Panel) activity(w http.ResponseWriter, r *http.Request, v visit) error {
	// What cannot be an id is the zero one, which no line has: the record answers.
	line, _ := id.Parse[id.KindActivity](r.PathValue("id"))
	e, err := p.c.Record.Find(r.Context(), v.caller, line)
	if err != nil {
		return err
	}
	called, err := p.namesIn(r.Context(), v, false, e)
	if err != nil {
		return err
	}
	row := newTargetedRow(v, e)
	called.put(&row, e)
	view := activityView{
		Shell:   p.shell(v, row.What, crumb{Name: textNavReports}, crumb{Name: textRecordTitle, Path: "/activities"}),
		Heading: row.What, Outcome: row.Outcome, Reason: row.Reason, When: row.When, Details: activityDetails(v, e, row),
	}
	if e.Actor.ID != "" {
		view.Links = append(view.Links, navLink{Name: textActivityAll, Path: "/activities?" + url.Values{"actor": {e.Actor.ID}}.Encode(), Icon: "user-search"})
	}
	if e.Target.ID != "" && e.Target.ID != e.Actor.ID {
		view.Links = append(view.Links, navLink{Name: textActivityAllTarget, Path: "/activities?" + url.Values{"target": {e.Target.ID}}.Encode(), Icon: "target"})
	}
	if e.SecurityKey != "" {
		view.Links = append(view.Links, navLink{Name: textActivityAllKey, Path: "/activities?" + url.Values{"security_key": {string(e.SecurityKey)}}.Encode(), Icon: "key"})
	}
	return p.show(w, r, http.StatusOK, activityTemplate(view))
}

// activityDetails lists all fields of a line that are set.
func activityDetails(v visit, e activity.Event, row activityRow) []activityDetail {
	place := textActivityNotSealed
	if e.Index > 0 {
		place = sealedText(e.Index)
	}
	concerned := activityDetail{Label: textActivityUser}
	if e.User != "" && string(e.User) != e.Target.ID && string(e.User) != e.Actor.ID {
		concerned.Value = string(e.User)
		if v.can(auth.UsersRead) {
			concerned.Path = userPath(e.User)
		}
	}
	key := activityDetail{Label: textSecurityKey, Value: string(e.SecurityKey), Path: row.KeyPath}
	if string(e.SecurityKey) == e.Target.ID {
		key.Value = "" // it is named as the target
	}
	times := ""
	if e.Count > 1 {
		times = thousands(e.Count) + " " + textTimes
	}
	all := []activityDetail{
		{Label: textActivityWhen, Value: kit.Exact(e.At, v.zone)},
		{Label: textColumnActor, Value: row.Actor, Path: row.ActorPath},
		{Label: textColumnTarget, Value: row.Target, Path: row.TargetPath},
		concerned,
		key,
		{Label: textColumnComputer, Value: row.Computer, Path: row.ComputerPath},
		{Label: textActivityDetail, Value: detailText(e.Action, e.Detail)},
		{Label: textActivityReason, Value: row.Reason},
		{Label: textActivityCount, Value: times},
		{Label: textRecordRP, Value: e.RPID},
		{Label: textColumnIP, Value: row.IP},
		{Label: textActivityChain, Value: place},
		{Label: textActivityAction, Value: e.Action, Code: true},
		{Label: textActivityID, Value: string(e.ID), Code: true},
		{Label: textActivityActorID, Value: e.Actor.ID, Code: true},
		{Label: textActivityTargetID, Value: e.Target.ID, Code: true},
		{Label: textActivityRequest, Value: e.RequestID, Code: true},
		{Label: textActivityAgent, Value: e.Agent, Wide: true},
	}
	var out []activityDetail
	for _, d := range all {
		if d.Value != "" {
			out = append(out, d)
		}
	}
	return out
}
