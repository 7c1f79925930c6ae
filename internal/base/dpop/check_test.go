package dpop_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/secret"
)

func nonces(key string) dpop.Nonces { return dpop.NewNonces(secret.FromString(key)) }

// request is what the proofs of these tests are for.
func request() dpop.Request {
	return dpop.Request{Method: "POST", URL: "https://keys.example.com/authenticator/v1/taps", Token: "kh_client_x", Body: []byte(`{"a":1}`), Now: at}
}

// proof returns a parsed proof for the request at that moment, changed.
func proof(t *testing.T, change func(c *dpop.Claims)) dpop.Proof {
	t.Helper()
	r := request()
	c := dpop.Claims{Method: r.Method, URL: r.URL, IssuedAt: at, ID: "j", Nonce: nonces("k").Issue(at), TokenHash: dpop.TokenHash(r.Token), BodyHash: dpop.BodyHash(r.Body)}
	change(&c)
	text, err := dpop.Sign(key(), c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dpop.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCheck_saysWhatDoesNotFit(t *testing.T) {
	same := func(*dpop.Claims) {}
	for name, c := range map[string]struct {
		claims  func(c *dpop.Claims)
		request func(r *dpop.Request)
		want    dpop.Reason
	}{
		"all fits":                    {same, nil, ""},
		"another method":              {func(c *dpop.Claims) { c.Method = "GET" }, nil, dpop.ReasonMethod},
		"method in lower case":        {func(c *dpop.Claims) { c.Method = "post" }, nil, dpop.ReasonMethod},
		"another path":                {func(c *dpop.Claims) { c.URL += "/1" }, nil, dpop.ReasonURL},
		"another token":               {same, func(r *dpop.Request) { r.Token = "kh_client_y" }, dpop.ReasonToken},
		"the token itself":            {func(c *dpop.Claims) { c.TokenHash = "kh_client_x" }, nil, dpop.ReasonToken},
		"another body":                {same, func(r *dpop.Request) { r.Body = []byte(`{"a":2}`) }, dpop.ReasonBody},
		"no body":                     {same, func(r *dpop.Request) { r.Body = nil }, dpop.ReasonBody},
		"clock 5 minutes behind":      {func(c *dpop.Claims) { c.IssuedAt = at.Add(-dpop.Window) }, nil, ""},
		"clock further behind":        {func(c *dpop.Claims) { c.IssuedAt = at.Add(-dpop.Window - time.Second) }, nil, dpop.ReasonOld},
		"clock 5 minutes ahead":       {func(c *dpop.Claims) { c.IssuedAt = at.Add(dpop.Window) }, nil, ""},
		"clock further ahead":         {func(c *dpop.Claims) { c.IssuedAt = at.Add(dpop.Window + time.Second) }, nil, dpop.ReasonFuture},
		"as far ahead as can be":      {func(c *dpop.Claims) { c.IssuedAt = time.Unix(1<<53, 0) }, nil, dpop.ReasonFuture},
		"no nonce":                    {func(c *dpop.Claims) { c.Nonce = "" }, nil, dpop.ReasonNonce},
		"another server's nonce":      {func(c *dpop.Claims) { c.Nonce = nonces("other").Issue(at) }, nil, dpop.ReasonNonce},
		"an old nonce":                {same, func(r *dpop.Request) { r.Now = at.Add(dpop.NonceLife) }, dpop.ReasonNonce},
		"no nonce and another body":   {func(c *dpop.Claims) { c.Nonce, c.BodyHash = "", "x" }, nil, dpop.ReasonBody},
		"no nonce and another target": {func(c *dpop.Claims) { c.Nonce, c.URL = "", "x" }, nil, dpop.ReasonURL},
	} {
		r := request()
		if c.request != nil {
			c.request(&r)
		}
		if got := proof(t, c.claims).Check(r, nonces("k")); got != c.want {
			t.Errorf("%s: Check() = %q, want %q", name, got, c.want)
		}
	}
}

func TestCheck_comparesURLsByTheirNormalForm(t *testing.T) {
	for _, c := range []struct {
		claimed, asked string
		want           bool
	}{
		{"https://a.example/x", "https://a.example/x", true},
		{"HTTPS://A.Example/x", "https://a.example/x", true},
		{"https://a.example:443/x", "https://a.example/x", true},
		{"https://a.example:/x", "https://a.example/x", true},
		{"http://a.example:80/x", "http://a.example/x", true},
		{"https://a.example/x?b=1#c", "https://a.example/x", true},
		{"https://a.example/x", "https://a.example/x?b=1", true},
		{"https://a.example", "https://a.example/", true},
		{"https://a.example/a/./b/../x", "https://a.example/a/x", true},
		{"https://a.example/%7ex", "https://a.example/~x", true},
		{"https://a.example/%2e%2e/x", "https://a.example/x", true},
		{"https://a.example/a%2fx", "https://a.example/a%2Fx", true},
		{"https://[::1]:443/x", "https://[::1]/x", true},
		{"https://a.example:8443/x", "https://a.example:8443/x", true},

		{"https://a.example/X", "https://a.example/x", false},
		{"https://a.example/x/", "https://a.example/x", false},
		{"https://a.example//x", "https://a.example/x", false},
		{"https://a.example/a%2Fx", "https://a.example/a/x", false},
		{"http://a.example/x", "https://a.example/x", false},
		{"https://a.example:80/x", "https://a.example/x", false},
		{"http://a.example:443/x", "http://a.example/x", false},
		{"https://a.example:8443/x", "https://a.example/x", false},
		{"https://b.example/x", "https://a.example/x", false},
		{"https://a.example./x", "https://a.example/x", false},
		{"https://u:p@a.example/x", "https://a.example/x", false},
		{"https://u@a.example/x", "https://u@a.example/x", false},
		{"//a.example/x", "https://a.example/x", false},
		{"/x", "https://a.example/x", false},
		{"https:a.example/x", "https://a.example/x", false},
		{"https:///x", "https:///y", false},
		{"ftp://a.example/x", "ftp://A.example/x", false},
		{"https://a.example/%zz", "https://a.example/%Zz", false},
		{"https://a.example/x%", "https://a.example/x", false},
		{"*", "https://a.example/x", false},
	} {
		r := request()
		r.URL = c.asked
		want := dpop.ReasonURL
		if c.want {
			want = ""
		}
		if got := proof(t, func(claims *dpop.Claims) { claims.URL = c.claimed }).Check(r, nonces("k")); got != want {
			t.Errorf("Check(%s) of a proof for %s = %q, want %q", c.asked, c.claimed, got, want)
		}
	}
}

func TestNonces_liveTwoMinutes(t *testing.T) {
	now := at.Add(789 * time.Millisecond)
	nonce := nonces("k").Issue(now)
	for after, want := range map[time.Duration]bool{
		0:                                 true,
		dpop.NonceLife - time.Millisecond: true,
		dpop.NonceLife:                    false,
		24 * time.Hour:                    false,
		-5 * time.Second:                  true, // another replica's clock
		-5*time.Second - time.Millisecond: false,
		-100 * 365 * 24 * time.Hour:       false,
	} {
		if got := nonces("k").Good(nonce, now.Add(after)); got != want {
			t.Errorf("Good() after %v = %v, want %v", after, got, want)
		}
	}
}

func TestNonces_knowTheirOwnOnly(t *testing.T) {
	n := nonces("k")
	nonce := n.Issue(at)
	if nonce == n.Issue(at.Add(time.Millisecond)) {
		t.Error("Issue() of two moments are equal")
	}
	for name, other := range map[string]string{
		"nothing":       "",
		"another key's": nonces("l").Issue(at),
		"truncated":     nonce[:len(nonce)-1],
		"longer":        nonce + "A",
		"padded":        nonce + "=",
		"a line break":  nonce[:20] + "\n" + nonce[20:],
		"stray bits":    nonce[:len(nonce)-1] + string(nonce[len(nonce)-1]+1),
		"another time":  n.Issue(at.Add(time.Second))[:10] + nonce[10:],
		"another tag":   nonce[:15] + strings.Repeat("A", len(nonce)-15),
		"not base64":    strings.Repeat("!", len(nonce)),
	} {
		if n.Good(other, at) {
			t.Errorf("%s: Good(%q) = true, want false", name, other)
		}
	}
	var nobody dpop.Nonces
	if nobody.Good(nobody.Issue(at), at) {
		t.Error("Good() of the zero value = true, want false: anybody could make its nonces")
	}
}

func FuzzNonce(f *testing.F) {
	f.Add(nonces("k").Issue(at))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if nonces("k").Good(text, at) && text != nonces("k").Issue(at) {
			t.Errorf("Good(%q) = true, want false", text)
		}
	})
}

func FuzzURL(f *testing.F) {
	f.Add("https://a.example/x", "HTTPS://A.example:443/./%78?y#z")
	f.Add("https://a.example/%2e%2e/x", "//")
	f.Fuzz(func(t *testing.T, a, b string) {
		c := dpop.Proof{Claims: dpop.Claims{Method: "GET", URL: a}}
		r := dpop.Request{Method: "GET", URL: b}
		forth := c.Check(r, dpop.Nonces{}) == dpop.ReasonURL
		c.URL, r.URL = b, a
		if back := c.Check(r, dpop.Nonces{}) == dpop.ReasonURL; back != forth {
			t.Errorf("%q fits %q one way only", a, b)
		}
	})
}
