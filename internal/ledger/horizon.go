package ledger

import (
	"errors"

	"github.com/logmesh/logmesh/codec"
)

// MoveHorizon hides sealed blocks from Raft until it sees no more than the
// newest HorizonBlocks of those it sealed, and the open one. No index at or above
// floor is hidden (0: no such limit), and none above raft-applied. The blocks
// stay on disk. It is not synced: a crash may bring back a longer view.
func (l *Ledger) MoveHorizon(floor codec.Index) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	l.raftMu.Lock()
	defer l.raftMu.Unlock()
	v := &l.raft
	keep := uint64(l.opts.HorizonBlocks)
	if !v.exists || v.blocks <= keep {
		return nil
	}
	hidden, err := l.mayHide(v.blocks-keep, floor)
	if err != nil || hidden == 0 {
		return err
	}
	prev, err := l.store.endOf(hidden - 1)
	if err != nil || prev.Index <= v.prev.Index {
		return err
	}
	next := v.bounds
	next.prev = prev
	b := l.store.db.NewBatch()
	if err := set(b, single(prefixView), boundsBody(next)); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.commit(b, false); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v.bounds = next
	v.terms.raise(prev)
	return nil
}

// mayHide is how many of the first hidden blocks end below floor and at or below
// raft-applied.
func (l *Ledger) mayHide(hidden uint64, floor codec.Index) (uint64, error) {
	below := l.raft.applied + 1
	if floor != 0 {
		below = min(below, floor)
	}
	if below > l.raft.sealed.Index {
		return hidden, nil
	}
	number, _, err := l.store.blockOf(below) // the first block that does not end below
	return min(hidden, number), err
}
