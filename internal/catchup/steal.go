package catchup

import (
	"slices"
	"time"
)

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
	p.stats.Steals++
	first, ok := p.free.first(0, x.fit)
	if !ok {
		return ReasonAsked
	}
	p.grant(x, p.collect(x, first.From, p.target, leaseBlocks), false)
	return ReasonNone
}

// nothing says why there is no hole for x.
func (p *Plan) nothing(x *peer) Reason {
	if _, ok := p.free.first(0, x.held); ok {
		return ReasonProof
	}
	if p.free.empty() && p.flying() && len(x.fit) > 0 {
		return ReasonAsked
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
		t := y.ready(p.now, p.mean, 0)
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
	certain := ry*(3*y.trip/2).Seconds() + max(unsentMin, ry*unsentTime.Seconds()) // on its way already
	move = min(move, owed-certain)
	blocks := uint64(max(0, move/p.mean))
	if take(float64(blocks)*p.mean, ry) < takeOverGain {
		return y.lease.owed
	}
	return y.lease.owed - min(p.tailFor(x, y, blocks), y.lease.owed)
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
	takeOverGain = 100 * time.Millisecond

	// What a provider has in its stream, where a Trim does not bite.
	unsentMin  = 256 << 10
	unsentTime = 400 * time.Millisecond
)
