package sim

import (
	"slices"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// offered hands an offer to the plan; the leader's also says how far to go, and
// whether our blocks are its own.
func (c *coordinator) offered(peer codec.PeerID, r codec.AvailabilityReply) {
	s := c.s
	if s == nil || peer == c.m.peer {
		return
	}
	if r.Nonce == 0 {
		r.Nonce = s.id
	}
	if r.Nonce != s.id {
		return
	}
	s.offers[peer] = true
	if r.Leader {
		s.led = c.m.w.time.now
		c.leaderIs(peer)
	}
	c.step(catchup.PeerOffered{Peer: peer, Reply: r})
	if r.Leader && peer == c.leader && c.s == s {
		c.leaderOffered(r)
	}
}

func (c *coordinator) leaderOffered(r codec.AvailabilityReply) {
	s := c.s
	if s.verify > 0 {
		c.verified(r)
		return
	}
	if !s.began && s.want.until == 0 && s.want.behind > 0 && r.Head.Blocks <= s.from+s.want.behind {
		c.finish(nil)
		return
	}
	s.began = true
	if r.Head.Blocks > s.target {
		s.target = r.Head.Blocks
		if !s.finished {
			c.step(catchup.TargetMoved{Blocks: s.target})
		}
		return
	}
	if s.target == 0 || c.m.ledger.Head().Blocks >= s.target {
		s.finished = true
		c.compare()
	}
}

// compare asks the leader for its root at our size.
func (c *coordinator) compare() {
	head := c.m.ledger.Head()
	if head.Blocks == 0 || c.m.w.faults.UnprovedBlocks {
		c.reached(c.s.target)
		return
	}
	c.s.verify = head.Blocks
	if c.leader != "" {
		c.ask(c.leader, []uint64{head.Blocks})
	}
}

func (c *coordinator) verified(r codec.AvailabilityReply) {
	i := slices.IndexFunc(r.Roots, func(x codec.SizedRoot) bool { return x.Blocks == c.s.verify })
	if i < 0 {
		return
	}
	ours, err := c.m.ledger.RootAt(r.Roots[i].Blocks)
	switch {
	case err != nil:
		c.m.fail(err)
	case ours != r.Roots[i].Root:
		c.m.w.violate("another root", "member %d: at %d blocks", c.m.number, r.Roots[i].Blocks)
	default:
		c.reached(r.Head.Blocks)
	}
}

// reached ends the session, unless it has to go further.
func (c *coordinator) reached(leader uint64) {
	missing := c.m.ledger.HeadCursor().Index < c.s.want.until
	switch {
	case missing && leader <= c.s.verify:
	case missing, leader > c.s.verify+slack && c.s.verify > 0:
		w := c.s.want
		c.close()
		c.wanted(w)
	default:
		c.finish(nil)
	}
}

func (c *coordinator) finish(err error) {
	if c.s == nil {
		return
	}
	c.m.w.note('s', uint64(c.m.number), c.s.from, c.m.ledger.Head().Blocks)
	c.m.w.watch(c.m, c.s)
	c.close()
	c.m.after(0, func() { c.m.raft.tell(func() { c.m.raft.syncDone(err) }) })
}

func (c *coordinator) close() {
	for _, m := range c.m.w.members {
		if f := c.fetchers[m.peer]; f != nil {
			f.stop()
		}
	}
	c.fetchers = map[codec.PeerID]*fetcher{}
	c.s = nil
}
