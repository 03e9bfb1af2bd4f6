package actors

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/replay"
)

const (
	sessionWindow  = 1024            // commands of a session that may be unanswered
	proposeTimeout = 5 * time.Second // for the leader to accept
	repeatAfter    = 2 * time.Second // without an answer after which a command is proposed again
	pollEvery      = 50 * time.Millisecond
	noLeaderPause  = 100 * time.Millisecond
)

// Outcome is what became of a command.
type Outcome struct {
	Index    codec.Index
	Data     []byte // the machine's result, or its reason if Rejected
	Rejected bool
	// Err: ErrExpired, ErrAnswered, ErrStopped, or a *RefusedError. Maybe then says
	// whether the command may have been, or may yet be, applied.
	Err   error
	Maybe bool
}

var (
	// ErrExpired: the group forgot the client session of a command.
	ErrExpired = errors.New("session expired")
	// ErrAnswered: the session's low-water mark has passed a command, so its result
	// is not kept any more.
	ErrAnswered = errors.New("answered before")
)

// client writes commands through whichever member leads, exactly once each: in
// one client session, numbered, proposed again after a leader change until the
// result comes out of our own replay. One goroutine proposes; results are
// delivered by replay.
type client struct {
	// set once
	propose func(ctx context.Context, m *codec.Propose) (codec.Answer, error)
	clock   Clock
	random  func() [codec.OpenNonce]byte
	log     *slog.Logger
	kick    chan struct{}
	session atomic.Uint64 // the open one; 0: none

	mu      sync.Mutex
	opening *[codec.OpenNonce]byte // nonce of the session that is being opened
	openAt  time.Time
	next    uint64 // sequence number of the next command
	low     uint64 // lowest unanswered
	queue   []*Call
	pending map[uint64]*Call
	reigns  uint64 // leader changes so far
	closed  bool
	named   named
}

// Call is a command under way.
type Call struct {
	command []byte
	done    chan Outcome // capacity 1
	// guarded by client.mu
	seq      uint64
	proposed time.Time // last; zero: never accepted
	flying   bool      // it is being proposed
	maybe    bool      // a leader may have it
	key      name      // of a call in client.named
}

func newClient(propose func(context.Context, *codec.Propose) (codec.Answer, error), clock Clock, random func() [codec.OpenNonce]byte, log *slog.Logger) *client {
	return &client{
		propose: propose, clock: clock, random: random, log: log,
		kick: make(chan struct{}, 1), next: 1, low: 1, pending: map[uint64]*Call{}, named: newNamed(),
	}
}

// start queues a command.
func (c *client) start(command []byte) (*Call, error) {
	call := &Call{command: command, done: make(chan Outcome, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrStopped
	}
	c.queue = append(c.queue, call)
	c.poke()
	return call, nil
}

func (c *client) poke() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// abandon stops waiting for a call. It reports whether the command may have
// been, or may yet be, applied.
func (c *client) abandon(call *Call) (maybe bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remove(call) {
		return call.maybe || call.flying
	}
	for i, q := range c.queue {
		if q == call {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			break
		}
	}
	return false
}

// remove takes a call out that may have been proposed; false: it was not there.
func (c *client) remove(call *Call) bool {
	switch {
	case call.key != name{}:
		return c.named.remove(call)
	case call.seq != 0 && c.pending[call.seq] == call: // its number may be another's in a later session
		c.settle(call)
		return true
	}
	return false
}

// settle takes a numbered call out and moves the low-water mark.
func (c *client) settle(call *Call) {
	delete(c.pending, call.seq)
	for c.low < c.next && c.pending[c.low] == nil {
		c.low++
	}
	c.poke()
}

// run proposes until ctx ends.
func (c *client) run(ctx context.Context) {
	for {
		if !c.round(ctx) {
			c.wait(ctx)
		}
		if ctx.Err() != nil {
			c.close()
			return
		}
	}
}

// wait returns when there may be something to propose.
func (c *client) wait(ctx context.Context) {
	wake := make(chan struct{})
	stop := c.clock.AfterFunc(pollEvery, func() { close(wake) })
	defer stop()
	select {
	case <-ctx.Done():
	case <-c.kick:
	case <-wake:
	}
}

// round proposes one batch and reports whether there may be more.
func (c *client) round(ctx context.Context) bool {
	m, calls, reign := c.batch()
	if len(m.Commands) == 0 {
		return false
	}
	cc, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	answer, err := c.propose(cc, m)
	accepted := 0
	switch {
	case err == nil && answer.Status == codec.CallOK:
		accepted = min(int(answer.Index), len(calls))
	case err == nil && answer.Status == codec.CallRefused:
		c.log.Warn("the leader refused commands", "reason", answer.Reason)
	}
	c.proposed(calls, accepted, answer, err, reign)
	if accepted < len(calls) {
		c.pause(ctx, noLeaderPause)
	}
	return true
}

// proposed notes what came of proposing calls, of which the first so many were
// accepted, by a leader of that reign.
func (c *client) proposed(calls []*Call, accepted int, answer codec.Answer, err error, reign uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	for i, call := range calls {
		if call == nil {
			continue
		}
		if i < accepted && reign == c.reigns { // else it may be lost with its leader
			call.proposed = now
		}
		call.flying = false
		// An answer that did not come in time says nothing; see Group.Called.
		if i < accepted || err != nil || answer.Status == codec.CallUnavailable {
			call.maybe = true
		}
		// Asking again would end the same way.
		if err == nil && answer.Status == codec.CallRefused && c.remove(call) {
			call.done <- Outcome{Err: &RefusedError{Reason: answer.Reason, Maybe: call.maybe}, Maybe: call.maybe}
		}
	}
	if accepted == 0 || reign != c.reigns {
		c.openAt = time.Time{}
	}
}

func (c *client) pause(ctx context.Context, d time.Duration) {
	wake := make(chan struct{})
	stop := c.clock.AfterFunc(d, func() { close(wake) })
	defer stop()
	select {
	case <-ctx.Done():
	case <-wake:
	}
}

// batch collects what is to be proposed now: the opening of our own session, or
// commands that no leader accepted yet or that went too long without an answer,
// and named calls. The calls stand beside the commands; that of our own opening is
// nil. reign is that in which they are proposed.
func (c *client) batch() (m *codec.Propose, calls []*Call, reign uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := gathering{now: c.clock.Now()}
	if c.session.Load() == 0 {
		c.openOwn(&b)
	} else {
		c.number()
		c.gatherOwn(&b)
	}
	c.named.gather(&b)
	return &codec.Propose{Commands: b.commands}, b.calls, c.reigns
}

// openOwn opens a session when there is a command for it.
func (c *client) openOwn(b *gathering) {
	if len(c.queue) == 0 || b.now.Sub(c.openAt) < repeatAfter {
		return
	}
	if c.opening == nil {
		nonce := c.random()
		c.opening = &nonce
	}
	c.openAt = b.now
	b.add(nil, codec.AppendCommand(nil, codec.Command{Payload: c.opening[:]}))
}

func (c *client) gatherOwn(b *gathering) {
	for seq := c.low; seq < c.next; seq++ {
		call := c.pending[seq]
		if call == nil || !call.due(b.now) {
			continue
		}
		data := codec.AppendCommand(nil, codec.Command{
			Session: codec.SessionID(c.session.Load()), Seq: seq, Low: c.low, Payload: call.command,
		})
		if !b.add(call, data) {
			return
		}
	}
}

// number gives queued calls their sequence numbers, as far as the window allows.
func (c *client) number() {
	n := 0
	for n < len(c.queue) && c.next < c.low+sessionWindow {
		call := c.queue[n]
		call.seq = c.next
		c.pending[c.next] = call
		c.next++
		n++
	}
	c.queue = append(c.queue[:0], c.queue[n:]...)
}

// deliver takes a result from replay. It is called for every command of every
// session, so what is not ours is left at once.
func (c *client) deliver(r replay.Result) {
	c.deliverNamed(r)
	if len(r.Nonce) > 0 {
		c.opened(r)
		return
	}
	if session := c.session.Load(); session == 0 || codec.SessionID(session) != r.Session {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Expired {
		c.expired()
		return
	}
	call := c.pending[r.Seq]
	if call == nil {
		return
	}
	c.settle(call)
	call.done <- outcomeOf(r)
}

func outcomeOf(r replay.Result) Outcome {
	switch {
	case r.Expired:
		return Outcome{Err: ErrExpired, Maybe: true}
	case r.Answered:
		return Outcome{Err: ErrAnswered, Maybe: true}
	}
	return Outcome{Index: r.Index, Data: bytes.Clone(r.Data), Rejected: r.Rejected}
}

func (c *client) opened(r replay.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opening == nil || !bytes.Equal(c.opening[:], r.Nonce) {
		return
	}
	c.opening = nil
	c.session.Store(uint64(r.Session))
	c.next, c.low = 1, 1
	c.poke()
}

// expired ends the session that the group forgot: what no leader has goes into
// the next one, the fate of the rest is unknown.
func (c *client) expired() {
	c.session.Store(0)
	c.openAt = time.Time{}
	var again []*Call
	for seq := c.low; seq < c.next; seq++ {
		call := c.pending[seq]
		switch {
		case call == nil:
		case call.maybe || call.flying:
			call.done <- Outcome{Err: ErrExpired, Maybe: true}
		default:
			call.seq, call.proposed = 0, time.Time{}
			again = append(again, call)
		}
	}
	c.queue = append(again, c.queue...)
	c.pending = map[uint64]*Call{}
	c.next, c.low = 1, 1
	c.poke()
}

// repropose makes everything unanswered be proposed again at once: the leader
// has changed.
func (c *client) repropose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reigns++
	for _, call := range c.pending {
		call.proposed = time.Time{}
	}
	for _, call := range c.named.calls {
		call.proposed = time.Time{}
	}
	c.openAt = time.Time{}
	c.poke()
}

func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, call := range slices.Concat(valuesInOrder(c.pending, c.low, c.next), c.queue, c.named.calls) {
		call.done <- Outcome{Err: ErrStopped, Maybe: call.maybe || call.flying}
	}
	c.queue, c.pending = nil, map[uint64]*Call{}
	c.named.clear()
}

func valuesInOrder(m map[uint64]*Call, from, to uint64) []*Call {
	var out []*Call
	for seq := from; seq < to; seq++ {
		if call := m[seq]; call != nil {
			out = append(out, call)
		}
	}
	return out
}
