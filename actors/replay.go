package actors

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/replay"
)

const (
	// replayChunk is how many bytes of entries are read from the ledger, and
	// applied, before waiting queries get their turn.
	replayChunk = 1 << 20
	minSweep    = 64
)

// Messages to replay.
type (
	// committed hands over entries that Raft decided, or those of a block that
	// catch-up proved and stored.
	committed struct {
		entries []codec.Entry
		bytes   int64
	}
	// advance lets replay read the ledger up to an index.
	advance struct{ to codec.Index }
	// catchUpFurther is replay's message to itself: there is more to read.
	catchUpFurther struct{}
	// query asks the machine once index at is applied.
	query struct {
		ctx   context.Context // of who waits
		at    codec.Index
		query []byte
		reply chan<- queryAnswer // of capacity 1
	}
	// waitApplied asks to be told once index at is applied.
	waitApplied struct {
		ctx  context.Context // of who waits
		at   codec.Index
		done chan<- struct{} // closed
	}
)

type queryAnswer struct {
	index codec.Index
	data  []byte
	err   error
}

// replayView is what others may know of replay: an immutable picture.
type replayView struct {
	applied  codec.Index
	target   codec.Index
	digest   codec.Digest
	block    codec.BlockDigest
	blockEnd codec.Index
	perSec   float64
	started  time.Time // of the present run of reading; zero when level
	from     codec.Index
}

// replayer is the replay actor: the only code that touches the machine. It
// takes entries from Raft and from the ledger alike, first in order wins.
type replayer struct {
	// set once
	core   *replay.Core
	ledger *ledger.Ledger
	clock  Clock
	log    *slog.Logger
	fail   func(error)
	result func(replay.Result)

	// shared
	credit credit // of what is on the way
	view   atomic.Pointer[replayView]

	// owned by the actor
	target  codec.Index // may be applied
	reading bool        // a catchUpFurther is on the way
	waiting []query
	waiters []waitApplied
	dead    bool

	// The lengths at which who does not wait any more is swept out.
	sweep, sweepWaiters int

	run struct {
		since time.Time
		from  codec.Index
	}
}

func (r *replayer) Receive(ctx actor.Context) {
	if r.dead {
		r.refuse(ctx.Message())
		return
	}
	switch m := ctx.Message().(type) {
	case committed:
		r.credit.giveBack(m.bytes)
		r.committed(m.entries)
	case advance:
		r.target = max(r.target, m.to)
		r.readOn(ctx)
	case catchUpFurther:
		r.reading = false
		r.readChunk(ctx)
	case query:
		r.ask(m)
	case waitApplied:
		r.wait(m)
	}
}

// committed applies entries that continue what is applied. Others are read in
// the ledger, once advance lets it.
func (r *replayer) committed(entries []codec.Entry) {
	if len(entries) == 0 {
		return
	}
	next := r.core.Applied() + 1
	if entries[0].Index > next || lastIndex(entries) < next {
		return
	}
	r.target = max(r.target, lastIndex(entries))
	r.apply(entries[next-entries[0].Index:])
}

func (r *replayer) readOn(ctx actor.Context) {
	if r.reading || r.core.Applied() >= r.target {
		return
	}
	r.reading = true
	ctx.Send(ctx.Self(), catchUpFurther{})
}

func (r *replayer) readChunk(ctx actor.Context) {
	next := r.core.Applied() + 1
	if next > r.target {
		return
	}
	if r.run.since.IsZero() {
		r.run.since, r.run.from = r.clock.Now(), r.core.Applied()
	}
	entries, err := r.ledger.Read(next, r.target, replayChunk)
	if err != nil {
		r.stop(fmt.Errorf("replay from index %d: %w", next, err))
		return
	}
	r.apply(entries)
	if !r.dead {
		r.readOn(ctx)
	}
}

func (r *replayer) apply(entries []codec.Entry) {
	if err := r.core.Apply(entries, r.result); err != nil {
		r.stop(err)
		return
	}
	if r.core.Applied() >= r.target {
		r.run.since = time.Time{}
	}
	r.publish()
	if err := r.core.Err(); err != nil { // its Digest panicked
		r.stop(err)
		return
	}
	r.answerWaiting()
}

func (r *replayer) publish() {
	v := &replayView{applied: r.core.Applied(), target: r.target, digest: r.core.Digest(), started: r.run.since, from: r.run.from}
	v.block, v.blockEnd = r.core.BlockDigest()
	if d := r.clock.Now().Sub(r.run.since).Seconds(); !r.run.since.IsZero() && d > 0 {
		v.perSec = float64(v.applied-r.run.from) / d
	}
	r.view.Store(v)
}

func (r *replayer) ask(q query) {
	if q.at > r.core.Applied() {
		if len(r.waiting) >= r.sweep {
			r.waiting = slices.DeleteFunc(r.waiting, func(q query) bool { return q.ctx.Err() != nil })
			r.sweep = 2*len(r.waiting) + minSweep
		}
		r.waiting = append(r.waiting, q)
		return
	}
	data, err := r.core.Query(nil, q.query)
	q.reply <- queryAnswer{index: r.core.Applied(), data: data, err: err}
	if err := r.core.Err(); err != nil && !r.dead {
		r.stop(err)
	}
}

// wait keeps who waits for an index.
func (r *replayer) wait(w waitApplied) {
	if w.at <= r.core.Applied() {
		close(w.done)
		return
	}
	if len(r.waiters) >= r.sweepWaiters {
		r.waiters = slices.DeleteFunc(r.waiters, func(w waitApplied) bool { return w.ctx.Err() != nil })
		r.sweepWaiters = 2*len(r.waiters) + minSweep
	}
	r.waiters = append(r.waiters, w)
}

func (r *replayer) answerWaiting() {
	applied := r.core.Applied()
	var due []query
	r.waiting = slices.DeleteFunc(r.waiting, func(q query) bool {
		if q.at <= applied {
			due = append(due, q)
		}
		return q.at <= applied
	})
	waiters := r.waiters[:0]
	for _, w := range r.waiters {
		if w.at <= applied {
			close(w.done)
		} else {
			waiters = append(waiters, w)
		}
	}
	clear(r.waiters[len(waiters):])
	r.waiters = waiters
	for _, q := range due {
		r.ask(q)
	}
}

// stop ends replay for good: the machine's state can no longer be trusted.
func (r *replayer) stop(err error) {
	r.dead = true
	for _, q := range r.waiting {
		q.reply <- queryAnswer{err: err}
	}
	r.waiting, r.waiters = nil, nil
	r.fail(err)
}

func (r *replayer) refuse(m any) {
	if q, ok := m.(query); ok {
		q.reply <- queryAnswer{err: ErrStopped}
	}
}
