package holder

import (
	"net/http"
	"net/url"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// passView is the page where people sign in with a temporary access pass.
type passView struct {
	Shell   shell
	Next    string
	SignIn  string // the other ways
	Email   kit.Field
	Code    kit.Field
	Summary kit.Summary
}

func (h *Holder) passPage(w http.ResponseWriter, r *http.Request) error {
	return h.showPass(w, r, kit.SafeNext(r.URL.Query().Get("next"), Prefix), "", nil)
}

func (h *Holder) showPass(w http.ResponseWriter, r *http.Request, next, email string, f *fault.Error) error {
	view := passView{
		Shell: h.shell(h.stranger(r), textPassTitle), Next: next, SignIn: Prefix + "/sign-in?" + url.Values{"next": {next}}.Encode(),
		Email: kit.Field{Name: "email", Label: textEmail, Value: email, Type: "email", Autocomplete: "email", Required: true, MaxLength: 254},
		Code:  kit.Field{Name: "code", Label: textPass, Help: textPassHelp, Type: "text", Autocomplete: "off", Required: true, MaxLength: 100},
	}
	status := http.StatusOK
	if f != nil {
		status = kit.Status(f)
		kit.RetryAfter(w.Header(), f)
		view.Summary = formSummary(f, &view.Email, &view.Code)
	}
	return h.show(w, r, status, passTemplate(view))
}

// openByPass signs in with a pass. Whatever is wrong, the form says the same.
func (h *Holder) openByPass(w http.ResponseWriter, r *http.Request) error {
	form, err := kit.ReadForm(r)
	if err != nil {
		return err
	}
	next := kit.SafeNext(form.Get("next"), Prefix)
	opened, err := h.c.SignIn.OpenByAccessPass(r.Context(), kit.Nobody(r.Context()), directory.Fold(form.Get("email")), secret.FromString(form.Get("code")))
	if f, ok := isFormFault(err); ok {
		_ = kit.NoteError(r.Context(), err) // it is answered in the form
		return h.showPass(w, r, next, form.Get("email"), f)
	}
	if err != nil {
		return err
	}
	kit.NoteCaller(r.Context(), opened.Caller)
	h.c.Kit.SetSession(w, opened.Token, opened.ExpiresAt)
	kit.Redirect(w, r, next, false)
	return nil
}
