package panel

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/room/vault"
)

var (
	_ Clients = (*client.Service)(nil)
	_ Vault   = (*vault.Service)(nil)
)

const (
	frontDesk = id.Client("cli_01h455vb4pex5vsknk084sn02e")
	pierDesk  = id.Client("cli_01h455vb4pex5vsknk084sn02f")
	oldDesk   = id.Client("cli_01h455vb4pex5vsknk084sn02g")
	goodCode  = id.EnrolmentCode("enr_01h455vb4pex5vsknk084sn02h")
	shopLogin = id.Credential("cred_01h455vb4pex5vsknk084sn02j")
	bareLogin = id.Credential("cred_01h455vb4pex5vsknk084sn02k")
)

// clientRoom is what the doubles of clients and credentials hold, and what they were asked
// for.
type clientRoom struct {
	desks       []client.Client
	goodCodes   []client.Code
	logins      []vault.Credential
	askedDesks  client.Query
	deskMove    client.Change
	deskDid     []string
	deskFault   error // what every writing call answers
	codeOnce    map[string]bool
	askedLogins page.Request
}

// clientWorld is the room of clients, vaultWorld that of credentials.
type (
	clientWorld struct{ *world }
	vaultWorld  struct{ *world }
)

func (w clientWorld) did(what string) error {
	if w.deskFault == nil {
		w.deskDid = append(w.deskDid, what)
	}
	return w.deskFault
}

func (w clientWorld) List(_ context.Context, _ auth.Caller, q client.Query) (page.Page[client.Client], error) {
	w.askedDesks = q
	return page.Page[client.Client]{Items: w.desks, Next: w.next, Total: -1}, nil
}

func (w clientWorld) Count(context.Context, auth.Caller) (client.Counts, error) {
	var n client.Counts
	for _, c := range w.desks {
		switch c.State {
		case client.Pending:
			n.Pending++
		case client.Approved:
			n.Approved++
		case client.Revoked:
			n.Revoked++
		}
	}
	n.Total = n.Pending + n.Approved
	return n, nil
}

func (w clientWorld) Find(_ context.Context, _ auth.Caller, c id.Client) (client.Client, error) {
	for _, have := range w.desks {
		if have.ID == c {
			return have, nil
		}
	}
	return client.Client{}, client.Unknown()
}

func (w clientWorld) Change(_ context.Context, _ auth.Caller, c id.Client, in client.Change, ifRevision int64) (client.Client, error) {
	w.deskMove = in
	return client.Client{ID: c}, w.did(fmt.Sprint("change ", c, " ", ifRevision))
}

func (w clientWorld) Approve(_ context.Context, _ auth.Caller, c id.Client) (client.Client, error) {
	return client.Client{ID: c}, w.did("approve " + string(c))
}

func (w clientWorld) Revoke(_ context.Context, _ auth.Caller, c id.Client, ifRevision int64) error {
	return w.did(fmt.Sprint("revoke ", c, " ", ifRevision))
}

func (w clientWorld) IssueCode(ctx context.Context, _ auth.Caller, n client.NewEnrolmentCode) (client.Code, secret.Bytes, error) {
	if err := w.did(fmt.Sprint("issue ", n.Life, " ", n.Uses)); err != nil {
		return client.Code{}, secret.Bytes{}, err
	}
	if r, ok := once.From(ctx); ok {
		if w.codeOnce[r.Digest] {
			return client.Code{}, secret.Bytes{}, &once.Repeated{Note: string(goodCode)}
		}
		w.codeOnce = map[string]bool{r.Digest: true}
	}
	return client.Code{ID: goodCode, Uses: n.Uses, Left: n.Uses, ExpiresAt: now().Add(n.Life)}, secret.FromString("7QWX-2MNR-K8PV-HJ4T"), nil
}

func (w clientWorld) Codes(context.Context, auth.Caller) ([]client.Code, error) {
	return w.goodCodes, nil
}

func (w clientWorld) WithdrawCode(_ context.Context, _ auth.Caller, c id.EnrolmentCode) error {
	return w.did("withdraw " + string(c))
}

func (w vaultWorld) List(_ context.Context, _ auth.Caller, _ id.User, p page.Request) (page.Page[vault.Credential], error) {
	w.askedLogins = p
	return page.Page[vault.Credential]{Items: w.logins, Next: w.next, Total: -1}, nil
}

func (w vaultWorld) Find(_ context.Context, _ auth.Caller, c id.Credential) (vault.Credential, error) {
	for _, have := range w.logins {
		if have.ID == c {
			return have, nil
		}
	}
	return vault.Credential{}, vault.Unknown()
}

func (w vaultWorld) Delete(_ context.Context, _ auth.Caller, c id.Credential) error {
	return clientWorld(w).did("delete " + string(c))
}

// desks3 are a client in each state, and a good code.
func (w *world) desks3() {
	enrolled := now().AddDate(0, 0, -20)
	w.desks = []client.Client{
		{
			ID: frontDesk, Name: "Front desk <1>", Kind: client.Agent, State: client.Approved, Thumbprint: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", PinlessAllowed: true,
			ReaderFormat: client.DecimalReversed, APIKey: "key_01h455vb4pex5vsknk084sn02w", CreatedAt: enrolled, CreatedIP: "192.0.2.9", ApprovedAt: enrolled.Add(time.Hour),
			ApprovedBy: "Ada Lovelace", LastSeenAt: now().Add(-3 * time.Minute), LastIP: "2001:db8::7", Agent: "keyhold-agent/1.0 (linux) <b>", Revision: 4,
		},
		{
			ID: pierDesk, Name: "A workstation at the far end of the pier", Kind: client.Extension, State: client.Pending, Thumbprint: "aFront", ReaderFormat: client.Hex, CreatedAt: now().Add(-time.Hour),
			CreatedIP: "192.0.2.10", LastSeenAt: now().Add(-time.Hour), LastIP: "192.0.2.10", Agent: "Keyhold/1", Revision: 1,
		},
		{
			ID: oldDesk, Name: "Old desk", Kind: client.Agent, State: client.Revoked, Thumbprint: "aOld", ReaderFormat: client.HexReversed, CreatedAt: enrolled, ApprovedAt: enrolled,
			ApprovedBy: "Grace Hopper", RevokedAt: now().AddDate(0, 0, -1), Revision: 3,
		},
	}
	w.goodCodes = []client.Code{
		{ID: goodCode, Uses: 40, Left: 12, CreatedBy: "Ada Lovelace <x>", CreatedAt: now().Add(-2 * time.Hour), ExpiresAt: now().Add(22 * time.Hour)},
		{ID: "enr_01h455vb4pex5vsknk084sn02m", Uses: 1, Left: 1, CreatedBy: "Payroll", CreatedAt: now().Add(-time.Minute), ExpiresAt: now().Add(59 * time.Minute)},
	}
}

func desksReading(permissions ...auth.Permission) func(*world) {
	return func(w *world) {
		w.desks3()
		w.standing = permissions
	}
}

func desksRefusing(f error) func(*world) {
	return func(w *world) {
		w.desks3()
		w.deskFault = f
	}
}

func deskForm(pairs ...string) url.Values {
	form := url.Values{"name": {"Reception <2>"}, "reader_format": {"decimal"}, "revision": {"4"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

func TestClientPages(t *testing.T) {
	one, waits, over := clientPath(frontDesk), clientPath(pierDesk), clientPath(oldDesk)
	taken := fault.Conflict("name_taken", "Another client has this name.", fault.Field{Name: "name", Message: "is taken by another client"})
	wrongUses := fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "uses", Message: "must be between 1 and 1000"})
	goldenPages(t, []goldenPage{
		{"clients", "/clients", nil, (*world).desks3, http.StatusOK},
		{"clients_none", "/clients", nil, nil, http.StatusOK},
		{"clients_one", "/clients?state=approved&q=fr&sort=-last_seen", nil, func(w *world) { w.desks3(); w.desks = w.desks[:1] }, http.StatusOK},
		{"clients_reader", "/clients", nil, desksReading(auth.ClientsRead), http.StatusOK},
		{"clients_none_reader", "/clients", nil, func(w *world) { w.standing = auth.Permissions{auth.ClientsRead} }, http.StatusOK},
		{"client_approved", one, nil, (*world).desks3, http.StatusOK},
		{"client_pending", waits, nil, func(w *world) { w.desks3(); w.events3() }, http.StatusOK},
		{"client_revoked", over, nil, (*world).desks3, http.StatusOK},
		{"client_reader", waits, nil, desksReading(auth.ClientsRead), http.StatusOK},
		{"client_unknown", "/clients/nonsense", nil, (*world).desks3, http.StatusNotFound},
		{"client_edit", one + "/edit", nil, (*world).desks3, http.StatusOK},
		{"client_edit_taken", one + "/edit", deskForm(), desksRefusing(taken), http.StatusUnprocessableEntity},
		{"client_edit_changed", one + "/edit", deskForm("revision", "3"), desksRefusing(fault.Precondition()), http.StatusUnprocessableEntity},
		{"client_approve", waits + "/approve", nil, (*world).desks3, http.StatusOK},
		{"client_revoke", one + "/revoke", nil, (*world).desks3, http.StatusOK},
		{"client_revoke_changed", one + "/revoke", url.Values{"revision": {"3"}}, desksRefusing(fault.Precondition()), http.StatusUnprocessableEntity},
		{"client_remove", over + "/remove", nil, (*world).desks3, http.StatusOK},
		{"codes", "/clients/codes", nil, (*world).desks3, http.StatusOK},
		{"codes_none", "/clients/codes", nil, nil, http.StatusOK},
		{"codes_reader", "/clients/codes", nil, desksReading(auth.ClientsRead), http.StatusOK},
		{"codes_wrong", "/clients/codes", url.Values{"minutes": {"480"}, "uses": {"many"}}, desksRefusing(wrongUses), http.StatusUnprocessableEntity},
		{"code_shown", "/clients/codes", url.Values{"minutes": {"1440"}, "uses": {"40"}}, (*world).desks3, http.StatusOK},
		{"code_withdraw", codeWithdrawPath(goodCode), nil, (*world).desks3, http.StatusOK},
	})
}

func TestClients_askForWhatTheURLSays(t *testing.T) {
	w := newWorld()
	w.desks3()
	w.ask(t, "/clients?q=fr&state=pending&sort=-last_seen", nil)
	if q := w.askedDesks; q.State != client.Pending || len(q.Words) != 1 || q.Words[0] != "fr" || q.Page.Sort != client.SortLastSeen || !q.Page.Descending {
		t.Errorf("List(%+v), want the pending ones with fr, last seen first", q)
	}
	w.ask(t, "/clients?state=nonsense&sort=thumbprint", nil)
	if q := w.askedDesks; q.State != "" || q.Page.Sort != "" {
		t.Errorf("List(%+v), want all", q)
	}
}

func TestClientForms_goOn(t *testing.T) {
	one, waits, over := clientPath(frontDesk), clientPath(pierDesk), clientPath(oldDesk)
	for _, tt := range []struct {
		path string
		form url.Values
		to   string
		did  string
	}{
		{one + "/edit", deskForm("pinless_allowed", "on"), one, "change " + string(frontDesk) + " 4"},
		{waits + "/approve", url.Values{}, waits, "approve " + string(pierDesk)},
		{one + "/revoke", url.Values{"revision": {"4"}}, one, "revoke " + string(frontDesk) + " 4"},
		{over + "/remove", url.Values{"revision": {"3"}}, clientsPath, "revoke " + string(oldDesk) + " 3"},
		// The room does either by the client's state: the page insists on the one that it asked about.
		{one + "/remove", url.Values{"revision": {"4"}}, one, ""},
		{over + "/revoke", url.Values{"revision": {"3"}}, over, ""},
		{codeWithdrawPath(goodCode), url.Values{}, codesPath, "withdraw " + string(goodCode)},
	} {
		w := newWorld()
		w.desks3()
		rec := w.ask(t, tt.path, tt.form)
		if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != tt.to || strings.Join(w.deskDid, "; ") != tt.did {
			t.Errorf("POST %s = %d to %q, did %q, want 303 to %q, %q", tt.path, rec.Code, rec.Header().Get("Location"), w.deskDid, tt.to, tt.did)
		}
		if strings.HasSuffix(tt.path, "/edit") && (*w.deskMove.Name != "Reception <2>" || *w.deskMove.ReaderFormat != client.Decimal || !*w.deskMove.PinlessAllowed) {
			t.Errorf("Change(%+v)", w.deskMove)
		}
	}
}

func TestCodes_areShownOnce(t *testing.T) {
	w := newWorld()
	form := url.Values{"minutes": {"60"}, "uses": {"3"}, "once": {"ABCD"}}
	first := w.ask(t, "/clients/codes", form)
	if first.Code != http.StatusOK || !strings.Contains(first.Body.String(), "7QWX-2MNR-K8PV-HJ4T") || w.deskDid[0] != "issue 1h0m0s 3" {
		t.Errorf("issued = %d, did %q", first.Code, w.deskDid)
	}
	again := w.ask(t, "/clients/codes", form)
	if again.Code != http.StatusOK || strings.Contains(again.Body.String(), "7QWX") || !strings.Contains(again.Body.String(), textCodeAgain) {
		t.Errorf("sent again = %d, want a page without the code", again.Code)
	}
	for typed, want := range map[string]string{"0": "issue 1h0m0s -1", "": "issue 1h0m0s -1", "1e9": "issue 1h0m0s -1"} {
		one := newWorld()
		one.ask(t, "/clients/codes", url.Values{"minutes": {"60"}, "uses": {typed}})
		if len(one.deskDid) != 1 || one.deskDid[0] != want {
			t.Errorf("%q uses = %q, want %q", typed, one.deskDid, want)
		}
	}
	w = newWorld()
	w.ask(t, "/clients/codes", url.Values{"minutes": {"99999999999999999"}, "uses": {"1"}})
	if len(w.deskDid) != 1 || w.deskDid[0] != "issue 720h1m0s 1" {
		t.Errorf("for ever = %q, want more than the room takes", w.deskDid)
	}
}

func TestDashboard_tellsOfClientsThatWait(t *testing.T) {
	w := newWorld()
	w.desks3()
	const told = "1 client waits for approval"
	if body := w.ask(t, "/dashboard", nil).Body.String(); !strings.Contains(body, told) || !strings.Contains(body, `href="/clients?state=pending"`) {
		t.Error("the dashboard does not tell of the client that waits")
	}
	w.standing = auth.Permissions{auth.UsersRead}
	if body := w.ask(t, "/dashboard", nil).Body.String(); strings.Contains(body, told) {
		t.Error("the dashboard tells of clients to somebody who may not see them")
	}
}

func TestSearch_findsClientsAndCredentials(t *testing.T) {
	w := newWorld()
	w.desks3()
	w.logins2()
	for query, want := range map[string]string{"front": clientPath(frontDesk), string(oldDesk): clientPath(oldDesk), string(shopLogin): credentialsPath(grace), "issue": codesPath} {
		if body := w.ask(t, "/search?q="+url.QueryEscape(query), nil).Body.String(); !strings.Contains(body, `href="`+want+`"`) {
			t.Errorf("searching for %s does not lead to %s", query, want)
		}
	}
	w.standing = auth.Permissions{auth.UsersRead}
	if body := w.ask(t, "/search?q="+string(oldDesk), nil).Body.String(); strings.Contains(body, "Old desk") {
		t.Error("the search finds a client for somebody who may not see it")
	}
}
