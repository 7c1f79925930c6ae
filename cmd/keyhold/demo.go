package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/keyhold/keyhold/internal/app"
	"github.com/keyhold/keyhold/internal/app/demo"
)

type demoCmd struct {
	Keep string `help:"Keep the data in this folder and go on with it the next time; a throw-away folder if left out." placeholder:"DIR"`
	JSON bool   `help:"Print one JSON object once ready."`
	Logs bool   `help:"Show the server's log."`
}

// Run runs the demo until it is told to stop.
func (cmd demoCmd) Run(r *run) error {
	for setting, value := range map[string]string{
		"KEYHOLD_PUBLIC_URL": r.settings.PublicURL, "KEYHOLD_DATABASE_URL": r.settings.DatabaseURL,
		"KEYHOLD_SMTP_URL": r.settings.SMTPURL, "KEYHOLD_MAIL_FROM": r.settings.MailFrom,
		"KEYHOLD_CHECKPOINTS": r.settings.Checkpoints, "KEYHOLD_LOCK_LISTEN": r.settings.LockListen, "KEYHOLD_LOCK_URL": r.settings.LockURL,
	} {
		if value != "" {
			return &app.SettingError{Setting: setting, Why: "the demo brings its own: leave it out, or use keyhold serve"}
		}
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if cmd.Logs {
		var flush func() error
		log, flush = r.log(app.Config{LogFormat: r.settings.LogFormat})
		defer func() { _ = flush() }() // nobody is left to be told
	}
	return demo.Run(r.ctx, demo.Config{Listen: r.settings.Listen, Keep: cmd.Keep, Version: version(), Log: log}, func(ready demo.Ready) error {
		if cmd.JSON {
			return printJSON(r.out, ready)
		}
		return say(r.out, `
Keyhold's demo is ready. Nothing here is real, and the clock can be moved.

  Sign in as the owner   %s
  (this link works once: register a passkey there, or go on without one)

  The panel              %s
  The mailbox            %s
  Virtual doors          %s
  (at the front door, try the PIN %s)
  An example website     %s
  (it knows nothing of Keyhold; with the extension a card signs in there)
%s  Clients key for the extension   %s
  The API's pages        %s/api/docs
  An Admin API key       %s

  curl -H "Authorization: Bearer %s" "%s/api/v1/users?limit=3"
  curl -X POST -d '{"advance":"25h"}' %s

Stop it with Ctrl+C.
`, ready.SignInURL, ready.URL, ready.MailboxURL, ready.DoorURL, ready.DoorPIN, ready.ShopURL, cards(ready), ready.ClientToken, ready.URL, ready.AdminToken, ready.AdminToken, ready.URL, ready.ClockURL)
	})
}

// cards tells of the cards that are there to be tried, if they still are.
func cards(ready demo.Ready) string {
	if ready.CardNumber == "" {
		return ""
	}
	return fmt.Sprintf(`  Try a card: number %s, PIN %s
  (%s's, as is the door's PIN; their other card: number %s, PIN %s)
`, ready.CardNumber, ready.CardPIN, ready.CardUser, ready.SecondCardNumber, ready.SecondCardPIN)
}
