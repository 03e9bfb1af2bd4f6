package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/sim/disk"
)

// group is the group that is simulated.
var group = codec.GroupIDOf(codec.NetworkIDOf("simulated"), "simulated")

// calm is how much virtual time members have to be level again once nothing is
// done to them any more. It is more than every patience in the program.
const calm = 150 * time.Second

// World is one run: members, network and clock, what is done to them, and what
// is checked. One goroutine owns it.
type World struct {
	scenario Scenario
	faults   Faults
	dice     *rand.Rand

	time    timeline
	net     *network
	members []*member
	byPeer  map[codec.PeerID]*member
	disks   map[codec.RaftID]*disk.Disk // of every incarnation, lost ones too
	users   []*user
	closing bool // nothing is done to the members any more

	decided decided
	history history
	terms   map[codec.Term]codec.RaftID
	votes   map[codec.RaftID]vote
	digests map[codec.Index]codec.Digest
	reached map[string]int
	trace   trace
	failure *Violation
}

// Violation is a promise that was not kept.
type Violation struct {
	What   string // the promise
	Detail string
	At     time.Duration
}

func (v *Violation) Error() string { return fmt.Sprintf("%s, at %v: %s", v.What, v.At, v.Detail) }

// Result is how a run went.
type Result struct {
	Violation *Violation
	Hash      uint64         // of everything that happened
	Lines     []string       // the trace, if it was asked for
	Entries   int            // decided
	Duration  time.Duration  // virtual
	Reached   map[string]int // how often what is rare happened
}

// Run runs a scenario. Elections draw from the global source of randomness: for
// the same run again, seed that in the same way.
func Run(s Scenario, f Faults, traced bool) (res Result) {
	w := newWorld(s, f)
	w.trace.on = traced
	defer func() {
		if v := recover(); v != nil {
			w.violate("a panic", "%v\n%s", v, debug.Stack())
		}
		res = w.result()
	}()
	w.run()
	return res
}

func newWorld(s Scenario, f Faults) *World {
	w := &World{
		scenario: s, faults: f, dice: rand.New(rand.NewPCG(s.Seed, 2)), byPeer: map[codec.PeerID]*member{},
		disks: map[codec.RaftID]*disk.Disk{},
		terms: map[codec.Term]codec.RaftID{}, votes: map[codec.RaftID]vote{}, digests: map[codec.Index]codec.Digest{},
		reached: map[string]int{},
	}
	w.decided.w = w
	w.net = newNetwork(w, len(s.Members))
	for i, role := range s.Members {
		m := &member{
			w: w, number: i, peer: codec.PeerID(fmt.Sprintf("peer%02d", i)), wish: role, disk: disk.New(),
			dice: rand.New(rand.NewPCG(s.Seed, uint64(100+i))),
		}
		m.disk.Hooks = f.Disk
		w.members = append(w.members, m)
		w.byPeer[m.peer] = m
	}
	for i, ops := range s.Users {
		w.users = append(w.users, &user{w: w, number: i, ops: ops, known: map[int]string{}})
	}
	return w
}

func (w *World) run() {
	w.found()
	for _, a := range w.scenario.Actions {
		w.time.after(a.At, func() {
			if !w.closing {
				w.act(a)
			}
		})
	}
	for _, u := range w.users {
		u.run()
	}
	w.until(w.scenario.Length, func() bool { return false })
	w.heal()
	if !w.until(w.time.now+calm, w.level) && w.failure == nil {
		w.violate("not level", "%s", w.describe())
	}
	w.lastWrites()
	if !w.until(w.time.now+calm, w.level) && w.failure == nil {
		w.violate("not level", "after the last writes: %s", w.describe())
	}
	if w.failure == nil {
		w.finalChecks()
	}
}

// found makes the first member's ledger that of a new group.
func (w *World) found() {
	m := w.members[0]
	if err := m.open(); err != nil {
		w.violate("a ledger does not open", "%v", err)
		return
	}
	e, err := consensus.Founding(m.ledger.RaftID(), codec.ConfigContext{
		Peer: m.peer, Nonce: make([]byte, codec.FoundingNonce), Target: w.scenario.Voters,
	})
	if err == nil {
		err = m.ledger.Found(e)
	}
	if err != nil {
		w.violate("founding fails", "%v", err)
		return
	}
	m.disk.Crash(nil)
	w.decided.add(e)
}

// until lets time pass until ok or a time, and reports ok. It looks four times a
// second.
func (w *World) until(end time.Duration, ok func() bool) bool {
	look := w.time.now
	for w.failure == nil {
		if w.time.now >= look {
			if ok() {
				return true
			}
			look = w.time.now + 250*time.Millisecond
		}
		if w.time.now >= end || !w.time.step() {
			return false
		}
	}
	return false
}

// heal ends everything that is done to the members, and starts those that are
// down.
func (w *World) heal() {
	w.closing = true
	w.note('h', 0, 0, 0)
	w.net.weather = fair
	for _, from := range w.members {
		for _, to := range w.members {
			for w.net.cut(from, to) {
				w.net.block(from, to, false, w.net.pair(from, to).quiet > 0)
			}
		}
	}
	for _, m := range w.members {
		m.slowSync, m.slowServe, m.lies, m.forgery, m.crashAt = 0, 0, false, 0, nowhere
		if m.broken {
			m.broken, m.disk.Fault = false, nil
		}
		for m.frozen > 0 {
			m.thaw()
		}
		m.start()
	}
}

// level reports that everybody who belongs to the group has everything, and that
// nothing is under way.
func (w *World) level() bool {
	leaders := 0
	last := codec.Index(len(w.decided.entries))
	for _, m := range w.members {
		if m.removed {
			continue
		}
		v := &m.raft.view
		if !m.up || !v.open || !v.member || v.status.Commit != last || m.replay.core.Applied() != last || v.status.Last != last {
			return false
		}
		if v.lead {
			leaders++
		}
		if m.coord.s != nil || len(m.client.pending)+len(m.client.queue) > 0 || len(m.raft.reads) > 0 || m.calls > 0 {
			return false
		}
	}
	for _, u := range w.users {
		if u.next < len(u.ops) {
			return false
		}
	}
	return leaders == 1
}

// describe is where everybody stands, for people.
func (w *World) describe() (out string) {
	out = fmt.Sprintf("%d entries decided", len(w.decided.entries))
	for _, m := range w.members {
		if m.raft == nil {
			continue
		}
		v := &m.raft.view
		out += fmt.Sprintf("; member %d", m.number)
		switch {
		case m.removed:
			out += " removed"
			continue
		case !m.up:
			out += " down"
			continue
		}
		out += fmt.Sprintf(": %s of term %d, leader %s, member %v, commit %d of %d, applied %d, blocks %d, first %d",
			v.status.State, v.status.Term, v.leader, v.member, v.status.Commit, v.status.Last, m.replay.core.Applied(),
			m.ledger.Head().Blocks, m.ledger.FirstIndex())
		if s := m.coord.s; s != nil {
			out += fmt.Sprintf(", syncing from %d to %d, wants %+v, finished %v: %s", s.from, s.root.Blocks, s.want, s.finished, s.plan.Status().Waiting)
		}
		if m.raft.core != nil {
			if held, ok := m.raft.core.Held(); ok {
				out += fmt.Sprintf(", holds %v", held.Cursor)
			}
		}
		out += fmt.Sprintf(", %d pending, %d reads, %d calls", len(m.client.pending)+len(m.client.queue), len(m.raft.reads), m.calls)
		for _, p := range v.status.Peers {
			out += fmt.Sprintf(" [%s %s match %d next %d]", p.ID, p.State, p.Match, p.Next)
		}
	}
	return out
}

// serving is a member that is up, the given one if it is.
func (w *World) serving(number int) *member {
	for i := range w.members {
		m := w.members[(number+i)%len(w.members)]
		if m.up && !m.removed && m.raft.view.open {
			return m
		}
	}
	return nil
}

// lastWrites writes through every member, and reads, when all is well: it must
// work.
func (w *World) lastWrites() {
	for i := range w.members {
		m := w.members[i]
		if m.removed || !m.up {
			continue
		}
		u := &user{w: w, number: 1000 + i, known: map[int]string{}}
		o := op{kind: opPut, key: i % 3, member: i}
		u.write(m, o, func() {
			o.kind = opStrong
			u.read(m, o, func() {})
		})
	}
}

// violate ends the run with the first promise that was not kept.
func (w *World) violate(what, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Violation{What: what, Detail: fmt.Sprintf(format, args...), At: w.time.now}
	}
}

func (w *World) result() Result {
	for _, x := range w.history.ops {
		switch {
		case x.unknown:
			w.reached["unknown outcome"]++
		case x.done:
			w.reached[opNames[x.kind]]++
		}
	}
	return Result{
		Violation: w.failure, Hash: w.trace.hash, Lines: w.trace.lines, Entries: len(w.decided.entries), Duration: w.time.now,
		Reached: w.reached,
	}
}
