package panel

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/edge/kit"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// verifyView is the form that verifies the record, and what it found.
type verifyView struct {
	Path       string
	Checkpoint string
	Error      string
	Verdict    notice // shown if it has a title
	Damages    []damageRow
}

type damageRow struct {
	Index string
	Path  string // "" if the line is gone
	What  string
}

func (p *Panel) exportActivities(w http.ResponseWriter, r *http.Request, v visit) error {
	q, wrong := activityQuery(v, r.URL.Query())
	if wrong != nil {
		return wrong
	}
	export, err := p.c.Record.Export(r.Context(), v.caller, q, activity.Format(r.URL.Query().Get("format")))
	if err != nil {
		return err
	}
	name, kind := export.File()
	kit.Stream(w, r, name, kind, export.WriteTo)
	return nil
}

func (p *Panel) checkpoint(w http.ResponseWriter, r *http.Request, v visit) error {
	signed, err := p.c.Record.Checkpoint(r.Context(), v.caller)
	if err != nil {
		return err
	}
	text, err := json.Marshal(signed)
	if err != nil {
		return err
	}
	name := "checkpoint-" + signed.At.UTC().Format("20060102-150405") + ".json"
	kit.Stream(w, r, name, "application/json", func(_ context.Context, w io.Writer, flush func() error) error {
		if _, err := w.Write(append(text, '\n')); err != nil {
			return err
		}
		return flush()
	})
	return nil
}

func (p *Panel) verifyRecord(w http.ResponseWriter, r *http.Request, v visit) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	out := verifyView{Checkpoint: form.Get("checkpoint")}
	var checkpoints []activity.SignedCheckpoint
	if strings.TrimSpace(out.Checkpoint) != "" {
		if checkpoints, err = activity.ParseCheckpoints([]byte(out.Checkpoint)); err != nil {
			out.Error = sentence(fieldLabel("checkpoint"), "cannot be read: "+err.Error())
			return p.showActivities(w, r, v, out, http.StatusUnprocessableEntity)
		}
	}
	verdict, err := p.c.Record.Verify(r.Context(), v.caller, checkpoints...)
	if f, ok := fault.As(err); ok && f.Kind == fault.KindInvalid {
		out.Error = f.Public
		return p.showActivities(w, r, v, out, http.StatusUnprocessableEntity)
	}
	if err != nil {
		return err
	}
	out.Verdict = notice{Tone: "success", Icon: "circle-check", Title: textRecordWhole, Text: verdictText(verdict)}
	if len(verdict.Damages) > 0 {
		out.Verdict = notice{Tone: "danger", Icon: "alert-circle", Title: textRecordDamaged, Text: count(len(verdict.Damages), "place") + ":"}
	}
	for _, d := range verdict.Damages {
		row := damageRow{Index: thousands(int(d.Index)), What: d.What}
		if d.ID != "" {
			row.Path = activityPath(d.ID)
		}
		out.Damages = append(out.Damages, row)
	}
	return p.showActivities(w, r, v, out, http.StatusOK)
}
