package kit_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/edge/kit"
)

func TestBearer_readsOneHeaderAndNothingElse(t *testing.T) {
	text := token.Issue(token.KindAdmin).Secret().ExposeString()
	broken := text[:len(text)-1] + "x"
	for _, c := range []struct {
		name, query string
		headers     []string
		want        string
		present, ok bool
	}{
		{name: "nothing", ok: true},
		{name: "bare", headers: []string{text}, want: text, present: true, ok: true},
		{name: "Bearer", headers: []string{"Bearer " + text}, want: text, present: true, ok: true},
		{name: "bearer with spaces", headers: []string{"bEARER   " + text + " "}, want: text, present: true, ok: true},
		{name: "another scheme", headers: []string{"Basic " + text}, present: true, ok: true},
		{name: "an empty header", headers: []string{""}, present: true, ok: true},
		{name: "two headers", headers: []string{"Bearer " + text, "Bearer " + text}, present: true},
		{name: "another query", query: "q=ann&limit=5", headers: []string{text}, want: text, present: true, ok: true},
		{name: "a token id", query: "q=" + text[9:21], headers: []string{text}, want: text, present: true, ok: true},
		{name: "access_token", query: "access_token=" + text, headers: []string{text}, present: true},
		{name: "an empty access_token", query: "access_token", headers: []string{text}, present: true},
		{name: "token", query: "limit=5&Token=x", headers: []string{text}, present: true},
		{name: "api_key", query: "api_key=x", headers: []string{text}, present: true},
		{name: "under another name", query: "q=" + text, headers: []string{text}, present: true},
		{name: "a token that is none", query: "q=" + broken, headers: []string{text}, present: true},
		{name: "within a value", query: "q=" + url.QueryEscape("see "+text+"!"), headers: []string{text}, present: true},
		{name: "escaped", query: "q=" + strings.ReplaceAll(text, "_", "%5F"), headers: []string{text}, present: true},
		{name: "as a name", query: text, headers: []string{text}, present: true},
		{name: "the second value", query: "q=a&q=" + text, headers: []string{text}, present: true},
		{name: "what is not well formed", query: "q=100%", headers: []string{text}, want: text, present: true, ok: true},
		{name: "beside what is not well formed", query: "q=100%&q=" + text, headers: []string{text}, present: true},
		{name: "after a semicolon", query: "q=a;q=" + strings.ReplaceAll(text, "_", "%5f"), headers: []string{text}, present: true},
		{name: "without a header", query: "q=" + text},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+c.query, nil)
		for _, h := range c.headers {
			r.Header.Add("authorization", h)
		}
		if got, present, ok := kit.Bearer(r); got != c.want || present != c.present || ok != c.ok {
			t.Errorf("%s: Bearer() = %q, %v, %v, want %q, %v, %v", c.name, got, present, ok, c.want, c.present, c.ok)
		}
	}
}
