package consensus

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/logmesh/logmesh/codec"
)

// Join adds a member as a learner. The joiner asks again until the answer is
// CallOK: its id is in the configuration. CallUnavailable: the change is under
// way, or cannot be proposed now. A member that asks for another role is given
// it, but for the leader itself.
func (c *Core) Join(peer codec.PeerID, j codec.Join) codec.Answer {
	return c.call(func() codec.Answer {
		if a, no := c.refuseJoin(peer, j); no {
			return a
		}
		if !c.replicates(j.RaftID) {
			c.joining[j.RaftID] = lease{index: j.Cursor.Index, until: c.now + c.cfg.ticks(floorLease)}
		}
		c.supersede(peer, j.RaftID)
		m, ok := c.members.Member(j.RaftID)
		if ok && (m.Role == j.Role || m.Role == codec.RoleVoter && j.Role == codec.RoleStandby || j.RaftID == c.cfg.ID) {
			return c.ok()
		}
		ch := change{
			id: j.RaftID, typ: raftpb.ConfChangeAddLearnerNode,
			ctx: codec.ConfigContext{Peer: peer, Role: j.Role, Addrs: j.Addrs},
		}
		if err := c.proposeChange(ch); err != nil {
			return unavailable(err.Error())
		}
		return unavailable("the configuration change is under way")
	})
}

// refuseJoin tells what asking again will not mend.
func (c *Core) refuseJoin(peer codec.PeerID, j codec.Join) (codec.Answer, bool) {
	m, exists := c.members.Member(j.RaftID)
	if at, was := c.members.RemovedAt(j.RaftID); was {
		return codec.Answer{Status: codec.CallRemoved, Index: at, Reason: "this node was removed from the group"}, true
	}
	refuse := func(format string, args ...any) (codec.Answer, bool) {
		return codec.Answer{Status: codec.CallRefused, Reason: fmt.Sprintf(format, args...)}, true
	}
	switch t, known := c.termAt(j.Cursor.Index); {
	case !validID(j.RaftID) || j.Role != codec.RoleStandby && j.Role != codec.RoleObserver:
		return refuse("raft id %v cannot join as %v", j.RaftID, j.Role)
	case exists && m.Peer != peer:
		return refuse("raft id %v belongs to another peer, %s", j.RaftID, m.Peer)
	case !exists && len(c.members.Members) >= codec.MaxMembers:
		return refuse("the group is full, %d members", codec.MaxMembers)
	case j.Cursor.Index > c.last():
		return unavailable(fmt.Sprintf("the log here ends at %d, before %v", c.last(), j.Cursor)), true
	case known && t != j.Cursor.Term:
		return refuse("index %d has term %d here, not %d: another history", j.Cursor.Index, t, j.Cursor.Term)
	}
	return codec.Answer{}, false
}

// supersede marks older incarnations of a peer that is here under a new id.
func (c *Core) supersede(peer codec.PeerID, now codec.RaftID) {
	for _, m := range c.members.Members {
		if m.Peer == peer {
			c.peer(m.RaftID).superseded = m.RaftID != now
		}
	}
}

// call runs a call on the leader, or says who leads.
func (c *Core) call(f func() codec.Answer) (a codec.Answer) {
	err := c.input(func() error {
		if c.leading() {
			a = f()
			return nil
		}
		a = codec.Answer{Status: codec.CallNotLeader}
		if m, ok := c.members.Member(c.lead); ok {
			a.Leader = m.Peer
		}
		return nil
	})
	if err != nil {
		return unavailable(err.Error())
	}
	return a
}

func (c *Core) ok() codec.Answer {
	return codec.Answer{Status: codec.CallOK, Index: c.members.Index, Config: c.members}
}

func unavailable(why string) codec.Answer {
	return codec.Answer{Status: codec.CallUnavailable, Reason: why}
}

func refused(format string, args ...any) codec.Answer {
	return codec.Answer{Status: codec.CallRefused, Reason: fmt.Sprintf(format, args...)}
}
