package app

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/flow/authenticate"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// cardNumber returns the number of the n-th card of a kind.
func cardNumber(kind, n int) string { return fmt.Sprintf("04%02X%010X", kind, n) }

// tapOf is a tap of a card for a site without a proof.
func (t *terminal) tapOf(number string) shot {
	s := t.tapShot()
	s.body = strings.Replace(s.body, deskCard, number, 1)
	return s
}

// ask sends a request with a proof.
func (t *terminal) ask(s shot) told {
	t.t.Helper()
	s.proofs = []string{t.proof(s, nil)}
	return t.fire(s)
}

// tapped taps a card and returns the tap.
func (t *terminal) tapped(number string) string {
	t.t.Helper()
	got := t.ask(t.tapOf(number))
	if got.status != http.StatusCreated {
		t.t.Fatalf("a tap of %s: %d %s", number, got.status, got.text)
	}
	return tapIn(t.t, got.text)
}

func tapIn(t *testing.T, text string) string {
	t.Helper()
	var out struct{ Tap string }
	if err := json.Unmarshal([]byte(text), &out); err != nil || out.Tap == "" {
		t.Fatalf("%v: %s", err, text)
	}
	return out.Tap
}

// try shows a PIN.
func (t *terminal) try(tap, pin string) told {
	t.t.Helper()
	return t.ask(shot{method: http.MethodPost, path: "/taps/" + tap + "/verify", body: `{"pin":"` + pin + `"}`, token: t.token})
}

// constant: what no two answers share.
var passing = regexp.MustCompile(`"(tap|request_id)":"[^"]*"`)

// alike says whether two answers are the same but for their ids: the clock stands still.
func alike(a, b told) bool {
	for _, name := range []string{"Retry-After", "Content-Type", "Cache-Control", "Www-Authenticate"} {
		if a.header.Get(name) != b.header.Get(name) {
			return false
		}
	}
	return a.status == b.status && passing.ReplaceAllString(a.text, "") == passing.ReplaceAllString(b.text, "") && len(a.text) == len(b.text)
}

// TestAuthenticator_unknownCardsLookAlike guesses the PIN of a card that somebody has and of
// one that nobody has, until it is locked: every answer is the same.
func TestAuthenticator_unknownCardsLookAlike(t *testing.T) {
	d := newDesk(t)
	known, unknown := d.terminal("Back desk"), d.terminal("Gate")
	both := func(what string, ask func(c *terminal, number string) told) told {
		t.Helper()
		a, b := ask(known, deskCard), ask(unknown, cardNumber(0xEE, 1))
		if !alike(a, b) {
			t.Errorf("%s: a known card %d %v %s, an unknown one %d %v %s", what, a.status, a.header, a.text, b.status, b.header, b.text)
		}
		return a
	}
	taps := map[*terminal]string{}
	tap := func() {
		both("a tap", func(c *terminal, number string) told {
			got := c.ask(c.tapOf(number))
			taps[c] = tapIn(t, got.text)
			return got
		})
	}
	try := func(want, left string) {
		t.Helper()
		got := both("a wrong PIN", func(c *terminal, _ string) told { return c.try(taps[c], "000000") })
		if got.Code != want || !strings.Contains(got.text, left) {
			t.Errorf("a wrong PIN: %s, want %s with %s", got.text, want, left)
		}
	}
	tap()
	try("pin_invalid", `"tries_left":7`)
	try("pin_invalid", `"tries_left":6`)
	try("pin_invalid", `"tries_left":5,"paused_until":"`)
	try("pin_paused", `"paused_until":"`)
	d.clock.Advance(securitykey.FirstRest - time.Millisecond)
	try("pin_paused", `"paused_until":"`)
	d.clock.Advance(time.Millisecond)
	try("tap_not_good", "")
	tap()
	both("no PIN at all", func(c *terminal, _ string) told { return c.try(taps[c], "") })
	try("pin_invalid", `"tries_left":3`)
	try("pin_invalid", `"tries_left":2,"paused_until":"`)
	try("pin_paused", `"paused_until":"`)
	d.clock.Advance(securitykey.SecondRest)
	tap()
	try("pin_invalid", `"tries_left":1`)
	try("pin_locked", `"tries_left":0`)
	try("pin_locked", `"tries_left":0`)
	d.clock.Advance(48 * time.Hour)
	tap()
	try("pin_locked", `"tries_left":0`)
	both("a signature without a PIN", func(c *terminal, _ string) told {
		body := `{"tap":"` + taps[c] + `","options":{}}`
		return c.ask(shot{method: http.MethodPost, path: "/get-assertion", body: body, token: c.token})
	})
	both("a PIN's change", func(c *terminal, number string) told {
		s := c.tapShot()
		s.body = `{"card":{"type":"uid","number":"` + number + `","source":"reader"},"operation":"pin_change"}`
		got := c.ask(s)
		body := `{"tap":"` + tapIn(t, got.text) + `","old":"000000","new":"1"}`
		return c.ask(shot{method: http.MethodPost, path: "/pin/change", body: body, token: c.token})
	})
}

// TestAuthenticator_unknownCardsSpendABudget taps unknown cards until the client may not: then
// it may tap no known one either, or the answer would tell which they are.
func TestAuthenticator_unknownCardsSpendABudget(t *testing.T) {
	d := newDesk(t)
	c, other := d.terminal("Back desk"), d.terminal("Gate")
	seen := map[id.Activity]bool{}
	for n := range authenticate.MaxUnknown {
		c.tapped(cardNumber(0xEE, n))
		if n < authenticate.MaxUnknown-1 {
			c.tapped(deskCard)
		}
	}
	d.lines(seen)
	if a, b := c.ask(c.tapOf(cardNumber(0xEE, 99))), c.ask(c.tapOf(deskCard)); a.status != http.StatusTooManyRequests || a.Code != "too_many_tries" || !alike(a, b) {
		t.Errorf("once the budget is spent: an unknown card %d %s, a known one %d %s, want 429 for both", a.status, a.text, b.status, b.text)
	}
	// One line for both: it is the client's budget, and a line more would take its time.
	if got, want := d.lines(seen), (line{"credential.use", "too_many_tries", "", "", "shop.example", c.me}); !slices.Equal(got, []line{want}) {
		t.Errorf("the record says %+v, want %+v", got, want)
	}
	other.tapped(deskCard) // its budget is its own
	d.clock.Advance(authenticate.Window)
	c.tapped(deskCard)
	c.tapped(cardNumber(0xEE, 99))
}

// TestAuthenticator_wrongPINsSpendABudget tries a wrong PIN at many cards of which somebody has
// each: none is tried after the budget is spent.
func TestAuthenticator_wrongPINsSpendABudget(t *testing.T) {
	d := newDesk(t)
	c := d.terminal("Back desk")
	eve := d.person("eve@example.org")
	tap, known, unknown := "", c.tapped(deskCard), c.tapped(cardNumber(0xEE, 1))
	const tries = 3 // of one card, before it rests
	for n := range authenticate.MaxWrong {
		if n%tries == 0 {
			number := cardNumber(0xAA, n/tries)
			d.card(eve.ID, number, "771203")
			tap = c.tapped(number)
		}
		if got := c.try(tap, "000000"); got.Code != "pin_invalid" {
			t.Fatalf("wrong PIN %d: %s", n, got.text)
		}
	}
	a, b := c.try(known, deskPIN), c.try(unknown, deskPIN)
	if a.Code != "too_many_tries" || !alike(a, b) {
		t.Errorf("once the budget is spent: a right PIN %s, an unknown card %s, want too_many_tries for both", a.text, b.text)
	}
	d.clock.Advance(authenticate.Window)
	if got := c.try(c.tapped(deskCard), deskPIN); got.status != http.StatusOK {
		t.Errorf("a window later: %s", got.text)
	}
}

// stopwatch measures requests over a connection.
type stopwatch struct {
	*terminal
	url    string
	client *http.Client
}

// ask sends a request with a proof and returns what it was told, and how long that took.
func (w stopwatch) ask(s shot) (string, time.Duration) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), s.method, w.url+"/authenticator/v1"+s.path, strings.NewReader(s.body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Host = "localhost:8080"
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("DPoP", w.proof(s, nil))
	began := time.Now()
	res, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end
	text, err := io.ReadAll(res.Body)
	took := time.Since(began)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text), took
}

// auc returns how likely it is that one of b took longer than one of a: 0.5 if nothing can be
// told from it.
func auc(a, b []time.Duration) float64 {
	type one struct {
		took time.Duration
		isB  bool
	}
	all := make([]one, 0, len(a)+len(b))
	for _, d := range a {
		all = append(all, one{d, false})
	}
	for _, d := range b {
		all = append(all, one{d, true})
	}
	slices.SortFunc(all, func(a, b one) int { return cmp.Compare(a.took, b.took) })
	ranks := 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].took == all[i].took {
			j++
		}
		for k := i; k < j; k++ {
			if all[k].isB {
				ranks += float64(i+j+1) / 2
			}
		}
		i = j
	}
	n, m := float64(len(a)), float64(len(b))
	return (ranks - m*(m+1)/2) / (n * m)
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// pairsInBurst is how many pairs come at once, before the budget of unknown cards is full.
const pairsInBurst = authenticate.MaxUnknown - 1

// TestAuthenticator_unknownCardsTakeAsLong compares how long answers take: pairs of a card that
// somebody has and one that nobody has, one after the other in either order. KEYHOLD_PAIRS is
// how many there are.
func TestAuthenticator_unknownCardsTakeAsLong(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures time")
	}
	pairs, bound := 300, 0.10
	if text := os.Getenv("KEYHOLD_PAIRS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("KEYHOLD_PAIRS is %q, want a number", text)
		}
		pairs = n
	}
	if pairs >= 3000 {
		bound = 0.05
	}
	d := newDesk(t)
	server := httptest.NewServer(d.h)
	defer server.Close()
	w := stopwatch{d.terminal("Back desk"), server.URL, server.Client()}
	// A card is tried six times, once in a burst; then it would rest.
	cards := pairsInBurst * (pairs/pairsInBurst/securitykey.SecondRestAfter + 1)
	u := d.holder.ID
	for n := range cards {
		if n%15 == 0 {
			u = d.person("user" + strconv.Itoa(n) + "@example.org").ID
		}
		d.card(u, cardNumber(0xAA, n), "771203")
	}
	var times [2][2][]time.Duration // of taps and PINs, of known and unknown cards
	for n := range pairs + pairsInBurst {
		if n%pairsInBurst == 0 {
			d.clock.Advance(authenticate.Window)
			if text, _ := w.ask(w.tapOf(deskCard)); tapIn(t, text) == "" {
				t.Fatal(text)
			}
		}
		card := n%pairsInBurst + n/pairsInBurst/securitykey.SecondRestAfter*pairsInBurst
		order := []int{0, 1}
		if rand.IntN(2) == 1 {
			order = []int{1, 0}
		}
		var taps [2]string
		for _, i := range order {
			text, took := w.ask(w.tapOf(cardNumber([]int{0xAA, 0xEE}[i], card%cards)))
			taps[i] = tapIn(t, text)
			if n >= pairsInBurst { // the first ones warm up
				times[0][i] = append(times[0][i], took)
			}
		}
		for _, i := range order {
			text, took := w.ask(shot{method: http.MethodPost, path: "/taps/" + taps[i] + "/verify", body: `{"pin":"000000"}`, token: w.token})
			if !strings.Contains(text, `"code":"pin_invalid"`) {
				t.Fatalf("pair %d, card %d: %s", n, i, text)
			}
			if n >= pairsInBurst {
				times[1][i] = append(times[1][i], took)
			}
		}
	}
	for i, what := range []string{"taps", "wrong PINs"} {
		known, unknown := times[i][0], times[i][1]
		got := auc(known, unknown)
		t.Logf("%d pairs of %s: known %v, unknown %v (medians), AUC %.3f", len(known), what, median(known), median(unknown), got)
		if got < 0.5-bound || got > 0.5+bound {
			t.Errorf("%s: AUC %.3f, want within %.2f of 0.5", what, got, bound)
		}
	}
	// It can fail: half as long again.
	slower := slices.Clone(times[0][0])
	for i := range slower {
		slower[i] += slower[i] / 2
	}
	if got := auc(times[0][0], slower); got < 0.5+bound {
		t.Errorf("half as long again: AUC %.3f, want that it is told apart", got)
	}
}
