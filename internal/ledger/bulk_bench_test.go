package ledger

import (
	"fmt"
	"math"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// Catch-up's writes, durable when each returns: as tables and as batches.
func BenchmarkRelease(b *testing.B) {
	for _, step := range []int{1 << 20, 4 << 20, 8 << 20, 16 << 20} {
		for _, way := range []struct {
			name string
			from int
		}{{"table", 1}, {"batch", math.MaxInt}} {
			b.Run(fmt.Sprintf("%s/%dMiB", way.name, step>>20), func(b *testing.B) {
				benchmarkRelease(b, step, way.from)
			})
		}
	}
}

func benchmarkRelease(b *testing.B, step, bulkBytes int) {
	const size = 128 // of an entry
	blocks := benchBlocks(b, 8192, size)
	step = min(step/len(blocks[1]), len(blocks)-1)
	decoded := make([]Block, len(blocks))
	for i, data := range blocks {
		var err error
		decoded[i], err = DecodeBlock(data, codec.Leaf(data))
		require.NoError(b, err)
	}
	var l *Ledger
	bytes, at := 0, len(blocks)
	for b.Loop() {
		if at+step > len(blocks) {
			b.StopTimer()
			if l != nil {
				require.NoError(b, l.Close())
			}
			opts := testOptions(vfs.Default)
			opts.Dir, opts.BulkBytes = b.TempDir(), bulkBytes
			var err error
			l, err = Open(opts)
			require.NoError(b, err)
			at = 0
			b.StartTimer()
		}
		if err := l.ReleaseBlocks(uint64(at), decoded[at:at+step]); err != nil {
			b.Fatal(err)
		}
		for _, data := range blocks[at : at+step] {
			bytes += len(data)
		}
		at += step
	}
	require.NoError(b, l.Close())
	b.ReportMetric(float64(bytes)/1e6/b.Elapsed().Seconds(), "MB/s")
}
