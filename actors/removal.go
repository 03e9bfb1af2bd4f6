package actors

import (
	"github.com/logmesh/logmesh/codec"
)

// A node learns that it is no member any more from the log, from the answer to
// its Leave or Join, or, when it was away, from any member that it sends Raft
// messages to.

// removedFrom reports whether the sender of m, under the raft id from, was removed
// by an entry that is applied here, and at which index. One that is only unknown
// here may be newer than our configuration. But whoever sends Progress is a
// member by its own log: if it has applied less than our configuration, which
// does not have it, then it was removed in between.
func removedFrom(config codec.Configuration, from codec.RaftID, m codec.Message) (codec.Index, bool) {
	if _, member := config.Member(from); member {
		return 0, false
	}
	if at, was := config.RemovedAt(from); was {
		return at, true
	}
	p, ok := m.(*codec.Progress)
	return config.Index, ok && p.RaftApplied < config.Index
}

// removed takes what a peer says, if it can be: we are a member by what we have
// applied, and the removal comes after that.
func (r *raftActor) removed(m removedIn) {
	if r.core == nil {
		return
	}
	config := r.core.Configuration()
	if _, member := config.Member(r.ledger.RaftID()); !member || m.index <= config.Index {
		return
	}
	r.log.Info("a peer says that this node was removed", "peer", m.peer, "index", uint64(m.index))
	r.gone(m.index)
}

// lookForRemoval finds our removal in what was applied.
func (r *raftActor) lookForRemoval(v *consensusView) {
	at, was := v.config.RemovedAt(r.ledger.RaftID())
	switch {
	case was:
		r.gone(at)
	case r.wasMember && !v.member:
		r.gone(v.config.Index)
	}
}

// gone ends the group here: this node was removed by the entry at index. It is
// noted in the ledger, so that no later start asks to be added again.
func (r *raftActor) gone(index codec.Index) {
	if r.isGone {
		return
	}
	r.isGone = true
	if err := r.ledger.SetRemoved(index); err != nil {
		r.log.Warn("the removal is not noted; the next start will hear of it again", "err", err)
	}
	r.fail(&RemovedError{Index: index})
}
