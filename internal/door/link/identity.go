package link

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/door"
)

// Identity is what a controller got by its enrolment: which door it is for, and whom it
// trusts.
type Identity struct {
	Lock         id.Lock
	Name         string // of the lock at the time, for people
	Key          ed25519.PrivateKey
	Certificate  *x509.Certificate
	CA           *x509.Certificate
	SigningKeys  []ed25519.PublicKey
	Secret       secret.Bytes
	Epoch        uint64
	Link         string
	ServerName   string
	LeaseSeconds uint32
}

// Door returns the part of an engine's configuration that the identity knows.
func (i Identity) Door() door.Config {
	return door.Config{Lock: i.Lock, Secret: i.Secret, SigningKeys: i.SigningKeys, Key: i.Key, Epoch: i.Epoch}
}

// stored is an identity on disk. Only its owner may read it.
type stored struct {
	Lock         string   `json:"lock"`
	Name         string   `json:"name"`
	Key          []byte   `json:"key"` // the seed
	Certificate  []byte   `json:"certificate"`
	CA           []byte   `json:"ca"`
	SigningKeys  [][]byte `json:"signing_keys"`
	Secret       []byte   `json:"secret"`
	Epoch        uint64   `json:"epoch"`
	Link         string   `json:"link"`
	ServerName   string   `json:"server_name"`
	LeaseSeconds uint32   `json:"lease_seconds"`
}

// keep writes the identity, all of it or nothing.
func (f *Folder) keep(i Identity) error {
	s := stored{
		Lock: string(i.Lock), Name: i.Name, Key: i.Key.Seed(), Certificate: i.Certificate.Raw, CA: i.CA.Raw, Secret: i.Secret.Expose(),
		Epoch: i.Epoch, Link: i.Link, ServerName: i.ServerName, LeaseSeconds: i.LeaseSeconds,
	}
	for _, key := range i.SigningKeys {
		s.SigningKeys = append(s.SigningKeys, key)
	}
	data, err := json.MarshalIndent(s, "", "  ") //nolint:gosec // the file is for its owner only, and what the secret is kept in
	if err != nil {
		return fmt.Errorf("writing the identity: %w", err)
	}
	if err := replace(filepath.Join(f.path, identityFile), append(data, '\n')); err != nil {
		return fmt.Errorf("writing the identity: %w", err)
	}
	return nil
}

// Identity reads the folder's identity. The error is ErrNotEnrolled if there is none.
func (f *Folder) Identity() (Identity, error) { return readIdentity(f.path) }

// Inspect returns what a controller's folder says, without changing or locking it. running
// says whether a process has it now.
func Inspect(path string) (i Identity, s door.Status, running bool, err error) {
	if i, err = readIdentity(path); err != nil {
		return i, s, false, err
	}
	f, err := OpenFolder(path)
	switch {
	case errors.Is(err, ErrFolderLocked):
		running = true
	case err != nil:
		return i, s, false, err
	default:
		defer func() { _ = f.Close() }() // nothing was written
	}
	c := i.Door()
	c.Disk, c.Clock = &Folder{path: path}, NewClock()
	s, err = door.Peek(c)
	return i, s, running, err
}

func readIdentity(path string) (Identity, error) {
	data, err := os.ReadFile(filepath.Join(path, identityFile)) //nolint:gosec // the operator names the folder
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, fmt.Errorf("%w: %s", ErrNotEnrolled, path)
	}
	if err != nil {
		return Identity{}, err
	}
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return Identity{}, fmt.Errorf("%s is damaged: %w", identityFile, err)
	}
	i, err := s.identity()
	if err != nil {
		return Identity{}, fmt.Errorf("%s is damaged: %w", identityFile, err)
	}
	return i, nil
}

func (s stored) identity() (Identity, error) {
	lock, ok := id.Parse[id.KindLock](s.Lock)
	if !ok || len(s.Key) != ed25519.SeedSize || len(s.SigningKeys) == 0 || len(s.Secret) != grant.SecretSize {
		return Identity{}, errors.New("a part of it is missing")
	}
	i := Identity{
		Lock: lock, Name: s.Name, Key: ed25519.NewKeyFromSeed(s.Key), Secret: secret.New(s.Secret),
		Epoch: s.Epoch, Link: s.Link, ServerName: s.ServerName, LeaseSeconds: s.LeaseSeconds,
	}
	for _, key := range s.SigningKeys {
		i.SigningKeys = append(i.SigningKeys, ed25519.PublicKey(key))
	}
	var err error
	if i.CA, err = x509.ParseCertificate(s.CA); err != nil {
		return Identity{}, err
	}
	i.Certificate, err = checkCertificate(s.Certificate, i)
	return i, err
}

// request returns a request for a certificate (PKCS #10, DER) for the lock's controller.
func request(lock id.Lock, key ed25519.PrivateKey) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: string(lock)}}, key)
}

// begin returns the first moment at which both a certificate and its CA are good: one that
// is dated back may begin before a CA that is new.
func begin(c, ca *x509.Certificate) time.Time {
	if ca.NotBefore.After(c.NotBefore) {
		return ca.NotBefore
	}
	return c.NotBefore
}

// checkCertificate reads a certificate and makes sure that it is for this door's key and
// name, and that its CA signed it.
func checkCertificate(der []byte, i Identity) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	public, ok := c.PublicKey.(ed25519.PublicKey)
	switch {
	case !ok || !bytes.Equal(public, i.Key[ed25519.SeedSize:]):
		return nil, errors.New("it is for another key")
	case c.Subject.CommonName != string(i.Lock):
		return nil, fmt.Errorf("it is for %q", c.Subject.CommonName)
	}
	roots := x509.NewCertPool()
	roots.AddCert(i.CA)
	// Its dates are the server's to judge: here the clock may be wrong.
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: begin(c, i.CA), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return nil, err
	}
	return c, nil
}
