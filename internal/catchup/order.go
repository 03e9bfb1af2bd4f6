package catchup

import "time"

// rescue gives the floor block, if nobody is asked for it, to the peer that
// delivers it soonest, also to one that has enough to do.
func (p *Plan) rescue() {
	n := p.queue.floor
	if !p.aimed || !p.free.has(n) {
		return
	}
	x := p.soonest(n, nil)
	if x == nil || x.lease == nil || p.wants(x) {
		return // its turn comes
	}
	p.give(x, n, uint64(max(1, x.speed()*nearTime.Seconds()/p.mean)))
}

// soonest is the peer other than x that would deliver block n first, of those
// that can be asked for it now.
func (p *Plan) soonest(n uint64, x *peer) (best *peer) {
	var in time.Duration
	for _, y := range p.peers {
		if y == x || !holds(y.fit, n) || y.idle != ReasonNone || y.lease != nil && !p.extends(y) || p.silent(y) {
			continue
		}
		if t := y.ready(p.now, p.mean, p.mean); best == nil || t < in {
			best, in = y, t
		}
	}
	return best
}

// reach is the end of the blocks that may be asked for: a window's worth above
// the floor. What lies further would fill the window, and leave none for what
// has to come before it.
func (p *Plan) reach() uint64 {
	return p.queue.floor + uint64(max(1, float64(p.cfg.Window)/p.mean))
}

// pick is where in the log x should go on: at the lowest hole that it can fill,
// if it delivers that before the others reach it, or else as far above as they
// will not have come by then. A slow peer must not own the floor, and one that
// has something to give must not idle.
func (p *Plan) pick(x *peer) (uint64, bool) {
	r, ok := p.free.first(0, x.fit)
	if !ok || p.room() == 0 {
		return r.From, ok
	}
	rate, soon, shared := p.others(x, r.From)
	late := x.ready(p.now, p.mean, p.mean) + x.doubt(p.mean) - lateBy
	if !shared || late <= soon {
		return r.From, true
	}
	then := p.present() + uint64(rate*late.Seconds()/p.mean) // where the others are by then
	if r.From >= then {
		return r.From, true
	}
	if far, ok := p.free.first(then, x.fit); ok && far.From < p.reach() {
		return far.From, true
	}
	end, ok := p.free.last(x.fit, p.reach())
	return end, ok
}

// present is where the floor would be if what is here above it came first: from
// there on the peers have to deliver what lies below a block.
func (p *Plan) present() uint64 { return p.cfg.From + p.stats.Arrived }

// others is how fast the other peers are together, in bytes/s, and how soon one
// of them could deliver block n. shared: one can.
func (p *Plan) others(x *peer, n uint64) (rate float64, soon time.Duration, shared bool) {
	for _, y := range p.peers {
		if y != x && y.flying() {
			rate += y.rate.rate()
		}
	}
	if y := p.soonest(n, x); y != nil {
		return rate, y.ready(p.now, p.mean, p.mean), true
	}
	for _, y := range p.peers {
		if y != x && y.serves() && y.strikes == 0 && !y.cold() && !p.silent(y) && holds(y.fit, n) {
			return rate, y.trip, true // once the End of its lease is here
		}
	}
	return rate, 0, false
}
