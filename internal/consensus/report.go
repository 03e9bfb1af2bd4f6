package consensus

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/logmesh/logmesh/codec"
)

// snapshotPatience is how long a member may be silent about the MsgSnap that it
// was sent.
const snapshotPatience = 10 * time.Second

// A leader that sent a MsgSnap waits in StateSnapshot, and sends nothing, until
// it hears of it. The member may have lost it, by a restart or on the way, so
// there are four reports, each ReportSnapshot(failure): its bond is new, the
// send failed, no progress for snapshotPatience, and an acknowledgement at or
// above the pending snapshot that did not end the state (we compacted past it).
// The library then probes, and sends a new MsgSnap if it must.

// Bond says that a member's connection came or went.
func (c *Core) Bond(id codec.RaftID, up bool) {
	_ = c.input(func() error {
		c.rn.ReportUnreachable(uint64(id))
		if up {
			c.rn.ReportSnapshot(uint64(id), raft.SnapshotFailure)
			if p := c.peers[id]; p != nil {
				p.pending = 0
			}
		}
		if id == c.unpause.leader {
			c.unpause = unpause{} // it may have sent us what was lost
		}
		return nil
	})
}

// SendFailed says that a message to a member was not sent. Heartbeats need no
// word.
func (c *Core) SendFailed(to codec.RaftID, snapshot bool) {
	_ = c.input(func() error {
		if snapshot {
			c.rn.ReportSnapshot(uint64(to), raft.SnapshotFailure)
		} else {
			c.rn.ReportUnreachable(uint64(to))
		}
		return nil
	})
}

// Progressed takes what a member said of itself. Only a leader listens.
func (c *Core) Progressed(from codec.RaftID, p codec.Progress) {
	if c.failed != nil || !c.leading() {
		return
	}
	if _, ok := c.members.Member(from); !ok {
		return
	}
	peer := c.peer(from)
	if p.PendingSnapshot != 0 && (p.PendingSnapshot != peer.said.PendingSnapshot || p.Blocks > peer.said.Blocks) {
		peer.moved = c.now
	}
	peer.said, peer.saidAt, peer.heardAt = p, c.now, c.now
	peer.caughtUp = c.pace.caughtUp(p.MachineApplied, c.commit)
}

// watchSnapshots makes the third and fourth report.
func (c *Core) watchSnapshots() {
	patience := c.cfg.ticks(snapshotPatience)
	var failed []codec.RaftID
	c.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if codec.RaftID(id) == c.cfg.ID {
			return
		}
		peer := c.peer(codec.RaftID(id))
		switch {
		case pr.State != tracker.StateSnapshot:
			peer.pending = 0
		case peer.pending != codec.Index(pr.PendingSnapshot):
			peer.pending, peer.moved = codec.Index(pr.PendingSnapshot), c.now
		case pr.Match >= pr.PendingSnapshot, c.now-peer.moved >= patience:
			failed = append(failed, codec.RaftID(id))
			peer.pending = 0
		}
	})
	for _, id := range failed {
		c.rn.ReportSnapshot(uint64(id), raft.SnapshotFailure)
	}
}
