package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func pkcs8(t *testing.T, curve elliptic.Curve) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestLoad_refusesWhatEnrolDidNotWrite(t *testing.T) {
	whole := stateFile{Server: "https://keys.example.com", Client: "cli_1", Name: "x", Token: "kh_client_canary", Key: pkcs8(t, elliptic.P256())}
	write := func(change func(f *stateFile)) string {
		f := whole
		change(&f)
		data, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return file(t, string(data))
	}
	if _, err := (where{write(func(*stateFile) {})}).load(); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"no JSON":       file(t, `{"token":"kh_client_canary`),
		"nothing":       file(t, ""),
		"another curve": write(func(f *stateFile) { f.Key = pkcs8(t, elliptic.P384()) }),
		"no key":        write(func(f *stateFile) { f.Key = nil }),
		"no token":      write(func(f *stateFile) { f.Token = "" }),
		"no client":     write(func(f *stateFile) { f.Client = "" }),
		"plain HTTP":    write(func(f *stateFile) { f.Server = "http://keys.example.com" }),
	} {
		_, err := where{path}.load()
		if err == nil || !strings.Contains(err.Error(), "damaged") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: load() = %v, want that it is damaged, without the token", name, err)
		}
	}
}

func TestLoad_refusesWhatOthersMayRead(t *testing.T) {
	s := start(t)
	path := s.enrolled()
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := (where{path}).load(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("load() of a file with %v = %v, want what to do", mode, err)
		}
	}
}
