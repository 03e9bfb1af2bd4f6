package catchup

import (
	"cmp"
	"slices"

	"github.com/logmesh/logmesh/codec"
)

// assign hands out holes until no peer can take more.
func (p *Plan) assign() {
	for _, x := range p.peers {
		p.shrink(x)
		x.idle = p.cannot(x)
	}
	p.rescue()
	for _, x := range p.hungry() {
		if !p.leafLease(x) {
			x.idle = p.feed(x)
		}
	}
	p.leastBad()
	p.refresh()
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

// hungry are the peers that want work, those that failed lately last, and else the
// neediest first: without a lease, then by what they gave so far, so that a scarce
// window is shared.
func (p *Plan) hungry() []*peer {
	var list []*peer
	for _, x := range p.peers {
		if x.idle == ReasonNone && p.wants(x) {
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b *peer) int {
		switch {
		case (a.strikes == 0) != (b.strikes == 0):
			return cmp.Compare(a.strikes, b.strikes)
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
	if x.id != p.leader || p.servers < 3 {
		return x.bytes
	}
	return x.bytes * sparing
}

// wants reports whether a peer's open work comes to its end.
func (p *Plan) wants(x *peer) bool {
	switch {
	case !x.serves():
		return false
	case x.lease == nil:
		return true
	case !p.extends(x):
		return false
	}
	return x.left(p.now, p.mean) <= p.nearEnd(x)
}

// extends reports whether a peer's open lease may grow.
func (p *Plan) extends(x *peer) bool {
	return x.lease != nil && x.lease.open() && !p.spared(x) && !p.alone(x)
}

// nearEnd is how many bytes before its list's end a peer gets more, so that the
// Extend is there before the provider has sent the last block. It needs half a
// round trip; what is in flight is another half, and a packet that is lost holds
// back for one and a quarter more what was sent after it.
func (p *Plan) nearEnd(x *peer) float64 {
	near, lease := nearTrips, leaseTrips
	if x.deep(p.mean) {
		near, lease = nearDeep, leaseDeep
	}
	return max(p.portion(x)*near/lease, p.mean/2)
}

// portion is how many bytes of open work a peer should have.
func (p *Plan) portion(x *peer) float64 {
	most := float64(p.cfg.Window) / float64(2*max(p.servers, 1))
	size := float64(leaseCold)
	if rate := x.rate.rate(); rate > 0 {
		full := rate * fullTrips * x.trip.Seconds() // what keeps a long and fast line busy
		most = min(most, max(leaseMax, full))
		trips := leaseTrips
		if x.deep(p.mean) {
			trips = leaseDeep
		}
		reckoned := max(rate*leaseTime.Seconds(), rate*trips*x.trip.Seconds())
		if x.rate.guess() {
			reckoned = max(reckoned, size*float64(uint64(1)<<min(x.drained, 6))) // or leases too small to measure would stay so
		} else if x.drained > 0 {
			reckoned = max(reckoned, p.mean*float64(uint64(1)<<min(x.drained, 6))) // the same of single blocks
		}
		size = reckoned
	}
	switch {
	case x.strikes > 0:
		size = min(size, leaseStruck) // until it has proved itself again
	case p.spared(x):
		size = max(size, sparedLeast*p.mean)
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
		if y != x && y.flying() && !p.silent(y) {
			others++
		}
	}
	return others >= 2
}

// repace shortens a spared leader's pause, now that its lease told the rate: when it
// was granted that may have been a guess, and the pause ten seconds.
func (p *Plan) repace(x *peer, l *lease) {
	if p.spared(x) && x.rate.rate() > 0 {
		x.pace = min(x.pace, l.opened+take(float64(l.got)*p.mean*sparing, p.leaderRate(x)))
	}
}

// alone reports whether x is the leader, and the session so young that others
// may yet offer: they get their chance before the leader gives everything.
func (p *Plan) alone(x *peer) bool {
	return x.id == p.leader && p.now-p.began < leaderAlone && p.servers < 3
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
	return p.give(x, start, uint64(max(1, min(size/p.mean, leaseBlocks))))
}

// give asks a peer for up to so many holes from start on, as the window admits.
func (p *Plan) give(x *peer, start, blocks uint64) Reason {
	end := p.reach()
	if start >= end {
		return p.full()
	}
	if room := p.room(); room < blocks {
		if room == 0 && !p.floorFree(x) {
			return p.full()
		}
		blocks = max(room, 1)
	}
	p.grant(x, p.collect(x, start, end, p.wholeGroups(start, blocks)), false)
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

// collect is up to blocks holes that x can fill, from start on and below end.
func (p *Plan) collect(x *peer, start, end, blocks uint64) []codec.BlockRange {
	var list []codec.BlockRange
	for blocks > 0 && len(list) < codec.MaxRanges {
		r, ok := p.free.first(start, x.fit)
		if !ok || r.From >= end {
			break
		}
		r.To = min(r.To, r.From+blocks, end)
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
		if r, ok := p.free.first(0, x.fit); !ok || r.From >= p.reach() {
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

// shrink trims a lease that has grown far beyond its size because blocks got larger,
// or the peer turned out slower, than it was thought when it was granted.
func (p *Plan) shrink(x *peer) {
	if x.lease == nil || !x.lease.open() || x.lease.owed < 4 {
		return
	}
	if owed := x.owed(p.mean); owed <= leaseCold && take(owed, x.speed()) <= shrinkTime {
		return
	}
	if size := p.portion(x); x.owed(p.mean) > 3*size {
		p.trim(x, uint64(max(1, size/p.mean)))
	}
}
