package smartlock

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
)

// serverNames is the domain of the link's server names. It is in no DNS.
const serverNames = ".locks.keyhold.internal"

// ServerName returns the name that the link's certificate of the workspace says, and by
// which a controller says whose link it wants.
func ServerName(w id.Workspace) string {
	return strings.ReplaceAll(string(w), "_", "-") + serverNames
}

// WorkspaceOfServerName is the inverse of ServerName; false for any other name.
func WorkspaceOfServerName(name string) (id.Workspace, bool) {
	first, found := strings.CutSuffix(name, serverNames)
	if !found {
		return "", false
	}
	return id.Parse[id.KindWorkspace](strings.Replace(first, "-", "_", 1))
}

// caYears is how long a workspace's CA is good.
const caYears = 50

// NewAuthority makes a workspace's authority from the seeds of its lock root, its CA, and
// the current and the next signing key. It is the same each time.
func NewAuthority(w id.Workspace, seeds [4][]byte) (Authority, error) {
	raw := w.Bytes()
	if raw == nil {
		return Authority{}, fmt.Errorf("%q is no workspace's id", w)
	}
	var keys [4]ed25519.PrivateKey
	for i, seed := range seeds {
		if len(seed) != ed25519.SeedSize {
			return Authority{}, fmt.Errorf("a seed of %d bytes, and %d are needed", len(seed), ed25519.SeedSize)
		}
		keys[i] = ed25519.NewKeyFromSeed(seed)
	}
	made := time.UnixMilli(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, raw[:6]...)))).UTC().Truncate(time.Second)
	public := publicOf(keys[1])
	name := sha256.Sum256(public)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Keyhold locks of " + string(w)}, SubjectKeyId: name[:20],
		NotBefore: made, NotAfter: made.AddDate(caYears, 0, 0), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, keys[1])
	if err != nil {
		return Authority{}, fmt.Errorf("making the CA's certificate: %w", err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return Authority{}, fmt.Errorf("reading the CA's certificate: %w", err)
	}
	return Authority{Workspace: w, Root: keys[0], CAKey: keys[1], CA: ca, Signing: keys[2], NextSigning: keys[3]}, nil
}

// publicOf returns the public half of a key.
func publicOf(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(bytes.Clone(key[ed25519.SeedSize:]))
}

// ServerCertificate returns a new certificate of the link, with a new key. It is good as
// long as the CA: a controller whose clock is wrong comes to hear the time all the same.
func (a Authority) ServerCertificate() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the link's key: %w", err)
	}
	name := ServerName(a.Workspace)
	der, err := a.certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: a.CA.NotBefore, NotAfter: a.CA.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, newSerial(), public)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}

// clockSlack is how much later a controller's certificate may begin by another clock.
const clockSlack = time.Hour

// controllerCertificate certifies the key of a lock's controller. It is never good before
// the CA is: controllers ask at its beginning whether it is whole.
func (a Authority) controllerCertificate(l id.Lock, serial *big.Int, public ed25519.PublicKey, now time.Time) (der []byte, ends time.Time, err error) {
	ends = now.Add(CertificateLife)
	begins := now.Add(-clockSlack)
	if begins.Before(a.CA.NotBefore) {
		begins = a.CA.NotBefore
	}
	der, err = a.certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: string(l)}, NotBefore: begins, NotAfter: ends, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, serial, public)
	return der, ends, err
}

// certify signs a certificate with the CA's key.
func (a Authority) certify(template *x509.Certificate, serial *big.Int, public ed25519.PublicKey) ([]byte, error) {
	template.SerialNumber, template.KeyUsage, template.BasicConstraintsValid = serial, x509.KeyUsageDigitalSignature, true
	der, err := x509.CreateCertificate(rand.Reader, template, a.CA, public, a.CAKey)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return der, nil
}

// newSerial returns a random number of 128 bits that is not zero.
func newSerial() *big.Int {
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // crypto/rand.Read never returns an error
	raw[0] |= 0x40
	return new(big.Int).SetBytes(raw)
}

// serialText is a certificate's number as it is kept.
func serialText(serial *big.Int) string { return serial.Text(16) }

// CertificateOf returns whose controller a certificate is for, and its number as Verify
// takes it. Who asks has verified the certificate.
func CertificateOf(c *x509.Certificate) (l id.Lock, serial string, ok bool) {
	l, ok = id.Parse[id.KindLock](c.Subject.CommonName)
	return l, serialText(c.SerialNumber), ok
}

// maxCSR bounds what is read as a request for a certificate, in bytes.
const maxCSR = 8 << 10

// publicKeyOf returns the key of a request for a certificate (PKCS #10, in PEM or DER),
// which is Ed25519 and signs the request itself. Nothing else of the request is used.
func publicKeyOf(csr []byte) (ed25519.PublicKey, *fault.Error) {
	wrong := fault.Invalid("invalid_csr", "This is no certificate request that is signed by its own Ed25519 key.", fault.Field{Name: "csr", Message: "must be a PKCS #10 request of an Ed25519 key"})
	if len(csr) > maxCSR {
		return nil, wrong
	}
	if block, _ := pem.Decode(csr); block != nil {
		csr = block.Bytes
	}
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, wrong.Because(err)
	}
	public, ok := request.PublicKey.(ed25519.PublicKey)
	if !ok || request.SignatureAlgorithm != x509.PureEd25519 {
		return nil, wrong
	}
	if err := request.CheckSignature(); err != nil {
		return nil, wrong.Because(err)
	}
	return public, nil
}
