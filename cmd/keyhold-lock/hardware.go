package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keyhold/keyhold/internal/base/card"
	"github.com/keyhold/keyhold/internal/door"
	"github.com/keyhold/keyhold/internal/door/link"
)

// failsWithin is how long an opening waits for its command to fail.
const failsWithin = 100 * time.Millisecond

// command is a bolt that a command moves.
type command struct {
	text    string
	log     *slog.Logger
	running sync.WaitGroup
}

// Open starts the command. It is an error if it ends at once with an error.
func (c *command) Open(d time.Duration) error {
	process := exec.Command("sh", "-c", c.text) //nolint:gosec,noctx // the operator's own command; a stop lets it lock the door again
	process.Env = append(os.Environ(), "KEYHOLD_OPEN_SECONDS="+strconv.Itoa(int(d/time.Second)))
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		return fmt.Errorf("starting the command of --exec: %w", err)
	}
	ended := make(chan error, 1)
	c.running.Go(func() {
		err := process.Wait()
		if err != nil {
			c.log.Error("the command of --exec failed", "error", err)
		}
		ended <- err
	})
	soon := time.NewTimer(failsWithin)
	defer soon.Stop()
	select {
	case err := <-ended:
		return err
	case <-soon.C:
		return nil
	}
}

// wait waits for commands that still hold the door open.
func (c *command) wait() { c.running.Wait() }

// feedLine does what a line says and returns the answer, empty for none.
func feedLine(line string, l *link.Link, engine *door.Engine) string {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "":
		return ""
	case "pin":
		return verdict(l.Enter(rest))
	case "card":
		number, ok := card.Parse(rest)
		if !ok {
			return "error: a card's number has 4, 7 or 10 bytes in hex, like 04A1B2C3"
		}
		return verdict(l.Tap(card.Raw(number)))
	case "door":
		if rest == "open" || rest == "closed" {
			engine.ObserveDoor(rest)
			l.Kick()
			return ""
		}
	case "battery":
		if n, err := strconv.ParseUint(rest, 10, 8); err == nil && n <= 100 {
			engine.ObserveBattery(uint8(n))
			l.Kick()
			return ""
		}
	}
	return "error: a line is: pin 123456, card 04A1B2C3, door open, door closed, or battery 80"
}

func verdict(v door.Verdict) string {
	if v.Opened {
		return "opened"
	}
	return "refused " + v.Reason
}
