package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// rebuildBatch is how many bytes of records are written at a time. Blocks
// themselves are not written again.
const rebuildBatch = 1 << 20

// misfitError says that the blocks, all of which are here, are not those that
// the head was made for.
type misfitError struct{ why error }

func (e *misfitError) Error() string { return "the blocks do not fit the head: " + e.why.Error() }
func (e *misfitError) Unwrap() error { return e.why }

// rebuild makes everything anew that follows from the blocks: their places, the
// tree, configurations. With the last write, which is synced, the record of gaps
// goes; until then a crash only means that the next Open does it again. The
// error is a *misfitError if the root does not become that of the head.
func (l *Ledger) rebuild() error {
	s := l.store
	last, head, found, err := s.headRecord()
	if err != nil {
		return err
	}
	x := &extension{view: emptySynced(), batch: s.db.NewBatch(), fold: l.opts.Fold}
	if err := clearDerived(x.batch); err != nil {
		return err
	}
	for x.view.blocks < head.Blocks {
		if err := x.replace(s); err != nil {
			return errors.Join(err, x.batch.Close())
		}
		if x.batch.Len() < rebuildBatch {
			continue
		}
		if err := s.commit(x.batch, false); err != nil {
			return err
		}
		x.batch = s.db.NewBatch()
	}
	if root := x.view.tree.Root(); found && (root != head.Root || x.view.last != last) {
		return errors.Join(x.batch.Close(), &misfitError{fmt.Errorf("%d blocks end at %v with root %v, the head says %v and %v", head.Blocks, x.view.last, root, last, head.Root)})
	}
	if err := x.batch.Delete(single(prefixGaps), nil); err != nil {
		return err
	}
	return s.commit(x.batch, true)
}

// replace puts what belongs to the next block, which is stored, behind the view.
func (x *extension) replace(s *store) error {
	number := x.view.blocks
	data, found, err := s.get(numbered(prefixBlock, number))
	if err != nil || !found {
		return s.damaged(fmt.Sprintf("block %d", number), number, err)
	}
	entries, err := decode(number, data)
	if err != nil {
		return err
	}
	if err := x.place(data, codec.Leaf(data), entries); err != nil {
		return &misfitError{err}
	}
	return nil
}

func clearDerived(b *pebble.Batch) (err error) {
	for _, prefix := range []byte{prefixSpan, prefixFirst, prefixConfig, prefixNode} {
		err = errors.Join(err, b.DeleteRange(single(prefix), after(prefix), nil))
	}
	return err
}
