package directory

import (
	"context"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
	"github.com/keyhold/keyhold/internal/ledger/lease"
)

// WorkspaceTx is the storage of a workspace's settings and suspension.
type WorkspaceTx interface {
	// UpdateWorkspace writes the settings and the revision.
	UpdateWorkspace(ctx context.Context, w Workspace) error
	// SuspendWorkspace sets or clears the moment since when it is suspended.
	SuspendWorkspace(ctx context.Context, w id.Workspace, since time.Time) error
	// EndWorkspaceSessions ends all sessions and returns how many there were.
	EndWorkspaceSessions(ctx context.Context, w id.Workspace, now time.Time) (int64, error)
	// LimitAPIKeys brings the ends of all the workspace's API keys to the limit in days,
	// 0 for none.
	LimitAPIKeys(ctx context.Context, w id.Workspace, maxDays int) error
	lease.Tx
}

// Settings are changes of a workspace's settings; nil leaves a field as it is.
type Settings struct {
	Name            *string
	Language        *string // BCP 47, empty for English
	Timezone        *string // IANA, empty for UTC
	CheckpointEmail *string // empty for nobody
	APIKeyMaxDays   *int    // 0 for no limit
}

// MaxAPIKeyDays bounds the limit of an API key's life: ten years.
const MaxAPIKeyDays = 3650

// apply checks the fields and returns the workspace as it will be, and the names of
// what changes.
func (s Settings) apply(w Workspace) (Workspace, []string, *fault.Error) {
	var c checker
	var changed []string
	set := func(name string, field *string, to *string, clean func(name, s string) string) {
		if to == nil {
			return
		}
		if value := clean(name, *to); value != *field {
			*field = value
			changed = append(changed, name)
		}
	}
	set("name", &w.Name, s.Name, func(name, s string) string { return c.text(name, s, 1, 100) })
	set("language", &w.Language, s.Language, c.language)
	set("timezone", &w.Timezone, s.Timezone, c.timezone)
	set("checkpoint_email", &w.CheckpointEmail, s.CheckpointEmail, func(name, s string) string {
		if s == "" {
			return ""
		}
		return c.email(name, s)
	})
	if d := s.APIKeyMaxDays; d != nil && *d != w.APIKeyMaxDays {
		if *d < 0 || *d > MaxAPIKeyDays {
			c.wrong("api_key_max_days", "must be between 0, for no limit, and "+strconv.Itoa(MaxAPIKeyDays))
		}
		w.APIKeyMaxDays = *d
		changed = append(changed, "api_key_max_days")
	}
	if f := c.fault(); f != nil {
		f.Code, f.Public = "invalid_workspace", "The settings were not saved."
		return Workspace{}, nil, f
	}
	return w, changed, nil
}

func workspaceParty(w Workspace) activity.Party {
	return activity.Party{Type: "workspace", ID: string(w.ID), Name: w.Name}
}

// Workspace returns the caller's workspace with its settings. The caller needs
// workspace.read.
func (s *Service) Workspace(ctx context.Context, by auth.Caller) (Workspace, error) {
	var w Workspace
	attempt := activity.Attempt{Action: "workspace.find", Need: auth.WorkspaceRead}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		w, err = ownWorkspace(ctx, t, by)
		return err
	})
	return w, err
}

// ownWorkspace returns the caller's workspace, which is there while they stand.
func ownWorkspace(ctx context.Context, t Tx, by auth.Caller) (Workspace, error) {
	w, found, err := t.FindWorkspace(ctx, by.Workspace)
	if err == nil && !found {
		err = fault.Unauthenticated()
	}
	return w, err
}

// UpdateWorkspace changes the settings of the caller's workspace. The caller needs
// workspace.write and, from the panel, a fresh passkey to change where checkpoints
// go. ifRevision 0 accepts any revision; another one than the workspace's answers a
// Precondition fault.
func (s *Service) UpdateWorkspace(ctx context.Context, by auth.Caller, c Settings, ifRevision int64) (Workspace, error) {
	var w Workspace
	attempt := activity.Attempt{Action: "workspace.update", Need: auth.WorkspaceWrite, Target: activity.Party{Type: "workspace", ID: string(by.Workspace)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		if c.APIKeyMaxDays != nil { // no key is made meanwhile by the limit before
			if err := t.Latch(ctx, string(by.Workspace)+"/owners"); err != nil {
				return nil, err
			}
		}
		old, err := ownWorkspace(ctx, t, by)
		if err != nil {
			return nil, err
		}
		if ifRevision != 0 && ifRevision != old.Revision {
			return fault.Precondition(), nil
		}
		next, changed, f := c.apply(old)
		if f != nil {
			return f, nil
		}
		if w = old; len(changed) == 0 {
			return nil, nil
		}
		if next.CheckpointEmail != old.CheckpointEmail {
			if f := auth.CheckStepUp(by, now); f != nil {
				return f, activity.Refuse(ctx, t, by, attempt, f.Code, now)
			}
		}
		next.Revision++
		if err := t.UpdateWorkspace(ctx, next); err != nil {
			return nil, err
		}
		if next.APIKeyMaxDays != old.APIKeyMaxDays {
			if err := t.LimitAPIKeys(ctx, next.ID, next.APIKeyMaxDays); err != nil {
				return nil, err
			}
		}
		if err := t.Withdraw(ctx, lease.Workspace(next.ID)); err != nil {
			return nil, err
		}
		w = next
		return nil, activity.Append(ctx, t, by, activity.Event{Action: attempt.Action, Detail: joinNames(changed), Target: workspaceParty(next)}, now)
	})
	return w, err
}

// SuspendWorkspace makes everything of the caller's workspace refuse, but the
// system's own jobs, and ends all its sessions. Suspending a suspended one changes
// nothing. Only the system's own jobs may call it.
func (s *Service) SuspendWorkspace(ctx context.Context, by auth.Caller) (Workspace, error) {
	return s.turnWorkspace(ctx, by, "workspace.suspend", true)
}

// ActivateWorkspace takes a suspension back. Ended sessions stay ended. Only the
// system's own jobs may call it.
func (s *Service) ActivateWorkspace(ctx context.Context, by auth.Caller) (Workspace, error) {
	return s.turnWorkspace(ctx, by, "workspace.activate", false)
}

func (s *Service) turnWorkspace(ctx context.Context, by auth.Caller, action string, suspend bool) (Workspace, error) {
	if by.Kind != auth.System {
		return Workspace{}, fault.Forbidden("system_only", "Workspaces are suspended and activated on the server's command line.")
	}
	var w Workspace
	err := s.gate.Write(ctx, by, activity.Attempt{Action: action}, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		var err error
		if w, err = ownWorkspace(ctx, t, by); err != nil || w.SuspendedAt.IsZero() != suspend {
			t.AwaitWithdrawals()
			return nil, err
		}
		w.SuspendedAt = time.Time{}
		if suspend {
			w.SuspendedAt = now
			if _, err := t.EndWorkspaceSessions(ctx, w.ID, now); err != nil {
				return nil, err
			}
		}
		if err := t.SuspendWorkspace(ctx, w.ID, w.SuspendedAt); err != nil {
			return nil, err
		}
		if err := activity.Append(ctx, t, by, activity.Event{Action: action, Target: workspaceParty(w)}, now); err != nil {
			return nil, err
		}
		return nil, t.Withdraw(ctx, lease.Workspace(w.ID))
	})
	return w, err
}
