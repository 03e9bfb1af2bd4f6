package catchup

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// scenario is a session under given conditions, and what it must reach.
type scenario struct {
	name   string
	window int64
	prove  bool
	block  int     // bytes; 0: 128 KiB
	least  int64   // bytes of the log, at least; 0: 256 MiB
	spend  float64 // seconds that the peers need, at least; 0: 30
	disk   float64 // bytes/s; 0: any
	peers  []simPeer
	play   func(w *world) // what else happens

	ratio   float64       // of the ideal rate, at least
	doubled float64       // of the bytes, and two blocks, at most; 0: flawless
	first   time.Duration // until the first block, at most; 0: any
}

// outcome is what became of it.
type outcome struct {
	ratio      float64         // ideal time by real time
	gaps       []time.Duration // times with nothing to apply while a peer had the next block, ascending
	first      time.Duration   // until the first block is released
	wakes      int
	blocksTold uint64
	blamed     uint64        // rests of honest peers
	cpu        time.Duration // of plan and model
	window     int64
	status     Status
}

// idle is the longest time with nothing to apply, p99 of a hundred all but one.
func (o outcome) idle() time.Duration { return o.gap(1) }
func (o outcome) p99() time.Duration  { return o.gap(0.99) }

func (o outcome) gap(part float64) time.Duration {
	if len(o.gaps) == 0 {
		return 0
	}
	return o.gaps[int(part*float64(len(o.gaps)-1))]
}

const mbit20 = 2.5e6 // bytes/s

// fleet is n peers alike.
func fleet(n int, rate float64, rtt time.Duration) (list []simPeer) {
	for i := range n {
		list = append(list, simPeer{id: peerID(i), rate: rate, trip: rtt / 2})
	}
	return list
}

func peerID(i int) codec.PeerID { return codec.PeerID(fmt.Sprintf("%02d", i)) }

// with changes a fleet's peer i.
func with(list []simPeer, i int, change func(x *simPeer)) []simPeer {
	change(&list[i])
	return list
}

// run plays the scenario.
func (s *scenario) run(t tester, seed uint64) outcome {
	t.Helper()
	if s.block == 0 {
		s.block = 128 << 10
	}
	if s.least == 0 {
		s.least = 256 << 20
	}
	if s.spend == 0 {
		s.spend = 30
	}
	sum := 0.0
	for _, x := range s.peers {
		sum += x.rate
	}
	blocks := uint64(max(float64(s.least), s.spend*sum))/uint64(s.block) + 1
	cfg := Config{Window: s.window, Prove: s.prove}
	if !s.prove {
		cfg.Target = blocks
	}
	w := newWorld(t, cfg, seed)
	w.size = func(uint64) int { return s.block }
	w.disk = s.disk
	for _, x := range s.peers {
		w.addPeer(&x, blocks)
	}
	if s.play != nil {
		s.play(w)
	}
	for _, id := range w.ids {
		x := w.peers[id]
		w.at(x.joins+2*x.trip, func() { x.gone = false; w.offer(x) })
	}
	w.onAsk = w.answerAll
	if s.prove {
		w.at(0, func() { w.step(w.root(blocks)) })
	}
	w.at(0, func() { w.step(Ticked{}) })
	began := cpuTime()
	w.run(4 * time.Hour)
	if !w.finished {
		t.Fatalf("%s: not finished at %v, failed %v: %+v", s.name, w.now, w.failed, w.plan.Status())
	}
	return w.outcome(cpuTime() - began)
}

// answerAll is what a Broadcast brings.
func (w *world) answerAll() {
	for _, id := range w.ids {
		x := w.peers[id]
		w.at(2*x.trip, func() {
			if !x.gone && !covers(x.stalls, w.now) {
				w.offer(x)
			}
		})
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (w *world) addPeer(x *simPeer, blocks uint64) {
	x.gone = true
	x.opened = map[uint64]bool{}
	if x.head == 0 {
		x.head = blocks
	}
	if len(x.held) == 0 {
		x.held = []codec.BlockRange{{From: uint64(x.pruned * float64(x.head)), To: x.head}}
	}
	w.peers[x.id] = x
	w.ids = append(w.ids, x.id)
	slices.Sort(w.ids)
}

func (w *world) outcome(cpu time.Duration) outcome {
	st := w.plan.Status()
	slices.Sort(w.gaps)
	o := outcome{
		ratio: w.ideal(float64(st.Bytes)).Seconds() / w.doneAt.Seconds(),
		gaps:  w.gaps, first: w.first, wakes: w.wakes, blocksTold: w.told, cpu: cpu, window: w.plan.cfg.Window, status: st,
	}
	for _, x := range st.Peers {
		if p := w.peers[x.Peer]; p.honest() {
			o.blamed += x.Rests
		}
	}
	return o
}

// honest reports whether nothing that it does can be held against a peer.
func (x *simPeer) honest() bool {
	return len(x.stalls)+len(x.deaf) == 0 && x.lose+x.lie+x.junk+x.short == 0 && !x.forge && len(x.has) == 0
}

// ideal is how long the peers need for so many bytes when each sends all the
// time, with no round trip and no proofs, as if each held all of it.
func (w *world) ideal(bytes float64) time.Duration {
	const grain = 5 * time.Millisecond
	t := time.Duration(0)
	for ; bytes > 0 && t < 4*time.Hour; t += grain {
		sum := 0.0
		for _, x := range w.peers {
			if t < x.joins || covers(x.stalls, t) || covers(x.deaf, t) || len(x.has) > 0 || x.junk > 0 || x.forge || covers(w.ours, t) {
				continue
			}
			if x.leader && len(w.peers) > 2 {
				sum += x.rate / sparing
			} else {
				sum += x.rate
			}
		}
		if w.disk > 0 {
			sum = min(sum, w.disk)
		}
		bytes -= sum * grain.Seconds()
	}
	return t
}

// gauge measures the times with nothing to apply.
func (w *world) gauge() {
	idle := w.released == w.plan.queue.stored && w.released < w.plan.target && !w.finished && w.nextHeld()
	switch {
	case idle && w.idleAt < 0:
		w.idleAt = w.now
	case !idle && w.idleAt >= 0:
		if w.now > w.idleAt && !w.awayIn(w.idleAt, w.now) {
			w.gaps = append(w.gaps, w.now-w.idleAt)
		}
		w.idleAt = -1
	}
}

// awayIn reports whether we did not look in some of that time.
func (w *world) awayIn(from, to time.Duration) bool {
	return slices.ContainsFunc(w.ours, func(s span) bool { return s.from < to && from < s.to })
}

// nextHeld reports whether a peer that can serve has the next block.
func (w *world) nextHeld() bool {
	for _, id := range w.ids {
		x := w.peers[id]
		if !x.gone && !covers(x.stalls, w.now) && !covers(x.deaf, w.now) && len(x.has) == 0 && w.out[id] == nil && holds(sealed(x.held, x.head), w.released) {
			return true
		}
	}
	return false
}
