package store

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPiece_comesBack(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 2, 254, 255, 256, 257, 4000, pieceDocs} {
		var p, back piece
		want := random.Perm(pieceDocs)[:n]
		for _, number := range want {
			p.set(number)
		}
		slices.Sort(want)
		stored := p.encode()
		if err := back.add(stored); err != nil || back != p || back.count() != n || !slices.Equal(back.numbers(), want) {
			t.Errorf("a set of %d does not come back from %d bytes: %v", n, len(stored), err)
		}
		if len(stored) > pieceBytes {
			t.Errorf("a set of %d takes %d bytes, want at most %d", n, len(stored), pieceBytes)
		}
		if n > 0 {
			back.remove(want[0])
			if back.count() != n-1 {
				t.Errorf("a set of %d has %d without one", n, back.count())
			}
		}
	}
	for _, damaged := range [][]byte{{1}, {0xff, 0xff}, make([]byte, pieceBytes+2)} {
		if err := new(piece).add(damaged); err == nil {
			t.Errorf("%d damaged bytes are accepted", len(damaged))
		}
	}
}

func TestIsPosted(t *testing.T) {
	for term, want := range map[string]bool{
		"anna": true, "müller": true, "r2": true, "日本": true, "": false, "2r": false, "a.b": false, "a@b": false, "-a": false, "a-": false,
	} {
		if got := isPosted(term); got != want {
			t.Errorf("isPosted(%q) = %v, want %v", term, got, want)
		}
	}
}
