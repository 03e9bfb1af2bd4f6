package catchup

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/logmesh/logmesh/codec"
)

var table = flag.Bool("table", false, "print what each scenario reaches")

const (
	ms       = time.Millisecond
	flawless = 0.005 // of the bytes may come twice without faults
	faulty   = 0.02  // and two blocks, with one
)

// scenarios are those of the plan's bars.
func scenarios() []scenario {
	list := []scenario{}
	for _, rtt := range []time.Duration{50 * ms, 200 * ms} {
		for _, n := range []int{1, 2, 4, 8, 16} {
			list = append(list, scenario{
				name:  fmt.Sprintf("%d equal, %v", n, rtt),
				peers: fleet(n, mbit20, rtt), ratio: 0.95,
			})
		}
	}
	eight := func(change func(x *simPeer)) []simPeer { return with(fleet(8, mbit20, 50*ms), 3, change) }
	stop := func(from, to time.Duration) []simPeer {
		return eight(func(x *simPeer) { x.stalls = []span{{from, to}} })
	}
	four := func(change func(x *simPeer)) []simPeer { return with(fleet(4, mbit20, 50*ms), 3, change) }
	list = append(list,
		scenario{name: "first entry", spend: 1, block: 17 << 10, least: 1, peers: fleet(8, 5*mbit20, 50*ms), ratio: 0.6, first: 250 * ms},
		scenario{name: "8 equal, 400ms", spend: 60, peers: fleet(8, mbit20, 400*ms), ratio: 0.95},
		scenario{name: "8 equal, proved", prove: true, peers: fleet(8, mbit20, 50*ms), ratio: 0.95},
		scenario{name: "20 to 0.5 MB/s", peers: mixed(), ratio: 0.90},
		scenario{name: "20 to 0.5 MB/s, 256 KiB blocks", block: 256 << 10, peers: mixed(), ratio: 0.90},
		scenario{name: "20 to 0.5 MB/s, 17 KiB blocks", block: 17 << 10, peers: mixed(), ratio: 0.90},
		scenario{name: "two, 40:1", peers: with(fleet(2, 20*mb, 50*ms), 1, func(x *simPeer) { x.rate /= 40 }), ratio: 0.90},
		scenario{name: "one 50 times slower", peers: with(fleet(4, 10*mb, 50*ms), 2, func(x *simPeer) { x.rate /= 50 }), ratio: 0.90},
		scenario{name: "leader among 4", peers: with(fleet(4, mbit20, 50*ms), 0, func(x *simPeer) { x.leader = true }), ratio: 0.95},
		scenario{name: "1-byte entries", block: 400, least: 48 << 20, spend: 5, peers: fleet(4, mbit20, 50*ms), ratio: 0.90},
		scenario{name: "1 MiB entries", block: 1<<20 + 100, peers: fleet(8, mbit20, 50*ms), ratio: 0.95},
		scenario{name: "small window", window: 4 << 20, peers: fleet(4, mbit20, 50*ms), ratio: 0.90},
		scenario{name: "the disk is the bound", disk: 10 * mb, peers: fleet(8, mbit20, 50*ms), ratio: 0.95},
		scenario{name: "100 MB/s at 100ms", block: 256 << 10, peers: fleet(1, 100*mb, 100*ms), ratio: 0.95},
		scenario{name: "deep streams", peers: with(four(func(x *simPeer) { x.deep = true }), 1, func(x *simPeer) { x.deep = true }), ratio: 0.90},
		scenario{name: "stops in mid-block", peers: stop(10*time.Second, never), ratio: 1 / 1.10, doubled: faulty},
		scenario{name: "stops early", peers: stop(200*ms, never), ratio: 1 / 1.10, doubled: faulty},
		scenario{name: "stops on its last lease", peers: stop(29800*ms, never), ratio: 1 / 1.10, doubled: faulty},
		scenario{name: "stalls for 3 s", peers: stop(10*time.Second, 13*time.Second), ratio: 1 / 1.10, doubled: faulty},
		scenario{name: "two stop at once", peers: with(stop(10*time.Second, never), 5, func(x *simPeer) { x.stalls = []span{{10 * time.Second, never}} }), ratio: 1 / 1.10, doubled: faulty},
		scenario{name: "stops reading", peers: eight(func(x *simPeer) { x.deaf = []span{{10 * time.Second, never}} }), ratio: 1 / 1.10, doubled: faulty},
		scenario{name: "lies about blocks", prove: true, peers: eight(func(x *simPeer) { x.junk = 0.01 }), ratio: 0.95, doubled: faulty},
		scenario{name: "lies about ranges", peers: eight(func(x *simPeer) { x.has = []codec.BlockRange{{From: 0, To: 10}} }), ratio: 0.95, doubled: faulty},
		scenario{name: "all lost, then back", peers: fleet(4, mbit20, 50*ms), ratio: 0.95, play: loseAll},
		scenario{name: "one joins half-way", peers: four(func(x *simPeer) { x.joins = 15 * time.Second }), ratio: 0.95},
		scenario{name: "apply stalls for 10 s", peers: fleet(8, mbit20, 50*ms), ratio: 0.95, play: stallDisk},
		scenario{name: "we do not read for 10 s", peers: fleet(4, mbit20, 50*ms), ratio: 0.95, play: stallUs},
		scenario{name: "target moves at half the rate", peers: fleet(4, mbit20, 50*ms), ratio: 0.90, play: moveTarget},
		// The older third comes at half the rate; the rest of what the pruned peers
		// could give in that time does not fit into the window.
		scenario{name: "half are pruned", peers: fleet(8, mbit20, 50*ms), ratio: 0.79, play: prune},
	)
	return list
}

// mixed is eight peers between whose rates lies a factor of 40.
func mixed() []simPeer {
	list := fleet(8, mb, 50*ms)
	for i, rate := range []float64{20, 12, 8, 5, 3, 2, 1, 0.5} {
		list[i].rate = rate * mb
	}
	return list
}

func loseAll(w *world) {
	w.at(10*time.Second, func() {
		for _, id := range w.ids {
			w.peers[id].gone = true
			w.step(PeerLost{id})
		}
	})
	for _, x := range w.peers {
		x.stalls = []span{{10 * time.Second, 15 * time.Second}}
	}
	w.at(15*time.Second, func() {
		for _, id := range w.ids {
			w.peers[id].gone = false
			w.offer(w.peers[id])
		}
	})
}

// stallDisk stores nothing for ten seconds.
func stallDisk(w *world) {
	w.at(8*time.Second, func() { w.diskAt = w.now + 10*time.Second })
	full := take(float64(w.plan.cfg.Window), 8*mbit20) // until then the window takes what comes
	w.ours = []span{{8*time.Second + full, 18 * time.Second}}
}

// stallUs neither reads nor steps the plan for ten seconds.
func stallUs(w *world) {
	w.at(8*time.Second, func() { w.asleep = w.now + 10*time.Second })
	w.ours = []span{{8 * time.Second, 18 * time.Second}}
}

// moveTarget moves the target on at half the rate of the peers, until twice the
// first target would be reached.
func moveTarget(w *world) {
	sum := 0.0
	for _, x := range w.peers {
		sum += x.rate
	}
	first := w.plan.target
	every := 250 * ms
	by := uint64(sum / 2 * every.Seconds() / float64(w.size(0)))
	var move func()
	move = func() {
		top := w.plan.target + by
		for _, x := range w.peers {
			x.held, x.head = []codec.BlockRange{{From: 0, To: top}}, top
		}
		w.step(RootAgreed{Blocks: top})
		if top < 2*first {
			w.at(every, move)
		}
	}
	w.at(every, move)
}

// prune leaves half the peers with the newer two thirds of the log only.
func prune(w *world) {
	for i, id := range w.ids {
		if x := w.peers[id]; i%2 == 0 {
			x.held = []codec.BlockRange{{From: x.head / 3, To: x.head}}
		}
	}
}

// TestBars holds the plan to its bars in each scenario. With -table it prints what
// is reached. Faults M3, M5, M6 and M7.
func TestBars(t *testing.T) {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if *table {
		fmt.Fprintln(out, "scenario\tof ideal\tbar\tdoubled\tlongest idle\tp99\tfirst\thedges\tsteals\tblamed\theld/window\tµs/block\twakes/block")
		defer out.Flush()
	}
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			o := s.run(t, 1)
			s.judge(t, o)
			if *table {
				fmt.Fprintln(out, o.row(s))
			}
		})
	}
}

// A peer of eight stops at one of 14 moments: what a lease's life has of them.
func TestBarsStallAtAnyMoment(t *testing.T) {
	for i := range 14 {
		s := scenario{
			name: "stall", peers: fleet(8, mbit20, 50*ms), ratio: 1 / 1.15, doubled: faulty,
		}
		s.peers[3].stalls = []span{{time.Duration(i)*2111*ms + 100*ms, never}}
		t.Run(s.peers[3].stalls[0].from.String(), func(t *testing.T) { s.judge(t, s.run(t, uint64(i))) })
	}
}

// judge compares an outcome with the bars.
func (s scenario) judge(t tester, o outcome) {
	t.Helper()
	block := float64(s.block)
	doubled := max(s.doubled, flawless) * float64(o.status.Bytes)
	if s.doubled > 0 {
		doubled += 2 * block
	}
	rtt, fastest := time.Duration(0), 0.0
	for _, x := range s.peers {
		rtt, fastest = max(rtt, 2*x.trip), max(fastest, x.rate)
	}
	p99 := max(4*rtt, 300*ms, rtt+take(block, fastest))
	if o.ratio < s.ratio {
		t.Errorf("%s: %.3f of the ideal rate, want %.3f", s.name, o.ratio, s.ratio)
	}
	if float64(o.status.Doubled) > doubled {
		t.Errorf("%s: %d bytes came twice, want at most %.0f", s.name, o.status.Doubled, doubled)
	}
	if o.p99() > p99 || o.idle() > time.Second {
		t.Errorf("%s: nothing to apply for %v, %v at p99, want at most 1s, %v", s.name, o.idle(), o.p99(), p99)
	}
	if s.first > 0 && o.first > s.first {
		t.Errorf("%s: the first block came after %v, want %v", s.name, o.first, s.first)
	}
	if o.blamed > 0 {
		t.Errorf("%s: honest peers were blamed %d times", s.name, o.blamed)
	}
	if held := o.status.MaxHeld; held > o.window+2*int64(s.block) {
		t.Errorf("%s: %d bytes were held in a window of %d", s.name, held, o.window)
	}
}

// row is a line of the table.
func (o outcome) row(s scenario) string {
	return fmt.Sprintf("%s\t%.3f\t%.3f\t%.2f %%\t%v\t%v\t%v\t%d\t%d\t%d\t%.2f\t%.1f\t%.2f", s.name, o.ratio, s.ratio,
		100*float64(o.status.Doubled)/float64(o.status.Bytes), o.idle().Round(ms), o.p99().Round(ms), o.first.Round(ms),
		o.status.Hedges, o.status.Steals, o.blamed, float64(o.status.MaxHeld)/float64(o.window),
		float64(o.cpu.Nanoseconds())/1e3/float64(o.status.Done), float64(o.wakes)/float64(o.status.Done))
}
