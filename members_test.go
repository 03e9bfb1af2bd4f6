package logmesh_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine/kv"
)

// raftID is the id under which node i takes part.
func (c *cluster) raftID(i int) codec.RaftID { return c.group[i].Status().RaftID }

// followers are the nodes that run and do not lead.
func (c *cluster) followers() (out []int) {
	leader := c.leader()
	for i, g := range c.group {
		if g != nil && i != leader {
			out = append(out, i)
		}
	}
	return out
}

// gone waits until node i has stopped because it was removed, and closes it.
func (c *cluster) gone(i int) {
	c.t.Helper()
	select {
	case <-c.group[i].Done():
	case <-testContext(c.t).Done():
		require.FailNow(c.t, "it does not learn that it was removed")
	}
	var removed *logmesh.RemovedError
	require.ErrorAs(c.t, c.group[i].Err(), &removed)
	require.ErrorIs(c.t, removed, logmesh.ErrRemoved)
	require.NotZero(c.t, removed.Index)
	s := c.group[i].Status()
	require.Equal(c.t, logmesh.PhaseRemoved, s.Phase)
	require.Contains(c.t, s.Error, "removed from the group, at index")
	_, err := c.group[i].Execute(testContext(c.t), []byte("x"))
	require.ErrorIs(c.t, err, logmesh.ErrRemoved)
	c.stop(i)
}

// refusedToStart: node i was removed, and its directory says so.
func (c *cluster) refusedToStart(i int) {
	c.t.Helper()
	c.open(i)
	var removed *logmesh.RemovedError
	require.ErrorAs(c.t, c.join(i), &removed)
	require.NotEmpty(c.t, removed.Dir)
	c.stop(i)
}

// M1: a live follower that is removed is told, stops, and is refused at its next
// start; a leader that is removed hands over first; the others go on, and agree.
func TestRemoveFollowerThenLeader(t *testing.T) {
	c := newCluster(t, 4)
	c.voters(3)
	follower := c.followers()[0]
	other := c.followers()[1]
	require.NoError(t, c.group[other].Remove(testContext(t), c.raftID(follower)))
	c.gone(follower)
	c.refusedToStart(follower)

	leader := c.leader()
	term := c.group[leader].Status().Term
	asked := c.followers()[0]
	id := c.raftID(leader)
	require.NoError(t, c.group[asked].Remove(testContext(t), id))
	require.NoError(t, c.group[asked].Remove(testContext(t), id), "once more changes nothing")
	c.gone(leader)
	last := c.put(asked, "without", "it")
	c.agree(last.Index)
	s := c.group[asked].Status()
	require.Len(t, s.Members, 2)
	require.Equal(t, term+1, s.Term, "leadership was handed over: one term")
}

// M1: a member that is removed while it is stopped learns that when it returns,
// disturbs nobody, and does not come back; with an empty directory it does.
func TestRemovedWhileAway(t *testing.T) {
	c := newCluster(t, 4)
	c.voters(3)
	away := c.followers()[0]
	id := c.raftID(away)
	c.stop(away)
	asked := c.followers()[0]
	require.NoError(t, c.group[asked].Remove(testContext(t), id))
	last := c.put(asked, "while", "away")
	before := c.group[asked].Status()
	c.start(away)
	c.gone(away)
	c.refusedToStart(away)
	after := c.group[asked].Status()
	require.Equal(t, before.Term, after.Term, "it disturbed nobody")
	require.Equal(t, before.Leader, after.Leader)

	require.NoError(t, os.RemoveAll(filepath.Join(c.dir, fmt.Sprint(away), "groups")))
	c.start(away)
	_, err := c.group[away].Wait(testContext(t), logmesh.Members(4))
	require.NoError(t, err)
	require.NotEqual(t, id, c.raftID(away), "a new member")
	c.agree(last.Index)
}

// P7: a member that leaves is refused at its next start.
func TestLeftForGood(t *testing.T) {
	c := newCluster(t, 2)
	c.voters(2)
	leaver := c.followers()[0]
	require.NoError(t, c.group[leaver].Leave(testContext(t)))
	require.NoError(t, c.group[leaver].Err())
	require.NoError(t, c.nodes[leaver].Close())
	c.nodes[leaver] = nil
	c.refusedToStart(leaver)
	c.group[leaver] = nil
	_, err := logmesh.Recover(logmesh.RecoverConfig{Data: c.data(leaver)})
	require.ErrorIs(t, err, logmesh.ErrRemoved, "nor can a group be recovered from it")
	last := c.put(c.leader(), "alone", "x")
	c.agree(last.Index)
}

// The operator's wishes over a real network, and what is refused.
func TestPromoteTransferAndTarget(t *testing.T) {
	c := newCluster(t, 4)
	c.voters(3)
	ctx := testContext(t)
	role := func(id codec.RaftID) string {
		for _, m := range c.group[0].Members().Members {
			if m.RaftID == id {
				return m.Role.String()
			}
		}
		return "none"
	}
	var standby, voter codec.RaftID
	for _, m := range c.group[0].Members().Members {
		switch {
		case m.Role == codec.RoleStandby:
			standby = m.RaftID
		case m.Peer != c.group[0].Status().Leader:
			voter = m.RaftID
		}
	}
	var refused *logmesh.RefusedError
	require.ErrorAs(t, c.group[0].Promote(ctx, standby, 0), &refused)
	require.Contains(t, refused.Reason, "as many voters as it wants, 3")
	require.ErrorAs(t, c.group[0].Transfer(ctx, standby), &refused)
	require.ErrorAs(t, c.group[0].Remove(ctx, 77), &refused)
	require.ErrorAs(t, c.group[0].SetVoters(ctx, 16), &refused)

	require.Eventually(t, func() bool { return c.group[0].Promote(ctx, standby, voter) == nil }, 20*time.Second, 100*time.Millisecond)
	require.Equal(t, "voter", role(standby))
	require.Equal(t, "standby", role(voter))
	require.NoError(t, c.group[0].Transfer(ctx, standby))
	require.Equal(t, standby, c.raftID(c.leader()))
	require.NoError(t, c.group[0].SetVoters(ctx, 1))
	c.voters(1)
	require.NoError(t, c.group[0].SetVoters(ctx, 3))
	c.voters(3)
	c.agree(c.put(0, "still", "here").Index)
}

// An observer is never promoted, not even when an operator asks; a node that is
// started in another role gets that.
func TestObserverIsNotPromoted(t *testing.T) {
	c := newCluster(t, 1)
	ctx := testContext(t)
	dir := t.TempDir()
	start := func(role codec.Role) (*logmesh.Node, *logmesh.Group) {
		n, err := logmesh.Open(ctx, logmesh.Config{Data: dir, Peers: c.addrs, Logger: quiet(t)})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, n.Close()) })
		g, err := n.Join(ctx, logmesh.GroupConfig{Key: c.key, Role: role}, kv.New())
		require.NoError(t, err)
		_, err = g.Wait(ctx, logmesh.Members(2))
		require.NoError(t, err)
		return n, g
	}
	n, g := start(codec.RoleObserver)
	var refused *logmesh.RefusedError
	require.ErrorAs(t, g.Promote(ctx, g.Status().RaftID, 0), &refused)
	require.Contains(t, refused.Reason, "observer")
	require.NoError(t, n.Close())

	n, _ = start(codec.RoleVoter)
	c.voters(2)
	require.NoError(t, n.Close())
	_, g = start(codec.RoleObserver)
	c.voters(1)
	require.NoError(t, g.Leave(ctx))
	require.Len(t, c.group[0].Members().Members, 1)
}

func TestFindMember(t *testing.T) {
	m := logmesh.Membership{Members: []logmesh.MemberStatus{
		{Peer: "12D3KooWAlice", RaftID: 0xa1}, {Peer: "12D3KooWBob", RaftID: 0xa2}, {Peer: "12D3KooWBo", RaftID: 0xa3},
	}}
	for name, want := range map[string]codec.RaftID{
		"12D3KooWAlice": 0xa1, "Alice": 0xa1, "12D3KooWA": 0xa1, "00000000000000a2": 0xa2,
		"12D3KooWBo": 0xa3, // the whole of one goes before the beginning of another
	} {
		found, err := m.Find(name)
		require.NoError(t, err)
		require.Equal(t, want, found.RaftID, name)
	}
	for name, candidates := range map[string]int{"12D3": 3, "Carol": 3, "": 3, "12D3KooWB": 2} {
		_, err := m.Find(name)
		var unknown *logmesh.UnknownMemberError
		require.ErrorAs(t, err, &unknown)
		require.Len(t, unknown.Candidates, candidates, name)
	}
}

// Fault N1, over a real network: one voter of three commits nothing and answers no
// strong read, and two that were cut off from it go on; when it is back, digests
// are equal. (The cut is the stop of the other side: internal/consensus has 2 ‖ 3.)
func TestLoneVoterOfThree(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	stopped := c.followers()
	for _, i := range stopped {
		c.stop(i)
	}
	lone := 3 - stopped[0] - stopped[1]
	short, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	before := c.group[lone].Status().Committed
	command, err := kv.EncodeCommand(kv.Put{Key: "lone", Value: []byte("x")})
	require.NoError(t, err)
	_, err = c.group[lone].Execute(short, command)
	require.Error(t, err)
	err = c.group[lone].Remove(short, codec.RaftID(1))
	require.Error(t, err)
	require.Equal(t, before, c.group[lone].Status().Committed)
	for _, i := range stopped {
		c.start(i)
	}
	c.agree(c.put(lone, "whole", "again").Index)
}
