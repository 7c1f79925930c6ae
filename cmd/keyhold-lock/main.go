// Command keyhold-lock is the controller at a door: it enrols with a server, decides by
// itself who may open, and tells what happened.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/keyhold/keyhold/internal/door/link"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// cli is the command line.
type cli struct {
	Enrol   enrolCmd   `cmd:"" help:"Make this machine the controller of a lock, with the token that the panel shows once."`
	Run     runCmd     `cmd:"" help:"Run the door."`
	Status  statusCmd  `cmd:"" help:"Print what the door knows. It may run meanwhile."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// where is the flag that all commands share.
type where struct {
	State string `help:"The folder for the door's keys and memory. Each door has its own." env:"KEYHOLD_LOCK_STATE" default:"keyhold-lock-state" placeholder:"DIR"`
}

// run is what a command gets.
type run struct {
	ctx  context.Context //nolint:containedctx // kong hands a command its bindings in one value
	in   io.Reader
	out  io.Writer
	errs io.Writer
}

// log returns a logger to the error stream.
func (r *run) log() *slog.Logger { return slog.New(slog.NewTextHandler(r.errs, nil)) }

// usageError is a wrong use of the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	syscall.Umask(0o077)         // what we write is for its owner only
	code := Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Main runs the command line until it is done or the context ends, and returns the exit
// code.
func Main(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("keyhold-lock"),
		kong.Description("The controller at a door: it decides by the last keys that its server signed for it, with the network or without."),
		kong.Writers(out, errs), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Exit(func(code int) { exited = code }))
	if err != nil {
		_, _ = fmt.Fprintln(errs, "keyhold-lock:", err)
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
		_, _ = fmt.Fprintf(errs, "keyhold-lock: %v\nRun keyhold-lock --help, or keyhold-lock COMMAND --help.\n", err)
		return exitUsage
	}
	err = command.Run(&run{ctx: ctx, in: in, out: out, errs: errs})
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		_, _ = fmt.Fprintln(errs, "keyhold-lock:", err)
		return exitUsage
	}
	_, _ = fmt.Fprintln(errs, "keyhold-lock:", err)
	switch {
	case errors.Is(err, link.ErrNotEnrolled):
		_, _ = fmt.Fprintln(errs, "In the panel, open the smart lock and choose Enrol: it shows the command to paste here. Or name the door's folder with --state.")
	case errors.Is(err, link.ErrFolderLocked):
		_, _ = fmt.Fprintln(errs, "Stop it first, or name another door's folder with --state.")
	}
	return exitFailed
}

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

// software is what the server is told.
func software() string { return "keyhold-lock " + version() }
