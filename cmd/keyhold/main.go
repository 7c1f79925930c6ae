// Command keyhold is the key desk of an organisation: the server and its tools.
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
	_ "time/tzdata" // time zones on machines that have none

	"github.com/alecthomas/kong"

	"github.com/keyhold/keyhold/internal/app"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// settings are the flags that all commands share.
type settings struct {
	Config         kong.ConfigFlag `help:"A config file in JSON, with keys like public_url. Flags and environment go before it." env:"KEYHOLD_CONFIG" placeholder:"FILE"`
	Data           string          `help:"The folder for the database and the keys." env:"KEYHOLD_DATA" default:"keyhold-data" placeholder:"DIR"`
	Listen         string          `help:"Where to listen: host:port." env:"KEYHOLD_LISTEN" default:"localhost:8080"`
	LockListen     string          `name:"lock-listen" help:"Where the controllers of doors come in: host:port, like :8443. A port of its own, TLS with client certificates. Without it, no lock can be enrolled." env:"KEYHOLD_LOCK_LISTEN" placeholder:"ADDRESS"`
	LockURL        string          `name:"lock-url" help:"The address under which controllers find that port: wss://host:port. By default the public host and that port." env:"KEYHOLD_LOCK_URL" placeholder:"URL"`
	PublicURL      string          `name:"public-url" help:"The address under which browsers reach the server: https://…, or http://localhost:PORT (the default) for a trial." env:"KEYHOLD_PUBLIC_URL" placeholder:"URL"`
	DatabaseURL    string          `name:"database-url" help:"PostgreSQL to use: postgres://user:password@host:5432/name. Without it, SQLite in the data folder." env:"KEYHOLD_DATABASE_URL" placeholder:"URL"`
	SMTPURL        string          `name:"smtp-url" help:"The mail server: smtps://user:password@host:465 or smtp://host:587. Without it, mails wait." env:"KEYHOLD_SMTP_URL" placeholder:"URL"`
	MailFrom       string          `name:"mail-from" help:"The sender of mails: Keyhold <keys@example.com>." env:"KEYHOLD_MAIL_FROM" placeholder:"ADDRESS"`
	TrustedProxies []string        `name:"trusted-proxies" help:"Addresses or networks whose forwarding headers count, comma separated." env:"KEYHOLD_TRUSTED_PROXIES" placeholder:"CIDR"`
	MetricsToken   string          `name:"metrics-token" help:"The bearer token for /metrics. Without it, /metrics answers this machine only." env:"KEYHOLD_METRICS_TOKEN" placeholder:"TOKEN"`
	Checkpoints    string          `help:"A folder to which checkpoints of the activity records are appended once an hour, one file a workspace. Best on another machine's disk." env:"KEYHOLD_CHECKPOINTS" placeholder:"DIR"`
	APIRate        int             `name:"api-rate" help:"How many requests an API key may make in a minute at each server; 0 for no limit." env:"KEYHOLD_API_RATE" default:"6000" placeholder:"N"`
	LogFormat      string          `name:"log-format" help:"json or text." env:"KEYHOLD_LOG_FORMAT" default:"json"`
}

func (s settings) parse() (app.Config, error) {
	return app.Settings{
		Data: s.Data, Listen: s.Listen, LockListen: s.LockListen, LockURL: s.LockURL, PublicURL: s.PublicURL, DatabaseURL: s.DatabaseURL, SMTPURL: s.SMTPURL, MailFrom: s.MailFrom,
		TrustedProxies: s.TrustedProxies, MetricsToken: s.MetricsToken, LogFormat: s.LogFormat,
		Checkpoints: s.Checkpoints, APIRate: s.APIRate,
	}.Parse()
}

// cli is the command line.
type cli struct {
	settings

	Serve     serveCmd     `cmd:"" help:"Run the server."`
	Demo      demoCmd      `cmd:"" help:"Run a server to try things with: a filled workspace, a mailbox, a throw-away folder."`
	SetupLink setupLinkCmd `cmd:"" help:"Issue a one-time link with which an administrator registers a passkey."`
	Workspace struct {
		Create   workspaceCreateCmd   `cmd:"" help:"Make a workspace, and a setup link for its first owner."`
		Suspend  workspaceSuspendCmd  `cmd:"" help:"Make everything of a workspace refuse, at once, and end all its sessions."`
		Activate workspaceActivateCmd `cmd:"" help:"Take a workspace's suspension back. People sign in anew; API keys work again."`
	} `cmd:"" help:"Workspaces."`
	APIKey struct {
		Create       apiKeyCreateCmd    `cmd:"" help:"Create an API key and print its token, once."`
		RotatePepper apiKeyRotatePepper `cmd:"" help:"Make a new pepper, under which the tokens' hashes are stored from now on."`
	} `cmd:"" name:"api-key" help:"API keys."`
	Activity struct {
		Verify     activityVerifyCmd     `cmd:"" help:"Check that no line of the activity record was changed, removed or reordered; with a checkpoint also that its end was not cut."`
		Checkpoint activityCheckpointCmd `cmd:"" help:"Print a signed checkpoint of the activity record, to be kept elsewhere."`
	} `cmd:"" help:"The activity record."`
	Migrate migrateCmd `cmd:"" help:"Bring the database up to this version (serve does so by itself)."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// run is what a command gets: where it prints, and the shared settings.
type run struct {
	ctx      context.Context //nolint:containedctx // kong hands a command its bindings in one value
	out      io.Writer
	errs     io.Writer
	settings settings
}

// log returns a logger of the wanted format to the error stream.
func (r *run) log(c app.Config) (*slog.Logger, func() error) {
	if c.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(r.errs, nil)), func() error { return nil }
	}
	return app.NewLog(r.errs)
}

// quiet returns a logger for commands whose output is for people: warnings only.
func (r *run) quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(r.errs, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func main() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) }

// Main runs the command line and returns the exit code.
func Main(args []string, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	syscall.Umask(0o077)         // what we write is for its owner only
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("keyhold"),
		kong.Description("The key desk of an organisation: issue, watch, suspend and withdraw every key that people and programs hold."),
		kong.Configuration(loadConfigFile), kong.Writers(out, errs), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Exit(func(code int) { exited = code }))
	if err != nil {
		_, _ = fmt.Fprintln(errs, "keyhold:", err)
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
		_, _ = fmt.Fprintf(errs, "keyhold: %v\nRun keyhold --help, or keyhold COMMAND --help.\n", err)
		return exitUsage
	}
	err = command.Run(&run{ctx: ctx, out: out, errs: errs, settings: c.settings})
	var setting *app.SettingError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &setting):
		_, _ = fmt.Fprintln(errs, "keyhold:", err)
		return exitUsage
	case errors.Is(err, errDamaged):
		return exitFailed
	}
	_, _ = fmt.Fprintln(errs, "keyhold:", err)
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
