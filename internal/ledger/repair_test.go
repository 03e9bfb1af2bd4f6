package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// flipped changes one bit of a stored value.
func flipped(key []byte, at int) func(*pebble.DB) error {
	return func(db *pebble.DB) error {
		value, closer, err := db.Get(key)
		if err != nil {
			return err
		}
		changed := bytes.Clone(value)
		changed[(at+len(changed))%len(changed)] ^= 1
		return errors.Join(closer.Close(), db.Set(key, changed, pebble.Sync))
	}
}

func removed(key []byte) func(*pebble.DB) error {
	return func(db *pebble.DB) error { return db.Delete(key, pebble.Sync) }
}

func both(a, b func(*pebble.DB) error) func(*pebble.DB) error {
	return func(db *pebble.DB) error { return errors.Join(a(db), b(db)) }
}

// stopped33 is a ledger that was stopped: 33 entries, of which 31 are in blocks.
func stopped33(t *testing.T, fs vfs.FS) picture {
	t.Helper()
	l := founded(t, fs, 33)
	_, err := l.Seal(33)
	require.NoError(t, err)
	require.NoError(t, l.Save(nil, &codec.HardState{Term: 3, Vote: 5, Commit: 33}, true))
	was := pictureOf(l)
	require.NoError(t, l.Close())
	return was
}

func verified(t *testing.T, fs vfs.FS) []*DamageError {
	t.Helper()
	var told []*DamageError
	require.NoError(t, Verify(fs, "/data/group", testFold, func(d *DamageError) { told = append(told, d) }))
	return told
}

// What follows from the blocks is made anew; missing blocks are named and filled;
// what only this node knows is not invented (FAULTS S3).
func TestRepair(t *testing.T) {
	blocks := cut(entries(1, 33, 1))
	data := encode(t, blocks)
	second := blocks[1][0].Index
	leaf := nodeKey(codec.TreeNode{Number: 1})
	block := numbered(prefixBlock, uint64(1))
	const whole, hole, lost = "whole", "hole", "lost"
	for _, c := range []struct {
		name   string
		change func(*pebble.DB) error
		ends   string
		says   string // if it is lost
	}{
		{"nothing", func(*pebble.DB) error { return nil }, whole, ""},
		{"block", flipped(block, 200), hole, ""},
		{"block gone", removed(block), hole, ""},
		{"leaf", flipped(leaf, 0), whole, ""},
		{"leaf gone", removed(leaf), whole, ""},
		{"block and leaf gone", both(removed(block), removed(leaf)), hole, ""},
		{"block flipped and leaf gone", both(flipped(block, 200), removed(leaf)), lost, "the root of the"},
		{"first block", removed(numbered(prefixBlock, uint64(0))), hole, ""},
		{"inner node", flipped(nodeKey(codec.TreeNode{Level: 1}), 3), whole, ""},
		{"place", flipped(numbered(prefixSpan, uint64(1)), 0), whole, ""},
		{"first index", removed(numbered(prefixFirst, second)), whole, ""},
		{"configuration", flipped(numbered(prefixConfig, uint64(1)), 0), whole, ""},
		{"log id", flipped(single(prefixLog), 3), lost, "the log id"},
		{"hard state", flipped(single(prefixHard), 7), lost, "must not vote"},
		{"hard state gone", removed(single(prefixHard)), lost, "must not vote"},
		{"applied", flipped(single(prefixApplied), 2), lost, "raft-applied"},
		{"bounds", flipped(single(prefixView), 2), lost, "bounds of the raft view"},
		{"bounds gone", removed(single(prefixView)), lost, "at its clean stop"},
		{"head", flipped(single(prefixHead), 30), lost, "head of the blocks"},
		{"format", removed(single(prefixFormat)), lost, "format version"},
		{"owner", flipped(single(prefixOwner), 40), lost, "owner"},
		{"tail entry", flipped(numbered(prefixEntry, codec.Index(33)), 20), lost, "entry of the tail"},
		{"tail end", removed(numbered(prefixEntry, codec.Index(33))), lost, "the last one here is 32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			was := stopped33(t, fs)
			raw(t, fs, func(db *pebble.DB) { require.NoError(t, c.change(db)) })
			done, err := Repair(testOptions(fs))
			if c.ends == lost {
				var d *DamageError
				require.ErrorAs(t, err, &d)
				require.Equal(t, "/data/group", d.Lost)
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, "Move /data/group away and join")
				_, err := Open(testOptions(fs))
				require.ErrorAs(t, err, &d, "what it was stays")
				return
			}
			require.NoError(t, err)
			l := open(t, fs)
			if c.ends == hole {
				require.EqualValues(t, 1, done.Missing)
				n := l.Holes()[0].From
				require.Equal(t, blocks[n][0].Index, done.First)
				refusesAllBut(t, l, n)
				require.NoError(t, l.Fill(0, data), "blocks that are here are passed over")
			}
			require.Equal(t, was, pictureOf(l))
			require.Empty(t, l.Holes())
			got, err := l.Read(1, 33, 1<<30)
			require.NoError(t, err)
			require.True(t, sameEntries(entries(1, 33, 1), got))
			l = reopen(t, l)
			require.Equal(t, was, pictureOf(l))
			require.NoError(t, l.Close())
			require.Empty(t, verified(t, fs))
		})
	}
}

// refusesAllBut checks that a ledger which lacks block n only reads what is
// below, and takes nothing but that block.
func refusesAllBut(t *testing.T, l *Ledger, n uint64) {
	t.Helper()
	require.False(t, l.HasRaftView(), "nothing that could vote")
	require.Equal(t, []codec.BlockRange{{From: n, To: n + 1}}, l.Holes())
	_, err := l.Block(n)
	require.ErrorIs(t, err, codec.ErrUnavailable)
	_, err = l.Block(n + 1)
	require.NoError(t, err)
	if whole := l.Whole(); whole > 0 {
		_, err = l.Read(1, whole, 1<<30)
		require.NoError(t, err)
		_, err = l.Read(1, whole+1, 1<<30)
		require.ErrorIs(t, err, codec.ErrUnavailable)
	}
	other := encode(t, cut(entries(1, 33, 2)))
	require.ErrorIs(t, l.Release(l.Head().Blocks, encode(t, cut(entries(1, 40, 1)))[l.Head().Blocks:]), errHoles)
	require.Error(t, l.OpenEmpty())
	_, known := l.LeafOf(n)
	if known && n > 0 { // entry 1 is the same in both logs
		require.ErrorIs(t, l.Fill(n, other[n:n+1]), errLeaf)
	}
	require.NoError(t, l.Failed())
	require.NoError(t, l.Damaged())
}

// A block whose leaf was lost too is proved by the root alone: a wrong one goes
// out again, and the right one is taken.
func TestFillWithoutLeaf(t *testing.T) {
	fs := vfs.NewMem()
	was := stopped33(t, fs)
	raw(t, fs, func(db *pebble.DB) {
		for n := range uint64(3) {
			require.NoError(t, db.Delete(numbered(prefixBlock, n+2), nil))
			require.NoError(t, db.Delete(nodeKey(codec.TreeNode{Number: n + 2}), nil))
		}
	})
	done, err := Repair(testOptions(fs))
	require.NoError(t, err)
	require.EqualValues(t, 3, done.Missing)
	l := open(t, fs)
	blocks := encode(t, cut(entries(1, 33, 1)))
	require.NoError(t, l.Fill(2, blocks[2:3]))
	l = reopen(t, l)
	require.EqualValues(t, 2, ranges(l.Holes()).blocks())
	require.EqualValues(t, 7, l.Whole(), "nobody reads what is not proved")
	_, err = l.Block(2)
	require.ErrorIs(t, err, codec.ErrUnavailable)
	require.Equal(t, []codec.BlockRange{{From: 0, To: 2}, {From: 5, To: 10}}, l.Held())

	var misfit *misfitError
	require.ErrorAs(t, l.Fill(3, [][]byte{wrongBlock(t, 3), blocks[4]}), &misfit)
	require.EqualValues(t, 3, ranges(l.Holes()).blocks(), "which of them is wrong cannot be told")
	require.False(t, l.HasRaftView())
	l = reopen(t, l)
	require.NoError(t, l.Fill(2, blocks[2:5]))
	require.Equal(t, was, pictureOf(l))
	require.NoError(t, l.Close())
	require.Empty(t, verified(t, fs))
}

// wrongBlock has the indexes and terms of a block of entries(1, …, 1), and other
// data.
func wrongBlock(t *testing.T, number int) []byte {
	es := append([]codec.Entry(nil), cut(entries(1, 33, 1))[number]...)
	es[0].Data = bytes.Clone(es[0].Data)
	es[0].Data[99] ^= 1
	return encode(t, [][]codec.Entry{es})[0]
}

// Ledgers that hold little are repaired too: without blocks, without a raft view,
// without anything.
func TestRepairOfLittle(t *testing.T) {
	for name, make := range map[string]func(*testing.T, *Ledger){
		"nothing":      func(*testing.T, *Ledger) {},
		"log id":       func(t *testing.T, l *Ledger) { require.NoError(t, l.SetLogID(codec.LogID{1})) },
		"raft view":    func(t *testing.T, l *Ledger) { require.NoError(t, l.OpenEmpty()) },
		"entries":      begun(2),
		"blocks alone": func(t *testing.T, l *Ledger) { require.NoError(t, l.Release(0, encode(t, cut(entries(1, 30, 1))))) },
		"blocks ahead": released(encode(t, cut(entries(1, 30, 1)))),
	} {
		for _, clean := range []bool{false, true} {
			t.Run(fmt.Sprint(name, clean), func(t *testing.T) {
				fs := vfs.NewCrashableMem()
				l := open(t, fs)
				make(t, l)
				was, id := pictureOf(l), l.LogID()
				crashed := fs.CrashClone(vfs.CrashCloneCfg{})
				require.NoError(t, l.Close())
				if !clean {
					fs = crashed
				}
				done, err := Repair(testOptions(fs))
				require.NoError(t, err)
				require.Equal(t, Repaired{Blocks: was.head.Blocks}, done)
				l = open(t, fs)
				require.Equal(t, was, pictureOf(l))
				require.Equal(t, id, l.LogID())
			})
		}
	}
}

// A member's configuration says which log it is in, so the log id may be damaged;
// that it was removed must be readable.
func TestRepairOfMember(t *testing.T) {
	fs := vfs.NewMem()
	l := founded(t, fs, 5)
	id := l.LogID()
	require.NoError(t, l.SetRaftApplied(1, codec.Configuration{Index: 1, Log: id, Members: []codec.Member{{RaftID: own, Peer: testPeer, Role: codec.RoleVoter}}}))
	require.NoError(t, l.SetRemoved(4))
	require.NoError(t, l.Close())
	raw(t, fs, func(db *pebble.DB) { require.NoError(t, flipped(single(prefixLog), 3)(db)) })
	_, err := Repair(testOptions(fs))
	require.NoError(t, err)
	l = open(t, fs)
	require.Equal(t, id, l.LogID())
	require.EqualValues(t, 4, l.Removed())
	require.NoError(t, l.Close())
	raw(t, fs, func(db *pebble.DB) { require.NoError(t, flipped(single(prefixRemoved), 3)(db)) })
	var d *DamageError
	_, err = Repair(testOptions(fs))
	require.ErrorAs(t, err, &d)
	require.ErrorContains(t, err, "the removal of this node")
}

// A flag of an earlier run keeps the ledger closed: until it is repaired, or for
// good.
func TestFlags(t *testing.T) {
	fs := vfs.NewMem()
	was := stopped33(t, fs)
	raw(t, fs, func(db *pebble.DB) { require.NoError(t, flipped(numbered(prefixBlock, uint64(2)), 9)(db)) })
	l := open(t, fs)
	require.NoError(t, l.Damaged())
	_, err := l.Read(1, 33, 1<<30)
	var d *DamageError
	require.ErrorAs(t, err, &d)
	require.Equal(t, d, l.Damaged())
	require.NoError(t, l.Close())
	_, err = Open(testOptions(fs))
	require.ErrorContains(t, err, "found by an earlier run")
	require.ErrorContains(t, err, "block 2, at index 8")
	require.Len(t, verified(t, fs), 2, "the flag, and what it tells of")
	_, err = Repair(testOptions(fs))
	require.NoError(t, err)
	l = open(t, fs)
	require.NoError(t, l.Fill(2, encode(t, cut(entries(1, 33, 1)))[2:3]))
	require.Equal(t, was, pictureOf(l))

	l.GiveUp(errors.New("entry 40 is gone"))
	require.NoError(t, l.Close())
	for range 2 {
		_, err = Open(testOptions(fs))
		require.ErrorAs(t, err, &d)
		require.Equal(t, "/data/group", d.Lost)
		require.ErrorContains(t, err, "entry 40 is gone")
		_, err = Repair(testOptions(fs))
		require.ErrorContains(t, err, "entry 40 is gone")
	}
}

// What can be told of a damaged ledger is told.
func TestStatAndDumpOfDamaged(t *testing.T) {
	fs := vfs.NewMem()
	stopped33(t, fs)
	raw(t, fs, func(db *pebble.DB) {
		require.NoError(t, errors.Join(flipped(numbered(prefixBlock, uint64(1)), 9)(db), flipped(single(prefixHard), 0)(db)))
	})
	st, err := Stat(fs, "/data/group")
	require.ErrorContains(t, err, "the hard state")
	require.Equal(t, testPeer, st.Peer)
	require.EqualValues(t, 10, st.Head.Blocks)
	var out bytes.Buffer
	err = Dump(fs, "/data/group", 1, 33, &out)
	require.ErrorContains(t, err, "the hard state")
	require.ErrorContains(t, err, "block 1, at index 5")
	require.Equal(t, 31-3, bytes.Count(out.Bytes(), []byte("\n")), "all blocks but one; without the hard state nothing of the tail is believed")

	fs = vfs.NewMem()
	stopped33(t, fs)
	raw(t, fs, func(db *pebble.DB) { require.NoError(t, flipped(numbered(prefixBlock, uint64(1)), 9)(db)) })
	_, err = Repair(testOptions(fs))
	require.NoError(t, err)
	require.NoError(t, open(t, fs).Close())
	st, err = Stat(fs, "/data/group")
	require.ErrorContains(t, err, "1 blocks are missing")
	require.EqualValues(t, 1, st.Missing)
	out.Reset()
	require.ErrorContains(t, Dump(fs, "/data/group", 1, 33, &out), "1 blocks are missing")
	require.Equal(t, 31-3, bytes.Count(out.Bytes(), []byte("\n")))
	told := verified(t, fs)
	require.Len(t, told, 1)
	require.EqualValues(t, 5, told[0].Index)
}
