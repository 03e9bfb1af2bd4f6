package testnet

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/api"
)

const keyDiffers = "the group key differs"

// M8, H6: a node with another key is told so, and learns nothing; the members
// say it once per peer, however long it tries.
func TestWrongKey(t *testing.T) {
	t.Parallel()
	members := newGroup(t, 2)
	put(t, members[0], "secret", "known to members")
	stranger := newNode(t, "stranger", "--group-key", keyFile(t), "--join", members[0].ready.Ticket, "--join", members[1].ready.Ticket)
	stranger.start()
	st := stranger.until("knows why it is out", func(st logmesh.Status) bool { return strings.Contains(st.Detail, keyDiffers) })
	require.Equal(t, logmesh.PhaseJoining, st.Phase)
	eventually(t, func() bool {
		return strings.Contains(stranger.said(), "joining: peer "+members[0].ready.ID) || strings.Contains(stranger.said(), "joining: peer "+members[1].ready.ID)
	},
		"the stranger says on its own output which peer refuses it")
	require.Contains(t, stranger.said(), "is it the key file of this group?")

	tried := time.Now()
	eventually(t, func() bool {
		out, exit := run(t, "kv", "get", "secret", "--data", stranger.dir, "--timeout", "1s")
		require.Equal(t, 1, exit, out)
		require.NotContains(t, out, "known to members")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		v, err := stranger.api().Get(ctx, "secret", api.Local)
		require.False(t, err == nil && v.Found, "a local read finds a secret")
		return time.Since(tried) > 12*time.Second
	}, "tried for long enough")

	for _, m := range members {
		require.Equal(t, 1, mentions(m, stranger.ready.ID, keyDiffers), "%s", m.said())
		require.Equal(t, 1, mentions(stranger, m.ready.ID, "level=WARN", keyDiffers), "%s", stranger.said())
	}
	st, ok := stranger.status()
	require.True(t, ok)
	require.True(t, st.Log.IsZero())
	require.Zero(t, st.Last)
	require.Zero(t, st.Blocks)
	require.Empty(t, st.Members)
	require.Empty(t, st.Bonds)
	stranger.stop()
	out, exit := run(t, "log", "dump", stranger.dir)
	require.Zero(t, exit, out)
	require.Empty(t, out, "entries in the stranger's directory")
	out, exit = run(t, "log", "stat", stranger.dir)
	require.Zero(t, exit, out)
	require.Regexp(t, `(?m)^log +0*$`, out)
	require.Contains(t, out, "0, up to index 0")
}

// mentions counts the lines that a node said with all these words in them.
func mentions(n *node, words ...string) (count int) {
	for line := range strings.Lines(n.said()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			count++
		}
	}
	return count
}

// put writes as a user does.
func put(t *testing.T, n *node, key, value string) {
	t.Helper()
	out, exit := run(t, "kv", "put", key, value, "--data", n.dir)
	require.Zero(t, exit, out)
}

// get reads as a user does.
func get(t *testing.T, n *node, key string) (value string, found bool) {
	t.Helper()
	out, exit := run(t, "kv", "get", key, "--data", n.dir)
	return strings.TrimRight(out, "\n"), exit == 0
}

// S9: two foundings under the same names, with the same key, are two logs that
// never mix, and each is told of the other by its log id.
func TestTwoFoundings(t *testing.T) {
	t.Parallel()
	key := keyFile(t)
	one, two := newNode(t, "one", "--group-key", key), newNode(t, "two", "--group-key", key)
	logs := map[*node]string{}
	for _, n := range []*node{one, two} {
		n.start("--found")
		logs[n] = n.until("leads", online).Log.String()
		put(t, n, "from", filepath.Base(n.dir))
	}
	require.NotEqual(t, logs[one], logs[two])
	two.stop()
	two.start("--join", one.ready.Ticket)
	for n, other := range map[*node]*node{one: two, two: one} {
		eventually(t, func() bool { return mentions(n, other.ready.ID, "the log differs", logs[one], logs[two]) > 0 },
			"%s names both logs: %v", n.dir, logs)
	}
	for _, n := range []*node{one, two} {
		st := n.until("leads its own", online)
		require.Equal(t, logs[n], st.Log.String())
		require.Len(t, st.Members, 1)
		v, _ := get(t, n, "from")
		require.Equal(t, filepath.Base(n.dir), v)
	}

	// Who is pointed at both takes the log of one, and refuses the other.
	three := newNode(t, "three", "--group-key", key)
	three.start("--join", one.ready.Ticket, "--join", two.ready.Ticket)
	st := three.until("is in one group", online)
	home, other := one, two
	if st.Log.String() == logs[two] {
		home, other = two, one
	}
	require.Equal(t, logs[home], st.Log.String())
	v, _ := get(t, three, "from")
	require.Equal(t, filepath.Base(home.dir), v)
	eventually(t, func() bool { return mentions(three, other.ready.ID, "the log differs", logs[one], logs[two]) > 0 }, "the third names both logs")
	require.Len(t, home.until("has a second member", func(st logmesh.Status) bool { return len(st.Members) == 2 }).Members, 2)
	require.Len(t, other.until("is alone", online).Members, 1)
}

// Founding again changes nothing: a stopped group's directory goes on with its
// log, a running one's is in use.
func TestFoundAgain(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n") // the key is made in the directory
	n.start("--found")
	log := n.until("leads", online).Log
	put(t, n, "k", "v")
	out, exit := run(t, "run", "--found", "--data", n.dir, "--http", "127.0.0.1:0")
	require.Equal(t, 1, exit, out)
	require.Contains(t, out, "is in use by process")
	n.stop()
	n.start("--found")
	require.Equal(t, log, n.until("leads again", online).Log)
	v, found := get(t, n, "k")
	require.True(t, found)
	require.Equal(t, "v", v)
}
