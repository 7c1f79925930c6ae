package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/door"
	"github.com/keyhold/keyhold/internal/door/link"
	"github.com/keyhold/keyhold/internal/door/link/virtual"
)

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(r *run) error { return say(r.out, "keyhold-lock %s\n", version()) }

func say(w io.Writer, format string, values ...any) error {
	_, err := fmt.Fprintf(w, format, values...)
	return err
}

type enrolCmd struct {
	where
	Server string `required:"" help:"The server's address, as browsers reach it: https://keys.example.com." env:"KEYHOLD_SERVER" placeholder:"URL"`
	Token  string `arg:"" help:"The token, which works once and for an hour; or - to read it from the standard input, so that no list of processes shows it."`
}

// maxToken bounds what is read as a token, in bytes.
const maxToken = 4 << 10

// Run enrols.
func (cmd enrolCmd) Run(r *run) error {
	text := cmd.Token
	if text == "-" {
		line, err := bufio.NewReader(io.LimitReader(r.in, maxToken)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the token: %w", err)
		}
		text = line
	}
	i, err := link.Enrol(r.ctx, cmd.Server, text, cmd.State)
	if err != nil {
		return err
	}
	return say(r.out, "This machine is now the controller of %q (%s).\nIts keys are in %s: keep that folder to yourself.\n\nTry it on a page:     keyhold-lock run --state %s --virtual\nDrive a real door:    keyhold-lock run --state %s --exec COMMAND\n",
		i.Name, i.Lock, cmd.State, cmd.State, cmd.State)
}

type statusCmd struct{ where }

// Run prints what the folder says.
func (cmd statusCmd) Run(r *run) error {
	i, s, running, err := link.Inspect(cmd.State)
	if err != nil {
		return err
	}
	runs, lease := "no", "never told"
	if running {
		runs = "yes"
	}
	if !s.Lease.IsZero() {
		lease = s.Lease.Format(time.RFC3339)
	}
	return say(r.out, `Lock              %s (%s)
Server            %s
Running           %s
Certificate until %s
Version           %d of epoch %d
Keys held         %d
Lease until       %s
Wrong PINs        %d
Last known time   %s
Start             %d
Events            %d, of which %d wait to be sent
`, i.Name, i.Lock, i.Link, runs, i.Certificate.NotAfter.UTC().Format(time.RFC3339), s.Version, s.Epoch, s.Grants, lease, s.Wrong,
		s.Now.Format(time.RFC3339), s.Boot, s.Last, s.Last-min(s.Confirmed, s.Last))
}

type runCmd struct {
	where
	Virtual      bool   `help:"Show the door on a page: keypad, cards, bolt, and a network, a clock and a power supply to play with."`
	Listen       string `help:"Where the page is, with --virtual: host:port." default:"localhost:8090"`
	Exec         string `help:"A command to run through sh for each opening: it unlocks, waits for $KEYHOLD_OPEN_SECONDS seconds and locks again. If it ends at once with an error, the opening counts as failed." placeholder:"COMMAND"`
	BatteryClock bool   `name:"battery-clock" help:"This machine's clock goes on without power: believe it after a start, unless it is behind what the door knew."`
}

// Help tells what stands on the standard input.
func (runCmd) Help() string {
	return `Without --virtual the door is whatever COMMAND drives, and what happens at it comes
line by line on the standard input; each pin and card is answered by a line:

  pin 123456       an entry at the keypad     opened, or refused and the reason
  card 04A1B2C3    a card at the reader       likewise
  door open        what the door's contact says: open or closed
  battery 80       what is left of the battery, in percent`
}

// Run runs the door until it is told to stop.
func (cmd runCmd) Run(r *run) error {
	switch {
	case cmd.Virtual && cmd.Exec != "":
		return usageError("--virtual shows the door on a page, --exec drives a real one: choose one of them.")
	case cmd.Virtual:
		return cmd.runVirtual(r)
	case cmd.Exec == "":
		return usageError("nothing would open: show the door on a page with --virtual, or name the command that opens it with --exec. See keyhold-lock run --help.")
	}
	return cmd.runReal(r)
}

func (cmd runCmd) runVirtual(r *run) error {
	var config net.ListenConfig
	listener, err := config.Listen(r.ctx, "tcp", cmd.Listen)
	if err != nil {
		return fmt.Errorf("the page cannot be at %s, choose another place with --listen: %w", cmd.Listen, err)
	}
	d, err := virtual.Start(r.ctx, virtual.DoorConfig{Folder: cmd.State, BatteryClock: cmd.BatteryClock, Software: software(), Log: r.log()})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err == nil {
		err = say(r.out, "\n%s is at http://door.localhost:%s/\n\nStop it with Ctrl+C.\n", d.Name(), port)
	}
	if err != nil {
		return errors.Join(err, d.Stop(), listener.Close())
	}
	server := &http.Server{Handler: virtual.New(virtual.Config{Doors: []*virtual.Door{d}}), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	ended := context.AfterFunc(r.ctx, func() { _ = server.Close() }) // the page has nothing to finish
	defer ended()
	if err = server.Serve(listener); errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, d.Stop())
}

func (cmd runCmd) runReal(r *run) (err error) {
	folder, err := link.OpenFolder(cmd.State)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	identity, err := folder.Identity()
	if err != nil {
		return err
	}
	bolt := &command{text: cmd.Exec, log: r.log()}
	defer bolt.wait()
	c := identity.Door()
	c.Disk, c.Output, c.Clock, c.BatteryClock, c.Software = folder, bolt, link.NewClock(), cmd.BatteryClock, software()
	engine, err := door.Open(c)
	if err != nil {
		return err
	}
	l := link.New(link.Config{Engine: engine, Identity: identity, Folder: folder, Log: r.log()})
	if err := say(r.out, "%s runs. Type pin 123456 or card 04A1B2C3, stop it with Ctrl+C.\n", identity.Name); err != nil {
		return err
	}
	// Reading cannot be ended: the program ends before it.
	go feed(r.in, r.out, l, engine)
	if err := l.Run(r.ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// feed hands lines to the door, until there are no more.
func feed(in io.Reader, out io.Writer, l *link.Link, engine *door.Engine) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if answer := feedLine(strings.TrimSpace(lines.Text()), l, engine); answer != "" {
			_, _ = fmt.Fprintln(out, answer) // whoever feeds it does not listen
		}
	}
}
