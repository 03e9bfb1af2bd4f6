package actors

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
	"github.com/logmesh/logmesh/internal/ledger"
)

const (
	slack         = 16 // blocks that Raft ships at the end of a session
	publishEvery  = 100 * time.Millisecond
	askAtOnce     = 16                     // peers that are asked over a stream without waiting for the gossip
	askDirectly   = 300 * time.Millisecond // after which bonded peers that gave no offer are asked over a stream
	checkEvery    = time.Second            // between questions how far the voters are
	probePatience = 5 * time.Second        // of a session at start that nobody answers
)

// Messages to the coordinator.
type (
	// syncWanted asks for a session. One that runs is widened instead.
	syncWanted struct {
		why    string
		until  codec.Index // the session goes on until the ledger has this index; 0: to the leader's head
		behind uint64      // with no until: end at once unless the leader's head is more than so many blocks ahead
		repair bool        // instead: fill the holes of the ledger, from anybody; its own tree proves the blocks
		reply  *actor.PID  // gets syncDone
	}
	// leaderSeen tells who leads, as consensus knows it. Empty: nobody.
	leaderSeen struct{ peer codec.PeerID }
	bondUp     struct{ peer codec.PeerID }
	bondDown   struct{ peer codec.PeerID }
	// syncWake is the plan's timer; syncCheck the coordinator's own.
	syncWake  struct{ session uint64 }
	syncCheck struct{ session uint64 }
)

// syncDone tells consensus that the ledger has reached what the voters agree on.
// err: the session failed.
type syncDone struct{ err error }

// coordinator is the actor that catches up. Its mind is a catchup.Plan, one for
// each sync session; it translates what happens into events, and effects into
// messages.
type coordinator struct {
	// set once
	self    codec.PeerID
	group   codec.GroupID
	ledger  *ledger.Ledger
	network Network
	clock   Clock
	log     *slog.Logger
	storer  *actor.PID
	fail    func(error)
	nonce   func() uint64
	trusted func(codec.PeerID) bool // it is one that this node was told to join
	trust   codec.SizedRoot         // pinned by hand; 0 blocks: none
	plain   bool                    // blocks are never wanted compressed
	ctx     context.Context         // ends with the group

	// shared
	view atomic.Pointer[syncView]

	// owned by the actor
	leader   codec.PeerID
	s        *syncSession
	asker    *actor.PID // who asked for a session last
	sessions uint64
	shown    time.Time // when the view was last stored
	fetchers map[codec.PeerID]*actor.PID
	dispute  *catchup.DisputeError // the first that was seen
	over     bool                  // the group stops: no session begins any more
}

func (c *coordinator) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case syncWanted:
		c.wanted(ctx, m)
	case leaderSeen:
		c.leaderIs(ctx, m.peer)
	case bondUp:
		c.bonded(ctx, m.peer)
	case bondDown:
		c.lost(ctx, m.peer)
	case offered:
		c.offered(ctx, m)
		m.done()
	case blockArrived:
		if c.s != nil {
			c.step(ctx, catchup.BlockArrived{
				Peer: m.peer, Lease: m.block.Lease, Number: m.block.Number, Data: m.block.Data, Leaf: m.leaf,
			})
		}
		m.done()
	case leavesArrived:
		c.step(ctx, catchup.LeavesArrived{Peer: m.peer, Leaves: m.leaves})
		m.done()
	case stated:
		c.stated(ctx, m)
	case leaseEnded:
		c.step(ctx, catchup.LeaseEnded{Peer: m.peer, End: m.end})
	case streamReset:
		c.reset(ctx, m)
	case stored:
		if c.s != nil && c.s.id == m.session {
			c.s.stored += m.entries
			c.step(ctx, catchup.Stored{Through: m.through, Bytes: m.bytes})
		}
	case storeFailed:
		if c.s != nil && c.s.id == m.session {
			c.finish(ctx, m.err)
		}
	case syncWake:
		if c.s != nil && c.s.id == m.session {
			c.step(ctx, catchup.Ticked{})
		}
	case syncCheck:
		if c.s != nil && c.s.id == m.session {
			c.check(ctx)
		}
	case *actor.Terminated:
		c.fetcherGone(ctx, m.Who)
	case *actor.Stopping: // messages still come until the fetchers have stopped
		c.quit()
		c.s, c.fetchers, c.over = nil, nil, true
	}
}

func (c *coordinator) ask(ctx actor.Context, peer codec.PeerID, sizes []uint64) {
	if peer == c.self {
		return
	}
	ctx.Send(c.fetcher(ctx, peer), ask{c.request(sizes)})
}

func (c *coordinator) request(sizes []uint64) codec.AvailabilityRequest {
	return codec.AvailabilityRequest{Group: c.group, Log: c.ledger.LogID(), Nonce: c.s.id, Requester: c.self, Sizes: sizes}
}

func (c *coordinator) broadcast() {
	if err := c.network.Broadcast(c.request(nil)); err != nil {
		c.log.Debug("availability request was not sent", "err", err)
	}
}

func (c *coordinator) lost(ctx actor.Context, peer codec.PeerID) {
	if c.s == nil {
		return
	}
	delete(c.s.offers, peer)
	delete(c.s.asked, peer)
	if c.s.agree != nil {
		c.s.agree.Gone(peer)
	}
	if pid := c.fetchers[peer]; pid != nil {
		delete(c.fetchers, peer)
		ctx.Stop(pid)
	}
	c.step(ctx, catchup.PeerLost{Peer: peer})
}

// leaderIs follows the leader that consensus knows, or that an offer names.
func (c *coordinator) leaderIs(ctx actor.Context, peer codec.PeerID) {
	if peer == c.leader || peer == "" {
		return
	}
	c.leader = peer
	if c.s != nil {
		c.step(ctx, catchup.LeaderChanged{Peer: peer})
	}
}

// step gives the plan an event and does what it asks for.
func (c *coordinator) step(ctx actor.Context, e catchup.Event) {
	if c.s == nil || c.s.finished {
		return
	}
	s := c.s
	for _, effect := range s.plan.Step(c.clock.Now().Sub(s.started), e) {
		c.do(ctx, effect)
		if c.s != s {
			return
		}
	}
	c.publish(false)
}

func (c *coordinator) do(ctx actor.Context, effect catchup.Effect) {
	switch e := effect.(type) {
	case catchup.Fetch:
		ctx.Send(c.fetcher(ctx, e.Peer), fetch{codec.Fetch{Lease: e.Lease, Tree: e.Tree, Leaves: e.Leaves, Ranges: e.Ranges}})
	case catchup.Extend:
		ctx.Send(c.fetcher(ctx, e.Peer), extend{codec.Extend{Lease: e.Lease, Seq: e.Seq, Ranges: e.Ranges}})
	case catchup.Trim:
		ctx.Send(c.fetcher(ctx, e.Peer), trim{codec.Trim{Lease: e.Lease, Seq: e.Seq, Place: e.Place}})
	case catchup.Cancel:
		ctx.Send(c.fetcher(ctx, e.Peer), cancel{e.Lease})
	case catchup.Release:
		ctx.Send(c.storer, release{session: c.s.id, first: e.First, blocks: e.Blocks, leaves: e.Leaves, fill: c.s.want.repair, reply: ctx.Self()})
	case catchup.Broadcast:
		c.broadcast()
	case catchup.Wake:
		c.wake(ctx, e.At)
	case catchup.Distrust:
		c.log.Warn("a peer served a bad block and is out for this catch-up", "peer", e.Peer, "err", e.Err)
	case catchup.Finish:
		c.s.finished = true
		if c.s.want.repair {
			c.filled(ctx)
		} else {
			c.arrived(ctx)
		}
	case catchup.Fail:
		c.finish(ctx, e.Err)
	}
}

func (c *coordinator) wake(ctx actor.Context, at time.Duration) {
	if c.s.stopWake != nil {
		c.s.stopWake()
	}
	self, root, id := ctx.Self(), ctx.ActorSystem().Root, c.s.id
	d := max(at-c.clock.Now().Sub(c.s.started), 0)
	c.s.stopWake = c.clock.AfterFunc(d, func() { root.Send(self, syncWake{id}) })
}

// fetcher is the fetch actor of a peer, started when it is first needed.
func (c *coordinator) fetcher(ctx actor.Context, peer codec.PeerID) *actor.PID {
	if pid := c.fetchers[peer]; pid != nil {
		return pid
	}
	stray := &c.s.stray
	props := actor.PropsFromProducer(func() actor.Actor {
		return witness{newFetcher(peer, c.network, c.clock, ctx.Self(), c.plain, c.log, stray)}
	})
	pid := ctx.SpawnPrefix(props, "fetcher-"+peer.Short()+"-")
	ctx.Watch(pid)
	c.fetchers[peer] = pid
	return pid
}

// fetcherGone handles a fetcher that ended by itself, which only a panic does.
func (c *coordinator) fetcherGone(ctx actor.Context, who *actor.PID) {
	for peer, pid := range c.fetchers {
		if pid.Equal(who) {
			delete(c.fetchers, peer)
			c.lost(ctx, peer)
			return
		}
	}
}

// reset tells the plan that a peer's stream broke.
func (c *coordinator) reset(ctx actor.Context, m streamReset) {
	if c.s != nil {
		delete(c.s.asked, m.peer) // the question may be lost
	}
	if m.lease == 0 {
		return
	}
	c.step(ctx, catchup.StreamReset{Peer: m.peer, Lease: m.lease})
}
