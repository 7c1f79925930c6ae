// Package fault is the one kind of error that may cross a room's door to a
// person. It decides what is told (a stable code, a public sentence, the
// fields at fault) and keeps what is not (the cause). It knows nothing of HTTP:
// the edges map a Kind to a status in one table.
package fault

import (
	"errors"
	"time"
)

// Kind says what sort of answer a fault is. The zero value is not a valid Kind.
type Kind int

// The kinds, and what each tells its reader.
const (
	KindInvalid         Kind = iota + 1 // the input breaks a rule; Fields names where
	KindUnauthenticated                 // no acceptable proof of who calls; never says why
	KindForbidden                       // known caller, missing right
	KindNotFound                        // absent, or not to be known by this caller
	KindConflict                        // the state of things does not allow it
	KindPrecondition                    // the caller's If-Match is of another revision
	KindTooMany                         // a limit is spent; RetryAfter says when to come back
	KindUnavailable                     // a part that is needed does not answer
)

// Field is one input at fault. Name is the public field name (snake_case).
type Field struct {
	Name    string
	Message string
}

// Error is an answer that says no. Code is stable and snake_case; Public is a
// sentence fit for the caller's eyes. The zero value is not valid: use the
// constructors.
type Error struct {
	Kind       Kind
	Code       string
	Public     string
	Fields     []Field
	RetryAfter time.Duration // set for KindTooMany and KindUnavailable only
	cause      error
}

// Error returns the code with the public sentence and, for logs, the cause.
func (e *Error) Error() string {
	text := e.Code + ": " + e.Public
	if e.cause != nil {
		text += " (" + e.cause.Error() + ")"
	}
	return text
}

// Unwrap returns the private cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Because returns a copy of e that carries cause for the log. The cause is never
// shown to the caller.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Invalid is a fault over one or more fields.
func Invalid(code, public string, fields ...Field) *Error {
	return &Error{Kind: KindInvalid, Code: code, Public: public, Fields: fields}
}

// Unauthenticated is the fault for every caller who is not accepted; it is the
// same for unknown, malformed, wrong, expired, disabled and deleted proof.
func Unauthenticated() *Error {
	return &Error{Kind: KindUnauthenticated, Code: "unauthenticated", Public: "Sign in, or send a valid API key."}
}

// BadProof is the fault for a client whose proof of its key is not accepted, whatever is
// wrong with it.
func BadProof() *Error {
	return &Error{Kind: KindUnauthenticated, Code: "invalid_dpop_proof", Public: "This program did not prove itself. Send a proof made for this very request."}
}

// Forbidden is the fault for a known caller who lacks a right.
func Forbidden(code, public string) *Error {
	return &Error{Kind: KindForbidden, Code: code, Public: public}
}

// NotFound is the fault for what does not exist or may not be known.
func NotFound(code, public string) *Error {
	return &Error{Kind: KindNotFound, Code: code, Public: public}
}

// Conflict is the fault for an act that the present state does not allow.
func Conflict(code, public string, fields ...Field) *Error {
	return &Error{Kind: KindConflict, Code: code, Public: public, Fields: fields}
}

// Precondition is the fault for an If-Match that is no longer true.
func Precondition() *Error {
	return &Error{Kind: KindPrecondition, Code: "revision_changed", Public: "This was changed in the meantime. Read it again before you change it."}
}

// TooMany is the fault for a spent limit; after says when a try may succeed.
func TooMany(code, public string, after time.Duration) *Error {
	return &Error{Kind: KindTooMany, Code: code, Public: public, RetryAfter: after}
}

// Unavailable is the fault for a needed part that does not answer now.
func Unavailable(code, public string, after time.Duration) *Error {
	return &Error{Kind: KindUnavailable, Code: code, Public: public, RetryAfter: after}
}

// As returns the fault inside err. It returns (nil, false) when err is nil or an
// error of the house that no caller may see.
func As(err error) (*Error, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e, true
	}
	return nil, false
}
