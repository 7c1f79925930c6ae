// Command keyhold-agent is a client at the command line: it enrols with a server, then
// registers and signs in at websites with cards, as a browser's extension does. With it
// everything can be tried without a browser.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/keyhold/keyhold/internal/agent"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
	exitChoose = 3 // several accounts fit
)

// cli is the command line.
type cli struct {
	Enrol     enrolCmd     `cmd:"" help:"Make this computer a client of a server."`
	Status    statusCmd    `cmd:"" help:"Print what the server says of this client. The exit status is 0 once it is approved."`
	Tap       tapCmd       `cmd:"" help:"Register or sign in at a website with a card."`
	ChangePIN changePINCmd `cmd:"" name:"change-pin" help:"Change a card's PIN."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// where is the flag that all commands share.
type where struct {
	State string `help:"The file with this client's key and token. Keep it to yourself." env:"KEYHOLD_AGENT_STATE" default:"${state}" placeholder:"FILE"`
}

// run is what a command gets.
type run struct {
	ctx  context.Context //nolint:containedctx // kong hands a command its bindings in one value
	in   *bufio.Reader
	out  io.Writer
	errs io.Writer
}

// usageError is a wrong use of the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// errChoose says that the accounts to choose from were printed.
var errChoose = errors.New("several accounts fit: name one by its credential_id with --account")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	code := Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Main runs the command line until it is done or the context ends, and returns the exit
// code.
func Main(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("keyhold-agent"),
		kong.Description("A client of Keyhold at the command line: registers and signs in at websites with cards.\n\n"+
			"First enrol, with an enrolment code or the token of a Clients key; both are in the panel under App integrations. Then tap."),
		kong.Vars{"state": defaultState()},
		kong.Writers(out, errs), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Exit(func(code int) { exited = code }))
	if err != nil {
		_, _ = fmt.Fprintln(errs, "keyhold-agent:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		_, _ = fmt.Fprintf(errs, "keyhold-agent: %v\nRun keyhold-agent --help, or keyhold-agent COMMAND --help.\n", err)
		return exitUsage
	}
	err = command.Run(&run{ctx: ctx, in: bufio.NewReader(in), out: out, errs: errs})
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(errs, "keyhold-agent:", explain(err))
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errChoose):
		return exitChoose
	}
	return exitFailed
}

// defaultState is where the state is kept, empty if this system has no place for it.
func defaultState() string {
	folder, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "keyhold-agent", "agent.json")
}

// explain says in words what went wrong.
func explain(err error) string {
	var e *agent.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	var said string
	switch e.Code {
	case agent.CodePINInvalid:
		said = "the PIN is wrong"
		if e.TriesLeft != nil {
			said += fmt.Sprintf("; tries left: %d", *e.TriesLeft)
		}
	case agent.CodePINPaused:
		said = "there were too many wrong PINs"
	case agent.CodePINLocked:
		said = "there were too many wrong PINs, and the card's PIN is locked: ask an administrator to reset it"
	default:
		said = e.Error()
	}
	switch {
	case e.PausedUntil != nil:
		said += fmt.Sprintf("; try again after %s", e.PausedUntil.Local().Format("15:04:05"))
	case e.RetryAfter > 0:
		said += fmt.Sprintf("; try again in %s", e.RetryAfter)
	}
	said += fmt.Sprintf(" (%d %s", e.Status, e.Code)
	if e.Name != "" {
		said += ", the website gets " + e.Name
	}
	if e.RequestID != "" {
		said += ", request " + e.RequestID
	}
	return said + ")"
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(r *run) error { return say(r.out, "keyhold-agent %s\n", version()) }

// version returns the version that the build was given, or its commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "0.1.0-" + s.Value[:12]
		}
	}
	return "0.1.0-dev"
}

func say(w io.Writer, format string, values ...any) error {
	_, err := fmt.Fprintf(w, format, values...)
	return err
}
