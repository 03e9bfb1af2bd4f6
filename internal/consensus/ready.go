package consensus

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

type (
	// Ready is work to do, in the order of its fields; see the package comment.
	Ready struct {
		Now       []Message // may leave before the save: a leader's appends (thesis, section 10.2.1) and its leave, heartbeats and their answers
		Adopt     *Snapshot // adopt before the save
		Save      Save
		After     []Message // leave only after the save is done, and synced if Save.Sync
		Committed []codec.Entry
		Reads     []Read
		Dropped   []uint64 // tokens of ReadIndex whose fate is gone with the leadership: ask again
	}

	// Save is one batch for the ledger: tail entries from the first index on are
	// replaced. Hard is nil when it did not change.
	Save struct {
		Entries []codec.Entry
		Hard    *codec.HardState
		Sync    bool
	}

	// Message is a marshalled raftpb.Message for a member.
	Message struct {
		To        codec.RaftID
		Data      []byte
		Heartbeat bool // may be dropped, oldest first
		Snapshot  bool // SendFailed must be told so
	}

	// Read answers a ReadIndex: a read at Index, or later, is linearizable.
	Read struct {
		Token uint64
		Index codec.Index
	}
)

// batch is a Ready with what Advance will do.
type batch struct {
	Ready
	appended []*raftpb.Message // to ourselves: what was saved
	applied  []*raftpb.Message // to ourselves: what was applied
	told     int               // so many of Committed were given out by Early
	decides  bool              // its hard state commits a configuration: nobody may hear of it before the save
}

func (b *batch) empty() bool {
	return len(b.Now)+len(b.After)+len(b.Save.Entries)+len(b.Committed)+len(b.Reads)+len(b.Dropped) == 0 &&
		b.Adopt == nil && b.Save.Hard == nil && len(b.appended)+len(b.applied) == 0
}

// append replaces the gathered entries from the first new index on.
func (b *batch) append(entries []codec.Entry) {
	if len(entries) == 0 {
		return
	}
	if old := b.Save.Entries; len(old) > 0 {
		if first := entries[0].Index; first > old[0].Index {
			b.Save.Entries = append(old[:first-old[0].Index:first-old[0].Index], entries...)
			return
		}
	}
	b.Save.Entries = entries
}

// Ready takes the gathered work. It reports false when there is none, and until
// the last one's Advance.
func (c *Core) Ready() (Ready, bool) {
	if c.failed != nil || c.out != nil {
		return Ready{}, false
	}
	if err := c.input(c.flushReads); err != nil || c.next.empty() {
		return Ready{}, false
	}
	out := c.next
	c.out, c.next = &out, batch{}
	r := out.Ready
	r.Committed = out.untold()
	return r, true
}

// Advance says that everything in the last Ready was done. Its configuration
// entries take effect here: store Applied and Configuration afterwards.
func (c *Core) Advance() error {
	if c.out == nil {
		return c.failed
	}
	out := c.out
	return c.input(func() error {
		if err := c.adopted(out.Adopt); err != nil {
			return err
		}
		if err := c.apply(out.Committed); err != nil {
			return err
		}
		c.out = nil // what it saved is in the log now
		for _, m := range append(out.appended, out.applied...) {
			_ = c.rn.Step(m) // an acknowledgement of a member that was just removed is refused
		}
		return nil
	})
}

// drain takes all work from the library.
func (c *Core) drain() error {
	for c.rn.HasReady() {
		rd := c.rn.Ready()
		if err := c.gather(&c.next, rd); err != nil {
			return err
		}
	}
	return nil
}

func (c *Core) gather(b *batch, rd raft.Ready) error {
	if !raft.IsEmptySnap(rd.Snapshot) {
		st := c.rn.BasicStatus()
		b.Adopt = snapshotOf(rd.Snapshot, codec.RaftID(st.Lead), codec.Term(st.GetTerm()))
		// The log begins anew after the cursor. What was committed before it is in
		// the ledger, and in the configuration there.
		b.Save.Entries, b.Committed, b.told = nil, nil, 0
	}
	entries, err := fromProtos(rd.Entries)
	if err != nil {
		return err
	}
	b.append(entries)
	if hs := rd.HardState; !raft.IsEmptyHardState(hs) {
		b.Save.Hard = &codec.HardState{
			Term: codec.Term(hs.GetTerm()), Vote: codec.RaftID(hs.GetVote()), Commit: codec.Index(hs.GetCommit()),
		}
	}
	b.decides = b.decides || c.decidesConfig(codec.Index(rd.HardState.GetCommit()))
	b.Save.Sync = b.Save.Sync || rd.MustSync || b.decides
	committed, err := fromProtos(rd.CommittedEntries)
	if err != nil {
		return err
	}
	b.Committed = append(b.Committed, committed...)
	c.answerReads(b, rd.ReadStates)
	return c.gatherMessages(b, rd.Messages)
}

// decidesConfig: commit is the first to reach the newest configuration of a
// leader's log. A voter that hears of its removal is gone for good. Of two voters
// the one that stays could then not commit the removal again if it had forgotten
// its commit index, so that must be durable first.
func (c *Core) decidesConfig(commit codec.Index) bool {
	return c.leading() && c.commit < c.pendingConfig && commit >= c.pendingConfig
}

// gatherMessages sorts messages by when they may leave. The library hands its
// acknowledgements to the storage threads, which we are.
func (c *Core) gatherMessages(b *batch, messages []*raftpb.Message) error {
	for _, m := range messages {
		var err error
		switch m.GetType() {
		case raftpb.MsgStorageAppend:
			for _, r := range m.GetResponses() {
				if codec.RaftID(r.GetTo()) == c.cfg.ID {
					b.appended = append(b.appended, r)
				} else if err = c.post(&b.After, r); err != nil {
					return err
				}
			}
		case raftpb.MsgStorageApply:
			b.applied = append(b.applied, m.GetResponses()...)
		case raftpb.MsgSnap:
			err = c.sendSnapshot(b, m)
		case raftpb.MsgHeartbeatResp, raftpb.MsgTimeoutNow:
			err = c.post(&b.Now, m)
		case raftpb.MsgApp, raftpb.MsgHeartbeat:
			if b.decides || c.out != nil && c.out.decides {
				err = c.post(&b.After, m)
			} else {
				err = c.post(&b.Now, m)
			}
		default:
			err = c.post(&b.After, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Core) post(to *[]Message, m *raftpb.Message) error {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	t := m.GetType()
	*to = append(*to, Message{
		To: codec.RaftID(m.GetTo()), Data: data,
		Heartbeat: t == raftpb.MsgHeartbeat || t == raftpb.MsgHeartbeatResp,
		Snapshot:  t == raftpb.MsgSnap,
	})
	return nil
}

// apply takes committed entries into the configuration.
func (c *Core) apply(entries []codec.Entry) error {
	for _, e := range entries {
		if e.Kind == codec.KindConfig {
			if err := c.applyConfig(e); err != nil {
				return err
			}
		}
		c.applied = e.Index
	}
	return nil
}

func (c *Core) applyConfig(e codec.Entry) error {
	next, err := Fold(c.members, e)
	if err != nil {
		return err
	}
	ch, err := decodeChange(e)
	if err != nil {
		return err
	}
	cc, err := ch.proto()
	if err != nil {
		return err
	}
	c.members = next
	if c.next.Adopt == nil { // else the library is past it already, at the cursor's configuration
		c.rn.ApplyConfChange(cc)
	}
	c.reads.askAgain()
	c.forget()
	c.logger.Info("configuration", "index", uint64(e.Index), "change", ch.typ.String(), "member", ch.id.String(), "role", ch.ctx.Role)
	return nil
}

// termAt is the term of the entry at i in the log as the library sees it: what
// waits in next, what is being saved, what is saved.
func (c *Core) termAt(i codec.Index) (codec.Term, bool) {
	for _, b := range c.unsaved() {
		if t, known, ok := b.termAt(i); known {
			return t, ok
		}
	}
	t, err := c.cfg.Log.Term(i)
	return t, err == nil
}

func (c *Core) last() codec.Index {
	for _, b := range c.unsaved() {
		if n := len(b.Save.Entries); n > 0 {
			return b.Save.Entries[n-1].Index
		}
		if b.Adopt != nil {
			return b.Adopt.Cursor.Index
		}
	}
	return c.cfg.Log.LastIndex()
}

// unsaved lists the batches that the log does not hold yet, newest first.
func (c *Core) unsaved() []*batch {
	if c.out == nil {
		return []*batch{&c.next}
	}
	return []*batch{&c.next, c.out}
}

// termAt looks i up; known is false when an older batch must be asked.
func (b *batch) termAt(i codec.Index) (t codec.Term, known, ok bool) {
	if n := len(b.Save.Entries); n > 0 && i >= b.Save.Entries[0].Index {
		if k := i - b.Save.Entries[0].Index; k < codec.Index(n) {
			return b.Save.Entries[k].Term, true, true
		}
		return 0, true, false
	}
	if b.Adopt != nil {
		return b.Adopt.Cursor.Term, true, i == b.Adopt.Cursor.Index
	}
	return 0, false, false
}
