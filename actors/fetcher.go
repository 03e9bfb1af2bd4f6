package actors

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

const (
	openTimeout   = 10 * time.Second // to open a sync stream
	cancelTimeout = time.Second      // from Cancel, or what came after it, to End; then the stream is reset
	cancelMost    = 10 * time.Second // from Cancel to End, whatever comes
	maxWaiting    = 1024             // Fetches that may wait for the present lease
)

// Messages to a fetcher from its coordinator. Those of a lease name it.
type (
	// ask wants an offer, with the roots at the tree sizes that it names.
	ask    struct{ codec.AvailabilityRequest }
	fetch  struct{ codec.Fetch }
	extend struct{ codec.Extend }
	trim   struct{ codec.Trim }
	cancel struct{ lease uint64 }
)

// Messages from a fetcher to its coordinator.
type (
	offered struct {
		peer  codec.PeerID
		reply codec.AvailabilityReply
		done  func() // it was handled
	}
	blockArrived struct {
		peer  codec.PeerID
		block codec.Blocks
		leaf  codec.Hash
		done  func() // the stream's reader may go on
	}
	leavesArrived struct {
		peer   codec.PeerID
		leaves codec.Leaves
		done   func()
	}
	leaseEnded struct {
		peer codec.PeerID
		end  codec.End
	}
	streamReset struct {
		peer  codec.PeerID
		lease uint64 // the lease that was open; 0: none
		err   error
	}
)

var (
	errCancelOverdue = errors.New("the peer did not end a lease that was cancelled")
	errWaiting       = errors.New("too many leases wait for the present one")
)

// Messages of a fetcher to itself. gen tells streams apart: what an earlier one
// still says is dropped.
type (
	streamOpened struct {
		stream Stream
		handed func() bool // the stream is the fetcher's now
		err    error
	}
	streamFrame struct {
		gen   uint64
		frame frame
	}
	streamEnded struct {
		gen uint64
		err error
	}
	cancelOverdue struct {
		lease uint64
		since time.Time // of the Cancel
	}
)

var fetcherFrames = []codec.FrameType{codec.TypeAvailabilityReply, codec.TypeBlocks, codec.TypeLeaves, codec.TypeEnd}

// fetcher is the actor that fetches from one remote peer. It is idle or busy:
// while a lease is open, further Fetches wait in order, so that no more than
// one is ever in flight for the peer.
type fetcher struct {
	// set once
	peer        codec.PeerID
	network     Network
	clock       Clock
	coordinator *actor.PID
	plain       bool // no compression
	log         *slog.Logger
	stray       *atomic.Uint64 // frames that belong to no open lease

	// owned by the actor
	behavior actor.Behavior
	gen      uint64
	conn     *conn
	opening  bool
	lease    uint64          // open; 0: idle
	heard    time.Time       // a frame came
	unsent   []codec.Message // wait for the stream
	waiting  []codec.Fetch   // wait for the lease
	list     catchup.Served  // what the lease still owes
	packing  packing
	squeezer squeezer
	stop     context.CancelFunc
	ctx      context.Context
}

func newFetcher(peer codec.PeerID, n Network, clock Clock, coordinator *actor.PID, plain bool, log *slog.Logger, stray *atomic.Uint64) *fetcher {
	f := &fetcher{
		peer: peer, network: n, clock: clock, coordinator: coordinator, plain: plain, log: log, stray: stray, behavior: actor.NewBehavior(),
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.behavior.Become(f.idle)
	return f
}

func (f *fetcher) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Stopping:
		f.stop()
		f.closeConn()
	case streamOpened:
		f.opened(ctx, m)
	case streamEnded:
		if m.gen == f.gen {
			f.lost(ctx, m.err)
		}
	case ask:
		f.write(ctx, &m.AvailabilityRequest)
	case streamFrame:
		if m.gen == f.gen && m.frame.kind == codec.TypeAvailabilityReply {
			f.offer(ctx, m.frame)
			return
		}
		f.behavior.Receive(ctx)
	default:
		f.behavior.Receive(ctx)
	}
}

// idle is the behaviour without an open lease.
func (f *fetcher) idle(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case fetch:
		f.begin(ctx, m.Fetch)
	case streamFrame:
		f.drop(m.frame) // late: its lease has ended
	case extend:
		// Its lease has ended; the coordinator learns that from the End.
	}
}

// busy is the behaviour while a lease is open.
func (f *fetcher) busy(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case fetch:
		f.wait(ctx, m.Fetch)
	case extend:
		if m.Lease == f.lease {
			f.extend(ctx, m.Extend)
		}
	case trim:
		if m.Lease == f.lease {
			_ = f.list.Trim(m.Trim) // what the peer cannot follow it answers with End
			f.write(ctx, &m.Trim)
		}
	case cancel:
		f.cancel(ctx, m.lease)
	case cancelOverdue:
		if m.lease == f.lease {
			f.overdue(ctx, m)
		}
	case streamFrame:
		f.frame(ctx, m)
	}
}

func (f *fetcher) begin(ctx actor.Context, m codec.Fetch) {
	f.lease = m.Lease
	f.behavior.Become(f.busy)
	m.Zstd = f.packing.on
	f.list = catchup.Serve(m)
	f.packing.waits(f.clock.Now())
	f.write(ctx, &m)
}

func (f *fetcher) extend(ctx actor.Context, m codec.Extend) {
	m.Zstd = f.packing.on
	_ = f.list.Extend(m)
	f.packing.waits(f.clock.Now())
	f.write(ctx, &m)
}

// wait lets a Fetch wait for the present lease.
func (f *fetcher) wait(ctx actor.Context, m codec.Fetch) {
	if len(f.waiting) == maxWaiting {
		ctx.Send(f.coordinator, streamReset{peer: f.peer, lease: m.Lease, err: errWaiting})
		return
	}
	f.waiting = append(f.waiting, m)
}

func (f *fetcher) cancel(ctx actor.Context, lease uint64) {
	if lease != f.lease {
		f.unwait(lease)
		return
	}
	f.write(ctx, &codec.Cancel{Lease: lease})
	f.remind(ctx, cancelOverdue{lease, f.clock.Now()}, cancelTimeout)
}

func (f *fetcher) remind(ctx actor.Context, m cancelOverdue, after time.Duration) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	f.clock.AfterFunc(after, func() { root.Send(self, m) })
}

// overdue resets the stream of a peer that owes the End of a cancelled lease, unless
// what was in the stream before still comes: a slow line takes long to empty it.
func (f *fetcher) overdue(ctx actor.Context, m cancelOverdue) {
	now := f.clock.Now()
	if quiet := now.Sub(f.heard); quiet < cancelTimeout && now.Sub(m.since) < cancelMost {
		f.remind(ctx, m, cancelTimeout-quiet)
		return
	}
	f.reset(ctx, errCancelOverdue)
}

// unwait forgets a Fetch that still waits.
func (f *fetcher) unwait(lease uint64) {
	for i, w := range f.waiting {
		if w.Lease == lease {
			f.waiting = append(f.waiting[:i], f.waiting[i+1:]...)
			return
		}
	}
}

// end closes the lease and begins the next one that waits.
func (f *fetcher) end(ctx actor.Context) {
	f.lease = 0
	f.packing.idles()
	f.behavior.Become(f.idle)
	if len(f.waiting) > 0 {
		next := f.waiting[0]
		f.waiting = f.waiting[1:]
		f.begin(ctx, next)
	}
}

// frame handles what the peer sent while a lease is open. What does not belong
// to the lease is dropped.
func (f *fetcher) frame(ctx actor.Context, m streamFrame) {
	if m.gen != f.gen {
		f.drop(m.frame)
		return
	}
	f.heard = f.clock.Now()
	switch m.frame.kind {
	case codec.TypeBlocks:
		f.block(ctx, m.frame)
	case codec.TypeEnd:
		var e codec.End
		err := codec.Decode(m.frame.body, &e)
		m.frame.done()
		if err != nil {
			f.reset(ctx, err)
			return
		}
		if e.Lease != f.lease {
			f.stray.Add(1)
			return
		}
		ctx.Send(f.coordinator, leaseEnded{peer: f.peer, end: e})
		f.end(ctx)
	case codec.TypeLeaves:
		f.leaves(ctx, m.frame)
	default:
		m.frame.done()
	}
}

// block hands on a block with its leaf, which is all that proving it costs.
func (f *fetcher) block(ctx actor.Context, fr frame) {
	b, err := codec.DecodeBlocks(fr.body)
	if err == nil && b.Lease != f.lease {
		f.drop(fr)
		return
	}
	if err == nil && b.Zstd {
		b.Data, err = f.squeezer.decompress(b.Data)
	}
	if err != nil {
		fr.done()
		f.reset(ctx, err)
		return
	}
	f.count(b)
	ctx.Send(f.coordinator, blockArrived{peer: f.peer, block: b, leaf: codec.Leaf(b.Data), done: fr.done})
}

// count notes a block that the lease owed.
func (f *fetcher) count(b codec.Blocks) {
	if n, _, ok := f.list.Next(); !ok || n != b.Number {
		return
	}
	f.list.Advance(b.Number)
	if f.plain {
		return
	}
	f.packing.arrived(f.clock.Now(), len(b.Data), func() float64 { return f.squeezer.ratio(b.Data) })
	if _, _, more := f.list.Next(); !more {
		f.packing.idles()
	}
}

// drop counts and forgets a frame that belongs to no open lease.
func (f *fetcher) drop(fr frame) {
	f.stray.Add(1)
	fr.done()
}

func (f *fetcher) leaves(ctx actor.Context, fr frame) {
	var m codec.Leaves
	err := codec.Decode(fr.body, &m)
	switch {
	case err != nil:
		fr.done()
		f.reset(ctx, err)
	case m.Lease != f.lease:
		f.drop(fr)
	default:
		ctx.Send(f.coordinator, leavesArrived{peer: f.peer, leaves: m, done: fr.done})
	}
}

func (f *fetcher) offer(ctx actor.Context, fr frame) {
	var reply codec.AvailabilityReply
	if err := codec.Decode(fr.body, &reply); err != nil {
		fr.done()
		f.reset(ctx, err)
		return
	}
	ctx.Send(f.coordinator, offered{peer: f.peer, reply: reply, done: fr.done})
}

// write sends m now, or when the stream is open.
func (f *fetcher) write(ctx actor.Context, m codec.Message) {
	if f.conn == nil {
		f.unsent = append(f.unsent, m)
		f.open(ctx)
		return
	}
	if err := f.conn.send(m); err != nil {
		f.reset(ctx, err)
	}
}

func (f *fetcher) open(ctx actor.Context) {
	if f.opening {
		return
	}
	f.opening = true
	self, root := ctx.Self(), ctx.ActorSystem().Root
	go func() {
		c, cancel := context.WithTimeout(f.ctx, openTimeout)
		defer cancel()
		m := streamOpened{}
		if m.stream, m.err = f.network.OpenSync(c, f.peer); m.err == nil {
			// Until it is handed over nobody else would reset it when the fetcher stops.
			m.handed = context.AfterFunc(f.ctx, func() { _ = m.stream.Reset() })
		}
		root.Send(self, m)
	}()
}

func (f *fetcher) opened(ctx actor.Context, m streamOpened) {
	f.opening = false
	if m.err != nil {
		f.lost(ctx, m.err)
		return
	}
	f.gen++
	gen, self, root := f.gen, ctx.Self(), ctx.ActorSystem().Root
	f.conn = startConn(m.stream, 0, fetcherFrames,
		func(fr frame) { root.Send(self, streamFrame{gen, fr}) },
		func(err error) { root.Send(self, streamEnded{gen, err}) })
	m.handed()
	unsent := f.unsent
	f.unsent = nil
	for _, u := range unsent {
		f.write(ctx, u)
	}
}

// reset gives the stream up because of err; the next Fetch opens another.
func (f *fetcher) reset(ctx actor.Context, err error) {
	f.log.Debug("sync stream reset", "peer", f.peer, "err", err)
	f.closeConn()
	f.lost(ctx, err)
}

// lost tells the coordinator that the stream is gone, with the lease on it and
// those that waited.
func (f *fetcher) lost(ctx actor.Context, err error) {
	f.closeConn()
	f.gen++
	f.unsent = nil
	if f.lease != 0 {
		ctx.Send(f.coordinator, streamReset{peer: f.peer, lease: f.lease, err: err})
	}
	for _, w := range f.waiting {
		ctx.Send(f.coordinator, streamReset{peer: f.peer, lease: w.Lease, err: err})
	}
	if f.lease == 0 && len(f.waiting) == 0 {
		ctx.Send(f.coordinator, streamReset{peer: f.peer, err: err})
	}
	f.lease, f.waiting = 0, nil
	f.packing.idles()
	f.behavior.Become(f.idle)
}

func (f *fetcher) closeConn() {
	if f.conn != nil {
		f.conn.close()
		f.conn = nil
	}
}
