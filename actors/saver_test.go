package actors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// gatedFS is a file system in memory whose syncs take a gate.
type gatedFS struct {
	vfs.FS
	gate chan struct{}
}

func (f gatedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return gatedFile{file, f.gate}, err
}

type gatedFile struct {
	vfs.File
	gate chan struct{}
}

func (f gatedFile) pass(sync func() error) error {
	f.gate <- struct{}{}
	defer func() { <-f.gate }()
	return sync()
}

func (f gatedFile) Sync() error     { return f.pass(f.File.Sync) }
func (f gatedFile) SyncData() error { return f.pass(f.File.SyncData) }

func (f gatedFile) SyncTo(length int64) (full bool, err error) {
	err = f.pass(func() error { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// While the disk works consensus answers, ticks, and takes proposals on; these
// share the next sync. Nothing is acknowledged before it.
func TestConsensusGoesOnWhileTheDiskWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := gatedFS{vfs.NewMem(), make(chan struct{}, 1)}
		l, err := ledger.Open(ledger.Options{FS: disk, Dir: "/ledger", Group: testGroup, Peer: self, Salt: [16]byte{1}, Fold: Fold, Logger: discard()})
		require.NoError(t, err)
		require.NoError(t, Found(l, self, nil, 1, [codec.FoundingNonce]byte{1}))
		x := newLoneOn(t, l, &fakeNetwork{})
		x.execute("first")
		before := l.LastIndex()

		disk.gate <- struct{}{} // the next sync waits
		var calls []*Call
		for range 3 {
			call, err := x.Begin([]byte("x"))
			require.NoError(t, err)
			calls = append(calls, call)
			time.Sleep(time.Second)
		}
		a := x.Called(x.context(), self, &codec.Members{})
		require.Equal(t, codec.CallOK, a.Status)
		require.False(t, x.ticking.Load(), "ticks are taken")
		require.Equal(t, before, l.LastIndex())
		require.Equal(t, 1, x.machine.commands)
		for _, call := range calls {
			require.Empty(t, call.done)
		}
		<-disk.gate
		for _, call := range calls {
			require.NoError(t, (<-call.done).Err)
		}
	})
}

// S7: a leader whose disk stands still hands over after a while; what it was asked
// to write is written by the next one, and there is no storm of elections.
func TestLeaderWithStalledDiskHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMesh(t, 0)
		l := x.leader()
		term := l.View().Raft.Term
		l.disk.gate <- struct{}{} // its next sync waits
		first := l.run(t.Context(), func() (*Call, error) { return l.Begin([]byte("a")) })
		x.until("another leads", func() bool { return !l.View().Lead && x.others(l)[0].View().Leader != l.id })
		x.others(l)[1].execute(t, "b")
		time.Sleep(time.Minute)
		require.Empty(t, first, "it applies only what it has saved")
		require.LessOrEqual(t, x.others(l)[0].View().Raft.Term, term+2)
		<-l.disk.gate
		require.NoError(t, (<-first).Err)
		x.requireApplied(x.leader(), 2)
	})
}
