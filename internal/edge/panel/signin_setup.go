package panel

import (
	"net/http"

	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/flow/join"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// setupView is the page that a setup link opens.
type setupView struct {
	Shell    shell
	Link     string
	Heading  string
	Lead     string
	Fields   []field // empty when the person is known
	Continue bool    // the link may sign in without a passkey
}

func (p *Panel) setupPage(w http.ResponseWriter, r *http.Request) error {
	value := r.URL.Query().Get("link")
	link, err := p.c.SignIn.FindSetupLink(r.Context(), kit.Nobody(r.Context()), secret.FromString(value))
	if err != nil {
		return err
	}
	v := p.stranger(r)
	v.path = homePath // the link's secret is not for other forms
	return p.show(w, r, http.StatusOK, setupTemplate(p.setupView(v, value, link)))
}

func (p *Panel) setupView(v visit, value string, link signin.Link) setupView {
	if link.SetupLink.User != "" {
		return setupView{
			Shell: p.shell(v, "Welcome to "+link.Person.WorkspaceName), Link: value, Heading: "Welcome, " + link.Person.Name,
			Lead: textSetupKnownLead, Continue: link.SetupLink.SignsIn,
		}
	}
	return setupView{Shell: p.shell(v, textSetupTitle), Link: value, Heading: textSetupTitle, Lead: textSetupLead, Fields: []field{
		{Name: "workspace", Label: fieldLabel("workspace"), Help: textSetupWorkspaceHelp, Value: link.Person.WorkspaceName, Type: "text", Autocomplete: "organization", Required: true, Wide: true, MaxLength: 100},
		{Name: "first_name", Label: fieldLabel("first_name"), Type: "text", Autocomplete: "given-name", MaxLength: 100},
		{Name: "last_name", Label: fieldLabel("last_name"), Type: "text", Autocomplete: "family-name", MaxLength: 100},
		{Name: "email", Label: fieldLabel("email"), Type: "email", Autocomplete: "email", Required: true, Wide: true, MaxLength: 254},
	}}
}

// setupStart is what the passkey script sends to begin.
type setupStart struct {
	Link      string `json:"link"`
	Workspace string `json:"workspace"`
	Email     string `json:"email"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
}

func (p *Panel) setupOptions(_ http.ResponseWriter, r *http.Request) (any, error) {
	var in setupStart
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	c, err := p.c.Join.BeginPasskey(r.Context(), kit.Nobody(r.Context()), secret.FromString(in.Link),
		join.Owner{Workspace: in.Workspace, Email: in.Email, FirstName: in.FirstName, LastName: in.LastName})
	return newChallenge(c), err
}

func (p *Panel) setup(w http.ResponseWriter, r *http.Request) (any, error) {
	var in answer
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	ceremony, err := in.ceremony()
	if err != nil {
		return nil, err
	}
	opened, err := p.c.Join.FinishPasskey(r.Context(), kit.Nobody(r.Context()), secret.FromString(in.Link), ceremony, in.Response)
	if err != nil {
		return nil, err
	}
	p.admit(w, r, opened)
	return landing{Location: homePath}, nil
}

func (p *Panel) setupContinue(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	opened, err := p.c.SignIn.SignInByLink(r.Context(), kit.Nobody(r.Context()), secret.FromString(form.Get("link")))
	if err != nil {
		return err
	}
	p.admit(w, r, opened)
	redirect(w, r, homePath)
	return nil
}
