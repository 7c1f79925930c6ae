package webauthn

import (
	"strconv"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Origin is where a page stands, as the browser told the client: never as the page did.
// TopOrigin is the origin of the window around it, said if and only if CrossOrigin.
type Origin struct {
	Origin, TopOrigin string
	CrossOrigin       bool
}

// Limits of host names (RFC 1035 §2.3.4) and ports.
const (
	maxHost  = 253
	maxLabel = 63
	maxPort  = 65535
)

// ParseOrigin returns the host of o, or a SecurityError. An origin is in the one form that
// browsers give it (RFC 6454 §6.1): lower case, no default port, no path, names in A-label
// form. Its scheme is https, or http where the host is localhost or ends in .localhost,
// which browsers hold for as secure. IP addresses have no RP ID and are refused.
func ParseOrigin(o Origin) (string, error) {
	host, ok := parse(o.Origin)
	if !ok {
		return "", insecure("this origin cannot have credentials")
	}
	if o.CrossOrigin {
		_, ok = parse(o.TopOrigin)
	} else {
		ok = o.TopOrigin == ""
	}
	if !ok {
		return "", insecure("this is no top origin")
	}
	return host, nil
}

func parse(origin string) (string, bool) {
	scheme, rest, ok := strings.Cut(origin, "://")
	if !ok || scheme != "https" && scheme != "http" {
		return "", false
	}
	host, port, written := strings.Cut(rest, ":")
	if !validHost(host) || scheme == "http" && host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return "", false
	}
	if !written {
		return host, true
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > maxPort || strconv.Itoa(n) != port || scheme == "https" && n == 443 || scheme == "http" && n == 80 {
		return "", false
	}
	return host, true
}

// validHost says whether host is a domain name in canonical form and no IP address, in any
// of the forms that browsers read (URL Standard §3.5).
func validHost(host string) bool {
	if len(host) > maxHost {
		return false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return false
		}
	}
	// A name whose last label is a number is read as an IPv4 address: 127.1, 0x7f000001.
	last := labels[len(labels)-1]
	digits, hex := strings.CutPrefix(last, "0x")
	if hex {
		return strings.Trim(digits, "0123456789abcdef") != ""
	}
	return strings.Trim(last, "0123456789") != ""
}

func validLabel(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	if !strings.HasPrefix(label, "xn--") {
		return true
	}
	_, err := idna.Lookup.ToUnicode(label) // it is a U-label's one A-label
	return err == nil
}

// RPIDFor returns the RP ID that a page at o works under, or a SecurityError. asked is what
// it asks for, empty for its own host. It is the host, or a suffix of it on a label boundary
// that is no public suffix (WebAuthn L3 §5.1.3 step 8, HTML "is a registrable domain suffix
// of or is equal to"); a page in a frame is asked by its own origin. Related origins are
// refused. So is own, Keyhold's RP ID, to every page, and every RP ID to Keyhold's host.
func RPIDFor(o Origin, asked, own string) (string, error) {
	host, err := ParseOrigin(o)
	if err != nil {
		return "", err
	}
	rpID := asked
	if rpID == "" {
		rpID = host
	}
	if rpID != host {
		if !strings.HasSuffix(host, "."+rpID) {
			return "", insecure("this RP ID is of another website")
		}
		if suffix, _ := publicsuffix.PublicSuffix(rpID); suffix == rpID {
			return "", insecure("this RP ID is shared by many websites")
		}
	}
	if own != "" && (strings.EqualFold(rpID, own) || strings.EqualFold(host, own)) {
		return "", insecure("this RP ID is Keyhold's own")
	}
	return rpID, nil
}
