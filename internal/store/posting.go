package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/keyhold/keyhold/internal/base/id"
)

// A posting says which rows have a term, by the rows' numbers. It is kept in pieces
// of pieceDocs numbers: the numbers within the piece as big-endian 16-bit integers
// while they are few, a bit for each once that is shorter.
const (
	pieceDocs  = 4096
	pieceBytes = pieceDocs / 8
)

// piece is a set of numbers below pieceDocs.
type piece [pieceDocs / 64]uint64

func (p *piece) set(n int)    { p[n/64] |= 1 << (n % 64) }
func (p *piece) remove(n int) { p[n/64] &^= 1 << (n % 64) }

func (p *piece) count() (n int) {
	for _, word := range p {
		n += bits.OnesCount64(word)
	}
	return n
}

// numbers returns the set's numbers in their order.
func (p *piece) numbers() []int {
	var out []int
	for i, word := range p {
		for ; word != 0; word &= word - 1 {
			out = append(out, i*64+bits.TrailingZeros64(word))
		}
	}
	return out
}

// encode returns the set in the form in which it is stored.
func (p *piece) encode() []byte {
	if n := p.count(); 2*n < pieceBytes {
		out := make([]byte, 0, 2*n)
		for _, number := range p.numbers() {
			out = binary.BigEndian.AppendUint16(out, uint16(number))
		}
		return out
	}
	out := make([]byte, 0, pieceBytes)
	for _, word := range p {
		out = binary.BigEndian.AppendUint64(out, word)
	}
	return out
}

// add puts the numbers of a stored set into p.
func (p *piece) add(stored []byte) error {
	if len(stored) == pieceBytes {
		for i := range p {
			p[i] |= binary.BigEndian.Uint64(stored[8*i:])
		}
		return nil
	}
	if len(stored)%2 != 0 || len(stored) > pieceBytes {
		return fmt.Errorf("a posting has %d bytes", len(stored))
	}
	for i := 0; i < len(stored); i += 2 {
		n := int(binary.BigEndian.Uint16(stored[i:]))
		if n >= pieceDocs {
			return fmt.Errorf("a posting holds the number %d", n)
		}
		p.set(n)
	}
	return nil
}

// docSet is a set of rows' numbers, by the piece.
type docSet map[int64]*piece

func (s docSet) at(n int64) *piece {
	if s[n] == nil {
		s[n] = &piece{}
	}
	return s[n]
}

// meet keeps what is in both sets.
func (s docSet) meet(other docSet) {
	for n, p := range s {
		o := other[n]
		if o == nil {
			delete(s, n)
			continue
		}
		for i := range p {
			p[i] &= o[i]
		}
	}
}

func (s docSet) count() (n int) {
	for _, p := range s {
		n += p.count()
	}
	return n
}

// docs returns the rows' numbers, in no order.
func (s docSet) docs() []int64 {
	var out []int64
	for n, p := range s {
		for _, number := range p.numbers() {
			out = append(out, n*pieceDocs+int64(number))
		}
	}
	return out
}

// isPosted says whether there is a posting of a term, and whether the postings
// answer for a word: it is of letters and digits and begins with a letter. Every
// term that begins so has such a term as its beginning (see directory.Terms).
func isPosted(term string) bool {
	first, _ := utf8.DecodeRuneInString(term)
	return unicode.IsLetter(first) && !containsOther(term)
}

func containsOther(term string) bool {
	for _, r := range term {
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return true
		}
	}
	return false
}

// docOf returns the row's number, which it gets if it has none yet. The counter's
// row is written in any case: whoever writes postings of a kind does so one after
// the other, from here to the transaction's end.
func (t *Tx) docOf(ctx context.Context, w id.Workspace, kind, row string) (int64, error) {
	if err := t.addTally(ctx, w, "docs/"+kind, 0); err != nil {
		return 0, err
	}
	doc, err := t.number(ctx, `SELECT doc FROM term_doc WHERE workspace = $1 AND kind = $2 AND id = $3`, w, kind, row)
	if err != nil || doc != 0 {
		return doc, err
	}
	if err := t.addTally(ctx, w, "docs/"+kind, 1); err != nil {
		return 0, err
	}
	if doc, err = t.tally(ctx, w, "docs/"+kind); err != nil {
		return 0, err
	}
	return doc, t.must(ctx, `INSERT INTO term_doc (workspace, kind, id, doc) VALUES ($1, $2, $3, $4)`, w, kind, row, doc)
}

// post moves the row in the postings: out of those of the old terms, into those of
// the new ones.
func (t *Tx) post(ctx context.Context, w id.Workspace, kind, row string, old, next []string) error {
	gone := slices.DeleteFunc(slices.Clone(old), func(term string) bool { return !isPosted(term) || slices.Contains(next, term) })
	come := slices.DeleteFunc(slices.Clone(next), func(term string) bool { return !isPosted(term) || slices.Contains(old, term) })
	if len(gone)+len(come) == 0 {
		return nil
	}
	doc, err := t.docOf(ctx, w, kind, row)
	if err != nil {
		return err
	}
	number, within := doc/pieceDocs, int(doc%pieceDocs)
	stored, err := t.pieces(ctx, w, kind, number, append(slices.Clone(gone), come...))
	if err != nil {
		return err
	}
	for _, term := range gone {
		stored[term].remove(within)
	}
	for _, term := range come {
		stored[term].set(within)
	}
	args := []any{w, kind, number}
	for term, p := range stored {
		args = append(args, term, p.encode())
	}
	_, err = t.exec(ctx, upsertPostings(len(stored)), args...)
	return err
}

// pieces returns one piece of each term's posting, empty where there is none.
func (t *Tx) pieces(ctx context.Context, w id.Workspace, kind string, number int64, terms []string) (map[string]*piece, error) {
	out := map[string]*piece{}
	args := []any{w, kind, number}
	for _, term := range terms {
		out[term] = &piece{}
		args = append(args, term)
	}
	_, err := collect(ctx, t, func(row scanner) (struct{}, error) {
		var term string
		var docs []byte
		if err := row.Scan(&term, &docs); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, out[term].add(docs)
	}, selectPostings(len(terms)), args...)
	return out, err
}

// Bounds of a search by postings: how many pieces are read for a word, and how many
// rows are found by their numbers and then sorted.
const (
	maxPieces = 2000
	maxFound  = 3000
)

// posted returns the rows that have a term which begins with the word, or false if
// the postings do not answer for it or are too many to read.
func (t *Tx) posted(ctx context.Context, w id.Workspace, kind, word string) (docSet, bool, error) {
	if !isPosted(word) {
		return nil, false, nil
	}
	out, read := docSet{}, 0
	_, err := collect(ctx, t, func(row scanner) (struct{}, error) {
		var number int64
		var docs []byte
		if err := row.Scan(&number, &docs); err != nil {
			return struct{}{}, err
		}
		read++
		return struct{}{}, out.at(number).add(docs)
	}, `
		SELECT piece, docs FROM posting WHERE workspace = $1 AND kind = $2 AND term >= $3 AND term < $4 LIMIT $5`,
		w, kind, word, word+"\U0010ffff", maxPieces+1)
	return out, read <= maxPieces, err
}

// whereWordsMeet returns the numbers of the rows that can have all the words, if
// the postings tell and they are few. Not all words need be looked at: the rows are
// still to be asked for each.
func (t *Tx) whereWordsMeet(ctx context.Context, w id.Workspace, kind string, words []string) ([]int64, bool, error) {
	var met docSet
	for _, word := range words {
		set, ok, err := t.posted(ctx, w, kind, word)
		if err != nil {
			return nil, false, err
		}
		switch {
		case !ok:
			continue
		case met == nil:
			met = set
		default:
			met.meet(set)
		}
		if met.count() == 0 {
			break
		}
	}
	if met == nil || met.count() > maxFound {
		return nil, false, nil
	}
	return met.docs(), true, nil
}

// postTerms writes the postings of terms that were stored before there were any.
func (t *Tx) postTerms(ctx context.Context, limit int) (int, error) {
	type searched struct {
		workspace id.Workspace
		kind, id  string
	}
	rows, err := collect(ctx, t, func(row scanner) (s searched, err error) {
		err = row.Scan(&s.workspace, &s.kind, &s.id)
		return s, err
	}, `
		SELECT DISTINCT x.workspace, x.kind, x.id FROM term x
		WHERE NOT EXISTS (SELECT 1 FROM term_doc d WHERE d.workspace = x.workspace AND d.kind = x.kind AND d.id = x.id)
		ORDER BY x.workspace, x.kind, x.id LIMIT $1`, limit)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		if _, err := t.docOf(ctx, row.workspace, row.kind, row.id); err != nil { // also for a row that no posting has
			return 0, err
		}
		terms, err := t.terms(ctx, row.workspace, row.kind, row.id)
		if err != nil {
			return 0, err
		}
		if err := t.post(ctx, row.workspace, row.kind, row.id, nil, terms); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}
