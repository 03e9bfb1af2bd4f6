package catchup

import (
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// hedge asks the best other peer for what x does not deliver, within the budget,
// when the floor would be there before it comes. Beyond the budget, who holds the
// floor up for twice the time is given up.
func (p *Plan) hedge(x *peer, silent time.Duration) {
	n, ok := p.overdue(x)
	if !ok {
		return
	}
	y := p.second(x, n)
	if y == nil || p.reached(n) > y.ready(p.now, p.mean, p.mean) {
		return
	}
	if float64(p.hedging) < p.mean {
		if n == p.queue.floor && silent >= x.giveUpAfter(p.mean) {
			p.giveUp(x)
		}
		return
	}
	room := min(float64(p.hedging), max(p.mean, y.speed()*hedgeTime.Seconds()))
	ranges := p.rest(x, y, n, uint64(max(1, room/p.mean)))
	blocks := p.grant(y, ranges, true)
	p.hedging -= int64(float64(blocks) * p.mean)
	p.stats.Hedges++
	p.stats.HedgedBlocks += blocks
}

// overdue is the lowest missing block that x owes, if nobody who is not silent
// owes it as well.
func (p *Plan) overdue(x *peer) (lowest uint64, ok bool) {
	for _, s := range x.lease.todo {
		for n := s.from; n < s.to && (!ok || n < lowest); n++ {
			if p.queue.missing(n) {
				lowest, ok = n, true
			}
		}
	}
	return lowest, ok && !p.lively(lowest)
}

// lively reports whether a peer owes block n that is not silent.
func (p *Plan) lively(n uint64) bool {
	return slices.ContainsFunc(p.peers, func(y *peer) bool {
		return y.flying() && !p.silent(y) && y.lease.owes(n)
	})
}

// reached is how long it takes until the blocks below n are here, as far as the
// rates of the peers tell that are not silent; none if they all are.
func (p *Plan) reached(n uint64) time.Duration {
	rate := 0.0
	for _, y := range p.peers {
		if y.flying() && !p.silent(y) {
			rate += y.rate.rate()
		}
	}
	if n <= p.present() || rate == 0 {
		return 0
	}
	return take(float64(n-p.present())*p.mean, rate)
}

// rest is the runs, up to limit blocks, that x owes from block n on in its
// list's order, nobody lively does, and y has.
func (p *Plan) rest(x, y *peer, n, limit uint64) (list []codec.BlockRange) {
	from := false
	for _, s := range x.lease.todo {
		for b := s.from; b < s.to && limit > 0; b++ {
			from = from || b == n
			if !from || !p.queue.missing(b) || !holds(y.fit, b) || p.lively(b) || y.lease != nil && y.lease.owes(b) {
				continue
			}
			limit--
			if k := len(list); k > 0 && list[k-1].To == b {
				list[k-1].To++
			} else if k < codec.MaxRanges {
				list = append(list, codec.BlockRange{From: b, To: b + 1})
			}
		}
	}
	return list
}

// second is the peer that would deliver block n soonest, other than x: one that
// failed lately only if there is no other.
func (p *Plan) second(x *peer, n uint64) *peer {
	if y := p.secondOf(x, n, false); y != nil {
		return y
	}
	return p.secondOf(x, n, true)
}

// secondOf is second among peers that did not fail lately, or all. The leader is
// taken only if no other holder can be.
func (p *Plan) secondOf(x *peer, n uint64, struck bool) (best *peer) {
	for _, y := range p.peers {
		switch {
		case y == x || !y.serves() || !holds(y.fit, n):
			continue
		case y.lease != nil && !y.lease.open(), y.lease == nil && p.now < y.rest:
			continue
		case p.silent(y), y.flying() && y.cold(), y.strikes > 0 && !struck:
			continue // no better than x
		}
		switch {
		case best == nil:
			best = y
		case (y.id == p.leader) != (best.id == p.leader):
			if best.id == p.leader {
				best = y
			}
		case y.ready(p.now, p.mean, p.mean) < best.ready(p.now, p.mean, p.mean):
			best = y
		}
	}
	if best != nil && best.id == p.leader && p.otherHolder(x, best, n) {
		return nil
	}
	return best
}

// otherHolder reports whether a peer besides x and y has block n and is merely
// busy.
func (p *Plan) otherHolder(x, y *peer, n uint64) bool {
	for _, z := range p.peers {
		if z != x && z != y && z.serves() && p.now >= z.rest && !p.silent(z) && holds(z.fit, n) {
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
