package sim

import (
	"errors"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
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
	lease  catchup.Served
	last   uint64          // greatest lease number seen
	busy   bool            // a block or leaves are on their way out
	leaves map[uint64]bool // proof groups whose leaves this lease was sent
}

func newProvider(m *member) *provider {
	return &provider{m: m, sessions: map[codec.PeerID]*serving{}}
}

// accept takes a peer's stream; a second one replaces the first.
func (p *provider) accept(from *member, s *stream) (on func(frame), ended func()) {
	v := &serving{p: p, stream: s, leaves: map[uint64]bool{}}
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
	l, v := p.source(), &p.m.raft.view
	head := l.Head()
	r := codec.AvailabilityReply{Nonce: q.Nonce, Head: head, Horizon: p.m.ledger.FirstIndex()}
	r.Rounded = root(l, head.Blocks-head.Blocks%codec.ProofGroup)
	for _, n := range q.Sizes {
		if n <= head.Blocks {
			r.Roots = append(r.Roots, root(l, n))
		}
	}
	if v.open {
		r.Voter, r.Leader = v.role == codec.RoleVoter, v.lead
		r.Committed = codec.Cursor{Index: v.status.Commit}
		if term, err := p.m.ledger.Term(v.status.Commit); err == nil {
			r.Committed.Term = term
		}
	}
	r.Digest, _ = p.m.replay.core.BlockDigest()
	if head.Blocks > 0 {
		r.Held = []codec.BlockRange{{From: 0, To: head.Blocks}}
	}
	if !p.m.w.everVoter(p.m.peer) {
		p.boast(&r)
	}
	return r
}

// boast claims blocks that the node does not have. A voter does so only at the
// end of a lease: its offers are statements that are counted.
func (p *provider) boast(r *codec.AvailabilityReply) {
	if p.m.lies && !p.m.raft.view.lead {
		r.Head.Blocks += 1 + p.m.dice.Uint64N(5)
		r.Held = []codec.BlockRange{{From: 0, To: r.Head.Blocks}}
	}
}

func root(l source, n uint64) codec.SizedRoot {
	root, err := l.RootAt(n)
	if err != nil {
		return codec.SizedRoot{}
	}
	return codec.SizedRoot{Blocks: n, Root: root}
}

func (v *serving) send(m codec.Message) time.Duration {
	return v.stream.send(v.p.m, codec.TypeOf(m), v.p.m.w.encode(m))
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
		if v.lease.Is(m.Lease) {
			v.inOrder(v.lease.Extend(*m))
		}
	case *codec.Trim:
		if v.lease.Is(m.Lease) {
			v.inOrder(v.lease.Trim(*m))
		}
	case *codec.Cancel:
		if v.lease.Is(m.Lease) {
			v.end(codec.EndCancelled)
		}
	}
	v.pump()
}

func (v *serving) fetch(m codec.Fetch) {
	if v.lease.Open || m.Lease <= v.last {
		v.p.m.w.violate("two leases of one peer", "member %d is asked for lease %d with %d open, %d the last", v.p.m.number, m.Lease, v.lease.Number, v.last)
		return
	}
	v.last = m.Lease
	v.lease = catchup.Serve(m)
	clear(v.leaves)
}

func (v *serving) inOrder(err error) {
	if err != nil {
		v.p.m.w.violate("a gap in a lease", "member %d: %v", v.p.m.number, err)
	}
}

// pump hands one block or the leaves of a proof group to the stream, and what
// follows when that has left.
func (v *serving) pump() {
	l := &v.lease
	for l.Open && !v.busy && !v.stream.dead {
		number, proved, ok := l.Next()
		switch {
		case !ok:
			v.end(l.Done())
		case l.LeavesOnly && proved:
			l.Pass(proved)
		case l.LeavesOnly:
			if v.sendLeaves(number) {
				l.Pass(proved)
			}
		case l.Tree > 0 && !proved && !v.leaves[number/codec.ProofGroup]:
			v.sendLeaves(number)
		default:
			v.sendBlock(number)
		}
	}
}

func (v *serving) sendBlock(number uint64) {
	m, l := v.p.m, &v.lease
	block, err := v.p.source().Block(number)
	if err != nil {
		v.end(codec.EndUnavailable)
		return
	}
	body := codec.AppendBlocksHead(make([]byte, 0, len(block)+32), l.Number, number, false, len(block))
	leaves := v.stream.send(m, codec.TypeBlocks, append(body, block...))
	l.Advance(number)
	v.rest(leaves, len(block))
}

// sendLeaves sends the leaves of number's proof group. False says that the
// lease has ended instead.
func (v *serving) sendLeaves(number uint64) bool {
	from, tree := number-number%codec.ProofGroup, v.lease.Tree
	to := min(from+codec.ProofGroup, tree)
	src := v.p.source()
	if from >= to || tree > src.Head().Blocks {
		v.end(codec.EndUnavailable)
		return false
	}
	m := &codec.Leaves{Lease: v.lease.Number, Group: number / codec.ProofGroup, Tree: tree}
	var errs [3]error
	m.Leaves, errs[0] = src.Leaves(from, to)
	m.Left, errs[1] = src.Range(0, from)
	m.Right, errs[2] = src.Range(to, tree)
	if errors.Join(errs[:]...) != nil {
		v.end(codec.EndUnavailable)
		return false
	}
	v.leaves[m.Group] = true
	v.rest(v.send(m), (len(m.Leaves)+len(m.Left)+len(m.Right))*len(codec.Hash{}))
	return true
}

// rest goes on when size bytes have left.
func (v *serving) rest(leaves time.Duration, size int) {
	if slow := v.p.m.slowServe; slow > 0 {
		leaves += time.Duration(float64(size) / slow * float64(time.Second))
	}
	v.busy = true
	v.p.m.after(leaves, func() { v.busy = false; v.pump() })
}

// end closes the lease with an End that carries what the node has now.
func (v *serving) end(reason codec.EndReason) {
	now := v.p.offer(codec.AvailabilityRequest{})
	v.p.boast(&now)
	l := &v.lease
	l.Open = false
	v.send(&codec.End{
		Lease: l.Number, Seq: l.Seq, Sent: l.Sent, Last: l.Last, Reason: reason,
		Held: now.Held, Head: now.Head, Horizon: now.Horizon, Digest: now.Digest,
	})
}
