package consensus

import (
	"testing"
	"testing/cryptotest"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// Tokens that wait when work is taken share one round of heartbeats.
func TestReadsShareARound(t *testing.T) {
	n := trio(t)
	n.propose(3, 8)
	l := n.leader()
	for token := range uint64(100) {
		require.NoError(t, l.core.ReadIndex(token))
	}
	r, ok := l.core.Ready()
	require.True(t, ok)
	require.Len(t, r.Now, 2, "one heartbeat for each follower")
	require.True(t, r.Now[0].Heartbeat)
	require.Empty(t, r.Reads, "nothing is answered without a majority")
	require.NoError(t, l.core.Advance())
	n.send(l.id, r.Now)
	n.settle()
	require.Len(t, l.reads, 100)
	for token, read := range l.reads {
		require.Equal(t, Read{Token: uint64(token), Index: l.core.commit}, read)
	}
	require.ErrorIs(t, n.nodes[l.id%3+1].core.ReadIndex(1), ErrNotLeader)
}

// The commit index of a leader that committed nothing in its term may be old.
// The library asks nobody when the leader is the sole voter, not even itself.
func TestReadWaitsForOwnTerm(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 1)
	n.propose(5, 8)
	nd := n.nodes[1]
	last := nd.core.commit
	nd.log.sync()
	nd.log.durable.hard.Commit, nd.log.durable.applied = 1, 1 // a commit index needs no sync of its own
	nd.log.durable.members = nd.log.members
	n.kill(1)
	n.open(1)
	nd.reads = nil
	for nd.core.state.String() != "StateLeader" {
		nd.core.Tick()
		for nd.core.state.String() != "StateLeader" && n.work(nd, stageAll) {
		}
	}
	require.Less(t, nd.core.commit, last)
	require.NoError(t, nd.core.ReadIndex(7))
	n.pump(nd)
	require.Len(t, nd.reads, 1)
	require.GreaterOrEqual(t, nd.reads[0].Index, last)
}

// A leadership that ends drops what was asked in it.
func TestReadsAreDropped(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	n := trio(t)
	n.propose(3, 8)
	l := n.leader()
	n.sever(l.id, true)
	require.NoError(t, l.core.ReadIndex(1))
	n.pump(l)
	require.NoError(t, l.core.ReadIndex(2))
	n.until("it stepped down", func() bool { return !l.core.Status().Lead })
	require.Equal(t, []uint64{1, 2}, l.dropped)
	require.Empty(t, l.reads)
	n.sever(l.id, false)
	n.elect()
	n.ticks(20)
	require.Empty(t, l.reads, "no late answer")
}

// A round that lost its heartbeats is carried by the next ones.
func TestReadSurvivesLoss(t *testing.T) {
	n := trio(t)
	n.propose(3, 8)
	l := n.leader()
	require.NoError(t, l.core.ReadIndex(1))
	n.pump(l)
	n.queue = nil
	n.ticks(2)
	require.Equal(t, []Read{{Token: 1, Index: l.core.commit}}, l.reads)
}

// M1: a leader that becomes the only voter answers what it had asked another.
func TestReadIsAskedAgainOfTheRest(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 2)
	n.join(2, codec.RoleStandby)
	n.until("two voters", func() bool { return n.role(2) == codec.RoleVoter && n.follows(2) })
	l := n.nodes[1]
	require.Same(t, l, n.leader())
	n.settle()
	l.core.Leave(2)
	n.pump(l)
	n.deliver(0) // the removal reaches 2, whose acknowledgement is on the way
	require.NoError(t, l.core.ReadIndex(7))
	n.pump(l)
	n.cut[[2]codec.RaftID{1, 2}] = true
	n.settle()
	require.Len(t, l.core.Configuration().Members, 1)
	require.Equal(t, []Read{{Token: 7, Index: l.core.commit}}, l.reads)
}
