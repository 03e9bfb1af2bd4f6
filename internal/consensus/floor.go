package consensus

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/logmesh/logmesh/codec"
)

// maxHorizons bounds how far a lease holds the horizon back, in horizons.
const maxHorizons = 4

// Floor is the lowest index that the horizon must not hide, so that members
// which are about to need it find it: 0 when there is no such. On the leader it
// follows
//   - a joiner's cursor until it replicates, for 60 s after it asked;
//   - a pending snapshot, for 60 s after its member last came nearer to it;
//   - a member that replicates, for 60 s after its last acknowledgement that
//     brought anything;
//
// each only within four horizons of the newest sealed block: one slow member
// must not keep everybody's log.
func (c *Core) Floor() codec.Index {
	if !c.leading() || c.failed != nil {
		return 0
	}
	lowest := codec.Index(0)
	keep := func(i codec.Index) {
		if (lowest == 0 || i < lowest) && c.withinReach(i) {
			lowest = i
		}
	}
	for _, l := range c.joining {
		if c.now <= l.until {
			keep(l.index + 1)
		}
	}
	span := c.cfg.ticks(floorLease)
	c.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		p := c.peer(codec.RaftID(id))
		switch {
		case codec.RaftID(id) == c.cfg.ID:
		case pr.State == tracker.StateSnapshot && (p.pending != codec.Index(pr.PendingSnapshot) || c.now-p.moved <= span):
			keep(codec.Index(pr.PendingSnapshot) + 1)
		case pr.State == tracker.StateReplicate && c.now-p.grewAt <= span:
			keep(codec.Index(pr.Match) + 1)
		}
	})
	return lowest
}

// withinReach: no more than maxHorizons horizons of sealed blocks lie from i on.
func (c *Core) withinReach(i codec.Index) bool {
	sealed, _ := c.cfg.Sealed()
	if i > sealed.Index {
		return true
	}
	newest, _, err := c.cfg.BlockOf(sealed.Index)
	if err != nil {
		return false
	}
	number, _, err := c.cfg.BlockOf(i)
	return err == nil && newest-number < maxHorizons*uint64(c.cfg.HorizonBlocks)
}
