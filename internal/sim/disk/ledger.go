package disk

import (
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// Ledger is the model of a ledger.Ledger, with the same methods, errors and
// promises. It is for one goroutine. What a method returns is never changed by the
// Ledger later, and must not be changed by the caller.
type Ledger struct {
	disk    *Disk
	fold    ledger.Fold
	horizon int // in blocks

	now      state // in memory
	closed   bool
	failed   error
	diverged error
}

func newLedger(d *Disk, s state, opts ledger.Options) *Ledger {
	l := &Ledger{disk: d, now: s, fold: opts.Fold, horizon: opts.HorizonBlocks}
	if l.fold == nil {
		l.fold = func(c codec.Configuration, _ codec.Entry) (codec.Configuration, error) { return c, nil }
	}
	if l.horizon == 0 {
		l.horizon = ledger.DefaultHorizonBlocks
	}
	return l
}

// Close stops all use of the ledger, and leaves everything durable with a marker
// of the clean stop. After a failed write it leaves none and returns that failure.
func (l *Ledger) Close() error {
	if l.closed {
		return nil
	}
	l.closed, l.disk.user = true, nil
	if l.failed != nil {
		return l.failed
	}
	if l.failed = l.disk.commit(OnClose, batch{}, true); l.failed != nil {
		return l.failed
	}
	m := l.now.marker()
	l.disk.marker = &m
	return nil
}

// write does one atomic write; memory changes if it succeeds.
func (l *Ledger) write(op Op, b batch, sync bool) error {
	if err := l.Failed(); err != nil {
		return err
	}
	if l.failed = l.disk.commit(op, b, sync); l.failed != nil {
		l.now = l.now.clipped() // the disk may be ahead of memory now
		return l.failed
	}
	l.now = l.now.with(b)
	return nil
}

// Failed is the failed write or the divergence after which nothing more is
// written; nil as long as all is well.
func (l *Ledger) Failed() error {
	if l.failed != nil {
		return l.failed
	}
	return l.diverged
}

// Full is what Disk.Full says.
func (l *Ledger) Full(time.Time) bool { return l.disk.Full }

// RaftID is the id under which this ledger's node takes part in Raft.
func (l *Ledger) RaftID() codec.RaftID { return l.now.raftID() }
