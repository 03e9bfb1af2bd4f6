package consensus

import (
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/cryptotest"

	"github.com/logmesh/logmesh/codec"
)

// TestRandom lets a group live through loss, reordering, duplication, crashes
// at every stage of the Ready loop, saves that take long, joins, removals, other
// wishes of operators and horizon moves, and checks
// after each step: a term has one leader (network.watch), what is committed
// never changes and is equal everywhere, entries are given once and in order,
// and no core is broken. At the end, on a whole network, everybody catches up.
//
// Each run is one seed; a failing one is run again by -run TestRandom/SEED -seed SEED -runs 1.
func TestRandom(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*runs; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { live(t, seed) })
	}
}

var (
	firstSeed = flag.Uint64("seed", 1, "first seed of TestRandom")
	runs      = flag.Uint64("runs", 60, "runs of TestRandom")
)

func live(t *testing.T, seed uint64) {
	cryptotest.SetGlobalRandom(t, seed)
	w := &world{network: newNetwork(t), dice: rand.New(rand.NewPCG(seed, 0)), committed: map[codec.Index]codec.Entry{}, given: map[codec.Index]codec.Term{}}
	w.horizon, w.manual = 1, seed%2 == 0
	w.found(1, 3)
	w.join(2, codec.RoleStandby)
	w.join(3, codec.RoleStandby)
	for range w.between(50, 400) {
		w.step()
		w.check()
	}
	w.heal()
}

// world is a network with what it has committed so far.
type world struct {
	*network
	dice      *rand.Rand
	committed map[codec.Index]codec.Entry
	given     map[codec.Index]codec.Term // of entries that were given as committed, perhaps before any hard state says so
	serial    uint64
	joined    codec.RaftID
	seen      map[*node]int
}

func (w *world) between(lo, hi int) int { return lo + w.dice.IntN(hi-lo+1) }

func (w *world) step() {
	ids := w.ids()
	id := ids[w.dice.IntN(len(ids))]
	nd := w.nodes[id]
	switch k := w.between(0, 99); {
	case k < 30 && nd.core == nil && nd.err == nil:
		w.open(id)
		w.bond(id)
	case k < 40:
		w.some(w.between(1, 60))
	case k < 60:
		for range w.between(1, 15) {
			w.tickOnce()
			w.some(8)
		}
	case k < 62 && nd.core != nil && nd.saving == nil:
		w.syncHeld(nd)
	case k < 66 && nd.core != nil:
		nd.slow = true
	case k < 74 && nd.core != nil:
		w.saved(nd)
	case k < 82:
		w.command(w.between(1, 80))
	case k < 86 && nd.core != nil:
		w.crash(nd)
	case k < 87:
		w.sever(id, true)
	case k < 96:
		w.sever(id, false)
	case k < 97:
		w.admit()
	default:
		w.operate(id, len(ids) > 3)
	}
}

// operate asks the leader for something that an operator may want.
func (w *world) operate(id codec.RaftID, spare bool) {
	l := w.leader()
	if l == nil {
		return
	}
	ids := w.ids()
	switch w.between(0, 5) {
	case 0:
		if spare {
			l.core.Leave(id)
		}
	case 1:
		if spare {
			l.core.Remove(id)
		}
	case 2:
		l.core.Promote(id, 0)
	case 3:
		l.core.Promote(id, ids[w.dice.IntN(len(ids))])
	case 4:
		l.core.Retarget(w.between(1, 5))
	default:
		l.core.Transfer(id)
	}
	w.pump(l)
}

// some delivers, loses or doubles messages, in any order.
func (w *world) some(count int) {
	for ; count > 0 && len(w.queue) > 0; count-- {
		i := w.between(0, min(len(w.queue)-1, 5))
		switch fate := w.between(0, 19); {
		case fate == 0:
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
		case fate == 1:
			w.hand(w.queue[i])
		default:
			w.deliver(i)
		}
	}
}

func (w *world) command(count int) {
	l := w.leader()
	if l == nil {
		return
	}
	var commands [][]byte
	for range count {
		w.serial++
		commands = append(commands, binary.BigEndian.AppendUint64(nil, w.serial))
	}
	if _, err := l.core.Propose(commands); err == nil {
		w.pump(l)
	}
}

// crash stops a member, in the middle of its work if it has any.
func (w *world) crash(nd *node) {
	w.tickOnce()
	if nd.core != nil && len(w.queue) > 0 {
		for i, e := range w.queue {
			if e.to == nd.id {
				w.queue = append(w.queue[:i], w.queue[i+1:]...)
				w.network.check(nd, nd.core.Step(e.from, e.Data))
				break
			}
		}
	}
	if nd.core != nil {
		w.work(nd, w.between(stageNow, stageSent))
	}
	if nd.err == nil {
		w.kill(nd.id)
	}
}

func (w *world) bond(id codec.RaftID) {
	for _, other := range w.ids() {
		if o := w.nodes[other]; o.core != nil && other != id {
			o.core.Bond(id, true)
			w.pump(o)
		}
	}
}

// admit brings a new member, which syncs first, and asks once.
func (w *world) admit() {
	l := w.leader()
	if l == nil || w.joined >= 3 {
		return
	}
	w.joined++
	id := 10 + w.joined
	nd := w.node(id)
	nd.log.fetch(l.log)
	at, _ := nd.log.head()
	w.open(id)
	l.core.Join(peerName(id), codec.Join{RaftID: id, Role: codec.RoleStandby, Cursor: at})
	w.pump(l)
}

// check compares everything that is committed anywhere with what was before.
func (w *world) check() {
	if w.seen == nil {
		w.seen = map[*node]int{}
	}
	for _, id := range w.ids() {
		nd := w.nodes[id]
		if nd.err != nil {
			w.t.Fatalf("member %d stopped: %v", id, nd.err)
		}
		if nd.core != nil && nd.core.Failed() != nil {
			w.t.Fatalf("member %d: %v", id, nd.core.Failed())
		}
		for k := max(1, w.seen[nd]); k < len(nd.applied); k++ {
			if gap := nd.applied[k].Index - nd.applied[k-1].Index; gap != 1 && !w.adoptedAt(nd, nd.applied[k].Index-1) {
				w.t.Fatalf("member %d applied %v after %v", id, nd.applied[k], nd.applied[k-1])
			}
		}
		for _, at := range nd.applied[min(w.seen[nd], len(nd.applied)):] {
			if term, ok := w.given[at.Index]; ok && term != at.Term {
				w.t.Fatalf("member %d applied %v, another term %d there", id, at, term)
			}
			w.given[at.Index] = at.Term
		}
		w.seen[nd] = max(0, len(nd.applied)-1)
		w.checkLog(nd)
	}
}

// adoptedAt: applying may skip to just after a sealed cursor.
func (w *world) adoptedAt(nd *node, i codec.Index) bool {
	for _, end := range nd.log.ends {
		if end == i {
			return true
		}
	}
	return false
}

func (w *world) checkLog(nd *node) {
	for i := nd.log.first; i <= nd.log.hard.Commit; i++ {
		e, _ := nd.log.entry(i)
		if term, ok := w.given[i]; ok && term != e.Term {
			w.t.Fatalf("index %d was applied with term %d, member %d committed %v", i, term, nd.id, e.Cursor())
		}
		old, known := w.committed[i]
		if known && (old.Term != e.Term || string(old.Data) != string(e.Data)) {
			w.t.Fatalf("index %d was %v %x, member %d has %v %x", i, old.Cursor(), old.Data, nd.id, e.Cursor(), e.Data)
		}
		w.committed[i] = e
	}
}

// heal mends everything and waits until all members follow the leader.
func (w *world) heal() {
	for _, id := range w.ids() {
		w.sever(id, false)
	}
	for _, id := range w.ids() {
		if w.nodes[id].core == nil {
			w.open(id)
			w.bond(id)
		}
	}
	w.manual = false
	for _, id := range w.ids() {
		w.saved(w.nodes[id])
	}
	w.until("everybody follows", func() bool {
		for _, id := range w.ids() {
			w.syncHeld(w.nodes[id])
			w.pump(w.nodes[id])
		}
		l := w.leader()
		if l == nil {
			return false
		}
		for _, m := range l.core.Configuration().Members {
			if !w.follows(m.RaftID) {
				return false
			}
		}
		return true
	})
	w.check()
	before := w.leader().core.commit
	w.propose(5, 8)
	w.until("five more commands", func() bool { l := w.leader(); return l != nil && l.core.commit >= before+5 })
}
