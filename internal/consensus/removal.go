package consensus

import (
	"fmt"
	"strings"

	"github.com/logmesh/logmesh/codec"
)

// What follows, and what operator.go has, is asked of the leader again and again
// until the answer is CallOK: what was asked is then so, and asking once more
// changes nothing. CallUnavailable: it is under way, or must wait for another
// change. CallRefused: not as things stand, and why.

// Leave removes a member at its own wish: Remove, but that one which is no
// member any more has left.
func (c *Core) Leave(id codec.RaftID) codec.Answer {
	return c.call(func() codec.Answer {
		if m, ok := c.members.Member(id); ok {
			return c.depart(m)
		}
		return c.ok()
	})
}

// Remove takes a member out of the group, alive or not. A leader hands leadership
// over first, and is removed by the next one. It is refused if the voters that
// are heard from would be no majority of those that are left, counting a standby
// that is ready and takes the place.
func (c *Core) Remove(id codec.RaftID) codec.Answer {
	return c.call(func() codec.Answer {
		if m, ok := c.members.Member(id); ok {
			return c.depart(m)
		}
		if _, was := c.members.RemovedAt(id); was {
			return c.ok()
		}
		return refused("%v is not a member", id)
	})
}

func (c *Core) depart(m codec.Member) codec.Answer {
	c.look()
	if a, no := c.mustStay(m); no {
		return a
	}
	c.leaving[m.RaftID] = c.now + c.cfg.ticks(leaveLease)
	c.handOver()
	if err := c.steer(); err != nil {
		return unavailable(err.Error())
	}
	switch {
	case m.RaftID == c.cfg.ID && c.members.Voters() == 1:
		return unavailable("a standby takes its place first")
	case m.RaftID == c.cfg.ID:
		return unavailable("leadership is handed over first")
	}
	return unavailable("it is being removed")
}

// mustStay says why the group cannot do without a member now.
func (c *Core) mustStay(m codec.Member) (codec.Answer, bool) {
	rest := c.members.Without(m.RaftID)
	if m.Role != codec.RoleVoter || c.safe(rest) {
		return codec.Answer{}, false
	}
	for _, s := range rest.Members {
		if s.Role != codec.RoleStandby || c.isLeaving(s.RaftID) || c.superseded(s) {
			continue
		}
		s.Role = codec.RoleVoter
		if _, ready := c.readyFor(s.RaftID); ready && c.safe(rest.With(s)) {
			return codec.Answer{}, false // it is promoted first
		}
	}
	delete(c.leaving, m.RaftID)
	if rest.Voters() == 0 {
		return refused("it is the last voter, and no standby is ready to take its place"), true
	}
	return c.notYet(fmt.Sprintf("no quorum would be left: %d voters, without a word from %s", rest.Voters(), names(c.unheard(rest)))), true
}

// notYet refuses because of what the leader has not heard; one that is new does not
// know yet, and lets the caller ask again.
func (c *Core) notYet(why string) codec.Answer {
	if c.now-c.since <= 2*uint64(c.cfg.ElectionTicks) {
		return unavailable("the leader is new, and as yet " + why)
	}
	return refused("%s", why)
}

// name is how people know a member.
func name(m codec.Member) string { return m.Peer.Short() }

func names(members []codec.Member) string {
	out := make([]string, len(members))
	for i, m := range members {
		out[i] = name(m)
	}
	return strings.Join(out, ", ")
}
