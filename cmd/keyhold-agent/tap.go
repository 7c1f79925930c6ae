package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/webauthn"
)

// cardFlags say which card is tapped.
type cardFlags struct {
	Card   string `required:"" help:"The card's number, as the reader tells it: 04:A1:B2:C3." placeholder:"UID"`
	Source string `help:"Whether the number was typed, or comes from a reader." enum:"typed,reader" default:"typed"`
}

func (f cardFlags) number() (secret.Bytes, error) {
	number, ok := card.Parse(f.Card)
	if !ok {
		return secret.Bytes{}, usageError("a card's number has 4, 7 or 10 bytes in hex, like 04:A1:B2:C3.")
	}
	return number, nil
}

// site is what registering and signing in share.
type site struct {
	where
	cardFlags
	Origin    string `required:"" help:"The website's origin: https://shop.example." placeholder:"ORIGIN"`
	TopOrigin string `help:"The origin of the page around, if the website is a frame in another one's." placeholder:"ORIGIN"`
	Options   string `required:"" help:"The file with what the website asked for, as JSON; - for the standard input." placeholder:"FILE"`
	RPID      string `name:"rp-id" help:"The website's RP ID. Without it that of the options, or else the origin's host." placeholder:"HOST"`
	PINFile   string `name:"pin-file" help:"The file with the card's PIN; - for the standard input. Without it the PIN is $$KEYHOLD_PIN, or else a line of the standard input unless the options stand there." placeholder:"FILE"`
}

type tapCmd struct {
	Register registerCmd `cmd:"" help:"Register at a website."`
	SignIn   signInCmd   `cmd:"" name:"sign-in" help:"Sign in at a website."`
}

type registerCmd struct{ site }

// Help tells what goes in and what comes out.
func (registerCmd) Help() string {
	return `The options are PublicKeyCredentialCreationOptionsJSON, as a website gives them to
navigator.credentials.create(). What the website is to get, RegistrationResponseJSON, is
printed.

  keyhold-agent tap register --card 04:A1:B2:C3 --origin https://shop.example \
    --options create.json --pin-file pin.txt > response.json

A PIN that is typed on a terminal is shown as it is typed: read -s PIN, and give it as
KEYHOLD_PIN="$PIN" keyhold-agent …, if somebody looks on.`
}

// Run registers.
func (cmd registerCmd) Run(r *run) error {
	return cmd.run(r, agent.Create, func(c *agent.Client, tap, uvToken string, options json.RawMessage) error {
		answer, err := c.MakeCredential(r.ctx, tap, uvToken, options)
		if err != nil {
			return err
		}
		return say(r.out, "%s\n", answer)
	})
}

type signInCmd struct {
	site
	Account string `help:"The credential_id of one of several accounts." placeholder:"ID"`
}

// Help tells what goes in and what comes out.
func (signInCmd) Help() string {
	return `The options are PublicKeyCredentialRequestOptionsJSON, as a website gives them to
navigator.credentials.get(). What the website is to get, AuthenticationResponseJSON, is
printed.

  keyhold-agent tap sign-in --card 04:A1:B2:C3 --origin https://shop.example \
    --options get.json --pin-file pin.txt > response.json

If the card has several accounts there, they are printed instead, as {"choose": […]},
and the exit status is 3: call again with --account and a credential_id of theirs.`
}

// Run signs in.
func (cmd signInCmd) Run(r *run) error {
	return cmd.run(r, agent.Get, func(c *agent.Client, tap, uvToken string, options json.RawMessage) error {
		answer, err := c.GetAssertion(r.ctx, tap, uvToken, options, cmd.Account)
		if err != nil {
			return err
		}
		if len(answer.Choose) == 0 {
			return say(r.out, "%s\n", answer.Response)
		}
		text, err := json.Marshal(map[string][]agent.Account{"choose": answer.Choose})
		if err != nil {
			return err
		}
		if err := say(r.out, "%s\n", text); err != nil {
			return err
		}
		return errChoose
	})
}

// run taps, verifies if need be, and then signs.
func (cmd site) run(r *run, operation string, sign func(c *agent.Client, tap, uvToken string, options json.RawMessage) error) error {
	number, err := cmd.number()
	if err != nil {
		return err
	}
	if cmd.Options == "-" && cmd.PINFile == "-" {
		return usageError("the options and the PIN cannot both stand on the standard input.")
	}
	s, err := cmd.load()
	if err != nil {
		return err
	}
	options, rpID, err := cmd.options(r)
	if err != nil {
		return err
	}
	c := s.client()
	tapped, err := c.Tap(r.ctx, agent.Tap{
		CardNumber: number, Source: cmd.Source, Operation: operation, Origin: cmd.Origin, TopOrigin: cmd.TopOrigin, CrossOrigin: cmd.TopOrigin != "", RPID: rpID, Options: options,
	})
	if err != nil {
		return err
	}
	uvToken := ""
	switch tapped.Needs {
	case agent.NeedsNone:
	case agent.NeedsPIN:
		pin, err := r.pin("PIN", cmd.PINFile, envPIN, cmd.Options == "-")
		if err != nil {
			return err
		}
		if uvToken, err = c.Verify(r.ctx, tapped.Tap, pin); err != nil {
			return err
		}
	default:
		return fmt.Errorf("the server wants %q for this card, which this program cannot give", tapped.Needs)
	}
	return sign(c, tapped.Tap, uvToken, options)
}

// options reads what the website asked for, and returns its RP ID too.
func (cmd site) options(r *run) (options json.RawMessage, rpID string, err error) {
	var from io.Reader = r.in
	if cmd.Options != "-" {
		file, err := os.Open(cmd.Options)
		if err != nil {
			return nil, "", fmt.Errorf("reading the options: %w", err)
		}
		defer func() { _ = file.Close() }() // it was read
		from = file
	}
	if options, err = io.ReadAll(io.LimitReader(from, webauthn.MaxOptions+1)); err != nil {
		return nil, "", fmt.Errorf("reading the options: %w", err)
	}
	var asked struct {
		PublicKey json.RawMessage `json:"publicKey"`
		RP        struct {
			ID string `json:"id"`
		} `json:"rp"`
		RPID string `json:"rpId"`
	}
	err = json.Unmarshal(options, &asked)
	if err == nil && asked.PublicKey != nil { // as navigator.credentials takes them
		options = asked.PublicKey
		err = json.Unmarshal(options, &asked)
	}
	if err != nil {
		return nil, "", fmt.Errorf("the options are not the JSON of a website: %w", err)
	}
	for _, rpID := range []string{cmd.RPID, asked.RP.ID, asked.RPID} {
		if rpID != "" {
			return options, rpID, nil
		}
	}
	origin, err := url.Parse(cmd.Origin)
	if err != nil || origin.Hostname() == "" {
		return nil, "", usageError("the origin is to look like https://shop.example.")
	}
	return options, origin.Hostname(), nil
}
