package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// holderBody is the user who holds a key.
type holderBody struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// cardBody is the number of a contactless card.
type cardBody struct {
	Type   string `json:"type" enum:"uid" doc:"uid: the card's UID in upper-case hex, 4, 7 or 10 bytes in the reader's order."`
	Number string `json:"number,omitempty" doc:"In the answer with one key only; lists leave it out."`
}

// pinStateBody is how a card's PIN is doing.
type pinStateBody struct {
	SetAt       time.Time  `json:"set_at"`
	Locked      bool       `json:"locked" doc:"Too many wrong tries: no PIN is taken until it is reset."`
	PausedUntil *time.Time `json:"paused_until" doc:"No PIN is taken before; null if it is not paused."`
	MustChange  bool       `json:"must_change" doc:"The holder is to choose another one."`
}

// SecurityKeyBody is a security key as the API shows it. It is exported for huma, as
// ListInput is.
type SecurityKeyBody struct {
	ID                  string        `json:"id" example:"sk_01jd3v9b8eexav2f6hqdr3wzkt"`
	User                holderBody    `json:"user" doc:"Who holds it."`
	Kind                string        `json:"kind" enum:"contactless_card,smartphone,fido2"`
	Name                string        `json:"name"`
	Model               string        `json:"model"`
	AAGUID              string        `json:"aaguid" doc:"The model's id, of a FIDO2 key that tells it."`
	Status              string        `json:"status" enum:"new,pending,active,suspended" doc:"suspended hides the others until the key is activated again."`
	Suspended           bool          `json:"suspended"`
	ToConfirm           bool          `json:"to_confirm" doc:"The holder did their part; an administrator has to confirm the key."`
	Verification        string        `json:"verification" enum:"pin,pinless,phone"`
	Proximity           bool          `json:"proximity" doc:"The phone must be near the computer."`
	DeviceAccess        string        `json:"device_access" enum:"single,multiple"`
	Card                *cardBody     `json:"card" doc:"Null without a card number."`
	PINState            *pinStateBody `json:"pin_state" doc:"Null without a PIN that Keyhold keeps."`
	CreatedAt           time.Time     `json:"created_at"`
	ActivatedAt         *time.Time    `json:"activated_at" doc:"When it last became active; null for never."`
	ActivationExpiresAt *time.Time    `json:"activation_expires_at" doc:"How long the link works that the holder was sent; null without one."`
	LastActivityAt      *time.Time    `json:"last_activity_at"`
	TotalActivities     int64         `json:"total_activities"`
}

func (a *restAPI) renderSecurityKey(k securitykey.SecurityKey) SecurityKeyBody {
	now := a.c.Kit.Clock().Now()
	b := SecurityKeyBody{
		ID: string(k.ID), User: holderBody{ID: string(k.User), Name: k.Holder.Name, Email: k.Holder.Email}, Kind: string(k.Kind), Name: k.Name, Model: k.Model,
		AAGUID: k.AAGUID, Status: string(k.Shown()), Suspended: !k.SuspendedAt.IsZero(), ToConfirm: k.ToConfirm, Verification: string(k.Verification),
		Proximity: k.Proximity, DeviceAccess: "single", CreatedAt: k.CreatedAt, ActivatedAt: optionalTime(k.ActivatedAt),
		LastActivityAt: optionalTime(k.LastActivityAt), TotalActivities: k.Total,
	}
	if k.Card.Type != "" {
		b.Card = &cardBody{Type: k.Card.Type}
	}
	if len(k.PIN.Verifier) > 0 {
		b.PINState = &pinStateBody{SetAt: k.PIN.SetAt, Locked: k.PIN.Locked(), MustChange: k.PIN.MustChange}
		if now.Before(k.PIN.PausedUntil) && !k.PIN.Locked() {
			b.PINState.PausedUntil = &k.PIN.PausedUntil
		}
	}
	if k.Link.ID != "" && now.Before(k.Link.ExpiresAt) {
		b.ActivationExpiresAt = &k.Link.ExpiresAt
	}
	return b
}

// securityKeyOutput is the answer with one security key.
type securityKeyOutput struct {
	ETag string `header:"ETag" doc:"The key's revision, for If-Match."`
	Body SecurityKeyBody
}

func (a *restAPI) securityKeyAnswer(k securitykey.SecurityKey) *securityKeyOutput {
	return &securityKeyOutput{ETag: etag(k.Revision), Body: a.renderSecurityKey(k)}
}

// issuedKeyBody is a security key with the PIN that is shown this once.
type issuedKeyBody struct {
	SecurityKeyBody
	PIN                string `json:"pin,omitempty" doc:"With pin_delivery response. It is shown this once."`
	SecretAlreadyShown bool   `json:"secret_already_shown,omitempty" doc:"True in the answer to a repeat, which has no pin."`
}

type issuedKeyOutput struct {
	CacheControl string `header:"Cache-Control"`
	ETag         string `header:"ETag" doc:"The key's revision, for If-Match."`
	Location     string `header:"Location"`
	Body         issuedKeyBody
}

func (a *restAPI) issuedAnswer(i securitykey.Issued, shown bool) *issuedKeyOutput {
	return &issuedKeyOutput{
		CacheControl: "no-store", ETag: etag(i.Key.Revision), Location: Prefix + "/security-keys/" + string(i.Key.ID),
		Body: issuedKeyBody{SecurityKeyBody: a.renderSecurityKey(i.Key), PIN: i.PIN.ExposeString(), SecretAlreadyShown: shown},
	}
}

// SecurityKeyPath names one security key. It is exported for huma, as ListInput is.
type SecurityKeyPath struct {
	ID string `path:"id" doc:"The security key's id: sk_…"`
}

// key returns the id, or the zero id if it cannot be one: see KeyPath.
func (p SecurityKeyPath) key() id.SecurityKey {
	k, _ := id.Parse[id.KindSecurityKey](p.ID)
	return k
}

type newCardInput struct {
	Type   string `json:"type,omitempty" enum:"uid" doc:"uid, if it is left out."`
	Number string `json:"number" maxLength:"100" doc:"The UID in hex, in the reader's order; case, spaces, colons and hyphens do not matter."`
}

type createSecurityKeyInput struct {
	UserPath
	Body struct {
		Kind         string        `json:"kind" enum:"contactless_card,smartphone,fido2"`
		Name         string        `json:"name,omitempty" maxLength:"400" doc:"The kind's name, if it is left out."`
		Model        string        `json:"model,omitempty" maxLength:"400"`
		Activation   string        `json:"activation,omitempty" enum:"now,email" doc:"now: the card is at hand, and its number is given. email: the holder gets a link. Without it, the key waits."`
		Card         *newCardInput `json:"card,omitempty" doc:"Of a contactless card. Without it, the card that the holder taps waits to be confirmed."`
		Verification string        `json:"verification,omitempty" enum:"pin,pinless,phone" doc:"What the kind has, if it is left out. pinless is for cards, where the workspace allows it."`
		Proximity    bool          `json:"proximity,omitempty" doc:"Of a smartphone: it must be near the computer."`
		PIN          string        `json:"pin,omitempty" maxLength:"256" doc:"Of a card that is activated now; one is generated if it is left out."`
		PINDelivery  string        `json:"pin_delivery,omitempty" enum:"email,response" doc:"email, if it is left out: the holder gets the PIN. response: it is in this answer only."`
		MustChange   bool          `json:"must_change,omitempty" doc:"The holder is to choose another PIN."`
	}
}

type patchSecurityKeyInput struct {
	SecurityKeyPath
	IfMatch string `header:"If-Match" doc:"Change the key only if this is its ETag."`
	Body    struct {
		Name         patchText `json:"name,omitempty"`
		Model        patchText `json:"model,omitempty"`
		Proximity    *bool     `json:"proximity,omitempty"`
		Verification *string   `json:"verification,omitempty" enum:"pin,pinless,phone"`
	}
}

type deleteSecurityKeyInput struct {
	SecurityKeyPath
	IfMatch string `header:"If-Match" doc:"Delete the key only if this is its ETag."`
}

type listSecurityKeysInput struct {
	ListInput
	Q           string    `query:"q" maxLength:"400" doc:"Beginnings of words in the key's name and model or the holder's name and e-mail address; or a whole card number."`
	Status      string    `query:"status" enum:"new,pending,active,suspended" doc:"Only keys of this status."`
	Kind        string    `query:"kind" enum:"contactless_card,smartphone,fido2" doc:"Only keys of this kind."`
	Owner       string    `query:"owner" doc:"Only keys of this user: user_…"`
	ToConfirm   bool      `query:"to_confirm" doc:"Only keys that an administrator has to confirm."`
	UnusedSince time.Time `query:"unused_since" doc:"Only keys that were not used since then; a key that never was counts from its activation, or else its creation."`
	Sort        string    `query:"sort" doc:"name, created_at or last_activity, followed by ,ascend or ,descend."`
}

// registerSecurityKeys is the route registration of the security keys' operations.
func (a *restAPI) registerSecurityKeys() {
	const read, write = "Needs the permission security_keys.read.", "Needs the permission security_keys.write"
	const rise = " and all permissions that the holder has."
	register(a, operation("list-security-keys", http.MethodGet, "/security-keys", "List security keys", read), a.listSecurityKeys)
	register(a, operation("list-user-security-keys", http.MethodGet, "/users/{id}/security-keys", "List a user's security keys", "All of them, oldest first. "+read, http.StatusNotFound), a.listUserKeys)
	register(a, operation("get-user-security-key-record", http.MethodGet, "/users/{id}/security-key-record", "List all keys that a user ever had",
		"Newest first, those that are gone too; it stays when the user goes. "+read, http.StatusNotFound), a.getKeyRecord)
	create := operation("create-security-key", http.MethodPost, "/users/{id}/security-keys", "Give a user a security key",
		"A card with its number can be activated now; every kind by a link that is sent to the holder. "+write+" and all permissions that the user holds.",
		http.StatusNotFound, http.StatusConflict)
	create.DefaultStatus = http.StatusCreated
	registerPost(a, create, a.createSecurityKey, a.repeatCreateKey)
	register(a, operation("get-security-key", http.MethodGet, "/security-keys/{id}", "Get a security key", read, http.StatusNotFound), a.getSecurityKey)
	register(a, operation("patch-security-key", http.MethodPatch, "/security-keys/{id}", "Change a security key",
		"A merge patch (RFC 7396). "+write+" and, for another verification, all permissions that the holder has.",
		http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed), a.patchSecurityKey)
	register(a, operation("delete-security-key", http.MethodDelete, "/security-keys/{id}", "Delete a security key",
		"With its passkey and the sessions that this opened. The key's activities stay. "+write+".", http.StatusNotFound, http.StatusPreconditionFailed), a.deleteSecurityKey)
	registerPost(a, operation("suspend-security-key", http.MethodPost, "/security-keys/{id}/suspend", "Suspend a security key",
		"It opens nothing until it is activated, and the sessions that its passkey opened end. "+write+".", http.StatusNotFound), a.suspendSecurityKey, a.repeatSecurityKey)
	registerPost(a, operation("activate-security-key", http.MethodPost, "/security-keys/{id}/activate", "Activate a suspended security key",
		"It is as it was before; one that is not suspended stays as it is. "+write+rise, http.StatusNotFound), a.activateSecurityKey, a.repeatSecurityKey)
	registerPost(a, operation("confirm-security-key", http.MethodPost, "/security-keys/{id}/confirm", "Confirm a security key",
		"Makes a key active whose holder did their part. "+write+rise, http.StatusNotFound, http.StatusConflict), a.confirmSecurityKey, a.repeatSecurityKey)
	registerPost(a, operation("resend-security-key-activation", http.MethodPost, "/security-keys/{id}/resend-activation", "Send the activation again",
		"A fresh link, of a key that is not active yet; the old one is dead, and what waited to be confirmed is dropped. "+write+rise,
		http.StatusNotFound, http.StatusConflict), a.resendActivation, a.repeatSecurityKey)
	registerPost(a, operation("reset-security-key-pin", http.MethodPost, "/security-keys/{id}/reset-pin", "Reset the PIN of a card",
		"Sets or generates a PIN and begins its tries anew. "+write+rise, http.StatusNotFound, http.StatusConflict), a.resetPIN, a.repeatReset)
	a.registerManyKeys()
	a.registerKeySettings()
}

func (a *restAPI) listSecurityKeys(ctx context.Context, by auth.Caller, in *listSecurityKeysInput) (*listOutput[SecurityKeyBody], error) {
	name := queryName("security-keys", in.Q, in.Status, in.Kind, in.Owner, strconv.FormatBool(in.ToConfirm), in.UnusedSince.UTC().Format(time.RFC3339Nano), in.Sort)
	r, err := a.pageOf(ctx, by, in.ListInput, in.Sort, name, securitykey.Sorts())
	if err != nil {
		return nil, err
	}
	q := securitykey.Query{
		Status: securitykey.Status(in.Status), Kind: securitykey.Kind(in.Kind), ToConfirm: in.ToConfirm, UnusedSince: in.UnusedSince, Page: r,
	}
	if in.Owner != "" {
		u, ok := id.Parse[id.KindUser](in.Owner)
		if !ok {
			return nil, fieldFault("owner", "is no user's id")
		}
		q.User = u
	}
	p, err := a.c.SecurityKeys.List(ctx, by, in.Q, q)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, p, name, a.renderSecurityKey)
}

func (a *restAPI) listUserKeys(ctx context.Context, by auth.Caller, in *UserPath) (*listOutput[SecurityKeyBody], error) {
	all, err := a.c.SecurityKeys.KeysOf(ctx, by, in.user())
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, whole(all), "", a.renderSecurityKey)
}

func (a *restAPI) createSecurityKey(ctx context.Context, by auth.Caller, in *createSecurityKeyInput) (*issuedKeyOutput, error) {
	b := in.Body
	n := securitykey.NewKey{
		Kind: securitykey.Kind(b.Kind), Name: b.Name, Model: b.Model, Activation: securitykey.Activation(b.Activation),
		Verification: securitykey.Verification(b.Verification), Proximity: b.Proximity, PIN: secret.FromString(b.PIN),
		Delivery: securitykey.Delivery(b.PINDelivery), MustChange: b.MustChange,
	}
	if b.Card != nil {
		if n.CardType, n.CardNumber = b.Card.Type, b.Card.Number; n.CardNumber == "" {
			return nil, fieldFault("card.number", "is needed")
		}
	}
	issued, err := a.c.SecurityKeys.Create(ctx, by, in.user(), n)
	if err != nil {
		return nil, inCard(err)
	}
	return a.issuedAnswer(issued, false), nil
}

// inCard names the fields of the card as the API has them.
func inCard(err error) error {
	f, ok := fault.As(err)
	if !ok || len(f.Fields) == 0 {
		return err
	}
	named := *f
	named.Fields = nil
	for _, field := range f.Fields {
		switch field.Name {
		case "card_number":
			field.Name = "card.number"
		case "card_type":
			field.Name = "card.type"
		}
		named.Fields = append(named.Fields, field)
	}
	return &named
}

// repeatCreateKey answers a repeat without the PIN.
func (a *restAPI) repeatCreateKey(ctx context.Context, as auth.Caller, in *createSecurityKeyInput, note string) (*issuedKeyOutput, error) {
	d, err := a.c.SecurityKeys.Find(ctx, as, SecurityKeyPath{ID: note}.key())
	if err != nil {
		return nil, err
	}
	shown := in.Body.PINDelivery == string(securitykey.DeliverResponse) && in.Body.Activation == string(securitykey.ActivateNow) &&
		in.Body.Verification != string(securitykey.Pinless)
	return a.issuedAnswer(securitykey.Issued{Key: d.Key}, shown), nil
}

func (a *restAPI) getSecurityKey(ctx context.Context, by auth.Caller, in *SecurityKeyPath) (*securityKeyOutput, error) {
	d, err := a.c.SecurityKeys.Find(ctx, by, in.key())
	if err != nil {
		return nil, err
	}
	out := a.securityKeyAnswer(d.Key)
	if out.Body.Card != nil {
		out.Body.Card.Number = d.CardNumber
	}
	return out, nil
}

func (a *restAPI) patchSecurityKey(ctx context.Context, by auth.Caller, in *patchSecurityKeyInput) (*securityKeyOutput, error) {
	k, err := a.c.SecurityKeys.Update(ctx, by, in.key(), securitykey.Change{
		Name: in.Body.Name.value, Model: in.Body.Model.value, Proximity: in.Body.Proximity, Verification: (*securitykey.Verification)(in.Body.Verification),
	}, revisionOf(in.IfMatch))
	if err != nil {
		return nil, err
	}
	return a.securityKeyAnswer(k), nil
}

func (a *restAPI) deleteSecurityKey(ctx context.Context, by auth.Caller, in *deleteSecurityKeyInput) (*struct{}, error) {
	return nil, a.c.SecurityKeys.Delete(ctx, by, in.key(), revisionOf(in.IfMatch))
}
