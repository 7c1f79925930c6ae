package panel

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/flow/leave"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// What can be done to many users at once.
const (
	actSuspend  = "suspend"
	actActivate = "activate"
	actDelete   = "delete"
	actGroup    = "group"
)

// manyView is the page that asks before something is done to many users.
type manyView struct {
	Shell     shell
	Heading   string
	Act       string
	Do        string
	Effects   []string
	People    []personRow
	Disable   choice // offered if it has a name
	Groups    []choice
	HasGroups bool // a group is to be chosen
	MoreGroup bool // there are more groups than are listed
	Summary   summary
	Confirm   field // to be typed, if it has a name
	Phrase    string
	Empty     empty // shown instead if it has a title
}

// personRow is somebody in a list that is read only.
type personRow struct {
	ID       string
	Path     string
	Name     string
	Initials string
	Email    string
	Status   badge
	Detail   string // why it was not done
}

// resultView says what became of each user.
type resultView struct {
	Shell   shell
	Heading string
	Lead    string
	Rows    []personRow
	// Again holds the ids that wait for a fresh passkey, and the other values of the
	// form that is sent again after it.
	Again  []choice
	StepUp bool
}

func newPersonRow(u directory.User) personRow {
	return personRow{ID: string(u.ID), Path: userPath(u.ID), Name: u.Name(), Initials: initials(u.Name()), Email: u.Email, Status: statusBadge(u.Shown())}
}

// selected returns the users whom a form or an address names, those who cannot be
// left out.
func selected(form url.Values) []id.User {
	var out []id.User
	for _, text := range form["ids"] {
		if u, ok := id.Parse[id.KindUser](text); ok {
			out = append(out, u)
		}
	}
	return out
}

func (p *Panel) askMany(w http.ResponseWriter, r *http.Request, v visit) error {
	view, err := p.manyView(r, v, r.URL.Query(), nil)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, manyTemplate(view))
}

func (p *Panel) manyView(r *http.Request, v visit, form url.Values, f *fault.Error) (manyView, error) {
	act := form.Get("act")
	switch act {
	case actSuspend, actActivate, actDelete, actGroup:
	default:
		return manyView{}, fault.NotFound("page_not_found", textPageNotFound)
	}
	people, err := p.c.Directory.FindUsers(r.Context(), v.caller, selected(form))
	if err != nil {
		return manyView{}, err
	}
	n := len(people)
	view := manyView{
		Shell:   p.shell(v, manyTitle(act, n), crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}),
		Heading: manyTitle(act, n), Act: act, Do: manyDo(act, n), Effects: manyEffects(act), HasGroups: act == actGroup,
	}
	if n == 0 {
		view.Empty = empty{Icon: "users", Title: textLeaveManyNone, Text: textLeaveManyNoneHelp, Action: textLeaveManyBack, Path: "/users"}
		return view, nil
	}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "confirm", "group")
	}
	for _, u := range people {
		view.People = append(view.People, newPersonRow(u))
	}
	if act == actSuspend && v.can(auth.APIKeysWrite) {
		view.Disable = choice{Name: "disable_created_api_keys", Value: "on", Label: textLeaveKeys, Help: textLeaveKeysHelp, Checked: form.Has("disable_created_api_keys")}
	}
	if act == actDelete {
		view.Confirm = confirmField(form.Get("confirm"))
		view.Confirm.Label, view.Phrase, view.Confirm.Error = textLeaveManyType, strconv.Itoa(n), texts["confirm"]
	}
	if act == actGroup {
		view.Groups, view.MoreGroup, err = p.groupChoices(r.Context(), v, form.Get("group"))
	}
	return view, err
}

// groupChoices returns the groups that users can be added to, and whether there are
// more.
func (p *Panel) groupChoices(ctx context.Context, v visit, chosen string) ([]choice, bool, error) {
	found, err := p.c.Directory.ListGroups(ctx, v.caller, "", directory.GroupQuery{Page: page.Request{Limit: page.MaxLimit}})
	if err != nil {
		return nil, false, err
	}
	var out []choice
	for _, g := range found.Items {
		if !g.Builtin {
			out = append(out, choice{Value: string(g.ID), Label: g.Name, Checked: string(g.ID) == chosen})
		}
	}
	return out, !found.Next.IsZero(), nil
}

func (p *Panel) many(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	rows, err := p.doMany(r.Context(), v, form)
	if f, status, ok := isRuleFault(err); ok {
		view, err := p.manyView(r, v, form, f)
		if err != nil {
			return err
		}
		return p.show(w, r, status, manyTemplate(view))
	}
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, resultTemplate(p.resultView(v, form, rows)))
}

func (p *Panel) doMany(ctx context.Context, v visit, form url.Values) ([]leave.RowOutcome, error) {
	users := selected(form)
	if len(users) == 0 {
		return nil, fault.Invalid("nobody_selected", textLeaveManyNone+".")
	}
	switch form.Get("act") {
	case actSuspend:
		return p.c.Leave.SuspendMany(ctx, v.caller, users, leave.Options{DisableCreatedAPIKeys: form.Has("disable_created_api_keys")})
	case actActivate:
		return p.c.Leave.ActivateMany(ctx, v.caller, users)
	case actDelete:
		if form.Get("confirm") != strconv.Itoa(len(users)) {
			return nil, typeAgain()
		}
		return p.c.Leave.DeleteMany(ctx, v.caller, users)
	case actGroup:
		g, _ := id.Parse[id.KindGroup](form.Get("group"))
		if g == "" {
			return nil, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "group", Message: "is needed"})
		}
		added, err := p.c.Directory.AddMembers(ctx, v.caller, g, users)
		rows := make([]leave.RowOutcome, len(added))
		for i, a := range added {
			rows[i] = leave.RowOutcome{User: a.User, Name: a.Name, Fault: a.Fault}
		}
		return rows, err
	}
	return nil, fault.NotFound("page_not_found", textPageNotFound)
}

func (p *Panel) resultView(v visit, form url.Values, rows []leave.RowOutcome) resultView {
	act, failed := form.Get("act"), 0
	view := resultView{Shell: p.shell(v, textLeaveManyResult, crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}), Heading: textLeaveManyResult}
	for _, row := range rows {
		out := personRow{ID: string(row.User), Name: row.Name, Initials: initials(row.Name), Status: badge{Word: textLeaveManyDone, Tone: "green"}}
		if out.Name == "" {
			out.Name = string(row.User)
		}
		if row.Name != "" && (act != actDelete || row.Fault != nil) {
			out.Path = userPath(row.User)
		}
		if row.Left.Count > 0 {
			out.Detail = leftText(row.Left.Count)
		}
		if row.DigitalKeys > 0 {
			out.Detail = strings.TrimSpace(out.Detail + " " + endedDigitalKeysText(row.DigitalKeys))
		}
		if open := unconfirmedTexts(v, row.Left); len(open) > 0 {
			out.Detail = strings.TrimSpace(out.Detail + " " + strings.Join(open, ". ") + ".")
		}
		if row.Fault != nil {
			failed++
			out.Status, out.Detail = badge{Word: textLeaveManyFailed, Tone: "red"}, row.Fault.Public
			if row.Fault.Code == stepUpCode {
				view.Again = append(view.Again, choice{Name: "ids", Value: string(row.User)})
			}
		}
		view.Rows = append(view.Rows, out)
	}
	view.Lead = manyResult(act, len(rows)-failed, failed)
	if n := len(view.Again); n > 0 {
		view.StepUp = true
		view.Again = append(view.Again, choice{Name: "act", Value: act}, choice{Name: "confirm", Value: strconv.Itoa(n)})
		if form.Has("disable_created_api_keys") {
			view.Again = append(view.Again, choice{Name: "disable_created_api_keys", Value: "on"})
		}
	}
	return view
}
