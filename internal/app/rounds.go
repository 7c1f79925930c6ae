package app

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

const (
	// warnEvery is how often keys are looked for that end soon.
	warnEvery = 5 * time.Second
	// sweepEvery is how often old usage is removed.
	sweepEvery = 10 * time.Minute
	// unusedEvery is how often security keys are looked for that nobody uses.
	unusedEvery = time.Hour
	// unusedFirst is when that is done first: a server may not stay up for an hour.
	unusedFirst = time.Minute
)

// keepKeys writes how API keys were used, warns of those that end soon and removes
// what is kept no longer, until ctx ends; then it writes what is left.
func (a *App) keepKeys(ctx context.Context) {
	flush, warn, sweep := time.NewTicker(apikey.UsageInterval), time.NewTicker(warnEvery), time.NewTicker(sweepEvery)
	defer flush.Stop()
	defer warn.Stop()
	defer sweep.Stop()
	by := auth.Job("", "server")
	boundGarbage()
	for {
		var err error
		select {
		case <-ctx.Done():
			a.keepLast(context.WithoutCancel(ctx), by)
			return
		case <-flush.C:
			err = a.APIKeys.FlushSome(ctx, by)
		case <-warn.C:
			boundGarbage() // now and then
			_, err = a.APIKeys.WarnExpiring(ctx, by)
		case <-sweep.C:
			err = a.APIKeys.Sweep(ctx, by)
		}
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "looking after API keys", "error", err.Error())
		}
	}
}

// keepSecurityKeys tells the holders of security keys that nobody uses, and suspends
// those keys, where a workspace decided so, until ctx ends.
func (a *App) keepSecurityKeys(ctx context.Context) {
	next := time.NewTimer(unusedFirst)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		if _, err := a.SecurityKeys.LookAfterUnused(ctx, auth.Job("", "server")); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "looking after unused security keys", "error", err.Error())
		}
		next.Reset(unusedEvery)
	}
}

// proofsEvery is how often proofs and taps that are over are removed.
const proofsEvery = 20 * time.Second

// keepClients removes proofs and taps that are over, until ctx ends.
func (a *App) keepClients(ctx context.Context) {
	tick := time.NewTicker(proofsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = a.Clients.Prune(ctx, auth.Job("", "server")); err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "removing old proofs", "error", err.Error())
			}
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

// garbageLeast and garbageMost bound how much garbage may lie around, in bytes, before it
// is collected. A small heap would be collected all the time; and beside a million keys
// that are kept in memory, as much again would be too much.
const (
	garbageLeast = 24 << 20
	garbageMost  = 64 << 20
)

// boundGarbage sets how much the heap may grow between two collections by what is alive
// in it: as much again, within the bounds, a quarter at least and four times at most. Whoever
// sets GOGC knows better.
func boundGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return
	}
	live := max(sample[0].Value.Uint64(), 1<<20)
	percent := int(min(max(min(max(live, garbageLeast), garbageMost)*100/live, 25), 400))
	_ = debug.SetGCPercent(percent)
}

const (
	// leaseEvery is how often doors are looked for whose lease ends.
	leaseEvery = time.Minute
	// hoursEvery is how often doors are told weekly hours again, and old rows go.
	hoursEvery = time.Hour
	// rehear is how long to wait before listening again after a failure.
	rehear = time.Second
)

// keepDoors warns of doors that are cut off and tells doors the weekly hours to come, until
// ctx ends.
func (a *App) keepDoors(ctx context.Context) {
	leases, hours := time.NewTicker(leaseEvery), time.NewTimer(unusedFirst)
	defer leases.Stop()
	defer hours.Stop()
	by := auth.Job("", "server")
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-leases.C:
			_, err = a.Locks.WarnLeases(ctx, by)
		case <-hours.C:
			_, told := a.DigitalKeys.RefreshHours(ctx, by)
			err = errors.Join(told, a.DigitalKeys.Prune(ctx, by), a.Locks.Prune(ctx, by))
			hours.Reset(hoursEvery)
		}
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "looking after doors", "error", err.Error())
		}
	}
}

// hearSignals hands other servers' signals to whoever waits here, until ctx ends. Without
// them everybody looks by themselves, a little later.
func (a *App) hearSignals(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.store.Hear(ctx)
		if ctx.Err() != nil {
			return
		}
		a.log.WarnContext(ctx, "signals of other servers are not heard, so screens and doors take longer", "error", err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(rehear):
		}
	}
}
