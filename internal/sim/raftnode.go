package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
)

// Times of the consensus actor, as in package actors.
const (
	tick          = 100 * time.Millisecond
	electionTime  = time.Second // at least, without a leader
	progressEvery = time.Second
	joinTimeout   = 10 * time.Second
	joinRetry     = 500 * time.Millisecond
	syncRetry     = time.Second
	noLeaderTicks = 5
)

// stage is a place in the handling of a Ready at which a member can crash.
type stage int

const (
	nowhere stage = iota
	beforeNow
	afterNow
	afterAdopt
	afterSave
	afterSend
	afterAdvance
	afterApplied
	afterSeal
	stages
)

var errCrashed = errors.New("crashed")

// view is what others on the node may know of consensus: an immutable picture.
type view struct {
	open, lead, member bool
	status             consensus.Status
	config             codec.Configuration
	leader             codec.PeerID
	role               codec.Role
}

// raftNode plays the consensus actor: it owns the Core and the raft view.
type raftNode struct {
	m    *member
	core *consensus.Core
	view view

	busy    bool // with the disk: what comes waits in inbox
	inbox   []func()
	looking bool
	ticking bool

	reads      map[uint64]func(codec.Answer)
	token      uint64
	routes     map[codec.RaftID]codec.PeerID
	joining    bool
	joinAfter  time.Duration
	syncing    bool
	syncFor    codec.Index
	leaderless int
	progressAt time.Duration
	seen       codec.PeerID
	wasMember  bool
}

func newRaftNode(m *member) *raftNode {
	return &raftNode{
		m: m, reads: map[uint64]func(codec.Answer){}, routes: map[codec.RaftID]codec.PeerID{},
		progressAt: -progressEvery, joinAfter: -1,
	}
}

// tell hands a message to the actor, which handles one at a time.
func (r *raftNode) tell(f func()) {
	if r.busy {
		r.inbox = append(r.inbox, f)
		return
	}
	f()
	r.look()
}

// look makes sure that Ready is looked at after what is in the mailbox now.
func (r *raftNode) look() {
	if r.looking || r.core == nil || r.busy || !r.m.up {
		return
	}
	r.looking = true
	r.m.after(0, func() {
		r.looking = false
		if !r.busy {
			r.ready()
		}
	})
}

// drain handles what came while the actor was busy.
func (r *raftNode) drain() {
	life := r.m.life
	for len(r.inbox) > 0 && !r.busy && r.m.life == life {
		f := r.inbox[0]
		r.inbox = r.inbox[1:]
		f()
	}
	if r.m.life == life {
		r.look()
	}
}

func (r *raftNode) started() {
	if !r.m.ledger.HasRaftView() {
		r.publish()
		r.sync(want{})
		return
	}
	if err := r.open(); err != nil {
		r.m.fail(err)
		return
	}
	r.sync(want{behind: 64})
	r.look()
}

func (r *raftNode) open() error {
	d := r.m.ledger
	adopted, err := d.AdoptHead()
	if err != nil {
		return fmt.Errorf("adopt the synced log: %w", err)
	}
	if adopted {
		r.m.w.reached["adoption at open"]++
		r.m.w.adopted(r.m, d.HeadCursor())
	}
	applied, members := d.RaftApplied()
	hard := d.HardState()
	if r.m.w.faults.ForgetVote {
		hard.Vote = 0
	}
	core, err := consensus.Open(consensus.Config{
		ID: d.RaftID(), Log: d, Hard: hard, Applied: applied, Members: members,
		Sealed: d.Sealed, BlockOf: d.BlockOf, Tick: tick, ReplaceDead: r.m.w.scenario.ReplaceDead,
		HorizonBlocks: r.m.w.scenario.Horizon, HeartbeatTicks: r.m.w.scenario.Heartbeat,
	})
	if err != nil {
		return fmt.Errorf("open Raft: %w", err)
	}
	r.core = core
	r.m.w.opened(r.m)
	r.m.replay.advance(max(d.HardState().Commit, d.HeadCursor().Index))
	for _, p := range r.m.bondedPeers() {
		r.bond(p, true)
	}
	r.publish()
	return nil
}

// tickOn sends a tick every 100 ms, but never a second one while the first
// still waits.
func (r *raftNode) tickOn() {
	if !r.ticking {
		r.ticking = true
		r.tell(r.tick)
	}
	r.m.after(tick, r.tickOn)
}

func (r *raftNode) tick() {
	r.ticking = false
	if r.core == nil {
		return
	}
	commit := r.view.status.Commit
	r.core.Replaying(commit - min(r.m.replay.core.Applied(), commit))
	r.core.Tick()
	if err := r.core.Failed(); err != nil {
		r.m.fail(err)
		return
	}
	if r.stepHeld(); !r.m.up {
		return
	}
	r.progress()
	r.keepJoining()
	r.lookForLeader()
	r.publish()
}

func (r *raftNode) bond(peer codec.PeerID, up bool) {
	if r.core == nil {
		return
	}
	for _, m := range r.core.Configuration().Members {
		if m.Peer == peer {
			r.core.Bond(m.RaftID, up)
		}
	}
}

// leaderPeer is who leads, as far as this member knows.
func (r *raftNode) leaderPeer() codec.PeerID {
	if r.core == nil {
		return ""
	}
	peer, _ := r.route(r.core.Status().Leader)
	return peer
}

func (r *raftNode) route(id codec.RaftID) (codec.PeerID, bool) {
	if m, ok := r.core.Configuration().Member(id); ok {
		return m.Peer, true
	}
	peer, ok := r.routes[id]
	return peer, ok
}

// publish shows the present state to the rest of the node.
func (r *raftNode) publish() {
	id := r.m.ledger.RaftID()
	v := view{config: r.m.ledger.HeadConfig()}
	if r.core != nil {
		v.open = true
		v.status = r.core.Status()
		v.config, v.lead = v.status.Config, v.status.Lead
		v.leader, _ = r.route(v.status.Leader)
		if v.lead {
			v.leader = r.m.peer
		}
	}
	if m, ok := v.config.Member(id); ok {
		v.member, v.role = true, m.Role
		r.wasMember = r.core != nil
	}
	led := r.view.lead && r.view.status.Term == v.status.Term
	r.view = v
	if v.lead && !led {
		r.m.w.leads(r.m, v.status.Term)
	}
	if r.wasMember && !v.member {
		r.wasMember = false
		r.m.fail(errRemoved)
		return
	}
	if v.leader != r.seen {
		r.seen = v.leader
		r.m.coord.leaderIs(v.leader)
		r.m.client.repropose()
	}
}
