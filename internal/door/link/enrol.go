package link

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/cose"
	"github.com/keyhold/keyhold/internal/base/grant"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/base/token"
)

const (
	enrolPath = "/locks/v1/enrol"
	enrolIn   = 30 * time.Second
)

// Enrol makes the folder the controller of the token's lock: it makes a key, asks the
// server for a certificate, and believes only an answer that is signed by the key whose
// digest the token holds. Nothing is written before all is right. The folder may be that
// of the same lock already: then its earlier identity ends.
func Enrol(ctx context.Context, server, enrolment, folder string) (Identity, error) {
	t, ok := token.ParseEnrolment(strings.TrimSpace(enrolment))
	if !ok {
		return Identity{}, errors.New("this is no enrolment token: it begins with khe_ and is shown once, in the panel at the lock, under Enrol")
	}
	target, err := enrolURL(server)
	if err != nil {
		return Identity{}, err
	}
	f, err := OpenFolder(folder)
	if err != nil {
		return Identity{}, err
	}
	i, err := f.enrol(ctx, target, t)
	return i, errors.Join(err, f.Close())
}

func (f *Folder) enrol(ctx context.Context, target string, t token.Enrolment) (Identity, error) {
	was, err := f.Identity()
	switch {
	case errors.Is(err, ErrNotEnrolled):
	case err != nil:
		return Identity{}, err
	case was.Lock != t.Lock:
		return Identity{}, fmt.Errorf("the folder %s belongs to another door (%s, %s): name another folder with --state", f.path, was.Name, was.Lock)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("making the key: %w", err)
	}
	csr, err := request(t.Lock, key)
	if err != nil {
		return Identity{}, fmt.Errorf("making the request: %w", err)
	}
	answer, err := ask(ctx, target, t.Secret(), csr)
	if err != nil {
		return Identity{}, err
	}
	e, err := grant.ReadEnrolment(answer, string(t.Lock), t.Root)
	if err != nil {
		if errors.Is(err, cose.ErrNotSigned) {
			return Identity{}, fmt.Errorf("somebody else than your server answered at %s: the answer is not signed by the key that the token names. Check the address, and what stands between: %w", target, err)
		}
		return Identity{}, fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	i := Identity{
		Lock: t.Lock, Name: e.Name, Key: key, Secret: secret.New(e.Secret), Epoch: e.Epoch, Link: e.Link, ServerName: e.ServerName, LeaseSeconds: e.LeaseSeconds,
	}
	for _, public := range e.SigningKeys {
		i.SigningKeys = append(i.SigningKeys, ed25519.PublicKey(public))
	}
	if u, err := url.Parse(e.Link); err != nil || u.Scheme != "wss" || u.Host == "" || e.ServerName == "" {
		return Identity{}, fmt.Errorf("the server says that its link is at %q, which is no wss address", e.Link)
	}
	if i.CA, err = x509.ParseCertificate(e.CA); err != nil {
		return Identity{}, fmt.Errorf("the server's CA: %w", err)
	}
	if i.Certificate, err = checkCertificate(e.Certificate, i); err != nil {
		return Identity{}, fmt.Errorf("the certificate that the server made: %w", err)
	}
	return i, f.keep(i)
}

// ask sends the request and returns the answer's body.
func ask(ctx context.Context, target string, enrolment secret.Bytes, csr []byte) ([]byte, error) {
	body, err := json.Marshal(map[string]string{
		"token": enrolment.ExposeString(), "csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})),
	})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: enrolIn, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the server does not answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	answer, err := io.ReadAll(io.LimitReader(response.Body, grant.MaxEnrolment+1))
	if err != nil {
		return nil, fmt.Errorf("reading the server's answer: %w", err)
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case response.StatusCode >= 300 && response.StatusCode < 400:
		return nil, fmt.Errorf("%s leads elsewhere (%s): give the server's own address", target, response.Header.Get("Location"))
	case response.StatusCode != http.StatusOK:
		return nil, refusal(response.Status, answer)
	case kind != "application/cose":
		return nil, fmt.Errorf("%s answers with %q, which no Keyhold server does: check the address", target, kind)
	}
	return answer, nil
}

// refusal tells what the server said.
func refusal(status string, answer []byte) error {
	var problem struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(answer, &problem) // without it the status must do
	said := problem.Detail
	if said == "" {
		said = problem.Title
	}
	if said == "" {
		return fmt.Errorf("the server refuses: %s", status)
	}
	return fmt.Errorf("the server refuses: %s", said)
}

// enrolURL returns where to enrol at the server. The token is a secret: it goes over HTTPS,
// or stays on this machine.
func enrolURL(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("the server's address is to look like https://keys.example.com, not %q", server)
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return "", fmt.Errorf("the token would go to %s for everybody to read: use https", u.Host)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return "", fmt.Errorf("give the server's address alone, like %s://%s", u.Scheme, u.Host)
	}
	return u.Scheme + "://" + u.Host + enrolPath, nil
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
