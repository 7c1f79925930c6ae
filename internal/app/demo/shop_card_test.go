package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// workstation is a program at the demo, as the extension is one.
type workstation struct {
	*trial
	program *agent.Client
}

// newWorkstation enrols a program with the printed key and has it approved.
func newWorkstation(t *testing.T, d *trial) *workstation {
	t.Helper()
	server, err := url.Parse(d.ready.URL)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &workstation{d, agent.New(agent.Config{Server: server, Token: secret.FromString(d.ready.ClientToken), Key: key})}
	e, err := w.program.Enrol(t.Context(), agent.Enrolment{Name: "Front desk 1", Kind: agent.KindAgent})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := d.ask(http.MethodPost, d.ready.URL, "/api/v1/clients/"+e.ID+"/approve", "", nil); status != http.StatusOK {
		t.Fatalf("approving: %d %s", status, text)
	}
	return w
}

// card answers the shop's options with a card and its PIN, or says the code of the refusal.
func (w *workstation) card(operation, number, pin string, options json.RawMessage) (answer, code string) {
	w.t.Helper()
	answer, err := func() (string, error) {
		tapped, err := w.program.Tap(w.t.Context(), agent.Tap{
			CardNumber: secret.FromString(number), Source: agent.Typed, Operation: operation, Origin: strings.TrimSuffix(w.ready.ShopURL, "/"), RPID: shopHost, Options: options,
		})
		if err != nil {
			return "", err
		}
		uv, err := w.program.Verify(w.t.Context(), tapped.Tap, secret.FromString(pin))
		if err != nil {
			return "", err
		}
		if operation == agent.Create {
			out, err := w.program.MakeCredential(w.t.Context(), tapped.Tap, uv, options)
			return string(out), err
		}
		out, err := w.program.GetAssertion(w.t.Context(), tapped.Tap, uv, options, "")
		return string(out.Response), err
	}()
	if refused, ok := errors.AsType[*agent.Error](err); ok {
		return "", refused.Code
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return answer, ""
}

// TestRun_cardsAtTheShop is what the demo's printed words promise: a card registers at a
// website, another of the same user signs in there, and one act ends both, and the door.
func TestRun_cardsAtTheShop(t *testing.T) {
	d := runDemo(t, "")
	defer d.end()
	w := newWorkstation(t, d)
	address, r := d.ready.ShopURL, d.ready
	b := &shopper{t: t, send: func(r *http.Request) *http.Response {
		r.Host = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/") // resolvers need not know the name
		u, err := url.Parse(d.ready.URL)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Host = u.Host
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}}
	answer, code := w.card(agent.Create, r.CardNumber, r.CardPIN, b.begin("/register/begin", "amara"))
	if out := b.ask(http.MethodPost, "/key/finish", answer); code != "" || out.Name != "amara" || !out.How.UserVerified {
		t.Fatalf("registering with a card: %q, %d %s %+v", code, out.status, out.Error, out.shopState)
	}
	if _, code := w.card(agent.Create, r.SecondCardNumber, r.SecondCardPIN, b.begin("/add-key/begin", "")); code != "invalid_state_error" {
		t.Errorf("registering again with the other card: %q, want invalid_state_error", code)
	}
	b.signOut()
	for _, c := range []struct{ number, pin string }{{r.CardNumber, r.CardPIN}, {r.SecondCardNumber, r.SecondCardPIN}} {
		answer, code := w.card(agent.Get, c.number, c.pin, b.begin("/sign-in/begin", ""))
		if out := b.ask(http.MethodPost, "/sign-in/finish", answer); code != "" || out.Name != "amara" {
			t.Errorf("signing in with the card %s: %q, %d %s", c.number, code, out.status, out.Error)
		}
		b.signOut()
	}
	var said struct {
		Opened bool
		Reason string
	}
	soon(t, "the door opens", func() bool {
		d.ask(http.MethodPost, r.DoorURL, "/d/1/enter", `{"pin":"`+r.DoorPIN+`"}`, &said)
		return said.Opened
	})
	if status, text := d.ask(http.MethodPost, r.URL, "/api/v1/users/"+r.CardUserID+"/suspend", "{}", nil); status != http.StatusOK {
		t.Fatalf("suspending %s: %d %s", r.CardUser, status, text)
	}
	for _, c := range []struct{ number, pin string }{{r.CardNumber, r.CardPIN}, {r.SecondCardNumber, r.SecondCardPIN}} {
		if _, code := w.card(agent.Get, c.number, c.pin, b.begin("/sign-in/begin", "")); code != "key_suspended" {
			t.Errorf("the card %s of who is suspended: %q, want key_suspended", c.number, code)
		}
	}
	soon(t, "the door refuses", func() bool {
		d.ask(http.MethodPost, r.DoorURL, "/d/1/enter", `{"pin":"`+r.DoorPIN+`"}`, &said)
		return !said.Opened
	})
}

// TestRun_keptCards goes on with a folder in which the cards are, and are not any more.
func TestRun_keptCards(t *testing.T) {
	keep := t.TempDir()
	d := runDemo(t, keep)
	first := d.ready
	d.end()
	d = runDemo(t, keep)
	again := d.ready
	if again.CardUser == "" || again.CardUserID != first.CardUserID || again.CardNumber != first.CardNumber || again.SecondCardNumber != first.SecondCardNumber || again.ClientToken == first.ClientToken {
		t.Errorf("the second time it is %+v, want the cards of the first and another token", again)
	}
	if status, text := d.ask(http.MethodDelete, again.URL, "/api/v1/users/"+again.CardUserID, "", nil); status != http.StatusNoContent {
		t.Fatalf("deleting %s: %d %s", again.CardUser, status, text)
	}
	d.end()
	d = runDemo(t, keep)
	if r := d.ready; r.CardUser+r.CardUserID+r.CardNumber+r.CardPIN+r.SecondCardNumber+r.SecondCardPIN != "" || r.ClientToken == "" {
		t.Errorf("without the user it is %+v, want no cards", r)
	}
	d.end()
}
