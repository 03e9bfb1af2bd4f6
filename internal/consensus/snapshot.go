package consensus

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/logmesh/logmesh/codec"
)

// Snapshot is the metadata of a MsgSnap: a sealed cursor of the leader's, and
// who belonged to the group there.
type Snapshot struct {
	Cursor codec.Cursor
	IDs    []codec.RaftID // voters and learners, sorted
	From   codec.RaftID   // the leader that sent it
	Term   codec.Term     // in which it was sent
}

func snapshotOf(s *raftpb.Snapshot, from codec.RaftID, term codec.Term) *Snapshot {
	meta := s.GetMetadata()
	return &Snapshot{
		Cursor: codec.Cursor{Index: codec.Index(meta.GetIndex()), Term: codec.Term(meta.GetTerm())},
		IDs:    idsOf(meta.GetConfState()), From: from, Term: term,
	}
}

// held is a MsgSnap that waits for the ledger. It is never stored: after a
// restart the leader sends another, see reports.go.
type held struct {
	Snapshot
	message *raftpb.Message
}

// older orders by term, then index.
func (h *held) older(s *Snapshot) bool {
	return h.Term < s.Term || h.Term == s.Term && h.Cursor.Index < s.Cursor.Index
}

// receiveSnapshot holds a MsgSnap, the newest only. One that needs nothing from
// the ledger is stepped at once: it is answered, and nothing is adopted.
func (c *Core) receiveSnapshot(m *raftpb.Message) error {
	s := snapshotOf(m.GetSnapshot(), codec.RaftID(m.GetFrom()), codec.Term(m.GetTerm()))
	t, known := c.termAt(s.Cursor.Index)
	switch {
	case s.Term < c.term:
		return nil // of a leader that is none any more
	case s.Cursor.Index <= c.commit, known && t == s.Cursor.Term:
		if c.held != nil && c.held.older(s) {
			c.held = nil
		}
		return c.rn.Step(m)
	case c.held == nil || c.held.older(s):
		c.held = &held{Snapshot: *s, message: m}
	}
	return nil
}

// Held is the MsgSnap that waits for the ledger.
func (c *Core) Held() (Snapshot, bool) {
	if c.held == nil {
		return Snapshot{}, false
	}
	return c.held.Snapshot, true
}

// StepHeld steps the held MsgSnap. The caller has checked that the ledger
// reaches its cursor, with that term and those ids: afterwards nothing can be
// refused. It is answered also when Raft is past it already.
//
// When another leader was elected meanwhile the answer is for that one: a
// committed cursor is in every later leader's log. Without a leader it is
// dropped; the next one asks again by itself.
func (c *Core) StepHeld() error {
	return c.input(func() error {
		h := c.held
		if h == nil {
			return ErrNothingHeld
		}
		c.held = nil
		switch {
		case h.Term >= c.term:
			return c.rn.Step(h.message)
		case c.lead == 0 || c.leading():
			return nil
		}
		return c.rn.Step(c.snapshotMessage(c.lead, h.message.GetSnapshot()))
	})
}

// snapshotMessage makes a MsgSnap to ourselves as from the leader of our term.
func (c *Core) snapshotMessage(leader codec.RaftID, s *raftpb.Snapshot) *raftpb.Message {
	return &raftpb.Message{
		Type: raftpb.MsgSnap.Enum(), To: new(uint64(c.cfg.ID)), From: new(uint64(leader)),
		Term: new(uint64(c.term)), Snapshot: s,
	}
}

// adopted takes over what the ledger's raft view became at an adoption.
func (c *Core) adopted(s *Snapshot) error {
	if s == nil {
		return nil
	}
	index, members := c.cfg.Log.RaftApplied()
	if ids := idsOf(confState(members)); index != s.Cursor.Index || !slices.Equal(ids, s.IDs) {
		return &DivergenceError{
			From: s.From, Index: s.Cursor.Index,
			Ours: fmt.Sprintf("applied %d with members %v", index, ids), Other: fmt.Sprintf("members %v", s.IDs),
		}
	}
	c.applied, c.members = index, members
	return nil
}

// unpause is whether the leader may have us in StateSnapshot for nothing.
type unpause struct {
	leader codec.RaftID
	term   codec.Term
	done   bool   // an append came: it has not
	again  uint64 // the tick from which on to answer again
}

// unpauseLeader answers a leader that sends heartbeats and no appends, as if it
// had sent a MsgSnap at our own commit: a member that was reopened at or above
// the leader's first index − 1 would wait for ever otherwise, for the leader
// waits for the answer to a MsgSnap that this incarnation never saw. Our commit
// is in every leader's log, so the answer is always true; a leader that waits
// for nothing learns nothing by it.
func (c *Core) unpauseLeader(m *raftpb.Message) error {
	u := &c.unpause
	from, term := codec.RaftID(m.GetFrom()), codec.Term(m.GetTerm())
	t := m.GetType()
	if t != raftpb.MsgHeartbeat && t != raftpb.MsgApp || u.done && u.leader == from && u.term == term {
		return nil
	}
	if uint64(term) != c.rn.BasicStatus().GetTerm() {
		return nil
	}
	if u.leader != from || u.term != term {
		*u = unpause{leader: from, term: term}
	}
	u.done = u.done || t == raftpb.MsgApp
	if u.done || c.now < u.again {
		return nil
	}
	u.again = c.now + uint64(c.cfg.ElectionTicks)
	c.observe()
	return c.answerLeader(from)
}

func (c *Core) answerLeader(leader codec.RaftID) error {
	t, ok := c.termAt(c.commit)
	if c.commit == 0 || !ok {
		return nil
	}
	return c.rn.Step(c.snapshotMessage(leader, &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index: new(uint64(c.commit)), Term: new(uint64(t)), ConfState: confState(c.members),
	}}))
}

// makeSnapshot is what the library asks for when a follower needs what lies
// below the horizon: the last sealed cursor. It does not say for whom; see
// sendSnapshot.
func (c *Core) makeSnapshot() (*raftpb.Snapshot, error) {
	at, config := c.cfg.Sealed()
	if at.Index == 0 {
		c.wantSealed = c.members.Index
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index: new(uint64(at.Index)), Term: new(uint64(at.Term)), ConfState: confState(config),
	}}, nil
}

// sendSnapshot posts a MsgSnap if its receiver belongs to the configuration in
// it: another would refuse it. Then the block that holds the newest
// configuration must be sealed first. It is the receiver that counts: to ask
// the same for all members would lock a group in which a voter needs the
// snapshot, the quorum needs that voter, and somebody else is new.
func (c *Core) sendSnapshot(b *batch, m *raftpb.Message) error {
	to := codec.RaftID(m.GetTo())
	if slices.Contains(idsOf(m.GetSnapshot().GetMetadata().GetConfState()), to) {
		return c.post(&b.After, m)
	}
	c.wantSealed = c.members.Index
	c.unsent = append(c.unsent, to)
	return nil
}

// takeBack tells the library of snapshots that were not sent; it tries again
// after the next heartbeat.
func (c *Core) takeBack() {
	for _, id := range c.unsent {
		c.rn.ReportSnapshot(uint64(id), raft.SnapshotFailure)
	}
	c.unsent = nil
}

// fillBlock proposes no-ops, once, so that the block with the configuration
// that a snapshot waits for closes: it does at the latest with its 128th entry.
// It reports whether anything was proposed.
func (c *Core) fillBlock() bool {
	want := c.wantSealed
	c.wantSealed = 0
	if want == 0 || !c.leading() || c.transferring() {
		return false
	}
	end, last := want+codec.BlockEntries-1, c.last()
	if last >= end {
		return false // it is in the log; it commits, or nothing does
	}
	return c.propose(make([][]byte, end-last)) == nil
}
