package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/ledger/lease"
	"github.com/keyhold/keyhold/internal/store"
)

func leaseCases() []testCase {
	return []testCase{
		{name: "withdrawals are numbered without gaps in the order of the commits", run: withdrawals, alone: true},
		{name: "what was withdrawn is kept for a while", run: keptWithdrawals, alone: true},
		{name: "replicas come, beat and go", run: replicas, alone: true},
	}
}

// withdrawn lists all withdrawals after a number, in pages.
func withdrawn(t testing.TB, d Database, after int64, limit int) (out []lease.Withdrawal, head int64) {
	t.Helper()
	for {
		var list []lease.Withdrawal
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			if list, err = tx.ListWithdrawals(ctx, after, limit); err != nil {
				return err
			}
			head, err = tx.LastWithdrawal(ctx)
			return err
		})
		if len(list) > limit {
			t.Fatalf("a page of %d withdrawals, want at most %d", len(list), limit)
		}
		if len(list) == 0 {
			return out, head
		}
		out = append(out, list...)
		after = list[len(list)-1].N
	}
}

// withdrawals lets many write at once while another reads on, as servers do: what it
// reads never has a gap, and nothing comes below what it has read.
func withdrawals(t *testing.T, d Database) {
	const writers, each = 50, 4
	undo := errors.New("undo")
	over := make(chan struct{})
	var reading, writing sync.WaitGroup
	reading.Go(func() {
		next := int64(1)
		for last := false; ; {
			list, _ := withdrawn(t, d, next-1, 7)
			for _, w := range list {
				if w.N != next {
					t.Errorf("after %d comes %d: a number is missing or came late", next-1, w.N)
					return
				}
				next++
			}
			if last {
				return
			}
			select {
			case <-over:
				last = true
			default:
			}
		}
	})
	for i := range writers {
		writing.Go(func() {
			for j := range each {
				name := fmt.Sprintf("token/%d-%d", i, j)
				failing := rand.IntN(4) == 0
				err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error {
					if err := tx.Withdraw(ctx, name, name+"/more"); err != nil {
						return err
					}
					if failing {
						return undo
					}
					return nil
				})
				if failing != errors.Is(err, undo) || !failing && err != nil {
					t.Errorf("Write() = %v, failing %v", err, failing)
				}
				if failing {
					err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.Withdraw(ctx, name, name+"/more") })
					if err != nil {
						t.Errorf("Write() = %v, want nil", err)
					}
				}
			}
		})
	}
	writing.Wait()
	close(over)
	reading.Wait()
	all, head := withdrawn(t, d, 0, 100)
	if len(all) != 2*writers*each || head != int64(len(all)) {
		t.Fatalf("%d withdrawals, the head is %d; want %d: what was undone leaves no number", len(all), head, 2*writers*each)
	}
	seen := map[string]bool{}
	for i, w := range all {
		if w.N != int64(i+1) || seen[w.Subject] {
			t.Errorf("withdrawal %d is %+v, want its number, and each subject once", i+1, w)
		}
		seen[w.Subject] = true
		if i%2 == 1 && all[i-1].Subject+"/more" != w.Subject {
			t.Errorf("%s follows %s, want the two of one act together", w.Subject, all[i-1].Subject)
		}
	}
}

func keptWithdrawals(t *testing.T, d Database) {
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		tx.AwaitWithdrawals() // writes nothing
		return tx.Withdraw(ctx)
	})
	if _, head := withdrawn(t, d, 0, 10); head != 0 {
		t.Errorf("the head is %d after nothing was withdrawn, want 0", head)
	}
	for range 3 {
		subjects := slices.Repeat([]string{"token/x"}, lease.Keep/2)
		Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.Withdraw(ctx, subjects...) })
	}
	list, head := withdrawn(t, d, 0, 1000)
	if want := int64(lease.Keep / 2 * 3); head != want || int64(len(list)) != lease.Keep || list[0].N != want-lease.Keep+1 {
		t.Errorf("%d withdrawals from %d, the head is %d; want the last %d of %d", len(list), list[0].N, head, lease.Keep, want)
	}
	if err := write(t.Context(), d.Store, func(ctx context.Context, tx *store.Tx) error { return tx.Withdraw(ctx, "token/y") }); err != nil {
		t.Fatal(err)
	}
	if list, _ := withdrawn(t, d, head, 10); len(list) != 1 || list[0] != (lease.Withdrawal{N: head + 1, Subject: "token/y"}) {
		t.Errorf("after the head come %+v, want the one", list)
	}
}

func replicas(t *testing.T, d Database) {
	list := func() (out []lease.Replica) {
		Read(t, d.Store, func(ctx context.Context, tx *store.Tx) (err error) {
			out, err = tx.ListReplicas(ctx)
			return err
		})
		return out
	}
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.InsertReplica(ctx, lease.Replica{ID: "b", Seen: 7}), tx.InsertReplica(ctx, lease.Replica{ID: "a"}))
	})
	same(t, "the replicas", list(), []lease.Replica{{ID: "a"}, {ID: "b", Seen: 7}})
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for replica, want := range map[string]bool{"a": true, "none": false} {
			if there, err := tx.BeatReplica(ctx, replica, 9); err != nil || there != want {
				t.Errorf("BeatReplica(%s) = %v (%v), want %v", replica, there, err, want)
			}
		}
		// Who comes back under its old name is not the one that was seen before.
		return tx.InsertReplica(ctx, lease.Replica{ID: "b", Seen: 8})
	})
	same(t, "the replicas", list(), []lease.Replica{{ID: "a", Beat: 1, Seen: 9}, {ID: "b", Beat: 1, Seen: 8}})
	Write(t, d.Store, func(ctx context.Context, tx *store.Tx) error {
		for _, c := range []struct {
			replica string
			beat    int64
			want    bool
		}{{"a", 0, false}, {"a", 2, false}, {"a", 1, true}, {"a", 1, false}, {"none", 0, false}} {
			if gone, err := tx.DeleteReplica(ctx, c.replica, c.beat); err != nil || gone != c.want {
				t.Errorf("DeleteReplica(%s, %d) = %v (%v), want %v", c.replica, c.beat, gone, err, c.want)
			}
		}
		return nil
	})
	same(t, "the replicas", list(), []lease.Replica{{ID: "b", Beat: 1, Seen: 8}})
}
