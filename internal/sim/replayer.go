package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/replay"
)

// replayChunk is how many bytes of entries are read from the ledger at a time.
const replayChunk = 64 << 10

// replayer plays the replay actor: it takes entries from Raft and from the
// ledger alike, first in order wins.
type replayer struct {
	m       *member
	machine *machineUnderTest
	core    *replay.Core
	target  codec.Index
	reading bool
	free    time.Duration // when it has handled what is in its mailbox
	waiting []waiting
	block   codec.Index // end of the newest block whose digest was looked at
}

// waiting is who waits for an index.
type waiting struct {
	at codec.Index
	do func()
}

func newReplayer(m *member) *replayer {
	machine := newMachine(m)
	return &replayer{m: m, machine: machine, core: replay.New(machine)}
}

// mail hands a message to the actor, which handles them in order, a little later.
func (r *replayer) mail(f func()) {
	now := r.m.w.time.now
	d := time.Duration(r.m.dice.Int64N(int64(300 * time.Microsecond)))
	r.free = max(r.free, now) + d
	r.m.after(r.free-now, f)
}

func (r *replayer) committed(entries []codec.Entry) {
	r.mail(func() {
		last := entries[len(entries)-1].Index
		r.target = max(r.target, last)
		switch next := r.core.Applied() + 1; {
		case last < next:
		case entries[0].Index > next:
			r.readOn()
		case r.m.w.faults.ApplyTwice && entries[0].Index < next:
			r.apply(entries)
		default:
			r.apply(entries[next-entries[0].Index:])
		}
	})
}

func (r *replayer) advance(to codec.Index) {
	r.mail(func() {
		r.target = max(r.target, to)
		r.readOn()
	})
}

func (r *replayer) readOn() {
	if r.reading || r.core.Applied() >= r.target {
		return
	}
	r.reading = true
	r.mail(func() {
		r.reading = false
		next := r.core.Applied() + 1
		if next > r.target {
			return
		}
		entries, err := r.m.ledger.Read(next, r.target, replayChunk)
		if err != nil {
			r.m.fail(fmt.Errorf("replay from index %d: %w", next, err))
			return
		}
		r.apply(entries)
		r.readOn()
	})
}

func (r *replayer) apply(entries []codec.Entry) {
	w := r.m.w
	entries = w.faults.skipEntry(r, entries)
	w.applying(r.m, r.core.Applied(), entries)
	if err := r.core.Apply(entries, func(x replay.Result) { w.faults.reapply(r, x); r.m.client.deliver(x) }); err != nil {
		r.m.fail(err)
		return
	}
	w.applied(r.m)
	applied := r.core.Applied()
	var due []waiting
	r.waiting = slices.DeleteFunc(r.waiting, func(x waiting) bool {
		if x.at <= applied {
			due = append(due, x)
		}
		return x.at <= applied
	})
	for _, x := range due {
		x.do()
	}
}

// when calls f once index at is applied.
func (r *replayer) when(at codec.Index, f func()) {
	r.mail(func() {
		if at <= r.core.Applied() {
			f()
			return
		}
		r.waiting = append(r.waiting, waiting{at, f})
	})
}
