package consensus

import (
	"errors"

	"github.com/logmesh/logmesh/codec"
)

// replaying: our own machine trails.
func (c *Core) replaying() bool {
	return c.behind > 0 && !c.pace.caughtUp(c.commit-min(c.commit, c.behind), c.commit)
}

// Replaying says by how many entries our own machine trails commit, while it
// replays or otherwise; 0 at the end. A replaying leader hands over when it
// can, and a replaying member takes no leadership that is handed to it.
func (c *Core) Replaying(behind codec.Index) { c.behind = behind }

// handOver moves leadership away from a leader that replays or leaves, once an
// election timeout.
func (c *Core) handOver() {
	if !c.replaying() && !c.isLeaving(c.cfg.ID) || c.transferring() {
		return
	}
	if c.handed != 0 && c.now-c.handed < uint64(c.cfg.ElectionTicks) {
		return
	}
	if id, ok := c.heir(); ok {
		c.handed = c.now
		c.logger.Info("handing leadership over", "to", id.String())
		c.rn.TransferLeader(uint64(id))
	}
}

// heir is the voter that could lead, with the longest log.
func (c *Core) heir() (heir codec.RaftID, ok bool) {
	for _, m := range c.members.Members {
		if c.mayLead(m) && (!ok || c.peer(m.RaftID).match > c.peer(heir).match) {
			heir, ok = m.RaftID, true
		}
	}
	return heir, ok
}

func (c *Core) mayLead(m codec.Member) bool {
	if m.Role != codec.RoleVoter || m.RaftID == c.cfg.ID || c.isLeaving(m.RaftID) || c.superseded(m) {
		return false
	}
	_, ready := c.readyFor(m.RaftID)
	return ready
}

// HandOver hands leadership to whichever voter could lead best: before a stop,
// or when the disk is nearly full. It may be repeated: a transfer under way goes
// on.
func (c *Core) HandOver() error {
	return c.input(func() error {
		if !c.leading() {
			return ErrNotLeader
		}
		if c.transferring() {
			return nil
		}
		c.look()
		id, ok := c.heir()
		if !ok {
			return errors.New("hand over: no other voter is heard, near and caught up")
		}
		c.logger.Info("handing leadership over", "to", id.String())
		c.rn.TransferLeader(uint64(id))
		return nil
	})
}
