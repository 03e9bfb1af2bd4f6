package catchup

import (
	"fmt"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// offered takes note of what a peer has.
func (p *Plan) offered(e PeerOffered) {
	if e.Reply.Nonce != p.cfg.Session {
		p.drop(DropSession)
		return
	}
	if e.Peer == p.cfg.Self {
		p.drop(DropPeer)
		return
	}
	x := p.meet(e.Peer)
	if x.out != nil {
		return
	}
	if !x.here {
		x.here, x.rest, x.retry = true, 0, 0
		p.askAfter = askMin
	}
	p.heldBy(x, e.Reply.Held, e.Reply.Head.Blocks)
	switch {
	case e.Reply.Leader:
		p.leader = x.id
	case p.leader == x.id:
		p.leader = ""
	}
}

func (p *Plan) heldBy(x *peer, held []codec.BlockRange, head uint64) {
	x.held, x.head, x.asOf = sealed(held, head), head, p.target
	p.fit(x)
	p.survey()
}

func (p *Plan) lost(e PeerLost) {
	x := p.find(e.Peer)
	if x == nil || !x.here {
		return
	}
	p.close(x)
	x.here, x.held, x.fit = false, nil, nil
	if p.leader == x.id {
		p.leader = ""
	}
	p.survey()
}

// blockArrived fills a hole, once.
func (p *Plan) blockArrived(e BlockArrived) {
	x := p.find(e.Peer)
	if x == nil || !x.serves() {
		p.drop(DropPeer)
		return
	}
	l := x.lease
	if l == nil || l.number != e.Lease {
		p.drop(DropLease)
		return
	}
	owed := l.deliver(e.Number)
	if !owed && !l.deliverLate(e.Number) {
		p.unasked(x, e)
		return
	}
	p.heard(x, len(e.Data))
	missing := p.queue.missing(e.Number)
	leased := p.settle(x, e.Number, owed)
	if !missing {
		p.double(x, len(e.Data))
		return
	}
	p.fill(x, e, leased)
}

// unasked is a block that is not in the list: doubled, or never asked for.
func (p *Plan) unasked(x *peer, e BlockArrived) {
	if e.Number >= p.cfg.From && e.Number < p.target && !p.queue.missing(e.Number) {
		p.double(x, len(e.Data))
		return
	}
	p.drop(DropUnasked)
}

func (p *Plan) double(x *peer, size int) {
	p.stats.Again++
	p.stats.Doubled += uint64(size)
	x.doubled += uint64(size)
}

// heard notes progress of a lease.
func (p *Plan) heard(x *peer, size int) {
	l := x.lease
	p.answered(x, size, false)
	if rate := x.rate.rate(); l.heard > l.opened && rate > 0 {
		p.lull.ended(p.now, p.now-l.heard-take(float64(size), rate))
	}
	l.heard = p.now
	if x.strikes > 0 && l.got > 1 && p.now-l.opened >= restMin<<min(x.strikes, 7) {
		x.strikes = 0 // it has served for as long as it had to rest
	}
	x.rate.add(p.now, size)
	p.believe(x)
	if p.sized {
		p.mean += (float64(size) - p.mean) / 16
	} else {
		p.mean, p.sized = float64(size), true
	}
}

// answered notes the first answer to a lease, of size bytes: leaves, or a block.
func (p *Plan) answered(x *peer, size int, leaves bool) {
	if l := x.lease; l.heard == l.opened { // nothing came before, and we were listening
		x.trips.answered(p.now-l.opened, size, leaves)
	}
}

// settle takes the block off what the lease owed, and reports whether any lease
// owed it before.
func (p *Plan) settle(x *peer, n uint64, owed bool) bool {
	if owed && p.queue.missing(n) {
		x.lease.needed--
	}
	if n < p.queue.base {
		return false
	}
	s := p.queue.at(n)
	if owed {
		s.owed--
	}
	return owed || s.owed > 0
}

// fill accepts a missing block if it is good and there is room. leased says
// that it is not a hole, but was owed.
func (p *Plan) fill(x *peer, e BlockArrived, leased bool) {
	owed := p.queue.at(e.Number).owed > 0 // by another lease, still
	if leased && !owed {
		p.leased--
		p.free.add(e.Number, e.Number+1)
	}
	size := int64(len(e.Data))
	most := p.cfg.Window + codec.MaxBlock
	if e.Number == p.queue.floor {
		most += codec.MaxBlock
	}
	if p.queue.held+size > most {
		p.drop(DropWindow)
		return
	}
	if err := p.check(e); err != nil {
		p.drop(DropBad)
		p.distrust(x, err)
		return
	}
	p.queue.put(e.Number, e.Data, e.Leaf)
	if owed {
		p.leased--
		p.unneeded(e.Number)
	} else {
		p.free.remove(e.Number, e.Number+1)
	}
	p.stats.Arrived++
	if x.id == p.leader {
		p.stats.LeaderBytes += uint64(size)
	} else {
		p.stats.OtherBytes += uint64(size)
	}
	x.blocks++
	x.bytes += uint64(size)
	p.rate.add(p.now, len(e.Data))
	p.earn(size)
}

func (p *Plan) check(e BlockArrived) error {
	if len(e.Data) == 0 || len(e.Data) > codec.MaxBlock {
		return fmt.Errorf("block %d has %d bytes", e.Number, len(e.Data))
	}
	if p.cfg.Prove {
		return p.proved(e)
	}
	if p.cfg.Check == nil {
		return nil
	}
	return p.cfg.Check(e.Number, e.Data)
}

func (p *Plan) distrust(x *peer, err error) {
	p.stats.FailedProofs++
	x.failed++
	x.out = err
	if !x.lease.cancelled {
		p.cancel(x)
	}
	p.do(Distrust{Peer: x.id, Err: err})
	p.survey()
}

// unneeded tells the leases that owe block n, which has just come from another,
// that it is not missing any more. What one still owes that lost the race in silence
// is everybody's again; it is to blame only if its End does not come either. Who has
// nothing else to bring is cancelled.
func (p *Plan) unneeded(n uint64) {
	for _, x := range p.peers {
		l := x.lease
		if l == nil || l.cancelled || !l.owes(n) {
			continue
		}
		silent := p.silent(x) && !x.forgiven()
		l.needed--
		if silent || l.needed == 0 {
			l.outrun = silent
			p.cancel(x)
		}
		if silent {
			p.stats.GivenUp++
		}
	}
}

// leaseEnded closes a lease and judges it.
func (p *Plan) leaseEnded(e LeaseEnded) {
	x := p.find(e.Peer)
	if x == nil || !x.here {
		p.drop(DropPeer)
		return
	}
	l := x.lease
	if l == nil || l.number != e.End.Lease {
		p.drop(DropLease)
		return
	}
	short := false
	for _, s := range l.todo {
		short = short || s.seq <= e.End.Seq // else it crossed with the Extend
	}
	p.close(x)
	if e.End.Head.Blocks > 0 || len(e.End.Held) > 0 {
		p.heldBy(x, e.End.Held, e.End.Head.Blocks)
	} else {
		p.survey()
	}
	p.judge(x, l, e.End, short)
	p.repace(x, l)
}

// judge decides how soon the peer gets another lease.
func (p *Plan) judge(x *peer, l *lease, end codec.End, short bool) {
	switch {
	case end.Reason == codec.EndBusy:
		wait := time.Duration(min(end.RetryAfter, uint64(restMax/time.Millisecond))) * time.Millisecond
		x.rest = p.now + max(wait, restMin)
		x.retry = x.rest
	case l.cancelled: // was judged then
	case end.Reason == codec.EndRefused, short && l.got == 0:
		p.strike(x)
	case short:
		x.rest = p.now + p.dice.spread(restMin)
		x.retry = x.rest
	case l.got > 0:
		x.strikes = 0
		x.drained++
		if x.rate.told && !x.rate.guess() {
			x.drained = 0
		}
	}
}

func (p *Plan) streamReset(e StreamReset) {
	x := p.find(e.Peer)
	if x == nil || x.lease == nil || x.lease.number != e.Lease {
		p.drop(DropLease)
		return
	}
	judged := x.lease.cancelled && !x.lease.outrun
	p.close(x)
	if !judged {
		p.strike(x)
	}
	p.survey()
}

// strike makes a peer rest, longer each time.
func (p *Plan) strike(x *peer) {
	rest := min(restMin<<min(x.strikes, 7), restMax)
	x.strikes++
	x.rests++
	p.stats.Rests++
	x.retry = p.now + p.dice.spread(restMin)
	x.rest = max(p.now+p.dice.spread(rest), x.retry)
}

// close forgets a peer's lease; what it did not deliver is missing again.
func (p *Plan) close(x *peer) {
	if x.lease == nil {
		return
	}
	gone, _ := x.lease.tail(0)
	x.lease.needed = 0
	p.giveBack(gone)
	x.lease = nil
	x.rate.stop(p.now)
	p.fit(x)
}

// cancel gives up a lease that stays open until its End.
func (p *Plan) cancel(x *peer) {
	gone, _ := x.lease.tail(0)
	x.lease.needed = 0
	x.lease.cancelled = true
	p.giveBack(gone)
	p.do(Cancel{Peer: x.id, Lease: x.lease.number})
}

// trim gives up all but the first keep blocks that a lease owes.
func (p *Plan) trim(x *peer, keep uint64) {
	l := x.lease
	gone, place := l.tail(keep)
	l.needed -= p.giveBack(gone)
	l.trimmed = true
	l.seq++
	p.do(Trim{Peer: x.id, Lease: l.number, Seq: l.seq, Place: place})
}

// giveBack makes blocks that nobody else owes holes again, and returns how many
// of all are missing.
func (p *Plan) giveBack(gone []segment) (missing uint64) {
	for _, s := range gone {
		if s.hedge {
			p.refund(s.len())
		}
		run := s.from // the beginning of a run of new holes
		for n := s.from; n < s.to; n++ {
			hole := false
			if p.queue.missing(n) {
				missing++
			}
			if n >= p.queue.base {
				slot := p.queue.at(n)
				slot.owed--
				hole = slot.owed == 0 && slot.data == nil
			}
			if hole {
				p.leased--
				continue
			}
			p.free.add(run, n)
			run = n + 1
		}
		p.free.add(run, s.to)
	}
	return missing
}
