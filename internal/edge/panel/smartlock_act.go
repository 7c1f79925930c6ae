package panel

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// enrolView is the page that shows the command with which a controller enrols, this once.
type enrolView struct {
	Shell   shell
	Heading string
	Command string
	Facts   []detail
	Steps   []string
	Then    string
}

// outcomeView says what a door said.
type outcomeView struct {
	Shell   shell
	Heading string
	Notice  notice
	Back    string
	Again   string // where it is asked for once more, "" for nowhere
}

// teachView waits for a card at a door, and shows its number.
type teachView struct {
	Shell   shell
	Heading string
	Lead    string
	Waiting bool
	Turn    string // when the page looks again
	Notice  notice // how it ended, if it has a title
	Number  string
	Keys    []keyLink // keys of the lock that can have the card
	NewKey  string
	Back    string
	Again   string
}

// findLock returns the lock that the address names.
func (p *Panel) findLock(r *http.Request, v visit) (smartlock.Lock, error) {
	return p.c.Locks.Find(r.Context(), v.caller, lockID(r))
}

func (p *Panel) enrolLock(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.findLock(r, v)
	if err != nil {
		return err
	}
	path := lockPath(l.ID)
	points := []string{textEnrolOnce}
	if l.Enrolled() {
		points = append(points, textEnrolVoids)
	}
	var issued smartlock.Enrolling
	return p.perform(w, r, &act{
		view: actView{
			Shell: p.lockShell(v, l, textLockEnrol), Heading: textLockEnrol + ": " + l.Name, Lead: textEnrolLead, Points: points, Action: path + "/enrol", Button: textEnrolDo, Cancel: path,
		},
		do: func() (string, error) {
			issued, err = p.c.Locks.IssueEnrolment(r.Context(), v.caller, l.ID)
			return "", err
		},
		page: func() templ.Component {
			w.Header().Set("Cache-Control", "no-store")
			return enrolTemplate(enrolView{
				Shell: p.lockShell(v, l, textLockEnrol), Heading: textLockEnrol + ": " + l.Name,
				Command: "keyhold-lock enrol --server " + p.c.Kit.PublicURL("") + " --state /var/lib/keyhold-lock " + issued.Token.ExposeString(),
				Facts:   []detail{{Label: textEnrolUntil, Time: v.moment(issued.ExpiresAt)}}, Steps: enrolSteps(), Then: path,
			})
		},
	})
}

// awaitCommand waits for the door's answer.
func (p *Panel) awaitCommand(ctx context.Context, by auth.Caller, c smartlock.Command) (smartlock.Command, error) {
	heard, cancel := p.c.Signals.Subscribe(signal.Of(by.Workspace, signal.Command, string(c.ID)))
	defer cancel()
	_, err := kit.Await(ctx, heard, smartlock.Patience, func(ctx context.Context) (done bool, err error) {
		c, err = p.c.Locks.FindCommand(ctx, by, c.ID)
		return c.Outcome != "", err
	})
	return c, err
}

func (p *Panel) openLock(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.findLock(r, v)
	if err != nil {
		return err
	}
	path := lockPath(l.ID)
	var said smartlock.Command
	return p.perform(w, r, &act{
		view: actView{
			Shell: p.lockShell(v, l, textLockOpenNow), Heading: openLockText(l.Name), Lead: textOpenLead, Points: []string{openForText(l.OpenSeconds), textOpenRecorded},
			Action: path + "/open", Button: textLockOpenNow, Cancel: path,
		},
		do: func() (string, error) {
			c, err := p.c.Locks.Open(r.Context(), v.caller, l.ID)
			if err != nil {
				return "", err
			}
			said, err = p.awaitCommand(r.Context(), v.caller, c)
			return "", err
		},
		page: func() templ.Component {
			view := outcomeView{Shell: p.lockShell(v, l, textLockOpenNow), Heading: openLockText(l.Name), Back: path, Again: path + "/open"}
			switch said.Outcome {
			case grant.Opened:
				view.Notice, view.Again = notice{Tone: "info", Icon: "lock-open", Title: textOpened, Text: openForText(l.OpenSeconds)}, ""
			case "":
				view.Notice = notice{Tone: "danger", Icon: "alert-circle", Title: textOpenSilent, Text: textOpenSilentText}
			default:
				view.Notice = notice{Tone: "danger", Icon: "alert-circle", Title: textOpenRefused, Text: lockReasonText(said.Reason)}
			}
			return outcomeTemplate(view)
		},
	})
}

func (p *Panel) teachCard(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.findLock(r, v)
	if err != nil {
		return err
	}
	path := lockPath(l.ID)
	a := &act{
		view: actView{
			Shell: p.lockShell(v, l, textLockTeach), Heading: textLockTeach + ": " + l.Name, Lead: textTeachLead, Points: []string{textTeachHow, textCardPlain},
			Action: path + "/teach?" + r.URL.RawQuery, Button: textTeachDo, Cancel: path,
		},
	}
	a.do = func() (string, error) {
		c, err := p.c.Locks.Teach(r.Context(), v.caller, l.ID)
		a.then = path + "/teach/" + string(c.ID)
		return "", err
	}
	return p.perform(w, r, a)
}

// teachPatience is how long a page waits for a card: as long as the door does, and a little.
const teachPatience = (grant.TeachSeconds + grant.CommandLife + 5) * time.Second

func (p *Panel) taughtCard(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.findLock(r, v)
	if err != nil {
		return err
	}
	name, ok := id.Parse[id.KindLockCommand](r.PathValue("command"))
	if !ok {
		return fault.NotFound("page_not_found", textPageNotFound)
	}
	c, number, err := p.c.Locks.TaughtCard(r.Context(), v.caller, name)
	if err != nil {
		return err
	}
	path := lockPath(l.ID)
	view := teachView{Shell: p.lockShell(v, l, textLockTeach), Heading: textLockTeach + ": " + l.Name, Back: path, Again: path + "/teach"}
	switch {
	case c.Outcome == "" && v.now.Before(c.CreatedAt.Add(teachPatience)):
		view.Waiting, view.Lead, view.Turn = true, textTeachWaiting, v.now.Add(time.Second).Format(time.RFC3339Nano)
	case c.Outcome == "":
		view.Notice = notice{Tone: "danger", Icon: "alert-circle", Title: textOpenSilent, Text: textTeachSilent}
	case number.IsEmpty():
		view.Notice = notice{Tone: "danger", Icon: "alert-circle", Title: textTeachNone, Text: lockReasonText(c.Reason)}
	default:
		view.Number = number.ExposeString()
		view.NewKey = digitalKeysPath + "/new?" + lockQuery("lock", string(l.ID), "card", view.Number)
		if view.Keys, err = p.keysForCard(r, v, l.ID, view.Number); err != nil {
			return err
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	return p.show(w, r, http.StatusOK, teachTemplate(view))
}

func (p *Panel) deleteLockView(v visit, l smartlock.Lock, form url.Values) leaveView {
	return leaveView{
		Shell: p.lockShell(v, l, textUsersDelete), Heading: deleteLockText(l.Name), Lead: textLeaveDeleteLead, Effects: []string{textDeleteLockCertificate, textDeleteLockSettings},
		LeftLead: textLeaveLeft, Left: []string{textDeleteLockEvents, textDeleteLockDoor}, Confirm: confirmField(form.Get("confirm")), Phrase: l.Name,
		Revision: strconv.FormatInt(l.Revision, 10), Action: lockPath(l.ID) + "/delete", Do: textDeleteLockDo, Cancel: lockPath(l.ID),
	}
}

func (p *Panel) deleteLock(w http.ResponseWriter, r *http.Request, v visit) error {
	l, err := p.findLock(r, v)
	if err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		return p.show(w, r, http.StatusOK, leaveTemplate(p.deleteLockView(v, l, url.Values{})))
	}
	form, err := readForm(r)
	if err != nil {
		return err
	}
	revision, err := formRevision(form)
	if err != nil {
		return err
	}
	var cause error = typeAgain()
	if isTyped(form.Get("confirm"), l.Name) {
		cause = p.c.Locks.Delete(r.Context(), v.caller, l.ID, revision)
	}
	if cause == nil {
		p.setFlash(w, "lock_deleted")
		redirect(w, r, locksPath)
		return nil
	}
	view := p.deleteLockView(v, l, form)
	f, status, shown := isRuleFault(cause)
	switch {
	case shown:
		var texts map[string]string
		view.Summary, texts = wrong(f, "confirm")
		view.Confirm.Error = texts["confirm"]
	case needsStepUp(cause):
		view.StepUp, status = true, http.StatusForbidden
	case f != nil && f.Kind == fault.KindPrecondition:
		status = http.StatusUnprocessableEntity
		view.Notice = notice{Tone: "info", Icon: "info-circle", Title: textLockChanged, Text: textLeaveWrong}
	default:
		return cause
	}
	return p.show(w, r, status, leaveTemplate(view))
}
