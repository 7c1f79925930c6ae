package main

import (
	"archive/zip"
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const extension = "../../extension"

func TestPack_isTheSameEachTime(t *testing.T) {
	one, err := pack(os.DirFS(extension), nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := pack(os.DirFS(extension), nil)
	if err != nil || !bytes.Equal(one.zip, two.zip) {
		t.Errorf("two packages differ (%v)", err)
	}
	if one.id != "amfmnihdfjmmcnnljdajagipnjfanbok" {
		t.Errorf("the id is %s: policies name another one", one.id)
	}
	z, err := zip.NewReader(bytes.NewReader(one.zip), int64(len(one.zip)))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range z.File {
		names[f.Name] = true
	}
	for _, n := range []string{"manifest.json", "managed.json", "worker.js", "prompt.html", "lib/state.js", "icons/on-128.png"} {
		if !names[n] {
			t.Errorf("%s is missing", n)
		}
	}
	if names["tsconfig.json"] {
		t.Error("what only its authors need is in the package")
	}
}

func TestRun_signsWithAKeyOfOnesOwn(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "key.pem")
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(extension, dir, path, ""); err == nil {
		t.Error("it signs without knowing where the package will lie")
	}
	const at = "https://intranet.example.com/keyhold-extension.crx"
	if err := run(extension, dir, path, at); err != nil {
		t.Fatal(err)
	}
	crx, err := os.ReadFile(filepath.Join(dir, "keyhold-extension.crx"))
	if err != nil {
		t.Fatal(err)
	}
	if string(crx[:4]) != "Cr24" || binary.LittleEndian.Uint32(crx[4:]) != 3 {
		t.Fatalf("the package begins with %x", crx[:8])
	}
	n := binary.LittleEndian.Uint32(crx[8:])
	header, body := crx[12:12+n], crx[12+n:]
	var sig, data []byte
	read(t, header, func(number uint64, value []byte) {
		switch number {
		case proofRSA:
			read(t, value, func(number uint64, value []byte) {
				if number == signature {
					sig = value
				}
			})
		case signedData:
			data = value
		}
	})
	signed := append([]byte("CRX3 SignedData\x00"), binary.LittleEndian.AppendUint32(nil, uint32(len(data)))...)
	digest := sha256.Sum256(append(append(signed, data...), body...))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], sig); err != nil {
		t.Error(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "keyhold-extension.xml"))
	if err != nil || !strings.Contains(string(manifest), idOf(public)) || !strings.Contains(string(manifest), at) {
		t.Errorf("the update manifest is %s (%v)", manifest, err)
	}
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.Open("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil || strings.Contains(string(text), "amfmni") {
		t.Fatal(err)
	}
	p, err := pack(os.DirFS(extension), key)
	if err != nil || p.id != idOf(public) {
		t.Errorf("the id is %s, want the key's (%v)", p.id, err)
	}
}

// read calls fn for each field of bytes of a message.
func read(t *testing.T, b []byte, fn func(number uint64, value []byte)) {
	t.Helper()
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		size, m := binary.Uvarint(b[n:])
		if n <= 0 || m <= 0 || tag&7 != 2 || uint64(len(b)) < uint64(n+m)+size {
			t.Fatal("the header is no message")
		}
		b = b[n+m:]
		fn(tag>>3, b[:size])
		b = b[size:]
	}
}
