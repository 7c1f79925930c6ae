package panel

import (
	"context"
	"net/http"
	"slices"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/signal"
)

// news is what a page is told: the kinds of things that changed, and a sentence if
// somebody else did it and the person may know.
type news struct {
	Kinds []string `json:"kinds"`
	Toast string   `json:"toast,omitempty"`
}

// live tells an open page what changes, each second, and when its session ends.
func (p *Panel) live(w http.ResponseWriter, r *http.Request) error {
	v, err := p.visitor(r)
	if err != nil {
		return p.c.Kit.LiveEnded(w, err)
	}
	known := map[id.Activity]bool{}
	since := v.now
	first := true
	pulse := ""
	heard, cancel := p.c.Signals.Subscribe(signal.Of(v.caller.Workspace, signal.Locks, string(v.caller.Workspace)))
	defer cancel()
	p.c.Kit.Live(w, r, v.caller, heard, func(ctx context.Context) ([]kit.LiveEvent, error) {
		now := p.c.Kit.Clock().Now()
		changes, err := p.c.Record.Changes(ctx, v.caller, since.Add(-activity.ChangesReach/2))
		if err != nil {
			return nil, err
		}
		since = now
		out := newsOf(v, changes, known)
		if v.can(auth.LocksRead) {
			before := pulse
			if pulse, err = p.c.Locks.Pulse(ctx, v.caller); err != nil {
				return nil, err
			}
			if before != "" && before != pulse && !slices.Contains(out.Kinds, "lock") {
				out.Kinds = append(out.Kinds, "lock")
			}
		}
		if first || len(out.Kinds) == 0 {
			// What is on the page was read a moment ago.
			first = false
			return nil, nil
		}
		return []kit.LiveEvent{{Name: "changed", Data: out}}, nil
	})
	return nil
}

// newsOf gathers what is not known yet, and forgets what cannot come again.
func newsOf(v visit, changes []activity.Change, known map[id.Activity]bool) news {
	var out news
	var others []activity.Change
	here := map[id.Activity]bool{}
	for _, c := range changes {
		here[c.ID] = true
		if known[c.ID] {
			continue
		}
		known[c.ID] = true
		if c.Target.Type != "" && !slices.Contains(out.Kinds, c.Target.Type) {
			out.Kinds = append(out.Kinds, c.Target.Type)
		}
		if !slices.Contains(out.Kinds, "activity") {
			out.Kinds = append(out.Kinds, "activity")
		}
		if c.Actor.Type == string(auth.Administrator) && c.Actor.ID != string(v.caller.User) && c.Outcome == activity.Success && c.Actor.Name != "" && isNews(c.Action) {
			others = append(others, c)
		}
	}
	for a := range known {
		if !here[a] {
			delete(known, a)
		}
	}
	out.Toast = newsText(others)
	return out
}
