package virtual

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/p2p/p2ptest"
)

// total is what the uplinks of all peers have together at most, in bits a second:
// a whole log is in memory once for each of them.
func total() int {
	if *long {
		return 80 * p2ptest.Mbit
	}
	return 12 * p2ptest.Mbit
}

// equal is a scenario of n equal peers, whose log takes so many seconds. Slower
// links have smaller blocks, so that one takes as long on each.
func equal(n int, roundTrip time.Duration, seconds float64) scenario {
	most := 2 * p2ptest.Mbit
	if n == 1 {
		most = 4 * p2ptest.Mbit
	}
	if *long {
		most = 20 * p2ptest.Mbit
	}
	up := min(most, total()/n)
	if n == 16 && !*long {
		up = 3 * p2ptest.Mbit / 2 // what members say to each other is a fifth of half of that
	}
	s := scenario{roundTrip: roundTrip, entry: up / (20 * p2ptest.Mbit / 1000), bytes: int64(seconds * float64(n*up) / 8)}
	for range n {
		s.up = append(s.up, up)
	}
	return s
}

// demand is what a test asks of a catch-up. Where it is less than the bar of
// docs/simulation.md, that bar is missed.
type demand struct {
	ratio   float64 // of the rate of raw streams, at least
	doubled float64 // of the log's bytes, at most
}

// bar is the demand on a catch-up in which nothing fails.
var bar = demand{ratio: 0.95, doubled: 0.005}

// check demands that a catch-up takes hardly longer than raw streams take.
func (d demand) check(t *testing.T, s scenario, o outcome) {
	t.Helper()
	alone := raw(t, s, int64((1-o.early)*float64(o.log.bytes)), s.shares(o.leader))
	got := alone.Seconds() / o.took.Seconds()
	t.Logf("%v; raw %.2f s: %.3f", o, alone.Seconds(), got)
	require.GreaterOrEqual(t, got, d.ratio, "of raw streams")
	require.LessOrEqual(t, float64(o.sync.Doubled), d.doubled*float64(o.log.bytes), "bytes came twice")
}

func TestOnePeer(t *testing.T) {
	for _, trip := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond} {
		t.Run(trip.String(), func(t *testing.T) {
			t.Parallel()
			s := equal(1, trip, 32)
			o := play(t, s)
			bar.check(t, s, o)
			o.honest(t)
		})
	}
}

func TestEqualPeers(t *testing.T) {
	for _, n := range []int{2, 4, 8, 16} {
		for _, trip := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond} {
			t.Run(fmt.Sprint(n, "peers", trip), func(t *testing.T) {
				if !*long && n != 4 && !(n == 16 && trip < 100*time.Millisecond) {
					t.Skip("with -long")
				}
				t.Parallel()
				s := equal(n, trip, 30)
				least := demand{ratio: 0.93, doubled: 0.04}
				switch {
				case n == 16:
					least = demand{ratio: 0.75, doubled: 0.04}
				case trip > 100*time.Millisecond:
					least = demand{ratio: 0.87, doubled: 0.02}
				}
				o := play(t, s)
				least.check(t, s, o)
				o.honest(t)
			})
		}
	}
}
