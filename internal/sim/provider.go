package sim

import (
	"time"

	"github.com/logmesh/logmesh/codec"
)

// provider plays the provider actor: it serves blocks from the ledger.
type provider struct {
	m        *member
	sessions map[codec.PeerID]*serving
}

// serving is one requester's stream, with the lease that is open on it.
type serving struct {
	p      *provider
	stream *stream
	lease  serverLease
	last   uint64 // greatest lease number seen
	busy   bool   // a block is on its way out
}

// serverLease is an open lease: an ordered list of ranges.
type serverLease struct {
	number, seq, place uint64
	open, trimmed      bool
	ranges             []codec.WantRange
	sent, last         uint64
}

func newProvider(m *member) *provider {
	return &provider{m: m, sessions: map[codec.PeerID]*serving{}}
}

// accept takes a peer's stream; a second one replaces the first.
func (p *provider) accept(from *member, s *stream) (on func(frame), ended func()) {
	v := &serving{p: p, stream: s}
	p.m.after(0, func() {
		if old := p.sessions[from.peer]; old != nil {
			old.stream.close(p.m)
		}
		p.sessions[from.peer] = v
		v.send(ptr(p.offer(codec.AvailabilityRequest{})))
	})
	return v.frame, func() {
		if p.sessions[from.peer] == v {
			delete(p.sessions, from.peer)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// offer is what this node has now.
func (p *provider) offer(q codec.AvailabilityRequest) codec.AvailabilityReply {
	l, v := p.m.ledger, &p.m.raft.view
	head := l.Head()
	r := codec.AvailabilityReply{Nonce: q.Nonce, Head: head, Horizon: l.FirstIndex()}
	r.Rounded = p.root(head.Blocks - head.Blocks%codec.ProofGroup)
	for _, n := range q.Sizes {
		if n <= head.Blocks {
			r.Roots = append(r.Roots, p.root(n))
		}
	}
	if v.open {
		r.Voter, r.Leader = v.role == codec.RoleVoter, v.lead
		r.Committed = codec.Cursor{Index: v.status.Commit}
		if term, err := l.Term(v.status.Commit); err == nil {
			r.Committed.Term = term
		}
	}
	r.Digest, _ = p.m.replay.core.BlockDigest()
	r.Held = p.held(&r.Head)
	return r
}

// held is the ranges that the node says to have.
func (p *provider) held(head *codec.Head) []codec.BlockRange {
	if p.m.lies && !p.m.raft.view.lead {
		head.Blocks += 1 + p.m.dice.Uint64N(5)
	}
	if head.Blocks == 0 {
		return nil
	}
	return []codec.BlockRange{{From: 0, To: head.Blocks}}
}

func (p *provider) root(n uint64) codec.SizedRoot {
	root, err := p.m.ledger.RootAt(n)
	if err != nil {
		return codec.SizedRoot{}
	}
	return codec.SizedRoot{Blocks: n, Root: root}
}

func (v *serving) send(m codec.Message) {
	v.stream.send(v.p.m, codec.TypeOf(m), v.p.m.w.encode(m))
}

func (v *serving) frame(f frame) {
	m := newMessage(f.kind)
	v.p.m.w.decode(f.body, m)
	switch m := m.(type) {
	case *codec.AvailabilityRequest:
		v.send(ptr(v.p.offer(*m)))
	case *codec.Fetch:
		v.fetch(*m)
	case *codec.Extend:
		if v.lease.open && v.lease.number == m.Lease && v.step(m.Seq) {
			v.lease.ranges = append(v.lease.ranges, m.Ranges...)
		}
	case *codec.Trim:
		if v.lease.open && v.lease.number == m.Lease && v.step(m.Seq) {
			v.lease.trim(m.Place)
		}
	case *codec.Cancel:
		if v.lease.open && v.lease.number == m.Lease {
			v.end(codec.EndCancelled)
		}
	}
	v.pump()
}

func (v *serving) fetch(m codec.Fetch) {
	if v.lease.open || m.Lease <= v.last {
		v.p.m.w.violate("two leases of one peer", "member %d is asked for lease %d with %d open, %d the last", v.p.m.number, m.Lease, v.lease.number, v.last)
		return
	}
	v.last = m.Lease
	v.lease = serverLease{number: m.Lease, open: true, ranges: m.Ranges}
}

func (v *serving) step(seq uint64) bool {
	if seq != v.lease.seq+1 {
		v.p.m.w.violate("a gap in a lease", "member %d: %d follows %d", v.p.m.number, seq, v.lease.seq)
		return false
	}
	v.lease.seq = seq
	return true
}

func (l *serverLease) trim(place uint64) {
	l.trimmed = true
	left := place - min(place, l.place)
	for i, r := range l.ranges {
		if r.To-r.From >= left {
			l.ranges[i].To = r.From + left
			l.ranges = l.ranges[:i+1]
			if left == 0 {
				l.ranges = l.ranges[:i]
			}
			return
		}
		left -= r.To - r.From
	}
}

// pump hands one block to the stream, and the next when that has left.
func (v *serving) pump() {
	l := &v.lease
	if !l.open || v.busy || v.stream.dead {
		return
	}
	if len(l.ranges) == 0 {
		why := codec.EndDone
		if l.trimmed {
			why = codec.EndTrimmed
		}
		v.end(why)
		return
	}
	m, number := v.p.m, l.ranges[0].From
	block, err := m.ledger.Block(number)
	if err != nil {
		v.end(codec.EndUnavailable)
		return
	}
	block = m.w.faults.forge(number, block)
	body := codec.AppendBlocksHead(make([]byte, 0, len(block)+32), l.number, number, false, len(block))
	leaves := v.stream.send(m, codec.TypeBlocks, append(body, block...))
	if m.slowServe > 0 {
		leaves += time.Duration(float64(len(block)) / m.slowServe * float64(time.Second))
	}
	l.sent, l.last = l.sent+1, number
	l.place++
	if l.ranges[0].From++; l.ranges[0].From == l.ranges[0].To {
		l.ranges = l.ranges[1:]
	}
	v.busy = true
	m.after(leaves, func() { v.busy = false; v.pump() })
}

// end closes the lease with an End that carries what the node has now.
func (v *serving) end(reason codec.EndReason) {
	now := v.p.offer(codec.AvailabilityRequest{})
	l := &v.lease
	l.open = false
	v.send(&codec.End{
		Lease: l.number, Seq: l.seq, Sent: l.sent, Last: l.last, Reason: reason,
		Held: now.Held, Head: now.Head, Horizon: now.Horizon, Digest: now.Digest,
	})
}
