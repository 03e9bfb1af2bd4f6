package consensus

import (
	"testing"
	"testing/cryptotest"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// ask repeats a question to whoever leads until the answer is CallOK.
func (n *network) ask(what string, question func(*Core) codec.Answer) {
	n.t.Helper()
	n.until(what, func() bool { return n.askOnce(question).Status == codec.CallOK })
}

// askOnce asks the leader, if there is one, and lets the answer's work be done.
func (n *network) askOnce(question func(*Core) codec.Answer) codec.Answer {
	l := n.leader()
	if l == nil {
		return codec.Answer{Status: codec.CallNotLeader}
	}
	a := question(l.core)
	n.pump(l)
	n.settle()
	return a
}

// requireRefused asks once, and wants a reason.
func (n *network) requireRefused(t *testing.T, reason string, question func(*Core) codec.Answer) {
	t.Helper()
	a := n.askOnce(question)
	require.Equal(t, codec.CallRefused, a.Status, a.Reason)
	require.Contains(t, a.Reason, reason)
}

func removing(id codec.RaftID) func(*Core) codec.Answer {
	return func(c *Core) codec.Answer { return c.Remove(id) }
}

func promoting(id, instead codec.RaftID) func(*Core) codec.Answer {
	return func(c *Core) codec.Answer { return c.Promote(id, instead) }
}

func transferring(id codec.RaftID) func(*Core) codec.Answer {
	return func(c *Core) codec.Answer { return c.Transfer(id) }
}

func retargeting(voters int) func(*Core) codec.Answer {
	return func(c *Core) codec.Answer { return c.Retarget(voters) }
}

// group is a group of so many voters, 1, 2, …, that has rested for ten seconds.
func group(t failer, voters int) *network {
	n := newNetwork(t)
	n.found(1, voters)
	for id := codec.RaftID(2); int(id) <= voters; id++ {
		n.join(id, codec.RoleStandby)
	}
	n.until("all vote", func() bool { return n.leader() != nil && n.leader().core.Configuration().Voters() == voters })
	n.ticks(100)
	return n
}

// others are the running members that do not lead, in order.
func (n *network) others() (ids []codec.RaftID) {
	for _, id := range n.ids() {
		if nd := n.nodes[id]; nd.core != nil && nd != n.leader() {
			ids = append(ids, id)
		}
	}
	return ids
}

// M1: a live follower, a dead one, one that is cut off, and the leader are
// removed, each once, also when it is asked again.
func TestRemove(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	n := group(t, 5)
	live, dead, away := n.others()[0], n.others()[1], n.others()[2]
	n.ask("the live one is removed", removing(live))
	require.Zero(t, n.role(live))
	_, was := n.leader().core.Configuration().RemovedAt(live)
	require.True(t, was)
	require.Equal(t, codec.CallOK, n.askOnce(removing(live)).Status, "once more changes nothing")

	n.kill(dead)
	n.ticks(30)
	n.ask("the dead one is removed", removing(dead))
	n.sever(away, true)
	n.ticks(30)
	leader, term := n.leader().id, n.leader().core.term
	n.requireRefused(t, "no quorum would be left: 2 voters, without a word from "+string(peerName(away)), removing(leader))
	require.Equal(t, leader, n.leader().id)
	n.ask("the one that is cut off is removed", removing(away))
	n.ask("the leader is removed", removing(leader))
	require.NotEqual(t, leader, n.leader().id)
	require.Equal(t, term+1, n.leader().core.term, "leadership is handed over, nobody waits for an election")
	require.Len(t, n.leader().core.Configuration().Members, 1)
	n.requireRefused(t, "the last voter", removing(n.leader().id))
	n.requireRefused(t, "not a member", removing(77))
	n.propose(3, 8)
}

// M2: below a quorum of living voters nothing is removed but the dead; a standby
// that is ready takes the place first.
func TestRemoveKeepsQuorum(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	n := group(t, 3)
	live, dead := n.others()[0], n.others()[1]
	n.kill(dead)
	n.ticks(30)
	n.requireRefused(t, "no quorum would be left: 2 voters, without a word from", removing(live))
	n.ticks(50)
	require.Equal(t, codec.RoleVoter, n.role(live), "and not later either")
	n.join(4, codec.RoleStandby)
	n.until("4 is ready", func() bool { return n.leader().core.peer(4).readyAt != 0 })
	require.Equal(t, codec.CallUnavailable, n.askOnce(removing(live)).Status, "4 takes its place first")
	n.ask("it is replaced", removing(live))
	require.Equal(t, codec.RoleVoter, n.role(4))
	require.Equal(t, codec.RoleVoter, n.role(dead))
	n.ask("the dead one is removed", removing(dead))
	require.Equal(t, 2, n.leader().core.Configuration().Voters())
}

// M2: two changes that are asked for at once are done one after the other.
func TestTwoChangesAtOnce(t *testing.T) {
	n := group(t, 5)
	l, a, b := n.leader(), n.others()[0], n.others()[1]
	first, second := l.core.Remove(a), l.core.Remove(b)
	require.Equal(t, codec.CallUnavailable, first.Status)
	require.Equal(t, codec.CallUnavailable, second.Status)
	third := l.core.Retarget(4)
	require.Equal(t, codec.CallUnavailable, third.Status)
	require.Contains(t, third.Reason, "it must wait")
	waiting := 0
	for _, e := range l.core.next.Save.Entries {
		if e.Kind == codec.KindConfig {
			waiting++
		}
	}
	require.Equal(t, 1, waiting, "one entry, one change")
	n.pump(l)
	n.settle()
	n.ask("both are removed", removing(a))
	n.ask("both are removed", removing(b))
	require.Equal(t, 3, n.leader().core.Configuration().Voters())
}

// A leader that was just elected does not know who lives: it waits, and refuses
// only then.
func TestNewLeaderListensFirst(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	n := group(t, 3)
	old := n.leader().id
	n.kill(old)
	l := n.elect()
	id := n.others()[0]
	l.core.peer(id).heardAt = 0
	a := l.core.Remove(id)
	require.Equal(t, codec.CallUnavailable, a.Status)
	require.Contains(t, a.Reason, "the leader is new")
	n.ticks(30)
	n.requireRefused(t, "no quorum would be left", removing(id))
}

// A group that has its voters takes another only in the place of one, and keeps
// to it.
func TestPromoteInstead(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 7)
	n := group(t, 3)
	n.join(9, codec.RoleStandby)
	n.until("9 is ready", func() bool { return n.leader().core.peer(9).readyAt != 0 })
	leader, out, other := n.leader().id, n.others()[0], n.others()[1]
	n.requireRefused(t, "as many voters as it wants, 3", promoting(9, 0))
	n.requireRefused(t, "leads: transfer leadership", promoting(9, leader))
	n.requireRefused(t, "is not a voter", promoting(9, 77))
	n.requireRefused(t, "is a voter already", promoting(out, other))
	n.requireRefused(t, "not a member", promoting(77, out))
	n.ask("9 votes", promoting(9, out))
	require.Equal(t, codec.RoleVoter, n.role(9))
	require.Equal(t, codec.RoleStandby, n.role(out))
	n.ticks(300)
	require.Equal(t, codec.RoleVoter, n.role(9), "the steward leaves it so")
	require.Equal(t, codec.RoleStandby, n.role(out))
	require.Zero(t, n.leader().core.outgoing)
	require.Equal(t, codec.CallOK, n.askOnce(promoting(9, out)).Status)
}

// What cannot vote is not promoted: an observer never, others not yet.
func TestPromoteRefused(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 3)
	n.join(2, codec.RoleObserver)
	n.requireRefused(t, "an observer, which never votes", promoting(2, 0))
	n.ticks(30)
	n.silent[3] = true
	n.join(3, codec.RoleStandby)
	n.ticks(5)
	n.requireRefused(t, "has not said lately how far its machine is", promoting(3, 0))
	n.propose(900, 8)
	n.ticks(30)
	n.silent[3] = false
	n.nodes[3].behind = 600
	n.until("it says so", func() bool { return n.leader().core.peer(3).saidAt != 0 })
	n.requireRefused(t, "is replaying: its machine trails by 600 entries", promoting(3, 0))
	n.sever(3, true)
	n.propose(200, 8)
	n.requireRefused(t, "is catching up: its log trails by 200 entries", promoting(3, 0))
	n.ticks(40)
	n.requireRefused(t, "has been silent for 4s", promoting(3, 0))
	n.sever(3, false)
	n.nodes[3].behind = 0
	n.until("it is ready", func() bool { return n.leader().core.peer(3).readyAt != 0 })
	n.ask("it votes at once", promoting(3, 0))
	require.Equal(t, codec.RoleVoter, n.role(3))
}

func TestTransfer(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 7)
	n := group(t, 3)
	n.join(9, codec.RoleStandby)
	to, other := n.others()[0], n.others()[1]
	n.requireRefused(t, "only a voter can lead", transferring(9))
	n.requireRefused(t, "not a member", transferring(77))
	n.ask("it leads", transferring(to))
	require.Equal(t, to, n.leader().id)
	n.ticks(20)
	n.kill(other)
	n.ticks(40)
	n.requireRefused(t, "has been silent for", transferring(other))
}

// The target is changed through the log; the steward follows it.
func TestRetarget(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 7)
	n := group(t, 1)
	for id := codec.RaftID(2); id <= 5; id++ {
		n.join(id, codec.RoleStandby)
	}
	n.ask("three", retargeting(3))
	n.until("three vote", func() bool { return n.leader().core.Configuration().Voters() == 3 })
	n.ask("five", retargeting(5))
	n.until("five vote", func() bool { return n.leader().core.Configuration().Voters() == 5 })
	n.ask("one", retargeting(1))
	n.until("one votes", func() bool { return n.leader() != nil && n.leader().core.Configuration().Voters() == 1 })
	require.Equal(t, 1, n.leader().core.Configuration().Target)
	for _, id := range n.ids() {
		n.until("all know", func() bool { return n.nodes[id].core.Configuration().Target == 1 })
	}
	for _, voters := range []int{0, codec.MaxVoters + 1} {
		require.Equal(t, codec.CallRefused, n.askOnce(retargeting(voters)).Status)
	}
}

// M1: who was removed while it was away and comes back disturbs nobody: neither
// leader nor term changes, whatever it does, and it is not added again.
func TestRemovedMemberDisturbsNobody(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 7)
	n := group(t, 3)
	away := n.others()[0]
	n.sever(away, true)
	n.propose(5, 8)
	n.ticks(30)
	n.ask("it is removed", removing(away))
	leader, term := n.leader().id, n.leader().core.term
	n.ticks(100)
	n.sever(away, false)
	n.ticks(300)
	require.Equal(t, leader, n.leader().id)
	require.Equal(t, term, n.leader().core.term, "PreVote and CheckQuorum keep it out")
	require.Equal(t, codec.RoleVoter, func() codec.Role { m, _ := n.nodes[away].core.Configuration().Member(away); return m.Role }(), "it does not know")
	n.propose(5, 8)

	at, _ := n.nodes[away].log.head()
	a := n.askOnce(func(c *Core) codec.Answer {
		return c.Join(peerName(away), codec.Join{RaftID: away, Role: codec.RoleStandby, Cursor: at})
	})
	require.Equal(t, codec.CallRemoved, a.Status)
	removedAt, _ := n.leader().core.Configuration().RemovedAt(away)
	require.Equal(t, removedAt, a.Index)
}

// A raft id that was removed is never added again, by the log itself; so many
// removals are remembered.
func TestRemovedIdStaysOut(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 1)
	c := n.elect().core.Configuration()
	c.Index = 10
	for id := codec.RaftID(100); id < 100+codec.MaxRemoved+5; id++ {
		c.Index++
		c = c.With(codec.Member{RaftID: id, Peer: "x", Role: codec.RoleStandby}).Without(id).WithRemoval(id, c.Index)
	}
	require.Len(t, c.Removed, codec.MaxRemoved)
	_, err := demote(codec.Member{RaftID: 200, Peer: "x"}).fold(c)
	require.ErrorContains(t, err, "was removed at index 111, and is not added again")
	_, err = demote(codec.Member{RaftID: 100, Peer: "x"}).fold(c)
	require.NoError(t, err, "the oldest are forgotten")
}

// Fault N1: five voters cut 2 ‖ 3. The two never commit, the three do, and after
// healing all have one log.
func TestMinorityNeverCommits(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 11)
	n := group(t, 5)
	two := []codec.RaftID{n.leader().id, n.others()[0]}
	old, before := n.nodes[two[0]], n.leader().core.commit
	for _, a := range two {
		for _, b := range n.ids() {
			if b != two[0] && b != two[1] {
				n.cut[[2]codec.RaftID{a, b}], n.cut[[2]codec.RaftID{b, a}] = true, true
			}
		}
	}
	_, err := old.core.Propose([][]byte{{1}, {2}})
	require.NoError(t, err)
	n.pump(old)
	n.until("another leads", func() bool { return n.leader() != nil && n.leader() != old && n.leader().core.settled() })
	n.propose(5, 8)
	for range 60 {
		n.ticks(10)
		for _, id := range two {
			require.Equal(t, before, n.nodes[id].core.commit)
		}
	}
	require.False(t, old.core.leading(), "it stepped down")
	require.Greater(t, n.leader().core.commit, before+5)
	clear(n.cut)
	n.until("everybody follows", func() bool {
		for _, id := range n.ids() {
			if !n.follows(id) {
				return false
			}
		}
		return true
	})
}

// Fault N1: a lone voter of several never commits, whatever it does.
func TestLoneVoterNeverCommits(t *testing.T) {
	for _, voters := range []int{2, 3, 5} {
		n := group(t, voters)
		lone := n.leader()
		before := lone.core.commit
		for _, id := range n.others() {
			n.kill(id)
		}
		_, err := lone.core.Propose([][]byte{{1}})
		require.NoError(t, err)
		n.pump(lone)
		for range 100 {
			n.ticks(10)
			for _, id := range n.ids() {
				_ = lone.core.Remove(id)
				_ = lone.core.Retarget(1)
			}
			n.pump(lone)
			require.Equal(t, before, lone.core.commit)
		}
		require.False(t, lone.core.leading())
	}
}

// Three voters, one dead and one far behind, commit again after its
// catch-up.
func TestCommitsAfterCatchUp(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	n := group(t, 3)
	n.horizon, n.manual = 1, true
	behind, dead := n.others()[0], n.others()[1]
	n.sever(behind, true)
	n.propose(10*codec.BlockEntries, 8)
	n.ticks(700) // the horizon waits a minute for it
	n.propose(codec.BlockEntries, 8)
	require.Greater(t, n.leader().log.first, n.nodes[behind].core.last())
	n.kill(dead)
	n.sever(behind, false)
	l := n.elect()
	_, err := l.core.Propose([][]byte{{1}})
	require.NoError(t, err)
	n.pump(l)
	want := l.core.last()
	n.until("it holds a snapshot", func() bool { _, ok := n.nodes[behind].core.Held(); return ok })
	n.ticks(50)
	require.Less(t, l.core.commit, want, "a voter in catch-up does not help")
	n.manual = false
	n.until("they commit", func() bool {
		n.syncHeld(n.nodes[behind])
		n.pump(n.nodes[behind])
		return n.leader() != nil && n.leader().core.commit >= want
	})
	n.until("it follows", func() bool { return n.follows(behind) })
}
