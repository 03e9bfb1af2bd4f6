package actors

import (
	"errors"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
	"github.com/logmesh/logmesh/internal/ledger"
)

const (
	maxSessions     = 16              // sync sessions served at once
	memberSessions  = 12              // of these, kept for configured members
	sessionIdle     = 2 * time.Minute // without a frame from the requester
	busyRetry       = time.Second     // after which a refused requester may come back
	minUnsent       = 64 << 10        // bytes handed to a stream and not yet written, at least
	maxUnsent       = 4 << 20
	unsentTime      = 400 * time.Millisecond // of a session's rate, unsent
	deficitPerRound = 64 << 10               // bytes that a session's turn adds
)

// Messages to the provider.
type (
	// sessionOpened: a peer opened a sync stream.
	sessionOpened struct {
		id     uint64
		peer   codec.PeerID
		stream Stream
	}
	sessionFrame struct {
		id    uint64
		frame frame
	}
	sessionEnded struct {
		id  uint64
		err error
	}
	blockWritten struct {
		id   uint64
		size int64
	}
	// rateChanged limits what is served, in bytes a second; 0: no limit.
	rateChanged struct{ bytesPerSec int64 }
	// refilled: the byte rate allows the next block.
	refilled struct{}
)

var providerFrames = []codec.FrameType{codec.TypeAvailabilityRequest, codec.TypeFetch, codec.TypeExtend, codec.TypeTrim, codec.TypeCancel}

// provider is the actor that serves blocks from the ledger. It never blocks
// consensus: it only reads what is sealed.
type provider struct {
	// set once
	ledger *ledger.Ledger
	clock  Clock
	log    *slog.Logger
	offer  func(codec.AvailabilityRequest) codec.AvailabilityReply
	member func(codec.PeerID) bool

	// owned by the actor
	sessions map[uint64]*session
	order    []*session // round robin
	turn     int
	bucket   bucket
	wake     func() // stops the timer of a refilled that is on the way; nil: none
}

// session is one requester's stream.
type session struct {
	id     uint64
	peer   codec.PeerID
	conn   *conn
	busy   bool  // over the limits: every Fetch is answered so
	credit int64 // deficit round robin, in bytes
	unsent int64 // handed to the stream, not yet written
	rate   rateMeter

	lease  catchup.Served
	last   uint64 // greatest lease number seen
	leaves map[uint64]bool
}

func (p *provider) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case sessionOpened:
		p.opened(ctx, m)
	case sessionFrame:
		if s := p.sessions[m.id]; s != nil {
			p.frame(s, m.frame)
		}
		m.frame.done()
	case sessionEnded:
		p.remove(m.id)
	case blockWritten:
		if s := p.sessions[m.id]; s != nil {
			s.unsent -= m.size
			s.rate.add(p.clock.Now(), m.size)
		}
	case rateChanged:
		p.awake() // the timer is for the old rate
		p.bucket.setRate(p.clock.Now(), m.bytesPerSec)
	case refilled:
		p.wake = nil
	case *actor.Stopping:
		p.awake()
		for _, s := range p.order {
			s.conn.close()
		}
		return
	}
	p.pump(ctx)
}

func (p *provider) opened(ctx actor.Context, m sessionOpened) {
	for _, s := range p.order {
		if s.peer == m.peer { // a second stream of one peer replaces the first
			p.remove(s.id)
			break
		}
	}
	s := &session{id: m.id, peer: m.peer, leaves: map[uint64]bool{}}
	s.busy = p.full(m.peer)
	self, root := ctx.Self(), ctx.ActorSystem().Root
	s.conn = startConn(m.stream, sessionIdle, providerFrames,
		func(f frame) { root.Send(self, sessionFrame{m.id, f}) },
		func(err error) { root.Send(self, sessionEnded{m.id, err}) })
	p.sessions[s.id] = s
	p.order = append(p.order, s)
	p.sendOffer(s, codec.AvailabilityRequest{})
}

// full reports whether a session of peer, besides those that are served, is one
// too many.
func (p *provider) full(peer codec.PeerID) bool {
	served, strangers := 0, 0
	for _, s := range p.order {
		if s.busy {
			continue
		}
		served++
		if !p.member(s.peer) {
			strangers++
		}
	}
	return served >= maxSessions || !p.member(peer) && strangers >= maxSessions-memberSessions
}

func (p *provider) remove(id uint64) {
	s := p.sessions[id]
	if s == nil {
		return
	}
	s.conn.close()
	delete(p.sessions, id)
	for i := range p.order {
		if p.order[i] == s {
			p.order = append(p.order[:i], p.order[i+1:]...)
			break
		}
	}
}

func (p *provider) sendOffer(s *session, req codec.AvailabilityRequest) {
	reply := p.offer(req)
	p.send(s, &reply)
}

func (p *provider) send(s *session, m codec.Message) {
	if err := s.conn.send(m); err != nil {
		p.log.Debug("sync session given up", "peer", s.peer, "err", err)
		p.remove(s.id)
	}
}

func (p *provider) frame(s *session, f frame) {
	var err error
	switch f.kind {
	case codec.TypeAvailabilityRequest:
		var m codec.AvailabilityRequest
		if err = codec.Decode(f.body, &m); err == nil {
			p.sendOffer(s, m)
		}
	case codec.TypeFetch:
		var m codec.Fetch
		if err = codec.Decode(f.body, &m); err == nil {
			p.fetch(s, m)
		}
	case codec.TypeExtend:
		var m codec.Extend
		if err = codec.Decode(f.body, &m); err == nil && s.lease.Is(m.Lease) {
			err = s.lease.Extend(m)
		}
	case codec.TypeTrim:
		var m codec.Trim
		if err = codec.Decode(f.body, &m); err == nil && s.lease.Is(m.Lease) {
			err = s.lease.Trim(m)
		}
	case codec.TypeCancel:
		var m codec.Cancel
		if err = codec.Decode(f.body, &m); err == nil && s.lease.Is(m.Lease) {
			p.end(s, codec.EndCancelled)
		}
	}
	if err != nil {
		p.log.Warn("a peer broke the sync protocol", "peer", s.peer, "err", err)
		p.end(s, codec.EndRefused)
	}
}

var errLease = errors.New("a Fetch while a lease is open, or a lease number that was used")

func (p *provider) fetch(s *session, m codec.Fetch) {
	switch {
	case s.lease.Open || m.Lease <= s.last:
		p.log.Warn("a peer broke the sync protocol", "peer", s.peer, "err", errLease)
		p.refuse(s, m.Lease)
	case s.busy && p.full(s.peer):
		s.last = m.Lease
		s.lease = catchup.Serve(m)
		p.end(s, codec.EndBusy)
	default:
		s.busy = false
		s.last = m.Lease
		s.lease = catchup.Serve(m)
		clear(s.leaves)
	}
}

// refuse answers a Fetch that must not be: what is open ends, and so does what
// was asked for.
func (p *provider) refuse(s *session, number uint64) {
	if s.lease.Open {
		p.end(s, codec.EndRefused)
	}
	if s.lease.Number != number {
		s.lease = catchup.Served{Number: number}
		p.end(s, codec.EndRefused)
	}
}

// end closes the lease with an End that carries what we have now.
func (p *provider) end(s *session, reason codec.EndReason) {
	now := p.offer(codec.AvailabilityRequest{})
	l := &s.lease
	m := &codec.End{
		Lease: l.Number, Seq: l.Seq, Sent: l.Sent, Last: l.Last, Reason: reason,
		Held: now.Held, Head: now.Head, Horizon: now.Horizon, Digest: now.Digest,
	}
	if reason == codec.EndBusy {
		m.RetryAfter = uint64(busyRetry.Milliseconds())
	}
	l.Open = false
	p.send(s, m)
}

// pump hands blocks to the streams, in turn, as far as the byte rate and each
// stream's unsent bytes allow.
func (p *provider) pump(ctx actor.Context) {
	for idle := 0; idle < len(p.order); {
		if wait := p.bucket.wait(p.clock.Now()); wait > 0 {
			p.sleep(ctx, wait)
			return
		}
		p.turn %= len(p.order)
		s := p.order[p.turn]
		p.turn++
		if !s.ready() {
			s.credit = 0
			idle++
			continue
		}
		idle = 0
		s.credit += deficitPerRound
		for s.credit > 0 && s.ready() && p.sessions[s.id] == s {
			p.serve(ctx, s)
		}
	}
}

func (p *provider) sleep(ctx actor.Context, d time.Duration) {
	if p.wake != nil {
		return
	}
	self, root := ctx.Self(), ctx.ActorSystem().Root
	p.wake = p.clock.AfterFunc(d, func() { root.Send(self, refilled{}) })
}

func (p *provider) awake() {
	if p.wake != nil {
		p.wake()
		p.wake = nil
	}
}

// ready reports whether the stream takes more. A list that has come to its end is
// kept open until its last byte has left: an Extend that comes by then goes on
// without a gap.
func (s *session) ready() bool {
	if _, _, more := s.lease.Next(); !more {
		return s.lease.Open && s.unsent == 0
	}
	return s.lease.Open && s.unsent < s.limit()
}

// limit is how many bytes may be unsent, so that a Trim still bites.
func (s *session) limit() int64 {
	return min(max(minUnsent, int64(s.rate.perSec*unsentTime.Seconds())), maxUnsent)
}

// serve hands one block, or the leaves of a group, to the stream, or ends the
// lease.
func (p *provider) serve(ctx actor.Context, s *session) {
	number, proved, ok := s.lease.Next()
	if !ok {
		p.end(s, s.lease.Done())
		return
	}
	if s.lease.LeavesOnly {
		if proved || p.sendLeaves(ctx, s, number) {
			s.lease.Pass(proved)
		}
		return
	}
	if s.lease.Tree > 0 && !proved && !s.leaves[number/codec.ProofGroup] && !p.sendLeaves(ctx, s, number) {
		return
	}
	block, err := p.ledger.Encoded(number)
	if err != nil {
		p.log.Debug("a block that was asked for is not here", "block", number, "err", err)
		p.end(s, codec.EndUnavailable)
		return
	}
	size := int64(len(block))
	if err := s.conn.sendBlock(blockOut{lease: s.lease.Number, number: number, data: block, zstd: s.lease.Zstd}, p.written(ctx, s, size)); err != nil {
		p.remove(s.id)
		return
	}
	s.lease.Advance(number)
	p.count(s, size)
}

// count notes size bytes that were handed to the stream.
func (p *provider) count(s *session, size int64) {
	s.unsent += size
	s.credit -= size
	p.bucket.take(size)
}

// written is what the stream's writer calls for them.
func (p *provider) written(ctx actor.Context, s *session, size int64) func() {
	self, root, id := ctx.Self(), ctx.ActorSystem().Root, s.id
	return func() { root.Send(self, blockWritten{id, size}) }
}

// sendLeaves sends the leaves of number's proof group. False says that the
// lease has ended instead.
func (p *provider) sendLeaves(ctx actor.Context, s *session, number uint64) bool {
	group := number / codec.ProofGroup
	from, tree := group*codec.ProofGroup, s.lease.Tree
	to := min(from+codec.ProofGroup, tree)
	m := &codec.Leaves{Lease: s.lease.Number, Group: group, Tree: tree}
	var err error
	if from >= to || tree > p.ledger.Head().Blocks {
		p.end(s, codec.EndUnavailable)
		return false
	}
	if m.Leaves, err = p.ledger.Leaves(from, to); err == nil {
		m.Left, err = p.ledger.Range(0, from)
	}
	if err == nil {
		m.Right, err = p.ledger.Range(to, tree)
	}
	if err != nil {
		p.log.Warn("leaves could not be read", "group", group, "err", err)
		p.end(s, codec.EndUnavailable)
		return false
	}
	s.leaves[group] = true
	size := int64(len(m.Leaves)+len(m.Left)+len(m.Right)) * int64(len(codec.Hash{}))
	if err := s.conn.sendThen(m, p.written(ctx, s, size)); err != nil {
		p.remove(s.id)
		return false
	}
	p.count(s, size)
	return true
}
