package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/keyhold/keyhold/internal/agent"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// state is what this client is.
type state struct {
	server *url.URL
	id     string
	name   string
	token  secret.Bytes
	key    *ecdsa.PrivateKey
}

// stateFile is how it is kept. Key is PKCS #8.
type stateFile struct {
	Server string `json:"server"`
	Client string `json:"client"`
	Name   string `json:"name"`
	Token  string `json:"token"`
	Key    []byte `json:"key"`
}

// maxState bounds what is read as a state, in bytes.
const maxState = 64 << 10

// load reads the state. The file must be its owner's alone.
func (w where) load() (s state, err error) {
	if w.State == "" {
		return s, usageError("name the file of this client with --state.")
	}
	file, err := os.Open(w.State)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("this computer is not enrolled: there is no %s. Run keyhold-agent enrol, or name the file with --state", w.State)
	}
	if err != nil {
		return s, fmt.Errorf("reading the state: %w", err)
	}
	defer func() { _ = file.Close() }() // it was read
	info, err := file.Stat()
	if err != nil {
		return s, fmt.Errorf("reading the state: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return s, fmt.Errorf("others on this computer may read %s, and act as this client. If nobody did, run chmod 600 on it; else revoke the client and enrol anew", w.State)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxState))
	if err != nil {
		return s, fmt.Errorf("reading the state: %w", err)
	}
	if s, err = readState(data); err != nil {
		return s, fmt.Errorf("%s is damaged: %w", w.State, err)
	}
	return s, nil
}

func readState(data []byte) (state, error) {
	var f stateFile
	if json.Unmarshal(data, &f) != nil { // its error may quote the file
		return state{}, errors.New("it is not what enrol wrote")
	}
	server, err := parseServer(f.Server)
	if err != nil {
		return state{}, err
	}
	private, err := x509.ParsePKCS8PrivateKey(f.Key)
	key, ok := private.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() || f.Token == "" || f.Client == "" {
		return state{}, errors.New("it holds no key on P-256, no token or no client")
	}
	return state{server: server, id: f.Client, name: f.Name, token: secret.FromString(f.Token), key: key}, nil
}

// reserve makes the folder and an empty file beside the state, so that nothing is told to
// a server that cannot be kept. The caller ends with keep or drop.
func (w where) reserve() (*os.File, error) {
	if w.State == "" {
		return nil, usageError("name the file of this client with --state.")
	}
	if _, err := os.Lstat(w.State); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there: this computer is a client already. Name another file with --state, or revoke that client in the panel and remove its file", w.State)
	}
	folder := filepath.Dir(w.State)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the state: %w", err)
	}
	file, err := os.CreateTemp(folder, ".new-*") // for its owner only
	if err != nil {
		return nil, fmt.Errorf("the state cannot be written: %w", err)
	}
	return file, nil
}

// drop removes a reserved file.
func drop(file *os.File) error { return errors.Join(file.Close(), os.Remove(file.Name())) }

// keep writes the state into the reserved file and puts it in its place.
func (w where) keep(file *os.File, s state) error {
	key, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return errors.Join(err, drop(file))
	}
	data, err := json.MarshalIndent(stateFile{s.server.String(), s.id, s.name, s.token.ExposeString(), key}, "", "  ")
	if err != nil {
		return errors.Join(err, drop(file))
	}
	if _, err = file.Write(append(data, '\n')); err == nil {
		err = file.Sync()
	}
	if err != nil {
		return errors.Join(err, drop(file))
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), w.State)
}

// thumbprint returns the key's name, as the panel shows it (RFC 7638).
func (s state) thumbprint() string { return dpop.Thumbprint(&s.key.PublicKey) }

// client returns the client that the state is of.
func (s state) client() *agent.Client {
	return agent.New(agent.Config{Server: s.server, Token: s.token, Key: s.key, Agent: "keyhold-agent/" + version()})
}

// parseServer reads a server's address. The token is a secret: it goes over HTTPS, or
// stays on this machine.
func parseServer(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("the server's address is to look like https://keys.example.com, not %q", text)
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("the token would go to %s for everybody to read: use https", u.Host)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("give the server's address alone, like %s://%s", u.Scheme, u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
