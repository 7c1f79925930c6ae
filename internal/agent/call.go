package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/dpop"
)

// The codes of answers that clients tell apart. Others are for people only.
const (
	CodePINInvalid   = "pin_invalid" // with TriesLeft, and PausedUntil when a pause begins
	CodePINPaused    = "pin_paused"  // with PausedUntil and RetryAfter
	CodePINLocked    = "pin_locked"
	codeUseDPoPNonce = "use_dpop_nonce"
)

// Error is an answer that says no.
type Error struct {
	Status      int           // of HTTP
	Code        string        // stable, for programs; empty if no Keyhold server answered
	Name        string        // of the DOMException that the website gets; empty for none
	Detail      string        // for people; may be empty
	RequestID   string        // to name when one asks for help; may be empty
	TriesLeft   *int          // of the PIN; nil if it is not told
	PausedUntil *time.Time    // nil for no pause
	RetryAfter  time.Duration // 0 if it is not told
}

// Error returns the sentence for people, or what else is known.
func (e *Error) Error() string {
	switch {
	case e.Detail != "":
		return e.Detail
	case e.Code != "":
		return "the server refuses: " + e.Code
	}
	return fmt.Sprintf("the server answers %d %s", e.Status, http.StatusText(e.Status))
}

// errAnswer is what a call returns that was answered by something else than a server of
// this kind.
var errAnswer = errors.New("the answer is not that of a Keyhold server: check its address, and what stands between")

const (
	base      = "/authenticator/v1"
	maxAnswer = 1 << 20
	maxNonce  = 256

	headerProof = "DPoP"
	headerNonce = "DPoP-Nonce"
)

// request is one call.
type request struct {
	method string
	path   string // escaped, below base
	body   []byte
	proven bool // carries a proof
	into   any  // where the answer goes; nil for nowhere
}

func (c *Client) post(ctx context.Context, path string, ask, into any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	return c.call(ctx, request{http.MethodPost, path, body, true, into})
}

// call makes the request, and once more if the server asks for a fresh nonce (RFC 9449
// §8). Nothing else is tried again: a try of a PIN may have been spent.
func (c *Client) call(ctx context.Context, r request) error {
	err := c.once(ctx, r)
	var refused *Error
	if r.proven && errors.As(err, &refused) && refused.Status == http.StatusUnauthorized && refused.Code == codeUseDPoPNonce {
		err = c.once(ctx, r)
	}
	return err
}

func (c *Client) once(ctx context.Context, r request) error {
	target := url.URL{Scheme: c.config.Server.Scheme, Host: c.config.Server.Host}
	where := target.String() + base + r.path
	ask, err := http.NewRequestWithContext(ctx, r.method, where, bytes.NewReader(r.body))
	if err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	ask.Header.Set("User-Agent", c.config.Agent)
	ask.Header.Set("Accept", "application/json")
	if !c.config.Token.IsEmpty() {
		ask.Header.Set("Authorization", "Bearer "+c.config.Token.ExposeString())
	}
	if r.body != nil {
		ask.Header.Set("Content-Type", "application/json")
	}
	if r.proven {
		proof, err := c.proof(r, where)
		if err != nil {
			return err
		}
		ask.Header.Set(headerProof, proof)
	}
	response, err := c.http.Do(ask)
	if err != nil {
		var around *url.Error // tells the URL, which may hold a tap
		if errors.As(err, &around) {
			err = around.Err
		}
		return fmt.Errorf("the server at %s does not answer: %w", target.String(), err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if nonce := response.Header.Get(headerNonce); nonce != "" {
		c.keep(nonce)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the server's answer: %w", err)
	case len(answer) > maxAnswer:
		return errAnswer
	case response.StatusCode >= http.StatusBadRequest:
		return refusal(response, answer)
	case response.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%s leads elsewhere: give the server's own address", target.String())
	case r.into == nil:
		return nil
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "application/json" {
		return errAnswer
	}
	if json.Unmarshal(answer, r.into) != nil {
		return errAnswer
	}
	return nil
}

// proof signs for a request to that URL.
func (c *Client) proof(r request, where string) (string, error) {
	c.mu.Lock()
	nonce := c.nonce
	c.mu.Unlock()
	return dpop.Sign(c.config.Key, dpop.Claims{
		Method: r.method, URL: where, IssuedAt: c.config.Clock.Now(), ID: rand.Text(), Nonce: nonce,
		TokenHash: dpop.TokenHash(c.config.Token.ExposeString()), BodyHash: dpop.BodyHash(r.body),
	})
}

// keep keeps the nonce for the next proof.
func (c *Client) keep(nonce string) {
	if len(nonce) > maxNonce {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nonce = nonce
}

// refusal reads an answer that says no (RFC 9457).
func refusal(response *http.Response, answer []byte) error {
	out := &Error{Status: response.StatusCode}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		out.RetryAfter = time.Duration(seconds) * time.Second
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "application/problem+json" {
		return out
	}
	var problem struct {
		Code        string     `json:"code"`
		Name        string     `json:"name"`
		Detail      string     `json:"detail"`
		RequestID   string     `json:"request_id"`
		TriesLeft   *int       `json:"tries_left"`
		PausedUntil *time.Time `json:"paused_until"`
	}
	if json.Unmarshal(answer, &problem) != nil {
		return out
	}
	out.Code, out.Name, out.Detail, out.RequestID = problem.Code, problem.Name, problem.Detail, problem.RequestID
	out.TriesLeft, out.PausedUntil = problem.TriesLeft, problem.PausedUntil
	return out
}
