package demo

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/keyhold/keyhold/internal/base/clock"
)

// What the shop keeps is bounded: it refuses another account or key, and forgets the session
// and the attempt that were not used for longest.
const (
	shopAccounts = 200
	shopKeys     = 20 // of an account
	shopSessions = 500
	shopAttempts = 4 // of a session
)

// shopPatience is how long an attempt may take, for the browser and for the shop.
const shopPatience = 5 * time.Minute

// shopNameRunes bounds a name.
const shopNameRunes = 64

// shop is the demo's example website: somebody else's, that takes passkeys and knows nothing
// of Keyhold. It is what most Go websites are, a relying party on go-webauthn, and what it
// knows dies with it. Use newShop.
type shop struct {
	party   *webauthn.WebAuthn
	clock   clock.Clock
	handler http.Handler

	mu       sync.Mutex
	accounts map[string]*shopAccount // by folded name; guarded by mu
	sessions map[string]*shopSession // by what their cookie says; guarded by mu
	used     int                     // counts the uses of sessions; guarded by mu
}

// newShop returns a shop without accounts at an origin: http://shop.localhost:8080.
func newShop(origin string, c clock.Clock) (*shop, error) {
	wait := webauthn.TimeoutConfig{Timeout: shopPatience, TimeoutUVD: shopPatience}
	party, err := webauthn.New(&webauthn.Config{
		RPID: shopHost, RPDisplayName: "Foxglove Books", RPOrigins: []string{origin}, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, RequireResidentKey: new(false), UserVerification: protocol.VerificationPreferred,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: wait, Registration: wait},
	})
	if err != nil {
		return nil, err
	}
	s := &shop{party: party, clock: c, accounts: map[string]*shopAccount{}, sessions: map[string]*shopSession{}}
	s.handler = newShopHandler(s)
	return s, nil
}

// ServeHTTP shows the shop.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// shopAccount is an account, as go-webauthn wants it.
type shopAccount struct {
	id          []byte
	name        string
	credentials []webauthn.Credential
}

func (a *shopAccount) WebAuthnID() []byte                         { return a.id }
func (a *shopAccount) WebAuthnName() string                       { return a.name }
func (a *shopAccount) WebAuthnDisplayName() string                { return a.name }
func (a *shopAccount) WebAuthnCredentials() []webauthn.Credential { return a.credentials }

// shopSession is one browser's. Its account is nil until somebody signs in.
type shopSession struct {
	used     int
	account  *shopAccount
	how      *shopHow
	attempts []shopAttempt // oldest first
}

// shopHow is what a key said of the last act.
type shopHow struct {
	Act            string `json:"act"` // register, add_key or sign_in
	UserVerified   bool   `json:"user_verified"`
	BackupEligible bool   `json:"backup_eligible"`
	BackedUp       bool   `json:"backed_up"`
}

func howOf(act string, f protocol.AuthenticatorFlags) *shopHow {
	return &shopHow{Act: act, UserVerified: f.HasUserVerified(), BackupEligible: f.HasBackupEligible(), BackedUp: f.HasBackupState()}
}

// shopAttempt is a challenge that waits for its answer. The account is nil where the answer
// is to say whose it is.
type shopAttempt struct {
	act     string
	account *shopAccount
	data    webauthn.SessionData
	ends    time.Time
}

// What an attempt is for.
const (
	shopRegister = "register"
	shopAddKey   = "add_key"
	shopSignIn   = "sign_in"
)

// shopRefusal is a no, in words for people.
type shopRefusal struct {
	status int
	text   string
}

func (r shopRefusal) Error() string { return r.text }

// The refusals that are said in more than one place.
var (
	errShopOver  = errors.New("this attempt is over, or began elsewhere: start again")
	errShopTaken = errors.New("this name is taken: sign in with it, or register another one")
)

// visit is one request that does something.
type visit struct {
	now     time.Time
	body    []byte
	cookie  string       // what the browser's cookie is to say; empty for none
	session *shopSession // nil without one
}

// find returns the session of a cookie, or nil.
func (s *shop) find(cookie string) *shopSession {
	found := s.sessions[cookie]
	if found != nil {
		s.used++
		found.used = s.used
	}
	return found
}

// open gives the visit a new session in place of its own: nobody else can know its name.
func (s *shop) open(v *visit) {
	s.end(v)
	for len(s.sessions) >= shopSessions {
		oldest := ""
		for name, other := range s.sessions {
			if oldest == "" || other.used < s.sessions[oldest].used {
				oldest = name
			}
		}
		delete(s.sessions, oldest)
	}
	s.used++
	v.cookie, v.session = rand.Text(), &shopSession{used: s.used}
	s.sessions[v.cookie] = v.session
}

// end ends the visit's session, if it has one.
func (s *shop) end(v *visit) {
	delete(s.sessions, v.cookie)
	v.cookie, v.session = "", nil
}

// enter signs the visit in.
func (s *shop) enter(v *visit, a *shopAccount, how *shopHow) {
	s.open(v)
	v.session.account, v.session.how = a, how
}

// expect remembers an attempt.
func (s *shop) expect(v *visit, act string, a *shopAccount, data *webauthn.SessionData) {
	if v.session == nil {
		s.open(v)
	}
	v.session.attempts = append(v.session.attempts, shopAttempt{act: act, account: a, data: *data, ends: v.now.Add(shopPatience)})
	v.session.attempts = v.session.attempts[max(0, len(v.session.attempts)-shopAttempts):]
}

// take returns the attempt of a challenge, which is over by that, however it ends.
func (v *visit) take(challenge string, acts ...string) (shopAttempt, error) {
	if v.session == nil {
		return shopAttempt{}, errShopOver
	}
	for i, a := range v.session.attempts {
		if a.data.Challenge != challenge {
			continue
		}
		v.session.attempts = append(v.session.attempts[:i:i], v.session.attempts[i+1:]...)
		for _, act := range acts {
			if a.act == act && v.now.Before(a.ends) {
				return a, nil
			}
		}
		break
	}
	return shopAttempt{}, errShopOver
}

// foldShopName returns what a name is found by.
func foldShopName(name string) string { return strings.ToLower(name) }

// readShopName returns a name as it was meant.
func readShopName(text string) (string, error) {
	name := strings.TrimSpace(text)
	switch {
	case name == "":
		return "", errors.New("type a name first")
	case utf8.RuneCountInString(name) > shopNameRunes, !utf8.ValidString(name), strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", errors.New("a name has 64 characters at most, and all of them can be seen")
	}
	return name, nil
}

// mayAdd refuses another key for an account, or another account.
func (s *shop) mayAdd(act string, a *shopAccount) error {
	switch {
	case act == shopAddKey && len(a.credentials) >= shopKeys:
		return errors.New("this account has all the keys that it can have")
	case act == shopAddKey:
		return nil
	case s.accounts[foldShopName(a.name)] != nil:
		return errShopTaken
	case len(s.accounts) >= shopAccounts:
		return errors.New("the shop is full: start the demo again")
	}
	return nil
}

// beginKey asks for a new key for an account: a new one, or the visit's.
func (s *shop) beginKey(v *visit, act string, a *shopAccount) (any, error) {
	if err := s.mayAdd(act, a); err != nil {
		return nil, err
	}
	options, data, err := s.party.BeginRegistration(a, webauthn.WithExclusions(webauthn.Credentials(a.credentials).CredentialDescriptors()))
	if err != nil {
		return nil, err
	}
	s.expect(v, act, a, data)
	return options, nil
}

// finishKey keeps a new key, and signs a new account in.
func (s *shop) finishKey(v *visit) error {
	answer, err := protocol.ParseCredentialCreationResponseBytes(v.body)
	if err != nil {
		return errShopAnswer(err)
	}
	attempt, err := v.take(answer.Response.CollectedClientData.Challenge, shopRegister, shopAddKey)
	if err != nil {
		return err
	}
	made, err := s.party.CreateCredential(attempt.account, attempt.data, answer)
	if err != nil {
		return errShopAnswer(err)
	}
	for _, a := range s.accounts { // WebAuthn L3 §7.1 step 27
		for _, c := range a.credentials {
			if bytes.Equal(c.ID, made.ID) {
				return errors.New("this key is registered here already")
			}
		}
	}
	if err := s.mayAdd(attempt.act, attempt.account); err != nil {
		return err
	}
	attempt.account.credentials = append(attempt.account.credentials, *made)
	how := howOf(attempt.act, answer.Response.AttestationObject.AuthData.Flags)
	if attempt.act == shopAddKey {
		v.session.how = how
		return nil
	}
	s.accounts[foldShopName(attempt.account.name)] = attempt.account
	s.enter(v, attempt.account, how)
	return nil
}

// beginSignIn asks for a key of an account, or of any if name is empty.
func (s *shop) beginSignIn(v *visit, name string) (any, error) {
	if name == "" {
		options, data, err := s.party.BeginDiscoverableLogin()
		if err != nil {
			return nil, err
		}
		s.expect(v, shopSignIn, nil, data)
		return options, nil
	}
	a := s.accounts[foldShopName(name)]
	if a == nil {
		return nil, shopRefusal{http.StatusNotFound, "nobody is registered here under this name"}
	}
	options, data, err := s.party.BeginLogin(a)
	if err != nil {
		return nil, err
	}
	s.expect(v, shopSignIn, a, data)
	return options, nil
}

// finishSignIn signs in whose key answered.
func (s *shop) finishSignIn(v *visit) error {
	answer, err := protocol.ParseCredentialRequestResponseBytes(v.body)
	if err != nil {
		return errShopAnswer(err)
	}
	attempt, err := v.take(answer.Response.CollectedClientData.Challenge, shopSignIn)
	if err != nil {
		return err
	}
	a := attempt.account
	var used *webauthn.Credential
	if a != nil {
		used, err = s.party.ValidateLogin(a, attempt.data, answer)
	} else {
		_, used, err = s.party.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
			if a = s.byHandle(handle); a == nil {
				return nil, errors.New("nobody is registered here with this key")
			}
			return a, nil
		}, attempt.data, answer)
	}
	if err != nil {
		return errShopAnswer(err)
	}
	for i := range a.credentials {
		if bytes.Equal(a.credentials[i].ID, used.ID) {
			a.credentials[i] = *used
		}
	}
	s.enter(v, a, howOf(shopSignIn, answer.Response.AuthenticatorData.Flags))
	return nil
}

func (s *shop) byHandle(handle []byte) *shopAccount {
	for _, a := range s.accounts {
		if bytes.Equal(a.id, handle) {
			return a
		}
	}
	return nil
}

// errShopAnswer is the refusal of an answer that does not hold.
func errShopAnswer(err error) error {
	return shopRefusal{http.StatusUnprocessableEntity, "the shop does not accept the key's answer: " + err.Error()}
}
