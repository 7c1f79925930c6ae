package api

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

type resetPINInput struct {
	SecurityKeyPath
	Body *struct { // none is one without options
		PIN         string `json:"pin,omitempty" maxLength:"256" doc:"One is generated if it is left out."`
		PINDelivery string `json:"pin_delivery,omitempty" enum:"email,response" doc:"email, if it is left out: the holder gets the PIN. response: it is in this answer only."`
		MustChange  bool   `json:"must_change,omitempty" doc:"The holder is to choose another one."`
	}
}

type manyKeysInput struct {
	Body struct {
		IDs []string `json:"ids" nullable:"false" minItems:"1" maxItems:"200" doc:"Ids of security keys: sk_…"`
	}
}

// bindingBody is one line of the record of the keys that a user ever had.
type bindingBody struct {
	SecurityKey string     `json:"security_key" doc:"The key's id, also when it is gone."`
	Kind        string     `json:"kind" enum:"contactless_card,smartphone,fido2"`
	Name        string     `json:"name"`
	Model       string     `json:"model"`
	CreatedAt   time.Time  `json:"created_at"`
	ActivatedAt *time.Time `json:"activated_at" doc:"Null if it never was active."`
	EndedAt     *time.Time `json:"ended_at" doc:"Null while the key is there."`
	EndedAs     string     `json:"ended_as" enum:",deleted,user_deleted" doc:"Empty while the key is there."`
}

// registerManyKeys is the route registration of acts on many security keys.
func (a *restAPI) registerManyKeys() {
	const each = " in one transaction. Every id has an outcome of its own. Needs the permission security_keys.write"
	registerPost(a, operation("suspend-security-keys", http.MethodPost, "/security-keys/suspend", "Suspend several security keys", "As suspending each,"+each+"."), a.suspendKeys, a.repeatMany)
	registerPost(a, operation("activate-security-keys", http.MethodPost, "/security-keys/activate", "Activate several suspended security keys",
		"As activating each,"+each+"; for each key all permissions that its holder has."), a.activateKeys, a.repeatMany)
	registerPost(a, operation("delete-security-keys", http.MethodPost, "/security-keys/delete", "Delete several security keys", "As deleting each,"+each+"."), a.deleteKeys, a.repeatMany)
}

// keyAct is an act on one security key that needs no more than its id.
type keyAct func(ctx context.Context, by auth.Caller, k id.SecurityKey) (securitykey.SecurityKey, error)

func (a *restAPI) actOn(ctx context.Context, by auth.Caller, in *SecurityKeyPath, act keyAct) (*securityKeyOutput, error) {
	k, err := act(ctx, by, in.key())
	if err != nil {
		return nil, err
	}
	return a.securityKeyAnswer(k), nil
}

func (a *restAPI) suspendSecurityKey(ctx context.Context, by auth.Caller, in *SecurityKeyPath) (*securityKeyOutput, error) {
	return a.actOn(ctx, by, in, a.c.SecurityKeys.Suspend)
}

func (a *restAPI) activateSecurityKey(ctx context.Context, by auth.Caller, in *SecurityKeyPath) (*securityKeyOutput, error) {
	return a.actOn(ctx, by, in, a.c.SecurityKeys.Activate)
}

func (a *restAPI) confirmSecurityKey(ctx context.Context, by auth.Caller, in *SecurityKeyPath) (*securityKeyOutput, error) {
	return a.actOn(ctx, by, in, a.c.SecurityKeys.Confirm)
}

func (a *restAPI) resendActivation(ctx context.Context, by auth.Caller, in *SecurityKeyPath) (*securityKeyOutput, error) {
	return a.actOn(ctx, by, in, a.c.SecurityKeys.ResendActivation)
}

// repeatSecurityKey answers a repeat as the act did: without the card's number.
func (a *restAPI) repeatSecurityKey(ctx context.Context, as auth.Caller, _ *SecurityKeyPath, note string) (*securityKeyOutput, error) {
	d, err := a.c.SecurityKeys.Find(ctx, as, SecurityKeyPath{ID: note}.key())
	if err != nil {
		return nil, err
	}
	return a.securityKeyAnswer(d.Key), nil
}

func (a *restAPI) resetPIN(ctx context.Context, by auth.Caller, in *resetPINInput) (*issuedKeyOutput, error) {
	var r securitykey.Reset
	if b := in.Body; b != nil {
		r = securitykey.Reset{PIN: secret.FromString(b.PIN), Delivery: securitykey.Delivery(b.PINDelivery), MustChange: b.MustChange}
	}
	issued, err := a.c.SecurityKeys.ResetPIN(ctx, by, in.key(), r)
	if err != nil {
		return nil, err
	}
	return a.issuedAnswer(issued, false), nil
}

func (a *restAPI) repeatReset(ctx context.Context, as auth.Caller, in *resetPINInput, note string) (*issuedKeyOutput, error) {
	d, err := a.c.SecurityKeys.Find(ctx, as, SecurityKeyPath{ID: note}.key())
	if err != nil {
		return nil, err
	}
	return a.issuedAnswer(securitykey.Issued{Key: d.Key}, in.Body != nil && in.Body.PINDelivery == string(securitykey.DeliverResponse)), nil
}

// keyIDs parses ids. What is none becomes the zero id, which no key has.
func keyIDs(texts []string) []id.SecurityKey {
	out := make([]id.SecurityKey, len(texts))
	for i, text := range texts {
		out[i] = SecurityKeyPath{ID: text}.key()
	}
	return out
}

func keysAnswer(texts []string, rows []securitykey.Outcome) *outcomesOutput {
	out := &outcomesOutput{}
	out.Body.Data = make([]outcomeBody, len(rows))
	for i, row := range rows {
		f, _ := fault.As(row.Fault)
		out.Body.Data[i] = renderOutcome(texts[i], f)
	}
	return out
}

// keysAct is an act on many security keys.
type keysAct func(ctx context.Context, by auth.Caller, ks []id.SecurityKey) ([]securitykey.Outcome, error)

func actOnMany(ctx context.Context, by auth.Caller, in *manyKeysInput, act keysAct) (*outcomesOutput, error) {
	rows, err := act(ctx, by, keyIDs(in.Body.IDs))
	if err != nil {
		return nil, err
	}
	return keysAnswer(in.Body.IDs, rows), nil
}

func (a *restAPI) suspendKeys(ctx context.Context, by auth.Caller, in *manyKeysInput) (*outcomesOutput, error) {
	return actOnMany(ctx, by, in, a.c.SecurityKeys.SuspendMany)
}

func (a *restAPI) activateKeys(ctx context.Context, by auth.Caller, in *manyKeysInput) (*outcomesOutput, error) {
	return actOnMany(ctx, by, in, a.c.SecurityKeys.ActivateMany)
}

func (a *restAPI) deleteKeys(ctx context.Context, by auth.Caller, in *manyKeysInput) (*outcomesOutput, error) {
	return actOnMany(ctx, by, in, a.c.SecurityKeys.DeleteMany)
}

func (a *restAPI) repeatMany(_ context.Context, _ auth.Caller, in *manyKeysInput, note string) (*outcomesOutput, error) {
	return keysAnswer(in.Body.IDs, securitykey.FromNote(keyIDs(in.Body.IDs), note)), nil
}

func (a *restAPI) getKeyRecord(ctx context.Context, by auth.Caller, in *UserPath) (*listOutput[bindingBody], error) {
	all, err := a.c.SecurityKeys.History(ctx, by, in.user())
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, whole(all), "", func(b securitykey.Binding) bindingBody {
		return bindingBody{
			SecurityKey: string(b.Key), Kind: string(b.Kind), Name: b.Name, Model: b.Model, CreatedAt: b.CreatedAt,
			ActivatedAt: optionalTime(b.ActivatedAt), EndedAt: optionalTime(b.EndedAt), EndedAs: b.EndedAs,
		}
	})
}
