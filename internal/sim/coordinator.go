package sim

import (
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// Times of the coordinator and the fetchers, as in package actors.
const (
	slack         = 16
	askDirectly   = 300 * time.Millisecond
	verifyEvery   = time.Second
	leaderSilent  = 3 * verifyEvery
	probePatience = 5 * time.Second
	cancelTimeout = time.Second
)

// want is a session that consensus asks for.
type want struct {
	until  codec.Index // the session goes on until the ledger has this index; 0: to the leader's head
	behind uint64      // with no until: end at once unless the leader's head is more than so many blocks ahead
}

// coordinator plays the coordinator and storer actors: it does what a
// catchup.Plan says.
type coordinator struct {
	m        *member
	leader   codec.PeerID
	s        *session
	sessions uint64
	fetchers map[codec.PeerID]*fetcher
	storing  time.Duration // when the storer has done what it was given
}

// session is one catch-up.
type session struct {
	id       uint64
	want     want
	plan     *catchup.Plan
	started  time.Duration
	wake     int // counts timers: only the newest counts
	tick     int
	from     uint64
	offers   map[codec.PeerID]bool
	target   uint64
	led      time.Duration
	began    bool
	verify   uint64
	finished bool
}

func newCoordinator(m *member) *coordinator {
	return &coordinator{m: m, fetchers: map[codec.PeerID]*fetcher{}}
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
	now := c.m.w.time.now
	c.sessions++
	s := &session{
		id: c.m.dice.Uint64() | 1, want: w, started: now, led: now, from: c.m.ledger.Head().Blocks,
		offers: map[codec.PeerID]bool{},
	}
	s.plan = catchup.New(catchup.Config{
		Session: s.id, Self: c.m.peer, From: s.from, Check: checkBlock, Seed: s.id, Lease: c.sessions << 32,
		Window: c.m.w.scenario.Window,
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

// check runs each second: it asks bonded peers that gave no offer, or everybody
// while nobody says to lead, follows a leader whose head has moved, and asks for
// the root again.
func (c *coordinator) check() {
	s, now := c.s, c.m.w.time.now
	if c.leader == c.m.peer {
		c.finish(nil)
		return
	}
	leaderless := now-s.led > leaderSilent
	for _, p := range c.m.bondedPeers() {
		if !s.offers[p] || leaderless {
			c.ask(p, nil)
		}
	}
	if s.verify == 0 && c.leader != "" {
		c.ask(c.leader, nil)
	}
	if !s.began && s.want.until == 0 && s.want.behind > 0 && now-s.started > probePatience {
		c.finish(nil)
		return
	}
	if s.verify > 0 || s.finished {
		c.compare()
	}
	if c.s == s {
		c.m.w.watch(c.m, s)
		c.checkIn(verifyEvery)
	}
}

func (c *coordinator) ask(peer codec.PeerID, sizes []uint64) {
	if peer != c.m.peer {
		q := c.request(sizes)
		c.fetcher(peer).write(&q)
	}
}

func (c *coordinator) request(sizes []uint64) codec.AvailabilityRequest {
	return codec.AvailabilityRequest{Group: group, Log: c.m.ledger.LogID(), Nonce: c.s.id, Requester: c.m.peer, Sizes: sizes}
}

// broadcast asks everybody by gossip; they answer on a stream of their own.
func (c *coordinator) broadcast() {
	q := c.request(nil)
	data := c.m.w.encode(&q)
	for _, to := range c.m.w.members {
		if to == c.m || !c.m.bonds[to.peer] {
			continue
		}
		c.m.w.net.datagram(c.m, to, func() {
			var q codec.AvailabilityRequest
			c.m.w.decode(data, &q)
			if log := to.ledger.LogID(); !q.Log.IsZero() && q.Log != log || !to.bonds[c.m.peer] {
				return
			}
			reply := to.provider.offer(q)
			data := c.m.w.encode(&reply)
			c.m.w.net.datagram(to, c.m, func() {
				var reply codec.AvailabilityReply
				c.m.w.decode(data, &reply)
				c.m.coord.offered(to.peer, reply)
			})
		})
	}
}

func (c *coordinator) bonded(peer codec.PeerID) {
	if c.s != nil {
		c.ask(peer, nil)
	}
}

func (c *coordinator) lost(peer codec.PeerID) {
	if c.s == nil {
		return
	}
	delete(c.s.offers, peer)
	if f := c.fetchers[peer]; f != nil {
		delete(c.fetchers, peer)
		f.stop()
	}
	c.step(catchup.PeerLost{Peer: peer})
}

func (c *coordinator) leaderIs(peer codec.PeerID) {
	if peer == c.leader || peer == "" {
		return
	}
	c.leader = peer
	if c.s != nil {
		c.step(catchup.LeaderChanged{Peer: peer})
	}
}

// step gives the plan an event and does what it asks for.
func (c *coordinator) step(e catchup.Event) {
	s := c.s
	if s == nil || s.finished {
		return
	}
	for _, effect := range s.plan.Step(c.m.w.time.now-s.started, e) {
		c.do(effect)
		if c.s != s || !c.m.up {
			return
		}
	}
}

func (c *coordinator) do(effect catchup.Effect) {
	switch e := effect.(type) {
	case catchup.Fetch:
		c.m.w.reached["fetch"]++
		c.fetcher(e.Peer).fetch(codec.Fetch{Lease: e.Lease, Ranges: e.Ranges})
	case catchup.Extend:
		c.m.w.reached["extend"]++
		c.fetcher(e.Peer).amend(e.Lease, &codec.Extend{Lease: e.Lease, Seq: e.Seq, Ranges: e.Ranges})
	case catchup.Trim:
		c.m.w.reached["trim"]++
		c.fetcher(e.Peer).amend(e.Lease, &codec.Trim{Lease: e.Lease, Seq: e.Seq, Place: e.Place})
	case catchup.Cancel:
		c.m.w.reached["cancel"]++
		c.fetcher(e.Peer).cancel(e.Lease)
	case catchup.Release:
		c.m.w.reached["release"]++
		c.store(e.First, e.Blocks)
	case catchup.Broadcast:
		c.broadcast()
	case catchup.Wake:
		c.wakeAt(e.At)
	case catchup.Distrust:
		c.m.w.violate("an honest peer is out", "member %d: %s: %v", c.m.number, e.Peer, e.Err)
	case catchup.Finish:
		c.s.finished = true
		c.compare()
	case catchup.Fail:
		c.m.w.reached["failed session"]++
		c.finish(e.Err)
	}
}

func (c *coordinator) wakeAt(at time.Duration) {
	s := c.s
	s.wake++
	timer := s.wake
	c.m.after(s.started+at-c.m.w.time.now, func() {
		if c.s == s && s.wake == timer {
			c.step(catchup.Ticked{})
		}
	})
}

func (c *coordinator) fetcher(peer codec.PeerID) *fetcher {
	f := c.fetchers[peer]
	if f == nil {
		f = newFetcher(c, c.m.w.byPeer[peer])
		c.fetchers[peer] = f
	}
	return f
}

// store is the storer: what it is given becomes durable in order, beside what
// Raft writes.
func (c *coordinator) store(first uint64, blocks [][]byte) {
	m, s := c.m, c.s
	c.storing = max(c.storing, m.w.time.now) + m.syncTime()
	m.after(c.storing-m.w.time.now, func() {
		if err := c.put(first, blocks); err != nil {
			if m.ledger.Failed() != nil {
				m.fail(err)
			} else if c.s == s {
				c.finish(err)
			}
			return
		}
		m.replay.advance(m.ledger.HeadCursor().Index)
		if c.s == s {
			c.step(catchup.Stored{Through: first + uint64(len(blocks)), Bytes: size(blocks)})
		}
	})
}

// put appends what the ledger does not have yet.
func (c *coordinator) put(first uint64, blocks [][]byte) error {
	if have := c.m.ledger.Head().Blocks; have > first {
		skip := min(have-first, uint64(len(blocks)))
		first, blocks = first+skip, blocks[skip:]
	}
	if len(blocks) == 0 {
		return nil
	}
	return c.m.ledger.Release(first, blocks)
}

func size(blocks [][]byte) (n int64) {
	for _, b := range blocks {
		n += int64(len(b))
	}
	return n
}
