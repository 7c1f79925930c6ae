package webauthn_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/ctap"
	"github.com/keyhold/keyhold/internal/base/webauthn"
)

const own = "keyhold.example.net"

// named checks that err is an Error with this name.
func named(t *testing.T, err error, want string) {
	t.Helper()
	var got *ctap.Error
	if !errors.As(err, &got) || got.Name != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func at(origin string) webauthn.Origin { return webauthn.Origin{Origin: origin} }

func framed(origin, top string) webauthn.Origin {
	return webauthn.Origin{Origin: origin, TopOrigin: top, CrossOrigin: true}
}

// long is a name of n bytes under example.org.
func long(n int) string {
	name := strings.Repeat(strings.Repeat("a", 60)+".", 3)
	return strings.Repeat("b", n-len("example.org")-1-len(name)) + "." + name + "example.org"
}

func TestRPIDFor_allows(t *testing.T) {
	for name, c := range map[string]struct {
		origin      webauthn.Origin
		asked, want string
	}{
		"its own host":                {at("https://example.org"), "", "example.org"},
		"its own host, asked for":     {at("https://example.org"), "example.org", "example.org"},
		"with a port":                 {at("https://example.org:8443"), "", "example.org"},
		"a suffix on a label":         {at("https://login.example.org"), "example.org", "example.org"},
		"a suffix two labels up":      {at("https://a.b.example.org:444"), "example.org", "example.org"},
		"in the middle":               {at("https://a.b.example.org"), "b.example.org", "b.example.org"},
		"its own host, not a suffix":  {at("https://login.example.org"), "", "login.example.org"},
		"localhost":                   {at("http://localhost"), "", "localhost"},
		"localhost with a port":       {at("http://localhost:8080"), "localhost", "localhost"},
		"https at localhost":          {at("https://localhost:3000"), "", "localhost"},
		"below localhost":             {at("http://shop.localhost:8080"), "", "shop.localhost"},
		"a single label":              {at("https://intranet"), "intranet", "intranet"},
		"a private suffix's customer": {at("https://ann.github.io"), "ann.github.io", "ann.github.io"},
		"below a customer":            {at("https://www.ann.github.io"), "ann.github.io", "ann.github.io"},
		"a public suffix as its host": {at("https://github.io"), "", "github.io"},
		"an exception to a wildcard":  {at("https://shop.www.ck"), "www.ck", "www.ck"},
		"below a wildcard":            {at("https://a.b.c.ck"), "b.c.ck", "b.c.ck"},
		"an A-label":                  {at("https://login.xn--bcher-kva.example"), "xn--bcher-kva.example", "xn--bcher-kva.example"},
		"hyphens inside":              {at("https://r3---sn-abc.example.org"), "", "r3---sn-abc.example.org"},
		"digits":                      {at("https://1.2.3.example"), "2.3.example", "2.3.example"},
		"a last label like a number":  {at("https://example.0x1g"), "", "example.0x1g"},
		"253 bytes":                   {at("https://" + long(253)), "example.org", "example.org"},
		"in a frame":                  {framed("https://login.example.org", "https://shop.example.com"), "example.org", "example.org"},
		"in a frame of its own":       {framed("https://example.org", "https://example.org"), "", "example.org"},
		"beside Keyhold":              {at("https://other.example.net"), "", "other.example.net"},
		"above Keyhold":               {at("https://other.example.net"), "example.net", "example.net"},
	} {
		got, err := webauthn.RPIDFor(c.origin, c.asked, own)
		if err != nil || got != c.want {
			t.Errorf("%s: RPIDFor(%v, %q) = %q, %v, want %q", name, c.origin, c.asked, got, err, c.want)
		}
	}
}

func TestRPIDFor_refuses(t *testing.T) {
	good := at("https://login.example.org")
	for name, c := range map[string]struct {
		origin webauthn.Origin
		asked  string
	}{
		// What is asked for.
		"a bare string suffix":           {at("https://notexample.org"), "example.org"},
		"a string suffix within a label": {good, "ample.org"},
		"a public suffix":                {good, "org"},
		"a public suffix of two labels":  {at("https://example.co.uk"), "co.uk"},
		"a private public suffix":        {at("https://ann.github.io"), "github.io"},
		"a wildcard's suffix":            {at("https://a.b.ck"), "b.ck"},
		"an unknown top label":           {at("https://a.intranet"), "intranet"},
		"localhost from below":           {at("http://shop.localhost"), "localhost"},
		"a child":                        {at("https://example.org"), "login.example.org"},
		"a sibling":                      {good, "shop.example.org"},
		"another website":                {good, "example.com"},
		"a related origin":               {at("https://example.co.uk"), "example.com"},
		"a leading dot":                  {good, ".example.org"},
		"a trailing dot":                 {good, "example.org."},
		"a dot":                          {good, "."},
		"an empty label":                 {good, "login..example.org"},
		"a port":                         {at("https://example.org:8443"), "example.org:8443"},
		"a scheme":                       {good, "https://example.org"},
		"a path":                         {good, "example.org/"},
		"upper case":                     {good, "Example.org"},
		"a space":                        {good, " example.org"},
		"a zero byte":                    {good, "example.org\x00"},
		"a wildcard":                     {good, "*.example.org"},
		"a U-label":                      {at("https://xn--bcher-kva.example"), "bücher.example"},
		"a full-width dot":               {good, "example．org"},
		"percent":                        {good, "example%2eorg"},
		"the top frame's":                {framed("https://login.example.org", "https://shop.example.com"), "example.com"},
		"Keyhold's own":                  {at("https://" + own), own},
		"Keyhold's own, unasked":         {at("https://" + own), ""},
		"Keyhold's own from below":       {at("https://x." + own), own},
		"Keyhold's parent from Keyhold":  {at("https://" + own), "example.net"},
		"Keyhold's own, port":            {at("https://" + own + ":8443"), ""},
		"Keyhold's own with case":        {at("https://x." + own), "Keyhold.example.net"},
		// Where the page stands.
		"no origin":                     {at(""), "example.org"},
		"null":                          {at("null"), "example.org"},
		"http":                          {at("http://example.org"), "example.org"},
		"http at a name like localhost": {at("http://notlocalhost"), ""},
		"http at localhost as a label":  {at("http://localhost.example.org"), ""},
		"file":                          {at("file:///etc/passwd"), ""},
		"file with a host":              {at("file://example.org"), "example.org"},
		"an extension":                  {at("chrome-extension://abcdefghijklmnopabcdefghijklmnop"), ""},
		"a websocket":                   {at("wss://example.org"), ""},
		"an app":                        {at("android:apk-key-hash:x"), ""},
		"upper-case scheme":             {at("HTTPS://example.org"), ""},
		"upper-case host":               {at("https://Example.org"), ""},
		"no scheme":                     {at("example.org"), ""},
		"one slash":                     {at("https:/example.org"), ""},
		"userinfo":                      {at("https://example.org@evil.example"), ""},
		"userinfo with a password":      {at("https://example.org:443@evil.example"), ""},
		"a slash":                       {at("https://example.org/"), ""},
		"a path at the origin":          {at("https://example.org/login"), ""},
		"a query":                       {at("https://example.org?x"), ""},
		"a fragment":                    {at("https://example.org#x"), ""},
		"a backslash":                   {at(`https://example.org\evil`), ""},
		"a space behind":                {at("https://example.org "), ""},
		"a line behind":                 {at("https://example.org\n"), ""},
		"a tab inside":                  {at("https://exam\tple.org"), ""},
		"a dot behind":                  {at("https://example.org."), ""},
		"a dot before":                  {at("https://.example.org"), ""},
		"two dots":                      {at("https://login..example.org"), "example.org"},
		"no host":                       {at("https://"), ""},
		"no host but a port":            {at("https://:8443"), ""},
		"the default port":              {at("https://example.org:443"), ""},
		"http's default port":           {at("http://localhost:80"), ""},
		"port 0":                        {at("https://example.org:0"), ""},
		"port 65536":                    {at("https://example.org:65536"), ""},
		"a port with a zero before":     {at("https://example.org:08443"), ""},
		"a port with a sign":            {at("https://example.org:+8443"), ""},
		"an empty port":                 {at("https://example.org:"), ""},
		"a port of letters":             {at("https://example.org:https"), ""},
		"two ports":                     {at("https://example.org:1:2"), ""},
		"IPv4":                          {at("https://192.0.2.1"), ""},
		"IPv4, asked for":               {at("https://192.0.2.1"), "192.0.2.1"},
		"IPv4, a part asked for":        {at("https://192.0.2.1"), "2.1"},
		"IPv4 of the machine":           {at("http://127.0.0.1"), ""},
		"IPv4 as one number":            {at("https://3221225985"), ""},
		"IPv4 in hex":                   {at("https://0xc0000201"), ""},
		"IPv4 in hex parts":             {at("https://0xc0.0.2.0x1"), ""},
		"IPv4 with an empty hex part":   {at("https://192.0.2.0x"), ""},
		"IPv4 in octal":                 {at("https://0300.0.2.01"), ""},
		"IPv4, short":                   {at("https://127.1"), ""},
		"a name that ends in a number":  {at("https://example.1"), ""},
		"IPv6":                          {at("https://[2001:db8::1]"), ""},
		"IPv6 of the machine":           {at("http://[::1]:8080"), ""},
		"IPv6 with IPv4 inside":         {at("https://[::ffff:192.0.2.1]"), ""},
		"a U-label at the origin":       {at("https://bücher.example"), ""},
		"an invalid A-label":            {at("https://xn--a.example"), ""},
		"an A-label for what is ASCII":  {at("https://xn--example-.org"), ""},
		"an A-label for upper case":     {at("https://xn--bcher-kvb.example"), ""},
		"an empty A-label":              {at("https://xn--.example"), ""},
		"an underscore":                 {at("https://my_shop.example"), ""},
		"a hyphen before":               {at("https://-a.example"), ""},
		"a hyphen behind":               {at("https://a-.example"), ""},
		"254 bytes":                     {at("https://" + long(254)), "example.org"},
		"a label of 64":                 {at("https://" + strings.Repeat("a", 64) + ".example.org"), "example.org"},
		"percent at the origin":         {at("https://exam%70le.org"), ""},
		"a top origin, not in a frame":  {webauthn.Origin{Origin: "https://example.org", TopOrigin: "https://example.org"}, ""},
		"a frame without its top":       {webauthn.Origin{Origin: "https://example.org", CrossOrigin: true}, ""},
		"a frame in null":               {framed("https://example.org", "null"), ""},
		"a frame in http":               {framed("https://example.org", "http://example.com"), ""},
		"a frame in a file":             {framed("https://example.org", "file://"), ""},
		"a frame in a path":             {framed("https://example.org", "https://example.com/"), ""},
		"a frame of http":               {framed("http://example.org", "https://example.com"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := webauthn.RPIDFor(c.origin, c.asked, own)
			named(t, err, ctap.SecurityError)
			if got != "" {
				t.Errorf("RPIDFor(%v, %q) = %q, want none", c.origin, c.asked, got)
			}
		})
	}
}

func FuzzRPIDFor(f *testing.F) {
	f.Add("https://login.example.org", "", false, "example.org")
	f.Add("https://login.example.org:8443", "https://example.com", true, "")
	f.Add("http://localhost:8080", "", false, "localhost")
	f.Add("https://a.b.ck", "", false, "b.ck")
	f.Add("https://keyhold.example.net", "", false, "")
	f.Fuzz(func(t *testing.T, origin, top string, cross bool, asked string) {
		o := webauthn.Origin{Origin: origin, TopOrigin: top, CrossOrigin: cross}
		rpID, err := webauthn.RPIDFor(o, asked, own)
		if err != nil {
			named(t, err, ctap.SecurityError)
			return
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(origin, "https://"), "http://"), ":")
		if rpID != host && !strings.HasSuffix(host, "."+rpID) {
			t.Errorf("RPIDFor(%q, %q) = %q, which is no part of the host", origin, asked, rpID)
		}
		if asked != "" && rpID != asked {
			t.Errorf("RPIDFor(%q, %q) = %q, which is not what was asked for", origin, asked, rpID)
		}
		if rpID == own || host == own || rpID == "" || strings.Trim(rpID, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			t.Errorf("RPIDFor(%q, %q) = %q", origin, asked, rpID)
		}
		if strings.HasPrefix(origin, "http:") && host != "localhost" && !strings.HasSuffix(host, ".localhost") {
			t.Errorf("RPIDFor(%q) takes http", origin)
		}
	})
}
