package app

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Settings are what an administrator may set, in text, as flags, environment
// variables or a config file give it.
type Settings struct {
	Data           string
	Listen         string
	LockListen     string
	LockURL        string
	PublicURL      string
	DatabaseURL    string
	SMTPURL        string
	MailFrom       string
	TrustedProxies []string
	MetricsToken   string
	LogFormat      string
	Checkpoints    string
	APIRate        int
}

// Config is the settings, parsed and checked.
type Config struct {
	Data         string
	Listen       string
	LockListen   string // where doors' controllers come in; empty for nowhere
	LockURL      string // under which they find it, wss://host:port; empty for the public host and LockListen's port
	PublicURL    *url.URL
	DatabaseURL  string // empty for SQLite in the data folder
	SMTPURL      string // empty for none: mails wait in the outbox
	MailFrom     string
	Proxies      []netip.Prefix
	MetricsToken string
	LogFormat    string
	Checkpoints  string // a folder for checkpoints of the activity records; empty for none
	APIRate      int    // requests that an API key may make in a minute; 0 for no limit
}

// SettingError says which setting is wrong and why. Its text never repeats a
// value that may hold a password.
type SettingError struct{ Setting, Why string }

// Error names the setting by its variable and its flag.
func (e *SettingError) Error() string {
	flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(e.Setting, "KEYHOLD_"), "_", "-"))
	return e.Setting + " (" + flag + "): " + e.Why
}

func wrong(setting, why string, args ...any) error {
	return &SettingError{Setting: setting, Why: fmt.Sprintf(why, args...)}
}

// Parse checks the settings. Every error is a *SettingError.
func (s Settings) Parse() (Config, error) {
	c := Config{Data: s.Data, Listen: s.Listen, LockListen: s.LockListen, MailFrom: s.MailFrom, MetricsToken: s.MetricsToken, LogFormat: s.LogFormat, Checkpoints: s.Checkpoints, APIRate: s.APIRate}
	if c.Data == "" {
		return c, wrong("KEYHOLD_DATA", "names the folder for the database and the keys, and is empty")
	}
	port, err := checkListen(s.Listen)
	if err != nil {
		return c, err
	}
	text := s.PublicURL
	if text == "" {
		text = "http://localhost:" + port
	}
	if c.PublicURL, err = parsePublicURL(text); err != nil {
		return c, err
	}
	if c.LockURL, err = s.lockURL(); err != nil {
		return c, err
	}
	if s.DatabaseURL != "" {
		u, err := url.Parse(s.DatabaseURL)
		if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			return c, wrong("KEYHOLD_DATABASE_URL", "must be a URL like postgres://user:password@host:5432/name; leave it out for SQLite in the data folder")
		}
		c.DatabaseURL = s.DatabaseURL
	}
	if s.SMTPURL != "" {
		u, err := url.Parse(s.SMTPURL)
		if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" {
			return c, wrong("KEYHOLD_SMTP_URL", "must be a URL like smtps://user:password@host:465 or smtp://host:587")
		}
		c.SMTPURL = s.SMTPURL
		if s.MailFrom == "" && u.Query().Get("from") == "" {
			return c, wrong("KEYHOLD_MAIL_FROM", "names the sender of mails and is needed with KEYHOLD_SMTP_URL: Keyhold <keys@example.com>")
		}
	}
	if s.MailFrom != "" {
		if _, err := mail.ParseAddress(s.MailFrom); err != nil {
			return c, wrong("KEYHOLD_MAIL_FROM", "must be an address like Keyhold <keys@example.com>")
		}
	}
	for _, text := range s.TrustedProxies {
		p, err := parsePrefix(strings.TrimSpace(text))
		if err != nil {
			return c, wrong("KEYHOLD_TRUSTED_PROXIES", "%q is no IP address and no network like 10.0.0.0/8", text)
		}
		c.Proxies = append(c.Proxies, p)
	}
	if c.APIRate < 0 || c.APIRate > maxAPIRate {
		return c, wrong("KEYHOLD_API_RATE", "must be between 0, for no limit, and %d requests a minute", maxAPIRate)
	}
	if c.LogFormat != "json" && c.LogFormat != "text" {
		return c, wrong("KEYHOLD_LOG_FORMAT", "must be json or text")
	}
	return c, nil
}

// maxAPIRate bounds the setting: a million requests a second.
const maxAPIRate = 60_000_000

// lockURL checks the settings of the lock link.
func (s Settings) lockURL() (string, error) {
	if s.LockListen == "" {
		if s.LockURL != "" {
			return "", wrong("KEYHOLD_LOCK_URL", "tells controllers where the lock link is, but none is opened: set KEYHOLD_LOCK_LISTEN too")
		}
		return "", nil
	}
	if _, err := checkAddress("KEYHOLD_LOCK_LISTEN", s.LockListen); err != nil {
		return "", err
	}
	if s.LockListen == s.Listen {
		return "", wrong("KEYHOLD_LOCK_LISTEN", "must be another port than KEYHOLD_LISTEN: the lock link is apart, with certificates of its own")
	}
	if s.LockURL == "" {
		return "", nil
	}
	u, err := url.Parse(s.LockURL)
	if err != nil || u.Scheme != "wss" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return "", wrong("KEYHOLD_LOCK_URL", "must be a URL like wss://keys.example.com:8443")
	}
	return "wss://" + u.Host, nil
}

// checkListen returns the port of the server's listening address.
func checkListen(listen string) (string, error) { return checkAddress("KEYHOLD_LISTEN", listen) }

// checkAddress returns the port of a listening address that a setting gives.
func checkAddress(setting, listen string) (string, error) {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", wrong(setting, "must be host:port, like localhost:8080 or :8080")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", wrong(setting, "has no port between 0 and 65535")
	}
	return port, nil
}

// parsePublicURL reads the address under which browsers reach the server. Its host
// becomes the relying party id of the passkeys, so it must be a domain name
// (WebAuthn L3 §5.1.2) and a secure context: https, or http on localhost.
func parsePublicURL(text string) (*url.URL, error) {
	const setting = "KEYHOLD_PUBLIC_URL"
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, wrong(setting, "must be a URL like https://keys.example.com")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return nil, wrong(setting, "must be scheme, host and port only, like https://keys.example.com")
	}
	host := strings.ToLower(u.Hostname())
	if _, err := netip.ParseAddr(host); err != nil && strings.Trim(host, "0123456789.") == "" {
		return nil, wrong(setting, "has no host name")
	} else if err == nil {
		return nil, wrong(setting, "must name a host, not the IP address %s: passkeys are bound to a domain name. For a trial on this machine use http://localhost:8080", host)
	}
	if u.Scheme == "http" && host != "localhost" {
		return nil, wrong(setting, "must be https: browsers offer passkeys, and Keyhold sets its session cookie, over https only. Plain http is accepted for http://localhost only, not for %s", host)
	}
	u.Path, u.Host = "", strings.ToLower(u.Host)
	return u, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}
