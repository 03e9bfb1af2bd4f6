package actors

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/ledger"
)

const (
	progressEvery = time.Second // a member's Progress to the others
	joinTimeout   = 10 * time.Second
	joinRetry     = 500 * time.Millisecond
	syncRetry     = time.Second // after a sync session without which Raft cannot be opened failed
	maxRoutes     = 1024
	noLeaderTicks = 5           // elections without a leader after which peers are asked
	slowDisk      = time.Second // a sync longer than that, and a leader hands over
)

// Messages to consensus.
type (
	// tick is the passing of Config.Tick. taken is called before the next is sent.
	tick struct{ taken func() }
	// raftIn is a batch of marshalled Raft messages. done is called once they
	// were stepped.
	raftIn struct {
		peer     codec.PeerID
		from     codec.RaftID
		messages [][]byte
		done     func()
	}
	progressIn struct {
		from     codec.RaftID
		progress codec.Progress
		done     func()
	}
	// removedIn is what a peer says: we were removed by the entry at index.
	removedIn struct {
		peer  codec.PeerID
		index codec.Index
	}
	// removedHere is the same, as the leader answered us.
	removedHere struct{ index codec.Index }
	// asked is a call, local or from a peer. reply has capacity 1.
	asked struct {
		peer  codec.PeerID
		m     codec.Message
		reply chan<- codec.Answer
	}
	// saved says that the Ready which is with the saver is durable.
	saved struct{}
	// lookAtReady comes after every message that was in the mailbox before it.
	lookAtReady struct{}
	// syncAgain comes a while after a joiner's sync session failed.
	syncAgain struct{}
	joined    struct {
		answer codec.Answer
		err    error
	}
	// handOver asks a leader to hand over to whichever voter can take it.
	handOver struct{}
)

// raftActor is the consensus actor. It owns the Raft core and the raft view.
type raftActor struct {
	// set once
	self    codec.PeerID
	role    codec.Role // what we ask to join as
	addrs   func() []string
	ledger  *ledger.Ledger
	network Network
	clock   Clock
	log     *slog.Logger
	replay  *actor.PID
	saver   *actor.PID
	replayV func() *replayView
	credit  *credit // of replay
	coord   *actor.PID
	fail    func(error)
	tickD   time.Duration
	dead    time.Duration
	ctx     context.Context // ends with the group
	onView  func(*consensusView)

	// shared
	view atomic.Pointer[consensusView]

	// owned by the actor
	core       *consensus.Core
	looking    bool
	saving     *consensus.Ready // with the saver
	savingFrom time.Time
	told       codec.Index // replay may read up to here
	proposals  []proposal  // for the next Ready
	reads      map[uint64]chan<- codec.Answer
	token      uint64
	routes     map[codec.RaftID]codec.PeerID // who sent as this id, for ids outside the configuration
	joining    bool                          // a Join is under way
	joinAfter  time.Time
	repairing  bool // the ledger has holes; core is nil
	syncing    bool
	syncFor    codec.Index // index of the held snapshot that the session is for
	leaderless int
	progressAt time.Time
	seen       codec.PeerID // the leader that the coordinator was told
	said       map[codec.RaftID]Said
	known      codec.Index // configuration that the network was told
	wasMember  bool        // Raft's configuration has had us since it was opened
	isGone     bool        // this node was removed
	lost       *NoQuorum   // nil: a majority of the voters is reachable
}

func (r *raftActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.started(ctx)
	case tick:
		m.taken()
		r.tick(ctx)
	case raftIn:
		r.raftIn(m)
		m.done()
	case progressIn:
		r.progressed(m)
		m.done()
	case removedIn:
		r.removed(m)
	case removedHere:
		r.gone(m.index)
	case bondUp:
		r.bond(m.peer, true)
	case bondDown:
		r.bond(m.peer, false)
	case asked:
		r.asked(m)
	case syncDone:
		r.syncDone(ctx, m.err)
	case syncAgain:
		r.begin(ctx)
	case joined:
		r.joined(m)
	case handOver:
		r.handOver()
	case saved:
		r.saved(ctx)
		return
	case lookAtReady:
		r.looking = false
		r.ready(ctx)
		return
	case *actor.Stopping:
		r.dropReads(codec.CallUnavailable, ErrStopped.Error())
		return
	}
	r.look(ctx)
}

// look makes sure that Ready is looked at after what is in the mailbox now, so
// that many proposals share one sync.
func (r *raftActor) look(ctx actor.Context) {
	if r.looking || r.core == nil {
		return
	}
	r.looking = true
	ctx.Send(ctx.Self(), lookAtReady{})
}

func (r *raftActor) started(ctx actor.Context) {
	r.reads = map[uint64]chan<- codec.Answer{}
	r.routes = map[codec.RaftID]codec.PeerID{}
	r.begin(ctx)
}

// open opens the RawNode. A synced view that is ahead of what Raft had is
// adopted first.
func (r *raftActor) open(ctx actor.Context) error {
	if _, err := r.ledger.AdoptHead(); err != nil {
		return fmt.Errorf("adopt the synced log: %w", err)
	}
	applied, members := r.ledger.RaftApplied()
	core, err := consensus.Open(consensus.Config{
		ID: r.ledger.RaftID(), Log: r.ledger, Hard: r.ledger.HardState(), Applied: applied, Members: members,
		Sealed:  r.ledger.Sealed,
		BlockOf: r.ledger.BlockOf, Tick: r.tickD, ReplaceDead: r.dead, Logger: r.log,
	})
	if err != nil {
		return fmt.Errorf("open Raft: %w", err)
	}
	r.core = core
	ctx.Send(r.replay, advance{to: max(r.ledger.HardState().Commit, r.ledger.HeadCursor().Index)})
	for _, p := range r.network.Bonds() {
		r.bond(p, true)
	}
	r.publish()
	return nil
}

func (r *raftActor) tick(ctx actor.Context) {
	if err := r.ledger.Damaged(); err != nil { // whoever met it
		r.fail(err)
		return
	}
	if r.core == nil {
		return
	}
	if v := r.replayV(); v != nil {
		commit := r.core.Status().Commit
		r.core.Replaying(commit - min(v.applied, commit))
	}
	r.core.Tick()
	if r.ledger.Full(r.clock.Now()) || r.stalled() {
		_ = r.core.HandOver() // nobody who could take it: reads go on here
	}
	if err := r.core.Failed(); err != nil {
		r.fail(err)
		return
	}
	r.stepHeld(ctx)
	r.progress()
	r.keepJoining(ctx)
	r.lookForLeader(ctx)
	r.lookForQuorum()
	r.publish()
}

// stalled reports whether the disk has not ended a sync for long.
func (r *raftActor) stalled() bool {
	return r.saving != nil && r.clock.Now().Sub(r.savingFrom) >= slowDisk
}

// bond tells the core that a member's connection came or went.
func (r *raftActor) bond(peer codec.PeerID, up bool) {
	if r.core == nil {
		return
	}
	for _, m := range r.core.Configuration().Members {
		if m.Peer == peer { // under more than one id for a moment, when it came back without its directory
			r.core.Bond(m.RaftID, up)
		}
	}
}

// handOver moves leadership away before a stop.
func (r *raftActor) handOver() {
	if r.core == nil {
		return
	}
	if err := r.core.HandOver(); err != nil {
		r.log.Debug("leadership was not handed over", "err", err)
	}
}
