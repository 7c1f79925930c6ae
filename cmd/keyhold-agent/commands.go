package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
)

// The environment that holds secrets, which no argument does: a list of processes shows
// arguments.
const (
	envToken  = "KEYHOLD_CLIENT_TOKEN"
	envPIN    = "KEYHOLD_PIN"
	envNewPIN = "KEYHOLD_NEW_PIN"
)

// maxLine bounds a secret that is read, in bytes.
const maxLine = 4 << 10

// line returns the first line of what is read.
func line(from io.Reader) (secret.Bytes, error) {
	var text []byte
	var one [1]byte // not a byte of the next line
	for len(text) < maxLine {
		n, err := from.Read(one[:])
		if n == 1 && one[0] == '\n' || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return secret.Bytes{}, err
		}
		text = append(text, one[:n]...)
	}
	return secret.FromString(strings.TrimSuffix(string(text), "\r")), nil
}

// secretFrom reads a secret from the file, "-" being the standard input, or else from the
// environment. It is empty if neither has it.
func (r *run) secretFrom(file, env string) (secret.Bytes, error) {
	switch file {
	case "":
		return secret.FromString(os.Getenv(env)), nil
	case "-":
		return line(r.in)
	}
	f, err := os.Open(file) //nolint:gosec // the operator names the file
	if err != nil {
		return secret.Bytes{}, err
	}
	defer func() { _ = f.Close() }() // it was read
	return line(f)
}

type enrolCmd struct {
	where
	Server    string `required:"" help:"The server's address, as browsers reach it: https://keys.example.com." env:"KEYHOLD_SERVER" placeholder:"URL"`
	Name      string `required:"" help:"What administrators see, like \"Front desk\". No two clients share a name." placeholder:"TEXT"`
	Code      string `help:"An enrolment code, with which the client is approved at once. With it no token is needed." env:"KEYHOLD_ENROLMENT_CODE" placeholder:"CODE"`
	TokenFile string `help:"The file with the token of a Clients key; - for the standard input. Without it the token is taken from $$KEYHOLD_CLIENT_TOKEN." placeholder:"FILE"`
}

// Help tells where things come from.
func (enrolCmd) Help() string {
	return `An enrolment code is enough (App integrations > Clients > Enrolment codes): the client is
approved at once, and gets the token of an API key of its own.

  keyhold-agent enrol --server https://keys.example.com --name "Front desk" --code 7QWX-2MNR-K8PV-HJ4T

Without a code, give the token of a Clients key, which the panel shows once when the key is
made (App integrations > API keys). An administrator approves the client: App integrations >
Clients.

  keyhold-agent enrol --server https://keys.example.com --name "Front desk" --token-file token.txt

A key pair of this computer's own is made here. It never leaves the state file, and the
token alone signs nothing without it. Its thumbprint is printed, and shown in the panel:
compare the two before the client is approved.`
}

// token returns the token of a Clients key, empty if there is none but a code.
func (cmd enrolCmd) token(r *run) (secret.Bytes, error) {
	text, err := r.secretFrom(cmd.TokenFile, envToken)
	switch {
	case err != nil:
		return text, fmt.Errorf("reading the token: %w", err)
	case text.IsEmpty() && strings.TrimSpace(cmd.Code) != "" && cmd.TokenFile == "":
		return text, nil
	case text.IsEmpty():
		return text, usageError("there is no token: name its file with --token-file, or set $" + envToken + ". Or enrol with a code alone: --code.")
	}
	clientToken, ok := token.Parse(strings.TrimSpace(text.ExposeString()))
	if !ok || clientToken.Kind != token.KindClient {
		return text, usageError("this is no token of a Clients key: those begin with kh_client_ and are shown once, in the panel.")
	}
	return clientToken.Secret(), nil
}

// Run enrols.
func (cmd enrolCmd) Run(r *run) error {
	server, err := parseServer(cmd.Server)
	if err != nil {
		return usageError(err.Error())
	}
	clientToken, err := cmd.token(r)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key: %w", err)
	}
	file, err := cmd.reserve()
	if err != nil {
		return err
	}
	s := state{server: server, name: cmd.Name, token: clientToken, key: key}
	enrolled, err := s.client().Enrol(r.ctx, agent.Enrolment{Name: cmd.Name, Kind: agent.KindAgent, Code: secret.FromString(cmd.Code)})
	if err != nil {
		return errors.Join(err, drop(file))
	}
	s.id = enrolled.ID
	if s.token.IsEmpty() {
		s.token = enrolled.Token
	}
	if err := cmd.keep(file, s); err != nil {
		return fmt.Errorf("the server knows this client as %s, but its key could not be kept. Revoke it in the panel, and enrol anew: %w", s.id, err)
	}
	next := "It may be used: see keyhold-agent tap --help.\n"
	if enrolled.State != approved {
		next = "It waits for an administrator, who approves it in the panel: App integrations > Clients. keyhold-agent status tells.\n"
	}
	return say(r.out, "This computer is now the client %q (%s).\nKey %s: the panel shows the same.\nIts key and token are in %s: keep that file to yourself.\n%s", s.name, s.id, s.thumbprint(), cmd.State, next)
}

const approved = "approved"

type statusCmd struct{ where }

// Run prints what the file and the server say.
func (cmd statusCmd) Run(r *run) error {
	s, err := cmd.load()
	if err != nil {
		return err
	}
	c := s.client()
	answer, err := c.Whoami(r.ctx)
	if err != nil {
		return err
	}
	var who struct {
		Workspace struct {
			Name string `json:"name"`
		} `json:"workspace"`
		Key struct {
			Name string `json:"name"`
		} `json:"key"`
	}
	if json.Unmarshal(answer, &who) != nil {
		return errors.New("the server's answer cannot be read")
	}
	ready := "yes"
	_, refused := c.Info(r.ctx) // needs an approved client
	if refused != nil {
		ready = "no"
	}
	return errors.Join(say(r.out, "Client      %s (%s)\nKey         %s\nServer      %s\nWorkspace   %s\nAPI key     %s\nMay be used %s\n", s.name, s.id, s.thumbprint(), s.server, who.Workspace.Name, who.Key.Name, ready), refused)
}

type changePINCmd struct {
	where
	cardFlags
	PINFile    string `name:"pin-file" help:"The file with the PIN; - for the standard input. Without it the PIN is $$KEYHOLD_PIN, or else a line of the standard input." placeholder:"FILE"`
	NewPINFile string `name:"new-pin-file" help:"Likewise for the new PIN: else $$KEYHOLD_NEW_PIN, or the next line." placeholder:"FILE"`
}

// Help shows how.
func (changePINCmd) Help() string {
	return `The PIN, and the new one, as two lines:

  printf '%s\n%s\n' 246810 135791 | keyhold-agent change-pin --card 04:A1:B2:C3

On a terminal the lines are asked for, and shown as they are typed.`
}

// Run changes the PIN.
func (cmd changePINCmd) Run(r *run) error {
	number, err := cmd.number()
	if err != nil {
		return err
	}
	s, err := cmd.load()
	if err != nil {
		return err
	}
	old, err := r.pin("PIN", cmd.PINFile, envPIN, false)
	if err != nil {
		return err
	}
	changed, err := r.pin("New PIN", cmd.NewPINFile, envNewPIN, false)
	if err != nil {
		return err
	}
	c := s.client()
	tapped, err := c.Tap(r.ctx, agent.Tap{CardNumber: number, Source: cmd.Source, Operation: agent.PINChange})
	if err != nil {
		return err
	}
	if err := c.ChangePIN(r.ctx, tapped.Tap, old, changed); err != nil {
		return err
	}
	return say(r.out, "The card has its new PIN.\n")
}

// pin reads a PIN from the file, the environment, or a line of the standard input unless
// that is taken.
func (r *run) pin(what, file, env string, taken bool) (secret.Bytes, error) {
	if file == "" && os.Getenv(env) == "" {
		if taken {
			return secret.Bytes{}, usageError("the card has a PIN, and the options took the standard input: name a file with the PIN, or set $" + env + ".")
		}
		_, _ = fmt.Fprintf(r.errs, "%s: ", what) // nobody may be there to read it
		file = "-"
	}
	pin, err := r.secretFrom(file, env)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("reading the PIN: %w", err)
	}
	if pin.IsEmpty() {
		return secret.Bytes{}, usageError("there is no PIN: see --help for where it may come from.")
	}
	return pin, nil
}
