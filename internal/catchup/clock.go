package catchup

import "time"

// watch looks at the leases' clocks: what a silent peer owes near the floor is
// asked of another, and a peer that is silent for long is given up.
func (p *Plan) watch() {
	for _, x := range p.peers {
		l := x.lease
		if l == nil || l.cancelled {
			continue
		}
		switch silent := p.now - l.heard; {
		case silent >= x.silentAfter(p.mean):
			p.giveUp(x)
		case p.silent(x):
			p.hedge(x, silent)
		}
	}
}

// giveUp cancels the lease of a peer that is silent, and makes it rest.
func (p *Plan) giveUp(x *peer) {
	p.stats.GivenUp++
	p.strike(x)
	p.cancel(x)
}

// silent reports whether a peer that owes missing blocks has not been heard for
// so long that another may be asked for them.
func (p *Plan) silent(x *peer) bool {
	return x.flying() && p.now-x.lease.heard >= x.hedgeAfter(p.mean)
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
	for _, x := range p.peers {
		p.dueOf(x, due)
	}
	return next
}

// dueOf tells when something is due of one peer.
func (p *Plan) dueOf(x *peer, due func(time.Duration)) {
	if l := x.lease; l != nil {
		if l.cancelled {
			return
		}
		quiet := x.hedgeAfter(p.mean)
		due(l.heard + x.silentAfter(p.mean))
		due(l.heard + quiet)
		due(l.heard + x.giveUpAfter(p.mean))
		if !p.free.empty() && p.extends(x) && x.rate.rate() > 0 {
			due(l.heard + take(x.owed(p.mean)-p.nearEnd(x), x.rate.rate()))
		}
		return
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
