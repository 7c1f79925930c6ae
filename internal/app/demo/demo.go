// Package demo runs Keyhold for people who want to try it: one process with a
// filled workspace, a mailbox that they can look into and a clock that they can
// move. Nothing of it is in a server for real use.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/clock"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// Config is what a demo is made from.
type Config struct {
	Listen  string
	Keep    string // a folder that stays; empty for a throw-away one
	Version string
	Log     *slog.Logger
}

// Ready is what a person or a test needs to begin.
type Ready struct {
	URL        string `json:"url"`
	SignInURL  string `json:"sign_in_url"`
	MailboxURL string `json:"mailbox_url"`
	AdminToken string `json:"admin_token"`
	ClockURL   string `json:"clock_url"`
	// DoorURL is where the virtual doors are.
	DoorURL string `json:"door_url"`
	// DoorPIN opens the front door while its key is there.
	DoorPIN string `json:"door_pin"`
	// ShopURL is where the example website is, which takes passkeys.
	ShopURL string `json:"shop_url"`
	// ClientToken is of a Clients key, for the programs of workstations.
	ClientToken string `json:"client_token"`
	// CardUser is the name of somebody who holds two cards, and the key that DoorPIN is of,
	// and CardUserID their id. All of them are empty if somebody deleted the first card.
	CardUser   string `json:"card_user"`
	CardUserID string `json:"card_user_id"`
	// CardNumber and CardPIN are of the first card, as a reader types it, and
	// SecondCardNumber and SecondCardPIN of the other.
	CardNumber       string `json:"card_number"`
	CardPIN          string `json:"card_pin"`
	SecondCardNumber string `json:"second_card_number"`
	SecondCardPIN    string `json:"second_card_pin"`
}

// mailHost is where the mailbox's page is: a host of its own, since mails are
// foreign pages.
const mailHost = "mail.localhost"

// Run runs the demo until ctx ends. ready is called once everything answers.
func Run(ctx context.Context, c Config, ready func(Ready) error) (err error) {
	l, err := app.Listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	listening := true
	defer func() {
		if listening {
			err = errors.Join(err, l.Close())
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	folder, remove, err := makeFolder(c.Keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	now := &clock.Shifted{}
	box, err := OpenMailbox(now)
	if err != nil {
		return fmt.Errorf("opening the mailbox: %w", err)
	}
	defer func() { err = errors.Join(err, box.Close()) }()

	shopURL := "http://" + shopHost + ":" + port
	website, err := newShop(shopURL, clock.System{}) // as a website somewhere else, whose clock nobody here moves
	if err != nil {
		return fmt.Errorf("opening the example website: %w", err)
	}
	doors := newHall(folder, c.Log)
	lockListen, err := doors.listen(ctx)
	if err != nil {
		return err
	}
	config, err := app.Settings{
		Data: folder, Listen: l.Addr().String(), LockListen: lockListen, PublicURL: "http://localhost:" + port, SMTPURL: box.SMTPURL(),
		MailFrom: "Keyhold <keyhold@harbour.example>", LogFormat: "text",
	}.Parse()
	if err != nil {
		return err
	}
	a, err := app.Open(ctx, config, app.Options{
		Clock: now, LinksSignIn: true,
		Mount: func(mux *http.ServeMux) { mux.Handle("POST /demo/clock", clockHandler(now)) },
		Wrap: func(next http.Handler) http.Handler {
			return byHost(map[string]http.Handler{mailHost: box, doorHost: doors, shopHost: website}, next)
		},
	}, c.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	w, out, err := begin(ctx, a, now, config.PublicURL.String(), doors)
	if err != nil {
		return err
	}
	out.DoorURL, out.DoorPIN = "http://"+doorHost+":"+port+"/", doorPIN
	out.URL, out.MailboxURL = "http://localhost:"+port, "http://"+mailHost+":"+port+"/"
	out.ShopURL = shopURL + "/"
	out.ClockURL = out.URL + "/demo/clock"
	listening = false // Serve closes it
	return serve(ctx, a, l, c.Version, doors, func(ctx context.Context) error {
		if err := doors.open(ctx, a, w, now, out.URL, "keyhold demo "+c.Version); err != nil {
			return err
		}
		return ready(out)
	})
}

// serve runs the server until ctx ends: the doors end before it does. ready is called once
// it answers.
func serve(ctx context.Context, a *app.App, l net.Listener, version string, doors *hall, ready func(context.Context) error) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	closed := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		closed <- doors.close()
		stop()
	})
	var told error
	err := a.Serve(serving, l, version, func() {
		if told = ready(ctx); told != nil {
			stop()
		}
	})
	if ctx.Err() != nil {
		return errors.Join(err, <-closed) // told to stop before it was ready is no error
	}
	return errors.Join(err, told, doors.close())
}

func makeFolder(keep string) (string, func() error, error) {
	if keep != "" {
		return keep, func() error { return nil }, nil
	}
	folder, err := os.MkdirTemp("", "keyhold-demo-")
	return folder, func() error { return os.RemoveAll(folder) }, err
}

// begin fills a new folder, or goes on with a kept one, and issues a fresh
// sign-in link and Admin key.
func begin(ctx context.Context, a *app.App, c *clock.Shifted, origin string, doors *hall) (w id.Workspace, out Ready, err error) {
	all, err := a.Join.Workspaces(ctx, auth.Job("", "demo"))
	if err != nil {
		return w, Ready{}, err
	}
	if len(all) > 0 {
		w = all[0].ID
	} else {
		var locks []id.Lock
		if w, locks, err = seed(ctx, a, c, origin); err != nil {
			return w, Ready{}, fmt.Errorf("filling the demo's workspace: %w", err)
		}
		if err := doors.make(locks); err != nil {
			return w, Ready{}, err
		}
	}
	link, _, err := a.SignIn.IssueSetupLink(ctx, auth.Job(w, "demo"), directory.Fold(owner.email))
	if err != nil {
		return w, Ready{}, err
	}
	out = Ready{SignInURL: a.SetupURL(link)}
	began := c.Now().Format("2006-01-02 15:04:05")
	for _, k := range []struct {
		name  string
		kind  apikey.Type
		token *string
	}{{"Demo " + began, apikey.Admin, &out.AdminToken}, {"Workstations " + began, apikey.Clients, &out.ClientToken}} {
		_, token, err := a.APIKeys.Create(ctx, auth.Job(w, "demo"), apikey.NewKey{Name: k.name, Type: k.kind})
		if err != nil {
			return w, Ready{}, err
		}
		*k.token = token.Secret().ExposeString()
	}
	err = withCards(ctx, a, w, &out)
	return w, out, err
}

// withCards adds the cards that are there to be tried. In a kept folder somebody may have
// deleted them, or given them to somebody else.
func withCards(ctx context.Context, a *app.App, w id.Workspace, out *Ready) error {
	as := auth.Job(w, "demo")
	typed := func(n int) string { return strings.ReplaceAll(cardNumber(n), " ", "") } // as readers do
	first, second := typed(tryUser), typed(spareTryCard)
	found, err := a.SecurityKeys.List(ctx, as, first, securitykey.Query{})
	if err != nil || len(found.Items) != 1 {
		return err
	}
	u, _, err := a.Directory.Find(ctx, as, found.Items[0].User)
	if err != nil {
		return err
	}
	out.CardUser, out.CardUserID = u.FirstName+" "+u.LastName, string(u.ID)
	out.CardNumber, out.CardPIN, out.SecondCardNumber, out.SecondCardPIN = first, tryPIN, second, spareTryPIN
	return nil
}

// byHost sends requests for some hosts to pages of their own.
func byHost(pages map[string]http.Handler, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if page, found := pages[strings.ToLower(host)]; found {
			page.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxAdvance bounds one move of the clock.
const maxAdvance = 10 * 365 * 24 * time.Hour

// clockHandler moves the demo's clock: POST {"advance":"25h"}.
func clockHandler(c *clock.Shifted) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Advance string `json:"advance"`
		}
		w.Header().Set("Content-Type", "application/json")
		d, err := time.Duration(0), json.NewDecoder(io.LimitReader(r.Body, 1<<10)).Decode(&in)
		if err == nil {
			d, err = time.ParseDuration(in.Advance)
		}
		if err != nil || d < 0 || d > maxAdvance {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"error":"send {\"advance\":\"25h\"}: hours, minutes or seconds, forwards"}`+"\n") // the reader has gone
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"now": c.Advance(d).Format(time.RFC3339)}) // the reader has gone
	})
}

// tolerate turns a fault that the seed provokes on purpose into no error.
func tolerate(err error, code string) error {
	if f, ok := fault.As(err); ok && f.Code == code {
		return nil
	}
	if err == nil {
		return fmt.Errorf("the act was to be refused with %s", code)
	}
	return err
}
