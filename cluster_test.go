package logmesh_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine/kv"
)

// cluster is a group of nodes on disk in one process, which can be stopped and
// started again.
type cluster struct {
	t     testing.TB
	log   *slog.Logger
	dir   string
	key   []byte
	nodes []*logmesh.Node
	group []*logmesh.Group
	addrs []string // where each node listened last, with /p2p
}

func newCluster(t *testing.T, size int) *cluster {
	t.Helper()
	return newClusterIn(t, t.TempDir(), size, quiet(t))
}

func newClusterIn(t testing.TB, dir string, size int, log *slog.Logger) *cluster {
	t.Helper()
	c := &cluster{t: t, log: log, dir: dir, key: logmesh.NewKey()}
	for i := range size {
		c.nodes, c.group, c.addrs = append(c.nodes, nil), append(c.group, nil), append(c.addrs, "")
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	c.settle(size)
	return c
}

// start opens node i. It listens where it did before, and knows where the
// others are.
func (c *cluster) start(i int) {
	c.t.Helper()
	c.open(i)
	require.NoError(c.t, c.join(i))
}

// open starts node i, without the group.
func (c *cluster) open(i int) {
	c.t.Helper()
	cfg := logmesh.Config{
		Data:   filepath.Join(c.dir, fmt.Sprint(i)),
		Listen: []string{"/ip4/127.0.0.1/tcp/0"},
		Logger: c.log.With("node", i),
	}
	for j, a := range c.addrs {
		if j != i && a != "" {
			cfg.Peers = append(cfg.Peers, a)
		}
	}
	if old := c.addrs[i]; old != "" {
		cfg.Listen = []string{old[:len(old)-len("/p2p/")-52]}
	}
	n, err := logmesh.Open(testContext(c.t), cfg)
	require.NoError(c.t, err)
	c.nodes[i], c.addrs[i] = n, n.Addrs()[0]
}

// join makes node i take part in the group; the first node founds it.
func (c *cluster) join(i int) (err error) {
	c.group[i], err = c.nodes[i].Join(testContext(c.t), logmesh.GroupConfig{Key: c.key, Found: i == 0 && len(c.nodes) == 1}, kv.New())
	return err
}

func (c *cluster) stop(i int) {
	c.t.Helper()
	if c.nodes[i] == nil {
		return
	}
	require.NoError(c.t, c.nodes[i].Close())
	c.nodes[i], c.group[i] = nil, nil
}

// settle waits until every running node is online in a group of size members.
func (c *cluster) settle(size int) {
	c.t.Helper()
	for _, g := range c.group {
		if g != nil {
			_, err := g.Wait(testContext(c.t), logmesh.Members(size))
			require.NoError(c.t, err)
		}
	}
}

// agree waits until every running node has applied index i, and compares their
// digests at a common index, and the roots of as many blocks.
func (c *cluster) agree(i codec.Index) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		var want *logmesh.Status
		for _, g := range c.group {
			if g == nil {
				continue
			}
			s := g.Status()
			if s.Applied < i {
				return false
			}
			if want == nil {
				want = &s
			}
			if s.Applied != want.Applied || s.Blocks != want.Blocks { // a block is sealed a moment after its last entry is committed
				return false
			}
			require.Equal(c.t, want.Digest, s.Digest, "digests at index %d", s.Applied)
			require.Equal(c.t, want.Root, s.Root)
		}
		return true
	}, 30*time.Second, 20*time.Millisecond)
}

func (c *cluster) leader() int {
	c.t.Helper()
	leader := -1
	require.Eventually(c.t, func() bool {
		for i, g := range c.group {
			if g != nil && g.Status().Role == "leader" {
				leader = i
				return true
			}
		}
		return false
	}, 20*time.Second, 20*time.Millisecond)
	return leader
}

func (c *cluster) put(i int, key, value string) logmesh.Result {
	c.t.Helper()
	command, err := kv.EncodeCommand(kv.Put{Key: key, Value: []byte(value)})
	require.NoError(c.t, err)
	r, err := c.group[i].Execute(testContext(c.t), command)
	require.NoError(c.t, err)
	return r
}

func (c *cluster) get(i int, key string) string {
	c.t.Helper()
	return c.read(i, key, logmesh.Strong)
}

// local reads a key from what node i has applied.
func (c *cluster) local(i int, key string) string {
	c.t.Helper()
	return c.read(i, key, logmesh.Local)
}

func (c *cluster) read(i int, key string, at logmesh.Read) string {
	c.t.Helper()
	q, err := kv.EncodeQuery(kv.Get{Key: key})
	require.NoError(c.t, err)
	a, err := c.group[i].Query(testContext(c.t), q, at)
	require.NoError(c.t, err)
	got, err := kv.DecodeGetAnswer(a.Data)
	require.NoError(c.t, err)
	return string(got.Value)
}

// A whole group that stops and starts again comes back with everything.
func TestRestartAll(t *testing.T) {
	c := newCluster(t, 3)
	last := fill(t, c.group[1], 2000, 100)
	c.agree(last.Index)
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes {
		c.start(i)
	}
	last = c.put(2, "after", "restart")
	c.agree(last.Index)
	require.Equal(t, "restart", c.get(0, "after"))
	for _, i := range []int{1, 0, 2} { // any order
		c.stop(i)
	}
	for _, i := range []int{2, 1, 0} {
		c.start(i)
	}
	c.agree(c.put(1, "once", "more").Index)
}

// P1: a leader that dies is replaced, and comes back as a follower.
func TestLeaderReplaced(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	old := c.leader()
	c.stop(old)
	other := (old + 1) % 3
	last := c.put(other, "while", "away")
	require.NotEqual(t, old, c.leader())
	c.start(old)
	c.agree(last.Index)
	require.Equal(t, "away", c.get(old, "while"))
}

// N8: a member that was away until the log is past the leader's horizon catches
// up by itself.
func TestFellBehind(t *testing.T) {
	c := newCluster(t, 4)
	away := 3
	if c.leader() == away {
		away = 2
	}
	c.stop(away)
	fill(t, c.group[0], 80_000, 100)
	require.Greater(t, c.group[0].Status().Horizon, codec.Index(1_000), "the horizon has moved")
	c.start(away)
	last := c.put(0, "now", "x")
	c.agree(last.Index)
	require.Equal(t, "x", c.get(away, "now"))
	last = c.put(away, "again", "y")
	c.agree(last.Index)
}

// Three voters, one dead and one far behind: no majority of the others can state the
// root, so the one that is behind counts itself, and the two commit again once it has
// caught up.
func TestCommitsWithOneDeadOneFarBehind(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	followers := c.followers()
	behind, dead := followers[0], followers[1]
	c.stop(behind)
	fill(t, c.group[c.leader()], 80_000, 100)
	c.stop(dead)
	c.start(behind)
	last := c.put(behind, "again", "x")
	c.agree(last.Index)
	require.Equal(t, "x", c.get(behind, "again"))
}

// A member that leaves is gone from the configuration, also the leader, and the
// others go on.
func TestLeave(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	leader := c.leader()
	require.NoError(t, c.group[leader].Leave(testContext(t)))
	require.NoError(t, c.nodes[leader].Close())
	c.nodes[leader], c.group[leader] = nil, nil
	other := (leader + 1) % 3
	last := c.put(other, "without", "it")
	c.agree(last.Index)
	require.Len(t, c.group[other].Status().Members, 2)
}

// An observer follows the log and is never asked to vote.
func TestObserver(t *testing.T) {
	c := newCluster(t, 1)
	ctx := testContext(t)
	n, err := logmesh.Open(ctx, logmesh.Config{Peers: c.addrs, Logger: quiet(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	g, err := n.Join(ctx, logmesh.GroupConfig{Key: c.key, Role: codec.RoleObserver}, kv.New())
	require.NoError(t, err)
	_, err = g.Wait(ctx, logmesh.Members(2))
	require.NoError(t, err)
	last := c.put(0, "seen", "by the observer")
	s, err := g.Wait(ctx, logmesh.Applied(last.Index))
	require.NoError(t, err)
	require.Equal(t, "observer", s.Role)
	c.add()
	c.voters(2)
	m, ok := byPeer(g.Status(), n.ID())
	require.True(t, ok)
	require.Equal(t, codec.RoleObserver, m.Role)
}

// add starts one more member that may vote.
func (c *cluster) add() {
	c.t.Helper()
	c.nodes, c.group, c.addrs = append(c.nodes, nil), append(c.group, nil), append(c.addrs, "")
	c.start(len(c.nodes) - 1)
}

// voters waits until the group has n voters.
func (c *cluster) voters(n int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		voters := 0
		for _, m := range c.group[0].Status().Members {
			if m.Role == codec.RoleVoter {
				voters++
			}
		}
		return voters == n
	}, 30*time.Second, 20*time.Millisecond, "standbys are promoted to %d voters", n)
}

func byPeer(s logmesh.Status, p codec.PeerID) (logmesh.MemberStatus, bool) {
	for _, m := range s.Members {
		if m.Peer == p {
			return m, true
		}
	}
	return logmesh.MemberStatus{}, false
}

// Every member says how far each other trails, not the leader alone.
func TestEveryMemberShowsTheOthers(t *testing.T) {
	c := newCluster(t, 3)
	last := c.put(0, "a", "b")
	require.Eventually(t, func() bool {
		for _, g := range c.group {
			for _, m := range g.Status().Members {
				if m.Applied < last.Index || m.Trails != 0 {
					return false
				}
			}
		}
		return true
	}, 20*time.Second, 20*time.Millisecond)
}
