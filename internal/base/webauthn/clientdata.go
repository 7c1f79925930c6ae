package webauthn

import (
	"encoding/base64"
	"fmt"
	"unicode/utf8"
)

// ClientData returns clientDataJSON, byte for byte as WebAuthn L3 §5.8.1.1 writes it.
func ClientData(op Operation, challenge []byte, o Origin) []byte {
	b := appendString([]byte(`{"type":`), "webauthn."+string(op))
	b = appendString(append(b, `,"challenge":`...), base64.RawURLEncoding.EncodeToString(challenge))
	b = appendString(append(b, `,"origin":`...), o.Origin)
	if !o.CrossOrigin {
		return append(b, `,"crossOrigin":false}`...)
	}
	b = append(b, `,"crossOrigin":true`...)
	if o.TopOrigin != "" {
		b = appendString(append(b, `,"topOrigin":`...), o.TopOrigin)
	}
	return append(b, '}')
}

// appendString is CCDToString (WebAuthn L3 §5.8.1.1).
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
