package actors

import (
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// NoQuorum says that fewer voters than a majority are reachable from this node,
// and that nobody leads who might reach more.
type NoQuorum struct {
	Reachable, Voters int            // voters with a bond, ourselves included, of all
	Missing           []codec.PeerID // voters without one, sorted
	Since             time.Time      // when the majority was lost from sight
}

// lookForQuorum compares the voters with the bonds, each tick.
func (r *raftActor) lookForQuorum() {
	q := unreachable(r.core.Configuration(), r.self, r.network.Bonds())
	if q != nil {
		q.Since = r.clock.Now()
		if r.lost != nil {
			q.Since = r.lost.Since
		}
	}
	r.lost = q
}

// unreachable is nil if self and those that it has bonds with are a majority of
// the voters, or if there are none yet.
func unreachable(c codec.Configuration, self codec.PeerID, bonds []codec.PeerID) *NoQuorum {
	q := &NoQuorum{Voters: c.Voters()}
	for _, m := range c.Members {
		switch {
		case m.Role != codec.RoleVoter:
		case m.Peer == self || slices.Contains(bonds, m.Peer):
			q.Reachable++
		default:
			q.Missing = append(q.Missing, m.Peer)
		}
	}
	if q.Voters == 0 || q.Reachable >= c.Quorum() {
		return nil
	}
	slices.Sort(q.Missing)
	return q
}

// NoQuorum is nil while a majority of the voters is reachable, or somebody else
// leads.
func (g *Group) NoQuorum() *NoQuorum {
	if v := g.view(); v != nil {
		return v.noQuorum
	}
	return nil
}
