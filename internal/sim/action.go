package sim

import (
	"fmt"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine/kv"
)

// actionKind is what is done to the members.
type actionKind int

const (
	doStart     actionKind = iota // a member starts for the first time
	doFill                        // Count commands through member A
	doCrash                       // A crashes, at once or at a Stage, and comes back
	doCrashAll                    // everybody crashes at once
	doPause                       // A's process stands still
	doCut                         // what A sends to B is lost
	doPart                        // those in Mask and the others are apart
	doBridge                      // the same, but for member A, whom both reach
	doWeather                     // messages are lost, doubled and late
	doBreakDisk                   // a write of A's fails
	doSlowDisk                    // A's syncs take longer
	doSlowServe                   // A serves blocks slowly
	doLie                         // A offers blocks that it does not have
	doForge                       // A serves another log than everybody's, as long as it never was a voter
	doWipe                        // A loses its directory
	doLeave                       // A leaves the group
	doHandOver                    // A hands leadership over, if it leads
)

var actionNames = [...]string{
	"start", "fill", "crash", "crash all", "pause", "cut", "partition", "bridge", "weather", "break disk", "slow disk",
	"slow provider", "lying provider", "forging provider", "wipe", "leave", "hand over",
}

// Action is one thing that is done to the members.
type Action struct {
	At     time.Duration
	Kind   actionKind
	A, B   int
	For    time.Duration
	Stage  stage
	Count  int
	Mask   uint64
	Leader bool // whoever leads stands for A
	Quiet  bool // the cut is not noticed by the connections
	Loss   float64
	Double float64
	Delay  time.Duration
	Rate   float64
}

// String is the action as a line of a trace.
func (a Action) String() string {
	s := fmt.Sprintf("%s: %s member %d", seconds(a.At), actionNames[a.Kind], a.A)
	switch a.Kind {
	case doStart, doLeave, doHandOver:
		return s
	case doFill:
		return s + fmt.Sprintf(", %d commands", a.Count)
	case doCrash:
		s += fmt.Sprintf(" at stage %d", a.Stage)
	case doCut:
		s += fmt.Sprintf(" to member %d, quietly %v", a.B, a.Quiet)
	case doPart, doBridge:
		s += fmt.Sprintf(", one side %08b, quietly %v", a.Mask&0xff, a.Quiet)
	case doWeather:
		s += fmt.Sprintf(", loss %.0f %%, doubled %.0f %%, up to %v late", 100*a.Loss, 100*a.Double, a.Delay)
	case doForge:
		s += fmt.Sprintf(", how %011b", a.Mask)
	case doSlowDisk:
		s += fmt.Sprintf(", %v a sync", a.Delay)
	case doSlowServe:
		s += fmt.Sprintf(", %.0f bytes/s", a.Rate)
	}
	return s + " for " + seconds(a.For)
}

// act does an action now, and plans its end.
func (w *World) act(a Action) {
	if a.Leader {
		a.A = w.leading(a.A)
	}
	w.note('!', uint64(a.Kind), uint64(a.A), uint64(a.For))
	w.tell("%v", a)
	w.reached[actionNames[a.Kind]]++
	m := w.members[a.A]
	later := func(end func()) {
		w.time.after(a.For, func() {
			if !w.closing {
				end()
			}
		})
	}
	switch a.Kind {
	case doStart:
		m.start()
	case doFill:
		w.fill(a)
	case doCrash:
		m.crashFor = a.For
		if m.up && a.Stage != nowhere {
			m.crashAt = a.Stage
			return
		}
		m.crash()
		m.restartIn(a.For)
	case doCrashAll:
		for _, m := range w.members {
			if m.up {
				m.crash()
				m.restartIn(a.For)
			}
		}
	case doPause:
		m.pause(a.For)
	case doCut, doPart, doBridge:
		w.cut(a, true)
		later(func() { w.cut(a, false) })
	case doWeather:
		w.net.weather = weather{loss: a.Loss, double: a.Double, delayMin: fair.delayMin, delayMax: fair.delayMax + a.Delay}
		later(func() { w.net.weather = fair })
	case doBreakDisk:
		m.breakDisk(a.For)
	case doSlowDisk:
		m.slowSync = a.Delay
		later(func() { m.slowSync = 0 })
	case doSlowServe:
		m.slowServe = a.Rate
		later(func() { m.slowServe = 0 })
	case doLie:
		m.lies = true
		later(func() { m.lies = false })
	case doForge:
		m.forgery = forgery(a.Mask)
		later(func() { m.forgery = 0 })
	case doWipe:
		if m.up && m.mayLose() {
			m.wipe()
			m.restartIn(a.For)
		}
	case doLeave:
		if m.mayLeave() {
			m.leaving = true
			m.leave()
		}
	case doHandOver:
		if m.up && m.raft.core != nil {
			m.raft.tell(func() { _ = m.raft.core.HandOver() }) // nobody could take it
		}
	}
}

// leading is the member that leads in the greatest term, or else the given one.
func (w *World) leading(number int) int {
	best := codec.Term(0)
	for i, m := range w.members {
		if m.up && m.raft.view.lead && m.raft.view.status.Term > best {
			best, number = m.raft.view.status.Term, i
		}
	}
	return number
}

// cut cuts or mends the links of a cut, partition or bridge.
func (w *World) cut(a Action, cut bool) {
	if a.Kind == doCut {
		if a.A != a.B {
			w.net.block(w.members[a.A], w.members[a.B], cut, a.Quiet)
		}
		return
	}
	side := func(i int) uint64 { return a.Mask >> i & 1 }
	for i, from := range w.members {
		for j, to := range w.members {
			if side(i) == side(j) || a.Kind == doBridge && (i == a.A || j == a.A) {
				continue
			}
			w.net.block(from, to, cut, a.Quiet)
		}
	}
}

// fill fills the log through one member, some commands at a time.
func (w *World) fill(a Action) {
	left := a.Count
	var some func()
	some = func() {
		m := w.serving(a.A)
		if m == nil || w.closing || left == 0 {
			return
		}
		waits := min(left, 64)
		left -= waits
		for range waits {
			command, err := kv.EncodeCommand(kv.Put{Key: "fill", Value: valueOf(w.history.number())})
			if err != nil {
				panic(err) // the key is ours
			}
			m.client.start(command, func(outcome) {
				if waits--; waits == 0 {
					w.time.after(0, some)
				}
			})
		}
	}
	some()
}
