package consensus

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/logmesh/logmesh/codec"
)

// Promote makes a standby a voter now, where the steward would wait. A group
// that has all the voters it wants gets no more of them: instead names the voter
// that becomes a standby in its turn, or the target is raised first (Retarget).
// So nothing that an operator does is undone by the steward.
func (c *Core) Promote(id, instead codec.RaftID) codec.Answer {
	return c.call(func() codec.Answer {
		m, ok := c.members.Member(id)
		if !ok {
			return refused("%v is not a member", id)
		}
		c.look()
		if m.Role == codec.RoleVoter {
			return c.promoted(m, instead)
		}
		if why := c.mayNotVote(m, instead); why != "" {
			return refused("%s", why)
		}
		if why := c.notReady(m); why != "" {
			return c.notYet(why)
		}
		c.outgoing = instead
		return c.change(promote(m)) // a voter more, or a living one in another's place, costs no quorum
	})
}

// change proposes what an operator asked for.
func (c *Core) change(ch change) codec.Answer {
	switch err := c.proposeChange(ch); {
	case errors.Is(err, errUnsafe):
		return refused("%v", err)
	case err != nil:
		return unavailable(err.Error())
	}
	return unavailable("the change is under way")
}

// promoted answers for a member that votes already: another may still have to
// make place.
func (c *Core) promoted(m codec.Member, instead codec.RaftID) codec.Answer {
	out, ok := c.members.Member(instead)
	if !ok || out.Role != codec.RoleVoter {
		return c.ok()
	}
	if c.members.Voters() <= c.members.Target || instead == m.RaftID {
		return refused("%s is a voter already", name(m))
	}
	if instead == c.cfg.ID {
		return refused("%s leads: transfer leadership to another voter first", name(out))
	}
	c.outgoing = instead
	if err := c.steer(); err != nil {
		return unavailable(err.Error())
	}
	return unavailable(name(out) + " makes place for it")
}

// mayNotVote says why a member that does not vote shall not.
func (c *Core) mayNotVote(m codec.Member, instead codec.RaftID) string {
	out, ok := c.members.Member(instead)
	staying, _ := c.countVoters()
	switch {
	case m.Role == codec.RoleObserver:
		return name(m) + " is an observer, which never votes: start it again with --role voter"
	case c.isLeaving(m.RaftID) || c.superseded(m):
		return name(m) + " is being removed"
	case instead != 0 && (!ok || out.Role != codec.RoleVoter):
		return fmt.Sprintf("%v, which it shall replace, is not a voter", instead)
	case instead != 0 && instead == c.cfg.ID:
		return name(out) + " leads: transfer leadership to another voter first"
	case instead == 0 && staying >= c.members.Target:
		return fmt.Sprintf("the group has as many voters as it wants, %d: name the one that it shall replace, or raise the target", c.members.Target)
	}
	return ""
}

// Transfer hands leadership to a voter that replicates and whose machine is
// caught up. The answer is CallOK when it leads.
func (c *Core) Transfer(to codec.RaftID) codec.Answer {
	return c.call(func() codec.Answer {
		m, ok := c.members.Member(to)
		if !ok {
			return refused("%v is not a member", to)
		}
		c.look()
		switch why := c.notReady(m); {
		case to == c.cfg.ID:
			return c.ok()
		case m.Role != codec.RoleVoter:
			return refused("%s is a %v: only a voter can lead", name(m), m.Role)
		case c.transferring():
			return unavailable("leadership is being handed over")
		case why != "":
			return c.notYet(why)
		case !c.mayLead(m):
			return refused("%s is being removed", name(m))
		}
		c.logger.Info("handing leadership over", "to", to.String())
		c.rn.TransferLeader(uint64(to))
		return unavailable("leadership is being handed over")
	})
}

// Retarget changes how many voters the group wants; the steward then promotes
// standbys that are ready, or makes voters standbys, one at a time.
func (c *Core) Retarget(voters int) codec.Answer {
	return c.call(func() codec.Answer {
		if voters < 1 || voters > codec.MaxVoters {
			return refused("a target of %d voters: 1 to %d are allowed", voters, codec.MaxVoters)
		}
		self, ok := c.members.Member(c.cfg.ID)
		if c.members.Target == voters {
			return c.ok()
		}
		if !ok {
			return unavailable("the leader is leaving")
		}
		ch := change{id: self.RaftID, typ: raftpb.ConfChangeAddNode, ctx: codec.ConfigContext{Peer: self.Peer, Role: codec.RoleVoter, Target: voters}}
		return c.change(ch)
	})
}

// notReady says why another member could neither be promoted nor lead now; see
// look.
func (c *Core) notReady(m codec.Member) string {
	p := c.peer(m.RaftID)
	switch {
	case p.readyAt != 0:
		return ""
	case !c.active(m.RaftID):
		silent := time.Duration(c.silent(m.RaftID)) * c.cfg.Tick
		return fmt.Sprintf("%s has been silent for %v", name(m), silent.Round(time.Second))
	case !c.replicates(m.RaftID) || p.match+codec.BlockEntries < c.commit:
		return fmt.Sprintf("%s is catching up: its log trails by %d entries", name(m), c.commit-min(c.commit, p.match))
	case p.saidAt == 0 || c.now-p.saidAt > c.cfg.ticks(saidPatience):
		return name(m) + " has not said lately how far its machine is"
	}
	return fmt.Sprintf("%s is replaying: its machine trails by %d entries", name(m), c.commit-min(c.commit, p.said.MachineApplied))
}
