package authenticator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/fault"
)

// bodies has one good body for each call.
func bodies() []string {
	return []string{
		`{"name":"Front desk","kind":"agent","jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},"enrolment_code":"Q2KM-TBRR-MWZ5-XYLE"}`,
		`{"card":{"type":"uid","number":"04A1B2C3D4E580","source":"reader"},"operation":"get","origin":"https://shop.example","top_origin":"","cross_origin":false,"rp_id":"shop.example","options_hash":"AA"}`,
		`{"tap":"tch_01","uv_token":"uv_AA","options":{"rpId":"shop.example","challenge":"AA"},"credential_id":"AAEC"}`,
		`{"pin":"904417"}`,
		`{"tap":"tch_01","old":"904417","new":"730582"}`,
	}
}

// The bodies that verify and changePIN read have no names of their own.
type (
	pinBody struct {
		PIN hidden `json:"pin"`
	}
	changeBody struct {
		Tap string `json:"tap"`
		Old hidden `json:"old"`
		New hidden `json:"new"`
	}
)

// readers are what read is used for.
func readers() []func(t *testing.T, q *request) error {
	return []func(t *testing.T, q *request) error{
		readAs[enrolment], readAs[tapBody], readAs[signing], readAs[pinBody], readAs[changeBody],
	}
}

// readAs reads a body, and fails unless it is refused as JSON or the one object of known
// members. It returns the refusal.
func readAs[T any](t *testing.T, q *request) error {
	t.Helper()
	in, err := read[T](q)
	if err != nil {
		if f, is := fault.As(err); !is || f.Kind != fault.KindInvalid || f.Code != "invalid_json" {
			t.Errorf("read(%q) = %v, want invalid_json", q.body, err)
		}
		return err
	}
	d := json.NewDecoder(bytes.NewReader(q.body))
	var value any
	if err := d.Decode(&value); err != nil {
		t.Fatalf("%q is read and no JSON: %v", q.body, err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("%q is read and more than one value", q.body)
	}
	onlyKnown(t, q.body, value, reflect.TypeFor[T]())
	if body, is := any(in).(signing); is {
		if out, err := body.parse(); err == nil && (out.Account == nil) != (body.Account == "") {
			t.Errorf("%q names an account, or none, and is read as the other", q.body)
		}
	}
	return nil
}

// onlyKnown fails if a value has a member that its type has not.
func onlyKnown(t *testing.T, body []byte, value any, of reflect.Type) {
	t.Helper()
	members, is := value.(map[string]any)
	if !is || of.Kind() != reflect.Struct || of == reflect.TypeFor[hidden]() {
		return
	}
	for name, member := range members {
		field, known := of.FieldByNameFunc(func(field string) bool {
			f, _ := of.FieldByName(field)
			return strings.EqualFold(f.Tag.Get("json"), name)
		})
		if !known {
			t.Errorf("%q is read though %s has no %q", body, of, name)
			continue
		}
		onlyKnown(t, body, member, field.Type)
	}
}

func FuzzRead(f *testing.F) {
	for i, body := range bodies() {
		f.Add(uint8(i), []byte(body))
		f.Add(uint8(i), []byte(strings.Replace(body, "{", `{"more":1,`, 1)))
		f.Add(uint8(i), []byte(body+body))
	}
	for i := range readers() {
		for _, body := range []string{"", "null", "[]", `""`, "{", `{"pin":1}`, `{"card":{"more":1}}`, `{"tap":"` + "\xff" + `"}`} {
			f.Add(uint8(i), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		all := readers()
		_ = all[int(which)%len(all)](t, &request{body: body}) // it has judged the refusal
	})
}

func TestRead_refusesWhatItDoesNotKnow(t *testing.T) {
	for i, body := range bodies() {
		in := func(body string) error { return readers()[i](t, &request{body: []byte(body)}) }
		if err := in(body); err != nil {
			t.Errorf("read(%s) = %v, want nil", body, err)
		}
		for name, bad := range map[string]string{
			"a member that nobody knows": strings.Replace(body, "{", `{"more":1,`, 1),
			"two values":                 body + body,
			"a broken one":               body[:len(body)-1],
		} {
			if f, is := fault.As(in(bad)); !is || f.Code != "invalid_json" {
				t.Errorf("%s: read(%s) is not refused", name, bad)
			}
		}
	}
	if _, err := read[tapBody](&request{body: []byte(`{"card":{"more":1}}`)}); err == nil {
		t.Error("a member within a member is read that nobody knows")
	}
}
