package catchup

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
)

const session = 7

// world runs a Plan against simulated peers and a simulated disk, in virtual
// time, and checks what must always hold.
type world struct {
	t      tester
	plan   *Plan
	cfg    Config
	now    time.Duration
	queue  timeline
	seq    int
	rng    *rand.Rand
	size   func(n uint64) int
	peers  map[codec.PeerID]*simPeer
	ids    []codec.PeerID
	disk   float64 // bytes/s; 0: at once
	diskAt time.Duration
	asleep time.Duration // the plan is told nothing before
	ours   []span        // in which nobody could be faster, because of us

	steps    int
	told     uint64 // BlockArrived
	wakes    int
	ticks    int    // one after the other, with nothing between them
	released uint64 // next block expected
	finished bool
	failed   error
	doneAt   time.Duration
	asked    int // broadcasts
	out      map[codec.PeerID]error
	onAsk    func()
	tree     forest

	idleAt time.Duration // since when nothing is to be applied; < 0: something is
	gaps   []time.Duration
	first  time.Duration

	leafLeases int // for leaves alone
	groupsSent int // proof groups
}

// tester is *testing.T, *testing.B or *rapid.T.
type tester interface {
	Helper()
	Log(args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

type moment struct {
	at  time.Duration
	seq int
	do  func()
}

type timeline []moment

func (q timeline) Len() int { return len(q) }
func (q timeline) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q timeline) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *timeline) Push(x any)   { *q = append(*q, x.(moment)) }
func (q *timeline) Pop() any {
	old := *q
	m := old[len(old)-1]
	*q = old[:len(old)-1]
	return m
}

// simPeer is a provider and the fetcher that talks to it.
type simPeer struct {
	id     codec.PeerID
	rate   float64       // bytes/s
	trip   time.Duration // one way
	held   []codec.BlockRange
	head   uint64
	leader bool

	// faults
	stalls []span        // in which its line carries nothing
	deaf   []span        // in which it reads nothing
	deep   bool          // its stream takes whatever it is given
	lose   float64       // of blocks and Ends
	double float64       // of blocks
	forge  bool          // leaves that do not prove
	lie    float64       // a block outside the list in place of the asked one
	junk   float64       // a block that fails its check
	short  float64       // End after each block
	jitter time.Duration // more delay, any order

	joins  time.Duration      // its first offer is on its way then
	has    []codec.BlockRange // nil: held
	gone   bool               // not connected
	pruned float64            // this part of its blocks, the oldest, is gone

	lease  *simLease
	life   int // of the stream
	last   uint64
	seq    uint64
	opened map[uint64]bool
	sentAt time.Duration // when the line is free
	open   uint64        // the plan's open lease, 0: none
}

// span is a time, to not included.
type span struct{ from, to time.Duration }

const never = 1000 * time.Hour

// transmit puts bytes on the line behind what is there.
func (x *simPeer) transmit(now time.Duration, size int) {
	t, left := max(x.sentAt, now), take(float64(size), x.rate)
	for _, s := range x.stalls {
		switch {
		case t >= s.to:
		case t+left <= s.from:
			x.sentAt = t + left
			return
		default:
			left -= max(0, s.from-t)
			t = s.to
		}
	}
	x.sentAt = t + left
}

// unsent is how long the bytes take that the provider keeps in its stream.
func (x *simPeer) unsent() time.Duration {
	if x.deep {
		return never
	}
	return max(unsentTime, take(unsentMin, x.rate))
}

// covers reports whether t lies in one of spans.
func covers(spans []span, t time.Duration) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.from <= t && t < s.to })
}

type simLease struct {
	number, seq uint64
	tree        uint64
	leaves      bool            // alone
	proved      map[uint64]bool // groups
	list        []codec.WantRange
	sent, upTo  uint64
	lastBlock   uint64
	ended       bool
}

func newWorld(t tester, cfg Config, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), peers: map[codec.PeerID]*simPeer{},
		tree: forest{}, size: func(uint64) int { return 256 << 10 }, out: map[codec.PeerID]error{}, idleAt: -1,
	}
	cfg.Session, cfg.Seed = session, seed
	if cfg.Check == nil {
		cfg.Check = w.check
	}
	w.cfg, w.released = cfg, cfg.From
	w.plan = New(cfg)
	return w
}

// marks is what blocks are cut from: eight bytes for each number modulo
// marksMod, so that a block costs no memory of its own.
var marks = func() []byte {
	b := make([]byte, 0, 8*marksMod+codec.MaxBlock)
	for n := range cap(b) / 8 {
		b = binary.BigEndian.AppendUint64(b, uint64(n%marksMod))
	}
	return b[:cap(b)]
}()

const marksMod = 4096

// data is block n. It is not to be written to.
func (w *world) data(n uint64) []byte {
	from := n % marksMod * 8
	return marks[from : from+uint64(max(w.size(n), 8))]
}

var errJunk = errors.New("junk")

func (w *world) check(n uint64, data []byte) error {
	if binary.BigEndian.Uint64(data) != n%marksMod {
		return errJunk
	}
	return nil
}

func (w *world) at(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, moment{w.now + d, w.seq, do})
}

// peer adds a peer with blocks [from, to).
func (w *world) peer(id codec.PeerID, rate float64, trip time.Duration, from, to uint64) *simPeer {
	x := &simPeer{id: id, rate: rate, trip: trip, head: to, opened: map[uint64]bool{}}
	if from < to {
		x.held = []codec.BlockRange{{From: from, To: to}}
	}
	w.peers[id] = x
	w.ids = append(w.ids, id)
	slices.Sort(w.ids)
	return x
}

func (w *world) offer(x *simPeer) {
	w.step(PeerOffered{x.id, codec.AvailabilityReply{
		Nonce: session, Held: x.held, Head: codec.Head{Blocks: x.head}, Leader: x.leader,
	}})
}

func (w *world) offerAll() {
	for _, id := range w.ids {
		w.offer(w.peers[id])
	}
}

func (w *world) step(e Event) {
	if w.now < w.asleep {
		w.at(w.asleep-w.now, func() { w.step(e) })
		return
	}
	w.steps++
	if _, ok := e.(BlockArrived); ok {
		w.told++
	}
	if w.steps > 2_000_000 {
		w.t.Fatalf("at %v: no end", w.now)
	}
	if _, ok := e.(Ticked); !ok {
		w.ticks = 0
	} else if w.ticks > 200 {
		w.t.Fatalf("at %v: the plan polls", w.now)
	}
	if _, ok := e.(PeerLost); ok {
		w.hangUp(w.peers[e.(PeerLost).Peer])
	}
	for _, f := range w.plan.Step(w.now, e) {
		w.do(f)
	}
	w.gauge()
	if err := w.plan.Stuck(w.now); err != nil {
		w.t.Fatalf("at %v, after %T: %v", w.now, e, err)
	}
	if w.plan.target-w.cfg.From < 1000 {
		w.audit()
	}
	if held := w.plan.queue.held; held > w.plan.cfg.Window+2*codec.MaxBlock {
		w.t.Fatalf("%d bytes held in a window of %d", held, w.plan.cfg.Window)
	}
}

func (w *world) hangUp(x *simPeer) {
	x.life++
	x.lease, x.open = nil, 0
	x.sentAt = min(x.sentAt, w.now)
}

// run goes on until the session ends, or limit.
func (w *world) run(limit time.Duration) {
	w.t.Helper()
	for len(w.queue) > 0 && w.queue[0].at <= limit && !w.finished && w.failed == nil {
		m := heap.Pop(&w.queue).(moment)
		w.now = max(w.now, m.at)
		m.do()
	}
	if w.finished && w.released != w.plan.target {
		w.t.Fatalf("finished with block %d released of %d", w.released, w.plan.target)
	}
}

func (w *world) do(f Effect) {
	switch f := f.(type) {
	case Fetch:
		x := w.peers[f.Peer]
		if x.open != 0 || x.opened[f.Lease] || f.Lease <= x.last || len(f.Ranges) == 0 || len(f.Ranges) > codec.MaxRanges {
			w.t.Fatalf("at %v: %+v, while %d is open, last %d", w.now, f, x.open, x.last)
		}
		x.open, x.last, x.seq = f.Lease, f.Lease, 0
		if f.Leaves {
			w.leafLeases++
		}
		w.toPeer(x, func() {
			x.lease = &simLease{number: f.Lease, tree: f.Tree, leaves: f.Leaves, proved: map[uint64]bool{}, list: f.Ranges, upTo: 1 << 60}
			w.send(x, x.lease)
		})
	case Extend:
		x := w.peers[f.Peer]
		w.sequence(x, f.Lease, f.Seq)
		if len(f.Ranges) == 0 || len(f.Ranges) > codec.MaxRanges {
			w.t.Fatalf("at %v: %+v", w.now, f)
		}
		w.toPeer(x, func() {
			if l := x.lease; l != nil && l.number == f.Lease && !l.ended {
				l.list, l.seq = append(l.list, f.Ranges...), f.Seq
			}
		})
	case Trim:
		x := w.peers[f.Peer]
		w.sequence(x, f.Lease, f.Seq)
		w.toPeer(x, func() {
			if l := x.lease; l != nil && l.number == f.Lease && !l.ended {
				l.upTo, l.seq = f.Place, f.Seq
			}
		})
	case Cancel:
		w.cancel(f)
	case Release:
		w.release(f)
	case Broadcast:
		w.asked++
		if w.onAsk != nil {
			w.at(0, w.onAsk)
		}
	case Wake:
		if f.At <= w.now {
			w.t.Fatalf("at %v: Wake at %v", w.now, f.At)
		}
		w.wakes++
		wake := w.wakes
		w.at(f.At-w.now, func() {
			if w.wakes == wake { // no later one has replaced it
				w.ticks++
				w.step(Ticked{})
			}
		})
	case Distrust:
		w.out[f.Peer] = f.Err
	case Finish:
		w.finished, w.doneAt = true, w.now
	case Fail:
		w.failed, w.doneAt = f.Err, w.now
	}
}

func (w *world) sequence(x *simPeer, lease, seq uint64) {
	if x.open == 0 && lease == x.last && w.asleep > 0 {
		return // the fetcher has seen an End that waits for the plan
	}
	if x.open != lease || seq != x.seq+1 {
		w.t.Fatalf("at %v: lease %d seq %d, while %d seq %d is open", w.now, lease, seq, x.open, x.seq)
	}
	x.seq = seq
}

func list(ranges []codec.WantRange) (out []codec.BlockRange) {
	for _, r := range ranges {
		out = append(out, codec.BlockRange{From: r.From, To: r.To})
	}
	return out
}

func (w *world) toPeer(x *simPeer, do func()) {
	life := x.life
	at := w.now + x.trip
	for _, s := range x.deaf {
		if s.from <= at && at < s.to {
			at = s.to
		}
	}
	w.at(at-w.now, func() {
		if x.life == life {
			do()
		}
	})
}

// cancel is the fetcher: it resets the stream when no End comes.
func (w *world) cancel(f Cancel) {
	x := w.peers[f.Peer]
	if x.open == 0 && f.Lease == x.last && w.asleep > 0 {
		return // its End waits for the plan
	}
	if x.open != f.Lease {
		w.t.Fatalf("at %v: %+v, while %d is open", w.now, f, x.open)
	}
	w.toPeer(x, func() {
		if x.lease != nil && x.lease.number == f.Lease && !x.lease.ended {
			w.sendEnd(x, x.lease, codec.EndCancelled)
		}
	})
	life := x.life
	w.at(max(time.Second, 8*x.trip), func() {
		if x.life == life && x.open == f.Lease {
			w.hangUp(x)
			w.step(StreamReset{x.id, f.Lease})
		}
	})
}

func (w *world) release(f Release) {
	if f.First != w.released || len(f.Blocks) == 0 {
		w.t.Fatalf("at %v: released block %d, want %d", w.now, f.First, w.released)
	}
	if w.first == 0 {
		w.first = w.now
	}
	var size int64
	for i, data := range f.Blocks {
		if err := w.check(f.First+uint64(i), data); err != nil {
			w.t.Fatalf("released block %d: %v", f.First+uint64(i), err)
		}
		size += int64(len(data))
	}
	w.released += uint64(len(f.Blocks))
	if w.disk > 0 {
		w.diskAt = max(w.diskAt, w.now) + take(float64(size), w.disk)
	}
	through := w.released
	w.at(max(0, w.diskAt-w.now), func() { w.step(Stored{Through: through, Bytes: size}) })
}

// next is the block at the lease's place, if there is one.
func (l *simLease) next() (n uint64, proved, ok bool) {
	place := l.sent
	if place >= l.upTo {
		return 0, false, false
	}
	for _, r := range l.list {
		if place < r.To-r.From {
			return r.From + place, r.Proved, true
		}
		place -= r.To - r.From
	}
	return 0, false, false
}

// send is the provider: one block, then the next when the line is free.
func (w *world) send(x *simPeer, l *simLease) {
	if x.lease != l || l.ended {
		return
	}
	n, proved, ok := l.next()
	keep := x.unsent()
	if !ok && !x.deep {
		keep = 0 // an Extend may still come, until the last byte has left
	}
	if wait := x.sentAt - w.now - keep; wait > 0 {
		w.again(x, l, wait)
		return
	}
	switch {
	case !ok && l.sent >= l.upTo:
		w.sendEnd(x, l, codec.EndTrimmed)
		return
	case !ok:
		w.sendEnd(x, l, codec.EndDone)
		return
	case l.leaves:
		w.prove(x, l, n)
		l.sent++
		w.again(x, l, 0)
		return
	case !holds(x.held, n), len(x.has) > 0 && !holds(x.has, n), w.rng.Float64() < x.short, l.tree > x.head:
		w.sendEnd(x, l, codec.EndUnavailable)
		return
	}
	if l.tree > 0 && !proved {
		w.prove(x, l, n)
	}
	l.sent++
	l.lastBlock = n
	data := w.data(n)
	x.transmit(w.now, len(data))
	w.arrive(x, l.number, n, data)
	w.again(x, l, 0)
}

func (w *world) again(x *simPeer, l *simLease, d time.Duration) {
	life := x.life
	w.at(d, func() {
		if x.life == life {
			w.send(x, l)
		}
	})
}

func (w *world) arrive(x *simPeer, lease, n uint64, data []byte) {
	if w.rng.Float64() < x.lie {
		n += 1 + w.rng.Uint64N(100)
	}
	if w.rng.Float64() < x.junk {
		data = marks[(n+1)%marksMod*8:][:len(data)]
	}
	leaf := codec.Hash{1}
	if w.check(n, data) == nil {
		leaf = w.leaf(n)
	}
	times := 1
	if w.rng.Float64() < x.lose {
		times = 0
	} else if w.rng.Float64() < x.double {
		times = 2
	}
	for range times {
		w.fromPeer(x, func() { w.step(BlockArrived{x.id, lease, n, data, leaf}) })
	}
}

func (w *world) leaf(n uint64) codec.Hash { return w.tree.node(0, n) }

func (w *world) root(n uint64) RootAgreed {
	root, err := codec.RootOf(n, w.tree.between(0, n))
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return RootAgreed{Blocks: n, Root: root}
}

// prove sends the leaves of n's group, once a lease.
func (w *world) prove(x *simPeer, l *simLease, n uint64) {
	group := n / codec.ProofGroup
	if l.proved[group] || n >= l.tree {
		return
	}
	l.proved[group] = true
	w.groupsSent++
	from := group * codec.ProofGroup
	to := min(from+codec.ProofGroup, l.tree)
	m := codec.Leaves{Lease: l.number, Group: group, Tree: l.tree, Left: w.tree.between(0, from), Right: w.tree.between(to, l.tree)}
	for b := from; b < to; b++ {
		m.Leaves = append(m.Leaves, w.leaf(b))
	}
	if x.forge {
		m.Leaves[0] = codec.Hash{1}
	}
	x.transmit(w.now, 48*int(to-from))
	w.fromPeer(x, func() { w.step(LeavesArrived{x.id, m}) })
}

// forest is the nodes of the block tree over simulated blocks.
type forest map[codec.TreeNode]codec.Hash

func (f forest) node(level uint, number uint64) codec.Hash {
	id := codec.TreeNode{Level: level, Number: number}
	if h, ok := f[id]; ok {
		return h
	}
	h := codec.Leaf(binary.BigEndian.AppendUint64(nil, number))
	if level > 0 {
		h = codec.Node(f.node(level-1, 2*number), f.node(level-1, 2*number+1))
	}
	f[id] = h
	return h
}

// between is the compact range of blocks [from, to).
func (f forest) between(from, to uint64) (out []codec.Hash) {
	for _, id := range codec.RangeNodes(from, to) {
		out = append(out, f.node(id.Level, id.Number))
	}
	return out
}

// fromPeer delivers what the peer sent, after what it sent before unless it has
// jitter.
func (w *world) fromPeer(x *simPeer, do func()) {
	d := max(0, x.sentAt-w.now) + x.trip
	if x.jitter > 0 {
		d += time.Duration(w.rng.Int64N(int64(x.jitter)))
	}
	life := x.life
	w.at(d, func() {
		if x.life == life || x.jitter > 0 { // a stream that is gone delivers nothing
			do()
		}
	})
}

func (w *world) sendEnd(x *simPeer, l *simLease, why codec.EndReason) {
	l.ended = true
	end := codec.End{
		Lease: l.number, Seq: l.seq, Sent: l.sent, Last: l.lastBlock, Reason: why,
		Held: x.held, Head: codec.Head{Blocks: x.head},
	}
	if w.rng.Float64() < x.lose {
		return
	}
	w.fromPeer(x, func() {
		if x.open == l.number {
			x.open = 0
		}
		w.step(LeaseEnded{x.id, end})
	})
}

// report is each peer's part, as text.
func (w *world) report() string {
	s := w.plan.Status()
	out := fmt.Sprintf("%.2f s, %.1f MB/s, %d steps, %d wakes, %d hedges, doubled %.2f %%", w.doneAt.Seconds(),
		float64(s.Bytes)/w.doneAt.Seconds()/1e6, w.steps, w.wakes, s.Hedges, 100*float64(s.Doubled)/float64(max(s.Bytes, 1)))
	for _, x := range s.Peers {
		out += fmt.Sprintf("; %s %.1f %%", x.Peer, 100*float64(x.Blocks)/float64(max(s.Done, 1)))
	}
	return out
}

// audit checks that the accounts are what the leases and blocks add up to.
func (w *world) audit() {
	p := w.plan
	for _, x := range p.peers {
		if x.lease == nil {
			continue
		}
		owed, needed := uint64(0), uint64(0)
		for _, s := range x.lease.todo {
			for n := s.from; n < s.to; n++ {
				owed++
				if p.queue.missing(n) {
					needed++
				}
			}
		}
		if owed != x.lease.owed || needed != x.lease.needed {
			w.t.Fatalf("lease of %s: owed %d needed %d, counted %d %d", x.id, x.lease.owed, x.lease.needed, owed, needed)
		}
	}
	leased := uint64(0)
	for i, s := range p.queue.slots {
		n := p.queue.base + uint64(i)
		if s.owed > 0 && s.data == nil {
			leased++
		}
		hole := s.owed == 0 && s.data == nil && n < p.target
		if hole != p.free.has(n) {
			w.t.Fatalf("block %d: owed %d, here %v, hole %v", n, s.owed, s.data != nil, p.free.has(n))
		}
	}
	if leased != p.leased {
		w.t.Fatalf("leased %d, counted %d", p.leased, leased)
	}
}
