package actors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/ledger/ledgertest"
)

// holed is a repaired ledger with the blocks of log, of which some are missing,
// and others with their leaves.
func holed(t *testing.T, log *testLog, missing, unproved []uint64) *ledger.Ledger {
	t.Helper()
	opts := ledger.Options{FS: vfs.NewMem(), Dir: "/l", Group: testGroup, Peer: self, Salt: [16]byte{1}, Fold: Fold, Logger: discard()}
	l, err := ledger.Open(opts)
	require.NoError(t, err)
	require.NoError(t, l.Release(0, log.blocks))
	require.NoError(t, l.Close())
	for _, n := range missing {
		require.NoError(t, ledgertest.Remove(opts.FS, opts.Dir, ledgertest.Block(n)))
	}
	for _, n := range unproved {
		require.NoError(t, ledgertest.Remove(opts.FS, opts.Dir, ledgertest.Block(n), ledgertest.Leaf(n)))
	}
	_, err = ledger.Repair(opts)
	require.NoError(t, err)
	l, err = ledger.Open(opts)
	require.NoError(t, err)
	require.NotEmpty(t, l.Holes())
	return l
}

// S3: holes are filled from whoever has the blocks, without a leader. A block of
// another log, though well-formed, is not ours: its sender is out.
func TestHolesAreFilled(t *testing.T) {
	log, other := newLog(t, 60, 1000, "a"), newLog(t, 60, 1000, "b")
	synctest.Test(t, func(t *testing.T) {
		l := holed(t, log, []uint64{3, 17, 18, 59}, nil)
		peers := members(log, 3, 60)
		peers[0].leader = false
		liar := peers[2]
		liar.log = other
		x := newSyncerOn(t, l, peers...)
		for range 3 { // who lies first depends on who is asked first
			x.want(syncWanted{why: "test", repair: true})
			answered, err := x.done(time.Minute)
			require.True(t, answered)
			require.NoError(t, err)
		}
		x.requireHas(log, 60)
		require.Empty(t, l.Holes())
		require.Equal(t, log.tree[60], l.Head().Root)
		for n := range log.blocks {
			got, err := l.Block(uint64(n))
			require.NoError(t, err)
			require.Equal(t, log.blocks[n], got)
		}
		fetched := 0
		for _, p := range peers[:2] {
			fetched += p.served
		}
		require.Equal(t, 4, fetched, "what is here is not asked for")
	})
}

// Where a leaf is lost too, a wrong block is found by the root, taken back, and
// the session fails; the next one may ask others.
func TestWrongFillFails(t *testing.T) {
	log, other := newLog(t, 40, 1000, "a"), newLog(t, 40, 1000, "b")
	synctest.Test(t, func(t *testing.T) {
		l := holed(t, log, nil, []uint64{5, 30})
		peers := members(other, 1, 40)
		x := newSyncerOn(t, l, peers...)
		x.want(syncWanted{why: "test", repair: true})
		answered, err := x.done(time.Minute)
		require.True(t, answered)
		require.ErrorContains(t, err, "the blocks do not fit the head")
		require.NoError(t, x.failure(), "the group goes on")
		require.Equal(t, []codec.BlockRange{{From: 5, To: 6}, {From: 30, To: 31}}, l.Holes())
		peers[0].set(func(p *fakePeer) { p.log = log })
		x.want(syncWanted{why: "test", repair: true})
		answered, err = x.done(time.Minute)
		require.True(t, answered)
		require.NoError(t, err)
		x.requireHas(log, 40)
	})
}
