package panel

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/vault"
)

// Vault is what the panel asks of the room of the passkeys that people have at websites.
type Vault interface {
	List(ctx context.Context, by auth.Caller, u id.User, p page.Request) (page.Page[vault.Credential], error)
	Find(ctx context.Context, by auth.Caller, c id.Credential) (vault.Credential, error)
	Delete(ctx context.Context, by auth.Caller, c id.Credential) error
}

// credentialRow is a credential on its holder's page.
type credentialRow struct {
	Site    string
	RPID    string // "" if the site has no other name
	Account string
	Display string
	Created moment
	By      string
	Used    moment
	Uses    string
	Key     string
	KeyPath string
	Acts    string // where its activities are listed, "" if the person may not see them
	Delete  string
}

func credentialsPath(u id.User) string { return userPath(u) + "?tab=" + tabCredentials }

func (v visit) credentialRow(c vault.Credential) credentialRow {
	row := credentialRow{
		Site: c.RPName, RPID: c.RPID, Account: c.UserName, Display: c.DisplayName, Created: v.moment(c.CreatedAt), By: c.CreatedBy, Used: v.moment(c.LastUsedAt),
		Uses: thousands(int(c.Uses)), Key: c.LastKeyName,
	}
	if row.Site == "" || row.Site == row.RPID {
		row.Site, row.RPID = c.RPID, ""
	}
	if row.Account == "" {
		row.Account, row.Display = row.Display, ""
	}
	if row.Display == row.Account {
		row.Display = ""
	}
	switch {
	case c.LastKey == "":
	case c.LastKeyName == "":
		row.Key = textCredentialKeyGone
	default:
		row.KeyPath = securityKeyPath(c.LastKey)
	}
	if v.can(auth.ActivitiesRead) {
		row.Acts = "/activities?" + url.Values{"target": {string(c.ID)}}.Encode()
	}
	if v.can(auth.SecurityKeysWrite) {
		row.Delete = userPath(c.User) + "/credentials/" + string(c.ID) + "/delete"
	}
	return row
}

// fillCredentials shows the user's credentials, the newest first.
func (p *Panel) fillCredentials(r *http.Request, v visit, u directory.User, view *userView) error {
	l, err := p.readList(r, v, nil, "tab")
	if err != nil {
		return err
	}
	l.page.Descending = true
	found, err := p.c.Vault.List(r.Context(), v.caller, u.ID, l.page)
	if err != nil {
		return err
	}
	for _, c := range found.Items {
		view.Credentials = append(view.Credentials, v.credentialRow(c))
	}
	view.Empty = empty{Icon: "fingerprint", Title: textCredentialsNone, Text: textCredentialsNoneText}
	view.Pages, err = p.pager(r.Context(), v, l, found.Next)
	return err
}

func (p *Panel) deleteCredential(w http.ResponseWriter, r *http.Request, v visit) error {
	// What is no id is the zero one, which no credential has: the room answers.
	name, _ := id.Parse[id.KindCredential](r.PathValue("credential"))
	c, err := p.c.Vault.Find(r.Context(), v.caller, name)
	if err != nil {
		return err
	}
	if c.User != userID(r) {
		return vault.Unknown()
	}
	back := credentialsPath(c.User)
	view := leaveView{
		Shell:   p.shell(v, textCredentialDelete, crumb{Name: textNavUsers}, crumb{Name: textUsersTitle, Path: "/users"}, crumb{Name: c.Holder.Name, Path: userPath(c.User)}),
		Heading: deleteCredentialText(c.Label()), Lead: textLeaveDeleteLead, Effects: []string{credentialGoesText(c.Holder.Name, c.Label()), textCredentialLocked},
		LeftLead: textLeaveLeft, Left: []string{textCredentialSite, textLeftWebsites, textRevokeRecord}, Confirm: confirmField(""), Phrase: c.RPID,
		Action: userPath(c.User) + "/credentials/" + string(c.ID) + "/delete", Do: textCredentialDelete, Cancel: back,
	}
	if r.Method != http.MethodPost {
		return p.show(w, r, http.StatusOK, leaveTemplate(view))
	}
	form, err := readForm(r)
	if err != nil {
		return err
	}
	view.Confirm = confirmField(form.Get("confirm"))
	var cause error = typeAgain()
	if isTyped(form.Get("confirm"), c.RPID) {
		cause = p.c.Vault.Delete(r.Context(), v.caller, c.ID)
	}
	if cause == nil {
		p.setFlash(w, "credential_deleted")
		redirect(w, r, back)
		return nil
	}
	f, status, shown := isRuleFault(cause)
	if !shown {
		return cause
	}
	var texts map[string]string
	view.Summary, texts = wrong(f, "confirm")
	view.Confirm.Error = texts["confirm"]
	return p.show(w, r, status, leaveTemplate(view))
}

// names are those of the clients and keys that lines of the record speak of.
type names struct {
	clients map[id.Client]string
	keys    map[id.SecurityKey]string
}

// namesIn finds the names of the clients in lines and, if asked for, of the security keys,
// each once. Who may not see them, and what is gone, gets no name.
func (p *Panel) namesIn(ctx context.Context, v visit, keys bool, lines ...activity.Event) (names, error) {
	out := names{clients: map[id.Client]string{}, keys: map[id.SecurityKey]string{}}
	for _, e := range lines {
		if _, known := out.clients[e.Client]; e.Client != "" && !known && v.can(auth.ClientsRead) {
			c, err := p.c.Clients.Find(ctx, v.caller, e.Client)
			if err != nil && !isNotFound(err) {
				return out, err
			}
			out.clients[e.Client] = c.Name
		}
		if _, known := out.keys[e.SecurityKey]; keys && e.SecurityKey != "" && !known && v.can(auth.SecurityKeysRead) {
			found, err := p.c.SecurityKeys.Find(ctx, v.caller, e.SecurityKey)
			if err != nil && !isNotFound(err) {
				return out, err
			}
			out.keys[e.SecurityKey] = found.Key.Name
		}
	}
	return out, nil
}

// put names the client of a line in its row, and the security key if that has a name.
func (n names) put(row *activityRow, e activity.Event) {
	if name := n.clients[e.Client]; name != "" && row.Computer != "" {
		row.Computer, row.ComputerPath = name, clientPath(e.Client)
	}
	if name := n.keys[e.SecurityKey]; name != "" && row.Key != "" {
		row.Key = name
	}
}

// calledBy returns the name of the client or the credential with the id, "" if it is none
// that the person may see.
func (p *Panel) calledBy(ctx context.Context, v visit, value string) (string, error) {
	if c, ok := id.Parse[id.KindClient](value); ok && v.can(auth.ClientsRead) {
		found, err := p.c.Clients.Find(ctx, v.caller, c)
		if isNotFound(err) {
			return "", nil
		}
		return found.Name, err
	}
	if c, ok := id.Parse[id.KindCredential](value); ok && v.can(auth.SecurityKeysRead) {
		found, err := p.c.Vault.Find(ctx, v.caller, c)
		if isNotFound(err) {
			return "", nil
		}
		return found.Label(), err
	}
	return "", nil
}

// recentOn are the last lines about acts on what has the id.
func (p *Panel) recentOn(ctx context.Context, v visit, target string) ([]activityRow, error) {
	found, err := p.c.Record.List(ctx, v.caller, activity.Query{Target: target, Page: page.Request{Descending: true, Limit: recentLines}})
	if err != nil {
		return nil, err
	}
	var out []activityRow
	for _, e := range found.Items {
		out = append(out, newActivityRow(v, e, target))
	}
	return out, nil
}

// userActivityColumns are the heads of the table of a user's activities.
func userActivityColumns() []column {
	return []column{
		{Name: textColumnWhen},
		{Name: textColumnWhat},
		{Name: textRecordRP, Class: "kh-middle"},
		{Name: textRecordKey, Class: "kh-wide"},
		{Name: textColumnComputer, Class: "kh-wide"},
		{Name: textColumnOutcome},
		{Name: textColumnIP, Class: "kh-widest"},
	}
}

// userActivityRow is a line on a user's page: who else did it stands under what.
func userActivityRow(v visit, e activity.Event, u id.User, n names) activityRow {
	row := newActivityRow(v, e, string(u))
	if e.Target.Type == "credential" && e.Outcome == activity.Success { // website and account are named beside it
		done, _ := actionText(e.Action)
		account, _, named := strings.Cut(e.Target.Name, " at "+e.RPID)
		if row.What = done; named {
			row.Account = account
		}
	}
	row.RP = e.RPID
	if e.SecurityKey != "" && row.Key == "" { // it is the target
		row.Key, row.KeyPath = e.Target.Name, partyPath(v, e.Target)
	}
	n.put(&row, e)
	switch {
	case e.Actor.ID == string(u):
		row.Actor, row.ActorPath = "", ""
	case e.Actor.Type == string(auth.Client): // nobody showed who they are: the computer did it
		row.Computer, row.ComputerPath = cmp.Or(n.clients[e.Client], e.Actor.Name, e.Actor.ID), row.ActorPath
		row.Actor, row.ActorPath = "", ""
	}
	return row
}

// registerCredentials is the route registration of the credentials' pages.
func (p *Panel) registerCredentials(mux *http.ServeMux) {
	mux.Handle("GET /users/{id}/credentials/{credential}/delete", p.form(auth.SecurityKeysWrite, p.deleteCredential))
	mux.Handle("POST /users/{id}/credentials/{credential}/delete", p.signed(p.deleteCredential))
}
