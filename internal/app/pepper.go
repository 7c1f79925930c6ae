package app

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/out/keeper"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// RotatePepper is the command that makes new hashes of tokens be under a new pepper.
// Prepare only adds one to the key file, to be given to other servers.
type RotatePepper struct {
	Prepare bool `json:"prepare"`
}

// RotatedPepper is what it answers.
type RotatedPepper struct {
	Current  int   `json:"current"`
	Prepared int   `json:"prepared,omitempty"` // to be current next; 0 for none
	Known    []int `json:"known"`
	Dropped  []int `json:"dropped"` // no token's hash was under them any more
	// Left is how many tokens' hashes are under other peppers than the current one:
	// each moves when its token is used.
	Left int64 `json:"left"`
}

// rotatePepper changes the key file and has the room use it at once.
func (a *App) rotatePepper(ctx context.Context, args RotatePepper) (RotatedPepper, error) {
	a.rotating.Lock()
	defer a.rotating.Unlock()
	by := auth.Job("", commandLine)
	out := RotatedPepper{Dropped: []int{}}
	var err error
	if args.Prepare {
		err = a.preparePepper()
	} else {
		out.Dropped, err = a.promotePepper(ctx, by)
	}
	if err != nil {
		return RotatedPepper{}, err
	}
	if err := a.APIKeys.Repepper(ctx, by, a.peppers()); err != nil {
		return RotatedPepper{}, err
	}
	current, known := a.keeper.Peppers()
	out.Current, out.Prepared, out.Known = current, a.keeper.Prepared(), slices.Sorted(maps.Keys(known))
	out.Left, err = a.APIKeys.CountStale(ctx, by, []int{current})
	return out, err
}

func (a *App) preparePepper() error {
	err := a.keeper.Prepare()
	if errors.Is(err, keeper.ErrPrepared) {
		return fault.Conflict("pepper_prepared", "A new pepper is prepared already: give the key file to all servers, restart them, then run this without --prepare.")
	}
	return err
}

// promotePepper rotates the key file and returns which peppers left it.
func (a *App) promotePepper(ctx context.Context, by auth.Caller) ([]int, error) {
	if a.store.Shared() && a.keeper.Prepared() == 0 {
		return nil, fault.Conflict("pepper_not_prepared",
			"Several servers may use this database, and those that do not have the new pepper would refuse tokens. Run this with --prepare first, give the key file to all servers, restart them, then run this again.")
	}
	if err := a.APIKeys.FlushUsage(ctx, by); err != nil { // hashes that wait to be written are written
		return nil, err
	}
	drop, err := a.unneeded(ctx, by)
	if err != nil {
		return nil, err
	}
	return drop, a.keeper.Rotate(drop)
}

// unneeded returns the peppers before the current one that no hash is under. A hash
// of which nobody knows the pepper may be under any.
func (a *App) unneeded(ctx context.Context, by auth.Caller) ([]int, error) {
	current, known := a.keeper.Peppers()
	all, out := slices.Sorted(maps.Keys(known)), []int{}
	for _, n := range all {
		if n >= current {
			break
		}
		left, err := a.APIKeys.CountStale(ctx, by, slices.DeleteFunc(slices.Clone(all), func(m int) bool { return m == n }))
		if err != nil {
			return nil, err
		}
		if left == 0 {
			out = append(out, n)
		}
	}
	return out, nil
}

// checkPeppers refuses a key file that is an older copy: tokens that were hashed since
// would all be refused, and nobody would be told why. It looks at the key that was made
// last and the one that was used last, and not at all of them.
func (a *App) checkPeppers(ctx context.Context, w id.Workspace) error {
	_, known := a.keeper.Peppers()
	for _, sort := range []string{apikey.SortCreated, apikey.SortLastUse} {
		var last apikey.Query
		last.Page.Sort, last.Page.Descending, last.Page.Limit = sort, true, 1
		p, err := a.APIKeys.List(ctx, auth.Job(w, "start"), last)
		if err != nil {
			return err
		}
		for _, k := range p.Items {
			if _, ok := known[k.Pepper]; k.Pepper != 0 && !ok {
				return wrong("KEYHOLD_DATA", "the key file %s is an older copy: API keys of this database need its pepper %d. Put the newest copy back", filepath.Join(a.config.Data, keyFile), k.Pepper)
			}
		}
	}
	return nil
}
