package seal_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/keyhold/keyhold/internal/base/seal"
	"github.com/keyhold/keyhold/internal/base/secret"
)

// memory is a keeper whose key nobody keeps.
type memory struct{ box tink.AEAD }

func newMemory(t *testing.T) memory {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	box, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return memory{box}
}

func (m memory) Wrap(_ context.Context, plain secret.Bytes, associated []byte) ([]byte, error) {
	return m.box.Encrypt(plain.Expose(), associated)
}

func (m memory) Unwrap(_ context.Context, wrapped, associated []byte) (secret.Bytes, error) {
	plain, err := m.box.Decrypt(wrapped, associated)
	return secret.New(plain), err
}

// away is a keeper that does not answer.
type away struct{}

var errAway = errors.New("the keeper is away")

func (away) Wrap(context.Context, secret.Bytes, []byte) ([]byte, error) { return nil, errAway }

func (away) Unwrap(context.Context, []byte, []byte) (secret.Bytes, error) {
	return secret.Bytes{}, errAway
}

func newKey(t *testing.T, keeper seal.Keeper, workspace string) (seal.Key, []byte) {
	t.Helper()
	key, wrapped, err := seal.NewKey(context.Background(), keeper, workspace)
	if err != nil {
		t.Fatalf("NewKey() error = %v", err)
	}
	return key, wrapped
}

func sealed(t *testing.T, key seal.Key, plain string, of seal.Identity) []byte {
	t.Helper()
	out, err := key.Seal(secret.FromString(plain), of)
	if err != nil {
		t.Fatalf("Seal() error = %v", err)
	}
	return out
}

func row() seal.Identity {
	return seal.Identity{Workspace: "ws_1", Owner: "user_1", Kind: "pin", ID: "pin_1"}
}

func TestOpen_returnsWhatWasSealed(t *testing.T) {
	keeper := newMemory(t)
	key, wrapped := newKey(t, keeper, "ws_1")
	for _, plain := range []string{"", "1234", strings.Repeat("long ", 10_000)} {
		box := sealed(t, key, plain, row())
		if plain != "" && bytes.Contains(box, []byte(plain)) {
			t.Errorf("Seal() of %d bytes: want no plain text inside, got it", len(plain))
		}
		again, err := seal.OpenKey(context.Background(), keeper, "ws_1", wrapped)
		if err != nil {
			t.Fatalf("OpenKey() error = %v", err)
		}
		for name, k := range map[string]seal.Key{"the key that sealed": key, "the key after unwrapping": again} {
			got, err := k.Open(box, row())
			if err != nil || got.ExposeString() != plain {
				t.Errorf("Open() by %s: want %d bytes as sealed, got %d, error %v", name, len(plain), len(got.Expose()), err)
			}
		}
	}
}

func TestSeal_twiceDiffers(t *testing.T) {
	key, _ := newKey(t, newMemory(t), "ws_1")
	if a, b := sealed(t, key, "1234", row()), sealed(t, key, "1234", row()); bytes.Equal(a, b) {
		t.Error("Seal() of the same twice: want different bytes, got equal ones")
	}
}

func TestOpen_refusesAnotherRow(t *testing.T) {
	key, _ := newKey(t, newMemory(t), "ws_1")
	box := sealed(t, key, "1234", row())
	for name, change := range map[string]func(*seal.Identity){
		"workspace": func(i *seal.Identity) { i.Workspace = "ws_2" },
		"owner":     func(i *seal.Identity) { i.Owner = "user_2" },
		"kind":      func(i *seal.Identity) { i.Kind = "code" },
		"id":        func(i *seal.Identity) { i.ID = "pin_2" },
		"borders":   func(i *seal.Identity) { i.Owner, i.Kind = i.Owner+i.Kind, "" },
		"nothing":   func(i *seal.Identity) { *i = seal.Identity{} },
	} {
		other := row()
		change(&other)
		if plain, err := key.Open(box, other); err == nil || !plain.IsEmpty() {
			t.Errorf("Open() with another %s: want an error, got %d bytes, error %v", name, len(plain.Expose()), err)
		}
	}
}

func TestOpen_refusesChangedBytes(t *testing.T) {
	key, _ := newKey(t, newMemory(t), "ws_1")
	box := sealed(t, key, "1234", row())
	for i := range box {
		changed := bytes.Clone(box)
		changed[i] ^= 0x80
		if _, err := key.Open(changed, row()); err == nil {
			t.Errorf("Open() with byte %d changed: want an error, got none", i)
		}
	}
	for n := range box {
		if _, err := key.Open(box[:n], row()); err == nil {
			t.Errorf("Open() of the first %d bytes: want an error, got none", n)
		}
	}
	other, _ := newKey(t, newMemory(t), "ws_1")
	if _, err := other.Open(box, row()); err == nil {
		t.Error("Open() by another key: want an error, got none")
	}
}

func TestOpenKey_refuses(t *testing.T) {
	ctx := context.Background()
	keeper := newMemory(t)
	_, wrapped := newKey(t, keeper, "ws_1")
	if _, err := seal.OpenKey(ctx, keeper, "ws_2", wrapped); err == nil {
		t.Error("OpenKey() for another workspace: want an error, got none")
	}
	if _, err := seal.OpenKey(ctx, newMemory(t), "ws_1", wrapped); err == nil {
		t.Error("OpenKey() by another keeper: want an error, got none")
	}
	if _, err := seal.OpenKey(ctx, keeper, "ws_1", wrapped[1:]); err == nil {
		t.Error("OpenKey() of cut bytes: want an error, got none")
	}
}

func TestKey_passesTheKeepersErrorOn(t *testing.T) {
	ctx := context.Background()
	if _, _, err := seal.NewKey(ctx, away{}, "ws_1"); !errors.Is(err, errAway) || !strings.Contains(err.Error(), "ws_1") {
		t.Errorf("NewKey(): want the keeper's error with the workspace, got %v", err)
	}
	if _, err := seal.OpenKey(ctx, away{}, "ws_1", nil); !errors.Is(err, errAway) || !strings.Contains(err.Error(), "ws_1") {
		t.Errorf("OpenKey(): want the keeper's error with the workspace, got %v", err)
	}
}
