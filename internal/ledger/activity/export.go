package activity

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/page"
)

// Format is how an export is written.
type Format string

// The formats.
const (
	CSV       Format = "csv"   // RFC 4180, with a header, safe to open as a sheet
	JSONLines Format = "jsonl" // one JSON object on each line, as the API shows it
)

// Export reads the record to its end, page after page. It is not safe for use by
// several goroutines. Use Record.Export.
type Export struct {
	record *Record
	by     auth.Caller
	q      Query
	format Format
	begun  time.Time
	over   bool
}

// Export begins to take the lines that match q out of the record, oldest first, up
// to this moment, and writes into the record who did so; that line is part of the
// export if it matches. q's page is not looked at. The caller needs
// activities.read, now and at each further page.
func (s *Record) Export(ctx context.Context, by auth.Caller, q Query, format Format) (*Export, error) {
	if format != CSV && format != JSONLines {
		return nil, fault.Invalid("invalid_fields", "Some fields need your attention.", fault.Field{Name: "format", Message: "must be csv or jsonl"})
	}
	var begun time.Time
	err := s.gate.Write(ctx, by, Attempt{Action: "activity.export", Need: auth.ActivitiesRead}, func(ctx context.Context, t RecordTx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		begun = now
		return nil, Append(ctx, t, by, Event{Action: "activity.export", Detail: string(format)}, now)
	})
	if err != nil {
		return nil, err
	}
	if end := begun.Add(time.Millisecond); q.To.IsZero() || q.To.After(end) {
		q.To = end
	}
	q.Page = page.Request{Limit: page.MaxLimit}
	return &Export{record: s, by: by, q: q, format: format, begun: begun}, nil
}

// File returns the export's file name and content type.
func (x *Export) File() (name, contentType string) {
	name = "activities-" + x.begun.UTC().Format("20060102-150405") + "." + string(x.format)
	if x.format == CSV {
		return name, "text/csv; charset=utf-8; header=present"
	}
	return name, "application/jsonl; charset=utf-8"
}

// Next returns the next page, and none after the last. Each page is a snapshot of
// its own: a line that is committed meanwhile with an earlier time may be missed.
func (x *Export) Next(ctx context.Context) ([]Event, error) {
	if x.over {
		return nil, nil
	}
	p, err := x.record.List(ctx, x.by, x.q)
	if err != nil {
		return nil, err
	}
	x.q.Page.After, x.over = p.Next, p.Next.IsZero()
	return p.Items, nil
}

// WriteTo writes the whole export and calls flush after each page.
func (x *Export) WriteTo(ctx context.Context, w io.Writer, flush func() error) error {
	write := writeJSONLines
	if x.format == CSV {
		write = writeCSV
		if err := writeRecords(w, csvHeader()); err != nil {
			return err
		}
	}
	for {
		events, err := x.Next(ctx)
		if err != nil {
			return fmt.Errorf("reading a page of the export: %w", err)
		}
		if len(events) > 0 {
			if err := write(w, events); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if x.over {
			return nil
		}
	}
}

type lineParty struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// line is an activity in an export: what the API shows of it.
type line struct {
	ID        string    `json:"id"`
	Index     *int64    `json:"index"`
	At        time.Time `json:"at"`
	Action    string    `json:"action"`
	Outcome   string    `json:"outcome"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"`
	Count     int       `json:"count"`
	Actor     lineParty `json:"actor"`
	Target    lineParty `json:"target"`
	User      *string   `json:"user"`
	RPID      string    `json:"rp_id"`
	IP        string    `json:"ip"`
	Agent     string    `json:"agent"`
	RequestID string    `json:"request_id"`
	Key       *string   `json:"security_key"`
	Lock      *string   `json:"lock"` // the target, if it is one
	Client    *string   `json:"client"`
	// Credential is the target, if it is one.
	Credential *string `json:"credential"`
}

func writeJSONLines(w io.Writer, events []Event) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for _, e := range events {
		l := line{
			ID: string(e.ID), At: e.At, Action: e.Action, Outcome: string(e.Outcome), Reason: e.Reason, Detail: e.Detail, Count: e.Count,
			Actor: lineParty(e.Actor), Target: lineParty(e.Target), RPID: e.RPID, IP: e.IP, Agent: e.Agent, RequestID: e.RequestID,
		}
		if e.Index > 0 {
			l.Index = &e.Index
		}
		if e.User != "" {
			user := string(e.User)
			l.User = &user
		}
		if e.SecurityKey != "" {
			key := string(e.SecurityKey)
			l.Key = &key
		}
		if e.Target.Type == "lock" {
			l.Lock = &e.Target.ID
		}
		if e.Target.Type == "credential" {
			l.Credential = &e.Target.ID
		}
		if e.Client != "" {
			through := string(e.Client)
			l.Client = &through
		}
		if err := out.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

func csvHeader() []string {
	return []string{
		"id", "index", "at", "action", "outcome", "reason", "detail", "count", "actor_type", "actor_id", "actor_name",
		"target_type", "target_id", "target_name", "user", "rp_id", "ip", "agent", "request_id", "security_key", "client", "credential",
	}
}

func writeCSV(w io.Writer, events []Event) error {
	records := make([][]string, 0, len(events))
	for _, e := range events {
		index := ""
		if e.Index > 0 {
			index = strconv.FormatInt(e.Index, 10)
		}
		credential := ""
		if e.Target.Type == "credential" {
			credential = e.Target.ID
		}
		records = append(records, []string{
			string(e.ID), index, e.At.UTC().Format(time.RFC3339Nano), e.Action, string(e.Outcome), e.Reason, e.Detail, strconv.Itoa(e.Count),
			e.Actor.Type, e.Actor.ID, e.Actor.Name, e.Target.Type, e.Target.ID, e.Target.Name, string(e.User), e.RPID, e.IP, e.Agent, e.RequestID, string(e.SecurityKey),
			string(e.Client), credential,
		})
	}
	return writeRecords(w, records...)
}

func writeRecords(w io.Writer, records ...[]string) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180 §2
	for _, record := range records {
		for i, cell := range record {
			record[i] = harmless(cell)
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// harmless keeps a sheet from taking a cell for a formula.
func harmless(cell string) string {
	if cell == "" {
		return cell
	}
	switch cell[0] {
	case '=', '+', '-', '@', '\t', '\r':
		return "'" + cell
	}
	return cell
}
