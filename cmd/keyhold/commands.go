package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/app"
)

type serveCmd struct{}

// Run serves until it is told to stop.
func (serveCmd) Run(r *run) error {
	c, err := r.settings.parse()
	if err != nil {
		return err
	}
	l, err := app.Listen(r.ctx, c.Listen)
	if err != nil {
		return err
	}
	log, flush := r.log(c)
	defer func() { _ = flush() }() // nobody is left to be told
	a, err := app.Open(r.ctx, c, app.Options{}, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	link, err := a.FirstRun(r.ctx)
	if err != nil {
		return errors.Join(err, l.Close(), a.Close())
	}
	err = a.Serve(r.ctx, l, version(), func() {
		log.Info("ready", "listen", l.Addr().String(), "public_url", c.PublicURL.String(), "version", version(), "mail", c.SMTPURL != "")
		if link != "" {
			_, _ = fmt.Fprintf(r.out, "\nKeyhold is ready. Open this link to become the owner; it works once, for 24 hours:\n\n  %s\n\n", link)
		}
	})
	err = errors.Join(err, a.Close())
	log.Info("stopped")
	return err
}

type migrateCmd struct{}

// Run migrates the database.
func (migrateCmd) Run(r *run) error {
	c, err := r.settings.parse()
	if err != nil {
		return err
	}
	steps, err := app.Migrate(r.ctx, c)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		return say(r.out, "The database is up to date.\n")
	}
	return say(r.out, "Steps taken: %s\n", strings.Join(steps, ", "))
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(r *run) error { return say(r.out, "keyhold %s\n", version()) }

type setupLinkCmd struct {
	Workspace string `help:"The workspace's name or id; may be left out if there is one only." placeholder:"NAME"`
	Email     string `help:"The administrator's e-mail address; without it, the link is for the workspace's first owner." placeholder:"ADDRESS"`
	JSON      bool   `help:"Print one JSON object."`
}

// Run issues a setup link.
func (cmd setupLinkCmd) Run(r *run) error {
	c, err := r.settings.parse()
	if err != nil {
		return err
	}
	out, err := app.Do[app.IssuedSetupLink](r.ctx, c, r.quiet(), app.IssueSetupLink{Workspace: cmd.Workspace, Email: cmd.Email})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(r.out, out)
	}
	return say(r.out, "Setup link for %s. It works once, until %s:\n\n  %s\n", out.Workspace, until(out.ExpiresAt), out.SetupURL)
}

type workspaceCreateCmd struct {
	Name string `arg:"" help:"The workspace's name."`
	JSON bool   `help:"Print one JSON object."`
}

// Run makes a workspace.
func (cmd workspaceCreateCmd) Run(r *run) error {
	c, err := r.settings.parse()
	if err != nil {
		return err
	}
	out, err := app.Do[app.CreatedWorkspace](r.ctx, c, r.quiet(), app.CreateWorkspace{Name: cmd.Name})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(r.out, out)
	}
	return say(r.out, "Workspace %s (%s) was made. Its first owner's setup link works once, until %s:\n\n  %s\n", out.Name, out.ID, until(out.ExpiresAt), out.SetupURL)
}

// turnCmd names the workspace that is suspended or activated.
type turnCmd struct {
	Workspace string `arg:"" help:"The workspace's name or id."`
	JSON      bool   `help:"Print JSON."`
}

type (
	workspaceSuspendCmd  struct{ turnCmd }
	workspaceActivateCmd struct{ turnCmd }
)

// Run suspends a workspace.
func (cmd workspaceSuspendCmd) Run(r *run) error {
	return cmd.turn(r, true, "Workspace %s (%s) is suspended: nothing of it is accepted any more, and all its sessions have ended.\n")
}

// Run activates a workspace.
func (cmd workspaceActivateCmd) Run(r *run) error {
	return cmd.turn(r, false, "Workspace %s (%s) is active. People sign in anew; its API keys work again.\n")
}

func (cmd turnCmd) turn(r *run, suspend bool, text string) error {
	c, err := r.settings.parse()
	if err != nil {
		return err
	}
	out, err := app.Do[app.TurnedWorkspace](r.ctx, c, r.quiet(), app.TurnWorkspace{Workspace: cmd.Workspace, Suspend: suspend})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(r.out, out)
	}
	return say(r.out, text, out.Name, out.ID)
}

type apiKeyCreateCmd struct {
	Name        string        `arg:"" help:"The key's name: what it is used for."`
	Type        string        `help:"What the key opens: ${enum}." enum:"admin,shared_mobile,clients" default:"admin"`
	Permissions []string      `help:"For admin keys: users.read, users.write, …; all if left out." placeholder:"PERMISSION"`
	ExpiresIn   time.Duration `help:"How long the key is good, like 2160h (90 days); for ever if left out." placeholder:"DURATION"`
	Workspace   string        `help:"The workspace's name or id; may be left out if there is one only." placeholder:"NAME"`
	JSON        bool          `help:"Print one JSON object."`
}

// Run creates an API key.
func (cmd apiKeyCreateCmd) Run(r *run) error {
	c, err := r.settings.parse()
	if err != nil {
		return err
	}
	if cmd.ExpiresIn < 0 {
		return errors.New("--expires-in must not be negative")
	}
	out, err := app.Do[app.CreatedAPIKey](r.ctx, c, r.quiet(), app.CreateAPIKey{
		Workspace: cmd.Workspace, Name: cmd.Name, Type: cmd.Type, Permissions: cmd.Permissions, ExpiresIn: cmd.ExpiresIn,
	})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(r.out, out)
	}
	return say(r.out, "API key %s (%s, %s) for %s was created. Its token is shown this once:\n\n  %s\n", out.Name, out.ID, out.Type, out.Workspace, out.Token)
}

type apiKeyRotatePepper struct {
	Prepare bool `help:"Only add a pepper to the key file, which is current after the next run without this: for several servers, that get the file in between."`
	JSON    bool `help:"Print one JSON object."`
}

// Run rotates the pepper.
func (cmd apiKeyRotatePepper) Run(r *run) error {
	c, err := r.settings.parse()
	if err != nil {
		return err
	}
	out, err := app.Do[app.RotatedPepper](r.ctx, c, r.quiet(), app.RotatePepper{Prepare: cmd.Prepare})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(r.out, out)
	}
	if cmd.Prepare {
		return say(r.out, "Pepper %d is in the key file and not current yet. Give the file to all servers, restart them, then run this without --prepare.\n", out.Prepared)
	}
	text := fmt.Sprintf("Pepper %d is current: new hashes are under it. Keep a new copy of the key file; an older one does not do any more.\n", out.Current)
	switch out.Left {
	case 0:
		text += "No token's hash is under an older pepper.\n"
	case 1:
		text += "One token's hash is under an older pepper. It moves when the token is used.\n"
	default:
		text += fmt.Sprintf("%d tokens' hashes are under older peppers. Each moves when its token is used.\n", out.Left)
	}
	if n := len(out.Dropped); n > 0 {
		text += fmt.Sprintf("Older peppers that nothing needed any more and that left the key file: %d.\n", n)
	}
	return say(r.out, "%s", text)
}

type activityVerifyCmd struct {
	Workspace  string `help:"The workspace's name or id; if left out, all workspaces, or those of the checkpoints." placeholder:"NAME"`
	Checkpoint string `help:"A file with checkpoints that were kept elsewhere, one on each line: from keyhold activity checkpoint, the panel, a mail, or the folder of --checkpoints; - for the standard input." placeholder:"FILE"`
	JSON       bool   `help:"Print one JSON object."`
}

// errDamaged is the outcome of verifying a record that was tampered with. What is
// wrong has been printed.
var errDamaged = errors.New("the activity record was tampered with")

// Run verifies the activity record.
func (cmd activityVerifyCmd) Run(r *run) error {
	c, err := r.settings.parse()
	if err != nil {
		return err
	}
	checkpoints, err := readCheckpoints(cmd.Checkpoint)
	if err != nil {
		return fmt.Errorf("--checkpoint %s: %w", cmd.Checkpoint, err)
	}
	verdicts, err := app.Verify(r.ctx, c, r.quiet(), cmd.Workspace, checkpoints)
	if err != nil {
		return err
	}
	whole := true
	for _, v := range verdicts {
		whole = whole && len(v.Damages) == 0
	}
	if cmd.JSON {
		err = printJSON(r.out, renderVerdicts(verdicts, whole))
	} else {
		err = sayVerdicts(r.out, verdicts)
	}
	if err == nil && !whole {
		err = errDamaged
	}
	return err
}

// maxCheckpoints bounds a file of checkpoints, in bytes: hourly ones of ten years
// are smaller.
const maxCheckpoints = 64 << 20

// readCheckpoints reads a file of checkpoints; none for no file.
func readCheckpoints(path string) (_ []app.Checkpoint, err error) {
	if path == "" {
		return nil, nil
	}
	in := os.Stdin
	if path != "-" {
		if in, err = os.Open(path); err != nil { //nolint:gosec // whoever types the command names the file
			return nil, errors.Unwrap(err) // the caller names the file
		}
		defer func() { _ = in.Close() }() // only read from
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxCheckpoints+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxCheckpoints {
		return nil, errors.New("the file is too long")
	}
	return app.ParseCheckpoints(raw)
}

type activityCheckpointCmd struct {
	Workspace string `help:"The workspace's name or id; may be left out if there is one only." placeholder:"NAME"`
}

// Run prints a checkpoint in JSON, on one line.
func (cmd activityCheckpointCmd) Run(r *run) error {
	c, err := r.settings.parse()
	if err != nil {
		return err
	}
	out, err := app.MakeCheckpoint(r.ctx, c, r.quiet(), cmd.Workspace)
	if err != nil {
		return err
	}
	return printJSON(r.out, out)
}

type verdictJSON struct {
	Workspace  string       `json:"workspace"`
	Whole      bool         `json:"whole"`
	Through    int64        `json:"sealed_through"`
	Unsealed   int64        `json:"not_yet_sealed"`
	Erased     int64        `json:"erased"`
	Checkpoint int64        `json:"checkpoint,omitempty"` // the highest index that a checkpoint was given for
	Damages    []damageJSON `json:"damages"`
}

type damageJSON struct {
	Index int64  `json:"index"`
	ID    string `json:"id"`
	What  string `json:"what"`
}

func renderVerdicts(verdicts []app.Verdict, whole bool) any {
	out := struct {
		Whole      bool          `json:"whole"`
		Workspaces []verdictJSON `json:"workspaces"`
	}{Whole: whole, Workspaces: []verdictJSON{}}
	for _, v := range verdicts {
		one := verdictJSON{
			Workspace: string(v.Workspace), Whole: len(v.Damages) == 0, Through: v.Through, Unsealed: v.Unsealed, Erased: v.Erased,
			Checkpoint: v.Checkpoint, Damages: []damageJSON{},
		}
		for _, d := range v.Damages {
			one.Damages = append(one.Damages, damageJSON{Index: d.Index, ID: string(d.ID), What: d.What})
		}
		out.Workspaces = append(out.Workspaces, one)
	}
	return out
}

func sayVerdicts(w io.Writer, verdicts []app.Verdict) error {
	var b strings.Builder
	for _, v := range verdicts {
		state := "whole"
		if len(v.Damages) > 0 {
			state = "DAMAGED"
		}
		fmt.Fprintf(&b, "%s: %s, sealed through %d, %d not yet sealed", v.Workspace, state, v.Through, v.Unsealed)
		if v.Erased > 0 {
			fmt.Fprintf(&b, ", personal fields erased in %d", v.Erased)
		}
		if v.Checkpoint > 0 {
			fmt.Fprintf(&b, ", compared with a checkpoint at %d", v.Checkpoint)
		}
		b.WriteString("\n")
		for _, d := range v.Damages {
			fmt.Fprintf(&b, "  index %d %s: %s\n", d.Index, d.ID, d.What)
		}
	}
	if len(verdicts) == 0 {
		b.WriteString("There is no workspace yet.\n")
	}
	return say(w, "%s", b.String())
}

func until(t time.Time) string { return t.Local().Format("2 January 2006, 15:04 MST") }

func say(w io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(w, format, args...)
	return err
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
