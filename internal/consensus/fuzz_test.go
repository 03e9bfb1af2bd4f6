package consensus

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

// FuzzAdmit steps messages from outside into live members: a leader, a
// follower, a candidate, and one that holds a snapshot. Whatever is admitted,
// the library never panics (a BrokenError), at the step, in the work that
// follows, nor in the ticks after it.
func FuzzAdmit(f *testing.F) {
	for _, m := range fuzzSeeds() {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, data, uint8(0))
		f.Add(data, data, uint8(1))
	}
	f.Fuzz(func(t *testing.T, first, second []byte, who uint8) {
		n := fuzzTrio(t)
		nd := n.nodes[codec.RaftID(who%3)+1]
		for _, data := range [][]byte{first, second} {
			n.inject(t, nd, data)
		}
		for range 25 {
			if nd.core != nil {
				nd.core.Tick()
				n.pump(nd)
			}
		}
		if nd.core != nil && nd.core.failed != nil {
			nd.err = nd.core.failed
		}
		var broken *BrokenError
		if errors.As(nd.err, &broken) {
			t.Fatalf("%v\n%s", broken, broken.Stack)
		}
	})
}

// inject addresses a message to nd as from another member, and steps it.
func (n *network) inject(t *testing.T, nd *node, data []byte) {
	m := new(raftpb.Message)
	if proto.Unmarshal(data, m) != nil || nd.core == nil {
		return
	}
	from := nd.id%3 + 1
	m.To, m.From = new(uint64(nd.id)), new(uint64(from))
	if m.GetTerm() < 3 {
		m.Term = new(uint64(nd.core.term) + m.GetTerm()) // so that most are of the present
	}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	err = nd.core.Step(from, data)
	n.check(nd, err)
	if nd.core != nil {
		_ = nd.core.ReadIndex(1)
		n.pump(nd)
	}
	if nd.core != nil {
		if _, ok := nd.core.Held(); ok {
			n.syncHeld(nd)
		}
	}
}

// fuzzTrio is a small group: 1 leads, 2 and 3 follow.
func fuzzTrio(t *testing.T) *network {
	n := newNetwork(t)
	members := codec.Configuration{Index: 1, Target: 3}
	for id := codec.RaftID(1); id <= 3; id++ {
		members = members.With(codec.Member{RaftID: id, Peer: peerName(id), Role: codec.RoleVoter})
	}
	for id := codec.RaftID(1); id <= 3; id++ {
		nd := n.node(id)
		nd.log.tail = []codec.Entry{
			{Index: 1, Term: 1, Kind: codec.KindCommand, Data: []byte("a")}, {Index: 2, Term: 1, Kind: codec.KindCommand, Data: []byte("b")},
		}
		nd.log.hard, nd.log.applied, nd.log.members = codec.HardState{Term: 1, Commit: 2}, 2, members
		nd.log.sync()
		n.open(id)
	}
	one := n.nodes[1]
	if err := one.core.input(one.core.rn.Campaign); err != nil {
		t.Fatal(err)
	}
	n.pump(one)
	n.settle()
	if _, err := one.core.Propose([][]byte{[]byte("c")}); err != nil {
		t.Fatal(err)
	}
	n.pump(one)
	n.settle()
	return n
}

func fuzzSeeds() []*raftpb.Message {
	seeds := []*raftpb.Message{
		message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.LogTerm, m.Commit = new(uint64(4)), new(uint64(2)), new(uint64(9))
			m.Entries = []*raftpb.Entry{pbEntry(5, 2, "x"), pbEntry(6, 2, "")}
		}),
		message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.LogTerm = new(uint64(1)), new(uint64(1))
			m.Entries = []*raftpb.Entry{pbEntry(2, 2, "x")}
		}),
		message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Commit, m.Context = new(uint64(4)), make([]byte, 8) }),
		message(raftpb.MsgHeartbeatResp, func(m *raftpb.Message) { m.Context = []byte{1, 0, 0, 0, 0, 0, 0, 0} }),
		message(raftpb.MsgSnap, snapshotAt(20, 2, []uint64{1, 2, 3}, nil)),
		message(raftpb.MsgSnap, snapshotAt(3, 2, []uint64{1, 2}, []uint64{3})),
		message(raftpb.MsgAppResp, func(m *raftpb.Message) { m.Index = new(uint64(4)) }),
		message(raftpb.MsgAppResp, func(m *raftpb.Message) {
			m.Index, m.Reject, m.RejectHint, m.LogTerm = new(uint64(3)), new(true), new(uint64(2)), new(uint64(1))
		}),
		message(raftpb.MsgVote, func(m *raftpb.Message) { m.Index, m.LogTerm = new(uint64(9)), new(uint64(2)) }),
		message(raftpb.MsgPreVote, func(m *raftpb.Message) { m.Index, m.LogTerm = new(uint64(9)), new(uint64(2)) }),
		message(raftpb.MsgVoteResp, nil), message(raftpb.MsgPreVoteResp, nil), message(raftpb.MsgTimeoutNow, nil),
		message(raftpb.MsgProp, nil),
	}
	for _, m := range seeds {
		m.Term = new(uint64(0)) // of the receiver's term, see inject
	}
	return seeds
}
