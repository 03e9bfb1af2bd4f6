package ledger

import (
	"math"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// Large releases are tables that Pebble takes over, small ones batches; nobody
// can tell which was which afterwards. The crashes are in internal/sim/disk.
func TestBulkRelease(t *testing.T) {
	blocks := encode(t, cut(append([]codec.Entry{founding()}, entries(2, 1300, 1)...)))
	for _, from := range []int{1, math.MaxInt} {
		opts := testOptions(vfs.NewCrashableMem())
		opts.BulkBytes = from
		l, err := Open(opts)
		require.NoError(t, err)
		require.NoError(t, l.Release(0, blocks[:3]))
		require.NoError(t, l.Release(3, blocks[3:]))
		tables := l.store.db.Metrics().Ingest.Count
		require.Equal(t, from == 1, tables == 2, "%d tables", tables)
		require.NoError(t, l.Close())
		l, err = Open(opts)
		require.NoError(t, err)
		for n := range blocks {
			data, err := l.Block(uint64(n))
			require.NoError(t, err)
			require.Equal(t, blocks[n], data)
		}
		require.NoError(t, l.Close())
	}
}
