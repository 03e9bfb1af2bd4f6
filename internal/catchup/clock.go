package catchup

import (
	"time"

	"github.com/logmesh/logmesh/codec"
)

// watch looks at the leases' clocks: a lease silent at the floor is hedged, one
// that is silent for long is given up.
func (p *Plan) watch() {
	for _, x := range p.peers {
		l := x.lease
		if l == nil || l.cancelled {
			continue
		}
		switch silent := p.now - l.heard; {
		case silent >= x.silentAfter(p.mean):
			p.strike(x)
			p.cancel(x)
		case silent >= x.hedgeAfter() && p.atFloor(x):
			p.hedge(x)
		}
	}
}

// atFloor reports whether x alone owes the floor block.
func (p *Plan) atFloor(x *peer) bool {
	n := p.queue.floor
	if n >= p.target || n-p.queue.base >= uint64(len(p.queue.slots)) {
		return false
	}
	return p.queue.at(n).owed == 1 && x.lease.owes(n)
}

// hedge asks the best other peer for what x does not deliver, within the budget.
func (p *Plan) hedge(x *peer) {
	if float64(p.hedging) < p.mean {
		return
	}
	y := p.second(x)
	if y == nil {
		return
	}
	room := min(float64(p.hedging), p.portion(y))
	ranges := p.rest(x, y, uint64(max(1, room/p.mean)))
	p.hedges++
	p.hedging -= int64(float64(p.grant(y, ranges, true)) * p.mean)
}

// rest is the runs, up to limit blocks, that x owes from the floor on in its
// list's order, nobody else does, and y has.
func (p *Plan) rest(x, y *peer, limit uint64) (list []codec.BlockRange) {
	from := false
	for _, s := range x.lease.todo {
		for n := s.from; n < s.to && limit > 0; n++ {
			from = from || n == p.queue.floor
			if !from || !p.queue.missing(n) || p.queue.at(n).owed != 1 || !holds(y.fit, n) {
				continue
			}
			limit--
			if k := len(list); k > 0 && list[k-1].To == n {
				list[k-1].To++
			} else if k < codec.MaxRanges {
				list = append(list, codec.BlockRange{From: n, To: n + 1})
			}
		}
	}
	return list
}

// second is the peer that would deliver the floor block soonest, other than x.
// The leader is taken only if no other holder can be.
func (p *Plan) second(x *peer) (best *peer) {
	for _, y := range p.peers {
		switch {
		case y == x || !y.serves() || !holds(y.fit, p.queue.floor):
			continue
		case y.lease != nil && !y.lease.open(), y.lease == nil && p.now < y.rest:
			continue
		case p.silent(y):
			continue // as silent as x
		}
		switch {
		case best == nil:
			best = y
		case (y.id == p.leader) != (best.id == p.leader):
			if best.id == p.leader {
				best = y
			}
		case y.ready(p.mean, p.mean) < best.ready(p.mean, p.mean):
			best = y
		}
	}
	if best != nil && best.id == p.leader && p.otherHolder(x, best) {
		return nil
	}
	return best
}

// otherHolder reports whether a peer besides x and y has the floor block and is
// merely busy.
func (p *Plan) otherHolder(x, y *peer) bool {
	for _, z := range p.peers {
		if z != x && z != y && z.serves() && p.now >= z.rest && !p.silent(z) && holds(z.fit, p.queue.floor) {
			return true
		}
	}
	return false
}

// earn lets arrived bytes pay for hedges.
func (p *Plan) earn(bytes int64) {
	p.earned += bytes
	p.hedging = min(p.hedging+p.earned/hedgeEarn, p.hedgeMost())
	p.earned %= hedgeEarn
}

func (p *Plan) hedgeMost() int64 {
	return max(p.cfg.Window/8, hedgeFirst, int64(p.mean))
}

// refund gives back what hedged blocks were reckoned to cost: they do not come.
func (p *Plan) refund(blocks uint64) {
	p.hedging = min(p.hedging+int64(float64(blocks)*p.mean), p.hedgeMost())
}

// setWake asks to be woken for the next thing that is due. A Wake that stands
// and is earlier is left alone: waking early costs less than setting it anew
// with each block.
func (p *Plan) setWake() {
	next := p.next()
	if next == 0 || p.wake > p.now && p.wake <= next {
		return
	}
	p.wake = next
	p.do(Wake{At: next})
}

// next is when something is due, after now; 0: never.
func (p *Plan) next() time.Duration {
	var next time.Duration
	due := func(t time.Duration) {
		if t > p.now && (next == 0 || t < next) {
			next = t
		}
	}
	if !p.aimed || p.queue.floor < p.target {
		due(p.ask)
	}
	if p.unserved.is {
		due(p.unserved.since + p.cfg.Patience)
	}
	if p.stalled {
		return next
	}
	for _, x := range p.peers {
		if l := x.lease; l != nil {
			if !l.cancelled {
				due(l.heard + x.silentAfter(p.mean))
			}
			if !l.cancelled && (p.free.empty() || p.atFloor(x)) { // taken over, or hedged
				due(l.heard + x.hedgeAfter())
			}
			continue
		}
		if x.serves() && !p.free.empty() {
			due(x.rest)
			due(x.retry)
			due(x.pace)
			if p.alone(x) {
				due(p.began + leaderAlone)
			}
		}
	}
	return next
}
