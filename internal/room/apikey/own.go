package apikey

import (
	"context"
	"strings"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/once"
	"github.com/keyhold/keyhold/internal/base/token"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

// Draft is the token of a Clients key that one workstation's program gets for itself alone.
// It opens nothing before Insert. Use DraftOwn.
type Draft struct {
	token token.Token
	hash  stored
}

// DraftOwn draws the token of a program's own key. Whoever asks may: nothing is written.
func (s *Service) DraftOwn(context.Context, auth.Caller) Draft {
	t := token.Issue(token.KindClient)
	return Draft{token: t, hash: s.hashes.make(t)}
}

// Token returns the token, which nobody can read again.
func (d Draft) Token() token.Token { return d.token }

// ownHead begins the names of programs' own keys.
const ownHead = "Workstation "

// Insert makes the key, in the transaction that admits the program, which is the caller: its
// enrolment is what allows it. The workspace's limit holds for it. The owners are not told by
// e-mail, as of no program that enrols: the record tells.
func (d Draft) Insert(ctx context.Context, t Tx, by auth.Caller, now time.Time) (Key, error) {
	maxDays, err := t.APIKeyMaxDays(ctx, by.Workspace)
	if err != nil {
		return Key{}, err
	}
	k, f := NewKey{Name: ownName(by.Name), Type: Clients}.key(auth.Standing{}, maxDays, now)
	if f != nil {
		return Key{}, f
	}
	k.Workspace, k.TokenID, k.TokenHash, k.Pepper = by.Workspace, d.token.ID, d.hash.hash, d.hash.pepper
	k.CreatedBy = activity.Party{Type: string(by.Kind), ID: by.Identity(), Name: by.Name}
	if err := t.InsertAPIKey(ctx, k); err != nil {
		return Key{}, err
	}
	once.Note(ctx, string(k.ID))
	return k, activity.Append(ctx, t, by, activity.Event{Action: "api_key.create", Detail: string(k.Type), Target: k.party()}, now)
}

// ownName names a program's own key after the program. Names of keys may repeat.
func ownName(program string) string {
	name := []rune(ownHead + program)
	return strings.TrimSpace(string(name[:min(len(name), maxName)]))
}
