package catchup

import (
	"testing"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// BenchmarkSession reports how many events a second a plan takes in a session
// of 100,000 blocks from 4 peers, each block one event.
func BenchmarkSession(b *testing.B) {
	const blocks = 100_000
	data := make([]byte, 4<<10)
	events := 0
	for b.Loop() {
		p := New(Config{Session: session, Target: blocks})
		now := time.Duration(0)
		var todo []Event
		take := func(effects []Effect) {
			for _, f := range effects {
				switch f := f.(type) {
				case Fetch:
					todo = append(todo, arrivals(f.Peer, f.Lease, f.Ranges, data)...)
				case Extend:
					todo = append(todo, arrivals(f.Peer, f.Lease, f.Ranges, data)...)
				case Cancel:
					todo = append(todo, StreamReset{f.Peer, f.Lease})
				case Release:
					todo = append(todo, Stored{Through: f.First + uint64(len(f.Blocks))})
				}
			}
		}
		for _, id := range []codec.PeerID{"A", "B", "C", "D"} {
			take(p.Step(now, PeerOffered{id, codec.AvailabilityReply{
				Nonce: session, Held: []codec.BlockRange{{To: blocks}}, Head: codec.Head{Blocks: blocks},
			}}))
		}
		for len(todo) > 0 {
			e := todo[0]
			todo = todo[1:]
			now += 50 * time.Microsecond
			events++
			take(p.Step(now, e))
			for _, x := range p.peers {
				if x.lease != nil && x.lease.owed == 0 {
					take(p.Step(now, LeaseEnded{x.id, codec.End{Lease: x.lease.number, Seq: x.lease.seq, Reason: codec.EndDone}}))
				}
			}
		}
		if s := p.Status(); !s.Finished {
			b.Fatalf("not finished: %+v", s)
		}
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

func arrivals(peer codec.PeerID, lease uint64, ranges []codec.WantRange, data []byte) (events []Event) {
	for _, r := range ranges {
		for n := r.From; n < r.To; n++ {
			events = append(events, BlockArrived{peer, lease, n, data, codec.Hash{}})
		}
	}
	return events
}
