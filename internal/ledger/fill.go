package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// LeafOf is the leaf of a missing block, if it was saved: what the block must
// hash to. Without it only the root over all blocks proves the block.
func (l *Ledger) LeafOf(number uint64) (leaf codec.Hash, known bool) {
	if l.enter() != nil {
		return leaf, false
	}
	defer l.leave()
	nodes, err := l.store.nodes([]codec.TreeNode{{Number: number}})
	if err != nil {
		return leaf, false
	}
	return nodes[0], true
}

// Fill puts blocks, of which the first has number first, into holes; those that
// are here already are passed over. They are durable when it returns. A block
// must match its leaf if that was saved, and its neighbours. With the last hole
// the whole tree must have the root in the head: then the ledger is what it was,
// with its raft view; else what nothing else proves is taken out again.
func (l *Ledger) Fill(first uint64, blocks [][]byte) error {
	release, err := l.exclusive()
	if err != nil {
		return err
	}
	defer release()
	if err := l.Failed(); err != nil {
		return err
	}
	g := l.gaps
	b := l.store.db.NewBatch()
	for i, data := range blocks {
		number := first + uint64(i)
		if !g.missing.holds(number) {
			continue
		}
		if err := l.store.putFill(b, number, data); err != nil {
			return errors.Join(fmt.Errorf("ledger: fill: block %d: %w", number, err), b.Close())
		}
		g.missing = g.missing.without(number)
	}
	if b.Empty() {
		return b.Close()
	}
	if err := errors.Join(set(b, single(prefixGaps), gapsBody(g)), l.store.commit(b, true)); err != nil {
		return err
	}
	if len(g.missing) > 0 {
		g.whole = l.store.wholeTo(g)
		l.setGaps(g)
		return nil
	}
	return l.complete(g)
}

func (l *Ledger) setGaps(g gaps) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gaps = g
}

// wholeTo is the end of the last block before the first absent one.
func (s *store) wholeTo(g gaps) codec.Index {
	absent := g.absent()
	if len(absent) == 0 || absent[0].From == 0 {
		return 0
	}
	where, err := s.readSpan(absent[0].From - 1)
	if err != nil {
		return 0
	}
	return where.last.Index
}

// putFill puts a block with its place. Its neighbours must fit, if they are here.
func (s *store) putFill(b *pebble.Batch, number uint64, data []byte) error {
	entries, err := decode(number, data)
	if err != nil {
		return err
	}
	where := spanOf(entries, data)
	if leaf, err := s.nodes([]codec.TreeNode{{Number: number}}); err == nil && leaf[0] != codec.Leaf(data) {
		return errLeaf
	}
	if number == 0 && where.first != 1 {
		return fmt.Errorf("it begins at index %d", where.first)
	}
	if before, err := s.readSpan(number - 1); number > 0 && err == nil && before.last.Index+1 != where.first {
		return fmt.Errorf("it begins at index %d, the one before it ends at %d", where.first, before.last.Index)
	}
	if behind, err := s.readSpan(number + 1); err == nil && where.last.Index+1 != behind.first {
		return fmt.Errorf("it ends at index %d, the one behind it begins at %d", where.last.Index, behind.first)
	}
	return errors.Join(b.Set(numbered(prefixBlock, number), data, nil), putPlace(b, number, where))
}

func spanOf(entries []codec.Entry, data []byte) span {
	return span{first: entries[0].Index, last: entries[len(entries)-1].Cursor(), size: uint64(len(data))}
}

// putPlace puts where a block lies.
func putPlace(b *pebble.Batch, number uint64, where span) error {
	return errors.Join(
		set(b, numbered(prefixSpan, number), spanBody(where)),
		set(b, numbered(prefixFirst, where.first), numbersBody(number)),
	)
}

// complete makes a ledger without holes what it was: what follows from the
// blocks is made anew, and the views are loaded.
func (l *Ledger) complete(g gaps) error {
	err := l.rebuild()
	var misfit *misfitError
	if errors.As(err, &misfit) && len(g.unproved) > 0 {
		return errors.Join(err, l.takeBack(g))
	}
	if err != nil {
		return err
	}
	next := &Ledger{opts: l.opts, store: l.store, raftID: l.raftID}
	if err := errors.Join(next.loadViews(), next.resume()); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raft, l.synced, l.gaps, l.logID = next.raft, next.synced, gaps{}, next.logID
	return nil
}

// takeBack opens the holes again that nothing but the root proves.
func (l *Ledger) takeBack(g gaps) error {
	g.missing = g.unproved
	b := l.store.db.NewBatch()
	err := set(b, single(prefixGaps), gapsBody(g))
	for _, r := range g.missing {
		err = errors.Join(err,
			b.DeleteRange(numbered(prefixBlock, r.From), numbered(prefixBlock, r.To), nil),
			b.DeleteRange(numbered(prefixSpan, r.From), numbered(prefixSpan, r.To), nil),
			b.DeleteRange(nodeKey(codec.TreeNode{Number: r.From}), nodeKey(codec.TreeNode{Number: r.To}), nil))
	}
	if err = errors.Join(err, l.store.commit(b, true)); err != nil {
		return err
	}
	l.cache.drop(0)
	g.whole = l.store.wholeTo(g)
	l.setGaps(g)
	return nil
}
