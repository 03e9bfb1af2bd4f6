package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
)

// asked answers a call, at once or, for ReadIndex, when a quorum has confirmed
// that we lead.
func (r *raftActor) asked(m asked) {
	if r.core == nil {
		m.reply <- codec.Answer{Status: codec.CallUnavailable, Reason: "this node is still joining", Config: r.ledger.HeadConfig()}
		return
	}
	switch q := m.m.(type) {
	case *codec.Propose:
		r.propose(q, m.reply)
	case *codec.ReadIndex:
		r.readIndex(m.reply)
	case *codec.Join:
		m.reply <- r.hint(r.core.Join(m.peer, *q))
	case *codec.Leave:
		m.reply <- r.hint(r.leave(m.peer, q.RaftID))
	case *codec.Remove:
		m.reply <- r.hint(r.core.Remove(q.RaftID))
	case *codec.Promote:
		m.reply <- r.hint(r.core.Promote(q.RaftID, q.Instead))
	case *codec.Transfer:
		m.reply <- r.hint(r.core.Transfer(q.RaftID))
	case *codec.Retarget:
		m.reply <- r.hint(r.core.Retarget(int(q.Voters)))
	case *codec.Members:
		m.reply <- codec.Answer{Status: codec.CallOK, Leader: r.leaderPeer(), Config: r.core.Configuration()}
	default:
		m.reply <- codec.Answer{Status: codec.CallRefused, Reason: fmt.Sprintf("%T is not a question", q)}
	}
}

// hint adds who leads to an answer.
func (r *raftActor) hint(a codec.Answer) codec.Answer {
	if a.Leader == "" {
		a.Leader = r.leaderPeer()
	}
	return a
}

func (r *raftActor) readIndex(reply chan<- codec.Answer) {
	r.token++
	if err := r.core.ReadIndex(r.token); err != nil {
		reply <- codec.Answer{Status: codec.CallNotLeader, Leader: r.leaderPeer()}
		return
	}
	r.reads[r.token] = reply
}

func (r *raftActor) answerRead(token uint64, a codec.Answer) {
	if reply := r.reads[token]; reply != nil {
		delete(r.reads, token)
		reply <- a
	}
}

func (r *raftActor) dropReads(status codec.CallStatus, reason string) {
	for token := range r.reads {
		r.answerRead(token, codec.Answer{Status: status, Reason: reason})
	}
}

// leave removes a member at its own wish only.
func (r *raftActor) leave(peer codec.PeerID, id codec.RaftID) codec.Answer {
	m, ok := r.core.Configuration().Member(id)
	if ok && m.Peer != peer {
		return codec.Answer{Status: codec.CallRefused, Reason: "a member can only leave by itself"}
	}
	return r.core.Leave(id)
}

// keepJoining asks to be added to the group until the configuration has us, as
// an observer or as one that may vote, whichever this node was started as.
func (r *raftActor) keepJoining(ctx actor.Context) {
	if r.joining || r.clock.Now().Before(r.joinAfter) {
		return
	}
	m, ok := r.core.Configuration().Member(r.ledger.RaftID())
	if ok && (m.Role == codec.RoleObserver) == (r.role == codec.RoleObserver) {
		return
	}
	applied, _ := r.ledger.RaftApplied()
	term, err := r.ledger.Term(applied)
	if err != nil && applied > 0 {
		r.fail(fmt.Errorf("term of index %d: %w", applied, err))
		return
	}
	q := &codec.Join{RaftID: r.ledger.RaftID(), Role: codec.RoleStandby, Addrs: r.addrs(), Cursor: codec.Cursor{Index: applied, Term: term}}
	if r.role == codec.RoleObserver {
		q.Role = codec.RoleObserver
	}
	r.joining = true
	first := r.leaderPeer()
	self, root := ctx.Self(), ctx.ActorSystem().Root
	go func() {
		c, cancel := context.WithTimeout(r.ctx, joinTimeout)
		defer cancel()
		answer, err := callLeader(c, r.network, first, r.self, q)
		root.Send(self, joined{answer, err})
	}()
}

func (r *raftActor) joined(m joined) {
	r.joining = false
	r.joinAfter = r.clock.Now().Add(joinRetry)
	switch {
	case m.err != nil:
		r.log.Debug("asking to join failed; trying again", "err", m.err)
	case m.answer.Status == codec.CallRemoved:
		r.gone(m.answer.Index)
	case m.answer.Status == codec.CallRefused:
		r.log.Warn("the group refuses to add this node; trying again", "reason", m.answer.Reason)
		r.joinAfter = r.clock.Now().Add(10 * joinRetry)
	case m.answer.Status == codec.CallOK:
		r.joinAfter = r.clock.Now().Add(joinTimeout) // the entry comes by itself
	}
}

// callLeader asks whoever leads: first the peer that is thought to, then those
// that answers hint at, then every bonded peer.
func callLeader(ctx context.Context, n Network, first, self codec.PeerID, m codec.Message) (codec.Answer, error) {
	tried := map[codec.PeerID]bool{self: true, "": true}
	candidates := append([]codec.PeerID{first}, n.Bonds()...)
	last := codec.Answer{Status: codec.CallNotLeader}
	err := errNobody
	for len(candidates) > 0 {
		peer := candidates[0]
		candidates = candidates[1:]
		if tried[peer] {
			continue
		}
		tried[peer] = true
		var a codec.Answer
		if a, err = n.Call(ctx, peer, m); err != nil {
			if ctx.Err() != nil {
				return last, ctx.Err()
			}
			continue
		}
		if a.Status != codec.CallNotLeader && a.Status != codec.CallUnavailable {
			return a, nil
		}
		last = a
		if !tried[a.Leader] {
			candidates = append([]codec.PeerID{a.Leader}, candidates...)
		}
	}
	if last.Status == codec.CallNotLeader && err != nil && last.Leader == "" {
		return last, err
	}
	return last, nil
}

var errNobody = errors.New("no peer answers")

const (
	maxRaft   = 64  // messages of Raft streams that may wait for consensus at once
	maxOffers = 256 // one-shot offers that may wait for the coordinator at once
)

// MaxCalls is how many calls may wait for consensus at once.
const MaxCalls = 4096

// callTimeout bounds a call that came without a deadline.
const callTimeout = 30 * time.Second
