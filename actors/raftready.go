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

// ready proposes what waits and does what the core asks for, in the order that
// durability needs: first what waits for no save, also while the saver has the last
// Ready.
func (r *raftActor) ready(ctx actor.Context) {
	if r.core == nil {
		return
	}
	r.proposeAll()
	if rd, ok := r.core.Early(); ok {
		r.give(ctx, rd)
		r.publish()
	}
	if r.saving != nil {
		return
	}
	rd, ok := r.core.Ready()
	switch {
	case !ok:
	case rd.Save.Sync || rd.Adopt != nil:
		r.saving, r.savingFrom = &rd, r.clock.Now()
		ctx.Send(r.saver, save{adopt: rd.Adopt, Save: rd.Save, reply: ctx.Self()})
	default:
		if err := r.ledger.Save(rd.Save.Entries, rd.Save.Hard, false); err != nil {
			r.fail(err)
			return
		}
		r.finish(ctx, rd)
	}
}

// saved goes on with the Ready that is durable now.
func (r *raftActor) saved(ctx actor.Context) {
	rd := *r.saving
	r.saving = nil
	r.finish(ctx, rd)
}

// finish does what may follow only after the save.
func (r *raftActor) finish(ctx actor.Context, rd consensus.Ready) {
	r.sendAll(rd.After)
	r.give(ctx, rd)
	if err := r.advance(ctx); err != nil {
		r.fail(err)
		return
	}
	r.publish()
	r.look(ctx)
}

// give sends and hands over what needs no save, or was saved.
func (r *raftActor) give(ctx actor.Context, rd consensus.Ready) {
	r.sendAll(rd.Now)
	r.commit(ctx, rd.Committed)
	for _, read := range rd.Reads {
		r.answerRead(read.Token, codec.Answer{Status: codec.CallOK, Index: read.Index})
	}
	for _, token := range rd.Dropped {
		r.answerRead(token, codec.Answer{Status: codec.CallNotLeader, Leader: r.leaderPeer()})
	}
}

// advance tells core and ledger that a Ready is done, and lets replay read up to
// what is known to be committed.
func (r *raftActor) advance(ctx actor.Context) error {
	if err := r.core.Advance(); err != nil {
		return err
	}
	commit := r.ledger.HardState().Commit
	if commit > r.told {
		r.told = commit
		ctx.Send(r.replay, advance{to: commit})
	}
	blocks, err := r.ledger.Seal(commit)
	if err != nil {
		return err
	}
	return r.note(blocks > 0)
}

// note stores raft-applied and moves the horizon, when a block was sealed or the
// configuration changed: an older value found after a crash only means that Raft
// passes over the same entries again.
func (r *raftActor) note(sealed bool) error {
	config := r.core.Configuration()
	if _, stored := r.ledger.RaftApplied(); !sealed && stored.Index == config.Index {
		return nil
	}
	if err := r.ledger.SetRaftApplied(r.core.Applied(), config); err != nil {
		return err
	}
	return r.ledger.MoveHorizon(r.core.Floor())
}

// commit hands decided entries to replay, unless too much is on the way already:
// it then reads them in the ledger, when advance lets it.
func (r *raftActor) commit(ctx actor.Context, entries []codec.Entry) {
	if len(entries) == 0 {
		return
	}
	if size := sizeOf(entries); r.credit.take(size) {
		ctx.Send(r.replay, committed{entries: entries, bytes: size})
	}
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
