package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettings_wrongValuesAreRefusedByName(t *testing.T) {
	good := Settings{Data: "d", Listen: "localhost:8080", LogFormat: "json"}
	for _, c := range []struct {
		name    string
		change  func(*Settings)
		setting string
		words   string
	}{
		{"no data folder", func(s *Settings) { s.Data = "" }, "KEYHOLD_DATA", "empty"},
		{"listen without port", func(s *Settings) { s.Listen = "localhost" }, "KEYHOLD_LISTEN", "host:port"},
		{"listen on no port", func(s *Settings) { s.Listen = "localhost:70000" }, "KEYHOLD_LISTEN", "65535"},
		{"public IP", func(s *Settings) { s.PublicURL = "https://192.0.2.7" }, "KEYHOLD_PUBLIC_URL", "IP address"},
		{"public IPv6", func(s *Settings) { s.PublicURL = "https://[2001:db8::1]" }, "KEYHOLD_PUBLIC_URL", "IP address"},
		{"loopback IP", func(s *Settings) { s.PublicURL = "http://127.0.0.1:8080" }, "KEYHOLD_PUBLIC_URL", "IP address"},
		{"http elsewhere", func(s *Settings) { s.PublicURL = "http://keys.example.com" }, "KEYHOLD_PUBLIC_URL", "https"},
		{"http below localhost", func(s *Settings) { s.PublicURL = "http://mail.localhost" }, "KEYHOLD_PUBLIC_URL", "https"},
		{"public path", func(s *Settings) { s.PublicURL = "https://example.com/keys" }, "KEYHOLD_PUBLIC_URL", "only"},
		{"public user", func(s *Settings) { s.PublicURL = "https://me:secret@example.com" }, "KEYHOLD_PUBLIC_URL", "only"},
		{"ftp", func(s *Settings) { s.PublicURL = "ftp://example.com" }, "KEYHOLD_PUBLIC_URL", "https://"},
		{"another database", func(s *Settings) { s.DatabaseURL = "mysql://u:secret@h/d" }, "KEYHOLD_DATABASE_URL", "postgres://"},
		{"mail by http", func(s *Settings) { s.SMTPURL = "http://u:secret@h" }, "KEYHOLD_SMTP_URL", "smtps://"},
		{"mail without sender", func(s *Settings) { s.SMTPURL = "smtp://h" }, "KEYHOLD_MAIL_FROM", "needed"},
		{"sender without address", func(s *Settings) { s.MailFrom = "the desk" }, "KEYHOLD_MAIL_FROM", "address"},
		{"proxy name", func(s *Settings) { s.TrustedProxies = []string{"lb.internal"} }, "KEYHOLD_TRUSTED_PROXIES", "lb.internal"},
		{"lock link without port", func(s *Settings) { s.LockListen = "localhost" }, "KEYHOLD_LOCK_LISTEN", "host:port"},
		{"lock link on no port", func(s *Settings) { s.LockListen = ":70000" }, "KEYHOLD_LOCK_LISTEN", "65535"},
		{"lock link on the same port", func(s *Settings) { s.LockListen = s.Listen }, "KEYHOLD_LOCK_LISTEN", "another port than KEYHOLD_LISTEN"},
		{"lock URL without a lock link", func(s *Settings) { s.LockURL = "wss://keys.example.com:8443" }, "KEYHOLD_LOCK_URL", "KEYHOLD_LOCK_LISTEN"},
		{"lock URL in the clear", linkAt("ws://keys.example.com:8443"), "KEYHOLD_LOCK_URL", "wss://"},
		{"lock URL with a user", linkAt("wss://me:secret@keys.example.com"), "KEYHOLD_LOCK_URL", "wss://"},
		{"lock URL with a path", linkAt("wss://keys.example.com/locks"), "KEYHOLD_LOCK_URL", "wss://"},
		{"lock URL with a query", linkAt("wss://keys.example.com?x=1"), "KEYHOLD_LOCK_URL", "wss://"},
		{"lock URL without a host", linkAt("wss://"), "KEYHOLD_LOCK_URL", "wss://"},
		{"log format", func(s *Settings) { s.LogFormat = "xml" }, "KEYHOLD_LOG_FORMAT", "json or text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good
			c.change(&s)
			_, err := s.Parse()
			var wrong *SettingError
			if !errors.As(err, &wrong) || wrong.Setting != c.setting || !strings.Contains(wrong.Why, c.words) {
				t.Errorf("Parse() = %v, want a %s that says %q", err, c.setting, c.words)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats a password: %v", err)
			}
		})
	}
}

// linkAt opens the lock link and says that controllers find it at that URL.
func linkAt(url string) func(*Settings) {
	return func(s *Settings) { s.LockListen, s.LockURL = ":8443", url }
}

func TestSettings_lockURL(t *testing.T) {
	for text, want := range map[string]string{"": "", "wss://keys.example.com": "wss://keys.example.com", "wss://keys.example.com:8443/": "wss://keys.example.com:8443"} {
		s := Settings{Data: "d", Listen: "localhost:8080", LogFormat: "json"}
		linkAt(text)(&s)
		if got, err := s.Parse(); err != nil || got.LockURL != want || got.LockListen != ":8443" {
			t.Errorf("Parse() with the lock URL %q = %q (%v), want %q", text, got.LockURL, err, want)
		}
	}
}

func TestSettings_publicURLFollowsThePort(t *testing.T) {
	for _, c := range []struct{ listen, public, want string }{
		{"localhost:8080", "", "http://localhost:8080"},
		{"127.0.0.1:9000", "", "http://localhost:9000"},
		{":8080", "https://Keys.Example.com/", "https://keys.example.com"},
		{":8080", "http://LOCALHOST:1234", "http://localhost:1234"},
	} {
		got, err := Settings{Data: "d", Listen: c.listen, PublicURL: c.public, LogFormat: "text"}.Parse()
		if err != nil || got.PublicURL.String() != c.want {
			t.Errorf("public URL of %q, %q = %v, %v, want %s", c.listen, c.public, got.PublicURL, err, c.want)
		}
	}
}

func TestOpen_refusesAFolderTooDeepForItsSocket(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep", 30))
	_, err := openFolder(deep)
	var wrong *SettingError
	if !errors.As(err, &wrong) || wrong.Setting != "KEYHOLD_DATA" {
		t.Errorf("openFolder() = %v, want a KEYHOLD_DATA error", err)
	}
	if _, err := os.Stat(deep); err == nil {
		t.Error("the folder was made all the same")
	}
}
