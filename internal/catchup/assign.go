package catchup

import (
	"cmp"
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// assign hands out holes until no peer can take more.
func (p *Plan) assign() {
	for _, x := range p.peers {
		p.shrink(x)
		x.idle = p.cannot(x)
	}
	for _, x := range p.hungry() {
		if !p.leafLease(x) {
			x.idle = p.feed(x)
		}
	}
	p.leastBad()
}

// cannot says why a peer must not be given work now, whatever there is.
func (p *Plan) cannot(x *peer) Reason {
	switch {
	case x.out != nil:
		return ReasonOut
	case !x.here:
		return ReasonGone
	case x.lease != nil && !x.lease.open():
		return ReasonNone // its End is on the way
	case x.lease == nil && p.now < x.rest:
		return ReasonRest
	case !p.aimed:
		return ReasonTarget
	case p.now < x.pace && (p.spared(x) || p.alone(x)):
		return ReasonSpared
	}
	return ReasonNone
}

// hungry are the peers that want work, the neediest first: without a lease,
// then by what they gave so far, so that a scarce window is shared.
func (p *Plan) hungry() []*peer {
	var list []*peer
	for _, x := range p.peers {
		if x.idle == ReasonNone && p.wants(x) {
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b *peer) int {
		switch {
		case a.lease == nil && b.lease != nil:
			return -1
		case a.lease != nil && b.lease == nil:
			return 1
		}
		return cmp.Compare(p.gave(a), p.gave(b))
	})
	return list
}

// gave is what a peer gave so far, for the order of turns: the leader's counts
// more while two others could serve in its place.
func (p *Plan) gave(x *peer) uint64 {
	if x.id != p.leader || p.serving() < 3 {
		return x.bytes
	}
	return x.bytes * sparing
}

func (p *Plan) serving() (n int) {
	for _, x := range p.peers {
		if x.serves() {
			n++
		}
	}
	return n
}

// wants reports whether a peer's open work has come down to half.
func (p *Plan) wants(x *peer) bool {
	switch {
	case !x.serves():
		return false
	case x.lease == nil:
		return true
	case !x.lease.open() || p.spared(x) || p.alone(x):
		return false
	}
	return x.owed(p.mean) <= p.portion(x)/2
}

// portion is how many bytes of open work a peer should have.
func (p *Plan) portion(x *peer) float64 {
	if x.strikes > 0 {
		return p.mean // until it has proved itself again
	}
	most := min(leaseMax, float64(p.cfg.Window)/float64(2*max(p.serving(), 1)))
	size := float64(leaseCold)
	if rate := x.rate.rate(); rate > 0 {
		size = rate * max(leaseTime, leaseTrips*x.trip).Seconds()
	}
	switch {
	case p.spared(x):
		size /= sparing
	case p.alone(x):
		size = leaseCold
	}
	return max(min(size, most), p.mean)
}

// spared reports whether x is the leader and two others serve, so that it
// should give less.
func (p *Plan) spared(x *peer) bool {
	if x.id != p.leader {
		return false
	}
	others := 0
	for _, y := range p.peers {
		if y != x && y.flying() && p.now-y.lease.heard < hedgeTime {
			others++
		}
	}
	return others >= 2
}

// alone reports whether x is the leader, and the session so young that others
// may yet offer: they get their chance before the leader gives everything.
func (p *Plan) alone(x *peer) bool {
	return x.id == p.leader && p.now-p.began < leaderAlone && p.serving() < 3
}

// leaderRate is the rate by which a spared leader is held back. One that serves
// single blocks now and then looks faster than it would be, so it counts no more
// than the fastest of the others, unless they are another kind altogether.
func (p *Plan) leaderRate(x *peer) float64 {
	own, best := x.rate.rate(), 0.0
	for _, y := range p.peers {
		if y != x && y.flying() {
			best = max(best, y.rate.recent(p.now))
		}
	}
	if best < own/leaderBurst {
		return own
	}
	return min(own, best)
}

// feed gives a peer what there is for it, and says why if that is nothing.
func (p *Plan) feed(x *peer) Reason {
	start, ok := p.pick(x)
	if !ok {
		return p.takeOver(x)
	}
	size := p.portion(x) - x.owed(p.mean)
	blocks := uint64(max(1, min(size/p.mean, leaseBlocks)))
	if room := p.room(); room < blocks {
		if room == 0 && !p.floorFree(x) {
			return p.full()
		}
		blocks = max(room, 1)
	}
	p.grant(x, p.collect(x, start, p.wholeGroups(start, blocks)), false)
	return ReasonNone
}

// room is how many blocks the window still admits.
func (p *Plan) room() uint64 { return uint64(max(0, p.left()/p.mean)) }

// left is how many bytes of the window are neither held nor leased; negative
// when blocks came larger than thought.
func (p *Plan) left() float64 {
	return float64(p.cfg.Window-p.queue.held) - float64(p.leased)*p.mean
}

// floorFree reports whether the floor block is a hole that x can fill. It is
// admitted into a full window once; and always when nothing that is held can
// leave without it.
func (p *Plan) floorFree(x *peer) bool {
	if !p.free.has(p.queue.floor) || !holds(x.fit, p.queue.floor) {
		return false
	}
	return p.left() > -p.mean || p.queue.unstored+p.queue.ready == 0
}

// full says why the window is: for the disk, or for an earlier block.
func (p *Plan) full() Reason {
	if p.queue.unstored+p.queue.ready >= p.cfg.Window/2 {
		return ReasonDisk
	}
	return ReasonWindow
}

// pick is where in the log x should go on: at the lowest hole that it can fill,
// or so far above the floor that the others do not get there before it does.
func (p *Plan) pick(x *peer) (uint64, bool) {
	r, ok := p.free.first(0, x.fit)
	if !ok || p.room() == 0 {
		return r.From, ok
	}
	others, shared := p.others(x, r.From)
	if !shared {
		return r.From, true
	}
	late := x.ready(p.mean, p.mean) - hedgeTime
	ahead := uint64(max(0, min(others*late.Seconds()/p.mean, float64(p.cfg.Window)/p.mean, leaseBlocks)))
	if r.From-p.queue.floor >= ahead {
		return r.From, true
	}
	if far, ok := p.free.first(p.queue.floor+ahead, x.fit); ok {
		return far.From, true
	}
	end, ok := p.free.last(x.fit, 1)
	return end.From, ok
}

// others is how fast the other peers are together, in bytes/s, and whether one
// that is at work has block n too.
func (p *Plan) others(x *peer, n uint64) (rate float64, shared bool) {
	for _, y := range p.peers {
		if y == x || !y.flying() {
			continue
		}
		rate += y.rate.rate()
		shared = shared || holds(y.fit, n)
	}
	return rate, shared
}

// collect is up to blocks holes that x can fill, from start on.
func (p *Plan) collect(x *peer, start, blocks uint64) []codec.BlockRange {
	var list []codec.BlockRange
	for blocks > 0 && len(list) < codec.MaxRanges {
		r, ok := p.free.first(start, x.fit)
		if !ok {
			break
		}
		r.To = min(r.To, r.From+blocks)
		list = append(list, r)
		blocks -= r.Len()
		start = r.To
	}
	return list
}

// open begins a lease that nothing was asked for in yet.
func (p *Plan) open(x *peer, root codec.SizedRoot) {
	x.numbers++
	x.lease = &lease{number: x.numbers, root: root, opened: p.now, heard: p.now}
	x.rate.start(p.now)
	p.fit(x)
}

// grant asks x for ranges: of holes, or for a hedge of what another owes. It
// returns how many blocks were asked for: as many as fit a message.
func (p *Plan) grant(x *peer, ranges []codec.BlockRange, hedge bool) (blocks uint64) {
	fresh := x.lease == nil
	if fresh {
		p.open(x, p.proofs.rootFor(x.head))
	} else {
		x.lease.seq++
	}
	wants := p.marked(ranges)
	for _, w := range wants {
		r := codec.BlockRange{From: w.From, To: w.To}
		x.lease.ask(r, hedge)
		x.lease.needed += r.Len()
		p.lend(r)
		blocks += r.Len()
	}
	switch {
	case p.spared(x) && x.rate.rate() > 0:
		x.pace = p.now + take(float64(blocks)*p.mean*sparing, p.leaderRate(x))
	case p.alone(x):
		x.pace = p.began + leaderAlone
	}
	if fresh {
		p.do(Fetch{Peer: x.id, Lease: x.lease.number, Tree: x.lease.root.Blocks, Ranges: wants})
	} else {
		p.do(Extend{Peer: x.id, Lease: x.lease.number, Seq: x.lease.seq, Ranges: wants})
	}
	return blocks
}

// lend marks missing blocks as owed by one lease more.
func (p *Plan) lend(r codec.BlockRange) {
	for n := r.From; n < r.To; n++ {
		s := p.queue.at(n)
		if s.owed == 0 {
			p.leased++
		}
		s.owed++
	}
	p.free.remove(r.From, r.To)
}

// leastBad tries a resting peer when nothing is in flight and every peer that
// could fill a hole rests.
func (p *Plan) leastBad() {
	x := p.leastBadPeer()
	if x == nil || p.now < x.retry {
		return
	}
	x.idle = p.feed(x)
}

func (p *Plan) leastBadPeer() (best *peer) {
	if !p.aimed || p.free.empty() || p.flying() {
		return nil
	}
	for _, x := range p.peers {
		if x.idle != ReasonRest {
			continue
		}
		if _, ok := p.free.first(0, x.fit); !ok {
			continue
		}
		if best == nil || x.retry < best.retry || x.retry == best.retry && x.strikes < best.strikes {
			best = x
		}
	}
	return best
}

// flying reports whether anything is on its way.
func (p *Plan) flying() bool {
	return slices.ContainsFunc(p.peers, (*peer).flying)
}

// shrink trims a lease that has grown far beyond its size because blocks got
// larger than they were when it was granted.
func (p *Plan) shrink(x *peer) {
	if x.lease == nil || !x.lease.open() || x.lease.owed < 4 || x.owed(p.mean) <= leaseMax {
		return
	}
	if size := p.portion(x); x.owed(p.mean) > 3*size {
		p.trim(x, uint64(max(1, size/p.mean)))
	}
}

// takeOver gives an idle peer the tail of the lease that would end last, in
// proportion to speed. It is only called when there is no hole that it can fill.
func (p *Plan) takeOver(x *peer) Reason {
	if x.lease != nil {
		return ReasonNone
	}
	slowest := p.slowest(x)
	if slowest == nil {
		return p.nothing(x)
	}
	keep := p.share(x, slowest)
	if keep >= slowest.lease.owed {
		return ReasonAsked
	}
	p.trim(slowest, keep)
	first, ok := p.free.first(0, x.fit)
	if !ok {
		return ReasonAsked
	}
	p.grant(x, p.collect(x, first.From, leaseBlocks), false)
	return ReasonNone
}

func (p *Plan) nothing(x *peer) Reason {
	if _, ok := p.free.first(0, x.held); ok {
		return ReasonProof
	}
	for _, y := range p.peers {
		if y.flying() && len(x.fit) > 0 {
			return ReasonAsked
		}
	}
	return ReasonNothing
}

// slowest is the peer other than x whose lease would end last, of those that
// can be trimmed and whose last block x has.
func (p *Plan) slowest(x *peer) (last *peer) {
	var end time.Duration
	for _, y := range p.peers {
		if y == x || !y.flying() || !y.lease.open() {
			continue
		}
		if n := y.lease.todo[len(y.lease.todo)-1].to - 1; !holds(x.fit, n) || !p.queue.missing(n) {
			continue
		}
		t := y.ready(p.mean, 0)
		if p.silent(y) {
			t += time.Hour
		}
		if t > end {
			last, end = y, t
		}
	}
	return last
}

// share is how many of the blocks that y owes it should keep so that x, which
// takes the rest, ends together with it; all, if that gains little.
func (p *Plan) share(x, y *peer) uint64 {
	if p.silent(y) {
		return y.lease.owed - p.tailFor(x, y, y.lease.owed)
	}
	owed := y.owed(p.mean)
	rx, ry := x.speed(), y.speed()
	move := (owed*rx - x.trip.Seconds()*rx*ry) / (rx + ry)
	certain := ry * (3*y.trip/2 + takeOverSlack).Seconds() // on its way already
	move = min(move, owed-certain)
	blocks := uint64(max(0, move/p.mean))
	if take(float64(blocks)*p.mean, ry) < takeOverGain {
		return y.lease.owed
	}
	return y.lease.owed - min(p.tailFor(x, y, blocks), y.lease.owed)
}

// silent reports whether a peer that owes blocks has not been heard for so long
// that another would be asked for the floor.
func (p *Plan) silent(x *peer) bool {
	return x.flying() && p.now-x.lease.heard >= x.hedgeAfter()
}

// tailFor is how many blocks at the end of y's list, at most limit, are missing,
// owed by y alone, and held by x.
func (p *Plan) tailFor(x, y *peer, limit uint64) (n uint64) {
	for _, s := range slices.Backward(y.lease.todo) {
		for b := s.to; b > s.from && n < limit; b-- {
			if !holds(x.fit, b-1) || !p.queue.missing(b-1) || p.queue.at(b-1).owed != 1 {
				return n
			}
			n++
		}
	}
	return n
}

const (
	takeOverSlack = 50 * time.Millisecond // beyond the round trips, what may be in the stream
	takeOverGain  = 100 * time.Millisecond
)
