package holder

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// signInView is the page where people sign in to the app.
type signInView struct {
	Shell   shell
	Next    string
	Pass    string // where people sign in with a pass
	Email   kit.Field
	Summary kit.Summary
}

// codeView is the page where the code is typed.
type codeView struct {
	Shell   shell
	Action  string // where the form goes, with the page to come to
	Code    kit.Field
	Summary kit.Summary
}

// entriesView is the page where somebody of several workspaces chooses one.
type entriesView struct {
	Shell   shell
	Entries []entry
}

type entry struct {
	Workspace string
	Name      string
	Initials  string
}

func (h *Holder) signInPage(w http.ResponseWriter, r *http.Request) error {
	next := kit.SafeNext(r.URL.Query().Get("next"), Prefix)
	if _, err := h.visitor(r); err == nil {
		kit.Redirect(w, r, next, false)
		return nil
	}
	return h.show(w, r, http.StatusOK, signInTemplate(h.signInView(r, next, "", nil)))
}

func (h *Holder) signInView(r *http.Request, next, email string, f *fault.Error) signInView {
	view := signInView{Shell: h.shell(h.stranger(r), textSignInTitle), Next: next, Pass: Prefix + "/pass?" + url.Values{"next": {next}}.Encode(), Email: kit.Field{
		Name: "email", Label: textEmail, Value: email, Type: "email", Autocomplete: "email", Required: true, MaxLength: 254,
	}}
	if f != nil {
		view.Summary = kit.Summary{Title: f.Public}
		for _, field := range f.Fields {
			view.Email.Error = textEmail + " " + field.Message + "."
			view.Summary.Items = append(view.Summary.Items, kit.SummaryItem{Field: "email", Text: view.Email.Error})
		}
	}
	return view
}

func (h *Holder) askCode(w http.ResponseWriter, r *http.Request) error {
	form, err := kit.ReadForm(r)
	if err != nil {
		return err
	}
	email := form.Get("email")
	browser, expires, err := h.c.SignIn.BeginCode(r.Context(), kit.Nobody(r.Context()), directory.Fold(email))
	if f, ok := fault.As(err); ok && (f.Kind == fault.KindInvalid || f.Kind == fault.KindTooMany) {
		kit.RetryAfter(w.Header(), f)
		return h.show(w, r, kit.Status(f), signInTemplate(h.signInView(r, kit.SafeNext(form.Get("next"), Prefix), email, f)))
	}
	if err != nil {
		return err
	}
	// The code may be typed until it expires, and a workspace be chosen as long again.
	h.c.Kit.SetCode(w, browser, expires.Add(signin.CodeLifetime))
	kit.Redirect(w, r, Prefix+"/code?"+url.Values{"next": {kit.SafeNext(form.Get("next"), Prefix)}}.Encode(), false)
	return nil
}

func (h *Holder) codePage(w http.ResponseWriter, r *http.Request) error {
	if _, ok := h.c.Kit.CodeOf(r); !ok {
		kit.Redirect(w, r, Prefix+"/sign-in", false)
		return nil
	}
	return h.show(w, r, http.StatusOK, codeTemplate(h.codeView(r, nil)))
}

func (h *Holder) codeView(r *http.Request, f *fault.Error) codeView {
	view := codeView{Shell: h.shell(h.stranger(r), textCodeTitle), Action: r.URL.RequestURI(), Code: kit.Field{
		Name: "code", Label: textCode, Help: textCodeHelp, Type: "text", Autocomplete: "one-time-code", Required: true, MaxLength: 20,
	}}
	if f != nil {
		view.Code.Error = f.Public
		view.Summary = kit.Summary{Title: textCodeWrong, Items: []kit.SummaryItem{{Field: "code", Text: f.Public}}}
	}
	return view
}

func (h *Holder) proveCode(w http.ResponseWriter, r *http.Request) error {
	form, err := kit.ReadForm(r)
	if err != nil {
		return err
	}
	browser, ok := h.c.Kit.CodeOf(r)
	if !ok {
		kit.Redirect(w, r, Prefix+"/sign-in", false)
		return nil
	}
	by := kit.Nobody(r.Context())
	entries, err := h.c.SignIn.ProveCode(r.Context(), by, browser, form.Get("code"))
	if f, ok := fault.As(err); ok && f.Kind == fault.KindInvalid {
		_ = kit.NoteError(r.Context(), err) // it is answered in the form
		return h.show(w, r, http.StatusUnprocessableEntity, codeTemplate(h.codeView(r, f)))
	}
	if err != nil {
		return err
	}
	if len(entries) == 1 {
		return h.enterWorkspace(w, r, entries[0].Workspace)
	}
	view := entriesView{Shell: h.shell(h.stranger(r), textEntriesTitle)}
	for _, e := range entries {
		view.Entries = append(view.Entries, entry{Workspace: string(e.Workspace), Name: e.Name, Initials: kit.Initials(e.Name)})
	}
	return h.show(w, r, http.StatusOK, entriesTemplate(view))
}

func (h *Holder) enter(w http.ResponseWriter, r *http.Request) error {
	form, err := kit.ReadForm(r)
	if err != nil {
		return err
	}
	workspace, ok := id.Parse[id.KindWorkspace](form.Get("workspace"))
	if !ok {
		kit.Redirect(w, r, Prefix+"/sign-in", false)
		return nil
	}
	return h.enterWorkspace(w, r, workspace)
}

// enterWorkspace opens the session and gives it to the browser, which came to read
// a page or starts at the account.
func (h *Holder) enterWorkspace(w http.ResponseWriter, r *http.Request, workspace id.Workspace) error {
	browser, _ := h.c.Kit.CodeOf(r)
	opened, err := h.c.SignIn.OpenByCode(r.Context(), kit.Nobody(r.Context()), browser, workspace)
	if err != nil {
		return err
	}
	kit.NoteCaller(r.Context(), opened.Caller)
	h.c.Kit.ClearCode(w)
	h.c.Kit.SetSession(w, opened.Token, opened.ExpiresAt)
	kit.Redirect(w, r, kit.SafeNext(r.URL.Query().Get("next"), Prefix), false)
	return nil
}

func (h *Holder) signOut(w http.ResponseWriter, r *http.Request) error {
	caller, err := h.c.Kit.SessionCaller(r)
	if err == nil {
		err = h.c.SignIn.SignOut(r.Context(), caller)
	}
	if f, ok := fault.As(err); err != nil && (!ok || f.Kind != fault.KindUnauthenticated) {
		return err
	}
	h.c.Kit.ClearSession(w)
	h.c.Kit.SetFlash(w, "signed_out")
	kit.Redirect(w, r, Prefix+"/sign-in", false)
	return nil
}

// accountView is the page My account.
type accountView struct {
	Shell    shell
	Name     string
	Initials string
	Facts    []fact
	Waiting  bool // an administrator whose passkeys open the app only
	KeysOnly bool // the session is for setting up keys
	Doors    []doorCard
	Keys     []keyRow
	// NeedsProof says that another key takes more than this session.
	NeedsProof bool
	Passkeys   []passkeyRow
	Sessions   []sessionRow
}

type fact struct{ Label, Value string }

type passkeyRow struct {
	Name    string
	Created kit.Moment
	Used    kit.Moment
	State   kit.Badge // "" unless it waits for a confirmation
	Delete  string
}

type sessionRow struct {
	Agent string
	IP    string
	How   string
	Seen  kit.Moment
	Here  bool
	End   string
}

func (h *Holder) account(w http.ResponseWriter, r *http.Request, v visit) error {
	standing := v.account.Standing
	var sessions []signin.Session
	if !standing.KeysOnly {
		var err error
		if sessions, err = h.c.SignIn.OwnSessions(r.Context(), v.caller); err != nil {
			return err
		}
	}
	keys, err := h.c.SecurityKeys.OwnKeys(r.Context(), v.caller)
	if err != nil {
		return err
	}
	var doors []digitalkey.Own
	if !standing.KeysOnly {
		if doors, err = h.c.DigitalKeys.Own(r.Context(), v.caller); err != nil {
			return err
		}
	}
	p := v.account.Person
	view := accountView{
		Doors: v.doorCards(doors),
		Shell: h.shell(v, textKeys), Name: p.Name, Initials: kit.Initials(p.Name), KeysOnly: standing.KeysOnly,
		Facts: []fact{{textWorkspace, p.WorkspaceName}, {textEmail, p.Email}},
	}
	if !standing.KeysOnly {
		view.Shell.Stream += "?" + url.Values{"pulse": {pulseOf(doors)}}.Encode()
	}
	for _, k := range keys {
		view.Keys = append(view.Keys, v.keyRow(k))
	}
	// Who has shown no more than a mailbox gets no other key beside those they hold.
	view.NeedsProof = standing.ByMailbox && slices.ContainsFunc(keys, func(k securitykey.SecurityKey) bool { return k.Life == securitykey.Active })
	isAdministrator := v.account.IsAdministrator
	view.Waiting = isAdministrator && v.caller.Kind == auth.User && !slices.ContainsFunc(v.account.Passkeys, func(k signin.Passkey) bool { return !k.ConfirmedAt.IsZero() })
	for _, k := range v.account.Passkeys {
		if k.SecurityKey != "" {
			continue // it stands among the security keys
		}
		row := passkeyRow{
			Name: k.Name, Created: v.moment(k.CreatedAt), Used: v.moment(k.LastUsedAt), Delete: Prefix + "/passkeys/" + string(k.ID) + "/delete",
		}
		if isAdministrator && k.ConfirmedAt.IsZero() {
			row.State = kit.Badge{Word: textWaits, Tone: "amber"}
		}
		view.Passkeys = append(view.Passkeys, row)
	}
	for _, s := range sessions {
		view.Sessions = append(view.Sessions, sessionRow{
			Agent: browserName(s.Agent), IP: s.IP, How: openedText(s.OpenedBy), Seen: v.moment(s.LastSeenAt), Here: s.ID == v.caller.Session,
			End: Prefix + "/sessions/" + string(s.ID) + "/end",
		})
	}
	return h.show(w, r, http.StatusOK, accountTemplate(view))
}

func (v visit) moment(t time.Time) kit.Moment { return kit.NewMoment(v.now, t, v.zone) }

// passkeyAnswer is what the passkey script sends back.
type passkeyAnswer struct {
	Ceremony string          `json:"ceremony"`
	Response json.RawMessage `json:"response"`
}

func (h *Holder) passkeyOptions(r *http.Request, by auth.Caller) (any, error) {
	c, err := h.c.SignIn.BeginPasskey(r.Context(), by)
	return map[string]any{"ceremony": c.Ceremony, "options": c.Options}, err
}

func (h *Holder) addPasskey(r *http.Request, by auth.Caller) (any, error) {
	var in passkeyAnswer
	if err := kit.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	ceremony, ok := id.Parse[id.KindCeremony](in.Ceremony)
	if !ok {
		return nil, fault.Invalid("invalid_ceremony", kit.TextUnreadable)
	}
	_, err := h.c.SignIn.FinishPasskey(r.Context(), by, ceremony, in.Response)
	return map[string]string{"location": Prefix}, err
}

func (h *Holder) deletePasskey(w http.ResponseWriter, r *http.Request, v visit) error {
	passkey, ok := id.Parse[id.KindPasskey](r.PathValue("id"))
	if !ok {
		return fault.NotFound("passkey_not_found", textNotFound)
	}
	if err := h.c.SignIn.DeletePasskey(r.Context(), v.caller, passkey); err != nil {
		return err
	}
	h.c.Kit.SetFlash(w, "passkey_deleted")
	kit.Redirect(w, r, Prefix, false)
	return nil
}

func (h *Holder) endSession(w http.ResponseWriter, r *http.Request, v visit) error {
	session, ok := id.Parse[id.KindSession](r.PathValue("id"))
	if !ok {
		return fault.NotFound("session_not_found", textNotFound)
	}
	if err := h.c.SignIn.EndOwnSession(r.Context(), v.caller, session); err != nil {
		return err
	}
	h.c.Kit.SetFlash(w, "session_ended")
	kit.Redirect(w, r, Prefix, false)
	return nil
}

// live tells the page when the person's doors change, and when its session ends, so that the
// window is out at once. The page says in pulse how the doors were when it was made: what
// changed before the stream began is not missed.
func (h *Holder) live(w http.ResponseWriter, r *http.Request) error {
	by, err := h.c.Kit.SessionCaller(r)
	if err != nil {
		return h.c.Kit.LiveEnded(w, err)
	}
	account, err := h.c.SignIn.Account(r.Context(), by)
	if err != nil {
		return h.c.Kit.LiveEnded(w, err)
	}
	heard, cancel := h.c.Signals.Subscribe(signal.Of(by.Workspace, signal.User, string(by.User)))
	defer cancel()
	pulse := r.URL.Query().Get("pulse")
	h.c.Kit.Live(w, r, by, heard, func(ctx context.Context) ([]kit.LiveEvent, error) {
		if account.Standing.KeysOnly { // it may not read the record, but knows when it ends
			_, err := h.c.SignIn.Account(ctx, by)
			return nil, err
		}
		doors, err := h.c.DigitalKeys.Own(ctx, by)
		if err != nil {
			return nil, err
		}
		before, now := pulse, pulseOf(doors)
		if pulse = now; before == now || before == "" {
			return nil, nil
		}
		return []kit.LiveEvent{{Name: "changed", Data: map[string][]string{"kinds": {"digital_key"}}}}, nil
	})
	return nil
}
