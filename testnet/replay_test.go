package testnet

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

var (
	entries = flag.Int("entries", 6000, "how many entries the replay test writes")
	size    = flag.Int("size", 16<<10, "bytes of a value in the replay test")
)

// P1, R3: a member of a group with a longer log is killed, and comes back with
// everything by replaying its ledger, which its status shows.
func TestReplay(t *testing.T) {
	nodes := newGroup(t, 2)
	imported := time.Now()
	out, exit := run(t, "kv", "import", records(t, *entries), "--data", nodes[1].dir)
	require.Zero(t, exit, out)
	t.Logf("%d entries imported in %v", *entries, time.Since(imported).Round(time.Millisecond))
	head := agree(t, nodes)
	require.GreaterOrEqual(t, int(head), *entries)

	nodes[1].process.kill()
	began := time.Now()
	nodes[1].start()
	ready := time.Since(began)
	seen := replayed(t, nodes[1], head)
	back := time.Since(began)
	require.NotEmpty(t, seen, "the status showed no replay")
	for i, r := range seen {
		require.LessOrEqual(t, r.Index, r.Of)
		require.LessOrEqual(t, r.Of, head+10) // a start adds a few entries of its own
		require.True(t, i == 0 || seen[i-1].Index <= r.Index, "replay went back: %+v", seen)
	}
	require.LessOrEqual(t, back, backWithin)
	require.GreaterOrEqual(t, agree(t, nodes), head)
	t.Logf("a log of %d entries: API ready after %v, at the head after %v; progress seen %d times, first and last %+v, %+v",
		head, ready.Round(time.Millisecond), back.Round(time.Millisecond), len(seen), seen[0], seen[len(seen)-1])
}

// replayed collects what the status of a started node says of its replay, until
// it is online at head.
func replayed(t *testing.T, n *node, head codec.Index) (seen []logmesh.ReplayStatus) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		st, ok := n.status()
		switch {
		case ok && st.Phase == logmesh.PhaseReplaying:
			require.NotNil(t, st.Replay)
			require.Contains(t, st.Detail, fmt.Sprintf("replaying %d of %d", st.Replay.Index, st.Replay.Of))
			seen = append(seen, *st.Replay)
		case ok && online(st) && st.Applied >= head:
			return seen
		}
		require.Less(t, time.Now(), deadline, "not at the head: %+v", st)
	}
}

// records makes a file of NDJSON for kv import.
func records(t *testing.T, n int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "records.ndjson")
	f, err := os.Create(path)
	require.NoError(t, err)
	w := bufio.NewWriter(f)
	for i := range n {
		_, err := fmt.Fprintf(w, "{\"key\":\"record/%07d\",\"value\":\"%0*d\"}\n", i, *size, i)
		require.NoError(t, err)
	}
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
	return path
}
