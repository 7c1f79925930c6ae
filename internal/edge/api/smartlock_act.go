package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/signal"
	"github.com/keyhold/keyhold/internal/room/smartlock"
)

// CommandBody is what a controller was told to do. It is exported for huma, as ListInput is.
type CommandBody struct {
	ID        string     `json:"id" example:"cmd_01jd3v9b8eexav2f6hqdr3wzkt"`
	Lock      string     `json:"lock"`
	Op        string     `json:"op" enum:"open,teach_card"`
	Outcome   string     `json:"outcome" enum:"opened,refused,notice,waiting,unanswered" doc:"What the door said. notice: it did what was no opening. unanswered: it did not say in time, and will not do it later."`
	Reason    string     `json:"reason" doc:"Why it was refused, a stable code; empty otherwise."`
	CreatedAt time.Time  `json:"created_at"`
	NotAfter  time.Time  `json:"not_after" doc:"It is never done later."`
	DoneAt    *time.Time `json:"done_at"`
	Card      *cardBody  `json:"card" doc:"The number of a card that was taught, for who has locks.write; null otherwise."`
}

type commandOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         CommandBody
}

func (a *restAPI) renderCommand(c smartlock.Command, number string) *commandOutput {
	out := &commandOutput{CacheControl: "no-store", Body: CommandBody{
		ID: string(c.ID), Lock: string(c.Lock), Op: c.Op, Outcome: string(c.Outcome), Reason: c.Reason, CreatedAt: c.CreatedAt, NotAfter: c.NotAfter, DoneAt: optionalTime(c.DoneAt),
	}}
	if c.Outcome == "" {
		if out.Body.Outcome = "waiting"; c.Over(a.c.Kit.Clock().Now()) {
			out.Body.Outcome = "unanswered"
		}
	}
	if number != "" {
		out.Body.Card = &cardBody{Type: "uid", Number: number}
	}
	return out
}

// CommandPath names one command. It is exported for huma, as ListInput is.
type CommandPath struct {
	ID string `path:"id" doc:"The command's id: cmd_…"`
}

func (p CommandPath) command() id.LockCommand {
	c, _ := id.Parse[id.KindLockCommand](p.ID)
	return c
}

// LockEventBody is one thing that a door did. It is exported for huma, as ListInput is.
type LockEventBody struct {
	ID          string    `json:"id" example:"evt_01jd3v9b8eexav2f6hqdr3wzkt"`
	Lock        string    `json:"lock"`
	LockName    string    `json:"lock_name" doc:"As it was then."`
	Seq         int64     `json:"seq" doc:"Its place in the controller's record."`
	UntilSeq    int64     `json:"until_seq" doc:"As seq, but for a gap: the last event that is missing."`
	At          time.Time `json:"at" doc:"By the door's clock."`
	ReceivedAt  time.Time `json:"received_at"`
	Clock       string    `json:"clock" doc:"How far the door trusted its clock: trusted, battery or untrusted."`
	DigitalKey  *string   `json:"digital_key"`
	User        *string   `json:"user"`
	UserName    string    `json:"user_name" doc:"As it was then."`
	Medium      string    `json:"medium" enum:"pin,app,keycard,panel," doc:"Empty if no opening was asked for."`
	Outcome     string    `json:"outcome" enum:"opened,refused,notice"`
	Reason      string    `json:"reason" doc:"A stable code; empty for an opening."`
	Offline     bool      `json:"offline" doc:"The door decided it without the server."`
	Version     int64     `json:"version" doc:"What the controller knew then."`
	Count       int       `json:"count" doc:"How many like events it stands for."`
	AfterCancel bool      `json:"after_cancel" doc:"It opened with a key that was cancelled: the lock had not heard."`
}

func optionalText(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func renderLockEvent(e smartlock.Event) LockEventBody {
	return LockEventBody{
		ID: string(e.ID), Lock: string(e.Lock), LockName: e.LockName, Seq: e.Seq, UntilSeq: e.UntilSeq, At: e.At, ReceivedAt: e.ReceivedAt, Clock: string(e.Clock),
		DigitalKey: optionalText(string(e.DigitalKey)), User: optionalText(string(e.User)), UserName: e.UserName, Medium: string(e.Medium), Outcome: string(e.Outcome),
		Reason: e.Reason, Offline: e.Offline, Version: e.Version, Count: e.Count, AfterCancel: e.AfterCancel,
	}
}

// LockEventFilters are what lists of events take. It is exported for huma, as ListInput is.
type LockEventFilters struct {
	ListInput
	User       string    `query:"user" doc:"Only events of this user's keys: user_…"`
	DigitalKey string    `query:"digital_key" doc:"Only events of this key: dk_…"`
	Medium     string    `query:"medium" enum:"pin,app,keycard,panel" doc:"Only events by this."`
	Outcome    string    `query:"outcome" enum:"opened,refused,notice" doc:"Only this outcome."`
	Alarming   bool      `query:"alarming" doc:"Only openings after a cancel, pauses of keypads, and lost or broken records."`
	From       time.Time `query:"from" doc:"Only events at this moment or later."`
	To         time.Time `query:"to" doc:"Only events before this moment."`
}

type listLockEventsInput struct {
	LockEventFilters
	Lock string `query:"lock" doc:"Only events of this lock: lock_…"`
}

type listEventsOfLockInput struct {
	LockPath
	LockEventFilters
}

// registerLockActs is the route registration of what is done with locks and what they did.
func (a *restAPI) registerLockActs() {
	const read, write = "Needs the permission locks.read.", "Needs the permission locks.write."
	registerPost(a, operation("open-lock", http.MethodPost, "/locks/{id}/open", "Open a door now",
		"Answers what the door said, after some ten seconds at the latest. "+write, http.StatusNotFound, http.StatusConflict), a.openLock, a.repeatCommand)
	registerPost(a, operation("teach-card", http.MethodPost, "/locks/{id}/teach-card", "Read a card's number at a door",
		"The door waits half a minute for a card and tells its number, which get-lock-command gives; the door does not open for it. "+write,
		http.StatusNotFound, http.StatusConflict), a.teachCard, a.repeatCommand)
	register(a, operation("get-lock-command", http.MethodGet, "/lock-commands/{id}", "Get what became of a command", write, http.StatusNotFound), a.getCommand)
	register(a, operation("list-lock-events", http.MethodGet, "/lock-events", "List what doors did", "The newest first. "+read), a.listLockEvents)
	register(a, operation("list-events-of-lock", http.MethodGet, "/locks/{id}/events", "List what a door did", "The newest first. "+read, http.StatusNotFound), a.listEventsOfLock)
}

// awaited waits for the door's answer to a command.
func (a *restAPI) awaited(ctx context.Context, by auth.Caller, c smartlock.Command) (*commandOutput, error) {
	heard, cancel := a.c.Signals.Subscribe(signal.Of(c.Workspace, signal.Command, string(c.ID)))
	defer cancel()
	_, err := kit.Await(ctx, heard, smartlock.Patience, func(ctx context.Context) (done bool, err error) {
		c, err = a.c.Locks.FindCommand(ctx, by, c.ID)
		return c.Outcome != "", err
	})
	if err != nil {
		return nil, err
	}
	return a.renderCommand(c, ""), nil
}

func (a *restAPI) openLock(ctx context.Context, by auth.Caller, in *LockPath) (*commandOutput, error) {
	c, err := a.c.Locks.Open(ctx, by, in.lock())
	if err != nil {
		return nil, err
	}
	return a.awaited(ctx, by, c)
}

func (a *restAPI) teachCard(ctx context.Context, by auth.Caller, in *LockPath) (*commandOutput, error) {
	c, err := a.c.Locks.Teach(ctx, by, in.lock())
	if err != nil {
		return nil, err
	}
	return a.renderCommand(c, ""), nil
}

func (a *restAPI) repeatCommand(ctx context.Context, as auth.Caller, _ *LockPath, note string) (*commandOutput, error) {
	c, err := a.c.Locks.FindCommand(ctx, as, CommandPath{ID: note}.command())
	if err != nil {
		return nil, err
	}
	return a.renderCommand(c, ""), nil
}

func (a *restAPI) getCommand(ctx context.Context, by auth.Caller, in *CommandPath) (*commandOutput, error) {
	c, number, err := a.c.Locks.TaughtCard(ctx, by, in.command())
	if err != nil {
		return nil, err
	}
	return a.renderCommand(c, number.ExposeString()), nil
}

func (f LockEventFilters) query(lock string) (smartlock.EventQuery, string, *fault.Error) {
	q := smartlock.EventQuery{Outcome: grant.Outcome(f.Outcome), Medium: grant.Medium(f.Medium), Alarming: f.Alarming, From: f.From, To: f.To}
	var ok bool
	if lock != "" {
		if q.Lock, ok = id.Parse[id.KindLock](lock); !ok {
			return q, "", fieldFault("lock", "is no lock's id")
		}
	}
	if f.User != "" {
		if q.User, ok = id.Parse[id.KindUser](f.User); !ok {
			return q, "", fieldFault("user", "is no user's id")
		}
	}
	if f.DigitalKey != "" {
		if q.DigitalKey, ok = id.Parse[id.KindDigitalKey](f.DigitalKey); !ok {
			return q, "", fieldFault("digital_key", "is no digital key's id")
		}
	}
	return q, queryName("lock-events", lock, f.User, f.DigitalKey, f.Medium, f.Outcome, strconv.FormatBool(f.Alarming), f.From.Format(time.RFC3339Nano), f.To.Format(time.RFC3339Nano)), nil
}

func (a *restAPI) eventsOf(ctx context.Context, by auth.Caller, f LockEventFilters, lock string) (*listOutput[LockEventBody], error) {
	q, name, wrong := f.query(lock)
	if wrong != nil {
		return nil, wrong
	}
	r, err := a.pageOf(ctx, by, f.ListInput, "", name, nil)
	if err != nil {
		return nil, err
	}
	q.Page = r
	p, err := a.c.Locks.ListEvents(ctx, by, q)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, renderLockEvent)
}

func (a *restAPI) listLockEvents(ctx context.Context, by auth.Caller, in *listLockEventsInput) (*listOutput[LockEventBody], error) {
	return a.eventsOf(ctx, by, in.LockEventFilters, in.Lock)
}

func (a *restAPI) listEventsOfLock(ctx context.Context, by auth.Caller, in *listEventsOfLockInput) (*listOutput[LockEventBody], error) {
	l, err := a.c.Locks.Find(ctx, by, in.lock())
	if err != nil {
		return nil, err
	}
	return a.eventsOf(ctx, by, in.LockEventFilters, string(l.ID))
}
