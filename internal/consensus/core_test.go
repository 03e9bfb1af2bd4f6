package consensus

import (
	"testing"
	"testing/cryptotest"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/logmesh/logmesh/codec"
)

func TestFoundElectCommit(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 3)
	n.propose(3, 10)
	s := n.nodes[1].core.Status()
	require.True(t, s.Lead)
	require.EqualValues(t, 5, s.Applied) // founding, no-op, three commands
	require.Equal(t, codec.Configuration{
		Index: 1, Target: 3, Members: []codec.Member{{RaftID: 1, Peer: "peer1", Role: codec.RoleVoter}},
		Log: codec.LogIDOf(n.nodes[1].log.tail[0].Data),
	}, s.Config)
}

func TestThreeVotersAndDeadLeader(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	n := trio(t)
	n.propose(10, 10)
	old := n.leader().id
	n.kill(old)
	n.until("another leader", func() bool { return n.leader() != nil && n.leader().id != old })
	n.propose(5, 10)
	n.open(old)
	n.until("the old leader follows", func() bool { return n.follows(old) })
	require.Equal(t, 3, n.leader().core.Configuration().Voters())

	// No change is proposed before all that an earlier leader left is applied.
	l := n.leader().core
	term, ok := l.termAt(l.pendingConfig)
	require.True(t, ok)
	require.Equal(t, l.term, term)
}

func mustSnapshot(t *testing.T, nd *node) *raftpb.Snapshot {
	s, err := nd.core.makeSnapshot()
	require.NoError(t, err)
	return s
}
