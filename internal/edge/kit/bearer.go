package kit

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/keyhold/keyhold/internal/base/token"
)

// Bearer returns the API key's token that a request carries in its Authorization
// header, with the word Bearer or without. present says whether there is such a
// header; text is empty if it is of another scheme. ok is false for a request that is
// to be refused whatever else it carries: one with two such headers, or with a token
// in its query, where it ends up in logs and histories.
func Bearer(r *http.Request) (text string, present, ok bool) {
	values := r.Header["Authorization"] // net/http has put all spellings under this one
	if len(values) > 1 || r.URL.RawQuery != "" && tokenInQuery(r.URL.RawQuery) {
		return "", len(values) > 0, false
	}
	if len(values) == 0 {
		return "", false, true
	}
	scheme, after, found := strings.Cut(values[0], " ")
	switch {
	case !found:
		return values[0], true, true
	case !strings.EqualFold(scheme, "Bearer"):
		return "", true, true
	}
	return strings.TrimSpace(after), true, true
}

// tokenPattern finds API keys' tokens in text.
var tokenPattern = regexp.MustCompile(token.Pattern)

// tokenInQuery says whether a query carries a token, or what is named as one. It reads
// more leniently than net/url, which leaves out what is not well formed.
func tokenInQuery(raw string) bool {
	for _, part := range strings.FieldsFunc(raw, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(part, "=")
		switch strings.ToLower(unescape(name)) {
		case "access_token", "token", "api_key":
			return true
		}
		if tokenPattern.MatchString(unescape(part)) {
			return true
		}
	}
	return false
}

func unescape(s string) string {
	if out, err := url.QueryUnescape(s); err == nil {
		return out
	}
	return s
}

// tokenBegins finds what may be a token, or the beginning of one that was cut.
var tokenBegins = regexp.MustCompile(`kh_(admin|mobile|client)_[0-9A-Za-z_]+`)

func blankTokens(s string) string { return tokenBegins.ReplaceAllString(s, "[token]") }
