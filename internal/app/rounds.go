package app

import (
	"context"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

const (
	// warnEvery is how often keys are looked for that end soon.
	warnEvery = 5 * time.Second
	// sweepEvery is how often old usage is removed.
	sweepEvery = 10 * time.Minute
)

// keepKeys writes how API keys were used, warns of those that end soon and removes
// what is kept no longer, until ctx ends; then it writes what is left.
func (a *App) keepKeys(ctx context.Context) {
	flush, warn, sweep := time.NewTicker(apikey.UsageInterval), time.NewTicker(warnEvery), time.NewTicker(sweepEvery)
	defer flush.Stop()
	defer warn.Stop()
	defer sweep.Stop()
	by := auth.Job("", "server")
	for {
		var err error
		select {
		case <-ctx.Done():
			a.keepLast(context.WithoutCancel(ctx), by)
			return
		case <-flush.C:
			err = a.APIKeys.FlushUsage(ctx, by)
		case <-warn.C:
			_, err = a.APIKeys.WarnExpiring(ctx, by)
		case <-sweep.C:
			err = a.APIKeys.Sweep(ctx, by)
		}
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "looking after API keys", "error", err.Error())
		}
	}
}

// keepLast writes what is left of the usage when the server stops.
func (a *App) keepLast(ctx context.Context, by auth.Caller) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := a.APIKeys.FlushUsage(ctx, by); err != nil {
		a.log.WarnContext(ctx, "usage of API keys is lost", "error", err.Error())
	}
}
