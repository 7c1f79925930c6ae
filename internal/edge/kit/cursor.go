package kit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// CursorSecrets gives a workspace's secret for signing cursors.
type CursorSecrets func(ctx context.Context, w id.Workspace) (secret.Bytes, error)

// maxCursor bounds what is looked at before the signature was checked.
const maxCursor = 2048

// Cursors turns positions in lists into opaque text and back. A cursor is bound
// to the workspace and to the query that it was made for.
type Cursors struct{ Secrets CursorSecrets }

type cursorBody struct {
	Value string `json:"v"`
	ID    string `json:"i"`
}

// Encode returns the position as a cursor, "" for the zero position. query says
// which list, filters and sort it belongs to.
func (c Cursors) Encode(ctx context.Context, w id.Workspace, query string, p page.Position) (string, error) {
	if p.IsZero() {
		return "", nil
	}
	body, err := json.Marshal(cursorBody(p))
	if err != nil {
		return "", fmt.Errorf("writing a cursor: %w", err)
	}
	mac, err := c.sign(ctx, w, query, body)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(mac, body...)), nil
}

// Decode returns the position in a cursor, zero for "". It answers an Invalid
// fault for a cursor that was changed or belongs to another workspace or query.
func (c Cursors) Decode(ctx context.Context, w id.Workspace, query, cursor string) (page.Position, error) {
	if cursor == "" {
		return page.Position{}, nil
	}
	bad := fault.Invalid("invalid_cursor", "This cursor does not belong to this list.", fault.Field{Name: "cursor", Message: "is not one of this list; start again without it"})
	if len(cursor) > maxCursor {
		return page.Position{}, bad
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) <= sha256.Size {
		return page.Position{}, bad
	}
	mac, err := c.sign(ctx, w, query, raw[sha256.Size:])
	if err != nil {
		return page.Position{}, err
	}
	if !hmac.Equal(mac, raw[:sha256.Size]) {
		return page.Position{}, bad
	}
	var body cursorBody
	if err := json.Unmarshal(raw[sha256.Size:], &body); err != nil {
		return page.Position{}, fmt.Errorf("reading a cursor that we signed: %w", err)
	}
	return page.Position(body), nil
}

func (c Cursors) sign(ctx context.Context, w id.Workspace, query string, body []byte) ([]byte, error) {
	key, err := c.Secrets(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("reading the cursor secret: %w", err)
	}
	mac := hmac.New(sha256.New, key.Expose())
	_, _ = fmt.Fprintf(mac, "%s\x00%d\x00%s", w, len(query), query) // a hash takes every byte
	mac.Write(body)
	return mac.Sum(nil), nil
}
