package catchup

import (
	"runtime"
	"testing"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// drive is a session from 4 peers that deliver at once what they are asked for,
// each block one event; the fourth has only the newer half. It is over after so
// many events, or at its end.
type drive struct {
	plan   *Plan
	now    time.Duration
	todo   []Event
	events int
	data   []byte
	steps  int // of the plan
}

func newDrive(blocks uint64, size int) *drive {
	d := &drive{plan: New(Config{Session: session, Target: blocks, Window: 16 << 20}), data: make([]byte, size)}
	for _, id := range []codec.PeerID{"A", "B", "C", "D"} {
		held := codec.BlockRange{To: blocks}
		if id == "D" {
			held.From = blocks / 2
		}
		d.step(PeerOffered{id, codec.AvailabilityReply{
			Nonce: session, Held: []codec.BlockRange{held}, Head: codec.Head{Blocks: blocks},
		}})
	}
	return d
}

func (d *drive) step(e Event) {
	d.steps++
	for _, f := range d.plan.Step(d.now, e) {
		switch f := f.(type) {
		case Fetch:
			d.ask(f.Peer, f.Lease, f.Ranges)
		case Extend:
			d.ask(f.Peer, f.Lease, f.Ranges)
		case Cancel:
			d.todo = append(d.todo, StreamReset{f.Peer, f.Lease})
		case Release:
			d.todo = append(d.todo, Stored{Through: f.First + uint64(len(f.Blocks))})
		}
	}
}

func (d *drive) ask(peer codec.PeerID, lease uint64, ranges []codec.WantRange) {
	for _, r := range ranges {
		for n := r.From; n < r.To; n++ {
			d.todo = append(d.todo, BlockArrived{peer, lease, n, d.data, codec.Hash{}})
		}
	}
}

// run takes up to so many events more; 0: all.
func (d *drive) run(events int) {
	for i := 0; len(d.todo) > 0 && (events == 0 || i < events); i++ {
		e := d.todo[0]
		d.todo = d.todo[1:]
		d.now += 50 * time.Microsecond
		d.events++
		d.step(e)
		for _, x := range d.plan.peers {
			if x.lease != nil && x.lease.owed == 0 && !x.lease.cancelled {
				d.step(LeaseEnded{x.id, codec.End{Lease: x.lease.number, Seq: x.lease.seq, Reason: codec.EndDone}})
			}
		}
	}
}

// BenchmarkSession reports how many events a second a plan takes in a session
// of 100,000 blocks from 4 peers.
func BenchmarkSession(b *testing.B) {
	events := 0
	for b.Loop() {
		d := newDrive(100_000, 4<<10)
		d.run(0)
		if s := d.plan.Status(); !s.Finished {
			b.Fatalf("not finished: %+v", s)
		}
		events += d.events
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

// An event costs no more in a long log than in a short one.
func TestCostDoesNotGrowWithTheLog(t *testing.T) {
	const events = 20_000
	cost := func(blocks uint64) time.Duration {
		d := newDrive(blocks, 4<<10)
		d.run(events / 2) // in full swing
		began := cpuTime()
		d.run(events / 2)
		return cpuTime() - began
	}
	best := 1e9
	for range 5 { // one good pair is proof enough: the machine is not ours alone
		short, long := cost(3*events), cost(1_000_000)
		best = min(best, float64(long)/float64(max(short, 1)))
	}
	t.Logf("an event of a session of 1,000,000 blocks costs %.2f of one of %d", best, 3*events)
	if best > 1.5 {
		t.Errorf("%.2f times as much", best)
	}
}

// Nothing is kept of a block that lies beyond the window.
func TestMemoryDoesNotGrowWithTheLog(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := newDrive(10_000_000, 4<<10)
	d.run(50_000)
	slots := len(d.plan.queue.slots)
	d.todo = nil
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d slots, %d bytes", slots, grown)
	if most := 16 << 20 / (4 << 10); slots > 2*most {
		t.Errorf("%d slots, the window has %d blocks", slots, most)
	}
	if grown > 2<<20 {
		t.Errorf("the plan has taken %d bytes", grown)
	}
	runtime.KeepAlive(d)
}
