package actors

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// fakeNetwork is a network in memory. What is nil does nothing.
type fakeNetwork struct {
	open      func(ctx context.Context, to codec.PeerID) (Stream, error)
	broadcast func(codec.AvailabilityRequest)
	call      func(ctx context.Context, to codec.PeerID, m codec.Message) (codec.Answer, error)
	send      func(id codec.RaftID, m codec.Message) bool // must not wait for the group
	know      func([]codec.Member)

	mu    sync.Mutex
	bonds []codec.PeerID
	raft  []codec.Message
}

var errNoNetwork = errors.New("no network")

func (n *fakeNetwork) Bonds() []codec.PeerID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.bonds)
}

func (n *fakeNetwork) bond(peers ...codec.PeerID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bonds = peers
}

func (n *fakeNetwork) Broadcast(req codec.AvailabilityRequest) error {
	if n.broadcast != nil {
		n.broadcast(req)
	}
	return nil
}

func (n *fakeNetwork) Reply(context.Context, codec.PeerID, codec.AvailabilityReply) error { return nil }

func (n *fakeNetwork) OpenSync(ctx context.Context, to codec.PeerID) (Stream, error) {
	if n.open == nil {
		return nil, errNoNetwork
	}
	return n.open(ctx, to)
}

func (n *fakeNetwork) Call(ctx context.Context, to codec.PeerID, m codec.Message) (codec.Answer, error) {
	if n.call == nil {
		return codec.Answer{}, errNoNetwork
	}
	return n.call(ctx, to, m)
}

func (n *fakeNetwork) SendRaft(_ codec.PeerID, _, id codec.RaftID, m codec.Message, _ bool) bool {
	if n.send != nil {
		return n.send(id, m)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.raft = append(n.raft, m)
	return true
}

func (n *fakeNetwork) Know(members []codec.Member) {
	if n.know != nil {
		n.know(members)
	}
}

// fakePeer serves a log on sync streams, and notes what must not happen.
type fakePeer struct {
	id  codec.PeerID
	log *testLog

	mu     sync.Mutex
	head   int      // blocks that it has
	leader bool     // it says so
	mute   bool     // it offers, and never serves
	rate   int      // bytes/s; 0: no limit
	forge  bool     // the leaves that it sends do not prove
	flip   bool     // every block that it serves has a bit flipped
	rebel  *testLog // if set, the roots that it states are of this log

	streams  int
	served   int // blocks
	fetches  []uint64
	faults   []string
	shutDown bool // streams end at the next message, none opens
}

func (p *fakePeer) set(f func(*fakePeer)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *fakePeer) get(f func(*fakePeer) int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f(p)
}

func (p *fakePeer) offer(nonce uint64, sizes []uint64) codec.AvailabilityReply {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := p.log
	if p.rebel != nil {
		log = p.rebel
	}
	r := codec.AvailabilityReply{Nonce: nonce, Head: log.head(p.head), Leader: p.leader, Voter: true}
	if p.head > 0 {
		r.Held = []codec.BlockRange{{To: uint64(p.head)}}
	}
	for _, n := range sizes {
		if n <= uint64(p.head) {
			r.Roots = append(r.Roots, codec.SizedRoot{Blocks: n, Root: log.tree[n]})
		}
	}
	return r
}

// received is one frame that a peer read.
type received struct {
	kind codec.FrameType
	body []byte
}

// frames reads frames until the stream ends.
func frames(s io.Reader, allowed ...codec.FrameType) <-chan received {
	out := make(chan received, 64)
	go func() {
		defer close(out)
		for {
			kind, body, err := codec.ReadFrame(s, nil, allowed...)
			if err != nil {
				return
			}
			out <- received{kind, body}
		}
	}()
	return out
}

func write(s io.Writer, m codec.Message) {
	frame, err := codec.AppendFrame(nil, m)
	if err != nil {
		panic(err)
	}
	_, _ = s.Write(frame)
}

// serve answers one stream until it ends.
func (p *fakePeer) serve(s Stream) {
	defer func() { _ = s.Reset() }()
	in := frames(s, providerFrames...)
	defer func() {
		_ = s.Reset()
		for range in { // let the reader end
		}
	}()
	first := p.offer(0, nil)
	write(s, &first)
	var l catchup.Served
	for {
		p.mu.Lock()
		serving, down := l.Open && !p.mute, p.shutDown
		p.mu.Unlock()
		if down {
			return
		}
		var (
			f  received
			ok bool
		)
		if serving {
			select {
			case f, ok = <-in:
			default:
				p.step(s, &l)
				continue
			}
		} else {
			f, ok = <-in
		}
		if !ok {
			return
		}
		p.handle(s, &l, f)
	}
}

func (p *fakePeer) handle(s Stream, l *catchup.Served, f received) {
	var err error
	switch f.kind {
	case codec.TypeAvailabilityRequest:
		var m codec.AvailabilityRequest
		err = codec.Decode(f.body, &m)
		r := p.offer(m.Nonce, m.Sizes)
		write(s, &r)
	case codec.TypeFetch:
		var m codec.Fetch
		err = codec.Decode(f.body, &m)
		p.set(func(p *fakePeer) {
			if l.Open || m.Lease <= l.Number {
				p.faults = append(p.faults, "a Fetch on an open lease, or a number that was used")
			}
			p.fetches = append(p.fetches, m.Lease)
		})
		*l = catchup.Serve(m)
	case codec.TypeExtend:
		var m codec.Extend
		if err = codec.Decode(f.body, &m); l.Is(m.Lease) {
			err = errors.Join(err, l.Extend(m))
		}
	case codec.TypeTrim:
		var m codec.Trim
		if err = codec.Decode(f.body, &m); l.Is(m.Lease) {
			err = errors.Join(err, l.Trim(m))
		}
	case codec.TypeCancel:
		var m codec.Cancel
		if err = codec.Decode(f.body, &m); l.Is(m.Lease) {
			p.end(s, l, codec.EndCancelled)
		}
	}
	if err != nil {
		p.set(func(p *fakePeer) { p.faults = append(p.faults, err.Error()) })
	}
}

func (p *fakePeer) end(s Stream, l *catchup.Served, reason codec.EndReason) {
	l.Open = false
	now := p.offer(0, nil)
	write(s, &codec.End{Lease: l.Number, Seq: l.Seq, Sent: l.Sent, Last: l.Last, Reason: reason, Held: now.Held, Head: now.Head})
}

// step serves one block, after the leaves of its group.
func (p *fakePeer) step(s Stream, l *catchup.Served) {
	number, proved, ok := l.Next()
	if !ok {
		p.end(s, l, l.Done())
		return
	}
	if l.Tree > 0 && !proved {
		p.prove(s, l, number)
	}
	if l.LeavesOnly {
		l.Pass(proved)
		return
	}
	p.mu.Lock()
	head, rate, flip := p.head, p.rate, p.flip
	p.served++
	p.mu.Unlock()
	if number >= uint64(head) {
		p.end(s, l, codec.EndUnavailable)
		return
	}
	data := p.log.blocks[number]
	if flip {
		data = slices.Clone(data)
		data[0] ^= 1
	}
	if rate > 0 {
		time.Sleep(time.Duration(len(data)) * time.Second / time.Duration(rate)) // in a bubble
	}
	write(s, &codec.Blocks{Lease: l.Number, Number: number, Data: data})
	l.Advance(number)
}

// prove sends a group's leaves with its first block, or again.
func (p *fakePeer) prove(s Stream, l *catchup.Served, number uint64) {
	group := number / codec.ProofGroup
	if number%codec.ProofGroup > 0 && l.Sent > 0 && l.Last/codec.ProofGroup == group {
		return
	}
	m := p.log.leaves(l.Tree, group)
	m.Lease = l.Number
	if p.forge {
		m.Leaves[0][0] ^= 1
	}
	write(s, m)
}

func (p *fakePeer) requireNoFaults(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(t, p.faults, "peer %s", p.id)
}
