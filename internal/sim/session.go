package sim

import (
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// session is one catch-up.
type session struct {
	id       uint64
	want     want
	plan     *catchup.Plan
	started  time.Duration
	wake     int // counts timers: only the newest counts
	tick     int
	from     uint64
	offers   map[codec.PeerID]codec.AvailabilityReply
	began    bool // there is something to fetch, or it is known that there is not
	finished bool // the plan has finished

	agree  *catchup.Agreement // nil: whose word counts is not known yet
	asking map[codec.PeerID]bool
	asked  map[codec.PeerID]uint64 // the size last asked of a voter
	root   codec.SizedRoot         // what the plan was told
	silent time.Duration           // since when a majority has been missing; 0: it is not
}

// wanted begins a session, or widens the one that runs.
func (c *coordinator) wanted(w want) {
	if c.s != nil {
		c.s.want.until = max(c.s.want.until, w.until)
		if w.behind == 0 {
			c.s.want.behind = 0
		}
		return
	}
	c.sessions++
	s := &session{
		id: c.m.dice.Uint64() | 1, want: w, started: c.m.w.time.now, from: c.m.ledger.Head().Blocks,
		offers: map[codec.PeerID]codec.AvailabilityReply{}, asking: map[codec.PeerID]bool{}, asked: map[codec.PeerID]uint64{},
	}
	s.plan = catchup.New(catchup.Config{
		Session: s.id, Self: c.m.peer, From: s.from, Check: checkBlock, Seed: s.id, Lease: c.sessions << 32,
		Window: c.m.w.scenario.Window, Prove: !c.m.w.faults.UnprovedBlocks,
	})
	c.s = s
	if c.leader != "" {
		c.step(catchup.LeaderChanged{Peer: c.leader})
	}
	c.step(catchup.Ticked{})
	for _, p := range c.m.bondedPeers() {
		c.bonded(p)
	}
	c.checkIn(askDirectly)
	c.convene()
}

func checkBlock(_ uint64, data []byte) error {
	var b codec.Block
	return codec.DecodeBlock(data, &b)
}

// checkIn lets check come in d.
func (c *coordinator) checkIn(d time.Duration) {
	s := c.s
	s.tick++
	timer := s.tick
	c.m.after(d, func() {
		if c.s == s && s.tick == timer {
			c.check()
		}
	})
}

// check runs each second: it asks bonded peers that gave no offer, and the voters
// how far they are.
func (c *coordinator) check() {
	s := c.s
	c.checkOn()
	if c.s == s {
		c.m.w.watch(c.m, s)
		c.checkIn(checkEvery)
	}
}

func (c *coordinator) checkOn() {
	s := c.s
	elapsed := c.m.w.time.now - s.started
	switch {
	case c.leader == c.m.peer:
		c.finish(nil)
		return
	case !s.began && s.want.until == 0 && s.want.behind > 0 && elapsed > probePatience:
		c.finish(nil)
		return
	case s.root.Blocks == 0 && elapsed > agreePatience:
		c.m.w.reached["no agreement"]++
		c.finish(errNoAgreement)
		return
	}
	for _, p := range c.m.bondedPeers() {
		if _, ok := s.offers[p]; !ok || s.agree != nil && slices.Contains(s.agree.Voters(), p) {
			c.ask(p, nil)
		}
	}
	c.waitForVoters()
}

func (c *coordinator) bonded(peer codec.PeerID) {
	if c.s == nil {
		return
	}
	c.ask(peer, nil)
	if c.s.agree == nil && c.m.trusts(peer) {
		c.askVoters(peer)
	}
}

func (c *coordinator) lost(peer codec.PeerID) {
	if c.s == nil {
		return
	}
	delete(c.s.offers, peer)
	if c.s.agree != nil {
		c.s.agree.Gone(peer)
	}
	if f := c.fetchers[peer]; f != nil {
		delete(c.fetchers, peer)
		f.stop()
	}
	c.step(catchup.PeerLost{Peer: peer})
}

// offered hands an offer to the plan, and a voter's to those who agree.
func (c *coordinator) offered(peer codec.PeerID, r codec.AvailabilityReply) {
	s := c.s
	if s == nil || peer == c.m.peer {
		return
	}
	if r.Nonce == 0 { // the answer to the opening of a stream of this session
		r.Nonce = s.id
	}
	if r.Nonce != s.id {
		return
	}
	s.offers[peer] = r
	if r.Leader {
		c.leaderIs(peer)
	}
	c.step(catchup.PeerOffered{Peer: peer, Reply: r})
	if c.s == s && s.agree != nil {
		s.agree = c.m.w.faults.loneVoter(s.agree, peer, c.m.peer)
		s.agree.Attested(peer, r)
		c.consider()
	}
}

// restart goes on with a new plan, because the old one has finished.
func (c *coordinator) restart() {
	w := c.s.want
	c.close()
	c.wanted(w)
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
