package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/logmesh/logmesh/codec"
)

// picture is what is visible of a ledger, to compare.
type picture struct {
	raft          bool
	first, last   codec.Index
	hard          codec.HardState
	applied       codec.Index
	sealed        codec.Cursor
	head          codec.Head
	tail          int
	config, atEnd codec.Index
}

func pictureOf(l *Ledger) picture {
	applied, config := l.RaftApplied()
	sealed, _ := l.Sealed()
	return picture{
		raft: l.HasRaftView(), first: l.FirstIndex(), last: l.LastIndex(), hard: l.HardState(), applied: applied,
		sealed: sealed, head: l.Head(), tail: len(l.raft.tail), config: config.Index, atEnd: l.HeadConfig().Index,
	}
}

// Each line of the table of atomic writes: a crash before it leaves the old
// state, one behind it the new state, and where the write is not synced either,
// but never anything between (FAULTS S1, P3).
func TestCrashAroundEachWrite(t *testing.T) {
	log := entries(1, 40, 1)
	blocks := encode(t, cut(log))
	steps := []struct {
		name   string
		synced bool
		before func(*testing.T, *Ledger)
		write  func(*Ledger) error
	}{
		{"found", true, func(*testing.T, *Ledger) {}, func(l *Ledger) error { return l.Found(founding()) }},
		{"open empty", true, func(*testing.T, *Ledger) {}, (*Ledger).OpenEmpty},
		{"ready", true, begun(8), func(l *Ledger) error {
			return l.Save(entries(9, 12, 2), &codec.HardState{Term: 2, Vote: 7, Commit: 10}, true)
		}},
		{"ready that truncates", true, begun(8), func(l *Ledger) error {
			return l.Save(entries(9, 9, 3), &codec.HardState{Term: 3, Commit: 8}, true)
		}},
		{"ready without sync", false, begun(8), func(l *Ledger) error {
			return l.Save(entries(9, 12, 2), &codec.HardState{Term: 2, Commit: 8}, false)
		}},
		{"seal", false, begun(5), func(l *Ledger) error { _, err := l.Seal(5); return err }},
		{
			"seal ahead of the saved commit index", false, func(t *testing.T, l *Ledger) {
				begun(5)(t, l)
				_, err := l.Seal(5)
				require.NoError(t, err)
			},
			func(l *Ledger) error { _, err := l.Seal(8); return err },
		},
		{"release", true, begun(2), func(l *Ledger) error { return l.Release(0, blocks[:5]) }},
		{"drop", true, released(blocks), func(l *Ledger) error { return l.Drop(2) }},
		{"adoption", true, released(blocks), func(l *Ledger) error { _, err := l.AdoptHead(); return err }},
		{
			"adoption of an empty ledger", true, func(t *testing.T, l *Ledger) { require.NoError(t, l.Release(0, blocks)) },
			func(l *Ledger) error { _, err := l.AdoptHead(); return err },
		},
		{"applied", false, begun(8), func(l *Ledger) error { return l.SetRaftApplied(8, foldAll(log[:8])) }},
		{"horizon", false, sealed(30), func(l *Ledger) error { return l.MoveHorizon(0) }},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			l := open(t, fs)
			step.before(t, l)
			require.NoError(t, l.store.commit(l.store.db.NewBatch(), true)) // what went before is durable
			old := pictureOf(l)
			before := fs.CrashClone(vfs.CrashCloneCfg{})
			require.NoError(t, step.write(l))
			now := pictureOf(l)
			require.NotEqual(t, old, now)

			require.Equal(t, old, pictureOf(open(t, before)))
			for seed := range uint64(6) {
				cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed) * 20, RNG: rand.New(rand.NewPCG(seed, 1))}
				got := pictureOf(open(t, fs.CrashClone(cfg)))
				if step.synced || got != old {
					require.Equal(t, now, got, "seed %d", seed)
				}
			}
		})
	}
}

// begun makes a raft view of 1 … last, of which 8 at most is committed.
func begun(last codec.Index) func(*testing.T, *Ledger) {
	return func(t *testing.T, l *Ledger) {
		require.NoError(t, l.Found(founding()))
		require.NoError(t, l.Save(entries(2, last+3, 1), &codec.HardState{Term: 1, Commit: last}, true))
	}
}

func released(blocks [][]byte) func(*testing.T, *Ledger) {
	return func(t *testing.T, l *Ledger) {
		begun(4)(t, l)
		require.NoError(t, l.Release(0, blocks))
	}
}

func sealed(last codec.Index) func(*testing.T, *Ledger) {
	return func(t *testing.T, l *Ledger) {
		begun(last)(t, l)
		_, err := l.Seal(last)
		require.NoError(t, err)
		require.NoError(t, l.SetRaftApplied(last, foldAll(entries(1, last, 1))))
	}
}

// One failed write or sync: remembered with its path, everything later refused,
// what was synced before is there after a restart (FAULTS S5).
func TestFailedWriteIsRemembered(t *testing.T) {
	kinds := map[string]errorfs.OpKind{"write": errorfs.OpFileWrite, "sync": errorfs.OpFileSync}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			broken := false
			fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
				isKind := op.Kind == kind || kind == errorfs.OpFileSync && (op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo)
				if broken && isKind && strings.HasSuffix(op.Path, ".log") {
					return errors.New("input/output error")
				}
				return nil
			}))
			l := founded(t, fs, 5)
			broken = true
			err := l.Save(entries(6, 6, 1), nil, true)
			var failed *FailedError
			require.ErrorAs(t, err, &failed)
			require.Contains(t, failed.Path, ".log")
			require.EqualValues(t, 5, l.LastIndex(), "not acknowledged, not there")

			broken = false // the disk is well again, but what it holds is half known
			require.Equal(t, failed, l.Failed())
			require.ErrorAs(t, l.Save(entries(6, 6, 1), nil, true), &failed)
			_, err = l.Seal(5)
			require.ErrorAs(t, err, &failed)
			require.ErrorAs(t, l.SetRaftApplied(5, codec.Configuration{}), &failed)
			require.ErrorAs(t, l.Release(0, encode(t, cut(entries(1, 5, 1)))), &failed)
			require.Len(t, all(t, l), 5, "reads go on")
			require.ErrorAs(t, l.Close(), &failed)

			again := open(t, disk.CrashClone(vfs.CrashCloneCfg{}))
			require.EqualValues(t, 5, again.LastIndex())
			require.Equal(t, codec.HardState{Term: 1, Commit: 5}, again.HardState())
			require.GreaterOrEqual(t, open(t, disk).LastIndex(), codec.Index(5), "a new start recovers")
		})
	}
}

// A failure that Pebble meets in the background: the disk stands still at that
// moment, so what was acknowledged before is there after a restart, and reads go
// on meanwhile.
func TestFailedFlush(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var broken atomic.Bool
	l := founded(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			return errors.New("input/output error")
		}
		return nil
	})), 5)
	_, err := l.Seal(5)
	require.NoError(t, err)
	broken.Store(true)
	var failed *FailedError
	acknowledged := codec.Index(5)
	for i := codec.Index(6); failed == nil && i < 2000; i++ {
		if err := l.Save(entries(i, i, 1), nil, true); err != nil {
			require.ErrorAs(t, err, &failed)
			break
		}
		acknowledged = i
	}
	require.NotNil(t, failed, "nothing was ever flushed")
	require.Contains(t, failed.Path, ".sst")
	got, err := l.Read(1, 5, 1<<20)
	require.NoError(t, err)
	require.Len(t, got, 5)
	_, err = l.Block(0)
	require.NoError(t, err)
	require.ErrorAs(t, l.Close(), &failed)

	require.GreaterOrEqual(t, open(t, disk.CrashClone(vfs.CrashCloneCfg{})).LastIndex(), acknowledged)
	require.GreaterOrEqual(t, open(t, disk).LastIndex(), acknowledged)
}

// Any write that fails while a ledger is opened or made lets Open fail, and the
// next one succeed.
func TestFailedOpen(t *testing.T) {
	for _, last := range []codec.Index{0, 5} {
		t.Run(fmt.Sprint("with entries to ", last), func(t *testing.T) {
			disk := vfs.NewMem()
			if last > 0 {
				require.NoError(t, founded(t, disk, last).Close())
			}
			for n := 0; ; n++ {
				if last == 0 {
					disk = vfs.NewMem()
				}
				if openFailing(t, disk, n) {
					require.Greater(t, n, 5)
					break
				}
				require.Equal(t, last, reopenedLast(t, disk), "after failure %d", n)
			}
		})
	}
}

// openFailing opens the ledger on disk, lets change n of the disk fail, and reports
// whether there were fewer.
func openFailing(t *testing.T, disk vfs.FS, n int) bool {
	t.Helper()
	var left atomic.Int64 // Pebble's goroutines write too
	left.Store(int64(n))
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpRemove || op.Kind == errorfs.OpFileClose {
			return nil
		}
		if left.Add(-1) == -1 {
			return errors.New("input/output error")
		}
		return nil
	}))
	l, err := Open(testOptions(fs))
	left.Store(-1)
	if err != nil {
		return false
	}
	failed := l.Failed() // Pebble's background work met it
	closed := l.Close()
	if failed == nil {
		require.NoError(t, closed)
	}
	return failed == nil
}

func reopenedLast(t *testing.T, fs vfs.FS) codec.Index {
	t.Helper()
	l, err := Open(testOptions(fs))
	require.NoError(t, err)
	last := l.LastIndex()
	require.NoError(t, l.Close())
	return last
}

// A directory that was made before a failure is made durable by the next Open, or a
// crash would lose everything in it.
func TestDirectoryOfAFailedOpen(t *testing.T) {
	disk := vfs.NewCrashableMem()
	_, err := Open(testOptions(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync {
			return errors.New("input/output error")
		}
		return nil
	}))))
	require.Error(t, err)
	_, err = disk.Stat("/data/group")
	require.NoError(t, err)
	founded(t, disk, 5)
	require.EqualValues(t, 5, open(t, disk.CrashClone(vfs.CrashCloneCfg{})).LastIndex())
}

// A database that could not be made whole is begun again under the same names: what
// was noted of its files then does not count any more.
func TestNewDatabaseBegunAgain(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var clones []*vfs.MemFS
	begun := false
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		manifest := strings.HasSuffix(op.Path, "MANIFEST-000001")
		switch {
		case !begun && op.Kind == errorfs.OpCreate && strings.Contains(op.Path, pointer):
			return errors.New("input/output error")
		case begun && manifest && op.Kind != errorfs.OpCreate:
			clones = append(clones, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}))
		}
		return nil
	}))
	_, err := Open(testOptions(fs))
	require.Error(t, err)
	begun = true
	_ = open(t, fs)
	require.NotEmpty(t, clones)
	for _, clone := range clones {
		founded(t, clone, 5)
	}
}

// What Pebble's pointers point to is durable before they are there.
func TestPointersComeLast(t *testing.T) {
	fresh := map[string]bool{} // names that were made since the directory was synced
	var mu sync.Mutex
	pointers := 0
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op.Kind == errorfs.OpFileSync && op.Path == "/data/group/pebble":
			clear(fresh)
		case op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "/"+pointer):
			pointers++
			if len(fresh) > 0 {
				t.Errorf("%s is made before %v are durable", op.Path, fresh)
			}
		case op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "/MANIFEST"):
			fresh[op.Path] = true
		}
		return nil
	}))
	l := founded(t, fs, 5)
	for range 3 {
		l = reopen(t, l)
	}
	require.NoError(t, l.Close())
	require.Greater(t, pointers, 4)
}

// Who reads does not wait for a sync, however long it takes (fault S7).
func TestReadsDoNotWaitForASync(t *testing.T) {
	var slow atomic.Bool
	begun, goOn := make(chan struct{}), make(chan struct{})
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if isSync && strings.HasSuffix(op.Path, ".log") && slow.CompareAndSwap(true, false) {
			close(begun)
			<-goOn
		}
		return nil
	}))
	l := founded(t, fs, 5)
	_, err := l.Seal(5)
	require.NoError(t, err)
	before := pictureOf(l)

	slow.Store(true)
	saved := make(chan error)
	go func() { saved <- l.Save(entries(6, 6, 1), &codec.HardState{Term: 1, Commit: 6}, true) }()
	<-begun
	require.Equal(t, before, pictureOf(l), "not durable, not there")
	require.Len(t, all(t, l), 5)
	got, err := l.Read(1, 5, 1<<20)
	require.NoError(t, err)
	require.Len(t, got, 5)
	_, err = l.Block(0)
	require.NoError(t, err)
	require.NoError(t, l.Failed())
	close(goOn)
	require.NoError(t, <-saved)
	require.EqualValues(t, 6, l.LastIndex())
}

// Unsynced writes meet the failure later, in whichever form Pebble gives it;
// nothing panics or hangs, Close included.
func TestFailedWriteBetweenSyncs(t *testing.T) {
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileWrite {
			return errors.New("input/output error")
		}
		return nil
	}))
	l := founded(t, fs, 5)
	broken.Store(true)
	var failed *FailedError
	for i := codec.Index(6); i < 2000; i++ {
		if err := l.Save(entries(i, i, 1), nil, false); err != nil {
			require.ErrorAs(t, err, &failed)
			break
		}
	}
	require.NotNil(t, failed, "nothing was ever written")
	require.ErrorAs(t, l.Save(nil, nil, true), &failed)
	require.ErrorAs(t, l.Close(), &failed)
}

// Raft, catch-up, replay and the provider use one ledger at once.
func TestConcurrentUse(t *testing.T) {
	const last = 60
	log := entries(1, last, 1)
	blocks := encode(t, cut(log))
	l := founded(t, vfs.NewMem(), 1)
	var all errgroup.Group
	all.Go(func() error {
		for i := 1; i < last; i++ {
			if err := l.Save(log[i:i+1], &codec.HardState{Term: 1, Commit: codec.Index(i + 1)}, i%3 == 0); err != nil {
				return err
			}
			if _, err := l.Seal(codec.Index(i + 1)); err != nil {
				return err
			}
			if err := errors.Join(l.SetRaftApplied(codec.Index(i+1), codec.Configuration{}), l.MoveHorizon(0)); err != nil {
				return err
			}
		}
		return nil
	})
	all.Go(func() error {
		for n := l.Head().Blocks; n < uint64(len(blocks)); n = l.Head().Blocks {
			if err := l.Release(n, blocks[n:n+1]); err != nil && l.Head().Blocks == n {
				return err // not just sealed by Raft between
			}
		}
		return nil
	})
	all.Go(func() error {
		for next := codec.Index(1); next <= last; {
			es, err := l.Read(next, next, 1<<20)
			if errors.Is(err, codec.ErrUnavailable) {
				runtime.Gosched()
				continue
			}
			if err != nil || !sameEntries(es, log[next-1:next]) {
				return fmt.Errorf("entry %d: %d read, %w", next, len(es), err)
			}
			next++
		}
		return nil
	})
	all.Go(func() error {
		for head := l.Head(); head.Blocks < uint64(len(blocks)); head = l.Head() {
			if root, err := l.RootAt(head.Blocks); err != nil || root != head.Root {
				return fmt.Errorf("root at %d: %v, %w", head.Blocks, root, err)
			}
			if hi := l.LastIndex(); hi > 1 {
				if _, err := l.Entries(hi-1, hi+1, 1<<20); err != nil {
					return err
				}
			}
		}
		return nil
	})
	require.NoError(t, all.Wait())
	require.Equal(t, uint64(len(blocks)), l.Head().Blocks)
	require.EqualValues(t, last, reopen(t, l).LastIndex())
}

// walOf is the newest log of the database.
func walOf(t *testing.T, fs vfs.FS) (path string, data []byte) {
	t.Helper()
	names, err := fs.List("/data/group/pebble")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, ".log") && name > path {
			path = name
		}
	}
	path = "/data/group/pebble/" + path
	f, err := fs.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	data, err = io.ReadAll(f)
	require.NoError(t, err)
	return path, data
}

func rewrite(t *testing.T, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(bytes.Clone(data))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

// A bit that flips among synced records is an error that names where the damage
// starts; the records behind it are not silently lost. Without closing and
// reopening a new database it would open with fewer records (FAULTS S3).
func TestFlippedBitInNewLog(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := open(t, fs)
	require.NoError(t, l.Found(founding()))
	const last = 500
	at := 0 // the length of the log when a third was synced
	for i := codec.Index(2); i <= last; i++ {
		require.NoError(t, l.Save([]codec.Entry{entry(i, 1, 256)}, nil, true))
		if i == last/3 {
			_, data := walOf(t, fs)
			at = len(data)
		}
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	path, data := walOf(t, crashed)
	require.Greater(t, len(data), at+64<<10)
	data[at-100] ^= 4
	rewrite(t, crashed, path, data)
	opened, err := Open(testOptions(crashed))
	if err == nil {
		defer func() { _ = opened.Close() }()
		require.EqualValues(t, last, opened.LastIndex(), "opened in silence with fewer records")
	}
	var damage *DamageError
	require.ErrorAs(t, err, &damage)
	require.InDelta(t, last/3, int(damage.Index), 1)
	require.ErrorContains(t, err, "index 16")

	var told []*DamageError
	require.NoError(t, Verify(crashed, "/data/group", testFold, func(d *DamageError) { told = append(told, d) }))
	require.Len(t, told, 1)
	require.Equal(t, damage.Index, told[0].Index)
}

// A torn end that was never acknowledged is cut off (FAULTS S2).
func TestTornTail(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := founded(t, fs, 5)
	synced := fs.CrashClone(vfs.CrashCloneCfg{})
	_, acknowledged := walOf(t, synced)
	require.NoError(t, l.Save(entries(6, 6, 1), nil, true))
	_, whole := walOf(t, fs)
	require.Greater(t, len(whole), len(acknowledged)+1000)
	path, _ := walOf(t, synced)
	rewrite(t, synced, path, whole[:len(acknowledged)+1000])
	again := open(t, synced)
	require.EqualValues(t, 5, again.LastIndex())
	require.NoError(t, again.Save(entries(6, 6, 2), &codec.HardState{Term: 2, Commit: 5}, true))
}

// A database that lost files since its clean stop is found out by the marker.
func TestCleanStopMarker(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := founded(t, fs, 5)
	require.NoError(t, l.Close())
	m, found, err := readMarker(fs, "/data/group")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, codec.Cursor{Index: 5, Term: 1}, m.last)

	l = open(t, fs)
	_, found, err = readMarker(fs, "/data/group")
	require.NoError(t, err)
	require.False(t, found, "an open ledger is not stopped")
	require.NoError(t, l.Close())

	m.last.Index = 9
	require.NoError(t, writeMarker(fs, "/data/group", m))
	_, err = Open(testOptions(fs))
	var damage *DamageError
	require.ErrorAs(t, err, &damage)
	require.EqualValues(t, 6, damage.Index)
}

// A full disk is seen before a write fails, and the file system is asked at most
// once a second (FAULTS S6).
func TestFull(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs)
	now := time.Unix(1, 0)
	require.False(t, l.Full(now), "a file system that does not know")
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: DefaultReserve - 1})
	require.False(t, l.Full(now.Add(spaceEvery-1)))
	require.True(t, l.Full(now.Add(spaceEvery)))
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: DefaultReserve})
	require.False(t, l.Full(now.Add(2*spaceEvery)))
}

// raw changes records behind the ledger's back.
func raw(t *testing.T, fs vfs.FS, change func(*pebble.DB)) {
	t.Helper()
	db, err := pebble.Open("/data/group/pebble", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: pebbleLogger{&store{log: slog.New(slog.DiscardHandler), w: &watch{}}}})
	require.NoError(t, err)
	change(db)
	require.NoError(t, db.Flush()) // a clean stop leaves nothing in the log
	require.NoError(t, db.Close())
}
