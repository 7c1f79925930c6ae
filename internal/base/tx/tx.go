// Package tx says what a transaction is to a room: a function that is run with
// the storage interface T which the room declared, and whose outcome decides
// what becomes of its writes. It holds no SQL; the store implements it.
package tx

import (
	"context"
	"errors"

	"github.com/keyhold/keyhold/internal/base/fault"
)

// ErrUnavailable is in the errors of transactions that failed because the storage
// could not be reached or could not write: a lost connection, a full disk. Whoever
// repeats the work looks first whether it was done: a connection that is lost while
// committing leaves that open.
var ErrUnavailable = errors.New("the storage does not answer")

// Func is the work of one writing transaction. A fault is an answer and commits
// what the function wrote (a spent try, the refusal's activity); an error rolls
// back to the function's own start. It may run twice, so it touches nothing but
// t and variables that it sets anew each time; it opens no second transaction
// and does no sealing, signing or network.
type Func[T any] func(ctx context.Context, t T) (*fault.Error, error)

// Runner runs transactions over the storage T. It is safe for use by several
// goroutines.
type Runner[T any] interface {
	// Write runs fn in a writing transaction. It returns nil once the commit is
	// durable, fn's fault once what fn wrote with it is durable, and any other
	// error when nothing of fn remains. A cancelled ctx takes fn out of the
	// queue; once fn has begun, Write waits for its outcome.
	Write(ctx context.Context, fn Func[T]) error
	// Read runs fn over one consistent snapshot. T's writing methods fail there.
	Read(ctx context.Context, fn func(ctx context.Context, t T) error) error
}

// Latches is part of the storage of every room that keeps an invariant over more
// than one row.
type Latches interface {
	// Latch makes all transactions that take the latch of that name run one
	// after the other, from here to their end. Names are scoped by the caller
	// (workspace first). Take it before reading what the invariant is about.
	Latch(ctx context.Context, name string) error
}
