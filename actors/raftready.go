package actors

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
)

func (r *raftActor) raftIn(m raftIn) {
	if r.core == nil {
		return
	}
	if len(r.routes) >= maxRoutes {
		clear(r.routes) // whoever still sends is entered again
	}
	r.routes[m.from] = m.peer
	for _, data := range m.messages {
		err := r.core.Step(m.from, data)
		if err == nil {
			continue
		}
		var admit *consensus.AdmitError
		if !errors.As(err, &admit) {
			r.fail(err)
			return
		}
		r.log.Warn("a Raft message was refused", "peer", m.peer, "err", err)
	}
}

// ready does what the core asks for, in the order that durability needs.
func (r *raftActor) ready(ctx actor.Context) {
	if r.core == nil {
		return
	}
	rd, ok := r.core.Ready()
	if !ok {
		return
	}
	if err := r.handle(ctx, rd); err != nil {
		r.fail(err)
		return
	}
	r.publish()
	r.look(ctx)
}

func (r *raftActor) handle(ctx actor.Context, rd consensus.Ready) error {
	r.sendAll(rd.Now)
	if rd.Adopt != nil {
		if err := r.ledger.Adopt(rd.Adopt.Cursor, rd.Adopt.IDs); err != nil {
			return err
		}
	}
	if err := r.ledger.Save(rd.Save.Entries, rd.Save.Hard, rd.Save.Sync); err != nil {
		return err
	}
	r.sendAll(rd.After)
	r.commit(ctx, rd.Committed)
	for _, read := range rd.Reads {
		r.answerRead(read.Token, codec.Answer{Status: codec.CallOK, Index: read.Index})
	}
	for _, token := range rd.Dropped {
		r.answerRead(token, codec.Answer{Status: codec.CallNotLeader, Leader: r.leaderPeer()})
	}
	if err := r.core.Advance(); err != nil {
		return err
	}
	if err := r.ledger.SetRaftApplied(r.core.Applied(), r.core.Configuration()); err != nil {
		return err
	}
	if _, err := r.ledger.Seal(r.ledger.HardState().Commit); err != nil {
		return err
	}
	return r.ledger.MoveHorizon(r.core.Floor())
}

// commit hands decided entries to replay, or only their last index while too
// much is on the way.
func (r *raftActor) commit(ctx actor.Context, entries []codec.Entry) {
	if len(entries) == 0 {
		return
	}
	size := int64(0)
	for i := range entries {
		size += int64(len(entries[i].Data)) + 64
	}
	if r.credit.Load()+size > replayCredit {
		ctx.Send(r.replay, advance{to: lastIndex(entries)})
		return
	}
	r.credit.Add(size)
	ctx.Send(r.replay, committed{entries: entries, bytes: size})
}

func (r *raftActor) sendAll(messages []consensus.Message) {
	for i := range messages {
		m := &messages[i]
		peer, ok := r.route(m.To)
		sent := ok && r.network.SendRaft(peer, r.ledger.RaftID(), m.To, &codec.RaftBatch{Messages: [][]byte{m.Data}}, m.Heartbeat)
		if !sent && !m.Heartbeat {
			r.core.SendFailed(m.To, m.Snapshot)
		}
	}
}

func (r *raftActor) route(id codec.RaftID) (codec.PeerID, bool) {
	if m, ok := r.core.Configuration().Member(id); ok {
		return m.Peer, true
	}
	peer, ok := r.routes[id]
	return peer, ok
}
