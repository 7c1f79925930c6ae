// Package seal encrypts secrets at rest. A Keeper (a key file, later a KMS)
// wraps a workspace's sealing key; that wraps a data key per secret; AES-256-GCM
// binds the ciphertext to the row that it belongs to, so that rows cannot be
// swapped. It stores nothing.
package seal

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/keyhold/keyhold/internal/base/secret"
)

// Keeper holds the outermost key. Wrap and Unwrap may go over a network: call
// neither inside a transaction.
type Keeper interface {
	Wrap(ctx context.Context, plain secret.Bytes, associated []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, associated []byte) (secret.Bytes, error)
}

// Identity names the row that a secret belongs to. All four parts are bound to
// the ciphertext.
type Identity struct{ Workspace, Owner, Kind, ID string }

// associated returns the parts so that no two identities read alike: none of
// them may hold a zero byte, and ids and kinds never do.
func (i Identity) associated() []byte {
	return []byte("keyhold/seal/v1\x00" + i.Workspace + "\x00" + i.Owner + "\x00" + i.Kind + "\x00" + i.ID)
}

// Key seals and opens the secrets of one workspace. The zero value is not
// usable: use NewKey and OpenKey.
type Key struct{ box tink.AEAD }

// NewKey makes a sealing key for the workspace and returns it with its wrapped
// form, to be stored.
func NewKey(ctx context.Context, keeper Keeper, workspace string) (Key, []byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return Key{}, nil, fmt.Errorf("making a sealing key: %w", err)
	}
	var plain bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&plain)); err != nil {
		return Key{}, nil, fmt.Errorf("serialising a sealing key: %w", err)
	}
	wrapped, err := keeper.Wrap(ctx, secret.New(plain.Bytes()), keyIdentity(workspace))
	if err != nil {
		return Key{}, nil, fmt.Errorf("wrapping the sealing key of %s: %w", workspace, err)
	}
	k, err := fromHandle(handle)
	return k, wrapped, err
}

// OpenKey returns the workspace's sealing key from its wrapped form.
func OpenKey(ctx context.Context, keeper Keeper, workspace string, wrapped []byte) (Key, error) {
	plain, err := keeper.Unwrap(ctx, wrapped, keyIdentity(workspace))
	if err != nil {
		return Key{}, fmt.Errorf("unwrapping the sealing key of %s: %w", workspace, err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(plain.Expose())))
	if err != nil {
		return Key{}, fmt.Errorf("reading the sealing key of %s: %w", workspace, err)
	}
	return fromHandle(handle)
}

// Seal returns plain encrypted under a data key of its own and bound to of.
func (k Key) Seal(plain secret.Bytes, of Identity) ([]byte, error) {
	sealed, err := k.box.Encrypt(plain.Expose(), of.associated())
	if err != nil {
		return nil, fmt.Errorf("sealing %s %s: %w", of.Kind, of.ID, err)
	}
	return sealed, nil
}

// Open returns what Seal was given. It fails if the bytes were changed or belong
// to another row.
func (k Key) Open(sealed []byte, of Identity) (secret.Bytes, error) {
	plain, err := k.box.Decrypt(sealed, of.associated())
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("opening %s %s: %w", of.Kind, of.ID, err)
	}
	return secret.New(plain), nil
}

func keyIdentity(workspace string) []byte {
	return Identity{Workspace: workspace, Kind: "sealing_key"}.associated()
}

func fromHandle(handle *keyset.Handle) (Key, error) {
	outer, err := aead.New(handle)
	if err != nil {
		return Key{}, fmt.Errorf("using a sealing key: %w", err)
	}
	return Key{box: aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), outer)}, nil
}
