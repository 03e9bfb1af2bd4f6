package ledger

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

var update = flag.Bool("update", false, "rewrite testdata/records.txt; a changed byte breaks the format")

// The bytes of every kind of record, as FORMAT.md has them, and of the marker.
// A change here is a new format version.
func TestGoldenRecords(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs)
	require.NoError(t, l.SetLogID(codec.LogIDOf(founding().Data)))
	require.NoError(t, l.Found(founding()))
	var log []codec.Entry
	for i := codec.Index(2); i <= codec.BlockEntries+1; i++ {
		log = append(log, codec.Entry{Index: i, Term: 2})
	}
	last := &log[len(log)-1]
	last.Kind, last.Data = codec.KindCommand, []byte("data")
	require.NoError(t, l.Save(log, &codec.HardState{Term: 3, Vote: 4, Commit: codec.BlockEntries}, true))
	sealed, err := l.Seal(codec.BlockEntries)
	require.NoError(t, err)
	require.Equal(t, 1, sealed)
	require.NoError(t, l.SetRaftApplied(codec.BlockEntries, foldAll([]codec.Entry{founding()})))
	b := l.store.db.NewBatch()
	require.NoError(t, set(b, single(prefixGaps), gapsBody(gaps{missing: ranges{{From: 2, To: 4}, {From: 7, To: 8}}, unproved: ranges{{From: 3, To: 4}}})))
	require.NoError(t, l.store.commit(b, true))

	require.NoError(t, l.SetRemoved(130))

	var out strings.Builder
	seen := map[byte]bool{}
	it, err := l.store.db.NewIter(nil)
	require.NoError(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		seen[it.Key()[0]] = true
		fmt.Fprintf(&out, "%c %x\n%x\n\n", it.Key()[0], it.Key()[1:], it.Value())
	}
	require.NoError(t, it.Close())
	for _, prefix := range []byte("abcefghilnostvx") {
		require.True(t, seen[prefix], "a record of kind %c", prefix)
	}
	require.NoError(t, l.Close())
	f, err := fs.Open("/data/group/" + markerFile)
	require.NoError(t, err)
	marker := make([]byte, 1024)
	n, err := f.Read(marker)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	fmt.Fprintf(&out, "%s\n%x\n", markerFile, marker[:n])

	const file = "testdata/records.txt"
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
}
