package sim

import (
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
)

// called answers a question of a peer, or our own.
func (r *raftNode) called(peer codec.PeerID, q codec.Message, reply func(codec.Answer)) {
	r.tell(func() {
		if r.core == nil {
			reply(codec.Answer{Status: codec.CallUnavailable, Reason: "this node is still joining"})
			return
		}
		switch q := q.(type) {
		case *codec.Propose:
			reply(r.propose(q))
		case *codec.ReadIndex:
			r.readIndex(reply)
		case *codec.Join:
			reply(r.hint(r.core.Join(peer, *q)))
		case *codec.Leave:
			reply(r.hint(r.leave(peer, q.RaftID)))
		case *codec.Members:
			reply(codec.Answer{Status: codec.CallOK, Leader: r.leaderPeer(), Config: r.core.Configuration()})
		default:
			reply(codec.Answer{Status: codec.CallRefused, Reason: fmt.Sprintf("%T is not a question", q)})
		}
	})
}

func (r *raftNode) hint(a codec.Answer) codec.Answer {
	if a.Leader == "" {
		a.Leader = r.leaderPeer()
	}
	return a
}

func (r *raftNode) propose(q *codec.Propose) codec.Answer {
	n, err := r.core.Propose(q.Commands)
	a := codec.Answer{Status: codec.CallOK, Index: codec.Index(n)}
	switch {
	case errors.Is(err, consensus.ErrNotLeader):
		a.Status = codec.CallNotLeader
	case errors.Is(err, consensus.ErrNoQuorum):
		a.Status = codec.CallNoQuorum
	case err != nil:
		a.Status, a.Reason = codec.CallRefused, err.Error()
	}
	return r.hint(a)
}

func (r *raftNode) readIndex(reply func(codec.Answer)) {
	if r.m.w.faults.StaleRead && r.view.lead {
		reply(codec.Answer{Status: codec.CallOK, Index: r.view.status.Commit})
		return
	}
	r.token++
	if err := r.core.ReadIndex(r.token); err != nil {
		reply(codec.Answer{Status: codec.CallNotLeader, Leader: r.leaderPeer()})
		return
	}
	r.reads[r.token] = reply
}

func (r *raftNode) answerRead(token uint64, a codec.Answer) {
	if reply := r.reads[token]; reply != nil {
		delete(r.reads, token)
		reply(a)
	}
}

func (r *raftNode) leave(peer codec.PeerID, id codec.RaftID) codec.Answer {
	m, ok := r.core.Configuration().Member(id)
	if ok && m.Peer != peer {
		return codec.Answer{Status: codec.CallRefused, Reason: "a member can only leave by itself"}
	}
	return r.core.Leave(id)
}

// keepJoining asks to be added to the group until the configuration has us.
func (r *raftNode) keepJoining() {
	m := r.m
	if r.joining || m.w.time.now < r.joinAfter {
		return
	}
	if _, ok := r.core.Configuration().Member(m.ledger.RaftID()); ok {
		return
	}
	applied, _ := m.ledger.RaftApplied()
	term, err := m.ledger.Term(applied)
	if err != nil && applied > 0 {
		m.fail(fmt.Errorf("term of index %d: %w", applied, err))
		return
	}
	q := &codec.Join{RaftID: m.ledger.RaftID(), Role: codec.RoleStandby, Cursor: codec.Cursor{Index: applied, Term: term}}
	if m.wish == codec.RoleObserver {
		q.Role = codec.RoleObserver
	}
	r.joining = true
	m.callLeader(q, r.leaderPeer(), func(a codec.Answer, err error) { r.tell(func() { r.joined(a, err) }) })
}

func (r *raftNode) joined(a codec.Answer, err error) {
	r.joining = false
	r.joinAfter = r.m.w.time.now + joinRetry
	switch {
	case err != nil:
	case a.Status == codec.CallRefused:
		r.joinAfter = r.m.w.time.now + 10*joinRetry
	case a.Status == codec.CallOK:
		r.joinAfter = r.m.w.time.now + joinTimeout
	}
}

// callLeader asks whoever leads: first the peer that is thought to, then those
// that answers hint at, then every bonded peer.
func (m *member) callLeader(q codec.Message, first codec.PeerID, done func(codec.Answer, error)) {
	tried := map[codec.PeerID]bool{m.peer: true, "": true}
	candidates := append([]codec.PeerID{first}, m.bondedPeers()...)
	until := m.w.time.now + joinTimeout
	last, err := codec.Answer{Status: codec.CallNotLeader}, errNoLeader
	var next func()
	next = func() {
		for len(candidates) > 0 && tried[candidates[0]] {
			candidates = candidates[1:]
		}
		if len(candidates) == 0 || m.w.time.now >= until {
			done(last, err)
			return
		}
		peer := candidates[0]
		tried[peer] = true
		m.w.net.call(m, m.w.byPeer[peer], q, until-m.w.time.now, func(a codec.Answer, failed error) {
			if err = failed; err == nil {
				if a.Status != codec.CallNotLeader && a.Status != codec.CallUnavailable {
					done(a, nil)
					return
				}
				last = a
				if !tried[a.Leader] {
					candidates = append([]codec.PeerID{a.Leader}, candidates...)
				}
			}
			next()
		})
	}
	next()
}

// askLeader asks whoever leads by this node's view: itself without the network.
func (m *member) askLeader(q codec.Message, done func(codec.Answer, error)) {
	v := &m.raft.view
	remote := func() {
		if v := &m.raft.view; v.leader != "" && v.leader != m.peer {
			m.w.net.call(m, m.w.byPeer[v.leader], q, proposeTimeout, done)
			return
		}
		m.after(0, func() { done(codec.Answer{Status: codec.CallNotLeader}, nil) })
	}
	if !v.lead {
		remote()
		return
	}
	m.raft.called(m.peer, q, func(a codec.Answer) {
		if a.Status == codec.CallNotLeader {
			remote()
			return
		}
		m.after(0, func() { done(a, nil) })
	})
}

// leave asks to be removed until the configuration does not have this node any
// more.
func (m *member) leave() {
	if !m.up || !m.leaving {
		return
	}
	m.askLeader(&codec.Leave{RaftID: m.ledger.RaftID()}, func(a codec.Answer, err error) {
		switch {
		case err == nil && a.Status == codec.CallRefused:
			m.leaving = false
			return
		case err == nil && a.Status == codec.CallOK:
			m.fail(errRemoved)
			return
		}
		m.after(noLeaderPause, m.leave)
	})
}
