package ledger

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

func diskLedger(b *testing.B) *Ledger {
	b.Helper()
	opts := testOptions(vfs.Default)
	opts.Dir = b.TempDir()
	l, err := Open(opts)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, l.Close()) })
	return l
}

// Synced appends of 256 B as Raft makes them, sealed as they are committed.
func BenchmarkSave(b *testing.B) {
	for _, batch := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			l := diskLedger(b)
			require.NoError(b, l.Found(founding()))
			next := codec.Index(2)
			for b.Loop() {
				var es []codec.Entry
				for range batch {
					es = append(es, entry(next, 1, 256))
					next++
				}
				if err := l.Save(es, &codec.HardState{Term: 1, Commit: next - 1}, true); err != nil {
					b.Fatal(err)
				}
				if _, err := l.Seal(next - 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// The same bytes as plain synced writes of the database: what Save could reach.
func BenchmarkPlain(b *testing.B) {
	for _, batch := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			l := diskLedger(b)
			next := codec.Index(2)
			for b.Loop() {
				w := l.store.db.NewBatch()
				for range batch {
					require.NoError(b, setEntry(w, entry(next, 1, 256)))
					next++
				}
				if err := l.store.commit(w, true); err != nil {
					b.Fatal(err)
				}
			}
			require.NoError(b, l.store.db.DeleteRange(single(prefixEntry), after(prefixEntry), nil))
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// benchBlocks are count blocks of 128 entries of size bytes.
func benchBlocks(b *testing.B, count, size int) (out [][]byte) {
	log := []codec.Entry{founding()}
	for i := codec.Index(2); len(log) < count*codec.BlockEntries; i++ {
		log = append(log, entry(i, 1, size))
	}
	return encode(b, cut(log))
}

// Replay's reads from blocks on disk, 1 MiB a call.
func BenchmarkRead(b *testing.B) {
	l := diskLedger(b)
	blocks := benchBlocks(b, 1024, 256)
	require.NoError(b, l.Release(0, blocks))
	last, next, n := l.HeadCursor().Index, codec.Index(1), 0
	for b.Loop() {
		es, err := l.Read(next, last, 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		n += len(es)
		if next = es[len(es)-1].Index + 1; next > last {
			next = 1
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}

// What it costs that every block is held against its leaf when replay reads it:
// the same reads without.
func BenchmarkReadChecked(b *testing.B) {
	const count = 256
	l := diskLedger(b)
	blocks := benchBlocks(b, count, 128)
	require.NoError(b, l.Release(0, blocks))
	run := func(read func(uint64) ([]byte, error)) func(*testing.B) {
		return func(b *testing.B) {
			b.SetBytes(int64(len(blocks[1])))
			for n := uint64(0); b.Loop(); n++ {
				data, err := read(n % count)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := decode(n%count, data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*codec.BlockEntries)/b.Elapsed().Seconds(), "entries/s")
		}
	}
	b.Run("with", run(l.store.block))
	b.Run("without", run(func(n uint64) ([]byte, error) {
		data, _, err := l.store.get(numbered(prefixBlock, n))
		return data, err
	}))
}

// Opening checks everything but blocks: places, index and tree of 8,192 blocks, a
// million entries.
func BenchmarkCheckDerived(b *testing.B) {
	l := diskLedger(b)
	require.NoError(b, l.Release(0, benchBlocks(b, 8192, 16)))
	require.NoError(b, l.store.db.Flush())
	for b.Loop() {
		if err := l.store.checkDerived(l.synced); err != nil {
			b.Fatal(err)
		}
	}
}
