package sim

import (
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// fetcher plays the fetch actor of one peer. The actor lets a Fetch wait while a
// lease is open; here it is a violation, because the plan never asks for it.
type fetcher struct {
	c      *coordinator
	peer   *member
	gone   bool
	stream *stream
	lease  uint64 // open; 0: none
}

func newFetcher(c *coordinator, peer *member) *fetcher { return &fetcher{c: c, peer: peer} }

func (f *fetcher) fetch(m codec.Fetch) {
	if f.lease != 0 {
		f.c.m.w.violate("two leases of one peer", "member %d: lease %d of %s while %d is open", f.c.m.number, m.Lease, f.peer.peer, f.lease)
		return
	}
	f.lease = m.Lease
	f.write(&m)
}

// amend sends an Extend or a Trim of the open lease.
func (f *fetcher) amend(lease uint64, m codec.Message) {
	if lease == f.lease {
		f.write(m)
	}
}

func (f *fetcher) cancel(lease uint64) {
	if lease != f.lease {
		return
	}
	if f.c.m.w.faults.EarlyEnd {
		f.lease = 0
		f.c.m.after(0, func() {
			f.c.step(catchup.LeaseEnded{Peer: f.peer.peer, End: codec.End{Lease: lease, Reason: codec.EndCancelled}})
		})
		return
	}
	f.write(&codec.Cancel{Lease: lease})
	f.c.m.after(cancelTimeout, func() {
		if f.lease == lease && !f.gone {
			f.reset()
		}
	})
}

// write sends m, on a new stream if there is none.
func (f *fetcher) write(m codec.Message) {
	if f.stream == nil {
		var s *stream
		s = f.c.m.w.net.open(f.c.m, f.peer, func(fr frame) {
			if f.stream == s && !f.gone {
				f.frame(fr)
			}
		}, func() {
			if f.stream == s && !f.gone {
				f.lost()
			}
		})
		f.stream = s
	}
	f.stream.send(f.c.m, codec.TypeOf(m), f.c.m.w.encode(m))
}

func (f *fetcher) frame(fr frame) {
	switch fr.kind {
	case codec.TypeAvailabilityReply:
		var m codec.AvailabilityReply
		f.c.m.w.decode(fr.body, &m)
		f.c.offered(f.peer.peer, m)
	case codec.TypeBlocks:
		b, err := codec.DecodeBlocks(fr.body)
		if err != nil {
			f.c.m.w.violate("codec", "%v", err)
			return
		}
		if b.Lease == f.lease {
			f.c.step(catchup.BlockArrived{Peer: f.peer.peer, Lease: b.Lease, Number: b.Number, Data: b.Data, Leaf: codec.Leaf(b.Data)})
		}
	case codec.TypeLeaves:
		var m codec.Leaves
		f.c.m.w.decode(fr.body, &m)
		if m.Lease == f.lease {
			f.c.m.w.reached["leaves"]++
			f.c.step(catchup.LeavesArrived{Peer: f.peer.peer, Leaves: m})
		}
	case codec.TypeEnd:
		var m codec.End
		f.c.m.w.decode(fr.body, &m)
		if m.Lease == f.lease {
			f.lease = 0
			f.c.step(catchup.LeaseEnded{Peer: f.peer.peer, End: m})
		}
	}
}

// reset gives the stream up; the next message opens another.
func (f *fetcher) reset() {
	f.stream.close(f.c.m)
	f.lost()
}

// lost tells the plan that the stream is gone, with the lease on it.
func (f *fetcher) lost() {
	lease := f.lease
	f.stream, f.lease = nil, 0
	if lease != 0 {
		f.c.step(catchup.StreamReset{Peer: f.peer.peer, Lease: lease})
	}
}

func (f *fetcher) stop() {
	f.gone = true
	if f.stream != nil {
		f.stream.close(f.c.m)
	}
}
