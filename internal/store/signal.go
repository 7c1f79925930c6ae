package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keyhold/keyhold/internal/ledger/signal"
)

// signalChannel is the name under which the topics of signals are sent.
const signalChannel = "keyhold_signal"

const (
	// signalQueue bounds what waits to be sent; what is more is lost, as signals may be.
	signalQueue = 4096
	// signalPatience bounds one sending.
	signalPatience = 5 * time.Second
)

// notify satisfies engine.
func (e *postgresEngine) notify(topics []signal.Topic) {
	for _, topic := range topics {
		select {
		case e.signals <- topic:
		default: // lossy: the others look by themselves soon
			return
		}
	}
}

// sendSignals sends what notify queued, all that waits at once, until the store closes.
func (e *postgresEngine) sendSignals() {
	for {
		var batch []string
		select {
		case <-e.ended:
			return
		case topic := <-e.signals:
			batch = append(batch, string(topic))
		}
		for more := true; more; {
			select {
			case topic := <-e.signals:
				batch = append(batch, string(topic))
			default:
				more = false
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), signalPatience)
		if e.enter(ctx) == nil {
			_, _ = e.db.ExecContext(ctx, "SELECT pg_notify($1, topic) FROM unnest($2::text[]) AS t (topic)", signalChannel, batch) // lossy
			e.leave()
		}
		cancel()
	}
}

// hear satisfies engine. It has a connection of its own: it waits on it.
func (e *postgresEngine) hear(ctx context.Context, told func(signal.Topic), missed func()) error {
	return e.await(ctx, signalChannel, missed, func(payload string) { told(signal.Topic(payload)) })
}

// await calls begun once the channel is listened to, and heard for each notification.
func (e *postgresEngine) await(ctx context.Context, channel string, begun func(), heard func(payload string)) (err error) {
	c, err := pgx.ConnectConfig(ctx, e.config.Copy())
	if err != nil {
		return fmt.Errorf("connecting to listen: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(err, c.Close(closing))
	}()
	if _, err := c.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	begun() // what was said before is not told again
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		heard(n.Payload)
	}
}
