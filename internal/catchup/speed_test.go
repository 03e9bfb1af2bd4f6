package catchup

import (
	"testing"
	"time"

	"github.com/logmesh/logmesh/codec"
)

const mb = 1e6

func (w *world) mustFinish(limit time.Duration) Status {
	w.t.Helper()
	w.offerAll()
	w.run(limit)
	if !w.finished {
		w.t.Fatalf("not finished at %v: failed %v, %+v", w.now, w.failed, w.plan.Status())
	}
	w.t.Log(w.report())
	return w.plan.Status()
}

func share(s Status, id codec.PeerID) float64 {
	for _, x := range s.Peers {
		if x.Peer == id {
			return float64(x.Blocks) / float64(s.Done)
		}
	}
	return 0
}

func throughput(s Status) float64 { return float64(s.Bytes) / s.Elapsed.Seconds() }

func TestSpeedFourEqualPeers(t *testing.T) {
	const blocks = 110 * 4 // 110 MiB
	w := newWorld(t, Config{Target: blocks}, 1)
	w.disk = 200 * mb
	for _, id := range []codec.PeerID{"A", "B", "C", "L"} {
		w.peer(id, 8*mb, time.Millisecond, 0, blocks).leader = id == "L"
	}
	s := w.mustFinish(time.Minute)
	if r := throughput(s); r < 2.5*8*mb {
		t.Errorf("%.1f MB/s, want at least 2.5 times 8", r/mb)
	}
	for _, id := range []codec.PeerID{"A", "B", "C"} {
		if share(s, id) < 0.15 {
			t.Errorf("%s gave %.3f", id, share(s, id))
		}
	}
	if l := share(s, "L"); l < 0.03 || l > share(s, "A") {
		t.Errorf("the leader gave %.3f", l)
	}
}

func TestSpeedTwentyToOne(t *testing.T) {
	const blocks = 400
	w := newWorld(t, Config{Target: blocks}, 1)
	w.peer("fast", 20*mb, 5*time.Millisecond, 0, blocks)
	w.peer("slow", 1*mb, 5*time.Millisecond, 0, blocks)
	s := w.mustFinish(time.Minute)
	if r := throughput(s); r < 19*mb {
		t.Errorf("%.1f MB/s, want at least 19 of 21", r/mb)
	}
	if s.Doubled > s.Bytes/20 {
		t.Errorf("%d of %d bytes came twice", s.Doubled, s.Bytes)
	}
	if share(s, "slow") < 0.02 {
		t.Errorf("the slow peer gave %.3f", share(s, "slow"))
	}
}

func TestSpeedUnlimited(t *testing.T) {
	const blocks = 4000
	w := newWorld(t, Config{Target: blocks}, 1)
	w.disk = 300 * mb
	for _, id := range []codec.PeerID{"A", "B", "C", "D", "L"} {
		w.peer(id, 1000*mb, 200*time.Microsecond, 0, blocks).leader = id == "L"
	}
	s := w.mustFinish(time.Minute)
	if r := throughput(s); r < 0.93*w.disk {
		t.Errorf("%.1f MB/s of the disk's %.1f", r/mb, w.disk/mb)
	}
	for _, id := range []codec.PeerID{"A", "B", "C", "D"} {
		if share(s, id) < 0.15 {
			t.Errorf("%s gave %.3f", id, share(s, id))
		}
	}
	if share(s, "L") > 0.1 {
		t.Errorf("the leader gave %.3f", share(s, "L"))
	}
	if n := s.Dropped[DropWindow]; n > 0 {
		t.Errorf("%d blocks were asked for beyond the window", n)
	}
}

func TestSpeedOneStallsMidWay(t *testing.T) {
	const blocks = 800
	w := newWorld(t, Config{Target: blocks}, 1)
	for _, id := range []codec.PeerID{"A", "B", "C"} {
		w.peer(id, 8*mb, 10*time.Millisecond, 0, blocks)
	}
	w.peers["B"].stalls = []span{{3 * time.Second, never}}
	s := w.mustFinish(time.Minute)
	if r := throughput(s); r < 0.95*(3*24+8*16)/11*mb {
		t.Errorf("%.1f MB/s, want what the other two can give", r/mb)
	}
	if s.Doubled > s.Bytes/20 {
		t.Errorf("%d of %d bytes came twice", s.Doubled, s.Bytes)
	}
}

func TestSpeedLongTrips(t *testing.T) {
	const blocks = 800
	w := newWorld(t, Config{Target: blocks}, 1)
	for _, id := range []codec.PeerID{"A", "B", "C"} {
		w.peer(id, 10*mb, 75*time.Millisecond, 0, blocks)
	}
	s := w.mustFinish(time.Minute)
	if r := throughput(s); r < 0.85*30*mb {
		t.Errorf("%.1f MB/s of 30: the streams have gaps", r/mb)
	}
}

func TestSpeedSmallBlocks(t *testing.T) {
	const blocks = 20_000
	w := newWorld(t, Config{Target: blocks}, 1)
	w.size = func(uint64) int { return 2000 }
	for _, id := range []codec.PeerID{"A", "B", "C"} {
		w.peer(id, 8*mb, time.Millisecond, 0, blocks)
	}
	s := w.mustFinish(time.Minute)
	if r := throughput(s); r < 0.85*24*mb {
		t.Errorf("%.1f MB/s of 24", r/mb)
	}
}

// A log of small blocks that turns into large ones: leases granted by count
// must not burst the window.
func TestSpeedBlocksGrow(t *testing.T) {
	const blocks = 12_000
	w := newWorld(t, Config{Target: blocks, Window: 8 << 20}, 1)
	w.size = func(n uint64) int {
		if n < 10_000 {
			return 1000
		}
		return 200_000
	}
	for _, id := range []codec.PeerID{"A", "B", "C"} {
		w.peer(id, 50*mb, time.Millisecond, 0, blocks)
	}
	s := w.mustFinish(time.Minute)
	if s.Dropped[DropWindow] > blocks/50 {
		t.Errorf("%d blocks were dropped for want of room", s.Dropped[DropWindow])
	}
	if r := throughput(s); r < 0.7*150*mb {
		t.Errorf("%.1f MB/s of 150", r/mb)
	}
}

// The only holder needs 26 s for a block, more than a lease may be silent at
// first: the time grows until it succeeds.
func TestSpeedSlowOnlyHolder(t *testing.T) {
	w := newWorld(t, Config{Target: 3}, 1)
	w.size = func(uint64) int { return 1_300_000 }
	w.peer("A", 0.05*mb, 50*time.Millisecond, 0, 3)
	if s := w.mustFinish(10 * time.Minute); s.Elapsed > 4*time.Minute {
		t.Errorf("took %v", s.Elapsed)
	}
}

// A stall of the only peer at work is filled by the others within a second.
func TestSpeedFloorIsHedged(t *testing.T) {
	w := newWorld(t, Config{Target: 400}, 1)
	for _, id := range []codec.PeerID{"A", "B"} {
		w.peer(id, 8*mb, 5*time.Millisecond, 0, 400)
	}
	var floor uint64
	w.peers["A"].stalls = []span{{2 * time.Second, 4 * time.Second}}
	w.at(2*time.Second, func() { floor = w.released })
	w.at(3*time.Second, func() {
		if w.released < floor+10 {
			t.Errorf("block %d released a second after %d", w.released, floor)
		}
	})
	w.mustFinish(time.Minute)
}

// Thousands of tiny blocks, then the largest possible, from a peer far away: all
// that was asked for by the old mean arrives before a Trim can bite. The window
// holds (world checks it), and what had no room is asked for again.
func TestWindowHoldsWhenBlocksGrow(t *testing.T) {
	w := newWorld(t, Config{Target: 3000, Window: 1 << 20}, 1)
	w.size = func(n uint64) int {
		if n < 2900 {
			return 100
		}
		return codec.MaxBlock
	}
	w.disk = 5 * mb
	w.peer("A", 1000*mb, 50*time.Millisecond, 0, 3000)
	if s := w.mustFinish(10 * time.Minute); s.Dropped[DropWindow] == 0 {
		t.Error("nothing was dropped: the test does not reach the bound")
	}
}
