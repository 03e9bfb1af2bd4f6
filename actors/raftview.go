package actors

import (
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
)

// consensusView is what others may know of consensus: an immutable picture.
type consensusView struct {
	open   bool // Raft runs
	status consensus.Status
	config codec.Configuration // raft-applied, or of the synced head
	leader codec.PeerID
	lead   bool
	member bool
	said   map[codec.RaftID]Said // by other members, of themselves
	role   codec.Role

	noQuorum *NoQuorum // nil: there is one, as far as is known
}

// progress tells the other members, each second, how far we are: the leader acts
// on it, the others show it.
func (r *raftActor) progress() {
	now := r.clock.Now()
	config := r.core.Configuration()
	if _, ok := config.Member(r.ledger.RaftID()); !ok || now.Sub(r.progressAt) < progressEvery {
		return // who is no member yet would be told that it was removed
	}
	r.progressAt = now
	p := &codec.Progress{Blocks: r.ledger.Head().Blocks, RaftApplied: r.core.Applied()}
	if held, ok := r.core.Held(); ok {
		p.PendingSnapshot = held.Cursor.Index
	}
	if v := r.replayV(); v != nil {
		p.MachineApplied, p.Digest = v.applied, v.block
	}
	for _, m := range config.Members {
		if m.RaftID != r.ledger.RaftID() {
			r.network.SendRaft(m.Peer, r.ledger.RaftID(), m.RaftID, p, true)
		}
	}
}

// progressed keeps what a member said of itself. The map is never changed, so
// that views may share it.
func (r *raftActor) progressed(m progressIn) {
	if r.core == nil {
		return
	}
	r.core.Progressed(m.from, m.progress)
	config := r.core.Configuration()
	if _, ok := config.Member(m.from); !ok {
		return
	}
	now := r.clock.Now()
	said := map[codec.RaftID]Said{m.from: {Progress: m.progress, PerSec: r.said[m.from].rate(m.progress, now), at: now}}
	for id, p := range r.said {
		if _, ok := config.Member(id); ok && id != m.from {
			said[id] = p
		}
	}
	r.said = said
}

func (r *raftActor) leaderPeer() codec.PeerID {
	if r.core == nil {
		return ""
	}
	peer, _ := r.route(r.core.Status().Leader)
	return peer
}

// publish shows the present state to others.
func (r *raftActor) publish() {
	v := &consensusView{config: r.ledger.HeadConfig(), said: r.said}
	if r.core != nil {
		v.open = true
		v.status = r.core.Status()
		v.config = v.status.Config
		v.lead = v.status.Lead
		v.leader = r.leaderPeer()
		if v.lead {
			v.leader = r.self
		}
		if v.lead || v.leader == "" {
			v.noQuorum = r.lost
		}
	}
	if m, ok := v.config.Member(r.ledger.RaftID()); ok {
		v.member, v.role = true, m.Role
		r.wasMember = r.core != nil
	}
	r.view.Store(v)
	r.lookForRemoval(v)
	if v.leader != r.seen {
		r.seen = v.leader
		r.onView(v)
	}
	if v.config.Index > r.known {
		r.known = v.config.Index
		r.network.Know(v.config.Members)
	}
}
