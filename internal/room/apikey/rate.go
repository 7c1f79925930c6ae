package apikey

import (
	"sync"
	"time"
)

// rate is how often something may be done. The zero value sets no limit.
type rate struct {
	interval time.Duration // what doing it once costs
	depth    time.Duration // how much may be spent at once
}

// rateOf returns the rate of so many in a minute, of which burst at once; 0 in a minute
// for no limit.
func rateOf(perMinute, burst int) rate {
	if perMinute == 0 {
		return rate{}
	}
	interval := time.Minute / time.Duration(perMinute)
	return rate{interval: interval, depth: interval * time.Duration(max(burst, 1)-1)}
}

// take is the generic cell rate algorithm: spent, in Unix nanoseconds, lies in the
// future by as much as depth at the most. It returns how long to wait, 0 for not at all.
func (r rate) take(spent *int64, now time.Time) time.Duration {
	if r.interval == 0 {
		return 0
	}
	from := max(*spent, now.UnixNano())
	if ahead := time.Duration(from - now.UnixNano()); ahead > r.depth {
		if ahead <= r.depth+r.interval {
			return ahead - r.depth
		}
		from = now.UnixNano() // the clock was set back
	}
	*spent = from + int64(r.interval)
	return 0
}

// limiter bounds how often something is done, by name. It is safe for use by several
// goroutines. Use newLimiter.
type limiter struct {
	rate  rate
	mu    *sync.Mutex
	spent map[string]int64 // guarded by mu
}

func newLimiter(perMinute int) limiter {
	return limiter{rate: rateOf(perMinute, perMinute), mu: &sync.Mutex{}, spent: map[string]int64{}}
}

// limiterMost bounds how many names are known at once.
const limiterMost = 10_000

// take returns how long to wait, 0 if the name may go on.
func (l limiter) take(name string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.spent) >= limiterMost {
		for n, at := range l.spent {
			if at <= now.UnixNano() {
				delete(l.spent, n)
			}
		}
		if len(l.spent) >= limiterMost {
			return l.rate.interval
		}
	}
	spent := l.spent[name]
	wait := l.rate.take(&spent, now)
	l.spent[name] = spent
	return wait
}
