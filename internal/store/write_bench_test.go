package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/tx"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// BenchmarkWrite commits small acts durably on SQLite, by as many callers at once
// as the name says: what group commit gains is the difference.
func BenchmarkWrite(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := storetest.Open(b)
			runner := store.For[tx.Latches](s)
			before := store.Commits(s)
			b.SetParallelism(callers) // times GOMAXPROCS, which is close enough
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					err := runner.Write(b.Context(), func(ctx context.Context, t tx.Latches) (*fault.Error, error) {
						return nil, t.Latch(ctx, "bench")
					})
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acts/s")
			b.ReportMetric(float64(b.N)/float64(store.Commits(s)-before), "acts/commit")
		})
	}
}
