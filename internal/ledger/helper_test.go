package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

var (
	testGroup = codec.GroupIDOf(codec.NetworkIDOf("test"), "main")
	testPeer  = codec.PeerID("12D3KooWTest")
)

func testOptions(fs vfs.FS) Options {
	return Options{
		FS: fs, Dir: "/data/group", Group: testGroup, Peer: testPeer, Salt: [16]byte{1},
		Fold: testFold, HorizonBlocks: 2,
	}
}

// testFold makes a configuration entry replace or add one of 5 members, or begin
// another log with the ledger's own node alone.
func testFold(c codec.Configuration, e codec.Entry) (codec.Configuration, error) {
	if bytes.HasPrefix(e.Data, []byte("recover")) {
		c.Index, c.Members = e.Index, []codec.Member{{RaftID: own, Peer: testPeer, Role: codec.RoleVoter}}
		return c.Began(e), nil
	}
	c = c.With(codec.Member{RaftID: codec.RaftID(e.Index%5 + 1), Peer: codec.PeerID(fmt.Sprint("p", e.Index)), Role: codec.RoleVoter})
	c.Index = e.Index
	return c, nil
}

func foldAll(entries []codec.Entry) codec.Configuration {
	var c codec.Configuration
	for _, e := range entries {
		if e.Kind == codec.KindConfig {
			c, _ = testFold(c, e)
		}
	}
	return c
}

// entry has size bytes of data that no entry of another index or term has.
func entry(i codec.Index, term codec.Term, size int) codec.Entry {
	data := make([]byte, max(size, 16))
	binary.BigEndian.PutUint64(data, uint64(i))
	binary.BigEndian.PutUint64(data[8:], uint64(term))
	return codec.Entry{Index: i, Term: term, Kind: codec.KindCommand, Data: data}
}

func founding() codec.Entry {
	return codec.Entry{Index: 1, Term: 1, Kind: codec.KindConfig, Data: []byte("founding")}
}

// entries are from, …, to of one term, 100 KiB each, so that three are a block.
func entries(from, to codec.Index, term codec.Term) []codec.Entry {
	var out []codec.Entry
	for i := from; i <= to; i++ {
		if i == 1 {
			out = append(out, founding())
			continue
		}
		out = append(out, entry(i, term, 100<<10))
	}
	return out
}

// cut splits a log that begins at index 1 into its whole blocks.
func cut(log []codec.Entry) (blocks [][]codec.Entry) {
	var fill codec.BlockFill
	begin := 0
	for i := range log {
		if fill.Add(len(log[i].Data)) {
			blocks = append(blocks, log[begin:i+1])
			begin = i + 1
		}
	}
	return blocks
}

func encode(t testing.TB, blocks [][]codec.Entry) (out [][]byte) {
	for _, b := range blocks {
		data, err := codec.AppendBlock(nil, b)
		require.NoError(t, err)
		out = append(out, data)
	}
	return out
}

func open(t testing.TB, fs vfs.FS) *Ledger {
	t.Helper()
	l, err := Open(testOptions(fs))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func reopen(t testing.TB, l *Ledger) *Ledger {
	t.Helper()
	require.NoError(t, l.Close())
	return open(t, l.opts.FS)
}

// founded is a ledger with entries 1 … last of term 1, all committed and synced,
// nothing sealed.
func founded(t testing.TB, fs vfs.FS, last codec.Index) *Ledger {
	t.Helper()
	l := open(t, fs)
	require.NoError(t, l.Found(founding()))
	if last > 1 {
		require.NoError(t, l.Save(entries(2, last, 1), &codec.HardState{Term: 1, Commit: last}, true))
	}
	return l
}

// all is everything that Raft sees.
func all(t testing.TB, l *Ledger) []codec.Entry {
	t.Helper()
	out, err := l.Entries(l.FirstIndex(), l.LastIndex()+1, 1<<40)
	require.NoError(t, err)
	return out
}

func sameEntries(a, b []codec.Entry) bool {
	return slices.EqualFunc(a, b, func(a, b codec.Entry) bool {
		return a.Index == b.Index && a.Term == b.Term && a.Kind == b.Kind && string(a.Data) == string(b.Data)
	})
}
