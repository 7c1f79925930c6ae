package holder

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/securitykey"
	"github.com/keyhold/keyhold/internal/room/signin"
)

// SecurityKeys is what the app asks of the room of security keys.
type SecurityKeys interface {
	OwnKeys(ctx context.Context, by auth.Caller) ([]securitykey.SecurityKey, error)
	OwnLink(ctx context.Context, by auth.Caller, k id.SecurityKey) (secret.Bytes, error)
	ChangePIN(ctx context.Context, by auth.Caller, k id.SecurityKey, old, next secret.Bytes) error
	ReportLost(ctx context.Context, by auth.Caller, k id.SecurityKey) (securitykey.SecurityKey, error)
	Rules(ctx context.Context, by auth.Caller) (securitykey.PINRules, error)
	OpenLink(ctx context.Context, by auth.Caller, link secret.Bytes) (securitykey.Invitation, error)
	ActivateCard(ctx context.Context, by auth.Caller, link secret.Bytes, c securitykey.CardActivation) (securitykey.SecurityKey, error)
}

// Bind is what the app asks of the flow that makes a phone or a hardware key a
// security key.
type Bind interface {
	BeginByLink(ctx context.Context, by auth.Caller, link secret.Bytes) (signin.Challenge, error)
	FinishByLink(ctx context.Context, by auth.Caller, link secret.Bytes, c id.Ceremony, response []byte) (securitykey.SecurityKey, error)
}

// registerSecurityKeys is the route registration of people's own security keys.
func (h *Holder) registerSecurityKeys(mux *http.ServeMux) {
	mux.Handle("GET "+Prefix+"/keys/{id}/pin", h.signed(h.pinPage))
	mux.Handle("POST "+Prefix+"/keys/{id}/pin", h.signed(h.changePIN))
	mux.Handle("GET "+Prefix+"/keys/{id}/lost", h.signed(h.lostPage))
	mux.Handle("POST "+Prefix+"/keys/{id}/lost", h.signed(h.reportLost))
	mux.Handle("POST "+Prefix+"/keys/{id}/activate", h.signed(h.activateOwn))
	mux.Handle("GET "+Prefix+"/activate", h.open(h.activatePage))
	mux.Handle("POST "+Prefix+"/activate", h.open(h.activateCard))
	mux.Handle("POST "+Prefix+"/activate/options", h.data(h.bindOptions))
	mux.Handle("POST "+Prefix+"/activate/passkey", h.data(h.bindPasskey))
	mux.Handle("GET "+Prefix+"/activated", h.open(h.activatedPage))
}

// keyRow is a security key in the list of one's own.
type keyRow struct {
	Name     string
	Icon     string
	Kind     string
	State    kit.Badge
	Used     kit.Moment
	Note     string // what its holder is to know or do
	Activate string // where it is activated, "" if that is not to be done
	PIN      string // where its PIN is changed, "" if it has none
	Lost     string // where it is reported, "" if it does not work anyway
}

func (v visit) keyRow(k securitykey.SecurityKey) keyRow {
	path := Prefix + "/keys/" + string(k.ID)
	row := keyRow{
		Name: k.Name, Icon: lookOf(k.Kind).Icon, Kind: lookOf(k.Kind).Name, State: keyBadge(k), Used: v.moment(k.LastActivityAt), Note: keyNote(k, v.now),
	}
	if k.Life == securitykey.Pending && k.Shown() != securitykey.Suspended && !k.ToConfirm && k.Link.ID != "" && v.now.Before(k.Link.ExpiresAt) {
		row.Activate = path + "/activate"
	}
	if k.Shown() == securitykey.Active && len(k.PIN.Verifier) > 0 && !v.account.Standing.KeysOnly {
		row.PIN = path + "/pin"
	}
	if k.Shown() != securitykey.Suspended && !v.account.Standing.KeysOnly {
		row.Lost = path + "/lost"
	}
	return row
}

// ownKey returns the key of the path, which is the caller's.
func (h *Holder) ownKey(r *http.Request, v visit) (securitykey.SecurityKey, error) {
	all, err := h.c.SecurityKeys.OwnKeys(r.Context(), v.caller)
	if err != nil {
		return securitykey.SecurityKey{}, err
	}
	for _, k := range all {
		if string(k.ID) == r.PathValue("id") {
			return k, nil
		}
	}
	return securitykey.SecurityKey{}, fault.NotFound("security_key_not_found", textNotFound)
}

// pinView is the page where a PIN is changed.
type pinView struct {
	Shell   shell
	Heading string
	Lead    string
	Action  string
	Rules   string
	Old     kit.Field
	New     kit.Field
	Again   kit.Field
	Summary kit.Summary
}

func (h *Holder) pinPage(w http.ResponseWriter, r *http.Request, v visit) error {
	return h.showPIN(w, r, v, nil)
}

func (h *Holder) showPIN(w http.ResponseWriter, r *http.Request, v visit, f *fault.Error) error {
	k, err := h.ownKey(r, v)
	if err != nil {
		return err
	}
	rules, err := h.c.SecurityKeys.Rules(r.Context(), v.caller)
	if err != nil {
		return err
	}
	view := pinView{
		Shell: h.shell(v, textPINTitle), Heading: textPINTitle + ": " + k.Name, Lead: textPINLead, Action: Prefix + "/keys/" + string(k.ID) + "/pin", Rules: rulesText(rules),
		Old:   kit.Field{Name: "old", Label: textPINOld, Type: "password", Autocomplete: "off", Required: true, MaxLength: maxPIN},
		New:   kit.Field{Name: "pin", Label: textPINNew, Help: rulesText(rules), Type: "password", Autocomplete: "new-password", Required: true, MaxLength: maxPIN},
		Again: kit.Field{Name: "again", Label: textPINAgain, Type: "password", Autocomplete: "new-password", Required: true, MaxLength: maxPIN},
	}
	status := http.StatusOK
	if f != nil {
		status = kit.Status(f)
		kit.RetryAfter(w.Header(), f)
		view.Summary = formSummary(f, &view.Old, &view.New, &view.Again)
	}
	return h.show(w, r, status, pinTemplate(view))
}

// maxPIN bounds what is typed as a PIN, in bytes.
const maxPIN = 63

// formSummary says at the fields and on top of the form what a fault says of it.
func formSummary(f *fault.Error, fields ...*kit.Field) kit.Summary {
	s := kit.Summary{Title: f.Public}
	for _, wrong := range f.Fields {
		item := kit.SummaryItem{Text: wrong.Name + " " + wrong.Message + "."}
		for _, field := range fields {
			if field.Name == wrong.Name {
				item.Field, item.Text = field.Name, field.Label+" "+wrong.Message+"."
				if field.Error != "" {
					field.Error += " "
				}
				field.Error += item.Text
			}
		}
		s.Items = append(s.Items, item)
	}
	return s
}

// typedTwice returns the new PIN of a form, or a fault if it was not typed alike twice.
func typedTwice(form url.Values) (secret.Bytes, *fault.Error) {
	if form.Get("pin") != form.Get("again") {
		return secret.Bytes{}, fault.Invalid("invalid_fields", textCheckFields, fault.Field{Name: "again", Message: "is not the same"})
	}
	return secret.FromString(form.Get("pin")), nil
}

// isFormFault says whether an error is shown in the form that caused it.
func isFormFault(err error) (*fault.Error, bool) {
	f, ok := fault.As(err)
	return f, ok && (f.Kind == fault.KindInvalid || f.Kind == fault.KindConflict || f.Kind == fault.KindTooMany)
}

func (h *Holder) changePIN(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := kit.ReadForm(r)
	if err != nil {
		return err
	}
	k, err := h.ownKey(r, v)
	if err != nil {
		return err
	}
	next, f := typedTwice(form)
	if f != nil {
		return h.showPIN(w, r, v, f)
	}
	err = h.c.SecurityKeys.ChangePIN(r.Context(), v.caller, k.ID, secret.FromString(form.Get("old")), next)
	if f, ok := isFormFault(err); ok {
		_ = kit.NoteError(r.Context(), err) // it is answered in the form
		return h.showPIN(w, r, v, f)
	}
	if err != nil {
		return err
	}
	h.c.Kit.SetFlash(w, "pin_changed")
	kit.Redirect(w, r, Prefix, false)
	return nil
}

// lostView is the page that asks before a key is reported as lost.
type lostView struct {
	Shell   shell
	Name    string
	Action  string
	Effects []string
}

func (h *Holder) lostPage(w http.ResponseWriter, r *http.Request, v visit) error {
	k, err := h.ownKey(r, v)
	if err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, lostTemplate(lostView{
		Shell: h.shell(v, textLostTitle), Name: k.Name, Action: Prefix + "/keys/" + string(k.ID) + "/lost", Effects: lostEffects(k.Kind),
	}))
}

func (h *Holder) reportLost(w http.ResponseWriter, r *http.Request, v visit) error {
	k, err := h.ownKey(r, v)
	if err != nil {
		return err
	}
	if _, err := h.c.SecurityKeys.ReportLost(r.Context(), v.caller, k.ID); err != nil {
		return err
	}
	h.c.Kit.SetFlash(w, "key_lost")
	kit.Redirect(w, r, Prefix, false)
	return nil
}

// activateOwn leads the holder to the activation of a key of theirs without the mail.
func (h *Holder) activateOwn(w http.ResponseWriter, r *http.Request, v visit) error {
	k, err := h.ownKey(r, v)
	if err != nil {
		return err
	}
	link, err := h.c.SecurityKeys.OwnLink(r.Context(), v.caller, k.ID)
	if err != nil {
		return err
	}
	kit.Redirect(w, r, activatePath(link), false)
	return nil
}

func activatePath(link secret.Bytes) string {
	return Prefix + "/activate?" + url.Values{"link": {link.ExposeString()}}.Encode()
}

// activateView is the page that an activation link opens.
type activateView struct {
	Shell    shell
	Heading  string
	Lead     string
	Link     string
	Card     bool // a card's number and PIN are asked for
	Register bool // the phone or the hardware key is asked for a passkey
	SignIn   string
	Pass     string
	Button   string
	Notice   kit.Notice // Title is "" for none
	Number   kit.Field
	PIN      kit.Field
	Again    kit.Field
	Asks     bool // a PIN is asked for
	Summary  kit.Summary
}

// holderOf returns the caller of a request to a page that also works without a
// session.
func (h *Holder) holderOf(r *http.Request) (visit, bool) {
	v, err := h.visitor(r)
	if err != nil {
		v = h.stranger(r)
		v.caller = kit.Nobody(r.Context())
		return v, false
	}
	return v, true
}

func (h *Holder) activatePage(w http.ResponseWriter, r *http.Request) error {
	return h.showActivate(w, r, r.URL.Query().Get("link"), "", nil)
}

func (h *Holder) showActivate(w http.ResponseWriter, r *http.Request, value, number string, f *fault.Error) error {
	v, signed := h.holderOf(r)
	link := secret.FromString(value)
	invited, err := h.c.SecurityKeys.OpenLink(r.Context(), v.caller, link)
	if err != nil {
		return err
	}
	v.path = Prefix // the link's secret is not for other forms
	k := invited.Key
	next := url.Values{"next": {activatePath(link)}}.Encode()
	view := activateView{
		Shell: h.shell(v, activateTitle(k.Kind)), Heading: activateTitle(k.Kind), Lead: activateLead(k, invited.Workspace), Link: value,
		SignIn: Prefix + "/sign-in?" + next, Pass: Prefix + "/pass?" + next, Button: activateButton(k.Kind),
	}
	switch {
	case k.Kind == securitykey.ContactlessCard:
		view.Card, view.Asks = true, k.Verification == securitykey.ByPIN
		view.Number = kit.Field{Name: "card_number", Label: textCardNumber, Help: textCardNumberHelp, Value: number, Type: "text", Autocomplete: "off", Required: true, MaxLength: 40}
		view.PIN = kit.Field{Name: "pin", Label: textPINChoose, Help: rulesText(invited.Rules), Type: "password", Autocomplete: "new-password", MaxLength: maxPIN}
		view.Again = kit.Field{Name: "again", Label: textPINAgain, Type: "password", Autocomplete: "new-password", MaxLength: maxPIN}
		if invited.NeedsProof {
			view.Notice = kit.Notice{Tone: "info", Icon: "info-circle", Title: textProofCard, Text: textProofCardText}
		}
	case !signed:
		view.Notice = kit.Notice{Tone: "info", Icon: "info-circle", Title: textActivateSignIn, Text: textActivateSignInText}
	case invited.NeedsProof:
		view.Notice = kit.Notice{Tone: "info", Icon: "info-circle", Title: textProof, Text: textProofText}
	default:
		view.Register = true
	}
	status := http.StatusOK
	if f != nil {
		status = kit.Status(f)
		view.Summary = formSummary(f, &view.Number, &view.PIN, &view.Again)
	}
	return h.show(w, r, status, activateTemplate(view))
}

func (h *Holder) activateCard(w http.ResponseWriter, r *http.Request) error {
	form, err := kit.ReadForm(r)
	if err != nil {
		return err
	}
	v, _ := h.holderOf(r)
	value, number := form.Get("link"), form.Get("card_number")
	c := securitykey.CardActivation{Number: number}
	chosen := !form.Has("skip")
	if chosen {
		pin, f := typedTwice(form)
		if f == nil && pin.IsEmpty() && form.Has("asks") {
			f = fault.Invalid("invalid_fields", textCheckFields, fault.Field{Name: "pin", Message: "is missing: choose one, or have one made"})
		}
		if f != nil {
			return h.showActivate(w, r, value, number, f)
		}
		c.PIN = pin
	}
	k, err := h.c.SecurityKeys.ActivateCard(r.Context(), v.caller, secret.FromString(value), c)
	if f, ok := isFormFault(err); ok {
		_ = kit.NoteError(r.Context(), err) // it is answered in the form
		return h.showActivate(w, r, value, number, f)
	}
	if err != nil {
		return err
	}
	kit.Redirect(w, r, activatedPath(k, !chosen && k.Verification == securitykey.ByPIN), false)
	return nil
}

func activatedPath(k securitykey.SecurityKey, mailed bool) string {
	q := url.Values{"kind": {string(k.Kind)}}
	if k.ToConfirm {
		q.Set("waits", "1")
	}
	if mailed {
		q.Set("pin", "mailed")
	}
	return Prefix + "/activated?" + q.Encode()
}

// bindAnswer is what the passkey script sends of an activation.
type bindAnswer struct {
	passkeyAnswer
	Link string `json:"link"`
}

func (h *Holder) bindOptions(r *http.Request, by auth.Caller) (any, error) {
	var in bindAnswer
	if err := kit.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	c, err := h.c.Bind.BeginByLink(r.Context(), by, secret.FromString(in.Link))
	return map[string]any{"ceremony": c.Ceremony, "options": c.Options}, err
}

func (h *Holder) bindPasskey(r *http.Request, by auth.Caller) (any, error) {
	var in bindAnswer
	if err := kit.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	ceremony, ok := id.Parse[id.KindCeremony](in.Ceremony)
	if !ok {
		return nil, fault.Invalid("invalid_ceremony", kit.TextUnreadable)
	}
	k, err := h.c.Bind.FinishByLink(r.Context(), by, secret.FromString(in.Link), ceremony, in.Response)
	return map[string]string{"location": activatedPath(k, false)}, err
}

// activatedView is the page after an activation.
type activatedView struct {
	Shell  shell
	Title  string
	Text   string
	Waits  bool
	Signed bool
}

func (h *Holder) activatedPage(w http.ResponseWriter, r *http.Request) error {
	v, signed := h.holderOf(r)
	q := r.URL.Query()
	title, text := activatedText(securitykey.Kind(q.Get("kind")), q.Has("waits"), q.Get("pin") == "mailed")
	return h.show(w, r, http.StatusOK, activatedTemplate(activatedView{Shell: h.shell(v, title), Title: title, Text: text, Waits: q.Has("waits"), Signed: signed}))
}

// keyNote says what the holder of a key is to know or do.
func keyNote(k securitykey.SecurityKey, now time.Time) string {
	switch {
	case k.Shown() == securitykey.Suspended:
		return textKeySuspended
	case k.ToConfirm:
		return textKeyWaits
	case k.Life == securitykey.Pending && (k.Link.ID == "" || !now.Before(k.Link.ExpiresAt)):
		return textKeyLinkOver
	case k.Life == securitykey.Pending:
		return textKeyPending
	case k.Life == securitykey.New:
		return textKeyNew
	case k.PIN.Locked():
		return textKeyLocked
	case now.Before(k.PIN.PausedUntil):
		return textKeyPaused
	case k.PIN.MustChange:
		return textKeyMustChange
	}
	return ""
}
