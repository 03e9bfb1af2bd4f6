package sim

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/replay"
)

// Times of the client, as in package actors.
const (
	sessionWindow  = 1024
	proposeTimeout = 5 * time.Second
	repeatAfter    = 2 * time.Second
	pollEvery      = 50 * time.Millisecond
	noLeaderPause  = 100 * time.Millisecond
	readTimeout    = 10 * time.Second
)

// outcome is what became of a command.
type outcome struct {
	index    codec.Index
	data     []byte
	rejected bool
	unknown  bool // it may still happen
	never    bool // it will never happen
}

// call is a command under way.
type call struct {
	command  []byte
	done     func(outcome)
	seq      uint64
	proposed time.Duration // last; negative: never accepted
	flying   bool
	maybe    bool
}

// proposer plays the client of package actors: it writes commands through
// whichever member leads, exactly once each, in one client session.
type proposer struct {
	m       *member
	session codec.SessionID
	opening []byte
	openAt  time.Duration
	next    uint64
	low     uint64
	queue   []*call
	pending map[uint64]*call
	flying  bool // a Propose is under way
	polling bool
	pausing bool
}

func newProposer(m *member) *proposer {
	return &proposer{m: m, next: 1, low: 1, pending: map[uint64]*call{}, openAt: -repeatAfter}
}

func (c *proposer) start(command []byte, done func(outcome)) *call {
	x := &call{command: command, done: done, proposed: -1}
	c.queue = append(c.queue, x)
	c.kick()
	return x
}

// abandon stops waiting for a call.
func (c *proposer) abandon(x *call) {
	if x.seq != 0 {
		c.settle(x)
		x.done(outcome{unknown: x.maybe || x.flying, never: !x.maybe && !x.flying})
		return
	}
	for i, q := range c.queue {
		if q == x {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			break
		}
	}
	x.done(outcome{never: true})
}

func (c *proposer) settle(x *call) {
	delete(c.pending, x.seq)
	for c.low < c.next && c.pending[c.low] == nil {
		c.low++
	}
	c.kick()
}

// kick lets a round come soon.
func (c *proposer) kick() {
	if c.polling || c.flying || c.pausing {
		return
	}
	c.polling = true
	c.m.after(0, func() { c.polling = false; c.round() })
}

// round proposes one batch, and comes again as long as anything waits.
func (c *proposer) round() {
	if c.flying || c.pausing {
		return
	}
	q, calls := c.batch()
	if len(q.Commands) == 0 {
		if len(c.pending)+len(c.queue) > 0 && !c.polling {
			c.polling = true
			c.m.after(pollEvery, func() { c.polling = false; c.round() })
		}
		return
	}
	c.flying = true
	c.m.askLeader(q, func(a codec.Answer, err error) {
		c.flying = false
		c.answered(calls, a, err)
	})
}

func (c *proposer) answered(calls []*call, a codec.Answer, err error) {
	accepted := 0
	if err == nil && a.Status == codec.CallOK {
		accepted = min(int(a.Index), len(calls))
	}
	for i, x := range calls {
		if x == nil {
			continue
		}
		if i < accepted {
			x.proposed = c.m.w.time.now
		}
		x.flying = false
		if i < accepted || err != nil || a.Status == codec.CallUnavailable {
			x.maybe = true
		}
		c.m.w.faults.ackOnAccept(c, x, i < accepted)
	}
	if accepted == 0 {
		c.openAt = -repeatAfter
	}
	if accepted < len(calls) {
		c.pausing = true
		c.m.after(noLeaderPause, func() { c.pausing = false; c.round() })
		return
	}
	c.round()
}

// batch collects what is to be proposed now.
func (c *proposer) batch() (*codec.Propose, []*call) {
	q, now := &codec.Propose{}, c.m.w.time.now
	if c.session == 0 {
		if len(c.queue) == 0 || now-c.openAt < repeatAfter {
			return q, nil
		}
		if c.opening == nil {
			c.opening = make([]byte, codec.OpenNonce)
			binary.BigEndian.PutUint64(c.opening, c.m.dice.Uint64())
		}
		c.openAt = now
		q.Commands = append(q.Commands, codec.AppendCommand(nil, codec.Command{Payload: c.opening}))
		return q, []*call{nil}
	}
	c.number()
	var calls []*call
	for seq := c.low; seq < c.next && len(calls) < codec.MaxProposals; seq++ {
		x := c.pending[seq]
		if x == nil || x.proposed >= 0 && now-x.proposed < repeatAfter {
			continue
		}
		if x.maybe && c.m.w.faults.RetryAsNew {
			seq := c.next
			c.next++
			delete(c.pending, x.seq)
			x.seq, x.maybe = seq, false
			c.pending[seq] = x
			continue
		}
		q.Commands = append(q.Commands, codec.AppendCommand(nil, codec.Command{
			Session: c.session, Seq: seq, Low: c.low, Payload: x.command,
		}))
		x.flying = true
		calls = append(calls, x)
	}
	return q, calls
}

// number gives queued calls their sequence numbers, as far as the window allows.
func (c *proposer) number() {
	n := 0
	for n < len(c.queue) && c.next < c.low+sessionWindow {
		x := c.queue[n]
		x.seq = c.next
		c.pending[c.next] = x
		c.next++
		n++
	}
	c.queue = append(c.queue[:0], c.queue[n:]...)
}

// deliver takes a result from replay.
func (c *proposer) deliver(r replay.Result) {
	if len(r.Nonce) > 0 {
		if c.opening != nil && bytes.Equal(c.opening, r.Nonce) {
			c.opening = nil
			c.session, c.next, c.low = r.Session, 1, 1
			c.kick()
		}
		return
	}
	if c.session == 0 || c.session != r.Session {
		return
	}
	if r.Expired {
		c.m.w.violate("a session expired", "member %d: session %d", c.m.number, r.Session)
		return
	}
	x := c.pending[r.Seq]
	if x == nil {
		return
	}
	c.settle(x)
	c.m.w.acknowledged(c.m, x, r)
	x.done(outcome{index: r.Index, data: bytes.Clone(r.Data), rejected: r.Rejected})
}

// repropose makes everything unanswered be proposed again at once.
func (c *proposer) repropose() {
	for _, x := range c.pending {
		x.proposed = -1
	}
	c.openAt = -repeatAfter
	c.kick()
}

// close ends all calls: nobody will hear what became of them.
func (c *proposer) close() {
	queue, pending := c.queue, c.pending
	c.queue, c.pending = nil, map[uint64]*call{}
	for _, x := range queue {
		x.done(outcome{never: true})
	}
	for seq := c.low; seq < c.next; seq++ {
		if x := pending[seq]; x != nil {
			maybe := x.maybe || x.flying
			x.done(outcome{unknown: maybe, never: !maybe})
		}
	}
}

// readBatch shares ReadIndex among strong reads: those that come while one is
// under way wait for the next.
type readBatch struct {
	m       *member
	running bool
	next    []func(codec.Index, error)
}

func (b *readBatch) join(done func(codec.Index, error)) {
	b.next = append(b.next, done)
	b.run()
}

func (b *readBatch) run() {
	if b.running || len(b.next) == 0 {
		return
	}
	b.running = true
	round := b.next
	b.next = nil
	until := b.m.w.time.now + readTimeout
	var ask func()
	end := func(i codec.Index, err error) {
		b.running = false
		for _, done := range round {
			done(i, err)
		}
		b.run()
	}
	ask = func() {
		b.m.askLeader(&codec.ReadIndex{}, func(a codec.Answer, err error) {
			switch {
			case err == nil && a.Status == codec.CallOK:
				end(a.Index, nil)
			case b.m.w.time.now >= until:
				end(0, errNoLeader)
			default:
				b.m.after(noLeaderPause, ask)
			}
		})
	}
	ask()
}
