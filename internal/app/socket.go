package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
)

// maxCommand bounds a command's text.
const maxCommand = 64 << 10

// listenSocket opens admin.sock in the data folder, for its owner only. What a
// crashed server left there is removed: the folder's lock says that none runs.
func (a *App) listenSocket(ctx context.Context) (net.Listener, error) {
	path := a.folder.file(socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// reply is the answer to a command over the socket.
type reply struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  *replyError     `json:"error,omitempty"`
}

type replyError struct {
	Code   string        `json:"code"`
	Text   string        `json:"text"`
	Fields []fault.Field `json:"fields,omitempty"`
}

// CommandError is a command's refusal, as the command line shows it.
type CommandError struct {
	Code   string
	Text   string
	Fields []fault.Field
}

// Error returns the sentence and the fields at fault.
func (e *CommandError) Error() string {
	text := e.Text
	for _, f := range e.Fields {
		text += "\n  " + f.Name + " " + f.Message
	}
	return text
}

func commandError(err error) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	return &CommandError{Code: f.Code, Text: f.Public, Fields: f.Fields}
}

// commandHandler answers commands that come over admin.sock.
func (a *App) commandHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /commands/{name}", func(w http.ResponseWriter, r *http.Request) {
		var out reply
		args, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
		if err == nil {
			out.Result, err = a.run(r.Context(), r.PathValue("name"), args)
		}
		if err != nil {
			a.log.Warn("a command was refused", "command", r.PathValue("name"), "error", err.Error())
			var refused *CommandError
			if !errors.As(err, &refused) {
				refused = &CommandError{Code: "internal", Text: err.Error()}
			}
			out.Error = &replyError{Code: refused.Code, Text: refused.Text, Fields: refused.Fields}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the command line has gone: nothing to do about it
	})
	return mux
}

// errNoServer says that no server answers on the folder's socket.
var errNoServer = errors.New("no server runs on this data folder")

// overSocket runs a command in the server that holds the data folder. It returns
// errNoServer if none does.
func overSocket(ctx context.Context, data, name string, args []byte) (json.RawMessage, error) {
	path := filepath.Join(data, socketFile)
	client := &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}},
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://keyhold/commands/"+name, bytes.NewReader(args))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNoServer
	}
	if err != nil {
		return nil, fmt.Errorf("asking the running server over %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }() // the answer was read or is of no use
	var out reply
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("reading the running server's answer: %w", err)
	}
	if out.Error != nil {
		return nil, &CommandError{Code: out.Error.Code, Text: out.Error.Text, Fields: out.Error.Fields}
	}
	return out.Result, nil
}
