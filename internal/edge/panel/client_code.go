package panel

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/room/client"
)

// codesView is the page of the enrolment codes, with the form for a new one.
type codesView struct {
	Shell   shell
	CanAdd  bool
	Once    string
	Summary summary
	Lives   selectFilter
	Uses    field
	Columns []column
	Rows    []codeRow
	Empty   empty
}

// codeRow is an enrolment code that is good.
type codeRow struct {
	ID       string
	Left     string
	By       string
	Created  moment
	Ends     moment
	Withdraw string // "" if the person may not
}

func codeWithdrawPath(c id.EnrolmentCode) string { return codesPath + "/" + string(c) + "/withdraw" }

// codesShell is the shell of a page about enrolment codes.
func (p *Panel) codesShell(v visit, title string) shell {
	trail := []crumb{{Name: textNavIntegrations}, {Name: textClientsTitle, Path: clientsPath}}
	if title != textCodesTitle {
		trail = append(trail, crumb{Name: textCodesTitle, Path: codesPath})
	}
	return p.shell(v, title, trail...)
}

// codeLives are the lives that are offered, in minutes.
func codeLives() []int { return []int{60, 8 * 60, 24 * 60, 7 * 24 * 60, 30 * 24 * 60} }

// newCodeForm returns the values of a form that was not filled in yet.
func newCodeForm() url.Values {
	return url.Values{"minutes": {strconv.Itoa(int(client.DefaultCodeLife / time.Minute))}, "uses": {"1"}}
}

func (p *Panel) codes(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.showCodes(w, r, v, newCodeForm(), nil)
}

func (p *Panel) showCodes(w http.ResponseWriter, r *http.Request, v visit, form url.Values, f *fault.Error) error {
	all, err := p.c.Clients.Codes(r.Context(), v.caller)
	if err != nil {
		return err
	}
	view := codesView{
		Shell: p.codesShell(v, textCodesTitle), CanAdd: v.can(auth.ClientsWrite), Once: onceName(form), Lives: selectFilter{Name: "minutes", Label: textCodeLife},
		Columns: []column{
			{Name: textCodeLeft}, {Name: textCodeEnds}, {Name: textColumnCreatedBy, Class: "kh-middle"}, {Name: textColumnCreated, Class: "kh-middle"}, {Name: textActionsLabel, Class: "kh-end"},
		},
		Empty: empty{Icon: "ticket", Title: textCodesNone, Text: textCodesNoneText},
	}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "minutes", "uses")
	}
	for _, minutes := range codeLives() {
		value := strconv.Itoa(minutes)
		view.Lives.Options = append(view.Lives.Options, choice{Value: value, Label: spanText(time.Duration(minutes) * time.Minute), Checked: form.Get("minutes") == value})
	}
	view.Uses = field{
		Name: "uses", Label: textCodeUses, Help: textCodeUsesHelp, Value: form.Get("uses"), Error: texts["uses"], Type: "text", Autocomplete: "off", Required: true, MaxLength: 5,
	}
	for _, c := range all {
		row := codeRow{ID: string(c.ID), Left: leftOfText(c.Left, c.Uses), By: c.CreatedBy, Created: v.moment(c.CreatedAt), Ends: v.moment(c.ExpiresAt)}
		if view.CanAdd {
			row.Withdraw = codeWithdrawPath(c.ID)
		}
		view.Rows = append(view.Rows, row)
	}
	return p.show(w, r, formStatus(f), codesTemplate(view))
}

func (p *Panel) issueCode(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	minutes, uses := intOf(form.Get("minutes")), intOf(form.Get("uses"))
	if uses == 0 { // for the room that is none said
		uses = -1
	}
	const most = int(client.MaxCodeLife / time.Minute)
	if minutes < 1 || minutes > most {
		minutes = most + 1 // so that the room says what is wrong
	}
	c, text, err := p.c.Clients.IssueCode(onceContext(r, v, form), v.caller, client.NewEnrolmentCode{Life: time.Duration(minutes) * time.Minute, Uses: uses})
	if _, ok := errors.AsType[*once.Repeated](err); ok {
		return p.show(w, r, http.StatusOK, againTemplate(againView{
			Shell: p.codesShell(v, textCodeAgain), Title: textCodeAgain, Text: textCodeAgainText, Action: textCodesTitle, Path: codesPath,
		}))
	}
	if f, ok := isFormFault(err); ok {
		return p.showCodes(w, r, v, form, f)
	}
	if err != nil {
		return err
	}
	view := secretView{
		Shell: p.codesShell(v, textCodeReady), Heading: textCodeReady, Line: textCodeOnce, Label: textCodeOne, Secret: text.ExposeString(),
		Facts: []detail{{Label: textCodeLeft, Value: count(c.Left, "client")}, {Label: textCodeEnds, Time: v.moment(c.ExpiresAt)}},
		Next:  []string{textCodeNextEnter, textCodeNextKey, textCodeNextKeep}, Then: codesPath,
	}
	return p.show(w, r, http.StatusOK, secretTemplate(view))
}

func (p *Panel) withdrawCode(w http.ResponseWriter, r *http.Request, v visit) error {
	c, _ := id.Parse[id.KindEnrolmentCode](r.PathValue("code")) // what is none is not found
	return p.perform(w, r, &act{
		view: actView{
			Shell: p.codesShell(v, textCodeWithdraw), Heading: textCodeWithdraw, Lead: textCodeWithdrawLead, Points: []string{textCodeWithdrawLeft}, Facts: []detail{{Label: textAPIKeyID, Value: string(c), Code: true}},
			Action: codeWithdrawPath(c), Button: textCodeWithdrawDo, Danger: true, Cancel: codesPath,
		},
		do:   func() (string, error) { return "code_withdrawn", p.c.Clients.WithdrawCode(r.Context(), v.caller, c) },
		then: codesPath,
	})
}
