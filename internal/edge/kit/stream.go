package kit

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/clock"
)

// streamPatience is how long a reader may take for each piece of a stream.
const streamPatience = time.Minute

// Stream answers with a file that is written while it is read: write calls flush
// after each piece. If it fails, the connection ends abnormally, so that nobody
// takes what came for the whole.
func Stream(w http.ResponseWriter, r *http.Request, name, contentType string, write func(ctx context.Context, w io.Writer, flush func() error) error) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy that gathers it all would run out of patience
	rc := http.NewResponseController(w)
	flush := func() error {
		// Each piece has the time that the server gives a whole answer.
		err := rc.SetWriteDeadline(clock.System{}.Now().Add(streamPatience))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		return rc.Flush()
	}
	if err := write(r.Context(), w, flush); err != nil {
		_ = NoteError(r.Context(), err) // the status is out already
		panic(http.ErrAbortHandler)
	}
}
