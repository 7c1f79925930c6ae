package securitykey

import (
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// The bounds of the settings.
const (
	MaxUnusedDays = 3650
	MaxGraceDays  = 365
	maxModels     = 200
)

// DefaultSettings are those of a workspace that changed none.
func DefaultSettings() Settings {
	return Settings{PIN: PINRules{Min: 6, Max: 32, Digit: true}, GraceDays: 14, Revision: 1}
}

// settingsOf returns the workspace's settings.
func settingsOf(ctx context.Context, t Tx, w id.Workspace) (Settings, error) {
	s, found, err := t.FindSecurityKeySettings(ctx, w)
	if !found {
		s = DefaultSettings()
	}
	return s, err
}

// Settings returns what the workspace decided about security keys. The caller needs
// workspace.read.
func (s *Service) Settings(ctx context.Context, by auth.Caller) (Settings, error) {
	var out Settings
	attempt := activity.Attempt{Action: "workspace.security_keys", Need: auth.WorkspaceRead, Target: activity.Party{Type: "workspace", ID: string(by.Workspace)}}
	err := s.gate.Read(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, _ time.Time) error {
		var err error
		out, err = settingsOf(ctx, t, by.Workspace)
		return err
	})
	return out, err
}

// UpdateSettings changes the settings; PINs that are set stay good. Other days begin
// anew to tell holders that a key is unused. The caller needs workspace.write.
// ifRevision 0 accepts any revision; another one than theirs answers a Precondition
// fault.
func (s *Service) UpdateSettings(ctx context.Context, by auth.Caller, c SettingsChange, ifRevision int64) (Settings, error) {
	var out Settings
	attempt := activity.Attempt{Action: "workspace.security_keys", Need: auth.WorkspaceWrite, Target: activity.Party{Type: "workspace", ID: string(by.Workspace)}}
	err := s.gate.Write(ctx, by, attempt, func(ctx context.Context, t Tx, _ auth.Standing, now time.Time) (*fault.Error, error) {
		old, err := settingsOf(ctx, t, by.Workspace)
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
		if out = old; len(changed) == 0 {
			return nil, nil
		}
		next.Revision++
		mine, err := t.WriteSecurityKeySettings(ctx, by.Workspace, next)
		if err != nil {
			return nil, err
		}
		if !mine {
			return fault.Precondition(), nil // somebody else was faster
		}
		if next.UnusedDays != old.UnusedDays || next.GraceDays != old.GraceDays {
			if err := t.ClearUnusedNotices(ctx, by.Workspace); err != nil {
				return nil, err
			}
		}
		out = next
		return nil, activity.Append(ctx, t, by, activity.Event{Action: attempt.Action, Detail: strings.Join(changed, ", "), Target: attempt.Target}, now)
	})
	return out, err
}

// apply returns the settings as changed and the public names of the fields that differ.
func (c SettingsChange) apply(s Settings) (Settings, []string, *fault.Error) {
	var check checker
	var changed []string
	number := func(name string, field *int, to *int, least, most int) {
		if to == nil {
			return
		}
		check.wrong(*to < least || *to > most, name, "must be between "+strconv.Itoa(least)+" and "+strconv.Itoa(most))
		if *to != *field {
			*field, changed = *to, append(changed, name)
		}
	}
	flag := func(name string, field *bool, to *bool) {
		if to != nil && *to != *field {
			*field, changed = *to, append(changed, name)
		}
	}
	models := func(name string, field *[]string, to *[]string) {
		if to == nil {
			return
		}
		if list := check.models(name, *to); !slices.Equal(list, *field) {
			*field, changed = list, append(changed, name)
		}
	}
	number("pin_min", &s.PIN.Min, c.PINMin, leastPIN, mostPIN)
	number("pin_max", &s.PIN.Max, c.PINMax, leastPIN, mostPIN)
	check.wrong(s.PIN.Min > s.PIN.Max, "pin_max", "must not be less than the minimum")
	flag("pin_digit", &s.PIN.Digit, c.PINDigit)
	flag("pin_lower", &s.PIN.Lower, c.PINLower)
	flag("pin_upper", &s.PIN.Upper, c.PINUpper)
	flag("pin_special", &s.PIN.Special, c.PINSpecial)
	flag("pinless", &s.Pinless, c.Pinless)
	models("models_allowed", &s.ModelsAllowed, c.ModelsAllowed)
	models("models_blocked", &s.ModelsBlocked, c.ModelsBlocked)
	number("unused_days", &s.UnusedDays, c.UnusedDays, 0, MaxUnusedDays)
	number("grace_days", &s.GraceDays, c.GraceDays, 1, MaxGraceDays)
	return s, changed, check.fault()
}

// models reads a list of AAGUIDs, sorted and each once.
func (c *checker) models(name string, list []string) []string {
	if len(list) > maxModels {
		c.wrong(true, name, "holds too many: at most "+strconv.Itoa(maxModels))
		return nil
	}
	var out []string
	for _, text := range list {
		aaguid := cleanAAGUID(text)
		if aaguid == "" {
			c.wrong(true, name, "holds what is no AAGUID, such as 2fc0579f-8113-47ea-b116-bb5a8db9202a")
			return nil
		}
		out = append(out, aaguid)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// cleanAAGUID returns a UUID in lower case; empty for what is none and for the zero
// one, with which authenticators tell nothing.
func cleanAAGUID(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return ""
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != 16 || !slices.ContainsFunc(raw, func(b byte) bool { return b != 0 }) {
		return ""
	}
	return text
}
