package catchup

import (
	"testing"
	"time"
)

// Each block that arrives is counted once, by what becomes of it, and the counts
// of the peers add up to those of the session.
func TestStats(t *testing.T) {
	s := scenario{name: "stall", peers: fleet(8, mbit20, 50*ms)}
	s.peers[0].leader = true
	s.peers[3].stalls = []span{{5 * time.Second, 7 * time.Second}, {12 * time.Second, 12300 * ms}}
	o := s.run(t, 1)
	st := o.status
	var blocks, bytes, doubled, rests uint64
	for _, x := range st.Peers {
		blocks += x.Blocks
		bytes += x.Bytes
		doubled += x.Doubled
		rests += x.Rests
		if !x.Leader && (x.RTT < 40*ms || x.RTT > 60*ms) { // of a leader's single blocks it cannot be told
			t.Errorf("round trip of %s: %v", x.Peer, x.RTT)
		}
	}
	if st.Arrived != st.Done || blocks != st.Done || bytes != st.Bytes || st.LeaderBytes+st.OtherBytes != bytes || st.LeaderBytes == 0 {
		t.Errorf("%d blocks done, %d arrived, peers gave %d; %d bytes: leader %d, others %d", st.Done, st.Arrived, blocks, bytes, st.LeaderBytes, st.OtherBytes)
	}
	if doubled != st.Doubled || rests != st.Rests || st.Rests == 0 || st.Hedges == 0 || st.HedgedBlocks < st.Hedges || st.GivenUp == 0 {
		t.Errorf("%+v", st.Stats)
	}
	told := st.Arrived + st.Again
	for _, n := range st.Dropped {
		told += n
	}
	if told != o.blocksTold {
		t.Errorf("%d blocks came, %d are counted: %+v", o.blocksTold, told, st.Stats)
	}
}

// Where the time went: of a peer that rests, of all while the window is full, and
// of the session.
func TestStatsOfTime(t *testing.T) {
	s := scenario{name: "disk", peers: fleet(4, mbit20, 50*ms), play: func(w *world) { w.at(8*time.Second, func() { w.diskAt = w.now + 20*time.Second }) }}
	o := s.run(t, 1)
	full := 20*time.Second - take(float64(o.window), 4*mbit20)
	if got := o.status.Idle[ReasonDisk]; got < 4*full*9/10 || got > 4*full*11/10 {
		t.Errorf("peers waited for the disk for %v, want about 4 times %v: %v", got, full, o.status.Idle)
	}
	if got := o.status.Waited[ReasonDisk]; got < full*9/10 || got > full*11/10 {
		t.Errorf("the session waited for the disk for %v, want about %v: %v", got, full, o.status.Waited)
	}
	sum := time.Duration(0)
	for _, d := range o.status.Waited {
		sum += d
	}
	if d := o.status.Elapsed - sum; d < 0 || d > time.Millisecond {
		t.Errorf("the session took %v, of which %v are told: %v", o.status.Elapsed, sum, o.status.Waited)
	}
}

// A target that moves is told by its rate, and one that stands by none.
func TestStatsOfGrowth(t *testing.T) {
	s := scenario{name: "grows", peers: fleet(4, mbit20, 50*ms), play: func(w *world) {
		moveTarget(w)
		w.at(20*time.Second, func() {
			if got := w.plan.Status().Grows; got < 4.5*mb || got > 5.5*mb {
				t.Errorf("the target moves at %.1f MB/s, told are %.1f", 2*mbit20/mb, got/mb)
			}
		})
	}}
	s.run(t, 1)
	s = scenario{name: "stands", peers: fleet(4, mbit20, 50*ms), play: func(w *world) {
		w.at(20*time.Second, func() {
			if got := w.plan.Status().Grows; got != 0 {
				t.Errorf("the target stands, told are %.1f MB/s", got/mb)
			}
		})
	}}
	s.run(t, 1)
}
