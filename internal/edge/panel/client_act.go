package panel

import (
	"net/http"
	"net/url"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/room/client"
)

// clientFormView is the page that changes a client.
type clientFormView struct {
	Shell    shell
	Heading  string
	Action   string
	Cancel   string
	Revision string
	Notice   notice // shown if it has a title
	Summary  summary
	Name     field
	Formats  []choice
	Stored   string // the format that is stored, if another is chosen
	Wrong    string // what is wrong with the format
	Pinless  choice
}

// storedClientForm returns the values of a form over what is stored.
func storedClientForm(c client.Client) url.Values {
	form := url.Values{"name": {c.Name}, "reader_format": {string(c.ReaderFormat)}, "revision": {revisionText(c.Revision)}}
	if c.PinlessAllowed {
		form.Set("pinless_allowed", "on")
	}
	return form
}

// clientFormView fills the form with values and with what is wrong with them.
func (p *Panel) clientFormView(v visit, c client.Client, form url.Values, f *fault.Error) clientFormView {
	view := clientFormView{
		Shell: p.clientShell(v, c, textEditUserTitle), Heading: textEditUserTitle + ": " + c.Name, Action: clientPath(c.ID) + "/edit", Cancel: clientPath(c.ID), Revision: form.Get("revision"),
		Pinless: choice{Name: "pinless_allowed", Value: "on", Label: textClientPinlessAllow, Help: textClientPinlessHelp, Checked: form.Has("pinless_allowed")},
	}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "name", "reader_format")
	}
	view.Name = field{
		Name: "name", Label: fieldLabel("name"), Help: textClientNameHelp, Value: form.Get("name"), Error: texts["name"], Type: "text", Autocomplete: "off", Required: true, Wide: true, MaxLength: 100,
	}
	view.Wrong = texts["reader_format"]
	for _, format := range client.ReaderFormats() {
		offer := readerFormat(format)
		offer.Checked = form.Get("reader_format") == offer.Value
		view.Formats = append(view.Formats, offer)
	}
	return view
}

func (p *Panel) editClient(w http.ResponseWriter, r *http.Request, v visit) error {
	c, err := p.findClient(r, v)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, clientFormTemplate(p.clientFormView(v, c, storedClientForm(c), nil)))
}

func (p *Panel) updateClient(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	c, err := p.findClient(r, v)
	if err != nil {
		return err
	}
	format := client.ReaderFormat(form.Get("reader_format"))
	_, cause := p.c.Clients.Change(r.Context(), v.caller, c.ID, client.Change{Name: new(form.Get("name")), PinlessAllowed: new(form.Has("pinless_allowed")), ReaderFormat: &format}, revision)
	if cause == nil {
		p.setFlash(w, "client_saved")
		redirect(w, r, clientPath(c.ID))
		return nil
	}
	f, isFault := fault.As(cause)
	switch {
	case isFault && f.Kind == fault.KindPrecondition:
		form.Set("revision", revisionText(c.Revision))
		view := p.clientFormView(v, c, form, nil)
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textClientChanged, Text: textKeyChangedHelp}
		view.Name.Note = nowStored(view.Name, storedClientForm(c))
		if format != c.ReaderFormat {
			view.Stored = textUserNowStored + readerFormat(c.ReaderFormat).Label
		}
		return p.show(w, r, http.StatusUnprocessableEntity, clientFormTemplate(view))
	case isFault && (f.Kind == fault.KindInvalid || f.Kind == fault.KindConflict):
		return p.show(w, r, http.StatusUnprocessableEntity, clientFormTemplate(p.clientFormView(v, c, form, f)))
	}
	return cause
}

func (p *Panel) approveClient(w http.ResponseWriter, r *http.Request, v visit) error {
	c, err := p.findClient(r, v)
	if err != nil {
		return err
	}
	path := clientPath(c.ID)
	return p.perform(w, r, &act{
		view: actView{
			Shell: p.clientShell(v, c, textClientApprove), Heading: approveClientText(c.Name), Lead: textApproveLead, Points: []string{textApproveAsk, textApprovePrint},
			Facts: []detail{
				{Label: textColumnKind, Value: clientKind(c.Kind).Name},
				{Label: textClientEnrolled, Time: v.moment(c.CreatedAt), Help: fromText(c.CreatedIP)},
				{Label: textActivityAgent, Value: c.Agent},
				{Label: textClientThumbprint, Value: c.Thumbprint, Code: true, Wide: true},
			},
			Action: path + "/approve", Button: textClientApprove, Cancel: path,
		},
		do: func() (string, error) {
			_, err := p.c.Clients.Approve(r.Context(), v.caller, c.ID)
			return "client_approved", err
		},
		then: path,
	})
}

func (p *Panel) revokeClient(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.endClient(w, r, v, leaveView{
		Heading: textClientRevoke, Lead: textLeaveDeleteLead, Effects: []string{textRevokeAtOnce, textRevokeTaps, textRevokeFinal},
		LeftLead: textLeaveLeft, Left: []string{textRevokeKeys, textRevokeRecord}, Action: "/revoke", Do: textClientRevoke,
	}, "client_revoked")
}

func (p *Panel) removeClient(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.endClient(w, r, v, leaveView{
		Heading: textClientRemove, Lead: textLeaveDeleteLead, Effects: []string{textRemoveRow},
		LeftLead: textLeaveLeft, Left: []string{textRevokeRecord}, Action: "/remove", Do: textClientRemove,
	}, "client_removed")
}

// endClient asks whether a client is to be revoked or removed, and does it. The room does
// the one or the other by the client's state, so the page insists on the state that it
// showed.
func (p *Panel) endClient(w http.ResponseWriter, r *http.Request, v visit, view leaveView, done string) error {
	c, err := p.findClient(r, v)
	if err != nil {
		return err
	}
	path, status := clientPath(c.ID), http.StatusOK
	if (done == "client_removed") != (c.State == client.Revoked) {
		redirect(w, r, path) // somebody was faster
		return nil
	}
	view.Shell, view.Revision, view.Cancel = p.clientShell(v, c, view.Heading), revisionText(c.Revision), path
	view.Heading, view.Action = view.Heading+": "+c.Name, path+view.Action
	if r.Method == http.MethodPost {
		form, err := readForm(r)
		if err != nil {
			return err
		}
		revision, err := formRevision(form)
		if err != nil {
			return err
		}
		cause := p.c.Clients.Revoke(r.Context(), v.caller, c.ID, revision)
		if cause == nil {
			p.setFlash(w, done)
			if done == "client_removed" {
				path = clientsPath
			}
			redirect(w, r, path)
			return nil
		}
		f, ok := fault.As(cause)
		if !ok || f.Kind != fault.KindPrecondition {
			return cause
		}
		status = http.StatusUnprocessableEntity
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textClientChanged, Text: textLeaveWrong}
	}
	return p.show(w, r, status, leaveTemplate(view))
}
