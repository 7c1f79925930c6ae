package webauthn_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/webauthn"
)

// TestClientData_isThatOfTheVectors: W3C WebAuthn Level 3, section "Test Vectors". Some of
// them have more members behind ours, as a browser of the future might.
func TestClientData_isThatOfTheVectors(t *testing.T) {
	raw, err := os.ReadFile("../ctap/testdata/webauthn-l3-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Title                        string
		Registration, Authentication map[string]string
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	whole := 0
	for _, v := range vectors {
		for op, values := range map[webauthn.Operation]map[string]string{webauthn.Create: v.Registration, webauthn.Get: v.Authentication} {
			o := webauthn.Origin{Origin: "https://example.org", CrossOrigin: strings.Contains(v.Title, "Origin")}
			if strings.Contains(v.Title, "topOrigin") {
				o.TopOrigin = "https://example.com"
			}
			challenge, _ := hex.DecodeString(values["challenge"])
			want, _ := hex.DecodeString(values["clientDataJSON"])
			if i := bytes.Index(want, []byte(`,"extraData"`)); i >= 0 {
				want = append(want[:i], '}')
			} else {
				whole++
			}
			if got := webauthn.ClientData(op, challenge, o); !bytes.Equal(got, want) {
				t.Errorf("%s: ClientData(%s) = %s, want %s", v.Title, op, got, want)
			}
		}
	}
	if whole < 8 {
		t.Errorf("%d vectors are whole, want more", whole)
	}
}

func TestClientData_escapes(t *testing.T) {
	o := webauthn.Origin{Origin: "https://a\"\\\x01ü/\u2028"}
	want := `{"type":"webauthn.get","challenge":"_w","origin":"https://a\"\\\u0001ü/` + "\u2028" + `","crossOrigin":false}`
	if got := string(webauthn.ClientData(webauthn.Get, []byte{0xff}, o)); got != want {
		t.Errorf("ClientData() = %s, want %s", got, want)
	}
}
