package panel

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// manyKeysView is the page that asks before something is done to many keys.
type manyKeysView struct {
	Shell   shell
	Heading string
	Act     string
	Do      string
	Danger  bool
	Effects []string
	Keys    []securityKeyRow
	Summary summary
	Confirm field // to be typed, if it has a name
	Phrase  string
	Empty   empty // shown instead if it has a title
}

// manyKeysResult says what became of each key.
type manyKeysResult struct {
	Shell  shell
	Lead   string
	Rows   []keyOutcome
	Again  []choice // what is sent again after a fresh passkey
	StepUp bool
}

type keyOutcome struct {
	Row    securityKeyRow
	Status badge
	Detail string // why it was not done
}

// maxManyKeys is how many keys an act on many may name.
const maxManyKeys = page.MaxLimit

// selectedKeys returns the keys that a form or an address names, what cannot be one
// left out.
func selectedKeys(form url.Values) []id.SecurityKey {
	var out []id.SecurityKey
	for _, text := range form["ids"] {
		if k, ok := id.Parse[id.KindSecurityKey](text); ok && len(out) < maxManyKeys {
			out = append(out, k)
		}
	}
	return out
}

// foundKeys returns the keys that are still there.
func (p *Panel) foundKeys(ctx context.Context, v visit, keys []id.SecurityKey) ([]securitykey.SecurityKey, error) {
	var out []securitykey.SecurityKey
	for _, k := range keys {
		found, err := p.c.SecurityKeys.Find(ctx, v.caller, k)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, found.Key)
	}
	return out, nil
}

func (p *Panel) askManyKeys(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.showManyKeys(w, r, v, r.URL.Query(), nil, http.StatusOK)
}

func (p *Panel) showManyKeys(w http.ResponseWriter, r *http.Request, v visit, form url.Values, f *fault.Error, status int) error {
	act := form.Get("act")
	if act != actSuspend && act != actActivate && act != actDelete {
		return fault.NotFound("page_not_found", textPageNotFound)
	}
	keys, err := p.foundKeys(r.Context(), v, selectedKeys(form))
	if err != nil {
		return err
	}
	n := len(keys)
	view := manyKeysView{
		Shell:   p.shell(v, manyKeysTitle(act, n), crumb{Name: textNavSecurityKeys}, crumb{Name: textNavKeysAll, Path: securityKeysPath}),
		Heading: manyKeysTitle(act, n), Act: act, Do: manyKeysDo(act, n), Danger: act != actActivate, Effects: manyKeysEffects(act),
	}
	if n == 0 {
		view.Empty = empty{Icon: "key", Title: textKeysNoneChosen, Text: textKeysNoneChosenHelp, Action: textKeysBack, Path: securityKeysPath}
		return p.show(w, r, status, manyKeysTemplate(view))
	}
	texts := map[string]string{}
	if f != nil {
		view.Summary, texts = wrong(f, "confirm")
	}
	for _, k := range keys {
		view.Keys = append(view.Keys, v.securityKeyRow(k))
	}
	if act == actDelete {
		view.Confirm = confirmField(form.Get("confirm"))
		view.Confirm.Label, view.Phrase, view.Confirm.Error = textKeysType, strconv.Itoa(n), texts["confirm"]
	}
	return p.show(w, r, status, manyKeysTemplate(view))
}

func (p *Panel) manyKeys(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	// Read before it is done: deleted keys have no name any more.
	before, err := p.foundKeys(r.Context(), v, selectedKeys(form))
	if err != nil {
		return err
	}
	outcomes, err := p.doManyKeys(r.Context(), v, form, before)
	if f, status, ok := isRuleFault(err); ok {
		return p.showManyKeys(w, r, v, form, f, status)
	}
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, manyKeysResultTemplate(p.manyKeysResult(v, form.Get("act"), before, outcomes)))
}

func (p *Panel) doManyKeys(ctx context.Context, v visit, form url.Values, keys []securitykey.SecurityKey) ([]securitykey.Outcome, error) {
	if len(keys) == 0 {
		return nil, fault.Invalid("nothing_selected", textKeysNoneChosen+".")
	}
	ids := make([]id.SecurityKey, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	switch form.Get("act") {
	case actSuspend:
		return p.c.SecurityKeys.SuspendMany(ctx, v.caller, ids)
	case actActivate:
		return p.c.SecurityKeys.ActivateMany(ctx, v.caller, ids)
	case actDelete:
		if form.Get("confirm") != strconv.Itoa(len(ids)) {
			return nil, typeAgain()
		}
		return p.c.SecurityKeys.DeleteMany(ctx, v.caller, ids)
	}
	return nil, fault.NotFound("page_not_found", textPageNotFound)
}

func (p *Panel) manyKeysResult(v visit, act string, before []securitykey.SecurityKey, outcomes []securitykey.Outcome) manyKeysResult {
	view := manyKeysResult{Shell: p.shell(v, textLeaveManyResult, crumb{Name: textNavSecurityKeys}, crumb{Name: textNavKeysAll, Path: securityKeysPath})}
	rows := map[id.SecurityKey]securityKeyRow{}
	for _, k := range before {
		rows[k.ID] = v.securityKeyRow(k)
	}
	failed := 0
	for _, o := range outcomes {
		out := keyOutcome{Row: rows[o.ID], Status: badge{Word: textLeaveManyDone, Tone: "green"}}
		if out.Row.Name == "" {
			out.Row.Name = string(o.ID)
		}
		if act == actDelete && o.Fault == nil {
			out.Row.Acts.Path = ""
		}
		if o.Fault != nil {
			failed++
			out.Status = badge{Word: textLeaveManyFailed, Tone: "red"}
			if f, ok := fault.As(o.Fault); ok {
				out.Detail = f.Public
			}
			if needsStepUp(o.Fault) {
				view.Again = append(view.Again, choice{Name: "ids", Value: string(o.ID)})
			}
		}
		view.Rows = append(view.Rows, out)
	}
	view.Lead = manyKeysDone(act, len(outcomes)-failed, failed)
	if n := len(view.Again); n > 0 {
		view.StepUp = true
		view.Again = append(view.Again, choice{Name: "act", Value: act}, choice{Name: "confirm", Value: strconv.Itoa(n)})
	}
	return view
}
