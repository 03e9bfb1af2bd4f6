package virtual

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/p2p/p2ptest"
)

// M6: our machine stands still for ten seconds. Nobody is blamed for it, and the
// blocks go on coming.
func TestApplyStandsStill(t *testing.T) {
	t.Parallel()
	const still = 10 * time.Second
	s := equal(4, 50*time.Millisecond, 16)
	var once sync.Once
	s.before = func(w *world) {
		w.joiner.machine.pause = func(last codec.Index) {
			if last > w.log.last/2 {
				once.Do(func() { time.Sleep(still) }) // in a bubble
			}
		}
	}
	o := play(t, s)
	alone := raw(t, s, o.log.bytes, s.shares(o.leader))
	t.Logf("%v; raw %.2f s", o, alone.Seconds())
	o.honest(t)
	require.Less(t, o.took, alone+still/2, "most of the log came meanwhile")
}

// M7: the group writes half as fast as the new member catches up.
func TestMovingTarget(t *testing.T) {
	t.Parallel()
	s := equal(4, 50*time.Millisecond, 10)
	rate := float64(s.up[0]) * 3.25 / 8 / 2 // half of what the peers give
	for i := range s.up {
		s.up[i] *= 2 // the rest is for what is written
	}
	s.up[0] = fast
	s.voters = 1
	const size = 1 << 10
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s.during = func(w *world) {
		every := time.Duration(size / rate * float64(time.Second))
		for tick := time.NewTicker(every); ctx.Err() == nil; <-tick.C {
			go func() { _, _ = w.peers[0].group.Execute(ctx, make([]byte, size)) }()
		}
	}
	s.until = func(w *world, st logmesh.Status) bool {
		if logmesh.Online(st) && st.LastSync != nil && st.LastSync.Finished {
			stop()
			return true
		}
		return false
	}
	o := play(t, s)
	t.Logf("level after %v: %d blocks of which %d were there at first", o.sync.Elapsed, o.sync.Done, len(o.log.blocks))
	o.honest(t)
	require.Less(t, o.sync.Elapsed, 30*time.Second)
}

// The first entry is applied within five round trips after eight peers are bonded.
func TestFirstEntry(t *testing.T) {
	t.Parallel()
	s := scenario{roundTrip: 50 * time.Millisecond, entry: 128, bytes: 8 << 20}
	for range 8 {
		s.up = append(s.up, 100*p2ptest.Mbit)
	}
	o := play(t, s)
	t.Logf("%v: %.1f round trips", o, float64(o.steps[0])/float64(s.roundTrip))
	require.LessOrEqual(t, o.steps[0], 5*s.roundTrip)
}

// The leader's writes take hardly longer while a new member catches up, even from
// the leader's own uplink.
func TestLeaderWrites(t *testing.T) {
	t.Parallel()
	s := equal(4, 50*time.Millisecond, 20)
	lat := s.writes()
	t.Log(play(t, s))
	lat.check(t, 1.5)
}

// N9: a new member behind a line of 1 Mbit/s, and a group whose lines are all that
// slow. The leader's writes are not held up, and the catch-up goes on where it is.
func TestSlowLine(t *testing.T) {
	const slow = p2ptest.Mbit
	for name, s := range map[string]scenario{
		"joiner": {up: []int{fast, fast, fast}, down: slow, bytes: 20 * slow / 8},
		"all":    {up: []int{slow, slow, slow}, down: slow, bytes: 20 * slow / 8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.roundTrip, s.entry = 50*time.Millisecond, 64
			lat := s.writes()
			o := play(t, s)
			t.Log(o)
			lat.check(t, 1.5)
			o.honest(t)
			require.Zero(t, o.sync.From, "one session brought all of it")
			require.GreaterOrEqual(t, int(o.sync.Done), len(o.log.blocks))
			require.Less(t, o.took, 30*time.Second)
			require.Less(t, o.sync.Doubled, uint64(1<<20), "bytes, which hedges may cost at first")
		})
	}
}

// latencies are how long the leader's writes took before a catch-up and in it.
type latencies struct{ before, during []time.Duration }

// writes lets a scenario's leader write before the catch-up and in it, for ten
// seconds each.
func (s *scenario) writes() *latencies {
	l := &latencies{}
	s.ready = func(w *world) { l.before = w.write(10 * time.Second)[1:] } // the first opened the client session, too
	s.during = func(w *world) {
		time.Sleep(2 * time.Second) // in a bubble
		l.during = w.write(10 * time.Second)
	}
	return l
}

// write writes through the leader for a while, and returns how long each took.
func (w *world) write(span time.Duration) (took []time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), span)
	defer cancel()
	for tick := time.NewTicker(170 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		at := time.Now()
		_, err := w.peers[w.leader].group.Execute(ctx, make([]byte, 128))
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			w.t.Error(err)
		}
		took = append(took, time.Since(at))
	}
	return took
}

// check demands that the slowest hundredth took at most times as long as before.
func (l *latencies) check(t *testing.T, times float64) {
	t.Helper()
	p99 := func(d []time.Duration) time.Duration {
		slices.Sort(d)
		return d[len(d)*99/100]
	}
	require.Greater(t, len(l.during), 30)
	t.Logf("writes p99 %v before, %v during", p99(l.before), p99(l.during))
	require.LessOrEqual(t, p99(l.during).Seconds(), times*p99(l.before).Seconds())
}
