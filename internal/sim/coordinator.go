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
	checkEvery    = time.Second
	probePatience = 5 * time.Second
	cancelTimeout = time.Second
)

// want is a session that consensus asks for.
type want struct {
	until  codec.Index // the session goes on until the ledger has this index; 0: to what the voters agree on
	behind uint64      // with no until: end at once unless the voters are more than so many blocks ahead
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

func newCoordinator(m *member) *coordinator {
	return &coordinator{m: m, fetchers: map[codec.PeerID]*fetcher{}}
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
		if e.Leaves {
			c.m.w.reached["leaves alone"]++
		}
		c.fetcher(e.Peer).fetch(codec.Fetch{Lease: e.Lease, Tree: e.Tree, Leaves: e.Leaves, Ranges: e.Ranges})
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
		c.m.w.distrusted(c.m, c.m.w.byPeer[e.Peer], e.Err)
	case catchup.Finish:
		c.s.finished = true
		c.arrived()
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
	if err := c.m.ledger.Release(first, blocks); err != nil {
		return err
	}
	c.m.w.stored(c.m, first, blocks)
	return nil
}

func size(blocks [][]byte) (n int64) {
	for _, b := range blocks {
		n += int64(len(b))
	}
	return n
}
