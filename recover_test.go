package logmesh_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine/kv"
)

// data is the directory of node i.
func (c *cluster) data(i int) string { return filepath.Join(c.dir, fmt.Sprint(i)) }

// lose stops nodes for good: nobody looks for them any more.
func (c *cluster) lose(nodes ...int) {
	c.t.Helper()
	for _, i := range nodes {
		c.stop(i)
		c.addrs[i] = ""
	}
}

func (c *cluster) recover(i int) logmesh.Recovery {
	c.t.Helper()
	r, err := logmesh.Recover(logmesh.RecoverConfig{Data: c.data(i)})
	require.NoError(c.t, err)
	require.NotEqual(c.t, r.Log, r.NewLog)
	return r
}

func (c *cluster) wait(i int, what string, until logmesh.Condition) logmesh.Status {
	c.t.Helper()
	s, err := c.group[i].Wait(testContext(c.t), until)
	require.NoError(c.t, err, what)
	return s
}

// cannotWrite: a write and a strong read fail within their context, and say who is
// missing.
func (c *cluster) cannotWrite(i int, missing ...codec.PeerID) {
	c.t.Helper()
	s := c.wait(i, "no quorum", func(s logmesh.Status) bool { return s.NoQuorum != nil && s.Leader == "" })
	require.Equal(c.t, "no quorum: writes and strong reads wait", s.Detail)
	require.Contains(c.t, s.Alerts, s.NoQuorum.String())
	ctx, cancel := context.WithTimeout(c.t.Context(), 300*time.Millisecond)
	defer cancel()
	command, err := kv.EncodeCommand(kv.Put{Key: "never", Value: []byte("x")})
	require.NoError(c.t, err)
	_, writeErr := c.group[i].Execute(ctx, command)
	q, err := kv.EncodeQuery(kv.Get{Key: "never"})
	require.NoError(c.t, err)
	_, readErr := c.group[i].Query(ctx, q, logmesh.Strong)
	for _, err := range []error{writeErr, readErr} {
		require.ErrorIs(c.t, err, logmesh.ErrNoLeader)
		var lacking *logmesh.NoQuorumError
		require.ErrorAs(c.t, err, &lacking)
		require.ErrorContains(c.t, err, "a majority of the voters is not reachable: 1 of 3 (missing: ")
		for _, p := range missing {
			require.ErrorContains(c.t, err, string(p))
		}
		require.Equal(c.t, s.NoQuorum.Since, lacking.Since, "since the majority was lost, not since it was looked at")
	}
}

// toldApart waits until node i, which came back with the log from before, says
// that the group was recovered without it.
func (c *cluster) toldApart(i int, r logmesh.Recovery) {
	c.t.Helper()
	s := c.wait(i, "told apart", func(s logmesh.Status) bool {
		return strings.Contains(strings.Join(s.Alerts, "\n"), fmt.Sprintf("recovered at index %d, without this node", r.Index))
	})
	require.Equal(c.t, r.Log, s.Log)
}

// Fault P9, a majority gone for good: the survivor stays readable and says who is
// missing; recovered, it goes on alone with all that it had, and new members join
// it. The lost ones that come back are told apart: they neither mix with it nor
// learn from it, although they are a majority of the old group and elect a leader
// there. With empty directories they join.
func TestMajorityGoneForGood(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	last := fill(t, c.group[1], 1000, 100)
	c.put(0, "before", "the loss")
	c.agree(last.Index + 1)
	lost := []codec.PeerID{c.nodes[1].ID(), c.nodes[2].ID()}
	old := []string{c.addrs[1], c.addrs[2]}
	c.lose(1, 2)
	c.cannotWrite(0, lost...)
	require.Equal(t, "the loss", c.local(0, "before"))

	_, err := logmesh.Recover(logmesh.RecoverConfig{Data: c.data(0)})
	require.ErrorContains(t, err, "is running: stop it first")
	c.stop(0)
	plan, err := logmesh.PlanRecovery(logmesh.RecoverConfig{Data: c.data(0)})
	require.NoError(t, err)
	require.Equal(t, 3, plan.Voters)
	require.Equal(t, codec.RoleVoter, plan.Role())
	r := c.recover(0)
	require.Equal(t, plan.Last, r.Last, "the plan changed nothing")
	c.start(0)
	s := c.wait(0, "it leads", logmesh.Online)
	require.Equal(t, r.NewLog, s.Log)
	require.Len(t, s.Members, 1)
	require.Equal(t, "the loss", c.get(0, "before"))
	c.put(0, "after", "the recovery")

	c.add()
	c.add()
	c.voters(3)
	last = c.put(4, "with", "new members")
	c.agree(last.Index)
	require.Equal(t, "the loss", c.get(3, "before"))

	// The lost ones are back, with the directories from before, and know everybody.
	c.addrs[1], c.addrs[2] = old[0], old[1]
	c.start(1)
	c.start(2)
	c.toldApart(1, r)
	c.toldApart(2, r)
	for i := 1; i <= 2; i++ {
		s := c.wait(i, "two of three lead the old group", func(s logmesh.Status) bool { return s.Leader != "" })
		require.Contains(t, lost, s.Leader)
		require.NotContains(t, s.Bonds, c.nodes[0].ID())
	}
	c.put(1, "after", "another")
	c.put(0, "more", "here")
	require.Equal(t, "the recovery", c.get(3, "after"))
	require.Equal(t, "another", c.local(1, "after"))
	require.Len(t, c.group[0].Status().Members, 3)

	// With empty directories they are new members. While one of them still ran on the
	// old log, the other would join that.
	for i := 1; i <= 2; i++ {
		c.stop(i)
		require.NoError(t, os.Rename(c.data(i), c.data(i)+".old"))
		c.addrs[i] = ""
	}
	c.start(1)
	c.start(2)
	c.settle(5)
	last = c.put(2, "all", "together")
	c.agree(last.Index)
	require.Equal(t, "the recovery", c.get(1, "after"))
}

// The only survivor may be an observer.
func TestRecoverFromAnObserver(t *testing.T) {
	c := newCluster(t, 1)
	ctx := testContext(t)
	dir := filepath.Join(c.dir, "observer")
	join := func(peers ...string) *logmesh.Group {
		n, err := logmesh.Open(ctx, logmesh.Config{Data: dir, Peers: peers, Logger: quiet(t)})
		require.NoError(t, err)
		t.Cleanup(func() { _ = n.Close() })
		g, err := n.Join(ctx, logmesh.GroupConfig{Key: c.key, Role: codec.RoleObserver}, kv.New())
		require.NoError(t, err)
		return g
	}
	g := join(c.addrs...)
	_, err := g.Wait(ctx, logmesh.Members(2))
	require.NoError(t, err)
	last := fill(t, c.group[0], 300, 10)
	_, err = g.Wait(ctx, logmesh.Applied(last.Index))
	require.NoError(t, err)
	require.NoError(t, g.Close())
	c.lose(0)

	r, err := logmesh.Recover(logmesh.RecoverConfig{Data: dir})
	require.NoError(t, err)
	require.Equal(t, codec.RoleObserver, r.Role())
	g = join()
	s, err := g.Wait(ctx, logmesh.Online)
	require.NoError(t, err)
	require.Equal(t, "leader", s.Role)
	require.Equal(t, r.NewLog, s.Log)
	require.Greater(t, fill(t, g, 3, 10).Index, r.Index)
}

// Two directories of one group that are both recovered are two groups, which
// refuse each other.
func TestTwoRecoveriesDoNotMix(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	c.agree(fill(t, c.group[0], 10, 10).Index)
	for i := range 3 {
		c.stop(i)
	}
	a, b := c.recover(0), c.recover(1)
	require.NotEqual(t, a.NewLog, b.NewLog)
	require.Equal(t, a.Log, b.Log)
	c.start(0)
	c.start(1)
	c.wait(0, "a leads", logmesh.Online)
	c.wait(1, "b leads", logmesh.Online)
	c.put(0, "who", "a")
	c.put(1, "who", "b")
	require.Equal(t, "a", c.get(0, "who"))
	require.Equal(t, "b", c.get(1, "who"))
	for i := range 2 {
		s := c.group[i].Status()
		require.Empty(t, s.Bonds)
		require.Len(t, s.Members, 1)
	}
	c.start(2) // of the old group: neither has it
	c.toldApart(2, a)
	require.Empty(t, c.group[2].Status().Bonds)
}

func TestRecoverRefuses(t *testing.T) {
	c := newCluster(t, 1)
	recover := func(data, group string) error {
		_, err := logmesh.Recover(logmesh.RecoverConfig{Data: data, Group: group})
		return err
	}
	c.stop(0)
	require.ErrorContains(t, recover(c.data(0), ""), "nothing to recover: this member is the only voter of its group")
	require.ErrorContains(t, recover(c.data(0), "other"), `does not hold group "other"; it holds "main"`)
	require.ErrorContains(t, recover(c.dir, ""), "is no node's directory")
	require.NoError(t, os.MkdirAll(filepath.Join(c.dir, "empty", "groups"), 0o700))
	require.ErrorContains(t, recover(filepath.Join(c.dir, "empty"), ""), "holds no group")

	files, err := filepath.Glob(filepath.Join(c.data(0), "groups", "main", "pebble", "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		data[len(data)/3] ^= 8
		require.NoError(t, os.WriteFile(f, data, 0o600))
	}
	require.ErrorContains(t, recover(c.data(0), ""), "a damaged log is not recovered from")
}
