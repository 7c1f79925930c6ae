// Package keeper holds the outermost keys in a file beside the data: the one
// that wraps the workspaces' sealing keys, and the peppers of stored hashes. It
// decides who may read that file; it refuses to know what is sealed.
package keeper

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/keyhold/keyhold/internal/base/secret"
)

const (
	version   = 1
	pepperLen = 32
	// maxSize bounds what is read: a file with a hundred keys is far smaller.
	maxSize = 1 << 20
)

// File is an open key file: a seal.Keeper that goes over no network. It is safe
// for use by several goroutines. The zero value is not usable: use Open.
type File struct {
	path    string
	created bool
	signer  *Signer
	mu      sync.Mutex // held while the file is changed
	now     atomic.Pointer[content]
}

// content is what a key file holds.
type content struct {
	doc     document
	box     tink.AEAD
	pepper  secret.Bytes // the current one
	peppers map[int]secret.Bytes
	codes   secret.Bytes
	signing signing
}

// document is the file's content in JSON.
type document struct {
	Version int             `json:"version"`
	Sealing json.RawMessage `json:"sealing"` // a tink keyset
	Peppers []pepper        `json:"peppers"` // the first is the current one
	// Checkpoints are the public keys that were derived from peppers which are gone,
	// Codes what CodeKey derived from the first of them: base64url without padding.
	Checkpoints []string `json:"checkpoints,omitempty"`
	Codes       string   `json:"codes,omitempty"`
}

type pepper struct {
	ID    int    `json:"id"`
	Value string `json:"value"` // base64url without padding
}

// Open reads the key file at path, or makes one with new keys if there is none.
// The folder must be there. It refuses a file that group or others may read or
// write, and one that is not whole, with an error that names the path. Losing
// the file loses all that is sealed under it.
func Open(path string) (*File, error) {
	f, err := load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	created, err := create(path)
	if err != nil {
		return nil, fmt.Errorf("making the key file %s: %w", path, err)
	}
	// What counts is what is on the disk: another process may have been first.
	if f, err = load(path); err != nil {
		return nil, err
	}
	f.created = created
	return f, nil
}

func load(path string) (*File, error) {
	c, err := read(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, signer: &Signer{}}
	f.use(c)
	return f, nil
}

// use makes the content what the file's methods answer from. The signer goes on with
// the key that it began with until the file is opened anew, and knows all others: who
// asks it for its public key and then for a signature gets two that fit.
func (f *File) use(c *content) {
	f.now.Store(c)
	s := c.signing
	if before := f.signer.now.Load(); before != nil {
		s.current = before.current
	}
	f.signer.now.Store(&s)
}

// Created says whether Open made the file: then nothing that was sealed before
// can be opened with it.
func (f *File) Created() bool { return f.created }

// Pepper returns the current key of stored hashes.
func (f *File) Pepper() secret.Bytes { return f.now.Load().pepper }

// Peppers returns all keys of stored hashes by their number, and the number of the
// current one.
func (f *File) Peppers() (current int, known map[int]secret.Bytes) {
	c := f.now.Load()
	return c.current(), maps.Clone(c.peppers)
}

// Prepared returns the number of the pepper that Prepare added and Rotate has not
// made the current one yet, 0 for none.
func (f *File) Prepared() int { return f.now.Load().doc.prepared() }

// CodeKey returns the key of the codes that are sent by e-mail. It stays the same
// when peppers come and go: a code that was sent is good until it ends.
func (f *File) CodeKey() secret.Bytes { return f.now.Load().codes }

func (c *content) current() int { return c.doc.Peppers[0].ID }

// Signer returns what signs with keys derived from the file.
func (f *File) Signer() *Signer { return f.signer }

// Wrap encrypts plain and binds it to associated.
func (f *File) Wrap(_ context.Context, plain secret.Bytes, associated []byte) ([]byte, error) {
	return f.now.Load().box.Encrypt(plain.Expose(), associated)
}

// Unwrap returns what Wrap was given. It fails if the bytes were changed, were
// bound to something else or come from another key file.
func (f *File) Unwrap(_ context.Context, wrapped, associated []byte) (secret.Bytes, error) {
	plain, err := f.now.Load().box.Decrypt(wrapped, associated)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("the key file does not open it: %w", err)
	}
	return secret.New(plain), nil
}

// read returns the file's keys. Its error is fs.ErrNotExist if there is no file.
func read(path string) (*content, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the path
	if err != nil {
		return nil, fmt.Errorf("opening the key file: %w", err) // names the path
	}
	defer func() { _ = file.Close() }() // only read from
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the key file: %w", err) // names the path
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("the key file %s is not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("the key file %s is open to others than its owner (mode %#o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err) // names the path
	}
	c, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("the key file %s is not whole: %w", path, err)
	}
	return c, nil
}

// parse reads a key file's content. Its errors hold no part of it.
func parse(raw []byte) (*content, error) {
	if len(raw) > maxSize {
		return nil, fmt.Errorf("it is longer than %d bytes", maxSize)
	}
	var doc document
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return nil, errors.New("it is not the JSON of a key file")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the keys")
	}
	if doc.Version != version {
		return nil, fmt.Errorf("it has version %d, and this program knows version %d", doc.Version, version)
	}
	box, err := parseSealing(doc.Sealing)
	if err != nil {
		return nil, err
	}
	peppers, err := parsePeppers(doc.Peppers)
	if err != nil {
		return nil, err
	}
	former, err := parseKeys(doc.Checkpoints)
	if err != nil {
		return nil, err
	}
	sign, err := newSigning(peppers, former)
	if err != nil {
		return nil, errors.New("no key can be derived from its peppers")
	}
	codes, err := parseCodes(doc, peppers)
	if err != nil {
		return nil, err
	}
	c := &content{doc: doc, box: box, pepper: peppers[0], peppers: map[int]secret.Bytes{}, codes: codes, signing: sign}
	for i, p := range doc.Peppers {
		c.peppers[p.ID] = peppers[i]
	}
	return c, nil
}

// parseKeys returns the public keys of peppers that are gone.
func parseKeys(texts []string) ([]ed25519.PublicKey, error) {
	var out []ed25519.PublicKey
	for _, text := range texts {
		key, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, errors.New("one of its checkpoints' public keys is none")
		}
		out = append(out, key)
	}
	return out, nil
}

// parseCodes returns the key of codes: of the oldest pepper, or as it was kept when
// that went.
func parseCodes(doc document, peppers []secret.Bytes) (secret.Bytes, error) {
	if doc.Codes != "" {
		key, err := base64.RawURLEncoding.Strict().DecodeString(doc.Codes)
		if err != nil || len(key) != sha256.Size {
			return secret.Bytes{}, errors.New("its key of codes is none")
		}
		return secret.New(key), nil
	}
	oldest := 0
	for i, p := range doc.Peppers {
		if p.ID < doc.Peppers[oldest].ID {
			oldest = i
		}
	}
	mac := hmac.New(sha256.New, peppers[oldest].Expose())
	mac.Write([]byte("keyhold/email-code/v1"))
	return secret.New(mac.Sum(nil)), nil
}

func parseSealing(raw json.RawMessage) (tink.AEAD, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, errors.New("its sealing keys cannot be read")
	}
	box, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("its sealing keys are not for sealing")
	}
	return box, nil
}

// parsePeppers returns all, the current one first.
func parsePeppers(peppers []pepper) ([]secret.Bytes, error) {
	if len(peppers) == 0 {
		return nil, errors.New("it has no pepper")
	}
	var all []secret.Bytes
	seen := map[int]bool{}
	for _, p := range peppers {
		value, err := base64.RawURLEncoding.Strict().DecodeString(p.Value)
		if err != nil || len(value) != pepperLen {
			return nil, fmt.Errorf("its pepper %d is not base64url of %d bytes", p.ID, pepperLen)
		}
		if p.ID < 1 || seen[p.ID] {
			return nil, fmt.Errorf("its pepper id %d is below 1 or stands twice", p.ID)
		}
		seen[p.ID] = true
		all = append(all, secret.New(value))
	}
	return all, nil
}

// create writes a file with new keys so that it is there whole or not at all,
// even after a power cut. It returns false if another process made one first.
func create(path string) (bool, error) {
	raw, err := generate()
	if err != nil {
		return false, err
	}
	temp, err := writeBeside(path, raw)
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(temp) }() // gone already after a rename
	// A link, unlike a rename, leaves a file alone that somebody else made in the
	// meantime. Some file systems have no links.
	switch err := os.Link(temp, path); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		if err := os.Rename(temp, path); err != nil {
			return false, err
		}
	}
	return true, syncDir(filepath.Dir(path))
}

// writeBeside writes a file beside path that is for its owner only, and returns its
// name once it is on the disk.
func writeBeside(path string, raw []byte) (string, error) {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = temp.Write(raw)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return "", errors.Join(err, os.Remove(temp.Name()))
	}
	return temp.Name(), nil
}

func generate() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	var sealing bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&sealing)); err != nil {
		return nil, err
	}
	doc := document{
		Version: version, Sealing: sealing.Bytes(),
		Peppers: []pepper{{ID: 1, Value: base64.RawURLEncoding.EncodeToString(newPepper())}},
	}
	return doc.marshal()
}

func (d document) marshal() ([]byte, error) {
	raw, err := json.MarshalIndent(d, "", "  ")
	return append(raw, '\n'), err
}

func newPepper() []byte {
	b := make([]byte, pepperLen)
	_, _ = rand.Read(b) // crypto/rand.Read never returns an error
	return b
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names the path
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
