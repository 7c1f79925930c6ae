package virtual

import (
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/door"
)

//go:embed virtual.html virtual.css virtual.js
var files embed.FS

// Config says which doors the pages show.
type Config struct {
	Doors []*Door
	// AnyHost answers whatever name the pages are asked by. Without it only names of this
	// machine are answered, so that no other page can pose as this one.
	AnyHost bool
}

const maxBody = 4 << 10

// pages serves the doors.
type pages struct {
	doors []*Door
	page  *template.Template
}

// New returns the pages: the list of doors at /, each door at /d/N/ from 1 on. All links
// are relative, so that they may stand under a prefix that http.StripPrefix takes away.
func New(c Config) http.Handler {
	p := &pages{doors: c.Doors, page: template.Must(template.ParseFS(files, "virtual.html"))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.list)
	mux.HandleFunc("GET /virtual.css", asset("virtual.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /virtual.js", asset("virtual.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /d/{n}/{$}", p.door(func(w http.ResponseWriter, _ *http.Request, d *Door) {
		p.render(w, "door", struct {
			Name    string
			Several bool
		}{d.Name(), len(p.doors) > 1})
	}))
	mux.HandleFunc("GET /d/{n}/state", p.door(func(w http.ResponseWriter, _ *http.Request, d *Door) { answer(w, state(d)) }))
	mux.HandleFunc("POST /d/{n}/enter", p.act(func(d *Door, a act) (told, error) { return tell(d.Enter(a.PIN)), nil }))
	mux.HandleFunc("POST /d/{n}/tap", p.act(tap))
	mux.HandleFunc("POST /d/{n}/cut", p.act(func(d *Door, a act) (told, error) {
		d.Cut(a.On)
		return told{}, nil
	}))
	mux.HandleFunc("POST /d/{n}/clock", p.act(moveClock))
	mux.HandleFunc("POST /d/{n}/power", p.act(func(d *Door, a act) (told, error) {
		return told{Text: "The power was cut, and is back."}, d.CutPower(a.On)
	}))
	guard := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if !c.AnyHost && !isLocal(r.Host) {
			http.Error(w, "This page answers on this machine's own names only, like door.localhost.", http.StatusMisdirectedRequest)
			return
		}
		guard.ServeHTTP(w, r)
	})
}

// isLocal says whether a Host header names this machine.
func isLocal(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func asset(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		data, err := files.ReadFile(name)
		if err != nil {
			http.Error(w, "This file is missing.", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(data) // whoever asked is gone
	}
}

// list shows the doors; where there is one only, it leads there.
func (p *pages) list(w http.ResponseWriter, _ *http.Request) {
	if len(p.doors) == 1 {
		w.Header().Set("Location", "d/1/") // relative, whatever prefix it stands under
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	type entry struct {
		Number int
		Name   string
	}
	var doors []entry
	for i, d := range p.doors {
		doors = append(doors, entry{i + 1, d.Name()})
	}
	p.render(w, "list", doors)
}

func (p *pages) render(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = p.page.ExecuteTemplate(w, name, data) // whoever asked is gone
}

// door finds the door that the path names.
func (p *pages) door(do func(http.ResponseWriter, *http.Request, *Door)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil || n < 1 || n > len(p.doors) {
			http.Error(w, "There is no such door.", http.StatusNotFound)
			return
		}
		do(w, r, p.doors[n-1])
	}
}

// act is what somebody did on the page.
type act struct {
	PIN  string `json:"pin"`
	UID  string `json:"uid"`
	Move string `json:"move"`
	On   bool   `json:"on"`
}

// told is what the page says of an act.
type told struct {
	Opened bool   `json:"opened"`
	Reason string `json:"reason"`
	Text   string `json:"text"`
}

// act runs what was done, and answers with the door's words and its new state.
func (p *pages) act(do func(*Door, act) (told, error)) http.HandlerFunc {
	return p.door(func(w http.ResponseWriter, r *http.Request, d *Door) {
		var a act
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if kind != "application/json" || json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&a) != nil {
			http.Error(w, "This is no act at a door.", http.StatusBadRequest)
			return
		}
		said, err := do(d, a)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		answer(w, struct {
			told
			State any `json:"state"`
		}{said, state(d)})
	})
}

func tap(d *Door, a act) (told, error) {
	number, ok := card.Parse(a.UID)
	if !ok {
		return told{}, errors.New("A card's number has 4, 7 or 10 bytes in hex, like 04 A1 B2 C3.") //nolint:staticcheck,revive // a sentence for the page
	}
	return tell(d.Tap(card.Raw(number))), nil
}

// moves are what the page's buttons move the clock by.
//
// constant: nobody writes it.
var moves = map[string]time.Duration{"+1m": time.Minute, "+1h": time.Hour, "+25h": 25 * time.Hour, "-1h": -time.Hour}

func moveClock(d *Door, a act) (told, error) {
	if a.Move == "now" {
		d.Unshift()
		return told{Text: "The machine's date is right again. The door believes a server only."}, nil
	}
	by, ok := moves[a.Move]
	if !ok {
		return told{}, errors.New("The clock is moved by +1m, +1h, +25h, -1h, or to now.") //nolint:staticcheck,revive // a sentence for the page
	}
	d.Shift(by)
	if by < 0 {
		return told{Text: "The machine's date was set back. The door's own time runs on."}, nil
	}
	return told{Text: "Time has passed at the door."}, nil
}

// tell says a verdict in words.
func tell(v door.Verdict) told {
	if v.Opened {
		return told{Opened: true, Text: "Open."}
	}
	return told{Reason: v.Reason, Text: words(v.Reason)}
}

// words says a reason at the door.
func words(reason string) string {
	switch reason {
	case grant.ReasonUnknownPIN:
		return "Wrong PIN."
	case grant.ReasonUnknownCard:
		return "This card is not known here."
	case grant.ReasonNotYet:
		return "This key does not work yet."
	case grant.ReasonExpired:
		return "This key has expired."
	case grant.ReasonOutsideHours:
		return "This key does not work at this hour."
	case grant.ReasonLeaseEnded:
		return "The door was without the server for too long."
	case grant.ReasonClockUntrusted:
		return "The door does not know the time."
	case grant.ReasonKeypadPaused:
		return "Too many wrong PINs. The keypad pauses."
	case grant.ReasonCardTaught:
		return "The card's number was sent to the panel. It opens nothing this time."
	case grant.ReasonDoorFailed:
		return "The door does not work."
	}
	return "Refused: " + reason + "."
}

func answer(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "This cannot be written.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data) // whoever asked is gone
}

// shownState is what the page shows.
type shownState struct {
	Now       time.Time    `json:"now"`
	Machine   time.Time    `json:"machine"`
	Clock     string       `json:"clock"`
	Boot      uint64       `json:"boot"`
	Online    bool         `json:"online"`
	Cut       bool         `json:"cut"`
	Why       string       `json:"why"`
	Epoch     uint64       `json:"epoch"`
	Version   uint64       `json:"version"`
	Lease     *time.Time   `json:"lease"`
	Grants    int          `json:"grants"`
	Wrong     int          `json:"wrong"`
	Paused    int64        `json:"paused"` // seconds, as the next
	Teach     int64        `json:"teach"`
	Open      int64        `json:"open"`
	Waiting   uint64       `json:"waiting"` // events that the server does not have
	Battery   bool         `json:"battery"`
	Events    []shownEvent `json:"events"`
	DiskError string       `json:"disk_error"`
}

type shownEvent struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Medium  string    `json:"medium"`
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason"`
	Count   uint32    `json:"count"`
	Offline bool      `json:"offline"`
	Sent    bool      `json:"sent"`
}

func state(d *Door) shownState {
	d.mu.RLock()
	defer d.mu.RUnlock()
	on, battery, cut := d.on, d.battery, d.cut
	s := on.engine.Status()
	out := shownState{
		Now: s.Now, Machine: d.clock.Wall(), Clock: string(s.Clock), Boot: s.Boot, Online: s.Online, Cut: cut, Epoch: s.Epoch, Version: s.Version,
		Grants: s.Grants, Wrong: s.Wrong, Paused: up(s.PausedFor), Teach: up(s.TeachFor), Open: up(s.OpenFor), Waiting: s.Last - min(s.Confirmed, s.Last), Battery: battery,
	}
	if err := on.link.Why(); err != nil && !cut {
		out.Why = err.Error()
	}
	if s.Failed != nil {
		out.DiskError = s.Failed.Error()
	}
	if !s.Lease.IsZero() {
		out.Lease = &s.Lease
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, shownEvent{
			Seq: e.Seq, At: time.UnixMilli(e.At).UTC(), Medium: string(e.Medium), Outcome: string(e.Outcome), Reason: e.Reason, Count: e.Count, Offline: e.Offline, Sent: e.Seq <= s.Confirmed,
		})
	}
	return out
}

// up rounds up to seconds.
func up(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
