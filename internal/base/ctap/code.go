package ctap

import "fmt"

// Code is a CTAP status byte (CTAP 2.1 §8.2). The zero value is success.
type Code byte

// The status codes that Keyhold can answer.
const (
	OK                     Code = 0x00
	InvalidCommand         Code = 0x01
	InvalidParameter       Code = 0x02
	InvalidLength          Code = 0x03
	CBORUnexpectedType     Code = 0x11
	InvalidCBOR            Code = 0x12
	MissingParameter       Code = 0x14
	LimitExceeded          Code = 0x15
	CredentialExcluded     Code = 0x19
	InvalidCredential      Code = 0x22
	UserActionPending      Code = 0x23
	UnsupportedAlgorithm   Code = 0x26
	OperationDenied        Code = 0x27
	KeyStoreFull           Code = 0x28
	UnsupportedOption      Code = 0x2b
	InvalidOption          Code = 0x2c
	KeepaliveCancel        Code = 0x2d
	NoCredentials          Code = 0x2e
	UserActionTimeout      Code = 0x2f
	NotAllowed             Code = 0x30
	PINInvalid             Code = 0x31
	PINBlocked             Code = 0x32
	PINAuthInvalid         Code = 0x33
	PINAuthBlocked         Code = 0x34
	PINNotSet              Code = 0x35
	PUATRequired           Code = 0x36
	PINPolicyViolation     Code = 0x37
	RequestTooLarge        Code = 0x39
	ActionTimeout          Code = 0x3a
	UPRequired             Code = 0x3b
	UVBlocked              Code = 0x3c
	IntegrityFailure       Code = 0x3d
	InvalidSubcommand      Code = 0x3e
	UVInvalid              Code = 0x3f
	UnauthorizedPermission Code = 0x40
	Other                  Code = 0x7f
)

// The names of errors that a page sees: DOMExceptions, and TypeError (WebAuthn L3
// §5.1.3 and §5.1.4).
const (
	NotAllowedError   = "NotAllowedError"
	InvalidStateError = "InvalidStateError"
	NotSupportedError = "NotSupportedError"
	ConstraintError   = "ConstraintError"
	SecurityError     = "SecurityError"
	UnknownError      = "UnknownError"
	SyntaxError       = "SyntaxError"
	TypeError         = "TypeError"
)

// codes has the name of each code in the standard, and of the error that a browser makes
// of it.
//
// constant: a table.
var codes = map[Code]struct{ name, dom string }{
	OK:                     {"CTAP2_OK", ""},
	InvalidCommand:         {"CTAP1_ERR_INVALID_COMMAND", UnknownError},
	InvalidParameter:       {"CTAP1_ERR_INVALID_PARAMETER", UnknownError},
	InvalidLength:          {"CTAP1_ERR_INVALID_LENGTH", UnknownError},
	CBORUnexpectedType:     {"CTAP2_ERR_CBOR_UNEXPECTED_TYPE", UnknownError},
	InvalidCBOR:            {"CTAP2_ERR_INVALID_CBOR", UnknownError},
	MissingParameter:       {"CTAP2_ERR_MISSING_PARAMETER", UnknownError},
	LimitExceeded:          {"CTAP2_ERR_LIMIT_EXCEEDED", UnknownError},
	CredentialExcluded:     {"CTAP2_ERR_CREDENTIAL_EXCLUDED", InvalidStateError},
	InvalidCredential:      {"CTAP2_ERR_INVALID_CREDENTIAL", NotAllowedError},
	UserActionPending:      {"CTAP2_ERR_USER_ACTION_PENDING", NotAllowedError},
	UnsupportedAlgorithm:   {"CTAP2_ERR_UNSUPPORTED_ALGORITHM", NotSupportedError},
	OperationDenied:        {"CTAP2_ERR_OPERATION_DENIED", NotAllowedError},
	KeyStoreFull:           {"CTAP2_ERR_KEY_STORE_FULL", NotAllowedError},
	UnsupportedOption:      {"CTAP2_ERR_UNSUPPORTED_OPTION", ConstraintError},
	InvalidOption:          {"CTAP2_ERR_INVALID_OPTION", UnknownError},
	KeepaliveCancel:        {"CTAP2_ERR_KEEPALIVE_CANCEL", NotAllowedError},
	NoCredentials:          {"CTAP2_ERR_NO_CREDENTIALS", NotAllowedError},
	UserActionTimeout:      {"CTAP2_ERR_USER_ACTION_TIMEOUT", NotAllowedError},
	NotAllowed:             {"CTAP2_ERR_NOT_ALLOWED", NotAllowedError},
	PINInvalid:             {"CTAP2_ERR_PIN_INVALID", NotAllowedError},
	PINBlocked:             {"CTAP2_ERR_PIN_BLOCKED", NotAllowedError},
	PINAuthInvalid:         {"CTAP2_ERR_PIN_AUTH_INVALID", NotAllowedError},
	PINAuthBlocked:         {"CTAP2_ERR_PIN_AUTH_BLOCKED", NotAllowedError},
	PINNotSet:              {"CTAP2_ERR_PIN_NOT_SET", NotAllowedError},
	PUATRequired:           {"CTAP2_ERR_PUAT_REQUIRED", NotAllowedError},
	PINPolicyViolation:     {"CTAP2_ERR_PIN_POLICY_VIOLATION", NotAllowedError},
	RequestTooLarge:        {"CTAP2_ERR_REQUEST_TOO_LARGE", UnknownError},
	ActionTimeout:          {"CTAP2_ERR_ACTION_TIMEOUT", NotAllowedError},
	UPRequired:             {"CTAP2_ERR_UP_REQUIRED", NotAllowedError},
	UVBlocked:              {"CTAP2_ERR_UV_BLOCKED", NotAllowedError},
	IntegrityFailure:       {"CTAP2_ERR_INTEGRITY_FAILURE", UnknownError},
	InvalidSubcommand:      {"CTAP2_ERR_INVALID_SUBCOMMAND", UnknownError},
	UVInvalid:              {"CTAP2_ERR_UV_INVALID", NotAllowedError},
	UnauthorizedPermission: {"CTAP2_ERR_UNAUTHORIZED_PERMISSION", NotAllowedError},
	Other:                  {"CTAP1_ERR_OTHER", UnknownError},
}

// String returns the code's name in the standard.
func (c Code) String() string {
	if known, ok := codes[c]; ok {
		return known.name
	}
	return fmt.Sprintf("CTAP_ERR_%#02x", byte(c))
}

// Error is an operation that an authenticator, or the browser before it, refuses. Code is
// what a CTAP transport answers, Name what a page sees, Reason a phrase for people and
// logs that holds nothing secret. Use Refuse or RefuseAs.
type Error struct {
	Code   Code
	Name   string
	Reason string
}

// Refuse returns an Error with the name that browsers give to code.
func Refuse(code Code, reason string) *Error {
	known, ok := codes[code]
	if !ok {
		known = codes[Other]
	}
	return &Error{Code: code, Name: known.dom, Reason: reason}
}

// RefuseAs returns an Error with a name of its own: what is refused before it reaches the
// authenticator.
func RefuseAs(name string, code Code, reason string) *Error {
	return &Error{Code: code, Name: name, Reason: reason}
}

// Error returns the name, the code and the reason.
func (e *Error) Error() string { return e.Name + " (" + e.Code.String() + "): " + e.Reason }
