package ledger

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// smallLog writes entries from, …, to of 100 bytes: 128 are a block.
func smallLog(t *testing.T, l *Ledger, from, to codec.Index) {
	t.Helper()
	for ; from <= to; from += 20 {
		var es []codec.Entry
		for i := from; i <= min(from+19, to); i++ {
			es = append(es, entry(i, 1, 100))
		}
		last := es[len(es)-1].Index
		require.NoError(t, l.Save(es, &codec.HardState{Term: 1, Vote: 3, Commit: last}, true))
		_, err := l.Seal(last)
		require.NoError(t, err)
		require.NoError(t, l.SetRaftApplied(last, codec.Configuration{Index: 1}))
	}
}

// filled has blocks in tables and in the log, from two runs.
func filled(t *testing.T, fs vfs.FS) *Ledger {
	t.Helper()
	l := open(t, fs)
	require.NoError(t, l.Found(founding()))
	smallLog(t, l, 2, 700)
	l = reopen(t, l)
	smallLog(t, l, 701, 1000)
	require.NoError(t, l.Save(nil, nil, true))
	return l
}

func filesOf(t *testing.T, fs vfs.FS, dir string) (out []string) {
	t.Helper()
	names, err := fs.List(dir)
	require.NoError(t, err)
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		require.NoError(t, err)
		switch {
		case info.IsDir():
			out = append(out, filesOf(t, fs, path)...)
		case info.Size() > 0:
			out = append(out, path)
		}
	}
	return out
}

func content(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	require.NoError(t, err)
	data, err := io.ReadAll(f)
	require.NoError(t, errors.Join(err, f.Close()))
	return data
}

func clone(t *testing.T, fs vfs.FS) *vfs.MemFS {
	t.Helper()
	out := vfs.NewMem()
	_, err := vfs.Clone(fs, out, "/data", "/data")
	require.NoError(t, err)
	return out
}

// Any file, one bit flipped or cut short, after a clean stop and after a crash:
// the ledger opens as it was, is repaired to what it was, or is known to be lost;
// never is it another. After the end of a process that is so for every byte,
// those that were synced last included (FAULTS S2, S3, S4).
func TestAnyFileDamaged(t *testing.T) {
	disk := vfs.NewCrashableMem()
	l := filled(t, disk)
	was := pictureOf(l)
	blocks := make([][]byte, was.head.Blocks)
	for n := range was.head.Blocks {
		var err error
		blocks[n], err = l.Block(n)
		require.NoError(t, err)
	}
	crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	require.NoError(t, l.Close())
	ends := map[string]int{}
	for image, fs := range map[string]vfs.FS{"crashed": crashed, "stopped": disk} {
		for _, path := range filesOf(t, fs, "/data") {
			whole := content(t, fs, path)
			for k := range 4 {
				at := (k*len(whole) + len(whole)/2) / 4
				damaged := append([]byte(nil), whole...)
				if damaged[at] ^= 1 << k; k == 3 {
					damaged = whole[:at]
				}
				t.Run(fmt.Sprintf("%s %s %d", image, fs.PathBase(path), at), func(t *testing.T) {
					c := clone(t, fs)
					rewrite(t, c, path, damaged)
					ends[strings.TrimLeft(fs.PathBase(path), "-0123456789.")+" "+comesBack(t, c, was, blocks)]++
				})
			}
		}
	}
	t.Log(ends)
}

// comesBack opens a damaged ledger, and does what it takes.
func comesBack(t *testing.T, fs vfs.FS, was picture, blocks [][]byte) string {
	t.Helper()
	told := verified(t, fs)
	ended := "untouched"
	l, err := Open(testOptions(fs))
	if err != nil {
		var d *DamageError
		require.ErrorAs(t, err, &d)
		require.NotEmpty(t, told, "verify found nothing, open: %v", err)
		_, err = Repair(testOptions(fs))
		if errors.As(err, &d) {
			require.NotEmpty(t, d.Lost)
			return "lost"
		}
		require.NoError(t, err)
		l, err = Open(testOptions(fs))
		require.NoError(t, err)
		ended = "whole"
	}
	defer func() { require.NoError(t, l.Close()) }()
	for n := range was.head.Blocks { // as replay does
		if _, err := l.Block(n); err == nil || errors.Is(err, codec.ErrUnavailable) {
			continue
		}
		require.NotEmpty(t, told, "verify found nothing")
		require.Error(t, l.Damaged())
		require.NoError(t, l.Close())
		return "found by reading, " + comesBack(t, fs, was, blocks)
	}
	if len(l.Holes()) > 0 {
		require.NoError(t, l.Fill(0, blocks))
		ended = "filled"
	}
	require.Equal(t, was, pictureOf(l))
	return ended
}

// A crash at any moment of a repair leaves the damaged database or the new one:
// what comes next repairs it again, or finds it repaired.
func TestCrashInRepair(t *testing.T) {
	disk := vfs.NewCrashableMem()
	was := stopped33(t, disk)
	raw(t, disk, func(db *pebble.DB) { require.NoError(t, db.Delete(numbered(prefixBlock, uint64(1)), pebble.Sync)) })
	blocks := encode(t, cut(entries(1, 33, 1)))
	var clones []*vfs.MemFS
	rng := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex // Pebble works in several goroutines
	clone := func() {
		mu.Lock()
		defer mu.Unlock()
		clones = append(clones, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}))
	}
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpRename, errorfs.OpRemove, errorfs.OpRemoveAll, errorfs.OpCreate:
			clone()
		}
		return nil
	}))
	opts := testOptions(fs)
	_, err := Repair(opts)
	require.NoError(t, err)
	clone()
	require.Greater(t, len(clones), 20)
	old := 0
	for n, c := range clones {
		l, err := Open(testOptions(c))
		if err == nil && len(l.Holes()) == 0 { // the missing block is found when it is read
			_, err = l.Block(1)
			require.NoError(t, l.Close())
		}
		if err != nil {
			old++
			var d *DamageError
			require.ErrorAs(t, err, &d, "clone %d", n)
			done, err := Repair(testOptions(c))
			require.NoError(t, err, "clone %d", n)
			require.EqualValues(t, 1, done.Missing)
			l = open(t, c)
		}
		require.Equal(t, []codec.BlockRange{{From: 1, To: 2}}, l.Holes())
		require.NoError(t, l.Fill(1, blocks[1:2]))
		require.Equal(t, was, pictureOf(l), "clone %d", n)
		require.NoError(t, l.Close())
		names, err := c.List("/data/group")
		require.NoError(t, err)
		require.NotContains(t, names, freshDir)
		require.NotContains(t, names, staleDir)
	}
	require.Greater(t, old, 5)
	require.Less(t, old, len(clones)-1)
}
