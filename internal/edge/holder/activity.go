package holder

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// activitiesView is the page My activity.
type activitiesView struct {
	Shell shell
	Rows  []activityRow
	Empty kit.Empty
	Pages kit.Pager
}

type activityRow struct {
	When    kit.Moment
	What    string
	Outcome kit.Badge
	IP      string
}

const activityList = "my activity"

func (h *Holder) activities(w http.ResponseWriter, r *http.Request, v visit) error {
	after, err := h.c.Cursors.Decode(r.Context(), v.caller.Workspace, activityList, r.URL.Query().Get("cursor"))
	if f, ok := fault.As(err); ok && f.Code == "invalid_cursor" {
		kit.Redirect(w, r, Prefix+"/activity", false)
		return nil
	}
	if err != nil {
		return err
	}
	found, err := h.c.Record.Own(r.Context(), v.caller, page.Request{Descending: true, After: after})
	if err != nil {
		return err
	}
	view := activitiesView{Shell: h.shell(v, textActivity), Empty: kit.Empty{Icon: "history", Title: textActivityNone, Text: textActivityNoneText}}
	for _, e := range found.Items {
		view.Rows = append(view.Rows, activityRow{When: v.moment(e.At), What: sentenceOf(v, e), Outcome: outcomeBadge(e.Outcome), IP: e.IP})
	}
	next, err := h.c.Cursors.Encode(r.Context(), v.caller.Workspace, activityList, found.Next)
	if err != nil {
		return err
	}
	if !after.IsZero() {
		view.Pages.First = Prefix + "/activity"
	}
	if next != "" {
		view.Pages.Next = Prefix + "/activity?cursor=" + next
	}
	return h.show(w, r, http.StatusOK, activitiesTemplate(view))
}

// sentenceOf says what happened, and who did it if it was somebody else.
func sentenceOf(v visit, e activity.Event) string {
	what := actionText(e.Action, e.Outcome == activity.Success)
	if e.Target.Type == "passkey" && e.Target.Name != "" {
		what += " “" + e.Target.Name + "”"
	}
	if e.Actor.ID != string(v.caller.User) && e.Actor.Name != "" {
		what += ", by " + e.Actor.Name
	}
	return what
}
