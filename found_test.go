package logmesh_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/machine/counter"
	"github.com/logmesh/logmesh/machine/kv"
)

// Joins of a log that is shorter than a block, exactly one block long, and
// longer.
func TestJoinLogsOfAnyLength(t *testing.T) {
	for _, commands := range []int{0, 1, 124, 125, 126, 127, 300} {
		t.Run(fmt.Sprint(commands), func(t *testing.T) {
			ctx := testContext(t)
			key := logmesh.NewKey()
			a, ga := member(t, key, true)
			_, err := ga.Wait(ctx, logmesh.Online)
			require.NoError(t, err)
			if commands > 0 {
				fill(t, ga, commands, 10)
			}
			_, gb := member(t, key, false, a.Addrs()...)
			_, err = gb.Wait(ctx, logmesh.Members(2))
			require.NoError(t, err)
			last := fill(t, gb, 3, 10)
			for _, g := range []*logmesh.Group{ga, gb} {
				_, err = g.Wait(ctx, logmesh.Applied(last.Index))
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool {
				sa, sb := ga.Status(), gb.Status()
				return sa.Applied == sb.Applied && sa.Digest == sb.Digest
			}, 10*time.Second, 10*time.Millisecond)
		})
	}
}

// joining starts a node that cannot join, and waits until its status says why.
func joining(t *testing.T, cfg logmesh.GroupConfig, peers []string, why ...string) {
	t.Helper()
	ctx := testContext(t)
	n, err := logmesh.Open(ctx, logmesh.Config{Peers: peers, Logger: quiet(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	g, err := n.Join(ctx, cfg, kv.New())
	require.NoError(t, err)
	s, err := g.Wait(ctx, func(s logmesh.Status) bool {
		for _, w := range why {
			if !strings.Contains(s.Detail, w) {
				return false
			}
		}
		return true
	})
	require.NoError(t, err, s.Detail)
	require.Equal(t, logmesh.PhaseJoining, s.Phase)
	require.Zero(t, s.Committed)
	require.True(t, s.Log.IsZero(), "it learns nothing")
}

// M8: a node with another key learns nothing, and says so.
func TestWrongKey(t *testing.T) {
	a, ga := member(t, logmesh.NewKey(), true)
	_, err := ga.Wait(testContext(t), logmesh.Online)
	require.NoError(t, err)
	joining(t, logmesh.GroupConfig{Key: logmesh.NewKey()}, a.Addrs(), string(a.ID()), "key differs")
}

// M8: a node with another machine is told both signatures.
func TestOtherMachine(t *testing.T) {
	ctx := testContext(t)
	key := logmesh.NewKey()
	n, err := logmesh.Open(ctx, logmesh.Config{Logger: quiet(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	g, err := n.Join(ctx, logmesh.GroupConfig{Key: key, Found: true}, counter.Machine())
	require.NoError(t, err)
	_, err = g.Wait(ctx, logmesh.Online)
	require.NoError(t, err)
	joining(t, logmesh.GroupConfig{Key: key}, n.Addrs(), "machine", "kv/1", "counter/1")
}

// Two foundings under the same names and key never mix: each side names both
// log ids.
func TestTwoFoundings(t *testing.T) {
	ctx := testContext(t)
	key := logmesh.NewKey()
	a, ga := member(t, key, true)
	_, gb := member(t, key, true)
	for _, g := range []*logmesh.Group{ga, gb} {
		_, err := g.Wait(ctx, logmesh.Online)
		require.NoError(t, err)
	}
	// A member of the second group that knows only the first.
	c := newCluster(t, 1)
	n, err := logmesh.Open(ctx, logmesh.Config{Peers: append(a.Addrs(), c.addrs[0]), Logger: quiet(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	_, err = n.Join(ctx, logmesh.GroupConfig{Key: key, Found: true}, kv.New())
	require.ErrorContains(t, err, "exists already")
	require.ErrorContains(t, err, ga.Status().Log.Short())
}

// Founding again on a directory that has the group changes nothing.
func TestFoundAgain(t *testing.T) {
	ctx := testContext(t)
	dir, key := t.TempDir(), logmesh.NewKey()
	var log, raftID string
	for range 2 {
		n, err := logmesh.Open(ctx, logmesh.Config{Data: dir, Logger: quiet(t)})
		require.NoError(t, err)
		g, err := n.Join(ctx, logmesh.GroupConfig{Key: key, Found: true}, kv.New())
		require.NoError(t, err)
		s, err := g.Wait(ctx, logmesh.Online)
		require.NoError(t, err)
		if log != "" {
			require.Equal(t, log, s.Log.String())
			require.Equal(t, raftID, s.RaftID.String())
		}
		log, raftID = s.Log.String(), s.RaftID.String()
		require.NoError(t, n.Close())
	}
}

// A directory that is open, or belongs to another group or node, is refused.
func TestForeignDirectories(t *testing.T) {
	ctx := testContext(t)
	dir, key := t.TempDir(), logmesh.NewKey()
	n, err := logmesh.Open(ctx, logmesh.Config{Data: dir, Logger: quiet(t)})
	require.NoError(t, err)
	_, err = n.Join(ctx, logmesh.GroupConfig{Key: key, Found: true}, kv.New())
	require.NoError(t, err)
	second, err := logmesh.Open(ctx, logmesh.Config{Data: dir, Logger: quiet(t)})
	require.NoError(t, err)
	_, err = second.Join(ctx, logmesh.GroupConfig{Key: key}, kv.New())
	require.ErrorContains(t, err, "in use")
	require.NoError(t, second.Close())
	require.NoError(t, n.Close())
	other, err := logmesh.Open(ctx, logmesh.Config{Data: dir, Network: "another", Logger: quiet(t)})
	require.NoError(t, err)
	_, err = other.Join(ctx, logmesh.GroupConfig{Key: key}, kv.New())
	require.ErrorContains(t, err, "belongs to group")
	require.NoError(t, other.Close())
}

// A node whose only peer is gone keeps trying, and Execute says that nothing
// happened.
func TestNoLeader(t *testing.T) {
	n, err := logmesh.Open(testContext(t), logmesh.Config{
		Peers: []string{"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWSJyXQFvteNxdzuhtzvruXeN4VHz7vmTDKd9deY7M8p5c"}, Logger: quiet(t),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	g, err := n.Join(testContext(t), logmesh.GroupConfig{Key: logmesh.NewKey()}, kv.New())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = g.Execute(ctx, []byte("x"))
	require.ErrorIs(t, err, logmesh.ErrNoLeader)
	require.Equal(t, logmesh.PhaseJoining, g.Status().Phase)
	_, err = g.Query(ctx, nil, logmesh.Strong)
	require.ErrorIs(t, err, logmesh.ErrNoLeader)
}
