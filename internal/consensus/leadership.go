package consensus

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/logmesh/logmesh/codec"
)

// Times of the leader's rules. Config.Tick turns them into ticks.
const (
	machineLag   = 2 * time.Second  // a machine within this of commit is caught up
	readyLong    = 10 * time.Second // how long a standby must be ready to be promoted
	readyShort   = time.Second      // the same while the group is below its target
	saidPatience = 3 * time.Second  // a member's Progress, sent each second, is old after this
	leaveLease   = time.Minute      // a Leave or Remove is remembered so long
	floorLease   = time.Minute      // see Floor

	// machineSlack is how many entries a machine may trail commit and count as
	// caught up however long ago they were committed.
	machineSlack = 256
)

// leadership is what a leader keeps while it leads. peers is nil on a member
// that does not.
type leadership struct {
	peers         map[codec.RaftID]*peer
	since         uint64                  // the tick in which it began
	pendingConfig codec.Index             // no configuration is proposed before this is applied
	wantSealed    codec.Index             // what a snapshot waits for, 0: nothing
	unsent        []codec.RaftID          // snapshots that takeBack must report
	leaving       map[codec.RaftID]uint64 // until which tick a removal that was asked for stands
	outgoing      codec.RaftID            // the voter that goes when there is one too many; 0: any
	joining       map[codec.RaftID]lease
	handed        uint64 // the tick of the last attempt to hand over
}

// peer is what the leader knows of a member beside the library's Progress.
type peer struct {
	heardAt    uint64         // tick of its last message; 0: never
	said       codec.Progress // last
	saidAt     uint64         // tick; 0: never
	caughtUp   bool           // by what it said then
	readyAt    uint64         // tick since which it could be promoted; 0: it could not
	pending    codec.Index    // MsgSnap that it was sent
	moved      uint64         // tick in which it last came nearer to pending
	match      codec.Index    // as acknowledged
	grewAt     uint64         // tick in which match last grew
	superseded bool           // its peer joined under another id
}

// lease keeps the horizon below an index for a while.
type lease struct {
	index codec.Index
	until uint64 // tick
}

func newLeadership(now uint64) leadership {
	return leadership{
		peers: map[codec.RaftID]*peer{}, since: now,
		leaving: map[codec.RaftID]uint64{}, joining: map[codec.RaftID]lease{},
	}
}

func (l *leadership) peer(id codec.RaftID) *peer {
	p := l.peers[id]
	if p == nil {
		p = &peer{}
		l.peers[id] = p
	}
	return p
}

func (c *Core) heard(from codec.RaftID) {
	if !c.leading() {
		return
	}
	if _, ok := c.members.Member(from); ok {
		c.peer(from).heardAt = c.now
	}
}

// forget drops what was known of members that are none any more.
func (c *Core) forget() {
	for id := range c.peers {
		if _, ok := c.members.Member(id); !ok {
			delete(c.peers, id)
			delete(c.leaving, id)
			delete(c.joining, id)
		}
	}
	if m, _ := c.members.Member(c.outgoing); m.Role != codec.RoleVoter {
		c.outgoing = 0
	}
}

// silent is for how many ticks of this leadership a member was not heard.
func (c *Core) silent(id codec.RaftID) uint64 {
	if id == c.cfg.ID {
		return 0
	}
	return c.now - max(c.peer(id).heardAt, c.since)
}

// active: heard within two election timeouts.
func (c *Core) active(id codec.RaftID) bool {
	return c.silent(id) <= 2*uint64(c.cfg.ElectionTicks)
}

// heardLately: heard within two election timeouts, in this leadership.
func (c *Core) heardLately(id codec.RaftID) bool {
	return id == c.cfg.ID || c.peer(id).heardAt != 0 && c.active(id)
}

// machineReady: the member's machine follows commit, by a report that is not old.
func (c *Core) machineReady(id codec.RaftID) bool {
	p := c.peer(id)
	return p.saidAt != 0 && p.caughtUp && c.now-p.saidAt <= c.cfg.ticks(saidPatience)
}

func (c *Core) replicates(id codec.RaftID) (yes bool) {
	c.rn.WithProgress(func(other uint64, _ raft.ProgressType, pr tracker.Progress) {
		yes = yes || codec.RaftID(other) == id && pr.State == tracker.StateReplicate
	})
	return yes
}

// look brings the leader's notes up to date, once a tick.
func (c *Core) look() {
	c.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		rid := codec.RaftID(id)
		if rid == c.cfg.ID {
			return
		}
		p := c.peer(rid)
		if m := codec.Index(pr.Match); m > p.match || p.grewAt == 0 {
			p.match, p.grewAt = m, c.now
		}
		if pr.State == tracker.StateReplicate {
			delete(c.joining, rid)
		}
		ready := pr.State == tracker.StateReplicate && c.active(rid) && c.machineReady(rid) &&
			p.match+codec.BlockEntries >= c.commit
		switch {
		case !ready:
			p.readyAt = 0
		case p.readyAt == 0:
			p.readyAt = c.now
		}
	})
}

// readyFor is for how many ticks the member could have been promoted, or led.
func (c *Core) readyFor(id codec.RaftID) (ticks uint64, ready bool) {
	if p := c.peer(id); p.readyAt != 0 {
		return c.now - p.readyAt, true
	}
	return 0, false
}

// pace remembers the commit index of the last machineLag, a tick each.
type pace struct {
	ring []codec.Index
	next int
	full bool
}

func newPace(ticks uint64) pace { return pace{ring: make([]codec.Index, ticks)} }

func (p *pace) push(commit codec.Index) {
	p.ring[p.next] = commit
	p.next = (p.next + 1) % len(p.ring)
	p.full = p.full || p.next == 0
}

// caughtUp: a machine that applied up to here is within machineLag of commit,
// or within machineSlack entries.
func (p *pace) caughtUp(applied, commit codec.Index) bool {
	return applied+machineSlack >= commit || p.full && applied >= p.ring[p.next]
}
