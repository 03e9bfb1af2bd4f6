package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

func TestInUse(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			opts := testOptions(fs)
			opts.Dir = filepath.Join(t.TempDir(), "a", "b")
			l, err := Open(opts)
			require.NoError(t, err)
			_, err = Open(opts)
			require.ErrorIs(t, err, ErrInUse)
			_, err = Stat(fs, opts.Dir)
			require.ErrorIs(t, err, ErrInUse)
			require.NoError(t, l.Close())
			require.NoError(t, l.Close(), "twice")
			require.ErrorIs(t, l.OpenEmpty(), ErrClosed)
			l, err = Open(opts)
			require.NoError(t, err)
			require.NoError(t, l.Close())
		})
	}
}

func TestDirectoryThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	opts := testOptions(vfs.Default)
	opts.Dir = file
	_, err := Open(opts)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrInUse)
}

func TestMemory(t *testing.T) {
	opts := testOptions(nil)
	opts.Dir, opts.Memory = "", true
	l, err := Open(opts)
	require.NoError(t, err)
	require.NoError(t, l.Found(founding()))
	require.EqualValues(t, 1, l.LastIndex())
	require.NoError(t, l.Close())
}

func TestForeignDirectory(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, open(t, fs).Close())
	var foreign *ForeignError

	opts := testOptions(fs)
	opts.Group = codec.GroupIDOf(codec.NetworkIDOf("test"), "other")
	_, err := Open(opts)
	require.ErrorAs(t, err, &foreign)
	require.Equal(t, &ForeignError{Field: "group", Stored: testGroup.String(), Given: opts.Group.String()}, foreign)

	opts = testOptions(fs)
	opts.Peer = "another"
	_, err = Open(opts)
	require.ErrorAs(t, err, &foreign)
	require.Equal(t, &ForeignError{Field: "peer", Stored: string(testPeer), Given: "another"}, foreign)
}

func TestRaftIDStays(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs)
	id := l.RaftID()
	require.Equal(t, codec.RaftIDOf(testPeer, [16]byte{1}), id)
	require.NoError(t, l.Close())
	opts := testOptions(fs)
	opts.Salt = [16]byte{9}
	l, err := Open(opts)
	require.NoError(t, err)
	require.Equal(t, id, l.RaftID())
	require.NoError(t, l.Close())
}

func TestUnknownFormat(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, open(t, fs).Close())
	raw(t, fs, func(db *pebble.DB) {
		key := single(prefixFormat)
		require.NoError(t, db.Set(key, withSum(key, numbersBody(2)), pebble.Sync))
	})
	_, err := Open(testOptions(fs))
	var format *FormatError
	require.ErrorAs(t, err, &format)
	require.Equal(t, &FormatError{Stored: 2, Known: 1}, format)
}

func TestLogID(t *testing.T) {
	id, other := codec.LogIDOf(founding().Data), codec.LogIDOf([]byte("other"))
	var wrong *LogIDError

	l := open(t, vfs.NewMem())
	require.True(t, l.LogID().IsZero())
	require.NoError(t, l.Found(founding()))
	require.Equal(t, id, l.LogID())
	require.NoError(t, l.SetLogID(id))
	require.ErrorAs(t, l.SetLogID(other), &wrong)
	require.Equal(t, &LogIDError{Stored: id, Given: other}, wrong)
	require.Equal(t, id, reopen(t, l).LogID())

	l = open(t, vfs.NewMem())
	require.NoError(t, l.SetLogID(other))
	l = reopen(t, l)
	require.Equal(t, other, l.LogID())
	require.ErrorAs(t, l.Found(founding()), &wrong)
}

func TestBeginOnce(t *testing.T) {
	l := open(t, vfs.NewMem())
	require.False(t, l.HasRaftView())
	require.ErrorIs(t, l.Save(entries(1, 2, 1), nil, true), ErrNoRaftView)
	require.NoError(t, l.Found(founding()))
	require.Equal(t, codec.HardState{Term: 1, Commit: 1}, l.HardState())
	applied, config := l.RaftApplied()
	require.Zero(t, applied)
	require.Empty(t, config.Members)
	require.Error(t, l.Found(founding()))
	require.NoError(t, l.OpenEmpty(), "a raft view is there already")

	l = open(t, vfs.NewMem())
	require.NoError(t, l.Release(0, encode(t, cut(entries(1, 9, 1)))))
	require.Error(t, l.Found(founding()))
	require.Error(t, l.OpenEmpty(), "blocks are adopted, not ignored")
}

// What Raft never asks for is refused, and changes nothing.
func TestSaveRefuses(t *testing.T) {
	l := founded(t, vfs.NewMem(), 8)
	require.NoError(t, l.Save(entries(9, 9, 4), &codec.HardState{Term: 4, Vote: 1, Commit: 8}, true))
	for name, err := range map[string]error{
		"a hole":                l.Save(entries(11, 11, 4), nil, true),
		"over committed":        l.Save(entries(8, 9, 4), nil, true),
		"a term not begun":      l.Save(entries(10, 10, 5), nil, true),
		"falling term":          l.Save(entries(10, 10, 3), nil, true),
		"term goes back":        l.Save(nil, &codec.HardState{Term: 3, Commit: 8}, true),
		"commit goes back":      l.Save(nil, &codec.HardState{Term: 4, Vote: 1, Commit: 7}, true),
		"second vote":           l.Save(nil, &codec.HardState{Term: 4, Vote: 2, Commit: 8}, true),
		"commit above the last": l.Save(nil, &codec.HardState{Term: 4, Vote: 1, Commit: 10}, true),
		"empty command":         l.Save([]codec.Entry{{Index: 10, Term: 4, Kind: codec.KindCommand}}, nil, true),
		"applied above commit":  l.SetRaftApplied(9, codec.Configuration{}),
	} {
		require.Error(t, err, name)
	}
	_, err := l.Seal(10)
	require.Error(t, err, "not here")
	require.EqualValues(t, 9, l.LastIndex())
	require.NoError(t, l.Failed())
	require.EqualValues(t, 9, reopen(t, l).LastIndex())
}

// Entries that were handed out stay as they are when others take their place.
func TestHandedOutEntriesStay(t *testing.T) {
	l := founded(t, vfs.NewMem(), 2)
	require.NoError(t, l.Save(entries(3, 6, 1), nil, false))
	old := all(t, l)
	want := append([]codec.Entry(nil), old...)
	require.NoError(t, l.Save(entries(3, 8, 2), &codec.HardState{Term: 2, Commit: 8}, false))
	_, err := l.Seal(8)
	require.NoError(t, err)
	require.True(t, sameEntries(want, old))
}

func TestCompactedAndUnavailable(t *testing.T) {
	l := founded(t, vfs.NewMem(), 1)
	sealed0(t, l, 20)
	require.NoError(t, l.MoveHorizon(0))
	first, last := l.FirstIndex(), l.LastIndex()
	require.Greater(t, first, codec.Index(1))
	_, err := l.Entries(first-1, last, 1)
	require.ErrorIs(t, err, codec.ErrCompacted)
	_, err = l.Entries(first, last+2, 1)
	require.ErrorIs(t, err, codec.ErrUnavailable)
	_, err = l.Term(first - 1)
	require.NoError(t, err)
	_, err = l.Term(first - 2)
	require.ErrorIs(t, err, codec.ErrCompacted)
	_, err = l.Term(last + 1)
	require.ErrorIs(t, err, codec.ErrUnavailable)
	got, err := l.Read(1, last, 1<<30)
	require.NoError(t, err, "hidden from Raft, not gone")
	require.Len(t, got, int(last))
}

func sealed0(t *testing.T, l *Ledger, last codec.Index) {
	t.Helper()
	require.NoError(t, l.Save(entries(2, last, 1), &codec.HardState{Term: 1, Commit: last}, true))
	_, err := l.Seal(last)
	require.NoError(t, err)
	require.NoError(t, l.SetRaftApplied(last, foldAll(entries(1, last, 1))))
}

// Replay never sees what is not decided.
func TestReadStopsAtCommit(t *testing.T) {
	l := founded(t, vfs.NewMem(), 5)
	require.NoError(t, l.Save(entries(6, 8, 1), nil, true))
	_, err := l.Read(1, 6, 1<<30)
	require.ErrorIs(t, err, codec.ErrUnavailable)
	got, err := l.Read(1, 5, 1<<30)
	require.NoError(t, err)
	require.Len(t, got, 5)
}

// Catch-up writes the synced view only: an entry that Raft acknowledged stays,
// before and after a restart, though blocks now hold another at its index.
func TestReleaseNeverTouchesTheRaftView(t *testing.T) {
	l := founded(t, vfs.NewMem(), 4)
	acknowledged := entries(5, 8, 7)
	require.NoError(t, l.Save(acknowledged, &codec.HardState{Term: 7, Vote: 3, Commit: 4}, true))
	before := pictureOf(l)
	require.NoError(t, l.Release(0, encode(t, cut(entries(1, 30, 1)))))

	for range 2 {
		got, err := l.Entries(5, 9, 1<<30)
		require.NoError(t, err)
		require.True(t, sameEntries(acknowledged, got))
		after := pictureOf(l)
		require.Greater(t, after.head.Last, codec.Index(8))
		after.head, after.atEnd = before.head, before.atEnd
		require.Equal(t, before, after)
		l = reopen(t, l)
	}
}

// A tail that does not hold the adopted cursor goes whole: else one log would
// begin with one history and end with another.
func TestAdoptionDropsStaleTail(t *testing.T) {
	truth := entries(1, 30, 2)
	truth[0] = founding()
	blocks := cut(truth)
	end := blocks[1][len(blocks[1])-1]
	for _, c := range []struct {
		name string
		term codec.Term // of the tail
		keep bool
	}{{"same term", 2, true}, {"another term", 3, false}} {
		t.Run(c.name, func(t *testing.T) {
			l := founded(t, vfs.NewMem(), 1)
			require.NoError(t, l.Save(entries(2, 12, c.term), &codec.HardState{Term: c.term, Vote: 9, Commit: 1}, true))
			require.NoError(t, l.Release(0, encode(t, blocks[:2])))
			require.NoError(t, l.Adopt(end.Cursor(), nil))
			for range 2 {
				want := end.Index
				if c.keep {
					want = 12
				}
				require.Equal(t, want, l.LastIndex())
				require.Equal(t, end.Index+1, l.FirstIndex())
				term, err := l.Term(end.Index)
				require.NoError(t, err)
				require.Equal(t, end.Term, term)
				require.Equal(t, codec.HardState{Term: c.term, Vote: 9, Commit: end.Index}, l.HardState())
				applied, config := l.RaftApplied()
				require.Equal(t, end.Index, applied)
				require.Equal(t, foldAll(truth[:end.Index]), config)
				l = reopen(t, l)
			}
		})
	}
}

func TestAdoptionRaisesHardState(t *testing.T) {
	truth := entries(1, 30, 5)
	truth[0] = founding()
	l := founded(t, vfs.NewMem(), 1)
	require.NoError(t, l.Save(nil, &codec.HardState{Term: 3, Vote: 9, Commit: 1}, true))
	require.NoError(t, l.Release(0, encode(t, cut(truth))))
	adopted, err := l.AdoptHead()
	require.NoError(t, err)
	require.True(t, adopted)
	require.Equal(t, codec.HardState{Term: 5, Vote: 0, Commit: l.HeadCursor().Index}, l.HardState())
	adopted, err = l.AdoptHead()
	require.NoError(t, err)
	require.False(t, adopted)
}

func TestAdoptionIsChecked(t *testing.T) {
	truth := entries(1, 30, 1)
	blocks := cut(truth)
	end := blocks[0][len(blocks[0])-1].Cursor()
	l := open(t, vfs.NewMem())
	require.NoError(t, l.Release(0, encode(t, blocks)))
	ids := idsOf(l.HeadConfig())
	require.NotEmpty(t, ids)

	var diverged *DivergenceError
	require.ErrorAs(t, l.Adopt(codec.Cursor{Index: end.Index, Term: 2}, ids), &diverged)
	require.Equal(t, "term", diverged.What)
	require.ErrorAs(t, l.Adopt(end, append(ids, 99)), &diverged)
	require.Equal(t, "configuration", diverged.What)
	require.ErrorIs(t, l.Adopt(codec.Cursor{Index: 1000, Term: 1}, nil), codec.ErrUnavailable)
	require.ErrorContains(t, l.Adopt(codec.Cursor{Index: end.Index - 1, Term: 1}, nil), "block 0 ends at")
	require.False(t, l.HasRaftView())
	require.NoError(t, l.Drop(0), "what a wrong session brought can go")
	require.Zero(t, l.Head().Blocks)

	require.NoError(t, l.Release(0, encode(t, blocks)))
	require.NoError(t, l.Adopt(end, ids))
	require.True(t, l.HasRaftView())
	require.Error(t, l.Drop(0), "Raft needs it")
}

// Raft decides what catch-up stored already: equal bytes only leave the tail,
// others stop the ledger.
func TestSealMeetsReleasedBlocks(t *testing.T) {
	truth := entries(1, 9, 1)
	l := founded(t, vfs.NewMem(), 9)
	require.NoError(t, l.Release(0, encode(t, cut(truth))))
	head := l.Head()
	n, err := l.Seal(9)
	require.NoError(t, err)
	require.EqualValues(t, head.Blocks, n)
	require.Equal(t, head, l.Head())
	require.Equal(t, head.Last, reopen(t, l).raft.sealed.Index)

	l = founded(t, vfs.NewMem(), 9)
	truth[1].Data = append([]byte("other"), truth[1].Data...)
	require.NoError(t, l.Release(0, encode(t, cut(truth))))
	_, err = l.Seal(9)
	var diverged *DivergenceError
	require.ErrorAs(t, err, &diverged)
	require.Equal(t, "block 0", diverged.What)
	require.Equal(t, diverged, l.Failed())
	require.ErrorAs(t, l.Save(entries(10, 10, 1), nil, true), &diverged)
	require.Zero(t, l.raft.sealed.Index)
}

func TestReleaseRefuses(t *testing.T) {
	blocks := encode(t, cut(entries(1, 30, 1)))
	l := open(t, vfs.NewMem())
	require.Error(t, l.Release(1, blocks[1:]), "not the next one")
	require.Error(t, l.Release(0, [][]byte{blocks[0], blocks[2]}), "a hole")
	require.ErrorIs(t, l.Release(0, [][]byte{blocks[0], blocks[1][:100]}), codec.ErrBlock)
	require.Zero(t, l.Head().Blocks, "all or none")
	require.NoError(t, l.Release(0, blocks[:2]))
	require.Error(t, l.Release(1, blocks[1:2]), "twice")
}

// Blocks that were made durable before the write that counts them are deleted,
// not trusted.
func TestBlocksBeyondTheHeadGo(t *testing.T) {
	fs := vfs.NewMem()
	log := entries(1, 30, 1)
	blocks := encode(t, cut(log))
	l := open(t, fs)
	require.NoError(t, l.Release(0, blocks[:3]))
	three := l.Head()
	require.NoError(t, l.Release(3, blocks[3:]))
	require.NoError(t, l.Close())
	last := cut(log)[2]
	raw(t, fs, func(db *pebble.DB) {
		key := single(prefixHead)
		require.NoError(t, db.Set(key, withSum(key, headBody(last[len(last)-1].Cursor(), three)), pebble.Sync))
	})
	require.NoError(t, clearMarker(fs, "/data/group"))

	l = open(t, fs)
	require.Equal(t, three, l.Head())
	for prefix, from := range map[byte][]byte{
		prefixBlock: numbered(prefixBlock, uint64(3)), prefixSpan: numbered(prefixSpan, uint64(3)),
		prefixFirst: numbered(prefixFirst, three.Last+1), prefixConfig: numbered(prefixConfig, uint64(4)), prefixNode: nodeKey(codec.TreeNode{Number: 3}),
	} {
		upper := after(prefix)
		if prefix == prefixNode {
			upper = []byte{prefixNode, 1}
		}
		some, err := l.store.any(from, upper)
		require.NoError(t, err)
		require.False(t, some, "%c", prefix)
	}
	require.NoError(t, l.Release(3, blocks[3:]))
}

func TestHorizonKeepsWhatIsNeeded(t *testing.T) {
	l := founded(t, vfs.NewMem(), 1)
	log := entries(1, 30, 1)
	blocks := cut(log)
	require.NoError(t, l.Save(log[1:], &codec.HardState{Term: 1, Commit: 30}, true))
	_, err := l.Seal(30)
	require.NoError(t, err)
	require.NoError(t, l.MoveHorizon(0))
	require.EqualValues(t, 1, l.FirstIndex(), "nothing is applied yet")
	require.NoError(t, l.SetRaftApplied(30, foldAll(log)))
	floor := blocks[1][1].Index
	require.NoError(t, l.MoveHorizon(floor))
	require.Equal(t, blocks[1][0].Index, l.FirstIndex())
	require.NoError(t, l.MoveHorizon(0))
	require.Equal(t, blocks[len(blocks)-2][0].Index, l.FirstIndex(), "two blocks stay")
	require.NoError(t, l.MoveHorizon(0))
	require.Equal(t, blocks[len(blocks)-2][0].Index, reopen(t, l).FirstIndex())
}

// damages are changes of stored bytes, and what the error says (FAULTS S3, S11).
func TestDamageIsNamed(t *testing.T) {
	log := entries(1, 33, 1)
	blocks := cut(log)
	flip := func(key []byte, at int) func(*pebble.DB) error {
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
	remove := func(key []byte) func(*pebble.DB) error {
		return func(db *pebble.DB) error { return db.Delete(key, pebble.Sync) }
	}
	second := blocks[1][0].Index
	tail := blocks[len(blocks)-1][len(blocks[len(blocks)-1])-1].Index + 1
	require.Equal(t, codec.Index(32), tail)
	for _, c := range []struct {
		name   string
		change func(*pebble.DB) error
		says   string
		index  codec.Index
		open   bool // opens: found when it is read
	}{
		{"hard state", flip(single(prefixHard), 7), "must not vote", 0, false},
		{"hard state gone", remove(single(prefixHard)), "must not vote", 0, false},
		{"applied", flip(single(prefixApplied), 2), "raft-applied", 0, false},
		{"bounds", flip(single(prefixView), 2), "bounds of the raft view", 0, false},
		{"head", flip(single(prefixHead), 30), "head of the blocks", 0, false},
		{"format", remove(single(prefixFormat)), "format version", 0, false},
		{"owner", flip(single(prefixOwner), 40), "owner", 0, false},
		{"log id", flip(single(prefixLog), 3), "log id", 0, false},
		{"tail entry", flip(numbered(prefixEntry, tail), 20), "entry of the tail", tail, false},
		{"tail hole", remove(numbered(prefixEntry, tail)), "tail", tail, false},
		{"tail end", remove(numbered(prefixEntry, codec.Index(33))), "are committed, but the last one here is 32", 33, false},
		{"frontier", flip(nodeKey(codec.RangeNodes(0, uint64(len(blocks)))[0]), 3), "the block tree", log[0].Index, false},
		{"block", flip(numbered(prefixBlock, uint64(1)), 200), "block 1", second, true},
		{"block gone", remove(numbered(prefixBlock, uint64(1))), "block 1", second, true},
		{"leaf", flip(nodeKey(codec.TreeNode{Number: 1}), 0), "block tree", 1, false},
		{"place", flip(numbered(prefixSpan, uint64(1)), 0), "place of block 1", second, false},
		{"first index", flip(numbered(prefixFirst, second), 0), "index of blocks", second, false},
		{"configuration", flip(numbered(prefixConfig, uint64(1)), 0), "a configuration", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			l := founded(t, fs, 33)
			_, err := l.Seal(33)
			require.NoError(t, err)
			require.NoError(t, l.Close())
			var told []*DamageError
			tell := func(d *DamageError) { told = append(told, d) }
			require.NoError(t, Verify(fs, "/data/group", testFold, tell))
			require.Empty(t, told)

			raw(t, fs, func(db *pebble.DB) { require.NoError(t, c.change(db)) })
			require.NoError(t, Verify(fs, "/data/group", testFold, tell))
			require.NotEmpty(t, told)
			require.Contains(t, fmt.Sprint(told), c.says)

			l, err = Open(testOptions(fs))
			if c.open {
				require.NoError(t, err)
				defer func() { _ = l.Close() }()
				_, err = l.Block(1)
			}
			var damage *DamageError
			require.ErrorAs(t, err, &damage)
			require.ErrorContains(t, err, c.says)
			if !strings.Contains(c.name, "frontier") {
				require.Equal(t, c.index, damage.Index)
			}
			if c.open {
				_, err = l.Read(second+1, second+1, 1<<20)
				require.ErrorAs(t, err, &damage)
				require.Equal(t, c.index, damage.Index)
			}
		})
	}
}

func TestStatAndDump(t *testing.T) {
	fs := vfs.NewMem()
	l := founded(t, fs, 11)
	_, err := l.Seal(11)
	require.NoError(t, err)
	head := l.Head()
	require.NoError(t, l.Close())

	st, err := Stat(fs, "/data/group")
	require.NoError(t, err)
	require.Positive(t, st.Bytes)
	st.Bytes = 0
	require.Equal(t, Stats{
		Group: testGroup, Peer: testPeer, RaftID: l.RaftID(), LogID: codec.LogIDOf(founding().Data),
		Head: head, Config: foldAll(entries(1, head.Last, 1)), RaftView: true, First: 1, Last: 11,
		Hard: codec.HardState{Term: 1, Commit: 11}, Tail: int(11 - head.Last), Stopped: true,
	}, st)

	var out strings.Builder
	require.NoError(t, Dump(fs, "/data/group", 1, 11, &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 11)
	require.Equal(t, fmt.Sprintf("1 1 config 0 %d %x", len(founding().Data), founding().Data), lines[0])
	require.Regexp(t, `^11 1 command tail 102400 000000000000000b0000000000000001[0]*…$`, lines[10])
	out.Reset()
	require.NoError(t, Dump(fs, "/data/group", 3, 5, &out))
	require.Equal(t, strings.Join(lines[2:5], "\n")+"\n", out.String())

	_, err = Stat(fs, "/data/nothing")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, open(t, fs).Close(), "reading changed nothing")
}

// What was just written counts, also while it lies in the write-ahead log only.
func TestDiskBytesCountsTheLog(t *testing.T) {
	l := founded(t, vfs.NewMem(), 1)
	e := entries(2, 2, 1)
	e[0].Data = make([]byte, 1<<20)
	require.NoError(t, l.Save(e, nil, true))
	require.Greater(t, l.DiskBytes(), int64(1<<20))
}
