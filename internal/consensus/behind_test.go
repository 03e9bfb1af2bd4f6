package consensus

import (
	"testing"
	"testing/cryptotest"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

// behind is a trio of which member 3 was down while the horizon passed it; it
// is up again and holds a MsgSnap. Snapshots are held until syncHeld.
func behind(t *testing.T) *network {
	cryptotest.SetGlobalRandom(t, 7)
	n := trio(t)
	n.horizon, n.manual = 2, true
	n.elect()
	if n.leader().id == 3 {
		require.NotEqual(t, codec.CallRefused, n.leader().core.Transfer(1).Status)
		n.pump(n.nodes[3])
		n.until("1 leads", func() bool { return n.leader() != nil && n.leader().id == 1 })
	}
	n.kill(3)
	n.propose(6*codec.BlockEntries, 8)
	n.ticks(2)
	require.Greater(t, n.leader().log.first, n.nodes[3].log.LastIndex()+1)
	n.open(3)
	n.leader().core.Bond(3, true)
	n.until("3 holds a snapshot", func() bool { _, ok := n.nodes[3].core.Held(); return ok })
	require.Equal(t, "snapshot", n.state(3))
	return n
}

// Trigger (c): a MsgSnap is metadata, held until the ledger reaches it; after
// it Raft replicates on from there.
func TestFellBehindHoldsThenAdopts(t *testing.T) {
	n := behind(t)
	s, _ := n.nodes[3].core.Held()
	sealed, config := n.leader().log.head()
	require.Equal(t, Snapshot{Cursor: sealed, IDs: idsOf(confState(config)), From: n.leader().id, Term: n.leader().core.term}, s)
	before := n.nodes[3].core.Applied()
	n.ticks(20)
	require.Equal(t, before, n.nodes[3].core.Applied(), "nothing is adopted while it is held")

	n.syncHeld(n.nodes[3])
	n.pump(n.nodes[3])
	n.until("3 follows", func() bool { return n.follows(3) })
	require.Equal(t, "replicate", n.state(3))
	n.propose(10, 8)
	require.True(t, n.follows(3))
	require.Equal(t, sealed.Index+1, n.nodes[3].log.first)
}

// The newest MsgSnap is held, by term and index.
func TestNewestSnapshotIsHeld(t *testing.T) {
	n := behind(t)
	first, _ := n.nodes[3].core.Held()
	n.propose(2*codec.BlockEntries, 8)
	n.leader().core.Bond(3, true)
	n.ticks(5)
	second, _ := n.nodes[3].core.Held()
	require.Greater(t, second.Cursor.Index, first.Cursor.Index)

	h := held{Snapshot: second}
	require.False(t, h.older(&first))
	require.True(t, h.older(&Snapshot{Term: second.Term + 1}))
}

// Heartbeats go on while a snapshot is held: the member starts no election.
func TestHeartbeatsWhileHeld(t *testing.T) {
	n := behind(t)
	term := n.leader().core.term
	n.ticks(100)
	require.Equal(t, term, n.leader().core.term)
	require.Equal(t, n.leader().id, n.nodes[3].core.Status().Leader)
}

// A held snapshot is never stored, so a restart loses it while the leader waits
// for its answer. Report 1 (a new bond) lets the leader send another.
func TestRestartWhileHeldNewBond(t *testing.T) {
	n := behind(t)
	n.kill(3)
	n.open(3)
	n.silent[3] = true
	n.ticks(3)
	_, ok := n.nodes[3].core.Held()
	require.False(t, ok)
	n.leader().core.Bond(3, true)
	n.ticks(5)
	_, ok = n.nodes[3].core.Held()
	require.True(t, ok, "the leader must send a new snapshot when the bond is new")
}

// Report 2: the send failed.
func TestSnapshotSendFailed(t *testing.T) {
	n := behind(t)
	n.kill(3)
	n.open(3)
	n.silent[3] = true
	n.leader().core.SendFailed(3, true)
	n.ticks(5)
	_, ok := n.nodes[3].core.Held()
	require.True(t, ok, "the leader must send a new snapshot when the last one was not sent")
}

// Report 3: ten seconds without progress. Nobody tells of a new bond here.
func TestRestartWhileHeldNoProgress(t *testing.T) {
	n := behind(t)
	n.kill(3)
	n.open(3)
	n.ticks(60)
	_, ok := n.nodes[3].core.Held()
	require.False(t, ok)
	n.ticks(60)
	_, ok = n.nodes[3].core.Held()
	require.True(t, ok, "the leader must send a new snapshot after ten seconds without progress")
}

// Progress keeps the third report away.
func TestProgressKeepsSnapshot(t *testing.T) {
	n := behind(t)
	first, _ := n.nodes[3].core.Held()
	n.propose(2*codec.BlockEntries, 8) // so that another snapshot would be newer
	n.silent[3] = true
	for blocks := range uint64(30) {
		n.ticks(10)
		n.leader().core.Progressed(3, codec.Progress{PendingSnapshot: first.Cursor.Index, Blocks: 100 + blocks})
	}
	now, _ := n.nodes[3].core.Held()
	require.Equal(t, first, now)
}

// Report 4: the member acknowledged an index at or above its pending snapshot,
// but the leader compacted past that, so the library stays in StateSnapshot.
func TestAcknowledgedBelowHorizon(t *testing.T) {
	n := behind(t)
	three := n.nodes[3]
	n.silent[3] = true
	at, _ := three.core.Held()
	three.log.fetch(n.leader().log)
	n.propose(6*codec.BlockEntries, 8)
	l := n.leader()
	l.log.hide(1, 0) // as if the lease had ended
	require.Greater(t, l.log.first, at.Cursor.Index+1)
	require.NoError(t, three.core.StepHeld())
	n.pump(three)
	n.ticks(30) // far less than ten seconds
	_, ok := three.core.Held()
	require.True(t, ok, "the leader must send a new snapshot")
	n.manual = false
	n.syncHeld(three)
	n.until("3 follows", func() bool { return n.follows(3) })
}

// Trigger (a): a member that was reopened at or above the leader's first index
// − 1, by a sync at start, answers as to a MsgSnap at its own commit: else the
// leader would wait in StateSnapshot for the answer that the last incarnation
// owed.
func TestReopenedMemberUnpausesLeader(t *testing.T) {
	n := behind(t)
	n.silent[3] = true
	n.kill(3)
	n.nodes[3].log.fetch(n.leader().log)
	n.open(3) // adopts the head
	require.GreaterOrEqual(t, n.nodes[3].log.hard.Commit, n.leader().log.first-1)
	require.Equal(t, "snapshot", n.state(3))
	n.ticks(30)
	require.True(t, n.follows(3), "its answer must un-pause the leader")
	require.Equal(t, "replicate", n.state(3))
}

// A held snapshot is stepped and answered also when Raft is past it already.
func TestHeldSnapshotThatRaftPassed(t *testing.T) {
	n := behind(t)
	three := n.nodes[3]
	s, _ := three.core.Held()
	three.core.held = nil
	three.log.fetch(n.leader().log)
	n.kill(3)
	n.open(3)
	n.until("3 follows", func() bool { return n.follows(3) })
	require.Greater(t, three.core.Applied(), s.Cursor.Index)
	three.core.held = &held{Snapshot: s, message: three.core.snapshotMessage(n.leader().id, mustSnapshot(t, n.leader()))}
	require.NoError(t, three.core.StepHeld())
	r, ok := three.core.Ready()
	require.True(t, ok)
	require.Nil(t, r.Adopt)
	require.Len(t, r.After, 1, "it answers")
	require.NoError(t, three.core.Advance())
}

// A snapshot of a leader that is gone is adopted all the same, and answered to
// the present leader; without any leader it is dropped.
func TestHeldSnapshotOutlivesItsLeader(t *testing.T) {
	n := behind(t)
	three := n.nodes[3]
	s, _ := three.core.Held()
	message := three.core.held.message
	three.log.fetch(n.leader().log)

	s.Term--
	three.core.held = &held{Snapshot: s, message: message}
	three.core.lead = 0
	require.NoError(t, three.core.StepHeld())
	_, ok := three.core.Held()
	require.False(t, ok)
	_, ok = three.core.Ready()
	require.False(t, ok, "nothing follows from a dropped one")

	message.From, message.Term = new(uint64(9)), new(uint64(s.Term))
	three.core.held = &held{Snapshot: s, message: message}
	require.NoError(t, three.core.StepHeld())
	r, ok := three.core.Ready()
	require.True(t, ok)
	require.Equal(t, s.Cursor, r.Adopt.Cursor)
	require.Equal(t, n.leader().id, r.After[0].To)
}

// The quorum needs a voter that needs a snapshot, while a new member is in no
// sealed configuration yet: the voter gets it, or nothing could ever commit.
func TestSnapshotWhileAnotherMemberIsNew(t *testing.T) {
	n := behind(t)
	n.manual = false
	n.kill(3)
	n.join(4, codec.RoleObserver)
	l := n.leader()
	_, config := l.log.head()
	_, in := config.Member(4)
	require.False(t, in)
	n.open(3)
	l.core.Bond(3, true)
	n.kill(3 - l.id) // 1 ↔ 2
	n.until("3 follows", func() bool { return n.follows(3) })
	n.propose(1, 8)
}

// The configuration at the last sealed cursor must hold the receiver; until it
// does, the leader closes the open block with no-ops: one proposal.
func TestSnapshotFillsBlockWithNoops(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	n := newNetwork(t)
	n.horizon = 1
	n.found(1, 1)
	n.propose(3*codec.BlockEntries, 8)
	require.Greater(t, n.nodes[1].log.first, codec.Index(1))
	n.open(2) // a joiner without a ledger: below the horizon, and in no sealed configuration
	l := n.leader()
	last := l.core.last()
	require.Equal(t, codec.CallUnavailable, l.core.Join(peerName(2), codec.Join{RaftID: 2, Role: codec.RoleObserver}).Status)
	n.pump(l)
	n.settle()
	n.until("2 follows", func() bool { return n.follows(2) })
	noops := 0
	for i := last + 1; i <= l.core.last(); i++ {
		if e, ok := l.log.entry(i); ok && e.Kind == codec.KindNoop {
			noops++
		}
	}
	require.Equal(t, codec.BlockEntries-1, noops, "no more than close the block")
	_, config := l.log.head()
	_, ok := config.Member(2)
	require.True(t, ok)
}

// lagging is a leader with three blocks, and member 2 with an empty ledger that
// was sent the entries 1…5, of which 3 are committed: member 9 was added with 3
// and removed with 4. give steps a message of the leader's.
func lagging(t *testing.T) (n *network, two *node, give func(*raftpb.Message)) {
	n = newNetwork(t)
	n.found(1, 1)
	n.join(9, codec.RoleObserver)
	n.until("9 left", func() bool {
		a := n.leader().core.Leave(9)
		n.pump(n.leader())
		n.settle()
		return a.Status == codec.CallOK
	})
	n.join(2, codec.RoleObserver)
	n.propose(3*codec.BlockEntries, 8)
	n.nodes[2].log = newMemLog()
	n.open(2)
	two = n.nodes[2]
	l := n.leader()
	give = func(m *raftpb.Message) {
		m.From, m.To, m.Term = new(uint64(1)), new(uint64(2)), new(uint64(l.core.term))
		data, err := proto.Marshal(m)
		require.NoError(t, err)
		require.NoError(t, two.core.Step(1, data))
	}
	entries, err := l.log.Entries(1, 6, 1<<20)
	require.NoError(t, err)
	give(&raftpb.Message{Type: raftpb.MsgApp.Enum(), Entries: toProto(entries), Commit: new(uint64(3))})
	return n, two, give
}

// adoptNow gives member 2 the leader's snapshot, synced at once.
func adoptNow(t *testing.T, n *network, two *node, give func(*raftpb.Message)) {
	s := mustSnapshot(t, n.leader())
	give(&raftpb.Message{Type: raftpb.MsgSnap.Enum(), Snapshot: s})
	two.log.fetch(n.leader().log)
	require.NoError(t, two.core.StepHeld())
}

func requireAdopted(t *testing.T, n *network, two *node) {
	at, config := n.leader().log.head()
	require.Equal(t, at.Index, two.core.Applied())
	require.Equal(t, config, two.core.Configuration())
	st := two.core.rn.Status()
	require.Len(t, st.Config.Voters.IDs(), 1)
	require.Len(t, st.Config.Learners, 1, "9 left before the cursor")
}

// What was committed below an adopted cursor and waits to be taken is dropped:
// the configuration at the cursor has it already.
func TestCommittedBelowAdoptedCursor(t *testing.T) {
	n, two, give := lagging(t)
	n.work(two, stageAll)
	require.Len(t, two.core.next.Committed, 3)
	adoptNow(t, n, two, give)
	n.work(two, stageAll)
	requireAdopted(t, n, two)
}

// What was taken already is applied here, but not to the library's
// configuration, which is the cursor's by then.
func TestConfigurationBelowAdoptedCursor(t *testing.T) {
	n, two, give := lagging(t)
	n.work(two, stageAll)
	r, ok := two.core.Ready()
	require.True(t, ok)
	require.Len(t, r.Committed, 3)
	adoptNow(t, n, two, give)
	require.NoError(t, two.core.Advance())
	require.EqualValues(t, 3, two.core.Applied())
	require.Len(t, two.core.Configuration().Members, 2)
	n.work(two, stageAll)
	requireAdopted(t, n, two)
}

// Entries that wait to be saved are not, once the log begins after the cursor.
func TestUnsavedBelowAdoptedCursor(t *testing.T) {
	n, two, give := lagging(t)
	require.Len(t, two.core.next.Save.Entries, 5)
	adoptNow(t, n, two, give)
	require.Empty(t, two.core.next.Save.Entries)
	at, _ := n.leader().log.head()
	require.Equal(t, at.Index, two.core.last())
	n.work(two, stageAll)
	requireAdopted(t, n, two)
}

// A configuration that the ledger derived otherwise than the leader's metadata
// says ends the Core.
func TestAdoptedConfigurationDiffers(t *testing.T) {
	n, two, give := lagging(t)
	n.work(two, stageAll)
	adoptNow(t, n, two, give)
	last := len(two.log.configs) - 1
	two.log.configs[last] = two.log.configs[last].Without(2)
	n.work(two, stageAll)
	var d *DivergenceError
	require.ErrorAs(t, two.err, &d)
	at, _ := n.leader().log.head()
	require.Equal(t, at.Index, d.Index)
}

// While a member reports progress the horizon stays below its pending snapshot.
func TestPendingSnapshotKeepsTheHorizon(t *testing.T) {
	n := behind(t)
	s, _ := n.nodes[3].core.Held()
	n.propose(6*codec.BlockEntries, 8)
	n.ticks(20)
	require.Equal(t, s.Cursor.Index+1, n.leader().core.Floor())
	require.LessOrEqual(t, n.leader().log.first, s.Cursor.Index+1)
}
