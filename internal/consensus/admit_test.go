package consensus

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

// view7 is a follower of member 1 in term 5 with the entries 1…10, of term 1
// to 4, then 5; 7 of them are committed.
func view7() View {
	return View{ID: 7, Leader: 1, Term: 5, Commit: 7, Last: 10, TermAt: func(i codec.Index) (codec.Term, bool) {
		return codec.Term(min(i, 5)), i >= 1 && i <= 10
	}}
}

func message(t raftpb.MessageType, change func(*raftpb.Message)) *raftpb.Message {
	m := &raftpb.Message{Type: t.Enum(), From: new(uint64(1)), To: new(uint64(7)), Term: new(uint64(5))}
	if change != nil {
		change(m)
	}
	return m
}

func pbEntry(index, term uint64, data string) *raftpb.Entry {
	return &raftpb.Entry{Index: new(index), Term: new(term), Type: raftpb.EntryNormal.Enum(), Data: []byte(data)}
}

func snapshotAt(index, term uint64, voters, learners []uint64) func(*raftpb.Message) {
	return func(m *raftpb.Message) {
		m.Snapshot = &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
			Index: new(index), Term: new(term), ConfState: &raftpb.ConfState{Voters: voters, Learners: learners},
		}}
	}
}

func TestAdmitted(t *testing.T) {
	for name, m := range map[string]*raftpb.Message{
		"empty append": message(raftpb.MsgApp, func(m *raftpb.Message) { m.Index, m.LogTerm = new(uint64(10)), new(uint64(5)) }),
		"append": message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.LogTerm = new(uint64(10)), new(uint64(5))
			m.Entries = []*raftpb.Entry{pbEntry(11, 5, "x"), pbEntry(12, 5, "")}
		}),
		"first append": message(raftpb.MsgApp, func(m *raftpb.Message) { m.Entries = []*raftpb.Entry{pbEntry(1, 1, "x")} }),
		"of an earlier term, that differs": message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Term, m.Index, m.LogTerm = new(uint64(4)), new(uint64(6)), new(uint64(3))
		}),
		"heartbeat":   message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Commit, m.Context = new(uint64(10)), make([]byte, 8) }),
		"snapshot":    message(raftpb.MsgSnap, snapshotAt(20, 5, []uint64{1, 2}, []uint64{7})),
		"vote":        message(raftpb.MsgVote, func(m *raftpb.Message) { m.Context = []byte("CampaignTransfer") }),
		"old beat":    message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Term, m.Commit = new(uint64(4)), new(uint64(11)) }),
		"timeout now": message(raftpb.MsgTimeoutNow, nil),
	} {
		require.NoError(t, Admit(view7(), 1, m), name)
	}
}

// Each of these makes the library panic or breaks one of its rules; so each is
// refused before it is stepped.
func TestNotAdmitted(t *testing.T) {
	v1 := pbEntry(11, 5, "x")
	v1.Type = raftpb.EntryConfChange.Enum()
	garbage := pbEntry(11, 5, "garbage")
	garbage.Type = raftpb.EntryConfChangeV2.Enum()
	after10 := func(entries ...*raftpb.Entry) *raftpb.Message {
		return message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.LogTerm, m.Entries = new(uint64(10)), new(uint64(5)), entries
		})
	}
	for name, m := range map[string]*raftpb.Message{
		"an empty proposal":        message(raftpb.MsgProp, nil),
		"a local hup":              message(raftpb.MsgHup, nil),
		"a forwarded read":         message(raftpb.MsgReadIndex, nil),
		"a transfer":               message(raftpb.MsgTransferLeader, nil),
		"a storage answer":         message(raftpb.MsgStorageAppendResp, nil),
		"an unknown type":          message(raftpb.MessageType(99), nil),
		"from another":             message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.From = new(uint64(2)) }),
		"to another":               message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.To = new(uint64(2)) }),
		"without a term":           message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Term = nil }),
		"a term too large":         message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Term = new(^uint64(0)) }),
		"a garbage configuration":  after10(garbage),
		"a configuration of V1":    after10(v1),
		"a gap":                    after10(pbEntry(12, 5, "x")),
		"a gap within":             after10(pbEntry(11, 5, "x"), pbEntry(13, 5, "x")),
		"a falling term":           after10(pbEntry(11, 4, "x")),
		"a term above the message": after10(pbEntry(11, 6, "x")),
		"an entry too large":       after10(pbEntry(11, 5, string(make([]byte, codec.MaxEntryData+1)))),
		"log term above term":      message(raftpb.MsgApp, func(m *raftpb.Message) { m.Index, m.LogTerm = new(uint64(10)), new(uint64(6)) }),
		"entries in a heartbeat":   message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Entries = []*raftpb.Entry{pbEntry(1, 1, "")} }),
		"a snapshot in a beat":     message(raftpb.MsgHeartbeat, snapshotAt(20, 5, []uint64{1, 7}, nil)),
		"responses":                message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Responses = []*raftpb.Message{{}} }),
		"a short context":          message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Context = []byte{1} }),
		"a short context back":     message(raftpb.MsgHeartbeatResp, func(m *raftpb.Message) { m.Context = []byte{1} }),
		"timeout now of another":   message(raftpb.MsgTimeoutNow, func(m *raftpb.Message) { m.From = new(uint64(2)) }),
		"an empty snapshot":        message(raftpb.MsgSnap, nil),
		"a snapshot at 0":          message(raftpb.MsgSnap, snapshotAt(0, 5, []uint64{1, 7}, nil)),
		"a snapshot of term 6":     message(raftpb.MsgSnap, snapshotAt(20, 6, []uint64{1, 7}, nil)),
		"a snapshot, no voters":    message(raftpb.MsgSnap, snapshotAt(20, 5, nil, []uint64{7})),
		"a snapshot, an id twice":  message(raftpb.MsgSnap, snapshotAt(20, 5, []uint64{1, 7}, []uint64{7})),
		"a snapshot, a voter 0":    message(raftpb.MsgSnap, snapshotAt(20, 5, []uint64{0, 7}, nil)),
		"a snapshot without us":    message(raftpb.MsgSnap, snapshotAt(20, 5, []uint64{1, 2}, nil)),
		"a joint snapshot": message(raftpb.MsgSnap, func(m *raftpb.Message) {
			snapshotAt(20, 5, []uint64{1, 7}, nil)(m)
			m.Snapshot.Metadata.ConfState.VotersOutgoing = []uint64{1}
		}),
	} {
		var admit *AdmitError
		from := codec.RaftID(1)
		if name == "timeout now of another" {
			from = 2
		}
		require.ErrorAs(t, Admit(view7(), from, m), &admit, name)
	}
}

// What a leader hears: no acknowledgement beyond its log, no answer to a read
// round that it did not begin, no other leader of its term.
func TestNotAdmittedByALeader(t *testing.T) {
	v := view7()
	v.Leading, v.Leader, v.Reads = true, 7, 3
	round := func(n byte) func(*raftpb.Message) {
		return func(m *raftpb.Message) { m.Context = []byte{n, 0, 0, 0, 0, 0, 0, 0} }
	}
	require.NoError(t, Admit(v, 1, message(raftpb.MsgHeartbeatResp, round(3))))
	require.NoError(t, Admit(v, 1, message(raftpb.MsgAppResp, func(m *raftpb.Message) { m.Index = new(uint64(10)) })))
	for name, m := range map[string]*raftpb.Message{
		"acknowledged beyond the log": message(raftpb.MsgAppResp, func(m *raftpb.Message) { m.Index = new(uint64(11)) }),
		"a hint beyond the log":       message(raftpb.MsgAppResp, func(m *raftpb.Message) { m.Reject, m.RejectHint = new(true), new(uint64(11)) }),
		"a read round to come":        message(raftpb.MsgHeartbeatResp, round(4)),
		"another leader":              message(raftpb.MsgHeartbeat, nil),
	} {
		var admit *AdmitError
		require.ErrorAs(t, Admit(v, 1, m), &admit, name)
	}
}

// A heartbeat's commit beyond our log means that we lost acknowledged entries.
func TestLostEntries(t *testing.T) {
	var lost *LostEntriesError
	err := Admit(view7(), 1, message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Commit = new(uint64(11)) }))
	require.ErrorAs(t, err, &lost)
	require.Equal(t, LostEntriesError{From: 1, Term: 5, Commit: 11, Last: 10}, *lost)
}

// A member that comes back with its old id and an empty directory is told so,
// instead of a panic or a second vote.
func TestLostDirectoryWithOldID(t *testing.T) {
	n := trio(t)
	lost := n.leader().id%3 + 1
	n.propose(10, 8)
	n.ticks(3)
	n.kill(lost)
	n.nodes[lost].log = newMemLog()
	n.open(lost)
	n.ticks(3)
	var e *LostEntriesError
	require.ErrorAs(t, n.nodes[lost].err, &e)
}

// A conflict at or below commit is divergence, in entries, in what stands
// before them, and in a snapshot.
func TestDivergence(t *testing.T) {
	for name, m := range map[string]*raftpb.Message{
		"entry": message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.LogTerm, m.Entries = new(uint64(5)), new(uint64(5)), []*raftpb.Entry{pbEntry(6, 5, ""), pbEntry(7, 5, "")}
			m.Index, m.LogTerm = new(uint64(3)), new(uint64(3))
			m.Entries = []*raftpb.Entry{pbEntry(4, 5, "")}
		}),
		"before":   message(raftpb.MsgApp, func(m *raftpb.Message) { m.Index, m.LogTerm = new(uint64(7)), new(uint64(4)) }),
		"snapshot": message(raftpb.MsgSnap, snapshotAt(6, 4, []uint64{1, 7}, nil)),
	} {
		var d *DivergenceError
		require.ErrorAs(t, Admit(view7(), 1, m), &d, name)
	}
}

// The library trusts that what is committed stays: a Core that is told
// otherwise stops for good.
func TestDivergenceStopsTheCore(t *testing.T) {
	n := trio(t)
	n.propose(5, 8)
	l := n.leader()
	to := n.nodes[l.id%3+1]
	data, err := proto.Marshal(&raftpb.Message{
		Type: raftpb.MsgApp.Enum(), From: new(uint64(l.id)), To: new(uint64(to.id)), Term: new(uint64(l.core.term)),
		Index: new(uint64(1)), LogTerm: new(uint64(1)), Entries: []*raftpb.Entry{pbEntry(2, 1, "x")},
	})
	require.NoError(t, err)
	var d *DivergenceError
	require.ErrorAs(t, to.core.Step(l.id, data), &d)
	require.ErrorAs(t, to.core.Failed(), &d)
	_, ok := to.core.Ready()
	require.False(t, ok)
	require.Error(t, to.core.Step(l.id, data))
}
