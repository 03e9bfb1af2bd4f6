package catchup

import (
	"fmt"
	"time"
)

// Status is the session as of the last Step.
func (p *Plan) Status() Status {
	s := Status{
		Stats:    p.Stats(),
		Session:  p.cfg.Session,
		From:     p.cfg.From,
		Done:     p.queue.stored - p.cfg.From,
		Needed:   p.target - p.cfg.From,
		Bytes:    p.doneBytes,
		PerSec:   p.rate.recent(p.now),
		Grows:    p.grows.perSec(p.now, p.target) * p.mean,
		Left:     -1,
		Elapsed:  p.now - p.began,
		Held:     p.queue.held,
		Leased:   int64(float64(p.leased) * p.mean),
		MaxHeld:  p.queue.maxHeld,
		Waiting:  p.waiting(),
		Finished: p.ended && p.err == nil,
		Err:      p.err,
	}
	if p.ended && s.Elapsed > 0 {
		s.PerSec = float64(p.doneBytes) / s.Elapsed.Seconds()
	}
	if p.aimed && s.PerSec > 0 {
		s.Left = take(float64(s.Needed-p.stats.Arrived)*p.mean, s.PerSec)
	}
	for _, x := range p.peers {
		s.Peers = append(s.Peers, p.peerStatus(x))
	}
	return s
}

func (p *Plan) peerStatus(x *peer) PeerStatus {
	s := PeerStatus{
		Peer: x.id, Leader: x.id == p.leader,
		Blocks: x.blocks, Bytes: x.bytes, Doubled: x.doubled,
		Rate: x.rate.rate(), RTT: x.trip, Rests: x.rests, Failed: x.failed, Err: x.out,
	}
	s.State, s.Idle = p.state(x)
	return s
}

// state is what a peer does, and why if that is nothing.
func (p *Plan) state(x *peer) (string, Reason) {
	switch {
	case x.out != nil:
		return "out", ReasonOut
	case !x.here:
		return "gone", ReasonGone
	case x.lease != nil && !x.lease.cancelled:
		return "busy", ReasonNone
	case p.now < x.rest:
		return "resting", ReasonRest
	}
	return "idle", x.idle
}

// waiting is what bounds the session now.
func (p *Plan) waiting() Reason {
	switch {
	case p.ended:
		return ReasonNone
	case !p.aimed:
		return ReasonTarget
	case p.queue.floor >= p.target:
		return ReasonDisk
	case p.unserved.is && !p.flying():
		return ReasonNobody
	}
	if !p.free.empty() && p.room() == 0 {
		return p.full()
	}
	if !p.flying() && p.leastBadPeer() != nil {
		return ReasonAllRest
	}
	return ReasonPeers
}

// Stuck reports a violation of the session's invariant: at now, work is missing,
// a peer could serve it, and nothing has been in flight for 2 s. It says which
// peer and block.
func (p *Plan) Stuck(now time.Duration) error {
	if p.ended || !p.aimed || now-p.flown < stuckTime {
		return nil
	}
	for _, x := range p.peers {
		if !x.serves() || x.lease != nil || now < min(x.rest, x.retry+restMin) {
			continue
		}
		r, ok := p.free.first(0, x.fit)
		if ok && r.From < p.reach() && (p.room() > 0 || p.floorFree(x)) {
			return fmt.Errorf("block %d is missing, %s could serve it, nothing in flight for %v", r.From, x.id, now-p.flown)
		}
	}
	return nil
}
