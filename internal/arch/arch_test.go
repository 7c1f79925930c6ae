package arch_test

import (
	"testing"

	"github.com/keyhold/keyhold/internal/arch"
)

func TestTree_keepsTheRules(t *testing.T) {
	for _, v := range arch.Check("../..") {
		t.Error(v)
	}
}
