package sim

import (
	"errors"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
)

// ready does what the core asks for, in the order that durability needs. The
// actor is busy while the disk works.
func (r *raftNode) ready() {
	if r.core == nil {
		return
	}
	rd, ok := r.core.Ready()
	if !ok {
		return
	}
	if r.crashes(beforeNow) {
		return
	}
	r.sendAll(rd.Now)
	if r.m.w.faults.AckBeforeSync {
		r.sendAll(rd.After)
		rd.After = nil
	}
	if r.crashes(afterNow) {
		return
	}
	if !rd.Save.Sync && rd.Adopt == nil {
		r.finish(rd)
		return
	}
	r.busy = true
	r.m.after(r.m.syncTime(), func() {
		r.busy = false
		if r.finish(rd); r.m.up {
			r.drain()
		}
	})
}

func (r *raftNode) finish(rd consensus.Ready) {
	switch err := r.handle(rd); {
	case errors.Is(err, errCrashed):
		return
	case err != nil:
		r.m.fail(err)
		return
	}
	r.publish()
	r.look()
}

func (r *raftNode) handle(rd consensus.Ready) error {
	d := r.m.ledger
	if rd.Adopt != nil {
		if err := d.Adopt(rd.Adopt.Cursor, rd.Adopt.IDs); err != nil {
			return err
		}
		r.m.w.adopted(r.m, rd.Adopt.Cursor)
	}
	if r.crashes(afterAdopt) {
		return errCrashed
	}
	if err := d.Save(rd.Save.Entries, rd.Save.Hard, rd.Save.Sync && !r.m.w.faults.SkipSync); err != nil {
		return err
	}
	r.m.w.saved(r.m, rd.Save)
	if r.crashes(afterSave) {
		return errCrashed
	}
	r.sendAll(rd.After)
	if r.crashes(afterSend) {
		return errCrashed
	}
	r.commit(rd.Committed)
	for _, read := range rd.Reads {
		r.answerRead(read.Token, codec.Answer{Status: codec.CallOK, Index: read.Index})
	}
	for _, token := range rd.Dropped {
		r.answerRead(token, codec.Answer{Status: codec.CallNotLeader, Leader: r.leaderPeer()})
	}
	if err := r.core.Advance(); err != nil {
		return err
	}
	if r.crashes(afterAdvance) {
		return errCrashed
	}
	return r.settle()
}

// settle brings the ledger after Advance up to date.
func (r *raftNode) settle() error {
	d := r.m.ledger
	if err := d.SetRaftApplied(r.core.Applied(), r.core.Configuration()); err != nil {
		return err
	}
	if r.crashes(afterApplied) {
		return errCrashed
	}
	if _, err := d.Seal(d.HardState().Commit); err != nil {
		return err
	}
	if r.crashes(afterSeal) {
		return errCrashed
	}
	first, floor := d.FirstIndex(), r.core.Floor()
	given := floor
	if r.m.w.faults.NoFloor {
		given = 0
	}
	if err := d.MoveHorizon(given); err != nil {
		return err
	}
	r.m.w.hidden(r.m, first, floor)
	return nil
}

// crashes reports that the member crashed at s, as planned.
func (r *raftNode) crashes(s stage) bool {
	if r.m.crashAt != s {
		return false
	}
	r.m.crash()
	r.m.restartIn(r.m.crashFor)
	return true
}

func (r *raftNode) commit(entries []codec.Entry) {
	if len(entries) == 0 {
		return
	}
	r.m.w.committed(r.m, entries)
	r.m.replay.committed(entries)
}

func (r *raftNode) sendAll(messages []consensus.Message) {
	for i := range messages {
		m := &messages[i]
		peer, ok := r.route(m.To)
		sent := ok && r.send(peer, m.To, &codec.RaftBatch{Messages: [][]byte{m.Data}})
		if !sent && !m.Heartbeat {
			r.core.SendFailed(m.To, m.Snapshot)
		}
	}
}

// send puts a frame on the Raft stream to a member. False: there is no bond.
func (r *raftNode) send(peer codec.PeerID, id codec.RaftID, m codec.Message) bool {
	to := r.m.w.byPeer[peer]
	if to == nil || !r.m.bonds[peer] {
		return false
	}
	open := codec.RaftOpen{From: r.m.ledger.RaftID(), To: id}
	data := r.m.w.encode(m)
	r.m.w.net.datagram(r.m, to, func() {
		in := newMessage(codec.TypeOf(m))
		r.m.w.decode(data, in)
		to.raft.received(r.m, open, in)
	})
	return true
}

// received takes a frame of a peer's Raft stream.
func (r *raftNode) received(from *member, open codec.RaftOpen, m codec.Message) {
	if open.To != r.m.ledger.RaftID() {
		return // NotMe, which is only logged
	}
	switch sender, ok := r.view.config.Member(open.From); {
	case r.view.lead && (!ok || sender.Peer != from.peer):
		index := r.view.config.Index
		r.m.w.net.datagram(r.m, from, func() { from.raft.tell(func() { from.raft.removed(r.m.peer, index) }) })
		return
	case ok && sender.Peer != from.peer:
		return
	}
	switch m := m.(type) {
	case *codec.RaftBatch:
		r.tell(func() { r.step(from.peer, open.From, m.Messages) })
	case *codec.Progress:
		r.tell(func() {
			if r.core != nil {
				r.core.Progressed(open.From, *m)
			}
		})
	}
}

func (r *raftNode) step(peer codec.PeerID, from codec.RaftID, messages [][]byte) {
	if r.core == nil {
		return
	}
	r.routes[from] = peer
	for _, data := range messages {
		err := r.core.Step(from, data)
		var admit *consensus.AdmitError
		switch {
		case errors.As(err, &admit):
			r.m.w.violate("an honest message was refused", "member %d: %v", r.m.number, err)
		case err != nil:
			r.m.fail(err)
			return
		}
		r.m.w.faults.countLearner(r, from, data)
	}
}

func (r *raftNode) removed(peer codec.PeerID, index codec.Index) {
	if r.core == nil {
		return
	}
	if _, ok := r.core.Configuration().ByPeer(peer); !ok && len(r.core.Configuration().Members) > 0 {
		return
	}
	if index <= r.core.Configuration().Index {
		return // older than what we know
	}
	r.m.fail(errRemoved)
}

// progress tells the other members, each second, how far this one is.
func (r *raftNode) progress() {
	d, now := r.m.ledger, r.m.w.time.now
	config := r.core.Configuration()
	if _, ok := config.Member(d.RaftID()); !ok || now-r.progressAt < progressEvery {
		return
	}
	r.progressAt = now
	p := &codec.Progress{Blocks: d.Head().Blocks, RaftApplied: r.core.Applied(), MachineApplied: r.m.replay.core.Applied()}
	p.Digest, _ = r.m.replay.core.BlockDigest()
	if held, ok := r.core.Held(); ok {
		p.PendingSnapshot = held.Cursor.Index
	}
	for _, m := range config.Members {
		if m.RaftID != d.RaftID() {
			r.send(m.Peer, m.RaftID, p)
		}
	}
}
