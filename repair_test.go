package logmesh_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger/ledgertest"
)

// ledgerOf is the directory of node i's ledger.
func (c *cluster) ledgerOf(i int) string {
	return filepath.Join(c.dir, string(rune('0'+i)), "groups", logmesh.DefaultGroup)
}

// follower is a member that does not lead.
func (c *cluster) follower() int { return (c.leader() + 1) % len(c.nodes) }

// S3: a damaged block is found at the next start and named. Joining again is all
// that is needed: the node does not take part in Raft before it has the block
// back, which any other member gives it.
func TestDamagedBlock(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	last := fill(t, c.group[0], 1000, 100).Index
	c.agree(last)
	victim := c.follower()
	old := c.group[victim].Status()
	for i := range c.nodes {
		c.stop(i)
	}
	require.NoError(t, ledgertest.Rot(vfs.Default, c.ledgerOf(victim), ledgertest.Block(3)))

	c.open(victim)
	require.NoError(t, c.join(victim))
	<-c.group[victim].Done()
	var damage *logmesh.DamagedError
	require.ErrorAs(t, c.group[victim].Err(), &damage)
	require.True(t, damage.Repairable)
	require.EqualValues(t, 3*codec.BlockEntries+1, damage.Index)
	require.ErrorContains(t, damage, "block 3, at index 385")

	require.NoError(t, c.join(victim))
	s, err := c.group[victim].Wait(testContext(t), logmesh.Applied(damage.Index-1))
	require.NoError(t, err, "what is below is replayed meanwhile")
	require.Equal(t, logmesh.PhaseRepairing, s.Phase)
	require.EqualValues(t, 1, s.Missing)
	require.Contains(t, strings.Join(s.Alerts, "\n"), "1 damaged blocks are missing, from index 385 on")
	require.Zero(t, s.Term, "Raft is not open")

	for i := range c.nodes {
		if i != victim {
			c.start(i)
		}
	}
	c.agree(last)
	c.agree(c.put(victim, "whole", "again").Index)
	s = c.group[victim].Status()
	require.Equal(t, old.RaftID, s.RaftID, "it is the member that it was")
	require.Zero(t, s.Missing)
	c.stop(victim)
	require.Empty(t, problems(t, c.ledgerOf(victim)))
}

// S3: a damaged hard state never votes. The node refuses to start and says how it
// comes back: as another member.
func TestDamagedHardState(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	last := fill(t, c.group[0], 200, 100).Index
	c.agree(last)
	victim := c.follower()
	old := c.group[victim].Status()
	c.stop(victim)
	require.NoError(t, ledgertest.Rot(vfs.Default, c.ledgerOf(victim), ledgertest.HardState()))

	c.open(victim)
	for range 2 {
		var damage *logmesh.DamagedError
		require.ErrorAs(t, c.join(victim), &damage)
		require.False(t, damage.Repairable)
		require.ErrorContains(t, damage, "the hard state")
		require.ErrorContains(t, damage, "Move "+c.ledgerOf(victim)+" away and join the group again")
	}
	require.NoError(t, os.Rename(c.ledgerOf(victim), c.ledgerOf(victim)+".damaged"))
	require.NoError(t, c.join(victim))
	c.voters(3)
	c.agree(c.put(victim, "back", "empty").Index)
	m, ok := byPeer(c.group[victim].Status(), old.Peer)
	require.True(t, ok)
	require.NotEqual(t, old.RaftID, m.RaftID)
}
