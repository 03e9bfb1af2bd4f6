package catchup

import (
	"fmt"
	"maps"
	"time"
)

// Status is the session as of the last Step.
func (p *Plan) Status() Status {
	s := Status{
		Session:  p.cfg.Session,
		From:     p.cfg.From,
		Done:     p.queue.stored - p.cfg.From,
		Needed:   p.target - p.cfg.From,
		Arrived:  p.arrived,
		Bytes:    p.doneBytes,
		Doubled:  p.doubled,
		PerSec:   p.rate.recent(p.now),
		Left:     -1,
		Elapsed:  p.now - p.began,
		Held:     p.queue.held,
		Leased:   int64(float64(p.leased) * p.mean),
		MaxHeld:  p.queue.maxHeld,
		Waiting:  p.waiting(),
		Dropped:  maps.Clone(p.dropped),
		Hedges:   p.hedges,
		Finished: p.ended && p.err == nil,
		Err:      p.err,
	}
	if p.ended && s.Elapsed > 0 {
		s.PerSec = float64(p.doneBytes) / s.Elapsed.Seconds()
	}
	if p.aimed && s.PerSec > 0 {
		s.Left = take(float64(s.Needed-p.arrived)*p.mean, s.PerSec)
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
		Rate: x.rate.rate(), Idle: x.idle, Err: x.out,
	}
	switch {
	case x.out != nil:
		s.State, s.Idle = "out", ReasonOut
	case !x.here:
		s.State, s.Idle = "gone", ReasonGone
	case x.lease != nil && !x.lease.cancelled:
		s.State, s.Idle = "busy", ReasonNone
	case p.now < x.rest:
		s.State, s.Idle = "resting", ReasonRest
	default:
		s.State = "idle"
	}
	return s
}

// waiting is what bounds the session now.
func (p *Plan) waiting() Reason {
	switch {
	case p.ended:
		return ReasonNone
	case p.stalled:
		return ReasonStalled
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
	if p.ended || p.stalled || !p.aimed || now-p.flown < stuckTime {
		return nil
	}
	for _, x := range p.peers {
		if !x.serves() || x.lease != nil || now < min(x.rest, x.retry+restMin) {
			continue
		}
		r, ok := p.free.first(0, x.fit)
		if ok && (p.room() > 0 || p.floorFree(x)) {
			return fmt.Errorf("block %d is missing, %s could serve it, nothing in flight for %v", r.From, x.id, now-p.flown)
		}
	}
	return nil
}
