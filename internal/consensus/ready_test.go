package consensus

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

func typesOf(t *testing.T, messages []Message) []raftpb.MessageType {
	var out []raftpb.MessageType
	for _, m := range messages {
		pm := new(raftpb.Message)
		require.NoError(t, proto.Unmarshal(m.Data, pm))
		out = append(out, pm.GetType())
	}
	return out
}

// A leader's appends leave before its own save; a follower's acknowledgement,
// and every vote, only after.
func TestWhatLeavesBeforeTheSave(t *testing.T) {
	n := trio(t)
	l := n.leader()
	_, err := l.core.Propose([][]byte{[]byte("a"), []byte("b")})
	require.NoError(t, err)
	r, ok := l.core.Ready()
	require.True(t, ok)
	require.Equal(t, []raftpb.MessageType{raftpb.MsgApp, raftpb.MsgApp}, typesOf(t, r.Now))
	require.Len(t, r.Save.Entries, 2)
	require.True(t, r.Save.Sync)
	require.Empty(t, r.Committed)

	f := n.nodes[l.id%3+1]
	for _, m := range r.Now {
		if m.To == f.id {
			require.NoError(t, f.core.Step(l.id, m.Data))
		}
	}
	fr, ok := f.core.Ready()
	require.True(t, ok)
	require.Empty(t, fr.Now)
	require.Len(t, fr.Save.Entries, 2)
	require.True(t, fr.Save.Sync)
	require.Equal(t, []raftpb.MessageType{raftpb.MsgAppResp}, typesOf(t, fr.After))
	_, again := f.core.Ready()
	require.False(t, again, "not before Advance")

	c := n.nodes[(l.id+1)%3+1]
	require.NoError(t, c.core.input(c.core.rn.Campaign))
	cr, ok := c.core.Ready()
	require.True(t, ok)
	require.Empty(t, cr.Now)
	require.Equal(t, []raftpb.MessageType{raftpb.MsgPreVote, raftpb.MsgPreVote}, typesOf(t, cr.After))
}

// Work that is gathered while nobody takes it is one batch: later entries
// replace earlier ones from their first index on.
func TestGatheredEntries(t *testing.T) {
	e := func(i, term int) codec.Entry { return codec.Entry{Index: codec.Index(i), Term: codec.Term(term)} }
	var b batch
	b.append([]codec.Entry{e(5, 1), e(6, 1), e(7, 1)})
	b.append([]codec.Entry{e(8, 1)})
	b.append([]codec.Entry{e(7, 2)})
	require.Equal(t, []codec.Entry{e(5, 1), e(6, 1), e(7, 2)}, b.Save.Entries)
	b.append([]codec.Entry{e(4, 3), e(5, 3)})
	require.Equal(t, []codec.Entry{e(4, 3), e(5, 3)}, b.Save.Entries)
	b.append(nil)
	term, known, ok := b.termAt(5)
	require.True(t, known && ok)
	require.EqualValues(t, 3, term)
	_, known, ok = b.termAt(6)
	require.True(t, known)
	require.False(t, ok, "6 is cut off")
	_, known, _ = b.termAt(3)
	require.False(t, known)
}

// Above MaxUncommitted the leader says that there is no quorum, and takes all
// of a proposal or nothing.
func TestNoQuorum(t *testing.T) {
	n := trio(t)
	l := n.leader()
	n.sever(l.id, true)
	big := make([]byte, codec.MaxEntryData)
	var total int
	for {
		accepted, err := l.core.Propose([][]byte{big, big})
		if err != nil {
			require.ErrorIs(t, err, ErrNoQuorum)
			require.Zero(t, accepted)
			break
		}
		total += accepted * len(big)
	}
	require.InDelta(t, MaxUncommitted, total, 2*float64(len(big)))
	_, err := n.nodes[l.id%3+1].core.Propose([][]byte{{1}})
	require.ErrorIs(t, err, ErrNotLeader)
	_, err = l.core.Propose([][]byte{make([]byte, codec.MaxEntryData+1)})
	require.Error(t, err)
	accepted, err := l.core.Propose(nil)
	require.NoError(t, err)
	require.Zero(t, accepted)
}

// Every message fits a RaftBatch, also with entries of the greatest size.
func TestMessagesFitAFrame(t *testing.T) {
	n := trio(t)
	lag := n.leader().id%3 + 1
	n.kill(lag)
	n.propose(5, codec.MaxEntryData)
	n.propose(200, 100<<10)
	n.largest = 0
	n.open(lag)
	n.until("it follows", func() bool { return n.follows(lag) })
	require.Greater(t, n.largest, codec.MaxEntryData)
	require.Less(t, n.largest, codec.MaxEntryData+(8<<10))
}

// A read of very many small entries is cut by their encoding and their number.
func TestStorageLimits(t *testing.T) {
	log := newMemLog()
	for i := codec.Index(1); i <= 10_000; i++ {
		log.tail = append(log.tail, codec.Entry{Index: i, Term: 1})
	}
	s := &storage{log: log}
	entries, err := s.Entries(1, 10_001, MaxMessage)
	require.NoError(t, err)
	require.Len(t, entries, maxEntriesRead)
	entries, err = s.Entries(1, 10_001, 1000)
	require.NoError(t, err)
	require.InDelta(t, 1000, len(entries)*proto.Size(entries[0]), 100)
	entries, err = s.Entries(1, 10_001, 0)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// brokenLog fails to read, as a disk does.
type brokenLog struct {
	*memLog
	err error
}

func (l *brokenLog) Entries(lo, hi codec.Index, max uint64) ([]codec.Entry, error) {
	if l.err != nil {
		return nil, l.err
	}
	return l.memLog.Entries(lo, hi, max)
}

// An error of the log's is told, not a panic, and the Core stays stopped.
func TestFailedReadStopsTheCore(t *testing.T) {
	n := newNetwork(t)
	n.found(1, 1)
	n.propose(3, 8)
	log := &brokenLog{memLog: n.nodes[1].log}
	core, err := Open(Config{ID: 1, Log: log, Hard: log.hard, Members: codec.Configuration{}, Sealed: log.head})
	require.NoError(t, err)
	_, ok := core.Ready()
	require.True(t, ok)

	log.err = errors.New("bad sector")
	core, err = Open(Config{ID: 1, Log: log, Hard: log.hard, Members: codec.Configuration{}, Sealed: log.head})
	require.ErrorIs(t, err, log.err)
	var broken *BrokenError
	require.ErrorAs(t, err, &broken)
	require.Error(t, core.Failed())
	core.Tick()
	_, ok = core.Ready()
	require.False(t, ok)
}

func TestOpenRefusesWhatTheLibraryPanicsOn(t *testing.T) {
	log := newMemLog()
	log.found(codec.Entry{Index: 1, Term: 1, Kind: codec.KindNoop})
	good := Config{ID: 1, Log: log, Hard: log.hard, Sealed: log.head}
	for name, change := range map[string]func(*Config){
		"no id":               func(c *Config) { c.ID = 0 },
		"the library's id":    func(c *Config) { c.ID = ^codec.RaftID(0) },
		"commit beyond last":  func(c *Config) { c.Hard.Commit = 2 },
		"applied over commit": func(c *Config) { c.Applied = 2 },
		"elections too fast":  func(c *Config) { c.ElectionTicks = 1 },
		"no log":              func(c *Config) { c.Log = nil },
	} {
		cfg := good
		change(&cfg)
		_, err := Open(cfg)
		require.Error(t, err, name)
		var broken *BrokenError
		require.False(t, errors.As(err, &broken), name)
	}
}
