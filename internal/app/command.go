package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/directory"
)

// commandLine is the caller's name of whoever types commands on the server.
const commandLine = "command line"

// CreateWorkspace is the command that makes a workspace.
type CreateWorkspace struct {
	Name string `json:"name"`
}

// CreatedWorkspace is what it answers.
type CreatedWorkspace struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	SetupURL  string    `json:"setup_url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// TurnWorkspace is the command that suspends or activates a workspace, an id or a
// name.
type TurnWorkspace struct {
	Workspace string `json:"workspace"`
	Suspend   bool   `json:"suspend"`
}

// TurnedWorkspace is what it answers.
type TurnedWorkspace struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Suspended bool   `json:"suspended"`
}

// IssueSetupLink is the command that makes a setup link. Workspace is an id or a
// name, and may be empty if there is one workspace only; Email empty means the
// first owner.
type IssueSetupLink struct {
	Workspace string `json:"workspace"`
	Email     string `json:"email"`
}

// IssuedSetupLink is what it answers.
type IssuedSetupLink struct {
	Workspace string    `json:"workspace"`
	SetupURL  string    `json:"setup_url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// CreateAPIKey is the command that makes an API key.
type CreateAPIKey struct {
	Workspace   string        `json:"workspace"`
	Name        string        `json:"name"`
	Type        string        `json:"type"`
	Permissions []string      `json:"permissions,omitempty"`
	ExpiresIn   time.Duration `json:"expires_in,omitempty"`
}

// CreatedAPIKey is what it answers.
type CreatedAPIKey struct {
	ID          string     `json:"id"`
	TokenID     string     `json:"token_id"`
	Name        string     `json:"name"`
	Type        string     `json:"type"`
	Workspace   string     `json:"workspace"`
	Permissions []string   `json:"permissions"`
	ExpiresAt   *time.Time `json:"expires_at"`
	Token       string     `json:"token"`
}

// The commands' names on the socket.
const (
	commandPepper    = "rotate-pepper"
	commandWorkspace = "workspace-create"
	commandSetupLink = "setup-link"
	commandAPIKey    = "api-key-create"
	commandTurn      = "workspace-turn"
)

// Do runs a command: in the server that holds the data folder if one runs, else
// right here. name is one of the Command… names, args its struct.
func Do[T any](ctx context.Context, c Config, log *slog.Logger, args any) (T, error) {
	var out T
	name, err := commandName(args)
	if err != nil {
		return out, err
	}
	text, err := json.Marshal(args)
	if err != nil {
		return out, err
	}
	result, err := overSocket(ctx, c.Data, name, text)
	if errors.Is(err, errNoServer) {
		result, err = here(ctx, c, log, name, text)
	}
	if err != nil {
		return out, err
	}
	err = json.Unmarshal(result, &out)
	return out, err
}

func commandName(args any) (string, error) {
	switch args.(type) {
	case CreateWorkspace:
		return commandWorkspace, nil
	case IssueSetupLink:
		return commandSetupLink, nil
	case CreateAPIKey:
		return commandAPIKey, nil
	case TurnWorkspace:
		return commandTurn, nil
	case RotatePepper:
		return commandPepper, nil
	}
	return "", fmt.Errorf("%T is no command", args)
}

func here(ctx context.Context, c Config, log *slog.Logger, name string, args []byte) (json.RawMessage, error) {
	a, err := Open(ctx, c, Options{}, log)
	if err != nil {
		return nil, err
	}
	result, err := a.run(ctx, name, args)
	return result, errors.Join(err, a.Close())
}

// run runs a command in this process.
func (a *App) run(ctx context.Context, name string, args []byte) (json.RawMessage, error) {
	var out any
	var err error
	switch name {
	case commandWorkspace:
		out, err = runAs(ctx, args, a.createWorkspace)
	case commandSetupLink:
		out, err = runAs(ctx, args, a.issueSetupLink)
	case commandAPIKey:
		out, err = runAs(ctx, args, a.createAPIKey)
	case commandTurn:
		out, err = runAs(ctx, args, a.turnWorkspace)
	case commandPepper:
		out, err = runAs(ctx, args, a.rotatePepper)
	default:
		return nil, &CommandError{Code: "unknown_command", Text: "The running server does not know this command: it is of another version."}
	}
	if err != nil {
		return nil, commandError(err)
	}
	return json.Marshal(out)
}

func runAs[A, R any](ctx context.Context, text []byte, fn func(context.Context, A) (R, error)) (R, error) {
	var args A
	if err := json.Unmarshal(text, &args); err != nil {
		var zero R
		return zero, fmt.Errorf("reading the command: %w", err)
	}
	return fn(ctx, args)
}

func (a *App) createWorkspace(ctx context.Context, args CreateWorkspace) (CreatedWorkspace, error) {
	f, err := a.Join.CreateWorkspace(ctx, auth.Job("", commandLine), args.Name)
	if err != nil {
		return CreatedWorkspace{}, err
	}
	return CreatedWorkspace{ID: string(f.Workspace.ID), Name: f.Workspace.Name, SetupURL: a.SetupURL(f.Link), ExpiresAt: f.ExpiresAt}, nil
}

func (a *App) turnWorkspace(ctx context.Context, args TurnWorkspace) (TurnedWorkspace, error) {
	w, err := a.findWorkspace(ctx, args.Workspace)
	if err != nil {
		return TurnedWorkspace{}, err
	}
	turn := a.Directory.ActivateWorkspace
	if args.Suspend {
		turn = a.Directory.SuspendWorkspace
	}
	if w, err = turn(ctx, auth.Job(w.ID, commandLine)); err != nil {
		return TurnedWorkspace{}, err
	}
	return TurnedWorkspace{ID: string(w.ID), Name: w.Name, Suspended: !w.SuspendedAt.IsZero()}, nil
}

func (a *App) issueSetupLink(ctx context.Context, args IssueSetupLink) (IssuedSetupLink, error) {
	w, err := a.findWorkspace(ctx, args.Workspace)
	if err != nil {
		return IssuedSetupLink{}, err
	}
	link, expires, err := a.SignIn.IssueSetupLink(ctx, auth.Job(w.ID, commandLine), directory.Fold(strings.TrimSpace(args.Email)))
	if err != nil {
		return IssuedSetupLink{}, err
	}
	return IssuedSetupLink{Workspace: w.Name, SetupURL: a.SetupURL(link), ExpiresAt: expires}, nil
}

func (a *App) createAPIKey(ctx context.Context, args CreateAPIKey) (CreatedAPIKey, error) {
	w, err := a.findWorkspace(ctx, args.Workspace)
	if err != nil {
		return CreatedAPIKey{}, err
	}
	n := apikey.NewKey{Name: args.Name, Type: apikey.Type(args.Type), Permissions: args.Permissions}
	if args.ExpiresIn > 0 {
		n.ExpiresAt = a.clock.Now().Add(args.ExpiresIn)
	}
	k, t, err := a.APIKeys.Create(ctx, auth.Job(w.ID, commandLine), n)
	if err != nil {
		return CreatedAPIKey{}, err
	}
	out := CreatedAPIKey{
		ID: string(k.ID), TokenID: k.TokenID, Name: k.Name, Type: string(k.Type), Workspace: w.Name,
		Permissions: k.Permissions.Strings(), Token: t.Secret().ExposeString(),
	}
	if !k.ExpiresAt.IsZero() {
		out.ExpiresAt = &k.ExpiresAt
	}
	return out, nil
}

// findWorkspace returns the workspace of that id or name, or the only one there
// is for "".
func (a *App) findWorkspace(ctx context.Context, text string) (directory.Workspace, error) {
	all, err := a.Join.Workspaces(ctx, auth.Job("", commandLine))
	if err != nil {
		return directory.Workspace{}, err
	}
	if len(all) == 0 {
		return directory.Workspace{}, fault.NotFound("workspace_not_found", "There is no workspace yet. Make one with: keyhold workspace create NAME")
	}
	var fits []directory.Workspace
	for _, w := range all {
		if text == "" || string(w.ID) == text || directory.Fold(w.Name) == directory.Fold(text) {
			fits = append(fits, w)
		}
	}
	if len(fits) == 1 {
		return fits[0], nil
	}
	var names []string
	for _, w := range all {
		names = append(names, fmt.Sprintf("%s (%s)", w.Name, w.ID))
	}
	what := fmt.Sprintf("No single workspace is called %q.", text)
	if text == "" {
		what = "There are several workspaces."
	}
	return directory.Workspace{}, fault.NotFound("workspace_not_found", what+" Name one of these: "+strings.Join(names, ", "))
}

// FirstRun makes the first workspace if there is none, and returns the setup
// link's address as long as the only workspace has no owner, "" after that.
func (a *App) FirstRun(ctx context.Context) (string, error) {
	all, err := a.Join.Workspaces(ctx, auth.Job("", "first start"))
	if err != nil {
		return "", err
	}
	switch len(all) {
	case 0:
		f, err := a.Join.CreateWorkspace(ctx, auth.Job("", "first start"), "My workspace")
		return a.SetupURL(f.Link), err
	case 1:
		link, _, err := a.SignIn.IssueSetupLink(ctx, auth.Job(all[0].ID, "first start"), "")
		if f, ok := fault.As(err); ok && f.Code == "owner_exists" {
			return "", nil
		}
		return a.SetupURL(link), err
	}
	return "", nil
}

// Verdict is what verifying a workspace's record found.
type Verdict = activity.Verdict

// Checkpoint is a signed checkpoint of a workspace's record.
type Checkpoint = activity.SignedCheckpoint

// ParseCheckpoints reads checkpoints, one on each line.
func ParseCheckpoints(raw []byte) ([]Checkpoint, error) { return activity.ParseCheckpoints(raw) }

// Verify checks the records of all workspaces, or of the one that is named, or of
// those that the checkpoints are of. It only reads: a server may be running.
func Verify(ctx context.Context, c Config, log *slog.Logger, workspace string, checkpoints []Checkpoint) (_ []Verdict, err error) {
	a, err := openToLook(ctx, c, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	of := map[id.Workspace][]Checkpoint{}
	for _, c := range checkpoints {
		of[c.Workspace] = append(of[c.Workspace], c)
	}
	ids, err := a.toVerify(ctx, workspace, of)
	if err != nil {
		return nil, commandError(err)
	}
	var out []Verdict
	for _, w := range ids {
		v, err := a.Record.Verify(ctx, auth.Job(w, commandLine), of[w]...)
		if err != nil {
			return nil, commandError(err)
		}
		out = append(out, v)
	}
	return out, nil
}

// toVerify lists whose records are to be verified.
func (a *App) toVerify(ctx context.Context, workspace string, of map[id.Workspace][]Checkpoint) ([]id.Workspace, error) {
	all, err := a.Join.Workspaces(ctx, auth.Job("", commandLine))
	if err != nil {
		return nil, err
	}
	if workspace != "" {
		w, err := a.findWorkspace(ctx, workspace)
		if err != nil {
			return nil, err
		}
		all = []directory.Workspace{w}
	}
	var out []id.Workspace
	found := 0
	for _, w := range all {
		if len(of[w.ID]) > 0 {
			found++
		}
		if workspace != "" || len(of) == 0 || len(of[w.ID]) > 0 {
			out = append(out, w.ID)
		}
	}
	if found < len(of) {
		where := "in this database"
		if workspace != "" {
			where = "the one that is named"
		}
		return nil, fault.NotFound("checkpoint_of_another_workspace", "A checkpoint is of a workspace that is not "+where+".")
	}
	return out, nil
}

// MakeCheckpoint returns a checkpoint of the record of the workspace that is named,
// or of the only one for "". It only reads: a server may be running.
func MakeCheckpoint(ctx context.Context, c Config, log *slog.Logger, workspace string) (_ Checkpoint, err error) {
	a, err := openToLook(ctx, c, log)
	if err != nil {
		return Checkpoint{}, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	w, err := a.findWorkspace(ctx, workspace)
	if err != nil {
		return Checkpoint{}, commandError(err)
	}
	out, err := a.Record.Checkpoint(ctx, auth.Job(w.ID, commandLine))
	if err != nil {
		return Checkpoint{}, commandError(err)
	}
	return out, nil
}

// openToLook opens what commands need that only read.
func openToLook(ctx context.Context, c Config, log *slog.Logger) (*App, error) {
	a, err := openReading(ctx, c, Options{}, log, false)
	if err != nil {
		return nil, err
	}
	pending, err := a.store.Pending(ctx)
	if err == nil && pending {
		err = errors.New("the database is of an earlier version: run keyhold migrate first")
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Migrate brings the database up to this version and returns the steps taken. It
// is refused while a server holds the data folder.
func Migrate(ctx context.Context, c Config) ([]string, error) {
	f, err := openFolder(c.Data)
	if err != nil {
		return nil, err
	}
	s, err := openStore(ctx, c, f)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	steps, err := s.Migrate(ctx)
	return steps, errors.Join(err, s.Close(), f.close())
}
