package consensus

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// While a save takes long the leader sends what is proposed next, and gives out
// as committed what is saved here and on a majority, each entry once.
func TestEarly(t *testing.T) {
	n := trio(t)
	l := n.leader()
	l.slow = true
	n.propose(1, 8)
	require.NotNil(t, l.saving)
	n.settle()
	before := len(l.applied)
	a := l.saving.Save.Entries[0].Cursor()
	require.Equal(t, a.Index, l.core.commit, "both others have it")

	_, err := l.core.Propose([][]byte{[]byte("b")})
	require.NoError(t, err)
	r, ok := l.core.Early()
	require.True(t, ok)
	require.Equal(t, []raftpb.MessageType{raftpb.MsgApp, raftpb.MsgApp}, typesOf(t, r.Now))
	require.Empty(t, r.Committed, "what is not saved here is not given out")
	require.Empty(t, r.Save.Entries)
	require.Empty(t, r.After)
	_, ok = l.core.Early()
	require.False(t, ok, "it was taken")
	n.send(l.id, r.Now)

	first := *l.saving
	l.saving = nil
	n.save(l, first, stageAll)
	n.pump(l) // the next save is slow, too
	require.NotNil(t, l.saving)
	require.Equal(t, a.Index+1, l.saving.Save.Entries[0].Index)
	require.Equal(t, a, l.applied[before], "while the next save is under way")
	require.Empty(t, l.saving.Committed)
	require.Less(t, l.core.Applied(), a.Index, "configurations take effect in Advance")

	n.saved(l)
	n.settle()
	require.Len(t, l.applied, before+2)
	require.Equal(t, a.Index+1, l.core.Applied())
}

// A follower whose disk works answers heartbeats, acknowledges nothing that it
// has not saved, and learns of commits.
func TestEarlyFollower(t *testing.T) {
	n := trio(t)
	l := n.leader()
	f := n.nodes[l.id%3+1]
	n.propose(1, 8)
	n.settle()
	f.slow = true
	n.propose(1, 8)
	n.settle()
	require.NotNil(t, f.saving)
	before := len(f.applied)
	require.NoError(t, l.core.ReadIndex(1))
	n.sever(6-l.id-f.id, true) // f alone confirms
	n.pump(l)
	n.settle()
	require.Len(t, l.reads, 1, "heartbeats are answered")
	require.Len(t, f.applied, before)
	n.saved(f)
	n.settle()
	require.Equal(t, l.core.commit, f.applied[len(f.applied)-1].Index)
}

// A leader whose disk stands still can hand over: a majority has its log.
func TestTransferWhileSaving(t *testing.T) {
	n := trio(t)
	l := n.leader()
	l.slow = true
	n.propose(1, 8)
	n.settle()
	require.NotNil(t, l.saving)
	require.NoError(t, l.core.HandOver())
	n.pump(l)
	n.until("another leads", func() bool { o := n.leader(); return o != nil && o != l })
	require.NotNil(t, l.saving)
	n.saved(l)
	n.until("it follows", func() bool { return n.follows(l.id) })
}

// Nothing is early about an adoption, nor during one.
func TestNothingEarlyAtAnAdoption(t *testing.T) {
	n := behind(t)
	three := n.nodes[3]
	three.log.fetch(n.leader().log)
	require.NoError(t, three.core.StepHeld())
	_, ok := three.core.Early()
	require.False(t, ok)
	r, ok := three.core.Ready()
	require.True(t, ok)
	require.NotNil(t, r.Adopt)
	heartbeat, err := proto.Marshal(&raftpb.Message{
		Type: raftpb.MsgHeartbeat.Enum(), From: new(uint64(n.leader().id)), To: new(uint64(3)), Term: new(uint64(n.leader().core.term)),
	})
	require.NoError(t, err)
	require.NoError(t, three.core.Step(n.leader().id, heartbeat))
	require.NotEmpty(t, three.core.next.Now, "its answer waits")
	_, ok = three.core.Early()
	require.False(t, ok)
}
