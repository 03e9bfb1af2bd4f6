package catchup

import (
	"maps"
	"time"
)

// Stats counts what happened in a session. They only grow, and every block that
// arrived is counted once: in Arrived, Again or Dropped.
type Stats struct {
	Arrived uint64 // blocks that were missing, and good
	Again   uint64 // blocks that were here already
	Doubled uint64 // bytes of those
	Dropped map[Drop]uint64

	LeaderBytes uint64 // of Arrived, from the leader
	OtherBytes  uint64 // from everybody else

	Hedges       uint64 // times that what a silent peer owed was asked of another
	HedgedBlocks uint64
	Steals       uint64 // tails of leases that another peer took over
	GivenUp      uint64 // leases of peers that were silent for too long
	Rests        uint64 // times that a peer failed, and had to rest
	FailedProofs uint64 // blocks and leaves that did not prove

	Idle   map[Reason]time.Duration // of peers without work, by why, summed over them
	Waited map[Reason]time.Duration // of the session, by what bounded it
}

func (s Stats) clone() Stats {
	s.Dropped, s.Idle, s.Waited = maps.Clone(s.Dropped), maps.Clone(s.Idle), maps.Clone(s.Waited)
	return s
}

// since is a reason and the time from which on it holds.
type since struct {
	why Reason
	at  time.Duration
}

// turn sets the reason; the time in which the one before held goes to sum.
func (s *since) turn(now time.Duration, why Reason, sum map[Reason]time.Duration) {
	if s.why != why {
		s.book(now, sum)
		s.why, s.at = why, now
	}
}

// book adds the time so far to sum.
func (s *since) book(now time.Duration, sum map[Reason]time.Duration) {
	if s.why != ReasonNone {
		sum[s.why] += now - s.at
	}
	s.at = now
}

// account books the time in which peers had nothing to do, and the session's.
func (p *Plan) account() {
	for _, x := range p.peers {
		_, why := p.state(x)
		x.idleFor.turn(p.now, why, p.stats.Idle)
	}
	p.bound.turn(p.now, p.waiting(), p.stats.Waited)
}

// Stats are the counts as of the last Step.
func (p *Plan) Stats() Stats {
	s := p.stats.clone()
	for _, x := range p.peers {
		running := x.idleFor
		running.book(p.now, s.Idle)
	}
	running := p.bound
	running.book(p.now, s.Waited)
	return s
}

// growth measures how fast the target moves, over 5 s or more: by what it was at
// one of two times.
type growth struct {
	older, newer mark
}

type mark struct {
	at     time.Duration
	blocks uint64
}

const growthTime = 5 * time.Second

// see notes the target.
func (g *growth) see(now time.Duration, target uint64) {
	switch {
	case g.newer.blocks == 0:
		g.older, g.newer = mark{now, target}, mark{now, target}
	case now-g.newer.at >= growthTime:
		g.older, g.newer = g.newer, mark{now, target}
	}
}

// perSec is in blocks; 0 while it is not known.
func (g *growth) perSec(now time.Duration, target uint64) float64 {
	span := now - g.older.at
	if g.newer.blocks == 0 || span < growthTime {
		return 0
	}
	return float64(target-g.older.blocks) / span.Seconds()
}
