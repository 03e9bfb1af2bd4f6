package catchup

import (
	"slices"
	"strings"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// Plan is one sync session. It is not safe for concurrent use: one actor owns
// it and does its effects in order.
type Plan struct {
	cfg     Config
	now     time.Duration
	begun   bool
	began   time.Duration
	effects []Effect

	target uint64
	aimed  bool // the target is known
	ended  bool
	err    error
	leader codec.PeerID

	byID  map[codec.PeerID]*peer
	peers []*peer // by id
	// servers is how many of them serve, as of the last event.
	servers int

	free   blockSet // holes below the target
	queue  queue
	proofs proofs
	leased uint64  // missing blocks that are in a lease's list
	mean   float64 // bytes of a block, lately
	sized  bool    // mean was measured

	leafAgain time.Duration // no lease for leaves alone before

	hedging  int64         // bytes that hedges may still cost
	earned   int64         // arrived bytes that were not yet turned into hedging
	flown    time.Duration // when something was last in flight, or nothing to do
	unserved unserved
	asked    time.Duration // the last broadcast
	ask      time.Duration // the next one
	askAfter time.Duration // the pause after it
	wake     time.Duration // the Wake that stands; 0: none
	dice     dice

	doneBytes uint64
	rate      meter
	lull      lull
	grows     growth
	bound     since
	stats     Stats
}

// unserved is a hole without a holder.
type unserved struct {
	is    bool
	block uint64
	since time.Duration
}

// New begins a session. Its first effects come from the first Step.
func New(cfg Config) *Plan {
	cfg = cfg.withDefaults()
	p := &Plan{
		cfg:      cfg,
		byID:     map[codec.PeerID]*peer{},
		queue:    queue{base: cfg.From, floor: cfg.From, stored: cfg.From},
		target:   cfg.From,
		mean:     firstMean,
		hedging:  hedgeFirst,
		askAfter: askMin,
		dice:     dice{state: cfg.Seed},
		stats:    Stats{Dropped: map[Drop]uint64{}, Idle: map[Reason]time.Duration{}, Waited: map[Reason]time.Duration{}},
	}
	if cfg.Target > 0 {
		p.aim(cfg.Target)
	}
	return p
}

// Step tells the plan what happened, and returns what to do, in order. now is
// the time since any fixed point; it never goes back. The slice is the caller's.
func (p *Plan) Step(now time.Duration, e Event) []Effect {
	if p.ended {
		return nil
	}
	p.now = max(p.now, now)
	if !p.begun {
		p.begun, p.began, p.ask, p.flown = true, p.now, p.now, p.now
		p.rate.start(p.now)
	}
	if p.wake > 0 && p.now-p.wake > lateTime {
		p.wake = 0
		p.clocks() // we were not running, and what came meanwhile is still queued
	}
	p.handle(e)
	p.release()
	p.count()
	if !p.finish() {
		p.serve()
	}
	p.account()
	effects := p.effects
	p.effects = nil
	return effects
}

func (p *Plan) handle(e Event) {
	switch e := e.(type) {
	case PeerOffered:
		p.offered(e)
	case PeerLost:
		p.lost(e)
	case BlockArrived:
		p.blockArrived(e)
	case LeavesArrived:
		p.leavesArrived(e)
	case RootAgreed:
		p.rootAgreed(codec.SizedRoot{Blocks: e.Blocks, Root: e.Root})
	case LeaseEnded:
		p.leaseEnded(e)
	case StreamReset:
		p.streamReset(e)
	case Stored:
		p.doneBytes += uint64(p.queue.store(e.Through))
	case LeaderChanged:
		p.leader = e.Peer
	case Ticked:
		p.wake = 0
		p.survey()
	}
}

// count keeps servers.
func (p *Plan) count() {
	p.servers = 0
	for _, x := range p.peers {
		if x.serves() {
			p.servers++
		}
	}
}

// serve looks after the clocks and hands out work.
func (p *Plan) serve() {
	p.watch()
	p.assign()
	p.broadcast()
	if p.fail() {
		return
	}
	if p.flying() || p.free.empty() {
		p.flown = p.now
	}
	p.setWake()
}

func (p *Plan) do(e Effect) { p.effects = append(p.effects, e) }

func (p *Plan) drop(why Drop) { p.stats.Dropped[why]++ }

// aim moves the target up to n blocks.
func (p *Plan) aim(n uint64) {
	p.aimed = true
	defer func() { p.grows.see(p.now, p.target) }()
	if n <= p.target {
		return
	}
	p.free.add(p.target, n)
	p.target = n
	p.survey()
}

// clocks sets the peers' clocks anew after a time in which we did not listen:
// nobody is blamed for it.
func (p *Plan) clocks() {
	for _, x := range p.peers {
		if x.lease != nil {
			x.lease.heard = p.now
			x.rate.start(p.now)
		}
	}
}

// release hands on what is here in order. What comes while an earlier Release is
// being stored goes together into the next: the slower the disk's syncs, the fewer
// there are.
func (p *Plan) release() {
	q := &p.queue
	if q.ready > 0 && q.unstored == 0 {
		p.do(q.release(max(p.cfg.Window/releaseShare, 1)))
	}
	p.proofs.forget(q.floor)
}

// finish ends the session when everything is stored.
func (p *Plan) finish() bool {
	if !p.aimed || p.queue.stored < p.target {
		return false
	}
	p.end(nil)
	p.do(Finish{})
	return true
}

// fail ends the session when a block had no holder for too long.
func (p *Plan) fail() bool {
	due := func() bool { return p.unserved.is && p.now-p.unserved.since >= p.cfg.Patience }
	if !due() {
		return false
	}
	if p.survey(); !due() { // a late block may have filled it
		return false
	}
	u := p.unserved
	err := &UnservedError{Block: u.block, Waited: p.now - u.since, Peers: p.servers}
	p.end(err)
	p.do(Fail{Err: err})
	return true
}

func (p *Plan) end(err error) {
	p.ended, p.err = true, err
	for _, x := range p.peers {
		if x.lease != nil && !x.lease.cancelled {
			x.lease.cancelled = true
			p.do(Cancel{Peer: x.id, Lease: x.lease.number})
		}
	}
}

// survey looks for a hole that nobody holds.
func (p *Plan) survey() {
	block, is := p.lowestUnheld()
	switch {
	case !is:
		p.unserved = unserved{}
	case p.unserved.is:
		p.unserved.block = block
	default:
		p.unserved = unserved{is: true, block: block, since: p.now}
		p.ask, p.askAfter = min(p.ask, p.now), askMin
	}
}

// lowestUnheld is the lowest hole without a holder; with no target, any block
// while there is no peer.
func (p *Plan) lowestUnheld() (uint64, bool) {
	var union blockSet
	none := true
	for _, x := range p.peers {
		if !x.serves() {
			continue
		}
		none = false
		for _, r := range p.servable(x) {
			union.add(r.From, r.To)
		}
	}
	if !p.aimed {
		return p.cfg.From, none
	}
	for _, r := range p.free.ranges {
		for _, h := range union.ranges {
			if h.From <= r.From && r.From < h.To {
				r.From = min(h.To, r.To)
			}
		}
		if r.From < r.To {
			return r.From, true
		}
	}
	return 0, false
}

// broadcast asks everybody again while blocks are missing, less and less often.
func (p *Plan) broadcast() {
	if p.now < p.ask || p.aimed && p.queue.floor >= p.target {
		return
	}
	p.do(Broadcast{})
	p.asked = p.now
	p.ask = p.now + p.dice.spread(p.askAfter)
	p.askAfter = min(2*p.askAfter, askMax)
}

// refresh asks again when a peer idles whose offer is older than the target, so
// that it may have more by now.
func (p *Plan) refresh() {
	if p.free.empty() {
		return
	}
	for _, x := range p.peers {
		waits := x.idle == ReasonNothing || x.idle == ReasonAsked
		if waits && x.head < p.target && x.asOf < p.target {
			p.ask = min(p.ask, max(p.now, p.asked+askIdle))
			return
		}
	}
}

// find is the peer, here or gone; nil if it never offered.
func (p *Plan) find(id codec.PeerID) *peer { return p.byID[id] }

// meet is find, or a new peer.
func (p *Plan) meet(id codec.PeerID) *peer {
	if x := p.byID[id]; x != nil {
		return x
	}
	x := &peer{id: id, numbers: p.cfg.Lease, lull: &p.lull}
	i, _ := slices.BinarySearchFunc(p.peers, id, func(x *peer, id codec.PeerID) int {
		return strings.Compare(string(x.id), string(id))
	})
	p.peers = slices.Insert(p.peers, i, x)
	p.byID[id] = x
	return x
}
