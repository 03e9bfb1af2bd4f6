package consensus

import (
	"testing"
	"testing/cryptotest"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

// Trigger (b), nothing sealed yet: Raft opens with empty storage and empty
// configuration, and entries 1…k come as appends.
func TestJoinLogWithoutBlock(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 3)
	n.propose(5, 10)
	n.join(2, codec.RoleObserver)
	n.ticks(5)
	require.True(t, n.follows(2))
	require.Equal(t, codec.Index(1), n.nodes[2].log.first)
	require.Equal(t, codec.Cursor{Index: 1, Term: 1}, n.nodes[2].applied[0])
}

// Trigger (b): a joiner opens at a sealed cursor with the configuration there,
// itself not in it; no MsgSnap is needed, whatever the horizon, for the lease
// keeps it at the joiner's cursor.
func TestJoinAtSealedCursor(t *testing.T) {
	n := newNetwork(t)
	n.horizon = 1
	n.found(1, 3)
	n.propose(3*codec.BlockEntries, 8)
	n.log = &noSnapshot{t}
	nd := n.node(2)
	nd.log.fetch(n.nodes[1].log)
	at, config := nd.log.head()
	_, in := config.Member(2)
	require.False(t, in)
	n.open(2)

	a := n.nodes[1].core.Join(peerName(2), codec.Join{RaftID: 2, Role: codec.RoleStandby, Cursor: at})
	require.Equal(t, codec.CallUnavailable, a.Status)
	n.cut[[2]codec.RaftID{1, 2}] = true // it cannot be reached while the log grows by five blocks
	n.propose(5*codec.BlockEntries, 8)
	require.LessOrEqual(t, n.nodes[1].log.first, at.Index+1, "the lease keeps what the joiner needs")
	n.cut[[2]codec.RaftID{1, 2}] = false
	n.ticks(5)
	require.True(t, n.follows(2))
	require.Equal(t, at.Index+1, nd.applied[0].Index, "it goes on after the cursor")
	a = n.nodes[1].core.Join(peerName(2), codec.Join{RaftID: 2, Role: codec.RoleStandby, Cursor: at})
	require.Equal(t, codec.CallOK, a.Status)
	require.Equal(t, codec.RoleStandby, a.Config.Members[1].Role)
}

// noSnapshot fails when the transcript has a MsgSnap.
type noSnapshot struct{ t *testing.T }

func (w *noSnapshot) Write(p []byte) (int, error) {
	require.NotContains(w.t, string(p), "MsgSnap")
	return len(p), nil
}

// The lease of a joiner ends after a minute, and reaches four horizons at most.
func TestJoinLeaseEnds(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 3)
	n.propose(6*codec.BlockEntries, 8)
	l := n.leader().core
	at := codec.Cursor{Index: codec.BlockEntries, Term: 2}
	require.Equal(t, codec.CallUnavailable, l.Join(peerName(2), codec.Join{RaftID: 2, Role: codec.RoleStandby, Cursor: at}).Status)
	require.Equal(t, at.Index+1, l.Floor())
	n.pump(n.leader())
	n.ticks(590)
	require.Equal(t, at.Index+1, l.Floor())
	l.cfg.HorizonBlocks = 1
	require.Zero(t, l.Floor(), "it lies five horizons back")
	l.cfg.HorizonBlocks = 128
	n.ticks(20)
	require.Zero(t, l.Floor())
}

func TestJoinIsRefused(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 3)
	n.propose(3, 10)
	l := n.leader().core
	for name, j := range map[string]codec.Join{
		"another peer's id": {RaftID: 1, Role: codec.RoleStandby},
		"as a voter":        {RaftID: 2, Role: codec.RoleVoter},
		"another history":   {RaftID: 2, Role: codec.RoleStandby, Cursor: codec.Cursor{Index: 3, Term: 1}},
	} {
		require.Equal(t, codec.CallRefused, l.Join("peer2", j).Status, name)
	}
	n.open(3)
	require.Equal(t, codec.CallNotLeader, n.nodes[3].core.Join("peer2", codec.Join{RaftID: 2, Role: codec.RoleStandby}).Status)
}

// Observers are never promoted, standbys up to the target.
func TestPromotionUpToTarget(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	n := newNetwork(t)
	n.found(1, 3)
	n.join(2, codec.RoleObserver)
	n.join(3, codec.RoleStandby)
	n.join(4, codec.RoleStandby)
	n.join(5, codec.RoleStandby)
	n.ticks(300)
	c := n.leader().core.Configuration()
	require.Equal(t, 3, c.Voters())
	require.Equal(t, codec.RoleObserver, n.role(2))
	for _, m := range c.Members {
		require.Equal(t, peerName(m.RaftID), m.Peer)
	}
}

// Below the target a standby is promoted when it was ready for a second.
func TestPromotionTakesASecond(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 2)
	n.join(2, codec.RoleStandby)
	n.until("2 is ready", func() bool { return n.leader().core.peer(2).readyAt != 0 })
	n.ticks(8)
	require.Equal(t, codec.RoleStandby, n.role(2))
	n.ticks(4)
	require.Equal(t, codec.RoleVoter, n.role(2))
}

// A standby whose machine trails, or that does not say, is not promoted.
func TestPromotionWaitsForTheMachine(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 2)
	n.join(2, codec.RoleStandby)
	n.silent[2] = true
	n.ticks(100)
	require.Equal(t, codec.RoleStandby, n.role(2))
	n.propose(500, 8)
	n.ticks(30) // what is younger than two seconds may be missing
	n.silent[2] = false
	n.nodes[2].behind = 300
	n.ticks(100)
	require.Equal(t, codec.RoleStandby, n.role(2))
	n.nodes[2].behind = 0
	n.ticks(40)
	require.Equal(t, codec.RoleVoter, n.role(2))
}

// A voter that is dead for a minute is replaced, promotion first, only by a
// standby that is ready; without one it stays.
func TestDeadVoterIsReplaced(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 5)
	n := trio(t)
	dead := codec.RaftID(2)
	if n.leader().id == dead {
		dead = 3
	}
	n.kill(dead)
	n.ticks(1000)
	require.Equal(t, codec.RoleVoter, n.role(dead), "no standby: it stays")
	n.join(4, codec.RoleStandby)
	n.ticks(95)
	require.Equal(t, codec.RoleStandby, n.role(4), "ready for ten seconds first")
	n.until("4 is a voter", func() bool { return n.role(4) == codec.RoleVoter })
	n.until("the dead one is a standby", func() bool { return n.role(dead) == codec.RoleStandby })
	require.Equal(t, 3, n.leader().core.Configuration().Voters())
	n.open(dead)
	n.until("it follows", func() bool { return n.follows(dead) })
	n.ticks(200)
	require.Equal(t, 3, n.leader().core.Configuration().Voters())
}

// Nothing is demoted or removed if the voters that are heard would be no
// majority.
func TestReplacementKeepsQuorum(t *testing.T) {
	n := trio(t)
	l := n.leader().core
	two := l.members.Without(2)
	require.True(t, l.safe(two))
	l.peer(3).heardAt, l.since, l.now = 0, 0, l.now+1000
	l.peer(2).heardAt = l.now
	require.False(t, l.safe(two))
	require.ErrorIs(t, l.proposeChange(remove(mustMember(t, l, 2))), errUnsafe)
}

func mustMember(t *testing.T, c *Core, id codec.RaftID) codec.Member {
	m, ok := c.members.Member(id)
	require.True(t, ok)
	return m
}

// A node that comes back under a new raft id takes the place of its old one.
func TestOlderIdOfAPeerIsRemoved(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 9)
	n := trio(t)
	lost := codec.RaftID(3)
	if n.leader().id == lost {
		lost = 2
	}
	n.kill(lost)
	n.joinAs(100+lost, peerName(lost), codec.RoleStandby)
	n.until("the old id is gone", func() bool { return n.role(lost) == 0 })
	n.until("the new one is a voter", func() bool { return n.role(100+lost) == codec.RoleVoter })
}

// The same, found by a leader that did not see the join: the old id is silent.
func TestOlderIdIsFoundBySilence(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 9)
	n := trio(t)
	n.join(4, codec.RoleStandby)
	n.kill(4)
	n.open(104)
	l := n.leader()
	require.NoError(t, l.core.input(func() error {
		ctx := codec.ConfigContext{Peer: peerName(4), Role: codec.RoleStandby}
		return l.core.proposeChange(change{id: 104, typ: raftpb.ConfChangeAddLearnerNode, ctx: ctx})
	}))
	n.pump(l)
	n.settle()
	require.Equal(t, codec.RoleStandby, n.role(4))
	require.Equal(t, codec.RoleStandby, n.role(104))
	n.until("the old id is gone", func() bool { return n.role(4) == 0 })
}

// The old id was heard a moment ago, the new one not yet, and stands before it in
// the configuration: still it is the old one that goes.
func TestOlderIdWasJustHeard(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 9)
	n := trio(t)
	n.join(50, codec.RoleStandby)
	n.kill(50)
	l := n.leader()
	n.until("the leader leads for long", func() bool { return l.core.now-l.core.since > 4*uint64(l.core.cfg.ElectionTicks) })
	join := codec.Join{RaftID: 4, Role: codec.RoleStandby}
	require.Equal(t, codec.CallUnavailable, l.core.Join(peerName(50), join).Status, "under way")
	n.pump(l)
	n.settle()
	require.NoError(t, l.core.input(func() error { l.core.heard(50); return nil }))
	fresh, ok := l.core.Configuration().Member(4)
	require.True(t, ok)
	require.False(t, l.core.active(4), "not heard yet")
	require.False(t, l.core.superseded(fresh))
	stale, ok := l.core.Configuration().Member(50)
	require.True(t, ok)
	require.True(t, l.core.superseded(stale))
}

func TestLeave(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 2)
	n := trio(t)
	n.join(4, codec.RoleObserver)
	leave := func(id codec.RaftID) {
		n.until("it left", func() bool {
			l := n.leader()
			if l == nil {
				return false
			}
			a := l.core.Leave(id)
			n.pump(l)
			n.settle()
			return a.Status == codec.CallOK
		})
	}
	leave(4)
	leader := n.leader().id
	term := n.leader().core.term
	leave(leader)
	require.NotEqual(t, leader, n.leader().id)
	require.Equal(t, term+1, n.leader().core.term, "leadership is handed over, nobody waits for an election")
	require.Equal(t, 2, n.leader().core.Configuration().Voters())
	leave(5 - leader - n.leader().id + 1) // the third of 1, 2, 3
	require.Equal(t, 1, n.leader().core.Configuration().Voters())
	require.Equal(t, codec.CallRefused, n.leader().core.Leave(n.leader().id).Status)
	require.Equal(t, codec.CallOK, n.leader().core.Leave(77).Status)
}

// M1: a voter that hears of its removal is gone for good. Of two voters the other
// must still know of it after a crash, for it cannot decide it again alone.
func TestLeaveOfTwoThenCrash(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 2)
	n.join(2, codec.RoleStandby)
	n.until("two voters", func() bool { return n.role(2) == codec.RoleVoter && n.follows(2) })
	l, other := n.nodes[1], n.nodes[2]
	require.Same(t, l, n.leader())
	l.core.Leave(2)
	n.pump(l)
	_, in := other.core.Configuration().Member(2)
	for range 100 {
		if !in {
			break
		}
		if len(n.queue) == 0 {
			n.tickOnce()
			continue
		}
		n.deliver(0)
		_, in = other.core.Configuration().Member(2)
	}
	require.False(t, in, "it never heard of its removal")
	n.kill(2)
	n.kill(1)
	n.open(1)
	require.Same(t, l, n.elect())
	require.Len(t, l.core.Configuration().Members, 1)
}

// M2: a new leader knows of nobody whether it is alive, so it removes none until
// it has heard of as many as must stay.
func TestNewLeaderRemovesNobodyUnheard(t *testing.T) {
	n := trio(t)
	l := n.elect()
	var next, dead codec.RaftID
	for _, id := range n.ids() {
		switch {
		case id == l.id:
		case next == 0:
			next = id
		default:
			dead = id
		}
	}
	n.ticks(20)
	n.kill(dead)
	l.core.Transfer(next)
	n.pump(l)
	n.settle()
	require.True(t, n.nodes[next].core.Status().Lead)
	require.Equal(t, codec.CallUnavailable, n.nodes[next].core.Leave(l.id).Status)
	n.ticks(15)
	require.Equal(t, codec.RoleVoter, n.role(l.id), "without it nothing could be decided any more")
}

// A replaying leader hands over to a voter that does not replay; none is handed
// to one that does.
func TestReplayingLeaderHandsOver(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 2)
	n := trio(t)
	n.propose(1000, 8)
	n.ticks(50)
	for id := range n.nodes {
		n.nodes[id].behind = 600
	}
	leader := n.leader().id
	n.ticks(60)
	require.Equal(t, leader, n.leader().id, "all replay: it stays")
	other := leader%3 + 1
	require.Equal(t, codec.CallRefused, n.leader().core.Transfer(other).Status)
	n.nodes[other].behind = 0
	n.until("it leads", func() bool { return n.leader() != nil && n.leader().id == other })
}

// The one that replays takes no leadership either.
func TestReplayingMemberIgnoresTimeoutNow(t *testing.T) {
	n := trio(t)
	n.propose(1000, 8)
	n.ticks(50)
	l := n.leader()
	other := n.nodes[l.id%3+1]
	other.core.Replaying(600)
	m := &raftpb.Message{
		Type: raftpb.MsgTimeoutNow.Enum(), From: new(uint64(l.id)), To: new(uint64(other.id)), Term: new(uint64(l.core.term)),
	}
	data, err := proto.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, other.core.Step(l.id, data))
	require.Equal(t, "follower", other.core.Status().State)
	other.core.Replaying(0)
	require.NoError(t, other.core.Step(l.id, data))
	require.Equal(t, "candidate", other.core.Status().State)
}

// Two changes in one entry would mean joint consensus and an automatic entry.
func TestFoldTakesOneChange(t *testing.T) {
	ctx, err := codec.EncodeConfigContext(codec.ConfigContext{Peer: "peer2", Role: codec.RoleStandby})
	require.NoError(t, err)
	one := &raftpb.ConfChangeSingle{Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(2))}
	fold := func(cc *raftpb.ConfChangeV2, c codec.Configuration) (codec.Configuration, error) {
		data, err := proto.Marshal(cc)
		require.NoError(t, err)
		return Fold(c, codec.Entry{Index: 5, Term: 2, Kind: codec.KindConfig, Data: data})
	}
	c := codec.Configuration{Index: 1, Target: 3, Members: []codec.Member{{RaftID: 1, Peer: "peer1", Role: codec.RoleVoter, Addrs: []string{"a"}}}}
	next, err := fold(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{one}, Context: ctx}, c)
	require.NoError(t, err)
	require.Len(t, next.Members, 2)
	require.EqualValues(t, 5, next.Index)
	require.Equal(t, 3, next.Target)
	for name, cc := range map[string]*raftpb.ConfChangeV2{
		"two changes":       {Changes: []*raftpb.ConfChangeSingle{one, one}, Context: ctx},
		"no change":         {Context: ctx},
		"joint consensus":   {Changes: []*raftpb.ConfChangeSingle{one}, Context: ctx, Transition: raftpb.ConfChangeTransitionJointImplicit.Enum()},
		"no context":        {Changes: []*raftpb.ConfChangeSingle{one}},
		"an unknown type":   {Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeUpdateNode.Enum(), NodeId: new(uint64(2))}}, Context: ctx},
		"a local id":        {Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: new(^uint64(0))}}, Context: ctx},
		"another's peer":    {Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(1))}}, Context: ctx},
		"voter, not a role": {Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: new(uint64(2))}}, Context: ctx},
	} {
		_, err := fold(cc, c)
		require.ErrorIs(t, err, errChange, name)
	}
	promoted, err := promote(next.Members[0]).fold(next)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, promoted.Members[0].Addrs, "a change of role keeps the addresses")
	_, err = remove(next.Members[0]).fold(next)
	require.ErrorContains(t, err, "no voter")
}

// A voter above the target becomes a standby, never the leader.
func TestSurplusVoterIsDemoted(t *testing.T) {
	n := trio(t)
	l := n.leader()
	l.core.members.Target = 2
	n.until("two voters", func() bool { return l.core.members.Voters() == 2 })
	require.True(t, l.core.Status().Lead)
	require.Len(t, l.core.members.Members, 3)
}

func TestHandOver(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 2)
	n.propose(1, 8)
	require.Error(t, n.nodes[1].core.HandOver(), "there is nobody")
	n.join(2, codec.RoleStandby)
	n.until("2 is a voter", func() bool { return n.role(2) == codec.RoleVoter })
	require.ErrorIs(t, n.nodes[2].core.HandOver(), ErrNotLeader)
	require.NoError(t, n.nodes[1].core.HandOver())
	_, err := n.nodes[1].core.Propose([][]byte{{1}})
	require.ErrorIs(t, err, ErrNotLeader, "no proposals while it hands over")
	n.pump(n.nodes[1])
	n.settle()
	require.Equal(t, codec.RaftID(2), n.elect().id)
}

// A member that asks for another role is given it.
func TestJoinChangesTheRole(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 1)
	n.join(2, codec.RoleObserver)
	n.join(2, codec.RoleStandby)
	require.Equal(t, codec.RoleStandby, n.role(2))
	n.join(1, codec.RoleObserver)
	require.Equal(t, codec.RoleVoter, n.role(1), "the leader stays")
}
