package keeper

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyhold/keyhold/internal/base/secret"
	"github.com/keyhold/keyhold/internal/ledger/activity"
)

var _ activity.Signer = (*Signer)(nil)

// TestSigner_isDerivedForEver holds the derivation: another one would know none of
// the checkpoints that were kept.
func TestSigner_isDerivedForEver(t *testing.T) {
	pepper := make([]byte, pepperLen)
	for i := range pepper {
		pepper[i] = byte(i)
	}
	from, err := newSigning([]secret.Bytes{secret.New(pepper)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &Signer{}
	s.now.Store(&from)
	const want = "f784c407adcc5ba531baaf4e8d56f897bc6849593bf070d7e09dd07da13f070f"
	if got := hex.EncodeToString(s.PublicKey()); got != want {
		t.Errorf("PublicKey() = %s, want %s", got, want)
	}
	if !ed25519.Verify(s.PublicKey(), []byte("text"), s.Sign([]byte("text"))) {
		t.Error("the signature does not fit the public key")
	}
}

func TestSigner_knowsFormerPeppers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	before := open(t, path).Signer()
	if again := open(t, path).Signer(); !again.PublicKey().Equal(before.PublicKey()) {
		t.Error("opened again, the file gives another key")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	doc.Peppers = append([]pepper{{ID: 2, Value: base64.RawURLEncoding.EncodeToString(newPepper())}}, doc.Peppers...)
	if raw, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	after := open(t, path).Signer()
	if after.PublicKey().Equal(before.PublicKey()) || !after.Knows(before.PublicKey()) || !after.Knows(after.PublicKey()) || before.Knows(after.PublicKey()) {
		t.Error("with a new pepper: want a new key, and the old one still known")
	}
}
