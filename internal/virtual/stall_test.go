package virtual

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eight is eight equal peers at 50 ms, whose log takes 20 s.
func eight() scenario { return equal(8, 50*time.Millisecond, 20) }

// victim is a peer that does not lead.
func (w *world) victim() *member { return w.peers[(w.leader+1)%len(w.peers)] }

// stalls demands what a stalled peer may cost: a fifth of the time that the others
// need (the bar is a tenth), a moment without anything to apply, few bytes twice.
func stalls(t *testing.T, s scenario, o outcome, at time.Duration) {
	t.Helper()
	shares := s.shares(o.leader)
	full := raw(t, s, o.log.bytes, shares).Seconds()
	sum := 0.0
	for _, x := range shares {
		sum += x
	}
	mine := shares[(o.leader+1)%len(shares)] / sum
	before := min(at.Seconds(), full)
	ideal := before + (full-before)/(1-mine)
	p99, most := o.gaps()
	t.Logf("%v; %.3f of the ideal of the others", o, o.took.Seconds()/ideal)
	require.LessOrEqual(t, o.took.Seconds(), 1.20*ideal)
	require.LessOrEqual(t, p99, max(4*s.roundTrip, 300*time.Millisecond))
	require.Less(t, most, 3*time.Second)
	block := float64(o.log.bytes) / float64(len(o.log.blocks))
	require.LessOrEqual(t, float64(o.sync.Doubled), 0.05*float64(o.log.bytes)+2*block)
}

// M3: one of eight peers stops in the middle of a block, early, in the middle, or
// on its last lease.
func TestPeerStopsInABlock(t *testing.T) {
	moments := []float64{0.3, 0.97}
	if *long {
		moments = []float64{0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98}
	}
	for _, part := range moments {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			s := eight()
			at := time.Duration(part * 21 * float64(time.Second))
			s.during = func(w *world) {
				time.Sleep(at) // in a bubble
				w.victim().faults.Mute()
			}
			stalls(t, s, play(t, s), at)
		})
	}
}

// M3: one of eight peers reads nothing any more.
func TestPeerStopsReading(t *testing.T) {
	t.Parallel()
	s := eight()
	at := 7 * time.Second
	s.during = func(w *world) {
		time.Sleep(at) // in a bubble
		w.victim().faults.Deafen()
	}
	stalls(t, s, play(t, s), at)
}

// M5: all peers vanish for a while, and come back.
func TestAllPeersLost(t *testing.T) {
	t.Parallel()
	const away = 40 * time.Second // longer than any connection lasts
	s := equal(4, 50*time.Millisecond, 16)
	s.during = func(w *world) {
		time.Sleep(5 * time.Second) // in a bubble
		w.net.Cut(0)
		time.Sleep(away) // in a bubble
		w.net.Mend()
	}
	o := play(t, s)
	alone := raw(t, s, o.log.bytes, s.shares(o.leader))
	t.Logf("%v; %.2f s more than raw streams and the time without peers", o, (o.took - alone - away).Seconds())
	require.Less(t, o.took, alone+away+10*time.Second)
}

// A peer that starts when half of the log is here gives its part of the rest.
func TestPeerJoinsHalfWay(t *testing.T) {
	t.Parallel()
	s := equal(4, 50*time.Millisecond, 24)
	s.late = map[int]struct{}{3: {}}
	s.during = func(w *world) {
		time.Sleep(12 * time.Second) // in a bubble
		w.peers[3].start(w.t, w.net, w.peers[:3])
	}
	o := play(t, s)
	t.Log(o)
	o.honest(t)
	require.Greater(t, o.share(3), 0.1)
}
