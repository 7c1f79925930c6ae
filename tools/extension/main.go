// Command extension packs the browser extension: a zip for a store or for "Load unpacked" and,
// with a key of the organisation's own, a signed package (CRX3) with its update manifest, to
// be installed by policy from a web server of theirs.
package main

import (
	"archive/zip"
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	from := flag.String("from", "extension", "the folder of the extension")
	out := flag.String("out", "bin", "the folder to write to")
	key := flag.String("key", "", "a PEM file with your RSA key: sign the package, and make its id that key's")
	at := flag.String("url", "", "where your server will have the package, like https://intranet.example.com/keyhold-extension.crx; needed with -key")
	flag.Parse()
	if err := run(*from, *out, *key, *at); err != nil {
		fmt.Fprintln(os.Stderr, "extension:", err)
		os.Exit(1)
	}
}

func run(from, out, keyFile, at string) error {
	var key *rsa.PrivateKey
	var err error
	if keyFile != "" {
		if u, err := url.Parse(at); err != nil || u.Scheme == "" || u.Host == "" {
			return errors.New("say with -url (EXTENSION_URL) where your server will have the package, like https://intranet.example.com/keyhold-extension.crx")
		}
		if key, err = readKey(keyFile); err != nil {
			return err
		}
	}
	p, err := pack(os.DirFS(from), key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	files := map[string][]byte{"keyhold-extension.zip": p.zip}
	if key != nil {
		if files["keyhold-extension.crx"], err = sign(p, key); err != nil {
			return err
		}
		if files["keyhold-extension.xml"], err = updateManifest(p, at); err != nil {
			return err
		}
	}
	fmt.Printf("id       %s\nversion  %s\n", p.id, p.version)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(out, name)
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
		fmt.Printf("wrote    %s (%d bytes)\n", path, len(files[name]))
	}
	return nil
}

// packed is the extension in one file.
type packed struct {
	zip         []byte
	id, version string
	public      []byte // DER SubjectPublicKeyInfo
}

// pack zips the folder, the same bytes each time. With a key the manifest names its public
// half, and with it another id.
func pack(folder fs.FS, key *rsa.PrivateKey) (packed, error) {
	var p packed
	raw, err := fs.ReadFile(folder, "manifest.json")
	if err != nil {
		return p, err
	}
	var m struct{ Key, Version string }
	if err := json.Unmarshal(raw, &m); err != nil {
		return p, fmt.Errorf("manifest.json: %w", err)
	}
	if p.public, err = base64.StdEncoding.DecodeString(m.Key); err != nil || len(p.public) == 0 || m.Version == "" {
		return p, errors.New("manifest.json has no key in base64, or no version")
	}
	if key != nil {
		if p.public, err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
			return p, err
		}
		raw = bytes.Replace(raw, []byte(m.Key), []byte(base64.StdEncoding.EncodeToString(p.public)), 1)
	}
	p.version, p.id = m.Version, idOf(p.public)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	err = fs.WalkDir(folder, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !belongs(path) {
			return err
		}
		content := raw
		if path != "manifest.json" {
			if content, err = fs.ReadFile(folder, path); err != nil {
				return err
			}
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Deflate, Modified: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err = errors.Join(err, z.Close()); err != nil {
		return p, err
	}
	p.zip = b.Bytes()
	return p, nil
}

// belongs says whether a file of the folder is part of what is installed.
func belongs(path string) bool {
	switch filepath.Ext(path) {
	case ".js", ".html", ".css", ".png":
		return true
	}
	return path == "manifest.json" || path == "managed.json"
}

// idOf is how Chromium calls an extension: the first 16 bytes of its key's SHA-256, a letter
// from a to p for each half byte.
func idOf(public []byte) string {
	sum := sha256.Sum256(public)
	var id strings.Builder
	for _, b := range sum[:16] {
		id.WriteByte('a' + b>>4)
		id.WriteByte('a' + b&15)
	}
	return id.String()
}

func readKey(path string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM: make a key by openssl genrsa -out key.pem 2048", path)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s holds no RSA key", path)
	}
	return key, nil
}

// The fields of a CRX3 header (crx3.proto of Chromium).
const (
	proofRSA   = 2
	signedData = 10000
	public     = 1
	signature  = 2
	crxID      = 1
)

// sign returns the package as CRX3.
func sign(p packed, key *rsa.PrivateKey) ([]byte, error) {
	sum := sha256.Sum256(p.public)
	data := field(nil, crxID, sum[:16])
	signed := append([]byte("CRX3 SignedData\x00"), binary.LittleEndian.AppendUint32(nil, uint32(len(data)))...)
	signed = append(append(signed, data...), p.zip...)
	digest := sha256.Sum256(signed)
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	header := field(nil, proofRSA, field(field(nil, public, p.public), signature, sig))
	header = field(header, signedData, data)
	out := append([]byte("Cr24"), binary.LittleEndian.AppendUint32(nil, 3)...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(header)))
	return append(append(out, header...), p.zip...), nil
}

// field appends a field of bytes to a message of Protocol Buffers.
func field(b []byte, number uint64, value []byte) []byte {
	const lengthDelimited = 2
	b = binary.AppendUvarint(b, number<<3|lengthDelimited)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// updateManifest is what a policy's update address answers.
func updateManifest(p packed, at string) ([]byte, error) {
	type check struct {
		Codebase string `xml:"codebase,attr"`
		Version  string `xml:"version,attr"`
	}
	type app struct {
		ID    string `xml:"appid,attr"`
		Check check  `xml:"updatecheck"`
	}
	out, err := xml.MarshalIndent(struct {
		XMLName  xml.Name `xml:"http://www.google.com/update2/response gupdate"`
		Protocol string   `xml:"protocol,attr"`
		App      app      `xml:"app"`
	}{Protocol: "2.0", App: app{p.id, check{at, p.version}}}, "", "  ")
	return append([]byte(xml.Header), append(out, '\n')...), err
}
