package catchup

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/logmesh/logmesh/codec"
)

var (
	seeds = flag.Uint64("seeds", 100, "how many mixtures TestMixtures draws")
	seed  = flag.Uint64("seed", 0, "run the mixture of this seed alone, and tell how it went")
)

// mixture draws a scenario: a group with rates, delays and faults of all kinds.
// One peer at least is honest, has all blocks, and stays.
func mixture(seed uint64) scenario {
	rng := rand.New(rand.NewPCG(seed, 2))
	s := scenario{
		name:   fmt.Sprintf("seed %d", seed),
		window: pick(rng, []int64{8 << 20, 32 << 20, 64 << 20}),
		prove:  rng.IntN(3) == 0,
		block:  pick(rng, []int{2 << 10, 17 << 10, 64 << 10, 128 << 10, 256 << 10}),
		disk:   pick(rng, []float64{0, 0, 0, 15 * mb}),
		least:  4 << 20, spend: 6,
	}
	if s.block < 20<<10 {
		s.spend = 2
	}
	n := 1 + rng.IntN(12)
	slowest := float64(s.block) / 0.4 // a block takes 400 ms at most
	for i := range n {
		x := simPeer{
			id:   peerID(i),
			rate: max(slowest, mb*math.Exp(rng.Float64()*math.Log(40)+math.Log(0.5))),
			trip: time.Duration(1+rng.IntN(100)) * ms,
		}
		if i > 0 {
			s.afflict(&x, rng)
		}
		s.peers = append(s.peers, x)
	}
	if rng.IntN(2) == 0 {
		s.peers[rng.IntN(n)].leader = true
	}
	s.play = plays(rng, n)
	return s
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// afflict gives every other peer a fault or a peculiarity.
func (s *scenario) afflict(x *simPeer, rng *rand.Rand) {
	at := time.Duration(rng.Int64N(int64(5 * time.Second)))
	switch rng.IntN(14) {
	case 0:
		x.stalls = []span{{at, never}}
	case 1:
		x.stalls = []span{{at, at + time.Duration(rng.Int64N(int64(5*time.Second)))}}
	case 2:
		x.deaf = []span{{at, never}}
	case 3:
		x.has = []codec.BlockRange{{From: 0, To: 5}}
	case 4:
		x.junk = 0.02
	case 5:
		x.forge = s.prove
	case 6:
		x.joins = at
	case 7:
		x.short = 0.1
	case 8:
		x.pruned = 0.2 + rng.Float64()/2
	}
}

// plays is what happens from outside: we stall, peers go and come back.
func plays(rng *rand.Rand, n int) func(w *world) {
	at := time.Duration(rng.Int64N(int64(4 * time.Second)))
	id := peerID(rng.IntN(n))
	switch rng.IntN(6) {
	case 0:
		return func(w *world) {
			w.ours = []span{{at, at + 10*time.Second}}
			w.at(at, func() { w.diskAt = w.now + 10*time.Second })
		}
	case 1:
		return func(w *world) {
			w.ours = []span{{at, at + 10*time.Second}}
			w.at(at, func() { w.asleep = w.now + 10*time.Second })
		}
	case 2:
		if n == 1 {
			return nil
		}
		return func(w *world) { w.leave(id, at, 3*time.Second) }
	}
	return nil
}

// leave takes a peer's connection away for a time.
func (w *world) leave(id codec.PeerID, at, d time.Duration) {
	x := w.peers[id]
	x.stalls = append(x.stalls, span{at, at + d})
	slices.SortFunc(x.stalls, func(a, b span) int { return int(a.from - b.from) })
	w.at(at, func() { x.gone = true; w.step(PeerLost{id}) })
	w.at(at+d, func() { x.gone = false; w.offer(x) })
}

// TestMixtures runs many mixtures. Whatever is mixed, the session ends, in order
// and within its window, which the model checks; no honest peer is blamed, little
// comes twice, and what can be applied next is seldom waited for by more than a second: it takes
// peers that fail together, or one after the other. Faults M3 to M7.
func TestMixtures(t *testing.T) {
	if *seed != 0 {
		s := mixture(*seed)
		o := s.run(t, *seed)
		t.Logf("%+v", s)
		t.Log(o.row(s))
		s.judgeMixture(t, o)
		return
	}
	var longest []time.Duration
	var worst float64
	ratios := []float64{}
	for i := range *seeds {
		s := mixture(i + 1)
		o := s.run(t, i+1)
		s.judgeMixture(t, o)
		longest = append(longest, o.idle())
		ratios = append(ratios, o.ratio)
		worst = max(worst, float64(o.status.Doubled)/float64(o.status.Bytes))
		if t.Failed() {
			t.Fatalf("run it again with -run TestMixtures -seed %d", i+1)
		}
	}
	slices.Sort(longest)
	slices.Sort(ratios)
	n := len(ratios)
	if p95 := longest[n*95/100]; p95 > 1100*time.Millisecond {
		t.Errorf("nothing to apply for %v at p95", p95)
	}
	t.Logf("%d seeds: of the ideal rate %.2f at p1, %.2f at p50; longest idle %v at p50, %v at p99, %v; most doubled %.2f %%",
		n, ratios[n/100], ratios[n/2], longest[n/2], longest[n*99/100], longest[n-1], 100*worst)
}

func (s scenario) judgeMixture(t tester, o outcome) {
	t.Helper()
	if o.blamed > 0 {
		t.Errorf("%s: honest peers were blamed %d times", s.name, o.blamed)
	}
	if most := 0.05*float64(o.status.Bytes) + hedgeFirst + 2*float64(s.block); float64(o.status.Doubled) > most {
		t.Errorf("%s: %d of %d bytes came twice", s.name, o.status.Doubled, o.status.Bytes)
	}
	if held := o.status.MaxHeld; held > o.window+2*int64(s.block) {
		t.Errorf("%s: %d bytes were held in a window of %d", s.name, held, o.window)
	}
	if o.idle() > silentTime+silentTime/4 {
		t.Errorf("%s: nothing to apply for %v", s.name, o.idle())
	}
}
